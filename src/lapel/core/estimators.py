"""What another policy would have earned, from lists that one policy showed: inverse propensity scores, self-normalised,
and doubly robust, each with its 95 % interval.

A list is a row of slots; what is clicked depends on the product, the slot and who looks, not on the other slots (the
item-position model; Li et al. 2018, arXiv 1804.10488). Each list counts once, so intervals hold whatever the slots of a
list have in common. Dudík et al. 2011, arXiv 1103.4601; Swaminathan and Joachims 2015.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import InputError

CONFIDENCE_Z = 1.959964  # of a normal distribution, 95 % inside
Slots = NDArray[np.float64]  # (lists, slots)


@dataclass(frozen=True)
class Estimate:
    """A mean a list, with its interval.

    Attributes:
        value: The estimate.
        low: Lower end of the 95 % interval,
        high: and upper end.
    """

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of the interval's width."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class LoggedSlots:
    """What a log says of n lists of up to k slots, and what a policy would have done there.

    Attributes:
        rewards: (n, k) 0 or 1; 0 where a list has no such slot.
        logged: (n, k) how likely the product that was shown was to stand there, above 0; 1 where there is no slot.
        wanted: (n, k) how likely the policy in question shows it there; 0 where there is no slot.
        predicted: (n, k) what a model of clicks expects of the product that was shown.
        expected: (n, k) what it expects of what the policy would show.

    Raises:
        InputError: arrays of different shapes, or a product that was shown with probability 0.
    """

    rewards: Slots
    logged: Slots
    wanted: Slots
    predicted: Slots
    expected: Slots

    def __post_init__(self) -> None:
        shapes = {each.shape for each in (self.rewards, self.logged, self.wanted, self.predicted, self.expected)}
        if len(shapes) != 1 or self.rewards.ndim != 2:
            raise InputError(f"A log's columns are (lists, slots) of one shape; found {sorted(shapes)}.")
        if not (self.logged > 0).all():
            raise InputError("A log names a product that was shown with probability 0. Its probabilities are wrong.")

    @property
    def weights(self) -> Slots:
        """(n, k) by how much more likely the policy shows each product than it was."""
        return np.asarray(self.wanted / self.logged)


def ips(log: LoggedSlots) -> tuple[Estimate, NDArray[np.float64]]:
    """Inverse propensity scores, and (n,) what each list says."""
    each = (log.weights * log.rewards).sum(axis=1)
    return _mean(each), each


def snips(log: LoggedSlots) -> tuple[Estimate, NDArray[np.float64]]:
    """Self-normalised: as if the weights of each slot were on average what they must be. A little biased, less
    scattered."""
    weights, slots = log.weights, (log.logged < 1) | (log.wanted > 0) | (log.rewards > 0)
    there = slots.sum(axis=0) / max(len(weights), 1)
    mean = weights.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = np.where(mean > 0, (weights * log.rewards).mean(axis=0) / mean, 0.0)
        influence = np.where(mean > 0, weights * (log.rewards - rate) / mean, 0.0)
    value = float((rate * there).sum())
    each = value + (influence * there).sum(axis=1)
    return _mean(each), each


def doubly_robust(log: LoggedSlots) -> tuple[Estimate, NDArray[np.float64]]:
    """A model of clicks, put right by what the log says where it errs."""
    each = (log.expected + log.weights * (log.rewards - log.predicted)).sum(axis=1)
    return _mean(each), each


ESTIMATORS = {"ips": ips, "snips": snips, "dr": doubly_robust}


def difference(new: NDArray[np.float64], old: NDArray[np.float64]) -> Estimate:
    """By how much one policy earns more a list, from what the same lists say of both, (n,) each."""
    return _mean(new - old)


def lists_needed(found: Estimate, lists: int, tolerance: float) -> int:
    """How many more lists make an interval's half width a tolerance; 0 where they are enough."""
    if tolerance <= 0 or not lists:
        return 0
    return max(0, math.ceil(lists * (found.half_width / tolerance) ** 2) - lists)


def _mean(each: NDArray[np.float64]) -> Estimate:
    n = len(each)
    value = float(each.mean()) if n else 0.0
    if n < 2:
        return Estimate(value, -math.inf, math.inf)
    error = CONFIDENCE_Z * float(each.std(ddof=1)) / math.sqrt(n)
    return Estimate(value, value - error, value + error)
