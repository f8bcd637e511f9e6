"""``lapel remove``: take products out of a store."""

from __future__ import annotations

from typing import Annotated

import typer

from lapel.apps.cli.console import DEFAULT_STORE, JsonOption, StoreOption, print_json, say
from lapel.service import counted

MAX_IDS = 10  # ids that are named


def remove(
    ids: Annotated[list[str], typer.Argument(help="Ids of the products to take out.")],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Take products out of a store.

    Their picture files are not touched. Exit code 1 when the store has none of them.
    """
    from lapel.service import open_store

    with open_store(store) as shop:
        report = shop.remove(ids)
    count, missing = len(report.removed), report.missing
    if as_json:
        print_json(report.to_json())
    else:
        if count:
            say(f"Removed {counted(count, 'product')}.")
        if missing:
            more = f" and {len(missing) - MAX_IDS:,} more" if len(missing) > MAX_IDS else ""
            none = "" if count else "Removed nothing. "
            say(f"{none}The store has no product {', '.join(missing[:MAX_IDS])}{more}.", err=not count)
    if not count:
        raise typer.Exit(1)
