"""The measures of retrieval, their intervals, and the shape of an embedding: arrays in, one number a query or one
estimate out.

Everywhere ``relevant`` is (q, depth) bool, where ``relevant[i, r]`` says whether query i's answer at rank r + 1 is
relevant, and ``total`` is (q,) int, how many relevant items there were to find, at least one a query: a query with none
says nothing about the engine, so it is left out before and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import InputError

Relevant = NDArray[np.bool_]  # (q, depth)
Totals = NDArray[np.int64]  # (q,)
PerQuery = NDArray[np.float64]  # (q,)

RESAMPLES = 1000  # bootstrap draws: the ends of a 95 % interval then vary by about 3 % of its width from seed to seed
_CELLS = 4_000_000  # resampled values held at once: 32 MB


def recall_at(relevant: Relevant, k: int) -> PerQuery:
    """1 for a query with at least one relevant item among the first k, else 0: what metric learning calls Recall@K.

    ``recall@k = [sum over r <= k of relevant(r) >= 1]``
    """
    hit: PerQuery = np.asarray(_first(relevant, k).any(axis=1), np.float64)
    return hit


def precision_at(relevant: Relevant, k: int) -> PerQuery:
    """The share of the first k that is relevant. Fewer than k answers count as wrong ones.

    ``precision@k = (1 / k) * sum over r <= k of relevant(r)``
    """
    found: PerQuery = _first(relevant, k).sum(axis=1) / k
    return found


def average_precision(relevant: Relevant, total: Totals, k: int) -> PerQuery:
    """The mean of the precisions at the ranks of relevant items, as if the first k were all that is seen.

    ``ap@k = (1 / min(total, k)) * sum over r <= k of relevant(r) * precision@r``

    It is 1 when the first min(total, k) answers are all relevant.

    Raises:
        InputError: a query without a relevant item, or with fewer in total than were found.
    """
    seen = _first(relevant, k)
    found = seen.cumsum(axis=1)
    _check_totals(total, found[:, -1])
    precision = found / np.arange(1, k + 1)
    mean: PerQuery = np.where(seen, precision, 0.0).sum(axis=1) / np.minimum(total, k)
    return mean


def reciprocal_rank(relevant: Relevant, k: int) -> PerQuery:
    """1 / rank of the first relevant item, or 0 when there is none among the first k.

    ``rr@k = max over r <= k of relevant(r) / r``
    """
    best: PerQuery = (_first(relevant, k) / np.arange(1, k + 1)).max(axis=1)
    return best


def _first(relevant: Relevant, k: int) -> Relevant:
    if relevant.ndim != 2 or relevant.dtype != np.bool_:
        raise InputError(f"Right and wrong answers are (queries, depth) bool; found {relevant.shape} {relevant.dtype}.")
    if not 1 <= k <= relevant.shape[1]:
        raise InputError(f"k must be 1 to {relevant.shape[1]}, the depth of the answers; found {k}.")
    return relevant[:, :k]


def _check_totals(total: Totals, found: NDArray[Any]) -> None:
    if total.shape != found.shape:
        raise InputError(f"One total a query is needed; found {total.shape} for {len(found)} queries.")
    if (total < 1).any():
        raise InputError(
            f"{int((total < 1).sum())} queries have no relevant item. Leave them out of the mean, and count them."
        )
    if (total < found).any():
        raise InputError("A query found more relevant items than there are: its totals are of another rule or gallery.")


@dataclass(frozen=True)
class Estimate:
    """A mean over queries and how far it can be trusted.

    Attributes:
        value: The mean.
        low: Lower end of the 95 % interval.
        high: Upper end.
        count: Over how many queries.
    """

    value: float
    low: float
    high: float
    count: int

    def __post_init__(self) -> None:
        if self.count < 1 or not self.low <= self.value <= self.high:
            raise InputError(
                f"An estimate lies inside its interval and has a query; found {self.low} {self.value} {self.high}."
            )

    def to_json(self) -> dict[str, float]:
        """Value and interval, rounded to what 10^6 queries could tell apart."""
        return {"value": round(self.value, 6), "low": round(self.low, 6), "high": round(self.high, 6)}


def proportion(hits: PerQuery) -> Estimate:
    """The mean of zeros and ones with Wilson's 95 % interval, which stays honest near 0 and 1 and for few queries.

    Raises:
        InputError: no values, or others than 0 and 1.
    """
    _check_values(hits)
    if not np.isin(hits, (0, 1)).all():
        raise InputError("A proportion is the mean of zeros and ones. Use mean_of for other values.")
    n, share = len(hits), float(hits.mean())
    from scipy.stats import binomtest  # takes a second to import: not for those who only show a report

    ends = binomtest(int(hits.sum()), n).proportion_ci(0.95, method="wilson")
    # Both ends belong around the share; rounding could put an end of all-zeros or all-ones 1e-17 past it.
    return Estimate(share, min(float(ends.low), share), max(float(ends.high), share), n)


def mean_of(values: PerQuery, *, seed: int = 0) -> Estimate:
    """The mean with a 95 % bootstrap interval: the 2.5 and 97.5 percentiles of the means of 1,000 samples with
    replacement.

    The same values and seed give the same interval. For a handful of queries it is narrower than the truth; the count
    tells.

    Raises:
        InputError: no values, or a NaN among them.
    """
    _check_values(values)
    n, value = len(values), float(values.mean())
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // n)
    means = [
        values[rng.integers(0, n, (min(step, RESAMPLES - done), n))].mean(axis=1) for done in range(0, RESAMPLES, step)
    ]
    low, high = np.percentile(np.concatenate(means), (2.5, 97.5))
    # A percentile interval need not hold the mean when one value of many differs; an interval that does not would
    # mislead.
    return Estimate(value, min(float(low), value), max(float(high), value), n)


def _check_values(values: PerQuery) -> None:
    if values.ndim != 1 or not len(values):
        raise InputError(f"A mean needs one value a query and at least one query; found shape {values.shape}.")
    if not np.isfinite(values).all():
        raise InputError(f"{int((~np.isfinite(values)).sum())} of {len(values)} values are not finite.")


def effective_rank(rows: NDArray[np.floating[Any]]) -> float:
    """How many dimensions an embedding really uses: 1 when all rows lie on one line, the width when all directions
    count alike.

    ``exp(-sum of p log p)`` with ``p = singular values / their sum`` (Roy and Vetterli, "The effective rank: a measure
    of effective dimensionality", 2007). The rows are taken as they are: take their mean out first to leave out the
    direction that all share.

    Args:
        rows: (n, dim), not all zero.

    Raises:
        InputError: another shape, not finite, or nothing but zeros.
    """
    if rows.ndim != 2 or not rows.size or not np.isfinite(rows).all():
        raise InputError(f"An effective rank needs finite (n, dim) rows; found shape {rows.shape}.")
    wide = rows if len(rows) >= rows.shape[1] else rows.T
    gram = np.zeros((wide.shape[1], wide.shape[1]))
    for at in range(
        0, len(wide), 8192
    ):  # in float64, a part at a time: the singular values are roots of its eigenvalues
        part = wide[at : at + 8192].astype(np.float64)
        gram += part.T @ part
    singular = np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0, None))
    if not singular.sum():
        raise InputError("An effective rank needs a row that is not zero.")
    share = singular / singular.sum()
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


@dataclass(frozen=True)
class Hubness:
    """How evenly n items appear among each other's k nearest (Radovanovic et al., "Hubs in space", 2010).

    Attributes:
        most: How often the most frequent one appears; k is the mean.
        never: The share that appears in no list at all: what nobody will ever be shown.
        skewness: Third standardised moment of how often each appears; 0 when even, above 1 where hubs push others out.
    """

    most: int
    never: float
    skewness: float


def hubness(neighbours: NDArray[np.integer[Any]], count: int) -> Hubness:
    """Count how often each item appears in the others' lists of nearest.

    Args:
        neighbours: (q, k) int, positions 0 .. count - 1 of each item's k nearest, itself left out.
        count: How many items there are.

    Raises:
        InputError: another shape, or positions outside.
    """
    if neighbours.ndim != 2 or not neighbours.size or neighbours.min() < 0 or neighbours.max() >= count:
        raise InputError(f"Hubness needs (q, k) positions from 0 to {count - 1}; found shape {neighbours.shape}.")
    times = np.bincount(neighbours.ravel(), minlength=count)
    from scipy.stats import skew

    skewness = float(skew(times)) if times.std() else 0.0
    return Hubness(int(times.max()), float((times == 0).mean()), skewness)
