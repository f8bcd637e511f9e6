"""``/v1/device`` and ``/v1/pack``: what a phone loads to encode pictures itself, and to search the shop without a
network. The shop in the phone never shows more than its key does."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response

from lapel.apps.api.answers import json_answer, problems
from lapel.apps.api.pages import FOR_EVER
from lapel.apps.api.problems import ProblemError
from lapel.apps.api.schemas import DeviceAnswer, PackAnswer
from lapel.apps.api.search import Asking
from lapel.apps.api.serving import serving
from lapel.core.errors import QueryError

router = APIRouter(prefix="/v1", tags=["phone"], responses=problems())


@router.get("/device", response_model=DeviceAnswer, summary="The networks that encode pictures on a phone")
async def device(request: Request, _: Asking) -> Response:
    """Each is had from ``/v1/pack/{sha256}``. A vector is then searched for with its ``fingerprint``."""
    own = serving(request)
    try:
        return json_answer(await own.quick(own.store.pack.device))
    except QueryError as error:
        raise ProblemError(404, "no_network", str(error)) from error


@router.get("/pack", response_model=PackAnswer, summary="The catalogue in pieces, for a phone")
async def manifest(
    request: Request, access: Asking, if_none_match: Annotated[str | None, Header(max_length=200)] = None
) -> Response:
    """Pieces that a phone has already need not be loaded again: their names are made from what is in them."""
    own = serving(request)
    tag = f'W/"{await own.quick(lambda: own.store.revision)}"'
    if if_none_match and tag in if_none_match and not access.limited:
        return Response(status_code=304, headers={"ETag": tag, "Cache-Control": "no-cache, private"})
    told = await own.fetch(own.store.pack.manifest, access)
    return json_answer(told, headers={"ETag": tag, "Cache-Control": "no-cache, private"})


@router.get(
    "/pack/{sha256}",
    summary="A piece, or a network",
    response_class=Response,
    responses={200: {"description": "Its bytes", "content": {"application/octet-stream": {"schema": {}}}}},
)
async def piece(request: Request, access: Asking, sha256: str) -> Response:
    """Never changes, so it may be kept for ever."""
    own = serving(request)
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ProblemError(404, "unknown_piece", "A piece is named by 64 hex digits; the manifest lists them.")
    try:
        found = await own.fetch(own.store.pack.piece, sha256, access)
    except QueryError as error:
        raise ProblemError(404, "unknown_piece", str(error)) from error
    headers = {"Cache-Control": FOR_EVER.replace("public", "private"), "ETag": f'"{sha256}"'}
    headers["Content-Encoding"] = "gzip" if found.packed else "identity"
    return Response(found.data, media_type="application/octet-stream", headers=headers)
