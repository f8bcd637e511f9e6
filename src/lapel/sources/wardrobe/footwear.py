"""Shapes of shoes in profile: sneakers, boots, heels, sandals, loafers and ballet flats, toe to the left.

Each function lays the parts of one product on a `Canvas`. Points are given on a `Last`, which knows how high the heel
stands, so the same upper works on a flat sole and on a stiletto.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .canvas import HEIGHT, WIDTH, Canvas, Plane, creases, noise
from .bodice import single, thread
from .fabric import RGB, Fabric, mixed, plain, rgb
from .outlines import Outline, Point, box, closed, curve, ellipse, limb
from .palette import brightness
from .plan import WardrobeProduct

_METALS: dict[str, RGB] = {"gold": (0.84, 0.68, 0.38), "silver": (0.80, 0.80, 0.82)}


_SPINE: list[Point] = [(120, -2), (60, -2), (0, -2), (-60, -2), (-120, -2)]  # along the sole, heel to toe


@dataclass(frozen=True)
class Last:
    """The form a shoe is built on.

    Attributes:
        ground: canvas row of the floor.
        thick: sole thickness at the ball, pixels.
        pitch: how much higher the heel stands than the ball, pixels.
        spring: how far the tip of the toe is off the floor, pixels.
    """

    ground: float = 430.0
    thick: float = 24.0
    pitch: float = 0.0
    spring: float = 6.0

    def at(self, x: float, up: float, corner: float = 0.0) -> Point:
        """Canvas point `up` pixels above the top of the sole at `x` (toe at -185, heel at 185)."""
        t = float(np.clip((x + 75) / 190, 0, 1))
        toe = float(np.clip((-110 - x) / 75, 0, 1)) ** 2 * self.spring
        return (x, self.ground - self.thick - self.pitch * t * t * (3 - 2 * t) - toe - up, corner)

    def trace(self, points: list[Point]) -> list[Point]:
        """Canvas points of (x, up) or (x, up, corner) points."""
        return [self.at(*p) for p in points]

    def sole(self, x0: float, x1: float, bulge: float = 3.0) -> Outline:
        """A sole of even thickness that follows the last from toe `x0` to heel `x1`."""
        top: list[Point] = [(x0 + 3, 2, 1), (x0 * 0.6, 2), (0, 2), (x1 * 0.6, 2), (x1 - 2, 2, 1)]
        down = self.thick
        bottom: list[Point] = [(x1 + bulge, -down * 0.45), (x1 - 5, -down, 1), (x1 * 0.6, -down), (0, -down), (x0 * 0.6, -down),
                               (x0 + 14, -down, 1), (x0 - bulge, -down * 0.4)]  # fmt: skip
        return closed(self.trace([*top, *bottom]))



def _wear(c: Canvas, last: Last, amount: float) -> Plane:
    """Creases over the toes and soft dents of leather."""
    lines = [curve(last.trace([(x, 12), (x + 12, 36), (x + 34, 66)])) for x in (-78, -62, -44)]
    folds = creases(lines, 6.0, 1.3 * amount) + noise(c.rng, WIDTH, HEIGHT, 9, 11) * (0.9 * amount)
    return np.asarray(folds, dtype=np.float32)


def _cavity(c: Canvas, last: Last, points: list[Point], tone: RGB) -> None:
    """The far side of the opening with the lining in the dark."""
    c.part(closed(last.trace(points)), plain(tone, "suede", 0.03), dim=0.55, shadow=0, edge=3, lift=0)


def _lining(p: WardrobeProduct) -> RGB:
    return mixed(p.fabric.colours[0], (0.86, 0.80, 0.72), 0.75)


def _laces(c: Canvas, last: Last, rows: list[tuple[float, float]], color: RGB, *, width: float = 8.0, across: tuple[float, float] = (17, 12)) -> None:
    """Flat laces over the tongue; `rows` are eyelet places (x, up)."""
    cord = plain(color, "canvas", 0.03)
    for x, up in rows:
        line = last.trace([(x, up), (x - across[0] * 0.5, up + across[1] * 0.9), (x - across[0], up + across[1])])
        c.part(limb(line, [width, width * 0.9]), cord, follow=True, lift=2.4, edge=2.4, shadow=0.4)
        ex, ey, _ = last.at(x + 3, up - 1)
        c.part(ellipse(ex, ey, 3.0, 3.0), plain(mixed(color, (0.1, 0.1, 0.1), 0.7)), follow=True, lift=0.2, edge=1, shadow=0.2)


_SOLES: dict[str, RGB] = {"white": (0.93, 0.925, 0.91), "gum": (0.66, 0.44, 0.26), "dark": (0.17, 0.17, 0.18)}


def sneaker(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Court shoe, runner, high-top or slip-on."""
    c.depth = 46.0
    style = p.trait("style")
    thick = {"court": 30.0, "runner": 40.0, "hightop": 30.0, "slipon": 28.0}[style] * p.vary("sole", 0.88, 1.15)
    last = Last(438 if style != "hightop" else 470, thick, 10 if style == "runner" else 5, 9)
    collar = {"court": 124.0, "runner": 122.0, "hightop": 210.0, "slipon": 102.0}[style]
    body, contrast = p.fabric, single(p.fabric, 1)
    lining = _lining(p)
    tongue = closed(last.trace([(-30, 100), (2, collar + 42), (30, collar + 50), (56, collar + 18), (30, 90)]))
    if style != "slipon":
        _cavity(c, last, [(20, collar - 6), (60, collar + 14), (120, collar + 8), (168, collar + 18), (160, collar - 34), (70, collar - 42)], lining)
        c.part(tongue, body, lift=1, edge=5, shadow=0.3, dim=0.95)
    else:
        _cavity(c, last, [(-12, collar + 4), (50, collar + 20), (120, collar + 14), (172, collar + 12), (160, collar - 30), (40, collar - 34)], lining)
    heel_top = collar + 14
    upper: list[Point] = [(-184, -2, 1), (-184, 22), (-168, 46), (-132, 62), (-86, 76), (-46, 98), (-8 if style != "slipon" else -18, collar - 4 if style != "hightop" else 130)]
    if style == "hightop":
        upper += [(20, collar - 10), (40, collar, 1), (100, collar - 6), (152, collar + 4, 1), (166, collar - 30), (164, 90), (176, 40), (180, -2, 1)]
    else:
        upper += [(28, collar + 6, 1), (70, collar - 22), (112, collar - 26), (150, collar - 2), (170, heel_top, 1), (182, collar - 16), (176, 46), (182, -2, 1)]
    folds = _wear(c, last, 1.0)
    c.part(closed(last.trace([*upper, *_SPINE])), body, folds=folds, edge=7, shadow=0.35)
    _sneaker_overlays(c, p, last, collar, contrast)
    sole = plain(_SOLES[p.trait("sole")], "smooth", 0.12)
    c.part(last.sole(-188, 186, 4 if style != "runner" else 9), sole, lift=6, edge=5, shadow=0.35)
    _sneaker_sole(c, p, last)
    if style != "slipon":
        top = collar - 4
        rows = [(-44 + (k * 13.5), 92 + (top - 92) * k / 5.0) for k in range(6)] if style != "hightop" else [(-40 + k * 10, 96 + k * 15) for k in range(8)]
        white: RGB = (0.95, 0.945, 0.93)
        _laces(c, last, rows, white if p.vary("lace", 0, 1) > 0.3 else mixed(p.fabric.colours[0], (0, 0, 0), 0.2))


def _sneaker_overlays(c: Canvas, p: WardrobeProduct, last: Last, collar: float, contrast: Fabric) -> None:
    style, body = p.trait("style"), p.fabric
    accent = contrast if p.vary("accent", 0, 1) > 0.35 else body
    counter = closed(last.trace([(182, -2, 1), (178, 44), (181, collar * 0.78), (150, collar * 0.70), (122, 40), (112, -2, 1)]))
    c.part(counter, accent, follow=True, lift=1.4, edge=2.4, shadow=0.22)
    if style == "slipon":
        gore = closed(last.trace([(2, 60), (10, collar + 0), (34, collar - 4), (42, 64)]))
        c.part(gore, plain(mixed(body.colours[0], (0.1, 0.1, 0.1), 0.5), "rib"), follow=True, lift=0.4, edge=2, shadow=0.2)
        line = curve(last.trace([(-150, 20), (-110, 52), (-60, 66), (-10, 52)]))
        c.stitches(line, thread(body, 0.3))
        return
    if style != "runner" or p.vary("cap", 0, 1) > 0.5:
        cap = closed(last.trace([(-184, -2, 1), (-184, 22), (-168, 46), (-134, 61), (-122, 36), (-128, -2, 1)]))
        c.part(cap, accent if style == "hightop" else body, follow=True, lift=1.2, edge=2.2, shadow=0.2)
        c.stitches(curve(last.trace([(-131, 56), (-119, 36), (-125, 3)])), thread(body, 0.3))
    high = collar - 8 if style != "hightop" else collar - 6
    stay = closed(last.trace([(-62, 88, 1), (-34, 104), (14 if style != "hightop" else 30, high, 1), (36 if style != "hightop" else 52, high - 10, 1),
                              (0, 76), (-40, 60)]))  # fmt: skip
    c.part(stay, accent if style == "runner" else body, follow=True, lift=1.4, edge=2.2, shadow=0.22)
    logo = int(p.vary("logo", 0, 3.99))
    if logo == 0:
        for k in range(2):
            bar = limb(last.trace([(20 + k * 26, 10), (36 + k * 24, 70 + k * 4)]), [11, 10])
            c.part(bar, contrast, follow=True, lift=0.7, edge=1.5, shadow=0.12)
    elif logo == 1:
        wave = closed(last.trace([(-52, 22, 1), (0, 34), (60, 30), (118, 58, 1), (62, 46), (6, 52), (-30, 44)]))
        c.part(wave, contrast, follow=True, lift=0.7, edge=1.5, shadow=0.12)
    elif logo == 2:
        x, y, _ = last.at(56, 44)
        c.part(ellipse(x, y, 17, 17), contrast, follow=True, lift=0.7, edge=1.5, shadow=0.12, holes=[ellipse(x, y, 10, 10)])
    line = curve(last.trace([(-120, 8), (-30, 12), (60, 10), (112, 8)]))
    c.stitches(line, thread(body, 0.3))
    c.stitches(curve(last.trace([(117, 4), (127, 40), (154, collar * 0.66), (178, collar * 0.73)])), thread(body, 0.3))


def _sneaker_sole(c: Canvas, p: WardrobeProduct, last: Last) -> None:
    """Foxing lines, a wedge of another colour or tread."""
    t = last.thick
    base = _SOLES[p.trait("sole")]
    line = curve(last.trace([(-188, -t * 0.35), (-100, -t * 0.30), (0, -t * 0.30), (100, -t * 0.30), (188, -t * 0.32)]))
    c.seam(line, width=1.6, depth=1.0, dark=0.15)
    if p.trait("style") == "runner":
        wedge = closed(last.trace([(-20, -t * 0.42), (60, -t * 0.30), (186, -t * 0.22), (186, -t * 0.62), (60, -t * 0.60)]))
        c.part(wedge, plain(p.fabric.colours[2], "smooth", 0.1), follow=True, lift=0.5, edge=2, shadow=0.12)
    elif p.vary("stripe", 0, 1) > 0.5:
        c.line(line + (0, t * 0.18), rgb(p.fabric.colours[1]), 2.2, lift=0.3)
    tread = closed(last.trace([(-172, -t * 0.80), (0, -t * 0.82), (182, -t * 0.80), (180, -t, 1), (0, -t), (-166, -t, 1)]))
    c.part(tread, plain(mixed(base, (0.2, 0.14, 0.1), 0.35), "smooth", 0.05), follow=True, lift=0.2, edge=1.5, shadow=0.1)


def boot(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Chelsea, lace-up, knee-high or heeled ankle boot."""
    c.depth = 44.0
    style = p.trait("style")
    shaft = {"chelsea": 215.0, "laceup": 225.0, "kneehigh": 390.0, "heeled": 190.0}[style] * p.vary("shaft", 0.92, 1.06)
    pitch = {"chelsea": 16.0, "laceup": 20.0, "kneehigh": p.vary("heel", 20, 80), "heeled": p.vary("heel", 60, 95)}[style]
    thick = {"chelsea": 12.0, "laceup": 26.0, "kneehigh": 10.0, "heeled": 8.0}[style]
    last = Last(HEIGHT / 2 + (shaft + pitch + thick) / 2, thick, pitch, 7)
    body = p.fabric
    wide = 1.18 if style == "kneehigh" else 1.0
    front, back = 52 - 26 * (wide - 1) * 4, 172 + 20 * (wide - 1)
    h = shaft
    _cavity(c, last, [(front + 2, h - 2), (front + 30, h + 12), (back - 30, h + 13), (back - 2, h + 3), (110, h - 22)], _lining(p))
    upper: list[Point] = [(-184, 0, 1), (-185, 20), (-166, 48), (-120, 66), (-58, 86), (0, 118), (36, 158)]
    if style == "kneehigh":
        upper += [(46, 200), (28, h * 0.78), (front, h, 1), (110, h + 5), (back, h + 2, 1), (176, h * 0.72), (162, 150)]
    else:
        upper += [(front, h, 1), (110, h - 6), (back, h + 2, 1), (166, 120)]
    upper += [(176, 52), (180, 0, 1)]
    lines = [curve(last.trace([(168, y), (128, y + 6), (70, y - 5)])) for y in (104, 122, 143)]
    folds = _wear(c, last, 1.0) + creases(lines, 8.0, 2.2) + noise(c.rng, WIDTH, HEIGHT, 7, 8) * 1.3
    c.part(closed(last.trace([*upper, *_SPINE])), body, folds=folds, edge=8, shadow=0.3)
    _boot_sole(c, p, last, style)
    _boot_details(c, p, last, style, h, front, back)


def _boot_sole(c: Canvas, p: WardrobeProduct, last: Last, style: str) -> None:
    dark: RGB = (0.13, 0.12, 0.12) if p.vary("sole", 0, 1) > 0.4 else (0.34, 0.22, 0.15)
    sole = plain(dark, "smooth", 0.25)
    drop = last.pitch + last.thick
    slim = style in ("heeled", "kneehigh") and last.pitch > 45
    x0, tip = (124.0, 132.0) if slim else (92.0, 96.0)
    foot = last.ground
    _, seat, _ = last.at(170, 0)
    heel = closed([(x0, last.at(x0, 0)[1] + 4, 1), (181, seat - 1, 1), (176 if slim else 180, foot, 1), (tip + (14 if slim else 0), foot, 1)])
    if drop > 8:
        c.part(heel, sole, lift=3, edge=5, shadow=0.25)
        c.seam(curve([(tip - 8, foot - 7), (182, foot - 7)]), depth=0.8)
    c.part(last.sole(-187, 182, 2), sole, lift=4, edge=3.5, shadow=0.3)
    if style in ("laceup", "chelsea"):
        welt = curve(last.trace([(-186, 0), (-120, 1), (0, 1), (100, 1), (180, 1)]))
        c.line(welt, rgb(mixed(dark, (0.75, 0.6, 0.4), 0.4)), 4.0, lift=1.2)
        c.stitches(welt, rgb((0.86, 0.78, 0.58)), on=3.0)
    if style == "laceup":
        for x in range(-170, 176, 22):
            low = foot if x > 60 else last.at(x, -last.thick)[1]
            notch = box(x, low - 7, x + 9, low)
            if x < 60 or x > 100:
                c.part(notch, plain((0.05, 0.05, 0.05)), follow=True, lift=-2, edge=1, shadow=0)


def _boot_details(c: Canvas, p: WardrobeProduct, last: Last, style: str, h: float, front: float, back: float) -> None:
    body = p.fabric
    sew = thread(body, 0.35) if p.vary("thread", 0, 1) > 0.4 else rgb((0.82, 0.68, 0.42))
    if style == "chelsea":
        gore = closed(last.trace([(86, h - 4, 1), (138, h - 2, 1), (126, h * 0.56), (112, h * 0.50), (98, h * 0.56)]))
        c.part(gore, plain(mixed(body.colours[0], (0.05, 0.05, 0.05), 0.6), "rib"), follow=True, lift=0.4, edge=2, shadow=0.25)
        tab = limb(last.trace([(150, h - 12), (156, h + 20), (166, h + 19), (168, h - 12)]), [9, 9])
        c.part(tab, plain(mixed(body.colours[0], (0.05, 0.05, 0.05), 0.4), "canvas"), follow=True, lift=1.5, edge=2, shadow=0.3)
    elif style == "laceup":
        stay = closed(last.trace([(-36, 100, 1), (34, 164), (front + 1, h, 1), (front + 34, h - 2, 1), (62, 150), (10, 92)]))
        c.part(stay, body, follow=True, lift=1.8, edge=2.6, shadow=0.3)
        rows = [(-14 + k * 11.0, 106 + k * (h - 128) / 7) for k in range(8)]
        _laces(c, last, rows, (0.2, 0.16, 0.13) if brightness(body.colours[0]) > 0.2 else (0.55, 0.42, 0.25), width=5.5, across=(13, 10))
        cap = curve(last.trace([(-128, 4), (-118, 34), (-130, 60)]))
        c.seam(cap, depth=1.2)
        c.stitches(cap + (5, 0), sew)
        collar = limb(last.trace([(front + 4, h - 10), (110, h - 15), (back - 3, h - 8)]), [22, 22])
        c.part(collar, plain(mixed(body.colours[0], (0, 0, 0), 0.3), "leather", 0.2), follow=True, lift=1.5, edge=4, shadow=0.2)
    else:
        zipline = curve(last.trace([(128, 36), (120, 90), (112, h * 0.6)]))
        c.seam(zipline, width=1.6, depth=1.2, dark=0.25)
        c.stitches(zipline + (4, 0), thread(body, 0.3))
        if p.vary("strap", 0, 1) > 0.55:
            metal = _METALS["gold" if p.design % 2 else "silver"]
            c.part(limb(last.trace([(22, 132), (90, 118), (168, 116)]), [15, 15]), body, follow=True, lift=1.8, edge=2.4, shadow=0.35)
            x, y, _ = last.at(96, 118)
            c.part(box(x - 12, y - 12, x + 12, y + 12, 3), plain(metal, "smooth", 0.9), follow=True, lift=2.4, edge=1.6, shadow=0.4,
                   holes=[box(x - 8, y - 8, x + 8, y + 8, 2)])  # fmt: skip
    counter = curve(last.trace([(124, 2), (132, 46), (150, 76), (174, 82)]))
    c.seam(counter, depth=0.8, dark=0.15)
    c.stitches(counter + (-4, -2), sew)
    c.stitches(curve(last.trace([(front + 3, h - 6), (110, h - 12), (back - 3, h - 5)])), sew)


def heel(c: Canvas, p: WardrobeProduct, pose: str) -> None:
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
    _cavity(c, last, [(vamp + 6, 52), (-20, 50), (60, 44), (120, 62), (158, 84), (150, 30), (60, 12), (-30, 14)], _lining(p))
    _heel_block(c, p, last, kind, seat, sole)
    tip: list[Point] = [(toe, 2, 1), (toe + 4, 14), (-150, 34 if pointed else 44), (vamp - 12, 58), (vamp, 60, 1)]
    line: list[Point] = [(vamp + 26, 38), (-10, 28), (50, 30)]
    if upper == "slingback":
        shape = [*tip, *line[:2], (26, 22), (40, 0, 1)]
    else:
        shape = [*tip, *line, (110, 52), (152, 80), (167, 84, 1), (178, 56), (176, 20), (172, 0, 1)]
    spine = _SPINE[2:] if upper == "slingback" else _SPINE
    c.part(closed(last.trace([*shape, *spine])), body, folds=_wear(c, last, 0.35), edge=7, shadow=0.3)
    if upper == "slingback":
        insole = limb(last.trace([(20, 2), (90, 3), (172, 4)]), [8, 8])
        c.part(insole, plain(_lining(p), "suede"), lift=0, edge=2, shadow=0.1)
        strap = limb(last.trace([(20, 20), (80, 34), (140, 66), (172, 78)]), [9, 8])
        c.part(strap, body, lift=2, edge=2.4, shadow=0.3)
        back = limb(last.trace([(172, 78), (180, 60), (172, 40)]), [9, 8])
        c.part(back, body, lift=1.5, edge=2.4, shadow=0.2)
    c.part(last.sole(toe + 2, 172, 0), plain(sole, "smooth", 0.3), lift=2.5, edge=2.5, shadow=0.2)
    topline = curve(last.trace([(vamp, 58), *line, (110, 50), (152, 78), (167, 82)][: 4 if upper == "slingback" else 7]))
    c.seam(topline + (0, 4), depth=0.5, dark=0.1)
    _near_strap(c, p, last)


def _heel_block(c: Canvas, p: WardrobeProduct, last: Last, kind: str, seat: float, sole: RGB) -> None:
    ground = last.ground
    cover = single(p.fabric) if p.vary("cover", 0, 1) > 0.35 else plain(sole, "smooth", 0.4)
    back = 176.0
    if kind in ("block", "platform"):
        shape: list[Point] = [(112, last.at(112, 0)[1] + 3, 1), (back, seat - 8, 1), (back + 2, seat + 30), (back - 4, ground, 1), (122, ground, 1)]
    elif kind == "kitten":
        shape = [(122, last.at(122, 0)[1] + 3, 1), (back, seat - 8, 1), (166, seat + 34), (164, ground, 1), (150, ground, 1), (148, seat + 36)]
    else:
        shape = [(116, last.at(116, 0)[1] + 3, 1), (back, seat - 10, 1), (175, seat + 36), (171, ground, 1), (160, ground, 1), (157, seat + 52)]
    c.part(closed(shape), cover, lift=1, edge=5, shadow=0.2)


def _far_strap(c: Canvas, p: WardrobeProduct, last: Last) -> None:
    up = 150 if p.trait("upper") == "ankle" else 96
    if p.trait("upper") == "ankle":
        c.part(limb(last.trace([(84, up), (120, up + 12), (158, up + 2)]), [9, 9]), p.fabric, dim=0.6, shadow=0, edge=2.5)
    else:
        c.part(limb(last.trace([(-14, up - 24), (2, up - 14), (34, 40)]), [11, 11]), p.fabric, dim=0.6, shadow=0, edge=2.5)


def _near_strap(c: Canvas, p: WardrobeProduct, last: Last) -> None:
    """Ankle or instep strap with its buckle."""
    if p.trait("upper") not in ("ankle", "mary"):
        return
    up = 96.0
    metal = plain(_METALS["gold" if p.design % 2 else "silver"], "smooth", 0.95)
    if p.trait("upper") == "ankle":
        c.part(limb(last.trace([(164, 78), (168, 120), (160, 152)]), [12, 10]), p.fabric, lift=2, edge=3, shadow=0.25)
        c.part(limb(last.trace([(82, 150), (118, 138), (162, 150)]), [10, 10]), p.fabric, lift=2.5, edge=3, shadow=0.3)
        x, y, _ = last.at(118, 138)
    else:
        c.part(limb(last.trace([(26, 26), (4, 46), (-16, up - 22)]), [13, 12, 11]), p.fabric, lift=2.5, edge=3, shadow=0.3)
        x, y, _ = last.at(12, 40)
    c.part(box(x - 8, y - 8, x + 8, y + 8, 2), metal, lift=3, edge=1.5, follow=True, shadow=0.35, holes=[box(x - 5, y - 5, x + 5, y + 5)])


def sandal(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """A pair of sandals from above: strappy, slide, cork footbed or toe-post."""
    c.depth = 16.0
    style = p.trait("style")
    bed: RGB = (0.78, 0.63, 0.45) if style == "footbed" else _lining(p) if p.design % 2 else mixed(p.fabric.colours[0], (0.1, 0.07, 0.05), 0.4)
    foot: list[Point] = [(-22, 92), (22, 100), (56, 148), (60, 215), (49, 290), (46, 370), (44, 440), (24, 488), (-6, 498), (-36, 482), (-47, 430),
                         (-45, 360), (-51, 280), (-63, 200), (-58, 128)]  # fmt: skip
    outline = closed(foot)
    for side in (1, -1):
        at = np.array([97.0 * side, 8.0], dtype=np.float32)
        form = outline * np.array([side, 1], dtype=np.float32)
        middle = form.mean(axis=0)
        c.part(((form - middle) * 1.06 + middle + (0, 5)).astype(np.float32) + at, plain((0.17, 0.14, 0.12), "smooth", 0.1), lift=0, edge=4, shadow=0.1)
        c.part(form + at, plain(bed, "suede", 0.03), lift=3, edge=5, shadow=0.2)
        inner = ((form - middle) * 0.93 + middle).astype(np.float32) + at
        c.stitches(inner, thread(plain(bed), 0.3), on=4)
        for x, y, r in ((2.0, 440.0, 30.0), (0.0, 190.0, 40.0)):
            c.part(ellipse(side * x + at[0], y + at[1], r, r * 1.25), plain(mixed(bed, (0.2, 0.12, 0.06), 0.16), "suede", 0.03), follow=True, lift=-1.5,
                   edge=7, shadow=0)  # fmt: skip
        _sandal_straps(c, p, style, side, at)


def _sandal_straps(c: Canvas, p: WardrobeProduct, style: str, side: int, at: Outline) -> None:
    """Straps over one sandal seen from above, with their buckles."""
    w = p.vary("strap", 0.8, 1.2)
    metal = plain(_METALS["gold" if p.design % 2 else "silver"], "smooth", 0.95)
    bands: dict[str, list[tuple[list[Point], float]]] = {
        "slide": [],
        "footbed": [],
        "strappy": [([(-48, 396), (0, 350), (50, 396)], 16 * w), ([(-46, 398), (-30, 466), (0, 482), (30, 466), (46, 398)], 15 * w)],
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
        band = closed([(-half, y0 + rise, 1), (0, y0), (half, y0 + rise, 1), (half - (y1 - y0) * 0.06, y1 + rise, 1), (0, y1), (-half + (y1 - y0) * 0.06, y1 + rise, 1)])
        place = band * np.array([side, 1], dtype=np.float32) + at
        c.part(place, p.fabric, lift=9, edge=9 if y1 - y0 > 30 else 5, shadow=0.5)
        middle = place.mean(axis=0)
        if y1 - y0 > 30:
            c.stitches((place - middle) * np.array([0.97, 0.86], dtype=np.float32) + middle, thread(p.fabric, 0.3), on=4)
        if style == "footbed":
            x, y = (half - 16) * side + at[0], (y0 + y1) / 2 + rise * 0.6 + at[1]
            c.part(box(x - 13, y - 13, x + 13, y + 13, 3), metal, follow=True, lift=3, edge=1.8, shadow=0.4, holes=[box(x - 8, y - 8, x + 8, y + 8, 1)])
    for points, width in bands[style]:
        strap = limb([(x * side + at[0], y + at[1]) for x, y in points], [width] * 2)
        c.part(strap, p.fabric, lift=9, edge=min(9, width * 0.3), shadow=0.5)
        if style == "strappy" and len(points) == 3:
            x, y = 48 * side + at[0], points[-1][1] - 12 + at[1]
            c.part(box(x - 13, y - 13, x + 13, y + 13, 3), metal, follow=True, lift=3, edge=1.8, shadow=0.4, holes=[box(x - 8, y - 8, x + 8, y + 8, 1)])
    if style == "toepost":
        c.part(ellipse(-10 * side + at[0], 146 + at[1], 8, 8), p.fabric, lift=6, follow=True, edge=4, shadow=0.4)


def loafer(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Penny, tassel or horsebit loafer, or a laced Oxford."""
    c.depth = 40.0
    style = p.trait("style")
    last = Last(428, p.vary("sole", 11, 18), p.vary("pitch", 16, 24), 7)
    body = p.fabric
    high = 92.0 if style == "oxford" else 78.0
    _cavity(c, last, [(-8, high + 14), (50, high + 20), (120, high + 4), (166, high + 12), (150, high - 32), (30, high - 26)], _lining(p))
    upper: list[Point] = [(-186, 0, 1), (-186, 16), (-168, 40), (-128, 54), (-84, 66), (-44, 84), (-18, high + 16, 1), (26, high + 6), (80, high - 16),
                          (128, high - 12), (168, high + 8, 1), (180, high - 14), (176, 40), (180, 0, 1)]  # fmt: skip
    c.part(closed(last.trace([*upper, *_SPINE])), body, folds=_wear(c, last, 0.8), edge=8, shadow=0.3)
    sole: RGB = (0.12, 0.11, 0.11) if p.vary("dark", 0, 1) > 0.4 else (0.42, 0.27, 0.17)
    seat = last.at(150, 0)[1]
    c.part(closed([(94, seat + 4, 1), (181, seat, 1), (179, last.ground, 1), (97, last.ground, 1)]), plain(sole, "smooth", 0.25), lift=3, edge=4)
    c.part(last.sole(-189, 182, 2), plain(sole, "smooth", 0.25), lift=4, edge=3, shadow=0.3)
    c.stitches(curve(last.trace([(-188, 0), (-100, -1), (0, -1), (100, -1), (178, -1)])), rgb((0.78, 0.66, 0.45)), on=3)
    sew = thread(body, 0.35)
    if style == "oxford":
        _oxford(c, p, last, high)
    else:
        apron = curve(last.trace([(-160, 36), (-132, 46), (-84, 44), (-36, 52), (-10, 70)]))
        c.line(apron, rgb(mixed(body.colours[0], (0, 0, 0), 0.15)), 5.0, lift=2.2)
        c.stitches(apron, sew, on=4)
        _saddle(c, p, last, style)
    counter = curve(last.trace([(112, 2), (124, 40), (150, high - 14), (176, high - 18)]))
    c.seam(counter, depth=0.8, dark=0.15)
    c.stitches(counter + (-4, 0), sew)
    c.stitches(curve(last.trace([(26, high + 1), (80, high - 21), (128, high - 17), (166, high + 2)])), sew)


def _saddle(c: Canvas, p: WardrobeProduct, last: Last, style: str) -> None:
    """The band across the instep and what sits on it."""
    body = p.fabric
    band = closed(last.trace([(-60, 80, 1), (-28, 98, 1), (-2, 72), (20, 6, 1), (-26, 4, 1), (-38, 50)]))
    c.part(band, body, follow=True, lift=2.2, edge=3, shadow=0.3)
    if style == "penny":
        slot = closed(last.trace([(-46, 76), (-36, 80), (-24, 62), (-34, 56)]))
        c.part(slot, plain(mixed(body.colours[0], (0, 0, 0), 0.6)), follow=True, lift=-2, edge=1.5, shadow=0, dim=0.6)
    elif style == "horsebit":
        metal = plain(_METALS["gold" if p.design % 2 else "silver"], "smooth", 1.0)
        c.part(limb(last.trace([(-52, 82), (-30, 66), (-12, 44)]), [6, 6]), metal, follow=True, lift=4, edge=2, shadow=0.4)
        for x, up in ((-52, 84), (-12, 42)):
            px, py, _ = last.at(x, up)
            c.part(ellipse(px, py, 13, 11), metal, follow=True, lift=3, edge=2, shadow=0.4, holes=[ellipse(px, py, 8, 6.5)])
    else:
        for dx in (0, 17):
            stem = limb(last.trace([(-46 + dx, 84), (-58 + dx, 72), (-62 + dx, 56)]), [5, 7])
            c.part(stem, body, follow=True, lift=3, edge=2, shadow=0.35)
            brush = closed(last.trace([(-66 + dx, 60, 1), (-56 + dx, 60, 1), (-54 + dx, 30, 1), (-62 + dx, 27), (-72 + dx, 30, 1)]))
            c.part(brush, body, follow=True, lift=3.5, edge=3, shadow=0.4)


def _oxford(c: Canvas, p: WardrobeProduct, last: Last, high: float) -> None:
    body = p.fabric
    quarter = closed(last.trace([(-62, 68, 1), (-16, high + 12, 1), (20, high + 6, 1), (6, 50), (-8, 4, 1), (-50, 4, 1), (-52, 44)]))
    c.part(quarter, body, follow=True, lift=1.8, edge=2.6, shadow=0.28)
    rows = [(-46 + k * 11.0, 76 + k * (high - 70) / 4) for k in range(5)]
    _laces(c, last, rows, mixed(body.colours[0], (0, 0, 0), 0.55), width=4.5, across=(13, 7))
    cap = curve(last.trace([(-132, 3), (-120, 30), (-130, 54)]))
    c.seam(cap, width=1.6, depth=1.2)
    for dx in (4, 8):
        c.stitches(cap + (dx, 0), rgb(mixed(body.colours[0], (0, 0, 0), 0.5)), on=2.0)


def ballet(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Ballet flat with a bow or strap."""
    c.depth = 32.0
    last = Last(425, 8, p.vary("pitch", 8, 14), 4)
    body, pointed = p.fabric, p.trait("toe") == "pointed"
    toe, vamp = (-190.0 if pointed else -180.0), p.vary("vamp", -112, -84)
    _cavity(c, last, [(vamp + 4, 44), (-30, 46), (60, 42), (130, 58), (164, 66), (150, 24), (40, 10), (-40, 10)], _lining(p))
    shape: list[Point] = [(toe, 1, 1), (toe + 2, 14), (-158, 32 if pointed else 40), (vamp - 8, 48), (vamp, 49, 1), (vamp + 24, 32), (0, 24), (70, 28), (132, 50),
                          (168, 68, 1), (180, 44), (177, 14), (176, 0, 1), *_SPINE]  # fmt: skip
    c.part(closed(last.trace(shape)), body, folds=_wear(c, last, 0.5), edge=7, shadow=0.3)
    c.part(last.sole(toe + 2, 178, 1), plain((0.20, 0.16, 0.14), "smooth", 0.1), lift=2, edge=2.5, shadow=0.2)
    seat = last.at(150, 0)[1]
    c.part(closed([(112, seat + 6, 1), (177, seat + 6, 1), (176, last.ground, 1), (114, last.ground, 1)]), plain((0.16, 0.13, 0.12)), lift=2, edge=2)
    piping = curve(last.trace([(vamp, 48), (vamp + 24, 31), (0, 23), (70, 27), (132, 49), (168, 66)]))
    c.line(piping, rgb(mixed(body.colours[0], (0, 0, 0), 0.2)), 4.0, lift=1.4)
    if p.trait("detail") == "bow":
        x, y, _ = last.at(vamp - 4, 48)
        for side in (-1, 1):
            loop = closed([(x, y, 1), (x + side * 12, y - 10), (x + side * 26, y - 8), (x + side * 25, y + 7), (x + side * 11, y + 6)])
            c.part(loop, body, follow=True, lift=3, edge=3, shadow=0.4)
        c.part(ellipse(x, y, 5, 6), body, follow=True, lift=4, edge=2.5, shadow=0.4)
    elif p.trait("detail") == "strap":
        c.part(limb(last.trace([(-14, 8), (-8, 52), (10, 70)]), [12, 11]), body, lift=3, edge=3, shadow=0.35)
        x, y, _ = last.at(-10, 36)
        c.part(ellipse(x, y, 5, 5), plain(_METALS["gold"], "smooth", 0.95), lift=3, follow=True, edge=1.8, shadow=0.4)
