"""From sources and product tables to a :class:`TrainingSet`: labels as integers, pictures prepared once or streamed.

Prepared pixels are kept in a file beside the checkpoint and memory-mapped, so that a second start is quick and memory
stays small.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lapel.core.errors import InputError, LapelError, TableError
from lapel.core.images import Preprocessing, decode
from lapel.core.text import reason_of
from lapel.core.types import Product
from lapel.training.batches import PRODUCT, Labels, Pictures, StoredPictures, StreamedPictures, TrainingSet, with_mask

PIXELS = "pixels.npy"
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val"}
READS = 32  # streamed pictures read at once: over a network each takes tens of milliseconds, whatever the cores do
CHUNK = 64  # pictures prepared at once
SharedLabels = Mapping[str, Mapping[tuple[str, str], str]]  # new attribute -> (attribute, value) -> its value


@dataclass(frozen=True)
class Example:
    """One picture of one product.

    Attributes:
        product: Its attribute ``split`` may say ``train`` or ``val``.
        uri: The picture.
        part: Which of the given sources it is from; 0 is the shop.
    """

    product: Product
    uri: str
    part: int = 0


def load_training_set(
    examples: Sequence[Example],
    read: Callable[[str], bytes],
    *,
    preprocessing: Preprocessing,
    attributes: Sequence[str],
    product: str = "",
    shared: SharedLabels | None = None,
    val_share: float = 0.1,
    folder: Path | None,
    progress: Callable[[int, int], None],
) -> tuple[TrainingSet, list[tuple[str, str]]]:
    """Label every picture, and prepare it unless it is to be streamed; a bad one is left out and reported.

    Args:
        examples: Pictures; those whose split is neither train nor val are left out, where any says it.
        read: Gives a picture's bytes.
        preprocessing: The one path from bytes to pixels.
        attributes: What is learned; an empty value is unknown.
        product: The attribute that says which pictures show the same thing; the product's id by default.
        shared: Attributes made of others, see :func:`read_shared_labels`.
        val_share: Share of the products held out where no product says ``split``.
        folder: Where ``pixels.npy`` goes; None streams the pictures instead.
        progress: Called with (done, total).

    Returns:
        The set, and (picture, reason) of each picture that could not be used; while streaming, the list grows.

    Raises:
        InputError: no example, or an attribute that no product has.
    """
    splits = _splits(examples, val_share)
    examples = [example for example, split in zip(examples, splits, strict=True) if split]
    split = np.array([split for split in splits if split])
    if not examples:
        raise InputError("There is no product whose attribute 'split' says train or val, and none without one.")
    rejected: list[tuple[str, str]] = []
    usable = np.ones(len(examples), bool)
    uris = [example.uri for example in examples]
    pictures: Pictures
    if folder is None:
        pictures = StreamedPictures(
            uris, read, preprocessing=preprocessing, threads=READS, failed=lambda *pair: rejected.append(pair)
        )
    else:
        pictures, rejected = prepare(uris, read, preprocessing=preprocessing, folder=folder, progress=progress)
        bad = {uri for uri, _ in rejected}
        usable = np.array([uri not in bad for uri in uris])
    learned = (split == "train") & usable
    values = {name: [_value(example.product, name, shared or {}) for example in examples] for name in attributes}
    coded = {name: _codes(name, listed, learned) for name, listed in values.items()}
    labels = {name: codes for name, (codes, _) in coded.items()}
    same = [
        example.product.facets().get(product, (example.product.id,))[-1] if product else example.product.id
        for example in examples
    ]
    labels[PRODUCT] = np.unique(
        [f"{e.part}/{name}" for e, name in zip(examples, same, strict=True)], return_inverse=True
    )[1].astype(np.int64)
    return TrainingSet(
        pictures,
        labels,
        {name: names for name, (_, names) in coded.items()},
        np.flatnonzero(learned),
        np.flatnonzero((split == "val") & usable),
        np.array([example.part for example in examples], np.int64),
    ), rejected


def prepare(
    uris: Sequence[str],
    read: Callable[[str], bytes],
    *,
    preprocessing: Preprocessing,
    folder: Path,
    progress: Callable[[int, int], None],
) -> tuple[StoredPictures, list[tuple[str, str]]]:
    """Write all pictures as pixels and masks, (n, h, w, 4) uint8; the same list is not prepared twice.

    Returns:
        The pictures, and (picture, reason) of each that cannot be read; its pixels are white.
    """
    folder.mkdir(parents=True, exist_ok=True)
    described = json.dumps([list(uris), preprocessing.to_json()])
    stamp = hashlib.sha256(described.encode()).hexdigest()
    record = folder / "pixels.json"
    if record.exists() and (folder / PIXELS).exists():
        known = json.loads(record.read_text(encoding="utf-8"))
        if known["stamp"] == stamp:
            progress(len(uris), len(uris))
            return StoredPictures(np.load(folder / PIXELS, mmap_mode="r")), [(u, r) for u, r in known["rejected"]]
    record.unlink(missing_ok=True)
    shape = (len(uris), preprocessing.height, preprocessing.width, 4)
    pixels = np.lib.format.open_memmap(folder / PIXELS, mode="w+", dtype=np.uint8, shape=shape)
    rejected: list[tuple[str, str]] = []

    def some(start: int) -> list[tuple[str, str]]:
        chunk = np.full((min(CHUNK, len(uris) - start), *shape[1:3], 3), 255, np.uint8)
        bad = []
        for at, uri in enumerate(uris[start : start + CHUNK]):
            try:
                chunk[at] = preprocessing.apply(decode(read(uri)))
            except LapelError as error:
                bad.append((uri, str(error)))
        pixels[start : start + CHUNK] = with_mask(chunk)
        return bad

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start, bad in zip(starts := range(0, len(uris), CHUNK), pool.map(some, starts), strict=True):
            rejected += bad
            progress(min(start + CHUNK, len(uris)), len(uris))
    pixels.flush()
    # Written last: a preparation cut short is done again, never believed.
    record.write_text(json.dumps({"stamp": stamp, "rejected": rejected}), encoding="utf-8")
    return StoredPictures(pixels), rejected


def read_shared_labels(path: Path) -> SharedLabels:
    """Which values of two tables mean the same: a CSV with the columns label, name, attribute, value.

    A row ``kind,shoes,articleType,Heels`` gives each product with articleType=Heels the attribute kind=shoes, and a row
    ``kind,shoes,label,shoes`` gives it to each photo with label=shoes, so that photos learn to find products.

    Raises:
        TableError: it cannot be read, or misses a column.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"The shared labels {path} cannot be read: {reason_of(error)}.") from error
    wanted = ("label", "name", "attribute", "value")
    if not rows or any(row.get(column) is None for row in rows for column in wanted):
        found = ", ".join(rows[0]) if rows else "no row"
        raise TableError(f"The shared labels {path} need the columns {', '.join(wanted)} in every row; found {found}.")
    shared: dict[str, dict[tuple[str, str], str]] = {}
    for row in rows:
        shared.setdefault(row["label"], {})[row["attribute"], row["value"]] = row["name"]
    return shared


def _splits(examples: Sequence[Example], share: float) -> list[str]:
    """``train``, ``val``, or nothing for a picture to leave out; where no product of a part says so, by the id's
    hash."""
    said = {example.part for example in examples if example.product.attributes.get("split")}
    splits = []
    for example in examples:
        if example.part in said:
            splits.append(SPLITS.get(example.product.attributes.get("split", ""), ""))
        else:
            number = int.from_bytes(hashlib.sha256(example.product.id.encode()).digest()[:4], "big") / 2**32
            splits.append("val" if number < share else "train")
    return splits


def _value(product: Product, name: str, shared: SharedLabels) -> str:
    facets = product.facets()
    if name in shared:
        rules = shared[name]
        return next((rules[pair] for pair in ((a, v[-1]) for a, v in facets.items()) if pair in rules), "")
    return facets.get(name, ("",))[-1]


def _codes(name: str, values: Iterable[str], train: np.ndarray) -> tuple[Labels, tuple[str, ...]]:
    """Integers for texts, numbered among the training pictures; -1 for what is empty or appears in val alone."""
    listed = list(values)
    names = tuple(sorted({value for value, known in zip(listed, train, strict=True) if known and value}))
    if not names:
        raise InputError(
            f"The attribute '{name}' is to be learned, but is empty for every training product. Choose others with"
            f" --level and --head."
        )
    number = {value: code for code, value in enumerate(names)}
    return np.array([number.get(value, -1) for value in listed], np.int64), names
