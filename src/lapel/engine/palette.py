"""The main colours of a product in its photo: an image goes in, up to six colours with their shares come out.

The background is left out: what is connected to the image's edge and as even as it, or white. The rest is grouped by
colour in CIELAB (CIE 1976, D65), where distances are close to what people see: 2.3 is just noticeable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import label

SIDE = 32  # pixels of the longer side that are looked at: shares are then right within about 3 %
MAX_COLOURS = 6
MIN_SHARE = 0.03  # of the product; smaller groups are mostly mixed colours of edges
MERGE_DISTANCE = 12.0  # CIELAB; nearer groups are one colour, lit differently
FAR_DISTANCE = 40.0  # CIELAB; beyond it, distance does not make a group more important than its size does
BACKGROUND_DISTANCE = 20  # of 255 steps, in each of R, G and B: what is so near to the edge's median is background
EVEN_SHARE = 0.5  # of the edge's pixels near their median: then it shows the background
WHITE_LEVEL = 244  # of 255; what is connected to the edge and at least so bright in R, G and B is always background
MIN_PRODUCT_SHARE = 0.02  # of the image; with less left, the image is all product, such as a swatch of cloth
CELL_BITS = 4  # of each of R, G and B: pixels that share them are taken for one colour, their mean
ROUNDS = 2  # of k-means over the cells

# Linear light by 8-bit value (IEC 61966-2-1), and linear RGB -> XYZ relative to D65 white.
_VALUES = np.arange(256) / 255
_LINEAR = np.where(_VALUES <= 0.04045, _VALUES / 12.92, ((_VALUES + 0.055) / 1.055) ** 2.4)
_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_TO_XYZ /= _TO_XYZ.sum(axis=1, keepdims=True)
_TO_LAB = np.array([[0, 116, 0], [500, -500, 0], [0, 200, -200]])

Colours = NDArray[np.float64]  # (n, 3) CIELAB


@dataclass(frozen=True)
class Palette:
    """The main colours of one product, the largest first.

    Attributes:
        lab: (n, 3) float32, n from 1 to 6: L 0..100, a and b about -128..127.
        share: (n,) float32: how much of the product each takes; sums to 1.
    """

    lab: NDArray[np.float32]
    share: NDArray[np.float32]


def palette(image: Image.Image) -> bytes:
    """The palette of an upright RGB image, four bytes a colour; see :func:`decode_palette`. Takes about 0.2 ms."""
    scale = SIDE / max(image.size)
    if scale < 1:
        # Single pixels, not means of several, so that fine stripes keep their colours.
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        image = image.resize(size, Image.Resampling.NEAREST)
    channels = np.asarray(image).transpose(2, 0, 1).astype(np.int16)
    colours, sizes = _cells(channels[:, product_mask(channels)])
    groups = _merged(*_clustered(colours, sizes))
    total = sum(size for size, _ in groups)
    coded = [(lab[0] * 2.55, lab[1] + 128, lab[2] + 128, 255 * size / total) for size, lab in groups]
    return bytes(min(255, max(0, round(value))) for colour in coded for value in colour)


def decode_palette(data: bytes) -> Palette:
    """The palette that :func:`palette` wrote; colours within half a unit.

    >>> decode_palette(palette(Image.new("RGB", (60, 80), "red"))).lab.round().tolist()
    [[53.0, 80.0, 67.0]]
    """
    coded = np.frombuffer(data, np.uint8).reshape(-1, 4).astype(np.float32)
    lab = np.stack([coded[:, 0] / np.float32(2.55), coded[:, 1] - 128, coded[:, 2] - 128], axis=1)
    return Palette(lab, coded[:, 3] / coded[:, 3].sum())


def to_lab(rgb: NDArray[np.floating]) -> Colours:
    """(n, 3) sRGB, 0..255, fractions too -> (n, 3) CIELAB relative to D65."""
    xyz = np.interp(rgb, np.arange(256), _LINEAR) @ _TO_XYZ.T
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), xyz * (841 / 108) + 4 / 29)
    lab: Colours = f @ _TO_LAB.T
    lab[:, 0] -= 16
    return lab


def product_mask(channels: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Which pixels of a (3, height, width) image of 0..255 show the product, (height, width).

    All do when none stands out from the background.
    """
    edge = np.concatenate([channels[:, 0], channels[:, -1], channels[:, :, 0], channels[:, :, -1]], axis=1)
    median = np.sort(edge, axis=1)[:, edge.shape[1] // 2]
    red, green, blue = channels
    background = np.minimum(np.minimum(red, green), blue) >= WHITE_LEVEL
    if _near(edge, median).mean() >= EVEN_SHARE:
        background |= _near(channels, median)
    areas, count = label(background)
    at_edge = np.zeros(count + 1, bool)
    for line in (areas[0], areas[-1], areas[:, 0], areas[:, -1]):
        at_edge[line] = True
    at_edge[0] = False  # what is no background
    product: NDArray[np.bool_] = ~at_edge[areas]
    return product if product.mean() >= MIN_PRODUCT_SHARE else np.ones_like(product)


def _near(channels: NDArray[np.int16], colour: NDArray[np.int16]) -> NDArray[np.bool_]:
    red, green, blue = (
        np.abs(each - value) <= BACKGROUND_DISTANCE for each, value in zip(channels, colour, strict=True)
    )
    near: NDArray[np.bool_] = red & green & blue
    return near


def _cells(channels: NDArray[np.int16]) -> tuple[Colours, NDArray[np.float64]]:
    """(3, n) pixels -> the colours among them and how many pixels have each: means of cells of the RGB cube."""
    red, green, blue = channels >> (8 - CELL_BITS)
    cells = (red << 2 * CELL_BITS) + (green << CELL_BITS) + blue
    counts = np.bincount(cells)
    used = np.flatnonzero(counts)
    sizes = counts[used].astype(np.float64)
    sums = np.stack([np.bincount(cells, channel)[used] for channel in channels], axis=1)
    return to_lab(sums / sizes[:, None]), sizes


def _clustered(colours: Colours, sizes: NDArray[np.float64]) -> tuple[Colours, NDArray[np.float64]]:
    """Colours with sizes -> at most six groups of them: k-means from seeds that are large and far from each other."""
    seeds = [int(sizes.argmax())]
    distance = ((colours - colours[seeds[0]]) ** 2).sum(axis=1)
    while len(seeds) < MAX_COLOURS:
        gain = sizes * np.minimum(distance, FAR_DISTANCE**2) * (distance > MERGE_DISTANCE**2)
        seed = int(gain.argmax())
        if not gain[seed]:
            break
        seeds.append(seed)
        distance = np.minimum(distance, ((colours - colours[seed]) ** 2).sum(axis=1))
    centres = colours[seeds]
    numbers = np.arange(len(seeds))
    for _ in range(ROUNDS):
        # Nearest by |c|^2 / 2 - c x, which is the squared distance without what is the same for all centres.
        nearest = ((centres**2).sum(axis=1) / 2 - colours @ centres.T).argmin(axis=1)
        members = (nearest == numbers[:, None]) * sizes  # (k, n)
        weights = np.maximum(members.sum(axis=1), 1e-9)
        centres = members @ colours / weights[:, None]
    return centres, weights


def _merged(centres: Colours, sizes: NDArray[np.float64]) -> list[tuple[float, list[float]]]:
    """Groups by falling size, those of nearly one colour as one, and without small ones."""
    merged: list[tuple[float, list[float]]] = []
    for size, centre in sorted(zip(sizes.tolist(), centres.tolist(), strict=True), reverse=True):
        for place, (other, colour) in enumerate(merged):
            if sum((a - b) ** 2 for a, b in zip(colour, centre, strict=True)) <= MERGE_DISTANCE**2:
                share = size / (size + other)
                mean = [a + share * (b - a) for a, b in zip(colour, centre, strict=True)]
                merged[place] = (size + other, mean)
                break
        else:
            merged.append((size, centre))
    least = MIN_SHARE * sum(size for size, _ in merged)
    return sorted((group for group in merged if group[0] >= least), reverse=True)
