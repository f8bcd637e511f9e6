"""What can be wrong with a photo, as figures: size, sharpness, light, clutter, what is cut, parts, writing.

An upright RGB image goes in, 16 float32 figures come out (:data:`MEASURES`). They are facts of the picture; what is too
much is decided where they are judged (:mod:`lapel.insight.audit_photos`). On a white background the product is what
differs from it; elsewhere the segmenter finds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from lapel.core.colours import to_lab
from lapel.core.images import Pixels
from lapel.encoders.segmenter import has_white_background, is_one_colour, open_segmenter

SIDE = 320  # pixels of the longer side that is looked at
NEAR_BACKGROUND = 24  # of 255 steps: what is so near to the edge's colour and connected to it is background
PRODUCT = 0.5  # probability from which on a pixel is of the product
SPECK = 0.0015  # share of the image, below which a part is a speck
PART = 0.25  # share of the largest part, from which on another part is a product too
STROKE = 0.02  # share of the image, above which a part is no letter
LETTERS_APART = 1.2  # heights: letters of a word are nearer, and words too
OFF_LINE = 0.3  # heights: how far letters are above or below each other
LEAST_LETTER = 5  # pixels of 320: smaller ones cannot be told from grain
SHAPE = 25.0  # CIELAB for each e-fold in width or height, of how unlike two parts are
LEAST_SLOPE = 4.0  # of 255 steps a pixel: less steep ones are folds and shadows
LEAST_HEIGHT = 32.0  # of 255 steps: lower edges are white on white
BESIDE = 0.2  # share of the narrower part's width, up to which two parts that overlap stand side by side
STRONG = 0.02  # share of the pixels with the steepest slopes: edges
THIN = 9  # pixels: strokes of letters are thinner
STANDS_OUT = 20  # of 255 steps: how much brighter or darker than what is around
ACROSS = 4  # pixels to either side, within which an edge's whole height is seen


class Measures(NamedTuple):
    """Figures of one photo; NaN where it cannot be told.

    Attributes:
        width, height: Pixels of the image as it is.
        edge_width: Pixels over which strong edges rise, in the image scaled to 320 pixels: 1 to 2 where it is sharp.
        light: 95th percentile of the luma, 0..255.
        contrast: 95th less 5th percentile.
        on_white: 1 where the background is white.
        area: Share of the image that is product.
        clutter: Share of the background that is edges.
        cut_left, cut_top, cut_right, cut_bottom: Share of that side along which the product lies.
        parts: Parts as large as a quarter of the largest that stand side by side.
        unlike: How unlike the two largest parts are, 0 with one: the CIELAB distance of their mean colours, and 25
            for each e-fold by which their widths and heights differ.
        letters: Small parts beside the product that stand in a row.
        strokes: Thin parts anywhere, of one brightness, that stand in a row, as writing over a product does.
    """

    width: float
    height: float
    edge_width: float
    light: float
    contrast: float
    on_white: float
    area: float
    clutter: float
    cut_left: float
    cut_top: float
    cut_right: float
    cut_bottom: float
    parts: float
    unlike: float
    letters: float
    strokes: float


@dataclass(frozen=True)
class Sampled:
    """What of an image is looked at."""

    width: int
    height: int
    pixels: Pixels


def sample(image: Image.Image) -> Sampled:
    """The image with a longer side of 320 pixels at most."""
    scale = min(1.0, SIDE / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image if scale == 1 else image.resize(size, Image.Resampling.BOX)
    return Sampled(image.width, image.height, np.asarray(small.convert("RGB")))


def qualities(samples: Sequence[Sampled]) -> list[bytes]:
    """The figures of images that :func:`sample` has seen, 64 bytes each; see :func:`decode_quality`."""
    images = [Image.fromarray(one.pixels) for one in samples]
    white = [has_white_background(image) for image in images]
    blank = [is_one_colour(image) for image in images]
    asked = [image for image, on_white, none in zip(images, white, blank, strict=True) if not on_white and not none]
    masks = iter(open_segmenter().masks(asked)) if asked else iter(())
    found = []
    for one, on_white, none in zip(samples, white, blank, strict=True):
        if none:
            mask = np.zeros(one.pixels.shape[:2], np.bool_)
        else:
            mask = _beside_white(one.pixels) if on_white else next(masks) > PRODUCT
        found.append(np.array(_measure(one, mask, on_white), "<f4").tobytes())
    return found


def decode_quality(data: bytes) -> Measures:
    """Figures that :func:`qualities` wrote."""
    return Measures(*np.frombuffer(data, "<f4").tolist())


def _beside_white(pixels: Pixels) -> NDArray[np.bool_]:
    """Which pixels are not of the even background that reaches in from the edge."""
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]).astype(np.int16)
    middle = np.median(edge, axis=0)
    near = (np.abs(pixels.astype(np.int16) - middle) <= NEAR_BACKGROUND).all(axis=2) | (pixels.min(axis=2) >= 244)
    areas, count = ndimage.label(near)
    outside = np.zeros(count + 1, np.bool_)
    outside[np.concatenate([areas[0], areas[-1], areas[:, 0], areas[:, -1]])] = True
    outside[0] = False
    return np.asarray(~outside[areas], np.bool_)


def _measure(one: Sampled, mask: NDArray[np.bool_], on_white: bool) -> Measures:
    luma = one.pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    slope = np.hypot(ndimage.sobel(luma, 0), ndimage.sobel(luma, 1)) / 8
    low, high = np.percentile(luma, (5, 95))
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    largest = int(sizes.max()) if count else 0
    main = np.flatnonzero(sizes >= max(PART * largest, SPECK * mask.size)) if largest else np.empty(0, np.int64)
    product = np.isin(labels, main)
    beside = _side_by_side(labels, sizes, main)
    sides = (product[:, 0], product[0], product[:, -1], product[-1])
    left, top, right, bottom = (float(side.mean()) for side in sides)
    return Measures(
        one.width,
        one.height,
        _edge_width(luma, slope, float(mask.mean())),
        float(high),
        float(high - low),
        float(on_white),
        float(mask.mean()),
        _clutter(slope, mask),
        left,
        top,
        right,
        bottom,
        float(len(beside)),
        _unlike(one.pixels, labels, sizes, beside),
        _letters(labels, sizes, main, mask.shape),
        _strokes(luma),
    )


def _edge_width(luma: NDArray[np.float32], slope: NDArray[np.float32], area: float) -> float:
    """The height of strong edges over their slope: how many pixels an edge takes. NaN where nothing stands out enough
    to tell, such as white on white."""
    share = min(STRONG, 0.1 * area) if area else STRONG  # a small product has few edges
    steep = slope >= max(float(np.quantile(slope, 1 - share)), LEAST_SLOPE)
    size = 2 * ACROSS + 1
    height = ndimage.maximum_filter(luma, size) - ndimage.minimum_filter(luma, size)
    steep &= height >= LEAST_HEIGHT
    if steep.sum() < 8:
        return float("nan")
    return float(np.median(height[steep] / slope[steep]))


def _clutter(slope: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """Share of the pixels well outside the product where the brightness changes."""
    reach = max(2, round(0.03 * max(mask.shape)))
    outside = ~ndimage.binary_dilation(mask, iterations=reach)
    if outside.mean() < 0.02:
        return float("nan")
    return float((slope[outside] > 6).mean())


def _side_by_side(labels: NDArray[np.int32], sizes: NDArray[np.int64], main: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those parts that stand beside each other, the largest first: the head above a white shirt and the trousers below
    it are no products of their own."""
    boxes = ndimage.find_objects(labels)
    kept: list[tuple[int, int, int]] = []
    for part in main[np.argsort(-sizes[main], kind="stable")].tolist():
        columns = boxes[part - 1][1]
        wide = columns.stop - columns.start
        if all(
            min(columns.stop, stop) - max(columns.start, start) <= BESIDE * min(wide, stop - start)
            for _, start, stop in kept
        ):
            kept.append((part, columns.start, columns.stop))
    return np.array([part for part, _, _ in kept], np.int64)


def _unlike(pixels: Pixels, labels: NDArray[np.int32], sizes: NDArray[np.int64], main: NDArray[np.int64]) -> float:
    if len(main) < 2:
        return 0.0
    two = main[np.argsort(-sizes[main], kind="stable")[:2]].tolist()
    means = [to_lab(pixels[labels == part].astype(np.float64)).mean(axis=0) for part in two]
    boxes = ndimage.find_objects(labels)
    sides = [[side.stop - side.start for side in boxes[part - 1]] for part in two]
    shape = np.abs(np.log(np.array(sides[0]) / np.array(sides[1]))).sum()
    return float(np.linalg.norm(means[0] - means[1]) + SHAPE * shape)


def _letters(
    labels: NDArray[np.int32], sizes: NDArray[np.int64], main: NDArray[np.int64], shape: tuple[int, ...]
) -> float:
    """The most small parts of like height that stand side by side on one line."""
    taken = set(main.tolist())
    found = []
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        if box is None or number in taken or not 4 <= sizes[number] <= STROKE * labels.size:
            continue
        rows, columns = box
        high, wide = rows.stop - rows.start, columns.stop - columns.start
        if LEAST_LETTER <= high <= 0.2 * shape[0] and wide <= 2 * high:
            found.append(((rows.start + rows.stop) / 2, columns.start, columns.stop, high))
    if len(found) < 3:
        return float(len(found))
    table = np.array(sorted(found, key=lambda each: each[1]), np.float64)
    best = 0
    for middle, _, _, high in table.tolist():
        row = table[(np.abs(table[:, 0] - middle) < OFF_LINE * high) & (np.abs(np.log(table[:, 3] / high)) < 0.5)]
        far = np.flatnonzero(row[1:, 1] - row[:-1, 2] > LETTERS_APART * high)
        ends = np.concatenate([[0], far + 1, [len(row)]])
        best = max(best, int(np.diff(ends).max()))
    return float(best)


def _strokes(luma: NDArray[np.float32]) -> float:
    """The most thin bright or dark parts of like height that stand side by side, as letters over a picture do."""
    best = 0.0
    for strokes in (
        luma - ndimage.grey_opening(luma, (THIN, THIN)),
        ndimage.grey_closing(luma, (THIN, THIN)) - luma,
    ):
        labels, count = ndimage.label(strokes > STANDS_OUT, np.ones((3, 3)))
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        best = max(best, _letters(labels, sizes, np.empty(0, np.int64), labels.shape))
    return best
