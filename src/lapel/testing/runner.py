# ruff: noqa: D102
"""What every runner must do, as tests that any backend inherits: :class:`RunnerContract`.

A package that brings a runner subclasses it in its own tests and says how one is opened; pytest finds the inherited
tests by the subclass's name::

    from lapel.testing import RunnerContract

    class TestMine(RunnerContract):
        def open(self, workers):
            return MyRunner(workers=workers)

``lapel.runners`` is the entry-point group that makes ``open_runner("mine:...")`` find it.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import pytest

from lapel.core.errors import InputError
from lapel.runners import Runner

BAD_ITEM = 5


def square() -> Callable[[int], tuple[int, int, str]]:
    """Works slowest on the first of every three: its square, the process, and which worker's function this is."""
    made = uuid.uuid4().hex

    def work(number: int) -> tuple[int, int, str]:
        time.sleep(0.01 * (number % 3 == 0))
        return number * number, os.getpid(), made

    return work


def fail_at_one() -> Callable[[int], int]:
    """Raises at :data:`BAD_ITEM`."""

    def work(number: int) -> int:
        if number == BAD_ITEM:
            raise ValueError("bad item")
        return number

    return work


def no_worker() -> Callable[[int], int]:
    """Cannot be made."""
    raise RuntimeError("no worker")


def same() -> Callable[[int], int]:
    """Gives what it gets."""
    return _same


def _same(item: int) -> int:
    return item


class RunnerContract:
    """Subclass it, give ``open``, and every test below runs against your runner."""

    most_ahead = 2  # items under way for each worker, at most

    def open(self, workers: int) -> Runner:
        """A runner with so many workers."""
        raise NotImplementedError

    def check_idle(self) -> None:
        """Override it to raise an AssertionError when a run that has ended left workers behind."""

    @pytest.mark.parametrize("workers", [1, 2])
    def test_results_come_in_the_items_order(self, workers: int) -> None:
        found = list(self.open(workers).map(square, range(30)))
        assert [squared for squared, _, _ in found] == [number * number for number in range(30)]
        self.check_idle()

    def test_a_function_is_made_once_a_worker(self) -> None:
        runner = self.open(2)
        found = list(runner.map(square, range(30)))
        assert 1 <= len({made for _, _, made in found}) <= 2
        assert (os.getpid() in {process for _, process, _ in found}) is not runner.remote

    def test_no_items_give_no_results(self) -> None:
        assert list(self.open(1).map(same, [])) == []
        self.check_idle()

    def test_an_error_of_the_work_is_raised_at_its_place(self) -> None:
        seen: list[int] = []
        with pytest.raises(ValueError, match="bad item"):
            seen.extend(self.open(2).map(fail_at_one, range(100)))
        assert seen == list(range(BAD_ITEM))
        self.check_idle()

    def test_an_error_of_a_worker_or_of_the_items_is_raised(self) -> None:
        def items() -> Iterator[int]:
            yield 1
            raise KeyError("no item")

        with pytest.raises(RuntimeError, match="no worker"):
            list(self.open(1).map(no_worker, [1]))
        seen: list[int] = []
        with pytest.raises(KeyError, match="no item"):
            seen.extend(self.open(1).map(same, items()))
        assert seen in ([], [1])
        self.check_idle()

    @pytest.mark.parametrize("workers", [1, 2])
    def test_few_items_are_fetched_ahead_in_the_callers_thread(self, workers: int) -> None:
        fetched: list[int] = []

        def endless() -> Iterator[int]:
            while True:
                fetched.append(threading.get_ident())
                yield len(fetched)

        results = self.open(workers).map(same, endless())
        for expected in range(1, 20):
            assert next(results) == expected
            assert len(fetched) <= expected + self.most_ahead * workers
        results.close()
        assert set(fetched) == {threading.get_ident()}
        self.check_idle()

    def test_ctrl_c_in_the_caller_stops_the_workers(self) -> None:
        def interrupted() -> Iterator[int]:
            yield from range(5)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            list(self.open(2).map(same, interrupted()))
        self.check_idle()

    def test_a_runner_serves_again_after_a_run(self) -> None:
        runner = self.open(1)
        assert list(runner.map(same, [1, 2])) == [1, 2]
        assert list(runner.map(same, [3])) == [3]

    def test_at_least_one_worker_is_needed(self) -> None:
        with pytest.raises(InputError, match="At least one worker"):
            self.open(0)
