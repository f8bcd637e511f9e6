"""Products by the words in their texts: SQLite's full-text search (FTS5) over the view ``product_words``.

Only whole words match, without regard to case and accents, in any field. The table ``product_text`` holds no texts of
its own: what leaves it must be told while the product still reads as it did when it came.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from lapel.catalog.entries import QUALIFIED_PRODUCT_COLUMNS, from_row
from lapel.catalog.filters import where_clause
from lapel.core.types import Filter, Product

COLUMNS = "id, title, brand, colour, category, gender, season, attributes"
WEIGHTS = "10, 5, 2, 2, 2, 1, 1, 1"  # of the columns in BM25: the id and the title say most about a product
_IN_LIST = "row IN (SELECT value FROM json_each(?))"


def add_words(database: sqlite3.Connection, rows: str) -> None:
    """Make products, a JSON list of rows, findable by their words."""
    database.execute(
        f"INSERT INTO product_text (rowid, {COLUMNS}) SELECT row, {COLUMNS} FROM product_words WHERE {_IN_LIST}",
        (rows,),
    )


def remove_words(database: sqlite3.Connection, rows: str) -> None:
    """Take products, a JSON list of rows, out of the word search. Call it before they change or go."""
    database.execute(
        f"INSERT INTO product_text (product_text, rowid, {COLUMNS}) SELECT 'delete', row, {COLUMNS}"
        f" FROM product_words WHERE {_IN_LIST}",
        (rows,),
    )


def search(
    database: sqlite3.Connection, words: str, where: Filter, limit: int, offset: int
) -> tuple[list[Product], int]:
    """The products that hold every word and fulfil ``where``, best first, and how many there are in all."""
    clause, parameters = where_clause(database, where)
    # A text that is no valid UTF-16 cannot be asked for, and a NUL would end the question.
    wanted = words.encode(errors="replace").decode().replace("\0", " ").strip()
    match = match_expression(wanted)
    found, values, order = "1", [], "row"
    if match:
        found, values = "product_text MATCH ?", [match]
        order = f"product.id = ? DESC, bm25(product_text, {WEIGHTS}), row"
    elif wanted:  # signs only; an id may be such
        found, values = "product.id = ?", [wanted]
    tables = "product_text JOIN product ON product.row = product_text.rowid" if match else "product"
    inside = f"FROM {tables} WHERE {found} AND {clause}"
    count = database.execute(f"SELECT count(*) {inside}", (*values, *parameters)).fetchone()[0]
    ordered: tuple[Any, ...] = (*values, *parameters, *([wanted] if match else []), limit, offset)
    asked = f"SELECT {QUALIFIED_PRODUCT_COLUMNS} {inside} ORDER BY {order} LIMIT ? OFFSET ?"
    return [from_row(row) for row in database.execute(asked, ordered)], int(count)


def match_expression(text: str) -> str:
    """Any text as an FTS5 expression in which every word must occur; empty when it has no words.

    Each part between blanks is quoted, so nothing in it is FTS5's own syntax; ``T-shirt`` is two words in a row.

    >>> match_expression("red OR T-shirt *")
    '"red" "OR" "T-shirt"'
    """
    parts = [part for part in text.split() if any(letter.isalnum() for letter in part)]
    return " ".join('"' + part.replace('"', '""') + '"' for part in parts)


def vocabulary(database: sqlite3.Connection) -> dict[str, int]:
    """Every word of the products' texts as the word search has it, with how many products hold it."""
    # A view of what the search keeps anyway; of this connection alone, so that a read-only file will do.
    database.execute(
        "CREATE VIRTUAL TABLE IF NOT EXISTS temp.product_vocabulary USING fts5vocab('main', 'product_text', 'row')"
    )
    return dict(database.execute("SELECT term, doc FROM temp.product_vocabulary"))


def rows_of(database: sqlite3.Connection, phrase: Sequence[str]) -> list[int]:
    """The rows of the products that hold these words in a row."""
    found = database.execute("SELECT rowid FROM product_text WHERE product_text MATCH ?", (_any_of([phrase]),))
    return [row for (row,) in found]


def ranked(
    database: sqlite3.Connection, groups: Sequence[Sequence[Sequence[str]]], where: Filter, limit: int
) -> list[tuple[str, float]]:
    """The ids of the products that hold one spelling of every group and fulfil ``where``, with what BM25 gives them,
    the best (highest) first.

    Args:
        database: The catalogue's.
        groups: Each a list of spellings, each a list of words that stand in a row.
        where: Conditions.
        limit: How many.
    """
    clause, parameters = where_clause(database, where)
    match = " AND ".join(f"({_any_of(group)})" for group in groups)
    # FTS5 orders by its own rank without reading the products, of which few are hidden.
    spare = f" ORDER BY rank LIMIT {2 * limit}" if not where else ""
    inside = f"SELECT rowid, rank AS score FROM product_text WHERE product_text MATCH ? AND rank MATCH ?{spare}"
    asked = (
        f"SELECT product.id, -score FROM ({inside}) JOIN product ON product.row = rowid WHERE {clause}"
        " ORDER BY score, row LIMIT ?"
    )
    return list(database.execute(asked, (match, f"bm25({WEIGHTS})", *parameters, limit)))


def _any_of(phrases: Sequence[Sequence[str]]) -> str:
    """An FTS5 expression for any of several rows of words.

    >>> _any_of([["sports", "shoes"], ["sneakers"]])
    '"sports shoes" OR "sneakers"'
    """
    return " OR ".join('"' + " ".join(words).replace('"', '""') + '"' for words in phrases)
