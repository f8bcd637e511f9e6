"""What a training step learns from: pixels and labels of a whole set, and the order in which P x K batches visit them.

Pixels are those of :class:`lapel.core.images.Preprocessing`, so training sees what indexing and querying see.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
