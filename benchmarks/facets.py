"""Counts of facets against counting every product by hand, in random cases of filters and cut-offs, and what they cost.

python benchmarks/facets.py --store shop --cases 10000
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
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


Own = dict[str, frozenset[str]]  # a product's values by field


def passes(own: Own, where: Filter) -> bool:
    """The oracle: a filter by its meaning. Any of the values, or, of !=, none."""
    nothing: frozenset[str] = frozenset()
    return all(
        own.get(each.field, nothing).isdisjoint(each.values) == (each.operator == "!=") for each in where.conditions
    )


def by_hand(products: list[Own], name: str, where: Filter, reached: set[int] | None) -> tuple[tuple[str, int], ...]:
    counts: Counter[str] = Counter()
    for row, own in enumerate(products, 1):
        if (reached is None or row in reached) and passes(own, where):
            counts.update(own.get(name, ()))
    return tuple(sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:MOST])


def random_filter(values: dict[str, list[str]], random: np.random.Generator) -> Filter:
    conditions = []
    for name in random.choice(list(values), int(random.integers(0, 4)), replace=False):
        some = random.choice(values[name], min(len(values[name]), int(random.integers(1, 4))), replace=False)
        conditions.append(Condition(str(name), "=" if random.random() < 0.8 else "!=", tuple(map(str, some))))
    return Filter(tuple(conditions))


def check(catalog: Catalog, cases: int, sample: int, random: np.random.Generator) -> None:
    read = catalog.products(limit=catalog.last_row())
    products = [{name: frozenset(texts) for name, texts in product.facets().items()} for product in read]
    if catalog.last_row() != len(products):
        raise SystemExit("Products were removed from this store, so that rows cannot be counted by hand.")
    counter = FacetCounter(catalog)
    known = set(catalog.field_names())
    values = {name: [value for value, _ in catalog.facet_values(name)] for name in FILTERED if name in known}
    values = {name: found for name, found in values.items() if len(found) > 1}
    fields = [name for name in FIELDS if name in known]
    wrong, spent = 0, []
    for case in range(cases):
        where = random_filter(values, random)
        few = random.choice(len(products), sample, replace=False) + 1 if case % 2 else None
        begun = time.perf_counter()
        found = counter.count(fields, where, None if few is None else np.sort(few))
        spent.append(1000 * (time.perf_counter() - begun))
        # Every case by hand in one field; all fields would take a day.
        name = fields[case % len(fields)]
        wrong += found[name] != by_hand(products, name, where, None if few is None else set(few.tolist()))
    took = np.array(spent)
    print(
        f"{cases:,} cases, {len(products):,} products, {len(fields)} fields each: {wrong} differ from counting by hand"
    )
    print(f"ms for all fields: median {np.median(took):.1f}, 95 % under {np.percentile(took, 95):.1f}")


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
