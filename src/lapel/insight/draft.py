"""What a photo's product is, guessed from the products that look like it: each guess with its probability.

The share of a photo's neighbours that have a value becomes a probability by isotonic regression on the store's own
products, each asked about as if it were new.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lapel.core.types import Matches
from lapel.core.vectors import Vectors
from lapel.engine.context import StoreContext
from lapel.engine.look import decoded_palettes
from lapel.engine.palette import decode_palette
from lapel.indexes.neighbours import nearest
from lapel.insight.calibrate import isotonic_curve
from lapel.insight.findings import Gallery
from lapel.insight.label_evidence import read_palettes
from lapel.insight.votes import vote, weights_of

NEIGHBOURS = 60
TESTED = 2000  # photos that are asked about to learn what shares mean
FEWEST_TESTED = 100  # of one field: with fewer no probability is told
MOST_VALUES = 60  # of an attribute: with more it is rather a text
FILLED = 0.5  # share of products that have the attribute
COLOUR_REACH = 15.0  # CIELAB distance of mean colours: a neighbour that is so much further away counts 1/e for a colour


@dataclass(frozen=True)
class Guess:
    """One field of a draft.

    Attributes:
        field: Such as ``kind`` or ``colour``.
        value: What it probably is.
        probability: How likely that is right, 0..1; None where the store has too few products to say.
    """

    field: str
    value: str
    probability: float | None


class Drafter:
    """Guesses fields of photos.

    Args:
        context: The store.
        gallery: The photos whose products say what others are.
        groups: (n,) the number of each photo's product.
        seed: Of the photos that are tested.
    """

    def __init__(self, context: StoreContext, gallery: Gallery, groups: NDArray[np.int64], *, seed: int = 0) -> None:
        self._gallery, self._vectors = gallery, gallery.vectors
        self._columns = columns_of(gallery)
        self._colours = _mean_colours(context, gallery)
        rng = np.random.default_rng(seed)
        tested = np.sort(rng.permutation(len(gallery))[:TESTED])
        near = nearest(gallery.vectors[tested], gallery.vectors, NEIGHBOURS, groups=groups, own=groups[tested])
        self._curves = {}
        for name, values in self._columns.items():
            guessed, share = self._vote(name, near, self._colours[tested])
            truth = [values[at] for at in tested.tolist()]
            known = np.array([bool(true) and bool(guess) for true, guess in zip(truth, guessed, strict=True)])
            right = np.array([true == guess for true, guess in zip(truth, guessed, strict=True)])
            if known.sum() >= FEWEST_TESTED:
                self._curves[name] = isotonic_curve(share[known], right[known])

    def _vote(self, name: str, near: Matches, colours: NDArray[np.float64]) -> tuple[list[str], NDArray[np.float64]]:
        weights = weights_of(near)
        if name == "colour":
            apart = np.linalg.norm(self._colours[near.keys] - colours[:, None], axis=2)
            weights = weights * np.exp(-np.nan_to_num(apart, nan=COLOUR_REACH) / COLOUR_REACH)
        return vote(near, self._columns[name], weights)

    def guess(self, vector: Vectors, palette: bytes | None) -> tuple[Guess, ...]:
        """The fields of one photo.

        Args:
            vector: (dim,) float32 unit row.
            palette: Its colours, see :func:`lapel.engine.palette.palettes`; None where they are not known.
        """
        near = nearest(vector[None], self._vectors, NEIGHBOURS)
        colour = np.full(3, np.nan) if palette is None else _mean_colour(palette)
        found = []
        for name in self._columns:
            values, share = self._vote(name, near, colour[None])
            if values[0]:
                curve = self._curves.get(name)
                likely = None if curve is None else float(np.interp(share[0], *curve))
                found.append(Guess(name, values[0], likely))
        return tuple(found)


def columns_of(gallery: Gallery) -> dict[str, list[str]]:
    """The fields that a photo can say something of, each with a value a photo: kind, colour, gender, and attributes
    with few values that most products have. Numbers and dates are none, nor is what a field says already."""
    products = [gallery.product(place) for place in range(len(gallery))]
    columns = {
        "kind": [product.category[-1] if product.category else "" for product in products],
        "colour": [product.colour for product in products],
        "gender": [product.gender for product in products],
        "season": [product.season for product in products],
    }
    filled = Counter(name for product in products for name, value in product.attributes.items() if value)
    for name, count in filled.items():
        values = [product.attributes.get(name, "") for product in products]
        distinct = set(values) - {""}
        if name in NOT_SEEN or count < FILLED * len(products) or not 2 <= len(distinct) <= MOST_VALUES:
            continue
        is_seen = sum(bool(NUMBER.fullmatch(value)) for value in distinct) <= len(distinct) / 2
        if is_seen and not any(_say_the_same(values, known) for known in columns.values()):
            columns[name] = values
    return {name: values for name, values in columns.items() if any(values)}


def _say_the_same(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two columns have the same value for most of the products that both say something of."""
    pairs = [(a.casefold(), b.casefold()) for a, b in zip(one, other, strict=True) if a and b]
    return bool(pairs) and sum(a == b for a, b in pairs) > len(pairs) / 2


NUMBER = re.compile(r"[\d\s.,:/+-]+")  # or a date: no letter, as in "100% cotton", is in it
# What no photo shows, though neighbours share it.
NOT_SEEN = frozenset(("split", "group", "year", "seller", "condition", "days_listed", "days", "age", "size", "sizes"))


def title_of(guesses: Sequence[Guess], brand: str) -> str:
    """A title for a draft listing, such as ``Nike Men Black Casual Shoes``."""
    known = {guess.field: guess.value for guess in guesses}
    return " ".join(part for part in (brand, known.get("gender"), known.get("colour"), known.get("kind")) if part)


def _mean_colours(context: StoreContext, gallery: Gallery) -> NDArray[np.float64]:
    """(n, 3) CIELAB: the mean colour of each photo's product; NaN where no palette is kept."""
    lab, shares = decoded_palettes(read_palettes(context, gallery.keys.tolist()))
    found = (lab * shares[..., None]).sum(axis=1)
    return np.where(shares.any(axis=1, keepdims=True), found, np.nan).astype(np.float64)


def _mean_colour(data: bytes) -> NDArray[np.float64]:
    palette = decode_palette(data)
    return np.asarray(palette.share @ palette.lab, np.float64)
