"""The training loop, top to bottom: batches -> network -> losses -> step; a checkpoint an epoch; a table of what happened.

Recipe of the shipped model on 2 cores with bfloat16 (AMX), 35,959 pictures at 112 x 84: about 65 pictures/s, 9 minutes an epoch.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lapel.core.errors import ModelError
from lapel.core.vectors import Vectors
from lapel.training.augment import Augmentation, augment
from lapel.training.batches import TrainingSet, class_batches
from lapel.training.losses import AttributeHeads, batch_hard_triplet
from lapel.training.network import LookNetwork
from lapel.training.weights import load_backbone

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Level:
    """One level of the label hierarchy: pictures that agree on all ``attributes`` are positives of each other."""

    attributes: tuple[str, ...]
    margin: float
    weight: float = 1.0


# A shop's own picture of the same product, a little different.
SHOP = Augmentation()
# What a query photo may be and a shop's picture is not: turned, partly seen, in other light, on a floor or a wall.
PHOTO = Augmentation(turn=20, zoom=(0.55, 1.35), shift=0.15, light=0.25, tint=0.06, background=0.5)


@dataclass(frozen=True)
class Stage:
    """Some epochs with a learning rate that rises and falls once, and an optimizer of their own.

    Attributes:
        epochs: Passes over the pictures.
        rate: Peak learning rate of the backbone; the head and the classifiers learn 5 times faster, having just begun.
        augmentation: How far pictures are changed.
    """

    epochs: int
    rate: float
    augmentation: Augmentation = SHOP


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides the result, written into the model folder.

    Attributes:
        levels: Triplet levels, coarse to fine; batches are drawn from the classes of the last.
        heads: Attributes that get a classifier beside the triplets.
        heads_weight: Weight of the mean of their losses.
        classes: P, groups of one class a batch.
        pictures: K, pictures a group.
        stages: First the shop's pictures nearly as they are, then pictures as people take them.
        warmup: Share of a stage's steps over which the rate rises; then it falls as a half cosine.
        weight_decay: AdamW's, on all weights.
        seed: Decides initial values, order and augmentation.
        dim: Width of the vectors.
    """

    levels: tuple[Level, ...] = (
        Level(("articleType",), margin=0.3, weight=0.5),
        Level(("articleType", "baseColour", "gender"), margin=0.2),
    )
    heads: tuple[str, ...] = ("articleType", "baseColour", "gender", "subCategory")
    heads_weight: float = 1.0
    classes: int = 24
    pictures: int = 4
    stages: tuple[Stage, ...] = (Stage(4, 3e-4), Stage(2, 1.5e-4, PHOTO))
    warmup: float = 0.1
    weight_decay: float = 0.02
    seed: int = 7
    dim: int = 128


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Attributes:
        network: The network, ready to export.
        seconds: Time it took, over all starts.
    """

    network: LookNetwork
    seconds: float


def train(data: TrainingSet, config: TrainingConfig, *, init: Path, out: Path, report: Report) -> Trained:
    """Train from ImageNet weights, or go on from ``out/checkpoint.pt``.

    Args:
        data: Pictures and labels.
        config: The recipe; a checkpoint of another recipe is refused.
        init: Starting weights, see :func:`lapel.training.weights.load_backbone`.
        out: Folder for ``checkpoint.pt`` (after each epoch) and ``log.csv`` (every 20 steps).
        report: Called with each row of the log.

    Raises:
        ModelError: the checkpoint is of another recipe, or the starting weights do not fit.
    """
    torch.manual_seed(config.seed)
    network = LookNetwork(dim=config.dim)
    network.backbone = load_backbone(init)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    heads = AttributeHeads({name: len(data.names[name]) for name in config.heads}, dim=config.dim)
    levels = {level: data.joint(level.attributes) for level in config.levels}
    sampled = levels[config.levels[-1]][data.train]
    checkpoint = _load_checkpoint(out / "checkpoint.pt", config)
    done, seconds, epoch = checkpoint["epoch"], checkpoint["seconds"], 0
    for stage in config.stages:
        parts = _stage_parts(network, heads, stage, config, sampled, epoch)
        for _ in range(stage.epochs):
            if epoch + 1 == done:
                _restore(parts, checkpoint)
            if epoch >= done:
                began = time.monotonic()
                _train_epoch(data, config, stage, levels, sampled, parts, epoch, out / "log.csv", report)
                report({"epoch": epoch + 1, **quick_recall(network, data, config)})
                seconds += time.monotonic() - began
                _save_checkpoint(out / "checkpoint.pt", parts, config, epoch + 1, seconds)
            epoch += 1
    network.eval()
    return Trained(network, seconds)


@dataclass(frozen=True)
class _Parts:
    network: LookNetwork
    heads: AttributeHeads
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LambdaLR


def _stage_parts(
    network: LookNetwork,
    heads: AttributeHeads,
    stage: Stage,
    config: TrainingConfig,
    sampled: NDArray[np.int64],
    epoch: int,
) -> _Parts:
    """An optimizer (AdamW) and a schedule for a stage that begins with this epoch."""
    fast = [*network.head.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(
        [{"params": network.backbone.parameters(), "lr": stage.rate}, {"params": fast, "lr": 5 * stage.rate}],
        weight_decay=config.weight_decay,
    )
    # The count differs by a few from epoch to epoch (groups fall differently), so the schedule stops at its end.
    steps = stage.epochs * sum(1 for _ in _epoch_batches(sampled, config, epoch=epoch))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps, config.warmup))
    return _Parts(network, heads, optimizer, schedule)


def _epoch_batches(labels: NDArray[np.int64], config: TrainingConfig, *, epoch: int) -> Any:
    rng = np.random.default_rng((config.seed, epoch))
    return class_batches(labels, classes=config.classes, pictures=config.pictures, rng=rng)


def _rate(step: int, steps: int, warmup: float) -> float:
    done = min(step / steps, 1.0)
    if done < warmup:
        return max(done / warmup, 0.01)
    return max(0.5 * (1 + float(np.cos(np.pi * (done - warmup) / (1 - warmup)))), 0.001)


def _train_epoch(
    data: TrainingSet,
    config: TrainingConfig,
    stage: Stage,
    levels: dict[Level, NDArray[np.int64]],
    sampled: NDArray[np.int64],
    parts: _Parts,
    epoch: int,
    log: Path,
    report: Report,
) -> None:
    generator = torch.Generator().manual_seed(config.seed * 1000 + epoch)
    parts.network.train()
    began, seen = time.monotonic(), 0
    for step, rows in enumerate(_epoch_batches(sampled, config, epoch=epoch)):
        rows = data.train[rows]  # (P K,)
        rows = np.sort(rows)  # so that the file is read in order
        pixels = augment(torch.from_numpy(data.pixels[rows]), generator, stage.augmentation)
        row = _step(parts, pixels, rows, data, config, levels)
        seen += len(rows)
        if step % 20 == 0:
            row = {"epoch": epoch + 1, "step": step, **row, "pictures_s": seen / (time.monotonic() - began)}
            _append(log, row)
            report(row)


def _step(
    parts: _Parts,
    pixels: Tensor,
    rows: NDArray[np.int64],
    data: TrainingSet,
    config: TrainingConfig,
    levels: dict[Level, NDArray[np.int64]],
) -> dict[str, float]:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        x = parts.network.normalise_pixels(pixels).contiguous(memory_format=torch.channels_last)
        vectors = parts.network.embed(x).vectors
    vectors = vectors.float()  # (P K, dim): the losses compare small differences, so not in bfloat16
    triplets = [
        batch_hard_triplet(vectors, torch.from_numpy(levels[level][rows]), level.margin) for level in config.levels
    ]
    labels = {name: torch.from_numpy(data.labels[name][rows]) for name in config.heads}
    attributes = parts.heads(vectors, labels)
    loss = config.heads_weight * attributes
    for level, triplet in zip(config.levels, triplets, strict=True):
        loss = loss + level.weight * triplet.loss
    parts.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(parts.network.parameters(), 5.0)  # a rare bad batch must not undo the ImageNet weights
    parts.optimizer.step()
    parts.schedule.step()
    fine = triplets[-1]
    return {
        "loss": float(loss.detach()),
        "triplet": float(fine.loss.detach()),
        "attributes": float(attributes.detach()),
        "active": fine.active,
        "d_positive": fine.positive_distance,
        "d_negative": fine.negative_distance,
    }


def encode_rows(network: LookNetwork, data: TrainingSet, rows: NDArray[np.int64], *, batch: int = 128) -> Vectors:
    """Vectors of some pictures with the network as it is: (len(rows), dim) float32 unit rows."""
    network.eval()
    out = []
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        for at in range(0, len(rows), batch):
            x = network.normalise_pixels(torch.from_numpy(data.pixels[rows[at : at + batch]]))
            out.append(network.embed(x.contiguous(memory_format=torch.channels_last)).vectors.float().numpy())
    return np.concatenate(out)


def quick_recall(network: LookNetwork, data: TrainingSet, config: TrainingConfig) -> dict[str, float]:
    """Recall@1 of up to 800 val pictures among up to 4,000 train pictures: a curve to watch, not a result to report."""
    rng = np.random.default_rng(config.seed)
    queries = np.sort(rng.permutation(data.val)[:800])
    gallery = np.sort(rng.permutation(data.train)[:4000])
    if not len(queries):
        return {}
    nearest = gallery[np.argmax(encode_rows(network, data, queries) @ encode_rows(network, data, gallery).T, axis=1)]
    recall = {}
    for level in config.levels:
        labels = data.joint(level.attributes)
        possible = np.isin(labels[queries], labels[gallery]) & (labels[queries] >= 0)
        if possible.any():
            recall[f"recall@1 {','.join(level.attributes)}"] = float(
                np.mean(labels[queries] == labels[nearest], where=possible)
            )
    return recall


def _append(log: Path, row: dict[str, Any]) -> None:
    new = not log.exists()
    with log.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if new:
            writer.writeheader()
        writer.writerow({name: f"{value:.5g}" if isinstance(value, float) else value for name, value in row.items()})


def _save_checkpoint(path: Path, parts: _Parts, config: TrainingConfig, epoch: int, seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "config": asdict(config),
        "epoch": epoch,
        "seconds": seconds,
        "network": parts.network.state_dict(),
        "heads": parts.heads.state_dict(),
        "optimizer": parts.optimizer.state_dict(),
        "schedule": parts.schedule.state_dict(),
    }
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)  # atomic: a full disk or kill -9 leaves the last good one


def _load_checkpoint(path: Path, config: TrainingConfig) -> dict[str, Any]:
    """What is there, or epoch 0."""
    if not path.exists():
        return {"epoch": 0, "seconds": 0.0}
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if state["config"] != asdict(config):
        raise ModelError(f"The checkpoint {path} is of another recipe. Use its settings, or another --out folder.")
    return state


def _restore(parts: _Parts, state: dict[str, Any]) -> None:
    parts.network.load_state_dict(state["network"])
    parts.heads.load_state_dict(state["heads"])
    parts.optimizer.load_state_dict(state["optimizer"])
    parts.schedule.load_state_dict(state["schedule"])
