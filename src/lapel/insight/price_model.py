"""Prices learned from what was sold: vectors, labels and prices go in; a price range for a photo comes out.

The logarithm of a price is a ridge regression of the photo's vector and the labels that are known, plus what the
nearest items sold for beyond that. The range is conformal: as wide as errors were on products that the regression had
not seen (split by five folds), relative to how wrong it is among their neighbours, by kind where there are enough.

Source: V. Vovk, "Cross-conformal predictors" (2015); J. Lei et al., "Distribution-free predictive inference for
regression" (2018), section 5.2 for the local scale.

What was learned can be kept (:attr:`PriceModel.learned`) and used again while nine of ten products are the same: those
that came since are asked about like any other, and what the regression misses of their prices counts for their
neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import QueryError
from lapel.core.types import Matches
from lapel.core.vectors import Vectors
from lapel.indexes.neighbours import nearest
from lapel.insight.kept_file import Arrays, digests_of
from lapel.insight.votes import vote, weights_of

LEAST = 30  # priced products, below which there is no model
FOLDS = 5
NEIGHBOURS = 60
TESTED = 4000  # products at most whose errors make the range: its ends then vary by less than a percent
BY_KIND = 150  # tested products of a kind, from which on it has a range of its own
PENALTIES = (0.3, 3.0)
VECTOR_PENALTIES = (1.0, 10.0, 100.0)  # beside those of labels: with few products labels are to say most
PULLS = (0.1, 0.3, 1.0, 3.0)  # how little neighbours count beside what all say
REACHES = (0.02, 0.05, 0.1)  # cosines: a neighbour that is so much further away counts 1/e
LIKENESS = (1.0, 4.0, 16.0)  # how many times more a neighbour counts for each label that it shares
AROUND = 20  # nearest neighbours whose errors say how wrong a price is here
COVERED = 0.8
RARE = 3  # products of a label, below which it counts as unknown
LABELS_KEPT = 300  # of one column, the commonest
NEW_SHARE = 0.1  # of products that came or went since, beyond which all is learned anew
LEARNED = ("digests", "residuals", "coefficients", "choice", "codes", "kinds", "ends", "figures")

Logs = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """What a photo's product should sell for.

    Attributes:
        price: The middle, in major units.
        low: Lower end of the range that holds 80 of 100 prices.
        high: Upper end.
        by_kind: Whether the range is that of its kind alone.
    """

    price: float
    low: float
    high: float
    by_kind: bool


class PriceModel:
    """A fitted model. Make one with :func:`fit_prices`.

    Attributes:
        columns: The labels it knows, such as ``kind`` and ``brand``.
        tested: Products that the range rests on.
        error: Median of the relative errors on them, such as 0.2 for 20 %.
        kind_error: The same of saying the median price of the (true) kind.
        covered: Share of their prices inside ranges made without them.
        is_new: Whether it was learned now.
    """

    def __init__(
        self,
        vectors: Vectors,
        logs: Logs,
        labels: Mapping[str, Sequence[str]],
        groups: NDArray[np.int64],
        seed: int,
        kind_told: bool,
        kept: Arrays | None = None,
    ) -> None:
        self.kind_told = kind_told
        self.columns = tuple(labels)
        self._vectors, self._logs = vectors, logs
        self._labels = {name: list(values) for name, values in labels.items()}
        self._digests = digests_of(np.column_stack([vectors, logs]), *self._labels.values())
        self.is_new = kept is None or not self._restored(kept)
        if self.is_new:
            self._learn(groups, seed)

    @property
    def learned(self) -> Arrays:
        """What was learned, to be kept: arrays of the names :data:`LEARNED`."""
        codes = [(column, name) for column in self.columns for name in self._codes[column]]
        return {
            "digests": self._digests,
            "residuals": self._residuals,
            "coefficients": self._coefficients,
            "choice": np.array(self._choice),
            "codes": np.array(codes or [("", "")]),
            "kinds": np.array(["", *self._own]),
            "ends": np.array([self._all, *self._own.values()]),
            "figures": np.array([self.tested, self.error, self.kind_error, self.covered]),
        }

    def _restored(self, kept: Arrays) -> bool:
        """Use what was learned before, where nine of ten products are those it was learned from."""
        digests, first = np.unique(kept["digests"], return_index=True)
        others = len(np.setxor1d(digests, self._digests))
        codes = {column: [name for own, name in kept["codes"].tolist() if own == column] for column in self.columns}
        width = 1 + self._vectors.shape[1] + sum(map(len, codes.values()))
        if others > NEW_SHARE * len(self._digests) or kept["coefficients"].shape != (width,):
            return False
        self._codes = {column: {name: at for at, name in enumerate(names)} for column, names in codes.items()}
        self._coefficients, self._choice = kept["coefficients"], tuple(kept["choice"].tolist())
        self._all, *own = (tuple(ends) for ends in kept["ends"].tolist())
        self._own = dict(zip(kept["kinds"].tolist()[1:], own, strict=True))
        tested, self.error, self.kind_error, self.covered = kept["figures"].tolist()
        self.tested = int(tested)
        at = np.searchsorted(digests, self._digests).clip(0, len(digests) - 1)
        known = digests[at] == self._digests
        self._residuals = kept["residuals"][first[at]]
        new = np.flatnonzero(~known)
        some = {name: [values[row] for row in new.tolist()] for name, values in self._labels.items()}
        self._residuals[new] = self._logs[new] - self._design(self._vectors[new], some, None) @ self._coefficients
        return True

    def _learn(self, groups: NDArray[np.int64], seed: int) -> None:
        vectors, logs, labels = self._vectors, self._logs, self._labels
        self._codes = {name: _codes(values) for name, values in labels.items()}
        rng = np.random.default_rng(seed)
        _, product = np.unique(groups, return_inverse=True)
        folds = rng.permutation(int(product.max()) + 1)[product] % FOLDS  # photos of a product stay together
        tested = np.sort(rng.permutation(len(logs))[:TESTED])
        near = nearest(vectors[tested], vectors, NEIGHBOURS, groups=groups, own=groups[tested])
        asked = {name: [values[at] for at in tested.tolist()] for name, values in self._labels.items()}
        guessed = "kind" in asked and not self.kind_told
        if guessed:  # as it will be asked: a photo's kind is what its neighbours are
            asked["kind"] = self._kinds(near)
        design = self._design(vectors, labels, None)
        outside = self._regress(design, folds, self._design(vectors[tested], asked, near if guessed else None), tested)
        self._calibrate(near, asked, logs[tested] - outside, rng)
        self.kind_error = self._error_of_kinds(tested, folds)

    def _design(
        self, vectors: Vectors, labels: Mapping[str, Sequence[str]], near: Matches | None
    ) -> NDArray[np.float32]:
        """(n, p): one, the vector with a spread of about one, and a column a label; of kinds that were guessed, which
        share of the neighbours has each."""
        parts = [np.ones((len(vectors), 1), np.float32), vectors * np.float32(np.sqrt(vectors.shape[1]))]
        for name, codes in self._codes.items():
            table = np.zeros((len(vectors), len(codes) + 1), np.float32)  # the last one for labels that are unknown
            if name == "kind" and near is not None:
                of = np.array([codes.get(value, len(codes)) for value in self._labels[name]], np.int64)[near.keys]
                np.add.at(table, (np.arange(len(of))[:, None], of), weights_of(near))
            else:
                of = np.array([codes.get(value, len(codes)) for value in labels[name]], np.int64)
                table[np.arange(len(of)), of] = 1
            parts.append(table[:, :-1])
        return np.concatenate(parts, axis=1)

    def _regress(
        self,
        design: NDArray[np.float32],
        folds: NDArray[np.int64],
        asked: NDArray[np.float32],
        tested: NDArray[np.int64],
    ) -> Logs:
        """Fit with the penalties that do best where a photo is asked about; (tested,) values outside their fold."""
        parts = [_gram(design[folds == fold], self._logs[folds == fold]) for fold in range(FOLDS)]
        gram, target = np.sum([part[0] for part in parts], axis=0), np.sum([part[1] for part in parts], axis=0)
        width, best = self._vectors.shape[1], np.inf
        for penalty in PENALTIES:
            for of_vector in VECTOR_PENALTIES:
                weights = np.full(len(gram), penalty)
                weights[0], weights[1 : 1 + width] = 1e-3, penalty * of_vector  # the mean is not drawn to 0
                rest, seen = np.empty(len(design)), np.empty(len(tested))
                for fold, (own_gram, own_target) in enumerate(parts):
                    found = np.linalg.solve(gram - own_gram + np.diag(weights), target - own_target)
                    rest[folds == fold] = design[folds == fold] @ found
                    seen[folds[tested] == fold] = asked[folds[tested] == fold] @ found
                error = float(np.abs(self._logs[tested] - seen).mean())
                if error < best:
                    best, outside, self._residuals = error, seen, self._logs - rest
                    self._coefficients = np.linalg.solve(gram + np.diag(weights), target)
        return outside

    def _calibrate(
        self, near: Matches, labels: Mapping[str, Sequence[str]], errors: Logs, rng: np.random.Generator
    ) -> None:
        """How much the neighbours say, and how wide ranges are, by the errors of the regression outside its fold."""
        shared = self._shared(near, labels)
        choices = [(pull, reach, likeness) for pull in PULLS for reach in REACHES for likeness in LIKENESS]
        self._choice = min(
            choices, key=lambda each: float(np.abs(errors - self._correction(near, shared, each)).mean())
        )
        errors = errors - self._correction(near, shared, self._choice)
        scores, kinds = errors / self._scale(near), labels.get("kind", [""] * len(errors))
        self.tested = len(errors)
        self.error = float(np.median(np.abs(np.expm1(-errors))))
        self._all, self._own = _ends(scores), {}
        for kind in sorted(set(kinds)):
            own = scores[[each == kind for each in kinds]]
            if len(own) >= BY_KIND:
                self._own[kind] = _ends(own)
        self.covered = _covered(scores, kinds, rng)

    def _kinds(self, near: Matches) -> list[str]:
        return vote(near, self._labels["kind"])[0] if "kind" in self._labels else [""] * len(near.keys)

    def _shared(self, near: Matches, labels: Mapping[str, Sequence[str]]) -> NDArray[np.int64]:
        """(m, k) how many labels each neighbour shares with what is asked."""
        shared = np.zeros(near.keys.shape, np.int64)
        for name, values in labels.items():
            own = np.array(self._labels[name], dtype=object)[near.keys]
            asked = np.array(list(values), dtype=object)[:, None]
            shared += (own == asked) & (asked != "")
        return shared

    def _correction(self, near: Matches, shared: NDArray[np.int64], choice: tuple[float, float, float]) -> Logs:
        """What the neighbours sold for beyond the regression; little where they are far away."""
        pull, reach, likeness = choice
        weights = np.where(np.isfinite(near.scores), np.exp((near.scores - 1).astype(np.float64) / reach), 0)
        weights = weights * likeness**shared
        found = (weights * self._residuals[near.keys]).sum(axis=1) / (weights.sum(axis=1) + pull)
        return np.asarray(found, np.float64)

    def _scale(self, near: Matches) -> Logs:
        """How wrong the regression is where a photo lies; towards the mean of all by five neighbours' weight."""
        usual = float(np.abs(self._residuals).mean())
        known = np.isfinite(near.scores[:, :AROUND])
        around = (np.abs(self._residuals[near.keys[:, :AROUND]]) * known).sum(axis=1)
        return np.asarray((around + 5 * usual) / (known.sum(axis=1) + 5) + 1e-6, np.float64)

    def _error_of_kinds(self, tested: NDArray[np.int64], folds: NDArray[np.int64]) -> float:
        """Median relative error of the median price of the true kind, of products of other folds."""
        kinds = np.array(self._labels.get("kind", [""] * len(self._logs)))
        errors = np.empty(len(tested))
        for fold in range(FOLDS):
            rest = folds != fold
            medians = {kind: float(np.median(self._logs[rest & (kinds == kind)])) for kind in np.unique(kinds[rest])}
            usual = float(np.median(self._logs[rest]))
            own = np.flatnonzero(folds[tested] == fold)
            for at in own.tolist():
                errors[at] = medians.get(kinds[tested[at]], usual) - self._logs[tested[at]]
        return float(np.median(np.abs(np.expm1(errors))))

    def estimate(self, vectors: Vectors, labels: Mapping[str, Sequence[str]]) -> list[Estimate]:
        """Prices of photos.

        Args:
            vectors: (m, dim) float32 unit rows.
            labels: Of each column of :attr:`columns`, m values; without ``kind`` where it was not fitted as told.
        """
        near = nearest(vectors, self._vectors, NEIGHBOURS)
        kinds = list(labels["kind"]) if self.kind_told else self._kinds(near)
        asked = {name: kinds if name == "kind" else list(labels[name]) for name in self.columns}
        near_prices = self._correction(near, self._shared(near, asked), self._choice)
        middle = self._design(vectors, asked, None if self.kind_told else near) @ self._coefficients + near_prices
        scale = self._scale(near)
        found = []
        for log, width, kind in zip(middle.tolist(), scale.tolist(), kinds, strict=True):
            low, high = self._own.get(kind, self._all)
            ends = sorted((log + low * width, log, log + high * width))
            found.append(
                Estimate(float(np.exp(log)), float(np.exp(ends[0])), float(np.exp(ends[2])), kind in self._own)
            )
        return found


def fit_prices(
    vectors: Vectors,
    prices: NDArray[np.float64],
    labels: Mapping[str, Sequence[str]],
    groups: NDArray[np.int64],
    *,
    kind_told: bool = False,
    seed: int = 0,
    kept: Arrays | None = None,
) -> PriceModel:
    """Learn what photos sell for.

    Args:
        vectors: (n, dim) float32 unit rows.
        prices: (n,) above 0, in one currency.
        labels: n values of each column.
        groups: (n,) the number of each photo's product.
        kind_told: Whether who asks will say the kind; else it is guessed from the neighbours, here as then.
        seed: Of the folds.
        kept: What was learned before, see :attr:`PriceModel.learned`; where too much changed since, all is learned
            anew.

    Raises:
        QueryError: too few, or prices that are none.
    """
    if len(np.unique(groups)) < LEAST:
        raise QueryError(
            f"A price is learned from at least {LEAST} products with a price in one currency; found"
            f" {len(np.unique(groups)):,}. Add products with prices."
        )
    if not (np.isfinite(prices).all() and (prices > 0).all()):
        raise QueryError("Prices to learn from are above 0.")
    return PriceModel(vectors, np.log(prices), labels, groups, seed, kind_told, kept)


def _codes(values: Sequence[str]) -> dict[str, int]:
    names, counts = np.unique([value for value in values if value] or [""], return_counts=True)
    often = [str(name) for name in names[np.argsort(-counts, kind="stable")][:LABELS_KEPT]]
    counted = dict(zip(names.tolist(), counts.tolist(), strict=True))
    return {name: at for at, name in enumerate(name for name in often if name and counted[name] >= RARE)}


def _gram(design: NDArray[np.float32], logs: Logs) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return (design.T @ design).astype(np.float64), (design.T @ logs.astype(np.float32)).astype(np.float64)


def _ends(scores: Logs) -> tuple[float, float]:
    """The ends between which 80 of 100 new scores lie: the conformal quantiles of either side."""
    n = len(scores)
    ordered = np.sort(scores)
    tail = (1 - COVERED) / 2
    low = max(0, int(np.floor((n + 1) * tail)) - 1)
    high = min(n - 1, int(np.ceil((n + 1) * (1 - tail))) - 1)
    return float(ordered[low]), float(ordered[high])


def _covered(scores: Logs, kinds: Sequence[str], rng: np.random.Generator) -> float:
    """Share of scores between the ends that the other half of them gives, by kind where there are enough."""
    half = rng.random(len(scores)) < 0.5
    names = np.array(kinds)
    inside = np.zeros(len(scores), np.bool_)
    for side in (half, ~half):
        whole = _ends(scores[~side])
        for kind in np.unique(names):
            rest, own = scores[~side & (names == kind)], side & (names == kind)
            low, high = _ends(rest) if len(rest) >= BY_KIND else whole
            inside[own] = (scores[own] >= low) & (scores[own] <= high)
    return float(inside.mean())
