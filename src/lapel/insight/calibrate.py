"""Learns what a model's cosines mean, see :mod:`lapel.engine.calibration`.

Figures of hits and whether each was right go in, a :class:`lapel.engine.calibration.Scale` comes out: a logistic
regression (L2 penalty), whose logits isotonic regression (pool adjacent violators) turns into probabilities that hold
on pairs which the regression may not have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit

from lapel.core.errors import InputError
from lapel.core.text import fold
from lapel.engine.calibration import CONFIDENCE, Features, Knots, Scale

PENALTY = 1.0  # of the squared weights, in sums over all pairs
MIN_PAIRS = 2000  # of a category, before it gets its own curve,
MIN_WRONG = 150  # with so many pairs of either outcome
FALSE_ALARMS = 0.04  # share of known queries whose best hit may be called nothing close
PRIOR = 10.0  # pairs of either outcome's neighbourhood that the ends of a curve are drawn towards
BINS = 15


@dataclass(frozen=True)
class Pairs:
    """Hits and whether they were right.

    Attributes:
        features: (n, 12), see :data:`lapel.engine.calibration.FEATURES`.
        right: (n,) bool.
        weight: What each counts.
    """

    features: Features
    right: NDArray[np.bool_]
    weight: float = 1.0


def joined(parts: Sequence[Pairs]) -> Pairs:
    """One of several; each pair counts once."""
    return Pairs(np.concatenate([p.features for p in parts]), np.concatenate([p.right for p in parts]))


def fit_scale(learned: Sequence[Pairs], straightened: Pairs, categories: Sequence[str] = ()) -> Scale:
    """One verdict's scale.

    Args:
        learned: What the regression learns from.
        straightened: Pairs as they come in searches, by which logits become probabilities.
        categories: The last level of the category of each of those, for curves of their own where there are enough.

    Raises:
        InputError: all pairs are right, or none.
    """
    features = np.concatenate([each.features for each in learned])
    right = np.concatenate([each.right for each in learned])
    weights = np.concatenate([np.full(len(each.right), each.weight) for each in learned])
    if right.all() or not right.any():
        raise InputError(
            f"A calibration needs pairs that are right and pairs that are not; found {int(right.sum())} of"
            f" {len(right)} right. Label more products."
        )
    slope, bias = _logistic_regression(features, right, weights)
    logits = straightened.features @ slope + bias
    names = np.array([fold(each) for each in categories]) if len(categories) else np.empty(0, str)
    own = {}
    for name in np.unique(names[names != ""]).tolist():
        rows = names == name
        wrong = min(int(straightened.right[rows].sum()), int((~straightened.right[rows]).sum()))
        if rows.sum() >= MIN_PAIRS and wrong >= MIN_WRONG:
            own[name] = isotonic_curve(logits[rows], straightened.right[rows])
    return Scale(slope, bias, isotonic_curve(logits, straightened.right), own)


def _logistic_regression(
    features: Features, right: NDArray[np.bool_], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """(12,) weights and the bias."""
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-9
    scaled = np.hstack([(features - mean) / spread, np.ones((len(features), 1))])
    signs = np.where(right, 1.0, -1.0)

    def loss(table: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margins = signs * (scaled @ table)
        slopes = -weights * signs * expit(-margins)
        cost = float((weights * np.logaddexp(0, -margins)).sum()) + PENALTY / 2 * float((table[:-1] ** 2).sum())
        return cost, slopes @ scaled + PENALTY * np.append(table[:-1], 0)

    table = minimize(loss, np.zeros(scaled.shape[1]), jac=True, method="L-BFGS-B").x
    slope = table[:-1] / spread
    return slope, float(table[-1] - slope @ mean)


def isotonic_curve(logits: NDArray[np.float64], right: NDArray[np.bool_]) -> Knots:
    """Rising logits with rising probabilities; steps become slopes between the middles of their blocks.

    Source: Zadrozny and Elkan 2002, "Transforming classifier scores into accurate multiclass probability estimates".
    """
    order = np.argsort(logits, kind="stable")
    found = isotonic_regression(right[order].astype(np.float64))
    starts = np.flatnonzero(np.diff(found.x, prepend=-1.0))
    ends = np.append(starts[1:], len(order))
    counts, shares = ends - starts, found.x[starts]
    middles = np.add.reduceat(logits[order], starts) / counts
    # A block of a few pairs that are all right is not certain: the ends are drawn in as if more had been seen.
    mean = float(right.mean())
    likely = (shares * counts + mean * PRIOR / 10) / (counts + PRIOR / 10)
    return middles, np.maximum.accumulate(likely.clip(0.0005, 0.9995))


def fit_fashion(known: Features, strange: Features) -> Scale:
    """How likely queries show anything of a shop.

    Args:
        known: (n, 4) figures of pictures of products, see :data:`lapel.engine.calibration.FASHION_FEATURES`,
        strange: and of pictures without fashion; both count the same in sum.
    """
    times = max(1, round(len(known) / len(strange)))
    features = np.concatenate([known, np.repeat(strange, times, axis=0)])
    pairs = Pairs(features, np.arange(len(features)) < len(known))
    return fit_scale([pairs], pairs)


def usual_strength(known: Features) -> tuple[float, float]:
    """The medians of (n, 4) figures of pictures of products, as :class:`lapel.core.queries.UnderstoodPart` has them."""
    one, other = np.exp(np.median(known[:, 2:], axis=0)).tolist()
    return round(one, 4), round(other, 4)


def least_likely(best: NDArray[np.float64]) -> float:
    """The probability below which a hit is called nothing close.

    Args:
        best: (n,) the highest probability among the first ten hits of each query whose kind the catalogue has.
    """
    return float(np.quantile(best, FALSE_ALARMS)) - 1e-6


def kind_floor(likely: NDArray[np.float64]) -> float:
    """What a kind's likelihood is at least to be told, so that the right one is for 90 of 100 (split conformal).

    Args:
        likely: (n,) that of the right kind of each of n queries.
    """
    place = int(np.floor((len(likely) + 1) * (1 - CONFIDENCE))) - 1
    return float(np.sort(likely)[max(place, 0)])


def calibration_error(likely: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS) -> float:
    """The expected calibration error: the mean distance, over bins of equal width, of how likely hits were said to be
    from how many were right (Naeini et al. 2015)."""
    at = np.minimum((likely * bins).astype(int), bins - 1)
    counts = np.bincount(at, minlength=bins)
    told = np.bincount(at, likely, minlength=bins)
    true = np.bincount(at, right, minlength=bins)
    return float(np.abs(told - true).sum() / max(1, counts.sum()))
