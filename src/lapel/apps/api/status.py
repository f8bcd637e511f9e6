"""Whether the server lives, can answer, and what it is; and small pictures, which nobody needs a key for."""

from __future__ import annotations

import platform
import re
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST

from lapel import __version__
from lapel.apps.api.access import needs
from lapel.apps.api.answers import json_answer, problems
from lapel.apps.api.problems import ProblemError
from lapel.apps.api.schemas import HealthAnswer, ReadyAnswer, VersionAnswer
from lapel.apps.api.serving import serving
from lapel.core.errors import LapelError

router = APIRouter(responses=problems())
FOR_EVER = "public, max-age=31536000, immutable"


@router.get("/v1/health", response_model=HealthAnswer, tags=["status"], summary="Whether the process lives")
async def health() -> dict[str, str]:
    """Asks nothing of the store."""
    return {"status": "alive"}


@router.get(
    "/v1/ready",
    response_model=ReadyAnswer,
    tags=["status"],
    summary="Whether it can answer: it encodes a picture and searches with it",
)
async def ready(request: Request) -> Response:
    """503 while it cannot."""
    own = serving(request)
    try:
        return json_answer(await own.quick(own.probe.ask))
    except LapelError as error:
        raise ProblemError(
            503, "not_ready", f"No picture can be searched with now: {error.code}.", {"Retry-After": "5"}
        ) from error


@router.get(
    "/v1/version",
    response_model=VersionAnswer,
    tags=["status"],
    summary="What is served",
    dependencies=[Depends(needs("search"))],
)
async def version(request: Request) -> Response:
    """Versions of Lapel, of the model and of the catalogue's content."""
    own = serving(request)
    model = await own.quick(lambda: own.store.models.current)
    told = {
        "lapel": __version__,
        "python": platform.python_version(),
        "model": {"name": model.name, "fingerprint": model.fingerprint, "dim": model.dim},
        "index": await own.quick(lambda: own.store.index.kind),
        "revision": await own.quick(lambda: own.store.revision),
    }
    return json_answer(told)


@router.get(
    "/metrics",
    tags=["status"],
    summary="Numbers for Prometheus",
    response_class=Response,
    dependencies=[Depends(needs("admin"))],
)
async def metrics(request: Request) -> Response:
    """Requests, seconds, batches, what waits and what was refused."""
    own = serving(request)
    return Response(await own.quick(own.metrics.text), media_type=CONTENT_TYPE_LATEST)


@router.get(
    "/v1/thumbnails/{sha256}",
    tags=["products"],
    summary="A small JPEG of a photo, 450 x 600 pixels",
    response_class=Response,
    responses={200: {"description": "The picture", "content": {"image/jpeg": {"schema": {"type": "string"}}}}},
)
async def thumbnail(
    request: Request, sha256: str, if_none_match: Annotated[str | None, Header(max_length=200)] = None
) -> Response:
    """By the hash of the photo's bytes, so it never changes. Pages show it without a key: nobody guesses a hash."""
    own = serving(request)
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ProblemError(404, "unknown_photo", "A photo is named by the SHA-256 of its bytes, 64 hex digits.")
    headers = {"Cache-Control": FOR_EVER, "ETag": f'"{sha256}"', "Content-Encoding": "identity"}
    if if_none_match and f'"{sha256}"' in if_none_match:
        return Response(status_code=304, headers=headers)
    found = await own.quick(own.store.thumbnail_of, sha256)
    if found is None:
        raise ProblemError(404, "unknown_photo", "There is no photo of this hash here, or it cannot be read now.")
    return Response(found, media_type="image/jpeg", headers=headers)
