"""The runner of a Ray cluster, on a local one of two workers: order, errors at their place, and workers that are killed
half way."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from lapel.core.errors import InputError, ModelMismatchError, RunnerUnavailableError
from lapel.engine.context import open_context
from lapel.engine.ingest import ingest
from lapel.engine.pipeline import RemoteWorker
from lapel.runners import Runner, open_runner
from lapel.runners.ray import RayRunner
from lapel.sources import open_source
from lapel.sources.photos import photo_rows
from lapel.testing import RunnerContract
from test_ingest import contents, pictures_in

# Ray's own processes and sockets are closed when it is shut down, after the tests that are blamed for them.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """Two workers at most; starting it takes seconds, so all tests share it."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def idle() -> bool:
    """Whether no worker holds a core any more, within ten seconds."""
    for _ in range(100):
        if ray.available_resources().get("CPU") == 2:
            return True
        time.sleep(0.1)
    return False


class TestRay(RunnerContract):
    def open(self, workers: int) -> Runner:
        return open_runner("ray:", workers=workers)

    def check_idle(self) -> None:
        assert idle()
        assert ray.is_initialized()  # who started it, here the tests, goes on with it


def test_a_worker_that_is_lost_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lapel.runners.ray.RESTARTS", 1)

    def make() -> Callable[[int], int]:
        def work(number: int) -> int:
            if number == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return number

        return work

    seen: list[int] = []
    with pytest.raises(RunnerUnavailableError, match="run the same command again"):
        seen.extend(open_runner("ray:", workers=1).map(make, range(6)))
    # An item that was done just before may be lost with the worker, before its result was handed on.
    assert seen == [0, 1, 2][: len(seen)]
    assert idle()


class Mortal(RayRunner):
    """Kills the worker that first meets a picture of this name, before it has encoded it."""

    def __init__(self, name: str, died: Path) -> None:
        super().__init__(workers=2)
        self.name, self.died = name, died

    def map(self, make: Any, items: Iterable[Any]) -> Iterator[Any]:
        name, died = self.name, self.died

        def make_mortal() -> Callable[[Any], Any]:
            work = make()

            def dies_once(tasks: Any) -> Any:
                if not died.exists() and any(picture.uri.endswith(name) for task in tasks for picture in task.photos):
                    died.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                return work(tasks)

            return dies_once

        return super().map(make_mortal, items)


def test_adding_on_a_cluster_whose_worker_is_killed_half_way(tmp_path: Path) -> None:
    """The catalogue is that of a run in this process: nothing is missing, nothing is there twice, what is broken is
    told once."""
    where = pictures_in(tmp_path / "p" / "Shirts", 40).parent
    (where / "Shirts" / "31.png").write_bytes(b"no picture")

    def add(name: str, runner: Any) -> tuple[list[object], Any]:
        source = open_source(where)
        with open_context(tmp_path / name, create=True, encoder="colour:") as store:
            done = ingest(
                store, photo_rows(source), source=source, batch=4, runner=runner, rejects=tmp_path / f"{name}.csv"
            )
            assert store.catalog.check() == []
        source.close()
        return contents(tmp_path / name / "catalog.sqlite"), done

    here, counted = add("here", open_runner("threads:"))
    there, counted_there = add("there", Mortal("20.png", tmp_path / "died"))
    assert (tmp_path / "died").exists()
    assert there == here
    assert counted_there.adds_up
    assert (counted_there.photos_added, counted_there.photos_rejected) == (39, 1)
    assert (counted.photos_added, counted.photos_rejected) == (39, 1)
    assert (tmp_path / "there.csv").read_text() == (tmp_path / "here.csv").read_text()
    again, counts = add("there", open_runner("threads:"))
    assert again == here
    assert (counts.photos_added, counts.photos_unchanged) == (0, 39)


def test_a_worker_with_another_model_says_so() -> None:
    with pytest.raises(ModelMismatchError, match="Install the same Lapel there"):
        RemoteWorker("colour:", "another").open()


@pytest.mark.parametrize("spec", ["ray:host", "ray://", "ray:8"])
def test_specs_that_are_none(spec: str) -> None:
    with pytest.raises(InputError, match=r"ray: \(this machine\), ray:auto \(its cluster\) or ray://host:10001"):
        open_runner(spec)
    with pytest.raises(InputError, match="At least one worker"):
        open_runner("ray:", workers=0)
