"""The one way from a photo's address to what its image gives: read, hash, decode, preprocess, derive, encode, check.

Tasks with addresses go in; they come out with the hash of the bytes, features and a unit vector, or with the problem
that one photo has. Adding, a change of model, the media check, backfills and benchmarks all take it:

    pipeline = Pipeline(encoder)
    for batch in pipeline.map(open_runner("threads:"), batches):
        vectors = {task.uri: task.vector for task in batch if not task.problem}
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lapel.core.errors import InputError, ModelMismatchError, SourceError
from lapel.core.images import Pixels, decode
from lapel.core.vectors import UNIT_TOLERANCE
from lapel.encoders import Encoder, open_encoder
from lapel.engine.features import THUMBNAIL, Feature, Key, Value
from lapel.runners import Runner
from lapel.sources import read_uri

BATCH = 64  # photos encoded and written at once: keeps the encoder busy and loses at most a second's work

Read = Callable[[str], bytes]


@dataclass(kw_only=True)
class PhotoTask:
    """One photo on its way: named, then loaded, then encoded; or found unusable. Picklable.

    Attributes:
        uri: Where its bytes are.
        expected: SHA-256 of the bytes that are known, hex; empty when none are. See :class:`Pipeline` for what it does.
        sha256: SHA-256 of the bytes that were read.
        pixels: (height, width, 3) uint8: the encoder's input, from loading until it is encoded.
        features: What was derived, by name and version.
        vector: (dim,) float32 of length 1.
        problem: Why it cannot be used, for people; empty when it can.
    """

    uri: str = ""
    expected: str = ""
    sha256: str = ""
    pixels: Pixels | None = None
    features: dict[Key, Value] = field(default_factory=dict)
    vector: NDArray[np.float32] | None = None
    problem: str = ""


def thumbnails_of(tasks: Iterable[PhotoTask]) -> dict[str, Mapping[int, bytes]]:
    """The thumbnails that were derived, by the hash of their photo's bytes, as the store's thumbnails take them."""
    derived = ((task.sha256, task.features.get(THUMBNAIL.key)) for task in tasks)
    return {sha256: value for sha256, value in derived if isinstance(value, Mapping)}


def catalog_values(task: PhotoTask) -> dict[Key, bytes]:
    """What was derived and is kept in the catalogue, by name and version."""
    return {key: value for key, value in task.features.items() if isinstance(value, bytes)}


Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Pipeline:
    """How photos are loaded and encoded. Safe to share between threads.

    Attributes:
        encoder: What makes the vectors; None makes none.
        features: What else is derived from each image.
        read: Address -> bytes.
        only_expected: What the expected hash of a task is for. True: other bytes are a problem, as a key of the
            catalogue stands for the old ones. False: equal bytes are passed over, as nothing is new about them.
    """

    encoder: Encoder | None = None
    features: Sequence[Feature] = ()
    read: Read = read_uri
    only_expected: bool = False

    def load(self, tasks: Iterable[PhotoTask]) -> None:
        """Read, hash and decode each photo once, preprocess it and derive its features: what a worker does.

        Images are preprocessed here, so that only small ones wait for the encoder, whatever size they came in.
        """
        sampled: list[tuple[PhotoTask, list[Any]]] = []
        for task in tasks:
            try:
                samples = self._load(task)
            except InputError as error:
                task.problem = str(error)
            else:
                if samples:
                    sampled.append((task, samples))
        for number, feature in enumerate(self.features if sampled else ()):
            values = feature.derive([samples[number] for _, samples in sampled])
            for (task, _), value in zip(sampled, values, strict=True):
                task.features[feature.key] = value

    def _load(self, task: PhotoTask) -> list[Any]:
        """Load one photo. Returns what each feature samples of it; nothing where it was passed over."""
        data = self.read(task.uri)
        task.sha256 = hashlib.sha256(data).hexdigest()
        if self.only_expected and task.sha256 != task.expected:
            raise SourceError("The file has changed since it was added. Run 'lapel add' again for it.")
        if not self.only_expected and task.sha256 == task.expected:
            return []
        image = decode(data)
        if self.encoder is not None:
            task.pixels = self.encoder.preprocessing.apply(image)
        return [feature.sample(image) for feature in self.features]

    def encode(self, tasks: Iterable[PhotoTask], batch: int = BATCH) -> None:
        """Give each loaded photo its vector, ``batch`` at a time; one without a direction gets a problem instead."""
        if self.encoder is None:
            return
        loaded = [task for task in tasks if task.pixels is not None]
        for at in range(0, len(loaded), batch):
            some = loaded[at : at + batch]
            vectors = self.encoder.encode_pixels(np.stack([task.pixels for task in some if task.pixels is not None]))
            lengths = np.linalg.norm(vectors, axis=1)
            for task, vector, length in zip(some, vectors, lengths.tolist(), strict=True):
                task.pixels = None
                if abs(length - 1) <= UNIT_TOLERANCE:
                    task.vector = vector
                else:
                    task.problem = (
                        f"The model '{self.encoder.name}' sees nothing in the picture (a vector of length"
                        f" {length:.3g}). Use another one."
                    )

    def map(
        self,
        runner: Runner,
        batches: Iterable[Batch],
        photos: Callable[[Batch], Iterable[PhotoTask]] = iter,  # type: ignore[assignment]
        *,
        batch: int = BATCH,
        spec: str = "",
    ) -> Generator[Batch, None, None]:
        """Load and encode batches on a runner, in order.

        Workers of this process load the next ones while one is encoded here. Workers elsewhere also encode, with a
        model that each opens once, and need photos and model under the same addresses.

        Args:
            runner: Who works.
            batches: Lists of tasks, or values that hold them.
            photos: Gives the tasks of a batch that are to be loaded; a function of a module.
            batch: Photos encoded at once.
            spec: What opens the encoder elsewhere; needed when there is one and the runner works elsewhere.

        Yields:
            Each batch, done. Closing this early stops the workers.

        Raises:
            ModelMismatchError: a worker elsewhere has another model under that name.
        """
        if runner.remote:
            fingerprint = self.encoder.fingerprint if self.encoder is not None else ""
            worker = RemoteWorker(spec, fingerprint, tuple(self.features), self.only_expected, batch)
            results = runner.map(partial(_work, worker.open, photos), batches)
        else:
            results = runner.map(partial(_work, lambda: self.load, photos), batches)
        try:
            for done in results:
                if not runner.remote:
                    self.encode(photos(done), batch)
                yield done
        finally:
            results.close()  # stops the workers now, whatever ended the loop


def _work(
    open_work: Callable[[], Callable[[Iterable[PhotoTask]], None]], photos: Callable[[Batch], Iterable[PhotoTask]]
) -> Callable[[Batch], Batch]:
    """What a runner makes once a worker: batch -> the same batch, worked on."""
    work = open_work()

    def do(batch: Batch) -> Batch:
        work(photos(batch))
        return batch

    return do


@dataclass(frozen=True)
class RemoteWorker:
    """A pipeline for workers in other processes, perhaps on other machines: picklable.

    Attributes:
        spec: What opens the encoder; nothing is encoded without one.
        fingerprint: Which encoder that must be.
        features, only_expected: As for :class:`Pipeline`.
        batch: Photos encoded at once.
    """

    spec: str
    fingerprint: str
    features: tuple[Feature, ...] = ()
    only_expected: bool = False
    batch: int = BATCH

    def open(self) -> Callable[[Iterable[PhotoTask]], None]:
        """Open the encoder there; what loads and encodes tasks.

        Raises:
            ModelMismatchError: it is another one.
        """
        encoder = open_encoder(self.spec, threads=1) if self.spec else None  # each of a machine's cores has a worker
        if encoder is not None and encoder.fingerprint != self.fingerprint:
            raise ModelMismatchError(
                f"The model '{self.spec}' on the worker {platform.node()} is another ({encoder.fingerprint}) than the"
                f" store's ({self.fingerprint}). Install the same Lapel there, or copy the model folder."
            )
        pipeline = Pipeline(encoder, self.features, only_expected=self.only_expected)

        def work(tasks: Iterable[PhotoTask]) -> None:
            known = list(tasks)
            pipeline.load(known)
            pipeline.encode(known, self.batch)

        return work
