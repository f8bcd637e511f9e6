"""Shapes of hats: caps, beanies and brimmed hats.

Each function lays the parts of one product on a `Canvas`; points are canvas pixels from the centre line.
"""

from __future__ import annotations

import numpy as np

from lapel.samples.bodice import ribbed, single, thread
from lapel.samples.canvas import HEIGHT, WIDTH, Canvas, creases, noise
from lapel.samples.fabric import Fabric, mixed, plain, rgb
from lapel.samples.outlines import Point, box, closed, curve, ellipse, limb, mirrored, moved
from lapel.samples.plan import WardrobeProduct


def cap(c: Canvas, p: WardrobeProduct, _pose: str) -> None:
    """Baseball cap from the side and a little from the front: six panels, brim, eyelets, badge."""
    c.depth = 62.0
    tall = p.vary("tall", 0.92, 1.08)
    y0, base = 410 - 210 * tall, 410.0
    brim_cloth = single(p.fabric, 1) if p.trait("brim") == "contrast" else p.fabric
    under = closed(
        [
            (-118, base - 12, 1),
            (-170, base + 4),
            (-206, base + 30),
            (-196, base + 40),
            (-130, base + 30),
            (-40, base + 26),
            (20, base + 10, 1),
        ]
    )
    c.part(under, plain(mixed(brim_cloth.colours[0], (0, 0, 0), 0.4), "twill"), dim=0.6, shadow=0, edge=3)
    crown: list[Point] = [
        (-122, base, 1),
        (-128, base - 70),
        (-104, base - 140),
        (-40, y0 + 12),
        (28, y0),
        (104, y0 + 30),
        (158, base - 110),
        (174, base - 30),
        (170, base - 2, 1),
        (90, base + 14),
        (0, base + 18),
        (-80, base + 10),
    ]
    folds = noise(c.rng, WIDTH, HEIGHT, 7, 7) * 1.6
    c.part(closed(crown), p.fabric, folds=folds, edge=8, shadow=0.2)
    top = (26.0, y0 + 4)
    for points in (
        [top, (-44, y0 + 70), (-62, base + 8)],
        [top, (60, y0 + 80), (64, base + 16)],
        [top, (132, y0 + 70), (160, base - 4)],
    ):
        line = curve(points)
        c.seam(line, width=1.6, depth=1.3)
        c.stitches(moved(line, 4, 0), thread(p.fabric, 0.25))
        c.stitches(moved(line, -4, 0), thread(p.fabric, 0.25))
    for x, y in ((0, y0 + 66), (92, y0 + 70)):
        c.part(ellipse(x, y, 6, 6), p.fabric, follow=True, lift=1.4, edge=2, shadow=0.25)
        c.part(ellipse(x, y, 2.6, 2.6), plain((0.08, 0.08, 0.08)), follow=True, lift=-1, edge=1, shadow=0)
    c.part(ellipse(26, y0 + 1, 13, 8), brim_cloth, lift=3, edge=4, shadow=0.3)
    brim = closed(
        [
            (-122, base - 16, 1),
            (-164, base - 8),
            (-208, base + 26),
            (-204, base + 36),
            (-150, base + 20),
            (-80, base + 16),
            (10, base + 22),
            (30, base + 12, 1),
            (-30, base - 2),
            (-84, base - 12),
        ]
    )
    c.part(brim, brim_cloth, lift=5, edge=5, shadow=0.35)
    for k in range(4):
        s = k * 9.0
        c.stitches(
            curve(
                [
                    (-120 - s * 0.9, base - 6 + s * 0.2),
                    (-165 - s * 0.5, base + 6 + s * 0.35),
                    (-130 - s * 0.2, base + 10 + s * 0.1),
                    (0 - s, base + 13),
                ]
            ),
            thread(brim_cloth, 0.22),
        )
    _badge(c, p, -88, base - 88)


def _badge(c: Canvas, p: WardrobeProduct, x: float, y: float) -> None:
    second = plain(p.fabric.colours[1], "twill", 0.05)
    if p.trait("badge") == "patch":
        c.part(ellipse(x, y, 21, 28), second, follow=True, lift=1.6, edge=2, shadow=0.3)
        c.line(ellipse(x, y, 16, 22), rgb(p.fabric.colours[2]), 2.5)
        c.part(ellipse(x, y, 7, 10), plain(p.fabric.colours[2], "twill"), follow=True, lift=1, edge=1.5, shadow=0.2)
    elif p.trait("badge") == "letter":
        strokes: list[list[Point]] = [
            [(x - 11, y + 22), (x - 11, y - 22)],
            [(x - 11, y - 20), (x + 11, y - 17), (x + 11, y), (x - 9, y + 3)],
            [(x - 4, y + 4), (x + 12, y + 23)],
        ]
        for points in strokes[: 2 if p.design % 2 else 3]:
            c.line(curve(points), rgb(p.fabric.colours[1]), 7.5, lift=2.2)


def beanie(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Knitted hat with a turned-up cuff and sometimes a pompom."""
    c.depth = 52.0 if pose == "worn" else 30.0
    w, tall = p.vary("wide", 128, 150), p.vary("tall", 235, 280)
    base = 470.0
    y0 = base - tall
    if p.trait("top") == "pompom":
        tufts = [ellipse(float(c.rng.normal(0, 19)), y0 - 12 + float(c.rng.normal(0, 19)), 25, 25) for _ in range(16)]
        c.part(
            tufts,
            single(p.fabric, 1 if p.design % 2 else 0),
            edge=12,
            shadow=0.1,
            folds=noise(c.rng, WIDTH, HEIGHT, 90, 110) * 2.6,
            lift=2,
        )
    dome = mirrored(
        [(0, y0), (w * 0.42, y0 + 12), (w * 0.86, y0 + 84), (w, base - 70), (w - 4, base - 6, 1), (0, base + 10)]
    )
    lines = [curve([(x * 0.15, y0 + 16), (x * 0.7, y0 + 70), (x, y0 + 150)]) for x in np.linspace(-w * 0.8, w * 0.8, 6)]
    c.part(dome, p.fabric, folds=noise(c.rng, WIDTH, HEIGHT, 7, 6) * 2.4 + creases(lines, 11, 2.6), edge=9, shadow=0.2)
    if p.trait("cuff") == "yes":
        deep = p.vary("cuff", 66, 92)
        cuff = mirrored(
            [
                (0, base - deep + 12),
                (w * 0.7, base - deep + 6),
                (w + 5, base - deep, 1),
                (w + 3, base + 2, 1),
                (w * 0.6, base + 14),
                (0, base + 18),
            ]
        )
        c.part(
            cuff,
            ribbed(p.fabric) if p.pattern != "plain" else p.fabric,
            lift=6,
            edge=8,
            shadow=0.4,
            folds=noise(c.rng, WIDTH, HEIGHT, 8, 6) * 1.4,
        )
        if p.vary("label", 0, 1) > 0.5:
            c.part(
                box(-26, base - deep * 0.5 - 4, 26, base - deep * 0.5 + 20, 2),
                p.trim,
                follow=True,
                lift=1.5,
                edge=1.6,
                shadow=0.3,
            )
    else:
        hem = mirrored(
            [
                (0, base - 8),
                (w * 0.7, base - 14),
                (w + 1, base - 22, 1),
                (w - 1, base - 2, 1),
                (w * 0.6, base + 8),
                (0, base + 12),
            ]
        )
        c.part(hem, ribbed(p.fabric), follow=True, lift=1.5, edge=4, shadow=0.2)


def hat(c: Canvas, p: WardrobeProduct, _pose: str) -> None:
    """Fedora, wide-brimmed sun hat, bucket hat or boater."""
    c.depth = 46.0
    form = p.trait("form")
    brim = {
        "fedora": p.vary("brim", 160, 182),
        "sun": p.vary("brim", 192, 208),
        "bucket": p.vary("brim", 150, 166),
        "boater": p.vary("brim", 168, 186),
    }[form]
    crown = {"fedora": 102.0, "sun": 92.0, "bucket": 108.0, "boater": 104.0}[form]
    tall = {"fedora": 150.0, "sun": 118.0, "bucket": 128.0, "boater": 108.0}[form] * p.vary("tall", 0.92, 1.08)
    base, cloth = 380.0, p.fabric
    sag = {"fedora": 24.0, "sun": 42.0, "bucket": 70.0, "boater": 30.0}[form]
    waves = noise(c.rng, WIDTH, HEIGHT, 6, 4) * (3.0 if form in ("sun", "bucket") else 1.4)
    if form != "bucket":
        plate = closed(
            [
                (-brim, base + 4),
                (-brim * 0.55, base - 26),
                (0, base - 32),
                (brim * 0.55, base - 26),
                (brim, base + 4),
                (brim * 0.6, base + sag),
                (0, base + sag + 9),
                (-brim * 0.6, base + sag),
            ]
        )
        c.part(plate, cloth, folds=waves, edge=5, shadow=0.2)
    y0 = base - tall
    tops: dict[str, list[Point]] = {
        "fedora": [
            (0, y0 + 20),
            (crown * 0.30, y0 - 4),
            (crown * 0.72, y0 + 8),
            (crown * 0.92, base - 60),
            (crown, base - 2, 1),
            (0, base + 18),
        ],
        "sun": [(0, y0), (crown * 0.55, y0 + 6), (crown * 0.92, y0 + 50), (crown, base - 2, 1), (0, base + 18)],
        "bucket": [(0, y0), (crown * 0.7, y0 + 4), (crown * 0.86, y0 + 18), (crown, base - 6, 1), (0, base + 14)],
        "boater": [(0, y0 + 3), (crown * 0.9, y0, 1), (crown * 0.97, base - 40), (crown, base - 2, 1), (0, base + 18)],
    }
    lines = [curve([(x, y0 + 14), (x * 0.8, y0 + 60)]) for x in (-26, 26)] if form == "fedora" else []
    c.part(
        mirrored(tops[form]),
        cloth,
        folds=noise(c.rng, WIDTH, HEIGHT, 6, 6) * 1.6 + creases(lines, 22, 5.0),
        edge=9,
        shadow=0.45,
    )
    _hat_band(c, p, form, crown, base)
    if form == "bucket":
        skirt = closed(
            [
                (-crown - 1, base - 12, 1),
                (0, base + 10),
                (crown + 1, base - 12, 1),
                (brim, base + 62, 1),
                (brim * 0.5, base + 82),
                (0, base + 88),
                (-brim * 0.5, base + 82),
                (-brim, base + 62, 1),
            ]
        )
        c.part(skirt, cloth, folds=waves, lift=2, edge=5, shadow=0.25)
        for k in range(4):
            t = (k + 1) / 5
            half = crown + (brim - crown) * t
            c.stitches(
                curve([(-half, base - 12 + 74 * t), (0, base + 10 + 78 * t), (half, base - 12 + 74 * t)]),
                thread(cloth, 0.2),
            )
    else:
        rim = curve(
            [
                (-brim + 3, base + 6),
                (-brim * 0.6, base + sag - 4),
                (0, base + sag + 4),
                (brim * 0.6, base + sag - 4),
                (brim - 3, base + 6),
            ]
        )
        c.line(rim, rgb(mixed(cloth.colours[0], (0, 0, 0), 0.18)), 3.0, lift=1.0)


def _hat_band(c: Canvas, p: WardrobeProduct, form: str, crown: float, base: float) -> None:
    if form == "bucket":
        c.seam(curve([(-crown * 0.86, base - 96), (0, base - 88), (crown * 0.86, base - 96)]), depth=1.0, dark=0.2)
        return
    wide = {"fedora": 30.0, "sun": 24.0, "boater": 38.0}[form]
    ribbon: Fabric = plain(p.fabric.colours[1], "rib", 0.1)
    band = closed(
        [
            (-crown * 0.985, base - 6 - wide, 1),
            (0, base + 13 - wide),
            (crown * 0.985, base - 6 - wide, 1),
            (crown + 1, base - 3, 1),
            (0, base + 17),
            (-crown - 1, base - 3, 1),
        ]
    )
    c.part(band, ribbon, follow=True, lift=1.8, edge=2.2, shadow=0.3, angle=90)
    if form != "boater" or p.design % 2:
        x = crown * 0.72
        bow = box(x - 12, base - wide - 1, x + 16, base + 6, 4)
        c.part(bow, ribbon, follow=True, lift=2.4, edge=3, shadow=0.35)
        c.part(
            limb([(x + 2, base - wide * 0.5), (x + 2, base + 8)], [9, 10]),
            ribbon,
            follow=True,
            lift=2.4,
            edge=2,
            shadow=0.3,
        )
