"""Counting the values of fields among the products of an answer, fast enough for every keystroke.

The catalogue's facets are read once for a generation, as columns of numbers; a count is then one ``bincount`` over
them. Counts obey the filter and the cut-off of the query: what is counted is what the answer is taken from. Which
products have a single value is kept, so that who clicks through filters asks the catalogue for one value at a time.
"""

from __future__ import annotations

import math
import sys
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lapel.catalog import Catalog
from lapel.core.filters import Condition, Filter
from lapel.core.text import fold
from lapel.core.types import FIELDS

FACET_VALUES = 100  # values told of each field by default
BANDS = 5  # bands of prices of a currency
MAX_KEPT_BYTES = 32 * 2**20  # of sets of products by what they fulfil
BY_CURRENCY = ("price", "currency")  # fields whose conditions say how each other is meant
LABELS = ("gender", "brand", "colour", "season")  # fields that a column of the shop may say once more
SAME_COUNTS = 0.98  # share of the products by whose values it does
FIELD_VALUES = 200  # a field with more values is no list to choose from

Counts = tuple[tuple[str, int], ...]
Rows = NDArray[np.bool_]  # (n,) by the numbers of products: whether one is counted


@dataclass(frozen=True)
class _Field:
    """A field of every product.

    Attributes:
        values: The different ones.
        rows: (m,) the numbers of the products,
        places: (m,) and the place among the values of what each has; a product may have several.
        in_order: Whether the values are told in their own order, as bands of prices are, instead of by their counts.
    """

    values: tuple[str, ...]
    rows: NDArray[np.int64]
    places: NDArray[np.int64]
    in_order: bool = False

    def count(self, counted: Rows, limit: int = FACET_VALUES) -> Counts:
        """The values with how many of the products that count have them, those without any left out."""
        there = self.rows < len(counted)  # others came since
        rows, places = (self.rows, self.places) if there.all() else (self.rows[there], self.places[there])
        counts = np.bincount(places[counted[rows]], minlength=len(self.values))
        order = range(len(self.values)) if self.in_order else np.lexsort((np.arange(len(self.values)), -counts))
        found = [(self.values[place], int(counts[place])) for place in order if counts[place]]
        return tuple(found[:limit])


class FacetCounter:
    """Counts facets of one catalogue. Safe to share between threads.

    >>> counter.count(("colour", "price"), Filter.parse(["gender=Women"]))  # doctest: +SKIP
    {'colour': (('Black', 2316), ('Red', 1022), ...), 'price': (('under 500 INR', 310), ...)}
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._generation = -1
        self._size = 0
        self._fields: dict[str, _Field] = {}
        self._passing: dict[Filter, Rows] = {}
        self._names: tuple[str, ...] | None = None

    def names(self) -> Sequence[str]:
        """The fields that are worth counting: those with at least two values and not too many, no column twice."""
        self._refresh()
        with self._lock:
            known, generation = self._names, self._generation
        if known is None:
            known = self._worth()
            with self._lock:
                if generation == self._generation:  # nothing came meanwhile
                    self._names = known
        return known

    def _worth(self) -> tuple[str, ...]:
        counts = self._catalog.value_counts(FIELD_VALUES + 1)
        worth = [name for name, count in counts.items() if 2 <= count <= FIELD_VALUES and name != "currency"]
        worth += [name for name in ("brand", "category") if counts.get(name, 0) > FIELD_VALUES]
        distinct = without_repeats(self.count(worth, Filter(), limit=sys.maxsize))
        return (*distinct, *(("price",) if self._catalog.prices() else ()))

    def count(
        self,
        names: Sequence[str],
        where: Filter,
        reached: NDArray[np.int64] | None = None,
        *,
        limit: int = FACET_VALUES,
    ) -> dict[str, Counts]:
        """By field its commonest values, with how many products have them.

        Args:
            names: Fields; ``price`` counts bands of each currency.
            where: What the products must fulfil.
            reached: (n,) the numbers of the products that reach a cut-off; None where there is none.
            limit: How many values of each.

        Raises:
            QueryError: an unknown field, or a filter that cannot be understood.
        """
        self._refresh()
        counted = self._rows(where)
        if reached is not None:
            kept = np.zeros(len(counted), bool)
            kept[reached[reached < len(kept)]] = True
            counted = counted & kept
        return {name: self._field(name).count(counted, limit) for name in names}

    def _rows(self, where: Filter) -> Rows:
        """What passes a filter: conditions on prices and currencies are asked for together, others value by value."""
        together = tuple(each for each in where.conditions if fold(each.field) in BY_CURRENCY)
        passing = self._passing_of(Filter(together))
        for condition in where.conditions:
            if condition in together:
                continue
            if condition.operator not in ("=", "!="):
                passing = passing & self._passing_of(Filter((condition,)))
                continue
            having = np.zeros(len(passing), bool)
            for value in condition.values:
                having |= self._passing_of(Filter((Condition(condition.field, "=", (value,)),)))
            passing = passing & (having if condition.operator == "=" else ~having)
        return passing

    def _passing_of(self, where: Filter) -> Rows:
        with self._lock:
            known, generation = self._passing.get(where), self._generation
        if known is None:
            known = np.zeros(self._size, bool)
            rows = self._catalog.matching_rows(where)
            known[rows[rows < self._size]] = True
            with self._lock:
                if (len(self._passing) + 1) * self._size > MAX_KEPT_BYTES:
                    self._passing.clear()
                if generation == self._generation:
                    self._passing[where] = known
        return known

    def _field(self, name: str) -> _Field:
        with self._lock:
            known, generation = self._fields.get(name), self._generation
        if known is None:
            known = price_bands(self._catalog.prices()) if fold(name) == "price" else self._read(name)
            with self._lock:
                if generation == self._generation:
                    self._fields[name] = known
        return known

    def _read(self, name: str) -> _Field:
        values, rows, places = self._catalog.facet_links(name)
        return _Field(tuple(values), rows, places)

    def _refresh(self) -> None:
        generation = self._catalog.generation
        with self._lock:
            if generation != self._generation:
                self._size = self._catalog.last_row() + 1
                self._fields.clear()
                self._passing.clear()
                self._names = None
                self._generation = generation


def without_repeats(known: Mapping[str, Sequence[tuple[str, int]]]) -> Mapping[str, Sequence[tuple[str, int]]]:
    """Without the shop's own columns that say once more what a field says: those that colour, brand or a level of the
    category was read from.

    Args:
        known: By field its values, each with how many products have it.

    >>> list(without_repeats({"colour": [("Red", 3), ("Blue", 1)], "Color": [("red", 3), ("blue", 1)], "cut": []}))
    ['colour', 'cut']
    """
    levels: dict[int, Counter[str]] = {}
    for path, count in known.get("category", ()):
        above, _, name = path.rpartition(" > ")
        levels.setdefault(above.count(" > ") + bool(above), Counter())[name.casefold()] += count
    fields = [_counted(known[name]) for name in LABELS if name in known] + list(levels.values())

    def repeats(values: Counter[str]) -> bool:
        return any((values & each).total() >= SAME_COUNTS * max(values.total(), each.total(), 1) for each in fields)

    return {name: values for name, values in known.items() if name in FIELDS or not repeats(_counted(values))}


def _counted(values: Sequence[tuple[str, int]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for value, count in values:
        found[value.casefold()] += count
    return found


def price_bands(prices: Sequence[tuple[int, str, float]]) -> _Field:
    """Bands of prices that hold about as many products each, with edges that people would choose.

    >>> field = price_bands([(row, "EUR", float(row)) for row in range(1, 101)])
    >>> field.count(np.ones(101, bool))
    (('under 21 EUR', 20), ('21 to 41 EUR', 20), ('41 to 60 EUR', 19), ('60 to 80 EUR', 20), ('80 EUR and more', 21))

    Args:
        prices: The number, currency and price of each product.
    """
    values: list[str] = []
    rows, places = [], []
    for currency in dict.fromkeys(currency for _, currency, _ in prices):
        own = [(row, price) for row, other, price in prices if other == currency]
        amounts = np.array([price for _, price in own])
        edges = _edges(amounts)
        rows += [row for row, _ in own]
        places += (len(values) + np.searchsorted(edges, amounts, side="right")).tolist()
        values += _labels(edges, currency)
    return _Field(tuple(values), np.array(rows, np.int64), np.array(places, np.int64), in_order=True)


def _edges(amounts: NDArray[np.float64]) -> list[float]:
    """Where bands begin, but for the lowest: quantiles, rounded to two digits."""
    wanted = np.quantile(amounts, np.arange(1, BANDS) / BANDS)
    rounded = {_rounded(float(edge)) for edge in wanted}
    return sorted(edge for edge in rounded if amounts.min() < edge <= amounts.max())


def _rounded(amount: float) -> float:
    if amount <= 0:
        return 0.0
    unit: float = 10.0 ** (math.floor(math.log10(amount)) - 1)
    return round(round(amount / unit) * unit, 2)


def _labels(edges: Sequence[float], currency: str) -> list[str]:
    if not edges:
        return [f"all {currency}"]
    first, last = f"under {edges[0]:g} {currency}", f"{edges[-1]:g} {currency} and more"
    inner = [f"{low:g} to {high:g} {currency}" for low, high in pairwise(edges)]
    return [first, *inner, last]
