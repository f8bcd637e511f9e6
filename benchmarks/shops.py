"""What the benchmarks run on: the real catalogue when it is there, else the sample wardrobe; each says which."""

from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from lapel.core.images import decode
from lapel.core.types import Product
from lapel.sources import ImageSource, open_source
from lapel.sources.table import read_table

CATALOGUE = Path(__file__).parents[2] / "shared" / "data" / "fashion-products"


def shop(work: Path) -> list[str]:
    """The arguments of ``lapel add`` for the catalogue to measure on."""
    if (CATALOGUE / "images.zip").exists():
        return [str(CATALOGUE / "images.zip"), "--products", str(CATALOGUE / "products.csv")]
    from lapel.samples import draw_wardrobe

    draw_wardrobe(work / "wardrobe")
    return [str(work / "wardrobe" / "products.csv")]


@dataclass(frozen=True)
class Shop:
    """A shop read without a store: each product with its first picture.

    Attributes:
        products: In the table's order.
        uris: The picture of each.
        source: Where the pictures are.
        stamp: Changes when a product or a picture does.
    """

    products: tuple[Product, ...]
    uris: tuple[str, ...]
    source: ImageSource
    stamp: str

    def image(self, row: int) -> Image.Image:
        """The image of the product in this row."""
        return decode(self.source.read(self.uris[row]))

    def values(self, attribute: str) -> list[str]:
        """An attribute of every product; empty where it has none."""
        return [product.attributes.get(attribute, "") for product in self.products]


def read_shop(source: Path, table: Path) -> Shop:
    """Read a table and find its pictures in a folder or a ZIP; rows that cannot be used are left out."""
    pictures = open_source(source)
    rows = [(row.product, row.pictures) for row in read_table(table) if row.product is not None]
    uris = tuple(pictures.find(names[0]) if names else pictures.find_id(product.id) for product, names in rows)
    stamps = " ".join(
        f"{product.id}={pictures.version_token(uri)}" for (product, _), uri in zip(rows, uris, strict=True)
    )
    return Shop(tuple(product for product, _ in rows), uris, pictures, hashlib.sha256(stamps.encode()).hexdigest()[:16])


def open_shop(source: Path | None, table: Path | None, work: Path) -> Shop:
    """The shop that was asked for; else the one to measure on, drawn into ``work`` where the real catalogue is not."""
    if source and table:
        return read_shop(source, table)
    arguments = shop(work)
    if len(arguments) == 1:
        return read_shop(Path(arguments[0]).parent, Path(arguments[0]))
    return read_shop(Path(arguments[0]), Path(arguments[2]))


def machine() -> str:
    """One line about this machine."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        model = next(
            (line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")),
            model,
        )
    return f"{os.cpu_count()} cores, {model}, Python {platform.python_version()}"
