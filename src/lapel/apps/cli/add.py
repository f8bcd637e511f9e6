"""``lapel add``: products from a folder, a ZIP or a table into a store."""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from lapel.apps.cli.console import DEFAULT_STORE, StoreOption, progress_bar, resumable, say
from lapel.core.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lapel.engine.ingest import IngestReport
    from lapel.sources import ImageSource
    from lapel.sources.table import TableRow

TABLES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json", ".xml", ".rss", ".atom")
REJECTED = "rejected.csv"

MapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="FIELD=COLUMN",
        help="Where a field comes from, such as title=productDisplayName, 'category=a>b>c' or currency=EUR. Repeat for more.",
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
    products: Annotated[Path | None, typer.Option("--products", help="A CSV, TSV or JSONL table of products.")] = None,
    store: StoreOption = DEFAULT_STORE,
    mapping: MapOption = None,
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
) -> None:
    """Add products to a store, or update them: what has not changed is skipped.

    Product exports of Shopify and WooCommerce and Google Merchant feeds (XML, TSV) are recognised by themselves.

    Without a table, folder names become categories and file names ids. Stopped half way, the same command goes on where it
    stopped. Pictures that cannot be used are listed in rejected.csv in the store.
    """
    if sync and limit is not None:
        raise TableError("--sync takes the table for the whole shop and --limit reads a part of it. Give one of them.")
    if (feed or force) and not sync:
        raise TableError("--feed and --force say how --sync works. Add --sync, or leave them out.")
    options = {"mapping": mapping, "encoder": encoder, "limit": limit, "runner": runner}
    add_to_store(source, products=products, store=store, whole=feed if sync else None, force=force, **options)  # type: ignore[arg-type]


def add_to_store(
    source: str | Path,
    *,
    products: Path | None,
    store: Path,
    mapping: list[str] | None = None,
    encoder: str | None = None,
    limit: int | None = None,
    runner: str = "threads:",
    whole: str | None = None,
    force: bool = False,
) -> None:
    """Add to a store with a progress bar, and print the counts. ``whole`` names the feed that this is all of."""
    from lapel.engine.feeds import whole_feed
    from lapel.engine.ingest import ingest
    from lapel.engine.store import open_store
    from lapel.runners import open_runner
    from lapel.sources import open_source
    from lapel.sources.mapping import ColumnMap
    from lapel.sources.mixed import MixedSource
    from lapel.sources.pictures import picture_rows
    from lapel.sources.table import read_table

    path = Path(source)
    if products is None and path.suffix.lower() in TABLES and path.is_file():
        source, products = path.parent, path
    if products is None and mapping:
        raise TableError("--map says how to read a table, but there is none. Give it with --products TABLE.")
    workers = open_runner(runner)
    pictures = open_source(source)
    if products is not None:
        pictures = MixedSource(pictures)
    table: Any = picture_rows(pictures) if products is None else read_table(products, ColumnMap.parse(mapping or []))
    total = pictures.count() if products is None else table.count()
    total = total if limit is None else min(total, limit)
    opened = open_store(store, create=True, encoder=encoder)
    with closing(pictures), opened as shop, resumable(), progress_bar("adding products") as update:
        named = None if whole is None else whole_feed(shop.catalog, whole, _rows(table, pictures), force=force)
        report = ingest(
            shop,
            islice(table, limit),
            source=pictures,
            rejects=store / REJECTED,
            total=total,
            report=lambda done, rows, _: update(done, rows),
            runner=workers,
            small=shop.thumbnails if shop.thumbnails.most else None,
        )
        update(report.rows, report.rows)
        census = named and named.settle(shop.catalog)
        _ = shop.index  # drawn now, so that the first search does not wait for it
    _say_fetched(pictures)
    _print(report, named_by_table=products is not None and limit is None)
    skipped = getattr(pictures, "skipped", {})
    if skipped:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(skipped.items()))
        say(f"{report.files_ignored:,} files of the source are not read: {escape(kinds)}")
    if products is not None and table.hidden:
        say(f"{table.hidden:,} products that {table.kind} does not show, such as drafts, were left out")
    if census and (census.gone or census.back):
        say(f"{census.gone:,} products are gone and hidden from now on, {census.back:,} are back")


def _say_fetched(pictures: Any) -> None:
    """What came over the network, and what of it is kept here."""
    for part in getattr(pictures, "opened", [pictures]):
        cache = getattr(part, "cache", None)
        if cache is not None:
            say(
                f"{cache.fetched:,} pictures fetched ({cache.fetched_bytes / 1e6:,.0f} MB) from {escape(part.where)};"
                f" {cache.size / 1e9:.1f} of at most {cache.limit / 1e9:.1f} GB kept in {escape(str(cache.folder))}"
            )


def _rows(table: Any, pictures: ImageSource) -> Iterable[TableRow]:
    """The rows once more, beside those that are added."""
    from lapel.sources.pictures import picture_rows
    from lapel.sources.table import Table

    return table if isinstance(table, Table) else picture_rows(pictures)


def _print(report: IngestReport, *, named_by_table: bool) -> None:
    """The counts, which add up."""
    say(
        f"{report.rows:,} rows: {report.products_added:,} products added, {report.products_updated:,} updated,"
        f" {report.products_unchanged:,} unchanged, {report.products_rejected:,} left out",
    )
    say(
        f"{report.photos:,} pictures: {report.photos_added:,} added, {report.photos_updated:,} encoded again,"
        f" {report.photos_unchanged:,} unchanged, {report.photos_rejected:,} left out"
        f"  ({report.seconds:.1f} s, {report.photos / max(report.seconds, 1e-9):,.0f} pictures/s)",
    )
    if report.photos_removed:
        say(f"{report.photos_removed:,} stored photos that their products no longer name were removed")
    if named_by_table and report.pictures_unnamed:
        say(f"{report.pictures_unnamed:,} pictures of the source are named by no row")
    if report.products_rejected or report.photos_rejected or report.warnings:
        say(f"[yellow]What was left out, and why: {escape(str(report.rejects))}[/]")
