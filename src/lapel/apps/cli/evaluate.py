"""``lapel evaluate``: how well a store's search finds what it should."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lapel.apps.cli.console import DEFAULT_STORE, JsonOption, StoreOption, print_json, print_table, progress_bar, say
from lapel.core.errors import InputError
from lapel.core.text import reason_of
from lapel.core.types import Filter


def evaluate(
    relevant: Annotated[
        list[str],
        typer.Option(
            "--relevant",
            help="Fields that must agree, such as articleType,gender; or id: the product's other photos. Repeat.",
        ),
    ],
    store: StoreOption = DEFAULT_STORE,
    queries: Annotated[
        list[str] | None, typer.Option("--queries", help="Whose photos ask, such as split=val. All by default.")
    ] = None,
    gallery: Annotated[
        list[str] | None, typer.Option("--gallery", help="What may be found, such as split=train. All by default.")
    ] = None,
    k: Annotated[
        list[int] | None, typer.Option("-k", help="Ranks for Recall and Precision. 1, 5 and 10 by default.")
    ] = None,
    depth: Annotated[int, typer.Option("--depth", help="How many products are looked at for MAP and MRR.")] = 100,
    per: Annotated[str, typer.Option("--per", help="The field of the breakdown.")] = "category",
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Draw the worst queries of the last rule into this PNG.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure Recall@K, Precision@K, MAP and MRR: photos of the store ask, and rules say which answers are right.

    Recall@K is the share of queries with at least one relevant product among the K best. A query never finds itself.
    Queries for
    which the gallery holds nothing relevant are left out and counted.
    """
    from lapel.engine.context import open_context
    from lapel.insight.evaluate import evaluate as run
    from lapel.insight.report import category_heading, heading
    from lapel.insight.sheet import draw_sheet

    with open_context(store) as shop:
        with progress_bar("answering queries") as update:
            report = run(
                shop,
                queries=Filter.parse(queries or []),
                gallery=Filter.parse(gallery or []),
                relevant=relevant,
                k=k or (1, 5, 10),
                depth=depth,
                per=per,
                report=update,
            )
        if sheet is not None:
            try:
                draw_sheet(report, shop.image).save(sheet)
            except (OSError, ValueError) as error:
                raise InputError(
                    f"The picture sheet cannot be written to {sheet}: {reason_of(error)}. Name a .png in a folder that"
                    f" exists."
                ) from error
    if as_json:
        print_json(report.to_json())
        return
    say(f"{heading(report)}\n")
    for number, table in enumerate((report.rows(), report.category_rows())):
        if len(table) > 1:
            if number:
                say(f"\n{category_heading(report)}")
            print_table(table[0], table[1:])
    if sheet is not None:
        say(f"\nThe worst queries are drawn in {sheet}")
