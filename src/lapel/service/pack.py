"""The shop for a phone: ``store.pack``. The networks that encode a picture there, and the catalogue in pieces.

Photos are cut into buckets by their key, which never changes, so a change touches the pieces of its bucket only and a
phone downloads these alone. A piece is named by the SHA-256 of what it is made from, and made when it is asked for.

- *vectors*: of n photos, n rows of ``dim`` signed bytes and then n little-endian float32: a row times its number,
  divided by 127, is the photo's unit vector to within half a step.
- *products*: JSON, gzip: ``columns`` by name, each with a value for each of the same n photos in the same order.
- *thumbnails*: of a run of photos, one little-endian uint32 for each, its length, and then their WebP bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lapel.catalog.entries import price_of
from lapel.core.errors import QueryError
from lapel.core.types import Photo, Product
from lapel.core.vectors import Vectors
from lapel.encoders.model import ModelFolder
from lapel.encoders.segmenter import open_segmenter
from lapel.engine.context import StoreContext
from lapel.service.keys import Access

FORMAT = 1
BUCKET = 2048  # photo keys of one piece: 270 kB of vectors
THUMBNAILS_BUCKET = 256  # photo keys of one piece of thumbnails
THUMBNAIL_SIZE = (60, 80)  # pixels at most
THUMBNAIL_QUALITY = 45  # about 900 bytes each
STEPS = 127  # of a signed byte
MAX_MANIFESTS = 8  # by what somebody may see; the thumbnails' recipes of 40,000 photos take 3 MB
FOLDER = "packs"
MAX_FOLDER_MB = 512
COLUMNS = ("title", "category", "gender", "brand", "colour", "season", "price", "currency", "in_stock", "url")
MAX_NETWORK_MB = 64  # what a phone is asked to load


@dataclass(frozen=True)
class _Pack:
    """A manifest, what makes its pieces, and which of them are packed."""

    manifest: dict[str, Any]
    makers: dict[str, Callable[[], bytes]] = field(repr=False)
    packed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PackPiece:
    """A piece's bytes, and whether they are packed by gzip."""

    data: bytes
    packed: bool = False


class PackService:
    """What phones download. Safe to share between threads.

    >>> manifest = lapel.open_store("shop").pack.manifest()  # doctest: +SKIP
    """

    def __init__(self, context: StoreContext) -> None:
        self._context = context
        self._packs: OrderedDict[tuple[Any, ...], _Pack] = OrderedDict()
        self._lock = threading.Lock()

    def device(self) -> dict[str, Any]:
        """The networks that make a picture's vector, each with its SHA-256, its size in bytes and how pictures become
        its input.

        Raises:
            QueryError: the shop's model has no network that a phone can run.
        """
        model, cutter = self._model(), open_segmenter().model
        return {"model": _network(model), "segmenter": _network(cutter)}

    def manifest(self, access: Access = Access()) -> dict[str, Any]:  # noqa: B008 - frozen
        """What the catalogue's pieces are now, for somebody who may see what ``access`` says."""
        return self._pack(access).manifest

    def piece(self, sha256: str, access: Access = Access()) -> PackPiece:  # noqa: B008
        """A piece of a manifest, or a network of :meth:`device`.

        Raises:
            QueryError: there is none of this name now.
        """
        model = getattr(self._context.encoder, "model", None)
        for each in (model, open_segmenter().model):
            if isinstance(each, ModelFolder) and each.sha256 == sha256:
                return PackPiece(each.network_bytes())
        kept = self._context.folder / FOLDER / sha256
        pack = self._pack(access)
        maker = pack.makers.get(sha256)
        if maker is None:
            raise QueryError(f"There is no piece '{sha256[:12]}' any more. Ask for the manifest again.")
        try:
            data = kept.read_bytes()
        except OSError:
            try:
                data = maker()
            except OSError as error:  # put aside, and deleted since
                with self._lock:
                    self._packs.clear()
                raise QueryError(f"The piece '{sha256[:12]}' is gone. Ask for the manifest again.") from error
            self._keep(kept, data)
        return PackPiece(data, packed=sha256 in pack.packed)

    def _model(self) -> ModelFolder:
        model = getattr(self._context.encoder, "model", None)
        if not isinstance(model, ModelFolder):
            raise QueryError(f"The shop's model '{self._context.encoder.name}' is no network that a phone can run.")
        return model

    def _keep(self, path: Path, data: bytes) -> None:
        """Write a piece beside the catalogue, where it may be deleted at any time; the oldest go first."""
        if self._context.catalog.read_only:
            return
        try:
            path.parent.mkdir(exist_ok=True)
            part = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.part")
            part.write_bytes(data)
            part.replace(path)
            there = sorted((each.stat().st_mtime, each.stat().st_size, each) for each in path.parent.iterdir())
            over = sum(size for _, size, _ in there) - MAX_FOLDER_MB * 10**6
            for _, size, each in there:
                if over <= 0:
                    break
                each.unlink(missing_ok=True)
                over -= size
        except OSError:  # a full disk, or another process was quicker: it is made again
            return

    def _pack(self, access: Access) -> _Pack:
        model = self._context.model
        asked = (self._context.catalog.generation, model.fingerprint, str(access.where), access.fields)
        with self._lock:
            found = self._packs.get(asked)
            if found is None:
                found = self._packs[asked] = self._made(access)
                while len(self._packs) > MAX_MANIFESTS:
                    self._packs.popitem(last=False)
            self._packs.move_to_end(asked)
            return found

    def _made(self, access: Access) -> _Pack:
        catalog, model = self._context.catalog, self._context.model
        allowed = set(catalog.matching_keys(access.where).tolist())
        pieces: list[dict[str, Any]] = []
        makers: dict[str, Callable[[], bytes]] = {}
        rows: dict[int, list[tuple[int, Any]]] = {}
        for keys, vectors in catalog.vectors(model.fingerprint):
            for at, key in enumerate(keys.tolist()):
                if key in allowed:
                    rows.setdefault(key // BUCKET, []).append((key, vectors[at]))
        photos = 0
        for bucket in sorted(rows):
            own = [key for key, _ in rows[bucket]]
            entries = catalog.entries(own)
            own = [key for key in own if key in entries]
            if not own:
                continue
            of_key = dict(rows[bucket])
            data = _vectors_piece(np.stack([of_key[key] for key in own]))
            told = _products_piece([entries[key] for key in own], access)
            piece: dict[str, Any] = {"bucket": bucket, "photos": len(own)}
            for name, made in (("vectors", data), ("products", told)):
                sha256 = hashlib.sha256(made).hexdigest()
                piece[name] = {"sha256": sha256, "bytes": len(made)}
                makers[sha256] = _constant(made, self._context.folder / FOLDER / sha256, self._keep)
            piece["thumbnails"] = self._thumbnails([entries[key][1] for key in own], makers)
            pieces.append(piece)
            photos += len(own)
        manifest = {
            "format": FORMAT,
            "model": model.fingerprint,
            "dim": model.dim,
            "photos": photos,
            "bytes": sum(piece[name]["bytes"] for piece in pieces for name in ("vectors", "products")),
            "pieces": pieces,
        }
        packed = frozenset(piece["products"]["sha256"] for piece in pieces)
        return _Pack(manifest, makers, packed)

    def _thumbnails(self, photos: list[Photo], makers: dict[str, Callable[[], bytes]]) -> list[dict[str, Any]]:
        """The pieces of a bucket's thumbnails, named by the photos they show; made when somebody asks."""
        told: list[dict[str, Any]] = []
        runs: dict[int, list[tuple[int, str]]] = {}
        for at, photo in enumerate(photos):
            runs.setdefault(photo.key // THUMBNAILS_BUCKET, []).append((at, photo.sha256))
        there = self._context.thumbnails.has([photo.sha256 for photo in photos])
        for run in runs.values():
            hashes = [sha256 for _, sha256 in run]
            recipe = json.dumps([FORMAT, THUMBNAIL_SIZE, THUMBNAIL_QUALITY, [[h, h in there] for h in hashes]])
            name = hashlib.sha256(recipe.encode()).hexdigest()
            told.append({"sha256": name, "from": run[0][0], "photos": len(run)})
            makers[name] = lambda hashes=hashes: self._thumbnails_piece(hashes)  # type: ignore[misc]
        return told

    def _thumbnails_piece(self, hashes: list[str]) -> bytes:
        found = self._context.thumbnails.get(hashes, THUMBNAIL_SIZE[0])
        made = [_tiny(found.get(sha256)) for sha256 in hashes]
        return np.array([len(each) for each in made], "<u4").tobytes() + b"".join(made)


def _network(model: ModelFolder) -> dict[str, Any]:
    size = (model.path / model.network).stat().st_size
    if size > MAX_NETWORK_MB * 2**20:
        raise QueryError(
            f"The network of '{model.name}' has {size / 2**20:.0f} MB; phones are asked to load {MAX_NETWORK_MB} MB at"
            " most. Use the model 'small'."
        )
    told = {"name": model.name, "sha256": model.sha256, "bytes": size, "preprocessing": model.preprocessing.to_json()}
    return {**told, "fingerprint": model.fingerprint, "dim": model.dim}


def _constant(data: bytes, path: Path, keep: Callable[[Path, bytes], None]) -> Callable[[], bytes]:
    """What makes a piece that was made for its hash already: it is put aside, so that memory does not hold it."""
    keep(path, data)
    if path.is_file():
        return lambda: path.read_bytes()
    return lambda: data


def quantised(vectors: Vectors) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """(n, dim) float32 unit rows -> (n, dim) int8 and (n,) float32: a row times its number is 127 times the vector."""
    largest = np.maximum(np.abs(vectors).max(axis=1), 1e-9).astype(np.float32)
    return np.rint(vectors * (STEPS / largest)[:, None]).astype(np.int8), largest


def _vectors_piece(vectors: Vectors) -> bytes:
    rows, scales = quantised(vectors)
    return rows.tobytes() + scales.astype("<f4").tobytes()


def _products_piece(entries: list[tuple[Product, Photo]], access: Access) -> bytes:
    columns: dict[str, list[Any]] = {
        "key": [photo.key for _, photo in entries],
        "sha256": [photo.sha256 for _, photo in entries],
        "id": [product.id for product, _ in entries],
    }
    for name in COLUMNS:
        if access.shows("price" if name == "currency" else name):
            columns[name] = [_value(product, name) for product, _ in entries]
    text = json.dumps({"columns": columns}, ensure_ascii=False, separators=(",", ":"))
    return gzip.compress(text.encode(), 6, mtime=0)


def _value(product: Product, name: str) -> Any:
    if name == "price":
        return price_of(product)
    value = getattr(product, name)
    return list(value) if isinstance(value, tuple) else value


def _tiny(data: bytes | None) -> bytes:
    """A stored thumbnail, smaller; empty where there is none or it is broken."""
    if not data:
        return b""
    try:
        with Image.open(io.BytesIO(data)) as image:
            small = image.convert("RGB")
            small.thumbnail(THUMBNAIL_SIZE, Image.Resampling.BICUBIC)
            stream = io.BytesIO()
            small.save(stream, "WEBP", quality=THUMBNAIL_QUALITY, method=2)
            return stream.getvalue()
    except (OSError, ValueError):
        return b""
