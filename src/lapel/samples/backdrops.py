"""Backdrops: the seamless studio paper, walls, and table tops that products are photographed on.

Surfaces are made of noise once a process and cropped at a random place for each photo; a (3, HEIGHT, WIDTH) float32
picture with values 0 to 1 comes out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lapel.samples.canvas import HEIGHT, WIDTH, grid, noise

Colours = NDArray[np.float32]
_ROWS, _COLUMNS = HEIGHT + 160, WIDTH + 160  # spare room, so that two photos show different places of a table

TABLES = ("oak", "walnut", "ash", "linen", "marble", "concrete", "plaster", "paper_sand", "paper_sage", "paper_sky")
WALLS = ("plaster", "paper_sand", "paper_sage", "concrete", "paper_blush", "white_wall")


def _wood(rng: np.random.Generator, light: tuple[float, ...], dark: tuple[float, ...]) -> Colours:
    y, x = np.mgrid[0:_ROWS, 0:_COLUMNS].astype(np.float32)
    width = 132.0
    plank = np.floor(x / width)
    shift = rng.uniform(0, 400, int(_COLUMNS / width) + 2).astype(np.float32)[plank.astype(int)]
    drift = noise(rng, _COLUMNS, _ROWS, 9, 2) * 30
    rings = np.sin((x + drift + shift) * 0.30 + np.sin((y + shift * 3) * 0.006) * 3)
    fibre = noise(rng, _COLUMNS, _ROWS, 240, 8) * 0.3 + noise(rng, _COLUMNS, _ROWS, 420, 40) * 0.22
    t = np.clip(0.42 + 0.11 * rings + fibre * 0.45 + (shift % 7 - 3.5) * 0.035, 0, 1)
    wood = np.array(light, np.float32) + (np.array(dark, np.float32) - np.array(light, np.float32)) * t[..., None]
    gap = np.clip((x / width) % 1 * width, 0, 3) / 3
    return np.asarray(wood * (0.45 + 0.55 * gap)[..., None], dtype=np.float32)


def _marble(rng: np.random.Generator) -> Colours:
    warp = noise(rng, _COLUMNS, _ROWS, 5, 6) + 0.5 * noise(rng, _COLUMNS, _ROWS, 11, 13)
    y, x = np.mgrid[0:_ROWS, 0:_COLUMNS].astype(np.float32)
    along = np.abs(np.sin((x * 0.8 + y * 0.5) * 0.009 + warp * 1.1))
    fine = np.abs(np.sin((x * 0.5 - y * 0.4) * 0.016 + warp * 1.9 + 0.3 * noise(rng, _COLUMNS, _ROWS, 40, 40)))
    depth = np.clip(0.6 + 0.6 * noise(rng, _COLUMNS, _ROWS, 6, 6), 0, 1)
    vein = depth * (0.16 * np.exp(-along * 9) + 0.07 * np.exp(-fine * 16)) + 0.02 * warp
    return np.asarray(
        np.array((0.93, 0.925, 0.915), np.float32) - vein[..., None] * np.array((1, 0.97, 0.92)), np.float32
    )


def _concrete(rng: np.random.Generator) -> Colours:
    cloud = noise(rng, _COLUMNS, _ROWS, 5, 7) * 0.025 + noise(rng, _COLUMNS, _ROWS, 40, 50) * 0.018
    grain = rng.standard_normal((_ROWS, _COLUMNS), dtype=np.float32) * 0.012
    return np.asarray((0.66 + cloud + grain)[..., None] * np.array((1.0, 0.99, 0.97)), np.float32)


def _cloth(rng: np.random.Generator) -> Colours:
    y, x = np.mgrid[0:_ROWS, 0:_COLUMNS].astype(np.float32)
    threads = np.repeat(rng.standard_normal((_ROWS, 1)), _COLUMNS, 1) + rng.standard_normal((1, _COLUMNS))
    slub = noise(rng, _COLUMNS, _ROWS, 30, 330) + noise(rng, _COLUMNS, _ROWS, 330, 30)
    waves = noise(rng, _COLUMNS, _ROWS, 3, 4) * 0.03
    value = 0.84 + threads * 0.012 + slub * 0.03 + waves + 0.015 * np.sin(x * 1.6) * np.sin(y * 1.6)
    return np.asarray(value[..., None] * np.array((1.0, 0.972, 0.925)), np.float32)


def _plain(color: tuple[float, float, float], rough: float) -> Callable[[np.random.Generator], Colours]:
    def make(rng: np.random.Generator) -> Colours:
        stroke = (noise(rng, _COLUMNS, _ROWS, 60, 45) * 0.5 + noise(rng, _COLUMNS, _ROWS, 5, 6)) * rough
        grain = rng.standard_normal((_ROWS, _COLUMNS), dtype=np.float32) * (0.004 + rough * 0.15)
        return np.asarray((1 + stroke + grain)[..., None] * np.array(color), np.float32)

    return make


_SURFACES: dict[str, Callable[[np.random.Generator], Colours]] = {
    "oak": lambda rng: _wood(rng, (0.82, 0.70, 0.55), (0.64, 0.49, 0.35)),
    "walnut": lambda rng: _wood(rng, (0.52, 0.37, 0.26), (0.30, 0.20, 0.14)),
    "ash": lambda rng: _wood(rng, (0.90, 0.86, 0.80), (0.76, 0.70, 0.62)),
    "linen": _cloth,
    "marble": _marble,
    "concrete": _concrete,
    "plaster": _plain((0.86, 0.835, 0.80), 0.018),
    "paper_sand": _plain((0.87, 0.79, 0.69), 0.006),
    "paper_sage": _plain((0.74, 0.78, 0.70), 0.006),
    "paper_sky": _plain((0.75, 0.81, 0.86), 0.006),
    "paper_blush": _plain((0.90, 0.80, 0.77), 0.006),
    "white_wall": _plain((0.90, 0.90, 0.895), 0.01),
}


@lru_cache(maxsize=len(_SURFACES))
def _surface(name: str) -> Colours:
    made = _SURFACES[name](np.random.default_rng(sum(map(ord, name))))
    return np.ascontiguousarray(np.moveaxis(np.clip(made, 0, 1), 2, 0))


def surface(name: str, rng: np.random.Generator, *, side: float) -> Colours:
    """A piece of a table or wall, lit unevenly.

    Args:
        name: one of `TABLES` or `WALLS`.
        rng: chooses the place.
        side: the side the light comes from, -1 left to 1 right.
    """
    oy, ox = int(rng.integers(0, 160)), int(rng.integers(0, 160))
    piece = _surface(name)[:, oy : oy + HEIGHT, ox : ox + WIDTH]
    x, y = grid()
    fall = 1.0 + np.float32(0.16 * side / WIDTH) * x - (y - HEIGHT / 2) * np.float32(0.12 / HEIGHT)
    return piece * fall


def studio(rng: np.random.Generator, *, floor: bool) -> Colours:
    """Seamless near-white paper with a slight gradient; with `floor` it darkens gently towards the viewer."""
    x, y = grid()
    tint = np.array((0.968, 0.966, 0.962), np.float32) + rng.uniform(-0.012, 0.012, 3).astype(np.float32) * 0.7
    cx, cy = rng.uniform(-60, 60), rng.uniform(180, 300)
    fall = ((x - np.float32(cx)) ** 2 + (y - np.float32(cy)) ** 2) * np.float32(rng.uniform(2.5e-7, 5.5e-7))
    if floor:
        fall += np.clip((y - 400) / np.float32(200), 0, 1) ** 2 * np.float32(0.03)
    return np.asarray(tint.reshape(3, 1, 1) * (1 - fall), dtype=np.float32)
