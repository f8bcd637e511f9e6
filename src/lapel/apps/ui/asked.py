"""What a visitor asks for, as a value: its parts, how it stands in the address, and the query that it makes.

Everything but the filters, which are a :class:`~lapel.apps.ui.selection.FilterSelection` beside it. All of it stands in
the address, so a search can be sent to somebody, loaded again and gone back to. A picture cannot; in its place stands
the token of the cache that keeps it for a while, see :mod:`lapel.apps.ui.picture_cache`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from lapel.apps.ui.picture_cache import KeptPhoto
from lapel.apps.ui.selection import PRODUCT
from lapel.core.types import Filter, LookMix, Part, Query

SIDES = ("shape", "colour", "pattern")
LESS = -0.5  # weight of a product that the answer should be unlike: half as much as what it should be like
MOST_PRODUCTS = 12  # of one query; more of them say nothing that fewer do not
MAX_WORDS = 500  # letters
NUMBERS = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:-[0-9]+(?:\.[0-9]+)?){2,3}")

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Asked:
    """The parts of a visitor's query.

    Attributes:
        text: Words.
        likes: Ids of products that the answer should be like.
        unlikes: Ids of products that it should be unlike.
        photo: The cache's token of a picture.
        box: The part of the picture that counts, in shares of its sides; None for all of it.
        whole: Ask with the whole picture although a product was found in it.
        colour: As ``#rrggbb``; empty for none.
        look: How much shape, colour and pattern count, 0..4 each.
        models: Show each model once, whatever its colour.
        anyway: Show the nearest although nothing is close.
    """

    text: str = ""
    likes: tuple[str, ...] = ()
    unlikes: tuple[str, ...] = ()
    photo: str = ""
    box: Box | None = None
    whole: bool = False
    colour: str = ""
    look: tuple[float, float, float] = (1.0, 1.0, 1.0)
    models: bool = False
    anyway: bool = False

    def __bool__(self) -> bool:
        return bool(self.text or self.likes or self.photo or self.colour)

    def params(self) -> dict[str, list[str]]:
        """As it stands in the address."""
        params = {
            "q": [self.text],
            PRODUCT: list(self.likes),
            "unlike": list(self.unlikes),
            "photo": [self.photo],
            "box": ["-".join(f"{side:.3f}" for side in self.box)] if self.box else [],
            "whole": ["yes"] if self.whole else [],
            "tint": [self.colour.removeprefix("#")],
            "look": ["-".join(f"{side:g}" for side in self.look)] if self.look != (1.0, 1.0, 1.0) else [],
            "models": ["once"] if self.models else [],
            "anyway": ["yes"] if self.anyway else [],
        }
        return {name: values for name, values in params.items() if any(values)}

    @classmethod
    def read(cls, params: Mapping[str, list[str]]) -> tuple[Asked, list[str]]:
        """From an address, however it was edited, with what of it means nothing or is too much."""
        unknown = []
        box = look = None
        for given in params.get("box", []):
            box = _box(given)
            unknown += [] if box else [f"box={given}"]
        for given in params.get("look", []):
            look = _look(given)
            unknown += [] if look else [f"look={given}"]
        colour = ""
        for given in params.get("tint", []):
            colour = f"#{given.lower()}" if re.fullmatch("[0-9a-fA-F]{6}", given) else ""
            unknown += [] if colour else [f"tint={given}"]
        text = " ".join((params.get("q") or [""])[-1].split())
        unknown += [f"q=...{text[MAX_WORDS:][:20]}"] if len(text) > MAX_WORDS else []
        for name in (PRODUCT, "unlike"):
            unknown += [f"{name}={each}" for each in _all_ids(params.get(name, []))[MOST_PRODUCTS:]]
        asked = cls(
            text=text[:MAX_WORDS],
            likes=_ids(params.get(PRODUCT, [])),
            unlikes=_ids(params.get("unlike", [])),
            photo=(params.get("photo") or [""])[-1],
            box=box,
            whole=params.get("whole") == ["yes"],
            colour=colour,
            look=look or (1.0, 1.0, 1.0),
            models=params.get("models") == ["once"],
            anyway=params.get("anyway") == ["yes"],
        )
        return asked, unknown

    @property
    def only_likes(self) -> bool:
        """Whether products of the shop are all that is asked with."""
        return bool(self.likes) and not (self.text or self.photo or self.colour)

    def more_like(self, product_id: str) -> Asked:
        """With one product more that the answer should be like."""
        likes = tuple(each for each in self.likes if each != product_id)
        unlikes = tuple(each for each in self.unlikes if each != product_id)
        return replace(self, likes=(*likes, product_id)[-MOST_PRODUCTS:], unlikes=unlikes, anyway=False)

    def less_like(self, product_id: str) -> Asked:
        """With one product more that the answer should be unlike."""
        unlikes = tuple(each for each in self.unlikes if each != product_id)
        likes = tuple(each for each in self.likes if each != product_id)
        return replace(self, unlikes=(*unlikes, product_id)[-MOST_PRODUCTS:], likes=likes, anyway=False)

    def without(self, name: str, value: str = "") -> Asked:
        """With one part less; what only goes with a picture or a query goes with it."""
        left: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        if name in ("likes", "unlikes"):
            left[name] = tuple(each for each in left[name] if each != value)
        elif name == "photo":
            left |= {"photo": "", "box": None, "whole": False}
        else:
            left[name] = getattr(Asked(), name)
        made = Asked(**{**left, "anyway": False})
        return made if made else Asked()

    def query(self, photo: KeptPhoto | None, k: int, where: Filter) -> Query:
        """What the store is asked.

        Args:
            photo: What the cache keeps under the token; None without a picture.
            k: How many products.
            where: The filters.
        """
        parts = []
        if photo is not None:
            vector, colours = photo.direction(whole=self.whole, box=self.box)
            parts.append(Part(vector=vector, fingerprint=photo.fingerprint, colours=colours))
        if self.text:
            parts.append(Part(text=self.text))
        parts += [Part(product_id=each) for each in self.likes]
        if self.colour:
            parts.append(Part(colour=self.colour))
        parts += [Part(product_id=each, weight=LESS) for each in self.unlikes]
        look = None if self.look == (1.0, 1.0, 1.0) else LookMix(*self.look)
        group = "variants" if self.models else ""
        return Query(parts=tuple(parts), k=k, where=where, look=look, group=group)


def _all_ids(given: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.strip() for each in given if each.strip()))


def _ids(given: list[str]) -> tuple[str, ...]:
    return _all_ids(given)[:MOST_PRODUCTS]


def _box(given: str) -> Box | None:
    if not NUMBERS.fullmatch(given) or given.count("-") != 3:
        return None
    left, top, right, bottom = (float(side) for side in given.split("-"))
    return (left, top, right, bottom) if 0 <= left < right <= 1 and 0 <= top < bottom <= 1 else None


def _look(given: str) -> tuple[float, float, float] | None:
    if not NUMBERS.fullmatch(given) or given.count("-") != 2:
        return None
    shape, colour, pattern = (float(side) for side in given.split("-"))
    fits = all(0 <= side <= 4 for side in (shape, colour, pattern)) and shape + colour + pattern > 0
    return (shape, colour, pattern) if fits else None
