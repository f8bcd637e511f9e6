"""What goes with a product: the parts of an outfit it lacks, colours in harmony, like prices, for the same people, in
the same season. Where baskets tell of parts, they count beside the category tree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapel.engine.recommend import harmonies
from lapel.engine.recommend.baskets import ENOUGH_BASKETS, PRIOR_BASKETS, Baskets
from lapel.engine.recommend.harmonies import Harmonies
from lapel.engine.recommend.parts import together, wanted
from lapel.engine.recommend.table import Places, ProductTable

NEUTRAL_CHROMA = 18.0  # CIELAB, below which a colour goes with all: white, grey, black, beige, navy nearly
PART = 0.6
GENDER_NEUTRAL = ("", "unisex")
LEARNED_PAIRS = 20_000  # of those bought together, from which the weights of agreements are learned
DRAWS = 8
PRICE_SCALE = 1.2  # log of the ratio of prices at which agreement has fallen to 1 / e


@dataclass(frozen=True)
class Agreement:
    """How well products go with a seed, each (m,) 0..1.

    Attributes:
        part: How much an outfit with the seed wants what each is; 0 where it cannot be worn with it.
        harmony: Of colours.
        price: Of prices of one currency; 0.5 where they cannot be compared.
        season: Whether both have the same season.
        gender: Whether they are for the same people.
        looks: What colours, price and season come to together, without a unit.
    """

    part: NDArray[np.float64]
    harmony: NDArray[np.float64]
    price: NDArray[np.float64]
    season: NDArray[np.bool_]
    gender: NDArray[np.bool_]
    looks: NDArray[np.float64]

    @property
    def score(self) -> NDArray[np.float64]:
        """(m,) all of it together; -inf where it cannot be worn with the seed."""
        return np.where(self.gender & (self.part > 0), PART * self.part + self.looks, -np.inf)


class Complements:
    """What goes with what, among the products of one table.

    Args:
        table: The products.
        baskets: What is bought together.

    Attributes:
        table, baskets: Those.
    """

    def __init__(self, table: ProductTable, baskets: Baskets) -> None:
        self.table = table
        self.baskets = baskets
        self._parts = part_wishes(table.parts.values, baskets)
        self._harmonies = harmonies.untaught(len(table.colours.values))
        self._harmonies = self._learned()

    def agreement(self, seed: int, others: Places) -> Agreement:
        """How well others (m,) go with a seed."""
        table = self.table
        part = self._parts[table.parts.of[seed], table.parts.of[others]]
        part = np.where(table.kinds.of[others] == table.kinds.of[seed], 0.0, part)
        agree = self._agreements(seed, others)
        looks = self._harmonies.score(agree, int(table.colours.of[seed]), table.colours.of[others])
        colours, price, _ = agree.T
        season = (table.seasons.of[others] == table.seasons.of[seed]) & (table.seasons.of[seed] > 0)
        return Agreement(part, colours, price, season, gender_fits(table, seed, others), looks)

    def _agreements(self, seed: int | Places, others: Places) -> NDArray[np.float64]:
        """(m, 3) of colours, price and season, each 0..1, of others (m,) with a seed, or each with its own (m,)."""
        table = self.table
        season = _same_or_unknown(table.seasons.of, seed, others).astype(float)
        return np.column_stack([harmony(table.lab[seed], table.lab[others]), self._prices(seed, others), season])

    def _learned(self) -> Harmonies:
        """What agreements count, by the baskets: each pair that was bought together beside one with another product of
        the same part for the same people."""
        table, baskets = self.table, self.baskets
        first, second = baskets.pairs[:LEARNED_PAIRS].T
        apart = self._parts[table.parts.of[first], table.parts.of[second]] > 0
        first, second, counts = first[apart], second[apart], baskets.together[:LEARNED_PAIRS][apart]
        if baskets.count < ENOUGH_BASKETS or not len(first):
            return self._harmonies
        seeds, others = np.repeat(first, 2), np.repeat(second, 2)
        others[1::2] = self._others_of_part(first, second)
        return harmonies.learn(
            self._agreements(seeds, others),
            np.column_stack([table.colours.of[seeds], table.colours.of[others]]),
            np.tile([True, False], len(first)),
            np.repeat(counts.astype(float), 2),
            len(table.colours.values),
        )

    def _others_of_part(self, first: Places, second: Places) -> Places:
        """(p,) for each pair another product of the second's part, for the same people where eight draws find one."""
        table, rng = self.table, np.random.default_rng(0)
        drawn = second.copy()
        for part in np.unique(table.parts.of[second]).tolist():
            inside, pairs = np.flatnonzero(table.parts.of == part), np.flatnonzero(table.parts.of[second] == part)
            wrong = np.ones(len(pairs), bool)
            for _ in range(DRAWS):
                drawn[pairs[wrong]] = inside[rng.integers(len(inside), size=int(wrong.sum()))]
                wrong = ~gender_fits(table, first[pairs], drawn[pairs])
        return drawn

    def _prices(self, seed: int | Places, others: Places) -> NDArray[np.float64]:
        """Agreement of prices relative to what the parts usually cost: a belt beside a coat is cheaper than it."""
        table = self.table
        comparable = table.currencies.of[others] == table.currencies.of[seed]
        level = self._levels()
        own = np.log(np.maximum(table.prices[seed], 1e-6)) - level[table.parts.of[seed]]
        with np.errstate(invalid="ignore"):
            theirs = np.log(np.maximum(table.prices[others], 1e-6)) - level[table.parts.of[others]]
            close = np.exp(-np.abs(theirs - own) / PRICE_SCALE)
        return np.where(comparable & ~np.isnan(close), close, 0.5)

    def _levels(self) -> NDArray[np.float64]:
        """(parts,) the median logarithm of the prices of each part."""
        if not hasattr(self, "_known_levels"):
            table = self.table
            there = ~np.isnan(table.prices)
            logs = np.log(np.maximum(table.prices, 1e-6))
            self._known_levels = np.array(
                [
                    np.median(logs[there & (table.parts.of == part)])
                    if (there & (table.parts.of == part)).any()
                    else 0.0
                    for part in range(len(table.parts.values))
                ]
            )
        return self._known_levels


def part_wishes(parts: tuple[str, ...], baskets: Baskets) -> NDArray[np.float64]:
    """(parts, parts) how much an outfit with the first wants the second, 0..1: the category tree's word, and that of
    the baskets as far as there are any."""
    prior = np.array(
        [[wanted(other) if together(part, other) else 0.0 for other in parts] for part in parts], float
    ).reshape(len(parts), len(parts))
    if not baskets.count:
        return prior
    counts = np.array(baskets.parts, float)
    np.fill_diagonal(counts, 0.0)
    counts[prior == 0.0] = 0.0
    seen = counts.sum(axis=1, keepdims=True)
    most = counts.max(axis=1, keepdims=True)
    told = counts / np.maximum(most, 1.0)
    trust = seen / (seen + PRIOR_BASKETS)
    return np.asarray((1 - trust) * prior + trust * told)


def harmony(seed: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    """(m,) 0..1: how well colours (m, 3) in CIELAB go with one (3,), or each with its own (m, 3).

    Neutral colours go with all; of two that are not, those of like hue go well, opposite hues fairly, those between
    clash (Matsuda's harmonic templates, as Cohen-Or et al. 2006 use them, in two steps). Two colours that differ
    neither in hue nor in lightness are a little dull. 0.5 where a colour is unknown.
    """
    chroma, own = np.hypot(others[:, 1], others[:, 2]), np.hypot(seed[..., 1], seed[..., 2])
    with np.errstate(invalid="ignore"):
        turn = np.degrees(np.arctan2(others[:, 2], others[:, 1]) - np.arctan2(seed[..., 2], seed[..., 1]))
        apart = np.abs((turn + 180) % 360 - 180)  # 0..180
        alike = np.exp(-((apart / 30) ** 2))
        opposite = 0.7 * np.exp(-(((180 - apart) / 30) ** 2))
        coloured = np.maximum(alike, opposite)
        neutral = np.clip(1 - np.minimum(chroma, own) / NEUTRAL_CHROMA, 0, 1)
        told = neutral * 0.9 + (1 - neutral) * coloured
    return np.where(np.isnan(told), 0.5, told).astype(float)


def gender_fits(table: ProductTable, seed: int | Places, others: Places) -> NDArray[np.bool_]:
    """(m,) whether others are for whom the seed is, each for its own of (m,), or for everybody."""
    neutral, of = neutral_genders(table), table.genders.of
    return np.asarray((of[others] == of[seed]) | neutral[of[others]] | neutral[of[seed]])


def neutral_genders(table: ProductTable) -> NDArray[np.bool_]:
    """(genders,) which of the table's genders are for everybody."""
    return np.array([value.casefold() in GENDER_NEUTRAL for value in table.genders.values])


def _same_or_unknown(of: NDArray[np.int32], seed: int | Places, others: Places) -> NDArray[np.bool_]:
    return np.asarray((of[others] == of[seed]) | (of[others] == 0) | (of[seed] == 0))
