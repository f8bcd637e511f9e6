"""Fabrics: what a part is made of, its printed or woven pattern and its fine relief.

A `Fabric` goes in with the pixel coordinates of a part (already bent by folds); colours (3, h, w) and a relief in
pixels (h, w) come out. Everything is a pure function of the fabric and the coordinates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Plane = NDArray[np.float32]
Colours = NDArray[np.float32]
RGB = tuple[float, float, float]
_TILE = (640, 512)  # rows, columns of noise tiles: larger than a picture, so no repeat is seen


@dataclass(frozen=True)
class Fabric:
    """A material.

    Attributes:
        colours: main, second and third colour, each red, green, blue from 0 to 1.
        pattern: a name in `PATTERNS`.
        texture: a name in `TEXTURES`.
        scale: repeat of the pattern in pixels.
        gloss: mirror-like reflection, 0 (wool) to 1 (patent leather, metal).
        seed: places motifs and threads.
    """

    colours: tuple[RGB, RGB, RGB]
    pattern: str = "plain"
    texture: str = "jersey"
    scale: float = 24.0
    gloss: float = 0.04
    seed: int = 0


def plain(colour: RGB, texture: str = "smooth", gloss: float = 0.1) -> Fabric:
    """A fabric of one colour."""
    return Fabric((colour, colour, colour), "plain", texture, 24.0, gloss, 0)


def mixed(a: RGB, b: RGB, share: float) -> RGB:
    """Colour between `a` (share 0) and `b` (share 1)."""
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)


def rgb(colour: RGB) -> NDArray[np.float32]:
    """Colour as a (3, 1, 1) float32 array, ready to be spread over a plane."""
    return np.array(colour, dtype=np.float32).reshape(3, 1, 1)


def paint(fabric: Fabric, x: Plane, y: Plane, angle: float) -> Colours:
    """Colour of every point, (3, h, w) float32, for coordinates `x`, `y` (h, w) turned by `angle` degrees."""
    u, v = _rotated(x, y, angle)
    color = PATTERNS[fabric.pattern](fabric, u, v)
    amount = _MOTTLE.get(fabric.texture, 0.025)
    if amount:
        color = color * (1 + amount * _crop(_tile(_THREAD.get(fabric.texture, "grain")), x.shape, fabric.seed))
    return color


def relief(fabric: Fabric, x: Plane, y: Plane, angle: float) -> Plane | None:
    """Fine relief in pixels (h, w), or None for a smooth material."""
    texture = TEXTURES[fabric.texture]
    if texture is None:
        return None
    u, v = _rotated(x, y, angle)
    return texture(u, v, fabric.seed)


def _rotated(x: Plane, y: Plane, angle: float) -> tuple[Plane, Plane]:
    if not angle:
        return x, y
    c, s = np.float32(np.cos(np.deg2rad(angle))), np.float32(np.sin(np.deg2rad(angle)))
    return x * c + y * s, y * c - x * s


# ---------------------------------------------------------------------------------------------------------------- noise


@lru_cache(maxsize=16)
def _tile(kind: str) -> Plane:
    """Noise of standard deviation 1: grain, cloud, vertical (threads downwards), slub (threads across), pebble,
    blotch."""
    rng = np.random.default_rng(sum(map(ord, kind)))
    blur = {
        "grain": (0.6, 0.6),
        "vertical": (0.5, 7.0),
        "slub": (6.0, 0.5),
        "pebble": (1.5, 1.5),
        "blotch": (5.0, 5.0),
        "cloud": (22.0, 22.0),
        "hair": (0.7, 3.0),
    }[kind]
    raw = (rng.standard_normal(_TILE) * 40 + 128).clip(0, 255).astype(np.uint8)
    if max(blur) > 4:  # widen the range first, or eight bits would leave steps
        raw = ((rng.standard_normal(_TILE) > 0) * 255).astype(np.uint8)
    soft = np.asarray(Image.fromarray(raw).filter(ImageFilter.GaussianBlur(blur)), dtype=np.float32)
    if kind == "pebble":
        soft = np.minimum(soft, np.float32(soft.mean() + 0.4 * soft.std()))
    return np.asarray((soft - soft.mean()) / soft.std(), dtype=np.float32)


def _crop(tile: Plane, shape: tuple[int, ...], seed: int) -> Plane:
    oy, ox = seed % (_TILE[0] - shape[0] + 1), (seed // 7) % (_TILE[1] - shape[1] + 1)
    return tile[oy : oy + shape[0], ox : ox + shape[1]]


# ------------------------------------------------------------------------------------------------------------- textures


def _noisy(kind: str, height: float) -> Callable[[Plane, Plane, int], Plane]:
    def bumps(u: Plane, _v: Plane, seed: int) -> Plane:
        return np.asarray(_crop(_tile(kind), u.shape, seed) * np.float32(height), dtype=np.float32)

    return bumps


def _ribbed(period: float, height: float) -> Callable[[Plane, Plane, int], Plane]:
    def bumps(u: Plane, _v: Plane, _seed: int) -> Plane:
        return np.asarray(np.abs(np.sin(u * np.float32(np.pi / period))) * np.float32(height), dtype=np.float32)

    return bumps


def _knitted(period: float, height: float) -> Callable[[Plane, Plane, int], Plane]:
    """Stocking stitch: columns of small Vs."""

    def bumps(u: Plane, v: Plane, _seed: int) -> Plane:
        column = np.abs((u / np.float32(period)) % 1 - np.float32(0.5))
        row = np.sin((v + column * np.float32(period * 1.6)) * np.float32(2 * np.pi / (period * 0.85)))
        stitch = row * np.float32(0.4) + np.sqrt(0.5 - column + 0.01) * np.float32(1.6)
        return np.asarray(stitch * np.float32(height), dtype=np.float32)

    return bumps


def _cabled(u: Plane, v: Plane, seed: int) -> Plane:
    """Plaits between columns of rib."""
    lane = (u / np.float32(44.0) + np.float32(0.5)) % 1 * 44
    swing = np.sin(v * np.float32(2 * np.pi / 46)) * 6
    left = np.exp(-(((lane - 22 - swing) / 5) ** 2))
    right = np.exp(-(((lane - 22 + swing) / 5) ** 2))
    rib = np.abs(np.sin(u * np.float32(np.pi / 5.5))) * ((lane < 8) | (lane > 36))
    plaits = np.maximum(left, right) * 4 + rib * 1.2 + _knitted(4.6, 0.5)(u, v, seed)
    return np.asarray(plaits, dtype=np.float32)


def _twilled(period: float, height: float) -> Callable[[Plane, Plane, int], Plane]:
    def bumps(u: Plane, v: Plane, seed: int) -> Plane:
        lines = np.sin((u + v * np.float32(0.8)) * np.float32(2 * np.pi / period)) * np.float32(height * 0.5)
        return np.asarray(lines + _crop(_tile("grain"), u.shape, seed) * np.float32(height), dtype=np.float32)

    return bumps


def _woven(period: float, height: float) -> Callable[[Plane, Plane, int], Plane]:
    def bumps(u: Plane, v: Plane, seed: int) -> Plane:
        k = np.float32(np.pi / period)
        cells = np.sin(u * k) * np.sin(v * k)
        slub = _crop(_tile("slub"), u.shape, seed) * np.float32(height * 0.4)
        return np.asarray(cells * np.float32(height) + slub, dtype=np.float32)

    return bumps


def _herringbone(u: Plane, v: Plane, _seed: int) -> Plane:
    lane = np.abs((u / np.float32(22.0)) % 1 - np.float32(0.5)) * 22
    return np.asarray(np.sin((v + lane) * np.float32(2 * np.pi / 5)) * np.float32(0.3), dtype=np.float32)


def _quilted(size: float, height: float) -> Callable[[Plane, Plane, int], Plane]:
    def bumps(u: Plane, v: Plane, _seed: int) -> Plane:
        k = np.float32(np.pi / size)
        return np.asarray(
            np.sqrt(np.abs(np.sin((u + v) * k) * np.sin((u - v) * k)) + 1e-4) * np.float32(height), dtype=np.float32
        )

    return bumps


def _channels(u: Plane, v: Plane, seed: int) -> Plane:
    """Down channels of a puffer jacket: fat rolls with puckers along the stitching."""
    roll = np.sqrt(np.abs(np.sin(v * np.float32(np.pi / 46))) + 1e-3)
    pucker = _crop(_tile("vertical"), u.shape, seed) * np.float32(0.14) + _crop(_tile("blotch"), u.shape, seed) * 0.9
    return np.asarray(roll * 13 + pucker * (1.3 - roll), dtype=np.float32)


Texture = Callable[[Plane, Plane, int], Plane]
TEXTURES: dict[str, Texture | None] = {
    "smooth": None,
    "jersey": _noisy("grain", 0.03),
    "poplin": _noisy("grain", 0.02),
    "satin": _noisy("blotch", 0.25),
    "linen": _woven(2.3, 0.10),
    "canvas": _woven(3.1, 0.16),
    "straw": _woven(5.0, 1.2),
    "denim": _twilled(3.4, 0.07),
    "twill": _twilled(3.0, 0.05),
    "wool": _noisy("hair", 0.09),
    "fleece": _noisy("pebble", 0.35),
    "rib": _ribbed(5.0, 1.3),
    "cord": _ribbed(4.0, 1.1),
    "knit": _knitted(5.2, 0.75),
    "chunky": _knitted(8.5, 1.3),
    "cable": _cabled,
    "herringbone": _herringbone,
    "leather": _noisy("pebble", 0.09),
    "suede": _noisy("grain", 0.06),
    "quilted": _quilted(26.0, 4.5),
    "puffer": _channels,
}
_MOTTLE = {
    "denim": 0.045,
    "wool": 0.05,
    "linen": 0.03,
    "straw": 0.08,
    "suede": 0.03,
    "canvas": 0.05,
    "satin": 0.0,
    "smooth": 0.0,
}
_THREAD = {"denim": "vertical", "linen": "slub", "canvas": "slub", "wool": "hair"}


# ------------------------------------------------------------------------------------------------------------- patterns


def _edge(distance: NDArray[np.floating]) -> Plane:
    """0 to 1 across one pixel around distance zero."""
    return np.asarray(np.clip(distance + np.float32(0.5), 0, 1), dtype=np.float32)


def _band(v: Plane, period: float | np.float32, width: float | np.float32) -> Plane:
    """1 inside bands `width` pixels wide that repeat every `period` pixels, antialiased."""
    away = np.abs((v / np.float32(period)) % 1 - np.float32(0.5)) * np.float32(period)
    return _edge(np.float32(width / 2) - away)


def _flat(fabric: Fabric, shape: tuple[int, ...], which: int = 0) -> Colours:
    return np.broadcast_to(rgb(fabric.colours[which]), (3, *shape))


def _blend(fabric: Fabric, weight: Plane, base: Colours | None = None, which: int = 1) -> Colours:
    """Colour `which` over `base` (the main colour unless given) where `weight` is 1."""
    below = _flat(fabric, weight.shape) if base is None else base
    return np.asarray(below + (rgb(fabric.colours[which]) - below) * weight, dtype=np.float32)


def _pattern_plain(fabric: Fabric, u: Plane, _v: Plane) -> Colours:
    return _flat(fabric, u.shape)


def _pattern_melange(fabric: Fabric, u: Plane, _v: Plane) -> Colours:
    threads = _crop(_tile("slub"), u.shape, fabric.seed) + _crop(_tile("grain"), u.shape, fabric.seed // 3) * 0.6
    return _blend(fabric, np.clip(threads * 0.07 + 0.2, 0, 1))


def _pattern_stripes(fabric: Fabric, _u: Plane, v: Plane) -> Colours:
    return _blend(fabric, _band(v, fabric.scale, fabric.scale * 0.5))


def _pattern_breton(fabric: Fabric, _u: Plane, v: Plane) -> Colours:
    return _blend(fabric, _band(v, fabric.scale, fabric.scale * 0.3))


def _pattern_multistripe(fabric: Fabric, _u: Plane, v: Plane) -> Colours:
    color = _blend(fabric, _band(v, fabric.scale * 2, fabric.scale * 0.7))
    return _blend(fabric, _band(v + fabric.scale * 0.7, fabric.scale * 2, fabric.scale * 0.25), color, 2)


def _pattern_pinstripe(fabric: Fabric, u: Plane, _v: Plane) -> Colours:
    return _blend(fabric, _band(u, fabric.scale * 0.7, 1.2) * np.float32(0.75))


def _pattern_bengal(fabric: Fabric, u: Plane, _v: Plane) -> Colours:
    return _blend(fabric, _band(u, fabric.scale * 0.5, fabric.scale * 0.22))


def _pattern_gingham(fabric: Fabric, u: Plane, v: Plane) -> Colours:
    half = fabric.scale * 0.5
    weight = (_band(u, fabric.scale, half) + _band(v, fabric.scale, half)) * np.float32(0.5)
    return _blend(fabric, weight)


def _pattern_tartan(fabric: Fabric, u: Plane, v: Plane) -> Colours:
    s = fabric.scale * 2
    twill = np.float32(0.5) + np.float32(0.12) * np.sign(np.sin((u + v) * 2))
    wide = _band(u, s, s * 0.42) * twill + _band(v, s, s * 0.42) * (1 - twill)
    color = _blend(fabric, wide)
    thin = np.maximum(_band(u + s * 0.5, s, s * 0.06), _band(v + s * 0.5, s, s * 0.06)) * np.float32(0.7)
    dark = np.maximum(_band(u, s, s * 0.08), _band(v, s, s * 0.08)) * np.float32(0.6)
    color = _blend(fabric, thin, color, 2)
    return np.asarray(color * (1 - 0.55 * dark), dtype=np.float32)


def _pattern_windowpane(fabric: Fabric, u: Plane, v: Plane) -> Colours:
    s = fabric.scale * 1.6
    return _blend(fabric, np.maximum(_band(u, s, 1.6), _band(v, s * 1.15, 1.6)) * np.float32(0.85))


def _pattern_houndstooth(fabric: Fabric, u: Plane, v: Plane) -> Colours:
    s = fabric.scale * 0.6
    a, b = (u / np.float32(s)) % 1, (v / np.float32(s)) % 1
    diagonal = ((a + b) * 2) % 1 < 0.5
    tooth = np.where((a < 0.5) & (b < 0.5), True, np.where((a >= 0.5) & (b >= 0.5), False, diagonal))
    return _blend(fabric, tooth.astype(np.float32))


def _pattern_dots(fabric: Fabric, u: Plane, v: Plane) -> Colours:
    s = np.float32(fabric.scale)
    row = np.floor(v / s)
    a, b = (u / s + row * np.float32(0.5)) % 1 - np.float32(0.5), (v / s) % 1 - np.float32(0.5)
    return _blend(fabric, _edge(s * np.float32(0.24) - np.sqrt(a * a + b * b) * s))


def _pattern_argyle(fabric: Fabric, u: Plane, v: Plane) -> Colours:
    s = np.float32(fabric.scale * 2.2)
    a, b = u / s, v / (s * np.float32(1.5))
    diamond = (np.abs(a % 1 - 0.5) + np.abs(b % 1 - 0.5)) * s
    other = (np.abs((a + 0.5) % 1 - 0.5) + np.abs(b % 1 - 0.5)) * s
    color = _blend(fabric, _edge(s * np.float32(0.5) - diamond) * (np.floor(a) % 2))
    lines = _edge(0.8 - np.abs(other - s * np.float32(0.5)))
    return _blend(fabric, lines, color, 2)


def _pattern_zigzag(fabric: Fabric, u: Plane, v: Plane) -> Colours:
    s = np.float32(fabric.scale)
    wave = np.abs((u / s) % 1 - np.float32(0.5)) * s
    color = _blend(fabric, _band(v + wave, s * 1.2, s * 0.4))
    return _blend(fabric, _band(v + wave + s * np.float32(0.6), s * 1.2, s * 0.2), color, 2)


def _pattern_gradient(fabric: Fabric, _u: Plane, v: Plane) -> Colours:
    t = np.clip((v - 120) / np.float32(330), 0, 1)
    return _blend(fabric, t * t * (3 - 2 * t))


def _pattern_tiedye(fabric: Fabric, u: Plane, v: Plane) -> Colours:
    a, b = u - 12, v - 260
    r = np.sqrt(a * a + b * b)
    ink = _crop(_tile("blotch"), u.shape, fabric.seed)
    arms = np.sin(np.arctan2(b, a) * 5 + r * np.float32(0.035) + ink * 0.5)
    color = _blend(fabric, np.clip(arms * np.float32(0.9) + np.float32(0.5), 0, 1))
    rings = np.clip(np.sin(r * np.float32(0.06) + ink * 0.8) * np.float32(0.9) - np.float32(0.1), 0, 1)
    return _blend(fabric, rings, color, 2)


def _pattern_camouflage(fabric: Fabric, u: Plane, _v: Plane) -> Colours:
    hills = _crop(_tile("cloud"), u.shape, fabric.seed) + 0.35 * _crop(_tile("blotch"), u.shape, fabric.seed // 5)
    color = _blend(fabric, _edge((hills - 0.3) * 14))
    return _blend(fabric, _edge((-0.75 - hills) * 14), color, 2)


def _pattern_leopard(fabric: Fabric, u: Plane, v: Plane) -> Colours:
    s = np.float32(fabric.scale)
    ink = _crop(_tile("blotch"), u.shape, fabric.seed)
    row = np.floor(v / s)
    a, b = (u / s + row * np.float32(0.37)) % 1 - np.float32(0.5), (v / s) % 1 - np.float32(0.5)
    r = (np.sqrt(a * a + b * b) + ink * np.float32(0.07)) * s
    color = _blend(fabric, _edge(s * np.float32(0.2) - r), None, 2)
    ring = _edge(s * np.float32(0.13) - np.abs(r - s * np.float32(0.3))) * (ink * np.sign(a + b) > -0.5)
    return _blend(fabric, ring.astype(np.float32), color)


@lru_cache(maxsize=3)
def _print_tile(fabric: Fabric) -> Colours:
    """Scattered motifs (flowers, leaves) over a tile larger than the picture, (3, rows, columns)."""
    rows, columns = _TILE
    rng = np.random.default_rng(fabric.seed)
    base = tuple(int(c * 255) for c in fabric.colours[0])
    cloth = Image.new("RGB", (columns * 2, rows * 2), base)
    size = fabric.scale * 2
    stamps = [_stamp(fabric, rng, size * f) for f in (1.0, 0.8, 0.55, 0.45)]
    pitch = size * 0.92
    for j in range(int(rows * 2 / pitch) + 1):
        for i in range(int(columns * 2 / pitch) + 1):
            stamp = stamps[int(rng.integers(len(stamps)))]
            at = (i + (j % 2) / 2 + rng.normal(0, 0.16)) * pitch, (j + rng.normal(0, 0.16)) * pitch
            cloth.paste(stamp, (int(at[0] - stamp.width / 2), int(at[1] - stamp.height / 2)), stamp)
    return np.ascontiguousarray(np.moveaxis(np.asarray(cloth.reduce(2), dtype=np.float32), 2, 0)) * np.float32(1 / 255)


def _stamp(fabric: Fabric, rng: np.random.Generator, size: float) -> Image.Image:
    """One flower (or leaf) `size` pixels across with shaded petals, as RGBA."""
    n = int(size)
    y, x = (np.mgrid[0:n, 0:n].astype(np.float32) + 0.5 - n / 2) / (n / 2)
    r, t = np.hypot(x, y), np.arctan2(y, x) + rng.uniform(0, 6.3)
    main, heart = (rgb(fabric.colours[k]).reshape(3) for k in (1, 2))
    if fabric.pattern == "leaves":
        a, b = x * np.cos(t[0, 0]) + y * np.sin(t[0, 0]), y * np.cos(t[0, 0]) - x * np.sin(t[0, 0])
        inside = 0.36 * (1 - a * a) * (1 + 0.15 * np.sin(a * 26)) - np.abs(b)
        vein = np.clip(1 - np.abs(b) * n / 3, 0, 1)
        color = main + (heart - main) * (0.25 * (a[..., None] + 1) + 0.4 * vein[..., None])
    else:
        petals = int(rng.integers(5, 7))
        lobe = np.abs(np.cos(t * petals / 2))
        inside = 0.45 + 0.5 * lobe**0.6 - r
        light = (0.78 + 0.3 * lobe * np.clip(r * 1.3, 0, 1))[..., None]
        core = np.clip((0.26 - r) * 12, 0, 1)[..., None]
        color = main * light * (1 - core) + heart * core
    alpha = np.clip(inside * n / 3, 0, 1)[..., None]
    return Image.fromarray((np.clip(np.concatenate([color, alpha], axis=2), 0, 1) * 255).astype(np.uint8), "RGBA")


def _pattern_print(fabric: Fabric, u: Plane, v: Plane) -> Colours:
    tile = _print_tile(fabric)
    rows, columns = _TILE
    place = (v.astype(np.int32) % rows) * columns + (u + columns // 2).astype(np.int32) % columns
    return np.take(tile.reshape(3, -1), place, axis=1)


Pattern = Callable[[Fabric, Plane, Plane], Colours]
PATTERNS: dict[str, Pattern] = {
    "plain": _pattern_plain,
    "melange": _pattern_melange,
    "stripes": _pattern_stripes,
    "breton": _pattern_breton,
    "multistripe": _pattern_multistripe,
    "pinstripe": _pattern_pinstripe,
    "bengal": _pattern_bengal,
    "gingham": _pattern_gingham,
    "tartan": _pattern_tartan,
    "windowpane": _pattern_windowpane,
    "houndstooth": _pattern_houndstooth,
    "dots": _pattern_dots,
    "argyle": _pattern_argyle,
    "zigzag": _pattern_zigzag,
    "gradient": _pattern_gradient,
    "tiedye": _pattern_tiedye,
    "camouflage": _pattern_camouflage,
    "leopard": _pattern_leopard,
    "floral": _pattern_print,
    "leaves": _pattern_print,
}
