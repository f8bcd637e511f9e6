"""The order of candidates: the cosine, and what else was asked for.

- *Words alone*: the list by the cosine and the list by BM25 over titles, brands, ids and attributes are fused by
  reciprocal rank (Cormack, Clarke and Buettcher 2009), so that a name and a description both find what is meant.
- *Colours and words beside other parts*: the nearest among those that have them are candidates too, and agreement is
  added to the cosine.
  The kinds (category and gender) of what is nearest to the query without the colour keep colour from buying another
  kind.
- *A photo's own colours*: see :mod:`lapel.engine.look`.

Whatever has words of negative weight comes after all that has not. The product whose id the text is comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.catalog import Catalog
from lapel.core.filters import Condition, Filter
from lapel.core.types import EmbeddedQuery, Matches, Query, UnderstoodPart
from lapel.core.vectors import Keys
from lapel.core.words import WordReading, Words
from lapel.engine.asked_colours import agreement
from lapel.engine.look import LookReranker, LookTable, places_of
from lapel.engine.words import WordReader

RRF_K = 60  # of reciprocal rank fusion, as its authors found it
FUSED = 200  # of each list that are fused
ENOUGH = 10  # products with all of the words, below which those with all but one are looked for
MOST_GROUPS = 10  # words of a query for which they are
COLOUR_STEP = 0.5  # of cosine: what full agreement with a colour adds
LEAST_LENGTH = 1e-6  # of a direction
WORDS_STEP = 0.15  # and what having the words adds
PEOPLE_STEP = 0.3  # and being for those for whom it is to be
KIND_STEP = 0.1  # of cosine, for each factor e that a candidate's kind is rarer near the query without its colour
KIND_NEIGHBOURS = 100  # photos that say so
KIND_SCALE = 0.1  # of cosine: how fast they lose weight below the nearest
KIND_FLOOR = 0.02  # probability that every kind keeps

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Candidates:
    """Photos that may be hits, in their order.

    Attributes:
        keys: (n,) photo keys.
        scores: (n,) float32 cosines.
        added: (n,) float32, what was added to each; they are in the order of the sum.
    """

    keys: Keys
    scores: Scores
    added: Scores

    def sorted(self, pieces: NDArray[np.int64], *, least: float | None) -> Candidates:
        """The same in their order, those that reach ``least`` before those that do not.

        Args:
            pieces: (n,) numbers of pieces, one after the other, each with an order of its own: so that the first of
                them stay as they are where more is looked at.
            least: A score.
        """
        reached = np.ones(len(self.keys), bool) if least is None else self.scores >= least
        order = np.lexsort((np.arange(len(self.keys)), -(self.scores + self.added), pieces, ~reached))
        return Candidates(self.keys[order], self.scores[order], self.added[order])


class WishOrder:
    """Orders candidates by what words and colours a query asks for. Safe to share between threads.

    Args:
        catalog: The store's.
        look: What knows the colours of photos.
        words: What reads words.
    """

    def __init__(self, catalog: Catalog, look: LookReranker, words: WordReader) -> None:
        self._catalog = catalog
        self._look = look
        self._words = words

    def narrower(self, query: Query, embedded: EmbeddedQuery) -> list[Filter]:
        """Filters whose nearest products are candidates beside those of the whole: the store's own names of the colours
        that are asked for."""
        names = [name for part in _liked(embedded) for colour in part.asked for name in colour.names]
        if not names:
            return []
        return [Filter((*query.where.conditions, Condition("colour", "=", tuple(dict.fromkeys(names)))))]

    def text_keys(self, query: Query, embedded: EmbeddedQuery) -> Keys:
        """(n,) photo keys of the products that the word search finds, the best first; none where no words are asked
        for."""
        ids: dict[str, None] = {}
        for part in _liked(embedded):
            if part.words is None or not part.words.understood:
                continue
            if part.words.product_id:
                named = Condition("id", "=", (part.words.product_id,))
                if self._catalog.count(Filter((*query.where.conditions, named))):  # a filter holds for it too
                    ids[part.words.product_id] = None
                continue
            groups = self._words.phrases(part.words)
            if not groups:
                continue
            ids.update(dict.fromkeys(self._matching(groups, query.where)))
        return self._catalog.first_photos(list(ids))

    def _matching(self, groups: tuple[tuple[Words, ...], ...], where: Filter) -> list[str]:
        """The ids of products with all of the words, the best first; where those are few, with all but one of them
        behind, as one word may be read wrong."""
        found = [each for each, _ in self._catalog.ranked_by_words(groups, where, limit=FUSED)]
        if len(found) >= ENOUGH or not 1 < len(groups) <= MOST_GROUPS:
            return found
        fewer = [
            pair
            for left_out in range(len(groups))
            for pair in self._catalog.ranked_by_words(
                groups[:left_out] + groups[left_out + 1 :], where, limit=FUSED // len(groups)
            )
        ]
        fewer.sort(key=lambda pair: -pair[1])
        return [*found, *(each for each, _ in fewer)]

    def adjusted(
        self,
        generation: int,
        embedded: EmbeddedQuery,
        keys: Keys,
        scores: Scores,
        text_keys: Keys,
        near: Matches | None = None,
    ) -> Candidates:
        """Candidates with what is added to each.

        Args:
            generation: The catalogue's.
            embedded: The query.
            keys: (n,) every candidate's photo key.
            scores: (n,) their cosines.
            text_keys: What :meth:`text_keys` gave.
            near: What is nearest to :func:`without_colours` of the query, where colours are asked for.
        """
        table = self._look.table(generation)
        if only_words(embedded):
            added = _fused(keys, scores, text_keys) - scores
        else:
            added = np.zeros_like(scores)
            for part in embedded.parts:
                added += self._wished(table, part, keys)
            if near is not None:
                added += np.float32(KIND_STEP) * _kind_evidence(table, keys, near)
        return Candidates(keys, scores, self._unwanted_last(table, embedded, keys, scores, added))

    def _wished(self, table: LookTable, part: UnderstoodPart, keys: Keys) -> Scores:
        """(n,) what a part adds: agreement with its colours and its words."""
        added = np.zeros(len(keys), np.float32)
        weight = max(-1.0, min(1.0, part.weight))
        if not len(table.keys):
            return added
        at, there = places_of(table, keys)
        for colour in part.asked:
            agreeing = agreement(colour, table, at) * there
            added += np.float32(COLOUR_STEP * weight / len(part.asked)) * agreeing
        if part.people:
            genders = table.columns["gender"]
            wanted = np.isin(genders.of[at], [genders.values.index(name) for name in part.people]) & there
            return np.asarray(added + PEOPLE_STEP * weight * wanted, np.float32)
        if part.words is not None and part.words.groups and not part.words.only_colours and weight > 0:
            added += np.float32(WORDS_STEP * weight) * self._having(table, part, at, there)
        return added

    def held(self, generation: int, reading: WordReading, keys: Keys) -> NDArray[np.float64]:
        """(n,) 0..1, what share of the words that were asked for the products of photos hold in their texts; words
        that nobody understood, or that the model alone knows, are held by none."""
        table, counts = self._look.table(generation), self._words.counts_of(reading)
        known = {word for group in reading.groups for spelling in group for word in spelling.split()}
        others = sum(word not in known for word in reading.read.split()) + len(reading.unknown)
        asked = max(1, len(reading.groups) + others)
        if not len(table.keys) or not len(counts):
            return np.zeros(len(keys))
        at, there = places_of(table, keys)
        return np.asarray(counts[np.minimum(table.rows[at], len(counts) - 1)] * there / asked, np.float64)

    def agreeing(self, generation: int, parts: Sequence[UnderstoodPart], keys: Keys) -> NDArray[np.float64]:
        """(n,) 0..1, how well photos have the colours that parts ask for, and are for those for whom it is to be."""
        table, found = self._look.table(generation), np.ones(len(keys))
        if not len(table.keys):
            return found
        at, there = places_of(table, keys)
        for part in parts:
            each: list[NDArray[Any]] = [agreement(colour, table, at) for colour in part.asked]
            if part.people:
                genders = table.columns["gender"]
                each.append(np.isin(genders.of[at], [genders.values.index(name) for name in part.people]))
            if each:
                having = np.mean(each, axis=0) * there
                found = np.minimum(found, having if part.weight > 0 else 1 - having)
        return found

    def names_a_kind(self, part: UnderstoodPart) -> bool:
        """Whether a part's words say what a thing is."""
        return part.words is not None and self._words.names_a_kind(part.words)

    def _having(
        self, table: LookTable, part: UnderstoodPart, at: NDArray[np.int64], there: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """(n,) which photos are of products that have a part's words."""
        assert part.words is not None
        rows = self._words.rows_with(part.words)
        numbers = np.minimum(table.rows[at], len(rows) - 1)
        return np.asarray(rows[numbers] & there)

    def _unwanted_last(
        self, table: LookTable, embedded: EmbeddedQuery, keys: Keys, scores: Scores, added: Scores
    ) -> Scores:
        """The same, with what has words of negative weight below all that has not."""
        unwanted = np.zeros(len(keys), bool)
        at, there = places_of(table, keys) if len(table.keys) else (np.zeros(len(keys), np.int64), unwanted)
        for part in embedded.parts:
            if part.weight < 0 and part.words is not None and part.words.groups:
                unwanted |= self._having(table, part, at, there)
        if unwanted.all() or not unwanted.any():
            return added
        total = scores + added
        drop = max(0.0, float(total[unwanted].max() - total[~unwanted].min())) + 1e-3
        return np.asarray(added - np.float32(drop) * unwanted, np.float32)


def without_colours(embedded: EmbeddedQuery) -> Scores | None:
    """(dim,) the direction of the parts that ask for no colour; None where no colour is asked for, or nothing else
    is."""
    rows = [row for row, part in enumerate(embedded.parts) if not part.asked]
    if len(rows) == len(embedded.parts):
        return None
    base = embedded.directions[rows].sum(axis=0)
    length = float(np.linalg.norm(base))
    return None if length < LEAST_LENGTH else np.asarray(base / np.float32(length), np.float32)


def _kind_evidence(table: LookTable, keys: Keys, near: Matches) -> Scores:
    """(n,) log probability of each candidate's kind among what is near, the likeliest 0."""
    if not len(table.keys):
        return np.zeros(len(keys), np.float32)
    category, gender = table.columns["category"], table.columns["gender"]
    kinds = category.of.astype(np.int64) * len(gender.values) + gender.of
    there = near.keys[0] >= 0
    at, known = places_of(table, near.keys[0][there])
    scores = near.scores[0][there]
    if not known.any():
        return np.zeros(len(keys), np.float32)
    weights = np.exp((scores - scores.max()) / KIND_SCALE) * known
    share = np.bincount(kinds[at], weights, minlength=len(category.values) * len(gender.values))
    log = np.log(share / share.sum() + KIND_FLOOR)
    own, _ = places_of(table, keys)
    return np.asarray((log - log.max())[kinds[own]], np.float32)


def has_wishes(embedded: EmbeddedQuery) -> bool:
    """Whether words or colours are asked for."""
    return any(part.asked or (part.words is not None and part.words.understood) for part in embedded.parts)


def only_words(embedded: EmbeddedQuery) -> bool:
    """Whether all that is looked for is words."""
    liked = _liked(embedded)
    return bool(liked) and all(part.words is not None and not part.asked for part in liked)


def _liked(embedded: EmbeddedQuery) -> list[UnderstoodPart]:
    return [part for part in embedded.parts if part.weight > 0]


def _fused(keys: Keys, scores: Scores, text_keys: Keys) -> Scores:
    """(n,) 0..1: reciprocal ranks in the list by cosine and the list by words, added; 1 is first in both.

    Beyond the first :data:`FUSED` of a list nothing is added but what keeps the order of the cosine.
    """
    places = np.empty(len(keys), np.float64)
    places[np.argsort(-scores, kind="stable")] = np.arange(len(keys))
    ranks = np.where(places < FUSED, 1 / (RRF_K + 1 + places), 0)
    by_words = {key: place for place, key in enumerate(text_keys.tolist()[:FUSED])}
    ranks += np.array([1 / (RRF_K + 1 + by_words[key]) if key in by_words else 0 for key in keys.tolist()])
    return np.asarray(ranks * (RRF_K + 1) / 2 + 1e-4 * scores, np.float32)
