"""Many requests at once, their answers in order: for the client that waits, and the one that awaits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
Progress = Callable[[int, "int | None"], None]
AT_ONCE = 16  # requests on their way: half a batch of the server's encoder


def in_order(
    ask: Callable[[Asked], Answer], asked: Iterable[Asked], at_once: int, progress: Progress | None
) -> Iterator[Answer]:
    """The answers, in threads."""
    with ThreadPoolExecutor(at_once, thread_name_prefix="lapel-client") as pool:
        waiting: deque[Future[Answer]] = deque()
        done = 0
        try:
            for each in asked:
                waiting.append(pool.submit(ask, each))
                if len(waiting) >= at_once:
                    yield waiting.popleft().result()
                    done = _told(progress, done)
            while waiting:
                yield waiting.popleft().result()
                done = _told(progress, done)
        finally:
            for left in waiting:
                left.cancel()


async def in_order_awaited(
    ask: Callable[[Asked], Awaitable[Answer]], asked: Iterable[Asked], at_once: int, progress: Progress | None
) -> AsyncIterator[Answer]:
    """The answers, in tasks."""
    waiting: deque[asyncio.Future[Answer]] = deque()
    done = 0
    try:
        for each in asked:
            waiting.append(asyncio.ensure_future(ask(each)))
            if len(waiting) >= at_once:
                yield await waiting.popleft()
                done = _told(progress, done)
        while waiting:
            yield await waiting.popleft()
            done = _told(progress, done)
    finally:
        for left in waiting:
            left.cancel()


def _told(progress: Progress | None, done: int) -> int:
    if progress is not None:
        progress(done + 1, None)
    return done + 1
