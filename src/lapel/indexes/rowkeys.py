"""Which key each row of a growing structure has, and which rows no longer count.

Keys and rows go in and out as arrays; marking and extending touch only what they name.
"""

from __future__ import annotations

import numpy as np

from lapel.core.vectors import Keys
from lapel.indexes.exact import Rows
from lapel.indexes.faiss import rows_of
from lapel.indexes.structure import Mask


class RowKeys:
    """Which key each row of a base has, and whether it still counts."""

    def __init__(self, keys: Keys, alive: Mask | None = None) -> None:
        self.keys = keys
        self.alive: Mask = np.ones(len(keys), bool) if alive is None else alive
        self.dead = int(len(keys) - self.alive.sum())
        self.version = 0  # changes with every change
        self._sort()

    def _sort(self) -> None:
        rows = np.flatnonzero(self.alive)
        order = np.argsort(self.keys[rows], kind="stable")
        self._sorted_rows = rows[order]
        self._sorted_keys = self.keys[self._sorted_rows]
        self._sorted = len(self.keys)

    def find(self, keys: Keys) -> tuple[Rows, Mask]:
        """The row of each key, (m,), and whether it is there and counts, (m,) bool."""
        places, known = rows_of(self._sorted_keys, keys)
        rows = self._sorted_rows[np.minimum(places, len(self._sorted_rows) - 1)] if known.any() else places * 0
        known &= self.alive[rows] if known.any() else known
        return rows, known

    def living(self) -> Keys:
        """The keys that count, sorted."""
        return self._sorted_keys[self.alive[self._sorted_rows]]

    def mark(self, rows: Rows) -> None:
        """These rows no longer count."""
        self.alive[rows] = False
        self.dead += len(rows)
        self.version += 1

    def extend(self, keys: Keys) -> None:
        """More rows at the end, of sorted keys that are not there."""
        first = len(self.keys)
        self.version += 1
        self.keys = np.concatenate([self.keys, keys])
        self.alive = np.concatenate([self.alive, np.ones(len(keys), bool)])
        places = np.searchsorted(self._sorted_keys, keys)
        # A dead row of the same key may still be listed: the new one takes its place there.
        listed = places < len(self._sorted_keys)
        listed[listed] = self._sorted_keys[places[listed]] == keys[listed]
        rows = np.arange(first, first + len(keys))
        self._sorted_rows = self._sorted_rows.copy()
        self._sorted_rows[places[listed]] = rows[listed]
        fresh = ~listed
        self._sorted_keys = np.insert(self._sorted_keys, places[fresh], keys[fresh])
        self._sorted_rows = np.insert(self._sorted_rows, places[fresh], rows[fresh])
