"""Keeps one index equal to one set of vectors: those of the model that a catalogue is searched with.

The catalogue is the truth, the index a cache of it. Its file is named after the catalogue's generation. One of an
earlier generation
catches up with what changed since, which takes as long as there are changes; when there is none, or it is damaged, the
index is rebuilt
from the catalogue's vectors, which costs time, never data. An external index, on a server, has the generation in its
version tag instead
of a file's name, and one process at a time brings it up to the catalogue.
The catalogue also says which model is searched; another process may change it at any moment, so whoever compares
vectors takes one
:class:`SearchSnapshot` and stays with it.
"""

from __future__ import annotations

import logging
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from lapel.catalog import Catalog, ModelEntry, index_lock
from lapel.core.errors import LapelError, StoreBusyError
from lapel.core.vectors import Keys, Vectors
from lapel.encoders import Encoder, repaired_spec
from lapel.engine.encoder_cache import EncoderCache, LazyEncoder
from lapel.indexes import ExternalIndex, MaintainedIndex, VectorIndex, is_external, open_index

logger = logging.getLogger(__name__)

DEFAULT_INDEX = "faiss:auto"  # of a store that says no other
MAX_ATTEMPTS = 5  # looks at a store before it is said to change all the time
SAVE_SHARE = 0.1  # of the index that has changed before its file is written again
UNKNOWN_GENERATION = -1  # of an external index that does not say what it is complete for


@dataclass(frozen=True)
class IndexVersion:
    """What an index is of; it names the index's file, so that name and content arrive together.

    Attributes:
        identity: Which catalogue.
        fingerprint: Which model's vectors.
        spec: Which kind of index.
        generation: Which generation of the catalogue.
    """

    identity: str
    fingerprint: str
    spec: str
    generation: int

    @property
    def prefix(self) -> str:
        """The part of the name that generations share."""
        return f"index-{self.identity}-{zlib.crc32(f'{self.fingerprint} {self.spec}'.encode()):08x}-"

    @property
    def file_name(self) -> str:
        """The file's name."""
        return f"{self.prefix}{self.generation}.bin"


@dataclass(frozen=True)
class SearchSnapshot:
    """What a store is searched with: a model and the index of its vectors.

    It keeps its model; its index follows the catalogue.

    Attributes:
        model: The model; its name and fingerprint are empty while a store has none yet.
        index: The vectors of that model and of no other.
        version: Which catalogue and generation the index is complete for.
    """

    model: ModelEntry
    index: VectorIndex
    version: IndexVersion
    _encoder: LazyEncoder = field(repr=False)

    @property
    def encoder(self) -> Encoder:
        """What made the index's vectors, opened when it is first asked for.

        Raises:
            ModelMismatchError: its fingerprint is not the one the vectors carry.
            ModelError: the model folder is gone or broken.
        """
        return self._encoder.get_for(self.model)


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


class IndexStorage(Protocol):
    """Where an index is between two processes: a file beside the catalogue, or a server. One interface for both."""

    def open(self, model: ModelEntry, version: IndexVersion) -> SearchSnapshot | None:
        """What is stored, not newer than a version; None when there is nothing to begin with."""
        ...

    def create(self, model: ModelEntry, version: IndexVersion) -> SearchSnapshot:
        """What a rebuild fills."""
        ...

    def refresh(self, snapshot: SearchSnapshot) -> SearchSnapshot:
        """The same with the generation that it is complete for now, when other processes change it too."""
        ...

    def exclusive(self) -> AbstractContextManager[None]:
        """Be the only process that changes it."""
        ...

    def commit(self, snapshot: SearchSnapshot, *, changes: int) -> None:
        """Keep a snapshot that so many changes made complete; at once, or when it is due."""
        ...

    def save(self, snapshot: SearchSnapshot) -> None:
        """Keep a snapshot now."""
        ...

    def wait_idle(self) -> None:
        """Wait until what is being saved is."""
        ...


class FileStorage:
    """Index files beside the catalogue, written by a thread when enough has changed.

    A large index takes seconds to write, and nobody who searches waits for them. What the index takes in meanwhile may
    be in the file or
    not; whoever loads it catches up from the generation in its name, which does no harm twice.
    """

    def __init__(self, folder: Path, encoders: EncoderCache, *, read_only: bool) -> None:
        self._folder = folder
        self._encoders = encoders
        self._read_only = read_only
        self._unsaved = 0  # changes the index has and its file has not, nor the one that is being written
        self._failed = 0  # of those, the ones a thread could not write
        self._thread: threading.Thread | None = None
        self.problem = ""

    def open(self, model: ModelEntry, version: IndexVersion) -> SearchSnapshot | None:
        """The newest file that is not newer than the catalogue; None when there is none, or it is damaged."""
        found = [int(path.stem.rpartition("-")[2]) for path in self._files() if path.name.startswith(version.prefix)]
        for generation in sorted((each for each in found if each <= version.generation), reverse=True):
            stored = replace(version, generation=generation)
            path = self._folder / stored.file_name
            try:
                snapshot = self._snapshot(model, stored, path)
            except (OSError, LapelError) as error:
                logger.warning("The index file %s is not used: %s", path, error)
                continue
            self._unsaved = 0
            return snapshot
        return None

    def create(self, model: ModelEntry, version: IndexVersion) -> SearchSnapshot:
        """An empty index in memory."""
        return self._snapshot(model, version, None)

    def _snapshot(self, model: ModelEntry, version: IndexVersion, path: Path | None) -> SearchSnapshot:
        encoder = self._encoders.of(model)
        index = open_index(version.spec, dim=model.dim or encoder.get().dim, path=path)
        return SearchSnapshot(model, index, version, encoder)

    def refresh(self, snapshot: SearchSnapshot) -> SearchSnapshot:
        """As it is: nobody else changes this process's index."""
        return snapshot

    def exclusive(self) -> AbstractContextManager[None]:
        """Nobody else changes it."""
        return nullcontext()

    def commit(self, snapshot: SearchSnapshot, *, changes: int) -> None:
        """Have the index saved in place of older ones when enough has changed, and this store may be written to."""
        self._unsaved += changes
        if self._read_only or (self._thread is not None and self._thread.is_alive()):
            return
        self._unsaved, self._failed = self._unsaved + self._failed, 0
        if self._unsaved > SAVE_SHARE * len(snapshot.index):
            unsaved, self._unsaved = self._unsaved, 0
            self._thread = threading.Thread(target=self._save, args=(snapshot, unsaved), name="lapel-index-saving")
            self._thread.start()

    def retry(self, snapshot: SearchSnapshot) -> None:
        """Save what could not be saved before."""
        if self._failed and not is_external(snapshot.version.spec):
            self.commit(snapshot, changes=0)

    def _save(self, snapshot: SearchSnapshot, unsaved: int) -> None:
        # A full disk, or a folder that may not be written to, costs the next process a rebuild, not this one its
        # answer.
        path = self._folder / snapshot.version.file_name
        try:
            snapshot.index.save(path)
        except OSError as error:
            self._failed = unsaved  # tried again when the index is next asked for
            self.problem = f"The index cannot be saved to {path}: {error.strerror or error}."
            logger.warning("%s The next process rebuilds it.", self.problem)
            return
        self.problem = ""
        for old in self._files():
            if old.name != path.name:
                old.unlink(missing_ok=True)

    def save(self, snapshot: SearchSnapshot) -> None:
        """Write the file now.

        Raises:
            OSError: it cannot be written.
        """
        if not self._read_only:
            snapshot.index.save(self._folder / snapshot.version.file_name)

    def drop(self) -> None:
        """Delete every file; a snapshot is let go of, not closed: another thread may be searching it."""
        for old in self._files():
            old.unlink(missing_ok=True)

    def wait_idle(self) -> None:
        """Wait for the thread that writes."""
        if self._thread is not None:
            self._thread.join()

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("index-*.bin"))


class ExternalStorage:
    """An index that is kept elsewhere: every process changes the same one, and its version tag says what it is complete
    for."""

    problem = ""

    def __init__(self, folder: Path, encoders: EncoderCache) -> None:
        self._folder = folder
        self._encoders = encoders

    def open(self, model: ModelEntry, version: IndexVersion) -> SearchSnapshot:
        """The index with what it holds.

        Raises:
            IndexUnavailableError: it does not answer.
        """
        encoder = self._encoders.of(model)
        name = self._folder / version.prefix.rstrip("-")  # one for all generations
        index = open_index(version.spec, dim=model.dim or encoder.get().dim, path=name)
        return self.refresh(SearchSnapshot(model, index, version, encoder))

    def create(self, model: ModelEntry, version: IndexVersion) -> SearchSnapshot:
        """The same: it is not emptied first, so that it can be searched meanwhile."""
        return self.open(model, version)

    def refresh(self, snapshot: SearchSnapshot) -> SearchSnapshot:
        """With the generation that its version tag says."""
        tag = _external(snapshot).get_version_tag()
        generation = int(tag) if tag.isdecimal() else UNKNOWN_GENERATION
        return replace(snapshot, version=replace(snapshot.version, generation=generation))

    def exclusive(self) -> AbstractContextManager[None]:
        """The lock that all processes of the store share."""
        return index_lock(self._folder)

    def commit(self, snapshot: SearchSnapshot, *, changes: int) -> None:
        """Save, then say what it is complete for."""
        logger.debug("%d changes are brought into '%s'", changes, snapshot.version.spec)
        self.save(snapshot)
        _external(snapshot).set_version_tag(str(snapshot.version.generation))

    def save(self, snapshot: SearchSnapshot) -> None:
        """Have the server keep what was changed."""
        snapshot.index.save()

    def drop(self, snapshot: SearchSnapshot | None, model: ModelEntry, version: IndexVersion) -> None:
        """Remove everything from the server, and close."""
        with self.exclusive():
            _external(self.open(model, version)).drop()
        if snapshot is not None:
            snapshot.index.close()

    def wait_idle(self) -> None:
        """Nothing is saved in the background."""


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

    def status(self) -> IndexStatus:
        """How the index is, opening nothing."""
        spec, held = version_of(self._catalog.settings()).spec, self._held
        problem = self._storage(spec).problem
        if held is None or held.version.spec != spec:
            return IndexStatus(spec, problem=problem)
        maintained = held.index.problem if isinstance(held.index, MaintainedIndex) else ""
        return IndexStatus(spec, held.version.generation, len(held.index), problem or maintained)

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


def _external(snapshot: SearchSnapshot) -> ExternalIndex:
    """The index of a snapshot that :class:`ExternalStorage` opened."""
    if not isinstance(snapshot.index, ExternalIndex):
        raise TypeError(f"'{snapshot.version.spec}' is registered as external, but its index has no version tag.")
    return snapshot.index


def model_of(settings: Mapping[str, str]) -> ModelEntry:
    """The model that is searched, by the catalogue's settings."""
    fingerprint = settings.get("fingerprint", "")
    spec = repaired_spec(settings.get("encoder", ""), fingerprint)
    return ModelEntry(fingerprint, settings.get("model", ""), spec, int(settings.get("dim", 0)))


def version_of(settings: Mapping[str, str]) -> IndexVersion:
    """What an index of the catalogue is of, by its settings."""
    spec = settings.get("index", DEFAULT_INDEX)
    generation = int(settings.get("generation", 0))
    return IndexVersion(settings.get("identity", "0"), settings.get("fingerprint", ""), spec, generation)
