"""One FAISS structure of any kind over rows 0, 1, 2 ...: built from a factory string, tuned for a recall, searched.

In go unit vectors and row masks, out come rows and inner products. It knows no keys and removes nothing; see
:mod:`lapel.indexes.sealed` and :mod:`lapel.indexes.approximate` for what makes an index of it. Its last step is exact:
candidates are scored again with vectors kept as float32 or float16, so scores are cosines whatever is compressed.
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
from lapel.indexes.rows import Mask, Rows, Scores, best_by_matrix, best_rows

faiss: Any = typed_faiss  # its type stubs know the C++ signatures, not those its Python layer puts over them

REFINE_STORAGE = "SQfp16"  # how vectors are kept for the exact last step where the structure itself does not keep them
MIN_ROWS = 1000  # below these no structure is worth building
ROWS_PER_CENTROID = 39  # that FAISS wants for learning
MAX_TRAINING_ROWS = 200_000
EF_CONSTRUCTION = 64  # of HNSW
# Of the graph over an IVF's centroids: a row that is put into another list than its nearest is hardly found again, so
# filling tries hard.
QUANTIZER_SETTINGS = {"efConstruction": 200, "efSearch": 128}
KMEANS_ITERATIONS = 10
# A filter such as "shirts" leaves most lists empty, and who asks with a shoe is far from all the others: the nearest
# lists say little there, and so many times as many are read. Measured on 1,000,000 rows with 6 to 35 % of them allowed:
# 0.99 of the exact answer.
CLUSTERED_LIST_FACTOR = 32
# Times as many lists under a filter as the rule says: it is a rule of thumb, and the parameters were found without one.
FILTER_MARGIN = 1.4
# Of the lists that allowed rows would be in if they were chosen at random: below, a filter is a clustered one.
RANDOM_LIST_SHARE = 0.7
TUNING_QUERIES = 200
TUNING_K = 10
# Of a cosine: a row that misses the k-th score by less is as good an answer; shops sell the same picture twice.
SCORE_TOLERANCE = 1e-4
SEARCH_WIDTHS = {  # values of efSearch and of nprobe that tuning tries
    "hnsw": (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512),
    "ivf": (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512),
}
REFINE_FACTORS = (1, 2, 4, 8, 16, 32)
SCAN_ROWS = 20_000  # allowed rows up to which they are scanned one by one ...
SCAN_SHARE = 0.05  # ... or this share of all
SCAN_IVF_ROWS = 2_000  # an IVF's rows lie apart, so reading them one by one takes longer
MAX_CACHED_PARAMS = 32


@dataclass(frozen=True)
class SearchParams:
    """How hard a search tries.

    Attributes:
        nprobe: Lists an IVF reads.
        ef_search: Candidates HNSW keeps.
        refine_factor: Candidates scored exactly for each one that is wanted.
    """

    nprobe: int = 64
    ef_search: int = 64
    refine_factor: int = 1

    @classmethod
    def of_width(cls, width: int, refine_factor: int = 1) -> SearchParams:
        """The same nprobe and efSearch: a structure uses one of them."""
        return cls(width, width, refine_factor)

    def scaled(self, factor: float) -> SearchParams:
        """So many times as hard."""
        return SearchParams(math.ceil(self.nprobe * factor), math.ceil(self.ef_search * factor), self.refine_factor)


@dataclass(frozen=True)
class RowSelection:
    """Which rows a search may find, as FAISS wants it.

    Attributes:
        share: Of all rows, 0..1.
        selector: FAISS's.
        bits: What the selector points to.
        lists: (m,) the IVF's lists that hold them, if those are few; else None.
        params: FAISS's parameters of searches with it.
    """

    share: float
    selector: Any
    bits: NDArray[np.uint8]
    lists: Rows | None = None
    params: dict[tuple[SearchParams, int], list[Any]] = field(default_factory=dict, repr=False)


class Structure:
    """A built FAISS index and the parameters it is searched with.

    Args:
        factory: FAISS's factory string it was built from.
        index: The FAISS index.
        search_params: How hard a search tries.
    """

    def __init__(self, factory: str, index: Any, search_params: SearchParams | None = None) -> None:
        self.factory = factory
        self.index = index
        self.search_params = search_params or SearchParams()
        self.tuned_rows = int(index.ntotal)  # rows there were when the parameters were found
        self._params: dict[tuple[SearchParams, int], list[Any]] = {}  # of searches without a filter

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
            _prepare_training(index)
            some = np.random.default_rng(seed).permutation(len(vectors))[:MAX_TRAINING_ROWS]
            index.train(vectors[np.sort(some)])
        index.add(vectors)
        return cls(factory, index)

    @classmethod
    def build_small(cls, vectors: Vectors, recall: float) -> Structure:
        """An IVF of some thousand (n, dim) unit rows: as many lists as each holds rows."""
        lists = max(1, min(math.isqrt(len(vectors)), len(vectors) // ROWS_PER_CENTROID))
        made = cls.build(f"IVF{lists},Flat", vectors)
        made.tune(recall)
        made.search_params = made.search_params.scaled(FILTER_MARGIN)  # tuned by its own rows, and others ask
        return made

    def __len__(self) -> int:
        return int(self.index.ntotal)

    def add(self, vectors: Vectors) -> None:
        """Append rows. Not while another thread searches."""
        with one_thread():
            self.index.add(vectors)

    @cached_property
    def core(self) -> Any:
        """The part that is searched, below refinement and transforms."""
        part = self.index
        while True:
            part = faiss.downcast_index(part)
            if isinstance(part, faiss.IndexRefine):
                part = part.base_index
            elif isinstance(part, faiss.IndexPreTransform):
                part = part.index
            else:
                return part

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
        codes = faiss.rev_swig_ptr(store.codes.data(), store.codes.size()).reshape(store.ntotal, -1)
        with one_thread():
            decoded: Vectors = store.sa_decode(np.ascontiguousarray(codes[rows]))
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
        if isinstance(self._store, faiss.IndexIVF):
            return SCAN_IVF_ROWS
        return max(SCAN_ROWS, int(SCAN_SHARE * len(self)))

    def select(self, mask: Mask, rows: Rows | None = None) -> RowSelection:
        """What is needed to find only the rows of a mask, (n,) bool; their (m,) numbers too where a filter's."""
        bits = np.packbits(mask, bitorder="little")
        lists: Rows | None = None
        if rows is not None and isinstance(self._store, faiss.IndexIVF):
            places = faiss.vector_to_array(self.core.direct_map.array)
            lists = np.unique(places[rows] >> 32)  # FAISS packs a row's list and its place there into one number
            if len(lists) >= RANDOM_LIST_SHARE * self.core.nlist * (1 - math.exp(-len(rows) / self.core.nlist)):
                lists = None
        share = float(mask.mean()) if rows is None else len(rows) / len(mask)
        return RowSelection(share, faiss.IDSelectorBitmap(bits), bits, lists)

    def is_scattered(self, selection: RowSelection) -> bool:
        """Whether rows are spread over an IVF's lists as if at random."""
        return self.family == "ivf" and selection.lists is None

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
            params = known[tried, k] = self._faiss_params(tried.scaled(self._filter_factor(selection)), k, selection)
        with one_thread() if len(queries) <= MAX_FAISS_QUERIES else nullcontext():
            if selection is not None and selection.lists is not None:
                return self._search_lists(queries, k, selection.lists, params[-1])
            scores, rows = self.index.search(queries, k, params=params[-1])
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

    def _search_lists(self, queries: Vectors, k: int, lists: Rows, params: Any) -> tuple[Rows, Scores]:
        """The same for an IVF, reading the nearest of some lists."""
        probes = min(CLUSTERED_LIST_FACTOR * self.search_params.nprobe, len(lists))
        near = queries @ self._centroids[lists].T
        chosen = np.argpartition(-near, probes - 1, axis=1)[:, :probes]
        assigned = np.ascontiguousarray(lists[chosen])
        distances = np.ascontiguousarray(np.take_along_axis(near, chosen, axis=1))
        scores, rows = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
        params.nprobe = probes
        arrays = [faiss.swig_ptr(array) for array in (queries, assigned, distances, scores, rows)]
        self.core.search_preassigned_c(len(queries), arrays[0], k, *arrays[1:], False, params)
        scores[rows < 0] = -np.inf
        return rows, scores

    @cached_property
    def _centroids(self) -> Vectors:
        centroids: Vectors = self.core.quantizer.reconstruct_n(0, self.core.nlist)
        return centroids

    def _faiss_params(self, search_params: SearchParams, k: int, selection: RowSelection | None) -> list[Any]:
        """FAISS's search parameters, last, after all that they point to: FAISS keeps pointers only."""
        made: list[Any] = []
        self._add_params(self.index, None if selection is None else selection.selector, search_params, k, made)
        return made

    def _add_params(self, index: Any, selector: Any, search_params: SearchParams, k: int, made: list[Any]) -> Any:
        """FAISS's search parameters for an index and all parts below it."""
        index = faiss.downcast_index(index)
        chosen = {} if selector is None else {"sel": selector}
        refine_factor = search_params.refine_factor
        if isinstance(index, faiss.IndexRefine):
            below = self._add_params(index.base_index, selector, search_params, k * refine_factor, made)
            params = faiss.IndexRefineSearchParameters(k_factor=float(refine_factor), base_index_params=below)
        elif isinstance(index, faiss.IndexPreTransform):
            below = self._add_params(index.index, selector, search_params, k, made)
            params = faiss.SearchParametersPreTransform(index_params=below)
        elif isinstance(index, faiss.IndexHNSW):
            params = faiss.SearchParametersHNSW(efSearch=max(search_params.ef_search, k), **chosen)
        elif isinstance(index, faiss.IndexIVF):
            probes = min(max(search_params.nprobe, 1), index.nlist)
            if isinstance(faiss.downcast_index(index.quantizer), faiss.IndexHNSW):
                chosen["quantizer_params"] = faiss.SearchParametersHNSW(efSearch=max(8, min(2 * probes, probes + 8)))
                made.append(chosen["quantizer_params"])
            params = faiss.SearchParametersIVF(nprobe=probes, **chosen)
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
        rows = np.arange(len(self)) if alive is None else np.flatnonzero(alive)
        k = min(TUNING_K, len(rows) - 1)
        if k < 1:
            return 1.0
        asking = np.sort(np.random.default_rng(seed).permutation(rows)[:TUNING_QUERIES])
        queries = self.vectors(asking)
        last = self._last_scores(queries, asking, rows, k)
        selection = None if alive is None or alive.all() else self.select(alive)
        quickest: tuple[float, SearchParams, float] | None = None
        reached: tuple[float, SearchParams] = (-1.0, self.search_params)
        for refine_factor in (
            REFINE_FACTORS if isinstance(faiss.downcast_index(self.index), faiss.IndexRefine) else (1,)
        ):
            for width in SEARCH_WIDTHS.get(self.family, (1,)):
                tried = SearchParams.of_width(width, refine_factor)
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
    core = Structure(factory, index).core
    if isinstance(core, faiss.IndexHNSW):
        core.hnsw.efConstruction = EF_CONSTRUCTION
    if isinstance(core, faiss.IndexIVF):
        core.make_direct_map(True)
    return index


def _prepare_training(index: Any) -> None:
    """Set how an empty IVF learns its centroids and finds them while it is filled."""
    core = Structure("", index).core
    if not isinstance(core, faiss.IndexIVF):
        return
    core.cp.niter = KMEANS_ITERATIONS
    core.cp.min_points_per_centroid = 1  # fewer than FAISS likes are enough; it would only say so
    quantizer = faiss.downcast_index(core.quantizer)
    if isinstance(quantizer, faiss.IndexHNSW):
        for name, value in QUANTIZER_SETTINGS.items():
            setattr(quantizer.hnsw, name, value)


def least_rows(factory: str) -> int:
    """How many vectors a factory string needs before it can be built well."""
    lists = re.search(r"IVF(\d+)", factory)
    eight_bits = re.search(r"PQ\d+(x8)?(?!x|\d)", factory)
    centroids = max(int(lists[1]) if lists else 0, 256 if eight_bits else 0)
    return max(MIN_ROWS, ROWS_PER_CENTROID * centroids)
