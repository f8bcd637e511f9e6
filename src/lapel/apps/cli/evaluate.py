"""``lapel evaluate``: how well a store's search finds what it should."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lapel.apps.cli.console import (
    DEFAULT_STORE,
    GalleryOption,
    JsonOption,
    QueriesOption,
    StoreOption,
    print_json,
    print_table,
    progress_bar,
    save_sheet,
    say,
)
from lapel.apps.cli.deprecated import renamed


def evaluate(
    relevant: Annotated[
        list[str],
        typer.Option(
            "--relevant",
            help="Fields that must agree, such as articleType,gender; or id: the product's other photos. Repeat.",
        ),
    ],
    store: StoreOption = DEFAULT_STORE,
    queries: QueriesOption = None,
    gallery: GalleryOption = None,
    k: Annotated[
        list[int] | None, typer.Option("-k", help="Ranks for Recall and Precision. 1, 5 and 10 by default.")
    ] = None,
    depth: Annotated[int, typer.Option("--depth", help="How many products are looked at for MAP and MRR.")] = 100,
    group_by: Annotated[str, typer.Option("--group-by", help="The field of the breakdown.")] = "category",
    contact_sheet: Annotated[
        Path | None, typer.Option("--contact-sheet", help="Draw the worst queries of the last rule into this PNG.")
    ] = None,
    as_json: JsonOption = False,
    per: Annotated[str | None, renamed("--per", "--group-by")] = None,
    sheet: Annotated[Path | None, renamed("--sheet", "--contact-sheet")] = None,
) -> None:
    """Measure Recall@K, Precision@K, MAP and MRR: photos of the store ask, and rules say which answers are right.

    Recall@K is the share of queries with at least one relevant product among the K best. A query never finds itself.
    Queries for which the gallery holds nothing relevant are left out and counted.
    """
    from lapel.service import category_heading, open_store, report_heading

    drawn = contact_sheet or sheet
    with open_store(store) as shop:
        with progress_bar("answering queries") as update:
            report = shop.evaluate(
                relevant,
                queries=queries or (),
                gallery=gallery or (),
                k=k or (1, 5, 10),
                depth=depth,
                group_by=per or group_by,
                progress=update,
            )
        if drawn is not None:
            save_sheet(shop.contact_sheet(report), drawn)
    if as_json:
        print_json(report.to_json())
        return
    say(f"{report_heading(report)}\n")
    for number, table in enumerate((report.rows(), report.category_rows())):
        if len(table) > 1:
            if number:
                say(f"\n{category_heading(report)}")
            print_table(table[0], table[1:])
    if drawn is not None:
        say(f"\nThe worst queries are drawn in {drawn}")
