"""``/v1/recommend``: what to show next."""

from __future__ import annotations

from typing import Annotated, Any

import pydantic
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from lapel.apps.api.answers import json_answer, limited_reasons, problems, shown
from lapel.apps.api.bodies import MAX_JSON, read_body
from lapel.apps.api.problems import from_validation
from lapel.apps.api.questions import MAX_TEXT
from lapel.apps.api.schemas import RowAnswer
from lapel.apps.api.search import Asking, Where, check_shown
from lapel.apps.api.serving import Serving, serving
from lapel.core.types import Filter
from lapel.service import Access, result_json

router = APIRouter(prefix="/v1", tags=["recommend"], responses=problems())
Id = Annotated[str, Field(max_length=500)]
MAX_PERSON = 20_000  # characters: shops name people as they like


class RecommendRequest(BaseModel):
    """A row: for a person, beside a product or a basket, or for nobody in particular."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    person: Annotated[str, Field(max_length=MAX_PERSON)] | None = None
    product_id: Id | None = None
    basket: Annotated[list[Id], Field(max_length=100)] = []
    kind: Annotated[str, Field(max_length=40)] | None = None
    k: Annotated[int, Field(ge=1, le=1000)] = 10
    where: Annotated[list[Annotated[str, Field(max_length=MAX_TEXT)]], Field(max_length=50)] = []
    exclude: Annotated[list[Id], Field(max_length=1000)] = []
    seed: Annotated[int, Field(ge=0, le=2**53)] | None = None
    keep_margin: bool = False


@router.post(
    "/recommend",
    response_model=RowAnswer,
    summary="What to show next",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": RecommendRequest.model_json_schema()}},
        }
    },
)
async def recommend(request: Request, access: Asking) -> Response:
    """Never what is hidden, sold out, or was bought, disliked or dismissed; never the same photo twice."""
    own = serving(request)
    body = await read_body(request, MAX_JSON)
    try:
        asked = RecommendRequest.model_validate_json(body)
    except pydantic.ValidationError as error:
        raise from_validation(error.errors(include_url=False, include_input=False, include_context=False)) from None
    return json_answer(await row(own, access, asked))


@router.get("/recommend", response_model=RowAnswer, summary="What to show next, asked by an address")
async def recommend_by_address(
    request: Request,
    access: Asking,
    person: Annotated[str | None, Query(max_length=MAX_PERSON)] = None,
    product_id: Annotated[str | None, Query(max_length=500)] = None,
    basket: Annotated[list[Id], Query(max_length=100)] = [],  # noqa: B006 - FastAPI copies it
    kind: Annotated[str | None, Query(max_length=40)] = None,
    k: Annotated[int, Query(ge=1, le=1000)] = 10,
    where: Where = [],  # noqa: B006
    exclude: Annotated[list[Id], Query(max_length=1000)] = [],  # noqa: B006
    seed: Annotated[int | None, Query(ge=0, le=2**53)] = None,
    keep_margin: bool = False,
) -> Response:
    """The same as ``POST /v1/recommend``, which keeps the person out of the logs of addresses."""
    asked = RecommendRequest(
        person=person,
        product_id=product_id,
        basket=basket,
        kind=kind,
        k=k,
        where=where,
        exclude=exclude,
        seed=seed,
        keep_margin=keep_margin,
    )
    return json_answer(await row(serving(request), access, asked))


async def row(own: Serving, access: Access, asked: RecommendRequest) -> dict[str, Any]:
    """A row's answer, as whoever asks may see it."""
    where = access.narrowed(Filter.parse(asked.where))
    named = [each for each in (asked.product_id, *asked.basket) if each]
    if access.where:
        for product_id in named:
            await own.quick(check_shown, own, access, product_id)
    result = await own.quick(own.store.recommend, **{**dict(asked), "where": where})
    told = result_json(result)
    reasons = limited_reasons(told, access, named) if access.limited else [hit["reason"] for hit in told["hits"]]
    told = shown(told, access)
    for hit, reason in zip(told["hits"], reasons, strict=True):
        hit["reason"] = reason
    return {**told, "list_id": result.list_id}
