"""What happens to every request before its route: a request id, a look at the host it asks for, being counted, and
under overload the refusal of pictures."""

from __future__ import annotations

import ipaddress
import random
import re
import socket
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lapel.apps.api.bodies import FORM
from lapel.apps.api.problems import ProblemError, answer

if TYPE_CHECKING:
    from lapel.apps.api.serving import ApiOptions, Serving

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
SEARCH = "/v1/search"
PICTURE_BYTES = 1024  # a form as large as this brings a picture: words and products are never refused for pictures
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


class Entrance:
    """The outermost layer of the app.

    Args:
        app: What it is around.
        serving: What serves; known once the app runs.
    """

    def __init__(self, app: ASGIApp, serving: Serving) -> None:
        self._app = app
        self._serving = serving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI calls this for each request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        said = headers.get("x-request-id", "")
        own_id = scope["request_id"] = said if REQUEST_ID.fullmatch(said) else f"{random.getrandbits(128):032x}"
        begun, status = time.perf_counter(), 500

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                told = MutableHeaders(scope=message)
                told["X-Request-Id"] = own_id
                for name, value in HEADERS.items():
                    told.setdefault(name, value)
            await send(message)

        try:
            if not is_own_host(headers.get("host", ""), self._serving.options):
                detail = "This server does not go by the name in 'Host'. --allow-host adds one."
                await answer(ProblemError(421, "unknown_host", detail), own_id, scope["path"])(scope, receive, tell)
                return
            await self._app(scope, receive, tell)
        finally:
            route = getattr(scope.get("route"), "path", "other")  # never the path itself: there are too many
            self._serving.metrics.requests.labels(route, scope["method"], status).inc()
            self._serving.metrics.seconds.labels(route).observe(time.perf_counter() - begun)


class Overload:
    """Refuses pictures that find no place before anything else is done for them, their key and their body included:
    who is refused comes back, and under overload refusing is most of the work.

    Args:
        app: What it is around.
        serving: What serves; known once the app runs.
    """

    def __init__(self, app: ASGIApp, serving: Serving) -> None:
        self._app = app
        self._serving = serving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI calls this for each request."""
        asked = scope["type"] == "http" and (scope["method"], scope["path"]) == ("POST", SEARCH)
        if asked and _brings_picture(Headers(scope=scope)):
            try:
                self._serving.gate.check()
            except ProblemError as problem:
                self._serving.metrics.refused.labels("overloaded").inc()
                scope["route"] = SimpleNamespace(path=SEARCH)
                await answer(problem, scope["request_id"], SEARCH)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _brings_picture(headers: Headers) -> bool:
    length = headers.get("content-length", "")
    large = length.isdecimal() and int(length) >= PICTURE_BYTES
    return large and headers.get("content-type", "").lower().startswith(FORM)


def is_own_host(host: str, options: ApiOptions) -> bool:
    """Whether a request asks for this server: by an address, by this machine's name, or by a name that was allowed.

    A page of others cannot let its own name lead here (DNS rebinding), as a name is taken only when it is known.
    """
    if "*" in options.hosts:
        return True
    name = re.sub(r":\d{1,5}\Z", "", host.strip()).strip("[]").rstrip(".").lower()
    try:
        ipaddress.ip_address(name)
    except ValueError:
        known = ("localhost", options.host, socket.gethostname(), *options.hosts)
        return name in {each.lower() for each in known}
    return True
