"""``faiss:Flat``: exact inner product over unit vectors, under integer keys.

Same keys, vectors and answers as :mod:`lapel.indexes.exact`; one query against 40,000 vectors takes 0.8 ms on one core.
Scores may differ from the reference in their last digits, since floats are summed in another order (1e-6 at 128 wide),
so two products that are equally alike to that precision may change places.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any

import faiss as typed_faiss
import numpy as np

from lapel.core.errors import InputError
from lapel.core.types import Matches
from lapel.core.vectors import Keys, Vectors
from lapel.indexes.base import MemoryIndex
from lapel.indexes.files import WriteBytes, read_column
from lapel.indexes.rows import Mask, RowFilter, Rows, Scores, best_by_matrix, mask_of, next_version, pad, rows_of

faiss: Any = typed_faiss  # its type stubs know the C++ signatures, not those its Python layer puts over them

# Measured on 40,097 x 128 with one thread of a 2-core Xeon: FAISS takes 0.72 ms for each query however many there are;
# numpy 0.78 for one, 2.8 for two, 3.0 for four, 3.5 for eight, 15 for 64. So FAISS answers people and numpy's matrix
# product answers batches.
MAX_FAISS_QUERIES = 4
# The same machine, one query: copying the allowed rows out and scoring them takes 0.10 ms for 5 % of the rows, 0.27 for
# 10 %, 0.54 for 20 %; searching all rows under a bitmap 0.13, 0.24, 0.33.
MAX_COPIED_SHARE = 0.08
# One query over all rows: on two threads 0.56 ms instead of 1.07; below this many rows waking the second costs what it
# saves.
MIN_SHARED_ROWS = 8_000


class FlatSegment:
    """A FAISS IndexFlatIP whose rows are in key order, beside one sorted column of keys. Whoever shares it locks it.

    FAISS's own IndexIDMap2 would do the same, but it stores a key added twice twice, keeps a hash table nobody asks
    here, and opens a parallel region to translate ten keys, which costs up to 20 ms on a busy machine. Appending keys
    above the highest one, as the catalogue gives them, costs no copy; a new key below it copies the matrix once a call.

    Attributes:
        keys: (n,) int64, sorted, each once.
    """

    def __init__(self, dim: int) -> None:
        self.keys: Keys = np.empty(0, np.int64)
        self._flat: Any = faiss.IndexFlatIP(dim)
        self._version = next_version()

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def vectors(self) -> Vectors:
        """(n, dim), FAISS's own memory: valid until a key comes or goes."""
        return matrix_of(self._flat)

    def put(self, keys: Keys, vectors: Vectors) -> None:
        """Add or replace (m, dim) vectors under (m,) sorted keys, each once."""
        rows, known = rows_of(self.keys, keys)
        self.vectors[rows[known]] = vectors[known]
        if known.all():
            return
        if known.any():
            keys, vectors = keys[~known], vectors[~known]
        self._version = next_version()
        if len(self.keys) and keys[0] < self.keys[-1]:
            places = np.searchsorted(self.keys, keys)
            flat = faiss.IndexFlatIP(self._flat.d)
            flat.add(np.insert(self.vectors, places, vectors, axis=0))
            self.keys, self._flat = np.insert(self.keys, places, keys), flat
        else:
            self._flat.add(vectors)
            self.keys = np.concatenate([self.keys, keys])

    def drop(self, keys: Keys) -> int:
        """Remove sorted keys, each once; how many were there."""
        rows, known = rows_of(self.keys, keys)
        if not known.any():
            return 0
        removed = np.zeros(len(self.keys), bool)
        removed[rows[known]] = True
        bits = np.packbits(removed, bitorder="little")
        self._flat.remove_ids(faiss.IDSelectorBitmap(bits))  # keeps the order of the others
        self.keys = self.keys[~removed]
        self._version = next_version()
        return int(known.sum())

    def search(self, queries: Vectors, k: int, row_filter: RowFilter | None) -> Matches:
        """The k best for each of (q, dim) unit queries, (q, k), padded."""
        if row_filter is None:
            if len(queries) <= MAX_FAISS_QUERIES:
                return pad(self.keys, *best_by_faiss(self._flat, queries, min(k, len(self)), None), k)
            return pad(self.keys, *best_by_matrix(queries, self.vectors, k), k)
        mask, rows = row_filter.cached("flat", self._version, self._find)
        if len(queries) <= MAX_FAISS_QUERIES and len(rows) > MAX_COPIED_SHARE * len(self):
            return pad(self.keys, *best_by_faiss(self._flat, queries, min(k, len(rows)), mask), k)
        return pad(self.keys[rows], *best_by_matrix(queries, self.vectors[rows], k), k)

    def _find(self, wanted: Keys) -> tuple[Mask, Rows]:
        """Which keys are among the wanted ones, (n,) bool, and their rows, (m,)."""
        mask = mask_of(self.keys, wanted)
        return mask, np.flatnonzero(mask)

    def write(self, write: WriteBytes) -> None:
        """The keys, then what FAISS writes."""
        write(self.keys.tobytes())
        write_faiss(self._flat, write)

    def read(self, file: IO[bytes], count: int) -> None:
        """Take in what :meth:`write` wrote of ``count`` rows.

        Raises:
            ValueError, RuntimeError: it wrote something else.
        """
        keys, flat = read_column(file, np.int64, count), faiss.read_index(faiss.PyCallbackIOReader(file.read))
        if not isinstance(flat, faiss.IndexFlatIP) or flat.d != self._flat.d or flat.ntotal != len(keys):
            raise ValueError("its parts do not belong together")
        self.keys, self._flat, self._version = keys, flat, next_version()


class FaissIndex(MemoryIndex):
    """``faiss:Flat``. See :class:`lapel.indexes.VectorIndex`."""

    kind = "Flat"

    def __init__(self, rest: str = "Flat", *, dim: int = 128, path: Path | None = None) -> None:
        if rest != "Flat":
            raise InputError(f"Scanning all vectors is 'faiss:Flat'; found 'faiss:{rest}'.")
        super().__init__(dim=dim, path=path)
        self._segment = FlatSegment(dim)
        self.load()

    def _count(self) -> int:
        return len(self._segment)

    def _sorted_keys(self) -> Keys:
        return self._segment.keys.copy()

    def _put(self, keys: Keys, vectors: Vectors) -> None:
        self._segment.put(keys, vectors)

    def _drop(self, keys: Keys) -> int:
        return self._segment.drop(keys)

    def _search(self, queries: Vectors, k: int, row_filter: RowFilter | None) -> Matches:
        return self._segment.search(queries, k, row_filter)

    def _file_content(self) -> tuple[dict[str, Any], Callable[[WriteBytes], None]]:
        return {"count": len(self._segment)}, self._segment.write

    def _read(self, file: IO[bytes], header: dict[str, Any]) -> None:
        self._segment.read(file, header["count"])

    def _clear(self) -> None:
        self._segment = FlatSegment(self._dim)


def matrix_of(flat: Any) -> Vectors:
    """FAISS's own memory as (n, dim) float32: writing here changes the index, growing the index makes this invalid."""
    matrix: Vectors = faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d).reshape(flat.ntotal, flat.d)
    return matrix


def write_faiss(index: Any, write: WriteBytes) -> None:
    """What FAISS writes of an index, some bytes at a time."""
    writer = faiss.PyCallbackIOWriter(write)
    faiss.write_index(index, writer)
    del writer  # it holds back its last bytes until it is deleted


def best_by_faiss(flat: Any, queries: Vectors, k: int, mask: Mask | None) -> tuple[Rows, Scores]:
    """The k best rows of each query, k at most as many as there are; only those of a mask, (n,) bool."""
    if not k or not len(queries):
        return np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
    params = None
    if mask is not None:
        bits = np.packbits(mask, bitorder="little")
        selector = faiss.IDSelectorBitmap(bits)  # FAISS keeps pointers only: both names must outlive the search
        params = faiss.SearchParameters(sel=selector)
    more = min(k + 1, flat.ntotal)
    if mask is None and flat.ntotal >= MIN_SHARED_ROWS and (os.cpu_count() or 1) > 1:
        scores, rows = _search_halves(matrix_of(flat), queries, more)
    else:
        with one_thread():
            scores, rows = flat.search(queries, more, params=params)
    # Equal scores across the k-th place: FAISS keeps any of them, the rule wants the lowest keys.
    if scores.shape[1] > k and bool((scores[:, k - 1] == scores[:, k]).any()):
        allowed = np.arange(flat.ntotal) if mask is None else np.flatnonzero(mask)
        rows, scores = best_by_matrix(queries, matrix_of(flat) if mask is None else matrix_of(flat)[allowed], k)
        return allowed[rows], scores
    order = np.lexsort((rows, -scores))[:, :k]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)


def _search_halves(matrix: Vectors, queries: Vectors, k: int) -> tuple[Scores, Rows]:
    """Each of two threads scans half of the rows: reading memory takes the time, and two cores read faster than one.

    Returns:
        (q, k) scores and rows, best first.
    """

    def scan(begin: int, end: int) -> tuple[Scores, Rows]:
        with one_thread():
            scores, rows = faiss.knn(queries, matrix[begin:end], min(k, end - begin), metric=faiss.METRIC_INNER_PRODUCT)
        return scores, rows + begin

    middle = len(matrix) // 2
    later = _second_thread().submit(scan, middle, len(matrix))
    first = scan(0, middle)
    second = later.result()
    scores, rows = np.concatenate([first[0], second[0]], axis=1), np.concatenate([first[1], second[1]], axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


@cache
def _second_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="lapel-index")


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
