"""Every product of a store in memory, as columns: what rows of recommendations choose from.

The catalogue goes in, one table for each of its generations comes out. Vectors of photos that were there before are not
read again. 40,097 products take 30 MB.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lapel.catalog import Catalog
from lapel.core.colour_names import find_colour
from lapel.core.vectors import Keys, Vectors
from lapel.engine.index_storage import SearchSnapshot
from lapel.engine.look import Column, LookReranker, decoded_palettes, places_of
from lapel.engine.recommend.parts import part_of

Places = NDArray[np.int64]  # of products in a table
MARGIN = "margin"  # the column a shop may give: a share of the price, or an amount
SIZES = ("sizes", "size")
NEUTRAL_CHROMA = 9.0  # CIELAB, below which a colour has no hue to speak of
BROWN_CHROMA = 45.0  # below which orange is brown, or beige where it is light
HUES = (
    (12, "pink"),
    (45, "red"),
    (72, "orange"),
    (105, "yellow"),
    (195, "green"),
    (295, "blue"),
    (330, "purple"),
    (361, "pink"),
)
SOLD_OUT, UNKNOWN_STOCK, IN_STOCK = 0, -1, 1


@dataclass(frozen=True)
class ProductTable:
    """Products of a store at one generation of its catalogue; those without a vector are left out.

    Attributes:
        generation: Of the catalogue.
        fingerprint: Of the model whose vectors these are.
        ids: (n,) their ids.
        places: Id -> place.
        rows: (n,) their numbers in the catalogue, rising.
        keys: (n,) of the photo that stands for each.
        vectors: (n, dim) float32 of those photos.
        photos: (n,) a number for each different photo.
        kinds: Category paths.
        parts: What of an outfit each is, see :mod:`lapel.engine.recommend.parts`.
        genders: For whom.
        brands: Of whom.
        colours: Named colours.
        families: Of colours, by their names or, without one that is known, by the photo; see :func:`family_of`.
        seasons: When it is sold.
        prices: (n,) in major units; NaN where there is none.
        currencies: Of the prices.
        margins: (n,) as the shop gives them; NaN where it does not.
        stock: (n,) 1 where it can be bought, 0 where it is sold out, -1 where that is unknown.
        shown: (n,) whether it may be shown at all.
        sizes: (n,) sets of sizes in stock; empty where none are known.
        lab: (n, 3) float32, CIELAB of the colour that takes most of its photo; NaN where no palette is known.
    """

    generation: int
    fingerprint: str
    ids: tuple[str, ...]
    places: dict[str, int]
    rows: NDArray[np.int64]
    keys: Keys
    vectors: Vectors
    photos: NDArray[np.int64]
    kinds: Column
    parts: Column
    genders: Column
    brands: Column
    colours: Column
    families: Column
    seasons: Column
    prices: NDArray[np.float64]
    currencies: Column
    margins: NDArray[np.float64]
    stock: NDArray[np.int8]
    shown: NDArray[np.bool_]
    sizes: tuple[frozenset[str], ...]
    lab: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ids)

    def find(self, product_ids: Iterable[str]) -> Places:
        """The places of those of these products that are in the table, in their order."""
        places = self.find_each(product_ids)
        return places[places >= 0]

    def find_each(self, product_ids: Iterable[str]) -> Places:
        """(m,) the place of each of these products, -1 where the table has none."""
        return np.array([self.places.get(each, -1) for each in product_ids], np.int64)

    def places_of_rows(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n,) which products have one of these numbers in the catalogue."""
        return np.asarray(np.isin(self.rows, rows))


class Tables:
    """The table of one store, read when it is first needed and again when products changed. Safe to share between
    threads.

    Args:
        catalog: The store's.
        look: What knows the palettes.
        model: Fingerprint of the model whose vectors are read, in place of the one that is searched.
    """

    def __init__(self, catalog: Catalog, look: LookReranker, model: str = "") -> None:
        self._catalog = catalog
        self._model = model
        self._look = look
        self._lock = threading.Lock()
        self._table: ProductTable | None = None

    def of(self, snapshot: SearchSnapshot) -> ProductTable:
        """The products as a snapshot sees them."""
        generation, fingerprint = snapshot.version.generation, self._model or snapshot.model.fingerprint
        with self._lock:
            known = self._table
            if known is None or known.generation != generation or known.fingerprint != fingerprint:
                self._table = known = _read(self._catalog, self._look, generation, fingerprint, known)
            return known


def _read(
    catalog: Catalog, look: LookReranker, generation: int, fingerprint: str, before: ProductTable | None
) -> ProductTable:
    rows = [each for each in catalog.product_columns(fingerprint) if each.key is not None]
    keys = np.array([each.key for each in rows], np.int64)
    vectors = _vectors(catalog, fingerprint, keys, before)
    paths = {text: tuple(json.loads(text)) for text in {each.category for each in rows}}
    attributes = [_attributes(each.attributes) for each in rows]
    ids = tuple(each.id for each in rows)
    lab = _colours(look, generation, keys)
    photos = {sha256: number for number, sha256 in enumerate(dict.fromkeys(each.sha256 for each in rows))}
    return ProductTable(
        generation,
        fingerprint,
        ids,
        {name: place for place, name in enumerate(ids)},
        np.array([each.row for each in rows], np.int64),
        keys,
        vectors,
        np.array([photos[each.sha256] for each in rows], np.int64),
        Column.read([" > ".join(paths[each.category]) for each in rows]),
        Column.read([part_of(paths[each.category]) for each in rows]),
        Column.read([each.gender for each in rows]),
        Column.read([each.brand for each in rows]),
        Column.read([each.colour for each in rows]),
        Column.read(_families([each.colour for each in rows], lab)),
        Column.read([each.season for each in rows]),
        np.array([np.nan if each.price is None else each.price for each in rows], float),
        Column.read([each.currency for each in rows]),
        np.array([_number(each.get(MARGIN, "")) for each in attributes], float),
        np.array([UNKNOWN_STOCK if each.in_stock is None else each.in_stock for each in rows], np.int8),
        np.array([bool(each.shown) for each in rows], bool),
        tuple(_sizes(each) for each in attributes),
        lab,
    )


def _vectors(catalog: Catalog, fingerprint: str, keys: Keys, before: ProductTable | None) -> Vectors:
    """(n, dim) the photos' vectors; a key stands for the same bytes for ever, so those that are known stay."""
    known = before if before is not None and before.fingerprint == fingerprint and len(before) else None
    if known is not None:
        order = np.argsort(known.keys)
        at = order[np.minimum(np.searchsorted(known.keys[order], keys), len(order) - 1)]
        there = known.keys[at] == keys
        made = np.empty((len(keys), known.vectors.shape[1]), np.float32)
        made[there] = known.vectors[at[there]]
        if there.all():  # products only went
            return made
        fresh = catalog.vector_of(keys[~there], fingerprint=fingerprint)
        if len(fresh) == (~there).sum():
            made[~there] = fresh
            return made
    pieces = list(catalog.vectors(fingerprint))
    if not pieces:
        return np.zeros((0, 1), np.float32)
    every, vectors = np.concatenate([piece[0] for piece in pieces]), np.concatenate([piece[1] for piece in pieces])
    return np.asarray(vectors[np.searchsorted(every, keys)], np.float32)


def _colours(look: LookReranker, generation: int, keys: Keys) -> NDArray[np.float32]:
    made = np.full((len(keys), 3), np.nan, np.float32)
    table = look.table(generation)
    if len(table.keys):
        at, there = places_of(table, keys)
        lab, shares = decoded_palettes(table.palettes[at])
        most = shares.argmax(axis=1)
        known = there & (shares.max(axis=1) > 0)
        made[known] = lab[np.arange(len(keys)), most][known]
    return made


@lru_cache(maxsize=65_536)
def _attributes(text: str) -> dict[str, str]:
    return {} if text == "{}" else {name.casefold(): value for name, value in json.loads(text).items()}


def _number(text: str) -> float:
    try:
        return float(text.strip().rstrip("%").replace(",", ".")) if text else np.nan
    except ValueError:
        return np.nan


def _sizes(attributes: dict[str, str]) -> frozenset[str]:
    found: Sequence[str] = next((attributes[name].split("|") for name in SIZES if attributes.get(name)), [])
    return frozenset(each.strip().casefold() for each in found if each.strip())


def _families(names: Sequence[str], lab: NDArray[np.float32]) -> list[str]:
    known = {name: find_colour(name) for name in set(names)}
    of_name = {name: "" if colour is None else family_of(colour.lab) for name, colour in known.items()}
    return [
        of_name[name] or ("" if np.isnan(seen[0]) else family_of(seen)) for name, seen in zip(names, lab, strict=True)
    ]


def family_of(lab: NDArray[np.floating]) -> str:
    """The family of a colour (3,) in CIELAB, as shops sort their racks.

    >>> family_of(np.array([20.0, 2.0, -1.0])), family_of(np.array([35.0, 10.0, -40.0]))
    ('black', 'blue')
    """
    lightness, a, b = (float(each) for each in lab)
    chroma = math.hypot(a, b)
    if chroma < NEUTRAL_CHROMA:
        return "black" if lightness < 28 else "white" if lightness > 82 else "grey"
    hue = math.degrees(math.atan2(b, a)) % 360
    if 35 <= hue < 95 and chroma < BROWN_CHROMA:
        return "beige" if lightness > 68 else "brown"
    return next(name for limit, name in HUES if hue < limit)


def among(places: Places, known: Places) -> NDArray[np.bool_]:
    """(m,) which places are among sorted ones."""
    if not len(known):
        return np.zeros(len(places), bool)
    found: NDArray[np.bool_] = known[np.minimum(np.searchsorted(known, places), len(known) - 1)] == places
    return found
