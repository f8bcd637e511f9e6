"""The cache of pictures that came over a network, and reading ahead through it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lapel.core.errors import InputError, SourceError
from lapel.sources import ImageSource, Links, open_source
from lapel.sources.cache import ImageCache, Known, open_cache
from lapel.sources.folder import FolderSource
from lapel.sources.stream import Streamed, ahead, in_order


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ImageCache]:
    made = ImageCache(tmp_path / "cache", 10_000)
    yield made
    made.close()
    made.close()


def stored(cache: ImageCache) -> list[int]:
    """Bytes of each picture in the file, as another program sees them."""
    with closing(sqlite3.connect(cache.folder / "pictures.sqlite")) as database:
        return [size for (size,) in database.execute("SELECT length(data) FROM blobs")]


def test_bytes_are_kept_by_address_and_version_token(cache: ImageCache) -> None:
    assert cache.get("a", "1") is None
    assert cache.known("a") == Known()
    cache.put("a", "1", b"one", "etag")
    cache.put("b", "7", b"one")
    assert (cache.get("a", "1"), cache.get("a", "2"), cache.get("b", "7")) == (b"one", None, b"one")
    assert (cache.size, stored(cache)) == (3, [3])  # one picture at two addresses is kept once
    cache.put("a", "1", b"one")
    assert cache.known("a") == Known("1", "etag")
    cache.put("a", "2", b"two!")
    assert cache.known("a") == Known("2", "")
    assert cache.size == 7
    assert (cache.fetched, cache.fetched_bytes) == (4, 13)


def test_the_oldest_go_when_it_is_full(cache: ImageCache, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10**6, 10**9, 100))
    monkeypatch.setattr("lapel.sources.cache.time.time", lambda: float(next(clock)))
    for number in range(30):
        cache.put(str(number), "1", b"%03d" % number * 300)
        assert cache.get("0", "1") is not None  # in use all the time
    assert cache.size <= cache.limit
    assert sum(stored(cache)) == cache.size
    assert cache.get("1", "1") is None
    assert cache.get("29", "1") == b"029" * 300
    assert cache.known("1").version_token == "1"


def test_damage_costs_a_second_fetch_only(cache: ImageCache, tmp_path: Path) -> None:
    cache.put("a", "1", b"right")
    assert cache.size == 5
    with closing(sqlite3.connect(cache.folder / "pictures.sqlite")) as database:
        database.execute("UPDATE blobs SET data = ?", (b"wrong",))
        database.commit()
    assert cache.get("a", "1") is None
    assert cache.size == 0
    cache.put("a", "1", b"right")
    assert cache.get("a", "1") == b"right"
    cache.close()
    for path in cache.folder.glob("pictures.sqlite*"):
        path.write_bytes(b"no database" * 1000)
    again = ImageCache(cache.folder, 10_000)
    assert again.get("a", "1") is None
    again.put("a", "1", b"right")
    assert again.get("a", "1") == b"right"
    again.close()


def test_what_comes_together_is_written_together(cache: ImageCache) -> None:
    cache.put("first", "1", b"0")  # written at once: nothing came for a while
    for number in range(5):
        cache.put(str(number), "1", b"%d" % number, "etag")
    assert stored(cache) == [1]
    assert (cache.get("4", "1"), cache.get("4", "2")) == (b"4", None)
    assert cache.known("4") == Known("1", "etag")  # asking for one writes them
    assert len(stored(cache)) == 5  # "0" came twice
    cache.put("4", "2", b"new")
    cache.close()
    again = ImageCache(cache.folder, 10_000)
    assert again.get("4", "2") == b"new"
    again.close()


def test_a_smaller_limit_counts_from_the_next_opening(cache: ImageCache) -> None:
    for number in range(9):
        cache.put(str(number), "1", b"%d" % number * 1000)
    cache.close()
    before = (cache.folder / "pictures.sqlite").stat().st_size
    again = ImageCache(cache.folder, 2_000)
    assert again.size <= 2_000
    again.close()
    assert (cache.folder / "pictures.sqlite").stat().st_size < before


def test_a_full_disk_only_costs_fetching_again(cache: ImageCache) -> None:
    cache.put("a", "1", b"here")
    assert cache.size == 4
    cache._db.execute(f"PRAGMA max_page_count = {cache._db.execute('PRAGMA page_count').fetchone()[0]}")
    for number in range(100):
        cache.put(str(number), "1", bytes(20_000 + number))
    assert cache.get("a", "1") == b"here"
    assert cache.get("0", "1") is None


def test_two_share_a_cache(cache: ImageCache) -> None:
    other = ImageCache(cache.folder, 10_000)
    other.put("a", "1", b"theirs")
    assert cache.get("a", "1") == b"theirs"
    other.close()


def test_the_environment_says_where_and_how_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPEL_CACHE", str(tmp_path / "there"))
    monkeypatch.setenv("LAPEL_CACHE_GB", "0.5")
    made = open_cache()
    assert (made.folder, made.limit) == (tmp_path / "there", 2**29)
    made.close()
    for text in ("none", "0", "-1", "nan"):
        monkeypatch.setenv("LAPEL_CACHE_GB", text)
        with pytest.raises(InputError, match="LAPEL_CACHE_GB"):
            open_cache()
    monkeypatch.delenv("LAPEL_CACHE_GB")
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("LAPEL_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="LAPEL_CACHE"):
        open_cache()


class Slow(ImageSource):
    """A remote source whose pictures come when they are let go."""

    remote, where, asks_for_token = True, "slow", True

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.begun: list[str] = []
        self.closed = False

    def find(self, name: str) -> str:
        if name == "bad":
            raise SourceError("no such picture")
        return f"slow://{name}"

    def walk(self) -> Iterator[str]:
        return iter(())

    def version_token(self, uri: str) -> str:
        return f"token of {uri}"

    def read(self, uri: str) -> bytes:
        self.begun.append(uri)
        assert self.gate.wait(30)
        if "broken" in uri:
            raise SourceError("broken")
        return uri.encode()

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def slow(cache: ImageCache) -> Iterator[Streamed]:
    made = Streamed(Slow(), cache, reads=4)
    yield made
    made.source.gate.set()  # type: ignore[attr-defined]
    made.close()
    assert made.source.closed  # type: ignore[attr-defined]


def test_pictures_are_fetched_ahead_once(slow: Streamed, cache: ImageCache) -> None:
    source = slow.source
    assert isinstance(source, Slow)
    uris = [f"slow://{number}" for number in range(4)]
    slow.expect(["0", "bad"])
    assert slow.version_token(uris[0]) == "token of slow://0"
    slow.prefetch([*uris, uris[0], "slow://broken"])
    while len(source.begun) < 4:  # all are under way before anyone reads
        pass
    source.gate.set()
    assert [slow.read(uri) for uri in uris] == [uri.encode() for uri in uris]
    with pytest.raises(SourceError, match="broken"):
        slow.read("slow://broken")
    assert [slow.read(uri) for uri in uris] == [uri.encode() for uri in uris]  # now from the cache
    assert sorted(source.begun) == sorted([*uris, "slow://broken"])
    assert slow.links(uris[0]) == Links()


def test_what_waits_in_memory_is_bounded(slow: Streamed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lapel.sources.stream.WAITING_BYTES", 10)
    source = slow.source
    assert isinstance(source, Slow)
    source.gate.set()
    uris = [f"slow://{number}" for number in range(8)]
    slow.prefetch(uris)
    assert [slow.read(uri) for uri in uris] == [uri.encode() for uri in uris]
    assert sorted(source.begun) == uris  # those that did not fit in memory were in the cache
    assert slow._held == 0


def test_ahead_starts_what_comes_next() -> None:
    log: list[str] = []
    for item in ahead(range(5), lambda item: log.append(f"start {item}"), 2):
        log.append(f"use {item}")
    assert log[:4] == ["start 0", "start 1", "start 2", "use 0"]
    assert log[-3:] == ["use 2", "use 3", "use 4"]
    assert list(ahead([], log.append, 2)) == []


def test_reading_in_order_fetches_what_follows(slow: Streamed) -> None:
    source = slow.source
    assert isinstance(source, Slow)
    source.gate.set()
    uris = [f"slow://{number}" for number in range(10)]
    read = in_order(slow, uris, 3)
    assert read(uris[0]) == b"slow://0"
    assert set(slow._reads) == set(uris[1:3])
    for uri in (*uris[1:4], *uris[7:]):  # some are passed over
        assert read(uri) == uri.encode()
    assert sorted(source.begun) == sorted(set(source.begun))


def test_local_sources_stay_as_they_are(tmp_path: Path) -> None:
    source = open_source(tmp_path)
    assert type(source) is FolderSource
    assert in_order(source, ["file:///a.jpg"]) == source.read


def test_a_path_that_sqlite_does_not_open_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "/".join(["a" * 100] * 6)
    with pytest.raises(
        InputError, match=r"its path has [67]\d\d bytes, SQLite opens 504\. Name another folder in LAPEL_CACHE"
    ):
        ImageCache(folder, 10_000)
