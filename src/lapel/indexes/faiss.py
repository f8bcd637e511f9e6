"""The FAISS index: exact inner product over unit vectors, under integer keys.

Same keys, vectors and answers as :mod:`lapel.indexes.exact`; one query against 40,000 vectors takes 0.8 ms on one core.
Scores may differ from the reference in their last digits, since floats are summed in another order (1e-6 at 128 wide),
so two
products that are equally alike to that precision may change places.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any

import faiss as typed_faiss
import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import InputError
from lapel.core.types import Matches
from lapel.core.vectors import Keys, Vectors, check_keys, check_vectors
from lapel.indexes.exact import (
    Rows,
    Scores,
    best_by_matrix,
    check_dim,
    check_k,
    damaged,
    last_of_each,
    other_width,
    pad,
    rows_of,
    write_whole,
)
from lapel.indexes.files import Checked, read_header, write_checked
from lapel.indexes.locks import ReadWriteLock

faiss: Any = typed_faiss  # its type stubs know the C++ signatures, not those its Python layer puts over them

KINDS = ("Flat",)

# Measured on 40,097 x 128 with one thread of a 2-core Xeon: FAISS takes 0.72 ms for each query however many there are;
# numpy 0.78
# for one, 2.8 for two, 3.0 for four, 3.5 for eight, 15 for 64. So FAISS answers people and numpy's matrix product
# answers batches.
FEW = 4
# The same machine, one query: copying the allowed rows out and scoring them takes 0.10 ms for 5 % of the rows, 0.27 for
# 10 %,
# 0.54 for 20 %; searching all rows under a bitmap 0.13, 0.24, 0.33.
NARROW = 0.08
# One query over all rows: on two threads 0.56 ms instead of 1.07; below this many rows waking the second costs what it
# saves.
SHARED = 8_000


def open_faiss(rest: str = "", *, dim: int = 128, path: Path | None = None) -> Any:
    """``faiss:Flat``, ``faiss:auto``, or ``faiss:`` and a factory string."""
    if rest in KINDS:
        return FaissIndex(rest, dim=dim, path=path)
    from lapel.indexes.approximate import ApproximateIndex

    return ApproximateIndex(rest, dim=dim, path=path)


class FaissIndex:
    """``faiss:Flat``: a FAISS IndexFlatIP whose rows are kept in key order beside one sorted column of keys.

    FAISS's own IndexIDMap2 would do the same, but it stores a key added twice twice, keeps a hash table nobody asks
    here, and
    opens a parallel region to translate ten keys, which costs up to 20 ms on a busy machine. Appending keys above the
    highest
    one, as the catalogue gives them, costs no copy; a new key below it copies the matrix once a call.

    Readers run together, writers alone.
    """

    def __init__(self, rest: str = "Flat", *, dim: int = 128, path: Path | None = None) -> None:
        if rest not in KINDS:
            raise InputError(f"Scanning all vectors is 'faiss:Flat'; found 'faiss:{rest}'.")
        self._dim = check_dim(dim)
        self._path = path
        self._gate = ReadWriteLock()
        self._keys: Keys = np.empty(0, np.int64)
        self._flat: Any = faiss.IndexFlatIP(dim)
        self.version = 0  # changes whenever a key comes or goes
        if path is not None and path.exists():
            self._keys, self._flat = _load(path, dim)

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self._dim

    @property
    def keys(self) -> Keys:
        """Every key, (n,) int64, sorted; a copy."""
        with self._gate.reading():
            self._check_open()
            return self._keys.copy()

    def __len__(self) -> int:
        """How many vectors there are."""
        with self._gate.reading():
            self._check_open()
            return len(self._keys)

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add (n,) keys with (n, dim) vectors; a key that is there already gets the new vector; the last of equal keys
        counts.

        Raises:
            InputError: keys or vectors that cannot be used; then nothing is added.
        """
        given = check_vectors(vectors, self._dim)
        new_keys, last = last_of_each(check_keys(keys, len(given)))
        rows_of_new = given[last]
        with self._gate.writing():
            self._check_open()
            rows, known = rows_of(self._keys, new_keys)
            matrix_of(self._flat)[rows[known]] = rows_of_new[known]
            self._insert(new_keys[~known], rows_of_new[~known])

    def _insert(self, keys: Keys, vectors: Vectors) -> None:
        """Add sorted keys that are not there yet, keeping the rows in key order."""
        if not len(keys):
            return
        self.version += 1
        if len(self._keys) and keys[0] < self._keys[-1]:
            places = np.searchsorted(self._keys, keys)
            merged = np.insert(matrix_of(self._flat), places, vectors, axis=0)
            flat = faiss.IndexFlatIP(self._dim)
            flat.add(merged)
            self._keys, self._flat = np.insert(self._keys, places, keys), flat
        else:
            self._flat.add(vectors)
            self._keys = np.concatenate([self._keys, keys])

    def remove(self, keys: Keys) -> int:
        """Remove these keys and return how many were there."""
        gone_keys = np.unique(check_keys(keys))
        with self._gate.writing():
            self._check_open()
            rows, known = rows_of(self._keys, gone_keys)
            if not known.any():
                return 0
            gone = np.zeros(len(self._keys), bool)
            gone[rows[known]] = True
            bits = np.packbits(gone, bitorder="little")
            self._flat.remove_ids(faiss.IDSelectorBitmap(bits))  # keeps the order of the others
            self._keys = self._keys[~gone]
            self.version += 1
            return int(gone.sum())

    def search(self, queries: Vectors, k: int, allowed: Keys | None = None) -> Matches:
        """The k best for each of (q, dim) unit queries, only among ``allowed`` keys when given.

        Returns:
            (q, k), by descending score, then ascending key; padded with -1 and -inf.

        Raises:
            InputError: queries that are not (q, dim) unit rows, or keys that are none.
            QueryError: k below one.
        """
        asked = check_vectors(queries, self._dim)
        check_k(k)
        wanted = None if allowed is None else check_keys(allowed)
        with self._gate.reading():
            self._check_open()
            if wanted is None:
                if len(asked) <= FEW:
                    rows, scores = _best_by_faiss(self._flat, asked, min(k, len(self._keys)), None)
                else:
                    rows, scores = best_by_matrix(asked, matrix_of(self._flat), k)
                return pad(self._keys, rows, scores, k)
            return self._search_where(asked, k, _which(self._keys, wanted))

    def which(self, wanted: Keys) -> NDArray[np.bool_]:
        """Of each of its keys, sorted, whether it is among the wanted ones, which are sorted too: (n,) bool."""
        with self._gate.reading():
            _, known = rows_of(wanted, self._keys)
            return known

    def search_where(self, queries: Vectors, k: int, may: NDArray[np.bool_]) -> Matches:
        """As :meth:`search` for queries that are unit rows, among keys that ``may`` be found: (n,) bool, from
        :meth:`which`."""
        with self._gate.reading():
            return self._search_where(queries, k, may)

    def _search_where(self, asked: Vectors, k: int, may: NDArray[np.bool_]) -> Matches:
        among = np.flatnonzero(may)
        if len(asked) <= FEW and len(among) > NARROW * len(self._keys):
            rows, scores = _best_by_faiss(self._flat, asked, min(k, len(among)), may)
            return pad(self._keys, rows, scores, k)
        rows, scores = best_by_matrix(asked, matrix_of(self._flat)[among], k)
        return pad(self._keys[among], rows, scores, k)

    def save(self, path: Path | None = None) -> None:
        """Write to ``path``, or to the one it was opened with: wholly, or not at all.

        Raises:
            InputError: neither is given.
        """
        with self._gate.reading():
            self._check_open()
            write_whole(path or self._path, self._write)

    def _write(self, file: IO[bytes]) -> None:
        """The keys, then what FAISS writes."""
        about = {"kind": "Flat", "metric": "ip", "dim": self._dim, "count": len(self._keys)}

        def data(check: Checked) -> None:
            check.write(self._keys.tobytes())
            writer = faiss.PyCallbackIOWriter(check.write)
            faiss.write_index(self._flat, writer)
            del writer  # it holds back its last bytes until it is gone

        write_checked(file, about, data)

    def held(self) -> tuple[Keys, Vectors]:
        """Every key, sorted, with its vector: copies."""
        with self._gate.reading():
            self._check_open()
            return self._keys.copy(), matrix_of(self._flat).copy()

    def close(self) -> None:
        """Let go of memory. Closing twice is fine; unsaved changes are lost."""
        with self._gate.writing():
            self._flat, self._keys = None, np.empty(0, np.int64)

    def _check_open(self) -> None:
        if self._flat is None:
            raise InputError("This index is closed. Open it again with open_index.")


def matrix_of(flat: Any) -> Vectors:
    """FAISS's own memory as (n, dim) float32: writing here changes the index, growing the index makes this invalid."""
    if not flat.ntotal:
        return np.empty((0, flat.d), np.float32)
    matrix: Vectors = faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d).reshape(flat.ntotal, flat.d)
    return matrix


def _which(keys: Keys, wanted: Keys) -> NDArray[np.bool_]:
    """Which of the sorted keys, (n,), are among the wanted ones, in any order and number: (n,) bool."""
    if not len(keys) or not len(wanted):
        return np.zeros(len(keys), bool)
    # 40,000 keys: a table with one place a key answers in 0.03 to 0.09 ms, np.isin in 0.10 to 0.15. Catalogue keys are
    # dense,
    # so the table is small; after many deletions it may not be.
    highest = int(keys[-1])
    if highest > 16 * len(keys):
        return np.isin(keys, wanted)
    table = np.zeros(highest + 1, bool)
    table[wanted[wanted <= highest]] = True
    return table[keys]


def _best_by_faiss(flat: Any, queries: Vectors, k: int, may: NDArray[np.bool_] | None) -> tuple[Rows, Scores]:
    """The k best rows of each query, k at most as many as there are; ``may`` says of each row whether it may be
    found."""
    if not k or not len(queries):
        return np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
    params = None
    if may is not None:
        bits = np.packbits(may, bitorder="little")
        selector = faiss.IDSelectorBitmap(
            bits
        )  # FAISS keeps pointers only: both names must live until the search is over
        params = faiss.SearchParameters(sel=selector)
    more = min(k + 1, flat.ntotal)
    if may is None and flat.ntotal >= SHARED and (os.cpu_count() or 1) > 1:
        scores, rows = _search_halves(matrix_of(flat), queries, more)
    else:
        with one_thread():
            scores, rows = flat.search(queries, more, params=params)
    # Equal scores across the k-th place: FAISS keeps any of them, the rule wants the lowest keys.
    if scores.shape[1] > k and bool((scores[:, k - 1] == scores[:, k]).any()):
        among = np.arange(flat.ntotal) if may is None else np.flatnonzero(may)
        rows, scores = best_by_matrix(queries, matrix_of(flat) if may is None else matrix_of(flat)[among], k)
        return among[rows], scores
    order = np.lexsort((rows, -scores))[:, :k]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)


def _search_halves(matrix: Vectors, queries: Vectors, k: int) -> tuple[Scores, Rows]:
    """Each of two threads scans half of the rows: reading them is what takes the time, and one core cannot read as fast
    as two.

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
    the rest
    of the team takes 16 ms where the search takes 0.7. The setting belongs to the calling thread, so others do not
    notice.
    """
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _load(path: Path, dim: int) -> tuple[Keys, Any]:
    """Read a saved index. FAISS trusts the bytes it is given, so they are checked first."""
    try:
        with path.open("rb") as file:
            about = read_header(file, path)
            if about["kind"] not in KINDS or about["metric"] != "ip":
                raise InputError(
                    f"The saved index {path} is 'faiss:{about['kind']}'; 'faiss:Flat' was asked. Run 'lapel index"
                    f" rebuild'."
                )
            if about["dim"] != dim:
                raise other_width(path, about["dim"], dim)
            keys = np.frombuffer(file.read(8 * about["count"]), np.int64).copy()
            reader = faiss.PyCallbackIOReader(file.read)
            flat = faiss.read_index(reader)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise damaged(path, error) from error
    if not isinstance(flat, faiss.IndexFlatIP) or flat.d != dim or flat.ntotal != len(keys):
        raise damaged(path, "its parts do not belong together")
    return keys, flat
