"""Shapes of jewellery: necklaces and earrings.

Each function lays the parts of one product on a `Canvas`; points are canvas pixels from the centre line.
"""

from __future__ import annotations

import numpy as np

from lapel.samples.canvas import Canvas
from lapel.samples.fabric import RGB, Fabric, mixed, plain, rgb
from lapel.samples.outlines import Outline, box, closed, curve, ellipse, limb, moved
from lapel.samples.palette import colour
from lapel.samples.plan import WardrobeProduct

_STONES = ("Teal", "Burgundy", "Blue", "Forest Green", "Purple", "Coral", "Black", "Turquoise")
_PEARL: RGB = (0.95, 0.92, 0.88)


def _gold(p: WardrobeProduct) -> Fabric:
    return plain(p.fabric.colours[0], "smooth", 1.0)


def _stone(p: WardrobeProduct) -> Fabric:
    return plain(colour(_STONES[p.design % len(_STONES)]), "smooth", 1.0)


def _gem(c: Canvas, p: WardrobeProduct, x: float, y: float, r: float) -> None:
    """A faceted stone in a metal setting."""
    c.part(ellipse(x, y, r * 1.2, r * 1.2), _gold(p), lift=3, edge=3, shadow=0.3)
    tone = colour(_STONES[p.design % len(_STONES)])
    c.part(ellipse(x, y, r, r), _stone(p), lift=4, edge=r * 0.5, shadow=0.2)
    for k in range(8):
        a = k * np.pi / 4 + 0.3
        facet = closed(
            [
                (x, y, 1),
                (x + r * 0.9 * float(np.cos(a)), y + r * 0.9 * float(np.sin(a)), 1),
                (x + r * 0.9 * float(np.cos(a + 0.5)), y + r * 0.9 * float(np.sin(a + 0.5)), 1),
            ]
        )
        shade: RGB = mixed(tone, (1, 1, 1), 0.35) if k % 2 else mixed(tone, (0, 0, 0), 0.35)
        c.part(facet, plain(shade, "smooth", 1.0), follow=True, lift=0.2, edge=0.8, shadow=0)


def _pearls(c: Canvas, p: WardrobeProduct, line: Outline, r: float) -> None:
    step = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    beads = [
        ellipse(float(np.interp(s, step, line[:, 0])), float(np.interp(s, step, line[:, 1])), r, r)
        for s in np.arange(r, step[-1], r * 2.05)
    ]
    tone = (
        _PEARL
        if p.trait("stone") == "none" or p.trait("pendant") == "pearls"
        else colour(_STONES[p.design % len(_STONES)])
    )
    c.part(beads, plain(tone, "smooth", 0.75), lift=2, edge=r * 0.75, shadow=0.25)


def _links(c: Canvas, p: WardrobeProduct, line: Outline, size: float) -> None:
    """Chain of oval links along a line."""
    step = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    links, holes = [], []
    for k, s in enumerate(np.arange(size, step[-1], size * 1.25)):
        x, y = float(np.interp(s, step, line[:, 0])), float(np.interp(s, step, line[:, 1]))
        dx, dy = (float(np.interp(s + 2, step, line[:, i]) - np.interp(s - 2, step, line[:, i])) for i in (0, 1))
        slope = float(np.rad2deg(np.arctan2(dy, dx)))
        links.append(ellipse(x, y, size, size * (0.72 if k % 2 else 0.34), slope))
        if k % 2 and size > 3.5:
            holes.append(ellipse(x, y, size * 0.5, size * 0.32, slope))
    c.part(links, _gold(p), lift=2, edge=max(1.2, size * 0.3), shadow=0.25, holes=holes)


def necklace(c: Canvas, p: WardrobeProduct, _pose: str) -> None:
    """Necklace lying in a loop: chain or pearls, with its pendant."""
    c.depth = 5.0
    wide, low = p.vary("wide", 128, 168), p.vary("low", 350, 410)
    line = curve(
        [
            (-22, 84),
            (-wide * 0.8, 120),
            (-wide, 220),
            (-wide * 0.55, low - 50),
            (0, low),
            (wide * 0.55, low - 50),
            (wide, 220),
            (wide * 0.8, 120),
            (22, 84),
        ]
    )
    pendant = p.trait("pendant")
    c.part(ellipse(0, 82, 11, 11), _gold(p), lift=2, edge=2, shadow=0.25, holes=[ellipse(0, 82, 6, 6)])
    c.part(limb([(-24, 84), (-9, 82)], [7, 5]), _gold(p), lift=2, edge=2, shadow=0.25)
    c.part(limb([(24, 84), (9, 82)], [7, 5]), _gold(p), lift=2, edge=2, shadow=0.25)
    if pendant == "pearls":
        _pearls(c, p, line, p.vary("bead", 8.5, 13))
        return
    _links(c, p, line, p.vary("link", 3.2, 7.5))
    c.part(ellipse(0, low + 8, 8, 10), _gold(p), lift=3, edge=2.2, shadow=0.3, holes=[ellipse(0, low + 8, 4, 6)])
    _pendant(c, p, pendant, low + 18)


def _pendant(c: Canvas, p: WardrobeProduct, pendant: str, y: float) -> None:
    """Drop, disc, bar or heart hanging from row `y`."""
    if pendant == "drop":
        c.part(
            closed([(0, y, 1), (17, y + 34), (22, y + 58), (0, y + 82), (-22, y + 58), (-17, y + 34)]),
            _gold(p),
            lift=4,
            edge=7,
            shadow=0.35,
        )
        if p.trait("stone") == "colour":
            _gem(c, p, 0, y + 54, 14)
    elif pendant == "disc":
        c.part(ellipse(0, y + 36, 37, 37), _gold(p), lift=3, edge=4, shadow=0.35)
        c.line(ellipse(0, y + 36, 30, 30), rgb(mixed(p.fabric.colours[0], (0, 0, 0), 0.3)), 1.8, lift=-0.6)
        for k in range(8):
            a = k * np.pi / 4
            c.line(
                curve(
                    [
                        (12 * float(np.cos(a)), y + 36 + 12 * float(np.sin(a))),
                        (25 * float(np.cos(a)), y + 36 + 25 * float(np.sin(a))),
                    ]
                ),
                rgb(mixed(p.fabric.colours[0], (0, 0, 0), 0.35)),
                2.0,
                lift=-0.6,
            )
        if p.trait("stone") == "colour":
            _gem(c, p, 0, y + 36, 9)
    elif pendant == "bar":
        c.part(box(-8, y, 8, y + 92, 7), _gold(p), lift=3, edge=5, shadow=0.35)
        if p.trait("stone") == "colour":
            _gem(c, p, 0, y + 78, 6)
    else:
        heart = closed(
            [
                (0, y + 12, 1),
                (16, y),
                (36, y + 8),
                (38, y + 30),
                (20, y + 54),
                (0, y + 74, 1),
                (-20, y + 54),
                (-38, y + 30),
                (-36, y + 8),
                (-16, y),
            ]
        )
        c.part(heart, _stone(p) if p.trait("stone") == "colour" else _gold(p), lift=4, edge=10, shadow=0.35)


def earrings(c: Canvas, p: WardrobeProduct, _pose: str) -> None:
    """A pair of earrings: hoops, drops, studs or tassels."""
    c.depth = 5.0
    form, stone = p.trait("form"), p.trait("stone")
    for side in (-1, 1):
        x, y = side * 98.0, 200.0
        if form == "hoops":
            _hoop(c, p, x, y)
            continue
        c.part(ellipse(x, y, 16, 16), _gold(p), lift=3, edge=7, shadow=0.3)
        if form == "studs":
            size = p.vary("size", 40, 58)
            shape = (
                ellipse(x, y + 90, size, size)
                if p.design % 2
                else moved(box(-size, -size, size, size, size * 0.4), x, y + 90)
            )
            c.part(shape, _gold(p), lift=3, edge=12, shadow=0.35)
            _set_stone(c, p, stone, x, y + 90, size * 0.55)
        elif form == "drops":
            _links(c, p, curve([(x, y + 14), (x, y + 78)]), 5.0)
            long = p.vary("long", 70, 120)
            c.part(
                closed(
                    [
                        (x, y + 76, 1),
                        (x + 22, y + 80 + long * 0.5),
                        (x + 27, y + 80 + long * 0.8),
                        (x, y + 96 + long),
                        (x - 27, y + 80 + long * 0.8),
                        (x - 22, y + 80 + long * 0.5),
                    ]
                ),
                _gold(p),
                lift=4,
                edge=9,
                shadow=0.35,
            )
            _set_stone(c, p, stone, x, y + 72 + long * 0.8, 17)
        else:
            c.part(
                closed([(x - 13, y + 18, 1), (x + 13, y + 18, 1), (x + 20, y + 52, 1), (x - 20, y + 52, 1)]),
                _gold(p),
                lift=4,
                edge=5,
                shadow=0.35,
            )
            threads = [
                limb([(x + k * 2.4, y + 48), (x + k * 3.2, y + 130), (x + k * 3.5, y + 205 + (k * 5) % 7)], [4.2, 3.4])
                for k in range(-8, 9)
            ]
            c.part(
                threads,
                _stone(p) if stone == "none" else plain(colour(_STONES[p.design % 8]), "satin", 0.2),
                lift=2,
                edge=2.2,
                shadow=0.25,
            )


def _hoop(c: Canvas, p: WardrobeProduct, x: float, y: float) -> None:
    r, thick = p.vary("size", 66, 88), p.vary("thick", 7, 17)
    c.part(
        ellipse(x, y + 90, r, r * 1.05),
        _gold(p),
        lift=2,
        edge=thick * 0.45,
        shadow=0.3,
        holes=[ellipse(x, y + 90, r - thick, r * 1.05 - thick)],
    )
    c.part(
        limb([(x - 3, y + 90 - r * 1.05 + 6), (x + 3, y + 70 - r * 1.05)], [4, 3]),
        _gold(p),
        lift=1,
        edge=1.4,
        shadow=0.2,
    )
    if p.trait("stone") == "pearl":
        c.part(
            ellipse(x, y + 90 + r * 1.05 - thick * 0.5, 17, 17),
            plain(_PEARL, "smooth", 0.75),
            lift=4,
            edge=12,
            shadow=0.3,
        )


def _set_stone(c: Canvas, p: WardrobeProduct, stone: str, x: float, y: float, r: float) -> None:
    if stone == "colour":
        _gem(c, p, x, y, r)
    elif stone == "pearl":
        c.part(ellipse(x, y, r, r), plain(_PEARL, "smooth", 0.75), lift=4, edge=r * 0.7, shadow=0.3)
