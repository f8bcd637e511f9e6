"""The picture sheet of an evaluation: each of the worst queries beside what was found instead, for seeing what the
engine gets wrong.

A report and a way to read a photo go in, one RGB picture comes out: a row a query, its answers framed green where they
are relevant and red where not, with a tick or a cross for those who see no difference between the two.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from PIL import Image, ImageDraw, ImageFont, ImageOps

from lapel.core.errors import LapelError
from lapel.core.text import counted
from lapel.insight.report import EvalReport, WorstQuery

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Pixels. A tile is 3:4 as the fashion pictures are; eight answers and the query fill 1,234, which fits a laptop's
# width.
TILE = (120, 160)
GAP = 14
FRAME = 3
CAPTION = 48  # three lines of small text below a tile
HEAD = 30  # the line above a row
TITLE = 74
ANSWERS = 8

INK: Colour = (31, 36, 43)
FAINT: Colour = (107, 114, 128)
PAPER: Colour = (255, 255, 255)
BLANK: Colour = (243, 244, 246)
QUERY: Colour = (55, 65, 81)
RELEVANT_COLOUR: Colour = (22, 142, 75)
IRRELEVANT_COLOUR: Colour = (208, 52, 52)


def draw_sheet(report: EvalReport, read_picture: Callable[[int], Image.Image]) -> Image.Image:
    """Draw the worst queries of a report with their first eight answers.

    Args:
        report: The evaluation.
        read_picture: Gives the picture of a photo key; a LapelError or OSError leaves a grey tile that says so.

    Returns:
        An RGB picture, 1,234 pixels wide and 252 high for each query, below a title.
    """
    width = GAP + (ANSWERS + 1) * (TILE[0] + GAP) + GAP
    row_height = HEAD + TILE[1] + CAPTION + GAP
    sheet = Image.new("RGB", (width, TITLE + max(1, len(report.worst)) * row_height + GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    _title(pen, report, width)
    for row, query in enumerate(report.worst):
        _row(sheet, pen, query, TITLE + row * row_height, read_picture)
    return sheet


def _title(pen: ImageDraw.ImageDraw, report: EvalReport, width: int) -> None:
    rules = [str(found.rule) for found in report.rules if found.used]
    pen.text(
        (GAP, 14),
        cut(pen, f"Worst queries by {rules[-1]}" if rules else "No query counts", face(22), width - 2 * GAP),
        INK,
        face(22),
    )
    asked, found = report.query_filter or "all photos", report.gallery_filter or "all photos"
    about = (
        f"queries {asked} · gallery {found} · model {report.model} · lowest average precision, each category in turn"
    )
    pen.text((GAP, 46), cut(pen, about, face(13), width - 2 * GAP), FAINT, face(13))


def _row(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, query: WorstQuery, top: int, read: Callable[[int], Image.Image]
) -> None:
    pen.line((GAP, top, sheet.width - GAP, top), fill=(229, 231, 235))
    number = (
        f"{counted(query.relevant, 'relevant product')} in the gallery, average precision {query.average_precision:.3f}"
    )
    pen.text((GAP, top + 8), query.category, INK, face(14))
    pen.text((GAP + pen.textlength(query.category, face(14)) + 12, top + 9), number, FAINT, face(13))
    y = top + HEAD
    tile(sheet, pen, (GAP, y), query.key, read, QUERY, (query.product_id, query.label))
    for place, hit in enumerate(query.hits[:ANSWERS]):
        x = 2 * GAP + (place + 1) * (TILE[0] + GAP)
        colour = RELEVANT_COLOUR if hit.relevant else IRRELEVANT_COLOUR
        tile(sheet, pen, (x, y), hit.key, read, colour, (f"{hit.score:z.3f} · {hit.product_id}", hit.label))
        mark(pen, (x + TILE[0] - 20, y + 4), colour, hit.relevant)


def tile(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    at: tuple[int, int],
    key: int,
    read: Callable[[int], Image.Image],
    frame: Colour,
    captions: tuple[str, str],
    *,
    size: tuple[int, int] = TILE,
) -> None:
    """Draw one photo in a frame at (x, y), ``size`` pixels wide and high, with three lines of text below it."""
    x, y = at
    wide, high = size
    inside = (wide - 2 * FRAME, high - 2 * FRAME)
    pen.rectangle((x, y, x + wide - 1, y + high - 1), PAPER, frame, FRAME)
    try:
        picture = ImageOps.contain(read(key).convert("RGB"), inside, Image.Resampling.BICUBIC)
        sheet.paste(picture, (x + (wide - picture.width) // 2, y + (high - picture.height) // 2))
    except (LapelError, OSError):
        pen.rectangle((x + FRAME, y + FRAME, x + wide - 1 - FRAME, y + high - 1 - FRAME), BLANK)
        pen.text((x + wide / 2, y + high / 2), "cannot be read", FAINT, face(12), anchor="mm")
    lines = [cut(pen, captions[0], face(11), wide), *_wrap(pen, captions[1], face(11), wide)]
    for line, text in enumerate(lines):
        pen.text((x, y + high + 4 + 14 * line), text, FAINT if line else INK, face(11))


def mark(pen: ImageDraw.ImageDraw, at: tuple[int, int], colour: Colour, right: bool) -> None:
    """A white tick or cross on a disc 16 pixels wide."""
    x, y = at
    pen.ellipse((x, y, x + 16, y + 16), colour)
    if right:
        pen.line((x + 4, y + 8, x + 7, y + 11, x + 12, y + 5), PAPER, 2)
    else:
        pen.line((x + 5, y + 5, x + 11, y + 11), PAPER, 2)
        pen.line((x + 11, y + 5, x + 5, y + 11), PAPER, 2)


def cut(pen: ImageDraw.ImageDraw, text: str, font: Font, width: float) -> str:
    """The text, or as much of it as fits before an ellipsis."""
    text = text.replace("\n", " ")
    if pen.textlength(text, font) <= width:
        return text
    while text and pen.textlength(text + "…", font) > width:
        text = text[:-1]
    return text.rstrip(" ,") + "…"


def _wrap(pen: ImageDraw.ImageDraw, text: str, font: Font, width: float) -> tuple[str, str]:
    """The text on two lines, broken between words, the second one cut when there is more."""
    words = text.split()
    fits = max((n for n in range(len(words) + 1) if pen.textlength(" ".join(words[:n]), font) <= width), default=0)
    first = " ".join(words[:fits]) if fits else cut(pen, text, font, width)
    return first, cut(pen, " ".join(words[fits:]), font, width) if fits else ""


@cache
def face(size: int) -> Font:
    """The type of every text, ``size`` pixels high."""
    return ImageFont.load_default(size)
