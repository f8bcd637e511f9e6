"""Phone photo to shop: each photo of real clothes is searched among all products of the shop; right when the kind
matches.

    python benchmarks/phone_to_shop.py [--encoder default] [--encoder runs/mine] [--sheet runs/phone.png]

A photo's label is one of ten; ``KINDS`` writes down which articleTypes of the catalogue answer each. ``validation``
photos are reported apart, as what no training has seen, while ``train`` photos may be learned from. Most people who
sent the one also sent the other, so a model that learned from ``train`` may know a validation photo's floor; it has not
seen its clothes' label.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from contact import Row, save_sheet
from encoders import ImageEncoder, add_arguments, encode_shop, encoders_of
from lapel.core.images import decode
from lapel.core.metrics import proportion, recall_at
from lapel.core.vectors import Vectors
from lapel.indexes import open_index
from lapel.sources import ImageSource, open_source
from shops import Shop, machine, open_shop

PHOTOS = Path(__file__).parents[2] / "shared" / "data" / "clothing-photos"
DEPTHS = (1, 5, 10)
AIMS = (75.0, 92.0, 95.0)
BATCH = 64
SHOWN = 6  # answers a row of the sheet

# Which articleTypes a photo of this label asks for. A type may answer two labels where the labels themselves overlap:
# the catalogue calls a T-shirt "Tshirts" whatever its sleeves, blouses and women's other upper parts "Tops", and
# cardigans "Sweaters".
KINDS: dict[str, frozenset[str]] = {
    "dress": frozenset({"Dresses", "Jumpsuit", "Nightdress", "Tunics"}),
    "hat": frozenset({"Caps", "Hat"}),
    "longsleeve": frozenset({"Tshirts", "Sweaters", "Sweatshirts", "Tops", "Lounge Tshirts"}),
    "outwear": frozenset(
        {"Jackets", "Blazers", "Rain Jacket", "Nehru Jackets", "Sweatshirts", "Sweaters", "Shrug", "Waistcoat"}
    ),
    "pants": frozenset(
        {
            "Jeans",
            "Trousers",
            "Track Pants",
            "Leggings",
            "Jeggings",
            "Capris",
            "Lounge Pants",
            "Rain Trousers",
            "Tights",
            "Churidar",
            "Patiala",
            "Salwar",
        }
    ),
    "shirt": frozenset({"Shirts", "Tops"}),
    "shoes": frozenset(
        {
            "Casual Shoes",
            "Sports Shoes",
            "Formal Shoes",
            "Heels",
            "Flats",
            "Sandals",
            "Sports Sandals",
            "Flip Flops",
            "Booties",
        }
    ),
    "shorts": frozenset({"Shorts", "Lounge Shorts", "Boxers"}),
    "skirt": frozenset({"Skirts"}),
    "t-shirt": frozenset({"Tshirts", "Tops", "Lounge Tshirts"}),
}

# What is worn on the body and yet answers none of the ten: underwear, nightwear, clothes the photos do not show, and
# sets. All that is not Apparel, Footwear or Headwear (bags, watches, make-up ...) can never be right.
LEFT_OUT = frozenset(
    {
        "Baby Dolls",
        "Bath Robe",
        "Bra",
        "Briefs",
        "Camisoles",
        "Clothing Set",
        "Dupatta",
        "Headband",
        "Innerwear Vests",
        "Kurta Sets",
        "Kurtas",
        "Kurtis",
        "Lehenga Choli",
        "Night suits",
        "Robe",
        "Rompers",
        "Salwar and Dupatta",
        "Sarees",
        "Shapewear",
        "Stockings",
        "Suspenders",
        "Swimwear",
        "Tracksuits",
        "Trunk",
    }
)


@dataclass(frozen=True)
class ClothingPhotos:
    """Labelled photos.

    Attributes:
        source: Where the pictures are.
        files: Their names.
        labels: (n,) one of the ten a photo.
        splits: (n,) train or validation.
    """

    source: ImageSource
    files: tuple[str, ...]
    labels: NDArray[np.str_]
    splits: NDArray[np.str_]

    def picture(self, row: int) -> Image.Image:
        """The photo in this row."""
        return decode(self.source.read(self.source.find(self.files[row])))


def read_photos(folder: Path) -> ClothingPhotos:
    """Read ``photos.csv`` and its ``images.zip``, or the pictures beside it."""
    with (folder / "photos.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    archive = folder / "images.zip"
    return ClothingPhotos(
        open_source(archive if archive.exists() else folder),
        tuple(row["file"] for row in rows),
        np.array([row["label"] for row in rows]),
        np.array([row["split"] for row in rows]),
    )


def encode_photos(encoder: ImageEncoder, photos: ClothingPhotos) -> Vectors:
    """(n, dim) unit rows."""
    starts = range(0, len(photos.files), BATCH)
    parts = [
        encoder.encode([photos.picture(row) for row in range(at, min(at + BATCH, len(photos.files)))])
        for at in track(starts, f"{encoder.name}: encoding {len(photos.files):,} photos")
    ]
    return np.concatenate(parts)


def search(encoder: ImageEncoder, photos: ClothingPhotos, vectors: Vectors) -> NDArray[np.int64]:
    """Positions of the ten nearest products of each photo: (n, 10)."""
    index = open_index("faiss:Flat", dim=vectors.shape[1])
    index.add(np.arange(len(vectors)), vectors)
    return index.search(encode_photos(encoder, photos), max(DEPTHS)).keys


def right_answers(found: NDArray[np.int64], shop: Shop, labels: NDArray[np.str_]) -> NDArray[np.bool_]:
    """(n, k) positions -> (n, k) whether each product is of a kind that the photo's label asks for."""
    kinds = np.array(shop.values("articleType"))[found]
    right = np.zeros(found.shape, bool)
    for label, wanted in KINDS.items():
        rows = labels == label
        right[rows] = np.isin(kinds[rows], sorted(wanted))
    return right


def show(name: str, right: NDArray[np.bool_], photos: ClothingPhotos) -> None:
    """Print one encoder's table: all, each split, and each label of both splits."""
    held_out = photos.splits == "validation"
    parts = {"all": np.ones(len(held_out), bool), "validation": held_out, "train": ~held_out}
    parts |= {f"  {label}": photos.labels == label for label in KINDS}
    print(f"\n{name:26}{'photos':>8}" + "".join(f"{f'Recall@{k}':>24}" for k in DEPTHS))
    for part, rows in parts.items():
        if not rows.any():
            continue
        estimates = [proportion(recall_at(right[rows], k)) for k in DEPTHS]
        cells = "".join(f"{100 * e.value:10.1f} [{100 * e.low:4.1f}, {100 * e.high:5.1f}]" for e in estimates)
        print(f"{part:26}{int(rows.sum()):8,}{cells}")


def examples(found: NDArray[np.int64], right: NDArray[np.bool_], shop: Shop, photos: ClothingPhotos) -> list[Row]:
    """Two held-out photos of each label with what was found."""
    rows = []
    for label in KINDS:
        for photo in np.flatnonzero((photos.labels == label) & (photos.splits == "validation"))[:2].tolist():
            pictures = [shop.image(row) for row in found[photo, :SHOWN].tolist()]
            answers = list(zip(pictures, right[photo, :SHOWN].tolist(), strict=True))
            rows.append(Row(label, photos.picture(photo), answers))
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument("--sheet", type=Path, help="write examples of the first encoder as a PNG")
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="folder with photos.csv and images.zip")
    wanted = parser.parse_args(arguments)
    shop = open_shop(wanted.data, wanted.products, wanted.cache)
    photos = read_photos(wanted.photos)
    print(f"{len(photos.files):,} photos among {len(shop.products):,} products; {machine()}")
    print("aims on photos kept out: " + " / ".join(f"{aim:.0f}" for aim in AIMS))
    for number, encoder in enumerate(encoders_of(wanted)):
        found = search(encoder, photos, encode_shop(encoder, shop, wanted.cache))
        right = right_answers(found, shop, photos.labels)
        show(encoder.name, right, photos)
        if wanted.sheet and number == 0:
            save_sheet(wanted.sheet, examples(found, right, shop, photos))


if __name__ == "__main__":
    main()
