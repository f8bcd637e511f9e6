# ruff: noqa: D102
"""What every index must do, as tests that any backend inherits: :class:`IndexContract`.

A package that brings an index subclasses it in its own tests and says how one is opened; pytest finds the inherited
tests by the subclass's name::

    from lapel.testing import IndexContract

    class TestMine(IndexContract):
        def open(self, dim=4, path=None):
            return MyIndex(dim=dim, path=path)

Set ``saves = False`` for an index that keeps nothing in files. ``lapel.indexes`` is the entry-point group that makes
``open_index("mine:")`` find it.

Vectors here are made of few exact numbers (0, 0.5, 1), so their products are exact in float32, equal scores are truly
equal and an answer can be checked by looking at it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lapel.core.errors import InputError, LapelError, QueryError
from lapel.indexes import RowFilter, VectorIndex

DIM = 4
EAST, NORTH, UP, LATE = np.eye(DIM, dtype=np.float32)
HALF = np.full(DIM, 0.5, np.float32)  # scores 0.5 against each axis


def keys(*values: int) -> np.ndarray:
    """(n,) int64 keys."""
    return np.array(values, np.int64)


def rows(*vectors: np.ndarray) -> np.ndarray:
    """(n, DIM) float32 rows."""
    return np.stack(vectors).astype(np.float32)


class IndexContract:
    """Subclass it, give ``open``, and every test below runs against your index."""

    saves = True  # set to False for an index that keeps nothing in files

    def open(self, dim: int = DIM, path: Path | None = None) -> VectorIndex:
        """A new index, or the one that was saved to ``path``."""
        raise NotImplementedError

    @pytest.fixture
    def index(self) -> Iterator[VectorIndex]:
        """An empty one."""
        index = self.open()
        yield index
        index.close()

    @pytest.fixture
    def four(self, index: VectorIndex) -> VectorIndex:
        """Keys 10, 20, 30, 40 look east, north, up and half of everything."""
        index.add(keys(10, 20, 30, 40), rows(EAST, NORTH, UP, HALF))
        return index

    # --- holding ---

    def test_new_index_is_empty(self, index: VectorIndex) -> None:
        assert (len(index), index.keys.tolist(), index.dim) == (0, [], DIM)
        assert index.keys.dtype == np.int64
        matches = index.search(rows(EAST, NORTH), 3)
        assert matches.keys.tolist() == [[-1] * 3] * 2
        assert np.isneginf(matches.scores).all()

    def test_add_holds_keys_sorted(self, index: VectorIndex) -> None:
        index.add(keys(30, 10), rows(UP, EAST))
        index.add(keys(20), rows(NORTH))
        index.add(keys(0, 99), rows(HALF, LATE))
        assert (len(index), index.keys.tolist()) == (5, [0, 10, 20, 30, 99])
        assert index.search(rows(EAST, NORTH, UP, LATE), 1).keys.ravel().tolist() == [10, 20, 30, 99]

    def test_adding_a_known_key_replaces(self, four: VectorIndex) -> None:
        four.add(keys(20, 50), rows(LATE, NORTH))
        assert four.keys.tolist() == [10, 20, 30, 40, 50]
        assert four.search(rows(NORTH, LATE), 1).keys.ravel().tolist() == [50, 20]

    def test_the_last_of_equal_keys_counts(self, index: VectorIndex) -> None:
        index.add(keys(7, 5, 7, 7), rows(EAST, NORTH, UP, LATE))
        assert index.keys.tolist() == [5, 7]
        assert index.search(rows(LATE), 1).keys.tolist() == [[7]]

    def test_adding_nothing(self, four: VectorIndex) -> None:
        four.add(keys(), np.empty((0, DIM), np.float32))
        assert len(four) == 4

    def test_remove_counts_what_was_there(self, four: VectorIndex) -> None:
        assert four.remove(keys(20, 999, 20, 40)) == 2
        assert four.keys.tolist() == [10, 30]
        assert four.remove(keys(20)) == 0
        assert four.remove(keys()) == 0
        assert four.search(rows(NORTH), 4).keys.tolist() == [[10, 30, -1, -1]]

    def test_removed_keys_can_come_back(self, four: VectorIndex) -> None:
        four.remove(keys(10, 20, 30, 40))
        assert len(four) == 0
        four.add(keys(20), rows(EAST))
        assert four.search(rows(EAST), 2).keys.tolist() == [[20, -1]]

    def test_large_keys(self, index: VectorIndex) -> None:
        top = 2**62
        index.add(keys(3, top), rows(EAST, NORTH))
        assert index.search(rows(NORTH), 1).keys.tolist() == [[top]]
        assert index.search(rows(NORTH), 1, keys(3, top - 1)).keys.tolist() == [[3]]
        assert index.search(rows(EAST), 1, keys(top)).keys.tolist() == [[top]]

    # --- searching ---

    def test_best_first_with_cosines(self, four: VectorIndex) -> None:
        matches = four.search(rows(UP), 2)
        assert matches.keys.tolist() == [[30, 40]]
        assert matches.scores.tolist() == [[1.0, 0.5]]
        assert matches.keys.dtype == np.int64
        assert matches.scores.dtype == np.float32

    def test_negative_scores_are_found(self, four: VectorIndex) -> None:
        matches = four.search(rows(-EAST), 4)
        assert matches.keys.tolist() == [[20, 30, 40, 10]]
        assert matches.scores.tolist() == [[0.0, 0.0, -0.5, -1.0]]

    def test_pads_when_k_is_more_than_there_are(self, four: VectorIndex) -> None:
        matches = four.search(rows(EAST), 6)
        assert matches.keys.tolist() == [[10, 40, 20, 30, -1, -1]]
        assert matches.scores.tolist() == [[1.0, 0.5, 0.0, 0.0, -np.inf, -np.inf]]

    def test_no_queries(self, four: VectorIndex) -> None:
        assert four.search(np.empty((0, DIM), np.float32), 3).keys.shape == (0, 3)
        assert four.search(np.empty((0, DIM), np.float32), 3, keys(10)).keys.shape == (0, 3)

    @pytest.mark.parametrize("queries", [1, 30])
    def test_equal_scores_by_ascending_key(self, index: VectorIndex, queries: int) -> None:
        index.add(np.arange(200)[::-1], np.tile(rows(EAST, NORTH), (100, 1)))  # odd keys look east, even ones north
        asked = np.tile(EAST, (queries, 1))
        matches = index.search(asked, 5)
        assert matches.keys.tolist() == [[1, 3, 5, 7, 9]] * queries
        assert index.search(asked, 102).keys[0, 98:].tolist() == [197, 199, 0, 2]
        among = index.search(asked, 3, np.arange(100, 200))
        assert among.keys.tolist() == [[101, 103, 105]] * queries

    @pytest.mark.parametrize("queries", [1, 30])
    def test_allowed_keys(self, four: VectorIndex, queries: int) -> None:
        asked = np.tile(EAST, (queries, 1))

        def found(allowed: np.ndarray | None, k: int = 2) -> object:
            return four.search(asked, k, allowed_keys=allowed).keys.tolist()

        assert found(None) == [[10, 40]] * queries
        assert found(keys()) == [[-1, -1]] * queries
        assert found(keys(5, 999)) == [[-1, -1]] * queries
        assert found(keys(30, 20, 999, 20, 40)) == [[40, 20]] * queries
        assert found(keys(30, 20), k=4) == [[20, 30, -1, -1]] * queries
        assert found(keys(10, 20, 30, 40)) == [[10, 40]] * queries

    def test_narrow_and_wide_allowed_agree_with_all(self, index: VectorIndex) -> None:
        rng = np.random.default_rng(1)
        index.add(np.arange(0, 3000, 3), _exact_unit_rows(rng, 1000))
        asked = _exact_unit_rows(rng, 2)
        everything = index.search(asked, 1000)
        for share in (0.002, 0.05, 0.5, 1.0):
            allowed = rng.permutation(np.arange(0, 3000, 3))[: int(1000 * share)]
            matches = index.search(asked, 7, allowed)
            kept = index.search(asked, 7, RowFilter(allowed))
            assert (matches.keys == kept.keys).all()
            assert (matches.scores == kept.scores).all()
            for query in range(2):
                expected = [key for key in everything.keys[query].tolist() if key in set(allowed.tolist())][:7]
                assert [key for key in matches.keys[query].tolist() if key >= 0] == expected

    def test_a_filter_that_is_kept_follows_every_change(self, four: VectorIndex) -> None:
        """Also where it was asked of another index before."""
        other = self.open()
        other.add(keys(40, 50), rows(EAST, UP))
        wanted = RowFilter(keys(50, 30, 20, 50, 40))

        def found(index: VectorIndex) -> object:
            return index.search(rows(EAST), 3, wanted).keys.tolist()

        assert (found(four), found(other)) == ([[40, 20, 30]], [[40, 50, -1]])
        four.remove(keys(30))
        assert (found(four), found(other)) == ([[40, 20, -1]], [[40, 50, -1]])
        four.add(keys(5, 20, 50), rows(EAST, EAST, UP))
        other.add(keys(40, 7), rows(UP, EAST))
        assert (found(four), found(other)) == ([[20, 40, 50]], [[40, 50, -1]])
        assert wanted.keys.tolist() == [20, 30, 40, 50]
        other.close()

    # --- what cannot be used ---

    @pytest.mark.parametrize("k", [0, -1, 1.5, True])
    def test_k_must_be_a_positive_whole_number(self, four: VectorIndex, k: int) -> None:
        with pytest.raises(QueryError, match="k is how many"):
            four.search(rows(EAST), k)

    @pytest.mark.parametrize(
        "bad",
        [
            rows(EAST)[:, :3],
            np.ones((1, DIM + 1), np.float32),
            EAST,
            rows(EAST * 2),
            rows(EAST * 0),
            rows(EAST, EAST * np.nan),
            rows(np.full(DIM, np.inf)),
        ],
        ids=["narrow", "wide", "one-dimensional", "long", "zeros", "nan", "infinite"],
    )
    def test_bad_vectors_are_refused_and_change_nothing(self, four: VectorIndex, bad: np.ndarray) -> None:
        with pytest.raises(InputError):
            four.search(bad, 1)
        with pytest.raises(InputError):
            four.add(np.arange(len(bad)), bad)
        assert four.keys.tolist() == [10, 20, 30, 40]
        assert four.search(rows(EAST), 1).scores.tolist() == [[1.0]]

    @pytest.mark.parametrize(
        "bad", [[-1], [1.5], [[1]], [1, 2]], ids=["negative", "fraction", "two-dimensional", "too many"]
    )
    def test_bad_keys_are_refused_and_change_nothing(self, four: VectorIndex, bad: list[int]) -> None:
        with pytest.raises(InputError):
            four.add(np.array(bad), rows(EAST))
        if bad != [1, 2]:
            with pytest.raises(InputError):
                four.remove(np.array(bad))
            with pytest.raises(InputError):
                four.search(rows(EAST), 1, np.array(bad))
        assert four.keys.tolist() == [10, 20, 30, 40]

    def test_the_callers_arrays_stay_as_they_are(self, index: VectorIndex) -> None:
        given_keys, given = keys(9, 4, 9), rows(UP, EAST, NORTH)
        asked, allowed = rows(HALF), keys(9, 4)
        before = [array.copy() for array in (given_keys, given, asked, allowed)]
        index.add(given_keys, given)
        matches = index.search(asked, 2, allowed)
        index.remove(allowed[:1])
        for array, copy in zip((given_keys, given, asked, allowed), before, strict=True):
            assert (array == copy).all()
        # ... and theirs are not the index's: writing into them later changes nothing inside.
        given[:] = LATE
        matches.keys[:] = 77
        index.keys[:] = 77
        assert index.keys.tolist() == [4]
        assert index.search(rows(EAST), 1).scores.tolist() == [[1.0]]

    def test_float64_and_strided_vectors_are_taken(self, index: VectorIndex) -> None:
        wide = np.repeat(np.eye(DIM), 2, axis=1)[:, ::2]
        index.add([1, 2, 3, 4], wide)  # type: ignore[arg-type]
        assert index.search(np.asfortranarray(wide), 1).keys.ravel().tolist() == [1, 2, 3, 4]

    # --- files ---

    def test_save_and_load(self, tmp_path: Path) -> None:
        if not self.saves:
            pytest.skip("keeps nothing in files")
        path = tmp_path / "index.bin"
        index = self.open(path=path)
        index.add(keys(10, 20, 30), rows(EAST, NORTH, UP))
        index.save()
        index.remove(keys(20))
        index.save()
        index.add(keys(99), rows(LATE))  # unsaved
        index.close()
        again = self.open(path=path)
        assert again.keys.tolist() == [10, 30]
        assert again.search(rows(UP), 2).keys.tolist() == [[30, 10]]
        again.add(keys(5), rows(LATE))
        assert again.search(rows(LATE), 1).keys.tolist() == [[5]]
        again.close()
        assert [file.name for file in tmp_path.iterdir()] == ["index.bin"]

    def test_save_and_load_an_empty_one(self, tmp_path: Path) -> None:
        if not self.saves:
            pytest.skip("keeps nothing in files")
        index = self.open(path=tmp_path / "index.bin")
        index.save()
        assert len(self.open(path=tmp_path / "index.bin")) == 0

    def test_save_without_a_path(self, four: VectorIndex) -> None:
        if self.saves:
            with pytest.raises(InputError, match="without a path"):
                four.save()

    def test_load_with_another_width(self, tmp_path: Path) -> None:
        if not self.saves:
            pytest.skip("keeps nothing in files")
        index = self.open(path=tmp_path / "index.bin")
        index.add(keys(1), rows(EAST))
        index.save()
        with pytest.raises(InputError, match=r"4 wide; 5 are needed.*lapel index rebuild"):
            self.open(dim=5, path=tmp_path / "index.bin")

    def test_damaged_files_say_what_to_do(self, tmp_path: Path) -> None:
        if not self.saves:
            pytest.skip("keeps nothing in files")
        path = tmp_path / "index.bin"
        index = self.open(path=path)
        index.add(np.arange(50), np.tile(HALF, (50, 1)))
        index.save()
        good = path.read_bytes()
        cuts = [good[:length] for length in (0, 1, 7, 8, 100, 300, len(good) // 2, len(good) - 1)]
        for broken in (*cuts, b"no index at all, just words" * 50, bytes(len(good))):
            path.write_bytes(broken)
            with pytest.raises(InputError, match="lapel index rebuild"):
                self.open(path=path)
        refused = 0
        for place in range(0, len(good), len(good) // 50):
            flipped = bytearray(good)
            flipped[place] ^= 0xFF
            path.write_bytes(bytes(flipped))
            try:
                opened = self.open(path=path)
            except InputError:
                refused += 1
                continue
            same = opened.search(rows(HALF), 50)  # what nobody reads, such as the date in a ZIP, may change
            assert same.keys.tolist() == [list(range(50))]
            assert same.scores.tolist() == [[1.0] * 50]
        assert refused > 10

    def test_close_twice_and_use_after(self) -> None:
        index = self.open()
        index.add(keys(1), rows(EAST))
        index.close()
        index.close()
        for use in (
            lambda: len(index),
            lambda: index.keys,
            lambda: index.search(rows(EAST), 1),
            lambda: index.remove(keys(1)),
        ):
            with pytest.raises(LapelError, match="closed"):
                use()


def _exact_unit_rows(rng: np.random.Generator, count: int) -> np.ndarray:
    """Unit rows of +-0.5 and axes: every product of two is exact, and many are equal."""
    signs = rng.choice(np.array([-0.5, 0.5], np.float32), (count, DIM))
    axes = np.eye(DIM, dtype=np.float32)[rng.integers(0, DIM, count)]
    chosen: np.ndarray = np.where(rng.random((count, 1)) < 0.5, signs, axes)
    return chosen
