"""What is bought together: products and kinds, counted over the baskets that the events tell of.

A basket is what one person bought or put into the cart with less than an hour between two events.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapel.catalog.events import BUY, CART, Interactions
from lapel.engine.recommend.table import Places, ProductTable

GAP = 3_600.0  # seconds
MAX_BASKET = 50  # products: more is a reseller
ENOUGH_BASKETS = 200  # with two products or more, before pairs of products are believed
ENOUGH_TOGETHER = 3  # baskets that hold a pair, before it is shown as "often bought with"
SHRINKAGE = 5.0  # baskets by which a pair's share is pulled to nothing
PRIOR_BASKETS = 50.0  # that the category tree's word on kinds counts for


@dataclass(frozen=True)
class Baskets:
    """Counts over baskets of at least two different products.

    Attributes:
        count: How many baskets.
        pairs: (p, 2) places in the table, each pair once, smaller place first.
        together: (p,) baskets with both.
        alone: (n,) baskets with each product.
        parts: (parts, parts) baskets with a product of the one and one of the other part, by the table's parts.
    """

    count: int
    pairs: Places
    together: NDArray[np.int64]
    alone: NDArray[np.int64]
    parts: NDArray[np.float64]

    def with_(self, place: int) -> tuple[Places, NDArray[np.float64], NDArray[np.int64]]:
        """Products that are often in a basket with one, how strongly (0..1, cosine of baskets, shrunk), and in how
        many."""
        if self.count < ENOUGH_BASKETS:
            return np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64)
        first, second = self.pairs[:, 0] == place, self.pairs[:, 1] == place
        others = np.concatenate([self.pairs[first, 1], self.pairs[second, 0]])
        both = np.concatenate([self.together[first], self.together[second]])
        enough = both >= ENOUGH_TOGETHER
        others, both = others[enough], both[enough]
        strength = both / np.sqrt(self.alone[place] * self.alone[others].astype(float)) * both / (both + SHRINKAGE)
        return others, strength, both


def count_baskets(table: ProductTable, interactions: Interactions) -> Baskets:
    """The baskets of a store's events, among the products of a table."""
    places = np.array([table.places.get(each, -1) for each in interactions.products], np.int64)
    n, parts = len(table), len(table.parts.values)
    chosen = np.isin(interactions.kinds, (BUY, CART))
    of, items, at = interactions.persons[chosen], places[interactions.items[chosen]], interactions.at[chosen]
    there = items >= 0
    of, items, at = of[there], items[there], at[there]
    none = Baskets(
        0, np.empty((0, 2), np.int64), np.empty(0, np.int64), np.zeros(n, np.int64), np.zeros((parts, parts))
    )
    if not len(of):
        return none
    begins = np.concatenate([[True], (of[1:] != of[:-1]) | (at[1:] - at[:-1] > GAP)])
    basket = np.cumsum(begins) - 1
    each = np.unique(np.stack([basket, items], axis=1), axis=0)
    sizes = np.bincount(each[:, 0])
    each = each[(sizes[each[:, 0]] >= 2) & (sizes[each[:, 0]] <= MAX_BASKET)]
    if not len(each):
        return none
    return _counted(table, each)


def _counted(table: ProductTable, each: NDArray[np.int64]) -> Baskets:
    """Counts over rows (m, 2) of a basket's number and a place, each once."""
    from scipy.sparse import csr_matrix, triu

    numbers, basket = np.unique(each[:, 0], return_inverse=True)
    shape = (len(numbers), len(table))
    held = csr_matrix((np.ones(len(each), np.int64), (basket, each[:, 1])), shape)
    pairs = triu(held.T @ held, k=1).tocoo()
    parts = table.parts.of[each[:, 1]]
    of_parts = csr_matrix((np.ones(len(each)), (basket, parts)), (shape[0], len(table.parts.values)))
    of_parts.data = np.ones_like(of_parts.data)
    return Baskets(
        len(numbers),
        np.stack([pairs.row, pairs.col], axis=1).astype(np.int64),
        np.asarray(pairs.data, np.int64),
        np.bincount(each[:, 1], minlength=len(table)),
        np.asarray((of_parts.T @ of_parts).todense()),
    )
