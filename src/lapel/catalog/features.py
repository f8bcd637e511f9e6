"""What is derived from each photo beside its vector, such as its colours: bytes by photo, name and version.

They go with their photo. A photo's key stands for the same bytes for ever, so a feature of one version is never stale.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping

from lapel.catalog.connection import Pool
from lapel.catalog.entries import PHOTOS, to_photo
from lapel.core.types import Photo

_PUT = (
    "INSERT INTO photo_feature (feature, key, data) SELECT ?, key, ? FROM photo WHERE key = ?"
    " ON CONFLICT (feature, key) DO UPDATE SET data = excluded.data"
)


class FeatureTable:
    """The features of all photos of one catalogue. Get it from :attr:`lapel.catalog.Catalog.features`.

    Nothing here changes the generation, as no index holds features.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def photos_without(self, name: str, version: str, *, after: int = 0, limit: int = 1024) -> list[Photo]:
        """Photos that lack a feature, by rising key, only those with keys above ``after``."""
        asked = (
            f"{PHOTOS} WHERE photo.key > ? AND NOT EXISTS (SELECT 1 FROM photo_feature WHERE feature = ?"
            " AND photo_feature.key = photo.key) ORDER BY photo.key LIMIT ?"
        )
        with self._pool.borrow() as database:
            values = (after, _number(database, name, version), limit)
            return [to_photo(row) for row in database.execute(asked, values)]

    def put(self, name: str, version: str, values: Mapping[int, bytes]) -> None:
        """Keep a feature of stored photos by key; photos that are gone by now are passed over."""
        with self._pool.transaction() as database:
            put_features(database, [(key, (name, version), data) for key, data in values.items()])

    def get(self, name: str, version: str, keys: Iterable[int]) -> dict[int, bytes]:
        """A feature of these photos by key; those that lack it are left out."""
        asked = (
            "SELECT key, data FROM photo_feature WHERE feature = ? AND key IN (SELECT value FROM json_each(?))"
            " ORDER BY key"
        )
        with self._pool.borrow() as database:
            wanted = json.dumps([int(key) for key in keys])
            return dict(database.execute(asked, (_number(database, name, version), wanted)))

    def counts(self) -> dict[tuple[str, str], int]:
        """By name and version how many photos have a feature."""
        asked = "SELECT name, version, (SELECT count(*) FROM photo_feature WHERE feature = id) FROM feature ORDER BY id"
        with self._pool.borrow() as database:
            return {(name, version): count for name, version, count in database.execute(asked)}

    def drop_other_versions(self, name: str, version: str) -> int:
        """Delete every other version of a feature. Returns how many values went."""
        others = "SELECT id FROM feature WHERE name = ? AND version <> ?"
        with self._pool.transaction() as database:
            dropped = database.execute(f"DELETE FROM photo_feature WHERE feature IN ({others})", (name, version))
            database.execute("DELETE FROM feature WHERE name = ? AND version <> ?", (name, version))
            return dropped.rowcount


def put_features(database: sqlite3.Connection, values: Iterable[tuple[int, tuple[str, str], bytes]]) -> None:
    """Keep features, each a photo's key, the feature's name and version, and its bytes."""
    numbers: dict[tuple[str, str], int] = {}
    rows = []
    for key, feature, data in values:
        if feature not in numbers:
            database.execute("INSERT OR IGNORE INTO feature (name, version) VALUES (?, ?)", feature)
            numbers[feature] = _number(database, *feature)
        rows.append((numbers[feature], data, key))
    database.executemany(_PUT, rows)


def _number(database: sqlite3.Connection, name: str, version: str) -> int:
    """A feature's number; -1, which no value has, when it is not known."""
    row = database.execute("SELECT id FROM feature WHERE name = ? AND version = ?", (name, version)).fetchone()
    return -1 if row is None else int(row[0])
