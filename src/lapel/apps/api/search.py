"""``POST /v1/search``, and what belongs to it: more like a product, and counts by field."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.routing import Match
from starlette.types import Scope

from lapel.apps.api.access import needs
from lapel.apps.api.answers import json_answer, problems, shown
from lapel.apps.api.bodies import FORM, MAX_JSON, content_type, read_body, read_form
from lapel.apps.api.problems import ProblemError
from lapel.apps.api.questions import MAX_FOUND, MAX_TEXT, Question, SearchRequest
from lapel.apps.api.schemas import FacetsAnswer, RowAnswer, SearchAnswer
from lapel.apps.api.serving import Serving, serving
from lapel.core.errors import LapelError, QueryError
from lapel.core.types import Condition, Filter, SearchResult
from lapel.core.types import Query as StoreQuery
from lapel.service import Access, answer_json, fetch_link, result_json

Told = TypeVar("Told")


class BelowProduct(APIRoute):
    """A route such as ``/products/{id}/similar``. A slash that is written as ``%2F`` is one of the id, so that
    ``/products/a%2Fsimilar`` is the product ``a/similar``."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Starlette asks this."""
        last = self.path.rpartition("}")[2]
        written = scope.get("raw_path", b"")
        if written and "}" in self.path and not written.endswith(last.encode()):
            return Match.NONE, {}
        return super().matches(scope)


router = APIRouter(prefix="/v1", tags=["search"], responses=problems(), route_class=BelowProduct)
Asking = Annotated[Access, Depends(needs("search"))]
Where = Annotated[list[str], Query(max_length=50, description="Conditions, such as gender=Women. Repeat for more.")]
FORM_SCHEMA = {
    "type": "object",
    "properties": {
        "image": {"type": "string", "contentMediaType": "application/octet-stream", "description": "A picture file."},
        "query": {"type": "string", "contentMediaType": "application/json", "description": "The rest, as JSON."},
    },
}


def question_body(model: str) -> dict[str, Any]:
    """Of a route that reads a question, for the OpenAPI text.

    Args:
        model: Name of the JSON's schema.
    """
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{model}"}}, FORM: {"schema": FORM_SCHEMA}}
    return {"requestBody": {"required": True, "content": content}}


@router.post(
    "/search",
    response_model=SearchAnswer,
    summary="Find products by a picture, words, a product, or all of them",
    openapi_extra=question_body("SearchRequest"),
)
async def search(request: Request, access: Asking) -> Response:
    """A picture comes as the file ``image`` of a form whose field ``query`` holds the JSON, or as a link in
    ``image_url``; everything else is JSON alone."""
    own = serving(request)
    question, image = await read_question(request, own)
    picture = question.image_url or ("image" if image is not None else None)
    return await answer(
        own, access, question, image, then=partial(_told, own, access, picture=picture, offset=question.offset)
    )


async def read_question(
    request: Request, own: Serving, model: type[BaseModel] = SearchRequest
) -> tuple[Question, bytes | None]:
    """What a request asks, and the picture that came with it.

    Raises:
        ProblemError: it is of another form.
    """
    kind = content_type(request)
    if kind in ("application/json", ""):
        return Question(await read_body(request, MAX_JSON), model), None
    if kind != FORM:
        raise ProblemError(415, "unknown_type", f"Send application/json or {FORM}; found '{kind[:80]}'.")
    form = await read_form(request, own.options.picture_mb * 2**20 + MAX_JSON)
    unknown = sorted((set(form.texts) - {"query"}) | (set(form.files) - {"image", "query"}))
    if unknown:
        raise ProblemError(
            422, "invalid_fields", f"The form has 'image' and 'query'; found '{unknown[0][:80]}' as well."
        )
    images = form.files.get("image", [])
    if len(images) > 1 or "image" in form.texts:
        raise ProblemError(422, "invalid_fields", "The form has one file 'image'. For several pictures use 'parts'.")
    # Some clients send a field with a type of its own as a file.
    asked = form.texts.get("query") or b"".join(file.data for file in form.files.get("query", []))
    return Question(asked, model), images[0].data if images else None


async def answer(
    own: Serving,
    access: Access,
    question: Question,
    image: bytes | None = None,
    *,
    then: Callable[[StoreQuery, SearchResult], Told],
) -> Told:
    """What ``then`` makes of a question's query and answer: with pictures through the gate and the encoder's batches,
    without them at once."""
    if not (question.links or image is not None):
        return await own.quick(_at_once, own, access, question, then)
    found: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
    async with encoding(own, access, question, image) as read:
        await own.decode(_put, own, read, then, found)
        return await found


@asynccontextmanager
async def encoding(
    own: Serving, access: Access, question: Question, image: bytes | None
) -> AsyncIterator[Callable[[], StoreQuery]]:
    """What reads a question with pictures, with their places at the gate while something is done with it."""
    limit = int(own.options.picture_mb * 2**20)
    if image is not None and len(image) > limit:
        raise ProblemError(
            413, "picture_too_large", f"The picture has more than {own.options.picture_mb:g} MB. Scale it down."
        )
    linked = {}
    for link in question.links:
        linked[link] = await own.fetch(fetch_link, link, max_bytes=limit)
    with _counting_refusals(own), own.gate.enter(len(question.links) + (image is not None)):
        yield partial(query_of, own, access, question, image, linked)


def _put(
    own: Serving,
    read: Callable[[], StoreQuery],
    then: Callable[[StoreQuery, SearchResult], Told],
    found: asyncio.Future[Told],
) -> None:
    query = read()
    own.batcher.put(query, partial(then, query), found)


def _at_once(
    own: Serving, access: Access, question: Question, then: Callable[[StoreQuery, SearchResult], Told]
) -> Told:
    query = query_of(own, access, question, None, {})
    return then(query, own.store.search(query=query))


def query_of(
    own: Serving, access: Access, question: Question, image: bytes | None, linked: dict[str, bytes]
) -> StoreQuery:
    """The query, of products that whoever asks may see. Pictures are decoded here."""
    query = question.query(access, image, linked)
    for part in query.all_parts:
        if part.product_id is not None and access.where:
            check_shown(own, access, part.product_id)
    return query


@contextmanager
def _counting_refusals(own: Serving) -> Iterator[None]:
    try:
        yield
    except ProblemError as problem:
        if problem.code == "overloaded":
            own.metrics.refused.labels("overloaded").inc()
        raise


def check_shown(own: Serving, access: Access, product_id: str) -> None:
    """See that a product is among those that somebody may see.

    Raises:
        QueryError: it is not, or is not there: nobody can tell which.
    """
    try:
        known = own.store.count(Filter((*access.where.conditions, Condition("id", "=", (product_id,)))))
    except LapelError:
        known = 0
    if not known:
        raise QueryError(f"There is no product '{product_id}' here.", product_id=product_id)


def _told(own: Serving, access: Access, query: StoreQuery, result: SearchResult, **asked: Any) -> Response:
    """An answer as whoever asks may see it; its JSON is written here too, in the thread that found it."""
    return json_answer(shown(answer_json(own.store, query, result, **asked), access))


@router.get(
    "/products/{product_id:path}/similar", response_model=SearchAnswer, summary="Products that look like this one"
)
async def similar(
    request: Request,
    access: Asking,
    product_id: str,
    k: Annotated[int, Query(ge=1, le=MAX_FOUND)] = 10,
    offset: Annotated[int, Query(ge=0, le=MAX_FOUND)] = 0,
    where: Where = [],  # noqa: B006 - FastAPI copies it
    least: Annotated[float | None, Query(ge=-1, le=1)] = None,
    group: Annotated[str, Query(max_length=MAX_TEXT)] = "",
    facets: Annotated[list[str], Query(max_length=50)] = [],  # noqa: B006
) -> Response:
    """The same as ``POST /v1/search`` with ``product_id``."""
    own = serving(request)
    asked = SearchRequest(
        product_id=product_id, k=k, offset=offset, where=where, least=least, group=group, facets=facets
    )
    question = Question(asked.model_dump_json(exclude_unset=True))
    return await answer(own, access, question, then=partial(_told, own, access, offset=offset))


@router.get(
    "/products/{product_id:path}/variants", response_model=RowAnswer, summary="Other colours and cuts of a product"
)
async def variants(
    request: Request,
    access: Asking,
    product_id: str,
    k: Annotated[int, Query(ge=1, le=MAX_FOUND)] = 10,
    where: Where = [],  # noqa: B006
) -> Response:
    """The other variants of the product's model, those that look most like it first."""
    own = serving(request)
    if access.where:
        await own.quick(check_shown, own, access, product_id)
    found = await own.quick(own.store.variants, product_id, k=k, where=access.narrowed(Filter.parse(where)))
    return json_answer(shown(result_json(found), access))


@router.get("/facets", response_model=FacetsAnswer, summary="Values of fields, with how many products have them")
async def facets(
    request: Request,
    access: Asking,
    name: Annotated[list[str] | None, Query(max_length=50, description="Fields; the useful ones by default.")] = None,
    where: Where = [],  # noqa: B006
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """Counted among the products that pass ``where``."""
    own = serving(request)
    for each in name or ():
        access.check_field(each)
    found = await own.quick(own.store.facets, name, where=access.narrowed(Filter.parse(where)), limit=limit)
    told: dict[str, Any] = {field: dict(values) for field, values in found.items() if access.shows(field)}
    return json_answer({"facets": told})
