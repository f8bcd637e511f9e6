"""The last that shoes are built on, and what all shoes share: wear creases, the dark inside, laces.

A `Last` knows how high the heel stands, so the same upper works on a flat sole and on a stiletto.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lapel.samples.canvas import HEIGHT, WIDTH, Canvas, Plane, creases, noise
from lapel.samples.fabric import RGB, mixed, plain
from lapel.samples.outlines import Outline, Point, closed, curve, ellipse, limb
from lapel.samples.plan import WardrobeProduct

METALS: dict[str, RGB] = {"gold": (0.84, 0.68, 0.38), "silver": (0.80, 0.80, 0.82)}


SPINE: list[Point] = [(120, -2), (60, -2), (0, -2), (-60, -2), (-120, -2)]  # along the sole, heel to toe


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
        bottom: list[Point] = [
            (x1 + bulge, -down * 0.45),
            (x1 - 5, -down, 1),
            (x1 * 0.6, -down),
            (0, -down),
            (x0 * 0.6, -down),
            (x0 + 14, -down, 1),
            (x0 - bulge, -down * 0.4),
        ]
        return closed(self.trace([*top, *bottom]))


def wear_folds(c: Canvas, last: Last, amount: float) -> Plane:
    """Creases over the toes and soft dents of leather."""
    lines = [curve(last.trace([(x, 12), (x + 12, 36), (x + 34, 66)])) for x in (-78, -62, -44)]
    folds = creases(lines, 6.0, 1.3 * amount) + noise(c.rng, WIDTH, HEIGHT, 9, 11) * (0.9 * amount)
    return np.asarray(folds, dtype=np.float32)


def lay_cavity(c: Canvas, last: Last, points: list[Point], tone: RGB) -> None:
    """The far side of the opening with the lining in the dark."""
    c.part(closed(last.trace(points)), plain(tone, "suede", 0.03), dim=0.55, shadow=0, edge=3, lift=0)


def lining_of(p: WardrobeProduct) -> RGB:
    """Colour of the lining: leather that goes with the upper."""
    return mixed(p.fabric.colours[0], (0.86, 0.80, 0.72), 0.75)


def lay_laces(
    c: Canvas,
    last: Last,
    rows: list[tuple[float, float]],
    color: RGB,
    *,
    width: float = 8.0,
    across: tuple[float, float] = (17, 12),
) -> None:
    """Flat laces over the tongue; `rows` are eyelet places (x, up)."""
    cord = plain(color, "canvas", 0.03)
    for x, up in rows:
        line = last.trace([(x, up), (x - across[0] * 0.5, up + across[1] * 0.9), (x - across[0], up + across[1])])
        c.part(limb(line, [width, width * 0.9]), cord, follow=True, lift=2.4, edge=2.4, shadow=0.4)
        ex, ey, _ = last.at(x + 3, up - 1)
        c.part(
            ellipse(ex, ey, 3.0, 3.0),
            plain(mixed(color, (0.1, 0.1, 0.1), 0.7)),
            follow=True,
            lift=0.2,
            edge=1,
            shadow=0.2,
        )
