"""What all use cases of one store share: its folder, catalogue, thumbnails, encoder, and the index that follows the
catalogue.

``open_context(folder)`` opens it; :mod:`lapel.service` is what programs call.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from lapel.catalog import Catalog, ModelEntry
from lapel.catalog.events import EventLog
from lapel.catalog.thumbnails import DEFAULT_MB, Thumbnails
from lapel.core.errors import QueryError, StoreError, StoreNotFoundError, StoreReadOnlyError
from lapel.core.images import decode
from lapel.core.text import reason_of
from lapel.encoders import Encoder, absolute_spec, open_encoder, repaired_model
from lapel.engine.encoder_cache import EncoderCache
from lapel.engine.index_storage import SearchSnapshot
from lapel.engine.index_sync import IndexSync, model_of, version_of
from lapel.indexes import VectorIndex, open_index
from lapel.sources import read_uri

CATALOGUE = "catalog.sqlite"
EVENTS = "events.sqlite"
THUMBNAILS = "thumbnails.sqlite"
THUMBNAILS_MB = "thumbnails_mb"  # the setting with what they may take


class StoreContext:
    """One store, opened. Safe to share between threads.

    Attributes:
        folder: Where it is.
        catalog: Its catalogue, the truth.
        events: What people did with its products, and what they were shown.
        thumbnails: Its small images.
        index_sync: What keeps its index equal to the catalogue's vectors.
    """

    def __init__(self, folder: Path, catalog: Catalog, *, encoder: str | None = None) -> None:
        self.folder = folder
        self.catalog = catalog
        self.events = EventLog(folder / EVENTS, read_only=catalog.read_only)
        self.thumbnails = Thumbnails(folder / THUMBNAILS, read_only=catalog.read_only)
        self.thumbnails.max_bytes = int(catalog.setting(THUMBNAILS_MB) or DEFAULT_MB) * 10**6
        self._encoders = EncoderCache(folder, wanted=encoder)
        self.index_sync = IndexSync(folder, catalog, self._encoders)

    @property
    def model(self) -> ModelEntry:
        """The model whose vectors are searched now; without a fingerprint while the store has none yet."""
        return model_of(self.catalog.settings())

    @property
    def encoder(self) -> Encoder:
        """The store's encoder now. Who also searches takes it from :meth:`current`.

        Raises:
            ModelMismatchError: its fingerprint is not the one the stored vectors carry.
            ModelError: the model folder is gone or broken.
        """
        model = self.model
        return self._encoders.of(model).get_for(model)

    @property
    def encoder_spec(self) -> str:
        """What opens the store's encoder, here and on other machines: see :func:`lapel.open_encoder`."""
        return absolute_spec(self._encoders.of(self.model).spec)

    def claim(self) -> None:
        """Write down which encoder fills this store, before its first vector."""
        model, encoder = self.model, self.encoder
        if not model.fingerprint:
            mine = ModelEntry(
                encoder.fingerprint, encoder.name, absolute_spec(self._encoders.of(model).spec), encoder.dim
            )
            # A catalogue made anew in this folder is another one.
            self.catalog.claim(mine, identity=uuid.uuid4().hex[:8])

    def current(self) -> SearchSnapshot:
        """The model and its index as they are now, see :meth:`IndexSync.current`."""
        return self.index_sync.current()

    @property
    def index(self) -> VectorIndex:
        """The index of the catalogue as it is now."""
        return self.current().index

    @property
    def index_spec(self) -> str:
        """Which kind of index the store is searched with, see :func:`lapel.open_index`."""
        return version_of(self.catalog.settings()).spec

    def use_index(self, spec: str) -> None:
        """Search with another kind of index from now on, in every process; it is built when it is next needed.

        Raises:
            InputError: there is no such kind; nothing was changed.
        """
        open_index(spec, dim=self.model.dim or 128).close()
        self.catalog.set_setting("index", spec)

    def image(self, key: int) -> Image.Image:
        """The image of a photo key, read from where it was added from.

        Raises:
            QueryError: no such photo.
            SourceError, ImageError: its file is gone or broken.
        """
        entry = self.catalog.entries(np.array([key], np.int64)).get(key)
        if entry is None:
            raise QueryError(f"There is no photo {key} in the store {self.folder}.")
        return decode(read_uri(entry[1].uri))

    def limit_thumbnails(self, megabytes: int) -> None:
        """Let the small images of the photos take so many MB of the disk from now on; 0 keeps none."""
        self.catalog.set_setting(THUMBNAILS_MB, str(megabytes))
        self.thumbnails.max_bytes = megabytes * 10**6

    def close(self) -> None:
        """Close the catalogue and the index, when it is saved. Closing twice is fine."""
        self.index_sync.close()
        self.thumbnails.close()
        self.events.close()
        self.catalog.close()

    def __enter__(self) -> StoreContext:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def open_context(
    folder: str | Path, *, create: bool = False, encoder: str | None = None, read_only: bool = False
) -> StoreContext:
    """Open a store.

    Args:
        folder: Where ``catalog.sqlite`` is.
        create: Make an empty store when there is none.
        encoder: A spec for :func:`lapel.open_encoder`; by default the one the store was filled with.
        read_only: Never write, not even a rebuilt index.

    Raises:
        StoreNotFoundError, StoreBusyError, StoreTooNewError, StoreDamagedError, ModelMismatchError: see
        :mod:`lapel.core.errors`.
    """
    path = Path(folder)
    if not (path / CATALOGUE).exists():
        if not create:
            raise StoreNotFoundError(
                f"There is no store in {path}. Fill one with: lapel add PICTURES --store {path}", store=str(path)
            )
        if encoder is not None:
            open_encoder(encoder)  # what is misspelt leaves no empty store
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"No store can be made at {path}: {reason_of(error)}. Choose a folder, or a name that is free.",
                store=str(path),
            ) from error
    catalog = Catalog.open(path / CATALOGUE, create=create, read_only=read_only)
    if not catalog.read_only:
        with suppress(StoreError):  # busy, or full: it is read as healed all the same
            catalog.repair_models(repaired_model)
    return StoreContext(path, catalog, encoder=encoder)


def open_to_look(folder: str | Path) -> StoreContext:
    """Open a store without meaning to write to it; a catalogue of an older version is brought to this one first.

    Raises:
        StoreNotFoundError, StoreBusyError, StoreTooNewError, StoreDamagedError, StoreReadOnlyError: see
        :mod:`lapel.core.errors`.
    """
    try:
        return open_context(folder, read_only=True)
    except StoreReadOnlyError:
        return open_context(folder)
