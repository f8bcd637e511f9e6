"""The catalogue: one SQLite file that holds every product, photo, vector and setting of a shop.

``Catalog.open(path)``.
"""

from __future__ import annotations

from lapel.catalog.catalog import Catalog
from lapel.catalog.entries import (
    Change,
    Counts,
    Entry,
    ModelEntry,
    PhotoEntry,
    PhotoFacets,
    StoredPhoto,
    StoredProduct,
    content_hash,
)
from lapel.catalog.features import FeatureTable
from lapel.catalog.history import ChangeFeed, ChangePage, ChangeRecord, Cursor, PricePoint
from lapel.catalog.keys import StoredKey
from lapel.catalog.lock import index_lock, model_lock, model_work, request_lock, writer_lock

__all__ = [
    "Catalog",
    "Change",
    "ChangeFeed",
    "ChangePage",
    "ChangeRecord",
    "Counts",
    "Cursor",
    "Entry",
    "FeatureTable",
    "ModelEntry",
    "PhotoEntry",
    "PhotoFacets",
    "PricePoint",
    "StoredKey",
    "StoredPhoto",
    "StoredProduct",
    "content_hash",
    "index_lock",
    "model_lock",
    "model_work",
    "request_lock",
    "writer_lock",
]
