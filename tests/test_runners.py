"""The runner door: order, bounded look-ahead, errors at their place, and a clean end however it comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from lapel.core.errors import InputError
from lapel.runners import open_runner


def threads_of_runners() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("lapel-runner")]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_the_items_order(workers: int) -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number * number

    assert list(open_runner(workers=workers).map(lambda: slow_first, range(30))) == [n * n for n in range(30)]


def test_no_items_no_results() -> None:
    assert list(open_runner().map(lambda: str, [])) == []


def test_make_runs_once_a_worker() -> None:
    made: list[str] = []

    def make() -> object:
        made.append(threading.current_thread().name)
        return lambda item: (time.sleep(0.005), item)[1]

    assert list(open_runner(workers=3).map(make, range(20))) == list(range(20))  # type: ignore[arg-type]
    assert len(made) == len(set(made)) <= 3


def test_look_ahead_is_bounded() -> None:
    fetched = 0

    def endless() -> Iterator[int]:
        nonlocal fetched
        while True:
            fetched += 1
            yield fetched

    results = open_runner(workers=2).map(lambda: lambda item: item, endless())
    for expected in range(1, 50):
        assert next(results) == expected
        assert fetched <= expected + 2
    results.close()  # type: ignore[attr-defined]
    assert not threads_of_runners()


def test_an_error_is_raised_at_its_place() -> None:
    def work(number: int) -> int:
        if number == 5:
            raise ValueError("five")
        return number

    seen: list[int] = []
    with pytest.raises(ValueError, match="five"):
        seen.extend(open_runner(workers=2).map(lambda: work, range(100)))
    assert seen == [0, 1, 2, 3, 4]
    assert not threads_of_runners()


def test_errors_in_make_and_in_items_are_raised() -> None:
    def make() -> object:
        raise RuntimeError("no worker")

    def items() -> Iterator[int]:
        yield 1
        raise KeyError("no item")

    with pytest.raises(RuntimeError, match="no worker"):
        list(open_runner().map(make, [1]))  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="no item"):
        list(open_runner().map(lambda: str, items()))


def test_ctrl_c_in_the_caller_stops_the_workers() -> None:
    def interrupted() -> Iterator[int]:
        yield from range(5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(open_runner(workers=2).map(lambda: lambda item: item, interrupted()))
    assert not threads_of_runners()


def test_wrong_specs_say_what_there_is() -> None:
    with pytest.raises(InputError, match="threads:"):
        open_runner("nobody:")
    with pytest.raises(InputError, match="At least one worker"):
        open_runner(workers=0)
    with pytest.raises(InputError, match="'5'"):
        open_runner("threads:5")
