"""The runner door: the same work for many items, on several workers, answers in order.

``open_runner("threads:")`` works in this process, ``open_runner("ray://host:10001")`` on the machines of a Ray cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from lapel.core.registry import Backend, Registry

__all__ = ["RUNNERS", "Runner", "open_runner"]

RUNNERS = Registry(
    "runner",
    {
        "ray": Backend("lapel.runners.ray:RayRunner", "ray"),
        "threads": Backend("lapel.runners.threads:ThreadRunner"),
    },
    "lapel.runners",
)

Item = TypeVar("Item")
Result = TypeVar("Result")


class Runner(Protocol):
    """What every runner can do."""

    @property
    def elsewhere(self) -> bool:
        """Whether workers are other processes, perhaps on other machines: ``make``, items and results are then
        pickled."""
        ...

    def map(self, make: Callable[[], Callable[[Item], Result]], items: Iterable[Item]) -> Iterator[Result]:
        """The result of each item, in the items' order.

        ``make`` runs once a worker and gives the function that works there, so costly things are built where they are
        used. Items
        are fetched in the caller's thread and only a few ahead of the results, so both may be endless. An error in
        ``make``, in the
        work or in ``items`` is raised at its item's place and ends the run; closing the iterator early stops the
        workers.
        """
        ...


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
