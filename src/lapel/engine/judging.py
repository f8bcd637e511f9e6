"""Says of each hit of an answer how likely it is what was asked for, see :mod:`lapel.engine.calibration`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import ModelError, ModelMismatchError
from lapel.core.types import EmbeddedQuery, Hit, Query, Verdict
from lapel.core.vectors import Keys, Vectors
from lapel.encoders import Encoder
from lapel.encoders.probes import Probes, read_probes
from lapel.engine.calibration import (
    FILE,
    NEIGHBOURS,
    Calibration,
    HitFeatures,
    Labels,
    Neighbourhood,
    labels_of,
    reaches,
    read_calibration,
)
from lapel.engine.context import StoreContext
from lapel.engine.index_storage import SearchSnapshot

logger = logging.getLogger(__name__)

OWN = "calibration"  # the folder of a store with, by the fingerprint of a model, its own calibration and probes
NONE = ("", 0)
NO_STRENGTH = (float("nan"), float("nan"))  # of queries that are no images
Judged = tuple[list[Hit], dict[str, Any]]
Evidence = tuple[Neighbourhood, Vectors, Labels]  # what is near a query; vectors and labels of its hits
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
        told = self._evidence([asked[row] for row in rows], fingerprint)
        for on_white in (True, False):
            some = [
                (row, each)
                for row, each in zip(rows, told, strict=True)
                if each is not None and asked[row].embedded.parts[0].on_white is on_white
            ]
            if some:
                found = _judged(calibration, probes, [(asked[row], *each) for row, each in some], on_white=on_white)
                for (row, _), each in zip(some, found, strict=True):
                    judged[row] = each
        return judged

    def _evidence(self, asked: Sequence[Answered], fingerprint: str) -> list[Evidence | None]:
        """What is near each query, and what its hits are; None where another process has removed one since."""
        near = self._others(asked)
        keys = [
            np.concatenate([of, [hit.photo.key for hit in each.hits]])
            for (of, _), each in zip(near, asked, strict=True)
        ]
        distinct, places = np.unique(np.concatenate(keys), return_inverse=True)
        found_there, vectors = self._store.catalog.vectors_there(distinct, fingerprint=fingerprint)
        entries = self._store.catalog.entries(distinct[found_there])
        there = found_there & np.array([key in entries for key in distinct.tolist()], bool)
        vectors = vectors[there[found_there]]
        labels = labels_of((entries[key][0] for key in distinct[there].tolist()), {})
        rows = np.where(there, np.cumsum(there) - 1, -1)[places]
        found: list[Evidence | None] = []
        split = np.split(rows, np.cumsum([len(each) for each in keys])[:-1])
        for each, (of, scores), own in zip(asked, near, split, strict=True):
            around, hits = own[: len(of)], own[len(of) :]
            known = around >= 0
            if hits.min() < 0 or not known.any():
                found.append(None)
            else:
                neighbours = Neighbourhood(
                    each.embedded.vector, scores[known], vectors[around[known]], labels[around[known]]
                )
                found.append((neighbours, vectors[hits], labels[hits]))
        return found

    def _others(self, asked: Sequence[Answered]) -> list[tuple[Keys, NDArray[np.float32]]]:
        """The nearest photos of each query without those of the product that is asked for itself."""
        own = [each.query.all_parts[0].product_id for each in asked]
        photos = self._store.catalog.photo_keys([one for one in own if one is not None]) if any(own) else {}
        found = []
        for each, product_id in zip(asked, own, strict=True):
            kept = each.keys >= 0
            if product_id is not None:
                kept &= ~np.isin(each.keys, photos.get(product_id, []))
            found.append((each.keys[kept][:NEIGHBOURS], each.scores[kept][:NEIGHBOURS]))
        return found


def _can_be_told(asked: Answered) -> bool:
    """Whether a query's cosines compare with those that were learned from; other weights are other cosines."""
    (part, *others) = asked.embedded.parts
    return not others and part.kind in JUDGED and part.weight > 0 and asked.query.look is None


def _judged(
    calibration: Calibration,
    probes: Probes,
    asked: Sequence[tuple[Answered, Neighbourhood, Vectors, Labels]],
    *,
    on_white: bool,
) -> list[Judged]:
    """The hits of queries of one domain, all at once."""
    answered, around, vectors, labels = zip(*asked, strict=True)
    figures = HitFeatures(probes, around)
    hits = [hit for each in answered for hit in each.hits]
    query = np.repeat(np.arange(len(asked)), [len(each.hits) for each in answered])
    scores = np.array([hit.score for hit in hits], np.float32)
    features = figures.of(query, scores, np.concatenate(vectors), np.concatenate(labels))
    categories = [hit.product.category[-1] if hit.product.category else "" for hit in hits]
    strengths = np.array([each.embedded.parts[0].strength or NO_STRENGTH for each in answered])
    told = calibration.judge(features, categories, on_white=on_white, strengths=strengths[query])
    judged = [
        replace(hit, probability=likely[Verdict.SAME_KIND], verdict=verdict, probabilities=likely)
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
