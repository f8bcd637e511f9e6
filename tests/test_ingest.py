"""Adding: everything in, nothing twice, what is bad is named, and a run that was killed goes on where it was."""

from __future__ import annotations

import csv
import io
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lapel.catalog import Catalog, writer_lock
from lapel.core.errors import InputError, StoreBusyError, StoreReadOnlyError
from lapel.core.images import Pixels, Preprocessing
from lapel.core.vectors import Vectors, normalise
from lapel.engine.ingest import IngestReport, ingest
from lapel.sources import open_source
from lapel.sources.mapping import ColumnMap
from lapel.sources.photos import photo_rows
from lapel.sources.table import TableRow, read_table


class PixelEncoder:
    """A picture's own pixels, scaled to length 1: no weights, and equal pictures have equal vectors."""

    name = "pixels"
    spec = "pixels:"
    dim = 96
    preprocessing = Preprocessing(height=8, width=4)

    def __init__(self, fingerprint: str = "pixels-1", seconds: float = 0.0) -> None:
        self.fingerprint = fingerprint
        self.seconds = seconds
        self.encoded = 0

    def encode_pixels(self, pixels: Pixels) -> Vectors:
        time.sleep(self.seconds)
        self.encoded += len(pixels)
        return normalise(pixels.reshape(len(pixels), -1).astype(np.float32))

    def encode(self, images: object) -> Vectors:
        raise NotImplementedError


class Shop:
    """The part of a store that ingest needs."""

    def __init__(self, folder: Path, encoder: PixelEncoder | None = None) -> None:
        self.folder = folder
        self.catalog = Catalog.open(folder / "catalog.sqlite", create=True)
        self.encoder = encoder or PixelEncoder()
        self.claimed = 0

    def claim(self) -> None:
        self.claimed += 1


def picture(number: int, kind: str = "PNG") -> bytes:
    pixels = np.random.default_rng(number).integers(1, 255, (16, 12, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def pictures_in(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number}.png").write_bytes(picture(number))
    return folder


def table_in(folder: Path, text: str) -> Path:
    path = folder / "products.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path / "shop")
    yield made
    made.catalog.close()


def add(shop: Shop, where: Path, table: Path | None = None, **options: object) -> IngestReport:
    source = open_source(where)
    rows = photo_rows(source) if table is None else read_table(table, ColumnMap())
    try:
        done = ingest(shop, rows, source=source, rejects=shop.folder / "rejects.csv", **options)  # type: ignore[arg-type]
    finally:
        source.close()
    assert done.adds_up
    assert shop.catalog.check() == []
    counts = shop.catalog.counts()
    assert sum(counts.vectors.values()) == counts.photos
    return done


def rejects(shop: Shop) -> list[dict[str, str]]:
    with (shop.folder / "rejects.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def contents(path: Path) -> list[object]:
    """Everything a catalogue knows, but for row numbers and keys, which depend on the order of events."""
    database = sqlite3.connect(path)
    rows = database.execute(
        "SELECT product.id, title, category, attributes, content_hash, position, uri, version_token, sha256,"
        " fingerprint, data"
        " FROM product"
        " JOIN photo ON product_row = row JOIN vector ON vector.key = photo.key JOIN model ON model.id = vector.model"
        " ORDER BY 1, position"
    ).fetchall()
    facets = database.execute(
        "SELECT product.id, name, value FROM facet JOIN product ON row = product_row JOIN term ON term.id = term ORDER"
        " BY 1, 2, 3"
    )
    rows += facets.fetchall()
    database.close()
    return rows


def test_a_folder_goes_in_and_again_changes_nothing(shop: Shop, tmp_path: Path) -> None:
    where = pictures_in(tmp_path / "p" / "Shirts", 20).parent
    (where / "README.txt").write_text("no picture")
    done = add(shop, where, batch=6)
    assert (done.rows, done.products_added, done.photos_added, done.files_ignored) == (20, 20, 20, 1)
    assert shop.claimed == 1
    product = shop.catalog.product("Shirts/7")
    assert (product.title, product.category) == ("7", ("Shirts",))
    generation, encoded = shop.catalog.generation, shop.encoder.encoded
    again = add(shop, where)
    assert (again.products_unchanged, again.photos_unchanged) == (20, 20)
    assert shop.catalog.generation == generation
    assert shop.encoder.encoded == encoded == 20
    assert rejects(shop) == []


def test_vectors_belong_to_their_pictures(shop: Shop, tmp_path: Path) -> None:
    where = pictures_in(tmp_path / "p", 30)
    add(shop, where, batch=7)
    for number in (0, 6, 7, 29):
        (photo,) = shop.catalog.photos(str(number))
        with Image.open(where / f"{number}.png") as image:
            pixels = shop.encoder.preprocessing.apply(image)
        assert np.allclose(
            shop.catalog.vector_of([photo.key], fingerprint=shop.encoder.fingerprint)[0],
            normalise(pixels.reshape(1, -1))[0],
        )


def test_a_table_with_a_zip(shop: Shop, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for number in range(5):
            archive.writestr(f"{number}.jpg", picture(number, "JPEG"))
    table = table_in(
        tmp_path,
        "id,title,articleType,split\n0,zero,Shirts,val\n1,one,Shoes,train\n2,two,Shirts,val\n9,none,Shoes,val\n",
    )
    done = add(shop, tmp_path / "images.zip", table)
    assert (done.rows, done.products_added, done.products_rejected, done.pictures_unnamed) == (4, 3, 1, 2)
    assert shop.catalog.product("1").attributes == {"articleType": "Shoes", "split": "train"}
    (bad,) = rejects(shop)
    assert (bad["line"], bad["product"], bad["outcome"]) == ("5", "9", "row left out")
    assert "no picture '9'" in bad["reason"]


def test_only_what_changed_is_done_again(shop: Shop, tmp_path: Path) -> None:
    where = pictures_in(tmp_path, 6)
    text = "id,title,pictures\na,A,0.png|1.png\nb,B,2.png\nc,C,3.png\n"
    add(shop, where, table_in(tmp_path, text))
    shop.encoder.encoded = 0
    keys = {photo.uri: photo.key for name in "abc" for photo in shop.catalog.photos(name)}

    # Words only: nothing is encoded, and keys stay.
    done = add(shop, where, table_in(tmp_path, text.replace("A,", "Renamed,")))
    assert (done.products_updated, done.products_unchanged, done.photos_unchanged) == (1, 2, 4)
    assert shop.encoder.encoded == 0
    assert shop.catalog.product("a").title == "Renamed"

    # Touched, but the same bytes: only the stamp is written.
    os.utime(where / "2.png", (1, 1))
    done = add(shop, where, tmp_path / "products.csv")
    assert (done.products_unchanged, done.photos_unchanged) == (3, 4)
    assert shop.encoder.encoded == 0
    generation = shop.catalog.generation
    add(shop, where, tmp_path / "products.csv")
    assert shop.catalog.generation == generation

    # New bytes, one picture more, one less.
    (where / "2.png").write_bytes(picture(77))
    done = add(shop, where, table_in(tmp_path, "id,title,pictures\na,Renamed,1.png|4.png\nb,B,2.png\nc,C,3.png\n"))
    assert (done.products_updated, done.products_unchanged) == (2, 1)
    assert (done.photos_added, done.photos_updated, done.photos_unchanged, done.photos_removed) == (1, 1, 2, 1)
    assert shop.encoder.encoded == 2
    now = {photo.uri: photo.key for name in "abc" for photo in shop.catalog.photos(name)}
    assert {uri.rpartition("/")[2] for uri in now} == {"1.png", "4.png", "2.png", "3.png"}
    assert [uri.rpartition("/")[2] for uri, key in now.items() if keys.get(uri) == key] == ["1.png", "3.png"]

    # Another order is a change, and costs no encoding.
    done = add(shop, where, table_in(tmp_path, "id,title,pictures\na,Renamed,4.png|1.png\nb,B,2.png\nc,C,3.png\n"))
    assert (done.products_updated, shop.encoder.encoded) == (1, 2)
    assert shop.catalog.photos("a")[0].uri.endswith("4.png")


def test_products_that_the_table_does_not_name_stay(shop: Shop, tmp_path: Path) -> None:
    where = pictures_in(tmp_path, 3)
    add(shop, where, table_in(tmp_path, "id\n0\n1\n"))
    add(shop, where, table_in(tmp_path, "id\n2\n"))
    assert shop.catalog.counts().products == 3


BAD = {
    "empty.jpg": (b"", "empty"),
    "text.jpg": (b"this is a text", "Not a picture"),
    "page.png": (b"<html>404</html>", "web page"),
    "cut.png": (picture(1)[:200], "damaged or cut short"),
    "one.png": (b"", "empty"),
}


def test_bad_pictures_are_named_and_stop_nothing(shop: Shop, tmp_path: Path) -> None:
    where = pictures_in(tmp_path / "p", 10)
    for name, (data, _) in BAD.items():
        (where / name).write_bytes(data)
    done = add(shop, where, batch=3)
    assert (done.products_added, done.products_rejected, done.photos_rejected) == (10, len(BAD), len(BAD))
    found = {row["picture"].rpartition("/")[2]: row for row in rejects(shop)}
    assert found.keys() == BAD.keys()
    for name, (_, words) in BAD.items():
        assert words in found[name]["reason"]
        assert found[name]["outcome"] == "row left out"


def test_a_product_keeps_its_good_pictures(shop: Shop, tmp_path: Path) -> None:
    where = pictures_in(tmp_path, 2)
    (where / "bad.png").write_bytes(b"")
    table = table_in(tmp_path, "id,pictures\na,bad.png|0.png|gone.png|1.png|0.png\n")
    for state in ("added", "unchanged", "unchanged"):
        done = add(shop, where, table)
        assert getattr(done, f"products_{state}") == 1
        assert (done.photos, done.photos_rejected) == (4, 2)
        assert [row["outcome"] for row in rejects(shop)] == ["picture left out"] * 2
    assert [photo.uri.rpartition("/")[2] for photo in shop.catalog.photos("a")] == ["0.png", "1.png"]
    assert shop.encoder.encoded == 2


def test_nothing_stored_is_lost_to_a_bad_file(shop: Shop, tmp_path: Path) -> None:
    where = pictures_in(tmp_path, 3)
    table = table_in(tmp_path, "id,title,pictures\na,A,0.png|1.png\nb,B,2.png\n")
    add(shop, where, table)
    before = {name: shop.catalog.photos(name) for name in "ab"}
    (where / "1.png").write_bytes(b"broken")
    (where / "2.png").unlink()
    done = add(shop, where, table)
    assert (done.products_rejected, done.photos_rejected, done.photos_removed) == (1, 2, 0)
    assert {name: shop.catalog.photos(name) for name in "ab"} == before
    assert {row["outcome"] for row in rejects(shop)} == {"picture left out", "row left out; what is stored stays"}
    (where / "1.png").write_bytes(picture(1))
    (where / "2.png").write_bytes(picture(2))
    done = add(shop, where, table)
    assert (done.products_unchanged, done.photos_unchanged) == (2, 3)


def test_table_problems_are_counted_and_listed(shop: Shop, tmp_path: Path) -> None:
    where = pictures_in(tmp_path, 4)
    table = table_in(tmp_path, "id,price,currency\n0,abc,EUR\n1,5,EUR,more\n2,5,EUR\n2,6,EUR\n,5,EUR\n3,https,EUR\n")
    done = add(shop, where, table)
    assert (done.rows, done.products_added, done.products_rejected, done.warnings) == (6, 3, 3, 2)
    assert [(row["line"], row["outcome"]) for row in rejects(shop)] == [
        ("2", "row kept"),
        ("3", "row left out"),
        ("5", "row left out"),
        ("6", "row left out"),
        ("7", "row kept"),
    ]
    assert shop.catalog.product("2").price_minor == 500


def test_a_picture_without_direction_costs_only_itself(shop: Shop, tmp_path: Path) -> None:
    where = pictures_in(tmp_path, 2)
    Image.new("RGB", (12, 24), (0, 0, 0)).save(where / "black.png")  # PixelEncoder makes zeros of it
    done = add(shop, where)
    assert (done.products_added, done.products_rejected) == (2, 1)
    assert "sees nothing" in rejects(shop)[0]["reason"]


def test_missing_vectors_are_made_again(shop: Shop, tmp_path: Path) -> None:
    where = pictures_in(tmp_path, 4)
    add(shop, where)
    keys = shop.catalog.vector_keys("pixels-1").tolist()
    with shop.catalog._pool.transaction() as database:
        database.execute("DELETE FROM vector WHERE key = ?", (keys[2],))
    done = add(shop, where)
    assert (done.photos_updated, done.photos_unchanged) == (1, 3)
    assert shop.catalog.vector_keys("pixels-1").tolist() == keys


def test_progress_is_told_and_adds_up(shop: Shop, tmp_path: Path) -> None:
    where = pictures_in(tmp_path / "p", 10)
    told: list[tuple[int, int | None, IngestReport]] = []
    done = add(shop, where, batch=3, total=10, report=lambda *now: told.append(now))
    assert [rows for rows, _, _ in told] == [3, 6, 9, 10]
    assert {total for _, total, _ in told} == {10}
    assert all(now.adds_up for _, _, now in told)
    assert replace(told[-1][2], seconds=0) == replace(done, seconds=0)


@pytest.mark.parametrize("where", ["report", "encoder"])
def test_ctrl_c_keeps_what_was_reported(
    shop: Shop, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pictures_in(tmp_path, 40)
    (folder / "bad.png").write_bytes(b"")
    (folder / "000.png").write_bytes(b"")
    reported: list[int] = []

    def report(rows: int, total: int | None, now: IngestReport) -> None:
        reported.append(rows)
        if where == "report" and rows >= 12:
            raise KeyboardInterrupt

    encode = shop.encoder.encode_pixels

    def interrupted(pixels: Pixels) -> Vectors:
        if where == "encoder" and shop.encoder.encoded >= 12:
            raise KeyboardInterrupt
        return encode(pixels)

    monkeypatch.setattr(shop.encoder, "encode_pixels", interrupted)
    with pytest.raises(KeyboardInterrupt):
        add(shop, folder, batch=4, report=report)
    kept = shop.catalog.counts().products
    # Interrupted while encoding, the batch that was being written meanwhile is kept as well.
    assert kept == reported[-1] - 1 + (4 if where == "encoder" else 0)
    assert rejects(shop)[0]["product"] == "000"
    assert not list(shop.folder.glob("*.part"))
    monkeypatch.setattr(shop.encoder, "encode_pixels", encode)
    done = add(shop, folder)
    assert done.products_unchanged == kept
    assert shop.catalog.counts().products == 40


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_ingest import PixelEncoder, Shop, add
shop = Shop(Path(sys.argv[2]), PixelEncoder(seconds=0.003))
print("ready", flush=True)
add(shop, Path(sys.argv[3]), Path(sys.argv[4]), batch=4)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_kill_9_at_any_moment_loses_and_doubles_nothing(tmp_path: Path) -> None:
    where = pictures_in(tmp_path / "pictures", 400)
    (where / "13.png").write_bytes(b"broken")
    lines = [f"p{n},Title {n},{n}.png|{(n + 200) % 400}.png,{2000 + n % 20}" for n in range(390)]
    table = table_in(tmp_path, "id,title,pictures,year\n" + "\n".join(lines) + "\n")
    straight = Shop(tmp_path / "straight")
    expected = add(straight, where, table)
    straight.catalog.close()

    moments = random.Random(20)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [
        sys.executable,
        "-c",
        KILLED,
        str(Path(__file__).parent),
        str(tmp_path / "killed"),
        str(where),
        str(table),
    ]
    kills = 0
    for _ in range(6):
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as running:
            assert running.stdout is not None
            running.stdout.readline()
            time.sleep(moments.uniform(0.0, 0.25))
            running.send_signal(signal.SIGKILL)
            kills += running.wait() == -signal.SIGKILL
    assert kills >= 2  # else the runs were over before they could be killed, and nothing was tested
    resumed = Shop(tmp_path / "killed")
    stored = resumed.catalog.counts().products
    done = add(resumed, where, table)
    resumed.catalog.close()
    assert done.products_unchanged == stored
    assert done.products_added == expected.products_added - stored
    assert contents(tmp_path / "killed" / "catalog.sqlite") == contents(tmp_path / "straight" / "catalog.sqlite")


def test_a_second_writer_is_sent_away_at_once(shop: Shop, tmp_path: Path) -> None:
    where = pictures_in(tmp_path / "p", 2)
    with writer_lock(shop.folder):
        begun = time.monotonic()
        with pytest.raises(StoreBusyError, match=rf"process {os.getpid()}"):
            add(shop, where)
        assert time.monotonic() - begun < 1
    assert add(shop, where).products_added == 2


def test_a_store_that_turns_read_only_says_so(shop: Shop, tmp_path: Path) -> None:
    where = pictures_in(tmp_path / "p", 2)
    shop.catalog.close()
    shop.catalog = Catalog.open(shop.folder / "catalog.sqlite", read_only=True)
    with pytest.raises(StoreReadOnlyError, match="may not be written to"):
        add(shop, where)


def test_rejects_that_cannot_be_written_are_told_first(shop: Shop, tmp_path: Path) -> None:
    source = open_source(pictures_in(tmp_path / "p", 2))
    with pytest.raises(InputError, match="list of unusable pictures"):
        ingest(shop, photo_rows(source), source=source, rejects=tmp_path / "none" / "rejects.csv")
    assert shop.catalog.counts().products == 0


def test_rows_may_come_from_anywhere_and_end_with_an_error(shop: Shop, tmp_path: Path) -> None:
    source = open_source(pictures_in(tmp_path / "p", 6))

    def rows() -> Iterator[TableRow]:
        yield from photo_rows(source)
        raise RuntimeError("the table's disk is gone")

    with pytest.raises(RuntimeError, match="disk is gone"):
        ingest(shop, rows(), source=source, batch=2)
    assert shop.catalog.check() == []


def test_the_real_catalogue_in_small(catalogue: Path, shop: Shop) -> None:
    from itertools import islice

    source = open_source(catalogue / "images.zip")
    done = ingest(shop, islice(read_table(catalogue / "products.csv"), 300), source=source)
    source.close()
    assert (done.products_added, done.photos_added, done.pictures_unnamed) == (300, 300, 40_097 - 300)
    assert shop.catalog.product("39386").title == "Peter England Men Party Blue Jeans"
