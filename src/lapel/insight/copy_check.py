"""The check of a pair: is one picture made of the other, whatever was cut, framed, mirrored, lit or written over?

Two small pictures go in, :data:`MEASURES` come out, and of those the chance that they are copies. Where one lies in the
other is found by :mod:`lapel.insight.alignment`. Laid on each other, copies agree in every fold of the cloth; two
products that look alike do not: what could be no copy whatever its colours were goes no further. Then colours are
compared after a gamma, a brightness and a white balance, as light changes them: another colour of the same product is
not explained by it.

Everything works on many pairs at once; nothing is kept between calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import maximum_filter
from scipy.special import expit

from lapel.engine.picture_hash import SIDE, squeezed
from lapel.insight.alignment import (
    Floats,
    blurred,
    correlation,
    placed,
    refined_maps,
    roughly_aligned,
    sampled,
    squares,
    squares_agree,
)

FINE_BLUR, FINE_STEPS = 0.6, 3  # pixels, and steps of the second
TEXTURED, FEW_SQUARES = 4.0, 5  # grey levels: the deviation of a square with something in it; and squares that tell
LEAST_FINE = 0.7  # mean correlation within squares, below which no finer look is worth it
LEAST_COARSE = 0.6  # of the best window: below it one picture does not lie in the other
PATCH = 6  # pixels: folds, seams and letters are compared within such squares
SURE = 0.95  # correlation of a square that two products of one pattern hardly reach
AGREES = 0.8  # correlation of a square from which on both show the same drawing there
PART = 0.15  # of the squares that agree: so much in another colour is another colour of the product
GAMMAS = (0.7, 0.84, 1.0, 1.19, 1.43)  # what light and editors do to a picture,
LIGHT_FITS = 2  # the second without what is far away after the first: what is covered or dyed says nothing of light
MOST_GAIN, MOST_BALANCE = 1.5, 1.12  # its brightness, and each channel beside the others
UNCONFIRMED = 0.5  # the most that nearness alone says, where the drawing does not confirm a copy
BLOCK, FEW_BLOCKS = 3, 12  # pixels of the blocks whose colours are compared; and blocks that tell
INK = 235  # of 255: what is lighter is the paper around the goods
OTHER = 90  # grey levels, of three channels: a pixel that is so far away shows something else
WHITE = 244  # of 255: from which on more light may have been cut off
NET = Path(__file__).with_name("copy_chance.npz")
VERSION = "6"  # changes when the same pair gives other figures

MEASURES = (
    "coarse",  # correlation of the window that fitted best
    "grey",  # correlation of the lightness where both lie on each other
    "detail",  # correlation of what is finer than 4 pixels
    "patch_half",  # the median correlation of squares, of those with something in them in the picture that has less
    "patch_low",  # the lower quarter
    "patch_good",  # share of those squares whose correlation is above .8
    "patch_least",  # the tenth from below
    "patch_most",  # the upper quarter
    "patch_sure",  # share above .95
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

NEAR_ONE = {
    "grey": 1.003, "detail": 1.01, "patch_half": 1.01, "patch_low": 1.01, "patch_least": 1.02, "patch_most": 1.005,
}  # fmt: skip
NEAR_NOTHING = {
    "colour": 0.2, "colour_half": 0.1, "colour_part": 0.1, "gain": 0.02, "rest": 0.05, "rest_half": 0.05,
    "rest_part": 0.1, "texture": 0.1, "bend": 0.02,
}  # fmt: skip

PATCHES = ("patch_half", "patch_low", "patch_good", "patch_least", "patch_most", "patch_sure", "patch_both")
COLOURS = ("colour", "colour_half", "colour_part", "gain", "rest", "rest_half", "rest_part")
DYED = ("colour_half", "colour_part")
LEAST_DRAWN = 0.5  # chance with such colours, below which colours are not looked at

Squares = NDArray[np.uint8]  # (n, SIDE, SIDE, 3)


class SmallPicture(NamedTuple):
    """A picture as it is compared.

    Attributes:
        square: (48, 48, 3) uint8 RGB, squeezed.
        ratio: Its width over its height.
    """

    square: Squares
    ratio: float


def small_picture(image: Image.Image) -> SmallPicture:
    """An upright RGB image made small."""
    return SmallPicture(np.asarray(squeezed(image.convert("RGB"))), image.width / image.height)


class Nearness(NamedTuple):
    """What is known of n pairs before their pixels are compared.

    Attributes:
        cosines: (n,) float32 of their vectors.
        margins: (n,) float32 of those above the mean of the neighbours, the score normalisation of DISC 2021 (Douze et
            al., arXiv:2106.09672).
        bits: (n,) int32: in how many bits the hashes differ, of the whole or the contents, either way round, the
            fewest.
    """

    cosines: Floats
    margins: Floats
    bits: NDArray[np.int32]

    def of(self, rows: Any) -> Nearness:
        """That of some pairs."""
        return Nearness(self.cosines[rows], self.margins[rows], self.bits[rows])


@dataclass(frozen=True)
class Compared:
    """What a check found, of n pairs.

    Attributes:
        measures: (n, 20) float32, see :data:`MEASURES`.
        maps: (n, 2, 3) float32: coordinates of 0..1 of the first picture -> those of the second.
        mirrored: (n,) bool.
    """

    measures: Floats
    maps: Floats
    mirrored: NDArray[np.bool_]


def compare(first: Squares, second: Squares, ratios: NDArray[np.float64], nearness: Nearness | None = None) -> Compared:
    """Compare n pairs of small pictures.

    Args:
        first: (n, 48, 48, 3) uint8.
        second: (n, 48, 48, 3) uint8.
        ratios: (n, 2) their widths over heights.
        nearness: Of those pairs: what can be no copy by it and by what is drawn goes no further. None compares all.

    Returns:
        What was found. Where no window of one fits the other, or the drawing does not agree, all but the first measure
        are 0.
    """
    mine, its = (_grey(each) for each in (first, second))
    coarse, maps, mirrored, tried = placed(mine, its, ratios)
    found = Compared(np.zeros((len(first), len(MEASURES)), np.float32), maps[:, 0].copy(), mirrored[:, 0].copy())
    found.measures[:, 0] = coarse[:, 0]
    rows = np.flatnonzero(coarse[:, 0] >= LEAST_COARSE)
    if not len(rows):
        return found
    found.maps[rows], found.mirrored[rows], fits = roughly_aligned(
        mine[rows], its[rows], maps[rows], mirrored[rows], tried[rows]
    )
    rows = rows[fits >= LEAST_FINE]
    if not len(rows):
        return found
    mine, its = mine[rows], _turned(its[rows], found.mirrored[rows])
    refined, _ = refined_maps(blurred(mine, FINE_BLUR), blurred(its, FINE_BLUR), found.maps[rows], FINE_STEPS)
    found.maps[rows] = refined
    measures, agreeing = _drawn(mine, its, refined, ratios[rows])
    measures[:, 0] = coarse[rows, 0]
    if nearness is not None:
        best = measures.copy()
        best[:, _places(COLOURS)] = _net()["of_copies"]
        kept = np.flatnonzero(chance(best, nearness.of(rows)) >= LEAST_DRAWN)
        if not len(kept):
            return found
        rows, measures, agreeing = rows[kept], measures[kept], agreeing[kept]
    one, other = first[rows], _turned(second[rows], found.mirrored[rows])
    seen, inside = sampled(other.astype(np.float32), found.maps[rows])
    colours = _colours(one.reshape(len(rows), -1, 3).astype(np.float32), seen, inside, agreeing)
    measures[:, _places(COLOURS)] = np.stack(colours, axis=1)
    found.measures[rows] = measures
    return found


def _places(names: tuple[str, ...]) -> list[int]:
    return [MEASURES.index(name) for name in names]


def _turned(pictures: NDArray[Any], flipped: NDArray[np.bool_]) -> NDArray[Any]:
    """Pictures (n, side, side, ...), some of them mirrored."""
    made = pictures.copy()
    made[flipped] = made[flipped][:, :, ::-1]
    return made


def _grey(pictures: Squares) -> Floats:
    return np.asarray(pictures @ np.array([0.299, 0.587, 0.114], np.float32), np.float32)


def _drawn(grey: Floats, other: Floats, maps: Floats, ratios: NDArray[np.float64]) -> tuple[Floats, NDArray[np.bool_]]:
    """What two pictures have in common where the map lays them on each other: (n, 20) all measures but colours, and
    (n, 64) in which squares both show the same drawing."""
    n = len(grey)
    seen, inside = sampled(other, maps)
    weight = inside.astype(np.float32)
    laid = seen.reshape(n, SIDE, SIDE)
    fine, laid_fine = ((each - blurred(each, 1.5)).reshape(n, -1) for each in (grey, laid))
    patches, texture, agreeing = _patches(grey, laid, inside)
    area = np.abs(maps[:, 0, 0] * maps[:, 1, 1] - maps[:, 0, 1] * maps[:, 1, 0])
    share = weight.mean(axis=1)
    lengths = np.hypot(maps[:, 0, 0], maps[:, 1, 0]), np.hypot(maps[:, 0, 1], maps[:, 1, 1])
    shape = np.log(np.maximum(lengths[0], 1e-3) / np.maximum(lengths[1], 1e-3) * ratios[:, 1] / ratios[:, 0])
    have = dict(zip(PATCHES, patches, strict=True)) | {
        "grey": correlation(grey.reshape(n, -1), laid.reshape(n, -1), weight),
        "detail": correlation(fine, laid_fine, _eroded(inside)),
        "overlap": np.maximum(share, np.minimum(share * area, 1)),
        "texture": texture,
        "bend": np.abs(shape) + np.abs(maps[:, 0, 1]) + np.abs(maps[:, 1, 0]),
    }
    measures = np.zeros((n, len(MEASURES)), np.float32)
    for name, values in have.items():
        measures[:, MEASURES.index(name)] = values
    return measures, agreeing


def _eroded(inside: NDArray[np.bool_]) -> Floats:
    field = inside.reshape(-1, SIDE, SIDE)
    made = field.copy()
    made[:, 2:] &= field[:, :-2]
    made[:, :-2] &= field[:, 2:]
    made[:, :, 2:] &= field[:, :, :-2]
    made[:, :, :-2] &= field[:, :, 2:]
    return made.reshape(len(inside), -1).astype(np.float32)


def _patches(grey: Floats, other: Floats, inside: NDArray[np.bool_]) -> tuple[list[Floats], Floats, NDArray[np.bool_]]:
    """Median, lower quarter and share above .8 of the correlation within squares, how much there is in them, and in
    which of them, (n, 64), both show the same drawing."""
    n, count = len(grey), SIDE // PATCH
    own, lengths = squares_agree(grey, other, PATCH)
    seen = squares(inside.reshape(n, SIDE, SIDE), PATCH).all(axis=2)
    # Words over a plain part are in one picture alone: what the other shows is judged by itself, of both the better.
    sides = [_of_squares(own, seen & (each > TEXTURED)) for each in lengths]
    better = (sides[1][:, 0] > sides[0][:, 0]) & (sides[1][:, -1] >= FEW_SQUARES) | (sides[0][:, -1] < FEW_SQUARES)
    told = np.where(better[:, None], sides[1], sides[0])
    either = _of_squares(own, seen & (np.maximum(*lengths) > TEXTURED))
    plain = np.maximum(*lengths) <= TEXTURED
    # The inside of a bar with words is as plain as what it covers: beside another drawing plain squares say nothing.
    beside = maximum_filter((seen & ~plain & (own < AGREES)).reshape(n, count, count), (1, 3, 3)).reshape(own.shape)
    agreeing = seen & np.where(plain, ~beside, own > AGREES)
    texture = np.where(seen, np.minimum(*lengths), 0).sum(axis=1) / (count * count) / 20
    return [*told[:, :-1].T, either[:, 2]], texture.astype(np.float32), np.asarray(agreeing, np.bool_)


def _of_squares(own: Floats, used: NDArray[np.bool_]) -> Floats:
    """(n, 7) of the squares that are used: the median and lower quarter of their correlation, the share above .8, the
    tenth from below, the upper quarter, the share above .95, and how many they are."""
    number = used.sum(axis=1)
    ranked = np.sort(np.where(used, own, 2), axis=1)
    rows = np.arange(len(own))
    half, low, least, most = (ranked[rows, (number * share).astype(int)] for share in (0.5, 0.25, 0.1, 0.75))
    good, sure = (((own > level) & used).sum(axis=1) / np.maximum(number, 1) for level in (AGREES, SURE))
    made = np.stack([half, low, good, least, most, sure, number], axis=1)
    return np.asarray(np.where(number[:, None] > 0, made, 0), np.float32)


def _colours(
    first: Floats, second: Floats, inside: NDArray[np.bool_], agreeing: NDArray[np.bool_]
) -> tuple[Floats, Floats, Floats, Floats, Floats, Floats, Floats]:
    """How far colours and lightness are apart once what light can explain is taken away: of colours the mean, the
    median, and that of a part of what agrees; how unlike the channels' gains are; and of lightness the same three.

    Blocks of 3 x 3 pixels are compared, as compression and scaling smear colours that far, and only squares that show
    the same drawing, where there are some: letters over a picture are no part of its colours."""
    whole = np.asarray(squares(inside.reshape(-1, SIDE, SIDE), BLOCK).all(axis=2))
    one, other = (
        np.stack([squares(each[..., at].reshape(-1, SIDE, SIDE), BLOCK).mean(axis=2) for at in range(3)], axis=1)
        for each in (first, second)
    )  # (n, 3, blocks)
    per = PATCH // BLOCK
    drawn = np.repeat(np.repeat(agreeing.reshape(-1, SIDE // PATCH, SIDE // PATCH), per, axis=1), per, axis=2)
    drawn = drawn.reshape(whole.shape) & whole
    # White around a product agrees whatever the product's colour is: what is not white counts.
    inked = (one.mean(axis=1) < INK) | (other.mean(axis=1) < INK)
    few = (drawn & inked).sum(axis=1) < FEW_BLOCKS
    drawn[few] = whole[few]
    lit, gains = _lit(one, other, drawn.astype(np.float32))
    own, grey = one.mean(axis=1), lit.mean(axis=1)
    chroma = np.abs((one - own[:, None]) - (lit - grey[:, None])).sum(axis=1)
    lightness = np.abs(own - grey)
    told = []
    inked &= drawn
    for apart, unit in ((chroma, 10), (lightness, 20)):
        ranked = np.sort(np.where(inked, apart, np.inf), axis=1)
        count = inked.sum(axis=1)
        rows, some = np.arange(len(ranked)), count > 0
        half = np.where(some, ranked[rows, np.minimum(count // 2, ranked.shape[1] - 1)], 0)
        mean = np.where(inked, apart, 0).sum(axis=1) / np.maximum(count, 1)
        told.append([mean / unit, half / unit, _part_apart(apart, inked, per) / unit])
    logs = np.log(gains)
    spread = logs.max(axis=1) - logs.min(axis=1)
    every = *told[0], spread, *told[1]
    return tuple(np.asarray(each, np.float32) for each in every)  # type: ignore[return-value]


def _lit(first: Floats, second: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """The second picture (n, 3, p) in the first one's light, as far as a gamma, a brightness and a white balance within
    what cameras and editors do can bring it there, and the gains (n, 3). What that makes brighter than white is white,
    so gains are sought with and without the pixels that are white already; dye is not explained by either. Once more
    without what is far away then: a part that is covered or dyed says nothing of light."""
    one = first + 1
    levels = (second + 1) / 256
    dark = weight * ((one.max(axis=1) <= WHITE) & (second.max(axis=1) < WHITE))
    best = np.full(len(first), np.inf, np.float32)
    made, gains = second.copy(), np.ones((len(first), 3), np.float32)
    for gamma in GAMMAS:
        bent = levels**gamma * 256
        for start in (weight, dark):
            used = start
            for _ in range(LIGHT_FITS):
                own = np.einsum("ncp,ncp->nc", bent * used[:, None], bent)
                gain = np.einsum("ncp,ncp->nc", one * used[:, None], bent) / np.maximum(own, 1)
                middle = gain.mean(axis=1, keepdims=True).clip(1 / MOST_GAIN, MOST_GAIN)
                gain = gain.clip(middle / MOST_BALANCE, middle * MOST_BALANCE)
                lit = np.minimum(bent * gain[:, :, None], 256)
                apart = np.abs(lit - one).sum(axis=1)
                total = np.einsum("np,np->n", np.minimum(apart, OTHER), weight)
                better = total < best
                best[better], gains[better], made[better] = total[better], gain[better], lit[better] - 1
                used = start * (apart < OTHER / 2)
    return made.clip(0, 255), gains


def _part_apart(apart: Floats, inked: NDArray[np.bool_], per: int) -> Floats:
    """(n,) the distance that 15 % of the squares with the same drawing reach or pass: a lid, a sole or a stripe of
    another colour. The block that agrees best stands for its square: dye leaves none as it was, letters do."""
    side = SIDE // BLOCK
    distance, used = (squares(each.reshape(-1, side, side), per) for each in (apart, inked))
    share = used.mean(axis=2)
    least = np.where(used, distance, np.inf).min(axis=2)
    good = share > 0.5
    ranked = np.sort(np.where(good, least, -1), axis=1)[:, ::-1]
    at = (good.sum(axis=1) * PART).astype(int)
    return np.asarray(np.maximum(ranked[np.arange(len(ranked)), at], 0), np.float32)


def figures_of(measures: Floats, nearness: Nearness) -> NDArray[np.float64]:
    """(n, 22) what the chance of a copy follows from: the measures as logarithms where nearness to 1 or 0 tells."""
    have = dict(zip(MEASURES, np.asarray(measures, np.float64).T, strict=True))
    columns = [np.log(room - have[name].clip(-1, 1)) for name, room in NEAR_ONE.items()]
    columns += [np.log(have[name] + room) for name, room in NEAR_NOTHING.items()]
    columns += [have[name] for name in ("patch_good", "patch_both", "patch_sure", "overlap")]
    cosines, margins, bits = nearness
    return np.column_stack([*columns, cosines, margins.clip(-0.25, 0.25), (bits / 128).clip(0, 0.85)])


def far_figures_of(nearness: Nearness) -> NDArray[np.float64]:
    """(n, 3) what the chance follows from where the drawing does not confirm a copy, as in a scene."""
    cosines, margins, bits = nearness
    return np.column_stack([cosines, margins.clip(-0.25, 0.25), bits / 128]).astype(np.float64)


@cache
def _net() -> dict[str, NDArray[np.float64]]:
    """What ``benchmarks/duplicates.py --learn`` has learned from copies of some products among all of the real
    catalogue, and from its own pairs of a fifth of its products; none of them is measured with. A hidden layer of 16;
    ``far``, the weights where the drawing does not confirm a copy; ``of_copies``, colours of which a quarter of copies
    have less; ``dyed``, the colours that next to no light leaves."""
    with np.load(NET) as kept:
        return {name: kept[name].astype(np.float64) for name in kept.files}


def chance(measures: Floats, nearness: Nearness) -> NDArray[np.float64]:
    """How likely one picture of each pair is made of the other, 0..1; up to a half where the check stopped before it
    measured anything, or where colours are further apart than light leaves them.

    Args:
        measures: (n, 20), see :data:`MEASURES`.
        nearness: Of the same pairs.
    """
    net = _net()
    figures = (figures_of(measures, nearness) - net["mean"]) / net["spread"]
    hidden = np.maximum(figures @ net["hidden"] + net["hidden_bias"], 0)
    likely = expit(hidden @ net["out"] + net["out_bias"])
    dyed = (measures[:, _places(DYED)] > net["dyed"]).any(axis=1)
    compared = measures[:, MEASURES.index("overlap")] > 0
    return np.where(compared, np.where(dyed, likely / 2, likely), far_chance(nearness))


def far_chance(nearness: Nearness) -> NDArray[np.float64]:
    """How likely one picture of each pair is made of the other by nearness alone, 0..0.5: of what is not compared, or
    whose drawing does not confirm it."""
    net = _net()
    return np.asarray(UNCONFIRMED * expit(far_figures_of(nearness) @ net["far"] + net["far_bias"]), np.float64)
