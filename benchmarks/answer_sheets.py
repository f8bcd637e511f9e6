"""Answers to look at: composed queries, colours, looks, garments in a scene, nothing close, and why.

    python benchmarks/answer_sheets.py --store shop --out runs/sheets

A store of the real catalogue, and people's photos, as ``photo_looks.py`` takes them. One PNG each; what is in them is
for who looks: nothing is counted. Another ``--seed`` draws other products and photos.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageDraw

import lapel
import strangers
from contact import Row, save_sheet
from encoders import CACHE
from lapel import Part, Query
from lapel.insight.strangers import STRANGERS, drawn
from phone_to_shop import PHOTOS, ClothingPhotos, read_photos
from regions import compose
from shops import open_shop

ANSWERS = 8
WISHES = ("in red", "but in black", "for women", "striped", "without stripes", "with long sleeves")
COLOURS = ("teal", "#c8a2c8", "mustard", "navy", "crimson", "#f5f5dc")
LOOKS = ("", "colour=3", "colour=0", "shape=0", "pattern=3")


class Sheets:
    """Draws them of one store."""

    def __init__(self, store: lapel.Store, photos: ClothingPhotos, rng: np.random.Generator) -> None:
        self._store, self._photos, self._rng = store, photos, rng
        self._held = np.flatnonzero(photos.splits == "validation")

    def _row(self, title: str, shown: Image.Image, query: Query) -> Row:
        result = self._store.search(query=query)
        answers = [(self._store.image(hit.photo), None) for hit in result]
        best = "" if not len(result) or result[0].probability is None else f", {result[0].probability:.2f}"
        return Row(f"{title}   ({result.verdict.value}{best})", shown, answers)

    def _products(self, count: int) -> Iterator[tuple[str, str, Image.Image]]:
        """Ids, titles and pictures of clothes."""
        found = list(self._store.browse(where=["category=Apparel"], limit=4000).products)
        for at in self._rng.permutation(len(found))[:count].tolist():
            product = found[at].product
            yield product.id, product.title, self._store.image(found[at].photos[0])

    def _people(self, count: int) -> Iterator[Image.Image]:
        for row in self._rng.permutation(self._held)[:count].tolist():
            yield self._photos.picture(row)

    def composed(self) -> list[Row]:
        """A product and words, a photo and a colour, two products."""
        rows = [
            self._row(f"{title} + “{wish}”", image, Query(parts=(Part(product_id=id_), Part(text=wish)), k=ANSWERS))
            for (id_, title, image), wish in zip(self._products(len(WISHES)), WISHES, strict=True)
        ]
        rows += [
            self._row(f"photo + {colour}", image, Query(parts=(Part(image=image), Part(colour=colour)), k=ANSWERS))
            for image, colour in zip(self._people(3), COLOURS, strict=False)
        ]
        (one, first, image), (two, second, _) = self._products(2)
        between = Query(parts=(Part(product_id=one), Part(product_id=two)), k=ANSWERS)
        return [*rows, self._row(f"between {first} and {second}", image, between)]

    def colours(self) -> list[Row]:
        """A colour by itself, and of shirts."""
        rows = []
        for colour in COLOURS:
            code = {"mustard": "#e1ad01"}.get(colour, colour)
            patch = Image.new("RGB", (96, 128), ImageColor.getrgb(code))
            rows.append(self._row(colour, patch, Query(colour=colour, k=ANSWERS)))
            rows.append(self._row(f"shirt, {colour}", patch, Query(text="shirt", colour=colour, k=ANSWERS)))
        return rows

    def looks(self) -> list[Row]:
        """The same product with other weights of shape, colour and pattern."""
        return [
            self._row(f"{title}: {look or 'as usual'}", image, Query(product_id=id_, k=ANSWERS, look=look or None))
            for id_, title, image in self._products(3)
            for look in LOOKS
        ]

    def nothing_close(self) -> list[Row]:
        """Pictures without fashion, and people's photos: what is said of each."""
        kinds = {**STRANGERS, **strangers.HELD_OUT}
        rows = [self._row(kind, image, Query(image=image, k=ANSWERS)) for kind, image in drawn(kinds, 1, 11)]
        return rows + [self._row("a photo", image, Query(image=image, k=ANSWERS)) for image in self._people(5)]

    def regions(self) -> list[Row]:
        """Scenes of three products, and what is found for each region."""
        shop, rows = open_shop(None, None, CACHE), []
        held = np.flatnonzero(np.array(shop.values("split")) == "val")
        for _ in range(4):
            scene, _ = compose(shop, self._rng.permutation(held)[:3].tolist(), self._rng)
            for region in self._store.regions(scene):
                marked = scene.copy()
                ImageDraw.Draw(marked).rectangle(region.box, outline=(255, 0, 90), width=5)
                rows.append(
                    self._row(region.kind or "no kind told", marked, Query(image=scene, box=region.box, k=ANSWERS))
                )
        return rows

    def why(self, folder: Path) -> None:
        """Heatmaps of people's photos, a file each."""
        for number, image in enumerate(self._people(6)):
            query = Query(image=image, k=6)
            self._store.explanation_sheet(query, list(self._store.search(query=query))).save(
                folder / f"why-{number}.png"
            )


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, required=True, help="a store of the real catalogue")
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="folder with photos.csv and images.zip")
    parser.add_argument("--out", type=Path, required=True, help="a folder for the sheets")
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args(arguments)
    wanted.out.mkdir(parents=True, exist_ok=True)
    with lapel.open_store(wanted.store, read_only=True) as store:
        sheets = Sheets(store, read_photos(wanted.photos), np.random.default_rng(wanted.seed))
        for name in ("composed", "colours", "looks", "nothing_close", "regions"):
            save_sheet(wanted.out / f"{name}.png", getattr(sheets, name)())
            print(wanted.out / f"{name}.png", flush=True)
        sheets.why(wanted.out)


if __name__ == "__main__":
    main()
