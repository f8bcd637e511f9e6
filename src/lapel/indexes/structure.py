"""What a structure over the rows of a growing index can do, and how the effort of its searches is found.

A structure knows rows 0, 1, 2 ... and no keys; nothing is ever removed from it, a search is told which rows count.
There are three: :mod:`lapel.indexes.graph`, :mod:`lapel.indexes.compressed`, and :mod:`lapel.indexes.device` on a GPU.
"""

from __future__ import annotations

import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import faiss as typed_faiss
import numpy as np

from lapel.core.types import Matches
from lapel.core.vectors import Keys, Vectors
from lapel.indexes.files import Content
from lapel.indexes.rows import Rows, Scores, merge_matches, no_matches, scan

faiss: Any = typed_faiss  # its type stubs know the C++ signatures, not those its Python layer puts over them

ReadRows = Callable[[Rows], Vectors]  # (m,) rows -> their (m, dim) vectors

TUNING_QUERIES = 200
TUNING_K = 10
# Of a cosine: a row that misses the k-th score by less is as good an answer; shops sell the same picture twice.
SCORE_TOLERANCE = 1e-4
# That FAISS scans one by one on this thread. NumPy's matrix product is quicker for more, and wakes threads, which takes
# 30 ms on a busy machine.
MAX_FEW_QUERIES = 4
BLOCK_ROWS = 65_536  # read at once
SEED = 7


@dataclass(frozen=True)
class SearchParams:
    """How hard a search tries.

    Attributes:
        width: Candidates a graph keeps (efSearch), lists an IVF reads (nprobe).
        refine_factor: Candidates scored exactly for each one that is wanted, where vectors are kept compressed.
    """

    width: int = 64
    refine_factor: int = 1


class Wide(NamedTuple):
    """Rows that may be found where they are so many that a search meets enough of them: their sorted keys, empty for
    all, and about which share of all rows they are."""

    allowed: Keys
    share: float


class Structure(ABC):
    """Rows of unit vectors, built to be searched.

    Attributes:
        name: What is built; an index's choice names it.
        rows_at_once: How many :meth:`extend` takes at once, while nobody may search. 0: it is searched meanwhile.
        search_params: How hard a search tries.
    """

    name: str
    rows_at_once = 0
    search_params = SearchParams()

    @classmethod
    @abstractmethod
    def build(cls, name: str, count: int, read: ReadRows, *, recall: float) -> Structure:
        """One of rows 0 to ``count`` - 1, tuned for a Recall@10 of 0..1."""

    @classmethod
    @abstractmethod
    def restore(cls, name: str, content: Content) -> Structure:
        """One from what :meth:`content` gave."""

    @abstractmethod
    def content(self, count: int) -> Content:
        """What a file keeps of its first ``count`` rows, all but those that it is extended by now."""

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    def is_outgrown(self) -> bool:
        """Whether it should be built again, as there are so many more rows than when it was."""
        return False

    def wide_share(self, k: int, is_new: bool) -> float:
        """Where more rows than this share of all, 0..1, may be found, they are searched as :class:`Wide`.

        Args:
            k: How many are wanted.
            is_new: Whether these rows were not looked up yet.
        """
        del k, is_new
        return math.inf

    @abstractmethod
    def extend(self, vectors: Vectors) -> None:
        """Take (m, dim) more rows at the end. One thread at a time."""

    @abstractmethod
    def vectors(self, rows: Rows) -> Vectors:
        """(m,) rows -> their (m, dim) float32 vectors, as exact as they are kept."""

    @abstractmethod
    def select(self, rows: Rows) -> Any:
        """What a search needs to find only these (m,) rows."""

    @abstractmethod
    def search(self, queries: Vectors, k: int, selection: Any, keys: Keys) -> Matches:
        """About the k best of all rows, or of a selection: (q, k) of the rows' (n,) keys, by descending score, then
        ascending key; padded."""

    def scan(self, queries: Vectors, rows: Rows, k: int, keys: Keys) -> Matches:
        """The exact k best among (m,) rows."""
        return scan(queries, self.vectors(rows), keys[rows], k)


def scan_rows(queries: Vectors, vectors: Vectors, rows: Rows | None, k: int, keys: Keys) -> Matches:
    """The exact k best for (q, dim) queries among some rows, or all, of (n, dim) vectors under (n,) keys: (q, k)."""
    if rows is None and len(queries) > MAX_FEW_QUERIES:
        return scan(queries, vectors, keys, k)
    rows = np.arange(len(keys)) if rows is None else rows
    more = min(k + 1, len(rows))  # equal scores may go on behind the last one, and the rule wants the lowest keys
    if more and len(queries) <= MAX_FEW_QUERIES:
        # FAISS reads rows where they are; copying them together first takes five times as long.
        best, places = np.empty((len(queries), more), np.float32), np.empty((len(queries), more), np.int64)
        asked, held, some, out, out_places = (faiss.swig_ptr(each) for each in (queries, vectors, rows, best, places))
        sizes = vectors.shape[1], len(queries), len(vectors), len(rows), more
        with one_thread():
            faiss.knn_inner_products_by_idx(asked, held, some, *sizes, out, out_places, 0)
        if more <= k or bool((best[:, k - 1] > best[:, k]).all()):
            found = no_matches(len(queries), k)
            found.keys[:, :more], found.scores[:, :more] = keys[places[:, :k]], best[:, :k]
            return found if bool((best[:, :-1] > best[:, 1:]).all()) else merge_matches([found], k)
    return scan(queries, vectors[rows], keys[rows], k)


def read_blocks(count: int, read: ReadRows, size: int = BLOCK_ROWS) -> Iterator[Vectors]:
    """The vectors of rows 0 to ``count`` - 1, a block at a time."""
    for at in range(0, count, size):
        yield read(np.arange(at, min(at + size, count)))


def sample(count: int, most: int) -> Rows:
    """At most so many of ``count`` rows, ascending."""
    return np.sort(np.random.default_rng(SEED).permutation(count)[:most])


def tune(
    structure: Structure, grid: Sequence[Sequence[SearchParams]], recall: float, asking: Rows | None = None
) -> None:
    """Give a structure the quickest parameters that reach a recall, by asking for the neighbours of some of its rows.

    Args:
        structure: What is tuned.
        grid: Parameters to try: in each line from the quickest on, until one reaches the recall.
        recall: Wanted Recall@10 against exact search, 0..1, by score: equally near rows are equally right
            (Aumueller et al., "ANN-Benchmarks", 2020, section 3.1). Where no parameters reach it, the best are kept.
        asking: (m,) rows to ask for; by default some of all.
    """
    count = len(structure)
    k = min(TUNING_K, count - 1)
    if k < 1:
        return
    asking, rows = sample(count, TUNING_QUERIES) if asking is None else asking, np.arange(count)
    queries = structure.vectors(asking)
    last = _last_scores(structure, queries, asking, k)
    tried: list[tuple[bool, float, SearchParams]] = []
    for line in grid:
        for structure.search_params in line:
            began = time.perf_counter()
            found = structure.search(queries, k + 1, None, rows)
            took = time.perf_counter() - began
            near = (found.scores >= last[:, None] - SCORE_TOLERANCE) & (found.keys != asking[:, None])
            reached = float(np.minimum(near.sum(axis=1), k).mean() / k)
            tried.append((reached >= recall, -took if reached >= recall else reached, structure.search_params))
            if reached >= recall:
                break
    structure.search_params = max(tried, key=lambda each: each[:2])[2]


def _last_scores(structure: Structure, queries: Vectors, asking: Rows, k: int) -> Scores:
    """(q,) the score of each query's exact k-th nearest row but itself."""
    best = np.full((len(queries), k), -np.inf, np.float32)
    for at, vectors in enumerate(read_blocks(len(structure), structure.vectors)):
        found = scan(queries, vectors, at * BLOCK_ROWS + np.arange(len(vectors)), k + 1)
        found.scores[found.keys == asking[:, None]] = -np.inf
        best = -np.sort(-np.concatenate([best, found.scores], axis=1), axis=1)[:, :k]
    last: Scores = best[:, -1]
    return last


_helpers = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="lapel-index")


def in_parts(work: Callable[[int], None], parts: Sequence[int]) -> None:
    """Do all parts of a work that leaves Python's lock, on as many threads as FAISS may take from here. This thread
    does those that no other one comes to, so none is waited for that a busy machine did not let begin."""
    if len(parts) == 1:
        return work(parts[0])
    rest = iter(parts)

    def take() -> None:
        while (part := next(rest, None)) is not None:
            work(part)

    others = [_helpers.submit(take) for _ in range(min(faiss.omp_get_max_threads(), len(parts)) - 1)]
    take()
    for other in others:
        if not other.cancel():
            other.result()


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep this thread's next FAISS calls on one core.

    FAISS wakes a team of threads even for one query, which only one of them can work on; on a busy machine waiting for
    the rest of the team takes 16 ms where the search takes 0.7. The setting belongs to the calling thread, so others do
    not notice.
    """
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
