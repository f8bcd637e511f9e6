"""What a catalogue has twice and what it lacks: goods that compete with each other, and looks that are asked for more
than they are there.

A store goes in, an :class:`AssortmentAudit` comes out. Goods compete where they look nearly the same, are of one kind
and colour for the same people, and have different prices. A gap is a look or a kind in a colour whose share of what
people do (events, or a log of searches) is surely larger than its share of the goods.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import QueryError
from lapel.core.filters import NO_FILTER
from lapel.core.shares import wilson
from lapel.core.text import counted
from lapel.core.types import Filter, Product
from lapel.engine.context import StoreContext
from lapel.insight.findings import Findings, Gallery, Picture, Section, read_gallery
from lapel.insight.looks import Looks, find_looks, names_of_looks
from lapel.insight.search_log import first_answers, read_search_log

ALIKE = 0.95  # cosine from which on two products look nearly the same
NEIGHBOURS = 10  # of each photo that are looked at
PRICE_APART = 0.02  # of the lower price: less is rounding
SURELY_MORE = 1.3  # times its share of the goods, which the lower end of its share of demand exceeds
LEAST_ASKED = 10  # events or searches of a gap
SHOWN_TEXTS = 100  # searches without an answer that are told

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Rivals:
    """Products that compete with each other.

    Attributes:
        products: Their ids, the cheapest first.
        keys: A photo of each.
        prices: For people; empty where one has none.
        spread: The highest price over the lowest; None where prices are missing or of several currencies.
        score: The lowest cosine by which one of them is joined to the others.
        gain: What mending would bring, without a unit.
    """

    products: tuple[str, ...]
    keys: tuple[int, ...]
    prices: tuple[str, ...]
    spread: float | None
    score: float
    gain: float


@dataclass(frozen=True)
class Gap:
    """Something that is asked for more than there is of it.

    Attributes:
        what: ``look`` or ``kind and colour``.
        value: Which.
        asked: Events or searches.
        demand: Share of all of them, with its 95 % interval: value, low, high.
        goods: Products of it that can be bought.
        supply: Their share of all.
        missing: How many more products would make the shares equal.
        gain: What mending would bring: ``missing``, times how dear such products are where there are prices.
        keys: Photos of what there is.
    """

    what: str
    value: str
    asked: int
    demand: tuple[float, float, float]
    goods: int
    supply: float
    missing: float
    gain: float
    keys: tuple[int, ...] = ()


@dataclass(frozen=True)
class AssortmentAudit(Findings):
    """What a catalogue has twice and what it lacks.

    Attributes:
        products: How many were looked at.
        rivals: Groups that compete, what mending would bring the most first.
        gaps: What is asked for more than it is there, the same.
        unanswered: Searches whose answer is nothing close, with how often each was asked.
        asked: Events or searches that gaps were read from.
        source: ``events``, ``searches`` or empty.
        notes: What could not be said, and why.
    """

    products: int
    rivals: tuple[Rivals, ...]
    gaps: tuple[Gap, ...]
    unanswered: tuple[tuple[str, int], ...] = ()
    asked: int = 0
    source: str = ""
    notes: tuple[str, ...] = ()

    def columns(self) -> tuple[str, ...]:
        """See :class:`Findings`."""
        return (
            "finding",
            "what",
            "products",
            "prices",
            "spread",
            "asked",
            "demand",
            "goods",
            "supply",
            "missing",
            "gain",
        )

    def rows(self) -> list[dict[str, Any]]:
        """Groups of rivals, gaps, and searches without an answer, in this order."""
        empty: dict[str, Any] = dict.fromkeys(self.columns())
        rows = [
            empty
            | {
                "finding": "compete",
                "what": f"{len(each.products)} products, cosine {each.score:.3f}",
                "products": "|".join(each.products),
                "prices": "|".join(each.prices),
                "spread": None if each.spread is None else round(each.spread, 3),
                "gain": round(each.gain, 3),
            }
            for each in self.rivals
        ]
        rows += [
            empty
            | {
                "finding": "gap",
                "what": f"{each.what}: {each.value}",
                "asked": each.asked,
                "demand": round(each.demand[0], 5),
                "goods": each.goods,
                "supply": round(each.supply, 5),
                "missing": round(each.missing, 1),
                "gain": round(each.gain, 3),
            }
            for each in self.gaps
        ]
        return rows + [
            empty | {"finding": "no answer", "what": text, "asked": count} for text, count in self.unanswered
        ]

    def to_json(self) -> dict[str, Any]:
        """Everything."""
        return {
            "products": self.products,
            "rivals": [_plain(each) for each in self.rivals],
            "gaps": [_plain(each) for each in self.gaps],
            "unanswered": [{"text": text, "count": count} for text, count in self.unanswered],
            "asked": self.asked,
            "source": self.source,
            "notes": list(self.notes),
        }

    def sections(self) -> Iterator[Section]:
        """Gaps with what there is of them, then groups that compete."""
        for gap in self.gaps:
            text = (
                f"{gap.demand[0]:.1%} of {self.source} ({gap.demand[1]:.1%} to {gap.demand[2]:.1%}) and"
                f" {gap.supply:.1%} of goods: {gap.goods:,} products; {gap.missing:.0f} more would make it even."
            )
            yield Section(f"Gap: {gap.value}", text, tuple(Picture(key) for key in gap.keys))
        for each in self.rivals:
            spread = "" if each.spread is None else f"The dearest costs {each.spread:.2f} times the cheapest. "
            pictures = tuple(
                Picture(key, product, (price,) if price else ())
                for key, product, price in zip(each.keys, each.products, each.prices, strict=True)
            )
            yield Section(f"{len(each.products)} products compete", f"{spread}Cosine {each.score:.3f}.", pictures)

    def summary(self) -> str:
        """How many compete, how many gaps there are, and what could not be said."""
        rivals = sum(len(each.products) for each in self.rivals)
        said = f"{counted(self.products, 'product')} looked at:"
        said += f" {rivals:,} in {counted(len(self.rivals), 'group')} compete with each other."
        if self.source:
            said += f" {counted(len(self.gaps), 'gap')} by {self.asked:,} {self.source}"
            said += (
                f"; {counted(len(self.unanswered), 'search', 'searches')} without a close answer."
                * (self.source == "searches")
                or "."
            )
        return " ".join([said, *self.notes])


def _plain(each: Rivals | Gap) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(each).items()}


@dataclass(frozen=True)
class AssortmentRequest:
    """What is asked.

    Attributes:
        where: Which products.
        alike: Cosine from which on two products look nearly the same, 0.5..1.
        searches: A CSV of searches with ``text`` and perhaps ``count``; in place of events.
        looks: How many looks to tell apart.
        seed: Of the looks.
    """

    where: Filter = NO_FILTER
    alike: float = ALIKE
    searches: str = ""
    looks: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.5 <= self.alike <= 1:
            raise QueryError(f"Nearly the same is a cosine of 0.5 to 1; found {self.alike}.")


def audit_assortment(
    context: StoreContext, request: AssortmentRequest | None = None, progress: Progress | None = None
) -> AssortmentAudit:
    """What competes and what is missing, see :class:`AssortmentAudit`.

    Args:
        context: The store; only read.
        request: What is asked.
        progress: Called with how many searches were answered, where they are counted.

    Raises:
        QueryError: no photo passes the filter. TableError: the log of searches cannot be read.
    """
    asked = request or AssortmentRequest()
    gallery = read_gallery(context, asked.where)
    first = {gallery.product(place).id: place for place in range(len(gallery) - 1, -1, -1)}
    notes: list[str] = []
    rivals = find_rivals(context, gallery, asked.alike, notes)
    source, demand, unanswered = _demand(context, first, asked, progress)
    gaps: list[Gap] = []
    if demand:
        looks = find_looks(gallery.vectors, asked.looks, seed=asked.seed)
        gaps = _gaps(gallery, looks, first, demand)
    else:
        notes.append("Gaps are not known: this store has no events. Record them, or give a log with --searches.")
    if gallery.without_vector:
        notes.append(f"{counted(gallery.without_vector, 'photo')} without a vector did not count.")
    total = sum(demand.values())
    return AssortmentAudit(len(first), tuple(rivals), tuple(gaps), unanswered, total, source, tuple(notes))


def find_rivals(context: StoreContext, gallery: Gallery, alike: float, notes: list[str]) -> list[Rivals]:
    """Groups of products that look nearly the same and are of one kind, colour and gender, with different prices."""
    matches = context.index.search(gallery.vectors, NEIGHBOURS)
    place_of = {int(key): place for place, key in enumerate(gallery.keys.tolist())}
    parent: dict[str, str] = {}
    weakest: dict[str, float] = {}
    products = {gallery.product(place).id: gallery.product(place) for place in range(len(gallery))}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    near = np.argwhere((matches.scores >= alike) & (matches.keys >= 0))
    for row, column in near.tolist():
        other = place_of.get(int(matches.keys[row, column]))
        if other is None:
            continue
        one, two = gallery.product(row), gallery.product(other)
        if one.id != two.id and _same_goods(one, two):
            a, b = root(one.id), root(two.id)
            score = min(float(matches.scores[row, column]), weakest.get(a, 1.0), weakest.get(b, 1.0))
            parent[a] = b
            weakest[b] = score
    groups: dict[str, list[str]] = defaultdict(list)
    for name in parent:
        groups[root(name)].append(name)
    popular = context.events.popularity()
    usual = float(np.median(list(popular.values()))) if popular else 1.0
    first_key = {gallery.product(place).id: int(gallery.keys[place]) for place in range(len(gallery) - 1, -1, -1)}
    found, unpriced, mixed, equal = [], 0, 0, 0
    for name, members in groups.items():
        some = sorted((products[each] for each in members), key=lambda one: (one.price_minor or 0, one.id))
        currencies = {one.currency for one in some if one.price_minor}
        spread = None
        if len(currencies) == 1 and all(one.price_minor for one in some):
            spread = (some[-1].price_minor or 0) / (some[0].price_minor or 1)
            if spread < 1 + PRICE_APART:
                equal += 1
                continue
        elif len(currencies) > 1:
            mixed += 1
        else:
            unpriced += 1
        demand = sum(1 + np.log1p(popular.get(one.id, 0.0) / max(usual, 1e-9)) for one in some)
        gain = float(np.log(spread) if spread else 0.1) * float(demand)
        keys = tuple(first_key[one.id] for one in some)
        ids, prices = tuple(one.id for one in some), tuple(one.price for one in some)
        found.append(Rivals(ids, keys, prices, spread, weakest.get(name, 1.0), gain))
    if unpriced:
        notes.append(f"{counted(unpriced, 'group')} without all prices are told without saying who is cheaper.")
    if mixed:
        notes.append(f"{counted(mixed, 'group')} have prices in several currencies, which are not compared.")
    if equal:
        notes.append(f"{counted(equal, 'group')} with equal prices do not count.")
    return sorted(found, key=lambda each: (-each.gain, each.products))


def _same_goods(one: Product, two: Product) -> bool:
    kinds = one.category[-1:] == two.category[-1:]
    return kinds and one.colour == two.colour and one.gender == two.gender


def _demand(
    context: StoreContext, first: Mapping[str, int], asked: AssortmentRequest, progress: Progress | None
) -> tuple[str, Counter[int], tuple[tuple[str, int], ...]]:
    """Where demand is read from, how often each place of the gallery was asked for, and searches without an answer."""
    demand: Counter[int] = Counter()
    if not asked.searches:
        found = context.events.interactions()
        counts = np.bincount(found.items, minlength=len(found.products)).tolist()
        for product, count in zip(found.products, counts, strict=True):
            if product in first:
                demand[first[product]] += count
        return ("events" if demand else ""), demand, ()
    often: Counter[str] = Counter()
    for search in read_search_log(asked.searches).searches:
        often[search.text] += search.count
    unanswered: Counter[str] = Counter()
    for answer in first_answers(context, list(often), where=asked.where, progress=progress):
        if answer.understood and answer.product_id in first:
            demand[first[answer.product_id]] += often[answer.text]
        else:
            unanswered[answer.text] += often[answer.text]
    return "searches", demand, tuple(unanswered.most_common(SHOWN_TEXTS))


def _gaps(gallery: Gallery, looks: Looks, first: Mapping[str, int], demand: Counter[int]) -> list[Gap]:
    places = np.array(sorted(first.values()), np.int64)
    products = [gallery.product(place) for place in range(len(gallery))]
    sold = np.array([products[place].in_stock is not False for place in places.tolist()])
    names = names_of_looks(gallery, looks)
    columns = {
        "look": [names[look] for look in looks.of.tolist()],
        "kind and colour": [
            f"{product.category[-1]}, {product.colour}" if product.category and product.colour else ""
            for product in products
        ],
    }
    asked = np.array([demand.get(place, 0) for place in places.tolist()], np.int64)
    prices = _price_levels(products)
    gaps: list[Gap] = []
    for what, values in columns.items():
        own = np.array([values[place] for place in places.tolist()])
        for value in sorted(set(own.tolist()) - {""}):
            gap = _gap(what, value, own == value, asked, sold, places, gallery, prices)
            if gap is not None:
                gaps.append(gap)
    return sorted(gaps, key=lambda each: (-each.gain, each.value))


def _gap(
    what: str,
    value: str,
    own: NDArray[np.bool_],
    asked: NDArray[np.int64],
    sold: NDArray[np.bool_],
    places: NDArray[np.int64],
    gallery: Gallery,
    prices: NDArray[np.float64],
) -> Gap | None:
    """A gap, where a value's share of demand is surely larger than its share of the goods."""
    count, total = int(asked[own].sum()), int(asked.sum())
    goods, every = int((own & sold).sum()), int(sold.sum())
    if count < LEAST_ASKED or not every:
        return None
    low, high = (float(end[0, 0]) for end in wilson(np.array([[count]]), np.array([total])))
    share, supply = count / total, goods / every
    if low < SURELY_MORE * supply:
        return None
    missing = (share * every - goods) / max(1 - share, 1e-9)
    level = prices[places[own]]
    level = level[np.isfinite(level)]
    gain = missing * (float(np.median(level)) if len(level) else 1.0)
    shown = places[own][np.argsort(-asked[own], kind="stable")[:6]]
    keys = tuple(int(gallery.keys[place]) for place in shown.tolist())
    return Gap(what, value, count, (share, low, high), goods, supply, missing, gain, keys)


def _price_levels(products: Sequence[Product]) -> NDArray[np.float64]:
    """(n,) each price over the median of all in its currency; NaN without one: what is missing is worth more where it
    is dear, and currencies are not mixed."""
    by_currency: dict[str, list[int]] = defaultdict(list)
    for product in products:
        if product.price_minor:
            by_currency[product.currency].append(product.price_minor)
    medians = {currency: float(np.median(some)) for currency, some in by_currency.items()}
    return np.array(
        [product.price_minor / medians[product.currency] if product.price_minor else np.nan for product in products]
    )
