"""Small pictures by the hash of the photo they are of, in a file beside the catalogue: a gallery never waits for where
photos come from.

WebP bytes go in and come out. The file is no truth: it may be deleted at any time, and what is missing is made again.
It has a bound; where it is reached, the widest and oldest go first.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from lapel.catalog.connection import Pool
from lapel.core.errors import LapelError, StoreDamagedError, StoreReadOnlyError

DEFAULT_MB = 2_000  # of a store that says no other: enough for 100,000 photos of a shop
TRIMMED_SHARE = 0.95  # of the bound when it was reached, so that not every batch has to clear up
ROWS_PER_TRIM = 8  # thumbnails that go at once
VERSION = 1
_COLUMNS = "row INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, width INTEGER NOT NULL, data BLOB NOT NULL"
_TABLES = (
    f"CREATE TABLE IF NOT EXISTS thumbnail ({_COLUMNS}, UNIQUE (sha256, width))",
    "CREATE INDEX IF NOT EXISTS thumbnail_width ON thumbnail (width)",
    f"PRAGMA user_version = {VERSION}",
    "PRAGMA journal_mode = WAL",
)


@dataclass(frozen=True)
class Size:
    """How much there is.

    Attributes:
        photos: Photos with a thumbnail.
        bytes: What they take on the disk.
    """

    photos: int
    bytes: int


class Thumbnails:
    """The thumbnails of one store. Safe to share between threads.

    Args:
        path: The file; it is made when something is put there.
        read_only: Never write.
        max_bytes: Bytes the file may hold; 0 keeps nothing.
    """

    def __init__(self, path: Path, *, read_only: bool, max_bytes: int = DEFAULT_MB * 10**6) -> None:
        self.path = path
        self.read_only = read_only
        self.max_bytes = max_bytes
        self._pool: Pool | None = None
        self._lock = Lock()

    def get(self, hashes: Iterable[str], width: int) -> dict[str, bytes]:
        """The thumbnails that are at hand: of each photo the one that is just wide enough, else its widest."""
        asked = (
            "SELECT sha256, data FROM thumbnail WHERE sha256 IN (SELECT value FROM json_each(?))"
            " ORDER BY width < ? DESC, CASE WHEN width < ? THEN width ELSE -width END"
        )
        found: dict[str, bytes] = {}
        with suppress(LapelError):  # a file that is gone or broken holds none
            pool = self._opened()
            if pool is not None:
                with pool.borrow() as database:
                    found = dict(database.execute(asked, (json.dumps(list(hashes)), width, width)))
        return found

    def has(self, hashes: Iterable[str]) -> set[str]:
        """Which of these photos have a thumbnail."""
        pool = self._opened()
        if pool is None:
            return set()
        asked = "SELECT DISTINCT sha256 FROM thumbnail WHERE sha256 IN (SELECT value FROM json_each(?))"
        with pool.borrow() as database:
            return {sha256 for (sha256,) in database.execute(asked, (json.dumps(list(hashes)),))}

    def put(self, made: Mapping[str, Mapping[int, bytes]]) -> None:
        """Keep thumbnails, by hash and width in pixels, and stay within the bound."""
        rows = [(sha256, width, data) for sha256, widths in made.items() for width, data in widths.items()]
        if not rows or not self.max_bytes or self.read_only:
            return
        pool = self._opened(create=True)
        assert pool is not None
        with pool.transaction() as database:
            database.executemany("INSERT OR IGNORE INTO thumbnail (sha256, width, data) VALUES (?, ?, ?)", rows)
            _trim(database, self.max_bytes)

    def trim(self, keep: Sequence[str] | None = None) -> None:
        """Stay within the bound, and let those go that are of no photo in ``keep``."""
        pool = None if self.read_only else self._opened()
        if pool is None:
            return
        with pool.transaction() as database:
            if keep is not None:
                database.execute(
                    "DELETE FROM thumbnail WHERE sha256 NOT IN (SELECT value FROM json_each(?))",
                    (json.dumps(list(keep)),),
                )
            _trim(database, self.max_bytes)
        with pool.borrow() as database:
            free, pages = (
                database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_count")
            )
            if free > (1 - TRIMMED_SHARE) * pages:
                database.execute("VACUUM")
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def size(self) -> Size:
        """How much there is."""
        pool = self._opened()
        if pool is None:
            return Size(0, 0)
        with pool.borrow() as database:
            photos = database.execute("SELECT count(DISTINCT sha256) FROM thumbnail").fetchone()[0]
            return Size(int(photos), _bytes(database))

    def close(self) -> None:
        """Let go of the file. Closing twice is fine."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def _opened(self, *, create: bool = False) -> Pool | None:
        """Connections to the file; None when there is none. One that is broken is made anew by whoever writes."""
        with self._lock:
            if self._pool is None and (create or self.path.exists()):
                try:
                    self._pool = self._open()
                except StoreDamagedError:
                    if self.read_only:
                        raise
                    self.path.unlink(missing_ok=True)
                    self._pool = self._open()
            return self._pool

    def _open(self) -> Pool:
        if not self.read_only:
            try:
                self.path.touch()
            except OSError as error:
                raise StoreReadOnlyError(f"The thumbnails {self.path} cannot be made: {error.strerror}.") from error
        pool = Pool(self.path, read_only=self.read_only)
        try:
            with pool.errors():
                pool.start()
            with pool.borrow() as database:
                if not pool.read_only and database.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                    for statement in _TABLES:
                        database.execute(statement)
        except BaseException:
            pool.close()
            raise
        return pool


def _bytes(database: sqlite3.Connection) -> int:
    """What the pages in use take, without looking into them."""
    pages, free, size = (
        int(database.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _trim(database: sqlite3.Connection, max_bytes: int) -> None:
    if _bytes(database) <= max_bytes:
        return
    oldest = "SELECT row FROM thumbnail ORDER BY width DESC, row LIMIT ?"
    while _bytes(database) > TRIMMED_SHARE * max_bytes:
        if not database.execute(f"DELETE FROM thumbnail WHERE row IN ({oldest})", (ROWS_PER_TRIM,)).rowcount:
            return
