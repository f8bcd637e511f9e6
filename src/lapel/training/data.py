"""What a training step learns from: labels and images of a whole set, and the order in which P x K batches visit them.

Images come from memory, from a file that was prepared once and is memory-mapped, or straight from their source; pixels
are those of :class:`lapel.core.images.Preprocessing` either way, so training sees what indexing and querying see.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from lapel.core.errors import InputError, LapelError, TableError
from lapel.core.images import Pixels, Preprocessing, decode
from lapel.core.machine import cores
from lapel.core.text import reason_of
from lapel.core.types import Product
from lapel.training.augment import white_background_mask
from lapel.training.photo_masks import PhotoMasks, place_mask

Labels = NDArray[np.int64]  # (n,), -1 is unknown
Rows = NDArray[np.int64]  # (n,)
PRODUCT = "product"  # the label that is always there: which product an image shows


class Images(Protocol):
    """Where a step's images come from."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of each."""
        ...

    def __len__(self) -> int: ...

    def read(self, rows: Rows) -> tuple[Pixels, NDArray[np.bool_]]:
        """(k,) rows -> (k, h, w, 4) uint8, RGB and the product's mask; and (k,) bool, false for an image that cannot be
        read."""
        ...


class StoredImages:
    """Images in an array, in memory or memory-mapped.

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
        """See :class:`Images`."""
        pixels = np.asarray(self.pixels[rows])
        return (pixels if pixels.shape[-1] == 4 else with_mask(pixels)), np.ones(len(rows), bool)


class StreamedImages:
    """Images read and decoded when a step needs them, for a catalogue that does not fit the disk.

    Args:
        uris: (n,) the images.
        load: Gives an image's bytes.
        preprocessing: The one path from bytes to pixels.
        threads: How many are read at once.
        failed: Called with (uri, reason) of each image that cannot be read; it is left out of its batch.
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
        """See :class:`Images`."""
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
    image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float()
    mask = (~white_background_mask(image)).permute(0, 2, 3, 1).numpy().astype(np.uint8) * 255
    return np.concatenate([pixels, mask], axis=3)


@dataclass(frozen=True)
class TrainingSet:
    """Images and labels.

    Attributes:
        images: Where the pixels come from.
        labels: (n,) int64 for each attribute, -1 where it is unknown; ``product`` is always there.
        names: The class names of each attribute, in label order.
        train: Rows to learn from.
        val: Rows to judge by; never learned from.
        parts: (n,) int64: which of the given sources an image is from; 0 is the shop, whose images are searched in.
        products: Whose image each is; may be left out where nothing is learned from their texts.
    """

    images: Images
    labels: dict[str, Labels]
    names: dict[str, tuple[str, ...]]
    train: Rows
    val: Rows
    parts: Rows
    products: tuple[Product, ...] = ()

    def __post_init__(self) -> None:
        for name, labels in {**self.labels, "parts": self.parts}.items():
            if labels.shape != (len(self.images),):
                raise InputError(f"Labels '{name}' need one value an image: {len(self.images)}; found {labels.shape}.")
        if PRODUCT not in self.labels:
            raise InputError(f"A training set needs the label '{PRODUCT}'; found {', '.join(self.labels) or 'none'}.")
        if not len(self.train):
            raise InputError("There is no image to learn from: no row of the table has split=train.")

    def joint(self, attributes: Sequence[str]) -> Labels:
        """One label for each combination of ``attributes``; -1 where any of them is unknown."""
        columns = np.stack([self.labels[name] for name in attributes], axis=1)
        joint = np.unique(columns, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
        return np.where((columns < 0).any(axis=1), -1, joint)


def class_batches(labels: Labels, *, classes: int, images: int, rng: np.random.Generator) -> Iterator[Rows]:
    """P x K batches that visit every image exactly once: P groups of up to K images of one class.

    A class is shuffled and cut into groups of K; what is left over is a smaller group, so rare classes are seen too.

    Args:
        labels: (n,) int64; images with label -1 make groups of one.
        classes: P, groups a batch.
        images: K, images a group.
        rng: Decides the order.

    Yields:
        (up to P x K,) int64 rows.
    """
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    starts = np.flatnonzero(np.diff(labels[order], prepend=labels[order][:1] - 1))
    groups: list[Rows] = []
    for rows in np.split(order, starts[1:]):
        size = images if labels[rows[0]] >= 0 else 1
        groups += [rows[at : at + size] for at in range(0, len(rows), size)]
    for chunk in _full_batches([groups[index] for index in rng.permutation(len(groups))], classes * images):
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


# --- from sources and tables ------------------------------------------------------------------------------------------

PIXELS = "pixels.npy"
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val"}
READS = 32  # streamed images read at once: over a network each takes tens of milliseconds, whatever the cores do
CHUNK = 64  # images prepared at once
WORDS = "~"  # what a value begins with that is a regular expression of words to look for


@dataclass(frozen=True)
class LabelRules:
    """Where a label's value comes from; of several rows that fit, the first counts.

    Attributes:
        values: (attribute, value) -> the row's number and the label's value.
        words: The row's number, an attribute, words to look for in it, and the label's value.
    """

    values: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    words: list[tuple[int, str, re.Pattern[str], str]] = field(default_factory=list)

    def of(self, product: Product) -> str:
        """A product's value; empty where no row fits."""
        facets = {name: texts[-1] for name, texts in product.facets().items()} | {"title": product.title}
        fitting = [self.values[pair] for pair in facets.items() if pair in self.values]
        fitting += [(row, name) for row, at, words, name in self.words if words.search(facets.get(at, ""))]
        return min(fitting, default=(0, ""))[1]


LabelMap = Mapping[str, LabelRules]  # new attribute -> its rows


@dataclass(frozen=True)
class Example:
    """One image of one product.

    Attributes:
        product: Its attribute ``split`` may say ``train`` or ``val``.
        uri: The image.
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
    optional: Sequence[str] = (),
    product_key: str = "",
    label_map: LabelMap | None = None,
    val_share: float = 0.1,
    folder: Path | None,
    masks: PhotoMasks | None = None,
    progress: Callable[[int, int], None],
) -> tuple[TrainingSet, list[tuple[str, str]]]:
    """Label every image, and prepare it unless it is to be streamed; a bad one is left out and reported.

    Args:
        examples: Images; those whose split is neither train nor val are left out, where any says it.
        read: Gives an image's bytes.
        preprocessing: The one path from bytes to pixels.
        attributes: What is learned; an empty value is unknown.
        optional: What is learned, too, where any product has it.
        product_key: The attribute that says which images show the same thing; the product's id by default.
        label_map: Attributes made of others, see :func:`read_label_map`.
        val_share: Share of the products held out where no product says ``split``.
        folder: Where ``pixels.npy`` goes; None streams the images instead.
        masks: Says where the product is in images of other parts than the first; by default they are taken to be on
            white too.
        progress: Called with (done, total).

    Returns:
        The set, and (image, reason) of each image that could not be used; while streaming, the list grows.

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
    images: Images
    if folder is None:
        images = StreamedImages(
            uris, read, preprocessing=preprocessing, threads=READS, failed=lambda *pair: rejected.append(pair)
        )
    else:
        photos = frozenset(example.uri for example in examples if example.part) if masks else frozenset()
        images, rejected = prepare(
            uris, read, preprocessing=preprocessing, folder=folder, progress=progress, masks=masks, photos=photos
        )
        bad = {uri for uri, _ in rejected}
        usable = np.array([uri not in bad for uri in uris])
    learned = (split == "train") & usable
    values = {
        name: [_value(example.product, name, label_map or {}) for example in examples]
        for name in (*attributes, *optional)
    }
    coded = {name: _codes(name, listed, learned, needed=name in attributes) for name, listed in values.items()}
    return TrainingSet(
        images,
        {PRODUCT: _products(examples, product_key)} | {name: codes for name, (codes, _) in coded.items()},
        {name: names for name, (_, names) in coded.items()},
        np.flatnonzero(learned),
        np.flatnonzero((split == "val") & usable),
        np.array([example.part for example in examples], np.int64),
        tuple(example.product for example in examples),
    ), rejected


def _products(examples: Sequence[Example], key: str) -> Labels:
    """Which images show the same product: those of one part with the same value of ``key``, or of the id without."""
    names = [
        f"{each.part}/{each.product.facets().get(key, (each.product.id,))[-1] if key else each.product.id}"
        for each in examples
    ]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def prepare(
    uris: Sequence[str],
    read: Callable[[str], bytes],
    *,
    preprocessing: Preprocessing,
    folder: Path,
    progress: Callable[[int, int], None],
    masks: PhotoMasks | None = None,
    photos: frozenset[str] = frozenset(),
) -> tuple[StoredImages, list[tuple[str, str]]]:
    """Write all images as pixels and masks, (n, h, w, 4) uint8; the same list is not prepared twice.

    Args:
        uris: The images.
        read: Gives an image's bytes.
        preprocessing: The one path from bytes to pixels.
        folder: Where they are written.
        progress: Called with (done, total).
        masks: Says where the product is in ``photos``.
        photos: Images that are not on white.

    Returns:
        The images, and (image, reason) of each that cannot be read; its pixels are white.
    """
    folder.mkdir(parents=True, exist_ok=True)
    described = json.dumps([list(uris), preprocessing.to_json(), *([masks.identity] if masks else [])])
    stamp = hashlib.sha256(described.encode()).hexdigest()
    record = folder / "pixels.json"
    if record.exists() and (folder / PIXELS).exists():
        known = json.loads(record.read_text(encoding="utf-8"))
        if known["stamp"] == stamp:
            progress(len(uris), len(uris))
            return StoredImages(np.load(folder / PIXELS, mmap_mode="r")), [(u, r) for u, r in known["rejected"]]
    record.unlink(missing_ok=True)
    (folder / PIXELS).unlink(missing_ok=True)  # another folder may have a link to it
    shape = (len(uris), preprocessing.height, preprocessing.width, 4)
    pixels = np.lib.format.open_memmap(folder / PIXELS, mode="w+", dtype=np.uint8, shape=shape)
    rejected: list[tuple[str, str]] = []

    def some(start: int) -> list[tuple[str, str]]:
        chunk = np.full((min(CHUNK, len(uris) - start), *shape[1:3], 3), 255, np.uint8)
        bad, placed = [], {}
        for at, uri in enumerate(uris[start : start + CHUNK]):
            try:
                image = decode(read(uri))
                chunk[at] = preprocessing.apply(image)
                if masks and uri in photos:
                    placed[at] = place_mask(masks.mask(uri, image), preprocessing)
            except LapelError as error:
                bad.append((uri, str(error)))
        masked = with_mask(chunk)
        for at, mask in placed.items():
            masked[at, ..., 3] = mask
        pixels[start : start + CHUNK] = masked
        return bad

    with ThreadPoolExecutor(cores()) as pool:
        for start, bad in zip(starts := range(0, len(uris), CHUNK), pool.map(some, starts), strict=True):
            rejected += bad
            progress(min(start + CHUNK, len(uris)), len(uris))
    pixels.flush()
    # Written last: a preparation cut short is done again, never believed.
    record.write_text(json.dumps({"stamp": stamp, "rejected": rejected}), encoding="utf-8")
    return StoredImages(pixels), rejected


def read_label_map(path: Path) -> LabelMap:
    """Which values of two tables mean the same: a CSV with the columns label, name, attribute, value.

    A row ``kind,shoes,articleType,Heels`` gives each product with articleType=Heels the attribute kind=shoes, and a row
    ``kind,shoes,label,shoes`` gives it to each photo with label=shoes, so that photos learn to find products. A value
    that begins with ``~`` is a regular expression, in any case of letters: ``pattern,striped,title,~stripe``. A name
    with bars, such as ``Sweaters|Sweatshirts``, lets a photo find either.

    Raises:
        TableError: it cannot be read, misses a column, or has words that are no regular expression.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"The label map {path} cannot be read: {reason_of(error)}.") from error
    wanted = ("label", "name", "attribute", "value")
    if not rows or any(row.get(column) is None for row in rows for column in wanted):
        found = ", ".join(rows[0]) if rows else "no row"
        raise TableError(f"The label map {path} need the columns {', '.join(wanted)} in every row; found {found}.")
    label_map: dict[str, LabelRules] = {}
    for number, row in enumerate(rows):
        rules = label_map.setdefault(row["label"], LabelRules())
        if row["value"].startswith(WORDS):
            try:
                words = re.compile(row["value"].removeprefix(WORDS), re.IGNORECASE)
            except re.error as error:
                raise TableError(
                    f"The label map {path} has words that are no regular expression: '{row['value']}' ({error})."
                ) from error
            rules.words.append((number, row["attribute"], words, row["name"]))
        else:
            rules.values.setdefault((row["attribute"], row["value"]), (number, row["name"]))
    return label_map


def _splits(examples: Sequence[Example], share: float) -> list[str]:
    """``train``, ``val``, or nothing for an image to leave out; where no product of a part says so, by the id's
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


def _value(product: Product, name: str, label_map: LabelMap) -> str:
    return label_map[name].of(product) if name in label_map else product.facets().get(name, ("",))[-1]


def _codes(
    name: str, values: Iterable[str], train: np.ndarray, *, needed: bool = True
) -> tuple[Labels, tuple[str, ...]]:
    """Integers for texts, numbered among the training images; -1 for what is empty or appears in val alone."""
    listed = list(values)
    names = tuple(sorted({value for value, known in zip(listed, train, strict=True) if known and value}))
    if not names and needed:
        raise InputError(
            f"The attribute '{name}' is to be learned, but is empty for every training product. Choose others with"
            f" --level and --head."
        )
    number = {value: code for code, value in enumerate(names)}
    return np.array([number.get(value, -1) for value in listed], np.int64), names
