"""Indexes that grow: a *base* that FAISS built, and a *tail* of the newest vectors that is scanned exactly.

Adding or replacing a vector puts it into the tail, and removing one marks its row of the base, so each takes the same
time at a
thousand vectors and at a million. When the tail is long, or many rows are marked, a thread of its own carries the tail
into the base or
builds another base beside it; searches go on meanwhile, and nothing added or removed meanwhile is lost.

``faiss:<factory string>`` builds what the string says; ``faiss:auto`` chooses by size, memory and wanted recall, and
chooses again as the
index grows. Options follow a question mark: ``faiss:auto?recall=0.99&memory=4GB``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import faiss as typed_faiss
import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import InputError
from lapel.core.types import Matches
from lapel.core.vectors import Keys, Vectors, check_keys, check_vectors
from lapel.indexes.choice import GPU, Choice, choose, device_memory, read_kind
from lapel.indexes.exact import Rows, check_dim, check_k, damaged, last_of_each, other_width, pad, rows_of, write_whole
from lapel.indexes.faiss import FaissIndex
from lapel.indexes.files import Checked, read_header, write_checked
from lapel.indexes.locks import ReadWriteLock
from lapel.indexes.rowkeys import RowKeys
from lapel.indexes.structure import Effort, Mask, Structure, least_rows, make

if TYPE_CHECKING:
    from lapel.indexes.gpu import GpuStructure

faiss: Any = typed_faiss

TAIL = 4096  # vectors that are scanned before they are carried into the base
PIECE = 64  # vectors carried at once: searches wait that long
SELECTIONS = 16  # filters whose rows are kept
OFTEN = 8  # searches under one filter after which its rows get a structure of their own ...
OWN = 50_000  # ... if they are no more: 26 MB, built in a third of a second
SURE = 0.99  # the recall that one is tuned for
GROWN = 1.5  # growth of a base after which the effort of searching it is found again
AGAIN = 1.1  # growth after which a failed building is tried again
MARKED = 0.2  # share of the base's rows that may be marked as gone


@dataclass
class _Selection:
    """The rows that some allowed keys mean.

    Attributes:
        allowed: The caller's own array: while it is held here, no other array has its identity.
        wanted: The same, sorted, each once.
        version: Of the rows it was made for.
        rows: (m,) ascending.
        among: The same for the structure; None when there are so few that they are scanned.
        asked: Searches under it.
        own: A structure of these rows alone, once it is asked often.
        tail: The tail's version, and which of its keys are allowed.
    """

    allowed: Keys
    wanted: Keys
    version: int
    rows: Rows
    among: Any
    asked: int = 0
    own: Structure | None = None
    tail: tuple[int, Mask] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)


@dataclass
class _Base:
    """What FAISS built, and whose its rows are. Changed under the writers' gate only."""

    structure: Structure | GpuStructure
    rows: RowKeys


def _gpu() -> type[GpuStructure]:
    """Imported only where there is one: it needs PyTorch."""
    from lapel.indexes.gpu import GpuStructure

    return GpuStructure


class ApproximateIndex:
    """``faiss:<factory string>`` and ``faiss:auto``. See :class:`lapel.indexes.VectorIndex`.

    Reading is safe from any thread, also while another one writes; writers wait for each other.
    """

    def __init__(self, rest: str, *, dim: int = 128, path: Path | None = None) -> None:
        self._dim = check_dim(dim)
        self._factory, self._options = read_kind(rest)
        if rest.partition("?")[0] != "auto":
            make(self._factory, dim)  # an unknown one is told now, not when there are enough vectors
        self._path = path
        self._gate = ReadWriteLock()
        self._tail = FaissIndex("Flat", dim=dim)
        self._base: _Base | None = None
        self._choice = self._choose(0)
        self._selections: dict[int, _Selection] = {}
        self._alive: tuple[_Base, int, Any] | None = None
        self._closed = False
        self._base_lock = threading.Lock()  # held while the base is changed by FAISS, or written
        self._wake = threading.Condition()
        self._tending: threading.Thread | None = None
        self._touched: set[int] | None = None  # keys changed while another base is being built
        self.problem = ""  # why the last tending failed; the index goes on with what it has
        self._failed_at = 0  # vectors there were then: it is tried again when there are a tenth more
        if path is not None and path.exists():
            self._load(path)

    # --- what it is ---

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self._dim

    @property
    def choice(self) -> Choice:
        """What the vectors are kept in now, and why."""
        return self._choice

    @property
    def keys(self) -> Keys:
        """Every key, (n,) int64, sorted; a copy."""
        with self._gate.reading():
            self._check_open()
            parts = [self._tail.keys, *([] if self._base is None else [self._base.rows.living()])]
            keys: Keys = np.sort(np.concatenate(parts))
            return keys

    def __len__(self) -> int:
        """How many vectors there are."""
        with self._gate.reading():
            self._check_open()
            return self._count()

    def _count(self) -> int:
        base = self._base
        return len(self._tail) + (0 if base is None else len(base.rows.keys) - base.rows.dead)

    # --- changing it ---

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Add (n,) keys with (n, dim) vectors; a key that is there already gets the new vector; the last of equal keys
        counts.

        Raises:
            InputError: keys or vectors that cannot be used; then nothing is added.
        """
        given = check_vectors(vectors, self._dim)
        distinct, last = last_of_each(check_keys(keys, len(given)))
        with self._gate.writing():
            self._check_open()
            self._mark(distinct)
            self._tail.add(distinct, given[last])
            if self._touched is not None:
                self._touched.update(distinct.tolist())
        self._tend_if_needed()

    def remove(self, keys: Keys) -> int:
        """Remove these keys and return how many were there."""
        gone = np.unique(check_keys(keys))
        with self._gate.writing():
            self._check_open()
            if self._touched is not None:
                self._touched.update(gone.tolist())
            count = self._mark(gone) + self._tail.remove(gone)
        self._tend_if_needed()
        return count

    def _mark(self, keys: Keys) -> int:
        if self._base is None:
            return 0
        rows, known = self._base.rows.find(keys)
        self._base.rows.mark(rows[known])
        return int(known.sum())

    # --- searching it ---

    def search(self, queries: Vectors, k: int, allowed: Keys | None = None) -> Matches:
        """About the k best for each of (q, dim) unit queries, only among ``allowed`` keys when given.

        Returns:
            (q, k), by descending score, then ascending key; padded with -1 and -inf only where fewer than k exist.

        Raises:
            InputError: queries that are not (q, dim) unit rows, or keys that are none.
            QueryError: k below one.
        """
        asked = check_vectors(queries, self._dim)
        check_k(k)
        with self._gate.reading():
            self._check_open()
            if self._base is None:
                return self._tail.search(asked, k, allowed)
            selected = None if allowed is None else self._select(self._base, allowed)
            keys, scores = self._search_base(self._base, asked, k, selected)
            if len(self._tail):
                tail = self._search_tail(asked, k, selected)
                keys, scores = np.concatenate([keys, tail.keys], axis=1), np.concatenate([scores, tail.scores], axis=1)
        if keys.shape[1] > k or bool((scores[:, :-1] <= scores[:, 1:]).any()):
            order = np.lexsort((keys, -scores))[:, :k]
            keys, scores = np.take_along_axis(keys, order, axis=1), np.take_along_axis(scores, order, axis=1)
        return Matches(keys, scores)

    def _search_tail(self, asked: Vectors, k: int, selected: _Selection | None) -> Matches:
        if selected is None:
            return self._tail.search(asked, k)
        known = selected.tail
        if known is None or known[0] != self._tail.version:
            known = selected.tail = (self._tail.version, self._tail.which(selected.wanted))
        return self._tail.search_where(asked, k, known[1])

    def _select(self, base: _Base, allowed: Keys) -> _Selection:
        """The rows of the allowed keys; kept for arrays that cannot change, since many queries are asked under one
        filter."""
        lasting = isinstance(allowed, np.ndarray) and not allowed.flags.writeable
        known = self._selections.get(id(allowed)) if lasting else None
        if known is not None and known.version == base.rows.version and known.allowed is allowed:
            return known
        wanted = check_keys(allowed)
        if bool((np.diff(wanted) <= 0).any()):
            wanted = np.unique(wanted)
        places, there = base.rows.find(wanted)
        rows = np.sort(places[there])
        among = None
        if len(rows) > base.structure.scanned:
            may = np.zeros(len(base.rows.keys), bool)
            may[rows] = True
            among = base.structure.among(may, rows)
        selection = _Selection(allowed, wanted, base.rows.version, rows, among)
        if lasting:
            if len(self._selections) >= SELECTIONS:
                self._selections.clear()
            self._selections[id(allowed)] = selection
        return selection

    def _search_base(
        self, base: _Base, asked: Vectors, k: int, selected: _Selection | None
    ) -> tuple[Keys, NDArray[np.float32]]:
        """(q, k) keys and scores, best first, padded."""
        structure, rows = base.structure, base.rows
        if selected is None:
            available, among = len(rows.keys) - rows.dead, self._living(base) if rows.dead else None
        else:
            available, among = len(selected.rows), selected.among
            if among is None:
                scanned = pad(rows.keys, *structure.scan(asked, selected.rows, k), k)
                return scanned.keys, scanned.scores
        own = None if selected is None else self._own(base, selected)
        if own is None or selected is None:
            found, scores = structure.search(asked, min(k, available), among)
        else:
            found, scores = own.search(asked, min(k, available))
            found = np.where(found < 0, found, selected.rows[found])
        # A structure may find fewer than there are; those queries are scanned instead, so that k come back whenever k
        # exist.
        if found.size and found.min() < 0:
            short = np.flatnonzero((found < 0).any(axis=1))
            everything = np.flatnonzero(rows.alive) if selected is None else selected.rows
            found[short], scores[short] = structure.scan(asked[short], everything, found.shape[1])
        if found.shape[1] == k:
            return rows.keys[found], scores
        padded = pad(rows.keys, found, scores, k)
        return padded.keys, padded.scores

    def _own(self, base: _Base, selected: _Selection) -> Structure | None:
        """A structure of a filter's rows alone, where they are spread over all lists and it is asked often: it reads
        nothing in vain."""
        selected.asked += 1
        structure, fits = base.structure, least_rows("IVF1") <= len(selected.rows) <= OWN
        if (
            selected.own is None
            and selected.asked > OFTEN
            and fits
            and isinstance(structure, Structure)
            and structure.spread(selected.among)
        ):
            if not selected.lock.acquire(blocking=False):
                return None  # another thread is building it
            try:
                if selected.own is None:
                    selected.own = Structure.small(structure.vectors(selected.rows), SURE)
            finally:
                selected.lock.release()
        return selected.own

    def _living(self, base: _Base) -> Any:
        """The rows that still count, for the structure; made anew when they change."""
        known = self._alive
        if known is None or known[0] is not base or known[1] != base.rows.version:
            known = self._alive = (base, base.rows.version, base.structure.among(base.rows.alive.copy()))
        return known[2]

    # --- tending it ---

    def _choose(self, count: int) -> Choice:
        return choose(count, dim=self._dim, options=self._options, factory=self._factory)

    def _work(self) -> Callable[[], None] | None:
        """What there is to be done now, if anything."""
        with self._gate.reading():
            if self._closed:
                return None
            count, base, tail = self._count(), self._base, len(self._tail)
            if self.problem and count < AGAIN * self._failed_at:
                return None
            still = tail < TAIL and (not self._factory if base is None else base.rows.dead <= TAIL)
            if still and (base is None or len(base.rows.keys) < GROWN * base.structure.tuned):
                return None  # choosing takes longer than adding one
            choice = self._choose(count)
            built = "" if base is None else base.structure.factory
            if choice.factory != built and (built or tail >= TAIL or self._factory):
                return lambda: self._rebuild(choice)
            if base is None or choice.factory == "":
                return None
            rows = len(base.rows.keys)
            if base.rows.dead > max(TAIL, MARKED * rows) or tail > max(TAIL, rows):
                return lambda: self._rebuild(choice)
            if tail >= TAIL:
                return self._carry
            return self._tune if rows >= GROWN * base.structure.tuned else None

    def _tend_if_needed(self) -> None:
        """Start the thread that tends the index, if it is not at work and there is something to do."""
        with self._wake:
            if self._tending is None and self._work() is not None:
                self._tending = threading.Thread(target=self._tend, name="lapel-index-tending", daemon=True)
                self._tending.start()

    def _tend(self) -> None:
        try:
            while (work := self._next_work()) is not None:
                work()
                self.problem = ""
        except Exception as error:  # what is there goes on being searched, tail and all
            with self._wake:
                self.problem, self._failed_at = f"{type(error).__name__}: {error}", self._count()
                self._rest()

    def _next_work(self) -> Callable[[], None] | None:
        """What there is to be done; with nothing, the thread is given up at once, so that what is added next starts
        another."""
        with self._wake:
            work = self._work()
            if work is None:
                self._rest()
            return work

    def _rest(self) -> None:
        self._tending = None
        self._wake.notify_all()

    def wait_idle(self, timeout: float | None = None) -> bool:
        """Wait until the background work is done; false when it is not within ``timeout`` seconds."""
        with self._wake:
            return self._wake.wait_for(lambda: self._tending is None, timeout)

    def _rebuild(self, choice: Choice) -> None:
        """Build a base of everything beside the one that is searched, then put it in its place."""
        with self._gate.writing():
            self._touched = set()
        try:
            with self._gate.reading():
                keys, vectors = self._tail.held()
                base = self._base
                if base is not None:
                    rows = np.flatnonzero(base.rows.alive)
                    keys = np.concatenate([base.rows.keys[rows], keys])
                    vectors = np.concatenate([base.structure.vectors(rows), vectors])
            fresh: _Base | None = None
            if choice.factory:
                structure = _gpu().build(vectors) if choice.factory == GPU else Structure.build(choice.factory, vectors)
                structure.tune(self._options.recall)
                fresh = _Base(structure, RowKeys(keys))
            with self._base_lock, self._gate.writing():
                touched = np.array(sorted(self._touched or ()), np.int64)
                carried = keys[~np.isin(keys, touched)]
                if fresh is None:  # back to exact: what was not touched meanwhile joins the tail
                    stays = np.isin(keys, carried)
                    self._tail.add(keys[stays], vectors[stays])
                else:
                    rows, known = fresh.rows.find(touched)
                    fresh.rows.mark(rows[known])
                    self._tail.remove(carried)
                self._base, self._choice = fresh, choice
                self._selections.clear()
        finally:
            with self._gate.writing():
                self._touched = None

    def _carry(self) -> None:
        """Carry the tail into the base, a few vectors at a time, so that searches hardly wait."""
        keys = self._tail.keys
        for at in range(0, len(keys), PIECE):
            with self._base_lock, self._gate.writing():
                if self._closed or self._base is None:
                    return
                held, vectors = self._tail.held()
                places, known = rows_of(held, keys[at : at + PIECE])
                some = places[known]
                self._base.structure.add(vectors[some])
                self._base.rows.extend(held[some])
                self._tail.remove(held[some])

    def _tune(self) -> None:
        """Find the effort again: what was enough for a base is too little when it has grown."""
        with self._gate.reading():
            if self._closed or self._base is None:
                return
            structure, alive = self._base.structure, self._base.rows.alive.copy()
        structure.tune(self._options.recall, alive=alive)  # only this thread adds to it

    # --- keeping it ---

    def save(self, path: Path | None = None) -> None:
        """Write to ``path``, or to the one it was opened with: wholly, or not at all.

        Searches, additions and removals go on meanwhile.

        Raises:
            InputError: neither is given.
        """
        with self._base_lock:  # what FAISS built stays as it is while it is written
            with self._gate.reading():
                self._check_open()
                write = self._writer()
            write_whole(path or self._path, write)

    def _writer(self) -> Callable[[IO[bytes]], None]:
        """What writes the index as it is now: tail, then the base's keys and marks, then what FAISS writes."""
        tail_keys, tail_vectors = self._tail.held()
        base = self._base
        keys, alive = (base.rows.keys, base.rows.alive.copy()) if base is not None else (tail_keys[:0], None)
        about: dict[str, Any] = {
            "kind": self._kind,
            "metric": "ip",
            "dim": self._dim,
            "tail": len(tail_keys),
            "base": len(keys),
        }
        if base is not None:
            effort = base.structure.effort
            about |= {"factory": base.structure.factory, "probe": effort.probe, "refine": effort.refine}

        def data(check: Checked) -> None:
            for array in (tail_keys, tail_vectors):
                check.write(array.tobytes())
            if base is not None and alive is not None:
                check.write(keys.tobytes())
                check.write(alive.tobytes())
                base.structure.write(check.write)

        return lambda file: write_checked(file, about, data)

    @property
    def _kind(self) -> str:
        return self._factory or "auto"

    def _load(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                about = read_header(file, path)
                if about["kind"] != self._kind or about["metric"] != "ip":
                    raise InputError(
                        f"The saved index {path} is 'faiss:{about['kind']}'; 'faiss:{self._kind}' was asked. Run"
                        f" 'lapel index rebuild'."
                    )
                if about["dim"] != self._dim:
                    raise other_width(path, about["dim"], self._dim)

                def column(dtype: type, count: int) -> Any:
                    return np.frombuffer(file.read(np.dtype(dtype).itemsize * count), dtype).copy()

                tail_keys = column(np.int64, about["tail"])
                self._tail.add(tail_keys, column(np.float32, about["tail"] * self._dim).reshape(-1, self._dim))
                if about["base"]:
                    keys, alive = column(np.int64, about["base"]), column(np.bool_, about["base"])
                    self._base = _Base(self._read(file, path, about), RowKeys(keys, alive))
                    self._choice = self._choose(self._count())
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise damaged(path, error) from error

    def _read(self, file: IO[bytes], path: Path, about: Mapping[str, Any]) -> Structure | GpuStructure:
        """The base's structure."""
        if about["factory"] == GPU:
            if not device_memory():
                raise damaged(path, "it was written for a GPU, and there is none here")
            return _gpu().read(file.read, about["base"], self._dim)
        index = faiss.read_index(faiss.PyCallbackIOReader(file.read))
        if index.d != self._dim or index.ntotal != about["base"]:
            raise damaged(path, "its parts do not belong together")
        return Structure(about["factory"], index, Effort(about["probe"], about["refine"]))

    def close(self) -> None:
        """Let go of memory. Closing twice is fine; unsaved changes are lost."""
        self._closed = True
        self.wait_idle()
        with self._gate.writing():
            self._base = None
        with suppress(InputError):
            self._tail.close()

    def _check_open(self) -> None:
        if self._closed:
            raise InputError("This index is closed. Open it again with open_index.")
