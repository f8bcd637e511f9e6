"""Rules of the shop: which products it pins, hides, boosts or buries, where and when, and whether what can be bought
comes first. They hold for searches and for rows alike.

Boosts and buries add to what hits are ordered by, hides take products out of what may be found, pins put them first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.catalog import Catalog
from lapel.catalog.rules import StoredRule
from lapel.core.errors import InputError, QueryError
from lapel.core.filters import NO_FILTER
from lapel.core.types import Filter, Hit
from lapel.engine.recommend.asking import KINDS

ACTIONS = ("pin", "hide", "boost", "bury", "stock-first")
PLACES = ("search", *KINDS)
NOTICED = 0.1  # seconds after which a rule of another process is seen
WINDOW = 100  # hits that are put into another order among each other, so that deeper pages go on where others ended
AMOUNT = 0.1  # of cosine, that boosting and burying add and take


@dataclass(frozen=True)
class Rule:
    """One wish of the shop.

    Attributes:
        name: What people call it.
        action: ``pin``, ``hide``, ``boost``, ``bury`` or ``stock-first``.
        where: Which products; all of them for ``stock-first``.
        places: Where it holds: ``search`` and kinds of rows; everywhere when empty.
        since: From when on, ISO 8601; empty from ever.
        until: Until when, not included; empty for ever.
        amount: Of boosts and buries, in units of cosine, above 0 to 2.

    Raises:
        InputError: something of it cannot be.
    """

    name: str
    action: str
    where: Filter = NO_FILTER
    places: tuple[str, ...] = ()
    since: str = ""
    until: str = ""
    amount: float = AMOUNT

    def __post_init__(self) -> None:
        if not self.name or len(self.name) > 200 or not self.name.isprintable():
            raise InputError(f"A rule needs a name of up to 200 letters; found {self.name!r:.60}.")
        if self.action not in ACTIONS:
            raise InputError(f"A rule is one of {', '.join(ACTIONS)}; found '{self.action!s:.40}'.")
        if not self.where and self.action != "stock-first":
            raise InputError(f"A rule that is to {self.action} needs to say which products, such as brand=Nike.")
        unknown = [each for each in self.places if each not in PLACES]
        if unknown:
            raise InputError(f"A rule holds at {', '.join(PLACES)}; found '{unknown[0]!s:.40}'.")
        if not 0 < self.amount <= 2:
            raise InputError(f"A rule adds or takes more than 0 and up to 2 of cosine; found {self.amount!r:.40}.")
        if self._moment(self.since, -np.inf) >= self._moment(self.until, np.inf):
            raise InputError(f"The rule '{self.name}' ends at {self.until}, before it begins at {self.since}.")

    @staticmethod
    def _moment(text: str, otherwise: float) -> float:
        if not text:
            return otherwise
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise InputError(f"A rule's date is ISO 8601, such as 2026-12-24; found '{text[:40]}'.") from error
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

    def holds(self, place: str, now: float) -> bool:
        """Whether it has a say at a place and a moment, seconds since 1970."""
        there = not self.places or place in self.places
        return there and self._moment(self.since, -np.inf) <= now < self._moment(self.until, np.inf)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        told = {"name": self.name, "action": self.action, "where": [str(each) for each in self.where.conditions]}
        return {**told, "places": list(self.places), "since": self.since, "until": self.until, "amount": self.amount}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Rule:
        """A rule from what :meth:`to_json` gives."""
        given = dict(values)
        given["where"] = Filter.parse(given.get("where") or ())
        given["places"] = tuple(given.get("places") or ())
        return cls(**given)

    def stored(self) -> StoredRule:
        """As the catalogue keeps it."""
        body = self.to_json()
        return StoredRule(body.pop("name"), body.pop("action"), body)


@dataclass(frozen=True)
class Effects:
    """What rules do at one place and moment, among all products.

    Attributes:
        hidden: (m,) numbers of products that must not be found.
        pinned: (m,) numbers of products that come first, in order.
        moved: Of each rule that boosts or buries, what it adds and (m,) the numbers of the products.
        stock_first: The name of the rule that puts first what can be bought; empty without one.
        pins: Rule by number of product,
        hides: and names of those that hide.
    """

    hidden: NDArray[np.int64]
    pinned: NDArray[np.int64]
    moved: tuple[tuple[str, float, NDArray[np.int64]], ...]
    stock_first: str
    pins: Mapping[int, str]
    hides: tuple[str, ...]

    @property
    def moves(self) -> bool:
        """Whether any of them puts hits into another order."""
        return bool(self.moved or self.stock_first or len(self.pinned))

    def adjusted(
        self, rows: NDArray[np.int64], in_stock: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], list[tuple[str, ...]]]:
        """(m,) what is added to products by their numbers, and the names of the rules that say so.

        Args:
            rows: (m,) numbers of products.
            in_stock: (m,) whether each can be bought, as far as is known.
        """
        added = np.zeros(len(rows))
        names: list[tuple[str, ...]] = [()] * len(rows)
        for name, amount, numbers in self.moved:
            for at in np.flatnonzero(np.isin(rows, numbers)).tolist():
                added[at] += amount
                names[at] = (*names[at], name)
        if self.stock_first:
            added -= np.where(in_stock, 0.0, 4.0)  # more than any two scores differ by
            for at in np.flatnonzero(~in_stock).tolist():
                names[at] = (*names[at], self.stock_first)
        for at, row in enumerate(rows.tolist()):
            if row in self.pins:
                names[at] = (*names[at], self.pins[row])
        return added, names


def said_by(effects: Effects, hits: Sequence[Hit]) -> tuple[str, ...]:
    """The names of the rules that had a say in an answer."""
    return tuple(sorted({name for hit in hits for name in hit.rules} | set(effects.hides)))


def reordered(effects: Effects, hits: Sequence[Hit], rows: NDArray[np.int64]) -> list[Hit]:
    """Hits of a search as the rules want them, each with the names of those that moved it.

    A pin takes to the front what is among the hits: it puts nothing into an answer that does not look like the query.
    Each :data:`WINDOW` hits are ordered among each other, so that more of them go on where fewer ended.

    Args:
        effects: What the rules do.
        hits: Best first.
        rows: (n,) the numbers of their products.
    """
    added, names = effects.adjusted(rows, np.array([hit.product.in_stock is not False for hit in hits], bool))
    pinned = {row: place for place, row in enumerate(effects.pinned.tolist())}
    places = [pinned.get(row, len(pinned)) for row in rows.tolist()]
    worth = [hit.score + hit.adjustment + more for hit, more in zip(hits, added.tolist(), strict=True)]
    order = sorted(range(len(hits)), key=lambda at: (at // WINDOW, places[at], -worth[at]))
    return [
        replace(hits[at], rank=rank, adjustment=hits[at].adjustment + float(added[at]), rules=names[at])
        for rank, at in enumerate(order, 1)
    ]


class RuleBook:
    """The rules of one store, compiled for a generation of its catalogue. Safe to share between threads.

    Args:
        catalog: The store's.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._version = -1
        self._asked_at = -np.inf
        self._rules: tuple[Rule, ...] = ()
        self._rows: dict[Filter, NDArray[np.int64]] = {}
        self._generation = -1

    def put(self, rule: Rule) -> bool:
        """Keep a rule, in place of one of the same name. Returns whether there was one."""
        known = self._catalog.rules.put(rule.stored())
        self._asked_at = -np.inf
        return known

    def remove(self, name: str) -> bool:
        """Drop a rule. Returns whether there was one."""
        known = self._catalog.rules.remove(name)
        self._asked_at = -np.inf
        return known

    def rules(self) -> tuple[Rule, ...]:
        """Every rule, in its order; those of other processes after :data:`NOTICED` seconds."""
        now = time.monotonic()
        if now - self._asked_at < NOTICED:
            return self._rules
        version = self._catalog.rules.version()
        with self._lock:
            self._asked_at = now
            if version != self._version:
                stored = self._catalog.rules.all()
                self._rules = tuple(Rule.of({"name": each.name, "action": each.action, **each.body}) for each in stored)
                self._version = version
            return self._rules

    def effects(self, place: str, generation: int, now: float) -> Effects | None:
        """What the rules do at a place; None where none holds.

        Args:
            place: ``search`` or a kind of row.
            generation: The catalogue's.
            now: Seconds since 1970.
        """
        rules = [rule for rule in self.rules() if rule.holds(place, now)]
        if not rules:
            return None
        numbers = {rule.name: self._matching(rule.where, generation) for rule in rules}
        by_action: dict[str, list[Rule]] = {action: [] for action in ACTIONS}
        for rule in rules:
            by_action[rule.action].append(rule)
        none = [np.empty(0, np.int64)]
        pins: dict[int, str] = {}
        for rule in by_action["pin"]:
            for row in numbers[rule.name].tolist():
                pins.setdefault(row, rule.name)
        signs = {"boost": 1.0, "bury": -1.0}
        moved = [
            (rule.name, signs[rule.action] * rule.amount, numbers[rule.name]) for rule in rules if rule.action in signs
        ]
        return Effects(
            np.unique(np.concatenate(none + [numbers[rule.name] for rule in by_action["hide"]])),
            np.array(list(pins), np.int64),
            tuple(moved),
            by_action["stock-first"][0].name if by_action["stock-first"] else "",
            pins,
            tuple(rule.name for rule in by_action["hide"]),
        )

    def _matching(self, where: Filter, generation: int) -> NDArray[np.int64]:
        with self._lock:
            if generation != self._generation:
                self._rows.clear()
                self._generation = generation
            known = self._rows.get(where)
        if known is None:
            try:
                known = np.sort(self._catalog.matching_rows(where))
            except QueryError:  # its field went with the last product that had it
                known = np.empty(0, np.int64)
            with self._lock:
                self._rows[where] = known
        return known


class GivenRules(RuleBook):
    """Rules in place of those that a store keeps: what a preview and a replay look at.

    Args:
        catalog: The store's.
        rules: The rules.
    """

    def __init__(self, catalog: Catalog, rules: Sequence[Rule]) -> None:
        super().__init__(catalog)
        self._given = tuple(rules)

    def rules(self) -> tuple[Rule, ...]:
        """Those."""
        return self._given
