"""Learns what can be read off a model's vectors in words: a linear discriminant for each attribute.

Vectors of a catalogue with their attributes go in, :class:`lapel.encoders.probes.Probe` come out, with a threshold for
each kind of picture so that what is told is right often enough. Weights are learned on products that the network was
trained with; thresholds on others, as vectors of its training pictures are better than those of new ones.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from lapel.core.vectors import Vectors
from lapel.encoders.probes import DOMAINS, NEVER, Probe

PRECISION = 0.8  # of what is told; a probe that cannot reach it stays silent,
MARGIN = 0.05  # and that much more is asked of the pictures that thresholds are set on,
SURENESS = 3.0  # with a share that is so many deviations above it: of few pictures nearly all have to be right
MIN_VALUE = 20  # products of a value, below which it is left out
SHRINKAGE = 0.3  # of the mean variance that is added to each direction's
NOTHING = ""  # the value of what an attribute does not ask about; it is never told

# What titles say of patterns and cuts, first match first. Titles are the only place of the catalogue that says so.
TITLE_WORDS: dict[str, tuple[tuple[str, str], ...]] = {
    "pattern": (
        ("striped", r"\bstrip(e|ed|es|er)\b"),
        ("checked", r"\bcheck(s|ed)?\b"),
        ("printed", r"\b(printed|print|graphic|floral)\b"),
        ("solid", r"\bsolid\b"),
    ),
    "neck": (
        ("polo collar", r"\bpolo (t-?shirt|tshirt|tee|neck)|\bpolo$"),
        ("round neck", r"\b(round|crew) neck\b"),
        ("V neck", r"\bv[ -]neck\b"),
    ),
    "sleeves": (
        ("sleeveless", r"\bsleeveless\b"),
        ("long sleeves", r"\b(full|long)[ -]sleeved?s?\b"),
        ("short sleeves", r"\b(half|short)[ -]sleeved?s?\b"),
    ),
}


def title_values(titles: Sequence[str], name: str) -> list[str | None]:
    """What each title says of an attribute of :data:`TITLE_WORDS`; None where it says nothing."""
    known = [(value, re.compile(words, re.IGNORECASE)) for value, words in TITLE_WORDS[name]]
    return [next((value for value, words in known if words.search(title)), None) for title in titles]


def fit_probe(name: str, vectors: Vectors, values: Sequence[str | None]) -> Probe | None:
    """A linear discriminant: one Gaussian a value, with a covariance that all of them share (Fisher 1936), shrunk
    towards a sphere. It is as right as a softmax regression on vectors that were trained to lie by kind, in a hundredth
    of the time.

    Args:
        name: Of the attribute.
        vectors: (n, dim) unit rows.
        values: n values; None where it is not known, such rows are left out.

    Returns:
        Without thresholds, so that it tells nothing yet. None where fewer than two values have enough products.
    """
    counts = Counter(value for value in values if value is not None)
    kept = tuple(sorted(value for value, count in counts.items() if count >= MIN_VALUE))
    if len(kept) < 2:
        return None
    place = {value: at for at, value in enumerate(kept)}
    rows = [row for row, value in enumerate(values) if value in place]
    labels = np.array([place[str(values[row])] for row in rows])
    given = vectors[rows].astype(np.float64)
    sums = np.zeros((len(kept), given.shape[1]))
    np.add.at(sums, labels, given)
    sizes = np.bincount(labels).astype(np.float64)
    means = sums / sizes[:, None]
    within = (given.T @ given - (means * sizes[:, None]).T @ means) / len(given)
    within += SHRINKAGE * np.trace(within) / len(within) * np.eye(len(within))
    weights = np.linalg.solve(within, means.T).T
    bias = np.log(sizes / sizes.sum()) - (weights * means).sum(axis=1) / 2
    return Probe(name, kept, weights.astype(np.float32), bias.astype(np.float32))


def tempered(probe: Probe, vectors: Vectors, values: Sequence[str | None]) -> Probe:
    """A probe that is as sure as it is right on other pictures: its logits are divided by one number (temperature
    scaling, Guo et al. 2017)."""
    place = {value: at for at, value in enumerate(probe.values)}
    rows = [row for row, value in enumerate(values) if value in place]
    if not rows:
        return probe
    labels = np.array([place[str(values[row])] for row in rows])
    logits = (vectors[rows] @ probe.weights.T + probe.bias).astype(np.float64)

    def loss(inverse: float) -> float:
        scaled = logits * inverse
        return float((logsumexp(scaled, axis=1) - scaled[np.arange(len(labels)), labels]).mean())

    inverse = np.float32(minimize_scalar(loss, bounds=(0.02, 2.0), method="bounded").x)
    return replace(probe, weights=probe.weights * inverse, bias=probe.bias * inverse)


def with_threshold(probe: Probe, domain: str, vectors: Vectors, values: Sequence[frozenset[str] | None]) -> Probe:
    """A probe that tells a value only where enough of those as sure are right.

    Args:
        probe: The probe.
        domain: One of :data:`lapel.encoders.probes.DOMAINS`.
        vectors: (n, dim) unit rows that it has not learned from.
        values: The right ones of each; None where that is not known.
    """
    sure, right = _judged(probe, vectors, values)
    threshold = _threshold(sure, right)
    told = sure >= threshold
    return replace(
        probe,
        thresholds={**probe.thresholds, domain: threshold},
        precision={**probe.precision, domain: float(right[told].mean()) if told.any() else float("nan")},
        told={**probe.told, domain: float(told.mean()) if len(told) else 0.0},
    )


def measured(
    probe: Probe, domain: str, vectors: Vectors, values: Sequence[frozenset[str] | None]
) -> tuple[float, float, int]:
    """Of other pictures: the precision of what is told, the share of pictures that something is told of, and how many
    pictures there were."""
    sure, right = _judged(probe, vectors, values)
    told = sure >= probe.thresholds.get(domain, NEVER)
    return (float(right[told].mean()) if told.any() else float("nan")), float(told.mean()), len(told)


def _judged(
    probe: Probe, vectors: Vectors, values: Sequence[frozenset[str] | None]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Of each picture whose value is known: how sure the likeliest value is, and whether it is right; pictures whose
    likeliest is none of the attribute's count as told nothing."""
    rows = [row for row, value in enumerate(values) if value is not None]
    likely = probe.probabilities(vectors[rows])
    best = likely.argmax(axis=1)
    told = [probe.values[at] for at in best.tolist()]
    right = [value in (values[row] or ()) for row, value in zip(rows, told, strict=True)]
    sure = np.where(np.array(told) == NOTHING, -1.0, likely.max(axis=1))
    return sure, np.array(right, bool)


def _threshold(sure: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """The lowest probability from which on enough are right, and not by chance: the lower end of Wilson's interval is
    enough, too, which asks more of few; :data:`NEVER` where there is none."""
    order = np.argsort(-sure, kind="stable")
    told = np.arange(1, len(order) + 1)
    share = np.cumsum(right[order]) / told
    spread = SURENESS * np.sqrt(share * (1 - share) / told + (SURENESS / (2 * told)) ** 2)
    lowest = (share + SURENESS**2 / (2 * told) - spread) / (1 + SURENESS**2 / told)
    falling = sure[order]
    last = np.diff(falling, append=-np.inf) < 0  # those that are as sure are told together
    enough = np.flatnonzero((share >= PRECISION + MARGIN) & (lowest >= PRECISION) & last & (falling >= 0))
    return float(falling[enough[-1]]) if len(enough) else NEVER


__all__ = ["DOMAINS", "TITLE_WORDS", "fit_probe", "measured", "tempered", "title_values", "with_threshold"]
