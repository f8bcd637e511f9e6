"""The cells of a graph: parts of its rows around centroids. Of a filter, those in the nearest cells are looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lapel.core.vectors import Vectors
from lapel.indexes.rows import Rows
from lapel.indexes.spherical import spherical_k_means
from lapel.indexes.structure import ReadRows, read_blocks, sample

CELLS_A_ROOT = 2  # cells for each unit of the square root of the rows ...
MAX_CELLS = 512  # ... up to as many as one query is compared with in 7 us
KMEANS_ITERATIONS = 4
KMEANS_ROWS = 40  # a centroid
KMEANS_SEED = 6


@dataclass(frozen=True)
class Cells:
    """The parts of the rows: each row is of the cell whose centre it is nearest to.

    Attributes:
        centres: (c, dim) float32 unit rows.
        of: (n,) uint16, the cell of each row.
    """

    centres: Vectors
    of: NDArray[np.uint16]

    @classmethod
    def choose(cls, count: int, read: ReadRows) -> Cells:
        """Those of ``count`` rows."""
        cells = max(1, min(MAX_CELLS, int(CELLS_A_ROOT * count**0.5)))
        some = read(sample(count, KMEANS_ROWS * cells))
        centres = spherical_k_means(some, cells, seed=KMEANS_SEED, rounds=KMEANS_ITERATIONS, times=1)
        chosen = cls(centres, np.empty(0, np.uint16))
        return cls(centres, np.concatenate([chosen._nearest(block) for block in read_blocks(count, read)]))

    def extended(self, vectors: Vectors) -> Cells:
        """With (m, dim) more rows."""
        return Cells(self.centres, np.concatenate([self.of, self._nearest(vectors)]))

    def _nearest(self, vectors: Vectors) -> NDArray[np.uint16]:
        nearest: NDArray[np.uint16] = np.argmax(vectors @ self.centres.T, axis=1).astype(np.uint16)
        return nearest

    def part(self, rows: Rows) -> tuple[Rows, Rows]:
        """Some rows, those of a cell one after the other: (m,), and (cells + 1,) where each cell's begin."""
        of = self.of[rows]
        ends = np.cumsum(np.bincount(of, minlength=len(self.centres)))
        return rows[np.argsort(of, kind="stable")], np.concatenate([[0], ends])


class CellRows(NamedTuple):
    """Some rows by their cells.

    Attributes:
        centres: (cells * dim,) the centres' codes.
        rows: (m,) those of a cell one after the other.
        starts: (cells + 1,) where each cell's begin.
    """

    centres: NDArray[np.int8]
    rows: Rows
    starts: Rows
