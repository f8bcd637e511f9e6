"""How much each agreement of two products counts, learned from what is bought together.

Pairs of products in a basket are told apart from the same products with another one of the same part, by a logistic
regression on the agreements and on how often the two colours are in a basket together. Without baskets the weights are
those that the category tree's word was given; with more baskets the learned ones count more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FEATURES = ("harmony", "price", "season", "colours")
PRIOR = (0.35, 0.15, 0.15, 0.0)  # in units of an outfit's wish for a part
PRIOR_PAIRS = 300.0  # pairs that the prior counts for
COLOUR_PRIOR = 5.0  # pairs by which a pair of colours is pulled to what chance gives
RIDGE = 1.0
ROUNDS = 8  # of Newton's method
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Harmonies:
    """What agreements count.

    Attributes:
        weights: (4,) of :data:`FEATURES`.
        colours: (c, c) log of how much more often than by chance two named colours are bought together.
    """

    weights: Matrix
    colours: Matrix

    def score(self, agreements: Matrix, colour: int, others: NDArray[np.int32]) -> Matrix:
        """(m,) what (m, 3) agreements and the colours of a seed and of (m,) others come to."""
        return np.asarray(agreements @ self.weights[:3] + self.weights[3] * self.colours[colour, others])


def untaught(colours: int) -> Harmonies:
    """What agreements count while no basket tells otherwise."""
    return Harmonies(np.array(PRIOR), np.zeros((colours, colours)))


def learn(
    agreements: Matrix, pairs: NDArray[np.int32], bought: NDArray[np.bool_], counts: Matrix, colours: int
) -> Harmonies:
    """What agreements count by what is bought together.

    Args:
        agreements: (p, 3) of pairs: colours in harmony, price, season.
        pairs: (p, 2) their named colours, by number; 0 where there is none.
        bought: (p,) whether the pair is in a basket, or is one with another product of the same part.
        counts: (p,) how often.
        colours: How many named colours there are.
    """
    # What is said of colours by the one half is judged on the other, or every rare pair would look telling.
    half = np.arange(len(pairs)) % 4 < 2  # a pair that was bought and one that was not come in turns
    told = np.zeros(len(pairs))
    for one in (True, False):
        table = _colour_table(pairs[half == one], bought[half == one], counts[half == one], colours)
        told[half != one] = table[pairs[half != one, 0], pairs[half != one, 1]]
    features = np.column_stack([agreements, told])
    found = np.maximum(_regress(features, bought, counts), 0.0)
    scale = sum(PRIOR) / max(float(found[:3].sum() + found[3]), 1e-9)
    pairs_bought = float(counts[bought].sum())
    trust = pairs_bought / (pairs_bought + PRIOR_PAIRS)
    weights = (1 - trust) * np.array(PRIOR) + trust * scale * found
    return Harmonies(weights, _colour_table(pairs, bought, counts, colours))


def _colour_table(pairs: NDArray[np.int32], bought: NDArray[np.bool_], counts: Matrix, colours: int) -> Matrix:
    """(c, c) log-odds of two colours, symmetric; 0 where nothing is known."""
    seen = np.zeros((2, colours, colours))
    np.add.at(seen, (bought.astype(int), pairs[:, 0], pairs[:, 1]), counts)
    seen = seen + seen.transpose(0, 2, 1)
    share = seen[1].sum() / max(float(seen[0].sum()), 1e-9)
    told = np.log((seen[1] + COLOUR_PRIOR) / (seen[0] * share + COLOUR_PRIOR))
    told[0], told[:, 0] = 0.0, 0.0
    return np.asarray(told)


def _regress(features: Matrix, bought: NDArray[np.bool_], counts: Matrix) -> Matrix:
    """(f,) the weights of a logistic regression, without its constant."""
    x = np.column_stack([features, np.ones(len(features))])
    ridge = RIDGE * np.diag([*[1.0] * features.shape[1], 0.0])
    weights = np.zeros(x.shape[1])
    for _ in range(ROUNDS):
        likely = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        slope = x.T @ (counts * (bought - likely)) - ridge @ weights
        curve = (x * (counts * likely * (1 - likely))[:, None]).T @ x + ridge + 1e-9 * np.eye(len(weights))
        weights += np.linalg.solve(curve, slope)
    return weights[:-1]
