"""Changing a store's model: nothing is lost, nothing is mixed, whatever comes in between; and the way back gives the
same answers."""

from __future__ import annotations

import csv
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lapel import Query
from lapel.catalog import model_lock, model_work, schema, writer_lock
from lapel.core.errors import (
    InputError,
    ModelError,
    ModelMismatchError,
    QueryError,
    StoreBusyError,
    StoreError,
    StoreReadOnlyError,
)
from lapel.core.images import Pixels, Preprocessing
from lapel.core.registry import Backend
from lapel.core.vectors import Vectors, normalise
from lapel.encoders import ENCODERS
from lapel.engine.backfill import backfill
from lapel.engine.context import CATALOGUE, StoreContext, open_context
from lapel.engine.ingest import ingest
from lapel.engine.models import UNREADABLE, models_of, open_model, prune, rollback, use
from lapel.engine.retrieval import SearchEngine
from lapel.sources import open_source
from lapel.sources.photos import photo_rows

PHOTOS = 30


class GridEncoder:
    """Nothing but where light and dark are: 48 numbers, so not even the width is that of ``colour:``."""

    name = "grid"
    dim = 48
    preprocessing = Preprocessing(height=8, width=6)
    seconds = 0.0  # a picture, for those who interrupt it

    def __init__(self, rest: str = "", *, threads: int | None = None) -> None:
        self.spec = f"grid:{rest}"
        self.fingerprint = f"grid-{rest or 1}"
        self.encoded = 0

    def encode(self, images: list[Image.Image]) -> Vectors:
        return self.encode_pixels(self.preprocessing.batch(images))

    def encode_pixels(self, pixels: Pixels) -> Vectors:
        time.sleep(self.seconds * len(pixels))
        self.encoded += len(pixels)
        return normalise(256.0 - pixels.mean(axis=3).reshape(len(pixels), -1))


@pytest.fixture(autouse=True)
def grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENCODERS.backends, "grid", Backend(f"{__name__}:GridEncoder"))  # type: ignore[arg-type]


def draw(folder: Path, numbers: range) -> Path:
    folder.mkdir(exist_ok=True)
    for number in numbers:
        pixels = np.random.default_rng(number).integers(0, 255, (8, 6, 3), np.uint8)
        Image.fromarray(pixels).resize((60, 80), Image.Resampling.NEAREST).save(folder / f"{number}.png")
    return folder


def add(store: StoreContext, pictures: Path) -> None:
    source = open_source(pictures)
    ingest(store, photo_rows(source), source=source)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return draw(tmp_path / "pictures", range(PHOTOS))


@pytest.fixture
def store(tmp_path: Path, pictures: Path) -> Iterator[StoreContext]:
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as filling:
        add(filling, pictures)
    with open_context(tmp_path / "shop") as opened:
        yield opened


def answers(store: StoreContext) -> list[tuple[str, float]]:
    """What a picture as it is and each product of the shop find, with scores, in the order of the cosine alone."""
    engine = SearchEngine(store)
    picture = Image.open(Path(store.folder).parent / "pictures" / "3.png").convert("RGB")
    queries = [Query(image=picture, k=5, segment=False, colour_weight=0)]
    queries += [Query(product_id=str(number), k=5) for number in range(5)]
    return [(hit.product.id, round(hit.score, 6)) for query in queries for hit in engine.search(query)]


def expected(store: StoreContext, encoder: object) -> list[tuple[str, float]]:
    """The same by a slow obvious loop over the pictures themselves."""
    paths = {number: Path(store.folder).parent / "pictures" / f"{number}.png" for number in range(PHOTOS)}
    vectors = {str(n): encoder.encode([Image.open(path).convert("RGB")])[0] for n, path in paths.items()}  # type: ignore[attr-defined]
    found = []
    for query, own in [("3", None), *((str(number), str(number)) for number in range(5))]:
        scored = [(name, float(vector @ vectors[query])) for name, vector in vectors.items() if name != own]
        found += [(name, round(score, 6)) for name, score in sorted(scored, key=lambda one: -one[1])[:5]]
    return found


def same(found: list[tuple[str, float]], wanted: list[tuple[str, float]]) -> bool:
    return [name for name, _ in found] == [name for name, _ in wanted] and np.allclose(
        [score for _, score in found], [score for _, score in wanted], atol=1e-5
    )


def colour() -> object:
    from lapel.encoders.colour import ColourEncoder

    return ColourEncoder()


# --- there and back ---------------------------------------------------------------------------------------------------


def test_the_answers_are_those_of_the_model_in_use_and_a_rollback_restores_them(store: StoreContext) -> None:
    before = answers(store)
    assert same(before, expected(store, colour()))
    switch = use(store, "grid:")
    assert (switch.model.name, switch.former.name, switch.backfill.derived) == ("grid", "colour", PHOTOS)
    assert store.index.dim == 48
    assert same(answers(store), expected(store, GridEncoder()))
    assert not same(answers(store), before)
    back = rollback(store)
    assert (back.model.name, back.backfill.derived) == ("colour", 0)
    assert answers(store) == before
    assert use(store, "grid:").backfill.derived == 0
    assert same(answers(store), expected(store, GridEncoder()))


def test_another_process_that_serves_the_store_sees_the_swap_at_its_next_search(store: StoreContext) -> None:
    with open_context(store.folder, read_only=True) as server:
        engine = SearchEngine(server)
        image = Image.open(store.folder.parent / "pictures" / "3.png").convert("RGB")
        asked = engine.embed(Query(image=image)).to_query()
        assert engine.search(asked) == engine.search(Query(image=image))
        use(store, "grid:")
        assert same(answers(server), expected(store, GridEncoder()))
        with pytest.raises(ModelMismatchError, match=r"vector was made by.*searched with 'grid'.*picture again"):
            engine.search(asked)
        assert engine.search(engine.embed(Query(product_id="3")).to_query()) == engine.search(Query(product_id="3"))


def test_a_store_opened_with_a_model_by_name_refuses_to_go_on_with_another(store: StoreContext) -> None:
    with open_context(store.folder, encoder="colour:") as stubborn:
        answers(stubborn)
        use(store, "grid:")
        with pytest.raises(ModelMismatchError, match=r"cannot be compared.*lapel model use colour:"):
            SearchEngine(stubborn).search(Query(image=Image.new("RGB", (60, 80))))


def test_the_list_says_what_is_there(store: StoreContext) -> None:
    use(store, "grid:")
    backfill(store, open_model(store, "grid:2"), keys=store.catalog.vector_keys("grid-1")[:7])
    assert [
        (known.model.name, known.model.dim, known.photos, known.active, known.previous) for known in models_of(store)
    ] == [
        ("colour", 128, PHOTOS, False, True),
        ("grid", 48, PHOTOS, True, False),
        ("grid", 48, 7, False, False),
    ]


def test_only_the_model_before_is_kept_and_prune_drops_the_rest(store: StoreContext) -> None:
    use(store, "grid:")
    use(store, "grid:2")
    assert [known.model.encoder for known in models_of(store)] == ["grid:", "grid:2"]
    assert prune(store) == PHOTOS
    assert [known.model.encoder for known in models_of(store)] == ["grid:2"]
    with pytest.raises(InputError, match=r"no model to go back to.*lapel model use"):
        rollback(store)
    assert prune(store) == 0
    assert store.catalog.check() == []


def test_models_of_the_store_can_be_named_as_they_are_listed(store: StoreContext) -> None:
    use(store, "grid:")
    assert use(store, "colour").model.name == "colour"
    assert use(store, "grid-1").model.name == "grid"
    backfill(store, open_model(store, "grid:2"))
    with pytest.raises(ModelError, match=r"name of 2 models.*grid-1, grid-2.*fingerprint"):
        open_model(store, "grid")


def test_a_model_folder_that_moved_is_found_again(store: StoreContext) -> None:
    use(store, "grid:")
    before = store.catalog.generation
    with store.catalog._pool.transaction() as database:
        database.execute("UPDATE setting SET value = 'grid:moved' WHERE name = 'encoder'")
    with pytest.raises(ModelMismatchError):
        answers(store)
    assert use(store, "grid:").backfill.derived == 0
    assert store.catalog.generation == before + 1
    assert store.catalog.setting("previous") == colour().fingerprint  # type: ignore[attr-defined]
    assert same(answers(store), expected(store, GridEncoder()))


# --- what comes in between --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 1, 2])
def test_stopped_in_the_middle_it_answers_as_before_and_goes_on(
    store: StoreContext, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    before, generation = answers(store), store.catalog.generation
    monkeypatch.setattr("lapel.engine.backfill.BATCH", 8)
    batches = iter(range(after))
    encode = GridEncoder.encode_pixels

    def interrupted(self: GridEncoder, pixels: Pixels) -> Vectors:
        if len(pixels) > 1 and next(batches, None) is None:  # one picture is the trial before the work
            raise KeyboardInterrupt
        return encode(self, pixels)

    monkeypatch.setattr(GridEncoder, "encode_pixels", interrupted)
    with pytest.raises(KeyboardInterrupt):
        use(store, "grid:")
    assert store.catalog.generation == generation
    assert answers(store) == before
    assert store.catalog.counts().vectors.get("grid-1", 0) == 8 * after
    monkeypatch.setattr(GridEncoder, "encode_pixels", encode)
    assert use(store, "grid:").backfill.derived == PHOTOS - 8 * after
    assert same(answers(store), expected(store, GridEncoder()))


def test_a_swap_that_fails_leaves_everything_as_it_was(store: StoreContext, monkeypatch: pytest.MonkeyPatch) -> None:
    before = answers(store)

    def broken(database: sqlite3.Connection, changes: object, *, at: str) -> None:
        raise sqlite3.OperationalError("just before the end")

    monkeypatch.setattr("lapel.catalog.models.record", broken)
    with pytest.raises(StoreError, match="just before the end"):
        use(store, "grid:")
    monkeypatch.undo()
    assert store.model.name == "colour"
    assert store.catalog.setting("previous") is None
    assert answers(store) == before


KILLED = """
import sys
sys.path.insert(0, sys.argv[2])
import test_models
from lapel.core.registry import Backend
from lapel.encoders import ENCODERS
from lapel.engine import backfill, models
from lapel.engine.context import open_context
ENCODERS.backends["grid"] = Backend("test_models:GridEncoder")
test_models.GridEncoder.seconds = 0.2
backfill.BATCH = 2
with open_context(sys.argv[1]) as store:
    models.use(store, "grid:", report=lambda done, total: print(done, flush=True))
"""


@pytest.mark.skipif(os.name != "posix", reason="needs kill -9")
def test_killed_it_answers_with_the_old_model_and_goes_on(store: StoreContext) -> None:
    before = answers(store)
    command = [sys.executable, "-c", KILLED, str(store.folder), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            assert "giving it the model 'grid' (process" in model_work(store.folder)
            with pytest.raises(StoreBusyError, match=rf"changing the model.*process {child.pid}"):
                use(store, "grid:2")
        finally:
            child.send_signal(signal.SIGKILL)
    written = store.catalog.counts().vectors["grid-1"]
    assert 0 < written < PHOTOS
    assert model_work(store.folder) == ""
    assert answers(store) == before
    assert store.catalog.check() == []
    assert use(store, "grid:").backfill.derived == PHOTOS - written
    assert same(answers(store), expected(store, GridEncoder()))


def test_threads_that_search_while_it_swaps_get_answers_of_one_model(store: StoreContext) -> None:
    """Each answer is, with its scores, that of one model or that of the other; in between nothing else and no error."""
    image = Image.open(Path(store.folder).parent / "pictures" / "3.png").convert("RGB")
    engine = SearchEngine(store)

    def ask(number: int) -> tuple[tuple[str, float], ...]:
        query = Query(image=image, k=4) if number % 2 else Query(product_id="7", k=4)
        return tuple((hit.product.id, round(hit.score, 5)) for hit in engine.search(query))

    right: set[tuple[tuple[str, float], ...]] = {ask(0), ask(1)}
    use(store, "grid:")
    right |= {ask(0), ask(1)}
    assert len(right) == 4
    stop, found, errors = threading.Event(), set(), []

    def search(number: int) -> None:
        try:
            while not stop.is_set():
                found.add(ask(number))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=search, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    with open_context(store.folder) as other:
        for spec in ("colour:", "grid:") * 3:
            use(other, spec)
            prune(other)  # even the vectors that a search may be reading go
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors
    assert found <= right


def test_what_is_added_meanwhile_is_caught_up_before_the_swap(
    store: StoreContext, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, late = GridEncoder.encode_pixels, iter([PHOTOS])

    def slow(self: GridEncoder, pixels: Pixels) -> Vectors:
        for number in (
            late if len(pixels) > 1 else ()
        ):  # the first time another process adds a product and takes one out
            with open_context(store.folder) as other:
                add(other, draw(pictures, range(number, number + 1)))
                other.catalog.remove(["0"])
        return encode(self, pixels)

    monkeypatch.setattr(GridEncoder, "encode_pixels", slow)
    switch = use(store, "grid:")
    assert switch.backfill.failed == ()
    assert store.catalog.counts().vectors == {"grid-1": PHOTOS, colour().fingerprint: PHOTOS}  # type: ignore[attr-defined]
    assert SearchEngine(store).search(Query(product_id=str(PHOTOS), k=1))
    # Added after the swap: only the new model looks at it, and the way back catches up.
    add(store, draw(pictures, range(PHOTOS, PHOTOS + 3)))
    assert store.catalog.counts().vectors["grid-1"] == PHOTOS + 3  # 0 came back too, as its picture is still there
    assert rollback(store).backfill.derived == 3
    assert len(store.index) == PHOTOS + 3


def test_while_products_are_added_the_swap_is_refused_or_waits(
    store: StoreContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writer_lock(store.folder), pytest.raises(StoreBusyError, match=r"Another process is writing.*kept.*--wait"):
        use(store, "grid:")
    assert store.model.name == "colour"
    assert store.catalog.counts().vectors["grid-1"] == PHOTOS
    monkeypatch.setattr("lapel.engine.models.WAIT_SECONDS", 0.01)
    notes: list[str] = []
    done = threading.Event()

    def change() -> None:
        use(store, "grid:", wait=True, note=notes.append)
        done.set()

    with writer_lock(store.folder):
        thread = threading.Thread(target=change)
        thread.start()
        assert not done.wait(0.3)
        assert store.model.name == "colour"
    thread.join(30)
    assert store.model.name == "grid"
    assert len(notes) == 1
    assert "Waiting for it" in notes[0]


# --- pictures that are gone -------------------------------------------------------------------------------------------


def test_pictures_that_cannot_be_read_stop_the_swap_unless_that_is_accepted(
    store: StoreContext, pictures: Path
) -> None:
    before = answers(store)
    (pictures / "7.png").unlink()
    (pictures / "8.png").write_bytes((pictures / "9.png").read_bytes())
    with pytest.raises(StoreError, match=r"2 of 30 pictures cannot be read.*7\.png.*changed.*--allow-missing"):
        use(store, "grid:")
    with (store.folder / UNREADABLE).open(newline="") as file:
        listed = {row["product"]: row["reason"] for row in csv.DictReader(file)}
    assert listed.keys() == {"7", "8"}
    assert "changed since it was added" in listed["8"]
    assert answers(store) == before
    switch = use(store, "grid:", allow_missing=True)
    assert (switch.backfill.derived, len(switch.backfill.failed)) == (0, 2)
    assert len(store.index) == PHOTOS - 2
    with pytest.raises(QueryError, match=r"No photo of the product '7' has a vector of the model 'grid'"):
        SearchEngine(store).search(Query(product_id="7"))
    # With the files back, adding again gives the changed picture a new key and the lost one its vector.
    draw(pictures, range(7, 8))
    add(store, pictures)
    assert len(store.index) == PHOTOS
    assert len(rollback(store).backfill.failed) == 0
    assert not (store.folder / UNREADABLE).exists()


def test_when_no_picture_can_be_read_there_is_nothing_to_accept(store: StoreContext, pictures: Path) -> None:
    for path in pictures.iterdir():
        path.unlink()
    with pytest.raises(StoreError, match="30 of 30") as told:
        use(store, "grid:", allow_missing=True)
    assert "--allow-missing" not in str(told.value)
    assert store.model.name == "colour"


def test_a_picture_in_which_the_model_sees_nothing_is_listed(
    store: StoreContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = GridEncoder.encode_pixels

    def blind(self: GridEncoder, pixels: Pixels) -> Vectors:
        vectors = encode(self, pixels)
        vectors[4:5] = 0
        return vectors

    monkeypatch.setattr(GridEncoder, "encode_pixels", blind)
    with pytest.raises(StoreError, match=r"1 of 30.*sees nothing"):
        use(store, "grid:")


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_old_state(store: StoreContext) -> None:
    before = answers(store)
    with store.catalog._pool.borrow() as database:
        database.execute(f"PRAGMA max_page_count = {database.execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(StoreError, match=r"disk .* is full"):
        use(store, "grid:")
    assert answers(store) == before
    with open_context(store.folder) as again:
        assert again.catalog.check() == []
        assert use(again, "grid:").model.name == "grid"


def test_impossible_changes_are_told(store: StoreContext, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"uses the model 'colour' .* already"):
        use(store, "colour:")
    with pytest.raises(ModelError, match=r"no model folder 'nowhere'.*This store has vectors of 'colour'"):
        use(store, "nowhere")
    with pytest.raises(InputError, match="no model to go back to"):
        rollback(store)
    with open_context(tmp_path / "empty", create=True) as empty, pytest.raises(InputError, match="lapel add PICTURES"):
        use(empty, "grid:")
    with model_lock(store.folder, work="something"), pytest.raises(StoreBusyError, match=f"process {os.getpid()}"):
        prune(store)
    with open_context(store.folder, read_only=True) as reader, pytest.raises(StoreReadOnlyError):
        use(reader, "grid:")


def test_a_model_that_cannot_look_at_pictures_is_refused_at_once(
    store: StoreContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: GridEncoder, pixels: Pixels) -> Vectors:
        raise RuntimeError("Got invalid dimensions.")

    monkeypatch.setattr(GridEncoder, "encode_pixels", broken)
    with pytest.raises(ModelError, match=r"'grid' \(grid:\) cannot look at a picture: Got invalid dimensions\. Export"):
        use(store, "grid:")
    monkeypatch.setattr(GridEncoder, "encode_pixels", lambda self, pixels: np.ones((len(pixels), 7), np.float32))
    with pytest.raises(ModelError, match=r"says that its vectors have 48 numbers; found the shape \(1, 7\)"):
        use(store, "grid:")
    assert [known.model.name for known in models_of(store)] == ["colour"]


def test_going_back_to_a_model_that_is_another_one_now_is_refused(store: StoreContext) -> None:
    use(store, "grid:")
    with store.catalog._pool.transaction() as database:
        database.execute("UPDATE model SET encoder = 'grid:other' WHERE name = 'colour'")
    with pytest.raises(ModelMismatchError, match=r"'grid:other' holds 'grid' \(grid-other\) now"):
        rollback(store)


# --- older catalogues -------------------------------------------------------------------------------------------------


def test_a_catalogue_of_the_first_version_keeps_its_vectors(store: StoreContext, tmp_path: Path) -> None:
    """The same store written down in the first version's tables."""
    before = answers(store)
    folder = tmp_path / "old"
    folder.mkdir()
    old = sqlite3.connect(folder / CATALOGUE, isolation_level=None)
    for statement in schema._statements(schema.MIGRATIONS[0]):
        old.execute(statement)
    old.execute("DELETE FROM setting")
    old.execute("ATTACH ? AS now", (str(store.catalog.path),))
    for table in ("setting", "product", "photo", "term", "facet"):
        columns = ", ".join(row[1] for row in old.execute(f"PRAGMA main.table_info({table})"))
        today = columns.replace("stamp", "version_token")
        old.execute(f"INSERT INTO main.{table} SELECT {today} FROM now.{table}")
    old.execute(
        "DELETE FROM main.setting WHERE name IN ('changes_since', 'feed_start', 'rules_version')"
    )  # later versions'
    old.execute("INSERT INTO main.model SELECT id, fingerprint FROM now.model")
    old.execute("INSERT INTO main.vector SELECT key, model, data FROM now.vector")
    old.execute("DETACH now")
    old.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    old.execute("PRAGMA user_version = 1")
    old.close()
    with pytest.raises(StoreReadOnlyError, match="version 1"):
        open_context(folder, read_only=True)
    with open_context(folder) as migrated:
        assert migrated.catalog.check() == []
        assert [(known.model, known.photos) for known in models_of(migrated)] == [(store.model, PHOTOS)]
        assert [
            [hit.product.id for hit in SearchEngine(migrated).search(Query(product_id=name, k=5))] for name in "01234"
        ] == [[name for name, _ in before[at : at + 5]] for at in range(5, 30, 5)]
        migrated.catalog.remove(["0"])
        assert migrated.catalog.counts().vectors == {store.model.fingerprint: PHOTOS - 1}
        assert use(migrated, "grid:").backfill.derived == PHOTOS - 1
        migrated.catalog.remove(["1"])
        assert set(migrated.catalog.counts().vectors.values()) == {PHOTOS - 2}
