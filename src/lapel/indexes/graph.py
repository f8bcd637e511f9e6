"""FAISS's HNSW graph, made quick on a shop's vectors: cells to begin in and to filter by, room to grow, huge pages.

A shop's vectors lie in dense clusters, and HNSW's own way down its levels ends in a wrong one for some queries: at
300,000, 17 of 1,000 find nothing right unless hundreds of candidates are kept. So the rows are parted into *cells*,
each around one row, its *centre*, and every so many rows are an *entry*. A search compares the query with all centres
and with the entries of the nearest cells, and begins at the four nearest at once. Then ten candidates suffice for a
Recall@10 of 0.995 at 300,000 and 0.992 at 1,000,000.

The graph grows beside the one that is searched: its links are copied (132 bytes a row with 16 links), its vectors
shared, and more rows linked into the copy, so no search ever waits.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import sys
import threading
from collections import deque
from contextlib import nullcontext
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import faiss as typed_faiss
import numpy as np
from numpy.typing import NDArray

from lapel.core.types import Matches
from lapel.core.vectors import Keys, Vectors
from lapel.indexes.cells import CellRows, Cells
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
TUNING_ROWS = 400  # that are asked for
RETUNE_GROWTH = 1.5  # after which cells and width are found again
STORE_ROOM = 1.125  # times as many rows as there are that the store gets room for when it is full
# Queries that one thread searches alone: 256 take it ten ms at 40,097. Waking a second could save half of that; on a
# busy machine, waiting for it takes 20 to 30 ms.
MAX_ALONE_QUERIES = 256
MAX_CACHED_PARAMS = 32

NEAREST_FIRST = 2  # FAISS's search_type: all beginnings in one search, not one search for each

# A filter that lets many rows through is a bitmap, and the graph keeps in proportion more candidates. Of one that lets
# fewer through, the rows in the cells around the query are compared with it: so many rows, of so many cells at least.
MIN_WALKED_SHARE = 0.3
SCANNED_ROWS = 800
SCANNED_CELLS = 24
MAX_COPIED_ROWS = 131_072  # of all filters that are asked again and again: 64 MB at 128 wide
MAX_SCANNED_ROWS = 3_000  # of so many cells; beyond, the graph is as quick

MADV_COLLAPSE = 25  # of Linux 6.1; the module mmap does not name it
HUGE_PAGE = 1 << 21


@dataclass(frozen=True)
class Bitmap:
    """Some rows, as FAISS wants them: what the selector points to must outlive it.

    Attributes:
        share: Of all rows, 0..1.
        bits: One a row.
        selector: FAISS's.
        params: FAISS's parameters of searches with it, by width and k.
    """

    share: float
    bits: NDArray[np.uint8]
    selector: Any
    params: dict[tuple[int, int], Any] = field(default_factory=dict, repr=False)

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

    is_quick = True

    def __init__(self, name: str, graph: Any, owner: Any, room: int) -> None:
        self.name = name
        self._graph, self._owner, self._room = graph, owner, room
        self._store = faiss.downcast_index(owner.storage)
        self._cells: Cells | None = None
        self._params: dict[tuple[int, int], Any] = {}  # FAISS's, of searches without a filter
        self._copied: deque[CellRows] = deque()  # the oldest first
        self._copying = threading.Lock()
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
        grown._copied, grown._copying = self._copied, self._copying  # filters of before may still have copies
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
        trial, asked = self._without_links()
        tune(trial, [[SearchParams(width) for width in WIDTHS]], recall, asked)
        self.search_params = trial.search_params

    def _without_links(self) -> tuple[Graph, Rows]:
        """A graph to tune, and rows to ask it for, which lost their links in it: a row's own links lead straight to its
        neighbours, where a query that is not held has to find them. Entries keep theirs."""
        assert self._cells is not None
        others = np.setdiff1d(np.arange(len(self)), self._cells.entries)
        asked = others[sample(len(others), TUNING_ROWS)]
        if not len(asked):
            return self, sample(len(self), TUNING_ROWS)
        trial = copy(self)
        trial._graph, trial._params = _sharing(self._owner, self._graph), {}
        hnsw = trial._graph.hnsw
        first = faiss.vector_to_array(hnsw.offsets)[asked].astype(np.int64)
        _view(hnsw.neighbors)[first[:, None] + np.arange(hnsw.nb_neighbors(0))] = -1
        return trial, asked

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
        if not len(queries):
            return no_matches(0, k)
        params = self._faiss_params(k, selection)
        with one_thread() if len(queries) <= MAX_ALONE_QUERIES else nullcontext():
            if self._cells is None:
                scores, rows = self._graph.search(queries, k, params=params)
            else:
                begun, near = self._cells.nearest(queries)
                scores, rows = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
                asked, first, first_scores, out, out_rows = (
                    faiss.swig_ptr(each) for each in (queries, begun, near, scores, rows)
                )
                self._graph.search_level_0(
                    len(queries), asked, k, first, first_scores, out, out_rows, begun.shape[1], NEAREST_FIRST, params
                )
        if rows.min(initial=0) < 0:
            scores[rows < 0] = -np.inf
            return Matches(np.where(rows < 0, -1, keys[rows]), scores)
        return Matches(keys[rows], scores)

    def _faiss_params(self, k: int, selection: Bitmap | None) -> Any:
        """FAISS's search parameters; making them takes a tenth of a search."""
        known = self._params if selection is None else selection.params
        width = self.search_params.width
        if (params := known.get((width, k))) is None:
            if selection is None:
                params = faiss.SearchParametersHNSW(efSearch=max(width, k))
            else:
                more = math.ceil(width / max(selection.share, 1e-6))
                params = faiss.SearchParametersHNSW(efSearch=max(more, k), sel=selection.selector)
            if len(known) >= MAX_CACHED_PARAMS:
                known.clear()
            known[width, k] = params
        return params

    def _search_cells(self, queries: Vectors, k: int, parted: CellRows, keys: Keys) -> Matches:
        assert self._cells is not None
        found, copy = no_matches(len(queries), k), self._copy_of(parted, keys)
        for row, query in enumerate(queries):
            places = self._cells.around(query, parted, cells=SCANNED_CELLS, rows=max(SCANNED_ROWS, k))
            if copy is None:
                best = self.scan(query[None], parted.rows[places], k, keys)
            else:
                best = scan_rows(query[None], copy[0], places, k, copy[1])
            found.keys[row], found.scores[row] = best.keys[0], best.scores[0]
        return found

    def _copy_of(self, parted: CellRows, keys: Keys) -> tuple[Vectors, Keys] | None:
        """The vectors of a filter's rows where they lie together, and their keys, from its second question on: reading
        them there takes a quarter of the time. The latest filters are kept so."""
        copy = parted.copy
        if copy is None and parted.is_known and len(parted.rows) <= MAX_COPIED_ROWS:
            copy = (self.vectors(parted.rows), keys[parted.rows])
            with self._copying:
                if parted.copy is None:
                    parted.copy = copy
                    self._copied.append(parted)
                while sum(len(each.rows) for each in self._copied) > MAX_COPIED_ROWS:
                    self._copied.popleft().copy = None
        parted.is_known = True
        return copy

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
        restored._cells = Cells(content["centres"], cells, restored.vectors)
        threading.Thread(target=restored._use_huge_pages, name="lapel-index-settling", daemon=True).start()
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
