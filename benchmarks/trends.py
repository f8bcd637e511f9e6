"""Whether trends are found when they begin, and not where there are none; the real catalogue's drift; its forecast.

    python benchmarks/trends.py simulate --store SHOP [--runs 60]
    python benchmarks/trends.py real --store SHOP

Simulated: periods of ``--size`` things are drawn from the looks of the real catalogue, by their true shares; with
lots shares themselves vary from period to period (Dirichlet), as goods come in lots; with seasons looks swing over the
year by up to twice and half. Planted: one look of at least 2 % becomes 1.5, 2 or 3 times as common and stays so.
"""

from __future__ import annotations

import argparse

import numpy as np

import lapel
from lapel.core.shares import moves
from lapel.insight.findings import read_gallery
from lapel.insight.looks import find_looks

LOTS = 400  # of a Dirichlet: shares vary as if only so many things were drawn beside the period's own


def shares_of_looks(store: str) -> np.ndarray:
    with lapel.open_store(store, read_only=True) as shop:
        looks = find_looks(read_gallery(shop._context).vectors)
    counts = np.bincount(looks.of)
    return counts / counts.sum()


def draw(shares, periods: int, size: int, rng, *, lots: bool, seasons: bool, planted=None) -> np.ndarray:
    phase = rng.random(len(shares))
    rows = []
    for period in range(periods):
        now = shares.copy()
        if seasons:
            now *= np.exp(0.7 * np.sin(2 * np.pi * (period / 12 + phase)))
        if planted is not None and period >= planted[0]:
            now[planted[1]] *= planted[2]
        now /= now.sum()
        rows.append(rng.multinomial(size, rng.dirichlet(LOTS * now) if lots else now))
    return np.array(rows)


def simulate(store: str, runs: int, size: int) -> None:
    shares = shares_of_looks(store)
    rng = np.random.default_rng(0)
    common = np.flatnonzero(shares >= 0.02)
    print(f"{len(shares)} looks of the catalogue, months of {size:,} things, {runs} runs of 36 months each")
    for lots in (False, True):
        for seasons in (False, True):
            cycle = 12 if seasons else 1
            alarms = periods = raised = 0
            for _ in range(runs):
                found = moves(draw(shares, 36, size, rng, lots=lots, seasons=seasons), cycle=cycle).direction[12:]
                alarms, periods = alarms + int(np.abs(found).sum()), periods + len(found)
                raised += int(found.any(axis=1).sum())
            a_year = alarms / periods / len(shares) * 12
            text = f"lots {'yes' if lots else 'no '} seasons {'yes' if seasons else 'no '}"
            print(f"{text}: {a_year:.4f} false alarms per look and year; {raised / periods:.1%} of months raise any")
            for times in (1.5, 2.0, 3.0):
                hits = 0
                for _ in range(runs):
                    look = int(rng.choice(common))
                    counts = draw(shares, 26, size, rng, lots=lots, seasons=seasons, planted=(24, look, times))
                    hits += int((moves(counts, cycle=cycle).direction[24:26, look] == 1).any())
                print(f"    a rise to {times} times is found within two periods in {hits / runs:.0%} of {runs} runs")


def real(store: str) -> None:
    with lapel.open_store(store, read_only=True) as shop:
        found = shop.trends(over="year")
    print(found.summary())
    print("products by year:", dict(zip(found.periods, found.totals, strict=True)))
    for dimension in ("gender", "kind", "colour", "look"):
        own = sorted((each for each in found.series if each.dimension == dimension), key=lambda e: -sum(e.counts))[:8]
        for each in own:
            line = " ".join(f"{share:6.1%}" for share in each.shares)
            moved = ", ".join(f"{move} {name}" for name, move in zip(found.periods, each.moves, strict=True) if move)
            print(f"  {dimension:7} {each.value[:34]:34} {line}  {moved}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("simulate", "real"))
    parser.add_argument("--store", required=True)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--size", type=int, default=2000)
    given = parser.parse_args()
    if given.what == "simulate":
        simulate(given.store, given.runs, given.size)
    else:
        real(given.store)
