"""The main colours of a product in its photo: an image goes in, up to six colours with their shares come out.

The background is left out: what is connected to the image's edge and as even as it, or white. The rest is grouped by
colour in CIELAB (CIE 1976, D65), where distances are close to what people see: 2.3 is just noticeable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import generate_binary_structure, label

from lapel.core.colours import to_lab
from lapel.core.images import Pixels

SIDE = 24  # pixels: the image is squeezed to a square of these, and shares are then right within about 4 %
MAX_COLOURS = 6
MIN_SHARE = 0.03  # of the product; smaller groups are mostly mixed colours of edges
MERGE_DISTANCE = 12.0  # CIELAB; nearer groups are one colour, lit differently
FAR_DISTANCE = 40.0  # CIELAB; beyond it, distance does not make a group more important than its size does
BACKGROUND_DISTANCE = 20  # of 255 steps, in each of R, G and B: what is so near to the edge's median is background
EVEN_SHARE = 0.5  # of the edge's pixels near their median: then it shows the background
WHITE_LEVEL = 244  # of 255; what is connected to the edge and at least so bright in R, G and B is always background
MIN_PRODUCT_SHARE = 0.02  # of the image; with less left, the image is all product, such as a swatch of cloth
CELL_BITS = 4  # of each of R, G and B: pixels that share them are taken for one colour, their mean
KMEANS_ROUNDS = 2  # of k-means over the cells

_WITHIN_IMAGES = generate_binary_structure(3, 1)  # pixels touch with their sides ...
_WITHIN_IMAGES[[0, 2]] = False  # ... and never those of another image

Colours = NDArray[np.float64]  # (..., 3) CIELAB
Sizes = NDArray[np.float64]  # pixels


@dataclass(frozen=True)
class Palette:
    """The main colours of one product, the largest first.

    Attributes:
        lab: (n, 3) float32, n from 1 to 6: L 0..100, a and b about -128..127.
        share: (n,) float32: how much of the product each takes; sums to 1.
    """

    lab: NDArray[np.float32]
    share: NDArray[np.float32]


def sample(image: Image.Image) -> Pixels:
    """What of an upright RGB image is looked at: (24, 24, 3) uint8.

    Single pixels, not means of several, so that fine stripes keep their colours.
    """
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.NEAREST))


def palettes(samples: Sequence[Pixels]) -> list[bytes]:
    """The palettes of images that :func:`sample` has seen, four bytes a colour; see :func:`decode_palette`.

    Many at once take a quarter of the time of one after the other: about 0.1 ms each.
    """
    channels = np.stack(samples).transpose(3, 0, 1, 2).astype(np.int16, order="C")  # (3, n, 24, 24)
    return [_encoded(_merged(*groups)) for groups in zip(*_clustered(*_cells(channels)), strict=True)]


def decode_palette(data: bytes) -> Palette:
    """A palette that :func:`palettes` wrote; colours within half a unit.

    >>> red = sample(Image.new("RGB", (60, 80), "red"))
    >>> decode_palette(palettes([red])[0]).lab.round().tolist()
    [[53.0, 80.0, 67.0]]
    """
    coded = np.frombuffer(data, np.uint8).reshape(-1, 4).astype(np.float32)
    lab = np.stack([coded[:, 0] / np.float32(2.55), coded[:, 1] - 128, coded[:, 2] - 128], axis=1)
    return Palette(lab, coded[:, 3] / coded[:, 3].sum())


def product_masks(channels: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Which pixels of (3, n, height, width) images of 0..255 show the product, (n, height, width).

    All do in an image where none stands out from the background.
    """
    edges = np.concatenate([channels[:, :, 0], channels[:, :, -1], channels[..., 0], channels[..., -1]], axis=2)
    median = np.sort(edges, axis=2)[:, :, edges.shape[2] // 2, None]  # (3, n, 1)
    even = (np.abs(edges - median) <= BACKGROUND_DISTANCE).all(axis=0).mean(axis=1) >= EVEN_SHARE
    near = (np.abs(channels - median[..., None]) <= BACKGROUND_DISTANCE).all(axis=0) & even[:, None, None]
    areas, count = label(near | (channels.min(axis=0) >= WHITE_LEVEL), _WITHIN_IMAGES)
    at_edge = np.zeros(count + 1, bool)
    for line in (areas[:, 0], areas[:, -1], areas[..., 0], areas[..., -1]):
        at_edge[line] = True
    at_edge[0] = False  # what is no background
    product: NDArray[np.bool_] = ~at_edge[areas]
    product |= (product.mean(axis=(1, 2)) < MIN_PRODUCT_SHARE)[:, None, None]
    return product


def _cells(channels: NDArray[np.int16]) -> tuple[Colours, Sizes]:
    """Images -> the colours of each product, (n, m, 3), and how many pixels have each, (n, m); zero for padding.

    A colour is the mean of a cell of the RGB cube.
    """
    mask = product_masks(channels)
    pixels = channels[:, mask]  # (3, pixels of all images)
    red, green, blue = (pixels >> (8 - CELL_BITS)).astype(np.int64)
    image = np.repeat(np.arange(len(mask)), mask.sum(axis=(1, 2)))
    cells = (((image << CELL_BITS | red) << CELL_BITS) | green) << CELL_BITS | blue
    counts = np.bincount(cells)
    used = np.flatnonzero(counts)  # image by image
    number = np.zeros(len(counts), np.intp)
    number[used] = np.arange(len(used))
    sums = np.stack([np.bincount(number[cells], channel) for channel in pixels], axis=1)
    owner = used >> 3 * CELL_BITS
    place = np.arange(len(used)) - np.searchsorted(owner, owner)  # within its image
    colours, sizes = np.zeros((len(mask), place.max() + 1, 3)), np.zeros((len(mask), place.max() + 1))
    colours[owner, place] = to_lab(sums / counts[used][:, None])
    sizes[owner, place] = counts[used]
    return colours, sizes


def _clustered(colours: Colours, sizes: Sizes) -> tuple[Colours, Sizes]:
    """Colours with sizes -> six groups of them in each image, (n, 6, 3) and (n, 6); some are empty.

    K-means from seeds that are large and far from each other.
    """
    images = np.arange(len(colours))
    centres = np.zeros((len(colours), MAX_COLOURS, 3))
    gain, distance = sizes, np.full(sizes.shape, np.inf)
    squares = (colours**2).sum(axis=2)
    for group in range(MAX_COLOURS):
        seed = gain.argmax(axis=1)
        # Without a colour that is far from all seeds, a seed comes twice: its second group stays empty.
        centre = centres[:, group] = colours[images, seed]
        # |x - c|^2 = |x|^2 - 2 x c + |c|^2
        products = (colours @ centre[:, :, None])[..., 0]
        distance = np.minimum(distance, squares - 2 * products + squares[images, seed, None])
        gain = sizes * np.minimum(distance, FAR_DISTANCE**2) * (distance > MERGE_DISTANCE**2)
    for _ in range(KMEANS_ROUNDS):
        # Nearest by |c|^2 / 2 - c x, which is the squared distance without what is the same for all centres.
        far = (centres**2).sum(axis=2)[:, None] / 2 - colours @ centres.transpose(0, 2, 1)
        members = (far.argmin(axis=2)[:, None] == np.arange(MAX_COLOURS)[:, None]) * sizes[:, None]  # (n, 6, m)
        groups = members.sum(axis=2)
        centres = members @ colours / np.maximum(groups, 1)[..., None]
    return centres, groups


def _merged(centres: Colours, sizes: Sizes) -> list[tuple[float, list[float]]]:
    """The groups of one image by falling size, those of nearly one colour as one, and without small ones."""
    merged: list[tuple[float, list[float]]] = []
    least = MIN_SHARE * sizes.sum()
    for size, (lightness, a, b) in sorted(zip(sizes.tolist(), centres.tolist(), strict=True), reverse=True):
        if not size:
            break
        for place, (other, colour) in enumerate(merged):
            distance = (colour[0] - lightness) ** 2 + (colour[1] - a) ** 2 + (colour[2] - b) ** 2
            if distance <= MERGE_DISTANCE**2:
                share = size / (size + other)
                mean = [old + share * (new - old) for old, new in zip(colour, (lightness, a, b), strict=True)]
                merged[place] = (size + other, mean)
                break
        else:
            merged.append((size, [lightness, a, b]))
    return sorted((group for group in merged if group[0] >= least), reverse=True)


def _encoded(groups: list[tuple[float, list[float]]]) -> bytes:
    total = sum(size for size, _ in groups)
    coded = [(lab[0] * 2.55, lab[1] + 128, lab[2] + 128, 255 * size / total) for size, lab in groups]
    return bytes(min(255, max(0, round(value))) for colour in coded for value in colour)
