"""What goes into the catalogue and comes out of it, as values, and how a product becomes a row and its facets."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.core.types import MINOR_UNITS, NO_LINKS, Links, Photo, Product
from lapel.core.vectors import Keys, Vectors

# Longer texts, such as descriptions, are kept whole in the product but stand in the facets shortened and with their
# hash.
LONGEST_TERM = 120  # characters
NUMBER = re.compile(r"[+-]?[0-9]{1,300}(\.[0-9]{1,300})?")  # 300 digits still fit a double

_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
PRODUCT_COLUMNS = "id, title, category, gender, brand, colour, season, price_minor, currency, in_stock, attributes, url"
QUALIFIED_PRODUCT_COLUMNS = ", ".join(f"product.{name}" for name in PRODUCT_COLUMNS.split(", "))
#: Every photo with its product's id, for :func:`to_photo`.
PHOTOS = (
    "SELECT photo.key, product.id, uri, sha256, full_link, thumbnail_link"
    " FROM photo JOIN product ON product.row = product_row"
)


@dataclass(frozen=True)
class PhotoEntry:
    """One picture to be kept.

    Attributes:
        uri: Where its bytes are.
        version_token: What the source says of this version of the bytes without reading them, such as size and time.
        sha256: Hash of the bytes, hex.
        vector: (dim,) float32 of length 1; None keeps the stored one, which needs the same uri and bytes.
        links: Where a browser gets it.
        features: What else was derived from the bytes, by name and version; others that are stored stay.
    """

    uri: str
    version_token: str
    sha256: str
    vector: NDArray[np.float32] | None = None
    links: Links = NO_LINKS
    features: Mapping[tuple[str, str], bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """One product to be kept, with all its photos in order, best first; stored photos that are not among them are
    removed."""

    product: Product
    photos: tuple[PhotoEntry, ...]


@dataclass(frozen=True)
class StoredPhoto:
    """What the catalogue knows of a photo, as far as it decides whether work is needed.

    Attributes:
        key: Its key.
        version_token: What the source said of this version of the bytes when they were read.
        sha256: Hash of its bytes, hex.
        has_vector: Whether it has a vector of the model that was asked for.
        links: Where a browser gets it.
    """

    key: int
    version_token: str
    sha256: str
    has_vector: bool
    links: Links = NO_LINKS


@dataclass(frozen=True)
class StoredProduct:
    """What the catalogue knows of a product, as far as it decides whether work is needed.

    Attributes:
        content_hash: :func:`content_hash` of the product.
        photos: Its photos by uri, in their order.
    """

    content_hash: str
    photos: Mapping[str, StoredPhoto]


@dataclass(frozen=True)
class Change:
    """What a writing transaction did to the vectors.

    Attributes:
        added: (n,) keys whose vectors are new.
        removed: (m,) keys that are gone for ever.
    """

    added: Keys
    removed: Keys


@dataclass(frozen=True)
class IndexDelta:
    """What an index of an earlier generation misses.

    Attributes:
        settings: The catalogue's, as of the same moment.
        keys: (n,) keys whose vectors are new or others than before.
        vectors: (n, dim) float32: those vectors.
        removed: (m,) keys that have no vector any more.
    """

    settings: Mapping[str, str]
    keys: Keys
    vectors: Vectors
    removed: Keys


@dataclass(frozen=True)
class Counts:
    """How much there is.

    Attributes:
        products: Products that are shown.
        photos: Photos.
        vectors: Vectors by the fingerprint of their model.
        delisted: Products beside those that are counted, which their feed no longer names.
        unreachable: Products beside those that are counted, none of whose photos could be reached for long.
        hidden: Photos among those that are counted which no search finds.
    """

    products: int
    photos: int
    vectors: Mapping[str, int]
    delisted: int = 0
    unreachable: int = 0
    hidden: int = 0


@dataclass(frozen=True)
class ModelEntry:
    """A model whose vectors are kept.

    Attributes:
        fingerprint: Hash of its weights and preprocessing; what tells models apart.
        name: What people call it.
        encoder: What opens it again, see :func:`lapel.open_encoder`.
        dim: Width of its vectors.
    """

    fingerprint: str
    name: str
    encoder: str
    dim: int


@dataclass(frozen=True)
class PhotoFacets:
    """Every photo with some fields of its product, as columns of length n, by rising key.

    Attributes:
        keys: (n,) int64 photo keys.
        rows: (n,) int64 product numbers; photos of one product share one.
        product_ids: (n,) the products' ids.
        values: For each field (n,) texts; empty when unknown. A category is its whole path, ``Apparel > Topwear >
            Tshirts``.
    """

    keys: Keys
    rows: NDArray[np.int64]
    product_ids: list[str]
    values: Mapping[str, list[str]]


def to_row(product: Product) -> tuple[Any, ...]:
    """A product as the columns of :data:`PRODUCT_COLUMNS`."""
    in_stock = None if product.in_stock is None else int(product.in_stock)
    return (
        product.id,
        product.title,
        _category_json(product.category),
        product.gender,
        product.brand,
        product.colour,
        product.season,
        product.price_minor,
        product.currency,
        in_stock,
        attributes_json(product.attributes),
        product.url,
    )


def attributes_json(attributes: Mapping[str, str]) -> str:
    """Attributes as they are kept: sorted, so that two tables that order their columns differently give equal
    content."""
    return _COMPACT.encode(dict(sorted(attributes.items())))


_decoded = json.JSONDecoder().decode
_path = lru_cache(maxsize=4096)(lambda text: tuple(_decoded(text)))  # many products have one category


@lru_cache(maxsize=4096)
def _category_json(path: tuple[str, ...]) -> str:
    return json.dumps(path, ensure_ascii=False)


def from_row(row: tuple[Any, ...]) -> Product:
    """The product of the columns of :data:`PRODUCT_COLUMNS`."""
    identifier, title, category, gender, brand, colour, season, price_minor, currency, in_stock, attributes, url = row
    return Product(
        id=identifier,
        title=title,
        category=_path(category),
        gender=gender,
        brand=brand,
        colour=colour,
        season=season,
        price_minor=price_minor,
        currency=currency,
        in_stock=None if in_stock is None else bool(in_stock),
        attributes=_decoded(attributes),
        url=url,
    )


def to_photo(row: tuple[Any, ...]) -> Photo:
    """The photo of a row of :data:`PHOTOS`."""
    key, product_id, uri, sha256, full, thumbnail = row
    return Photo(key, product_id, uri, sha256, Links(full, thumbnail))


def content_hash(product: Product) -> str:
    """A hash of everything a product says about itself: equal for equal content, in any run on any machine."""
    return hash_row(to_row(product))


def hash_row(row: tuple[Any, ...]) -> str:
    """The content hash of :func:`to_row`'s columns."""
    if not row[-1]:  # products without an address keep the hash they had when there were none
        row = row[:-1]
    # Lengths between the texts, so that moving a letter from one column to the next is a change.
    text = "".join([f"{len(value)}:{value}," for value in map(str, row)])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def price_of(product: Product) -> float | None:
    """The price in major units; the double nearest to it, so that 49.90 equals 49.90."""
    if product.price_minor is None:
        return None
    return float(product.price_minor / 10 ** MINOR_UNITS.get(product.currency, 2))


def terms(product: Product) -> list[tuple[str, str]]:
    """A product's facets as (name, value), each once; the id is left out, as it is a column."""
    facets = product.facets()
    del facets["id"]
    return list(dict.fromkeys([_term(name, value) for name, values in facets.items() for value in values]))


@lru_cache(maxsize=16_384)  # most values are those of many products
def _term(name: str, value: str) -> tuple[str, str]:
    return name.replace("\0", ""), term_value(value)


def term_value(text: str) -> str:
    """A text as it stands in the facets: not too long, and without NUL, at which SQLite's JSON functions stop."""
    text = text.replace("\0", "")
    if len(text) <= LONGEST_TERM:
        return text
    return f"{text[: LONGEST_TERM - 40]}… {hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"


def term_number(value: str) -> float | None:
    """The number a value is, when it is one."""
    return float(value) if NUMBER.fullmatch(value) else None
