"""``lapel hosting``: where the pictures are."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from lapel.apps.cli.console import DEFAULT_STORE, StoreOption, progress_bar, resumable, say

hosting = typer.Typer(help="Look after where the pictures are.", rich_markup_mode=None, no_args_is_help=True)


@hosting.callback()
def root() -> None:
    """Look after where the pictures of a store are."""


@hosting.command()
def move(
    old: Annotated[str, typer.Argument(help="Where they were: a folder, a ZIP, or what their addresses begin with.")],
    new: Annotated[str, typer.Argument(help="Where they are now.")],
    store: StoreOption = DEFAULT_STORE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many would change.")] = False,
) -> None:
    """Say that pictures, or the links to them, have moved. Nothing is read or embedded anew."""
    from lapel.engine.hosting import move as move_pictures
    from lapel.engine.store import open_store

    with open_store(store) as shop:
        moved = move_pictures(shop, old, new, keep=not dry_run)
        photos = shop.catalog.counts().photos
    would = "would get" if dry_run else "got"
    say(f"{moved.photos:,} of {photos:,} pictures {would} another address, and {moved.links:,} links for browsers")
    if not moved.photos and not moved.links:
        say(f"No address begins with '{escape(old)}'. 'lapel search --json' shows what addresses look like.")


@hosting.command()
def thumbnails(
    store: StoreOption = DEFAULT_STORE,
    most: Annotated[
        int | None, typer.Option("--most", min=0, help="MB they may take from now on; 0 keeps none. At first 2,000.")
    ] = None,
) -> None:
    """Make the small pictures that are missing, and let go of those that are of no photo any more.

    'lapel add' makes them too, so this is for stores of an older Lapel, and after the bound was changed.
    """
    from lapel.engine.store import open_store
    from lapel.engine.thumbnails import fill_thumbnails

    with open_store(store) as shop, resumable(), progress_bar("making small pictures") as update:
        if most is not None:
            shop.limit_thumbnails(most)
        filled = fill_thumbnails(shop, report=update)
        size = shop.thumbnails.size()
    say(f"{filled.made:,} photos got small pictures; {size.photos:,} have them, in {size.bytes / 1e6:,.1f} MB")
    for photo, reason in filled.failed[:3]:
        say(f"[yellow]{escape(photo.uri)}: {escape(reason)}[/]")
    if len(filled.failed) > 3:
        say(f"[yellow]... {len(filled.failed) - 3:,} more could not be read[/]")
