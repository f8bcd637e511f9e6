"""What values the products have: of a field, with counts; of prices, as ranges; of every photo, as columns. Read inside
an open snapshot."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from lapel.catalog.entries import PhotoFacets
from lapel.catalog.filters import COLUMNS, currencies, field_names, resolve, where_clause
from lapel.catalog.visibility import NOT_SHOWN, SHOWN
from lapel.core.errors import QueryError
from lapel.core.types import Filter
from lapel.core.vectors import Keys


def value_counts(database: sqlite3.Connection, most: int) -> dict[str, int]:
    """By field how many different values there are, counted up to ``most``."""
    asked = "SELECT count(*) FROM (SELECT 1 FROM term WHERE name = ? LIMIT ?)"
    names = [name for name in field_names(database) if name not in COLUMNS]
    return {name: database.execute(asked, (name, most)).fetchone()[0] for name in names}


def facet_values(database: sqlite3.Connection, name: str, where: Filter, limit: int) -> list[tuple[str, int]]:
    """The most frequent values of a field, with how many products that fulfil ``where`` have them.

    Raises:
        QueryError: an unknown field; or ``price``, which has a range instead.
    """
    name = resolve(database, name)
    if name == "price":
        raise QueryError("Prices have a range, not a list of values. Ask for the price range instead.")
    clause, parameters = where_clause(database, where)
    inside = f"SELECT row FROM product WHERE {clause}"
    if name in COLUMNS:
        asked = (
            f"SELECT {name}, count(*) FROM product WHERE row IN ({inside}) AND {name} <> ''"
            " GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?"
        )
        return list(database.execute(asked, (*parameters, limit)))
    # Without a filter it is faster to leave out the few that are not shown than to look each product up.
    narrowed = f"AND product_row {f'IN ({inside})' if where else 'NOT IN (' + NOT_SHOWN + ')'}"
    asked = (
        "SELECT value, count(*) FROM term JOIN facet ON facet.term = term.id"
        f" WHERE name = ? {narrowed} GROUP BY term.id ORDER BY 2 DESC, 1 LIMIT ?"
    )
    return list(database.execute(asked, (name, *(parameters if where else ()), limit)))


def price_ranges(database: sqlite3.Connection) -> dict[str, tuple[float, float]]:
    """By currency the lowest and the highest price of what is shown, in major units; the commonest currency first."""
    # Each end is found by going along the index on prices, mostly a single step.
    end = f"SELECT price FROM product WHERE currency = ?1 AND price IS NOT NULL AND {SHOWN} ORDER BY price {{}} LIMIT 1"
    asked = f"SELECT ({end.format('ASC')}), ({end.format('DESC')})"
    counted = "SELECT count(*) FROM product WHERE currency = ? AND price IS NOT NULL"
    often = {each: database.execute(counted, (each,)).fetchone()[0] for each in currencies(database)}
    found = {
        each: database.execute(asked, (each,)).fetchone() for each in sorted(often, key=lambda one: (-often[one], one))
    }
    return {each: (float(low), float(high)) for each, (low, high) in found.items()}


def photo_facets(database: sqlite3.Connection, names: Sequence[str], where: Filter) -> PhotoFacets:
    """Every photo whose product fulfils ``where``, with the named fields.

    Raises:
        QueryError: an unknown field, or ``price``.
    """
    clause, parameters = where_clause(database, where)
    asked = (
        f"SELECT key, row, category, {', '.join(COLUMNS)} FROM photo JOIN product ON row = product_row"
        f" WHERE {clause} ORDER BY key"
    )
    found = list(zip(*database.execute(asked, parameters), strict=True)) or [()] * (3 + len(COLUMNS))
    keys, rows, categories, *texts = found
    columns = dict(zip(COLUMNS, texts, strict=True))
    values: dict[str, list[str]] = {}
    for name in names:
        field = resolve(database, name)
        if field == "price":
            raise QueryError("A price is a number, not a label to compare by. Name another field.")
        if field == "category":
            paths = {text: " > ".join(json.loads(text)) for text in set(categories)}
            values[name] = [paths[text] for text in categories]
        elif field in COLUMNS:
            values[name] = list(columns[field])
        else:
            # Several values, such as sizes, are one label: all of them.
            joined = (
                "SELECT product_row, group_concat(value, '|') FROM term JOIN facet ON facet.term = term.id"
                " WHERE name = ? GROUP BY product_row"
            )
            by_row: dict[int, str] = dict(database.execute(joined, (field,)))
            values[name] = [by_row.get(row, "") for row in rows]
    return PhotoFacets(np.array(keys, np.int64), np.array(rows, np.int64), list(columns["id"]), values)


def photo_columns(database: sqlite3.Connection) -> tuple[Keys, NDArray[np.int64], dict[str, list[str]]]:
    """Every photo with its product's number and own columns, see :meth:`lapel.catalog.Catalog.photo_columns`."""
    asked = "SELECT key, row, colour, category, gender FROM photo JOIN product ON row = product_row ORDER BY key"
    keys, rows, *texts = list(zip(*database.execute(asked), strict=True)) or [()] * 5
    columns = dict(zip(("colour", "category", "gender"), map(list, texts), strict=True))
    return np.array(keys, np.int64), np.array(rows, np.int64), columns


def facet_links(database: sqlite3.Connection, name: str) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    """The values of a field, and which product has which: two columns, of products' rows and places among the values.

    Raises:
        QueryError: an unknown field.
    """
    field = resolve(database, name)
    if field in COLUMNS:
        found = database.execute(f"SELECT row, {field} FROM product WHERE {field} <> ''").fetchall()
        values = sorted({value for _, value in found})
        places = {value: place for place, value in enumerate(values)}
        return values, _column(row for row, _ in found), _column(places[value] for _, value in found)
    terms = database.execute("SELECT id, value FROM term WHERE name = ? ORDER BY value", (field,)).fetchall()
    of = {term: place for place, (term, _) in enumerate(terms)}
    links = database.execute(
        "SELECT product_row, term FROM facet WHERE term IN (SELECT id FROM term WHERE name = ?)", (field,)
    ).fetchall()
    return [value for _, value in terms], _column(row for row, _ in links), _column(of[term] for _, term in links)


def prices(database: sqlite3.Connection) -> list[tuple[int, str, float]]:
    """The row, currency and price in major units of every product that is shown and has one."""
    asked = f"SELECT row, currency, price FROM product WHERE price IS NOT NULL AND {SHOWN} ORDER BY currency, price"
    return list(database.execute(asked))


def _column(numbers: Iterable[int]) -> NDArray[np.int64]:
    return np.fromiter(numbers, np.int64)
