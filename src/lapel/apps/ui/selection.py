"""The filters a visitor chose, as a value: what they mean to the search, and how they stand in the URL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from lapel.apps.ui.lang import field_name
from lapel.core.types import Condition, Filter
from lapel.service import Overview

PRODUCT = "product"  # the URL's parameter for the product that is asked for
RESERVED = (
    *(PRODUCT, "q", "unlike", "photo", "box", "whole", "tint", "look", "models", "anyway", "id"),
    *("embed", "embed_options"),
)  # parameters that cannot be a filter: the page's and Streamlit's own
TRACKING = re.compile(r"utm_.*|.*clid|ref")  # what other sites hang onto links
DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069]")  # Unicode's signs that force a direction of writing
PRICE_RANGE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,3})?)-([0-9]{1,12}(?:\.[0-9]{1,3})?)")


@dataclass(frozen=True)
class FilterSelection:
    """The filters a visitor chose.

    Attributes:
        category: A path such as ``Apparel > Topwear``; empty for all.
        choices: By field or attribute the values of which any will do.
        in_stock: Only what can be bought.
        currency: Only prices in it; never empty with a price.
        price: Lowest and highest price, or None for any.
    """

    category: str = ""
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    in_stock: bool = False
    currency: str = ""
    price: tuple[float, float] | None = None

    def filter(self, *, without: str = "") -> Filter:
        """The same as a search takes it, one field left out when it is named; prices go with their currency."""
        wanted: dict[str, tuple[str, ...]] = {"category": (self.category,) if self.category else (), **self.choices}
        if self.in_stock:
            wanted["in_stock"] = ("yes",)
        if self.currency:
            wanted["currency"] = (self.currency,)
        conditions = [Condition(name, "=", values) for name, values in wanted.items() if values and name != without]
        if self.price and without != "currency":
            ends = zip((">=", "<="), self.price, strict=True)
            conditions += [Condition("price", sign, (plain_price(end),)) for sign, end in ends]
        return Filter(tuple(conditions))

    def in_words(self) -> str:
        """The same for people: ``category Dresses, colour Red or Blue, price 10 to 20 EUR``."""
        parts = [self.category] if self.category else []
        parts += [f"{field_name(name)} {' / '.join(values)}" for name, values in self.choices.items() if values]
        if self.price:
            parts.append(f"{' – '.join(map(plain_price, self.price))} {self.currency}")
        elif self.currency:
            parts.append(self.currency)
        parts += [field_name("in_stock")] if self.in_stock else []
        return ", ".join(parts)

    def params(self) -> dict[str, list[str]]:
        """The same as it stands in the URL."""
        params = {parameter(name): list(values) for name, values in self.choices.items() if values}
        if self.category:
            params["category"] = [self.category]
        if self.in_stock:
            params["in_stock"] = ["yes"]
        if self.currency:
            params["currency"] = [self.currency]
        if self.price:
            params["price"] = ["-".join(map(plain_price, self.price))]
        return params


def parameter(name: str) -> str:
    """What a field is called in the URL: its name, unless the page or Streamlit needs that."""
    return f"field:{name}" if name.casefold() in RESERVED else name


def read_params(params: Mapping[str, list[str]], overview: Overview) -> tuple[FilterSelection, list[str]]:
    """The filters a URL asks for, and those of them that this shop does not have."""
    unknown = []
    kept: dict[str, tuple[str, ...]] = {}
    for name in dict.fromkeys(("category", "in_stock", *overview.fields, *_named(params))):
        asked = params.get(parameter(name), [])
        kept[name] = tuple(value for value in asked if value in overview.values.get(name, ()))
        unknown += [f"{name}={value}" for value in asked if value not in kept[name]]
    currency = next((each for each in params.get("currency", []) if each in overview.prices), "")
    unknown += [f"currency={each}" for each in params.get("currency", []) if each != currency]
    priced = currency or (next(iter(overview.prices)) if len(overview.prices) == 1 else "")
    price = None
    for text in params.get("price", []):
        price = _price(text, overview.prices.get(priced))
        if price is None:
            unknown.append(f"price={text}")
    selection = FilterSelection(
        category=kept["category"][-1] if kept["category"] else "",
        choices={name: kept[name] for name in overview.fields},
        in_stock="yes" in kept["in_stock"],
        currency=priced if price or len(overview.prices) > 1 else "",
        price=price,
    )
    return selection, unknown


def _named(params: Mapping[str, list[str]]) -> list[str]:
    """The fields that a URL names."""
    apart = (*RESERVED, "price", "currency")
    return [name.removeprefix("field:") for name in params if name not in apart and not TRACKING.fullmatch(name)]


def _price(text: str, ends: tuple[float, float] | None) -> tuple[float, float] | None:
    """The range of a text such as ``20-49.9``, cut to the shop's own; None when it is none, or empty there."""
    match = PRICE_RANGE.fullmatch(text)
    if not match or ends is None or ends[0] == ends[1]:
        return None
    lowest, highest = price_bounds(ends)
    low, high = max(float(match[1]), lowest), min(float(match[2]), highest)
    return (low, high) if low <= high else None


def price_bounds(price: tuple[float, float]) -> tuple[float, float]:
    """The ends of the price slider: whole numbers around the prices."""
    low, high = price
    return float(int(low)), float(-int(-high // 1))


def plain_price(value: float) -> str:
    """A price without needless digits: ``20`` or ``19.9``."""
    return f"{value:.3f}".rstrip("0").rstrip(".")


def without_options(text: str) -> str:
    """What the engine says, without sentences that name options of a command, which a page cannot be given.

    >>> without_options("No column is the id. Say which: --map id=COLUMN")
    'No column is the id.'
    """
    sentences = re.split(r"(?<=[.!?])\s+", text)
    return " ".join(each for each in sentences if not re.search(r"--[a-z]", each)) or text


def sentence(text: str) -> str:
    """What the engine says, for Streamlit's Markdown, see :func:`without_options`."""
    return escape(without_options(text))


def escape(text: str) -> str:
    """A text that Streamlit's Markdown shows letter by letter, without signs that turn what stands behind it around."""
    text = DIRECTION.sub("", text)
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|<>~$:&])", r"\\\1", " ".join(text.split()))
