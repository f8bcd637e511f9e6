"""The feed of substitutes: for every product that is sold out, or slow, what can be sold in its place.

Products are compared within their kind, block by block, so that a whole shop takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapel.engine.recommend.choosing import Guard, Strand, choose
from lapel.engine.recommend.rows import SAME_COLOUR, substitute_relevance
from lapel.engine.recommend.table import SOLD_OUT, Places, ProductTable

NEAREST = 64  # of a kind, by the vectors alone, that are looked at more closely
BLOCK = 512  # products that are compared with their kind at once


@dataclass(frozen=True)
class SubstituteRow:
    """One product with what can be sold in its place.

    Attributes:
        product_id: The product.
        substitutes: Ids, the best first; none where nothing fits.
    """

    product_id: str
    substitutes: tuple[str, ...]


def wanted(table: ProductTable, chosen: NDArray[np.bool_] | None) -> Places:
    """The places of the products that need substitutes: those that are chosen, by default all that are sold out."""
    return np.flatnonzero(table.shown & ((table.stock == SOLD_OUT) if chosen is None else chosen))


def substitute_feed(
    table: ProductTable,
    places: Places,
    k: int,
    *,
    per_brand: int,
    barred: NDArray[np.int64],
    keep_margin: bool = False,
) -> Iterator[SubstituteRow]:
    """The rows of a feed, kind by kind.

    Args:
        table: The products.
        places: Those that need substitutes.
        k: How many for each.
        per_brand: Of each brand at most.
        barred: Places that must not be shown.
        keep_margin: Only such with at least the product's margin.
    """
    usable = table.shown & (table.stock != SOLD_OUT)
    usable[barred] = False
    for kind in np.unique(table.kinds.of[places]):
        inside = np.flatnonzero((table.kinds.of == kind) & usable)
        asking = places[table.kinds.of[places] == kind]
        for at in range(0, len(asking), BLOCK):
            some = asking[at : at + BLOCK]
            cosines = table.vectors[some] @ table.vectors[inside].T
            # What is of the same colour comes first, so it is looked at first.
            alike = table.families.of[some][:, None] == table.families.of[inside][None]
            cosines += SAME_COLOUR * alike
            count = min(NEAREST, len(inside))
            near = np.argpartition(-cosines, count - 1, axis=1)[:, :count] if count else np.empty((len(some), 0), int)
            for seed, row in zip(some.tolist(), near, strict=True):
                found = _best(table, seed, inside[row], k, per_brand, barred, keep_margin)
                if len(found) < k and count < len(inside):  # the nearest are for others, or cost too much
                    found = _best(table, seed, inside, k, per_brand, barred, keep_margin)
                yield SubstituteRow(table.ids[seed], found)


def _best(
    table: ProductTable, seed: int, near: Places, k: int, per_brand: int, barred: Places, keep_margin: bool
) -> tuple[str, ...]:
    near = near[near != seed]
    relevance = substitute_relevance(table, seed, near, keep_margin=keep_margin)
    guard = Guard.over(table, refused=[barred, np.array([seed])], per_brand=per_brand)
    strand = Strand(near[np.isfinite(relevance)], relevance[np.isfinite(relevance)])
    return tuple(table.ids[place] for place, _ in choose(guard, [strand], k, diversity=0.0))
