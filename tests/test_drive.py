"""Google Drive through the official client, against a Drive that this machine plays: walking, reading, faults,
refusals."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from typer.testing import CliRunner

from inputs.servers import Clock
from lapel import sources
from lapel.apps.cli import app
from lapel.core.errors import InputError, MissingDependencyError, SourceError
from lapel.sources import ImageSource, Links, display_links, open_source, read_uri
from lapel.sources.drive.account import Account, DriveSettings
from lapel.sources.drive.source import DriveSource
from lapel.sources.drive.upload import upload
from lapel.sources.photos import photo_rows
from lapel.sources.table import read_table
from lapel.testing.source import SourceContract
from loopback.drive import DriveServer, error

GOOGLE = "application/vnd.google-apps."


@pytest.fixture
def drive() -> Iterator[DriveServer]:
    with DriveServer(page=2) as server:
        yield server


@pytest.fixture(scope="session")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


OPENED: list[DriveSource] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def opened(where: str, settings: DriveSettings) -> DriveSource:
    OPENED.append(DriveSource(where, settings))
    return OPENED[-1]


def robot(drive: DriveServer, folder: Path, private_key: str) -> DriveSettings:
    path = folder / "robot.json"
    info = {
        "type": "service_account",
        "client_email": "robot@shop.example",
        "private_key": private_key,
        "private_key_id": "1",
        "token_uri": drive.root + "token",
    }
    path.write_text(json.dumps(info))
    return DriveSettings(credentials=path, endpoint=drive.root, pause=0.001)


def login(drive: DriveServer, folder: Path, refresh: str = "good") -> DriveSettings:
    path = folder / "login.json"
    info = {
        "type": "authorized_user",
        "client_id": "lapel",
        "client_secret": "x",
        "refresh_token": refresh,
        "token_uri": drive.root + "token",
    }
    path.write_text(json.dumps(info))
    return DriveSettings(credentials=path, endpoint=drive.root, pause=0.001)


@pytest.fixture
def settings(drive: DriveServer) -> DriveSettings:
    return DriveSettings(key="good-key", endpoint=drive.root, pause=0.001)


def listed(source: Any) -> list[str]:
    return ["/".join(source.path(uri)) for uri in source.walk()]


class TestDriveContract(SourceContract):
    @pytest.fixture(autouse=True)
    def served(self, drive: DriveServer, settings: DriveSettings) -> None:
        self.drive, self.settings, self.shop = drive, settings, drive.folder("Shop")

    def open(self, files: Mapping[str, bytes]) -> ImageSource:
        before = opened(f"//{self.shop}", self.settings)
        there = {file.path: file.id for file in before.files()}
        below = before.folders
        for name, data in files.items():
            *folders, last = name.split("/")
            parent = self.shop
            for depth in range(1, len(folders) + 1):
                path = tuple(folders[:depth])
                parent = below[path] if path in below else below.setdefault(path, self.drive.folder(path[-1], parent))
            if known := there.pop(tuple(name.split("/")), ""):
                self.drive.change(known, data)
            else:
                self.drive.file(last, data, parent, kind="application/octet-stream")
        for gone in there.values():
            self.drive.files[gone].trashed = True
        return opened(f"//{self.shop}", self.settings)


def test_a_folder_is_walked_with_all_below_it(drive: DriveServer, settings: DriveSettings) -> None:
    shop = drive.folder("Shop")
    shirts, shoes = drive.folder("Shirts", shop), drive.folder("Shoes", shop)
    for number in range(5):  # three pages of two
        drive.file(f"{number}.jpg", b"%d" % number, shirts)
    drive.file("no extension", b"png", shoes, "image/png")
    drive.file("by its name.webp", b"w", shoes, "application/octet-stream")
    drive.file("thrown away.jpg", b"-", shoes, trashed=True)
    drive.file("elsewhere.jpg", b"-")
    drive.file(".hidden.jpg", b"-", shoes)
    drive.file("clip.mp4", b"-", shoes, "video/mp4")
    drive.file("drawing.svg", b"-", shoes, "image/svg+xml")
    drive.file("prices", b"-", shoes, GOOGLE + "spreadsheet")
    drive.file("words", b"-", shoes, GOOGLE + "document")
    source = opened(f"//{shop}", settings)
    numbers = [f"Shirts/{number}.jpg" for number in range(5)]
    assert listed(source) == [*numbers, "Shoes/by its name.webp", "Shoes/no extension.png"]
    assert source.count() == 7
    skipped = {"Google documents": 2, "videos": 1, "pictures of an unknown kind": 1, "hidden and system files": 1}
    assert source.skipped == skipped
    assert source.ignored == 5
    assert source.read(source.find("Shirts/3.jpg")) == b"3"
    assert source.read(source.find_id("no extension")) == b"png"
    assert [source.lists(uri) for uri in source.walk()] == [True] * 7
    assert not source.lists("gdrive://another")
    rows = {row.id: row.product for row in photo_rows(source)}
    assert rows["Shirts/0"].category == ("Shirts",)
    for name in ("Shirts/9.jpg", "../elsewhere.jpg"):
        with pytest.raises(SourceError, match=r"There is no file"):
            source.find(name)


def test_pictures_whose_kind_few_know_are_told_by_their_names(drive: DriveServer, settings: DriveSettings) -> None:
    shop = drive.folder("Shop")
    kinds = {"a.ppm": "image/x-portable-pixmap", "b.HEIC": "image/heif", "c": "image/heic", "d.jfif": "image/pjpeg"}
    for name, kind in {**kinds, "e.dng": "image/x-adobe-dng", "f.jxl": "image/jxl"}.items():
        drive.file(name, b"x", shop, kind)
    source = opened(f"//{shop}", settings)
    assert listed(source) == ["a.ppm", "b.HEIC", "c.heic", "d.jfif"]
    assert source.skipped == {"camera raw photos": 1, "JPEG XL pictures": 1}


def test_shared_drives_and_shortcuts(drive: DriveServer, settings: DriveSettings) -> None:
    shared = drive.folder("Shared", drive="drive-1")
    inside = drive.folder("Bags", shared)
    bag = drive.file("bag.jpg", b"bag", inside)
    other = drive.folder("Other")
    hat = drive.file("hat.png", b"hat", other, "image/png")
    drive.shortcut("up", shared, inside)  # a walk that followed it would never end
    drive.shortcut("hats", other, shared)
    drive.shortcut("the hat.png", hat, shared)
    drive.shortcut("the bag.jpg", bag, inside)
    drive.shortcut("gone.jpg", "nowhere", shared)
    drive.shortcut("binned.jpg", drive.file("binned.jpg", b"bin", trashed=True), shared)
    source = opened(f"//{shared}", settings)
    assert listed(source) == ["Bags/bag.jpg", "hats/hat.png"] or listed(source) == ["Bags/bag.jpg", "the hat.png"]
    assert source.skipped["shortcuts to pictures that are there already"] >= 1
    assert source.skipped["shortcuts that lead nowhere"] == 2
    assert {source.read(uri) for uri in source.walk()} >= {b"bag"}
    link = drive.shortcut("to all", shared)
    assert listed(opened(f"//{link}", settings)) == listed(source)


def test_checksums_and_times_tell_what_is_new(drive: DriveServer, settings: DriveSettings) -> None:
    file = drive.file("a.jpg", b"one")
    bare = drive.file("b.jpg", b"two", md5="")
    tokens = []
    for data in (b"one", b"another"):
        drive.change(file, data)
        source = opened("//root-of-my-drive", settings)
        tokens.append([source.version_token(f"gdrive://{made}") for made in (file, bare)])
    assert tokens[0][0] != tokens[1][0]
    assert tokens[0][0].startswith("md5:")
    drive.files[bare].md5 = ""
    assert opened("//", settings).version_token(f"gdrive://{bare}") == "time:2026-01-01T00:00:00Z-3"


def test_names_of_every_kind(drive: DriveServer, settings: DriveSettings) -> None:
    names = ["two\nlines.jpg", "数珠.jpg", "a/b.jpg", 'it\'s "quoted".jpg', "قميص.jpg", "100%.jpg"]
    shop = drive.folder("it's a shop\n")
    for name in names:
        drive.file(name, name.encode(), shop)
    source = opened(f"//{shop}", settings)
    assert sorted(listed(source)) == sorted(names)
    for uri in source.walk():
        assert source.read(uri).decode() == source.path(uri)[-1]
    assert len([row for row in photo_rows(source) if row.product]) == len(names)


def test_pictures_of_one_name_are_one_product(drive: DriveServer, settings: DriveSettings) -> None:
    shop = drive.folder("Shop")
    for data in (b"1", b"2"):
        drive.file("same.jpg", data, shop)
    source = opened(f"//{shop}", settings)
    with pytest.raises(SourceError, match=r"2 files are called 'same\.jpg'.*Rename"):
        source.find("same.jpg")
    (row,) = photo_rows(source)
    assert (row.id, row.problem) == ("same", "")
    assert [source.read(uri) for uri in row.pictures] == [b"1", b"2"]


def test_a_folder_that_may_not_be_listed_costs_only_itself(drive: DriveServer, settings: DriveSettings) -> None:
    shop = drive.folder("Shop")
    drive.file("a.jpg", b"a", shop)
    private = drive.folder("Private", shop)
    drive.file("b.jpg", b"b", private)
    drive.fault = lambda request: (
        error(403, "insufficientFilePermissions") if private in request.query.get("q", "") else None
    )
    source = opened(f"//{shop}", settings)
    assert listed(source) == ["a.jpg"]
    assert source.skipped == {"folders that cannot be read": 1}
    assert list(source.unreadable) == ["Private"]
    assert "is refused" in source.unreadable["Private"]
    drive.fault = lambda request: (
        error(403, "insufficientFilePermissions") if shop in request.query.get("q", "") else None
    )
    with pytest.raises(SourceError, match="is refused"):
        opened(f"//{shop}", settings).count()


def test_tables_may_name_addresses(drive: DriveServer, settings: DriveSettings) -> None:
    outside = drive.file("outside.jpg", b"outside")
    source = opened(f"//{drive.folder('Empty')}", settings)
    for address in (
        f"https://drive.google.com/file/d/{outside}/view?usp=sharing",
        f"https://drive.google.com/uc?export=view&id={outside}",
        f"https://lh3.googleusercontent.com/d/{outside}=w400",
        f"gdrive://{outside}",
    ):
        assert source.find(address) == f"gdrive://{outside}"
    assert source.read(f"gdrive://{outside}") == b"outside"


def test_display_links_follow_a_pattern(settings: DriveSettings) -> None:
    uri = "gdrive://1AbC"
    links = display_links(opened("//", settings), uri)
    assert links.full == "https://drive.google.com/thumbnail?id=1AbC&sz=w1600"
    own = replace(settings, full="https://cdn.example/{id}.jpg", thumbnail="https://cdn.example/{id}-small.jpg")
    assert display_links(opened("//", own), uri) == Links(
        "https://cdn.example/1AbC.jpg", "https://cdn.example/1AbC-small.jpg"
    )


def test_a_folder_has_no_links(tmp_path: Path) -> None:
    assert display_links(open_source(tmp_path), "file:///a.jpg") == Links()


def test_pictures_are_read_again_by_their_address(drive: DriveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    file = drive.file("a.jpg", b"again")
    monkeypatch.setenv("LAPEL_DRIVE_ENDPOINT", drive.root)
    monkeypatch.setenv("LAPEL_DRIVE_KEY", "good-key")
    assert read_uri(f"gdrive://{file}") == b"again"
    sources.close_archives()


# --- faults ---


@pytest.mark.parametrize(
    "fault",
    [
        error(429),
        error(403, "userRateLimitExceeded"),
        error(403, "rateLimitExceeded"),
        error(500),
        error(503),
        "cut",
        "slow",
    ],
    ids=lambda fault: fault if isinstance(fault, str) else f"{fault.status}",
)
def test_what_passes_is_waited_for(drive: DriveServer, settings: DriveSettings, fault: Any) -> None:
    data = bytes(range(256)) * 100
    file = drive.file("a.jpg", data)
    drive.faults += [fault]
    source = opened("//root-of-my-drive", settings)
    drive.faults += [fault]
    (uri,) = source.walk()
    drive.faults += [fault, fault]
    assert source.read(uri) == data
    assert uri == f"gdrive://{file}"


def test_a_broken_download_goes_on_where_it_broke(drive: DriveServer, settings: DriveSettings) -> None:
    data = bytes(range(256)) * 100
    source = opened("//", settings)
    uri = f"gdrive://{drive.file('a.jpg', data)}"
    source.version_token(uri)
    drive.requests.clear()
    drive.fault = lambda request: "cut" if request.query.get("alt") == "media" and len(drive.requests) < 4 else None
    assert source.read(uri) == data
    ranges = [request.headers.get("range") for request in drive.requests if request.query.get("alt") == "media"]
    assert ranges == [None, "bytes=12800-", "bytes=19200-"]


def test_damaged_bytes_are_fetched_again(drive: DriveServer, settings: DriveSettings) -> None:
    file = drive.file("a.jpg", b"right")
    source = opened("//root-of-my-drive", settings)
    (uri,) = source.walk()
    drive.files[file].data = b"wrong"
    tries = len(drive.requests)
    drive.fault = lambda _: setattr(drive.files[file], "data", b"right") if len(drive.requests) > tries + 2 else None  # type: ignore[func-returns-value]
    assert source.read(uri) == b"right"
    assert len(drive.requests) == tries + 3


def test_patience_ends(drive: DriveServer, settings: DriveSettings) -> None:
    source = opened("//", replace(settings, tries=3))
    uri = f"gdrive://{drive.file('a.jpg', b'a' * 1000)}"
    for fault, words in ((error(500), "500"), ("cut", "3 tries")):
        drive.fault = lambda _, fault=fault: fault
        with pytest.raises(SourceError, match=rf"did not give .*{words}.*again later"):
            source.read(uri)
    drive.root = "http://127.0.0.1:1/"
    with pytest.raises(SourceError, match="in 2 tries"):
        opened("//any", replace(settings, endpoint="http://127.0.0.1:1/", tries=2))


def test_pauses_are_doubled_and_what_google_says_is_waited_for(
    drive: DriveServer, settings: DriveSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(datetime(2026, 3, 1, 12, tzinfo=UTC))
    monkeypatch.setattr("lapel.sources.drive.account.time", clock)
    monkeypatch.setattr("lapel.sources.hosts.time", clock)
    monkeypatch.setattr("lapel.sources.drive.account.random.random", lambda: 1.0)
    source = opened("//", replace(settings, tries=8, pause=4.0))
    uri = f"gdrive://{drive.file('a.jpg', b'data')}"
    source.version_token(uri)
    drive.faults += ["cut"] * 5
    assert source.read(uri) == b"data"
    assert clock.slept == [4.0, 8.0, 16.0, 32.0, 32.0]
    clock.slept.clear()
    said = (
        "20",
        "Sun, 01 Mar 2026 12:02:10 GMT",
        "1",
        "3600",
        "soon",
    )  # it is 12:01:32 then, and 20 seconds later the date
    drive.faults += [replace(error(429), headers={"Retry-After": text}) for text in said]
    assert source.read(uri) == b"data"
    assert clock.slept == [20.0, 18.0, 16.0, 32.0, 32.0]


def test_many_threads_with_faults_lose_nothing(drive: DriveServer, settings: DriveSettings) -> None:
    shop = drive.folder("Shop")
    data = {drive.file(f"{number}.jpg", b"%d" % number * 500, shop): b"%d" % number * 500 for number in range(60)}
    kinds = [error(429), error(500), "cut", error(403), "slow"]
    drive.fault = lambda _: kinds[len(drive.requests) % 5] if len(drive.requests) % 7 == 0 else None
    source = opened(f"//{shop}", settings)
    with ThreadPoolExecutor(8) as pool:
        uris = list(source.walk())
        read = dict(zip(uris, pool.map(source.read, uris), strict=True))
    assert read == {f"gdrive://{file}": some for file, some in data.items()}


# --- who asks ---


def test_a_service_account_and_a_login(drive: DriveServer, tmp_path: Path, private_key: str) -> None:
    shop = drive.folder("Shop", readers={"robot@shop.example", "anna@shop.example"})
    drive.file("a.jpg", b"a", shop)
    for who in (robot(drive, tmp_path, private_key), login(drive, tmp_path)):
        source = opened(f"//{shop}", who)
        assert [source.read(uri) for uri in source.walk()] == [b"a"]


def test_expired_credentials_are_renewed(drive: DriveServer, tmp_path: Path, private_key: str) -> None:
    source = opened(f"//{drive.folder('Shop')}", robot(drive, tmp_path, private_key))
    uri = f"gdrive://{drive.file('a.jpg', b'a')}"
    drive.tokens.clear()  # what was given is not valid any more
    assert source.read(uri) == b"a"


def test_revoked_credentials_say_so(drive: DriveServer, tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match=r"Google refused the credentials of .*login\.json.*revoked.*lapel drive login"
    ):
        opened("//any", login(drive, tmp_path, refresh="revoked"))


def test_who_lacks_what(drive: DriveServer, tmp_path: Path, private_key: str, settings: DriveSettings) -> None:
    private = drive.folder("Private", readers={"boss@shop.example"})
    for who, name in (
        (robot(drive, tmp_path, private_key), "service account robot@shop.example"),
        (login(drive, tmp_path), "account anna@shop.example"),
        (settings, "everyone who has the link"),
    ):
        with pytest.raises(SourceError, match=rf"{private} does not exist, or is not shared with .*{name}.*as Viewer"):
            opened(f"//{private}", who)
    locked = drive.file("a.jpg", b"a", more={"locked": True})
    with pytest.raises(SourceError, match=r"'a\.jpg' .*is refused: everyone .* lacks the permission to download"):
        opened("//", settings).read(f"gdrive://{locked}")
    drive.faults += [error(403, "accessNotConfigured")]
    with pytest.raises(SourceError, match="lacks the Drive API"):
        opened("//any", settings)


def test_missing_and_wrong_credentials(
    drive: DriveServer, tmp_path: Path, settings: DriveSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "LAPEL_DRIVE_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SourceError, match=r"needs to know who asks.*GOOGLE_APPLICATION_CREDENTIALS.*lapel drive login"):
        open_source("gdrive://abc")
    for text in ("", "[]", "{}", '{"type": "service_account"}', '{"type": "authorized_user"}'):
        (tmp_path / "bad.json").write_text(text)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "bad.json"))
        with pytest.raises(SourceError, match=r"bad\.json cannot be used"):
            open_source("gdrive://abc")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(SourceError, match=r"none\.json cannot be used"):
        open_source("gdrive://abc")
    with pytest.raises(SourceError, match="LAPEL_DRIVE_KEY"):
        opened("//abc", replace(settings, key="wrong"))


def test_what_is_no_folder_says_so(drive: DriveServer, settings: DriveSettings) -> None:
    with pytest.raises(SourceError, match=r"'a\.jpg' .* is a file"):
        opened(f"//{drive.file('a.jpg', b'a')}", settings)
    with pytest.raises(SourceError, match="in the trash"):
        opened(f"//{drive.folder('Old', trashed=True)}", settings)
    with pytest.raises(SourceError, match="last part of its address"):
        opened("//", settings).count()


# --- putting pictures there ---


def pictures(folder: Path) -> Path:
    from PIL import Image

    for number, name in enumerate(("Shirts/red.png", "Shirts/blue.png", "Shoes/Winter/boot.jpg", "数\n.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 50), (40 * number, 200, 90)).save(folder / name)
    return folder


def test_a_folder_goes_to_drive_and_comes_back(
    drive: DriveServer, tmp_path: Path, private_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = open_source(pictures(tmp_path / "shop"))
    account = Account(robot(drive, tmp_path, private_key), writes=True)
    target = drive.folder("Target")
    done = upload(local, account, target)
    assert (len(done.sent), done.there, done.failed) == (4, {}, ())
    source = opened(f"//{target}", robot(drive, tmp_path, private_key))
    assert listed(source) == listed(local)
    for uri, made in done.links.items():
        assert source.read(made) == local.read(uri)
    (tmp_path / "shop" / "Shirts" / "red.png").write_bytes(b"changed")
    again = upload(local, account, target)
    assert (len(again.sent), len(again.there), again.links) == (1, 3, done.links)  # a changed picture keeps its id
    assert source.account.download(again.sent.popitem()[1].removeprefix("gdrive://"), "it") == b"changed"
    account.close()


def test_uploads_go_on_after_faults(drive: DriveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lapel.sources.drive.upload.CHUNK_BYTES", 256 * 1024)
    monkeypatch.setattr("lapel.sources.drive.upload.UPLOAD_THREADS", 1)
    data = bytes(range(256)) * 3000  # three parts
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "a.jpg").write_bytes(data)
    account = Account(login(drive, tmp_path), writes=True)
    kinds = [error(500), "cut", error(429), error(403, "userRateLimitExceeded"), None, None]
    drive.fault = lambda request: kinds[len(drive.requests) % len(kinds)] if request.path != "/token" else None
    done = upload(open_source(tmp_path / "shop"), account, "root")
    drive.fault = lambda _: None
    assert done.failed == ()
    (made,) = done.sent.values()
    assert drive.files[made.removeprefix("gdrive://")].data == data
    assert sum(file.name == "a.jpg" for file in drive.files.values()) == 1
    account.close()


def test_what_may_not_be_written_says_so(drive: DriveServer, tmp_path: Path, settings: DriveSettings) -> None:
    with pytest.raises(SourceError, match="API key may only read"):
        Account(settings, writes=True)
    account = Account(login(drive, tmp_path), writes=True)
    local = open_source(pictures(tmp_path / "shop"))
    target = drive.folder("Target")
    drive.fault = lambda request: error(403, "storageQuotaExceeded") if request.path.startswith("/upload") else None
    done = upload(local, account, target)
    assert len(done.failed) == 4
    assert "no room" in done.failed[0][1]
    drive.fault = lambda r: (
        error(403, "insufficientFilePermissions") if r.method == "POST" and "files" in r.path else None
    )
    with pytest.raises(SourceError, match=r"account anna@shop\.example lacks the permission Editor"):
        upload(open_source(pictures(tmp_path / "new" / "shop").parent), account, target)
    account.close()


@pytest.fixture
def robot_shell(drive: DriveServer, tmp_path: Path, private_key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPEL_DRIVE_ENDPOINT", drive.root)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(robot(drive, tmp_path, private_key).credentials))
    monkeypatch.delenv("LAPEL_DRIVE_KEY", raising=False)


@pytest.mark.usefixtures("robot_shell")
def test_the_commands(drive: DriveServer, tmp_path: Path) -> None:
    target = drive.folder("Target")
    (tmp_path / "shop.csv").write_text(
        "id,title,price,currency,pictures,fabric\n"
        "1,Red"
        " shirt,1299.50,EUR,Shirts/red.png|Shirts/blue.png,wool\n2,Boot,,,Shoes/Winter/boot.jpg,\n3,None,,,none.jpg,\n"
    )
    table = tmp_path / "drive.csv"
    words = ["drive", "upload", str(pictures(tmp_path / "shop")), "--to", target, "--out", str(table)]
    said = CliRunner().invoke(app, [*words, "--products", str(tmp_path / "shop.csv")])
    assert said.exit_code == 0, said.output
    assert "4 pictures uploaded, 0 there already" in said.output
    store = ["--store", str(tmp_path / "store"), "--encoder", "colour:"]
    first = CliRunner().invoke(app, ["add", f"gdrive://{target}", "--products", str(table), *store])
    assert first.exit_code == 0, first.output
    assert "2 products added" in first.output
    assert "1 picture of the source is named by no row" in first.output
    product = next(iter(read_table(table))).product
    assert product is not None
    assert (product.price, product.attributes["fabric"]) == ("1,299.50 EUR", "wool")
    assert product.attributes["picture_link"].startswith("https://drive.google.com/thumbnail?id=")
    read = len([request for request in drive.requests if request.query.get("alt") == "media"])
    drive.file("clip.mp4", b"-", target, "video/mp4")
    again = CliRunner().invoke(app, ["add", f"gdrive://{target}", "--products", str(table), *store[:2]])
    assert "2 unchanged" in again.output
    assert "videos (1): a product needs a still photo" in again.output
    assert read == len([request for request in drive.requests if request.query.get("alt") == "media"])
    sources.close_archives()


def test_a_login_is_kept(tmp_path: Path, drive: DriveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from google_auth_oauthlib.flow import InstalledAppFlow

    class Made:
        def to_json(self) -> str:
            return (tmp_path / "login.json").read_text()

    settings = login(drive, tmp_path)
    (tmp_path / "client.json").write_text('{"installed": {"client_id": "x", "auth_uri": "x", "token_uri": "x"}}')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setattr(InstalledAppFlow, "run_local_server", lambda *_, **__: Made())
    said = CliRunner().invoke(app, ["drive", "login", str(tmp_path / "client.json")])
    assert said.exit_code == 0, said.output
    kept = DriveSettings.of_process().credentials
    assert kept is not None
    assert kept.stat().st_mode & 0o777 == 0o600
    file = drive.file("a.jpg", b"a")
    assert opened("//", replace(settings, credentials=kept)).read(f"gdrive://{file}") == b"a"
    (tmp_path / "client.json").write_text("{}")
    with pytest.raises(InputError, match="Desktop app"):
        CliRunner().invoke(app, ["drive", "login", str(tmp_path / "client.json")], catch_exceptions=False)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lapel.sources.drive.source", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'lapel\[drive\]'"):
        open_source("gdrive://abc")


@pytest.mark.usefixtures("robot_shell")
def test_training_reads_ahead_from_drive(drive: DriveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lapel.service.training import LabelledPhotos, read_examples

    monkeypatch.setenv("LAPEL_CACHE", str(tmp_path / "cache"))
    shop = drive.folder("Shop")
    data = {drive.file(f"{number}.jpg", b"picture %d" % number, shop): b"picture %d" % number for number in range(20)}
    table = tmp_path / "shop.csv"
    table.write_text("id\n" + "\n".join(map(str, range(25))))
    for stream in (False, True):  # read in order, then by chance; the second time from the cache
        with ExitStack() as opened:
            parts = [LabelledPhotos(f"gdrive://{shop}", table)]
            examples, read = read_examples(parts, opened, stream=stream, note=lambda text: None)
            assert [read(example.uri) for example in examples[:: -1 if stream else 1]] == (
                list(data.values())[:: -1 if stream else 1]
            )
    assert len([request for request in drive.requests if request.query.get("alt") == "media"]) == 20
