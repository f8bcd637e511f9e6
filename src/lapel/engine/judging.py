"""Says of each hit of an answer how likely it is what was asked for, see :mod:`lapel.engine.calibration`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import ModelError, ModelMismatchError
from lapel.core.types import EmbeddedQuery, Hit, Query, Verdict
from lapel.core.vectors import Keys
from lapel.encoders import Encoder
from lapel.encoders.probes import Probes, read_probes
from lapel.engine.calibration import (
    FILE,
    NEIGHBOURS,
    Calibration,
    HitFeatures,
    likelihoods,
    reaches,
    read_calibration,
)
from lapel.engine.context import StoreContext
from lapel.engine.index_storage import SearchSnapshot
from lapel.engine.photo_figures import Figures, PhotoFigures

logger = logging.getLogger(__name__)

OWN = "calibration"  # the folder of a store with, by the fingerprint of a model, its own calibration and probes
NONE = ("", 0)
NO_STRENGTH = (float("nan"), float("nan"))  # of queries that are no images
Judged = tuple[list[Hit], dict[str, Any]]
Rows = NDArray[np.int64]
JUDGED = ("image", "product", "vector")  # kinds of queries whose cosines compare with those that were learned from


@dataclass(frozen=True)
class Answered:
    """A query and what was found.

    Attributes:
        query: What was asked.
        embedded: How it was read.
        hits: What was found.
        keys: (n,) the nearest photos, padded with -1.
        scores: (n,) float32, their cosines.
    """

    query: Query
    embedded: EmbeddedQuery
    hits: Sequence[Hit]
    keys: Keys
    scores: NDArray[np.float32]


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

    def _stamp(self, fingerprint: str) -> tuple[str, int]:
        """Another one when the store's own calibration was written anew, by whichever process."""
        try:
            return fingerprint, (own_folder(self._store.folder, fingerprint) / FILE).stat().st_mtime_ns
        except OSError:
            return fingerprint, 0

    def judge(self, snapshot: SearchSnapshot, asked: Sequence[Answered]) -> list[Judged]:
        """The hits of some queries with probabilities and verdicts; and by field of the result what is known of each
        query: ``kinds`` and ``fashion``.

        Args:
            snapshot: What was searched; its model is opened when it is first judged by.
            asked: Queries and what was found.

        Returns:
            The hits as they are and nothing where that cannot be told: of words, of several parts, of a model without
            calibration or one that is gone, whose vectors can be searched all the same.
        """
        judged: list[Judged] = [(list(each.hits), {}) for each in asked]
        rows = [row for row, each in enumerate(asked) if each.hits and _can_be_told(each)]
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
        evidence = self._evidence([asked[row] for row in rows], figures)
        for on_white in (True, False):
            some = evidence.told & np.array([asked[row].embedded.parts[0].on_white is on_white for row in rows], bool)
            if some.any():
                own = [asked[row] for row, each in zip(rows, some.tolist(), strict=True) if each]
                found = _judged(calibration, probes, own, evidence.of(some), on_white=on_white)
                for row, each in zip(np.array(rows)[some].tolist(), found, strict=True):
                    judged[row] = each
        return judged

    def _evidence(self, asked: Sequence[Answered], of_photos: PhotoFigures) -> _Evidence:
        """What is near each query, and what its hits are."""
        keys, scores = self._others(asked)
        hits = [hit.photo.key for each in asked for hit in each.hits]
        counts = np.array([len(each.hits) for each in asked])
        distinct, places = np.unique(np.concatenate([keys.ravel(), np.array(hits, np.int64)]), return_inverse=True)
        first = int(np.searchsorted(distinct, 0))  # -1 fills up
        figures = of_photos.of(distinct[first:])
        rows = np.where(places < first, -1, places - first)
        rows[~np.append(figures.there, False)[rows]] = -1
        near, own = rows[: keys.size].reshape(keys.shape), rows[keys.size :]
        order = np.argsort(near < 0, axis=1, kind="stable")  # those that are gone by now come last
        near, scores = np.take_along_axis(near, order, axis=1), np.take_along_axis(scores, order, axis=1)
        scores[near < 0] = -np.inf
        lost = np.bincount(np.repeat(np.arange(len(asked)), counts)[own < 0], minlength=len(asked))
        return _Evidence(figures, near, scores, own, counts, (near[:, 0] >= 0) & (lost == 0))

    def _others(self, asked: Sequence[Answered]) -> tuple[Keys, NDArray[np.float32]]:
        """(q, 20) the nearest photos of each query and their cosines, without those of the product that is asked for
        itself; filled up with -1."""
        width = max(len(each.keys) for each in asked)
        keys, scores = np.full((len(asked), width), -1), np.full((len(asked), width), -np.inf, np.float32)
        own = [each.query.all_parts[0].product_id for each in asked]
        photos = self._store.catalog.photo_keys([one for one in own if one is not None]) if any(own) else {}
        for row, (each, product_id) in enumerate(zip(asked, own, strict=True)):
            keys[row, : len(each.keys)], scores[row, : len(each.keys)] = each.keys, each.scores
            for key in photos.get(product_id, ()) if product_id is not None else ():
                keys[row][keys[row] == key] = -1
        order = np.argsort(keys < 0, axis=1, kind="stable")[:, :NEIGHBOURS]
        return np.take_along_axis(keys, order, axis=1), np.take_along_axis(scores, order, axis=1)


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

    def of(self, some: NDArray[np.bool_]) -> _Evidence:
        """Of some of the queries."""
        if some.all():
            return self
        hits = self.hits[np.repeat(some, self.counts)]
        return _Evidence(self.figures, self.near[some], self.scores[some], hits, self.counts[some], self.told[some])


def _can_be_told(asked: Answered) -> bool:
    """Whether a query's cosines compare with those that were learned from; other weights are other cosines."""
    (part, *others) = asked.embedded.parts
    return not others and part.kind in JUDGED and part.weight > 0 and asked.query.look is None


def _judged(
    calibration: Calibration, probes: Probes, asked: Sequence[Answered], by: _Evidence, *, on_white: bool
) -> list[Judged]:
    """The hits of queries of one domain, all at once."""
    own = likelihoods(probes, np.stack([each.embedded.vector for each in asked]))
    labels = np.where(by.near[..., None] < 0, 0, by.figures.labels[by.near])
    figures = HitFeatures(own, by.scores, labels, by.figures.kinds(by.near))
    hits = [hit for each in asked for hit in each.hits]
    query = np.repeat(np.arange(len(asked)), by.counts)
    scores = np.array([hit.score for hit in hits], np.float32)
    features = figures.of(query, scores, by.figures.likely(by.hits), by.figures.labels[by.hits])
    categories = [hit.product.category[-1] if hit.product.category else "" for hit in hits]
    strengths = np.array([each.embedded.parts[0].strength or NO_STRENGTH for each in asked])
    told = calibration.judge(features, categories, on_white=on_white, strengths=strengths[query])
    judged = [
        hit.judged(likely[Verdict.SAME_KIND], verdict, likely)
        for hit, (verdict, likely) in zip(hits, told, strict=True)
    ]
    first = np.flatnonzero(np.diff(query, prepend=-1))
    ends = [*first[1:].tolist(), len(hits)]
    strange = calibration.is_strange(features[first], strengths, on_white=on_white)
    fashion = calibration.fashion_of(features[first], strengths)
    answers: list[Judged] = []
    for row, (begin, end) in enumerate(zip(first.tolist(), ends, strict=True)):
        kinds: tuple[tuple[str, float], ...] = ()
        if figures.kinds is not None and not strange[row]:
            kinds = calibration.kinds(probes["kind"].values, figures.kinds[row], on_white=on_white)
        likely = None if calibration.fashion is None else float(fashion[row])
        answers.append((judged[begin:end], {"kinds": kinds, "fashion": likely}))
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
