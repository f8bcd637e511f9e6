"""Finds the product in a person's photo and lays it on white, as a shop would have photographed it.

A small network says of every pixel how likely it is of the product (:mod:`lapel.training.foreground` trains it). What
it finds is cut out,
laid on white and framed as catalogue pictures are, so that any encoder can see the product without the floor it lies
on.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from lapel.core.images import Preprocessing, each_image
from lapel.core.vectors import Vectors, normalise
from lapel.encoders import Encoder, shipped_model
from lapel.encoders.fastest import run_fastest
from lapel.encoders.model import ModelFolder, read_model
from lapel.encoders.network import BATCH, Output, Run

FOLDER = "foreground"
OUTPUT = "mask"
SIDE = 512  # pixels of the longer side that is worked on; no encoder here sees more
LIKELY = (0.3, 0.7)  # below the first a pixel is background, above the second product, and a mixture in between
SHARE = (0.02, 0.97)  # of the picture: what is smaller than the first or larger than the second is no product
PART = 0.15  # a part this small beside the largest one is not of the product; a pair of shoes has two large ones
EDGE = 0.8  # of a picture's edge has one colour where its product lies on paper,
EVEN = 20  # to so many of 255 steps,
PAPER = (150, 0.8)  # and that colour is as bright as this and so even a grey: white, in whatever light
FILL = 0.95  # of the new frame's width or height: what products fill in the middle of catalogues

Mask = NDArray[np.float32]  # (height, width), 0..1


class Foreground:
    """The product's finder. Safe to share between threads.

    Args:
        model: Its folder; the network's output ``mask`` is (n, height, width) in 0..1.
    """

    def __init__(self, model: ModelFolder) -> None:
        self.model = model

    @cached_property
    def _run(self) -> Run:
        """What computes the masks: opened for the first photo that is not on white, as most searches of a shop's own
        pictures need none."""
        return run_fastest(self.model, output=OUTPUT)[0]

    def masks(self, pictures: Iterable[object]) -> list[Mask]:
        """How likely each pixel is of the product: one (height, width) mask for each picture, of its own size."""
        preprocessing = self.model.preprocessing
        found: list[Mask] = []
        images = list(each_image(pictures))
        for at in range(0, len(images), BATCH):
            part = images[at : at + BATCH]
            output = self._run(preprocessing.batch(part))
            found += [
                _back(_main_parts(mask), picture, preprocessing) for mask, picture in zip(output, part, strict=True)
            ]
        return found

    def cut_out(self, pictures: Iterable[object], *, shape: Preprocessing) -> list[Image.Image | None]:
        """The product of each picture on white.

        Args:
            pictures: Of any size and kind, see :func:`lapel.core.images.each_image`.
            shape: Of whose width to height the new pictures are.

        Returns:
            For each an RGB picture, or None where no product was found, or it is on white already.
        """
        small = [_shrink(picture) for picture in each_image(pictures)]
        asked = [not _on_paper(picture) for picture in small]
        masks = iter(self.masks([picture for picture, ask in zip(small, asked, strict=True) if ask]))
        return [_lay(picture, next(masks), shape) if ask else None for picture, ask in zip(small, asked, strict=True)]


def _shrink(picture: Image.Image) -> Image.Image:
    if max(picture.size) <= SIDE:
        return picture
    scale = SIDE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)


def _on_paper(picture: Image.Image) -> bool:
    """Whether the product lies on white already, as in a shop's own pictures, in whatever light."""
    pixels = np.asarray(picture)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]).astype(np.float32)
    middle = np.median(edge, axis=0)
    even = (np.abs(edge - middle).max(axis=1) <= EVEN).mean() >= EDGE
    return bool(even and middle.min() >= max(PAPER[0], PAPER[1] * middle.max()))


def _main_parts(mask: Output) -> Output:
    """A mask without the specks beside its largest part."""
    parts, _ = ndimage.label(mask > LIKELY[0])
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.where(np.isin(parts, np.flatnonzero(sizes >= max(1, PART * sizes.max()))), mask, 0)


def _back(mask: Output, picture: Image.Image, preprocessing: Preprocessing) -> Mask:
    """A mask of the network's input -> that of the picture, without the padding."""
    left, top, width, height = preprocessing.place(*picture.size)
    part = Image.fromarray(np.ascontiguousarray(mask[top : top + height, left : left + width], np.float32))
    return np.asarray(part.resize(picture.size, Image.Resampling.BILINEAR))


def _lay(picture: Image.Image, mask: Mask, shape: Preprocessing) -> Image.Image | None:
    """The part of a picture that a mask shows, in the middle of a white frame."""
    alpha = np.clip((mask - LIKELY[0]) / (LIKELY[1] - LIKELY[0]), 0, 1)
    inside = alpha > 0.5
    if not SHARE[0] <= inside.mean() <= SHARE[1]:
        return None
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    width, height = box[2] - box[0], box[3] - box[1]
    scale = max(width / shape.width, height / shape.height) / FILL
    frame = Image.new("RGB", (round(shape.width * scale), round(shape.height * scale)), shape.background)
    at = ((frame.width - width) // 2, (frame.height - height) // 2)
    frame.paste(picture.crop(box), at, Image.fromarray((alpha * 255).astype(np.uint8)).crop(box))
    return frame


def encode_photos(encoder: Encoder, photos: Iterable[object]) -> Vectors:
    """The look of the product in each of N photos: the mean direction of the whole photo and of the product alone, (n,
    dim) unit rows.

    The product alone knows no floor; the whole photo knows the light, and helps where the product was found badly.
    """
    photos = list(each_image(photos))
    vectors = encoder.encode(photos)
    products = open_foreground().cut_out(photos, shape=encoder.preprocessing)
    found = [row for row, product in enumerate(products) if product is not None]
    if not found:
        return vectors
    vectors[found] += encoder.encode([product for product in products if product is not None])
    return normalise(vectors)


@cache
def open_foreground() -> Foreground:
    """The finder that comes with Lapel.

    Raises:
        ModelError: its folder cannot be read; or later, at the first photo, no runtime can run it.
    """
    return Foreground(read_model(shipped_model(FOLDER)))
