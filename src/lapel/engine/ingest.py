"""Adding products: rows of a table or pictures of a source become products, photos and vectors of a store.

Work is cut into batches of pictures. While one batch is encoded, threads read and decode the next ones; each batch is
written in
one transaction. So a run can be stopped at any moment, also by ``kill -9``: the same call goes on where the last batch
ended,
skips what has not changed and updates what has. Workers on other machines read and encode, with a model that each opens
once; what they
made is written here all the same. What cannot be used is written to a CSV with the reason, and never stops the run.
"""

from __future__ import annotations

import hashlib
import platform
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lapel.catalog import Catalog, Entry, PhotoEntry, StoredPhoto, StoredProduct, content_hash, writer_lock
from lapel.catalog.thumbnails import Thumbnails
from lapel.core.errors import ImageError, ModelMismatchError, SourceError
from lapel.core.images import Pixels, decode, thumbnails
from lapel.core.types import NO_LINKS, Links
from lapel.core.vectors import UNIT_TOLERANCE
from lapel.encoders import Encoder, open_encoder
from lapel.engine.rejects import Note, Reasons, rejects_file
from lapel.runners import Runner, open_runner
from lapel.sources import ImageSource, display_links, read_uri
from lapel.sources.stream import ahead
from lapel.sources.table import TableRow

LOOKUP = 256  # rows whose stored state is asked for at once
MOST_ROWS = 1024  # rows a batch has at most, so that progress shows while nothing has changed
EXPECTED = 512  # rows whose pictures a remote source hears of in advance: what it does not know it asks for meanwhile
PREFETCHED = 4  # batches whose pictures a remote source fetches in advance


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
            first. Together
            they are the lines of ``rejects``; known at the end.
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
    batch: int = 64,
    runner: Runner | None = None,
    small: Thumbnails | None = None,
    verify: bool = False,
) -> IngestReport:
    """Add rows to a store.

    Args:
        store: Where to.
        rows: :func:`lapel.sources.table.read_table` or :func:`lapel.sources.pictures.picture_rows`.
        source: Where the rows' pictures are.
        rejects: A CSV to write what could not be used to; it grows as ``<name>.part`` and gets its name when the run
            ends.
        report: Called after each batch with the rows done, ``total`` and the counts so far.
        total: How many rows there are, when known.
        batch: Pictures encoded and written at once. 64 keep the encoder busy and lose at most a second's work.
        runner: Who reads and decodes; threads on all cores by default. One whose workers are elsewhere also encodes
            there, and needs the
            pictures and the model under the same addresses.
        small: Where small pictures are kept of those that are read; none are made by default.
        verify: Read every picture and compare its hash, also where size and time say that it is the same. Takes as long
            as reading them
            all; only what changed is encoded.

    Raises:
        StoreBusyError: another process adds to this store, or writes to it for longer than a few seconds.
        StoreReadOnlyError: nothing can be written there.
        ModelMismatchError: the store's vectors come from another model.
        KeyboardInterrupt: Ctrl-C; every batch that was reported is kept, and the one that was being written.
    """
    begun = time.monotonic()
    expect, prefetch = (getattr(source, name, lambda _: None) for name in ("expect", "prefetch"))
    reasons = Reasons()
    with writer_lock(store.folder), rejects_file(rejects, reasons) as note:
        encoder = store.encoder
        store.claim()
        planner = _Planner(store.catalog, encoder.fingerprint, source, batch, verify)
        done = IngestReport(rejects=rejects)
        runner = runner or open_runner("threads:")
        thumbs = small is not None
        make: Callable[[], Callable[[list[_Task]], list[_Task]]] = partial(_loader, source.read, encoder, thumbs)
        planned = planner.batches(ahead(rows, lambda row: expect(row.pictures), EXPECTED))
        if getattr(runner, "elsewhere", False):
            make = partial(_worker, store.encoder_spec, encoder.fingerprint, batch, thumbs)
        else:
            planned = ahead(planned, lambda tasks: prefetch(_needed(tasks)), PREFETCHED)
        loaded = runner.map(make, planned)
        try:
            with closing(_written(store.catalog, encoder, loaded, batch, note, small)) as written:
                for counts in written:
                    done = done.plus(counts, time.monotonic() - begun)
                    if report is not None:
                        report(done.rows, total, done)
        finally:
            getattr(loaded, "close", lambda: None)()  # stops the threads now, whatever ended the loop
        done = replace(done, pictures_unnamed=source.count() - len(planner.named), files_ignored=source.ignored)
        for folder, reason in getattr(source, "unreadable", {}).items():
            note(TableRow(0, None), folder, "folder left out", reason)
    return _ended(done, source, reasons, time.monotonic() - begun)


def _ended(done: IngestReport, source: ImageSource, reasons: Reasons, seconds: float) -> IngestReport:
    """The report with what is known only at the end."""
    return replace(
        done,
        pictures_renamed=getattr(source, "renamed", 0),
        skipped=dict(getattr(source, "skipped", {})),
        reasons=reasons.counts(),
        seconds=seconds,
    )


@dataclass
class _Picture:
    """One picture on its way through a run: named, then perhaps loaded, then perhaps rejected."""

    name: str
    uri: str = ""
    stamp: str = ""
    links: Links = NO_LINKS
    stored: StoredPhoto | None = None
    needed: bool = False  # must be read
    sha256: str = ""
    pixels: Pixels | None = None  # (height, width, 3) uint8, must be encoded
    vector: NDArray[np.float32] | None = None  # (dim,), encoded
    small: Mapping[int, bytes] = field(default_factory=dict)  # WebP by width
    problem: str = ""


@dataclass
class _Task:
    """One row on its way through a run."""

    row: TableRow
    stored: StoredProduct | None = None
    content: str = ""
    pictures: list[_Picture] = field(default_factory=list)


class _Planner:
    """Finds out, before anything is read, what each row's product has in the catalogue and which of its pictures are
    news."""

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

    def batches(self, rows: Iterable[TableRow]) -> Iterator[list[_Task]]:
        """Tasks in the rows' order, cut where enough pictures to read have come together."""
        tasks: list[_Task] = []
        needed = 0
        for some in _pieces(map(self._usable, rows), LOOKUP):
            ids = [row.product.id for row in some if row.product is not None]
            known = self._catalog.stored(ids, fingerprint=self._fingerprint)
            for row in some:
                task = self._plan(row, known)
                tasks.append(task)
                needed += sum(picture.needed for picture in task.pictures)
                if needed >= self._batch or len(tasks) >= MOST_ROWS:
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
            problem = f"id '{identifier}' was already used in an earlier row, perhaps with its accents stored otherwise; the first row counts"
        self._ids.add(key)
        return replace(row, product=None, problem=problem) if problem else row

    def _plan(self, row: TableRow, known: Mapping[str, StoredProduct]) -> _Task:
        if row.product is None:
            # Its pictures were named all the same, so they are not among those that nobody named.
            for name in row.pictures:
                with suppress(SourceError):
                    self._name(self._source.find(name))
            return _Task(row)
        task = _Task(row, known.get(row.product.id), content_hash(row.product))
        seen: set[str] = set()
        for name in row.pictures or ("",):
            picture = _Picture(name or row.product.id)
            try:
                uri = self._source.find(name) if name else self._source.find_id(row.product.id)
                if uri in seen:  # one picture named in two ways
                    continue
                seen.add(uri)
                self._name(uri)
                picture.uri, picture.stamp = uri, self._source.version_token(uri)
                picture.links = display_links(self._source, uri)
            except SourceError as error:
                picture.problem = str(error)
            else:
                picture.stored = task.stored.photos.get(uri) if task.stored else None
                picture.needed = self._verify or not (
                    picture.stored and picture.stored.has_vector and picture.stored.version_token == picture.stamp
                )
            task.pictures.append(picture)
        return task

    def _name(self, uri: str) -> None:
        if self._source.lists(uri):
            self.named.add(hash(uri))


def _needed(tasks: list[_Task]) -> list[str]:
    """The pictures that will be read."""
    return [picture.uri for task in tasks for picture in task.pictures if picture.needed and not picture.problem]


def _pieces(rows: Iterable[TableRow], size: int) -> Iterator[list[TableRow]]:
    iterator = iter(rows)
    while some := list(islice(iterator, size)):
        yield some


def _worker(spec: str, fingerprint: str, batch: int, small: bool) -> Callable[[list[_Task]], list[_Task]]:
    """What a worker elsewhere does: it opens its own encoder, and encodes what it has read."""
    encoder = open_encoder(spec, threads=1)  # each of a machine's cores has a worker
    if encoder.fingerprint != fingerprint:
        raise ModelMismatchError(
            f"The model '{spec}' on the worker {platform.node()} is another ({encoder.fingerprint}) than the store's"
            f" ({fingerprint})."
            " Install the same Lapel there, or copy the model folder."
        )
    load = _loader(read_uri, encoder, small)

    def work(tasks: list[_Task]) -> list[_Task]:
        _encode(encoder, load(tasks), batch)
        return tasks

    return work


def _loader(read: Callable[[str], bytes], encoder: Encoder, small: bool) -> Callable[[list[_Task]], list[_Task]]:
    """What a worker does: read, hash, decode and scale every picture of a batch that needs it, and make its small
    pictures."""

    def load(picture: _Picture) -> None:
        data = read(picture.uri)
        picture.sha256 = hashlib.sha256(data).hexdigest()
        known = picture.stored
        if known is None or known.sha256 != picture.sha256 or not known.has_vector:
            # Scaled here, so that only small pictures wait for the encoder, whatever size they came in.
            decoded = decode(data)
            picture.pixels = encoder.preprocessing.apply(decoded)
            if small:
                picture.small = thumbnails(decoded)

    def work(tasks: list[_Task]) -> list[_Task]:
        for task in tasks:
            for picture in task.pictures:
                if picture.needed:
                    try:
                        load(picture)
                    except (ImageError, SourceError) as error:
                        picture.problem = str(error)
        return tasks

    return work


def _written(
    catalog: Catalog,
    encoder: Encoder,
    loaded: Iterable[list[_Task]],
    batch: int,
    note: Note,
    small: Thumbnails | None,
) -> Generator[Counter[str], None, None]:
    """Encode and write each batch and give its counts; while one is written, the next is encoded."""
    with ThreadPoolExecutor(1, thread_name_prefix="lapel-write") as writer:  # on leaving, the last batch is written
        pending: Future[Counter[str]] | None = None
        for tasks in loaded:
            _encode(encoder, tasks, batch)
            if pending is not None:
                yield pending.result()
            pending = writer.submit(_write, catalog, encoder.fingerprint, tasks, note, small)
        if pending is not None:
            yield pending.result()


def _write(
    catalog: Catalog, fingerprint: str, tasks: list[_Task], note: Note, small: Thumbnails | None
) -> Counter[str]:
    """Write a batch in one transaction, and only then count it and note what was left out."""
    entries: list[Entry] = []
    counts: Counter[str] = Counter(rows=len(tasks))
    for task in tasks:
        entry = _settle(task, counts)
        if entry is not None:
            entries.append(entry)
    if small is not None:  # before the photos, so that whoever sees them finds their small pictures
        made = {each.sha256: each.small for task in tasks for each in task.pictures if each.small and not each.problem}
        small.put(made)
    if entries:
        catalog.write(entries, fingerprint=fingerprint)
    for task in tasks:
        _note_problems(task, note)
    return counts


def _encode(encoder: Encoder, tasks: list[_Task], batch: int) -> None:
    """Give each loaded picture its vector. A picture without a direction gets a problem instead."""
    loaded = [picture for task in tasks for picture in task.pictures if picture.pixels is not None]
    for at in range(0, len(loaded), batch):
        some = loaded[at : at + batch]
        made = encoder.encode_pixels(np.stack([picture.pixels for picture in some if picture.pixels is not None]))
        lengths = np.linalg.norm(made, axis=1)
        for picture, vector, length in zip(some, made, lengths.tolist(), strict=True):
            picture.pixels = None
            if abs(length - 1) <= UNIT_TOLERANCE:
                picture.vector = vector
            else:
                picture.problem = f"The model '{encoder.name}' sees nothing in the picture (a vector of length {length:.3g}). Use another one."


def _settle(task: _Task, counts: Counter[str]) -> Entry | None:
    """Decide and count what becomes of a row: the entry to write, or None when nothing has to be."""
    product, stored = task.row.product, task.stored
    counts["photos"] += len(task.pictures)
    if product is not None and task.row.problem:
        counts["warnings"] += 1
    photos: list[PhotoEntry] = []
    news = 0
    for picture in task.pictures:
        if picture.problem:
            counts["photos_rejected"] += 1
            continue
        known, vector = picture.stored, picture.vector
        sha256 = picture.sha256 or (known.sha256 if known else "")
        photos.append(PhotoEntry(picture.uri, picture.stamp, sha256, vector, picture.links))
        state = "unchanged" if vector is None else "added" if known is None else "updated"
        counts[f"photos_{state}"] += 1
        news += state != "unchanged"
    if product is None or not photos:
        counts["products_rejected"] += 1
        return None
    if stored is None:
        counts["products_added"] += 1
        return Entry(product, tuple(photos))
    listed = {photo.uri for photo in photos}
    if len(photos) == len(task.pictures):
        counts["photos_removed"] += len(stored.photos.keys() - listed)
    else:
        # While any of its pictures cannot be used, nothing that is stored of a product is given up.
        photos += [
            PhotoEntry(uri, photo.version_token, photo.sha256, None, photo.links)
            for uri, photo in stored.photos.items()
            if uri not in listed
        ]
    order = [photo.uri for photo in photos]
    changed = bool(news) or task.content != stored.content_hash or order != list(stored.photos)
    counts["products_updated" if changed else "products_unchanged"] += 1
    before = {uri: (photo.version_token, photo.links) for uri, photo in stored.photos.items()}
    elsewhere = any(before.get(photo.uri) != (photo.version_token, photo.links) for photo in photos)
    return Entry(product, tuple(photos)) if changed or elsewhere else None


def _note_problems(task: _Task, note: Note) -> None:
    row = task.row
    if row.product is None:
        note(row, "|".join(row.pictures), "row left out", row.problem)
        return
    if row.problem:
        note(row, "", "row kept", row.problem)
    lost = all(picture.problem for picture in task.pictures)
    outcome = (
        "picture left out" if not lost else "row left out; what is stored stays" if task.stored else "row left out"
    )
    for picture in task.pictures:
        if picture.problem:
            note(row, picture.uri or picture.name, outcome, picture.problem)
