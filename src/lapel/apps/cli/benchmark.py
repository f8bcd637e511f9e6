"""``lapel benchmark``: how an encoder does on a public data set, beside what others have published."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lapel.apps.cli.console import JsonOption, print_json, print_table, progress_bar, say
from lapel.core.text import counted

if TYPE_CHECKING:
    from lapel.insight.protocol import BenchmarkReport
    from lapel.insight.public import Benchmark

SHOWN = 5  # pictures left out that are named; --json names all


class Name(StrEnum):
    """The data sets, as people type them."""

    IN_SHOP = "in-shop"
    ONLINE_PRODUCTS = "online-products"


def benchmark(
    data_set: Annotated[
        Name, typer.Argument(help="DeepFashion In-Shop or Stanford Online Products.", show_default=False)
    ],
    folder: Annotated[Path, typer.Argument(help="The folder with your copy, as it was unpacked.", show_default=False)],
    encoder: Annotated[str, typer.Option("--encoder", help="default, small, colour:, or a model folder.")] = "default",
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Only so many test items, to try things out: too easy to compare."),
    ] = None,
    write_table: Annotated[
        Path | None,
        typer.Option("--write-table", help="Write the training pictures as a table for 'lapel train', and stop."),
    ] = None,
    val_share: Annotated[
        float, typer.Option("--val-share", help="Of the table: the share of items held out as val.")
    ] = 0.1,
    seed: Annotated[int, typer.Option("--seed", help="Of the table: decides which items.")] = 7,
    as_json: JsonOption = False,
) -> None:
    """Measure Recall@K on a public data set by its official protocol, beside published figures.

    The data sets do not come with Lapel: ask their authors. DeepFashion is for non-commercial research only.

    Recall@K is the share of queries with a picture of the same item among the K nearest. In-Shop's queries ask its
    gallery; every
    test picture of Online Products asks all others.
    """
    from lapel.encoders import open_encoder
    from lapel.insight.protocol import measure
    from lapel.insight.public import open_benchmark

    copy = open_benchmark(data_set.value, folder)
    if write_table is not None:
        _write_table(copy, write_table, val_share, seed)
        return
    report = measure(copy, open_encoder(encoder), limit=limit, progress=progress_bar)
    if as_json:
        print_json(report.to_json())
    else:
        _print(report)


def _write_table(copy: Benchmark, path: Path, share: float, seed: int) -> None:
    from lapel.insight.public import write_table

    counts = write_table(copy, path, share=share, seed=seed)
    say(
        f"Wrote {path}: {counts['train']:,} items to learn from, {counts['val']:,} to judge by,"
        f" {counts['pictures']:,} pictures; the test items are not in it."
    )
    missing = sum(picture.split == "train" and not picture.uri for picture in copy.pictures)
    if missing:
        have = counted(missing, "training picture of the list has", "training pictures of the list have")
        say(f"{have} no file in {copy.source.where}.", style="yellow")
    say(f"Its pictures are in {copy.source.where}; what to learn is in its column item_id.")


def _print(report: BenchmarkReport) -> None:
    data_set = report.data_set
    say(
        f": {report.asked:,} queries against {report.gallery:,} pictures of {report.items:,} items ({data_set.terms})",
        head=data_set.title,
    )
    header, *rows = report.rows()
    print_table(header, rows, right=header[1:])
    say("% with 95 % intervals; then what others published:")
    for one in data_set.published:
        say(f"  {one.method}: {one.source}")
    for difference in report.differences:
        say(f"Not to be put beside the published figures: {difference}.", style="yellow")
    for name, reason in report.left_out[:SHOWN]:
        say(f"  {name}: {reason}")
    if len(report.left_out) > SHOWN:
        say(f"  ... and {len(report.left_out) - SHOWN:,} more; --json names all")
