"""Shapes of large bags seen from the front: totes and backpacks.

Each function lays the parts of one product on a `Canvas`; points are canvas pixels from the centre line.
"""

from __future__ import annotations

from lapel.samples.bags import METALS, dents, lay_tag, sew_edge
from lapel.samples.bodice import single, thread, zipper
from lapel.samples.canvas import Canvas, creases
from lapel.samples.fabric import Fabric, plain, rgb
from lapel.samples.outlines import Point, box, closed, curve, ellipse, limb, mirror, mirrored
from lapel.samples.plan import WardrobeProduct


def tote(c: Canvas, p: WardrobeProduct, _pose: str) -> None:
    """Open shopper with two long or short handles."""
    c.depth = 34.0
    w0, w1 = p.vary("wide", 138, 168), p.vary("base", 112, 150)
    tall = p.vary("tall", 230, 290)
    bottom = 520.0
    y0 = bottom - tall
    leather = p.trim if p.design % 2 else single(p.fabric, 1) if p.pattern != "plain" else single(p.fabric)
    reach = 150.0 if p.trait("handle") == "long" else 92.0
    x = w0 * 0.46
    far = limb(
        [
            (-x, y0 + 14),
            (-x * 0.86, y0 - reach * 0.72),
            (0, y0 - reach * 0.97),
            (x * 0.86, y0 - reach * 0.72),
            (x, y0 + 14),
        ],
        [11] * 2,
    )
    c.part(far, leather, lift=1, edge=3.5, shadow=0.1, dim=0.8)
    mouth = closed([(-w0, y0 + 2, 1), (0, y0 - 10), (w0, y0 + 2, 1), (0, y0 + 16)])
    c.part(mouth, single(p.fabric), dim=0.5, shadow=0, edge=2)
    body = mirrored(
        [
            (0, y0 + 10),
            (w0 * 0.6, y0 + 6),
            (w0, y0, 1),
            (w0 * 0.99, (y0 + bottom) / 2),
            (w1 + 4, bottom - 12),
            (w1 - 10, bottom, 1),
            (0, bottom + 3),
        ]
    )
    lines = [curve([(s * w0 * 0.95, y0 + 8), (s * w0 * 0.72, y0 + 110), (s * w0 * 0.76, bottom - 30)]) for s in (-1, 1)]
    c.part(body, p.fabric, folds=dents(c, 1.5) + creases(lines, 12, 3.4), edge=6, shadow=0.2)
    c.stitches(curve([(-w0 + 4, y0 + 14), (0, y0 + 22), (w0 - 4, y0 + 14)]), thread(p.fabric, 0.25))
    detail = p.trait("detail")
    if detail == "base":
        cut = bottom - tall * 0.27
        base = mirrored(
            [(0, cut + 2), (w1 + (w0 - w1) * 0.4, cut, 1), (w1 + 3, bottom - 12), (w1 - 10, bottom, 1), (0, bottom + 3)]
        )
        c.part(base, leather, follow=True, lift=0.6, edge=2, shadow=0.2)
    elif detail == "pocket":
        shape = box(-62, y0 + tall * 0.36, 62, y0 + tall * 0.80, 8)
        c.part(shape, p.fabric, follow=True, lift=1.0, edge=2, shadow=0.25)
        sew_edge(c, shape, p.fabric, 0.94)
    elif detail == "print" and p.pattern == "plain":
        _printed(c, p, y0 + tall * 0.52)
    near = limb(
        [
            (-x, y0 + 52),
            (-x * 0.98, y0),
            (-x * 0.7, y0 - reach * 0.78),
            (0, y0 - reach),
            (x * 0.7, y0 - reach * 0.78),
            (x * 0.98, y0),
            (x, y0 + 52),
        ],
        [13] * 2,
    )
    c.part(near, leather, lift=3, edge=4, shadow=0.35)
    for side in (-1, 1):
        patch = box(side * x - 12, y0 + 24, side * x + 12, y0 + 62, 4)
        c.part(patch, leather, follow=True, lift=1.2, edge=1.8, shadow=0.3)
        sew_edge(c, patch, leather, 0.8)
    if p.material == "Leather":
        lay_tag(c, p, 0, y0 + 52)


def _printed(c: Canvas, p: WardrobeProduct, y: float) -> None:
    """A plain printed emblem on canvas."""
    ink = plain(p.fabric.colours[1], "canvas", 0.03)
    choice = int(p.vary("print", 0, 2.99))
    if choice == 0:
        c.part(
            [ellipse(0, y, 58, 58)], ink, follow=True, lift=0.1, edge=0.8, shadow=0, holes=[ellipse(18, y - 14, 46, 46)]
        )
    elif choice == 1:
        leaf = closed([(0, y + 70, 1), (30, y + 20), (22, y - 40), (0, y - 74, 1), (-22, y - 40), (-30, y + 20)])
        c.part(leaf, ink, follow=True, lift=0.1, edge=0.8, shadow=0)
        c.line(curve([(0, y + 80), (0, y - 50)]), rgb(p.fabric.colours[0]), 2.5, lift=0.1)
    else:
        for k in range(4):
            c.line(
                curve([(-64, y - 36 + k * 26), (-20, y - 50 + k * 26), (20, y - 22 + k * 26), (64, y - 36 + k * 26)]),
                rgb(p.fabric.colours[1 + k % 2]),
                8.0,
                lift=0.1,
            )


def backpack(c: Canvas, p: WardrobeProduct, _pose: str) -> None:
    """Day pack: zipped, roll-top or with a flap and buckles."""
    c.depth = 48.0
    form = p.trait("form")
    w, tall, bottom = p.vary("wide", 122, 142), p.vary("tall", 330, 370), 545.0
    y0 = bottom - tall
    leather = p.trim if p.trait("straps") == "leather" else single(p.fabric)
    for side in (-1, 1):
        strap = limb(
            [
                (side * w * 0.5, y0 + 20),
                (side * (w + 20), y0 + 110),
                (side * (w + 25), bottom - 120),
                (side * w * 0.9, bottom - 30),
            ],
            [26, 22, 14],
        )
        c.part(strap, leather, lift=0, edge=5, shadow=0.1, dim=0.8)
    c.part(
        limb([(-26, y0 + 16), (-20, y0 - 26), (20, y0 - 26), (26, y0 + 16)], [11, 11]),
        leather,
        lift=1,
        edge=4,
        shadow=0.1,
    )
    shape: list[Point] = [
        (0, y0),
        (w * 0.62, y0 + 8),
        (w * 0.96, y0 + 74),
        (w + 6, bottom - 90),
        (w - 4, bottom - 14),
        (w * 0.7, bottom),
        (0, bottom + 3),
    ]
    if form == "rolltop":
        shape = [
            (0, y0 - 4),
            (w * 0.84, y0 - 6, 1),
            (w * 0.9, y0 + 60),
            (w + 4, bottom - 90),
            (w - 4, bottom - 14),
            (w * 0.7, bottom),
            (0, bottom + 3),
        ]
    c.part(mirrored(shape), p.fabric, folds=dents(c, 1.5), edge=10, shadow=0.25)
    for side in (-1, 1):
        pocket = closed(
            [
                (side * (w + 3), bottom - 120, 1),
                (side * (w - 26), bottom - 112),
                (side * (w - 30), bottom - 16),
                (side * (w - 2), bottom - 18),
            ]
        )
        c.part(pocket, p.fabric, follow=True, lift=1.5, edge=4, shadow=0.3)
    pocket = box(-w * 0.7, bottom - 145, w * 0.7, bottom - 22, 20)
    c.part(pocket, p.fabric, follow=True, lift=4, edge=8, shadow=0.35)
    _backpack_front(c, p, form, leather, w, y0, bottom)


def _backpack_front(
    c: Canvas, p: WardrobeProduct, form: str, leather: Fabric, w: float, y0: float, bottom: float
) -> None:
    metal = METALS["silver" if p.design % 2 else "gold"]
    zipper(c, curve([(-w * 0.6, bottom - 122), (0, bottom - 126), (w * 0.6, bottom - 122)]), metal)
    if form == "classic":
        zipper(
            c,
            curve(
                [
                    (-w * 0.84, y0 + 150),
                    (-w * 0.78, y0 + 80),
                    (-w * 0.45, y0 + 32),
                    (0, y0 + 24),
                    (w * 0.45, y0 + 32),
                    (w * 0.78, y0 + 80),
                    (w * 0.84, y0 + 150),
                ]
            ),
            metal,
        )
        patch = box(-25, y0 + 110, 25, y0 + 140, 5)
        c.part(patch, leather, follow=True, lift=1, edge=1.6, shadow=0.25)
        sew_edge(c, patch, leather, 0.85)
    elif form == "flap":
        flap = mirrored(
            [
                (0, y0 - 4),
                (w * 0.62, y0 + 4),
                (w * 0.98, y0 + 70),
                (w * 1.0, y0 + 150),
                (w * 0.8, y0 + 184),
                (0, y0 + 192),
            ]
        )
        c.part(flap, p.fabric, folds=dents(c, 1.2), lift=5, edge=8, shadow=0.45)
        sew_edge(c, flap, p.fabric, 0.94)
        for x in (-w * 0.42, w * 0.42):
            c.part(box(x - 11, y0 + 120, x + 11, bottom - 100, 3), leather, follow=True, lift=2, edge=2.5, shadow=0.35)
            c.part(
                box(x - 16, y0 + 182, x + 16, y0 + 210, 4),
                plain(metal, "smooth", 1.0),
                follow=True,
                lift=2.5,
                edge=1.8,
                shadow=0.4,
                holes=[box(x - 10, y0 + 188, x + 10, y0 + 204, 2)],
            )
    else:
        roll = box(-w * 0.88, y0 - 16, w * 0.88, y0 + 34, 16)
        c.part(roll, p.fabric, lift=5, edge=9, shadow=0.4, folds=dents(c, 1.0))
        for line in (curve([(-w * 0.86, y0 + 6), (w * 0.86, y0 + 6)]),):
            c.seam(line, width=1.8, depth=1.6)
        c.part(box(-12, y0 - 18, 12, y0 + 130, 3), leather, follow=True, lift=2, edge=2.5, shadow=0.35)
        c.part(
            box(-17, y0 + 62, 17, y0 + 92, 4),
            plain(metal, "smooth", 1.0),
            follow=True,
            lift=2.5,
            edge=1.8,
            shadow=0.4,
            holes=[box(-11, y0 + 69, 11, y0 + 85, 2)],
        )
    shine = mirror(curve([(w * 0.9, y0 + 110), (w * 0.98, bottom - 130)]))
    c.seam(shine, depth=0.8, dark=0.12)
