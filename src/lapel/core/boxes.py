"""A box in an image: "only the bag"."""

from __future__ import annotations

import math
from collections.abc import Iterable

from PIL import Image

from lapel.core.errors import QueryError

Box = tuple[float, float, float, float]
LEAST_SIDE = 8  # pixels: with less there is nothing to look at


def check_box(box: object) -> Box:
    """Left, top, right and bottom of a box, as numbers that can be one.

    Raises:
        QueryError: they are not four finite numbers, or enclose nothing.
    """
    values = list(box) if isinstance(box, Iterable) and not isinstance(box, (str, bytes)) else []
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise QueryError(f"A box is four numbers: left, top, right, bottom; found {box!r:.60}.")
    left, top, right, bottom = numbers
    if left >= right or top >= bottom:
        raise QueryError(
            f"A box goes from its left and top to its right and bottom, such as 10,20,200,300; found"
            f" {_shown((left, top, right, bottom))}, which encloses nothing."
        )
    return left, top, right, bottom


def in_pixels(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box in whole pixels of an image; one whose numbers are all 0..1 is in shares of its sides.

    >>> in_pixels((0.25, 0, 0.75, 1), (60, 80)), in_pixels((10, 20, 30, 40), (60, 80))
    ((15, 0, 45, 80), (10, 20, 30, 40))

    Raises:
        QueryError: it does not lie within the image, or is smaller than 8 pixels.
    """
    width, height = size
    scale = (width, height, width, height) if all(0 <= value <= 1 for value in box) else (1, 1, 1, 1)
    left, top, right, bottom = (round(value * by) for value, by in zip(box, scale, strict=True))
    # A detector's box may reach over the edge by a pixel, from rounding.
    if left < -1 or top < -1 or right > width + 1 or bottom > height + 1:
        raise QueryError(
            f"The box {_shown(box)} does not lie within the picture, which has {width} x {height} pixels. Give left,"
            f" top, right and bottom in pixels, or in shares 0..1 of its sides."
        )
    found = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if found[2] - found[0] < LEAST_SIDE or found[3] - found[1] < LEAST_SIDE:
        raise QueryError(
            f"The box {_shown(box)} has {found[2] - found[0]} x {found[3] - found[1]} pixels of the picture's {width} x"
            f" {height}; at least {LEAST_SIDE} x {LEAST_SIDE} are needed."
        )
    return found


def cropped(image: Image.Image, box: Box | None) -> Image.Image:
    """What is inside a box of an image; the image itself without one."""
    return image if box is None else image.crop(in_pixels(box, image.size))


def _shown(box: Box) -> str:
    return ",".join(f"{value:g}" for value in box)
