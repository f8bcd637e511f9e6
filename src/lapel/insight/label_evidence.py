"""How likely each value of a label is for each product, by everything but the product's own label.

Products with a label go in, some of them without one; a distribution over the label's values for each product comes
out. Four kinds of evidence each give one:

- *neighbours*: what the fifty products with the nearest vectors have, the nearer the more;
- *shape*: a linear discriminant of the vectors, learned on four fifths of the products and read on the last;
- *title*: what products have whose titles hold the same words and pairs of words;
- *palette* (colours only): trees over the stored main colours of the photo and the discriminant, each product read by
  the trees that did not see it.

They are multiplied, each to a power that is learned from the labels that are there (a logarithmic opinion pool,
Genest and Zidek 1986).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.special import logsumexp

from lapel.core.vectors import Vectors
from lapel.core.words import tokens
from lapel.engine.context import StoreContext
from lapel.engine.features import PALETTE
from lapel.engine.look import decoded_palettes
from lapel.engine.palette import MAX_COLOURS
from lapel.insight.grouping_vectors import require

NEIGHBOURS = 50
NEAR = 0.05  # cosine that a neighbour may be behind the nearest before it counts a third
FOLDS = 5
SHRINKAGE = 0.3  # of the mean variance that is added to each direction's, as of the probes beside a model
PSEUDO = 2.0  # products at the mean of all that each value is given beside its own
MIN_WORD = 3  # products that hold a word before it is evidence
MAX_LIFT = 3.0  # nats: what a word says counts in proportion to how much it says, up to this
TREES, LEAF = 30, 5
TREE_SHARE = 0.98  # of what trees say; the rest is how common each value is
FIT = 5_000  # products that the powers are learned from
FLOOR = 1e-7  # of a probability: no evidence rules a value out
UNKNOWN = -1

Table = NDArray[np.float32]  # (n, values), each row sums to 1
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Labels:
    """A label of each product.

    Attributes:
        field: Such as ``colour``.
        values: Its values, sorted.
        given: (n,) the number of each product's value, -1 where it has none.
    """

    field: str
    values: tuple[str, ...]
    given: Numbers

    @classmethod
    def of(cls, field: str, texts: Sequence[str]) -> Labels:
        """Of n texts, empty where the label is missing."""
        values = sorted(set(texts) - {""})
        number = {value: place for place, value in enumerate(values)}
        return cls(field, tuple(values), np.array([number.get(text, UNKNOWN) for text in texts], np.int64))

    @property
    def counts(self) -> Numbers:
        """(values,) how many products have each."""
        return np.bincount(self.given[self.given >= 0], minlength=len(self.values))

    @property
    def members(self) -> Any:
        """(n, values) a SciPy matrix: one at each product's value."""
        known = np.flatnonzero(self.given >= 0)
        return csr_matrix((np.ones(len(known)), (known, self.given[known])), (len(self.given), len(self.values)))

    @property
    def common(self) -> NDArray[np.float64]:
        """(values,) how common each is; none is 0."""
        return np.asarray((self.counts + 1.0) / (self.counts.sum() + len(self.values)))


@dataclass(frozen=True)
class Shop:
    """What all labels are judged by.

    Attributes:
        vectors: (n, dim) unit rows.
        nearest: (n, k) rows of the nearest others.
        cosines: (n, k) how near.
        titles: n texts; empty ones say nothing.
        palettes: (n, 6, 4) coded main colours, zeros where there are fewer.
    """

    vectors: Vectors
    nearest: Numbers
    cosines: NDArray[np.float32]
    titles: Sequence[str]
    palettes: NDArray[np.uint8]

    @cached_property
    def words(self) -> Any:
        """As :func:`words_of` gives them: cut once for all labels."""
        return words_of(self.titles)


def read_palettes(context: StoreContext, keys: Sequence[int]) -> NDArray[np.uint8]:
    """The stored palettes of photos, (n, 6, 4) uint8, see :func:`lapel.engine.look.decoded_palettes`."""
    stored = context.catalog.features.get(*PALETTE.key, keys)
    found = np.zeros((len(keys), MAX_COLOURS, 4), np.uint8)
    for row, key in enumerate(keys):
        data = stored.get(key, b"")
        found[row].reshape(-1)[: len(data)] = np.frombuffer(data, np.uint8)
    return found


def likely_values(labels: Labels, shop: Shop, *, seed: int = 0, titles: bool = True) -> Table:
    """How likely each value is for each product, without its own label.

    Args:
        labels: The label; at least two values.
        shop: The products.
        seed: Of folds, trees and the products that powers are learned from.
        titles: Whether titles are evidence; without them, pictures alone are.
    """
    shape = by_shape(labels, shop.vectors, seed)
    found = [by_neighbours(labels, shop.nearest, shop.cosines), shape]
    if labels.field == "colour" and shop.palettes.any():
        found.append(by_palette(labels, shop.palettes, shape, seed))
    if titles and any(shop.titles):
        found.append(by_title(labels, shop.words))
    return pooled(labels, found, seed)


def by_neighbours(labels: Labels, nearest: Numbers, cosines: NDArray[np.float32]) -> Table:
    """What the nearest others have, weighted by how near they are."""
    count, k = nearest.shape
    theirs = labels.given[nearest]
    weights = np.exp((cosines - cosines[:, :1]) / NEAR) * (theirs >= 0)
    width = len(labels.values)
    flat = np.repeat(np.arange(count), k) * width + theirs.ravel().clip(0)
    votes = np.bincount(flat, weights.ravel(), minlength=count * width).reshape(count, width)
    return _rows_of_one(votes + labels.common / 2)


def by_shape(labels: Labels, vectors: Vectors, seed: int) -> Table:
    """A linear discriminant: one Gaussian a value with a shared covariance (Fisher 1936), by folds. Sums are made once
    for each fold, and those of four folds are added up."""
    folds = np.random.default_rng(seed).integers(0, FOLDS, len(vectors))
    members = labels.members
    parts = []
    for fold in range(FOLDS):
        own = np.flatnonzero((folds == fold) & (labels.given >= 0))
        given = vectors[own].astype(np.float64)
        parts.append((members[own].T @ given, given.T @ given))
    all_sums, all_gram = (np.sum([part[at] for part in parts], axis=0) for at in range(2))
    sizes_of = np.stack([np.asarray(members[folds == fold].sum(axis=0))[0] for fold in range(FOLDS)])
    found = np.empty(members.shape, np.float32)
    for fold, (sums, gram) in enumerate(parts):
        sums, gram, sizes = all_sums - sums, all_gram - gram, sizes_of.sum(axis=0) - sizes_of[fold]
        count = max(1.0, sizes.sum())
        means = (sums + PSEUDO * sums.sum(axis=0) / count) / (sizes + PSEUDO)[:, None]
        across = sums.T @ means
        within = (gram - across - across.T + means.T @ (means * sizes[:, None])) / count
        within += (SHRINKAGE * np.trace(within) / len(within) + 1e-9) * np.eye(len(within))
        weights = np.linalg.solve(within, means.T)
        bias = np.log((sizes + 0.5) / (sizes + 0.5).sum()) - (weights.T * means).sum(axis=1) / 2
        read = folds == fold
        found[read] = _softmax(vectors[read] @ weights.astype(np.float32) + bias)
    return found


def words_of(titles: Sequence[str]) -> Any:
    """(n, words) a SciPy matrix of ones: which words, and pairs of neighbours, each title holds. Rare ones are left
    out."""
    held = [_words(title) for title in titles]
    counts = Counter(word for some in held for word in some)
    place = {word: number for number, word in enumerate(sorted(w for w, n in counts.items() if n >= MIN_WORD))}
    columns = [[place[word] for word in some if word in place] for some in held]
    ends = np.cumsum([0, *map(len, columns)])
    flat = np.array([column for some in columns for column in some], np.int64)
    return csr_matrix((np.ones(len(flat)), flat, ends), (len(titles), len(place)))


def by_title(labels: Labels, words: Any) -> Table:
    """What products have whose titles share words, each product without itself.

    A word says how much commoner each value is among the titles that hold it; words that say little count little. That
    is one matrix for all products, mended for each by what its own label adds to its words.

    Args:
        labels: The label.
        words: As :func:`words_of` gives them.
    """
    common = labels.common
    votes = (words.T @ labels.members).toarray() + PSEUDO * common
    sizes = votes.sum(axis=1)
    lifts = np.log(votes / common) - np.log(sizes)[:, None]
    said_by_all = (votes * lifts).sum(axis=1)
    row = np.repeat(np.arange(words.shape[0]), np.diff(words.indptr))
    word, own = words.indices, labels.given[row]
    known = own >= 0
    ours = votes[word, own]  # of the product's own value; of another one, and not used, where it has none
    left = np.where(known, ours - 1, ours)
    rest = sizes[word] - known
    mended = np.log(left / ours)
    strength = said_by_all[word] - known * lifts[word, own] + left * mended
    strength = strength / rest + np.log(sizes[word] / rest)
    strength = np.minimum(strength, MAX_LIFT) / MAX_LIFT
    said = csr_matrix((strength, word, words.indptr), words.shape) @ lifts + np.log(common)
    there = np.flatnonzero(labels.given >= 0)
    said[there, labels.given[there]] += np.bincount(row, strength * mended, minlength=len(said))[there]
    return _softmax(said)


def _words(title: str) -> list[str]:
    """The words of a title and the pairs of neighbours, sorted."""
    single = tokens(title)
    return sorted({*single, *(f"{one} {other}" for one, other in pairwise(single))})


def by_palette(labels: Labels, palettes: NDArray[np.uint8], shape: Table, seed: int) -> Table:
    """Extremely randomised trees (Geurts et al. 2006) over the three largest colours of the palette, the mean colour,
    and what the discriminant says of common values; each product is read by the trees that were not grown on it."""
    trees = require("sklearn.ensemble").ExtraTreesClassifier(
        TREES, min_samples_leaf=LEAF, bootstrap=True, oob_score=True, max_features="sqrt", random_state=seed, n_jobs=1
    )
    lab, shares = decoded_palettes(palettes)
    mean = (lab * shares[..., None]).sum(axis=1)
    often = labels.common > 0.005
    seen = np.hstack([lab[:, :3].reshape(len(lab), -1), shares[:, :3], mean, np.log(shape[:, often])])
    known = np.flatnonzero(labels.given >= 0)
    rest = np.flatnonzero(labels.given < 0)
    width, common = len(labels.values), labels.common
    found = np.zeros((len(lab), width))
    import warnings

    with warnings.catch_warnings():
        # A product that every tree was grown on has no tree to be read by; its row stays empty here.
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        trees.fit(seen[known].astype(np.float32), labels.given[known])
    columns = np.asarray(trees.classes_, np.int64)
    found[np.ix_(known, columns)] = np.nan_to_num(trees.oob_decision_function_)
    if len(rest):
        found[np.ix_(rest, columns)] = trees.predict_proba(seen[rest].astype(np.float32))
    found = TREE_SHARE * found + (1 - TREE_SHARE * found.sum(axis=1, keepdims=True)) * common
    return _rows_of_one(found)


def pooled(labels: Labels, evidence: Sequence[Table], seed: int) -> Table:
    """The product of distributions and of how common each value is, each to a power of 0 or more: those under which the
    labels that are there are likeliest."""
    known = np.flatnonzero(labels.given >= 0)
    some = np.sort(np.random.default_rng(seed).permutation(known)[:FIT])
    own = labels.given[some]
    prior = np.log(labels.common).astype(np.float32)
    logs = np.stack([np.log(table[some]) for table in evidence] + [np.broadcast_to(prior, (len(some), len(prior)))])

    def loss(powers: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scores = np.einsum("p,pnv->nv", powers, logs)
        shares = np.exp(scores - logsumexp(scores, axis=1, keepdims=True))
        picked = logs[:, np.arange(len(own)), own]
        slope = ((logs * shares).sum(axis=2) - picked).mean(axis=1)
        cost = -np.log(np.maximum(shares[np.arange(len(own)), own], 1e-300)).mean()
        return float(cost + 1e-3 * (powers**2).sum()), slope + 2e-3 * powers

    start = np.append(np.full(len(evidence), 1 / len(evidence)), 0.0)
    limits: Any = [(0, None)] * len(start)
    powers = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=limits, options={"maxiter": 60}).x
    scores = powers[-1] * prior + sum(
        np.float32(power) * np.log(table) for power, table in zip(powers, evidence, strict=False)
    )
    return _softmax(scores)


def _softmax(scores: NDArray[Any]) -> Table:
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return _rows_of_one(shifted)


def _rows_of_one(table: NDArray[Any]) -> Table:
    table = np.maximum(table / np.maximum(table.sum(axis=1, keepdims=True), 1e-30), FLOOR)
    return np.asarray(table / table.sum(axis=1, keepdims=True), np.float32)
