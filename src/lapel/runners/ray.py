"""Work in processes of a Ray cluster: on all cores of this machine, or on many machines.

``ray:``, ``ray:auto``, ``ray://host:10001``.

What goes to a worker and what comes back is pickled, so items and results are values. A worker that is lost, with its
machine or without, is started again and gets its items again; as results only come back here, in order and once,
nothing is done twice here.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar

import ray as typed_ray
from ray.exceptions import RayError, RayTaskError

from lapel.core.errors import InputError, RunnerUnavailableError
from lapel.core.machine import cores
from lapel.core.text import reason_of
from lapel.runners import check_workers

ray: Any = typed_ray  # its types know neither classes made remote nor all of init's options

Item = TypeVar("Item")
Result = TypeVar("Result")

# Times a worker is started again before the run is given up: something then kills whoever works on its items.
RESTARTS = 3
ITEMS_PER_WORKER = 2  # items under way for each worker: one that is worked on, one that waits


class _Worker:
    """Lives in a process of the cluster.

    What it works with is made with its first item, so that an error in that is one of work.
    """

    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        self._make = make
        self._work: Callable[[Any], Any] | None = None

    def do(self, item: Any) -> Any:
        if self._work is None:
            self._work = self._make()
        return self._work(item)


class RayRunner:
    """Workers of a Ray cluster, one core each.

    Args:
        rest: Empty for this machine alone, ``auto`` for the cluster it belongs to, ``//host:port`` for one that is
            reached by address.
        workers: How many; by default one for each of the cluster's cores.

    Raises:
        InputError: another form, or fewer than one worker.
    """

    remote = True

    def __init__(self, rest: str = "", *, workers: int | None = None) -> None:
        if rest not in ("", "auto") and not (rest.startswith("//") and rest.strip("/")):
            raise InputError(
                f"A Ray runner is ray: (this machine), ray:auto (its cluster) or ray://host:10001; found 'ray:{rest}'."
            )
        check_workers(workers)
        self._address = f"ray:{rest}" if rest.startswith("//") else rest or "local"
        self._wanted = workers

    def map(self, make: Callable[[], Callable[[Item], Result]], items: Iterable[Item]) -> Generator[Result, None, None]:
        """The result of each item in order; at most two items for each worker are under way.

        Raises:
            RunnerUnavailableError: the cluster does not answer, or workers are lost again and again.
        """
        started = self._start()
        workers: list[Any] = []
        waiting: deque[Any] = deque()
        try:
            count = self._wanted or max(1, int(ray.cluster_resources().get("CPU", 1)))
            kind = ray.remote(_Worker).options(num_cpus=1, max_restarts=RESTARTS, max_task_retries=RESTARTS)
            workers = [kind.remote(make) for _ in range(count)]
            for number, item in enumerate(items):
                waiting.append(workers[number % count].do.remote(item))
                if len(waiting) >= ITEMS_PER_WORKER * count:
                    yield _result(waiting.popleft())
            while waiting:
                yield _result(waiting.popleft())
        finally:
            # Also on Ctrl-C or when the caller stops early: what is under way is dropped.
            for worker in workers:
                ray.kill(worker)
            if started:
                ray.shutdown()

    def _start(self) -> bool:
        """Join or start the cluster; whether that was done here, and not by the caller's own ``ray.init``."""
        if ray.is_initialized():
            return False
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is told to anyone
        more = {"num_cpus": self._wanted or cores(), "include_dashboard": False} if self._address == "local" else {}
        try:
            ray.init(self._address, log_to_driver=False, logging_level="ERROR", **more)
        except (RayError, OSError, RuntimeError, ValueError) as error:
            raise RunnerUnavailableError(
                f"The Ray cluster '{self._address}' cannot be joined: {reason_of(error)}. Start it (ray start --head),"
                f" or use --runner threads:"
            ) from error
        return True


def _result(reference: Any) -> Any:
    """What came of an item; the error of its work as it was raised there."""
    try:
        return ray.get(reference)
    except RayTaskError as error:
        raise error.cause from error
    except RayError as error:
        raise RunnerUnavailableError(
            f"A worker of the Ray cluster was lost {RESTARTS + 1} times, or the cluster is gone:"
            f" {str(error).splitlines()[0]}."
            " What was written is kept: run the same command again, or use --runner threads:"
        ) from error
