"""``POST /v1/products:bulk``: many products at once, with a result for each."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from lapel.apps.api.answers import problems
from lapel.apps.api.bodies import FORM, content_type, read_body, read_form
from lapel.apps.api.fields import read_product, row_problem, to_put
from lapel.apps.api.problems import ProblemError
from lapel.apps.api.products import Writing
from lapel.apps.api.replay import IdempotencyKey, once
from lapel.apps.api.serving import Serving, serving
from lapel.core.errors import LapelError, TableError
from lapel.service import ProductPut, PutResult, UploadedZip

router = APIRouter(prefix="/v1", tags=["products"], responses=problems())
LINES = ("application/x-ndjson", "application/jsonl", "application/json-lines", "application/ndjson")
SCHEMA = {"type": "string", "description": "A product a line, as JSON.", "contentMediaType": LINES[0]}


@router.post(
    "/products:bulk",
    summary="Add or replace many products",
    response_class=Response,
    responses={200: {"description": "A result a line, as JSON", "content": {LINES[0]: {"schema": {"type": "string"}}}}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                LINES[0]: {"schema": SCHEMA},
                FORM: {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "rows": SCHEMA,
                            "pictures": {
                                "type": "string",
                                "contentMediaType": "application/zip",
                                "description": "A ZIP of the pictures that rows name.",
                            },
                        },
                    }
                },
            },
        }
    },
)
async def bulk(request: Request, access: Writing, idempotency_key: IdempotencyKey = None) -> Response:
    """Each line is a product with its ``id`` and ``pictures``: links, ``data:`` addresses, or names in a ZIP that comes
    as the file ``pictures`` of a form. A line that cannot be used never stops the others."""
    own = serving(request)
    kind, most = content_type(request), own.options.bulk_mb * 2**20
    archive = b""
    if kind == FORM:
        form = await read_form(request, most)
        rows = form.texts.get("rows", "").encode() or b"".join(file.data for file in form.files.get("rows", []))
        archive = b"".join(file.data for file in form.files.get("pictures", [])[:1])
    elif kind in LINES:
        rows = await read_body(request, most)
    else:
        raise ProblemError(415, "unknown_type", f"Send {LINES[0]} or {FORM}; found '{kind[:80]}'.")
    lines = [line for line in rows.split(b"\n") if line.strip()]
    if not lines:
        raise ProblemError(422, "empty_bulk", "There is no line. Send a product a line, as JSON.")
    if len(lines) > own.options.bulk_rows:
        raise ProblemError(
            413,
            "too_many_rows",
            f"{len(lines):,} lines are more than {own.options.bulk_rows:,}. Send several bulks, or a feed: POST"
            " /v1/feeds.",
        )

    async def work() -> Response:
        with own.gate.enter(len(lines)):
            results = await own.write(_put, own, lines, archive)
        body = "".join(json.dumps(each.to_json(), ensure_ascii=False) + "\n" for each in results)
        return Response(body, media_type=LINES[0])

    return await once(own, access, idempotency_key, (b"bulk", rows, archive), work)


def _put(own: Serving, lines: list[bytes], archive: bytes) -> list[PutResult]:
    members = UploadedZip(archive, int(own.options.picture_mb * 2**20), int(own.options.bulk_mb * 2**20))
    return own.store.products.put_many([_read(line, members) for line in lines])


def _read(line: bytes, members: UploadedZip) -> ProductPut | LapelError:
    """A line's product, or what is wrong with it."""
    product_id = ""
    try:
        sent = read_product(line)
        product_id = sent.id or ""
        files = members.of(sent.pictures or [])
        wanted = to_put(sent, "", files)
        return wanted
    except ProblemError as problem:
        return row_problem(problem, product_id or _id_of(line))
    except LapelError as error:
        return TableError(str(error), id=product_id)


def _id_of(line: bytes) -> str:
    """The id of a line that cannot be used, if it says one."""
    try:
        told: Any = json.loads(line)
        return str(told["id"])[:500] if isinstance(told, dict) and "id" in told else ""
    except (ValueError, RecursionError):
        return ""
