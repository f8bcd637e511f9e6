"""``/v1/feeds`` and ``/v1/jobs``: work that goes on after its answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from lapel.apps.api.access import needs
from lapel.apps.api.answers import json_answer, problems, shown_findings
from lapel.apps.api.bodies import FORM, MAX_JSON, content_type, read_body, read_form
from lapel.apps.api.problems import ProblemError, from_validation
from lapel.apps.api.replay import IdempotencyKey, once
from lapel.apps.api.schemas import JobAnswer, JobsAnswer
from lapel.apps.api.serving import Serving, serving
from lapel.service import Access, fetch_link

router = APIRouter(prefix="/v1", tags=["jobs"], responses=problems(409))
Writing = Annotated[Access, Depends(needs("write"))]
KINDS = {"json": "application/json", "csv": "text/csv", "html": "text/html"}
FEED_SECONDS = 60.0  # that a link to a feed may take


class Webhook(BaseModel):
    """Who is told of a job's end: a signed POST, tried again for a while when it fails."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    webhook: Annotated[str, Field(max_length=2000, pattern="^https?://")] | None = None
    webhook_secret: Annotated[str, Field(min_length=16, max_length=200)] | None = None


class FeedRequest(Webhook):
    """A table of products: the file ``table`` of a form, or a link. Its pictures are links.

    ``whole`` takes it for all there is: products that it does not name are hidden.
    """

    url: Annotated[str, Field(max_length=4096)] | None = None
    whole: bool = False
    feed: Annotated[str, Field(max_length=200)] = ""
    force: bool = False
    mapping: Annotated[list[Annotated[str, Field(max_length=500)]], Field(max_length=100)] = []


@router.post(
    "/feeds",
    response_model=JobAnswer,
    status_code=202,
    summary="Add or sync a whole feed, as a job",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/FeedRequest"}},
                FORM: {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "table": {"type": "string", "contentMediaType": "application/octet-stream"},
                            "options": {"type": "string", "contentMediaType": "application/json"},
                        },
                    }
                },
            },
        }
    },
)
async def feeds(request: Request, access: Writing, idempotency_key: IdempotencyKey = None) -> Response:
    """The job's id comes at once; ``GET /v1/jobs/{id}`` says how far it is."""
    own = serving(request)
    kind, most = content_type(request), own.options.bulk_mb * 2**20
    table = b""
    if kind == FORM:
        form = await read_form(request, most)
        asked = read_model(FeedRequest, form.texts.get("options") or "{}")
        tables = form.files.get("table", [])
        if len(tables) != 1 or asked.url:
            raise ProblemError(422, "invalid_fields", "The form needs one file 'table', and no url beside it.")
        table = tables[0].data
    elif kind in ("application/json", ""):
        asked = read_model(FeedRequest, await read_body(request, MAX_JSON))
        if not asked.url:
            raise ProblemError(422, "invalid_fields", "Give the feed's url, or send a form with the file 'table'.")
    else:
        raise ProblemError(415, "unknown_type", f"Send application/json or {FORM}; found '{kind[:80]}'.")

    async def work() -> Response:
        held = table
        if asked.url:
            held = await own.fetch(fetch_link, asked.url, timeout=FEED_SECONDS, max_bytes=int(most))
        job = await own.quick(
            own.store.jobs.add_feed,
            held,
            whole=asked.whole,
            feed=asked.feed,
            force=asked.force,
            mapping=tuple(asked.mapping),
            **told_to(asked, access),
        )
        return begun(job)

    return await once(own, access, idempotency_key, (b"feed", asked.model_dump_json().encode(), table), work)


@router.get("/jobs", response_model=JobsAnswer, summary="The last jobs, the newest first")
async def last(request: Request, access: Writing, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
    """A key sees its own; an administrator's sees all."""
    own = serving(request)
    found = await own.quick(own.store.jobs.list, limit)
    return json_answer({"jobs": [job.to_json() for job in found if _sees(access, job)]})


@router.get("/jobs/{job_id}", response_model=JobAnswer, summary="How far a job is, and what came of it")
async def read(request: Request, access: Writing, job_id: str) -> Response:
    """``state`` is queued, running, done, failed or cancelled."""
    return json_answer((await _find(serving(request), access, job_id)).to_json())


@router.post("/jobs/{job_id}/cancel", response_model=JobAnswer, summary="Stop a job; what it has done stays")
async def cancel(request: Request, access: Writing, job_id: str) -> Response:
    """One that nobody began ends at once, another within seconds."""
    own = serving(request)
    await _find(own, access, job_id)
    return json_answer((await own.quick(own.store.jobs.cancel, job_id)).to_json())


@router.get(
    "/jobs/{job_id}/errors.csv",
    summary="What a feed held that could not be used",
    response_class=Response,
    responses={200: {"description": "A line for each", "content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def errors(request: Request, access: Writing, job_id: str) -> Response:
    """Line, product, picture, outcome and reason."""
    own = serving(request)
    await _find(own, access, job_id)
    text = await own.quick(own.store.jobs.errors_csv, job_id)
    name = {"Content-Disposition": "attachment; filename=errors.csv"}
    return Response(text, media_type="text/csv", headers=name)


@router.get(
    "/jobs/{job_id}/findings.{form}",
    summary="What a question of the catalogue found",
    response_class=Response,
    responses={
        200: {
            "description": "All of it as JSON, a table, or a page of pictures",
            "content": {kind: {"schema": {"type": "string"}} for kind in ("text/csv", "text/html")}
            | {"application/json": {"schema": {"type": "object"}}},
        }
    },
)
async def findings(request: Request, access: Writing, job_id: str, form: Literal["json", "csv", "html"]) -> Response:
    """Of a job of ``/v1/insight`` that is done. Paths of the server's files are for its administrators."""
    own = serving(request)
    await _find(own, access, job_id)
    data = await own.quick(own.store.jobs.findings, job_id, form)
    told = await own.quick(shown_findings, data, form, access)
    name = {"Content-Disposition": f"attachment; filename=findings.{form}", "Cache-Control": "no-store"}
    return Response(told, media_type=KINDS[form], headers=name)


async def _find(own: Serving, access: Access, job_id: str) -> Any:
    if "\0" not in job_id:
        job = await own.quick(own.store.jobs.get, job_id)
        if _sees(access, job):
            return job
    raise ProblemError(404, "unknown_job", f"There is no job '{job_id[:80]}' of yours.")


def _sees(access: Access, job: Any) -> bool:
    return access.allows("admin") or access.key_id == job.owner


def read_model(model: type[BaseModel], text: bytes | str) -> Any:
    """The JSON of a body, checked.

    Raises:
        ProblemError: it cannot be used.
    """
    try:
        return model.model_validate_json(text or b"{}")
    except pydantic.ValidationError as error:
        raise from_validation(error.errors(include_url=False, include_input=False, include_context=False)) from None


def told_to(asked: Any, access: Access) -> dict[str, str]:
    """Whose a job is and who is told of its end."""
    return {"owner": access.key_id, "webhook": asked.webhook or "", "webhook_secret": asked.webhook_secret or ""}


def begun(job: Any) -> Response:
    """A job that was begun. What signs its webhook is shown this once."""
    more = {"webhook_secret": job.webhook_secret} if job.webhook else {}
    return json_answer({**job.to_json(), **more}, 202, {"Location": f"/v1/jobs/{job.id}"})
