"""One search of the whole catalogue (decode, encode, filter, rank, look up) against encoding one picture, turn by turn
in one run.

    python benchmarks/search.py [--store shop] [--queries 300]

Without --store the catalogue is added to a temporary one first (two minutes for 40,097 products).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from lapel.core.images import decode
from lapel.core.types import Filter, Query
from lapel.engine.context import open_context
from lapel.engine.retrieval import SearchEngine
from lapel.service import AddRequest, add_to_store
from lapel.sources import read_uri
from shops import machine, shop


def measure(store_path: Path, queries: int) -> None:
    """Time each query three ways and print the quantiles."""
    with open_context(store_path) as store:
        engine = SearchEngine(store)
        keys = np.random.default_rng(0).permutation(store.index.keys)[:queries]
        pictures = [read_uri(photo.uri) for _, photo in store.catalog.entries(keys).values()]
        where = Filter.parse(["gender=Women"])
        times: dict[str, list[float]] = {"encoder alone": [], "search": [], "search, gender=Women": []}
        for data in [*pictures[:20], *pictures]:  # the first twenty warm up
            image = decode(data)
            began = time.perf_counter()
            store.encoder.encode([image])
            times["encoder alone"].append(time.perf_counter() - began)
            for name, condition in (("search", Filter()), ("search, gender=Women", where)):
                began = time.perf_counter()
                engine.search(Query(image=decode(data), k=10, where=condition))
                times[name].append(time.perf_counter() - began)
        products = store.catalog.counts().products
    print(f"{queries} queries, {products:,} products; {machine()}")
    base = np.median(times["encoder alone"][20:])
    for name, seconds in times.items():
        p50, p95 = np.percentile(seconds[20:], [50, 95])
        print(f"{name:24} p50 {1e3 * p50:6.2f} ms   p95 {1e3 * p95:6.2f} ms   {p50 / base:5.2f} of the encoder")
    print("aim: search at most 1.25 of the encoder (p50)")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", type=Path)
    parser.add_argument("--queries", type=int, default=300)
    wanted = parser.parse_args()
    if wanted.store:
        measure(wanted.store, wanted.queries)
        return
    with tempfile.TemporaryDirectory() as work:
        arguments = [Path(text) for text in shop(Path(work)) if not text.startswith("--")]
        products = arguments[1] if len(arguments) > 1 else None
        add_to_store(Path(work) / "shop", AddRequest(arguments[0], products))
        measure(Path(work) / "shop", wanted.queries)


if __name__ == "__main__":
    main()
