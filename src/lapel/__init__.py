"""Lapel: give it a picture, it finds the products that look like it.

>>> import lapel
>>> store = lapel.open_store("shop")
>>> for hit in store.search(image="photo.jpg", k=5, where=["gender=Women"]):
...     print(hit.rank, hit.score, hit.product.title)

:class:`Store` has everything else as methods: ``add``, ``sync``, ``remove``, ``search_many``, ``browse``, ``facets``,
``record``, ``evaluate``, ``models``, ``media``, ``index``, ``info``. Importing Lapel is light: the runtime, the index
library and the rest are loaded by the first call that needs them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lapel.client import connect
    from lapel.core.errors import LapelError
    from lapel.core.events import Event
    from lapel.core.images import read_image
    from lapel.core.types import (
        Explanation,
        Filter,
        Hit,
        Matches,
        Part,
        Photo,
        Product,
        Query,
        Reason,
        Region,
        SearchResult,
        Verdict,
    )
    from lapel.encoders import open_encoder
    from lapel.indexes import open_index
    from lapel.service.store import Store, open_store, restore_store
    from lapel.sources import open_source

__version__ = "0.1.0"

_HOMES = {
    "Event": "lapel.core.events",
    "Explanation": "lapel.core.types",
    "Reason": "lapel.core.types",
    "Region": "lapel.core.types",
    "Filter": "lapel.core.types",
    "Hit": "lapel.core.types",
    "LapelError": "lapel.core.errors",
    "Matches": "lapel.core.types",
    "Part": "lapel.core.types",
    "Photo": "lapel.core.types",
    "Product": "lapel.core.types",
    "Query": "lapel.core.types",
    "SearchResult": "lapel.core.types",
    "Store": "lapel.service.store",
    "Verdict": "lapel.core.types",
    "connect": "lapel.client",
    "open_encoder": "lapel.encoders",
    "open_index": "lapel.indexes",
    "open_source": "lapel.sources",
    "open_store": "lapel.service.store",
    "restore_store": "lapel.service.store",
    "read_image": "lapel.core.images",
}
_MOVED = {
    "SearchEngine": "Ask the store itself: lapel.open_store(folder).search(image=..., k=5).",
    "evaluate": "Ask the store itself: lapel.open_store(folder).evaluate([...]).",
    "ingest": "Ask the store itself: lapel.open_store(folder, create=True).add(source).",
}

__all__ = [
    "Event",
    "Explanation",
    "Filter",
    "Hit",
    "LapelError",
    "Matches",
    "Part",
    "Photo",
    "Product",
    "Query",
    "Reason",
    "Region",
    "SearchResult",
    "Store",
    "Verdict",
    "__version__",
    "connect",
    "open_encoder",
    "open_index",
    "open_source",
    "open_store",
    "read_image",
    "restore_store",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'lapel' has no attribute '{name}'. {_MOVED.get(name, '')}".rstrip())


def __dir__() -> list[str]:
    return __all__
