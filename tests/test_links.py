"""Tables of links: fetched politely, asked for changes, refused where they lead into the own network or to no
picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from PIL import Image
from typer.testing import CliRunner

from lapel import sources
from lapel.apps.cli import app
from lapel.core.errors import InputError, SourceError
from lapel.sources import ImageSource, Links, display_links, link_checker, open_source, read_uri
from lapel.sources.cache import ImageCache
from lapel.sources.link_checker import LinkChecker
from lapel.sources.links import HttpsSource, LinkSettings
from lapel.testing.source import SourceContract
from loopback.http import Answer
from loopback.shop import ShopServer

HERE = LinkSettings(allow=frozenset(["127.0.0.1"]), pause=0.01, timeout=2)


def picture(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 50), (number * 20 % 256, 120, 90)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def shop() -> Iterator[ShopServer]:
    with ShopServer() as server:
        server.pictures = {f"/{number}.png": picture(number) for number in range(12)}
        yield server


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ImageCache]:
    made = ImageCache(tmp_path / "cache", 10**8)
    yield made
    made.close()


@pytest.fixture
def links(cache: ImageCache) -> Iterator[HttpsSource]:
    source = HttpsSource("", HERE, cache=cache)
    yield source
    source.close()


class TestLinksContract(SourceContract):
    walks = False

    @pytest.fixture(autouse=True)
    def served(self, shop: ShopServer, cache: ImageCache) -> None:
        self.shop, self.cache = shop, cache

    def name(self, path: str) -> str:
        return self.shop.root + quote(path)

    def open(self, files: Mapping[str, bytes]) -> ImageSource:
        self.shop.pictures = {f"/{name}": data for name, data in files.items()}
        return HttpsSource("", HERE, cache=self.cache)


def test_links_are_read(shop: ShopServer, links: HttpsSource) -> None:
    uri = links.find(f" {shop.root}3.png#top ")
    assert uri == f"{shop.root}3.png"
    assert links.read(uri) == picture(3)
    assert (links.count(), list(links.walk()), links.lists(uri), links.path(uri)) == (0, [], False, ("3.png",))
    assert display_links(links, uri) == Links(uri)
    for name in ("3.png", "ftp://shop.example/a.jpg", "http://", "http://[::1"):
        with pytest.raises(SourceError, match=r"link|address"):
            links.find(name)
    with pytest.raises(SourceError, match="column 'pictures'"):
        links.find_id("3")
    with pytest.raises(SourceError, match="Give it as gdrive://1AbC-d"):
        open_source("https://drive.google.com/drive/u/0/folders/1AbC-d?usp=sharing")


def test_servers_are_asked_for_changes_only(shop: ShopServer, links: HttpsSource) -> None:
    uri = f"{shop.root}3.png"
    first = links.version_token(uri)
    assert links.cache is not None
    assert links.cache.get(uri, first) == picture(3)
    assert links.version_token(uri) == first
    assert "if-none-match" in shop.requests[-1].headers
    shop.pictures["/3.png"] = picture(4)
    second = links.version_token(uri)
    assert second != first
    assert links.cache.get(uri, second) == picture(4)
    shop.tags = False  # then it is fetched, and found to be the same
    assert links.version_token(uri) == second
    forgetful = HttpsSource("", HERE)
    assert forgetful.version_token(uri) == second
    forgetful.close()


def test_few_are_fetched_from_one_host_at_once(shop: ShopServer, cache: ImageCache) -> None:
    shop.latency = 0.02
    source = HttpsSource("", replace(HERE, per_host=2), cache=cache)
    with ThreadPoolExecutor(12) as pool:
        read = list(pool.map(source.read, [f"{shop.root}{number}.png" for number in range(12)]))
    source.close()
    assert read == [picture(number) for number in range(12)]
    assert shop.busiest <= 2


def test_what_passes_is_tried_again(shop: ShopServer, links: HttpsSource) -> None:
    uri = f"{shop.root}3.png"
    for fault in (Answer(429, headers={"Retry-After": "0"}), Answer(503), Answer(200, b"x" * 100, cut=50)):
        shop.faults += [fault, fault]
        assert links.read(uri) == picture(3)
        shop.faults += [fault, fault, fault]
        with pytest.raises(SourceError, match=r"429|503|cannot be fetched"):
            links.read(uri)
    shop.faults += [Answer(404)]
    with pytest.raises(SourceError, match="404"):
        links.read(uri)
    assert links.read(uri) == picture(3)


def test_what_is_no_picture_is_told(shop: ShopServer, links: HttpsSource) -> None:
    page = b"<!DOCTYPE html><title>Sold out</title>"
    shop.says = {
        "/page": Answer(200, page, {"Content-Type": "text/html; charset=utf-8"}),
        "/hidden-page": Answer(200, b"\n " + page, {"Content-Type": "image/jpeg"}),
    }
    for path in shop.says:
        with pytest.raises(SourceError, match="answers with a web page"):
            links.version_token(shop.root + path[1:])


def test_endless_and_slow_bodies_end(shop: ShopServer, cache: ImageCache) -> None:
    shop.says = {
        "/endless": Answer(200, b"x" * 200_000, {"Content-Length": ""}),
        "/huge": Answer(200, b"x" * 200_000),
        "/slow": Answer(200, b"x" * 1000, drip=0.1),
    }
    source = HttpsSource("", replace(HERE, max_bytes=100_000, timeout=0.4, tries=1), cache=cache)
    for path in ("endless", "huge"):
        with pytest.raises(SourceError, match="larger than"):
            source.read(shop.root + path)
    with pytest.raises(SourceError, match="too long"):
        source.read(shop.root + "slow")
    source.close()


def test_private_addresses_need_a_name(shop: ShopServer, links: HttpsSource) -> None:
    strict = HttpsSource("", LinkSettings(pause=0))
    with pytest.raises(SourceError, match="not on the public internet"):
        strict.read(f"{shop.root}3.png")
    strict.close()
    shop.says["/away"] = Answer(302, headers={"Location": "http://10.0.0.1/secret"})
    shop.says["/local"] = Answer(302, headers={"Location": shop.root.replace("127.0.0.1", "localhost") + "3.png"})
    for path in ("away", "local"):  # a redirect is checked like a link, by its own host's name
        with pytest.raises(SourceError, match="not on the public internet"):
            links.read(shop.root + path)


def test_settings_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPEL_ALLOW_HOSTS", "cdn.local, 127.0.0.1")
    monkeypatch.setenv("LAPEL_PER_HOST", "3")
    assert LinkSettings.of_process() == LinkSettings(frozenset(["cdn.local", "127.0.0.1"]), 3)
    monkeypatch.setenv("LAPEL_PER_HOST", "many")
    with pytest.raises(InputError, match="LAPEL_PER_HOST"):
        LinkSettings.of_process()


def test_a_table_of_links_becomes_a_shop(shop: ShopServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPEL_ALLOW_HOSTS", "127.0.0.1")
    monkeypatch.setenv("LAPEL_CACHE", str(tmp_path / "cache"))
    Image.new("RGB", (40, 50), "red").save(tmp_path / "local.png")
    shop.says["/page"] = Answer(200, b"<html>", {"Content-Type": "text/html"})
    with (tmp_path / "shop.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("id", "pictures"))
        table.writerows((number, f"{shop.root}{number}.png") for number in range(10))
        table.writerow((10, f"{shop.root}10.png|{shop.root}11.png|local.png"))
        table.writerows([(11, f"{shop.root}page"), (12, "http://10.0.0.1/a.png"), (13, "none.png")])
    words = ["add", str(tmp_path / "shop.csv"), "--store", str(tmp_path / "store"), "--encoder", "colour:"]
    first = CliRunner().invoke(app, words)
    assert first.exit_code == 0, first.output
    assert "14 rows: 11 products added, 0 updated, 0 unchanged, 3 left out" in first.output
    assert "16 pictures: 13 added, 0 encoded again, 0 unchanged, 3 left out" in first.output
    reasons = (tmp_path / "store" / "rejected.csv").read_text()
    assert all(words in reasons for words in ("web page", "public internet", "no file 'none.png'"))
    shop.pictures["/3.png"] = picture(9)
    again = CliRunner().invoke(app, words[:4])
    assert "1 updated, 10 unchanged" in again.output
    assert "1 encoded again, 12 unchanged" in again.output
    assert "1 picture fetched" in again.output
    assert read_uri(f"{shop.root}3.png") == picture(9)
    one = open_source(f"{shop.root}5.png")
    assert [one.path(uri) for uri in one.walk()] == [("5.png",)]
    one.close()
    sources.close_archives()


def test_rounds_visit_hosts_by_name_and_few_at_once(shop: ShopServer, monkeypatch: pytest.MonkeyPatch) -> None:
    uris = [f"{shop.root}{number}.png" for number in range(12)]
    refused = LinkChecker()
    assert {refused.check(uri, "").status for uri in uris} == {"unreachable"}
    refused.close()
    assert shop.requests == []
    monkeypatch.setenv("LAPEL_ALLOW_HOSTS", "cdn.example, 127.0.0.1")
    monkeypatch.setenv("LAPEL_PER_HOST", "2")
    shop.latency = 0.05
    rounds = LinkChecker(timeout=0.25)  # waiting for a turn is not counted
    with ThreadPoolExecutor(12) as pool:
        looked = list(pool.map(lambda uri: rounds.check(uri, "s"), uris))
        assert {each.status for each in looked} == {"changed"}  # their ETags are new
        again = pool.map(lambda uri, each: rounds.check(uri, "s", each.etag).status, uris, looked)
        assert set(again) == {"fine"}
        assert list(pool.map(rounds.read, uris)) == [picture(number) for number in range(12)]
    rounds.close()
    assert shop.busiest == 2


def test_a_host_that_had_enough_is_left_alone_and_asked_once_more(shop: ShopServer) -> None:
    rounds = LinkChecker(settings=HERE)
    uri = f"{shop.root}3.png"
    shop.faults.append(Answer(429, b"", {"Retry-After": "1"}))
    assert rounds.check(uri, "s").status == "changed"
    assert len(shop.requests) == 2
    shop.faults.extend([Answer(503, b"", {"Retry-After": "1"})] * 2)
    assert rounds.check(uri, "s").reason == "the link answers 503"
    assert len(shop.requests) == 4
    rounds.close()


def test_a_host_that_is_away_is_not_asked_for_each_picture(shop: ShopServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_checker, "MAX_MISSES", 3)
    uris = [f"{shop.root}{number}.png" for number in range(12)]
    rounds = LinkChecker(settings=HERE)
    shop.faults.extend([Answer(503), Answer(503), None, *[Answer(503)] * 4])
    looked = [rounds.check(uri, "s") for uri in uris]
    assert [each.status for each in looked] == [*["unreachable"] * 2, "changed", *["unreachable"] * 3, *["unasked"] * 6]
    assert "3 photos before this one" in looked[-1].reason
    assert len(shop.requests) == 6
    monkeypatch.setattr(link_checker, "RETRY_SECONDS", 0.0)
    assert rounds.check(uris[0], "s").status == "unreachable"
    assert {rounds.check(uri, "s").status for uri in uris} == {"changed"}
    rounds.close()
