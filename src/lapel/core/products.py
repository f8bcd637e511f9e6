"""What a product and a photo of it are: frozen values that check themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from lapel.core.errors import InputError, ProductError

# Fields every product has; anything else a table holds is an attribute. All can be filtered by name.
TEXT_FIELDS = ("id", "title", "category", "gender", "brand", "colour", "season")
FIELDS = (*TEXT_FIELDS, "price", "currency", "in_stock", "url")
_FIELDS = frozenset(FIELDS)
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


def price_text(minor: int | None, currency: str) -> str:
    """A price for people; empty when unknown.

    >>> price_text(499_000, "EUR")
    '4,990.00 EUR'
    """
    if minor is None:
        return ""
    digits = MINOR_UNITS.get(currency, 2)
    return f"{Decimal(minor).scaleb(-digits):,.{digits}f} {currency}"


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
            raise ProductError(f"A product needs an id without blanks around it; found '{self.id}'.")
        if self.price_minor is not None and self.price_minor < 0:
            raise ProductError(f"Product {self.id}: a price cannot be negative; found {self.price_minor}.")
        if self.price_minor is not None and not re.fullmatch("[A-Z]{3}", self.currency):
            raise ProductError(f"Product {self.id}: a price needs a three-letter currency; found '{self.currency}'.")
        if self.url and not is_web_address(self.url):
            raise ProductError(
                f"Product {self.id}: its url is an http or https address without blanks; found '{self.url}'."
            )
        clash = _FIELDS.intersection(self.attributes)
        if clash:
            raise ProductError(
                f"Product {self.id}: attributes cannot be named like fields: {', '.join(sorted(clash))}."
            )

    @property
    def price(self) -> str:
        """The price for people, such as ``49.90 EUR``; empty when unknown."""
        return price_text(self.price_minor, self.currency)

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
