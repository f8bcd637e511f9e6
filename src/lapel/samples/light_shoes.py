"""Shapes of light shoes: heels and ballet flats in profile, sandals from above.

Each function lays the parts of one product on a `Canvas`; points of profiles are given on a `Last`.
"""

from __future__ import annotations

import numpy as np

from lapel.samples.bodice import single, thread
from lapel.samples.canvas import Canvas
from lapel.samples.fabric import RGB, mixed, plain, rgb
from lapel.samples.last import METALS, SPINE, Last, lay_cavity, lining_of, wear_folds
from lapel.samples.outlines import Outline, Point, box, closed, curve, ellipse, limb, moved
from lapel.samples.plan import WardrobeProduct


def heel(c: Canvas, p: WardrobeProduct, _pose: str) -> None:
    """Pumps: court, slingback, ankle strap or Mary Jane on a stiletto, block, kitten or platform heel."""
    c.depth = 34.0
    kind, upper = p.trait("heel"), p.trait("upper")
    pitch = {"stiletto": 138.0, "block": 112.0, "kitten": 72.0, "platform": 150.0}[kind] * p.vary("pitch", 0.9, 1.08)
    platform = 30.0 if kind == "platform" else 0.0
    last = Last(470 if pitch > 100 else 440, 6 + platform, pitch - platform * 0.4, 4)
    body, pointed = p.fabric, p.vary("toe", 0, 1) > 0.45
    sole: RGB = (0.12, 0.11, 0.11) if p.vary("sole", 0, 1) > 0.35 else (0.72, 0.55, 0.38)
    toe = -190.0 if pointed else -178.0
    vamp = p.vary("vamp", -98, -66)
    seat = last.at(160, 0)[1]
    if upper in ("ankle", "mary"):
        _far_strap(c, p, last)
    lay_cavity(
        c,
        last,
        [(vamp + 6, 52), (-20, 50), (60, 44), (120, 62), (158, 84), (150, 30), (60, 12), (-30, 14)],
        lining_of(p),
    )
    _heel_block(c, p, last, kind, seat, sole)
    tip: list[Point] = [(toe, 2, 1), (toe + 4, 14), (-150, 34 if pointed else 44), (vamp - 12, 58), (vamp, 60, 1)]
    line: list[Point] = [(vamp + 26, 38), (-10, 28), (50, 30)]
    if upper == "slingback":
        shape = [*tip, *line[:2], (26, 22), (40, 0, 1)]
    else:
        shape = [*tip, *line, (110, 52), (152, 80), (167, 84, 1), (178, 56), (176, 20), (172, 0, 1)]
    spine = SPINE[2:] if upper == "slingback" else SPINE
    c.part(closed(last.trace([*shape, *spine])), body, folds=wear_folds(c, last, 0.35), edge=7, shadow=0.3)
    if upper == "slingback":
        insole = limb(last.trace([(20, 2), (90, 3), (172, 4)]), [8, 8])
        c.part(insole, plain(lining_of(p), "suede"), lift=0, edge=2, shadow=0.1)
        strap = limb(last.trace([(20, 20), (80, 34), (140, 66), (172, 78)]), [9, 8])
        c.part(strap, body, lift=2, edge=2.4, shadow=0.3)
        back = limb(last.trace([(172, 78), (180, 60), (172, 40)]), [9, 8])
        c.part(back, body, lift=1.5, edge=2.4, shadow=0.2)
    c.part(last.sole(toe + 2, 172, 0), plain(sole, "smooth", 0.3), lift=2.5, edge=2.5, shadow=0.2)
    topline = curve(
        last.trace([(vamp, 58), *line, (110, 50), (152, 78), (167, 82)][: 4 if upper == "slingback" else 7])
    )
    c.seam(moved(topline, 0, 4), depth=0.5, dark=0.1)
    _near_strap(c, p, last)


def _heel_block(c: Canvas, p: WardrobeProduct, last: Last, kind: str, seat: float, sole: RGB) -> None:
    ground = last.ground
    cover = single(p.fabric) if p.vary("cover", 0, 1) > 0.35 else plain(sole, "smooth", 0.4)
    back = 176.0
    if kind in ("block", "platform"):
        shape: list[Point] = [
            (112, last.at(112, 0)[1] + 3, 1),
            (back, seat - 8, 1),
            (back + 2, seat + 30),
            (back - 4, ground, 1),
            (122, ground, 1),
        ]
    elif kind == "kitten":
        shape = [
            (122, last.at(122, 0)[1] + 3, 1),
            (back, seat - 8, 1),
            (166, seat + 34),
            (164, ground, 1),
            (150, ground, 1),
            (148, seat + 36),
        ]
    else:
        shape = [
            (116, last.at(116, 0)[1] + 3, 1),
            (back, seat - 10, 1),
            (175, seat + 36),
            (171, ground, 1),
            (160, ground, 1),
            (157, seat + 52),
        ]
    c.part(closed(shape), cover, lift=1, edge=5, shadow=0.2)


def _far_strap(c: Canvas, p: WardrobeProduct, last: Last) -> None:
    up = 150 if p.trait("upper") == "ankle" else 96
    if p.trait("upper") == "ankle":
        c.part(
            limb(last.trace([(84, up), (120, up + 12), (158, up + 2)]), [9, 9]), p.fabric, dim=0.6, shadow=0, edge=2.5
        )
    else:
        c.part(
            limb(last.trace([(-14, up - 24), (2, up - 14), (34, 40)]), [11, 11]), p.fabric, dim=0.6, shadow=0, edge=2.5
        )


def _near_strap(c: Canvas, p: WardrobeProduct, last: Last) -> None:
    """Ankle or instep strap with its buckle."""
    if p.trait("upper") not in ("ankle", "mary"):
        return
    up = 96.0
    metal = plain(METALS["gold" if p.design % 2 else "silver"], "smooth", 0.95)
    if p.trait("upper") == "ankle":
        c.part(limb(last.trace([(164, 78), (168, 120), (160, 152)]), [12, 10]), p.fabric, lift=2, edge=3, shadow=0.25)
        c.part(limb(last.trace([(82, 150), (118, 138), (162, 150)]), [10, 10]), p.fabric, lift=2.5, edge=3, shadow=0.3)
        x, y, _ = last.at(118, 138)
    else:
        c.part(
            limb(last.trace([(26, 26), (4, 46), (-16, up - 22)]), [13, 12, 11]), p.fabric, lift=2.5, edge=3, shadow=0.3
        )
        x, y, _ = last.at(12, 40)
    c.part(
        box(x - 8, y - 8, x + 8, y + 8, 2),
        metal,
        lift=3,
        edge=1.5,
        follow=True,
        shadow=0.35,
        holes=[box(x - 5, y - 5, x + 5, y + 5)],
    )


def sandal(c: Canvas, p: WardrobeProduct, _pose: str) -> None:
    """A pair of sandals from above: strappy, slide, cork footbed or toe-post."""
    c.depth = 16.0
    style = p.trait("style")
    bed: RGB = (
        (0.78, 0.63, 0.45)
        if style == "footbed"
        else lining_of(p)
        if p.design % 2
        else mixed(p.fabric.colours[0], (0.1, 0.07, 0.05), 0.4)
    )
    foot: list[Point] = [
        (-22, 92),
        (22, 100),
        (56, 148),
        (60, 215),
        (49, 290),
        (46, 370),
        (44, 440),
        (24, 488),
        (-6, 498),
        (-36, 482),
        (-47, 430),
        (-45, 360),
        (-51, 280),
        (-63, 200),
        (-58, 128),
    ]
    outline = closed(foot)
    for side in (1, -1):
        at = np.array([97.0 * side, 8.0], dtype=np.float32)
        form = outline * np.array([side, 1], dtype=np.float32)
        middle = form.mean(axis=0)
        c.part(
            ((form - middle) * 1.06 + middle + (0, 5)).astype(np.float32) + at,
            plain((0.17, 0.14, 0.12), "smooth", 0.1),
            lift=0,
            edge=4,
            shadow=0.1,
        )
        c.part(form + at, plain(bed, "suede", 0.03), lift=3, edge=5, shadow=0.2)
        inner = ((form - middle) * 0.93 + middle).astype(np.float32) + at
        c.stitches(inner, thread(plain(bed), 0.3), on=4)
        for x, y, r in ((2.0, 440.0, 30.0), (0.0, 190.0, 40.0)):
            c.part(
                ellipse(side * x + at[0], y + at[1], r, r * 1.25),
                plain(mixed(bed, (0.2, 0.12, 0.06), 0.16), "suede", 0.03),
                follow=True,
                lift=-1.5,
                edge=7,
                shadow=0,
            )
        _sandal_straps(c, p, style, side, at)


def _sandal_straps(c: Canvas, p: WardrobeProduct, style: str, side: int, at: Outline) -> None:
    """Straps over one sandal seen from above, with their buckles."""
    w = p.vary("strap", 0.8, 1.2)
    metal = plain(METALS["gold" if p.design % 2 else "silver"], "smooth", 0.95)
    bands: dict[str, list[tuple[list[Point], float]]] = {
        "slide": [],
        "footbed": [],
        "strappy": [
            ([(-48, 396), (0, 350), (50, 396)], 16 * w),
            ([(-46, 398), (-30, 466), (0, 482), (30, 466), (46, 398)], 15 * w),
        ],
        "toepost": [([(-10, 146), (-34, 186), (-56, 280)], 24 * w), ([(-10, 146), (30, 186), (55, 280)], 24 * w)],
    }
    across: dict[str, list[tuple[float, float, float]]] = {
        "slide": [(166, 166 + 104 * w, 67)],
        "footbed": [(166, 166 + 46 * w, 68), (256, 256 + 46 * w, 58)],
        "strappy": [(160, 160 + 16 * w, 66), (208, 208 + 16 * w, 65)],
        "toepost": [],
    }
    for y0, y1, half in across[style]:
        rise = half * 0.3
        band = closed(
            [
                (-half, y0 + rise, 1),
                (0, y0),
                (half, y0 + rise, 1),
                (half - (y1 - y0) * 0.06, y1 + rise, 1),
                (0, y1),
                (-half + (y1 - y0) * 0.06, y1 + rise, 1),
            ]
        )
        place = band * np.array([side, 1], dtype=np.float32) + at
        c.part(place, p.fabric, lift=9, edge=9 if y1 - y0 > 30 else 5, shadow=0.5)
        middle = place.mean(axis=0)
        if y1 - y0 > 30:
            c.stitches(
                (place - middle) * np.array([0.97, 0.86], dtype=np.float32) + middle, thread(p.fabric, 0.3), on=4
            )
        if style == "footbed":
            x, y = (half - 16) * side + at[0], (y0 + y1) / 2 + rise * 0.6 + at[1]
            c.part(
                box(x - 13, y - 13, x + 13, y + 13, 3),
                metal,
                follow=True,
                lift=3,
                edge=1.8,
                shadow=0.4,
                holes=[box(x - 8, y - 8, x + 8, y + 8, 1)],
            )
    for points, width in bands[style]:
        strap = limb([(x * side + at[0], y + at[1]) for x, y in points], [width] * 2)
        c.part(strap, p.fabric, lift=9, edge=min(9, width * 0.3), shadow=0.5)
        if style == "strappy" and len(points) == 3:
            x, y = 48 * side + at[0], points[-1][1] - 12 + at[1]
            c.part(
                box(x - 13, y - 13, x + 13, y + 13, 3),
                metal,
                follow=True,
                lift=3,
                edge=1.8,
                shadow=0.4,
                holes=[box(x - 8, y - 8, x + 8, y + 8, 1)],
            )
    if style == "toepost":
        c.part(ellipse(-10 * side + at[0], 146 + at[1], 8, 8), p.fabric, lift=6, follow=True, edge=4, shadow=0.4)


def ballet(c: Canvas, p: WardrobeProduct, _pose: str) -> None:
    """Ballet flat with a bow or strap."""
    c.depth = 32.0
    last = Last(425, 8, p.vary("pitch", 8, 14), 4)
    body, pointed = p.fabric, p.trait("toe") == "pointed"
    toe, vamp = (-190.0 if pointed else -180.0), p.vary("vamp", -112, -84)
    lay_cavity(
        c,
        last,
        [(vamp + 4, 44), (-30, 46), (60, 42), (130, 58), (164, 66), (150, 24), (40, 10), (-40, 10)],
        lining_of(p),
    )
    shape: list[Point] = [
        (toe, 1, 1),
        (toe + 2, 14),
        (-158, 32 if pointed else 40),
        (vamp - 8, 48),
        (vamp, 49, 1),
        (vamp + 24, 32),
        (0, 24),
        (70, 28),
        (132, 50),
        (168, 68, 1),
        (180, 44),
        (177, 14),
        (176, 0, 1),
        *SPINE,
    ]
    c.part(closed(last.trace(shape)), body, folds=wear_folds(c, last, 0.5), edge=7, shadow=0.3)
    c.part(last.sole(toe + 2, 178, 1), plain((0.20, 0.16, 0.14), "smooth", 0.1), lift=2, edge=2.5, shadow=0.2)
    seat = last.at(150, 0)[1]
    c.part(
        closed([(112, seat + 6, 1), (177, seat + 6, 1), (176, last.ground, 1), (114, last.ground, 1)]),
        plain((0.16, 0.13, 0.12)),
        lift=2,
        edge=2,
    )
    piping = curve(last.trace([(vamp, 48), (vamp + 24, 31), (0, 23), (70, 27), (132, 49), (168, 66)]))
    c.line(piping, rgb(mixed(body.colours[0], (0, 0, 0), 0.2)), 4.0, lift=1.4)
    if p.trait("detail") == "bow":
        x, y, _ = last.at(vamp - 4, 48)
        for side in (-1, 1):
            loop = closed(
                [
                    (x, y, 1),
                    (x + side * 12, y - 10),
                    (x + side * 26, y - 8),
                    (x + side * 25, y + 7),
                    (x + side * 11, y + 6),
                ]
            )
            c.part(loop, body, follow=True, lift=3, edge=3, shadow=0.4)
        c.part(ellipse(x, y, 5, 6), body, follow=True, lift=4, edge=2.5, shadow=0.4)
    elif p.trait("detail") == "strap":
        c.part(limb(last.trace([(-14, 8), (-8, 52), (10, 70)]), [12, 11]), body, lift=3, edge=3, shadow=0.35)
        x, y, _ = last.at(-10, 36)
        c.part(ellipse(x, y, 5, 5), plain(METALS["gold"], "smooth", 0.95), lift=3, follow=True, edge=1.8, shadow=0.4)
