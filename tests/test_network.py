"""What servers and networks really do: odd schemes and types, packed bodies, dead addresses, proxies, certificates,
waits; and every guard on the way into the own network. Whatever reaches a person is a sentence."""

from __future__ import annotations

import gzip
import json
import random
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from inputs.servers import PROXY_VARIABLES, Clock, Names, certificate, chain, jpeg, packed
from lapel.apps.cli import app
from lapel.core.errors import InputError, SourceError
from lapel.core.text import reason_of
from lapel.sources import display_links, hosts, link_checker, open_source, web
from lapel.sources.address import prefixes
from lapel.sources.hosts import TransientError
from lapel.sources.link_checker import LinkCheck, LinkChecker
from lapel.sources.links import HttpsSource, LinkSettings
from lapel.sources.mixed import MixedSource
from lapel.sources.web import MAX_REDIRECTS, LinkReader, fetch_image, parse_link
from loopback.http import Answer
from loopback.shop import ShopServer

PICTURE = jpeg()
HERE = LinkSettings(allow=frozenset(["127.0.0.1"]), pause=0.0, timeout=5)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = ("LAPEL_PROXY", "LAPEL_ALLOW_HOSTS", "LAPEL_PER_HOST", "LAPEL_ALLOW_PRIVATE_LINKS")
    for name in (*PROXY_VARIABLES, *map(str.upper, PROXY_VARIABLES), *own, "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAPEL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def shop() -> Iterator[ShopServer]:
    with ShopServer() as server:
        server.pictures = {"/a.jpg": PICTURE}
        yield server


@pytest.fixture
def reader() -> Iterator[LinkReader]:
    made = HERE.reader()
    yield made
    made.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock(datetime(2026, 3, 1, 12, tzinfo=UTC))
    monkeypatch.setattr(hosts, "time", made)
    monkeypatch.setattr(web, "time", made)
    return made


# --- links as people and shops write them -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("//cdn.example/a.jpg", "https://cdn.example/a.jpg"),
        ("HTTP://CDN.example/A.jpg", "http://cdn.example/A.jpg"),
        ("HTTPS://cdn.example/A.jpg", "https://cdn.example/A.jpg"),
        (" hTTps://cdn.example/a.jpg\n", "https://cdn.example/a.jpg"),
    ],
)
def test_a_link_is_understood_however_it_is_written(written: str, asked: str, tmp_path: Path) -> None:
    assert str(parse_link(written)) == asked
    source = HttpsSource("", HERE)
    assert source.find(written) == asked
    assert display_links(source, written.strip()).full.partition("//")[0] == asked.partition("//")[0]
    source.close()
    mixed = MixedSource(open_source(tmp_path))
    assert mixed.find(written.strip()) == asked
    mixed.close()


def test_a_link_is_a_source_however_it_is_written() -> None:
    for written in ("//cdn.example/a.jpg", "https://cdn.example/a.jpg", "HTTPS://cdn.example/a.jpg"):
        source = open_source(written)
        assert list(source.walk()) == ["https://cdn.example/a.jpg"]
        source.close()
    with pytest.raises(SourceError, match="nothing to read at //cdn/a"):  # no host's name: a path
        open_source("//cdn/a.jpg")


def test_upper_case_schemes_are_fetched_searched_added_and_moved(
    shop: ShopServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loud = shop.root.replace("http", "HTTP") + "a.jpg"
    assert fetch_image(loud, allow_private=True) == PICTURE
    monkeypatch.setenv("LAPEL_ALLOW_HOSTS", "127.0.0.1")
    (tmp_path / "shop.csv").write_text(f"id,pictures\n1,{loud}\n")
    store = str(tmp_path / "store")
    done = CliRunner().invoke(app, ["add", str(tmp_path / "shop.csv"), "--store", store, "--encoder", "colour:"])
    assert done.exit_code == 0, done.output
    found = CliRunner().invoke(app, ["search", loud, "--store", store, "--json"])
    assert [hit["product"]["id"] for hit in json.loads(found.stdout)["hits"]] == ["1"]
    moved = CliRunner().invoke(app, ["media", "move", loud, "HTTPS://CDN.example/A.jpg", "--store", store, "--json"])
    assert json.loads(moved.stdout) == {"photos": 1, "links": 1, "of": 1, "dry_run": False}
    assert prefixes("HTTPS://Old.example/A", "/new") == [("https://old.example/A", "file:///new")]


def test_a_picture_written_into_an_address_is_told_and_not_repeated(tmp_path: Path) -> None:
    long = "data:image/jpeg;base64," + "A" * 5000
    for refused in (lambda: fetch_image(long), lambda: HttpsSource("", HERE).find(long)):
        with pytest.raises(SourceError, match="Save the picture") as error:
            refused()
        assert long[:40] in str(error.value)
        assert len(str(error.value)) < 200
    mixed = MixedSource(open_source(tmp_path))
    for cell in (long, long.upper(), f"a.png,{long}", f"a.png; {long}"):
        with pytest.raises(SourceError, match="Save it as a file") as error:
            mixed.find(cell)
        said = str(error.value).lower()
        assert (long[:40].lower() in said, long[:41].lower() in said) == (True, False)
        assert len(said) < 200
    with pytest.raises(SourceError, match="no file"):
        mixed.find("metadata:image/a.png")
    (tmp_path / "shop.csv").write_text(f'id,image\n1,"{long}"\n')
    store = str(tmp_path / "store")
    done = CliRunner().invoke(app, ["add", str(tmp_path / "shop.csv"), "--store", store, "--encoder", "colour:"])
    assert (done.exit_code, "A" * 100 in done.output) == (1, False)
    rejected = (tmp_path / "store" / "rejected.csv").read_text()
    assert ("Save it as a file" in rejected, "A" * 100 in rejected) == (True, False)
    done = CliRunner().invoke(app, ["search", long, "--store", str(tmp_path)])
    assert (done.exit_code, "A" * 100 in done.output) == (1, False)


# --- what servers answer ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text/plain", "text/html; charset=utf-8", "application/octet-stream", ""])
def test_the_bytes_say_that_it_is_a_picture(shop: ShopServer, kind: str) -> None:
    shop.says["/a.jpg"] = Answer(200, PICTURE, {"Content-Type": kind})
    source = HttpsSource("", HERE)
    assert source.read(f"{shop.root}a.jpg") == PICTURE
    source.close()


@pytest.mark.parametrize("kind", ["text/plain", "image/jpeg", "text/html"])
@pytest.mark.parametrize("page", [b"<!DOCTYPE html><p>Sold out", b"\xef\xbb\xbf\r\n <html>"])
def test_a_web_page_is_called_one(shop: ShopServer, kind: str, page: bytes) -> None:
    shop.says["/a.jpg"] = Answer(200, page, {"Content-Type": kind})
    source = HttpsSource("", HERE)
    with pytest.raises(SourceError, match=f"answers with a web page \\({kind}\\)"):
        source.read(f"{shop.root}a.jpg")
    source.close()


@pytest.mark.parametrize("name", packed(b""))
def test_packed_bodies_are_unpacked(shop: ShopServer, reader: LinkReader, name: str) -> None:
    encoding, body = packed(PICTURE)[name]
    shop.says["/a.jpg"] = Answer(200, body, {"Content-Encoding": encoding})
    assert reader.read(f"{shop.root}a.jpg") == PICTURE
    assert shop.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "gzip, br"])
def test_what_cannot_be_unpacked_is_told(shop: ShopServer, reader: LinkReader, encoding: str) -> None:
    shop.says["/a.jpg"] = Answer(200, gzip.compress(gzip.compress(PICTURE)), {"Content-Encoding": encoding})
    with pytest.raises(SourceError, match=f"packed data \\({encoding}\\).*unpacks gzip and deflate"):
        reader.read(f"{shop.root}a.jpg")


def test_broken_packing_is_told(shop: ShopServer, reader: LinkReader) -> None:
    whole = gzip.compress(PICTURE)
    shop.says["/a.jpg"] = Answer(200, whole[:-40], {"Content-Encoding": "gzip"})
    with pytest.raises(TransientError, match="ends within its gzip data"):
        reader.read(f"{shop.root}a.jpg")
    shop.says["/a.jpg"] = Answer(200, whole[:-8] + bytes(8), {"Content-Encoding": "gzip"})
    with pytest.raises(SourceError, match="broken gzip data"):
        reader.read(f"{shop.root}a.jpg")


@pytest.mark.parametrize("form", ["with its length", "without", "gzip", "deflate", "bare deflate"])
def test_the_limit_counts_to_the_byte_after_unpacking(shop: ShopServer, form: str) -> None:
    link = f"{shop.root}a.jpg"
    for size in (70_000, 70_001):
        body = bytes(size)
        if form == "with its length":
            shop.says["/a.jpg"] = Answer(200, body)
        elif form == "without":
            shop.says["/a.jpg"] = Answer(200, body, {"Content-Length": ""}, cut=size)
        else:
            encoding, small = packed(body)[form]
            shop.says["/a.jpg"] = Answer(200, small, {"Content-Encoding": encoding})
        if size == 70_000:
            assert fetch_image(link, allow_private=True, max_bytes=70_000) == body
        else:
            with pytest.raises(SourceError, match="larger than"):
                fetch_image(link, allow_private=True, max_bytes=70_000)


def test_a_stated_length_over_the_limit_is_not_read(shop: ShopServer) -> None:
    shop.says["/a.jpg"] = Answer(200, b"abc", {"Content-Length": "70001"}, cut=3)
    with pytest.raises(SourceError, match="larger than"):  # and not that it ends early
        fetch_image(f"{shop.root}a.jpg", allow_private=True, max_bytes=70_000)


def test_no_piece_of_a_bomb_is_larger_than_the_limit() -> None:
    bomb = gzip.compress(bytes(10_000_000))
    response = httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(bomb))
    assert len(next(web._unpacked(response, "link", 1000))) == 1001
    start = random.Random(1).randbytes(70_000)  # which fills the first piece
    late = httpx.ByteStream(gzip.compress(start + bytes(10_000_000)))
    pieces = web._unpacked(httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=late), "link", 100_000)
    assert len(next(pieces)) < 70_000
    assert len(next(pieces)) == 100_001


# --- into the own network ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["ask", "read"])
def test_one_redirect_too_many(shop: ShopServer, reader: LinkReader, way: str) -> None:
    follow = getattr(reader, way)
    end = f"{shop.root}a.jpg"
    assert follow(chain(shop, MAX_REDIRECTS, end)) in (PICTURE, web.Answer(200, f'"{hash(PICTURE)}"'))
    shop.requests.clear()
    with pytest.raises(SourceError, match="redirected more than 3 times"):
        follow(chain(shop, MAX_REDIRECTS + 1, end))
    assert [request.path for request in shop.requests] == ["/hop3", "/hop2", "/hop1", "/hop0"]


@pytest.mark.parametrize(
    ("codes", "moved"),
    [
        ((), ""),
        ((301,), "b"),
        ((308, 301), "c"),
        ((302,), ""),
        ((302, 301), ""),
        ((301, 302), "b"),
        ((301, 302, 308), "b"),
    ],
)
def test_a_picture_is_where_lasting_redirects_lead_and_no_further(
    shop: ShopServer, reader: LinkReader, codes: tuple[int, ...], moved: str
) -> None:
    for here, there, code in zip("abc", "bcd", codes, strict=False):
        shop.says[f"/{here}"] = Answer(code, headers={"Location": f"/{there}"})
    shop.pictures["/" + "abcd"[len(codes)]] = PICTURE
    assert reader.ask(f"{shop.root}a").moved == (shop.root + moved if moved else "")


@pytest.mark.parametrize("way", ["ask", "read"])
@pytest.mark.parametrize("status", web.REDIRECT_CODES)
def test_a_redirect_into_the_own_network_is_not_followed(
    shop: ShopServer, reader: LinkReader, way: str, status: int
) -> None:
    inside = shop.root.replace("127.0.0.1", "localhost")  # private, and not named as allowed
    shop.says["/away"] = Answer(status, headers={"Location": f"{inside}a.jpg"})
    with pytest.raises(SourceError, match=r"'localhost' is .*, which is not on the public internet"):
        getattr(reader, way)(f"{shop.root}away")
    assert [request.path for request in shop.requests] == ["/away"]


def test_a_host_is_allowed_by_its_whole_name(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("evilshop.example", "my.shop.example", "shop.example.evil.example")
    Names(monkeypatch, **{name.replace(".", "_"): ["127.0.0.1"] for name in (*names, "shop.example")})
    reader = LinkSettings(allow=frozenset(["shop.example"])).reader()
    for name in names:
        with pytest.raises(SourceError, match=f"LAPEL_ALLOW_HOSTS={name};"):
            reader.ask(f"http://{name}:9/a.jpg")
    with pytest.raises(SourceError, match="Connection refused"):
        reader.ask("http://SHOP.example:9/a.jpg")
    reader.close()


@pytest.mark.parametrize("way", ["ask", "read", "fetch"])
def test_a_private_link_is_not_asked_for(shop: ShopServer, way: str) -> None:
    reader = LinkReader()
    with pytest.raises(
        SourceError, match=r"If it is a machine of your own, allow it with LAPEL_ALLOW_HOSTS=127\.0\.0\.1"
    ):
        getattr(reader, way)(f"{shop.root}a.jpg")
    reader.close()
    assert shop.requests == []


def test_rounds_read_nothing_private(shop: ShopServer) -> None:
    rounds = LinkChecker()
    with pytest.raises(SourceError, match="public internet"):
        rounds.read(f"{shop.root}a.jpg")
    rounds.close()
    allowed = LinkChecker(allow_private=True)
    assert allowed.read(f"{shop.root}a.jpg") == PICTURE
    allowed.close()


@pytest.mark.parametrize("flag", [[], ["--allow-private"]])
def test_hosting_check_visits_private_addresses_only_with_its_flag(
    shop: ShopServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: list[str]
) -> None:
    (tmp_path / "shop.csv").write_text(f"id,pictures\n1,{shop.root}a.jpg\n")
    store = str(tmp_path / "store")
    with monkeypatch.context() as allowed:
        allowed.setenv("LAPEL_ALLOW_HOSTS", "127.0.0.1")
        words = ["add", str(tmp_path / "shop.csv"), "--store", store, "--encoder", "colour:"]
        assert CliRunner().invoke(app, words).exit_code == 0
    shop.requests.clear()
    done = CliRunner().invoke(app, ["media", "check", "--store", store, "--json", *flag])
    facts = json.loads(done.stdout)
    assert (done.exit_code, len(shop.requests)) == ((0, 2) if flag else (1, 0))  # asked for its mark, then read
    if not flag:
        assert (facts["unreachable"], facts["held_back"]) == (1, True)
        assert "LAPEL_ALLOW_HOSTS=127.0.0.1" in facts["issues"][0]["reason"]
    said = CliRunner().invoke(app, ["media", "check", "--store", store, *flag]).stdout
    assert "1 picture: 1 " in said


def test_a_link_pasted_into_the_page_leads_nowhere_private(
    shop: ShopServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("streamlit", reason="the page needs streamlit: pip install 'lapel[ui]'")
    from streamlit.testing.v1 import AppTest

    from browser.shop import draw
    from lapel.apps import ui

    (tmp_path / "pictures").mkdir()
    draw("Dress", "Green", 24).save(tmp_path / "pictures" / "a.png")
    words = ["add", str(tmp_path / "pictures"), "--store", str(tmp_path / "store"), "--encoder", "colour:"]
    assert CliRunner().invoke(app, words).exit_code == 0
    monkeypatch.setattr("sys.argv", ["page.py", str(tmp_path / "store")])
    for allowed in ("", "0", "1"):
        monkeypatch.setenv("LAPEL_ALLOW_PRIVATE_LINKS", allowed)
        page = AppTest.from_file(str(ui.PAGE), default_timeout=60).run()
        page.chat_input(key="box").set_value(f"{shop.root}a.jpg").run()
        if allowed != "1":
            assert "LAPEL_ALLOW_PRIVATE_LINKS=1" in page.error[0].value.replace("\\", "")
            assert shop.requests == []
        else:
            assert len(shop.requests) == 1


def test_a_shop_in_the_own_network_is_named_in_any_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPEL_ALLOW_HOSTS", "CDN.Local:8000, http://10.0.0.5, [::1], fd00::7,, bücher.local")
    allowed = LinkSettings.of_process().allow
    assert allowed == {"cdn.local", "10.0.0.5", "::1", "fd00::7", "bücher.local"}
    assert parse_link("http://xn--bcher-kva.local/a.jpg").host in allowed
    monkeypatch.setenv("LAPEL_ALLOW_HOSTS", "cdn.local:eighty")
    with pytest.raises(InputError, match="LAPEL_ALLOW_HOSTS is names of hosts"):
        LinkSettings.of_process()


# --- addresses, proxies, certificates ---------------------------------------------------------------------------------


def test_a_host_with_a_dead_address_is_reached_at_another(shop: ShopServer, monkeypatch: pytest.MonkeyPatch) -> None:
    port = shop.root.rstrip("/").rpartition(":")[2]
    Names(monkeypatch, shop_example=["::1", "127.0.0.2", "127.0.0.1"])  # nobody listens at the first two
    link = f"http://shop.example:{port}/a.jpg"
    assert fetch_image(link, allow_private=True) == PICTURE
    assert shop.requests[0].headers["host"] == f"shop.example:{port}"


def test_each_address_gets_a_part_of_the_time_and_the_one_that_works_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, float]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.host, round(request.extensions["timeout"]["connect"])))
        if request.url.host != "93.184.216.34":
            raise httpx.ConnectTimeout("nobody there", request=request)
        return httpx.Response(200, stream=httpx.ByteStream(PICTURE))

    monkeypatch.setattr(hosts, "new_client", lambda *_: httpx.Client(transport=httpx.MockTransport(answer)))
    Names(monkeypatch, shop_example=["2606:2800:21f::1", "93.184.216.33", "93.184.216.34"], dead_example=["8.8.8.8"])
    reader = LinkReader(timeout=20)
    assert reader.read("https://shop.example/a.jpg") == PICTURE
    assert asked == [("2606:2800:21f::1", 2), ("93.184.216.33", 2), ("93.184.216.34", 20)]
    asked.clear()
    assert reader.read("https://shop.example/b.jpg") == PICTURE
    assert asked == [("93.184.216.34", 2)]
    with pytest.raises(TransientError, match="took too long"):
        reader.read("https://dead.example/a.jpg")
    reader.close()


def test_many_dead_addresses_leave_time_for_the_last(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        given = request.extensions["timeout"]["connect"]
        if request.url.host != "8.8.8.9":
            clock.now += given
            raise httpx.ConnectTimeout("nobody there", request=request)
        assert given == pytest.approx(1.0)  # a tenth
        return httpx.Response(200, stream=httpx.ByteStream(PICTURE))

    monkeypatch.setattr(hosts, "new_client", lambda *_: httpx.Client(transport=httpx.MockTransport(answer)))
    Names(monkeypatch, shop_example=[f"8.8.8.{number}" for number in range(10)])
    assert fetch_image("https://shop.example/a.jpg", timeout=10) == PICTURE


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:2800:21f::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"]
)
def test_addresses_of_the_public_internet_are_no_others(address: str) -> None:
    assert hosts.is_public(address)


def test_one_private_address_among_others_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, shop_example=["93.184.216.34", "10.0.0.1"])
    with pytest.raises(SourceError, match=r"'shop\.example' is 10\.0\.0\.1"):
        fetch_image("https://shop.example/a.jpg")


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ShopServer]:
    """A proxy that all variables name."""
    with ShopServer() as server:
        server.pictures = {"/a.jpg": PICTURE}
        for name in ("HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, server.root)
        yield server


def test_proxies_are_not_used_unless_wanted(
    shop: ShopServer, proxy: ShopServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = HERE.reader()
    assert reader.read(f"{shop.root}a.jpg") == PICTURE
    assert reader.ask(f"{shop.root}a.jpg").status == 200
    reader.close()
    assert fetch_image(f"{shop.root}a.jpg", allow_private=True) == PICTURE
    assert (len(shop.requests), proxy.requests) == (3, [])
    monkeypatch.setenv("LAPEL_PROXY", "env")
    assert fetch_image(f"{shop.root}a.jpg", allow_private=True) == PICTURE
    assert [request.target for request in proxy.requests] == [f"{shop.root}a.jpg"]
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert fetch_image(f"{shop.root}a.jpg", allow_private=True) == PICTURE
    assert (len(shop.requests), len(proxy.requests)) == (4, 1)
    monkeypatch.setenv("LAPEL_PROXY", "yes")
    with pytest.raises(InputError, match="LAPEL_PROXY is 'env'"):
        HERE.reader()


def test_a_proxy_hears_of_checked_names_only(proxy: ShopServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPEL_PROXY", "env")
    Names(monkeypatch, shop_example=["93.184.216.34"], inside_example=["10.0.0.1"])
    assert fetch_image("http://shop.example/a.jpg") == PICTURE
    for link in ("http://inside.example/a.jpg", "http://10.0.0.1/a.jpg", "https://inside.example/a.jpg"):
        with pytest.raises(SourceError, match=r"10\.0\.0\.1, which is not on the public internet"):
            fetch_image(link)
    proxy.says["/a.jpg"] = Answer(302, headers={"Location": "http://inside.example/a.jpg"})
    with pytest.raises(SourceError, match=r"10\.0\.0\.1, which is not on the public internet"):
        fetch_image("http://shop.example/a.jpg")
    reader = LinkReader()
    with pytest.raises(SourceError, match=r"not known here.*allow it with LAPEL_ALLOW_HOSTS=unknown\.example"):
        reader.read("http://unknown.example/a.jpg")
    reader.close()
    assert [request.target for request in proxy.requests] == ["http://shop.example/a.jpg"] * 2
    proxy.says.clear()
    assert fetch_image("http://unknown.example/a.jpg", allow_private=True) == PICTURE


def test_a_proxy_carries_https_by_name(proxy: ShopServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPEL_PROXY", "env")
    Names(monkeypatch, shop_example=["93.184.216.34"])
    proxy.says["shop.example:443"] = proxy.says[""] = Answer(403)
    with pytest.raises(SourceError, match="cannot be fetched: 40"):
        fetch_image("https://shop.example/a.jpg")
    assert [(request.method, request.target) for request in proxy.requests] == [("CONNECT", "shop.example:443")]


def test_a_proxy_that_cannot_be_used_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPEL_PROXY", "env")
    monkeypatch.setenv("HTTPS_PROXY", "ftp://anna:secret@proxy.example")
    with pytest.raises(InputError, match="cannot be used") as error:
        fetch_image("https://shop.example/a.jpg")
    assert "secret" not in str(error.value)


def test_certificates_of_the_environment_are_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls, pem = certificate(tmp_path)
    with ShopServer(tls=tls) as shop:
        shop.pictures = {"/a.jpg": PICTURE}
        link = f"{shop.root}a.jpg"
        with pytest.raises(
            SourceError, match=r"certificate is not trusted \(.*\); SSL_CERT_FILE may name further ones"
        ):
            fetch_image(link, allow_private=True)
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        assert fetch_image(link, allow_private=True) == PICTURE
        # The connection is made to a number, and the certificate is still asked for the name.
        Names(monkeypatch, shop_example=["127.0.0.1"], other_example=["127.0.0.1"])
        assert fetch_image(link.replace("127.0.0.1", "shop.example"), allow_private=True) == PICTURE
        with pytest.raises(SourceError, match=r"not trusted \(Hostname mismatch.*other\.example"):
            fetch_image(link.replace("127.0.0.1", "other.example"), allow_private=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(
        InputError, match=r"SSL_CERT_FILE \(.*none\.pem\).* No such file or directory\. Name a PEM file"
    ):
        fetch_image(link, allow_private=True)


def test_errors_are_sentences(shop: ShopServer, monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch)
    shop.says["/cut"] = Answer(200, PICTURE, cut=10)
    said = []
    for link in (f"{shop.root}cut", "http://127.0.0.1:9/a.jpg", "https://nowhere.example/a.jpg"):
        with pytest.raises(SourceError) as error:
            fetch_image(link, allow_private=True)
        said.append(str(error.value))
    assert "peer closed connection" in said[0]
    assert said[1].startswith("The link http://127.0.0.1:9/a.jpg cannot be fetched: Connection refused. ")
    assert said[2] == "The link's host 'nowhere.example' is not known. Check the address."
    assert not any("rrno" in text or "[" in text for text in said)
    assert reason_of(ssl.SSLError(1, "[SSL] wrong version number")) == "its encryption is not understood (tls)"
    assert reason_of(httpx.ReadError("")) == "ReadError"


def test_the_time_of_a_link_is_that_of_all_its_redirects(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    given: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        given.append(request.extensions["timeout"]["read"])
        clock.now += 3
        return httpx.Response(302, headers={"Location": f"https://host{len(given)}.example/a.jpg"})

    monkeypatch.setattr(hosts, "new_client", lambda *_: httpx.Client(transport=httpx.MockTransport(answer)))
    Names(monkeypatch, **{f"host{number}_example": ["93.184.216.34"] for number in range(4)})
    reader = LinkReader(timeout=10)
    with pytest.raises(SourceError, match="redirected more than 3 times"):
        reader.ask("https://host0.example/a.jpg")
    reader.close()
    assert given == pytest.approx([10, 7, 4, 1])


def test_a_name_that_is_not_known_for_now_may_be_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.getaddrinfo", Failing(socket.EAI_AGAIN, "Temporary failure in name resolution"))
    with pytest.raises(TransientError, match=r"host 'shop\.example' is not known"):
        fetch_image("https://shop.example/a.jpg")
    monkeypatch.setattr("socket.getaddrinfo", Failing(socket.EAI_NONAME, "Name or service not known"))
    with pytest.raises(SourceError, match="is not known") as error:
        fetch_image("https://shop.example/a.jpg")
    assert not isinstance(error.value, TransientError)


class Failing:
    """A look-up of names that fails."""

    def __init__(self, number: int, words: str) -> None:
        self._error = socket.gaierror(number, words)

    def __call__(self, *_: object, **__: object) -> None:
        raise self._error


# --- waiting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "waited"),
    [
        ("3", 3.0),
        ("Sun, 01 Mar 2026 12:00:04 GMT", 4.0),
        ("Sunday, 01-Mar-26 12:00:04 GMT", 4.0),
        ("3600", 5.0),  # no longer than a link may take
        ("Sun, 01 Mar 2026 13:00:00 GMT", 5.0),
    ],
)
@pytest.mark.parametrize("way", ["ask", "read"])
def test_a_host_is_left_alone_for_as_long_as_it_says(
    shop: ShopServer, clock: Clock, way: str, said: str, waited: float
) -> None:
    reader = replace(HERE, pause=0.5).reader(tries=2)  # the pause does not come on top
    shop.faults.append(Answer(429, b"", {"Retry-After": said}))
    getattr(reader, way)(f"{shop.root}a.jpg")
    assert clock.slept == [waited]
    reader.close()


@pytest.mark.parametrize("said", ["Sun, 01 Mar 2026 11:00:00 GMT", "soon", "-5", ""])
def test_a_wait_that_says_nothing_is_none(shop: ShopServer, clock: Clock, said: str) -> None:
    reader = HERE.reader()
    shop.faults.append(Answer(503, b"", {"Retry-After": said}))
    assert reader.ask(f"{shop.root}a.jpg").status == 503
    assert (clock.slept, len(shop.requests)) == ([], 1)
    reader.close()


def test_other_links_of_the_host_wait_too_and_other_answers_do_not_count(shop: ShopServer, clock: Clock) -> None:
    reader = HERE.reader()
    shop.faults.append(Answer(429, b"", {"Retry-After": "2"}))
    with pytest.raises(TransientError, match="429"):
        reader.read(f"{shop.root}a.jpg")
    assert clock.slept == []
    assert reader.read(f"{shop.root}a.jpg") == PICTURE
    assert clock.slept == [2.0]
    shop.says["/a.jpg"] = Answer(200, PICTURE, {"Retry-After": "4"})
    assert reader.read(f"{shop.root}a.jpg") == reader.read(f"{shop.root}a.jpg") == PICTURE
    assert clock.slept == [2.0]
    reader.close()


def test_an_answer_that_comes_late_does_not_shorten_the_wait(clock: Clock) -> None:
    host = hosts.Host(httpx.URL("http://shop.example/"), 1)
    host.rest(5.0)  # one request was told so,
    host.rest(0.0)  # and another under way at the same time was not
    host.rest(2.0)
    with host.turn():
        assert clock.slept == [5.0]
    host.close()


def test_pauses_between_tries_are_doubled(shop: ShopServer, clock: Clock) -> None:
    reader = LinkSettings(allow=HERE.allow, pause=1.5, timeout=5).reader(tries=4)
    shop.faults.extend([Answer(503)] * 3)
    assert reader.read(f"{shop.root}a.jpg") == PICTURE
    assert clock.slept == [1.5, 3.0, 5.0]
    shop.faults.extend([Answer(503)] * 4)
    with pytest.raises(TransientError):
        reader.read(f"{shop.root}a.jpg")
    assert len(shop.requests) == 8
    assert clock.slept == [1.5, 3.0, 5.0] * 2
    reader.close()


def test_an_answer_in_between_starts_the_count_of_silence_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(datetime(2026, 3, 1, tzinfo=UTC))
    monkeypatch.setattr(link_checker, "time", clock)
    monkeypatch.setattr(link_checker, "MAX_MISSES", 3)
    rounds = LinkChecker()
    told: list[str] = []
    monkeypatch.setattr(rounds, "_check", lambda *_: LinkCheck(told.pop(0)))  # type: ignore[arg-type]

    def look(*states: str) -> list[str]:
        told[:] = states
        return [rounds.check("https://cdn.example/a.jpg", "").status for _ in states]

    assert look("unreachable", "unreachable", "fine") == ["unreachable", "unreachable", "fine"]
    assert look("unreachable", "unreachable", "dead") == ["unreachable", "unreachable", "dead"]
    assert look("unreachable", "unreachable", "unreachable", "fine")[3] == "unasked"
    clock.now += link_checker.RETRY_SECONDS - 1
    assert look("fine") == ["unasked"]
    clock.now += 1
    assert look("fine", "unreachable", "unreachable", "fine") == ["fine", "unreachable", "unreachable", "fine"]
    rounds.close()
