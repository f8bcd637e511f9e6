"""One FAISS structure of any kind over rows 0, 1, 2 ...: built from a factory string, searched with an effort that was
tuned for it.

In go unit vectors and row masks, out come rows and inner products. It knows no keys and forgets nothing; see
:mod:`lapel.indexes.approximate` for what makes an index of it. Its last step is exact: candidates are scored again with
vectors kept as
float32 or float16, so scores are cosines whatever the structure compresses.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import faiss as typed_faiss
import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import InputError
from lapel.core.vectors import Vectors
from lapel.indexes.exact import Rows, Scores, best_by_matrix, best_rows
from lapel.indexes.faiss import FEW, SHARED, matrix_of, one_thread

faiss: Any = typed_faiss  # its type stubs know the C++ signatures, not those its Python layer puts over them

Mask = NDArray[np.bool_]  # (rows,)

REFINE = "SQfp16"  # how vectors are kept for the exact last step where the structure itself does not keep them
LEAST = 1000  # rows below which no structure is worth building
PER_CENTROID = 39  # rows FAISS wants for each centroid it learns
MOST_TRAINED = 200_000  # rows a structure is trained on
CONSTRUCTION = 64  # HNSW's efConstruction
# Of the graph over an IVF's centroids: a row that is put into another list than its nearest is hardly found again, so
# filling tries hard.
CENTROIDS = {"efConstruction": 200, "efSearch": 128}
ROUNDS = 10  # of k-means
# A filter such as "shirts" leaves most lists empty, and who asks with a shoe is far from all the others: the nearest
# lists say little
# there, and so many times as many are read. Measured on 1,000,000 rows with 6 to 35 % of them allowed: 0.99 of the
# exact answer.
FAR = 32
# times as many lists under a filter as the rule says: it is a rule of thumb, and the effort was found without one
UNSURE = 1.4
SPREAD = 0.7  # of the lists that allowed rows would be in if they were drawn by lot: below, a filter is such a one
SAMPLE = 200  # queries a structure is tuned with
TUNED_K = 10
# of a cosine: a row that misses the k-th score by less is as good an answer; shops sell the same picture twice
TIE = 1e-4
PROBES = {
    "hnsw": (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512),
    "ivf": (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256, 512),
}
SCANNED = 20_000
NARROW = 0.05
FEW_LISTED = 2_000  # an IVF's rows lie apart, so reading them one by one takes longer
KEPT = 32  # sets of search parameters
REFINES = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Effort:
    """How hard a search tries.

    Attributes:
        probe: HNSW's efSearch, or IVF's nprobe; unused by others.
        refine: Candidates scored exactly for each one that is wanted.
    """

    probe: int = 64
    refine: int = 1

    def times(self, factor: float) -> Effort:
        """So many times as hard."""
        return Effort(math.ceil(self.probe * factor), self.refine)


@dataclass(frozen=True)
class Among:
    """Which rows a search may find, as FAISS wants it.

    Attributes:
        share: Of all rows, 0..1.
        selector: FAISS's.
        bits: What the selector points to.
        lists: (m,) the IVF's lists that hold them, if those are few; else None.
        kept: Parameters of searches with it.
    """

    share: float
    selector: Any
    bits: NDArray[np.uint8]
    lists: Rows | None = None
    kept: dict[tuple[Effort, int], list[Any]] = field(default_factory=dict, repr=False)


class Structure:
    """A built FAISS index and the effort it is searched with.

    Args:
        factory: FAISS's factory string it was built from.
        index: The FAISS index.
        effort: How hard a search tries.
    """

    def __init__(self, factory: str, index: Any, effort: Effort | None = None) -> None:
        self.factory = factory
        self.index = index
        self.effort = effort or Effort()
        self._kept: dict[tuple[Effort, int], list[Any]] = {}  # parameters of searches without a filter
        self.tuned = int(index.ntotal)  # rows there were when the effort was found

    @classmethod
    def build(cls, factory: str, vectors: Vectors, *, seed: int = 7) -> Structure:
        """Train and fill one with (n, dim) unit rows.

        Raises:
            InputError: FAISS knows no such factory string, or the vectors are too few for it.
        """
        index = make(factory, vectors.shape[1])
        needed = least_rows(factory)
        if len(vectors) < needed:
            raise InputError(f"'faiss:{factory}' needs {needed:,} vectors to be built; found {len(vectors):,}.")
        if not index.is_trained:
            prepare(index)
            some = np.random.default_rng(seed).permutation(len(vectors))[:MOST_TRAINED]
            index.train(vectors[np.sort(some)])
        index.add(vectors)
        return cls(factory, index)

    @classmethod
    def small(cls, vectors: Vectors, recall: float) -> Structure:
        """An IVF of some thousand (n, dim) unit rows: as many lists as each holds rows."""
        lists = max(1, min(math.isqrt(len(vectors)), len(vectors) // PER_CENTROID))
        made = cls.build(f"IVF{lists},Flat", vectors)
        made.tune(recall)
        made.effort = made.effort.times(UNSURE)  # it was tuned by its own rows, and others ask
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
            with one_thread() if len(rows) < SHARED else nullcontext():
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
        if isinstance(store, faiss.IndexFlat) and len(queries) <= FEW and len(rows):
            # FAISS reads the rows where they are; copying them together first takes five times as long.
            scores = np.empty((len(queries), len(rows)), np.float32)
            ids = np.ascontiguousarray(np.broadcast_to(rows, (len(queries), len(rows))))
            with one_thread():
                faiss.fvec_inner_products_by_idx(
                    faiss.swig_ptr(scores),
                    faiss.swig_ptr(queries),
                    store.get_xb(),
                    faiss.swig_ptr(ids),
                    store.d,
                    len(queries),
                    len(rows),
                )
            best = best_rows(scores, min(k, len(rows)))
            return rows[best], np.take_along_axis(scores, best, axis=1)
        places, scores = best_by_matrix(queries, self.vectors(rows), k)
        return rows[places], scores

    @property
    def scanned(self) -> int:
        """Allowed rows up to which scanning them one by one is quicker than a search that may use few of what it
        meets."""
        if isinstance(self._store, faiss.IndexIVF):
            return FEW_LISTED
        return max(SCANNED, int(NARROW * len(self)))

    def among(self, may: Mask, rows: Rows | None = None) -> Among:
        """What is needed to find only the rows that ``may``; their (m,) numbers as well where they are a filter's."""
        bits = np.packbits(may, bitorder="little")
        lists: Rows | None = None
        if rows is not None and isinstance(self._store, faiss.IndexIVF):
            places = faiss.vector_to_array(self.core.direct_map.array)
            lists = np.unique(places[rows] >> 32)  # FAISS packs a row's list and its place there into one number
            if len(lists) >= SPREAD * self.core.nlist * (1 - math.exp(-len(rows) / self.core.nlist)):
                lists = None
        share = float(may.mean()) if rows is None else len(rows) / len(may)
        return Among(share, faiss.IDSelectorBitmap(bits), bits, lists)

    def spread(self, among: Among) -> bool:
        """Whether rows are spread over an IVF's lists as if by lot."""
        return self.family == "ivf" and among.lists is None

    def search(
        self, queries: Vectors, k: int, among: Among | None = None, *, effort: Effort | None = None
    ) -> tuple[Rows, Scores]:
        """About the k best of all rows, or of those ``among`` others: (q, k) rows, -1 where none was found, and
        scores."""
        if not len(queries):
            return np.empty((0, k), np.int64), np.empty((0, k), np.float32)
        effort = effort or self.effort
        known = self._kept if among is None else among.kept
        kept = known.get((effort, k))
        if kept is None:
            if len(known) >= KEPT:
                known.clear()
            kept = known[effort, k] = self._all_params(effort.times(self._harder(among)), k, among)
        with one_thread() if len(queries) <= FEW else nullcontext():
            if among is not None and among.lists is not None:
                return self._search_lists(queries, k, among.lists, kept[-1])
            scores, rows = self.index.search(queries, k, params=kept[-1])
        if rows.size and rows.min() < 0:
            scores[rows < 0] = -np.inf
        return rows, scores

    def _harder(self, among: Among | None) -> float:
        """How many times as hard a search must try under a filter."""
        if among is None or among.share == 1:
            return 1.0
        # The nearest allowed rows of an IVF lie in about 1/sqrt(share) times as many lists: so measured at 0.5 to 0.003
        # of 1,000,000.
        return max(1.0, UNSURE * among.share**-0.5) if self.family == "ivf" else 1 / among.share

    def _search_lists(self, queries: Vectors, k: int, lists: Rows, params: Any) -> tuple[Rows, Scores]:
        """The same for an IVF, reading the nearest of some lists."""
        probes = min(FAR * self.effort.probe, len(lists))
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

    def _all_params(self, effort: Effort, k: int, among: Among | None = None) -> list[Any]:
        """FAISS's search parameters, last, after all that they point to: FAISS keeps pointers only."""
        kept: list[Any] = []  # those of a filter are kept with it
        self._params(self.index, None if among is None else among.selector, effort, k, kept)
        return kept

    def _params(self, index: Any, selector: Any, effort: Effort, k: int, kept: list[Any]) -> Any:
        """FAISS's search parameters for an index and all parts below it."""
        index = faiss.downcast_index(index)
        chosen = {} if selector is None else {"sel": selector}
        if isinstance(index, faiss.IndexRefine):
            below = self._params(index.base_index, selector, effort, k * effort.refine, kept)
            params = faiss.IndexRefineSearchParameters(k_factor=float(effort.refine), base_index_params=below)
        elif isinstance(index, faiss.IndexPreTransform):
            below = self._params(index.index, selector, effort, k, kept)
            params = faiss.SearchParametersPreTransform(index_params=below)
        elif isinstance(index, faiss.IndexHNSW):
            params = faiss.SearchParametersHNSW(efSearch=max(effort.probe, k), **chosen)
        elif isinstance(index, faiss.IndexIVF):
            probes = min(max(effort.probe, 1), index.nlist)
            if isinstance(faiss.downcast_index(index.quantizer), faiss.IndexHNSW):
                chosen["quantizer_params"] = faiss.SearchParametersHNSW(efSearch=max(8, min(2 * probes, probes + 8)))
                kept.append(chosen["quantizer_params"])
            params = faiss.SearchParametersIVF(nprobe=probes, **chosen)
        else:
            params = faiss.SearchParameters(**chosen)
        kept.append(params)
        return params

    def write(self, write: Callable[[bytes], int]) -> None:
        """What FAISS writes, some bytes at a time."""
        writer = faiss.PyCallbackIOWriter(write)
        faiss.write_index(self.index, writer)
        del writer  # it holds back its last bytes until it is gone

    def tune(self, recall: float, *, alive: Mask | None = None, seed: int = 7) -> float:
        """Find the least effort that reaches a recall, by asking for the neighbours of some of its own rows.

        Args:
            recall: Wanted Recall@10 against exact search, 0..1, by score: equally near rows are equally right
                (Aumueller et al.,
                "ANN-Benchmarks", 2020, section 3.1).
            alive: Rows that may be found; all by default.
            seed: Decides which rows ask.

        Returns:
            The recall that was reached: below ``recall`` only if no effort reaches it; then the hardest one is kept.
        """
        self.tuned = len(self)
        rows = np.arange(len(self)) if alive is None else np.flatnonzero(alive)
        k = min(TUNED_K, len(rows) - 1)
        if k < 1:
            return 1.0
        asking = np.sort(np.random.default_rng(seed).permutation(rows)[:SAMPLE])
        queries = self.vectors(asking)
        last = self._last_scores(queries, asking, rows, k)
        among = None if alive is None or alive.all() else self.among(alive)
        best: tuple[float, Effort, float] | None = None
        reached: tuple[float, Effort] = (-1.0, self.effort)
        for refine in REFINES if isinstance(faiss.downcast_index(self.index), faiss.IndexRefine) else (1,):
            for probe in PROBES.get(self.family, (1,)):
                effort = Effort(probe, refine)
                began = time.perf_counter()
                found, scores = self.search(queries, k + 1, among, effort=effort)
                took = time.perf_counter() - began
                near = (scores >= last[:, None] - TIE) & (found != asking[:, None])
                share = float(np.minimum(near.sum(axis=1), k).mean() / k)
                if share > reached[0]:
                    reached = (share, effort)
                if share >= recall:
                    if best is None or took < best[0]:
                        best = (took, effort, share)
                    break
        if best is None:
            self.effort = reached[1]
            return reached[0]
        self.effort = best[1]
        return best[2]

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
    full = factory if kept or "Refine" in factory or "RFlat" in factory else f"{factory},Refine({REFINE})"
    try:
        if not factory:
            raise RuntimeError("nothing to make")
        index = faiss.index_factory(dim, full, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise InputError(
            f"FAISS cannot make 'faiss:{factory}' for vectors {dim} wide. Write a factory string such as HNSW32, SQ8,"
            f" IVF1024,SQ8 or"
            f" IVF1024,PQ{max(dim // 4, 1)}x4fs, or faiss:auto."
        ) from error
    if index.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise InputError(f"'faiss:{factory}' does not compare by inner product. Use another kind, or faiss:auto.")
    core = Structure(factory, index).core
    if isinstance(core, faiss.IndexHNSW):
        core.hnsw.efConstruction = CONSTRUCTION
    if isinstance(core, faiss.IndexIVF):
        core.make_direct_map(True)
    return index


def prepare(index: Any) -> None:
    """Set how an empty IVF learns its centroids and finds them while it is filled."""
    core = Structure("", index).core
    if not isinstance(core, faiss.IndexIVF):
        return
    core.cp.niter = ROUNDS
    core.cp.min_points_per_centroid = 1  # fewer than FAISS likes are enough; it would only say so
    quantizer = faiss.downcast_index(core.quantizer)
    if isinstance(quantizer, faiss.IndexHNSW):
        for name, value in CENTROIDS.items():
            setattr(quantizer.hnsw, name, value)


def least_rows(factory: str) -> int:
    """How many vectors a factory string needs before it can be built well."""
    lists = re.search(r"IVF(\d+)", factory)
    eight_bits = re.search(r"PQ\d+(x8)?(?!x|\d)", factory)
    return max(LEAST, PER_CENTROID * (int(lists[1]) if lists else 0), PER_CENTROID * 256 if eight_bits else 0)
