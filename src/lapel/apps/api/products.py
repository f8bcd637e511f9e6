"""``/v1/products``: read, browse, put, patch and remove products, one by one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response

from lapel.apps.api.access import needs
from lapel.apps.api.answers import json_answer, problems, shown
from lapel.apps.api.bodies import FORM, content_type, read_body, read_form
from lapel.apps.api.fields import ProductRequest, changed_product, checked_id, pictures_of, read_product, to_put
from lapel.apps.api.problems import ProblemError
from lapel.apps.api.questions import MAX_TEXT
from lapel.apps.api.schemas import ChangedAnswer, DetailsAnswer, PageAnswer, PricesAnswer
from lapel.apps.api.search import Asking, BelowProduct, Where, check_shown
from lapel.apps.api.serving import Serving, serving
from lapel.core.types import Filter
from lapel.service import Access, ProductDetails, PutResult, details_json, product_version

router = APIRouter(prefix="/v1", tags=["products"], responses=problems(412), route_class=BelowProduct)
Writing = Annotated[Access, Depends(needs("write"))]
IfMatch = Annotated[str | None, Header(description="The ETag that the product must have; * for any.", max_length=200)]
MAX_PICTURES_MB = 4  # pictures of the largest size that one product may bring at once
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/ProductRequest"}},
            FORM: {
                "schema": {
                    "type": "object",
                    "properties": {
                        "product": {"type": "string", "contentMediaType": "application/json"},
                        "images": {
                            "type": "array",
                            "items": {"type": "string", "contentMediaType": "application/octet-stream"},
                        },
                    },
                }
            },
        },
    }
}


@router.get("/products", response_model=PageAnswer, summary="Look through products")
async def browse(
    request: Request,
    access: Asking,
    words: Annotated[str, Query(max_length=MAX_TEXT, description="Whole words; all products without.")] = "",
    where: Where = [],  # noqa: B006 - FastAPI copies it
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
) -> Response:
    """In the order they were added, or those with all of some words, best match first. There is no last page: go on
    until one is empty."""
    own = serving(request)
    found = await own.quick(
        own.store.browse, words, where=access.narrowed(Filter.parse(where)), limit=limit, offset=offset
    )
    products = [details_json(each) for each in found.products]
    return json_answer(shown({"products": products, "total": found.total}, access))


@router.get("/products/{product_id:path}/prices", response_model=PricesAnswer, summary="What a product cost, by time")
async def prices(request: Request, access: Asking, product_id: str) -> Response:
    """The oldest first; empty for a key that does not show prices."""
    own = serving(request)
    if access.where:
        await own.quick(check_shown, own, access, product_id)
    found = await own.quick(own.store.price_history, product_id)
    return json_answer({"prices": [asdict(each) for each in found if access.shows("price")]})


@router.get("/products/{product_id:path}", response_model=DetailsAnswer, summary="One product with its photos")
async def read(
    request: Request,
    access: Asking,
    product_id: str,
    if_none_match: Annotated[str | None, Header(max_length=2000)] = None,
) -> Response:
    """Its ETag changes whenever it or its photos do."""
    own = serving(request)
    if access.where:
        await own.quick(check_shown, own, access, product_id)
    found = await own.quick(own.store.product, product_id)
    tag = etag(found)
    headers = {"ETag": tag, "Cache-Control": "no-cache, private"}
    if if_none_match and (if_none_match.strip() == "*" or tag in [t.strip() for t in if_none_match.split(",")]):
        return Response(status_code=304, headers=headers)
    return json_answer(shown(details_json(found), access), headers=headers)


@router.put(
    "/products/{product_id:path}",
    response_model=ChangedAnswer,
    status_code=200,
    responses={201: {"model": ChangedAnswer, "description": "It is new"}},
    summary="Add a product, or replace it",
    openapi_extra=BODY,
)
async def put(request: Request, access: Writing, product_id: str, if_match: IfMatch = None) -> Response:
    """What the body does not say is empty from now on, but for the pictures: without any, those that are stored stay.
    A new product needs at least one."""
    own = serving(request)
    sent, files = await _read(own, request)
    wanted = await own.quick(to_put, sent, product_id, files)
    with own.gate.enter(len(wanted.pictures or ())):
        result = await own.write(own.store.products.put, wanted, expect=_expected(if_match))
    return await _told(own, access, result)


@router.patch(
    "/products/{product_id:path}",
    response_model=ChangedAnswer,
    summary="Change some fields of a product",
    openapi_extra=BODY,
)
async def patch(request: Request, access: Writing, product_id: str, if_match: IfMatch = None) -> Response:
    """A merge patch (RFC 7396): fields that are not named stay, and null empties one."""
    own = serving(request)
    sent, files = await _read(own, request)
    checked_id(sent, product_id)
    pictures, held = await own.quick(pictures_of, sent, files)
    with own.gate.enter(len(pictures or ())):
        result = await own.write(
            own.store.products.patch,
            product_id,
            lambda now: changed_product(now, sent),
            pictures=pictures,
            files=held,
            expect=_expected(if_match),
        )
    return await _told(own, access, result)


@router.delete("/products/{product_id:path}", status_code=204, summary="Take a product out", response_model=None)
async def remove(request: Request, _: Writing, product_id: str, if_match: IfMatch = None) -> Response:
    """With its photos and vectors."""
    own = serving(request)
    await own.write(own.store.products.remove, product_id, expect=_expected(if_match))
    return Response(status_code=204)


def etag(found: ProductDetails) -> str:
    """A product's entity tag."""
    return f'"{product_version(found)}"'


def _expected(if_match: str | None) -> str | None:
    if if_match is None:
        return None
    return if_match.strip().removeprefix("W/").strip('"')


async def _read(own: Serving, request: Request) -> tuple[ProductRequest, dict[str, bytes]]:
    """A product's JSON, and the files that came along."""
    kind, most = content_type(request), own.options.picture_mb * 2**20
    if kind == FORM:
        form = await read_form(request, MAX_PICTURES_MB * most)
        for file in form.files.get("images", []):
            if len(file.data) > most:
                raise ProblemError(
                    413, "picture_too_large", f"'{file.name[:80]}' has more than {own.options.picture_mb:g} MB."
                )
        unknown = sorted((set(form.texts) - {"product"}) | (set(form.files) - {"images"}))
        if unknown:
            raise ProblemError(
                422, "invalid_fields", f"The form has 'product' and 'images'; found '{unknown[0][:80]}'."
            )
        files = {file.name or f"image-{at}": file.data for at, file in enumerate(form.files.get("images", []))}
        return read_product(form.texts.get("product") or "{}"), files
    if kind in ("application/json", "application/merge-patch+json", ""):
        return read_product(await read_body(request, MAX_PICTURES_MB * most)), {}
    raise ProblemError(415, "unknown_type", f"Send application/json or {FORM}; found '{kind[:80]}'.")


async def _told(own: Serving, access: Access, result: PutResult) -> Response:
    if result.state == "rejected":
        raise ProblemError(
            422, "unusable_product", " ".join(result.problems) or "It cannot be used.", more={"id": result.id}
        )
    found = await own.quick(own.store.product, result.id)
    told: dict[str, Any] = {**details_json(found), **result.to_json()}
    status = 201 if result.state == "added" else 200
    return json_answer(shown(told, access), status, {"ETag": etag(found)})
