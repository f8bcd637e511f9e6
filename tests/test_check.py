"""An index beside its catalogue: what is missing, surplus or another vector is found, and only that is mended."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lapel.apps.cli import app
from lapel.core.errors import StoreBusyError
from lapel.engine.check import check_index
from lapel.engine.context import StoreContext, open_context
from lapel.engine.index_sync import IndexSync
from lapel.indexes import VectorIndex, is_external, open_index
from test_store import corner, fill

there = importlib.util.find_spec("pymilvus") and importlib.util.find_spec("milvus_lite")
embedded = pytest.mark.skipif(not there, reason="Milvus is not installed: pip install 'lapel[milvus]'")
KINDS = ["exact:", "faiss:Flat", "faiss:auto", "faiss:HNSW16", pytest.param("milvus://lite", marks=embedded)]


@pytest.fixture(params=KINDS)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A shop of six photos, keys 1 to 6, whose index was drawn and kept."""
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        store.catalog.set_setting("index", request.param)
        fill(store)
        assert store.index.keys.tolist() == [1, 2, 3, 4, 5, 6]
    return tmp_path / "shop"


def damage(folder: Path) -> None:
    """Key 2 is lost, key 77 comes from nowhere, key 3 looks elsewhere: as nothing in Lapel would do it."""
    with open_context(folder) as store:
        index, saved = kept(store)
        index.remove(np.array([2]))
        index.add(np.array([77, 3]), np.stack([corner(0, 0, 0, 1), corner(0, 0, 0, 0, 1)]))
        index.save()
        if saved:
            index.close()


def kept(store: StoreContext) -> tuple[VectorIndex, bool]:
    """The index as it is kept, and whether that is in a file."""
    if is_external(store.index_spec):
        return store.index, False
    (path,) = store.folder.glob("index-*.bin")
    return open_index(store.index_spec, path=path), True


def test_a_sound_index(shop: Path) -> None:
    with open_context(shop) as store:
        found = check_index(store)
    assert found.agrees
    assert (found.wanted, found.held, found.compared) == (6, 6, 6)


def test_what_differs_is_found_and_mended(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damage(shop)
    monkeypatch.setattr(IndexSync, "_rebuild", lambda *_: pytest.fail("drawn again"))
    with open_context(shop) as store:
        found = check_index(store)
        assert (found.missing.tolist(), found.surplus.tolist(), found.other.tolist()) == ([2], [77], [3])
        assert not found.agrees
        assert 77 in store.index.keys  # only looked at
        assert check_index(store, repair=True).other.tolist() == [3]
        assert check_index(store).agrees
    with open_context(shop) as again:
        assert check_index(again).agrees
        assert again.index.search(corner(1, 0.2)[None], 1).keys.tolist() == [[2]]


def test_no_vector_is_compared_where_none_is_asked_for(shop: Path) -> None:
    damage(shop)
    with open_context(shop) as store:
        found = check_index(store, sample=0)
        assert (found.compared, found.other.tolist(), found.missing.tolist()) == (0, [], [2])
        assert check_index(store, sample=0, repair=True).other.tolist() == [3]  # mending compares all


def test_a_change_in_between_is_taken_in_first(shop: Path) -> None:
    """Another process adds between the look at the index and that at the catalogue; that is no difference."""
    with open_context(shop) as store, open_context(shop) as other:
        current = store.index_sync._current
        late = [{"new": [corner(-1)]}, {"newer": [corner(-1, 1)]}]

        def slow() -> object:
            view = current()
            if late:
                fill(other, late.pop())
            return view

        store.index_sync._current = slow  # type: ignore[method-assign, assignment]
        found = check_index(store)
        assert found.agrees
        assert found.held == len(store.index) == 8
        late += [{f"n{number}": [corner(-1, 0, number)]} for number in range(1, 20)]
        with pytest.raises(StoreBusyError, match="changed by another process all the time"):
            check_index(store)


def test_the_command(shop: Path) -> None:
    def run(*more: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["index", "check", "--store", str(shop), *more], env={"COLUMNS": "200"})
        return done.exit_code, done.stdout

    code, said = run()
    assert code == 0
    assert "6 vectors, the catalogue 6" in said
    assert "They agree" in said
    damage(shop)
    code, said = run()
    assert code == 1
    assert "1 missing, 1 surplus, 1 other vectors among 5 compared" in said
    assert "lapel index check --repair" in said
    code, said = run("--json")
    assert code == 1
    assert json.loads(said)["missing"] == [2]
    code, said = run("--repair")
    assert code == 0
    assert "Mended" in said
    assert run()[0] == 0
