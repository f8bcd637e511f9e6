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
    from lapel.core.settings import settings
    from lapel.engine.index_sync import IndexStatus
    from lapel.service.adding import AddReport
    from lapel.service.browsing import BrowseResult, Overview, ProductDetails, by_size, field_label
    from lapel.service.images import decode, fetch_image, image_formats, image_suffixes, read_image_bytes
    from lapel.service.index import IndexService
    from lapel.service.information import StoreInfo
    from lapel.service.media import MediaService
    from lapel.service.models import ModelService
    from lapel.service.store import Store, open_store, store_exists
    from lapel.service.thumbnails import tile

_HOMES = {
    "AddReport": "lapel.service.adding",
    "BrowseResult": "lapel.service.browsing",
    "IndexService": "lapel.service.index",
    "MediaService": "lapel.service.media",
    "ModelService": "lapel.service.models",
    "Overview": "lapel.service.browsing",
    "ProductDetails": "lapel.service.browsing",
    "Store": "lapel.service.store",
    "StoreInfo": "lapel.service.information",
    "by_size": "lapel.service.browsing",
    "decode": "lapel.service.images",
    "fetch_image": "lapel.service.images",
    "field_label": "lapel.service.browsing",
    "image_formats": "lapel.service.images",
    "image_suffixes": "lapel.service.images",
    "IndexStatus": "lapel.engine.index_sync",
    "open_store": "lapel.service.store",
    "settings": "lapel.core.settings",
    "read_image_bytes": "lapel.service.images",
    "store_exists": "lapel.service.store",
    "tile": "lapel.service.thumbnails",
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
    "fetch_image",
    "field_label",
    "fold",
    "image_formats",
    "image_suffixes",
    "open_store",
    "printable",
    "read_image_bytes",
    "reason_of",
    "settings",
    "shortened",
    "store_exists",
    "tile",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'lapel.service' has no attribute '{name}'")
