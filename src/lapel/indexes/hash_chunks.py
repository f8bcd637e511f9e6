"""Near hashes among a million, none within 31 of 256 bits missed: multi-index hashing (Norouzi et al. 2012, "Fast
Search in Hamming Space with Multi-Index Hashing").

Hashes are cut into 13 chunks of 20 or 19 bits, each with a table from a chunk's value to the hashes that have it. Two
hashes within 31 bits agree in one of the first six chunks but for two bits, or in one of the other seven but for one:
else they would differ in 6 x 3 + 7 x 2 = 32. So 1,409 values are looked up; at a million hashes each has one or two.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

BITS = 256
CHUNKS, WIDER = 13, 9  # of which nine have 20 bits, the others 19
TWO_FLIPS = 6  # chunks that may differ in two bits, the others in one
WITHIN = 80  # bits: hashes further apart have nothing in common; two of any pictures differ in about 128
TOGETHER = 32  # hashes asked for at once

Hashes = NDArray[np.uint8]  # (n, 32)


class HashChunks:
    """Finds the nearest of many hashes; of those beyond 31 bits most.

    Args:
        hashes: (n, 32) uint8.
    """

    def __init__(self, hashes: Hashes) -> None:
        self._codes = np.ascontiguousarray(hashes).view(np.uint64)  # (n, 4)
        self._widths = [20 if chunk < WIDER else 19 for chunk in range(CHUNKS)]
        self._powers = [(1 << np.arange(width - 1, -1, -1)).astype(np.int32) for width in self._widths]
        self._bases = np.concatenate([[0], np.cumsum([(1 << width) + 1 for width in self._widths])]).astype(np.int64)
        count = len(hashes)
        self._starts = np.empty(int(self._bases[-1]), np.int32)  # where in the order each value of each chunk begins
        self._order = np.empty(CHUNKS * count, np.int32)
        values = self._values(hashes)
        for chunk, width in enumerate(self._widths):
            own = values[:, chunk]
            self._order[chunk * count : (chunk + 1) * count] = np.argsort(own, kind="stable")
            sizes = np.bincount(own, minlength=1 << width)
            table = self._starts[self._bases[chunk] : self._bases[chunk + 1]]
            table[0] = chunk * count
            table[1:] = chunk * count + np.cumsum(sizes)
        masks = [
            np.array([sum(1 << bit for bit in bits) for r in range(flips + 1) for bits in combinations(range(w), r)])
            for w, flips in ((w, 2 if chunk < TWO_FLIPS else 1) for chunk, w in enumerate(self._widths))
        ]
        self._masks = np.concatenate(masks).astype(np.int32)
        self._of_chunk = np.repeat(np.arange(CHUNKS), [len(each) for each in masks])

    def _values(self, hashes: Hashes) -> NDArray[np.int32]:
        """(n, 13) the value of each chunk."""
        found = np.empty((len(hashes), CHUNKS), np.int32)
        for start in range(0, len(hashes), 1 << 15):
            bits = np.unpackbits(hashes[start : start + (1 << 15)], axis=1)
            at = 0
            for chunk, (width, powers) in enumerate(zip(self._widths, self._powers, strict=True)):
                found[start : start + len(bits), chunk] = bits[:, at : at + width] @ powers
                at += width
        return found

    def search(self, hashes: Hashes, k: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The nearest of each of m hashes: (m, k) distances in bits and (m, k) places, -1 where there are no more."""
        distances = np.full((len(hashes), k), BITS, np.int32)
        places = np.full((len(hashes), k), -1, np.int64)
        for start in range(0, len(hashes), TOGETHER):
            some = hashes[start : start + TOGETHER]
            rows, found, apart = self._near(some)
            order = np.lexsort((found, apart, rows))
            rows, found, apart = rows[order], found[order], apart[order]
            rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
            kept = rank < k
            distances[start + rows[kept], rank[kept]] = apart[kept]
            places[start + rows[kept], rank[kept]] = found[kept]
        return distances, places

    def _near(self, hashes: Hashes) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Every pair that a chunk finds, once: rows of those asked for, places, and distances."""
        asked = self._bases[self._of_chunk] + (self._values(hashes)[:, self._of_chunk] ^ self._masks)  # (m, 1409)
        begin, end = self._starts.take(asked), self._starts.take(asked + 1)
        sizes = (end - begin).ravel()
        total = np.cumsum(sizes)
        if not len(total) or not total[-1]:
            nothing = np.zeros(0, np.int64)
            return nothing, nothing, nothing
        # The ranges one after another: each place is its range's beginning and how far it is into that.
        at = np.arange(total[-1]) + np.repeat(begin.ravel() - total + sizes, sizes)
        found = self._order.take(at)
        rows = np.repeat(np.arange(len(hashes)), (end - begin).sum(axis=1))
        own = np.ascontiguousarray(hashes).view(np.uint64)
        apart = np.bitwise_count(self._codes.take(found, axis=0) ^ own.take(rows, axis=0)).sum(axis=1, dtype=np.int64)
        near = np.flatnonzero(apart <= WITHIN)
        pairs = np.unique(rows[near] * len(self._codes) + found[near], return_index=True)[1]
        return rows[near][pairs], found[near][pairs].astype(np.int64), apart[near][pairs]
