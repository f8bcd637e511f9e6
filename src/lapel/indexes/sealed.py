"""The sealed segment of a growing index: a structure, the key of each of its rows, and which rows were deleted.

Keys, vectors and filters go in, matches come out. Deleting and extending touch only what they name. Whoever shares a
segment between threads locks it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lapel.core.types import Matches
from lapel.core.vectors import Keys, Vectors
from lapel.indexes.rows import Mask, RowFilter, Rows, Scores, next_version, pad, rows_of
from lapel.indexes.structure import Structure, least_rows

if TYPE_CHECKING:
    from lapel.indexes.device import GpuStructure

SUBINDEX_SEARCHES = 8  # under one filter, after which its rows get a structure of their own ...
SUBINDEX_MAX_ROWS = 50_000  # ... if they are no more: 26 MB, built in a third of a second
SUBINDEX_RECALL = 0.99
MAX_SUBINDEXES = 16  # of one segment, so that many filters do not take much memory


@dataclass
class _FilteredRows:
    """What a filter means in one state of a segment.

    Attributes:
        rows: (m,) ascending.
        selection: The same for the structure; None when there are so few that they are scanned.
        searches: How many were made under the filter.
        subindex: A structure of these rows alone, once it is asked often.
    """

    rows: Rows
    selection: Any
    searches: int = 0
    subindex: Structure | None = None
    building: threading.Lock = field(default_factory=threading.Lock, repr=False)


class SealedSegment:
    """A structure and whose its rows are.

    Args:
        structure: Built of n rows.
        keys: (n,) the key of each row, in any order, each once among the rows that are alive.
        alive: (n,) which rows were not deleted; all by default.
    """

    def __init__(self, structure: Structure | GpuStructure, keys: Keys, alive: Mask | None = None) -> None:
        self.structure = structure
        self.keys = keys
        self.alive: Mask = np.ones(len(keys), bool) if alive is None else alive
        self.deleted = int(len(keys) - self.alive.sum())
        self._version = next_version()
        self._living_selection: tuple[int, Any] = (0, None)
        self._with_subindex: list[_FilteredRows] = []
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
        self.alive[rows] = False
        self.deleted += len(rows)
        self._version = next_version()
        return len(rows)

    def extend(self, keys: Keys, vectors: Vectors) -> None:
        """More rows at the end, of sorted keys that are not there."""
        self.structure.add(vectors)
        first = len(self.keys)
        self.keys = np.concatenate([self.keys, keys])
        self.alive = np.concatenate([self.alive, np.ones(len(keys), bool)])
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
        filtered = None if row_filter is None else row_filter.cached("sealed", self._version, self._filter)
        if filtered is None:
            selection = self._select_living() if self.deleted else None
            found, scores = self.structure.search(queries, min(k, len(self)), selection)
        elif filtered.selection is None:
            return pad(self.keys, *self.structure.scan(queries, filtered.rows, k), k)
        else:
            found, scores = self._search_filtered(queries, min(k, len(filtered.rows)), filtered)
        # A structure may find fewer than there are; those queries are scanned instead, so that k come back whenever k
        # exist.
        if found.size and found.min() < 0:
            short = np.flatnonzero((found < 0).any(axis=1))
            everything = np.flatnonzero(self.alive) if filtered is None else filtered.rows
            found[short], scores[short] = self.structure.scan(queries[short], everything, found.shape[1])
        return Matches(self.keys[found], scores) if found.shape[1] == k else pad(self.keys, found, scores, k)

    def _filter(self, wanted: Keys) -> _FilteredRows:
        rows = np.sort(self.rows(wanted))
        if len(rows) <= self.structure.scan_limit:
            return _FilteredRows(rows, None)
        mask = np.zeros(len(self.keys), bool)
        mask[rows] = True
        return _FilteredRows(rows, self.structure.select(mask, rows))

    def _select_living(self) -> Any:
        """The rows that are alive, for the structure; found again when they change."""
        if self._living_selection[0] != self._version:
            self._living_selection = (self._version, self.structure.select(self.alive.copy()))
        return self._living_selection[1]

    def _search_filtered(self, queries: Vectors, k: int, filtered: _FilteredRows) -> tuple[Rows, Scores]:
        subindex = self._subindex(filtered)
        if subindex is None:
            return self.structure.search(queries, k, filtered.selection)
        found, scores = subindex.search(queries, k)
        return np.where(found < 0, found, filtered.rows[found]), scores

    def _subindex(self, filtered: _FilteredRows) -> Structure | None:
        """A structure of a filter's rows alone, if they are scattered over all lists and often asked for: it reads
        nothing in vain."""
        filtered.searches += 1
        structure = self.structure
        if (
            filtered.subindex is None
            and filtered.searches > SUBINDEX_SEARCHES
            and least_rows("IVF1") <= len(filtered.rows) <= SUBINDEX_MAX_ROWS
            and isinstance(structure, Structure)
            and structure.is_scattered(filtered.selection)
            and filtered.building.acquire(blocking=False)  # else another thread is at it
        ):
            try:
                if filtered.subindex is None:
                    subindex = Structure.build_small(structure.vectors(filtered.rows), SUBINDEX_RECALL)
                    self._with_subindex.append(filtered)
                    if len(self._with_subindex) > MAX_SUBINDEXES:
                        self._with_subindex.pop(0).subindex = None
                    filtered.subindex = subindex
            finally:
                filtered.building.release()
        return filtered.subindex
