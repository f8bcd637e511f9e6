"""A contact sheet: each query beside its first answers, framed green where right, red where wrong, grey where nobody
has said.

Pictures in, one picture out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

TILE = (96, 128)  # pixels
GAP = 10
FRAME = 3
TEXT = 30  # two lines above each row
INK, PAPER = (31, 36, 43), (255, 255, 255)
QUERY, OPEN = (55, 65, 81), (209, 213, 219)
FRAMES = {True: (22, 142, 75), False: (208, 52, 52), None: OPEN}


@dataclass(frozen=True)
class Row:
    """One query and what was found.

    Attributes:
        title: What is written above it.
        query: The picture that was searched with.
        answers: Each answer's picture and whether it is right, None where that is for who looks, best first.
    """

    title: str
    query: Image.Image
    answers: Sequence[tuple[Image.Image, bool | None]]


def save_sheet(path: Path, rows: Sequence[Row]) -> None:
    """Write the rows below each other as one PNG."""
    across = 1 + max(len(row.answers) for row in rows)
    size = (across * (TILE[0] + GAP) + 2 * GAP, len(rows) * (TILE[1] + TEXT) + GAP)
    sheet = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for number, row in enumerate(rows):
        top = number * (TILE[1] + TEXT) + TEXT
        pen.text((GAP, top - 20), row.title, INK, font)
        _tile(sheet, row.query, (GAP, top), QUERY)
        for place, (picture, right) in enumerate(row.answers, 1):
            _tile(sheet, picture, (2 * GAP + place * (TILE[0] + GAP), top), FRAMES[right])
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, "PNG")


def _tile(sheet: Image.Image, picture: Image.Image, at: tuple[int, int], frame: tuple[int, int, int]) -> None:
    inside = ImageOps.pad(picture, (TILE[0] - 2 * FRAME, TILE[1] - 2 * FRAME), color=PAPER)
    sheet.paste(ImageOps.expand(inside, FRAME, frame), at)
