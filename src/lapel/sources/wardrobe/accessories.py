"""Shapes of accessories: watches, sunglasses, scarves, belts, ties, gloves and socks.

Each function lays the parts of one product on a `Canvas`; points are canvas pixels from the centre line.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .bodice import ribbed, single, thread
from .canvas import HEIGHT, WIDTH, Canvas, Plane, creases, grid, noise
from .dresses import drape
from .fabric import RGB, Fabric, mixed, plain, rgb
from .outlines import Outline, Point, box, closed, curve, ellipse, limb, mirror, moved, turned
from .palette import brightness, colour
from .plan import WardrobeProduct

_METALS: dict[str, RGB] = {"gold": (0.85, 0.69, 0.38), "silver": (0.80, 0.80, 0.82)}
_DIALS: dict[str, RGB] = {
    "white": (0.95, 0.95, 0.94), "black": (0.09, 0.09, 0.10), "navy": (0.10, 0.16, 0.32), "green": (0.09, 0.27, 0.20), "cream": (0.93, 0.88, 0.76),
    "blush": (0.93, 0.80, 0.76),
}  # fmt: skip
_MIDDLE = 300.0


def watch(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Wrist watch from above: strap or bracelet, case, crown, dial, hands and glass."""
    c.depth = 18.0
    metal = replace(p.fabric, pattern="plain", texture="smooth", gloss=0.95)
    r, square = p.vary("size", 82, 100), p.trait("case") == "square"
    _watch_strap(c, p, metal, r)
    case = box(-r, _MIDDLE - r, r, _MIDDLE + r, r * 0.3) if square else ellipse(0, _MIDDLE, r, r)
    for side in (-1, 1):
        for end in (-1, 1):
            lug = limb([(side * r * 0.56, _MIDDLE + end * r * 0.7), (side * r * 0.58, _MIDDLE + end * r * 1.16)], [18, 13])
            c.part(lug, metal, lift=2, edge=4, shadow=0.3)
    c.part(box(r - 4, _MIDDLE - 11, r + 15, _MIDDLE + 11, 5), metal, lift=1, edge=4, shadow=0.3)
    c.part(case, metal, lift=9, edge=9, shadow=0.45)
    inner = p.vary("bezel", 0.80, 0.90)
    face = box(-r * inner, _MIDDLE - r * inner, r * inner, _MIDDLE + r * inner, r * 0.2) if square else ellipse(0, _MIDDLE, r * inner, r * inner)
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
        band = limb([(0, _MIDDLE + sign * r * 0.7), (0, _MIDDLE + sign * (r + 40)), (0, _MIDDLE + sign * long)], [wide, wide * 0.97, end])
        c.part(band, strap, edge=8, shadow=0.2, lift=2)
        if bracelet and "Mesh" not in p.material:
            for k in range(11):
                y = _MIDDLE + sign * (r + 8 + k * 13)
                half = (wide + (end - wide) * (k / 10)) / 2
                if abs(y - _MIDDLE) < long - 3:
                    c.seam(curve([(-half, y), (half, y)]), width=1.8, depth=1.8, dark=0.4)
            for x in (-end * 0.2, end * 0.2):
                c.seam(curve([(x * 1.2, _MIDDLE + sign * r), (x, _MIDDLE + sign * long)]), width=1.4, depth=1.4, dark=0.3)
        elif not bracelet:
            for x in (-0.42, 0.42):
                c.stitches(curve([(x * wide, _MIDDLE + sign * (r + 6)), (x * end, _MIDDLE + sign * (long - 8))]), thread(strap, 0.35), on=4.5)
    if not bracelet:
        for k in range(5):
            c.part(ellipse(0, _MIDDLE + long - 26 - k * 19, 3.6, 3.6), plain((0.06, 0.05, 0.05)), follow=True, lift=-1.5, edge=1.5, shadow=0)
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
            c.part(ellipse(dx * reach * 0.86, _MIDDLE + dy * reach * 0.86, 4, 4), plain(tone_of_marks, "smooth", 0.6), follow=True,
                   lift=1, edge=1.2, shadow=0.3)  # fmt: skip
        else:
            width = (2.0 if style == "romans" and hour % 90 else 4.2) if major else 1.0
            shift = [-3.2, 3.2] if style == "romans" and major and hour % 90 == 0 else [0.0]
            for s in shift:
                sx, sy = -dy * s, dx * s
                c.line(curve([(dx * r0 + sx, _MIDDLE + dy * r0 + sy), (dx * r1 + sx, _MIDDLE + dy * r1 + sy)]), mark, width, lift=0.9)
    if p.trait("sub") != "none":
        for x, y in ((0.0, 0.42), (-0.42, 0.0), (0.42, 0.0))[: 3 if p.trait("sub") == "chrono" else 1]:
            c.part(ellipse(x * r, _MIDDLE + y * r, r * 0.2, r * 0.2), plain(mixed(tone, ink, 0.10), "smooth", 0.3), follow=True, lift=-0.8, edge=1.5, shadow=0)
            c.line(ellipse(x * r, _MIDDLE + y * r, r * 0.2, r * 0.2), mark, 1.2, lift=0.4)
            c.line(curve([(x * r, _MIDDLE + y * r), (x * r + r * 0.09, _MIDDLE + y * r - r * 0.1)]), mark, 1.6)
    hands: Fabric = plain(tone_of_marks, "smooth", 0.7)
    for angle, reach, width in ((-58.0 + 40 * p.vary("hour", 0, 1), 0.5, 6.5), (58.0 + 20 * p.vary("minute", 0, 1), 0.76, 4.6)):
        a = np.deg2rad(angle)
        tip = (float(np.sin(a)) * r * reach, _MIDDLE - float(np.cos(a)) * r * reach)
        c.part(limb([(-tip[0] * 0.14, _MIDDLE + (_MIDDLE - tip[1]) * 0.14), tip], [width, width * 0.5]), hands, follow=True, lift=1.6, edge=1.3, shadow=0.3)
    c.line(curve([(-6, _MIDDLE + 18), (12, _MIDDLE - r * 0.7)]), rgb(p.fabric.colours[0] if dark else (0.7, 0.15, 0.12)), 1.4)
    c.part(ellipse(0, _MIDDLE, 5, 5), hands, follow=True, lift=2, edge=2, shadow=0.3)


def sunglasses(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Sunglasses from the front with the temples folded behind."""
    c.depth = 10.0
    form, wire = p.trait("frame"), p.material == "Metal" or p.trait("frame") == "aviator"
    rim = replace(p.fabric, texture="smooth", pattern="leopard" if p.colour == "Tortoise" else "plain", scale=30.0, gloss=0.9)
    if p.colour == "Tortoise":
        rim = replace(rim, colours=((0.42, 0.24, 0.12), (0.10, 0.06, 0.04), (0.62, 0.38, 0.16)))
    y = 292.0
    w, h = p.vary("wide", 78, 88), p.vary("high", 0.92, 1.1)
    gap = p.vary("gap", 13, 19)
    x0, x1 = gap, gap + 2 * w
    lens: dict[str, list[Point]] = {
        "wayfarer": [(x0 + 4, y - 46 * h), (x1 - 6, y - 54 * h), (x1, y - 34 * h), (x1 - 16, y + 34 * h), (x1 - 52, y + 54 * h), (x0 + 42, y + 52 * h), (x0 + 8, y + 26 * h)],
        "round": [(x0 + w + np.cos(t) * w * 0.92, y + np.sin(t) * w * 0.92) for t in np.linspace(0, 2 * np.pi, 12, endpoint=False)],
        "cateye": [(x0 + 6, y - 32 * h), (x0 + w, y - 48 * h), (x1 + 4, y - 66 * h), (x1 - 4, y - 16 * h), (x1 - 34, y + 38 * h), (x0 + 62, y + 48 * h), (x0 + 14, y + 26 * h)],
        "aviator": [(x0 + 8, y - 48 * h), (x0 + w, y - 56 * h), (x1 - 8, y - 46 * h), (x1 - 2, y - 4 * h), (x1 - 38, y + 60 * h), (x1 - 84, y + 66 * h), (x0 + 22, y + 26 * h)],
        "square": [(x0 + 6, y - 50 * h), (x1 - 6, y - 52 * h), (x1, y - 40 * h), (x1 - 6, y + 44 * h), (x1 - 20, y + 54 * h), (x0 + 24, y + 54 * h), (x0 + 6, y + 42 * h)],
    }
    glass = closed([(float(a), float(b)) for a, b in lens[form]])
    middle = glass.mean(axis=0)
    swell = 1.06 if wire else p.vary("rim", 1.13, 1.22)
    frame = ((glass - middle) * swell + middle).astype(np.float32)
    high = y - 40 * h
    for side in (1, -1):
        temple = limb([(side * (x1 - 4), high), (side * (x1 - 34), high + 26), (side * 30, high + 40), (side * -50, high + 48)], [8 if wire else 15, 6 if wire else 11])
        c.part(temple, rim, edge=3, shadow=0.1, dim=0.85)
    bridge_y = y - (34 if form != "round" else 14) * h
    c.part(limb([(-x0 - 8, bridge_y + 9), (0, bridge_y - 2), (x0 + 8, bridge_y + 9)], [5 if wire else 15] * 2), rim, lift=2, edge=3, shadow=0.2)
    if form == "aviator":
        c.part(limb([(-x0 - 22, y - 56 * h), (0, y - 62 * h), (x0 + 22, y - 56 * h)], [5, 5]), rim, lift=2, edge=2, shadow=0.2)
    tint: RGB = {"grey": (0.16, 0.17, 0.18), "brown": (0.30, 0.19, 0.12), "green": (0.13, 0.22, 0.17), "blue": (0.14, 0.24, 0.42), "rose": (0.62, 0.36, 0.38)}[p.trait("lens")]
    pale = p.vary("fade", 0.0, 0.5)
    shade = Fabric((tint, mixed(tint, (0.92, 0.9, 0.88), pale), tint), "gradient", "smooth", 24, 0.85, 0)
    for side in (1, -1):
        outer, lens_outline = (frame, glass) if side == 1 else (mirror(frame), mirror(glass))
        c.part(outer, rim, lift=3, edge=3 if wire else 6, shadow=0.25)
        c.part(lens_outline, shade, lift=1, edge=2.5, shadow=0.0, folds=_lens_bulge(middle, side))
        glint = closed([(side * middle[0] - 34, y - 34), (side * middle[0] - 10, y - 40), (side * middle[0] - 40, y + 26), (side * middle[0] - 52, y + 14)])
        c.albedo += _soft_glint(glint) * np.float32(0.16)
        if not wire:
            c.part(ellipse(side * (x1 + 1), high + 2, 4.5, 3), plain(_METALS["silver"], "smooth", 1.0), follow=True, lift=1, edge=1.2, shadow=0.2)


def _lens_bulge(middle: Outline, side: int) -> Plane:
    x, y = grid()
    return np.asarray(-(((x - side * middle[0]) ** 2 + (y - middle[1]) ** 2) * np.float32(0.0016)), dtype=np.float32)


def _soft_glint(outline: Outline) -> Plane:
    lines = creases([outline[: len(outline) // 2]], 16, 1.0)
    return np.clip(lines, 0, 1)


def scarf(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Scarf knotted in a loop, folded in a pile or hanging in two lengths."""
    c.depth = 24.0
    way, w = p.trait("tie"), p.vary("wide", 58, 78)
    folds = noise(c.rng, WIDTH, HEIGHT, 12, 5) * 3.0 + noise(c.rng, WIDTH, HEIGHT, 5, 4) * 2.4
    if way == "folded":
        for k in range(4):
            y = 176 + k * 58
            slab = closed([(-150, y, 1), (150, y - 4, 1), (156, y + 28), (152, y + 74, 1), (-150, y + 78, 1), (-157, y + 36)])
            c.part(slab, p.fabric, folds=folds * 0.6, edge=13, shadow=0.4, lift=2)
        _fringe(c, p, -110, 110, 426, 0)
        c.part(box(-116, 380, 116, 428, 2), p.fabric, folds=folds * 0.6, edge=6, shadow=0.3, lift=3)
        return
    if way == "loop":
        ring = limb([(-20, 250), (-118, 170), (-80, 84), (0, 66), (80, 84), (118, 170), (20, 250)], [w * 0.9, w * 1.15, w * 0.9])
        c.part(ring, p.fabric, folds=folds, edge=14, shadow=0.3, angle=20)
        for x, end, turn in ((34.0, 520.0, -6.0), (-36.0, 548.0, 6.0)):
            tail = limb([(x * 0.4, 236), (x, 360), (x * 1.5, end)], [w * 0.8, w * 1.3, w * 1.5])
            _fringe(c, p, x * 1.5 - w * 0.74, x * 1.5 + w * 0.74, end - 2, turn)
            c.part(tail, p.fabric, folds=folds + drape(c, 230, end, w * 0.6, w * 1.0, count=4, height=3.4), edge=9, shadow=0.4, angle=turn)
        c.part(closed([(-56, 216), (0, 200), (56, 216), (48, 282), (0, 296), (-50, 280)]), p.fabric, folds=folds, edge=16, shadow=0.5, lift=6, angle=70)
        return
    for x, end, turn in ((62.0, 500.0, -3.0), (-58.0, 540.0, 3.0)):
        tail = limb([(x * 0.7, 70), (x, 280), (x * 1.1, end)], [w * 1.2, w * 1.5, w * 1.6])
        _fringe(c, p, x * 1.1 - w * 0.78, x * 1.1 + w * 0.78, end - 2, turn)
        c.part(tail, p.fabric, folds=folds + drape(c, 60, end, w * 0.9, w * 1.1, count=4, height=3.6), edge=9, shadow=0.4, angle=turn)
    c.part(closed([(-104, 96, 1), (-60, 52), (0, 42), (60, 52), (104, 96, 1), (40, 100), (0, 96), (-40, 100)]), p.fabric, folds=folds, edge=14, shadow=0.4, angle=90, lift=4)


def _fringe(c: Canvas, p: WardrobeProduct, x0: float, x1: float, y: float, lean: float) -> None:
    if p.trait("fringe") != "yes":
        return
    strands = []
    for k, x in enumerate(np.arange(x0 + 3, x1 - 1, 6.0)):
        drop = 26 + 5 * ((k * 7) % 3)
        strands.append(limb([(x, y - 3), (x + lean * 0.3, y + drop * 0.5), (x + (k % 3) - 1 - lean * 0.2, y + drop)], [4.2, 2.6]))
    which = single(p.fabric, k % 2 if p.pattern != "plain" else 0)
    c.part(strands, which, lift=0, edge=2, shadow=0.1)


def belt(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Belt rolled into an oval with the buckle in front."""
    c.depth = 12.0
    wide = p.vary("wide", 38, 60)
    metal = plain(_METALS[p.trait("metal")], "smooth", 1.0)
    y, rx = 330.0, 178.0
    far = limb([(-rx, y), (-rx * 0.8, y - 74), (0, y - 104), (rx * 0.8, y - 74), (rx, y)], [wide, wide * 0.82, wide])
    c.part(far, plain(mixed(p.fabric.colours[0], (0.6, 0.5, 0.4), 0.35), "suede", 0.03), dim=0.7, shadow=0.1, edge=3)
    near = limb([(-rx - 3, y - 14), (-rx * 0.82, y + 56), (-20, y + 92), (rx * 0.82, y + 56), (rx + 3, y - 14)], [wide * 0.9, wide * 1.05, wide * 1.08, wide * 1.05, wide * 0.9])
    c.part(near, p.fabric, edge=5, shadow=0.3, lift=2)
    spine = curve([(-rx - 3, y - 14), (-rx * 0.82, y + 56), (-20, y + 92), (rx * 0.82, y + 56), (rx + 3, y - 14)])
    if p.vary("sewn", 0, 1) > 0.35:
        for shift in (-wide * 0.42, wide * 0.42):
            c.stitches(spine + (0, shift), thread(p.fabric, 0.35), on=4)
    for k in range(5):
        x, yy = spine[24 + k * 2] if len(spine) > 34 else spine[-1]
        c.part(ellipse(float(x), float(yy), 3.6, 3.2), plain((0.06, 0.05, 0.05)), follow=True, lift=-1, edge=1.2, shadow=0)
    tail = limb([(-26, y + 90), (70, y + 84), (128, y + 72)], [wide, wide, wide * 0.86])
    c.part(tail, p.fabric, edge=5, shadow=0.35, lift=4)
    hh = wide * 0.74
    if p.trait("buckle") == "plate":
        c.part(box(-66, y + 90 - hh, 4, y + 90 + hh, 8), metal, lift=6, edge=5, shadow=0.4)
        c.line(box(-56, y + 100 - hh, -6, y + 80 + hh, 4), rgb(mixed(_METALS[p.trait("metal")], (0.1, 0.1, 0.1), 0.4)), 2.0, lift=-0.5)
        return
    outer = ellipse(-30, y + 91, hh * 1.15, hh * 1.1) if p.trait("buckle") == "round" else box(-66, y + 91 - hh, 8, y + 91 + hh, 9)
    hole = ellipse(-30, y + 91, hh * 0.82, hh * 0.78) if p.trait("buckle") == "round" else box(-55, y + 102 - hh, -3, y + 80 + hh, 5)
    c.part(outer, metal, lift=6, edge=3.5, shadow=0.4, holes=[hole])
    c.part(limb([(-58, y + 91), (8, y + 90)], [7, 5]), metal, lift=6, edge=2.5, shadow=0.35)
    loop = box(44, y + 86 - wide * 0.62, 62, y + 84 + wide * 0.62, 4)
    c.part(loop, p.fabric, lift=5, edge=4, shadow=0.4)


def tie(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Necktie with its knot and neck loop."""
    c.depth = 12.0
    w = p.vary("wide", 44, 50) if p.trait("width") == "classic" else p.vary("wide", 30, 35)
    loop = limb([(-18, 108), (-62, 76), (-50, 40), (0, 28), (50, 40), (62, 76), (18, 108)], [22, 24, 20, 24, 22])
    c.part(loop, p.fabric, edge=5, shadow=0.2, dim=0.85, angle=40)
    narrow = closed([(-8, 140, 1), (14, 140, 1), (w * 0.72, 470, 1), (8, 505, 1), (-w * 0.3, 470, 1)])
    c.part(narrow, p.fabric, edge=3, shadow=0.2, angle=45, lift=0)
    folds = creases([curve([(2, 150), (5, 210), (4, 270)])], 9, 3.0) + noise(c.rng, WIDTH, HEIGHT, 4, 5) * 1.6
    blade = closed([(-17, 138, 1), (17, 138, 1), (w * 0.8, 360), (w, 500, 1), (0, 558, 1), (-w, 500, 1), (-w * 0.8, 360)])
    c.part(blade, p.fabric, folds=folds, edge=5, shadow=0.35, angle=38, lift=2)
    knot = closed([(-31, 98, 1), (0, 92), (31, 98, 1), (19, 146, 1), (0, 150), (-19, 146, 1)])
    c.part(knot, p.fabric, edge=8, shadow=0.5, angle=-35, lift=6, folds=creases([curve([(-18, 104), (4, 136)])], 7, 1.5))


def gloves(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """A pair of gloves laid side by side, palms down."""
    c.depth = 26.0
    cuff = {"plain": 40.0, "knit": 58.0, "long": 120.0}[p.trait("cuff")]
    hand: list[Point] = [(-46, 430, 1), (-50, 340), (-58, 290), (-84, 238), (-92, 204), (-76, 194), (-58, 220), (-44, 246), (-46, 160), (-42, 104), (-30, 98), (-22, 108), (-20, 196, 1),
                         (-16, 92), (-6, 74), (6, 78), (8, 100), (7, 192, 1), (12, 104), (22, 88), (33, 94), (34, 116), (30, 204, 1), (38, 142), (48, 130), (58, 138), (57, 170),
                         (50, 280), (48, 350), (46, 430, 1)]  # fmt: skip
    tall = [(x, y if y < 400 else 400 + cuff, *k) for x, y, *k in hand]
    outline = closed(tall)
    for side in (1, -1):
        shape = outline if side == 1 else mirror(outline)
        shape = turned(moved(shape, 92 * side, 50), side * 5.0, (92.0 * side, 340.0))
        folds = noise(c.rng, WIDTH, HEIGHT, 12, 12) * 1.2
        c.part(shape, p.fabric, folds=folds, edge=7, shadow=0.35)
        for x in (-14, 2, 18):
            line = curve([(x, 230), (x * 0.8, 300)])
            c.seam(turned(moved(line * np.array([side, 1], np.float32), 92 * side, 50), side * 5.0, (92.0 * side, 340.0)), width=1.8, depth=1.0, dark=0.2)
        band = closed([(-49, 402 + cuff * 0.1, 1), (49, 402 + cuff * 0.1, 1), (49, 404 + cuff, 1), (0, 408 + cuff), (-49, 404 + cuff, 1)])
        band = turned(moved(band, 92 * side, 50), side * 5.0, (92.0 * side, 340.0))
        trim = ribbed(p.fabric) if p.trait("cuff") == "knit" else p.fabric
        c.part(band, trim, follow=True, lift=1.4, edge=4, shadow=0.25)


def socks(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """A pair of socks, one lying over the other."""
    c.depth = 24.0
    leg = {"ankle": 250.0, "crew": 130.0, "knee": 60.0}[p.trait("length")]
    shape: list[Point] = [(-40, leg, 1), (40, leg, 1), (42, 330), (48, 400), (44, 446), (10, 476), (-60, 500), (-126, 520), (-158, 506), (-160, 470), (-120, 446), (-62, 424), (-42, 380), (-40, 300)]
    outline = closed(shape)
    accent = single(p.fabric, 1) if p.vary("accent", 0, 1) > 0.4 else single(p.fabric)
    folds = noise(c.rng, WIDTH, HEIGHT, 9, 11) * 1.6 + creases([curve([(44, 420), (10, 404), (-24, 414)]), curve([(46, 396), (14, 384), (-20, 390)])], 8, 2.2)
    for dx, dy in ((96.0, -26.0), (24.0, 22.0)):
        c.part(moved(outline, dx, dy), p.fabric, folds=folds, edge=8, shadow=0.4)
        heel = closed([(47, 396, 1), (49, 430), (40, 452), (8, 474, 1), (4, 440), (18, 412)])
        toe = closed([(-118, 447, 1), (-156, 466), (-160, 500), (-128, 519, 1), (-116, 484)])
        for patch in (heel, toe):
            c.part(moved(patch, dx, dy), accent, follow=True, lift=0.3, edge=1.5, shadow=0.08)
        cuff = closed([(-41, leg - 1, 1), (41, leg - 1, 1), (42, leg + 42, 1), (0, leg + 45), (-41, leg + 42, 1)])
        c.part(moved(cuff, dx, dy), ribbed(accent), follow=True, lift=0.6, edge=3, shadow=0.15)
