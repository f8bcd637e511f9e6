"""Pictures of different requests go through the encoder together: whatever waits when it is free is the next batch.

A worker takes all that waits, up to :data:`BATCH`, without ever waiting for more: alone, a picture goes at once; under
load, batches fill while the encoder has another one. What is wrong with one picture is told to its own request only.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from lapel.apps.api.problems import ProblemError
from lapel.core.types import Query, SearchResult

BATCH = 32  # pictures encoded together
WORKERS = 2  # while one has the network, the other looks up and groups what it found


class Search(Protocol):
    """Answers several queries at once, with errors in place of answers; ``encoded`` is called when the encoder is free
    for others. See :meth:`lapel.service.Store.search_batch`."""

    def __call__(self, queries: Sequence[Query], *, encoded: Callable[[], None]) -> Sequence[SearchResult | Exception]:  # noqa: D102
        ...


class Gate:
    """How many pictures may be on their way at once; the next one is told to come back.

    One rule for all: whoever brings pictures takes places for them, a bulk as many as a batch has at most.

    Args:
        places: How many.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self.taken = 0
        self.refused = 0
        self._lock = threading.Lock()
        self._pace = 0.1  # seconds a picture took lately

    @contextmanager
    def enter(self, pictures: int = 1) -> Iterator[None]:
        """Take places while something is done.

        Raises:
            ProblemError: 429, there are not enough; ``Retry-After`` says when there should be.
        """
        wanted = max(1, min(pictures, BATCH, self.places))
        with self._lock:
            self._check(wanted)
            self.taken += wanted
        begun = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                share = (time.monotonic() - begun) / max(1, self.taken)
                self._pace = 0.9 * self._pace + 0.1 * share
                self.taken -= wanted

    def check(self) -> None:
        """Refuse at once what would be refused after its body was read: under overload that is most of the work.

        Raises:
            ProblemError: as :meth:`enter`, for one picture.
        """
        with self._lock:
            self._check(1)

    def _check(self, wanted: int) -> None:
        if self.taken + wanted > self.places:
            self.refused += 1
            seconds = max(1, round(self.taken * self._pace))
            raise ProblemError(
                429,
                "overloaded",
                f"{self.taken} pictures are on their way already. Come back in {seconds} s.",
                {"Retry-After": str(seconds)},
            )


@dataclass(eq=False)
class _Waiting:
    query: Query
    then: Callable[[SearchResult], Any]
    future: asyncio.Future[Any]

    def tell(self, found: SearchResult | Exception) -> None:
        """Called in a worker."""
        told: Any = found
        if not isinstance(found, Exception) and not self.future.cancelled():
            try:
                told = self.then(found)
            except Exception as error:
                told = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.future.get_loop().call_soon_threadsafe(self._set, told)

    def _set(self, found: Any) -> None:
        if self.future.done():  # the client hung up
            return
        if isinstance(found, Exception):
            self.future.set_exception(found)
        else:
            self.future.set_result(found)


class Batcher:
    """Searches with pictures, batched as they come.

    Args:
        search: Answers several queries at once.
        workers: How many batches are on their way at once.
        told: Called with the size of each batch and the seconds it took.
    """

    def __init__(
        self, search: Search, *, workers: int = WORKERS, told: Callable[[int, float], None] = lambda _size, _took: None
    ) -> None:
        self._search = search
        self._told = told
        self._waiting: deque[_Waiting] = deque()
        self._some = threading.Condition()
        self._encoding = False  # whether a worker has the encoder: until then nothing more is taken
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"lapel-batch-{number}", daemon=True) for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """How many pictures no worker has taken yet."""
        return len(self._waiting)

    async def search(self, query: Query, then: Callable[[SearchResult], Any] = lambda found: found) -> Any:
        """What ``then`` makes of the answer to one query, from whatever batch it comes into.

        ``then`` is called in the worker: the network has the next batch already, and a thread of its own would cost
        more than it does.

        Raises:
            LapelError: as ``store.search``.
        """
        future = asyncio.get_running_loop().create_future()
        self.put(query, then, future)
        return await future

    def put(self, query: Query, then: Callable[[SearchResult], Any], future: asyncio.Future[Any]) -> None:
        """Let a future have what :meth:`search` returns. From any thread: whoever has read the picture need not go by
        the event loop.

        Raises:
            ProblemError: 503, it is being closed.
        """
        with self._some:
            if self._closed:
                raise ProblemError(503, "closing", "The server is being stopped. Ask again.", {"Retry-After": "1"})
            self._waiting.append(_Waiting(query, then, future))
            self._some.notify()

    def close(self) -> None:
        """Answer what is waiting, and end."""
        with self._some:
            self._closed = True
            self._some.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._some:
                while self._encoding or not (self._waiting or self._closed):
                    self._some.wait()
                taken = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                asked = [each for each in taken if not each.future.cancelled()]
                self._encoding = bool(asked)
            if not taken:
                return
            if not asked:
                continue
            begun = time.monotonic()
            free = _Once(self._free)
            try:
                found = self._search([each.query for each in asked], encoded=free)
            except BaseException as error:  # a worker must not die of what it is given
                found = [error if isinstance(error, Exception) else RuntimeError(str(error))] * len(asked)
            finally:
                free()
            for each, answer in zip(asked, found, strict=True):
                each.tell(answer)
            self._told(len(asked), time.monotonic() - begun)

    def _free(self) -> None:
        with self._some:
            self._encoding = False
            self._some.notify_all()


class _Once:
    """Calls something the first time it is called itself: a batch that fails frees the encoder only once."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call: Callable[[], None] | None = call

    def __call__(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call()
