"""``POST /v1/explain``: why a product is in an answer; ``POST /v1/embed``: a query as a vector."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response

from lapel.apps.api.answers import json_answer, problems
from lapel.apps.api.questions import ExplainRequest, Question
from lapel.apps.api.schemas import EmbedAnswer, ExplainAnswer
from lapel.apps.api.search import Asking, answer, check_shown, encoding, query_of, question_body, read_question
from lapel.apps.api.serving import Serving, serving
from lapel.core.errors import ModelError, QueryError
from lapel.core.types import Explanation, Hit, Query, SearchResult
from lapel.service import Access, embedded_json, explanation_json

router = APIRouter(prefix="/v1", tags=["search"], responses=problems())


@router.post(
    "/explain",
    response_model=ExplainAnswer,
    summary="Why a product is in an answer",
    openapi_extra=question_body("ExplainRequest"),
)
async def explain(request: Request, access: Asking) -> Response:
    """Asked as the search was, with ``hit_id``: what each place of both pictures adds to the score, and in words what
    they share and in what they differ. A key that is limited gets no words."""
    own = serving(request)
    question, image = await read_question(request, own, ExplainRequest)
    return json_answer(await explained(own, access, question, image))


@router.post(
    "/embed",
    response_model=EmbedAnswer,
    summary="A query as a unit vector of the shop's model",
    openapi_extra=question_body("SearchRequest"),
)
async def embed(request: Request, access: Asking) -> Response:
    """Asked as a search. The vector can be searched with as ``vector``, with ``model`` as its ``fingerprint``."""
    own = serving(request)
    question, image = await read_question(request, own)
    if question.links or image is not None:
        async with encoding(own, access, question, image) as read:
            return json_answer(await own.decode(_embedded, own, access, read))
    read = partial(query_of, own, access, question, None, {})
    return json_answer(await own.quick(_embedded, own, access, read))


def _embedded(own: Serving, access: Access, read: Callable[[], Query]) -> dict[str, Any]:
    told = embedded_json(own.store.embed(read()))
    if access.limited:
        told["understood"] = [{name: part[name] for name in ("kind", "weight")} for part in told["understood"]]
    return told


async def explained(own: Serving, access: Access, question: Question, image: bytes | None) -> dict[str, Any]:
    """Why a question's product is in its answer.

    Raises:
        LapelError: it is not, or its picture cannot be read.
    """
    await own.quick(check_shown, own, access, question.hit_id)
    query, result = await answer(own, access, question, image, then=_both)
    if not result.hits:
        raise QueryError(
            f"The product '{question.hit_id}' is not in the answer to this query.", product_id=question.hit_id
        )
    with own.gate.enter():  # the hit's picture is encoded
        told: dict[str, Any] = await own.decode(_explained, own, query, result.hits[0])
    if access.limited:  # what both are is told in words of fields that the key may not show
        told |= {"shared": [], "different": []}
    return told


def _both(query: Query, result: SearchResult) -> tuple[Query, SearchResult]:
    return query, result


def _explained(own: Serving, query: Query, hit: Hit) -> dict[str, Any]:
    try:
        found = own.store.explain(query, hit)
    except ModelError:
        note = "The shop's model cannot say more than how alike they are."
        nothing = np.zeros((0, 0), np.float32)
        found = Explanation(nothing, nothing, [], [], hit.score, notes=(note,))
    return explanation_json(found)
