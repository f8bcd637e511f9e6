"""Shapes of closed shoes in profile, toe to the left: sneakers, boots and loafers.

Each function lays the parts of one product on a `Canvas`; points are given on a `Last`.
"""

from __future__ import annotations

from lapel.samples.bodice import single, thread
from lapel.samples.canvas import HEIGHT, WIDTH, Canvas, creases, noise
from lapel.samples.fabric import RGB, Fabric, mixed, plain, rgb
from lapel.samples.last import METALS, SPINE, Last, lay_cavity, lay_laces, lining_of, wear_folds
from lapel.samples.outlines import Point, box, closed, curve, ellipse, limb, moved
from lapel.samples.palette import brightness
from lapel.samples.plan import WardrobeProduct

_SOLES: dict[str, RGB] = {"white": (0.93, 0.925, 0.91), "gum": (0.66, 0.44, 0.26), "dark": (0.17, 0.17, 0.18)}


def sneaker(c: Canvas, p: WardrobeProduct, _pose: str) -> None:
    """Court shoe, runner, high-top or slip-on."""
    c.depth = 46.0
    style = p.trait("style")
    thick = {"court": 30.0, "runner": 40.0, "hightop": 30.0, "slipon": 28.0}[style] * p.vary("sole", 0.88, 1.15)
    last = Last(438 if style != "hightop" else 470, thick, 10 if style == "runner" else 5, 9)
    collar = {"court": 124.0, "runner": 122.0, "hightop": 210.0, "slipon": 102.0}[style]
    body, contrast = p.fabric, single(p.fabric, 1)
    _sneaker_inside(c, p, last, collar)
    upper = _sneaker_upper(style, collar)
    folds = wear_folds(c, last, 1.0)
    c.part(closed(last.trace([*upper, *SPINE])), body, folds=folds, edge=7, shadow=0.35)
    _sneaker_overlays(c, p, last, collar, contrast)
    sole = plain(_SOLES[p.trait("sole")], "smooth", 0.12)
    c.part(last.sole(-188, 186, 4 if style != "runner" else 9), sole, lift=6, edge=5, shadow=0.35)
    _sneaker_sole(c, p, last)
    if style != "slipon":
        top = collar - 4
        rows = (
            [(-44 + (k * 13.5), 92 + (top - 92) * k / 5.0) for k in range(6)]
            if style != "hightop"
            else [(-40.0 + k * 10, 96.0 + k * 15) for k in range(8)]
        )
        white: RGB = (0.95, 0.945, 0.93)
        lay_laces(c, last, rows, white if p.vary("lace", 0, 1) > 0.3 else mixed(p.fabric.colours[0], (0, 0, 0), 0.2))


def _sneaker_inside(c: Canvas, p: WardrobeProduct, last: Last, collar: float) -> None:
    """What is seen in the opening: the far side of the collar and the tongue."""
    lining = lining_of(p)
    tongue = closed(last.trace([(-30, 100), (2, collar + 42), (30, collar + 50), (56, collar + 18), (30, 90)]))
    if p.trait("style") != "slipon":
        lay_cavity(
            c,
            last,
            [
                (20, collar - 6),
                (60, collar + 14),
                (120, collar + 8),
                (168, collar + 18),
                (160, collar - 34),
                (70, collar - 42),
            ],
            lining,
        )
        c.part(tongue, p.fabric, lift=1, edge=5, shadow=0.3, dim=0.95)
    else:
        lay_cavity(
            c,
            last,
            [
                (-12, collar + 4),
                (50, collar + 20),
                (120, collar + 14),
                (172, collar + 12),
                (160, collar - 30),
                (40, collar - 34),
            ],
            lining,
        )


def _sneaker_upper(style: str, collar: float) -> list[Point]:
    """Upper as (x, up) points from the toe over the throat to the heel."""
    heel_top = collar + 14
    upper: list[Point] = [
        (-184, -2, 1),
        (-184, 22),
        (-168, 46),
        (-132, 62),
        (-86, 76),
        (-46, 98),
        (-8 if style != "slipon" else -18, collar - 4 if style != "hightop" else 130),
    ]
    if style == "hightop":
        upper += [
            (20, collar - 10),
            (40, collar, 1),
            (100, collar - 6),
            (152, collar + 4, 1),
            (166, collar - 30),
            (164, 90),
            (176, 40),
            (180, -2, 1),
        ]
    else:
        upper += [
            (28, collar + 6, 1),
            (70, collar - 22),
            (112, collar - 26),
            (150, collar - 2),
            (170, heel_top, 1),
            (182, collar - 16),
            (176, 46),
            (182, -2, 1),
        ]
    return upper


def _sneaker_overlays(c: Canvas, p: WardrobeProduct, last: Last, collar: float, contrast: Fabric) -> None:
    style, body = p.trait("style"), p.fabric
    accent = contrast if p.vary("accent", 0, 1) > 0.35 else body
    counter = closed(
        last.trace([(182, -2, 1), (178, 44), (181, collar * 0.78), (150, collar * 0.70), (122, 40), (112, -2, 1)])
    )
    c.part(counter, accent, follow=True, lift=1.4, edge=2.4, shadow=0.22)
    if style == "slipon":
        gore = closed(last.trace([(2, 60), (10, collar + 0), (34, collar - 4), (42, 64)]))
        c.part(
            gore, plain(mixed(body.colours[0], (0.1, 0.1, 0.1), 0.5), "rib"), follow=True, lift=0.4, edge=2, shadow=0.2
        )
        line = curve(last.trace([(-150, 20), (-110, 52), (-60, 66), (-10, 52)]))
        c.stitches(line, thread(body, 0.3))
        return
    if style != "runner" or p.vary("cap", 0, 1) > 0.5:
        cap = closed(last.trace([(-184, -2, 1), (-184, 22), (-168, 46), (-134, 61), (-122, 36), (-128, -2, 1)]))
        c.part(cap, accent if style == "hightop" else body, follow=True, lift=1.2, edge=2.2, shadow=0.2)
        c.stitches(curve(last.trace([(-131, 56), (-119, 36), (-125, 3)])), thread(body, 0.3))
    high = collar - 8 if style != "hightop" else collar - 6
    stay = closed(
        last.trace(
            [
                (-62, 88, 1),
                (-34, 104),
                (14 if style != "hightop" else 30, high, 1),
                (36 if style != "hightop" else 52, high - 10, 1),
                (0, 76),
                (-40, 60),
            ]
        )
    )
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
        c.part(
            ellipse(x, y, 17, 17), contrast, follow=True, lift=0.7, edge=1.5, shadow=0.12, holes=[ellipse(x, y, 10, 10)]
        )
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
        wedge = closed(
            last.trace([(-20, -t * 0.42), (60, -t * 0.30), (186, -t * 0.22), (186, -t * 0.62), (60, -t * 0.60)])
        )
        c.part(wedge, plain(p.fabric.colours[2], "smooth", 0.1), follow=True, lift=0.5, edge=2, shadow=0.12)
    elif p.vary("stripe", 0, 1) > 0.5:
        c.line(moved(line, 0, t * 0.18), rgb(p.fabric.colours[1]), 2.2, lift=0.3)
    tread = closed(
        last.trace([(-172, -t * 0.80), (0, -t * 0.82), (182, -t * 0.80), (180, -t, 1), (0, -t), (-166, -t, 1)])
    )
    c.part(
        tread, plain(mixed(base, (0.2, 0.14, 0.1), 0.35), "smooth", 0.05), follow=True, lift=0.2, edge=1.5, shadow=0.1
    )


def boot(c: Canvas, p: WardrobeProduct, _pose: str) -> None:
    """Chelsea, lace-up, knee-high or heeled ankle boot."""
    c.depth = 44.0
    style = p.trait("style")
    shaft = {"chelsea": 215.0, "laceup": 225.0, "kneehigh": 390.0, "heeled": 190.0}[style] * p.vary("shaft", 0.92, 1.06)
    pitch = {"chelsea": 16.0, "laceup": 20.0, "kneehigh": p.vary("heel", 20, 80), "heeled": p.vary("heel", 60, 95)}[
        style
    ]
    thick = {"chelsea": 12.0, "laceup": 26.0, "kneehigh": 10.0, "heeled": 8.0}[style]
    last = Last(HEIGHT / 2 + (shaft + pitch + thick) / 2, thick, pitch, 7)
    body = p.fabric
    wide = 1.18 if style == "kneehigh" else 1.0
    front, back = 52 - 26 * (wide - 1) * 4, 172 + 20 * (wide - 1)
    h = shaft
    lay_cavity(
        c,
        last,
        [(front + 2, h - 2), (front + 30, h + 12), (back - 30, h + 13), (back - 2, h + 3), (110, h - 22)],
        lining_of(p),
    )
    upper: list[Point] = [(-184, 0, 1), (-185, 20), (-166, 48), (-120, 66), (-58, 86), (0, 118), (36, 158)]
    if style == "kneehigh":
        upper += [(46, 200), (28, h * 0.78), (front, h, 1), (110, h + 5), (back, h + 2, 1), (176, h * 0.72), (162, 150)]
    else:
        upper += [(front, h, 1), (110, h - 6), (back, h + 2, 1), (166, 120)]
    upper += [(176, 52), (180, 0, 1)]
    lines = [curve(last.trace([(168, y), (128, y + 6), (70, y - 5)])) for y in (104, 122, 143)]
    folds = wear_folds(c, last, 1.0) + creases(lines, 8.0, 2.2) + noise(c.rng, WIDTH, HEIGHT, 7, 8) * 1.3
    c.part(closed(last.trace([*upper, *SPINE])), body, folds=folds, edge=8, shadow=0.3)
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
    heel = closed(
        [
            (x0, last.at(x0, 0)[1] + 4, 1),
            (181, seat - 1, 1),
            (176 if slim else 180, foot, 1),
            (tip + (14 if slim else 0), foot, 1),
        ]
    )
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
        c.part(
            gore,
            plain(mixed(body.colours[0], (0.05, 0.05, 0.05), 0.6), "rib"),
            follow=True,
            lift=0.4,
            edge=2,
            shadow=0.25,
        )
        tab = limb(last.trace([(150, h - 12), (156, h + 20), (166, h + 19), (168, h - 12)]), [9, 9])
        c.part(
            tab,
            plain(mixed(body.colours[0], (0.05, 0.05, 0.05), 0.4), "canvas"),
            follow=True,
            lift=1.5,
            edge=2,
            shadow=0.3,
        )
    elif style == "laceup":
        stay = closed(
            last.trace([(-36, 100, 1), (34, 164), (front + 1, h, 1), (front + 34, h - 2, 1), (62, 150), (10, 92)])
        )
        c.part(stay, body, follow=True, lift=1.8, edge=2.6, shadow=0.3)
        rows = [(-14 + k * 11.0, 106 + k * (h - 128) / 7) for k in range(8)]
        lay_laces(
            c,
            last,
            rows,
            (0.2, 0.16, 0.13) if brightness(body.colours[0]) > 0.2 else (0.55, 0.42, 0.25),
            width=5.5,
            across=(13, 10),
        )
        cap = curve(last.trace([(-128, 4), (-118, 34), (-130, 60)]))
        c.seam(cap, depth=1.2)
        c.stitches(moved(cap, 5, 0), sew)
        collar = limb(last.trace([(front + 4, h - 10), (110, h - 15), (back - 3, h - 8)]), [22, 22])
        c.part(
            collar,
            plain(mixed(body.colours[0], (0, 0, 0), 0.3), "leather", 0.2),
            follow=True,
            lift=1.5,
            edge=4,
            shadow=0.2,
        )
    else:
        zipline = curve(last.trace([(128, 36), (120, 90), (112, h * 0.6)]))
        c.seam(zipline, width=1.6, depth=1.2, dark=0.25)
        c.stitches(moved(zipline, 4, 0), thread(body, 0.3))
        if p.vary("strap", 0, 1) > 0.55:
            metal = METALS["gold" if p.design % 2 else "silver"]
            c.part(
                limb(last.trace([(22, 132), (90, 118), (168, 116)]), [15, 15]),
                body,
                follow=True,
                lift=1.8,
                edge=2.4,
                shadow=0.35,
            )
            x, y, _ = last.at(96, 118)
            c.part(
                box(x - 12, y - 12, x + 12, y + 12, 3),
                plain(metal, "smooth", 0.9),
                follow=True,
                lift=2.4,
                edge=1.6,
                shadow=0.4,
                holes=[box(x - 8, y - 8, x + 8, y + 8, 2)],
            )
    counter = curve(last.trace([(124, 2), (132, 46), (150, 76), (174, 82)]))
    c.seam(counter, depth=0.8, dark=0.15)
    c.stitches(moved(counter, -4, -2), sew)
    c.stitches(curve(last.trace([(front + 3, h - 6), (110, h - 12), (back - 3, h - 5)])), sew)


def loafer(c: Canvas, p: WardrobeProduct, _pose: str) -> None:
    """Penny, tassel or horsebit loafer, or a laced Oxford."""
    c.depth = 40.0
    style = p.trait("style")
    last = Last(428, p.vary("sole", 11, 18), p.vary("pitch", 16, 24), 7)
    body = p.fabric
    high = 92.0 if style == "oxford" else 78.0
    lay_cavity(
        c,
        last,
        [(-8, high + 14), (50, high + 20), (120, high + 4), (166, high + 12), (150, high - 32), (30, high - 26)],
        lining_of(p),
    )
    upper: list[Point] = [
        (-186, 0, 1),
        (-186, 16),
        (-168, 40),
        (-128, 54),
        (-84, 66),
        (-44, 84),
        (-18, high + 16, 1),
        (26, high + 6),
        (80, high - 16),
        (128, high - 12),
        (168, high + 8, 1),
        (180, high - 14),
        (176, 40),
        (180, 0, 1),
    ]
    c.part(closed(last.trace([*upper, *SPINE])), body, folds=wear_folds(c, last, 0.8), edge=8, shadow=0.3)
    sole: RGB = (0.12, 0.11, 0.11) if p.vary("dark", 0, 1) > 0.4 else (0.42, 0.27, 0.17)
    seat = last.at(150, 0)[1]
    c.part(
        closed([(94, seat + 4, 1), (181, seat, 1), (179, last.ground, 1), (97, last.ground, 1)]),
        plain(sole, "smooth", 0.25),
        lift=3,
        edge=4,
    )
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
    c.stitches(moved(counter, -4, 0), sew)
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
        metal = plain(METALS["gold" if p.design % 2 else "silver"], "smooth", 1.0)
        c.part(
            limb(last.trace([(-52, 82), (-30, 66), (-12, 44)]), [6, 6]), metal, follow=True, lift=4, edge=2, shadow=0.4
        )
        for x, up in ((-52, 84), (-12, 42)):
            px, py, _ = last.at(x, up)
            c.part(
                ellipse(px, py, 13, 11), metal, follow=True, lift=3, edge=2, shadow=0.4, holes=[ellipse(px, py, 8, 6.5)]
            )
    else:
        for dx in (0, 17):
            stem = limb(last.trace([(-46 + dx, 84), (-58 + dx, 72), (-62 + dx, 56)]), [5, 7])
            c.part(stem, body, follow=True, lift=3, edge=2, shadow=0.35)
            brush = closed(
                last.trace([(-66 + dx, 60, 1), (-56 + dx, 60, 1), (-54 + dx, 30, 1), (-62 + dx, 27), (-72 + dx, 30, 1)])
            )
            c.part(brush, body, follow=True, lift=3.5, edge=3, shadow=0.4)


def _oxford(c: Canvas, p: WardrobeProduct, last: Last, high: float) -> None:
    body = p.fabric
    quarter = closed(
        last.trace([(-62, 68, 1), (-16, high + 12, 1), (20, high + 6, 1), (6, 50), (-8, 4, 1), (-50, 4, 1), (-52, 44)])
    )
    c.part(quarter, body, follow=True, lift=1.8, edge=2.6, shadow=0.28)
    rows = [(-46 + k * 11.0, 76 + k * (high - 70) / 4) for k in range(5)]
    lay_laces(c, last, rows, mixed(body.colours[0], (0, 0, 0), 0.55), width=4.5, across=(13, 7))
    cap = curve(last.trace([(-132, 3), (-120, 30), (-130, 54)]))
    c.seam(cap, width=1.6, depth=1.2)
    for dx in (4, 8):
        c.stitches(moved(cap, dx, 0), rgb(mixed(body.colours[0], (0, 0, 0), 0.5)), on=2.0)
