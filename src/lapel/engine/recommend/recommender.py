"""Answers rows of recommendations over one store: who asks -> candidates -> choice -> hits with reasons -> the log."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lapel.catalog.events import BUY, CART, History, ServedList
from lapel.core.answers import Reason
from lapel.core.errors import QueryError
from lapel.core.types import EmbeddedQuery, Filter, Hit, SearchResult, Verdict
from lapel.engine.context import StoreContext
from lapel.engine.index_storage import SearchSnapshot
from lapel.engine.look import places_of
from lapel.engine.recommend import looks, rows
from lapel.engine.recommend.asking import AUTO, SETTING, RowQuery, RowSettings
from lapel.engine.recommend.baskets import count_baskets
from lapel.engine.recommend.blend import Blend
from lapel.engine.recommend.blend_keeper import BlendKeeper
from lapel.engine.recommend.choosing import Guard, choose
from lapel.engine.recommend.complement import Complements
from lapel.engine.recommend.profile import Profile, read_profile
from lapel.engine.recommend.reasons import name_of
from lapel.engine.recommend.served import ServedLog
from lapel.engine.recommend.substitutes import SubstituteRow, substitute_feed, wanted
from lapel.engine.recommend.table import IN_STOCK, Places, ProductTable, Tables
from lapel.engine.retrieval import SearchEngine
from lapel.engine.rules import Effects, RuleBook, said_by

REFRESH = 5.0  # seconds after which what is popular and bought together is read again, if there were events
BASKETS_REFRESH = 300.0  # seconds for what is bought together


@dataclass(frozen=True)
class _Crowd:
    """What the events of all people say, among the products of a table; and when it was read."""

    table: ProductTable
    version: tuple[int, int]
    read_at: float
    counted_at: float
    popularity: NDArray[np.float64]
    looks: looks.Looks
    complements: Complements


@dataclass(frozen=True)
class Row:
    """A row before it is shown: what replay compares.

    Attributes:
        table: The products.
        purposes: Its candidates.
        best: Place and purpose of each product, in order: what is shown where nothing is explored.
        pool: Places that exploring draws from, those of ``best`` among them.
        pinned: How many of the first are pinned: they are not explored.
        effects: The rules that hold; None where none does.
    """

    table: ProductTable
    purposes: Sequence[rows.Purpose]
    best: tuple[tuple[int, int], ...]
    pool: tuple[int, ...]
    pinned: int
    effects: Effects | None

    def chance(self, position: int, place: int, explore: float) -> float:
        """How likely a product is to stand at a position, when a share of lists is explored."""
        if position < self.pinned:
            return float(place == self.best[position][0])
        here = position < len(self.best) and self.best[position][0] == place
        return (1 - explore) * here + explore * (place in self.pool) / max(len(self.pool), 1)


class Recommender:
    """Rows of one store. Safe to share between threads.

    Args:
        store: The store.
        engine: Its search.
        rules: What the shop wants.
        model: Fingerprint of another model that has vectors here, to try it out: without its index, so slower.
    """

    def __init__(self, store: StoreContext, engine: SearchEngine, rules: RuleBook, model: str = "") -> None:
        self._store = store
        self._engine = engine
        self._rules = rules
        self._tables = Tables(store.catalog, engine.look, model)
        self._model = model
        self._lock = threading.Lock()
        self._crowd: _Crowd | None = None
        self._centres: tuple[str, int, NDArray[np.float32]] | None = None
        self._blend = BlendKeeper(store.events)
        self._served = ServedLog(store.events)

    @property
    def settings(self) -> RowSettings:
        """How the store's rows are made now."""
        return RowSettings.read(self._store.catalog.setting(SETTING))

    def recommend(self, asked: RowQuery, *, shown: bool = True, rules: RuleBook | None = None) -> SearchResult:
        """One row; the person's last click has its say in it.

        Args:
            asked: The row.
            shown: Whether somebody is shown it, so that it is logged.
            rules: Rules in place of the store's.

        Raises:
            QueryError: an unknown product, or a filter that cannot be understood.
        """
        begun = time.perf_counter()
        settings, now = self.settings, time.time()
        history = self._store.events.history(asked.person) if asked.person else None
        snapshot = self._store.current()
        row = self.row(snapshot, asked, settings, history, now=now, rules=rules)
        if shown and settings.collaborative == AUTO and not self._store.catalog.read_only:
            self._blend.renew(lambda: self._usual_shop(snapshot, row.table, settings))
        drawn, chances = self._drawn(row, asked, settings)
        result = self._result(snapshot, asked, row, drawn)
        if shown and settings.log and not self._store.catalog.read_only and len(result):
            result = self._logged(result, asked, chances, now)
        timings = {"recommend": 1000 * (time.perf_counter() - begun)}
        return replace(result, timings=timings)

    def row(
        self,
        snapshot: SearchSnapshot,
        asked: RowQuery,
        settings: RowSettings,
        history: History | None,
        *,
        now: float,
        rules: RuleBook | None = None,
    ) -> Row:
        """The products of a row and what they were chosen from.

        Args:
            snapshot: What the store is searched with.
            asked: The row.
            settings: How it is made.
            history: What the person did; None without one.
            now: Seconds since 1970, for rules with dates.
            rules: Rules in place of the store's.
        """
        table = self._tables.of(snapshot)
        crowd = self._crowd_of(table, now)
        profile = read_profile(table, history) if history is not None else _stranger()
        seeds = self._seeds(table, asked)
        effects = (rules or self._rules).effects(asked.kind, table.generation, now)
        passing = self._passing(table, asked)
        barred = [profile.refused, table.find(asked.exclude), table.find(asked.seeds)]
        if effects is not None:
            barred.append(_places(table, effects.hidden))
        beside = () if asked.kind == "substitutes" else table.find(asked.seeds).tolist()  # another size may stand in
        guard = Guard.over(table, refused=barred, passing=passing, per_brand=settings.per_brand, beside=beside)
        shop = self._shop(snapshot, table, crowd, settings, asked)
        weight = self._blend.weight(settings)
        if weight and profile.interests:
            others = self._blend.others(table, now).scores(profile.liked, profile.weights)
            shop = replace(shop, others=others, weight=weight)
        purposes = rows.purposes_of(shop, asked, profile, seeds)
        pins: Sequence[int] = ()
        if effects is not None:
            purposes = _ruled(table, purposes, effects)
            pins = [place for place in _places_in_order(table, effects.pinned) if passing is None or passing[place]]
        # An outfit has one of each part, so its row ends there.
        most = (
            len(purposes) + len(pins)
            if asked.kind == "look"
            else max(asked.k, settings.pool if settings.explore else 0)
        )
        found = choose(
            guard, [each.strand for each in purposes], most, diversity=settings.diversity, pinned=pins[: asked.k]
        )
        pinned = sum(purpose < 0 for _, purpose in found)
        return Row(
            table, purposes, tuple(found[: asked.k]), tuple(place for place, _ in found[pinned:]), pinned, effects
        )

    def tune(self) -> Blend:
        """Find out now how much others should count, from what people did last, and keep it.

        Raises:
            StoreReadOnlyError: the store is open for reading.
        """
        snapshot = self._store.current()
        table = self._tables.of(snapshot)
        return self._blend.tune(self._usual_shop(snapshot, table, self.settings))

    def substitutes(
        self,
        k: int,
        where: Filter | None,
        *,
        keep_margin: bool = False,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> Iterator[SubstituteRow]:
        """What can be sold in place of every product that is sold out, or that passes a filter."""
        snapshot = self._store.current()
        table = self._tables.of(snapshot)
        effects = self._rules.effects("substitutes", table.generation, time.time())
        barred = np.empty(0, np.int64) if effects is None else _places(table, effects.hidden)
        chosen = None if where is None else table.places_of_rows(self._store.catalog.matching_rows(where))
        places = wanted(table, chosen)
        feed = substitute_feed(
            table, places, k, per_brand=self.settings.per_brand, barred=barred, keep_margin=keep_margin
        )
        for done, row in enumerate(feed, 1):
            yield row
            if progress is not None:
                progress(done, len(places))

    # --- what it needs ------------------------------------------------------------------------------------------------

    def _shop(
        self, snapshot: SearchSnapshot, table: ProductTable, crowd: _Crowd, settings: RowSettings, asked: RowQuery
    ) -> rows.Shop:
        look = self._engine.look.table(table.generation)
        keys = self._engine.passing(snapshot, asked.where).keys
        reachable = len(snapshot.index) if keys is None else len(keys)

        def indexed(vectors: NDArray[np.float32], count: int) -> list[Places]:
            if not reachable or not len(look.keys) or not len(table):
                return [np.empty(0, np.int64)] * len(vectors)
            found = snapshot.index.search(vectors, min(count, reachable), keys).keys
            at, known = places_of(look, found.ravel())
            numbers = look.rows[np.where(known, at, 0)]
            places = np.minimum(np.searchsorted(table.rows, numbers), len(table) - 1)
            places = np.where(known & (table.rows[places] == numbers), places, -1).reshape(found.shape)
            # A product's photos are one product, at the place of the nearest.
            return [np.array([at for at in dict.fromkeys(row) if at >= 0], np.int64) for row in places.tolist()]

        def names(places: Sequence[int]) -> list[str]:
            entries = self._store.catalog.entries(table.keys[list(places)])
            found = [entries.get(int(table.keys[place])) for place in places]
            return [name_of(each[0] if each else None, table.ids[at]) for each, at in zip(found, places, strict=True)]

        def nearest(vectors: NDArray[np.float32], count: int) -> list[Places]:
            return list(np.argsort(-(vectors @ table.vectors.T), axis=1, kind="stable")[:, :count])

        near = nearest if self._model else indexed
        return rows.Shop(table, near, crowd.popularity, crowd.looks, crowd.complements, names, settings)

    def _usual_shop(self, snapshot: SearchSnapshot, table: ProductTable, settings: RowSettings) -> rows.Shop:
        """What rows for people are made from where nothing is filtered."""
        return self._shop(snapshot, table, self._crowd_of(table, time.time()), settings, RowQuery("for-you"))

    def _crowd_of(self, table: ProductTable, now: float) -> _Crowd:
        """What all events say: what is popular at most :data:`REFRESH` seconds old, baskets as old as
        :data:`BASKETS_REFRESH`."""
        with self._lock:
            known = self._crowd
            if known is not None and known.table is table and now - known.read_at < REFRESH:
                return known
            version = self._store.events.version()
            if known is not None and known.table is table and known.version == version:
                self._crowd = known = replace(known, read_at=now)
                return known
            weights = self._store.events.popularity()
            popularity = looks.scaled_popularity(np.array([weights.get(each, 0.0) for each in table.ids]))
            if known is not None and known.table is table and now - known.counted_at < BASKETS_REFRESH:
                counted_at, complements = known.counted_at, known.complements
            else:
                counted_at = now
                complements = Complements(table, count_baskets(table, self._store.events.interactions((BUY, CART))))
            grouped = looks.group(table, self._centres_of(table), popularity)
            self._crowd = known = _Crowd(table, version, now, counted_at, popularity, grouped, complements)
            return known

    def _centres_of(self, table: ProductTable) -> NDArray[np.float32]:
        known = self._centres
        if known is None or known[0] != table.fingerprint or not 0.9 * known[1] <= len(table) <= 1.1 * known[1]:
            self._centres = known = (table.fingerprint, len(table), looks.learn_centres(table))
        return known[2]

    def _seeds(self, table: ProductTable, asked: RowQuery) -> list[int]:
        for each in asked.seeds:
            if each not in table.places:
                self._store.catalog.product(each)  # says so when there is none
                if asked.kind != "together" and len(asked.seeds) == 1:
                    raise QueryError(f"The product '{each}' has no photo that can be compared.", product_id=each)
        return [int(place) for place in table.find(asked.seeds)]

    def _passing(self, table: ProductTable, asked: RowQuery) -> NDArray[np.bool_] | None:
        if not asked.where:
            return None
        return table.places_of_rows(self._store.catalog.matching_rows(asked.where))

    # --- what is shown ------------------------------------------------------------------------------------------------

    def _drawn(self, row: Row, asked: RowQuery, settings: RowSettings) -> tuple[list[tuple[int, int]], list[float]]:
        """What is shown, and how likely each was to be: the best, or for a share of lists a draw from the pool."""
        shown = list(row.best)
        explore = settings.explore if asked.kind != "look" else 0.0
        if explore:
            rng = np.random.default_rng(asked.seed)
            if rng.random() < explore:
                of = dict(row.best)
                rest = len(shown) - row.pinned
                drawn = rng.permutation(np.array(row.pool, np.int64))[:rest].tolist()
                shown = shown[: row.pinned] + [(place, of.get(place, 0)) for place in drawn]
        return shown, [row.chance(at, place, explore) for at, (place, _) in enumerate(shown)]

    def _result(
        self, snapshot: SearchSnapshot, asked: RowQuery, row: Row, shown: Sequence[tuple[int, int]]
    ) -> SearchResult:
        table = row.table
        entries = self._store.catalog.entries(table.keys[[place for place, _ in shown]])
        rules = _rule_names(row, [place for place, _ in shown])
        hits: list[Hit] = []
        for (place, purpose), names in zip(shown, rules, strict=True):
            entry = entries.get(int(table.keys[place]))
            if entry is None or entry[0].in_stock is False:  # since the table was read
                continue
            if purpose < 0:
                score, adjustment = 0.0, 0.0
                reason = Reason("pinned", "the shop's choice")
            else:
                one = row.purposes[purpose]
                score = float(table.vectors[place] @ one.vector)
                at = np.flatnonzero(one.strand.places == place)
                adjustment = float(one.strand.relevance[at[0]]) - score if len(at) else 0.0
                reason = one.reason(place)
            hits.append(Hit(len(hits) + 1, score, *entry, adjustment=adjustment, reason=reason, rules=names))
        total = self._engine.passing(snapshot, asked.where).products
        verdict = Verdict.NOTHING_PASSES if asked.where else Verdict.EMPTY
        if total:
            verdict = Verdict.FOUND if hits else Verdict.NOTHING_CLOSE
        nothing = EmbeddedQuery(
            np.zeros(table.vectors.shape[1], np.float32),
            snapshot.model.fingerprint,
            (),
            np.zeros((0, table.vectors.shape[1]), np.float32),
        )
        return SearchResult(
            tuple(hits), total, verdict, nothing, rules=() if row.effects is None else said_by(row.effects, hits)
        )

    def _logged(self, result: SearchResult, asked: RowQuery, chances: Sequence[float], now: float) -> SearchResult:
        """The answer with the name under which it is kept."""
        list_id = uuid.uuid4().hex
        request = {
            "kind": asked.kind,
            "k": asked.k,
            "product_id": asked.product_id,
            "basket": list(asked.basket),
            "where": [str(each) for each in asked.where.conditions],
            "exclude": sorted(asked.exclude),
        }
        products = tuple(hit.product.id for hit in result)
        served = ServedList(list_id, now, request, products, tuple(chances[: len(products)]))
        self._served.put(served, asked.person or None)
        return replace(result, list_id=list_id)

    def flush(self) -> None:
        """Write the served lists that wait."""
        self._served.flush()

    def close(self) -> None:
        """Write what waits, and write no more."""
        self._blend.close()
        self._served.close()


def _stranger() -> Profile:
    none = np.empty(0, np.int64)
    return Profile((), none, np.empty(0), none, none, none, np.empty(0), {})


def _places(table: ProductTable, numbers: NDArray[np.int64]) -> Places:
    return np.flatnonzero(np.isin(table.rows, numbers))


def _places_in_order(table: ProductTable, numbers: NDArray[np.int64]) -> list[int]:
    of = {int(number): place for place, number in enumerate(table.rows.tolist())} if len(numbers) else {}
    return [of[number] for number in numbers.tolist() if number in of]


def _ruled(table: ProductTable, purposes: list[rows.Purpose], effects: Effects) -> list[rows.Purpose]:
    """The same candidates with what the rules add to them."""
    made = []
    for each in purposes:
        places = each.strand.places
        added, _ = effects.adjusted(table.rows[places], table.stock[places] == IN_STOCK)
        made.append(replace(each, strand=replace(each.strand, relevance=each.strand.relevance + added)))
    return made


def _rule_names(row: Row, places: Sequence[int]) -> list[tuple[str, ...]]:
    if row.effects is None or not places:
        return [()] * len(places)
    at = np.array(places, np.int64)
    return row.effects.adjusted(row.table.rows[at], row.table.stock[at] == IN_STOCK)[1]
