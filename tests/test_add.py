"""``lapel add`` on what shops, phones and storage boxes have: everything in, or a counted line with the reason and what
to do."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from inputs import folders
from inputs.folders import decomposed, picture, write
from lapel.apps.cli import app
from lapel.core.errors import SourceError, TableError
from lapel.core.types import Product, Query
from lapel.engine.context import StoreContext, open_context
from lapel.engine.ingest import IngestReport, ingest
from lapel.engine.rejects import Reasons
from lapel.engine.retrieval import SearchEngine
from lapel.sources import open_source
from lapel.sources.table import TableRow


def add(where: Path | str, store: Path, *more: object, code: int = 0) -> Result:
    words = ["add", str(where), "--store", str(store), "--encoder", "colour:", *map(str, more)]
    said = CliRunner().invoke(app, words)
    if said.exception is not None and not isinstance(said.exception, SystemExit):
        raise said.exception
    assert said.exit_code == code, said.output
    return said


def rejected(store: Path) -> list[tuple[str, str, str]]:
    with (store / "rejected.csv").open(encoding="utf-8", newline="") as file:
        return [(row["product"], row["picture"], row["reason"]) for row in csv.DictReader(file)]


def ids(store: Path) -> list[str]:
    with open_context(store) as shop:
        return sorted(product.id for product in shop.catalog.products(limit=1000))


# --- whole places ---


def test_a_share_of_a_storage_box(tmp_path: Path) -> None:
    said = add(folders.nas_share(tmp_path / "share"), tmp_path / "shop").stdout
    assert "3 rows: 3 products added, 0 updated, 0 unchanged, 0 left out" in said
    assert "hidden and system files (8): thumbnails, waste bins" in said
    assert ids(tmp_path / "shop") == ["Shirts/0", "Shirts/1", "Shirts/2"]


def test_a_phones_folder(tmp_path: Path) -> None:
    said = add(folders.phone_folder(tmp_path / "phone"), tmp_path / "shop").stdout
    assert "3 rows: 3 products added, 0 updated, 0 unchanged, 0 left out" in said
    assert "videos (1): a product needs a still photo; the photo beside a phone's video is read" in said
    assert "edits of phone photos (1): they hold no pixels" in said
    assert "hidden and system files (1)" in said
    with open_context(tmp_path / "shop") as shop:  # the rotated photo is the same as upright
        (upright,) = _vectors(shop, picture(2))
        (found,) = (
            hit for hit in SearchEngine(shop).search(Query(vector=upright, k=3)) if hit.product.id.endswith("IMG_0002")
        )
        assert found.rank == 1


def _vectors(shop: StoreContext, data: bytes) -> Any:
    from lapel.core.images import decode

    return shop.encoder.encode([decode(data)])


def test_what_is_not_read_is_said_by_kind(tmp_path: Path) -> None:
    said = add(write(tmp_path / "p", folders.all_kinds()), tmp_path / "shop").stdout
    assert "3 products added" in said
    for line in (
        "archives (1): unpack them, or give each ZIP to 'lapel add' itself",
        "tables (1): give one with --products, out of its ZIP if it is in one, to say what the pictures show",
        "camera raw photos (1): export them as JPEG",
        "JPEG XL pictures (1): export them as JPEG, PNG or WebP",
        "files without an ending (1): nothing in them says picture",
    ):
        assert line in said


def test_a_folder_where_tools_wrote_other_formats(tmp_path: Path) -> None:
    files = {f"{number}.jpg": picture(number) for number in range(70)}
    files |= {"shirt.jpg": picture(70), "shirt.jpg.webp": picture(70, "WEBP"), "shirt.png": picture(70, "PNG")}
    files |= {"a .jpg": picture(71), "a.png": picture(72, "PNG")}
    write(tmp_path / "p", files)
    assert (
        "72 rows: 72 products added, 0 updated, 0 unchanged, 0 left out"
        in add(tmp_path / "p", tmp_path / "shop").stdout
    )
    again = add(tmp_path / "p", tmp_path / "shop").stdout
    assert "72 rows: 0 products added, 0 updated, 72 unchanged, 0 left out" in again
    assert "75 pictures: 0 added, 0 encoded again, 75 unchanged, 0 left out" in again
    with open_context(tmp_path / "shop") as shop:
        assert len(shop.catalog.photos("shirt")) == 3


def test_patterns_leave_pictures_out(tmp_path: Path) -> None:
    files = {"1.jpg": picture(1), "1_back.jpg": picture(2), "old/2.jpg": picture(3)}
    said = add(write(tmp_path / "p", files), tmp_path / "shop", "--exclude", "*_back.*", "--exclude", "old").stdout
    assert "1 row: 1 product added" in said
    assert "left out by --exclude (2)" in said


def test_a_table_beside_a_folder_of_its_pictures(tmp_path: Path) -> None:
    write(tmp_path / "p", {decomposed("pics/é 1.JPG"): picture(1), "pics/2.jpeg": picture(2)})
    (tmp_path / "p" / "shop.csv").write_text("id,pictures\n1,é 1.jpg\n2,2.jpg\n", encoding="utf-8")
    said = add(tmp_path / "p" / "shop.csv", tmp_path / "shop").stdout
    assert "2 rows: 2 products added" in said
    assert "2 pictures found though the table writes the name otherwise" in said
    assert "Not read in the source" not in said  # the table itself is read


# --- what cannot be used ---


def test_an_unreadable_folder_is_named_and_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "p", {"a.jpg": picture(1), "private/b.jpg": picture(2)})
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("/private"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("lapel.sources.folder.os.scandir", refuse)
    said = add(tmp_path / "p", tmp_path / "shop").stdout
    assert "1 product added" in said
    assert "folders that cannot be read (1): make them readable" in said
    assert rejected(tmp_path / "shop") == [("", "private", "Permission denied")]
    with pytest.raises(SourceError, match=r"--sync takes .* but 1 folder of it cannot be read, such as 'private'"):
        add(tmp_path / "p", tmp_path / "shop", "--sync")
    assert ids(tmp_path / "shop") == ["a"]


def test_an_import_that_fails_as_a_whole_has_exit_code_1(tmp_path: Path) -> None:
    write(tmp_path / "p", {f"{number}.jpg": b"no picture" for number in range(12)})
    said = add(tmp_path / "p", tmp_path / "shop", code=1)
    assert "12 rows: 0 products added, 0 updated, 0 unchanged, 12 left out" in said.stdout
    assert "  12 x Not a picture: " in said.stdout
    assert "Nothing was added: all 12 rows were left out." in said.stderr
    write(tmp_path / "p", {"good.jpg": picture(1)})
    assert "1 product added" in add(tmp_path / "p", tmp_path / "shop").stdout
    assert "1 unchanged" in add(tmp_path / "p", tmp_path / "shop").stdout


@pytest.mark.parametrize("files", [{}, {"a.jxl": b"x", "b.dng": b"x"}])
def test_an_empty_source_has_exit_code_1(tmp_path: Path, files: dict[str, bytes]) -> None:
    said = add(write(tmp_path / "p", files), tmp_path / "shop", code=1)
    assert "0 rows: 0 products added" in said.stdout
    assert f"Nothing was added: {tmp_path / 'p'} has no products." in said.stderr
    assert ("JPEG XL pictures (1)" in said.stdout) == bool(files)


def test_reasons_are_counted_by_what_they_have_in_common() -> None:
    reasons = Reasons()
    for number in range(3):
        reasons.count(f"There is no file '{number}.jpg' in /shop/pictures.")
    reasons.count("The picture has 4 x 4 pixels; each side needs at least 8.")
    reasons.count("The picture has 5 x 1,000 pixels; each side needs at least 8.")
    reasons.count("price '12,x' is not a number; kept without a price")
    assert list(reasons.counts().items()) == [
        ("There is no file '…' in /shop/pictures.", 3),
        ("The picture has … x … pixels; each side needs at least 8.", 2),
        ("price '12,x' is not a number; kept without a price", 1),
    ]


def test_reasons_of_their_own_are_not_kept_without_end() -> None:
    reasons = Reasons()
    for number in range(600):
        reasons.count("a" * (number + 1))
    assert len(reasons.counts()) == 501
    assert reasons.counts()["other reasons"] == 100


def test_json_is_all_that_is_printed(tmp_path: Path) -> None:
    write(tmp_path / "p", {"1.jpg": picture(1), "2.jpg": b"no picture", "a.mov": b"x", "b.mov": b"x", ".x": b""})
    said = json.loads(add(tmp_path / "p", tmp_path / "shop", "--json").stdout)
    assert (said["rows"], said["products_added"], said["products_rejected"], said["photos_rejected"]) == (2, 1, 1, 1)
    assert said["skipped"] == {"videos": 2, "hidden and system files": 1}
    (reason,) = said["reasons"]
    assert reason.startswith("Not a picture")
    assert said["reasons"][reason] == 1
    assert said["rejects"] == str(tmp_path / "shop" / "rejected.csv")
    assert (said["hidden"], said["delisted"], said["relisted"]) == (0, 0, 0)
    (tmp_path / "p" / "1.jpg").unlink()
    assert json.loads(add(tmp_path / "p", tmp_path / "shop", "--json", code=1).stdout)["products_rejected"] == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [("x" * 300, "nothing to read at xxx"), ("data:image/png;base64,AAAA", "nothing to read at data:")],
)
def test_names_that_are_no_place_say_so(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        add(name, tmp_path / "shop")


# --- a table without a column of pictures ---


def table(path: Path, count: int, *, start: int = 0) -> Path:
    rows = "".join(f"{number},Shirt {number},wool\n" for number in range(start, start + count))
    path.write_text("id,title,made of\n" + rows)
    return path


def test_ids_that_are_no_names_of_pictures_raise_a_question(tmp_path: Path) -> None:
    files = {f"strays/{number}.jpg": picture(number) for number in range(2)}
    path = table(write(tmp_path / "p", files) / "shop.csv", 30)
    with pytest.raises(
        TableError,
        match=r"no column that names pictures, and 2 of its first 30 ids .*"
        r"--map pictures=COLUMN\. There are: id, title, made of",
    ):
        add(path, tmp_path / "shop")
    assert not (tmp_path / "shop").exists()
    said = add(path, tmp_path / "shop", "--map", "pictures=").stdout
    assert "30 rows: 2 products added, 0 updated, 0 unchanged, 28 left out" in said
    assert "  28 x There is no picture '…' with an ending such as .jpg in " in said


def test_ids_that_are_names_of_pictures_raise_none(tmp_path: Path) -> None:
    files = {f"pics/{number}.jpg": picture(number) for number in range(3)}
    path = table(write(tmp_path / "p", files) / "shop.csv", 30)
    assert "30 rows: 3 products added" in add(path, tmp_path / "shop").stdout


def test_what_was_guessed_of_a_table_is_said(tmp_path: Path) -> None:
    write(tmp_path / "p", {"7.jpg": picture(7)})
    path = tmp_path / "p" / "shop.csv"
    path.write_bytes("id,название,lies in\n1,Рубашка синяя и белая в полоску,7.jpg\n".encode("cp1251"))
    said = add(path, tmp_path / "shop", "--encoding", "cp1251").stdout
    assert said.count("Pictures are taken from the column 'lies in'") == 1
    with open_context(tmp_path / "shop") as shop:
        assert "Рубашка синяя и белая в полоску" in shop.catalog.product("1").attributes.values()
    notes = json.loads(add(path, tmp_path / "shop", "--encoding", "cp1251", "--json").stdout)["notes"]
    assert [note[:42] for note in notes] == ["Pictures are taken from the column 'lies in'"[:42]]
    with pytest.raises(TableError, match="--map and --encoding say how to read a table, but there is none"):
        add(tmp_path / "p", tmp_path / "shop", "--encoding", "cp1251")


# --- the same bytes? ---


def test_verify_notices_what_size_and_time_hide(tmp_path: Path) -> None:
    import io

    from PIL import Image

    def bmp(colour: str) -> bytes:  # of one size, whatever the colour
        stream = io.BytesIO()
        Image.new("RGB", (16, 16), colour).save(stream, "BMP")
        return stream.getvalue()

    path = write(tmp_path / "p", {"a.bmp": bmp("red"), "b.bmp": bmp("lime")}) / "a.bmp"
    add(tmp_path / "p", tmp_path / "shop")
    before = path.stat()
    path.write_bytes(bmp("blue"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "2 pictures: 0 added, 0 encoded again, 2 unchanged" in add(tmp_path / "p", tmp_path / "shop").stdout
    said = add(tmp_path / "p", tmp_path / "shop", "--verify").stdout
    assert "2 pictures: 0 added, 1 encoded again, 1 unchanged" in said
    assert (
        "2 pictures: 0 added, 0 encoded again, 2 unchanged" in add(tmp_path / "p", tmp_path / "shop", "--verify").stdout
    )


# --- rows that no catalogue can keep ---


def ingested(tmp_path: Path, products: Iterable[str]) -> tuple[IngestReport, list[tuple[str, str, str]]]:
    where = write(tmp_path / "p", {"1.jpg": picture(1)})
    source = open_source(where)
    rows = [TableRow(number, Product(id=name), ("1.jpg",), "", name) for number, name in enumerate(products, 1)]
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as shop:
        done = ingest(shop, rows, source=source, rejects=tmp_path / "shop" / "rejected.csv")
    return done, rejected(tmp_path / "shop")


def test_a_doubled_id_costs_its_row_and_not_the_run(tmp_path: Path) -> None:
    done, left_out = ingested(tmp_path, ["a", "b", "a", "c"])
    assert (done.rows, done.products_added, done.products_rejected) == (4, 3, 1)
    assert done.adds_up
    assert [(name, reason[:45]) for name, _, reason in left_out] == [
        ("a", "id 'a' was already used in an earlier row, pe")
    ]
    assert done.reasons == {left_out[0][2]: 1}


def test_ids_that_look_the_same_are_one(tmp_path: Path) -> None:
    done, left_out = ingested(tmp_path, ["é", decomposed("é"), "e"])
    assert (done.products_added, done.products_rejected) == (2, 1)
    assert "accents stored otherwise; the first row counts" in left_out[0][2]


@pytest.mark.parametrize("name", ["a\0b", "a\udce9b"])
def test_an_id_that_cannot_be_stored_costs_its_row(tmp_path: Path, name: str) -> None:
    done, left_out = ingested(tmp_path, ["a", name, "b"])
    assert (done.products_added, done.products_rejected) == (2, 1)
    assert "a character that cannot be stored" in left_out[0][2]


def test_a_stores_ids_stay_as_they_are(tmp_path: Path) -> None:
    files = ["Shirts/1163.jpg", "Shirts/a.b.png", "x.jpg.webp", decomposed("é.jpg")]
    add(write(tmp_path / "p", {name: picture(number) for number, name in enumerate(files)}), tmp_path / "shop")
    assert ids(tmp_path / "shop") == sorted(["Shirts/1163", "Shirts/a.b", "x.jpg", decomposed("é")])
    assert np.unique(ids(tmp_path / "shop")).size == 4


def test_a_picture_in_the_place_of_its_name_does_not_fill_the_list(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    source = open_source(tmp_path / "p")
    row = TableRow(2, Product(id="a"), ("data:image/jpeg;base64," + "A" * 100_000,), "", "a")
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as shop:
        ingest(shop, [row], source=source, rejects=tmp_path / "shop" / "rejected.csv")
    ((name, where, reason),) = rejected(tmp_path / "shop")
    assert (name, where) == ("a", "data:image/jpeg;bas…" + "A" * 19)
    assert reason.startswith("A picture is written into the table itself")


def test_products_of_an_older_id_are_mentioned(tmp_path: Path) -> None:
    """As a store has them whose ZIP of Windows' separators was added by an earlier version."""
    folder = write(tmp_path / "p", {"a.jpg": picture(0), "b.jpg": picture(1)})
    shop = tmp_path / "shop"
    with open_context(shop, create=True, encoder="colour:") as store:
        source = open_source(folder)
        rows = [TableRow(1, Product(id="old"), (next(iter(source.walk())),), "", "old")]
        ingest(store, rows, source=source)
    said = add(folder, shop).output
    assert "1 older product of the store is of the same picture files as newer ones" in said
    again = add(folder, shop, "--sync").output
    assert "1 product is delisted and hidden from now on" in again
    assert "older product" not in again
