"""The encoder door: unit vectors, fingerprints, model folders and what is said when one is broken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lapel
from lapel.core.errors import InputError, ModelError
from lapel.core.images import Preprocessing
from lapel.encoders import Encoder, default_model, open_encoder
from lapel.encoders.model import fingerprint, read_model


def picture(colour: tuple[int, int, int], size: tuple[int, int] = (60, 80)) -> Image.Image:
    image = Image.new("RGB", size, "white")
    image.paste(colour, (15, 20, 45, 60))
    return image


@pytest.fixture(scope="module", params=["colour:", "default"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return open_encoder(request.param)


def test_gives_float32_unit_rows(encoder: Encoder) -> None:
    vectors = encoder.encode([picture((200, 0, 0)), picture((0, 0, 200), (33, 200))])
    assert vectors.shape == (2, 128)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert encoder.dim == 128


def test_no_pictures_give_no_rows(encoder: Encoder) -> None:
    assert encoder.encode([]).shape == (0, 128)


def test_a_picture_is_encoded_the_same_alone_and_in_a_batch(encoder: Encoder) -> None:
    pictures = [picture((step * 6, 40, 120)) for step in range(40)]
    together = encoder.encode(pictures)
    alone = encoder.encode(pictures[37:38])
    assert np.allclose(together[37], alone[0], atol=2e-3)


def test_pixels_and_pictures_take_the_same_path(encoder: Encoder) -> None:
    pictures = [picture((10, 90, 30)), picture((250, 240, 10))]
    assert np.array_equal(encoder.encode(pictures), encoder.encode_pixels(encoder.preprocessing.batch(pictures)))


def test_alike_is_closer_than_different(encoder: Encoder) -> None:
    red, dark_red, blue = encoder.encode([picture((220, 20, 20)), picture((200, 25, 25)), picture((20, 20, 220))])
    assert red @ dark_red > red @ blue


def test_a_blank_picture_has_a_direction_too(encoder: Encoder) -> None:
    vectors = encoder.encode([Image.new("RGB", (10, 10), "white"), Image.new("RGB", (10, 10), "black")])
    assert np.isfinite(vectors).all()
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_the_fingerprint_knows_weights_and_preprocessing() -> None:
    plain = Preprocessing(112, 84)
    first = fingerprint("weights", plain, 128)
    assert first == fingerprint("weights", Preprocessing(112, 84), 128)
    assert (
        len(
            {
                first,
                fingerprint("other", plain, 128),
                fingerprint("weights", Preprocessing(112, 84, resample="lanczos"), 128),
            }
        )
        == 3
    )


def test_the_package_offers_it() -> None:
    assert lapel.open_encoder("default").fingerprint == read_model(default_model()).fingerprint


def test_the_shipped_network_agrees_with_the_one_that_was_trained() -> None:
    """``reference.npz`` holds the trained network's own float32 vectors of pictures of the sample wardrobe."""
    reference = np.load(default_model() / "reference.npz")
    vectors = open_encoder("default").encode_pixels(reference["pixels"])
    cosine = np.einsum("nd,nd->n", vectors, reference["vectors"])
    assert cosine.min() > 0.95
    assert cosine.mean() > 0.98
    # What a search does with them: every picture is nearest to itself.
    assert (np.argmax(vectors @ reference["vectors"].T, axis=1) == np.arange(len(vectors))).mean() >= 0.9


def test_the_shipped_network_is_small_enough_to_ship() -> None:
    assert (default_model() / "network.onnx").stat().st_size < 30_000_000


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(default_model(), tmp_path / "model"))


def test_a_copied_folder_is_the_same_model(copied: Path) -> None:
    assert open_encoder(str(copied)).fingerprint == open_encoder("default").fingerprint


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(ModelError, match=r"no model folder 'nowhere'.*'default'"):
        open_encoder("nowhere")


def test_a_folder_without_manifest_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no model\.json"):
        open_encoder(str(tmp_path))


def test_a_cut_network_is_noticed(copied: Path) -> None:
    network = copied / "network.onnx"
    network.write_bytes(network.read_bytes()[:100_000])
    with pytest.raises(ModelError, match=r"not the one model\.json was written for.*Copy"):
        open_encoder(str(copied))


def test_a_network_that_is_none_is_told(copied: Path) -> None:
    import hashlib

    (copied / "network.onnx").write_bytes(b"nothing")
    manifest = json.loads((copied / "model.json").read_text())
    manifest["sha256"] = hashlib.sha256(b"nothing").hexdigest()
    (copied / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="cannot be run"):
        open_encoder(str(copied))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "reads format 1"),
        ({"dim": "wide"}, "cannot be read"),
        ({"preprocessing": {"height": 0, "width": 3}}, "positive size"),
    ],
)
def test_a_wrong_manifest_is_told(copied: Path, change: dict[str, object], message: str) -> None:
    manifest = json.loads((copied / "model.json").read_text())
    (copied / "model.json").write_text(json.dumps({**manifest, **change}))
    with pytest.raises(ModelError, match=message):
        open_encoder(str(copied))


def test_an_unknown_scheme_lists_those_there_are() -> None:
    with pytest.raises(InputError, match=r"No encoder is called 'magic:'.*colour:.*onnx:"):
        open_encoder("magic:9")


def test_the_colour_encoder_has_no_settings() -> None:
    with pytest.raises(InputError, match="no settings"):
        open_encoder("colour:64")
