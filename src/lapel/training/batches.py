"""What a training step learns from: pictures and labels of a whole set, and the order in which P x K batches visit
them.

Pictures come from memory, from a file, or straight from their source; pixels are those of
:class:`lapel.core.images.Preprocessing` either way, so training sees what indexing and querying see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from lapel.core.errors import InputError, LapelError
from lapel.core.images import Pixels, Preprocessing, decode
from lapel.training.augment import paper

Labels = NDArray[np.int64]  # (n,), -1 is unknown
Rows = NDArray[np.int64]  # (n,)
PRODUCT = "product"  # the label that is always there: which product a picture shows


class Pictures(Protocol):
    """Where a step's pictures come from."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of each."""
        ...

    def __len__(self) -> int: ...

    def read(self, rows: Rows) -> tuple[Pixels, NDArray[np.bool_]]:
        """(k,) rows -> (k, h, w, 4) uint8, RGB and the product's mask; and (k,) bool, false for a picture that cannot
        be read."""
        ...


class StoredPictures:
    """Pictures in an array, in memory or memory-mapped.

    Args:
        pixels: (n, h, w, 3) uint8, or (n, h, w, 4) with the product's mask.
    """

    def __init__(self, pixels: Pixels) -> None:
        self.pixels = pixels

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of each."""
        return self.pixels.shape[1], self.pixels.shape[2]

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, rows: Rows) -> tuple[Pixels, NDArray[np.bool_]]:
        """See :class:`Pictures`."""
        pixels = np.asarray(self.pixels[rows])
        return (pixels if pixels.shape[-1] == 4 else with_mask(pixels)), np.ones(len(rows), bool)


class StreamedPictures:
    """Pictures read and decoded when a step needs them, for a catalogue that does not fit the disk.

    Args:
        uris: (n,) the pictures.
        load: Gives a picture's bytes.
        preprocessing: The one path from bytes to pixels.
        threads: How many are read at once.
        failed: Called with (uri, reason) of each picture that cannot be read; it is left out of its batch.
    """

    def __init__(
        self,
        uris: Sequence[str],
        load: Callable[[str], bytes],
        *,
        preprocessing: Preprocessing,
        threads: int,
        failed: Callable[[str, str], None],
    ) -> None:
        self._uris, self._load, self._preprocessing, self._failed = uris, load, preprocessing, failed
        self._pool = ThreadPoolExecutor(threads)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of each."""
        return self._preprocessing.height, self._preprocessing.width

    def __len__(self) -> int:
        return len(self._uris)

    def read(self, rows: Rows) -> tuple[Pixels, NDArray[np.bool_]]:
        """See :class:`Pictures`."""
        pixels = np.full((len(rows), *self.size, 3), 255, np.uint8)
        good = np.ones(len(rows), bool)

        def one(at: int) -> None:
            uri = self._uris[rows[at]]
            try:
                pixels[at] = self._preprocessing.apply(decode(self._load(uri)))
            except (LapelError, OSError) as error:
                good[at] = False
                self._failed(uri, str(error))

        list(self._pool.map(one, range(len(rows))))
        return with_mask(pixels), good


def with_mask(pixels: Pixels) -> Pixels:
    """(n, h, w, 3) uint8 -> (n, h, w, 4): 255 where the product is, 0 on the white around it."""
    picture = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float()
    mask = (~paper(picture)).permute(0, 2, 3, 1).numpy().astype(np.uint8) * 255
    return np.concatenate([pixels, mask], axis=3)


@dataclass(frozen=True)
class TrainingSet:
    """Pictures and labels.

    Attributes:
        pictures: Where the pixels come from.
        labels: (n,) int64 for each attribute, -1 where it is unknown; ``product`` is always there.
        names: The class names of each attribute, in label order.
        train: Rows to learn from.
        val: Rows to judge by; never learned from.
        parts: (n,) int64: which of the given sources a picture is from; 0 is the shop, whose pictures are searched in.
    """

    pictures: Pictures
    labels: dict[str, Labels]
    names: dict[str, tuple[str, ...]]
    train: Rows
    val: Rows
    parts: Rows

    def __post_init__(self) -> None:
        for name, labels in {**self.labels, "parts": self.parts}.items():
            if labels.shape != (len(self.pictures),):
                raise InputError(
                    f"Labels '{name}' need one value a picture: {len(self.pictures)}; found {labels.shape}."
                )
        if PRODUCT not in self.labels:
            raise InputError(f"A training set needs the label '{PRODUCT}'; found {', '.join(self.labels) or 'none'}.")
        if not len(self.train):
            raise InputError("There is no picture to learn from: no row of the table has split=train.")

    def joint(self, attributes: Sequence[str]) -> Labels:
        """One label for each combination of ``attributes``; -1 where any of them is unknown."""
        columns = np.stack([self.labels[name] for name in attributes], axis=1)
        joint = np.unique(columns, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
        return np.where((columns < 0).any(axis=1), -1, joint)


def class_batches(labels: Labels, *, classes: int, pictures: int, rng: np.random.Generator) -> Iterator[Rows]:
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
    groups: list[Rows] = []
    for rows in np.split(order, starts[1:]):
        size = pictures if labels[rows[0]] >= 0 else 1
        groups += [rows[at : at + size] for at in range(0, len(rows), size)]
    for chunk in _full_batches([groups[index] for index in rng.permutation(len(groups))], classes * pictures):
        yield np.concatenate(chunk)


def _full_batches(groups: list[Rows], size: int) -> Iterator[list[Rows]]:
    """Whole groups until a batch is full, so that small groups do not make small batches."""
    batch: list[Rows] = []
    count = 0
    for group in groups:
        if batch and count + len(group) > size:
            yield batch
            batch, count = [], 0
        batch.append(group)
        count += len(group)
    if batch:
        yield batch
