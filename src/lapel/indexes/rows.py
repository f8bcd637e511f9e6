"""Keys, rows and scores: the arithmetic that every index shares, and the handle of a filter that is asked often.

A *key* names a vector outside an index; a *row* is its position in an index's own matrix.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import InputError, QueryError
from lapel.core.types import Matches
from lapel.core.vectors import Keys, Vectors, check_keys

Scores = NDArray[np.float32]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]  # (rows,)

MAX_SCORES = 8_000_000  # scores held at once: 32 MB of float32, 200 queries against 40,000 vectors

T = TypeVar("T")
_versions = itertools.count(1)


def next_version() -> int:
    """A number that no state of any index of this process had before."""
    return next(_versions)


class RowFilter:
    """Keys that a search may find, for whoever asks often under one filter.

    An index keeps here what it found out about the keys, until it changes. One handle serves any number of indexes and
    threads; keys that an index does not hold are ignored.

    Args:
        keys: (n,) keys in any order.

    Attributes:
        keys: (m,) int64, sorted, each once.

    Raises:
        InputError: keys that are none.

    Example:
        >>> shirts = RowFilter(catalog.matching_keys(Filter.parse(["gender=Men"])))
        >>> for query in queries:
        ...     index.search(query, 10, shirts)
    """

    def __init__(self, keys: Keys) -> None:
        self.keys = check_keys(keys)
        if bool((np.diff(self.keys) <= 0).any()):
            self.keys = np.unique(self.keys)
        self._found: dict[str, tuple[int, Any]] = {}

    @classmethod
    def of(cls, keys: Keys | RowFilter | None) -> RowFilter | None:
        """What ``search`` is given -> a handle; None for all keys."""
        return keys if keys is None or isinstance(keys, RowFilter) else cls(keys)

    def __len__(self) -> int:
        return len(self.keys)

    def cached(self, part: str, version: int, find: Callable[[Keys], T]) -> T:
        """What ``find`` says of the keys, kept for one state of one part of an index.

        Args:
            part: Which part; a handle keeps one answer for each.
            version: Of the part's state, from :func:`next_version`.
            find: Sorted keys -> what is to be kept.
        """
        known = self._found.get(part)
        if known is None or known[0] != version:
            known = self._found[part] = (version, find(self.keys))
        found: T = known[1]
        return found


def check_dim(dim: int) -> int:
    """Return a width that vectors can have, else raise InputError."""
    if dim < 1:
        raise InputError(f"An index needs vectors at least 1 wide; found dim={dim}.")
    return dim


def check_k(k: int) -> None:
    """Raise QueryError unless k is a whole number from one up."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise QueryError(f"k is how many to find, a whole number from 1 up; found {k!r}.")


def last_of_each(keys: Keys) -> tuple[Keys, Rows]:
    """The distinct keys sorted, (m,), and the last position of each in ``keys``, (m,)."""
    distinct, from_end = np.unique(keys[::-1], return_index=True)
    return distinct, (len(keys) - 1 - from_end).astype(np.int64)


def rows_of(keys: Keys, wanted: Keys) -> tuple[Rows, Mask]:
    """The place of each wanted key in the sorted keys, (m,), and whether it is there, (m,) bool."""
    if not len(keys):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    rows = np.searchsorted(keys, wanted)
    return rows, keys[np.minimum(rows, len(keys) - 1)] == wanted


def mask_of(keys: Keys, wanted: Keys) -> Mask:
    """Which of (n,) keys in any order are among the sorted wanted ones: (n,) bool."""
    # A table with one place a key takes a third of np.isin's time. Catalogue keys are dense, so the table is small;
    # after many deletions it may not be.
    if len(keys) and (top := int(keys.max())) <= 16 * len(keys):
        table = np.zeros(top + 1, bool)
        table[wanted[: np.searchsorted(wanted, len(table))]] = True
        return table[keys]
    mask: Mask = np.isin(keys, wanted)
    return mask


def best_rows(scores: Scores, k: int) -> Rows:
    """Positions of the k best of each row of scores: (q, n) to (q, k) with k <= n; equal scores by position."""
    count = scores.shape[1]
    if k >= count:
        return np.argsort(-scores, axis=1, kind="stable").astype(np.int64)
    rows = np.sort(np.argpartition(scores, count - k, axis=1)[:, count - k :], axis=1)
    lowest = np.take_along_axis(scores, rows, axis=1).min(axis=1, keepdims=True)
    # A partition keeps any of the scores that equal the lowest one kept; the rule wants those that come first.
    for query in np.flatnonzero(np.count_nonzero(scores >= lowest, axis=1) > k):
        above = np.flatnonzero(scores[query] > lowest[query])
        equal = np.flatnonzero(scores[query] == lowest[query])
        rows[query] = np.sort(np.concatenate([above, equal[: k - len(above)]]))
    order = np.argsort(-np.take_along_axis(scores, rows, axis=1), axis=1, kind="stable")
    return np.take_along_axis(rows, order, axis=1).astype(np.int64)


def best_by_matrix(queries: Vectors, vectors: Vectors, k: int) -> tuple[Rows, Scores]:
    """Multiply queries (q, dim) with vectors (n, dim), a block of queries at a time; keep the best min(k, n) of each.

    Returns:
        (q, min(k, n)) rows and scores, best first.
    """
    kept = min(k, len(vectors))
    rows = np.empty((len(queries), kept), np.int64)
    best = np.empty((len(queries), kept), np.float32)
    if not kept:
        return rows, best
    step = max(1, MAX_SCORES // len(vectors))
    for start in range(0, len(queries), step):
        block = slice(start, start + step)
        scores = queries[block] @ vectors.T  # (step, n)
        rows[block] = best_rows(scores, kept)
        best[block] = np.take_along_axis(scores, rows[block], axis=1)
    return rows, best


def pad(keys: Keys, rows: Rows, scores: Scores, k: int) -> Matches:
    """Turn rows into their keys, and widen (q, m <= k) to (q, k) with -1 and -inf; a row of -1 is no match."""
    padded = no_matches(len(rows), k)
    padded.keys[:, : rows.shape[1]] = np.where(rows < 0, -1, keys[rows]) if len(keys) else -1
    padded.scores[:, : rows.shape[1]] = scores
    return padded


def no_matches(queries: int, k: int) -> Matches:
    """No answer: (queries, k) of -1 and -inf."""
    return Matches(np.full((queries, k), -1, np.int64), np.full((queries, k), -np.inf, np.float32))


def merge_matches(parts: list[Matches], k: int) -> Matches:
    """The k best of several answers to the same queries, by descending score, then ascending key."""
    keys: Keys = np.concatenate([part.keys for part in parts], axis=1)
    scores: Scores = np.concatenate([part.scores for part in parts], axis=1)
    order = np.lexsort((keys, -scores))[:, :k]
    return Matches(np.take_along_axis(keys, order, axis=1), np.take_along_axis(scores, order, axis=1))
