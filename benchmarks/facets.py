"""Counts of facets against counting every product by hand, in random cases of filters and cut-offs, and what they cost.

python benchmarks/facets.py --store shop --cases 10000
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from functools import reduce
from operator import and_, or_
from pathlib import Path

import numpy as np

from lapel import Filter
from lapel.catalog import Catalog
from lapel.core.filters import Condition
from lapel.engine.context import open_context
from lapel.engine.facets import FacetCounter

FIELDS = ("category", "gender", "colour", "brand", "season", "usage", "year", "in_stock")
FILTERED = ("category", "gender", "colour", "season", "usage")
MOST = 100


class ByHand:
    """The oracle: which products have a value, as a set of bits in a Python integer, and filters by their meaning.

    Args:
        products: The values of each product by field, in the order of their rows.
    """

    def __init__(self, products: list[dict[str, frozenset[str]]]) -> None:
        self.every = (1 << len(products)) - 1
        self.having: dict[str, dict[str, int]] = {}
        for row, own in enumerate(products):
            for name, values in own.items():
                having = self.having.setdefault(name, {})
                for value in values:
                    having[value] = having.get(value, 0) | 1 << row

    def passing(self, where: Filter) -> int:
        """The products that have any of the values of each condition; of ``!=``, none of them."""
        return reduce(and_, (self._having(each) for each in where.conditions), self.every)

    def _having(self, asked: Condition) -> int:
        having = self.having.get(asked.field, {})
        found = reduce(or_, (having.get(value, 0) for value in asked.values), 0)
        return self.every & ~found if asked.operator == "!=" else found

    def count(self, name: str, among: int) -> tuple[tuple[str, int], ...]:
        """The most frequent values of a field among some products."""
        counts = {value: (having & among).bit_count() for value, having in self.having.get(name, {}).items()}
        found = ((value, count) for value, count in counts.items() if count)
        return tuple(sorted(found, key=lambda each: (-each[1], each[0]))[:MOST])


def bits(rows: Iterable[int]) -> int:
    """A set of places."""
    return reduce(or_, (1 << row for row in rows), 0)


def random_filter(values: dict[str, list[str]], random: np.random.Generator) -> Filter:
    conditions = []
    for name in random.choice(list(values), int(random.integers(0, 4)), replace=False):
        some = random.choice(values[name], min(len(values[name]), int(random.integers(1, 4))), replace=False)
        conditions.append(Condition(str(name), "=" if random.random() < 0.8 else "!=", tuple(map(str, some))))
    return Filter(tuple(conditions))


def check(catalog: Catalog, cases: int, sample: int, random: np.random.Generator) -> None:
    read = catalog.products(limit=catalog.last_row())
    oracle = ByHand([{name: frozenset(texts) for name, texts in product.facets().items()} for product in read])
    if catalog.last_row() != len(read):
        raise SystemExit("Products were removed from this store, so that rows cannot be counted by hand.")
    counter = FacetCounter(catalog)
    known = set(catalog.field_names())
    values = {name: [value for value, _ in catalog.facet_values(name)] for name in FILTERED if name in known}
    values = {name: found for name, found in values.items() if len(found) > 1}
    fields = [name for name in FIELDS if name in known]
    wrong, spent = 0, []
    for case in range(cases):
        where = random_filter(values, random)
        few = np.sort(random.choice(len(read), sample, replace=False)) if case % 2 else None
        begun = time.perf_counter(), time.process_time()
        found = counter.count(fields, where, None if few is None else few + 1)
        spent.append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
        among = oracle.passing(where) & (oracle.every if few is None else bits(few.tolist()))
        wrong += sum(found[name] != oracle.count(name, among) for name in fields)
    print(
        f"{cases:,} cases, {len(read):,} products, {len(fields)} fields each: {wrong} counts differ from those by hand"
    )
    for name, took in zip(("by the clock", "of the processor"), 1000 * np.array(spent).T, strict=True):
        print(f"ms {name} for all fields: median {np.median(took):.1f}, 95 % under {np.percentile(took, 95):.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument(
        "--sample", type=int, default=2000, help="Products that reach the cut-off, in every second case."
    )
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with open_context(given.store, read_only=True) as context:
        check(context.catalog, given.cases, given.sample, np.random.default_rng(given.seed))


if __name__ == "__main__":
    main()
