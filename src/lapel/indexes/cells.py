"""The cells of a graph: parts of its rows, each around one row, its centre.

A search of the graph begins at the nearest centre; and of a filter, the rows in the nearest cells are looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import faiss as typed_faiss
import numpy as np
from numpy.typing import NDArray

from lapel.core.vectors import Keys, Vectors
from lapel.indexes.rows import Rows
from lapel.indexes.structure import ReadRows, read_blocks, sample

faiss: Any = typed_faiss  # its type stubs know the C++ signatures, not those its Python layer puts over them

CELLS_A_ROOT = 2  # cells for each unit of the square root of the rows ...
MAX_CELLS = 1024  # ... up to as many as one query is compared with in 15 us
CENTRE_EFFORT = 64  # of the search for the row nearest to a centroid
KMEANS_ITERATIONS = 4
KMEANS_ROWS = 40  # a centroid
KMEANS_SEED = 7
# Queries that are compared with the centres at once. From 20 on FAISS multiplies matrices, as NumPy does: the threads
# that those leave spinning take the cores from the graph's.
SCAN_QUERIES = 16


class Cells:
    """The parts of the rows: each row is of the cell whose centre it is nearest to.

    Args:
        centres: (c,) rows.
        vectors: (c, dim) their vectors.
        of: (n,) uint16, the cell of each row.
    """

    def __init__(self, centres: Rows, vectors: Vectors, of: NDArray[np.uint16]) -> None:
        self.centres = centres
        self.vectors = vectors
        self.of = of
        self._ids = centres.astype(np.int32)
        self._flat = faiss.IndexFlatIP(vectors.shape[1])
        self._flat.add(vectors)

    @classmethod
    def choose(cls, graph: Any, count: int, read: ReadRows) -> Cells:
        """Around the rows of a FAISS graph nearest to centroids."""
        cells = cell_count(count)
        means = faiss.Kmeans(graph.d, cells, niter=KMEANS_ITERATIONS, spherical=True, seed=KMEANS_SEED)
        means.cp.max_points_per_centroid, means.cp.min_points_per_centroid = KMEANS_ROWS, 1
        means.train(read(sample(count, KMEANS_ROWS * cells)))
        nearest = graph.search(means.centroids, 1, params=faiss.SearchParametersHNSW(efSearch=CENTRE_EFFORT))[1][:, 0]
        centres = np.unique(nearest[nearest >= 0])
        chosen = cls(centres, read(centres), np.empty(0, np.uint16))
        return chosen._with(read_blocks(count, read))

    def extended(self, vectors: Vectors) -> Cells:
        """With (m, dim) more rows, some of them centres, in proportion."""
        first = len(self.of)
        step = max(1, first // max(1, len(self.centres)))
        centres = np.concatenate([self.centres, first + np.arange(step // 2, len(vectors), step)])
        grown = Cells(centres, np.concatenate([self.vectors, vectors[step // 2 :: step]]), self.of)
        return grown._with([vectors])

    def _with(self, blocks: Iterable[Vectors]) -> Cells:
        """With the cells of more rows."""
        found = [self._flat.search(block, 1)[1][:, 0].astype(np.uint16) for block in blocks]
        self.of = np.concatenate([self.of, *found])
        return self

    def nearest(self, queries: Vectors) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The nearest centre of each of (q, dim) queries: (q,) rows and scores."""
        places, best = np.empty(len(queries), np.int64), np.empty(len(queries), np.float32)
        for at in range(0, len(queries), SCAN_QUERIES):
            found, nearest = self._flat.search(queries[at : at + SCAN_QUERIES], 1)
            places[at : at + SCAN_QUERIES], best[at : at + SCAN_QUERIES] = nearest[:, 0], found[:, 0]
        return self._ids[places], best

    def part(self, rows: Rows) -> CellRows:
        """Some rows by their cell."""
        of = self.of[rows]
        ends = np.cumsum(np.bincount(of, minlength=len(self.centres)))
        return CellRows(rows[np.argsort(of, kind="stable")], np.concatenate([[0], ends]))

    def around(self, query: Vectors, parted: CellRows, *, cells: int, rows: int) -> Rows:
        """The places of at least so many of some rows, of at least so many cells, the nearest to a (dim,) query."""
        near = -(self.vectors @ query)
        order = np.argsort(near)
        starts, ends = parted.starts[order], parted.starts[order + 1]
        enough = max(cells, 1 + int(np.searchsorted(np.cumsum(ends - starts), rows)))
        sizes = (ends - starts)[:enough]
        before = np.cumsum(sizes)
        places: Rows = np.arange(before[-1]) + np.repeat(starts[:enough] - before + sizes, sizes)
        return places


@dataclass
class CellRows:
    """Some rows, those of a cell one after the other.

    Attributes:
        rows: (m,).
        starts: (cells + 1,) where each cell's begin.
        copy: (m, dim) their vectors and (m,) keys, once they have been asked for again.
        is_known: Whether they have been asked for before.
    """

    rows: Rows
    starts: Rows
    copy: tuple[Vectors, Keys] | None = None
    is_known: bool = False


def cell_count(rows: int) -> int:
    """How many cells a graph of so many rows has."""
    return max(1, min(MAX_CELLS, int(CELLS_A_ROOT * rows**0.5)))
