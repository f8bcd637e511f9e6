"""Says of each hit of an answer how likely it is what was asked for, see :mod:`lapel.engine.calibration`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import ModelError, ModelMismatchError
from lapel.core.types import EmbeddedQuery, Hit, Matches, Query, Verdict
from lapel.core.vectors import Keys
from lapel.encoders import Encoder
from lapel.encoders.probes import DOMAINS, Probes, read_probes
from lapel.engine.calibration import (
    ANSWER_HITS,
    FILE,
    JUDGEMENTS,
    NEIGHBOURS,
    Calibration,
    Density,
    HitFeatures,
    density_of,
    likelihoods,
    reaches,
    read_calibration,
)
from lapel.engine.context import StoreContext
from lapel.engine.hits import FoundHits
from lapel.engine.index_storage import SearchSnapshot
from lapel.engine.photo_figures import Figures, PhotoFigures

logger = logging.getLogger(__name__)

OWN = "calibration"  # the folder of a store with, by the fingerprint of a model, its own calibration and probes
NONE = ("", 0)
NO_STRENGTH = (float("nan"), float("nan"))  # of queries that are no images
SAMPLED, DENSITY_NEIGHBOURS = 300, 24  # photos by which a shop's density is measured, and what is looked at around each
Rows = NDArray[np.int64]
JUDGED = ("image", "product", "vector")  # kinds of queries whose cosines compare with those that were learned from


@dataclass(frozen=True, slots=True)
class Answered:
    """A query and what was found.

    Attributes:
        query: What was asked.
        embedded: How it was read.
        hits: What was found.
    """

    query: Query
    embedded: EmbeddedQuery
    hits: FoundHits


@dataclass(frozen=True, slots=True)
class Judged:
    """What is said of an answer.

    Attributes:
        verdict: The closest verdict on its first ten hits; None where they were not judged.
        kinds: See :attr:`lapel.core.types.SearchResult.kinds`.
        fashion: See :attr:`lapel.core.types.SearchResult.fashion`.
    """

    verdict: Verdict | None = None
    kinds: tuple[tuple[str, float], ...] = ()
    fashion: float | None = None


NOT_JUDGED = Judged()


class Judge:
    """Judges hits of one store. Safe to share between threads.

    Args:
        store: The store.
        own: Whether its own calibration goes before the model's.
    """

    def __init__(self, store: StoreContext, *, own: bool = True) -> None:
        self._store = store
        self._own = own
        self._known: tuple[tuple[str, int], Calibration | None, Probes] = (NONE, None, {})
        self._figures = PhotoFigures(store.catalog, "", {})
        self._dense: tuple[str, int, Density] = ("", 0, (0.0, 0.0))

    def of(self, encoder: Encoder) -> tuple[Calibration | None, Probes]:
        """The calibration of an encoder's model - the store's own where it has one - and its probes; read once.

        Raises:
            ModelError: either cannot be read.
        """
        wanted = self._stamp(encoder.fingerprint)
        if self._known[0] != wanted:
            model = getattr(encoder, "model", None)
            places = [own_folder(self._store.folder, encoder.fingerprint)] if self._own else []
            places += [] if model is None else [model.path]
            probes: Probes = next(filter(None, (read_probes(place, encoder.dim) for place in places)), {})
            calibration = next(filter(None, map(read_calibration, places)), None)
            self._known = (wanted, calibration, probes)
        return self._known[1], self._known[2]

    def _density_of(self, snapshot: SearchSnapshot) -> Density:
        """How near the shop's products lie to each other; measured anew when it has a tenth more photos, or less."""
        count, fingerprint = len(snapshot.index), snapshot.model.fingerprint
        known, size, density = self._dense
        if known != fingerprint or abs(count - size) > size / 10:
            density = _density(self._store, snapshot)
            self._dense = (fingerprint, count, density)
        return density

    def _stamp(self, fingerprint: str) -> tuple[str, int]:
        """Another one when the store's own calibration was written anew, by whichever process."""
        try:
            return fingerprint, (own_folder(self._store.folder, fingerprint) / FILE).stat().st_mtime_ns
        except OSError:
            return fingerprint, 0

    def judge(self, snapshot: SearchSnapshot, asked: Sequence[Answered], near: Matches) -> list[Judged]:
        """Give the hits of some queries probabilities and verdicts, and say what is known of each query.

        Nothing is said where that cannot be told: of words, of several parts, of a model without calibration or one
        that is gone, whose vectors can be searched all the same.

        Args:
            snapshot: What was searched; its model is opened when it is first judged by.
            asked: q queries and what was found.
            near: (q, n) the nearest photos of each.
        """
        judged = [NOT_JUDGED] * len(asked)
        rows = [row for row, each in enumerate(asked) if len(each.hits) and _can_be_told(each)]
        fingerprint = snapshot.model.fingerprint
        if not rows:
            return judged
        if self._known[0] != self._stamp(fingerprint):
            try:
                self.of(snapshot.encoder)
            except (ModelError, ModelMismatchError) as error:
                logger.debug("answers are not judged: %s", error)
                return judged
        _, calibration, probes = self._known
        if calibration is None:
            return judged
        figures = self._figures
        if figures.probes is not probes or figures.fingerprint != fingerprint:
            figures = self._figures = PhotoFigures(self._store.catalog, fingerprint, probes)
        some = [asked[row] for row in rows]
        evidence = _evidence(some, Matches(near.keys[rows], near.scores[rows]), figures)
        on_white = np.array([each.embedded.parts[0].on_white for each in some], bool)
        density = None if calibration.density is None else self._density_of(snapshot)
        for domain in (True, False):
            told = np.flatnonzero(evidence.told & (on_white == domain))
            if len(told):
                own = [some[row] for row in told.tolist()]
                found = _judged(calibration, probes, own, evidence.of(told), density, on_white=domain)
                for row, each in zip(told.tolist(), found, strict=True):
                    judged[rows[row]] = each
        return judged


def _density(store: StoreContext, snapshot: SearchSnapshot) -> Density:
    """See :func:`lapel.engine.calibration.density_of`; other photos of a product do not count."""
    keys, fingerprint = snapshot.index.keys, snapshot.model.fingerprint
    some = np.sort(np.random.default_rng(0).permutation(keys)[:SAMPLED])
    there, vectors = store.catalog.vectors_there(some, fingerprint=fingerprint)
    some = some[there]
    if not len(some):
        return 0.0, 0.0
    near = snapshot.index.search(vectors, DENSITY_NEIGHBOURS)
    found = np.unique(np.concatenate([some, near.keys.ravel()]))
    products = {key: product.id for key, (product, _) in store.catalog.entries(found[found >= 0].tolist()).items()}
    names, numbers = np.unique([products.get(key, "") for key in found.tolist()], return_inverse=True)
    of_near, of_own = (numbers[np.searchsorted(found, each)] for each in (near.keys, some))
    scores = np.where((of_near != of_own[:, None]) & (names[of_near] != ""), near.scores, -np.inf)
    return density_of(-np.sort(-scores, axis=1)[:, :10])


def _evidence(asked: Sequence[Answered], near: Matches, of_photos: PhotoFigures) -> _Evidence:
    """What is near each query, and what its hits are."""
    keys, scores = _others(asked, near)
    counts = np.array([len(each.hits) for each in asked])
    hits = np.concatenate([each.hits.keys for each in asked])
    distinct, places = np.unique(np.concatenate([keys.ravel(), hits]), return_inverse=True)
    first = int(np.searchsorted(distinct, 0))  # -1 fills up
    figures = of_photos.of(distinct[first:])
    rows = np.where(places < first, -1, places - first)
    rows[~np.append(figures.there, False)[rows]] = -1
    nearest, own = rows[: keys.size].reshape(keys.shape), rows[keys.size :]
    if (nearest < 0).any():
        order = np.argsort(nearest < 0, axis=1, kind="stable")  # those that are gone by now come last
        nearest, scores = np.take_along_axis(nearest, order, axis=1), np.take_along_axis(scores, order, axis=1)
        scores[nearest < 0] = -np.inf
    lost = np.bincount(np.repeat(np.arange(len(asked)), counts)[own < 0], minlength=len(asked))
    return _Evidence(figures, nearest, scores, own, counts, (nearest[:, 0] >= 0) & (lost == 0))


def _others(asked: Sequence[Answered], near: Matches) -> tuple[Keys, NDArray[np.float32]]:
    """(q, 20) the nearest photos of each query and their cosines, without those of the product that is asked for
    itself; filled up with -1."""
    photos = [each.embedded.parts[0].photos for each in asked]
    keys, most = near.keys, max(map(len, photos))
    if most:
        own = np.array([each + (-1,) * (most - len(each)) for each in photos])
        keys = np.where((keys[..., None] == own[:, None]).any(axis=2), -1, keys)
    order = np.argsort(keys < 0, axis=1, kind="stable")[:, :NEIGHBOURS]
    return np.take_along_axis(keys, order, axis=1), np.take_along_axis(near.scores, order, axis=1)


@dataclass(frozen=True)
class _Evidence:
    """What queries are judged by; rows are places among the figures.

    Attributes:
        figures: Of all photos that matter.
        near: (q, n) rows of the nearest photos, filled up with -1.
        scores: (q, n) float32, their cosines, filled up with -inf.
        hits: (m,) rows of the hits, those of one query after the other.
        counts: (q,) how many hits each query has.
        told: (q,) bool, which queries can be judged: another process may have removed a hit since.
    """

    figures: Figures
    near: Rows
    scores: NDArray[np.float32]
    hits: Rows
    counts: Rows
    told: NDArray[np.bool_]

    def of(self, some: Rows) -> _Evidence:
        """Of some of the queries, rising."""
        if len(some) == len(self.near):
            return self
        hits = self.hits[np.isin(np.repeat(np.arange(len(self.near)), self.counts), some)]
        return _Evidence(self.figures, self.near[some], self.scores[some], hits, self.counts[some], self.told[some])


def _can_be_told(asked: Answered) -> bool:
    """Whether a query's cosines compare with those that were learned from; other weights are other cosines."""
    parts = asked.embedded.parts
    return len(parts) == 1 and parts[0].kind in JUDGED and parts[0].weight > 0 and asked.query.look is None


def _judged(
    calibration: Calibration,
    probes: Probes,
    asked: Sequence[Answered],
    by: _Evidence,
    density: Density | None,
    *,
    on_white: bool,
) -> list[Judged]:
    """Judge the hits of queries of one domain, all at once."""
    own = likelihoods(probes, np.stack([each.embedded.vector for each in asked]))
    labels = np.where(by.near[..., None] < 0, 0, by.figures.labels[by.near])
    figures = HitFeatures(own, by.scores, labels, by.figures.kinds(by.near))
    query = np.repeat(np.arange(len(asked)), by.counts)
    scores = np.concatenate([each.hits.scores for each in asked])
    features = figures.of(query, scores, by.figures.likely(by.hits), by.figures.labels[by.hits])
    strengths = np.array([each.embedded.parts[0].strength or NO_STRENGTH for each in asked])
    categories = by.figures.categories(by.hits)
    told = calibration.judge(features, categories, on_white=on_white, strengths=strengths[query], density=density)
    ends = np.cumsum(by.counts)
    first = ends - by.counts
    is_late = np.arange(len(query)) - first[query] >= ANSWER_HITS
    closest = np.minimum.reduceat(np.where(is_late, len(JUDGEMENTS), told.closest), first)
    fashion = calibration.fashion_of(calibration.levelled(features[first], density), strengths)
    kinds: Sequence[tuple[tuple[str, float], ...]] = [()] * len(asked)
    if figures.kinds is not None:
        strange = fashion < calibration.fashion_least.get(DOMAINS[not on_white], 0.0)
        likely = np.where(strange[:, None], -1, figures.kinds)
        kinds = calibration.kinds(probes["kind"].values, likely, on_white=on_white)
    answers = []
    shown = fashion.tolist() if calibration.fashion is not None else [None] * len(asked)
    parts = zip(asked, first.tolist(), ends.tolist(), closest.tolist(), kinds, shown, strict=True)
    for each, begin, end, best, own_kinds, own_fashion in parts:
        each.hits.judge(told, begin, end)
        answers.append(Judged(JUDGEMENTS[best], own_kinds, own_fashion))
    return answers


def own_folder(store: Path, fingerprint: str) -> Path:
    """Where a store keeps its own calibration of a model, and the probes that go with it."""
    return store / OWN / fingerprint


def kept(hits: Iterable[Hit], least: float | Verdict | str | None) -> list[Hit]:
    """The hits that reach a cut-off, in their order: a score, or a verdict."""
    if least is None:
        return list(hits)
    if isinstance(least, Verdict):
        return [hit for hit in hits if reaches(hit.verdict, least)]
    return [hit for hit in hits if hit.score >= float(least)]
