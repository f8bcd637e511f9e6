"""Keys, rows and scores: the arithmetic that every index shares, and the handle of a filter that is asked often.

A *key* names a vector outside an index; a *row* is its position in an index's own columns. Answers are sorted by
descending score, then ascending key.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
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
        if bool((self.keys[1:] <= self.keys[:-1]).any()):
            self.keys = np.unique(self.keys)
        self._found: dict[str, tuple[int, Any]] = {}
        self._asked = 0  # the version it was last asked with

    @classmethod
    def of(cls, keys: Keys | RowFilter | None) -> RowFilter | None:
        """What ``search`` is given -> a handle; None for all keys."""
        return keys if keys is None or isinstance(keys, RowFilter) else cls(keys)

    def __len__(self) -> int:
        return len(self.keys)

    def of_these(self, keys: Keys) -> Mask:
        """Which keys, of any shape, are among them; in time that hardly grows with their number."""
        if not len(self.keys):
            return np.zeros(keys.shape, bool)
        found: Mask = self.keys[np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)] == keys
        return found

    def is_new(self, version: int) -> bool:
        """Whether this is asked for the first time of one state of an index."""
        before, self._asked = self._asked, version
        return before != version

    def cached(self, part: str, version: int, find: Callable[[], T]) -> T:
        """What ``find`` gives, kept for one state of one part of an index.

        Args:
            part: Which part; a handle keeps one answer for each.
            version: Of the part's state, from :func:`next_version`.
            find: Makes what is to be kept.
        """
        known = self._found.get(part)
        if known is None or known[0] != version:
            known = self._found[part] = (version, find())
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


def no_matches(queries: int, k: int) -> Matches:
    """No answer: (queries, k) of -1 and -inf."""
    return Matches(np.full((queries, k), -1, np.int64), np.full((queries, k), -np.inf, np.float32))


def best_matches(scores: Scores, keys: Keys, k: int) -> Matches:
    """The k best of (q, n) scores of (n,) keys in any order: (q, k), padded. A score of -inf is no match."""
    best = no_matches(len(scores), k)
    kept = min(k, len(keys))
    if not kept or not len(scores):
        return best
    if kept < len(keys):
        places = np.argpartition(scores, len(keys) - kept, axis=1)[:, len(keys) - kept :]
        lowest = np.take_along_axis(scores, places, axis=1).min(axis=1, keepdims=True)
        # A partition keeps any of the scores that equal the lowest one kept; the rule wants the lowest keys.
        for query in np.flatnonzero(np.count_nonzero(scores >= lowest, axis=1) > kept):
            above = np.flatnonzero(scores[query] > lowest[query])
            equal = np.flatnonzero(scores[query] == lowest[query])
            equal = equal[np.argsort(keys[equal])]
            places[query] = np.concatenate([above, equal[: kept - len(above)]])
        scores, keys = np.take_along_axis(scores, places, axis=1), keys[places]
    merged = merge_matches([Matches(np.broadcast_to(keys, scores.shape), scores)], k)
    best.keys[:, :kept] = np.where(np.isneginf(merged.scores), -1, merged.keys)
    best.scores[:, :kept] = merged.scores
    return best


def merge_matches(parts: Sequence[Matches], k: int) -> Matches:
    """The k best of several answers to the same queries, by descending score, then ascending key."""
    keys: Keys = np.concatenate([part.keys for part in parts], axis=1)
    scores: Scores = np.concatenate([part.scores for part in parts], axis=1)
    order = np.lexsort((keys, -scores))[:, :k]
    return Matches(np.take_along_axis(keys, order, axis=1), np.take_along_axis(scores, order, axis=1))


def scan(queries: Vectors, vectors: Vectors, keys: Keys, k: int) -> Matches:
    """Multiply queries (q, dim) with the (n, dim) vectors of (n,) keys, some queries at a time: the k best, (q, k)."""
    step = max(1, MAX_SCORES // max(1, len(vectors)))
    parts = [best_matches(queries[at : at + step] @ vectors.T, keys, k) for at in range(0, len(queries), step)] or [
        no_matches(0, k)
    ]
    return Matches(np.concatenate([part.keys for part in parts]), np.concatenate([part.scores for part in parts]))
