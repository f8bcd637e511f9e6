"""From a question to an answer, in stages: embed -> retrieve -> group -> rerank -> calibrate -> explain.

A query of weighted parts becomes one unit vector; the index finds photos; the catalogue says whose they are; each
product comes once.
Many queries go through the stages together: their images are encoded in batches and looked up in batches.
"""

from __future__ import annotations

import logging
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lapel.core.answers import Explanation, Region
from lapel.core.errors import ModelMismatchError, QueryError
from lapel.core.images import to_image
from lapel.core.settings import settings
from lapel.core.text import fold
from lapel.core.types import (
    EmbeddedQuery,
    Filter,
    Hit,
    Part,
    Photo,
    Product,
    Query,
    SearchResult,
    UnderstoodPart,
    Verdict,
)
from lapel.core.vectors import Keys, Vectors, check_vectors, normalise
from lapel.encoders.segmenter import ImageEmbeddings, embed_images
from lapel.engine.calibration import NEIGHBOURS
from lapel.engine.colours import read_colours
from lapel.engine.context import StoreContext
from lapel.engine.explanation import Explainer
from lapel.engine.index_storage import SearchSnapshot
from lapel.engine.judging import Judge, kept
from lapel.engine.look import CALIBRATED, CANDIDATES, ON_WHITE_SCALE, LookReranker, LookWeights
from lapel.engine.regions import find_regions
from lapel.indexes import RowFilter

logger = logging.getLogger(__name__)

MAX_REMEMBERED = 64  # queries whose reading is kept for explanations; 20 kB each
MAX_FILTERS = 64  # filters whose keys are kept; at 40,000 photos each is 0.3 MB at most
FACET_VALUES = 100  # values counted of each field
WORD_MATCHES = 24  # products whose photos stand for words, where the model cannot read words itself
RERANKED = 5  # times k hits that a reranker is given
MIN_SPARE = 8  # photos fetched beyond k, as a product may have several
CANCELLED = 1e-6  # length of a sum of parts below which they leave no direction


@dataclass
class _Timer:
    """Milliseconds by stage."""

    spent: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.spent[name] = self.spent.get(name, 0.0) + 1000 * (time.perf_counter() - begun)

    def shared(self, queries: int) -> Mapping[str, float]:
        """Of each of so many queries that went through together."""
        return {name: spent / queries for name, spent in self.spent.items()}


Reranker = Callable[[EmbeddedQuery, Sequence[Hit]], Sequence[Hit]]  # hits best first -> the same in another order


@dataclass(frozen=True)
class _Filtered:
    """What passes a filter at a generation of the catalogue.

    Attributes:
        generation: The catalogue's.
        keys: Photo keys, and what an index found out about them; None where there is no filter.
        products: How many products.
    """

    generation: int
    keys: RowFilter | None
    products: int


class SearchEngine:
    """Answers queries over one store. Safe to share between threads.

    Args:
        store: The store.
        rerank: Puts grouped hits into another order; it is given ``RERANKED`` times as many as are asked for.
        look: How much the look of photos counts, see :mod:`lapel.engine.look`.
    """

    def __init__(self, store: StoreContext, *, rerank: Reranker | None = None, look: LookWeights = CALIBRATED) -> None:
        self.store = store
        self._rerank = rerank
        self._recent: dict[Filter, _Filtered] = {}
        self._look = LookReranker(store.catalog, look)
        self._judge = Judge(store)
        self._asked: dict[int, tuple[weakref.ref[Query], EmbeddedQuery]] = {}

    def search(self, query: Query) -> SearchResult:
        """The products that look most like the query, best first, each once with its best photo.

        Returns:
            Up to ``query.k`` hits: fewer only when fewer products pass the filter, or reach ``query.least``.

        Raises:
            QueryError: an unknown product or field, a product without a usable photo, words that no product has, or
                parts that cancel each other out.
            ModelMismatchError: the store's vectors come from another model than its encoder's, or than the query's
                vector.
        """
        return self.search_many([query])[0]

    def search_many(self, queries: Sequence[Query]) -> list[SearchResult]:
        """The answer to each of several queries, as :meth:`search` gives it, in less time: images are encoded and
        looked up together."""
        timer = _Timer()
        # One snapshot for all of it: whatever another process does meanwhile, queries and index are of one model.
        with timer.stage("embed"):
            snapshot, embedded = self._embed(queries)
        for query, read in zip(queries, embedded, strict=True):
            self._remember(query, read)
        by_filter: dict[Filter, list[int]] = defaultdict(list)
        for row, query in enumerate(queries):
            by_filter[query.where].append(row)
        results: dict[int, SearchResult] = {}
        for where, rows in by_filter.items():
            with timer.stage("retrieve"):
                passing = self._passing(snapshot, where)
            asked = [(queries[row], embedded[row]) for row in rows]
            for row, (hits, near) in zip(rows, self._answer(snapshot, passing, asked, timer), strict=True):
                results[row] = self._result(snapshot, queries[row], embedded[row], hits, near, passing.products, timer)
        spent, problem = timer.shared(max(len(queries), 1)), self.store.index_sync.problem
        logger.debug("%d queries answered, each in ms: %s", len(queries), spent)
        return [replace(results[row], timings=spent, index_problem=problem) for row in range(len(queries))]

    def _result(
        self,
        snapshot: SearchSnapshot,
        query: Query,
        embedded: EmbeddedQuery,
        grouped: Sequence[Hit],
        near: tuple[Keys, NDArray[np.float32]],
        total: int,
        timer: _Timer,
    ) -> SearchResult:
        """The later stages: rerank, calibrate, explain."""
        if self._rerank is not None:
            with timer.stage("rerank"):
                best = list(self._rerank(embedded, grouped))[: query.k]
                grouped = [replace(hit, rank=rank) for rank, hit in enumerate(best, 1)]
        with timer.stage("calibrate"):
            judged, read = self._judge.judge(snapshot.encoder, query, embedded, grouped, near)
            hits = kept(judged, query.least)
            verdict = self._verdict(hits, grouped, query.where)
        if len(embedded.parts) > 1:
            with timer.stage("explain"):
                hits = self._explain(snapshot, embedded, hits)
        with timer.stage("facets"):
            facets = {name: self._facet(name, query.where) for name in query.facets}
        nearest = max((hit.score for hit in grouped), default=None)
        return SearchResult(tuple(hits), total, verdict, embedded, facets, nearest=nearest, **read)

    def embed(self, query: Query) -> EmbeddedQuery:
        """The query as one direction; each of its images goes once through the network."""
        return self._embed([query])[1][0]

    def explain(self, query: Query, hit: Hit) -> Explanation:
        """Why a hit is in the answer to a query, see :meth:`lapel.engine.explanation.Explainer.explain`."""
        known = self._asked.get(id(query))
        embedded = known[1] if known is not None and known[0]() is query else self.embed(query)
        pictures = [part.image for part in query.all_parts if part.image is not None]
        return Explainer(self.store).explain(embedded, to_image(pictures[0]) if pictures else None, hit)

    def regions(self, image: object) -> list[Region]:
        """The products in a picture, see :func:`lapel.engine.regions.find_regions`."""
        encoder = self.store.encoder
        return find_regions(encoder, self._judge.of(encoder)[1], to_image(image))

    def _remember(self, query: Query, embedded: EmbeddedQuery) -> None:
        """Keep how a query was read while the query itself is kept, so that explaining its hits encodes it no more."""
        if len(self._asked) >= MAX_REMEMBERED:
            self._asked.clear()
        self._asked[id(query)] = (weakref.ref(query), embedded)

    def vector(self, query: Query) -> Vectors:
        """The query as a (1, dim) float32 unit row."""
        return self.embed(query).vector[None]

    # --- embed --------------------------------------------------------------------------------------------------------

    def _embed(self, queries: Sequence[Query]) -> tuple[SearchSnapshot, list[EmbeddedQuery]]:
        """The store as it is now, and each query as a direction of its model."""
        while True:
            snapshot = self.store.current()
            try:
                images = self._encode_images(snapshot, queries)
                return snapshot, [self._combine(snapshot, query, images) for query in queries]
            except _ModelChangedError:
                continue

    def _encode_images(
        self, snapshot: SearchSnapshot, queries: Sequence[Query]
    ) -> dict[int, tuple[ImageEmbeddings, int]]:
        """Every image part by its identity: the batch it was encoded in, and its row there."""
        found: dict[int, tuple[ImageEmbeddings, int]] = {}
        for segment in (True, False):
            parts = [
                part
                for query in queries
                for part in query.all_parts
                if part.image is not None and part.segment is segment
            ]
            if parts:
                batch = embed_images(snapshot.encoder, [part.image for part in parts], segment=segment)
                found.update((id(part), (batch, row)) for row, part in enumerate(parts))
        return found

    def _combine(
        self, snapshot: SearchSnapshot, query: Query, images: Mapping[int, tuple[ImageEmbeddings, int]]
    ) -> EmbeddedQuery:
        """The weighted sum of the parts' directions, at length 1."""
        read = [self._read(snapshot, part, images) for part in query.all_parts]
        rows = np.stack([vector for vector, _ in read])
        weighted = rows * np.array([part.weight for part in query.all_parts], np.float32)[:, None]
        total = weighted.sum(axis=0)
        length = float(np.linalg.norm(total))
        if length < CANCELLED:
            raise QueryError(
                "The parts of the query cancel each other out: nothing is left to look for. Change the weights."
            )
        one = len(read) == 1 and query.all_parts[0].weight > 0
        vector = rows[0] if one else total / np.float32(length)
        return EmbeddedQuery(
            vector, snapshot.model.fingerprint, tuple(part for _, part in read), weighted / length, _excluded(query)
        )

    def _read(
        self, snapshot: SearchSnapshot, part: Part, images: Mapping[int, tuple[ImageEmbeddings, int]]
    ) -> tuple[NDArray[np.float32], UnderstoodPart]:
        """A part's unit direction, and how it was read."""
        if part.image is not None:
            batch, row = images[id(part)]
            segmented = batch.products[row]
            product = None if segmented is None else batch.product[row]
            note = "the image" if segmented is None else "the image and the product found in it"
            colours = read_colours(to_image(part.image), segmented) if part.segment else None
            seen = bool(batch.on_white[row]), batch.maps[row]
            whole = UnderstoodPart("image", part.weight, note, batch.whole[row], product, segmented, colours, *seen)
            return batch.vectors[row], whole
        if part.vector is not None:
            vector, note = self._given(snapshot, part, part.vector), "a vector"
        elif part.product_id is not None:
            vector, note = self._of_product(snapshot, part.product_id), f"the product {part.product_id}"
        else:
            vector, note = self._of_words(snapshot, str(part.text))
        on_white = part.colours is None or part.colours.on_white
        return vector, UnderstoodPart(part.kind, part.weight, note, vector, colours=part.colours, on_white=on_white)

    def _given(self, snapshot: SearchSnapshot, part: Part, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        if part.fingerprint and part.fingerprint != snapshot.model.fingerprint:
            raise ModelMismatchError(
                f"The query's vector was made by the model {part.fingerprint}; the store {self.store.folder} is"
                f" searched"
                f" with '{snapshot.model.name}' ({snapshot.model.fingerprint}) now. Ask with the picture again."
            )
        given: NDArray[np.float32] = check_vectors(np.reshape(vector, (1, -1)), snapshot.index.dim)[0]
        return given

    def _of_product(self, snapshot: SearchSnapshot, product_id: str) -> NDArray[np.float32]:
        """The mean direction of a product's photos."""
        photos = self.store.catalog.photos(product_id)
        if not photos:
            raise QueryError(
                f"There is no product '{product_id}' in this store. 'lapel info' says what it holds.",
                product_id=product_id,
            )
        vectors = self._vectors_of(snapshot, photos)
        if not len(vectors):
            raise QueryError(
                f"No photo of the product '{product_id}' has a vector of the model '{snapshot.model.name}'."
                " Run 'lapel add' for it again."
            )
        return _mean(vectors)

    def _of_words(self, snapshot: SearchSnapshot, words: str) -> tuple[NDArray[np.float32], str]:
        """The mean direction of the products whose texts match best (Rocchio's centroid): any model can be asked with
        words so."""
        products, total = self.store.catalog.search_words(words, limit=WORD_MATCHES)
        photos = [photo for product in products for photo in self.store.catalog.photos(product.id)[:1]]
        vectors = self._vectors_of(snapshot, photos) if photos else np.empty((0, 0), np.float32)
        if not len(vectors):
            raise QueryError(f"No product has the words '{words}' in its texts. Use other words, or fewer.")
        return _mean(vectors), f"the mean of {len(photos)} of {total:,} products with the words '{words}'"

    def _vectors_of(self, snapshot: SearchSnapshot, photos: Sequence[Photo]) -> Vectors:
        """Their vectors; those without one are left out."""
        keys = np.array([photo.key for photo in photos], np.int64)
        vectors = self.store.catalog.vector_of(keys, fingerprint=snapshot.model.fingerprint)
        if not len(vectors) and self.store.current().version != snapshot.version:
            raise _ModelChangedError  # the store dropped this model's vectors since
        return vectors

    # --- retrieve and group -------------------------------------------------------------------------------------------

    def _answer(
        self, snapshot: SearchSnapshot, passing: _Filtered, asked: Sequence[tuple[Query, EmbeddedQuery]], timer: _Timer
    ) -> Iterator[tuple[list[Hit], tuple[Keys, NDArray[np.float32]]]]:
        """The grouped hits of queries that share a filter, and the keys and cosines of the nearest photos."""
        index, factor = snapshot.index, 1 if self._rerank is None else RERANKED
        reachable = max(len(index) if passing.keys is None else len(passing.keys), 1)
        wanted = [factor * query.k for query, _ in asked]
        excluded = [_excluded(query) for query, _ in asked]
        scales = [_colour_scale(query, embedded) for query, embedded in asked]
        # A product has one to many photos, so k products may need more than k photos: fetch some spare, then ever more.
        fetch = max(k + max(MIN_SPARE, k // 2) + 4 * len(out) for k, out in zip(wanted, excluded, strict=True))
        fetch = max(fetch, CANDIDATES if any(scales) else 2 * NEIGHBOURS)
        vectors = np.stack([embedded.vector for _, embedded in asked])
        with timer.stage("retrieve"):
            matches = index.search(vectors, min(fetch, reachable), passing.keys)
        for row, (query, embedded) in enumerate(asked):
            keys, scores, fetched = matches.keys[row], matches.scores[row], fetch
            while True:
                ordered = self._by_look(snapshot, query, embedded, scales[row], keys, scores, timer)
                with timer.stage("group"):
                    hits = self._group(*ordered, wanted[row], query.group, excluded[row])
                if len(hits) == wanted[row] or fetched >= reachable:
                    break
                fetched *= 4
                with timer.stage("retrieve"):
                    more = index.search(vectors[row : row + 1], min(fetched, reachable), passing.keys)
                keys, scores = more.keys[0], more.scores[0]
            yield hits, (matches.keys[row], matches.scores[row])

    def _by_look(
        self,
        snapshot: SearchSnapshot,
        query: Query,
        embedded: EmbeddedQuery,
        scale: float,
        keys: Keys,
        scores: NDArray[np.float32],
        timer: _Timer,
    ) -> tuple[Keys, NDArray[np.float32], NDArray[np.float32]]:
        """Matches in the order of their look: keys, cosines and what was added to each. Those that reach ``least`` come
        before those that do not."""
        there = keys >= 0
        keys, scores, colours = keys[there], scores[there], embedded.colours
        least = query.least if isinstance(query.least, float) else None
        out_of_reach = least is not None and len(scores) > 0 and scores[0] < least
        if not scale or colours is None or not len(keys) or out_of_reach:
            return keys, scores, np.zeros_like(scores)
        with timer.stage("rerank"):
            added = self._look.adjustments(snapshot.version.generation, keys, scores, colours, scale=scale)
            reached = np.ones(len(keys), bool) if least is None else scores >= least
            order = np.lexsort((np.arange(len(keys)), -(scores + added), ~reached))
        return keys[order], scores[order], added[order]

    def _passing(self, snapshot: SearchSnapshot, where: Filter) -> _Filtered:
        """What passes a filter; kept for the next query, as people look at many images with one filter."""
        catalog, generation = self.store.catalog, snapshot.version.generation
        known = self._recent.get(where)
        if known is None or known.generation != generation:
            keys = RowFilter(catalog.matching_keys(where)) if where else None
            known = _Filtered(generation, keys, catalog.count(where))
            if len(self._recent) >= MAX_FILTERS:
                self._recent.clear()
            self._recent[where] = known
        return known

    def _group(
        self,
        keys: Keys,
        scores: NDArray[np.float32],
        added: NDArray[np.float32],
        k: int,
        group: str,
        excluded: frozenset[str],
    ) -> list[Hit]:
        """The first k products, or groups of products, each with its best photo."""
        field_name = self._field(group) if group else ""
        hits: list[Hit] = []
        seen = {("id", each) for each in excluded}
        # Looked up in pieces: mostly the first k photos are of k products, and the spare ones are not needed.
        for at in range(0, len(keys), k):
            entries = self.store.catalog.entries(keys[at : at + k])
            rows = zip(*(column[at : at + k].tolist() for column in (keys, scores, added)), strict=True)
            for key, score, adjustment in rows:
                entry = entries.get(key)  # None: removed by another process since the index was built
                if entry is None or seen & (names := _groups_of(entry[0], field_name)):
                    continue
                seen |= names
                hits.append(Hit(len(hits) + 1, score, *entry, adjustment=adjustment))
                if len(hits) == k:
                    return hits
        return hits

    def _field(self, name: str) -> str:
        """The field that a name means, whatever its case.

        Raises:
            QueryError: no product has such a field.
        """
        known = {fold(each): each for each in self.store.catalog.field_names()}
        if fold(name) not in known:
            raise QueryError(
                f"The catalogue has no field '{name}' to group by. There are: {', '.join(known.values())}.", field=name
            )
        return known[fold(name)]

    # --- calibrate and explain ----------------------------------------------------------------------------------------

    def _explain(self, snapshot: SearchSnapshot, embedded: EmbeddedQuery, hits: Sequence[Hit]) -> list[Hit]:
        """The hits with what each part of the query adds to their score: it is a sum of inner products, so it splits
        exactly."""
        vectors_of = partial(self.store.catalog.vector_of, fingerprint=snapshot.model.fingerprint)
        own = [vectors_of([hit.photo.key]) for hit in hits]
        return [
            replace(hit, contributions=tuple((embedded.directions @ vectors[0]).tolist())) if len(vectors) else hit
            for hit, vectors in zip(hits, own, strict=True)
        ]

    def _verdict(self, hits: Sequence[Hit], before: Sequence[Hit], where: Filter) -> Verdict:
        if hits:
            return hits[0].verdict or Verdict.FOUND
        if before:
            return Verdict.NOTHING_CLOSE
        return Verdict.NOTHING_PASSES if where and self.store.catalog.count() else Verdict.EMPTY

    def _facet(self, name: str, where: Filter) -> tuple[tuple[str, int], ...]:
        return tuple(self.store.catalog.facet_values(name, where=where, limit=FACET_VALUES))


class _ModelChangedError(Exception):
    """The store got another model between two looks at it: embed again."""


def _colour_scale(query: Query, embedded: EmbeddedQuery) -> float:
    """How much colours count in an answer; 0 where the order is the cosine's."""
    reading = embedded.colours
    if reading is None:
        return 0.0
    scale = settings().colour if query.colour is None else query.colour
    return scale * ON_WHITE_SCALE if reading.on_white else scale


def _excluded(query: Query) -> frozenset[str]:
    return query.exclude | {part.product_id for part in query.all_parts if part.product_id is not None}


def _mean(vectors: Vectors) -> NDArray[np.float32]:
    mean: NDArray[np.float32] = normalise(vectors.mean(axis=0, keepdims=True))[0]
    return mean


def _groups_of(product: Product, name: str) -> set[tuple[str, str]]:
    """What must not come twice: the product, and the value of the field that groups; a product without one stands for
    itself."""
    names = {("id", product.id)}
    if name and name != "price" and (value := "|".join(product.facets().get(name, ()))):
        names.add((name, value))
    return names
