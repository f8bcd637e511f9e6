"""What ``faiss:auto`` keeps its base in where there is a GPU: all rows on the device, scanned exactly.

The same calls as :class:`lapel.indexes.structure.Structure`, which FAISS builds; :mod:`lapel.indexes.device` does the
work.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from lapel.core.vectors import Vectors
from lapel.indexes.choice import GPU
from lapel.indexes.device import PIECE, DeviceRows, Selected, best_device
from lapel.indexes.exact import Rows, Scores, best_by_matrix
from lapel.indexes.structure import Effort, Mask


class GpuStructure:
    """Rows 0, 1, 2 ... on a device. Effort means nothing to it: what it finds is exact."""

    factory = GPU

    def __init__(self, dim: int) -> None:
        self.effort = Effort()
        self.tuned = 0
        self._held = DeviceRows(dim, best_device())

    @classmethod
    def build(cls, vectors: Vectors) -> GpuStructure:
        """Fill one with (n, dim) unit rows.

        Raises:
            InputError: the device has no room for them.
        """
        made = cls(vectors.shape[1])
        made.add(vectors)
        return made

    def __len__(self) -> int:
        return len(self._held)

    def add(self, vectors: Vectors) -> None:
        """Append rows. Not while another thread searches."""
        self._held.append(vectors)

    def vectors(self, rows: Rows) -> Vectors:
        """(m,) rows -> their (m, dim) float32 vectors."""
        return self._held.vectors(rows)

    def scan(self, queries: Vectors, rows: Rows, k: int) -> tuple[Rows, Scores]:
        """The exact min(k, m) best among (m,) ascending rows: (q, k) rows and scores, equal scores by ascending row."""
        if len(rows) * len(queries) > PIECE:
            selected = Selected(len(rows), rows=torch.from_numpy(rows).to(self._held.device))
            return self._held.search(queries, k, selected)
        places, scores = best_by_matrix(queries, self.vectors(rows), k)
        return rows[places], scores

    @property
    def scanned(self) -> int:
        """Allowed rows up to which they are scanned here: fewer than it takes time to ask the device."""
        return 500

    def among(self, may: Mask, rows: Rows | None = None) -> Selected:
        """What is needed to find only the rows that ``may``."""
        del rows
        return self._held.select(torch.from_numpy(may).to(self._held.device))

    def search(
        self, queries: Vectors, k: int, among: Selected | None = None, *, effort: Effort | None = None
    ) -> tuple[Rows, Scores]:
        """The k best of all rows, or of those ``among`` others: (q, k) rows, -1 where there are fewer, and scores."""
        del effort
        rows, scores = self._held.search(queries, k, among)
        missing = ((0, 0), (0, k - rows.shape[1]))
        return np.pad(rows, missing, constant_values=-1), np.pad(scores, missing, constant_values=-np.inf)

    def tune(self, recall: float, *, alive: Mask | None = None) -> float:
        """Nothing to find: the recall is 1."""
        del recall, alive
        self.tuned = len(self)
        return 1.0

    def write(self, write: Callable[[bytes], int]) -> None:
        """The rows in float32, some at a time."""
        for at in range(0, len(self), PIECE):
            write(self.vectors(np.arange(at, min(at + PIECE, len(self)))).tobytes())

    @classmethod
    def read(cls, read: Callable[[int], bytes], count: int, dim: int) -> GpuStructure:
        """What :meth:`write` wrote.

        Raises:
            ValueError: there is less than that.
        """
        made = cls(dim)
        made._held.reserve(count)
        for at in range(0, count, PIECE):
            size = min(PIECE, count - at)
            made.add(np.frombuffer(read(4 * dim * size), np.float32).reshape(size, dim))
        made.tuned = count
        return made
