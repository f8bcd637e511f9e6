"""Small line charts as SVG, for pages of pictures: no script, readable by screen readers, in the page's own colours, so
that light and dark both hold."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field

WIDTH, HEIGHT = 560, 220  # of the drawing's own units; it scales with the page
LEFT, RIGHT, TOP, BOTTOM = 68, 16, 12, 34
LABELS = 8  # along the horizontal axis at most


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        name: What it is.
        values: A number, or None where there is none, for each place along the horizontal axis.
        low: Lower ends of their intervals; empty for none.
        high: Upper ends.
        ahead: What is expected next, with its interval: value, low and high. Drawn apart from what was seen.
    """

    name: str
    values: tuple[float | None, ...]
    low: tuple[float | None, ...] = field(default=())
    high: tuple[float | None, ...] = field(default=())
    ahead: tuple[float, float, float] | None = None


def line_chart(line: Line, places: Sequence[str], *, next_place: str = "next") -> str:
    """A chart of shares, with a table of the same numbers below that opens with a click.

    Args:
        line: What is drawn; values are shares, 0..1.
        places: The names along the horizontal axis, as many as there are values.
        next_place: What the place of ``ahead`` is called.

    Returns:
        HTML: a figure.
    """
    names = [*places, next_place] if line.ahead else list(places)
    top = _top(line)
    step = (WIDTH - LEFT - RIGHT) / max(1, len(names) - 1)

    def at(place: int, value: float) -> tuple[float, float]:
        return LEFT + place * step, HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)

    parts = [*_axes(names, top, step), *_bands(line, at)]
    seen = [at(place, value) for place, value in enumerate(line.values) if value is not None]
    if len(seen) > 1:
        parts.append(f'<polyline class="line" points="{_points(seen)}"/>')
    parts += [f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in seen]
    if line.ahead is not None:
        value, low, high = line.ahead
        place = len(places)
        (x, y), (_, y_low), (_, y_high) = at(place, value), at(place, low), at(place, high)
        parts.append(f'<line class="ahead" x1="{x:.1f}" x2="{x:.1f}" y1="{y_low:.1f}" y2="{y_high:.1f}"/>')
        parts.append(f'<circle class="open" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
    label = html.escape(_spoken(line, places, next_place), quote=True)
    drawing = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    return f"<figure>{drawing}{_table(line, names)}</figure>"


def _top(line: Line) -> float:
    """The end of the vertical axis: a round share above everything that is drawn."""
    known = [value for value in (*line.values, *line.high, *(line.ahead or ())) if value is not None]
    most = max([*known, 0.001])
    for scale in (0.001, 0.01, 0.1, 1.0):
        for step in (1, 2, 5):
            if most <= scale * step:
                return scale * step
    return 1.0


def _axes(names: Sequence[str], top: float, step: float) -> list[str]:
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{percent(share * top)}</text>')
    every = max(1, -(-len(names) // LABELS))
    last = len(names) - 1
    for place in range(0, len(names), every):
        anchor = "end" if place == last and place else "middle"
        x = LEFT + place * step
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 10}" text-anchor="{anchor}">{html.escape(names[place])}</text>')
    return parts


def _bands(line: Line, at: object) -> list[str]:
    if not line.low or not line.high:
        return []
    assert callable(at)
    ends = [(place, low, high) for place, (low, high) in enumerate(zip(line.low, line.high, strict=True))]
    known = [(place, low, high) for place, low, high in ends if low is not None and high is not None]
    if len(known) < 2:
        return []
    outline = [at(place, high) for place, _, high in known] + [at(place, low) for place, low, _ in reversed(known)]
    return [f'<polygon class="band" points="{_points(outline)}"/>']


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _spoken(line: Line, places: Sequence[str], next_place: str) -> str:
    """What the chart shows, in words."""
    known = [(name, value) for name, value in zip(places, line.values, strict=True) if value is not None]
    if not known:
        return f"{line.name}: no values"
    first, last = known[0], known[-1]
    text = f"{line.name}: {percent(first[1])} in {first[0]}, {percent(last[1])} in {last[0]}"
    return text if line.ahead is None else f"{text}, {percent(line.ahead[0])} expected for {next_place}"


def _table(line: Line, names: Sequence[str]) -> str:
    rows = []
    lows, highs = list(line.low), list(line.high)
    values: list[float | None] = list(line.values)
    if line.ahead is not None:
        values.append(line.ahead[0])
        lows, highs = [*lows, line.ahead[1]], [*highs, line.ahead[2]]
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        low, high = (ends[place] if len(ends) == len(values) else None for ends in (lows, highs))
        between = "" if low is None or high is None else f"{percent(low)} to {percent(high)}"
        shown = "" if value is None else percent(value)
        rows.append(f'<tr><th scope="row">{html.escape(name)}</th><td>{shown}</td><td>{between}</td></tr>')
    head = '<tr><th scope="col">Period</th><th scope="col">Share</th><th scope="col">Interval</th></tr>'
    return f"<details><summary>Numbers</summary><table>{head}{''.join(rows)}</table></details>"


def percent(share: float) -> str:
    """A share for people: two figures that count.

    >>> percent(0.1234), percent(0.0123), percent(0.5)
    ('12 %', '1.2 %', '50 %')
    """
    digits = 0 if share >= 0.0995 or not share else 1 if share >= 0.00995 else 2
    return f"{100 * share:.{digits}f} %"
