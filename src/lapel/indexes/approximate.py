"""Indexes that grow in place: a *linked segment* that FAISS searches, and a *tail* of the newest vectors, scanned
exactly.

Adding or replacing a vector puts it into the tail, and removing one marks its row of the linked segment, so each takes
the same time at a thousand vectors and at a million. A thread links the tail into the graph beside the one that is
searched, so that searches do not wait; nothing added or removed meanwhile is lost. Where a fifth of the rows are
marked, or another structure suits the memory, it builds the segment anew.

``faiss:auto`` is a graph while it fits the memory (:mod:`lapel.indexes.choice`); ``faiss:<factory string>`` builds what
the string says. Options follow a question mark: ``faiss:auto?recall=0.99&memory=4GB``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

import faiss as typed_faiss
import numpy as np

from lapel.core.types import Matches
from lapel.core.vectors import Keys, Vectors
from lapel.indexes.base import MemoryIndex
from lapel.indexes.choice import Choice, choose, read_kind
from lapel.indexes.faiss import FaissIndex, FlatSegment, one_thread
from lapel.indexes.files import WriteBytes, read_column
from lapel.indexes.graph import Entries
from lapel.indexes.linked import LinkedSegment
from lapel.indexes.rows import RowFilter, merge_matches, rows_of
from lapel.indexes.structure import SearchParams, Structure, make

faiss: Any = typed_faiss
logger = logging.getLogger(__name__)

TAIL_ROWS = 1024  # that are scanned before they are linked
MAX_TAIL_ROWS = 8192  # of a large index: who adds more at once waits for the linking, so that searches stay quick
MAX_LINKED_ROWS = 16_384  # of a graph, at once
MAX_MERGED_ROWS = 64  # of any other structure, at once: searches wait that long
MAX_DELETED_SHARE = 0.2  # of the linked rows
RETUNE_GROWTH = 1.5  # of the linked segment, after which its search parameters are found again
RETRY_GROWTH = 1.1  # after which a failed building is tried again
BUSY_S = 1.0  # after a search the thread takes one core, not all


def open_faiss(rest: str = "", *, dim: int = 128, path: Path | None = None) -> MemoryIndex:
    """``faiss:Flat``, ``faiss:auto``, or ``faiss:`` and a factory string."""
    opened = FaissIndex if rest == FaissIndex.kind else ApproximateIndex
    return opened(rest, dim=dim, path=path)


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
        self._tail = FlatSegment(dim)
        self._linked: LinkedSegment | None = None
        self.choice = self._choose(0)
        self.problem = ""
        self._failed_count = 0  # vectors there were then
        self._state = threading.Condition()  # of the thread below
        self._thread: threading.Thread | None = None
        self._touched: set[int] | None = None  # keys changed while others are being linked
        self._searched_at = 0.0
        self.load()

    @property
    def kind(self) -> str:
        """FAISS's factory string, or ``auto``."""
        return self._factory or "auto"

    def _count(self) -> int:
        return len(self._tail) + (0 if self._linked is None else len(self._linked))

    def _sorted_keys(self) -> Keys:
        parts = [self._tail.keys, *([] if self._linked is None else [self._linked.living_keys()])]
        keys: Keys = np.sort(np.concatenate(parts))
        return keys

    # --- changing it ---

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock.writing():  # without waiting for a save: that writes a copy of what changes here
            self._check_open()
            yield

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """See :meth:`MemoryIndex.add`; maintenance may start, and many additions at once wait for it."""
        super().add(keys, vectors)
        self._start_maintenance()
        with self._state:
            self._state.wait_for(lambda: self._thread is None or not self._is_tail_long())

    def remove(self, keys: Keys) -> int:
        """See :meth:`MemoryIndex.remove`; maintenance may start."""
        count = super().remove(keys)
        self._start_maintenance()
        return count

    def _is_tail_long(self) -> bool:
        linked, tail = self._linked, len(self._tail)
        return linked is not None and tail > MAX_TAIL_ROWS and len(linked.keys) > 8 * tail

    def _put(self, keys: Keys, vectors: Vectors) -> None:
        self._delete_linked(keys)
        self._tail.put(keys, vectors)

    def _drop(self, keys: Keys) -> int:
        return self._delete_linked(keys) + self._tail.drop(keys)

    def _delete_linked(self, keys: Keys) -> int:
        if self._touched is not None:
            self._touched.update(keys.tolist())
        return 0 if self._linked is None else self._linked.delete(keys)

    # --- searching it ---

    def _search(self, queries: Vectors, k: int, row_filter: RowFilter | None) -> Matches:
        self._searched_at = time.monotonic()
        if self._linked is None:
            return self._tail.search(queries, k, row_filter)
        found = self._linked.search(queries, k, row_filter)
        if len(self._tail):
            return merge_matches([found, self._tail.search(queries, k, row_filter)], k)
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
            count, linked, tail = self._count(), self._linked, len(self._tail)
            if self.problem and count < RETRY_GROWTH * self._failed_count:
                return None
            rows = 0 if linked is None else len(linked.keys)
            if linked is not None and linked.deleted > max(TAIL_ROWS, MAX_DELETED_SHARE * rows):
                return self._rebuild
            if tail < TAIL_ROWS and not (linked is None and self._factory):
                return None  # choosing takes longer than adding one
            choice = self._choose(count)
            if linked is None or choice.factory != linked.structure.factory:
                return self._rebuild if choice.factory or linked is not None else None
            if tail > max(TAIL_ROWS, rows) and not linked.structure.is_graph:
                return self._rebuild  # it learned from less than half of what there is
            return self._link if tail >= TAIL_ROWS else None

    def _start_maintenance(self) -> None:
        """Start the thread that maintains the index, if it is not at work and there is something to do."""
        with self._state:
            if self._thread is None and self._find_work() is not None:
                self._thread = threading.Thread(target=self._maintain, name="lapel-index-maintenance", daemon=True)
                self._thread.start()

    def _maintain(self) -> None:
        try:
            while (work := self._next_work()) is not None:
                with one_thread() if time.monotonic() - self._searched_at < BUSY_S else nullcontext():
                    work()
                self.problem = ""
        except Exception as error:  # what is there goes on being searched, tail and all
            logger.exception("Maintaining the index 'faiss:%s' failed; it goes on with what it has", self.kind)
            with self._state:
                self.problem, self._failed_count = f"{type(error).__name__}: {error}", self._count()
                self._end_thread()

    def _next_work(self) -> Callable[[], None] | None:
        """What there is to be done; with nothing, the thread is given up at once, so that what is added next starts
        another."""
        with self._state:
            self._state.notify_all()  # who waits for a shorter tail
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

    @contextmanager
    def _noting_changes(self) -> Iterator[None]:
        """What is changed inside is noted, so that what is made of an earlier state can be put right."""
        with self._lock.writing():
            self._touched = set()
        try:
            yield
        finally:
            with self._lock.writing():
                self._touched = None

    def _untouched(self, keys: Keys) -> np.ndarray:
        return ~np.isin(keys, np.array(sorted(self._touched or ()), np.int64))

    def _rebuild(self) -> None:
        """Build a linked segment of everything beside the one that is searched, then put it in its place."""
        with self._noting_changes():
            with self._lock.reading():
                choice = self._choose(self._count())
                keys, vectors = self._tail.keys, self._tail.vectors.copy()
                if self._linked is not None:
                    linked_keys, linked_vectors = self._linked.living()
                    keys, vectors = np.concatenate([linked_keys, keys]), np.concatenate([linked_vectors, vectors])
            fresh: LinkedSegment | None = None
            if choice.factory:
                structure = Structure.build(choice.factory, vectors)
                structure.tune(self._options.recall)
                fresh = LinkedSegment(structure, keys)
            with self._saving, self._lock.writing():
                untouched = self._untouched(keys)
                if fresh is None:  # back to exact: what was not touched meanwhile joins the tail
                    order = np.argsort(keys := keys[untouched])
                    self._tail.put(keys[order], vectors[untouched][order])
                else:
                    fresh.delete(np.sort(keys[~untouched]))
                    self._tail.drop(np.sort(keys[untouched]))
                self._linked, self.choice = fresh, choice

    def _link(self) -> None:
        """Move some of the tail into the linked segment."""
        linked = self._linked
        if linked is None:
            return
        if linked.structure.is_graph:
            with self._saving, self._noting_changes():
                with self._lock.reading():
                    keys = self._tail.keys[:MAX_LINKED_ROWS].copy()
                    vectors = self._tail.vectors[:MAX_LINKED_ROWS].copy()
                structure = linked.structure.extended(vectors)
                if len(structure) >= RETUNE_GROWTH * structure.tuned_rows:
                    structure.tune(self._options.recall)
                with self._lock.writing():
                    if self._closed:
                        return
                    untouched = self._untouched(keys)
                    linked.extend(structure, keys, untouched)
                    self.choice = self._choose(self._count())
                    self._tail.drop(keys[untouched])
            return
        keys = self._tail.keys
        for at in range(0, len(keys), MAX_MERGED_ROWS):
            with self._saving, self._lock.writing():
                if self._closed:
                    return
                rows, known = rows_of(self._tail.keys, keys[at : at + MAX_MERGED_ROWS])
                moved = self._tail.keys[rows[known]]
                linked.structure.add(self._tail.vectors[rows[known]])
                linked.extend(linked.structure, moved, np.ones(len(moved), bool))
                self._tail.drop(moved)
        if len(linked.structure) >= RETUNE_GROWTH * linked.structure.tuned_rows:
            linked.structure.tune(self._options.recall, alive=linked.alive.copy())  # only this thread adds to it

    # --- keeping it ---

    def _file_content(self) -> tuple[dict[str, Any], Callable[[WriteBytes], None]]:
        """The tail, then the linked segment's keys and marks, then what its structure writes."""
        linked = self._linked
        arrays: list[np.ndarray] = [self._tail.keys, self._tail.vectors.copy()]
        header: dict[str, Any] = {"tail": len(arrays[0]), "linked": 0}
        if linked is not None:
            arrays += [linked.keys, linked.alive.copy()]
            structure = linked.structure
            header |= {"linked": len(linked.keys), "factory": structure.factory, "tuned": structure.tuned_rows}
            header |= {"width": structure.search_params.width, "refine": structure.search_params.refine_factor}
            if structure.entries is not None:
                arrays.append(structure.entries.rows)
                header["entries"] = len(structure.entries.rows)

        def write_data(write: WriteBytes) -> None:
            for array in arrays:
                write(array.tobytes())
            if linked is not None:
                structure.write(write)

        return header, write_data

    def _read(self, file: IO[bytes], header: dict[str, Any]) -> None:
        tail = read_column(file, np.int64, header["tail"])
        vectors = read_column(file, np.float32, header["tail"] * self._dim).reshape(-1, self._dim)
        self._tail.put(tail, vectors)
        if header["linked"]:
            keys, alive = read_column(file, np.int64, header["linked"]), read_column(file, np.bool_, header["linked"])
            entries = read_column(file, np.int64, header.get("entries", 0))
            index = faiss.read_index(faiss.PyCallbackIOReader(file.read))
            if index.d != self._dim or index.ntotal != len(keys):
                raise ValueError("its parts do not belong together")
            params = SearchParams(header["width"], header["refine"])
            begun = Entries(entries, index.reconstruct_batch(entries)) if len(entries) else None
            structure = Structure(header["factory"], index, params, header["tuned"], entries=begun)
            self._linked = LinkedSegment(structure, keys, alive)
            threading.Thread(target=structure.settle, name="lapel-index-settling", daemon=True).start()
            self.choice = self._choose(self._count())

    def close(self) -> None:
        """Let go of memory. Closing twice is fine; unsaved changes are lost."""
        self._closed = True  # maintenance ends after what it is at
        self.wait_idle()
        super().close()

    def _clear(self) -> None:
        self._tail, self._linked = FlatSegment(self._dim), None
