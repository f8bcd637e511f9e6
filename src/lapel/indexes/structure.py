"""One FAISS structure of any kind over rows 0, 1, 2 ...: built from a factory string, tuned for a recall, searched.

In go unit vectors and row masks, out come rows and inner products. It knows no keys and removes nothing; see
:mod:`lapel.indexes.linked` and :mod:`lapel.indexes.approximate` for what makes an index of it.

A graph (HNSW) grows beside the one that is searched: :meth:`Structure.extended` copies its links (132 bytes a row with
16 links), shares its vectors, and links more rows into the copy, so no search ever waits for it.
"""

from __future__ import annotations

import math
import re
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import faiss as typed_faiss
import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import InputError
from lapel.core.vectors import Vectors
from lapel.indexes.faiss import MAX_FAISS_QUERIES, MIN_SHARED_ROWS, matrix_of, one_thread, write_faiss
from lapel.indexes.files import WriteBytes
from lapel.indexes.graph import KMEANS_ROWS, Entries, entry_count, search_graph, share_graph, use_huge_pages
from lapel.indexes.rows import Mask, Rows, Scores, best_by_matrix, best_rows

faiss: Any = typed_faiss  # its type stubs know the C++ signatures, not those its Python layer puts over them

REFINE_STORAGE = "SQfp16"  # how vectors are kept for the exact last step where the structure itself does not keep them
MIN_ROWS = 1000  # below these no structure is worth building
ROWS_PER_CENTROID = 39  # that FAISS wants for learning
MAX_TRAINING_ROWS = 200_000
EF_CONSTRUCTION = 100  # of a graph: with FAISS's own 40 that of a shop's dense clusters never reaches 0.99
EF_QUANTIZER = 200, 128  # of the graph over an IVF's centroids: while that is built, and while it is searched
KMEANS_ITERATIONS = 10
STORE_ROOM = 1.125  # times as many rows as there are that a graph's store gets room for when it is full
# Times as many lists under a filter as the rule says: it is a rule of thumb, and the parameters were found without one.
FILTER_MARGIN = 1.4
TUNING_QUERIES = 200
TUNING_K = 10
# Of a cosine: a row that misses the k-th score by less is as good an answer; shops sell the same picture twice.
SCORE_TOLERANCE = 1e-4
SEARCH_WIDTHS = {  # values of efSearch and of nprobe that tuning tries
    "hnsw": (10, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128, 192, 256, 512),
    "ivf": (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512),
}
REFINE_FACTORS = (1, 2, 4, 8, 16, 32)
SCAN_ROWS = 2_000  # allowed rows up to which they are scanned one by one ...
SCAN_ROWS_A_ROOT = 20  # ... or so many for each unit of the square root of all rows: 20,000 of a million
MAX_CACHED_PARAMS = 32
# Queries that one thread searches alone: 64 take it one to two ms at 40,097. Waking a second could save half of that;
# on a busy machine, waiting for it takes 20 to 30 ms.
MAX_ALONE_QUERIES = 64


@dataclass(frozen=True)
class SearchParams:
    """How hard a search tries.

    Attributes:
        width: Candidates HNSW keeps (efSearch), lists an IVF reads (nprobe).
        refine_factor: Candidates scored exactly for each one that is wanted.
    """

    width: int = 64
    refine_factor: int = 1


@dataclass(frozen=True)
class RowSelection:
    """Which rows a search may find, as FAISS wants it.

    Attributes:
        share: Of all rows, 0..1.
        selector: FAISS's.
        bits: What the selector points to.
        params: FAISS's parameters of searches with it.
    """

    share: float
    selector: Any
    bits: NDArray[np.uint8]
    params: dict[tuple[SearchParams, int], list[Any]] = field(default_factory=dict, repr=False)


class Structure:
    """A built FAISS index and the parameters it is searched with.

    Args:
        factory: FAISS's factory string it was built from.
        index: The FAISS index.
        search_params: How hard a search tries.
        tuned_rows: Rows there were when the parameters were found; all there are by default.
        owner: The FAISS graph whose vectors this one shares.
        entries: Where searches of a graph begin; found by :meth:`tune`.
    """

    def __init__(
        self,
        factory: str,
        index: Any,
        search_params: SearchParams | None = None,
        tuned_rows: int | None = None,
        owner: Any = None,
        entries: Entries | None = None,
    ) -> None:
        self.factory = factory
        self.index = index
        self.search_params = search_params or SearchParams()
        self.tuned_rows = int(index.ntotal) if tuned_rows is None else tuned_rows
        self._params: dict[tuple[SearchParams, int], list[Any]] = {}  # of searches without a filter
        self._room = len(self)  # rows the store takes without moving
        self._owner = owner
        self.entries = entries
        if self.is_graph and owner is None:
            self.index, self._owner = share_graph(index, index), index
            index.hnsw = faiss.HNSW()  # its links go, its vectors stay

    @classmethod
    def build(cls, factory: str, vectors: Vectors, *, seed: int = 7) -> Structure:
        """Train and fill one with (n, dim) unit rows.

        Raises:
            InputError: FAISS knows no such factory string, or the vectors are too few for it.
        """
        index = make(factory, vectors.shape[1])
        if len(vectors) < (needed := least_rows(factory)):
            raise InputError(f"'faiss:{factory}' needs {needed:,} vectors to be built; found {len(vectors):,}.")
        if not index.is_trained:
            core = _core_of(index)
            if isinstance(core, faiss.IndexIVF):
                core.cp.niter = KMEANS_ITERATIONS
                core.cp.min_points_per_centroid = 1  # fewer than FAISS likes are enough; it would only say so
            some = np.random.default_rng(seed).permutation(len(vectors))[:MAX_TRAINING_ROWS]
            index.train(vectors[np.sort(some)])
        index.add(vectors)
        built = cls(factory, index)
        built.settle()
        return built

    def __len__(self) -> int:
        return int(self.index.ntotal)

    def add(self, vectors: Vectors) -> None:
        """Append rows. Not while another thread searches."""
        with one_thread():
            self.index.add(vectors)

    def extended(self, vectors: Vectors) -> Structure:
        """A graph with (m, dim) more rows, while this one goes on being searched. One thread at a time.

        The links are copied, the vectors shared: rows that this one does not know lie behind its own.
        """
        count, room, owner = len(self) + len(vectors), self._room, self._owner
        if count > room:
            room, owner = max(count, int(STORE_ROOM * len(self))), make(self.factory, self.index.d)
            store = faiss.downcast_index(owner.storage)
            store.codes.resize(room * store.code_size)
            _codes_of(store)[: len(self)] = _codes_of(self._store)[: len(self)]
            store.codes.resize(len(self) * store.code_size)
            store.ntotal = len(self)
        graph = share_graph(owner, self.index)
        graph.add(vectors)
        entries = None if self.entries is None else self.entries.extended(len(self), vectors)
        grown = Structure(self.factory, graph, self.search_params, self.tuned_rows, owner, entries)
        grown._room = room
        grown.settle()
        return grown

    def settle(self) -> None:
        """Move a graph into huge pages; it may be searched meanwhile."""
        if self.is_graph:
            use_huge_pages(self._store.codes)
            use_huge_pages(self.index.hnsw.neighbors)

    @cached_property
    def core(self) -> Any:
        """The part that is searched, below refinement and transforms."""
        return _core_of(self.index)

    @cached_property
    def _store(self) -> Any:
        """The part that keeps every row's own vector, one after the other."""
        outer = faiss.downcast_index(self.index)
        if isinstance(outer, faiss.IndexRefine):
            return faiss.downcast_index(outer.refine_index)
        return faiss.downcast_index(outer.storage) if isinstance(outer, faiss.IndexHNSW) else outer

    @property
    def family(self) -> str:
        """``hnsw``, ``ivf`` or ``scan``."""
        if isinstance(self.core, faiss.IndexHNSW):
            return "hnsw"
        return "ivf" if isinstance(self.core, faiss.IndexIVF) else "scan"

    @cached_property
    def is_graph(self) -> bool:
        """Whether it grows by :meth:`extended`."""
        return isinstance(faiss.downcast_index(self.index), faiss.IndexHNSW)

    def vectors(self, rows: Rows) -> Vectors:
        """(m,) rows -> their (m, dim) float32 vectors, as exact as they are kept."""
        store = self._store
        if isinstance(store, faiss.IndexIVF):
            with one_thread() if len(rows) < MIN_SHARED_ROWS else nullcontext():
                listed: Vectors = store.reconstruct_batch(rows)
            return listed
        if isinstance(store, faiss.IndexFlat):
            flat: Vectors = matrix_of(store)[rows]
            return flat
        with one_thread():
            decoded: Vectors = store.sa_decode(np.ascontiguousarray(_codes_of(store)[rows]))
        return decoded

    def scan(self, queries: Vectors, rows: Rows, k: int) -> tuple[Rows, Scores]:
        """The exact min(k, m) best among (m,) ascending rows: (q, k) rows and scores, equal scores by ascending row."""
        store = self._store
        if isinstance(store, faiss.IndexFlat) and len(queries) <= MAX_FAISS_QUERIES and len(rows):
            # FAISS reads the rows where they are; copying them together first takes five times as long.
            scores = np.empty((len(queries), len(rows)), np.float32)
            ids = np.ascontiguousarray(np.broadcast_to(rows, scores.shape))
            out, asked, wanted = (faiss.swig_ptr(array) for array in (scores, queries, ids))
            with one_thread():
                faiss.fvec_inner_products_by_idx(out, asked, store.get_xb(), wanted, store.d, len(queries), len(rows))
            best = best_rows(scores, min(k, len(rows)))
            return rows[best], np.take_along_axis(scores, best, axis=1)
        places, scores = best_by_matrix(queries, self.vectors(rows), k)
        return rows[places], scores

    @property
    def scan_limit(self) -> int:
        """Allowed rows up to which scanning them one by one is quicker than a search that can use few it meets."""
        return max(SCAN_ROWS, int(SCAN_ROWS_A_ROOT * len(self) ** 0.5))

    def select(self, mask: Mask, count: int) -> RowSelection:
        """What is needed to find only the rows of a mask, (n,) bool, of which ``count`` are set."""
        bits = np.packbits(mask, bitorder="little")
        return RowSelection(count / max(1, len(mask)), faiss.IDSelectorBitmap(bits), bits)

    def search(
        self,
        queries: Vectors,
        k: int,
        selection: RowSelection | None = None,
        *,
        search_params: SearchParams | None = None,
    ) -> tuple[Rows, Scores]:
        """About the k best of all rows, or of a selection: (q, k) rows, -1 where none was found, and scores."""
        if not len(queries):
            return np.empty((0, k), np.int64), np.empty((0, k), np.float32)
        tried = search_params or self.search_params
        known = self._params if selection is None else selection.params
        params = known.get((tried, k))
        if params is None:
            if len(known) >= MAX_CACHED_PARAMS:
                known.clear()
            params = known[tried, k] = self._faiss_params(tried, k, selection)
        with one_thread() if len(queries) <= MAX_ALONE_QUERIES else nullcontext():
            if self.entries is None:
                scores, rows = self.index.search(queries, k, params=params[-1])
            else:
                scores, rows = search_graph(self.index, queries, k, self.entries, params[-1])
        if rows.size and rows.min() < 0:
            scores[rows < 0] = -np.inf
        return rows, scores

    def _filter_factor(self, selection: RowSelection | None) -> float:
        """How many times as hard a search must try under a filter."""
        if selection is None or selection.share == 1:
            return 1.0
        # The nearest allowed rows of an IVF lie in about 1/sqrt(share) times as many lists: so measured at 0.5 to 0.003
        # of 1,000,000.
        return max(1.0, FILTER_MARGIN * selection.share**-0.5) if self.family == "ivf" else 1 / selection.share

    def _faiss_params(self, search_params: SearchParams, k: int, selection: RowSelection | None) -> list[Any]:
        """FAISS's search parameters, last, after all that they point to: FAISS keeps pointers only."""
        made: list[Any] = []
        width = math.ceil(search_params.width * self._filter_factor(selection))
        selector = None if selection is None else selection.selector
        self._add_params(self.index, selector, width, search_params.refine_factor, k, made)
        return made

    def _add_params(self, index: Any, selector: Any, width: int, refine_factor: int, k: int, made: list[Any]) -> Any:
        """FAISS's search parameters for an index and all parts below it."""
        index = faiss.downcast_index(index)
        chosen = {} if selector is None else {"sel": selector}
        if isinstance(index, faiss.IndexRefine):
            below = self._add_params(index.base_index, selector, width, refine_factor, k * refine_factor, made)
            params = faiss.IndexRefineSearchParameters(k_factor=float(refine_factor), base_index_params=below)
        elif isinstance(index, faiss.IndexPreTransform):
            below = self._add_params(index.index, selector, width, refine_factor, k, made)
            params = faiss.SearchParametersPreTransform(index_params=below)
        elif isinstance(index, faiss.IndexHNSW):
            params = faiss.SearchParametersHNSW(efSearch=max(width, k), **chosen)
        elif isinstance(index, faiss.IndexIVF):
            params = faiss.SearchParametersIVF(nprobe=min(max(width, 1), index.nlist), **chosen)
        else:
            params = faiss.SearchParameters(**chosen)
        made.append(params)
        return params

    def write(self, write: WriteBytes) -> None:
        """What FAISS writes, some bytes at a time."""
        write_faiss(self.index, write)

    def tune(self, recall: float, *, alive: Mask | None = None, seed: int = 7) -> float:
        """Find the quickest parameters that reach a recall, by asking for the neighbours of some of its own rows.

        Args:
            recall: Wanted Recall@10 against exact search, 0..1, by score: equally near rows are equally right
                (Aumueller et al., "ANN-Benchmarks", 2020, section 3.1).
            alive: Rows that may be found; all by default.
            seed: Decides which rows ask.

        Returns:
            The recall that was reached: below ``recall`` only if no parameters reach it; then the best are kept.
        """
        self.tuned_rows = len(self)
        if self.is_graph:
            some = np.random.default_rng(seed).permutation(len(self))[: KMEANS_ROWS * entry_count(len(self))]
            self.entries = Entries.choose(self.index, self.vectors(np.sort(some)))
        rows = np.arange(len(self)) if alive is None else np.flatnonzero(alive)
        k = min(TUNING_K, len(rows) - 1)
        if k < 1:
            return 1.0
        asking = np.sort(np.random.default_rng(seed).permutation(rows)[:TUNING_QUERIES])
        queries = self.vectors(asking)
        last = self._last_scores(queries, asking, rows, k)
        selection = None if alive is None or alive.all() else self.select(alive, len(rows))
        quickest: tuple[float, SearchParams, float] | None = None
        reached: tuple[float, SearchParams] = (-1.0, self.search_params)
        refined = isinstance(faiss.downcast_index(self.index), faiss.IndexRefine)
        for refine_factor in REFINE_FACTORS if refined else (1,):
            for width in SEARCH_WIDTHS.get(self.family, (1,)):
                tried = SearchParams(width, refine_factor)
                began = time.perf_counter()
                found, scores = self.search(queries, k + 1, selection, search_params=tried)
                took = time.perf_counter() - began
                near = (scores >= last[:, None] - SCORE_TOLERANCE) & (found != asking[:, None])
                share = float(np.minimum(near.sum(axis=1), k).mean() / k)
                if share > reached[0]:
                    reached = (share, tried)
                if share >= recall:
                    if quickest is None or took < quickest[0]:
                        quickest = (took, tried, share)
                    break
        if quickest is None:
            self.search_params = reached[1]
            return reached[0]
        self.search_params = quickest[1]
        return quickest[2]

    def _last_scores(self, queries: Vectors, asking: Rows, rows: Rows, k: int) -> Scores:
        """(q,) the score of each query's exact k-th nearest row but itself, a block of rows at a time."""
        best = np.full((len(queries), k), -np.inf, np.float32)
        for block in np.array_split(rows, max(1, len(rows) // 65_536)):
            places, scores = best_by_matrix(queries, self.vectors(block), k + 1)
            scores[block[places] == asking[:, None]] = -np.inf
            best = -np.sort(-np.concatenate([best, scores], axis=1), axis=1)[:, :k]
        last: Scores = best[:, -1]
        return last


def _core_of(index: Any) -> Any:
    """The part that is searched, below refinement and transforms."""
    while True:
        index = faiss.downcast_index(index)
        if isinstance(index, faiss.IndexRefine):
            index = index.base_index
        elif isinstance(index, faiss.IndexPreTransform):
            index = index.index
        else:
            return index


def _codes_of(store: Any) -> NDArray[np.uint8]:
    """FAISS's own memory: (n, bytes a row)."""
    codes: NDArray[np.uint8] = faiss.rev_swig_ptr(store.codes.data(), store.codes.size())
    return codes.reshape(-1, store.code_size)


def make(factory: str, dim: int) -> Any:
    """An empty FAISS index for inner products that keeps every vector for an exact last step.

    Raises:
        InputError: FAISS knows no such factory string.
    """
    kept = re.fullmatch(r"HNSW\d+(_SQfp16|,Flat|_Flat)?|(IVF\d+(_HNSW\d+)?,)?(SQfp16|Flat)", factory)
    full = factory if kept or "Refine" in factory or "RFlat" in factory else f"{factory},Refine({REFINE_STORAGE})"
    try:
        if not factory:
            raise RuntimeError("nothing to make")
        index = faiss.index_factory(dim, full, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise InputError(
            f"FAISS cannot make 'faiss:{factory}' for vectors {dim} wide. Write a factory string such as HNSW32, SQ8,"
            f" IVF1024,SQ8 or IVF1024,PQ{max(dim // 4, 1)}x4fs, or faiss:auto."
        ) from error
    if index.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise InputError(f"'faiss:{factory}' does not compare by inner product. Use another kind, or faiss:auto.")
    core = _core_of(index)
    if isinstance(core, faiss.IndexHNSW):
        core.hnsw.efConstruction = EF_CONSTRUCTION
        core.keep_max_size_level0 = True
    if isinstance(core, faiss.IndexIVF):
        core.make_direct_map(True)
        quantizer = faiss.downcast_index(core.quantizer)
        if isinstance(quantizer, faiss.IndexHNSW):  # a row that is put into another list than its nearest is lost
            quantizer.hnsw.efConstruction, quantizer.hnsw.efSearch = EF_QUANTIZER
    return index


def least_rows(factory: str) -> int:
    """How many vectors a factory string needs before it can be built well."""
    lists = re.search(r"IVF(\d+)", factory)
    eight_bits = re.search(r"PQ\d+(x8)?(?!x|\d)", factory)
    centroids = max(int(lists[1]) if lists else 0, 256 if eight_bits else 0)
    return max(MIN_ROWS, ROWS_PER_CENTROID * centroids)
