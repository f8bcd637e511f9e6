"""The one way from an address to a vector: read once, decoded once, one problem for one photo, the same on any
runner."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lapel.core.errors import ModelMismatchError, SourceError
from lapel.core.images import Pixels, Preprocessing
from lapel.core.vectors import Vectors, normalise
from lapel.engine import pipeline as pipeline_module
from lapel.engine.features import THUMBNAIL, Feature
from lapel.engine.pipeline import PhotoTask, Pipeline, RemoteWorker, thumbnails_of
from lapel.runners import open_runner


class RowEncoder:
    """The upper and the lower half's colour: six numbers."""

    name = "rows"
    spec = "rows:"
    dim = 6
    fingerprint = "rows-1"
    preprocessing = Preprocessing(height=2, width=1)

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def encode_pixels(self, pixels: Pixels) -> Vectors:
        self.sizes.append(len(pixels))
        return normalise(pixels.reshape(len(pixels), -1).astype(np.float32))

    def encode(self, images: object) -> Vectors:
        raise NotImplementedError


def png(colour: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (10, 20), colour).save(stream, "PNG")
    return stream.getvalue()


PHOTOS = {"red": png("red"), "blue": png("blue"), "black": png("black"), "text": b"no image"}


def read(uri: str) -> bytes:
    if uri not in PHOTOS:
        raise SourceError(f"There is no {uri}.")
    return PHOTOS[uri]


def width(image: Image.Image) -> bytes:
    return bytes([image.width])


WIDTH = Feature("width", "1", width)


def sha256(uri: str) -> str:
    return hashlib.sha256(PHOTOS[uri]).hexdigest()


def run(pipeline: Pipeline, *tasks: PhotoTask, batch: int = 64) -> tuple[PhotoTask, ...]:
    pipeline.load(tasks)
    pipeline.encode(tasks, batch)
    return tasks


def test_one_photo_gets_everything_and_a_bad_one_its_reason() -> None:
    encoder = RowEncoder()
    red, away, text, black = run(
        Pipeline(encoder, (WIDTH,), read), *(PhotoTask(uri=uri) for uri in ("red", "away", "text", "black"))
    )
    assert red.vector is not None
    np.testing.assert_allclose(red.vector, np.array([1, 0, 0, 1, 0, 0]) / np.sqrt(2), atol=1e-6)
    assert (red.sha256, red.features, red.problem, red.pixels) == (sha256("red"), {("width", "1"): b"\x0a"}, "", None)
    assert (away.problem, away.sha256, away.vector) == ("There is no away.", "", None)
    assert "Not a picture" in text.problem
    assert (text.vector, text.features) == (None, {})
    assert black.problem == "The model 'rows' sees nothing in the picture (a vector of length 0). Use another one."
    assert black.vector is None
    assert encoder.sizes == [2]  # the unusable two never reach it


def test_a_nan_is_no_vector() -> None:
    class Broken(RowEncoder):
        def encode_pixels(self, pixels: Pixels) -> Vectors:
            return np.full((len(pixels), 6), np.nan, np.float32)

    (task,) = run(Pipeline(Broken(), read=read), PhotoTask(uri="red"))
    assert task.vector is None
    assert "a vector of length nan" in task.problem


def test_an_image_is_read_and_decoded_once_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    decode = pipeline_module.decode
    monkeypatch.setattr(pipeline_module, "decode", lambda data: (seen.append("decode"), decode(data))[1])

    def counted(uri: str) -> bytes:
        seen.append("read")
        return read(uri)

    (task,) = run(Pipeline(RowEncoder(), (WIDTH, THUMBNAIL), counted), PhotoTask(uri="blue"))
    assert seen == ["read", "decode"]
    assert thumbnails_of([task, PhotoTask(uri="none")]).keys() == {sha256("blue")}


def test_what_is_expected_is_passed_over_or_alone_accepted() -> None:
    for uri, expected in (("red", sha256("red")), ("red", sha256("blue"))):
        same = uri == "red" and expected == sha256("red")
        (adding,) = run(Pipeline(RowEncoder(), read=read), PhotoTask(uri=uri, expected=expected))
        (again,) = run(Pipeline(RowEncoder(), read=read, only_expected=True), PhotoTask(uri=uri, expected=expected))
        assert (adding.vector is None, adding.problem, adding.sha256) == (same, "", sha256("red"))
        assert (again.vector is not None) == same
        assert again.problem == (
            "" if same else "The file has changed since it was added. Run 'lapel add' again for it."
        )


def test_batches_have_the_size_asked_for() -> None:
    encoder = RowEncoder()
    run(Pipeline(encoder, read=read), *(PhotoTask(uri="red") for _ in range(7)), batch=3)
    assert encoder.sizes == [3, 3, 1]


def test_without_an_encoder_only_features_are_derived() -> None:
    (task,) = run(Pipeline(features=(WIDTH,), read=read), PhotoTask(uri="red"))
    assert (task.features, task.vector, task.pixels) == ({("width", "1"): b"\x0a"}, None, None)


# --- on a runner ------------------------------------------------------------------------------------------------------


class Pickling:
    """A runner elsewhere, as far as what is handed over goes: everything is pickled on the way there and back."""

    remote = True

    def map(self, make: Any, items: Iterable[Any]) -> Iterator[Any]:
        work = pickle.loads(pickle.dumps(make))()
        for item in items:
            yield pickle.loads(pickle.dumps(work(pickle.loads(pickle.dumps(item)))))


def photos_of(row: dict[str, Any]) -> list[PhotoTask]:
    found: list[PhotoTask] = row["photos"]
    return found


def test_elsewhere_and_here_give_the_same(tmp_path: Any) -> None:
    from lapel.encoders import open_encoder

    uris = []
    for name, data in PHOTOS.items():
        (tmp_path / name).write_bytes(data)
        uris.append((tmp_path / name).as_uri())

    def done(runner: Any) -> list[tuple[Any, ...]]:
        pipeline = Pipeline(open_encoder("colour:"), (THUMBNAIL,))
        rows = ({"number": n, "photos": [PhotoTask(uri=uri)]} for n, uri in enumerate(uris))
        return [
            (
                row["number"],
                task.sha256,
                task.features,
                None if task.vector is None else task.vector.tobytes(),
                task.problem,
            )
            for row in pipeline.map(runner, rows, photos_of, spec="colour:")
            for task in row["photos"]
        ]

    here = done(open_runner("threads:"))
    assert here == done(Pickling())
    assert [number for number, *_ in here] == [0, 1, 2, 3]
    assert [bool(problem) for *_, problem in here] == [False, False, False, True]


def test_a_list_of_tasks_is_a_batch_and_closing_early_stops() -> None:
    asked: list[str] = []

    def batches() -> Iterator[list[PhotoTask]]:
        while True:
            asked.append("red")
            yield [PhotoTask(uri="red")]

    results = Pipeline(RowEncoder(), read=read).map(open_runner("threads:", workers=1), batches())
    assert next(results)[0].vector is not None
    results.close()
    assert len(asked) <= 3


def test_another_model_elsewhere_is_refused() -> None:
    with pytest.raises(ModelMismatchError, match=r"'colour:' on the worker .* is another .*Install the same Lapel"):
        RemoteWorker("colour:", "another").open()
