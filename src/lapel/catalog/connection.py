"""Connections to one SQLite file: how it is opened, shared between threads, and how SQLite's errors become Lapel's.

A thread borrows a connection for one question and gives it back, so a web page's many short-lived threads share a few
of them.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from lapel.core.errors import (
    QueryError,
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreNotFoundError,
    StoreReadOnlyError,
)
from lapel.core.text import fold

LONGEST_PATH = 504  # bytes; SQLite's 512 less what it puts behind the name
SHARED_MEMORY = 65_536  # bytes; a -shm file has 32 kB
ROWS_PER_INSERT = 200  # SQLite binds up to 32,766 values
BUSY_SECONDS = 5.0  # how long a writer waits for another one; a batch takes well under a second


def make_file(path: Path, *, create: bool) -> bool:
    """See that there is a file for a catalogue. Returns whether it was made, which is an empty one.

    Raises:
        StoreNotFoundError: there is none, and ``create`` is false.
        StoreDamagedError: it is a folder.
        StoreReadOnlyError: it may not be made.
        StoreError: its folder may not be entered, or its name is too long.
    """
    try:
        if path.is_file():
            return False
    except OSError as error:
        advice = "Give this user the right to enter its folder"
        if error.errno == errno.ENAMETOOLONG:
            advice = "Choose a shorter name with --store"
        raise StoreError(f"The catalogue {path} cannot be reached: {error.strerror}. {advice}.") from error
    if path.exists():
        raise StoreDamagedError(f"{path} is a folder, not a catalogue file. Choose another folder with --store.")
    if not create:
        raise StoreNotFoundError(
            f"There is no catalogue {path}. Make one with: lapel add PICTURES --store {path.parent}"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise StoreReadOnlyError(
            f"The catalogue {path} cannot be made: {error.strerror}. Choose another folder with --store."
        ) from error
    return True


def insert_rows(database: sqlite3.Connection, table: str, columns: str, rows: Sequence[Sequence[object]]) -> None:
    """Insert rows, many in one statement: with an AUTOINCREMENT key less than half the time of one statement a row."""
    values = f"({', '.join('?' * len(columns.split(', ')))})"
    for at in range(0, len(rows), ROWS_PER_INSERT):
        some = rows[at : at + ROWS_PER_INSERT]
        asked = f"INSERT INTO {table} ({columns}) VALUES {', '.join([values] * len(some))}"
        database.execute(asked, list(chain.from_iterable(some)))


class Pool:
    """Connections to the file ``path``.

    Attributes:
        path: The file.
        read_only: Whether writing is refused; also true when the file or its folder turned out not to be writable.
    """

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self._query = "mode=ro" if read_only else "mode=rw"
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._writer = threading.RLock()
        self._closed = False

    def start(self) -> None:
        """Check that the file can be read at all, and find out how.

        Raises:
            StoreDamagedError: not an SQLite file.
            StoreReadOnlyError: it has unfinished writes that cannot be read in a folder that cannot be written.
        """
        try:
            self._probe()
        except sqlite3.OperationalError as error:
            # A WAL file is read with a small -shm file beside it, which a read-only folder does not let SQLite make.
            # With no writes pending the main file is the whole truth, and `immutable` reads it alone.
            if (error.sqlite_errorcode & 0xFF) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                raise
            wal = self.path.with_name(self.path.name + "-wal")
            if wal.exists() and wal.stat().st_size:
                raise StoreReadOnlyError(
                    f"The catalogue {self.path} has writes in {wal.name} that can only be read where its folder can be"
                    f" written. "
                    "Copy the whole folder to a writable place, or make this one writable."
                ) from error
            self.read_only, self._query = True, "mode=ro&immutable=1"
            self._probe()

    def _probe(self) -> None:
        connection = self._connect()
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?{self._query}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,  # transactions are begun and ended by hand
            check_same_thread=False,  # the pool sees to it that one thread at a time has it
        )
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(
            "PRAGMA synchronous = NORMAL"
        )  # with WAL: kill -9 loses nothing, a power cut the last moments
        # 32 MB of pages, filled as they are read: with the usual 2 MB, ten hits of 40,000 products take twice as long.
        connection.execute("PRAGMA cache_size = -32768")
        connection.create_function("fold", 1, fold, deterministic=True)
        return connection

    @contextmanager
    def borrow(self) -> Iterator[sqlite3.Connection]:
        """A connection for one question; SQLite's errors leave as Lapel's."""
        with self._lock:
            if self._closed:
                raise StoreError(f"The catalogue {self.path} is closed. Open it again.")
            connection = self._idle.pop() if self._idle else None
        with self.errors():
            if connection is None:
                connection = self._connect()
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                with self._lock:
                    keep = not self._closed
                    if keep:
                        self._idle.append(connection)
                if not keep:
                    connection.close()

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one moment of the file, however long the reading takes."""
        with self.borrow() as connection:
            connection.execute("BEGIN")
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection inside a writing transaction: all of it is kept, or nothing."""
        if self.read_only:
            raise StoreReadOnlyError(self._read_only_message())
        with self._writer, self.borrow() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn SQLite's errors into Lapel's, and those of values that no SQLite file can hold."""
        try:
            yield
        except UnicodeEncodeError as error:
            half = ascii(error.object[error.start : error.end])
            raise QueryError(
                f"A text holds {half}, half of a character, which no catalogue holds. Give whole characters."
            ) from error
        except OverflowError as error:
            raise QueryError("A number has more than 64 bits, which no catalogue holds. Give a smaller one.") from error
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise StoreBusyError(
                    f"The catalogue {self.path} is being written by another process; waited {BUSY_SECONDS:.0f}"
                    f" seconds. Try again when it is done."
                ) from error
            if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
                raise StoreReadOnlyError(self._read_only_message()) from error
            if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise StoreDamagedError(
                    f"{self.path} is not a readable catalogue: {error}. Put back a copy of it, or choose another"
                    f" folder with --store."
                ) from error
            if code == sqlite3.SQLITE_CANTOPEN and not self.path.exists():
                raise StoreNotFoundError(f"The catalogue {self.path} is gone. Was the folder moved?") from error
            length = len(os.fsencode(self.path.absolute()))
            if code == sqlite3.SQLITE_CANTOPEN and length > LONGEST_PATH:
                raise StoreError(
                    f"The path of {self.path.name} has {length} bytes and SQLite opens up to {LONGEST_PATH}:"
                    f" {self.path.absolute()}"
                    " - choose a folder with a shorter path with --store."
                ) from error
            # Where there is no room for its shared memory, SQLite calls it an I/O error.
            if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and self._room() < SHARED_MEMORY):
                raise StoreError(
                    f"The disk of {self.path} is full; the last batch was not kept. Make room and run the same command"
                    f" again."
                ) from error
            raise StoreError(f"The catalogue {self.path} cannot be used: {error}.") from error

    def _room(self) -> int:
        try:
            return shutil.disk_usage(self.path.parent).free
        except OSError:
            return SHARED_MEMORY

    def _read_only_message(self) -> str:
        return (
            f"The catalogue {self.path} may not be written to. Give this user the right to write there, or choose"
            " another folder with --store."
        )

    def close(self) -> None:
        """Close every idle connection; a borrowed one is closed when it comes back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
