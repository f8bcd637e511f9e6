"""``POST /v1/duplicates``: is a picture that is not in the shop yet a copy of one that is?"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from lapel.apps.api.answers import json_answer, problems
from lapel.apps.api.regions import ONE_PICTURE, one_picture
from lapel.apps.api.schemas import CopiesAnswer
from lapel.apps.api.search import Asking
from lapel.apps.api.serving import Serving, serving
from lapel.core.types import Filter
from lapel.service import Access

router = APIRouter(prefix="/v1", tags=["search"], responses=problems())


@router.post(
    "/duplicates",
    response_model=CopiesAnswer,
    summary="Products whose picture this one copies",
    openapi_extra=ONE_PICTURE,
)
async def duplicates(request: Request, access: Asking) -> Response:
    """The picture is the file ``image`` of a form. Found are equal bytes and copies: cut, lit, mirrored, framed,
    written over, on a screen. Another colour of a product is no copy."""
    own = serving(request)
    data = await one_picture(request, own)
    with own.gate.enter():
        return json_answer(await own.decode(copies_of, own, access, data))


def copies_of(own: Serving, access: Access, data: bytes) -> dict[str, Any]:
    """What a picture is a copy of, among the products that whoever asks may see."""
    found = own.store.check_new_picture(data, where=access.narrowed(Filter()))
    told = [
        {"kind": each.kind, "product_id": each.product, "score": round(each.score, 4), "mirrored": each.mirrored}
        for each in found.matches
    ]
    return {"copies": told, "pictures": found.photos}
