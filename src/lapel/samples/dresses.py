"""Shapes of dresses, skirts and swimsuits.

Each function lays the parts of one product on a `Canvas`; `pose` is worn (on an invisible body), hanger or flat.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lapel.samples.bodice import (
    Bodice,
    Sleeve,
    both,
    lay_buttons,
    lay_cuffs,
    lay_hanger,
    lay_inside,
    lay_sleeves,
    placed,
    single,
    thread,
    torso_folds,
)
from lapel.samples.canvas import HEIGHT, WIDTH, Canvas, Plane, creases, grid, noise
from lapel.samples.fabric import RGB, mixed, plain
from lapel.samples.outlines import Outline, Point, box, closed, curve, ellipse, limb, mirror, mirrored
from lapel.samples.plan import WardrobeProduct
from lapel.samples.tops import button_colour, hanger_of

_SPREAD = {"worn": 0.0, "hanger": -3.0, "flat": 8.0}


def drape(
    c: Canvas, top: float, bottom: float, half_top: float, half_bottom: float, *, count: float, height: float
) -> Plane:
    """Folds that fan out from a waist to a hem.

    Args:
        c: the drawing, for its chance.
        top: row of the waist; folds fade in from there.
        bottom: row of the hem.
        half_top: half width at the waist, pixels.
        half_bottom: half width at the hem, pixels.
        count: folds across the whole width.
        height: ridge height at the hem, pixels.

    Returns:
        (HEIGHT, WIDTH) relief, zero above the waist.
    """
    x, y = grid()
    t = np.clip((y - np.float32(top)) / np.float32(max(bottom - top, 1)), 0, 1.1)
    place = x / (np.float32(half_top) + (np.float32(half_bottom - half_top)) * t)
    drift = noise(c.rng, WIDTH, HEIGHT, 4, 3) * np.float32(0.9)
    phase = place * np.float32(count * np.pi) + drift + np.float32(c.rng.uniform(0, 6))
    wave = np.sin(phase) + np.float32(0.45) * np.sin(phase * np.float32(1.73) + 1)
    ridge = wave * np.abs(wave) ** np.float32(0.3)
    uneven = np.float32(0.7) + np.float32(0.5) * noise(c.rng, WIDTH, HEIGHT, 5, 3)
    return np.asarray(ridge * uneven * np.sqrt(t) * np.float32(height), dtype=np.float32)


def skirt_outline(scale: float, y0: float, y1: float, waist: float, hip: float, hem: float, sag: float) -> Outline:
    """Skirt from row `y0` to row `y1`; half widths in centimetres."""
    w, h, e, deep = waist * scale, hip * scale, hem * scale, y1 - y0
    half: list[Point] = [
        (0, y0 + 2),
        (w * 0.6, y0 + 1),
        (w, y0, 1),
        (h, y0 + min(deep * 0.4, 19 * scale)),
        (h + (e - h) * 0.62, y0 + deep * 0.72),
        (e, y1, 1),
        (e * 0.55, y1 + sag * 0.8),
        (0, y1 + sag),
    ]
    return mirrored(half)


@dataclass(frozen=True)
class _Cut:
    """Measures of a dress below the waist in centimetres, and how much it folds."""

    length: float
    hip: float
    hem: float
    folds: float
    height: float


def _cut(p: WardrobeProduct) -> _Cut:
    long = p.vary("length", 0, 1)
    return {
        "aline": _Cut(92 + 14 * long, 24, 36 + 8 * p.vary("hem", 0, 1), 7, 4.5),
        "sheath": _Cut(94 + 12 * long, 22.5, 20.5 + 3 * p.vary("hem", 0, 1), 2, 1.2),
        "maxi": _Cut(122 + 12 * long, 24, 38 + 10 * p.vary("hem", 0, 1), 8, 5.0),
        "wrap": _Cut(96 + 18 * long, 24, 31 + 7 * p.vary("hem", 0, 1), 6, 4.0),
        "tiered": _Cut(96 + 26 * long, 27, 40 + 8 * p.vary("hem", 0, 1), 14, 4.0),
        "slip": _Cut(100 + 18 * long, 22.5, 26 + 4 * p.vary("hem", 0, 1), 4, 2.6),
    }[p.trait("cut")]


def dress(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Dress: bodice with a choice of neckline and sleeves, and a skirt of its cut."""
    cut, kind = _cut(p), p.trait("cut")
    style = "none" if kind == "slip" else p.trait("sleeve")
    neckline = "v" if kind == "wrap" else p.trait("neckline")
    scale, top = placed(
        max(cut.hem * 2, {"long": 72.0, "none": 44.0}.get(style, 62.0)), cut.length, hanger=pose == "hanger"
    )
    depth = {"v": 19.0, "scoop": 13.5, "square": 13.0, "boat": 4.5, "sweetheart": 14.0}[neckline]
    thin = style == "none" and (kind == "slip" or neckline == "sweetheart")
    neck = 13.2 if thin else {"boat": 13.0, "square": 11.0, "scoop": 10.5}.get(neckline, 8.5)
    shoulder = 14.6 if thin else 17.0 if style == "none" else 19.5
    waist_at = p.vary("waist", 36, 41)
    b = Bodice(
        scale,
        top,
        neck,
        shoulder,
        21.5,
        17.5 + (2.0 if kind in ("slip", "tiered") else 0),
        18.5,
        waist_at + 3.0,
        depth,
        neckline,
        2.5,
        21.5,
        waist_at,
        0.6,
    )
    c.depth, c.open_below = (30.0 if pose == "worn" else 18.0), True
    lay_inside(c, b, p.fabric, label=not thin)
    if pose == "hanger":
        lay_hanger(c, replace(b, shoulder=max(shoulder, 17)), hanger_of(p))
    if style != "none":
        _dress_sleeves(c, b, p, pose, style)
    y0, y1 = top + waist_at * scale, top + cut.length * scale
    sag = (2.2 if pose == "worn" else 1.0) * scale
    folds = drape(c, y0, y1, 17.5 * scale, cut.hem * scale, count=cut.folds, height=cut.height)
    folds += noise(c.rng, WIDTH, HEIGHT, 7, 7) * 1.0
    outline = skirt_outline(scale, y0 - 1.5 * scale, y1, b.waist + 0.3, cut.hip, cut.hem, sag)
    c.part(outline, p.fabric, folds=folds, edge=4, shadow=0.2)
    upper = replace(b, hem=b.waist + 0.3, length=waist_at + 1.0)
    c.part(upper.front(), p.fabric, folds=torso_folds(c, b, amount=0.8) + folds * 0.5, edge=3, shadow=0.12, lift=1.2)
    _dress_details(c, b, p, cut, y0, y1)
    c.part(
        b.band(0.9),
        single(p.fabric) if p.pattern == "plain" else p.fabric,
        follow=True,
        lift=0.4,
        edge=1.0,
        shadow=0.12,
    )
    c.part(b.back_band(0.9), p.fabric, follow=True, lift=0.4, edge=1.0, shadow=0.12, dim=0.85)


def _dress_sleeves(c: Canvas, b: Bodice, p: WardrobeProduct, pose: str, style: str) -> None:
    spread = _SPREAD[pose]
    sleeve = {
        "short": Sleeve(p.vary("arm", 14, 24), 15, 30 + spread, 0.8),
        "puff": Sleeve(p.vary("arm", 18, 30), 12, 27 + spread, 3.6, 4.0),
        "long": Sleeve(57, 10, 14 + spread, 1.4, 1.6),
    }[style]
    lay_sleeves(c, b, sleeve, p.fabric, stiff=1.3)
    if style != "short":
        lay_cuffs(c, b, sleeve, p.fabric, 2.2)


def _dress_details(c: Canvas, b: Bodice, p: WardrobeProduct, cut: _Cut, y0: float, y1: float) -> None:
    kind, s = p.trait("cut"), b.scale
    if kind == "wrap":
        c.seam(
            curve(b.trace([(-b.neck + 1, 1), (0, b.depth), (b.waist - 3, b.waist_at)])), width=1.8, depth=2.0, dark=0.35
        )
        hem = [(b.waist - 3, b.waist_at), (b.waist * 0.55, b.waist_at + 24), (2.0, (y1 - b.top) / s)]
        c.seam(curve(b.trace(hem)), width=1.8, depth=2.2, dark=0.35)
        _tied_belt(c, b, p)
    elif kind == "tiered":
        for share in (0.36, 0.68):
            y = y0 + (y1 - y0) * share
            half = (20 + (cut.hem - 20) * share) * s
            line = curve([(-half, y), (0, y + 2.0 * s * share), (half, y)])
            c.seam(line, width=2.2, depth=1.8, dark=0.35)
            ticks = [curve([(x, y + 1), (x + x * 0.015, y + 15)]) for x in np.arange(-half + 6, half - 4, 8.5)]
            c.height += creases(ticks, 3.0, 1.3)
    elif kind == "slip":
        c.seam(b.across(b.armhole + 4, b.chest * 0.8, 1.5), depth=0.4, dark=0.08)
    else:
        waist = b.across(b.waist_at, b.waist, 0.5)
        if p.vary("belt", 0, 1) > 0.55:
            c.part(
                limb(
                    b.trace([(-b.waist - 0.2, b.waist_at), (0, b.waist_at + 0.6), (b.waist + 0.2, b.waist_at)]),
                    [3.2 * s] * 2,
                ),
                single(p.fabric, 1) if p.pattern != "plain" else p.fabric,
                follow=True,
                lift=1.2,
                edge=1.8,
                shadow=0.3,
            )
        else:
            c.seam(waist, depth=1.2, dark=0.25)
        darts = curve(b.trace([(8.0, b.armhole + 7), (7.0, b.waist_at)]))
        for line in (darts, mirror(darts)):
            c.seam(line, depth=0.5, dark=0.1)
    if kind in ("aline", "maxi", "tiered") and p.vary("buttons", 0, 1) > 0.6:
        last = (y1 - b.top) / s * (0.94 if kind == "maxi" else 0.5)
        c.seam(b.down(0, b.depth + 0.8, last + 2), depth=0.6)
        lay_buttons(c, b, b.depth + 2.5, last, 11 if kind == "maxi" else 7, button_colour(p), radius=0.6)
    c.stitches(
        curve([(-cut.hem * s + 4, y1 - 6), (0, y1 - 5 + 2 * s), (cut.hem * s - 4, y1 - 6)]), thread(p.fabric, 0.12)
    )


def _tied_belt(c: Canvas, b: Bodice, p: WardrobeProduct) -> None:
    s, y, w = b.scale, b.waist_at, b.waist + 0.2
    c.part(
        limb(b.trace([(-w, y), (0, y + 0.6), (w, y)]), [3.4 * s] * 2),
        p.fabric,
        follow=True,
        lift=1.4,
        edge=2,
        shadow=0.35,
    )
    x = b.waist - 4
    for dx, end in ((1.2, 24.0), (-1.8, 19.0)):
        tail = limb(b.trace([(x, y), (x + dx, y + end * 0.5), (x + dx * 1.6, y + end)]), [2.0 * s, 3.4 * s, 3.8 * s])
        c.part(tail, p.fabric, follow=True, lift=1.8, edge=2, shadow=0.35)
    for side in (1, -1):
        loop = closed(
            b.trace(
                [
                    (x, y, 1),
                    (x + side * 3.5, y - 2.6),
                    (x + side * 7.2, y - 1.2),
                    (x + side * 6.6, y + 2.4),
                    (x + side * 3, y + 1.4),
                ]
            )
        )
        c.part(loop, p.fabric, follow=True, lift=2.2, edge=2.4, shadow=0.35)
    px, py, _ = b.at(x, y)
    c.part(ellipse(px, py, 1.5 * s, 1.7 * s), p.fabric, follow=True, lift=3, edge=2.4, shadow=0.4)


def clips(c: Canvas, top: float, half: float) -> None:
    """A clip hanger above a waist at row `top`, `half` pixels to each side."""
    steel: RGB = (0.74, 0.74, 0.76)
    bar = plain(steel, "smooth", 0.9)
    c.part(limb([(-half * 1.05, top - 16), (half * 1.05, top - 16)], [4.5, 4.5]), bar, edge=1.8, shadow=0)
    hook = [(0, top - 16), (0, top - 42), (3, top - 54), (14, top - 62), (13, top - 78), (0, top - 83), (-12, top - 75)]
    c.part(limb(hook, [4, 4]), bar, edge=1.6, shadow=0)
    for x in (-half * 0.72, half * 0.72):
        c.part(
            box(x - 9, top - 22, x + 9, top + 13, 3),
            plain((0.86, 0.85, 0.83), "smooth", 0.4),
            lift=5,
            edge=2.5,
            shadow=0.4,
        )


def skirt(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Skirt: A-line, pleated, pencil, mini or tiered, with its waistband."""
    kind = p.trait("cut")
    lengths = {"aline": (58, 74), "pleated": (60, 80), "pencil": (58, 68), "mini": (36, 44), "tiered": (62, 84)}[kind]
    hems = {"aline": (33, 42), "pleated": (36, 44), "pencil": (19.5, 21.5), "mini": (25, 32), "tiered": (38, 46)}[kind]
    length, hem, waist = p.vary("length", *lengths), p.vary("hem", *hems), 17.0
    scale, top = placed(max(hem * 2, 50), length, hanger=pose == "hanger")
    scale = min(scale, 8.2)
    top = (HEIGHT - length * scale) / 2 + (20 if pose == "hanger" else 0)
    y1 = top + length * scale
    c.depth, c.open_below = (30.0 if pose == "worn" else 17.0), True
    back = closed(
        [(-waist * scale, top + 2, 1), (0, top - 1.6 * scale), (waist * scale, top + 2, 1), (0, top + 3.0 * scale)]
    )
    c.part(back, single(p.fabric), dim=0.55, shadow=0, edge=2)
    count, height = {
        "aline": (6.0, 4.5),
        "pleated": (15.0, 4.0),
        "pencil": (2.0, 1.0),
        "mini": (3.0, 1.8),
        "tiered": (13.0, 3.6),
    }[kind]
    if kind == "pleated":
        folds = _pleats(top, y1, waist * scale, hem * scale, int(p.vary("pleats", 9, 17)))
        folds += noise(c.rng, WIDTH, HEIGHT, 5, 4) * 1.3
    else:
        folds = (
            drape(c, top, y1, waist * scale, hem * scale, count=count, height=height)
            + noise(c.rng, WIDTH, HEIGHT, 6, 6) * 1.3
        )
    hip = 23.0 if kind in ("pencil", "mini") else 22.0 + (hem - 22) * 0.3
    sag = (2.6 if pose == "worn" else 1.2) * scale * (0.4 if kind == "pencil" else 1.0)
    c.part(skirt_outline(scale, top, y1, waist, hip, hem, sag), p.fabric, folds=folds, edge=4, shadow=0.2)
    band = 3.6 if kind != "tiered" else 2.4
    waistband = closed(
        [
            (-waist * scale, top, 1),
            (0, top + 1.4 * scale),
            (waist * scale, top, 1),
            ((waist + 0.5) * scale, top + band * scale, 1),
            (0, top + (band + 1.6) * scale),
            (-(waist + 0.5) * scale, top + band * scale, 1),
        ]
    )
    c.part(waistband, p.fabric, follow=True, lift=1.0, edge=2, shadow=0.25)
    _skirt_details(c, p, scale, top, y1, hem, sag)
    if pose == "hanger":
        clips(c, top, waist * scale)


def _pleats(top: float, bottom: float, half_top: float, half_bottom: float, count: int) -> Plane:
    """Knife pleats: a saw-tooth across the width that opens towards the hem."""
    x, y = grid()
    t = np.clip((y - np.float32(top)) / np.float32(bottom - top), 0, 1.1)
    place = x / (np.float32(half_top) + np.float32(half_bottom - half_top) * t) * np.float32(count / 2) + np.float32(
        40.2
    )
    saw = place % 1
    soft = np.where(saw < 0.85, saw / np.float32(0.85), (1 - saw) / np.float32(0.15))
    return np.asarray(soft * (2.0 + 5.0 * t), dtype=np.float32)


def _skirt_details(c: Canvas, p: WardrobeProduct, s: float, top: float, y1: float, hem: float, sag: float) -> None:
    kind = p.trait("cut")
    if kind == "tiered":
        for share in (0.38, 0.7):
            y, half = top + (y1 - top) * share, (20 + (hem - 20) * share) * s
            c.seam(curve([(-half, y), (0, y + sag * share), (half, y)]), width=2.2, depth=1.8, dark=0.35)
            ticks = [curve([(x, y + 2), (x * 1.015, y + 17)]) for x in np.arange(-half + 6, half - 4, 9.5)]
            c.height += creases(ticks, 3.2, 1.4)
    elif kind == "pencil":
        for x in (-9, 9):
            c.seam(curve([(x * s, top + 4 * s), (x * 0.95 * s, top + 15 * s)]), depth=0.6, dark=0.12)
        c.seam(curve([(5 * s, y1 - 16 * s), (5.2 * s, y1 + sag)]), width=1.8, depth=2.0, dark=0.4)
    elif kind in ("mini", "aline") and p.vary("front", 0, 1) > 0.5:
        c.seam(curve([(0, top + 5 * s), (0, y1 + sag)]), width=1.6, depth=1.4, dark=0.3)
        count = 5 if kind == "mini" else 7
        for k in range(count):
            y = top + 2.8 * s + k * (y1 - top - 6 * s) / count
            c.part(
                ellipse(-0.2 * s, y, 0.95 * s, 0.95 * s),
                plain(button_colour(p), "smooth", 0.4),
                follow=True,
                lift=1.6,
                edge=1.4,
                shadow=0.4,
            )
    c.stitches(curve([(-hem * s + 4, y1 - 7), (0, y1 + sag - 7), (hem * s - 4, y1 - 7)]), thread(p.fabric, 0.15))


def swimsuit(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """One-piece swimsuit."""
    s, top = 7.0, 78.0
    leg, waist = p.vary("leg", 42, 50), p.vary("waist", 14.5, 16)
    depth = {"scoop": 20.0, "v": 25.0, "sweetheart": 15.0}[p.trait("neckline")]
    strap = p.trait("strap")
    neck = 9.5 if strap == "wide" else 11.0
    b = Bodice(
        s, top, neck, neck + (4.5 if strap == "wide" else 2.0), 17.5, waist, 18, 60, depth, p.trait("neckline"), 0.8, 21
    )
    c.depth = 30.0 if pose == "worn" else 16.0
    back = closed(
        b.trace(
            [
                (-neck - 1, 2, 1),
                (-neck + 2, 20),
                (0, 27),
                (neck - 2, 20),
                (neck + 1, 2, 1),
                (16, 22),
                (0, 40),
                (-16, 22),
            ]
        )
    )
    c.part(back, single(p.fabric), dim=0.55, shadow=0)
    side = b.shoulder
    half: list[Point] = [
        *b.opening(),
        (side, b.slope, 1),
        (side - 0.4, 11),
        (17.2, 21, 1),
        (waist, 36),
        (18.6, leg, 1),
        (10.5, leg + 9.5),
        (4.2, 65.0),
        (3.6, 67, 1),
        (0, 67.6),
    ]
    lines = [curve(b.trace([(sx * 16.0, 24 + k * 5.0), (sx * 7.0, 27 + k * 4.6)])) for sx in (-1, 1) for k in range(4)]
    folds = creases(lines, 6, 1.6) + noise(c.rng, WIDTH, HEIGHT, 6, 7) * 1.0
    c.part(mirrored(b.trace(half)), p.fabric, folds=folds, edge=4, shadow=0.2)
    trim = single(p.fabric, 1) if p.design % 3 == 0 else single(p.fabric)
    c.part(b.band(1.3), trim, follow=True, lift=0.5, edge=1.2, shadow=0.12)
    arm = limb(b.trace([(side - 0.4, 1), (side - 0.8, 11), (17.0, 21)]), [1.2 * s] * 2)
    both(c, arm, trim, lift=0.5, edge=1.2, shadow=0.12)
    thigh = limb(b.trace([(18.2, leg), (10.2, leg + 9.3), (3.9, 65.5)]), [1.1 * s] * 2)
    both(c, thigh, trim, lift=0.5, edge=1.2, shadow=0.12)
    if strap == "one":
        tint = mixed(p.fabric.colours[0], (0, 0, 0), 0.1)
        c.part(
            limb(b.trace([(-11, 33), (0, 34.0), (11, 33)]), [2.8 * s] * 2),
            plain(tint, "satin", 0.15),
            follow=True,
            lift=1,
            edge=2,
        )
