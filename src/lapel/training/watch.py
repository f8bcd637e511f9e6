"""How a training is doing: Recall@1 on val pictures as it goes, a warning of collapse, and curves to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lapel.core.vectors import Vectors
from lapel.training.batches import PRODUCT, TrainingSet
from lapel.training.checkpoint import read_log
from lapel.training.network import LookNetwork
from lapel.training.recipe import TrainingConfig

# Mean distance between the pictures of a batch: sqrt(2) for points all over the sphere; below this they lie within 15 degrees.
COLLAPSED = 0.25


def encode_rows(network: LookNetwork, data: TrainingSet, rows: NDArray[np.int64], *, batch: int = 64) -> Vectors:
    """Vectors of some pictures with the network as it is: (len(rows), dim) float32 unit rows; zeros for unreadable ones."""
    network.eval()
    device = network.mean.device
    out = []
    with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16):
        for at in range(0, len(rows), batch):
            pixels, good = data.pictures.read(rows[at : at + batch])
            x = network.normalise_pixels(torch.from_numpy(pixels[..., :3]).to(device))
            vectors = network.embed(x.contiguous(memory_format=torch.channels_last)).vectors.float().cpu().numpy()
            out.append(np.where(good[:, None], vectors, 0).astype(np.float32))
    return np.concatenate(out)


def quick_recall(
    network: LookNetwork, data: TrainingSet, config: TrainingConfig, *, queries: int = 1000, gallery: int = 6000
) -> dict[str, float]:
    """Recall@1 of some val pictures of each part among some train pictures of the shop: a curve to watch, not a result to report.

    Where val products are not in training (labels unknown there), or nothing else is learned, it is left out.
    """
    rng = np.random.default_rng(config.seed)
    shop = data.train[data.parts[data.train] == 0]
    gallery_rows = np.sort(rng.permutation(shop)[:gallery])
    known = encode_rows(network, data, gallery_rows)
    recall = {}
    for part in np.unique(data.parts[data.val]):
        rows = np.sort(rng.permutation(data.val[data.parts[data.val] == part])[:queries])
        nearest = gallery_rows[np.argmax(encode_rows(network, data, rows) @ known.T, axis=1)]
        for level in config.levels:
            labels = data.joint(level.attributes)
            possible = np.isin(labels[rows], labels[gallery_rows]) & (labels[rows] >= 0)
            if level.attributes != (PRODUCT,) and possible.any():
                name = f"recall@1 {level.name}" + (f" part {part}" if part else "")
                recall[name] = float(np.mean(labels[rows] == labels[nearest], where=possible))
    return recall


def draw_curves(log: Path, target: Path) -> None:
    """A picture of a log: losses, share of active triplets, distances and Recall@1 over the steps.

    Args:
        log: What training wrote.
        target: The PNG.
    """
    from matplotlib.figure import Figure

    rows = read_log(log)
    figure = Figure(figsize=(12, 8), layout="constrained")
    axes = figure.subplots(2, 2)
    panels = {
        "loss": ("loss", "attributes", "triplet", "neighbours"),
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
