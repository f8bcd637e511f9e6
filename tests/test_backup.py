"""``lapel backup`` and ``lapel restore``: what is put back is what was kept, also while others write, and nothing is
replaced or left half done."""

from __future__ import annotations

import io
import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

import lapel
from api_shop import COLOURS, fill, picture
from lapel.core.errors import InputError, StoreDamagedError
from lapel.service import ProductPut, decode
from lapel.service import backup as home


def put(store: lapel.Store, name: str, colour: tuple[int, int, int] = (9, 9, 200)) -> None:
    product = lapel.Product(id=name, title=f"{name} coat")
    assert store.products.put(ProductPut(product, ("a.png",), {"a.png": picture(colour)})).state == "added"


def shown(store: lapel.Store) -> Any:
    """All that people see of a store, but where its files are."""
    found = store.browse(limit=1000).products
    hits = [store.search(image=picture(colour), k=50) for colour in COLOURS.values()]
    return (
        [(each.product, each.added_at, each.changed_at, [photo.sha256 for photo in each.photos]) for each in found],
        [[(hit.product.id, hit.score) for hit in result] for result in hits],
        [(key.id, key.scopes) for key in store.keys.list()],
        [job.id for job in store.jobs.list(10)],
    )


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    shop = fill(tmp_path)
    (shop / "synonyms.csv").write_text("pullover,jumper\n")
    with lapel.open_store(shop) as store:
        put(store, "navy")
        store.keys.create(("search",), "the website")
        store.jobs.rebuild_index()
    return shop


def test_what_is_restored_is_what_was_kept(shop: Path, tmp_path: Path) -> None:
    with lapel.open_store(shop) as store:
        kept, steps = shown(store), []
        report = store.backup(tmp_path / "kept", progress=lambda done, total: steps.append((done, total)))
        put(store, "later")
    assert steps == sorted(steps)
    assert steps[-1] == (report.bytes, report.bytes)
    assert (tmp_path / "kept").stat().st_mode & 0o077 == 0  # there are hashes of keys in it
    again = lapel.restore_store(tmp_path / "kept", tmp_path / "new" / "shop")
    assert (again.products, again.files, again.bytes) == (5, report.files, report.bytes)
    subprocess.run(["rm", "-rf", str(shop)], check=True)  # the new one needs nothing of the old one
    with lapel.open_store(tmp_path / "new" / "shop") as store:
        assert shown(store) == kept
        (photo,) = store.product("navy").photos
        assert Path(photo.uri.removeprefix("file://")).is_relative_to(tmp_path / "new")
        assert store.image(photo).size == decode(picture((9, 9, 200))).size
        assert (store.folder / "synonyms.csv").read_text() == "pullover,jumper\n"
        put(store, "more")  # and it is a store like any
    assert sorted(each.name for each in tmp_path.iterdir()) == ["kept", "new", "photos"]


def test_what_people_did_and_decided_is_kept_too_while_it_is_written(shop: Path, tmp_path: Path) -> None:
    """Events, what is no duplicate, what is watched for, and the store's own calibration: each as of one moment."""
    own = shop / "calibration" / "0123456789abcdef" / "calibration.json"
    own.parent.mkdir(parents=True)
    own.write_text("{}")
    with lapel.open_store(shop) as store:
        store.record([lapel.Event("e1", "anna", "navy", "like", 1e9)])
        first, second = sorted(each.product.id for each in store.browse(limit=2).products)
        store.dismiss_duplicate(first, second)
        with sqlite3.connect(shop / "events.sqlite") as other:  # somebody writes meanwhile
            other.execute("CREATE TABLE unfinished (x)")
            other.execute("INSERT INTO unfinished VALUES (1)")
            other.commit()
            other.execute("INSERT INTO unfinished VALUES (2)")
            store.backup(tmp_path / "kept")
            other.rollback()
        other.close()
    with zipfile.ZipFile(tmp_path / "kept") as archive:
        assert not [name for name in archive.namelist() if name.endswith(("-wal", "-shm"))]
    lapel.restore_store(tmp_path / "kept", tmp_path / "again")
    with lapel.open_store(tmp_path / "again") as store:
        assert [each.id for each in store.export("anna").events] == ["e1"]
        assert [(each.one, each.other) for each in store.dismissed_duplicates()] == [(first, second)]
    with sqlite3.connect(tmp_path / "again" / "events.sqlite") as database:
        assert database.execute("SELECT x FROM unfinished").fetchall() == [(1,)]
    database.close()
    assert (tmp_path / "again" / own.relative_to(shop)).read_text() == "{}"


def test_pictures_of_an_uploaded_archive_are_kept_and_found_where_it_lies_now(shop: Path, tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("teal.png", picture((0, 128, 128)))
    with lapel.open_store(shop) as store:
        kept = store.jobs.keep_upload(stream.getvalue(), ".zip")
        before = kept.stat()
        assert store.jobs.keep_upload(stream.getvalue(), ".zip") == kept
        assert (kept.stat().st_ino, kept.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)  # a job may read it
        store.add(kept)
        store.backup(tmp_path / "kept")
    lapel.restore_store(tmp_path / "kept", tmp_path / "again")
    subprocess.run(["rm", "-rf", str(shop)], check=True)
    with lapel.open_store(tmp_path / "again") as store:
        (photo,) = store.product("teal").photos
        assert photo.uri.startswith(f"zip://{tmp_path / 'again' / 'uploads'}/")
        assert store.image(photo).size == decode(picture((0, 128, 128))).size


def test_a_backup_while_others_write_and_take_out_holds_one_moment(shop: Path, tmp_path: Path) -> None:
    stop, written = threading.Event(), []

    def write() -> None:
        with lapel.open_store(shop) as own:
            while not stop.is_set():
                name = f"n{len(written)}"
                put(own, name, (len(written) % 250, 80, 160))
                written.append(name)
                if len(written) > 2:
                    own.products.remove(written[-3])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with lapel.open_store(shop, read_only=True) as store:
            number, until = 0, time.monotonic() + 60
            while number < 3 or (len(written) < 5 and time.monotonic() < until):
                store.backup(tmp_path / f"kept{number}")
                number += 1
    finally:
        stop.set()
        writer.join()
    assert len(written) >= 5  # it was not kept waiting
    for made in range(number):
        lapel.restore_store(tmp_path / f"kept{made}", tmp_path / f"shop{made}")
        with lapel.open_store(tmp_path / f"shop{made}") as store:
            for each in store.browse(limit=1000).products:
                for photo in each.photos:
                    store.image(photo)  # each picture is there
            assert store.index.check().agrees


def test_a_picture_that_goes_while_it_is_kept_is_no_hole(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lapel.open_store(shop) as store:
        own, asked = home._Writer._pictures, []

        def slow(writer: Any) -> Any:
            found = own(writer)
            asked.append(found)
            if len(asked) == 1:
                store.products.remove("navy")
                put(store, "other", (10, 200, 10))
            return found

        monkeypatch.setattr(home._Writer, "_pictures", slow)
        assert store.backup(tmp_path / "kept").products == 5
    assert len(asked) == 2
    lapel.restore_store(tmp_path / "kept", tmp_path / "new")
    with lapel.open_store(tmp_path / "new") as store:
        assert store.image(store.product("other").photos[0])


def test_nothing_is_replaced(shop: Path, tmp_path: Path) -> None:
    with lapel.open_store(shop) as store:
        store.backup(tmp_path / "kept")
        with pytest.raises(InputError, match="never replaces"):
            store.backup(tmp_path / "kept")
        with pytest.raises(InputError, match="cannot be written"):
            store.backup(tmp_path / "nowhere" / "kept")
    with pytest.raises(InputError, match="nothing is replaced"):
        lapel.restore_store(tmp_path / "kept", shop)
    (tmp_path / "empty").mkdir()
    lapel.restore_store(tmp_path / "kept", tmp_path / "empty")


@pytest.mark.parametrize("spoil", ["cut", "changed", "no zip", "no manifest", "outside", "newer"])
def test_a_backup_that_is_spoilt_makes_nothing(shop: Path, tmp_path: Path, spoil: str) -> None:
    path = tmp_path / "kept"
    with lapel.open_store(shop) as store:
        store.backup(path)
    data = path.read_bytes()
    if spoil == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif spoil == "no zip":
        path.write_bytes(b"a text")
    else:
        with zipfile.ZipFile(path) as old:
            held = {name: old.read(name) for name in old.namelist()}
        facts = json.loads(held.pop(home.MANIFEST))
        if spoil == "changed":
            held["catalog.sqlite"] = held["catalog.sqlite"][:-1] + b"x"
        elif spoil == "outside":
            held["../evil"] = held["catalog.sqlite"]
            facts["files"]["../evil"] = facts["files"]["catalog.sqlite"]
        elif spoil == "newer":
            facts["format"] = 99
        with zipfile.ZipFile(path, "w") as new:
            for name, content in held.items():
                new.writestr(name, content)
            if spoil != "no manifest":
                new.writestr(home.MANIFEST, json.dumps(facts))
    with pytest.raises((InputError, StoreDamagedError)):
        lapel.restore_store(path, tmp_path / "new")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["kept", "photos", "shop"]


@pytest.mark.parametrize("step", ["backup", "restore"])
def test_kill_leaves_nothing_that_looks_whole(shop: Path, tmp_path: Path, step: str) -> None:
    with lapel.open_store(shop) as store:
        store.backup(tmp_path / "kept")
    calls = {
        "backup": "lapel.open_store(sys.argv[1]).backup(sys.argv[2] + '2', progress=die)",
        "restore": "lapel.restore_store(sys.argv[2], sys.argv[3], progress=die)",
    }
    code = f"import lapel, os, sys\ndef die(done, total):\n    os.kill(os.getpid(), 9)\n{calls[step]}"
    line = [sys.executable, "-c", code, str(shop), str(tmp_path / "kept"), str(tmp_path / "new")]
    assert subprocess.run(line, check=False).returncode == -signal.SIGKILL
    assert not (tmp_path / "kept2").exists()
    assert not (tmp_path / "new").exists()
    with lapel.open_store(shop) as store:  # and the next one is not kept from it
        store.backup(tmp_path / "kept2")
    lapel.restore_store(tmp_path / "kept2", tmp_path / "new")


def test_the_commands_say_what_they_did(shop: Path, tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "lapel", *words], capture_output=True, text=True, check=False)

    done = run("backup", str(tmp_path / "kept"), "--store", str(shop), "--json")
    assert json.loads(done.stdout)["products"] == 5
    done = run("restore", str(tmp_path / "kept"), "--store", str(tmp_path / "new"))
    assert "5 products" in done.stdout
    done = run("restore", str(tmp_path / "kept"), "--store", str(tmp_path / "new"))
    assert done.returncode == 1
    assert "nothing is replaced" in done.stderr


def test_pictures_of_products_that_go_are_let_go(shop: Path) -> None:
    def pictures() -> int:
        return sum(each.is_file() for each in (shop / "pictures").rglob("*"))

    with lapel.open_store(shop) as store:
        put(store, "twin")  # the same picture as navy's
        put(store, "other", (200, 9, 9))
        assert pictures() == 2
        store.products.remove("navy")
        assert pictures() == 2
        store.remove(["twin"])
        assert pictures() == 1
        changed = ProductPut(lapel.Product(id="other"), ("b.png",), {"b.png": picture((9, 200, 9))})
        store.products.put(changed)
        assert pictures() == 1
        assert store.image(store.product("other").photos[0]).getpixel((50, 60)) == (9, 200, 9)
    with sqlite3.connect(shop / "catalog.sqlite") as database:
        assert database.execute("SELECT count(*) FROM photo WHERE uri LIKE '%/pictures/%'").fetchone() == (1,)
