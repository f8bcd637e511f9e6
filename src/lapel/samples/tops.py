"""Shapes of tops: T-shirts, tank tops, shirts, polos, blouses, sweaters, cardigans and hoodies.

Each function lays the parts of one product on a `Canvas`; `pose` is worn (on an invisible body), hanger or flat.
"""

from __future__ import annotations

from dataclasses import replace

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
from lapel.samples.canvas import WIDTH, Canvas, creases
from lapel.samples.fabric import RGB, mixed, plain, rgb
from lapel.samples.outlines import Outline, box, closed, curve, ellipse, limb, mirror, moved
from lapel.samples.palette import brightness
from lapel.samples.plan import WardrobeProduct

_SPREAD = {"worn": 0.0, "hanger": -3.0, "flat": 8.0}


def hanger_of(p: WardrobeProduct) -> str:
    """Which hanger a product hangs on."""
    return ("wood", "dark", "white")[p.seed % 3]


def button_colour(p: WardrobeProduct) -> RGB:
    """Horn or pearl buttons that can be seen on the fabric."""
    main = p.fabric.colours[0]
    options: tuple[RGB, RGB] = ((0.90, 0.88, 0.83), mixed(main, (0, 0, 0), 0.45))
    return options[0] if brightness(main) < 0.45 or brightness(main) > 0.8 else options[1]


def _start(c: Canvas, b: Bodice, p: WardrobeProduct, pose: str) -> None:
    c.depth, c.open_below = (30.0 if pose == "worn" else 17.0), True
    lay_inside(c, b, p.fabric)
    if pose == "hanger":
        lay_hanger(c, b, hanger_of(p))


def _body(c: Canvas, b: Bodice, p: WardrobeProduct, *, amount: float = 1.0, straps: bool = False) -> None:
    c.part(b.front(straps=straps), p.fabric, folds=torso_folds(c, b, amount=amount), shadow=0.25, edge=4)


def tshirt(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """T-shirt with neck band, chest pocket, print or contrast bands."""
    length = {"short": 19.0, "elbow": 29.0, "long": 59.0}[p.trait("sleeve")] * p.vary("arm", 0.92, 1.08)
    fit = p.vary("fit", 0.9, 1.12) * (0.92 if p.gender == "Women" else 1.0)
    spread = (15.0 if length > 40 else 33.0 * p.vary("spread", 0.85, 1.1)) + _SPREAD[pose]
    body = p.vary("length", 58, 72) * (0.94 if p.gender == "Women" else 1.0)
    scale, top = placed(83 if length > 40 else 78, body, hanger=pose == "hanger")
    neckline = p.trait("neckline")
    depth = {"crew": 8.5, "v": 15.0, "scoop": 13.0}[neckline] * p.vary("depth", 0.88, 1.15)
    waist = 25 * fit - (2.5 if p.gender == "Women" else 0.5)
    b = Bodice(
        scale,
        top,
        8.3 + (2 if neckline == "scoop" else 0),
        21 * fit,
        25 * fit,
        waist,
        25.5 * fit,
        body,
        depth,
        neckline,
    )
    sleeve = Sleeve(length, (16.5 if length < 40 else 9.5) * fit, spread)
    ringer = p.trait("detail") == "ringer"
    _start(c, b, p, pose)
    lay_sleeves(c, b, sleeve, p.fabric)
    _body(c, b, p)
    band = ribbed(p.fabric, 1 if ringer else 0)
    c.part(b.band(p.vary("band", 1.6, 2.6)), band, follow=True, lift=0.4, edge=1.4, shadow=0.15)
    c.part(b.back_band(1.7), band, follow=True, lift=0.4, edge=1.4, shadow=0.15, dim=0.85)
    if ringer or length > 40:
        lay_cuffs(c, b, sleeve, band, 2.2 if length < 40 else 4.5)
    else:
        for line in (cuff_line(b, sleeve, 1.7), cuff_line(b, sleeve, 2.1)):
            c.stitches(line, thread(p.fabric, 0.18))
            c.stitches(mirror(line), thread(p.fabric, 0.18))
    for above in (1.7, 2.2):
        c.stitches(b.across(b.length - above, b.hem - 0.5, b.curve), thread(p.fabric, 0.18))
    if p.trait("detail") == "pocket":
        _pocket(c, b, p, 10.5, 20.0)
    if p.trait("detail") == "print" and p.pattern in ("plain", "melange"):
        _chest_print(c, b, p)


def _pocket(c: Canvas, b: Bodice, p: WardrobeProduct, x: float, y: float, size: float = 10.0) -> None:
    """Chest pocket on the wearer's left, centred at `x`."""
    h = size / 2
    shape = b.trace([(x - h, y, 1), (x + h, y, 1), (x + h, y + size, 1), (x, y + size * 1.14, 1), (x - h, y + size, 1)])
    pocket = closed(shape)
    c.part(pocket, p.fabric, follow=True, lift=0.6, edge=1.2, shadow=0.2)
    c.stitches(curve(b.trace([(x - h, y + 1.6), (x + h, y + 1.6)])), thread(p.fabric, 0.25))
    inner = b.trace(
        [
            (x - h + 0.4, y),
            (x - h + 0.4, y + size - 0.2, 1),
            (x, y + size * 1.1, 1),
            (x + h - 0.4, y + size - 0.2, 1),
            (x + h - 0.4, y),
        ]
    )
    c.stitches(curve(inner), thread(p.fabric, 0.25))


def _chest_print(c: Canvas, b: Bodice, p: WardrobeProduct) -> None:
    """A printed picture on the chest: sun and hills, stacked bars, rings or a wave."""
    x, y, _ = b.at(0, b.armhole + 8)
    r = 8.2 * b.scale
    second, third = rgb(p.fabric.colours[1]), rgb(p.fabric.colours[2])
    ink, other = plain(p.fabric.colours[1], "smooth", 0.06), plain(p.fabric.colours[2], "smooth", 0.06)
    choice = int(p.vary("print", 0, 3.999))
    if choice == 0:
        c.part(ellipse(x, y, r, r), ink, follow=True, lift=0.1, edge=0.8, shadow=0.0)
        hills = closed(
            [
                (-r, y + r * 0.15, 1),
                (-r * 0.4, y - r * 0.25),
                (r * 0.1, y + r * 0.3),
                (r * 0.5, y - r * 0.1),
                (r, y + r * 0.3, 1),
                (r, y + r, 1),
                (-r, y + r, 1),
            ]
        )
        c.part(hills, other, follow=True, lift=0.1, edge=0.8, shadow=0.0)
    elif choice == 1:
        for k in range(5):
            w = r * (1.25 - 0.2 * abs(k - 2))
            c.part(
                box(-w, y - r + k * r * 0.42, w, y - r + k * r * 0.42 + r * 0.24),
                ink if k % 2 else other,
                follow=True,
                lift=0.1,
                edge=0.8,
                shadow=0.0,
            )
    elif choice == 2:
        for k in range(4):
            c.line(
                ellipse(x, y, r * (1 - k * 0.24), r * (1 - k * 0.24)), second if k % 2 else third, r * 0.11, lift=0.1
            )
    else:
        for k in range(4):
            points = [
                (-r * 1.3 + i * r * 0.52, y - r * 0.6 + k * r * 0.4 + (r * 0.22 if i % 2 else -r * 0.22))
                for i in range(6)
            ]
            c.line(curve(points), second if k % 2 else third, r * 0.12, lift=0.1)


def tank(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Sleeveless top with bound armholes."""
    fit, body = p.vary("fit", 0.86, 1.05), p.vary("length", 54, 68)
    scale, top = placed(66, body, hanger=pose == "hanger")
    neckline = p.trait("neckline")
    thin = p.trait("strap") == "thin"
    neck, shoulder = (11.5, 14.5) if thin else (10.0, 16.5)
    b = Bodice(
        scale,
        top,
        neck,
        shoulder,
        23.5 * fit,
        21.5 * fit,
        24.5 * fit,
        body,
        p.vary("depth", 14, 19),
        neckline,
        2.0,
        23.0,
        40.0,
    )
    _start(c, b, p, pose)
    _body(c, b, p, straps=False)
    band = single(p.fabric)
    c.part(b.band(1.3), band, follow=True, lift=0.4, edge=1.2, shadow=0.15)
    c.part(b.back_band(1.3), band, follow=True, lift=0.4, edge=1.2, shadow=0.15, dim=0.85)
    dip = b.shoulder - 1.2
    arm = b.trace([(b.shoulder - 0.4, b.slope), (dip, b.slope + 11.5), (b.chest - 0.5, b.armhole)])
    both(c, limb(arm, [1.3 * b.scale] * 2), band, lift=0.4, edge=1.2, shadow=0.12)
    c.stitches(b.across(b.length - 1.8, b.hem - 0.5, b.curve), thread(p.fabric, 0.18))


def _collar(c: Canvas, b: Bodice, p: WardrobeProduct, *, spread: float, long: float, which: int = 0) -> None:
    """Folded collar: the stand at the back and two points at the front."""
    n = b.neck
    cloth = single(p.fabric, which) if which else p.fabric
    stand = closed(
        b.trace(
            [
                (-n, 0.4),
                (-n * 0.72, -2.6),
                (0, -3.3),
                (n * 0.72, -2.6),
                (n, 0.4),
                (n * 0.6, 1.2),
                (0, 1.6),
                (-n * 0.6, 1.2),
            ]
        )
    )
    c.part(stand, cloth, lift=1.0, edge=2.5, shadow=0.2, dim=0.88)
    leaf = closed(
        b.trace(
            [
                (n * 0.80, -2.4, 1),
                (n + 1.3, 0.6),
                (n * 0.7 + spread, long, 1),
                (0.35, b.depth + 0.2, 1),
                (n * 0.52, b.depth * 0.55),
                (n * 0.82, 0.6),
            ]
        )
    )
    both(c, leaf, cloth, follow=False, lift=2.6, edge=2.2, shadow=0.35, angle=35)
    edge = curve(b.trace([(n + 0.8, 0.9), (n * 0.7 + spread - 0.35, long - 0.7, 1), (1.2, b.depth + 0.1)]))
    for line in (edge, mirror(edge)):
        c.stitches(line, thread(p.fabric, 0.15))


def shirt(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Shirt with collar, placket, buttons, cuffs and pockets."""
    long = p.trait("sleeve") == "long"
    fit = p.vary("fit", 0.9, 1.08) * (0.93 if p.gender == "Women" else 1.0)
    body = p.vary("length", 68, 78)
    scale, top = placed(84 if long else 82, body + 4, hanger=pose == "hanger")
    band = p.trait("collar") == "band"
    waist = 24 * fit - (2.5 if p.gender == "Women" else 0)
    b = Bodice(
        scale, top + 3 * scale, 7.4, 22.5 * fit, 26 * fit, waist, 26 * fit, body - 5, 7.5, "v", 4.2, 24.0, 43.0, 5.0
    )
    sleeve = Sleeve(61 if long else 22, (11 if long else 18) * fit, (15 if long else 31) + _SPREAD[pose], 0.6)
    _start(c, b, p, pose)
    lay_sleeves(c, b, sleeve, p.fabric, stiff=1.15)
    _body(c, b, p, amount=1.1)
    for line in (b.down(b.neck + 1.5, 3.0, 9.5, b.shoulder - 2), b.down(-b.neck - 1.5, 3.0, 9.5, -b.shoulder + 2)):
        c.seam(line, depth=0.4, dark=0.08)
    placket = box(
        -1.7 * scale, b.top + (b.depth - 0.6) * scale, 1.7 * scale, b.top + (b.length + b.curve - 0.3) * scale
    )
    c.part(placket, p.fabric, follow=True, lift=0.5, edge=1.0, shadow=0.22)
    for x in (-1.35, 1.35):
        c.stitches(b.down(x, b.depth + 1, b.length + b.curve - 0.5), thread(p.fabric, 0.2))
    if band:
        c.part(b.band(3.0), p.fabric, lift=2.2, edge=1.8, shadow=0.3)
        c.part(b.back_band(3.2), p.fabric, lift=1.0, edge=1.8, shadow=0.2, dim=0.88)
    else:
        wide = p.trait("collar") == "wide"
        _collar(c, b, p, spread=3.6 if wide else 1.6, long=p.vary("leaf", 9.5, 11.5))
    color = button_colour(p)
    lay_buttons(c, b, b.depth + 1.0, b.length - 2, 7, color, radius=0.55)
    if long:
        lay_cuffs(c, b, sleeve, p.fabric, 6.0)
    else:
        line = cuff_line(b, sleeve, 2.6)
        c.stitches(line, thread(p.fabric, 0.2))
        c.stitches(mirror(line), thread(p.fabric, 0.2))
    if p.trait("pocket") in ("one", "two"):
        _pocket(c, b, p, 11.5, 19.5, 10.5)
    if p.trait("pocket") == "two":
        _pocket(c, b, p, -11.5, 19.5, 10.5)
    hem = [(b.hem - 0.5, b.length - 1.4), (b.hem * 0.55, b.length + b.curve * 0.8 - 1.2), (0, b.length + b.curve - 1.2)]
    c.stitches(curve(b.trace([*[(-x, y) for x, y in hem[:-1]], *reversed(hem)])), thread(p.fabric, 0.18))


def polo(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Polo shirt: ribbed collar, short placket, ribbed cuffs."""
    long = p.trait("sleeve") == "long"
    fit, body = p.vary("fit", 0.92, 1.08) * (0.92 if p.gender == "Women" else 1.0), p.vary("length", 63, 72)
    scale, top = placed(84 if long else 78, body + 3, hanger=pose == "hanger")
    b = Bodice(scale, top + 2 * scale, 8.0, 21.5 * fit, 25.5 * fit, 24.5 * fit, 25.5 * fit, body, 8.0, "v")
    sleeve = Sleeve(60 if long else 20.5, (10 if long else 16) * fit, (15 if long else 32) + _SPREAD[pose])
    tipped = p.trait("tip") == "tipped"
    _start(c, b, p, pose)
    lay_sleeves(c, b, sleeve, p.fabric)
    _body(c, b, p)
    bottom = p.vary("placket", 20, 25)
    x, y0, _ = b.at(1.6, b.depth - 0.5)
    c.part(box(-x, y0, x, b.at(0, bottom)[1], 1), single(p.fabric), follow=True, lift=0.5, edge=1.0, shadow=0.25)
    c.stitches(b.across(bottom - 0.6, 1.5), thread(p.fabric, 0.25))
    ribs = single(p.fabric)
    _collar(c, b, replace(p, fabric=replace(ribs, texture="rib")), spread=2.0, long=p.vary("leaf", 8.6, 10.2))
    if tipped:
        edge = curve(b.trace([(b.neck + 1.0, 1.2), (b.neck * 0.7 + 1.5, 8.6, 1), (1.0, b.depth + 0.4)]))
        for line in (edge, mirror(edge)):
            c.line(line, rgb(p.fabric.colours[1]), 0.45 * scale)
    lay_buttons(
        c, b, b.depth + 2.0, bottom - 2.5, 3 if p.vary("count", 0, 1) > 0.5 else 2, button_colour(p), radius=0.55
    )
    lay_cuffs(c, b, sleeve, ribbed(p.fabric, 1 if tipped else 0), 2.6 if not long else 5)
    c.stitches(b.across(b.length - 2.0, b.hem - 0.5, b.curve), thread(p.fabric, 0.18))


def blouse(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Flowing blouse with puff or bell sleeves, ruffles, a bow or covered buttons."""
    fit, body = p.vary("fit", 0.9, 1.04), p.vary("length", 56, 66)
    scale, top = placed(84, body, hanger=pose == "hanger")
    neckline = p.trait("neckline")
    depth = {"v": 16.0, "boat": 5.5, "square": 12.0, "high": 3.0}[neckline]
    b = Bodice(
        scale,
        top,
        {"boat": 13.0, "square": 10.5}.get(neckline, 7.8),
        20 * fit,
        24 * fit,
        22.5 * fit,
        26.5 * fit,
        body,
        depth,
        neckline,
    )
    style = p.trait("sleeve")
    sleeve = {
        "puff": Sleeve(p.vary("arm", 30, 56), 12, 20 + _SPREAD[pose], 3.2, 5.0),
        "bell": Sleeve(p.vary("arm", 46, 56), 21, 18 + _SPREAD[pose], 0.8, 1.5),
        "long": Sleeve(58, 11, 15 + _SPREAD[pose], 1.5, 2.0),
    }[style]
    _start(c, b, p, pose)
    lay_sleeves(c, b, sleeve, p.fabric, stiff=1.7)
    _body(c, b, p, amount=1.5)
    if style != "bell":
        lay_cuffs(c, b, sleeve, single(p.fabric) if p.pattern == "plain" else p.fabric, 3.2)
    if neckline == "high":
        _turtleneck(c, b, p, 5.0)
    else:
        c.part(b.band(1.2), p.fabric, follow=True, lift=0.4, edge=1.2, shadow=0.2)
        c.part(b.back_band(1.2), p.fabric, follow=True, lift=0.4, edge=1.2, shadow=0.2, dim=0.85)
    front = p.trait("front")
    if front in ("buttons", "bow"):
        c.seam(b.down(0, b.depth + 0.6, b.length + b.curve), depth=0.7)
        lay_buttons(c, b, b.depth + 3, b.length - 3, 7, p.fabric.colours[0], radius=0.5)
    if front == "ruffle":
        _ruffle(c, b, p)
    if front == "bow":
        _bow(c, b, p, b.depth + 1.0)


def _ruffle(c: Canvas, b: Bodice, p: WardrobeProduct) -> None:
    for side in (-1, 1):
        x0 = 5.2 * side
        wave = [(x0 + side * (1.6 + 0.9 * (k % 2)), b.depth + 1 + k * 2.1) for k in range(11)]
        shape: Outline = closed(b.trace([(x0, b.depth - 1, 1), *wave, (x0, b.depth + 24, 1)]))
        c.part(shape, p.fabric, follow=True, lift=1.6, edge=2.4, shadow=0.35)
        lines = [curve(b.trace([(x0, y), (x, y)])) for x, y in wave[::2]]
        c.height += creases(lines, 4.0, 1.5)


def _bow(c: Canvas, b: Bodice, p: WardrobeProduct, y: float) -> None:
    tail = limb(b.trace([(0.6, y), (2.4, y + 9), (2.0, y + 20)]), [1.6 * b.scale, 3.2 * b.scale, 4.0 * b.scale])
    loop = closed(b.trace([(0.4, y, 1), (4.0, y - 3.2), (8.6, y - 2.6), (9.0, y + 2.0), (4.5, y + 1.9)]))
    for piece in (tail, moved(mirror(tail), 0, -4), loop, mirror(loop)):
        c.part(piece, p.fabric, lift=5, edge=3.5, shadow=0.35, follow=True)
    x, ky, _ = b.at(0, y)
    c.part(ellipse(x, ky, 1.5 * b.scale, 1.8 * b.scale), p.fabric, lift=6, edge=3, shadow=0.4, follow=True)


def _turtleneck(c: Canvas, b: Bodice, p: WardrobeProduct, tall: float, *, rib: bool = False) -> None:
    n = b.neck
    tube = closed(
        b.trace(
            [
                (-n - 0.6, 1.6, 1),
                (-n + 0.5, -tall, 1),
                (0, -tall - 0.7),
                (n - 0.5, -tall, 1),
                (n + 0.6, 1.6, 1),
                (n * 0.55, b.depth + 1.4),
                (0, b.depth + 1.9),
                (-n * 0.55, b.depth + 1.4),
            ]
        )
    )
    cloth = ribbed(p.fabric) if rib else single(p.fabric) if p.pattern == "plain" else p.fabric
    c.part(tube, cloth, lift=2.0, edge=5, shadow=0.3)
    c.part(
        closed(b.trace([(-n + 0.7, -tall + 0.1), (0, -tall - 0.8), (n - 0.7, -tall + 0.1), (0, -tall + 1.2)])),
        cloth,
        dim=0.5,
        lift=0,
        edge=1,
        shadow=0,
    )
    c.seam(b.across(-tall * 0.2, n * 0.9, 1.6), depth=0.8, dark=0.2)


def sweater(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Knitted pullover with ribbed neck, cuffs and hem."""
    fit = p.vary("fit", 0.94, 1.16) * (0.95 if p.gender == "Women" else 1.0)
    body = p.vary("length", 56, 69)
    neckline = p.trait("neckline")
    tall = p.vary("tall", 5, 9) if neckline == "high" else 0.0
    scale, top = placed(84, body + tall, hanger=pose == "hanger")
    depth = {"crew": 8.0, "v": 17.0, "high": 3.5, "boat": 5.0}[neckline]
    neck = 11.5 if neckline == "boat" else 8.3
    b = Bodice(
        scale,
        top + tall * scale * 0.8,
        neck,
        22 * fit,
        26 * fit,
        25.5 * fit,
        25 * fit,
        body,
        depth,
        neckline,
        4.5,
        24.5,
    )
    sleeve = Sleeve(59, 11 * fit, 15.5 + _SPREAD[pose], 1.2, 1.6)
    _start(c, b, p, pose)
    lay_sleeves(c, b, sleeve, p.fabric, stiff=1.25)
    _body(c, b, p, amount=1.2)
    if neckline == "high":
        _turtleneck(c, b, p, tall, rib=True)
    else:
        c.part(b.band(3.0), ribbed(p.fabric), follow=True, lift=0.7, edge=2.2, shadow=0.2)
        c.part(b.back_band(2.6), ribbed(p.fabric), follow=True, lift=0.7, edge=2.0, shadow=0.2, dim=0.85)
    lay_cuffs(c, b, sleeve, ribbed(p.fabric), 6.0)
    lay_hem(c, b, ribbed(p.fabric), 6.0, 1.2)


def cardigan(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Knitted jacket with a deep V, button band and patch pockets."""
    fit = p.vary("fit", 0.94, 1.12)
    body = {"hip": 64.0, "long": 84.0, "cropped": 50.0}[p.trait("length")]
    scale, top = placed(84, body, hanger=pose == "hanger")
    b = Bodice(
        scale, top, 8.0, 21.5 * fit, 25.5 * fit, 24.5 * fit, 25.5 * fit, body, p.vary("depth", 22, 30), "v", 4.5, 24.5
    )
    sleeve = Sleeve(59, 11 * fit, 15.5 + _SPREAD[pose], 1.2, 1.6)
    _start(c, b, p, pose)
    lay_sleeves(c, b, sleeve, p.fabric, stiff=1.25)
    _body(c, b, p, amount=1.2)
    lay_cuffs(c, b, sleeve, ribbed(p.fabric), 6.0)
    lay_hem(c, b, ribbed(p.fabric), 5.5, 0.8)
    c.part(b.back_band(3.2), ribbed(p.fabric), follow=True, lift=0.7, edge=2.0, shadow=0.2, dim=0.85)
    band = [(-b.neck, 0.2), (-b.neck * 0.45, b.depth * 0.5), (0, b.depth), (0, b.length * 0.7), (0, b.length + b.curve)]
    under = limb(b.trace([(-x, y) for x, y in band]), [3.6 * scale] * 2)
    c.part(under, ribbed(p.fabric), follow=True, lift=0.6, edge=2.0, shadow=0.2)
    c.part(limb(b.trace(band), [3.6 * scale] * 2), ribbed(p.fabric), follow=True, lift=0.9, edge=2.0, shadow=0.3)
    lay_buttons(c, b, b.depth + 2, b.length - 2.5, 5 if body < 60 else 6, button_colour(p), radius=0.85)
    if p.trait("pockets") == "yes" and body > 55:
        for x in (-13.5, 13.5):
            shape = b.panel(x - 6.5, b.length - 22, x + 6.5, b.length - 8, 3)
            c.part(shape, p.fabric, follow=True, lift=0.8, edge=1.8, shadow=0.25)
            c.part(
                b.panel(x - 6.5, b.length - 22, x + 6.5, b.length - 19.5, 2),
                ribbed(p.fabric),
                follow=True,
                lift=0.6,
                edge=1.4,
                shadow=0.15,
            )


def hoodie(c: Canvas, p: WardrobeProduct, pose: str) -> None:
    """Hooded sweatshirt with kangaroo pocket, drawcords and ribbed bands; pullover or zipped."""
    fit = p.vary("fit", 0.96, 1.14) * (0.95 if p.gender == "Women" else 1.0)
    body = p.vary("length", 62, 70)
    scale, top = placed(84, body + 13, hanger=pose == "hanger")
    b = Bodice(scale, top + 11 * scale, 9.5, 22.5 * fit, 27 * fit, 26.5 * fit, 25.5 * fit, body, 9.5, "v", 4.5, 25.0)
    sleeve = Sleeve(60, 11.5 * fit, 16 + _SPREAD[pose], 1.0, 1.4)
    c.depth, c.open_below = (30.0 if pose == "worn" else 18.0), True
    if pose == "hanger":
        lay_hanger(c, replace(b, top=b.top - 9 * scale), hanger_of(p))
    hood = [(9.8, 3.0, 1), (11.8, -3.0), (9.6, -10.0), (4.5, -12.8), (0, -13.2)]
    c.part(
        closed(b.trace([*hood, *[(-x, y, *k) for x, y, *k in reversed(hood[:-1])], (0, 9)])),
        p.fabric,
        edge=6,
        shadow=0.1,
    )
    cave = [(8.0, 2.0, 1), (8.6, -3.5), (6.6, -8.6), (0, -10.4)]
    c.part(
        closed(b.trace([*cave, *[(-x, y, *k) for x, y, *k in reversed(cave[:-1])], (0, 9.6, 1)])),
        single(p.fabric),
        dim=0.5,
        lift=-2,
        edge=3,
        shadow=0.0,
    )
    lay_sleeves(c, b, sleeve, p.fabric, stiff=1.3)
    _body(c, b, p, amount=1.25)
    flap = closed(b.trace([(9.0, -4, 1), (11.4, 0.5), (8.0, 8.0), (0.2, 12.5, 1), (0.2, 9.5, 1), (5.5, 4.0)]))
    both(c, flap, p.fabric, follow=False, lift=3.0, edge=4, shadow=0.3)
    y0, y1 = b.length - 26, b.length - 7
    pocket = [(9.5, y0, 1), (16.5, y0 + 11, 1), (16.5, y1, 1)]
    c.part(
        closed(b.trace([*pocket, *[(-x, y, 1) for x, y, _ in reversed(pocket)]])),
        p.fabric,
        follow=True,
        lift=0.9,
        edge=2,
        shadow=0.25,
    )
    slit = b.down(9.0, y0 + 0.3, y0 + 11, 16.0)
    for line in (slit, mirror(slit)):
        c.stitches(line, thread(p.fabric, 0.2))
    lay_cuffs(c, b, sleeve, ribbed(p.fabric), 6.0)
    lay_hem(c, b, ribbed(p.fabric), 6.0, 1.4)
    if p.trait("closing") == "zip":
        zipper(c, b.down(0, 11.5, b.length + 1.0), (0.76, 0.76, 0.78))
    else:
        _hoodie_front(c, b, p)
    cord = (0.93, 0.92, 0.9) if brightness(p.fabric.colours[0]) < 0.7 else (0.3, 0.3, 0.32)
    for x, end in ((3.2, 26.5), (-3.4, 25.0)):
        c.part(
            limb(b.trace([(x * 0.8, 10.5), (x * 1.2, 17), (x, end)]), [0.7 * scale] * 2),
            plain(cord, "straw"),
            follow=True,
            lift=2.0,
            edge=1.2,
            shadow=0.35,
        )


def _hoodie_front(c: Canvas, b: Bodice, p: WardrobeProduct) -> None:
    if p.trait("detail") == "print":
        _chest_print(c, b, p)
    elif p.trait("detail") == "stripe":
        x0, y0, _ = b.at(-b.chest + 0.5, b.armhole + 6)
        c.line(
            curve([(x0, y0), (0, y0 + 4), (-x0, y0)]),
            rgb(p.fabric.colours[1]),
            min(5.0 * b.scale, WIDTH / 12),
            lift=0.1,
        )
