"""Simulated shoppers over a store's products: who are found again, by several interests, one mean, popularity and
collaborative filtering.

    python benchmarks/shoppers.py --store SHOP [--people 300] [--crowd 3000]

``--crowd 84000`` makes a million events; ``--rivals item-kNN`` leaves out those that then take long.

A shopper has 1 to 5 interests, each a product with its nearest neighbours *by the shop's own labels*: the same kind,
gender and colour, so that the vectors have no say in what is liked. Events are likes of an interest's products; a third
of them is held out. Synthetic, and called so. Recall is checked against ranx where it is installed.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

import lapel
from lapel.catalog.events import LIKE, History
from lapel.engine.recommend.asking import RowQuery, RowSettings
from lapel.engine.recommend.profile import read_profile
from lapel.service import read_row_settings

NOW = 1_795_946_400.0


class Shoppers:
    """People with interests, what they liked and what is held out.

    Args:
        table: The products.
        count: How many people.
        seed: Of all that is drawn.
    """

    def __init__(self, table, count: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        groups = defaultdict(list)
        for place in range(len(table)):
            groups[table.kinds.of[place], table.genders.of[place], table.colours.of[place]].append(place)
        large = [np.array(each) for each in groups.values() if len(each) >= 32]
        sizes = np.array([len(each) for each in large], float)
        self.interests, self.known, self.held = [], [], []
        appeal = rng.pareto(1.5, len(table)) + 1  # some products are liked by many
        for _ in range(count):
            chosen = rng.choice(len(large), int(rng.integers(1, 6)), replace=False, p=sizes**0.5 / (sizes**0.5).sum())
            events = max(int(rng.integers(3, 21)), 2 * len(chosen))
            known, held = [], []
            for at, group in enumerate(chosen):
                inside = large[group]
                each = max(2, events // len(chosen) + (at < events % len(chosen)))
                liked = rng.choice(
                    inside,
                    min(each + each // 2 + 1, len(inside)),
                    replace=False,
                    p=appeal[inside] / appeal[inside].sum(),
                )
                known += liked[:each].tolist()
                held += liked[each:].tolist()
            rng.shuffle(known)
            self.interests.append([set(large[group].tolist()) for group in chosen])
            self.known.append(known)
            self.held.append(held)


def history(table, places) -> History:
    return History(
        tuple(table.ids[place] for place in places),
        np.full(len(places), LIKE),
        NOW - 3600.0 * np.arange(len(places))[::-1],
        frozenset(),
    )


def recall(found, held, k: int = 50) -> float:
    return float(np.mean([len(set(row[:k]) & set(mine)) / len(mine) for row, mine in zip(found, held, strict=True)]))


def ndcg(found, held, k: int = 10) -> float:
    """Normalised discounted cumulative gain, each held-out product being as good as any other."""
    discount = 1 / np.log2(np.arange(2, k + 2))
    told = []
    for row, mine in zip(found, held, strict=True):
        gain = sum(discount[rank] for rank, place in enumerate(row[:k]) if place in set(mine))
        told.append(gain / discount[: len(mine)].sum())
    return float(np.mean(told))


def covered(found, shoppers: Shoppers, k: int = 20) -> float:
    """Share of a person's interests of which the first k hold a product."""
    return float(
        np.mean(
            [
                np.mean([bool(each & set(row[:k])) for each in own])
                for row, own in zip(found, shoppers.interests, strict=True)
            ]
        )
    )


def ours(store, table, people, settings, k: int = 50):
    maker, snapshot = store.rows._recommender, store._context.current()
    asked = RowQuery("for-you", k=k)
    found, took = [], []
    for places in people:
        begun = time.process_time()
        row = maker.row(snapshot, asked, settings, history(table, places), now=NOW)
        took.append(1000 * (time.process_time() - begun))
        found.append([place for place, _ in row.best])
    return found, float(np.median(took))


def mean_vector(table, people, k: int = 50):
    found = []
    for places in people:
        mean = table.vectors[places].mean(axis=0)
        order = np.argsort(-(table.vectors @ mean))[: k + len(places)]
        found.append([place for place in order.tolist() if place not in set(places)][:k])
    return found


def collaborative(table, people, rivals, k: int = 50):
    """Popularity, and implicit's models where the package is there: each learns from everybody's known likes."""
    from scipy.sparse import csr_matrix

    rows = np.repeat(np.arange(len(people)), [len(each) for each in people])
    matrix = csr_matrix((np.ones(len(rows), np.float32), (rows, np.concatenate(people))), (len(people), len(table)))
    counts = np.asarray(matrix.sum(axis=0)).ravel()
    order = np.argsort(-counts, kind="stable")
    found = {
        "popularity": [[place for place in order[: k + 30].tolist() if place not in set(own)][:k] for own in people]
    }
    try:
        from implicit.als import AlternatingLeastSquares
        from implicit.bpr import BayesianPersonalizedRanking
        from implicit.nearest_neighbours import CosineRecommender
    except ImportError:
        print("implicit is not installed: pip install implicit==0.7.3")
        return found
    models = {
        "item-kNN": CosineRecommender(K=100),
        "ALS": AlternatingLeastSquares(factors=64, iterations=15, random_state=0, num_threads=1),
        "BPR": BayesianPersonalizedRanking(factors=64, iterations=60, random_state=0, num_threads=1),
    }
    for name, model in models.items():
        if name not in rivals:
            continue
        model.fit(matrix, show_progress=False)
        ids, _ = model.recommend(np.arange(len(people)), matrix, N=k, filter_already_liked_items=True)
        found[name] = ids.tolist()
    return found


def check_with_ranx(found, held) -> None:
    try:
        from ranx import Qrels, Run, evaluate
    except ImportError:
        print("ranx is not installed: recall is not checked")
        return
    qrels = Qrels({str(at): {str(place): 1 for place in mine} for at, mine in enumerate(held)})
    run = Run(
        {str(at): {str(place): 1.0 / (1 + rank) for rank, place in enumerate(row)} for at, row in enumerate(found)}
    )
    for name, value in (("recall@50", recall(found, held)), ("ndcg@10", ndcg(found, held))):
        theirs = float(evaluate(qrels, run, name))
        print(f"ranx says {name} {theirs:.4f}, this {value:.4f}")
        assert abs(theirs - value) < 1e-6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True)
    parser.add_argument("--people", type=int, default=300, help="who are asked")
    parser.add_argument("--crowd", type=int, default=3000, help="whose events collaborative filtering learns from")
    parser.add_argument("--rivals", nargs="*", default=["item-kNN", "ALS", "BPR"], help="of implicit")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], help="settings of rows, such as per_brand=50 diversity=0")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        own = shutil.copytree(chosen.store, Path(folder) / "shop")
        with lapel.open_store(own) as store:
            measure(store, chosen)


def measure(store, chosen) -> None:
    table = store.rows._recommender._tables.of(store._context.current())
    settings = RowSettings.of({**store.rows.settings.to_json(), **read_row_settings(chosen.set)})
    everybody = Shoppers(table, chosen.crowd, chosen.seed)
    # What the crowd likes is known to all alike: here as events, so that popularity inside a look counts.
    store.record(
        lapel.Event(f"{who}-{at}", f"crowd {who}", table.ids[place], "like", NOW)
        for who, own in enumerate(everybody.known)
        for at, place in enumerate(own)
    )
    begun = time.process_time()
    blend = store.rows.tune()
    print(f"others count {blend.weight:g} by {blend.people} people's last likes: {blend.found}")
    print(f"{sum(map(len, everybody.known)):,} events; that took {time.process_time() - begun:.1f} s of processor")
    asked, held = everybody.known[: chosen.people], everybody.held[: chosen.people]
    interests = [len(read_profile(table, history(table, each)).interests) for each in asked]
    true = [len(each) for each in everybody.interests[: chosen.people]]
    print(f"{len(table):,} products, {chosen.people} people of {chosen.crowd:,}")
    print(f"{np.mean(interests):.1f} interests found, {np.mean(true):.1f} drawn")
    everybody.interests = everybody.interests[: chosen.people]
    found, took = ours(store, table, asked, settings)
    results = {"several interests": found, "mean vector": mean_vector(table, asked)}
    results |= {
        name: rows[: chosen.people] for name, rows in collaborative(table, everybody.known, chosen.rivals).items()
    }
    base = recall(found, held)
    check_with_ranx(found, held)
    print(f"several interests: {took:.1f} ms of processor a row, the index look-ups included")
    print("                     recall@50  ours / it  interests covered in 20  NDCG@10  ours / it")
    best = ndcg(found, held)
    for name, rows in results.items():
        value, gain = recall(rows, held), ndcg(rows, held)
        told = f"{base / max(value, 1e-9):10.2f} {covered(rows, everybody):24.3f}"
        print(f"  {name:18} {value:9.3f} {told} {gain:8.3f} {best / max(gain, 1e-9):10.2f}")
    for taps in (1, 3, 10):
        some = [each[-taps:] for each in asked]
        rows, _ = ours(store, table, some, settings)
        mean = recall(mean_vector(table, some), held)
        told = f"mean vector {mean:.3f}, covered {covered(rows, everybody):.3f}"
        print(f"  after {taps:2} taps: recall@50 {recall(rows, held):.3f}, {told}")


if __name__ == "__main__":
    main()
