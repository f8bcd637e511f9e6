"""256-bit hashes of what a picture looks like, whole and of its content alone, how much they can be trusted, and 8 x 8
colours to tell at a glance what only hashes alike.

Made as PDQ (Meta 2019, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm"): the signs of the
16 x 16 lowest frequencies of the cosine transform without the constant ones. PDQ compares with their median, which is
near 0; by the sign alone, the hash of a mirrored picture follows from its own. The quality is 0 where there is nothing
in the picture and 100 where edges are everywhere; below :data:`LEAST_QUALITY` a hash says nothing.

The content is what stays when lines of one colour are cut from the sides, and of what such lines part the tallest piece
(the XY cut of Nagy and Seth 1984, "Hierarchical Representation of Optically Scanned Documents"): a product without the
white around it, the frame, or the bars and words of a phone's screen. Of plain goods it may be a piece, which copies
have in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 48  # pixels of the squares that are hashed: what a shop's thumbnail of 60 x 80 shows
FREQUENCIES = 16  # kept along each side
BYTES = FREQUENCIES * FREQUENCIES // 8
PARTS = 2  # of a picture that are hashed: the whole, and its content
CELLS = 8  # along each side, of which the mean colour is kept
LENGTH = PARTS * (BYTES + CELLS * CELLS * 3) + 1  # bytes that are kept of a picture
LEAST_QUALITY = 20
ROUNDING = 1.0  # of a frequency, which is 0 or else in the hundreds: what CPUs make of a 0 differs
NEAR = 31  # bits: PDQ's own threshold; nine in ten of what is this near is the same picture

EDGE = 120  # pixels of the longer side in which lines are looked at
ONE_COLOUR = 14  # grey levels between which 92 of 100 pixels of a line of one colour lie
ENDS = 0.04  # of a line, at either end of its colours, that say nothing: noise, a letter
LEAST = 12  # pixels of the content's sides: below, the whole picture is its content

Box = tuple[float, float, float, float]
Hashes = NDArray[np.uint8]  # (n, 32)

_STEPS = (np.arange(SIDE) + 0.5) * np.pi / SIDE
_COSINES = np.cos(np.outer(np.arange(1, FREQUENCIES + 1), _STEPS)).astype(np.float32)  # (16, 48): rows of DCT-II


def squeezed(image: Image.Image) -> Image.Image:
    """An image in a square of 48 pixels, whatever its shape."""
    way = Image.Resampling.BOX if min(image.size) > 2 * SIDE else Image.Resampling.LANCZOS
    return image.resize((SIDE, SIDE), way, reducing_gap=2.0)


class PictureHashes(NamedTuple):
    """Of n pictures.

    Attributes:
        hashes: (n, 2, 32) uint8: of the whole, and of its content.
        quality: (n,) uint8 of 0..100, how much there is to hash.
        cells: (n, 2, 8, 8, 3) uint8: mean colours, RGB, of the same parts.
    """

    hashes: NDArray[np.uint8]
    quality: NDArray[np.uint8]
    cells: NDArray[np.uint8]

    def of(self, rows: Any) -> PictureHashes:
        """Those of some pictures."""
        return PictureHashes(self.hashes[rows], self.quality[rows], self.cells[rows])


def sample(image: Image.Image) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """What of an upright RGB image is hashed: (2, 48, 48) uint8 greys of the whole and its content, and (2, 8, 8, 3)
    colours of both."""
    by = min(image.size) // (4 * SIDE)
    image = image.reduce(by) if by > 1 else image  # the fine parts of a large one say nothing here
    parts = Image.new("RGB", (SIDE, PARTS * SIDE))  # one below the other: each step then takes one call
    parts.paste(squeezed(image))
    parts.paste(squeezed(image.crop(_content_pixels(image))), (0, SIDE))
    greys, cells = np.asarray(parts.convert("L")), np.asarray(parts.reduce(SIDE // CELLS))
    return greys.reshape(PARTS, SIDE, SIDE), cells.reshape(PARTS, CELLS, CELLS, 3)


def picture_hashes(samples: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> list[bytes]:
    """What is kept of images that :func:`sample` has seen, 449 bytes each: hashes of the whole and of the content,
    the quality, and the colours.

    >>> len(picture_hashes([sample(Image.linear_gradient("L").convert("RGB"))])[0])
    449
    """
    hashes, quality = hashes_of(np.concatenate([greys for greys, _ in samples]))
    parts, whole = hashes.reshape(len(samples), -1), quality[::PARTS].tolist()
    return [parts[at].tobytes() + bytes([whole[at]]) + cells.tobytes() for at, (_, cells) in enumerate(samples)]


def hash_of(image: Image.Image) -> bytes:
    """What is kept of one upright RGB image."""
    return picture_hashes([sample(image)])[0]


def whole_hash(value: bytes) -> bytes:
    """Of what is kept of an image, the hash of the whole, 32 bytes; none where there is too little in it to tell."""
    return value[:BYTES] if value and value[PARTS * BYTES] >= LEAST_QUALITY else b""


def hamming(a: bytes, b: bytes) -> int:
    """In how many bits two hashes of equal length differ.

    >>> hamming(bytes([0b1100]), bytes([0b1010]))
    2
    """
    return (int.from_bytes(a) ^ int.from_bytes(b)).bit_count()


def read_hashes(values: Sequence[bytes]) -> PictureHashes:
    """What :func:`picture_hashes` made; zeros for what is empty."""
    rows = np.frombuffer(b"".join(each or bytes(LENGTH) for each in values), np.uint8).reshape(-1, LENGTH)
    hashes, quality, cells = np.split(rows, [PARTS * BYTES, PARTS * BYTES + 1], axis=1)
    return PictureHashes(hashes.reshape(-1, PARTS, BYTES), quality[:, 0], cells.reshape(-1, PARTS, CELLS, CELLS, 3))


def hashes_of(greys: NDArray[np.uint8]) -> tuple[Hashes, NDArray[np.uint8]]:
    """Hashes of squares.

    Args:
        greys: (n, 48, 48) uint8.

    Returns:
        (n, 32) uint8 and (n,) uint8 qualities of 0..100.
    """
    grey = greys.astype(np.float32)
    low = _COSINES @ grey @ _COSINES.T  # (n, 16, 16)
    packed = np.packbits((low > ROUNDING).reshape(len(low), -1), axis=1)
    slopes = np.abs(np.diff(grey, axis=1)).mean(axis=(1, 2)) + np.abs(np.diff(grey, axis=2)).mean(axis=(1, 2))
    return packed, np.minimum(slopes * 5, 100).astype(np.uint8)


def mirrored(hashes: Hashes) -> Hashes:
    """The hashes (..., 32) of pictures whose left and right change places: their odd frequencies change their sign."""
    return hashes ^ np.uint8(0b10101010)


def content_box(image: Image.Image) -> Box:
    """Where a picture's content lies: left, top, right and bottom in 0..1 of its sides."""
    scale = EDGE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    way = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    # NumPy sorts 32 bits with the CPU's vectors, in a quarter of the time that it takes to part 8.
    pixels = np.asarray(image.convert("L").resize(size, way, reducing_gap=2.0)).astype(np.int32)
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


def _content_pixels(image: Image.Image) -> tuple[int, int, int, int]:
    left, top, right, bottom = content_box(image)
    width, height = image.size
    return round(left * width), round(top * height), round(right * width), round(bottom * height)


def _busy(pixels: NDArray[np.int32], axis: int) -> NDArray[np.bool_]:
    """Which lines along an axis have more than one lightness."""
    last = pixels.shape[axis] - 1
    low, high = int(last * ENDS), last - int(last * ENDS)
    ranked = np.sort(pixels, axis=axis)
    spread = ranked.take(high, axis=axis) - ranked.take(low, axis=axis)
    return np.asarray(spread >= ONE_COLOUR, np.bool_)
