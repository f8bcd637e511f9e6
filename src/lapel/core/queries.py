"""What is asked and what is answered: a query of weighted parts, and a result with hits, facets, verdict and
timings."""

from __future__ import annotations

import math
import operator
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lapel.core.answers import Reason
from lapel.core.boxes import Box, check_box, cropped
from lapel.core.colours import AskedColour, ColourReading
from lapel.core.errors import ImageError, QueryError
from lapel.core.filters import NO_FILTER, Filter
from lapel.core.images import ImageLike, described, is_image_like, to_image
from lapel.core.products import Photo, Product
from lapel.core.text import shortened
from lapel.core.vectors import Keys
from lapel.core.words import WordReading, check_words

Frame = tuple[float, float, float, float]  # left, top, right and bottom as shares of an image's width and height
MAX_K = 10_000  # products an answer may hold
MOST_LOOK = 4  # that a side of a look may count


class Verdict(StrEnum):
    """What an answer is worth, and what a hit of it is."""

    SAME_PRODUCT = "the same product"
    SAME_STYLE = "same style"  # for the same people, in the same section of the shop, in the same colour
    SAME_KIND = "same kind"  # the last level of its category is the same, such as Shirts; of words: it is what they ask
    FOUND = "found"  # an answer that cannot be judged: to several pictures, or of a model without figures
    NOTHING_CLOSE = "nothing close"  # nothing is more likely than not of the same kind, or nothing reaches `least`
    NOTHING_PASSES = "nothing passes the filter"
    NOT_UNDERSTOOD = "not understood"  # no word of the query is known here
    EMPTY = "the store is empty"

    __hash__ = str.__hash__  # in place of Enum's own, which is Python: every hit has a dictionary of three verdicts


CLOSENESS = (Verdict.SAME_PRODUCT, Verdict.SAME_STYLE, Verdict.SAME_KIND)  # the closest first


@dataclass(frozen=True)
class Part:
    """One thing to look for: exactly one of an image, words, a product of the catalogue, a colour, and a unit vector.

    Attributes:
        image: A PIL image of any mode, an array (height, width, 3) uint8, a path, or the bytes of a file, see
            :func:`lapel.core.images.to_image`. It is kept upright, RGB and in sRGB.
        text: Words.
        product_id: The mean direction of this product's photos; the product itself is left out of the answer.
        colour: A colour by name or as ``#rrggbb``: it takes the place of the other parts' colours.
        vector: (dim,) float32 of length 1.
        box: Of an image, the only part of it that counts: left, top, right and bottom in pixels, or, where all four
            are 0..1, in shares of its sides.
        weight: How much it counts beside other parts; below 0 it is what the answer should be unlike.
        segment: Whether the product in an image is found too and laid on white, as shops show theirs; the part is
            then the mean direction of the image and of that.
        fingerprint: Of a vector, the model that made it, when that is known: a store of another model then refuses it.
        colours: Of a vector, the colours of the image that it was made from, when they are known.
    """

    image: ImageLike | None = None
    text: str | None = None
    product_id: str | None = None
    vector: NDArray[np.float32] | None = None
    weight: float = 1.0
    segment: bool = True
    fingerprint: str = ""
    colours: ColourReading | None = None
    colour: str | None = None
    box: Box | None = None

    def __post_init__(self) -> None:
        given = [
            name for name in ("image", "text", "product_id", "colour", "vector") if getattr(self, name) is not None
        ]
        if len(given) != 1:
            raise QueryError(
                f"A part of a query is one image, text, product id, colour or vector; found"
                f" {' and '.join(given) or 'none'}."
            )
        if self.box is not None:
            if self.image is None:
                raise QueryError(f"A box goes with an image; found it with {given[0]}.")
            object.__setattr__(self, "box", check_box(self.box))
        if self.image is not None:
            object.__setattr__(self, "image", _image(self.image))
            _ = self.seen
        if self.vector is not None:
            object.__setattr__(self, "vector", _direction(self.vector))
        if self.colour is not None and (not isinstance(self.colour, str) or not self.colour.strip()):
            raise QueryError(f"A colour is a name or #rrggbb, such as 'teal'; found {_shown(self.colour)}.")
        if self.colours is not None and (self.vector is None or not isinstance(self.colours, ColourReading)):
            raise QueryError(
                f"colours go with a vector, and are what an answer's understood.colours holds; found"
                f" {_shown(self.colours)}. Those of an image are read from it."
            )
        if self.product_id is not None and not isinstance(self.product_id, str):
            raise QueryError(f"A product's id is a text, such as '1163'; found {_shown(self.product_id)}.")
        if self.text is not None and not isinstance(self.text, str):
            raise QueryError(f"Words to look for are a text, such as 'red saree'; found {_shown(self.text)}.")
        if self.text is not None:
            check_words(self.text)
        object.__setattr__(self, "weight", _weight(self.weight))

    @property
    def seen(self) -> Image.Image | None:
        """The image, or what is inside its box."""
        return None if self.image is None else cropped(to_image(self.image), self.box)

    @cached_property
    def kind(self) -> str:
        """``image``, ``text``, ``product``, ``colour`` or ``vector``."""
        known = {
            "image": self.image,
            "text": self.text,
            "product": self.product_id,
            "colour": self.colour,
            "vector": self.vector,
        }
        return next(name for name, value in known.items() if value is not None)


@dataclass(frozen=True)
class LookMix:
    """How much each side of a look counts, 0..4; 1 is as the model sees it.

    >>> LookMix.parse("colour=2, pattern=0")
    LookMix(shape=1.0, colour=2.0, pattern=0.0)

    Attributes:
        shape: The kind of thing, its cut, whom it is for.
        colour: Its colours.
        pattern: Solid, striped, checked, printed.
    """

    shape: float = 1.0
    colour: float = 1.0
    pattern: float = 1.0

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value <= MOST_LOOK:
                raise QueryError(f"{each.name} counts from 0 to {MOST_LOOK} in a look; found {value!r:.40}.")
            object.__setattr__(self, each.name, float(value))
        if not (self.shape or self.colour or self.pattern):
            raise QueryError("Shape, colour and pattern cannot all count 0: nothing would be left to look for.")

    @classmethod
    def parse(cls, given: object) -> LookMix:
        """From ``"colour=2,pattern=0"``, or a mapping of the same.

        Raises:
            QueryError: another name, or no number.
        """
        if isinstance(given, cls):
            return given
        sides: Any = given
        try:
            if isinstance(given, str):
                sides = dict(pair.split("=", 1) for pair in given.split(",") if pair.strip())
            if not isinstance(sides, Mapping):
                raise TypeError
            return cls(**{str(name).strip(): float(value) for name, value in sides.items()})
        except (TypeError, ValueError) as error:
            raise QueryError(
                f"A look is how much shape, colour and pattern count, such as 'colour=2,pattern=0'; found"
                f" {_shown(given)}."
            ) from error


@dataclass(frozen=True)
class Query:
    """What to look for: any number of parts, each with a weight. One that stands alone is written without a
    :class:`Part`: ``Query(image="photo.jpg")``.

    Attributes:
        image: An image, see :attr:`Part.image`.
        vector: (dim,) float32 of length 1.
        product_id: "More like this".
        k: How many products to find, a whole number 1..10,000.
        where: Conditions the products must fulfil.
        exclude: Ids of products to leave out.
        fingerprint: Of ``vector``, the model that made it, when that is known.
        segment: Of ``image``, see :attr:`Part.segment`.
        text: Words.
        parts: More parts, or all of them.
        least: Only products with at least this score, a cosine -1..1, or this verdict, such as ``same kind``; None
            takes whatever is nearest. Neither changes the order or a score: it leaves out.
        group: A field of which each value comes once, with its best product, such as ``brand``; ``variants`` for each
            model once, whatever its colour; by default each product comes once.
        facets: Fields whose values are counted among the products that pass ``where``; ``True`` for all useful ones.
        colours: Of ``vector``, see :attr:`Part.colours`.
        colour: A colour by name or as ``#rrggbb``, see :attr:`Part.colour`.
        box: Of ``image``, see :attr:`Part.box`.
        colour_weight: How much the colours of a query that is one image count beside its vector, 0..1; 0 ranks by the
            cosine alone, None as the setting ``colour_weight`` says.
        diversity: 0..1, how much hits should differ from each other: 0 takes the best, 1 those that are least alike.
        max_per: ``brand:2``, at most so many hits of each value of a field.
        distinct: Leave out hits that are nearly the same photo as a better one. The very same photo always comes once.
        look: How much shape, colour and pattern count, a :class:`LookMix` or what it parses; then the score is the
            cosine of the query so weighed, and hits have no verdict.
    """

    image: ImageLike | None = None
    vector: NDArray[np.float32] | None = None
    product_id: str | None = None
    k: int = 10
    where: Filter = NO_FILTER
    exclude: frozenset[str] = frozenset()
    fingerprint: str = ""
    segment: bool = True
    text: str | None = None
    parts: tuple[Part, ...] = ()
    least: float | Verdict | str | None = None
    group: str = ""
    facets: tuple[str, ...] | bool = ()
    colours: ColourReading | None = None
    colour: str | None = None
    box: Box | None = None
    colour_weight: float | None = None
    diversity: float = 0.0
    max_per: str = ""
    distinct: bool = False
    look: LookMix | Mapping[str, float] | str | None = None
    _own: tuple[Part, ...] = field(init=False, repr=False, compare=False, default=())

    def __post_init__(self) -> None:
        self._take_former_colour()
        own = []
        if self.image is not None:
            own.append(Part(image=self.image, segment=self.segment, box=self.box))
            object.__setattr__(self, "image", own[-1].image)
        if self.vector is not None:
            own.append(Part(vector=self.vector, fingerprint=self.fingerprint, colours=self.colours))
            object.__setattr__(self, "vector", own[-1].vector)
        if self.product_id is not None:
            own.append(Part(product_id=self.product_id))
        if self.text is not None:
            own.append(Part(text=self.text))
        if self.colour is not None:
            own.append(Part(colour=self.colour))
        if self.box is not None and self.image is None:
            raise QueryError("A box goes with image=; a part's own is Part(image=..., box=...).")
        more = (self.parts,) if isinstance(self.parts, Part) else self.parts
        more = tuple(more) if isinstance(more, Iterable) else (more,)
        if not all(isinstance(part, Part) for part in more):
            raise QueryError(f"parts are several lapel.Part; found {_shown(self.parts)}.")
        if not own and not more:
            raise QueryError(
                "A query is an image, a text, a product id, a colour, a vector, or several of them; found none."
            )
        object.__setattr__(self, "parts", more)
        object.__setattr__(self, "_own", tuple(own))
        object.__setattr__(self, "k", _count(self.k))
        object.__setattr__(self, "least", _least(self.least))
        weight = _number(self.colour_weight, "colour_weight is how much colours count, 0 to 1", 0)
        object.__setattr__(self, "colour_weight", weight)
        diversity = _number(self.diversity, "diversity is how much hits should differ, 0 to 1", 0) or 0.0
        object.__setattr__(self, "diversity", diversity)
        _ = self.most
        look = None if self.look is None else LookMix.parse(self.look)
        object.__setattr__(self, "look", None if look == LookMix() else look)
        if not isinstance(self.where, Filter):
            raise QueryError(
                f"Conditions are a Filter, such as Filter.parse(['price<200']); found {_shown(self.where)}."
            )
        exclude = (self.exclude,) if isinstance(self.exclude, str) else self.exclude
        object.__setattr__(self, "exclude", frozenset(_texts(exclude, "exclude is a set of products' ids")))
        if not isinstance(self.facets, bool):
            facets = (self.facets,) if isinstance(self.facets, str) else self.facets
            object.__setattr__(self, "facets", tuple(_texts(facets, "facets are names of fields")))
        if not isinstance(self.group, str):
            raise QueryError(f"group is the name of a field, such as brand; found {_shown(self.group)}.")

    def _take_former_colour(self) -> None:
        """Until this version a number under ``colour`` was what ``colour_weight`` is."""
        if isinstance(self.colour, (int, float)) and not isinstance(self.colour, bool):
            warnings.warn(
                "colour is the colour to look for now; how much colours count is colour_weight. The next version takes"
                " no number as colour.",
                DeprecationWarning,
                stacklevel=4,
            )
            if self.colour_weight is None:
                object.__setattr__(self, "colour_weight", self.colour)
            object.__setattr__(self, "colour", None)

    @cached_property
    def all_parts(self) -> tuple[Part, ...]:
        """Every part, those written without :class:`Part` first."""
        return self._own + self.parts

    @property
    def most(self) -> tuple[str, int] | None:
        """The field and the number of ``max_per``; None where it is not given."""
        if not self.max_per:
            return None
        name, colon, number = self.max_per.rpartition(":") if isinstance(self.max_per, str) else ("", "", "")
        if not colon or not name.strip() or not number.strip().isdecimal() or not int(number):
            raise QueryError(
                f"max_per is a field and how many hits of each of its values, such as 'brand:2'; found"
                f" {_shown(self.max_per)}."
            )
        return name.strip(), int(number)


def _shown(value: object) -> str:
    """A value in a message: what it is of, and the beginning of how it looks."""
    return f"{described(value)} {repr(value)[:60]}"


def _count(k: object) -> int:
    try:
        if isinstance(k, (bool, np.bool_)):
            raise TypeError
        count = operator.index(k)  # type: ignore[arg-type]
    except TypeError as error:
        raise QueryError(
            f"k is how many products to find, a whole number from 1 to 10,000; found {_shown(k)}."
        ) from error
    if not 1 <= count <= 10_000:
        raise QueryError(f"k is how many products to find, 1 to 10,000; found {count}.")
    return count


def _image(image: object) -> Image.Image:
    if not is_image_like(image):
        raise QueryError(f"A query's image is a PIL image, an array, a path or a file's bytes; found {_shown(image)}.")
    try:
        return to_image(image)
    except ImageError as error:
        name = os.fspath(image) if isinstance(image, (str, os.PathLike)) else ""
        if not name or str(name) in str(error):
            raise
        raise ImageError(f"'{shortened(str(name))}': {error}") from error


def _direction(vector: object) -> NDArray[np.float32]:
    try:
        array = np.asarray(vector)
    except ValueError:  # rows of several lengths
        array = np.empty(0)
    if array.dtype.kind != "f" or array.ndim not in (1, 2) or not array.size or array.size != array.shape[-1]:
        raise QueryError(
            "A query's vector is one row of floats of length 1, as an encoder gives them: (dim,) float32; found"
            f" {described(vector)} of {array.dtype} and shape {array.shape}."
        )
    return array.reshape(-1).astype(np.float32, copy=False)


def _weight(weight: object) -> float:
    usable = isinstance(weight, (int, float, np.integer, np.floating)) and not isinstance(weight, (bool, np.bool_))
    if not usable or not math.isfinite(weight) or not weight:  # type: ignore[arg-type]
        raise QueryError(f"A weight is a number other than 0, such as 1 or -0.5; found {_shown(weight)}.")
    return float(weight)  # type: ignore[arg-type]


def _number(value: object, what: str, low: float) -> float | None:
    """A number from ``low`` to 1, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not low <= value <= 1:
        raise QueryError(f"{what}; found {_shown(value)}.")
    return float(value)


def _least(value: object) -> float | Verdict | None:
    """A cut-off: a score, a verdict on hits, or None."""
    if not isinstance(value, str):
        return _number(value, "least is a score from -1 to 1, such as 0.6, or a verdict, such as 'same kind'", -1)
    known = [*CLOSENESS, Verdict.NOTHING_CLOSE]
    for verdict in known:
        if value.strip().casefold() in (verdict.value, verdict.value.removeprefix("the ")):
            return verdict
    try:
        return _least(float(value))
    except ValueError:
        names = ", ".join(f"'{verdict.value}'" for verdict in known)
        raise QueryError(f"least is a score from -1 to 1, or one of {names}; found '{value[:60]}'.") from None


def _texts(values: object, what: str) -> list[str]:
    found = list(values) if isinstance(values, Iterable) and not isinstance(values, str) else [None]
    if not all(isinstance(each, str) for each in found):
        raise QueryError(f"{what}, such as {{'1163'}}; found {_shown(values)}.")
    return found  # type: ignore[return-value]


@dataclass(frozen=True, init=False)
class Hit:
    """One product of an answer.

    Attributes:
        rank: 1 for the best.
        score: Cosine between the query and the product's best photo, -1..1; higher is more alike. Reranking leaves it
            as it is.
        product: What was found.
        photo: Its photo that matched best.
        contributions: (parts,) what each part of the query adds to the score; together they are the score. Empty where
            the query has one part.
        adjustment: What reranking by the look added: hits are in the order of ``score + adjustment``. 0 where a query
            is ranked by the cosine alone.
        others: Ids of products that this hit stands for beside its own: with the very same photo, and, where it was
            asked for, variants and nearly the same photos; as far as they were among the nearest.
        probability: How likely the product is of the kind that was asked for, 0..1, and of the colour and for those
            that words name; None where it cannot be told, see :mod:`lapel.engine.calibration`.
        verdict: What it is to the query; None where it cannot be told.
        probabilities: By each of the first three verdicts how likely it holds; empty where it cannot be told.
        reason: Why it is recommended; None in answers to searches.
        rules: Names of the shop's rules that moved it.
    """

    rank: int
    score: float
    product: Product
    photo: Photo
    contributions: tuple[float, ...] = ()
    adjustment: float = 0.0
    others: tuple[str, ...] = ()
    probability: float | None = None
    verdict: Verdict | None = None
    probabilities: Mapping[Verdict, float] = field(default_factory=dict, repr=False, compare=False)
    reason: Reason | None = None
    rules: tuple[str, ...] = ()

    def __init__(
        self,
        rank: int,
        score: float,
        product: Product,
        photo: Photo,
        contributions: tuple[float, ...] = (),
        adjustment: float = 0.0,
        others: tuple[str, ...] = (),
        probability: float | None = None,
        verdict: Verdict | None = None,
        probabilities: Mapping[Verdict, float] | None = None,
        reason: Reason | None = None,
        rules: tuple[str, ...] = (),
    ) -> None:
        # What a frozen dataclass would do with twelve calls: an answer has many hits.
        self.__dict__.update(
            rank=rank,
            score=score,
            product=product,
            photo=photo,
            contributions=contributions,
            adjustment=adjustment,
            others=others,
            probability=probability,
            verdict=verdict,
            probabilities={} if probabilities is None else probabilities,
            reason=reason,
            rules=rules,
        )

    def judged(self, probability: float, verdict: Verdict, probabilities: Mapping[Verdict, float]) -> Hit:
        """The same with what it is to the query."""
        made = object.__new__(Hit)
        made.__dict__.update(self.__dict__, probability=probability, verdict=verdict, probabilities=probabilities)
        return made


@dataclass(frozen=True)
class PlaceMap:
    """What each place of an image adds to its vector.

    Attributes:
        values: (dim, h, w) float32; summed over the places of all maps of an image they are its vector.
        frame: Where the map lies in the image: left, top, right and bottom as shares of its width and height. What is
            beyond 0..1 is the padding around it.
    """

    values: NDArray[np.float32] = field(repr=False)
    frame: Frame


@dataclass(frozen=True)
class UnderstoodPart:
    """How a part of a query was read.

    Attributes:
        kind: ``image``, ``text``, ``product`` or ``vector``.
        weight: Its weight.
        note: In words for people, such as ``the product in the image``.
        whole: (dim,) float32, the unit vector of the whole image; of other kinds, of the part.
        product: (dim,) float32, of the product alone that was found in an image; None where none was.
        segmented: That product on white; None where none was found.
        colours: The colours of an image's product, and how sure they are; None where none could be read.
        words: How words were read, and which were not understood; None of other kinds.
        asked: Colours that are looked for, by a colour or by words beside other parts.
        people: For whom it is to be, of words beside other parts: the store's own names, such as ``Women``.
        on_white: Whether it looks like a shop's own picture on white; True of all that is no image.
        maps: What each place of an image adds to the part's vector: the whole image's map, and that of the product
            found in it, see :class:`PlaceMap`; empty of all that is no image.
        strength: How strongly the network answers to an image: the length of its map's mean, and the greatest length of
            a place; None of all that is no image, and of models without maps.
        photos: Of a product, the keys of its photos.
    """

    kind: str
    weight: float
    note: str
    whole: NDArray[np.float32] = field(repr=False)
    product: NDArray[np.float32] | None = field(default=None, repr=False)
    segmented: Image.Image | None = field(default=None, repr=False)
    colours: ColourReading | None = None
    words: WordReading | None = None
    asked: tuple[AskedColour, ...] = ()
    people: tuple[str, ...] = ()
    on_white: bool = True
    maps: tuple[PlaceMap, ...] = field(default=(), repr=False, compare=False)
    strength: tuple[float, float] | None = None
    photos: tuple[int, ...] = field(default=(), repr=False, compare=False)

    def to_part(self, fingerprint: str) -> Part:
        """The same as a part of a query: words and colours as they were given, else the vector that it became."""
        if self.words is not None:
            return Part(text=self.words.asked, weight=self.weight)
        if self.kind == "colour":
            return Part(colour=self.asked[0].asked, weight=self.weight)
        vector = self.whole if self.product is None else self.whole + self.product
        vector = vector / np.linalg.norm(vector)
        return Part(vector=vector, fingerprint=fingerprint, colours=self.colours, weight=self.weight)


@dataclass(frozen=True)
class EmbeddedQuery:
    """A query as one direction, with how it was read. Asking with it again encodes nothing.

    Attributes:
        vector: (dim,) float32 of length 1; zeros where nothing of the query was understood.
        fingerprint: The model that made it.
        parts: How each part was read, in the query's order.
        directions: (parts, dim) float32, what each part adds to the vector: they sum up to it.
        exclude: Ids of products that are left out of the answer, those of the parts among them.
    """

    vector: NDArray[np.float32] = field(repr=False)
    fingerprint: str
    parts: tuple[UnderstoodPart, ...]
    directions: NDArray[np.float32] = field(repr=False)
    exclude: frozenset[str] = frozenset()

    @cached_property
    def understood(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self.vector.any())

    @property
    def colours(self) -> ColourReading | None:
        """The colours that are looked for: those of a query that is one image; None of any other, as words or a second
        image may ask for other colours."""
        return self.parts[0].colours if len(self.parts) == 1 and self.parts[0].weight > 0 else None

    def to_query(self, **more: Any) -> Query:
        """The same as a query; ``more`` are its other fields, such as ``k`` and ``where``."""
        if len(self.parts) > 1 or self.parts[0].kind in ("text", "colour"):  # words and colours order answers, too
            parts = tuple(part.to_part(self.fingerprint) for part in self.parts)
            return Query(**{"parts": parts, "exclude": self.exclude, **more})
        own: dict[str, Any] = {"vector": self.vector, "fingerprint": self.fingerprint, "exclude": self.exclude}
        return Query(**{**own, "colours": self.colours, **more})


@dataclass(frozen=True, eq=False)
class SearchResult(Sequence[Hit]):
    """The answer to a query: a sequence of hits, and what is known besides.

    Attributes:
        hits: The nearest products, best first; see :attr:`Hit.adjustment` for their order.
        total: Products that pass the filter.
        verdict: What the answer is worth: the closest verdict on its first ten hits, where hits are judged.
        facets: By field that was asked for, its values with how many of the products that pass the filter have them.
        understood: How the query was read.
        timings: Milliseconds by stage: embed, retrieve, group, rerank, calibrate, explain, facets.
        nearest: The best score there was, also below ``least``; None where there was no product.
        kinds: The kinds that the query may be of, with how likely each is, the likeliest first: the right one is among
            them for 90 of 100 queries. Empty where that cannot be told.
        fashion: How likely the query shows anything that a shop of clothes sells, 0..1; None where it cannot be told.
        index_problem: Why the last work on the index in the background failed; empty when it did not. The answer is
            complete all the same.
        list_id: Of a recommendation that was logged, its name: events that come from it say so. Else empty.
        rules: Names of the shop's rules that had a say in it.
    """

    hits: tuple[Hit, ...]
    total: int
    verdict: Verdict
    understood: EmbeddedQuery = field(repr=False)
    facets: Mapping[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict, repr=False)
    nearest: float | None = None
    kinds: tuple[tuple[str, float], ...] = ()
    fashion: float | None = None
    index_problem: str = ""
    list_id: str = ""
    rules: tuple[str, ...] = ()

    @property
    def took_ms(self) -> float:
        """Milliseconds in all."""
        return sum(self.timings.values())

    @overload
    def __getitem__(self, at: int) -> Hit: ...

    @overload
    def __getitem__(self, at: slice) -> tuple[Hit, ...]: ...

    def __getitem__(self, at: int | slice) -> Hit | tuple[Hit, ...]:
        """One hit, or several."""
        return self.hits[at]

    def __len__(self) -> int:
        """How many hits there are."""
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        """The hits, best first."""
        return iter(self.hits)

    def __eq__(self, other: object) -> bool:
        """Whether two answers hold the same hits."""
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    def __getstate__(self) -> dict[str, Any]:
        """What is copied and pickled: the hits, and not what makes them."""
        return {**self.__dict__, "_hits": self.hits}


class _MadeWhenAsked:
    """:attr:`SearchResult.hits`, which may be given as a function that makes them: it is called when they are first
    looked at, as in a batch of many answers most are only counted, or looked at in part."""

    def __get__(self, result: Any, owner: type) -> Any:
        if result is None:
            return self
        hits = result._hits
        if not isinstance(hits, tuple):
            object.__setattr__(result, "_hits", hits := hits())
        return hits

    def __set__(self, result: Any, hits: Any) -> None:
        object.__setattr__(result, "_hits", hits)


# After the class, as a dataclass would take it for a default.
SearchResult.hits = _MadeWhenAsked()  # type: ignore[assignment]


@dataclass(frozen=True)
class Matches:
    """What an index answers to q queries, best first.

    Attributes:
        keys: (q, k) int64, padded with -1 where fewer than k exist.
        scores: (q, k) float32 cosines, padded with -inf.
    """

    keys: Keys
    scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.keys.ndim != 2 or self.keys.shape != self.scores.shape:
            raise QueryError(
                f"Matches need keys and scores of one shape (q, k); found {self.keys.shape}, {self.scores.shape}."
            )
