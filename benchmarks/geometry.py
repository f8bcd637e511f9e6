"""The shape of a shop's embedding: whether it collapsed (effective rank) and whether a few products are everybody's
answer (hubness).

    python benchmarks/geometry.py [--encoder default] [--encoder runs/mine]

Definitions and sources are in :func:`lapel.core.metrics.effective_rank` and :func:`lapel.core.metrics.hubness`; hubness
is of exact top tens, each product left out of its own. ``cosine`` is the mean cosine of two different products: near 1
is collapse.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from encoders import add_arguments, encode_shop, encoders_of
from lapel.core.metrics import effective_rank, hubness
from lapel.core.vectors import Vectors
from lapel.indexes import open_index
from shops import machine, open_shop

K = 10
CHUNK = 1000  # queries at a time


def neighbours(vectors: Vectors, k: int) -> NDArray[np.int64]:
    """The k nearest of each row among the others, (n, k) positions, exact."""
    index = open_index("faiss:Flat", dim=vectors.shape[1])
    rows = np.arange(len(vectors))
    index.add(rows, vectors)
    nearest = np.empty((len(vectors), k), np.int64)
    for at in track(range(0, len(vectors), CHUNK), f"the {k} nearest of {len(vectors):,}"):
        found = index.search(vectors[at : at + CHUNK], k + 1).keys
        own = found == rows[at : at + CHUNK, None]
        # Where more than k others share its vector, a product may be missing from its own list; then the last one goes.
        own[:, -1] |= ~own.any(axis=1)
        nearest[at : at + CHUNK] = found[~own].reshape(-1, k)
    return nearest


def mean_cosine(vectors: Vectors) -> float:
    """Over all pairs of different rows of length 1: (|sum of rows|^2 - n) / n (n - 1)."""
    total = vectors.sum(axis=0, dtype=np.float64)
    return float((total @ total - len(vectors)) / (len(vectors) * (len(vectors) - 1)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    wanted = parser.parse_args(arguments)
    shop = open_shop(wanted.data, wanted.products, wanted.cache)
    print(f"{len(shop.products):,} products; {machine()}")
    print(
        f"{'':24}{'width':>8}{'effective rank':>16}{'mean out':>10}{'cosine':>8}"
        f"{'top-10s: most':>16}{'never':>9}{'skew':>7}"
    )
    for encoder in encoders_of(wanted, segment=False):
        vectors = encode_shop(encoder, shop, wanted.cache)
        hubs = hubness(neighbours(vectors, min(K, len(vectors) - 1)), len(vectors))
        rank, centred = effective_rank(vectors), effective_rank(vectors - vectors.mean(axis=0))
        print(
            f"{encoder.name:24}{vectors.shape[1]:8}{rank:16.1f}{centred:10.1f}{mean_cosine(vectors):8.3f}"
            f"{hubs.most:16}{100 * hubs.never:8.1f}%{hubs.skewness:7.2f}"
        )


if __name__ == "__main__":
    main()
