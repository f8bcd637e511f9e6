"""Small pictures of photos, by the hash of their bytes: from the store's thumbnails, else from where the photos are."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import LapelError, SourceError
from lapel.core.images import decode
from lapel.engine.context import StoreContext
from lapel.insight.copy_check import SIDE
from lapel.insight.small_picture import SmallPicture, small_picture
from lapel.sources import read_uri

KEPT = 24_000  # small pictures in memory: 170 MB
THREADS = 2
WIDTH = 160  # pixels: the smallest thumbnail


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
        missing = [sha256 for sha256 in keys if sha256 not in self._kept]
        thumbnails = self._context.thumbnails.get(missing, WIDTH) if missing else {}
        elsewhere = [keys[sha256] for sha256 in missing if sha256 not in thumbnails]
        photos = {photo.sha256: photo.uri for _, photo in self._context.catalog.entries(elsewhere).values()}

        def made(sha256: str) -> SmallPicture | None:
            try:
                data = thumbnails.get(sha256)
                if data is None and sha256 not in photos:
                    raise SourceError("The photo was taken out meanwhile.")
                return small_picture(decode(data if data is not None else read_uri(photos[sha256])))
            except (LapelError, OSError) as error:
                self.unreadable[sha256] = str(error)
                return None

        with ThreadPoolExecutor(THREADS) as pool:
            self._kept.update(zip(missing, pool.map(made, missing), strict=True))
        found = {}
        for sha256 in keys:
            self._kept.move_to_end(sha256)
            if (each := self._kept[sha256]) is not None:
                found[sha256] = each
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found


def stacked(
    pictures: Mapping[str, SmallPicture], hashes: Sequence[str]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The pictures of some hashes as (n, 48, 48, 3) uint8 and (n,) widths over heights."""
    if not hashes:
        return np.zeros((0, SIDE, SIDE, 3), np.uint8), np.ones(0)
    return np.stack([pictures[each].square for each in hashes]), np.array([pictures[each].ratio for each in hashes])
