"""The service layer: every use case once, for all apps.

``open_store(folder)`` gives the :class:`Store` that has them as methods.

Nothing here prints. Long work takes a ``progress`` callback, called with (done, total or None); results are frozen
dataclasses; what
cannot be done raises a :class:`lapel.core.errors.LapelError`. Apps import this package, ``lapel.core.types`` and
``lapel.core.errors``,
and nothing else. Importing it is light: a module is loaded by the first name that is asked of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lapel.core.text import counted, fold, printable, reason_of, shortened

if TYPE_CHECKING:
    from lapel.engine.index_sync import IndexStatus
    from lapel.service.adding import AddReport
    from lapel.service.browsing import BrowseResult, Overview, ProductDetails, by_size, field_label
    from lapel.service.images import decode, image_formats, image_suffixes, read_image_bytes
    from lapel.service.index import IndexService
    from lapel.service.information import StoreInfo
    from lapel.service.media import MediaService
    from lapel.service.models import ModelService
    from lapel.service.store import Store, open_store, store_exists
    from lapel.service.thumbnails import tile

_HOMES = {
    "AddReport": "adding",
    "BrowseResult": "browsing",
    "IndexService": "index",
    "MediaService": "media",
    "ModelService": "models",
    "Overview": "browsing",
    "ProductDetails": "browsing",
    "Store": "store",
    "StoreInfo": "information",
    "by_size": "browsing",
    "decode": "images",
    "field_label": "browsing",
    "image_formats": "images",
    "image_suffixes": "images",
    "open_store": "store",
    "read_image_bytes": "images",
    "store_exists": "store",
    "tile": "thumbnails",
}

__all__ = [
    "AddReport",
    "BrowseResult",
    "IndexService",
    "IndexStatus",
    "MediaService",
    "ModelService",
    "Overview",
    "ProductDetails",
    "Store",
    "StoreInfo",
    "by_size",
    "counted",
    "decode",
    "field_label",
    "fold",
    "image_formats",
    "image_suffixes",
    "open_store",
    "printable",
    "read_image_bytes",
    "reason_of",
    "shortened",
    "store_exists",
    "tile",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"lapel.service.{_HOMES[name]}"), name)
    if name == "IndexStatus":
        return importlib.import_module("lapel.engine.index_sync").IndexStatus
    raise AttributeError(f"module 'lapel.service' has no attribute '{name}'")
