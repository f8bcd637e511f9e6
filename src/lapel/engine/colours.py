"""The colours of a query's image, and how well the colours of photos agree with them.

An image goes in, with the product that was cut out of it; a distribution over CIELAB comes out (:func:`read_colours`).
It is a histogram over a regular grid of cells, smoothed, as neighbouring colours are nearly the same to people. Pixels
in the middle of the product count most, and those of colours that the image's edge has too count little: what is left
of a floor around the product lies at its rim and looks like the floor.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from lapel.core.colours import NAMES, ColourReading, LaterReading, NamedColour, name_shares, to_lab, to_rgb
from lapel.core.images import Pixels

SIDE = 64  # pixels of the longer side that is looked at
CELL = 10.0  # CIELAB: width of a cell; 2.3 is just noticeable, and light changes more than that
GRID = (11, 26, 26)  # cells of L 0..100, and of a and b -130..120
CELLS = 11 * 26 * 26
ORIGIN = np.array([0.0, -130.0, -130.0])
READING_SIGMA = (0.5, 0.5, 0.5)  # cells: of a histogram
WHITE_LEVEL = 244  # of 255 steps: what is connected to the edge of a picture on white and as bright is background
RIM = 0.04  # share of the image's shorter side that is taken off the product's rim, where the floor shines through
MIN_LEFT = 0.3  # of the product, or nothing is taken off
EDGE = 0.06  # share of the image's sides that is taken for its edge
MIDDLE = 1.5  # how fast weights fall from the product's middle: exp(-MIDDLE / 2) at one standard deviation
EDGE_DOUBT = 3.0  # how much less a colour counts that the edge has as often as the product
MIN_PIXELS = 30  # with fewer of the product nothing is read
NAMED = 4  # colours that are told at most,
MIN_NAMED_SHARE = 0.08  # and the least share of one
SURE_AREA = 0.12  # share of the image that the product takes: with less, its colour is read from few pixels
CAST_RANGE = (8.0, 30.0)  # CIELAB chroma of the image's brightest part: neutral up to the first, unsure from the second

_LAST = np.array(GRID) - 1

Histogram = NDArray[np.float32]  # (11 * 26 * 26,), sums to 1


def cells_of(lab: NDArray[np.floating]) -> NDArray[np.int64]:
    """(..., 3) CIELAB -> (...) the number of each colour's cell."""
    at = np.minimum(np.maximum(np.rint((lab - ORIGIN) / CELL).astype(np.int64), 0), _LAST)
    return np.asarray((at[..., 0] * GRID[1] + at[..., 1]) * GRID[2] + at[..., 2])


def smoothed(histograms: NDArray[np.floating], sigma: Sequence[float]) -> NDArray[np.float32]:
    """(..., cells) -> the same, blurred over neighbouring cells by a Gaussian of so many cells."""
    # Three products of small matrices; scipy's gaussian_filter gives the same up to rounding in 2.5 times the time.
    lightness, a, b = (_blur(size, each) for size, each in zip(GRID, sigma, strict=True))
    planes = lightness @ histograms.reshape(*histograms.shape[:-1], GRID[0], -1).astype(np.float32)
    blurred = a @ planes.reshape(*planes.shape[:-1], *GRID[1:]) @ b.T
    return np.asarray(blurred.reshape(histograms.shape), np.float32)


@lru_cache
def _blur(size: int, sigma: float) -> NDArray[np.float32]:
    """(size, size): what blurs a column of so many cells."""
    blur = ndimage.gaussian_filter1d(np.eye(size, dtype=np.float32), sigma, axis=0, mode="constant", truncate=2.5)
    return np.asarray(blur, np.float32)


def read_colours(image: Image.Image, product: Image.Image | None) -> ColourReading | None:
    """The colours of the product in an image.

    Args:
        image: Upright RGB.
        product: The product cut out of it, on white; None where none was found, or it is on white already.

    Returns:
        None where too little of it can be seen.
    """
    whole = _small(image)
    on_white = product is None and bool(_brighter(_edge(whole), WHITE_LEVEL).mean() > 0.5)
    # What is taken off the rim is never more than this leaves, so these are enough wherever they lie.
    if on_white and MIN_LEFT * np.count_nonzero(~_brighter(whole, WHITE_LEVEL)) >= MIN_PIXELS:
        return LaterReading(partial(_read, whole, None, on_white=True))
    return _read(whole, product, on_white=on_white)


def _read(whole: Pixels, product: Image.Image | None, *, on_white: bool) -> ColourReading | None:
    pixels, mask, area = _product_pixels(whole, product)
    if np.count_nonzero(mask) < MIN_PIXELS:
        return None
    lab = to_lab(pixels[mask])
    cells = cells_of(lab)
    weights = _middle_weights(mask)
    if not on_white:
        weights = weights / (1 + EDGE_DOUBT * _edge_ratio(whole, cells, weights))
    counts = np.bincount(cells, weights, minlength=CELLS)
    histogram = smoothed(counts / counts.sum(), READING_SIGMA)
    histogram /= histogram.sum()
    share, mean = _main_colours(lab, cells, weights)
    names = name_shares(mean)
    sure = _confidence(float((share @ names).max()), area, 0.0 if on_white else _cast(whole))
    return ColourReading(_named(share, mean, names), sure, histogram, on_white)


def _small(image: Image.Image) -> Pixels:
    scale = SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return np.asarray(image if scale >= 1 else image.resize(size, Image.Resampling.BOX))


def _product_pixels(whole: Pixels, product: Image.Image | None) -> tuple[Pixels, NDArray[np.bool_], float]:
    """Pixels, which of them show the product, and which share of the image that is."""
    pixels = whole if product is None else np.asarray(product.resize(_fitted(product), Image.Resampling.NEAREST))
    white = _brighter(pixels, 255 if product is not None else WHITE_LEVEL)
    areas, count = ndimage.label(white)
    outside = np.zeros(count + 1, bool)  # which areas touch the edge
    outside[np.concatenate([areas[0], areas[-1], areas[:, 0], areas[:, -1]])] = True
    outside[0] = False  # what is not white
    mask = ~outside[areas]
    area = np.count_nonzero(mask) / mask.size
    inner = _eroded(mask, max(1, round(RIM * min(mask.shape))))
    return pixels, inner if np.count_nonzero(inner) > MIN_LEFT * np.count_nonzero(mask) else mask, area


def _eroded(mask: NDArray[np.bool_], times: int) -> NDArray[np.bool_]:
    """What ``ndimage.binary_erosion`` gives, in a sixth of the time."""
    framed = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), bool)
    inner = framed[1:-1, 1:-1]
    inner[:] = mask
    for _ in range(times):
        inner[:] = inner & framed[:-2, 1:-1] & framed[2:, 1:-1] & framed[1:-1, :-2] & framed[1:-1, 2:]
    return inner


def _brighter(pixels: Pixels, level: int) -> NDArray[np.bool_]:
    """(..., 3) pixels -> (...) whether all of red, green and blue reach a level; ``all(axis=-1)`` takes four times as
    long."""
    bright: NDArray[np.bool_] = pixels >= level
    return bright[..., 0] & bright[..., 1] & bright[..., 2]


def _fitted(image: Image.Image) -> tuple[int, int]:
    scale = min(1.0, SIDE / max(image.size))
    return max(1, round(image.width * scale)), max(1, round(image.height * scale))


def _middle_weights(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(pixels of the mask,): 1 in its middle, less towards its rim."""
    sides = []
    for places in np.nonzero(mask):
        off = places - places.mean()
        sides.append(off / (np.sqrt(off @ off / len(off)) + 1))
    weights: NDArray[np.float64] = np.exp(-MIDDLE / 2 * (sides[0] ** 2 + sides[1] ** 2))
    return weights


def _edge(pixels: Pixels) -> Pixels:
    """(n, 3): what lies along the image's sides."""
    deep = max(1, round(EDGE * min(pixels.shape[:2])))
    return np.concatenate(
        [part.reshape(-1, 3) for part in (pixels[:deep], pixels[-deep:], pixels[:, :deep], pixels[:, -deep:])]
    )


def _edge_ratio(whole: Pixels, cells: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much commoner the colour of each pixel is at the image's edge than in the product."""
    edge = np.bincount(cells_of(to_lab(_edge(whole))), minlength=CELLS).astype(np.float64)
    product = np.bincount(cells, weights, minlength=CELLS)
    blurred = smoothed(np.stack([edge / edge.sum(), product / product.sum()]), READING_SIGMA)
    ratio: NDArray[np.float64] = (blurred[0] / np.maximum(blurred[1], 1e-9)).astype(np.float64)[cells]
    return ratio


def _main_colours(
    lab: NDArray[np.float64], cells: NDArray[np.int64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each cell that has pixels: (m,) their share and (m, 3) their mean colour."""
    place = (np.cumsum(np.bincount(cells) > 0) - 1)[cells]  # as np.unique tells it, without sorting
    share = np.bincount(place, weights)
    sums = np.stack([np.bincount(place, weights * lab[:, axis]) for axis in range(3)], axis=1)
    return share / share.sum(), sums / np.maximum(share, 1e-12)[:, None]


def _named(
    share: NDArray[np.float64], mean: NDArray[np.float64], names: NDArray[np.float64]
) -> tuple[NamedColour, ...]:
    """The main colours by their nearest names, the largest first."""
    nearest = names.argmax(axis=1)
    total = np.bincount(nearest, share, minlength=len(NAMES))
    largest = np.argsort(-total, kind="stable")[:NAMED]
    kept = [name for name in largest.tolist() if total[name] >= MIN_NAMED_SHARE] or largest[:1].tolist()
    colours = {name: share[own := nearest == name] @ mean[own] / total[name] for name in kept}
    return tuple(NamedColour(NAMES[name], to_rgb(colours[name]), round(float(total[name]), 3)) for name in kept)


def _cast(whole: Pixels) -> float:
    """The chroma of the image's brightest part: a white wall or sheet shows what colour the light has."""
    lab = to_lab(whole[::2, ::2].reshape(-1, 3))
    lightness = np.sort(lab[:, 0])  # an eighth of the time of np.percentile
    at, between = divmod(0.95 * (len(lightness) - 1), 1)
    level = lightness[int(at)]
    level += between * (lightness[min(int(at) + 1, len(lightness) - 1)] - level)
    bright = np.sort(lab[lab[:, 0] >= level, 1:], axis=0)
    middle = (bright[(len(bright) - 1) // 2] + bright[len(bright) // 2]) / 2
    return float(np.hypot(*middle))


def _confidence(share: float, area: float, cast: float) -> float:
    """0..1: the share of the likeliest name, less for little product and for light that has a colour itself."""
    low, high = CAST_RANGE
    neutral = 1 - 0.5 * min(1.0, max(0.0, (cast - low) / (high - low)))
    return round(share * min(1.0, area / SURE_AREA) * neutral, 3)
