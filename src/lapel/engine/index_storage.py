"""Where an index is between two processes: files beside the catalogue, or a server. One interface for both."""

from __future__ import annotations

import logging
import threading
import zlib
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from lapel.catalog import ModelEntry, index_lock
from lapel.core.errors import LapelError
from lapel.encoders import Encoder
from lapel.engine.encoder_cache import EncoderCache, LazyEncoder
from lapel.indexes import ExternalIndex, MaintainedIndex, VectorIndex, is_external, open_index

logger = logging.getLogger(__name__)

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
    be in the file or not; whoever loads it catches up from the generation in its name, which does no harm twice.
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
        if isinstance(snapshot.index, MaintainedIndex):
            snapshot.index.wait_idle()  # else the next process would build again what is being built now
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


def _external(snapshot: SearchSnapshot) -> ExternalIndex:
    """The index of a snapshot that :class:`ExternalStorage` opened."""
    if not isinstance(snapshot.index, ExternalIndex):
        raise TypeError(f"'{snapshot.version.spec}' is registered as external, but its index has no version tag.")
    return snapshot.index
