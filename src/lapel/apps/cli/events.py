"""``lapel events``: what people did with products."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lapel.apps.cli.console import (
    DEFAULT_STORE,
    JsonOption,
    StoreOption,
    print_json,
    print_table,
    progress_bar,
    resumable,
    say,
)
from lapel.service import counted

if TYPE_CHECKING:
    from lapel.service import EventReport

events = typer.Typer(no_args_is_help=True, help="What people did: take it in, give it out, erase it.")
Person = Annotated[str, typer.Argument(metavar="PERSON", help="Who, as in the events.")]


@events.command()
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv or .jsonl file.")],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Take in events: id, person, product, kind (view, like, dislike, cart, buy or dismiss), time, and perhaps list_id.

    Each counts once by its id, in any order, so the same file may be given again. Times are seconds since 1970 or ISO
    8601. Exit code 1 when nothing of the file is an event.
    """
    from lapel.service import open_store

    with open_store(store) as shop, resumable(), progress_bar("taking in events") as update:
        report = shop.events.add_file(file, update)
    if as_json:
        print_json(report.to_json())
    else:
        _print(report)
    if report.rejected and report.rejected == report.read:
        raise typer.Exit(1)


def _print(report: EventReport) -> None:
    say(f"{counted(report.read, 'event')}: {report.added:,} added, {report.duplicates:,} here before.")
    told = (
        (report.rejected, "cannot be used"),
        (report.conflicts, "came with an id that said something else before; that stays"),
        (report.unknown, "of products that are not here yet; kept until they come"),
        (report.future, "of a time to come; kept, and counted as of now"),
        (report.ancient, "of a time before 2000; kept, and hardly counted"),
        (report.capped, "of people with more than 10,000; kept, not counted for what is popular"),
    )
    for number, what in told:
        if number:
            say(f"  {number:,} {what}.")
    for where, problem in report.problems:
        say(f"  {where}: {problem}", err=True)


@events.command()
def export(person: Person, store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Give out all that is known of a person: events, and lists they were shown."""
    from lapel.service import open_store

    with open_store(store, read_only=None) as shop:
        found = shop.export(person)
    if as_json:
        print_json(found.to_json())
        return
    say(f"{counted(len(found.events), 'event')}, {counted(len(found.lists), 'list')} shown.", err=True)
    told = found.to_json()
    rows = [
        [_moment(each["time"]), *(str(each[name]) for name in ("kind", "product", "id", "list_id"))]
        for each in told["events"]
    ]
    print_table(("time", "kind", "product", "id", "list"), rows)


def _moment(seconds: float) -> str:
    """Unix seconds as ISO 8601, UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@events.command()
def erase(person: Person, store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Forget a person: events, and lists they were shown.

    Exit code 1 when nothing is known of them.
    """
    from lapel.service import open_store

    with open_store(store) as shop:
        gone = shop.erase(person)
    if as_json:
        print_json({"events": gone.events, "lists": gone.lists})
    elif gone.events or gone.lists:
        say(f"Erased {counted(gone.events, 'event')} and {counted(gone.lists, 'list')} shown.")
    else:
        say("Nothing is known of this person.", err=True)
    if not gone.events and not gone.lists:
        raise typer.Exit(1)
