"""Every product as columns of one moment, for what looks at all of them at once, such as recommending."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from lapel.catalog.visibility import NOT_SHOWN


class ProductColumns(NamedTuple):
    """One product as it is kept; see :class:`lapel.core.types.Product`.

    Attributes:
        row: Its number.
        category: JSON list.
        price: In major units.
        attributes: JSON object.
        shown: Whether it is neither delisted nor out of reach.
        key: Of its first photo that has a vector of the model in use, which is not hidden; None without one.
        sha256: Of that photo's bytes.
    """

    row: int
    id: str
    category: str
    gender: str
    brand: str
    colour: str
    season: str
    price: float | None
    currency: str
    in_stock: int | None
    attributes: str
    shown: int
    key: int | None
    sha256: str | None


def product_columns(database: sqlite3.Connection, fingerprint: str) -> list[ProductColumns]:
    """Every product, by its number. Read inside an open snapshot."""
    photos = (
        "SELECT product_row, photo.key, sha256 FROM photo JOIN vector INDEXED BY vector_model ON vector.key = photo.key"
        " AND vector.model = (SELECT id FROM model WHERE fingerprint = ?) WHERE unreachable_at = ''"
        " ORDER BY product_row, position DESC, photo.key DESC"
    )
    first = {row: (key, sha256) for row, key, sha256 in database.execute(photos, (fingerprint,))}
    hidden = {row for (row,) in database.execute(NOT_SHOWN)}
    asked = (
        "SELECT row, id, category, gender, brand, colour, season, price, currency, in_stock, attributes FROM product"
        " ORDER BY row"
    )
    return [
        ProductColumns._make((*each, each[0] not in hidden, *first.get(each[0], (None, None))))
        for each in database.execute(asked)
    ]
