"""Labels that are wrong on purpose, found again; labels that are hidden on purpose, filled in again.

    python benchmarks/audit.py --store shop [--rate 0.02] [--seeds 3] [--sheet runs/flagged]

The store's own labels stand for the truth: 2 of 100 get another value, drawn as common as the values are or evenly
among all, and ``lapel audit labels`` looks for them. What it flags beside them are the catalogue's own doubtful labels:
they count as false here, however wrong they are; ``--sheet`` writes them as a page to be judged by eye. Every figure is
told with titles as evidence and from pictures alone. For ``fill`` a tenth of the labels is hidden. Nothing is written
to the store.

    python benchmarks/audit.py --store shop --second-runs [--only labels map]

What each question of a whole catalogue costs in a copy of the store: at first, again, and after 20 products came, 20
got another picture and 20 went. User and system time of the whole command, so that a busy machine counts little.
``--only price`` asks a store whose products have prices about one of their pictures.
"""

from __future__ import annotations

import argparse
import csv
import io
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

import lapel
from lapel.indexes.neighbours import nearest_others
from lapel.insight.audit_labels import FILLED, doubted, least_sure
from lapel.insight.label_evidence import NEIGHBOURS, Labels, Shop, likely_values, read_palettes
from lapel.insight.label_tables import label_of
from lapel.insight.product_rows import read_products
from shops import CATALOGUE, machine

HIDDEN = 0.1
QUESTIONS = {
    "duplicates": ["duplicates"],
    "clusters": ["clusters"],
    "map": ["clusters", "--map", "map.html"],
    "labels": ["audit", "labels"],
    "fill": ["audit", "fill"],
    "assortment": ["audit", "assortment"],
    "trends": ["trends"],
    "photos": ["audit", "photos"],
    "price": ["price", "asked.jpg"],
}
KEPT = ("*.npz", "duplicates.sqlite*", "writer.*")  # that a copy begins without
CHANGED = 20


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


def seconds_of(work: Path, *words: str) -> float:
    """User and system time of a command of Lapel, with all that it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "lapel", *words], cwd=work, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def change(work: Path) -> None:
    """Add products, give others another picture, and take others out."""
    with (CATALOGUE / "products.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    chosen = [rows[at] for at in np.random.default_rng(3).permutation(len(rows))[: 3 * CHANGED]]
    added, replaced, gone = (chosen[start : start + CHANGED] for start in range(0, 3 * CHANGED, CHANGED))
    (work / "changed").mkdir()
    with zipfile.ZipFile(CATALOGUE / "images.zip") as images, (work / "changed.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0].keys())
        table.writeheader()
        for row in (*added, *replaced):
            name = next(each for each in images.namelist() if each.endswith(f"{row['id']}.jpg"))
            shown = ImageEnhance.Color(ImageOps.mirror(Image.open(io.BytesIO(images.read(name))).convert("RGB")))
            own = f"new-{row['id']}" if row in added else row["id"]
            shown.enhance(1.5).save(work / "changed" / f"{own}.jpg")
            table.writerow({**row, "id": own})
    seconds_of(work, "add", "changed", "--products", "changed.csv", "--store", "shop")
    seconds_of(work, "remove", *(row["id"] for row in gone), "--store", "shop")


def second_runs(store: Path, names: list[str]) -> None:
    """Print what each question costs at first, again, and after a few changes."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        shutil.copytree(store, work / "shop", ignore=shutil.ignore_patterns(*KEPT))
        with zipfile.ZipFile(CATALOGUE / "images.zip") as images:
            (work / "asked.jpg").write_bytes(images.read(images.namelist()[-1]))
        print(f"{machine()}; processor seconds of the whole command")
        print(f"{'':12}  at first     again   {CHANGED} added, {CHANGED} replaced, {CHANGED} removed")
        told = {name: [seconds_of(work, *QUESTIONS[name], "--store", "shop") for _ in range(2)] for name in names}
        change(work)
        for name in names:
            told[name].append(seconds_of(work, *QUESTIONS[name], "--store", "shop"))
            print(f"{name:12}" + "".join(f"{each:10.1f}" for each in told[name]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=0.02)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--precision", type=float, default=0.95)
    parser.add_argument("--sheet", type=Path, help="Folder for what is flagged of the catalogue as it is.")
    parser.add_argument("--second-runs", action="store_true", help="What a question costs when it is asked again.")
    parser.add_argument(
        "--only", nargs="+", choices=QUESTIONS, default=list(QUESTIONS)[:-1], help="Of the second runs."
    )
    asked = parser.parse_args()
    if asked.second_runs:
        second_runs(asked.store, asked.only)
        return
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
