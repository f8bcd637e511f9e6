"""Giving a store another model: encode every photo with it, swap in one transaction, go back when it was not better.

The store goes on answering with its own model until the swap, in this process and in all others. What is encoded is
kept beside the old vectors as it comes (:mod:`lapel.engine.backfill`), so a run can be stopped at any moment. Products
that are added meanwhile are caught up before the swap, under the writer's lock. The former model's vectors stay, so
the way back is as quick.
"""

from __future__ import annotations

import csv
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from lapel.catalog import ModelEntry, model_lock, writer_lock
from lapel.core.errors import (
    InputError,
    LapelError,
    ModelError,
    ModelMismatchError,
    StoreBusyError,
    StoreError,
)
from lapel.core.types import Photo
from lapel.encoders import SHIPPED, Encoder, absolute_spec, open_encoder, repaired_spec
from lapel.encoders.model import MANIFEST
from lapel.engine.backfill import BackfillReport, Progress, backfill
from lapel.engine.context import StoreContext
from lapel.engine.features import Embedding

logger = logging.getLogger(__name__)


UNREADABLE = "unreadable.csv"  # in the store's folder: what the last change of model could not read
WAIT_SECONDS = 1.0  # between two looks whether another writer is done

Note = Callable[[str], None]


@dataclass(frozen=True)
class ModelChange:
    """A change of model that was made.

    Attributes:
        model: What is searched now.
        former: What was searched before; its vectors are kept.
        backfill: What had to be encoded for it, and which photos have no vector now.
    """

    model: ModelEntry
    former: ModelEntry
    backfill: BackfillReport = field(default_factory=BackfillReport)


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
            replace(model, encoder=repaired_spec(model.encoder, model.fingerprint)),
            photos,
            model.fingerprint == active,
            model.fingerprint == previous,
        )
        for model, photos in store.catalog.models()
        if photos or model.fingerprint in (active, previous)
    ]


def open_model(store: StoreContext, spec: str) -> Embedding:
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
        return Embedding(
            _tried(encoder), ModelEntry(encoder.fingerprint, encoder.name, absolute_spec(spec), encoder.dim)
        )
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
    return Embedding(_tried(encoder), named[0])


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


# --- changing ---------------------------------------------------------------------------------------------------------


def use(
    store: StoreContext,
    spec: str,
    *,
    allow_missing: bool = False,
    wait: bool = False,
    report: Progress | None = None,
    note: Note | None = None,
) -> ModelChange:
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
) -> ModelChange:
    """Go back to the model a store had before; photos added since are encoded with it first.

    Raises:
        InputError: there is none to go back to.
        ModelError, ModelMismatchError: its folder is gone, or holds another model now.
        StoreBusyError, StoreError: as for :func:`use`.
    """
    former = previous_of(store).fingerprint
    return use(store, former, allow_missing=allow_missing, wait=wait, report=report, note=note)


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


def check_change(store: StoreContext, candidate: Embedding) -> ModelEntry:
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
    candidate: Embedding,
    *,
    allow_missing: bool,
    wait: bool,
    report: Progress | None,
    note: Note | None,
) -> ModelChange:
    def encode(previous: BackfillReport | None) -> BackfillReport:
        done = backfill(store, candidate, previous=previous, progress=report)
        _check_missing(store, candidate, done, allow_missing)
        return done

    with model_lock(store.folder, work=f"giving it the model '{candidate.model.name}'"):
        former = check_change(store, candidate)
        before = store.catalog.setting("previous")
        done: BackfillReport | None = None
        while True:
            done = encode(done)
            try:
                with writer_lock(store.folder):
                    done = encode(done)  # nobody adds now: the last bit, and the swap
                    if store.catalog.activate(candidate.model, missing=done.failed_keys):
                        break
            except StoreBusyError as error:
                if not wait:
                    raise StoreBusyError(
                        f"{error} The photos are encoded with '{candidate.model.name}' and kept, but the model is"
                        " changed only when nothing is being added: run the same command again, or with --wait."
                    ) from error
                if note is not None:
                    note(f"{error} Waiting for it.")
                    note = None
                time.sleep(WAIT_SECONDS)
        # Kept are the new one and the one it replaced; the one before those can no longer be gone back to.
        if before and before not in (candidate.model.fingerprint, store.catalog.setting("previous")):
            store.catalog.forget([before])
    logger.info("%s is searched with '%s' now, before with '%s'", store.folder, candidate.model.name, former.name)
    return ModelChange(candidate.model, former, done)


def _check_missing(store: StoreContext, candidate: Embedding, done: BackfillReport, allowed: bool) -> None:
    """List what could not be read, and refuse to let it vanish from search without being told to.

    Raises:
        StoreError: photos cannot be read and this was not allowed, or none at all can.
    """
    stored = store.catalog.entries(done.failed_keys)  # a product may have been taken out since
    failed = [(photo, reason) for photo, reason in done.failed if photo.key in stored]
    path = store.folder / UNREADABLE
    _write_unreadable(path, failed)
    photos = store.catalog.counts().photos
    if not failed or (allowed and len(failed) < photos):
        return
    some = "; ".join(f"{photo.uri}: {reason}" for photo, reason in failed[:3])
    advice = "Bring the pictures back and run the same command again"
    if len(failed) < photos:
        advice += ", take their products out, or accept it with --allow-missing"
    raise StoreError(
        f"{len(failed):,} of {photos:,} pictures cannot be read for the model '{candidate.model.name}', so their"
        f" products would vanish from search: {some}{'; ...' if len(failed) > 3 else ''} All are listed in {path}. The"
        f" store answers as before. {advice}."
    )


def _write_unreadable(path: Path, failed: Sequence[tuple[Photo, str]]) -> None:
    """List photos that could not be read; no file when all could."""
    try:
        if not failed:
            path.unlink(missing_ok=True)
            return
        with path.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("product", "picture", "reason"))
            rows.writerows((photo.product_id, photo.uri, reason) for photo, reason in failed)
    except OSError as error:
        raise StoreError(
            f"The list of {len(failed):,} unreadable pictures cannot be written to {path}: {error.strerror}. Make room"
            " there; the store answers as before."
        ) from error
