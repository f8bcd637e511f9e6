"""Shops for the tests of the web page, drawn here: products with addresses, prices in two currencies, sizes and own
columns."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import replace
from pathlib import Path

from PIL import Image

from browser.shop import COLOURS, CUTS, draw
from lapel.core.types import Product
from lapel.engine.context import open_context
from lapel.engine.ingest import ingest
from lapel.sources import open_source
from lapel.sources.table import TableRow

SIZES = ("S|M|L", "M|L|XL", "XS|S", "36|38|40")
BRANDS = ("Marl & Co", "Wren", "Alder", "Kestrel")
TAGS = ("linen", "wool", "cotton")


def products() -> list[Product]:
    """40 products B000 to B039 as :func:`browser.shop.fill_shop` draws them.

    The first 30 cost 10 to 39 EUR, the last 10 cost 3,000 to 3,900 JPY. B000 has no address, the others lead to
    shop.example.
    """
    made = []
    for number, (cut, colour, twin) in enumerate(itertools.product(CUTS, COLOURS, (0, 1))):
        euro = number < 30
        made.append(
            Product(
                id=f"B{number:03}",
                title=f"{colour} {cut.lower()} no. {twin + 1}",
                category=tuple(CUTS[cut][1].split(" > ")),
                gender=("Women", "Men")[twin],
                brand=BRANDS[number % 4],
                colour=colour,
                price_minor=(10 + number) * 100 if euro else 3_000 + 100 * (number - 30),
                currency="EUR" if euro else "JPY",
                in_stock=number != 3,
                url=f"https://shop.example/p/{number}?from=lapel&list=1" if number else "",
                attributes={
                    "size": SIZES[number % 4],
                    "size_in_stock": SIZES[number % 4].partition("|")[0],
                    "on_sale": "yes" if number % 5 == 0 else "",
                    "material": TAGS[number % 3],
                    "sku": f"MC-{number:05}",
                    "description": f"A {colour.lower()} {cut.lower()} that goes with whatever hangs in your wardrobe,"
                    f" number {number // 3}.",
                    "collection": "Archive" if number < 4 else "",
                },
            )
        )
    return made


def boutique(folder: Path) -> Path:
    """The store of :func:`products`, below ``folder``."""
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    rows = []
    for number, (product, (cut, colour, twin)) in enumerate(
        zip(products(), itertools.product(CUTS, COLOURS, (0, 1)), strict=True)
    ):
        draw(cut, colour, 24 * twin).save(pictures / f"{number}.png")
        rows.append(TableRow(number + 1, product, (f"{number}.png",)))
    store = folder / "shop"
    with (
        open_context(store, create=True, encoder="colour:") as shop,
        contextlib.closing(open_source(pictures)) as source,
    ):
        report = ingest(shop, rows, source=source)
        assert (report.products_added, report.photos_rejected) == (40, 0), report
        _ = shop.index
    return store


EVIL = (
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaftshemd",
    "👗🧥 𝓕𝓪𝓷𝓬𝔂 🏳️‍🌈👨‍👩‍👧‍👦 z̷a̷l̷g̷o̷ Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢",
    "فستان أحمر طويل (مقاس XL) ‮reversed",
    "<b>bold</b> **stars** `code` $x$ :red[no] [link](https://elsewhere.example)",
)  # names that shops really have, or that somebody tries


def rename(store: Path, names: tuple[str, ...] = EVIL) -> list[str]:
    """Give the first products of :func:`boutique` other titles, brands, colours and categories. Returns their ids."""
    pictures = store.parent / "pictures"
    rows = [
        TableRow(
            number + 1,
            replace(
                product,
                title=name,
                brand=name,
                colour=name,
                category=(name, "T-shirts"),
                attributes={**product.attributes, "material": name, "description": name},
            ),
            (f"{number}.png",),
        )
        for number, (product, name) in enumerate(zip(products(), names, strict=False))
    ]
    with open_context(store) as shop, contextlib.closing(open_source(pictures)) as source:
        ingest(shop, rows, source=source)
    return [row.product.id for row in rows]


def heic(path: Path, picture: Image.Image) -> Path:
    """A picture as phones send it. Needs pillow_heif."""
    import pillow_heif

    pillow_heif.from_pillow(picture).save(path, quality=90)
    return path


def heavy(megabytes: int) -> bytes:
    """A file of so many megabytes that no page should decode."""
    return b"\xff\xd8\xff\xe0" + bytes(megabytes * 2**20 - 4)
