"""Whether replay can be believed: how often its intervals hold the truth on simulated logs, and what it says of a real
log of two policies.

    python benchmarks/replay.py                       1,000 simulated logs
    python benchmarks/replay.py --obp FOLDER          the small Open Bandit set

The Open Bandit set (Saito et al. 2021, ZOZOTOWN) in its small form comes with the PyPI package obp:
``pip download obp==0.4.1 --no-deps`` gives a wheel, ``python -m zipfile -e obp-0.4.1-py3-none-any.whl FOLDER`` unpacks
it; nothing of it is installed.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from lapel.core.estimators import ESTIMATORS, LoggedSlots
from simulated_logs import simulate

CAMPAIGNS = ("all", "men", "women")


def coverage(logs: int, lists: int, explore: float) -> None:
    held = dict.fromkeys(ESTIMATORS, 0)
    width = dict.fromkeys(ESTIMATORS, 0.0)
    error = dict.fromkeys(ESTIMATORS, 0.0)
    for seed in range(logs):
        log, truth = simulate(seed, lists=lists, explore=explore)
        for name, estimate in ESTIMATORS.items():
            found, _ = estimate(log)
            held[name] += found.low <= truth <= found.high
            width[name] += found.half_width / truth / logs
            error[name] += (found.value / truth - 1) / logs
    print(f"{logs:,} logs of {lists:,} lists, {explore:.0%} explored")
    for name in ESTIMATORS:
        told = f"half width {width[name]:.1%} of it   bias {error[name]:+.2%}"
        print(f"  {name:6} holds the truth {held[name] / logs:.1%}   {told}")


def read(path: Path) -> list[tuple[int, int, float, float]]:
    """Item, position 0..2, click and propensity of each impression."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            (int(row["item_id"]), int(row["position"]) - 1, float(row["click"]), float(row["propensity_score"]))
            for row in csv.DictReader(file)
        ]


def slots(rows: list[tuple[int, int, float, float]], wanted: np.ndarray | None) -> LoggedSlots:
    """One slot a list: the set has no lists. The click model is the mean rate of the position."""
    item, position, click, chance = (np.array(column) for column in zip(*rows, strict=True))
    rate = np.bincount(position, click) / np.maximum(np.bincount(position), 1)
    model = rate[position]
    there = chance if wanted is None else wanted[item, position]
    return LoggedSlots(*(each[:, None] for each in (click, chance, there, model, model)))


def open_bandit(folder: Path) -> None:
    """Each policy's click rate from its own log, and from the other's."""
    for campaign in CAMPAIGNS:
        logs = {name: read(next(folder.rglob(f"{name}/{campaign}/{campaign}.csv"))) for name in ("random", "bts")}
        items = 1 + max(row[0] for rows in logs.values() for row in rows)
        policies = {"random": np.full((items, 3), 1.0 / items), "bts": np.zeros((items, 3))}
        for item, position, _, _ in logs["bts"]:  # its propensities drift: how often it showed each is its mean policy
            policies["bts"][item, position] += 1
        policies["bts"] /= policies["bts"].sum(axis=0)
        for target in logs:
            own = [row[2] for row in logs[target]]
            mean, error = np.mean(own), 1.96 * np.std(own) / len(own) ** 0.5
            print(f"{campaign:6} {target:6} clicks {int(sum(own)):3} of {len(own):,}: {mean:.4f} +- {error:.4f}")
            for source, rows in logs.items():
                log = slots(rows, None if source == target else policies[target])
                told = ", ".join(
                    f"{name} {found.value:.4f} [{found.low:.4f}, {found.high:.4f}]"
                    for name, (found, _) in ((name, estimate(log)) for name, estimate in ESTIMATORS.items())
                )
                print(f"         from the log of {source:6} (mean weight {log.weights.mean():.2f}): {told}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=int, default=1000)
    parser.add_argument("--lists", type=int, default=5000)
    parser.add_argument("--explore", type=float, default=0.2)
    parser.add_argument("--obp", type=Path, help="the unpacked wheel of obp")
    chosen = parser.parse_args()
    if chosen.obp:
        open_bandit(chosen.obp)
    else:
        coverage(chosen.logs, chosen.lists, chosen.explore)


if __name__ == "__main__":
    main()
