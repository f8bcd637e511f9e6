"""From a source and a product table to a :class:`TrainingSet`: pictures prepared once, labels as integers.

The pixels are kept in a file beside the checkpoint and memory-mapped, so that a second start is quick and memory stays small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from lapel.core.errors import InputError, LapelError
from lapel.core.images import Preprocessing, decode
from lapel.core.types import Product
from lapel.training.batches import Labels, TrainingSet

PIXELS = "pixels.npy"
Examples = Sequence[tuple[Product, str]]  # a product and one picture of it


def load_training_set(
    examples: Examples,
    read: Callable[[str], bytes],
    preprocessing: Preprocessing,
    *,
    attributes: Sequence[str],
    folder: Path,
    progress: Callable[[int, int], None],
) -> tuple[TrainingSet, list[tuple[str, str]]]:
    """Read, prepare and label every picture; a bad one is left out and reported.

    Args:
        examples: Products with one picture each; their attribute ``split`` says ``train`` or ``val``, anything else is left out.
        read: Gives a picture's bytes.
        preprocessing: The one path from bytes to pixels.
        attributes: What is learned; an empty value is unknown.
        folder: Where ``pixels.npy`` goes.
        progress: Called with (done, total).

    Returns:
        The set, and (picture, reason) of each picture that could not be used.

    Raises:
        InputError: no example, or an attribute that no product has.
    """
    examples = [(product, uri) for product, uri in examples if product.attributes.get("split") in ("train", "val")]
    if not examples:
        raise InputError("Training needs products with an attribute 'split' that says train or val; found none.")
    folder.mkdir(parents=True, exist_ok=True)
    shape = (len(examples), preprocessing.height, preprocessing.width, 3)
    pixels = np.lib.format.open_memmap(folder / PIXELS, mode="w+", dtype=np.uint8, shape=shape)
    kept: list[int] = []
    rejected: list[tuple[str, str]] = []
    for row, (_, uri) in enumerate(examples):
        try:
            pixels[row] = preprocessing.apply(decode(read(uri)))
            kept.append(row)
        except LapelError as error:
            rejected.append((uri, str(error)))
        if row % 500 == 0 or row + 1 == len(examples):
            progress(row + 1, len(examples))
    split = np.array([product.attributes["split"] for product, _ in examples])
    usable = np.zeros(len(examples), bool)
    usable[kept] = True
    labels, names = {}, {}
    for name in attributes:
        values = [_value(product, name) for product, _ in examples]
        labels[name], names[name] = _codes(values, (split == "train") & usable)
    train, val = np.flatnonzero((split == "train") & usable), np.flatnonzero((split == "val") & usable)
    return TrainingSet(pixels, labels, names, train, val), rejected


def _value(product: Product, name: str) -> str:
    values = product.facets().get(name, ("",))
    return values[-1]


def _codes(values: Iterable[str], train: np.ndarray) -> tuple[Labels, tuple[str, ...]]:
    """Integers for texts, numbered among the training pictures; -1 for what is empty or appears in val alone."""
    listed = list(values)
    names = tuple(sorted({value for value, known in zip(listed, train, strict=True) if known and value}))
    if not names:
        raise InputError("An attribute to learn is empty for every training product. Choose others.")
    number = {name: code for code, name in enumerate(names)}
    return np.array([number.get(value, -1) for value in listed], np.int64), names
