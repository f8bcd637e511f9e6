"""``lapel add``: products from a folder, a ZIP or a table into a store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lapel.apps.cli.console import (
    DEFAULT_STORE,
    JsonOption,
    MapOption,
    StoreOption,
    print_json,
    progress_bar,
    resumable,
    say,
)
from lapel.core.errors import TableError
from lapel.service import counted

if TYPE_CHECKING:
    from lapel.service import AddReport, AddRequest

MAX_REASONS = 8  # reasons printed; all are in the list


SourceArgument = Annotated[
    str,
    typer.Argument(
        help="A folder or ZIP of pictures, a table whose rows name pictures, or gdrive://FOLDER_ID.", metavar="SOURCE"
    ),
]
ProductsOption = Annotated[
    Path | None, typer.Option("--products", help="A CSV, TSV, JSON, Excel or XML table of products.")
]
EncodingOption = Annotated[
    str, typer.Option("--encoding", help="What the table is written in, such as cp1251 or gbk; found where not given.")
]
EncoderOption = Annotated[
    str | None, typer.Option("--encoder", help="For a new store: default, small, colour:, or a model folder.")
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="Stop after this many rows, to try things out.")
]
RunnerOption = Annotated[
    str,
    typer.Option(
        "--runner", help="Who reads and encodes: threads:, or ray: ray:auto ray://host:10001 for a Ray cluster."
    ),
]
SyncOption = Annotated[
    bool, typer.Option("--sync", help="This is the whole shop: what it no longer names is hidden until it returns.")
]
FeedOption = Annotated[
    str, typer.Option("--feed", help="With --sync, this is the whole of that feed, if several fill the store.")
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="With --sync, hide what is missing even if it is more than half.")
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="PATTERN",
        help="Leave out files and folders of this name, such as '*_back.jpg' or 'old/*'. Repeat for more.",
    ),
]
VerifyOption = Annotated[
    bool,
    typer.Option(
        "--verify", help="Read every picture again, also where size and time of the file say that it is the same."
    ),
]


def add(
    source: SourceArgument,
    products: ProductsOption = None,
    store: StoreOption = DEFAULT_STORE,
    mapping: MapOption = None,
    encoding: EncodingOption = "",
    encoder: EncoderOption = None,
    limit: LimitOption = None,
    runner: RunnerOption = "threads:",
    sync: SyncOption = False,
    feed: FeedOption = "",
    force: ForceOption = False,
    exclude: ExcludeOption = None,
    verify: VerifyOption = False,
    as_json: JsonOption = False,
) -> None:
    """Add products to a store, or update them: what has not changed is skipped.

    Product exports of Shopify and WooCommerce and Google Merchant feeds (XML, TSV) are recognised by themselves.

    Without a table, folder names become categories and file names ids. Stopped half way, the same command goes on where
    it stopped. Pictures that cannot be used are listed in rejected.csv in the store; exit code 1 says that nothing
    could be used.
    """
    from lapel.service import AddRequest

    if sync and limit is not None:
        raise TableError("--sync takes the table for the whole shop and --limit reads a part of it. Give one of them.")
    if (feed or force) and not sync:
        raise TableError("--feed and --force say how --sync works. Add --sync, or leave them out.")
    wanted = AddRequest(source, products, tuple(mapping or ()), encoding, tuple(exclude or ()), limit, runner)
    report = run_add(store, replace(wanted, verify=verify, whole=sync, feed=feed, force=force), encoder=encoder)
    show(report, as_json=as_json)
    if report.nothing_added:
        rows = report.counts.rows
        lost = "the row was" if rows == 1 else f"all {rows:,} rows were"
        found = f"{lost} left out" if rows else f"{source} has no products"
        say(f"{found}.", head="Nothing was added: ", err=True)
        raise typer.Exit(1)


def run_add(store: Path, wanted: AddRequest, *, encoder: str | None) -> AddReport:
    """Add to a store with a progress bar."""
    from lapel.service import add_to_store

    with resumable(), progress_bar("adding products") as update:
        return add_to_store(store, wanted, encoder=encoder, progress=update)


def show(report: AddReport, *, as_json: bool = False) -> None:
    """Print what a run did: the counts, which add up; what was not read, by kind; and why, by count."""
    if report.doubled:
        say(
            f"{counted(report.doubled, 'older product')} of the store {_are(report.doubled)} of the same picture files"
            " as newer ones: an earlier version of Lapel gave other ids. Add --sync to hide what this source no longer"
            " names.",
            style="yellow",
            err=as_json,
        )
    if as_json:
        print_json(report.to_json())
        return
    _say_counts(report)
    _say_left_out(report)


def _say_counts(report: AddReport) -> None:
    for each in report.fetched:
        say(
            f"{counted(each.images, 'picture')} fetched ({each.bytes / 1e6:,.0f} MB) from {each.where};"
            f" {each.kept_bytes / 1e9:.1f} of at most {each.limit_bytes / 1e9:.1f} GB kept in {each.folder}"
        )
    for line in report.notes:
        say(line, style="yellow")
    counts = report.counts
    say(
        f"{counted(counts.rows, 'row')}: {counted(counts.products_added, 'product')} added,"
        f" {counts.products_updated:,} updated,"
        f" {counts.products_unchanged:,} unchanged, {counts.products_rejected:,} left out",
    )
    say(
        f"{counted(counts.photos, 'picture')}: {counts.photos_added:,} added, {counts.photos_updated:,} encoded again,"
        f" {counts.photos_unchanged:,} unchanged, {counts.photos_rejected:,} left out"
        f"  ({counts.seconds:.1f} s, {counts.photos / max(counts.seconds, 1e-9):,.0f} pictures/s)",
    )
    if counts.photos_removed:
        say(f"{counted(counts.photos_removed, 'stored photo')} removed, as no product names them now")
    if counts.pictures_renamed:
        say(f"{counted(counts.pictures_renamed, 'picture')} found though the table writes the name otherwise")
    if report.names_all and counts.pictures_unnamed:
        unnamed = counts.pictures_unnamed
        say(f"{counted(unnamed, 'picture')} of the source {_are(unnamed)} named by no row")


def _say_left_out(report: AddReport) -> None:
    counts = report.counts
    if report.hidden:
        why = ", ".join(f"{count:,} {reason}" for reason, count in sorted(report.hidden.items()))
        hidden = counted(sum(report.hidden.values()), "product")
        say(f"{hidden} that {report.table_kind} does not show left out: {why}")
    if report.delisted or report.relisted:
        delisted = f"{counted(report.delisted, 'product')} {_are(report.delisted)} delisted and hidden from now on"
        say(f"{delisted}, {report.relisted:,} relisted")
    if report.skipped:
        say("Not read in the source:")
        for each in report.skipped:
            say(f"  {each.kind} ({each.count:,}): {each.advice}")
    if counts.reasons:
        say("Why rows or pictures were left out, or kept without something:", style="yellow")
        for reason, count in list(counts.reasons.items())[:MAX_REASONS]:
            say(f"  {count:,} x {reason}")
        more = len(counts.reasons) - MAX_REASONS
        rest = f", and {counted(more, 'more reason')}" if more > 0 else ""
        say(f"Each of them{rest}: {counts.rejects}", style="yellow")


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
