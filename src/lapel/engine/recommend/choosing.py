"""From candidates to a row: the one place that keeps what every row promises.

No product that is hidden, sold out, refused or excluded; never twice the same product or photo; at most so many of a
brand; and as unlike each other as asked, by maximal marginal relevance. What goes in is places in a table with how
relevant each is; what comes out is places in the row's order, the same for the same input.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lapel.engine.recommend.table import SOLD_OUT, Places, ProductTable

DIVERSITY = 0.2
MAX_PER_BRAND = 3
LOOKED_AT = 400  # of a purpose, the most relevant among which diversity chooses
Relevance = NDArray[np.float64]


@dataclass
class Guard:
    """What may come into one row, and what is in it already.

    Args:
        table: The products.
        barred: Places that must not be shown: refused, excluded, hidden by a rule, outside the filter.
        per_brand: Products of each brand; those without a brand are not counted.
    """

    table: ProductTable
    barred: NDArray[np.bool_]
    per_brand: int = MAX_PER_BRAND
    _products: set[int] = field(default_factory=set)
    _photos: set[int] = field(default_factory=set)
    _brands: Counter[int] = field(default_factory=Counter)

    @classmethod
    def over(
        cls,
        table: ProductTable,
        *,
        refused: Iterable[Places] = (),
        passing: NDArray[np.bool_] | None = None,
        per_brand: int = MAX_PER_BRAND,
        beside: Iterable[int] = (),
    ) -> Guard:
        """The guard of a row that has nothing in it yet; the photos of products ``beside`` it do not come again."""
        barred = ~table.shown | (table.stock == SOLD_OUT)
        for places in refused:
            barred[places] = True
        if passing is not None:
            barred |= ~passing
        return cls(table, barred, per_brand, _photos={int(table.photos[place]) for place in beside})

    def allowed(self, places: Places) -> NDArray[np.bool_]:
        """(m,) which of these may be shown at all."""
        return ~self.barred[places]

    def fits(self, place: int) -> bool:
        """Whether this one may come next."""
        brand = int(self.table.brands.of[place])
        return (
            not self.barred[place]
            and place not in self._products
            and int(self.table.photos[place]) not in self._photos
            and (brand == 0 or self._brands[brand] < self.per_brand)
        )

    def take(self, place: int) -> bool:
        """Take one into the row, if it may come. Returns whether it did."""
        if not self.fits(place):
            return False
        self._products.add(place)
        self._photos.add(int(self.table.photos[place]))
        self._brands[int(self.table.brands.of[place])] += 1
        return True


@dataclass(frozen=True)
class Strand:
    """Candidates for one purpose of a row, such as one interest of a person.

    Attributes:
        places: (m,) places in the table.
        relevance: (m,) how much each fits, in units of cosine.
        share: How much of the row it should have; shares need not sum to 1.
        most: How many it gives at most; None for any number.
    """

    places: Places
    relevance: Relevance
    share: float = 1.0
    most: int | None = None


def choose(
    guard: Guard, strands: Sequence[Strand], k: int, *, diversity: float = DIVERSITY, pinned: Sequence[int] = ()
) -> list[tuple[int, int]]:
    """Up to k places with the number of the strand each came from, -1 for what is pinned.

    At each step the strand that has least of its share gives the candidate with the highest ``(1 - diversity) *
    relevance - diversity * cosine to the most alike before`` (Carbonell and Goldstein 1998). A strand that has no more
    leaves its share to the others.
    """
    chosen = [(place, -1) for place in dict.fromkeys(pinned) if guard.take(place)][:k]
    lines = [_Line(guard, strand) for strand in strands]
    given = [0] * len(lines)
    while len(chosen) < k:
        live = [
            at for at, line in enumerate(lines) if line.left and strands[at].share > 0 and given[at] != strands[at].most
        ]
        if not live:
            break
        at = min(live, key=lambda one: ((given[one] + 1) / strands[one].share, one))
        best = lines[at].best(diversity, [place for place, _ in chosen])
        if best is None:
            continue
        guard.take(best)
        given[at] += 1
        chosen.append((best, at))
    return chosen


class _Line:
    """The candidates of a strand while a row is made of them."""

    def __init__(self, guard: Guard, strand: Strand) -> None:
        keep = guard.allowed(strand.places)
        order = np.lexsort((strand.places[keep], -strand.relevance[keep]))[:LOOKED_AT]
        self.places = strand.places[keep][order]
        self._relevance = strand.relevance[keep][order].astype(float)
        self._vectors = guard.table.vectors[self.places]
        self._nearest = np.zeros(len(self.places), np.float32)
        self._compared = 0
        self._guard = guard
        self.left = bool(len(self.places))

    def best(self, diversity: float, row: Sequence[int]) -> int | None:
        """The candidate that should come next in a row; None where none of them may any more."""
        if new := list(row[self._compared :]):
            near = (self._vectors @ self._guard.table.vectors[new].T).max(axis=1)
            np.maximum(self._nearest, near, out=self._nearest)
            self._compared = len(row)
        worth = (1 - min(diversity, 0.999)) * self._relevance - diversity * self._nearest
        while True:
            at = int(worth.argmax())
            if worth[at] == -np.inf:
                self.left = False
                return None
            place = int(self.places[at])
            worth[at] = -np.inf
            if self._guard.fits(place):
                return place
            self._relevance[at] = -np.inf  # nor will it later: a row only fills up
