"""``POST /v1/insight/{question}``: questions of the whole catalogue, as jobs. ``POST /v1/price``: what a photo's
product should sell for."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Field

from lapel.apps.api.answers import json_answer, problems
from lapel.apps.api.bodies import MAX_JSON, read_body
from lapel.apps.api.jobs import Webhook, Writing, begun, read_model, told_to
from lapel.apps.api.problems import ProblemError
from lapel.apps.api.questions import MAX_TEXT
from lapel.apps.api.regions import ONE_PICTURE, one_picture
from lapel.apps.api.schemas import JobAnswer, PriceEstimateAnswer
from lapel.apps.api.search import Asking
from lapel.apps.api.serving import Serving, serving

router = APIRouter(prefix="/v1", tags=["insight"], responses=problems())
Question = Literal[
    "duplicates", "clusters", "audit_labels", "fill_labels", "audit_photos", "audit_assortment", "trends"
]
Texts = Annotated[list[Annotated[str, Field(max_length=MAX_TEXT)]], Field(max_length=50)]
Name = Annotated[str, Query(max_length=200)]


class InsightRequest(Webhook):
    """Which products a question is about, and its options, with the names of ``lapel.Store``'s calls: each question
    takes some of them."""

    where: Texts = []  # noqa: RUF012 - pydantic copies it
    least: Annotated[int | float | None, Field(description="duplicates: how sure, 0..1; trends: things a period")] = (
        None
    )
    levels: Annotated[list[int] | None, Field(max_length=5, description="clusters: groups of each level")] = None
    seed: Annotated[int | None, Field(ge=0, lt=2**32, description="clusters, audit_labels, fill_labels")] = None
    fields: Annotated[Texts | None, Field(description="audit_labels, fill_labels: which labels")] = None
    titles: Annotated[bool | None, Field(description="audit_labels, fill_labels: words count, too")] = None
    precision: Annotated[float | None, Field(description="fill_labels: share that has to be right")] = None
    least_side: Annotated[int | None, Field(description="audit_photos: pixels")] = None
    checks: Annotated[Texts | None, Field(description="audit_photos: which")] = None
    alike: Annotated[float | None, Field(description="audit_assortment: from which score on goods compete")] = None
    looks: Annotated[int | None, Field(ge=0, description="audit_assortment, trends: how many looks")] = None
    over: Annotated[str | None, Field(max_length=MAX_TEXT, description="trends: the column of dates")] = None
    period: Annotated[str | None, Field(max_length=MAX_TEXT, description="trends: year, month ...")] = None

    @property
    def options(self) -> dict[str, Any]:
        """Those that were given."""
        given = self.model_dump(exclude=set(Webhook.model_fields) | {"where"}, exclude_none=True)
        return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


@router.post(
    "/insight/{question}",
    response_model=JobAnswer,
    status_code=202,
    summary="Ask a question of the whole catalogue, as a job",
    openapi_extra={
        "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/InsightRequest"}}}}
    },
)
async def ask(request: Request, access: Writing, question: Question) -> Response:
    """``GET /v1/jobs/{id}`` says when it is done, ``/v1/jobs/{id}/findings.json``, ``.csv`` and ``.html`` what was
    found. Nothing is changed by it."""
    own = serving(request)
    asked = read_model(InsightRequest, await read_body(request, MAX_JSON))
    job = await own.quick(
        own.store.jobs.ask, question, where=tuple(asked.where), options=asked.options, **told_to(asked, access)
    )
    return begun(job)


@router.post(
    "/price",
    response_model=PriceEstimateAnswer,
    summary="What a photo's product should sell for",
    openapi_extra=ONE_PICTURE,
)
async def price(
    request: Request,
    access: Asking,
    condition: Name = "",
    brand: Name = "",
    kind: Name = "",
    currency: Name = "",
    k: Annotated[int, Query(ge=1, le=100)] = 12,
) -> Response:
    """By the shop's products with a price. The photo is the file ``image`` of a form; what is known besides stands in
    the address."""
    own = serving(request)
    if access.limited:
        raise ProblemError(403, "key_limited", "This key shows only some products or fields; a price tells of all.")
    data = await one_picture(request, own)
    known = {"condition": condition, "brand": brand, "kind": kind, "currency": currency, "k": k}
    with own.gate.enter():
        return json_answer(await own.decode(_estimate, own, data, known))


def _estimate(own: Serving, data: bytes, known: dict[str, Any]) -> dict[str, Any]:
    return own.store.estimate_price(data, **known).to_json()
