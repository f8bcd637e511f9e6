"""The measures: answers a person can see, a slow obvious loop beside each, and what must hold for any input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lapel.core.errors import InputError
from lapel.core.metrics import (
    Estimate,
    Hubness,
    average_precision,
    effective_rank,
    hubness,
    mean_of,
    precision_at,
    proportion,
    recall_at,
    reciprocal_rank,
)


def answers(*texts: str) -> np.ndarray:
    """'.x.x' is one query whose second and fourth answers are relevant."""
    return np.array([[letter == "x" for letter in text] for text in texts])


SEEN = answers("x...", ".x.x", "....", "xxxx")
TOTAL = np.array([1, 3, 2, 10])


def test_by_eye() -> None:
    assert recall_at(SEEN, 1).tolist() == [1, 0, 0, 1]
    assert recall_at(SEEN, 2).tolist() == [1, 1, 0, 1]
    assert precision_at(SEEN, 1).tolist() == [1, 0, 0, 1]
    assert precision_at(SEEN, 4).tolist() == [0.25, 0.5, 0, 1]
    assert reciprocal_rank(SEEN, 4).tolist() == [1, 0.5, 0, 1]
    assert reciprocal_rank(SEEN, 1).tolist() == [1, 0, 0, 1]
    # second query: relevant at ranks 2 and 4, of 3 in all: (1/2 + 2/4) / 3; last: 4 of 10 seen, and 4 is all one can
    # see
    assert average_precision(SEEN, TOTAL, 4).tolist() == pytest.approx([1, 1 / 3, 0, 1])
    assert average_precision(SEEN, TOTAL, 2).tolist() == pytest.approx([1, 1 / 4, 0, 1])


# --- slow obvious loops ---


def slow_ap(row: list[bool], total: int, k: int) -> float:
    good, total_precision = 0, 0.0
    for rank, relevant in enumerate(row[:k], start=1):
        if relevant:
            good += 1
            total_precision += good / rank
    return total_precision / min(total, k)


def slow_rr(row: list[bool], k: int) -> float:
    for rank, relevant in enumerate(row[:k], start=1):
        if relevant:
            return 1 / rank
    return 0.0


@st.composite
def judged(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    depth = draw(st.integers(1, 12))
    rows = draw(st.lists(st.lists(st.booleans(), min_size=depth, max_size=depth), min_size=1, max_size=8))
    relevant = np.array(rows, bool)
    more = draw(st.lists(st.integers(0, 5), min_size=len(rows), max_size=len(rows)))
    return relevant, np.maximum(relevant.sum(axis=1) + np.array(more), 1), draw(st.integers(1, depth))


@given(judged())
def test_against_loops(case: tuple[np.ndarray, np.ndarray, int]) -> None:
    relevant, total, k = case
    rows = relevant.tolist()
    assert recall_at(relevant, k).tolist() == [float(any(row[:k])) for row in rows]
    assert precision_at(relevant, k).tolist() == pytest.approx([sum(row[:k]) / k for row in rows])
    assert average_precision(relevant, total, k).tolist() == pytest.approx(
        [slow_ap(*pair, k) for pair in zip(rows, total, strict=True)]
    )
    assert reciprocal_rank(relevant, k).tolist() == pytest.approx([slow_rr(row, k) for row in rows])


@given(judged(), st.randoms(use_true_random=False))
def test_what_always_holds(case: tuple[np.ndarray, np.ndarray, int], random: object) -> None:
    relevant, total, k = case
    before = relevant.copy()
    recall, precision, rr = recall_at(relevant, k), precision_at(relevant, k), reciprocal_rank(relevant, k)
    ap = average_precision(relevant, total, k)
    for values in (recall, precision, rr, ap):
        assert ((values >= 0) & (values <= 1)).all()
    # Looking further can only help the two that ask for one relevant item, and AP is never above "anything found".
    if k < relevant.shape[1]:
        assert (recall_at(relevant, k + 1) >= recall).all()
        assert (reciprocal_rank(relevant, k + 1) >= rr).all()
    assert (rr <= recall).all()
    assert (precision <= recall).all()
    assert (ap <= recall + 1e-12).all()
    assert ((rr > 0) == (recall == 1)).all()
    # What comes after k does not matter, nor does the order of the queries.
    changed = relevant.copy()
    changed[:, k:] = ~changed[:, k:]
    assert (reciprocal_rank(changed, k) == rr).all()
    assert (
        average_precision(changed, total + relevant.shape[1], k)
        == average_precision(relevant, total + relevant.shape[1], k)
    ).all()
    order = np.random.default_rng(0).permutation(len(relevant))
    assert (average_precision(relevant[order], total[order], k) == ap[order]).all()
    # Moving a relevant answer one rank up never lowers AP.
    better = np.sort(~relevant, axis=1) == 0
    assert (average_precision(better, total, k) >= ap - 1e-12).all()
    assert (relevant == before).all()


@pytest.mark.parametrize("k", [0, 5, -1])
def test_k_within_the_depth(k: int) -> None:
    for measure in (recall_at, precision_at, reciprocal_rank):
        with pytest.raises(InputError, match="k must be 1 to 4"):
            measure(SEEN, k)
    with pytest.raises(InputError, match="k must be 1 to 4"):
        average_precision(SEEN, TOTAL, k)


def test_totals_must_fit() -> None:
    with pytest.raises(InputError, match="1 queries have no relevant item"):
        average_precision(SEEN, np.array([1, 3, 0, 10]), 4)
    with pytest.raises(InputError, match="more relevant items than there are"):
        average_precision(SEEN, np.array([1, 3, 2, 3]), 4)
    with pytest.raises(InputError, match="One total a query"):
        average_precision(SEEN, np.array([1, 3]), 4)
    with pytest.raises(InputError, match="bool"):
        recall_at(SEEN.astype(int), 1)


# --- intervals ---


def test_wilson_by_the_book() -> None:
    # Worked values of Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    for hits, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        found = proportion(np.r_[np.ones(hits), np.zeros(n - hits)])
        assert (round(found.low, 4), round(found.high, 4)) == (low, high)
        assert (found.value, found.count) == (hits / n, n)


@given(st.integers(0, 60), st.integers(0, 60))
def test_wilson_is_symmetric_and_within_bounds(ones: int, zeros: int) -> None:
    if ones + zeros:
        a = proportion(np.r_[np.ones(ones), np.zeros(zeros)])
        b = proportion(np.r_[np.ones(zeros), np.zeros(ones)])
        assert 0 <= a.low <= a.value <= a.high <= 1
        assert (a.low, a.high) == pytest.approx((1 - b.high, 1 - b.low))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
@settings(max_examples=50, deadline=None)
def test_bootstrap_holds_the_mean_and_repeats(values: list[float]) -> None:
    array = np.array(values)
    found = mean_of(array)
    assert found == mean_of(array)
    assert min(values) - 1e-9 <= found.low <= found.value <= found.high <= max(values) + 1e-9
    assert found.value == pytest.approx(np.mean(values))


def test_bootstrap_agrees_with_the_normal_interval_for_many() -> None:
    values = np.random.default_rng(3).random(2000)
    found, error = mean_of(values), values.std() / np.sqrt(2000)
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error * 2)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error * 2)


def test_bootstrap_in_pieces_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(4).random(50)
    whole = mean_of(values, seed=5)
    monkeypatch.setattr("lapel.core.metrics._CELLS", 700)
    assert mean_of(values, seed=5) == whole
    assert mean_of(values, seed=6) != whole


def test_bad_values() -> None:
    for measure in (proportion, mean_of):
        with pytest.raises(InputError, match="at least one query"):
            measure(np.empty(0))
        with pytest.raises(InputError, match="not finite"):
            measure(np.array([0.0, np.nan]))
    with pytest.raises(InputError, match="zeros and ones"):
        proportion(np.array([0.5]))
    with pytest.raises(InputError, match="inside its interval"):
        Estimate(0.5, 0.6, 0.7, 3)


def test_effective_rank_by_eye() -> None:
    assert effective_rank(np.eye(5)) == pytest.approx(5)
    assert effective_rank(np.ones((7, 3))) == pytest.approx(1)  # one line
    assert effective_rank(np.eye(6)[[0, 0, 0, 0, 1, 1, 1, 1]]) == pytest.approx(
        2
    )  # two of six directions, equally often
    # singular values 3 and 1: shares 3/4 and 1/4
    expected = np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert effective_rank(np.array([[3.0, 0.0], [0.0, 1.0]])) == pytest.approx(expected)
    # not changed by turning or scaling
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(2, 2)))[0]
    assert effective_rank(7 * np.array([[3.0, 0.0], [0.0, 1.0]]) @ turn) == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(50, 8), (8, 50), (9000, 3)])
def test_effective_rank_equals_the_obvious_one(shape: tuple[int, int]) -> None:
    rows = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    singular = np.linalg.svd(rows.astype(np.float64), compute_uv=False)
    share = singular / singular.sum()
    assert effective_rank(rows) == pytest.approx(np.exp(-sum(p * np.log(p) for p in share)), rel=1e-6)


def test_hubness_by_eye() -> None:
    ring = np.array([[1], [2], [3], [0]])  # each is the nearest of exactly one
    assert hubness(ring, 4) == Hubness(most=1, never=0.0, skewness=0.0)
    star = np.array([[1], [0], [0], [0]])  # 0 is everybody's nearest, 2 and 3 nobody's
    found = hubness(star, 4)
    assert (found.most, found.never) == (3, 0.5)
    # times 3, 1, 0, 0 around 1: cubes 8, 0, -1, -1 of mean 1.5; squares 4, 0, 1, 1 of mean 1.5
    assert found.skewness == pytest.approx(1.5 / 1.5**1.5)


def test_geometry_refuses_what_it_cannot_judge() -> None:
    for rows in (np.zeros((3, 2)), np.full((2, 2), np.nan), np.empty((0, 4)), np.ones(3)):
        with pytest.raises(InputError, match="effective rank needs"):
            effective_rank(rows)
    for neighbours in (np.array([[4]]), np.array([[-1]]), np.empty((0, 3), int), np.array([1, 2])):
        with pytest.raises(InputError, match=r"Hubness needs .* positions from 0 to 3"):
            hubness(neighbours, 4)
