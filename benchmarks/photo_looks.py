"""The look of a person's own photo: colour, pattern, kind and who it is for, among the five best of the whole shop.

    python benchmarks/photo_looks.py [--store runs/looks] [--encoder default] [--colour 0 --colour 1] [--sheet x.png]
    python benchmarks/photo_looks.py --sweep

``photo_looks.csv`` holds labels by eye of validation photos: the colour families that are right, the pattern (``any``
is not asked), whether it is a child's (``kids``, from the data set), its kind where the ten labels cannot tell
(``fine``), and for whom it is where that can be told. ``photo_looks_train.csv`` has the same of train photos:
``--sweep`` tries weights of the look (``lapel.engine.look.LookWeights``) on those, a line each, to choose from.
``long_sleeves.csv`` lists the T-shirts and tops of the catalogue with long sleeves, as no column of it says so: of
7,990, the 900 likeliest were looked at.

Photos are searched as the product does it, with the product cut out and with reranking (``--colour 1``) and without
(``--colour 0``). A store of the catalogue is filled once (``--store``, minutes) and kept; when its model has changed
since, name another folder.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

import lapel
from contact import Row, save_sheet
from lapel.core.types import EmbeddedQuery, Hit, Query
from lapel.engine.context import StoreContext, open_context
from lapel.engine.look import CALIBRATED, LookWeights
from lapel.engine.retrieval import SearchEngine
from phone_to_shop import KINDS, PHOTOS, ClothingPhotos, read_photos
from shops import machine, shop

HERE = Path(__file__).parent
STORE = HERE.parent / "runs" / "looks"
DEPTH = 5
BATCH = 16  # photos embedded together
SWEPT = {"name": (0.0, 0.3, 0.5, 0.7), "palette": (0.1, 0.2, 0.4), "category": (0.12,), "gender": (0.03, 0.1)}

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
    "sneakers": frozenset({"Casual Shoes", "Sports Shoes"}),
    "laced shoes": frozenset({"Casual Shoes", "Formal Shoes"}),
    "slip-ons": frozenset({"Casual Shoes", "Flats"}),
    "heels": frozenset({"Heels"}),
    "flats": frozenset({"Flats"}),
    "flip-flops": frozenset({"Flip Flops"}),
    "slides": frozenset({"Flats", "Flip Flops", "Sandals"}),
    "sandals": frozenset({"Flats", "Sandals", "Sports Sandals"}),
}
SHOP_NAMES = {"Navy": "Navy Blue", "Turquoise": "Turquoise Blue"}
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


def measures(
    looks: Sequence[Look], answers: Sequence[Sequence[Hit]], long_sleeves: frozenset[str]
) -> dict[str, tuple[float, int]]:
    """Each measure, with how many photos it is of."""
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
            of = "shoes" if look.label == "shoes" else "not lumped"
            add(f"kind of the first right, {of}", kinds[0] in wanted)
            add(f"share of right kinds in five, {of}", float(np.mean([kind in wanted for kind in kinds])))
        if look.gender:
            add("gender of the first right", hits[0].product.gender in {look.gender.title(), "Unisex"})
    return {name: (float(np.mean(values)), len(values)) for name, values in sorted(found.items())}


def fill(folder: Path, encoder: str, data: str | None = None, products: Path | None = None) -> None:
    """Make the store of the catalogue, or of the pictures and the table given, when it is not there yet."""
    if not (folder / "catalog.sqlite").exists():
        given = [data, str(products)] if data and products else shop(folder.parent)
        arguments = [text for text in given if not text.startswith("--")]
        with lapel.open_store(folder, create=True, encoder=encoder) as store:
            store.add(arguments[0], products=arguments[1] if len(arguments) > 1 else None)


def embed(store: StoreContext, photos: ClothingPhotos, looks: Sequence[Look]) -> list[EmbeddedQuery]:
    """Each photo as it is searched with: vector, cut-out, colours."""
    rows, engine = {name: row for row, name in enumerate(photos.files)}, SearchEngine(store)
    queries = (Query(image=photos.picture(rows[look.file]), k=1) for look in looks)
    batches = iter(lambda: list(itertools.islice(queries, BATCH)), [])
    return [result.understood for batch in batches for result in engine.search_many(batch)]


def answers_of(
    store: StoreContext, embedded: Sequence[EmbeddedQuery], colour: float, weights: LookWeights = CALIBRATED
) -> list[Sequence[Hit]]:
    """The five best of each photo."""
    queries = [each.to_query(k=DEPTH, colour_weight=colour) for each in embedded]
    return list(SearchEngine(store, look=weights).search_many(queries))


def told(looks: Sequence[Look], embedded: Sequence[EmbeddedQuery]) -> str:
    """How often the main colour's name is right, by how sure it is."""
    found: dict[str, list[bool]] = {"all": []}
    for look, query in zip(looks, embedded, strict=True):
        if look.colours and query.colours:
            name = query.colours.colours[0].name.title()
            found["all"].append(SHOP_NAMES.get(name, name) in look.colours)
            found.setdefault(query.colours.certainty, []).append(found["all"][-1])
    return ", ".join(f"{name} {np.mean(right):.3f} of {len(right)}" for name, right in sorted(found.items()))


def sweep(store: StoreContext, photos: ClothingPhotos, long_sleeves: frozenset[str]) -> None:
    """A line of figures for each set of weights, on the train photos."""
    looks = read_looks(HERE / "photo_looks_train.csv")
    embedded = embed(store, photos, looks)
    for number, values in enumerate(itertools.product(*SWEPT.values())):
        weights = dict(zip(SWEPT, values, strict=True))
        found = measures(looks, answers_of(store, embedded, 1.0, LookWeights(**weights)), long_sleeves)
        if not number:
            print("\n".join(f"{place}: {name} ({found[name][1]} photos)" for place, name in enumerate(found, 1)))
            print(
                "  ".join(f"{name:>8}" for name in SWEPT) + "".join(f"{place:8}" for place in range(1, 1 + len(found)))
            )
        cells = "".join(f"{value:8.3f}" for value, _ in found.values())
        print("  ".join(f"{value:8g}" for value in values) + cells, flush=True)


def save_answers(
    path: Path,
    store: StoreContext,
    photos: ClothingPhotos,
    looks: Sequence[Look],
    embedded: Sequence[EmbeddedQuery],
    answers: Sequence[Sequence[Hit]],
) -> None:
    """A contact sheet: each photo, what was cut out of it, and five answers, green where the colour is right."""
    rows = {name: row for row, name in enumerate(photos.files)}
    lines = []
    for number, (look, query, hits) in enumerate(zip(looks, embedded, answers, strict=True)):
        read = query.colours
        names = ", ".join(f"{each.name} {each.share:.0%}" for each in read.colours) if read else ""
        sure = f" ({read.certainty} {read.confidence:.2f})" if read else ""
        cut = query.parts[0].segmented or Image.new("RGB", (3, 4), "white")
        shown = [(store.image(hit.photo.key), hit.product.colour in look.colours) for hit in hits]
        title = f"{number} {look.label} {'|'.join(sorted(look.fine))}: {names}{sure}"
        lines.append(Row(title, photos.picture(rows[look.file]), [(cut, True), *shown]))
    save_sheet(path, lines)


def table(
    store: StoreContext, photos: ClothingPhotos, long_sleeves: frozenset[str], name: str, wanted: argparse.Namespace
) -> None:
    """Print the measures of each ``--colour`` beside each other, and write their sheets."""
    looks = read_looks(wanted.looks)
    embedded = embed(store, photos, looks)
    print(f"{name}: {len(looks)} photos among {store.catalog.count():,} products; {machine()}")
    columns = {}
    for colour in wanted.colour or [0.0, 1.0]:
        answers = answers_of(store, embedded, colour)
        columns[colour] = measures(looks, answers, long_sleeves)
        if wanted.sheet:
            path = wanted.sheet.with_name(f"{wanted.sheet.stem}-{name}-{colour:g}{wanted.sheet.suffix}")
            save_answers(path, store, photos, looks, embedded, answers)
    print(f"main colour named right: {told(looks, embedded)}")
    print(f"{'':58}{'photos':>8}" + "".join(f"{f'colour {colour:g}':>12}" for colour in columns))
    for measure, (_, count) in next(iter(columns.values())).items():
        print(f"{measure:58}{count:8}" + "".join(f"{column[measure][0]:12.3f}" for column in columns.values()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, default=STORE, help="the store of the catalogue; filled when not there")
    parser.add_argument("--data", help="folder or ZIP of pictures, with --products, to fill it with")
    parser.add_argument("--products", type=Path, help="table of the products")
    parser.add_argument("--encoder", action="append", help="the model; the store's folder gets its name")
    parser.add_argument("--colour", type=float, action="append", help="how much colours count, 0 to 1; may be repeated")
    parser.add_argument("--sweep", action="store_true", help="try weights on the train photos instead")
    parser.add_argument("--looks", type=Path, default=HERE / "photo_looks.csv", help="the labels")
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="folder with photos.csv and images.zip")
    parser.add_argument("--sheet", type=Path, help="write the photos and their answers as a PNG")
    wanted = parser.parse_args(arguments)
    photos = read_photos(wanted.photos)
    with (HERE / "long_sleeves.csv").open(encoding="utf-8", newline="") as file:
        long_sleeves = frozenset(row["id"] for row in csv.DictReader(file))
    for encoder in wanted.encoder or ["default"]:
        folder = wanted.store if wanted.store != STORE else STORE / Path(encoder).name
        fill(folder, encoder, wanted.data, wanted.products)
        with open_context(folder, read_only=True) as store:
            if wanted.sweep:
                sweep(store, photos, long_sleeves)
            else:
                table(store, photos, long_sleeves, Path(encoder).name, wanted)


if __name__ == "__main__":
    main()
