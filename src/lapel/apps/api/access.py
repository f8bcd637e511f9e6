"""Who asks, and how much: keys, scopes and the pace of each key and address."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from fastapi import Request

from lapel.apps.api.middleware import is_own_host
from lapel.apps.api.problems import ProblemError
from lapel.apps.api.serving import Serving, serving
from lapel.service import EVERYTHING, Access, KeyRefusedError

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="lapel"'}


def needs(scope: str) -> Callable[[Request], Awaitable[Access]]:
    """A dependency of a route: whoever asks may do what ``scope`` names, and not too often."""

    async def check(request: Request) -> Access:
        return await allowed(serving(request), request, scope)

    check.__name__ = f"needs_{scope}"
    return check


async def allowed(own: Serving, request: Request, scope: str) -> Access:
    """What whoever sends a request may do.

    Raises:
        ProblemError: not what ``scope`` names, or too often.
    """
    _pace(own, f"address {request.client.host if request.client else ''}")
    access = await _access(own, request)
    if access.key_id:
        _pace(own, f"key {access.key_id}")
    check_scope(access, scope)
    return access


def check_scope(access: Access, scope: str) -> None:
    """See that somebody may do what ``scope`` names.

    Raises:
        ProblemError: 403.
    """
    if not access.allows(scope):
        detail = (
            f"This needs a key with the scope '{scope}'; this one has {', '.join(sorted(access.scopes)) or 'none'}."
        )
        raise ProblemError(403, "scope_missing", detail)


async def _access(own: Serving, request: Request) -> Access:
    if not await own.needs_keys():
        if request.method not in SAFE_METHODS:
            _refuse_other_pages(own, request)
        return EVERYTHING
    return access_of(own, request.headers.get("authorization", ""))


def access_of(own: Serving, authorization: str) -> Access:
    """What a key may do, from the header that brings it.

    Raises:
        ProblemError: 401, there is none, or it does not count.
    """
    kind, _, key = authorization.partition(" ")
    if kind.lower() != "bearer" or not key.strip():
        raise ProblemError(401, "key_missing", "Send a key: 'Authorization: Bearer lapel_...'.", CHALLENGE)
    try:
        return own.store.keys.access(key.strip(), own.known_keys())
    except KeyRefusedError as error:
        raise ProblemError(401, error.code, str(error), CHALLENGE) from error


def _refuse_other_pages(own: Serving, request: Request) -> None:
    """Where no key is needed, a web page of others must not make its reader's browser change the shop."""
    origin = request.headers.get("origin", "")
    if not origin or origin in own.options.origins or "*" in own.options.origins:
        return
    try:
        host = urlsplit(origin).netloc
    except ValueError:
        host = ""
    if not host or not is_own_host(host, own.options):
        raise ProblemError(403, "origin_refused", f"Pages of {origin[:80]} may not ask here. --origin allows them.")


def _pace(own: Serving, name: str) -> None:
    wait = own.buckets.take(name)
    if wait:
        own.metrics.refused.labels("pace").inc()
        raise ProblemError(
            429,
            "too_many_requests",
            f"More than {own.options.rate} requests a minute. Come back in {math.ceil(wait)} s.",
            {"Retry-After": str(math.ceil(wait))},
        )
