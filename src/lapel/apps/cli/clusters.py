"""``lapel clusters``: groups of products that look alike, and a map of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lapel.apps.cli.console import DEFAULT_STORE, JsonOption, StoreOption, WhereOption, note, progress_bar
from lapel.apps.cli.findings import print_findings
from lapel.core.errors import QueryError
from lapel.core.types import Filter


def clusters(
    levels: Annotated[
        str,
        typer.Option(
            "--levels", help="How many groups each level has, such as 12,50,200; by default by the number of products."
        ),
    ] = "",
    map_file: Annotated[
        Path | None,
        typer.Option("--map", metavar="FILE", help="Write a map of the catalogue: one HTML file that opens offline."),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Learn groups, and lay out the map, anew and not as before.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="With --fresh, the same store and seed give the same.")] = 0,
    where: WhereOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="Folder for the groups and their members (CSV) and a page of pictures (HTML)."
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Group products that look alike, at two or three levels; each group is named by what is typical of it.

    Only pictures decide what is together; labels and titles give the names. --map shows all products on one page, as
    pictures that lie near what they look like.
    """
    from lapel.service import open_store

    counts, wanted = _levels(levels), Filter.parse(where or ())
    with open_store(store) as shop:
        with progress_bar("grouping") as update:
            if map_file is None:
                found = shop.clusters(where=wanted, levels=counts, seed=seed, fresh=fresh, progress=update)
            else:
                page = shop.catalogue_map(where=wanted, levels=counts, seed=seed, fresh=fresh, progress=update)
                page.save(map_file)
                found = page.clusters
        written = shop.save_clusters(found, out) if out is not None else ()
        numbers = ("level", "number", "parent", "products", "share", "spread")
        print_findings(shop, found, "clusters", as_json=as_json, out=None, right=numbers)
    for path in written:
        note(f"Wrote {path}")
    if map_file is not None:
        note(f"Wrote {map_file}. {page.summary()}")


def _levels(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise QueryError(f"--levels are numbers with commas between them, such as 12,50,200; found '{text}'.") from None
