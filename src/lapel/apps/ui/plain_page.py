"""Pages that the server answers by itself, without Streamlit: the password, and an address where nothing is."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from lapel.apps.ui.page_table import PAGES
from lapel.apps.ui.texts import language_for, text

if TYPE_CHECKING:
    from starlette.responses import HTMLResponse
    from starlette.types import ASGIApp, Receive, Scope, Send

# First parts of addresses where something is: the pages, pictures beside them, and what Streamlit itself serves.
KNOWN = {
    *("", "index.html", "login", "map-page", "thumbnail", "picture", "asked", "found"),
    *(row.name for row in PAGES),
    *("_stcore", "static", "media", "component", "app"),
}
_STYLE = (
    ":root{color-scheme:light dark}body{margin:0;font:16px/1.5 sans-serif;background:light-dark(#fbfaf8,#151412);"
    "color:light-dark(#1d1a18,#f2efe9)}main{max-width:22rem;margin:18vh auto;padding:0 1rem}h1{font:600 1.8rem serif}"
    "form{display:grid;gap:.7rem}input,button,.go{font:inherit;padding:.6rem .8rem;border-radius:6px;border:1px solid"
    " light-dark(#8a8178,#8a8178)}button,.go{background:#a13a50;color:#fff;border:0}p{margin:0}"
    ".go{display:inline-block;margin-top:1.2rem;text-decoration:none}"
)


def plain_page(language: str, title: str, body: str, *, status: int) -> HTMLResponse:
    """A small page.

    Args:
        language: Of its words.
        title: Its heading, as HTML.
        body: What stands below, as HTML.
        status: Of the answer.
    """
    from starlette.responses import HTMLResponse

    return HTMLResponse(
        f"<!doctype html><html lang='{language}'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'>"
        f"<title>{title}</title><style>{_STYLE}</style><main><h1>{title}</h1>{body}</main></html>",
        status_code=status,
        headers={
            "Cache-Control": "no-store",
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
        },
    )


class UnknownAddressMiddleware:
    """Says that nothing is at an address, where Streamlit would show a white page, and leads to the start.

    Only what a browser opens as a page is answered: scripts, pictures and connections go on to the app.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or connection."""
        if scope["type"] != "http" or scope["path"].split("/")[1] in KNOWN:
            await self._app(scope, receive, send)
            return
        from starlette.datastructures import Headers

        headers = Headers(scope=scope)
        opened = headers.get("sec-fetch-dest") or ("document" if "text/html" in headers.get("accept", "") else "")
        if opened != "document":
            await self._app(scope, receive, send)
            return
        language = language_for(headers.get("accept-language"))
        title, what, start = (
            html.escape(text(name, language=language)) for name in ("lost.title", "lost.what", "lost.start")
        )
        home = "../" * (scope["path"].count("/") - 1) or "./"
        body = f"<p>{what}</p><p><a class='go' href='{home}'>{start}</a></p>"
        await plain_page(language, title, body, status=404)(scope, receive, send)
