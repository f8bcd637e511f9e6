"""``faiss:`` and ``torch:``: vectors in memory, the first of them in a structure, the newest scanned.

Rows are numbered as they come. The structure (:mod:`lapel.indexes.structure`) knows rows 0 to m - 1; those from m on,
the *tail*, are scanned, and a thread links a long tail into the structure. A key that is replaced or removed only marks
its row; the thread builds all anew when a fifth is marked, or when the number of vectors wants another structure. Rows
keep their numbers while that goes on, so what is added and removed meanwhile is put right by looking at the marks.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from lapel.core.types import Matches
from lapel.core.vectors import Keys, Vectors
from lapel.indexes.base import MAX_ROWS, MemoryIndex
from lapel.indexes.choice import Plan
from lapel.indexes.files import Content
from lapel.indexes.rows import RowFilter, Rows, merge_matches, next_version, no_matches
from lapel.indexes.structure import Structure, Wide, one_thread, scan_rows
from lapel.indexes.table import Column, KeyTable

logger = logging.getLogger(__name__)

TAIL_ROWS = 256  # that are scanned before they are linked
MAX_TAIL_ROWS = 8192  # of a large index: who adds more at once waits for the linking, so that searches stay quick
MAX_LINKED_ROWS = 16_384  # at once
MAX_DEAD_SHARE = 0.2  # of all rows
SCAN_ROWS = 2_000  # rows of a filter up to which the structure is not asked: scanning them is as quick, and exact
NO_KEYS: Keys = np.empty(0, np.int64)
RETRY_GROWTH = 1.1  # after which a failed building is tried again
BUSY_S = 1.0  # after a search the thread takes one core, not all


def open_faiss(rest: str = "", *, dim: int = 128, path: Path | None = None) -> GrowingIndex:
    """``faiss:auto``, ``faiss:Flat``, or one of the structures by name."""
    return GrowingIndex(Plan.parse(rest, dim), dim=dim, path=path)


class GrowingIndex(MemoryIndex):
    """An index that grows in place. See :class:`lapel.indexes.VectorIndex` and :class:`lapel.indexes.MaintainedIndex`.

    Args:
        plan: Which structure so many vectors are kept in.
        dim: Width of the vectors.
        path: The file to load from and save to.

    Attributes:
        choice: What the vectors are kept in now, and why.
        problem: Why the last maintenance failed, empty when it did not; the index goes on with what it has.
    """

    def __init__(self, plan: Plan, *, dim: int, path: Path | None) -> None:
        super().__init__(dim=dim, path=path)
        self._plan = plan
        self.kind = plan.kind
        self.choice = plan.choose(0)
        self.problem = ""
        self._clear()
        if self.choice.name:
            self._set_structure(plan.build(self.choice.name, 0, self._reader()))
        self._failed_count = 0  # vectors there were then
        self._state = threading.Condition()  # of the thread below
        self._thread: threading.Thread | None = None
        self._searched_at = 0.0
        self.load()

    def _clear(self) -> None:
        self._table = KeyTable()
        self._tail = Column((self._dim,), np.float32)
        self._all = RowFilter(np.empty(0, np.int64))  # keeps what is found out about the rows when there is no filter
        self._set_structure(None)

    def _set_structure(self, structure: Structure | None) -> None:
        self._structure = structure
        self._linked = 0 if structure is None else len(structure)  # rows that the structure knows
        self._rows_at_once = (structure.rows_at_once if structure is not None else 0) or MAX_ROWS
        self._version, self._tail_version = next_version(), next_version()

    def _count(self) -> int:
        return len(self._table) - self._table.dead

    def _sorted_keys(self) -> Keys:
        return self._table.living_keys()

    # --- changing it ---

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """See :meth:`BaseIndex.add`; maintenance may start, and many additions at once wait for it."""
        super().add(keys, vectors)
        self._start_maintenance()
        with self._state:
            self._state.wait_for(lambda: self._thread is None or not self._is_tail_long())

    def remove(self, keys: Keys) -> int:
        """See :meth:`BaseIndex.remove`; maintenance may start."""
        count = super().remove(keys)
        self._start_maintenance()
        return count

    def _is_tail_long(self) -> bool:
        return len(self._tail) > MAX_TAIL_ROWS and self._linked > 8 * len(self._tail)

    def _put(self, keys: Keys, vectors: Vectors) -> None:
        if self._structure is not None and self._structure.rows_at_once:
            self._structure.extend(vectors)
            self._linked, self._version = len(self._structure), next_version()
        else:
            self._tail.append(vectors)
        self._note_dead(self._table.append(keys))
        self._tail_version = next_version()

    def _drop(self, keys: Keys) -> int:
        died = self._table.remove(keys)
        self._note_dead(died)
        return len(died)

    def _note_dead(self, rows: Rows) -> None:
        linked = rows < self._linked
        if linked.any():
            self._version = next_version()
        if not linked.all():
            self._tail_version = next_version()

    # --- searching it ---

    def _search(self, queries: Vectors, k: int, row_filter: RowFilter | None) -> Matches:
        self._searched_at = time.monotonic()
        parts = [] if not self._linked else [self._search_structure(queries, k, row_filter)]
        if len(self._tail):
            parts.append(self._scan_tail(queries, k, row_filter))
        if len(parts) == 1:
            return parts[0]
        return merge_matches(parts, k) if parts else no_matches(len(queries), k)

    def _search_structure(self, queries: Vectors, k: int, row_filter: RowFilter | None) -> Matches:
        """Where many rows may be found, they are met on the way; else, or where too few are, only they are searched."""
        structure, linked = self._structure, self._linked
        assert structure is not None
        keys, dead = self._table.keys.all[:linked], self._table.dead
        if row_filter is None and not dead:
            found = structure.search(queries, k, None, keys)
        elif row_filter is not None and len(row_filter) <= SCAN_ROWS:
            return self._search_allowed(queries, k, row_filter)
        else:
            share = (1 - dead / len(self._table)) * (1 if row_filter is None else min(len(row_filter) / linked, 1))
            if share < structure.wide_share(k, row_filter is not None and row_filter.is_new(self._version)):
                return self._search_allowed(queries, k, row_filter)
            allowed = NO_KEYS if row_filter is None else row_filter.keys
            found = structure.search(queries, k, Wide(allowed, share), keys)
        if len(queries) and found.keys[:, -1].min() < 0:
            short = np.flatnonzero(found.keys[:, -1] < 0)
            alone = self._search_allowed(queries[short], k, row_filter)
            found.keys[short], found.scores[short] = alone.keys, alone.scores
        return found

    def _search_allowed(self, queries: Vectors, k: int, row_filter: RowFilter | None) -> Matches:
        """The best of the rows that may be found: few are scanned, and where the structure finds fewer than there are,
        all, so that k come back whenever k exist."""
        structure, keys = self._structure, self._table.keys.all[: self._linked]
        assert structure is not None
        cache = self._all if row_filter is None else row_filter
        rows, selection = cache.cached("structure", self._version, lambda: self._allow(row_filter))
        if selection is None:
            return structure.scan(queries, rows, k, keys)
        found = structure.search(queries, min(k, len(rows)), selection, keys)
        if found.keys.size and found.keys.min() < 0:
            short = np.flatnonzero((found.keys < 0).any(axis=1))
            scanned = structure.scan(queries[short], rows, found.keys.shape[1], keys)
            found.keys[short], found.scores[short] = scanned.keys, scanned.scores
        return found if k <= len(rows) else merge_matches([found, no_matches(len(queries), k)], k)

    def _allow(self, row_filter: RowFilter | None) -> tuple[Rows, Any]:
        """Rows of the structure that may be found, and the same for the structure; None when they are few."""
        assert self._structure is not None
        rows = self._table.living_rows() if row_filter is None else self._table.select(row_filter.keys)
        rows = rows[rows < self._linked]
        return rows, None if len(rows) <= SCAN_ROWS else self._structure.select(rows)

    def _scan_tail(self, queries: Vectors, k: int, row_filter: RowFilter | None) -> Matches:
        keys = self._table.keys.all[self._linked :]
        rows: Rows | None = None
        if row_filter is not None:
            rows = row_filter.cached("tail", self._tail_version, lambda: np.flatnonzero(row_filter.of_these(keys)))
        elif self._table.dead:
            rows = np.flatnonzero(keys >= 0)
        return scan_rows(queries, self._tail.all, rows, k, keys)

    # --- maintaining it ---

    def _find_work(self) -> Callable[[], None] | None:
        """What there is to be done now, if anything."""
        with self._lock.reading():
            if self._closed:
                return None
            count, structure, tail = self._count(), self._structure, len(self._tail)
            if self.problem and count <= RETRY_GROWTH * self._failed_count:
                return None
            if self._table.dead > max(TAIL_ROWS, MAX_DEAD_SHARE * len(self._table)):
                return self._rebuild
            if structure is not None and structure.is_outgrown:
                return self._rebuild
            if tail < TAIL_ROWS and (structure is not None or not self._plan.is_named):
                return None  # choosing takes longer than adding one
            choice = self._plan.choose(count)
            if choice.name != ("" if structure is None else structure.name):
                return self._rebuild
            return self._link if structure is not None and tail >= TAIL_ROWS else None

    def _start_maintenance(self) -> None:
        """Start the thread that maintains the index, if it is not at work and there is something to do."""
        with self._state:
            if self._thread is None and self._find_work() is not None:
                self._thread = threading.Thread(target=self._maintain, name="lapel-index-maintenance", daemon=True)
                self._thread.start()

    def _maintain(self) -> None:
        while True:
            with self._state:
                work = self._find_work()
                if work is None:
                    self._thread = None  # at once, so that what is added next starts another
                self._state.notify_all()  # also who waits for a shorter tail
            if work is None:
                return
            try:
                with one_thread() if time.monotonic() - self._searched_at < BUSY_S else nullcontext():
                    work()
                self.problem = ""
            except Exception as error:  # what is there goes on being searched, tail and all
                logger.exception("Maintaining the index '%s' failed; it goes on with what it has", self.kind)
                self.problem, self._failed_count = f"{type(error).__name__}: {error}", self._count()

    def wait_idle(self, timeout: float | None = None) -> bool:
        """Wait until the background work is done; false when it is not within ``timeout`` seconds."""
        with self._state:
            return self._state.wait_for(lambda: self._thread is None, timeout)

    def _reader(self) -> Callable[[Rows], Vectors]:
        """What reads vectors of rows that there are now, whatever is done to the index meanwhile."""
        structure, linked, tail = self._structure, self._linked, self._tail.all

        def read(rows: Rows) -> Vectors:
            if structure is None:
                return tail[rows]
            if not len(rows) or rows[-1] < linked:
                return structure.vectors(rows)
            late = int(np.searchsorted(rows, linked))
            return np.concatenate([structure.vectors(rows[:late]), tail[rows[late:] - linked]])

        return read

    def _rebuild(self) -> None:
        """Build a structure of the living rows beside the one that is searched, then put it in its place."""
        with self._lock.reading():
            choice, read = self._plan.choose(self._count()), self._reader()
            rows, held = self._table.living_rows(), len(self._table)
        built: Structure | None = None
        if choice.name:
            built = self._plan.build(choice.name, len(rows), lambda some: read(rows[some]))
        with self._lock.writing():
            if self._closed:
                return
            late, read = np.arange(held, len(self._table)), self._reader()
            kept = np.concatenate([rows, late])
            table = KeyTable(self._table.keys.all[kept])
            tail = Column((self._dim,), np.float32)
            if built is not None and built.rows_at_once:
                built.extend(read(late))
            else:
                tail.append(read(kept if built is None else late))
            self._table, self._tail, self.choice = table, tail, choice
            self._set_structure(built)

    def _link(self) -> None:
        """Move some of the tail into the structure."""
        with self._lock.reading():
            structure, some = self._structure, self._tail.all[:MAX_LINKED_ROWS]
        assert structure is not None
        structure.extend(some)
        with self._lock.writing():
            if self._closed:
                return
            tail = Column((self._dim,), np.float32)
            tail.append(self._tail.all[len(some) :])
            self._tail, self.choice = tail, self._plan.choose(self._count())
            self._set_structure(structure)

    # --- keeping it ---

    def _content(self) -> Content:
        table = {"keys": self._table.keys.all.copy(), "tail": self._tail.all}
        if self._structure is None:
            return {"structure": "", **table}
        return {"structure": self._structure.name, **table, **self._structure.content(self._linked)}

    def _restore(self, content: Content) -> None:
        self._table = KeyTable(content["keys"])
        self._tail.append(content["tail"])
        if content["structure"]:
            self._set_structure(self._plan.restore(content["structure"], content))
        if self._linked + len(self._tail) != len(self._table):
            raise ValueError("its parts do not belong together")
        self.choice = self._plan.choose(self._count())

    def close(self) -> None:
        """Let go of memory. Closing twice is fine; unsaved changes are lost."""
        self._closed = True  # maintenance ends after what it is at
        self.wait_idle()
        super().close()
