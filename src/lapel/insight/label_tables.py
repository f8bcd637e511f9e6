"""Labels of products as texts, and products with corrected labels as a table that ``lapel add --products`` reads."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lapel.core.errors import InputError, QueryError
from lapel.core.text import reason_of
from lapel.core.types import MINOR_UNITS, Product
from lapel.engine.context import StoreContext

NO_LABELS = ("id", "title", "price", "currency", "in_stock", "url")
COLUMN_FIELDS = ("gender", "brand", "colour", "season")
MIRROR_SHARE = 0.98  # of products whose attribute says what the field says: then both are one label
LEVELS = " > "


def label_of(product: Product, field: str) -> str:
    """A product's value of a field or an attribute: a category as a path such as ``Apparel > Topwear``; empty where it
    has none."""
    if field == "category":
        return LEVELS.join(product.category)
    if field in COLUMN_FIELDS:
        return str(getattr(product, field))
    return product.attributes.get(field, "")


def check_fields(context: StoreContext, fields: Sequence[str]) -> tuple[str, ...]:
    """See that these are labels that the catalogue has; ``kind`` is the category, ``color`` the colour.

    Raises:
        QueryError: an unknown field, or one that is no label, such as the price.
    """
    known = {name.casefold(): name for name in (*context.catalog.field_names(), "category", *COLUMN_FIELDS)}
    known |= {"kind": "category", "color": "colour"} if "kind" not in known else {"color": "colour"}
    found = []
    for field in fields:
        name = known.get(field.casefold(), "")
        if not name or name in NO_LABELS:
            labels = sorted({name for name in known.values() if name not in NO_LABELS})
            why = f"'{field}' is no label" if name else f"There is no field '{field}'"
            raise QueryError(f"{why}. Labels of this catalogue are: {', '.join(labels)}.")
        found.append(name)
    return tuple(dict.fromkeys(found))


class Corrector:
    """Gives products another label, also where attributes say the same as the field, as the raw columns of a table
    do."""

    def __init__(self, products: Sequence[Product]) -> None:
        self._mirrors = _mirrors(products)

    def corrected(self, product: Product, field: str, value: str) -> Product:
        """The product with this label."""
        attributes = dict(product.attributes)
        if field == "category":
            levels = tuple(filter(None, (part.strip() for part in value.split(LEVELS.strip()))))
            for level, name in enumerate(levels):
                for mirror in self._mirrors.get(f"category {level}", ()):
                    attributes[mirror] = name
            return replace(product, category=levels, attributes=attributes)
        for mirror in self._mirrors.get(field, ()):
            attributes[mirror] = value
        if field in COLUMN_FIELDS:
            return replace(product, **{field: value}, attributes=attributes)  # type: ignore[arg-type]
        return replace(product, attributes={**attributes, field: value})


def _mirrors(products: Sequence[Product]) -> Mapping[str, tuple[str, ...]]:
    """By field (``category 0`` ... for levels) the attributes that nearly always say the same."""
    both: Counter[tuple[str, str]] = Counter()
    same: Counter[tuple[str, str]] = Counter()
    for product in products:
        fields = {f"category {level}": value for level, value in enumerate(product.category)}
        fields |= {field: getattr(product, field) for field in COLUMN_FIELDS}
        for field, value in fields.items():
            for name, text in product.attributes.items():
                if value and text:
                    both[field, name] += 1
                    same[field, name] += value == text
    found: dict[str, list[str]] = {}
    for (field, name), count in sorted(both.items()):
        if count > len(products) / 2 and same[field, name] >= MIRROR_SHARE * count:
            found.setdefault(field, []).append(name)
    return {field: tuple(names) for field, names in found.items()}


def write_products(path: str | Path, products: Iterable[tuple[Product, Sequence[str]]]) -> None:
    """Write products, each with the addresses of its pictures, as a CSV that ``lapel add SOURCE --products`` reads to
    the same products.

    Raises:
        InputError: it cannot be written there.
    """
    rows = list(products)
    attributes = sorted({name for product, _ in rows for name in product.attributes})
    header = ("id", "title", "category", "gender", "brand", "colour", "season", "price", "currency", "in_stock", "url")
    try:
        with Path(path).open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow((*header, "pictures", *attributes))
            for product, pictures in rows:
                stock = {None: "", True: "yes", False: "no"}[product.in_stock]
                table.writerow(
                    (
                        product.id,
                        product.title,
                        LEVELS.join(product.category),
                        *(getattr(product, field) for field in COLUMN_FIELDS),
                        _amount(product),
                        product.currency,
                        stock,
                        product.url,
                        json.dumps(list(pictures), ensure_ascii=False),
                        *(product.attributes.get(name, "") for name in attributes),
                    )
                )
    except OSError as error:
        raise InputError(
            f"The table cannot be written to {path}: {reason_of(error)}. Name a file in a folder that exists."
        ) from error


def _amount(product: Product) -> str:
    """The price in major units with a point, such as ``49.90``."""
    if product.price_minor is None:
        return ""
    digits = MINOR_UNITS.get(product.currency, 2)
    whole, rest = divmod(product.price_minor, 10**digits)
    return f"{whole}.{rest:0{digits}d}" if digits else str(whole)
