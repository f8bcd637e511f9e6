"""The check of a pair: is one picture made of the other, whatever was cut, framed, mirrored, lit or written over?

Two small pictures go in, :data:`MEASURES` come out, and of those the chance that they are copies. First one picture's
windows of many sizes and places are compared with the whole of the other, both ways and mirrored, which finds where one
lies in the other; then the place is refined to an affine map (Lucas and Kanade 1981, "An Iterative Image Registration
Technique"; normalised as in Evangelidis and Psarakis 2008, "Parametric Image Alignment Using Enhanced Correlation
Coefficient Maximization"). Where both lie on each other, copies agree in every fold of the cloth; two products that
look alike do not. Colours are compared after one gain for each channel, as light and a white balance change them:
another colour of the same product is not explained by it.

Everything works on many pairs at once; nothing is kept between calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import csr_matrix
from scipy.special import expit

SIDE = 48  # pixels of a small picture: what a shop's thumbnail of 60 x 80 shows
COARSE = 16  # pixels in which windows are looked for
WINDOW = 8  # samples along each side of a window
SCALES = (1.0, 0.87, 0.75, 0.64, 0.54, 0.46)  # of the shorter fit
STEP = 0.16  # of a window's side, between two places
RATIO_STEP = 0.15  # of the logarithm of two pictures' shapes: windows of nearly equal shape are shared
REFINED = 2  # places of a pair that are refined
MIDDLE, MIDDLE_STEPS = 24, 5  # pixels of the first refinement, and its steps
FINE_BLUR, FINE_STEPS = 0.6, 3  # pixels, and steps of the second
FLAT = 3.0  # grey levels: the deviation below which there is nothing to compare
TEXTURED, FEW_SQUARES = 4.0, 5  # grey levels: the deviation of a square with something in it; and squares that tell
FITS = 0.985  # correlation from which on no other place is tried
LEAST_FINE = 0.4  # correlation of what is fine, below which no finer look is worth it
STRIDE = 0.1  # of a picture, the most that one step changes
LEAST_COARSE = 0.62  # of the best window: below it one picture does not lie in the other
LEAST_OVERLAP = 0.12  # of the first picture: below it anything fits anything
PATCH = 6  # pixels: folds, seams and letters are compared within such squares
AGREES = 0.8  # correlation of a square from which on both show the same drawing there
PART = 0.15  # of the squares that agree: so much in another colour is another colour of the product
GAMMAS = (0.7, 0.84, 1.0, 1.19, 1.43)  # what light and editors do to a picture,
MOST_GAIN, MOST_BALANCE = 1.5, 1.12  # its brightness, and each channel beside the others
DYED_HALF, DYED_PART = 3.0, 4.0  # of these measures: twice what light leaves; beyond, no pair is surer than a half
FITTED = 3  # every third pixel tells which light it is
OTHER = 90  # grey levels, of three channels: a pixel that is so far away shows something else
WHITE = 244  # of 255: from which on more light may have been cut off
NET = Path(__file__).with_name("copy_chance.npz")
VERSION = "3"  # changes when the same pair gives other figures

MEASURES = (
    "coarse",  # correlation of the window that fitted best
    "grey",  # correlation of the lightness where both lie on each other
    "detail",  # correlation of what is finer than 4 pixels
    "patch_half",  # the median correlation of squares, of those with something in them in the picture that has less
    "patch_low",  # the lower quarter
    "patch_good",  # share of those squares whose correlation is above .8
    "patch_least",  # the tenth from below
    "patch_both",  # share above .8 of the squares with something in either picture
    "overlap",  # share of the smaller picture that lies on the other
    "colour",  # what no light explains: the mean distance of the colours / 10 levels
    "colour_half",  # the median of that distance: a little text over a picture leaves it
    "colour_part",  # the distance that 15 % of the squares with the same drawing reach: a part that is dyed
    "gain",  # spread of the three gains' logarithms
    "rest",  # what light does not explain of the lightness: the mean distance, / 20 grey levels
    "rest_half",  # the median of that distance
    "rest_part",  # the distance that 15 % of the squares with the same drawing reach
    "texture",  # how much there is to compare: mean deviation within the squares, / 20 grey levels
    "bend",  # how far the map is from scaling alone
)

NEAR_ONE = {"grey": 1.003, "detail": 1.01, "patch_half": 1.01, "patch_low": 1.01, "patch_least": 1.02}
NEAR_NOTHING = {
    "colour": 0.2, "colour_half": 0.1, "colour_part": 0.1, "gain": 0.02, "rest": 0.05, "rest_half": 0.05,
    "rest_part": 0.1, "texture": 0.1, "bend": 0.02,
}  # fmt: skip

Floats = NDArray[np.float32]
Squares = NDArray[np.uint8]  # (n, SIDE, SIDE, 3)


def square(image: Image.Image) -> tuple[Squares, float]:
    """An upright RGB image as (48, 48, 3) uint8, squeezed, and its width over its height."""
    small = image.convert("RGB").resize(
        (SIDE, SIDE), Image.Resampling.BOX if min(image.size) > 2 * SIDE else Image.Resampling.LANCZOS, reducing_gap=2.0
    )
    return np.asarray(small), image.width / image.height


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


@dataclass(frozen=True)
class Compared:
    """What a check found, of n pairs.

    Attributes:
        measures: (n, 18) float32, see :data:`MEASURES`.
        maps: (n, 2, 3) float32: coordinates of 0..1 of the first picture -> those of the second.
        mirrored: (n,) bool.
    """

    measures: Floats
    maps: Floats
    mirrored: NDArray[np.bool_]


def compare(first: Squares, second: Squares, ratios: NDArray[np.float64]) -> Compared:
    """Compare n pairs of small pictures.

    Args:
        first: (n, 48, 48, 3) uint8.
        second: (n, 48, 48, 3) uint8.
        ratios: (n, 2) their widths over heights.

    Returns:
        What was found. Where no window of one fits the other, or nothing fine agrees, all but the first measure are 0.
    """
    mine, its = (_grey(each) for each in (first, second))
    coarse, maps, mirrored = _placed(mine, its, ratios)
    found = Compared(np.zeros((len(first), len(MEASURES)), np.float32), maps[:, 0].copy(), mirrored[:, 0].copy())
    found.measures[:, 0] = coarse[:, 0]
    rows = np.flatnonzero(coarse[:, 0] >= LEAST_COARSE)
    if not len(rows):
        return found
    first, second, mine, its, ratios = first[rows], second[rows], mine[rows], its[rows], ratios[rows]
    refined, flipped, fits = _roughly(mine, its, maps[rows], mirrored[rows])
    found.maps[rows], found.mirrored[rows] = refined, flipped
    kept = np.flatnonzero(fits >= LEAST_FINE)
    if not len(kept):
        return found
    first, second, mine, its, ratios = first[kept], second[kept], mine[kept], its[kept], ratios[kept]
    rows, refined, flipped = rows[kept], refined[kept], flipped[kept]
    other = np.where(flipped[:, None, None], its[:, :, ::-1], its)
    refined, _ = _refined(_blurred(mine, FINE_BLUR), _blurred(other, FINE_BLUR), refined, FINE_STEPS)
    colours = np.where(flipped[:, None, None, None], second[:, :, ::-1], second)
    measures = _measured(first, colours, mine, other, refined, ratios)
    measures[:, 0] = coarse[rows, 0]
    found.measures[rows], found.maps[rows] = measures, refined
    return found


def alike_as_they_lie(first: Squares, second: Squares) -> Floats:
    """(n,) the correlation of what is fine in two pictures that are laid on each other whole, or one mirrored: a cheap
    look at what hashes found."""
    one, other = (_scaled(_grey(each), MIDDLE) for each in (first, second))
    one, other = one - _blurred(one, 1.5), other - _blurred(other, 1.5)
    every = np.ones((len(one), MIDDLE * MIDDLE), np.float32)
    found = [
        _correlation(one.reshape(len(one), -1), each.reshape(len(one), -1), every)
        for each in (other, other[:, :, ::-1])
    ]
    return np.maximum(*found)


def _roughly(
    mine: Floats, its: Floats, maps: Floats, mirrored: NDArray[np.bool_]
) -> tuple[Floats, NDArray[np.bool_], Floats]:
    """The better of two places, refined on pictures of 24 pixels, and the correlation of what is fine in them there.
    The second place is only tried where the first does not fit well."""
    one, other = (_scaled(each, MIDDLE) for each in (mine, its))
    best = maps[:, 0].copy()
    flipped = mirrored[:, 0].copy()
    scores = np.full(len(maps), -2, np.float32)
    for place in range(maps.shape[1]):
        rows = np.flatnonzero(scores < FITS)
        if not len(rows):
            break
        flip = mirrored[rows, place]
        seen = np.where(flip[:, None, None], other[rows, :, ::-1], other[rows])
        made, score = _refined(one[rows], seen, maps[rows, place], MIDDLE_STEPS)
        won = score > scores[rows]
        best[rows[won]], scores[rows[won]], flipped[rows[won]] = made[won], score[won], flip[won]
    seen = np.where(flipped[:, None, None], other[:, :, ::-1], other)
    laid, inside = _sample(seen[..., None], best)
    fine = [each - _blurred(each, 1.2) for each in (one, laid[..., 0].reshape(one.shape))]
    return (
        best,
        flipped,
        _correlation(fine[0].reshape(len(one), -1), fine[1].reshape(len(one), -1), inside.astype(np.float32)),
    )


def _grey(pictures: Squares) -> Floats:
    return np.asarray(pictures @ np.array([0.299, 0.587, 0.114], np.float32), np.float32)


def _placed(first: Floats, second: Floats, ratios: NDArray[np.float64]) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Where one picture lies in the other: the windows that fit best, as maps of the first into the second."""
    n = len(first)
    small = [_scaled(each, COARSE) for each in (first, second)]
    whole = [_normal(_scaled(each, WINDOW).reshape(n, -1)) for each in small]
    steps = np.round(np.log(ratios[:, 0] / ratios[:, 1]) / RATIO_STEP).astype(int).clip(-14, 14)
    coarse = np.zeros((n, REFINED), np.float32)
    maps = np.zeros((n, REFINED, 2, 3), np.float32)
    mirrored = np.zeros((n, REFINED), np.bool_)
    for step in np.unique(steps):
        rows = np.flatnonzero(steps == step)
        scores, boxes = [], []
        # Windows of the second that show all of the first, and the other way round; each also mirrored.
        for inside, outer, inner in ((False, small[1], whole[0]), (True, small[0], whole[1])):
            made = windows_of(-int(step) if inside else int(step))
            flat = outer[rows].reshape(len(rows), -1).T
            cut = _normal((made.sampler @ flat).T.reshape(len(rows), len(made.boxes), -1))
            for flip in (False, True):
                asked = inner[rows].reshape(-1, WINDOW, WINDOW)[:, :, :: -1 if flip else 1].reshape(len(rows), -1, 1)
                scores.append((cut @ asked)[..., 0])
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
    return coarse, maps, mirrored


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
def _grid(side: int) -> Floats:
    """(3, side * side): x, y and 1 of each pixel's middle, in 0..1."""
    axis = ((np.arange(side) + 0.5) / side).astype(np.float32)
    x, y = (each.ravel() for each in np.meshgrid(axis, axis))
    return np.stack([x, y, np.ones_like(x)])


@cache
def _products(side: int) -> Floats:
    """(side * side, 9): the products of each pixel's x, y and 1 with each other."""
    grid = _grid(side)
    return np.ascontiguousarray((grid[:, None] * grid[None]).reshape(9, -1).T)


def _sample(pictures: Floats, maps: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Pictures (n, side, side, c) read where maps lead from the grid: (n, p, c), and what lies inside, (n, p)."""
    n, side, channels = len(pictures), pictures.shape[1], pictures.shape[-1]
    at = maps @ _grid(side)  # (n, 2, p)
    inside = np.asarray(((at > 0) & (at < 1)).all(axis=1), np.bool_)
    at = np.clip(at * side - 0.5, 0, side - 1.001)
    low = at.astype(np.int32)
    share = (at - low)[..., None]
    flat = pictures.reshape(-1, channels)
    start = (np.arange(n, dtype=np.int32) * side * side)[:, None] + low[:, 1] * side + low[:, 0]
    x, y = share[:, 0], share[:, 1]
    corners = [flat.take(start + step, axis=0) for step in (0, 1, side, side + 1)]
    above = corners[0] + (corners[1] - corners[0]) * x
    below = corners[2] + (corners[3] - corners[2]) * x
    return above + (below - above) * y, inside


def _refined(first: Floats, second: Floats, maps: Floats, steps: int) -> tuple[Floats, Floats]:
    """Maps that lay the second picture on the first as well as an affine map can, and the correlation there.

    Gauss-Newton steps of the inverse kind: the first picture's slopes serve for all of them (Baker and Matthews 2004,
    "Lucas-Kanade 20 Years On"). The best of the way is kept.
    """
    n, side = len(first), first.shape[1]
    points, products = _grid(side).T, _products(side)
    gy, gx = (each.reshape(n, -1) * side for each in np.gradient(first, axis=(1, 2)))
    one = first.reshape(n, -1)
    maps, kept, score = maps.copy(), maps.copy(), np.full(n, -2, np.float32)
    last = np.array([0, 0, 1], np.float32)
    for step in range(steps + 1):
        seen, inside = _sample(second[..., None], maps)
        weight = inside.astype(np.float32)
        count = np.maximum(weight.sum(axis=1, keepdims=True), 1)
        a, b = _centred(one, weight, count), _centred(seen[..., 0], weight, count)
        found = (a * b).sum(axis=1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-3)
        found = np.where(count[:, 0] < LEAST_OVERLAP * side * side, -1, found)
        better = found > score
        kept[better], score = maps[better], np.maximum(score, found)
        if step == steps:
            break
        rest = b * ((a * b).sum(axis=1, keepdims=True) / np.maximum((b * b).sum(axis=1, keepdims=True), 1e-3)) - a
        wx, wy = gx * weight, gy * weight
        blocks = [((left * right) @ products).reshape(n, 3, 3) for left, right in ((gx, wx), (gx, wy), (gy, wy))]
        normal = np.block([[blocks[0], blocks[1]], [blocks[1], blocks[2]]])
        mean = np.concatenate([wx @ points, wy @ points], axis=1)
        normal -= mean[:, :, None] * mean[:, None] / count[:, :, None]
        normal += np.eye(6, dtype=np.float32) * (1e-3 * np.trace(normal, axis1=1, axis2=2)[:, None, None] / 6 + 1)
        asked = np.concatenate([(wx * rest) @ points, (wy * rest) @ points], axis=1)
        change = np.linalg.solve(normal, asked[..., None]).reshape(n, 2, 3).clip(-STRIDE, STRIDE)
        whole = np.concatenate([change + np.eye(2, 3, dtype=np.float32), np.broadcast_to(last, (n, 1, 3))], axis=1)
        maps = np.asarray(maps @ np.linalg.inv(whole), np.float32)
    return kept, score.astype(np.float32)


def _scaled(pictures: Floats, side: int) -> Floats:
    """Squares to a whole part of their side."""
    by = pictures.shape[1] // side
    return np.asarray(pictures.reshape(len(pictures), side, by, side, by).mean(axis=(2, 4)), np.float32)


def _blurred(pictures: Floats, sigma: float) -> Floats:
    once = gaussian_filter1d(pictures, sigma, axis=1, mode="nearest", truncate=2.5)
    return np.asarray(gaussian_filter1d(once, sigma, axis=2, mode="nearest", truncate=2.5), np.float32)


def _centred(values: Floats, weight: Floats, count: Floats) -> Floats:
    return np.asarray((values - (values * weight).sum(axis=1, keepdims=True) / count) * weight, np.float32)


def _correlation(a: Floats, b: Floats, weight: Floats) -> Floats:
    count = np.maximum(weight.sum(axis=1, keepdims=True), 1)
    a, b = _centred(a, weight, count), _centred(b, weight, count)
    return np.asarray(
        (a * b).sum(axis=1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-3), np.float32
    )


def _measured(
    first: Squares, second: Squares, grey: Floats, other: Floats, maps: Floats, ratios: NDArray[np.float64]
) -> Floats:
    """(n, 18): what two pictures have in common where the map lays them on each other."""
    n = len(first)
    seen, inside = _sample(np.concatenate([second.astype(np.float32), other[..., None]], axis=3), maps)
    weight = inside.astype(np.float32)
    mine, its = grey.reshape(n, -1), seen[..., 3]
    fine = [each - _blurred(each, 1.5) for each in (grey, its.reshape(n, SIDE, SIDE))]
    detail = _correlation(fine[0].reshape(n, -1), fine[1].reshape(n, -1), _eroded(inside))
    patches, texture, agreeing = _patches(grey, its.reshape(n, SIDE, SIDE), inside)
    area = np.abs(maps[:, 0, 0] * maps[:, 1, 1] - maps[:, 0, 1] * maps[:, 1, 0])
    share = weight.mean(axis=1)
    overlap = np.maximum(share, np.minimum(share * area, 1))
    colours = _colours(first.reshape(n, -1, 3).astype(np.float32), seen[..., :3], weight, agreeing)
    lengths = np.hypot(maps[:, 0, 0], maps[:, 1, 0]), np.hypot(maps[:, 0, 1], maps[:, 1, 1])
    shape = np.log(np.maximum(lengths[0], 1e-3) / np.maximum(lengths[1], 1e-3) * ratios[:, 1] / ratios[:, 0])
    bend = np.abs(shape) + np.abs(maps[:, 0, 1]) + np.abs(maps[:, 1, 0])
    measures = [
        np.zeros(n),
        _correlation(mine, its, weight),
        detail,
        *patches,
        overlap,
        *colours,
        texture,
    ]
    return np.stack([*measures, bend], axis=1).astype(np.float32)


def _eroded(inside: NDArray[np.bool_]) -> Floats:
    field = inside.reshape(-1, SIDE, SIDE)
    made = field.copy()
    made[:, 2:] &= field[:, :-2]
    made[:, :-2] &= field[:, 2:]
    made[:, :, 2:] &= field[:, :, :-2]
    made[:, :, :-2] &= field[:, :, 2:]
    return made.reshape(len(inside), -1).astype(np.float32)


def _squares(field: NDArray[Any]) -> NDArray[Any]:
    """(n, 48, 48) as (n, 64, 36): the pixels of each square."""
    count = SIDE // PATCH
    made = field.reshape(-1, count, PATCH, count, PATCH).transpose(0, 1, 3, 2, 4)
    return made.reshape(-1, count * count, PATCH * PATCH)


def _patches(grey: Floats, other: Floats, inside: NDArray[np.bool_]) -> tuple[list[Floats], Floats, NDArray[np.bool_]]:
    """Median, lower quarter and share above .8 of the correlation within squares, how much there is in them, and in
    which of them, (n, 64), both show the same drawing."""
    n, count = len(grey), SIDE // PATCH
    a, b = (_squares(each) for each in (grey, other))
    a, b = a - a.mean(axis=2, keepdims=True), b - b.mean(axis=2, keepdims=True)
    lengths = np.sqrt((a * a).mean(axis=2)), np.sqrt((b * b).mean(axis=2))
    own = (a * b).mean(axis=2) / np.maximum(lengths[0] * lengths[1], 1.0)
    seen = _squares(inside.reshape(n, SIDE, SIDE)).all(axis=2)
    # Words over a plain part are in one picture alone: what the other shows is judged by itself, of both the better.
    sides = [_of_squares(own, seen & (each > TEXTURED)) for each in lengths]
    better = (sides[1][:, 0] > sides[0][:, 0]) & (sides[1][:, 4] >= FEW_SQUARES) | (sides[0][:, 4] < FEW_SQUARES)
    told = np.where(better[:, None], sides[1], sides[0])
    either = _of_squares(own, seen & (np.maximum(*lengths) > TEXTURED))
    agreeing = seen & ((own > AGREES) | (np.maximum(*lengths) <= TEXTURED))
    texture = np.where(seen, np.minimum(*lengths), 0).sum(axis=1) / (count * count) / 20
    return [*told[:, :4].T, either[:, 2]], texture.astype(np.float32), np.asarray(agreeing, np.bool_)


def _of_squares(own: Floats, used: NDArray[np.bool_]) -> Floats:
    """(n, 5) of the squares that are used: the median and lower quarter of their correlation, the share above .8, the
    tenth from below, and how many they are."""
    number = used.sum(axis=1)
    ranked = np.sort(np.where(used, own, 2), axis=1)
    rows = np.arange(len(own))
    half, low, least = (ranked[rows, (number * share).astype(int)] for share in (0.5, 0.25, 0.1))
    good = ((own > AGREES) & used).sum(axis=1) / np.maximum(number, 1)
    made = np.stack([half, low, good, least, number], axis=1)
    return np.asarray(np.where(number[:, None] > 0, made, 0), np.float32)


def _colours(
    first: Floats, second: Floats, weight: Floats, agreeing: NDArray[np.bool_]
) -> tuple[Floats, Floats, Floats, Floats, Floats, Floats, Floats]:
    """How far colours and lightness are apart once what light can explain is taken away: of colours the mean, the
    median, and that of a part of what agrees; how unlike the channels' gains are; and of lightness the same three."""
    lit, gains = _lit(first, second, weight)
    own, grey = first.mean(axis=2), lit.mean(axis=2)
    chroma = np.abs((first - own[..., None]) - (lit - grey[..., None])).sum(axis=2)
    lightness = np.abs(own - grey)
    # White around a product agrees whatever the product's colour is: what is not white counts.
    inked = weight * ((own < 235) | (second.mean(axis=2) < 235))
    count = np.maximum(inked.sum(axis=1), 1)
    told = []
    for apart, unit in ((chroma, 10), (lightness, 20)):
        middle = np.sort(np.where(inked > 0, apart, np.inf), axis=1)[np.arange(len(own)), (count / 2).astype(int)]
        half = np.where(inked.any(axis=1), middle, 0)
        mean, part = (apart * inked).sum(axis=1) / count, _part_apart(apart, inked, agreeing)
        told.append([mean / unit, half / unit, part / unit])
    logs = np.log(gains)
    spread = logs.max(axis=1) - logs.min(axis=1)
    every = *told[0], spread, *told[1]
    return tuple(np.asarray(each, np.float32) for each in every)  # type: ignore[return-value]


def _lit(first: Floats, second: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """The second picture (n, p, 3) in the first one's light, as far as a gamma, a brightness and a white balance within
    what cameras and editors do can bring it there, and the gains (n, 3). What that makes brighter than white is white,
    so gains are sought with and without the pixels that are white already; dye is not explained by either."""
    one, other, here = first[:, ::FITTED], second[:, ::FITTED], weight[:, ::FITTED]
    dark = here * ((one.max(axis=2) < WHITE) & (other.max(axis=2) < WHITE))
    best = np.full(len(first), np.inf, np.float32)
    gammas, gains = np.ones(len(first), np.float32), np.ones((len(first), 3), np.float32)
    for gamma in GAMMAS:
        bent = _bent(other, gamma)
        for each in (here, dark):
            w = each[..., None]
            gain = ((one + 1) * bent * w).sum(axis=1) / np.maximum((bent * bent * w).sum(axis=1), 1)
            middle = gain.mean(axis=1, keepdims=True).clip(1 / MOST_GAIN, MOST_GAIN)
            gain = gain.clip(middle / MOST_BALANCE, middle * MOST_BALANCE)
            made = np.minimum(bent * gain[:, None] - 1, 255)
            apart = (np.abs(made - one).sum(axis=2).clip(0, OTHER) * here).sum(axis=1)
            better = apart < best
            best[better], gammas[better], gains[better] = apart[better], gamma, gain[better]
    return np.minimum(_bent(second, gammas[:, None, None]) * gains[:, None] - 1, 255), gains


def _bent(pictures: Floats, gamma: float | Floats) -> Floats:
    return np.asarray(((pictures + 1) / 256) ** np.asarray(gamma, np.float32) * 256, np.float32)


def _part_apart(chroma: Floats, inked: Floats, agreeing: NDArray[np.bool_]) -> Floats:
    """(n,) the distance that 15 % of the squares with the same drawing reach or pass: a lid, a sole or a stripe of
    another colour. Letters over a picture are no part of its drawing, so they do not count."""
    distance, used = (_squares(each.reshape(-1, SIDE, SIDE)) for each in (chroma, inked))
    share = used.mean(axis=2)
    mean = (distance * used).sum(axis=2) / np.maximum(used.sum(axis=2), 1)
    good = agreeing & (share > 0.5)
    ranked = np.sort(np.where(good, mean, -1), axis=1)[:, ::-1]
    at = (good.sum(axis=1) * PART).astype(int)
    return np.asarray(np.maximum(ranked[np.arange(len(ranked)), at], 0), np.float32)


def figures_of(measures: Floats, cosines: Floats, margins: Floats, bits: NDArray[np.int32]) -> NDArray[np.float64]:
    """(n, 20) what the chance of a copy follows from: the measures as logarithms where nearness to 1 or 0 tells."""
    have = dict(zip(MEASURES, np.asarray(measures, np.float64).T, strict=True))
    columns = [np.log(room - have[name].clip(-1, 1)) for name, room in NEAR_ONE.items()]
    columns += [np.log(have[name] + room) for name, room in NEAR_NOTHING.items()]
    columns += [have[name] for name in ("patch_good", "patch_both", "overlap")]
    return np.column_stack([*columns, cosines, margins.clip(0, 0.25), (bits / 128).clip(0, 0.85)])


@cache
def _net() -> dict[str, NDArray[np.float64]]:
    """A hidden layer of 16, learned by ``benchmarks/duplicates.py --learn 120``: copies of 120 products among all
    of the real catalogue, products that no measurement takes."""
    with np.load(NET) as kept:
        return {name: kept[name].astype(np.float64) for name in kept.files}


def chance(measures: Floats, cosines: Floats, margins: Floats, bits: NDArray[np.int32]) -> NDArray[np.float64]:
    """How likely one picture of each pair is made of the other, 0..1.

    Args:
        measures: (n, 18), see :data:`MEASURES`.
        cosines: (n,) of their vectors.
        margins: (n,) of those above the mean of the neighbours.
        bits: (n,) in which their hashes differ.
    """
    net = _net()
    figures = (figures_of(measures, cosines, margins, bits) - net["mean"]) / net["spread"]
    hidden = np.maximum(figures @ net["hidden"] + net["hidden_bias"], 0)
    likely = expit(hidden @ net["out"] + net["out_bias"])
    half, part = (measures[:, MEASURES.index(name)] for name in ("colour_half", "colour_part"))
    likely = np.where((half > DYED_HALF) | (part > DYED_PART), likely / 2, likely)
    compared = measures[:, MEASURES.index("overlap")] > 0  # else the check stopped before it measured anything
    return np.where(compared, likely, 0.0)
