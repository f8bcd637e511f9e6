"""FAISS's HNSW graph, made quick on a shop's vectors: cells to begin in and to filter by, room to grow, huge pages.

A shop's vectors lie in dense clusters, and HNSW's own way down its levels ends in a wrong one for some queries: at
300,000, 17 of 1,000 find nothing right unless hundreds of candidates are kept. So the rows are parted into *cells*,
each around one row, its *centre*; a search compares the query with all centres and begins at the nearest. Then ten
candidates suffice for a Recall@10 of 0.995.

The graph grows beside the one that is searched: its links are copied (132 bytes a row with 16 links), its vectors
shared, and more rows linked into the copy, so no search ever waits.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import faiss as typed_faiss
import numpy as np
from numpy.typing import NDArray

from lapel.core.types import Matches
from lapel.core.vectors import Keys, Vectors
from lapel.indexes.files import Content
from lapel.indexes.rows import Rows, no_matches
from lapel.indexes.structure import (
    ReadRows,
    SearchParams,
    Structure,
    one_thread,
    read_blocks,
    sample,
    scan_rows,
    tune,
)

faiss: Any = typed_faiss  # its type stubs know the C++ signatures, not those its Python layer puts over them

EF_CONSTRUCTION = 100  # with FAISS's own 40 the graph of a shop's dense clusters never reaches 0.99
WIDTHS = (10, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128, 192, 256, 512)  # efSearch, as tuning tries it
RETUNE_GROWTH = 1.5  # after which cells and width are found again
STORE_ROOM = 1.125  # times as many rows as there are that the store gets room for when it is full
# Queries that one thread searches alone: 64 take it one to two ms at 40,097. Waking a second could save half of that;
# on a busy machine, waiting for it takes 20 to 30 ms.
MAX_ALONE_QUERIES = 64

CELLS_A_ROOT = 2  # cells for each unit of the square root of the rows ...
MAX_CELLS = 1024  # ... up to as many as one query is compared with in 15 us
CENTRE_EFFORT = 64  # of the search for the row nearest to a centroid
KMEANS_ITERATIONS = 4
KMEANS_ROWS = 40  # a centroid
KMEANS_SEED = 7
# Queries that are compared with the centres at once. From 20 on FAISS multiplies matrices, as NumPy does: the threads
# that those leave spinning take the cores from the graph's.
SCAN_QUERIES = 16
NEAREST_FIRST = 2  # FAISS's search_type: all beginnings in one search, not one search for each

# A filter that lets many rows through is a bitmap, and the graph keeps in proportion more candidates. Of one that lets
# fewer through, the rows in the cells around the query are compared with it: so many rows, of so many cells at least.
MIN_WALKED_SHARE = 0.3
SCANNED_ROWS = 500
SCANNED_CELLS = 24
MAX_SCANNED_ROWS = 3_000  # of so many cells; beyond, the graph is as quick

MADV_COLLAPSE = 25  # of Linux 6.1; the module mmap does not name it
HUGE_PAGE = 1 << 21


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

    def _with(self, blocks: Any) -> Cells:
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

    def around(self, query: Vectors, parted: CellRows, least: int) -> Rows:
        """At least so many of some rows, of the cells nearest to a (dim,) query."""
        near = -(self.vectors @ query)
        order = np.argsort(near)
        starts, ends = parted.starts[order], parted.starts[order + 1]
        enough = max(SCANNED_CELLS, 1 + int(np.searchsorted(np.cumsum(ends - starts), least)))
        sizes = (ends - starts)[:enough]
        before = np.cumsum(sizes)
        places = np.arange(before[-1]) + np.repeat(starts[:enough] - before + sizes, sizes)
        found: Rows = parted.rows[places]
        return found


@dataclass(frozen=True)
class CellRows:
    """Some rows, those of a cell one after the other.

    Attributes:
        rows: (m,).
        starts: (cells + 1,) where each cell's begin.
    """

    rows: Rows
    starts: Rows


@dataclass(frozen=True)
class Bitmap:
    """Some rows, as FAISS wants them: what the selector points to must outlive it.

    Attributes:
        share: Of all rows, 0..1.
        bits: One a row.
        selector: FAISS's.
    """

    share: float
    bits: NDArray[np.uint8]
    selector: Any

    @classmethod
    def of(cls, rows: Rows, count: int) -> Bitmap:
        """Of some of ``count`` rows."""
        mask = np.zeros(count, bool)
        mask[rows] = True
        bits = np.packbits(mask, bitorder="little")
        return cls(len(rows) / max(1, count), bits, faiss.IDSelectorBitmap(bits))


class Graph(Structure):
    """``HNSW<links>`` with float32 vectors, ``HNSW<links>_SQfp16`` with vectors in half precision.

    Args:
        name: Which.
        graph: The FAISS index that is searched.
        owner: Another one, without links, whose store keeps the vectors.
        room: Rows the store takes without moving.
    """

    def __init__(self, name: str, graph: Any, owner: Any, room: int) -> None:
        self.name = name
        self._graph, self._owner, self._room = graph, owner, room
        self._store = faiss.downcast_index(owner.storage)
        self._cells: Cells | None = None
        self._recall, self._tuned_rows = 0.0, 0

    @classmethod
    def build(cls, name: str, count: int, read: ReadRows, *, recall: float) -> Graph:
        """See :meth:`Structure.build`."""
        owner = make(name, read(np.arange(1)).shape[1])
        _reserve(owner, count)
        built = cls(name, owner, owner, count)
        for block in read_blocks(count, read, max(1, count)):  # all at once: FAISS links the highest levels first
            owner.add(block)
        built._graph = _sharing(owner, owner)
        owner.hnsw = faiss.HNSW()  # its links go, its vectors stay
        built._tune(recall)
        built._use_huge_pages()
        return built

    def __len__(self) -> int:
        return int(self._graph.ntotal)

    def extended(self, vectors: Vectors) -> Graph:
        """See :meth:`Structure.extended`: rows that this one does not know lie behind its own in the store."""
        count, room, owner = len(self) + len(vectors), self._room, self._owner
        if count > room or self._store.ntotal > len(self):  # ... or an earlier extension of it failed
            room, owner = max(count, int(STORE_ROOM * len(self))), make(self.name, self._graph.d)
            _fill(owner, self._codes[: len(self)], room)
        grown = Graph(self.name, _sharing(owner, self._graph), owner, room)
        grown._graph.add(vectors)
        grown.search_params, grown._recall, grown._tuned_rows = self.search_params, self._recall, self._tuned_rows
        if self._cells is not None:
            grown._cells = self._cells.extended(vectors)
        if count >= RETUNE_GROWTH * self._tuned_rows:
            grown._tune(self._recall)
        grown._use_huge_pages()
        return grown

    def _tune(self, recall: float) -> None:
        self._recall, self._tuned_rows = recall, len(self)
        self._cells = None
        self._cells = Cells.choose(self._graph, len(self), self.vectors)
        tune(self, [[SearchParams(width) for width in WIDTHS]], recall)

    def vectors(self, rows: Rows) -> Vectors:
        """See :meth:`Structure.vectors`."""
        codes = self._codes
        if isinstance(self._store, faiss.IndexFlat):
            flat: Vectors = codes.view(np.float32)[rows]
            return flat
        with one_thread():
            decoded: Vectors = self._store.sa_decode(np.ascontiguousarray(codes[rows]))
        return decoded

    @cached_property
    def _codes(self) -> NDArray[np.uint8]:
        """FAISS's own memory, which never moves: (at least n, bytes a row)."""
        codes: NDArray[np.uint8] = faiss.rev_swig_ptr(self._store.codes.data(), self._store.codes.size())
        return codes.reshape(-1, self._store.code_size)

    # --- searching it ---

    def select(self, rows: Rows) -> CellRows | Bitmap:
        """See :meth:`Structure.select`."""
        cells = 0 if self._cells is None else len(self._cells.centres)
        most = min(MIN_WALKED_SHARE * len(self), MAX_SCANNED_ROWS / SCANNED_CELLS * cells)
        if self._cells is None or len(rows) >= most:
            return Bitmap.of(rows, len(self))
        return self._cells.part(rows)

    def search(self, queries: Vectors, k: int, selection: CellRows | Bitmap | None, keys: Keys) -> Matches:
        """See :meth:`Structure.search`."""
        if isinstance(selection, CellRows):
            return self._search_cells(queries, k, selection, keys)
        found = no_matches(len(queries), k)
        if not len(queries):
            return found
        width = self.search_params.width
        if selection is None:
            params = faiss.SearchParametersHNSW(efSearch=max(width, k))
        else:
            width = math.ceil(width / max(selection.share, 1e-6))
            params = faiss.SearchParametersHNSW(efSearch=max(width, k), sel=selection.selector)
        with one_thread() if len(queries) <= MAX_ALONE_QUERIES else nullcontext():
            if self._cells is None:
                scores, rows = self._graph.search(queries, k, params=params)
            else:
                begun, near = self._cells.nearest(queries)
                scores, rows = found.scores, found.keys
                asked, first, first_scores, out, out_rows = (
                    faiss.swig_ptr(each) for each in (queries, begun, near, scores, rows)
                )
                self._graph.search_level_0(
                    len(queries), asked, k, first, first_scores, out, out_rows, 1, NEAREST_FIRST, params
                )
        none = rows < 0
        if none.any():
            scores[none] = -np.inf
            return Matches(np.where(none, -1, keys[rows]), scores)
        return Matches(keys[rows], scores)

    def _search_cells(self, queries: Vectors, k: int, parted: CellRows, keys: Keys) -> Matches:
        assert self._cells is not None
        found = no_matches(len(queries), k)
        for place, query in enumerate(queries):
            rows = self._cells.around(query, parted, max(SCANNED_ROWS, k))
            best = self.scan(query[None], rows, k, keys)
            found.keys[place], found.scores[place] = best.keys[0], best.scores[0]
        return found

    def scan(self, queries: Vectors, rows: Rows, k: int, keys: Keys) -> Matches:
        """See :meth:`Structure.scan`."""
        if isinstance(self._store, faiss.IndexFlat):
            return scan_rows(queries, self._codes.view(np.float32), rows, k, keys)
        return super().scan(queries, rows, k, keys)

    # --- keeping it ---

    def content(self) -> Content:
        """See :meth:`Structure.content`."""
        hnsw = self._graph.hnsw
        plain = {"entry": hnsw.entry_point, "top": hnsw.max_level, "width": self.search_params.width}
        arrays = {
            "codes": np.asarray(_Lent(self._codes[: len(self)], self._owner)),
            "links": np.asarray(_Lent(_view(hnsw.neighbors), self._graph)),
        }
        arrays |= {name: faiss.vector_to_array(getattr(hnsw, name)) for name in ("levels", "offsets")}
        if self._cells is not None:
            arrays |= {"centres": self._cells.centres, "cells": self._cells.of}
        return {**plain, **arrays, "tuned": self._tuned_rows, "recall": self._recall}

    @classmethod
    def restore(cls, name: str, content: Content) -> Graph:
        """See :meth:`Structure.restore`."""
        codes, links, cells = content["codes"], content["links"], content["cells"]
        dim = codes.shape[1] // (2 if name.endswith("fp16") else 4)
        owner = make(name, dim)
        _fill(owner, codes, len(codes))
        graph = _sharing(owner, owner)
        hnsw = graph.hnsw
        for each in ("levels", "offsets"):
            faiss.copy_array_to_vector(content[each], getattr(hnsw, each))
        hnsw.neighbors.resize(len(links))
        _view(hnsw.neighbors)[:] = links
        hnsw.entry_point, hnsw.max_level = content["entry"], content["top"]
        restored = cls(name, graph, owner, len(codes))
        restored._recall, restored._tuned_rows = content["recall"], content["tuned"]
        restored.search_params = SearchParams(content["width"])
        restored._cells = Cells(content["centres"], restored.vectors(content["centres"]), cells)
        return restored

    def _use_huge_pages(self) -> None:
        """Move it into pages of 2 MB; it may be searched meanwhile."""
        use_huge_pages(self._codes)
        use_huge_pages(_view(self._graph.hnsw.neighbors))


class _Lent:
    """FAISS's memory for ``np.asarray``, which keeps alive whose it is."""

    def __init__(self, array: NDArray[Any], owner: Any) -> None:
        self.__array_interface__ = array.__array_interface__
        self.owner = owner


def cell_count(rows: int) -> int:
    """How many cells a graph of so many rows has."""
    return max(1, min(MAX_CELLS, int(CELLS_A_ROOT * rows**0.5)))


def make(name: str, dim: int) -> Any:
    """An empty FAISS graph for inner products."""
    graph = faiss.index_factory(dim, name, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = EF_CONSTRUCTION
    graph.keep_max_size_level0 = True
    return graph


def _sharing(owner: Any, like: Any) -> Any:
    """A FAISS graph with the links of another one over the vectors that a third one owns."""
    made = type(owner)()
    made.d, made.metric_type, made.is_trained, made.ntotal = owner.d, owner.metric_type, True, owner.storage.ntotal
    made.storage, made.own_fields = owner.storage, False
    made.hnsw = like.hnsw
    made.keep_max_size_level0 = like.keep_max_size_level0
    return made


def _reserve(owner: Any, room: int) -> None:
    """Memory in the store for so many rows, which then never moves."""
    store = faiss.downcast_index(owner.storage)
    held = store.codes.size()
    store.codes.resize(room * store.code_size)
    store.codes.resize(held)


def _fill(owner: Any, codes: NDArray[np.uint8], room: int) -> None:
    """Rows for an empty store, which gets room for more."""
    store = faiss.downcast_index(owner.storage)
    store.codes.resize(room * store.code_size)
    _view(store.codes)[: codes.size] = codes.reshape(-1)
    store.codes.resize(codes.size)
    store.ntotal = len(codes)


def _view(vector: Any) -> NDArray[Any]:
    """A FAISS vector's own memory."""
    array: NDArray[Any] = faiss.rev_swig_ptr(vector.data(), vector.size())
    return array


def use_huge_pages(array: NDArray[Any]) -> None:
    """Move memory into pages of 2 MB where Linux has them: a graph reads all over it, and with small pages a fifth to a
    third of the time is spent on finding them."""
    begin = -(-array.ctypes.data // HUGE_PAGE) * HUGE_PAGE
    size = (array.ctypes.data + array.nbytes) // HUGE_PAGE * HUGE_PAGE - begin
    if sys.platform == "linux" and size > 0:
        libc = ctypes.CDLL(None)
        for advice in (mmap.MADV_HUGEPAGE, MADV_COLLAPSE):  # a kernel without one says so, and nothing is lost
            libc.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(size), advice)
