"""A shop on disk: catalogue + encoder + index that agree, or say clearly that they don't.

The catalogue is the truth. The index file beside it is named after the catalogue's generation. One of an earlier generation catches up with
what changed since, which takes as long as there are changes; when there is none, or it is damaged, the index is redrawn from the
catalogue's vectors, which costs time, never data. An index that keeps itself, on a server, has the generation in its note instead of a
file's name, and one process at a time brings it up to the catalogue.
The catalogue also says which model is searched; another process may change it at any moment, so whoever compares vectors takes one
:class:`View` and stays with it.
"""

from __future__ import annotations

import threading
import uuid
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image

from lapel.catalog import Catalog, ModelEntry, index_lock
from lapel.catalog.thumbnails import MOST_MB, Thumbnails
from lapel.core.errors import (
    LapelError,
    ModelMismatch,
    QueryError,
    StoreBusy,
    StoreError,
    StoreMissing,
    StoreReadOnly,
)
from lapel.core.images import decode
from lapel.core.vectors import Keys, Vectors
from lapel.encoders import Encoder, healed, lasting, open_encoder
from lapel.indexes import KeepsItself, VectorIndex, keeps_itself, open_index
from lapel.sources import read_uri

CATALOGUE = "catalog.sqlite"
THUMBNAILS = "thumbnails.sqlite"
THUMBNAILS_MB = "thumbnails_mb"  # the setting with what they may take
INDEX_SPEC = "faiss:auto"  # of a store that says no other
TRIES = 5  # looks at a store before it is said to change all the time
SAVED_AFTER = 0.1  # share of the index that has changed before its file is written again


class _Opener:
    """Opens one encoder when it is first needed, once for all threads."""

    def __init__(self, spec: str) -> None:
        self.spec = spec
        self._encoder: Encoder | None = None
        self._lock = threading.Lock()

    def encoder(self) -> Encoder:
        with self._lock:
            if self._encoder is None:
                self._encoder = open_encoder(self.spec)
            return self._encoder


@dataclass(frozen=True)
class Drawn:
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
    def line(self) -> str:
        """The part of the name that generations share."""
        return f"index-{self.identity}-{zlib.crc32(f'{self.fingerprint} {self.spec}'.encode()):08x}-"

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.line}{self.generation}.bin"


@dataclass(frozen=True)
class View:
    """What a store is searched with: a model and the index of its vectors. A view keeps its model; its index follows the catalogue.

    Attributes:
        model: The model; its name and fingerprint are empty while a store has none yet.
        index: The vectors of that model and of no other.
        drawn: Which catalogue and generation the index is complete for.
        folder: The store's.
    """

    model: ModelEntry
    index: VectorIndex
    drawn: Drawn
    folder: Path
    _opener: _Opener = field(repr=False)

    @property
    def encoder(self) -> Encoder:
        """What made the index's vectors, opened when it is first asked for.

        Raises:
            ModelMismatch: its fingerprint is not the one the vectors carry.
            ModelError: the model folder is gone or broken.
        """
        return _checked(self._opener, self.model, self.folder)


def _checked(opener: _Opener, model: ModelEntry, folder: Path) -> Encoder:
    """The opened encoder, after making sure that it is the one that made the stored vectors."""
    encoder = opener.encoder()
    if model.fingerprint and model.fingerprint != encoder.fingerprint:
        raise ModelMismatch(
            f"The store {folder} was filled with the model '{model.name}' (fingerprint {model.fingerprint});"
            f" '{opener.spec}' is '{encoder.name}' ({encoder.fingerprint}), whose vectors cannot be compared with those."
            f" Open it with its own model, or give it the other one: lapel model use {opener.spec} --store {folder}"
        )
    return encoder


class Store:
    """One shop folder. Open it with :func:`open_store`; safe to share between threads."""

    def __init__(self, folder: Path, catalog: Catalog, *, encoder: str | None = None) -> None:
        self.folder = folder
        self.catalog = catalog
        self.thumbnails = Thumbnails(folder / THUMBNAILS, read_only=catalog.read_only)
        self.thumbnails.most = int(catalog.setting(THUMBNAILS_MB) or MOST_MB) * 10**6
        self._wanted = encoder
        self._opener: _Opener | None = None
        self._opened_for = ("", "")
        self._view: View | None = None
        self._unsaved = 0  # changes the index has and its file has not, nor the one that is being written
        self._unwritten = 0  # of those, the ones a thread could not write
        self._saving: threading.Thread | None = None
        self._lock = threading.Lock()
        self._opening = threading.Lock()

    @property
    def model(self) -> ModelEntry:
        """The model whose vectors are searched now; without a fingerprint while the store has none yet."""
        return _model_of(self.catalog.settings())

    @property
    def index_spec(self) -> str:
        """Which kind of index the store is searched with, see :func:`lapel.open_index`."""
        return _drawn_of(self.catalog.settings()).spec

    def use_index(self, spec: str) -> None:
        """Search with another kind of index from now on, in every process; it is drawn when it is next needed.

        Raises:
            InputError: there is no such kind; nothing was changed.
        """
        open_index(spec, dim=self.model.dim or 128).close()
        self.catalog.set_setting("index", spec)

    @property
    def encoder(self) -> Encoder:
        """The store's encoder now. Who also searches takes it from a :meth:`view`.

        Raises:
            ModelMismatch: its fingerprint is not the one the stored vectors carry.
            ModelError: the model folder is gone or broken.
        """
        model = self.model
        return _checked(self._opener_of(model), model, self.folder)

    @property
    def encoder_spec(self) -> str:
        """What opens the store's encoder, here and on other machines: see :func:`lapel.open_encoder`."""
        return lasting(self._opener_of(self.model).spec)

    def claim(self) -> None:
        """Write down which encoder fills this store, before its first vector."""
        model, encoder = self.model, self.encoder
        if not model.fingerprint:
            mine = ModelEntry(encoder.fingerprint, encoder.name, lasting(self._opener_of(model).spec), encoder.dim)
            # A catalogue made anew in this folder is another one.
            self.catalog.claim(mine, identity=uuid.uuid4().hex[:8])

    def view(self) -> View:
        """The model and its index as they are now: the one at hand or a saved one, caught up; else redrawn (0.3 s for 40,000)."""
        with self._lock:
            return self._current()

    def _current(self) -> View:
        said = self.catalog.settings()
        model, drawn = _model_of(said), _drawn_of(said)
        held = self._view
        if held is not None and (held.model, held.drawn.line) != (model, drawn.line):
            held = None  # let go of, not closed: another thread may be searching it
        if keeps_itself(drawn.spec):
            self._view = self._shared(held, model, drawn)
            return self._view
        view = held or self._load(model, drawn)
        if view is not None and view.drawn != drawn:
            view = self._catch_up(view)
        self._view = view or self._redraw()
        self._save_if_due(self._view)
        return self._view

    @contextmanager
    def still(self) -> Iterator[tuple[View, Iterator[tuple[Keys, Vectors]]]]:
        """The view, and every vector that its index should hold by rising key, in pieces; both stay as they are inside.

        Raises:
            StoreBusy: the catalogue changes faster than it is looked at.
        """
        for _ in range(TRIES):
            with self._lock, ExitStack() as inside:
                view = self._current()
                shared = keeps_itself(view.drawn.spec)
                if shared:
                    inside.enter_context(index_lock(self.folder))
                said, pieces = inside.enter_context(self.catalog.searched())
                if (_model_of(said), _drawn_of(said)) == (view.model, view.drawn) and (
                    not shared or _noted(view.index) == view.drawn.generation
                ):
                    yield view, pieces
                    return
        raise StoreBusy(
            f"The store {self.folder} is being changed by another process all the time. Try again when it is done."
        )

    def save_index(self, view: View) -> None:
        """Keep what was put right in a view's index.

        Raises:
            OSError: it cannot be written.
        """
        self.settle()
        if keeps_itself(view.drawn.spec):
            view.index.save()
        elif not self.catalog.read_only:
            view.index.save(self.folder / view.drawn.name)

    @property
    def index(self) -> VectorIndex:
        """The index of the catalogue as it is now."""
        return self.view().index

    def _opener_of(self, model: ModelEntry) -> _Opener:
        """What opens the encoder of a model; kept until the store has another one."""
        spec = self._wanted or model.encoder or "default"
        with self._opening:
            # The fingerprint counts too: a folder may have been given another model since. An empty one is that of a store before
            # its first vector, which then gets this encoder's.
            if self._opener is None or self._opened_for not in ((spec, model.fingerprint), (spec, "")):
                self._opener = _Opener(spec)
            self._opened_for = (spec, model.fingerprint)
            return self._opener

    def redraw_index(self) -> None:
        """Throw the saved index away, so that the next use draws it anew from the catalogue.

        Raises:
            IndexAway: it is kept elsewhere and does not answer.
        """
        with self._lock:
            self.settle()
            for old in self._saved():
                old.unlink(missing_ok=True)
            said = self.catalog.settings()
            if keeps_itself(_drawn_of(said).spec):
                with index_lock(self.folder):
                    index = self._view_of(_model_of(said), _drawn_of(said), saved_as=None).index
                    cast(KeepsItself, index).drop()
            if self._view is not None and keeps_itself(self._view.drawn.spec):
                self._view.index.close()
            self._view = None

    def _saved(self) -> list[Path]:
        return sorted(self.folder.glob("index-*.bin"))

    def _view_of(self, model: ModelEntry, drawn: Drawn, *, saved_as: Path | None) -> View:
        """A view of a model with the index saved at that path, or with an empty one that will be."""
        opener = self._opener_of(model)
        dim = model.dim or opener.encoder().dim
        if keeps_itself(drawn.spec):
            saved_as = self.folder / drawn.line.rstrip("-")  # one for all generations
        return View(model, open_index(drawn.spec, dim=dim, path=saved_as), drawn, self.folder, opener)

    def _load(self, model: ModelEntry, drawn: Drawn) -> View | None:
        """A view with the newest saved index that is not newer than the catalogue; None when there is none, or it is damaged."""
        generations = [int(path.stem.rpartition("-")[2]) for path in self._saved() if path.name.startswith(drawn.line)]
        for generation in sorted((found for found in generations if found <= drawn.generation), reverse=True):
            found = replace(drawn, generation=generation)
            with suppress(OSError, LapelError):
                view = self._view_of(model, found, saved_as=self.folder / found.name)
                self._unsaved = 0
                return view
        return None

    def _catch_up(self, view: View) -> View | None:
        """The view with what its index misses; None when its model is searched no more, or what it misses is no longer known."""
        news = self.catalog.news(view.drawn.generation)
        if news is None or _model_of(news.settings) != view.model:
            return None
        now = _drawn_of(news.settings)
        # An index of a later generation than the catalogue's is one of a catalogue that was put back since.
        if now.line != view.drawn.line or now.generation < view.drawn.generation:
            return None
        view.index.remove(news.gone)
        if len(news.keys):
            view.index.add(news.keys, news.vectors)
        self._unsaved += len(news.keys) + len(news.gone)
        return replace(view, drawn=now)

    def _shared(self, held: View | None, model: ModelEntry, drawn: Drawn) -> View:
        """A view of an index that keeps itself, brought to the catalogue's generation by whichever process comes first.

        Raises:
            IndexAway: it does not answer.
        """
        if held is not None and held.drawn == drawn:
            return held
        view = held or self._view_of(model, drawn, saved_as=None)
        try:
            if _noted(view.index) == drawn.generation:
                return replace(view, drawn=drawn)
            with index_lock(self.folder):
                known = _noted(view.index)  # another process may have been at it meanwhile
                now = None if known is None else self._catch_up(replace(view, drawn=replace(drawn, generation=known)))
                now = now or self._redraw(view)
                if keeps_itself(now.drawn.spec):
                    now.index.save()
                    cast(KeepsItself, now.index).note = str(now.drawn.generation)
        except BaseException:
            if held is None:
                view.index.close()
            raise
        if held is None and now.index is not view.index:
            view.index.close()
        return now

    def _redraw(self, held: View | None = None) -> View:
        """A view with an index of the catalogue's vectors and no others: a new one, or ``held`` one that keeps itself."""
        # The model and its vectors as of one moment: another process may change the model, and drop vectors, meanwhile.
        with self.catalog.searched() as (said, pieces):
            model, drawn = _model_of(said), _drawn_of(said)
            if held is not None and (held.model, held.drawn.line) == (model, drawn.line):
                view = replace(held, drawn=drawn)
            else:
                view = self._view_of(model, drawn, saved_as=None)
            everything = [np.empty(0, np.int64)]
            for keys, vectors in pieces:
                view.index.add(keys, vectors)
                everything.append(keys)
            if keeps_itself(drawn.spec):  # it is not emptied first, so that it can be searched meanwhile
                view.index.remove(np.setdiff1d(view.index.keys, np.concatenate(everything)))
        self._unsaved = len(view.index) + 1
        return view

    def _save_if_due(self, view: View) -> None:
        """Have the index saved in place of older ones when enough has changed, and this store may be written to.

        A thread does it: a large index takes seconds, and nobody who searches waits for them. What the index takes in meanwhile may be
        in the file or not; whoever loads it catches up from the generation in its name, which does no harm twice.
        """
        if self.catalog.read_only or (self._saving is not None and self._saving.is_alive()):
            return
        self._unsaved, self._unwritten = self._unsaved + self._unwritten, 0
        if self._unsaved > SAVED_AFTER * len(view.index):
            unsaved, self._unsaved = self._unsaved, 0
            self._saving = threading.Thread(target=self._save, args=(view, unsaved), name="lapel-index-saving")
            self._saving.start()

    def _save(self, view: View, unsaved: int) -> None:
        # A full disk, or a folder that may not be written to, costs the next process a redraw, not this one its answer.
        try:
            view.index.save(self.folder / view.drawn.name)
        except OSError:
            self._unwritten = unsaved  # tried again when the index is next asked for
            return
        for old in self._saved():
            if old.name != view.drawn.name:
                old.unlink(missing_ok=True)

    def settle(self) -> None:
        """Wait until what is being saved is."""
        if self._saving is not None:
            self._saving.join()

    def picture(self, key: int) -> Image.Image:
        """The picture of a photo key, read from where it was added from.

        Raises:
            QueryError: no such photo.
            SourceError, ImageError: its file is gone or broken.
        """
        entry = self.catalog.entries(np.array([key], np.int64)).get(key)
        if entry is None:
            raise QueryError(f"There is no photo {key} in the store {self.folder}.")
        return decode(read_uri(entry[1].uri))

    def limit_thumbnails(self, megabytes: int) -> None:
        """Let the small pictures of the photos take so many MB of the disk from now on; 0 keeps none."""
        self.catalog.set_setting(THUMBNAILS_MB, str(megabytes))
        self.thumbnails.most = megabytes * 10**6

    def remove(self, product_ids: list[str]) -> int:
        """Remove products, their photos and vectors; unknown ids are ignored. Returns how many were there."""
        removed: tuple[int, Keys] = self.catalog.remove(product_ids)
        return removed[0]

    def close(self) -> None:
        """Close the catalogue and the index, when it is saved. Closing twice is fine."""
        with self._lock:
            self.settle()
            if self._view is not None:
                self._view.index.close()
                self._view = None
        self.thumbnails.close()
        self.catalog.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _model_of(said: Mapping[str, str]) -> ModelEntry:
    """The model that is searched, by the catalogue's settings."""
    fingerprint = said.get("fingerprint", "")
    spec = healed(said.get("encoder", ""), fingerprint)
    return ModelEntry(fingerprint, said.get("model", ""), spec, int(said.get("dim", 0)))


def _drawn_of(said: Mapping[str, str]) -> Drawn:
    """What an index of the catalogue is of, by its settings."""
    spec = said.get("index", INDEX_SPEC)
    return Drawn(said.get("identity", "0"), said.get("fingerprint", ""), spec, int(said.get("generation", 0)))


def _noted(index: VectorIndex) -> int | None:
    """The generation that an index which keeps itself is complete for; None when it is not said."""
    note = cast(KeepsItself, index).note
    return int(note) if note.isdecimal() else None


def open_store(
    folder: str | Path, *, create: bool = False, encoder: str | None = None, read_only: bool = False
) -> Store:
    """Open a shop folder.

    Args:
        folder: Where ``catalog.sqlite`` is.
        create: Make an empty store when there is none.
        encoder: A spec for :func:`lapel.open_encoder`; by default the one the store was filled with.
        read_only: Never write, not even a redrawn index.

    Raises:
        StoreMissing, StoreBusy, StoreTooNew, StoreDamaged, ModelMismatch: see :mod:`lapel.core.errors`.
    """
    path = Path(folder)
    if not (path / CATALOGUE).exists():
        if not create:
            raise StoreMissing(f"There is no store in {path}. Fill one with: lapel add PICTURES --store {path}")
        path.mkdir(parents=True, exist_ok=True)
    catalog = Catalog.open(path / CATALOGUE, create=create, read_only=read_only)
    if not catalog.read_only:
        with suppress(StoreError):  # busy, or full: it is read as healed all the same
            catalog.heal_encoders(healed)
    return Store(path, catalog, encoder=encoder)


def open_to_look(folder: str | Path) -> Store:
    """Open a shop folder without meaning to write to it; a catalogue of an older version is brought to this one first.

    Raises:
        StoreMissing, StoreBusy, StoreTooNew, StoreDamaged, StoreReadOnly: see :mod:`lapel.core.errors`.
    """
    try:
        return open_store(folder, read_only=True)
    except StoreReadOnly:
        return open_store(folder)
