"""Indexes that grow: against the exact reference whatever was done, while another base is built, and across files."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from lapel.core.errors import InputError
from lapel.core.types import Matches
from lapel.core.vectors import Vectors, normalise
from lapel.indexes import RowFilter, VectorIndex, approximate, choice, open_index, sealed, structure
from lapel.indexes.approximate import ApproximateIndex
from lapel.indexes.choice import Options, choose
from lapel.indexes.structure import Structure
from lapel.testing import IndexContract
from lapel.testing.index import DIM

WIDE = 32
KINDS = ["HNSW32", "HNSW16_SQfp16", "IVF16_HNSW16,Flat", "IVF16_HNSW16,SQfp16", "IVF16,SQ8", "IVF16,PQ8x4fs", "SQ8"]


class TestAuto(IndexContract):
    def open(self, dim: int = DIM, path: Path | None = None) -> VectorIndex:
        return open_index("faiss:auto", dim=dim, path=path)


class TestNamed(IndexContract):
    def open(self, dim: int = DIM, path: Path | None = None) -> VectorIndex:
        return open_index("faiss:HNSW32", dim=dim, path=path)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits a test reaches: sealed segments from 300 rows, growing ones of 100, exact up to 400, everything above 50
    allowed rows not scanned."""
    monkeypatch.setattr(structure, "MIN_ROWS", 300)
    monkeypatch.setattr(approximate, "GROWING_ROWS", 100)
    monkeypatch.setattr(structure, "SCAN_ROWS", 50)
    monkeypatch.setattr(structure, "SCAN_IVF_ROWS", 50)
    monkeypatch.setattr(choice, "MAX_EXACT_ROWS", 400)
    monkeypatch.setattr(choice, "device_memory", lambda: 0)


def looks(n: int, seed: int = 0) -> Vectors:
    """Unit rows in clusters, as products are."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(20, WIDE))
    return normalise(centres[rng.integers(0, 20, n)] + rng.normal(size=(n, WIDE)) * 0.6)


def opened(spec: str, path: Path | None = None) -> ApproximateIndex:
    index = open_index(spec, dim=WIDE, path=path)
    assert isinstance(index, ApproximateIndex)
    return index


def agreement(found: Matches, wanted: Matches) -> float:
    """Recall by score: an answer as near as the last wanted one is right, since equally near vectors share that
    place."""
    there = wanted.keys >= 0
    last = np.where(there, wanted.scores, np.inf).min(axis=1, keepdims=True)
    right = (found.keys >= 0) & (found.scores >= last - 1e-3)  # float16 keeps a cosine to about 3e-4
    return float(np.minimum(right.sum(axis=1), there.sum(axis=1)).sum() / there.sum())


@pytest.mark.parametrize("kind", KINDS)
def test_answers_as_exact_whatever_was_done(kind: str) -> None:
    rng = np.random.default_rng(1)
    index, exact = opened(f"faiss:{kind}"), open_index("exact:", dim=WIDE)
    vectors = looks(4000)
    held = np.zeros((2000, WIDE), np.float32)  # what each key has
    for step in range(25):
        some = rng.integers(0, 2000, 120)
        if step % 3 == 2:
            assert index.remove(some) == exact.remove(some)
        else:
            given = vectors[rng.integers(0, 4000, 120)]
            held[some] = given
            index.add(some, given)
            exact.add(some, given)
        if step % 5 == 0:
            assert index.wait_idle(60)
        assert np.array_equal(index.keys, exact.keys)
        assert len(index) == len(exact)
    assert index.wait_idle(60)
    assert index.problem == ""
    assert index.choice.factory == kind
    for allowed in (None, np.arange(0, 2000, 2), np.arange(0, 2000, 40), np.arange(0)):
        found, wanted = index.search(vectors[:40], 10, allowed), exact.search(vectors[:40], 10, allowed)
        assert np.array_equal(found.keys >= 0, wanted.keys >= 0)  # k come back whenever k exist
        assert (np.diff(found.scores[:, : (found.keys[0] >= 0).sum()], axis=1) <= 0).all()
        if (wanted.keys >= 0).any():
            assert agreement(found, wanted) >= 0.95  # 0.99 is asked of 200 of its own rows; these are 40 others
            cosines = np.einsum("qkd,qd->qk", held[found.keys], vectors[:40])
            assert np.abs(np.where(found.keys >= 0, found.scores - cosines, 0)).max() < 0.1


def test_nothing_done_while_a_segment_is_built_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The building is held up; meanwhile vectors are searched, added, replaced and removed; then it goes on."""
    going, building = threading.Event(), threading.Event()
    build = Structure.build.__func__  # type: ignore[attr-defined]

    def slow(cls: type[Structure], *given: object, **more: object) -> Structure:
        building.set()
        assert going.wait(30)
        built: Structure = build(cls, *given, **more)
        return built

    monkeypatch.setattr(Structure, "build", classmethod(slow))
    index, exact = opened("faiss:HNSW32"), open_index("exact:", dim=WIDE)
    vectors = looks(2000)
    for target in (index, exact):
        target.add(np.arange(1000), vectors[:1000])
    assert building.wait(30)
    for target in (index, exact):
        target.add(np.arange(1000, 1050), vectors[1000:1050])  # new
        target.add(np.arange(100, 150), vectors[1100:1150])  # others under old keys
        assert target.remove(np.arange(200, 260)) == 60
        target.add(np.arange(200, 210), vectors[1200:1210])  # removed and back
    assert agreement(index.search(vectors[:50], 5), exact.search(vectors[:50], 5)) == 1.0
    going.set()
    assert index.wait_idle(60)
    assert index.problem == ""
    assert index.choice.factory == "HNSW32"
    assert np.array_equal(index.keys, exact.keys)
    for asked in (vectors[1100:1150], vectors[1200:1210], vectors[100:150]):
        assert agreement(index.search(asked, 1), exact.search(asked, 1)) >= 0.98


def test_searches_go_on_while_segments_are_merged() -> None:
    index = opened("faiss:HNSW32")
    vectors = looks(5000)
    index.add(np.arange(600), vectors[:600])
    assert index.wait_idle(60)
    stop, problems = threading.Event(), []

    def read() -> None:
        try:
            while not stop.is_set():
                found = index.search(vectors[:3], 5)
                if found.keys[0, 0] != 0 or len(set(found.keys[0].tolist())) < 5:
                    problems.append(found)
        except Exception as error:
            problems.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for at in range(600, 3000, 60):
        index.add(np.arange(at, at + 60), vectors[at : at + 60])
        index.remove(np.arange(at, at + 10))
    stop.set()
    for reader in readers:
        reader.join()
    assert problems == []
    assert index.wait_idle(60)
    assert len(index) == 600 + 40 * 50


def test_many_removals_lead_to_a_rebuild() -> None:
    index = opened("faiss:HNSW32")
    vectors = looks(2000)
    index.add(np.arange(2000), vectors)
    assert index.wait_idle(60)
    index.remove(np.arange(0, 2000, 2))
    assert index.wait_idle(60)
    assert index._sealed is not None
    assert index._sealed.deleted == 0
    assert index.search(vectors[1:2], 1).keys.tolist() == [[1]]


def test_auto_goes_through_its_stages_and_back() -> None:
    index = opened("faiss:auto?memory=200KB")
    vectors = looks(3000)
    index.add(np.arange(300), vectors[:300])
    assert index.choice.factory == ""
    assert "scanning all of them is exact" in index.choice.why
    index.add(np.arange(300, 800), vectors[300:800])
    assert index.wait_idle(60)
    assert index.choice.factory == "IVF16_HNSW16,Flat"
    index.add(np.arange(800, 2000), vectors[800:2000])
    assert index.wait_idle(60)
    assert index.choice.factory == "IVF32_HNSW16,SQfp16"
    index.remove(np.arange(200, 2000))
    assert index.wait_idle(60)
    assert index.choice.factory == ""
    assert index.keys.tolist() == list(range(200))
    assert index.search(vectors[7:8], 1).keys.tolist() == [[7]]


def test_a_filter_far_from_the_query_finds_its_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shoes ask among shirts: the lists near the query hold nothing allowed, and the nearest of the others are read."""
    rng = np.random.default_rng(5)
    shirts, shoes = rng.normal(size=(2, 1, WIDE))
    vectors = normalise(np.concatenate([shirts + rng.normal(size=(700, WIDE)), shoes + rng.normal(size=(3300, WIDE))]))
    index = opened("faiss:IVF64_HNSW16,Flat?recall=0.95")
    index.add(np.arange(4000), vectors)
    assert index.wait_idle(60)
    exact = open_index("exact:", dim=WIDE)
    exact.add(np.arange(4000), vectors)
    monkeypatch.setattr(structure, "CLUSTERED_LIST_FACTOR", 8)
    asked, allowed = vectors[3000:3100], np.arange(700)
    assert index._sealed is not None
    assert index._sealed._filter(allowed).selection.lists is not None
    assert agreement(index.search(asked, 10, allowed), exact.search(asked, 10, allowed)) >= 0.98
    assert index.search(asked, 700, allowed).keys.min() >= 0


def test_a_filter_that_is_asked_often_gets_a_structure_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = looks(4200)
    index, exact = opened("faiss:IVF64_HNSW16,Flat?recall=0.95"), open_index("exact:", dim=WIDE)
    for each in (index, exact):
        each.add(np.arange(4000), vectors[:4000])
    assert index.wait_idle(60)
    allowed = np.flatnonzero(np.random.default_rng(3).random(4100) < 0.25)
    kept = RowFilter(allowed)

    def subindex(row_filter: RowFilter) -> Structure | None:
        assert index._sealed is not None
        return row_filter.cached("sealed", index._sealed._version, index._sealed._filter).subindex

    subindexes = []
    for at in range(4000, 4000 + 5 * sealed.SUBINDEX_SEARCHES, 5):
        asked = vectors[at : at + 5]
        assert agreement(index.search(asked, 10, kept), exact.search(asked, 10, allowed)) >= 0.9
        subindexes.append(subindex(kept))
    assert subindexes == [None] * sealed.SUBINDEX_SEARCHES
    asked = vectors[4000:4200]
    assert agreement(index.search(asked, 10, kept), exact.search(asked, 10, allowed)) >= 0.98
    assert subindex(kept) is not None
    assert index.search(asked[:1], 2000, kept).keys[0, len(allowed[allowed < 4000]) :].max() == -1
    # Of many filters, only the latest keep theirs.
    monkeypatch.setattr(sealed, "MAX_SUBINDEXES", 1)
    another = RowFilter(allowed[:-1])
    for _ in range(sealed.SUBINDEX_SEARCHES + 1):
        index.search(asked[:5], 10, another)
    assert subindex(another) is not None
    assert subindex(kept) is None
    # What is added, replaced and removed afterwards counts at once.
    gone, moved = allowed[:2]
    fresh = allowed[allowed >= 4000][0]
    for each in (index, exact):
        each.remove(np.array([gone]))
        each.add(np.array([moved, fresh]), asked[:2])
    for _ in range(2):
        found = index.search(asked, 10, kept)
        assert found.keys[0, 0] == moved
        assert found.keys[1, 0] == fresh
        assert gone not in found.keys
        assert agreement(found, exact.search(asked, 10, allowed)) >= 0.98
        index.remove(np.array([allowed[2]]))
        exact.remove(np.array([allowed[2]]))


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_saved_comes_back(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "index.bin"
    index = opened(f"faiss:{kind}", path)
    vectors = looks(1500)
    index.add(np.arange(1000), vectors[:1000])
    assert index.wait_idle(60)
    index.remove(np.arange(0, 50))
    index.add(np.arange(2000, 2020), vectors[1000:1020])  # still in the growing segment
    index.save()
    again = opened(f"faiss:{kind}", path)
    assert np.array_equal(again.keys, index.keys)
    before, after = index.search(vectors[:30], 10), again.search(vectors[:30], 10)
    assert np.array_equal(before.keys, after.keys)
    assert np.allclose(before.scores, after.scores, atol=1e-6)
    again.add(np.arange(3000, 3200), vectors[1100:1300])
    assert again.wait_idle(60)
    assert len(again) == 950 + 20 + 200
    with pytest.raises(InputError, match=r"'faiss:HNSW8' was asked. Run 'lapel index rebuild'"):
        opened("faiss:HNSW8", path)


def test_a_failed_building_is_logged_and_the_index_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> Structure:
        raise MemoryError("no more")

    monkeypatch.setattr(Structure, "build", fail)
    index = opened("faiss:HNSW32")
    vectors = looks(900)
    index.add(np.arange(900), vectors)
    assert index.wait_idle(60)
    assert index.problem == "MemoryError: no more"
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("lapel.indexes.approximate", "ERROR")
    assert "'faiss:HNSW32' failed; it goes on" in record.message
    assert record.exc_info is not None
    assert index.search(vectors[5:6], 1).keys.tolist() == [[5]]


def test_the_choice_by_size_and_memory() -> None:
    options = Options(memory=10**9)
    assert choose(400, dim=128, options=options).factory == ""
    assert choose(10**6, dim=128, options=options).factory == "IVF8192_HNSW16,Flat"
    assert choose(3 * 10**6, dim=128, options=options).factory == "IVF16384_HNSW16,SQfp16"
    assert choose(5 * 10**6, dim=128, options=options).factory == "IVF16384_HNSW16,PQ32x4fs,Refine(SQ8)"
    assert "milvus://" in choose(10**8, dim=128, options=options).why


def test_the_choice_where_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "device_memory", lambda: 8 * 10**9)
    large, small = Options(memory=10**11), Options(memory=10**8)
    assert choose(400, dim=128, options=large).factory == ""
    assert choose(10**7, dim=128, options=large).factory == "GPU"
    assert (
        choose(2 * 10**7, dim=128, options=large).factory == "IVF32768_HNSW16,Flat"
    )  # 5 GB in half precision, and none to grow
    assert choose(10**6, dim=128, options=small).factory != "GPU"  # 529 MB in float32


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size=3", "options recall, memory; found 'size'"),
        ("recall=2", "above 0 and at most 1; found 2.0"),
        ("recall=most", "not read as index options"),
        ("memory=some", "number of bytes such as 4GB"),
    ],
)
def test_options_that_cannot_be_used(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_index(f"faiss:auto?{text}")
