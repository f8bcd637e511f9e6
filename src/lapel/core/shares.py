"""Shares of things over time: intervals, which of them rise or fade, and what comes next.

Counts go in: (periods, series) int of what was seen, such as products of each colour added in each month. Everything
allows for overdispersion, as shops do not draw their products one by one: what comes, comes in lots.

>>> counts = np.array([[50, 50], [48, 52], [52, 48], [20, 80]])
>>> [word for word in moves(counts).words[-1]]
['fading', 'rising']
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import InputError

FALSE_DISCOVERY_RATE = 0.2  # of the series that are said to move in one period: at .05 half as many doublings are found
BASELINE = 6  # periods before, whose mean is what was usual
WINDOWS = (1, 2)  # latest periods that are compared with what was usual: a rise is found within two
LEAST_EXPECTED = 5.0  # things of a series in a period, below which a normal approximation of its share is not used
LEAST_EFFECT = 1.2  # times as much, or as little: what is less is no news, however many things were counted
OWN_WEIGHT = 5.0  # periods of a series' own history that weigh as much as what all series say of how much shares vary
CLIPPED = 9.0  # times the usual square: a real change makes a series' later changes not much harder to find
MEDIAN_CHI2 = 0.4549  # of one degree of freedom
MEDIAN_EFFICIENCY = 0.37  # of a variance from a median, beside one from squares
NORMAL = 1.959964  # 95 % lie within so many standard deviations

Counts = NDArray[np.int64]  # (periods, series)
Shares = NDArray[np.float64]  # (periods, series)


@dataclass(frozen=True)
class Moves:
    """Which series rise or fade in which period.

    Attributes:
        direction: (periods, series) int8: 1 rises, -1 fades, 0 neither.
        p_values: (periods, series) of a change at least as large where there is none, two-sided; 1 where it cannot be
            said.
        spread: How many times more shares vary than if every thing were drawn alone, at least 1.
        seasonal: Whether the same time of earlier years was allowed for.
    """

    direction: NDArray[np.int8]
    p_values: Shares
    spread: float
    seasonal: bool

    @property
    def words(self) -> list[list[str]]:
        """The same in words, a list a period."""
        names = {1: "rising", -1: "fading", 0: ""}
        return [[names[int(each)] for each in row] for row in self.direction]


def check_counts(counts: Counts, totals: NDArray[np.int64] | None = None) -> tuple[Counts, NDArray[np.int64]]:
    """Counts and their totals.

    Raises:
        InputError: they are no counts, or a period is empty.
    """
    table = np.asarray(counts)
    if table.ndim != 2 or not table.size or not np.issubdtype(table.dtype, np.integer) or table.min() < 0:
        raise InputError(f"Counts are (periods, series) whole numbers; found shape {table.shape} {table.dtype}.")
    all_of_it = table.sum(axis=1) if totals is None else np.asarray(totals)
    if all_of_it.shape != (len(table),) or (all_of_it < 1).any() or (table > all_of_it[:, None]).any():
        raise InputError("Every period needs a total of at least one, and none of its counts is larger.")
    return table.astype(np.int64), all_of_it.astype(np.int64)


def wilson(counts: Counts, totals: NDArray[np.int64], spread: float = 1.0) -> tuple[Shares, Shares]:
    """The ends of Wilson's 95 % intervals of shares, as if there were only ``totals / spread`` things.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference" (1927).
    """
    n = (totals / spread)[:, None]
    share = counts / totals[:, None]
    middle = (share + NORMAL**2 / (2 * n)) / (1 + NORMAL**2 / n)
    half = NORMAL / (1 + NORMAL**2 / n) * np.sqrt(share * (1 - share) / n + NORMAL**2 / (4 * n**2))
    return np.minimum(np.clip(middle - half, 0, 1), share), np.maximum(np.clip(middle + half, 0, 1), share)


def moves(
    counts: Counts, totals: NDArray[np.int64] | None = None, *, cycle: int = 1, rate: float = FALSE_DISCOVERY_RATE
) -> Moves:
    """Which series rise or fade, in each period from what was known then.

    The log odds of the latest one and two periods are compared with those of the six before, in standard deviations
    as large as shares were seen to vary; where the same time of an earlier year is known, the change must also
    exceed that year's. After a rise last year, no fall is told at the same time of this one. Among the series of
    one period, Benjamini and Hochberg's procedure keeps the expected share of false ones at ``rate``; where nothing
    changes, that is also the chance of any alarm in a period.

    Source: Y. Benjamini and Y. Hochberg, "Controlling the false discovery rate" (1995).

    Args:
        counts: (periods, series).
        totals: (periods,), where the counts do not add up to all.
        cycle: Periods of a year; 1 where there are no seasons.
        rate: Between 0 and 1.
    """
    table, total = check_counts(counts, totals)
    periods, series = table.shape
    direction = np.zeros((periods, series), np.int8)
    p_values = np.ones((periods, series))
    squares: list[NDArray[np.float64]] = []  # of every earlier period's change; NaN where there was too little
    spread, seasonal = 1.0, False
    for now in range(1, periods):
        changes = [_beyond_season(table, total, now, width, cycle) for width in WINDOWS]
        if changes[0].years and not seasonal:
            seasonal, squares = True, []  # changes that hold seasons say nothing of how much others vary
        pooled, own = _spread(squares, series)
        square = np.where(changes[0].enough, changes[0].ratio ** 2 / changes[0].variance, np.nan)
        known = square[np.isfinite(square)]
        if len(known) >= 8:  # the other series of this very period say how much shares vary now
            pooled = max(pooled, float(np.median(known)) / MEDIAN_CHI2)
        freedom = max(3.0, MEDIAN_EFFICIENCY * (len(known) + sum(np.isfinite(each).sum() for each in squares)))
        each_p = np.stack([_p(change, np.maximum(pooled, own), freedom) for change in changes])
        best = each_p.argmin(axis=0)
        ratio = np.choose(best, [change.ratio for change in changes])
        p = np.minimum(1.0, len(WINDOWS) * each_p.min(axis=0))
        if seasonal:  # the end of last year's rise looks like a fall beside it
            echo = direction[max(0, now - cycle - 1) : now - cycle + 2]
            p = np.where((echo == -np.sign(ratio)).any(axis=0), 1.0, p)
        p_values[now] = p
        enough = np.abs(ratio) >= np.log(LEAST_EFFECT)
        direction[now] = np.where(_discovered(p, rate) & enough, np.sign(ratio), 0)
        squares.append(square)
        spread = pooled
    return Moves(direction, p_values, float(spread), seasonal)


def _spread(squares: list[NDArray[np.float64]], series: int) -> tuple[float, NDArray[np.float64]]:
    """How much shares vary by what was seen so far: of all series, and of each."""
    if not squares:
        return 1.0, np.ones(series)
    past = np.stack(squares[-12:])
    known = past[np.isfinite(past)]
    pooled = max(1.0, float(np.median(known)) / MEDIAN_CHI2) if len(known) >= 8 else 1.0
    clipped = np.minimum(np.nan_to_num(past), CLIPPED * pooled)
    seen = np.isfinite(past).sum(axis=0)
    return pooled, np.asarray((OWN_WEIGHT * pooled + clipped.sum(axis=0)) / (OWN_WEIGHT + seen), np.float64)


@dataclass(frozen=True)
class _Change:
    """Of each series, how its latest periods differ from those before.

    Attributes:
        ratio: (series,) log odds of the latest periods less those before.
        variance: (series,) of that, if every thing were drawn alone.
        enough: (series,) whether there are enough things to say.
        years: How many earlier years were allowed for.
    """

    ratio: NDArray[np.float64]
    variance: NDArray[np.float64]
    enough: NDArray[np.bool_]
    years: int = 0


def _change(counts: Counts, totals: NDArray[np.int64], now: int, width: int) -> _Change:
    first = now - width + 1
    before = slice(max(0, first - BASELINE), max(0, first))
    recent, recent_total = counts[max(0, first) : now + 1].sum(axis=0), totals[max(0, first) : now + 1].sum()
    usual, usual_total = counts[before].sum(axis=0), totals[before].sum()
    if not usual_total:
        none = np.zeros(counts.shape[1])
        return _Change(none, none + 1, none > 0)
    parts = [recent + 0.5, recent_total - recent + 0.5, usual + 0.5, usual_total - usual + 0.5]
    ratio = np.log(parts[0] / parts[1]) - np.log(parts[2] / parts[3])
    variance = np.sum([1 / part for part in parts], axis=0)
    expected = (recent + usual) / (recent_total + usual_total)
    enough = (expected * recent_total >= LEAST_EXPECTED) & (recent_total > recent)
    return _Change(ratio, variance, enough)


def _beyond_season(counts: Counts, totals: NDArray[np.int64], now: int, width: int, cycle: int) -> _Change:
    """The change, less what the same time of earlier years changed by where there are any: a season is no trend."""
    latest = _change(counts, totals, now, width)
    first = BASELINE + width - 1  # with fewer periods before it, a change is not of the same ones
    past = range(now - cycle, first - 1, -cycle) if cycle > 1 else ()
    earlier = [_change(counts, totals, at, width) for at in past]
    if not earlier:
        return latest
    usual = np.mean([each.ratio for each in earlier], axis=0)
    variance = latest.variance + np.sum([each.variance for each in earlier], axis=0) / len(earlier) ** 2
    return _Change(latest.ratio - usual, variance, latest.enough, len(earlier))


def _p(change: _Change, spread: NDArray[np.float64], freedom: float) -> NDArray[np.float64]:
    """(series,) two-sided."""
    from scipy.stats import t as student  # slow to import

    p = 2 * student.sf(np.abs(change.ratio) / np.sqrt(change.variance * spread), freedom)
    return np.where(change.enough, p, 1.0)


def _discovered(p: NDArray[np.float64], rate: float) -> NDArray[np.bool_]:
    order = np.argsort(p, kind="stable")
    passes = p[order] <= rate * np.arange(1, len(p) + 1) / len(p)
    found = np.zeros(len(p), np.bool_)
    if passes.any():
        found[order[: int(np.flatnonzero(passes)[-1]) + 1]] = True
    return found


@dataclass(frozen=True)
class ShareForecast:
    """The shares of the next period, and how wrong such forecasts were.

    Attributes:
        shares: (series,) expected shares; they sum to at most 1.
        low: (series,) lower ends, between which 80 of 100 shares lay in the periods before.
        high: (series,) upper ends.
        method: What was chosen, by the periods before.
        error: Mean error of what would have been chosen each time: half the sum of the absolute differences of shares,
            0..1, that is which share of all things was put in the wrong place. None with fewer than three periods.
        naive_error: The same of ``same as last time``; with seasons, same as a year ago.
        tests: How many periods both were measured on.
    """

    shares: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    method: str
    error: float | None
    naive_error: float | None
    tests: int


NAIVE = "same as last time"
SEASONAL_NAIVE = "same as last year"
DISCOUNTS = {"all so far": 1.0, "the latest most": 0.5, "mostly the latest": 0.2}
DAMPING = 0.5  # of the last change of log odds
INSIDE = 0.8


def forecast(counts: Counts, totals: NDArray[np.int64] | None = None, *, cycle: int = 1) -> ShareForecast:
    """Expect the next period's shares by what would have been best so far.

    Every period from the second on is forecast from those before it by each way. What is chosen for a period is what
    had the least error before it, so its error is what somebody would have had who did as this does.
    """
    table, total = check_counts(counts, totals)
    shares = table / total[:, None]
    naive = SEASONAL_NAIVE if 1 < cycle < len(table) else NAIVE
    errors: dict[str, list[float]] = {}
    chosen_errors, naive_errors, misses = [], [], []
    for now in range(1, len(table)):
        made = _ways(table[:now], total[:now], cycle)
        if now >= 2:
            best = _best(errors, made)
            chosen_errors.append(_wrong(made[best], shares[now]))
            naive_errors.append(_wrong(made.get(naive, made[NAIVE]), shares[now]))
            misses.append(_odds(shares[now], total[now]) - _odds(made[best], total[now]))
        for name, expected in made.items():
            errors.setdefault(name, []).append(_wrong(expected, shares[now]))
    made = _ways(table, total, cycle)
    best = _best(errors, made)
    low, high = _band(made[best], misses, int(total[-1]))
    tested = len(chosen_errors)
    return ShareForecast(
        made[best],
        low,
        high,
        best,
        float(np.mean(chosen_errors)) if tested else None,
        float(np.mean(naive_errors)) if tested else None,
        tested,
    )


def _ways(counts: Counts, totals: NDArray[np.int64], cycle: int) -> dict[str, NDArray[np.float64]]:
    """(series,) shares of the next period by each way."""
    shares = counts / totals[:, None]
    made = {NAIVE: shares[-1]}
    age = np.arange(len(counts))[::-1]
    for name, discount in DISCOUNTS.items():
        weights = discount**age
        made[name] = (weights @ counts) / (weights @ totals)
    if len(counts) > cycle > 1:
        year_ago, of_all = shares[-cycle], totals[-cycle]
        made[SEASONAL_NAIVE] = year_ago
        level = counts[-cycle:].sum(axis=0) / totals[-cycle:].sum()
        if len(counts) >= 2 * cycle:
            before = counts[-2 * cycle : -cycle].sum(axis=0) / totals[-2 * cycle : -cycle].sum()
            moved = _odds(year_ago, of_all) + _odds(level, of_all) - _odds(before, of_all)
            made["last year, moved as the year was"] = 1 / (1 + np.exp(-moved))
    elif len(counts) >= 3:
        latest = made["the latest most"]
        weights = DISCOUNTS["the latest most"] ** age[1:]
        before = (weights @ counts[:-1]) / (weights @ totals[:-1])
        moved = _odds(latest, totals[-1]) + DAMPING * (_odds(latest, totals[-1]) - _odds(before, totals[-1]))
        made["half of the last move goes on"] = 1 / (1 + np.exp(-moved))
    whole = shares[-1].sum()
    return {
        name: each if name == NAIVE else each * min(1.0, whole / max(each.sum(), 1e-12)) for name, each in made.items()
    }


def _best(errors: dict[str, list[float]], made: dict[str, NDArray[np.float64]]) -> str:
    """The way with the least mean error where it was tried as often as any; without errors the naive one."""
    tried = max((len(errors.get(name, ())) for name in made), default=0)
    if not tried:
        return NAIVE
    recent = {name: float(np.mean(errors[name])) for name in made if len(errors.get(name, ())) >= max(1, tried // 2)}
    return min(recent, key=lambda name: (recent[name], name != NAIVE))


def _wrong(expected: NDArray[np.float64], seen: NDArray[np.float64]) -> float:
    return float(np.abs(expected - seen).sum() / 2)


def _odds(share: NDArray[np.float64], total: int | np.int64) -> NDArray[np.float64]:
    least = 0.5 / (float(total) + 1)
    inside = np.clip(share, least, 1 - least)
    return np.asarray(np.log(inside / (1 - inside)), np.float64)


def _band(
    expected: NDArray[np.float64], misses: list[NDArray[np.float64]], total: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """An interval as wide as the misses of log odds so far; at least as wide as drawing so many things makes it."""
    odds = _odds(expected, total)
    drawn = 1.281552 / np.sqrt(np.maximum(total * expected * (1 - expected), 0.5))
    seen = np.quantile(np.abs(np.concatenate(misses)), INSIDE) if misses else 0.0
    half = np.maximum(drawn, seen)
    low, high = (1 / (1 + np.exp(-(odds + side * half))) for side in (-1, 1))
    return np.minimum(low, expected), np.maximum(high, expected)
