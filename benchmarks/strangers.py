"""More pictures without fashion than a calibration learns from, for measuring only: drawn ones of kinds that it has not
seen, and those that Python packages ship.

Package pictures are read from wheels (``pip download --no-deps scikit-image mahotas ...``) or from a folder, and from
the packages that are installed here.
"""

from __future__ import annotations

import io
import math
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from lapel.insight.strangers import SIZE, Draw, any_colour

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".gif")
MIN_BYTES = 4000  # smaller ones are icons
INSTALLED = ("skimage/data", "sklearn/datasets/images", "matplotlib/mpl-data/sample_data", "mahotas/demos/data")
NO_PICTURES = ("/mpl-data/images/", "logo", "multipage", "phantom", "microaneurysms")
# With people whose clothes can be seen: told apart.
CLOTHED = ("astronaut", "grace_hopper", "luispedro", "bus", "zidane", "DepartmentStore", "camera", "lena")


def chart(rng: np.random.Generator) -> Image.Image:
    """Axes with bars or a line."""
    image = Image.new("RGB", SIZE, (255, 255, 255))
    pen = ImageDraw.Draw(image)
    pen.line([(30, 20), (30, 370), (285, 370)], (0, 0, 0), 2)
    count, colour = int(rng.integers(4, 12)), any_colour(rng)
    heights = rng.integers(20, 330, count)
    step = 250 // count
    if rng.random() < 0.5:
        for place, tall in enumerate(heights.tolist()):
            pen.rectangle(
                (34 + place * step, 370 - tall, 34 + place * step + step - 4, 369),
                any_colour(rng) if rng.random() < 0.3 else colour,
            )
    else:
        pen.line([(34 + place * step, 370 - tall) for place, tall in enumerate(heights.tolist())], colour, 3)
    return image


def landscape(rng: np.random.Generator) -> Image.Image:
    """A sky, hills, perhaps a sun, trees and a house."""
    image = Image.new("RGB", SIZE)
    pen = ImageDraw.Draw(image)
    horizon = int(rng.integers(120, 280))
    top, low = np.array(any_colour(rng, 60)), np.array(any_colour(rng, 120))
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
    image = Image.new("RGB", SIZE, any_colour(rng, 80))
    pen = ImageDraw.Draw(image)
    shade = rng.uniform(0.35, 1)
    skin = tuple(int(v * shade) for v in (250, 205, 170))
    hair = any_colour(rng, 10, 120)
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
        pen.ellipse((x - 8, cy - 27, x + 8, cy - 11), any_colour(rng, 20, 120))
        pen.line((x - 20, cy - 42, x + 20, cy - 46), hair, 6)
    pen.line([(cx, cy - 10), (cx - 9, cy + 28), (cx + 7, cy + 30)], tuple(int(v * 0.7) for v in skin), 4)
    pen.arc((cx - 35, cy + 25, cx + 35, cy + 75), 15, 165, (170, 60, 60), 7)
    return image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 2))))


def rings(rng: np.random.Generator) -> Image.Image:
    """Circles within each other, or waves that meet."""
    y, x = np.indices((SIZE[1], SIZE[0]))
    centres = rng.uniform(0, 300, (int(rng.integers(1, 4)), 2))
    value = sum(np.sin(np.hypot(x - cx, y - cy) / rng.uniform(3, 30)) for cx, cy in centres) / len(centres)
    first, second = np.array(any_colour(rng)), np.array(any_colour(rng))
    return Image.fromarray((first + (second - first) * (value[..., None] + 1) / 2).astype(np.uint8))


HELD_OUT: dict[str, Draw] = {"landscape": landscape, "face": face, "chart": chart, "rings": rings}


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
