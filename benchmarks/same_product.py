"""Find the very product: val pictures, distorted as a screenshot or a phone would, searched among all products of a store.

    python benchmarks/same_product.py --store shop [--queries 400]

Right when the first answer is the product itself, or one of its group (products that share a picture or a title in the
catalogue's own column ``group``). Every store given is measured on the same distorted pictures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from distortions import DISTORTIONS, MILD, enlarge
from lapel.core.metrics import proportion
from lapel.core.types import Filter
from lapel.engine.store import Store, open_store
from shops import machine


def measure(store: Store, queries: int) -> dict[str, np.ndarray]:
    """For each distortion whether each query's own product (or group) came first."""
    facets = store.catalog.photo_facets(["group"], Filter.parse(["split=val"]))
    chosen = np.sort(np.random.default_rng(7).permutation(len(facets.keys))[:queries])
    group_of = store.catalog.photo_facets(["group"])
    groups = dict(zip(group_of.keys.tolist(), group_of.values["group"], strict=True))
    pictures = [enlarge(store.picture(int(key))) for key in facets.keys[chosen]]
    wanted = [facets.values["group"][row] for row in chosen]
    found = {}
    for number, (name, distort) in enumerate(DISTORTIONS.items()):
        changed = [distort(picture, np.random.default_rng((number, row))) for row, picture in enumerate(pictures)]
        matches = store.index.search(store.encoder.encode(changed), 1)
        found[name] = np.array(
            [groups[key] == group for key, group in zip(matches.keys[:, 0].tolist(), wanted, strict=True)]
        )
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", type=Path, action="append", required=True)
    parser.add_argument("--queries", type=int, default=400)
    wanted = parser.parse_args()
    columns = {}
    for path in wanted.store:
        with open_store(path) as store:
            products = store.catalog.counts().products
            columns[store.encoder.name] = measure(store, wanted.queries)
    print(f"Recall@1 in %, {wanted.queries} val pictures among {products:,} products; {machine()}")
    print(f"{'':26}" + "".join(f"{name:>28}" for name in columns))
    for name in DISTORTIONS:
        estimates = [proportion(found[name]) for found in columns.values()]
        print(
            f"{name:26}"
            + "".join(f"{100 * e.value:14.1f} [{100 * e.low:4.1f}, {100 * e.high:5.1f}]" for e in estimates)
        )
    means = [100 * float(np.mean([found[name].mean() for name in MILD])) for found in columns.values()]
    print(f"{'mean of the six mild ones':26}" + "".join(f"{mean:28.1f}" for mean in means))


if __name__ == "__main__":
    main()
