"""The same work for many items, on several workers, answers in order.

``open_runner("threads:")`` works in this process, ``open_runner("ray://host:10001")`` on the machines of a Ray cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Protocol, TypeVar

from lapel.core.errors import InputError
from lapel.core.registry import Backend, Registry

__all__ = ["RUNNERS", "Runner", "check_workers", "open_runner"]

RUNNERS = Registry(
    "runner",
    {"ray": Backend("lapel.runners.ray:RayRunner", "ray"), "threads": Backend("lapel.runners.threads:ThreadRunner")},
    "lapel.runners",
)

Item = TypeVar("Item")
Result = TypeVar("Result")


class Runner(Protocol):
    """What every runner can do."""

    @property
    def remote(self) -> bool:
        """Whether workers are other processes, perhaps on other machines: ``make``, items and results are then
        pickled."""
        ...

    def map(self, make: Callable[[], Callable[[Item], Result]], items: Iterable[Item]) -> Generator[Result, None, None]:
        """The result of each item, in the items' order.

        Items are fetched in the caller's thread and only a few ahead of the results, so both may be endless. An error
        in ``make``, in the work or in ``items`` is raised at its item's place and ends the run; closing the generator
        early stops the workers.

        Args:
            make: Runs once a worker and gives the function that works there, so costly things are built where they are
                used.
            items: What to work on.
        """
        ...


def check_workers(workers: int | None) -> None:
    """Raise an InputError for a number of workers below one."""
    if workers is not None and workers < 1:
        raise InputError(f"At least one worker is needed; found {workers}.")


def open_runner(spec: str = "threads:", *, workers: int | None = None) -> Runner:
    """Open a runner.

    Args:
        spec: ``threads:``, ``ray:``, ``ray:auto``, ``ray://host:10001``, or ``scheme:rest`` of an installed plugin.
        workers: How many work at once; by default one for each core.

    Raises:
        InputError: an unknown scheme, or fewer than one worker.
        MissingDependencyError: its library is not installed.
    """
    scheme, _, rest = spec.partition(":")
    runner: Runner = RUNNERS.find(scheme)(rest, workers=workers)
    return runner
