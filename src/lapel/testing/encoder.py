# ruff: noqa: D102
"""What every encoder must do, as tests that any backend inherits: :class:`EncoderContract`.

A package that brings an encoder subclasses it in its own tests and says how one is opened; pytest finds the inherited
tests by the subclass's name::

    from lapel.testing import EncoderContract

    class TestMine(EncoderContract):
        def open(self):
            return MyEncoder()

``lapel.encoders`` is the entry-point group that makes ``open_encoder("mine:...")`` find it.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from lapel.core.errors import ImageError, ModelError
from lapel.core.vectors import check_vectors, normalise
from lapel.encoders import BATCH, Encoder

Colour = tuple[int, int, int]


def product(colour: Colour, size: tuple[int, int] = (60, 80)) -> Image.Image:
    """A box of one colour on white."""
    image = Image.new("RGB", size, "white")
    image.paste(colour, (size[0] // 4, size[1] // 4, 3 * size[0] // 4, 3 * size[1] // 4))
    return image


IMAGES = [product((step * 7, 40, 120)) for step in range(BATCH + 1)]  # more than a batch


class EncoderContract:
    """Subclass it, give ``open``, and every test below runs against your encoder."""

    tolerance = 2e-3  # how far a vector may move with what is encoded beside it: 8-bit networks round differently

    def open(self) -> Encoder:
        """A new encoder, of the same model each time."""
        raise NotImplementedError

    _opened: ClassVar[dict[type, Encoder]] = {}

    @pytest.fixture
    def encoder(self) -> Encoder:
        """One for all tests of the class, as opening may take seconds."""
        if type(self) not in self._opened:
            self._opened[type(self)] = self.open()
        return self._opened[type(self)]

    def test_it_says_what_it_is(self, encoder: Encoder) -> None:
        assert encoder.name
        assert encoder.spec
        assert encoder.dim > 0
        assert re.fullmatch("[0-9a-f]{16}", encoder.fingerprint)
        again = self.open()
        assert (again.fingerprint, again.dim, again.spec) == (encoder.fingerprint, encoder.dim, encoder.spec)

    def test_vectors_are_unit_rows_of_float32(self, encoder: Encoder) -> None:
        vectors = encoder.encode([product((200, 0, 0)), product((0, 0, 200), (33, 200))])
        assert vectors.dtype == np.float32
        assert len(check_vectors(vectors, encoder.dim)) == 2

    def test_no_images_give_no_rows(self, encoder: Encoder) -> None:
        assert encoder.encode([]).shape == (0, encoder.dim)
        none = encoder.embed_pixels(encoder.preprocessing.batch([]))
        assert none.vectors.shape == (0, encoder.dim)
        assert (none.spatial is not None) is encoder.has_spatial

    def test_an_image_is_encoded_the_same_alone_and_in_a_batch(self, encoder: Encoder) -> None:
        together = encoder.encode(IMAGES)
        assert together.shape == (len(IMAGES), encoder.dim)
        assert np.allclose(together[-1], encoder.encode(IMAGES[-1:])[0], atol=self.tolerance)
        assert np.allclose(together, encoder.encode(iter(IMAGES)), atol=self.tolerance)

    def test_pixels_and_images_take_the_same_path(self, encoder: Encoder) -> None:
        pixels = encoder.preprocessing.batch(IMAGES[:2])
        before = pixels.copy()
        assert np.array_equal(encoder.encode(IMAGES[:2]), encoder.encode_pixels(pixels))
        assert np.array_equal(pixels, before)

    def test_one_run_gives_the_same_vectors_and_the_map_they_are_the_mean_of(self, encoder: Encoder) -> None:
        pixels = encoder.preprocessing.batch(IMAGES)
        found = encoder.embed_pixels(pixels)
        assert np.allclose(found.vectors, encoder.encode_pixels(pixels), atol=1e-6)
        assert (found.spatial is not None) is encoder.has_spatial
        if found.spatial is not None:
            assert found.spatial.dtype == np.float32
            assert found.spatial.shape[:2] == (len(IMAGES), encoder.dim)
            assert np.allclose(normalise(found.spatial.mean(axis=(2, 3))), found.vectors, atol=1e-5)
            assert found.spatial.std(axis=(2, 3)).mean() > 1e-3  # places differ

    def test_alike_is_closer_than_different(self, encoder: Encoder) -> None:
        red, dark_red, blue = encoder.encode([product(rgb) for rgb in ((220, 20, 20), (200, 25, 25), (20, 20, 220))])
        assert red @ dark_red > red @ blue

    def test_blank_images_have_a_direction_too(self, encoder: Encoder) -> None:
        check_vectors(
            encoder.encode([Image.new("RGB", (10, 10), colour) for colour in ("white", "black")]), encoder.dim
        )

    def test_one_image_instead_of_several_is_told(self, encoder: Encoder) -> None:
        with pytest.raises(ImageError):
            encoder.encode(product((9, 9, 9)))  # type: ignore[arg-type]
        with pytest.raises(ImageError):
            encoder.encode([None])

    def test_it_reads_words_or_says_that_it_does_not(self, encoder: Encoder) -> None:
        if encoder.has_text:
            assert len(check_vectors(encoder.encode_text(["red dress", "watch"]), encoder.dim)) == 2
            assert encoder.encode_text([]).shape == (0, encoder.dim)
            assert "zorblax" in encoder.known_words("zorblax dress").unknown
        else:
            for ask in (lambda: encoder.encode_text(["red dress"]), lambda: encoder.known_words("red dress")):
                with pytest.raises(ModelError):
                    ask()

    def test_threads_may_share_it(self, encoder: Encoder) -> None:
        expected = [encoder.encode([image]) for image in IMAGES[:8]]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda image: encoder.encode([image]), IMAGES[:8]))
        assert np.array_equal(np.concatenate(found), np.concatenate(expected))
