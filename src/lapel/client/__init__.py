"""The client of ``lapel api``: the local engine's calls over HTTP, without the engine's dependencies (httpx only).

>>> store = lapel.connect("http://127.0.0.1:8080", key="lapel_...")  # doctest: +SKIP
"""

from __future__ import annotations

from lapel.client.answers import (
    BrowseResult,
    EmbeddedQuery,
    Explanation,
    Hit,
    Match,
    NewCheck,
    Photo,
    PricePoint,
    Product,
    ProductDetails,
    PutResult,
    Reason,
    Region,
    RemoveReport,
    SearchResult,
)
from lapel.client.awaiting import AsyncClient
from lapel.client.calls import ApiError
from lapel.client.sync import Client
from lapel.core.signing import scoped_key, webhook_fits

__all__ = [
    "ApiError",
    "AsyncClient",
    "BrowseResult",
    "Client",
    "EmbeddedQuery",
    "Explanation",
    "Hit",
    "Match",
    "NewCheck",
    "Photo",
    "PricePoint",
    "Product",
    "ProductDetails",
    "PutResult",
    "Reason",
    "Region",
    "RemoveReport",
    "SearchResult",
    "connect",
    "scoped_key",
    "webhook_fits",
]


def connect(address: str, *, key: str = "", timeout: float = 60.0) -> Client:
    """A store on a server, with the calls and answers of :func:`lapel.open_store`.

    Args:
        address: Of the server, such as ``http://127.0.0.1:8080``.
        key: What it asks for; empty where it asks for none.
        timeout: Seconds that an answer may take.
    """
    return Client(address, key=key, timeout=timeout)
