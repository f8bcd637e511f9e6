"""Says of each hit of an answer how likely it is what was asked for, see :mod:`lapel.engine.calibration`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
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
    Neighbourhood,
    hit_features,
    reaches,
    read_calibration,
)
from lapel.engine.context import StoreContext
from lapel.engine.index_storage import SearchSnapshot

logger = logging.getLogger(__name__)

OWN = "calibration"  # the folder of a store with, by the fingerprint of a model, its own calibration and probes
NONE = ("", 0)
JUDGED = ("image", "product", "vector")  # kinds of queries whose cosines compare with those that were learned from


class Judge:
    """Judges hits of one store. Safe to share between threads.

    Args:
        store: The store.
    """

    def __init__(self, store: StoreContext) -> None:
        self._store = store
        self._known: tuple[tuple[str, int], Calibration | None, Probes] = (NONE, None, {})

    def of(self, encoder: Encoder) -> tuple[Calibration | None, Probes]:
        """The calibration of an encoder's model - the store's own where it has one - and its probes; read once.

        Raises:
            ModelError: either cannot be read.
        """
        wanted = self._stamp(encoder.fingerprint)
        if self._known[0] != wanted:
            own = own_folder(self._store.folder, encoder.fingerprint)
            model = getattr(encoder, "model", None)
            places = [own] if model is None else [own, model.path]
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

    def judge(
        self,
        snapshot: SearchSnapshot,
        query: Query,
        embedded: EmbeddedQuery,
        hits: Sequence[Hit],
        near: tuple[Keys, NDArray[np.float32]],
    ) -> tuple[list[Hit], dict[str, Any]]:
        """Hits with probabilities and verdicts; and by field of the result what is known of the query: ``kinds`` and
        ``fashion``.

        Args:
            snapshot: What was searched; its model is opened when it is first judged by.
            query: What was asked.
            embedded: How it was read.
            hits: What was found.
            near: Keys and cosines of the nearest photos, padded with -1.

        Returns:
            The hits as they are and nothing where that cannot be told: of words, of several parts, of a model without
            calibration or one that is gone, whose vectors can be searched all the same.
        """
        told = len(embedded.parts) == 1 and embedded.parts[0].kind in JUDGED and embedded.parts[0].weight > 0
        told = told and query.look is None  # other weights are other cosines
        if not told or not hits:
            return list(hits), {}
        if self._known[0] != self._stamp(embedded.fingerprint):
            try:
                self.of(snapshot.encoder)
            except (ModelError, ModelMismatchError) as error:
                logger.debug("answers are not judged: %s", error)
                return list(hits), {}
        _, calibration, probes = self._known
        if calibration is None:
            return list(hits), {}
        keys, scores = self._others(query, *near)
        wanted = [hit.photo.key for hit in hits]
        vectors, known = self._vectors([*keys.tolist(), *wanted], embedded.fingerprint)
        of_near, of_hits = known[: len(keys)], known[len(keys) :]
        if not of_hits.all() or not of_near.any():  # another process has removed some since
            return list(hits), {}
        around = Neighbourhood(embedded.vector, scores[of_near], vectors[: len(keys)][of_near])
        features = hit_features(probes, around, np.array([hit.score for hit in hits], np.float32), vectors[len(keys) :])
        on_white, strength = embedded.parts[0].on_white, embedded.parts[0].strength
        categories = [hit.product.category[-1] if hit.product.category else "" for hit in hits]
        judged = [
            replace(hit, probability=likely[Verdict.SAME_KIND], verdict=verdict, probabilities=likely)
            for hit, (verdict, likely) in zip(
                hits, calibration.judge(features, categories, on_white=on_white, strength=strength), strict=True
            )
        ]
        strange = calibration.is_strange(features, strength, on_white=on_white)
        kinds = () if strange else calibration.kinds(probes, around, on_white=on_white)
        fashion = None if calibration.fashion is None else calibration.fashion_of(features, strength)
        return judged, {"kinds": kinds, "fashion": fashion}

    def _others(self, query: Query, keys: Keys, scores: NDArray[np.float32]) -> tuple[Keys, NDArray[np.float32]]:
        """The nearest photos without those of products that are asked for themselves."""
        own = [part.product_id for part in query.all_parts if part.product_id is not None]
        out = [photo.key for product_id in own for photo in self._store.catalog.photos(product_id)]
        kept = (keys >= 0) & ~np.isin(keys, out)
        return keys[kept][:NEIGHBOURS], scores[kept][:NEIGHBOURS]

    def _vectors(self, keys: Sequence[int], fingerprint: str) -> tuple[Vectors, NDArray[np.bool_]]:
        """(n, dim) the vectors of photos, and which of them there are; zeros for those that are gone."""
        catalog = self._store.catalog
        found = catalog.vector_of(keys, fingerprint=fingerprint)
        if len(found) == len(keys):
            return found, np.ones(len(keys), bool)
        each = [catalog.vector_of([key], fingerprint=fingerprint) for key in keys]
        known = np.array([len(one) > 0 for one in each], bool)
        dim = next((one.shape[1] for one in each if len(one)), 0)
        return np.stack([one[0] if len(one) else np.zeros(dim, np.float32) for one in each]), known


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
