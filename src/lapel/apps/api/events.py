"""``/v1/events`` and ``/v1/people``: what people did, taken in, given out and erased."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from lapel.apps.api.access import needs
from lapel.apps.api.answers import json_answer, problems
from lapel.apps.api.bodies import content_type, read_body
from lapel.apps.api.problems import ProblemError
from lapel.apps.api.schemas import ErasureAnswer, EventsAnswer, PersonAnswer
from lapel.apps.api.serving import serving
from lapel.service import Access

router = APIRouter(prefix="/v1", tags=["events"], responses=problems())
Sending = Annotated[Access, Depends(needs("events"))]
Admin = Annotated[Access, Depends(needs("admin"))]
LINES = "application/x-ndjson"
MAX_BODY = 16 * 2**20  # bytes: about 100,000 events
EVENT = {
    "type": "object",
    "required": ["id", "person", "product", "kind", "time"],
    "properties": {
        "id": {"type": "string", "maxLength": 500},
        "person": {"type": "string"},
        "product": {"type": "string", "maxLength": 500},
        "kind": {"type": "string", "enum": ["view", "like", "dislike", "cart", "buy", "dismiss"]},
        "time": {"description": "Seconds since 1970, or ISO 8601.", "oneOf": [{"type": "number"}, {"type": "string"}]},
        "list_id": {"type": "string", "maxLength": 500},
    },
}
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["events"],
                    "properties": {"events": {"type": "array", "items": EVENT}},
                }
            },
            LINES: {"schema": {"type": "string"}},
        },
    }
}


@router.post("/events", response_model=EventsAnswer, summary="Keep what people did", openapi_extra=BODY)
async def record(request: Request, _: Sending) -> Response:
    """Each event counts once by its id, in any order, so a request may be sent again. What is no event is named and
    stops no other."""
    own = serving(request)
    kind = content_type(request)
    if kind not in ("application/json", LINES, ""):
        raise ProblemError(415, "unknown_type", f"Send application/json or {LINES}; found '{kind[:80]}'.")
    body = await read_body(request, MAX_BODY)
    events = await own.quick(_read, body, kind == LINES)
    report = await own.write(own.store.record, events)
    return json_answer(report.to_json())


@router.get("/people/{person:path}", response_model=PersonAnswer, summary="All that is known of a person")
async def export(request: Request, _: Admin, person: str) -> Response:
    """What they did, and the lists they were shown."""
    own = serving(request)
    found = await own.quick(own.store.export, person)
    return json_answer(found.to_json())


@router.delete("/people/{person:path}", response_model=ErasureAnswer, summary="Forget a person")
async def erase(request: Request, _: Admin, person: str) -> Response:
    """What they did, and the lists they were shown."""
    own = serving(request)
    gone = await own.write(own.store.erase, person)
    return json_answer({"events": gone.events, "lists": gone.lists})


def _read(body: bytes, lines: bool) -> list[Any]:
    """The events of a body, whatever they are.

    Raises:
        ProblemError: it is no JSON.
    """
    if lines:
        return [_line(line) for line in body.split(b"\n") if line.strip()]
    try:
        told = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProblemError(400, "broken_json", 'The body is no JSON. Send {"events": [...]}.') from error
    if not isinstance(told, dict) or not isinstance(told.get("events"), list) or set(told) != {"events"}:
        raise ProblemError(422, "invalid_fields", 'The body is {"events": [...]}.')
    found: list[Any] = told["events"]
    return found


def _line(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line.decode("utf-8", "replace")  # no event, and named so
