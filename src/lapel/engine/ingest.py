"""Adding products: rows of a table or images of a source become products, photos and vectors of a store.

Work is cut into batches of photos. While one batch is encoded, threads read and decode the next ones, see
:mod:`lapel.engine.pipeline`; each batch is written in one transaction. So a run can be stopped at any moment, also by
``kill -9``: the same call goes on where the last batch ended, skips what has not changed and updates what has. What
cannot be used is written to a CSV with the reason, and never stops the run.
"""

from __future__ import annotations

import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from lapel.catalog import Catalog, Entry, PhotoEntry, StoredPhoto, StoredProduct, content_hash, writer_lock
from lapel.catalog.thumbnails import Thumbnails
from lapel.core.errors import SourceError
from lapel.core.types import NO_LINKS, Links
from lapel.encoders import Encoder
from lapel.engine.features import CATALOG_FEATURES, THUMBNAIL
from lapel.engine.pipeline import BATCH, PhotoTask, Pipeline, Read, catalog_values, thumbnails_of
from lapel.engine.rejects import Note, Reasons, rejects_file
from lapel.runners import Runner, open_runner
from lapel.sources import ImageSource, display_links
from lapel.sources.stream import ahead
from lapel.sources.table import TableRow

ROWS_LOOKED_UP = 256  # rows whose stored state is asked for at once
MAX_BATCH_ROWS = 1024  # so that progress shows while nothing has changed
ROWS_EXPECTED = 512  # rows whose photos a remote source hears of in advance: it asks its server meanwhile
BATCHES_PREFETCHED = 4  # batches whose photos a remote source fetches in advance


class Target(Protocol):
    """The part of a store that adding needs."""

    @property
    def folder(self) -> Path:
        """Where the lock is."""
        ...

    @property
    def catalog(self) -> Catalog:
        """Where everything goes."""
        ...

    @property
    def encoder(self) -> Encoder:
        """What makes the vectors."""
        ...

    @property
    def encoder_spec(self) -> str:
        """What opens it elsewhere."""
        ...

    def claim(self) -> None:
        """Write down which encoder fills the store."""
        ...


@dataclass(frozen=True)
class IngestReport:
    """What a run has done so far.

    Every row ends in one product count, every picture a usable row names in one photo count.

    Attributes:
        rows: Rows read.
        products_added: Products that are new.
        products_updated: Products whose content or photos changed.
        products_unchanged: Products that were there already, equal in everything.
        products_rejected: Rows left out: unusable, or without one usable picture. What was stored of them before stays.
        photos: Pictures named by usable rows.
        photos_added: Photos that are new.
        photos_updated: Photos encoded again, as their bytes changed or they had no vector.
        photos_unchanged: Photos kept as they were.
        photos_rejected: Pictures that could not be used. A stored photo whose file is broken now stays as it was.
        photos_removed: Stored photos that their product no longer names; not among ``photos``.
        warnings: Rows that were kept without something, such as an unreadable price.
        pictures_unnamed: Pictures of the source that no row named; known at the end.
        pictures_renamed: Pictures that a table names otherwise, such as in another case or folder, and that were found
            all the same.
        files_ignored: Files and folders of the source that are not read; known at the end.
        skipped: The same by kind, such as ``{"videos": 2}``.
        reasons: Why rows and pictures were left out, or kept without something: reason -> how often, the most frequent
            first. Together they are the lines of ``rejects``; known at the end.
        seconds: Time taken.
        rejects: The CSV with everything that could not be used, or None.
    """

    rows: int = 0
    products_added: int = 0
    products_updated: int = 0
    products_unchanged: int = 0
    products_rejected: int = 0
    photos: int = 0
    photos_added: int = 0
    photos_updated: int = 0
    photos_unchanged: int = 0
    photos_rejected: int = 0
    photos_removed: int = 0
    warnings: int = 0
    pictures_unnamed: int = 0
    pictures_renamed: int = 0
    files_ignored: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    rejects: Path | None = None

    @property
    def adds_up(self) -> bool:
        """Whether every row and every picture is in exactly one count."""
        products = self.products_added + self.products_updated + self.products_unchanged + self.products_rejected
        photos = self.photos_added + self.photos_updated + self.photos_unchanged + self.photos_rejected
        return products == self.rows and photos == self.photos

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds if self.seconds else 0.0

    def plus(self, counts: Mapping[str, int], seconds: float) -> IngestReport:
        """These counts added to the report's, after so many seconds in all."""
        added: dict[str, Any] = {name: getattr(self, name) + count for name, count in counts.items()}
        return replace(self, **added, seconds=seconds)


Progress = Callable[[int, int | None, IngestReport], None]


def ingest(
    store: Target,
    rows: Iterable[TableRow],
    *,
    source: ImageSource,
    rejects: Path | None = None,
    report: Progress | None = None,
    total: int | None = None,
    batch: int = BATCH,
    runner: Runner | None = None,
    small: Thumbnails | None = None,
    verify: bool = False,
) -> IngestReport:
    """Add rows to a store.

    Args:
        store: Where to.
        rows: :func:`lapel.sources.table.read_table` or :func:`lapel.sources.photos.photo_rows`.
        source: Where the rows' photos are.
        rejects: A CSV to write what could not be used to; it grows as ``<name>.part`` and gets its name at the end.
        report: Called after each batch with the rows done, ``total`` and the counts so far.
        total: How many rows there are, when known.
        batch: Photos encoded and written at once. 64 keep the encoder busy and lose at most a second's work.
        runner: Who reads and decodes; threads on all cores by default. See :meth:`lapel.engine.pipeline.Pipeline.map`.
        small: Where the thumbnails of photos that are read are kept; none are made by default.
        verify: Read every photo and compare its hash, also where size and time say that it is the same. Takes as long
            as reading them all; only what changed is encoded.

    Raises:
        StoreBusyError: another process adds to this store, or writes to it for longer than a few seconds.
        StoreReadOnlyError: nothing can be written there.
        ModelMismatchError: the store's vectors come from another model.
        KeyboardInterrupt: Ctrl-C; every batch that was reported is kept, and the one that was being written.
    """
    begun = time.monotonic()
    runner = runner or open_runner("threads:")
    reasons = Reasons()
    done = IngestReport(rejects=rejects)
    with writer_lock(store.folder), rejects_file(rejects, reasons) as note:
        fingerprint = store.encoder.fingerprint
        store.claim()
        planner = _Planner(store.catalog, fingerprint, source, batch, verify)
        planned = planner.planned(rows, prefetch=not runner.remote)
        writer = _Writer(store.catalog, fingerprint, note, small)
        with closing(_added(store, planned, source.read, runner, batch, writer)) as added:
            for counts in added:
                done = done.plus(counts, time.monotonic() - begun)
                if report is not None:
                    report(done.rows, total, done)
        for folder, reason in source.unreadable.items():
            note(TableRow(0, None), folder, "folder left out", reason)
    return replace(
        done,
        pictures_unnamed=source.count() - len(planner.named),
        pictures_renamed=source.renamed,
        files_ignored=source.ignored,
        skipped=dict(source.skipped),
        reasons=reasons.counts(),
        seconds=time.monotonic() - begun,
    )


def _added(
    store: Target, planned: Iterable[list[_RowTask]], read: Read, runner: Runner, batch: int, writer: _Writer
) -> Generator[Counter[str], None, None]:
    """Load, encode and write batches, and give the counts of each."""
    pipeline = Pipeline(store.encoder, writer.features, read)
    spec = store.encoder_spec if runner.remote else ""
    with (
        closing(pipeline.map(runner, planned, _photos_to_read, batch=batch, spec=spec)) as encoded,
        closing(writer.written(encoded)) as written,
    ):
        yield from written


@dataclass(kw_only=True)
class _RowPhoto(PhotoTask):
    """A photo that a row names, on its way through a run."""

    name: str
    version_token: str = ""
    links: Links = NO_LINKS
    stored: StoredPhoto | None = None
    must_read: bool = False


@dataclass
class _RowTask:
    """One row on its way through a run."""

    row: TableRow
    stored: StoredProduct | None = None
    content: str = ""
    photos: list[_RowPhoto] = field(default_factory=list)


def _photos_to_read(tasks: Iterable[_RowTask]) -> list[PhotoTask]:
    """The photos of some rows that must be read."""
    return [photo for task in tasks for photo in task.photos if photo.must_read]


class _Planner:
    """Finds out, before anything is read, what each row's product has in the catalogue and which photos must be
    read."""

    def __init__(self, catalog: Catalog, fingerprint: str, source: ImageSource, batch: int, verify: bool) -> None:
        self._catalog = catalog
        self._fingerprint = fingerprint
        self._source = source
        self._batch = batch
        self._verify = verify
        self._ids: set[int] = set()  # of the rows so far, as hashes
        # The source's pictures that some row named, as hashes: they are only counted, and a URI takes four times the
        # memory.
        self.named: set[int] = set()

    def planned(self, rows: Iterable[TableRow], *, prefetch: bool) -> Iterator[list[_RowTask]]:
        """Batches of rows; the source hears early of what it will be asked for, and with ``prefetch`` fetches it."""
        source = self._source
        batches = self._batches(ahead(rows, lambda row: source.expect(row.pictures), ROWS_EXPECTED))
        if not prefetch:
            return batches
        return ahead(
            batches, lambda tasks: source.prefetch([photo.uri for photo in _photos_to_read(tasks)]), BATCHES_PREFETCHED
        )

    def _batches(self, rows: Iterable[TableRow]) -> Iterator[list[_RowTask]]:
        """Tasks in the rows' order, cut where enough photos to read have come together."""
        tasks: list[_RowTask] = []
        needed = 0
        for some in _pieces(map(self._usable, rows), ROWS_LOOKED_UP):
            ids = [row.product.id for row in some if row.product is not None]
            known = self._catalog.stored(ids, fingerprint=self._fingerprint)
            for row in some:
                task = self._plan(row, known)
                tasks.append(task)
                needed += sum(photo.must_read for photo in task.photos)
                if needed >= self._batch or len(tasks) >= MAX_BATCH_ROWS:
                    yield tasks
                    tasks, needed = [], 0
        if tasks:
            yield tasks

    def _usable(self, row: TableRow) -> TableRow:
        """The row, or what is wrong with it when no catalogue could keep it beside those before."""
        if row.product is None:
            return row
        identifier = row.product.id
        key = hash(unicodedata.normalize("NFC", identifier))
        problem = ""
        if "\0" in identifier or any("\ud800" <= letter <= "\udfff" for letter in identifier):
            problem = f"id {identifier!r} holds a character that cannot be stored. Give the product another id"
        elif key in self._ids:
            problem = (
                f"id '{identifier}' was already used in an earlier row, perhaps with its accents stored otherwise; the"
                " first row counts"
            )
        self._ids.add(key)
        return replace(row, product=None, problem=problem) if problem else row

    def _plan(self, row: TableRow, known: Mapping[str, StoredProduct]) -> _RowTask:
        if row.product is None:
            # Its photos were named all the same, so they are not among those that nobody named.
            for name in row.pictures:
                with suppress(SourceError):
                    self._name(self._source.find(name))
            return _RowTask(row)
        task = _RowTask(row, known.get(row.product.id), content_hash(row.product))
        seen: set[str] = set()
        for name in row.pictures or ("",):
            photo = _RowPhoto(name=name or row.product.id)
            try:
                uri = self._source.find(name) if name else self._source.find_id(row.product.id)
                if uri in seen:  # one photo named in two ways
                    continue
                seen.add(uri)
                self._name(uri)
                photo.uri, photo.version_token = uri, self._source.version_token(uri)
                photo.links = display_links(self._source, uri)
            except SourceError as error:
                photo.problem = str(error)
            else:
                stored = photo.stored = task.stored.photos.get(uri) if task.stored else None
                usable = stored is not None and stored.has_vector
                photo.must_read = self._verify or not (
                    stored and usable and stored.version_token == photo.version_token
                )
                photo.expected = stored.sha256 if stored and usable else ""
            task.photos.append(photo)
        return task

    def _name(self, uri: str) -> None:
        if self._source.lists(uri):
            self.named.add(hash(uri))


def _pieces(rows: Iterable[TableRow], size: int) -> Iterator[list[TableRow]]:
    iterator = iter(rows)
    while some := list(islice(iterator, size)):
        yield some


class _Writer:
    """Writes batches, each in one transaction, and only then counts them and notes what was left out."""

    def __init__(self, catalog: Catalog, fingerprint: str, note: Note, small: Thumbnails | None) -> None:
        self._catalog = catalog
        self._fingerprint = fingerprint
        self._note = note
        self._small = small
        # What is kept of each photo beside its vector.
        self.features = CATALOG_FEATURES if small is None else (*CATALOG_FEATURES, THUMBNAIL)

    def written(self, batches: Iterable[list[_RowTask]]) -> Generator[Counter[str], None, None]:
        """Write each batch and give its counts; while one is written, the next is encoded."""
        with ThreadPoolExecutor(1, thread_name_prefix="lapel-write") as writer:  # on leaving, the last batch is written
            pending: Future[Counter[str]] | None = None
            for tasks in batches:
                if pending is not None:
                    yield pending.result()
                pending = writer.submit(self._write, tasks)
            if pending is not None:
                yield pending.result()

    def _write(self, tasks: list[_RowTask]) -> Counter[str]:
        counts: Counter[str] = Counter(rows=len(tasks))
        entries = [entry for task in tasks if (entry := _entry(task, counts)) is not None]
        if self._small is not None:  # before the photos, so that whoever sees them finds their thumbnails
            photos = [photo for task in tasks for photo in task.photos if not photo.problem]
            self._small.put(thumbnails_of(photos))
        if entries:
            self._catalog.write(entries, fingerprint=self._fingerprint)
        for task in tasks:
            _note_problems(task, self._note)
        return counts


def _entry(task: _RowTask, counts: Counter[str]) -> Entry | None:
    """Decide and count what becomes of a row: the entry to write, or None when nothing has to be."""
    product, stored = task.row.product, task.stored
    counts["photos"] += len(task.photos)
    if product is not None and task.row.problem:
        counts["warnings"] += 1
    photos: list[PhotoEntry] = []
    renewed = 0
    for photo in task.photos:
        if photo.problem:
            counts["photos_rejected"] += 1
            continue
        known, vector = photo.stored, photo.vector
        sha256 = photo.sha256 or (known.sha256 if known else "")
        photos.append(PhotoEntry(photo.uri, photo.version_token, sha256, vector, photo.links, catalog_values(photo)))
        state = "unchanged" if vector is None else "added" if known is None else "updated"
        counts[f"photos_{state}"] += 1
        renewed += state != "unchanged"
    if product is None or not photos:
        counts["products_rejected"] += 1
        return None
    if stored is None:
        counts["products_added"] += 1
        return Entry(product, tuple(photos))
    listed = {photo.uri for photo in photos}
    if len(photos) == len(task.photos):
        counts["photos_removed"] += len(stored.photos.keys() - listed)
    else:
        # While any of its pictures cannot be used, nothing that is stored of a product is given up.
        photos += [
            PhotoEntry(uri, photo.version_token, photo.sha256, None, photo.links)
            for uri, photo in stored.photos.items()
            if uri not in listed
        ]
    order = [photo.uri for photo in photos]
    changed = bool(renewed) or task.content != stored.content_hash or order != list(stored.photos)
    counts["products_updated" if changed else "products_unchanged"] += 1
    before = {uri: (photo.version_token, photo.links) for uri, photo in stored.photos.items()}
    moved = any(before.get(photo.uri) != (photo.version_token, photo.links) for photo in photos)
    return Entry(product, tuple(photos)) if changed or moved else None


def _note_problems(task: _RowTask, note: Note) -> None:
    row = task.row
    if row.product is None:
        note(row, "|".join(row.pictures), "row left out", row.problem)
        return
    if row.problem:
        note(row, "", "row kept", row.problem)
    lost = all(photo.problem for photo in task.photos)
    outcome = (
        "picture left out" if not lost else "row left out; what is stored stays" if task.stored else "row left out"
    )
    for photo in task.photos:
        if photo.problem:
            note(row, photo.uri or photo.name, outcome, photo.problem)
