"""Filters of a graph: few rows are scanned, some are looked for in the cells around the query, many walk the graph."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from lapel.core.vectors import Keys, Vectors, normalise
from lapel.indexes import RowFilter, graph, growing, open_index
from lapel.indexes.growing import GrowingIndex

ROWS, DIM = 5000, 8


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    rows = normalise(np.random.default_rng(0).normal(size=(ROWS, DIM)))
    rows[1::2] = rows[::2]  # every picture twice, as shops sell them
    return rows


@pytest.fixture
def index(vectors: Vectors) -> Iterator[GrowingIndex]:
    index = open_index("faiss:auto", dim=DIM)
    assert isinstance(index, GrowingIndex)
    index.add(np.arange(ROWS), vectors)
    index.wait_idle()
    assert index._structure is not None
    yield index
    index.close()


def exact(vectors: Vectors, allowed: Keys, queries: Vectors, k: int) -> list[list[int]]:
    """The answer by sorting all scores; equal scores by ascending key."""
    scores = queries @ vectors[allowed].T
    return [allowed[np.lexsort((allowed, -np.round(row, 5)))][:k].tolist() for row in scores]


@pytest.mark.parametrize("count", [1, 7, 400, 1999])
def test_few_rows_are_exact_however_often(index: GrowingIndex, vectors: Vectors, count: int) -> None:
    rng = np.random.default_rng(count)
    allowed = np.sort(rng.permutation(ROWS)[:count])
    kept, k = RowFilter(allowed), 6
    for queries in (3, 40, 1):
        asked = normalise(rng.normal(size=(queries, DIM)))
        found = index.search(asked, k, kept)
        assert [row[: len(allowed)] for row in found.keys.tolist()] == exact(vectors, allowed, asked, k)
    index.remove(allowed[:1])  # what is gone is not found, and what is new is
    index.add(np.array([ROWS]), vectors[:1])
    more = RowFilter(np.r_[allowed, ROWS])
    for _ in range(3):
        assert allowed[0] not in index.search(vectors[:1], k, kept).keys
        assert index.search(vectors[:1], 1, more).keys[0, 0] in (ROWS, *allowed[allowed <= 1])


@pytest.mark.parametrize(("share", "is_wide"), [(0.1, False), (0.29, False), (0.31, True), (0.9, True)])
def test_both_ways_find_what_exact_search_finds(
    index: GrowingIndex, vectors: Vectors, share: float, is_wide: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "SCAN_ROWS", 100)
    monkeypatch.setattr(graph, "SCANNED_ROWS", 500)
    rng = np.random.default_rng(4)
    allowed = np.sort(rng.permutation(ROWS)[: int(share * ROWS)])
    asked, kept = normalise(rng.normal(size=(60, DIM))), RowFilter(allowed)
    assert index._structure is not None
    assert (share >= index._structure.wide_share(10, is_new=False)) == is_wide
    assert share >= index._structure.wide_share(10, is_new=True)
    for _ in range(2):
        last = np.sort(asked @ vectors[allowed].T, axis=1)[:, -10]
        found = index.search(asked, 10, kept)
        assert np.isin(found.keys, allowed).all()
        assert (
            found.scores >= last[:, None] - 1e-6
        ).mean() > 0.95  # 0.99 is asked of its own rows; these are others, of no clusters
        everything = index.search(asked[:2], ROWS, kept)  # k come back whenever k exist
        assert ((everything.keys >= 0).sum(axis=1) == len(allowed)).all()
        index.remove(np.setdiff1d(np.arange(0, ROWS, 50), allowed))  # others
        index.add(ROWS + np.arange(1500), vectors[:1500])
        index.wait_idle()


def test_a_query_far_from_all_that_a_wide_filter_lets_through(
    index: GrowingIndex, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of the nearest of all passes: the cells around it that hold such rows are looked at."""
    monkeypatch.setattr(growing, "SCAN_ROWS", 100)
    towards = vectors[0]
    allowed = np.sort(np.argsort(vectors @ towards)[: ROWS // 2])
    asked = np.stack([towards, -towards])
    found = index.search(asked, 10, RowFilter(allowed))
    last = np.sort(asked @ vectors[allowed].T, axis=1)[:, -10]
    assert np.isin(found.keys, allowed).all()
    assert (found.scores >= last[:, None] - 1e-6).mean() >= 0.8


def test_every_row_is_of_the_cell_it_is_nearest_to(index: GrowingIndex, vectors: Vectors) -> None:
    """Also rows that were linked later."""
    assert isinstance(index._structure, graph.Graph)
    cells = index._structure._cells
    scores = vectors @ cells.centres.T
    assert (scores[np.arange(ROWS), cells.of] >= scores.max(axis=1) - 1e-6).all()
    late = normalise(np.random.default_rng(8).normal(size=(1500, DIM)))
    index.add(ROWS + np.arange(1500), late)
    index.wait_idle()
    grown = index._structure._cells
    assert len(grown.of) == ROWS + 1500
    assert grown.centres is cells.centres
    rows, starts = grown.part(np.arange(0, 6500, 3))
    assert sorted(rows.tolist()) == list(range(0, 6500, 3))
    assert (np.diff(grown.of[rows].astype(int)) >= 0).all()
    assert (grown.of[rows[starts[3] : starts[4]]] == 3).all()
