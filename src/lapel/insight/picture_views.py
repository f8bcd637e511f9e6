"""New pictures as copies of others are looked for: each whole, and what lies in a scene cut out of it as well.

A shop's picture is on white. Laid on a floor, or photographed from there, it is a small part of another picture, which
neither its vector nor its pixels show; cut out and laid on white again, it is nearly what it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lapel.core.vectors import Vectors
from lapel.encoders import Encoder
from lapel.encoders.segmenter import embed_images
from lapel.engine.picture_hash import PictureHashes, hash_of, read_hashes
from lapel.insight.copy_check import small_picture


class PictureViews(NamedTuple):
    """m views of n pictures: first the n whole ones, then the products that were found in some of them, on white.

    Attributes:
        of: (m,) int64: which picture each is a view of.
        squares: (m, 48, 48, 3) uint8 RGB, see :class:`~lapel.insight.copy_check.SmallPicture`.
        ratios: (m,) float64 widths over heights.
        looks: Their hashes.
        vectors: (m, dim) float32 unit rows.
    """

    of: NDArray[np.int64]
    squares: NDArray[np.uint8]
    ratios: NDArray[np.float64]
    looks: PictureHashes
    vectors: Vectors

    @property
    def whole(self) -> PictureViews:
        """The n pictures as they are."""
        return self._rows(slice(0, self._pictures))

    @property
    def products(self) -> PictureViews:
        """What was found in them."""
        return self._rows(slice(self._pictures, None))

    @property
    def _pictures(self) -> int:
        return int(self.of.max(initial=-1)) + 1

    def of_pictures(self, start: int, stop: int) -> PictureViews:
        """The views of some pictures, which are numbered from 0 on."""
        some = self._rows((self.of >= start) & (self.of < stop))
        return some._replace(of=some.of - start)

    def beside(self, more: PictureViews) -> PictureViews:
        """These views and more of the same pictures."""
        looks = PictureHashes(*(np.concatenate(each) for each in zip(self.looks, more.looks, strict=True)))
        return PictureViews(
            np.concatenate([self.of, more.of]),
            np.concatenate([self.squares, more.squares]),
            np.concatenate([self.ratios, more.ratios]),
            looks,
            np.concatenate([self.vectors, more.vectors]),
        )

    def _rows(self, rows: slice | NDArray[np.bool_]) -> PictureViews:
        return PictureViews(
            self.of[rows], self.squares[rows], self.ratios[rows], self.looks.of(rows), self.vectors[rows]
        )


def joined(parts: Sequence[PictureViews]) -> PictureViews:
    """The views of the pictures of several parts, one part after the other."""
    starts = np.cumsum([0, *(part._pictures for part in parts)])
    parts = [part._replace(of=part.of + start) for part, start in zip(parts, starts, strict=False)]
    sizes = np.diff(starts).tolist()
    whole = [part._rows(slice(0, size)) for part, size in zip(parts, sizes, strict=True)]
    products = [part._rows(slice(size, None)) for part, size in zip(parts, sizes, strict=True)]
    return reduce(PictureViews.beside, [*whole, *products])


def views_of(encoder: Encoder, images: Sequence[Image.Image]) -> PictureViews:
    """Encode and hash pictures and the products in them.

    Args:
        encoder: What makes the vectors.
        images: Upright RGB images.

    Raises:
        ModelError: the network that finds products cannot be run.
    """
    embedded = embed_images(encoder, images)
    found = [(at, product) for at, product in enumerate(embedded.products) if product is not None]
    cut = [at for at, _ in found]
    seen = [*images, *(product for _, product in found)]
    small = [small_picture(image) for image in seen]
    return PictureViews(
        np.array([*range(len(images)), *cut], np.int64),
        np.stack([each.square for each in small]),
        np.array([each.ratio for each in small]),
        read_hashes([hash_of(image) for image in seen]),
        np.concatenate([embedded.whole, embedded.product[cut]]),
    )
