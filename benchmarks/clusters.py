"""How well groups of products agree with their kinds, which nothing that makes groups sees.

    python benchmarks/clusters.py --store shop [--sample 4000] [--label articleType] [--map runs/map.html]

Adjusted mutual information (Vinh et al. 2010; 0 by chance, 1 the same) of groups with a label: the groups of ``lapel
clusters`` beside k-means on the same vectors with the same number of groups, and, on a sample drawn by seed 0, beside
Ward's method, HDBSCAN, and k-means and these groups on ImageNet features (EfficientNet-Lite0, 1,280 numbers; the extra
``train``). The vectors' network was trained on labels of the catalogue's split ``train``, so the split ``val`` is told
apart. With ``--map`` the map is made twice and compared byte by byte.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import HDBSCAN, AgglomerativeClustering, KMeans
from sklearn.metrics import adjusted_mutual_info_score as mutual_information

import lapel
from encoders import BATCH, CACHE, open_named
from lapel.core.images import decode
from lapel.core.vectors import Vectors
from lapel.insight.clusters import checked_levels
from lapel.insight.grouping_vectors import nested_groups
from lapel.insight.label_tables import label_of
from lapel.insight.product_rows import ProductRows, read_products
from lapel.sources import read_uri
from shops import machine

SEEDS = 3


def kmeans(vectors: Vectors, count: int, seed: int) -> NDArray[np.int64]:
    return np.asarray(KMeans(count, n_init=1, random_state=seed).fit(vectors).labels_)


def ours(vectors: Vectors, count: int, seed: int) -> NDArray[np.int64]:
    return nested_groups(vectors, [count], seed=seed)[0]


def ward(vectors: Vectors, count: int) -> NDArray[np.int64]:
    return np.asarray(AgglomerativeClustering(count, linkage="ward").fit(vectors).labels_)


def told(name: str, make: Callable[[int], NDArray[np.int64]], labels: NDArray[np.str_], seeds: int = SEEDS) -> None:
    """Print the mean and the range over seeds, and the processor seconds of one."""
    begun = time.process_time()
    found = [make(seed) for seed in range(seeds)]
    seconds = (time.process_time() - begun) / seeds
    known = labels != ""
    scores = [mutual_information(labels[known], each[known]) for each in found]
    groups = len(np.unique(found[0]))
    print(
        f"{name:44} {groups:5} groups  AMI {np.mean(scores):.3f} ({min(scores):.3f} to {max(scores):.3f})"
        f"  {seconds:6.1f} s",
        flush=True,
    )


def imagenet(products: ProductRows) -> Vectors:
    """ImageNet features of each product's picture."""
    encoder = open_named("imagenet", CACHE)
    parts = []
    for start in range(0, len(products), BATCH):
        parts.append(encoder.encode([decode(read_uri(photo.uri)) for photo in products.photos[start : start + BATCH]]))
    return np.concatenate(parts)


def compare_maps(store: lapel.Store, path: Path) -> None:
    """Make the map twice."""
    begun, clock = time.process_time(), time.perf_counter()
    made = store.catalogue_map(fresh=True)
    seconds, waited = time.process_time() - begun, time.perf_counter() - clock
    again = store.catalogue_map(fresh=True)
    made.save(path)
    print(
        f"{made.summary()} {seconds:.0f} processor seconds, {waited:.0f} s on this machine; the same twice:"
        f" {made.html == again.html}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--label", default="articleType")
    parser.add_argument("--sample", type=int, default=4000)
    parser.add_argument("--map", type=Path)
    parser.add_argument("--no-imagenet", action="store_true")
    parser.add_argument("--only-sample", action="store_true", help="Leave out the whole catalogue: minutes less.")
    asked = parser.parse_args()
    with lapel.open_store(asked.store, read_only=True) as store:
        products = read_products(store._context)
        labels = np.array([label_of(product, asked.label) for product in products.products])
        split = np.array([label_of(product, "split") for product in products.products])
        counts = checked_levels(products, ())
        print(f"{machine()}; {len(products):,} products, {len(np.unique(labels))} values of {asked.label}")
        sets = {"all": np.arange(len(products)), "split val": np.flatnonzero(split == "val")}
        for name, rows in sets.items():
            if len(rows) < 500 or asked.only_sample:
                continue
            some = products.vectors[rows]
            for count in (*counts, len(np.unique(labels[rows]))):
                told(f"{name}: lapel clusters", lambda seed, c=count, v=some: ours(v, c, seed), labels[rows], 1)
                told(f"{name}: k-means", lambda seed, c=count, v=some: kmeans(v, c, seed), labels[rows], 1)
        rows = np.sort(np.random.default_rng(0).permutation(len(products))[: asked.sample])
        sample = ProductRows(
            tuple(products.products[row] for row in rows),
            tuple(products.photos[row] for row in rows),
            products.vectors[rows],
        )
        own, name = labels[rows], f"sample of {len(rows):,}"
        spaces = {"vectors": sample.vectors}
        if not asked.no_imagenet:
            spaces["ImageNet"] = imagenet(sample)
        for space, vectors in spaces.items():
            for count in (16, 63, 120):
                told(f"{name}: lapel clusters, {space}", lambda seed, c=count, v=vectors: ours(v, c, seed), own)
                told(f"{name}: k-means, {space}", lambda seed, c=count, v=vectors: kmeans(v, c, seed), own)
                if space == "vectors":
                    told(f"{name}: Ward, {space}", lambda _, c=count, v=vectors: ward(v, c), own, 1)
        for least in (5, 10, 20):
            made = HDBSCAN(min_cluster_size=least, min_samples=5, copy=True).fit(sample.vectors).labels_
            told(f"{name}: HDBSCAN, {least} at least, {(made < 0).mean():.0%} in none", lambda _: made, own, 1)  # noqa: B023
        if asked.map:
            compare_maps(store, asked.map)


if __name__ == "__main__":
    main()
