"""Adding, syncing and removing products: a source and perhaps a table in, a report of what became of every row and
image out."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

from lapel.catalog import request_lock
from lapel.core.errors import SourceError, TableError
from lapel.core.text import counted
from lapel.engine.context import StoreContext, open_context
from lapel.engine.feeds import FeedSync, plan_sync
from lapel.engine.ingest import IngestReport, ingest
from lapel.runners import Runner, open_runner
from lapel.service.uploads import let_go, own_pictures
from lapel.sources import ImageSource, open_source
from lapel.sources.mapping import ColumnMap
from lapel.sources.mixed import MixedSource
from lapel.sources.names import ADVICE, kind_of
from lapel.sources.photos import check_ids, photo_rows
from lapel.sources.table import ENDINGS, Table, TableRow, read_table

logger = logging.getLogger(__name__)

REJECTED = "rejected.csv"  # in the store
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class AddRequest:
    """What is to be added, and how. See :meth:`lapel.service.Store.add` and ``sync`` for the fields.

    Attributes:
        whole: Whether this is all that the store, or ``feed``, should show: what is missing from it is hidden.
        rejects: Where what cannot be used is listed; ``rejected.csv`` in the store by default.
        schemes: The only addresses a table's pictures may have; all that are known by default.
    """

    source: str | Path
    products: str | Path | None = None
    mapping: tuple[str, ...] = ()
    encoding: str = ""
    exclude: tuple[str, ...] = ()
    limit: int | None = None
    runner: str = "threads:"
    verify: bool = False
    whole: bool = False
    feed: str = ""
    force: bool = False
    rejects: Path | None = None
    schemes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SkippedFiles:
    """Files of a source that are not read.

    Attributes:
        kind: What they are, such as ``videos``.
        count: How many.
        advice: What to do about them.
    """

    kind: str
    count: int
    advice: str


@dataclass(frozen=True)
class FetchedImages:
    """What came over the network, and what of it is kept here.

    Attributes:
        where: From where.
        images: How many.
        bytes: How large.
        folder: Where they are kept.
        kept_bytes: How much is kept.
        limit_bytes: How much may be kept.
    """

    where: str
    images: int
    bytes: int
    folder: str
    kept_bytes: int
    limit_bytes: int


@dataclass(frozen=True)
class AddReport:
    """What a run did.

    Attributes:
        counts: Of every row and image; they add up.
        notes: What is to be known of the table, such as its encoding.
        table_kind: What the table is, such as ``Shopify``; empty without one.
        hidden: Products that the table's own shop does not show, by reason: they were left out.
        skipped: Files of the source that are not read.
        fetched: What came over the network.
        delisted: Products hidden from now on, as a synced source no longer names them.
        relisted: Products shown again.
        doubled: Older products of the very image files that new ones have: an earlier version of Lapel gave other ids.
        names_all: Whether every image of the source should be named by a row: a whole table was read.
    """

    counts: IngestReport
    notes: tuple[str, ...] = ()
    table_kind: str = ""
    hidden: Mapping[str, int] = field(default_factory=dict)
    skipped: tuple[SkippedFiles, ...] = ()
    fetched: tuple[FetchedImages, ...] = ()
    delisted: int = 0
    relisted: int = 0
    doubled: int = 0
    names_all: bool = False

    @property
    def nothing_added(self) -> bool:
        """Whether no row could be used."""
        return self.counts.products_rejected == self.counts.rows

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        values: dict[str, Any] = {each.name: getattr(self.counts, each.name) for each in fields(self.counts)}
        if not self.names_all:
            del values["pictures_unnamed"]  # without a table each image names itself
        values |= {"seconds": round(self.counts.seconds, 3), "rejects": str(self.counts.rejects)}
        values |= {"hidden": sum(self.hidden.values()), "hidden_reasons": dict(self.hidden), "notes": list(self.notes)}
        return {**values, "delisted": self.delisted, "relisted": self.relisted}


@dataclass(frozen=True)
class RemoveReport:
    """What was taken out.

    Attributes:
        removed: Ids of products that were there.
        missing: Ids of products that were not.
    """

    removed: tuple[str, ...]
    missing: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        removed, missing = list(self.removed), list(self.missing)
        return {
            "asked": len(removed) + len(missing),
            "count": len(removed),
            "removed": removed,
            "missing": missing,
        }


def add(context: StoreContext, wanted: AddRequest, progress: Progress | None) -> AddReport:
    """Add, or with ``wanted.whole`` sync. See :meth:`lapel.service.Store.add`."""
    with _opened(wanted) as opened:
        return _add(context, opened, progress)


def add_to_store(
    folder: str | Path, wanted: AddRequest, *, encoder: str | None = None, progress: Progress | None = None
) -> AddReport:
    """Add to the store in a folder, which is made when there is none: after the source was opened, so that a mistake
    in its name leaves no empty store.

    >>> add_to_store("shop", AddRequest("photos/", exclude=("*_back.jpg",)))  # doctest: +SKIP

    Args:
        folder: Where the store is.
        wanted: What to add.
        encoder: Of a new store, a spec for :func:`lapel.open_encoder`.
        progress: Called with the rows done, and how many there are.

    Raises:
        SourceError, TableError, StoreError: as :meth:`lapel.service.Store.add`; and those of
            :func:`lapel.service.open_store`.
    """
    with _opened(wanted) as opened, open_context(folder, create=True, encoder=encoder) as context:
        return _add(context, opened, progress)


@dataclass(frozen=True)
class _Opened:
    """What a request names, looked at before anything is written."""

    wanted: AddRequest
    runner: Runner
    images: ImageSource
    table: Table | None


@contextmanager
def _opened(wanted: AddRequest) -> Iterator[_Opened]:
    wanted = _resolved(wanted)
    runner = open_runner(wanted.runner)
    images = open_source(wanted.source, wanted.exclude)
    if wanted.products is not None:
        images = MixedSource(images, wanted.schemes) if wanted.schemes else MixedSource(images)
    with closing(images):
        table = None if wanted.products is None else _open_table(Path(wanted.products), wanted, images)
        yield _Opened(wanted, runner, images, table)


@contextmanager
def opened_source(wanted: AddRequest) -> Iterator[OpenedSource]:
    """What a request names, as rows and pictures, for who adds nothing.

    Raises:
        SourceError, TableError: it cannot be read.
    """
    with _opened(wanted) as opened:
        yield OpenedSource(opened.images, opened.table)


@dataclass(frozen=True)
class OpenedSource:
    """A source of products that is read and not added.

    Attributes:
        images: Its pictures.
        table: Its rows; None where each picture is one.
    """

    images: ImageSource
    table: Table | None

    def rows(self) -> Iterator[TableRow]:
        """Each product."""
        yield from _rows(self.images, self.table)

    def read(self, picture: str, product_id: str) -> bytes:
        """The bytes of a picture as a row names it; without a name, the one called like the product.

        Raises:
            SourceError: there is none, or it cannot be read.
        """
        if self.table is None:
            return self.images.read(picture)
        return self.images.read(self.images.find(picture) if picture else self.images.find_id(product_id))


def _add(context: StoreContext, opened: _Opened, progress: Progress | None) -> AddReport:
    wanted, images, table = opened.wanted, opened.images, opened.table
    sync = _feed(context, wanted, images, table) if wanted.whole else None
    # Counted before: adding a row brings its product back by itself.
    before = sync and context.catalog.visibility.preview_sync(sync.feed, sync.named)
    total = images.count() if table is None else table.count()
    report = ingest(
        context,
        islice(_rows(images, table), wanted.limit),
        source=images,
        rejects=wanted.rejects or context.folder / REJECTED,
        total=total if wanted.limit is None else min(total, wanted.limit),
        report=None if progress is None else lambda done, rows, _: progress(done, rows),
        runner=opened.runner,
        small=context.thumbnails if context.thumbnails.max_bytes else None,
        verify=wanted.verify,
    )
    if progress is not None:
        progress(report.rows, report.rows)
    logger.info("%s: %d rows into %s in %.1f s", wanted.source, report.rows, context.folder, report.seconds)
    synced = sync and sync.apply(context.catalog)
    _ = context.index  # built now, so that the first search does not wait for it
    changed = table is None and report.products_added + report.products_updated
    doubled = context.catalog.shared_photo_products() if changed else 0
    if wanted.products is not None:
        report = _without_table(report, Path(wanted.products), Path(wanted.source))
    return AddReport(
        counts=report,
        notes=tuple(table.notes) if table else (),
        table_kind=table.kind if table else "",
        hidden=dict(table.hidden_why) if table else {},
        skipped=_skipped(report, table),
        fetched=tuple(_fetched(images)),
        delisted=synced.delisted if synced else 0,
        relisted=before.relisted if before else 0,
        doubled=doubled,
        names_all=table is not None and wanted.limit is None,
    )


def remove(context: StoreContext, product_ids: Sequence[str]) -> RemoveReport:
    """Take products out. See :meth:`lapel.service.Store.remove`."""
    asked = list(dict.fromkeys(product_ids))
    there = context.catalog.stored(asked, fingerprint="")
    removed = tuple(each for each in asked if each in there)
    if removed:
        pictures = own_pictures(context, [uri for each in removed for uri in there[each].photos])
        with request_lock(context.folder) if pictures else nullcontext():
            context.catalog.remove(removed)
            let_go(context, pictures)
    return RemoveReport(removed, tuple(each for each in asked if each not in there))


def _resolved(wanted: AddRequest) -> AddRequest:
    """The same, where a table that is given as the source stands beside its images."""
    if not isinstance(wanted.source, (str, os.PathLike)):
        open_source(wanted.source)  # says what a source is
    path = Path(wanted.source)
    # os.path also answers for names that are too long.
    if wanted.products is None and path.suffix.lower() in ENDINGS and os.path.isfile(path):  # noqa: PTH113
        return replace(wanted, source=path.parent, products=path)
    if wanted.products is None and (wanted.mapping or wanted.encoding):
        raise TableError(
            "--map and --encoding say how to read a table, but there is none. Give it with --products TABLE."
        )
    return wanted


def _open_table(path: Path, wanted: AddRequest, images: ImageSource) -> Table:
    """A table that was looked at, beside the images that it is for."""
    columns = ColumnMap.parse(wanted.mapping)
    table = read_table(path, columns, encoding=wanted.encoding)
    check_ids(table, columns, images)
    return table


def _rows(images: ImageSource, table: Table | None) -> Iterable[TableRow]:
    return photo_rows(images) if table is None else table


def _feed(context: StoreContext, wanted: AddRequest, images: ImageSource, table: Table | None) -> FeedSync:
    """What a whole source names, after making sure that taking it for all there is does no harm."""
    if table is None and not wanted.force:
        images.count()  # finds the folders that cannot be read
        for folder, reason in images.unreadable.items():
            raise SourceError(
                f"--sync takes {images.where} for the whole shop, but {counted(len(images.unreadable), 'folder')} of it"
                f" cannot be read, such as '{folder}': {reason}. Make it readable, or add --force to hide the products"
                " in it."
            )
    return plan_sync(context.catalog, wanted.feed, _rows(images, table), force=wanted.force)


def _without_table(report: IngestReport, table: Path, folder: Path) -> IngestReport:
    """The report without the table itself among what was not read beside the images."""
    kind = kind_of(table.name)
    if report.skipped.get(kind, 0) and table.absolute().is_relative_to(folder.absolute()):
        rest = {name: count - (name == kind) for name, count in report.skipped.items()}
        skipped = {name: count for name, count in rest.items() if count}
        return replace(report, skipped=skipped, files_ignored=report.files_ignored - 1)
    return report


def _skipped(report: IngestReport, table: Table | None) -> tuple[SkippedFiles, ...]:
    # Beside a table that was given, other tables are what one expects to be left alone.
    left = {kind: count for kind, count in report.skipped.items() if table is None or kind != kind_of("x.csv")}
    ordered = sorted(left.items(), key=lambda item: (-item[1], item[0]))
    return tuple(SkippedFiles(kind, count, ADVICE.get(kind, "nothing to do")) for kind, count in ordered)


def _fetched(images: ImageSource) -> Iterable[FetchedImages]:
    for part in images.opened:
        cache = part.cache
        if cache is not None:
            yield FetchedImages(
                part.where, cache.fetched, cache.fetched_bytes, str(cache.folder), cache.size, cache.limit
            )
