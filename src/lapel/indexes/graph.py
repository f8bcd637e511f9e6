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
import mmap
import sys
import threading
from collections import deque
from contextlib import nullcontext
from copy import copy
from functools import cached_property, lru_cache
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

NEAREST_FIRST = 2  # FAISS's search_type: all beginnings in one search, not one search for each

# A filter that lets many rows through is answered from the nearest of all. Of one that lets fewer through, the rows in
# the cells around the query are compared with it: so many rows, of so many cells at least.
WIDE_SHARE = 0.3
NEW_SHARE = 0.05  # when it is asked for the first time: looking up its rows takes ten times a search
SCANNED_ROWS = 800
SCANNED_CELLS = 24
MAX_COPIED_ROWS = 131_072  # of all filters that are asked again and again: 64 MB at 128 wide
MAX_SCANNED_ROWS = 3_000  # of so many cells; beyond, the graph is as quick

MADV_COLLAPSE = 25  # of Linux 6.1; the module mmap does not name it
HUGE_PAGE = 1 << 21


class Graph(Structure):
    """``HNSW<links>`` with float32 vectors, ``HNSW<links>_SQfp16`` with vectors in half precision.

    Args:
        name: Which.
        store: FAISS's index of the vectors, which this graph and the next share.
        graph: FAISS's graph over it.
        room: Rows the store takes without moving.
    """

    _cells: Cells  # found when it is tuned

    def __init__(self, name: str, store: Any, graph: Any, room: int) -> None:
        self.name = name
        self._store, self._graph, self._room = store, graph, room
        self._copied: deque[CellRows] = deque()  # the oldest first
        self._copying = threading.Lock()
        self._recall, self._tuned_rows = 0.0, 0

    @classmethod
    def build(cls, name: str, count: int, read: ReadRows, *, recall: float) -> Graph:
        """See :meth:`Structure.build`."""
        vectors = read(np.arange(count))
        store = _store(name, vectors.shape[1], count)
        built = cls(name, store, _graph_over(store, name), count)
        built._graph.add(vectors)  # all at once: FAISS links the highest levels first
        del vectors
        built._tune(recall)
        built._use_huge_pages()
        return built

    def __len__(self) -> int:
        return int(self._graph.ntotal)

    def extended(self, vectors: Vectors) -> Graph:
        """See :meth:`Structure.extended`: rows that this one does not know lie behind its own in the store."""
        count, room, store = len(self) + len(vectors), self._room, self._store
        if count > room or store.ntotal > len(self):  # ... or an earlier extension of it failed
            room = max(count, int(STORE_ROOM * len(self)))
            store = _store(self.name, self._graph.d, room, self._codes[: len(self)])
        grown = Graph(self.name, store, _graph_over(store, self.name, self._graph.hnsw), room)
        grown._copied, grown._copying = self._copied, self._copying  # filters of before may still have copies
        grown._graph.add(vectors)
        grown.search_params, grown._recall, grown._tuned_rows = self.search_params, self._recall, self._tuned_rows
        if count >= RETUNE_GROWTH * self._tuned_rows:
            grown._tune(self._recall)
        else:
            grown._cells = self._cells.extended(vectors)
        grown._use_huge_pages()
        return grown

    def _tune(self, recall: float) -> None:
        self._recall, self._tuned_rows = recall, len(self)
        self._cells = Cells.choose(self._graph, len(self), self.vectors)
        trial, asked = self._without_links()
        tune(trial, [[SearchParams(width) for width in WIDTHS]], recall, asked)
        self.search_params = trial.search_params

    def _without_links(self) -> tuple[Graph, Rows]:
        """A graph to tune, and rows to ask it for, which lost their links in it: a row's own links lead straight to its
        neighbours, where a query that is not held has to find them. Entries keep theirs."""
        others = np.setdiff1d(np.arange(len(self)), self._cells.entries)
        asked = others[sample(len(others), TUNING_ROWS)]
        if not len(asked):
            return self, sample(len(self), TUNING_ROWS)
        trial = copy(self)
        trial._graph = _graph_over(self._store, self.name, self._graph.hnsw)
        hnsw = trial._graph.hnsw
        first = faiss.vector_to_array(hnsw.offsets)[asked].astype(np.int64)
        _view(hnsw.neighbors, trial)[first[:, None] + np.arange(hnsw.nb_neighbors(0))] = -1
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
        codes = _view(self._store.codes, self._store)
        return codes.reshape(-1, self._store.code_size)

    # --- searching it ---

    def wide_share(self, is_new: bool) -> float:
        """See :meth:`Structure.wide_share`: where looking rows up, or those of the cells looked at, take as long."""
        cells = self._cells
        share = MAX_SCANNED_ROWS / SCANNED_CELLS * len(cells.centres) / len(cells.of)
        return min(NEW_SHARE if is_new else WIDE_SHARE, share)

    def select(self, rows: Rows) -> CellRows:
        """See :meth:`Structure.select`."""
        return self._cells.part(rows)

    def search(self, queries: Vectors, k: int, selection: CellRows | None, keys: Keys) -> Matches:
        """See :meth:`Structure.search`."""
        if selection is not None:
            return self._search_cells(queries, k, selection, keys)
        if not len(queries):
            return no_matches(0, k)
        params = _hnsw_params(max(self.search_params.width, k))
        with one_thread() if len(queries) <= MAX_ALONE_QUERIES else nullcontext():
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

    def _search_cells(self, queries: Vectors, k: int, parted: CellRows, keys: Keys) -> Matches:
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
        arrays = {"codes": self._codes[: len(self)], "links": _view(hnsw.neighbors, self._graph)}
        arrays |= {name: faiss.vector_to_array(getattr(hnsw, name)) for name in ("levels", "offsets")}
        arrays |= {"centres": self._cells.centres, "cells": self._cells.of}
        return {**plain, **arrays, "tuned": self._tuned_rows, "recall": self._recall}

    @classmethod
    def restore(cls, name: str, content: Content) -> Graph:
        """See :meth:`Structure.restore`."""
        codes, links = content["codes"], content["links"]
        store = _store(name, codes.shape[1] // (2 if name.endswith("fp16") else 4), len(codes), codes)
        restored = cls(name, store, _graph_over(store, name), len(codes))
        hnsw = restored._graph.hnsw
        for each in ("levels", "offsets"):
            faiss.copy_array_to_vector(content[each], getattr(hnsw, each))
        hnsw.neighbors.resize(len(links))
        _view(hnsw.neighbors, restored)[:] = links
        hnsw.entry_point, hnsw.max_level = content["entry"], content["top"]
        restored._recall, restored._tuned_rows = content["recall"], content["tuned"]
        restored.search_params = SearchParams(content["width"])
        restored._cells = Cells(content["centres"], content["cells"], restored.vectors)
        threading.Thread(target=restored._use_huge_pages, name="lapel-index-settling", daemon=True).start()
        return restored

    def _use_huge_pages(self) -> None:
        """Move it into pages of 2 MB; it may be searched meanwhile."""
        use_huge_pages(self._codes)
        use_huge_pages(_view(self._graph.hnsw.neighbors, self._graph))


@lru_cache(32)
def _hnsw_params(width: int) -> Any:
    """FAISS's search parameters; making them takes a tenth of a search."""
    return faiss.SearchParametersHNSW(efSearch=width)


def _store(name: str, dim: int, room: int, codes: NDArray[np.uint8] | None = None) -> Any:
    """A FAISS index for so many vectors, which then never moves, that holds these (n, bytes) already."""
    half = faiss.ScalarQuantizer.QT_fp16
    store = (
        faiss.IndexScalarQuantizer(dim, half, faiss.METRIC_INNER_PRODUCT)
        if name.endswith("fp16")
        else faiss.IndexFlatIP(dim)
    )
    store.codes.resize(room * store.code_size)
    if codes is not None:
        _view(store.codes, store)[: codes.size] = codes.reshape(-1)
        store.ntotal = len(codes)
    store.codes.resize(store.ntotal * store.code_size)
    return store


def _graph_over(store: Any, name: str, links: Any = None) -> Any:
    """A FAISS graph of all vectors of a store, with a copy of another one's links or none."""
    graph = faiss.IndexHNSWSQ() if name.endswith("fp16") else faiss.IndexHNSWFlat()
    graph.d, graph.metric_type, graph.is_trained, graph.ntotal = store.d, store.metric_type, True, store.ntotal
    graph.storage, graph.own_fields = store, False
    graph.hnsw = links or faiss.HNSW(int(name.removeprefix("HNSW").partition("_")[0]))
    graph.hnsw.is_similarity, graph.hnsw.efConstruction = True, EF_CONSTRUCTION
    graph.keep_max_size_level0 = True
    return graph


def _view(vector: Any, owner: Any) -> NDArray[Any]:
    """The memory of a C++ vector, and what keeps it alive."""
    lent = faiss.rev_swig_ptr(vector.data(), vector.size())
    memory: Any = (ctypes.c_uint8 * lent.nbytes).from_address(lent.ctypes.data)
    memory.owner = owner
    return np.frombuffer(memory, lent.dtype)


def use_huge_pages(array: NDArray[Any]) -> None:
    """Move memory into pages of 2 MB where Linux has them: a graph reads all over it, and with small pages a fifth to a
    third of the time is spent on finding them."""
    begin = -(-array.ctypes.data // HUGE_PAGE) * HUGE_PAGE
    size = (array.ctypes.data + array.nbytes) // HUGE_PAGE * HUGE_PAGE - begin
    if sys.platform == "linux" and size > 0:
        libc = ctypes.CDLL(None)
        for advice in (mmap.MADV_HUGEPAGE, MADV_COLLAPSE):  # a kernel without one says so, and nothing is lost
            libc.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(size), advice)
