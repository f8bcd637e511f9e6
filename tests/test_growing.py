"""Indexes that grow: against the exact reference whatever was done, while another base is built, and across files."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from lapel.core.errors import InputError
from lapel.core.types import Matches
from lapel.core.vectors import Vectors, normalise
from lapel.indexes import VectorIndex, choice, graph, growing, open_index
from lapel.indexes.choice import Plan, current_spec
from lapel.indexes.compressed import Compressed
from lapel.indexes.graph import Graph
from lapel.indexes.growing import GrowingIndex
from lapel.indexes.structure import Structure
from lapel.testing import IndexContract
from lapel.testing.index import DIM

WIDE = 32
KINDS = ["HNSW16", "HNSW16_SQfp16", "IVF16,PQ8x4fs"]


class TestAuto(IndexContract):
    def open(self, dim: int = DIM, path: Path | None = None) -> VectorIndex:
        return open_index("faiss:auto", dim=dim, path=path)


class TestNamed(IndexContract):
    def open(self, dim: int = DIM, path: Path | None = None) -> VectorIndex:
        return open_index("faiss:HNSW16", dim=dim, path=path)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits a test reaches: structures from 300 rows, a tail of 100, exact up to 400, everything above 50 allowed rows
    not scanned."""
    monkeypatch.setattr(choice, "MIN_ROWS", 300)
    monkeypatch.setattr(growing, "TAIL_ROWS", 100)
    monkeypatch.setattr(growing, "SCAN_ROWS", 50)
    monkeypatch.setattr(graph, "SCANNED_ROWS", 200)
    monkeypatch.setattr(Compressed, "rows_at_once", 50)
    monkeypatch.setattr(choice, "MAX_EXACT_ROWS", 400)


def looks(n: int, seed: int = 0) -> Vectors:
    """Unit rows in clusters, as products are."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(20, WIDE))
    return normalise(centres[rng.integers(0, 20, n)] + rng.normal(size=(n, WIDE)) * 0.6)


def opened(spec: str, path: Path | None = None) -> GrowingIndex:
    index = open_index(spec, dim=WIDE, path=path)
    assert isinstance(index, GrowingIndex)
    return index


def agreement(found: Matches, wanted: Matches, tolerance: float = 1e-3) -> float:
    """Recall by score: an answer as near as the last wanted one is right, since equally near vectors share that
    place. 16 bits keep a cosine to about 3e-4."""
    there = wanted.keys >= 0
    last = np.where(there, wanted.scores, np.inf).min(axis=1, keepdims=True)
    right = (found.keys >= 0) & (found.scores >= last - tolerance)
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
    assert index.choice.name == kind
    for allowed in (None, np.arange(0, 2000, 2), np.arange(0, 2000, 40), np.arange(0)):
        found, wanted = index.search(vectors[:40], 10, allowed), exact.search(vectors[:40], 10, allowed)
        assert np.array_equal(found.keys >= 0, wanted.keys >= 0)  # k come back whenever k exist
        assert (np.diff(found.scores[:, : (found.keys[0] >= 0).sum()], axis=1) <= 0).all()
        if (wanted.keys >= 0).any():
            kept = 5e-3 if kind.startswith("IVF") else 1e-3  # a byte a number keeps it to about 5e-3
            assert agreement(found, wanted, kept) >= 0.95  # 0.99 is asked of 200 of its own rows; these are 40 others
            cosines = np.einsum("qkd,qd->qk", held[found.keys], vectors[:40])
            assert np.abs(np.where(found.keys >= 0, found.scores - cosines, 0)).max() < 0.1


@pytest.mark.parametrize("work", ["build", "extend"])
def test_nothing_done_while_a_segment_is_built_or_grows_is_lost(work: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work is held up; meanwhile vectors are searched, added, replaced and removed; then it goes on."""
    going, building = threading.Event(), threading.Event()
    begun = getattr(Graph, work)

    def slow(*given: object, **named: object) -> Structure:
        building.set()
        assert going.wait(30)
        built: Structure = begun(*given, **named)
        return built

    index, exact = opened("faiss:HNSW16"), open_index("exact:", dim=WIDE)
    vectors = looks(2000)
    first = 400 if work == "extend" else 0
    for target in (index, exact):
        target.add(np.arange(first), vectors[:first])
    assert index.wait_idle(60)
    monkeypatch.setattr(Graph, work, slow)
    for target in (index, exact):
        target.add(np.arange(first, 1000), vectors[first:1000])
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
    assert index.choice.name == "HNSW16"
    assert np.array_equal(index.keys, exact.keys)
    for asked in (vectors[1100:1150], vectors[1200:1210], vectors[100:150]):
        assert agreement(index.search(asked, 1), exact.search(asked, 1)) >= 0.98


def test_searches_go_on_while_segments_are_merged() -> None:
    index = opened("faiss:HNSW16")
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
    index = opened("faiss:HNSW16")
    vectors = looks(2000)
    index.add(np.arange(2000), vectors)
    assert index.wait_idle(60)
    index.remove(np.arange(0, 2000, 2))
    assert index.wait_idle(60)
    assert index._table.dead == 0
    assert len(index._table) == 1000
    assert index.search(vectors[1:2], 1).keys.tolist() == [[1]]


def test_auto_goes_through_its_stages_and_back() -> None:
    index = opened("faiss:auto?memory=400KB")
    vectors = looks(3000)
    index.add(np.arange(300), vectors[:300])
    assert index.choice.name == ""
    assert "scanning all of them is exact" in index.choice.why
    index.add(np.arange(300, 800), vectors[300:800])
    assert index.wait_idle(60)
    assert index.choice.name == "HNSW16"
    index.add(np.arange(800, 2000), vectors[800:2000])
    assert index.wait_idle(60)
    assert index.choice.name.startswith("IVF")
    index.remove(np.arange(200, 2000))
    assert index.wait_idle(60)
    assert index.choice.name == ""
    assert index.keys.tolist() == list(range(200))
    assert index.search(vectors[7:8], 1).keys.tolist() == [[7]]


def test_what_is_saved_while_rows_are_linked_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph has them already, the index has not taken them from its tail."""
    linked, going = threading.Event(), threading.Event()
    begun = Graph.extend

    def slow(graph: Graph, vectors: Vectors) -> None:
        begun(graph, vectors)
        linked.set()
        assert going.wait(30)

    index, vectors = opened("faiss:HNSW16", tmp_path / "index"), looks(800)
    index.add(np.arange(400), vectors[:400])
    assert index.wait_idle(60)
    monkeypatch.setattr(Graph, "extend", slow)
    index.add(np.arange(400, 800), vectors[400:])
    assert linked.wait(30)
    index.save()
    before = index.search(vectors[::20], 5)
    going.set()
    again = opened("faiss:HNSW16", tmp_path / "index")
    after = again.search(vectors[::20], 5)
    assert len(again) == 800
    assert agreement(after, before) >= 0.99


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_saved_comes_back(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "index.bin"
    index = opened(f"faiss:{kind}", path)
    vectors = looks(1500)
    index.add(np.arange(1000), vectors[:1000])
    assert index.wait_idle(60)
    index.remove(np.arange(0, 50))
    index.add(np.arange(2000, 2020), vectors[1000:1020])  # still in the tail
    index.save()
    again = opened(f"faiss:{kind}", path)
    assert np.array_equal(again.keys, index.keys)
    before, after = index.search(vectors[:30], 10), again.search(vectors[:30], 10)
    assert np.array_equal(before.keys, after.keys)
    assert np.allclose(before.scores, after.scores, atol=1e-6)
    again.add(np.arange(3000, 3200), vectors[1100:1300])
    assert again.wait_idle(60)
    assert len(again) == 950 + 20 + 200
    with pytest.raises(InputError, match=r"'faiss:IVF8,PQ8x4fs' was asked. Run 'lapel index rebuild'"):
        opened("faiss:IVF8,PQ8x4fs", path)


def test_a_failed_building_is_logged_and_the_index_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> Structure:
        raise MemoryError("no more")

    monkeypatch.setattr(Graph, "build", fail)
    index = opened("faiss:HNSW16")
    vectors = looks(900)
    index.add(np.arange(900), vectors)
    assert index.wait_idle(60)
    assert index.problem == "MemoryError: no more"
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("lapel.indexes.growing", "ERROR")
    assert "'faiss:HNSW16' failed; it goes on" in record.message
    assert record.exc_info is not None
    assert index.search(vectors[5:6], 1).keys.tolist() == [[5]]


def test_the_choice_by_size_and_memory() -> None:
    plan = Plan.parse("auto?memory=1GB", 128)
    assert plan.choose(400).name == ""
    assert plan.choose(10**6).name == "HNSW16"
    assert plan.choose(15 * 10**5).name == "HNSW16_SQfp16"
    assert plan.choose(5 * 10**6).name == "IVF16384,PQ32x4fs"
    assert "milvus://" in plan.choose(10**8).why


@pytest.mark.parametrize(
    ("named", "opened"),
    [
        ("faiss:auto?recall=0.9", "faiss:auto?recall=0.9"),
        ("faiss:Flat", "faiss:Flat"),
        ("faiss:HNSW16", "faiss:HNSW16"),
        ("faiss:IVF1024,PQ32x4fs?memory=1GB", "faiss:IVF1024,PQ32x4fs?memory=1GB"),
        ("faiss:IVF1024,SQ8?recall=0.9", "faiss:auto?recall=0.9"),
        ("faiss:HNSW16,Flat", "faiss:auto"),
        ("faiss:HNSW32_SQfp16?recall=0.9", "faiss:HNSW16_SQfp16?recall=0.9"),
        ("faiss:SQ8", "faiss:auto"),
        ("faiss:NOTHING", "faiss:NOTHING"),
        ("milvus://lite", "milvus://lite"),
    ],
)
def test_a_kind_that_is_built_no_more_is_kept_as_auto(named: str, opened: str) -> None:
    assert current_spec(named) == opened


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
