"""Feeds of shop systems: the rows of an export that are one product in several sizes, photos or variants, joined into
one record.

Shopify's and WooCommerce's product exports and Google Merchant feeds are recognised by their columns. Records go in as
a table has them; out come records with the columns of :data:`COLUMNS` and :data:`ATTRIBUTES`, so that a feed is read
like any other table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lapel.sources.cells import PROBLEM
from lapel.sources.mapping import TARGETS, plain_name
from lapel.sources.prices import ExactNumber, parse_price, parse_stock

Cells = Mapping[str, Any]

# No feed joins these: they are read from its own columns, where it has them.
COLUMNS = tuple(name for name in TARGETS if name not in ("currency", "season"))
# What else a feed knows that is worth a filter: the price before a reduction, the sizes there are and those that can be
# bought now.
ATTRIBUTES = tuple(
    "size size_in_stock regular_price on_sale colours variants sku gtin material pattern age_group condition"
    " tags".split()
)
SIZES = frozenset("size sizes shoesize clothingsize größe grösse groesse taille talla taglia maat rozmiar".split())
COLOURS = frozenset("color colour colors colours farbe couleur color/pattern colore kleur kolor".split())


@dataclass
class Variants:
    """What the rows of one product say, joined. Texts are kept in the order they came, each once."""

    pictures: list[str] = field(default_factory=list)
    offers: list[tuple[str, str]] = field(default_factory=list)  # regular price, sale price
    sizes: dict[str, bool | None] = field(default_factory=dict)  # whether each can be bought
    colours: list[str] = field(default_factory=list)
    stock: list[bool | None] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def take(self, name: str, available: bool | None, regular: str, sale: str) -> None:
        """Take a variant: its id or SKU, whether it can be bought, and its prices."""
        self.names.append(name)
        self.stock.append(available)
        if regular or sale:
            self.offers.append((regular, sale))

    def size(self, name: str, available: bool | None) -> None:
        """Take a variant's size; it can be bought when any variant of it can."""
        if name:
            self.sizes[name] = available if name not in self.sizes else _any([self.sizes[name], available])

    def cells(self) -> dict[str, Any]:
        """The same as a record's cells."""
        stock, colours = _any(self.stock), list(dict.fromkeys(self.colours))
        return {
            **_price(self.offers),
            "pictures": list(dict.fromkeys(self.pictures)),
            "in_stock": "" if stock is None else "yes" if stock else "no",
            "colour": colours[0] if len(colours) == 1 else "",
            "colours": colours if len(colours) > 1 else "",
            "size": list(self.sizes),
            "size_in_stock": [name for name, available in self.sizes.items() if available],
            "variants": list(dict.fromkeys(filter(None, self.names))) if len(self.names) > 1 else "",
        }


@dataclass(frozen=True)
class Hidden:
    """A product that its shop does not show.

    Attributes:
        why: In a word or two, such as ``draft``.
    """

    why: str


@dataclass(frozen=True)
class Feed:
    """A kind of feed.

    Attributes:
        name: What people call it.
        columns: Names that such a table has, all of them, as :func:`~lapel.sources.mapping.plain_name` writes them.
        group: From a row's cells, and all rows, to whose row it is; empty for a row of nobody.
        join: From the rows of one product to its record; Hidden when the shop does not show it, a text when it cannot
            be used.
        used: The names of columns that say nothing more once rows are joined; the others become attributes. None: no
            other column does.
    """

    name: str
    columns: frozenset[str]
    group: Callable[[Sequence[Cells]], Callable[[Cells], str]]
    join: Callable[[Sequence[Cells]], dict[str, Any] | str | Hidden]
    used: frozenset[str] | None = None

    def kept(self, columns: Iterable[str]) -> list[str]:
        """Those of a feed's own columns that become attributes."""
        known = {plain_name(name) for name in (*COLUMNS, *ATTRIBUTES)}
        if self.used is None:
            return []
        return [name for name in columns if name and plain_name(name) not in self.used | known]

    def records(self, rows: Iterable[tuple[int, Cells]]) -> Iterator[tuple[int, dict[str, Any] | str | Hidden]]:
        """A record a product, with the line of its first row, in the order of these; rows of one product may lie
        anywhere.

        A record has its first row's cells under their own names, and what was joined under the names of :data:`COLUMNS`
        and :data:`ATTRIBUTES`.
        """
        read = [(line, cells, {plain_name(name): value for name, value in cells.items()}) for line, cells in rows]
        whose = self.group([plain for _, _, plain in read])
        products: dict[str, list[tuple[int, Cells, Cells]]] = {}
        nothing = dict.fromkeys((*COLUMNS, *ATTRIBUTES), "")
        for line, cells, plain in read:
            products.setdefault(whose(plain) or f"\0{line}", []).append((line, cells, plain))
        for found in products.values():
            line, first, _ = found[0]
            joined = self.join([plain for _, _, plain in found])
            problems = [cells for _, cells, _ in found if PROBLEM in cells]
            if isinstance(joined, dict) and problems:
                joined[PROBLEM] = problems[0][PROBLEM]
            yield line, {**nothing, **first, **joined} if isinstance(joined, dict) else joined


def recognise(columns: Iterable[str]) -> Feed | None:
    """The kind of feed that a table with these columns is; None for a plain table."""
    plain = {plain_name(column) for column in columns}
    return next((feed for feed in FEEDS if feed.columns <= plain), None)


# --- Shopify: a row a variant and a row a photo; only the first row of a handle says what the product is ---


def _handle(_: Sequence[Cells]) -> Callable[[Cells], str]:
    return lambda cells: _text(cells, "handle", "urlhandle")


def _shopify(rows: Sequence[Cells]) -> dict[str, Any] | Hidden:
    first = next((cells for cells in rows if _text(cells, "title")), rows[0])  # rows may have been sorted
    if (status := _text(first, "status").casefold()) in ("draft", "archived", "unlisted"):
        return Hidden(status)
    if _text(first, "published", "publishedononlinestore").casefold() in ("false", "no"):
        return Hidden("not published")
    variants = Variants()
    placed: list[tuple[float, str]] = []
    options = [plain_name(_text(first, f"option{number}name")) for number in (1, 2, 3)]
    for cells in rows:
        if photo := _text(cells, "imagesrc", "productimageurl"):
            place = _text(cells, "imageposition")
            placed.append((float(place) if place.isdecimal() else 1e9, photo))
        price, before = (
            _exact(_text(cells, *names))
            for names in (("variantprice", "price"), ("variantcompareatprice", "compareatprice"))
        )
        if not price and not _text(cells, "option1value"):
            continue  # a row that only adds a photo
        available = _shopify_stock(cells)
        variants.take(_text(cells, "variantsku", "sku"), available, before or price, price if before else "")
        for number, option in enumerate(options, 1):
            value = _text(cells, f"option{number}value")
            if option in SIZES:
                variants.size(value, available)
            elif option in COLOURS and value:
                variants.colours.append(value)
    variants.pictures += [photo for _, photo in sorted(placed, key=lambda pair: pair[0])]
    return {
        **variants.cells(),
        "id": _text(first, "handle", "urlhandle"),
        "title": _text(first, "title"),
        "category": _text(first, "productcategory", "type"),
        "brand": _text(first, "vendor"),
        "gender": shop_gender(_text(first, "googleshopping/gender"), _text(first, "googleshopping/agegroup")),
        "age_group": _text(first, "googleshopping/agegroup"),
        "condition": _text(first, "googleshopping/condition"),
        "tags": _list(_text(first, "tags")),
        "sku": _text(first, "variantsku", "sku"),
        "gtin": _text(first, "variantbarcode", "barcode").strip("'"),
    }


def _shopify_stock(cells: Cells) -> bool | None:
    """A variant can be bought when there are some, when nobody counts, or when it is sold without any in stock."""
    pieces = _text(cells, "variantinventoryqty", "inventoryquantity")
    if _text(cells, "variantinventorypolicy", "continuesellingwhenoutofstock").casefold() in ("continue", "true"):
        return True
    tracked = _text(cells, "variantinventorytracker", "inventorytracker")
    if not pieces:
        return None if tracked else True
    try:
        return float(pieces) > 0 or not tracked
    except ValueError:
        return None


# --- WooCommerce: a row a product and a row a variation, which names its parent by id or SKU and may come first ---


def _parent(rows: Sequence[Cells]) -> Callable[[Cells], str]:
    ids = {sku: _own_id(cells) for cells in rows if not _is_variation(cells) and (sku := _text(cells, "sku"))}
    seen: set[str] = set()

    def whose(cells: Cells) -> str:
        if not _is_variation(cells) and (own := _own_id(cells)):
            if own in seen:
                return ""  # a second product of one id stays a row of its own, which is told
            seen.add(own)
        parent = _text(cells, "parent") if _is_variation(cells) else ""
        return (parent.removeprefix("id:") if parent.startswith("id:") else ids.get(parent, "")) or _own_id(cells)

    return whose


def _own_id(cells: Cells) -> str:
    """A product's number; its SKU where a table made by hand has none."""
    return _text(cells, "id", "sku")


def _is_variation(cells: Cells) -> bool:
    return "variation" in _text(cells, "type").casefold()


def _woocommerce(rows: Sequence[Cells]) -> dict[str, Any] | str | Hidden:
    own = [cells for cells in rows if not _is_variation(cells)]
    if not own:
        parent = _text(rows[0], "parent")
        why = f"its parent '{parent}' is not in the export" if parent else "it names no parent"
        return (
            f"the variation '{_text(rows[0], 'name', 'sku', 'id')}' belongs to no product: {why}. Export all products"
        )
    if (published := _text(own[0], "published")) in ("0", "-1"):
        return Hidden("draft" if published == "-1" else "not published")
    if _text(own[0], "visibilityincatalog") == "hidden":
        return Hidden("hidden in the catalogue")
    first, variations = own[0], [cells for cells in rows if _is_variation(cells)]
    variants = Variants(pictures=[photo for cells in (first, *variations) for photo in _urls(_text(cells, "images"))])
    for cells in variations or [first]:
        available = _stock(_text(cells, "instock?", "instock") or _text(cells, "stock"))
        name = _text(cells, "sku") or _text(cells, "id")
        variants.take(name, available, _text(cells, "regularprice"), _text(cells, "saleprice"))
        for size in _options(cells).get("size", ()):
            variants.size(size, available)
    for size in _options(first).get("size", ()):
        variants.sizes.setdefault(size, None)
    variants.colours += _options(first).get("colour", ())
    return {
        **variants.cells(),
        "id": _own_id(first),
        "title": _text(first, "name"),
        "category": max(_list(_text(first, "categories")), key=lambda path: path.count(">"), default=""),
        "brand": _text(first, "brands", "brand"),
        "sku": _text(first, "sku"),
        "gtin": _text(first, "gtin,upc,ean,orisbn"),
        "tags": _list(_text(first, "tags")),
        "url": _text(first, "externalurl", "permalink", "producturl", "url"),
    }


def _options(cells: Cells) -> dict[str, list[str]]:
    """Sizes and colours among WooCommerce's numbered attributes."""
    found: dict[str, list[str]] = {}
    for number in range(1, 21):
        name = plain_name(_text(cells, f"attribute{number}name"))
        values = _list(_text(cells, f"attribute{number}value(s)"))
        if name in SIZES:
            found.setdefault("size", []).extend(values)
        elif name in COLOURS:
            found.setdefault("colour", []).extend(values)
    return found


# --- Google Merchant: a row a variant; those of one item group and one colour are the same look in several sizes ---


def _item_group(_: Sequence[Cells]) -> Callable[[Cells], str]:
    return _google_id


def _google_id(cells: Cells) -> str:
    group, colour = _text(cells, "itemgroupid"), _text(cells, "color", "colour")
    return "/".join(filter(None, (group, colour))) if group else _text(cells, "id")


def _google(rows: Sequence[Cells]) -> dict[str, Any]:
    variants = Variants()
    for cells in rows:
        variants.pictures += [*_urls(_text(cells, "imagelink")), *_urls(_text(cells, "additionalimagelink"))]
        available = _stock(_text(cells, "availability"))
        sale = _text(cells, "saleprice") if _on_sale(cells) else ""
        variants.take(_text(cells, "id"), available, _text(cells, "price"), sale)
        variants.size(_text(cells, "size"), available)
        variants.colours += filter(None, [_text(cells, "color", "colour")])
    first = rows[0]
    category = _text(first, "producttype") or _text(first, "googleproductcategory")
    names = ("title", "brand", "material", "pattern", "condition", "gtin")
    return {
        **variants.cells(),
        **{name: _text(first, name) for name in names},
        "id": _google_id(first),
        "gender": shop_gender(_text(first, "gender"), _text(first, "agegroup")),
        "url": _text(first, "link", "canonicallink"),
        "category": "" if category.isdecimal() else category.split("|")[0],
        "age_group": _text(first, "agegroup"),
    }


GENDERS = {
    **dict.fromkeys(("male", "man", "men", "mens", "men's"), "Men"),
    **dict.fromkeys(("female", "woman", "women", "womens", "women's"), "Women"),
    **{"boy": "Boys", "boys": "Boys", "girl": "Girls", "girls": "Girls", "unisex": "Unisex", "kids": "Kids"},
}
CHILDREN = {"male": "Boys", "female": "Girls", "unisex": "Kids", "kids": "Kids"}


def shop_gender(gender: str, age_group: str = "") -> str:
    """Google's words for whom a product is as shops write them; other words stay as they are.

    >>> shop_gender("male"), shop_gender("female", "kids"), shop_gender("Damen")
    ('Men', 'Girls', 'Damen')
    """
    if not age_group:
        return GENDERS.get(gender.casefold(), gender)
    young = age_group.casefold() in ("kids", "toddler", "infant", "newborn")
    if not gender:
        return "Kids" if young else ""
    return (CHILDREN if young else GENDERS).get(gender.casefold(), gender)


def _on_sale(cells: Cells) -> bool:
    """Whether a sale price counts now: without dates it does."""
    ends = _text(cells, "salepriceeffectivedate").split("/")
    try:
        begin, end = (datetime.fromisoformat(re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", each.strip())) for each in ends)
    except ValueError:
        return True
    begin, end = (each if each.tzinfo else each.replace(tzinfo=UTC) for each in (begin, end))
    return begin <= datetime.now(UTC) <= end


def _price(offers: list[tuple[str, str]]) -> dict[str, str]:
    """What is paid for the cheapest variant, and what it was before if it is reduced."""
    best: tuple[int, str, str] | None = None
    for regular, sale in offers:
        paid = sale or regular
        try:
            minor = parse_price(paid, "")[0]
            before = parse_price(regular, "")[0] if sale and regular else 0
        except ValueError:
            best = best or (10**18, paid, "")  # the table says what is wrong with it
            continue
        if best is None or minor < best[0]:
            best = (minor, paid, f"{before // 100}.{before % 100:02}".removesuffix(".00") if before > minor else "")
    if best is None:
        return {"price": ""}
    return {"price": best[1], "regular_price": best[2], "on_sale": "yes" if best[2] else ""}


def _exact(price: str) -> str:
    """A price that is always written with a decimal point."""
    return ExactNumber(price) if re.fullmatch(r"[0-9]{1,20}(\.[0-9]+)?", price) else price


def _any(stock: list[bool | None]) -> bool | None:
    """Whether any can be bought; None when none is known to be, and one is unknown."""
    return True if True in stock else None if None in stock or not stock else False


def _stock(text: str) -> bool | None:
    try:
        return parse_stock(text)
    except ValueError:
        return None


def _text(cells: Cells, *names: str) -> str:
    """The first of these cells that is not empty, lists joined by bars."""
    for name in names:
        value = cells.get(name)
        text = "|".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
        if text.strip():
            return text.strip()
    return ""


def _list(text: str) -> list[str]:
    """Texts between commas; a comma inside of one stands behind a backslash."""
    return [part.replace("\\,", ",").strip() for part in re.split(r"(?<!\\),", text) if part.strip()]


def _urls(text: str) -> list[str]:
    """Addresses or file names between commas or bars; a comma inside of an address is left alone."""
    return [part.strip() for part in re.split(r"\||,\s+|,(?=https?://)", text) if part.strip()]


GOOGLE_USED = frozenset(
    (
        "imagelink additionalimagelink saleprice salepriceeffectivedate availability color itemgroupid producttype"
        " googleproductcategory description shipping tax identifierexists mobilelink link canonicallink"
    ).split()
)
FEEDS = (
    Feed("Shopify", frozenset(("handle", "title", "imagesrc", "variantprice")), _handle, _shopify),
    Feed("Shopify", frozenset(("urlhandle", "title", "productimageurl", "price")), _handle, _shopify),
    Feed("WooCommerce", frozenset(("id", "type", "sku", "name", "images", "regularprice")), _parent, _woocommerce),
    Feed("Google Merchant", frozenset(("id", "title", "imagelink")), _item_group, _google, GOOGLE_USED),
)
