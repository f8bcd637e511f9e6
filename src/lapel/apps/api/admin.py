"""``/v1/models`` and ``/v1/index``: which model and which index a shop is searched with."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import Field

from lapel.apps.api.access import needs
from lapel.apps.api.answers import json_answer, problems
from lapel.apps.api.bodies import MAX_JSON, read_body
from lapel.apps.api.jobs import Webhook, begun, read_model, told_to
from lapel.apps.api.problems import ProblemError
from lapel.apps.api.schemas import IndexAnswer, JobAnswer, ModelsAnswer
from lapel.apps.api.serving import serving
from lapel.service import Access, Store

router = APIRouter(prefix="/v1", tags=["admin"], responses=problems(409))
Admin = Annotated[Access, Depends(needs("admin"))]
SPEC = re.compile(r"[A-Za-z0-9_-]{1,64}:?[A-Za-z0-9_,=.-]{0,200}")  # a name: no path, no address


class UseRequest(Webhook):
    """What to use: a name, such as ``small`` for a model or ``hnsw`` for an index."""

    spec: Annotated[str, Field(min_length=1, max_length=200)]


def _body(name: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    return {"requestBody": {"required": name == "UseRequest", "content": content}}


@router.get(
    "/models",
    response_model=ModelsAnswer,
    summary="Models that have vectors here",
    dependencies=[Depends(needs("admin"))],
)
async def models(request: Request) -> Response:
    """The oldest first, and which is in use."""
    own = serving(request)
    found = await own.quick(own.store.models.list)
    told = [
        {"name": each.model.name, "fingerprint": each.model.fingerprint, "dim": each.model.dim, "photos": each.photos}
        for each in found
    ]
    current = await own.quick(lambda: own.store.models.current)
    return json_answer({"models": told, "current": current.fingerprint, "work": own.store.models.work})


@router.post(
    "/models:use",
    response_model=JobAnswer,
    status_code=202,
    summary="Change the model, as a job",
    openapi_extra=_body("UseRequest"),
)
async def use_model(request: Request, access: Admin) -> Response:
    """Searches go on with the model in use until the change is complete."""
    return await _use(request, access, lambda store, spec, **told: store.jobs.use_model(spec, **told))


@router.post(
    "/models:rollback",
    response_model=JobAnswer,
    status_code=202,
    summary="Go back to the model before, as a job",
    openapi_extra=_body("Webhook"),
)
async def rollback(request: Request, access: Admin) -> Response:
    """Photos added since are encoded with it first."""
    own = serving(request)
    asked = read_model(Webhook, await read_body(request, MAX_JSON))
    return begun(await own.quick(own.store.jobs.rollback_model, **told_to(asked, access)))


@router.get(
    "/index",
    response_model=IndexAnswer,
    summary="The index that is searched",
    dependencies=[Depends(needs("admin"))],
)
async def index(request: Request) -> Response:
    """Its kind, what it is complete for, and what is wrong with it."""
    own = serving(request)
    return json_answer(asdict(await own.quick(own.store.index.status)))


@router.post(
    "/index:use",
    response_model=JobAnswer,
    status_code=202,
    summary="Search with another kind of index; it is built as a job",
    openapi_extra=_body("UseRequest"),
)
async def use_index(request: Request, access: Admin) -> Response:
    """Every process that serves the shop takes it."""

    def use(store: Store, spec: str, **told: str) -> Any:
        store.index.use(spec)
        return store.jobs.rebuild_index(**told)

    return await _use(request, access, use)


async def _use(request: Request, access: Access, use: Callable[..., Any]) -> Response:
    """Begin the job of using what a request names."""
    own = serving(request)
    asked = read_model(UseRequest, await read_body(request, MAX_JSON))
    if not SPEC.fullmatch(asked.spec):
        raise ProblemError(
            422, "invalid_fields", f"'{asked.spec[:80]}' is no name. Paths and addresses are not taken here."
        )
    return begun(await own.write(use, own.store, asked.spec, **told_to(asked, access)))
