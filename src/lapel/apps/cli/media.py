"""``lapel media``: where the pictures are hosted: check them, move them, make their thumbnails."""

from __future__ import annotations

import re
import time
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
from lapel.apps.cli.deprecated import renamed
from lapel.core.errors import InputError, LapelError
from lapel.service import counted

if TYPE_CHECKING:
    from lapel.service import MediaCheckReport

media = typer.Typer(help="Look after where the pictures are.", rich_markup_mode=None, no_args_is_help=True)

MAX_ISSUES = 10  # issues that are printed
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@media.callback()
def root() -> None:
    """Look after where the pictures of a store are."""


def former_name() -> None:
    """Former name of 'lapel media'."""
    say("'lapel hosting' is called 'lapel media' now; the next version does not know 'lapel hosting'.", err=True)


@media.command()
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
    from lapel.service import open_store

    with open_store(store) as shop:
        moved = shop.media.move(old, new, dry_run=dry_run)
        photos = shop.media.photos
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


@media.command()
def thumbnails(
    store: StoreOption = DEFAULT_STORE,
    max_mb: Annotated[
        int | None, typer.Option("--max-mb", min=0, help="MB they may take from now on; 0 keeps none. At first 2,000.")
    ] = None,
    as_json: JsonOption = False,
    most: Annotated[int | None, renamed("--most", "--max-mb")] = None,
) -> None:
    """Make the thumbnails that are missing, and let go of those that are of no photo any more.

    'lapel add' makes them too, so this is for stores of an older Lapel, and after the limit was changed.
    The exit code is 1 when pictures were missing and none could be read.
    """
    from lapel.service import open_store

    limit = max_mb if most is None else most
    if limit is not None and limit < 0:
        raise typer.BadParameter(f"--max-mb is a number of MB from 0; found {limit}.")
    with open_store(store) as shop, resumable(), progress_bar("making thumbnails") as update:
        if limit is not None:
            shop.media.limit_thumbnails(limit)
        filled = shop.media.fill_thumbnails(progress=update)
        size = shop.media.thumbnail_size()
    if as_json:
        failed = [{"picture": photo.uri, "reason": reason} for photo, reason in filled.failed]
        print_json({"made": filled.derived, "photos": size.photos, "bytes": size.bytes, "failed": failed})
    else:
        have = "has" if size.photos == 1 else "have"
        say(
            f"{counted(filled.derived, 'photo')} got thumbnails; {size.photos:,} {have} them, in"
            f" {size.bytes / 1e6:,.1f} MB"
        )
        for photo, reason in filled.failed[:3]:
            say(f"{photo.uri}: {reason}", style="yellow")
        if len(filled.failed) > 3:
            say(f"... {len(filled.failed) - 3:,} more could not be read", style="yellow")
    if filled.failed and not filled.derived:
        raise typer.Exit(1)


@media.command()
def features(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Derive what photos lack: thumbnails, palettes, hashes of the look. 'lapel info' says how many lack which.

    'lapel add' derives them too, so this is for stores of an older Lapel. Stopped half way, the same command goes on
    where it stopped. The exit code is 1 when photos lacked something and none could be read.
    """
    from lapel.service import open_store

    with open_store(store) as shop, resumable(), progress_bar("deriving features") as update:
        reports = shop.media.fill_features(progress=update)
    failed = {photo.uri: reason for report in reports.values() for photo, reason in report.failed}
    if as_json:
        derived = {name: report.derived for name, report in reports.items()}
        print_json({"derived": derived, "failed": [{"picture": uri, "reason": failed[uri]} for uri in failed]})
    else:
        for name, report in reports.items():
            say(f"{name}: derived for {counted(report.derived, 'photo')}")
        if not reports:
            say("No photo lacks anything.")
        for uri in list(failed)[:3]:
            say(f"{uri}: {failed[uri]}", style="yellow")
    if failed and not any(report.derived for report in reports.values()):
        raise typer.Exit(1)


@media.command()
def check(
    store: StoreOption = DEFAULT_STORE,
    every: Annotated[str, typer.Option("--every", help="Check again so often, such as 6h, until stopped.")] = "",
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
            envvar="LAPEL_ALLOW_PRIVATE_LINKS",
            help="Links may lead into this machine's own network.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Visit every picture: dead, forbidden, moved and changed ones are listed in hosting.csv in the store.

    Changed pictures are embedded anew. Dead ones are hidden from results after a while and shown again when they
    return. When more than half are out of reach, none is hidden and the exit code is 1.
    """
    wait, patience = duration(every) if every else None, duration(grace)
    try:
        while True:
            try:
                held_back = _check(store, patience, force=force, allow_private=allow_private, as_json=as_json)
            except LapelError as error:
                if wait is None:
                    raise
                say(f"{error} Trying again in {every}.", head="Error: ", err=True)
            if wait is None:
                raise typer.Exit(int(held_back))
            time.sleep(wait.total_seconds())
    except KeyboardInterrupt:
        raise typer.Exit(0 if wait is not None else 130) from None


def _check(store: Path, grace: timedelta, *, force: bool, allow_private: bool, as_json: bool) -> bool:
    """Check once, and say what was found. Returns whether too many were out of reach to hide any."""
    from lapel.service import open_store, settings

    private = allow_private or settings().allow_private_links
    with open_store(store) as shop, progress_bar("visiting pictures") as update:
        done = shop.media.check(grace=grace, force=force, allow_private=private, progress=update)
        path = shop.media.issues_file
    if as_json:
        facts = {
            "photos": done.photos,
            **done.states,
            "encoded": done.encoded,
            "hidden": done.hidden,
            "relisted": done.back,
        }
        listed = [asdict(each) for each in done.issues]
        print_json({**facts, "held_back": done.held_back, "issues": listed})
    else:
        _print(done, path)
    return done.held_back


def _print(done: MediaCheckReport, path: Path) -> None:
    counts = ", ".join(f"{count:,} {state}" for state, count in done.states.most_common() if count)
    say(f"{counted(done.photos, 'picture')}: {counts or 'none'}")
    if done.encoded or done.hidden or done.back:
        say(f"{done.encoded:,} embedded anew, {done.hidden:,} hidden from results, {done.back:,} relisted")
    if done.held_back:
        say(
            "More than half of the pictures are out of reach, so none was hidden: is this machine's network or disk"
            " away? If they are really gone, --force hides them.",
            style="yellow",
        )
    issues = done.issues
    if issues:
        rows = [(each.since[:10], each.kind, each.product_id, each.uri, each.reason) for each in issues[:MAX_ISSUES]]
        print_table(("since", "kind", "product", "picture", "reason"), rows)
    if len(issues) > MAX_ISSUES:
        say(f"... {len(issues) - MAX_ISSUES:,} more")
    if issues:
        say(f"All of them: {path}")


def duration(text: str) -> timedelta:
    """A time such as ``90s``, ``30m``, ``6h`` or ``7d``.

    Raises:
        InputError: it is none.
    """
    match = re.fullmatch(r"([0-9]{1,6})([smhd])", text.strip())
    if not match:
        raise InputError(f"'{text}' is no length of time. Write for example 6h; s, m, h and d are understood.")
    return timedelta(**{UNITS[match[2]]: int(match[1])})
