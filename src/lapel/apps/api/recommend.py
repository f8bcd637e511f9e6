"""``POST /v1/recommend``: what to show next."""

from __future__ import annotations

from typing import Annotated

import pydantic
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from lapel.apps.api.answers import HitAnswer, json_answer, problems, shown
from lapel.apps.api.bodies import MAX_JSON, read_body
from lapel.apps.api.problems import from_validation
from lapel.apps.api.questions import MAX_TEXT
from lapel.apps.api.search import Asking, check_shown
from lapel.apps.api.serving import serving
from lapel.core.types import Filter
from lapel.service import result_json

router = APIRouter(prefix="/v1", tags=["recommend"], responses=problems())
Id = Annotated[str, Field(max_length=500)]


class RecommendRequest(BaseModel):
    """A row: for a person, beside a product or a basket, or for nobody in particular."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    person: Annotated[str, Field(max_length=MAX_TEXT)] | None = None
    product_id: Id | None = None
    basket: Annotated[list[Id], Field(max_length=100)] = []
    kind: Annotated[str, Field(max_length=40)] | None = None
    k: Annotated[int, Field(ge=1, le=1000)] = 10
    where: Annotated[list[Annotated[str, Field(max_length=MAX_TEXT)]], Field(max_length=50)] = []
    exclude: Annotated[list[Id], Field(max_length=1000)] = []


class RowAnswer(BaseModel):
    """Products to show, each with its reason; events that come from the list name ``list_id``."""

    model_config = ConfigDict(extra="allow")

    hits: list[HitAnswer]
    verdict: str
    total: int
    list_id: str


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
    where = access.narrowed(Filter.parse(asked.where))
    for product_id in filter(None, (asked.product_id, *asked.basket)):
        if access.where:
            await own.quick(check_shown, own, access, product_id)
    result = await own.quick(
        own.store.recommend,
        person=asked.person,
        product_id=asked.product_id,
        basket=asked.basket,
        kind=asked.kind,
        k=asked.k,
        where=where,
        exclude=asked.exclude,
    )
    told = shown(result_json(result), access)
    return json_answer({**told, "list_id": result.list_id})
