"""A shop of 40 products, drawn here: four cuts in five colours, each twice, so what looks like what can be seen in the
code."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

from PIL import Image, ImageDraw

from lapel.service import open_store

COLOURS = {"Black": "#17171a", "Navy": "#1f2a4d", "Red": "#c22f34", "Green": "#2f8047", "Yellow": "#f0c93a"}
CUTS = {  # the outline on a canvas of 300 x 400, and where it is sold
    "T-shirt": (
        ((60, 110), (240, 110), (260, 170), (215, 175), (215, 300), (85, 300), (85, 175), (40, 170)),
        "Apparel > Topwear > T-shirts",
    ),
    "Trousers": (
        ((100, 60), (200, 60), (220, 350), (165, 350), (150, 130), (135, 350), (80, 350)),
        "Apparel > Bottomwear > Trousers",
    ),
    "Dress": (((115, 50), (185, 50), (180, 150), (250, 350), (50, 350), (120, 150)), "Apparel > Dresses"),
    "Tote": (((70, 190), (230, 190), (245, 340), (55, 340)), "Accessories > Bags"),
}
FIELDS = ("id", "title", "category", "gender", "brand", "colour", "season", "price", "currency", "in_stock", "image")


def draw(cut: str, colour: str, shift: int = 0) -> Image.Image:
    """One product photo, moved to the right by ``shift`` pixels."""
    image = Image.new("RGB", (300, 400), "white")
    ImageDraw.Draw(image).polygon([(x + shift, y) for x, y in CUTS[cut][0]], fill=COLOURS[colour])
    return image


def fill_shop(folder: Path) -> Path:
    """Draw the photos and the table below ``folder`` and add them with the real ingest. Returns the store."""
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    rows = []
    for number, (cut, colour, twin) in enumerate(itertools.product(CUTS, COLOURS, (0, 1))):
        draw(cut, colour, 24 * twin).save(pictures / f"{number}.png")
        gender = ("Women", "Men")[twin]
        rows.append((
            f"W{number:04}", f"{colour} {cut.lower()} for {gender.lower()}", CUTS[cut][1], gender, "Marl & Co",
            colour, "Winter" if colour in ("Black", "Navy") else "Summer", f"{10 + number}.50", "EUR",
            "no" if number == 3 else "yes", f"{number}.png",
        ))  # fmt: skip
    with (folder / "products.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([FIELDS, *rows])
    store = folder / "shop"
    with open_store(store, create=True, encoder="colour:") as shop:
        shop.media.limit_thumbnails(0)  # tests see what the page shows where a photo's file is gone
        report = shop.add(pictures, products=folder / "products.csv").counts
        assert (report.products_added, report.photos_rejected) == (40, 0), report
    return store
