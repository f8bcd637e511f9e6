"""One search of the whole catalogue (decode, encode, filter, rank, look up) against encoding one image, turn by turn in
one run; many photos in a loop against `search_many`; queries that need no network; and how soon a search finds what
another process wrote.

    python benchmarks/search.py [--store shop] [--queries 300] [--photos clothing.zip --many 1000] [--only given]

Without --store the catalogue is added to a temporary one first (two minutes for 40,097 products). --photos takes a
folder or
ZIP of people's photos, in which the product is found first; without it, the catalogue's own photos are the queries.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

import lapel
from lapel.catalog import Entry, PhotoEntry
from lapel.core.images import decode
from lapel.core.types import Product, Query
from lapel.core.vectors import normalise
from lapel.engine.context import open_context
from lapel.sources import open_source, read_uri
from shops import machine, shop

PHOTOS = Path("../shared/data/clothing-photos/images.zip")


def catalogue_images(folder: Path, count: int) -> list[bytes]:
    """Image files of some photos of a store, drawn by lot."""
    with open_context(folder, read_only=True) as store:
        keys = np.random.default_rng(0).permutation(store.index.keys)[:count]
        return [read_uri(photo.uri) for _, photo in store.catalog.entries(keys).values()]


def timed(work: Callable[[], object]) -> np.ndarray:
    """Seconds by the clock, and of all processors together."""
    clock, processors = time.perf_counter(), time.process_time()
    work()
    return np.array([time.perf_counter() - clock, time.process_time() - processors])


def one_by_one(folder: Path, queries: int) -> None:
    """Time each query three ways and print the quantiles, and what a search takes of the processors beside encoding."""
    images = catalogue_images(folder, queries)
    with lapel.open_store(folder) as store:
        encoder = lapel.open_encoder(store.models.current.encoder)
        times: dict[str, list[np.ndarray]] = {"encoder alone": [], "search": [], "search, gender=Women": []}
        for data in [*images[:20], *images]:  # the first twenty warm up
            times["encoder alone"].append(timed(partial(encoder.encode, [decode(data)])))
            for name, where in (("search", []), ("search, gender=Women", ["gender=Women"])):
                times[name].append(timed(partial(store.search, image=data, k=10, where=where)))
        products = store.count()
    print(f"{queries} queries, {products:,} products; {machine()}")
    base, processors = np.median(times["encoder alone"][20:], axis=0)
    for name, seconds in times.items():
        (p50, spent), (p95, _) = np.percentile(seconds[20:], [50, 95], axis=0)
        print(
            f"{name:24} p50 {1e3 * p50:6.2f} ms   p95 {1e3 * p95:6.2f} ms   {p50 / base:5.2f} of the encoder"
            f"   {1e3 * (spent - processors):5.2f} ms of processors beside it"
        )
    print("aim: search at most 1.25 of the encoder (p50)")


def given(folder: Path, count: int) -> None:
    """Queries a second of one core that need no network, in batches: points near the shop's own vectors (cosine .86, as
    photos of its products have), and products. Beside it, what the index alone takes for the same vectors, k=10.

    Run it with OMP_NUM_THREADS=1. The best of seven turns, by processor time; answers are let go after each turn.
    """
    with open_context(folder, read_only=True) as store:
        keys = np.random.default_rng(0).permutation(store.index.keys)[:count]
        own = store.catalog.vector_of(keys, fingerprint=store.current().model.fingerprint)
        noise = np.random.default_rng(1).normal(size=own.shape)
        near = normalise(own + 0.6 * noise / np.linalg.norm(noise, axis=1, keepdims=True))
        products = [Query(product_id=product.id) for product, _ in store.catalog.entries(keys).values()]
        index = best_of(7, lambda: [store.index.search(near[at : at + 250], 10) for at in range(0, len(near), 250)])
        print(f"the index alone: {len(near) / index:,.0f} queries/s")
    asked = {"vectors": [Query(vector=row) for row in near], "products": products}
    with lapel.open_store(folder) as store:  # opened again: at first every hit is read, later all are in memory
        store.search(query=asked["vectors"][0])
        for name, queries in asked.items():
            first = best_of(1, lambda queries=queries: list(store.search_many(queries)))
            made = best_of(7, lambda queries=queries: list(store.search_many(queries)))
            touched = best_of(
                7, lambda queries=queries: [hit.score for each in store.search_many(queries) for hit in each]
            )
            print(
                f"{len(queries)} {name}, queries/s of one core (aim 10,000): {len(queries) / first:,.0f} at first,"
                f" {len(queries) / made:,.0f} answers made ({made / index:.1f} times the index alone),"
                f" {len(queries) / touched:,.0f} every hit looked at"
            )


def best_of(turns: int, work: Callable[[], object]) -> float:
    """Seconds of the processor, the least of some turns."""
    spent = []
    for _ in range(turns):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return min(spent)


def many(folder: Path, photos: Path | None, count: int) -> None:
    """Photos a second: in a loop, with `search_many`, and with the encoder alone, in turns of the same photos; and what
    each takes of the processors."""
    if photos is None:
        images = catalogue_images(folder, count)
    else:
        source = open_source(photos)
        images = [source.read(uri) for _, uri in zip(range(count), source.walk(), strict=False)]
    with lapel.open_store(folder) as store:
        encoder = lapel.open_encoder(store.models.current.encoder)
        turns = np.array_split(np.arange(len(images)), 5)
        spent = {name: np.zeros(2) for name in ("loop", "search_many", "encoder alone")}
        store.search(image=images[0])
        for rows in turns:
            some = [images[row] for row in rows]
            spent["loop"] += timed(lambda some=some: [store.search(query=Query(image=data)) for data in some])
            spent["search_many"] += timed(lambda some=some: list(store.search_many(some)))
            spent["encoder alone"] += timed(partial(encoder.encode, some))
    print(f"{len(images)} photos of {photos or 'the catalogue'}")
    for name, (clock, processors) in spent.items():
        print(
            f"{name:24} {len(images) / clock:6.1f} photos/s   {spent['loop'][0] / clock:5.2f} of the loop"
            f"   {1e3 * processors / len(images):6.2f} ms of processors each"
        )


def write(folder: Path, vectors: np.ndarray, fingerprint: str, orders: Connection) -> None:
    """In another process: add a product of the next vector whenever asked, and answer when it was committed."""
    with open_context(folder) as store:
        for at, vector in enumerate(vectors):
            orders.recv()
            entry = Entry(Product(f"seen-{at}"), (PhotoEntry(f"file:///seen-{at}.jpg", "1", "00", vector),))
            store.catalog.write([entry], fingerprint=fingerprint)
            orders.send(time.time())


def seen(folder: Path, work: Path, count: int = 50) -> None:
    """Milliseconds from another process's commit to an answer that holds what it wrote, on a copy of the store."""
    shutil.copytree(folder, work / "copy")
    vectors = np.random.default_rng(5).normal(size=(count, 128)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with lapel.open_store(work / "copy") as store:
        mine, its = multiprocessing.Pipe()
        fingerprint = store.models.current.fingerprint
        other = multiprocessing.get_context("spawn").Process(
            target=write, args=(work / "copy", vectors, fingerprint, its), daemon=True
        )
        other.start()
        waited = []
        for at, vector in enumerate(vectors):
            store.search(vector=vector, k=1)
            mine.send(at)
            committed = mine.recv()
            while store.search(vector=vector, k=1)[0].product.id != f"seen-{at}":
                pass
            waited.append(1e3 * (time.time() - committed))
        other.join()
    print(
        f"found after another process's commit: p50 {np.median(waited):.1f} ms, at most {max(waited):.1f} (aim 1,000)"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", type=Path)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--photos", type=Path, default=PHOTOS if PHOTOS.exists() else None)
    parser.add_argument("--many", type=int, default=1000)
    parts = ("one", "given", "seen", "many")
    parser.add_argument("--only", nargs="*", default=parts, choices=parts)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder = wanted.store or Path(work) / "shop"
        if not wanted.store:
            arguments = [text for text in shop(Path(work)) if not text.startswith("--")]
            with lapel.open_store(folder, create=True) as store:
                store.add(arguments[0], products=arguments[1] if len(arguments) > 1 else None)
        if "one" in wanted.only:
            one_by_one(folder, wanted.queries)
        if "given" in wanted.only:
            given(folder, wanted.many)
        if "seen" in wanted.only:
            seen(folder, Path(work))
        if "many" in wanted.only:
            many(folder, wanted.photos, wanted.many)


if __name__ == "__main__":
    main()
