"""Says of each hit of an answer how likely it is what was asked for, see :mod:`lapel.engine.calibration`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import ModelError, ModelMismatchError
from lapel.core.types import EmbeddedQuery, Hit, Matches, Query, Verdict
from lapel.core.vectors import Keys, Vectors
from lapel.core.words import WordReading
from lapel.encoders import Encoder
from lapel.encoders.probes import DOMAINS, Probes, read_probes
from lapel.encoders.words import folded
from lapel.engine.calibration import (
    AGREEING,
    ANSWER_HITS,
    FILE,
    JUDGEMENTS,
    MANY_WORDS,
    NEIGHBOURS,
    Calibration,
    Density,
    Features,
    HitFeatures,
    Likelihoods,
    Told,
    density_of,
    likelihoods,
    reaches,
    read_calibration,
    word_features,
)
from lapel.engine.context import StoreContext
from lapel.engine.hits import FoundHits
from lapel.engine.index_storage import SearchSnapshot
from lapel.engine.ordering import WishOrder
from lapel.engine.photo_figures import Figures, PhotoFigures

logger = logging.getLogger(__name__)

OWN = "calibration"  # the folder of a store with, by the fingerprint of a model, its own calibration and probes
NONE = ("", 0)
NO_STRENGTH = (float("nan"), float("nan"))  # of queries that are no images
SAMPLED, DENSITY_NEIGHBOURS = 300, 24  # photos by which a shop's density is measured, and what is looked at around each
MAX_NAMES = 20_000  # names of labels whose vectors are kept, 10 MB
NAMED = ("kind", "colour")  # labels whose names words are compared with, and their columns among the labels
Rows = NDArray[np.int64]
JUDGED = ("image", "product", "vector")  # kinds of queries whose cosines compare with those that were learned from


@dataclass(frozen=True, slots=True)
class Answered:
    """A query and what was found.

    Attributes:
        query: What was asked.
        embedded: How it was read.
        hits: What was found.
        cosines: Of the hits with the picture alone, where colours and words are asked for beside it; else None.
        agreeing: See :meth:`lapel.engine.calibration.Calibration.judge`; None where nothing is.
    """

    query: Query
    embedded: EmbeddedQuery
    hits: FoundHits
    cosines: NDArray[np.float32] | None = None
    agreeing: NDArray[np.float64] | None = None


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
        wishes: What knows which products have the words and colours that are asked for; None judges neither.
        own: Whether its own calibration goes before the model's.
    """

    def __init__(self, store: StoreContext, wishes: WishOrder | None = None, *, own: bool = True) -> None:
        self._store = store
        self._wishes = wishes
        self._own = own
        self._names: tuple[str, dict[str, NDArray[np.float32]]] = ("", {})
        self._known: tuple[tuple[str, int], Calibration | None, Probes] = (NONE, None, {})
        self._figures = PhotoFigures(store.catalog, "", {})
        self._dense: tuple[str, int, Density] = ("", 0, (0.0, 0.0))

    def of(self, encoder: Encoder) -> tuple[Calibration | None, Probes]:
        """The calibration of an encoder's model - the store's own where it has one, which says nothing of words - and
        its probes; read once.

        Raises:
            ModelError: either cannot be read.
        """
        wanted = self._stamp(encoder.fingerprint)
        if self._known[0] != wanted:
            model = getattr(encoder, "model", None)
            places = [own_folder(self._store.folder, encoder.fingerprint)] if self._own else []
            places += [] if model is None else [model.path]
            probes: Probes = next(filter(None, (read_probes(place, encoder.dim) for place in places)), {})
            found = list(filter(None, map(read_calibration, places)))
            calibration = found[0] if found else None
            if calibration is not None and calibration.words is None:
                calibration = replace(calibration, words=found[-1].words, words_least=found[-1].words_least)
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

        A picture with colours and words beside it is judged by the picture, and by whether hits have the colours.
        Nothing is said where that cannot be told: of several pictures, of a picture and another kind, of a model
        without calibration or one that is gone, whose vectors can be searched all the same.

        Args:
            snapshot: What was searched; its model is opened when it is first judged by.
            asked: q queries and what was found.
            near: (q, n) the nearest photos of each.
        """
        judged = [NOT_JUDGED] * len(asked)
        words = [len(each.hits) > 0 and self._wishes is not None and _is_words(each) for each in asked]
        beside = {row: place for row, each in enumerate(asked) if (place := self._picture(each)) is not None}
        rows = [
            row
            for row, each in enumerate(asked)
            if words[row] or row in beside or (len(each.hits) and _can_be_told(each))
        ]
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
        some, near = [asked[row] for row in rows], Matches(near.keys[rows], near.scores[rows])
        for place, row in enumerate(rows):
            if row in beside:
                some[place] = alone = self._by_picture(snapshot, asked[row], beside[row])
                found = snapshot.index.search(alone.embedded.vector[None], near.keys.shape[1])
                near.keys[place], near.scores[place] = found.keys[0], found.scores[0]
        evidence = _evidence(some, near, figures)
        on_white = np.array([each.embedded.parts[0].on_white for each in some], bool)
        in_words = np.array([words[row] for row in rows])
        told = np.flatnonzero(evidence.told & in_words) if calibration.words is not None else np.empty(0, np.int64)
        if len(told):
            own = [some[row] for row in told.tolist()]
            said = self._judged_words(snapshot, calibration, probes, own, evidence.of(told))
            for row, each in zip(told.tolist(), said, strict=True):
                judged[rows[row]] = each
        density = None if calibration.density is None else self._density_of(snapshot)
        for domain in (True, False):
            told = np.flatnonzero(evidence.told & ~in_words & (on_white == domain))
            if len(told):
                own = [some[row] for row in told.tolist()]
                said = _judged(calibration, probes, own, evidence.of(told), density, on_white=domain)
                for row, each in zip(told.tolist(), said, strict=True):
                    judged[rows[row]] = each
        return judged

    def _picture(self, asked: Answered) -> int | None:
        """Which part is the one picture of a query that asks for colours and words beside it, and for no other kind;
        None of other queries."""
        parts = asked.embedded.parts
        pictures = [place for place, part in enumerate(parts) if part.kind in JUDGED]
        others = [part for part in parts if part.kind not in JUDGED]
        if self._wishes is None or not others or len(pictures) != 1 or not len(asked.hits) or asked.query.look:
            return None
        if parts[pictures[0]].weight <= 0 or any(self._wishes.names_a_kind(part) for part in others if part.weight > 0):
            return None
        return pictures[0]

    def _by_picture(self, snapshot: SearchSnapshot, asked: Answered, place: int) -> Answered:
        """The same answer to the picture alone, with how well hits have what is asked for beside it."""
        assert self._wishes is not None
        embedded, keys = asked.embedded, asked.hits.keys
        part, row = embedded.parts[place], embedded.directions[place]
        vector = row / np.float32(np.linalg.norm(row))
        there, vectors = self._store.catalog.vectors_there(keys.tolist(), fingerprint=snapshot.model.fingerprint)
        cosines = np.full(len(keys), -1, np.float32)
        cosines[there] = vectors @ vector
        others = [each for each in embedded.parts if each is not part]
        agreeing = self._wishes.agreeing(snapshot.version.generation, others, keys)
        alone = EmbeddedQuery(vector, embedded.fingerprint, (part,), vector[None], embedded.exclude)
        return Answered(asked.query, alone, asked.hits, cosines, agreeing)

    def _judged_words(
        self,
        snapshot: SearchSnapshot,
        calibration: Calibration,
        probes: Probes,
        asked: Sequence[Answered],
        by: _Evidence,
    ) -> list[Judged]:
        """Judge the hits of queries in words, all at once."""
        own = likelihoods(probes, np.stack([each.embedded.vector for each in asked]))
        query, found = _hit_features(asked, by, _near_features(by, own))
        readings = [each.embedded.parts[0].words or WordReading("") for each in asked]
        assert self._wishes is not None
        generation = snapshot.version.generation
        pairs = zip(asked, readings, strict=True)
        held = np.concatenate([self._wishes.held(generation, reading, each.hits.keys) for each, reading in pairs])
        read = np.array([len(reading.read.split()) for reading in readings])[query]
        labels = self._labels(snapshot, probes, asked, by, query)
        near, _ = self._density_of(snapshot)
        told = calibration.judge_words(
            word_features(found, own, query, labels, held, read, near), named=(held >= 1) & (read >= MANY_WORDS)
        )
        closest, ends = _closest(told, by.counts, query)
        answers = []
        for each, end, count, best in zip(asked, ends.tolist(), by.counts.tolist(), closest.tolist(), strict=True):
            each.hits.judge(told, end - count, end)
            answers.append(Judged(JUDGEMENTS[best]))
        return answers

    def _labels(
        self, snapshot: SearchSnapshot, probes: Probes, asked: Sequence[Answered], by: _Evidence, query: Rows
    ) -> NDArray[np.float64]:
        """(m, 4) see :func:`lapel.engine.calibration.word_features`; what the shop does not say of a hit is called
        what the probes take it for."""
        vectors = np.stack([each.embedded.vector for each in asked])
        labels, likely = by.figures.labels[by.hits], by.figures.likely(by.hits)
        columns = []
        for name in NAMED:
            values = probes[name].values if name in probes else ()
            texts = by.figures.texts[labels[:, AGREEING.index(name)]]
            if values:
                texts = np.where(texts == "", np.array(values, object)[likely[name].argmax(axis=1)], texts)
            own = np.einsum("md,md->m", self._named(snapshot, texts.tolist()), vectors[query])
            most = (vectors @ self._named(snapshot, list(values)).T).max(axis=1, initial=-1)[query]
            columns += [own, np.maximum(own, most)]
        return np.stack(columns, axis=1)

    def _named(self, snapshot: SearchSnapshot, texts: Sequence[str]) -> Vectors:
        """(n, dim) what the model makes of names; zeros of those that hold no word."""
        fingerprint, known = self._names
        if fingerprint != snapshot.model.fingerprint or len(known) > MAX_NAMES:
            known = {}
            self._names = (snapshot.model.fingerprint, known)
        new = [text for text in dict.fromkeys(texts) if text not in known]
        said = [text for text in new if folded(text)]
        made = dict.fromkeys(new, np.zeros(snapshot.index.dim, np.float32))
        made.update(zip(said, snapshot.encoder.encode_text(said) if said else (), strict=True))
        known.update(made)  # whole, as other threads look there, too
        return np.stack([known[text] for text in texts]) if texts else np.zeros((0, snapshot.index.dim), np.float32)


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
    is_id = parts[0].words is not None and bool(parts[0].words.product_id)  # words that are a product's id
    return len(parts) == 1 and (parts[0].kind in JUDGED or is_id) and parts[0].weight > 0 and asked.query.look is None


def _is_words(asked: Answered) -> bool:
    """Whether a query is words that say what is looked for; one may say what is not."""
    first, *others = asked.embedded.parts
    said = first.words is not None and first.words.understood and not first.words.product_id and first.weight > 0
    return said and all(each.words is not None and each.weight < 0 for each in others) and asked.query.look is None


def _near_features(by: _Evidence, own: Likelihoods) -> HitFeatures:
    """What is near queries of which the probes say ``own``."""
    labels = np.where(by.near[..., None] < 0, 0, by.figures.labels[by.near])
    return HitFeatures(own, by.scores, labels, by.figures.kinds(by.near))


def _hit_features(asked: Sequence[Answered], by: _Evidence, figures: HitFeatures) -> tuple[Rows, Features]:
    """The query of each hit, and (m, 12) its figures."""
    query = np.repeat(np.arange(len(asked)), by.counts)
    scores = np.concatenate([each.hits.scores if each.cosines is None else each.cosines for each in asked])
    return query, figures.of(query, scores, by.figures.likely(by.hits), by.figures.labels[by.hits])


def _closest(told: Told, counts: Rows, query: Rows) -> tuple[Rows, Rows]:
    """Of each query, the place of the closest verdict on its first ten hits, and where its hits end."""
    ends = np.cumsum(counts)
    first = ends - counts
    is_late = np.arange(len(query)) - first[query] >= ANSWER_HITS
    return np.minimum.reduceat(np.where(is_late, len(JUDGEMENTS), told.closest), first), ends


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
    figures = _near_features(by, own)
    query, features = _hit_features(asked, by, figures)
    strengths = np.array([each.embedded.parts[0].strength or NO_STRENGTH for each in asked])
    categories = by.figures.categories(by.hits)
    agreeing = None
    if any(each.agreeing is not None for each in asked):
        pairs = zip(asked, by.counts.tolist(), strict=True)
        agreeing = np.concatenate([np.full(n, np.nan) if e.agreeing is None else e.agreeing for e, n in pairs])
    told = calibration.judge(
        features, categories, on_white=on_white, strengths=strengths[query], density=density, agreeing=agreeing
    )
    closest, ends = _closest(told, by.counts, query)
    first = ends - by.counts
    assert told.fashion is not None
    fashion = told.fashion[first]
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
