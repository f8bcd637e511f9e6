"""Shapes of outerwear: blazers, bomber, denim, biker and puffer jackets, and coats.

Each function lays the parts of one product on a `Canvas`; `pose` is worn (on an invisible body), hanger or flat.
"""

from __future__ import annotations

from lapel.samples.bodice import (
    Bodice,
    Sleeve,
    both,
    cuff_line,
    lay_buttons,
    lay_cuffs,
    lay_hanger,
    lay_hem,
    lay_inside,
    lay_sleeves,
    placed,
    ribbed,
    single,
    thread,
    torso_folds,
    zipper,
)
from lapel.samples.canvas import Canvas
from lapel.samples.fabric import RGB, Fabric, mixed, plain, rgb
from lapel.samples.outlines import Outline, box, closed, curve, ellipse, limb, mirror, moved
from lapel.samples.plan import WardrobeProduct
from lapel.samples.tops import button_colour, hanger_of

_SPREAD = {"worn": 0.0, "hanger": -3.0, "flat": 7.0}
_STEEL: RGB = (0.78, 0.78, 0.80)
_BRASS: RGB = (0.78, 0.62, 0.34)
JEANS_THREAD: RGB = (0.80, 0.56, 0.28)


def _begin(c: Canvas, b: Bodice, p: WardrobeProduct, pose: str, lining: Fabric) -> None:
    c.depth, c.open_below = (32.0 if pose == "worn" else 20.0), True
    lay_inside(c, b, lining, rise=3.5)
    if pose == "hanger":
        lay_hanger(c, b, hanger_of(p))


def _sewn(c: Canvas, line: Outline, fabric: Fabric, share: float = 0.25) -> None:
    """Stitches along a line and its mirror image."""
    for each in (line, mirror(line)):
        c.stitches(each, thread(fabric, share))


def _lapels(c: Canvas, b: Bodice, p: WardrobeProduct, *, width: float, peak: bool, cross: float) -> None:
    """Rolled lapels and collar that meet at (cross, depth)."""
    n, d = b.neck, b.depth
    notch = d * 0.36
    tip = (n + width * 0.55, notch - (1.8 if peak else -0.6), 1)
    right = closed(
        b.trace(
            [
                (n * 0.92, -1.0, 1),
                (n + 1.6, 0.6),
                (n + 1.2, notch - 0.4, 1),
                tip,
                (n * 0.62 + width * 0.35, d * 0.62),
                (cross, d, 1),
                (n * 0.42, d * 0.5),
            ]
        )
    )
    left = closed(
        b.trace(
            [
                (-n * 0.92, -1.0, 1),
                (-n - 1.6, 0.6),
                (-n - 1.2, notch - 0.4, 1),
                (-tip[0], tip[1], 1),
                (-n * 0.62 - width * 0.35, d * 0.62),
                (cross, d + 0.6, 1),
                (-n * 0.36, d * 0.5),
            ]
        )
    )
    for piece, turn in ((left, -25.0), (right, 25.0)):
        c.part(piece, p.fabric, angle=turn, lift=2.4, edge=3.0, shadow=0.35)
    collar = closed(
        b.trace(
            [
                (n * 0.72, -2.2, 1),
                (n + 1.2, -0.4),
                (n + 2.6, notch * 0.55),
                (n + 0.7, notch - 0.3, 1),
                (n * 0.66, notch * 0.42),
            ]
        )
    )
    c.part(
        limb(b.trace([(-n, -0.6), (-n * 0.5, -2.2), (0, -2.7), (n * 0.5, -2.2), (n, -0.6)]), [3.6 * b.scale] * 2),
        p.fabric,
        lift=1.5,
        edge=3,
        shadow=0.2,
        dim=0.92,
    )
    both(c, collar, p.fabric, follow=False, lift=3.2, edge=2.6, shadow=0.25, angle=30)


def _flap_pocket(
    c: Canvas, b: Bodice, p: WardrobeProduct, x: float, y: float, w: float = 13.5, h: float = 5.0, tilt: float = 0.6
) -> None:
    flap = closed(
        b.trace([(x - w / 2, y, 1), (x + w / 2, y - tilt, 1), (x + w / 2, y + h - tilt, 1), (x - w / 2, y + h, 1)])
    )
    both(c, flap, p.fabric, lift=0.8, edge=1.6, shadow=0.3)


def blazer(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Tailored jacket, single or double breasted, with notch or peak lapels."""
    fit = p.vary("fit", 0.94, 1.05) * (0.93 if p.gender == "Women" else 1.0)
    body, double = p.vary("length", 68, 76), p.trait("breast") == "double"
    scale, top = placed(84, body + 3, hanger=pose == "hanger")
    waist = 22.5 * fit - (2 if p.gender == "Women" else 0)
    b = Bodice(
        scale,
        top + 2 * scale,
        7.5,
        23.0 * fit,
        25.5 * fit,
        waist,
        27 * fit,
        body,
        p.vary("depth", 30, 38),
        "v",
        4.0,
        24.0,
        43.0,
        1.0,
    )
    lining = plain(mixed(p.fabric.colours[0], p.fabric.colours[1], 0.5), "satin", 0.2)
    sleeve = Sleeve(61, 13.0 * fit, 13.5 + _SPREAD[pose], 1.0)
    _begin(c, b, p, pose, lining)
    white = plain((0.93, 0.92, 0.90), "poplin", 0.03) if p.vary("shirt", 0, 1) > 0.6 and pose == "worn" else lining
    c.part(b.inside(3.5), white, dim=0.62, shadow=0, lift=0)
    lay_sleeves(c, b, sleeve, p.fabric, stiff=0.75)
    c.part(b.front(), p.fabric, folds=torso_folds(c, b, amount=0.6), shadow=0.2, edge=4)
    for x in (-12.5, 12.5):
        c.seam(
            curve(b.trace([(x, b.armhole + 5), (x * 0.95, b.waist_at), (x * 1.03, b.length - 22)])), depth=0.5, dark=0.1
        )
    cross = -5.0 if double else 0.3
    edge = curve(
        b.trace([(cross, b.depth), (cross, b.length * 0.75), (cross + (0.5 if double else 2.5), b.length + b.curve)])
    )
    c.seam(edge, width=1.8, depth=2.2, dark=0.4)
    _lapels(c, b, p, width=p.vary("lapel", 5.5, 9.5), peak=p.trait("lapel") == "peak", cross=cross)
    _flap_pocket(c, b, p, 15, b.length - 23)
    chest = closed(b.trace([(9, 23.2, 1), (18.5, 21.6, 1), (18.5, 23.8, 1), (9, 25.4, 1)]))
    c.part(chest, p.fabric, follow=True, lift=0.6, edge=1.0, shadow=0.25)
    color = button_colour(p)
    if double:
        for x in (-5.5 + 1.5, 8.0):
            lay_buttons(c, b, b.depth + 1.5, b.depth + 23, 3, color, x=x, radius=1.0)
    else:
        count = 1 if p.vary("count", 0, 1) > 0.7 else 2
        lay_buttons(c, b, b.depth + 1.5, b.depth + 12.5, count, color, x=-1.2, radius=1.05)
    for k in range(3):
        line = cuff_line(b, sleeve, 2.5 + 2.2 * k)
        x, y = line[3]
        for each in (x, -x):
            c.part(ellipse(each, y, 0.6 * scale, 0.6 * scale), plain(color, "smooth", 0.4), follow=True, edge=1.2)


def bomber(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Zipped jacket with ribbed collar, cuffs and hem."""
    fit, body = p.vary("fit", 0.98, 1.12), p.vary("length", 60, 67)
    scale, top = placed(84, body + 2, hanger=pose == "hanger")
    b = Bodice(scale, top + scale, 8.2, 22.5 * fit, 27 * fit, 26.5 * fit, 25.0 * fit, body, 8.0, "crew", 4.5, 25.0)
    sleeve = Sleeve(60, 11.5 * fit, 16 + _SPREAD[pose], 1.4, 2.0)
    rib = ribbed(p.fabric) if p.vary("rib", 0, 1) > 0.35 else plain((0.13, 0.13, 0.14), "rib", 0.02)
    _begin(c, b, p, pose, plain(p.fabric.colours[2], "satin", 0.2))
    lay_sleeves(c, b, sleeve, p.fabric, stiff=1.5)
    c.part(b.front(), p.fabric, folds=torso_folds(c, b, amount=1.35), shadow=0.25, edge=4)
    c.part(b.band(4.2), rib, lift=1.8, edge=3, shadow=0.3)
    c.part(b.back_band(4.0), rib, lift=1.0, edge=2.5, shadow=0.2, dim=0.85)
    lay_cuffs(c, b, sleeve, rib, 6.5)
    lay_hem(c, b, rib, 6.5, 1.6)
    zipper(c, b.down(0, b.depth - 1.5, b.length + 1), _STEEL if p.design % 2 else _BRASS, width=3.4)
    slit = b.down(13.0, 40, 54, 18.0)
    for line in (slit, mirror(slit)):
        c.seam(line, width=2.4, depth=1.6, dark=0.4)
    if p.design % 3 == 0:
        line = cuff_line(b, sleeve, 40)
        c.part(limb([(x, y) for x, y in line[[2, 6]].tolist()], [2.2 * scale] * 2), single(p.fabric, 2), follow=True)


def trucker(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Denim jacket: yoke, V seams, flap pockets, metal buttons and contrast stitching."""
    fit, body = p.vary("fit", 0.95, 1.12) * (0.94 if p.gender == "Women" else 1.0), p.vary("length", 54, 64)
    scale, top = placed(84, body + 4, hanger=pose == "hanger")
    b = Bodice(scale, top + 3 * scale, 8.0, 22.5 * fit, 26 * fit, 25 * fit, 24.5 * fit, body, 8.5, "v", 4.5, 24.5)
    sleeve = Sleeve(60, 12 * fit, 15.5 + _SPREAD[pose], 0.8, 0.8)
    _begin(c, b, p, pose, single(p.fabric))
    lay_sleeves(c, b, sleeve, p.fabric, stiff=1.4)
    c.part(b.front(), p.fabric, folds=torso_folds(c, b, amount=1.2), shadow=0.3, edge=4)
    c.bleach(0, top + b.length * scale * 0.5, b.chest * scale, b.length * scale * 0.4, 0.14)
    yoke = b.across(19.0, b.shoulder - 1.0, 0.8)
    c.seam(yoke, width=1.8, depth=1.4)
    for shift in (0.7, 1.4):
        c.stitches(b.across(19.0 + shift, b.shoulder - 1.0, 0.8), rgb(JEANS_THREAD))
    for x0, x1 in ((6.5, 4.5), (17.0, 9.5)):
        line = b.down(x0, 20.0, b.length - 5, x1)
        for each in (line, mirror(line)):
            c.seam(each, depth=0.9)
            c.stitches(moved(each, 2.2, 0), rgb(JEANS_THREAD))
    flap = closed(b.trace([(6.3, 19.6, 1), (17.2, 19.6, 1), (17.2, 23.2, 1), (11.8, 26.0, 1), (6.3, 23.2, 1)]))
    both(c, flap, p.fabric, lift=1.0, edge=1.6, shadow=0.35)
    rim = curve(b.trace([(6.9, 20.0), (6.9, 22.9, 1), (11.8, 25.3, 1), (16.6, 22.9, 1), (16.6, 20.0)]))
    for each in (rim, mirror(rim)):
        c.stitches(each, rgb(JEANS_THREAD))
    c.part(
        b.panel(-2.2, b.depth - 0.5, 2.2, b.length + 1),
        p.fabric,
        follow=True,
        lift=0.7,
        edge=1.2,
        shadow=0.3,
    )
    for x in (-1.8, 1.8):
        c.stitches(b.down(x, b.depth + 0.5, b.length + 1), rgb(JEANS_THREAD))
    lay_hem(c, b, p.fabric, 4.2, 0.2)
    c.stitches(b.across(b.length - 3.6, b.hem - 0.4, b.curve), rgb(JEANS_THREAD))
    lay_cuffs(c, b, sleeve, p.fabric, 5.0)
    metal = plain(_BRASS if p.design % 2 else _STEEL, "smooth", 0.9)
    for k in range(6):
        x, y, _ = b.at(0, b.depth + 2 + k * (b.length - b.depth - 4) / 5)
        c.part(ellipse(x, y, 0.8 * scale, 0.8 * scale), metal, follow=True, lift=1.4, edge=1.5, shadow=0.4)
    for x, y, _ in (b.at(11.8, 24.4), b.at(-11.8, 24.4)):
        c.part(ellipse(x, y, 0.7 * scale, 0.7 * scale), metal, follow=True, lift=1.4, edge=1.5, shadow=0.4)
    cloth = Fabric(((0.42, 0.28, 0.18),) * 3, "plain", "cord") if p.trait("collar") == "cord" else p.fabric
    _jacket_collar(c, b, cloth, p)


def _jacket_collar(c: Canvas, b: Bodice, cloth: Fabric, p: WardrobeProduct) -> None:
    n = b.neck
    c.part(
        limb(b.trace([(-n, 0), (-n * 0.5, -2.4), (0, -3.0), (n * 0.5, -2.4), (n, 0)]), [4.2 * b.scale] * 2),
        cloth,
        lift=1.4,
        edge=3,
        shadow=0.2,
        dim=0.9,
    )
    leaf = closed(
        b.trace([(n * 0.7, -3.0, 1), (n + 2.2, 0.5), (n + 3.0, 8.8, 1), (0.8, b.depth + 0.4, 1), (n * 0.5, 3.5)])
    )
    both(c, leaf, cloth, follow=False, lift=3.2, edge=2.6, shadow=0.35, angle=35)
    rim = curve(b.trace([(n + 1.5, 0.8), (n + 2.3, 8.0, 1), (1.6, b.depth - 0.1)]))
    _sewn(c, rim, p.fabric)


def biker(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Leather jacket with an asymmetric zip, wide lapels, zipped pockets and a belt."""
    fit, body = p.vary("fit", 0.92, 1.04) * (0.94 if p.gender == "Women" else 1.0), p.vary("length", 54, 62)
    scale, top = placed(84, body + 4, hanger=pose == "hanger")
    b = Bodice(scale, top + 3 * scale, 8.0, 22.0 * fit, 25 * fit, 23.5 * fit, 24 * fit, body, 17.0, "v", 4.5, 24.0)
    sleeve = Sleeve(60, 11 * fit, 15.5 + _SPREAD[pose], 0.8, 0.6)
    _begin(c, b, p, pose, plain((0.16, 0.15, 0.16), "satin", 0.2))
    metal = _STEEL if p.design % 3 else _BRASS
    lay_sleeves(c, b, sleeve, p.fabric, stiff=1.9)
    c.part(b.front(), p.fabric, folds=torso_folds(c, b, amount=1.6), shadow=0.3, edge=4)
    n, d = b.neck, b.depth
    right = closed(
        b.trace(
            [
                (n * 0.8, -1, 1),
                (n + 3.5, 4),
                (n + 5.0, 9.0, 1),
                (n + 6.0, 16.5, 1),
                (5.5, 26.0, 1),
                (-1.0, d + 1.0),
                (n * 0.4, d * 0.5),
            ]
        )
    )
    left = closed(
        b.trace(
            [
                (-n * 0.8, -1, 1),
                (-n - 3.5, 4),
                (-n - 4.5, 9.0, 1),
                (-n - 4.5, 15.5, 1),
                (-3.0, 24.0, 1),
                (-0.6, d + 2),
                (-n * 0.35, d * 0.5),
            ]
        )
    )
    for piece in (left, right):
        c.part(piece, p.fabric, lift=3.0, edge=3.2, shadow=0.4)
    _jacket_collar(c, b, p.fabric, p)
    zipper(c, curve(b.trace([(5.4, 25.5), (2.5, 38), (0.5, b.length + 1)])), metal, width=3.6)
    for x0, y0, x1, y1 in ((9.5, 33.0, 18.5, 30.0), (8.5, 47.0, 17.5, 39.5)):
        line = curve(b.trace([(x0, y0), (x1, y1)]))
        for each in (line, mirror(line)) if y0 > 40 else (mirror(line),):
            zipper(c, each, metal, width=2.6)
    lay_hem(c, b, p.fabric, 4.0, 0.2)
    x, y, _ = b.at(7.5, b.length - 1.8)
    c.part(
        box(x - 2.4 * scale, y - 2.3 * scale, x + 2.4 * scale, y + 2.3 * scale, 4),
        plain(metal, "smooth", 0.9),
        lift=2,
        edge=1.6,
        follow=True,
        holes=[box(x - 1.6 * scale, y - 1.5 * scale, x + 1.6 * scale, y + 1.5 * scale, 2)],
    )
    line = cuff_line(b, sleeve, 1.0)
    for inner in (line, mirror(line)):
        c.seam(inner, depth=0.9)
    cuff_zip = curve([tuple(cuff_line(b, sleeve, 0.5)[4].tolist()), tuple(cuff_line(b, sleeve, 11.0)[4].tolist())])
    for each in (cuff_zip, mirror(cuff_zip)):
        zipper(c, each, metal, width=2.2)
    shoulder = curve(b.trace([(n + 3, 3.0), (b.shoulder - 1.5, 7.0)]))
    for each in (shoulder, mirror(shoulder)):
        c.seam(each, width=2.0, depth=1.2)


def puffer(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Down jacket or gilet in padded channels, with a stand collar or hood."""
    fit, body = p.vary("fit", 1.0, 1.12), p.vary("length", 60, 76)
    gilet, hood = p.trait("sleeves") == "gilet", p.trait("hood") == "yes"
    scale, top = placed(60 if gilet else 86, body + (13 if hood else 6), hanger=pose == "hanger")
    chest = 24.5 if gilet else 28.0
    b = Bodice(
        scale,
        top + (11 if hood else 5) * scale,
        9.0,
        (20 if gilet else 22.5) * fit,
        chest * fit,
        (chest - 0.5) * fit,
        27 * fit,
        body,
        5.0,
        "high",
        4.8,
        25.5,
    )
    sleeve = Sleeve(60, 12.5 * fit, 17 + _SPREAD[pose], 2.2, 2.4)
    c.depth, c.open_below = 36.0, False
    inside = plain(mixed(p.fabric.colours[0], (0.1, 0.1, 0.1), 0.5), "satin", 0.2)
    if pose == "hanger":
        lay_hanger(c, b, hanger_of(p))
    if hood:
        ring = [(9.8, 3.0, 1), (13.0, -3.0), (10.6, -10.4), (4.5, -13.0), (0, -13.4)]
        c.part(
            closed(b.trace([*ring, *[(-x, y, *k) for x, y, *k in reversed(ring[:-1])], (0, 9)])),
            p.fabric,
            edge=9,
            shadow=0.1,
        )
        cave = [(7.6, 2.0, 1), (8.0, -3.5), (6.0, -8.2), (0, -9.8)]
        c.part(
            closed(b.trace([*cave, *[(-x, y, *k) for x, y, *k in reversed(cave[:-1])], (0, 6.6, 1)])),
            inside,
            dim=0.55,
            lift=-2,
            edge=3,
            shadow=0.0,
        )
    else:
        lay_inside(c, b, inside)
    if not gilet:
        lay_sleeves(c, b, sleeve, p.fabric, stiff=1.2)
    c.part(b.front(straps=False), p.fabric, folds=torso_folds(c, b, amount=0.9), shadow=0.3, edge=8)
    n = b.neck
    if not hood:
        tall = p.vary("collar", 5, 8)
        tube = closed(
            b.trace(
                [
                    (-n - 1.5, 3, 1),
                    (-n - 0.5, -tall),
                    (-n * 0.4, -tall + 1.0),
                    (0, -tall + 3.0, 1),
                    (n * 0.4, -tall + 1.0),
                    (n + 0.5, -tall),
                    (n + 1.5, 3, 1),
                    (n * 0.5, 7.5),
                    (0, 8.5),
                    (-n * 0.5, 7.5),
                ]
            )
        )
        c.part(tube, p.fabric, lift=3.0, edge=8, shadow=0.3)
    zipper(c, b.down(0, 7.5 if hood else 0.5, b.length + 1), _STEEL if p.design % 2 else (0.12, 0.12, 0.13), width=4.0)
    for line in (b.down(14.5, b.length - 24, b.length - 12, 17.5),):
        for each in (line, mirror(line)):
            c.seam(each, width=3.0, depth=2.0, dark=0.45)
    if not gilet:
        lay_cuffs(c, b, sleeve, ribbed(p.fabric), 2.6)
    x, y, _ = b.at(12.5, b.armhole - 1)
    c.part(
        box(x - 9, y - 4, x + 9, y + 4, 1),
        plain((0.93, 0.93, 0.92) if p.design % 2 else (0.1, 0.1, 0.11)),
        follow=True,
        lift=0.6,
        edge=1,
    )


def coat(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Overcoat with lapels, belted trench coat or wrap coat."""
    style = p.trait("style")
    fit = p.vary("fit", 0.95, 1.06) * (0.94 if p.gender == "Women" else 1.0)
    body = (p.vary("length", 100, 112) if p.trait("length") == "knee" else p.vary("length", 114, 124)) * 0.94
    scale, top = placed(84, body + 4, hanger=pose == "hanger")
    belted = style in ("trench", "wrap")
    b = Bodice(
        scale,
        top + 3 * scale,
        7.8,
        23 * fit,
        26 * fit,
        (22.5 if belted else 26) * fit,
        (31 if belted else 29) * fit,
        body,
        p.vary("depth", 26, 36),
        "v",
        4.2,
        24.5,
        44.0,
        1.2,
    )
    sleeve = Sleeve(62, 14 * fit, 13.5 + _SPREAD[pose], 1.0)
    _begin(c, b, p, pose, plain(mixed(p.fabric.colours[0], p.fabric.colours[1], 0.4), "satin", 0.2))
    lay_sleeves(c, b, sleeve, p.fabric, stiff=1.0)
    c.part(b.front(), p.fabric, folds=torso_folds(c, b, amount=1.0), shadow=0.25, edge=4)
    double = style == "trench" or (style == "overcoat" and p.design % 3 == 0)
    cross = -6.0 if double else -8.0 if style == "wrap" else 0.3
    front = curve(b.trace([(cross, b.depth), (cross, body * 0.7), (cross, b.length + b.curve)]))
    c.seam(front, width=2.0, depth=2.4, dark=0.4)
    _lapels(c, b, p, width=p.vary("lapel", 8, 12), peak=style == "wrap", cross=cross)
    color = button_colour(p)
    if double:
        for x in (-4.0, 9.0):
            lay_buttons(c, b, b.depth + 3, b.depth + 28, 3, color, x=x, radius=1.3)
    elif style == "overcoat":
        lay_buttons(c, b, b.depth + 2, b.depth + 34, 3, color, x=-1.5, radius=1.3)
    _flap_pocket(c, b, p, 15.5, b.waist_at + 14, 14.5, 5.5, -1.0 if belted else 0.6)
    if style == "trench":
        storm = closed(
            b.trace([(-b.shoulder + 1, 6.0, 1), (-7.5, 5.5, 1), (-6.5, 21.5), (-12, 24.5), (-b.chest + 1.5, 23.0, 1)])
        )
        c.part(storm, p.fabric, follow=True, lift=1.2, edge=2, shadow=0.3)
        strap = limb(b.trace([(b.neck + 2.5, 2.4), (b.shoulder - 0.8, 5.6)]), [3.2 * scale, 4.0 * scale])
        both(c, strap, p.fabric, lift=1.2, edge=1.6)
    if belted:
        _coat_belt(c, b, p)
    if style == "trench":
        for outline in (cuff_line(b, sleeve, 7.0), cuff_line(b, sleeve, 9.8)):
            _sewn(c, outline, p.fabric, 0.3)


def _coat_belt(c: Canvas, b: Bodice, p: WardrobeProduct) -> None:
    """Tied or buckled belt at the waist with a hanging end."""
    y, w = b.waist_at, b.waist + 0.4
    s = b.scale
    band = limb(b.trace([(-w, y - 0.6), (0, y + 0.5), (w, y - 0.6)]), [5.0 * s] * 2)
    c.part(band, p.fabric, lift=2.0, edge=2.4, shadow=0.4, follow=True, angle=90)
    if p.trait("style") == "trench":
        x, yy, _ = b.at(-1.0, y + 0.4)
        c.part(
            box(x - 3.4 * s, yy - 3.2 * s, x + 3.4 * s, yy + 3.2 * s, 4),
            p.trim,
            lift=2.5,
            edge=1.6,
            follow=True,
            shadow=0.4,
            holes=[box(x - 2.2 * s, yy - 2.2 * s, x + 2.2 * s, yy + 2.2 * s, 3)],
        )
        tail = limb(b.trace([(2, y + 0.4), (9, y + 1.5), (12.0, y + 6)]), [4.6 * s] * 2)
        c.part(tail, p.fabric, lift=2.4, edge=2.2, shadow=0.4, follow=True)
        return
    for side, end in ((1.0, 30.0), (-0.6, 25.0)):
        tail = limb(
            b.trace([(-2.0, y), (-2.0 + side * 3.2, y + end * 0.5), (-2.0 + side * 3.8, y + end)]),
            [4.0 * s, 5.0 * s, 5.4 * s],
        )
        c.part(tail, p.fabric, lift=2.4, edge=2.4, shadow=0.4, follow=True)
    loop = closed(b.trace([(-2, y, 1), (2.5, y - 2.2), (8.5, y + 0.8), (8.0, y + 4.2), (3.0, y + 2.2)]))
    c.part(loop, p.fabric, lift=3, edge=3, shadow=0.4, follow=True)
    x, yy, _ = b.at(-2, y + 0.3)
    c.part(ellipse(x, yy, 2.8 * s, 3.0 * s), p.fabric, lift=3, edge=3.4, shadow=0.4, follow=True)
