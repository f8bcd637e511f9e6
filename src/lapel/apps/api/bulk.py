"""``POST /v1/products:bulk``: many products at once, with a result for each."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
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
from lapel.service import ProductPut, PutResult

router = APIRouter(prefix="/v1", tags=["products"], responses=problems())
LINES = ("application/x-ndjson", "application/jsonl", "application/json-lines", "application/ndjson")
MAX_RATIO = 100  # of a ZIP's member: pictures hardly shrink
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
    members = _Members(archive, int(own.options.picture_mb * 2**20), int(own.options.bulk_mb * 2**20))
    return own.store.products.put_many([_read(line, members) for line in lines])


def _read(line: bytes, members: _Members) -> ProductPut | LapelError:
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


class _Members:
    """Pictures in a ZIP, unpacked when a row names them and never further than the limits.

    Args:
        data: The ZIP; empty for none.
        most: Bytes of one picture.
        in_all: Bytes of all of them together.
    """

    def __init__(self, data: bytes, most: int, in_all: int) -> None:
        self._most, self._left = most, in_all
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data)) if data else None
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise ProblemError(422, "broken_zip", f"'pictures' is no ZIP that can be read: {error}.") from error
        self._names = {info.filename: info for info in self._zip.infolist()} if self._zip else {}

    def of(self, names: list[str]) -> Mapping[str, bytes]:
        """The bytes of those names that are in the ZIP.

        Raises:
            TableError: one is too large or broken.
        """
        return {name: self._read(self._names[name]) for name in names if name in self._names}

    def _read(self, info: zipfile.ZipInfo) -> bytes:
        assert self._zip is not None
        limit = min(self._most, self._left)
        if info.file_size > limit or info.file_size > MAX_RATIO * max(info.compress_size, 1):
            raise TableError(
                f"'{info.filename[:80]}' in the ZIP unpacks to {info.file_size / 2**20:,.1f} MB, which is more than a"
                " picture may have here. Scale it down."
            )
        try:
            with self._zip.open(info) as file:
                data = file.read(limit + 1)
        except (zipfile.BadZipFile, zlib.error, OSError, ValueError, RuntimeError, EOFError) as error:
            raise TableError(f"'{info.filename[:80]}' in the ZIP cannot be read: {error}. Pack it again.") from error
        if len(data) > limit:
            raise TableError(f"'{info.filename[:80]}' in the ZIP unpacks to more than it says. Pack it again.")
        self._left -= len(data)
        return data
