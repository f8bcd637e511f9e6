"""Which products are in a photo: boxes around the parts that the foreground network finds, each with its kind.

The network marks every product, so what belongs together is connected; parts that touch through a thin bridge are taken
apart by eroding the mask first. Each part's crop is then encoded as a search would, and the model's probe says of what
kind it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from lapel.core.answers import Box, Region
from lapel.encoders import Encoder
from lapel.encoders.probes import Probes
from lapel.encoders.segmenter import embed_images, open_segmenter

MAX_REGIONS = 5
SURE = 0.5  # from which probability on a pixel is of a product
MIN_SCORE = 0.75  # mean probability of a part; most of what is seen in plain shapes has less
BRIDGE = 0.012  # of the longer side: what is thinner joins two parts by chance
MIN_AREA = 0.003  # share of the picture that a part takes at least,
MIN_SHARE = 0.03  # and share of the largest part
MARGIN = 0.05  # of a box's sides, around its crop
LOOKS = 2  # at a picture, what was found before painted over
REPEATED = 0.5  # share of a part's box inside one that was found before, from which on it is the same
COVERED, COVER = 0.2, 0.02  # probability from which on a pixel is painted over, and how far around, of the longer side
SIDE = 384  # pixels of the longer side that is looked at


@dataclass(frozen=True)
class _Found:
    box: Box
    score: float
    area: int


def find_regions(encoder: Encoder, probes: Probes, image: Image.Image) -> list[Region]:
    """Up to five products in a picture, the largest first.

    Args:
        encoder: What says of which kind they are, by its probes.
        probes: Its probes; without one of kinds, ``kind`` is empty.
        image: RGB, of any size.

    Returns:
        None where nothing was found.
    """
    parts = _parts(image)
    if not parts:
        return []
    crops = [image.crop(_wider(part.box, image.size)) for part in parts]
    kinds = [""] * len(parts)
    if "kind" in probes:
        found = embed_images(encoder, crops)
        reads = [
            probes["kind"].read(vector, on_white=bool(white))
            for vector, white in zip(found.vectors, found.on_white, strict=True)
        ]
        kinds = ["" if read is None else read[0] for read in reads]
    return [Region(part.box, kind, part.score) for part, kind in zip(parts, kinds, strict=True)]


def _parts(image: Image.Image) -> list[_Found]:
    """The connected parts of the foreground, the largest first.

    What was found is painted over and the network looks again: beside a large product it passes over small ones.
    """
    scale = min(1.0, SIDE / max(image.size))
    small = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    found: list[_Found] = []
    for _ in range(LOOKS):
        mask = open_segmenter().masks([small])[0]
        new = _of_mask(mask, scale, image.size)
        new = [part for part in new if all(_inside(part.box, other.box) < REPEATED for other in found)]
        if not new:
            break
        found += new
        small = _painted_over(small, mask)
    least = MIN_SHARE * max((part.area for part in found), default=0)
    return sorted((part for part in found if part.area >= least), key=lambda part: -part.area)[:MAX_REGIONS]


def _of_mask(mask: NDArray[np.float32], scale: float, size: tuple[int, int]) -> list[_Found]:
    """The parts of one mask, with boxes in a picture of ``size``, ``scale`` times as large as it."""
    places = _taken_apart(mask > SURE)
    found = []
    for place, slices in enumerate(ndimage.find_objects(places), 1):
        if slices is None:
            continue
        rows, columns = slices
        own = places[rows, columns] == place
        score = float(mask[rows, columns][own].mean())
        if own.sum() < MIN_AREA * mask.size or score < MIN_SCORE:
            continue
        left, top = round(columns.start / scale), round(rows.start / scale)
        right, bottom = round(columns.stop / scale), round(rows.stop / scale)
        box = (left, top, min(size[0], max(right, left + 1)), min(size[1], max(bottom, top + 1)))
        found.append(_Found(box, score, int(own.sum())))
    return found


def _inside(box: Box, other: Box) -> float:
    """Which share of a box lies in another."""
    wide = max(0, min(box[2], other[2]) - max(box[0], other[0]))
    high = max(0, min(box[3], other[3]) - max(box[1], other[1]))
    return wide * high / ((box[2] - box[0]) * (box[3] - box[1]))


def _painted_over(image: Image.Image, mask: NDArray[np.float32]) -> Image.Image:
    """The image with what is around its products in their place."""
    covered = ndimage.binary_dilation(mask > COVERED, iterations=max(1, round(COVER * max(image.size))))
    if covered.all():
        return image
    nearest = ndimage.distance_transform_edt(covered, return_distances=False, return_indices=True)
    filled = np.asarray(image)[tuple(nearest)]
    return Image.fromarray(np.ascontiguousarray(filled))


def _taken_apart(inside: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The number of the part that each pixel is of, 0 for none: parts of the eroded mask, grown back over all of it."""
    thin = max(1, round(BRIDGE * max(inside.shape)))
    core = ndimage.binary_erosion(inside, iterations=thin)
    seeds, count = ndimage.label(core)
    whole, _ = ndimage.label(inside)
    lost = np.setdiff1d(np.unique(whole), np.unique(whole[core]))  # thin parts that erosion took whole
    for at in lost[lost > 0].tolist():
        count += 1
        seeds[whole == at] = count
    nearest = ndimage.distance_transform_edt(seeds == 0, return_distances=False, return_indices=True)
    grown: NDArray[np.int32] = seeds[tuple(nearest)].astype(np.int32)
    return np.where(inside, grown, 0).astype(np.int32)


def _wider(box: Box, size: tuple[int, int]) -> Box:
    """A box with a margin, inside the picture."""
    dx, dy = round(MARGIN * (box[2] - box[0])), round(MARGIN * (box[3] - box[1]))
    return max(0, box[0] - dx), max(0, box[1] - dy), min(size[0], box[2] + dx), min(size[1], box[3] + dy)
