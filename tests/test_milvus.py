"""Milvus as an index: through the one contract, embedded; by address; against the exact reference; under a store; and
away."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pymilvus", reason="Milvus is not installed: pip install 'lapel[milvus]'")
pytest.importorskip("milvus_lite", reason="embedded Milvus is not installed: pip install 'lapel[milvus]'")
from milvus_lite.adapter.grpc.server import start_server_in_thread
from pymilvus import MilvusException

from lapel.core.errors import IndexUnavailableError, InputError
from lapel.core.types import Matches
from lapel.core.vectors import Vectors, normalise
from lapel.engine.context import StoreContext, open_context
from lapel.engine.index_sync import IndexSync
from lapel.indexes import VectorIndex, milvus, open_index
from lapel.indexes.milvus import MilvusIndex
from lapel.testing import IndexContract
from lapel.testing.index import DIM
from test_store import ask, corner, fill


class TestMilvus(IndexContract):
    saves = False

    def open(self, dim: int = DIM, path: Path | None = None) -> VectorIndex:
        return open_index("milvus://lite", dim=dim, path=path)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An embedded Milvus that listens on this machine, as a server does; it can be stopped and started again."""
    server = Server(tmp_path_factory.mktemp("milvus") / "server.db")
    server.start()
    yield server
    server.stop()


class Server:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0

    def start(self) -> None:
        self._server, self._database, self.port = start_server_in_thread(str(self.folder), port=self.port)

    def stop(self) -> None:
        self._server.stop(grace=0).wait()
        self._database.close()

    def spec(self) -> str:
        return f"milvus://127.0.0.1:{self.port}"


def looks(count: int, *, dim: int = 8, seed: int = 3) -> Vectors:
    return normalise(np.random.default_rng(seed).normal(size=(count, dim)))


@pytest.fixture(scope="module")
def pair(server: Server) -> Iterator[tuple[VectorIndex, VectorIndex]]:
    """A server's index and the exact reference with the same 3,000 vectors under keys 0, 3, 6 ..."""
    indexes = open_index(server.spec() + "?index=FLAT", dim=8), open_index("exact:", dim=8)
    for index in indexes:
        index.add(np.arange(0, 9000, 3), looks(3000))
    yield indexes
    indexes[0].close()


@pytest.mark.parametrize("share", [None, 0.001, 0.01, 0.2, 0.5, 0.99])
def test_answers_as_exact_at_every_selectivity(
    pair: tuple[VectorIndex, VectorIndex], share: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With limits that 3,000 vectors reach: filters in pages of 100 keys, at most 100 hits a query, fetched vectors in
    pieces of 64."""
    monkeypatch.setattr(milvus, "MAX_HITS", 100)
    monkeypatch.setattr(milvus, "CHUNK_ROWS", 64)
    allowed = None if share is None else np.random.default_rng(1).permutation(9000)[: int(9000 * share)]
    found, wanted = (index.search(looks(5, seed=9), 10, allowed) for index in pair)
    assert found.keys.tolist() == wanted.keys.tolist()
    assert np.allclose(found.scores, wanted.scores, atol=1e-6)


@pytest.mark.parametrize("many", [20, 1500])
def test_keys_that_are_allowed_far_from_the_query(
    pair: tuple[VectorIndex, VectorIndex], many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of the nearest is allowed, so the search goes on until enough that are have come."""
    monkeypatch.setattr(milvus, "MAX_HITS", 100)
    asked = looks(2, seed=9)
    farthest = pair[1].search(-asked[:1], many).keys[0]
    found, wanted = (index.search(asked, 7, farthest) for index in pair)
    assert found.keys.tolist() == wanted.keys.tolist()


def test_of_many_keys_one_question_mostly_is_enough(
    pair: tuple[VectorIndex, VectorIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the 40 nearest of all, half are allowed and 5 are wanted, whether the last one is allowed or not."""
    asked, ask = [], MilvusIndex._ask
    monkeypatch.setattr(milvus, "MAX_HITS", 100)
    monkeypatch.setattr(MilvusIndex, "_ask", lambda *given: (asked.append(given), ask(*given))[1])
    pair[0].search(looks(20, seed=9), 5, np.arange(0, 9000, 6))
    assert len(asked) == 1


def test_more_than_milvus_gives_at_once(pair: tuple[VectorIndex, VectorIndex], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus, "MAX_HITS", 100)
    found, wanted = (index.search(looks(2, seed=9), 3100) for index in pair)
    assert found.keys.tolist() == wanted.keys.tolist()
    assert (found.keys[0] >= 0).sum() == 3000


def test_a_structure_that_gives_too_few_is_helped(
    pair: tuple[VectorIndex, VectorIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph may lose results under a filter; here it loses all but two."""
    ask = MilvusIndex._ask

    def few(self: MilvusIndex, *given: object) -> Matches:
        found: Matches = ask(self, *given)  # type: ignore[arg-type]
        found.keys[:, 2:], found.scores[:, 2:] = -1, -np.inf
        return found

    monkeypatch.setattr(MilvusIndex, "_ask", few)
    for allowed in (None, np.arange(0, 900), np.arange(0, 9000)):
        found, wanted = (index.search(looks(2, seed=9), 10, allowed) for index in pair)
        assert found.keys.tolist() == wanted.keys.tolist()


def test_it_keeps_vectors_and_version_tag(tmp_path: Path) -> None:
    spec, path = f"milvus://{tmp_path}/all.db", tmp_path / "index-of-mine"
    index = open_index(spec, dim=8, path=path)
    assert isinstance(index, MilvusIndex)
    assert index.get_version_tag() == ""
    index.add(np.arange(50), looks(50))
    index.save()
    index.add(np.arange(50, 60), looks(10, seed=4))
    index.set_version_tag("7")
    index.close()
    again = open_index(spec, dim=8, path=path)
    assert isinstance(again, MilvusIndex)
    assert again.get_version_tag() == "7"
    assert again.keys.tolist() == list(range(60))
    assert again.search(looks(50)[7:8], 1).keys.tolist() == [[7]]
    assert again.search(looks(10, seed=4)[5:6], 1).keys.tolist() == [[55]]
    with pytest.raises(InputError, match="not written to a file"):
        again.save(tmp_path / "file")
    with pytest.raises(InputError, match=r"8 wide; 9 are needed"):
        open_index(spec, dim=9, path=path)
    other = open_index(spec, dim=8, path=tmp_path / "index-of-yours")
    assert len(other) == 0
    other.close()
    again.drop()
    with open_of(spec, path) as empty:
        assert len(empty) == 0


@contextmanager
def open_of(spec: str, path: Path) -> Iterator[VectorIndex]:
    index = open_index(spec, dim=8, path=path)
    yield index
    index.close()


@pytest.mark.parametrize(
    "spec",
    ["milvus:", "milvus:lite", "milvus://lite/x", "milvus:///x.bin", "milvus://host:port", "milvus://[host", "milvus://host/a/b",
     "milvus://host?index=IVF_PQ", "milvus://host?size=3", "milvus://host?tls=no", "milvus://lite?tls=yes"],
)  # fmt: skip
def test_specs_that_are_none(spec: str) -> None:
    with pytest.raises(InputError, match=r"milvus://lite, milvus:///path/to/file.db or milvus://host:port/database"):
        open_index(spec)


def test_a_password_stays_out_of_the_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="LAPEL_MILVUS_TOKEN") as told:
        open_index("milvus://me:secret@host")
    assert "secret" not in str(told.value)
    given: dict[str, object] = {}

    def client(uri: str, **more: object) -> None:
        given.update(more, uri=uri)
        raise MilvusException(message="enough")

    monkeypatch.setattr(milvus, "MilvusClient", client)
    monkeypatch.setenv("LAPEL_MILVUS_TOKEN", "me:secret")
    with pytest.raises(IndexUnavailableError, match=r"Milvus \(host:19530\) cannot be used: enough"):
        open_index("milvus://host/shop?tls=yes")
    assert (given["uri"], given["token"], given["db_name"]) == ("https://host:19530", "me:secret", "shop")


def test_an_embedded_one_is_open_in_one_process_only(tmp_path: Path) -> None:
    index = open_index(f"milvus://{tmp_path}/all.db", dim=8, path=tmp_path / "index")
    code = f"import lapel; lapel.open_index('milvus://{tmp_path}/all.db', dim=8)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "it is open in another process" in other.stderr
    index.close()
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


# --- under a store ---------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path: Path, server: Server) -> Iterator[StoreContext]:
    store = open_context(tmp_path / "shop", create=True, encoder="colour:")
    fill(store)
    store.use_index(server.spec())
    yield store
    store.close()


def same(store: StoreContext) -> bool:
    return bool(store.index.keys.tolist() == store.catalog.vector_keys(store.model.fingerprint).tolist())


def test_a_store_in_milvus(shop: StoreContext, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(shop, vector=corner(1), k=3) == ["mug", "tee", "cup"]
    assert not list(shop.folder.glob("index-*.bin"))
    monkeypatch.setattr(IndexSync, "_rebuild", lambda *_: pytest.fail("rebuilt"))
    with open_context(shop.folder) as other:
        assert ask(other, vector=corner(1), k=1) == ["mug"]
        fill(other, {"new": [corner(-1)]})
        assert other.catalog.remove(["jar"])[0] == 1
        assert ask(other, vector=corner(-1), k=1) == ["new"]
    assert ask(shop, vector=corner(-1), k=1) == ["new"]
    assert same(shop)


def test_another_process_takes_in_what_this_one_added(shop: StoreContext) -> None:
    index = shop.index
    fill(shop, {"new": [corner(-1)]})
    command = "from lapel.apps.cli import main; main()"
    words = [sys.executable, "-c", command, "index", "check", "--store", str(shop.folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert "They agree" in done.stdout, done.stderr
    assert index.keys.tolist() == [1, 2, 3, 4, 5, 6, 7]  # added from there, before this process looked again


def test_what_was_interrupted_is_done_again(shop: StoreContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after some were added and before the version tag was written: the next process does it all."""
    monkeypatch.setattr(MilvusIndex, "set_version_tag", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        _ = shop.index
    monkeypatch.undo()
    assert same(shop)
    assert ask(shop, vector=corner(1), k=1) == ["mug"]


def test_a_catalogue_that_was_put_back_is_rebuilt(shop: StoreContext) -> None:
    index = shop.index
    assert isinstance(index, MilvusIndex)
    index.add(np.array([777]), corner(0, 0, 0, 1)[None])
    index.set_version_tag("999")
    with open_context(shop.folder) as again:
        assert same(again)


def test_rebuild_makes_a_new_collection(shop: StoreContext) -> None:
    shop.index.add(np.array([777]), corner(0, 0, 0, 1)[None])
    shop.index_sync.rebuild()
    assert same(shop)


def test_milvus_away_and_back(shop: StoreContext, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus, "TIMEOUT_S", 2.0)
    assert ask(shop, vector=corner(1), k=1) == ["mug"]
    server.stop()
    try:
        with pytest.raises(IndexUnavailableError, match=r"127\.0\.0\.1:\d+\) cannot be used: .*The catalogue is whole"):
            ask(shop, vector=corner(1), k=1)
        index = shop.index_sync._held.index if shop.index_sync._held else None
        assert isinstance(index, MilvusIndex)
        for use in (
            lambda: len(index),
            lambda: index.keys,
            lambda: index.get_version_tag(),
            lambda: index.add(np.array([1]), corner(1)[None]),
            lambda: index.remove(np.array([1])),
            lambda: index.search(corner(1)[None], 1, np.array([1])),
        ):
            with pytest.raises(IndexUnavailableError, match="The catalogue is whole"):
                use()
        fill(shop, {"new": [corner(-1)]})
        assert shop.catalog.remove(["jar"])[0] == 1
        with pytest.raises(IndexUnavailableError), open_context(shop.folder) as other:
            _ = other.index
        with pytest.raises(IndexUnavailableError):
            shop.use_index(server.spec() + "?index=FLAT")
        assert shop.catalog.counts().products == 5
        assert shop.catalog.check() == []
    finally:
        server.start()
    for _ in range(100):  # a connection that was refused is tried again a moment later
        with suppress(IndexUnavailableError):
            assert ask(shop, vector=corner(-1), k=1) == ["new"]
            break
        time.sleep(0.2)
    assert ask(shop, vector=corner(-1), k=1) == ["new"]
    assert "jar" not in ask(shop, vector=corner(1), k=10)
    assert same(shop)


def test_beside_the_catalogue(tmp_path: Path) -> None:
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        fill(store)
        store.use_index("milvus://lite")
        assert ask(store, vector=corner(1), k=1) == ["mug"]
        assert (store.folder / "milvus.db").is_dir()
    with open_context(tmp_path / "shop") as again:
        assert ask(again, vector=corner(1), k=1) == ["mug"]
