"""Seeded distortions: what a screenshot or a phone does to a shop's picture. One RGB picture and a generator in, one out.

Pictures are first scaled to 320 pixels in height, so that a 60 x 80 picture is blurred and cut like a real one.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Distortion = Callable[[Image.Image, np.random.Generator], Image.Image]
HEIGHT = 320
WHITE = (255, 255, 255)


def enlarge(image: Image.Image) -> Image.Image:
    """To 320 pixels in height."""
    return image.resize((round(image.width * HEIGHT / image.height), HEIGHT), Image.Resampling.BICUBIC)


def crop(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """60 % of the area, anywhere."""
    width, height = round(image.width * 0.6**0.5), round(image.height * 0.6**0.5)
    left, top = rng.integers(0, image.width - width + 1), rng.integers(0, image.height - height + 1)
    return image.crop((int(left), int(top), int(left) + width, int(top) + height))


def rotate(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """15 degrees to either side, white outside."""
    angle = 15.0 if rng.random() < 0.5 else -15.0
    return image.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=WHITE)


def perspective(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Each corner moves inwards by up to 18 % of the side."""
    w, h = image.size
    dx, dy = rng.uniform(0, 0.18 * w, 4), rng.uniform(0, 0.18 * h, 4)
    corners = [(dx[0], dy[0]), (w - dx[1], dy[1]), (w - dx[2], h - dy[2]), (dx[3], h - dy[3])]
    rows, goal = [], []
    for (x, y), (u, v) in zip(corners, [(0, 0), (w, 0), (w, h), (0, h)], strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        goal += [u, v]
    data = np.linalg.solve(np.array(rows, float), np.array(goal, float))
    return image.transform(
        (w, h), Image.Transform.PERSPECTIVE, data.tolist(), Image.Resampling.BICUBIC, fillcolor=WHITE
    )


def light(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Brightness by up to 30 %, gamma 0.75 to 1.33, and each channel by up to 10 % (white balance)."""
    pixels = (np.asarray(image, np.float32) / 255) ** (4 / 3) ** rng.uniform(-1, 1)
    pixels = pixels * rng.uniform(0.7, 1.3) * rng.uniform(0.9, 1.1, 3)
    return Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8))


def blur(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Gaussian, 1 to 3 % of the height."""
    return image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.01, 0.03)) * image.height))


def jpeg(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """JPEG of quality 20 to 50."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(rng.integers(20, 51)))
    return Image.open(buffer).convert("RGB")


def cluttered(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Cut out of its white and pasted, at 50 to 80 % of the side, on a scene of gradients, shapes and grain."""
    size = (320, 400)
    scene = _scene(size, rng)
    scale = rng.uniform(0.5, 0.8) * min(size[0] / image.width, size[1] / image.height)
    small = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    filled = small.copy()
    marker = (255, 0, 254)
    for corner in ((0, 0), (small.width - 1, 0), (0, small.height - 1), (small.width - 1, small.height - 1)):
        if min(filled.getpixel(corner)) > 225:  # type: ignore[type-var]
            ImageDraw.floodfill(filled, corner, marker, thresh=40)
    mask = Image.fromarray(np.where((np.asarray(filled) == marker).all(axis=2), 0, 255).astype(np.uint8))
    mask = mask.filter(ImageFilter.MinFilter(3)).filter(ImageFilter.GaussianBlur(0.8))
    at = (int(rng.integers(0, size[0] - small.width + 1)), int(rng.integers(0, size[1] - small.height + 1)))
    scene.paste(small, at, mask)
    return scene


def _scene(size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    corners = Image.fromarray(rng.integers(30, 230, (3, 3, 3), dtype=np.uint8))
    scene = corners.resize(size, Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(scene)
    for _ in range(int(rng.integers(6, 14))):
        x, y = (int(value) for value in rng.integers(-40, size[0], 2))
        w, h = (int(value) for value in rng.integers(20, 160, 2))
        colour = tuple(int(value) for value in rng.integers(20, 240, 3))
        (pen.ellipse if rng.random() < 0.5 else pen.rectangle)((x, y, x + w, y + h), fill=colour)
    grain = rng.normal(0, 8, (size[1], size[0], 1))
    return Image.fromarray(np.clip(np.asarray(scene) + grain, 0, 255).astype(np.uint8))


def phone(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Several at once: on a scene, in perspective, lit, slightly blurred, JPEG."""
    shot = light(perspective(cluttered(image, rng), rng), rng)
    return jpeg(shot.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.5, 1.5)))), rng)


DISTORTIONS: dict[str, Distortion] = {
    "crop to 60 %": crop,
    "rotation 15°": rotate,
    "perspective": perspective,
    "light and white balance": light,
    "blur": blur,
    "JPEG 20-50": jpeg,
    "cluttered scene": cluttered,
    "phone photo": phone,
}
MILD = tuple(DISTORTIONS)[:6]
