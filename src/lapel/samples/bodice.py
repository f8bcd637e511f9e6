"""The paper pattern that all tops, coats and dresses are cut from: torso, neckline, sleeves, collars and hems.

Measures go in as centimetres on a body (x from the centre line, y down from the neck point) because clothes have
believable proportions there; outlines in canvas pixels come out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lapel.samples.canvas import HEIGHT, WIDTH, Canvas, Plane, creases, noise
from lapel.samples.fabric import RGB, Fabric, mixed, plain, rgb
from lapel.samples.outlines import Outline, Point, box, closed, curve, ellipse, limb, mirror, mirrored


@dataclass(frozen=True)
class Bodice:
    """Measures of a torso, in centimetres unless noted; widths are half widths.

    Attributes:
        scale: pixels per centimetre.
        top: canvas row of the neck point, pixels.
        neck, shoulder, chest, waist, hem: half widths.
        length: neck point to hem.
        depth: neck point to the bottom of the front neckline.
        neckline: crew, v, scoop, boat, square, sweetheart or high.
        slope: how far the shoulder tip lies below the neck point.
        armhole: how far the underarm lies below the neck point.
        waist_at: neck point to waist.
        curve: how far the hem falls below the side seams in the middle.
    """

    scale: float
    top: float
    neck: float = 8.5
    shoulder: float = 21.0
    chest: float = 25.0
    waist: float = 24.0
    hem: float = 25.0
    length: float = 68.0
    depth: float = 9.0
    neckline: str = "crew"
    slope: float = 4.0
    armhole: float = 23.0
    waist_at: float = 42.0
    curve: float = 1.2

    def at(self, x: float, y: float, corner: float = 0.0) -> Point:
        """Canvas point of (x, y) centimetres."""
        return (x * self.scale, self.top + y * self.scale, corner)

    def trace(self, points: Sequence[Point]) -> list[Point]:
        """Canvas points of many (x, y) or (x, y, corner) centimetre points."""
        return [self.at(*p) for p in points]

    def opening(self) -> list[Point]:
        """Right half of the front neckline in centimetres, from the centre to the neck point."""
        n, d = self.neck, self.depth
        shapes: dict[str, list[Point]] = {
            "crew": [(0, d), (n * 0.55, d * 0.82), (n * 0.9, d * 0.42)],
            "scoop": [(0, d), (n * 0.62, d * 0.86), (n * 0.95, d * 0.42)],
            "v": [(0, d, 1), (n * 0.55, d * 0.48)],
            "boat": [(0, d), (n * 0.6, d * 0.75)],
            "square": [(0, d), (n * 0.84, d, 1)],
            "sweetheart": [(0, d, 1), (n * 0.42, d * 0.76), (n * 0.86, d * 0.72)],
            "high": [(0, d), (n * 0.6, d * 0.8)],
        }
        return [*shapes[self.neckline], (n, 0, 1)]

    def front(self, *, straps: bool = False) -> Outline:
        """Outline of the front without sleeves; with `straps` the armholes are cut in deep."""
        sh, ua = self.shoulder, self.armhole
        dip = sh - (5.5 if straps else 1.8)
        body: list[Point] = [
            (sh, self.slope, 1),
            (dip, self.slope + (ua - self.slope) * 0.55),
            (self.chest, ua, 1),
            (self.waist + (self.chest - self.waist) * 0.35, (ua + self.waist_at) / 2),
            (self.waist, self.waist_at),
            (self.hem - (self.hem - self.waist) * 0.3, self.length - (self.length - self.waist_at) * 0.4),
            (self.hem, self.length, 1),
            (self.hem * 0.55, self.length + self.curve * 0.8),
            (0, self.length + self.curve),
        ]
        return mirrored(self.trace([*self.opening(), *body]))

    def inside(self, rise: float = 0.0) -> Outline:
        """The inner back that is seen through the neck opening; collars need it `rise` centimetres higher."""
        back = [(0, 2.0 - rise), (self.neck * 0.6, 1.3 - rise), (self.neck, -0.4, 1), (self.neck - 0.2, 1.2, 1)]
        front = [(x * 0.97, y + 1.5, *c) for x, y, *c in reversed(self.opening()[:-1])]
        return mirrored(self.trace([*back, *front]))

    def band(self, width: float) -> Outline:
        """A band `width` centimetres wide along the front neckline."""
        half = [(x, y + width * 0.25, *c) for x, y, *c in self.opening()]
        line = [*[(-x, *rest) for x, *rest in reversed(half[1:])], *half]
        return limb(self.trace(line), [width * self.scale] * 2)

    def back_band(self, width: float) -> Outline:
        """A band along the back of the neck."""
        n = self.neck
        line = [(-n, -0.2), (-n * 0.55, 1.6), (0, 2.2), (n * 0.55, 1.6), (n, -0.2)]
        return limb(self.trace(line), [width * self.scale] * 2)

    def panel(self, x0: float, y0: float, x1: float, y1: float, radius: float = 0.0) -> Outline:
        """Rectangle between two centimetre points, its corners rounded by `radius` pixels."""
        (left, top, _), (right, bottom, _) = self.at(x0, y0), self.at(x1, y1)
        return box(left, top, right, bottom, radius)

    def across(self, y: float, half: float, sag: float = 0.0) -> Outline:
        """Line across the front at `y`, `half` centimetres to each side, `sag` lower in the middle."""
        return curve(self.trace([(-half, y), (0, y + sag), (half, y)]))

    def down(self, x: float, y0: float, y1: float, x1: float | None = None) -> Outline:
        """Line from (x, y0) to (x1 or x, y1)."""
        return curve(self.trace([(x, y0), (x if x1 is None else x1, y1)]))


@dataclass(frozen=True)
class Sleeve:
    """Measures of a sleeve in centimetres.

    Attributes:
        length: shoulder tip to cuff.
        cuff: full width at the cuff.
        spread: degrees the upper arm stands off the vertical.
        puff: how far the head of the sleeve bulges out.
        flare: extra width before the cuff.
    """

    length: float = 20.0
    cuff: float = 17.0
    spread: float = 34.0
    puff: float = 0.8
    flare: float = 0.0


def sleeve_outline(b: Bodice, s: Sleeve) -> Outline:
    """Right sleeve, drawn from inside the shoulder so that the body covers its head."""
    a = np.deg2rad(s.spread)
    out = np.array([np.sin(a), np.cos(a)])
    fore_angle = np.deg2rad(s.spread - (9 if s.length > 40 else 0))
    fore = np.array([np.sin(fore_angle), np.cos(fore_angle)])
    inward = np.array([-fore[1], fore[0]])
    tip = np.array([b.shoulder - 0.4, b.slope - 0.1])
    elbow = tip + out * s.length * 0.5 + np.array([s.puff * 0.6, 0])
    end = elbow + fore * s.length * 0.5
    inner = end + inward * s.cuff
    head = tip + out * min(7.0, s.length * 0.3) + np.array([s.puff, -0.35 * s.puff])
    bend = elbow + inward * (s.cuff * 0.55 + 9 * 0.6 + s.flare * 0.6)
    points: list[Point] = [
        (tip[0] - 7, tip[1] - 0.6, 1),
        (tip[0], tip[1], 0),
        (head[0], head[1]),
        (elbow[0] + s.flare * 0.4, elbow[1]),
        (end[0] + s.flare * 0.15, end[1], 1),
        (inner[0], inner[1], 1),
    ]
    if s.length > 30:
        points.append((bend[0], bend[1]))
    points += [(b.chest - 0.5, b.armhole + 1.0, 1), (b.shoulder - 6, b.armhole - 4)]
    return closed(b.trace(points))


def cuff_line(b: Bodice, s: Sleeve, above: float, widen: float = 0.0) -> Outline:
    """Line across the right sleeve `above` centimetres before its end."""
    a = np.deg2rad(s.spread)
    fore_angle = np.deg2rad(s.spread - (9 if s.length > 40 else 0))
    fore = np.array([np.sin(fore_angle), np.cos(fore_angle)])
    tip = np.array([b.shoulder - 0.4 + s.puff * 0.6, b.slope - 0.1])
    end = tip + np.array([np.sin(a), np.cos(a)]) * s.length * 0.5 + fore * (s.length * 0.5 - above)
    inner = end + np.array([-fore[1], fore[0]]) * (s.cuff + widen)
    start = end - np.array([-fore[1], fore[0]]) * widen
    return curve(b.trace([tuple(start), tuple(inner)]))


def lay_sleeves(c: Canvas, b: Bodice, s: Sleeve, fabric: Fabric, *, stiff: float = 1.0) -> None:
    """Both sleeves with pulled folds at armpit and elbow."""
    right = sleeve_outline(b, s)
    folds = noise(c.rng, WIDTH, HEIGHT, 11, 13) * (1.1 * stiff)
    folds += creases(_sleeve_creases(c, b, s, 1) + _sleeve_creases(c, b, s, -1), 7.0, 3.2 * stiff)
    for outline, side in ((right, 1), (mirror(right), -1)):
        c.part(outline, fabric, angle=-side * s.spread, folds=folds, shadow=0.25, edge=4.5)


def _sleeve_creases(c: Canvas, b: Bodice, s: Sleeve, side: int) -> list[Outline]:
    lines = []
    a = np.deg2rad(s.spread - (4 if s.length > 40 else 0))
    for k in range(2 if s.length < 35 else 5):
        along = (0.22 + 0.24 * k + c.rng.uniform(-0.08, 0.08)) * min(1.0, 25 / s.length * (1 if k < 2 else 1.15))
        x = b.shoulder - 1 + np.sin(a) * s.length * along
        y = b.slope + np.cos(a) * s.length * along
        reach = c.rng.uniform(0.5, 0.85) * s.cuff
        inner = (x - np.cos(a) * s.cuff, y + np.sin(a) * s.cuff * 0.6 + c.rng.uniform(0, 4))
        outer = (inner[0] + np.cos(a) * reach, inner[1] - np.sin(a) * reach * 0.3 - c.rng.uniform(1, 5))
        mid = ((inner[0] + outer[0]) / 2, (inner[1] + outer[1]) / 2 + c.rng.uniform(-1.2, 1.8))
        lines.append(curve([b.at(side * x1, y1) for x1, y1 in (inner, mid, outer)]))
    return lines


def torso_folds(c: Canvas, b: Bodice, *, amount: float = 1.0) -> Plane:
    """Folds of a hanging front: pulls from the underarms to the waist, ripples downwards, soft dents all over."""
    lines = []
    for side in (-1, 1):
        for _ in range(int(c.rng.integers(3, 6))):
            x0, y0 = side * b.chest * c.rng.uniform(0.86, 1.0), b.armhole + c.rng.uniform(-3, 9)
            dx, dy = -side * c.rng.uniform(6, 15), c.rng.uniform(3, 17)
            bow = c.rng.uniform(-1.5, 1.5)
            lines.append(curve([b.at(x0, y0), b.at(x0 + dx * 0.5, y0 + dy * 0.4 + bow), b.at(x0 + dx, y0 + dy)]))
        for _ in range(int(c.rng.integers(1, 4))):
            x0, y0 = side * b.waist * c.rng.uniform(0.75, 1.0), b.waist_at + c.rng.uniform(-6, 8)
            lines.append(curve([b.at(x0, y0), b.at(x0 - side * c.rng.uniform(5, 12), y0 + c.rng.uniform(-4, 4))]))
    for _ in range(int(c.rng.integers(2, 5))):
        x0 = c.rng.uniform(-0.75, 0.75) * b.hem
        y0 = b.length - c.rng.uniform(0, 3)
        lines.append(curve([b.at(x0, y0), b.at(x0 * 0.9 + c.rng.uniform(-2, 2), y0 - c.rng.uniform(10, 24))]))
    folds = creases(lines, 7.5, 2.6 * amount)
    folds += noise(c.rng, WIDTH, HEIGHT, 6, 5) * (1.6 * amount)
    folds += noise(c.rng, WIDTH, HEIGHT, 15, 6) * (0.7 * amount)
    return folds


def lay_inside(c: Canvas, b: Bodice, fabric: Fabric, *, label: bool = True, rise: float = 0.0) -> None:
    """The inner back with a woven label."""
    c.part(b.inside(rise), fabric, dim=0.60, shadow=0.0, edge=2.0)
    if label:
        y = b.top + 3.4 * b.scale
        tone: RGB = (0.93, 0.92, 0.89) if sum(fabric.colours[0]) < 2.3 else (0.25, 0.25, 0.27)
        c.part(box(-11, y, 11, y + 8, 1), plain(tone), shadow=0.2, lift=3, edge=1.0, dim=0.7)


def lay_hanger(c: Canvas, b: Bodice, style: str) -> None:
    """A hanger inside the shoulders: its bar is seen in the neck opening, its hook above."""
    wood: RGB = {"wood": (0.72, 0.53, 0.35), "dark": (0.28, 0.19, 0.14), "white": (0.90, 0.89, 0.87)}[style]
    n, s = b.neck, b.shoulder * 0.8
    hook = [(0, 1.0), (0, -5.0), (0.6, -7.0), (2.6, -8.8), (2.4, -11.6), (0, -12.6), (-2.3, -11.2), (-2.7, -9.6)]
    c.part(limb(b.trace(hook), [0.75 * b.scale] * 2), plain((0.70, 0.70, 0.72), "smooth", 1.0), edge=1.5, shadow=0.0)
    bar = mirrored(b.trace([(0, -1.4), (n * 0.7, -0.2), (s, b.slope, 1), (s, b.slope + 2), (n * 0.7, 2.6), (0, 1.8)]))
    c.part(bar, plain(wood, "smooth", 0.5), lift=4, edge=3.0, shadow=0.3)


def button(c: Canvas, x: float, y: float, radius: float, color: RGB) -> None:
    """A four-hole button at canvas pixels (x, y)."""
    c.part(ellipse(x, y, radius, radius), plain(color, "smooth", 0.45), lift=1.6, edge=1.2, shadow=0.35, follow=True)
    hole = rgb(mixed(color, (0.05, 0.05, 0.05), 0.65))
    for dx in (-0.3, 0.3):
        c.line(
            curve([(x + dx * radius, y - 0.35 * radius), (x + dx * radius, y + 0.35 * radius)]), hole, 0.8, lift=-0.5
        )


def thread(fabric: Fabric, share: float = 0.3) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Colour of sewing thread that can be made out on a fabric."""
    color = fabric.colours[0]
    target: RGB = (0, 0, 0) if sum(color) > 1.2 else (1, 1, 1)
    return rgb(mixed(color, target, share))


def placed(width: float, height: float, *, hanger: bool = False) -> tuple[float, float]:
    """Scale (pixels per centimetre) and top row that fit a thing of `width` by `height` centimetres into the picture.

    Args:
        width: full width.
        height: from the neck point or waist to the hem.
        hanger: True leaves room for the hook.
    """
    scale = min((WIDTH - 44) / width, (HEIGHT - (110 if hanger else 72)) / height)
    return scale, (HEIGHT - height * scale) / 2 + (18 if hanger else 4)


def ribbed(fabric: Fabric, which: int = 0) -> Fabric:
    """The fabric as plain rib for cuffs and bands, in its colour number `which`."""
    return replace(fabric, colours=(fabric.colours[which], *fabric.colours[1:]), pattern="plain", texture="rib")


def single(fabric: Fabric, which: int = 0) -> Fabric:
    """The fabric without its pattern, in its colour number `which`."""
    return replace(fabric, colours=(fabric.colours[which], *fabric.colours[1:]), pattern="plain")


def both(
    c: Canvas,
    outline: Outline,
    fabric: Fabric,
    *,
    follow: bool = True,
    lift: float = 0.7,
    edge: float = 1.8,
    shadow: float = 0.25,
    angle: float = 0.0,
) -> None:
    """Lay a part on the right and its mirror image on the left."""
    for piece, turn in ((outline, angle), (mirror(outline), -angle)):
        c.part(piece, fabric, follow=follow, lift=lift, edge=edge, shadow=shadow, angle=turn)


def lay_cuffs(c: Canvas, b: Bodice, s: Sleeve, fabric: Fabric, width: float) -> None:
    """A band `width` centimetres wide around both sleeve ends."""
    outer, inner = cuff_line(b, s, 0.0, 0.15), cuff_line(b, s, width, 0.45)
    both(c, np.concatenate([outer, inner[::-1]]), fabric, angle=-s.spread, lift=0.9, edge=2.5)


def lay_hem(c: Canvas, b: Bodice, fabric: Fabric, width: float, tuck: float = 0.6) -> None:
    """A band `width` centimetres wide along the hem, `tuck` narrower than the body."""
    h, y0, y1 = b.hem, b.length - width, b.length + 0.3
    band = mirrored(
        b.trace(
            [
                (0, y0 + b.curve),
                (h * 0.6, y0 + b.curve * 0.7),
                (h + 0.1, y0, 1),
                (h - tuck, y1, 1),
                (h * 0.55, y1 + b.curve * 0.8),
                (0, y1 + b.curve),
            ]
        )
    )
    c.part(band, fabric, follow=True, lift=0.4, edge=2.5, shadow=0.2)


def lay_buttons(
    c: Canvas, b: Bodice, y0: float, y1: float, count: int, color: RGB, *, x: float = 0.0, radius: float = 0.62
) -> None:
    """`count` buttons down the line `x` from `y0` to `y1` centimetres."""
    for k in range(count):
        px, py, _ = b.at(x, y0 + (y1 - y0) * k / max(count - 1, 1))
        button(c, px, py, radius * b.scale, color)


def zipper(c: Canvas, line: Outline, metal: RGB, *, width: float = 3.0) -> None:
    """A zip along a line with teeth and a puller at its start."""
    c.line(line, rgb(mixed(metal, (0.1, 0.1, 0.1), 0.75)), width + 1.5, lift=0.3)
    c.stitches(line, rgb(metal), width=width, on=1.3)
    x, y = line[0]
    c.part(box(x - 2.4, y - 2, x + 2.4, y + 12, 2), plain(metal, "smooth", 0.9), lift=2, edge=1.4, follow=True)
