"""What people did: taken in from programs and files, given out and erased by person. ``store.record``,
``store.export``, ``store.erase``."""

from __future__ import annotations

import csv
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from lapel.core.errors import InputError, SourceError, StoreBusyError
from lapel.core.events import (
    MAX_NAMED,
    NEEDED,
    OLDEST,
    Erasure,
    Event,
    EventReport,
    PersonExport,
    checked_person,
)
from lapel.core.text import reason_of, shortened
from lapel.engine.context import StoreContext

BATCH = 20_000  # events of one transaction, which takes about a second
TRIES = 20  # of a batch while another process writes, each of which waits five seconds
FUTURE = 86_400.0  # seconds by which a clock may be ahead
ENDINGS = (".csv", ".jsonl", ".ndjson")
Progress = Callable[[int, int | None], None]


@dataclass
class _Counting:
    """A report in the making."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[tuple[str, str]] = field(default_factory=list)
    unknown: dict[str, None] = field(default_factory=dict)

    def reject(self, where: str, why: str) -> None:
        self.counts["rejected"] += 1
        self.note(where, why)

    def note(self, where: str, why: str) -> None:
        if len(self.problems) < MAX_NAMED:
            self.problems.append((where, why))

    def report(self) -> EventReport:
        return EventReport(
            **self.counts, problems=tuple(self.problems), unknown_products=tuple(islice(self.unknown, MAX_NAMED))
        )


class EventService:
    """The events of one store. Safe to share between threads."""

    def __init__(self, context: StoreContext) -> None:
        self._context = context
        self._log = context.events

    def record(self, events: Iterable[Event | Mapping[str, Any]], progress: Progress | None = None) -> EventReport:
        """Keep events, see :meth:`lapel.Store.record`."""
        if isinstance(events, (Event, Mapping, str, bytes)):
            raise InputError(f"record takes several events, such as a list; found {type(events).__name__}.")
        return self._take(((f"event {at}", each) for at, each in enumerate(events, 1)), progress)

    def add_file(self, path: str | Path, progress: Progress | None = None) -> EventReport:
        """Keep the events of a CSV or JSONL file, which has the names of :class:`lapel.Event` as columns.

        Stopped half way, the same call goes on where it stopped: what was kept is passed over by its id.

        Raises:
            SourceError: it cannot be read at all, or has no such columns.
        """
        path = Path(path)
        if path.suffix.lower() not in ENDINGS:
            raise SourceError(f"Events come as {', '.join(ENDINGS)}; found '{shortened(path.name)}'.")
        try:
            with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
                return self._take(_csv_rows(file) if path.suffix.lower() == ".csv" else _json_rows(file), progress)
        except OSError as error:
            raise SourceError(f"'{shortened(str(path))}' cannot be read: {reason_of(error)}.") from error

    def export(self, person: str) -> PersonExport:
        """All that is known of a person."""
        events, lists = self._log.export(checked_person(person))
        told = [{"list_id": one.id, "time": one.at, "products": list(one.products), **one.request} for one in lists]
        return PersonExport(person, tuple(events), tuple(told))

    def erase(self, person: str) -> Erasure:
        """Forget a person: events and the lists they were shown."""
        return Erasure(*self._log.erase(checked_person(person)))

    def counts(self) -> dict[str, int]:
        """How many events, people, products and served lists there are, and how many events of each kind."""
        return self._log.counts()

    def _take(
        self, rows: Iterator[tuple[str, Event | Mapping[str, Any] | InputError]], progress: Progress | None = None
    ) -> EventReport:
        made = _Counting()
        while some := list(islice(rows, BATCH)):
            made.counts["read"] += len(some)
            batch = []
            for where, each in some:
                try:
                    if isinstance(each, InputError):
                        raise each
                    batch.append(Event.of(each))
                except InputError as error:
                    made.reject(where, str(error))
            self._keep(batch, made)
            if progress is not None:
                progress(made.counts["read"], None)
        return made.report()

    def _keep(self, batch: list[Event], made: _Counting) -> None:
        now = time.time()
        for attempt in range(TRIES):
            try:
                added = self._log.add(batch, now=now)
                break
            except StoreBusyError:  # another process takes in events too
                if attempt == TRIES - 1:
                    raise
        made.counts.update(added=len(added.new), duplicates=len(batch) - len(added.new), capped=added.capped)
        made.counts["conflicts"] += len(added.conflicts)
        for name in added.conflicts:
            made.note(f"event id {shortened(name)}", "It came before with another person, product, kind or time.")
        made.counts["future"] += sum(event.at > now + FUTURE for event in added.new)
        made.counts["ancient"] += sum(event.at < OLDEST for event in added.new)
        there = self._context.catalog.existing({event.product for event in added.new})
        for event in added.new:
            if event.product not in there:
                made.counts["unknown"] += 1
                made.unknown[event.product] = None


def _csv_rows(file: Any) -> Iterator[tuple[str, Mapping[str, Any] | InputError]]:
    """The rows of a CSV file by where they stand, with what is wrong in place of those that are cut short."""
    rows = csv.reader(file, strict=True)
    header = [name.strip().casefold() for name in next(rows, [])]
    missing = [name for name in NEEDED if name not in header]
    if missing:
        raise SourceError(
            f"A table of events has the columns {', '.join(NEEDED)} and perhaps list_id; this one lacks"
            f" {', '.join(missing)}."
        )
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            yield f"line {rows.line_num}", InputError(f"This row of the table cannot be read: {error}.")
            continue
        if row is None:
            return
        if len(row) == len(header):
            yield f"line {rows.line_num}", dict(zip(header, row, strict=True))
        elif row:
            yield f"line {rows.line_num}", InputError(f"The row has {len(row)} cells, the header {len(header)}.")


def _json_rows(file: Any) -> Iterator[tuple[str, Mapping[str, Any] | InputError]]:
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield f"line {number}", InputError(f"This line is no JSON: {reason_of(error)}.")
                continue
            yield f"line {number}", value
