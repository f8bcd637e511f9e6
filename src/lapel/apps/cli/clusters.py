"""``lapel clusters``: groups of products that look alike."""

from __future__ import annotations

from typing import Annotated

import typer

from lapel.apps.cli.console import DEFAULT_STORE, JsonOption, StoreOption, WhereOption, progress_bar
from lapel.apps.cli.findings import OutOption, print_findings
from lapel.core.errors import QueryError
from lapel.core.types import Filter


def clusters(
    levels: Annotated[
        str,
        typer.Option(
            "--levels", help="How many groups each level has, such as 12,50,200; by default by the number of products."
        ),
    ] = "",
    seed: Annotated[int, typer.Option("--seed", help="The same store and seed give the same groups.")] = 0,
    where: WhereOption = None,
    out: OutOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Group products that look alike, at two or three levels; each group is named by what is typical of it."""
    from lapel.service import open_store

    counts = _levels(levels)
    with open_store(store, read_only=None) as shop:
        with progress_bar("grouping") as update:
            found = shop.clusters(where=Filter.parse(where or ()), levels=counts, seed=seed, progress=update)
        numbers = ("level", "number", "parent", "products", "share", "spread")
        print_findings(shop, found, "clusters", as_json=as_json, out=out, right=numbers)


def _levels(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise QueryError(f"--levels are numbers with commas between them, such as 12,50,200; found '{text}'.") from None
