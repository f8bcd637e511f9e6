"""Small pictures of photos, by the hash of their bytes: from the store's thumbnails, else from where the photos are."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lapel.core.errors import LapelError, SourceError
from lapel.core.images import decode
from lapel.core.machine import cores
from lapel.engine.context import StoreContext
from lapel.engine.features import PICTURE_HASH
from lapel.engine.picture_hash import SIDE
from lapel.insight.copy_check import SmallPicture, small_picture
from lapel.sources import read_uri

KEPT = 24_000  # small pictures in memory: 170 MB

WIDTH = 160  # pixels: the smallest thumbnail

Made = TypeVar("Made")


class SmallPictures:
    """Reads small pictures of one store and keeps the last used ones.

    Args:
        context: The store; only read.
    """

    def __init__(self, context: StoreContext) -> None:
        self._context = context
        self._kept: OrderedDict[str, SmallPicture | None] = OrderedDict()
        self.unreadable: dict[str, str] = {}

    def read(self, keys: Mapping[str, int]) -> dict[str, SmallPicture]:
        """Small pictures by hash.

        Args:
            keys: A photo of each, by the hash of its bytes. What cannot be read is missing in the answer, and said in
                :attr:`unreadable`.
        """
        missing = {sha256: key for sha256, key in keys.items() if sha256 not in self._kept}
        made = self._made(missing, small_picture)
        self._kept.update((sha256, made.get(sha256)) for sha256 in missing)
        found = {}
        for sha256 in keys:
            self._kept.move_to_end(sha256)
            if (each := self._kept[sha256]) is not None:
                found[sha256] = each
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found

    def hashes(self, keys: Mapping[str, int]) -> dict[str, bytes]:
        """The feature :data:`lapel.engine.features.PICTURE_HASH` of photos, by hash; of what cannot be read, none."""
        sampled = self._made(keys, PICTURE_HASH.sample)
        values = PICTURE_HASH.derive(list(sampled.values())) if sampled else []
        return {sha256: value for sha256, value in zip(sampled, values, strict=True) if isinstance(value, bytes)}

    def _made(self, keys: Mapping[str, int], make: Callable[[Image.Image], Made]) -> dict[str, Made]:
        thumbnails = self._context.thumbnails.get(keys, WIDTH) if keys else {}
        elsewhere = [key for sha256, key in keys.items() if sha256 not in thumbnails]
        photos = {photo.sha256: photo.uri for _, photo in self._context.catalog.entries(elsewhere).values()}

        def made(sha256: str) -> Made | None:
            try:
                data = thumbnails.get(sha256)
                if data is None and sha256 not in photos:
                    raise SourceError("The photo was taken out meanwhile.")
                return make(decode(data if data is not None else read_uri(photos[sha256])))
            except (LapelError, OSError) as error:
                self.unreadable[sha256] = str(error)
                return None

        with ThreadPoolExecutor(cores()) as pool:
            found = zip(keys, pool.map(made, keys), strict=True)
            return {sha256: each for sha256, each in found if each is not None}


def stacked(
    pictures: Mapping[str, SmallPicture], hashes: Sequence[str]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The pictures of some hashes as (n, 48, 48, 3) uint8 and (n,) widths over heights."""
    if not hashes:
        return np.zeros((0, SIDE, SIDE, 3), np.uint8), np.ones(0)
    return np.stack([pictures[each].square for each in hashes]), np.array([pictures[each].ratio for each in hashes])
