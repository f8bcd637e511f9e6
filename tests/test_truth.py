"""What a search says is true: of the model in use, of all photos of a product, of what several processes wrote at
once."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lapel import Product, Query
from lapel.catalog import Catalog, Entry, PhotoEntry
from lapel.core.images import Pixels, Preprocessing
from lapel.core.registry import Backend
from lapel.core.vectors import Vectors, normalise
from lapel.encoders import ENCODERS, segmenter
from lapel.engine.context import CATALOGUE, StoreContext, open_context
from lapel.engine.ingest import ingest
from lapel.engine.models import rollback, use
from lapel.engine.retrieval import SearchEngine
from lapel.sources import open_source
from lapel.sources.photos import photo_rows
from test_store import corner, fill


class FirstEncoder:
    """The mean colour of a picture as a direction: as wide as :class:`SecondEncoder`, whose numbers stand elsewhere."""

    name = "first"
    dim = 8
    preprocessing = Preprocessing(height=8, width=8)
    order = (0, 1, 2)

    def __init__(self, rest: str = "", *, threads: int | None = None) -> None:
        self.spec = f"{self.name}:"
        self.fingerprint = f"{self.name}-1"

    def encode(self, images: Sequence[Image.Image]) -> Vectors:
        return self.encode_pixels(self.preprocessing.batch(images))

    def encode_pixels(self, pixels: Pixels) -> Vectors:
        out = np.zeros((len(pixels), self.dim), np.float32)
        out[:, list(self.order)] = pixels.mean(axis=(1, 2))
        return normalise(out)


class SecondEncoder(FirstEncoder):
    name = "second"
    order = (4, 5, 6)


@pytest.fixture
def twins(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, made in (("first", "FirstEncoder"), ("second", "SecondEncoder")):
        monkeypatch.setitem(ENCODERS.backends, name, Backend(f"{__name__}:{made}"))  # type: ignore[arg-type]


def plain(*colour: int) -> Image.Image:
    return Image.new("RGB", (60, 60), tuple(colour))  # square: nothing is padded with white


# --- the index is of the model in use ---------------------------------------------------------------------------------

COLOURS = {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200), "pink": (200, 0, 100)}


@pytest.mark.usefixtures("twins")
def test_the_saved_index_of_another_model_of_the_same_width_never_answers(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for name, colour in COLOURS.items():
        plain(*colour).save(tmp_path / "pictures" / f"{name}.png")

    def best(shop: StoreContext) -> list[tuple[str, float]]:
        hits = SearchEngine(shop).search(Query(image=plain(200, 0, 0), segment=False, k=2))
        return [(hit.product.id, round(hit.score, 4)) for hit in hits]

    right = [("red", 1.0), ("pink", 0.8944)]  # 2 / sqrt(5)
    folder = tmp_path / "shop"
    with open_context(folder, create=True, encoder="first:") as shop:
        source = open_source(tmp_path / "pictures")
        ingest(shop, photo_rows(source), source=source)
        assert best(shop) == right
    (old,) = folder.glob("index-*.bin")
    kept = old.read_bytes()
    with open_context(folder) as shop:
        assert best(shop) == right  # the old index is in memory
        use(shop, "second:")
        assert best(shop) == right
    # As if the process had died before it removed the old file, and after.
    for again in (False, True):
        old.write_bytes(kept)
        if again:
            for other in set(folder.glob("index-*.bin")) - {old}:
                other.unlink()
        with open_context(folder) as shop:
            assert shop.model.name == "second"
            assert best(shop) == right
    with open_context(folder) as shop:
        rollback(shop)
        assert best(shop) == right


def test_old_index_files_are_removed_when_a_newer_one_is_saved(tmp_path: Path) -> None:
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        for generation in (1, 2, 3):
            fill(store, {f"{generation}-{n}": [corner(1, n)] for n in range(4)})
            assert len(store.index) == 4 * generation
            store.index_sync.wait_idle()
            assert [path.stem.rpartition("-")[2] for path in store.folder.glob("index-*.bin")] == [str(generation)]


@pytest.mark.parametrize(("changes", "saved"), [(1, "1"), (2, "3")])
def test_an_index_is_saved_again_when_more_than_a_tenth_has_changed(tmp_path: Path, changes: int, saved: str) -> None:
    """Of 10 vectors one changed: a tenth, not more. The second change makes it two of ten."""
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        fill(store, {f"p{n}": [corner(1, n)] for n in range(9)})
        assert len(store.index) == 9
        store.index_sync.wait_idle()
        for n in range(changes):
            fill(store, {f"new{n}": [corner(1, -n)]})
            assert len(store.index) == 10 + n
            store.index_sync.wait_idle()
        (found,) = store.folder.glob("index-*.bin")
        assert found.stem.rpartition("-")[2] == saved


# --- a query is the mean of what it was made of -----------------------------------------------------------------------


def test_more_like_this_asks_with_the_mean_of_all_photos(tmp_path: Path) -> None:
    """Two photos that look opposite ways, both a little upwards: only their mean points up."""
    looks = {
        "asked": [corner(1, 0.2), corner(-1, 0.2)],
        "like the first": [corner(1, 0.1)],
        "like the second": [corner(-1, 0.1)],
        "like both": [corner(0, 1)],
    }
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        fill(store, looks)
        hits = SearchEngine(store).search(Query(product_id="asked", k=3))
        assert (hits[0].product.id, round(hits[0].score, 4)) == ("like both", 1.0)
        assert [round(hit.score, 4) for hit in hits[1:]] == [0.0995, 0.0995]  # 0.1 / sqrt(1.01)
        embedded = SearchEngine(store).embed(Query(product_id="asked", k=3))
        assert embedded.vector is not None
        assert embedded.vector[:3].round(5).tolist() == [0, 1, 0]
        assert (embedded.fingerprint, embedded.exclude) == (store.model.fingerprint, frozenset({"asked"}))


class BluePart:
    """Stands for the network that finds products: the product of a picture with blue in it is blue."""

    def cut_out(
        self, pictures: Sequence[Image.Image], *, shape: Preprocessing, on_white: Sequence[bool] | None = None
    ) -> list[segmenter.CutOut | None]:
        blue = segmenter.CutOut(plain(0, 0, 200), (0, 0, 1, 1))
        return [blue if np.asarray(picture)[..., 2].any() else None for picture in pictures]


@pytest.mark.usefixtures("twins")
def test_the_query_of_a_photo_is_the_mean_of_photo_and_product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segmenter, "open_segmenter", BluePart)
    photo = plain(200, 0, 0)
    photo.putpixel((0, 0), (200, 0, 1))
    encoder = FirstEncoder()
    with open_context(tmp_path / "shop", create=True, encoder="first:") as store:
        store.claim()
        entry = PhotoEntry("file:///a.jpg", "1", "00", encoder.encode([plain(0, 0, 200)])[0])
        store.catalog.write([Entry(Product("blue"), (entry,))], fingerprint=encoder.fingerprint)
        engine = SearchEngine(store)

        def query(image: Image.Image, **more: Any) -> list[float]:
            vector: list[float] = engine.vector(Query(image=image, **more))[0, :3].tolist()
            return vector

        assert query(photo) == pytest.approx([0.5**0.5, 0, 0.5**0.5], abs=2e-3)
        assert query(photo, segment=False) == pytest.approx([1, 0, 0], abs=2e-3)
        assert query(plain(0, 200, 0)) == pytest.approx([0, 1, 0], abs=2e-3)  # no product was found: the photo alone
        assert engine.search(Query(image=photo, k=1))[0].score == pytest.approx(0.5**0.5, abs=2e-3)
        assert engine.search(Query(image=photo, k=1, segment=False))[0].score == pytest.approx(0, abs=2e-3)


# --- several connections, several processes ---------------------------------------------------------------------------


def test_every_connection_of_a_pool_is_opened_alike(tmp_path: Path) -> None:
    """The first one too: it is what the file was made with."""
    wanted = {"synchronous": 1, "foreign_keys": 1, "cache_size": -32768, "busy_timeout": 5000}  # synchronous: NORMAL
    for create in (True, False):
        catalog = Catalog.open(tmp_path / CATALOGUE, create=create)
        with ExitStack() as held:
            for _ in range(3):
                database = held.enter_context(catalog._pool.borrow())
                assert {name: database.execute(f"PRAGMA {name}").fetchone()[0] for name in wanted} == wanted
                assert database.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        catalog.close()


WRITE = """
import sys
from pathlib import Path
import numpy as np
from lapel import Product
from lapel.catalog import Catalog, Entry, PhotoEntry
from lapel.catalog.connection import Pool

connect = Pool._connect
def told(self):
    connection = connect(self)
    connection.set_trace_callback(lambda statement: print(statement.split()[0], flush=True))
    return connection
Pool._connect = told
catalog = Catalog.open(Path(sys.argv[1]))
print("OPEN", flush=True)
vector = np.eye(1, 8, dtype=np.float32)[0]
for number in range(3):
    photo = PhotoEntry(f"file:///{number}.jpg", "1", "00", vector)
    catalog.write([Entry(Product(f"child{number}"), (photo,))], fingerprint="f")
catalog.close()
print("DONE", flush=True)
"""


def test_a_process_waits_for_another_one_s_transaction_and_then_writes(tmp_path: Path) -> None:
    """A transaction that only locks when it first writes would fail here: what it read is old by then."""
    path = tmp_path / CATALOGUE
    catalog = Catalog.open(path, create=True)
    vector = np.eye(1, 8, dtype=np.float32)[0]
    with subprocess.Popen([sys.executable, "-c", WRITE, str(path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        with catalog._pool.transaction() as database:
            lines = iter(child.stdout.readline, "")
            assert "OPEN\n" in lines
            assert next(lines) == "BEGIN\n"
            time.sleep(0.3)  # for it to read, if it does not wait
            assert child.poll() is None
            database.execute("UPDATE setting SET value = '41' WHERE name = 'generation'")
        catalog.write([Entry(Product("mine"), (PhotoEntry("file:///m.jpg", "1", "00", vector),))], fingerprint="f")
        assert list(lines)[-1] == "DONE\n"
    assert child.returncode == 0
    assert sorted(product.id for product in catalog.products()) == ["child0", "child1", "child2", "mine"]
    assert catalog.generation == 45
    catalog.close()
