"""A comparison for people: as text, and as a contact sheet, each of the most changed queries with both models' answers
below each other.

A comparison and a way to read a photo go in, one RGB picture comes out. In a model's row, what only that model found
has a thick frame in its colour; what both found is pale and says where the other one has it. With a rule, ticks and
crosses say what is right.
"""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image, ImageDraw

from lapel.core.metrics import Estimate
from lapel.core.text import counted
from lapel.insight.compare import Answer, Changed, Comparison
from lapel.insight.sheet import (
    BLANK,
    FAINT,
    GAP,
    INK,
    IRRELEVANT_COLOUR,
    PAPER,
    QUERY,
    RELEVANT_COLOUR,
    Colour,
    cut,
    face,
    mark,
    tile,
)

# Pixels. Ten answers of 3:4 and a larger query fill 1,242, which fits a laptop's width.
SMALL = (96, 128)
LARGE = (126, 168)
STEP = SMALL[0] + 10
MAX_ANSWERS = 10
ANSWERS_X = GAP + LARGE[0] + 2 * GAP  # where the answers begin
HEAD = 34  # the line above a query
NAME = 20  # the line above a model's row
CAPTION = 48  # three lines of small text below a tile
TITLE = 96
ROW = NAME + SMALL[1] + CAPTION
BLOCK = HEAD + 2 * ROW + 2 * GAP

# Orange and blue stay apart for those who see no difference between red and green, and as greys.
OLD: Colour = (196, 98, 16)
NEW: Colour = (24, 93, 196)
BOTH: Colour = (209, 213, 219)
RULE: Colour = (229, 231, 235)

Read = Callable[[int], Image.Image]


def draw_comparison(found: Comparison, read_picture: Read) -> Image.Image:
    """Draw the most changed queries of a comparison with the first ten answers of both models.

    Args:
        found: The comparison.
        read_picture: Gives the picture of a photo key; a LapelError or OSError leaves a grey tile that says so.

    Returns:
        An RGB picture, 1,242 pixels wide and 454 high for each query, below a title.
    """
    width = ANSWERS_X + MAX_ANSWERS * STEP + GAP
    sheet = Image.new("RGB", (width, TITLE + max(len(found.changed) * BLOCK, 40) + GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    _title(pen, found, width)
    if not found.changed:
        pen.text((GAP, TITLE + 8), "Both models give the same answers to every query.", INK, face(14))
    for place, query in enumerate(found.changed):
        _query(sheet, pen, found, query, TITLE + place * BLOCK, read_picture)
    return sheet


def _title(pen: ImageDraw.ImageDraw, found: Comparison, width: int) -> None:
    pen.text((GAP, 14), "What changes most", INK, face(22))
    about = (
        f"{counted(found.queries, 'query', 'queries')}, {counted(found.gallery_products, 'product')} · same among the"
        f" first {found.k}:"
        f" {100 * found.overlap.value:.0f} % · same first answer: {100 * found.same_first.value:.0f} %"
        f" · rank-biased overlap: {found.rbo.value:.2f} · each category in turn"
    )
    pen.text((GAP, 46), cut(pen, about, face(13), width - 2 * GAP), FAINT, face(13))
    x = GAP
    legend = (
        (OLD, f"only A, {found.a.name}, finds it"),
        (NEW, f"only B, {found.b.name}, finds it"),
        (BOTH, "both find it"),
    )
    for colour, text in legend:
        pen.rectangle((x, 71, x + 13, 84), PAPER, colour, 3)
        text = cut(pen, text, face(13), 340)
        pen.text((x + 20, 69), text, FAINT, face(13))
        x += 20 + round(pen.textlength(text, face(13))) + 24
    if found.marked_by:
        mark(pen, (x, 70), RELEVANT_COLOUR, True)
        text = cut(pen, f"right by {found.marked_by}", face(13), max(width - GAP - x - 22, 0))
        pen.text((x + 22, 69), text, FAINT, face(13))


def _query(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, found: Comparison, query: Changed, top: int, read: Read
) -> None:
    """One query: its picture at the left, the answers of A and B beside it."""
    pen.line((GAP, top, sheet.width - GAP, top), fill=RULE)
    both = round(query.overlap * min(found.k, max(len(query.a), 1)))
    pen.text((GAP, top + 9), query.category, INK, face(14))
    beside = f"{both} of {min(found.k, max(len(query.a), 1))} found by both · rank-biased overlap {query.rbo:.2f}"
    pen.text((GAP + pen.textlength(query.category, face(14)) + 12, top + 10), beside, FAINT, face(13))
    y = top + HEAD
    tile(sheet, pen, (GAP, y + NAME), query.key, read, QUERY, (f"query {query.product_id}", query.title), size=LARGE)
    rows = ((f"A   {found.a.name}", query.a, OLD), (f"B   {found.b.name}", query.b, NEW))
    for row, (name, answers, colour) in enumerate(rows):
        at = y + row * (ROW + GAP)
        pen.text((ANSWERS_X, at + 2), cut(pen, name, face(13), MAX_ANSWERS * STEP), colour, face(13))
        for place, one in enumerate(answers[:MAX_ANSWERS]):
            where = f"no. {one.other_rank} in {'BA'[row]}" if one.other_rank else f"only in {'AB'[row]}"
            _answer(sheet, pen, one, (ANSWERS_X + place * STEP, at + NAME), colour, where, read)


def _answer(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    one: Answer,
    at: tuple[int, int],
    colour: Colour,
    where: str,
    read: Read,
) -> None:
    x, y = at
    captions = (f"{one.score:z.2f} · {where}", one.title or one.product_id)
    tile(sheet, pen, at, one.key, read, BOTH if one.other_rank else colour, captions, size=SMALL)
    if one.other_rank:  # a thin frame: what both found is not what this sheet is about
        pen.rectangle((x + 1, y + 1, x + SMALL[0] - 2, y + SMALL[1] - 2), None, BLANK, 2)
    if one.relevant is not None:
        mark(pen, (x + SMALL[0] - 20, y + 4), RELEVANT_COLOUR if one.relevant else IRRELEVANT_COLOUR, one.relevant)


def render(found: Comparison) -> str:
    """The comparison as text for a terminal."""
    gallery = f"{counted(found.gallery_products, 'product')} in {counted(found.gallery_photos, 'photo')}"
    lines = [
        f"{counted(found.queries, 'query', 'queries')} against {gallery}",
        f"A  {found.a.name} ({found.a.fingerprint})",
        f"B  {found.b.name} ({found.b.fingerprint})",
    ]
    if found.left_out:
        lines.append(f"{counted(found.left_out, 'photo')} took no part: one of the models has no vector there.")
    lines += [
        "",
        f"same among the first {found.k:<3} {_percent(found.overlap)}",
        f"same first answer        {_percent(found.same_first)}",
        f"rank-biased overlap      {_percent(found.rbo)}",
    ]
    for rule in found.rules:
        lines += ["", f"right by {rule.rule}: {counted(rule.used, 'query', 'queries')}, {rule.left_out:,} left out"]
        lines += [
            f"  Recall@{one.rank}   A {_percent(one.a)}   B {_percent(one.b)}   B - A {_points(one.difference)}  "
            f" {one.verdict}"
            for one in rule.recall
        ]
    return "\n".join(lines)


def _percent(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.1f} % [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def _points(estimate: Estimate) -> str:
    return f"{100 * estimate.value:+z.1f} points [{100 * estimate.low:+z.1f}, {100 * estimate.high:+z.1f}]"
