"""When things of a catalogue happened: a text or a moment goes in, a named period of time comes out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from lapel.core.errors import QueryError
from lapel.core.text import fold

LENGTHS = {"day": 365, "week": 52, "month": 12, "quarter": 4, "year": 1}  # and how many of them a year has
SEASONS = {"spring": 0, "summer": 1, "fall": 2, "autumn": 2, "winter": 3}  # in the order of a fashion year


@dataclass(frozen=True, order=True)
class Period:
    """A span of time; periods of one sort can be put in order.

    Attributes:
        number: Its place: the next one has the next number.
        name: Such as ``2012-05`` or ``2012 Summer``.
    """

    number: int
    name: str


def period_of(moment: float | date, length: str) -> Period:
    """The day, week (ISO 8601), month, quarter or year of a moment, in UTC.

    >>> period_of(date(2026, 11, 29), "quarter").name
    '2026 Q4'

    Raises:
        QueryError: no such length.
    """
    if length not in LENGTHS:
        raise QueryError(f"A period is a {', '.join(list(LENGTHS)[:-1])} or year; found '{length}'.")
    day = moment if isinstance(moment, date) else datetime.fromtimestamp(moment, UTC).date()
    if length == "day":
        return Period(day.toordinal(), day.isoformat())
    if length == "week":
        monday = day - timedelta(days=day.weekday())
        year, week, _ = day.isocalendar()
        return Period(monday.toordinal() // 7, f"{year}-W{week:02}")
    if length == "month":
        return Period(day.year * 12 + day.month - 1, f"{day.year}-{day.month:02}")
    if length == "quarter":
        quarter = (day.month - 1) // 3
        return Period(day.year * 4 + quarter, f"{day.year} Q{quarter + 1}")
    return Period(day.year, str(day.year))


def read_period(texts: Sequence[str], length: str) -> Period | None:
    """The period that a product's own columns name: a year, a year and a season, or a date.

    >>> read_period(("2012",), "month").name, read_period(("2012", "Summer"), "month").name
    ('2012', '2012 Summer')

    Args:
        texts: The values of one or two columns.
        length: Of a date, how long the period is.

    Returns:
        None where they name none.
    """
    year = re.fullmatch(r"\s*((?:19|20)\d\d)(?:\.0+)?\s*", texts[0])
    if year and len(texts) == 1:
        return Period(int(year[1]), year[1])
    if year:
        season = SEASONS.get(fold(texts[1]).strip())
        return None if season is None else Period(int(year[1]) * 4 + season, f"{year[1]} {texts[1].strip()}")
    try:
        return period_of(datetime.fromisoformat(texts[0].strip()).date(), length)
    except ValueError:
        return None


def fitting_length(days: float) -> str:
    """How long periods should be for so many days to have enough of them and no more than people can look at.

    >>> fitting_length(20), fitting_length(200), fitting_length(1000)
    ('day', 'week', 'month')
    """
    for length, least in (("year", 15 * 365), ("quarter", 5 * 365), ("month", 300), ("week", 56)):
        if days >= least:
            return length
    return "day"
