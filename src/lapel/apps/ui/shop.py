"""What the page knows of the shop: the store opened once, its facets, and small pictures of its photos.

Everything slow is kept, by the catalogue's generation or by content, so a change in the store shows at the next click.
"""

from __future__ import annotations

import io
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock

import numpy as np
import streamlit as st
from PIL import Image, ImageOps

from lapel.apps.ui.facets import APART, FACET_VALUES, FIELDS, MOST_VALUES, choose
from lapel.catalog.catalog import Catalog
from lapel.core.errors import LapelError, SourceError
from lapel.core.images import decode
from lapel.core.types import Filter, Photo, Product
from lapel.engine.context import CATALOGUE, StoreContext, open_to_look
from lapel.engine.retrieval import SearchEngine
from lapel.sources import read_uri

THUMB_SIZE = (450, 600)  # pixels: a card is up to 225 points wide, on a screen of two pixels a point
THUMB_QUALITY = 85  # about 30 kB each
THUMBS_KEPT = 2_000  # so 60 MB
LOCAL = ("file:", "zip:")  # pictures on this machine
EVEN = 14  # mean difference, in 0..255, up to which an edge is one colour: paper with a shadow on it has 2 to 8
NEUTRAL = (241, 238, 233)  # the page's second ground
MISSING_SECONDS = 60.0  # how long a picture that could not be read is not asked for again
READERS = 8  # pictures read at once: links wait for their server, not for this machine
ATTRIBUTES = 40  # columns of the shop's own that are looked at, those with the fewest values first


@dataclass(frozen=True)
class Shop:
    """What can be filtered and how much there is.

    Attributes:
        products: How many products there are.
        vectors: How many photos can be searched.
        values: By field the values its products have, the most frequent first; a field that filters nothing is left
            out.
        first: The fields with several values to choose from, the useful ones first.
        more: Those of "More filters".
        prices: By currency the lowest and the highest price, the commonest currency first.
    """

    products: int
    vectors: int
    values: dict[str, tuple[str, ...]]
    first: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    prices: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field with several values to choose from."""
        return self.first + self.more


def open_engine(folder: Path) -> SearchEngine:
    """The engine of a shop folder: opened once, and again when the folder was made anew.

    Raises:
        LapelError: there is no store, or it cannot be used.
    """
    try:
        identity = (folder / CATALOGUE).stat().st_ino
    except OSError:
        identity = 0
    return _open_engine(str(folder), identity)


@st.cache_resource(max_entries=4, show_spinner=False)
def _open_engine(folder: str, identity: int) -> SearchEngine:
    del identity  # only part of the cache's key
    store = open_to_look(folder)
    if store.catalog.setting("fingerprint"):
        _ = store.encoder  # a store of another model is refused here, not at the first search
    return SearchEngine(store)


def look_at(engine: SearchEngine) -> Shop:
    """What the shop holds now."""
    return _look_at(engine, str(engine.store.catalog.path), engine.store.catalog.generation)


@st.cache_data(max_entries=8, show_spinner=False)
def _look_at(_engine: SearchEngine, path: str, generation: int) -> Shop:
    del path, generation  # only part of the cache's key
    catalog = _engine.store.catalog
    counts = catalog.counts()
    products = counts.products
    counted = {name: catalog.facet_values(name, limit=FACET_VALUES) for name in _candidates(catalog)}
    first, more = choose(counted, products)
    values = {
        name: tuple(value for value, _ in found)
        for name, found in counted.items()
        if name in first + more or (name in ("category", "in_stock") and any(count < products for _, count in found))
    }
    return Shop(
        products=products,
        vectors=counts.vectors.get(catalog.setting("fingerprint") or "", 0),
        values=values,
        first=first,
        more=more,
        prices=catalog.price_ranges(),
    )


def _candidates(catalog: Catalog) -> list[str]:
    """The fields that may be filters; what has far too many values is known without reading them."""
    known = ("category", "in_stock", *FIELDS)
    many = catalog.value_counts(MOST_VALUES + 1)
    own = sorted(
        (name for name in many if name not in known + APART and many[name] <= MOST_VALUES), key=many.__getitem__
    )
    return [*(name for name in known if many.get(name)), *own[:ATTRIBUTES]]


def facet_counts(engine: SearchEngine, name: str, where: Filter) -> dict[str, int]:
    """How many products that fulfil ``where`` have each value of a field."""
    catalog = engine.store.catalog
    return _facet_counts(engine, str(catalog.path), catalog.generation, name, where)


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs={Filter: str})
def _facet_counts(_engine: SearchEngine, path: str, generation: int, name: str, where: Filter) -> dict[str, int]:
    del path, generation
    return dict(_engine.store.catalog.facet_values(name, where=where, limit=FACET_VALUES))


def passing(engine: SearchEngine, where: Filter) -> int:
    """How many products fulfil ``where``."""
    catalog = engine.store.catalog
    return _passing(engine, str(catalog.path), catalog.generation, where)


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs={Filter: str})
def _passing(_engine: SearchEngine, path: str, generation: int, where: Filter) -> int:
    del path, generation
    return _engine.store.catalog.count(where)


def browse(engine: SearchEngine, words: str, where: Filter, limit: int) -> tuple[list[Product], int]:
    """Products whose title, brand, colour or id hold every word, and how many there are."""
    catalog = engine.store.catalog
    if not words.strip():
        return catalog.products(where, limit=limit), catalog.count(where)
    found = _matching(engine, str(catalog.path), catalog.generation, tuple(words.casefold().split()), where)
    return [catalog.product(product_id) for product_id in found[:limit]], len(found)


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs={Filter: str})
def _matching(_engine: SearchEngine, path: str, generation: int, words: tuple[str, ...], where: Filter) -> list[str]:
    del path, generation
    catalog = _engine.store.catalog
    found = []
    for product in catalog.products(where, limit=catalog.counts().products):
        text = f"{product.id} {product.title} {product.brand} {product.colour} {' '.join(product.category)}".casefold()
        if all(word in text for word in words):
            found.append(product.id)
    return found


class Thumbs:
    """Small JPEGs of photos by the hash of their content, the last used ones kept. Safe to share between threads.

    Args:
        read: From a photo to the bytes of a picture of it.
    """

    def __init__(self, read: Callable[[Photo], bytes]) -> None:
        self._read = read
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._missing: dict[str, float] = {}
        self._lock = Lock()

    def of(self, photos: Sequence[Photo]) -> list[bytes | None]:
        """A small JPEG for each photo; None for those that cannot be read now."""
        if len(photos) <= 1:
            return [self._one(photo) for photo in photos]
        with ThreadPoolExecutor(READERS) as pool:
            return list(pool.map(self._one, photos))

    def _one(self, photo: Photo) -> bytes | None:
        with self._lock:
            if photo.sha256 in self._kept:
                self._kept.move_to_end(photo.sha256)
                return self._kept[photo.sha256]
            if time.monotonic() < self._missing.get(photo.uri, 0.0):
                return None
        try:
            small = thumb(decode(self._read(photo)))
        except (LapelError, OSError):
            with self._lock:
                self._missing[photo.uri] = time.monotonic() + MISSING_SECONDS
            return None
        with self._lock:
            self._missing.pop(photo.uri, None)
            self._kept[photo.sha256] = small
            while len(self._kept) > THUMBS_KEPT:
                self._kept.popitem(last=False)
        return small


def read_small(store: StoreContext, photo: Photo) -> bytes:
    """The store's own thumbnail of a photo; where there is none, the photo itself, if it is on this machine.

    Raises:
        SourceError: there is neither. Nobody waits for a picture to come from elsewhere: browsers get those by their
            links.
    """
    own = store.thumbnails.get([photo.sha256], THUMB_SIZE[0]).get(photo.sha256)
    if own is None and not photo.uri.startswith(LOCAL):
        raise SourceError(f"The store has no thumbnail of {photo.uri}. Make it with: lapel hosting thumbnails")
    return own or read_uri(photo.uri)


def thumbs(engine: SearchEngine) -> Thumbs:
    """The server's one keeper of a shop's small pictures."""
    return _thumbs(engine, str(engine.store.catalog.path))


@st.cache_resource(max_entries=4, show_spinner=False)
def _thumbs(_engine: SearchEngine, path: str) -> Thumbs:
    del path  # only part of the cache's key
    return Thumbs(partial(read_small, _engine.store))


def thumb(picture: Image.Image) -> bytes:
    """An RGB picture of any size as a JPEG of 450 x 600 pixels, on a ground that goes on where the picture ends."""
    small = ImageOps.contain(picture, THUMB_SIZE, Image.Resampling.LANCZOS)
    tile = Image.new("RGB", THUMB_SIZE, ground(small))
    tile.paste(small, ((tile.width - small.width) // 2, (tile.height - small.height) // 2))
    stream = io.BytesIO()
    tile.save(stream, "JPEG", quality=THUMB_QUALITY)
    return stream.getvalue()


def ground(picture: Image.Image) -> tuple[int, int, int]:
    """The colour around a picture: that of its edge where this is even, as on shop photos, else a neutral one."""
    pixels = np.asarray(picture, np.int16)  # (height, width, 3); signed, as differences are taken
    edge = np.concatenate(
        [
            pixels[:2].reshape(-1, 3),
            pixels[-2:].reshape(-1, 3),
            pixels[:, :2].reshape(-1, 3),
            pixels[:, -2:].reshape(-1, 3),
        ]
    )
    middle = np.median(edge, axis=0)
    if float(np.abs(edge - middle).mean()) > EVEN:
        return NEUTRAL
    red, green, blue = (int(value) for value in middle)
    return red, green, blue
