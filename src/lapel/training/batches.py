"""What a training step sees: P x K batches of pixels and labels, augmented. In go arrays of a whole set; out come batches.

Pixels are those of :class:`lapel.core.images.Preprocessing`, so training sees what indexing and querying see.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lapel.core.errors import InputError
from lapel.core.images import Pixels

Labels = NDArray[np.int64]  # (n,), -1 is unknown


@dataclass(frozen=True)
class TrainingSet:
    """Pictures and labels in memory (or memory-mapped).

    Attributes:
        pixels: (n, height, width, 3) uint8.
        labels: (n,) int64 for each attribute, -1 where it is unknown.
        names: The class names of each attribute, in label order.
        train: Rows to learn from.
        val: Rows to judge by; never learned from.
    """

    pixels: Pixels
    labels: dict[str, Labels]
    names: dict[str, tuple[str, ...]]
    train: NDArray[np.int64]
    val: NDArray[np.int64]

    def __post_init__(self) -> None:
        for name, labels in self.labels.items():
            if labels.shape != (len(self.pixels),):
                raise InputError(f"Labels '{name}' need one value a picture: {len(self.pixels)}; found {labels.shape}.")
        if not len(self.train):
            raise InputError("There is no picture to learn from: no row of the table has split=train.")

    def joint(self, attributes: Sequence[str]) -> Labels:
        """One label for each combination of ``attributes``; -1 where any of them is unknown."""
        columns = np.stack([self.labels[name] for name in attributes], axis=1)
        joint = np.unique(columns, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
        return np.where((columns < 0).any(axis=1), -1, joint)


def class_batches(
    labels: Labels, *, classes: int, pictures: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """P x K batches that visit every picture exactly once: P groups of up to K pictures of one class.

    A class is shuffled and cut into groups of K; what is left over is a smaller group, so rare classes are seen too.

    Args:
        labels: (n,) int64; pictures with label -1 make groups of one.
        classes: P, groups a batch.
        pictures: K, pictures a group.
        rng: Decides the order.

    Yields:
        (up to P x K,) int64 rows.
    """
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    starts = np.flatnonzero(np.diff(labels[order], prepend=labels[order][:1] - 1))
    groups: list[NDArray[np.int64]] = []
    for rows in np.split(order, starts[1:]):
        size = pictures if labels[rows[0]] >= 0 else 1
        groups += [rows[at : at + size] for at in range(0, len(rows), size)]
    for chunk in _full_batches([groups[index] for index in rng.permutation(len(groups))], classes * pictures):
        yield np.concatenate(chunk)


def _full_batches(groups: list[NDArray[np.int64]], size: int) -> Iterator[list[NDArray[np.int64]]]:
    """Whole groups until a batch is full, so that small groups do not make small batches."""
    batch: list[NDArray[np.int64]] = []
    count = 0
    for group in groups:
        if batch and count + len(group) > size:
            yield batch
            batch, count = [], 0
        batch.append(group)
        count += len(group)
    if batch:
        yield batch


def augment(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Another photo of the same thing: mirrored, turned up to 8 degrees, zoomed, shifted, lit a little differently.

    Colour must survive, since shops tell products apart by it: light changes by up to 15 %, each channel by up to 4 %.

    Args:
        pixels: (n, h, w, 3) uint8.
        generator: Decides everything.

    Returns:
        (n, h, w, 3) float32 in 0..255, white where the picture does not reach.
    """
    n, height, width, _ = pixels.shape

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    angle = uniform(-8, 8, n) * torch.pi / 180
    mirror = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    zoom_x, zoom_y = uniform(0.8, 1.1, n) * uniform(0.94, 1.06, n), uniform(0.8, 1.1, n)
    shift_x, shift_y = uniform(-0.1, 0.1, n), uniform(-0.1, 0.1, n)
    ratio = height / width
    cos, sin = torch.cos(angle), torch.sin(angle)
    row_x = torch.stack([zoom_x * mirror * cos, -zoom_x * sin * ratio, shift_x], dim=1)
    row_y = torch.stack([zoom_y * mirror * sin / ratio, zoom_y * cos, shift_y], dim=1)
    grid = functional.affine_grid(torch.stack([row_x, row_y], dim=1), [n, 3, height, width], align_corners=False)
    below_white = pixels.permute(0, 3, 1, 2).float() - 255  # so that "outside" (zero) is white
    moved = functional.grid_sample(below_white, grid, padding_mode="zeros", align_corners=False) + 255
    light = uniform(0.85, 1.15, n, 1, 1, 1) * uniform(0.96, 1.04, n, 3, 1, 1)
    return (moved * light).clamp(0, 255).permute(0, 2, 3, 1)
