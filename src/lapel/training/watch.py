"""How a training is doing: Recall@1 on val images as it goes, a warning of collapse, and curves to look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lapel.core.vectors import Vectors
from lapel.training.augment import Augmentation, augment
from lapel.training.checkpoint import read_log
from lapel.training.data import PRODUCT, TrainingSet
from lapel.training.machine import mixed_precision
from lapel.training.network import EmbeddingNetwork
from lapel.training.recipe import PHOTO, Recipe

# Mean distance between the images of a batch: sqrt(2) for points all over the sphere; below this they lie within 15
# degrees.
MIN_SPREAD = 0.25
LOG_EVERY = 20  # steps a row of the log


def encode_rows(
    network: EmbeddingNetwork,
    data: TrainingSet,
    rows: NDArray[np.int64],
    *,
    batch: int = 128,
    change: Augmentation | None = None,
) -> Vectors:
    """Vectors of some images with the network as it is: (len(rows), dim) float32 unit rows; zeros for unreadable ones.

    Args:
        network: Left in evaluation mode.
        data: Where the images are.
        rows: Which of them.
        batch: Images at once.
        change: Change each image first, the same way each time.
    """
    network.eval()
    device = network.mean.device
    generator = torch.Generator(device).manual_seed(0)
    out = []
    with torch.inference_mode(), mixed_precision(device):
        for at in range(0, len(rows), batch):
            pixels, good = data.images.read(rows[at : at + batch])
            given = torch.from_numpy(np.ascontiguousarray(pixels)).to(device)
            x = network.normalise_pixels(augment(given, generator, change) if change else given[..., :3])
            vectors = network.embed(x.contiguous(memory_format=torch.channels_last)).vectors.float().cpu().numpy()
            out.append(np.where(good[:, None], vectors, 0).astype(np.float32))
    return np.concatenate(out)


def correct_answers(
    network: EmbeddingNetwork, data: TrainingSet, config: Recipe, *, queries: int = 1000, gallery: int = 6000
) -> dict[str, NDArray[np.bool_]]:
    """Whether the first answer is right, for some held-out images of each part among some train images of the shop.

    The same rows are asked for whichever network it is, so that two of them can be compared query by query. An image
    whose label is unknown is neither right nor wrong: it is not among what is found.

    Returns:
        For each level (and part, if it is not the shop) one value a query that has a right answer; and for
        ``instance``, whether a photo made of a held-out image finds that image among all others.
    """
    rng = np.random.default_rng(config.seed)
    shop = data.train[data.parts[data.train] == 0]
    gallery_rows = np.sort(rng.permutation(shop)[:gallery])
    known = encode_rows(network, data, gallery_rows)
    right: dict[str, NDArray[np.bool_]] = {}
    for part in np.unique(data.parts[data.val]):
        rows = np.sort(rng.permutation(data.val[data.parts[data.val] == part])[:queries])
        asked = encode_rows(network, data, rows)
        cosines = asked @ known.T
        for level in config.levels:
            labels = data.joint(level.attributes)
            possible = np.isin(labels[rows], labels[gallery_rows]) & (labels[rows] >= 0)
            if level.attributes != (PRODUCT,) and possible.any():
                name = level.name + (f" part {part}" if part else "")
                told = np.flatnonzero(labels[gallery_rows] >= 0)
                nearest = gallery_rows[told[np.argmax(cosines[np.ix_(possible, told)], axis=1)]]
                right[name] = labels[rows[possible]] == labels[nearest]
        if part == 0:
            changed = encode_rows(network, data, rows, change=PHOTO)
            own = np.einsum("nd,nd->n", changed, asked)
            others = np.where(_same(data, rows, rows), -1, changed @ asked.T).max(axis=1, initial=-1)
            elsewhere = np.where(_same(data, rows, gallery_rows), -1, changed @ known.T).max(axis=1, initial=-1)
            right["instance"] = (own > others) & (own > elsewhere)
    return right


def _same(data: TrainingSet, rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
    product = data.labels[PRODUCT]
    same: NDArray[np.bool_] = product[rows][:, None] == product[others][None, :]
    return same


def quick_recall(network: EmbeddingNetwork, data: TrainingSet, config: Recipe) -> dict[str, float]:
    """Recall@1 of :func:`correct_answers`: a curve to watch, not a result to report."""
    right = correct_answers(network, data, config)
    return {f"recall@1 {name}": float(answers.mean()) for name, answers in right.items()}


@dataclass(frozen=True)
class Verdict:
    """How a trained network answers held-out queries, beside the one it started from.

    Attributes:
        name: The level.
        queries: How many were asked.
        before: Recall@1 of the start, 0..1.
        after: Recall@1 now, 0..1.
        low: Lower end of the 95 % interval of the difference.
        high: Its upper end.
    """

    name: str
    queries: int
    before: float
    after: float
    low: float
    high: float

    @property
    def word(self) -> str:
        """``better``, ``worse``, or ``no clear difference`` when the interval holds 0."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "no clear difference"


def compare_answers(before: dict[str, NDArray[np.bool_]], after: dict[str, NDArray[np.bool_]]) -> list[Verdict]:
    """Compare two :func:`correct_answers` of the same queries.

    The interval is that of a difference of paired proportions (Newcombe 1998, method 1, the Wald interval of discordant
    pairs).
    """
    verdicts = []
    for name, old in before.items():
        change = after[name].astype(float) - old
        spread = 1.96 * float(change.std()) / len(change) ** 0.5
        mean = float(change.mean())
        verdicts.append(
            Verdict(name, len(old), float(old.mean()), float(after[name].mean()), mean - spread, mean + spread)
        )
    return verdicts


def draw_curves(log: Path, target: Path) -> None:
    """An image of a log: losses, share of active triplets, distances and Recall@1 over the steps.

    Args:
        log: What training wrote.
        target: The PNG.
    """
    from matplotlib.figure import Figure

    rows = read_log(log)
    figure = Figure(figsize=(12, 8), layout="constrained")
    axes = figure.subplots(2, 2)
    panels = {
        "loss": ("loss", "attributes", "triplet", "nca", "instance"),
        "share of active triplets": ("active",),
        "distance to the mined positive and negative, and between all": ("d+", "d-", "spread"),
        "Recall@1 on val": ("recall@1",),
    }
    for (title, starts), axis in zip(panels.items(), axes.flat, strict=True):
        for name in [name for name in (rows[0] if rows else ()) if name.startswith(starts)]:
            points = [(number, float(row[name])) for number, row in enumerate(rows) if row[name]]
            if points:
                axis.plot(*zip(*points, strict=True), label=name, linewidth=1, marker="." if len(points) < 40 else "")
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("rows of the log")
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend(fontsize=7)
    figure.savefig(target, dpi=100)
