"""How well and how fast uploads are checked against banks: ``lapel watch``.

    python benchmarks/watch.py --store SHOP [--bank 1000] [--others 20000]
    python benchmarks/watch.py --hashes 1000000

SHOP is a store of the catalogue. A bank of its products is watched for; copies of them (as ``benchmarks/duplicates.py``
makes them) and other products' own pictures are the uploads. ``--cache DIR`` keeps the encoded copies.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from duplicates import BASIC, Shop
from lapel.catalog.watching import BankPicture
from lapel.encoders.segmenter import has_white_background
from lapel.indexes.neighbours import HashIndex
from lapel.insight.picture_views import PictureViews, views_of
from lapel.insight.watch import BankSearch

BLOCK = 64


def measure(shop: Shop, size: int, others: int) -> dict[str, Any]:
    """Recall of the copies, and precision among copies and others."""
    rng = np.random.default_rng(11)
    bank = rng.choice(np.flatnonzero(~shop.learned), size, replace=False)
    made = shop.make("copies", bank, BASIC, 12)
    rest = np.setdiff1d(np.flatnonzero(~shop.learned), bank)
    rest = rng.choice(rest, min(others, len(rest)), replace=False)
    squares, ratios = shop.squares_of(bank)
    hashed = [b"".join(each.tobytes() for each in shop.looks.of(at)) for at in bank]
    pictures = [
        BankPicture(
            "bank", f"{place}", shop.products[int(at)].id, "", shop.columns.vectors[at].tobytes(),
            hashed[place], squares[place].tobytes(), ratios[place], b"",
        )
        for place, at in enumerate(bank)
    ]  # fmt: skip
    search = BankSearch(pictures, shop.columns.vectors)
    same = {shop.columns.hashes[at]: place for place, at in enumerate(bank)}
    scores, right, hit = [], [], np.zeros(size, bool)
    for start in range(0, size, BLOCK):
        rows, places, likely, _ = search.chances(made.views.of_pictures(start, start + BLOCK))
        _collect(scores, right, rows, likely, places == rows + start)
        hit[rows[(places == rows + start) & (likely >= 0.8)] + start] = True
    for start in range(0, len(rest), BLOCK):
        part = rest[start : start + BLOCK]
        rows, _, likely, _ = search.chances(uploads(shop, part))
        kept = np.array([shop.columns.hashes[part[row]] not in same for row in rows], bool)
        _collect(scores, right, rows[kept], likely[kept], np.zeros(int(kept.sum()), bool))
    sure = np.array(scores) >= 0.8
    order = np.argsort(-np.array(scores), kind="stable")
    good = np.cumsum(np.array(right)[order])
    last = int(np.flatnonzero(good / np.arange(1, len(good) + 1) >= 0.95)[-1])
    return {
        "bank": size,
        "others": len(rest),
        "recall at .8": round(float(hit.mean()), 4),
        "precision at .8": round(float(np.array(right)[sure].mean()), 4),
        "recall at precision .95": round(float(good[last]) / size, 4),
        "from which chance on": round(float(np.array(scores)[order[last]]), 3),
        "recall by kind": {kind: round(float(hit[made.kinds == kind].mean()), 3) for kind in BASIC},
    }


def uploads(shop: Shop, places: Any) -> PictureViews:
    """The shop's own pictures as uploads: as it keeps them, and the products of those that are not on white."""
    squares, ratios = shop.squares_of(places)
    every = np.arange(len(places))
    whole = PictureViews(every, squares, ratios, shop.looks.of(places), shop.columns.vectors[places])
    images = [shop.stored(int(place)) for place in places]
    scenes = np.array([at for at in every if not has_white_background(images[at])], np.int64)
    if not len(scenes):
        return whole
    views = views_of(shop.context.encoder, [images[at] for at in scenes])
    return whole.beside(views.products._replace(of=scenes[views.products.of]))


def _collect(scores: list[float], right: list[bool], rows: Any, likely: Any, good: Any) -> None:
    """The surest match of each upload."""
    for row in np.unique(rows):
        mine = np.flatnonzero(rows == row)
        best = mine[np.argmax(likely[mine])]
        scores.append(float(likely[best]))
        right.append(bool(good[best]))


def look_ups(count: int) -> dict[str, Any]:
    """Look-ups a second among random hashes, of hashes that differ in up to 31 bits from one of them."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 256, (count, 32), np.uint8)
    index = HashIndex(hashes)
    chosen = rng.choice(count, 5000, replace=False)
    asked = hashes[chosen].copy()
    for row in asked:
        for bit in rng.choice(256, int(rng.integers(0, 32)), replace=False):
            row[bit // 8] ^= np.uint8(1 << (bit % 8))
    start, cpu = time.perf_counter(), time.process_time()
    _, found = index.nearest(asked, 1)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {
        "hashes": count,
        "look-ups a second": round(len(asked) / seconds),
        "look-ups a CPU second": round(len(asked) / cpu),
        "found": round(float((found[:, 0] == chosen).mean()), 4),
    }


def main() -> None:
    """Run what is asked for, and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--bank", type=int, default=1000)
    parser.add_argument("--others", type=int, default=20_000)
    parser.add_argument("--hashes", type=int)
    asked = parser.parse_args()
    if asked.hashes:
        print(json.dumps(look_ups(asked.hashes), indent=1))
    if asked.store is not None:
        if asked.cache is not None:
            asked.cache.mkdir(parents=True, exist_ok=True)
        print(json.dumps(measure(Shop(asked.store, asked.cache), asked.bank, asked.others), indent=1))


if __name__ == "__main__":
    main()
