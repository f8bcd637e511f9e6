"""Which column of a table fills which field of a product: found by the columns' names, or told with texts such as ``title=name``.

The rule for a text ``field=source``: ``source`` is a column of the table; or ``a>b>c``, columns from wide to narrow, for the
category; or a fixed text in quotes, ``brand='Acme'``; or, for the currency, three capital letters. ``field=`` leaves a field empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from lapel.core.errors import TableError
from lapel.core.types import FIELDS

TARGETS: Final = (
    "id",
    "title",
    "category",
    "gender",
    "brand",
    "colour",
    "season",
    "price",
    "currency",
    "in_stock",
    "pictures",
)

# Names that shop systems and data sets use, best first; compared without case, blanks, - and _.
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "product_id", "item_id", "article_id", "sku", "asin", "handle", "code"),
    "title": (
        "title",
        "name",
        "product_name",
        "product_title",
        "product_display_name",
        "display_name",
        "prod_name",
        "label",
    ),
    "category": (
        "category",
        "product_category",
        "category_path",
        "google_product_category",
        "product_type",
        "product_type_name",
        "type",
    ),
    "gender": ("gender", "sex", "target_gender"),
    "brand": ("brand", "brand_name", "manufacturer", "vendor", "designer"),
    "colour": (
        "colour",
        "color",
        "colour_name",
        "color_name",
        "base_colour",
        "base_color",
        "main_colour",
        "colour_group_name",
    ),
    "season": ("season",),
    "price": ("price", "retail_price", "unit_price", "sale_price", "list_price"),
    "currency": ("currency", "currency_code", "price_currency"),
    "in_stock": ("in_stock", "stock", "availability", "available", "inventory", "quantity"),
    "pictures": (
        *(
            "pictures",
            "picture",
            "images",
            "image",
            "image_path",
            "image_paths",
            "picture_path",
            "photo",
            "photos",
            "photo_path",
        ),
        *("path", "file", "filename", "file_name", "image_file", "image_name"),
    ),
}

# Tables recognised as a whole: all of these columns, then these sources.
PRESETS: Mapping[str, Mapping[str, str]] = {
    "fashion-products": {
        "id": "id",
        "title": "productDisplayName",
        "category": "masterCategory>subCategory>articleType",
        "gender": "gender",
        "colour": "baseColour",
        "season": "season",
    },
}
# What fills these would only be said twice if it were an attribute as well.
DROPPED: Final = frozenset(("id", "title", "price", "currency", "in_stock", "pictures"))


@dataclass(frozen=True)
class ColumnMap:
    """How to read a table's columns.

    Attributes:
        preset: A name of :data:`PRESETS`; ``auto`` takes the one whose columns are all there, else goes by the columns' names.
        overrides: Sources by field, which count more than the preset.
    """

    preset: str = "auto"
    overrides: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.preset not in ("auto", "lapel", *PRESETS):
            raise TableError(f"No preset is called '{self.preset}'. There are: auto, lapel, {', '.join(PRESETS)}.")
        unknown = [name for name in self.overrides if name not in TARGETS]
        if unknown:
            raise TableError(
                f"--map fills the fields {', '.join(TARGETS)}; found '{unknown[0]}'. Every other column becomes an attribute."
            )

    @classmethod
    def parse(cls, texts: Iterable[str], *, preset: str = "auto") -> ColumnMap:
        """Read texts such as ``title=name``, ``category=department>type`` or ``currency=EUR``.

        Raises:
            TableError: a text without ``=``, an unknown field or preset, or a field twice.
        """
        overrides: dict[str, str] = {}
        for text in texts:
            name, equals, source = (part.strip() for part in text.partition("="))
            name = {"color": "colour", "picture": "pictures", "image": "pictures", "stock": "in_stock"}.get(name, name)
            if not equals:
                raise TableError(
                    f"--map '{text}' is not understood. Write field=column, such as title=name or currency=EUR."
                )
            if name in overrides:
                raise TableError(f"--map fills '{name}' twice: with '{overrides[name]}' and with '{source}'. Give one.")
            overrides[name] = source
        return cls(preset, overrides)

    def resolve(self, columns: Sequence[str]) -> Plan:
        """Decide what fills each field of a table with these columns.

        Raises:
            TableError: a column that is not there, or no column for the id.
        """
        preset = self._recognise(columns)
        sources: dict[str, Source] = {}
        for name in TARGETS:
            if name in self.overrides:
                wanted = self.overrides[name]
                if wanted:
                    sources[name] = _source(name, wanted, columns)
            elif preset and name in PRESETS[preset]:
                sources[name] = _source(name, PRESETS[preset][name], columns)
        if not preset:
            _guess(columns, sources, [name for name in TARGETS if name not in self.overrides])
        if "id" not in sources:
            raise TableError(
                f"The table has no column for the product's id. Its columns are: {', '.join(columns)}. Say which: --map id=COLUMN"
            )
        dropped = {column for name in DROPPED if name in sources for column in sources[name].columns}
        used = {column for source in sources.values() for column in source.columns}
        names: dict[str, str] = {}
        for column in columns:
            # A raw column behind category or colour stays under its own name, unless that is the field's own name.
            if column and column not in dropped and not (column in used and column.casefold() in FIELDS):
                names[column] = f"table_{column}" if column in FIELDS else column
        return Plan(preset or "lapel", sources, names)

    def _recognise(self, columns: Sequence[str]) -> str:
        if self.preset in PRESETS:
            return self.preset
        for name, sources in PRESETS.items() if self.preset == "auto" else ():
            if {column for source in sources.values() for column in source.split(">")} <= set(columns):
                return name
        return ""


@dataclass(frozen=True)
class Source:
    """What fills one field: columns, or a fixed text.

    Attributes:
        columns: One column, or several for a category's levels; none when ``fixed`` is used.
        fixed: The same text for every product.
    """

    columns: tuple[str, ...] = ()
    fixed: str = ""


@dataclass(frozen=True)
class Plan:
    """A mapping that fits one table.

    Attributes:
        preset: The preset that was used; ``lapel`` when the columns' names decided.
        sources: What fills each field that is filled.
        attributes: The attribute's name for each column that becomes one.
    """

    preset: str
    sources: Mapping[str, Source]
    attributes: Mapping[str, str]


@cache
def plain_name(name: str) -> str:
    """A column's name as names are compared: without case, blanks, - and _."""
    return re.sub(r"[\s_\-]+", "", name).casefold()


def _guess(columns: Sequence[str], sources: dict[str, Source], targets: Iterable[str]) -> None:
    plain: dict[str, str] = {}
    for column in columns:
        plain.setdefault(plain_name(column), column)
    taken = {column for source in sources.values() for column in source.columns}
    for name in targets:
        for synonym in SYNONYMS[name]:
            found = plain.get(plain_name(synonym))
            if found is not None and found not in taken:
                sources[name] = Source((found,))
                taken.add(found)
                break


def _source(name: str, wanted: str, columns: Sequence[str]) -> Source:
    if wanted in columns:
        return Source((wanted,))
    if len(wanted) >= 2 and wanted[0] == wanted[-1] and wanted[0] in "'\"":
        return Source(fixed=wanted[1:-1].strip())
    parts = [part.strip() for part in wanted.split(">")] if name == "category" else [wanted]
    found = []
    for part in parts:
        alike = [column for column in columns if column == part] or [
            column for column in columns if plain_name(column) == plain_name(part)
        ]
        if len(alike) != 1:
            if name == "currency" and re.fullmatch("[A-Z]{3}", wanted):
                return Source(fixed=wanted)
            quoted = f"a fixed text goes in quotes, {name}='{part}'"
            hint = "a currency is three capital letters, currency=EUR" if name == "currency" else quoted
            raise TableError(
                f"The table has no column '{part}' for {name}. Its columns are: {', '.join(columns)} ({hint})."
            )
        found.append(alike[0])
    return Source(tuple(found))
