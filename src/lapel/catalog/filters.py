"""A filter as SQL: from conditions on fields to a WHERE clause over ``product``. Values travel as parameters, never as SQL text."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from lapel.catalog.entries import NUMBER, term_value
from lapel.catalog.presence import SHOWN
from lapel.core.errors import QueryError
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
    """The field that ``name`` means: that name, or the only one that differs in case alone.

    Raises:
        QueryError: no product has such a field.
    """
    if name in FIELDS or database.execute("SELECT 1 FROM term WHERE name = ? LIMIT 1", (name,)).fetchone():
        return name
    known = field_names(database)
    alike = [field for field in known if field.casefold() == name.casefold()]
    if len(alike) == 1:
        return alike[0]
    raise QueryError(f"The catalogue has no field '{name}'. There are: {', '.join(known)}.")


def where_clause(database: sqlite3.Connection, where: Filter) -> tuple[str, list[Any]]:
    """The SQL condition over ``product`` that ``where`` stands for, and its parameters.

    Raises:
        QueryError: an unknown field, a range over texts, or a price that is not a number.
    """
    clauses, parameters = [SHOWN], []
    currency = _currency(database, where)
    if currency:
        clauses.append("product.currency = ?")
        parameters.append(currency)
    for condition in where.conditions:
        name = resolve(database, condition.field)
        clause, values = _clause(database, name, condition)
        clauses.append(clause)
        parameters += values
    return " AND ".join(clauses), parameters


def currencies(database: sqlite3.Connection) -> list[str]:
    """The currencies of all prices, by name."""
    return [value for (value,) in database.execute("SELECT value FROM term WHERE name = 'currency' ORDER BY value")]


def _currency(database: sqlite3.Connection, where: Filter) -> str:
    """The one currency in which prices are compared; empty when none are.

    Raises:
        QueryError: there are several, and the filter does not say which.
    """
    ranges = [condition for condition in where.conditions if condition.field.casefold() == "price"]
    if not ranges:
        return ""
    known = currencies(database)
    for condition in where.conditions:
        if condition.field.casefold() == "currency" and condition.operator == "=":
            known = [each for each in known if each.casefold() in {value.casefold() for value in condition.values}]
    if len(known) > 1:
        raise QueryError(
            f"The filter {ranges[0]} compares prices, and there are prices in {', '.join(known)}. Say which: currency={known[0]}"
        )
    return known[0] if known else ""


def _clause(database: sqlite3.Connection, name: str, condition: Condition) -> tuple[str, list[Any]]:
    unlike = condition.operator == "!="
    if condition.operator not in ("=", "!="):
        if name == "price":
            return f"product.price {condition.operator} ?", [condition.number]
        return _facet_clause(_numbers(database, name, condition), False)
    if name == "price":
        prices = json.dumps([_price(value, condition) for value in condition.values])
        if unlike:
            return "(product.price IS NULL OR product.price NOT IN (SELECT value FROM json_each(?)))", [prices]
        return "product.price IN (SELECT value FROM json_each(?))", [prices]
    if name in COLUMNS:
        return f"product.{name} {'NOT ' if unlike else ''}IN (SELECT value FROM json_each(?))", [
            json.dumps(condition.values)
        ]
    if name == "category":
        return _facet_clause(_categories(database, condition.values), unlike)
    wanted = [_stock(value, condition) if name == "in_stock" else value for value in condition.values]
    folded = json.dumps([term_value(value).casefold() for value in wanted])
    found = database.execute(
        "SELECT id FROM term WHERE name = ? AND folded IN (SELECT value FROM json_each(?))", (name, folded)
    )
    return _facet_clause([term for (term,) in found], unlike)


def _facet_clause(terms: Sequence[int], unlike: bool) -> tuple[str, list[Any]]:
    inside = "SELECT product_row FROM facet WHERE term IN (SELECT value FROM json_each(?))"
    return f"product.row {'NOT ' if unlike else ''}IN ({inside})", [json.dumps(terms)]


def _numbers(database: sqlite3.Connection, name: str, condition: Condition) -> list[int]:
    numeric = "SELECT id FROM term WHERE name = ? AND number IS NOT NULL"
    found = database.execute(f"{numeric} AND number {condition.operator} ?", (name, condition.number)).fetchall()
    if not found and not database.execute(f"{numeric} LIMIT 1", (name,)).fetchone():
        raise QueryError(
            f"The filter {condition} compares numbers, but no product has a number as its {name}. Write {name}=value instead."
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
    """A category path as it is compared: without case, and with one blank around each ``>``."""
    return " > ".join(level.strip() for level in text.casefold().split(">"))


def _price(value: str, condition: Condition) -> float:
    if not NUMBER.fullmatch(value):
        raise QueryError(
            f"The filter {condition} compares a price with '{value}'. Write a number, such as price=49.90."
        )
    return float(value)


def _stock(value: str, condition: Condition) -> str:
    if value.casefold() in YES + NO:
        return "yes" if value.casefold() in YES else "no"
    raise QueryError(f"The filter {condition} asks for '{value}'. Write in_stock=yes or in_stock=no.")
