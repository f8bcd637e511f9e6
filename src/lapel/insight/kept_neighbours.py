"""The nearest others of every product, kept in the store's folder: a second run looks up what came since.

Different vectors are kept with the nearest of each, more of them than are asked for. A vector that is gone leaves holes
in the lists of others; a list is looked up again when more are gone than it has to spare. A vector that is new is
compared with all, and enters the lists whose last member is further away than it is. So lists are those of a run from
nothing, up to the last bit of a cosine. Above :data:`lapel.indexes.neighbours.EXACT_ROWS` vectors a run from nothing
looks in cells and misses some; what is mended is compared with all, so it misses no more than the run before.

Vectors are known by their bytes. A file of another store or model knows none of them, so nothing of it is used.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapel.core.vectors import Vectors
from lapel.engine.context import StoreContext
from lapel.indexes.neighbours import BLOCK, nearest, neighbour_index
from lapel.indexes.rows import MAX_SCORES
from lapel.insight.kept_file import Digests, digests_of, read_kept, write_kept

FILE = "neighbours.npz"
MARK = "1"  # changes when lists are made otherwise
KEPT = 64  # of each vector, itself among them: 13 more than any question asks for can go before it is looked up again
NEW_SHARE, MOST_NEW = 0.1, 20_000  # of vectors, beyond which all are looked up
RANKED = 256  # lists whose vectors are gathered at once: 17 MB of 128 numbers
FEW = BLOCK  # that are compared with all: an index pays for itself by more
SAVED_EVERY = 60.0  # seconds; what was looked up since is lost when the process is killed
ROUNDING = 2e-7  # by which a product of matrices may miss a cosine

Rows = NDArray[np.int32]
Cosines = NDArray[np.float32]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Lists:
    """The nearest of different vectors, themselves among them, by falling cosine and rising row.

    Attributes:
        digests: (n,) what each is known by.
        rows: (n, k) int32 rows, -1 where there are no more. A list without any is not known.
        cosines: (n, k) float32, -2 where there are no more. Whatever is nearer than the last is in the list.
    """

    digests: Digests
    rows: Rows
    cosines: Cosines

    @classmethod
    def unknown(cls, digests: Digests, kept: int) -> Lists:
        """Of vectors whose nearest are still to be looked up."""
        shape = (len(digests), kept)
        return cls(digests, np.full(shape, -1, np.int32), np.full(shape, -2, np.float32))

    def fits(self, kept: int) -> bool:
        """Whether these are lists at all."""
        shape = (len(self.digests), kept)
        types = [each.dtype.name for each in (self.digests, self.rows, self.cosines)] == ["uint64", "int32", "float32"]
        shapes = self.rows.shape == self.cosines.shape == shape
        return types and shapes and bool(((self.rows >= -1) & (self.rows < shape[0])).all())


def nearest_kept(
    context: StoreContext,
    vectors: Vectors,
    k: int,
    *,
    keep: bool = True,
    progress: Progress | None = None,
) -> tuple[NDArray[np.int64], Cosines]:
    """Each row's k nearest other rows, the nearest first, as :func:`lapel.indexes.neighbours.nearest_others` gives
    them.

    Args:
        context: The store, in whose folder they are kept.
        vectors: (n, dim) float32 unit rows.
        k: At most 50, and at most n - 1.
        keep: Whether these are all rows of the store: lists of some would take the place of those of all.
        progress: Called with the rows looked up, and how many there are to look up. Stopped, what was looked up is
            kept.

    Returns:
        (n, k) int64 rows and (n, k) float32 cosines.
    """
    digests, first, member_of = np.unique(digests_of(vectors), return_index=True, return_inverse=True)
    different = np.ascontiguousarray(vectors[first], np.float32)
    found = read_kept(context.folder / FILE, MARK, ("digests", "rows", "cosines"))
    before = Lists(*found.values()) if found is not None else None

    def save(lists: Lists) -> None:
        if keep:
            write_kept(context, FILE, MARK, vars(lists))

    lists = up_to_date(before, digests, different, k + 1, save=save, progress=progress)
    return expanded(lists, member_of, k)


def up_to_date(
    before: Lists | None,
    digests: Digests,
    vectors: Vectors,
    wanted: int,
    *,
    kept: int = KEPT,
    save: Callable[[Lists], None] = lambda _lists: None,
    progress: Progress | None = None,
) -> Lists:
    """The lists of vectors, made of those of before as far as they go.

    Args:
        before: Lists of before; None, or what is none, counts for nothing.
        digests: (n,) rising, none twice.
        vectors: (n, dim) float32 unit rows.
        wanted: How many each list holds at least, where there are so many.
        kept: How many one holds at most.
        save: Called with what is known: when it is whole, once a minute before, and when it is stopped.
        progress: Called with the rows looked up, and how many there are to look up.
    """
    lists = Lists.unknown(digests, kept)
    new = np.arange(len(digests))
    if before is not None and before.fits(kept):
        there = np.isin(digests, before.digests)
        if (~there).sum() <= min(NEW_SHARE * len(digests), MOST_NEW):
            new = np.flatnonzero(~there)
            lists = _survivors(before, digests)
            _enter(lists, vectors, new, whole=len(before.digests) <= kept)
    missing = np.flatnonzero((lists.rows >= 0).sum(axis=1) < min(wanted, len(digests)))
    changed = len(missing) > 0 or before is None or not np.array_equal(before.digests, digests)
    saved = time.monotonic()
    try:
        if len(missing):
            among = vectors if len(missing) <= FEW else neighbour_index(vectors)
        for start in range(0, len(missing), BLOCK):
            some = missing[start : start + BLOCK]
            found = nearest(vectors[some], among, kept).keys.astype(np.int32)
            rows, cosines = _ranked(vectors, some, found, kept)
            lists.cosines[some], lists.rows[some] = cosines, rows  # what has rows is known, also when this is stopped
            if progress is not None:
                progress(start + len(some), len(missing))
            if time.monotonic() - saved > SAVED_EVERY:
                save(lists)
                saved = time.monotonic()
    finally:
        if changed:
            save(lists)
    return lists


def _survivors(before: Lists, digests: Digests) -> Lists:
    """What is left of lists of before: without the vectors that are gone, with none for those that are new."""
    at = np.searchsorted(digests, before.digests).clip(0, max(0, len(digests) - 1))
    row_of = np.where(digests[at] == before.digests, at, -1).astype(np.int32)
    there = row_of >= 0
    lists = Lists.unknown(digests, before.rows.shape[1])
    rows = np.where(before.rows[there] >= 0, row_of[before.rows[there]], -1)
    cosines = np.where(rows >= 0, before.cosines[there], np.float32(-2))
    holes = np.flatnonzero((np.diff((rows < 0).astype(np.int8), axis=1) < 0).any(axis=1))
    order = np.argsort(rows[holes] < 0, axis=1, kind="stable")  # what is left moves up
    rows[holes] = np.take_along_axis(rows[holes], order, axis=1)
    cosines[holes] = np.take_along_axis(cosines[holes], order, axis=1)
    lists.rows[row_of[there]], lists.cosines[row_of[there]] = rows, cosines
    return lists


def _enter(lists: Lists, vectors: Vectors, new: NDArray[np.int64], *, whole: bool) -> None:
    """Put new rows into the lists of others that they belong to; ``whole`` lists hold all rows of before."""
    counts = (lists.rows >= 0).sum(axis=1)
    last = np.take_along_axis(lists.cosines, np.maximum(counts - 1, 0)[:, None], axis=1)[:, 0]
    bounds = np.where(counts == 0, np.inf, -np.inf if whole else last - ROUNDING).astype(np.float32)
    kept, step = lists.rows.shape[1], max(1, MAX_SCORES // len(vectors))
    parts = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))]
    for start in range(0, len(new), step):
        some = new[start : start + step]
        scores = vectors[some] @ vectors.T
        one, at = np.nonzero(scores >= bounds)
        parts.append((at, some[one], scores[one, at]))
    at, entering, near = (np.concatenate(each) for each in zip(*parts, strict=True))
    order = np.lexsort((-near, at))
    at, entering = at[order], entering[order]
    touched, begin, sizes = np.unique(at, return_index=True, return_counts=True)
    place = np.arange(len(at)) - np.repeat(begin, sizes)
    wide = np.full((len(touched), kept), -1, np.int32)  # no list has room for more
    fitting = place < kept
    wide[np.repeat(np.arange(len(touched)), sizes)[fitting], place[fitting]] = entering[fitting]
    for start in range(0, len(touched), BLOCK):
        some = touched[start : start + BLOCK]
        joined = np.concatenate([lists.rows[some], wide[start : start + BLOCK]], axis=1)
        rows, cosines = _ranked(vectors, some, joined, joined.shape[1])
        if not whole:  # what is further away than the last of before may not be all there is
            beyond = cosines < last[some, None]
            rows[beyond], cosines[beyond] = -1, -2
        lists.rows[some], lists.cosines[some] = rows[:, :kept], cosines[:, :kept]


def _ranked(vectors: Vectors, asking: NDArray[np.int64], rows: Rows, kept: int) -> tuple[Rows, Cosines]:
    """(m, kept) rows and cosines of (m, j) rows that were found, -1 for none. Cosines are added up in the same order
    whoever asks, unlike those of a product of matrices: a pair has one cosine."""
    cosines = np.full(rows.shape, -2, np.float32)
    for start in range(0, len(rows), RANKED):
        some = slice(start, start + RANKED)
        near, own = vectors[rows[some]].astype(np.float64), vectors[asking[some]].astype(np.float64)
        cosines[some] = np.einsum("mjd,md->mj", near, own)
    cosines[rows < 0] = -2
    order = np.lexsort((rows, -cosines))
    rows, cosines = np.take_along_axis(rows, order, axis=1), np.take_along_axis(cosines, order, axis=1)
    lacking = ((0, 0), (0, max(0, kept - rows.shape[1])))
    return (
        np.pad(rows, lacking, constant_values=-1)[:, :kept],
        np.pad(cosines, lacking, constant_values=-2)[:, :kept],
    )


def expanded(lists: Lists, member_of: NDArray[np.int64], k: int) -> tuple[NDArray[np.int64], Cosines]:
    """The k nearest other rows, where several rows may have one vector.

    Args:
        lists: Of different vectors.
        member_of: (n,) which of them each row has.
        k: At most n - 1.
    """
    count, width = len(member_of), min(k + 1, len(member_of))
    by_vector = np.argsort(member_of, kind="stable")
    sizes = np.bincount(member_of, minlength=len(lists.digests))
    starts, few = np.cumsum(sizes) - sizes, np.minimum(sizes, k + 1)  # of rows with one vector no more are told
    table = np.empty((len(sizes), width), np.int32)
    scores = np.empty((len(sizes), width), np.float32)
    for start in range(0, len(sizes), BLOCK):
        some = slice(start, start + BLOCK)
        near = lists.rows[some, : k + 1]
        flat = near.ravel()
        times = np.where(flat >= 0, few[flat], 0)
        owner = np.repeat(np.arange(near.size) // near.shape[1], times)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(times) - times, times)
        rows = by_vector[np.repeat(starts[flat], times) + within]
        cosines = np.repeat(lists.cosines[some, : k + 1].ravel(), times)
        order = np.lexsort((rows, -cosines, owner))
        taken = order[np.searchsorted(owner, np.arange(len(near)))[:, None] + np.arange(width)]  # owners rise already
        table[some], scores[some] = rows[taken], cosines[taken]
    found = np.empty((count, min(k, count - 1)), np.int64)
    cosines = np.empty(found.shape, np.float32)
    for start in range(0, count, BLOCK):
        own = member_of[start : start + BLOCK]
        is_own = table[own] == np.arange(start, start + len(own))[:, None]
        kept = np.argsort(is_own, axis=1, kind="stable")[:, : found.shape[1]]  # all but itself
        found[start : start + BLOCK] = np.take_along_axis(table[own], kept, axis=1)
        cosines[start : start + BLOCK] = np.take_along_axis(scores[own], kept, axis=1)
    return found, cosines
