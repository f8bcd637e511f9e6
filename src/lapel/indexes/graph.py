"""What FAISS's HNSW graphs need to be quick on a shop's vectors: a good beginning, room to grow, and huge pages.

A shop's vectors lie in dense clusters, and HNSW's own way down its levels ends in a wrong one for some queries: at
300,000, 17 of 1,000 find nothing right unless hundreds of candidates are kept. So a search begins at the nearest of
some :class:`Entries`, one from each part of the rows, which are scanned. Then ten candidates suffice for a Recall@10 of
0.995.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any

import faiss as typed_faiss
import numpy as np
from numpy.typing import NDArray

from lapel.core.vectors import Vectors
from lapel.indexes.rows import Rows, Scores

faiss: Any = typed_faiss  # its type stubs know the C++ signatures, not those its Python layer puts over them

ENTRIES_A_ROOT = 2  # entries for each unit of the square root of the rows ...
MAX_ENTRIES = 1024  # ... up to as many as one query scans in 15 us
ENTRY_EFFORT = 64  # of the search for the row nearest to a centroid
KMEANS_ITERATIONS = 4
KMEANS_ROWS = 40  # a centroid
SEED = 7
# Queries whose entries are scanned at once. From 20 on FAISS multiplies matrices, as NumPy does: the threads that those
# leave spinning take the cores from the graph's.
SCAN_QUERIES = 16
NEAREST_FIRST = 2  # FAISS's search_type: all entries in one search, not one search for each
MADV_COLLAPSE = 25  # of Linux 6.1; the module mmap does not name it
HUGE_PAGE = 1 << 21


class Entries:
    """Rows at which searches of a graph begin.

    Args:
        rows: (m,) in any order.
        vectors: (m, dim) their vectors.
    """

    def __init__(self, rows: Rows, vectors: Vectors) -> None:
        self.rows = rows
        self.vectors = vectors
        self._ids = rows.astype(np.int32)
        self._flat = faiss.IndexFlatIP(vectors.shape[1])
        self._flat.add(vectors)

    @classmethod
    def choose(cls, graph: Any, vectors: Vectors, seed: int = SEED) -> Entries:
        """The rows nearest to centroids of a FAISS graph's (n, dim) rows, or of some of them."""
        count = entry_count(graph.ntotal)
        means = faiss.Kmeans(vectors.shape[1], count, niter=KMEANS_ITERATIONS, spherical=True, seed=seed)
        means.cp.max_points_per_centroid, means.cp.min_points_per_centroid = KMEANS_ROWS, 1
        means.train(vectors)
        nearest = graph.search(means.centroids, 1, params=faiss.SearchParametersHNSW(efSearch=ENTRY_EFFORT))[1][:, 0]
        rows = np.unique(nearest[nearest >= 0])
        return cls(rows, graph.reconstruct_batch(rows))

    def extended(self, first: int, vectors: Vectors) -> Entries:
        """With some of (m, dim) more rows, numbered from ``first``, in proportion."""
        step = max(1, first // max(1, len(self.rows)))
        some = vectors[step // 2 :: step]
        rows = np.concatenate([self.rows, first + np.arange(step // 2, len(vectors), step)])
        return Entries(rows, np.concatenate([self.vectors, some]))

    def nearest(self, queries: Vectors) -> tuple[NDArray[np.int32], Scores]:
        """The nearest entry of each of (q, dim) queries: (q,) rows and scores."""
        places, best = np.empty(len(queries), np.int64), np.empty(len(queries), np.float32)
        for at in range(0, len(queries), SCAN_QUERIES):
            found, nearest = self._flat.search(queries[at : at + SCAN_QUERIES], 1)
            places[at : at + SCAN_QUERIES], best[at : at + SCAN_QUERIES] = nearest[:, 0], found[:, 0]
        return self._ids[places], best


def entry_count(rows: int) -> int:
    """How many entries a graph of so many rows has."""
    return max(1, min(MAX_ENTRIES, int(ENTRIES_A_ROOT * rows**0.5)))


def search_graph(graph: Any, queries: Vectors, k: int, entries: Entries, params: Any) -> tuple[Scores, Rows]:
    """The k best rows of each of (q, dim) queries that a search from the nearest entry finds: (q, k) scores and rows,
    -1 for none."""
    queries = np.ascontiguousarray(queries)
    begun, near = entries.nearest(queries)
    scores, rows = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    asked, first, first_scores, out, out_rows = (
        faiss.swig_ptr(array) for array in (queries, begun, near, scores, rows)
    )
    graph.search_level_0(len(queries), asked, k, first, first_scores, out, out_rows, 1, NEAREST_FIRST, params)
    return scores, rows


def share_graph(owner: Any, like: Any) -> Any:
    """A FAISS graph with the links of another one over the vectors that a third one owns."""
    owner = faiss.downcast_index(owner)
    made = type(owner)()
    made.d, made.metric_type, made.is_trained, made.ntotal = owner.d, owner.metric_type, True, like.ntotal
    made.storage, made.own_fields = owner.storage, False
    made.hnsw = like.hnsw
    made.keep_max_size_level0 = like.keep_max_size_level0
    return made


def use_huge_pages(vector: Any) -> None:
    """Move the memory of a FAISS vector into pages of 2 MB where Linux has them: a graph reads all over it, and with
    small pages a fifth to a third of the time is spent on finding them."""
    array = faiss.rev_swig_ptr(vector.data(), vector.size())
    begin = -(-array.ctypes.data // HUGE_PAGE) * HUGE_PAGE
    size = (array.ctypes.data + array.nbytes) // HUGE_PAGE * HUGE_PAGE - begin
    if sys.platform == "linux" and size > 0:
        libc = ctypes.CDLL(None)
        for advice in (mmap.MADV_HUGEPAGE, MADV_COLLAPSE):  # a kernel without one says so, and nothing is lost
            libc.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(size), advice)
