"""An encoder without weights: which colours, and where light and dark are. The tests' fixture and the baseline to
beat."""

from __future__ import annotations

import numpy as np

from lapel.core.errors import InputError
from lapel.core.images import Pixels, Preprocessing
from lapel.core.vectors import Vectors, normalise
from lapel.encoders import Encoder
from lapel.encoders.model import fingerprint

BINS = 4  # levels a channel: 4 x 4 x 4 = 64 colours
GRID = 8  # 8 x 8 = 64 places


class ColourEncoder(Encoder):
    """128 numbers: a histogram of 64 colours, its white left out, beside the darkness of 64 places.

    Args:
        rest: Nothing; what follows ``colour:``.
        threads: Not used: numpy does it in one.

    Raises:
        InputError: something follows ``colour:``.
    """

    name = "colour"
    spec = "colour:"
    dim = BINS**3 + GRID**2
    preprocessing = Preprocessing(height=64, width=64)
    fingerprint = fingerprint("colour encoder, version 1", preprocessing, dim)

    def __init__(self, rest: str = "", *, threads: int | None = None) -> None:
        del threads
        if rest:
            raise InputError(f"The colour encoder has no settings; found '{rest}'. Write 'colour:'.")

    def encode_pixels(self, pixels: Pixels) -> Vectors:
        """(n, 64, 64, 3) uint8 -> (n, 128) float32 unit rows."""
        n = len(pixels)
        bins = (pixels // (256 // BINS)).astype(np.int64)
        code = (bins[..., 0] * BINS + bins[..., 1]) * BINS + bins[..., 2]  # (n, 64, 64)
        code += np.arange(n)[:, None, None] * BINS**3
        counts = np.bincount(code.ravel(), minlength=n * BINS**3).reshape(n, BINS**3).astype(np.float32)
        counts[:, -1] *= 0.05  # the last colour is white: on shop photos it is the background
        dark = 255 - pixels.mean(axis=3, dtype=np.float32)  # (n, 64, 64)
        side = self.preprocessing.height // GRID
        places = dark.reshape(n, GRID, side, GRID, side).mean(axis=(2, 4)).reshape(n, GRID**2)
        # Roots keep one large area from drowning the rest; the small constant gives a blank image a direction too.
        return normalise(np.concatenate([normalise(np.sqrt(counts)), normalise(np.sqrt(places + 0.01))], axis=1))
