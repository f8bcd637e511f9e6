"""The graph and the loops it is made of."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from lapel.core.vectors import Vectors, normalise
from lapel.indexes import kernels
from lapel.indexes.cells import Cells
from lapel.indexes.graph import Graph

DIM = 40  # no multiple of 32: rows are filled up


def looks(count: int, *, seed: int = 1, groups: int = 25) -> Vectors:
    """Unit rows in groups, one group after the other, as a shop's export has them."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(groups, DIM))
    return normalise(centres[np.sort(rng.integers(0, groups, count))] + 0.5 * rng.normal(size=(count, DIM)))


def graph_of(vectors: Vectors, name: str = "HNSW16") -> Graph:
    return Graph.build(name, len(vectors), lambda rows: vectors[rows], recall=0.99)


def recall(graph: Graph, vectors: Vectors, queries: Vectors, keys: np.ndarray | None = None) -> float:
    keys = np.arange(len(vectors)) if keys is None else keys
    found = graph.search(queries, 10, None, keys)
    scores = np.where(keys >= 0, queries @ vectors.T, -np.inf)
    tenth = np.sort(scores, axis=1)[:, -10]
    assert all(len(set(row.tolist())) == 10 for row in found.keys)
    return float((np.take_along_axis(scores, found.keys, 1) >= tenth[:, None] - 1e-4).mean())


@kernels.compiled()
def ints(one, other, dim):
    return kernels.int_dot(one, 2, other, 1, dim)


@kernels.compiled()
def floats(one, other, dim):
    return kernels.float_dot(one, 2, other, 1, dim)


@pytest.mark.parametrize("dim", [32, 96, 128])
def test_products_are_those_of_numpy(dim: int) -> None:
    rng = np.random.default_rng(dim)
    small, wide = (rng.integers(-127, 128, (3, dim)).astype(kind) for kind in (np.int8, np.int16))
    assert ints(small.ravel(), small.ravel(), dim) == int(small[2].astype(int) @ small[1])
    assert ints(small.ravel(), 60 * wide.ravel(), dim) == int(small[2].astype(int) @ (60 * wide[1]))
    given, asked = rng.normal(size=(2, 3, dim)).astype(np.float32)
    assert floats(given.ravel(), asked.ravel(), dim) == pytest.approx(given[2] @ asked[1], abs=1e-5)
    half = given.astype(np.float16)
    assert floats(half.view(np.uint16).ravel(), asked.ravel(), dim) == pytest.approx(half[2] @ asked[1], abs=1e-5)


@pytest.mark.parametrize("name", ["HNSW16", "HNSW16_SQfp16"])
def test_rows_in_the_order_of_their_groups_are_found(name: str) -> None:
    vectors, queries = looks(6000), looks(200, seed=1)
    graph = graph_of(vectors, name)
    assert recall(graph, vectors, queries) >= 0.97
    found = graph.search(queries, 10, None, np.arange(6000))
    exact = np.einsum("qkd,qd->qk", graph.vectors(found.keys.ravel()).reshape(*found.keys.shape, DIM), queries)
    assert np.abs(found.scores - exact).max() < 1e-5  # ranked by the vectors as they are kept
    assert (np.diff(found.scores, axis=1) <= 0).all()


def test_the_same_picture_a_thousand_times_hides_nothing() -> None:
    vectors = looks(4000)
    vectors[1000:2000] = vectors[1000]
    graph = graph_of(vectors)
    others = np.r_[0:1000, 2000:4000]
    assert recall(graph, vectors, vectors[others[::15]]) >= 0.97
    (equal,) = graph.search(vectors[1000:1001], 300, None, np.arange(4000)).scores
    assert (equal > 1 - 1e-6).all()


def test_every_picture_eight_times_is_found_with_all_of_them() -> None:
    """Also those that would be on a higher level: they come back once."""
    vectors = np.repeat(looks(4000)[::4], 8, axis=0)
    graph = graph_of(vectors)
    found = graph.search(vectors[::8], 8, None, np.arange(len(vectors))).keys
    assert (found == np.arange(len(vectors)).reshape(-1, 8)).mean() >= 0.99
    again = Graph.restore("HNSW16", {name: np.copy(kept) for name, kept in graph.content(len(graph)).items()})
    assert (again.search(vectors[::8], 8, None, np.arange(len(vectors))).keys == found).mean() >= 0.99


def test_what_grows_by_little_is_found_as_well_as_what_was_built_at_once() -> None:
    vectors, queries = looks(5000), looks(200, seed=1)
    grown = graph_of(vectors[:1500])
    for at in range(1500, 5000, 100):
        grown.extend(vectors[at : at + 100])
    assert len(grown) == 5000
    assert recall(grown, vectors, queries) >= 0.97


def test_dead_rows_lead_on_but_are_no_answers() -> None:
    vectors, queries = looks(5000), looks(200, seed=1)
    keys = np.arange(5000)
    keys[::7] = -1
    found = graph_of(vectors).search(queries, 30, None, keys)
    assert not (found.keys % 7 == 0).any()
    assert (found.keys[:, :20] >= 0).all()


def test_rows_behind_those_that_count_are_no_answers() -> None:
    """A graph is searched while more rows are linked into it."""
    vectors = looks(3000)
    found = graph_of(vectors).search(vectors[2000:2100], 10, None, np.arange(1000))
    assert found.keys.max() < 1000


def test_searches_while_rows_are_linked_find_what_was_there() -> None:
    vectors = looks(9000)
    graph = graph_of(vectors[:2000])
    keys, asked, stop, shares = np.arange(2000), vectors[:2000:40], threading.Event(), []

    def search() -> None:
        while not stop.is_set():
            shares.append((graph.search(asked, 5, None, keys).keys[:, 0] == np.arange(0, 2000, 40)).mean())

    thread = threading.Thread(target=search)
    thread.start()
    for at in range(2000, 9000, 500):
        graph.extend(vectors[at : at + 500])
    stop.set()
    thread.join()
    assert len(shares) > 3
    assert min(shares) >= 0.9


def test_rows_whose_linking_failed_can_be_linked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = looks(3000)
    vectors[2200:2300] = vectors[100]
    graph = graph_of(vectors[:2000])

    def fail(*_: object) -> None:
        raise MemoryError("no more")

    for failing in ((kernels, "link"), (Cells, "extended")):
        with monkeypatch.context() as context:
            context.setattr(*failing, fail)
            with pytest.raises(MemoryError):
                graph.extend(vectors[2000:2400])
        assert len(graph) == len(graph._cells.of) == 2000
    graph._append(vectors[2000:2500])  # linked, but not taken: as if it was interrupted then
    graph._count = 2000
    graph.extend(vectors[2000:])
    assert len(graph) == 3000
    assert recall(graph, vectors, vectors[::30]) >= 0.97
    equal = graph.search(vectors[100:101], 101, None, np.arange(3000)).keys[0]
    assert sorted(equal.tolist()) == [100, *range(2200, 2300)]


def test_what_was_saved_while_rows_were_linked_has_no_links_to_them() -> None:
    vectors = looks(3000)
    graph = graph_of(vectors)
    content = {
        name: np.copy(kept) if isinstance(kept, np.ndarray) else kept for name, kept in graph.content(2500).items()
    }
    again = Graph.restore("HNSW16", content)
    assert max(int(links.max()) for links in again._arrays.links) < 2500
    assert recall(again, vectors[:2500], vectors[:2500:25]) >= 0.97
    content["links0"][7, 3] = -5
    with pytest.raises(ValueError, match="links"):
        Graph.restore("HNSW16", content)


def test_without_a_folder_for_compiled_code_everything_is_compiled_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    def njit(*kinds: str, **options: bool) -> object:
        given.append((*kinds, options))
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(kernels, "njit", njit)
    assert kernels.compiled("int64", "uint8[::1]")(len) is len
    kinds = "(int64, uint8[::1],)"
    assert given == [(kinds, {"nogil": True, "cache": True}), (kinds, {"nogil": True})]


def test_of_fewer_rows_than_the_highest_level_takes_each_is_found_once() -> None:
    vectors = looks(60)
    found = graph_of(vectors).search(vectors[:20], 10, None, np.arange(60)).keys
    assert (found[:, 0] == np.arange(20)).all()
    assert all(len(set(row.tolist())) == 10 for row in found)
