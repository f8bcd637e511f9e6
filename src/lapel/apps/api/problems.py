"""What went wrong, as RFC 9457 says it: ``application/problem+json`` with a status, a stable code and what to do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from lapel.core.errors import (
    IndexUnavailableError,
    InputError,
    LapelError,
    ModelMismatchError,
    QueryError,
    StoreBusyError,
    StoreError,
    StoreReadOnlyError,
)
from lapel.service import ChangedError, KeyRefusedError

logger = logging.getLogger("lapel.api")

MEDIA_TYPE = "application/problem+json"
BUSY_SECONDS = 5  # after which a request that met another writer may try again
TITLES = {
    400: "The request cannot be read",
    401: "A key is needed",
    403: "This is not allowed",
    404: "There is no such thing",
    405: "This method is not known here",
    408: "The request took too long",
    409: "This cannot be done now",
    411: "The length is missing",
    412: "It has changed meanwhile",
    413: "The request is too large",
    415: "This type of content is not taken",
    421: "This host is not served here",
    422: "The request cannot be used",
    429: "Too many requests",
    500: "An error of the server",
    503: "This cannot be done now",
}


class ProblemError(Exception):
    """An answer that says what is wrong.

    Args:
        status: The HTTP status.
        code: What programs go by; it stays the same whatever the words are.
        detail: What was asked, what was found and what to do.
        headers: To send along.
        more: The same facts for programs.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.headers, self.more = dict(headers or {}), dict(more or {})

    def to_json(self, request_id: str = "", instance: str = "") -> dict[str, Any]:
        """The body."""
        own = {
            "type": f"urn:lapel:problem:{self.code}",
            "title": TITLES.get(self.status, "An error"),
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            "code": self.code,
            "request_id": request_id,
        }
        return {**self.more, **own}


def of_error(error: LapelError) -> ProblemError:
    """The problem that an error of Lapel's is. What tells of the server's own files stays in its log."""
    facts = error.fields
    if isinstance(error, KeyRefusedError):
        return ProblemError(403, error.code, str(error))
    if isinstance(error, ChangedError):
        return ProblemError(412, error.code, str(error), more=facts)
    if isinstance(error, QueryError) and "product_id" in facts:
        return ProblemError(404, "unknown_product", str(error), more=facts)
    if isinstance(error, QueryError) and "job_id" in facts:
        return ProblemError(404, "unknown_job", str(error), more=facts)
    if isinstance(error, InputError):
        return ProblemError(422, error.code, str(error), more=facts)
    if isinstance(error, ModelMismatchError):
        return ProblemError(
            409, error.code, "The vector, or the shop, is of another model now. Ask with the picture again."
        )
    logger.warning("A request was refused: %s", error)
    if isinstance(error, StoreBusyError):
        detail = f"Another process is changing products, so nothing was changed. Try again in {BUSY_SECONDS} seconds."
        return ProblemError(503, error.code, detail, {"Retry-After": str(BUSY_SECONDS)})
    if isinstance(error, StoreReadOnlyError):
        return ProblemError(403, error.code, "The shop is served for reading only here; nothing was changed.")
    if isinstance(error, (StoreError, IndexUnavailableError)):
        detail = "The shop or its index cannot be used now. The server's log says why; try again in a while."
        return ProblemError(503, error.code, detail, {"Retry-After": "30"})
    return ProblemError(503, error.code, "The server lacks something that this needs. Its log says what.")


def answer(problem: ProblemError, request_id: str, instance: str) -> Response:
    """The response that tells a problem."""
    return JSONResponse(
        problem.to_json(request_id, instance), problem.status, headers=problem.headers, media_type=MEDIA_TYPE
    )


def install(app: FastAPI) -> None:
    """Let an app answer every error so."""

    def tell(request: Request, problem: ProblemError) -> Response:
        return answer(problem, request.scope.get("request_id", ""), request.url.path)

    async def own(request: Request, error: Exception) -> Response:
        assert isinstance(error, ProblemError)
        return tell(request, error)

    async def lapel(request: Request, error: Exception) -> Response:
        assert isinstance(error, LapelError)
        return tell(request, of_error(error))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        words = {404: f"There is nothing at {request.url.path}. /openapi.json lists what there is."}
        words[405] = f"{request.method} is not known at {request.url.path}. /openapi.json lists what is."
        detail = words.get(error.status_code, str(error.detail))
        codes = {404: "not_found", 405: "method_not_allowed"}
        code = codes.get(error.status_code, "http_error")
        return tell(request, ProblemError(error.status_code, code, detail, error.headers))

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return tell(request, from_validation(error.errors()))

    async def gone(request: Request, _: Exception) -> Response:
        return tell(request, ProblemError(400, "client_gone", "The client hung up before the request was complete."))

    async def unforeseen(request: Request, error: Exception) -> Response:
        logger.error("An error that nobody foresaw, at %s", request.url.path, exc_info=error)
        detail = "This should not happen. The server's log has the details; name the request id when you report it."
        return tell(request, ProblemError(500, "internal_error", detail))

    for kind, handler in (
        (ProblemError, own),
        (LapelError, lapel),
        (HTTPException, http),
        (RequestValidationError, invalid),
        (ClientDisconnect, gone),
        (Exception, unforeseen),
    ):
        app.add_exception_handler(kind, handler)


def from_validation(errors: Any) -> ProblemError:
    """What pydantic found wrong with the fields of a request: the first in words, all of them as ``errors``."""
    told = [
        {
            "field": ".".join(str(part) for part in each["loc"] if part not in ("body", "query", "path")),
            "problem": each["msg"],
        }
        for each in errors
    ][:20]
    first = told[0]
    where = f"The field '{first['field'][:80]}'" if first["field"] else "The body"
    unknown = errors[0]["type"] == "extra_forbidden"
    detail = f"{where} is not known here." if unknown else f"{where}: {first['problem']}."
    return ProblemError(
        422, "invalid_fields", f"{detail} /openapi.json says what may stand there.", more={"errors": told}
    )
