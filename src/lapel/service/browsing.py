"""Looking through a catalogue without a query: one product, a page of products, and which fields make good filters.

Ids, columns in which nearly every product has a value of its own, and free text help nobody to choose: they are no
filters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lapel.catalog import Catalog
from lapel.catalog.history import PricePoint
from lapel.core.types import Condition, Filter, Photo, Product, SearchResult
from lapel.engine.context import StoreContext
from lapel.engine.facets import without_repeats
from lapel.engine.grouping import variant_key

APART = ("id", "title", "url", "category", "price", "currency", "in_stock")  # no filter, or one of another kind
# What people choose by, in this order.
KNOWN = ("gender", "brand", "colour", "size", "size_in_stock", "on_sale", "season")
FIELDS = ("gender", "brand", "colour", "season")  # of these a shop may have as many values as it likes
MOST_VARIANTS = 200  # of one brand, kind and gender that are looked through for variants of a model
FACET_VALUES = 500  # more values of one field than a person will scroll through
MAX_VALUES = 200  # of an attribute; more of them are names or numbers, not kinds
MIN_SHARED = 2.0  # products that share a value, on average, in an attribute that is no id
MAX_LETTERS = 40  # of a value, on average; longer ones are sentences
MIN_COVERAGE = 0.2  # share of the products that have the attribute; with less it is one of "more"
FIRST_FIELDS = 8  # fields before "more"
MAX_ATTRIBUTES = 40  # columns of the shop's own that are looked at, those with the fewest values first
LETTER_SIZES = (
    *("xxxs", "xxs", "xs", "s", "m", "l", "xl", "xxl", "2xl"),
    *("xxxl", "3xl", "xxxxl", "4xl", "5xl", "6xl"),
)
NUMBER = re.compile(r"[0-9]+(?:[.,][0-9]+)?")


@dataclass(frozen=True)
class ProductDetails:
    """A product with its photos.

    Attributes:
        product: The product.
        photos: Its photos, best first.
        added_at: When it came, UTC; empty when that was before the catalogue kept times, and on pages of many products.
        changed_at: When its content or photos last changed, likewise.
    """

    product: Product
    photos: tuple[Photo, ...]
    added_at: str = ""
    changed_at: str = ""


@dataclass(frozen=True)
class BrowseResult:
    """A page of products.

    Attributes:
        products: With their photos.
        total: How many there are on all pages.
    """

    products: tuple[ProductDetails, ...]
    total: int


@dataclass(frozen=True)
class Overview:
    """What can be filtered by and how much there is.

    Attributes:
        products: How many products there are.
        vectors: How many photos can be searched.
        values: By field the values its products have, the most frequent first; a field that filters nothing is left
            out.
        first: The fields with several values to choose from, the useful ones first.
        more: Those that few need.
        prices: By currency the lowest and the highest price, the commonest currency first.
    """

    products: int
    vectors: int
    values: Mapping[str, tuple[str, ...]]
    first: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    prices: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field with several values to choose from."""
        return self.first + self.more


def details(context: StoreContext, product_id: str) -> ProductDetails:
    """One product with its photos.

    Raises:
        QueryError: there is none of this id.
    """
    catalog = context.catalog
    return ProductDetails(catalog.product(product_id), catalog.photos(product_id), *catalog.times(product_id))


def like_model(product: Product, where: Filter) -> Filter:
    """What every variant of a product has in common with it, beside a filter."""
    common = {"brand": product.brand, "category": " > ".join(product.category), "gender": product.gender}
    own = (Condition(name, "=", (value,)) for name, value in common.items() if value)
    return Filter((*where.conditions, *own))


def only_variants(product: Product, found: SearchResult, k: int) -> SearchResult:
    """Those of an answer that are variants of a product's model."""
    own = variant_key(product)
    hits = [hit for hit in found if variant_key(hit.product) == own][:k]
    return replace(found, hits=tuple(replace(hit, rank=rank) for rank, hit in enumerate(hits, 1)), total=len(hits))


def price_history(context: StoreContext, product_id: str) -> tuple[PricePoint, ...]:
    """What a product cost and whether it was in stock, since when."""
    context.catalog.product(product_id)
    return context.catalog.price_history(product_id)


def browse(context: StoreContext, words: str, where: Filter, limit: int, offset: int) -> BrowseResult:
    """A page of products. See :meth:`lapel.service.Store.browse`."""
    products, total = context.catalog.search_words(words, where, limit=limit, offset=offset)
    found = tuple(ProductDetails(product, context.catalog.photos(product.id)) for product in products)
    return BrowseResult(found, total)


def overview(context: StoreContext) -> Overview:
    """What the catalogue holds now."""
    catalog = context.catalog
    counts = catalog.counts()
    known = {name: catalog.facet_values(name, limit=FACET_VALUES) for name in _candidates(catalog)}
    first, more = choose_fields(without_repeats(known), counts.products)
    values = {
        name: tuple(value for value, _ in found)
        for name, found in known.items()
        if name in first + more
        or (name in ("category", "in_stock") and any(count < counts.products for _, count in found))
    }
    vectors = counts.vectors.get(context.model.fingerprint, 0)
    return Overview(counts.products, vectors, values, first, more, catalog.price_ranges())


def _candidates(catalog: Catalog) -> list[str]:
    """The fields that may be filters; what has far too many values is known without reading them."""
    known = ("category", "in_stock", *FIELDS)
    many = catalog.value_counts(MAX_VALUES + 1)
    own = sorted(
        (name for name in many if name not in known + APART and many[name] <= MAX_VALUES), key=many.__getitem__
    )
    return [*(name for name in known if many.get(name)), *own[:MAX_ATTRIBUTES]]


def choose_fields(
    known: Mapping[str, Sequence[tuple[str, int]]], products: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The fields to filter by: the useful ones, then the rest.

    Args:
        known: By field its values, each with how many products have it. The values of a product with several count
            each.
        products: How many products there are.

    Returns:
        Names to show at once, and names for "more".

    >>> choose_fields({"size": [("M", 5), ("S", 3)], "sku": [("a", 1), ("b", 1)], "brand": [("Marl", 8)]}, 8)
    (('size',), ())
    """
    useful = [name for name, values in known.items() if name not in APART and _filters(name, values, products)]
    common = [name for name in KNOWN if name in useful]
    covered = {name: min(1.0, sum(count for _, count in known[name]) / products) for name in useful}
    own = sorted(
        set(useful) - set(common), key=lambda name: (-round(covered[name], 1), len(known[name]), name.casefold(), name)
    )
    first = [*common, *(name for name in own if covered[name] >= MIN_COVERAGE)][: max(FIRST_FIELDS, len(common))]
    return tuple(first), tuple(name for name in own if name not in first)


def _filters(name: str, values: Sequence[tuple[str, int]], products: int) -> bool:
    """Whether choosing a value of this field leaves some products out, and people can choose it."""
    if not any(count < products for _, count in values):
        return False
    if name in FIELDS:
        return True
    shared = sum(count for _, count in values) / len(values)
    letters = sum(len(value) for value, _ in values) / len(values)
    return len(values) <= MAX_VALUES and shared >= MIN_SHARED and letters <= MAX_LETTERS


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
    if value.casefold() in LETTER_SIZES:
        return 0, LETTER_SIZES.index(value.casefold())
    number = NUMBER.match(value)
    if number and (number.end() == len(value) or not value[number.end()].isdigit()):
        return (1 if number.end() == len(value) else 2), float(number[0].replace(",", "."))
    return 3, 0.0


def field_label(name: str) -> str:
    """A field's name for people.

    >>> field_label("size_in_stock"), field_label("articleType"), field_label("fabric type"), field_label("EAN")
    ('Size in stock', 'Article type', 'Fabric type', 'EAN')
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", name).replace("_", " ").replace("-", " ").split()
    text = " ".join(word if word.isupper() else word.lower() for word in words) or name
    return text[:1].upper() + text[1:]
