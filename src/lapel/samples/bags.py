"""Shapes of small bags seen from the front: handbags, crossbody bags and clutches, and the fittings that all bags
share.

Each function lays the parts of one product on a `Canvas`; points are canvas pixels from the centre line.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lapel.samples.bodice import single, thread, zipper
from lapel.samples.canvas import HEIGHT, WIDTH, Canvas, Plane, creases, noise
from lapel.samples.fabric import RGB, Fabric, mixed, plain, rgb
from lapel.samples.outlines import Outline, Point, box, closed, curve, ellipse, limb, mirrored, moved
from lapel.samples.plan import WardrobeProduct

METALS: dict[str, RGB] = {"gold": (0.85, 0.69, 0.38), "silver": (0.80, 0.80, 0.82), "none": (0.80, 0.80, 0.82)}


def metal_of(p: WardrobeProduct) -> Fabric:
    """Metal of the fittings."""
    return plain(METALS[p.trait("metal")], "smooth", 1.0)


def dents(c: Canvas, amount: float) -> Plane:
    """Soft dents of a bag that is not quite full."""
    return np.asarray(
        noise(c.rng, WIDTH, HEIGHT, 5, 5) * (2.2 * amount) + noise(c.rng, WIDTH, HEIGHT, 12, 12) * (0.6 * amount),
        dtype=np.float32,
    )


def lay_ring(c: Canvas, p: WardrobeProduct, x: float, y: float, r: float = 9.0) -> None:
    """Metal ring that a handle hangs in."""
    c.part(
        ellipse(x, y, r, r * 1.1),
        metal_of(p),
        lift=2.5,
        edge=1.8,
        shadow=0.4,
        follow=True,
        holes=[ellipse(x, y, r * 0.6, r * 0.7)],
    )


def sew_edge(c: Canvas, outline: Outline, fabric: Fabric, inset: float = 0.965) -> None:
    """Stitching a little inside an outline."""
    middle = outline.mean(axis=0)
    ring = (outline - middle) * inset + middle
    c.stitches(np.concatenate([ring, ring[:1]]).astype(np.float32), thread(fabric, 0.35), on=4)


def lay_tag(c: Canvas, p: WardrobeProduct, x: float, y: float) -> None:
    """A small embossed brand plate."""
    c.part(box(x - 19, y - 6, x + 19, y + 6, 2), metal_of(p), lift=1.2, edge=1.3, shadow=0.3, follow=True)
    c.line(
        curve([(x - 12, y), (x + 12, y)]), rgb(mixed(METALS[p.trait("metal")], (0.1, 0.1, 0.1), 0.6)), 2.0, lift=-0.4
    )


def _top_handle(c: Canvas, p: WardrobeProduct, y: float, x: float, reach: float, *, thick: float = 13.0) -> None:
    rise = [(-x, y), (-x * 0.92, y - reach * 0.6), (0, y - reach), (x * 0.92, y - reach * 0.6), (x, y)]
    c.part(limb(rise, [thick] * 2), single(p.fabric), lift=4, edge=4.5, shadow=0.3)
    for side in (-1, 1):
        lay_ring(c, p, side * x, y + 4)


def handbag(c: Canvas, p: WardrobeProduct, _pose: str) -> None:
    """Structured or soft handbag: trapeze, flap, bucket, hobo or bowling."""
    c.depth = 44.0
    form = p.trait("form")
    w, tall = p.vary("wide", 138, 172), p.vary("tall", 170, 215)
    bottom = 500.0
    y0 = bottom - tall
    body = mirrored(_handbag_outline(form, w, y0, bottom))
    soft = {"bucket": 1.6, "hobo": 2.2}.get(form, 0.7)
    _handbag_strap(c, p, form, w, y0)
    c.part(body, p.fabric, folds=dents(c, soft), edge=8, shadow=0.25)
    _handbag_front(c, p, form, body, w, y0, bottom)


def _handbag_outline(form: str, w: float, y0: float, bottom: float) -> list[Point]:
    """Right half of the body, `w` pixels wide, from row `y0` to row `bottom`."""
    tall = bottom - y0
    shapes: dict[str, list[Point]] = {
        "trapeze": [
            (0, y0 - 2),
            (w * 0.72, y0, 1),
            (w * 0.86, y0 + tall * 0.5),
            (w, bottom - 14),
            (w - 10, bottom, 1),
            (0, bottom + 2),
        ],
        "flap": [(0, y0), (w * 0.86, y0 + 2), (w * 0.95, y0 + 16), (w, bottom - 16), (w - 14, bottom), (0, bottom + 2)],
        "bucket": [
            (0, y0 + 4),
            (w * 0.62, y0 - 6, 1),
            (w * 0.68, y0 + tall * 0.4),
            (w * 0.76, bottom - 18),
            (w * 0.66, bottom),
            (0, bottom + 5),
        ],
        "hobo": [
            (0, y0 + 58),
            (w * 0.5, y0 + 40),
            (w * 0.92, y0 - 30),
            (w * 1.02, y0 - 6),
            (w * 1.04, bottom - 70),
            (w * 0.7, bottom),
            (0, bottom + 8),
        ],
        "bowling": [
            (0, y0 + 6),
            (w * 0.55, y0 + 12),
            (w * 0.92, y0 + 52),
            (w, bottom - 20),
            (w - 14, bottom, 1),
            (0, bottom + 2),
        ],
    }
    return shapes[form]


def _handbag_strap(c: Canvas, p: WardrobeProduct, form: str, w: float, y0: float) -> None:
    """The shoulder strap, or the handle on the far side."""
    if form == "bucket":
        strap = limb(
            [(-w * 0.6, y0 + 8), (-w * 0.42, y0 - 150), (0, y0 - 215), (w * 0.42, y0 - 150), (w * 0.6, y0 + 8)],
            [10] * 2,
        )
        c.part(strap, p.fabric, lift=1, edge=3.5, shadow=0.1)
        c.part(
            closed([(-w * 0.62, y0 - 4), (0, y0 - 22), (w * 0.62, y0 - 4), (0, y0 + 14)]),
            single(p.fabric),
            dim=0.45,
            shadow=0,
        )
    elif form == "hobo":
        strap = limb(
            [(-w * 0.94, y0 - 14), (-w * 0.72, y0 - 110), (0, y0 - 172), (w * 0.72, y0 - 110), (w * 0.94, y0 - 14)],
            [22, 17, 22],
        )
        c.part(strap, p.fabric, lift=1, edge=6, shadow=0.1)
    else:
        reach = p.vary("reach", 82, 118)
        far = limb(
            [
                (-w * 0.42, y0 + 8),
                (-w * 0.36, y0 - reach * 0.72),
                (0, y0 - reach * 1.04),
                (w * 0.36, y0 - reach * 0.72),
                (w * 0.42, y0 + 8),
            ],
            [11] * 2,
        )
        c.part(far, single(p.fabric), lift=0, edge=3.5, shadow=0, dim=0.7)


def _handbag_front(c: Canvas, p: WardrobeProduct, form: str, body: Outline, w: float, y0: float, bottom: float) -> None:
    tall = bottom - y0
    if form == "trapeze":
        for x in (w * 0.5, -w * 0.5):
            c.seam(curve([(x, y0 + 2), (x * 1.14, bottom)]), depth=1.0, dark=0.2)
        sew_edge(c, body, p.fabric)
        _top_handle(c, p, y0 + 22, w * 0.42, 118)
        lock = box(-15, y0 + 26, 15, y0 + 60, 5)
        c.part(limb([(0, y0 - 2), (0, y0 + 34)], [26, 26]), p.fabric, follow=True, lift=2, edge=3, shadow=0.3)
        c.part(lock, metal_of(p), follow=True, lift=3, edge=2.5, shadow=0.4)
    elif form == "flap":
        deep = tall * p.vary("flap", 0.52, 0.68)
        flap = mirrored(
            [
                (0, y0 - 2),
                (w * 0.86, y0),
                (w * 0.955, y0 + 16),
                (w * 0.965, y0 + deep * 0.7),
                (w * 0.8, y0 + deep * 0.95),
                (0, y0 + deep),
            ]
        )
        c.part(flap, p.fabric, lift=4, edge=5, shadow=0.45, folds=dents(c, 0.7))
        sew_edge(c, flap, p.fabric, 0.95)
        _top_handle(c, p, y0 + 2, w * 0.36, 92)
        c.part(box(-18, y0 + deep - 22, 18, y0 + deep + 10, 6), metal_of(p), lift=3, edge=2.5, shadow=0.4)
        c.part(
            ellipse(0, y0 + deep - 8, 6, 6),
            plain(METALS[p.trait("metal")], "smooth", 1.0),
            follow=True,
            lift=2.5,
            edge=2,
            shadow=0.4,
        )
    elif form in ("bucket", "hobo"):
        _soft_front(c, p, form, w, y0, bottom)
    else:
        zipper(c, curve([(-w * 0.5, y0 + 20), (0, y0 + 14), (w * 0.5, y0 + 20)]), METALS[p.trait("metal")])
        for x in (w * 0.42, -w * 0.42):
            c.part(
                limb([(x, y0 + 24), (x * 1.06, bottom)], [15, 15]),
                p.trim if p.design % 2 else p.fabric,
                follow=True,
                lift=1.4,
                edge=2.4,
                shadow=0.3,
            )
        _top_handle(c, p, y0 + 34, w * 0.42, 128)
        for x in (-w + 18, w - 18):
            c.part(ellipse(x, bottom - 6, 5, 4), metal_of(p), follow=True, lift=1.5, edge=1.5)
        lay_tag(c, p, 0, y0 + tall * 0.45)


def _soft_front(c: Canvas, p: WardrobeProduct, form: str, w: float, y0: float, bottom: float) -> None:
    """Drawstring of a bucket bag, zip and rings of a hobo."""
    if form == "bucket":
        c.seam(curve([(-w * 0.66, y0 + 34), (0, y0 + 42), (w * 0.66, y0 + 34)]), width=2.2, depth=1.5)
        ticks = [curve([(x, y0 + 30), (x * 1.02, y0 + 84)]) for x in np.linspace(-w * 0.5, w * 0.5, 7)]
        c.height += creases(ticks, 8, 2.4)
        for end, x in ((y0 + 128, -7.0), (y0 + 120, 8.0)):
            c.part(
                limb([(0, y0 + 38), (x * 1.3, y0 + 80), (x, end)], [5, 5]),
                single(p.fabric),
                follow=True,
                lift=3,
                edge=2,
                shadow=0.35,
            )
            c.part(
                closed([(x - 6, end, 1), (x + 6, end, 1), (x + 8, end + 26, 1), (x - 8, end + 26, 1)]),
                single(p.fabric),
                follow=True,
                lift=3,
                edge=2.5,
            )
        base = curve([(-w * 0.72, bottom - 36), (0, bottom - 30), (w * 0.72, bottom - 36)])
        c.seam(base, depth=1.2)
        c.stitches(moved(base, 0, 5), thread(p.fabric, 0.35))
    else:
        zipper(
            c,
            curve([(-w * 0.62, y0 + 38), (-w * 0.3, y0 + 56), (0, y0 + 62), (w * 0.3, y0 + 56), (w * 0.62, y0 + 38)]),
            METALS[p.trait("metal")],
        )
        for x in (-w * 0.93, w * 0.93):
            lay_ring(c, p, x, y0 - 14, 13)
        lay_tag(c, p, 0, y0 + 104)


def _chain(c: Canvas, p: WardrobeProduct, line: Outline) -> None:
    """A chain strap: links turned by turns along a line."""
    step = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    links, holes = [], []
    for k, at in enumerate(np.arange(4, step[-1] - 3, 8.0)):
        x, y = float(np.interp(at, step, line[:, 0])), float(np.interp(at, step, line[:, 1]))
        dx, dy = (float(np.interp(at + 2, step, line[:, i]) - np.interp(at - 2, step, line[:, i])) for i in (0, 1))
        slope = float(np.rad2deg(np.arctan2(dy, dx)))
        links.append(ellipse(x, y, 6.0, 4.6 if k % 2 else 2.4, slope))
        if k % 2:
            holes.append(ellipse(x, y, 3.0, 2.0, slope))
    c.part(links, metal_of(p), lift=3, edge=1.6, shadow=0.3, holes=holes)


def crossbody(c: Canvas, p: WardrobeProduct, _pose: str) -> None:
    """Small bag on a long leather or chain strap."""
    c.depth = 38.0
    form = p.trait("form")
    w, tall, bottom = p.vary("wide", 118, 148), p.vary("tall", 140, 172), 510.0
    y0 = bottom - tall
    high = y0 - p.vary("drop", 230, 290)
    line = curve(
        [
            (-w * 0.93, y0 + 26),
            (-w * 0.78, y0 - 90),
            (-w * 0.30, high + 24),
            (0, high),
            (w * 0.30, high + 24),
            (w * 0.78, y0 - 90),
            (w * 0.93, y0 + 26),
        ]
    )
    if p.trait("strap") == "chain":
        _chain(c, p, line)
    else:
        c.part(
            limb([(float(x), float(y)) for x, y in line[::6]], [9, 9]), single(p.fabric), lift=2, edge=3, shadow=0.15
        )
    shapes: dict[str, list[Point]] = {
        "camera": [(0, y0), (w * 0.8, y0 + 2), (w, y0 + 26), (w, bottom - 24), (w * 0.84, bottom), (0, bottom + 2)],
        "flap": [(0, y0), (w * 0.9, y0 + 2), (w, y0 + 18), (w, bottom - 22), (w * 0.88, bottom), (0, bottom + 2)],
        "halfmoon": [
            (0, y0),
            (w * 0.8, y0 + 2),
            (w * 1.02, y0 + 10),
            (w, y0 + tall * 0.5),
            (w * 0.62, bottom - 12),
            (0, bottom + 4),
        ],
    }
    body = mirrored(shapes[form])
    c.part(body, p.fabric, folds=dents(c, 0.6), edge=9, shadow=0.3)
    if form == "flap":
        deep = tall * p.vary("flap", 0.5, 0.72)
        tip = p.vary("tip", 0, 26)
        flap = mirrored(
            [
                (0, y0 - 2),
                (w * 0.9, y0),
                (w * 0.99, y0 + 18),
                (w * 0.98, y0 + deep - tip),
                (w * 0.7, y0 + deep - tip * 0.4),
                (0, y0 + deep),
            ]
        )
        c.part(flap, p.fabric, lift=4, edge=6, shadow=0.45, folds=dents(c, 0.5))
        c.part(ellipse(0, y0 + deep - 15, 12, 12), metal_of(p), lift=2.5, edge=2.4, shadow=0.4, follow=True)
        c.part(ellipse(0, y0 + deep - 15, 5, 5), single(p.fabric), lift=0.5, edge=1.5, shadow=0.3, follow=True)
    else:
        zipper(c, curve([(-w * 0.78, y0 + 22), (0, y0 + 18), (w * 0.78, y0 + 22)]), METALS[p.trait("metal")])
        sew_edge(c, body, p.fabric, 0.95)
        if form == "camera":
            pocket = box(-w * 0.8, y0 + 52, w * 0.8, bottom - 18, 14)
            c.part(pocket, p.fabric, follow=True, lift=1.8, edge=4, shadow=0.3)
        lay_tag(c, p, 0, y0 + tall * 0.6)
    for side in (-1, 1):
        lay_ring(c, p, side * w * 0.93, y0 + 24, 8)


def clutch(c: Canvas, p: WardrobeProduct, _pose: str) -> None:
    """Evening bag: envelope, clasp frame or soft pouch."""
    c.depth = 30.0
    form = p.trait("form")
    w, tall = p.vary("wide", 165, 192), p.vary("tall", 165, 205)
    y0, y1 = HEIGHT / 2 - tall / 2 + 20, HEIGHT / 2 + tall / 2 + 20
    if form == "envelope":
        c.part(box(-w, y0, w, y1, 10), p.fabric, folds=dents(c, 0.8), edge=5, shadow=0.2)
        deep = tall * p.vary("flap", 0.55, 0.75)
        flap = closed(
            [
                (-w + 1, y0 + 2, 1),
                (0, y0),
                (w - 1, y0 + 2, 1),
                (w * 0.5, y0 + deep * 0.53),
                (0, y0 + deep, 1),
                (-w * 0.5, y0 + deep * 0.53),
            ]
        )
        c.part(flap, p.fabric, lift=4, edge=3.5, shadow=0.45, folds=dents(c, 0.5))
        c.part(ellipse(0, y0 + deep - 26, 9, 9), metal_of(p), lift=2, edge=2.2, follow=True, shadow=0.4)
    elif form == "frame":
        body = mirrored(
            [(0, y0 + 16), (w * 0.74, y0 + 14), (w * 0.95, y0 + 60), (w * 0.98, y1 - 40), (w * 0.75, y1), (0, y1 + 5)]
        )
        ticks = [curve([(x, y0 + 22), (x * 1.25, y0 + 96)]) for x in np.linspace(-w * 0.66, w * 0.66, 11)]
        c.part(body, p.fabric, folds=dents(c, 1.6) + creases(ticks, 8, 2.6), edge=8, shadow=0.25)
        c.part(
            limb(
                [(-w * 0.76, y0 + 30), (-w * 0.74, y0 + 12), (0, y0 + 6), (w * 0.74, y0 + 12), (w * 0.76, y0 + 30)],
                [17, 17],
            ),
            metal_of(p),
            lift=3,
            edge=5,
            shadow=0.4,
        )
        for x in (-7, 7):
            c.part(ellipse(x, y0 - 8, 9, 9), metal_of(p), lift=4, edge=4, shadow=0.4)
    else:
        body = mirrored(
            [(0, y0 + 22), (w * 0.6, y0 + 8), (w * 0.92, y0 + 18), (w, y0 + tall * 0.6), (w * 0.78, y1), (0, y1 + 6)]
        )
        ticks = [curve([(x, y0 + 20), (x * 1.3, y0 + 130)]) for x in np.linspace(-w * 0.6, w * 0.6, 9)]
        c.part(body, p.fabric, folds=dents(c, 2.2) + creases(ticks, 11, 3.6), edge=9, shadow=0.25)
        c.part(
            limb(
                [(-w * 0.9, y0 + 26), (-w * 0.45, y0 + 16), (0, y0 + 26), (w * 0.45, y0 + 16), (w * 0.9, y0 + 26)],
                [24, 24],
            ),
            single(p.fabric),
            follow=True,
            lift=2,
            edge=6,
            shadow=0.3,
        )
        c.part(ellipse(0, y0 + 26, 15, 11), metal_of(p), lift=3, edge=4, follow=True, shadow=0.4)
    if p.vary("wrist", 0, 1) > 0.6:
        loop = limb([(w * 0.9, y0 + 30), (w * 1.06, y0 + 90), (w * 0.98, y0 + 168), (w * 0.86, y0 + 96)], [8, 8])
        c.part(loop, replace(single(p.fabric), texture="leather"), lift=3, edge=3, shadow=0.4)
