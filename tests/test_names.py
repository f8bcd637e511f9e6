"""File names: what is walked, what is left out and counted, and which picture a table means; in folders, ZIPs, buckets
and Drive."""

from __future__ import annotations

import os
import random
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from inputs import folders
from inputs.folders import KINDS, decomposed, picture, write, zip_of, zip_of_raw_names
from lapel import sources
from lapel.core.errors import InputError, SourceError
from lapel.sources import open_source
from lapel.sources.bucket import BucketSource
from lapel.sources.drive.account import DriveSettings
from lapel.sources.drive.source import DriveSource
from lapel.sources.folder import FolderSource
from lapel.sources.mixed import MixedSource
from lapel.sources.names import Exclude, NameIndex, begins_like_image
from lapel.sources.photos import photo_rows
from loopback.drive import DriveServer

Make = Callable[..., Any]


class MemorySource(BucketSource):
    """A bucket in memory, through fsspec like the others."""

    scheme = "memory"


@pytest.fixture(params=["folder", "zip", "bucket", "drive"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Opens a source of these files, whatever kind it is of."""
    opened: list[Any] = []
    stack: list[DriveServer] = []

    def made(files: dict[str, bytes], **options: Any) -> Any:
        if request.param == "folder":
            source: Any = open_source(write(tmp_path / "pictures", files), **options)
        elif request.param == "zip":
            source = open_source(zip_of(tmp_path / "archive.zip", files), **options)
        elif request.param == "bucket":
            memory = fsspec.filesystem("memory")
            memory.store.clear()
            for name, data in files.items():
                memory.pipe_file(f"/shop/{name}", data)
            source = MemorySource("/shop", **options)
            source._root = "/shop"
        else:
            server = DriveServer()
            stack.append(server)
            server.__enter__()
            source = _on_drive(server, files, **options)
        opened.append(source)
        return source

    yield made
    for source in opened:
        source.close()
    for server in stack:
        server.__exit__(None, None, None)


def _on_drive(server: DriveServer, files: dict[str, bytes], **options: Any) -> DriveSource:
    folders_by_path = {"": server.folder("Shop")}
    for path, data in files.items():
        above, _, name = path.rpartition("/")
        at = ""
        for part in filter(None, above.split("/")):
            here = f"{at}/{part}"
            if here not in folders_by_path:
                folders_by_path[here] = server.folder(part, folders_by_path[at])
            at = here
        server.file(name, data, folders_by_path[at], "application/octet-stream")
    settings = DriveSettings(key="good-key", endpoint=server.root, pause=0.001)
    return DriveSource(f"//{folders_by_path['']}", settings, **options)


def names(source: Any) -> list[str]:
    return ["/".join(source.path(uri)) for uri in source.walk()]


# --- what is walked ---


def test_phones_pictures_are_listed(make: Make) -> None:
    source = make(dict.fromkeys(("a.HEIC", "b.heif", "c.hif", "d.JPG"), b"x"))
    assert names(source) == ["a.HEIC", "b.heif", "c.hif", "d.JPG"]
    assert {".heic", ".heif", ".hif", ".jfif", ".mpo", ".ppm"} <= sources.EXTENSIONS


def test_what_is_not_read_is_counted_by_kind(make: Make) -> None:
    source = make({**dict.fromkeys(KINDS, b"something else"), "a.jpg": b"x"})
    assert names(source) == ["a.jpg"]
    assert source.skipped == dict.fromkeys(KINDS.values(), 1)
    assert source.ignored == 9


def test_files_without_an_ending_are_known_by_their_bytes(tmp_path: Path) -> None:
    files = folders.all_kinds()
    bare = ["photo", "photo 12.5 cm", "photo.jpg?v=1"]
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for name, data in files.items():
        memory.pipe_file(f"/shop/{name}", data)
    bucket = MemorySource("/shop")
    bucket._root = "/shop"
    for source in (open_source(write(tmp_path / "p", files)), open_source(zip_of(tmp_path / "p.zip", files)), bucket):
        uris = list(source.walk())
        assert names(source) == bare
        assert [source.lists(uri) for uri in uris] == [True, True, True]
        assert source.skipped["files without an ending"] == 1  # type: ignore[attr-defined]
        assert [row.id for row in photo_rows(source)] == bare
        source.close()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "JPEG2000"])
def test_first_bytes_of_pictures(kind: str) -> None:
    assert begins_like_image(picture(1, kind)[:32])


@pytest.mark.parametrize(
    "head", [b"", b"#!/bin/sh\n", b"\0\0\0\x14ftypqt  ", b"RIFF....AVI ", b"BM means something", b"%PDF-1.7"]
)
def test_first_bytes_of_others(head: bytes) -> None:
    assert not begins_like_image(head)


def test_what_systems_put_beside_pictures_is_left_out_and_counted(make: Make) -> None:
    junk = (
        *("Shirts/@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", "Shirts/@eaDir/a.jpg/SYNOPHOTO_THUMB_S.jpg", "#recycle/b.jpg"),
        *(
            "$RECYCLE.BIN/c.jpg",
            ".Trash-1000/files/d.jpg",
            "__MACOSX/._a.jpg",
            "._a.jpg",
            "Thumbs.db",
            "SYNOPHOTO_THUMB_M.jpg",
        ),
        *("@Recycle/e.jpg", "System Volume Information/f.jpg", "lost+found/g.jpg"),
    )
    source = make({**dict.fromkeys(junk, b"x"), "Shirts/a.jpg": b"x", "recycled shirts/h.jpg": b"x"})
    assert names(source) == ["Shirts/a.jpg", "recycled shirts/h.jpg"]
    assert source.skipped == {"hidden and system files": 11}  # each folder once
    assert [source.lists(uri) for uri in source.walk()] == [True, True]


def test_patterns_leave_names_out(make: Make) -> None:
    files = dict.fromkeys(("a.jpg", "a_BACK.JPG", "old/b.jpg", "old/c.png", "new/old.jpg", "new/x/d.jpg"), b"x")
    source = make(files, exclude=["*_back.*", "old", "new/x*"])
    assert names(source) == ["a.jpg", "new/old.jpg"]
    assert source.skipped == {"left out by --exclude": 3}
    for name in ("a_BACK.JPG", "old/b.jpg"):
        with pytest.raises(SourceError, match="left out by --exclude"):
            source.find(name)
    assert source.path(source.find("a.jpg")) == ("a.jpg",)


def test_patterns_are_checked() -> None:
    assert Exclude(["a/*.jpg"]).covers("A/b/c.jpg")
    assert not Exclude(["a/*.jpg"]).covers("b/a/c.png")
    with pytest.raises(InputError, match="pattern of names to leave out is empty"):
        Exclude(["/"])
    with pytest.raises(InputError, match=r"https:.*--exclude"):
        open_source("https://shop.example/a.jpg", ["*.png"])


# --- which picture a table means ---


@pytest.mark.parametrize(
    ("there", "named"),
    [
        ("Größe/é 1.jpg", decomposed("Größe/é 1.jpg")),
        (decomposed("Größe/é 1.jpg"), "Größe/é 1.jpg"),
        ("IMG_1.JPG", "IMG_1.jpg"),
        ("Shirts/IMG_1.jpg", "shirts/img_1.JPG"),
        ("a.jpeg", "a.jpg"),
        ("a.jpg", "a.JPEG"),
        ("a.tif", "a.tiff"),
        ("x/a b.jpg", "x/a%20b.jpg"),
        ("pics/a1.jpg", "a1.jpg"),
        ("shop/pics/a1.jpg", "pics\\a1.jpg"),
        ("a1.jpg", "pics/a1.jpg"),
        ("images/a.jpg", "/images/a.jpg"),
        ("a.jpg", "C:\\Users\\anna\\Pictures\\a.jpg"),
        ("a.jpg", "a.jpg?v=2"),
    ],
)
def test_names_are_found_though_they_are_written_otherwise(make: Make, there: str, named: str) -> None:
    source = make({there: b"this", "another.png": b"other"})
    assert source.read(source.find(named)) == b"this"
    assert source.renamed == 1


@pytest.mark.parametrize(
    ("there", "named"),
    [
        (("a/1.jpg", "b/1.jpg"), "1.jpg"),  # either
        (("IMG.JPG", "img.jpg"), "Img.jpg"),
        (("Men/1.jpg",), "Women/1.jpg"),  # another folder is another picture
        (("1.jpg",), "11.jpg"),
        (("1.jpg",), "../1.jpg"),
        (("1.jpg",), "1.png"),
    ],
)
def test_names_are_not_guessed(make: Make, there: tuple[str, ...], named: str) -> None:
    source = make(dict.fromkeys(there, b"x"))
    with pytest.raises(SourceError):
        source.find(named)


def slowly(files: list[str], name: str) -> str | None:
    """What :class:`NameIndex` should find, by comparing with each file: None for none, several or a doubtful one."""

    def parts(path: str) -> list[str]:
        return path.lower().replace(".jpeg", ".jpg").split("/")

    wanted = parts(name)
    same = [path for path in files if parts(path) == wanted]
    deeper = [path for path in files if parts(path)[-len(wanted) :] == wanted]
    shallower = [path for path in files if wanted[-len(parts(path)) :] == parts(path)]
    longest = max(map(len, map(parts, shallower)), default=0)
    some = same or deeper or [path for path in shallower if len(parts(path)) == longest]
    if (
        not same
        and not deeper
        and longest == 1
        and any(parts(path)[-1:] == wanted[-1:] for path in files if "/" in path)
    ):
        return None  # a name without its folder, and there is another one of it
    if not same and len(some) >= 8:
        return None
    for near in (
        lambda path: path.lower().rpartition(".")[2] == name.lower().rpartition(".")[2],
        lambda path: path.rpartition("/")[2] == name.rpartition("/")[2],
    ):
        if len(some) > 1:
            some = list(filter(near, some)) or some
    return some[0] if len(some) == 1 else None


def test_names_are_found_as_slow_comparing_finds_them() -> None:
    chance = random.Random(7)

    def path() -> str:
        folders = [chance.choice(("x", "X", "y")) for _ in range(chance.randrange(3))]
        return "/".join([*folders, chance.choice("aAb") + chance.choice((".jpg", ".jpeg", ".JPG", ".png"))])

    found = 0
    for _ in range(2000):
        files = sorted({path() for _ in range(chance.randrange(1, 14))})
        name = path()
        try:
            answer = NameIndex((file, file) for file in files).find(name)
        except SourceError:
            answer = None
        assert answer == slowly(files, name), (files, name)
        found += answer is not None
    assert 500 < found < 1500


def test_the_nearest_name_counts(make: Make) -> None:
    source = make({"a.JPG": b"1", "a.jpeg": b"2", "b/a.JPG": b"3", "c/b/a.JPG": b"4"})
    assert source.read(source.find("A.jpg")) == b"1"
    assert source.read(source.find("x/b/a.JPEG")) == b"3"
    assert source.read(source.find("C/b/a.jpg")) == b"4"


def test_one_picture_is_not_taken_for_two_names(make: Make) -> None:
    source = make({"1.jpg": b"x"})
    assert source.find("Men/1.jpg") == source.find("men/1.JPG")
    with pytest.raises(
        SourceError, match=r"'Women/1\.jpg' can only be the picture '1\.jpg', which 'men/1\.jpg' was taken for"
    ):
        source.find("Women/1.jpg")


def test_ids_are_found_in_any_case_and_format(make: Make) -> None:
    source = make({"x/AB-1.png": b"1", "x/AB-1.webp": b"2", "y/é.jpg": b"3", "z/2.jpg": b"", "w/2.jpg": b""})
    assert source.read(source.find_id("AB-1")) == b"1"
    assert source.read(source.find_id("ab-1")) == b"1"
    assert source.read(source.find_id(decomposed("é"))) == b"3"
    with pytest.raises(SourceError, match="2 pictures are called '2'"):
        source.find_id("2")


@pytest.mark.parametrize("name", ["x" * 300 + ".jpg", "data:image/jpeg;base64," + "A" * 5000, "a\0b.jpg"])
def test_names_that_are_none(make: Make, name: str) -> None:
    source = make({"a.jpg": b"x"})
    with pytest.raises(SourceError) as caught:
        source.find(name)
    assert len(str(caught.value)) < 600
    with pytest.raises(SourceError):
        open_source(name)


def test_a_picture_written_into_the_table_says_so(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "p", {"a.jpg": b"x"}))
    with pytest.raises(SourceError, match=r"written into the table itself.*Save it as a file"):
        source.find("data:image/jpeg;base64,AAAA")


def test_a_folder_beside_is_outside(tmp_path: Path) -> None:
    write(tmp_path, {"pictures/a.jpg": b"x", "pictures-private/x.jpg": b"secret", "pictures/x.jpg": b"mine"})
    source = open_source(tmp_path / "pictures")
    for name in (
        *("../pictures-private/x.jpg", "..\\pictures-private\\x.jpg", "a/../../pictures-private/x.jpg"),
        *(f"{tmp_path}/pictures-private/x.jpg", f"file://{tmp_path}/pictures-private/x.jpg"),
    ):
        with pytest.raises(SourceError, match="lies outside"):
            source.find(name)


# --- ZIPs ---


def test_a_zip_of_windows_separators(tmp_path: Path) -> None:
    path = zip_of(tmp_path / "shop.zip", {"pics\\": b"", "pics\\a1.jpg": b"1", "pics\\b\\a2.jpg": b"2"})
    source = open_source(path)
    assert names(source) == ["pics/a1.jpg", "pics/b/a2.jpg"]
    assert [row.id for row in photo_rows(source)] == ["pics/a1", "pics/b/a2"]
    assert source.read(source.find("pics/b/a2.jpg")) == b"2"
    assert source.find("pics\\a1.jpg") == source.find_id("a1")
    assert source.ignored == 0
    assert sources.read_uri(source.find("a1.jpg")) == b"1"
    source.close()
    sources.close_archives()


def test_a_download_again_finds_what_is_in_its_folder(tmp_path: Path) -> None:
    source = open_source(zip_of(tmp_path / "pics (1).zip", {"pics/a1.jpg": b"1"}))
    assert source.read(source.find("a1.jpg")) == b"1"
    source.close()


@pytest.mark.parametrize(
    ("encoding", "name"), [("utf-8", "衬衫/红色.jpg"), ("utf-8", "Größe é.jpg"), ("gbk", "衬衫/红色（一）.jpg")]
)
def test_names_in_a_zip_that_does_not_say_their_encoding(tmp_path: Path, encoding: str, name: str) -> None:
    source = open_source(zip_of_raw_names(tmp_path / "shop.zip", {name.encode(encoding): b"this", b"plain.jpg": b"x"}))
    assert sorted(names(source)) == sorted(["plain.jpg", name])
    assert source.read(source.find(name)) == b"this"
    (uri,) = [uri for uri in source.walk() if "plain" not in uri]
    assert source.lists(uri)
    assert sources.read_uri(uri) == b"this"
    source.close()
    sources.close_archives()


@pytest.mark.parametrize(
    ("encoding", "name"), [("cp932", "シャツ.jpg"), ("cp1252", "Größe.jpg"), ("cp1251", "рубашка.jpg")]
)
def test_tables_find_members_in_other_encodings(tmp_path: Path, encoding: str, name: str) -> None:
    source = open_source(zip_of_raw_names(tmp_path / "shop.zip", {name.encode(encoding): b"this", b"plain.jpg": b"x"}))
    assert source.read(source.find(name)) == b"this"
    assert source.read(source.find_id(name[:-4])) == b"this"
    source.close()


def test_an_older_member_of_one_name_is_counted(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.jpg", b"old")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.jpg", b"new")
    source: Any = open_source(tmp_path / "a.zip")
    assert [source.read(uri) for uri in source.walk()] == [b"new"]
    assert source.skipped == {"older members of one name, of which the last is read": 1}
    source.close()


def test_a_member_that_lies_about_its_size_is_not_unpacked(tmp_path: Path) -> None:
    source = open_source(folders.lying_zip(tmp_path / "a.zip", size=30_000_000, said=100))
    uri = source.find("a.jpg")
    tracemalloc.start()
    with pytest.raises(SourceError, match="cannot be unpacked"):
        source.read(uri)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    source.close()
    assert most < 2_000_000


def test_a_file_above_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lapel.sources.folder.MAX_BYTES", 1000)
    asked: list[int] = []

    class Spy:
        def __init__(self, path: str, _: str) -> None:
            self._file = Path(path).open("rb")  # noqa: SIM115

        def __enter__(self) -> Spy:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

        def fileno(self) -> int:
            return self._file.fileno()

        def read(self, size: int = -1) -> bytes:
            asked.append(size)
            return self._file.read(size)

    monkeypatch.setattr("lapel.sources.folder.open", Spy, raising=False)
    source = FolderSource(str(write(tmp_path / "p", {"a.jpg": bytes(1001), "b.jpg": bytes(1000)})))
    with pytest.raises(SourceError, match="more than"):
        source.read(source.find("a.jpg"))
    assert asked == []
    assert len(source.read(source.find("b.jpg"))) == 1000
    assert asked == [1001]


# --- folders that are odd ---


def test_a_thousand_folders_in_one_another(tmp_path: Path) -> None:
    with folders.nested(tmp_path / "p", 1100) as folder:
        source = open_source(folder)
        (row,) = photo_rows(source)
        assert row.product is not None
        assert row.product.category == ("d",) * 1100
        assert source.read(row.pictures[0]) == picture(1)
    assert not list((tmp_path / "p").iterdir())


@pytest.mark.parametrize("what", ["a folder", "a link in a circle"])
def test_a_folder_that_cannot_be_read_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    root = write(tmp_path / "p", {"a/1.jpg": b"1", "private/2.jpg": b"2", "z.jpg": b"3"})
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("/private"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    source: Any = open_source(root)
    if what == "a folder":  # tests may run as root, who may read anything
        monkeypatch.setattr("lapel.sources.folder.os.scandir", refuse)
        assert names(source) == ["a/1.jpg", "z.jpg"]
        assert source.unreadable == {"private": "Permission denied"}
        assert source.skipped == {"folders that cannot be read": 1}
    else:
        (root / "loop").symlink_to("loop")
        assert names(source) == ["a/1.jpg", "private/2.jpg", "z.jpg"]


def test_a_place_that_may_not_be_entered_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("lapel.sources.Path.stat", refuse)
    with pytest.raises(SourceError, match=r"nothing to read at .*Permission denied"):
        open_source(tmp_path / "private" / "pictures")


# --- links beside a source ---


@pytest.mark.parametrize(
    ("named", "asked"),
    [
        ("//shop.example/a.jpg", "https://shop.example/a.jpg"),
        ("HTTP://shop.example/A.jpg", "http://shop.example/A.jpg"),
        ("Https://shop.example/a.jpg", "https://shop.example/a.jpg"),
    ],
)
def test_links_in_any_writing_are_links(tmp_path: Path, named: str, asked: str) -> None:
    source = MixedSource(open_source(write(tmp_path / "p", {"a.jpg": b"x", "shop.example/a.jpg": b"x"})))
    source.expect([named])
    assert source.find(named) == asked
    assert [part.where for part in source.opened][1:] == ["the web"]
    source.close()
    with pytest.raises(SourceError, match="is a link"):
        open_source(tmp_path / "p").find(named)


# --- pictures of one product ---


def rows_of(source: Any) -> dict[str, list[str]]:
    return {row.id: ["/".join(source.path(uri)) for uri in row.pictures] for row in photo_rows(source)}


def test_files_of_one_product_are_its_photos(make: Make) -> None:
    files = ("shirt.jpg", "shirt.jpg.webp", "shirt.png", "shirt-2.jpg", "other.jpg.webp", "x/shirt.jpg")
    source = make(dict.fromkeys(files, b"x"))
    assert rows_of(source) == {
        "shirt": ["shirt.jpg", "shirt.jpg.webp", "shirt.png"],
        "shirt-2": ["shirt-2.jpg"],
        "other.jpg": ["other.jpg.webp"],
        "x/shirt": ["x/shirt.jpg"],
    }
    assert rows_of(source) == rows_of(source)


def test_blanks_and_accents_do_not_make_two_products(make: Make) -> None:
    source = make(dict.fromkeys(("a .jpg", "a-1.jpg", "a.png", "é.jpg", decomposed("é.png"), "Shirts/1163.jpg"), b"x"))
    found = rows_of(source)
    assert found["a"] == ["a .jpg", "a.png"]
    assert found["Shirts/1163"] == ["Shirts/1163.jpg"]
    assert sorted(map(len, found.values())) == [1, 1, 2, 2]


def test_names_that_say_little_make_products_all_the_same(make: Make) -> None:
    source = make({" .jpg": b"x", "\x1b[31mred.jpg": b"x"})
    (bare, red) = sorted(photo_rows(source), key=lambda row: row.id)
    assert red.id == ".jpg" or bare.id == ".jpg"
    assert {row.product.title for row in (bare, red) if row.product} == {"", "red"}
