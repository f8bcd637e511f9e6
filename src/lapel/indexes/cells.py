"""The cells of a graph: parts of its rows, each around one row, its centre.

A search of the graph begins at *entries*, the nearest of those in the nearest cells; and of a filter, the rows in the
nearest cells are looked at.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

import faiss as typed_faiss
import numpy as np
from numpy.typing import NDArray

from lapel.core.vectors import Keys, Vectors
from lapel.indexes.rows import Rows
from lapel.indexes.spherical import spherical_k_means
from lapel.indexes.structure import ReadRows, read_blocks, sample

faiss: Any = typed_faiss  # its type stubs know the C++ signatures, not those its Python layer puts over them

CELLS_A_ROOT = 2  # cells for each unit of the square root of the rows ...
MAX_CELLS = 1024  # ... up to as many as one query is compared with in 15 us
ENTRIES_A_CELL = 16  # rows that a search can begin at
NEAR_CELLS = 4  # whose entries a query is compared with
BEGUN_AT = 4  # entries: from one alone, pockets of the graph that no links lead to from there are missed
CENTRE_EFFORT = 64  # of the search for the row nearest to a centroid
KMEANS_ITERATIONS = 4
KMEANS_ROWS = 40  # a centroid
KMEANS_SEED = 6
# Queries that are compared with entries at once. From 20 on FAISS multiplies matrices, as NumPy does: the threads
# that those leave spinning take the cores from the graph's.
SCAN_QUERIES = 16


class Cells:
    """The parts of the rows: each row is of the cell whose centre it is nearest to.

    Args:
        centres: (c,) rows.
        of: (n,) uint16, the cell of each row.
        read: Gives the vectors of rows.
    """

    def __init__(self, centres: Rows, of: NDArray[np.uint16], read: ReadRows) -> None:
        self.centres = centres
        self.vectors = read(centres)
        self.of = of
        self._flat = _flat(self.vectors)
        # FAISS's IVF over the entries with the centres as its lists looks them up in two steps.
        self._entries = faiss.IndexIVFFlat(self._flat, self._flat.d, len(centres), faiss.METRIC_INNER_PRODUCT)
        self._entries.nprobe = min(NEAR_CELLS, len(centres))
        self._step = max(1, len(of) // (ENTRIES_A_CELL * len(centres)))
        self.entries: Rows = np.union1d(centres, np.arange(0, len(of), self._step))
        self._enter(self.entries, read(self.entries))

    @classmethod
    def choose(cls, graph: Any, count: int, read: ReadRows) -> Cells:
        """Around the rows of a FAISS graph nearest to centroids."""
        cells = cell_count(count)
        some = read(sample(count, KMEANS_ROWS * cells))
        means = spherical_k_means(some, cells, seed=KMEANS_SEED, rounds=KMEANS_ITERATIONS, times=1)
        nearest = graph.search(means, 1, params=faiss.SearchParametersHNSW(efSearch=CENTRE_EFFORT))[1][:, 0]
        centres = np.unique(nearest[nearest >= 0])
        flat = _flat(read(centres))
        return cls(centres, np.concatenate([_cells(flat, block) for block in read_blocks(count, read)]), read)

    def extended(self, vectors: Vectors) -> Cells:
        """With (m, dim) more rows, some of them entries, in proportion; :attr:`entries` stay those of before."""
        first = len(self.of)
        grown = copy(self)
        grown.of = np.concatenate([self.of, _cells(self._flat, vectors)])
        grown._entries = faiss.clone_index(self._entries)
        rows = np.arange(-(-first // self._step) * self._step, len(grown.of), self._step)
        grown._enter(rows, vectors[rows - first])
        return grown

    def _enter(self, rows: Rows, vectors: Vectors) -> None:
        """Make some rows entries."""
        held, ids, lists = (np.ascontiguousarray(each) for each in (vectors, rows.astype(np.int64), self.of[rows]))
        lists = lists.astype(np.int64)
        self._entries.add_core(len(ids), faiss.swig_ptr(held), faiss.swig_ptr(ids), faiss.swig_ptr(lists))

    def nearest(self, queries: Vectors) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The nearest entries of each of (q, dim) queries, of those in the nearest cells: (q, e) rows, -1 where there
        are fewer, and scores."""
        found = [
            self._entries.search(queries[at : at + SCAN_QUERIES], BEGUN_AT)
            for at in range(0, len(queries), SCAN_QUERIES)
        ]
        scores, rows = (np.concatenate(each) for each in zip(*found, strict=True))
        return rows.astype(np.int32), scores

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


def _flat(vectors: Vectors) -> Any:
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    return flat


def _cells(flat: Any, vectors: Vectors) -> NDArray[np.uint16]:
    """The cells of (m, dim) rows."""
    found: NDArray[np.uint16] = flat.search(vectors, 1)[1][:, 0].astype(np.uint16)
    return found


def cell_count(rows: int) -> int:
    """How many cells a graph of so many rows has."""
    return max(1, min(MAX_CELLS, int(CELLS_A_ROOT * rows**0.5)))
