"""A tiny shop for the tests of the HTTP API: four products of one colour each, encoded by their colours."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from PIL import Image

import lapel
from lapel.apps.api import ApiOptions, create_app
from lapel.apps.api.protocol import Protocol

COLOURS = {"red": (200, 30, 30), "blue": (20, 40, 200), "green": (20, 150, 50), "white": (240, 240, 240)}
FOR = {"red": "Women", "blue": "Men", "green": "Women", "white": "Men"}


def picture(colour: tuple[int, int, int], size: tuple[int, int] = (120, 160), kind: str = "PNG") -> bytes:
    """A block of one colour on white."""
    image = Image.new("RGB", size, "white")
    image.paste(Image.new("RGB", (size[0] * 2 // 3, size[1] * 3 // 4), colour), (size[0] // 6, size[1] // 8))
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def fill(folder: Path, encoder: str = "colour:") -> Path:
    """A store with the four products; returns where it is."""
    photos = folder / "photos"
    photos.mkdir(parents=True)
    rows = ["id,title,colour,gender,price,currency,pictures"]
    for price, (name, colour) in enumerate(COLOURS.items(), 1):
        (photos / f"{name}.png").write_bytes(picture(colour))
        rows.append(f"{name},{name.title()} shirt,{name.title()},{FOR[name]},{price}0,EUR,{name}.png")
    (photos / "products.csv").write_text("\n".join(rows), encoding="utf-8")
    with lapel.open_store(folder / "shop", create=True, encoder=encoder) as store:
        store.add(photos / "products.csv")
    return folder / "shop"


@contextmanager
def running(app: Any, **more: Any) -> Iterator[httpx.Client]:
    """A client of an app that listens on a free port of this machine."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_level="error", server_header=False, http=Protocol, **more
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 30
    while not server.started and time.monotonic() < until:
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(30)


@contextmanager
def serving_store(shop: Path, options: ApiOptions | None = None) -> Iterator[httpx.Client]:
    """A client of a server of a store."""
    with lapel.open_store(shop) as store, running(create_app(store, options)) as client:
        yield client
