"""The drawing table: parts cut from outlines are laid on one another and keep colour, relief and gloss apart.

A garment function lays parts on a `Canvas`; the scene later lights the finished `Canvas` from any side, so one drawing
serves several photos. All buffers are float32 planes of shape (HEIGHT, WIDTH), three of them for colour; relief is in
pixels towards the viewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from lapel.samples.fabric import Fabric, paint, relief
from lapel.samples.outlines import Outline, dashes, moved

WIDTH, HEIGHT = 450, 600
_FINE = 3  # masks are drawn three times as large and averaged: ten grey levels on an edge
Plane = NDArray[np.float32]
_Box = tuple[int, int, int, int]


@lru_cache(maxsize=1)
def grid() -> tuple[Plane, Plane]:
    """Pixel coordinates (x from the centre line, y from the top), two (HEIGHT, WIDTH) planes. Do not write to them."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    return x - WIDTH / 2, y


def unit(image: Image.Image) -> Plane:
    """Grey picture as a float plane from 0 to 1."""
    return np.asarray(image, dtype=np.float32) * np.float32(1 / 255)


def resized(plane: Plane, width: int, height: int) -> Plane:
    """Plane scaled smoothly to (height, width) in float, without the steps of eight bits."""
    return np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC))


def noise(rng: np.random.Generator, width: int, height: int, cells_x: int, cells_y: int) -> Plane:
    """Smooth noise of standard deviation about 0.6, with about `cells_x` by `cells_y` hills over (height, width)."""
    return resized(rng.standard_normal((cells_y + 2, cells_x + 2), dtype=np.float32), width, height)


class Canvas:
    """A product being drawn.

    Attributes:
        albedo: (3, HEIGHT, WIDTH) float32, colour 0 to 1 without any light.
        alpha: coverage 0 to 1.
        height: relief in pixels.
        shade: ambient light that reaches the spot, 0 to 1.
        gloss: strength of mirror-like reflections, 0 to 1.
        depth: how far the whole silhouette bulges, in pixels.
        open_below: True when the bulge runs out of an open hem instead of closing at the bottom.
        rng: the only source of chance for this drawing.
    """

    def __init__(self, rng: np.random.Generator, *, depth: float = 14.0, open_below: bool = False) -> None:
        """An empty table; `depth` says how round the finished thing is, `open_below` that it ends in open hems."""
        self.rng = rng
        self.open_below = open_below
        self.depth = depth
        self.albedo = np.zeros((3, HEIGHT, WIDTH), dtype=np.float32)
        self.alpha = np.zeros((HEIGHT, WIDTH), dtype=np.float32)
        self.height = np.zeros((HEIGHT, WIDTH), dtype=np.float32)
        self.shade = np.ones((HEIGHT, WIDTH), dtype=np.float32)
        self.gloss = np.zeros((HEIGHT, WIDTH), dtype=np.float32)

    def part(
        self,
        shape: Outline | Sequence[Outline],
        fabric: Fabric,
        *,
        holes: Sequence[Outline] = (),
        angle: float = 0.0,
        lift: float = 0.9,
        edge: float = 3.0,
        shadow: float = 0.4,
        folds: Plane | None = None,
        follow: bool = False,
        dim: float = 1.0,
    ) -> None:
        """Lay one piece of material on the table.

        Args:
            shape: outline, or several that are filled together.
            fabric: what it is made of.
            holes: outlines cut out again.
            angle: degrees the weave is turned.
            lift: how high it lies over what is below, pixels.
            edge: width of the rounded edge, pixels.
            shadow: how dark the soft shadow on what is below gets, 0 to 1.
            folds: (HEIGHT, WIDTH) relief in pixels, added on top.
            follow: True lets the piece follow the relief below it (pockets, collars).
            dim: ambient light inside the piece, below 1 for linings and insides.
        """
        outlines = [shape] if isinstance(shape, np.ndarray) else list(shape)
        area = _bounds(outlines, margin=8)
        image = _filled(outlines, holes, area)
        mask = unit(image)
        x0, y0, x1, y1 = area
        at = (slice(y0, y1), slice(x0, x1))
        x, y = (plane[at] for plane in grid())
        round_edge = unit(image.filter(ImageFilter.GaussianBlur(edge))) * 2 - 1
        np.clip(round_edge, 0, 1, out=round_edge)
        rise = round_edge * (2 - round_edge) * (edge * 0.45)
        if folds is not None:
            rise = rise + folds[at]
            x, y = x + folds[at] * 0.7, y + folds[at] * 0.9
        color, bumps = paint(fabric, x, y, angle), relief(fabric, x, y, angle)
        if bumps is not None:
            rise = rise + bumps
        base = self.height[at]
        target = base + lift + rise if follow else lift + rise
        if shadow > 0:
            self.shade[at] *= 1 - shadow * _near(image)
        self.shade[at] += (dim - self.shade[at]) * mask
        self.height[at] += (target - base) * mask
        below = self.albedo[:, at[0], at[1]]
        below += (color - below) * mask
        self.gloss[at] += (fabric.gloss - self.gloss[at]) * mask
        self.alpha[at] = np.maximum(self.alpha[at], mask)

    def seam(self, line: Outline, *, width: float = 1.3, depth: float = 0.9, dark: float = 0.25) -> None:
        """Press a seam into what is there: a thin groove along `line`, `depth` pixels deep, darker by `dark`."""
        mask, at = self._stroke([line], width)
        self.height[at] -= depth * mask
        self.shade[at] *= 1 - dark * mask

    def stitches(self, line: Outline, color: NDArray[np.float32], *, width: float = 1.1, on: float = 3.5) -> None:
        """Sew along `line` in `color` (3,) with stitches `on` pixels long."""
        pieces = dashes(line, on, on * 0.7)
        if not pieces:
            return
        mask, at = self._stroke(pieces, width)
        mask = mask * (self.alpha[at] > 0.5)
        below = self.albedo[:, at[0], at[1]]
        below += (color - below) * (mask * np.float32(0.85))
        self.height[at] += 0.5 * mask

    def line(self, line: Outline, color: NDArray[np.float32], width: float, *, lift: float = 0.6) -> None:
        """Draw a raised line (piping, a cord, a print) on what is there, without widening the silhouette."""
        mask, at = self._stroke([line], width)
        mask = mask * self.alpha[at]
        below = self.albedo[:, at[0], at[1]]
        below += (color - below) * mask
        self.height[at] += lift * mask

    def bleach(self, x: float, y: float, rx: float, ry: float, share: float) -> None:
        """Wash colour out by `share` in a soft ellipse about (x, y) with half axes `rx`, `ry`, as worn denim is."""
        gx, gy = grid()
        away = ((gx - np.float32(x)) / np.float32(rx)) ** 2 + ((gy - np.float32(y)) / np.float32(ry)) ** 2
        weight = np.float32(share) / (1 + away * away)
        self.albedo += (np.float32(0.86) - self.albedo) * weight

    def _stroke(self, lines: Sequence[Outline], width: float) -> tuple[Plane, tuple[slice, slice]]:
        area = _bounds(lines, margin=3 + int(width))
        x0, y0, x1, y1 = area
        image = Image.new("L", ((x1 - x0) * _FINE, (y1 - y0) * _FINE))
        pen = ImageDraw.Draw(image)
        for line in lines:
            pen.line(_fine(line, area), fill=255, width=max(1, round(width * _FINE)), joint="curve")
        return unit(image.reduce(_FINE)), (slice(y0, y1), slice(x0, x1))

    def finished(self) -> Drawing:
        """The drawing with its slopes worked out, cut to what is covered."""
        seen = self.alpha > 0
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
        at = (slice(y0, y1), slice(x0, x1))
        height = np.pad(
            self.height[at] + inflated(self.alpha, self.depth, open_below=self.open_below)[at], 1, mode="edge"
        )
        inner = _inner(np.pad(self.alpha[at], 1)) * np.float32(0.5)
        gx = np.clip((height[1:-1, 2:] - height[1:-1, :-2]) * inner, -0.9, 0.9)
        gy = np.clip((height[2:, 1:-1] - height[:-2, 1:-1]) * inner, -0.9, 0.9)
        albedo = self.albedo[:, at[0], at[1]]
        return Drawing(
            (x0, y0, x1, y1),
            albedo,
            self.alpha[at],
            self.shade[at],
            self.gloss[at],
            gx,
            gy,
            1 / np.sqrt(1 + gx * gx + gy * gy),
        )


@dataclass(frozen=True)
class Drawing:
    """A finished drawing, cut to its covered box; all planes have the box's shape (h, w).

    Attributes:
        box: left, upper, right, lower edge on the canvas.
        albedo: (3, h, w) colour without light.
        alpha: coverage.
        shade: ambient light that reaches the spot.
        gloss: strength of mirror-like reflections.
        gx, gy: slope of the relief to the right and downwards.
        facing: cosine between the surface and the viewer.
    """

    box: tuple[int, int, int, int]
    albedo: Plane
    alpha: Plane
    shade: Plane
    gloss: Plane
    gx: Plane
    gy: Plane
    facing: Plane


def _inner(alpha: Plane) -> Plane:
    """Padded alpha without its outermost pixels, where the drop to the table would read as a black outline; unpadded
    again."""
    across = np.minimum(alpha[1:-1, :-2], alpha[1:-1, 2:])
    return np.minimum(np.minimum(across, alpha[1:-1, 1:-1]), np.minimum(alpha[:-2, 1:-1], alpha[2:, 1:-1]))


def _near(mask: Image.Image) -> Plane:
    """Soft shadow around a mask, moved a little down; worked out on a quarter of the pixels."""
    small = mask.reduce(4)
    moved = small.transform(small.size, Image.Transform.AFFINE, (1, 0, -0.25, 0, 1, -0.75), Image.Resampling.BILINEAR)
    return unit(moved.filter(ImageFilter.GaussianBlur(1.25)).resize(mask.size, Image.Resampling.BILINEAR))


def creases(lines: Sequence[Outline], width: float, height: float) -> Plane:
    """Relief of soft pulled folds: a tapering ridge with a valley beside it along each line.

    Args:
        lines: polylines from the deep end to where the fold dies out.
        width: ridge width at the deep end, pixels.
        height: ridge height, pixels.

    Returns:
        (HEIGHT, WIDTH) float32 relief, zero far from the lines.
    """
    image = Image.new("L", (WIDTH, HEIGHT), 128)
    pen = ImageDraw.Draw(image)
    for line in lines:
        along = np.gradient(line, axis=0)
        normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
        half = width * np.linspace(0.55, 0.08, len(line))[:, None] * normal
        middle = moved(line, WIDTH / 2, 0)
        for offset, value in ((0.0, 250), (1.0, 30)):
            centre = middle + normal * width * offset
            ring = np.concatenate([centre + half, (centre - half)[::-1]])
            pen.polygon(ring.ravel().tolist(), fill=value)
    blurred = image.filter(ImageFilter.GaussianBlur(width * 0.55))
    return (np.asarray(blurred, dtype=np.float32) - 128) * np.float32(height / 70)


def inflated(alpha: Plane, depth: float, *, open_below: bool = False) -> Plane:
    """Bulge of a silhouette: zero at its border and up to `depth` pixels in its middle.

    Solves the soap-film equation on a coarse grid and takes its root, so narrow things get a round section and wide
    ones
    a flat middle with round borders.
    """
    step = 6
    inside = np.asarray(Image.fromarray(alpha).reduce(step)) > 0.02
    rows = np.flatnonzero(inside.any(axis=1))
    tail = rows[0] + int((rows[-1] - rows[0]) * 0.86)  # hems are open tubes: let the bulge run out of the bottom
    if open_below:
        inside[tail:] = np.maximum.accumulate(inside[tail:], axis=0)
    inside = np.pad(inside, ((1, 9), (1, 1)), mode="edge")
    inside[:, [0, -1]] = inside[0] = False
    film = np.zeros(inside.shape, dtype=np.float32)
    weight = inside[1:-1, 1:-1].astype(np.float32)
    for _ in range(70):
        around = film[:-2, 1:-1] + film[2:, 1:-1] + film[1:-1, :-2] + film[1:-1, 2:]
        film[1:-1, 1:-1] = weight * (0.25 * around + 0.35)
    film = np.sqrt(film)
    film[1:-1, 1:-1] += film[:-2, 1:-1] + film[2:, 1:-1] + film[1:-1, :-2] + film[1:-1, 2:]  # or the grid's steps show
    film = film[1:-9, 1:-1]
    film *= depth / float(film.max())
    return resized(film, alpha.shape[1], alpha.shape[0]) * alpha


def _bounds(outlines: Sequence[Outline], margin: int) -> _Box:
    every = np.concatenate(list(outlines)) if len(outlines) > 1 else outlines[0]
    low, high = every.min(axis=0), every.max(axis=0)
    x0 = int(np.clip(low[0] + WIDTH / 2 - margin, 0, WIDTH - 2))
    y0 = int(np.clip(low[1] - margin, 0, HEIGHT - 2))
    x1 = int(np.clip(high[0] + WIDTH / 2 + margin + 1, x0 + 2, WIDTH))
    y1 = int(np.clip(high[1] + margin + 1, y0 + 2, HEIGHT))
    return x0, y0, x1, y1


def _fine(outline: Outline, area: _Box) -> list[float]:
    shift = np.array([WIDTH / 2 - area[0], -area[1]], dtype=np.float32)
    flat: list[float] = ((outline + shift) * _FINE).ravel().tolist()
    return flat


def _filled(outlines: Sequence[Outline], holes: Sequence[Outline], area: _Box) -> Image.Image:
    x0, y0, x1, y1 = area
    image = Image.new("L", ((x1 - x0) * _FINE, (y1 - y0) * _FINE))
    pen = ImageDraw.Draw(image)
    for outline in outlines:
        pen.polygon(_fine(outline, area), fill=255)
    for hole in holes:
        pen.polygon(_fine(hole, area), fill=0)
    return image.reduce(_FINE)
