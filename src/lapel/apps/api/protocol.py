"""HTTP on a connection: what is no HTTP at all, too long or too slow in its head is told as every other problem.

Such requests never reach the app, and uvicorn by itself answers them with a line of plain text, or not at all.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from lapel.apps.api.problems import MEDIA_TYPE, ProblemError

MAX_HEAD = 2**16  # bytes of a request's line and headers: the parser knows no longer addresses either
HEAD_SECONDS = 30.0  # how long they may take to come


class Protocol(HttpToolsProtocol):
    """One connection."""

    _coming = 0  # bytes of a head that is not whole
    _heading = True
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Asyncio calls this."""
        super().connection_made(transport)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """Asyncio calls this."""
        self._end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Asyncio calls this."""
        super().data_received(data)
        if self._heading and not self.transport.is_closing():
            self._coming += len(data)
            if self._coming > MAX_HEAD:
                self.send_400_response("")

    def on_message_begin(self) -> None:
        """The parser calls this, as the next."""
        super().on_message_begin()
        self._end()
        self._begin()

    def on_headers_complete(self) -> None:
        """The request goes to the app now."""
        super().on_headers_complete()
        self._end()
        self._heading = False

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - it says no more than the name does
        """Tell that it is no request, and hang up."""
        detail = f"This is no HTTP, or its address and headers have more than {MAX_HEAD:,} bytes. Send it otherwise."
        self._refuse(ProblemError(400, "bad_request", detail))

    def _begin(self) -> None:
        self._coming, self._heading = 0, True
        self._late = self.loop.call_later(HEAD_SECONDS, self._slow)

    def _end(self) -> None:
        if self._late is not None:
            self._late.cancel()

    def _slow(self) -> None:
        if not self.transport.is_closing():
            self._refuse(ProblemError(408, "slow_head", "The headers took too long to come. Send the request again."))

    def _refuse(self, problem: ProblemError) -> None:
        request_id = uuid.uuid4().hex
        body = json.dumps(problem.to_json(request_id)).encode()
        head: dict[str, Any] = {
            "content-type": MEDIA_TYPE,
            "content-length": len(body),
            "x-request-id": request_id,
            "connection": "close",
        }
        lines = [f"HTTP/1.1 {problem.status} {problem.to_json()['title']}", *(f"{n}: {v}" for n, v in head.items())]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        self.transport.close()
