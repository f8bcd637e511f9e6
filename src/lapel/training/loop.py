"""The training loop, top to bottom: batches -> network -> losses -> step; a checkpoint an epoch; a table of what happened.

Recipe of the shipped model on 2 cores with bfloat16 (AMX), 35,959 pictures at 112 x 84: about 75 pictures/s, 8 minutes an epoch.
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
from lapel.training.batches import TrainingSet, augment, class_batches
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


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides the result, written into the model folder.

    Attributes:
        levels: Triplet levels, coarse to fine; batches are drawn from the classes of the last.
        heads: Attributes that get a classifier beside the triplets.
        heads_weight: Weight of the mean of their losses.
        classes: P, groups of one class a batch.
        pictures: K, pictures a group.
        epochs: Passes over the pictures.
        rate: Peak learning rate of the backbone (AdamW); the head and the classifiers learn 5 times faster, having just begun.
        warmup: Share of the steps over which the rate rises; then it falls as a half cosine.
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
    epochs: int = 4
    rate: float = 3e-4
    warmup: float = 0.1
    weight_decay: float = 0.02
    seed: int = 7
    dim: int = 128


def train(data: TrainingSet, config: TrainingConfig, *, init: Path, out: Path, report: Report) -> LookNetwork:
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
    fast = [*network.head.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(
        [{"params": network.backbone.parameters(), "lr": config.rate}, {"params": fast, "lr": 5 * config.rate}],
        weight_decay=config.weight_decay,
    )
    levels = {level: data.joint(level.attributes) for level in config.levels}
    sampled = levels[config.levels[-1]][data.train]
    steps = config.epochs * sum(1 for _ in _epoch_batches(sampled, config, epoch=0))
    # The count differs by a few from epoch to epoch (groups fall differently), so the schedule stops at its end.
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps, config.warmup))
    parts = _Parts(network, heads, optimizer, schedule)
    first = _load_checkpoint(out / "checkpoint.pt", parts, config)
    for epoch in range(first, config.epochs):
        _train_epoch(data, config, levels, sampled, parts, epoch, out / "log.csv", report)
        recall = quick_recall(network, data, config)
        report({"epoch": epoch + 1, **recall})
        _save_checkpoint(out / "checkpoint.pt", parts, config, epoch + 1)
    network.eval()
    return network


@dataclass(frozen=True)
class _Parts:
    network: LookNetwork
    heads: AttributeHeads
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LambdaLR


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
        pixels = augment(torch.from_numpy(data.pixels[np.sort(rows)]), generator)  # sorted: the file is read in order
        row = _step(parts, pixels, np.sort(rows), data, config, levels)
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


def _save_checkpoint(path: Path, parts: _Parts, config: TrainingConfig, epoch: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "config": asdict(config),
        "epoch": epoch,
        "network": parts.network.state_dict(),
        "heads": parts.heads.state_dict(),
        "optimizer": parts.optimizer.state_dict(),
        "schedule": parts.schedule.state_dict(),
    }
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)  # atomic: a full disk or kill -9 leaves the last good one


def _load_checkpoint(path: Path, parts: _Parts, config: TrainingConfig) -> int:
    """Load what is there and return the epoch to go on with (0 without a checkpoint)."""
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["config"] != asdict(config):
        raise ModelError(f"The checkpoint {path} is of another recipe. Use its settings, or another --out folder.")
    parts.network.load_state_dict(state["network"])
    parts.heads.load_state_dict(state["heads"])
    parts.optimizer.load_state_dict(state["optimizer"])
    parts.schedule.load_state_dict(state["schedule"])
    return int(state["epoch"])
