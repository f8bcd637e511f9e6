"""Colours by name: what ``teal`` or ``#008080`` is, and which of a shop's own names is nearest to it.

Names are those of CSS (Pillow's table) and the ones that fashion adds. A store's own names come before them, see
:mod:`lapel.engine.asked_colours`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from lapel.core.colours import lab_of, to_rgb
from lapel.core.errors import QueryError
from lapel.core.text import fold

# What shops call colours beside CSS, or other than CSS, whose khaki, lavender and gold are those of screens.
_FASHION = """
apricot #f6b78b, blush #e8b4b0, bottle green #0f4d3a, brick #9c3b2e, bronze #8c6b3f, burgundy #6d1a2b, camel #c19a6b,
caramel #a8682f, champagne #ead7b5, charcoal #3b3f44, cobalt #1f4ea8, coffee #5a4033, copper #b06a3b, cream #f5ecd7,
denim #45648c, ecru #e3dbc3, emerald #1f8a5b, espresso #3b2a22, gold #c9a24b, khaki #8f8458, lavender #b3a2d8, lemon
#f4e55a, lilac #bfa3d3, mauve #a9829f, mint #a9d9c0, mocha #7b5b48, mustard #cf9b2b, navy #1b2440, nude #dcb99f, off
white #f2eee3, oxblood #5a1622, peach #f5bfa0, petrol #1f4f5f, plum #5e2b50, rose #d98597, ruby #9b1a36, rust #a4502b,
sage #9fae8f, sand #d3bd95, silver #bfc1c4, sky #9cc6e6, steel #7c858d, stone #bdb3a2, tan #b98a5c, taupe #8d7d6f,
terracotta #b5614a, wine #6a1f35
"""
# CIELAB lightness that a word before a colour adds.
MODIFIERS = {
    **dict.fromkeys(("light", "pale", "soft"), 15),
    **dict.fromkeys(("dark", "deep"), -18),
    **dict.fromkeys(("bright", "neon", "fluorescent", "melange", "heather", "washed", "plain", "solid"), 0),
}


@dataclass(frozen=True)
class ColourName:
    """A colour that is asked for.

    Attributes:
        name: As it was asked for, folded: ``teal`` or ``#008080``.
        rgb: As the web writes it.
    """

    name: str
    rgb: str

    @property
    def lab(self) -> NDArray[np.float64]:
        """(3,) CIELAB."""
        return lab_of(self.rgb)


@cache
def _names() -> dict[str, str]:
    own = {}
    for entry in " ".join(_FASHION.split()).split(","):
        name, _, rgb = entry.strip().rpartition(" ")
        own[_plain(name)] = rgb
    # Not the table's values: Pillow puts tuples there once a name was asked for.
    css = {name: "#{:02x}{:02x}{:02x}".format(*ImageColor.getrgb(name)[:3]) for name in list(ImageColor.colormap)}
    return {**css, **own}


def find_colour(text: str) -> ColourName | None:
    """What a name or ``#rrggbb`` means; None where it is neither. Blanks, hyphens and case do not count. Of several
    names the first counts, as ``turquoise blue`` is turquoise; ``dark`` and ``light`` change its lightness.

    >>> find_colour("Sea Green").rgb, find_colour("#0aF").rgb, find_colour("dark red").rgb, find_colour("zorblax")
    ('#2e8b57', '#00aaff', '#8b0000', None)
    >>> round(find_colour("pale mauve").lab[0] - find_colour("mauve").lab[0])
    15
    """
    folded = fold(text)
    if re.fullmatch("#[0-9a-f]{3}([0-9a-f]{3})?", folded):
        digits = folded[1:] if len(folded) == 7 else "".join(digit * 2 for digit in folded[1:])
        return ColourName(folded, f"#{digits}")
    known, plain = _names(), _plain(folded)
    if plain in known:
        return ColourName(folded, known[plain])
    words = re.split(r"[\s_-]+", folded)
    colours = [word for word in words if word in known]
    if not colours or any(word not in known and word not in MODIFIERS for word in words):
        return None
    rgb = known[colours[0]]
    lift = sum(MODIFIERS.get(word, 0) for word in words)
    if lift:
        lab = ColourName(folded, rgb).lab
        rgb = to_rgb(np.array([min(max(lab[0] + lift, 0), 100), *lab[1:]]))
    return ColourName(folded, rgb)


def unknown_colour(text: str, names: list[str]) -> QueryError:
    """The error for a colour that nobody knows, with the nearest names among these and the common ones."""
    near = get_close_matches(fold(text), sorted({*map(fold, names), *_names()}), n=3, cutoff=0.6)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return QueryError(
        f"'{text:.60}' is no colour that is known here.{hint} Give a name such as teal, or #rrggbb such as #008080.",
        colour=text[:60],
    )


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name)
