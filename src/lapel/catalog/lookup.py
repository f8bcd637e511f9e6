"""Products and photos by key or id, read inside an open connection: what hits show, and what adding compares with."""

from __future__ import annotations

import sqlite3

import numpy as np

from lapel.catalog.entries import QUALIFIED_PRODUCT_COLUMNS, StoredPhoto, StoredProduct, from_row
from lapel.core.types import NO_LINKS, Links, Photo, Product
from lapel.core.vectors import Keys

_IN_LIST = "IN (SELECT value FROM json_each(?))"


def entries(database: sqlite3.Connection, keys: str) -> dict[int, tuple[Product, Photo]]:
    """The product and photo of each key (a JSON list); keys that are gone are left out."""
    asked = (
        f"SELECT photo.key, uri, sha256, full_link, thumbnail_link, {QUALIFIED_PRODUCT_COLUMNS}"
        " FROM json_each(?) AS wanted JOIN photo ON photo.key = wanted.value"
        " JOIN product ON product.row = product_row"
    )
    found: dict[int, tuple[Product, Photo]] = {}
    for key, uri, sha256, full, small, *columns in database.execute(asked, (keys,)):
        links = Links(full, small) if full or small else NO_LINKS  # shared, as many objects make the collector slow
        found[key] = (from_row(tuple(columns)), Photo(key, columns[0], uri, sha256, links))
    return found


def stored(database: sqlite3.Connection, ids: str, fingerprint: str) -> dict[str, StoredProduct]:
    """What is known of products (a JSON list of ids) and whether their photos have a model's vector."""
    # What is delisted counts as changed: being named again brings it back.
    hashes = f"SELECT id, iif(delisted_at = '', content_hash, '') FROM product WHERE id {_IN_LIST}"
    # The index on (model) also holds the key, so whether there is a vector is answered without reading the vector.
    asked = (
        "SELECT product.id, uri, photo.key, version_token, sha256, vector.key IS NOT NULL, full_link, thumbnail_link"
        " FROM product JOIN photo ON product_row = product.row LEFT JOIN vector INDEXED BY vector_model"
        " ON vector.key = photo.key AND vector.model = (SELECT id FROM model WHERE fingerprint = ?)"
        f" WHERE product.id {_IN_LIST} ORDER BY position, photo.key"
    )
    photos: dict[str, dict[str, StoredPhoto]] = {}
    found = {}
    for product_id, content in database.execute(hashes, (ids,)):
        photos[product_id] = {}
        found[product_id] = StoredProduct(content, photos[product_id])
    for product_id, uri, key, token, sha256, has_vector, *links in database.execute(asked, (fingerprint, ids)):
        photos[product_id][uri] = StoredPhoto(key, token, sha256, bool(has_vector), Links(*links))
    return found


def first_photos(database: sqlite3.Connection, ids: str) -> Keys:
    """The key of the first photo of each product (a JSON list of ids), in their order; those without are left out."""
    asked = (
        "SELECT (SELECT key FROM photo WHERE product_row = product.row AND unreachable_at = ''"
        " ORDER BY position, key LIMIT 1) AS first"
        " FROM json_each(?) AS wanted JOIN product ON product.id = wanted.value WHERE first IS NOT NULL"
        " ORDER BY wanted.key"
    )
    return np.fromiter((key for (key,) in database.execute(asked, (ids,))), np.int64)
