"""Deriving a feature for photos that were there before it: an embedding of another model, thumbnails, palettes.

A store and a feature go in, a report comes out. What is missing is asked for by rising key and written batch by batch,
so a run can be stopped at any moment, also by ``kill -9``: the same call goes on where it stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lapel.catalog import ModelEntry
from lapel.core.types import Photo
from lapel.core.vectors import Keys
from lapel.engine.context import StoreContext
from lapel.engine.features import FEATURES, THUMBNAIL, Embedding, Feature
from lapel.engine.pipeline import BATCH, PhotoTask, Pipeline, catalog_values, thumbnails_of
from lapel.runners import Runner, open_runner

logger = logging.getLogger(__name__)

PAGE = 1024  # photos asked of the catalogue at once
READERS = 8  # threads where nothing is encoded: links wait for their server, not for this machine

Progress = Callable[[int, int], None]  # photos that are done, and in all


@dataclass(frozen=True)
class BackfillReport:
    """What a backfill did.

    Attributes:
        derived: Photos that got the feature.
        already: Photos that had it, or share the bytes of one that has it.
        failed: Photos that could not get it, each with the reason.
    """

    derived: int = 0
    already: int = 0
    failed: tuple[tuple[Photo, str], ...] = ()

    @property
    def failed_keys(self) -> Keys:
        """(n,) int64: the keys of the photos that could not get it, sorted."""
        return np.array(sorted(photo.key for photo, _ in self.failed), np.int64)


def backfill(
    store: StoreContext,
    feature: Feature | Embedding,
    *,
    keys: Keys | None = None,
    previous: BackfillReport | None = None,
    progress: Progress | None = None,
    runner: Runner | None = None,
) -> BackfillReport:
    """Derive a feature for every photo that lacks it, and keep the values; what is searched stays as it is.

    Args:
        store: The store.
        feature: One of :data:`lapel.engine.features.FEATURES`, or a model as :func:`lapel.engine.models.open_model`
            gives it.
        keys: (n,) int64: only these photos; by default all.
        previous: What an earlier call reported: what failed there is not tried again, and its counts are added to.
        progress: Called after each batch with how many photos have the feature or could not get it, and how many there
            are.
        runner: Who reads and derives; threads by default.

    Returns:
        What was done. Each photo that could not be used is in it with the reason.

    Raises:
        StoreBusyError, StoreReadOnlyError, StoreError: nothing more could be written; what was written stays.
    """
    before = previous or BackfillReport()
    storage = _storage(store, feature)
    total = store.catalog.counts().photos if keys is None else len(keys)
    done = had = storage.have(keys)
    derived, failed = 0, list(before.failed)
    for batch in _derived(feature, _tasks(storage, keys, set(before.failed_keys.tolist())), runner):
        good = [task for task in batch if not task.problem]
        storage.put(good)
        derived += len(good)
        failed += [(task.photo, task.problem) for task in batch if task.problem]
        done += len(batch)
        if progress is not None:
            progress(min(done, total), total)
    if keys is None:
        storage.clean_up()
    if progress is not None:
        progress(total, total)
    logger.info("%s: derived for %d photos of %s, %d failed", feature.key[0], derived, store.folder, len(failed))
    already = had if previous is None else previous.already
    return BackfillReport(before.derived + derived, already, tuple(failed))


def missing(store: StoreContext) -> dict[str, int]:
    """How many photos of a store lack each feature, by its name; ``embedding`` is the vector of the model in use.

    Thumbnails count only where the store has room for them.
    """
    total = store.catalog.counts().photos
    storages: dict[str, _Storage] = {"embedding": _Vectors(store, store.model)}
    storages |= {name: _storage(store, feature) for name, feature in FEATURES.items()}
    if not store.thumbnails.max_bytes:
        del storages[THUMBNAIL.name]
    return {name: max(0, total - storage.have(None)) for name, storage in storages.items()}


@dataclass(kw_only=True)
class _StoredPhotoTask(PhotoTask):
    """A photo of the catalogue on its way."""

    photo: Photo


def _derived(
    feature: Feature | Embedding, batches: Iterator[list[_StoredPhotoTask]], runner: Runner | None
) -> Iterator[list[_StoredPhotoTask]]:
    if isinstance(feature, Embedding):
        pipeline = Pipeline(feature.encoder, only_expected=True)
        return pipeline.map(runner or open_runner("threads:"), batches, batch=BATCH, spec=feature.model.encoder)
    pipeline = Pipeline(features=(feature,), only_expected=True)
    return pipeline.map(runner or open_runner("threads:", workers=READERS), batches)


def _tasks(storage: _Storage, keys: Keys | None, skip: set[int]) -> Iterator[list[_StoredPhotoTask]]:
    """The photos that lack a feature in batches, asked for page by page: always beyond the last one, so none comes
    twice."""
    wanted = None if keys is None else set(keys.tolist())
    after = 0
    waiting: list[_StoredPhotoTask] = []
    while page := storage.missing(after, PAGE):
        after = page[-1].key
        for photo in page:
            if photo.key not in skip and (wanted is None or photo.key in wanted):
                waiting.append(_StoredPhotoTask(uri=photo.uri, expected=photo.sha256, photo=photo))
                if len(waiting) == BATCH:
                    yield waiting
                    waiting = []
    if waiting:
        yield waiting


def photo_pages(store: StoreContext, *, size: int = PAGE, shown: bool = False) -> Iterator[list[Photo]]:
    """Every photo by rising key, some at a time; with ``shown`` not those of products that are not shown.

    Photos may come and go meanwhile.
    """
    after = 0
    while page := store.catalog.hosting.photos(after=after, limit=size, shown=shown):
        after = page[-1].key
        yield page


# --- where values are kept --------------------------------------------------------------------------------------------


class _Storage(Protocol):
    """Where the values of one feature are kept."""

    def have(self, keys: Keys | None) -> int:
        """How many photos have it, of these or of all."""
        ...

    def missing(self, after: int, limit: int) -> list[Photo]:
        """Photos that lack it, by rising key, only keys above ``after``; empty when there are no more."""
        ...

    def put(self, tasks: Sequence[_StoredPhotoTask]) -> None:
        """Keep what was derived, in one transaction."""
        ...

    def clean_up(self) -> None:
        """Drop values that are of no use any more, after all photos were looked at."""
        ...


def _storage(store: StoreContext, feature: Feature | Embedding) -> _Storage:
    if isinstance(feature, Embedding):
        return _Vectors(store, feature.model)
    return _Thumbnails(store) if feature == THUMBNAIL else _CatalogFeatures(store, feature)


class _Vectors:
    """The catalogue's vectors of one model."""

    def __init__(self, store: StoreContext, model: ModelEntry) -> None:
        self._catalog, self._model = store.catalog, model

    def have(self, keys: Keys | None) -> int:
        had = np.array(self._catalog.vector_keys(self._model.fingerprint))
        return len(had) if keys is None else int(np.isin(keys, had).sum())

    def missing(self, after: int, limit: int) -> list[Photo]:
        return self._catalog.photos_without(self._model.fingerprint, after=after, limit=limit)

    def put(self, tasks: Sequence[_StoredPhotoTask]) -> None:
        vectors = [task.vector for task in tasks if task.vector is not None]
        if vectors:
            self._catalog.put_vectors(
                self._model, np.array([task.photo.key for task in tasks], np.int64), np.stack(vectors)
            )

    def clean_up(self) -> None:
        """Vectors of other models stay, for the way back."""


class _CatalogFeatures:
    """The catalogue's values of one feature."""

    def __init__(self, store: StoreContext, feature: Feature) -> None:
        self._table, self._key = store.catalog.features, feature.key

    def have(self, keys: Keys | None) -> int:
        if keys is None:
            return self._table.counts().get(self._key, 0)
        return len(self._table.get(*self._key, keys.tolist()))

    def missing(self, after: int, limit: int) -> list[Photo]:
        return self._table.photos_without(*self._key, after=after, limit=limit)

    def put(self, tasks: Sequence[_StoredPhotoTask]) -> None:
        self._table.put(*self._key, {task.photo.key: catalog_values(task)[self._key] for task in tasks})

    def clean_up(self) -> None:
        self._table.drop_other_versions(*self._key)


class _Thumbnails:
    """The store's thumbnails, by the hash of a photo's bytes: photos of equal bytes are derived once."""

    def __init__(self, store: StoreContext) -> None:
        self._store, self._photos = store, store.catalog.hosting.photos
        self._known: set[str] = set()  # hashes that have one, or that were given to be derived

    def have(self, keys: Keys | None) -> int:
        wanted = None if keys is None else set(keys.tolist())
        count = 0
        for page in photo_pages(self._store):
            known = self._store.thumbnails.has(photo.sha256 for photo in page)
            count += sum(photo.sha256 in known and (wanted is None or photo.key in wanted) for photo in page)
        return count

    def missing(self, after: int, limit: int) -> list[Photo]:
        while self._store.thumbnails.max_bytes and (page := self._photos(after=after, limit=limit)):
            self._known |= self._store.thumbnails.has(photo.sha256 for photo in page)
            lacking = []
            for photo in page:
                if photo.sha256 not in self._known:
                    self._known.add(photo.sha256)
                    lacking.append(photo)
            if lacking:
                return lacking
            after = page[-1].key
        return []

    def put(self, tasks: Sequence[_StoredPhotoTask]) -> None:
        self._store.thumbnails.put(thumbnails_of(tasks))

    def clean_up(self) -> None:
        self._store.thumbnails.trim(keep=[photo.sha256 for page in photo_pages(self._store) for photo in page])
