"""The runner door: order, bounded look-ahead, errors at their place, and a clean end however it comes."""

from __future__ import annotations

import threading
import time

import pytest

from lapel.core.errors import InputError
from lapel.runners import Runner, open_runner
from lapel.testing import RunnerContract


def threads_of_runners() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("lapel-runner")]


class TestThreads(RunnerContract):
    most_ahead = 1

    def open(self, workers: int) -> Runner:
        return open_runner(workers=workers)

    def check_idle(self) -> None:
        assert not threads_of_runners()


def test_make_runs_once_a_worker() -> None:
    made: list[str] = []

    def make() -> object:
        made.append(threading.current_thread().name)
        return lambda item: (time.sleep(0.005), item)[1]

    assert list(open_runner(workers=3).map(make, range(20))) == list(range(20))  # type: ignore[arg-type]
    assert len(made) == len(set(made)) <= 3


def test_wrong_specs_say_what_there_is() -> None:
    with pytest.raises(InputError, match="threads:"):
        open_runner("nobody:")
    with pytest.raises(InputError, match="At least one worker"):
        open_runner(workers=0)
    with pytest.raises(InputError, match="'5'"):
        open_runner("threads:5")
