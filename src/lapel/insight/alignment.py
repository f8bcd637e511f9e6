"""Where one picture lies in another: cut, framed, mirrored, a little turned or bent.

Two squeezed grey pictures go in, an affine map comes out. First one picture's windows of many sizes and places are
compared with the whole of the other, both ways and mirrored; then the best place is refined (Lucas and Kanade 1981, "An
Iterative Image Registration Technique"; normalised as in Evangelidis and Psarakis 2008, "Parametric Image Alignment
Using Enhanced Correlation Coefficient Maximization"). Everything works on many pairs at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import csr_matrix

COARSE = 16  # pixels in which windows are looked for
WINDOW = 8  # samples along each side of a window
SCALES = (1.0, 0.87, 0.75, 0.64, 0.54, 0.46)  # of the shorter fit
STEP = 0.16  # of a window's side, between two places
RATIO_STEP = 0.15  # of the logarithm of two pictures' shapes: windows of nearly equal shape are shared
REFINED = 3  # places of a pair that may be refined
MIDDLE, MIDDLE_STEPS = 24, 5  # pixels of the first refinement, and its steps
PLAIN_STEPS = 3  # in which all pixels count: what is not in its place yet differs everywhere
MIDDLE_PATCH = 4  # pixels of the squares by which its places are judged
FLAT = 3.0  # grey levels: the deviation below which there is nothing to compare
COVERED = 16.0  # grey levels by which a pixel counts half: words and bars are further away
STRIDE = 0.1  # of a picture, the most that one step changes
LEAST_OVERLAP = 0.12  # of the first picture: below it anything fits anything

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Windows:
    """Where windows of one shape lie, in a picture's own coordinates of 0..1.

    Attributes:
        boxes: (w, 4) left, top, width, height.
        sampler: (w * 64, 256) sparse: a coarse picture -> its windows' samples.
    """

    boxes: Floats
    sampler: Any


@cache
def windows_of(step: int) -> Windows:
    """The windows with the shape of a picture whose width over height is ``exp(step * RATIO_STEP)`` times that of the
    picture they lie in."""
    ratio = float(np.exp(step * RATIO_STEP))
    width, height = min(1.0, ratio), min(1.0, 1 / ratio)
    boxes = []
    for scale in SCALES:
        w, h = width * scale, height * scale
        across, down = (1 + int(np.ceil((1 - each) / (STEP * each) - 1e-6)) for each in (w, h))
        boxes += [
            (x, y, w, h)
            for x in (np.linspace(0, 1 - w, across) if across > 1 else [(1 - w) / 2])
            for y in (np.linspace(0, 1 - h, down) if down > 1 else [(1 - h) / 2])
        ]
    found = np.array(boxes)
    steps = (np.arange(WINDOW) + 0.5) / WINDOW
    x = found[:, 0, None] + steps * found[:, 2, None]  # (w, 12)
    y = found[:, 1, None] + steps * found[:, 3, None]
    rows, columns, values = [], [], []
    for dy in (0, 1):
        for dx in (0, 1):
            px, wx = _corner(x, dx)
            py, wy = _corner(y, dy)
            columns.append((py[:, :, None] * COARSE + px[:, None, :]).ravel())
            values.append((wy[:, :, None] * wx[:, None, :]).ravel())
            rows.append(np.arange(len(found) * WINDOW * WINDOW))
    sampler = csr_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))),
        (len(found) * WINDOW * WINDOW, COARSE * COARSE),
        dtype=np.float32,
    )
    return Windows(found.astype(np.float32), sampler)


def _corner(at: NDArray[np.float64], which: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    place = np.clip(at * COARSE - 0.5, 0, COARSE - 1)
    low = np.minimum(place.astype(np.int64), COARSE - 2)
    share = place - low
    return low + which, share if which else 1 - share


def _normal(rows: Floats) -> Floats:
    """Each row less its mean, of length 1; rows without anything in them are 0."""
    rows = rows - rows.mean(axis=-1, keepdims=True)
    length = np.sqrt(np.einsum("...p,...p->...", rows, rows))[..., None]
    rows /= np.where(length < FLAT * rows.shape[-1] ** 0.5, np.inf, length)
    return np.asarray(rows, np.float32)


def roughly_aligned(
    mine: Floats, its: Floats, maps: Floats, mirrored: NDArray[np.bool_], tried: NDArray[np.bool_]
) -> tuple[Floats, NDArray[np.bool_], Floats]:
    """The best of some places (n, k, 2, 3), each refined on pictures of 24 pixels, and how well what is drawn agrees
    there, 0..1. Places are judged square by square, so that words over a part do not decide; those not ``tried`` (n, k)
    are left out."""
    one, other = (scaled(each, MIDDLE) for each in (mine, its))
    rows, places = np.nonzero(tried)
    seen = other[rows]
    flips = mirrored[rows, places]
    seen[flips] = seen[flips][:, :, ::-1]
    first = one[rows]
    made, _ = refined_maps(first, seen, maps[rows, places], MIDDLE_STEPS, places == REFINED - 1)
    laid, inside = sampled(seen, made)
    own, lengths = squares_agree(first, laid.reshape(first.shape), MIDDLE_PATCH)
    drawn = lengths.min(axis=0) * squares(inside.reshape(first.shape), MIDDLE_PATCH).all(axis=2)
    agree = (drawn * np.maximum(own, 0)).sum(axis=1)
    scores = np.full(tried.shape, -1, np.float32)
    scores[rows, places] = agree
    chosen = np.argmax(scores, axis=1)
    at = np.zeros(tried.shape, np.int64)
    at[rows, places] = np.arange(len(rows))
    at = at[np.arange(len(tried)), chosen]
    return made[at], flips[at], (agree / np.maximum(drawn.sum(axis=1), 1))[at]


def squares(field: NDArray[Any], size: int) -> NDArray[Any]:
    """(n, side, side) as (n, squares, size * size): the pixels of each square."""
    count = field.shape[1] // size
    made = field.reshape(-1, count, size, count, size).transpose(0, 1, 3, 2, 4)
    return made.reshape(-1, count * count, size * size)


def squares_agree(grey: Floats, other: Floats, size: int) -> tuple[Floats, Floats]:
    """The correlation within each square of two pictures (n, side, side), (n, squares), and how much there is in each:
    (2, n, squares) deviations."""
    a, b = (squares(each, size) for each in (grey, other))
    a, b = a - a.mean(axis=2, keepdims=True), b - b.mean(axis=2, keepdims=True)
    lengths = np.stack([np.sqrt(np.einsum("nsp,nsp->ns", each, each) / size**2) for each in (a, b)])
    return np.einsum("nsp,nsp->ns", a, b) / size**2 / np.maximum(lengths[0] * lengths[1], 1.0), lengths


def placed(
    first: Floats, second: Floats, ratios: NDArray[np.float64]
) -> tuple[Floats, Floats, NDArray[np.bool_], NDArray[np.bool_]]:
    """Where one picture lies in the other: the window that fits best, the best one elsewhere, and, of pictures of one
    shape, the whole on the whole, as words over a picture hide that it fits. Of each place (n, 3) the correlation, the
    map of the first into the second (n, 3, 2, 3), whether it is mirrored, and whether it is worth a try."""
    n = len(first)
    small = [scaled(each, COARSE) for each in (first, second)]
    whole = [_normal(scaled(each, WINDOW).reshape(n, -1)) for each in small]
    steps = np.round(np.log(ratios[:, 0] / ratios[:, 1]) / RATIO_STEP).astype(int).clip(-14, 14)
    coarse = np.zeros((n, REFINED), np.float32)
    maps = np.zeros((n, REFINED, 2, 3), np.float32)
    mirrored, tried = np.zeros((n, REFINED), np.bool_), np.ones((n, REFINED), np.bool_)
    for step in np.unique(steps):
        rows = np.flatnonzero(steps == step)
        scores, boxes = [], []
        # Windows of the second that show all of the first, and the other way round; each also mirrored.
        for inside, outer, inner in ((False, small[1], whole[0]), (True, small[0], whole[1])):
            made = windows_of(-int(step) if inside else int(step))
            flat = outer[rows].reshape(len(rows), -1).T
            cut = _normal((made.sampler @ flat).T.reshape(len(rows), len(made.boxes), -1))
            for flip in (False, True):
                asked = inner[rows].reshape(-1, WINDOW, WINDOW)[:, :, :: -1 if flip else 1].reshape(len(rows), -1)
                scores.append(np.einsum("nwp,np->nw", cut, asked))
                boxes.append(_maps(made.boxes, inside, flip))
        found, at = np.concatenate(scores, axis=1), np.concatenate(boxes)
        flips = np.concatenate([np.full(each.shape[1], bool(place % 2)) for place, each in enumerate(scores)])
        order = np.argsort(-found, axis=1)
        chosen = order[:, 0]
        coarse[rows, 0], maps[rows, 0] = found[np.arange(len(rows)), chosen], at[chosen]
        mirrored[rows, 0] = flips[chosen]
        # The second is one that lies elsewhere: neighbours of the first would be refined to the same place.
        away = np.abs(at[None] - at[chosen][:, None]).max(axis=(2, 3)) > 0.15
        away |= flips[None] != flips[chosen][:, None]
        other = np.argmax(np.where(away, found, -2), axis=1)
        coarse[rows, 1], maps[rows, 1] = found[np.arange(len(rows)), other], at[other]
        mirrored[rows, 1] = flips[other]
        tried[rows, 2] = step == 0
        if step == 0:  # the first window is the whole
            whole_at = np.array([0, scores[0].shape[1]])  # as it is, and mirrored
            best = whole_at[np.argmax(found[:, whole_at], axis=1)]
            coarse[rows, 2], maps[rows, 2], mirrored[rows, 2] = found[np.arange(len(rows)), best], at[best], flips[best]
            tried[rows, 2] = (best != chosen) & (best != other)
    return coarse, maps, mirrored, tried


def _maps(boxes: Floats, inside: bool, flip: bool) -> Floats:
    """(w, 2, 3) maps of the first picture into the second, which is mirrored before where ``flip`` says so."""
    left, top, width, height = boxes.T
    made = np.zeros((len(boxes), 2, 3), np.float32)
    if inside:  # the second, whole, lies in a window of the first: x2 = (x1 - left) / width
        made[:, 0, 0], made[:, 1, 1] = 1 / width, 1 / height
        made[:, 0, 2], made[:, 1, 2] = -left / width, -top / height
        # Mirrored: the samples were compared with the mirrored second, in which coordinates are the same.
    else:  # the first, whole, lies in a window of the second: x2 = left + x1 * width
        at = 1 - left - width if flip else left  # in the mirrored second
        made[:, 0, 0], made[:, 1, 1] = width, height
        made[:, 0, 2], made[:, 1, 2] = at, top
    return made


@cache
def _axis(side: int) -> Floats:
    """(side,): the middle of each pixel in 0..1."""
    return ((np.arange(side) + 0.5) / side).astype(np.float32)


@cache
def _powers(side: int) -> Floats:
    """(side, 3): 1, the middle of each pixel, and its square."""
    return np.stack([_axis(side) ** power for power in range(3)], axis=1)


def _moments(fields: Floats) -> Floats:
    """(..., 3, 3) of fields (..., side, side): sums of each times y to the power of the row, x to that of the column.

    small product a field: for large ones BLAS starts threads, which wait for each other longer than they work."""
    powers = _powers(fields.shape[-1])
    return np.asarray(powers.T @ (fields @ powers), np.float32)


# Where the moments of x, y and 1 stand, and those of their products with each other.
_FIRST = np.array([0, 1, 0]), np.array([1, 0, 0])
_SECOND = np.array([[0, 1, 0], [1, 2, 1], [0, 1, 0]]), np.array([[2, 1, 1], [1, 0, 0], [1, 0, 0]])


def sampled(pictures: Floats, maps: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Pictures (n, side, side) or (n, side, side, c) read where maps lead from the grid: (n, p) or (n, p, c), and what
    lies inside, (n, p)."""
    n, side, _, *channels = pictures.shape
    axis = _axis(side) * side
    shift = maps[:, :, 2] * side
    at = maps[:, :, None, :1] * axis + (maps[:, :, 1:2] * axis + shift[:, :, None])[..., None]  # (n, 2, side, side)
    at = at.reshape(n, 2, side * side)
    inside = np.asarray(((at > 0) & (at < side)).all(axis=1), np.bool_)
    at -= 0.5
    np.clip(at, 0, side - 1.001, out=at)
    low = at.astype(np.int32)
    at -= low
    flat = pictures.reshape(-1, *channels)
    start = low[:, 1] * side + low[:, 0]
    start += (np.arange(n, dtype=np.int32) * side * side)[:, None]
    x, y = (each[..., None] if channels else each for each in (at[:, 0], at[:, 1]))
    corners = [flat.take(start + step, axis=0) for step in (0, 1, side, side + 1)]
    above = corners[0] + (corners[1] - corners[0]) * x
    below = corners[2] + (corners[3] - corners[2]) * x
    return above + (below - above) * y, inside


def refined_maps(
    first: Floats, second: Floats, maps: Floats, steps: int, near: NDArray[np.bool_] | bool = True
) -> tuple[Floats, Floats]:
    """Maps that lay the second picture on the first as well as an affine map can, and the correlation there.

    Gauss-Newton steps of the inverse kind: the first picture's slopes serve for all of them (Baker and Matthews 2004,
    "Lucas-Kanade 20 Years On"). What differs much counts little, as something may cover it: after three steps, or from
    the first on where the map is ``near`` already (n,). The best of the way is kept.
    """
    n, side = len(first), first.shape[1]
    gy, gx = (each.reshape(n, -1) * side for each in np.gradient(first, axis=(1, 2)))
    level = first.mean(axis=(1, 2), keepdims=True)  # sums of squares keep more figures about it
    one, second = (first - level).reshape(n, -1), second - level
    maps, kept, score = maps.copy(), maps.copy(), np.full(n, -2, np.float32)
    last = np.array([0, 0, 1], np.float32)
    fields = np.empty((7, n, side * side), np.float32)
    settled, trust = np.broadcast_to(near, n)[:, None], np.ones((n, 1), np.float32)
    for step in range(steps + 1):
        seen, inside = sampled(second, maps)
        for again in (False, True) if step == 0 and settled.any() else (True,):
            weight = inside * trust
            count = np.maximum(weight.sum(axis=1), 1)
            means, squared, product = _weighted(one, seen, weight, count)
            scale = product / np.maximum(squared[1], 1e-3)
            rest = seen * scale[:, None] - one + (means[0] - scale * means[1])[:, None]
            if not again:
                trust = np.where(settled, _trust(rest), trust)
        found = product / np.maximum(np.sqrt(squared[0]) * np.sqrt(squared[1]), 1e-3)
        found = np.where(inside.sum(axis=1) < LEAST_OVERLAP * side * side, -1, found)
        better = found > score
        kept[better], score = maps[better], np.maximum(score, found)
        if step == steps:
            break
        trust = np.where(settled | (step >= PLAIN_STEPS), _trust(rest), trust)
        wx, wy = np.multiply(gx, weight, out=fields[3]), np.multiply(gy, weight, out=fields[4])
        for place, (left, right) in enumerate(((gx, wx), (gx, wy), (gy, wy))):
            np.multiply(left, right, out=fields[place])
        for place, each in enumerate((wx, wy), 5):
            np.multiply(each, rest, out=fields[place])
        moments = _moments(fields.reshape(7, n, side, side))
        normal = moments[[[0, 1], [1, 2]]][..., _SECOND[0], _SECOND[1]].transpose(2, 0, 3, 1, 4).reshape(n, 6, 6)
        mean, asked = (
            moments[pair][..., _FIRST[0], _FIRST[1]].transpose(1, 0, 2).reshape(n, 6)
            for pair in (slice(3, 5), slice(5, 7))
        )
        normal -= mean[:, :, None] * mean[:, None] / count[:, None, None]
        normal += np.eye(6, dtype=np.float32) * (1e-3 * np.trace(normal, axis1=1, axis2=2)[:, None, None] / 6 + 1)
        change = np.linalg.solve(normal, asked[..., None]).reshape(n, 2, 3).clip(-STRIDE, STRIDE)
        whole = np.concatenate([change + np.eye(2, 3, dtype=np.float32), np.broadcast_to(last, (n, 1, 3))], axis=1)
        maps = np.asarray(maps @ np.linalg.inv(whole), np.float32)
    return kept, score.astype(np.float32)


def _trust(rest: Floats) -> Floats:
    """How much pixels count that differ so much."""
    return np.asarray(1 / (1 + np.square(rest / COVERED)), np.float32)


def _weighted(
    one: Floats, other: Floats, weight: Floats, count: Floats
) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats], Floats]:
    """Of rows (n, p) with weights of 0..1: the means, and about these the sums of squares and of products, (n,)
    each."""
    seen = one * weight, other * weight
    means = [each.sum(axis=1) / count for each in seen]
    squares = [
        np.maximum(np.einsum("np,np->n", each, plain) - mean * mean * count, 0)
        for each, plain, mean in zip(seen, (one, other), means, strict=True)
    ]
    product = np.einsum("np,np->n", seen[0], other) - means[0] * means[1] * count
    return (means[0], means[1]), (squares[0], squares[1]), product


def scaled(pictures: Floats, side: int) -> Floats:
    """Squares to a whole part of their side."""
    by = pictures.shape[1] // side
    rows = pictures.reshape(len(pictures), side, by, -1).sum(axis=2)
    return np.asarray(sum(rows[:, :, at::by] for at in range(by)) / by**2, np.float32)


def blurred(pictures: Floats, sigma: float) -> Floats:
    """Pictures (n, side, side) blurred by some pixels."""
    once = gaussian_filter1d(pictures, sigma, axis=1, mode="nearest", truncate=2.5)
    return np.asarray(gaussian_filter1d(once, sigma, axis=2, mode="nearest", truncate=2.5), np.float32)


def _centred(values: Floats, weight: Floats, count: Floats) -> Floats:
    return np.asarray((values - (values * weight).sum(axis=1, keepdims=True) / count) * weight, np.float32)


def correlation(a: Floats, b: Floats, weight: Floats) -> Floats:
    """(n,) of rows (n, p), each place weighted by 0..1."""
    count = np.maximum(weight.sum(axis=1, keepdims=True), 1)
    a, b = _centred(a, weight, count), _centred(b, weight, count)
    return np.asarray(
        (a * b).sum(axis=1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-3), np.float32
    )
