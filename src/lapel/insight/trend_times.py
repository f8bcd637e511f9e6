"""When things of a store happened, for :mod:`lapel.insight.trends`: events, additions, columns or searches go in, each
thing with its period comes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lapel.core.errors import QueryError
from lapel.core.filters import NO_FILTER
from lapel.core.types import Filter, Product
from lapel.engine.context import StoreContext
from lapel.insight.findings import Gallery
from lapel.insight.periods import LENGTHS, Period, fitting_length, period_of, read_period
from lapel.insight.search_log import first_answers, read_search_log

LEAST = 30  # things in a period: a share of fewer says little, and the period is left out
YEARS = ("year", "launch_year", "release_year", "date", "release_date", "launch_date")  # columns that may hold times

Progress = Callable[[int, int | None], None]
Dated = tuple[Period | None, int, int]  # the period of a thing, its place in the gallery, and how often it happened
Counted = tuple[int, int, int]  # the same with the number of its period


@dataclass(frozen=True)
class TrendRequest:
    """What is asked.

    Attributes:
        over: ``events``, ``added_at``, or one or two columns such as ``year`` or ``year,season``; by default the first
            of events, a column with years, and ``added_at`` that spans two periods.
        period: ``day``, ``week``, ``month``, ``quarter`` or ``year``; by default as the time that is covered asks for.
        searches: A CSV of searches (``text``, ``time``); then they are counted, as their best answers.
        looks: How many looks to tell apart.
        where: Which products.
        least: Things of a period below which it is left out.
        seed: Of the looks.
    """

    over: str = ""
    period: str = ""
    searches: str = ""
    looks: int | None = None
    where: Filter = NO_FILTER
    least: int = LEAST
    seed: int = 0

    def __post_init__(self) -> None:
        if self.period and self.period not in LENGTHS:
            raise QueryError(f"A period is {', '.join(LENGTHS)}; found '{self.period}'.")
        if self.least < 2:
            raise QueryError(f"A period needs at least two things; found least={self.least}.")
        if self.searches and self.over:
            raise QueryError("Give either searches= or over=: a log of searches has its own times.")


def dated_things(
    context: StoreContext, gallery: Gallery, first: Mapping[str, int], asked: TrendRequest, progress: Progress | None
) -> tuple[str, list[Dated]]:
    """What happened: where its times come from, and each with its period."""
    if asked.searches:
        return "searches", _of_searches(context, first, asked, progress)
    if asked.over == "events":
        return "events", _of_events(context, first, asked)
    if asked.over == "added_at":
        return "added_at", _of_additions(context, first, asked)
    if asked.over:
        columns = tuple(part.strip() for part in asked.over.split(","))
        return asked.over, _of_columns(gallery, first, columns, asked)
    tried: list[tuple[str, list[Dated]]] = [("events", _of_events(context, first, asked))]
    named = {name for product in _products(gallery, first) for name in product.attributes}
    tried += [(name, _of_columns(gallery, first, (name,), asked)) for name in YEARS if name in named]
    tried.append(("added_at", _of_additions(context, first, asked)))
    for source, things in tried:
        enough = Counter(period for period, _, weight in things if period is not None for _ in range(min(weight, 50)))
        if sum(count >= asked.least for count in enough.values()) >= 2:
            return source, things
    raise QueryError(
        "Trends need things of at least two periods. This store has no events, no column such as 'year' and no dates of"
        f" additions that span two periods with {asked.least} or more each. Name a column with --over, or a log of"
        " searches with --searches; or wait for the next period."
    )


def _products(gallery: Gallery, first: Mapping[str, int]) -> Iterator[Product]:
    return (gallery.product(place) for place in first.values())


def _of_events(context: StoreContext, first: Mapping[str, int], asked: TrendRequest) -> list[Dated]:
    found = context.events.interactions()
    places = [first.get(product) for product in found.products]
    if not len(found.at):
        return []
    length = asked.period or fitting_length(float(np.ptp(found.at)) / 86_400)
    return [
        (period_of(at, length), place, 1)
        for item, at in zip(found.items.tolist(), found.at.tolist(), strict=True)
        if (place := places[item]) is not None
    ]


def _of_additions(context: StoreContext, first: Mapping[str, int], asked: TrendRequest) -> list[Dated]:
    added = context.catalog.added_at()
    days = {product: day for product in first if (day := added.get(product))}
    dates = {text: read_period((text[:10],), "day") for text in set(days.values())}
    numbers = [period.number for period in dates.values() if period is not None]
    length = asked.period or fitting_length(max(numbers, default=0) - min(numbers, default=0))
    named = {text: read_period((text[:10],), length) for text in dates}
    return [(named[days[product]] if product in days else None, place, 1) for product, place in first.items()]


def _of_columns(gallery: Gallery, first: Mapping[str, int], columns: Sequence[str], asked: TrendRequest) -> list[Dated]:
    if len(columns) > 2:
        raise QueryError(f"Times come from one column, or a year and a season; found {len(columns)}: {asked.over}.")
    things = []
    for place in first.values():
        facets = gallery.product(place).facets()
        texts = [facets.get(name, ("",))[0] for name in columns]
        things.append((read_period(texts, asked.period or "month") if all(texts) else None, place, 1))
    if asked.over and not any(period for period, _, _ in things):
        raise QueryError(
            f"No product has a year or a date in '{asked.over}'. Name a column with years such as 2012, with dates such"
            " as 2012-05-31, or a year and a season such as year,season."
        )
    return things


def _of_searches(
    context: StoreContext, first: Mapping[str, int], asked: TrendRequest, progress: Progress | None
) -> list[Dated]:
    log = read_search_log(asked.searches)
    times = [search.at for search in log.searches if search.at is not None]
    if not times:
        raise QueryError(f"The search log {asked.searches} has no times. Add a column 'time', such as 2026-11-29.")
    length = asked.period or fitting_length((max(times) - min(times)) / 86_400)
    texts = list(dict.fromkeys(search.text for search in log.searches))
    answers = first_answers(context, texts, where=asked.where, progress=progress)
    places = {answer.text: first.get(answer.product_id) for answer in answers if answer.understood}
    things: list[Dated] = []
    for search in log.searches:
        place = places.get(search.text)
        period = None if search.at is None or place is None else period_of(search.at, length)
        things.append((period, place or 0, search.count))
    things += [(None, 0, 1)] * log.unreadable
    return things


def kept_periods(
    things: Sequence[Dated], least: int, source: str
) -> tuple[list[Period], list[Counted], list[tuple[str, int]]]:
    """The periods that have enough, what is in them, and what was left out."""
    totals: Counter[Period] = Counter()
    for period, _, weight in things:
        if period is not None:
            totals[period] += weight
    periods = sorted(period for period, total in totals.items() if total >= least)
    if len(periods) < 2:
        found = ", ".join(f"{period.name} with {total:,}" for period, total in totals.most_common(3)) or "none at all"
        raise QueryError(
            f"Trends need at least two periods with {least} things or more each; by {source} there is {found}. Ask for"
            " shorter periods (--period), lower --least, or take the times from elsewhere (--over)."
        )
    numbers = {period.number for period in periods}
    kept = [(period.number, place, weight) for period, place, weight in things if period and period.number in numbers]
    left_out = []
    undated = sum(weight for period, _, weight in things if period is None)
    if undated:
        what = (
            "searches without a time or an answer" if source == "searches" else f"products without a time in {source}"
        )
        left_out.append((what, undated))
    rest = {period: total for period, total in totals.items() if period.number not in numbers}
    if rest:
        names = ", ".join(period.name for period in sorted(rest)[:8])
        left_out.append((f"of periods with fewer than {least} ({names})", sum(rest.values())))
    return periods, kept, left_out


def cycle_of(periods: Sequence[Period], source: str) -> int:
    """How many periods a year has; 1 where one is missing, as the same place is then not the same time of the year."""
    if periods[-1].number - periods[0].number != len(periods) - 1:
        return 1
    if "," in source:
        return len({period.name.split(" ", 1)[-1] for period in periods})
    name = periods[0].name
    length = {4: "year", 10: "day"}.get(len(name), "week" if "W" in name else "quarter" if "Q" in name else "month")
    return LENGTHS[length] if length != "day" else 7  # of days, the week is what comes again
