"""Products and photos kept in memory: always what the catalogue says, whoever wrote it, and never more than so many."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lapel.catalog import Catalog, Entry, history, lookup
from lapel.catalog.entry_cache import EntryCache
from lapel.core.types import Links, Product
from lapel.testing.catalog import MODEL, entry, known

NAMES = [f"p{number}" for number in range(8)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.sqlite"


@pytest.fixture
def catalog(path: Path) -> Iterator[Catalog]:
    with Catalog.open(path, create=True) as opened:
        yield opened


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys that SQLite was asked for, a JSON list a question."""
    questions: list[str] = []
    read = lookup.entries

    def noted(database: Any, keys: str) -> Any:
        questions.append(keys)
        return read(database, keys)

    monkeypatch.setattr(lookup, "entries", noted)
    return questions


def keys_of(catalog: Catalog) -> list[int]:
    return catalog.vector_keys(MODEL).tolist()


def change(catalog: Catalog, rng: np.random.Generator) -> None:
    """One of all the kinds of changes that what is shown may undergo."""
    name, price = str(rng.choice(NAMES)), int(rng.integers(1, 100))
    kind = rng.integers(5)
    if kind == 0:
        catalog.write([entry(name, "abc"[: rng.integers(1, 4)], price_minor=price, currency="EUR")], fingerprint=MODEL)
    elif kind == 1:
        catalog.remove([name])
    elif kind == 2:
        catalog.hosting.move([(f"{name}/", f"{name}x/")])
    elif kind == 3:
        catalog.write([entry(other, title=f"title {price}") for other in NAMES[::2]], fingerprint=MODEL)
    else:
        catalog.visibility.apply_sync("", NAMES[: int(rng.integers(4, 8))], now="2026-11-29T00:00:00Z")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("trimmed", [False, True])
def test_what_another_process_writes_is_seen_at_once(
    path: Path, catalog: Catalog, seed: int, trimmed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if trimmed:  # so that what was dropped is often no longer known
        for name, rows in (("TRIM_INTERVAL", 1), ("KEPT_ROWS", 3), ("MAX_NAMED", 2)):
            monkeypatch.setattr(history, name, rows)
    rng = np.random.default_rng(seed)
    every = set()
    with Catalog.open(path) as writer:
        for _ in range(25):
            for _ in range(int(rng.integers(1, 4))):
                change(writer, rng)
            every |= set(keys_of(writer))
            wanted = rng.permutation(sorted(every))
            with Catalog.open(path, read_only=True) as fresh:
                assert list(catalog.entries(wanted).items()) == list(fresh.entries(wanted).items())


def test_what_did_not_change_is_not_read_again(catalog: Catalog, asked: list[str]) -> None:
    catalog.write([entry("tee", "ab"), entry("hat")], fingerprint=MODEL)
    one, two, three = keys_of(catalog)
    first = catalog.entries([two, one])
    assert (list(first), asked) == ([two, one], [f"[{two}, {one}]"])
    assert catalog.entries([two, one]) == first
    catalog.entries([three, one, three])
    assert asked[1:] == [f"[{three}, {three}]"]
    catalog.write([entry("mug")], fingerprint=MODEL)  # a new product changes no other
    catalog.entries([one, two, three])
    assert len(asked) == 2
    catalog.write([entry("tee", "ab", title="T-shirt")], fingerprint=MODEL)
    assert catalog.entries([one, two, three])[one][0].title == "T-shirt"
    assert asked[2:] == [f"[{one}, {two}]"]


def test_no_more_is_kept_than_was_said(catalog: Catalog, asked: list[str]) -> None:
    catalog.write([entry(f"p{number:02}") for number in range(20)], fingerprint=MODEL)
    keys, cache = keys_of(catalog), EntryCache(most=8)
    with catalog._pool.snapshot() as database:
        for at in range(0, 20, 2):
            assert list(cache.get(database, keys[at : at + 2])) == keys[at : at + 2]
            cache.get(database, keys[:2])  # what is asked for again and again stays
            assert len(cache) <= 8
        assert sum(f"[{keys[0]}, {keys[1]}]" == text for text in asked) == 1
        assert list(cache.get(database, keys)) == keys  # more than it can keep
        assert len(cache) <= 8


def test_readers_beside_a_writer_never_see_less_than_was_written(path: Path, catalog: Catalog) -> None:
    """A product's title counts the writings; a photo's address says the same number."""
    catalog.write([entry("tee", title="0")], fingerprint=MODEL)
    (key,) = keys_of(catalog)
    written, problems, stop = [0], list[str](), threading.Event()

    def read() -> None:
        while not stop.is_set():
            least = written[0]
            product, photo = catalog.entries([key])[key]
            if int(product.title) < least or photo.links.full[-3:] != f"{int(product.title):03}":
                problems.append(f"{product.title} with {photo.links.full} after {least}")

    def write(number: int) -> None:
        photo = known("tee/a", links=Links(f"https://shop.example/{number:03}"))
        writer.write([Entry(Product("tee", title=str(number)), (photo,))], fingerprint=MODEL)
        written[0] = number

    with Catalog.open(path) as writer:
        write(1)
        readers = [threading.Thread(target=read) for _ in range(3)]
        for thread in readers:
            thread.start()
        for number in range(2, 150):
            write(number)
        stop.set()
        for thread in readers:
            thread.join()
    assert problems == []
