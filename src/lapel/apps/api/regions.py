"""``POST /v1/regions``: the products in a picture, to tap one of them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from lapel.apps.api.access import needs
from lapel.apps.api.answers import json_answer, problems
from lapel.apps.api.bodies import FORM, content_type, read_form
from lapel.apps.api.problems import ProblemError
from lapel.apps.api.schemas import RegionsAnswer
from lapel.apps.api.serving import Serving, serving
from lapel.service import decode

router = APIRouter(prefix="/v1", tags=["search"], responses=problems())


ONE_PICTURE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            FORM: {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {"image": {"type": "string", "contentMediaType": "application/octet-stream"}},
                }
            }
        },
    }
}


@router.post(
    "/regions",
    response_model=RegionsAnswer,
    summary="The products in a picture, each with its box",
    dependencies=[Depends(needs("search"))],
    openapi_extra=ONE_PICTURE,
)
async def regions(request: Request) -> Response:
    """The picture is the file ``image`` of a form. A box of the answer is a search's ``box``."""
    own = serving(request)
    data = await one_picture(request, own)
    with own.gate.enter():
        return json_answer(await own.decode(_found, own, data))


async def one_picture(request: Request, own: Serving) -> bytes:
    """The file ``image`` of a form that has nothing else.

    Raises:
        ProblemError: it is no such form, or the picture is too large.
    """
    limit = int(own.options.picture_mb * 2**20)
    if content_type(request) != FORM:
        raise ProblemError(415, "unknown_type", f"Send the picture as the file 'image' of {FORM}.")
    form = await read_form(request, limit + 2**16)
    images = form.files.get("image", [])
    if len(images) != 1 or form.texts or len(form.files) != 1:
        raise ProblemError(422, "invalid_fields", "The form has one file 'image' and nothing else.")
    if len(images[0].data) > limit:
        raise ProblemError(
            413, "picture_too_large", f"The picture has more than {own.options.picture_mb:g} MB. Scale it down."
        )
    return images[0].data


def _found(own: Serving, data: bytes) -> dict[str, object]:
    image = decode(data)
    width, height = image.size
    found = [
        {
            "box": [each.box[0] / width, each.box[1] / height, each.box[2] / width, each.box[3] / height],
            "kind": each.kind,
            "score": round(each.score, 4),
        }
        for each in own.store.regions(image)
    ]
    return {"regions": found, "width": width, "height": height}
