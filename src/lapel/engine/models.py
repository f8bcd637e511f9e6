"""Giving a store another model: encode every photo with it, swap in one transaction, go back when it was not better.

The store goes on answering with its own model until the swap, in this process and in all others. What is encoded is
written batch
by batch beside the old vectors, so a run can be stopped at any moment, also by ``kill -9``: the same call goes on where
it stopped.
Products that are added meanwhile are caught up before the swap, under the writer's lock. The former model's vectors
stay, so the
way back is as quick.
"""

from __future__ import annotations

import csv
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from lapel.catalog import Catalog, ModelEntry, model_lock, writer_lock
from lapel.core.errors import (
    ImageError,
    InputError,
    LapelError,
    ModelError,
    ModelMismatchError,
    SourceError,
    StoreBusyError,
    StoreError,
)
from lapel.core.images import Pixels, decode
from lapel.core.types import Photo
from lapel.core.vectors import UNIT_TOLERANCE, Keys, Vectors
from lapel.encoders import SHIPPED, Encoder, healed, lasting, open_encoder
from lapel.encoders.model import MANIFEST
from lapel.engine.context import StoreContext
from lapel.runners import Runner, open_runner
from lapel.sources import read_uri

BATCH = 64  # pictures encoded and written at once: keeps the encoder busy and loses at most a second's work
PAGE = 1024  # photos asked of the catalogue at once
UNREADABLE = "unreadable.csv"  # in the store's folder: what the last change of model could not read
WAIT_SECONDS = 1.0  # between two looks whether another writer is done

Progress = Callable[[int, int], None]  # photos that have a vector, and in all
Note = Callable[[str], None]


@dataclass(frozen=True)
class Candidate:
    """A model that a store may be given: opened, and as the catalogue knows it."""

    encoder: Encoder
    model: ModelEntry


@dataclass(frozen=True)
class Unreadable:
    """A stored photo that the new model cannot look at.

    Attributes:
        photo: The photo.
        reason: Why, and what to do.
    """

    photo: Photo
    reason: str


@dataclass(frozen=True)
class Prepared:
    """What encoding with another model did.

    Attributes:
        encoded: Photos that were encoded now; those that had a vector of the model already are not among them.
        unreadable: Photos that could not be.
    """

    encoded: int = 0
    unreadable: tuple[Unreadable, ...] = ()

    @property
    def keys(self) -> Keys:
        """The keys of the unreadable photos, (n,) int64, sorted."""
        return np.array(sorted(lost.photo.key for lost in self.unreadable), np.int64)

    def plus(self, more: Prepared) -> Prepared:
        """Both together; ``more`` looked only at photos that this one did not."""
        return Prepared(self.encoded + more.encoded, (*self.unreadable, *more.unreadable))


@dataclass(frozen=True)
class Switch:
    """A change of model that was made.

    Attributes:
        model: What is searched now.
        former: What was searched before; its vectors are kept.
        prepared: What had to be encoded for it, and what is missing now.
    """

    model: ModelEntry
    former: ModelEntry
    prepared: Prepared = field(default_factory=Prepared)


@dataclass(frozen=True)
class KnownModel:
    """A model that has vectors in a store.

    Attributes:
        model: The model.
        photos: Photos that have its vector.
        active: Whether it is the one that is searched.
        previous: Whether it was the one before: what a rollback goes to.
    """

    model: ModelEntry
    photos: int
    active: bool
    previous: bool


def models_of(store: StoreContext) -> list[KnownModel]:
    """Every model that has vectors in a store, the oldest first."""
    active, previous = store.model.fingerprint, store.catalog.setting("previous")
    return [
        KnownModel(
            replace(model, encoder=healed(model.encoder, model.fingerprint)),
            photos,
            model.fingerprint == active,
            model.fingerprint == previous,
        )
        for model, photos in store.catalog.models()
        if photos or model.fingerprint in (active, previous)
    ]


def open_model(store: StoreContext, spec: str) -> Candidate:
    """Open a model to give to a store.

    Args:
        store: The store; models that have vectors in it can be named as :func:`models_of` does.
        spec: As for :func:`lapel.open_encoder`, or the name or fingerprint of a model of the store.

    Raises:
        ModelError: no such model, or a broken one, or a name that several models of the store have.
        ModelMismatchError: a model of the store was named whose folder holds another one now.
    """
    known = [found.model for found in models_of(store)]
    named = [model for model in known if spec in (model.fingerprint, model.name)]
    if Path(spec, MANIFEST).is_file() or ":" in spec or spec in SHIPPED or not named:
        try:
            encoder = open_encoder(spec)
        except ModelError as error:
            names = ", ".join(f"'{model.name}'" for model in known if model.name)
            raise ModelError(f"{error} This store has vectors of {names or 'no model'}.") from error
        return Candidate(_tried(encoder), ModelEntry(encoder.fingerprint, encoder.name, lasting(spec), encoder.dim))
    if len(named) > 1:
        raise ModelError(
            f"'{spec}' is the name of {len(named)} models of the store {store.folder}: fingerprints"
            f" {', '.join(model.fingerprint for model in named)}. Name one by its fingerprint."
        )
    encoder = open_encoder(named[0].encoder)
    if encoder.fingerprint != named[0].fingerprint:
        raise ModelMismatchError(
            f"The vectors of '{named[0].name}' in the store {store.folder} were made with the fingerprint"
            f" {named[0].fingerprint};"
            f" '{named[0].encoder}' holds '{encoder.name}' ({encoder.fingerprint}) now."
            f" Bring the old model folder back, or change to the new one: lapel model use {named[0].encoder} --store"
            f" {store.folder}"
        )
    return Candidate(_tried(encoder), named[0])


def _tried(encoder: Encoder) -> Encoder:
    """The encoder, after it has looked at one picture: what is broken is told before hours of work, not in them.

    Raises:
        ModelError: it cannot.
    """
    try:
        vector = encoder.encode_pixels(encoder.preprocessing.batch([Image.new("RGB", (60, 80), "grey")]))
    except LapelError:
        raise
    except Exception as error:  # each runtime raises classes of its own
        raise ModelError(
            f"The model '{encoder.name}' ({encoder.spec}) cannot look at a picture: {str(error).rstrip('.')}. Export"
            f" it again."
        ) from error
    if vector.shape != (1, encoder.dim):
        raise ModelError(
            f"The model '{encoder.name}' ({encoder.spec}) says that its vectors have {encoder.dim} numbers; found the"
            f" shape"
            f" {vector.shape}. Export it again."
        )
    return encoder


# --- encoding ---------------------------------------------------------------------------------------------------------


def prepare(
    store: StoreContext,
    candidate: Candidate,
    *,
    keys: Keys | None = None,
    skip: Prepared | None = None,
    report: Progress | None = None,
    runner: Runner | None = None,
) -> Prepared:
    """Encode every photo that has no vector of a model, and keep the vectors beside those of the others.

    Args:
        store: The store; what it is searched with stays as it is.
        candidate: The model.
        keys: Only these photos, sorted; by default all.
        skip: What an earlier call found unreadable and need not be tried again.
        report: Called after each batch with how many photos have a vector or could not get one, and how many there are.
        runner: Who reads and decodes; threads on all cores by default.

    Returns:
        What was done. Each picture that could not be used is in it with the reason.

    Raises:
        StoreBusyError, StoreReadOnlyError, StoreError: nothing more could be written; what was written stays.
    """
    catalog, fingerprint = store.catalog, candidate.model.fingerprint
    known = set(skip.keys.tolist()) if skip else set()
    total = catalog.counts().photos if keys is None else len(keys)
    had = np.array(catalog.vector_keys(fingerprint))
    done = len(had) if keys is None else int(np.isin(keys, had).sum())
    encoded, lost = 0, []
    tasks = _tasks(catalog, fingerprint, keys, known)
    loaded = (runner or open_runner("threads:")).map(lambda: _loader(candidate.encoder), tasks)
    try:
        for task in loaded:
            encoded += _keep(catalog, candidate, task)
            lost += [Unreadable(picture.photo, picture.problem) for picture in task if picture.problem]
            done += len(task)
            if report is not None:
                report(min(done, total), total)
    finally:
        getattr(loaded, "close", lambda: None)()  # stops the threads now, whatever ended the loop
    return Prepared(encoded, tuple(lost))


@dataclass
class _Picture:
    """One photo on its way: named, then loaded or found unusable."""

    photo: Photo
    pixels: Pixels | None = None  # (height, width, 3) uint8
    problem: str = ""


def _tasks(catalog: Catalog, fingerprint: str, keys: Keys | None, skip: set[int]) -> Iterator[list[_Picture]]:
    """The photos without a vector in batches, asked for page by page: always beyond the last one, so none comes
    twice."""
    wanted = None if keys is None else set(keys.tolist())
    after = 0
    waiting: list[_Picture] = []
    while page := catalog.photos_without(fingerprint, after=after, limit=PAGE):
        after = page[-1].key
        for photo in page:
            if photo.key not in skip and (wanted is None or photo.key in wanted):
                waiting.append(_Picture(photo))
                if len(waiting) == BATCH:
                    yield waiting
                    waiting = []
    if waiting:
        yield waiting


def _loader(encoder: Encoder) -> Callable[[list[_Picture]], list[_Picture]]:
    """What a worker does: read, check, decode and scale the pictures of a batch."""

    def load(picture: _Picture) -> None:
        data = read_uri(picture.photo.uri)
        if hashlib.sha256(data).hexdigest() != picture.photo.sha256:
            # The key stands for the old bytes: a vector of the new ones would be a lie.
            raise SourceError("The file has changed since it was added. Run 'lapel add' again for it.")
        picture.pixels = encoder.preprocessing.apply(decode(data))

    def work(task: list[_Picture]) -> list[_Picture]:
        for picture in task:
            try:
                load(picture)
            except (ImageError, SourceError) as error:
                picture.problem = str(error)
        return task

    return work


def _keep(catalog: Catalog, candidate: Candidate, task: Sequence[_Picture]) -> int:
    """Encode a batch and write it in one transaction; a picture without a direction gets a problem instead."""
    seen = [picture for picture in task if picture.pixels is not None]
    if not seen:
        return 0
    vectors: Vectors = candidate.encoder.encode_pixels(np.stack([one.pixels for one in seen if one.pixels is not None]))
    usable = np.abs(np.linalg.norm(vectors, axis=1) - 1) <= UNIT_TOLERANCE
    for picture, good in zip(seen, usable.tolist(), strict=True):
        picture.pixels = None
        if not good:
            picture.problem = f"The model '{candidate.model.name}' sees nothing in the picture."
    keys = np.array([picture.photo.key for picture in seen], np.int64)
    catalog.put_vectors(candidate.model, keys[usable], vectors[usable])
    return int(usable.sum())


# --- changing ---------------------------------------------------------------------------------------------------------


def use(
    store: StoreContext,
    spec: str,
    *,
    allow_missing: bool = False,
    wait: bool = False,
    report: Progress | None = None,
    note: Note | None = None,
) -> Switch:
    """Give a store another model: encode what is missing, then swap for every process that serves it.

    Args:
        store: The store. Searches go on with its own model until the swap.
        spec: The model, see :func:`open_model`.
        allow_missing: Swap although pictures cannot be read any more; their products are then not found.
        wait: Wait for another process that adds to the store, instead of refusing.
        report: Called with how many photos have a vector of the model, and how many there are.
        note: Called with a sentence when it begins to wait.

    Raises:
        ModelError: no such model.
        InputError: it is the store's model already, or the store has none yet.
        StoreBusyError: another process changes the model or, without ``wait``, adds products. What was encoded is kept.
        StoreError: pictures cannot be read, or the disk is full. The store answers as before.
    """
    candidate = open_model(store, spec)
    return _change(store, candidate, allow_missing=allow_missing, wait=wait, report=report, note=note)


def rollback(
    store: StoreContext,
    *,
    allow_missing: bool = False,
    wait: bool = False,
    report: Progress | None = None,
    note: Note | None = None,
) -> Switch:
    """Go back to the model a store had before; photos added since are encoded with it first.

    Raises:
        InputError: there is none to go back to.
        ModelError, ModelMismatchError: its folder is gone, or holds another model now.
        StoreBusyError, StoreError: as for :func:`use`.
    """
    candidate = open_model(store, previous_of(store).fingerprint)
    return _change(store, candidate, allow_missing=allow_missing, wait=wait, report=report, note=note)


def previous_of(store: StoreContext) -> ModelEntry:
    """The model a rollback goes to.

    Raises:
        InputError: there is none.
    """
    for known in models_of(store):
        if known.previous:
            return known.model
    raise InputError(
        f"The store {store.folder} has no model to go back to: it never had another one, or its vectors were pruned."
        " Run: lapel model use MODEL"
    )


def prune(store: StoreContext) -> int:
    """Drop the vectors of every model but the store's own. Returns how many there were.

    Raises:
        StoreBusyError: another process is changing the model.
    """
    with model_lock(store.folder, work="dropping unused vectors"):
        return store.catalog.forget([known.model.fingerprint for known in models_of(store) if not known.active])


def check_change(store: StoreContext, candidate: Candidate) -> ModelEntry:
    """The store's model, after making sure that the candidate is another one.

    Raises:
        InputError: it is the same, or the store has none yet.
    """
    now = store.model
    if not now.fingerprint:
        raise InputError(
            f"The store {store.folder} holds nothing yet, so it has no model to change."
            f" Run: lapel add PICTURES --store {store.folder} --encoder {candidate.model.encoder}"
        )
    if (candidate.model.fingerprint, candidate.model.encoder) == (now.fingerprint, now.encoder):
        raise InputError(
            f"The store {store.folder} uses the model '{now.name}' ({now.fingerprint}) already; nothing was changed."
        )
    return now


def _change(
    store: StoreContext,
    candidate: Candidate,
    *,
    allow_missing: bool,
    wait: bool,
    report: Progress | None,
    note: Note | None,
) -> Switch:
    with model_lock(store.folder, work=f"giving it the model '{candidate.model.name}'"):
        former = check_change(store, candidate)
        before = store.catalog.setting("previous")
        prepared = Prepared()
        while True:
            prepared = prepared.plus(prepare(store, candidate, skip=prepared, report=report))
            _check_missing(store, candidate, prepared, allow_missing)
            try:
                with writer_lock(store.folder):
                    # Nobody adds now: the last bit, and the swap.
                    prepared = prepared.plus(prepare(store, candidate, skip=prepared, report=report))
                    _check_missing(store, candidate, prepared, allow_missing)
                    if store.catalog.activate(candidate.model, missing=prepared.keys):
                        break
            except StoreBusyError as error:
                if not wait:
                    raise StoreBusyError(
                        f"{error} The photos are encoded with '{candidate.model.name}' and kept, but the model is"
                        f" changed only when"
                        " nothing is being added: run the same command again, or with --wait."
                    ) from error
                if note is not None:
                    note(f"{error} Waiting for it.")
                    note = None
                time.sleep(WAIT_SECONDS)
        # Kept are the new one and the one it replaced; the one before those can no longer be gone back to.
        if before and before not in (candidate.model.fingerprint, store.catalog.setting("previous")):
            store.catalog.forget([before])
    return Switch(candidate.model, former, prepared)


def _check_missing(store: StoreContext, candidate: Candidate, prepared: Prepared, allowed: bool) -> None:
    """List what could not be read, and refuse to let it vanish from search without being told to.

    Raises:
        StoreError: pictures cannot be read and this was not allowed, or none at all can.
    """
    still = store.catalog.entries(prepared.keys)  # a product may have been taken out since
    lost = [one for one in prepared.unreadable if one.photo.key in still]
    path = _list(lost, store.folder / UNREADABLE)
    if not lost:
        return
    photos = store.catalog.counts().photos
    if allowed and len(lost) < photos:
        return
    some = "; ".join(f"{one.photo.uri}: {one.reason}" for one in lost[:3])
    advice = (
        "Bring the pictures back and run the same command again, take their products out, or accept it with"
        " --allow-missing."
        if len(lost) < photos
        else "Bring the pictures back and run the same command again."
    )
    raise StoreError(
        f"{len(lost):,} of {photos:,} pictures cannot be read for the model '{candidate.model.name}', so their"
        f" products would vanish"
        f" from search: {some}{'; ...' if len(lost) > 3 else ''} All are listed in {path}. The store answers as"
        f" before. {advice}"
    )


def _list(lost: Sequence[Unreadable], path: Path) -> Path:
    """Write down what could not be read; no file when everything could."""
    try:
        if not lost:
            path.unlink(missing_ok=True)
            return path
        with path.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("product", "picture", "reason"))
            rows.writerows((one.photo.product_id, one.photo.uri, one.reason) for one in lost)
    except OSError as error:
        raise StoreError(
            f"The list of {len(lost):,} unreadable pictures cannot be written to {path}: {error.strerror}. Make room"
            f" there;"
            " the store answers as before."
        ) from error
    return path
