"""``lapel hosting``: where the pictures are."""

from __future__ import annotations

import csv
import re
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
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
from lapel.core.errors import InputError, LapelError
from lapel.core.text import counted

if TYPE_CHECKING:
    from lapel.catalog.hosting import MediaIssue
    from lapel.engine.media_check import MediaCheckReport

hosting = typer.Typer(help="Look after where the pictures are.", rich_markup_mode=None, no_args_is_help=True)


TROUBLES = "hosting.csv"  # in the store
SHOWN = 10  # troubles that are printed
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@hosting.callback()
def root() -> None:
    """Look after where the pictures of a store are."""


@hosting.command()
def move(
    old: Annotated[str, typer.Argument(help="Where they were: a folder, a ZIP, or what their addresses begin with.")],
    new: Annotated[str, typer.Argument(help="Where they are now.")],
    store: StoreOption = DEFAULT_STORE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many would change.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say that pictures, or the links to them, have moved. Nothing is read or embedded anew.

    The exit code is 1 when no address begins so.
    """
    from lapel.engine.context import open_context
    from lapel.engine.hosting import move as move_pictures

    with open_context(store) as shop:
        moved = move_pictures(shop, old, new, keep=not dry_run)
        photos = shop.catalog.counts().photos
    if as_json:
        print_json({**asdict(moved), "of": photos, "dry_run": dry_run})
    else:
        would = "would get" if dry_run else "got"
        say(
            f"{moved.photos:,} of {counted(photos, 'picture')} {would} another address, and"
            f" {counted(moved.links, 'link')} for browsers"
        )
    if not moved.photos and not moved.links:
        if not as_json:
            say(f"No address begins with '{old}'. 'lapel search --json' shows what addresses look like.")
        raise typer.Exit(1)


@hosting.command()
def thumbnails(
    store: StoreOption = DEFAULT_STORE,
    most: Annotated[
        int | None, typer.Option("--most", min=0, help="MB they may take from now on; 0 keeps none. At first 2,000.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make the small pictures that are missing, and let go of those that are of no photo any more.

    'lapel add' makes them too, so this is for stores of an older Lapel, and after the bound was changed.
    The exit code is 1 when pictures were missing and none could be read.
    """
    from lapel.engine.backfill import backfill
    from lapel.engine.context import open_context
    from lapel.engine.features import THUMBNAIL

    with open_context(store) as shop, resumable(), progress_bar("making small pictures") as update:
        if most is not None:
            shop.limit_thumbnails(most)
        filled = backfill(shop, THUMBNAIL, progress=update)
        size = shop.thumbnails.size()
    if as_json:
        failed = [{"picture": photo.uri, "reason": reason} for photo, reason in filled.failed]
        print_json({"made": filled.derived, "photos": size.photos, "bytes": size.bytes, "failed": failed})
    else:
        have = "has" if size.photos == 1 else "have"
        say(
            f"{counted(filled.derived, 'photo')} got small pictures; {size.photos:,} {have} them, in"
            f" {size.bytes / 1e6:,.1f} MB"
        )
        for photo, reason in filled.failed[:3]:
            say(f"{photo.uri}: {reason}", style="yellow")
        if len(filled.failed) > 3:
            say(f"... {len(filled.failed) - 3:,} more could not be read", style="yellow")
    if filled.failed and not filled.derived:
        raise typer.Exit(1)


@hosting.command()
def check(
    store: StoreOption = DEFAULT_STORE,
    every: Annotated[str, typer.Option("--every", help="Go round again so often, such as 6h, until stopped.")] = "",
    grace: Annotated[
        str, typer.Option("--grace", help="How long a picture may be out of reach before it is hidden from results.")
    ] = "7d",
    force: Annotated[
        bool, typer.Option("--force", help="Hide pictures also when more than half are out of reach.")
    ] = False,
    allow_private: Annotated[
        bool,
        typer.Option(
            "--allow-private",
            help="Links may lead into this machine's own network, as with LAPEL_ALLOW_PRIVATE_LINKS=1.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Visit every picture: dead, forbidden, moved and changed ones are listed in hosting.csv in the store.

    Changed pictures are embedded anew. Dead ones are hidden from results after a while and shown again when they
    return.
    When more than half are out of reach, none is hidden and the exit code is 1.
    """
    wait, patience = duration(every) if every else None, duration(grace)
    try:
        while True:
            try:
                held_back = _round(store, patience, force=force, allow_private=allow_private, as_json=as_json)
            except LapelError as error:
                if wait is None:
                    raise
                say(f"{error} Trying again in {every}.", head="Error: ", err=True)
            if wait is None:
                raise typer.Exit(int(held_back))
            time.sleep(wait.total_seconds())
    except KeyboardInterrupt:
        raise typer.Exit(0 if wait is not None else 130) from None


def _round(store: Path, grace: timedelta, *, force: bool, allow_private: bool, as_json: bool) -> bool:
    """Go round once, and say what was found. Returns whether too many were out of reach to hide any."""
    from lapel.core.settings import settings
    from lapel.engine.context import open_context
    from lapel.engine.media_check import check_media
    from lapel.sources.link_checker import LinkChecker

    rounds = LinkChecker(allow_private=allow_private or settings().allow_private_links)
    try:
        with open_context(store) as shop, progress_bar("visiting pictures") as update:
            done = check_media(shop, rounds, grace=grace, force=force, report=update)
    finally:
        rounds.close()
    path = store / TROUBLES
    _list(path, done.issues)
    if as_json:
        facts = {
            "photos": done.photos,
            **done.states,
            "encoded": done.encoded,
            "hidden": done.hidden,
            "back": done.back,
        }
        listed = [asdict(each) for each in done.issues]
        print_json({**facts, "held_back": done.held_back, "troubles": listed})
    else:
        _print(done, path)
    return done.held_back


def _print(done: MediaCheckReport, path: Path) -> None:
    counts = ", ".join(f"{count:,} {state}" for state, count in done.states.most_common() if count)
    say(f"{counted(done.photos, 'picture')}: {counts or 'none'}")
    if done.encoded or done.hidden or done.back:
        say(f"{done.encoded:,} embedded anew, {done.hidden:,} hidden from results, {done.back:,} brought back")
    if done.held_back:
        say(
            "More than half of the pictures are out of reach, so none was hidden: is this machine's network or disk"
            " away?"
            " If they are really gone, --force hides them.",
            style="yellow",
        )
    if done.issues:
        rows = [(each.since[:10], each.kind, each.product_id, each.uri, each.reason) for each in done.issues[:SHOWN]]
        print_table(("since", "kind", "product", "picture", "reason"), rows)
    if len(done.issues) > SHOWN:
        say(f"... {len(done.issues) - SHOWN:,} more")
    if done.issues:
        say(f"All of them: {path}")


def _list(path: Path, troubles: Sequence[MediaIssue]) -> None:
    """Write down every trouble, in place of what the last round found."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("kind", "since", "hidden", "product", "picture", "reason"))
            rows.writerows(
                (each.kind, each.since, each.hidden, each.product_id, each.uri, each.reason) for each in troubles
            )
        part.replace(path)
    except OSError as error:
        raise InputError(
            f"The list of pictures in trouble cannot be written to {path}: {error.strerror}. Make room there, or give"
            f" this user the right to write."
        ) from error


def duration(text: str) -> timedelta:
    """A time such as ``90s``, ``30m``, ``6h`` or ``7d``.

    Raises:
        InputError: it is none.
    """
    match = re.fullmatch(r"([0-9]{1,6})([smhd])", text.strip())
    if not match:
        raise InputError(f"'{text}' is no length of time. Write for example 6h; s, m, h and d are understood.")
    return timedelta(**{UNITS[match[2]]: int(match[1])})
