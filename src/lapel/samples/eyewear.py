"""Shapes of sunglasses, seen from the front.

Each function lays the parts of one product on a `Canvas`; points are canvas pixels from the centre line.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lapel.samples.canvas import Canvas, Plane, creases, grid
from lapel.samples.fabric import RGB, Fabric, mixed, plain
from lapel.samples.outlines import Outline, Point, closed, ellipse, limb, mirror
from lapel.samples.plan import WardrobeProduct


def sunglasses(c: Canvas, p: WardrobeProduct, _pose: str) -> None:
    """Sunglasses from the front with the temples folded behind."""
    c.depth = 10.0
    form, wire = p.trait("frame"), p.material == "Metal" or p.trait("frame") == "aviator"
    rim = replace(
        p.fabric, texture="smooth", pattern="leopard" if p.colour == "Tortoise" else "plain", scale=30.0, gloss=0.9
    )
    if p.colour == "Tortoise":
        rim = replace(rim, colours=((0.42, 0.24, 0.12), (0.10, 0.06, 0.04), (0.62, 0.38, 0.16)))
    y = 292.0
    w, h = p.vary("wide", 78, 88), p.vary("high", 0.92, 1.1)
    gap = p.vary("gap", 13, 19)
    x0, x1 = gap, gap + 2 * w
    glass = _lens_outline(form, x0, x1, y, h)
    middle = glass.mean(axis=0)
    swell = 1.06 if wire else p.vary("rim", 1.13, 1.22)
    frame = ((glass - middle) * swell + middle).astype(np.float32)
    high = y - 40 * h
    for side in (1, -1):
        temple = limb(
            [(side * (x1 - 4), high), (side * (x1 - 34), high + 26), (side * 30, high + 40), (side * -50, high + 48)],
            [8 if wire else 15, 6 if wire else 11],
        )
        c.part(temple, rim, edge=3, shadow=0.1, dim=0.85)
    bridge_y = y - (34 if form != "round" else 14) * h
    c.part(
        limb([(-x0 - 8, bridge_y + 9), (0, bridge_y - 2), (x0 + 8, bridge_y + 9)], [5 if wire else 15] * 2),
        rim,
        lift=2,
        edge=3,
        shadow=0.2,
    )
    if form == "aviator":
        c.part(
            limb([(-x0 - 22, y - 56 * h), (0, y - 62 * h), (x0 + 22, y - 56 * h)], [5, 5]),
            rim,
            lift=2,
            edge=2,
            shadow=0.2,
        )
    _lay_lenses(c, p, frame, glass, rim, thin=wire)


def _lens_outline(form: str, x0: float, x1: float, y: float, h: float) -> Outline:
    """Right lens between `x0` and `x1` about row `y`, its height scaled by `h`."""
    w = (x1 - x0) / 2
    shapes: dict[str, list[Point]] = {
        "wayfarer": [
            (x0 + 4, y - 46 * h),
            (x1 - 6, y - 54 * h),
            (x1, y - 34 * h),
            (x1 - 16, y + 34 * h),
            (x1 - 52, y + 54 * h),
            (x0 + 42, y + 52 * h),
            (x0 + 8, y + 26 * h),
        ],
        "round": [
            (x0 + w + float(np.cos(t)) * w * 0.92, y + float(np.sin(t)) * w * 0.92)
            for t in np.linspace(0, 2 * np.pi, 12, endpoint=False)
        ],
        "cateye": [
            (x0 + 6, y - 32 * h),
            (x0 + w, y - 48 * h),
            (x1 + 4, y - 66 * h),
            (x1 - 4, y - 16 * h),
            (x1 - 34, y + 38 * h),
            (x0 + 62, y + 48 * h),
            (x0 + 14, y + 26 * h),
        ],
        "aviator": [
            (x0 + 8, y - 48 * h),
            (x0 + w, y - 56 * h),
            (x1 - 8, y - 46 * h),
            (x1 - 2, y - 4 * h),
            (x1 - 38, y + 60 * h),
            (x1 - 84, y + 66 * h),
            (x0 + 22, y + 26 * h),
        ],
        "square": [
            (x0 + 6, y - 50 * h),
            (x1 - 6, y - 52 * h),
            (x1, y - 40 * h),
            (x1 - 6, y + 44 * h),
            (x1 - 20, y + 54 * h),
            (x0 + 24, y + 54 * h),
            (x0 + 6, y + 42 * h),
        ],
    }
    return closed(shapes[form])


def _lay_lenses(c: Canvas, p: WardrobeProduct, frame: Outline, glass: Outline, rim: Fabric, *, thin: bool) -> None:
    """Rims with tinted, domed lenses on both sides."""
    tint: RGB = {
        "grey": (0.16, 0.17, 0.18),
        "brown": (0.30, 0.19, 0.12),
        "green": (0.13, 0.22, 0.17),
        "blue": (0.14, 0.24, 0.42),
        "rose": (0.62, 0.36, 0.38),
    }[p.trait("lens")]
    middle, y = glass.mean(axis=0), 292.0
    pale = p.vary("fade", 0.0, 0.5)
    shade = Fabric((tint, mixed(tint, (0.92, 0.9, 0.88), pale), tint), "gradient", "smooth", 24, 0.85, 0)
    for side in (1, -1):
        outer, lens_outline = (frame, glass) if side == 1 else (mirror(frame), mirror(glass))
        c.part(outer, rim, lift=3, edge=3 if thin else 6, shadow=0.25)
        c.part(lens_outline, shade, lift=1, edge=2.5, shadow=0.0, folds=_lens_bulge(middle, side))
        glint = closed(
            [
                (side * middle[0] - 34, y - 34),
                (side * middle[0] - 10, y - 40),
                (side * middle[0] - 40, y + 26),
                (side * middle[0] - 52, y + 14),
            ]
        )
        c.albedo += _soft_glint(glint) * np.float32(0.16)
        if not thin:
            c.part(
                ellipse(side * (float(frame[:, 0].max()) - 12), float(frame[:, 1].min()) + 14, 4.5, 3),
                plain((0.80, 0.80, 0.82), "smooth", 1.0),
                follow=True,
                lift=1,
                edge=1.2,
                shadow=0.2,
            )


def _lens_bulge(middle: Outline, side: int) -> Plane:
    x, y = grid()
    return np.asarray(-(((x - side * middle[0]) ** 2 + (y - middle[1]) ** 2) * np.float32(0.0016)), dtype=np.float32)


def _soft_glint(outline: Outline) -> Plane:
    lines = creases([outline[: len(outline) // 2]], 16, 1.0)
    return np.clip(lines, 0, 1)
