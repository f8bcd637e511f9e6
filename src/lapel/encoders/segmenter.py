"""Finds the product in a person's photo and lays it on white, as a shop would have photographed it.

A small network says of every pixel how likely it is of the product (:mod:`lapel.training.foreground` trains it). What
it finds is laid on white and framed as catalogue photos are, so that any encoder can see the product without the floor
it lies on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from lapel.core.images import Preprocessing, each_image
from lapel.core.queries import Frame, PlaceMap
from lapel.core.vectors import Vectors, normalise
from lapel.encoders import BATCH, Encoder, shipped_model
from lapel.encoders.fastest import load_fastest
from lapel.encoders.model import ModelFolder, read_model
from lapel.encoders.network import Network, Output

MODEL_NAME = "foreground"
OUTPUT = "mask"
MAX_SIDE = 512  # pixels of the longer side that is worked on; no encoder here sees more
PROBABILITY_BAND = (0.3, 0.7)  # below the first a pixel is background, above the second product, between them a mixture
AREA_RANGE = (0.02, 0.97)  # shares of the image: what is smaller than the first or larger than the second is no product
MIN_PART = 0.15  # share of the largest part: a smaller one is not of the product; a pair of shoes has two large ones
MIN_EVEN_EDGE = 0.8  # share of an image's edge that has one colour where its product is on a white background,
EDGE_TOLERANCE = 20  # of 255 steps: what still is one colour,
MIN_WHITE = (150, 0.8)  # least channel of that colour, of 255 and as a share of its largest: white, in whatever light
TINY = 1e-12  # what lengths are divided by at least
FRAME_FILL = 0.95  # of the new frame's width or height: what products fill in the middle of catalogues

Mask = NDArray[np.float32]  # (height, width), 0..1


@dataclass(frozen=True)
class CutOut:
    """A product that was found in an image.

    Attributes:
        image: It on white, RGB.
        frame: Where that new image lies in the old one: left, top, right and bottom as shares of the old one's width
            and height; it may reach beyond 0..1.
    """

    image: Image.Image
    frame: Frame


class Segmenter:
    """Finds products. Safe to share between threads.

    Args:
        model: Its folder; the network's output ``mask`` is (n, height, width) in 0..1.
    """

    def __init__(self, model: ModelFolder) -> None:
        self.model = model

    @cached_property
    def _network(self) -> Network:
        """Opened for the first image that is not on white, as most searches of a shop's own photos need none."""
        return load_fastest(self.model)

    def masks(self, images: Iterable[object]) -> list[Mask]:
        """How likely each pixel is of the product: one (height, width) mask for each image, of its own size."""
        preprocessing = self.model.preprocessing
        found: list[Mask] = []
        every = list(each_image(images))
        for at in range(0, len(every), BATCH):
            part = every[at : at + BATCH]
            output = self._network.run(preprocessing.batch(part), OUTPUT)
            found += [_unpad(_main_parts(mask), image, preprocessing) for mask, image in zip(output, part, strict=True)]
        return found

    def segment(self, images: Iterable[object], *, shape: Preprocessing) -> list[Image.Image | None]:
        """The product of each image on white.

        Args:
            images: Of any size and kind, see :func:`lapel.core.images.each_image`.
            shape: Of whose width to height the new images are.

        Returns:
            For each an RGB image, or None where no product was found, or it is on white already.
        """
        return [None if found is None else found.image for found in self.cut_out(images, shape=shape)]

    def cut_out(
        self, images: Iterable[object], *, shape: Preprocessing, on_white: Sequence[bool] | None = None
    ) -> list[CutOut | None]:
        """The product of each image on white, as :meth:`segment` gives it, with where it was; ``on_white`` says which
        of them :func:`has_white_background`, where that is known."""
        small = [_shrink(image) for image in each_image(images)]
        white = [has_white_background(image) for image in small] if on_white is None else on_white
        asked = [not (known or is_one_colour(image)) for image, known in zip(small, white, strict=True)]
        masks = iter(self.masks([image for image, ask in zip(small, asked, strict=True) if ask]))
        return [_frame(image, next(masks), shape) if ask else None for image, ask in zip(small, asked, strict=True)]


def has_white_background(image: Image.Image) -> bool:
    """Whether the product is on white already, as in a shop's own photos, in whatever light."""
    pixels = np.asarray(image)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]).astype(np.float32)
    ordered = np.sort(edge, axis=0)
    middle = (ordered[(len(edge) - 1) // 2] + ordered[len(edge) // 2]) / 2  # the median, which takes longer by its name
    red, green, blue = (np.abs(edge - middle) <= EDGE_TOLERANCE).T  # together at once, as all(axis=1), in a third
    even = np.count_nonzero(red & green & blue) / len(edge) >= MIN_EVEN_EDGE
    return bool(even and middle.min() >= max(MIN_WHITE[0], MIN_WHITE[1] * middle.max()))


def is_one_colour(image: Image.Image) -> bool:
    """Whether nothing can be seen in an image, such as one taken with the lens covered."""
    at, spreads = np.array([0.01, 0.99]) * (image.width * image.height - 1), []
    for counts in np.reshape(image.histogram(), (3, 256)):  # percentiles of all pixels, in a tenth of the time
        levels = np.flatnonzero(counts)
        ends = np.cumsum(counts[levels])
        low, high = np.interp(at, np.stack([ends - counts[levels], ends - 1], axis=1).ravel(), np.repeat(levels, 2))
        spreads.append(high - low)
    return bool(max(spreads) <= EDGE_TOLERANCE)


def _shrink(image: Image.Image) -> Image.Image:
    if max(image.size) <= MAX_SIDE:
        return image
    scale = MAX_SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)


def _main_parts(mask: Output) -> Output:
    """A mask without the specks beside its largest part."""
    parts, _ = ndimage.label(mask > PROBABILITY_BAND[0])
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.where(np.isin(parts, np.flatnonzero(sizes >= max(1, MIN_PART * sizes.max()))), mask, 0)


def _unpad(mask: Output, image: Image.Image, preprocessing: Preprocessing) -> Mask:
    """A mask of the network's input -> that of the image, without the padding."""
    left, top, width, height = preprocessing.place(*image.size)
    part = Image.fromarray(np.ascontiguousarray(mask[top : top + height, left : left + width], np.float32))
    return np.asarray(part.resize(image.size, Image.Resampling.BILINEAR))


def _frame(image: Image.Image, mask: Mask, shape: Preprocessing) -> CutOut | None:
    """The part of an image that a mask shows, in the middle of a white frame."""
    low, high = PROBABILITY_BAND
    alpha = np.clip((mask - low) / (high - low), 0, 1)
    inside = alpha > 0.5
    if not AREA_RANGE[0] <= inside.mean() <= AREA_RANGE[1]:
        return None
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    width, height = box[2] - box[0], box[3] - box[1]
    scale = max(width / shape.width, height / shape.height) / FRAME_FILL
    frame = Image.new("RGB", (round(shape.width * scale), round(shape.height * scale)), shape.background)
    at = ((frame.width - width) // 2, (frame.height - height) // 2)
    frame.paste(image.crop(box), at, Image.fromarray((alpha * 255).astype(np.uint8)).crop(box))
    left, top = box[0] - at[0], box[1] - at[1]
    sides = (left, top, left + frame.width, top + frame.height)
    return CutOut(frame, _shares(sides, image.size))


def _shares(box: tuple[int, int, int, int], size: tuple[int, int]) -> Frame:
    (left, top, right, bottom), (width, height) = box, size
    return left / width, top / height, right / width, bottom / height


def input_frame(image: Image.Image, shape: Preprocessing, inside: Frame = (0.0, 0.0, 1.0, 1.0)) -> Frame:
    """Where a network's input lies in an image, see :attr:`PlaceMap.frame`.

    Args:
        image: What the input was made of.
        shape: How.
        inside: Where that lies in another image, in whose shares the frame is given.
    """
    left, top, width, height = shape.place(*image.size)
    own = _shares((-left, -top, shape.width - left, shape.height - top), (width, height))
    x, y, right, bottom = inside
    return (
        x + own[0] * (right - x),
        y + own[1] * (bottom - y),
        x + own[2] * (right - x),
        y + own[3] * (bottom - y),
    )


@dataclass(frozen=True)
class ImageEmbeddings:
    """N images as a search sees them: each whole, and its product alone.

    The product alone knows no floor; the whole image knows the light, and helps where the product was found badly.

    Attributes:
        whole: (n, dim) float32 unit rows, of the images as they are.
        product: (n, dim) float32 unit rows, of the product on white; a row of zeros where none was found.
        vectors: (n, dim) float32 unit rows, what to search with: the mean direction of the two.
        products: For each image its product on white, RGB; None where none was found, or it is on white already.
        maps: For each image what each place of it adds to its vector: the image's map, and the product's where one was
            found; none where the encoder gives no maps.
        on_white: (n,) bool, whether each image is on white.
        strengths: (n, 2) float32, how strongly the network answers to each whole image: the length of its map's
            mean and the greatest length of a place; NaN where the encoder gives no maps.
    """

    whole: Vectors
    product: Vectors
    vectors: Vectors
    products: list[Image.Image | None]
    maps: list[tuple[PlaceMap, ...]]
    on_white: NDArray[np.bool_]
    strengths: NDArray[np.float32]


def embed_images(encoder: Encoder, images: Iterable[object], *, segment: bool = True) -> ImageEmbeddings:
    """Encode images and the products in them: one segmentation and one batched encoding for both.

    Args:
        encoder: What makes the vectors.
        images: Of any size and kind, see :func:`lapel.core.images.each_image`.
        segment: Whether to look for products; without, ``vectors`` are ``whole``.

    Raises:
        ImageError: one of them is none, or a single image was given.
        ModelError: the segmenter's network cannot be run.
    """
    pictures: list[Image.Image] = list(each_image(images))
    small = [_shrink(image) for image in pictures]
    cuts: list[CutOut | None] = [None] * len(pictures)
    on_white = [has_white_background(image) for image in small]
    if segment:
        cuts = open_segmenter().cut_out(small, shape=encoder.preprocessing, on_white=on_white)
    found = [row for row, cut in enumerate(cuts) if cut is not None]
    seen = [*pictures, *(cut.image for cut in cuts if cut is not None)]
    encoded, spatial = _encoded(encoder, seen)
    whole = encoded[: len(pictures)]
    product = np.zeros_like(whole)
    product[found] = encoded[len(pictures) :]
    vectors = whole.copy()  # where no product was found they stay to the bit what they are
    vectors[found] = normalise(whole[found] + product[found])
    maps = _maps(encoder, pictures, cuts, spatial)
    strengths = np.full((len(pictures), 2), np.nan, np.float32)
    if spatial is not None:
        own = spatial[: len(pictures)]
        strengths[:, 0] = np.linalg.norm(own.mean(axis=(2, 3)), axis=1)
        strengths[:, 1] = np.linalg.norm(own, axis=1).max(axis=(1, 2), initial=0)
    products = [None if cut is None else cut.image for cut in cuts]
    return ImageEmbeddings(whole, product, vectors, products, maps, np.array(on_white, bool), strengths)


def _encoded(encoder: Encoder, images: Sequence[Image.Image]) -> tuple[Vectors, NDArray[np.float32] | None]:
    """(n, dim) vectors, and the maps (n, dim, h, w) where the encoder has them."""
    if not getattr(encoder, "has_spatial", False) or not images:
        return encoder.encode(images), None
    parts = [encoder.embed_pixels(pixels) for pixels in encoder.preprocessing.batches(images, BATCH)]
    spatial = [part.spatial for part in parts if part.spatial is not None]
    return np.concatenate([part.vectors for part in parts]), np.concatenate(spatial)


def _maps(
    encoder: Encoder,
    images: Sequence[Image.Image],
    cuts: Sequence[CutOut | None],
    places: NDArray[np.float32] | None,
) -> list[tuple[PlaceMap, ...]]:
    """The maps of each image: its own, and its product's, scaled so that their sum has length 1."""
    if places is None:
        return [()] * len(images)
    places = places / np.maximum(np.linalg.norm(places.sum(axis=(2, 3)), axis=1), TINY)[:, None, None, None]
    found, shape, of_cut = [], encoder.preprocessing, iter(places[len(images) :])
    for own, image, cut in zip(places, images, cuts, strict=False):
        maps = [PlaceMap(own, input_frame(image, shape))]
        if cut is not None:
            maps.append(PlaceMap(next(of_cut), input_frame(cut.image, shape, cut.frame)))
            length = np.linalg.norm(sum(each.values.sum(axis=(1, 2)) for each in maps))
            maps = [PlaceMap(each.values / max(float(length), TINY), each.frame) for each in maps]
        found.append(tuple(maps))
    return found


@cache
def open_segmenter() -> Segmenter:
    """The segmenter that comes with Lapel.

    Raises:
        ModelError: its folder cannot be read; or later, at the first image, no runtime can run it.
    """
    return Segmenter(read_model(shipped_model(MODEL_NAME)))
