"""Exact search in half precision, ranked in float32: the same answers as the reference, also where half precision
cannot tell."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

from lapel.core.vectors import Keys, Vectors, normalise
from lapel.indexes import RowFilter, VectorIndex, device, growing, open_index
from lapel.indexes.growing import GrowingIndex

WIDE, COUNT = 24, 3000
SEED = np.random.default_rng(4)
SPREAD = normalise(SEED.normal(size=(COUNT, WIDE)))
# Around eight points, nearer to each other than float16 can tell: its steps are 5e-4 of a number.
CLOSE = normalise(SPREAD[SEED.integers(0, 8, COUNT)] + 2e-5 * SEED.normal(size=(COUNT, WIDE)))
COPIES = SPREAD[SEED.integers(0, 4, COUNT)]
ASKED = normalise(SEED.normal(size=(5, WIDE)))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks and steps that 3,000 vectors fill many of."""
    monkeypatch.setattr(device, "BLOCK_ROWS", 8)
    monkeypatch.setattr(device, "EXTRA_CANDIDATES", 6)
    monkeypatch.setattr(device, "STEP_NUMBERS", {"cpu": 500 * WIDE})
    monkeypatch.setattr(device, "MAX_SCORES", 2000)
    monkeypatch.setattr(device, "MAX_QUERIES", 3)
    monkeypatch.setattr(device, "CHUNK_ROWS", 700)
    monkeypatch.setattr(device.DeviceRows, "rows_at_once", 700)
    monkeypatch.setattr(growing, "TAIL_ROWS", 100)
    monkeypatch.setattr(growing, "SCAN_ROWS", 30)


@pytest.fixture
def index() -> Iterator[GrowingIndex]:
    index = open_index("torch:cpu", dim=WIDE)
    assert isinstance(index, GrowingIndex)
    yield index
    index.close()


def agrees(
    index: VectorIndex, held: dict[int, Vectors], queries: Vectors, k: int, allowed: Keys | RowFilter | None = None
) -> None:
    """The same scores in the same order as the reference's, each the key's own, no key twice, equal scores by ascending
    key."""
    exact = open_index("exact:", dim=WIDE)
    exact.add(np.array(list(held), np.int64), np.array(list(held.values()), np.float32).reshape(-1, WIDE))
    wanted, found = exact.search(queries, k, allowed), index.search(queries, k, allowed)
    assert np.allclose(found.scores, wanted.scores, atol=1e-6)
    assert ((found.keys < 0) == (wanted.keys < 0)).all()
    for query, keys, scores in zip(queries, found.keys.tolist(), found.scores, strict=True):
        there = [key for key in keys if key >= 0]
        assert len(set(there)) == len(there)
        own = np.array([held[key] @ query for key in there])
        assert np.allclose(own, scores[: len(there)], atol=1e-6)
        assert all(a < b for a, b, s, t in zip(there, there[1:], scores, scores[1:], strict=False) if s == t)


@pytest.mark.parametrize("vectors", [SPREAD, CLOSE, COPIES], ids=["spread", "close", "copies"])
@pytest.mark.parametrize("k", [1, 10, 500])
def test_agrees_with_exact(index: GrowingIndex, vectors: Vectors, k: int) -> None:
    index.add(np.arange(COUNT), vectors)
    held = dict(enumerate(vectors))
    queries = np.concatenate([ASKED, vectors[:2]])
    agrees(index, held, queries, k)
    for share in (0.0005, 0.01, 0.3, 1.0):
        agrees(index, held, queries, k, np.random.default_rng(1).permutation(COUNT)[: max(1, int(share * COUNT))])


def test_what_half_precision_cannot_tell_is_ranked_in_full(
    index: GrowingIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    above = device.DeviceRows._above
    monkeypatch.setattr(device.DeviceRows, "_above", lambda *given: (asked.append(given), above(*given))[1])
    index.add(np.arange(COUNT), SPREAD)
    index.search(ASKED, 3)
    assert not asked
    index.add(np.arange(COUNT), CLOSE)
    index.search(CLOSE[:1], 10)
    assert len(asked) == 1


def test_a_kept_filter_follows_the_index(index: GrowingIndex) -> None:
    index.add(np.arange(COUNT), SPREAD)
    held = dict(enumerate(SPREAD))
    for allowed in (RowFilter(np.arange(40, 90)), RowFilter(np.arange(10, 2000))):
        for _ in range(2):
            agrees(index, held, ASKED, 7, allowed)
        index.remove(np.array([50, 60]))
        agrees(index, {key: held[key] for key in held if key not in (50, 60)}, ASKED, 7, allowed)
        index.add(np.array([50, 60]), SPREAD[[50, 60]])
        agrees(index, held, ASKED, 7, allowed)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["add", "remove"]), st.lists(st.integers(0, 400), max_size=60)), max_size=12),
    st.integers(0, 2**31),
)
def test_any_order_of_additions_and_removals(steps: list[tuple[str, list[int]]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    index = open_index("torch:cpu", dim=WIDE)
    assert isinstance(index, GrowingIndex)
    held: dict[int, Vectors] = {}
    for step, some in steps:
        keys = np.array(some, np.int64)
        if step == "add":
            vectors = normalise(rng.normal(size=(len(keys), WIDE)))
            index.add(keys, vectors)
            held |= dict(zip(keys.tolist(), vectors, strict=True))
        else:
            assert index.remove(keys) == len({key for key in some if held.pop(key, None) is not None})
        assert (len(index), index.keys.tolist()) == (len(held), sorted(held))
    agrees(index, held, ASKED, 9)
    agrees(index, held, ASKED, 9, np.arange(0, 400, 3))


def test_adding_one_by_one_doubles_the_room(index: GrowingIndex) -> None:
    rooms = set()
    for key in range(200):
        index.add(np.array([key]), SPREAD[key : key + 1])
        assert isinstance(index._structure, device.DeviceRows)
        rooms.add(len(index._structure._near))
    assert rooms == {8, 16, 32, 64, 128, 256}
