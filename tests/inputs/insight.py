"""Small stores for questions of the whole catalogue: products with given vectors, and pictures where needed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import lapel
from lapel.catalog import Entry, PhotoEntry
from lapel.core.types import Product


def made_store(
    folder: Path,
    products: Sequence[Product],
    vectors: NDArray[np.floating],
    pictures: Sequence[Path | None] = (),
) -> lapel.Store:
    """An open store of products with one photo each; without a picture its photo has an address and no file."""
    store = lapel.open_store(folder, create=True, encoder="colour:")
    context = store._context
    context.claim()
    rows = np.zeros((len(products), context.encoder.dim), np.float32)
    rows[:, : vectors.shape[1]] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    entries = []
    for number, product in enumerate(products):
        path = pictures[number] if number < len(pictures) else None
        data = f"{number}".encode() if path is None else path.read_bytes()
        uri = f"mem://{number}" if path is None else path.resolve().as_uri()
        photo = PhotoEntry(uri, "1", hashlib.sha256(data).hexdigest(), rows[number])
        entries.append(Entry(product, (photo,)))
    context.catalog.write(entries, fingerprint=context.encoder.fingerprint)
    return store


def around(
    middles: NDArray[np.floating], of: Sequence[int], seed: int = 0, spread: float = 0.05
) -> NDArray[np.float64]:
    """A vector near one of some middles for each number."""
    rng = np.random.default_rng(seed)
    rows = np.asarray(middles, np.float64)[np.asarray(of)]
    return rows + spread * rng.normal(size=rows.shape)
