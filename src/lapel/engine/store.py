"""A shop on disk: catalogue + encoder + index that agree, or say clearly that they don't.

The catalogue is the truth. The index file beside it is named after the catalogue's generation; when there is none of that name
(another process added products, a crash came before the save) the index is redrawn from the catalogue's vectors, which costs time, never data.
"""

from __future__ import annotations

import threading
import uuid
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from lapel.catalog import Catalog
from lapel.core.errors import LapelError, ModelMismatch, QueryError, StoreMissing
from lapel.core.images import decode
from lapel.core.vectors import Keys
from lapel.encoders import Encoder, open_encoder
from lapel.indexes import VectorIndex, open_index
from lapel.sources import read_uri

CATALOGUE = "catalog.sqlite"
INDEX_SPEC = "faiss:Flat"


class Store:
    """One shop folder. Open it with :func:`open_store`; safe to share between threads."""

    def __init__(self, folder: Path, catalog: Catalog, *, encoder: str | None = None) -> None:
        self.folder = folder
        self.catalog = catalog
        self._encoder_spec = encoder or catalog.setting("encoder") or "default"
        self._index: VectorIndex | None = None
        self._drawn_as: Path | None = None
        self._lock = threading.Lock()

    @cached_property
    def encoder(self) -> Encoder:
        """The store's encoder.

        Raises:
            ModelMismatch: its fingerprint is not the one the stored vectors carry.
            ModelError: the model folder is gone or broken.
        """
        encoder = open_encoder(self._encoder_spec)
        known = self.catalog.setting("fingerprint")
        if known and known != encoder.fingerprint:
            raise ModelMismatch(
                f"The store {self.folder} was filled with the model '{self.catalog.setting('model')}' (fingerprint {known});"
                f" '{self._encoder_spec}' is '{encoder.name}' ({encoder.fingerprint}), whose vectors cannot be compared with those."
                " Open it with its own model, or add the products to a new store."
            )
        return encoder

    def claim(self) -> None:
        """Write down which encoder fills this store, before its first vector."""
        encoder = self.encoder
        if not self.catalog.setting("fingerprint"):
            spec = self._encoder_spec
            # A model folder is kept by its absolute path; names such as default and colour: mean the same everywhere.
            spec = str(Path(spec).resolve()) if Path(spec).is_dir() else spec
            for name, value in (
                ("identity", uuid.uuid4().hex[:8]),  # a catalogue made anew in this folder is another one
                ("encoder", spec),
                ("model", encoder.name),
                ("fingerprint", encoder.fingerprint),
                ("dim", str(encoder.dim)),
            ):
                self.catalog.set_setting(name, value)

    @property
    def index(self) -> VectorIndex:
        """The index of the catalogue as it is now: loaded when a saved one fits, else redrawn (0.3 s for 40,000)."""
        with self._lock:
            path = self._index_path()
            if self._index is None or self._drawn_as != path:
                # The old one is let go of, not closed: another thread may be searching it.
                self._index = self._load(path) or self._redraw(path)
                self._drawn_as = path
            return self._index

    def _index_path(self) -> Path:
        """The file of an index of the catalogue as it is now.

        Its name says which catalogue and which generation, so a file is never taken for another one's, whichever process wrote
        it last: name and content arrive together.
        """
        identity, generation = self.catalog.setting("identity") or "0", self.catalog.generation
        return self.folder / f"index-{identity}-{generation}.bin"

    def redraw_index(self) -> None:
        """Throw the saved index away, so that the next use draws it anew from the catalogue."""
        with self._lock:
            self._index_path().unlink(missing_ok=True)
            self._index = None

    def _load(self, path: Path) -> VectorIndex | None:
        """The saved index; None when there is none of this generation, or it is damaged and has to be redrawn anyway."""
        try:
            return open_index(INDEX_SPEC, dim=self.dim, path=path) if path.exists() else None
        except (OSError, LapelError):
            return None

    def _redraw(self, path: Path) -> VectorIndex:
        """A new index from the catalogue's vectors, saved in place of older ones when this store may be written to."""
        saved = not self.catalog.read_only
        if saved:
            try:
                for old in self.folder.glob("index-*.bin"):
                    old.unlink(missing_ok=True)
            except OSError:  # the folder may not be written to, though the catalogue may: search from memory
                saved = False
        index = open_index(INDEX_SPEC, dim=self.dim, path=path if saved else None)
        for keys, vectors in self.catalog.vectors(self.catalog.setting("fingerprint") or ""):
            index.add(keys, vectors)
        if saved:
            # A full disk costs the next process a redraw, not this one its answer.
            with suppress(OSError):
                index.save()
        return index

    @property
    def dim(self) -> int:
        """Width of the stored vectors."""
        return int(self.catalog.setting("dim") or self.encoder.dim)

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

    def remove(self, product_ids: list[str]) -> int:
        """Remove products, their photos and vectors; unknown ids are ignored. Returns how many were there."""
        removed: tuple[int, Keys] = self.catalog.remove(product_ids)
        return removed[0]

    def close(self) -> None:
        """Close the catalogue and the index. Closing twice is fine."""
        with self._lock:
            if self._index is not None:
                self._index.close()
                self._index = None
        self.catalog.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


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
    return Store(path, Catalog.open(path / CATALOGUE, create=create, read_only=read_only), encoder=encoder)
