"""A filter that is asked again and again: its few rows are kept together, answers stay exact, memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from lapel.core.vectors import Keys, Vectors, normalise
from lapel.indexes import RowFilter, linked, open_index
from lapel.indexes.approximate import ApproximateIndex

ROWS, DIM = 5000, 8


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    rows = normalise(np.random.default_rng(0).normal(size=(ROWS, DIM)))
    rows[1::2] = rows[::2]  # every picture twice, as shops sell them
    return rows


@pytest.fixture
def index(vectors: Vectors) -> Iterator[ApproximateIndex]:
    index = open_index("faiss:auto", dim=DIM)
    assert isinstance(index, ApproximateIndex)
    index.add(np.arange(ROWS), vectors)
    index.wait_idle()
    assert index._linked is not None
    yield index
    index.close()


def exact(vectors: Vectors, allowed: Keys, queries: Vectors, k: int) -> list[list[int]]:
    """The answer by sorting all scores; equal scores by ascending key."""
    scores = queries @ vectors[allowed].T
    return [allowed[np.lexsort((allowed, -np.round(row, 5)))][:k].tolist() for row in scores]


@pytest.mark.parametrize("count", [1, 7, 400])
def test_answers_stay_exact_however_often(index: ApproximateIndex, vectors: Vectors, count: int) -> None:
    rng = np.random.default_rng(count)
    allowed = np.sort(rng.permutation(ROWS)[:count])
    kept, k = RowFilter(allowed), 6
    for _ in range(4):
        queries = normalise(rng.normal(size=(3, DIM)))
        found = index.search(queries, k, kept)
        wanted = exact(vectors, allowed, queries, k)
        assert [row[: len(allowed)] for row in found.keys.tolist()] == wanted
    assert index._linked is not None
    assert [len(each.rows) for each in index._linked._copied] == [count]
    index.remove(allowed[:1])  # what is gone is not found, and what is new is
    index.add(np.array([ROWS]), vectors[:1])
    more = RowFilter(np.r_[allowed, ROWS])
    for _ in range(3):
        assert allowed[0] not in index.search(vectors[:1], k, kept).keys
        assert index.search(vectors[:1], 1, more).keys[0, 0] in (ROWS, *allowed[allowed <= 1])


def test_no_more_rows_are_kept_than_was_said(index: ApproximateIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linked, "MAX_COPIED_ROWS", 500)
    filters = [RowFilter(np.arange(at, at + 200)) for at in range(0, 1000, 200)]
    query = normalise(np.ones((1, DIM)))
    first = [index.search(query, 3, each).keys.tolist() for each in filters]
    for _ in range(3):
        assert [index.search(query, 3, each).keys.tolist() for each in filters] == first
        assert index._linked is not None
        assert sum(len(each.rows) for each in index._linked._copied) <= 500
    index.search(query, 3, RowFilter(np.arange(501)))
