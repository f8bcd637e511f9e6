"""``lapel trends``: which looks, colours and kinds rise and fade."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from lapel.apps.cli.console import DEFAULT_STORE, JsonOption, StoreOption, WhereOption, progress_bar
from lapel.apps.cli.findings import OutOption, print_findings
from lapel.core.types import Filter

NUMBERS = ("share", "low", "high", "before", "ratio", "p_value", "expected")


def trends(
    store: StoreOption = DEFAULT_STORE,
    over: Annotated[
        str,
        typer.Option("--over", help="Where times come from: events, added_at, or columns such as year or year,season."),
    ] = "",
    period: Annotated[str, typer.Option("--period", help="day, week, month, quarter or year.")] = "",
    searches: Annotated[
        Path | None, typer.Option("--searches", metavar="FILE", help="A CSV of searches (text, time) to count instead.")
    ] = None,
    looks: Annotated[int | None, typer.Option("--looks", help="How many looks to tell apart.")] = None,
    least: Annotated[int, typer.Option("--least", help="Leave out periods with fewer.")] = 30,
    where: WhereOption = None,
    as_json: JsonOption = False,
    out: OutOption = None,
) -> None:
    """Show which looks, colours, kinds and groups of people rise and fade over time, how surely, and what comes next.

    Times are those of events, else of a column with years, else of when products were added. A look is a group of
    photos that are alike.
    """
    from lapel.service import open_store

    waiting = progress_bar("answering searches") if searches else nullcontext(None)
    with open_store(store, read_only=None) as shop, waiting as update:
        found = shop.trends(
            over=over,
            period=period,
            searches=searches or "",
            looks=looks,
            where=Filter.parse(where or ()),
            least=least,
            progress=update,
        )
        print_findings(shop, found, "trends", as_json=as_json, out=out, right=NUMBERS)
