"""How much of a say others get, by what the shop's own events say: of some people the last products are held out, rows
are made of the rest with each weight, and what they find decides.

So many people are asked that it is clear: two hundred at a time, and a weight that finds less than the best one beyond
chance is out (a race, Maron and Moore 1994). A weight above 0 is taken only where rows with it find more than rows
without; of those that cannot be told apart it is the highest. What is popular is counted without the held-out products
too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.catalog.events import History, Interactions
from lapel.core.estimators import Estimate, difference
from lapel.engine.recommend import rows
from lapel.engine.recommend.choosing import Guard, choose
from lapel.engine.recommend.collaborative import ENOUGH_PEOPLE, ItemItem, person_products
from lapel.engine.recommend.looks import scaled_popularity
from lapel.engine.recommend.profile import read_profile
from lapel.engine.recommend.table import Places

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0)
PEOPLE = 200  # who are asked at once
MAX_PEOPLE = 1_000  # who are asked until it is clear
PRODUCTS = 3  # that each of them did something with, at least: the last third is held out
LOOKED_AT = 50  # products of a row
NO_CHANGE = Estimate(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Blend:
    """What was found.

    Attributes:
        weight: What others should count, in units of cosine; 0 where they do not help, or too few people are known.
        people: Who were asked.
        found: By weight the share of held-out products among the first 50, of those who were asked with it.
        change: By how much the weight finds more than 0 does.
    """

    weight: float = 0.0
    people: int = 0
    found: tuple[tuple[float, float], ...] = ()
    change: Estimate = NO_CHANGE

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        change = {"value": self.change.value, "low": self.change.low, "high": self.change.high}
        return {"weight": self.weight, "people": self.people, "found": [list(each) for each in self.found], **change}


def choose_blend(
    shop: rows.Shop, interactions: Interactions, *, stopped: Callable[[], bool] = lambda: False
) -> Blend | None:
    """Try each weight on people drawn from all, the same ones for the same events.

    Args:
        shop: What rows are made from.
        interactions: All events.
        stopped: Asked before each person; where it says so the answer is None.
    """
    people, items = person_products(shop.table, interactions)
    numbers, begins, counts = np.unique(people, return_index=True, return_counts=True)
    able = np.flatnonzero(counts >= PRODUCTS)
    if len(able) < ENOUGH_PEOPLE:
        return Blend()
    ends = begins + counts
    held = [
        (int(numbers[at]), items[ends[at] - counts[at] // PRODUCTS : ends[at]])
        for at in np.random.default_rng(0).permutation(able)[:MAX_PEOPLE].tolist()
    ]
    alive, found = list(range(len(WEIGHTS))), np.full((len(held), len(WEIGHTS)), np.nan)
    best, asked = 0, 0
    while len(alive) > 1 and asked < len(held):
        some = held[asked : asked + PEOPLE]
        gains = _gains(shop, interactions, some, tuple(WEIGHTS[at] for at in alive), stopped)
        if gains is None:
            return None
        found[asked : asked + len(some), alive] = gains
        asked += len(some)
        best = max(alive, key=lambda at: float(found[:asked, at].mean()))
        alive = [at for at in alive if at == best or difference(found[:asked, best], found[:asked, at]).low <= 0]
    chosen, change = 0, NO_CHANGE
    # In the trial a third less is known of people: of weights that are alike the highest serves best.
    for at in alive:
        both = found[~np.isnan(found[:, [0, at]]).any(axis=1)]
        if (more := difference(both[:, at], both[:, 0])).low > 0:
            chosen, change = at, more
    told = tuple((weight, round(float(np.nanmean(each)), 4)) for weight, each in zip(WEIGHTS, found.T, strict=True))
    return Blend(WEIGHTS[chosen], asked, told, change)


def _gains(
    shop: rows.Shop,
    interactions: Interactions,
    held: list[tuple[int, Places]],
    weights: tuple[float, ...],
    stopped: Callable[[], bool],
) -> NDArray[np.float64] | None:
    """(people, weights) the share of what is held out of each that a row with each weight finds; None when stopped."""
    table = shop.table
    unknown = np.array([(person, place) for person, missing in held for place in missing.tolist()], np.int64)
    others = ItemItem(table, interactions, without=unknown)
    places = np.array([table.places.get(each, -1) for each in interactions.products], np.int64)[interactions.items]
    known = ~np.isin(interactions.persons * len(table) + places, unknown[:, 0] * len(table) + unknown[:, 1])
    known &= places >= 0
    popularity = scaled_popularity(np.bincount(places[known], interactions.weights[known], len(table)).astype(float))
    shop = replace(shop, names=lambda places: [""] * len(places), popularity=popularity)
    gains = np.zeros((len(held), len(weights)))
    for row, (person, missing) in enumerate(held):
        if stopped():
            return None
        mine = slice(*np.searchsorted(interactions.persons, (person, person + 1)).tolist())
        at = np.flatnonzero(known[mine]) + mine.start
        products = tuple(table.ids[place] for place in places[at].tolist())
        history = History(products, interactions.kinds[at], interactions.at[at], frozenset())
        gains[row] = _found(shop, others, history, missing, weights)
    return gains


def _remembered(near: rows.Near) -> rows.Near:
    """The same look-ups, each made once."""
    known: dict[bytes, list[Places]] = {}

    def asked(vectors: NDArray[np.float32], count: int) -> list[Places]:
        key = vectors.tobytes()
        if key not in known:
            known[key] = near(vectors, count)
        return known[key]

    return asked


def _found(
    shop: rows.Shop, others: ItemItem, history: History, missing: Places, weights: tuple[float, ...]
) -> NDArray[np.float64]:
    """(weights,) the share of the missing products that a row with each weight has."""
    profile = read_profile(shop.table, history)
    scores = others.scores(profile.liked, profile.weights)
    told = []
    shop = replace(shop, near=_remembered(shop.near))
    for weight in weights:
        made = rows.for_you(replace(shop, others=scores if weight else None, weight=weight), profile)
        guard = Guard.over(shop.table, refused=[profile.refused], per_brand=shop.settings.per_brand)
        row = choose(guard, [each.strand for each in made], LOOKED_AT, diversity=shop.settings.diversity)
        told.append(np.isin(missing, [place for place, _ in row]).mean())
    return np.array(told)
