"""Pictures that came over a network, kept on this machine for a while: bounded in bytes, the longest unused go first.

One SQLite file: each photo is stored once by the hash of its bytes, which is checked whenever it is read, beside which
address had which bytes, remembered when the bytes are gone. What comes in quick succession is written together, at a
third of the time. Several threads and processes may use one cache. Losing it costs time only.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lapel.core.errors import InputError
from lapel.core.settings import settings
from lapel.core.text import reason_of

FILE = "pictures.sqlite"
MAX_PATH_BYTES = 504  # bytes; SQLite's 512 less what it puts behind the name
GB = 2**30
# A column "stamp" is what is called version token elsewhere: caches of earlier versions stay good.
SCHEMA = """
CREATE TABLE IF NOT EXISTS known
    (uri TEXT PRIMARY KEY, stamp TEXT NOT NULL, validators TEXT NOT NULL, sha256 TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS blobs
    (sha256 TEXT PRIMARY KEY, bytes INTEGER NOT NULL, used REAL NOT NULL, data BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS blobs_used ON blobs (used, sha256, bytes);
"""
# Who does not know what the server said of the same bytes does not wipe it out.
KEEP = """
INSERT INTO known VALUES (?, ?, ?, ?) ON CONFLICT (uri) DO UPDATE SET
    validators = iif(excluded.validators = '' AND stamp = excluded.stamp, validators, excluded.validators),
    stamp = excluded.stamp, sha256 = excluded.sha256
"""
USE_SECONDS = 60  # seconds in which a second use is not written down
SHRINK_FRACTION = 0.9  # of the limit is left when the oldest have gone, so that this is not done for each photo
BATCH_FILES, BATCH_BYTES, BATCH_SECONDS = 64, 8 * 2**20, 1.0  # after any of which what has come is written


@dataclass(frozen=True)
class Known:
    """What was last seen at an address.

    Attributes:
        version_token: The source's version token of its bytes.
        validators: What a server is asked with whether they are still the same; see :mod:`lapel.sources.web`.
    """

    version_token: str = ""
    validators: str = ""


class ImageCache:
    """A file of photos by content.

    Args:
        folder: Where the file is; made when it is not there.
        limit: Most bytes of photos.

    Raises:
        InputError: the folder cannot be made or written to.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self.fetched = self.fetched_bytes = 0  # photos that were put here since it was opened
        self._lock = threading.RLock()
        self._waiting: dict[str, tuple[str, str, bytes]] = {}  # by address: token, validators, bytes; not written yet
        self._waiting_bytes = 0
        self._written = 0.0  # when something was last written
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._db = self._open()
        except (OSError, sqlite3.Error) as error:
            length = len(os.fsencode(folder.absolute() / FILE))
            reason = (
                f"its path has {length:,} bytes, SQLite opens {MAX_PATH_BYTES}"
                if length > MAX_PATH_BYTES
                else reason_of(error)
            )
            raise InputError(
                f"Pictures cannot be kept in {folder} on their way: {reason}. Name another folder in LAPEL_CACHE."
            ) from error
        self._bytes = self._count()
        if self._bytes > limit:  # it was larger when it was used before
            self._shrink()
            with suppress(sqlite3.OperationalError):  # another process is at work
                self._db.execute("VACUUM")

    def _open(self) -> sqlite3.Connection:
        path = self.folder / FILE
        for last in (False, True):
            db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            try:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = OFF")
                db.executescript(SCHEMA)
                return db
            except sqlite3.DatabaseError:
                db.close()
                if last or path.stat().st_size == 0:
                    raise
                path.unlink()  # damaged: what it knew is asked for again
        raise AssertionError("unreachable")

    @property
    def size(self) -> int:
        """Bytes of photos."""
        with self._lock:
            self._write()
            return self._bytes

    def known(self, uri: str) -> Known:
        """What was last seen at an address; empty when nothing was."""
        with self._lock:
            if uri in self._waiting:
                self._write()
            row = self._db.execute("SELECT stamp, validators FROM known WHERE uri = ?", (uri,)).fetchone()
        return Known(*row) if row else Known()

    def get(self, uri: str, token: str) -> bytes | None:
        """The bytes that an address had with this version token, or None when they are not here."""
        with self._lock:
            waiting = self._waiting.get(uri)
            if waiting is not None:
                return waiting[2] if waiting[0] == token else None
            with suppress(sqlite3.DatabaseError):
                row = self._db.execute(
                    "SELECT sha256, used, data FROM known JOIN blobs USING (sha256) WHERE uri = ? AND stamp = ?",
                    (uri, token),
                ).fetchone()
                if row is None:
                    return None
                sha256, used, data = row
                if hashlib.sha256(data).hexdigest() == sha256:
                    if time.time() - used > USE_SECONDS:
                        self._db.execute("UPDATE blobs SET used = ? WHERE sha256 = ?", (time.time(), sha256))
                    return bytes(data)
                self._db.execute("DELETE FROM blobs WHERE sha256 = ?", (sha256,))
                self._bytes = self._count()
        return None

    def put(self, uri: str, token: str, data: bytes, validators: str = "") -> None:
        """Keep what an address has; a full disk only means that it is fetched again."""
        with self._lock:
            self.fetched += 1
            self.fetched_bytes += len(data)
            if uri in self._waiting:
                self._write()
            self._waiting[uri] = (token, validators, data)
            self._waiting_bytes += len(data)
            if (
                len(self._waiting) >= BATCH_FILES
                or self._waiting_bytes > BATCH_BYTES
                or time.monotonic() - self._written > BATCH_SECONDS
            ):
                self._write()

    def close(self) -> None:
        """Write what waits and let go of the file. Closing twice is fine."""
        with self._lock:
            self._write()
            self._db.close()

    def _write(self) -> None:
        """Write what waits; on a full disk, or while another process is too long at it, it is let go."""
        if not self._waiting:
            return
        known, blobs = [], []
        for uri, (token, validators, data) in self._waiting.items():
            sha256 = hashlib.sha256(data).hexdigest()
            known.append((uri, token, validators, sha256))
            blobs.append((sha256, len(data), time.time(), data))
        self._waiting.clear()
        self._waiting_bytes, self._written = 0, time.monotonic()
        with suppress(sqlite3.DatabaseError):
            added = 0
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany(KEEP, known)
                for blob in blobs:
                    made = self._db.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?, ?, ?)", blob)
                    added += blob[1] * made.rowcount
            self._bytes += added
            if self._bytes > self.limit:
                self._shrink()

    def _count(self) -> int:
        (total,) = self._db.execute("SELECT coalesce(sum(bytes), 0) FROM blobs").fetchone()
        return int(total)

    def _shrink(self) -> None:
        total = self._count()  # others may have put something there
        gone = []
        for sha256, size in self._db.execute("SELECT sha256, bytes FROM blobs ORDER BY used"):
            if total <= SHRINK_FRACTION * self.limit:
                break
            gone.append((sha256,))
            total -= size
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("DELETE FROM blobs WHERE sha256 = ?", gone)
        self._bytes = self._count()


def open_cache() -> ImageCache:
    """The cache of this process' settings.

    Raises:
        InputError: the folder cannot be used.
    """
    now = settings()
    return ImageCache(now.cache, int(now.cache_gb * GB))
