"""Putting products into the catalogue inside one open transaction: a handful of statements a batch, however many
products it has.

Rows and keys are numbered here instead of being asked back from SQLite one by one, which is what makes a batch cheap.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapel.catalog.connection import insert_rows
from lapel.catalog.entries import PRODUCT_COLUMNS, Change, Entry, hash_row, price_of, term_number, terms, to_row
from lapel.catalog.features import put_features
from lapel.catalog.history import LogRow, record
from lapel.catalog.words import add_words, remove_words
from lapel.core.errors import InputError
from lapel.core.text import fold

_NAMES = PRODUCT_COLUMNS.split(", ")
_PRICE, _CURRENCY, _STOCK = (_NAMES.index(name) for name in ("price_minor", "currency", "in_stock"))
_COLUMNS = f"row, {PRODUCT_COLUMNS}, price, content_hash, changed_at, added_at"
_UPDATES = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS.split(", ")[2:-1])  # all but row, id, added_at
_PUT_PRODUCT = (
    f"INSERT INTO product ({_COLUMNS}) VALUES ({', '.join('?' * len(_COLUMNS.split(', ')))})"
    f" ON CONFLICT (row) DO UPDATE SET {_UPDATES}"
)
_IN_LIST = "IN (SELECT value FROM json_each(?))"


@dataclass
class _Batch:
    """What one call of :func:`put` finds out about its products and photos."""

    fingerprint: str
    at: str
    first_new: int = 0  # the lowest row of a product that is new
    rows: dict[str, int] = field(default_factory=dict)  # by product id
    fields: dict[str, list[str]] = field(default_factory=dict)  # by id of a product that was there: what differs
    log: list[LogRow] = field(default_factory=list)
    prices: list[tuple[int, int | None, str, int | None]] = field(default_factory=list)

    def is_new(self, row: int) -> bool:
        """Whether the product of a row was not there before."""
        return row >= self.first_new


def put(database: sqlite3.Connection, entries: Sequence[Entry], fingerprint: str, *, at: str) -> Change:
    """Insert or update products with their photos, vectors, features, facets and words.

    Raises:
        InputError: two entries with one id, a photo that is listed twice, or a new photo without a vector.
    """
    batch = _Batch(fingerprint, at)
    _put_products(database, entries, batch)
    change = _put_photos(database, entries, batch, model_id(database, fingerprint))
    database.executemany("UPDATE product SET changed_at = ? WHERE id = ?", [(at, changed) for changed in batch.fields])
    log: list[LogRow] = [("product_added", name, None, None) for name, row in batch.rows.items() if batch.is_new(row)]
    log += [("product_changed", product_id, None, {"fields": names}) for product_id, names in batch.fields.items()]
    relisted = (
        f"UPDATE product SET delisted_at = '' WHERE delisted_at <> '' AND row {_IN_LIST} RETURNING id"  # named again
    )
    for (product_id,) in database.execute(relisted, (_json(batch.rows.values()),)).fetchall():
        log.append(("product_relisted", product_id, None, None))
    generation = record(database, log + batch.log, at=at)
    prices = [(row, generation, at, *facts) for row, *facts in batch.prices]
    insert_rows(database, "price_history", "product_row, generation, at, price_minor, currency, in_stock", prices)
    return change


def take_out(database: sqlite3.Connection, product_ids: Iterable[str], *, at: str) -> tuple[int, Change]:
    """Remove products with everything that hangs on them; unknown ids are ignored."""
    ids = json.dumps(list(product_ids))
    found = database.execute(f"SELECT row, id FROM product WHERE id {_IN_LIST}", (ids,)).fetchall()
    if not found:
        return 0, _change([], [])
    rows = json.dumps([row for row, _ in found])
    asked = f"SELECT key, product.id FROM photo JOIN product ON product.row = product_row WHERE product_row {_IN_LIST}"
    photos = database.execute(asked, (rows,)).fetchall()
    _clear_facets(database, rows)
    remove_words(database, rows)
    # Photos, vectors, features, prices and what is left of the facets go with their product (ON DELETE CASCADE).
    database.execute(f"DELETE FROM product WHERE row {_IN_LIST}", (rows,))
    log: list[LogRow] = [("product_removed", product_id, None, None) for _, product_id in found]
    log += [("photo_removed", product_id, key, None) for key, product_id in photos]
    record(database, log, at=at)
    return len(found), _change([], [key for key, _ in photos])


def _json(values: Iterable[int]) -> str:
    return json.dumps(list(values))


def _change(added: list[int], removed: list[int]) -> Change:
    return Change(np.array(sorted(added), np.int64), np.array(sorted(removed), np.int64))


def model_id(database: sqlite3.Connection, fingerprint: str) -> int:
    """The number under which a model's vectors are kept; a new one for a model that is not known yet."""
    database.execute("INSERT OR IGNORE INTO model (fingerprint) VALUES (?)", (fingerprint,))
    return int(database.execute("SELECT id FROM model WHERE fingerprint = ?", (fingerprint,)).fetchone()[0])


def _put_products(database: sqlite3.Connection, entries: Sequence[Entry], batch: _Batch) -> None:
    """Upsert the products whose content changed, with their facets and words."""
    ids = json.dumps([entry.product.id for entry in entries])
    asked = f"SELECT id, row, content_hash FROM product WHERE id {_IN_LIST}"
    stored = {identifier: (row, known) for identifier, row, known in database.execute(asked, (ids,))}
    free = batch.first_new = int(database.execute("SELECT coalesce(max(row), 0) + 1 FROM product").fetchone()[0])
    changed: list[tuple[Any, ...]] = []
    facets: list[tuple[int, tuple[str, str]]] = []
    updated: dict[str, tuple[int, tuple[Any, ...]]] = {}
    for entry in entries:
        product = entry.product
        if "\0" in product.id:
            raise InputError(f"The id {product.id!r} holds a NUL character. Give the product another id.")
        if product.id in batch.rows:
            raise InputError(f"Product {product.id} stands twice in one batch. Give each id once.")
        columns = to_row(product)
        content = hash_row(columns)
        row, known = stored.get(product.id, (free, None))
        batch.rows[product.id] = row
        if known == content:
            continue
        if known is None:
            free += 1
            batch.prices.append((row, columns[_PRICE], columns[_CURRENCY], columns[_STOCK]))
        else:
            updated[product.id] = (row, columns)
        changed.append((row, *columns, price_of(product), content, batch.at, batch.at))
        facets += [(row, term) for term in terms(product)]
    if updated:
        old = json.dumps([row for row, _ in updated.values()])
        _compare(database, updated, old, batch)
        remove_words(database, old)
        _clear_facets(database, old)
    database.executemany(_PUT_PRODUCT, changed)
    add_words(database, json.dumps([row for row, *_ in changed]))
    _put_facets(database, facets)


def _compare(
    database: sqlite3.Connection, updated: dict[str, tuple[int, tuple[Any, ...]]], rows: str, batch: _Batch
) -> None:
    """Note what differs between the stored products of these rows and their new columns."""
    for before in database.execute(f"SELECT {PRODUCT_COLUMNS} FROM product WHERE row {_IN_LIST}", (rows,)):
        row, now = updated[before[0]]
        product_id, changes = before[0], batch.log
        batch.fields[product_id] = [name for name, old, new in zip(_NAMES, before, now, strict=True) if old != new]
        old_price, price = ({"price_minor": each[_PRICE], "currency": each[_CURRENCY]} for each in (before, now))
        if old_price != price:
            changes.append(("price_changed", product_id, None, {"old": old_price, "new": price}))
        old_stock, stock = (None if each[_STOCK] is None else bool(each[_STOCK]) for each in (before, now))
        if old_stock != stock:
            changes.append(("stock_changed", product_id, None, {"old": old_stock, "new": stock}))
        if (old_price, old_stock) != (price, stock):
            batch.prices.append((row, now[_PRICE], now[_CURRENCY], now[_STOCK]))


def _clear_facets(database: sqlite3.Connection, rows: str) -> None:
    """Take the facets off these products (a JSON list of rows), and forget the values that nothing else has."""
    inside = f"product_row {_IN_LIST}"
    used = json.dumps(
        [term for (term,) in database.execute(f"SELECT DISTINCT term FROM facet WHERE {inside}", (rows,))]
    )
    database.execute(f"DELETE FROM facet WHERE {inside}", (rows,))
    database.execute(
        f"DELETE FROM term WHERE id {_IN_LIST} AND NOT EXISTS (SELECT 1 FROM facet WHERE term = term.id)", (used,)
    )


def _put_facets(database: sqlite3.Connection, facets: Sequence[tuple[int, tuple[str, str]]]) -> None:
    """Keep facets, each a product's row with a name and a value."""
    distinct = list(dict.fromkeys([pair for _, pair in facets]))
    joined = (
        "SELECT wanted.value ->> 0, wanted.value ->> 1, term.id FROM json_each(?) AS wanted"
        " JOIN term ON term.name = wanted.value ->> 0 AND term.value = wanted.value ->> 1"
    )
    found = database.execute(joined, (json.dumps(distinct),))
    known: dict[tuple[str, str], int] = {(name, value): term for name, value, term in found}
    free = int(database.execute("SELECT coalesce(max(id), 0) + 1 FROM term").fetchone()[0])
    new = [pair for pair in distinct if pair not in known]
    known.update(zip(new, range(free, free + len(new)), strict=True))
    database.executemany(
        "INSERT INTO term (id, name, value, folded, number) VALUES (?, ?, ?, ?, ?)",
        [(known[pair], *pair, fold(pair[1]), term_number(pair[1])) for pair in new],
    )
    # In the order of each index's pages: sorted rows append to the table, which is twice as fast as scattered ones.
    database.executemany(
        "INSERT INTO facet (product_row, term) VALUES (?, ?)", sorted([(row, known[pair]) for row, pair in facets])
    )


def _put_photos(database: sqlite3.Connection, entries: Sequence[Entry], batch: _Batch, model: int) -> Change:
    """Insert, update and remove photos so that each product has those of its entry, with their vectors and features."""
    asked = (
        "SELECT product_row, uri, key, sha256, position, full_link, thumbnail_link, version_token, added_at FROM photo"
        f" WHERE product_row {_IN_LIST}"
    )
    stored = {(row, uri): facts for row, uri, *facts in database.execute(asked, (_json(batch.rows.values()),))}
    last = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'photo'").fetchone() or (0,)
    photos = _Photos(batch, stored, 1 + int(last[0]))
    for entry in entries:
        photos.plan(entry)
    database.executemany("DELETE FROM photo WHERE key = ?", [(key,) for key in photos.removed])
    database.executemany(
        "UPDATE photo SET position = ?, full_link = ?, thumbnail_link = ?, version_token = ?,"
        " changed_at = coalesce(?, changed_at) WHERE key = ?",
        photos.updates,
    )
    columns = "key, product_row, uri, sha256, position, full_link, thumbnail_link, version_token, added_at, changed_at"
    insert_rows(database, "photo", columns, photos.inserts)
    database.executemany(
        "INSERT INTO vector (key, model, data) VALUES (?, ?, ?) ON CONFLICT (key, model) DO UPDATE SET data ="
        " excluded.data",
        [(key, model, np.ascontiguousarray(vector, "<f4").tobytes()) for key, vector in photos.vectors],
    )
    put_features(database, photos.features)
    return _change([key for key, _ in photos.vectors], photos.removed)


class _Photos:
    """What is to be done with the photos of a batch.

    Args:
        batch: The products; changes are logged there.
        stored: The photos there are, by product row and uri: key, sha256, position, links, version token, added_at.
        free: The first key that was never used.
    """

    def __init__(self, batch: _Batch, stored: dict[tuple[int, str], list[Any]], free: int) -> None:
        self._batch, self._free = batch, free
        self._left: dict[int, dict[str, list[Any]]] = {}
        for (row, uri), facts in stored.items():
            self._left.setdefault(row, {})[uri] = facts
        self.updates: list[tuple[Any, ...]] = []
        self.inserts: list[tuple[Any, ...]] = []
        self.vectors: list[tuple[int, NDArray[np.float32]]] = []
        self.features: list[tuple[int, tuple[str, str], bytes]] = []
        self.removed: list[int] = []

    def plan(self, entry: Entry) -> None:
        """Find out what one product's photos need."""
        batch, product_id, seen = self._batch, entry.product.id, set()
        row = batch.rows[product_id]
        left = self._left.get(row, {})
        changed = False
        for position, photo in enumerate(entry.photos):
            if photo.uri in seen:
                raise InputError(f"Product {product_id} lists the photo {photo.uri} twice. Give each photo once.")
            seen.add(photo.uri)
            key, sha256, *shown, token, added_at = left.pop(photo.uri, (0, "", "", batch.at))
            now = [position, photo.links.full, photo.links.thumbnail]
            if key and sha256 == photo.sha256:
                changed |= now != shown
                if now != shown or token != photo.version_token:
                    self.updates.append((*now, photo.version_token, batch.at if now != shown else None, key))
                if photo.vector is not None:
                    batch.log.append(("photo_changed", product_id, key, {"model": batch.fingerprint}))
            elif photo.vector is None:
                raise InputError(
                    f"Product {product_id}: the photo {photo.uri} is new to the catalogue and needs a vector."
                )
            else:
                old, key, self._free, changed = key, self._free, self._free + 1, True
                if old:  # other bytes, so another key
                    self.removed.append(old)
                    batch.log.append(("photo_removed", product_id, old, {"replaced_by": key}))
                    batch.log.append(("photo_changed", product_id, key, {"replaces": old}))
                else:
                    batch.log.append(("photo_added", product_id, key, None))
                self.inserts.append((key, row, photo.uri, photo.sha256, *now, photo.version_token, added_at, batch.at))
            if photo.vector is not None:
                self.vectors.append((key, photo.vector))
            self.features += [(key, feature, data) for feature, data in photo.features.items()]
        for key, *_ in left.values():
            self.removed.append(key)
            batch.log.append(("photo_removed", product_id, key, None))
        if (changed or left) and not batch.is_new(row):
            batch.fields.setdefault(product_id, []).append("photos")
