"""A database file beside the catalogue, for what would disturb it: events, pairs of pictures, what is watched for. Made
when something is first written, opened when something is first asked.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from lapel.catalog.connection import Pool
from lapel.catalog.schema import migrate
from lapel.core.errors import StoreReadOnlyError


class SideFile:
    """What the tables in such files inherit. Safe to share between threads and processes.

    Args:
        path: The file.
        what: What it holds, as messages call it.
        scripts: Its numbered migrations.
        read_only: Never write.
    """

    def __init__(self, path: Path, *, what: str, scripts: Sequence[str], read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self._what, self._scripts = what, scripts
        self._pool: Pool | None = None
        self._lock = Lock()

    def close(self) -> None:
        """Let go of the file. Closing twice is fine."""
        with self._lock:
            if self._pool is not None:
                self._pool.close()
                self._pool = None

    def _started(self, database: sqlite3.Connection, *, writable: bool) -> None:
        """Called once when the file is opened, at its newest version."""

    def _opened(self, *, make: bool = False) -> Pool | None:
        """Connections to the file; None where there is none and none is to be made."""
        with self._lock:
            if self._pool is None and (make or self.path.exists()):
                self._pool = self._open(make=make)
            return self._pool

    def _writable(self) -> Pool:
        """Connections to write with.

        Raises:
            StoreReadOnlyError: nothing may be written.
        """
        if self.read_only:
            raise StoreReadOnlyError(
                f"The {self._what} {self.path} may not be written to: the store is open for reading."
            )
        pool = self._opened(make=True)
        assert pool is not None
        return pool

    def _open(self, *, make: bool) -> Pool:
        if make:
            try:
                self.path.touch()
            except OSError as error:
                raise StoreReadOnlyError(f"The {self._what} {self.path} cannot be kept: {error.strerror}.") from error
        pool = Pool(self.path, read_only=self.read_only)
        try:
            with pool.errors():
                pool.start()
            with pool.borrow() as database:
                migrate(database, self.path, create=make, read_only=pool.read_only, scripts=self._scripts)
                if not pool.read_only and database.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                    database.execute("PRAGMA journal_mode = WAL")
                self._started(database, writable=not pool.read_only)
        except BaseException:
            pool.close()
            raise
        return pool
