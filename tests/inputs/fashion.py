"""A shop with parts, looks, prices and stock, made of numbers alone: vectors gather around a few middles."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

import lapel
from lapel.catalog import Entry, PhotoEntry
from lapel.core.types import Product

KINDS = (
    ("Apparel", "Topwear", "Shirts"),
    ("Apparel", "Topwear", "T-shirts"),
    ("Apparel", "Bottomwear", "Jeans"),
    ("Footwear", "Shoes", "Sneakers"),
    ("Accessories", "Bags", "Handbags"),
    ("Accessories", "Belts"),
    ("Apparel", "Dresses", "Dresses"),
)
BRANDS = ("", "Alder", "Finch", "Quay", "Rook")


def fashion_store(folder: Path, count: int = 240, seed: int = 0) -> lapel.Store:
    """An open store of ``count`` products: every ninth is sold out, every seventh shares its photo with the one before,
    looks are numbered in the attribute ``look``."""
    store = lapel.open_store(folder, create=True, encoder="colour:")
    context = store._context
    context.claim()
    rng = np.random.default_rng(seed)
    dim = context.encoder.dim
    middles = rng.normal(size=(8, dim))
    entries = []
    for number in range(count):
        look = int(rng.integers(len(middles)))
        vector = middles[look] + 0.35 * rng.normal(size=dim)
        vector = (vector / np.linalg.norm(vector)).astype(np.float32)
        photo = number - 1 if number % 7 == 6 else number
        product = Product(
            f"p{number}",
            title=f"Product {number}",
            category=KINDS[number % len(KINDS)],
            gender=("Women", "Men", "Unisex")[int(rng.integers(3))],
            brand=BRANDS[int(rng.integers(len(BRANDS)))],
            colour=("Red", "Navy Blue", "Black")[int(rng.integers(3))],
            season=("Summer", "Winter")[int(rng.integers(2))],
            price_minor=int(rng.integers(500, 9000)),
            currency="EUR" if number % 5 else "INR",
            in_stock=None if number % 4 == 0 else number % 9 != 0,
            attributes={
                "look": str(look),
                "margin": str(int(rng.integers(5, 60))),
                "size": "S|M" if number % 2 else "L",
            },
        )
        sha256 = hashlib.sha256(str(photo).encode()).hexdigest()
        entries.append(Entry(product, (PhotoEntry(f"mem://{number}", "1", sha256, vector),)))
    context.catalog.write(entries, fingerprint=context.encoder.fingerprint)
    return store
