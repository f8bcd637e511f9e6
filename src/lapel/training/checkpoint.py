"""What a training needs to go on after ``kill -9``: a checkpoint that is whole or not there, and a log that agrees with
it."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from lapel.core.errors import ModelError
from lapel.core.text import reason_of

# What fields of recipes were called in checkpoints of earlier versions.
FORMER_NAMES = {
    "average": "ema_decay",
    "cut_out": "segmented_views",
    "fast": "head_rate_factor",
    "find": "instance",
    "find_plain": "instance_plain",
    "finish": "head_finetuning",
    "labels": "label_weight",
    "labels_of_looks": "view_label_weight",
    "looks": "views",
    "neighbours": "nca",
    "pictures": "images",
}


@dataclass(frozen=True)
class Progress:
    """Where a training is.

    Attributes:
        epoch: Whole epochs done.
        step: Steps done of the epoch in work.
        seconds: Time spent, over all starts.
    """

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0


class Checkpoint:
    """One file that holds a training.

    Args:
        path: The file.
        config: The recipe, a dataclass; a checkpoint of another one is refused.
        start: What it started from; likewise.
        modules: What is learned, by name.
        optimizer: Its state.
    """

    def __init__(
        self, path: Path, *, config: Any, start: str, modules: Mapping[str, nn.Module], optimizer: Optimizer
    ) -> None:
        self.path = path
        self._identity = {"config": asdict(config), "start": start}
        self._modules, self._optimizer = modules, optimizer

    def save(self, at: Progress) -> str:
        """Write it beside the old one and put it in its place.

        Returns:
            Nothing, or why it could not be written; then the old one is still there.
        """
        part = self.path.with_suffix(".part")
        state = {
            **self._identity,
            "progress": asdict(at),
            "modules": {name: module.state_dict() for name, module in self._modules.items()},
            "optimizer": self._optimizer.state_dict(),
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(state, part)
            part.replace(self.path)  # atomic: a full disk or kill -9 leaves the last good one
        except (OSError, RuntimeError) as error:  # torch says RuntimeError for a full disk
            part.unlink(missing_ok=True)
            kept = "the last good one is kept" if self.path.exists() else "there is none yet"
            return (
                f"The checkpoint {self.path} could not be written ({reason_of(error)}); {kept}. Make room on the disk."
            )
        return ""

    def load(self) -> Progress:
        """Put what the file holds into modules and optimizer; the beginning when there is no file.

        Raises:
            ModelError: it is of another recipe or start, or damaged.
        """
        if not self.path.exists():
            return Progress()
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
            found = {"config": current_names(state["config"]), "start": state["start"]}
            differing = sorted(name for name, value in self._identity.items() if found[name] != value)
            if not differing:
                for name, module in self._modules.items():
                    module.load_state_dict(state["modules"][name])
                self._optimizer.load_state_dict(state["optimizer"])
                return Progress(**state["progress"])
        except Exception as error:  # torch raises what its unpickler and zip reader raise
            raise ModelError(
                f"The checkpoint {self.path} cannot be read: {error}. Delete it to begin again, or use another --out"
                f" folder."
            ) from error
        raise ModelError(
            f"The checkpoint {self.path} is of another recipe (its {' and '.join(differing)} differ)."
            " Use its settings, or another --out folder."
        )


def current_names(config: Any) -> Any:
    """A recipe as a checkpoint holds it, with the fields' present names: see :data:`FORMER_NAMES`."""
    if isinstance(config, dict):
        return {FORMER_NAMES.get(name, name): current_names(value) for name, value in config.items()}
    return type(config)(map(current_names, config)) if isinstance(config, (list, tuple)) else config


class Log:
    """A CSV with a row every few steps.

    Args:
        path: The file.
        at: Rows from here on are of steps that a killed process did and that will be done again; they go.
    """

    def __init__(self, path: Path, at: Progress) -> None:
        self.path = path
        rows = read_log(path)
        kept = [row for row in rows if (int(row["epoch"]) - 1, int(row["step"])) < (at.epoch, at.step)]
        if len(kept) < len(rows):
            path.unlink()
            for row in kept:
                self.add(row)

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row; numbers are written with five digits. A name that was not there before becomes a column."""
        texts = {name: f"{value:.5g}" if isinstance(value, float) else str(value) for name, value in row.items()}
        names = list(read_header(self.path))
        fresh = [name for name in texts if name not in names]
        rows = [*read_log(self.path), texts] if fresh else [texts]
        with self.path.open("w" if fresh else "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=[*names, *fresh], restval="")
            if fresh:
                writer.writeheader()
            writer.writerows(rows)


def read_header(path: Path) -> tuple[str, ...]:
    """Column names of a log; none when there is no log."""
    if not path.exists():
        return ()
    with path.open(newline="", encoding="utf-8") as file:
        return tuple(next(csv.reader(file), ()))


def read_log(path: Path) -> list[dict[str, str]]:
    """The rows of a log; none when there is no log."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class Session:
    """One start of a training that may be killed: goes on from its checkpoint, keeps its log, saves now and then.

    Args:
        checkpoint: Loaded at once; ``at`` is where the training goes on.
        log: Where ``log.csv`` is.
        report: Called with each row of the log and each warning.
        save_seconds: Time between two checkpoints; 0 saves after every step.
        leads: Whether this process writes files and reports; the others only count the time.

    Raises:
        ModelError: see :meth:`Checkpoint.load`.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        log: Path,
        report: Callable[[dict[str, Any]], None],
        *,
        save_seconds: float,
        leads: bool = True,
    ) -> None:
        self._checkpoint, self.report, self._save_seconds, self.leads = checkpoint, report, save_seconds, leads
        self.at = checkpoint.load()
        self._log = Log(log, self.at)
        self._began, self._saved = time.monotonic() - self.at.seconds, time.monotonic()

    @property
    def seconds(self) -> float:
        """Time spent, over all starts."""
        return time.monotonic() - self._began

    def first_step(self, epoch: int) -> int:
        """The step that an epoch goes on from."""
        return self.at.step if epoch == self.at.epoch else 0

    def add(self, row: dict[str, Any]) -> None:
        """Write a row into the log and report it."""
        self._log.add(row)
        self.report(row)

    def save(self, epoch: int, step: int = 0, *, due: bool = True) -> None:
        """Write the checkpoint; a full disk is a warning, since the training itself is not harmed.

        Args:
            epoch: Whole epochs done.
            step: Steps done of the epoch in work.
            due: Whether to save now; otherwise only when it is time.
        """
        if self.leads and (due or time.monotonic() - self._saved >= self._save_seconds):
            if problem := self._checkpoint.save(Progress(epoch, step, self.seconds)):
                self.report({"warning": problem})
            self._saved = time.monotonic()
