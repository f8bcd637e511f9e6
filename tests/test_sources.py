"""Folders, ZIPs and links: what is walked, found, read and refused."""

from __future__ import annotations

import http.server
import os
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lapel import sources
from lapel.core.errors import InputError, SourceError
from lapel.sources import ImageSource, open_source, read_uri
from lapel.sources.photos import photo_rows
from lapel.sources.web import fetch_image
from lapel.testing.source import SourceContract

FILES = {
    "Shirts/a.jpg": b"a shirt",
    "Shirts/b.PNG": b"b shirt",
    "Shoes/Nike 90%/c#1?.jpeg": b"shoe",
    "ünï.webp": b"umlaut",
    "README.txt": b"read me",
    ".hidden.jpg": b"no",
    ".git/d.jpg": b"no",
    "__MACOSX/._a.jpg": b"no",
    "Thumbs.db": b"no",
}
WALKED = {"Shirts/a.jpg", "Shirts/b.PNG", "Shoes/Nike 90%/c#1?.jpeg", "ünï.webp"}


def folder_of(tmp_path: Path, files: dict[str, bytes]) -> Path:
    root = tmp_path / "pictures here"
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def zip_of(tmp_path: Path, files: dict[str, bytes]) -> Path:
    path = tmp_path / "pictures here!.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("Shirts")
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.fixture(autouse=True)
def closed_archives() -> Iterator[None]:
    yield
    sources.close_archives()


class Local(SourceContract):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.folder = tmp_path


class TestFolderContract(Local):
    def open(self, files: Mapping[str, bytes]) -> ImageSource:
        root = self.folder / "pictures here"
        there = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
        for name in there.keys() - files.keys():
            there[name].unlink()
        time.sleep(0.02)  # a file system's clock ticks every few milliseconds, and a token is its time
        folder_of(
            self.folder,
            {name: data for name, data in files.items() if name not in there or there[name].read_bytes() != data},
        )
        return open_source(root)


class TestZipContract(Local):
    def open(self, files: Mapping[str, bytes]) -> ImageSource:
        return open_source(zip_of(self.folder, dict(files)))


@pytest.fixture(params=[folder_of, zip_of], ids=["folder", "zip"])
def make(request: pytest.FixtureRequest) -> Callable[[Path, dict[str, bytes]], Path]:
    made: Callable[[Path, dict[str, bytes]], Path] = request.param
    return made


@pytest.fixture
def source(tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path]) -> Iterator[ImageSource]:
    opened = open_source(make(tmp_path, FILES))
    yield opened
    opened.close()
    opened.close()


def test_uris_are_plain_and_read_again_later(source: ImageSource) -> None:
    for uri in source.walk():
        assert uri.startswith(("file:///", "zip:///"))
        assert read_uri(uri) == source.read(uri)


def test_tables_find_their_pictures(source: ImageSource, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"not of this source")
    (tmp_path / "x").write_bytes(b"neither")
    assert source.read(source.find("./Shirts/a.jpg")) == b"a shirt"
    assert source.read(source.find("README.txt")) == b"read me"  # named by a table: the content decides
    for name in ("Shirts", "../secret.jpg", "/etc/passwd", "Shirts/../../x", "a\0b", ""):
        with pytest.raises(SourceError):
            source.find(name)
    with pytest.raises(SourceError, match=r"is a link.*Download"):
        source.find("https://shop.example/a.jpg")


def test_pictures_without_a_table_become_rows(source: ImageSource) -> None:
    rows = {row.id: row for row in photo_rows(source)}
    assert rows.keys() == {"Shirts/a", "Shirts/b", "Shoes/Nike 90%/c#1?", "ünï"}
    product = rows["Shoes/Nike 90%/c#1?"].product
    assert product is not None
    assert (product.title, product.category) == ("c#1?", ("Shoes", "Nike 90%"))
    assert rows["ünï"].product is not None
    assert rows["ünï"].product.category == ()


def test_pictures_that_differ_in_extension_only_are_one_product(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    opened = open_source(make(tmp_path, {"a.jpg": b"", "a.png": b""}))
    (row,) = photo_rows(opened)
    assert row.product is not None
    assert (row.id, row.pictures, row.problem) == ("a", tuple(opened.walk()), "")
    opened.close()


def test_what_moved_away_says_so(tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path]) -> None:
    where = make(tmp_path, {"a.jpg": b"here"})
    opened = open_source(where)
    uri = opened.find("a.jpg")
    opened.close()
    assert read_uri(uri) == b"here"
    where.rename(tmp_path / "elsewhere")
    with pytest.raises(SourceError, match="lapel add"):
        read_uri(uri)


def test_a_replaced_archive_is_read_anew(tmp_path: Path) -> None:
    for data in (b"old", b"newer"):
        opened = open_source(zip_of(tmp_path, {"a.jpg": data}))
        uri = opened.find("a.jpg")
        opened.close()
        assert read_uri(uri) == data
    opened = open_source(zip_of(tmp_path, {"b.jpg": b"b"}))
    opened.close()
    with pytest.raises(SourceError, match=r"a\.jpg is no longer in"):
        read_uri(uri)


def test_read_uri_keeps_few_archives_open_and_serves_threads(tmp_path: Path) -> None:
    uris = []
    for number in range(12):
        (tmp_path / str(number)).mkdir()
        opened = open_source(zip_of(tmp_path / str(number), {"a.jpg": str(number).encode() * 1000}))
        uris.append(opened.find("a.jpg"))
        opened.close()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read_uri, uris * 10)) == [str(n).encode() * 1000 for n in range(12)] * 10
    assert len(sources._archives) == sources.OPEN_ARCHIVES


def test_read_uri_knows_its_kinds() -> None:
    with pytest.raises(SourceError, match="file://, zip://, gdrive://"):
        read_uri("ftp://example.com/a.jpg")


def test_an_archives_own_folder_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "shop.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("shop/Shirts/a.jpg", b"a")
    opened = open_source(path)
    (row,) = photo_rows(opened)
    assert row.id == "Shirts/a"
    assert opened.find("Shirts/a.jpg") == opened.find("shop/Shirts/a.jpg")
    opened.close()


def test_a_member_that_points_outside_stays_inside(tmp_path: Path) -> None:
    """Nothing is unpacked; what lies at that place outside, and its like, is never read."""
    path = tmp_path / "one" / "two" / "evil.zip"
    path.parent.mkdir(parents=True)
    (tmp_path / "evil.jpg").write_bytes(b"outside")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../evil.jpg", b"inside")
        archive.writestr("good.jpg", b"good")
    before = sorted(tmp_path.rglob("*"))
    opened = open_source(path)
    assert [opened.read(uri) for uri in opened.walk()] == [b"good"]
    assert opened.ignored == 1
    assert opened.read(opened.find("../../evil.jpg")) == b"inside"
    for name in ("../evil.jpg", "evil.jpg", str(tmp_path / "evil.jpg")):
        with pytest.raises(SourceError):
            opened.find(name)
    opened.close()
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "evil.jpg").read_bytes() == b"outside"


def test_broken_archives_say_so(tmp_path: Path) -> None:
    path = zip_of(tmp_path, {f"{number}.jpg": os.urandom(500) for number in range(20)})
    whole = path.read_bytes()
    for data in (b"", b"not a zip", whole[: len(whole) // 2]):
        path.write_bytes(data)
        with pytest.raises(SourceError, match=r"not a ZIP archive.*ZIP or a folder"):
            open_source(path)


def test_a_damaged_member_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jpg", b"A" * 500)
        archive.writestr("b.jpg", b"B" * 500)
    path.write_bytes(path.read_bytes().replace(b"A" * 500, b"A" * 250 + b"X" * 250))
    opened = open_source(path)
    with pytest.raises(SourceError, match=r"a\.jpg .*cannot be unpacked"):
        opened.read(opened.find("a.jpg"))
    assert opened.read(opened.find("b.jpg")) == b"B" * 500
    opened.close()


def test_locked_archives_say_so(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jpg", b"secret")
    data = bytearray(path.read_bytes())
    # The first bit of the flags, in the member's head and in the directory at the end, says "encrypted".
    data[6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(SourceError, match="password"):
        open_source(path)


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lapel.sources.archive.MAX_BYTES", 1000)
    monkeypatch.setattr("lapel.sources.folder.MAX_BYTES", 1000)
    path = zip_of(tmp_path, {"a.jpg": bytes(100_000)})
    opened = open_source(path)
    with pytest.raises(SourceError, match="more than"):
        opened.read(opened.find("a.jpg"))
    opened.close()
    folder = open_source(folder_of(tmp_path, {"a.jpg": bytes(1001), "b.jpg": bytes(1000)}))
    with pytest.raises(SourceError, match="more than"):
        folder.read(folder.find("a.jpg"))
    assert len(folder.read(folder.find("b.jpg"))) == 1000


def test_what_is_no_source_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="folder of pictures or a ZIP"):
        open_source(tmp_path / "none")
    with pytest.raises(InputError, match=r"No source is called 'dropbox:'.*folder:.*zip:"):
        open_source("dropbox:abc")
    (tmp_path / "fifo").write_bytes(b"")
    with pytest.raises(SourceError, match="not a ZIP"):
        open_source(tmp_path / "fifo")


@pytest.mark.skipif(os.name != "posix", reason="needs symbolic links and byte names")
def test_odd_folders(tmp_path: Path) -> None:
    root = folder_of(tmp_path, {"a/b.jpg": b"b"})
    (root / "a" / "up").symlink_to(root)
    (root / "other").symlink_to(root / "a")
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.jpg")).write_bytes(b"latin")
    (root / "dead.jpg").symlink_to(root / "nowhere.jpg")
    opened = open_source(root)
    uris = list(opened.walk())
    assert sorted(opened.read(uri) for uri in uris) == [b"b", b"b", b"latin"]
    assert {row.id for row in photo_rows(opened)} == {"a/b", "other/b", "caf?"}


# --- links ------------------------------------------------------------------------------------------------------------


class Shop(http.server.BaseHTTPRequestHandler):
    """A shop's server on this machine, polite and otherwise."""

    hosts: list[str]

    def do_GET(self) -> None:
        type(self).hosts.append(self.headers["Host"])
        kind, _, rest = self.path.lstrip("/").partition("/")
        if kind == "redirect":
            self.send_response(302)
            self.send_header("Location", rest if "://" in rest else f"/{rest}")
            self.end_headers()
        elif kind == "loop":
            self.send_response(301)
            self.send_header("Location", "/loop")
            self.end_headers()
        elif kind == "missing":
            self.send_error(404)
        elif kind == "gzip":
            self.send_response(200)
            self.send_header("Content-Encoding", "gzip")
            self.end_headers()
        else:
            self.send_response(200)
            if kind != "endless":
                self.send_header("Content-Length", str(int(rest)))
            self.end_headers()
            try:
                for _ in range(int(rest) // 1000):
                    self.wfile.write(b"x" * 1000)
                    if kind == "slow":
                        time.sleep(0.05)
            except OSError:
                pass

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def shop() -> Iterator[str]:
    Shop.hosts = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_link_is_fetched(shop: str) -> None:
    assert fetch_image(f"{shop}/file/5000", allow_private=True) == b"x" * 5000
    assert fetch_image(f" {shop}/redirect/redirect/redirect/file/1000 ", allow_private=True) == b"x" * 1000


def test_the_server_hears_the_name_and_the_checked_number_is_used(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def resolve(host: str, port: int, *_: object, **__: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    port = shop.rpartition(":")[2]
    monkeypatch.setattr("socket.getaddrinfo", resolve)
    assert fetch_image(f"http://shop.example:{port}/file/1000", allow_private=True) == b"x" * 1000
    assert asked[0] == "shop.example"
    assert "shop.example" not in asked[1:]  # not asked again, as the answer could then be another
    assert Shop.hosts == [f"shop.example:{port}"]


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
        ),
        *("fec0::1", "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b:1::7f00:1", "5f00::1"),
        *(
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "fe80::1%eth0",
        ),
    ],
)
def test_private_addresses_are_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    public = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 80))
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [public, (0, 0, 0, "", (address, 80))])
    with pytest.raises(SourceError, match="public internet"):
        fetch_image("http://rebinding.example/a.jpg")


def test_each_redirect_is_checked(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from lapel.sources import hosts

    port = shop.rpartition(":")[2]
    real = hosts.is_public
    monkeypatch.setattr(hosts, "is_public", lambda text: text == "127.0.0.1" or real(text))
    with pytest.raises(SourceError, match=r"169\.254\.169\.254"):
        fetch_image(f"http://127.0.0.1:{port}/redirect/http://169.254.169.254/secrets")


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("file:///etc/passwd", "http or https"),
        ("ftp://example.com/a.jpg", "http or https"),
        ("example.com/a.jpg", "http or https"),
        ("", "http or https"),
        ("http://", "http or https"),
        ("http://user:pass@example.com/", "password"),
        ("http://[::1", "not understood"),
        ("data:image/png;base64,AAAA", "written into an address"),
    ],
)
def test_links_that_are_not_understood(link: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        fetch_image(link)


def test_bad_answers_say_so(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: str, words: str, **options: float) -> None:
        with pytest.raises(SourceError, match=words):
            fetch_image(f"{shop}/{path}", allow_private=True, **options)  # type: ignore[arg-type]

    refused("missing", "404")
    refused("loop", "redirected more than 3 times")
    refused("redirect/ftp://example.com/", "http or https")
    refused("gzip", "0 bytes")
    refused("file/3000000", "larger than 1 MB", max_bytes=2**20)
    refused("endless/3000000", "larger than 1 MB", max_bytes=2**20)
    refused("file/0", "0 bytes")
    refused("slow/100000", "too long", timeout=0.3)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(SourceError, match="cannot be fetched"):
            fetch_image(f"http://127.0.0.1:{nobody.getsockname()[1]}/", allow_private=True)
    monkeypatch.setattr(
        "socket.getaddrinfo",
        lambda *_, **__: (_ for _ in ()).throw(socket.gaierror(-2, "Name not known")),
    )
    refused("file/1", "not known")
