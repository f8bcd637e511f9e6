"""``/m`` and ``/widget.js``: the files that ``make web`` builds, with what browsers need to keep them and trust them.

A page may load and ask nothing but its own server. Files whose name holds a hash of their content are kept for ever.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response

from lapel.apps.api.problems import ProblemError

router = APIRouter(include_in_schema=False)
STATIC = Path(__file__).parent / "static"
FOR_EVER = "public, max-age=31536000, immutable"
HASHED = re.compile(r"assets/[^/]+-[A-Za-z0-9_-]{8,}\.\w+")
# 'wasm-unsafe-eval' compiles WebAssembly and nothing else; the networks on the phone run in it.
PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "worker-src 'self'",
        "manifest-src 'self'",
        "media-src 'self' blob:",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
NOT_BUILT = (
    "The phone page is not built here: run 'make web' (it needs npm), or install Lapel's wheel, which holds it.\n"
)
TYPES = {".webmanifest": "application/manifest+json", ".js": "text/javascript", ".wasm": "application/wasm"}


@dataclass(frozen=True)
class _File:
    data: bytes
    packed: bool  # by gzip
    kind: str
    tag: str


@cache
def _names(folder: Path) -> dict[str, Path]:
    """The files of a folder by the name they are asked for: ``a.wasm`` for ``a.wasm.gz``."""
    return {
        path.relative_to(folder).as_posix().removesuffix(".gz"): path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@cache
def _read(path: Path) -> _File:
    data, packed = path.read_bytes(), path.suffix == ".gz"
    suffix = Path(path.name.removesuffix(".gz")).suffix
    kind = TYPES.get(suffix) or mimetypes.guess_type(f"a{suffix}")[0] or "application/octet-stream"
    return _File(data, packed, kind, f'"{hashlib.sha256(data).hexdigest()[:32]}"')


def _answer(request: Request, name: str, headers: dict[str, str]) -> Response:
    path = _names(STATIC).get(name)
    if path is None:
        if not _names(STATIC):
            return PlainTextResponse(NOT_BUILT, 404)
        raise ProblemError(404, "not_found", "There is no such page here. /m is the phone page.")
    file = _read(path)
    headers = {"ETag": file.tag, "Vary": "Accept-Encoding", **headers}
    if file.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    data = file.data
    if file.packed and "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
    elif file.packed:
        data = gzip.decompress(data)
    return Response(data, media_type=file.kind, headers=headers)


@router.api_route("/m", methods=["GET", "HEAD"])
async def phone_start() -> Response:
    """The page's addresses are below ``/m/``."""
    return RedirectResponse("/m/", 308)


@router.api_route("/m/{name:path}", methods=["GET", "HEAD"])
async def phone(request: Request, name: str) -> Response:
    """A file of the phone page."""
    headers = {"Content-Security-Policy": PAGE_POLICY, "Cross-Origin-Opener-Policy": "same-origin"}
    headers["Cache-Control"] = FOR_EVER if HASHED.fullmatch(name) else "no-cache"
    headers["Permissions-Policy"] = "camera=(self), microphone=(), geolocation=()"
    return _answer(request, f"m/{name or 'index.html'}", headers)


@router.api_route("/widget.js", methods=["GET", "HEAD"])
async def widget(request: Request) -> Response:
    """The script that puts rows of products on a shop's own page."""
    headers = {"Cache-Control": "public, max-age=3600", "Cross-Origin-Resource-Policy": "cross-origin"}
    return _answer(request, "widget.js", {**headers, "Access-Control-Allow-Origin": "*"})
