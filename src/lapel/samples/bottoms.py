"""Shapes of trousers: jeans, tailored trousers, shorts and leggings.

Each function lays the parts of one product on a `Canvas`; `pose` is worn (on an invisible body), hanger or flat.
"""

from __future__ import annotations

from dataclasses import dataclass

from lapel.samples.bodice import both, placed, single, thread
from lapel.samples.canvas import HEIGHT, WIDTH, Canvas, Plane, creases, noise
from lapel.samples.dresses import clips
from lapel.samples.fabric import RGB, mixed, plain, rgb
from lapel.samples.outerwear import JEANS_THREAD
from lapel.samples.outlines import (
    Outline,
    Point,
    box,
    closed,
    curve,
    dashes,
    ellipse,
    limb,
    mirror,
    mirrored,
    moved,
)
from lapel.samples.plan import WardrobeProduct
from lapel.samples.tops import button_colour


@dataclass(frozen=True)
class Legs:
    """Measures of a pair of trousers in centimetres; widths are full widths of one leg, `waist` and `hip` half widths.

    Attributes:
        scale: pixels per centimetre.
        top: canvas row of the waist.
        length: waist to hem.
        waist, hip: half widths.
        knee, hem: widths of a leg.
        apart: gap between the legs at the hem.
        rise: waist to crotch.
    """

    scale: float
    top: float
    length: float
    waist: float = 18.0
    hip: float = 22.5
    knee: float = 23.0
    hem: float = 20.0
    apart: float = 3.0
    rise: float = 27.0

    def trace(self, points: list[Point]) -> list[Point]:
        """Canvas points of (x, y) or (x, y, corner) centimetre points."""
        return [(p[0] * self.scale, self.top + p[1] * self.scale, *p[2:]) for p in points]

    def line(self, *points: Point) -> Outline:
        """Smooth line through centimetre points."""
        return curve(self.trace(list(points)))

    def outline(self) -> Outline:
        """Both legs in one outline."""
        knee_at = min(self.rise + 30, (self.rise + self.length) * 0.52)
        inner = self.apart / 2
        half: list[Point] = [
            (0, 1.2),
            (self.waist * 0.6, 0.9),
            (self.waist, 0, 1),
            (self.hip - 0.8, 10),
            (self.hip, self.rise - 7),
        ]
        if self.length > 50:
            half.append((inner * 0.7 + self.knee, knee_at))
        half += [
            (inner + self.hem, self.length, 1),
            (inner + self.hem * 0.5, self.length + 0.5),
            (inner, self.length, 1),
        ]
        if self.length > 50:
            half.append((inner * 0.6, knee_at))
        return mirrored(self.trace([*half, (0, self.rise, 1)]))

    def across(self, above: float) -> Outline:
        """Line across the right leg `above` centimetres over the hem."""
        inner = self.apart / 2
        return self.line(
            (inner + 0.2, self.length - above),
            (inner + self.hem * 0.5, self.length - above + 0.5),
            (inner + self.hem - 0.1, self.length - above),
        )


def leg_folds(c: Canvas, g: Legs, *, amount: float) -> Plane:
    """Folds of trousers: fans from the crotch, breaks at the knees and above the hems."""
    lines = []
    for side in (-1, 1):
        for k in range(4):
            x, y = side * c.rng.uniform(4, g.hip * 0.95), g.rise + c.rng.uniform(-9, 7) - 2 * k
            lines.append(g.line((side * 0.6, g.rise - 0.5 - k * 0.8), (x * 0.5, (g.rise + y) / 2 + 1.0), (x, y)))
        if g.length > 50:
            for _ in range(int(c.rng.integers(4, 7))):
                y = c.rng.normal((g.rise + g.length) / 2 - 4, 6)
                x0, reach = g.knee * c.rng.uniform(0.05, 0.3), g.knee * c.rng.uniform(0.35, 0.75)
                lines.append(
                    g.line(
                        (side * (x0 + 1), y),
                        (side * (x0 + reach * 0.5), y + c.rng.uniform(-1, 2)),
                        (side * (x0 + reach), y + c.rng.uniform(-4, 4)),
                    )
                )
            for _ in range(int(c.rng.integers(2, 5))):
                y = g.length - c.rng.uniform(3, 15)
                lines.append(
                    g.line(
                        (side * (g.apart / 2 + g.hem * 0.95), y),
                        (side * (g.apart / 2 + g.hem * c.rng.uniform(0.3, 0.6)), y + c.rng.uniform(-3, 3)),
                    )
                )
    folds = creases(lines, 6.5, 2.8 * amount)
    folds += noise(c.rng, WIDTH, HEIGHT, 9, 7) * (1.2 * amount)
    return folds


def _start(c: Canvas, g: Legs, p: WardrobeProduct, pose: str, *, amount: float = 1.0) -> None:
    """Inner back of the waist, both legs, the line between them."""
    c.depth, c.open_below = (24.0 if pose == "worn" else 16.0), True
    w = g.waist
    back = closed(g.trace([(-w, 0.4, 1), (0, -1.0), (w, 0.4, 1), (0, 2.6)]))
    c.part(back, single(p.fabric), dim=0.55, shadow=0, edge=2)
    folds = leg_folds(c, g, amount=amount)
    c.part(g.outline(), p.fabric, folds=folds, edge=4, shadow=0.2)
    c.seam(g.line((0, 1.5), (0.2, g.rise * 0.6), (0, g.rise)), width=1.4, depth=1.2)


def _waistband(c: Canvas, g: Legs, p: WardrobeProduct, width: float = 4.0) -> None:
    w = g.waist
    band = closed(
        g.trace([(-w, 0, 1), (0, 1.2), (w, 0, 1), (w + 0.5, width, 1), (0, width + 1.2), (-w - 0.5, width, 1)])
    )
    c.part(band, p.fabric, follow=True, lift=0.9, edge=1.6, shadow=0.2, angle=90 if p.pattern == "pinstripe" else 0)


def _loops(c: Canvas, g: Legs, p: WardrobeProduct) -> None:
    for x in (-g.waist * 0.88, -g.waist * 0.45, g.waist * 0.45, g.waist * 0.88):
        y = 1.0 - abs(x) / g.waist
        c.part(
            box((x - 0.6) * g.scale, g.top + y * g.scale, (x + 0.6) * g.scale, g.top + (y + 5) * g.scale, 1),
            p.fabric,
            follow=True,
            lift=1.2,
            edge=1.2,
            shadow=0.3,
        )


def jeans(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Five-pocket jeans with stitching, rivets, wash fade and tears."""
    knee, hem, apart = {
        "straight": (21, 18.5, 3.0),
        "slim": (19.5, 16, 4.0),
        "skinny": (17.5, 12.5, 6.0),
        "wide": (25, 26, 1.4),
        "flare": (18.5, 25, 2.8),
    }[p.trait("leg")]
    length, hip = p.vary("length", 94, 104), p.vary("hip", 21.5, 24.0)
    if pose == "flat":
        apart += 3
    scale, top = placed(2 * hem + apart + 8, length, hanger=pose == "hanger")
    g = Legs(
        scale,
        top + (16 if pose == "hanger" else 0),
        length,
        p.vary("waist", 16.5, 18.5),
        hip,
        knee,
        hem,
        apart,
        p.vary("rise", 24, 29),
    )
    _start(c, g, p, pose, amount=1.25)
    wash = {"clean": 0.05, "faded": 0.34, "ripped": 0.26}[p.trait("wash")]
    for side in (-1, 1):
        x = side * (g.apart / 4 + g.knee * 0.52) * scale
        c.bleach(x, g.top + (g.rise + 11) * scale, g.knee * 0.26 * scale, 22 * scale, wash)
        c.bleach(x, g.top + (g.length * 0.66) * scale, g.knee * 0.22 * scale, 14 * scale, wash * 0.6)
    sewing = rgb(JEANS_THREAD) if p.vary("thread", 0, 1) > 0.25 else thread(p.fabric, 0.35)
    _waistband(c, g, p)
    for y in (0.6, 3.5):
        c.stitches(g.line((-g.waist, y), (0, y + 1.2), (g.waist, y)), sewing)
    fly = g.line((3.0, 5.2), (3.0, 15.5), (0.4, 19.5))
    c.seam(fly, depth=0.5, dark=0.12)
    c.stitches(fly, sewing)
    c.stitches(moved(fly, -3, 0), sewing)
    mouth = g.line((g.waist * 0.52, 5.0), (g.waist * 0.64, 9.6), (g.hip - 0.8, 11.6))
    coin = g.line((g.waist * 0.72, 9.4), (g.waist * 0.74, 12.2))
    for line in (mouth, mirror(mouth)):
        c.seam(line, width=2.2, depth=1.8, dark=0.4)
        c.stitches(moved(line, 0, 3.0), sewing)
        c.stitches(moved(line, 0, 5.2), sewing)
    c.stitches(coin, sewing)
    metal = plain((0.74, 0.56, 0.36), "smooth", 0.9)
    for x, y in ((g.waist * 0.54, 5.6), (g.hip - 1.8, 11.7)):
        for sx in (x, -x):
            c.part(ellipse(sx * scale, g.top + y * scale, 2.0, 2.0), metal, follow=True, lift=1, edge=1, shadow=0.3)
    c.part(
        ellipse(0.8 * scale, g.top + 3.2 * scale, 1.15 * scale, 1.15 * scale),
        metal,
        follow=True,
        lift=1.8,
        edge=1.6,
        shadow=0.4,
    )
    _loops(c, g, p)
    for line in (g.across(1.6), g.across(2.1)):
        c.stitches(line, sewing)
        c.stitches(mirror(line), sewing)
    outseam = g.line((g.hip - 0.6, 13), (g.hip - 0.4, g.rise), (g.apart / 2 + g.hem - 0.7, g.length))
    for line in (outseam, mirror(outseam)):
        c.seam(line, depth=0.4, dark=0.1)
    if p.trait("wash") == "ripped":
        _tears(c, g, p)


def _tears(c: Canvas, g: Legs, p: WardrobeProduct) -> None:
    """Worn slits at the knees with white threads across."""
    for side, y in ((1, g.rise + p.vary("tear", 18, 26)), (-1, g.rise + p.vary("tear2", 22, 32))):
        x, w = side * (g.apart / 4 + g.knee * 0.5), g.knee * p.vary("torn", 0.22, 0.3)
        hole = closed(g.trace([(x - w, y, 1), (x, y - 1.6), (x + w, y + 0.4, 1), (x, y + 2.6)]))
        skin = plain(mixed(p.fabric.colours[0], (0.05, 0.05, 0.07), 0.55))
        c.part(hole, skin, follow=True, lift=-1.5, edge=1.2, shadow=0, dim=0.7)
        for k in range(6):
            yy = y - 1.0 + k * 0.55
            c.line(g.line((x - w * 0.9, yy), (x, yy + 0.4), (x + w * 0.9, yy)), rgb((0.88, 0.9, 0.92)), 0.9, lift=0.6)


def trousers(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Tailored trousers with pressed creases, slanted pockets and optional pleats."""
    knee, hem, apart = {"straight": (21.5, 19, 3.0), "tapered": (21, 15, 5.5), "wide": (26, 27, 1.4)}[p.trait("leg")]
    length = p.vary("length", 92, 104)
    scale, top = placed(2 * hem + apart + 8, length, hanger=pose == "hanger")
    if pose == "flat":
        apart += 3
    hip = p.vary("hip", 22, 24.5) + (1.0 if p.trait("front") == "pleats" else 0)
    g = Legs(
        scale,
        top + (16 if pose == "hanger" else 0),
        length,
        p.vary("waist", 16.5, 18.5),
        hip,
        knee,
        hem,
        apart,
        p.vary("rise", 26, 30),
    )
    _start(c, g, p, pose, amount=0.85)
    _waistband(c, g, p, 4.2)
    press = g.line(
        (g.waist * 0.5, 9 if p.trait("front") == "pleats" else 20),
        (g.apart / 4 + g.knee * 0.5, (g.rise + g.length) / 2),
        (g.apart / 2 + g.hem * 0.5, g.length),
    )
    for line in (press, mirror(press)):
        c.height += creases([line[::-1]], 5.0, 1.6)
        c.seam(line, width=1.0, depth=-0.9, dark=-0.03)
    slant = g.line((g.waist * 0.72, 4.6), (g.hip - 0.9, 17.5))
    for line in (slant, mirror(slant)):
        c.seam(line, width=2.0, depth=1.6, dark=0.35)
    fly = g.line((2.6, 5.4), (2.6, 15.5), (0.3, 19.5))
    c.stitches(fly, thread(p.fabric, 0.15))
    if p.trait("front") == "pleats":
        for x in (g.waist * 0.40, g.waist * 0.56):
            pleat = g.line((x, 4.8), (x * 1.06, 14.0))
            for line in (pleat, mirror(pleat)):
                c.seam(line, width=1.6, depth=1.8, dark=0.3)
    _loops(c, g, p)
    c.part(
        ellipse(-0.4 * scale, g.top + 3.2 * scale, 1.0 * scale, 1.0 * scale),
        plain(button_colour(p), "smooth", 0.4),
        follow=True,
        lift=1.4,
        edge=1.3,
    )
    if p.vary("turnup", 0, 1) > 0.7:
        _turnups(c, g, p, 4.0)
    if pose == "hanger":
        clips(c, g.top, g.waist * scale)


def _turnups(c: Canvas, g: Legs, p: WardrobeProduct, tall: float) -> None:
    inner = g.apart / 2
    cuff = closed(
        g.trace(
            [
                (inner - 0.3, g.length - tall, 1),
                (inner + g.hem * 0.5, g.length - tall + 0.5),
                (inner + g.hem + 0.4, g.length - tall, 1),
                (inner + g.hem + 0.3, g.length + 0.2, 1),
                (inner + g.hem * 0.5, g.length + 0.7),
                (inner - 0.2, g.length + 0.2, 1),
            ]
        )
    )
    both(c, cuff, p.fabric, lift=1.2, edge=1.8, shadow=0.25)


def shorts(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Shorts with a fly or a drawstring."""
    length, hem = p.vary("length", 36, 54), p.vary("hem", 25, 31)
    scale = min(7.6, placed(2 * hem + 8, length)[0])
    top = (HEIGHT - length * scale) / 2 + (22 if pose == "hanger" else 0)
    g = Legs(
        scale,
        top,
        length,
        p.vary("waist", 17, 19),
        24.0,
        hem,
        hem,
        2.0 if pose == "worn" else 4.0,
        p.vary("rise", 25, 28),
    )
    _start(c, g, p, pose, amount=1.1)
    _waistband(c, g, p, 4.0)
    slant = g.line((g.waist * 0.7, 4.6), (g.hip - 0.6, 17.0))
    for line in (slant, mirror(slant)):
        c.seam(line, width=2.0, depth=1.6, dark=0.35)
        c.stitches(moved(line, 2.5 if line is slant else -2.5, 3), thread(p.fabric, 0.2))
    if p.trait("waist") == "fly":
        c.stitches(g.line((2.8, 5.4), (2.8, 15.0), (0.3, 18.5)), thread(p.fabric, 0.2))
        _loops(c, g, p)
        c.part(
            ellipse(0, g.top + 3.2 * scale, 1.0 * scale, 1.0 * scale),
            plain(button_colour(p), "smooth", 0.4),
            follow=True,
            lift=1.4,
            edge=1.3,
        )
    else:
        ticks = [g.line((x, 0.8), (x, 4.6)) for x in [k * 1.5 - g.waist + 1 for k in range(int(g.waist * 2 / 1.5))]]
        c.height += creases(ticks, 3.6, 1.8)
        cord: RGB = (0.93, 0.92, 0.9) if p.design % 2 else (0.2, 0.2, 0.22)
        for x, end in ((2.0, 13.5), (-1.8, 12.0)):
            c.part(
                limb(g.trace([(x * 0.4, 3.0), (x * 1.2, 7.0), (x, end)]), [0.75 * scale] * 2),
                plain(cord, "straw"),
                follow=True,
                lift=1.8,
                edge=1.2,
                shadow=0.35,
            )
    for line in (g.across(2.6), g.across(3.0)):
        c.stitches(line, thread(p.fabric, 0.2))
        c.stitches(mirror(line), thread(p.fabric, 0.2))
    if p.vary("turnup", 0, 1) > 0.65:
        _turnups(c, g, p, 4.0)
    if pose == "hanger":
        clips(c, g.top, g.waist * scale)


def leggings(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Tight stretch leggings with a wide waistband and optional side or knee panels."""
    length = p.vary("length", 78, 94)
    scale, top = placed(46, length, hanger=pose == "hanger")
    g = Legs(
        min(scale, 5.6),
        top + (16 if pose == "hanger" else 0),
        length,
        14.5,
        19.0,
        15.0,
        p.vary("hem", 9, 11),
        6.0 if pose == "worn" else 9.0,
        25.0,
    )
    _start(c, g, p, pose, amount=0.8)
    band = p.vary("band", 6, 11)
    _waistband(c, g, p, band)
    c.stitches(
        g.line((-g.waist - 0.6, band - 0.6), (0, band + 0.6), (g.waist + 0.6, band - 0.6)), thread(p.fabric, 0.25)
    )
    dark = plain(mixed(p.fabric.colours[0], (0, 0, 0), 0.5), "jersey", 0.08)
    inner = g.apart / 2
    if p.trait("panel") == "side":
        strip = limb(
            g.trace(
                [
                    (g.hip - 1.6, 13),
                    (g.hip - 2.0, g.rise),
                    (inner + g.knee - 1.6, g.rise + 27),
                    (inner + g.hem - 1.2, g.length),
                ]
            ),
            [2.6 * scale] * 2,
        )
        both(c, strip, dark, lift=0.3, edge=1.2, shadow=0.1)
    elif p.trait("panel") == "knee":
        y = g.rise + 24
        knee = closed(
            g.trace(
                [
                    (inner + 1.0, y),
                    (inner + 7, y - 5),
                    (inner + g.knee - 2.6, y - 1),
                    (inner + g.knee - 3.4, y + 9),
                    (inner + 5, y + 12),
                    (inner + 1.0, y + 8),
                ]
            )
        )
        both(c, knee, dark, lift=0.3, edge=1.2, shadow=0.1)
    stitch = g.line((inner + 1.6, g.rise + 6), (inner + 3.0, g.rise + 26), (inner + 2.2, g.length - 1))
    for line in (stitch, mirror(stitch)):
        for piece in dashes(line, 60, 0.5)[:3]:
            c.seam(piece, depth=0.5, dark=0.1)
    for line in (g.across(1.5),):
        c.stitches(line, thread(p.fabric, 0.25))
        c.stitches(mirror(line), thread(p.fabric, 0.25))
    if pose == "hanger":
        clips(c, g.top, g.waist * g.scale)
