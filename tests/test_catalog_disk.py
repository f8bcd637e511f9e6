"""A catalogue on a disk that is full or too small, and at paths that are too long: each says what is wrong and what to
do."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from lapel.catalog import Catalog
from lapel.catalog.connection import Pool
from lapel.core.errors import StoreError


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.open(tmp_path / "catalog.sqlite", create=True) as opened:
        yield opened


@pytest.mark.parametrize("pages", [1, 3, 10, 20])
def test_a_disk_too_small_for_an_empty_catalogue_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pages: int
) -> None:
    """SQLite undoes the transaction by itself then, and there is nothing left to roll back."""
    connect = Pool._connect

    def on_a_small_disk(pool: Pool) -> sqlite3.Connection:
        database = connect(pool)
        database.execute(f"PRAGMA max_page_count = {pages}")
        return database

    monkeypatch.setattr(Pool, "_connect", on_a_small_disk)
    with pytest.raises(StoreError, match=r"The disk of .*catalog\.sqlite is full.*Make room"):
        Catalog.open(tmp_path / "catalog.sqlite", create=True)
    monkeypatch.undo()
    with Catalog.open(tmp_path / "catalog.sqlite", create=True) as catalog:
        assert catalog.check() == []


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX limits")
@pytest.mark.parametrize("size", [1_000, 40_000])
def test_a_disk_that_ends_within_a_transaction_says_what_it_is(tmp_path: Path, size: int) -> None:
    """SQLite has rolled back by itself then; asked once more it says 'cannot rollback', which helps nobody."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        with pytest.raises(StoreError, match="disk I/O error"):
            Catalog.open(tmp_path / "catalog.sqlite", create=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with Catalog.open(tmp_path / "catalog.sqlite", create=True) as catalog:
        assert catalog.check() == []


def test_an_io_error_without_room_is_a_full_disk(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    for room, words in ((0, r"disk of .* is full"), (10**9, "cannot be used: disk I/O error")):
        monkeypatch.setattr(Pool, "_room", lambda _, room=room: room)
        with pytest.raises(StoreError, match=words), catalog._pool.errors():
            raise error


def of_length(folder: Path, length: int) -> Path:
    """A path of a catalogue in ``folder`` that has so many bytes."""
    left = length - len(os.fsencode(folder / "catalog.sqlite")) - 1
    while left > 100:
        folder, left = folder / ("d" * 50), left - 51
    return folder / ("e" * left) / "catalog.sqlite"


def test_a_path_that_sqlite_cannot_open_says_how_long_it_is(tmp_path: Path) -> None:
    path = of_length(tmp_path, 504)
    Catalog.open(path, create=True).close()
    Catalog.open(path).close()
    path = of_length(tmp_path, 505)
    with pytest.raises(
        StoreError, match=r"path of catalog\.sqlite has 505 bytes and SQLite opens up to 504.*shorter path"
    ):
        Catalog.open(path, create=True)
    assert not path.exists()


def test_a_name_that_no_disk_takes_is_told(tmp_path: Path) -> None:
    for create in (True, False):
        with pytest.raises(StoreError, match=r"cannot be reached: File name too long\. Choose a shorter name"):
            Catalog.open(tmp_path / ("x" * 300) / "catalog.sqlite", create=create)
