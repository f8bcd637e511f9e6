"""Finds pairs of pictures of which one is made of the other: candidates by vectors and by hashes, then a check of each.

No table of all pairs: every picture asks for its nearest by vector, by the hashes of the whole and of its content, and
by those mirrored, in blocks. What only a hash finds is a shape on white as often as a copy: its colours must agree,
8 x 8 of them, before pixels are read. What was checked is kept by the hashes of both pictures, so a second run checks
what is new alone.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from lapel.catalog.pairs import Pair, PairTable
from lapel.core.machine import cores
from lapel.core.vectors import Keys, Vectors
from lapel.engine.context import StoreContext
from lapel.engine.features import PICTURE_HASH
from lapel.engine.picture_hash import CELLS, LEAST_QUALITY, NEAR, PARTS, PictureHashes, mirrored, read_hashes
from lapel.indexes.neighbours import HashIndex, nearest, neighbour_index
from lapel.insight.copy_check import MEASURES, VERSION, Compared, Nearness, SmallPicture, chance, compare
from lapel.insight.picture_views import PictureViews
from lapel.insight.pictures import SmallPictures, stacked

NEIGHBOURS = 8  # by vector, of each picture
EXACT_PICTURES = 10_000  # up to which all vectors are compared: all are asked for, and some again
USUAL_COSINE = 0.65  # of a photo's nearest ten among 40,000: for shops that have fewer
BY_HASH = 4  # by each of its hashes, as they are and mirrored
LEAST_COSINE, LEAST_MARGIN = 0.6, 0.05  # of candidates by vector: nine in ten neighbours are not that much nearer
NEAREST_MARGIN = 0.03  # of the very nearest, of a picture that is among those searched; else it is one anyway
FEW_BITS, MORE_BITS, MOST_BITS = 40, 72, 96  # of candidates by hash: of any, and of the nearest one
INK = 235  # of 255: what is lighter in every channel is the paper around the goods
SAME_CELLS = 0.3  # of the coloured cells that must agree, as words may cover the others:
CELLS_FEW, CELLS_MORE, CELLS_MOST = 18, 8, 4  # grey levels by which they may be apart, of so many bits
AS_SURE = 1.0  # of the logarithm of the odds: what is so little behind the surest candidate is no less sure for that
KEPT_CHANCE = 0.05  # of pairs that are remembered,
KEPT_COSINE = 0.9  # or so near by their vectors that they may be the same product
BLOCK = 512  # pictures that ask together
HASHED = 1024  # pictures whose hashes are made and kept together
CHECKED = 48  # pairs checked together: what is worked on stays in the processor's cache

FEW = 16  # hashes that are not worth a thread

Progress = Callable[[int, int | None], None]


class Candidates(NamedTuple):
    """Pairs worth a check.

    Attributes:
        asking: (m,) int64 places of the pictures that asked.
        found: (m,) int64 places of what they found.
        nearness: Of each pair.
        worth: (m,) bool: whether one may be a copy of the other; else they may be one product.
    """

    asking: NDArray[np.int64]
    found: NDArray[np.int64]
    nearness: Nearness
    worth: NDArray[np.bool_]


class CopiesFound(NamedTuple):
    """Of which pictures new ones may be copies: p pairs, each once.

    Attributes:
        asking: (p,) int64 places of the new pictures.
        found: (p,) int64 places of what they may be copies of.
        likely: (p,) float64 chances.
        mirrored: (p,) bool.
    """

    asking: NDArray[np.int64]
    found: NDArray[np.int64]
    likely: NDArray[np.float64]
    mirrored: NDArray[np.bool_]


# The small pictures of places (p,): which can be read (p,), and of those the squares and their widths over heights.
ReadSmall = Callable[[NDArray[np.int64]], tuple[NDArray[np.bool_], NDArray[np.uint8], NDArray[np.float64]]]


class CandidateSearch:
    """Gives every picture what may be a copy of it.

    Args:
        vectors: (n, dim) float32 unit rows.
        looks: Of the same n pictures. Hashes are compared with their like.

    Attributes:
        usual: (n,) float32: the mean cosine of each picture's neighbours, NaN where nobody asked yet.
    """

    def __init__(self, vectors: Vectors, looks: PictureHashes) -> None:
        self._vectors, self._looks = vectors, looks
        self._index = neighbour_index(vectors, EXACT_PICTURES)
        self._usable = np.flatnonzero(looks.quality >= LEAST_QUALITY)
        self._by_hash = [HashIndex(looks.hashes[self._usable, part]) for part in range(looks.hashes.shape[1])]
        self.usual = np.full(len(vectors), np.nan, np.float32)

    def of(
        self,
        vectors: Vectors,
        looks: PictureHashes,
        *,
        own: NDArray[np.int64] | None = None,
        usual: NDArray[np.float32] | None = None,
    ) -> Candidates:
        """Candidates of m pictures, which may be among those searched.

        Args:
            vectors: (m, dim) float32.
            looks: Of the m pictures.
            own: (m,) int64 their places, where they are among those searched: nobody is a candidate of itself, and a
                pair stands out if it does so among the neighbours of either.
            usual: (m,) float32: the mean cosine of their neighbours, where it is not that of those searched.
        """
        mine = np.full(len(vectors), -1) if own is None else own
        cosines, places, known = self._neighbours(vectors, mine)
        usual = known if usual is None else usual
        alike = (cosines >= LEAST_COSINE) & (cosines - usual[:, None] >= LEAST_MARGIN)
        alike |= cosines >= KEPT_COSINE
        first = np.argmax(cosines, axis=1)[:, None]  # may be itself where there is no other
        standing = (np.take_along_axis(cosines, first, axis=1)[:, 0] - usual >= NEAREST_MARGIN) | (own is None)
        closest = np.where(standing, np.take_along_axis(places, first, axis=1)[:, 0], -1)
        alike |= (places == closest[:, None]) & (cosines > -1)
        asking = [np.repeat(np.arange(len(vectors)), places.shape[1])]
        found, wanted = [places.ravel()], [alike.ravel()]
        for bits, near in self._near_hashes(np.concatenate([looks.hashes, mirrored(looks.hashes)])):
            asking.append(np.repeat(np.tile(np.arange(len(vectors)), 2), near.shape[1]))
            other = np.where(near < 0, -1, self._usable[near])
            found.append(other.ravel())
            allowed = np.where(np.arange(near.shape[1]) < 2, MOST_BITS, FEW_BITS)  # the first may be itself
            wanted.append(((bits <= allowed) & (near >= 0) & (other != np.tile(mine, 2)[:, None])).ravel())
        rows, at, kept = (np.concatenate(each) for each in (asking, found, wanted))
        rows, at = np.unique(np.stack([rows[kept], at[kept]], axis=1), axis=0).T
        around = usual[rows] if own is None else self._both(usual, rows, at)
        return self._candidates(rows, at, vectors, looks, around, closest[rows] == at)

    def _near_hashes(self, hashes: NDArray[np.uint8]) -> list[tuple[NDArray[np.int32], NDArray[np.int64]]]:
        """The nearest of m hashes (m, 2, 32), by each part: (m, k) bits, and places among what is usable."""
        if not len(self._usable):
            return []

        def nearest(part: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
            return self._by_hash[part].nearest(hashes[:, part], min(BY_HASH, len(self._usable)))

        if len(hashes) <= FEW:
            return [nearest(part) for part in range(PARTS)]
        with ThreadPoolExecutor(PARTS) as pool:
            return list(pool.map(nearest, range(PARTS)))

    def _candidates(
        self,
        rows: NDArray[np.int64],
        at: NDArray[np.int64],
        vectors: Vectors,
        looks: PictureHashes,
        usual: NDArray[np.float32],
        closest: NDArray[np.bool_],
    ) -> Candidates:
        """Those pairs that are worth a check, or near enough to be one product; ``usual`` is of each pair, ``closest``
        says which are worth one as nothing else is nearer."""
        score = np.einsum("md,md->m", vectors[rows], self._vectors[at])
        near = Nearness(score, score - usual, bits_apart(looks.hashes[rows], self._looks.hashes[at]))
        apart = cells_apart(looks.cells[rows], self._looks.cells[at])
        worth = (near.cosines >= LEAST_COSINE) & (near.margins >= LEAST_MARGIN) | (near.bits <= NEAR) | closest
        for bits, levels in ((FEW_BITS, CELLS_FEW), (MORE_BITS, CELLS_MORE), (MOST_BITS, CELLS_MOST)):
            worth |= (near.bits <= bits) & (apart <= levels)
        kept = worth | (score >= KEPT_COSINE)
        return Candidates(rows[kept], at[kept], near.of(kept), worth[kept])

    def nearness(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> Nearness:
        """That of pairs (p,) of places among those searched."""
        unknown = np.unique(one[np.isnan(self.usual[one])])
        if len(unknown):
            self._neighbours(self._vectors[unknown], unknown)
        score = np.einsum("md,md->m", self._vectors[one], self._vectors[other])
        usual = self._both(self.usual[one], np.arange(len(one)), other)
        return Nearness(score, score - usual, bits_apart(self._looks.hashes[one], self._looks.hashes[other]))

    def beside_rivals(
        self,
        asking: NDArray[np.int64],
        found: NDArray[np.int64],
        likely: NDArray[np.float64],
        its: tuple[NDArray[np.uint8], NDArray[np.float64]],
    ) -> NDArray[np.float64]:
        """Chances of new pictures' candidates, each beside the surest one of the same picture: of two that are no
        copies of each other, as goods of one series, a picture is made of one alone.

        Args:
            asking: (n,) which picture asked.
            found: (n,) int64 what it found, places among those searched.
            likely: (n,) how likely it is made of that.
            its: Small pictures of what it found, as :func:`chance_of` takes them.
        """
        odds = logit(likely.clip(1e-9, 1 - 1e-9))
        order = np.lexsort((-odds, asking))
        first = np.searchsorted(asking[order], asking[order])
        surest = np.empty(len(order), np.int64)
        surest[order] = order[first]
        behind = odds[surest] - odds - AS_SURE
        rows = np.flatnonzero((behind > 0) & (likely >= KEPT_CHANCE))
        if not len(rows):
            return likely
        best = surest[rows]
        surer, other = ((its[0][each], its[1][each]) for each in (best, rows))
        one, _ = chance_of(surer, other, self.nearness(found[best], found[rows]))
        rows = rows[one < 0.5]
        made = likely.copy()
        made[rows] = expit(odds[rows] - behind[rows])
        return made

    def copies(self, views: PictureViews, read: ReadSmall, *, usual: NDArray[np.float32] | None = None) -> CopiesFound:
        """What new pictures may be copies of. Of the views of one picture, the surest counts.

        Args:
            views: Of the new pictures.
            read: Reads the small pictures of places among those searched.
            usual: As in :meth:`of`, (m,) of the views.
        """
        found = self.of(views.vectors, views.looks, usual=usual)
        rows, at = found.asking[found.worth], found.found[found.worth]
        readable, squares, ratios = read(at)
        rows, at = rows[readable], at[readable]
        near = found.nearness.of(found.worth).of(readable)
        likely, compared = chance_of((views.squares[rows], views.ratios[rows]), (squares, ratios), near)
        order = np.lexsort((-likely, at, views.of[rows]))
        pairs = np.stack([views.of[rows], at], axis=1)[order]
        best = order[np.unique(pairs, axis=0, return_index=True)[1]]
        return CopiesFound(views.of[rows[best]], at[best], likely[best], compared.mirrored[best])

    def _neighbours(
        self, vectors: Vectors, mine: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
        """(m, k) cosines and places of the nearest, -1 where there are no more or it is itself; and their mean."""
        found = nearest(vectors, self._index, NEIGHBOURS + 2)
        cosines, places = found.scores, found.keys
        cosines = np.where((places >= 0) & (places != mine[:, None]), cosines, -1)
        usual = _padded_mean(cosines)
        self.usual[mine[mine >= 0]] = usual[mine >= 0]
        return cosines, places, usual

    def _both(self, usual: NDArray[np.float32], rows: NDArray[np.int64], at: NDArray[np.int64]) -> NDArray[np.float32]:
        """(p,) of each pair the lower of what is usual around either."""
        unknown = np.unique(at[np.isnan(self.usual[at])])
        if len(unknown):
            self._neighbours(self._vectors[unknown], unknown)
        return np.asarray(np.minimum(usual[rows], self.usual[at]), np.float32)


def cells_apart(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.int16]:
    """(m,) by how many grey levels, at most, 30 % of the coloured cells of two pictures (m, 2, 8, 8, 3) differ that lie
    on each other, of the wholes or the contents, as they are or mirrored; 255 where there are none. Cells count that
    are coloured in the one or in the other picture, whichever agrees better: words over white colour cells in one."""
    found = []
    for each in (one, one[:, :, :, ::-1]):
        apart = np.abs(each.astype(np.int16) - other).max(axis=4).reshape(len(each), PARTS, CELLS * CELLS)
        for inked in ((side.min(axis=4) < INK).reshape(apart.shape) for side in (each, other)):
            ranked = np.sort(np.where(inked, apart, 255), axis=2)
            at = np.minimum((inked.sum(axis=2) * SAME_CELLS).astype(int), CELLS * CELLS - 1)
            found.append(np.take_along_axis(ranked, at[:, :, None], axis=2)[..., 0].min(axis=1))
    return np.asarray(np.min(found, axis=0), np.int16)


def inks_apart(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(m,) how far the mean colours of two pictures' coloured cells are apart, wherever they lie: the unit is that of
    the measure ``colour``."""
    means = []
    for cells in (one, other):
        flat = cells[:, 0].reshape(len(cells), CELLS * CELLS, 3).astype(np.float32)
        inked = (flat.min(axis=2) < INK)[..., None]
        mean = (flat * inked).sum(axis=1) / np.maximum(inked.sum(axis=1), 1)
        means.append(mean - mean.mean(axis=1, keepdims=True))
    return np.asarray(np.abs(means[0] - means[1]).sum(axis=1) / 10, np.float32)


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
            parts.append(nearest(vectors, each, count).scores)
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

    def run(self, columns: PhotoColumns, asking: NDArray[np.bool_], progress: Progress | None = None) -> list[Pair]:
        """Check what was not checked yet, keep it, and give every pair that is known.

        Args:
            columns: All pictures.
            asking: (n,) bool: whose copies are wanted.
            progress: Called with the pictures hashed, where some are not yet, then with those looked at; each with how
                many there are.
        """
        known = self._table.looked(self.version)
        fresh = np.array([each.decode() not in known for each in columns.hashes.tolist()], bool)
        todo = np.flatnonzero(asking & fresh)
        made: list[Pair] = []
        if len(todo):
            looks = self.looks(columns, np.arange(len(columns.keys)), progress)
            search = CandidateSearch(columns.vectors, looks)
            looked_at = np.full((len(columns.keys), NEIGHBOURS + 2 + 4 * BY_HASH), -1, np.int32)
            for start in range(0, len(todo), BLOCK):
                block = todo[start : start + BLOCK]
                made += self._look(columns, block, search, looks, looked_at)
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
        looks = self.looks(columns, every)
        search = CandidateSearch(columns.vectors, looks)
        near = self._context.current().index.search(columns.vectors, NEIGHBOURS + 2)
        real = (near.keys >= 0) & (near.keys != columns.keys[:, None])
        search.usual = _padded_mean(np.where(real, near.scores, -1).astype(np.float32))
        found = search.of(columns.vectors, looks, own=every)
        rows = np.flatnonzero(asking[found.asking] | asking[found.found])
        return self._checked(columns, looks, found.asking[rows], found, rows)

    def _look(
        self,
        columns: PhotoColumns,
        block: NDArray[np.int64],
        search: CandidateSearch,
        looks: PictureHashes,
        looked_at: NDArray[np.int32],
    ) -> list[Pair]:
        found = search.of(columns.vectors[block], looks.of(block), own=block)
        asking = block[found.asking]
        known = (looked_at[found.found] == asking[:, None]).any(axis=1)  # the other side has asked for it already
        for at, place in enumerate(block.tolist()):
            others = found.found[found.asking == at]
            looked_at[place, : len(others)] = others[: looked_at.shape[1]]
        both = np.sort(np.stack([asking, found.found], axis=1), axis=1)  # both sides ask in this block
        first = np.zeros(len(both), np.bool_)
        first[np.unique(both, axis=0, return_index=True)[1]] = True
        rows = np.flatnonzero(first & ~known)
        pairs = self._checked(columns, looks, asking[rows], found, rows)
        self._table.put([columns.hashes[each].decode() for each in block], pairs, self.version)
        return pairs

    def _checked(
        self,
        columns: PhotoColumns,
        looks: PictureHashes,
        asking: NDArray[np.int64],
        found: Candidates,
        rows: NDArray[np.int64],
    ) -> list[Pair]:
        """The pairs worth keeping of those that ``asking`` (m,) found in ``rows`` (m,)."""
        its, near = found.found[rows], found.nearness.of(rows)
        chances, colours = np.zeros(len(rows)), inks_apart(looks.cells[asking], looks.cells[its])
        turned = np.zeros(len(rows), np.bool_)
        worth = np.flatnonzero(found.worth[rows])
        pictures = self._read(columns, np.union1d(asking[worth], its[worth]))
        names = [each.decode() for each in columns.hashes.take(np.concatenate([asking, its])).tolist()]
        ones, others = names[: len(rows)], names[len(rows) :]
        readable = np.array([ones[at] in pictures and others[at] in pictures for at in worth.tolist()], np.bool_)
        # What cannot be read is known by its bytes alone.
        lost = [at for at, good in zip(worth.tolist(), readable.tolist(), strict=True) if not good]
        worth = worth[readable]
        parts = [worth[start : start + CHECKED] for start in range(0, len(worth), CHECKED)]

        def check(part: NDArray[np.int64]) -> tuple[NDArray[np.float64], Compared]:
            one, other = (stacked(pictures, [side[at] for at in part.tolist()]) for side in (ones, others))
            return chance_of(one, other, near.of(part))

        with ThreadPoolExecutor(cores()) as pool:
            for part, (likely, compared) in zip(parts, pool.map(check, parts), strict=True):
                chances[part], turned[part] = likely, compared.mirrored
                measured = compared.measures[:, MEASURES.index("overlap")] > 0
                colours[part[measured]] = compared.measures[measured, MEASURES.index("colour")]
        kept = (chances >= KEPT_CHANCE) | (near.cosines >= KEPT_COSINE)
        kept[lost] = False
        return [
            Pair(
                min(ones[at], others[at]),
                max(ones[at], others[at]),
                float(chances[at]),
                float(near.cosines[at]),
                float(colours[at]),
                bool(turned[at]),
            )
            for at in np.flatnonzero(kept).tolist()
        ]

    def looks(
        self, columns: PhotoColumns, places: NDArray[np.int64], progress: Progress | None = None
    ) -> PictureHashes:
        """The hashes of pictures, zeros for the others. Those of photos that came before the feature was are made now
        and kept, some at a time; ``progress`` is told of them."""
        catalog = self._context.catalog
        values = [b""] * len(columns.keys)
        keys = columns.keys[places]
        for start in range(0, len(keys), 4096):
            some = places[start : start + 4096]
            known = catalog.features.get(*PICTURE_HASH.key, keys[start : start + 4096].tolist())
            for place, key in zip(some.tolist(), columns.keys[some].tolist(), strict=True):
                values[place] = known.get(key, b"")
        missing = [place for place in places.tolist() if not values[place]]
        for start in range(0, len(missing), HASHED):
            some = np.array(missing[start : start + HASHED])
            names = {columns.hashes[place].decode(): int(columns.keys[place]) for place in some}
            made = self.pictures.hashes(names)
            if not catalog.read_only:
                keys_of = catalog.photos_by_hash(made)
                every = {key: value for name, value in made.items() for key in keys_of.get(name, ())}
                catalog.features.put(*PICTURE_HASH.key, every)
            for place, name in zip(some.tolist(), names, strict=True):
                values[place] = made.get(name, b"")
            if progress is not None:
                progress(start + len(some), len(missing))
        return read_hashes(values)

    def _read(self, columns: PhotoColumns, places: NDArray[np.int64]) -> dict[str, SmallPicture]:
        return self.pictures.read({columns.hashes[each].decode(): int(columns.keys[each]) for each in places})


def chance_of(
    first: tuple[NDArray[np.uint8], NDArray[np.float64]],
    second: tuple[NDArray[np.uint8], NDArray[np.float64]],
    nearness: Nearness,
) -> tuple[NDArray[np.float64], Compared]:
    """How likely one picture of each of n pairs is made of the other, and where they lie on each other.

    Args:
        first: (n, 48, 48, 3) uint8 and (n,) widths over heights.
        second: The same of the other pictures.
        nearness: Of those pairs.
    """
    count = len(nearness.bits)
    found = Compared(
        np.zeros((count, len(MEASURES)), np.float32), np.zeros((count, 2, 3), np.float32), np.zeros(count, np.bool_)
    )
    likely = np.zeros(count)
    for start in range(0, count, CHECKED):
        some = slice(start, start + CHECKED)
        ratios = np.stack([first[1][some], second[1][some]], axis=1)
        made = compare(first[0][some], second[0][some], ratios, nearness.of(some))
        found.measures[some], found.maps[some], found.mirrored[some] = made.measures, made.maps, made.mirrored
        likely[some] = chance(made.measures, nearness.of(some))
    return likely, found
