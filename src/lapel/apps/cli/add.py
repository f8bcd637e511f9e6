"""``lapel add``: products from a folder, a ZIP or a table into a store."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lapel.apps.cli.console import (
    DEFAULT_STORE,
    JsonOption,
    StoreOption,
    print_json,
    progress_bar,
    resumable,
    say,
)
from lapel.core.errors import SourceError, TableError
from lapel.core.text import counted
from lapel.sources.names import ADVICE, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lapel.catalog.visibility import SyncPreview
    from lapel.engine.ingest import IngestReport
    from lapel.sources import ImageSource
    from lapel.sources.table import Table, TableRow

REJECTED = "rejected.csv"
SHOWN = 8  # reasons printed; all are in the list

MapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="FIELD=COLUMN",
        help="Where a field comes from, such as title=productDisplayName, 'category=a>b>c' or currency=EUR. Repeat for"
        " more.",
    ),
]
EncodingOption = Annotated[
    str,
    typer.Option(
        "--encoding", help="What the table is written in, such as cp1251 or gbk; found by itself if not said."
    ),
]
EncoderOption = Annotated[
    str | None, typer.Option("--encoder", help="For a new store: default, small, colour:, or a model folder.")
]


def add(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder or ZIP of pictures, a table whose rows name pictures, or gdrive://FOLDER_ID.",
            metavar="SOURCE",
        ),
    ],
    products: Annotated[
        Path | None, typer.Option("--products", help="A CSV, TSV, JSON, Excel or XML table of products.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    mapping: MapOption = None,
    encoding: EncodingOption = "",
    encoder: EncoderOption = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Stop after this many rows, to try things out.")
    ] = None,
    runner: Annotated[
        str,
        typer.Option(
            "--runner", help="Who reads and encodes: threads:, or ray: ray:auto ray://host:10001 for a Ray cluster."
        ),
    ] = "threads:",
    sync: Annotated[
        bool, typer.Option("--sync", help="This is the whole shop: what it no longer names is hidden until it returns.")
    ] = False,
    feed: Annotated[
        str, typer.Option("--feed", help="With --sync, this is the whole of that feed, if several fill the store.")
    ] = "",
    force: Annotated[
        bool, typer.Option("--force", help="With --sync, hide what is missing even if it is more than half.")
    ] = False,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude",
            metavar="PATTERN",
            help="Leave out files and folders of this name, such as '*_back.jpg' or 'old/*'. Repeat for more.",
        ),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Read every picture again, also where size and time of the file say that it is the same."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Add products to a store, or update them: what has not changed is skipped.

    Product exports of Shopify and WooCommerce and Google Merchant feeds (XML, TSV) are recognised by themselves.

    Without a table, folder names become categories and file names ids. Stopped half way, the same command goes on where
    it
    stopped. Pictures that cannot be used are listed in rejected.csv in the store; exit code 1 says that nothing could
    be used.
    """
    if sync and limit is not None:
        raise TableError("--sync takes the table for the whole shop and --limit reads a part of it. Give one of them.")
    if (feed or force) and not sync:
        raise TableError("--feed and --force say how --sync works. Add --sync, or leave them out.")
    report = add_to_store(
        source,
        products=products,
        store=store,
        mapping=mapping,
        encoding=encoding,
        encoder=encoder,
        limit=limit,
        runner=runner,
        whole=feed if sync else None,
        force=force,
        exclude=exclude or (),
        verify=verify,
        as_json=as_json,
    )
    if report.products_rejected == report.rows:
        lost = "the row was" if report.rows == 1 else f"all {report.rows:,} rows were"
        found = f"{lost} left out" if report.rows else f"{source} has no products"
        say(f"{found}.", head="Nothing was added: ", err=True)
        raise typer.Exit(1)


def add_to_store(
    source: str | Path,
    *,
    products: Path | None,
    store: Path,
    mapping: list[str] | None = None,
    encoding: str = "",
    encoder: str | None = None,
    limit: int | None = None,
    runner: str = "threads:",
    whole: str | None = None,
    force: bool = False,
    exclude: Sequence[str] = (),
    verify: bool = False,
    as_json: bool = False,
) -> IngestReport:
    """Add to a store with a progress bar, and print the counts. ``whole`` names the feed that this is all of."""
    from lapel.engine.context import open_context
    from lapel.engine.feeds import plan_sync
    from lapel.engine.ingest import ingest
    from lapel.runners import open_runner
    from lapel.sources import open_source
    from lapel.sources.mixed import MixedSource
    from lapel.sources.photos import photo_rows
    from lapel.sources.table import ENDINGS

    path = Path(source)
    if products is None and path.suffix.lower() in ENDINGS and os.path.isfile(path):  # noqa: PTH113 - also of names too long
        source, products = path.parent, path
    if products is None and (mapping or encoding):
        raise TableError(
            "--map and --encoding say how to read a table, but there is none. Give it with --products TABLE."
        )
    workers = open_runner(runner)
    pictures = open_source(source, exclude)
    if products is not None:
        pictures = MixedSource(pictures)
    with closing(pictures):
        table = None if products is None else _open_table(products, mapping, encoding, pictures)
        rows: Iterable[TableRow] = photo_rows(pictures) if table is None else table
        total = pictures.count() if table is None else table.count()
        opened = open_context(store, create=True, encoder=encoder)
        with opened as shop, resumable(), progress_bar("adding products") as update:
            if whole is not None and table is None and not force:
                _refuse_part(pictures)
            again = photo_rows(pictures) if table is None else table
            named = None if whole is None else plan_sync(shop.catalog, whole, again, force=force)
            report = ingest(
                shop,
                islice(rows, limit),
                source=pictures,
                rejects=store / REJECTED,
                total=total if limit is None else min(total, limit),
                report=lambda done, rows, _: update(done, rows),
                runner=workers,
                small=shop.thumbnails if shop.thumbnails.most else None,
                verify=verify,
            )
            update(report.rows, report.rows)
            census = None if named is None else named.apply(shop.catalog)
            _ = shop.index  # drawn now, so that the first search does not wait for it
            changed = table is None and report.products_added + report.products_updated
            superseded = shop.catalog.shared_photo_products() if changed else 0
    if products is not None:
        report = _without_table(report, products, Path(source))
    if superseded:
        say(
            f"{counted(superseded, 'older product')} of the store {_are(superseded)} of the same picture files as"
            f" newer ones: an earlier"
            " version of Lapel gave other ids. Add --sync to hide what this source no longer names.",
            style="yellow",
            err=as_json,
        )
    told = _json if as_json else _print
    told(report, pictures, table, census, named_by_table=table is not None and limit is None)
    return report


def _open_table(path: Path, mapping: list[str] | None, encoding: str, pictures: ImageSource) -> Table:
    """A table that was looked at, beside the pictures that it is for."""
    from lapel.sources.mapping import ColumnMap
    from lapel.sources.photos import check_ids
    from lapel.sources.table import read_table

    columns = ColumnMap.parse(mapping or [])
    table = read_table(path, columns, encoding=encoding)
    check_ids(table, columns, pictures)
    return table


def _without_table(report: IngestReport, table: Path, folder: Path) -> IngestReport:
    """The report without the table itself among what was not read beside the pictures."""
    kind = kind_of(table.name)
    if report.skipped.get(kind, 0) and table.absolute().is_relative_to(folder.absolute()):
        rest = {name: count - (name == kind) for name, count in report.skipped.items()}
        skipped = {name: count for name, count in rest.items() if count}
        return replace(report, skipped=skipped, files_ignored=report.files_ignored - 1)
    return report


def _refuse_part(pictures: ImageSource) -> None:
    """Whoever takes a folder for the whole shop must have seen all of it: what is in a folder that cannot be read is
    not gone."""
    pictures.count()
    unreadable = pictures.unreadable
    for folder, reason in unreadable.items():
        raise SourceError(
            f"--sync takes {pictures.where} for the whole shop, but {counted(len(unreadable), 'folder')} of it cannot"
            f" be read, such as"
            f" '{folder}': {reason}. Make it readable, or add --force to hide the products in it."
        )


def _say_fetched(pictures: ImageSource) -> None:
    """What came over the network, and what of it is kept here."""
    for part in pictures.opened:
        cache = part.cache
        if cache is not None:
            say(
                f"{counted(cache.fetched, 'picture')} fetched ({cache.fetched_bytes / 1e6:,.0f} MB) from {part.where};"
                f" {cache.size / 1e9:.1f} of at most {cache.limit / 1e9:.1f} GB kept in {cache.folder!s}"
            )


def _json(
    report: IngestReport, _: ImageSource, table: Table | None, census: SyncPreview | None, *, named_by_table: bool
) -> None:
    """Everything that is known of a run, as JSON on stdout."""
    values: dict[str, Any] = {each.name: getattr(report, each.name) for each in fields(report)}
    if not named_by_table:
        del values["pictures_unnamed"]  # without a table each picture names itself
    values |= {"seconds": round(report.seconds, 3), "rejects": str(report.rejects)}
    values |= {"hidden": table.hidden if table else 0, "hidden_reasons": dict(table.hidden_why) if table else {}}
    values |= {"notes": list(table.notes) if table else []}
    print_json({**values, "gone": census.delisted if census else 0, "back": census.relisted if census else 0})


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _print(
    report: IngestReport,
    pictures: ImageSource,
    table: Table | None,
    census: SyncPreview | None,
    *,
    named_by_table: bool,
) -> None:
    """The counts, which add up; what was not read, by kind; and why things were left out, by count."""
    _say_fetched(pictures)
    for note in table.notes if table else ():
        say(note, style="yellow")
    say(
        f"{counted(report.rows, 'row')}: {counted(report.products_added, 'product')} added,"
        f" {report.products_updated:,} updated,"
        f" {report.products_unchanged:,} unchanged, {report.products_rejected:,} left out",
    )
    say(
        f"{counted(report.photos, 'picture')}: {report.photos_added:,} added, {report.photos_updated:,} encoded again,"
        f" {report.photos_unchanged:,} unchanged, {report.photos_rejected:,} left out"
        f"  ({report.seconds:.1f} s, {report.photos / max(report.seconds, 1e-9):,.0f} pictures/s)",
    )
    if report.photos_removed:
        say(f"{counted(report.photos_removed, 'stored photo')} removed, as no product names them now")
    if report.pictures_renamed:
        say(f"{counted(report.pictures_renamed, 'picture')} found though the table writes the name otherwise")
    if named_by_table and report.pictures_unnamed:
        say(
            f"{counted(report.pictures_unnamed, 'picture')} of the source {_are(report.pictures_unnamed)} named by no"
            f" row"
        )
    if table is not None and table.hidden:
        why = ", ".join(f"{count:,} {reason}" for reason, count in sorted(table.hidden_why.items()))
        say(f"{counted(table.hidden, 'product')} that {table.kind} does not show left out: {why}")
    if census and (census.delisted or census.relisted):
        say(
            f"{counted(census.delisted, 'product')} {_are(census.delisted)} gone and hidden from now on, {census.relisted:,} back"
        )
    # Beside a table that was given, other tables are what one expects to be left alone.
    skipped = {kind: count for kind, count in report.skipped.items() if table is None or kind != kind_of("x.csv")}
    if skipped:
        say("Not read in the source:")
        for kind, count in sorted(skipped.items(), key=lambda item: (-item[1], item[0])):
            say(f"  {kind} ({count:,}): {ADVICE.get(kind, 'nothing to do')}")
    if report.reasons:
        say("Why rows or pictures were left out, or kept without something:", style="yellow")
        for reason, count in islice(report.reasons.items(), SHOWN):
            say(f"  {count:,} x {reason}")
        say(f"Each of them{_more(report)}: {report.rejects}", style="yellow")


def _more(report: IngestReport) -> str:
    more = len(report.reasons) - SHOWN
    return f", and {counted(more, 'more reason')}" if more > 0 else ""
