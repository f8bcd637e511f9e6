"""The training loop, top to bottom: images -> views -> network -> losses -> step; a checkpoint every few minutes; a
table of it all.

It is seeded by epoch and step, so a run that was killed goes on to the same result: to the bit on one thread; with
more, sums may be shared out differently when other programs want the cores. It runs on CPU (bfloat16 where the CPU has
it), on one CUDA GPU (bfloat16, channels last, augmentation on the GPU) and, started by ``torchrun``, on several.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lapel.core.errors import InputError
from lapel.encoders.words import TextTower
from lapel.training.augment import augment
from lapel.training.checkpoint import Checkpoint, Session
from lapel.training.data import PRODUCT, Rows, TrainingSet, class_batches
from lapel.training.head_finetuning import finetune_head
from lapel.training.learner import Learner, Targets, head_classes
from lapel.training.losses import CrossBatchMemory
from lapel.training.machine import Machine
from lapel.training.network import EmbeddingNetwork
from lapel.training.recipe import Recipe, Stage
from lapel.training.titles import TitleLoss
from lapel.training.watch import LOG_EVERY, MIN_SPREAD, draw_curves, quick_recall

Report = Callable[[dict[str, Any]], None]
AVERAGE_EVERY = 10  # steps between two updates of the average: it moves little in one
MAX_EVALUATIONS = 12  # epochs, at most, after which Recall@1 is measured: on a GPU an epoch is over in seconds


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Attributes:
        network: The averaged network, ready to export.
        seconds: Time it took, over all starts.
        skipped: Images that could not be read while streaming, counted each time.
    """

    network: EmbeddingNetwork
    seconds: float
    skipped: int


def train(
    data: TrainingSet,
    config: Recipe,
    *,
    network: EmbeddingNetwork,
    start: str,
    out: Path,
    report: Report,
    machine: Machine,
    words: TextTower | None = None,
    save_seconds: float = 300.0,
) -> Trained:
    """Train a network, or go on from ``out/checkpoint.pt``.

    Args:
        data: Images and labels.
        config: The recipe; a checkpoint of another recipe is refused.
        network: With the weights to start from; changed in place.
        start: What those weights are, in words.
        out: Folder for ``checkpoint.pt``, ``log.csv`` (every 20 steps) and ``curves.png`` (a dozen times at most).
        report: Called with each row of the log and each warning.
        machine: Where it runs.
        words: A tower of those weights, from which the words of titles go on.
        save_seconds: Time between two checkpoints; 0 saves after every step.

    Raises:
        ModelError: the checkpoint is of another recipe, or damaged.
        InputError: labels from which nothing can be learned.
    """
    check_labels(data, config)
    torch.manual_seed(config.seed)
    network.to(machine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    learner = Learner(network, config, head_classes(data, config), title_loss(data, config, words)).to(machine.device)
    run = _Run(data, config, learner, machine)
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = Checkpoint(
        out / "checkpoint.pt",
        config=config,
        start=start,
        modules={"learner": learner, "average": run.average, "memory": run.memory},
        optimizer=run.optimizer,
    )
    session = Session(checkpoint, out / "log.csv", report, save_seconds=save_seconds, leads=machine.leads)
    shared = _share(learner, machine)
    epochs = len(run.stages)
    every = -(-epochs // MAX_EVALUATIONS)
    for epoch in range(session.at.epoch, epochs):
        run.epoch(shared, session, epoch, epochs)
        if machine.leads and (epochs - epoch - 1) % every == 0:
            steps = len(run.batches(epoch))
            session.add({"epoch": epoch + 1, "step": steps, **quick_recall(run.averaged, data, config)})
            session.save(epoch + 1)
            draw_curves(out / "log.csv", out / "curves.png")
        machine.wait()
    finished = epochs + config.head_finetuning.epochs
    if session.at.epoch < finished and config.head_finetuning.epochs and machine.leads:
        run.finetune_head(session, epochs, out)
        draw_curves(out / "log.csv", out / "curves.png")
        session.save(finished)
    machine.wait()
    run.averaged.eval()
    return Trained(run.averaged, session.seconds, run.skipped)


def title_loss(data: TrainingSet, config: Recipe, words: TextTower | None = None) -> TitleLoss | None:
    """The loss of titles, where the recipe wants it and the shop's images have some."""
    if not data.products or not (config.titles or config.head_finetuning.titles):
        return None
    learned = np.zeros(len(data.images), bool)
    learned[data.train] = data.parts[data.train] == 0
    titles = [product.title if row else "" for product, row in zip(data.products, learned, strict=True)]
    if not any(titles):
        return None
    return TitleLoss(titles, data.labels[PRODUCT], dim=config.dim, seed=config.seed, start=words)


def check_labels(data: TrainingSet, config: Recipe) -> None:
    """Say now what would make a loss of nothing all along.

    Raises:
        InputError: a level with fewer than two classes, or without a class of two images.
    """
    for level in config.levels:
        labels = data.joint(level.attributes)[data.train]
        counts = np.unique(labels[labels >= 0], return_counts=True)[1]
        if len(counts) < 2:
            raise InputError(
                f"The level '{level.name}' has {len(counts)} class among the training images; triplets need two or"
                f" more."
                " Choose other attributes with --level."
            )
        if counts.max() < 2 and level.attributes != (PRODUCT,):
            raise InputError(
                f"No class of the level '{level.name}' has two training images, so no image has a positive."
                " Choose coarser attributes with --level."
            )


def _share(learner: Learner, machine: Machine) -> nn.Module:
    """The learner, or the wrapper that averages its gradients over processes."""
    if machine.world == 1:
        return learner
    return DistributedDataParallel(learner, find_unused_parameters=True)


class _Run:
    """What stays the same from step to step."""

    def __init__(self, data: TrainingSet, config: Recipe, learner: Learner, machine: Machine) -> None:
        self.data, self.config, self.learner, self.machine = data, config, learner, machine
        self.targets = Targets(data, config, machine.device)
        self.stages: list[Stage] = [stage for stage in config.stages for _ in range(stage.epochs)]
        self.memory = CrossBatchMemory(
            min(config.memory, len(data.images)), dim=config.dim, columns=1 + len(config.levels)
        ).to(machine.device)
        # use_buffers: batch norm statistics are averaged too.
        self.average = AveragedModel(
            learner.network,
            multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay),  # type: ignore[no-untyped-call]
            use_buffers=True,
        )
        network = learner.network
        fast = [*network.head_parameters(), *learner.heads.parameters()]
        fast += learner.titles.parameters() if learner.titles else []
        slow = [parameter for parameter in network.backbone.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(
            [{"params": slow, "peak": config.rate}, {"params": fast, "peak": config.head_rate_factor * config.rate}],
            lr=config.rate,
            weight_decay=config.weight_decay,
            fused=machine.device.type == "cuda",
        )
        self.skipped = 0

    @property
    def averaged(self) -> EmbeddingNetwork:
        network = self.average.module if self.config.ema_decay else self.learner.network
        assert isinstance(network, EmbeddingNetwork)
        return network

    def epoch(self, shared: nn.Module, session: Session, epoch: int, epochs: int) -> None:
        """The steps of an epoch from where the session is, with their rows of the log."""
        batches, first = self.batches(epoch), session.first_step(epoch)
        self.learner.train()
        began, seen = time.monotonic(), 0
        for step, (rows, pixels) in enumerate(self.ahead(batches[first:]), start=first):
            result = self.step(shared, rows, pixels, epoch, step, (epoch + step / len(batches)) / epochs)
            seen += len(rows) * len(self.stages[epoch].views) * self.machine.world
            if step % LOG_EVERY == 0 and self.machine.leads:
                numbers = {name: float(value) for name, value in result.items()}
                rate, speed = self.optimizer.param_groups[0]["lr"], seen / (time.monotonic() - began)
                session.add({"epoch": epoch + 1, "step": step, "rate": rate, **numbers, "images_s": speed})
                if numbers["spread"] < MIN_SPREAD:
                    spread = f"mean distance {numbers['spread']:.2f}"
                    session.report({"warning": f"collapse: all images lie close together ({spread})"})
            session.save(epoch, step + 1, due=False)

    def finetune_head(self, session: Session, epochs: int, folder: Path) -> None:
        """The head alone, after so many epochs of the network."""

        def add(row: dict[str, Any]) -> None:
            session.add({**row, "epoch": row["epoch"] + epochs + 1})

        finetune_head(
            self.averaged,
            self.learner,
            self.data,
            self.targets,
            machine=self.machine,
            folder=folder,
            add=add,
            report=session.report,
        )

    def batches(self, epoch: int) -> list[Rows]:
        """This process's batches of an epoch: every image once (photos as often as the recipe says), whole groups
        together."""
        config, data = self.config, self.data
        rows = np.repeat(data.train, config.times_shown(data.parts[data.train]))
        labels = data.joint(config.levels[config.sampled].attributes)[rows]
        rng = np.random.default_rng((config.seed, epoch))
        whole = [
            np.sort(rows[chosen])  # so that a file is read in order
            for chosen in class_batches(labels, classes=config.classes, images=config.images, rng=rng)
            if len(chosen) > 1  # batch norm and triplets need two
        ]
        whole = whole[: max(1, round(self.stages[epoch].share * len(whole)))]
        world, rank = self.machine.world, self.machine.rank
        return whole[rank : len(whole) - len(whole) % world : world]

    def ahead(self, batches: list[Rows]) -> Iterator[tuple[Rows, Tensor]]:
        """Rows and their (n, h, w, 4) uint8 pixels, read while the step before is computed; unreadable images are left
        out."""
        with ThreadPoolExecutor(1) as reader:
            waiting = [reader.submit(self._read, rows) for rows in batches[:2]]
            for number, rows in enumerate(batches):
                pixels, good = waiting.pop(0).result()
                if number + 2 < len(batches):
                    waiting.append(reader.submit(self._read, batches[number + 2]))
                self.skipped += int((~good).sum())
                if good.sum() < 2 and self.machine.world > 1:
                    good[:] = True  # the other processes wait for this step: take it on white images
                if good.sum() >= 2:
                    yield rows[good], pixels if good.all() else pixels[torch.from_numpy(good)]

    def _read(self, rows: Rows) -> tuple[Tensor, NDArray[np.bool_]]:
        """See :meth:`Images.read`; for a GPU into memory that it can copy from while it computes."""
        pixels, good = self.data.images.read(rows)
        given = torch.from_numpy(np.ascontiguousarray(pixels))
        return given.pin_memory() if self.machine.device.type == "cuda" else given, good

    def step(
        self, shared: nn.Module, rows: Rows, pixels: Tensor, epoch: int, step: int, done: float
    ) -> Mapping[str, Tensor]:
        """One batch: views, losses, gradients, update. Returns what the log shows."""
        config, machine, stage = self.config, self.machine, self.stages[epoch]
        seed = ((config.seed * 1000 + epoch) * 100_000 + step) * machine.world + machine.rank
        generator = torch.Generator(machine.device).manual_seed(seed)
        torch.manual_seed(seed)  # of what titles are compared with, and of dropout
        size = tuple(round(side * stage.scale) for side in self.data.images.size)
        pixels = pixels.to(machine.device, non_blocking=True)
        views = torch.cat([augment(pixels, generator, options, size=(size[0], size[1])) for options in stage.views])
        places = torch.from_numpy(rows).to(machine.device)
        columns = self.targets.columns[places]
        heads = {name: labels[places] for name, labels in self.targets.heads.items()}
        result = shared(views, places, columns, heads, self.memory)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * config.rate_share(done)
        self.optimizer.zero_grad(set_to_none=True)
        result.loss.backward()
        # A rare bad batch must not undo the ImageNet weights.
        nn.utils.clip_grad_norm_(self.learner.parameters(), 5.0)
        self.optimizer.step()
        self._remember(places, result.vectors, columns)
        if config.ema_decay and step % AVERAGE_EVERY == 0:
            self.average.update_parameters(self.learner.network)
        parts: Mapping[str, Tensor] = result.parts
        return parts

    def _remember(self, rows: Tensor, vectors: Tensor, columns: Tensor) -> None:
        """Put the vectors of all processes into the memory; batches differ by a few rows, so the shorter ones are
        padded."""
        if self.machine.world > 1:
            most = self.config.classes * self.config.images
            vectors = nn.functional.pad(vectors, (0, 0, 0, most - len(vectors)))
            columns = nn.functional.pad(columns, (0, 0, 0, most - len(columns)), value=-1)
            rows = nn.functional.pad(rows, (0, most - len(rows)), value=-1)
            rows, vectors, columns = (self.machine.gather(given) for given in (rows, vectors, columns))
            kept = rows >= 0
            rows, vectors, columns = rows[kept], vectors[kept], columns[kept]
        self.memory.add(rows, vectors, columns)
