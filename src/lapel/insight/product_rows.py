"""One row a product: what questions of groups, maps and labels look at.

A product with several photos is the mean of their vectors, made a unit vector again, and is shown by its first photo.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lapel.core.filters import NO_FILTER
from lapel.core.text import counted
from lapel.core.types import Filter, Photo, Product
from lapel.core.vectors import Keys, Vectors, normalise
from lapel.engine.context import StoreContext
from lapel.insight.findings import read_gallery

Progress = Callable[[int, int], None]  # done, and in all


@dataclass(frozen=True)
class ProductRows:
    """Products with a vector, in the order of their first photos' keys.

    Attributes:
        products: n products.
        photos: The photo that shows each.
        vectors: (n, dim) float32 unit rows.
        left_out: Photos that pass the filter and have no vector yet.
    """

    products: tuple[Product, ...]
    photos: tuple[Photo, ...]
    vectors: Vectors
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.products)

    @property
    def keys(self) -> Keys:
        """(n,) the key of the photo that shows each."""
        return np.array([photo.key for photo in self.photos], np.int64)

    @property
    def note(self) -> str:
        """What was left out, as a sentence; empty where nothing was."""
        return f" {counted(self.left_out, 'photo')} without a vector left out." if self.left_out else ""


def read_products(context: StoreContext, where: Filter = NO_FILTER, *, least: int = 1) -> ProductRows:
    """Read the products that a filter leaves.

    Args:
        context: The store; only read.
        where: Which products.
        least: How many photos the question needs to make sense.

    Raises:
        QueryError: fewer photos than ``least`` pass, or the store has no vectors.
    """
    gallery = read_gallery(context, where, least=least)
    ids = [gallery.product(place).id for place in range(len(gallery))]
    known = list(dict.fromkeys(ids))
    number = {name: row for row, name in enumerate(known)}
    rows = np.array([number[name] for name in ids], np.int64)
    sums = np.zeros((len(known), gallery.vectors.shape[1]), np.float32)
    np.add.at(sums, rows, gallery.vectors)
    first = np.unique(rows, return_index=True)[1]
    chosen = set(context.catalog.first_photos(known).tolist())
    for place in np.flatnonzero(np.isin(gallery.keys, list(chosen))):
        first[rows[place]] = place
    return ProductRows(
        tuple(gallery.product(int(place)) for place in first),
        tuple(gallery.photo(int(place)) for place in first),
        normalise(sums) if len(known) < len(ids) else gallery.vectors,
        gallery.without_vector,
    )
