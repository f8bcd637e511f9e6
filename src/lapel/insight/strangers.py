"""Drawn pictures without fashion, by kind: what a calibration learns *nothing close* from.

Seeded: a kind and a generator in, one RGB picture out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lapel.insight.distortions import draw_scene

Draw = Callable[[np.random.Generator], Image.Image]
SIZE = (300, 400)
WORDS = (
    "the of and a to in is you that it he was for on are as with his they at be this have from or one had by".split()
)


def noise(rng: np.random.Generator) -> Image.Image:
    """Of each pixel, or of larger grains."""
    grain = int(rng.choice([1, 2, 4, 8, 20, 60]))
    small = (SIZE[0] // grain + 1, SIZE[1] // grain + 1)
    channels = 1 if rng.random() < 0.3 else 3
    values = rng.integers(0, 256, (small[1], small[0], channels), dtype=np.uint8)
    return Image.fromarray(np.broadcast_to(values, (*values.shape[:2], 3)).copy()).resize(SIZE, _kernel(rng))


def _kernel(rng: np.random.Generator) -> Image.Resampling:
    return Image.Resampling.NEAREST if rng.random() < 0.5 else Image.Resampling.BICUBIC


def any_colour(rng: np.random.Generator, low: int = 0, high: int = 256) -> tuple[int, int, int]:
    """Each channel from ``low`` up to ``high``, without it."""
    red, green, blue = (int(value) for value in rng.integers(low, high, 3))
    return red, green, blue


def gradient(rng: np.random.Generator) -> Image.Image:
    """One colour, or several that run into each other."""
    count = int(rng.integers(1, 4))
    return Image.fromarray(rng.integers(0, 256, (count, count, 3), dtype=np.uint8)).resize(
        SIZE, Image.Resampling.BICUBIC
    )


def page(rng: np.random.Generator) -> Image.Image:
    """Lines of text."""
    light = rng.random() < 0.7
    paper, ink = (
        (any_colour(rng, 220), any_colour(rng, 0, 90)) if light else (any_colour(rng, 0, 60), any_colour(rng, 180))
    )
    image = Image.new("RGB", SIZE, paper)
    pen, height = ImageDraw.Draw(image), int(rng.integers(9, 40))
    font = ImageFont.load_default(height)
    for top in range(int(rng.integers(4, 40)), SIZE[1], round(1.3 * height)):
        pen.text((int(rng.integers(4, 20)), top), " ".join(rng.choice(WORDS, 16)), ink, font)
    return image


def squares(rng: np.random.Generator) -> Image.Image:
    """A chessboard, or squares at random as of a code."""
    side, two = int(rng.integers(2, 30)), np.array([any_colour(rng), any_colour(rng)], np.uint8)
    regular = np.indices((side, side)).sum(axis=0) % 2
    which = regular if rng.random() < 0.5 else rng.integers(0, 2, (side, side))
    return Image.fromarray(two[which]).resize(SIZE, Image.Resampling.NEAREST)


def clouds(rng: np.random.Generator) -> Image.Image:
    """Noise of many scales, as of clouds, rock and grass."""
    total = np.zeros((SIZE[1], SIZE[0], 3))
    for grain in (4, 8, 16, 40, 100, 200):
        small = rng.normal(0, 1, (SIZE[1] // grain + 2, SIZE[0] // grain + 2, 1 if rng.random() < 0.6 else 3))
        planes = [
            Image.fromarray(small[..., at].astype(np.float32)).resize(SIZE, Image.Resampling.BICUBIC)
            for at in range(small.shape[2])
        ]
        total += np.stack([np.asarray(plane) for plane in planes], axis=2) * grain ** rng.uniform(0.2, 0.8)
    total = (total - total.min()) / np.ptp(total)
    first, second = np.array(any_colour(rng)), np.array(any_colour(rng))
    return Image.fromarray((first + (second - first) * total).clip(0, 255).astype(np.uint8))


def scene(rng: np.random.Generator) -> Image.Image:
    """Gradients, shapes and grain."""
    return draw_scene(rng)


STRANGERS: dict[str, Draw] = {
    "noise": noise,
    "gradient": gradient,
    "page of text": page,
    "squares": squares,
    "clouds": clouds,
    "scene": scene,
}


def drawn(kinds: Mapping[str, Draw], each: int, seed: int) -> Iterator[tuple[str, Image.Image]]:
    """So many of each kind."""
    for number, (name, draw) in enumerate(kinds.items()):
        for at in range(each):
            yield name, draw(np.random.default_rng((seed, number, at)))
