"""Which model a store is searched with: list those that have vectors, compare two, change, go back, tidy up.
``store.models``."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from lapel.catalog import ModelEntry, model_lock, model_work
from lapel.core.errors import StoreError, StoreReadOnlyError
from lapel.core.filters import NO_FILTER
from lapel.core.text import reason_of
from lapel.core.types import Filter
from lapel.encoders.probes import save_probes
from lapel.engine.calibration import read_calibration, save_calibration
from lapel.engine.context import StoreContext
from lapel.engine.judging import own_folder
from lapel.engine.models import KnownModel, ModelChange, check_change, models_of, open_model, prune, rollback, use

if TYPE_CHECKING:
    from lapel.insight.compare import Comparison
    from lapel.insight.own_calibration import OwnCalibration

REPORT = "report.json"  # beside a calibration of the store: what it is worth
LOG = "model.log"  # in the store: what a change in the background says
UNREADABLE = "unreadable.csv"  # in the store: photos that a new model could not be prepared with
Progress = Callable[[int, int | None], None]
Note = Callable[[str], None]


@dataclass(frozen=True)
class BackgroundChange:
    """A change of model that goes on in a process of its own.

    Attributes:
        model: What is changed to.
        process: Its process.
        log: What it says.
    """

    model: ModelEntry
    process: int
    log: Path


class ModelService:
    """Looks after the model of one store. Searches go on with the model in use until a change is complete."""

    def __init__(self, context: StoreContext) -> None:
        self._context = context

    @property
    def current(self) -> ModelEntry:
        """The model that is searched now; without a fingerprint while the store has none yet."""
        return self._context.model

    def list(self) -> list[KnownModel]:
        """Every model that has vectors here, the oldest first."""
        return models_of(self._context)

    @property
    def work(self) -> str:
        """What another process is doing to the model, who it is and since when; empty when nobody does."""
        return model_work(self._context.folder)

    @property
    def log(self) -> Path:
        """What the last change in the background said."""
        return self._context.folder / LOG

    @property
    def unreadable_file(self) -> Path:
        """The list of photos that a new model could not be prepared with."""
        return self._context.folder / UNREADABLE

    def use(
        self,
        spec: str,
        *,
        allow_missing: bool = False,
        wait: bool = False,
        progress: Progress | None = None,
        note: Note | None = None,
    ) -> ModelChange:
        """Change the model: encode what is missing, then swap for every process that serves the store.

        Args:
            spec: ``default``, ``small``, ``colour:``, a model folder, or a name or fingerprint that :meth:`list` knows.
            allow_missing: Change although some photos cannot be read any more; their products are then not found.
            wait: Wait for another process that adds products, instead of refusing.
            progress: Called with how many photos have a vector of it, and how many there are.
            note: Called with a sentence when it begins to wait.

        Raises:
            ModelError: no such model.
            InputError: it is the store's model already, or the store has none yet.
            StoreBusyError, StoreError: it cannot be done now; what was encoded is kept, and the store answers as
                before.
        """
        change = use(self._context, spec, allow_missing=allow_missing, wait=wait, report=progress, note=note)
        _ = self._context.index  # built now, so that the first search does not wait for it
        return change

    def use_in_background(self, spec: str, *, allow_missing: bool = False) -> BackgroundChange:
        """The same in a process of its own, after making sure that it can begin.

        Raises:
            ModelError, InputError, StoreBusyError: as :meth:`use`.
            StoreError: no process can be started.
        """
        context = self._context
        candidate = open_model(context, spec)
        with model_lock(context.folder, work="starting in the background"):
            check_change(context, candidate)
        line = [sys.executable, "-m", "lapel", "model", "use", spec, "--store", str(context.folder), "--wait"]
        if allow_missing:
            line.append("--allow-missing")
        try:
            with self.log.open("w", encoding="utf-8") as out:
                process = subprocess.Popen(
                    line, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
                )
        except OSError as error:
            raise StoreError(
                f"The change cannot be started in the background: {reason_of(error)}. Run it without --background."
            ) from error
        return BackgroundChange(candidate.model, process.pid, self.log)

    def rollback(
        self,
        *,
        allow_missing: bool = False,
        wait: bool = False,
        progress: Progress | None = None,
        note: Note | None = None,
    ) -> ModelChange:
        """Go back to the model before; photos added since are encoded with it first. Arguments and errors as
        :meth:`use`."""
        change = rollback(self._context, allow_missing=allow_missing, wait=wait, report=progress, note=note)
        _ = self._context.index
        return change

    def prune(self) -> int:
        """Drop the vectors of all models but the one in use. Returns how many there were.

        Raises:
            StoreBusyError: another process is changing the model.
        """
        return prune(self._context)

    def calibrate(
        self,
        *,
        queries: Filter = NO_FILTER,
        sample: int = 2000,
        seed: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> OwnCalibration:
        """Learn from the store's own products what the cosines of its model mean, and judge hits by that from now on,
        in every process that serves the store.

        Args:
            queries: Whose photos may ask; where the model was trained on this store, products it was not trained with.
            sample: At most so many of them.
            seed: Another one draws others.
            progress: Called with the pictures encoded and how many there are.

        Raises:
            InputError: too few photos with a category, or all of one kind.
            StoreReadOnlyError, StoreError: it cannot be written.
        """
        from lapel.insight.own_calibration import calibrate_store

        context = self._context
        if context.catalog.read_only:
            raise StoreReadOnlyError(f"{context.folder} is open for reading only, so its calibration cannot be kept.")
        found = calibrate_store(context, queries=queries, sample=sample, seed=seed, report=progress)
        folder = own_folder(context.folder, context.model.fingerprint)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            save_probes(found.probes, folder)
            save_calibration(found.calibration, folder)
            (folder / REPORT).write_text(json.dumps(found.to_json(), indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise StoreError(f"{folder} cannot be written: {reason_of(error)}.") from error
        return found

    def take_calibration(self, folder: Path) -> bool:
        """Judge hits by a calibration that :meth:`calibrate` made of the same products with the same model, such as in
        another copy of the store. Returns whether it is taken: not where the store has one, or where the model is
        another one.

        Args:
            folder: What :meth:`calibrate` writes: the store's folder ``calibration``.

        Raises:
            ModelError: it cannot be read.
            StoreReadOnlyError, StoreError: it cannot be written.
        """
        context = self._context
        own, taken = own_folder(context.folder, context.model.fingerprint), folder / context.model.fingerprint
        if own.exists() or read_calibration(taken) is None:
            return False
        if context.catalog.read_only:
            raise StoreReadOnlyError(f"{context.folder} is open for reading only, so its calibration cannot be kept.")
        try:
            shutil.copytree(taken, own)
        except OSError as error:
            raise StoreError(f"{own} cannot be written: {reason_of(error)}.") from error
        return True

    def calibration_report(self) -> dict[str, Any] | None:
        """What the store's own calibration is worth, as :meth:`calibrate` found it; None where the store has none.

        By domain (``white``, ``photo``) and verdict, ``held`` is the share of hits it is said of for which it holds.
        """
        try:
            path = own_folder(self._context.folder, self._context.model.fingerprint) / REPORT
            told: dict[str, Any] = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return told

    def forget_calibration(self) -> bool:
        """Judge by the model's own calibration again. Returns whether the store had one.

        Raises:
            StoreError: it cannot be removed.
        """
        folder = own_folder(self._context.folder, self._context.model.fingerprint)
        if not folder.exists():
            return False
        try:
            shutil.rmtree(folder)
        except OSError as error:
            raise StoreError(f"{folder} cannot be removed: {reason_of(error)}.") from error
        return True

    def compare(
        self,
        a: str,
        b: str,
        *,
        queries: Filter = NO_FILTER,
        gallery: Filter = NO_FILTER,
        relevant: Sequence[str] = (),
        progress: Callable[[str, int, int], None] | None = None,
        **more: Any,
    ) -> Comparison:
        """Let photos of the store ask two models the same. See :class:`lapel.insight.compare.Question` for the rest.

        Args:
            a: A model, mostly the one in use.
            b: Another.
            queries: Whose photos ask.
            gallery: What may be found.
            relevant: Fields that must agree for an answer to be right.
            progress: Called with what is done, how far, and how much there is.
            more: ``ask``, ``sample``, ``k``, ``show`` and ``seed``.

        Raises:
            ModelError, QueryError: a model or a rule that cannot be used.
        """
        from lapel.insight.compare import Question, compare
        from lapel.insight.report import Rule

        rules = tuple(dict.fromkeys(Rule.parse(text) for text in relevant))
        question = Question(queries=queries, gallery=gallery, relevant=rules, **more)
        return compare(self._context, a, b, question=question, report=progress)

    def comparison_sheet(self, found: Comparison) -> Image.Image:
        """The queries whose answers change most, with both answers, as one image."""
        from lapel.insight.compare_sheet import draw_comparison

        return draw_comparison(found, self._context.image)

    def comparison_text(self, found: Comparison) -> str:
        """A comparison in words and tables."""
        from lapel.insight.compare_sheet import render

        return render(found)
