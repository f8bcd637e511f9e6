"""Outlines: the smooth closed curves that everything in the sample wardrobe is cut from.

Points go in as pairs in canvas pixels (x to the right of the centre line, y down), optionally with a third number that
marks a sharp corner. What comes out is an `Outline`, a dense polygon ready for filling or stroking.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Outline = NDArray[np.float32]
"""(n, 2) float32: x from the centre line and y from the top edge, in canvas pixels."""

Point = tuple[float, ...]
"""(x, y) for a smooth point or (x, y, 1) for a corner."""

_STEPS = 9  # samples between two points: at 450 pixels width the eye finds no straight pieces from eight on


def _run(points: NDArray[np.float32], tangents: NDArray[np.float32]) -> Outline:
    """Hermite samples from the first to just before the last of (n, 2) points."""
    t = np.linspace(0.0, 1.0, _STEPS, endpoint=False, dtype=np.float32)[None, :, None]
    a, b = points[:-1, None], points[1:, None]
    da, db = tangents[:-1, None], tangents[1:, None]
    t2, t3 = t * t, t * t * t
    curve = (2 * t3 - 3 * t2 + 1) * a + (t3 - 2 * t2 + t) * da + (3 * t2 - 2 * t3) * b + (t3 - t2) * db
    return np.asarray(curve.reshape(-1, 2), dtype=np.float32)


def curve(points: Sequence[Point]) -> Outline:
    """Smooth open curve through `points`, ends included.

    Args:
        points: at least two points; corner marks are honoured.

    Returns:
        Dense polyline from the first to the last point.
    """
    xy = np.array([p[:2] for p in points], dtype=np.float32)
    last = len(points) - 1
    cuts = [0, *(i for i in range(1, last) if len(points[i]) > 2 and points[i][2]), last]
    runs = []
    for start, stop in pairwise(cuts):
        piece = xy[start : stop + 1]
        tangents = np.gradient(piece, axis=0).astype(np.float32)
        runs.append(_run(piece, tangents))
    runs.append(xy[-1:])
    return np.concatenate(runs)


def closed(points: Sequence[Point]) -> Outline:
    """Smooth closed outline through `points`; corner marks are honoured, the last point joins the first."""
    corner = next((i for i, p in enumerate(points) if len(p) > 2 and p[2]), None)
    if corner is not None:
        ring = [*points[corner:], *points[: corner + 1]]
        return curve(ring)[:-1]
    xy = np.array([p[:2] for p in points], dtype=np.float32)
    tangents = (np.roll(xy, -1, axis=0) - np.roll(xy, 1, axis=0)) / 2
    return _run(np.concatenate([xy, xy[:1]]), np.concatenate([tangents, tangents[:1]]).astype(np.float32))


def mirrored(half: Sequence[Point]) -> Outline:
    """Symmetric outline from its right half, listed from the top of the centre line to its bottom.

    Points with x = 0 are not doubled.
    """
    left = [(-p[0], *p[1:]) for p in reversed(half) if p[0] != 0]
    return closed([*half, *left])


def mirror(outline: Outline) -> Outline:
    """The same outline on the other side of the centre line."""
    return np.asarray(outline * np.array([-1, 1], dtype=np.float32), dtype=np.float32)


def moved(outline: Outline, dx: float, dy: float) -> Outline:
    """The outline shifted by (dx, dy) pixels."""
    return np.asarray(outline + np.array([dx, dy], dtype=np.float32), dtype=np.float32)


def turned(outline: Outline, degrees: float, centre: tuple[float, float]) -> Outline:
    """The outline turned clockwise on the screen by `degrees` about `centre`."""
    a = np.deg2rad(degrees)
    turn = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]], dtype=np.float32)
    pivot = np.array(centre, dtype=np.float32)
    return np.asarray((outline - pivot) @ turn + pivot, dtype=np.float32)


def limb(centre: Sequence[Point], widths: Sequence[float]) -> Outline:
    """Outline of a band along a centre line: sleeves, legs, straps, handles.

    Args:
        centre: points of the centre line.
        widths: full width in pixels at evenly spaced places along it, at least two.

    Returns:
        Closed polygon with straight ends.
    """
    line = curve(centre)
    along = np.gradient(line, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    place = np.linspace(0, len(widths) - 1, len(line))
    half = np.interp(place, np.arange(len(widths)), np.asarray(widths))[:, None] / 2
    return np.concatenate([line + normal * half, (line - normal * half)[::-1]]).astype(np.float32)


def ellipse(x: float, y: float, rx: float, ry: float, degrees: float = 0.0) -> Outline:
    """Ellipse about (x, y) with half axes `rx`, `ry`, turned by `degrees`."""
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    ring = np.stack([x + rx * np.cos(t), y + ry * np.sin(t)], axis=1).astype(np.float32)
    return turned(ring, degrees, (x, y)) if degrees else ring


def box(x0: float, y0: float, x1: float, y1: float, radius: float = 0.0) -> Outline:
    """Rectangle from (x0, y0) to (x1, y1) with corners rounded by `radius` pixels."""
    if radius <= 0:
        return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], dtype=np.float32)
    r = min(radius, (x1 - x0) / 2, (y1 - y0) / 2)
    t = np.linspace(0, np.pi / 2, 7)
    corner = np.stack([np.cos(t), np.sin(t)], axis=1) * r
    quarters = []
    for k, (cx, cy) in enumerate([(x1 - r, y1 - r), (x0 + r, y1 - r), (x0 + r, y0 + r), (x1 - r, y0 + r)]):
        c, s = np.cos(k * np.pi / 2), np.sin(k * np.pi / 2)
        quarters.append(corner @ np.array([[c, s], [-s, c]]) + (cx, cy))
    return np.concatenate(quarters).astype(np.float32)


def dashes(line: Outline, on: float = 4.0, off: float = 3.0) -> list[Outline]:
    """Cut a polyline into stitches `on` pixels long with `off` pixels between them."""
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    starts = np.arange(0.0, max(length[-1] - on, 0.0), on + off)
    ends = np.stack([starts, starts + on])
    x, y = np.interp(ends, length, line[:, 0]), np.interp(ends, length, line[:, 1])
    return [np.array([(x[0, i], y[0, i]), (x[1, i], y[1, i])], dtype=np.float32) for i in range(len(starts))]
