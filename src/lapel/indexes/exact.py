"""The numpy index: plain enough to be the specification that every other index is compared with.

Integer keys and unit vectors go in; the exact k best by inner product come out, equal scores by ascending key. Quick
enough
for tests and small shops; writing copies everything each time.
"""

from __future__ import annotations

import os
import threading
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import InputError, QueryError
from lapel.core.types import Matches
from lapel.core.vectors import Keys, Vectors, check_keys, check_vectors

Scores = NDArray[np.float32]
Rows = NDArray[np.int64]  # positions in an index's own matrix, not keys

BLOCK = 8_000_000  # scores held at once: 32 MB of float32, 200 queries against 40,000 vectors
FORMAT = "lapel-exact-1"


@dataclass(frozen=True)
class _Held:
    """What an index holds at one moment: readers keep theirs while a writer puts another in its place."""

    keys: Keys  # (n,) sorted, each once
    vectors: Vectors  # (n, dim)


class ExactIndex:
    """An index in memory: one sorted column of keys and one matrix. See :class:`lapel.indexes.VectorIndex`.

    Reading is safe from any thread, also while another one writes; writers wait for each other.
    """

    def __init__(self, rest: str = "", *, dim: int = 128, path: Path | None = None) -> None:
        if rest:
            raise InputError(f"The exact index has no kinds; found 'exact:{rest}'. Write 'exact:'.")
        self._dim = check_dim(dim)
        self._path = path
        self._lock = threading.Lock()
        held = _Held(np.empty(0, np.int64), np.empty((0, dim), np.float32))
        self._held: _Held | None = _load(path, dim) if path is not None and path.exists() else held

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self._dim

    @property
    def keys(self) -> Keys:
        """Every key, (n,) int64, sorted; a copy."""
        return self._now().keys.copy()

    def __len__(self) -> int:
        """How many vectors there are."""
        return len(self._now().keys)

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add (n,) keys with (n, dim) vectors; a key that is there already gets the new vector; the last of equal keys
        counts.

        Raises:
            InputError: keys or vectors that cannot be used; then nothing is added.
        """
        new_vectors = check_vectors(vectors, self._dim)
        new_keys, last = last_of_each(check_keys(keys, len(new_vectors)))
        with self._lock:
            held = self._now()
            stays = ~np.isin(held.keys, new_keys)
            all_keys = np.concatenate([held.keys[stays], new_keys])
            order = np.argsort(all_keys)
            self._held = _Held(all_keys[order], np.concatenate([held.vectors[stays], new_vectors[last]])[order])

    def remove(self, keys: Keys) -> int:
        """Remove these keys and return how many were there."""
        gone_keys = check_keys(keys)
        with self._lock:
            held = self._now()
            gone = np.isin(held.keys, gone_keys)
            self._held = _Held(held.keys[~gone], held.vectors[~gone])
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
        held = self._now()
        keys, vectors = held.keys, held.vectors
        if allowed is not None:
            may = np.isin(keys, check_keys(allowed))
            keys, vectors = keys[may], vectors[may]
        rows, scores = best_by_matrix(asked, vectors, k)
        return pad(keys, rows, scores, k)

    def save(self, path: Path | None = None) -> None:
        """Write to ``path``, or to the one it was opened with: wholly, or not at all.

        Raises:
            InputError: neither is given.
        """
        with self._lock:
            held = self._now()

            def write(file: IO[bytes]) -> None:
                np.savez(file, format=np.array(FORMAT), keys=held.keys, vectors=held.vectors)

            write_whole(path or self._path, write)

    def close(self) -> None:
        """Let go of memory. Closing twice is fine; unsaved changes are lost."""
        with self._lock:
            self._held = None

    def _now(self) -> _Held:
        held = self._held
        if held is None:
            raise InputError("This index is closed. Open it again with open_index.")
        return held


def _load(path: Path, dim: int) -> _Held:
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            if str(file["format"]) != FORMAT:
                raise ValueError(f"its format is '{file['format']}', not '{FORMAT}'")
            keys, vectors = check_keys(file["keys"]), file["vectors"]
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, InputError) as error:
        raise damaged(path, error) from error
    if vectors.ndim == 2 and vectors.shape[1] != dim:
        raise other_width(path, vectors.shape[1], dim)
    try:
        vectors = check_vectors(vectors, dim)
        if len(keys) != len(vectors) or bool((np.diff(keys) <= 0).any()):
            raise InputError("its keys are not sorted, or not one a vector")
    except InputError as error:
        raise damaged(path, error) from error
    return _Held(keys, vectors)


# --- What every index that lives in memory needs ---------------------------------------------------------------------


def check_dim(dim: int) -> int:
    """Return a width that vectors can have, else raise InputError."""
    if dim < 1:
        raise InputError(f"An index needs vectors at least 1 wide; found dim={dim}.")
    return dim


def check_k(k: int) -> None:
    """Raise QueryError unless k is a whole number from one up."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise QueryError(f"k is how many to find, a whole number from 1 up; found {k!r}.")


def last_of_each(keys: Keys) -> tuple[Keys, Rows]:
    """The distinct keys sorted, (m,), and the last position of each in ``keys``, (m,)."""
    distinct, from_end = np.unique(keys[::-1], return_index=True)
    return distinct, (len(keys) - 1 - from_end).astype(np.int64)


def rows_of(keys: Keys, wanted: Keys) -> tuple[Rows, NDArray[np.bool_]]:
    """The place of each wanted key in the sorted keys, (m,), and whether it is there, (m,) bool."""
    if not len(keys):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    rows = np.searchsorted(keys, wanted)
    return rows, keys[np.minimum(rows, len(keys) - 1)] == wanted


def best_rows(scores: Scores, k: int) -> Rows:
    """Positions of the k best of each row of scores: (q, n) to (q, k) with k <= n; equal scores by ascending
    position."""
    count = scores.shape[1]
    if k >= count:
        return np.argsort(-scores, axis=1, kind="stable").astype(np.int64)
    rows = np.sort(np.argpartition(scores, count - k, axis=1)[:, count - k :], axis=1)
    lowest = np.take_along_axis(scores, rows, axis=1).min(axis=1, keepdims=True)
    # A partition keeps any of the scores that equal the lowest one kept; the rule wants those that come first.
    for query in np.flatnonzero(np.count_nonzero(scores >= lowest, axis=1) > k):
        above = np.flatnonzero(scores[query] > lowest[query])
        equal = np.flatnonzero(scores[query] == lowest[query])
        rows[query] = np.sort(np.concatenate([above, equal[: k - len(above)]]))
    order = np.argsort(-np.take_along_axis(scores, rows, axis=1), axis=1, kind="stable")
    return np.take_along_axis(rows, order, axis=1).astype(np.int64)


def best_by_matrix(queries: Vectors, vectors: Vectors, k: int) -> tuple[Rows, Scores]:
    """Multiply queries (q, dim) with vectors (n, dim), a block of queries at a time, and keep the best min(k, n) of
    each."""
    kept = min(k, len(vectors))
    rows = np.empty((len(queries), kept), np.int64)
    best = np.empty((len(queries), kept), np.float32)
    if not kept:
        return rows, best
    step = max(1, BLOCK // len(vectors))
    for start in range(0, len(queries), step):
        block = slice(start, start + step)
        scores = queries[block] @ vectors.T  # (step, n)
        rows[block] = best_rows(scores, kept)
        best[block] = np.take_along_axis(scores, rows[block], axis=1)
    return rows, best


def pad(keys: Keys, rows: Rows, scores: Scores, k: int) -> Matches:
    """Turn positions into keys, and widen (q, m <= k) to (q, k) with -1 and -inf."""
    found = np.full((len(rows), k), -1, np.int64)
    padded = np.full((len(rows), k), -np.inf, np.float32)
    found[:, : rows.shape[1]] = keys[rows]
    padded[:, : rows.shape[1]] = scores
    return Matches(found, padded)


def write_whole(path: Path | None, write: Callable[[IO[bytes]], None]) -> None:
    """Write a file beside ``path`` and put it in its place once it is on the disk, so that a crash leaves the old
    one."""
    if path is None:
        raise InputError("This index was opened without a path, so it cannot be saved. Give open_index a path.")
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    if hasattr(os, "O_DIRECTORY"):  # the new name itself must reach the disk; Windows has no such call and no such need
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def damaged(path: Path, why: object) -> InputError:
    """The error for a saved index that cannot be read."""
    return InputError(
        f"The saved index {path} is damaged or no index: {why}. Run 'lapel index rebuild': it is redrawn from the"
        f" catalogue."
    )


def other_width(path: Path | str, found: int, dim: int) -> InputError:
    """The error for a saved index of another width than the model's."""
    return InputError(
        f"The saved index {path} holds vectors {found} wide; {dim} are needed."
        " Another model made it: run 'lapel index rebuild' after encoding with this one."
    )
