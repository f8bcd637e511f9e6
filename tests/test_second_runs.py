"""Neighbours that a store keeps: the same as those of a run from nothing, whatever came and went since."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lapel
from inputs.looks import look_products, write_looks
from lapel.core.vectors import Vectors, normalise
from lapel.indexes import neighbours
from lapel.indexes.neighbours import nearest, nearest_others
from lapel.insight import kept_neighbours
from lapel.insight.kept_file import digests_of
from lapel.insight.kept_neighbours import FILE, Lists, expanded, nearest_kept, up_to_date

K, KEPT = 7, 12


def unit(rng: np.random.Generator, count: int) -> Vectors:
    return normalise(rng.normal(size=(count, 12)).astype(np.float32))


def run(vectors: Vectors, before: Lists | None) -> tuple[Lists, tuple[np.ndarray, np.ndarray], int]:
    """The lists, what is told of each row, and how many vectors were looked up."""
    digests, first, member_of = np.unique(digests_of(vectors), return_index=True, return_inverse=True)
    looked_up = [0]
    lists = up_to_date(
        before, digests, vectors[first], K + 1, kept=KEPT, progress=lambda _done, total: looked_up.append(total)
    )
    return lists, expanded(lists, member_of, min(K, len(vectors) - 1)), looked_up[-1]


@pytest.mark.parametrize("seed", range(8))
def test_what_came_and_went_is_mended_as_if_all_were_looked_up(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = unit(rng, int(rng.integers(3, 300)))
    vectors[-3:] = vectors[0]  # one picture several times
    lists = None
    for _ in range(5):
        lists, mended, _ = run(vectors, lists)
        _, anew, _ = run(vectors, None)
        assert np.array_equal(mended[0], anew[0])
        assert np.array_equal(mended[1], anew[1])
        assert np.allclose(mended[1], nearest_others(vectors, K)[1], atol=1e-6)
        gone = rng.random(len(vectors)) < rng.choice([0, 0.02, 0.2])
        gone[:2] = False
        came = unit(rng, int(rng.integers(0, max(2, len(vectors) // 15))))
        vectors = np.concatenate([vectors[~gone], came, vectors[:1]])
        vectors = vectors[rng.permutation(len(vectors))]


def test_only_what_is_new_is_looked_up() -> None:
    rng = np.random.default_rng(0)
    vectors = unit(rng, 500)
    lists, _, looked_up = run(vectors, None)
    assert looked_up == 500
    assert run(vectors, lists)[2] == 0
    replaced = np.concatenate([vectors[3:], unit(rng, 3)])
    assert run(replaced, lists)[2] == 3
    assert run(np.concatenate([vectors, unit(rng, 100)]), lists)[2] == 600  # too much is new


def test_a_list_with_too_many_holes_is_looked_up_again() -> None:
    vectors = unit(np.random.default_rng(1), 200)
    lists, (near, _), _ = run(vectors, None)
    kept = np.delete(np.arange(200), near[0, :6])  # of 12 others-and-itself 6 are left, and 8 are wanted
    _, mended, looked_up = run(vectors[kept], lists)
    assert 1 <= looked_up < 60
    assert np.array_equal(mended[0], run(vectors[kept], None)[1][0])


def test_where_cells_are_looked_in_nothing_gets_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "EXACT_ROWS", 500)
    monkeypatch.setattr(neighbours, "CELLS_LOOKED", 2)
    monkeypatch.setattr(kept_neighbours, "FEW", 1000)
    monkeypatch.setattr(neighbours.neighbour_index, "__defaults__", (500,))
    rng = np.random.default_rng(2)
    vectors = unit(rng, 3000)
    before, (near, _), _ = run(vectors, None)

    def found(rows: np.ndarray, of: Vectors) -> float:
        true = nearest(of, of, K + 1).keys[:, 1:]
        return float(np.mean([len(set(a) & set(b)) / K for a, b in zip(rows.tolist(), true.tolist(), strict=True)]))

    missed = found(near, vectors)
    assert missed < 0.99  # or this says nothing
    changed = np.concatenate([vectors[40:], unit(rng, 60)])
    mended, (near, _), _ = run(changed, before)
    assert found(near, changed) >= missed
    left = kept_neighbours._survivors(before, mended.digests)
    assert (mended.cosines >= left.cosines - 1e-6).all()


def test_what_was_looked_up_is_kept_when_it_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_neighbours, "BLOCK", 16)
    products, vectors = look_products(60)

    def stop(done: int, _total: int) -> None:
        if done >= 32:
            raise KeyboardInterrupt

    with write_looks(tmp_path, products, vectors) as store:
        with pytest.raises(KeyboardInterrupt):
            nearest_kept(store._context, vectors, 10, progress=stop)
        left: list[int] = []
        found = nearest_kept(store._context, vectors, 10, progress=lambda _done, total: left.append(total))
        assert left[0] == 60 - 32
        assert np.array_equal(found[0], nearest_others(vectors, 10)[0])


def asked(store: lapel.Store, monkeypatch: pytest.MonkeyPatch) -> tuple[object, int]:
    """What is doubted, and of how many products neighbours were looked up."""
    counts: list[int] = []

    def counting(queries: Vectors, among: object, k: int) -> object:
        counts.append(len(queries))
        return nearest(queries, among, k)  # type: ignore[arg-type]

    monkeypatch.setattr(kept_neighbours, "nearest", counting)
    return store.audit_labels().suggestions, sum(counts)


def test_a_second_audit_of_labels_costs_what_came_since(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    products, vectors = look_products(200)
    file = tmp_path / "shop" / FILE
    with write_looks(tmp_path, products[:190], vectors[:190]) as store:
        first, looked_up = asked(store, monkeypatch)
        assert looked_up == 190
        assert asked(store, monkeypatch) == (first, 0)
        store.audit_labels(where=["gender=Men"])  # of some products: those of all stay
        assert asked(store, monkeypatch) == (first, 0)
        store.remove(["p7"])
    with write_looks(tmp_path, products[190:], vectors[190:]) as store:
        mended, looked_up = asked(store, monkeypatch)
        assert looked_up == 10
        good = file.read_bytes()
        middle = len(good) // 2
        for damaged in (b"", good[:middle], good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :]):
            file.write_bytes(damaged)
            assert asked(store, monkeypatch) == (mended, 199)
        file.unlink()
    with lapel.open_store(tmp_path / "shop", read_only=True) as store:
        assert asked(store, monkeypatch) == (mended, 199)
        assert not file.exists()
        file.write_bytes(good)
        assert asked(store, monkeypatch) == (mended, 0)


def test_the_neighbours_of_another_store_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").mkdir()
    products, vectors = look_products(80)
    with write_looks(tmp_path / "other", *look_products(80, seed=5)) as store:
        asked(store, monkeypatch)
    with write_looks(tmp_path, products, vectors) as store:
        (tmp_path / "shop" / FILE).write_bytes((tmp_path / "other" / "shop" / FILE).read_bytes())
        found, looked_up = asked(store, monkeypatch)
        assert looked_up == 80
        (tmp_path / "shop" / FILE).unlink()
        assert asked(store, monkeypatch)[0] == found
