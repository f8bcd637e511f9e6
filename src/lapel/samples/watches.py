"""Shapes of wrist watches, seen from above.

Each function lays the parts of one product on a `Canvas`; points are canvas pixels from the centre line.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lapel.samples.bodice import thread
from lapel.samples.canvas import Canvas
from lapel.samples.fabric import RGB, Fabric, mixed, plain, rgb
from lapel.samples.outlines import box, curve, ellipse, limb
from lapel.samples.palette import brightness, colour
from lapel.samples.plan import WardrobeProduct

_DIALS: dict[str, RGB] = {
    "white": (0.95, 0.95, 0.94),
    "black": (0.09, 0.09, 0.10),
    "navy": (0.10, 0.16, 0.32),
    "green": (0.09, 0.27, 0.20),
    "cream": (0.93, 0.88, 0.76),
    "blush": (0.93, 0.80, 0.76),
}
_MIDDLE = 300.0


def watch(c: Canvas, p: WardrobeProduct, _pose: str) -> None:
    """Wrist watch from above: strap or bracelet, case, crown, dial, hands and glass."""
    c.depth = 18.0
    metal = replace(p.fabric, pattern="plain", texture="smooth", gloss=0.95)
    r, square = p.vary("size", 82, 100), p.trait("case") == "square"
    _watch_strap(c, p, metal, r)
    case = box(-r, _MIDDLE - r, r, _MIDDLE + r, r * 0.3) if square else ellipse(0, _MIDDLE, r, r)
    for side in (-1, 1):
        for end in (-1, 1):
            lug = limb(
                [(side * r * 0.56, _MIDDLE + end * r * 0.7), (side * r * 0.58, _MIDDLE + end * r * 1.16)], [18, 13]
            )
            c.part(lug, metal, lift=2, edge=4, shadow=0.3)
    c.part(box(r - 4, _MIDDLE - 11, r + 15, _MIDDLE + 11, 5), metal, lift=1, edge=4, shadow=0.3)
    c.part(case, metal, lift=9, edge=9, shadow=0.45)
    inner = p.vary("bezel", 0.80, 0.90)
    face = (
        box(-r * inner, _MIDDLE - r * inner, r * inner, _MIDDLE + r * inner, r * 0.2)
        if square
        else ellipse(0, _MIDDLE, r * inner, r * inner)
    )
    tone = _DIALS[p.trait("dial")]
    c.part(face, plain(tone, "smooth", 0.35), lift=5, edge=2.0, shadow=0.0, dim=0.97)
    _watch_dial(c, p, r * inner, tone)


def _watch_strap(c: Canvas, p: WardrobeProduct, metal: Fabric, r: float) -> None:
    """Leather, silicone, link or mesh strap running out of the picture's middle."""
    wide, end = r * 1.02, r * 0.82
    long = 235.0
    bracelet = "Bracelet" in p.material
    tones = [colour(n) for n in ("Black", "Brown", "Tan", "Navy", "Cognac", "Taupe")]
    strap = metal if bracelet else plain(tones[p.design % 6], "leather" if "Leather" in p.material else "smooth", 0.3)
    if "Mesh" in p.material:
        strap = replace(metal, texture="straw", gloss=0.6)
    for sign in (-1, 1):
        band = limb(
            [(0, _MIDDLE + sign * r * 0.7), (0, _MIDDLE + sign * (r + 40)), (0, _MIDDLE + sign * long)],
            [wide, wide * 0.97, end],
        )
        c.part(band, strap, edge=8, shadow=0.2, lift=2)
        if bracelet and "Mesh" not in p.material:
            for k in range(11):
                y = _MIDDLE + sign * (r + 8 + k * 13)
                half = (wide + (end - wide) * (k / 10)) / 2
                if abs(y - _MIDDLE) < long - 3:
                    c.seam(curve([(-half, y), (half, y)]), width=1.8, depth=1.8, dark=0.4)
            for x in (-end * 0.2, end * 0.2):
                c.seam(
                    curve([(x * 1.2, _MIDDLE + sign * r), (x, _MIDDLE + sign * long)]), width=1.4, depth=1.4, dark=0.3
                )
        elif not bracelet:
            for x in (-0.42, 0.42):
                c.stitches(
                    curve([(x * wide, _MIDDLE + sign * (r + 6)), (x * end, _MIDDLE + sign * (long - 8))]),
                    thread(strap, 0.35),
                    on=4.5,
                )
    if not bracelet:
        for k in range(5):
            c.part(
                ellipse(0, _MIDDLE + long - 26 - k * 19, 3.6, 3.6),
                plain((0.06, 0.05, 0.05)),
                follow=True,
                lift=-1.5,
                edge=1.5,
                shadow=0,
            )
        y = _MIDDLE - long + 4
        buckle = box(-end * 0.62, y - 16, end * 0.62, y + 16, 7)
        c.part(buckle, metal, lift=4, edge=3, shadow=0.35, holes=[box(-end * 0.46, y - 7, end * 0.46, y + 7, 3)])


def _watch_dial(c: Canvas, p: WardrobeProduct, r: float, tone: RGB) -> None:
    dark = brightness(tone) < 0.5
    ink: RGB = (0.93, 0.93, 0.92) if dark else (0.12, 0.12, 0.13)
    tone_of_marks = ink if p.vary("marks", 0, 1) > 0.4 else p.fabric.colours[0]
    mark = rgb(tone_of_marks)
    style, square = p.trait("markers"), p.trait("case") == "square"
    for k in range(60 if p.trait("sub") == "chrono" else 12):
        hour = k * 6.0 if p.trait("sub") == "chrono" else k * 30.0
        major = hour % 30 == 0
        a = np.deg2rad(hour)
        dx, dy = float(np.sin(a)), -float(np.cos(a))
        reach = r / max(abs(dx), abs(dy)) if square else r
        r0, r1 = reach * (0.76 if major else 0.90), reach * 0.93
        if major and style == "dots":
            c.part(
                ellipse(dx * reach * 0.86, _MIDDLE + dy * reach * 0.86, 4, 4),
                plain(tone_of_marks, "smooth", 0.6),
                follow=True,
                lift=1,
                edge=1.2,
                shadow=0.3,
            )
        else:
            width = (2.0 if style == "romans" and hour % 90 else 4.2) if major else 1.0
            shift = [-3.2, 3.2] if style == "romans" and major and hour % 90 == 0 else [0.0]
            for s in shift:
                sx, sy = -dy * s, dx * s
                c.line(
                    curve([(dx * r0 + sx, _MIDDLE + dy * r0 + sy), (dx * r1 + sx, _MIDDLE + dy * r1 + sy)]),
                    mark,
                    width,
                    lift=0.9,
                )
    if p.trait("sub") != "none":
        for x, y in ((0.0, 0.42), (-0.42, 0.0), (0.42, 0.0))[: 3 if p.trait("sub") == "chrono" else 1]:
            c.part(
                ellipse(x * r, _MIDDLE + y * r, r * 0.2, r * 0.2),
                plain(mixed(tone, ink, 0.10), "smooth", 0.3),
                follow=True,
                lift=-0.8,
                edge=1.5,
                shadow=0,
            )
            c.line(ellipse(x * r, _MIDDLE + y * r, r * 0.2, r * 0.2), mark, 1.2, lift=0.4)
            c.line(curve([(x * r, _MIDDLE + y * r), (x * r + r * 0.09, _MIDDLE + y * r - r * 0.1)]), mark, 1.6)
    hands: Fabric = plain(tone_of_marks, "smooth", 0.7)
    for angle, reach, width in (
        (-58.0 + 40 * p.vary("hour", 0, 1), 0.5, 6.5),
        (58.0 + 20 * p.vary("minute", 0, 1), 0.76, 4.6),
    ):
        a = np.deg2rad(angle)
        tip = (float(np.sin(a)) * r * reach, _MIDDLE - float(np.cos(a)) * r * reach)
        c.part(
            limb([(-tip[0] * 0.14, _MIDDLE + (_MIDDLE - tip[1]) * 0.14), tip], [width, width * 0.5]),
            hands,
            follow=True,
            lift=1.6,
            edge=1.3,
            shadow=0.3,
        )
    c.line(
        curve([(-6, _MIDDLE + 18), (12, _MIDDLE - r * 0.7)]),
        rgb(p.fabric.colours[0] if dark else (0.7, 0.15, 0.12)),
        1.4,
    )
    c.part(ellipse(0, _MIDDLE, 5, 5), hands, follow=True, lift=2, edge=2, shadow=0.3)
