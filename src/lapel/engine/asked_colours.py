"""A colour that is asked for, as a store has it: which of its names it is, and how well photos agree with it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lapel.core.colour_names import ColourName, find_colour, unknown_colour
from lapel.core.colours import NAMES, AskedColour, lab_of, name_shares
from lapel.core.synonyms import Synonyms
from lapel.core.text import fold
from lapel.core.words import tokens
from lapel.engine.colours import GRID, cells_of, smoothed
from lapel.engine.look import NAME_SIGMA, LookTable, decoded_palettes

SURE_NAME = 0.25  # likelihood of a store's name of a colour from which it stands for one that the store does not name
IN_REACH = 0.5  # of all names' likelihoods together, below which no product has a colour: it is more vivid than all
MOST_APART = 60.0  # CIELAB: how far the common colour of a store's name may be to stand for one
COMMON = 0.005  # share of the products, from which a name of theirs may stand for such a colour
WEIGHTS = np.array([0.5, 0.5, 1.0])  # of lightness, chroma and hue in that
CLOSE = 14.0  # CIELAB: how far a palette's colour may be from the one asked for to be it
UNNAMED = 0.5  # what the palette alone counts beside a name that agrees


def resolve_colour(text: str, table: LookTable, synonyms: Synonyms) -> AskedColour:
    """Which colour a name or ``#rrggbb`` is in this store.

    The store's own name comes first, then one that means the same, then the common name or number, for which the
    store's likeliest name stands in where one is near enough.

    Raises:
        QueryError: nobody knows it.
    """
    own = [name for name in table.columns["colour"].values if name]
    found = find_colour(text)
    named = _same(text, own, synonyms)
    rgb = found.rgb if found else ""
    if not named:
        if found is None:
            raise unknown_colour(text, own)
        near = _nearest(found, table)
        named = (near,) if near else ()
    return AskedColour(text.strip(), rgb, named)


def shares_of(asked: AskedColour, table: LookTable) -> NDArray[np.float32]:
    """(colours,) how much a colour is each of those of the store's colour space, see
    :class:`lapel.engine.colour_space.ColourSpace`; they sum to 1, or are zeros where nothing is known of it."""
    if not len(table.names):
        if not asked.rgb:
            return np.zeros(len(NAMES), np.float32)
        return np.asarray(name_shares(lab_of(asked.rgb)[None])[0], np.float32)
    known = [name for name, there in zip(table.columns["colour"].values, table.known, strict=True) if there]
    shares = np.array([name in asked.names for name in known], np.float32)
    if not shares.any() and asked.rgb:
        likely = _likely(asked.rgb, table)
        shares = likely**2 * (likely.sum() >= IN_REACH)
    return np.asarray(shares / max(float(shares.sum()), 1e-9), np.float32)


def agreement(asked: AskedColour, table: LookTable, at: NDArray[np.int64]) -> NDArray[np.float32]:
    """(n,) 0..1: how well photos, by their places in the table, agree with a colour: 1 where the store calls theirs so,
    less by their palettes."""
    names = table.columns["colour"].values
    same = np.array([name in asked.names for name in names])[table.columns["colour"].of[at]]
    if not asked.rgb:
        return same.astype(np.float32)
    lab, shares = decoded_palettes(table.palettes[at])
    apart = ((lab - lab_of(asked.rgb).astype(np.float32)) ** 2).sum(axis=-1)
    close = (np.exp(-apart / (2 * CLOSE**2)) * shares).sum(axis=1)
    if asked.exact:  # picked by eye: the palette says more than the name
        return np.asarray(UNNAMED * same + (1 - UNNAMED) * close, np.float32)
    return np.asarray(np.where(same, 1.0, UNNAMED * close), np.float32)


def _same(text: str, own: list[str], synonyms: Synonyms) -> tuple[str, ...]:
    """The store's names that are this one, else those that mean the same."""
    plain = "".join(tokens(text))
    same = tuple(name for name in own if fold(name) == fold(text) or "".join(tokens(name)) == plain)
    if same or text.strip().startswith("#"):
        return same
    other = {"".join(words) for words in synonyms.of(tokens(text))} if tokens(text) else set()
    return tuple(name for name in own if "".join(tokens(name)) in other)


def _nearest(found: ColourName, table: LookTable) -> str:
    """The store's name that is likeliest for a colour by the palettes of its products; where none is sure, the one that
    commonly means the nearest. Empty where none is near, or the store has none."""
    if not len(table.names):
        return ""
    likely = _likely(found.rgb, table)
    colours = table.columns["colour"]
    known = [name for name, there in zip(colours.values, table.known, strict=True) if there]
    if likely.max() >= SURE_NAME * likely.sum() and likely.sum() >= IN_REACH:
        return known[int(likely.argmax())]
    counts = np.bincount(colours.of, minlength=len(colours.values))[table.known]
    often = [name for name, count in zip(known, counts.tolist(), strict=True) if count >= COMMON * len(table.keys)]
    common = {name: _apart(found.rgb, colour.rgb) for name in often if (colour := find_colour(name)) is not None}
    best = min(common, key=common.__getitem__, default="")
    return best if best and common[best] <= MOST_APART else ""


def _apart(one: str, other: str) -> float:
    """How far two colours lie apart, hue before lightness and chroma."""
    (light, a, b), (other_light, other_a, other_b) = lab_of(one), lab_of(other)
    chroma, other_chroma = np.hypot(a, b), np.hypot(other_a, other_b)
    hue = max(0.0, (a - other_a) ** 2 + (b - other_b) ** 2 - (chroma - other_chroma) ** 2) ** 0.5
    return float(np.linalg.norm(WEIGHTS * (light - other_light, chroma - other_chroma, hue)))


def _likely(rgb: str, table: LookTable) -> NDArray[np.float32]:
    """(names,) how likely each of the store's names is for a colour."""
    spot = np.zeros(int(np.prod(GRID)), np.float32)
    spot[cells_of(lab_of(rgb))] = 1
    return np.asarray(table.names @ smoothed(spot, NAME_SIGMA), np.float32)
