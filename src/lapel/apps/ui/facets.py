"""Which of a shop's fields make good filters, in which order, and how they and their values are called.

In go the values of every field with how many products have them; out come the names of those worth a row of buttons.
Ids, columns in
which nearly every product has a value of its own, and free text help nobody to choose: they are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

__all__ = ["APART", "FACET_VALUES", "FIELDS", "MOST_VALUES", "by_size", "choose", "label"]

APART = (
    "id",
    "title",
    "url",
    "category",
    "price",
    "currency",
    "in_stock",
)  # no filter, or one with a widget of its own
KNOWN = (
    "gender",
    "brand",
    "colour",
    "size",
    "size_in_stock",
    "on_sale",
    "season",
)  # what people choose by, in this order
FIELDS = ("gender", "brand", "colour", "season")  # of these a shop may have as many values as it likes
FACET_VALUES = 500  # more values of one field than a person will scroll through
MOST_VALUES = 200  # of an attribute; more of them are names or numbers, not kinds
PER_VALUE = 2.0  # products that share a value, on average, in an attribute that is no id
LONGEST = 40  # letters of a value, on average; longer ones are sentences
COVERED = 0.2  # of all products have the attribute, or it stands under "More filters"
FIRST = 8  # fields before "More filters"
LETTERS = ("xxxs", "xxs", "xs", "s", "m", "l", "xl", "xxl", "2xl", "xxxl", "3xl", "xxxxl", "4xl", "5xl", "6xl")
NUMBER = re.compile(r"[0-9]+(?:[.,][0-9]+)?")


def choose(counted: Mapping[str, Sequence[tuple[str, int]]], products: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The fields to filter by: the useful ones, then the rest.

    Args:
        counted: By field its values, each with how many products have it. The values of a product with several count
            each.
        products: How many products there are.

    Returns:
        Names to show at once, and names for "More filters".

    >>> choose({"size": [("M", 5), ("S", 3)], "sku": [("a", 1), ("b", 1)], "brand": [("Marl", 8)]}, 8)
    (('size',), ())
    """
    useful = [name for name, values in counted.items() if name not in APART and _filters(name, values, products)]
    known = [name for name in KNOWN if name in useful]
    covered = {name: min(1.0, sum(count for _, count in counted[name]) / products) for name in useful}
    own = sorted(
        set(useful) - set(known), key=lambda name: (-round(covered[name], 1), len(counted[name]), name.casefold(), name)
    )
    first = [*known, *(name for name in own if covered[name] >= COVERED)][: max(FIRST, len(known))]
    return tuple(first), tuple(name for name in own if name not in first)


def _filters(name: str, values: Sequence[tuple[str, int]], products: int) -> bool:
    """Whether choosing a value of this field leaves some products out, and people can choose it."""
    if not any(count < products for _, count in values):
        return False
    if name in FIELDS:
        return True
    shared = sum(count for _, count in values) / len(values)
    letters = sum(len(value) for value, _ in values) / len(values)
    return len(values) <= MOST_VALUES and shared >= PER_VALUE and letters <= LONGEST


def by_size(name: str, values: Sequence[str]) -> list[str]:
    """Sizes from small to large and numbers upwards; other values stay as they are, the most frequent first.

    >>> by_size("size", ["M", "XL", "S", "One size", "36"])
    ['S', 'M', 'XL', '36', 'One size']
    """
    keys = {value: _place(value) for value in values}
    if "size" in name.casefold() or all(group == 1 for group, _ in keys.values()):
        return sorted(values, key=keys.__getitem__)
    return list(values)


def _place(value: str) -> tuple[int, float]:
    if value.casefold() in LETTERS:
        return 0, LETTERS.index(value.casefold())
    number = NUMBER.match(value)
    if number and (number.end() == len(value) or not value[number.end()].isdigit()):
        return (1 if number.end() == len(value) else 2), float(number[0].replace(",", "."))
    return 3, 0.0


def label(name: str) -> str:
    """A field's name for people.

    >>> label("size_in_stock"), label("articleType"), label("fabric type"), label("EAN")
    ('Size in stock', 'Article type', 'Fabric type', 'EAN')
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", name).replace("_", " ").replace("-", " ").split()
    text = " ".join(word if word.isupper() else word.lower() for word in words) or name
    return text[:1].upper() + text[1:]
