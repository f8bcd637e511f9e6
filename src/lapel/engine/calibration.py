"""How likely a hit is what was asked for: from cosines to probabilities and verdicts.

A cosine of .6 is much for a phone photo and little for a picture on white, and more among handbags than among shirts.
So each hit gets figures beside its cosine - how far the nearest are, whether query and hit look of one kind, section,
colour and gender to the model's probes, and how many of the nearest are what the hit is, by the shop's own labels - and
a logistic regression of them, straightened by isotonic regression (Zadrozny and Elkan 2002), says how likely it is

- *of the same kind*: the last level of its category, such as Shirts;
- *of the same style*: of the same section, for the same gender, in the same colour;
- *the same product*.

Pictures on white and photos of people have figures of their own. Learned on products and photos that no network was
trained with, on such whose kind was taken out of the catalogue, and on pictures without fashion, see
:mod:`lapel.insight.calibrate`; ``calibration.json`` beside the model's network keeps it. It is no part of the
fingerprint. A store may have its own, see :mod:`lapel.insight.own_calibration`.

Words name what they mean, so a hit of words is what they ask for - of the kind, and of the colour and for those that
they name - or it is not, see :func:`word_features`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import ModelError
from lapel.core.queries import CLOSENESS
from lapel.core.text import fold, reason_of
from lapel.core.types import Product, Verdict
from lapel.core.vectors import Vectors
from lapel.encoders.probes import DOMAINS, Probes

FILE = "calibration.json"
FORMAT = 3
NEIGHBOURS = 20  # nearest photos that are evidence
ANSWER_HITS = 10  # first hits by which an answer is judged
AGREEING = ("kind", "section", "colour", "gender")  # probes by which query and hit are compared, and labels
VOTES = tuple(f"{name} of the nearest" for name in AGREEING)
FEATURES = ("cosine", "nearest", "mean of ten", *AGREEING, "neighbours", *VOTES)
BY_PROBES = 8  # figures of formats 1 and 2, which knew no labels
INSTEAD = (7, 4, 5, 6)  # figures by probes that stand in where the shop says nothing of a hit
ABOUT_QUERIES = (1, 2)  # figures that are the same for all hits of a query, and no probe's: how near the nearest are
FASHION_FEATURES = ("nearest", "mean of ten", "strength", "greatest strength")  # of a query
LESS_DENSE = 0.1  # of cosine: how much further products lie from each other in a shop that counts as smaller
OUTSTANDING = 0.15  # of cosine: how far the nearest stands out before the ten nearest, at most, in such a shop
WORD_FEATURES = (
    "cosine",
    *(f"{what} of {name}" for name in ("kind", "colour") for what in ("cosine with the label", "what it lacks")),
    *(f"relative {name}" for name in AGREEING),
    "words held",
    "all words held",
    "density",
    "words read",
    "kind of the nearest",
)
WORD_FIGURES = len(WORD_FEATURES) * (len(WORD_FEATURES) + 3) // 2  # with the products of every two of them
LACKING = 0.03  # of cosine, added to what a label lacks before its logarithm
MANY_WORDS = 3  # of a query, from which on a product that holds all of them in its texts is what was asked for
EVIDENCE_SCALE = 0.1  # of cosine: how fast neighbours lose weight as evidence below the nearest
FLOOR = 0.01  # added to probabilities before their logarithm
LIKELY = 0.5  # from which on a product or a style is said to be the same
CONFIDENCE = 0.9  # of the set of kinds

Density = tuple[float, float]
Features = NDArray[np.float64]  # (hits, FEATURES), or (queries, FASHION_FEATURES)
Labels = NDArray[np.int64]  # (photos, 4)
Likelihoods = Mapping[str, NDArray[np.float32]]  # by probe (n, values), how likely each of n photos is of each value
Strengths = NDArray[np.floating]  # (queries, 2) of their images, see lapel.core.queries.UnderstoodPart
Knots = tuple[NDArray[np.float64], NDArray[np.float64]]  # rising logits and their probabilities


@dataclass(frozen=True)
class Neighbourhood:
    """A query among what is nearest to it.

    Attributes:
        vector: (dim,) float32, the query's.
        scores: (n,) float32 cosines of the nearest photos, the highest first.
        vectors: (n, dim) float32, theirs.
        labels: (n, 4) int, a number for each different kind, section, colour and gender, see :func:`labels_of`; 0 where
            the shop does not say.
    """

    vector: NDArray[np.float32]
    scores: NDArray[np.float32]
    vectors: Vectors
    labels: Labels

    def kinds(self, probes: Probes) -> NDArray[np.float64]:
        """(kinds,) how likely the query is of each kind: half by itself, half by what its neighbours are, of which
        nearer ones count more. Sums to 1."""
        found = HitFeatures.read(probes, [self]).kinds
        assert found is not None
        own: NDArray[np.float64] = found[0]
        return own


def labels_of(products: Iterable[Product], numbers: dict[str, int]) -> Labels:
    """What the shop says of products: (n, 4) int64, the number of each one's kind, section, colour and gender, 0 where
    it does not say.

    Args:
        products: The products; one may come more than once.
        numbers: The numbers given so far; new texts get the next. Numbers of one dictionary compare.
    """
    rows = []
    for product in products:
        path = product.category or ("",)
        texts = (path[-1], path[-2] if len(path) > 1 else path[-1], product.colour, product.gender)
        rows.append([numbers.setdefault(text, len(numbers) + 1) if text else 0 for text in texts])
    return np.array(rows, np.int64).reshape(-1, len(AGREEING))


def hit_features(
    probes: Probes, around: Neighbourhood, scores: NDArray[np.float32], vectors: Vectors, labels: Labels
) -> Features:
    """What probabilities are computed from, of the hits of one query.

    Args:
        probes: The model's; what it has no probe for is 0.
        around: The query.
        scores: (m,) float32 cosines of the hits.
        vectors: (m, dim) float32, theirs.
        labels: (m, 4) theirs, as those of ``around``.

    Returns:
        (m, 12) float64 in the order of :data:`FEATURES`.
    """
    likely = likelihoods(probes, vectors)
    return HitFeatures.read(probes, [around]).of(np.zeros(len(scores), np.int64), scores, likely, labels)


def likelihoods(probes: Probes, vectors: Vectors) -> Likelihoods:
    """What the probes that queries and hits are compared by say of (n, dim) vectors."""
    return {name: probes[name].probabilities(vectors) for name in AGREEING if name in probes}


class HitFeatures:
    """What probabilities are computed from, of the hits of many queries at once.

    Args:
        own: What the probes say of the queries; what there is no probe for is 0.
        scores: (q, n) float32 cosines of the nearest photos, the highest first; -inf where a query has fewer.
        labels: (q, n, 4) theirs.
        near_kinds: (q, n, kinds) how likely each of them is of each kind; None without a probe.

    Attributes:
        kinds: (q, kinds) how likely each query is of each kind, see :meth:`Neighbourhood.kinds`; None without a probe.
    """

    def __init__(
        self,
        own: Likelihoods,
        scores: NDArray[np.float32],
        labels: Labels,
        near_kinds: NDArray[np.float32] | None,
    ) -> None:
        self._own, self._labels = own, labels
        self._weights = np.exp((scores - scores[:, :1]) / np.float32(EVIDENCE_SCALE))
        ten, there = scores[:, :10], np.isfinite(scores[:, :10])
        means = np.where(there, ten, np.float32(0)).sum(axis=1) / there.sum(axis=1)
        self._near = np.stack([scores[:, 0], means], axis=1)
        self.kinds: NDArray[np.float64] | None = None
        if near_kinds is not None:
            evidence = (self._weights[:, None] @ near_kinds)[:, 0]
            self._evidence = evidence / self._weights.sum(axis=1, keepdims=True)
            self.kinds = (own["kind"] + self._evidence) / 2

    @classmethod
    def read(cls, probes: Probes, around: Sequence[Neighbourhood]) -> HitFeatures:
        """Those of queries whose neighbours' vectors are at hand."""
        counts = [len(each.scores) for each in around]
        filled = np.arange(max(counts)) < np.array(counts)[:, None]  # queries may have fewer neighbours than others
        scores = np.full(filled.shape, -np.inf, np.float32)
        labels = np.zeros((*filled.shape, len(AGREEING)), np.int64)
        scores[filled] = np.concatenate([each.scores for each in around])
        labels[filled] = np.concatenate([each.labels for each in around])
        near_kinds = None
        if "kind" in probes:
            near_kinds = np.zeros((*filled.shape, len(probes["kind"].values)), np.float32)
            near_kinds[filled] = probes["kind"].probabilities(np.concatenate([each.vectors for each in around]))
        return cls(likelihoods(probes, np.stack([each.vector for each in around])), scores, labels, near_kinds)

    def of(
        self, query: NDArray[np.int64], scores: NDArray[np.float32], likely: Likelihoods, labels: Labels
    ) -> Features:
        """Of hits of any of the queries.

        Args:
            query: (m,) which query each hit answers, rising.
            scores: (m,) float32 their cosines.
            likely: What the probes say of them, see :func:`likelihoods`.
            labels: (m, 4) theirs.

        Returns:
            (m, 12) float64 in the order of :data:`FEATURES`.
        """
        found = np.zeros((len(scores), len(FEATURES)))
        found[:, 0] = scores
        found[:, ABOUT_QUERIES] = self._near[query]
        for column, name in enumerate(AGREEING, 3):
            if name in self._own:
                found[:, column] = np.log(np.einsum("mv,mv->m", likely[name], self._own[name][query]) + FLOOR)
                if name == "kind":
                    agreeing = np.einsum("mv,mv->m", likely[name], self._evidence[query])
                    found[:, BY_PROBES - 1] = np.log(agreeing + FLOOR)
        shares = self._votes(query, labels)
        found[:, BY_PROBES:] = np.where(np.isnan(shares), found[:, INSTEAD], np.log(shares + FLOOR))
        return found

    def _votes(self, query: NDArray[np.int64], labels: Labels) -> NDArray[np.float64]:
        """(m, 4) 0..1, what share of the votes near its query is for what each hit is; NaN where the shop does not
        say."""
        place = np.arange(len(query)) - np.searchsorted(query, query)  # of each hit among those of its query
        hits = np.zeros((len(self._labels), place.max(initial=0) + 1, len(AGREEING)), np.int64)
        hits[query, place] = labels
        weights = self._weights.astype(np.float64)
        agrees = self._labels[:, None] == hits[:, :, None]
        voted = np.einsum("qhnc,qn->qhc", agrees, weights)[query, place]
        every = np.einsum("qnc,qn->qc", self._labels > 0, weights)[query]
        return np.where((labels > 0) & (every > 0), voted / np.maximum(every, 1e-12), np.nan)


def fashion_features(first: Features, strengths: NDArray[np.floating]) -> Features:
    """What tells whether queries show anything of a shop: how near the nearest are, and how strongly the network
    answers to the images; both are low for what it has never seen.

    Args:
        first: (n, 12) figures of each query's first hit.
        strengths: (n, 2), see :class:`lapel.core.queries.UnderstoodPart`.

    Returns:
        (n, 4) in the order of :data:`FASHION_FEATURES`.
    """
    return np.hstack([first[:, ABOUT_QUERIES], np.log(np.asarray(strengths, np.float64) + FLOOR)])


def word_features(
    found: Features,
    own: Likelihoods,
    query: NDArray[np.int64],
    labels: NDArray[np.float64],
    held: NDArray[np.float64],
    read: NDArray[np.int64],
    density: float,
) -> Features:
    """What tells whether hits are what words ask for. Unlike a picture, words leave out what does not matter, so what
    query and hit have in common is compared with the most that the query could have with anything.

    Args:
        found: (m, 12) figures of the hits, see :meth:`HitFeatures.of`.
        own: What the probes say of the words' vectors.
        query: (m,) the row there of each hit's query.
        labels: (m, 4) cosines of the words with what the hit is called: its kind, that of the kind that is nearest to
            the words, and the same of its colour.
        held: (m,) 0..1, what share of the words each hit's texts hold.
        read: (m,) how many words were read.
        density: How near the shop's products lie to each other.

    Returns:
        (m, 119) float64: the figures of :data:`WORD_FEATURES`, and the products of every two of them.
    """
    most = [np.log(own[name].max(axis=1) + FLOOR)[query] if name in own else 0.0 for name in AGREEING]
    relative = [found[:, column] - each for column, each in enumerate(most, 3)]
    lacks = np.log(np.maximum(labels[:, 1::2] - labels[:, ::2], 0) + LACKING)
    about = [labels[:, 0], lacks[:, 0], labels[:, 2], lacks[:, 1]]
    rest = [held, held >= 1, np.full(len(found), density), np.log1p(read), found[:, BY_PROBES]]
    figures = np.stack([found[:, 0], *about, *relative, *rest], axis=1)
    one, other = np.triu_indices(len(WORD_FEATURES))
    return np.hstack([figures, figures[:, one] * figures[:, other]])


def density_of(scores: NDArray[np.float32]) -> Density:
    """How near products of a shop lie to each other: the medians of the nearest and of the mean of the ten nearest.

    Args:
        scores: (n, 10) float32 cosines of the nearest photos of other products to some photos, the highest first; -inf
            where there are fewer.
    """
    there = np.isfinite(scores)
    some = scores[there[:, 0]] if scores.shape[1] else scores[:0]
    if not len(some):
        return 0.0, 0.0
    means = np.where(np.isfinite(some), some, 0).sum(axis=1) / np.isfinite(some).sum(axis=1)
    return float(np.median(some[:, 0])), float(np.median(means))


JUDGEMENTS = (*CLOSENESS, Verdict.NOTHING_CLOSE)  # of hits, the closest first
_folded = lru_cache(maxsize=1024)(fold)  # a shop has few categories, and each hit is asked about several times
RowsOf = Mapping[str, NDArray[np.int64]]  # the hits of each category


def rows_of(categories: Sequence[str]) -> RowsOf:
    """The rows of each category, by its folded name."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(categories):
        rows.setdefault(_folded(name), []).append(row)
    return {name: np.array(own) for name, own in rows.items()}


@dataclass(frozen=True)
class Told:
    """What is said of m hits.

    Attributes:
        closest: (m,) int64, the place of each hit's verdict among :data:`JUDGEMENTS`.
        verdicts: Which are told of: one column of ``likely`` each.
        likely: (m, verdicts) float64, how likely each holds.
        fashion: (m,) float64, how likely each hit's query shows anything of a shop, see :meth:`Calibration.fashion_of`;
            None of words.
    """

    closest: NDArray[np.int64]
    verdicts: tuple[Verdict, ...]
    likely: NDArray[np.float64]
    fashion: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Scale:
    """How one verdict's probability follows from the figures of a hit.

    Attributes:
        weights: (12,) of the figures, (4,) of those of a query, or (119,) of those of words.
        bias: Added to their sum: both are the logit.
        knots: What logit means what probability; straight between them.
        by_category: The same for categories that had enough pairs, by the folded name of their last level.
    """

    weights: NDArray[np.float64]
    bias: float
    knots: Knots
    by_category: Mapping[str, Knots] = field(default_factory=dict)

    def logits(self, features: Features) -> NDArray[np.float64]:
        """(m,) of the figures of m hits."""
        return np.asarray(features @ self.weights + self.bias, np.float64)

    def probabilities(self, features: Features, categories: RowsOf | None = None) -> NDArray[np.float64]:
        """(m,) 0..1; ``categories`` says which hits are of which, by the last level, see :func:`rows_of`."""
        logits = self.logits(features)
        found = np.interp(logits, *self.knots)
        for name, rows in (categories or {}).items():
            if name in self.by_category:
                found[rows] = np.interp(logits[rows], *self.by_category[name])
        return found


@dataclass(frozen=True)
class Calibration:
    """What a model's cosines mean.

    Attributes:
        scales: By domain, see :data:`lapel.encoders.probes.DOMAINS`, and verdict.
        least: By domain, the probability of the same kind below which a hit is nothing close; an answer is when all of
            its first ten are.
        kind_floor: By domain, what a kind's likelihood is at least to be in the set of kinds that holds the right one
            for 90 of 100 queries (conformal prediction, Vovk et al. 2005).
        fashion: How likely a query shows anything of a shop at all, by its figures of :data:`FASHION_FEATURES`; None
            where that was not learned.
        fashion_least: By domain, below which all its hits are nothing close.
        strength: The usual strength of an image: what is taken of queries that are none.
        density: How near the nearest and the ten nearest of other products are to a product where it was learned, see
            :meth:`levelled`; None where that is not known, as of a store's own.
        smaller: By domain, how likely the same kind is in shops that are less dense.
        words: How likely a hit is what words ask for, by the figures of :func:`word_features`; None where that was not
            learned.
        words_least: The probability below which a hit of words is nothing close.
        details: How it was learned and what was measured: free-form.
    """

    scales: Mapping[str, Mapping[Verdict, Scale]]
    least: Mapping[str, float]
    kind_floor: Mapping[str, float]
    fashion: Scale | None = None
    fashion_least: Mapping[str, float] = field(default_factory=dict)
    strength: tuple[float, float] = (1.0, 1.0)
    density: Density | None = None
    smaller: Mapping[str, Scale] = field(default_factory=dict)
    words: Scale | None = None
    words_least: float = LIKELY
    details: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def levelled(self, features: Features, density: Density | None) -> Features:
        """Figures of hits, with how near the nearest are as it would be where this was learned. Among thirty products
        the nearest to anything is far away, which says little of the query: both figures are raised by as much as the
        shop's own products lie further from each other.

        Args:
            features: (m, 12).
            density: The shop's, see :func:`density_of`; None changes nothing.
        """
        if self.density is None or density is None:
            return features
        level = features.copy()
        for column, known, own in zip(ABOUT_QUERIES, self.density, density, strict=True):
            level[:, column] = np.minimum(level[:, column] + max(0.0, known - own), 1)
        nearest, ten = ABOUT_QUERIES
        level[:, ten] = np.minimum(level[:, ten], level[:, nearest])
        return level

    def _smaller(self, density: Density | None) -> float:
        """0..1, how much less dense a shop is."""
        if self.density is None or density is None or not self.smaller:
            return 0.0
        return float(np.clip((self.density[0] - density[0]) / LESS_DENSE, 0, 1))

    def _likely_in_smaller(self, features: Features, level: Features, rows: RowsOf, domain: str) -> NDArray[np.float64]:
        """(m, verdicts) how likely each holds in a shop that is less dense: kinds by a curve of their own, styles at
        the level. There even what is not the product stands out, so products do by :data:`OUTSTANDING` at most."""
        nearest, ten = ABOUT_QUERIES
        apart = features.copy()
        apart[:, ten] = np.maximum(features[:, ten], features[:, nearest] - OUTSTANDING)
        scales = {**self.scales[domain], Verdict.SAME_KIND: self.smaller[domain]}
        figures = {Verdict.SAME_PRODUCT: apart}
        found = [scale.probabilities(figures.get(verdict, level), rows) for verdict, scale in scales.items()]
        return np.stack(found, axis=1)

    def judge(
        self,
        features: Features,
        categories: Sequence[str],
        *,
        on_white: bool,
        strengths: Strengths | None = None,
        density: Density | None = None,
        agreeing: NDArray[np.float64] | None = None,
    ) -> Told:
        """The verdict on each hit, of one query or of many, and how likely each verdict holds; of a query that shows
        nothing of a shop, at most as likely as that it does.

        Args:
            features: (m, 12) figures of hits.
            categories: m last levels of their categories.
            on_white: Whether the queries were pictures on white.
            strengths: (m, 2) of their queries, see :meth:`fashion_of`.
            density: The shop's: of a less dense one, the kind is judged by :attr:`smaller`.
            agreeing: (m,) 0..1, how well hits have what is asked for beside the picture, such as a colour in place of
                its own: they are of the same kind, or nothing close. NaN where nothing is.
        """
        domain, rows = DOMAINS[not on_white], rows_of(categories)
        scales, level = self.scales[domain], self.levelled(features, density)
        likely = np.stack([scale.probabilities(features, rows) for scale in scales.values()], axis=1)
        least = {Verdict.SAME_PRODUCT: LIKELY, Verdict.SAME_STYLE: LIKELY, Verdict.SAME_KIND: self.least[domain]}
        if share := self._smaller(density):
            likely = (1 - share) * likely + share * self._likely_in_smaller(features, level, rows, domain)
            least[Verdict.SAME_KIND] = (1 - share) * self.least[domain] + share * LIKELY
        shown = self.fashion_of(level, strengths)
        strange = shown < self.fashion_least.get(domain, 0.0)
        likely = np.where(strange[:, None], np.minimum(likely, shown[:, None]), likely)
        if agreeing is not None:
            has_wishes, is_kind = ~np.isnan(agreeing), np.array([verdict is Verdict.SAME_KIND for verdict in scales])
            wished = np.where(agreeing >= LIKELY, agreeing, 0)[:, None] * is_kind
            likely = np.where(has_wishes[:, None], likely * wished, likely)
        close = np.full(len(features), JUDGEMENTS.index(Verdict.NOTHING_CLOSE))
        for verdict, each in sorted(zip(scales, likely.T, strict=True), key=lambda one: -CLOSENESS.index(one[0])):
            close[(each >= least[verdict]) & ~strange] = JUDGEMENTS.index(verdict)  # the closest last, which stays
        return Told(close, tuple(scales), likely, shown)

    def judge_words(self, features: Features, *, named: NDArray[np.bool_]) -> Told:
        """The verdict on each hit of queries in words, *the same kind* or *nothing close*, and how likely it is what
        they ask for: of the kind, and of the colour and for those that they name.

        Args:
            features: (m, 119) figures of hits, see :func:`word_features`.
            named: (m,) which hits hold all of :data:`MANY_WORDS` words or more in their texts: they are called so.
        """
        assert self.words is not None
        likely = self.words.probabilities(features)
        likely = np.where(named, np.maximum(likely, LIKELY), likely)
        verdicts = [JUDGEMENTS.index(each) for each in (Verdict.SAME_KIND, Verdict.NOTHING_CLOSE)]
        close = np.where(likely >= min(self.words_least, LIKELY), *verdicts)
        return Told(close, (Verdict.SAME_KIND,), likely[:, None])

    def fashion_of(self, features: Features, strengths: Strengths | None = None) -> NDArray[np.float64]:
        """(m,) how likely the query of each hit shows anything of a shop, 0..1; 1 where that was not learned.

        Args:
            features: (m, 12) figures of hits.
            strengths: (m, 2) of their queries; where one is NaN, as of queries that are no images, the usual is taken.
        """
        if self.fashion is None or not len(features):
            return np.ones(len(features))
        given = np.full((len(features), 2), np.nan) if strengths is None else strengths
        given = np.where(np.isfinite(given), given, self.strength)
        return self.fashion.probabilities(fashion_features(features, given))

    def kinds(
        self, values: Sequence[str], likely: NDArray[np.float64], *, on_white: bool
    ) -> list[tuple[tuple[str, float], ...]]:
        """The kinds that each query may be of, the likeliest first: the right one is among them for 90 of 100.

        Args:
            values: The kinds there are.
            likely: (q, kinds) how likely each query is of each.
            on_white: Whether they were pictures on white.
        """
        rows, kinds = np.nonzero(likely >= self.kind_floor.get(DOMAINS[not on_white], np.inf))
        reached = likely[rows, kinds]
        order = np.lexsort((-reached, rows))  # stable: of equal ones the first kind comes first
        found: list[list[tuple[str, float]]] = [[] for _ in likely]
        for row, kind, share in zip(*(each[order].tolist() for each in (rows, kinds, reached.round(4))), strict=True):
            found[row].append((values[kind], share))
        return [tuple(each) for each in found]

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
            "density": None if self.density is None else list(self.density),
            "smaller": {domain: _scale_json(scale) for domain, scale in self.smaller.items()},
            "words": None if self.words is None else _scale_json(self.words),
            "words_least": round(self.words_least, 4),
            "details": dict(self.details),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], name: str) -> Calibration:
        """Read the form that is kept; ``name`` is what it is called in messages.

        Raises:
            ModelError: it is of another format or misses something.
        """
        try:
            if data["format"] not in (1, 2, FORMAT) or tuple(data["features"]) != FEATURES[: len(data["features"])]:
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
            density = data.get("density")
            near = None if density is None else (float(density[0]), float(density[1]))
            smaller = {domain: _read_scale(scale) for domain, scale in data.get("smaller", {}).items()}
            words = data.get("words")
            of_words = None if words is None else _read_scale(words, WORD_FIGURES)
            least_of_words = float(data.get("words_least", LIKELY))
            return cls(
                scales,
                least,
                floors,
                fashion,
                refused,
                (one, other),
                near,
                smaller,
                of_words,
                least_of_words,
                data.get("details", {}),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"{name} cannot be read: {reason_of(error)}. Calibrate again.") from error


def _brought_up(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Formats 1 and 2 as format 3: neither knew labels, the first nothing of the strength of queries either."""
    if data["format"] == FORMAT:
        return data
    scales = {
        domain: {name: {**scale, "weights": [*scale["weights"], *[0.0] * len(VOTES)]} for name, scale in some.items()}
        for domain, some in data["scales"].items()
    }
    if data["format"] == 2:
        return {**data, "scales": scales}
    known = data["fashion"]
    about = known and {**known, "weights": [*np.array(known["weights"])[list(ABOUT_QUERIES)], 0.0, 0.0]}
    return {**data, "scales": scales, "fashion": about, "strength": (1.0, 1.0)}


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


def closest(verdicts: Iterable[Verdict | None]) -> Verdict | None:
    """What an answer is worth: the closest verdict on its first ten hits; None where none was judged.

    >>> closest([Verdict.NOTHING_CLOSE, Verdict.SAME_KIND]).value
    'same kind'
    """
    judged = {verdict for verdict in islice(verdicts, ANSWER_HITS) if verdict is not None}
    return next((verdict for verdict in (*CLOSENESS, Verdict.NOTHING_CLOSE) if verdict in judged), None)


def reaches(verdict: Verdict | None, least: Verdict) -> bool:
    """Whether a verdict is at least as close as another; *nothing close* is reached by all."""
    if least not in CLOSENESS:
        return True
    return verdict in CLOSENESS and CLOSENESS.index(verdict) <= CLOSENESS.index(least)
