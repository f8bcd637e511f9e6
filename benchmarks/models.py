"""The choice between models: what each finds, how large its file is and how fast it runs, side by side in one run.

    python benchmarks/models.py [--encoder default] [--encoder runs/default]

Labels: val queries against train products (exact search), Recall@1 / @5 in %; a query without a relevant product counts
    as a miss, as in
the table that the aims were stated in (``lapel evaluate`` leaves such queries out, 140 of the last rule). A second
table asks val pictures among the other val pictures: products that no training has seen, as a shop's own would be
before ``lapel train --from``. Speed: pictures a second in batches of 32 and the wait for one, medians of turns taken in
one run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders import add_arguments, encode_shop, open_named
from lapel.core.vectors import Vectors
from lapel.encoders import Encoder
from lapel.encoders.network import NetworkEncoder
from lapel.indexes import open_index
from shops import Shop, machine, open_shop

RULES = {
    "subCategory": (97.0, 99.2),
    "articleType": (88.0, 96.0),
    "baseColour": (65.0, 85.0),
    "gender": (92.5, 98.0),
    "articleType,baseColour,gender": (53.0, 76.0),
}
BATCH, TURNS = 32, 15


def label(shop: Shop, rule: str) -> NDArray[np.str_]:
    """The combined value of a rule's attributes of every product; empty where one of them is."""
    columns = [
        [product.gender for product in shop.products] if name == "gender" else shop.values(name)
        for name in rule.split(",")
    ]
    return np.array(["/".join(values) if all(values) else "" for values in zip(*columns, strict=True)])


def recalls(shop: Shop, vectors: Vectors, *, gallery: str = "train") -> dict[str, tuple[float, float]]:
    """Recall@1 and @5 of each rule, val pictures asked for among those of a split, never for themselves."""
    split = np.array(shop.values("split"))
    queries, searched = np.flatnonzero(split == "val"), np.flatnonzero(split == gallery)
    index = open_index("exact:", dim=vectors.shape[1])
    index.add(searched, vectors[searched])
    found = index.search(vectors[queries], 6).keys
    own = found == queries[:, None]
    own[~own.any(axis=1), -1] = True  # six were asked for, and five others are looked at
    found = found[~own].reshape(len(queries), 5)
    results = {}
    for rule in RULES:
        labels = label(shop, rule)
        right = (labels[found] == labels[queries][:, None]) & (labels[queries] != "")[:, None]
        results[rule] = (100 * float(right[:, 0].mean()), 100 * float(right.any(axis=1).mean()))
    return results


def speeds(encoders: Sequence[Encoder]) -> list[tuple[float, float]]:
    """Pictures a second and the wait for one in ms of each, turn by turn."""
    rng = np.random.default_rng(0)
    times: list[tuple[list[float], list[float]]] = [([], []) for _ in encoders]
    for _ in range(TURNS):
        for encoder, both in zip(encoders, times, strict=True):
            shape = (encoder.preprocessing.height, encoder.preprocessing.width, 3)
            for count, into in zip((BATCH, 1), both, strict=True):
                pixels = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
                encoder.encode_pixels(pixels)
                began = time.perf_counter()
                encoder.encode_pixels(pixels)
                into.append(time.perf_counter() - began)
    return [(BATCH / float(np.median(many)), 1e3 * float(np.median(one))) for many, one in times]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    wanted = parser.parse_args(arguments)
    shop = open_shop(wanted.data, wanted.products, wanted.cache)
    compared = [open_named(spec, wanted.cache) for spec in wanted.encoder or ["default"]]
    encoders = [encoder for encoder in compared if isinstance(encoder, NetworkEncoder)]
    vectors = [encode_shop(encoder, shop, wanted.cache) for encoder in compared]
    print(f"{len(shop.products):,} products; {machine()}")
    for gallery in ("train", "val"):
        table = [recalls(shop, given, gallery=gallery) for given in vectors]
        head = f"Recall@1 / @5 among {gallery}"
        print(
            f"{head:34}{'aim' if gallery == 'train' else '':>16}"
            + "".join(f"{encoder.name:>24}" for encoder in compared)
        )
        for rule, aim in RULES.items():
            cells = "".join(f"{'{:.1f} / {:.1f}'.format(*found[rule]):>24}" for found in table)
            print(f"{rule:34}{'{:.1f} / {:.1f}'.format(*aim) if gallery == 'train' else '':>16}{cells}")
    for encoder, (many, one) in zip(encoders, speeds(encoders), strict=True):
        model = encoder.model
        size = (Path(model.path) / model.network).stat().st_size / 1e6
        inputs = f"{model.preprocessing.height} x {model.preprocessing.width}"
        print(
            f"{encoder.name}: {size:.1f} MB, {inputs}, {many:.0f} pictures/s in batches of {BATCH}, {one:.1f} ms for"
            f" one"
        )


if __name__ == "__main__":
    main()
