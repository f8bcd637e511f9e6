"""A 64-bit hash of what an image looks like: near copies differ in few bits, other images in about half of them.

The hash is the sign of the 8 x 8 lowest frequencies of the image's cosine transform against their median, as in
C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010), and in the bit order of the
library imagehash's ``phash``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 32  # pixels: the image is squeezed to a square of these, so other sizes and aspect ratios hash alike
FREQUENCIES = 8  # lowest ones kept along each side

_steps = np.arange(SIDE) + 0.5
_COSINES = np.cos(np.pi / SIDE * np.outer(np.arange(FREQUENCIES), _steps))  # (8, 32): rows of DCT-II


def sample(image: Image.Image) -> NDArray[np.uint8]:
    """What of an upright RGB image is looked at: (32, 32) uint8 greys."""
    return np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0))


def perceptual_hashes(samples: Sequence[NDArray[np.uint8]]) -> list[bytes]:
    """The hashes of images that :func:`sample` has seen, 8 bytes each.

    >>> perceptual_hashes([sample(Image.linear_gradient("L").convert("RGB"))])[0].hex()
    '8000000000000000'
    """
    # Rounded, so that frequencies that an image does not have are equal, and not noise of the arithmetic.
    low = np.round(_COSINES @ np.stack(samples) @ _COSINES.T, 3)  # (n, 8, 8)
    bits = low.reshape(len(low), -1)
    packed = np.packbits(bits > np.median(bits, axis=1, keepdims=True), axis=1)
    return [row.tobytes() for row in packed]


def hamming(a: bytes, b: bytes) -> int:
    """In how many bits two hashes of equal length differ: of 64, up to about 10 for near copies.

    >>> hamming(bytes([0b1100]), bytes([0b1010]))
    2
    """
    return (int.from_bytes(a) ^ int.from_bytes(b)).bit_count()
