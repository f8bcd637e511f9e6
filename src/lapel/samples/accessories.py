"""Shapes of textile and leather accessories: scarves, belts, ties, gloves and socks.

Each function lays the parts of one product on a `Canvas`; points are canvas pixels from the centre line.
"""

from __future__ import annotations

import numpy as np

from lapel.samples.bodice import ribbed, single, thread
from lapel.samples.canvas import HEIGHT, WIDTH, Canvas, Plane, creases, noise
from lapel.samples.dresses import drape
from lapel.samples.fabric import RGB, mixed, plain, rgb
from lapel.samples.outlines import Point, box, closed, curve, ellipse, limb, mirror, moved, turned
from lapel.samples.plan import WardrobeProduct

_METALS: dict[str, RGB] = {"gold": (0.85, 0.69, 0.38), "silver": (0.80, 0.80, 0.82)}


def scarf(c: Canvas, p: WardrobeProduct, _pose: str) -> None:
    """Scarf knotted in a loop, folded in a pile or hanging in two lengths."""
    c.depth = 24.0
    way, w = p.trait("tie"), p.vary("wide", 58, 78)
    folds: Plane = noise(c.rng, WIDTH, HEIGHT, 12, 5) * np.float32(3) + noise(c.rng, WIDTH, HEIGHT, 5, 4) * np.float32(
        2.4
    )
    if way == "folded":
        for k in range(4):
            y = 176 + k * 58
            slab = closed(
                [(-150, y, 1), (150, y - 4, 1), (156, y + 28), (152, y + 74, 1), (-150, y + 78, 1), (-157, y + 36)]
            )
            c.part(slab, p.fabric, folds=folds * np.float32(0.6), edge=13, shadow=0.4, lift=2)
        _fringe(c, p, -110, 110, 426, 0)
        c.part(box(-116, 380, 116, 428, 2), p.fabric, folds=folds * np.float32(0.6), edge=6, shadow=0.3, lift=3)
        return
    if way == "loop":
        ring = limb(
            [(-20, 250), (-118, 170), (-80, 84), (0, 66), (80, 84), (118, 170), (20, 250)], [w * 0.9, w * 1.15, w * 0.9]
        )
        c.part(ring, p.fabric, folds=folds, edge=14, shadow=0.3, angle=20)
        for x, end, turn in ((34.0, 520.0, -6.0), (-36.0, 548.0, 6.0)):
            tail = limb([(x * 0.4, 236), (x, 360), (x * 1.5, end)], [w * 0.8, w * 1.3, w * 1.5])
            _fringe(c, p, x * 1.5 - w * 0.74, x * 1.5 + w * 0.74, end - 2, turn)
            c.part(
                tail,
                p.fabric,
                folds=folds + drape(c, 230, end, w * 0.6, w * 1.0, count=4, height=3.4),
                edge=9,
                shadow=0.4,
                angle=turn,
            )
        c.part(
            closed([(-56, 216), (0, 200), (56, 216), (48, 282), (0, 296), (-50, 280)]),
            p.fabric,
            folds=folds,
            edge=16,
            shadow=0.5,
            lift=6,
            angle=70,
        )
        return
    for x, end, turn in ((62.0, 500.0, -3.0), (-58.0, 540.0, 3.0)):
        tail = limb([(x * 0.7, 70), (x, 280), (x * 1.1, end)], [w * 1.2, w * 1.5, w * 1.6])
        _fringe(c, p, x * 1.1 - w * 0.78, x * 1.1 + w * 0.78, end - 2, turn)
        c.part(
            tail,
            p.fabric,
            folds=folds + drape(c, 60, end, w * 0.9, w * 1.1, count=4, height=3.6),
            edge=9,
            shadow=0.4,
            angle=turn,
        )
    c.part(
        closed([(-104, 96, 1), (-60, 52), (0, 42), (60, 52), (104, 96, 1), (40, 100), (0, 96), (-40, 100)]),
        p.fabric,
        folds=folds,
        edge=14,
        shadow=0.4,
        angle=90,
        lift=4,
    )


def _fringe(c: Canvas, p: WardrobeProduct, x0: float, x1: float, y: float, lean: float) -> None:
    if p.trait("fringe") != "yes":
        return
    strands = []
    for k, x in enumerate(np.arange(x0 + 3, x1 - 1, 6.0)):
        drop = 26 + 5 * ((k * 7) % 3)
        strands.append(
            limb([(x, y - 3), (x + lean * 0.3, y + drop * 0.5), (x + (k % 3) - 1 - lean * 0.2, y + drop)], [4.2, 2.6])
        )
    which = single(p.fabric, k % 2 if p.pattern != "plain" else 0)
    c.part(strands, which, lift=0, edge=2, shadow=0.1)


def belt(c: Canvas, p: WardrobeProduct, _pose: str) -> None:
    """Belt rolled into an oval with the buckle in front."""
    c.depth = 12.0
    wide = p.vary("wide", 38, 60)
    metal = plain(_METALS[p.trait("metal")], "smooth", 1.0)
    y, rx = 330.0, 178.0
    far = limb([(-rx, y), (-rx * 0.8, y - 74), (0, y - 104), (rx * 0.8, y - 74), (rx, y)], [wide, wide * 0.82, wide])
    c.part(far, plain(mixed(p.fabric.colours[0], (0.6, 0.5, 0.4), 0.35), "suede", 0.03), dim=0.7, shadow=0.1, edge=3)
    near = limb(
        [(-rx - 3, y - 14), (-rx * 0.82, y + 56), (-20, y + 92), (rx * 0.82, y + 56), (rx + 3, y - 14)],
        [wide * 0.9, wide * 1.05, wide * 1.08, wide * 1.05, wide * 0.9],
    )
    c.part(near, p.fabric, edge=5, shadow=0.3, lift=2)
    spine = curve([(-rx - 3, y - 14), (-rx * 0.82, y + 56), (-20, y + 92), (rx * 0.82, y + 56), (rx + 3, y - 14)])
    if p.vary("sewn", 0, 1) > 0.35:
        for shift in (-wide * 0.42, wide * 0.42):
            c.stitches(moved(spine, 0, shift), thread(p.fabric, 0.35), on=4)
    for k in range(5):
        x, yy = spine[24 + k * 2] if len(spine) > 34 else spine[-1]
        c.part(
            ellipse(float(x), float(yy), 3.6, 3.2), plain((0.06, 0.05, 0.05)), follow=True, lift=-1, edge=1.2, shadow=0
        )
    tail = limb([(-26, y + 90), (70, y + 84), (128, y + 72)], [wide, wide, wide * 0.86])
    c.part(tail, p.fabric, edge=5, shadow=0.35, lift=4)
    hh = wide * 0.74
    if p.trait("buckle") == "plate":
        c.part(box(-66, y + 90 - hh, 4, y + 90 + hh, 8), metal, lift=6, edge=5, shadow=0.4)
        c.line(
            box(-56, y + 100 - hh, -6, y + 80 + hh, 4),
            rgb(mixed(_METALS[p.trait("metal")], (0.1, 0.1, 0.1), 0.4)),
            2.0,
            lift=-0.5,
        )
        return
    outer = (
        ellipse(-30, y + 91, hh * 1.15, hh * 1.1)
        if p.trait("buckle") == "round"
        else box(-66, y + 91 - hh, 8, y + 91 + hh, 9)
    )
    hole = (
        ellipse(-30, y + 91, hh * 0.82, hh * 0.78)
        if p.trait("buckle") == "round"
        else box(-55, y + 102 - hh, -3, y + 80 + hh, 5)
    )
    c.part(outer, metal, lift=6, edge=3.5, shadow=0.4, holes=[hole])
    c.part(limb([(-58, y + 91), (8, y + 90)], [7, 5]), metal, lift=6, edge=2.5, shadow=0.35)
    loop = box(44, y + 86 - wide * 0.62, 62, y + 84 + wide * 0.62, 4)
    c.part(loop, p.fabric, lift=5, edge=4, shadow=0.4)


def tie(c: Canvas, p: WardrobeProduct, _pose: str) -> None:
    """Necktie with its knot and neck loop."""
    c.depth = 12.0
    w = p.vary("wide", 44, 50) if p.trait("width") == "classic" else p.vary("wide", 30, 35)
    loop = limb([(-18, 108), (-62, 76), (-50, 40), (0, 28), (50, 40), (62, 76), (18, 108)], [22, 24, 20, 24, 22])
    c.part(loop, p.fabric, edge=5, shadow=0.2, dim=0.85, angle=40)
    narrow = closed([(-8, 140, 1), (14, 140, 1), (w * 0.72, 470, 1), (8, 505, 1), (-w * 0.3, 470, 1)])
    c.part(narrow, p.fabric, edge=3, shadow=0.2, angle=45, lift=0)
    folds = creases([curve([(2, 150), (5, 210), (4, 270)])], 9, 3.0) + noise(c.rng, WIDTH, HEIGHT, 4, 5) * 1.6
    blade = closed(
        [(-17, 138, 1), (17, 138, 1), (w * 0.8, 360), (w, 500, 1), (0, 558, 1), (-w, 500, 1), (-w * 0.8, 360)]
    )
    c.part(blade, p.fabric, folds=folds, edge=5, shadow=0.35, angle=38, lift=2)
    knot = closed([(-31, 98, 1), (0, 92), (31, 98, 1), (19, 146, 1), (0, 150), (-19, 146, 1)])
    c.part(
        knot, p.fabric, edge=8, shadow=0.5, angle=-35, lift=6, folds=creases([curve([(-18, 104), (4, 136)])], 7, 1.5)
    )


def gloves(c: Canvas, p: WardrobeProduct, _pose: str) -> None:
    """A pair of gloves laid side by side, palms down."""
    c.depth = 26.0
    cuff = {"plain": 40.0, "knit": 58.0, "long": 120.0}[p.trait("cuff")]
    hand: list[Point] = [
        (-46, 430, 1),
        (-50, 340),
        (-58, 290),
        (-84, 238),
        (-92, 204),
        (-76, 194),
        (-58, 220),
        (-44, 246),
        (-46, 160),
        (-42, 104),
        (-30, 98),
        (-22, 108),
        (-20, 196, 1),
        (-16, 92),
        (-6, 74),
        (6, 78),
        (8, 100),
        (7, 192, 1),
        (12, 104),
        (22, 88),
        (33, 94),
        (34, 116),
        (30, 204, 1),
        (38, 142),
        (48, 130),
        (58, 138),
        (57, 170),
        (50, 280),
        (48, 350),
        (46, 430, 1),
    ]
    tall = [(x, y if y < 400 else 400 + cuff, *k) for x, y, *k in hand]
    outline = closed(tall)
    for side in (1, -1):
        shape = outline if side == 1 else mirror(outline)
        shape = turned(moved(shape, 92 * side, 50), side * 5.0, (92.0 * side, 340.0))
        folds = noise(c.rng, WIDTH, HEIGHT, 12, 12) * 1.2
        c.part(shape, p.fabric, folds=folds, edge=7, shadow=0.35)
        for x in (-14, 2, 18):
            line = curve([(x, 230), (x * 0.8, 300)])
            c.seam(
                turned(moved(line * np.array([side, 1], np.float32), 92 * side, 50), side * 5.0, (92.0 * side, 340.0)),
                width=1.8,
                depth=1.0,
                dark=0.2,
            )
        band = closed(
            [
                (-49, 402 + cuff * 0.1, 1),
                (49, 402 + cuff * 0.1, 1),
                (49, 404 + cuff, 1),
                (0, 408 + cuff),
                (-49, 404 + cuff, 1),
            ]
        )
        band = turned(moved(band, 92 * side, 50), side * 5.0, (92.0 * side, 340.0))
        trim = ribbed(p.fabric) if p.trait("cuff") == "knit" else p.fabric
        c.part(band, trim, follow=True, lift=1.4, edge=4, shadow=0.25)


def socks(c: Canvas, p: WardrobeProduct, _pose: str) -> None:
    """A pair of socks, one lying over the other."""
    c.depth = 24.0
    leg = {"ankle": 250.0, "crew": 130.0, "knee": 60.0}[p.trait("length")]
    shape: list[Point] = [
        (-40, leg, 1),
        (40, leg, 1),
        (42, 330),
        (48, 400),
        (44, 446),
        (10, 476),
        (-60, 500),
        (-126, 520),
        (-158, 506),
        (-160, 470),
        (-120, 446),
        (-62, 424),
        (-42, 380),
        (-40, 300),
    ]
    outline = closed(shape)
    accent = single(p.fabric, 1) if p.vary("accent", 0, 1) > 0.4 else single(p.fabric)
    folds = noise(c.rng, WIDTH, HEIGHT, 9, 11) * 1.6 + creases(
        [curve([(44, 420), (10, 404), (-24, 414)]), curve([(46, 396), (14, 384), (-20, 390)])], 8, 2.2
    )
    for dx, dy in ((96.0, -26.0), (24.0, 22.0)):
        c.part(moved(outline, dx, dy), p.fabric, folds=folds, edge=8, shadow=0.4)
        heel = closed([(47, 396, 1), (49, 430), (40, 452), (8, 474, 1), (4, 440), (18, 412)])
        toe = closed([(-118, 447, 1), (-156, 466), (-160, 500), (-128, 519, 1), (-116, 484)])
        for patch in (heel, toe):
            c.part(moved(patch, dx, dy), accent, follow=True, lift=0.3, edge=1.5, shadow=0.08)
        cuff = closed([(-41, leg - 1, 1), (41, leg - 1, 1), (42, leg + 42, 1), (0, leg + 45), (-41, leg + 42, 1)])
        c.part(moved(cuff, dx, dy), ribbed(accent), follow=True, lift=0.6, edge=3, shadow=0.15)
