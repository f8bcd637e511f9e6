"""What people searched for, from a file: one search a line, with its time where that is known."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lapel.core.errors import LapelError, TableError
from lapel.core.events import seconds_of
from lapel.core.filters import NO_FILTER
from lapel.core.text import fold, reason_of
from lapel.core.types import Filter, Query, Verdict
from lapel.engine.context import StoreContext
from lapel.engine.retrieval import SearchEngine

WORDS = ("text", "query", "search", "words")  # what the column of words may be called
TIMES = ("time", "at", "date", "timestamp")
COUNTS = ("count", "times", "n", "searches")
BATCH = 64


@dataclass(frozen=True)
class Search:
    """Something that was searched for.

    Attributes:
        text: The words.
        at: When, seconds since 1970; None where the file does not say.
        count: How often.
    """

    text: str
    at: float | None = None
    count: int = 1


@dataclass(frozen=True)
class SearchLog:
    """Searches of a file.

    Attributes:
        searches: In the file's order.
        unreadable: Lines that are none.
    """

    searches: tuple[Search, ...]
    unreadable: int = 0


def read_search_log(path: str | Path) -> SearchLog:
    """Read a CSV (UTF-8) with a column ``text``, and ``time`` (ISO 8601 or seconds) and ``count`` where there are such.

    Raises:
        TableError: there is no such file, no column of words, or no search in it.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            names = {fold(name): name for name in table.fieldnames or () if name}
            words, times, counts = (_column(names, known) for known in (WORDS, TIMES, COUNTS))
            if words is None:
                raise TableError(
                    f"The search log {path} needs a column '{WORDS[0]}'; it has {', '.join(names) or 'none'}."
                )
            searches, unreadable = [], 0
            for row in table:
                try:
                    text = (row[words] or "").strip()
                    at = seconds_of(row[times]) if times and row[times] else None
                    count = int(row[counts]) if counts and row[counts] else 1
                except (LapelError, ValueError):
                    unreadable += 1
                    continue
                if text and count > 0:
                    searches.append(Search(text, at, count))
                else:
                    unreadable += 1
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"The search log {path} cannot be read: {reason_of(error)}. Give a CSV file.") from error
    if not searches:
        raise TableError(f"The search log {path} has no search in it that can be read.")
    return SearchLog(tuple(searches), unreadable)


def _column(names: dict[str, str], known: Sequence[str]) -> str | None:
    return next((names[name] for name in known if name in names), None)


@dataclass(frozen=True)
class Answer:
    """The best answer of a store to a search.

    Attributes:
        text: The search.
        product_id: Its best hit; empty without one.
        score: Its cosine; 0 without one.
        understood: Whether any word is known here, so that the answer means something.
    """

    text: str
    product_id: str
    score: float
    understood: bool


def first_answers(
    context: StoreContext,
    texts: Sequence[str],
    *,
    where: Filter = NO_FILTER,
    progress: Callable[[int, int | None], None] | None = None,
) -> Iterator[Answer]:
    """The best answer of a store to each text.

    Args:
        context: The store.
        texts: What is searched for.
        where: Among which products.
        progress: Called with how many were asked.
    """
    engine = SearchEngine(context)
    for start in range(0, len(texts), BATCH):
        part = texts[start : start + BATCH]
        results = engine.search_many([Query(text=each, k=1, where=where) for each in part])
        for text, result in zip(part, results, strict=True):
            best = result[0] if len(result) else None
            understood = best is not None and result.verdict is not Verdict.NOT_UNDERSTOOD
            yield Answer(text, "" if best is None else best.product.id, 0.0 if best is None else best.score, understood)
        if progress is not None:
            progress(min(start + BATCH, len(texts)), len(texts))
