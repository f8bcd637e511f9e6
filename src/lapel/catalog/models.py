"""Vectors of several models side by side, inside one open transaction: whose they are, which are searched, and changing
that.

The settings say which model is searched (``fingerprint``, ``model``, ``encoder``, ``dim``) and which one was before
(``previous``);
the table ``model`` knows every model that has vectors here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from lapel.catalog.entries import ModelEntry
from lapel.catalog.writing import model_id, raise_generation
from lapel.core.types import Photo
from lapel.core.vectors import Keys, Vectors

PREVIOUS = "previous"  # the setting with the fingerprint to go back to
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


def misnamed(database: sqlite3.Connection, heal: Callable[[str, str], str]) -> list[tuple[str, str]]:
    """Fingerprint and right encoder of each model whose encoder ``heal`` changes, given that and the fingerprint."""
    said = settings(database)
    kept = [(said.get("encoder", ""), said.get("fingerprint", ""))]
    kept += database.execute("SELECT encoder, fingerprint FROM model").fetchall()
    return [(fingerprint, right) for spec, fingerprint in kept if (right := heal(spec, fingerprint)) != spec]


def rename(database: sqlite3.Connection, fingerprint: str, encoder: str) -> None:
    """Say anew what opens a model."""
    database.execute("UPDATE model SET encoder = ? WHERE fingerprint = ?", (encoder, fingerprint))
    if settings(database).get("fingerprint") == fingerprint:
        keep(database, {"encoder": encoder})


def photos_without(database: sqlite3.Connection, fingerprint: str, after: int, limit: int) -> list[Photo]:
    """Photos without a vector of a model, by rising key."""
    asked = (
        "SELECT photo.key, product.id, uri, sha256 FROM photo JOIN product ON product.row = product_row"
        f" WHERE photo.key > ? AND {_WITHOUT} ORDER BY photo.key LIMIT ?"
    )
    return [Photo(*row) for row in database.execute(asked, (after, _number(database, fingerprint), limit))]


def put_vectors(database: sqlite3.Connection, model: ModelEntry, keys: Keys, vectors: Vectors) -> None:
    """Keep vectors of stored photos."""
    number = register(database, model)
    rows = np.ascontiguousarray(vectors, "<f4")
    database.executemany(
        "INSERT INTO vector (key, model, data) SELECT key, ?, ? FROM photo WHERE key = ?"
        " ON CONFLICT (key, model) DO UPDATE SET data = excluded.data",
        [(number, row.tobytes(), key) for key, row in zip(keys.tolist(), rows, strict=True)],
    )
    if settings(database).get("fingerprint") == model.fingerprint:
        raise_generation(database, keys.tolist())


def activate(database: sqlite3.Connection, model: ModelEntry, missing: set[int]) -> bool:
    """Make a model the store's own, unless photos other than ``missing`` have no vector of it."""
    number = register(database, model)
    if any(key not in missing for (key,) in database.execute(f"SELECT key FROM photo WHERE {_WITHOUT}", (number,))):
        return False
    former = settings(database).get("fingerprint", "")
    changes = as_settings(model)
    if former != model.fingerprint:
        changes[PREVIOUS] = former
    keep(database, changes)
    raise_generation(database, [])
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


def _number(database: sqlite3.Connection, fingerprint: str) -> int:
    """A model's number; -1, which no vector has, when it is not known."""
    row = database.execute("SELECT id FROM model WHERE fingerprint = ?", (fingerprint,)).fetchone()
    return -1 if row is None else int(row[0])
