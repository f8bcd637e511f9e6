"""What others like who like the same: of each product those with the highest cosine over the people that did something
with both.

Nothing is trained, and a person's row is a few rows of one sparse matrix, so that a click counts at once (Sarwar et al.
2001; the item-kNN of ``implicit``).
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.catalog.events import Interactions
from lapel.engine.recommend.table import Places, ProductTable

ENOUGH_PEOPLE = 50  # with two products or more, before others are believed
NEIGHBOURS = 100  # of each product that are kept
PRODUCTS_OF_PERSON = 200  # the newest of each person that count: pairs grow with their square
BLOCK = 4_096  # products that are compared with all others at once


class ItemItem:
    """What the events of all people say of pairs of products.

    Args:
        table: The products.
        interactions: All events.
        without: (m, 2) pairs of a person's number and a place that are taken for unknown.

    Attributes:
        people: How many did something with two products or more.
    """

    def __init__(self, table: ProductTable, interactions: Interactions, without: Places | None = None) -> None:
        from scipy.sparse import csr_matrix

        self._table = table
        self._own: Places | None = None  # the place here of each product of another table, -1 where there is none
        people, items = person_products(table, interactions)
        if without is not None:
            keep = ~np.isin(people * len(table) + items, without[:, 0] * len(table) + without[:, 1])
            people, items = people[keep], items[keep]
        numbers, row, counts = np.unique(people, return_inverse=True, return_counts=True)
        several = counts[row] >= 2
        self.people = int((counts >= 2).sum())
        lengths = np.sqrt(np.maximum(np.bincount(items[several], minlength=len(table)), 1))
        values = (1 / lengths[items[several]]).astype(np.float32)
        held = csr_matrix((values, (row[several], items[several])), (len(numbers), len(table)))
        self._nearest = _nearest(held) if self.people >= ENOUGH_PEOPLE else None

    def on(self, table: ProductTable) -> ItemItem:
        """The same for the places of another table: products may have come and gone since this was learned."""
        if table is self._table:
            return self
        made = copy.copy(self)
        made._own = np.array([self._table.places.get(each, -1) for each in table.ids], np.int64)
        return made

    def scores(self, liked: Places, weights: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """(n,) 0..1: how much what others like goes with what somebody likes, 1 for what goes best; None where too few
        people are known."""
        if self._nearest is None or not len(liked):
            return None
        mine = liked if self._own is None else self._own[liked]
        told = np.asarray(self._nearest[mine[mine >= 0]].T @ weights[mine >= 0]).ravel()
        if self._own is not None:
            told = np.where(self._own >= 0, told[self._own], 0.0)
        told[liked] = 0.0
        return told / max(float(told.max(initial=0.0)), 1e-12)


def person_products(table: ProductTable, interactions: Interactions) -> tuple[Places, Places]:
    """(m,) people and (m,) places of what each did something with, each pair once, the people in order and of each the
    products in the order of the last time; of those with more the newest :data:`PRODUCTS_OF_PERSON`."""
    places = np.array([table.places.get(each, -1) for each in interactions.products], np.int64)
    items = places[interactions.items] if len(places) else np.empty(0, np.int64)
    people, items = interactions.persons[items >= 0], items[items >= 0]
    if not len(people):
        return people, items
    # By person and time, so that the last of equal pairs is the newest.
    _, last = np.unique((people * len(table) + items)[::-1], return_index=True)
    last = np.sort(len(people) - 1 - last)
    people, items = people[last], items[last]
    ends = np.searchsorted(people, people, side="right")
    newest = ends - np.arange(len(people)) <= PRODUCTS_OF_PERSON
    return people[newest], items[newest]


def _nearest(held: Any) -> Any:
    """(n, n) sparse: of each product the highest cosines with others, from (people, n) whose columns have length 1."""
    from scipy.sparse import csr_matrix, vstack

    across = held.T.tocsr()
    blocks = []
    for begin in range(0, across.shape[0], BLOCK):
        block = (across[begin : begin + BLOCK] @ held).tocoo()
        other = block.row + begin != block.col
        row, column, value = block.row[other], block.col[other], block.data[other]
        order = np.lexsort((column, -value, row))
        row, column, value = row[order], column[order], value[order]
        keep = np.arange(len(row)) - np.searchsorted(row, row) < NEIGHBOURS
        blocks.append(csr_matrix((value[keep], (row[keep], column[keep])), (block.shape[0], held.shape[1])))
    return vstack(blocks, "csr") if blocks else csr_matrix((0, 0), dtype=np.float32)
