"""Small shops whose groups a person can see: a look is a direction in space, and a product lies near that of its."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

import lapel
from lapel.catalog import Entry, PhotoEntry
from lapel.core.types import Product
from lapel.engine.features import PALETTE

KINDS = ("Shirts", "Shoes", "Watches", "Bags")
COLOURS = {"Red": (200, 30, 30), "Blue": (30, 60, 200), "Green": (30, 140, 60)}


def look_products(count: int, seed: int = 0) -> tuple[list[Product], np.ndarray]:
    """Products in turn of four kinds, and three colours within each, with unit vectors: kinds lie far from each other,
    colours of a kind nearer."""
    rng = np.random.default_rng(seed)
    kinds, colours = np.eye(len(KINDS), 24), 0.45 * np.eye(len(COLOURS), 24, k=len(KINDS))
    products, vectors = [], []
    for number in range(count):
        kind, colour = number % len(KINDS), number // len(KINDS) % len(COLOURS)
        name = list(COLOURS)[colour]
        vector = kinds[kind] + colours[colour] + 0.06 * rng.normal(size=24)
        vectors.append(vector / np.linalg.norm(vector))
        products.append(
            Product(
                f"p{number}",
                title=f"{name} {KINDS[kind].lower()} no {number}",
                category=("Apparel" if kind == 0 else "Accessories", KINDS[kind]),
                gender="Women" if kind % 2 else "Men",
                colour=name,
                season=("Summer", "Winter")[int(rng.integers(2))],  # no picture shows it
                price_minor=1990,
                currency="EUR",
                attributes={"articleType": KINDS[kind], "material": "cotton, or wool"},
            )
        )
    return products, np.array(vectors, np.float32)


def write_looks(
    folder: Path, products: Sequence[Product], vectors: np.ndarray, *, pictures: bool = False
) -> lapel.Store:
    """An open store of these; each shows the colour of its vector, whatever its label says; with ``pictures`` as an
    image file."""
    store = lapel.open_store(folder / "shop", create=True, encoder="colour:")
    context = store._context
    context.claim()
    dim = context.encoder.dim
    entries = []
    for product, vector in zip(products, vectors, strict=True):
        path = folder / f"{product.id}.png"
        whole = np.zeros(dim, np.float32)
        whole[: len(vector)] = vector
        image = Image.new("RGB", (30, 40), list(COLOURS.values())[int(vector[len(KINDS) :][: len(COLOURS)].argmax())])
        if pictures:
            image.save(path)
        content = path.read_bytes() if pictures else product.id.encode()
        sha256 = hashlib.sha256(content).hexdigest()
        features = {PALETTE.key: bytes(PALETTE.of(image))}  # type: ignore[arg-type]
        entries.append(Entry(product, (PhotoEntry(path.as_uri(), "1", sha256, whole, features=features),)))
    context.catalog.write(entries, fingerprint=context.encoder.fingerprint)
    return store
