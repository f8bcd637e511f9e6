"""What rises and what fades: the share of every look, colour, kind and group of people over time.

A store goes in, :class:`Trends` come out: a series for each look (a group of photos that are alike), colour, kind and
gender, with intervals; which of them rise or fade, at a stated rate of false alarms; and the next period's shares,
beside what ``same as last time`` would have said. Times come from events, from when products were added, from a column
of the catalogue, or from a log of searches (:mod:`lapel.core.shares` does the arithmetic).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import QueryError
from lapel.core.shares import FALSE_DISCOVERY_RATE, Moves, ShareForecast, forecast, moves, wilson
from lapel.core.text import counted
from lapel.engine.context import StoreContext
from lapel.insight.findings import Findings, Gallery, Picture, Section, read_gallery
from lapel.insight.looks import Looks, find_looks, names_of_looks
from lapel.insight.plots import Line, line_chart, percent
from lapel.insight.trend_times import Progress, TrendRequest, cycle_of, dated_things, kept_periods

DIMENSIONS = ("look", "colour", "kind", "gender")
LEAST_SEEN = 5  # things of a series in all periods together
PICTURES = 6  # of a look in the page
SHOWN = {"rising": 0, "fading": 1, "steady": 2}


@dataclass(frozen=True)
class Series:
    """One look, colour, kind or gender over time.

    Attributes:
        dimension: ``look``, ``colour``, ``kind`` or ``gender``.
        value: Which.
        counts: How many things of it there were in each period.
        shares: Of all things of the period, 0..1.
        low: Lower ends of their 95 % intervals.
        high: Upper ends.
        moves: In each period ``rising``, ``fading`` or empty, from what was known then.
        p_value: Of the latest period: of a change at least as large where there is none.
        expected: Share of the next period, with the interval of 80 %: value, low, high.
        examples: Keys of photos of it, the most typical first.
    """

    dimension: str
    value: str
    counts: tuple[int, ...]
    shares: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    moves: tuple[str, ...]
    p_value: float
    expected: tuple[float, float, float]
    examples: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        lengths = {len(each) for each in (self.counts, self.shares, self.low, self.high, self.moves)}
        if len(lengths) != 1:
            raise QueryError(f"A series has as many counts as shares, ends and moves; found {sorted(lengths)}.")

    @property
    def direction(self) -> str:
        """``rising``, ``fading`` or ``steady``, in the latest period."""
        return self.moves[-1] or "steady"

    @property
    def ratio(self) -> float:
        """The latest share as a multiple of the mean of those before."""
        before = float(np.mean(self.shares[:-1]))
        return self.shares[-1] / before if before else float("inf")


@dataclass(frozen=True)
class DimensionForecast:
    """How well the shares of one dimension could be forecast.

    Attributes:
        dimension: Which.
        method: What the forecast is made by.
        error: Share of all things that such forecasts put in the wrong place, mean over ``tests`` periods; None where
            there were too few.
        naive_error: The same of ``same as last time``, or with seasons ``same as last year``.
        tests: Over how many periods.
        spread: How many times more shares vary than if every thing were drawn alone.
        seasonal: Whether the same time of earlier years was allowed for.
    """

    dimension: str
    method: str
    error: float | None
    naive_error: float | None
    tests: int
    spread: float
    seasonal: bool

    @property
    def words(self) -> str:
        """How good the forecast is, for people."""
        if self.error is None or self.naive_error is None:
            return f"{self.dimension}: too few periods to test a forecast; it says that all stays as it was."
        gain = (
            f"{1 - self.error / self.naive_error:.0%} less than"
            if self.error < self.naive_error
            else f"no better than the {percent(self.naive_error)} of"
        )
        naive = (
            f"'same as before' ({percent(self.naive_error)})" if self.error < self.naive_error else "'same as before'"
        )
        return (
            f"{self.dimension}: forecasts put {percent(self.error)} of all things in the wrong place,"
            f" {gain} {naive}, over {counted(self.tests, 'period')}."
        )


@dataclass(frozen=True)
class Trends(Findings):
    """Shares over time.

    Attributes:
        source: What the times are of: ``events``, ``searches``, ``added_at``, or the names of columns.
        periods: Their names, the oldest first.
        totals: Things in each.
        series: Those that rise first, then those that fade, then the largest.
        forecasts: One for each dimension.
        left_out: What was left out and why, with how many.
        rate: Of the series said to move in a period, the expected share of false ones.
    """

    source: str
    periods: tuple[str, ...]
    totals: tuple[int, ...]
    series: tuple[Series, ...]
    forecasts: tuple[DimensionForecast, ...]
    left_out: tuple[tuple[str, int], ...] = ()
    rate: float = FALSE_DISCOVERY_RATE

    def __post_init__(self) -> None:
        if len(self.periods) != len(self.totals) or len(self.periods) < 2:
            raise QueryError(f"Trends need two periods or more, each with a total; found {len(self.periods)}.")

    def moving(self, direction: str) -> tuple[Series, ...]:
        """The series that are ``rising`` or ``fading`` in the latest period."""
        return tuple(each for each in self.series if each.direction == direction)

    def columns(self) -> tuple[str, ...]:
        """See :class:`Findings`."""
        names = ("dimension", "value", "direction", "share", "low", "high", "before", "ratio", "p_value", "expected")
        return (
            *names,
            "expected_low",
            "expected_high",
            "count",
            "moved_in",
            *(f"share {name}" for name in self.periods),
        )

    def rows(self) -> list[dict[str, Any]]:
        """A row each series; the shares of all periods at its end."""
        rows = []
        for each in self.series:
            moved = [f"{name} {move}" for name, move in zip(self.periods, each.moves, strict=True) if move]
            row: dict[str, Any] = {
                "dimension": each.dimension,
                "value": each.value,
                "direction": each.direction,
                "share": round(each.shares[-1], 5),
                "low": round(each.low[-1], 5),
                "high": round(each.high[-1], 5),
                "before": round(float(np.mean(each.shares[:-1])), 5),
                "ratio": round(each.ratio, 3) if np.isfinite(each.ratio) else None,
                "p_value": float(f"{each.p_value:.3g}"),
                "expected": round(each.expected[0], 5),
                "expected_low": round(each.expected[1], 5),
                "expected_high": round(each.expected[2], 5),
                "count": sum(each.counts),
                "moved_in": "; ".join(moved),
            }
            row |= {f"share {name}": round(share, 5) for name, share in zip(self.periods, each.shares, strict=True)}
            rows.append(row)
        return rows

    def to_json(self) -> dict[str, Any]:
        """Everything."""
        return {
            "source": self.source,
            "periods": list(self.periods),
            "totals": list(self.totals),
            "false_discovery_rate": self.rate,
            "series": [_series_json(each) for each in self.series],
            "forecasts": [dict(vars(each)) for each in self.forecasts],
            "left_out": [{"what": what, "count": count} for what, count in self.left_out],
        }

    def sections(self) -> Iterator[Section]:
        """A chart and pictures for each series."""
        for each in self.series:
            line = Line(each.value, each.shares, each.low, each.high, each.expected)
            moved = [f"{move} in {name}" for name, move in zip(self.periods, each.moves, strict=True) if move]
            text = f"{each.dimension}, {each.direction}: {percent(each.shares[-1])} in {self.periods[-1]}"
            text += f" ({percent(each.low[-1])} to {percent(each.high[-1])}), {each.ratio:.2f} times the mean before."
            text += f" Alarms: {', '.join(moved)}." if moved else ""
            pictures = tuple(Picture(key) for key in each.examples)
            yield Section(f"{each.value}", text, pictures, line_chart(line, self.periods))

    def summary(self) -> str:
        """What was looked at, what moves, how surely, and how good the forecast is."""
        rising, fading = (counted(len(self.moving(way)), "series", "series") for way in ("rising", "fading"))
        total = sum(self.totals)
        said = f"{total:,} {_THINGS.get(self.source, 'products')} of {self.periods[0]} to {self.periods[-1]}"
        said += f" ({counted(len(self.periods), 'period')}, by {self.source}): {rising} rise in {self.periods[-1]},"
        said += f" {fading} fade. Of those said to move in a period, at most {self.rate:.0%} are expected to be false"
        said += " alarms, and where nothing changes so many of 100 periods raise any (Benjamini-Hochberg)."
        for each in self.forecasts:
            said += f" {each.words[0].upper()}{each.words[1:]}"
        if any(each.spread > 3 for each in self.forecasts):
            worst = max(self.forecasts, key=lambda each: each.spread)
            said += (
                f" The make-up of these periods differs {worst.spread:.0f} times more than chance would make it"
                f" ({worst.dimension}): they may be of different sources, and little counts as a trend."
            )
        if self.left_out:
            said += " Left out: " + ", ".join(_some(what, count) for what, count in self.left_out) + "."
        return said


def _some(what: str, count: int) -> str:
    """Such as ``1 product without a time``."""
    noun, _, rest = what.partition(" ")
    return f"{count:,} {noun.removesuffix('s') if count == 1 else noun} {rest}"


_THINGS = {"events": "events", "searches": "searches"}


def _series_json(each: Series) -> dict[str, Any]:
    found = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(each).items()}
    return {**found, "direction": each.direction}


def find_trends(context: StoreContext, request: TrendRequest | None = None, progress: Progress | None = None) -> Trends:
    """Shares over time, see :class:`Trends`.

    Args:
        context: The store; only read.
        request: What is asked.
        progress: Called with how many searches were answered, where they are counted.

    Raises:
        QueryError: nothing has a time, or all of one period; no photo passes the filter.
    """
    asked = request or TrendRequest()
    gallery = read_gallery(context, asked.where)
    first = {gallery.product(place).id: place for place in range(len(gallery) - 1, -1, -1)}
    source, things = dated_things(context, gallery, first, asked, progress)
    periods, kept, left_out = kept_periods(things, asked.least, source)
    if gallery.without_vector:
        left_out.append(("photos without a vector", gallery.without_vector))
    looks = find_looks(gallery.vectors, asked.looks, seed=asked.seed)
    cycle = cycle_of(periods, source)
    names = names_of_looks(gallery, looks)
    at, numbers, weights = (np.array(column, np.int64) for column in zip(*((p, n, w) for n, p, w in kept), strict=True))
    rows = np.searchsorted([period.number for period in periods], numbers)
    totals = np.bincount(rows, weights, minlength=len(periods)).astype(np.int64)
    series: list[Series] = []
    forecasts: list[DimensionForecast] = []
    for dimension in DIMENSIONS:
        values = _values(gallery, looks, names, dimension)
        labels = sorted({value for value in values if value})
        if len(labels) < 2:
            continue
        place_of = {label: number for number, label in enumerate(labels)}
        of = np.array([place_of.get(value, -1) for value in values], np.int64)[at]
        known = of >= 0
        counts = np.zeros((len(periods), len(labels)), np.int64)
        np.add.at(counts, (rows[known], of[known]), weights[known])
        moved, ahead = moves(counts, totals, cycle=cycle), forecast(counts, totals, cycle=cycle)
        errors = (ahead.method, ahead.error, ahead.naive_error, ahead.tests)
        forecasts.append(DimensionForecast(dimension, *errors, moved.spread, moved.seasonal))
        series += _series(dimension, labels, counts, totals, moved, ahead, _examples(gallery, looks, names, dimension))
    if not series:
        raise QueryError(
            "There is nothing to follow over time: all products have the same look, colour, kind and gender."
        )
    series.sort(key=lambda each: (SHOWN[each.direction], each.p_value if each.moves[-1] else -each.shares[-1]))
    named = tuple(period.name for period in periods)
    return Trends(source, named, tuple(totals.tolist()), tuple(series), tuple(forecasts), tuple(left_out))


def _values(gallery: Gallery, looks: Looks, names: Sequence[str], dimension: str) -> list[str]:
    """A value each photo of the gallery; empty where there is none."""
    if dimension == "look":
        return [names[look] for look in looks.of.tolist()]
    products = [gallery.product(place) for place in range(len(gallery))]
    if dimension == "kind":
        return [product.category[-1] if product.category else "" for product in products]
    return [str(getattr(product, dimension)) for product in products]


def _examples(gallery: Gallery, looks: Looks, names: Sequence[str], dimension: str) -> Callable[[str], tuple[int, ...]]:
    """Gives photos of a value: of a look the most typical, of others those nearest to the mean of their vectors."""
    if dimension == "look":
        place_of = {name: look for look, name in enumerate(names)}

        def of_look(value: str) -> tuple[int, ...]:
            nearest = looks.nearest(place_of[value], gallery.vectors, PICTURES)
            return tuple(gallery.keys[nearest].tolist())

        return of_look
    values = np.array(_values(gallery, looks, names, dimension))

    def of_value(value: str) -> tuple[int, ...]:
        own = np.flatnonzero(values == value)
        closeness = gallery.vectors[own] @ gallery.vectors[own].mean(axis=0)
        return tuple(gallery.keys[own[np.argsort(-closeness, kind="stable")[:PICTURES]]].tolist())

    return of_value


def _series(
    dimension: str,
    labels: Sequence[str],
    counts: NDArray[np.int64],
    totals: NDArray[np.int64],
    moved: Moves,
    ahead: ShareForecast,
    examples: Callable[[str], tuple[int, ...]],
) -> Iterator[Series]:
    low, high = wilson(counts, totals)
    words = moved.words
    for column, label in enumerate(labels):
        own = counts[:, column]
        if own.sum() < LEAST_SEEN:
            continue
        yield Series(
            dimension,
            label,
            tuple(own.tolist()),
            tuple((own / totals).tolist()),
            tuple(low[:, column].tolist()),
            tuple(high[:, column].tolist()),
            tuple(row[column] for row in words),
            float(moved.p_values[-1, column]),
            (float(ahead.shares[column]), float(ahead.low[column]), float(ahead.high[column])),
            examples(label),
        )
