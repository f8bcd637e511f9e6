"""Work in threads of this process: right for decoding and reading, which let go of Python's lock while they work."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from lapel.core.errors import InputError
from lapel.core.machine import cores
from lapel.runners import check_workers

Item = TypeVar("Item")
Result = TypeVar("Result")


class ThreadRunner:
    """A pool of threads for one call of :meth:`map` at a time.

    Args:
        rest: Nothing.
        workers: Threads; by default as many as this process may use cores.

    Raises:
        InputError: fewer than one worker.
    """

    remote = False

    def __init__(self, rest: str = "", *, workers: int | None = None) -> None:
        if rest:
            raise InputError(
                f"The runner 'threads:' takes nothing after the colon; found '{rest}'. Give the number of workers"
                f" apart."
            )
        check_workers(workers)
        self.workers = workers or cores()

    def map(self, make: Callable[[], Callable[[Item], Result]], items: Iterable[Item]) -> Generator[Result, None, None]:
        """The result of each item in order; at most ``workers + 1`` items are under way."""
        local = threading.local()

        def work(item: Item) -> Result:
            if not hasattr(local, "function"):
                local.function = make()
            function: Callable[[Item], Result] = local.function
            return function(item)

        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="lapel-runner")
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            # Also on Ctrl-C or when the caller stops early: what has not begun is dropped, what runs is waited for.
            pool.shutdown(wait=True, cancel_futures=True)
