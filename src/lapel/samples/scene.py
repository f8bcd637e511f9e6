"""The photo studio: lights a finished drawing, turns it, throws its shadow on a backdrop and takes the picture.

A `Drawing` and a `Shot` go in; an 8-bit RGB picture of WIDTH x HEIGHT comes out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from lapel.samples.backdrops import TABLES, WALLS, studio, surface
from lapel.samples.canvas import HEIGHT, WIDTH, Drawing, Plane

Colours = NDArray[np.float32]


@dataclass(frozen=True)
class Shot:
    """How one photo is taken.

    Attributes:
        backdrop: "studio", "floor" (studio with a standing product) or a surface name.
        azimuth: where the light comes from, degrees; 0 from the right, 90 from above in the picture.
        elevation: height of the light over the picture plane, degrees; low light shows more relief.
        warmth: colour of the light, -1 cool to 1 warm.
        exposure: factor on all light.
        scale: size of the product, 1 as drawn.
        turn: degrees clockwise on the screen.
        yaw: perspective about the vertical axis, -1 to 1 (0.2 is clearly seen).
        pitch: perspective about the horizontal axis, -1 to 1.
        shift: (x, y) pixels after scaling.
        flip: mirrored.
        pair: a second one stands behind.
        lying: True when the product lies on (or hangs before) the backdrop, False when it stands on the floor.
    """

    backdrop: str = "studio"
    azimuth: float = 115.0
    elevation: float = 52.0
    warmth: float = 0.0
    exposure: float = 1.0
    scale: float = 1.0
    turn: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)
    flip: bool = False
    pair: bool = False
    lying: bool = True


def plan_shot(view: str, rng: np.random.Generator, *, stands: bool, pairs: bool = False) -> Shot:
    """Choose light, place and backdrop of a view.

    Args:
        view: front, angle, crop, hanger or flat.
        rng: the only source of chance.
        stands: True for things that stand on the floor (shoes, bags), False for things shown hanging in the air.
        pairs: True for things that come in pairs drawn as one (shoes).
    """
    side = float(rng.choice([-1.0, 1.0]))
    azimuth = 90 + side * float(rng.uniform(20, 55))
    elevation, warmth = float(rng.uniform(44, 60)), float(rng.uniform(-0.35, 0.35))
    exposure = float(rng.uniform(0.97, 1.04))
    if view == "front":
        return Shot("floor" if stands else "studio", azimuth, 54.0, warmth * 0.4, 1.02, lying=not stands)
    if view == "crop":
        shift = (float(rng.uniform(-30, 30)), float(rng.uniform(-110, -50) if stands else rng.uniform(-60, 80)))
        return Shot(
            "studio",
            azimuth,
            elevation - 8,
            warmth,
            exposure,
            float(rng.uniform(1.5, 1.7)),
            float(rng.uniform(-4, 4)),
            shift=shift,
            lying=not stands,
        )
    if view == "angle":
        yaw = float(rng.choice([-1.0, 1.0])) * float(rng.uniform(0.10, 0.24))
        flip = bool(rng.random() < 0.5)
        backdrop = "floor" if stands else "studio"
        if rng.random() < 0.45:
            backdrop = str(rng.choice(WALLS))
        return Shot(
            backdrop,
            azimuth,
            elevation,
            warmth,
            exposure,
            float(rng.uniform(0.84, 0.96)),
            float(rng.uniform(-5, 5)) * (0.4 if stands else 1),
            yaw,
            float(rng.uniform(-0.06, 0.06)),
            (float(rng.uniform(-12, 12)), float(rng.uniform(-8, 8))),
            flip,
            pairs,
            lying=not stands,
        )
    if view == "hanger":
        return Shot(
            str(rng.choice(WALLS)),
            azimuth,
            elevation - 4,
            warmth,
            exposure,
            float(rng.uniform(0.80, 0.88)),
            float(rng.uniform(-2.5, 2.5)),
            float(rng.uniform(-0.08, 0.08)),
            shift=(float(rng.uniform(-14, 14)), float(rng.uniform(18, 34))),
        )
    return Shot(
        str(rng.choice(TABLES)),
        azimuth,
        elevation - 6,
        0.3 + warmth,
        exposure * 0.98,
        float(rng.uniform(0.78, 0.90)),
        float(rng.uniform(-20, 20)),
        float(rng.uniform(-0.05, 0.05)),
        float(rng.uniform(-0.1, 0.06)),
        (float(rng.uniform(-16, 16)), float(rng.uniform(-14, 14))),
        bool(rng.random() < 0.3),
    )


def photograph(drawing: Drawing, shot: Shot, rng: np.random.Generator) -> Image.Image:
    """Light the drawing, place it and take the picture, WIDTH x HEIGHT RGB."""
    layer = _placed(_lit(drawing, shot), drawing.box, shot)
    if shot.pair:
        layer = _paired(layer, shot)
    side = float(np.cos(np.deg2rad(shot.azimuth)))
    if shot.backdrop in ("studio", "floor"):
        ground = studio(rng, floor=shot.backdrop == "floor")
    else:
        ground = surface(shot.backdrop, rng, side=side)
    ground *= _lamp(shot) * 255
    ground *= 1 - _shadow(layer.getchannel("A"), shot)
    ground += _grain(rng)
    np.clip(ground, 0, 255, out=ground)
    pixels = np.empty((HEIGHT, WIDTH, 3), dtype=np.uint8)
    for channel in range(3):
        pixels[..., channel] = ground[channel]
    picture = Image.fromarray(pixels, "RGB")
    picture.paste(layer.convert("RGB"), (0, 0), layer.getchannel("A"))
    return picture


def _lamp(shot: Shot) -> Colours:
    """Colour and strength of the light, (3, 1, 1)."""
    tint = np.array((1 + 0.035 * shot.warmth, 1.0, 1 - 0.05 * shot.warmth), np.float32) * np.float32(shot.exposure)
    return tint.reshape(3, 1, 1)


def _grain(rng: np.random.Generator) -> Plane:
    """Sensor noise; drawn small and tiled, because nobody sees the repeat and it is fifty times cheaper."""
    patch = rng.standard_normal((75, 90), dtype=np.float32) * np.float32(1.3)
    return np.tile(patch, (HEIGHT // 75, WIDTH // 90))


def _lit(d: Drawing, shot: Shot) -> Image.Image:
    """Colour of the drawing under the shot's light: RGBA of the size of its box."""
    azimuth = shot.azimuth if not shot.flip else 180 - shot.azimuth
    up, a = np.deg2rad(shot.elevation), np.deg2rad(azimuth)
    lx, ly, lz = (np.float32(v) for v in (np.cos(up) * np.cos(a), -np.cos(up) * np.sin(a), np.sin(up)))
    diffuse = np.maximum((lz - d.gx * lx - d.gy * ly) * d.facing, 0) * np.float32(0.62 / float(lz))
    sky = np.float32(0.05) * d.gy * d.facing  # the ceiling is brighter than the floor
    light = (np.float32(0.38) + sky) * d.shade + diffuse * (np.float32(0.35) + np.float32(0.65) * d.shade)
    size = np.float32(np.sqrt(lx * lx + ly * ly + (lz + 1) ** 2))
    hx, hy, hz = lx / size, ly / size, (lz + 1) / size
    mirror = np.clip((hz - d.gx * hx - d.gy * hy) * d.facing, 0, 1)
    for _ in range(4):
        mirror *= mirror
    shine = (mirror - hz**16) * (np.float32(0.05) + d.gloss * np.float32(0.16))
    mirror *= mirror
    mirror *= mirror
    shine += mirror * d.gloss * d.gloss * np.float32(0.55)
    shine += (1 - d.facing) * np.float32(0.07) * (d.gloss + np.float32(0.35))
    shine *= d.shade
    color = d.albedo * light
    color += shine
    color *= _lamp(shot) * 255
    np.clip(color, 0, 255, out=color)
    out = np.empty((*d.alpha.shape, 4), dtype=np.uint8)
    for channel in range(3):
        out[..., channel] = color[channel]
    out[..., 3] = d.alpha * np.float32(255)
    return Image.fromarray(out, "RGBA")


def _placed(layer: Image.Image, box: tuple[int, int, int, int], shot: Shot) -> Image.Image:
    """The lit drawing turned, scaled and seen in perspective, on an empty picture."""
    x0, y0, x1, y1 = box
    if shot.flip:
        layer = layer.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        x0, x1 = WIDTH - x1, WIDTH - x0
    whole = Image.new("RGBA", (WIDTH, HEIGHT))
    if shot.scale == 1 and not (shot.turn or shot.yaw or shot.pitch):
        whole.paste(layer, (x0, y0))
        return whole
    centre = ((x0 + x1) / 2, (y0 + y1) / 2) if shot.scale > 1 else (WIDTH / 2, HEIGHT / 2)  # a detail is of the product
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], dtype=np.float64) - centre
    a = np.deg2rad(shot.turn)
    spun = corners @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) * shot.scale
    nearer = 1 + shot.yaw * spun[:, 0] / WIDTH + shot.pitch * spun[:, 1] / HEIGHT
    squeeze = np.array([1 - abs(shot.yaw) * 0.45, 1 - abs(shot.pitch) * 0.45])
    seen = spun * squeeze / nearer[:, None] + (WIDTH / 2 + shot.shift[0], HEIGHT / 2 + shot.shift[1])
    low = np.clip(np.floor(seen.min(axis=0)), 0, (WIDTH - 2, HEIGHT - 2)).astype(int)
    high = np.clip(np.ceil(seen.max(axis=0)), low + 1, (WIDTH, HEIGHT)).astype(int)
    source = [(0, 0), (x1 - x0, 0), (x1 - x0, y1 - y0), (0, y1 - y0)]
    rows, values = [], []
    for (x, y), (u, v) in zip(seen - low, source, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    numbers = np.linalg.solve(np.array(rows), np.array(values, dtype=np.float64)).tolist()
    sampling = Image.Resampling.BICUBIC if shot.scale > 1 else Image.Resampling.BILINEAR  # blur shows when enlarged
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    whole.paste(layer.transform(size, Image.Transform.PERSPECTIVE, numbers, sampling), (int(low[0]), int(low[1])))
    return whole


def _paired(layer: Image.Image, shot: Shot) -> Image.Image:
    """The layer with its twin a step behind it."""
    aside = 34 if shot.flip else -34
    behind = layer.transform(
        layer.size, Image.Transform.AFFINE, (1.05, 0, -aside - 11, 0, 1.05, 16), Image.Resampling.BILINEAR
    )
    front = layer.transform(
        layer.size, Image.Transform.AFFINE, (1.05, 0, aside * 0.5 - 11, 0, 1.05, -38), Image.Resampling.BILINEAR
    )
    soft = front.getchannel("A").filter(ImageFilter.GaussianBlur(9)).point(lambda a: a * 0.4)
    dark = Image.composite(Image.new("RGB", layer.size, (12, 11, 10)), behind.convert("RGB"), soft)
    dark.putalpha(behind.getchannel("A"))
    return Image.alpha_composite(dark, front)


def _shadow(alpha: Image.Image, shot: Shot) -> Plane:
    """Darkness on the backdrop, 0 to 1: a soft cast shadow and a tight one where the product touches."""
    quarter = alpha.reduce(4)
    a = np.deg2rad(shot.azimuth)
    away = -np.cos(a), np.sin(a)
    if shot.lying:
        strong = 0.20 if shot.backdrop == "studio" else 0.42
        near = _thrown(quarter, away[0] * 1.0, away[1] * 1.2, 1.3) * strong
        far = _thrown(quarter, away[0] * 3.4, away[1] * 3.8, 5.0) * strong * 0.8
        dark = near + far * (1 - near)
    else:
        bounds = quarter.getbbox() or (0, 0, *quarter.size)
        bottom = bounds[3]
        tall = max(4, int((bounds[3] - bounds[1]) * 0.16))
        squashed = quarter.crop(bounds).resize((bounds[2] - bounds[0], tall))
        ground = Image.new("L", quarter.size)
        ground.paste(squashed, (bounds[0] + round(away[0] * 4), min(bottom - int(tall * 0.62), quarter.height - 2)))
        foot = Image.new("L", quarter.size)
        low = quarter.crop((bounds[0], max(bottom - 3, 0), bounds[2], bottom))
        foot.paste(low, (bounds[0], bottom - 2))
        far = _thrown(ground, 0, 0, 4.5) * 0.30
        near = _thrown(foot, 0, 0.6, 1.4) * 0.42
        dark = near + far * (1 - near)
    return np.asarray(Image.fromarray(dark).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))


def _thrown(mask: Image.Image, dx: float, dy: float, sigma: float) -> Plane:
    """Mask moved by (dx, dy) of its pixels and blurred, float 0 to 1."""
    moved = mask.transform(mask.size, Image.Transform.AFFINE, (1, 0, -dx, 0, 1, -dy), Image.Resampling.BILINEAR)
    return np.asarray(moved.filter(ImageFilter.GaussianBlur(sigma)), dtype=np.float32) * np.float32(1 / 255)
