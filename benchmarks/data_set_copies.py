"""Public data sets of photos of the same item: a local copy in, a checked :class:`Benchmark` out, and a table to train
on.

DeepFashion In-Shop (Liu et al., CVPR 2016; for non-commercial research and education only) and Stanford Online Products
(Song et al., CVPR 2016). Neither comes with Lapel: ask their authors. ``public_data_sets.py`` measures an encoder on
them; Lapel itself states no figure of its own on either, as its model was made without them.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lapel.core.errors import InputError, SourceError
from lapel.core.text import reason_of
from lapel.sources import ImageSource, open_source

TRAIN = "train"
QUERY = frozenset(("query", "test"))  # the splits whose pictures ask
GALLERY = frozenset(("gallery", "test"))  # the splits whose pictures may be found
LOOKED_AT = 50  # pictures, spread over the list, by which the folder of pictures is found: some may be missing
TABLE_COLUMNS = ("id", "item_id", "pictures", "split", "category", "gender")


@dataclass(frozen=True)
class Published:
    """Somebody's figures.

    Attributes:
        method: Network, width of its vectors and how it was trained.
        recall: Recall@K in percent by K.
        source: Where the figures stand.
    """

    method: str
    recall: Mapping[int, float]
    source: str


@dataclass(frozen=True)
class DataSet:
    """What is known of a public data set.

    Attributes:
        name: What the command line calls it.
        title: What people call it.
        k: The ranks at which it is measured.
        sizes: Images and items of each split of the official lists.
        terms: What its authors allow.
        published: Figures to compare with.
    """

    name: str
    title: str
    k: tuple[int, ...]
    sizes: Mapping[str, tuple[int, int]]
    terms: str
    published: tuple[Published, ...]


# Read there; its authors call the figures estimates that depend on the seed and could be tuned further.
ROTH = "github.com/Confusezius/Deep-Metric-Learning-Baselines, README, section Results"

IN_SHOP = DataSet(
    "in-shop",
    "DeepFashion In-Shop",
    (1, 10, 20, 30),
    {TRAIN: (25_882, 3_997), "query": (14_218, 3_985), "gallery": (12_612, 3_985)},
    "for non-commercial research and education only",
    (
        Published(
            "ResNet50, 128-d, triplet, semi-hard negatives", {1: 83.8, 10: 96.4, 20: 97.6, 30: 98.2}, f"{ROTH}, In-Shop"
        ),
        Published(
            "ResNet50, 128-d, XBM: the best of its size found",
            {1: 91.3, 10: 97.8, 20: 98.4},
            "Wang et al., CVPR 2020, arXiv:1912.06798, as listed in the table of HIER, CVPR 2023, arXiv:2212.14258",
        ),
    ),
)
ONLINE_PRODUCTS = DataSet(
    "online-products",
    "Stanford Online Products",
    (1, 10, 100, 1000),
    {TRAIN: (59_551, 11_318), "test": (60_502, 11_316)},
    "see the LICENSE file that comes with it",
    (
        Published(
            "ResNet50, 128-d, triplet, semi-hard negatives",
            {1: 74.0, 10: 87.4, 100: 94.8, 1000: 98.4},
            f"{ROTH}, Online Products",
        ),
        Published(
            "ResNet50, 128-d, margin, distance sampling: the best there",
            {1: 76.1, 10: 88.7, 100: 95.1, 1000: 98.3},
            f"{ROTH}, Online Products",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Listed:
    """One picture of a data set's list.

    Attributes:
        name: As the list names it.
        item: Which item it shows.
        split: ``train``, ``query``, ``gallery`` or ``test`` (which asks and is found).
        category: What the folders' names say of it, from wide to narrow.
        gender: ``Men`` or ``Women`` where the folders' names say so.
        uri: Where its bytes are; empty when this copy lacks it.
    """

    name: str
    item: str
    split: str
    category: tuple[str, ...] = ()
    gender: str = ""
    uri: str = ""


@dataclass(frozen=True)
class Benchmark:
    """A local copy of a data set.

    Attributes:
        data_set: Which one.
        pictures: Every picture of the lists, in their order.
        source: Reads them.
        prefix: What the list's names begin with and the source's do not.
    """

    data_set: DataSet
    pictures: tuple[Listed, ...]
    source: ImageSource
    prefix: str = ""

    def __post_init__(self) -> None:
        split_of: dict[str, str] = {}
        names: set[str] = set()
        for picture in self.pictures:
            if picture.name in names:
                raise InputError(f"The lists name the picture '{picture.name}' twice. Copy them again.")
            names.add(picture.name)
            side = TRAIN if picture.split == TRAIN else "test"
            if split_of.setdefault(picture.item, side) != side:
                raise InputError(
                    f"The item '{picture.item}' is among those to learn from and those to test with. Copy the lists"
                    f" again."
                )
        for split in self.data_set.sizes:
            if not any(picture.split == split for picture in self.pictures):
                raise InputError(f"The lists of {self.data_set.title} name no picture of '{split}'. Copy them again.")

    def differences(self) -> list[str]:
        """In what the lists differ from the official ones, by their numbers of pictures and items."""
        found = []
        for split, (pictures, items) in self.data_set.sizes.items():
            listed = [picture.item for picture in self.pictures if picture.split == split]
            if (len(listed), len(set(listed))) != (pictures, items):
                found.append(
                    f"the lists hold {len(listed):,} {split} pictures of {len(set(listed)):,} items,"
                    f" the official ones {pictures:,} of {items:,}"
                )
        return found


def open_benchmark(name: str, folder: Path) -> Benchmark:
    """Open a local copy by the data set's name: ``in-shop`` or ``online-products``.

    Raises:
        InputError: an unknown name, or as the two below.
    """
    loaders = {IN_SHOP.name: load_in_shop, ONLINE_PRODUCTS.name: load_online_products}
    if name not in loaders:
        raise InputError(f"No public data set is called '{name}'. There are: {', '.join(loaders)}.")
    return loaders[name](folder)


def load_in_shop(folder: Path) -> Benchmark:
    """Read DeepFashion In-Shop: ``Eval/list_eval_partition.txt`` and ``Img/img/`` (or ``img/``, or ``Img/img.zip`` as
    it comes).

    The list has the number of pictures in its first line, ``image_name item_id evaluation_status`` in its second, then
    one picture a line with ``train``, ``query`` or ``gallery``.

    Raises:
        InputError: the list is missing or broken, or no picture of it can be found.
    """
    path = _find(folder, ("Eval/list_eval_partition.txt", "list_eval_partition.txt"), "DeepFashion In-Shop")
    lines = _lines(path)
    number, line = next(lines, (1, ""))
    if not line.isdecimal():
        raise InputError(f"{path} should begin with the number of pictures; found '{line[:80]}'. Copy it again.")
    pictures = []
    for number, (name, item, split) in _records(path, lines, ("image_name", "item_id", "evaluation_status")):
        if split not in IN_SHOP.sizes:
            raise InputError(
                f"{path}, line {number}: the status is {', '.join(IN_SHOP.sizes)}; found '{split}'. Copy it again."
            )
        folders = name.removeprefix("img/").split("/")[
            :-2
        ]  # WOMEN/Dresses of img/WOMEN/Dresses/id_00000002/02_1_front.jpg
        gender = folders.pop(0).capitalize() if folders[:1] in (["MEN"], ["WOMEN"]) else ""
        pictures.append(Listed(name, item, split, tuple(level.replace("_", " ") for level in folders), gender))
    if len(pictures) != int(line):
        raise InputError(f"{path} announces {int(line):,} pictures and names {len(pictures):,}. Copy it again.")
    # Names begin with img/, which may have been unpacked with, without or inside a folder of that name.
    places = [(place, prefix) for prefix in ("", "img/") for place in ("Img", ".", "Img/img.zip", "img.zip", "img")]
    return _located(IN_SHOP, pictures, path, folder, places)


def load_online_products(folder: Path) -> Benchmark:
    """Read Stanford Online Products: ``Ebay_train.txt``, ``Ebay_test.txt`` and the folders ``*_final`` beside them.

    Each list has ``image_id class_id super_class_id path`` in its first line, then one picture a line. The folder
    above, and lists in ``Info_Files/`` with pictures in ``images/``, are understood too.

    Raises:
        InputError: a list is missing or broken, or no picture can be found.
    """
    pictures = []
    for split, file in ((TRAIN, "Ebay_train.txt"), ("test", "Ebay_test.txt")):
        path = _find(
            folder,
            (file, f"Info_Files/{file}", f"Stanford_Online_Products/{file}"),
            "Stanford Online Products",
        )
        columns = ("image_id", "class_id", "super_class_id", "path")
        for number, (image, item, wide, name) in _records(path, _lines(path), columns):
            if not (image.isdecimal() and item.isdecimal() and wide.isdecimal()):
                raise InputError(
                    f"{path}, line {number}: the three ids are whole numbers; found '{image} {item} {wide}'. Copy it"
                    f" again."
                )
            category = name.split("/")[0].removesuffix("_final").replace("_", " ") if "/" in name else ""
            pictures.append(Listed(name, item, split, (category,) if category else ()))
    places = [(place, "") for place in (".", "images", "Stanford_Online_Products")]
    return _located(ONLINE_PRODUCTS, pictures, path, folder, places)


# --- lists -----------------------------------------------------------------------------------------------------------


def _find(folder: Path, names: Sequence[str], title: str) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise InputError(
        f"{folder} holds no copy of {title}: there is no {' and no '.join(names)} in it. Give the folder it was"
        f" unpacked to."
    )


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Each line that is not blank, with its number from 1."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The list {path} cannot be read: {reason_of(error)}. Copy it again.") from error
    return ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip())


def _records(
    path: Path, lines: Iterator[tuple[int, str]], columns: Sequence[str]
) -> Iterator[tuple[int, Sequence[str]]]:
    """Check the line of column names, then split each line at blanks, of which the official files have any number."""
    number, header = next(lines, (0, ""))
    if header.split() != list(columns):
        raise InputError(
            f"{path} should name the columns '{' '.join(columns)}'; found '{header[:80]}'"
            f"{f' in line {number}' if number else ''}. Copy it again."
        )
    for number, line in lines:
        cells = line.split()
        if len(cells) != len(columns):
            raise InputError(
                f"{path}, line {number}: {len(columns)} values are needed ({' '.join(columns)}); found '{line[:80]}'."
                f" Copy it again."
            )
        yield number, cells


def _located(
    data_set: DataSet, pictures: Sequence[Listed], path: Path, folder: Path, places: Sequence[tuple[str, str]]
) -> Benchmark:
    """Find the place (and the beginning of names to leave out) with the most pictures of a sample, then each picture in
    it."""
    if not pictures:
        raise InputError(f"{path} names no picture. Copy it again.")
    spread = np.linspace(0, len(pictures) - 1, min(LOOKED_AT, len(pictures))).astype(int)
    best: tuple[ImageSource, str] | None = None
    most = 0
    for place, prefix in places:
        if most == len(spread) or not (folder / place).exists():
            continue
        source = open_source(folder / place)
        find = _finder(source, prefix)
        found = sum(bool(find(pictures[row].name)) for row in spread)
        if found <= most:
            source.close()
            continue
        if best is not None:
            best[0].close()
        best, most = (source, prefix), found
    if best is None:
        tried = ", ".join(dict.fromkeys(str(folder / place) for place, _ in places))
        raise InputError(f"No picture such as {pictures[0].name} was found in {tried}. Unpack the pictures there.")
    source, prefix = best
    find = _finder(source, prefix)
    located = (Listed(p.name, p.item, p.split, p.category, p.gender, find(p.name)) for p in pictures)
    return Benchmark(data_set, tuple(located), source, prefix)


def _finder(source: ImageSource, prefix: str) -> Callable[[str], str]:
    """A function from a list's name to a URI, empty when there is none."""

    def find(name: str) -> str:
        with suppress(SourceError):
            return source.find(name.removeprefix(prefix))
        return ""

    return find


# --- a table to train on ---------------------------------------------------------------------------------------------


def write_table(benchmark: Benchmark, path: Path, *, share: float = 0.1, seed: int = 7) -> Counter[str]:
    """Write the pictures to learn from as a product table for ``lapel train``: a row an item, test items left out.

    The columns are ``id`` and ``item_id`` (the same), ``pictures`` joined by ``|`` and relative to the benchmark's
    source, ``split``, ``category`` and ``gender``. Whole items are held out, as the test's items are unknown too. What
    the benchmark asks is learned with :class:`lapel.training.loop.Level` on ``item_id``.

    Args:
        benchmark: The data set.
        path: The CSV to write.
        share: Share of the items that become ``val``, 0 to below 1.
        seed: Decides which.

    Returns:
        How many items became ``train`` and ``val``, and how many ``pictures`` they have.

    Raises:
        InputError: a share outside, too few items to hold one out, or a table that cannot be written.
    """
    if not 0 <= share < 1:
        raise InputError(f"The share of items held out is 0 to below 1; found {share}.")
    items: dict[str, list[Listed]] = {}
    for picture in benchmark.pictures:
        if picture.split == TRAIN and picture.uri:
            items.setdefault(picture.item, []).append(picture)
    held = round(share * len(items))
    if held == len(items) or (share and not held):
        raise InputError(f"{len(items)} items to learn from are too few to hold out {share:.0%} of them.")
    order = np.random.default_rng(seed).permutation(len(items))
    val = {item for item, place in zip(sorted(items), order.tolist(), strict=True) if place < held}
    counts: Counter[str] = Counter()
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(TABLE_COLUMNS)
            for item, pictures in items.items():
                split = "val" if item in val else TRAIN
                names = "|".join(picture.name.removeprefix(benchmark.prefix) for picture in pictures)
                table.writerow((item, item, names, split, " > ".join(pictures[0].category), pictures[0].gender))
                counts.update({split: 1, "pictures": len(pictures)})
    except OSError as error:
        raise InputError(f"The table cannot be written to {path}: {error.strerror}. Choose another place.") from error
    return counts
