"""Whether a store can answer now: a picture is encoded and searched with."""

from __future__ import annotations

import io
import threading
import time
from typing import Any

from PIL import Image

from lapel.core.types import Query
from lapel.service import Store

READY_SECONDS = 2.0  # how long it counts that an answer was given


class Probe:
    """Whether a picture can be encoded and searched with; asked once, however many want to know."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._at = float("-inf")
        self._told: dict[str, Any] = {}

    def ask(self) -> dict[str, Any]:
        """What was found lately.

        Raises:
            LapelError: nothing can be found.
        """
        with self._lock:
            if time.monotonic() - self._at > READY_SECONDS:
                begun = time.perf_counter()
                picture = io.BytesIO()
                _scene().save(picture, "PNG")
                found = self._store.search(query=Query(image=picture.getvalue(), k=1))
                self._told = {
                    "status": "ready",
                    "products": self._store.count(),
                    "hits": len(found),
                    "model": found.understood.fingerprint,
                    "took_ms": round(1000 * (time.perf_counter() - begun), 1),
                }
                self._at = time.monotonic()
            return self._told


def _scene() -> Image.Image:
    """A thing on a floor: what is on white already would not need the network that cuts products out, and the first
    person's photo would wait until that is read."""
    scene = Image.new("RGB", (48, 64), (120, 110, 90))
    scene.paste((200, 30, 30), (12, 16, 36, 48))
    return scene
