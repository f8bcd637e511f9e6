"""Keeps one index equal to one set of vectors: those of the model that a catalogue is searched with.

The catalogue is the truth, the index a cache of it. Its file is named after the catalogue's generation. One of an
earlier generation catches up with what changed since, which takes as long as there are changes; when there is none, or
it is damaged, the index is rebuilt from the catalogue's vectors, which costs time, never data. An external index, on a
server, has the generation in its version tag instead of a file's name, and one process at a time brings it up to the
catalogue. The catalogue also says which model is searched; another process may change it at any moment, so whoever
compares vectors takes one :class:`SearchSnapshot` and stays with it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lapel.catalog import Catalog, ModelEntry
from lapel.core.errors import StoreBusyError
from lapel.core.vectors import Keys, Vectors
from lapel.encoders import repaired_spec
from lapel.engine.encoder_cache import EncoderCache
from lapel.engine.index_storage import ExternalStorage, FileStorage, IndexStorage, IndexVersion, SearchSnapshot
from lapel.indexes import current_spec, is_external

logger = logging.getLogger(__name__)

DEFAULT_INDEX = "faiss:auto"  # of a store that says no other
MAX_ATTEMPTS = 5  # looks at a store before it is said to change all the time


@dataclass(frozen=True)
class IndexStatus:
    """How the index of a store is.

    Attributes:
        spec: Its kind.
        generation: Of the catalogue it is complete for; None while none was opened.
        vectors: How many it holds; None while none was opened.
        problem: Why the last work in the background failed, and empty when it did not. The index answers all the same.
    """

    spec: str
    generation: int | None = None
    vectors: int | None = None
    problem: str = ""


class IndexSync:
    """Keeps the index of one store up to its catalogue. Safe to share between threads.

    Args:
        folder: The store's.
        catalog: Its catalogue.
        encoders: What opens its encoder.
    """

    def __init__(self, folder: Path, catalog: Catalog, encoders: EncoderCache) -> None:
        self._folder = folder
        self._catalog = catalog
        self._files = FileStorage(folder, encoders, read_only=catalog.read_only)
        self._external = ExternalStorage(folder, encoders)
        self._held: SearchSnapshot | None = None
        self._lock = threading.Lock()

    def current(self) -> SearchSnapshot:
        """Model and index as they are now: the one at hand or a saved one, caught up; else rebuilt (0.3 s for 40,000).

        Raises:
            IndexUnavailableError: an external index does not answer.
            StoreBusyError: the catalogue changes faster than it is looked at.
        """
        with self._lock:
            return self._current()

    @property
    def problem(self) -> str:
        """Why the last work in the background failed; empty when it did not."""
        held = self._held
        if held is None:
            return self._files.problem
        maintained: str = getattr(held.index, "problem", "")  # of one that is maintained, see lapel.indexes
        return self._storage(held.version.spec).problem or maintained

    def status(self) -> IndexStatus:
        """How the index is, opening nothing."""
        spec, held = version_of(self._catalog.settings()).spec, self._held
        if held is None or held.version.spec != spec:
            return IndexStatus(spec, problem=self._storage(spec).problem)
        return IndexStatus(spec, held.version.generation, len(held.index), self.problem)

    @contextmanager
    def snapshot(self) -> Iterator[tuple[SearchSnapshot, Iterator[tuple[Keys, Vectors]]]]:
        """The current snapshot, and every vector that its index should hold by rising key, in pieces; both stay as they
        are inside.

        Raises:
            StoreBusyError: the catalogue changes faster than it is looked at.
        """
        for _ in range(MAX_ATTEMPTS):
            with self._lock:
                held = self._current()
                storage = self._storage(held.version.spec)
                with storage.exclusive(), self._catalog.searched() as (settings, pieces):
                    now = (model_of(settings), version_of(settings))
                    if now == (held.model, held.version) and storage.refresh(held).version == held.version:
                        yield held, pieces
                        return
        raise self._busy()

    def save(self, snapshot: SearchSnapshot) -> None:
        """Keep what was put right in a snapshot's index.

        Raises:
            OSError: it cannot be written.
        """
        self.wait_idle()
        self._storage(snapshot.version.spec).save(snapshot)

    def rebuild(self) -> None:
        """Throw away what is saved, so that the next use builds the index from the catalogue.

        Raises:
            IndexUnavailableError: it is kept elsewhere and does not answer.
        """
        with self._lock:
            self.wait_idle()
            settings = self._catalog.settings()
            model, version = model_of(settings), version_of(settings)
            held = self._held
            if held is not None and held.version.prefix != version.prefix:
                held = None
            self._files.drop()
            if is_external(version.spec):
                self._external.drop(held, model, version)
            self._held = None

    def wait_idle(self) -> None:
        """Wait until what is being saved is."""
        self._files.wait_idle()

    def close(self) -> None:
        """Close the index when it is saved. Closing twice is fine."""
        with self._lock:
            self.wait_idle()
            if self._held is not None:
                self._held.index.close()
                self._held = None

    def _storage(self, spec: str) -> FileStorage | ExternalStorage:
        return self._external if is_external(spec) else self._files

    def _current(self) -> SearchSnapshot:
        for _ in range(MAX_ATTEMPTS):
            settings = self._catalog.settings()
            model, version = model_of(settings), version_of(settings)
            held = self._held
            if held is not None and (held.model, held.version.prefix) != (model, version.prefix):
                held = None  # let go of, not closed: another thread may be searching it
            found = self._bring_up(held, model, version)
            if found is not None:
                self._held = found
                return found
        raise self._busy()

    def _bring_up(self, held: SearchSnapshot | None, model: ModelEntry, version: IndexVersion) -> SearchSnapshot | None:
        """A snapshot of a version; None when the store has another model or kind of index by now."""
        storage: IndexStorage = self._storage(version.spec)
        if held is not None and held.version == version:
            self._files.retry(held)
            return held
        found = held or storage.open(model, version)
        try:
            if found is not None and storage.refresh(found).version == version:
                return replace(found, version=version)
            with storage.exclusive():
                begun = None if found is None else storage.refresh(found)  # another process may have been at it
                now, changes = self._catch_up(begun) if begun is not None else (None, 0)
                if now is None:
                    logger.info("The index '%s' of %s is rebuilt", version.spec, self._folder)
                    now, changes = self._rebuild(storage, begun, model, version)
                if now is not None:
                    storage.commit(now, changes=changes)
        except BaseException:
            if held is None and found is not None:
                found.index.close()
            raise
        return now

    def _catch_up(self, snapshot: SearchSnapshot) -> tuple[SearchSnapshot | None, int]:
        """The snapshot with what its index misses, and how much that was.

        None when its model is searched no more, or what it misses is no longer known.
        """
        delta = self._catalog.changes_since(snapshot.version.generation)
        if delta is None or model_of(delta.settings) != snapshot.model:
            return None, 0
        now = version_of(delta.settings)
        # An index of a later generation than the catalogue's is one of a catalogue that was put back since.
        if now.prefix != snapshot.version.prefix or now.generation < snapshot.version.generation:
            return None, 0
        snapshot.index.remove(delta.removed)
        if len(delta.keys):
            snapshot.index.add(delta.keys, delta.vectors)
        return replace(snapshot, version=now), len(delta.keys) + len(delta.removed)

    def _rebuild(
        self, storage: IndexStorage, begun: SearchSnapshot | None, model: ModelEntry, version: IndexVersion
    ) -> tuple[SearchSnapshot | None, int]:
        """A snapshot with an index of the catalogue's vectors and no others; None when another model is searched by
        now."""
        # The model and its vectors as of one moment: another process may change the model, and drop vectors, meanwhile.
        with self._catalog.searched() as (settings, pieces):
            now = version_of(settings)
            if (model_of(settings), now.prefix) != (model, version.prefix):
                return None, 0
            filled = begun if begun is not None and storage is self._external else storage.create(model, now)
            everything = [np.empty(0, np.int64)]
            for keys, vectors in pieces:
                filled.index.add(keys, vectors)
                everything.append(keys)
            if len(filled.index) > sum(map(len, everything)):
                filled.index.remove(np.setdiff1d(filled.index.keys, np.concatenate(everything)))
        return replace(filled, version=now), len(filled.index) + 1

    def _busy(self) -> StoreBusyError:
        return StoreBusyError(
            f"The store {self._folder} is being changed by another process all the time. Try again when it is done."
        )


def model_of(settings: Mapping[str, str]) -> ModelEntry:
    """The model that is searched, by the catalogue's settings."""
    fingerprint = settings.get("fingerprint", "")
    spec = repaired_spec(settings.get("encoder", ""), fingerprint)
    return ModelEntry(fingerprint, settings.get("model", ""), spec, int(settings.get("dim", 0)))


def version_of(settings: Mapping[str, str]) -> IndexVersion:
    """What an index of the catalogue is of, by its settings."""
    spec = current_spec(settings.get("index", DEFAULT_INDEX))
    generation = int(settings.get("generation", 0))
    return IndexVersion(settings.get("identity", "0"), settings.get("fingerprint", ""), spec, generation)
