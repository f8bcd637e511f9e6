"""Limits at their edge: just below and exactly at it all is as usual, just above it is not."""

from __future__ import annotations

import io
import os
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lapel import Filter, Product, Query, sources
from lapel.catalog import Entry, PhotoEntry
from lapel.catalog.entries import term_number
from lapel.core.errors import ImageError, InputError, QueryError
from lapel.core.images import decode
from lapel.core.machine import cores
from lapel.core.vectors import check_vectors
from lapel.engine import check, retrieval
from lapel.engine.check import check_index
from lapel.engine.context import StoreContext, open_context
from lapel.engine.retrieval import SearchEngine
from lapel.indexes.choice import Plan
from lapel.sources.cache import ImageCache
from test_store import corner, fill

# --- pictures and vectors ---------------------------------------------------------------------------------------------


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("size", [(8, 8), (160, 8), (8, 160)])
def test_pictures_that_are_just_large_and_square_enough(size: tuple[int, int]) -> None:
    assert decode(png(*size)).size == size


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((7, 8), "7 x 8 pixels; each side needs at least 8"),
        ((8, 7), "8 x 7 pixels; each side needs at least 8"),
        ((161, 8), "161 x 8 pixels; one side may be 20 times"),
        ((8, 161), "8 x 161 pixels; one side may be 20 times"),
    ],
)
def test_pictures_that_are_just_not(size: tuple[int, int], words: str) -> None:
    with pytest.raises(ImageError, match=words):
        decode(png(*size))


@pytest.mark.parametrize(("length", "unit"), [(0.9991, True), (0.9989, False), (1.0009, True), (1.0011, False)])
def test_a_unit_vector_is_one_to_a_thousandth(length: float, unit: bool) -> None:
    rows = np.array([[1, 0], [length, 0]], np.float32)
    if unit:
        assert np.array_equal(check_vectors(rows, 2), rows)
        return
    with pytest.raises(InputError, match=r"row 1 has length .* \(1 of 2 rows are off\)"):
        check_vectors(rows, 2)


# --- questions --------------------------------------------------------------------------------------------------------


def test_a_query_asks_for_1_to_10_000_products() -> None:
    assert [Query(product_id="a", k=k).k for k in (1, 10_000)] == [1, 10_000]
    for k in (0, 10_001, -1):
        with pytest.raises(QueryError, match=f"1 to 10,000; found {k}"):
            Query(product_id="a", k=k)


@pytest.fixture
def store(tmp_path: Path) -> StoreContext:
    store = open_context(tmp_path / "shop", create=True, encoder="colour:")
    fill(store)
    return store


def test_as_many_products_as_there_are_and_no_more(store: StoreContext) -> None:
    """Six photos of five products: each number of hits that can be asked for, and one more."""
    engine = SearchEngine(store)
    for k in range(1, 7):
        assert len(engine.search(Query(vector=corner(1), k=k))) == min(k, 5)
        assert len(engine.search(Query(product_id="tee", k=k))) == min(k, 4)
        assert len(engine.search(Query(vector=corner(1), k=k, where=Filter.parse(["colour=Red"])))) == min(k, 2)


def test_the_keys_of_64_filters_are_kept(store: StoreContext, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Filter] = []
    allowed = store.catalog.matching

    def noted(where: Filter) -> Any:
        asked.append(where)
        return allowed(where)

    monkeypatch.setattr(store.catalog, "matching", noted)
    engine = SearchEngine(store)

    def ask(number: int) -> None:
        engine.search(Query(vector=corner(1), where=Filter.parse([f"id!={number}"])))

    for number in [*range(64), *range(64)]:
        ask(number)
    assert len(asked) == 64
    ask(64)
    assert len(asked) == 65
    assert len(engine._recent) <= retrieval.MAX_FILTERS == 64
    ask(64)
    assert len(asked) == 65
    fill(store, {"new": [corner(1)]})  # what was kept is of an earlier generation
    ask(64)
    assert len(asked) == 66


@pytest.mark.parametrize(("length", "whole"), [(119, True), (120, True), (121, False)])
def test_a_value_of_120_characters_is_listed_whole(tmp_path: Path, length: int, whole: bool) -> None:
    text = "x" * (length - 1) + "y"
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        store.claim()
        entries = [
            Entry(
                Product(name, attributes={"note": note}),
                (PhotoEntry(f"file:///{name}.jpg", "1", "00", corner(1)),),
            )
            for name, note in (("a", text), ("b", text[:-1] + "z"))
        ]
        store.catalog.write(entries, fingerprint=store.encoder.fingerprint)
        listed = [value for value, _ in store.catalog.facet_values("note")]
        assert (text in listed) is whole
        assert all(len(value) <= 120 for value in listed)
        found = SearchEngine(store).search(Query(vector=corner(1), where=Filter.parse([f"note={text}"])))
        assert [hit.product.id for hit in found] == ["a"]


def test_numbers_of_300_digits_are_numbers() -> None:
    assert term_number("9" * 300) == float("9" * 300)
    assert term_number("1." + "0" * 300) == 1.0
    assert term_number("9" * 301) is None
    assert term_number("1." + "0" * 301) is None


# --- what is kept -----------------------------------------------------------------------------------------------------


def test_changes_are_known_back_to_exactly_where_they_were_forgotten(
    store: StoreContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lapel.catalog.history.KEPT_ROWS", 6)
    monkeypatch.setattr("lapel.catalog.history.TRIM_INTERVAL", 5)
    for number in range(4):  # generations 2 to 5, a key each
        fill(store, {f"new{number}": [corner(-1, number)]})
    assert store.catalog.generation == 5
    known = {generation: store.catalog.changes_since(generation) for generation in range(6)}
    assert [generation for generation, news in known.items() if news is not None] == [2, 3, 4, 5]
    assert [len(news.keys) for news in known.values() if news is not None] == [3, 2, 1, 0]
    with store.catalog._pool.borrow() as database:
        assert database.execute("SELECT count(*) FROM change_log").fetchone() == (6,)


def archives(folder: Path, count: int) -> list[str]:
    found = []
    for number in range(count):
        path = folder / f"{number}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.jpg", b"%d" % number)
        with closing(sources.open_source(path)) as source:
            found.append(next(iter(source.walk())))
    return found


def test_8_archives_stay_open_and_the_longest_unused_is_closed(tmp_path: Path) -> None:
    sources.close_archives()
    uris = archives(tmp_path, 9)
    try:
        for number in range(8):
            assert sources.read_uri(uris[number]) == b"%d" % number
        first = next(iter(sources._archives.values()))
        assert len(sources._archives) == 8
        assert sources.read_uri(uris[0]) == b"0"  # used again, so the second is the longest unused now
        second = next(iter(sources._archives.values()))
        assert sources.read_uri(uris[8]) == b"8"
        assert len(sources._archives) == sources.OPEN_ARCHIVES == 8
        held = list(sources._archives.values())
        assert first in held
        assert second not in held
        assert sources.read_uri(uris[1]) == b"1"
    finally:
        sources.close_archives()


@pytest.mark.parametrize(("size", "kept"), [(3_333, 3), (3_334, 2)])
def test_a_cache_of_10_000_bytes(tmp_path: Path, size: int, kept: int) -> None:
    """Three pictures fit exactly, or one byte too many; then the longest unused go until a tenth is free."""
    cache = ImageCache(tmp_path / "cache", 9_999)
    for number in range(3):
        cache.put(str(number), "1", bytes([number]) * size)
        cache._write()
    with closing(sqlite3.connect(cache.folder / "pictures.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM blobs").fetchone() == (kept,)
    assert cache.size == kept * size
    cache.close()


# --- the index --------------------------------------------------------------------------------------------------------


def test_up_to_4_096_vectors_all_are_scanned() -> None:
    plan = Plan.parse("auto?memory=1GB", 128)
    assert plan.choose(4_096).name == ""
    assert plan.choose(4_097).name == "HNSW16"


def test_the_roomiest_structure_that_fits_the_memory_exactly() -> None:
    """A million vectors of 128 numbers: 896 bytes each with links and room, 608 in 16 bits."""
    count = 1_000_000
    for memory, kind in (
        (896 * count, "HNSW16"),
        (896 * count - 1, "HNSW16_SQfp16"),
        (608 * count, "HNSW16_SQfp16"),
        (608 * count - 1, "IVF8192,PQ32x4fs"),
    ):
        assert Plan.parse(f"auto?memory={memory}", 128).choose(count).name == kind


def test_a_structure_by_name_waits_for_the_vectors_it_needs() -> None:
    for name, least in (("HNSW16", 1_000), ("IVF64,PQ32x4fs", 2_496)):  # 39 for each of 64 lists
        plan = Plan.parse(name, 128)
        assert plan.choose(least - 1).name == ""
        assert plan.choose(least).name == name


@pytest.mark.parametrize(("off", "differs"), [(0.0049, False), (0.0051, True)])
def test_a_vector_is_another_when_its_cosine_is_5_thousandths_off(
    store: StoreContext, off: float, differs: bool
) -> None:
    cosine = 1 - off
    index = store.index
    (key,) = (photo.key for photo in store.catalog.photos("mug"))
    index.remove(np.array([key]))
    index.add(np.array([key]), corner(cosine, (1 - cosine**2) ** 0.5)[None])
    found = check_index(store, sample=6)
    assert (found.compared, found.other.tolist()) == (6, [key] if differs else [])
    assert check.SELF_SCORE_TOLERANCE == 0.005


@pytest.mark.parametrize(
    ("files", "most"),
    [
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu.max": ""}, None),
        ({}, None),
    ],
)
def test_a_container_gets_no_more_threads_than_its_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], most: int | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert cores(tmp_path) == (most or 64)
