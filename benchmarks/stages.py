"""Stages of a long piece of work: each a few commands, run in turn within a budget of time, and not twice.

What is done is kept in ``stages.json`` beside the results, so the same call after a crash, a kill or a lack of time
goes on where it stopped. A stage that fails does not keep those that do not need it from running.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DONE, BEFORE, FAILED, LEFT_OUT, STOPPED = "done", "done before", "failed", "left out", "stopped"
GRACE = 10.0  # seconds that a command has to end when it is asked to


@dataclass(frozen=True)
class Stage:
    """A stage.

    Attributes:
        name: What it is called, and its log: ``NAME.txt``.
        commands: Run one after the other; another command is another stage, which has not been done.
        seconds: How long it will take; it is left out when less time is left.
        needs: Stages without which it cannot run.
        makes: The file that it leaves; without it, it is not done.
        reads: Files that decide its result.
        unless: Why it is left out, if it is.
        prepare: Called before its commands.
        save: Called after them.
        reserved: Whether stages before it must leave it its time.
        gpu: Whether it needs a GPU.
    """

    name: str
    commands: tuple[tuple[str, ...], ...] = ()
    seconds: float = 60.0
    needs: tuple[str, ...] = ()
    makes: Path | None = None
    reads: tuple[Path, ...] = ()
    unless: str = ""
    prepare: Callable[[], None] = lambda: None
    save: Callable[[], None] = lambda: None
    reserved: bool = False
    gpu: bool = False

    def identity(self) -> list[Any]:
        """What must be the same for a result to be this stage's."""
        return [list(map(list, self.commands)), [path.read_text() for path in self.reads if path.is_file()]]


@dataclass(frozen=True)
class Outcome:
    """How a stage ended: one of the states above, seconds, and why."""

    stage: Stage
    state: str
    seconds: float = 0.0
    why: str = ""


@dataclass
class Round:
    """Runs stages.

    Attributes:
        out: Where ``stages.json`` and the logs go.
        budget: Seconds for all stages together.
        cwd: Where commands run.
        env: Their environment.
    """

    out: Path
    budget: float
    cwd: Path
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds of the budget."""
        return self.budget - (time.monotonic() - self.began)

    def run(self, stages: Sequence[Stage]) -> list[Outcome]:
        """All stages in their order; a line for each as it ends."""
        self.out.mkdir(parents=True, exist_ok=True)
        outcomes: list[Outcome] = []
        for number, stage in enumerate(stages):
            later = [each for each in stages[number + 1 :] if each.reserved and not self.done(each)]
            reserve = sum(each.seconds for each in later) + (GRACE if later else 0)
            outcome = self._one(stage, self.left - reserve, {each.stage.name: each.state for each in outcomes})
            print(line(outcome), flush=True)
            outcomes.append(outcome)
        return outcomes

    def done(self, stage: Stage) -> bool:
        """Whether an earlier call did it."""
        known = self._known().get(stage.name)
        return bool(known and known["identity"] == stage.identity() and (not stage.makes or stage.makes.exists()))

    def _one(self, stage: Stage, limit: float, states: Mapping[str, str]) -> Outcome:
        if stage.unless:
            return Outcome(stage, LEFT_OUT, why=stage.unless)
        if self.done(stage):
            return Outcome(stage, BEFORE, self._known()[stage.name]["seconds"])
        missing = [name for name in stage.needs if states.get(name) not in (DONE, BEFORE)]
        if missing:
            return Outcome(stage, LEFT_OUT, why=f"needs {' and '.join(missing)}")
        if stage.seconds > limit:
            return Outcome(stage, LEFT_OUT, why=f"takes about {stage.seconds:.0f} s, {max(limit, 0):.0f} s are left")
        began = time.monotonic()
        print(f"{stage.name} ...", flush=True)
        state, why = self._commands(stage, began + limit)
        outcome = Outcome(stage, state, time.monotonic() - began, why)
        if state == DONE:
            stage.save()
            known = {"identity": stage.identity(), "seconds": round(outcome.seconds, 1)}
            self._remember({**self._known(), stage.name: known})
        return outcome

    def _commands(self, stage: Stage, until: float) -> tuple[str, str]:
        log = self.out / f"{stage.name}.txt"
        stage.prepare()
        with log.open("wb") as file:
            for command in stage.commands:
                with _heeding_interrupts():
                    process = subprocess.Popen(
                        command, cwd=self.cwd, env=self.env, stdout=file, stderr=subprocess.STDOUT
                    )
                try:
                    code = process.wait(max(until - time.monotonic(), 0))
                except subprocess.TimeoutExpired:
                    _end(process)
                    return STOPPED, "its time was over; the same call goes on with it"
                except BaseException:
                    _end(process)
                    raise
                if code:
                    return FAILED, f"exit code {code}: {_last_line(log)} ({log})"
        return DONE, ""

    def _known(self) -> dict[str, Any]:
        path = self.out / "stages.json"
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return known

    def _remember(self, known: Mapping[str, Any]) -> None:
        part = self.out / "stages.part"
        part.write_text(json.dumps(known, indent=1), encoding="utf-8")
        part.replace(self.out / "stages.json")  # whole or not there


@contextmanager
def _heeding_interrupts() -> Iterator[None]:
    """What is started here can be interrupted, though a shell lets what it starts with & ignore that: processes inherit
    what is ignored. Set here, as between fork and exec threads of libraries may write into a stage's log."""
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if ignored:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask a command to end as Ctrl-C does, and make it."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_line(log: Path) -> str:
    lines = [text.strip(" │╰╯─") for text in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    return next((text for text in reversed(lines) if text), "it said nothing")


def line(outcome: Outcome) -> str:
    """A row of the table: name, seconds, those expected, state and reason."""
    took = f"{outcome.seconds:.0f}" if outcome.state != LEFT_OUT else "-"
    why = f": {outcome.why}" if outcome.why else ""
    return f"{outcome.stage.name:14}{took:>9}{outcome.stage.seconds:>10.0f}  {outcome.state}{why}"


def table(outcomes: Sequence[Outcome]) -> str:
    """All stages and the seconds of those that ran now."""
    now = sum(each.seconds for each in outcomes if each.state not in (BEFORE, LEFT_OUT))
    head = f"{'stage':14}{'seconds':>9}{'expected':>10}  "
    return "\n".join([head, *map(line, outcomes), f"{'now, together':14}{now:>9.0f}"])


def copy_files(source: Path, target: Path, *, but: Sequence[str]) -> None:
    """Copy a folder's files, apart from those whose names begin with ``but``, and take its place when all are there."""
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for path in source.iterdir():
        if path.is_file() and not path.name.startswith(tuple(but)):
            shutil.copy2(path, part)
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)
