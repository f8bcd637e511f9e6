"""A shop on disk: catalogue + encoder + index that agree, or say clearly that they don't.

The catalogue is the truth. The index file beside it carries the catalogue's generation; when the two differ (another process
added products, a crash came before the save) the index is redrawn from the catalogue's vectors, which costs time, never data.
"""

from __future__ import annotations

import threading
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
INDEX = "index.bin"
INDEX_SPEC = "faiss:Flat"


class Store:
    """One shop folder. Open it with :func:`open_store`; safe to share between threads."""

    def __init__(self, folder: Path, catalog: Catalog, *, encoder: str | None = None) -> None:
        self.folder = folder
        self.catalog = catalog
        self._encoder_spec = encoder or catalog.setting("encoder") or "default"
        self._index: VectorIndex | None = None
        self._index_generation = ""
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
            generation = f"{self.catalog.setting('fingerprint')}:{self.catalog.generation}"
            if self._index is None or self._index_generation != generation:
                # The old one is let go of, not closed: another thread may be searching it.
                self._index = self._load(generation) or self._redraw(generation)
                self._index_generation = generation
            return self._index

    def redraw_index(self) -> None:
        """Throw the saved index away, so that the next use draws it anew from the catalogue."""
        with self._lock:
            (self.folder / f"{INDEX}.generation").unlink(missing_ok=True)
            self._index_generation = ""

    def _load(self, generation: str) -> VectorIndex | None:
        """The saved index, unless there is none, it is of another generation, or it is damaged: then it is redrawn anyway."""
        path, stamp = self.folder / INDEX, self.folder / f"{INDEX}.generation"
        try:
            if path.exists() and stamp.read_text(encoding="utf-8") == generation:
                return open_index(INDEX_SPEC, dim=self.dim, path=path)
        except (OSError, LapelError):
            pass
        return None

    def _redraw(self, generation: str) -> VectorIndex:
        """A new index from the catalogue's vectors, saved when this store may be written to."""
        path, stamp = self.folder / INDEX, self.folder / f"{INDEX}.generation"
        saved = not self.catalog.read_only
        if saved:
            try:
                # Gone before the new one is begun: without its stamp an index is redrawn, a wrong stamp would be believed.
                stamp.unlink(missing_ok=True)
                path.unlink(missing_ok=True)
            except OSError:  # the folder may not be written to, though the catalogue may: search from memory
                saved = False
        index = open_index(INDEX_SPEC, dim=self.dim, path=path if saved else None)
        for keys, vectors in self.catalog.vectors(self.catalog.setting("fingerprint") or ""):
            index.add(keys, vectors)
        if saved:
            try:
                index.save()
                stamp.write_text(generation, encoding="utf-8")
            except OSError:  # a full disk costs the next process a redraw, not this one its answer
                stamp.unlink(missing_ok=True)
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
