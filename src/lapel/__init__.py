"""Lapel: give it a picture, it finds the products that look like it.

    import lapel
    store = lapel.open_store("shop")
    photo = lapel.read_image("photo.heic")  # a path, or the bytes of a file
    for hit in lapel.SearchEngine(store).search(lapel.Query(image=photo, k=5)):
        print(hit.rank, hit.score, hit.product.title)

Importing it is light: the runtime, the index library and the rest are loaded by the first call that needs them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lapel.core.errors import LapelError
    from lapel.core.images import read_image
    from lapel.core.types import Filter, Hit, Matches, Photo, Product, Query
    from lapel.encoders import open_encoder
    from lapel.engine.context import StoreContext
    from lapel.engine.context import open_context as open_store
    from lapel.engine.ingest import ingest
    from lapel.engine.retrieval import SearchEngine
    from lapel.indexes import open_index
    from lapel.insight.evaluate import evaluate
    from lapel.sources import open_source

__version__ = "0.1.0"

_HOMES = {
    "Filter": "lapel.core.types",
    "Hit": "lapel.core.types",
    "LapelError": "lapel.core.errors",
    "Matches": "lapel.core.types",
    "Photo": "lapel.core.types",
    "Product": "lapel.core.types",
    "Query": "lapel.core.types",
    "SearchEngine": "lapel.engine.retrieval",
    "StoreContext": "lapel.engine.context",
    "evaluate": "lapel.insight.evaluate",
    "ingest": "lapel.engine.ingest",
    "open_encoder": "lapel.encoders",
    "open_index": "lapel.indexes",
    "open_source": "lapel.sources",
    "open_store": "lapel.engine.context",
    "read_image": "lapel.core.images",
}

__all__ = [
    "Filter",
    "Hit",
    "LapelError",
    "Matches",
    "Photo",
    "Product",
    "Query",
    "SearchEngine",
    "StoreContext",
    "__version__",
    "evaluate",
    "ingest",
    "open_encoder",
    "open_index",
    "open_source",
    "open_store",
    "read_image",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'lapel' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
