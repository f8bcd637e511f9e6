"""Pictures that came over a network, kept on this machine for a while: bounded in bytes, the longest unused go first.

Each is stored once by the hash of its bytes, which is checked whenever it is read; an SQLite file knows which address had which
bytes, and remembers that when the bytes are gone. Several threads and processes may use one cache. Losing it costs time only.
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

GB = 2**30
DEFAULT_GB = 4.0  # 47,000 shop pictures of 20 KB have 1 GB
SCHEMA = """
CREATE TABLE IF NOT EXISTS known (uri TEXT PRIMARY KEY, stamp TEXT NOT NULL, validators TEXT NOT NULL, sha256 TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS blobs (sha256 TEXT PRIMARY KEY, bytes INTEGER NOT NULL, used REAL NOT NULL);
CREATE INDEX IF NOT EXISTS blobs_used ON blobs (used);
"""
# Who does not know what the server said of the same bytes does not wipe it out.
KEEP = """
INSERT INTO known VALUES (?, ?, ?, ?) ON CONFLICT (uri) DO UPDATE SET
    validators = iif(excluded.validators = '' AND stamp = excluded.stamp, validators, excluded.validators),
    stamp = excluded.stamp, sha256 = excluded.sha256
"""
FRESH = 60  # seconds in which a second use is not written down
SLACK = 0.9  # of the limit is left when the oldest have gone, so that this is not done for each picture


@dataclass(frozen=True)
class Known:
    """What was last seen at an address.

    Attributes:
        stamp: The source's stamp of its bytes.
        validators: What a server is asked with whether they are still the same; see :mod:`lapel.sources.web`.
    """

    stamp: str = ""
    validators: str = ""


class PictureCache:
    """A folder of pictures by content.

    Args:
        folder: Made when it is not there.
        limit: Most bytes of pictures.

    Raises:
        InputError: the folder cannot be made or written to.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self.fetched = self.fetched_bytes = 0  # pictures that were put here since it was opened
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._db = self._open()
        except (OSError, sqlite3.Error) as error:
            raise InputError(
                f"Pictures cannot be kept in {folder} on their way: {error}. Name another folder in LAPEL_CACHE."
            ) from error
        (self._bytes,) = self._db.execute("SELECT coalesce(sum(bytes), 0) FROM blobs").fetchone()

    def _open(self) -> sqlite3.Connection:
        path = self.folder / "known.sqlite"
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
        """Bytes of pictures on disk."""
        return int(self._bytes)

    def known(self, uri: str) -> Known:
        """What was last seen at an address; empty when nothing was."""
        with self._lock:
            row = self._db.execute("SELECT stamp, validators FROM known WHERE uri = ?", (uri,)).fetchone()
        return Known(*row) if row else Known()

    def get(self, uri: str, stamp: str) -> bytes | None:
        """The bytes that an address had with this stamp, or None when they are not here."""
        with self._lock:
            row = self._db.execute(
                "SELECT sha256, used FROM known JOIN blobs USING (sha256) WHERE uri = ? AND stamp = ?", (uri, stamp)
            ).fetchone()
        if row is None:
            return None
        sha256, used = row
        try:
            data = self._path(sha256).read_bytes()
        except OSError:
            data = b""
        if hashlib.sha256(data).hexdigest() != sha256:
            self._forget([(sha256,)])
            return None
        if time.time() - used > FRESH:
            with self._lock:
                self._db.execute("UPDATE blobs SET used = ? WHERE sha256 = ?", (time.time(), sha256))
        return data

    def put(self, uri: str, stamp: str, data: bytes, validators: str = "") -> None:
        """Keep what an address has; a full disk only means that it is fetched again."""
        sha256 = hashlib.sha256(data).hexdigest()
        path = self._path(sha256)
        with self._lock:
            self.fetched += 1
            self.fetched_bytes += len(data)
        try:
            if not path.exists():
                path.parent.mkdir(exist_ok=True)
                part = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}")
                try:
                    part.write_bytes(data)
                    part.replace(path)
                finally:
                    part.unlink(missing_ok=True)
        except OSError:
            return
        with self._lock, suppress(sqlite3.OperationalError):  # another process holds it for too long
            self._db.execute(KEEP, (uri, stamp, validators, sha256))
            made = self._db.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?, ?)", (sha256, len(data), time.time()))
            self._bytes += len(data) * made.rowcount
        if self._bytes > self.limit:
            self._shrink()

    def close(self) -> None:
        """Let go of the file. Closing twice is fine."""
        with self._lock:
            self._db.close()

    def _path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / sha256

    def _shrink(self) -> None:
        with self._lock:
            (total,) = self._db.execute("SELECT coalesce(sum(bytes), 0) FROM blobs").fetchone()
            gone = []
            for sha256, size in self._db.execute("SELECT sha256, bytes FROM blobs ORDER BY used"):
                if total <= SLACK * self.limit:
                    break
                gone.append((sha256,))
                total -= size
        self._forget(gone)

    def _forget(self, blobs: list[tuple[str]]) -> None:
        with self._lock:
            self._db.executemany("DELETE FROM blobs WHERE sha256 = ?", blobs)
            for (sha256,) in blobs:
                self._path(sha256).unlink(missing_ok=True)
            (self._bytes,) = self._db.execute("SELECT coalesce(sum(bytes), 0) FROM blobs").fetchone()


def open_cache() -> PictureCache:
    """The cache that the environment names: ``LAPEL_CACHE``, a folder, and ``LAPEL_CACHE_GB``.

    Raises:
        InputError: the size is no number above zero, or the folder cannot be used.
    """
    said = os.environ.get("LAPEL_CACHE_GB", "")
    try:
        size = float(said or DEFAULT_GB)
    except ValueError:
        size = 0.0
    if not size > 0:
        raise InputError(f"LAPEL_CACHE_GB is a number of GB above zero, such as 4; found '{said}'.")
    folder = os.environ.get("LAPEL_CACHE", "")
    home = Path(os.environ.get("XDG_CACHE_HOME", "") or Path.home() / ".cache")
    return PictureCache(Path(folder) if folder else home / "lapel" / "pictures", int(size * GB))
