"""The indexes: each through the one contract, FAISS compared with the reference, the reference with a loop."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lapel.core.errors import InputError
from lapel.core.vectors import normalise
from lapel.indexes import VectorIndex, open_index
from lapel.indexes.base import ReadWriteLock
from lapel.indexes.rows import best_matches
from lapel.testing import IndexContract
from lapel.testing.index import DIM, EAST, keys, rows


class TestExact(IndexContract):
    def open(self, dim: int = DIM, path: Path | None = None) -> VectorIndex:
        return open_index("exact:", dim=dim, path=path)

    def test_kinds(self) -> None:
        with pytest.raises(InputError, match="no kinds; found 'exact:HNSW'"):
            open_index("exact:HNSW")


class TestTorch(IndexContract):
    def open(self, dim: int = DIM, path: Path | None = None) -> VectorIndex:
        pytest.importorskip("torch")
        return open_index("torch:cpu", dim=dim, path=path)

    def test_kinds(self) -> None:
        pytest.importorskip("torch")
        with pytest.raises(InputError, match="'torch:abacus' names no device; here are cpu"):
            open_index("torch:abacus")


class TestFaiss(IndexContract):
    def open(self, dim: int = DIM, path: Path | None = None) -> VectorIndex:
        return open_index("faiss:Flat", dim=dim, path=path)

    @pytest.mark.parametrize("kind", ["", "flat", "IVF", "Flat,Flat"])
    def test_kinds(self, kind: str) -> None:
        with pytest.raises(InputError, match=f"There is no index 'faiss:{kind}'.*faiss:auto"):
            open_index(f"faiss:{kind}")

    def test_another_indexes_file(self, tmp_path: Path) -> None:
        path = tmp_path / "index.bin"
        index = open_index("exact:", dim=DIM, path=path)
        index.add(keys(1), rows(EAST))
        index.save()
        with pytest.raises(InputError, match="is 'exact:'; 'faiss:Flat' was asked"):
            self.open(path=path)

    def test_a_failed_save_leaves_the_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "index.bin"
        index = self.open(path=path)
        index.add(keys(1), rows(EAST))
        index.save()
        index.add(keys(2), rows(EAST))

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("lapel.indexes.files.os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            index.save()
        assert [file.name for file in tmp_path.iterdir()] == ["index.bin"]
        assert self.open(path=path).keys.tolist() == [1]


def test_unknown_index() -> None:
    with pytest.raises(InputError, match=r"No index is called 'fais:'\. There are exact:, faiss:"):
        open_index("fais:Flat")


@pytest.mark.parametrize("spec", ["exact:", "faiss:Flat"])
def test_dim_must_be_positive(spec: str) -> None:
    with pytest.raises(InputError, match="at least 1 wide"):
        open_index(spec, dim=0)


def test_faiss_is_loaded_only_when_it_is_opened() -> None:
    code = "import sys, lapel.indexes; lapel.indexes.open_index('exact:', dim=4); sys.exit('faiss' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- FAISS against the reference -------------------------------------------------------------------------------------

# Few keys and few directions, so that sequences meet the same key and the same score often. All products are exact in
# float32.
DIRECTIONS = np.concatenate([np.eye(DIM), -np.eye(DIM), [[0.5, 0.5, 0.5, 0.5], [0.5, -0.5, 0.5, -0.5]]]).astype(
    np.float32
)
some_keys = st.lists(st.integers(0, 30), max_size=12)
directions = st.lists(st.integers(0, len(DIRECTIONS) - 1), max_size=12)
adds = st.tuples(st.just("add"), some_keys, directions)
removes = st.tuples(st.just("remove"), some_keys, st.none())
searches = st.tuples(st.just("search"), st.none() | some_keys, st.tuples(directions, st.integers(1, 40)))


@settings(max_examples=150, deadline=None)
@given(st.lists(adds | removes | searches, max_size=25))
def test_faiss_answers_as_exact_whatever_was_done(operations: list[tuple[str, list[int] | None, object]]) -> None:
    exact, fast = open_index("exact:", dim=DIM), open_index("faiss:Flat", dim=DIM)
    for what, some, more in operations:
        named = None if some is None else np.array(some, np.int64)
        if what == "add":
            count = min(len(named), len(more))
            for index in (exact, fast):
                index.add(named[:count], DIRECTIONS[more[:count]])
        elif what == "remove":
            assert exact.remove(named) == fast.remove(named)
        else:
            asked, k = more
            expected, found = (index.search(DIRECTIONS[asked], k, named) for index in (exact, fast))
            assert (expected.keys == found.keys).all()
            assert (expected.scores == found.scores).all()
        assert exact.keys.tolist() == fast.keys.tolist()
        assert len(exact) == len(fast)


@pytest.mark.parametrize("queries", [1, 3, 40])
@pytest.mark.parametrize("share", [None, 0.01, 0.3, 0.95])
def test_faiss_answers_as_exact_on_128_numbers(queries: int, share: float | None) -> None:
    rng = np.random.default_rng(7)
    exact, fast = open_index("exact:"), open_index("faiss:Flat")
    held = rng.permutation(5000)[:3000]
    vectors = normalise(rng.normal(size=(3000, 128)))
    for index in (exact, fast):
        index.add(held, vectors)
    asked = normalise(rng.normal(size=(queries, 128)))
    allowed = None if share is None else rng.permutation(5000)[: int(5000 * share)]
    for k in (1, 10, 101):
        expected, found = exact.search(asked, k, allowed), fast.search(asked, k, allowed)
        assert np.allclose(expected.scores, found.scores, atol=2e-6)
        # Keys may change places only where scores are equal to float rounding.
        swapped = expected.keys != found.keys
        assert swapped.mean() < 0.01


@given(st.integers(1, 5), st.integers(1, 30), st.integers(1, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_best_matches_against_sorting_a_list(queries: int, count: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, keys = rng.integers(-3, 3, (queries, count)).astype(np.float32), rng.permutation(count)
    found = best_matches(scores, keys, k)
    for query in range(queries):
        ranked = sorted(zip((-scores[query]).tolist(), keys.tolist(), strict=True))[:k]
        padded = [key for _, key in ranked] + [-1] * (k - len(ranked))
        assert found.keys[query].tolist() == padded


def test_readers_and_writers_together() -> None:
    """Threads search while one adds, replaces and removes; nothing fails and no answer mixes two states."""
    index = open_index("faiss:Flat", dim=DIM)
    index.add(np.arange(100), np.tile(EAST, (100, 1)))
    stop, problems = threading.Event(), []

    def read() -> None:
        try:
            while not stop.is_set():
                matches = index.search(rows(EAST), 150)
                there = matches.keys[0] >= 0
                if there.sum() not in (100, 150) or (matches.scores[0][there] != 1).any():
                    problems.append(matches)
                index.search(rows(EAST), 3, np.arange(0, 6000, 7))
        except Exception as error:
            problems.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(40):
        index.add(np.arange(100, 5100), np.tile(EAST, (5000, 1)))
        assert index.remove(np.arange(100, 5100)) == 5000
    stop.set()
    for reader in readers:
        reader.join()
    assert problems == []
    assert len(index) == 100


def test_a_writer_is_alone_and_goes_before_later_readers() -> None:
    lock, order = ReadWriteLock(), list[str]()

    def write() -> None:
        with lock.writing():
            order.append("write begins")
            time.sleep(0.05)
            order.append("write ends")

    def read() -> None:
        with lock.reading():
            order.append("late read")

    writer, late = threading.Thread(target=write), threading.Thread(target=read)
    with lock.reading(), lock.reading():  # readers together
        writer.start()
        while not lock._entry.locked():
            time.sleep(0.001)
        late.start()
        time.sleep(0.05)
        order.append("early reads end")
    writer.join()
    late.join()
    assert order == ["early reads end", "write begins", "write ends", "late read"]


@pytest.mark.parametrize("rows", [8_000, 8_001, 20_000])
def test_two_threads_find_what_the_reference_finds(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above a size each of two threads scans half: the same keys and scores, also for ties across the middle and the
    k-th place."""
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    vectors = normalise(np.random.default_rng(rows).normal(size=(rows, 16)))
    vectors[rows // 2 - 3 : rows // 2 + 3] = vectors[0]  # six twins around the middle
    keys = np.arange(rows) * 3
    exact, fast = open_index("exact:", dim=16), open_index("faiss:Flat", dim=16)
    exact.add(keys, vectors)
    fast.add(keys, vectors)
    for queries, k in ((vectors[:1], 4), (vectors[:1], 50), (vectors[5:8], 7)):
        wanted, found = exact.search(queries, k), fast.search(queries, k)
        assert np.allclose(found.scores, wanted.scores, atol=1e-6)
        assert (found.keys == wanted.keys).mean() > 0.98
    assert fast.search(vectors[:1], 4).keys[0, 0] == 0
