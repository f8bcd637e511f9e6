"""Indexes that grow: a *sealed segment* that FAISS built, and a *growing segment* of the newest vectors, scanned
exactly.

Adding or replacing a vector puts it into the growing segment, and removing one marks its row of the sealed one, so each
takes the same time at a thousand vectors and at a million. When the growing segment is long, or many rows are deleted,
a thread merges it into the sealed one or rebuilds that beside it; searches go on meanwhile, and nothing added or
removed meanwhile is lost.

``faiss:<factory string>`` builds what the string says; ``faiss:auto`` chooses by size, memory and wanted recall, and
chooses again as the index grows. Options follow a question mark: ``faiss:auto?recall=0.99&memory=4GB``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import faiss as typed_faiss
import numpy as np

from lapel.core.types import Matches
from lapel.core.vectors import Keys, Vectors
from lapel.indexes.base import MemoryIndex
from lapel.indexes.choice import GPU, Choice, choose, device_memory, read_kind
from lapel.indexes.faiss import FaissIndex, FlatSegment
from lapel.indexes.files import WriteBytes, read_column
from lapel.indexes.rows import RowFilter, merge_matches, rows_of
from lapel.indexes.sealed import SealedSegment
from lapel.indexes.structure import SearchParams, Structure, make

if TYPE_CHECKING:
    from lapel.indexes.device import GpuStructure

faiss: Any = typed_faiss
logger = logging.getLogger(__name__)

GROWING_ROWS = 4096  # that are scanned before they are merged into the sealed segment
MERGED_ROWS = 64  # at once: searches wait that long
MAX_DELETED_SHARE = 0.2  # of the sealed segment's rows
RETUNE_GROWTH = 1.5  # of the sealed segment, after which its search parameters are found again
RETRY_GROWTH = 1.1  # after which a failed building is tried again


def open_faiss(rest: str = "", *, dim: int = 128, path: Path | None = None) -> MemoryIndex:
    """``faiss:Flat``, ``faiss:auto``, or ``faiss:`` and a factory string."""
    opened = FaissIndex if rest == FaissIndex.kind else ApproximateIndex
    return opened(rest, dim=dim, path=path)


def _structure_class(factory: str) -> type[Structure | GpuStructure]:
    if factory != GPU:
        return Structure
    from lapel.indexes.device import GpuStructure  # needs PyTorch, which is there where a GPU was found

    return GpuStructure


class ApproximateIndex(MemoryIndex):
    """``faiss:<factory string>`` and ``faiss:auto``. See :class:`lapel.indexes.VectorIndex`.

    Attributes:
        choice: What the vectors are kept in now, and why.
        problem: Why the last maintenance failed, empty when it did not; the index goes on with what it has.
    """

    def __init__(self, rest: str, *, dim: int = 128, path: Path | None = None) -> None:
        super().__init__(dim=dim, path=path)
        self._factory, self._options = read_kind(rest)
        if rest.partition("?")[0] != "auto":
            make(self._factory, dim)  # an unknown one is told now, not when there are enough vectors
        self._growing = FlatSegment(dim)
        self._sealed: SealedSegment | None = None
        self.choice = self._choose(0)
        self.problem = ""
        self._failed_count = 0  # vectors there were then
        self._state = threading.Condition()  # of the thread below
        self._thread: threading.Thread | None = None
        self._touched: set[int] | None = None  # keys changed while another sealed segment is being built
        self.load()

    @property
    def kind(self) -> str:
        """FAISS's factory string, or ``auto``."""
        return self._factory or "auto"

    def _count(self) -> int:
        return len(self._growing) + (0 if self._sealed is None else len(self._sealed))

    def _sorted_keys(self) -> Keys:
        parts = [self._growing.keys, *([] if self._sealed is None else [self._sealed.living_keys()])]
        keys: Keys = np.sort(np.concatenate(parts))
        return keys

    # --- changing it ---

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock.writing():  # without waiting for a save: that writes a copy of what changes here
            self._check_open()
            yield

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """See :meth:`MemoryIndex.add`; maintenance may start."""
        super().add(keys, vectors)
        self._start_maintenance()

    def remove(self, keys: Keys) -> int:
        """See :meth:`MemoryIndex.remove`; maintenance may start."""
        count = super().remove(keys)
        self._start_maintenance()
        return count

    def _put(self, keys: Keys, vectors: Vectors) -> None:
        self._delete_sealed(keys)
        self._growing.put(keys, vectors)

    def _drop(self, keys: Keys) -> int:
        return self._delete_sealed(keys) + self._growing.drop(keys)

    def _delete_sealed(self, keys: Keys) -> int:
        if self._touched is not None:
            self._touched.update(keys.tolist())
        return 0 if self._sealed is None else self._sealed.delete(keys)

    # --- searching it ---

    def _search(self, queries: Vectors, k: int, row_filter: RowFilter | None) -> Matches:
        if self._sealed is None:
            return self._growing.search(queries, k, row_filter)
        found = self._sealed.search(queries, k, row_filter)
        if len(self._growing):
            return merge_matches([found, self._growing.search(queries, k, row_filter)], k)
        in_order = bool((found.scores[:, :-1] > found.scores[:, 1:]).all())
        return found if in_order else merge_matches([found], k)  # equal scores by ascending key

    # --- maintaining it ---

    def _choose(self, count: int) -> Choice:
        return choose(count, dim=self._dim, options=self._options, factory=self._factory)

    def _find_work(self) -> Callable[[], None] | None:
        """What there is to be done now, if anything."""
        with self._lock.reading():
            if self._closed:
                return None
            count, sealed, growing = self._count(), self._sealed, len(self._growing)
            if self.problem and count < RETRY_GROWTH * self._failed_count:
                return None
            idle = growing < GROWING_ROWS and (not self._factory if sealed is None else sealed.deleted <= GROWING_ROWS)
            if idle and (sealed is None or len(sealed.keys) < RETUNE_GROWTH * sealed.structure.tuned_rows):
                return None  # choosing takes longer than adding one
            choice = self._choose(count)
            built = "" if sealed is None else sealed.structure.factory
            if choice.factory != built and (built or growing >= GROWING_ROWS or self._factory):
                return lambda: self._rebuild(choice)
            if sealed is None or choice.factory == "":
                return None
            rows = len(sealed.keys)
            if sealed.deleted > max(GROWING_ROWS, MAX_DELETED_SHARE * rows) or growing > max(GROWING_ROWS, rows):
                return lambda: self._rebuild(choice)
            if growing >= GROWING_ROWS:
                return self._merge
            return self._retune if rows >= RETUNE_GROWTH * sealed.structure.tuned_rows else None

    def _start_maintenance(self) -> None:
        """Start the thread that maintains the index, if it is not at work and there is something to do."""
        with self._state:
            if self._thread is None and self._find_work() is not None:
                self._thread = threading.Thread(target=self._maintain, name="lapel-index-maintenance", daemon=True)
                self._thread.start()

    def _maintain(self) -> None:
        try:
            while (work := self._next_work()) is not None:
                work()
                self.problem = ""
        except Exception as error:  # what is there goes on being searched, growing segment and all
            logger.exception("Maintaining the index 'faiss:%s' failed; it goes on with what it has", self.kind)
            with self._state:
                self.problem, self._failed_count = f"{type(error).__name__}: {error}", self._count()
                self._end_thread()

    def _next_work(self) -> Callable[[], None] | None:
        """What there is to be done; with nothing, the thread is given up at once, so that what is added next starts
        another."""
        with self._state:
            work = self._find_work()
            if work is None:
                self._end_thread()
            return work

    def _end_thread(self) -> None:
        self._thread = None
        self._state.notify_all()

    def wait_idle(self, timeout: float | None = None) -> bool:
        """Wait until the background work is done; false when it is not within ``timeout`` seconds."""
        with self._state:
            return self._state.wait_for(lambda: self._thread is None, timeout)

    def _rebuild(self, choice: Choice) -> None:
        """Build a sealed segment of everything beside the one that is searched, then put it in its place."""
        with self._lock.writing():
            self._touched = set()
        try:
            with self._lock.reading():
                keys, vectors = self._growing.keys, self._growing.vectors.copy()
                if self._sealed is not None:
                    sealed_keys, sealed_vectors = self._sealed.living()
                    keys = np.concatenate([sealed_keys, keys])
                    vectors = np.concatenate([sealed_vectors, vectors])
            fresh: SealedSegment | None = None
            if choice.factory:
                structure = _structure_class(choice.factory).build(choice.factory, vectors)
                structure.tune(self._options.recall)
                fresh = SealedSegment(structure, keys)
            with self._saving, self._lock.writing():
                touched = np.array(sorted(self._touched or ()), np.int64)
                untouched = ~np.isin(keys, touched)
                if fresh is None:  # back to exact: what was not touched meanwhile joins the growing segment
                    order = np.argsort(keys := keys[untouched])
                    self._growing.put(keys[order], vectors[untouched][order])
                else:
                    fresh.delete(touched)
                    self._growing.drop(np.sort(keys[untouched]))
                self._sealed, self.choice = fresh, choice
        finally:
            with self._lock.writing():
                self._touched = None

    def _merge(self) -> None:
        """Move the growing segment into the sealed one, a few vectors at a time, so that searches hardly wait."""
        keys = self._growing.keys
        for at in range(0, len(keys), MERGED_ROWS):
            with self._saving, self._lock.writing():
                if self._closed or self._sealed is None:
                    return
                rows, known = rows_of(self._growing.keys, keys[at : at + MERGED_ROWS])
                moved = self._growing.keys[rows[known]]
                self._sealed.extend(moved, self._growing.vectors[rows[known]])
                self._growing.drop(moved)

    def _retune(self) -> None:
        """Find the search parameters again: what was enough for a segment is too little when it has grown."""
        with self._lock.reading():
            if self._closed or self._sealed is None:
                return
            structure, alive = self._sealed.structure, self._sealed.alive.copy()
        structure.tune(self._options.recall, alive=alive)  # only this thread adds to it

    # --- keeping it ---

    def _file_content(self) -> tuple[dict[str, Any], Callable[[WriteBytes], None]]:
        """The growing segment, then the sealed one's keys and marks, then what its structure writes.

        The header's words are those of the first files, which still open.
        """
        sealed = self._sealed
        arrays: list[np.ndarray] = [self._growing.keys, self._growing.vectors.copy()]
        header: dict[str, Any] = {"tail": len(arrays[0]), "base": 0}
        if sealed is not None:
            arrays += [sealed.keys, sealed.alive.copy()]
            header |= {"base": len(sealed.keys), "factory": sealed.structure.factory}
            if isinstance(sealed.structure, Structure):
                params = sealed.structure.search_params
                header |= {"probe": params.nprobe, "refine": params.refine_factor}

        def write_data(write: WriteBytes) -> None:
            for array in arrays:
                write(array.tobytes())
            if sealed is not None:
                sealed.structure.write(write)

        return header, write_data

    def _read(self, file: IO[bytes], header: dict[str, Any]) -> None:
        growing = read_column(file, np.int64, header["tail"])
        vectors = read_column(file, np.float32, header["tail"] * self._dim).reshape(-1, self._dim)
        self._growing.put(growing, vectors)
        if header["base"]:
            keys, alive = read_column(file, np.int64, header["base"]), read_column(file, np.bool_, header["base"])
            self._sealed = SealedSegment(self._read_structure(file, header), keys, alive)
            self.choice = self._choose(self._count())

    def _read_structure(self, file: IO[bytes], header: dict[str, Any]) -> Structure | GpuStructure:
        factory, count = header["factory"], header["base"]
        if factory == GPU:
            if not device_memory():
                raise ValueError("it was written for a GPU, and there is none here")
            from lapel.indexes.device import GpuStructure

            return GpuStructure.read(factory, file.read, count, self._dim)
        index = faiss.read_index(faiss.PyCallbackIOReader(file.read))
        if index.d != self._dim or index.ntotal != count:
            raise ValueError("its parts do not belong together")
        return Structure(factory, index, SearchParams.of_width(header["probe"], header["refine"]))

    def close(self) -> None:
        """Let go of memory. Closing twice is fine; unsaved changes are lost."""
        self._closed = True  # maintenance ends after what it is at
        self.wait_idle()
        super().close()

    def _clear(self) -> None:
        self._growing, self._sealed = FlatSegment(self._dim), None
