"""Vectors of several models side by side, inside one open transaction: whose they are, which are searched, and changing
that.

The settings say which model is searched (``fingerprint``, ``model``, ``encoder``, ``dim``) and which one was before
(``previous``); the table ``model`` knows every model that has vectors here.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from lapel.catalog.entries import PHOTOS, IndexDelta, ModelEntry, to_photo
from lapel.catalog.history import changed_keys, record
from lapel.catalog.visibility import HIDDEN, IN_LIST
from lapel.catalog.writing import model_id
from lapel.core.errors import StoreDamagedError
from lapel.core.types import Photo
from lapel.core.vectors import Keys, Vectors

PREVIOUS = "previous"  # the setting with the fingerprint to go back to
_OF_MODEL = "vector.model = (SELECT id FROM model WHERE fingerprint = ?)"
_WITHOUT = "NOT EXISTS (SELECT 1 FROM vector WHERE vector.key = photo.key AND vector.model = ?)"


def settings(database: sqlite3.Connection) -> dict[str, str]:
    """Every setting, as of one moment."""
    return {str(name): str(value) for name, value in database.execute("SELECT name, value FROM setting")}


def keep(database: sqlite3.Connection, values: Mapping[str, str]) -> None:
    """Keep settings."""
    database.executemany(
        "INSERT INTO setting VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        list(values.items()),
    )


def as_settings(model: ModelEntry) -> dict[str, str]:
    """A model as the settings that make it the store's own."""
    return {
        "fingerprint": model.fingerprint,
        "model": model.name,
        "encoder": model.encoder,
        "dim": str(model.dim),
    }


def known(database: sqlite3.Connection) -> list[tuple[ModelEntry, int]]:
    """Every model with how many photos have its vector."""
    asked = (
        "SELECT fingerprint, name, encoder, dim, (SELECT count(*) FROM vector WHERE vector.model = model.id)"
        " FROM model ORDER BY id"
    )
    return [(ModelEntry(*columns), count) for *columns, count in database.execute(asked)]


def register(database: sqlite3.Connection, model: ModelEntry) -> int:
    """Know a model, or know it better; returns its number."""
    number = model_id(database, model.fingerprint)
    database.execute(
        "UPDATE model SET name = ?, encoder = ?, dim = ? WHERE id = ?", (model.name, model.encoder, model.dim, number)
    )
    return number


def wrong_models(
    database: sqlite3.Connection, repair: Callable[[str, str], tuple[str, str]]
) -> list[tuple[str, tuple[str, str]]]:
    """The fingerprint of each model whose encoder or fingerprint ``repair`` changes, with the right ones. None gets the
    fingerprint of another one that the store holds."""
    own = settings(database)
    listed = database.execute("SELECT encoder, fingerprint FROM model").fetchall()
    kept = [(own.get("encoder", ""), own.get("fingerprint", "")), *listed]
    there = {fingerprint for _, fingerprint in kept}
    right = [(kept_as, repair(*kept_as)) for kept_as in kept]
    return [(before[1], after) for before, after in right if after != before and after[1] not in there - {before[1]}]


def set_model(database: sqlite3.Connection, fingerprint: str, encoder: str, now: str) -> None:
    """Keep another text as what opens a model, and another fingerprint as what its vectors carry."""
    database.execute("UPDATE model SET encoder = ?, fingerprint = ? WHERE fingerprint = ?", (encoder, now, fingerprint))
    if settings(database).get("fingerprint") == fingerprint:
        keep(database, {"encoder": encoder, "fingerprint": now})


def photos_without(database: sqlite3.Connection, fingerprint: str, after: int, limit: int) -> list[Photo]:
    """Photos without a vector of a model, by rising key."""
    asked = f"{PHOTOS} WHERE photo.key > ? AND {_WITHOUT} ORDER BY photo.key LIMIT ?"
    return [to_photo(row) for row in database.execute(asked, (after, _number(database, fingerprint), limit))]


def put_vectors(database: sqlite3.Connection, model: ModelEntry, keys: Keys, vectors: Vectors, *, at: str) -> None:
    """Keep vectors of stored photos."""
    number = register(database, model)
    rows = np.ascontiguousarray(vectors, "<f4")
    database.executemany(
        "INSERT INTO vector (key, model, data) SELECT key, ?, ? FROM photo WHERE key = ?"
        " ON CONFLICT (key, model) DO UPDATE SET data = excluded.data",
        [(number, row.tobytes(), key) for key, row in zip(keys.tolist(), rows, strict=True)],
    )
    if settings(database).get("fingerprint") == model.fingerprint:
        owners = (
            f"SELECT id, key FROM photo JOIN product ON product.row = product_row WHERE key IN {IN_LIST} ORDER BY key"
        )
        found = database.execute(owners, (json.dumps(keys.tolist()),)).fetchall()
        detail = {"model": model.fingerprint}
        record(database, [("photo_changed", owner, key, detail) for owner, key in found], at=at)


def activate(database: sqlite3.Connection, model: ModelEntry, missing: set[int], *, at: str) -> bool:
    """Make a model the store's own, unless photos other than ``missing`` have no vector of it."""
    number = register(database, model)
    if any(key not in missing for (key,) in database.execute(f"SELECT key FROM photo WHERE {_WITHOUT}", (number,))):
        return False
    former = settings(database).get("fingerprint", "")
    changes = as_settings(model)
    if former != model.fingerprint:
        changes[PREVIOUS] = former
    keep(database, changes)
    record(database, [("model_changed", "", None, {"fingerprint": model.fingerprint, "previous": former})], at=at)
    return True


def forget(database: sqlite3.Connection, fingerprints: Iterable[str]) -> int:
    """Drop models with their vectors, except the store's own. Returns how many vectors went."""
    now = settings(database)
    gone = 0
    for fingerprint in set(fingerprints) - {now.get("fingerprint", "")}:
        number = _number(database, fingerprint)
        gone += database.execute("DELETE FROM vector WHERE model = ?", (number,)).rowcount
        database.execute("DELETE FROM model WHERE id = ?", (number,))
        if now.get(PREVIOUS) == fingerprint:
            database.execute("DELETE FROM setting WHERE name = ?", (PREVIOUS,))
    return gone


def pieces(database: sqlite3.Connection, fingerprint: str, batch: int) -> Iterator[tuple[Keys, Vectors]]:
    """The vectors of a model that are searched, by rising key."""
    asked = f"SELECT key, data FROM vector WHERE {_OF_MODEL} AND key NOT IN ({HIDDEN}) ORDER BY key"
    cursor = database.execute(asked, (fingerprint,))
    while rows := cursor.fetchmany(batch):
        yield np.array([key for key, _ in rows], np.int64), matrix(database, [data for _, data in rows])


def delta(database: sqlite3.Connection, since: int) -> IndexDelta | None:
    """What changed among the vectors that are searched after a generation; None when that is no longer known."""
    own = settings(database)
    changed = changed_keys(database, since)
    if changed is None:
        return None
    asked = (
        "SELECT wanted.value, data FROM json_each(?) AS wanted JOIN vector ON vector.key = wanted.value"
        f" AND {_OF_MODEL} AND vector.key NOT IN ({HIDDEN}) ORDER BY wanted.key"
    )
    found = database.execute(asked, (json.dumps(changed), own.get("fingerprint", ""))).fetchall()
    keys = np.array([key for key, _ in found], np.int64)
    removed = np.setdiff1d(np.array(changed, np.int64), keys)
    return IndexDelta(own, keys, matrix(database, [data for _, data in found]), removed)


def vectors_of_products(
    database: sqlite3.Connection, ids: str, fingerprint: str
) -> tuple[dict[str, list[int]], Vectors]:
    """The keys of the photos with a vector of each of some products (a JSON list of ids), and those vectors, product by
    product."""
    asked = (
        # In this order: SQLite would rather go through every vector of the model.
        "SELECT product.id, photo.key, data"
        " FROM json_each(?) AS wanted CROSS JOIN product ON product.id = wanted.value"
        f" CROSS JOIN photo ON product_row = product.row CROSS JOIN vector ON vector.key = photo.key AND {_OF_MODEL}"
        " ORDER BY wanted.key, position, photo.key"
    )
    found = database.execute(asked, (ids, fingerprint)).fetchall()
    keys: dict[str, list[int]] = {}
    for product_id, key, _ in found:
        keys.setdefault(product_id, []).append(key)
    return keys, matrix(database, [data for _, _, data in found])


def matrix(database: sqlite3.Connection, blobs: Sequence[bytes]) -> Vectors:
    """Stored vectors as (n, dim) float32.

    Raises:
        StoreDamagedError: they have different widths.
    """
    width = len(blobs[0]) if blobs else 0
    if width % 4 or len(set(map(len, blobs))) > 1:
        path = database.execute("PRAGMA database_list").fetchone()[2]
        raise StoreDamagedError(
            f"The catalogue {path} holds vectors of different width. Put back a copy of it, or fill a new store."
        )
    return np.frombuffer(b"".join(blobs), "<f4").astype(np.float32).reshape(len(blobs), width // 4)


def _number(database: sqlite3.Connection, fingerprint: str) -> int:
    """A model's number; -1, which no vector has, when it is not known."""
    row = database.execute("SELECT id FROM model WHERE fingerprint = ?", (fingerprint,)).fetchone()
    return -1 if row is None else int(row[0])
