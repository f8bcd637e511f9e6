"""``lapel remove``: take products out of a store."""

from __future__ import annotations

from typing import Annotated

import typer

from lapel.apps.cli.console import DEFAULT_STORE, JsonOption, StoreOption, print_json, say
from lapel.core.text import counted

SHOWN = 10  # ids that are named


def remove(
    ids: Annotated[list[str], typer.Argument(help="Ids of the products to take out.")],
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Take products out of a store.

    Their picture files are not touched. Exit code 1 when the store has none of them.
    """
    from lapel.engine.context import open_context

    asked = list(dict.fromkeys(ids))
    with open_context(store) as shop:
        there = shop.catalog.stored(asked, fingerprint="")
        removed = [name for name in asked if name in there]
        count = shop.catalog.remove(removed)[0] if removed else 0
    missing = [name for name in asked if name not in there]
    if as_json:
        print_json({"asked": len(asked), "count": count, "removed": removed, "missing": missing})
    else:
        if count:
            say(f"Removed {counted(count, 'product')}.")
        if missing:
            more = f" and {len(missing) - SHOWN:,} more" if len(missing) > SHOWN else ""
            none = "" if count else "Removed nothing. "
            say(f"{none}The store has no product {', '.join(missing[:SHOWN])}{more}.", err=not count)
    if not count:
        raise typer.Exit(1)
