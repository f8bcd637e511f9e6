"""What another way of making rows would have earned, estimated from the lists that were shown before it goes live.

Each logged list is asked for again, as things stood for its person then, by both policies; how likely each of them is
to show what was shown is all that the estimators need (:mod:`lapel.core.estimators`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lapel.catalog.events import NO_HISTORY, ServedList
from lapel.core.errors import InputError, QueryError
from lapel.core.estimators import ESTIMATORS, Estimate, LoggedSlots, difference, lists_needed
from lapel.core.types import Filter
from lapel.engine.context import StoreContext
from lapel.engine.recommend.asking import RowQuery, RowSettings
from lapel.engine.recommend.recommender import Recommender, Row
from lapel.engine.rules import RuleBook

TOLERANCE = 0.1  # of the old policy's rate: what an interval must be able to show
MOST = 2_000  # lists that are asked for again, the newest: each takes some ten milliseconds a policy
POSITIVE = ("view", "like", "cart", "buy")
SHRINKAGE = 20.0  # times a product was shown, by which its rate is pulled to that of all


@dataclass(frozen=True)
class Policy:
    """A way of making rows.

    Attributes:
        name: What people call it.
        settings: How rows are made.
        rules: What the shop wants of them.
        recommender: What makes them, with the vectors of its model.
    """

    name: str
    settings: RowSettings
    rules: RuleBook
    recommender: Recommender


@dataclass(frozen=True)
class ReplayReport:
    """What two policies would have earned on the lists of a log, in clicks a list.

    Attributes:
        lists: Lists that were looked at.
        clicks: Of them, products that somebody did something with.
        explored: Share of slots that might have held another product: without any, only what both policies would show
            can be compared.
        logged: What the log itself earned.
        old: By estimator what the old policy earns,
        new: and the new one.
        change: By estimator what the new one earns more.
        support: Share of what the new policy would show that the log could have shown; below .9 its estimates are too
            low.
        more: How many more lists are needed to tell a change of a tenth; 0 where these are enough.
        left_out: Lists that cannot be asked for again, such as of products that are gone.
    """

    lists: int
    clicks: int
    explored: float
    logged: Estimate
    old: Mapping[str, Estimate] = field(default_factory=dict)
    new: Mapping[str, Estimate] = field(default_factory=dict)
    change: Mapping[str, Estimate] = field(default_factory=dict)
    support: float = 0.0
    more: int = 0
    left_out: int = 0

    @property
    def enough(self) -> bool:
        """Whether the log can tell the policies apart, or that they hardly differ."""
        return self.lists > 0 and not self.more

    @property
    def words(self) -> str:
        """What follows from it."""
        if not self.lists:
            return "Not enough: there is no list in the log. Lists are kept while the setting log is on."
        if not self.explored:
            return (
                "Not enough: no list of the log was explored, so what another policy would show was never tried. Set"
                " explore=0.05 and wait."
            )
        if self.more:
            return f"Not enough: about {self.more:,} more lists."
        found = self.change["dr"]
        if found.low > 0:
            return "The new one earns more."
        return "The new one earns less." if found.high < 0 else "The two differ by less than a tenth."

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""

        def told(found: Estimate) -> dict[str, float]:
            return {"value": found.value, "low": found.low, "high": found.high}

        values = {name: {each: told(found) for each, found in getattr(self, name).items()} for name in ("old", "new")}
        return {
            "lists": self.lists,
            "clicks": self.clicks,
            "explored": self.explored,
            "logged": told(self.logged),
            **values,
            "change": {each: told(found) for each, found in self.change.items()},
            "support": self.support,
            "more": self.more,
            "left_out": self.left_out,
            "enough": self.enough,
            "words": self.words,
        }


@dataclass(frozen=True)
class _Slot:
    """One place of a list: what was shown, whether it was clicked, and what each policy would have done."""

    product: str
    position: int
    reward: float
    chance: float
    wanted: tuple[float, float]
    shows: tuple[tuple[tuple[str, float], ...], tuple[tuple[str, float], ...]]


def replay(
    store: StoreContext,
    policies: tuple[Policy, Policy],
    *,
    since: float = 0.0,
    rewards: Sequence[str] = POSITIVE,
    most: int = MOST,
    progress: Callable[[int, int | None], None] | None = None,
) -> ReplayReport:
    """Estimate what two policies would have earned on the lists that were shown.

    Args:
        store: The store.
        policies: The old and the new one.
        since: Seconds since 1970.
        rewards: Kinds of events that count, once a product of a list.
        most: Lists at most, the newest.
        progress: Called with the lists done, and how many there are.

    Raises:
        InputError: an unknown kind of event.
    """
    unknown = [each for each in rewards if each not in POSITIVE]
    if unknown or not rewards:
        raise InputError(f"What counts is one of {', '.join(POSITIVE)}; found '{unknown[0] if unknown else ''}'.")
    logged = store.events.served(since=since)[-most:]
    lists: list[list[_Slot]] = []
    for done, (served, came) in enumerate(logged, 1):
        slots = _slots(store, policies, served, came, set(rewards))
        if slots:
            lists.append(slots)
        if progress is not None:
            progress(done, len(logged))
    return _report(lists, len(logged) - len(lists))


def _slots(
    store: StoreContext,
    policies: tuple[Policy, Policy],
    served: ServedList,
    came: Mapping[str, set[str]],
    rewards: set[str],
) -> list[_Slot]:
    """The slots of a list; none where it cannot be asked for again."""
    asked = _asked(served)
    if asked is None:
        return []
    history = NO_HISTORY if served.person is None else store.events.history_of_row(served.person, before=served.at)
    try:
        made = [
            each.recommender.row(store.current(), asked, each.settings, history, now=served.at, rules=each.rules)
            for each in policies
        ]
    except QueryError:  # a product that is gone
        return []
    shares = [each.settings.explore for each in policies]
    found = []
    for at, (product, chance) in enumerate(zip(served.products, served.chances, strict=False)):
        wanted = [
            row.chance(at, row.table.places.get(product, -1), share) for row, share in zip(made, shares, strict=True)
        ]
        shows = [_shows(row, at, share) for row, share in zip(made, shares, strict=True)]
        reward = float(bool(came.get(product, set()) & rewards))
        found.append(_Slot(product, at, reward, max(chance, 1e-9), (wanted[0], wanted[1]), (shows[0], shows[1])))
    return found


def _asked(served: ServedList) -> RowQuery | None:
    told: Mapping[str, Any] = served.request
    try:
        return RowQuery(
            told["kind"],
            product_id=told.get("product_id", ""),
            basket=tuple(told.get("basket", ())),
            k=int(told["k"]),
            where=Filter.parse(told.get("where", ())),
            exclude=frozenset(told.get("exclude", ())),
        )
    except (KeyError, TypeError, ValueError, QueryError):
        return None


def _shows(row: Row, position: int, share: float) -> tuple[tuple[str, float], ...]:
    """What a policy may show at a position, and how likely; what exploring draws from stands for its mean."""
    own = [(row.table.ids[row.best[position][0]], 1.0 - share)] if position < len(row.best) else []
    each = share / max(len(row.pool), 1)
    return (*own, *((row.table.ids[place], each) for place in row.pool if share))


def _report(lists: Sequence[Sequence[_Slot]], left_out: int) -> ReplayReport:
    if not lists:
        return ReplayReport(0, 0, 0.0, Estimate(0.0, 0.0, 0.0), left_out=left_out)
    width = max(len(each) for each in lists)
    rewards = _filled(lists, width, lambda slot: slot.reward, 0.0)
    chances = _filled(lists, width, lambda slot: slot.chance, 1.0)
    own, _ = ESTIMATORS["ips"](LoggedSlots(rewards, np.ones_like(rewards), *[np.ones_like(rewards)] * 3))
    models = _click_models(lists)
    predicted = np.zeros_like(rewards)
    expected = [np.zeros_like(rewards) for _ in range(2)]
    for row, slots in enumerate(lists):
        rate = models[row % 2]
        for slot in slots:
            predicted[row, slot.position] = rate(slot.product, slot.position)
            for policy in range(2):
                shown = slot.shows[policy]
                expected[policy][row, slot.position] = sum(
                    chance * rate(product, slot.position) for product, chance in shown
                )
    wanted = [_filled(lists, width, _wanted(at), 0.0) for at in range(2)]
    logs = [LoggedSlots(rewards, chances, wanted[at], predicted, expected[at]) for at in range(2)]
    found = {name: [estimate(log) for log in logs] for name, estimate in ESTIMATORS.items()}
    change = {name: difference(each[1][1], each[0][1]) for name, each in found.items()}
    count = sum(len(each) for each in lists)
    explored = float((chances < 1).sum()) / count
    support = min(1.0, float(logs[1].weights.sum()) / count)
    clear = change["dr"].low > 0 or change["dr"].high < 0
    needed = 0 if clear else lists_needed(change["dr"], len(lists), TOLERANCE * max(own.value, 1e-9))
    return ReplayReport(
        len(lists),
        int(rewards.sum()),
        explored,
        own,
        {name: each[0][0] for name, each in found.items()},
        {name: each[1][0] for name, each in found.items()},
        change,
        support,
        needed if explored else max(needed, 1),
        left_out,
    )


def _wanted(policy: int) -> Callable[[_Slot], float]:
    return lambda slot: slot.wanted[policy]


def _filled(
    lists: Sequence[Sequence[_Slot]], width: int, value: Callable[[_Slot], float], otherwise: float
) -> np.ndarray[Any, np.dtype[np.float64]]:
    made = np.full((len(lists), width), otherwise)
    for row, slots in enumerate(lists):
        for slot in slots:
            made[row, slot.position] = value(slot)
    return made


def _click_models(lists: Sequence[Sequence[_Slot]]) -> tuple[Callable[[str, int], float], Callable[[str, int], float]]:
    """For each half of the lists a model that was learned from the other: the rate of the position, times how much
    better the product is than others where it was shown."""
    models = []
    for half in range(2):
        learned = [slot for row, slots in enumerate(lists) if row % 2 != half for slot in slots]
        width = max((slot.position for slot in learned), default=0) + 1
        shown, clicked = np.zeros(width), np.zeros(width)
        for slot in learned:
            shown[slot.position] += 1
            clicked[slot.position] += slot.reward
        mean = clicked.sum() / max(shown.sum(), 1)
        rates = (clicked + SHRINKAGE * mean) / (shown + SHRINKAGE)
        seen: dict[str, tuple[float, float]] = {}
        for slot in learned:
            got, hoped = seen.get(slot.product, (0.0, 0.0))
            seen[slot.product] = got + slot.reward, hoped + float(rates[slot.position])
        models.append(_rate(rates, seen, mean))
    return models[0], models[1]


def _rate(
    rates: np.ndarray[Any, np.dtype[np.float64]], seen: Mapping[str, tuple[float, float]], mean: float
) -> Callable[[str, int], float]:
    pull = SHRINKAGE * max(mean, 1e-6)

    def rate(product: str, position: int) -> float:
        got, hoped = seen.get(product, (0.0, 0.0))
        return float(rates[min(position, len(rates) - 1)]) * (got + pull) / (hoped + pull)

    return rate
