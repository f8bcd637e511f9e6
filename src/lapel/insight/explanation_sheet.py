"""Heatmaps of an explanation over its pictures, and a sheet of an answer with them.

An RGB picture and what each place of it adds to a score go in, an RGB picture comes out: the more a place adds, the
brighter. The colours are matplotlib's *inferno* (Smith and van der Walt 2015), whose lightness rises evenly, so that
they are read rightly as greys and by those who see no difference between red and green; where little is added, the
picture shows through as greys.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageOps
from scipy.ndimage import gaussian_filter

from lapel.core.answers import Explanation, Map
from lapel.core.types import Hit
from lapel.insight.sheet import FAINT, GAP, INK, PAPER, QUERY, RELEVANT_COLOUR, Colour, cut, face

# Every sixteenth colour of inferno, RGB.
INFERNO = np.array(
    [
        (0, 0, 4), (12, 8, 38), (36, 12, 79), (66, 10, 104), (93, 18, 110), (120, 28, 109), (147, 38, 103),
        (174, 48, 92), (199, 62, 76), (221, 81, 58), (237, 105, 37), (248, 133, 15), (252, 165, 10), (250, 198, 45),
        (242, 230, 97), (252, 255, 164),
    ]
)  # fmt: skip
OPACITY = (0.15, 0.8)  # of the colours where nothing is added, and where most is
BLUR = 1.8  # cells
LOWEST = 40  # percentile of a map below which a place counts as adding nothing
TILE = (150, 200)  # pixels
HITS = 6  # that a sheet shows
LINES = 7  # of words below a hit
LINE = 15  # pixels
TITLE = 62
MIN_WIDTH = 680  # of a sheet, in which its lines of text have room


def heatmap(picture: Image.Image, values: Map) -> Image.Image:
    """A picture with what its places add to a score laid over it.

    Args:
        picture: RGB.
        values: (h, w) float32, over the whole picture.

    Returns:
        RGB of the picture's size.
    """
    values = np.asarray(gaussian_filter(values, BLUR, mode="nearest"), np.float32)  # places are coarse: no hard edges
    low, high = float(np.percentile(values, LOWEST)), float(values.max())
    share = np.clip((values - low) / max(high - low, 1e-9), 0, 1).astype(np.float32)
    smooth = np.asarray(Image.fromarray(share).resize(picture.size, Image.Resampling.BICUBIC)).clip(0, 1)
    steps = np.linspace(0, 1, len(INFERNO))
    colours = np.stack([np.interp(smooth, steps, INFERNO[:, channel]) for channel in range(3)], axis=2)
    grey = np.asarray(picture.convert("L"), np.float32)[..., None]
    opacity = (OPACITY[0] + (OPACITY[1] - OPACITY[0]) * smooth)[..., None]
    mixed = np.asarray(grey * (1 - opacity) + colours * opacity, np.float32)
    return Image.fromarray(mixed.clip(0, 255).astype(np.uint8))


def draw_explanations(hits: Sequence[Hit], explanations: Sequence[Explanation], title: str = "") -> Image.Image:
    """Draw a query beside the first hits of its answer: each as it is, with its heatmap, and in words.

    A query has a heatmap for each hit, as other places of it match: the first row are the query's, the second the
    hits'. Words have no picture: then there are the hits alone.

    Args:
        hits: The first of an answer.
        explanations: Of each.
        title: What is asked.

    Returns:
        An RGB picture.
    """
    hits, explanations = hits[:HITS], explanations[:HITS]
    step = (TILE[0] + GAP, TILE[1] + GAP)
    asked = next((each.query_picture for each in explanations if each.query_picture is not None), None)
    left, top = (GAP, TITLE) if asked is None else (2 * GAP + step[0], TITLE + step[1])
    about = "Bright: what adds to the score; the parts add up to the score."
    if asked is not None:
        about = "Bright: what adds to the score. Above in the query, below in the hit; the parts add up to the score."
    wide = max(left + max(1, len(hits)) * step[0] + GAP, MIN_WIDTH)
    size = (wide, top + 2 * step[1] + LINES * LINE + 2 * GAP)
    sheet = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, 12), cut(pen, title or "Why these", face(20), size[0] - 2 * GAP), INK, face(20))
    pen.text((GAP, 40), cut(pen, about, face(13), wide - 2 * GAP), FAINT, face(13))
    if asked is not None:
        _tile(sheet, pen, asked, (GAP, TITLE), QUERY)
    for place, (hit, found) in enumerate(zip(hits, explanations, strict=True)):
        x = left + place * step[0]
        if found.query_picture is not None:
            _tile(sheet, pen, heatmap(found.query_picture, found.query_map), (x, TITLE), QUERY)
        if found.hit_picture is not None:
            lit = heatmap(found.hit_picture, found.hit_map)
            _tile(sheet, pen, lit, (x, top), RELEVANT_COLOUR)
            _tile(sheet, pen, found.hit_picture, (x, top + step[1]), RELEVANT_COLOUR)
        _words(pen, hit, found, (x, top + 2 * step[1] - GAP + 4))
    return sheet


def _tile(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, picture: Image.Image, at: tuple[int, int], frame: Colour
) -> None:
    x, y = at
    pen.rectangle((x, y, x + TILE[0] - 1, y + TILE[1] - 1), PAPER, frame, 2)
    small = ImageOps.contain(picture, (TILE[0] - 4, TILE[1] - 4), Image.Resampling.BICUBIC)
    sheet.paste(small, (x + (TILE[0] - small.width) // 2, y + (TILE[1] - small.height) // 2))


def _words(pen: ImageDraw.ImageDraw, hit: Hit, found: Explanation, at: tuple[int, int]) -> None:
    verdict = "" if hit.verdict is None else f" · {hit.verdict.value}"
    lines: list[tuple[str, Colour]] = [(f"{hit.score:z.3f}{verdict}", INK)]
    lines += [(f"= {text}", RELEVANT_COLOUR) for text in found.shared]
    lines += [(f"but {text}", INK) for text in found.different]
    lines += [(note, FAINT) for note in found.notes]
    for line, (text, colour) in enumerate(lines[:LINES]):
        pen.text((at[0], at[1] + line * LINE), cut(pen, text, face(11), TILE[0]), colour, face(11))
