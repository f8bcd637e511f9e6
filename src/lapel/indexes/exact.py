"""The numpy index: plain enough to be the specification that every other index is compared with.

Integer keys and unit vectors go in; the exact k best by inner product come out, equal scores by ascending key. Quick
enough for tests and small shops; every change copies everything.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lapel.core.errors import InputError
from lapel.core.types import Matches
from lapel.core.vectors import Keys, Vectors, check_vectors
from lapel.indexes.base import MemoryIndex
from lapel.indexes.files import Content
from lapel.indexes.rows import RowFilter, scan


class ExactIndex(MemoryIndex):
    """``exact:``, one sorted column of keys and one matrix. See :class:`lapel.indexes.VectorIndex`."""

    kind = "exact:"

    def __init__(self, rest: str = "", *, dim: int = 128, path: Path | None = None) -> None:
        if rest:
            raise InputError(f"The exact index has no kinds; found 'exact:{rest}'. Write 'exact:'.")
        super().__init__(dim=dim, path=path)
        self._clear()
        self.load()

    def _clear(self) -> None:
        self._keys: Keys = np.empty(0, np.int64)
        self._vectors: Vectors = np.empty((0, self._dim), np.float32)

    def _count(self) -> int:
        return len(self._keys)

    def _sorted_keys(self) -> Keys:
        return self._keys.copy()

    def _put(self, keys: Keys, vectors: Vectors) -> None:
        self._drop(keys)
        order = np.argsort(all_keys := np.concatenate([self._keys, keys]))
        self._keys, self._vectors = all_keys[order], np.concatenate([self._vectors, vectors])[order]

    def _drop(self, keys: Keys) -> int:
        stays = ~np.isin(self._keys, keys)
        self._keys, self._vectors = self._keys[stays], self._vectors[stays]
        return int((~stays).sum())

    def _search(self, queries: Vectors, k: int, row_filter: RowFilter | None) -> Matches:
        keys, vectors = self._keys, self._vectors
        if row_filter is not None:
            mask = np.isin(keys, row_filter.keys)
            keys, vectors = keys[mask], vectors[mask]
        return scan(queries, vectors, keys, k)

    def _content(self) -> Content:
        return {"keys": self._keys, "vectors": self._vectors}  # never changed in place

    def _restore(self, content: Content) -> None:
        self._keys, self._vectors = content["keys"], check_vectors(content["vectors"], self._dim)
