"""Groups of products that look alike, and what is popular: what a stranger is shown from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapel.engine.recommend.table import Places, ProductTable

LOOKS = 48  # groups of a large store; a small one has one for each
PRODUCTS_PER_LOOK = 20  # products
SAMPLE = 8_192  # products they are learned from
ROUNDS = 8
KEPT = 300  # of each look, the products nearest to its middle or popular


@dataclass(frozen=True)
class Looks:
    """Groups of a table's products.

    Attributes:
        centres: (g, dim) float32 of length 1.
        of: (n,) the look of each product.
        by_popularity: Looks, what is popular in all first; large ones first where nothing is.
        members: (g) places of each look's products, the popular first, then those nearest to its middle.
    """

    centres: NDArray[np.float32]
    of: NDArray[np.int64]
    by_popularity: tuple[int, ...]
    members: tuple[Places, ...]

    def best(self, look: int) -> Places:
        """The products of a look that are worth looking at first."""
        return self.members[look]


def scaled_popularity(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) 0..1, logarithmic, from what the events of each product weigh."""
    most = float(weights.max(initial=0.0))
    return np.asarray(np.log1p(100 * weights / most) / np.log1p(100) if most else np.zeros(len(weights)))


def learn_centres(table: ProductTable) -> NDArray[np.float32]:
    """(g, dim) the middles of the looks, by k-means on a sample; the same for the same products."""
    from lapel.indexes.spherical import spherical_k_means  # FAISS takes 0.1 s to load

    n = len(table)
    if not n:
        return np.zeros((0, table.vectors.shape[1]), np.float32)
    groups = max(1, min(LOOKS, n // PRODUCTS_PER_LOOK))
    sample = table.vectors[np.random.default_rng(0).permutation(n)[:SAMPLE]]
    return spherical_k_means(sample, groups, rounds=ROUNDS, times=1)


def group(table: ProductTable, centres: NDArray[np.float32], popularity: NDArray[np.float64]) -> Looks:
    """The looks of a table, ordered by what is popular: (n,) 0..1."""
    if not len(table):
        return Looks(centres, np.empty(0, np.int64), (), ())
    cosines = table.vectors @ centres.T
    of = cosines.argmax(axis=1).astype(np.int64)
    available = table.shown & (table.stock != 0)
    members = []
    for look in range(len(centres)):
        inside = np.flatnonzero((of == look) & available)
        worth = cosines[inside, look] + 2 * popularity[inside]
        members.append(inside[np.argsort(-worth, kind="stable")[:KEPT]])
    total = np.bincount(of, popularity + 1e-6 * available, minlength=len(centres))
    order = np.argsort(-total, kind="stable")
    return Looks(centres, of, tuple(order.tolist()), tuple(members))
