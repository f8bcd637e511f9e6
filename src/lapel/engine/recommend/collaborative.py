"""What others like who like the same: cosines between products over the people that did something with both.

One sparse matrix of people and products does it; a person's row is two products with it, so that a click counts at once
and nothing has to be trained (Sarwar et al. 2001).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.catalog.events import Interactions
from lapel.engine.recommend.table import Places, ProductTable

ENOUGH_PEOPLE = 50  # with two products or more, before others are believed


class ItemItem:
    """What the events of all people say of pairs of products.

    Args:
        table: The products.
        interactions: All events.
    """

    def __init__(self, table: ProductTable, interactions: Interactions) -> None:
        from scipy.sparse import csr_matrix

        places = np.array([table.places.get(each, -1) for each in interactions.products], np.int64)
        items = places[interactions.items] if len(places) else np.empty(0, np.int64)
        pairs = np.unique(np.stack([interactions.persons[items >= 0], items[items >= 0]], axis=1), axis=0)
        people, row = np.unique(pairs[:, 0], return_inverse=True)
        held: Any = csr_matrix((np.ones(len(pairs), np.float32), (row, pairs[:, 1])), (len(people), len(table)))
        held = held[np.asarray(held.sum(axis=1)).ravel() >= 2]
        self._people = held.shape[0]
        lengths = np.sqrt(np.maximum(np.asarray(held.sum(axis=0)).ravel(), 1))
        self._held = held @ csr_matrix(
            (1 / lengths, (np.arange(len(table)), np.arange(len(table)))), (len(table), len(table))
        )

    def scores(self, liked: Places, weights: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """(n,) 0..1: how much what others like goes with what somebody likes, 1 for what goes best; None where too few
        people are known."""
        if self._people < ENOUGH_PEOPLE or not len(liked):
            return None
        wish = np.zeros(self._held.shape[1])
        wish[liked] = weights
        told = np.asarray(self._held.T @ (self._held @ wish)).ravel()
        told[liked] = 0.0
        return told / max(float(told.max()), 1e-12)
