"""The store and its search: what agrees, what is redrawn, what is refused; answers a person can see."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lapel import Filter, Part, Product, Query
from lapel.catalog import Entry, PhotoEntry
from lapel.core.errors import (
    InputError,
    ModelMismatchError,
    QueryError,
    StoreDamagedError,
    StoreNotFoundError,
    StoreTooNewError,
)
from lapel.core.vectors import normalise
from lapel.engine.context import CATALOGUE, StoreContext, open_context
from lapel.engine.index_sync import IndexSync
from lapel.engine.retrieval import SearchEngine
from lapel.indexes.growing import GrowingIndex


def corner(*directions: float) -> np.ndarray:
    """A unit vector whose first numbers are given."""
    vector = np.zeros(128, np.float32)
    vector[: len(directions)] = directions
    return normalise(vector[None])[0]


# The mug is straight ahead; the others lean away more and more. The tee has a second photo that is straight ahead too.
LOOKS: dict[str, list[np.ndarray]] = {
    "mug": [corner(1)],
    "cup": [corner(1, 0.2)],
    "jar": [corner(1, 0.5)],
    "tee": [corner(0, 1), corner(1, 0.1)],
    "hat": [corner(0, 0, 1)],
}


def fill(store: StoreContext, looks: dict[str, list[np.ndarray]] = LOOKS) -> None:
    store.claim()
    entries = [
        Entry(
            Product(
                name, title=name.title(), colour="Red" if "t" in name else "Blue", price_minor=100 * row, currency="EUR"
            ),
            tuple(PhotoEntry(f"file:///{name}{n}.jpg", "1", "00", vector) for n, vector in enumerate(vectors)),
        )
        for row, (name, vectors) in enumerate(looks.items(), start=1)
    ]
    store.catalog.write(entries, fingerprint=store.encoder.fingerprint)


@pytest.fixture
def store(tmp_path: Path) -> StoreContext:
    store = open_context(tmp_path / "shop", create=True, encoder="colour:")
    fill(store)
    return store


def ask(store: StoreContext, **query: object) -> list[str]:
    return [hit.product.id for hit in SearchEngine(store).search(Query(**query))]  # type: ignore[arg-type]


def test_nearest_first_and_each_product_once_with_its_best_photo(store: StoreContext) -> None:
    hits = SearchEngine(store).search(Query(vector=corner(1), k=5))
    assert [hit.product.id for hit in hits] == ["mug", "tee", "cup", "jar", "hat"]
    assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]
    assert hits[0].score == pytest.approx(1)
    assert hits[1].photo.uri == "file:///tee1.jpg"
    assert all(a.score >= b.score for a, b in itertools.pairwise(hits))


def test_fewer_hits_only_when_there_are_fewer(store: StoreContext) -> None:
    assert len(ask(store, vector=corner(1), k=3)) == 3
    assert len(ask(store, vector=corner(1), k=100)) == 5


def test_k_products_come_back_however_many_photos_are_in_between(tmp_path: Path) -> None:
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        many = {
            "star": [corner(1, 0.0001 * n) for n in range(300)],
            **{f"far{n}": [corner(0.1, 1, n)] for n in range(5)},
        }
        fill(store, many)
        assert len(ask(store, vector=corner(1), k=4)) == 4
        assert ask(store, vector=corner(1), k=4)[0] == "star"


def test_filters_come_before_ranking(store: StoreContext) -> None:
    assert ask(store, vector=corner(1), k=2, where=Filter.parse(["colour=Red"])) == ["tee", "hat"]
    assert ask(store, vector=corner(1), where=Filter.parse(["price<3"])) == ["mug", "cup"]
    assert ask(store, vector=corner(1), where=Filter.parse(["colour=Green"])) == []


def test_a_remembered_filter_sees_what_was_added_since(store: StoreContext) -> None:
    engine, where = SearchEngine(store), Filter.parse(["colour=Red"])
    asked = Query(vector=corner(1), where=where, k=5)
    assert [hit.product.id for hit in engine.search(asked)] == ["tee", "hat"]
    fill(store, {"tub": [corner(1)]})
    assert [hit.product.id for hit in engine.search(asked)] == ["tub", "tee", "hat"]


def test_more_like_this_leaves_the_product_itself_out(store: StoreContext) -> None:
    assert ask(store, product_id="mug", k=2) == ["tee", "cup"]
    assert "cup" not in ask(store, vector=corner(1), exclude=frozenset({"cup"}))


def test_a_picture_is_encoded_by_the_store_s_own_model(store: StoreContext) -> None:
    picture = Image.new("RGB", (40, 60), (200, 30, 30))
    fill(store, {"red": list(store.encoder.encode([picture]))})
    assert ask(store, image=picture, k=1) == ["red"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"product_id": "ghost"}, "no product 'ghost'"),
        ({"vector": np.ones(128, np.float32)}, "length"),
        ({"vector": corner(1)[:64]}, "128"),
        ({"vector": corner(1), "where": Filter.parse(["size=M"])}, "size"),
    ],
)
def test_impossible_questions_are_told(store: StoreContext, query: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ask(store, **query)


def test_a_part_is_one_thing_and_a_query_several() -> None:
    with pytest.raises(QueryError, match="found none"):
        Query()
    with pytest.raises(QueryError, match="product_id and vector"):
        Part(vector=corner(1), product_id="mug")
    assert [part.kind for part in Query(vector=corner(1), product_id="mug").all_parts] == ["vector", "product"]
    with pytest.raises(QueryError, match="1 to 10,000"):
        Query(product_id="mug", k=0)


def test_an_addition_by_another_process_is_seen(store: StoreContext) -> None:
    assert len(store.index) == 6
    with open_context(store.folder) as other:
        fill(other, {"new": [corner(-1)]})
    assert ask(store, vector=corner(-1), k=1) == ["new"]


def test_an_index_catches_up_and_is_not_drawn_again(store: StoreContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """Additions, other pictures and removals of another process reach an index that is open, and one that was saved
    before them."""
    index = store.index
    early = store.folder / store.current().version.file_name
    store.index_sync.wait_idle()
    kept = early.read_bytes()
    monkeypatch.setattr(IndexSync, "_rebuild", lambda *_: pytest.fail("drawn again"))
    with open_context(store.folder) as other:
        fill(other, {"new": [corner(-1)]})
        other.catalog.write(
            [Entry(Product("mug"), (PhotoEntry("file:///mug0.jpg", "2", "01", corner(0, -1)),))],
            fingerprint=other.encoder.fingerprint,
        )
        assert other.catalog.remove(["jar"])[0] == 1
    assert ask(store, vector=corner(-1), k=1) == ["new"]
    assert ask(store, vector=corner(0, -1), k=1) == ["mug"]
    assert "jar" not in ask(store, vector=corner(1), k=10)
    assert store.index is index
    assert sorted(index.keys.tolist()) == store.catalog.vector_keys(store.model.fingerprint).tolist()
    store.close()
    early.write_bytes(kept)
    for newer in set(early.parent.glob("index-*.bin")) - {early}:
        newer.unlink()
    with open_context(early.parent) as again:
        assert ask(again, vector=corner(0, -1), k=1) == ["mug"]
        assert sorted(again.index.keys.tolist()) == again.catalog.vector_keys(again.model.fingerprint).tolist()


def test_what_is_too_long_ago_is_drawn_again(store: StoreContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lapel.catalog.history.KEPT_ROWS", 6)
    monkeypatch.setattr("lapel.catalog.history.TRIM_INTERVAL", 2)
    index = store.index
    for number in range(8):
        fill(store, {f"new{number}": [corner(-1, number)]})
    assert store.catalog.changes_since(1) is None
    news = store.catalog.changes_since(store.catalog.generation - 2)
    assert news is not None
    assert len(news.keys) == 2
    assert len(ask(store, vector=corner(1), k=100)) == 13
    assert store.index is not index


def test_a_store_changes_its_kind_of_index(store: StoreContext) -> None:
    assert store.index_spec == "faiss:auto"
    with open_context(store.folder) as other:
        with pytest.raises(InputError, match="There is no index"):
            other.use_index("faiss:NOTHING")
        other.use_index("exact:")
    assert ask(store, vector=corner(1), k=1) == ["mug"]
    assert type(store.index).__name__ == "ExactIndex"
    store.index_sync.wait_idle()
    assert len(list(store.folder.glob("index-*.bin"))) == 1


def test_removing_is_seen_at_once(store: StoreContext) -> None:
    assert store.catalog.remove(["mug", "nobody"])[0] == 1
    assert ask(store, vector=corner(1), k=1) == ["tee"]


def test_the_saved_index_is_loaded_and_a_stale_or_broken_one_redrawn(store: StoreContext) -> None:
    assert len(store.index) == 6
    store.close()
    (saved,) = store.folder.glob("index-*.bin")
    before = saved.stat().st_mtime_ns
    with open_context(store.folder) as again:
        assert ask(again, vector=corner(1), k=1) == ["mug"]
        assert saved.stat().st_mtime_ns == before
    saved.write_bytes(saved.read_bytes()[:40])
    with open_context(store.folder) as again:
        assert ask(again, vector=corner(1), k=1) == ["mug"]
    saved.unlink()
    with open_context(store.folder) as again:
        assert ask(again, vector=corner(1), k=1) == ["mug"]


def test_nobody_waits_for_an_index_that_is_being_saved(store: StoreContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saving is held up; meanwhile the store is searched, added to and searched again; closing waits for it."""
    begun, going = threading.Event(), threading.Event()
    save = GrowingIndex.save

    def slow(index: GrowingIndex, path: Path | None = None) -> None:
        begun.set()
        assert going.wait(30)
        save(index, path)

    monkeypatch.setattr(GrowingIndex, "save", slow)
    assert ask(store, vector=corner(1), k=1) == ["mug"]
    assert begun.wait(30)
    fill(store, {"new": [corner(-1)]})
    assert ask(store, vector=corner(-1), k=1) == ["new"]
    assert not list(store.folder.glob("index-*.bin"))
    going.set()
    store.close()
    # The file is named after the generation it was begun at and holds more: catching up from there does no harm.
    (saved,) = store.folder.glob("index-*.bin")
    assert saved.stem.endswith("-1")
    with open_context(store.folder) as again:
        monkeypatch.setattr(IndexSync, "_rebuild", lambda *_: pytest.fail("drawn again"))
        assert ask(again, vector=corner(-1), k=1) == ["new"]
        assert again.index.keys.tolist() == [1, 2, 3, 4, 5, 6, 7]


def test_an_index_that_could_not_be_saved_is_saved_later(store: StoreContext, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as while_full:
        while_full.setattr(GrowingIndex, "save", full)
        for _ in range(2):
            assert ask(store, vector=corner(1), k=1) == ["mug"]
            store.index_sync.wait_idle()
        assert not list(store.folder.glob("index-*.bin"))
        told = SearchEngine(store).search(Query(vector=corner(1))).index_problem
        assert "cannot be saved to" in told
        assert told == store.index_sync.status().problem
        store.index_sync.wait_idle()
    assert ask(store, vector=corner(1), k=1) == ["mug"]
    store.index_sync.wait_idle()
    assert SearchEngine(store).search(Query(vector=corner(1))).index_problem == ""
    assert len(list(store.folder.glob("index-*.bin"))) == 1


def test_a_store_opened_for_reading_writes_nothing(store: StoreContext) -> None:
    store.close()
    before = sorted(path.name for path in store.folder.iterdir())
    with open_context(store.folder, read_only=True) as reader:
        assert ask(reader, vector=corner(1), k=1) == ["mug"]
        assert not list(store.folder.glob("index-*.bin"))
    assert {path.name for path in store.folder.iterdir()} - set(before) <= {f"{CATALOGUE}-shm", f"{CATALOGUE}-wal"}


def test_a_slow_process_cannot_leave_its_old_index_for_the_new_one(store: StoreContext) -> None:
    """One process draws an index, another adds a product and saves the newer index, then the first saves its own."""
    slow = open_context(store.folder)
    old = slow.current()
    fill(store, {"new": [corner(-1)]})
    assert ask(store, vector=corner(-1), k=1) == ["new"]
    old.index.save(slow.folder / old.version.file_name)
    store.close()
    with open_context(store.folder) as again:
        assert ask(again, vector=corner(-1), k=1) == ["new"]
    assert ask(slow, vector=corner(-1), k=1) == ["new"]
    slow.close()


def test_a_catalogue_made_anew_does_not_find_the_old_index(store: StoreContext) -> None:
    assert len(store.index) == 6
    store.close()
    (store.folder / CATALOGUE).unlink()
    with open_context(store.folder, create=True, encoder="colour:") as fresh:
        fill(fresh, {"only": [corner(0, 1)]})
        assert fresh.catalog.generation == 1
        assert ask(fresh, vector=corner(1)) == ["only"]


def test_an_empty_store_answers_nothing(tmp_path: Path) -> None:
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        assert ask(store, vector=corner(1)) == []


def test_two_models_are_never_mixed(store: StoreContext) -> None:
    folder = store.folder
    store.close()
    with (
        open_context(folder, encoder="default") as other,
        pytest.raises(ModelMismatchError, match=r"colour.*cannot be compared"),
    ):
        ask(other, image=Image.new("RGB", (40, 60)))
    with open_context(folder) as own:
        assert own.encoder.name == "colour"


def test_no_store_is_told_with_the_command_to_type(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="lapel add"):
        open_context(tmp_path)


def test_a_newer_store_and_a_file_that_is_none_are_refused_and_left_alone(store: StoreContext, tmp_path: Path) -> None:
    store.close()
    database = sqlite3.connect(store.folder / CATALOGUE)
    database.execute("PRAGMA user_version = 999")
    database.close()
    with pytest.raises(StoreTooNewError, match="999"):
        open_context(store.folder)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / CATALOGUE).write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(StoreDamagedError):
        open_context(tmp_path / "bad")
    assert (tmp_path / "bad" / CATALOGUE).read_bytes().startswith(b"not a database")
