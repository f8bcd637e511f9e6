"""A filter as SQL: from conditions on fields to a WHERE clause over ``product``.

Values travel as parameters, never as SQL text.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any
from unicodedata import normalize

from lapel.catalog.entries import NUMBER, term_value
from lapel.catalog.visibility import SHOWN
from lapel.core.errors import QueryError
from lapel.core.text import fold
from lapel.core.types import FIELDS, Condition, Filter

COLUMNS = ("id", "title", "url")  # fields that are columns, not facets
YES = ("yes", "true", "1", "y")
NO = ("no", "false", "0", "n")


def field_names(database: sqlite3.Connection) -> list[str]:
    """Every name a filter can use: the fields, then the attributes that some product has."""
    # A loose index scan: one step for each distinct name instead of one for each of its values.
    names = database.execute(
        "WITH RECURSIVE name (n) AS (SELECT min(name) FROM term"
        " UNION ALL SELECT (SELECT min(name) FROM term WHERE name > n) FROM name WHERE n IS NOT NULL)"
        " SELECT n FROM name WHERE n IS NOT NULL"
    )
    found = {name for (name,) in names} - set(FIELDS)
    return [*FIELDS, *sorted(found, key=str.casefold)]


def resolve(database: sqlite3.Connection, name: str) -> str:
    """The field that ``name`` means: that name, or the only one that is the same once folded.

    Raises:
        QueryError: no product has such a field.
    """
    if name in FIELDS or database.execute("SELECT 1 FROM term WHERE name = ? LIMIT 1", (name,)).fetchone():
        return name
    known = field_names(database)
    alike = [field for field in known if fold(field) == fold(name)]
    if len(alike) == 1:
        return alike[0]
    raise QueryError(f"The catalogue has no field '{name}'. There are: {', '.join(known)}.", field=name)


def where_clause(database: sqlite3.Connection, where: Filter) -> tuple[str, list[Any]]:
    """The SQL condition over ``product`` that ``where`` stands for, and its parameters.

    Raises:
        QueryError: an unknown field or currency, a range over texts, a price that is not a number, or prices of several
            currencies where the filter does not say which.
    """
    clauses, parameters = [SHOWN], []
    for _, clause, values in _each(database, where):
        clauses.append(clause)
        parameters += values
    return " AND ".join(clauses), parameters


def row_sets(database: sqlite3.Connection, where: Filter) -> list[tuple[str, list[Any], bool]]:
    """Each condition as what follows SELECT to have the rows of products that fulfil it, its parameters, and whether it
    is the others that do.

    Raises:
        QueryError: see :func:`where_clause`.
    """
    found: list[tuple[str, list[Any], bool]] = []
    for condition, clause, values in _each(database, where):
        if clause.startswith("product.row "):  # a facet's, whose rows stand in an index
            unlike = condition.operator == "!="
            found.append(("product_row FROM facet WHERE term IN (SELECT value FROM json_each(?))", values, unlike))
        else:
            found.append((f"row FROM product WHERE {clause}", values, False))
    return found


def _each(database: sqlite3.Connection, where: Filter) -> Iterator[tuple[Condition, str, list[Any]]]:
    """Each condition with its SQL and parameters."""
    named = [(resolve(database, condition.field), condition) for condition in where.conditions]
    for name, condition in named:
        if name == "price":
            others = [other for field, other in named if field == "currency"]
            yield condition, *_price_clause(database, condition, others)
        else:
            yield condition, *_clause(database, name, condition)


def currencies(database: sqlite3.Connection) -> list[str]:
    """The currencies of all prices of what is shown, by name."""
    priced = f"SELECT 1 FROM facet JOIN product ON product.row = product_row WHERE facet.term = term.id AND {SHOWN}"
    asked = f"SELECT value FROM term WHERE name = 'currency' AND EXISTS ({priced}) ORDER BY value"
    return [value for (value,) in database.execute(asked)]


def _price_clause(
    database: sqlite3.Connection, condition: Condition, others: Sequence[Condition]
) -> tuple[str, list[Any]]:
    """Prices are compared within a currency: the one beside the number, else the one that other conditions leave."""
    ranged = condition.operator not in ("=", "!=")
    amounts = [
        (condition.number if ranged else _price(number, condition), currency) for number, currency in condition.amounts
    ]
    known = currencies(database)
    for _, currency in amounts:
        if currency and currency not in known:
            raise _no_currency(condition, known)
    left = known if all(currency for _, currency in amounts) else _left(condition, known, others)
    clauses, parameters = [], []
    for number, currency in amounts:
        clauses.append(f"(product.currency = ? AND product.price {condition.operator if ranged else '='} ?)")
        parameters += [currency or (left[0] if left else ""), number]
    found = f"product.price IS NOT NULL AND ({' OR '.join(clauses)})"
    return (f"NOT ({found})" if condition.operator == "!=" else f"({found})"), parameters


def _left(condition: Condition, known: Sequence[str], others: Sequence[Condition]) -> list[str]:
    """The currency that is meant by a number without one; none where nothing has a price.

    Raises:
        QueryError: several would do.
    """
    left = list(known)
    for other in others:
        values = {fold(value) for value in other.values}
        left = [each for each in left if (fold(each) in values) == (other.operator == "=")]
    if len(left) > 1:
        raise QueryError(
            f"The filter {condition} compares prices, and there are prices in {', '.join(left)}. Say which:"
            f" '{condition.field}{condition.operator}{condition.values[0]} {left[0]}', or add currency={left[0]}"
        )
    return left


def _no_currency(condition: Condition, known: Sequence[str]) -> QueryError:
    there = f"There are prices in {', '.join(known)}." if known else "No product has a price."
    return QueryError(f"The filter {condition} asks for a currency that no product has. {there}")


def _clause(database: sqlite3.Connection, name: str, condition: Condition) -> tuple[str, list[Any]]:
    unlike = condition.operator == "!="
    if condition.operator not in ("=", "!="):
        return _facet_clause(_numbers(database, name, condition), False)
    if name in COLUMNS:
        return _column_clause(name, condition.values, unlike)
    if name == "category":
        return _facet_clause(_categories(database, condition.values), unlike)
    wanted = [_stock(value, condition) if name == "in_stock" else value for value in condition.values]
    folded = [fold(term_value(value)) for value in wanted]
    if name == "currency" and not unlike:
        known = currencies(database)
        if not {fold(each) for each in known} & set(folded):
            raise _no_currency(condition, known)
    found = database.execute(
        "SELECT id FROM term WHERE name = ? AND folded IN (SELECT value FROM json_each(?))", (name, json.dumps(folded))
    )
    return _facet_clause([term for (term,) in found], unlike)


def _column_clause(name: str, values: Sequence[str], unlike: bool) -> tuple[str, list[Any]]:
    """Titles are compared folded, as facets are; ids and addresses as they are, however their accents were typed."""
    if name == "title":
        wanted = [fold(value) for value in values]
        return f"fold(product.title) {'NOT ' if unlike else ''}IN (SELECT value FROM json_each(?))", [
            json.dumps(wanted)
        ]
    forms = {form for value in values for form in (value, normalize("NFC", value), normalize("NFD", value))}
    return f"product.{name} {'NOT ' if unlike else ''}IN (SELECT value FROM json_each(?))", [json.dumps(sorted(forms))]


def _facet_clause(terms: Sequence[int], unlike: bool) -> tuple[str, list[Any]]:
    inside = "SELECT product_row FROM facet WHERE term IN (SELECT value FROM json_each(?))"
    return f"product.row {'NOT ' if unlike else ''}IN ({inside})", [json.dumps(terms)]


def _numbers(database: sqlite3.Connection, name: str, condition: Condition) -> list[int]:
    numeric = "SELECT id FROM term WHERE name = ? AND number IS NOT NULL"
    found = database.execute(f"{numeric} AND number {condition.operator} ?", (name, condition.number)).fetchall()
    if not found and not database.execute(f"{numeric} LIMIT 1", (name,)).fetchone():
        raise QueryError(
            f"The filter {condition} compares numbers, but no product has a number as its {name}. Write {name}=value"
            f" instead."
        )
    return [term for (term,) in found]


def _categories(database: sqlite3.Connection, values: Sequence[str]) -> list[int]:
    """Terms of a whole path, of the beginning of one, or of one level wherever it stands."""
    wanted = {fold_path(value) for value in values}
    found = []
    for term, path in database.execute("SELECT id, value FROM term WHERE name = 'category'"):
        folded = fold_path(path)
        if folded in wanted or folded.rpartition(" > ")[2] in wanted:
            found.append(term)
    return found


def fold_path(text: str) -> str:
    """A category path as it is compared: folded, and with one blank around each ``>``."""
    return " > ".join(level.strip() for level in fold(text).split(">"))


def _price(value: str, condition: Condition) -> float:
    if not NUMBER.fullmatch(value):
        raise QueryError(
            f"The filter {condition} compares a price with '{value}'. Write a number, such as price=49.90 or"
            f" price=49.90 EUR."
        )
    return float(value)


def _stock(value: str, condition: Condition) -> str:
    if fold(value) in YES + NO:
        return "yes" if fold(value) in YES else "no"
    raise QueryError(f"The filter {condition} asks for '{value}'. Write in_stock=yes or in_stock=no.")
