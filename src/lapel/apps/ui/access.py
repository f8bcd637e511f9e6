"""Who may look and who may manage: a password, or the name that a proxy in front gives.

Without a password and without a proxy's header, everyone who reaches the server has the role that ``ui_role`` says.
With a password, its visitors sign in once; a cookie keeps it, signed with a key of this process, so a restart asks
again. Only a server that nobody can reach but through the proxy may trust a header.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import streamlit as st

from lapel.apps.ui.plain_page import plain_page
from lapel.apps.ui.texts import language_for, text
from lapel.service import settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

COOKIE = "lapel"
LOGIN = "/login"
HOURS = 12.0  # that a visitor stays signed in
LOOK, MANAGE = "look", "manage"
OPEN_PATHS = ("/_stcore/health",)  # what a watchdog asks
MOST_BYTES = 4096  # of a form with a password
WRONG_SECONDS = 1.0  # that a wrong password waits for its answer
_KEY = secrets.token_bytes(32)  # of this process


@dataclass(frozen=True)
class Access:
    """How visitors are let in.

    Attributes:
        password: Opens the page with the role ``manage``; empty for none.
        look_password: Opens it with the role ``look``.
        header: Where a proxy writes who asks; empty to trust none.
        managers: Names in that header that may manage; the others may look.
        role: What visitors may where neither is asked.
    """

    password: str = ""
    look_password: str = ""
    header: str = ""
    managers: tuple[str, ...] = ()
    role: str = MANAGE

    @classmethod
    def of_process(cls) -> Access:
        """As this process's settings say."""
        now = settings()
        return cls(
            now.ui_password.get_secret_value(),
            now.ui_look_password.get_secret_value(),
            now.ui_user_header,
            now.ui_managers,
            now.ui_role,
        )

    @property
    def asks(self) -> bool:
        """Whether a visitor must be somebody."""
        return bool(self.password or self.look_password or self.header)

    def role_of(self, given: str) -> str:
        """The role that a password opens; empty for none."""
        for password, role in ((self.password, MANAGE), (self.look_password, LOOK)):
            if password and hmac.compare_digest(given.encode(), password.encode()):
                return role
        return ""

    def role_for(self, headers: dict[str, str], cookies: dict[str, str]) -> str:
        """The role of a request; empty where it may not even look.

        Args:
            headers: Its headers, their names in small letters.
            cookies: Its cookies.
        """
        if not self.asks:
            return self.role
        if self.header and (name := headers.get(self.header.lower(), "").strip()):
            return MANAGE if name in self.managers else LOOK
        return read_cookie(cookies.get(COOKIE, ""))


def make_cookie(role: str, now: float | None = None) -> str:
    """A role that this process signs, until :data:`HOURS` from now."""
    until = f"{role}.{int((time.time() if now is None else now) + 3600 * HOURS)}"
    return f"{until}.{_sign(until)}"


def read_cookie(cookie: str, now: float | None = None) -> str:
    """The role of a cookie; empty for one that this process did not sign, or that is over.

    >>> read_cookie(make_cookie("look")), read_cookie(make_cookie("look").replace("look", "manage"))
    ('look', '')
    """
    until, _, signature = cookie.rpartition(".")
    role, _, end = until.rpartition(".")
    if not hmac.compare_digest(_sign(until).encode(), signature.encode()):
        return ""
    return role if float(end) > (time.time() if now is None else now) else ""


def _sign(text: str) -> str:
    return hmac.new(_KEY, text.encode(), hashlib.sha256).hexdigest()


def may_manage() -> bool:
    """Whether the visitor of this run may change anything."""
    context = st.context
    headers = {name.lower(): value for name, value in context.headers.items()}
    return Access.of_process().role_for(headers, dict(context.cookies)) == MANAGE


class AccessMiddleware:
    """Lets nobody in who may not look: pages, pictures and the connection behind them.

    Args:
        app: What is behind it.
        access: Who is let in.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or connection."""
        if scope["type"] not in ("http", "websocket") or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        from starlette.requests import HTTPConnection

        connection = HTTPConnection(scope)
        role = self._access.role_for(dict(connection.headers), dict(connection.cookies))
        if scope["type"] == "http" and scope["path"] == LOGIN and scope["method"] == "POST":
            await self._sign_in(scope, receive, send)
        elif role:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4401})
        else:
            language = connection.headers.get("accept-language", "")
            await _form(language, wrong=False, secret=bool(self._access.password or self._access.look_password))(
                scope, receive, send
            )

    async def _sign_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        import anyio
        from starlette.requests import Request
        from starlette.responses import RedirectResponse

        request = Request(scope, receive)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk[: MOST_BYTES - len(body)]
        given = parse_qs(body.decode("utf-8", "replace")).get("password", [""])[0]
        role = self._access.role_of(given)
        if not role:
            await anyio.sleep(WRONG_SECONDS)
            await _form(request.headers.get("accept-language", ""), wrong=True, secret=True)(scope, receive, send)
            return
        answer = RedirectResponse("/", status_code=303)
        secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
        answer.set_cookie(
            COOKIE, make_cookie(role), max_age=int(3600 * HOURS), httponly=True, samesite="strict", secure=secure
        )
        await answer(scope, receive, send)


def _form(accept: str, *, wrong: bool, secret: bool) -> ASGIApp:
    """The page that asks for the password, or says that a proxy must give a name."""
    language = language_for(accept)
    said = {name: html.escape(text(f"login.{name}", language=language)) for name in ("title", "label", "go", "wrong")}
    note = f"<p role='alert'>{said['wrong']}</p>" if wrong else ""
    if secret:
        body = (
            f"<form method='post' action='login'><label for='password'>{said['label']}</label>"
            "<input id='password' name='password' type='password' autocomplete='current-password' required autofocus>"
            f"{note}<button>{said['go']}</button></form>"
        )
    else:
        body = f"<p>{html.escape(text('login.proxy', language=language))}</p>"
    return plain_page(language, said["title"], body, status=401)
