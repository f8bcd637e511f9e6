"""How likely a hit is what was asked for: from cosines to probabilities and verdicts.

A cosine of .6 is much for a phone photo and little for a picture on white, and more among handbags than among shirts.
So each hit gets eight figures beside its cosine - how far the nearest are, whether query and hit look of one kind,
section, colour and gender to the model's probes, and whether the neighbours agree - and a logistic regression of them,
straightened by isotonic regression (Zadrozny and Elkan 2002), says how likely it is

- *of the same kind*: the last level of its category, such as Shirts;
- *of the same style*: of the same section, for the same gender, in the same colour;
- *the same product*.

Pictures on white and photos of people have figures of their own. Learned on products and photos that no network was
trained with, on such whose kind was taken out of the catalogue, and on pictures without fashion, see
:mod:`lapel.insight.calibrate`; ``calibration.json`` beside the model's network keeps it. It is no part of the
fingerprint. A store may have its own, see :mod:`lapel.insight.own_calibration`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import ModelError
from lapel.core.queries import CLOSENESS
from lapel.core.text import fold, reason_of
from lapel.core.types import Verdict
from lapel.core.vectors import Vectors
from lapel.encoders.probes import DOMAINS, Probes

FILE = "calibration.json"
FORMAT = 2
NEIGHBOURS = 20  # nearest photos that are evidence
AGREEING = ("kind", "section", "colour", "gender")  # probes by which query and hit are compared
FEATURES = ("cosine", "nearest", "mean of ten", *AGREEING, "neighbours")
ABOUT_QUERIES = (1, 2)  # figures that are the same for all hits of a query, and no probe's: how near the nearest are
FASHION_FEATURES = ("nearest", "mean of ten", "strength", "greatest strength")  # of a query
EVIDENCE_SCALE = 0.1  # of cosine: how fast neighbours lose weight as evidence below the nearest
FLOOR = 0.01  # added to probabilities before their logarithm
LIKELY = 0.5  # from which on a product or a style is said to be the same
CONFIDENCE = 0.9  # of the set of kinds

Features = NDArray[np.float64]  # (hits, FEATURES), or (queries, FASHION_FEATURES)
Strength = tuple[float, float]  # of a query's image, see lapel.core.queries.UnderstoodPart
Knots = tuple[NDArray[np.float64], NDArray[np.float64]]  # rising logits and their probabilities


@dataclass(frozen=True)
class Neighbourhood:
    """A query among what is nearest to it.

    Attributes:
        vector: (dim,) float32, the query's.
        scores: (n,) float32 cosines of the nearest photos, the highest first.
        vectors: (n, dim) float32, theirs.
    """

    vector: NDArray[np.float32]
    scores: NDArray[np.float32]
    vectors: Vectors

    def evidence(self, probes: Probes) -> NDArray[np.float64]:
        """(kinds,) what the nearest are, by the model's probe of kinds; nearer ones count more. Sums to 1."""
        weights = np.exp((self.scores - self.scores[:1]) / EVIDENCE_SCALE)
        found: NDArray[np.float64] = weights @ probes["kind"].probabilities(self.vectors) / weights.sum()
        return found

    def kinds(self, probes: Probes) -> NDArray[np.float64]:
        """(kinds,) how likely the query is of each kind: half by itself, half by its neighbours. Sums to 1."""
        own = probes["kind"].probabilities(self.vector[None])[0]
        return np.asarray((own + self.evidence(probes)) / 2, np.float64)


def hit_features(probes: Probes, around: Neighbourhood, scores: NDArray[np.float32], vectors: Vectors) -> Features:
    """What probabilities are computed from.

    Args:
        probes: The model's; what it has no probe for is 0.
        around: The query.
        scores: (m,) float32 cosines of the hits.
        vectors: (m, dim) float32, theirs.

    Returns:
        (m, 8) float64 in the order of :data:`FEATURES`.
    """
    found = np.zeros((len(scores), len(FEATURES)))
    found[:, 0] = scores
    found[:, 1] = around.scores[0]
    found[:, 2] = around.scores[:10].mean()
    for column, name in enumerate(AGREEING, 3):
        if name in probes:
            of = probes[name].probabilities
            found[:, column] = np.log(of(vectors) @ of(around.vector[None])[0] + FLOOR)
    if "kind" in probes:
        found[:, -1] = np.log(probes["kind"].probabilities(vectors) @ around.evidence(probes) + FLOOR)
    return found


def fashion_features(first: Features, strengths: NDArray[np.floating]) -> Features:
    """What tells whether queries show anything of a shop: how near the nearest are, and how strongly the network
    answers to the images; both are low for what it has never seen.

    Args:
        first: (n, 8) figures of each query's first hit.
        strengths: (n, 2), see :class:`lapel.core.queries.UnderstoodPart`.

    Returns:
        (n, 4) in the order of :data:`FASHION_FEATURES`.
    """
    return np.hstack([first[:, ABOUT_QUERIES], np.log(np.asarray(strengths, np.float64) + FLOOR)])


_folded = lru_cache(maxsize=1024)(fold)  # a shop has few categories, and each hit is asked about several times


@dataclass(frozen=True)
class Scale:
    """How one verdict's probability follows from the figures of a hit.

    Attributes:
        weights: (8,) of the figures, or (4,) of those of a query.
        bias: Added to their sum: both are the logit.
        knots: What logit means what probability; straight between them.
        by_category: The same for categories that had enough pairs, by the folded name of their last level.
    """

    weights: NDArray[np.float64]
    bias: float
    knots: Knots
    by_category: Mapping[str, Knots] = field(default_factory=dict)

    def logits(self, features: Features) -> NDArray[np.float64]:
        """(m,) of (m, 8) figures."""
        return np.asarray(features @ self.weights + self.bias, np.float64)

    def probabilities(self, features: Features, categories: Sequence[str] = ()) -> NDArray[np.float64]:
        """(m,) 0..1; ``categories`` are the last levels of the hits' categories."""
        logits = self.logits(features)
        found = np.interp(logits, *self.knots)
        own = [self.by_category.get(_folded(category)) for category in categories] if self.by_category else ()
        for row, knots in enumerate(own):
            if knots is not None:
                found[row] = np.interp(logits[row], *knots)
        return found


@dataclass(frozen=True)
class Calibration:
    """What a model's cosines mean.

    Attributes:
        scales: By domain, see :data:`lapel.encoders.probes.DOMAINS`, and verdict.
        least: By domain, the probability of the same kind below which a hit is nothing close.
        kind_floor: By domain, what a kind's likelihood is at least to be in the set of kinds that holds the right one
            for 90 of 100 queries (conformal prediction, Vovk et al. 2005).
        fashion: How likely a query shows anything of a shop at all, by its figures of :data:`FASHION_FEATURES`; None
            where that was not learned.
        fashion_least: By domain, below which all its hits are nothing close.
        strength: The usual strength of an image: what is taken of queries that are none.
        details: How it was learned and what was measured: free-form.
    """

    scales: Mapping[str, Mapping[Verdict, Scale]]
    least: Mapping[str, float]
    kind_floor: Mapping[str, float]
    fashion: Scale | None = None
    fashion_least: Mapping[str, float] = field(default_factory=dict)
    strength: Strength = (1.0, 1.0)
    details: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def judge(
        self, features: Features, categories: Sequence[str], *, on_white: bool, strength: Strength | None = None
    ) -> list[tuple[Verdict, dict[Verdict, float]]]:
        """The verdict on each hit, and how likely each verdict holds; of a query that shows nothing of a shop, at
        most as likely as that it does."""
        domain = DOMAINS[not on_white]
        columns = {verdict: scale.probabilities(features, categories) for verdict, scale in self.scales[domain].items()}
        fashion = self.fashion_of(features, strength)
        strange = self._is_strange(fashion, domain)
        most = fashion if strange else 1.0
        likely = [
            {verdict: min(float(column[row]), most) for verdict, column in columns.items()}
            for row in range(len(features))
        ]
        return [(Verdict.NOTHING_CLOSE if strange else self._verdict(each, domain), each) for each in likely]

    def is_strange(self, features: Features, strength: Strength | None, *, on_white: bool) -> bool:
        """Whether the query of some hits is taken to show nothing of a shop."""
        return self._is_strange(self.fashion_of(features, strength), DOMAINS[not on_white])

    def _is_strange(self, fashion: float, domain: str) -> bool:
        return fashion < self.fashion_least.get(domain, 0.0)

    def fashion_of(self, features: Features, strength: Strength | None) -> float:
        """How likely the query of some hits shows anything of a shop, 0..1; 1 where that was not learned."""
        if self.fashion is None or not len(features):
            return 1.0
        given = np.array([strength or self.strength])
        return float(self.fashion.probabilities(fashion_features(features[:1], given))[0])

    def _verdict(self, likely: Mapping[Verdict, float], domain: str) -> Verdict:
        for verdict in (Verdict.SAME_PRODUCT, Verdict.SAME_STYLE):
            if likely.get(verdict, 0.0) >= LIKELY:
                return verdict
        close = likely[Verdict.SAME_KIND] >= self.least[domain]
        return Verdict.SAME_KIND if close else Verdict.NOTHING_CLOSE

    def kinds(self, probes: Probes, around: Neighbourhood, *, on_white: bool) -> tuple[tuple[str, float], ...]:
        """The kinds that a query may be of, the likeliest first: the right one is among them for 90 of 100."""
        floor = self.kind_floor.get(DOMAINS[not on_white])
        if floor is None or "kind" not in probes:
            return ()
        likely = around.kinds(probes)
        return tuple(
            (probes["kind"].values[at], round(float(likely[at]), 4))
            for at in np.argsort(-likely, kind="stable").tolist()
            if likely[at] >= floor
        )

    def to_json(self) -> dict[str, Any]:
        """The form that is kept."""
        return {
            "format": FORMAT,
            "features": list(FEATURES),
            "scales": {
                domain: {verdict.value: _scale_json(scale) for verdict, scale in scales.items()}
                for domain, scales in self.scales.items()
            },
            "least": dict(self.least),
            "kind_floor": dict(self.kind_floor),
            "fashion": None if self.fashion is None else _scale_json(self.fashion),
            "fashion_least": dict(self.fashion_least),
            "strength": list(self.strength),
            "details": dict(self.details),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], name: str) -> Calibration:
        """Read the form that is kept; ``name`` is what it is called in messages.

        Raises:
            ModelError: it is of another format or misses something.
        """
        try:
            if data["format"] not in (1, FORMAT) or tuple(data["features"]) != FEATURES:
                raise ModelError(f"{name} has format {data['format']}; this Lapel reads {FORMAT}. Calibrate again.")
            data = _brought_up(data)
            scales = {
                domain: {Verdict(verdict): _read_scale(scale) for verdict, scale in of_domain.items()}
                for domain, of_domain in data["scales"].items()
            }
            least = {domain: float(value) for domain, value in data["least"].items()}
            floors = {domain: float(value) for domain, value in data["kind_floor"].items()}
            if not all(Verdict.SAME_KIND in scales[domain] and domain in least for domain in DOMAINS):
                raise ValueError("it lacks the probability of the same kind")
            known = data["fashion"]
            fashion = None if known is None else _read_scale(known, len(FASHION_FEATURES))
            one, other = map(float, data["strength"])
            refused = {domain: float(value) for domain, value in data["fashion_least"].items()}
            return cls(scales, least, floors, fashion, refused, (one, other), data.get("details", {}))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"{name} cannot be read: {reason_of(error)}. Calibrate again.") from error


def _brought_up(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Format 1 as format 2: it knew nothing of the strength of queries."""
    if data["format"] == FORMAT:
        return data
    known = data["fashion"]
    about = known and {**known, "weights": [*np.array(known["weights"])[list(ABOUT_QUERIES)], 0.0, 0.0]}
    return {**data, "fashion": about, "strength": (1.0, 1.0)}


def _scale_json(scale: Scale) -> dict[str, Any]:
    def rounded(knots: Knots) -> list[list[float]]:
        return [np.round(values, 4).tolist() for values in knots]

    return {
        "weights": np.round(scale.weights, 5).tolist(),
        "bias": round(scale.bias, 5),
        "knots": rounded(scale.knots),
        "by_category": {name: rounded(knots) for name, knots in scale.by_category.items()},
    }


def _read_scale(data: Mapping[str, Any], count: int = len(FEATURES)) -> Scale:
    def knots(values: Sequence[Sequence[float]]) -> Knots:
        logits, likely = (np.array(each, np.float64) for each in values)
        if logits.shape != likely.shape or not len(logits) or (np.diff(logits) < 0).any():
            raise ValueError("knots are rising logits with a probability each")
        return logits, likely

    weights = np.array(data["weights"], np.float64)
    if weights.shape != (count,):
        raise ValueError(f"a scale has {count} weights")
    by_category = {name: knots(values) for name, values in data.get("by_category", {}).items()}
    return Scale(weights, float(data["bias"]), knots(data["knots"]), by_category)


def read_calibration(folder: Path) -> Calibration | None:
    """The calibration in a model folder; None where it has none.

    Raises:
        ModelError: it cannot be read.
    """
    path = folder / FILE
    try:
        return Calibration.from_json(json.loads(path.read_text(encoding="utf-8")), str(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {reason_of(error)}. Copy the model folder again.") from error


def save_calibration(calibration: Calibration, folder: Path) -> None:
    """Write it into a model folder."""
    text = json.dumps(calibration.to_json(), indent=1)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")


def reaches(verdict: Verdict | None, least: Verdict) -> bool:
    """Whether a verdict is at least as close as another; *nothing close* is reached by all."""
    if least not in CLOSENESS:
        return True
    return verdict in CLOSENESS and CLOSENESS.index(verdict) <= CLOSENESS.index(least)
