"""Whose the rows of an index are: its keys in the order in which they came, and their look-up."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.core.vectors import Keys
from lapel.indexes.rows import Mask, Rows


class Column:
    """Numbers that grow at the end, with room for an eighth more. What was read before stays where it was.

    Args:
        shape: Of one entry: ``()`` or ``(dim,)``.
        dtype: NumPy's.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self._held: NDArray[Any] = np.empty((0, *shape), dtype)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def all(self) -> NDArray[Any]:
        """(n, ...) the column's own memory."""
        return self._held[: self._count]

    def replace(self, values: NDArray[Any]) -> None:
        """These and no others; they are the column's from now on."""
        self._held, self._count = values, len(values)

    def append(self, more: NDArray[Any]) -> None:
        """(m, ...) more entries."""
        count = self._count + len(more)
        if count > len(self._held):
            held = np.empty((max(count, len(self._held) * 9 // 8 + 64), *self._held.shape[1:]), self._held.dtype)
            held[: self._count] = self.all
            self._held = held
        self._held[self._count : count] = more
        self._count = count


class KeyTable:
    """The key of each row, in the order in which rows came; -1 of a row that is dead.

    A key that gets another vector gets another row, and its old one is dead, as are those of keys that were removed.
    Keys above all others, as the catalogue gives them, take the same time at any size; others move a list of all keys.

    Args:
        keys: (n,) the key of each row, -1 or each once.
    """

    def __init__(self, keys: Keys | None = None) -> None:
        self.keys = Column((), np.int64)
        if keys is not None:
            self.keys.replace(keys)
        rows = self.living_rows()
        rows = rows[np.argsort(self.keys.all[rows])]
        self._sorted_keys = Column((), np.int64)  # the last row of each key is in _sorted_rows
        self._sorted_rows = Column((), np.int64)
        self._sorted_keys.replace(self.keys.all[rows])
        self._sorted_rows.replace(rows)
        self.dead = len(self) - len(rows)

    def __len__(self) -> int:
        """How many rows, the dead with them."""
        return len(self.keys)

    def living_rows(self) -> Rows:
        """The rows that are alive, ascending."""
        return np.flatnonzero(self.keys.all >= 0)

    def living_keys(self) -> Keys:
        """The keys that are there, sorted; a copy."""
        living: Keys = self._sorted_keys.all[self.keys.all[self._sorted_rows.all] >= 0]
        return living

    def append(self, keys: Keys) -> Rows:
        """Rows at the end for sorted keys, each once; the rows that died thereby, (m,)."""
        rows = np.arange(len(self), len(self) + len(keys))
        places, known = self._places(keys)
        died = self._bury(self._sorted_rows.all[places[known]])
        self._sorted_rows.all[places[known]] = rows[known]
        new = keys[~known]
        if len(new) and len(self._sorted_keys) and new[0] < self._sorted_keys.all[-1]:
            for column, more in ((self._sorted_keys, new), (self._sorted_rows, rows[~known])):
                column.replace(np.insert(column.all, places[~known], more))
        else:
            self._sorted_keys.append(new)
            self._sorted_rows.append(rows[~known])
        self.keys.append(keys)
        return died

    def remove(self, keys: Keys) -> Rows:
        """The rows of sorted keys, each once, die; those that were there, (m,)."""
        return self._bury(self.select(keys))

    def select(self, wanted: Keys) -> Rows:
        """The living rows of sorted keys: (m,), in the order of the keys."""
        places, known = self._places(wanted)
        rows = self._sorted_rows.all[places[known]]
        living: Rows = rows[self.keys.all[rows] >= 0]
        return living

    def _places(self, keys: Keys) -> tuple[Rows, Mask]:
        """The place of each sorted key among the listed ones, (m,), and whether it is listed, (m,)."""
        listed = self._sorted_keys.all
        if not len(listed):
            return np.zeros(len(keys), np.int64), np.zeros(len(keys), bool)
        no_gaps = int(listed[-1]) - int(listed[0]) == len(listed) - 1  # as mostly in a catalogue
        places = np.clip(keys - listed[0], 0, len(listed)) if no_gaps else np.searchsorted(listed, keys)
        return places, listed[np.minimum(places, len(listed) - 1)] == keys

    def _bury(self, rows: Rows) -> Rows:
        died: Rows = rows[self.keys.all[rows] >= 0]
        self.keys.all[died] = -1
        self.dead += len(died)
        return died
