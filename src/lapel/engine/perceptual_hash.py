"""A 64-bit hash of what an image looks like: near copies differ in few bits, other images in about half of them.

The hash is the sign of the 8 x 8 lowest frequencies of the image's cosine transform against their median, as in
C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010), and in the bit order of the
library imagehash's ``phash``.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

SIDE = 32  # pixels: the image is squeezed to a square of these, so other sizes and aspect ratios hash alike
FREQUENCIES = 8  # lowest ones kept along each side

_steps = np.arange(SIDE, dtype=np.float32) + 0.5
_COSINES = np.cos(np.pi / SIDE * np.outer(np.arange(FREQUENCIES, dtype=np.float32), _steps))  # (8, 32): rows of DCT-II


def perceptual_hash(image: Image.Image) -> bytes:
    """The hash of an RGB image, 8 bytes.

    >>> perceptual_hash(Image.linear_gradient("L").convert("RGB")).hex()
    '8000000000000000'
    """
    grey = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    low = _COSINES @ np.asarray(grey, np.float32) @ _COSINES.T
    return np.packbits(low > np.median(low)).tobytes()


def hamming(a: bytes, b: bytes) -> int:
    """In how many bits two hashes of equal length differ: of 64, up to about 10 for near copies.

    >>> hamming(bytes([0b1100]), bytes([0b1010]))
    2
    """
    return (int.from_bytes(a) ^ int.from_bytes(b)).bit_count()
