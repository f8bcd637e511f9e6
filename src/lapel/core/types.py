"""The nouns: what a product, a photo, a question and an answer are. Frozen values that check themselves."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lapel.core.errors import InputError, QueryError, TableError
from lapel.core.images import ImageLike, described, is_image_like, to_image
from lapel.core.text import fold
from lapel.core.vectors import Keys

# Fields every product has; anything else a table holds is an attribute. All can be filtered by name.
TEXT_FIELDS = ("id", "title", "category", "gender", "brand", "colour", "season")
FIELDS = (*TEXT_FIELDS, "price", "currency", "in_stock", "url")
MINOR_UNITS = {
    "JPY": 0,
    "KRW": 0,
    "VND": 0,
    "CLP": 0,
    "ISK": 0,
    "BHD": 3,
    "KWD": 3,
    "OMR": 3,
    "TND": 3,
    "JOD": 3,
}  # ISO 4217


@dataclass(frozen=True)
class Product:
    """One thing that is sold.

    Attributes:
        id: The shop's own id.
        title: What it is called.
        category: Path from wide to narrow, such as ``("Apparel", "Topwear", "T-shirts")``.
        gender: For whom; empty when unknown, as all texts below.
        brand: Who makes it.
        colour: Its main colour.
        season: When it is sold.
        price_minor: Price in the currency's smallest unit (cents), or None.
        currency: ISO 4217 code, needed with a price.
        in_stock: Whether it can be bought, or None when unknown.
        attributes: Every other column, by the table's own names, such as ``articleType`` or ``split``.
        url: The product's page in the shop, http or https.
    """

    id: str
    title: str = ""
    category: tuple[str, ...] = ()
    gender: str = ""
    brand: str = ""
    colour: str = ""
    season: str = ""
    price_minor: int | None = None
    currency: str = ""
    in_stock: bool | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    url: str = ""

    def __post_init__(self) -> None:
        if not self.id or self.id != self.id.strip():
            raise TableError(f"A product needs an id without blanks around it; found '{self.id}'.")
        if self.price_minor is not None and self.price_minor < 0:
            raise TableError(f"Product {self.id}: a price cannot be negative; found {self.price_minor}.")
        if self.price_minor is not None and not re.fullmatch("[A-Z]{3}", self.currency):
            raise TableError(f"Product {self.id}: a price needs a three-letter currency; found '{self.currency}'.")
        if self.url and not is_web_address(self.url):
            raise TableError(
                f"Product {self.id}: its url is an http or https address without blanks; found '{self.url}'."
            )
        clash = set(self.attributes) & set(FIELDS)
        if clash:
            raise TableError(f"Product {self.id}: attributes cannot be named like fields: {', '.join(sorted(clash))}.")

    @property
    def price(self) -> str:
        """The price for people, such as ``49.90 EUR``; empty when unknown."""
        if self.price_minor is None:
            return ""
        digits = MINOR_UNITS.get(self.currency, 2)
        return f"{Decimal(self.price_minor).scaleb(-digits):,.{digits}f} {self.currency}"

    def facets(self) -> dict[str, tuple[str, ...]]:
        """Everything a filter or a relevance rule can name, as texts; a category counts at each of its levels."""
        known: dict[str, tuple[str, ...]] = {"id": (self.id,)}
        for name, value in (
            ("gender", self.gender),
            ("brand", self.brand),
            ("colour", self.colour),
            ("season", self.season),
            ("currency", self.currency if self.price_minor is not None else ""),
        ):
            if value:
                known[name] = (value,)
        if self.category:
            known["category"] = tuple(" > ".join(self.category[: level + 1]) for level in range(len(self.category)))
        if self.in_stock is not None:
            known["in_stock"] = ("yes" if self.in_stock else "no",)
        # An attribute with several values, such as sizes, holds them between bars: each can be asked for.
        known.update((name, tuple(filter(None, value.split("|")))) for name, value in self.attributes.items() if value)
        return known


def is_web_address(text: str) -> bool:
    """Whether a text may stand in a page as a link: http or https, without blanks, quotes, brackets or control
    characters."""
    return re.fullmatch(r"(?i:https?)://[^\s\"'()<>\\\x00-\x1f\x7f]+", text) is not None


@dataclass(frozen=True)
class Links:
    """Where a browser gets a picture without asking Lapel, such as from the shop's CDN.

    Empty where there is no such place.

    Attributes:
        full: The picture as large as it is, http or https.
        thumbnail: A small one, http or https.
    """

    full: str = ""
    thumbnail: str = ""

    def __post_init__(self) -> None:
        for link in (self.full, self.thumbnail):
            if link and not is_web_address(link):
                raise InputError(
                    f"A picture's link is an http or https address without blanks or quotes; found '{link}'."
                )

    @property
    def small(self) -> str:
        """What a gallery shows: the thumbnail where there is one, else the full size."""
        return self.thumbnail or self.full


NO_LINKS = Links()


@dataclass(frozen=True)
class Photo:
    """One picture of a product.

    Attributes:
        key: The catalogue's row id and the index's key: int64, never used again.
        product_id: Whose picture it is.
        uri: Where its bytes are, see :func:`lapel.sources.read_uri`.
        sha256: Hash of those bytes, hex.
        links: Where a browser gets it, when that is known; the store's own thumbnail stands in when they fail.
    """

    key: int
    product_id: str
    uri: str
    sha256: str
    links: Links = NO_LINKS


@dataclass(frozen=True)
class Condition:
    """One thing a product must fulfil: a field, an operator and the values that will do.

    Attributes:
        field: A product's field or attribute.
        operator: ``=``, ``!=``, ``<``, ``<=``, ``>`` or ``>=``.
        values: Alternatives for ``=`` (any of them) and ``!=`` (none of them); one number for the others.
    """

    field: str
    operator: str
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.operator not in ("=", "!=", "<", "<=", ">", ">="):
            raise QueryError(f"A filter compares with = != < <= > >=; found '{self.operator}'.")
        if not self.field or not self.values or "" in self.values:
            raise QueryError("A filter needs a field and a value, such as gender=Women or price<2000.")
        if self.operator not in ("=", "!="):
            _ = self.number

    @property
    def amounts(self) -> tuple[tuple[str, str], ...]:
        """Each value of a price as number and currency: ``100 EUR`` and ``100EUR`` are 100 and EUR, and 100 has no
        currency."""
        found = (re.fullmatch(r"(.*[0-9.])\s*([A-Za-z]{3})", value) for value in self.values)
        return tuple(
            (match[1], match[2].upper()) if match else (value, "")
            for value, match in zip(self.values, found, strict=True)
        )

    @property
    def number(self) -> float:
        """The one number of a range; a price's may have a currency after it."""
        try:
            value = Decimal(self.amounts[0][0] if fold(self.field) == "price" else self.values[0])
            if len(self.values) != 1 or not value.is_finite():
                raise InvalidOperation
        except InvalidOperation as error:
            raise QueryError(
                f"The filter {self} compares with one number; found '{'|'.join(self.values)}'. Write for example"
                f" price<2000."
            ) from error
        return float(value)

    def __str__(self) -> str:
        return f"{self.field}{self.operator}{'|'.join(self.values)}"


@dataclass(frozen=True)
class Filter:
    """Conditions that must all hold. Data, never SQL text."""

    conditions: tuple[Condition, ...] = ()

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Filter:
        """Read texts such as ``gender=Women``, ``price<2000`` or ``colour=Black|Navy`` (either).

        Raises:
            QueryError: a text without field, operator or value, or a range that is not a number.
        """
        if texts is None:
            raise QueryError("A filter is texts such as gender=Women or price<2000; found None.")
        return cls(tuple(cls._parse_one(text) for text in ([texts] if isinstance(texts, str) else texts)))

    @staticmethod
    def _parse_one(text: str) -> Condition:
        match = re.fullmatch(r"\s*([^<>=!]+?)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*", text)
        if not match:
            raise QueryError(
                f"The filter '{text}' is not understood. Write field=value, such as gender=Women or price<2000."
            )
        return Condition(match[1], match[2], tuple(value.strip() for value in match[3].split("|")))

    def __bool__(self) -> bool:
        return bool(self.conditions)

    def __str__(self) -> str:
        return " and ".join(map(str, self.conditions))


@dataclass(frozen=True)
class Query:
    """What to look for: exactly one of a picture, a unit vector and a product of the catalogue.

    Attributes:
        image: A picture: a PIL image of any mode, an array (height, width, 3) uint8, a path, or the bytes of a file,
            see
            :func:`lapel.core.images.to_image`. It is kept upright, RGB and in sRGB.
        cut_out: With a picture, whether its product is found too and laid on white, as shops show theirs; the query is
            then the mean
            direction of the picture and of that.
        vector: (dim,) float32 of length 1.
        product_id: "More like this": its photos' mean direction; the product itself is left out of the answer.
        k: How many products to find, a whole number 1..10,000.
        where: Conditions the products must fulfil.
        exclude: Ids of products to leave out.
        fingerprint: With a vector, the model that made it, when that is known: a store of another model then refuses
            it.
    """

    image: ImageLike | None = None
    vector: NDArray[np.float32] | None = None
    product_id: str | None = None
    k: int = 10
    where: Filter = Filter()
    exclude: frozenset[str] = frozenset()
    fingerprint: str = ""
    cut_out: bool = True

    def __post_init__(self) -> None:
        given = [name for name in ("image", "vector", "product_id") if getattr(self, name) is not None]
        if len(given) != 1:
            raise QueryError(
                f"A query is one picture, one vector or one product id; found {' and '.join(given) or 'none'}."
            )
        object.__setattr__(self, "k", _count(self.k))
        if self.image is not None:
            object.__setattr__(self, "image", _picture(self.image))
        if self.vector is not None:
            object.__setattr__(self, "vector", _direction(self.vector))
        if self.product_id is not None and not isinstance(self.product_id, str):
            raise QueryError(f"A product's id is a text, such as '1163'; found {_shown(self.product_id)}.")
        if not isinstance(self.where, Filter):
            raise QueryError(
                f"Conditions are a Filter, such as Filter.parse(['price<200']); found {_shown(self.where)}."
            )
        ids = self.exclude if isinstance(self.exclude, Iterable) and not isinstance(self.exclude, str) else (None,)
        if not all(isinstance(each, str) for each in ids):
            raise QueryError(f"exclude is a set of products' ids, such as {{'1163'}}; found {_shown(self.exclude)}.")
        object.__setattr__(self, "exclude", frozenset(self.exclude))


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


def _picture(image: object) -> Image.Image:
    if not is_image_like(image):
        raise QueryError(f"A query's image is a PIL image, an array, a path or a file's bytes; found {_shown(image)}.")
    return to_image(image)


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


@dataclass(frozen=True)
class Hit:
    """One product of an answer.

    Attributes:
        rank: 1 for the best.
        score: Cosine between the query and the product's best photo, -1..1; higher is more alike.
        product: What was found.
        photo: Its photo that matched best.
    """

    rank: int
    score: float
    product: Product
    photo: Photo


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
