"""Labels that are wrong on purpose, found again; labels that are hidden on purpose, filled in again.

    python benchmarks/audit.py --store shop [--rate 0.02] [--seeds 3] [--sheet runs/flagged]

The store's own labels stand for the truth: 2 of 100 get another value, drawn as common as the values are or evenly
among all, and ``lapel audit labels`` looks for them. What it flags beside them are the catalogue's own doubtful labels:
they count as false here, however wrong they are; ``--sheet`` writes them as a page to be judged by eye. Every figure is
told with titles as evidence and from pictures alone. For ``fill`` a tenth of the labels is hidden. Nothing is written
to the store.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import lapel
from lapel.indexes.neighbours import nearest_others
from lapel.insight.audit_labels import FILLED, doubted, least_sure
from lapel.insight.label_evidence import NEIGHBOURS, Labels, Shop, likely_values, read_palettes
from lapel.insight.label_tables import label_of
from lapel.insight.product_rows import read_products
from shops import machine

HIDDEN = 0.1


def planted(labels: Labels, rate: float, seed: int, *, evenly: bool) -> tuple[Labels, NDArray[np.bool_]]:
    """The labels with some changed, and which."""
    rng = np.random.default_rng(seed)
    known = np.flatnonzero(labels.given >= 0)
    rows = rng.permutation(known)[: round(rate * len(known))]
    values = np.arange(len(labels.values)) if evenly else labels.given[known]
    given = labels.given.copy()
    for row in rows.tolist():
        while given[row] == labels.given[row]:
            given[row] = rng.choice(values)
    changed = np.zeros(len(given), bool)
    changed[rows] = True
    return replace(labels, given=given), changed


def audit(truth: Labels, shop: Shop, rate: float, seed: int, *, evenly: bool, titles: bool) -> tuple[float, ...]:
    """Precision, recall, share of suggestions that are the truth, and flags beside the planted ones."""
    labels, changed = planted(truth, rate, seed, evenly=evenly)
    found = doubted(labels, likely_values(labels, shop, seed=seed, titles=titles), seed).rows
    hits = [(row, value) for row, value, _ in found if changed[row]]
    right = sum(truth.given[row] == value for row, value in hits)
    return (
        len(hits) / max(1, len(found)),
        len(hits) / max(1, int(changed.sum())),
        right / max(1, len(hits)),
        float(len(found) - len(hits)),
    )


def fill(truth: Labels, shop: Shop, wanted: float, seed: int, *, titles: bool) -> tuple[float, float]:
    """Precision on labels that were hidden, and the share of them that was filled in."""
    rng = np.random.default_rng(seed)
    known = np.flatnonzero(truth.given >= 0)
    hidden = rng.permutation(known)[: round(HIDDEN * len(known))]
    given = truth.given.copy()
    given[hidden] = -1
    labels = replace(truth, given=given)
    likely = likely_values(labels, shop, seed=seed, titles=titles)
    best, sure = likely.argmax(axis=1), likely.max(axis=1)
    there = given >= 0
    threshold, _ = least_sure(sure[there], best[there] == given[there], wanted)
    told = hidden[sure[hidden] >= threshold]
    return float((best[told] == truth.given[told]).mean()) if len(told) else float("nan"), len(told) / len(hidden)


def evidence(titles: bool) -> str:
    return "titles, pictures" if titles else "pictures"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=0.02)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--precision", type=float, default=0.95)
    parser.add_argument("--sheet", type=Path, help="Folder for what is flagged of the catalogue as it is.")
    asked = parser.parse_args()
    with lapel.open_store(asked.store, read_only=True) as store:
        context = store._context
        products = read_products(context, least=2)
        begun = time.process_time()
        nearest, cosines = nearest_others(products.vectors, NEIGHBOURS)
        titles = [product.title for product in products.products]
        shop = Shop(products.vectors, nearest, cosines, titles, read_palettes(context, products.keys.tolist()))
        print(
            f"{machine()}; {len(products):,} products, neighbours {time.process_time() - begun:.0f} processor seconds"
        )
        print(f"wrong on purpose, {asked.rate:.0%}, {asked.seeds} draws: mean (lowest)")
        print(
            f"{'field':10} {'drawn':10} {'evidence':16} precision      recall         suggestion  other flags  seconds"
        )
        for field in ("category", "colour"):
            truth = Labels.of(field, [label_of(product, field) for product in products.products])
            for evenly in (False, True):
                for words in (True, False):
                    begun = time.process_time()
                    runs = [
                        audit(truth, shop, asked.rate, seed, evenly=evenly, titles=words) for seed in range(asked.seeds)
                    ]
                    seconds = (time.process_time() - begun) / asked.seeds
                    mean, low = np.mean(runs, axis=0), np.min(runs, axis=0)
                    how = f"{field:10} {'evenly' if evenly else 'as common':10} {evidence(words):16}"
                    hits = f"{mean[0]:.3f} ({low[0]:.3f})  {mean[1]:.3f} ({low[1]:.3f})  {mean[2]:.3f}"
                    print(f"{how} {hits}       {mean[3]:6.0f}       {seconds:5.1f}", flush=True)
        print(f"hidden, {HIDDEN:.0%}; wanted precision {asked.precision}")
        for field in FILLED:
            truth = Labels.of(field, [label_of(product, field) for product in products.products])
            for words in (True, False):
                runs = [fill(truth, shop, asked.precision, seed, titles=words) for seed in range(asked.seeds)]
                mean, low = np.mean(runs, axis=0), np.min(runs, axis=0)
                share = f"precision {mean[0]:.3f} ({low[0]:.3f}), filled in {mean[1]:.1%} of the hidden"
                print(f"{field:10} {evidence(words):16} {share}", flush=True)
        if asked.sheet:
            found = store.audit_labels()
            print(found.summary(), *store.save_suggestions(found, asked.sheet, "labels"))


if __name__ == "__main__":
    main()
