"""The linked segment of a growing index: a structure, the key of each of its rows, and which rows were deleted.

Keys, vectors and filters go in, matches come out. Deleting and extending touch only what they name. Whoever shares a
segment between threads locks it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import faiss as typed_faiss
import numpy as np

from lapel.core.types import Matches
from lapel.core.vectors import Keys, Vectors
from lapel.indexes.faiss import MAX_FAISS_QUERIES, best_by_faiss
from lapel.indexes.rows import Mask, RowFilter, Rows, Scores, mask_of, next_version, pad, rows_of
from lapel.indexes.structure import RowSelection, Structure

faiss: Any = typed_faiss  # its type stubs know the C++ signatures, not those its Python layer puts over them

MAX_COPIED_ROWS = 131_072  # of all filters that are asked again and again: 64 MB at 128 wide


@dataclass
class ScannedRows:
    """The few rows of a filter, which are scanned.

    Attributes:
        rows: (m,) ascending.
        copy: A FAISS IndexFlatIP of their vectors, one after the other; None until the filter is asked again.
        is_known: Whether the filter was asked before.
    """

    rows: Rows
    copy: Any = None
    is_known: bool = False


class LinkedSegment:
    """A structure and whose its rows are.

    Args:
        structure: Built of n rows.
        keys: (n,) the key of each row, in any order, each once among the rows that are alive.
        alive: (n,) which rows were not deleted; all by default.
    """

    def __init__(self, structure: Structure, keys: Keys, alive: Mask | None = None) -> None:
        self.structure = structure
        self.keys = keys
        self.alive: Mask = np.ones(len(keys), bool) if alive is None else alive
        self.deleted = int(len(keys) - self.alive.sum())
        self._version = next_version()
        self._living_selection: tuple[int, RowSelection | None] = (0, None)
        self._copied: deque[ScannedRows] = deque()  # the oldest first
        rows = np.flatnonzero(self.alive)
        order = np.argsort(keys[rows], kind="stable")
        self._sorted_rows = rows[order]
        self._sorted_keys = keys[self._sorted_rows]

    def __len__(self) -> int:
        """How many rows are alive."""
        return len(self.keys) - self.deleted

    def living_keys(self) -> Keys:
        """The keys that were not deleted, sorted."""
        return self._sorted_keys[self.alive[self._sorted_rows]]

    def living(self) -> tuple[Keys, Vectors]:
        """The same in the order of rows, with their vectors."""
        rows = np.flatnonzero(self.alive)
        return self.keys[rows], self.structure.vectors(rows)

    def rows(self, keys: Keys) -> Rows:
        """The rows of those of some keys that are there."""
        places, known = rows_of(self._sorted_keys, keys)
        rows = self._sorted_rows[places[known]]
        return rows[self.alive[rows]]

    def delete(self, keys: Keys) -> int:
        """Delete these keys, each once; how many were there."""
        rows = self.rows(keys)
        if len(rows):
            self.alive[rows] = False
            self.deleted += len(rows)
            self._version = next_version()
        return len(rows)

    def extend(self, structure: Structure, keys: Keys, alive: Mask) -> None:
        """Take a structure with (m,) more rows at its end, of sorted keys that are not there; those not alive are
        deleted."""
        first = len(self.keys)
        self.structure = structure
        self.keys = np.concatenate([self.keys, keys])
        self.alive = np.concatenate([self.alive, alive])
        self.deleted += int((~alive).sum())
        # A deleted row of the same key may still be listed: the new one takes its place there.
        places, listed = rows_of(self._sorted_keys, keys)
        rows = np.arange(first, first + len(keys))
        sorted_rows = self._sorted_rows.copy()
        sorted_rows[places[listed]] = rows[listed]
        self._sorted_keys = np.insert(self._sorted_keys, places[~listed], keys[~listed])
        self._sorted_rows = np.insert(sorted_rows, places[~listed], rows[~listed])
        self._version = next_version()

    def search(self, queries: Vectors, k: int, row_filter: RowFilter | None) -> Matches:
        """About the k best for each of (q, dim) unit queries, (q, k), best first, padded."""
        if row_filter is None:
            count, selection = len(self), self._select_living()
            rows: Rows | None = None
        else:
            scanned, selection = row_filter.cached("linked", self._version, self._filter)
            rows = scanned.rows
            count = len(rows)
            if selection is None:
                return pad(self.keys, *self._scan(queries, scanned, k), k)
        found, scores = self.structure.search(queries, min(k, count), selection)
        # A structure may find fewer than there are; those queries are scanned instead, so that k come back whenever k
        # exist.
        if found.size and found.min() < 0:
            short = np.flatnonzero((found < 0).any(axis=1))
            everything = np.flatnonzero(self.alive) if rows is None else rows
            found[short], scores[short] = self.structure.scan(queries[short], everything, found.shape[1])
        return Matches(self.keys[found], scores) if found.shape[1] == k else pad(self.keys, found, scores, k)

    def _scan(self, queries: Vectors, scanned: ScannedRows, k: int) -> tuple[Rows, Scores]:
        """The exact best of a filter's rows. From the second time on they are read where they lie together, which takes
        a fifth of the time."""
        copy, rows = scanned.copy, scanned.rows
        if copy is None and scanned.is_known and len(rows) <= MAX_COPIED_ROWS:
            copy = faiss.IndexFlatIP(self.structure.index.d)
            copy.add(self.structure.vectors(rows))
            scanned.copy = copy
            self._copied.append(scanned)
            while sum(len(each.rows) for each in tuple(self._copied)) > MAX_COPIED_ROWS:
                self._copied.popleft().copy = None
        scanned.is_known = True
        if copy is None or len(queries) > MAX_FAISS_QUERIES:
            return self.structure.scan(queries, rows, k)
        places, scores = best_by_faiss(copy, queries, min(k, len(rows)), None)
        return rows[places], scores

    def _filter(self, wanted: Keys) -> tuple[ScannedRows, RowSelection | None]:
        """The rows of a filter, ascending, and the same for the structure; None when they are so few that they are
        scanned."""
        if len(wanted) < len(self.keys) // 100:
            rows = np.sort(self.rows(wanted))
            mask = None
        else:
            mask = mask_of(self.keys, wanted)
            mask &= self.alive
            rows = np.flatnonzero(mask)
        if len(rows) <= self.structure.scan_limit:
            return ScannedRows(rows), None
        if mask is None:
            mask = np.zeros(len(self.keys), bool)
            mask[rows] = True
        return ScannedRows(rows), self.structure.select(mask, len(rows))

    def _select_living(self) -> RowSelection | None:
        """The rows that are alive, for the structure; None for all, found again when they change."""
        if not self.deleted:
            return None
        if self._living_selection[0] != self._version:
            self._living_selection = (self._version, self.structure.select(self.alive, len(self)))
        return self._living_selection[1]
