"""A 256-bit hash of what a picture looks like, with how much it can be trusted, and an index that finds near ones.

Made as PDQ (Meta 2019, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm"): the signs of the
16 x 16 lowest frequencies of the cosine transform without the constant ones. PDQ compares with their median, which is
near 0; by the sign alone, the hash of a mirrored picture follows from its own. The quality is 0 where there is nothing
in the picture and 100 where edges are everywhere; below :data:`LEAST_QUALITY` a hash says nothing. Pictures come as
:func:`lapel.insight.copy_check.square` makes them, so hashes of what is no larger than a thumbnail agree with those of
the photo.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.indexes.hash_chunks import HashChunks
from lapel.indexes.neighbours import hash_index

FREQUENCIES = 16  # kept along each side
BYTES = FREQUENCIES * FREQUENCIES // 8
LEAST_QUALITY = 20
NEAR = 31  # bits: PDQ's own threshold; nine in ten of what is this near is the same picture
FLAT_ROWS = 50_000  # hashes up to which all are compared

Hashes = NDArray[np.uint8]  # (n, 32)


def mirrored(hashes: Hashes) -> Hashes:
    """The hashes (..., 32) of pictures whose left and right change places: their odd frequencies change their sign."""
    return hashes ^ np.uint8(0b10101010)


def hashes_of(squares: NDArray[np.uint8]) -> tuple[Hashes, NDArray[np.uint8]]:
    """Hashes of small pictures.

    Args:
        squares: (n, s, s, 3) uint8 RGB.

    Returns:
        (n, 32) uint8 and (n,) uint8 qualities of 0..100.
    """
    grey = squares.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    side = grey.shape[1]
    steps = (np.arange(side) + 0.5) * np.pi / side
    cosines = np.cos(np.outer(np.arange(1, FREQUENCIES + 1), steps)).astype(np.float32)
    low = cosines @ grey @ cosines.T  # (n, 16, 16)
    packed = np.packbits((low > 0).reshape(len(low), -1), axis=1)
    slopes = np.abs(np.diff(grey, axis=1)).mean(axis=(1, 2)) + np.abs(np.diff(grey, axis=2)).mean(axis=(1, 2))
    return packed, np.minimum(slopes * 5, 100).astype(np.uint8)


class HashIndex:
    """Finds the nearest of many hashes: all are compared where there are few, else those that nearly agree in a part,
    which misses none within 31 bits (:mod:`lapel.indexes.hash_chunks`).

    Args:
        hashes: (n, 32) uint8.
    """

    def __init__(self, hashes: Hashes) -> None:
        self._index: Any = hash_index(hashes) if len(hashes) <= FLAT_ROWS else HashChunks(hashes)

    def nearest(self, hashes: Hashes, k: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The nearest of each of m hashes: (m, k) distances in bits and (m, k) places, -1 where there are no more."""
        distances, places = self._index.search(np.ascontiguousarray(hashes), k)
        return np.asarray(distances, np.int32), np.asarray(places, np.int64)
