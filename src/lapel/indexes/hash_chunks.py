"""Near hashes among a million, none within 31 of 256 bits missed: multi-index hashing (Norouzi et al. 2012, "Fast
Search in Hamming Space with Multi-Index Hashing").

Hashes are cut into 13 chunks of 20 or 19 bits, each with a table from a chunk's value to the hashes that have it.
Two hashes within 31 bits agree in one of the first six chunks but for two bits, or in one of the other seven but for
one: else they would differ in 6 x 3 + 7 x 2 = 32. So 1,413 values are looked up; at a million hashes each has one or
two.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BITS = 256
CHUNKS, WIDTH = 13, 20  # of which the last four have 19 bits, and one that is always 0
TWO_FLIPS = 6  # chunks that may differ in two bits, the others in one
WITHIN = 80  # bits: hashes further apart have nothing in common; two of any pictures differ in about 128
TOGETHER = 32  # hashes asked for at once
BLOCK = 16_384  # hashes cut at once

Hashes = NDArray[np.uint8]  # (n, 32)

# (13, 20) the bits of each chunk; bit 256 is the one that is always 0.
_bits_of = np.array([np.append(part, BITS)[:WIDTH] for part in np.array_split(np.arange(BITS), CHUNKS)])
_bits = np.int32(1) << np.arange(WIDTH, dtype=np.int32)
_one = np.append(np.int32(0), _bits)  # what a chunk that differs in up to one bit is changed by ...
_two = np.append(np.int32(0), np.unique(_bits[:, None] | _bits))  # ... and in up to two
_changes_of = [_two] * TWO_FLIPS + [_one] * (CHUNKS - TWO_FLIPS)
_changes, _chunk_of = np.concatenate(_changes_of), np.repeat(np.arange(CHUNKS), [len(each) for each in _changes_of])


class HashChunks:
    """Finds the nearest of many hashes; of those beyond 31 bits most.

    Args:
        hashes: (n, 32) uint8.
    """

    def __init__(self, hashes: Hashes) -> None:
        self._words = np.ascontiguousarray(hashes).view(np.uint64)  # (n, 4)
        blocks = np.array_split(hashes, 1 + len(hashes) // BLOCK)
        values = np.ascontiguousarray(np.concatenate([_values(block) for block in blocks]).T)
        # The hashes by the value of a chunk, one chunk after the other, and where each value's begin.
        self._order = np.argsort(values, axis=1).astype(np.int32).ravel()
        counts = np.bincount(values.ravel(), minlength=CHUNKS << WIDTH)
        self._starts = np.append(np.int32(0), np.cumsum(counts, dtype=np.int32))

    def search(self, hashes: Hashes, k: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The nearest of each of m hashes: (m, k) distances in bits and (m, k) places, -1 where there are no more."""
        distances = np.full((len(hashes), k), BITS, np.int32)
        places = np.full((len(hashes), k), -1, np.int64)
        for start in range(0, len(hashes), TOGETHER):
            rows, apart, found = self._near(hashes[start : start + TOGETHER])
            rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
            kept = rank < k
            distances[start + rows[kept], rank[kept]] = apart[kept]
            places[start + rows[kept], rank[kept]] = found[kept]
        return distances, places

    def _near(self, hashes: Hashes) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Every pair that a chunk finds, once and in order: rows of those asked for, distances, and places."""
        asked = _values(hashes)[:, _chunk_of] ^ _changes  # (m, 1413)
        begin, end = self._starts.take(asked), self._starts.take(asked + 1)
        sizes = (end - begin).ravel()
        # The ranges one after another: each place is its range's beginning and how far it is into that.
        at = np.arange(sizes.sum()) + np.repeat(begin.ravel() - np.cumsum(sizes) + sizes, sizes)
        found = self._order.take(at)
        rows = np.repeat(np.arange(len(hashes)), (end - begin).sum(axis=1))
        own = np.ascontiguousarray(hashes).view(np.uint64)
        apart = np.bitwise_count(self._words.take(found, axis=0) ^ own.take(rows, axis=0)).sum(axis=1, dtype=np.int64)
        near = apart <= WITHIN
        # As one number each, so that sorting takes away what several chunks found.
        pairs = np.unique((rows[near] * BITS + apart[near]) * len(self._words) + found[near])
        rows_apart, found = np.divmod(pairs, max(1, len(self._words)))
        return *np.divmod(rows_apart, BITS), found


def _values(hashes: Hashes) -> NDArray[np.int32]:
    """(n, 13) the value of each chunk, counted on from chunk to chunk."""
    bits = np.unpackbits(hashes, axis=1, count=BITS + 1)[:, _bits_of]
    values: NDArray[np.int32] = bits @ _bits + (np.arange(CHUNKS, dtype=np.int32) << WIDTH)
    return values
