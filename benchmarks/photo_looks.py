"""The look of a person's own photo: colour, pattern, kind and who it is for, among the five best of the whole shop.

    python benchmarks/photo_looks.py [--store runs/looks] [--encoder default] [--colour 1 --colour 0] [--sheet runs/looks.png]

``photo_looks.csv`` holds labels by eye of validation photos: the colour families that are right, the pattern (``any``
is not asked), whether it is a child's (``kids``, from the data set), its kind where the ten labels cannot tell
(``fine``), and for whom it is where that can be told. ``long_sleeves.csv`` lists the T-shirts and tops of the catalogue
with long sleeves, as no column of it says so: of 7,990, the 900 likeliest were looked at. Photos are searched as the
product does it, with the product cut out and with reranking (``--colour 1``) and without (``--colour 0``). A store of
the catalogue is filled once (``--store``, minutes) and kept.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

import lapel
from contact import Row, save_sheet
from lapel.core.types import Hit, Query, SearchResult
from lapel.engine.context import open_context
from lapel.service import Store
from phone_to_shop import KINDS, PHOTOS, ClothingPhotos, read_photos
from shops import machine, shop

HERE = Path(__file__).parent
STORE = HERE.parent / "runs" / "looks"
DEPTH = 5
BATCH = 16  # photos searched together

FAMILIES = {
    "blk": "Black|Charcoal",
    "wht": "White|Off White|Cream",
    "blu": "Blue|Navy Blue|Turquoise Blue|Teal",
    "gry": "Grey|Grey Melange|Charcoal|Silver|Steel",
    "brn": "Brown|Coffee Brown|Tan|Mushroom Brown|Taupe|Bronze|Copper|Rust|Khaki",
    "bei": "Beige|Cream|Off White|Khaki|Skin|Nude|Tan|Taupe|Peach",
    "red": "Red|Maroon|Burgundy|Rust",
    "pnk": "Pink|Magenta|Peach|Rose",
    "grn": "Green|Olive|Khaki|Sea Green|Lime Green|Fluorescent Green|Teal",
    "yel": "Yellow|Mustard|Gold",
    "org": "Orange|Peach|Rust",
    "pur": "Purple|Lavender|Magenta",
    "mul": "Multi",
}
PATTERNS = {
    "checked": r"check|plaid|gingham|tartan",
    "striped": r"strip",
    "printed": r"print|floral|graphic|paisley|polka|dot",
    "solid": r"\bsolid\b|\bplain\b",
}
TEES = frozenset({"Tshirts", "Tops", "Lounge Tshirts"})
FINE = {
    "jeans": frozenset({"Jeans", "Jeggings"}),
    "trousers": frozenset({"Trousers", "Capris", "Lounge Pants", "Rain Trousers"}),
    "track pants": frozenset({"Track Pants", "Lounge Pants"}),
    "leggings": frozenset({"Leggings", "Tights", "Jeggings", "Churidar"}),
    "long sleeve": frozenset({"Sweaters", "Sweatshirts", "long-sleeved tee"}),
    "short sleeve": TEES,
}
CHILDREN = frozenset({"Boys", "Girls"})


@dataclass(frozen=True)
class Look:
    """One photo's labels, see the module."""

    file: str
    label: str
    kids: bool
    colours: frozenset[str]
    pattern: str
    fine: frozenset[str]
    gender: str


def read_looks(path: Path) -> list[Look]:
    """Read the labels; a set is written with bars between."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Look(
                row["file"],
                row["label"],
                row["kids"] == "True",
                frozenset("|".join(FAMILIES[family] for family in filter(None, row["colours"].split("|"))).split("|"))
                - {""},
                row["pattern"],
                frozenset(filter(None, row.get("fine", "").split("|"))),
                row.get("gender", ""),
            )
            for row in csv.DictReader(file)
        ]


def pattern_of(title: str) -> str:
    """The pattern that a title names; empty where it names none."""
    return next((name for name, words in PATTERNS.items() if re.search(words, title.lower())), "")


def kind_of(hit: Hit, long_sleeves: frozenset[str]) -> str:
    """A product's articleType, but ``long-sleeved tee`` where it is one."""
    kind = hit.product.attributes.get("articleType") or (hit.product.category or ("",))[-1]
    return "long-sleeved tee" if kind in TEES and hit.product.id in long_sleeves else kind


def measures(looks: Sequence[Look], answers: Sequence[Sequence[Hit]], long_sleeves: frozenset[str]) -> dict[str, str]:
    """The table: each measure with how many photos it is of."""
    found: dict[str, list[float]] = {}

    def add(name: str, value: float) -> None:
        found.setdefault(name, []).append(float(value))

    for look, hits in zip(looks, answers, strict=True):
        kinds = [kind_of(hit, long_sleeves) for hit in hits]
        if look.colours:
            right = [hit.product.colour in look.colours for hit in hits]
            add("colour of the first right", right[0])
            add("share of right colours in five", float(np.mean(right)))
            add("none of five has a right colour", not any(right))
            add("kind of the first right, lumped", kinds[0].replace("long-sleeved tee", "Tshirts") in KINDS[look.label])
            children = np.mean([hit.product.gender in CHILDREN for hit in hits])
            add(f"children's products in five, photos of {'children' if look.kids else 'adults'}' things", children)
        named = [pattern for pattern in (pattern_of(hit.product.title) for hit in hits) if pattern]
        if look.pattern != "any" and named:
            add("share of right patterns in five", float(np.mean([pattern == look.pattern for pattern in named])))
        if look.fine:
            wanted = frozenset[str]().union(*(FINE[each] for each in look.fine))
            add("kind of the first right, not lumped", kinds[0] in wanted)
            add("share of right kinds in five, not lumped", float(np.mean([kind in wanted for kind in kinds])))
        if look.gender:
            add("gender of the first right", hits[0].product.gender in {look.gender.title(), "Unisex"})
    return {name: f"{np.mean(values):.3f} ({len(values)} photos)" for name, values in sorted(found.items())}


def filled_store(folder: Path, encoder: str) -> Store:
    """The store of the catalogue, filled when it is not there yet."""
    if not (folder / "catalog.sqlite").exists():
        arguments = [text for text in shop(folder.parent) if not text.startswith("--")]
        with lapel.open_store(folder, create=True, encoder=encoder) as store:
            store.add(arguments[0], products=arguments[1] if len(arguments) > 1 else None)
    return lapel.open_store(folder)


def answers_of(store: Store, photos: ClothingPhotos, looks: Sequence[Look], colour: float) -> list[SearchResult]:
    """The five best of each photo."""
    rows = {name: row for row, name in enumerate(photos.files)}
    queries = (Query(image=photos.picture(rows[look.file]), k=DEPTH, colour=colour) for look in looks)
    return [result for result in store.search_many(queries) if isinstance(result, SearchResult)]


def save_answers(path: Path, store: Store, photos: ClothingPhotos, looks: Sequence[Look], answers: list[SearchResult]) -> None:
    """A contact sheet: each photo, what was cut out of it, and five answers, green where the colour is right."""
    rows = {name: row for row, name in enumerate(photos.files)}
    lines = []
    with open_context(store.folder, read_only=True) as context:
        for look, result in zip(looks, answers, strict=True):
            part = result.understood.parts[0]
            read = part.colours
            names = ", ".join(f"{each.name} {each.share:.0%}" for each in read.colours) if read else ""
            sure = f" (sure {read.confidence:.2f})" if read else ""
            cut = part.segmented or Image.new("RGB", (3, 4), "white")
            shown = [(context.image(hit.photo.key), hit.product.colour in look.colours) for hit in result]
            title = f"{look.label} {'|'.join(sorted(look.fine))}: {names}{sure}"
            lines.append(Row(title, photos.picture(rows[look.file]), [(cut, True), *shown]))
    save_sheet(path, lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, default=STORE, help="the store of the catalogue; filled when not there")
    parser.add_argument("--encoder", action="append", help="the model; the store's folder gets its name")
    parser.add_argument("--colour", type=float, action="append", help="how much colours count, 0 to 1; may be repeated")
    parser.add_argument("--looks", type=Path, default=HERE / "photo_looks.csv", help="the labels")
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="folder with photos.csv and images.zip")
    parser.add_argument("--sheet", type=Path, help="write the photos and their answers as a PNG")
    wanted = parser.parse_args(arguments)
    photos, looks = read_photos(wanted.photos), read_looks(wanted.looks)
    with (HERE / "long_sleeves.csv").open(encoding="utf-8", newline="") as file:
        long_sleeves = frozenset(row["id"] for row in csv.DictReader(file))
    for encoder in wanted.encoder or ["default"]:
        folder = wanted.store if wanted.store != STORE else STORE / Path(encoder).name
        with filled_store(folder, encoder) as store:
            print(f"{encoder}: {len(looks)} photos among {store.count():,} products; {machine()}")
            tables = {}
            for colour in wanted.colour or [0.0, 1.0]:
                answers = answers_of(store, photos, looks, colour)
                tables[colour] = measures(looks, answers, long_sleeves)
                if wanted.sheet:
                    name = f"{wanted.sheet.stem}-{Path(encoder).name}-{colour:g}{wanted.sheet.suffix}"
                    save_answers(wanted.sheet.with_name(name), store, photos, looks, answers)
            print(f"{'':58}" + "".join(f"{f'colour {colour:g}':>22}" for colour in tables))
            for name in next(iter(tables.values())):
                print(f"{name:58}" + "".join(f"{table[name]:>22}" for table in tables.values()))


if __name__ == "__main__":
    main()
