"""Bodies of requests: as large and as slow as they may be, and files and fields of forms."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from lapel.apps.api.problems import ProblemError
from lapel.apps.api.serving import serving

MAX_JSON = 2**20  # bytes of a request that brings no picture
MAX_FILES = 1000
FORM = "multipart/form-data"


@dataclass(frozen=True)
class File:
    """A file of a form.

    Attributes:
        name: What the client calls it.
        data: Its bytes.
    """

    name: str
    data: bytes


@dataclass(frozen=True)
class Form:
    """A form: its text fields, and its files by field."""

    texts: dict[str, str]
    files: dict[str, list[File]]


def content_type(request: Request) -> str:
    """The kind of a request's body, without its parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: Request, most: float) -> bytes:
    """All of a body.

    Raises:
        ProblemError: 413, it is larger than ``most`` bytes; 408, it takes too long; 415, it is packed; 400, it was cut.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ProblemError(415, "packed_body", "Send the body as it is, without a Content-Encoding.")
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > most:
        raise _large(most)
    data = bytearray()
    try:
        async with asyncio.timeout(serving(request).options.body_seconds):
            async for chunk in request.stream():
                data += chunk
                if len(data) > most:
                    raise _large(most)
    except TimeoutError as error:
        raise ProblemError(
            408, "slow_body", "The body took too long to come. Send it again, or a smaller one."
        ) from error
    return bytes(data)


async def read_form(request: Request, most: float) -> Form:
    """A form.

    Raises:
        ProblemError: as :func:`read_body`; 400, it is broken.
    """
    data = await read_body(request, most)
    if data and not data.rstrip().endswith(b"--"):
        raise ProblemError(400, "broken_form", "The form was cut: its last boundary is missing. Send it again.")

    async def once() -> AsyncGenerator[bytes, None]:
        yield data

    try:
        parser = MultiPartParser(request.headers, once(), max_files=MAX_FILES, max_fields=50, max_part_size=MAX_JSON)
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise ProblemError(
            400, "broken_form", f"The form cannot be read: {error}. Send multipart/form-data."
        ) from error
    texts: dict[str, str] = {}
    files: dict[str, list[File]] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            files.setdefault(name, []).append(File(value.filename or "", await value.read()))
        else:
            texts[name] = value
    await form.close()
    return Form(texts, files)


def _large(most: float) -> ProblemError:
    return ProblemError(
        413, "too_large", f"The body is larger than {most / 2**20:.3g} MB, the most that is taken here."
    )
