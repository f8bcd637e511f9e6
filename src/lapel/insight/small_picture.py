"""A picture as copies are looked for in it: squeezed to a small square, and the hash of its content alone.

An RGB image goes in. The content is what stays when lines of one colour are cut from the sides, and of what such lines
part the tallest piece (the XY cut of Nagy and Seth 1984, "Hierarchical Representation of Optically Scanned Documents"):
a product without the white around it, the frame, or the bars and words of a phone's screen. Of plain goods it may be a
piece, which copies have in common.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lapel.insight.copy_check import Squares, square
from lapel.insight.picture_hash import hashes_of

EDGE = 120  # pixels of the longer side in which lines are looked at
ONE_COLOUR = 14  # grey levels between which 92 of 100 pixels of a line of one colour lie
ENDS = 0.04  # of a line, at either end of its colours, that say nothing: noise, a letter
LEAST = 12  # pixels of the content's sides: below, the whole picture is its content

Box = tuple[float, float, float, float]


class SmallPicture(NamedTuple):
    """One picture.

    Attributes:
        square: (48, 48, 3) uint8 RGB, squeezed.
        ratio: Its width over its height.
        hashes: (2, 32) uint8: of the whole, and of its content.
        quality: 0..100, how much there is to hash, see :mod:`lapel.insight.picture_hash`.
    """

    square: Squares
    ratio: float
    hashes: NDArray[np.uint8]
    quality: int


def small_picture(image: Image.Image) -> SmallPicture:
    """An upright RGB image made small."""
    whole, ratio = square(image)
    left, top, right, bottom = content_box(image)
    width, height = image.size
    content, _ = square(
        image.crop((round(left * width), round(top * height), round(right * width), round(bottom * height)))
    )
    hashes, quality = hashes_of(np.stack([whole, content]))
    return SmallPicture(whole, ratio, hashes, int(quality[0]))


def content_box(image: Image.Image) -> Box:
    """Where a picture's content lies: left, top, right and bottom in 0..1 of its sides."""
    scale = EDGE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    way = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    pixels = np.asarray(image.resize(size, way, reducing_gap=2.0).convert("L"))
    height, width = pixels.shape
    left, top, right, bottom = 0, 0, width, height
    while True:
        before = left, top, right, bottom
        columns = np.flatnonzero(_busy(pixels[top:bottom, left:right], axis=0))
        if not len(columns):
            break
        left, right = left + int(columns[0]), left + int(columns[-1]) + 1
        rows = np.concatenate([[False], _busy(pixels[top:bottom, left:right], axis=1), [False]])
        edges = np.flatnonzero(rows[1:] != rows[:-1])
        if not len(edges):
            break
        tallest = int(np.argmax(edges[1::2] - edges[::2]))
        top, bottom = top + int(edges[2 * tallest]), top + int(edges[2 * tallest + 1])
        if (left, top, right, bottom) == before:
            break
    if right - left < LEAST or bottom - top < LEAST:
        return 0.0, 0.0, 1.0, 1.0
    return left / width, top / height, right / width, bottom / height


def _busy(pixels: NDArray[np.uint8], axis: int) -> NDArray[np.bool_]:
    """Which lines along an axis have more than one lightness."""
    last = pixels.shape[axis] - 1
    low, high = int(last * ENDS), last - int(last * ENDS)
    ranked = np.partition(pixels, (low, high), axis=axis)
    spread = ranked.take(high, axis=axis).astype(np.int16) - ranked.take(low, axis=axis)
    return np.asarray(spread >= ONE_COLOUR, np.bool_)
