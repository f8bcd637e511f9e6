"""``lapel remove``: take products out of a store."""

from __future__ import annotations

from typing import Annotated

import typer

from lapel.apps.cli.console import DEFAULT_STORE, StoreOption, say


def remove(
    ids: Annotated[list[str], typer.Argument(help="Ids of the products to take out.")],
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Take products out of a store. Their picture files are not touched."""
    from lapel.engine.store import open_store

    with open_store(store) as shop:
        removed = shop.remove(ids)
    say(f"Removed {removed:,} of {len(set(ids)):,} products; the others were not there.")
