"""``lapel index``: look after the index, the catalogue's shadow."""

from __future__ import annotations

import typer

from lapel.apps.cli.console import DEFAULT_STORE, StoreOption, say

index = typer.Typer(help="Look after the index.", rich_markup_mode=None, no_args_is_help=True)


@index.callback()
def root() -> None:
    """Look after the index of a store."""


@index.command()
def rebuild(store: StoreOption = DEFAULT_STORE) -> None:
    """Redraw the index from the catalogue's vectors. A store does so by itself when it finds its index old or damaged."""
    from lapel.engine.store import open_store

    with open_store(store) as shop:
        shop.redraw_index()
        say(f"Drew an index of {len(shop.index):,} vectors.")
