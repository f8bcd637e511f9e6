"""Requests that a client repeats, as it never heard the answer: with an ``Idempotency-Key`` they are done once."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from fastapi import Header
from fastapi.responses import Response

from lapel.apps.api.problems import ProblemError
from lapel.apps.api.serving import Serving
from lapel.service import Access

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        description="Any text that is new for each request: sent again within a day, the first answer comes again.",
    ),
]


async def once(
    own: Serving, access: Access, key: str | None, body: Sequence[bytes], work: Callable[[], Awaitable[Response]]
) -> Response:
    """The answer of some work, or the one that the same request got before.

    Raises:
        ProblemError: 409, the first request is still being answered; 422, the key was another request's.
    """
    if key is None:
        return await work()
    name = hashlib.sha256(f"{access.key_id}\0{key}".encode()).hexdigest()
    asked = hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in body)).hexdigest()
    before = await own.quick(own.store.replays.begin, name, asked)
    if before is not None:
        if not before.same:
            raise ProblemError(422, "key_reused", "This Idempotency-Key was sent with another request. Make a new one.")
        if not before.status:
            detail = "The first request with this Idempotency-Key is still being answered. Ask again in 2 s."
            raise ProblemError(409, "still_at_it", detail, {"Retry-After": "2"})
        headers = {"Idempotent-Replayed": "true"}
        return Response(before.body, before.status, headers, media_type=before.type)
    try:
        answer = await work()
    except BaseException:  # it was not done, and may be tried again
        own.store.replays.forget(name)
        raise
    kind = answer.headers.get("content-type", "application/octet-stream")
    await own.quick(own.store.replays.finish, name, answer.status_code, kind, bytes(answer.body))
    return answer
