"""From a question to an answer, in stages: embed -> retrieve -> group -> rerank -> calibrate -> explain.

A query of weighted parts becomes one unit vector; the index finds photos; the catalogue says whose they are; each
product comes once.
Many queries go through the stages together: their images are encoded in batches and looked up in batches.
"""

from __future__ import annotations

import logging
import math
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from lapel.core.answers import Explanation, Region
from lapel.core.errors import QueryError
from lapel.core.images import to_image
from lapel.core.queries import CLOSENESS
from lapel.core.settings import settings
from lapel.core.types import (
    EmbeddedQuery,
    Filter,
    Hit,
    LookMix,
    Matches,
    Query,
    SearchResult,
    Verdict,
)
from lapel.core.vectors import Keys, Vectors
from lapel.engine.calibration import NEIGHBOURS, closest
from lapel.engine.context import StoreContext
from lapel.engine.explanation import Explainer
from lapel.engine.facets import Counts, FacetCounter
from lapel.engine.grouping import Grouper, PhotoNumbers, first_piece, is_plain, one_each, pool_of
from lapel.engine.hits import Entries, FoundHits
from lapel.engine.index_storage import SearchSnapshot
from lapel.engine.judging import Answered, Judge, Judged, kept
from lapel.engine.look import CALIBRATED, CANDIDATES, ON_WHITE_SCALE, LookReranker, LookWeights, places_of
from lapel.engine.look_mix import mixed, pattern_basis
from lapel.engine.ordering import KIND_NEIGHBOURS, Candidates, WishOrder, has_wishes, without_colours
from lapel.engine.reading import ModelChangedError, QueryReader
from lapel.engine.regions import find_regions
from lapel.engine.rules import WINDOW, Effects, RuleBook, reordered, said_by
from lapel.indexes import RowFilter, VectorIndex
from lapel.indexes.rows import no_matches

logger = logging.getLogger(__name__)

MAX_REMEMBERED = 64  # queries whose reading is kept for explanations; 20 kB each
MAX_FILTERS = 64  # filters whose keys are kept; at 40,000 photos each is 0.3 MB at most
RERANKED = 5  # times k hits that a reranker is given
MIN_SPARE = 8  # photos fetched beyond k, as a product may have several
MANY_QUERIES = 8  # from which on grouping them together takes less time than one by one
EVIDENCE = NEIGHBOURS + 4  # photos fetched for judging: those of a product that is asked for are no evidence


class _Stage:
    """Adds the time inside it to a stage; entered several times a query, so it is no generator."""

    __slots__ = ("_begun", "_name", "_spent")

    def __init__(self, spent: dict[str, float], name: str) -> None:
        self._spent, self._name = spent, name

    def __enter__(self) -> None:
        self._begun = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self._spent[self._name] = self._spent.get(self._name, 0.0) + 1000 * (time.perf_counter() - self._begun)


@dataclass
class _Timer:
    """Milliseconds by stage."""

    spent: dict[str, float] = field(default_factory=dict)

    def stage(self, name: str) -> _Stage:
        return _Stage(self.spent, name)

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
        rules: What the shop wants of answers; nothing by default.

    Attributes:
        store: The store.
        facets: What counts the values of fields.
        look: What reranks by the look of photos.
    """

    def __init__(
        self,
        store: StoreContext,
        *,
        rerank: Reranker | None = None,
        look: LookWeights = CALIBRATED,
        rules: RuleBook | None = None,
    ) -> None:
        self.store = store
        self._rules = rules
        self._rerank = rerank
        self._recent: dict[tuple[Filter, bytes], _Filtered] = {}
        self.look = LookReranker(store.catalog, look)
        self._reader = QueryReader(store, self.look)
        self._wishes = WishOrder(store.catalog, self.look, self._reader.words)
        self._grouper, self._numbered = Grouper(store.catalog), PhotoNumbers()
        self.facets = FacetCounter(store.catalog)
        self._judge = Judge(store, self._wishes)
        self._asked: dict[int, tuple[weakref.ref[Query], EmbeddedQuery]] = {}

    def search(self, query: Query) -> SearchResult:
        """The products that look most like the query, best first, each once with its best photo.

        Returns:
            Up to ``query.k`` hits: fewer only when fewer products pass the filter, or reach ``query.least``.

        Raises:
            QueryError: an unknown product, field or colour, a product without a usable photo, or parts that cancel each
                other out.
            ModelMismatchError: the store's vectors come from another model than its encoder's, or than the query's
                vector.
        """
        return self.search_many([query])[0]

    def search_many(
        self, queries: Sequence[Query], *, encoded: Callable[[], None] = lambda: None, again: bool = False
    ) -> list[SearchResult]:
        """The answer to each of several queries, as :meth:`search` gives it, in less time: images are encoded and
        looked up together.

        Args:
            queries: What is asked.
            encoded: Called when their images have been encoded, and the encoder is free for others.
            again: They were asked before, together with one that failed: what was encoded then is not encoded again.
        """
        timer = _Timer()
        # One snapshot for all of it: whatever another process does meanwhile, queries and index are of one model.
        with timer.stage("embed"):
            snapshot, embedded = self._embed(queries, encoded, again=again)
        by_filter: dict[Filter, list[int]] = defaultdict(list)
        for row, query in enumerate(queries):
            by_filter[query.where].append(row)
        results: list[SearchResult | None] = [None] * len(queries)
        problem = self.store.index_sync.problem
        effects = self._effects(snapshot)
        spent: dict[str, float] = {}  # of each query; filled in when all are answered
        for where, rows in by_filter.items():
            with timer.stage("retrieve"):
                passing = self.passing(snapshot, where, effects)
            asked = [(queries[row], embedded[row]) for row in rows]
            found, near = self._answer(snapshot, passing, asked, effects, timer)
            answered = [Answered(*pair, hits) for pair, hits in zip(asked, found, strict=True)]
            with timer.stage("calibrate"):
                judged = self._judge.judge(snapshot, answered, near)
            for row, each, said in zip(rows, answered, judged, strict=True):
                results[row] = self._result(snapshot, each, said, passing.products, effects, timer, spent, problem)
        spent.update(timer.shared(max(len(queries), 1)))
        logger.debug("%d queries answered, each in ms: %s", len(queries), spent)
        return [result for result in results if result is not None]

    def _reordered(
        self,
        query: Query,
        embedded: EmbeddedQuery,
        hits: Sequence[Hit],
        snapshot: SearchSnapshot,
        effects: Effects | None,
        timer: _Timer,
    ) -> Sequence[Hit]:
        """What was found, moved by the shop's rules and reranked."""
        with timer.stage("rerank"):
            if effects is not None and hits:
                hits = reordered(effects, hits, self._numbers(snapshot, hits))[: self._reranked(query)]
            if self._rerank is not None:
                best = list(self._rerank(embedded, hits))[: query.k]
                hits = [replace(hit, rank=rank) for rank, hit in enumerate(best, 1)]
        return hits

    def _result(
        self,
        snapshot: SearchSnapshot,
        answered: Answered,
        judged: Judged,
        total: int,
        effects: Effects | None,
        timer: _Timer,
        spent: Mapping[str, float],
        problem: str,
    ) -> SearchResult:
        """The last stages: cut off, explain, count. Hits that none of them looks at are not made yet."""
        query, embedded, found = answered.query, answered.embedded, answered.hits
        hits: Sequence[Hit] | None = None
        facets: dict[str, Counts] = {}
        verdict = judged.verdict or Verdict.FOUND
        if not len(found):
            nothing_passes = query.where and self.store.catalog.count()
            verdict = Verdict.NOTHING_PASSES if nothing_passes else Verdict.EMPTY
            verdict = verdict if embedded.understood else Verdict.NOT_UNDERSTOOD
        if query.least is not None:
            if query.least in CLOSENESS and len(found) and not judged.verdict:
                raise QueryError(
                    f"Which answers are '{query.least}' cannot be told: this query, or this model, has no verdicts."
                    " Cut off at a score instead, such as 0.5."
                )
            hits = kept(found(), query.least)
            if hits:
                verdict = closest(hit.verdict for hit in hits) or Verdict.FOUND
            elif len(found):
                verdict = Verdict.NOTHING_CLOSE
        if len(embedded.parts) > 1:
            with timer.stage("explain"):
                hits = self._explain(snapshot, embedded, found() if hits is None else hits)
        if query.facets:
            hits = found() if hits is None else hits
            with timer.stage("facets"):
                facets = self._facets(snapshot, query, embedded, hits)
        rules: tuple[str, ...] = ()
        if effects is not None:
            hits = found() if hits is None else hits
            rules = said_by(effects, hits)
        return SearchResult(
            found if hits is None else tuple(hits),  # type: ignore[arg-type]
            total,
            verdict,
            embedded,
            facets,
            spent,
            max(found.scores.tolist(), default=None),
            judged.kinds,
            judged.fashion,
            index_problem=problem,
            rules=rules,
        )

    def embed(self, query: Query) -> EmbeddedQuery:
        """The query as one direction; each of its images goes once through the network.

        Raises:
            QueryError: nothing of it is understood.
        """
        embedded = self._embed([query])[1][0]
        if not embedded.understood:
            raise QueryError(f"Nothing of the query is understood: {'; '.join(part.note for part in embedded.parts)}.")
        return embedded

    def explain(self, query: Query, hit: Hit) -> Explanation:
        """Why a hit is in the answer to a query, see :meth:`lapel.engine.explanation.Explainer.explain`."""
        embedded = self._read_before(query) or self.embed(query)
        pictures = [part.seen for part in query.all_parts if part.seen is not None]
        return Explainer(self.store, self._judge).explain(embedded, pictures[0] if pictures else None, hit)

    def regions(self, image: object) -> list[Region]:
        """The products in a picture, see :func:`lapel.engine.regions.find_regions`."""
        encoder = self.store.encoder
        return find_regions(encoder, self._judge.of(encoder)[1], to_image(image))

    def _remember(self, query: Query, embedded: EmbeddedQuery) -> None:
        """Keep how a query was read while the query itself is kept, so that explaining its hits encodes it no more."""
        if len(self._asked) >= MAX_REMEMBERED:
            self._asked.clear()
        self._asked[id(query)] = (weakref.ref(query), embedded)

    def _read_before(self, query: Query, snapshot: SearchSnapshot | None = None) -> EmbeddedQuery | None:
        """How a query was read that was asked before, if it is remembered; by the model of a snapshot only."""
        known = self._asked.get(id(query))
        if known is None or known[0]() is not query:
            return None
        same = snapshot is None or known[1].fingerprint == snapshot.model.fingerprint
        return known[1] if same else None

    def vector(self, query: Query) -> Vectors:
        """The query as a (1, dim) float32 unit row."""
        return self.embed(query).vector[None]

    # --- embed --------------------------------------------------------------------------------------------------------

    def _embed(
        self, queries: Sequence[Query], encoded: Callable[[], None] = lambda: None, *, again: bool = False
    ) -> tuple[SearchSnapshot, list[EmbeddedQuery]]:
        """The store as it is now, and each query as a direction of its model."""
        while True:
            snapshot = self.store.current()
            try:
                before = [self._read_before(query, snapshot) if again else None for query in queries]
                new = [query for query, read in zip(queries, before, strict=True) if read is None]
                known = self._reader.look_up(snapshot, new)
                encoded()
                embedded = []
                for query, read in zip(queries, before, strict=True):
                    if read is None:
                        read = self._weighed(snapshot, query, self._reader.combine(snapshot, query, known))
                    embedded.append(read)
                    self._remember(query, read)
                return snapshot, embedded
            except ModelChangedError:
                continue

    def _weighed(self, snapshot: SearchSnapshot, query: Query, embedded: EmbeddedQuery) -> EmbeddedQuery:
        """A query with the weights of shape, colour and pattern that it asks for."""
        if query.look is None or not embedded.understood:
            return embedded
        mix, colour = LookMix.parse(query.look), self._reader.colour_space(snapshot).basis
        part = embedded.parts[0]
        if mix.colour > mix.shape and len(embedded.parts) == 1 and part.kind == "product" and part.colours is None:
            photo = self.store.catalog.photos(str(query.all_parts[0].product_id))[0]
            part = replace(part, colours=self.look.reading(snapshot.version.generation, photo.key))
            embedded = replace(embedded, parts=(part,))
        return mixed(embedded, mix, colour, pattern_basis(self._judge.of(snapshot.encoder)[1], colour))

    # --- retrieve and group -------------------------------------------------------------------------------------------

    def _answer(
        self,
        snapshot: SearchSnapshot,
        passing: _Filtered,
        asked: Sequence[tuple[Query, EmbeddedQuery]],
        effects: Effects | None,
        timer: _Timer,
    ) -> tuple[list[FoundHits], Matches]:
        """The grouped hits of q queries that share a filter, and (q, n) the nearest photos of all; nothing of those
        that are not understood."""
        index = snapshot.index
        reachable = max(len(index) if passing.keys is None else len(passing.keys), 1)
        # Asked once, and only for what is not simply on white, as it looks at files and the environment.
        read = [query.look or not each.colours.on_white for query, each in asked if each.colours is not None]
        usual = settings().colour_weight if any(read) else 0.0
        scales = [_colour_scale(query, embedded, usual) for query, embedded in asked]
        moved = [bool(scale) or has_wishes(embedded) for scale, (_, embedded) in zip(scales, asked, strict=True)]
        wanted = [self._wanted(query, effects) for query, _ in asked]
        fetch = max(_fetched(query, embedded, count) for (query, embedded), count in zip(asked, wanted, strict=True))
        fetch = _whole(fetch, CANDIDATES) if any(moved) else max(fetch, EVIDENCE)
        vectors = np.stack([embedded.vector for _, embedded in asked])
        understood: NDArray[np.bool_] = vectors.any(axis=1)  # type: ignore[assignment]
        with timer.stage("retrieve"):
            matches = _search(index, vectors, understood, min(fetch, reachable), passing.keys)
            # What a query is and how near the shop comes to it does not depend on what it is filtered by.
            near = matches
            if passing.keys is not None and len(index):
                near = _search(index, vectors, understood, min(EVIDENCE, len(index)))
        ordered = {
            row: self._ordered(snapshot, *asked[row], scales[row], matches.keys[row], matches.scores[row], timer)
            for row in np.flatnonzero(understood & moved).tolist()
        }
        with timer.stage("group"):
            found, entries = self._one_each(asked, understood, wanted, matches, ordered)
        answers = []
        for row, (query, embedded) in enumerate(asked):
            hits = found.get(row)
            if hits is None:
                made = FoundHits.of(())
                fetched = fetch
                enough = pool_of(wanted[row]) if query.diversity else wanted[row]
                while embedded.understood:
                    if row not in ordered:
                        keys, scores = matches.keys[row], matches.scores[row]
                        ordered[row] = self._ordered(snapshot, query, embedded, scales[row], keys, scores, timer)
                    with timer.stage("group"):
                        made = self._grouper.group(ordered.pop(row), wanted[row], query, embedded.exclude, entries)
                    if len(made) >= enough or fetched >= reachable:
                        break
                    fetched *= 4
                    with timer.stage("retrieve"):
                        further = index.search(vectors[row : row + 1], min(fetched, reachable), passing.keys)
                    ordered[row] = self._ordered(
                        snapshot, query, embedded, scales[row], further.keys[0], further.scores[0], timer
                    )
                hits = made
                if query.diversity:
                    hits = FoundHits.of(self._diverse(snapshot, query, made(), wanted[row]))
            if self._rerank is not None or effects is not None:
                hits = FoundHits.of(self._reordered(query, embedded, hits(), snapshot, effects, timer))
            answers.append(hits)
        return answers, near

    def _one_each(
        self,
        asked: Sequence[tuple[Query, EmbeddedQuery]],
        understood: NDArray[np.bool_],
        wanted: Sequence[int],
        matches: Matches,
        ordered: Mapping[int, Candidates],
    ) -> tuple[dict[int, FoundHits], Entries]:
        """The hits of the queries whose first photos are those of as many products, by their row; and the products of
        the first photos of all."""
        rows = np.flatnonzero(understood)
        if len(rows) < MANY_QUERIES:  # mostly judging asks for as many: they are read at once
            near = matches.keys[rows, :EVIDENCE]
            return {}, self.store.catalog.entries(np.unique(near[near >= 0]))
        excluded = [asked[row][1].exclude for row in rows.tolist()]
        counts = np.array([wanted[row] for row in rows.tolist()])
        width = max(first_piece(count, each) for count, each in zip(counts.tolist(), excluded, strict=True))
        first, added = no_matches(len(rows), width), np.zeros((len(rows), width), np.float32)
        few = min(width, matches.keys.shape[1])
        first.keys[:, :few], first.scores[:, :few] = matches.keys[rows, :few], matches.scores[rows, :few]
        for row in ordered:
            place, found, few = int(np.searchsorted(rows, row)), ordered[row], min(width, len(ordered[row].keys))
            first.keys[place] = -1
            first.keys[place, :few], first.scores[place, :few] = found.keys[:few], found.scores[:few]
            added[place, :few] = found.added[:few]
        change = self.store.catalog.latest_change()
        entries = self.store.catalog.entries(np.unique(first.keys[first.keys >= 0]))
        made = one_each(first, added, counts, excluded, entries, change, self._numbered)
        plain = {row: hits for row, hits in zip(rows.tolist(), made, strict=True) if hits and is_plain(asked[row][0])}
        rest = [row for row in rows.tolist() if row not in plain and row not in ordered]
        if rest:  # mostly a photo or two more of each do, and one by one they take longer to look up
            further = matches.keys[rest, :EVIDENCE]
            entries = {**entries, **self.store.catalog.entries(np.unique(further[further >= 0]))}
        return plain, entries

    def _ordered(
        self,
        snapshot: SearchSnapshot,
        query: Query,
        embedded: EmbeddedQuery,
        scale: float,
        keys: Keys,
        scores: NDArray[np.float32],
        timer: _Timer,
    ) -> Candidates:
        """Matches in the order of all that is asked for."""
        if has_wishes(embedded):
            return self._by_wishes(snapshot, query, embedded, keys, scores, timer)
        return self._by_look(snapshot, query, embedded, scale, keys, scores, timer)

    def _reranked(self, query: Query) -> int:
        return query.k if self._rerank is None else RERANKED * query.k

    def _wanted(self, query: Query, effects: Effects | None) -> int:
        """How many hits are made: more where rules put them into another order."""
        wanted = self._reranked(query)
        return wanted if effects is None or not effects.moves else _whole(wanted, WINDOW)

    def _effects(self, snapshot: SearchSnapshot) -> Effects | None:
        """What the shop's rules do to searches now; None without any."""
        if self._rules is None:
            return None
        return self._rules.effects("search", snapshot.version.generation, time.time())

    def _numbers(self, snapshot: SearchSnapshot, hits: Sequence[Hit]) -> NDArray[np.int64]:
        """The numbers of the hits' products."""
        table = self.look.table(snapshot.version.generation)
        at, there = places_of(table, np.array([hit.photo.key for hit in hits], np.int64))
        return np.where(there, table.rows[at], -1)

    def _diverse(self, snapshot: SearchSnapshot, query: Query, hits: Sequence[Hit], wanted: int) -> Sequence[Hit]:
        """The hits that differ from each other as the query says."""
        there, vectors = self._vectors_of(snapshot, [hit.photo.key for hit in hits])
        known = [hit for hit, is_there in zip(hits, there.tolist(), strict=True) if is_there]
        return self._grouper.diverse(known, vectors, wanted, query.diversity) if known else hits

    def _vectors_of(self, snapshot: SearchSnapshot, keys: Sequence[int]) -> tuple[NDArray[np.bool_], Vectors]:
        return self.store.catalog.vectors_there(keys, fingerprint=snapshot.model.fingerprint)

    def _by_wishes(
        self,
        snapshot: SearchSnapshot,
        query: Query,
        embedded: EmbeddedQuery,
        keys: Keys,
        scores: NDArray[np.float32],
        timer: _Timer,
    ) -> Candidates:
        """Matches and what words and colours find beside them, in the order of all that is asked for."""
        found, text_keys = [keys], np.empty(0, np.int64)
        with timer.stage("retrieve"):
            for where in self._wishes.narrower(query, embedded):
                passing = self.passing(snapshot, where)
                if passing.keys is not None and len(passing.keys):
                    few = min(CANDIDATES, len(passing.keys))
                    found.append(snapshot.index.search(embedded.vector[None], few, passing.keys).keys[0])
            text_keys = self._wishes.text_keys(query, embedded)
            found.append(text_keys)
            sides = np.concatenate(found[1:])
            keys, scores = self._scored(snapshot, embedded, np.concatenate(found), keys, scores)
            near, base = None, without_colours(embedded)
            if base is not None:
                every = self.passing(snapshot, query.where).keys
                near = snapshot.index.search(base[None], min(KIND_NEIGHBOURS, len(snapshot.index)), every)
        with timer.stage("rerank"):
            ordered = self._wishes.adjusted(snapshot.version.generation, embedded, keys, scores, text_keys, near)
            pieces = np.where(np.isin(keys, sides), 0, np.arange(len(keys)) // CANDIDATES)
            return ordered.sorted(pieces, least=query.least if isinstance(query.least, float) else None)

    def _scored(
        self,
        snapshot: SearchSnapshot,
        embedded: EmbeddedQuery,
        candidates: Keys,
        keys: Keys,
        scores: NDArray[np.float32],
    ) -> tuple[Keys, NDArray[np.float32]]:
        """Every candidate once with its cosine; those of matches are known."""
        known = dict(zip(keys.tolist(), scores.tolist(), strict=True))
        wanted = [key for key in dict.fromkeys(candidates.tolist()) if key >= 0 and key not in known]
        there, vectors = self._vectors_of(snapshot, wanted)
        if len(vectors):  # some may have none of this model
            known.update(zip(np.array(wanted)[there].tolist(), (vectors @ embedded.vector).tolist(), strict=True))
        known.pop(-1, None)  # an index pads with it
        return np.array(list(known), np.int64), np.array(list(known.values()), np.float32)

    def _by_look(
        self,
        snapshot: SearchSnapshot,
        query: Query,
        embedded: EmbeddedQuery,
        scale: float,
        keys: Keys,
        scores: NDArray[np.float32],
        timer: _Timer,
    ) -> Candidates:
        """Matches in the order of their look. Those that reach ``least`` come before those that do not."""
        if len(keys) and keys[-1] < 0:  # filled up
            there = keys >= 0
            keys, scores = keys[there], scores[there]
        colours = embedded.colours
        least = query.least if isinstance(query.least, float) else None
        out_of_reach = least is not None and len(scores) > 0 and scores[0] < least
        if not scale or colours is None or not len(keys) or out_of_reach:
            return Candidates(keys, scores, np.zeros_like(scores))
        with timer.stage("rerank"):
            near = slice(CANDIDATES)  # the same ones however many are looked at
            added = np.zeros_like(scores)
            added[near] = self.look.adjustments(
                snapshot.version.generation, keys[near], scores[near], colours, scale=scale, itself=query.look is None
            )
            return Candidates(keys, scores, added).sorted(np.arange(len(keys)) // CANDIDATES, least=least)

    def passing(self, snapshot: SearchSnapshot, where: Filter, effects: Effects | None = None) -> _Filtered:
        """What passes a filter and no rule hides; kept for the next query, as people look at many images with one
        filter."""
        catalog, generation = self.store.catalog, snapshot.version.generation
        hidden = np.empty(0, np.int64) if effects is None else effects.hidden
        kept = (where, hidden.tobytes())
        known = self._recent.get(kept)
        if known is None or known.generation != generation:
            keys, products = None, 0
            if where or len(hidden):
                rows, passing = catalog.matching(where)
                if len(hidden):
                    table = self.look.table(generation)
                    passing = np.setdiff1d(passing, table.keys[np.isin(table.rows, hidden)])
                    rows = np.setdiff1d(rows, hidden)
                keys, products = RowFilter(passing), len(rows)
            else:
                products = catalog.count()
            known = _Filtered(generation, keys, products)
            if len(self._recent) >= MAX_FILTERS:
                self._recent.clear()
            self._recent[kept] = known
        return known

    # --- calibrate and explain ----------------------------------------------------------------------------------------

    def _explain(self, snapshot: SearchSnapshot, embedded: EmbeddedQuery, hits: Sequence[Hit]) -> list[Hit]:
        """The hits with what each part of the query adds to their score: it is a sum of inner products, so it splits
        exactly."""
        there, vectors = self._vectors_of(snapshot, [hit.photo.key for hit in hits])
        own = iter(vectors)
        return [
            replace(hit, contributions=tuple((embedded.directions @ next(own)).tolist())) if is_there else hit
            for hit, is_there in zip(hits, there.tolist(), strict=True)
        ]

    def _facets(
        self, snapshot: SearchSnapshot, query: Query, embedded: EmbeddedQuery, hits: Sequence[Hit]
    ) -> dict[str, Counts]:
        """The facets of what the answer is taken from: what passes the filter and reaches ``least``. Verdicts are told
        of hits alone, so one stands for the lowest score of a hit that reaches it."""
        names = (self.facets.names() if query.facets else ()) if isinstance(query.facets, bool) else query.facets
        if not names:
            return {}
        reached = None
        if not embedded.understood:
            reached = np.empty(0, np.int64)
        elif query.least is not None:
            lowest = min((hit.score for hit in hits), default=2.0)
            least = query.least if isinstance(query.least, float) else lowest
            reached = self._reached(snapshot, query, embedded.vector, least)
        return self.facets.count(names, query.where, reached)

    def _reached(
        self, snapshot: SearchSnapshot, query: Query, vector: NDArray[np.float32], least: float
    ) -> NDArray[np.int64]:
        """The numbers of the products that pass the filter and have a photo with at least this cosine."""
        passing = self.passing(snapshot, query.where)
        reachable = max(len(snapshot.index) if passing.keys is None else len(passing.keys), 1)
        fetch = CANDIDATES
        while True:
            found = snapshot.index.search(vector[None], min(fetch, reachable), passing.keys)
            keys, scores = found.keys[0], found.scores[0]
            if fetch >= reachable or scores[-1] < least:
                break
            fetch *= 8
        table = self.look.table(snapshot.version.generation)
        reaching = keys[(keys >= 0) & (scores >= least)]
        if not len(table.keys):
            return np.empty(0, np.int64)
        at, there = places_of(table, reaching)
        return np.unique(table.rows[at[there]])


def _colour_scale(query: Query, embedded: EmbeddedQuery, usual: float) -> float:
    """How much colours count in an answer, ``usual`` where the query does not say; 0 where the order is the
    cosine's."""
    reading = embedded.colours
    if reading is None:
        return 0.0
    scale = usual if query.colour_weight is None else query.colour_weight
    if query.look is None:
        return scale * ON_WHITE_SCALE if reading.on_white else scale
    mix = LookMix.parse(query.look)
    # On white, colour counts beside the vector only where it is to count more than the rest.
    return scale * min(1.0, max(0.0, mix.colour - mix.shape) if reading.on_white else mix.colour)


def _whole(count: int, size: int) -> int:
    """How many are looked at for some, where each so many are put into another order among each other: then further
    ones go on where these end."""
    return size * math.ceil(count / size)


def _fetched(query: Query, embedded: EmbeddedQuery, wanted: int) -> int:
    """How many photos to look at first. A product has one to many photos, so k products may need more than k photos:
    fetch some spare, then ever more."""
    spare = max(MIN_SPARE, wanted // 2) + 4 * len(embedded.exclude)
    grouped = query.group or query.max_per or query.distinct
    pool = pool_of(wanted) if query.diversity else wanted
    return max(pool + spare, CANDIDATES if grouped else 0)


def _search(
    index: VectorIndex, vectors: Vectors, some: NDArray[np.bool_], k: int, allowed: RowFilter | None = None
) -> Matches:
    """(q, k) the nearest of some of (q, dim) queries; nothing of the others."""
    if some.all():
        return index.search(vectors, k, allowed)
    found = no_matches(len(vectors), k)
    if some.any():
        of_some = index.search(vectors[some], k, allowed)
        found.keys[some], found.scores[some] = of_some.keys, of_some.scores
    return found
