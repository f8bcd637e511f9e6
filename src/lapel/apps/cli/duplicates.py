"""``lapel duplicates``: the same picture twice, copies, and products that are listed twice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lapel.apps.cli.console import (
    DEFAULT_STORE,
    JsonOption,
    StoreOption,
    WhereOption,
    print_json,
    print_table,
    progress_bar,
    resumable,
    say,
)
from lapel.apps.cli.findings import OutOption, print_findings
from lapel.service import counted

if TYPE_CHECKING:
    from lapel.service import NewCheck

duplicates = typer.Typer(
    help="The same picture twice, copies of pictures, products that are listed twice.", invoke_without_command=True
)


@duplicates.callback()
def find(
    context: typer.Context,
    new: Annotated[
        Path | None, typer.Option("--new", metavar="PICTURE", help="Check one picture that is not added yet.")
    ] = None,
    least: Annotated[float, typer.Option("--min-score", help="How sure a near duplicate is at least, 0..1.")] = 0.9,
    where: WhereOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    out: OutOption = None,
) -> None:
    """Find products with the same picture, with copies of one (cut, lit, mirrored, framed, written over), or listed
    twice.

    Names the one worth keeping. Nothing is deleted. What was compared is kept: a second run compares what is new.
    """
    if context.invoked_subcommand is not None:
        return
    from lapel.service import open_store

    with open_store(store) as shop:
        if new is not None:
            _print_new(shop.check_new_picture(new, where=where or (), least=least), as_json)
            return
        with resumable(), progress_bar("Comparing") as tell:
            found = shop.duplicates(where=where or (), least=least, progress=tell)
        print_findings(shop, found, "duplicates", as_json=as_json, out=out, right=("group", "score"))


def _print_new(found: NewCheck, as_json: bool) -> None:
    if as_json:
        print_json(found.to_json())
        return
    rows = [[m.kind, m.product, f"{m.score:.3f}", m.title, m.photo] for m in found.matches]
    if rows:
        print_table(["kind", "product", "score", "title", "photo"], rows, right=("score",), shrink="photo")
    say(found.summary())


@duplicates.command()
def dismiss(
    one: Annotated[str, typer.Argument(metavar="PRODUCT", help="Id of a product.")],
    other: Annotated[str, typer.Argument(metavar="OTHER", help="Id of the other product.")],
    note: Annotated[str, typer.Option("--note", help="Why; kept with it.")] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Take it back.")] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Remember for good that two products are no duplicates; also when they are taken out and added again."""
    from lapel.service import open_store

    with open_store(store) as shop:
        if undo:
            found = shop.restore_duplicate(one, other)
            say("They may be shown as duplicates again." if found else "They were not dismissed. Nothing changed.")
        else:
            shop.dismiss_duplicate(one, other, note=note)
            say(f"'{one}' and '{other}' are not shown as duplicates again. Take it back with --undo.")


@duplicates.command()
def dismissed(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """List the pairs that were said to be no duplicates."""
    from lapel.service import open_store

    with open_store(store, read_only=None) as shop:
        found = shop.dismissed_duplicates()
    if as_json:
        print_json([{"one": e.one, "other": e.other, "at": e.at, "note": e.note} for e in found])
        return
    if found:
        print_table(["product", "other", "when", "note"], [[e.one, e.other, e.at, e.note] for e in found])
    say(f"{counted(len(found), 'pair')} dismissed.")
