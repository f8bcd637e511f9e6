"""Finds pairs of pictures of which one is made of the other: candidates by vectors and by hashes, then a check of each.

No table of all pairs: every picture asks for its nearest by vector, by the hashes of the whole and of its content, and
by those mirrored, in blocks, and only those are checked. What was checked is kept by the hashes of both pictures, so a
second run checks what is new alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.catalog.pairs import Pair, PairTable
from lapel.core.vectors import Keys, Vectors
from lapel.engine.context import StoreContext
from lapel.indexes.neighbours import nearest_cosines, neighbour_index
from lapel.insight.copy_check import MEASURES, VERSION, Compared, alike_as_they_lie, chance, compare
from lapel.insight.picture_hash import BYTES, LEAST_QUALITY, HashIndex, mirrored
from lapel.insight.pictures import SmallPictures, stacked
from lapel.insight.small_picture import SmallPicture

NEIGHBOURS = 8  # by vector, of each picture
USUAL_COSINE = 0.65  # of a photo's nearest ten among 40,000: for shops that have fewer
BY_HASH = 4  # by each of its hashes, as they are and mirrored
LEAST_COSINE, LEAST_MARGIN = 0.6, 0.05  # of candidates by vector: nine in ten neighbours are not that much nearer
FEW_BITS, MOST_BITS = 40, 72  # of candidates by hash: of any, and of the nearest one
KEPT_CHANCE = 0.05  # of pairs that are remembered,
KEPT_COSINE = 0.9  # or so near by their vectors that they may be the same product
CERTAIN = 0.97  # chance from which on a pair is not asked for from its other side
BLOCK = 512  # pictures that ask together
CHECKED = 48  # pairs checked together: what is worked on stays in the processor's cache
THREADS = 2
LEAST_ALIKE = 0.65  # see alike_as_they_lie: of pairs that only hashes found, unless they differ in so few bits:
ALIKE_BITS = 56

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Candidates:
    """Pairs worth a check.

    Attributes:
        asking: (m,) int64 places of the pictures that asked.
        found: (m,) int64 places of what they found.
        cosines: (m,) float32; 0 where the vector did not find it.
        margins: (m,) float32: the cosine above the mean of the asking picture's neighbours, the score normalisation of
            DISC 2021 (Douze et al., arXiv:2106.09672).
        bits: (m,) int32: in how many bits the hashes differ, of the whole or the contents, either way round, the
            fewest.
    """

    asking: NDArray[np.int64]
    found: NDArray[np.int64]
    cosines: NDArray[np.float32]
    margins: NDArray[np.float32]
    bits: NDArray[np.int32]


class CandidateSearch:
    """Gives every picture what may be a copy of it.

    Args:
        vectors: (n, dim) float32 unit rows.
        hashes: (n, w, 32) uint8, each of w parts: of the whole, and of its content, see
            :mod:`lapel.insight.small_picture`. Parts are compared with their like.
        usable: (n,) bool: which hashes say something.
    """

    def __init__(self, vectors: Vectors, hashes: NDArray[np.uint8], usable: NDArray[np.bool_]) -> None:
        self._vectors, self._hashes = vectors, hashes
        self._index = neighbour_index(vectors)
        self._usable = np.flatnonzero(usable)
        self._by_hash = [HashIndex(hashes[self._usable, part]) for part in range(hashes.shape[1])]

    def of(
        self,
        vectors: Vectors,
        hashes: NDArray[np.uint8],
        *,
        own: NDArray[np.int64] | None = None,
        usual: NDArray[np.float32] | None = None,
    ) -> Candidates:
        """Candidates of m pictures, which may be among those searched.

        Args:
            vectors: (m, dim) float32.
            hashes: (m, w, 32) uint8.
            own: (m,) int64 their places, where they are among those searched: nobody is a candidate of itself.
            usual: (m,) float32: the mean cosine of their neighbours, where it is not that of those searched.
        """
        cosines, places = self._index.search(vectors, min(NEIGHBOURS + 2, len(self._vectors)))
        mine = np.full(len(vectors), -1) if own is None else own
        real = (places >= 0) & (places != mine[:, None])
        if usual is None:
            usual = _padded_mean(np.where(real, cosines, -1))
        near = real & (cosines >= LEAST_COSINE) & (cosines - usual[:, None] >= LEAST_MARGIN)
        near |= real & (cosines >= KEPT_COSINE)
        asking = [np.repeat(np.arange(len(vectors)), places.shape[1])]
        found, wanted = [places.ravel()], [near.ravel()]
        turned = (hashes, mirrored(hashes))
        ways = [(index, way[:, part]) for part, index in enumerate(self._by_hash) for way in turned]
        for index, each in ways if len(self._usable) else ():
            bits, near = index.nearest(each, min(BY_HASH, len(self._usable)))
            asking.append(np.repeat(np.arange(len(vectors)), near.shape[1]))
            found.append(np.where(near < 0, -1, self._usable[near]).ravel())
            other = np.where(near < 0, -1, self._usable[near])
            allowed = np.where(np.arange(near.shape[1]) < 2, MOST_BITS, FEW_BITS)  # the first may be itself
            wanted.append(((bits <= allowed) & (near >= 0) & (other != mine[:, None])).ravel())
        rows, at, kept = (np.concatenate(each) for each in (asking, found, wanted))
        joined = np.unique(np.stack([rows[kept], at[kept]], axis=1), axis=0)
        rows, at = joined[:, 0], joined[:, 1]
        score = np.einsum("md,md->m", vectors[rows], self._vectors[at]) if len(rows) else np.zeros(0, np.float32)
        return Candidates(rows, at, score, score - usual[rows], bits_apart(hashes[rows], self._hashes[at]))


def bits_apart(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.int32]:
    """(m,) in how many bits the hashes (m, w, 32) of two pictures differ: of the part and the way round that differ in
    the fewest."""
    ways = [np.bitwise_count(each ^ other).sum(axis=2).min(axis=1) for each in (one, mirrored(one))]
    return np.asarray(np.minimum(*ways), np.int32)


def _padded_mean(cosines: NDArray[np.float32]) -> NDArray[np.float32]:
    """(m,) the mean of each row's cosines, as if there were ten at least: a shop of three products has no neighbours
    that say what is usual. -1 stands for none."""
    there = cosines > -1
    missing = np.maximum(NEIGHBOURS - there.sum(axis=1), 0)
    total = np.where(there, cosines, 0).sum(axis=1) + missing * USUAL_COSINE
    return np.asarray(total / np.maximum(there.sum(axis=1) + missing, 1), np.float32)


def mean_of_nearest(vectors: Vectors, store: Vectors, others: Vectors, count: int) -> NDArray[np.float32]:
    """(m,) the mean cosine of the nearest of a store and of other pictures, for the normalisation of scores.

    Args:
        vectors: (m, dim) float32.
        store: (n, dim) float32.
        others: (k, dim) float32; those that are in the store too are counted once.
        count: How many are nearest.
    """
    parts = []
    for each in (store, others):
        if len(each):
            parts.append(nearest_cosines(vectors, each, count))
    joined = -np.sort(-np.concatenate(parts, axis=1), axis=1)
    joined[:, 1:] = np.where(np.abs(np.diff(joined, axis=1)) < 1e-6, -1, joined[:, 1:])
    return _padded_mean(-np.sort(-joined, axis=1)[:, :count])


@dataclass(frozen=True)
class PhotoColumns:
    """Every picture once, by the hash of its bytes.

    Attributes:
        keys: (n,) int64, the first photo of each.
        hashes: (n,) their SHA-256, hex, as bytes of 64 letters.
        vectors: (n, dim) float32.
    """

    keys: Keys
    hashes: NDArray[np.bytes_]
    vectors: Vectors


def read_columns(context: StoreContext, keys: Keys) -> PhotoColumns:
    """The pictures of some photos, each once.

    Args:
        context: The store.
        keys: (m,) int64 with vectors, rising.
    """
    fingerprint = context.model.fingerprint
    names = np.zeros(len(keys), "S64")
    for start in range(0, len(keys), 4096):
        some = keys[start : start + 4096]
        for place, sha256 in context.catalog.photo_hashes(some):
            names[start + place] = sha256
    kept, first = np.unique(names, return_index=True)
    first = np.sort(first[kept != b""])
    vectors = np.zeros((len(first), context.model.dim), np.float32)
    there = np.zeros(len(first), bool)
    for found, rows in context.catalog.vectors(fingerprint):
        at = np.searchsorted(keys[first], found)
        at = np.minimum(at, max(len(first) - 1, 0))
        mine = keys[first][at] == found if len(first) else np.zeros(len(found), bool)
        vectors[at[mine]], there[at[mine]] = rows[mine], True
    first = first[there]
    return PhotoColumns(keys[first], names[first], vectors[there])


class PairSearch:
    """Finds and checks pairs of one store.

    Args:
        context: The store.
        table: Where what was found is kept.
        pictures: Small pictures.
    """

    def __init__(self, context: StoreContext, table: PairTable, pictures: SmallPictures | None = None) -> None:
        self._context, self._table = context, table
        self.pictures = pictures or SmallPictures(context)
        self.version = f"{VERSION}-{context.model.fingerprint}"
        self._open: set[tuple[str, str]] = set()

    def run(self, columns: PhotoColumns, asking: NDArray[np.bool_], progress: Progress | None = None) -> list[Pair]:
        """Check what was not checked yet, keep it, and give every pair that is known.

        Args:
            columns: All pictures.
            asking: (n,) bool: whose copies are wanted.
            progress: Called with the pictures looked at, and how many there are.
        """
        known = self._table.looked(self.version)
        fresh = np.array([each.decode() not in known for each in columns.hashes.tolist()], bool)
        todo = np.flatnonzero(asking & fresh)
        made: list[Pair] = []
        if len(todo):
            needed = np.arange(len(columns.keys))
            hashes, quality = self.signatures(columns, needed)
            search = CandidateSearch(columns.vectors, hashes, quality >= LEAST_QUALITY)
            looked_at = np.full((len(columns.keys), NEIGHBOURS + 2 + 4 * BY_HASH), -1, np.int32)
            for start in range(0, len(todo), BLOCK):
                block = todo[start : start + BLOCK]
                made += self._look(columns, block, search, hashes, looked_at)
                if progress is not None:
                    progress(start + len(block), len(todo))
        if self._context.catalog.read_only:
            every = sorted((*self._table.pairs(self.version), *made), key=lambda each: each.chance)
            return list({(each.one, each.other): each for each in every}.values())  # of two, the surer one
        return self._table.pairs(self.version)

    def compare(self, columns: PhotoColumns, asking: NDArray[np.bool_]) -> list[Pair]:
        """Check the pairs of a few pictures. Nothing is kept of it but hashes: that these few were compared does not
        say that all were.

        Args:
            columns: The few, with the nearest of those that ask.
            asking: (n,) bool: whose copies are wanted.
        """
        every = np.arange(len(columns.keys))
        hashes, quality = self.signatures(columns, every)
        search = CandidateSearch(columns.vectors, hashes, quality >= LEAST_QUALITY)
        # Both sides ask, as when all are looked at: a copy may stand out among the neighbours of one of them alone.
        near = self._context.current().index.search(columns.vectors, NEIGHBOURS + 2)
        real = (near.keys >= 0) & (near.keys != columns.keys[:, None])
        usual = _padded_mean(np.where(real, near.scores, -1).astype(np.float32))
        found = search.of(columns.vectors, hashes, own=every, usual=usual)
        rows = np.flatnonzero(asking[found.asking] | asking[found.found])
        return list(self._checked(columns, found.asking[rows], found, rows))

    def _look(
        self,
        columns: PhotoColumns,
        block: NDArray[np.int64],
        search: CandidateSearch,
        hashes: NDArray[np.uint8],
        looked_at: NDArray[np.int32],
    ) -> list[Pair]:
        found = search.of(columns.vectors[block], hashes[block], own=block)
        asking = block[found.asking]
        # A pair that the other side has asked for already is known, unless that left it open: seen from here it may
        # stand out more clearly among the neighbours.
        new = ~(looked_at[found.found] == asking[:, None]).any(axis=1)
        for row in np.flatnonzero(~new).tolist():
            one, other = sorted(columns.hashes[[found.found[row], asking[row]]].tolist())
            new[row] = (one.decode(), other.decode()) in self._open
        for at, place in enumerate(block.tolist()):
            others = found.found[found.asking == at]
            looked_at[place, : len(others)] = others[: looked_at.shape[1]]
        rows = np.flatnonzero(new)
        pairs = list(self._checked(columns, asking[rows], found, rows))
        self._open |= {(each.one, each.other) for each in pairs if each.chance < CERTAIN}
        self._table.put([columns.hashes[each].decode() for each in block], pairs, self.version)
        return pairs

    def _checked(
        self, columns: PhotoColumns, asking: NDArray[np.int64], found: Candidates, rows: NDArray[np.int64]
    ) -> Iterator[Pair]:
        parts = []
        for start in range(0, len(rows), CHECKED):
            some = rows[start : start + CHECKED]
            mine, its = asking[start : start + CHECKED], found.found[some]
            read = self._read(columns, np.union1d(mine, its))
            names = [(columns.hashes[a].decode(), columns.hashes[b].decode()) for a, b in zip(mine, its, strict=True)]
            usable = np.array([a in read and b in read for a, b in names], bool)
            names, some = [each for each, good in zip(names, usable, strict=True) if good], some[usable]
            sides = [stacked(read, [each[side] for each in names]) for side in (0, 1)]
            parts.append((names, sides, found.cosines[some], found.margins[some], found.bits[some]))
        with ThreadPoolExecutor(THREADS) as pool:
            for pairs in pool.map(lambda part: _pairs(*part), parts):
                yield from pairs

    def signatures(self, columns: PhotoColumns, places: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[Any]]:
        """Hashes (n, 2, 32) and qualities (n,) of pictures, made and kept where they are not known yet."""
        hashes = np.zeros((len(columns.keys), 2, BYTES), np.uint8)
        quality = np.zeros(len(columns.keys), np.uint8)
        for start in range(0, len(places), BLOCK):
            block = places[start : start + BLOCK]
            names = [columns.hashes[each].decode() for each in block]
            known = self._table.signatures(names, VERSION)
            missing = np.array([place for place, name in zip(block, names, strict=True) if name not in known], np.int64)
            made: dict[str, bytes] = {}
            if len(missing):
                read = self._read(columns, missing)
                made = {name: each.hashes.tobytes() + bytes([each.quality]) for name, each in read.items()}
                self._table.put_signatures(made.items(), VERSION)
            for place, name in zip(block, names, strict=True):
                if data := made.get(name) or known.get(name):
                    hashes[place] = np.frombuffer(data[:-1], np.uint8).reshape(2, BYTES)
                    quality[place] = data[-1]
        return hashes, quality

    def _read(self, columns: PhotoColumns, places: NDArray[np.int64]) -> dict[str, SmallPicture]:
        missing = {columns.hashes[each].decode(): int(columns.keys[each]) for each in places}
        return self.pictures.read(missing)


def _pairs(
    names: Sequence[tuple[str, str]],
    sides: Sequence[tuple[NDArray[np.uint8], NDArray[np.float64]]],
    cosines: NDArray[np.float32],
    margins: NDArray[np.float32],
    bits: NDArray[np.int32],
) -> list[Pair]:
    """The pairs worth keeping."""
    likely, compared = chance_of(sides[0], sides[1], cosines, margins, bits)
    colours = compared.measures[:, MEASURES.index("colour")]
    return [
        Pair(
            min(names[place]),
            max(names[place]),
            float(likely[place]),
            float(cosines[place]),
            float(colours[place]),
            bool(compared.mirrored[place]),
        )
        for place in np.flatnonzero((likely >= KEPT_CHANCE) | (cosines >= KEPT_COSINE)).tolist()
    ]


def chance_of(
    first: tuple[NDArray[np.uint8], NDArray[np.float64]],
    second: tuple[NDArray[np.uint8], NDArray[np.float64]],
    cosines: NDArray[np.float32],
    margins: NDArray[np.float32],
    bits: NDArray[np.int32],
) -> tuple[NDArray[np.float64], Compared]:
    """How likely one picture of each of n pairs is made of the other, and where they lie on each other.

    Args:
        first: (n, 48, 48, 3) uint8 and (n,) widths over heights.
        second: The same of the other pictures.
        cosines: (n,) of their vectors.
        margins: (n,), see :class:`Candidates`.
        bits: (n,), see :class:`Candidates`.
    """
    count = len(cosines)
    maps = np.zeros((count, 2, 3), np.float32)
    found = Compared(np.zeros((count, len(MEASURES)), np.float32), maps, np.zeros(count, np.bool_))
    likely = np.zeros(count)
    if not count:
        return likely, found
    likely_one = (margins >= LEAST_MARGIN) | (bits <= ALIKE_BITS)
    rows = np.flatnonzero(likely_one | (alike_as_they_lie(first[0], second[0]) >= LEAST_ALIKE))
    for start in range(0, len(rows), CHECKED):
        some = rows[start : start + CHECKED]
        made = compare(first[0][some], second[0][some], np.stack([first[1][some], second[1][some]], axis=1))
        found.measures[some], found.maps[some], found.mirrored[some] = made.measures, made.maps, made.mirrored
        likely[some] = chance(made.measures, cosines[some], margins[some], bits[some])
    return likely, found
