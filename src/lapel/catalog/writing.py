"""Putting products into the catalogue inside one open transaction: a handful of statements a batch, however many
products it has.

Rows and keys are numbered here instead of being asked back from SQLite one by one, which is what makes a batch cheap.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from lapel.catalog.entries import PRODUCT_COLUMNS, Change, Entry, hash_row, price_of, term_number, terms, to_row
from lapel.core.errors import InputError
from lapel.core.text import fold

KEPT = 200_000  # keys whose changes are remembered; an index that is further behind is drawn again
COUNTED = 64  # generations between two looks at how many there are
_COLUMNS = f"row, {PRODUCT_COLUMNS}, price, content_hash"
_UPDATES = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS.split(", ")[2:])
_PUT_PRODUCT = f"INSERT INTO product ({_COLUMNS}) VALUES ({', '.join('?' * len(_COLUMNS.split(', ')))}) ON CONFLICT (row) DO UPDATE SET {_UPDATES}"


def put(database: sqlite3.Connection, entries: Sequence[Entry], fingerprint: str) -> Change:
    """Insert or update products with their photos, vectors and facets.

    Raises:
        InputError: two entries with one id, a photo that is listed twice, or a new photo without a vector.
    """
    rows = _put_products(database, entries)
    change = _put_photos(database, entries, rows, model_id(database, fingerprint))
    back = _bring_back(database, json.dumps(list(rows.values())))
    raise_generation(database, [*change.added.tolist(), *change.removed.tolist(), *back])
    return change


def take_out(database: sqlite3.Connection, product_ids: Iterable[str]) -> tuple[int, Change]:
    """Remove products with everything that hangs on them; unknown ids are ignored."""
    ids = json.dumps(list(product_ids))
    rows = [
        row
        for (row,) in database.execute("SELECT row FROM product WHERE id IN (SELECT value FROM json_each(?))", (ids,))
    ]
    if not rows:
        return 0, _change([], [])
    text = json.dumps(rows)
    keys = [
        key
        for (key,) in database.execute(
            "SELECT key FROM photo WHERE product_row IN (SELECT value FROM json_each(?))", (text,)
        )
    ]
    _clear_facets(database, text)
    # Photos, vectors and what is left of the facets go with their product (ON DELETE CASCADE).
    database.execute("DELETE FROM product WHERE row IN (SELECT value FROM json_each(?))", (text,))
    raise_generation(database, keys)
    return len(rows), _change([], keys)


def raise_generation(database: sqlite3.Connection, keys: Sequence[int]) -> None:
    """Count one more change, and keep whose vectors it was about: the newest generations of them, about ``KEPT`` in
    all."""
    database.execute("UPDATE setting SET value = CAST(value AS INTEGER) + 1 WHERE name = 'generation'")
    now = int(database.execute("SELECT value FROM setting WHERE name = 'generation'").fetchone()[0])
    database.executemany("INSERT INTO change VALUES (?, ?)", [(now, key) for key in sorted(set(keys))])
    if now % COUNTED == 0:
        oldest = database.execute("SELECT generation FROM change ORDER BY generation DESC LIMIT 1 OFFSET ?", (KEPT,))
        for (generation,) in oldest.fetchall():
            database.execute("DELETE FROM change WHERE generation <= ?", (generation,))
            database.execute("UPDATE setting SET value = ? WHERE name = 'changes_since'", (str(generation),))


def changed_since(database: sqlite3.Connection, generation: int) -> list[int] | None:
    """The keys whose searched vectors changed after a generation, sorted; None when that is no longer known."""
    since = database.execute("SELECT value FROM setting WHERE name = 'changes_since'").fetchone()
    if since is None or int(since[0]) > generation:
        return None
    asked = "SELECT DISTINCT key FROM change WHERE generation > ? ORDER BY key"
    return [key for (key,) in database.execute(asked, (generation,))]


def _change(added: list[int], removed: list[int]) -> Change:
    return Change(np.array(sorted(added), np.int64), np.array(sorted(removed), np.int64))


def model_id(database: sqlite3.Connection, fingerprint: str) -> int:
    """The number under which a model's vectors are kept; a new one for a model that is not known yet."""
    database.execute("INSERT OR IGNORE INTO model (fingerprint) VALUES (?)", (fingerprint,))
    return int(database.execute("SELECT id FROM model WHERE fingerprint = ?", (fingerprint,)).fetchone()[0])


def _put_products(database: sqlite3.Connection, entries: Sequence[Entry]) -> dict[str, int]:
    """Upsert the products whose content changed, and their facets. Returns every product's row by id."""
    ids = json.dumps([entry.product.id for entry in entries])
    asked = "SELECT id, row, content_hash FROM product WHERE id IN (SELECT value FROM json_each(?))"
    stored = {identifier: (row, known) for identifier, row, known in database.execute(asked, (ids,))}
    free = int(database.execute("SELECT coalesce(max(row), 0) + 1 FROM product").fetchone()[0])
    rows: dict[str, int] = {}
    changed: list[tuple[Any, ...]] = []
    facets: list[tuple[int, str, str]] = []
    old_rows: list[int] = []
    for entry in entries:
        product = entry.product
        if "\0" in product.id:
            raise InputError(f"The id {product.id!r} holds a NUL character. Give the product another id.")
        if product.id in rows:
            raise InputError(f"Product {product.id} stands twice in one batch. Give each id once.")
        columns = to_row(product)
        content = hash_row(columns)
        row, known = stored.get(product.id, (free, None))
        rows[product.id] = row
        if known == content:
            continue
        if known is None:
            free += 1
        else:
            old_rows.append(row)
        changed.append((row, *columns, price_of(product), content))
        facets += [(row, name, value) for name, value in dict.fromkeys(terms(product))]
    if old_rows:
        _clear_facets(database, json.dumps(old_rows))
    database.executemany(_PUT_PRODUCT, changed)
    _put_facets(database, facets)
    return rows


def _bring_back(database: sqlite3.Connection, rows: str) -> list[int]:
    """Show those of these products (a JSON list of rows) that were gone. Returns the keys of their photos."""
    gone = "SELECT row FROM product WHERE gone <> '' AND row IN (SELECT value FROM json_each(?))"
    keys = [key for (key,) in database.execute(f"SELECT key FROM photo WHERE product_row IN ({gone})", (rows,))]
    database.execute(f"UPDATE product SET gone = '' WHERE row IN ({gone})", (rows,))
    return keys


def _clear_facets(database: sqlite3.Connection, rows: str) -> None:
    """Take the facets off these products (a JSON list of rows), and forget the values that nothing else has."""
    inside = "product_row IN (SELECT value FROM json_each(?))"
    used = json.dumps(
        [term for (term,) in database.execute(f"SELECT DISTINCT term FROM facet WHERE {inside}", (rows,))]
    )
    database.execute(f"DELETE FROM facet WHERE {inside}", (rows,))
    database.execute(
        "DELETE FROM term WHERE id IN (SELECT value FROM json_each(?)) AND NOT EXISTS (SELECT 1 FROM facet WHERE term"
        " = term.id)",
        (used,),
    )


def _put_facets(database: sqlite3.Connection, facets: Sequence[tuple[int, str, str]]) -> None:
    distinct = list(dict.fromkeys((name, value) for _, name, value in facets))
    known: dict[tuple[str, str], int] = {}
    joined = (
        "SELECT wanted.value ->> 0, wanted.value ->> 1, term.id FROM json_each(?) AS wanted"
        " JOIN term ON term.name = wanted.value ->> 0 AND term.value = wanted.value ->> 1"
    )
    for name, value, term in database.execute(joined, (json.dumps(distinct),)):
        known[name, value] = term
    free = int(database.execute("SELECT coalesce(max(id), 0) + 1 FROM term").fetchone()[0])
    new = [pair for pair in distinct if pair not in known]
    known.update(zip(new, range(free, free + len(new)), strict=True))
    database.executemany(
        "INSERT INTO term (id, name, value, folded, number) VALUES (?, ?, ?, ?, ?)",
        [(known[name, value], name, value, fold(value), term_number(value)) for name, value in new],
    )
    # In the order of each index's pages: sorted rows append to the table, which is twice as fast as scattered ones.
    database.executemany(
        "INSERT INTO facet (product_row, term) VALUES (?, ?)",
        sorted((row, known[name, value]) for row, name, value in facets),
    )


def _put_photos(database: sqlite3.Connection, entries: Sequence[Entry], rows: dict[str, int], model: int) -> Change:
    asked = "SELECT key, product_row, uri, sha256 FROM photo WHERE product_row IN (SELECT value FROM json_each(?))"
    stored = {
        (row, uri): (key, sha256)
        for key, row, uri, sha256 in database.execute(asked, (json.dumps(list(rows.values())),))
    }
    free = 1 + int((database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'photo'").fetchone() or (0,))[0])
    updates: list[tuple[Any, ...]] = []
    inserts: list[tuple[Any, ...]] = []
    vectors: list[tuple[int, int, bytes]] = []
    kept: set[int] = set()
    seen: set[tuple[int, str]] = set()
    for entry in entries:
        row = rows[entry.product.id]
        for position, photo in enumerate(entry.photos):
            if (row, photo.uri) in seen:
                raise InputError(f"Product {entry.product.id} lists the photo {photo.uri} twice. Give each photo once.")
            seen.add((row, photo.uri))
            key, sha256 = stored.get((row, photo.uri), (0, ""))
            if sha256 == photo.sha256:
                kept.add(key)
                updates.append((position, photo.stamp, photo.links.full, photo.links.thumbnail, key))
            elif photo.vector is None:
                raise InputError(
                    f"Product {entry.product.id}: the photo {photo.uri} is new to the catalogue and needs a vector."
                )
            else:
                key, free = free, free + 1
                links = (photo.links.full, photo.links.thumbnail)
                inserts.append((key, row, position, photo.uri, photo.stamp, photo.sha256, *links))
            if photo.vector is not None:
                vectors.append((key, model, np.ascontiguousarray(photo.vector, "<f4").tobytes()))
    gone = [key for key, _ in stored.values() if key not in kept]
    database.executemany("DELETE FROM photo WHERE key = ?", [(key,) for key in gone])
    database.executemany(
        "UPDATE photo SET position = ?, stamp = ?, full_link = ?, thumbnail_link = ? WHERE key = ?", updates
    )
    database.executemany(
        "INSERT INTO photo (key, product_row, position, uri, stamp, sha256, full_link, thumbnail_link) VALUES (?, ?,"
        " ?, ?, ?, ?, ?, ?)",
        inserts,
    )
    database.executemany(
        "INSERT INTO vector (key, model, data) VALUES (?, ?, ?) ON CONFLICT (key, model) DO UPDATE SET data ="
        " excluded.data",
        vectors,
    )
    return _change([key for key, _, _ in vectors], gone)
