"""LinkChecker through the pictures, over a real HTTP server and real files: what is dead, moved, changed or forbidden,
hidden and brought back."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lapel.catalog import Entry, PhotoEntry
from lapel.core.errors import SourceError
from lapel.core.types import Filter, Links, Product, Query
from lapel.engine.check import check_index
from lapel.engine.context import StoreContext, open_context
from lapel.engine.ingest import ingest
from lapel.engine.media_check import MediaCheckReport, check_media
from lapel.engine.retrieval import SearchEngine
from lapel.sources import ImageSource, open_source
from lapel.sources.folder import FolderSource
from lapel.sources.link_checker import LinkCheck, LinkChecker, LinkStatus
from lapel.sources.photos import photo_rows
from lapel.sources.table import TableRow
from lapel.sources.web import LinkReader

COLOURS = ("red", "green", "blue", "gold", "teal", "navy")
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def picture(colour: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (60, 80), colour).save(stream, "PNG")
    return stream.getvalue()


class Origin(ThreadingHTTPServer):
    """A picture server whose pictures can be taken away, changed, moved and forbidden."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.bodies = {f"/{colour}.png": picture(colour) for colour in COLOURS}
        self.status: dict[str, int] = {}
        self.etags = True
        self.asked: list[tuple[str, int]] = []
        self.root = f"http://127.0.0.1:{self.server_port}"


class Answering(BaseHTTPRequestHandler):
    server: Origin

    def do_GET(self) -> None:
        body = self.server.bodies.get(self.path, b"")
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        status = self.server.status.get(self.path, 200 if body else 404)
        if status == 200 and self.server.etags and self.headers["If-None-Match"] == etag:
            status = 304
        self.server.asked.append((self.path, status))
        self.send_response(status)
        if status in (301, 302):
            self.send_header("Location", f"/moved{self.path}")
        if self.server.etags and status in (200, 304):
            self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(body) if status == 200 else 0))
        self.end_headers()
        if status == 200:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def origin() -> Iterator[Origin]:
    server = Origin()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


class WebSource(ImageSource):
    """Links as a source: the little that adding needs."""

    where = "the web"

    def __init__(self) -> None:
        self.reader = LinkReader(allowed=lambda _: True)

    def find(self, name: str) -> str:
        return name

    def read(self, uri: str) -> bytes:
        return self.reader.read(uri)

    def version_token(self, uri: str) -> str:
        return "v1"

    def walk(self) -> Iterator[str]:
        return iter(())


@pytest.fixture
def shop(origin: Origin, tmp_path: Path) -> Iterator[StoreContext]:
    rows = [TableRow(n, Product(name), (f"{origin.root}/{name}.png",), "", name) for n, name in enumerate(COLOURS)]
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        source = WebSource()
        done = ingest(store, rows, source=source, small=store.thumbnails)
        assert done.photos_added == 6
        source.reader.close()
        generation = store.catalog.generation
        assert visit(store, -1).states == {"fine": 6, "changed": 0}  # read once, to learn what the server calls each
        assert store.catalog.generation == generation
        origin.asked.clear()
        yield store


def visit(shop: StoreContext, days: float = 0, **options: object) -> MediaCheckReport:
    rounds = LinkChecker(allow_private=True, timeout=5)
    try:
        return check_media(shop, rounds, now=START + days * DAY, **options)  # type: ignore[arg-type]
    finally:
        rounds.close()


def found(shop: StoreContext) -> set[str]:
    hits = SearchEngine(shop).search(Query(product_id="red", k=20))
    return {product_id for hit in hits for product_id in (hit.product.id, *hit.others)}


def issues(done: MediaCheckReport) -> dict[str, tuple[str, str]]:
    return {each.product_id: (each.kind, each.since[:10]) for each in done.issues}


def test_what_has_not_changed_is_asked_for_and_not_fetched(shop: StoreContext, origin: Origin) -> None:
    generation = shop.catalog.generation
    done = visit(shop)
    assert done.states == {"fine": 6}
    assert sorted(origin.asked) == [(f"/{name}.png", 304) for name in sorted(COLOURS)]
    assert (done.issues, done.hidden, shop.catalog.generation) == ((), 0, generation)


def test_dead_ones_are_hidden_after_a_while_and_brought_back(shop: StoreContext, origin: Origin) -> None:
    body = origin.bodies.pop("/gold.png")
    origin.status["/teal.png"] = 403
    done = visit(shop)
    assert (done.states["dead"], done.states["forbidden"], done.hidden) == (1, 1, 0)
    assert issues(done) == {"gold": ("dead", "2026-03-01"), "teal": ("forbidden", "2026-03-01")}
    assert {each.reason for each in done.issues} == {"the link answers 404", "the link answers 403"}
    assert found(shop) == set(COLOURS) - {"red"}
    origin.status["/gold.png"] = 503  # out of reach in another way is still out of reach
    assert visit(shop, 6.9).hidden == 0
    done = visit(shop, 7)
    assert done.hidden == 2
    assert issues(done)["gold"] == ("unreachable", "2026-03-01")
    assert found(shop) == {"green", "blue", "navy"}
    assert shop.catalog.counts().hidden == 2
    assert check_index(shop).agrees
    key = shop.catalog.photos("gold")[0].key
    origin.bodies["/gold.png"] = body
    origin.status.clear()
    done = visit(shop, 8)
    assert (done.back, done.encoded, done.issues) == (2, 0, ())
    assert found(shop) == set(COLOURS) - {"red"}
    assert shop.catalog.photos("gold")[0].key == key
    assert check_index(shop).agrees


def test_a_changed_picture_is_embedded_anew(shop: StoreContext, origin: Origin) -> None:
    old = shop.catalog.photos("navy")[0]
    origin.bodies["/navy.png"] = picture("crimson")
    done = visit(shop)
    assert (done.encoded, done.states["changed"]) == (1, 1)
    assert issues(done) == {"navy": ("changed", "2026-03-01")}
    new = shop.catalog.photos("navy")[0]
    assert new.key != old.key
    assert SearchEngine(shop).search(Query(product_id="red", k=1))[0].product.id == "navy"
    assert shop.thumbnails.has([new.sha256]) == {new.sha256}
    assert visit(shop, 1).issues == ()


def test_several_photos_of_one_product_change_together(shop: StoreContext, origin: Origin) -> None:
    rows = [TableRow(1, Product("both"), (f"{origin.root}/gold.png", f"{origin.root}/teal.png"), "", "both")]
    source = WebSource()
    ingest(shop, rows, source=source)  # type: ignore[arg-type]
    source.reader.close()
    visit(shop)
    origin.bodies["/gold.png"], origin.bodies["/teal.png"] = picture("tomato"), picture("crimson")
    done = visit(shop, 1)
    assert (done.encoded, done.states["fine"]) == (4, 4)  # the two products that had one of them each, and both
    assert [photo.uri[-8:] for photo in shop.catalog.photos("both")] == ["gold.png", "teal.png"]
    assert shop.catalog.check() == []
    assert check_index(shop).agrees


def test_a_changed_picture_that_is_none_any_more_is_dead(shop: StoreContext, origin: Origin) -> None:
    key = shop.catalog.photos("navy")[0].key
    origin.bodies["/navy.png"] = b"<html>Sorry, this picture moved</html>"
    (trouble,) = visit(shop).issues
    assert (trouble.kind, trouble.product_id) == ("dead", "navy")
    assert "web page" in trouble.reason
    assert visit(shop, 7).hidden == 1
    assert "navy" not in found(shop)
    origin.bodies["/navy.png"] = picture("navy")
    assert visit(shop, 8).back == 1
    assert shop.catalog.photos("navy")[0].key == key


def test_a_server_without_marks_of_change_is_read_and_compared(shop: StoreContext, origin: Origin) -> None:
    origin.etags = False
    origin.bodies["/navy.png"] = picture("crimson")
    done = visit(shop)
    assert (done.states["fine"], done.states["changed"], done.encoded) == (5, 1, 1)
    assert visit(shop, 1).states == {"fine": 6, "changed": 0}


def test_moved_ones_say_where_to(shop: StoreContext, origin: Origin) -> None:
    origin.bodies["/moved/red.png"] = origin.bodies["/red.png"]
    origin.bodies["/moved/blue.png"] = origin.bodies["/blue.png"]
    origin.status |= {"/red.png": 301, "/blue.png": 302}
    done = visit(shop)
    assert issues(done) == {"red": ("moved", "2026-03-01")}  # for now is not for good
    assert f"{origin.root}/moved/red.png" in done.issues[0].reason
    assert visit(shop, 30).hidden == 0


def test_nothing_is_hidden_when_more_than_half_is_out_of_reach(shop: StoreContext, origin: Origin) -> None:
    origin.shutdown()
    origin.server_close()
    done = visit(shop)
    assert done.states["unreachable"] == 6
    done = visit(shop, 9)
    assert (done.held_back, done.hidden) == (True, 0)
    assert found(shop) == set(COLOURS) - {"red"}
    done = visit(shop, 10, force=True)
    assert (done.held_back, done.hidden) == (False, 6)


@pytest.mark.parametrize(("photos", "lost", "held_back"), [(9, 5, True), (9, 4, False), (8, 4, False), (8, 5, True)])
@pytest.mark.parametrize("state", ["dead", "forbidden", "unreachable", "unasked"])
def test_half_may_be_lost_and_no_more(
    tmp_path: Path, photos: int, lost: int, held_back: bool, state: LinkStatus
) -> None:
    class Told(LinkChecker):
        """Finds the first photos lost."""

        def check(self, uri: str, version_token: str, etag: str = "") -> LinkCheck:
            return LinkCheck(state if int(uri.rpartition("/")[2]) < lost else "fine", version_token)

    with open_context(tmp_path / "shop", create=True, encoder="colour:") as shop:
        vectors = np.eye(shop.encoder.dim, dtype=np.float32)
        entries = [Entry(Product(str(n)), (PhotoEntry(f"s3://a/{n}", "", str(n), vectors[n]),)) for n in range(photos)]
        shop.catalog.write(entries, fingerprint=shop.model.fingerprint)
        rounds = Told()
        done = check_media(shop, rounds, now=START, grace=timedelta(0))
        rounds.close()
    hidden = 0 if held_back or state == "unasked" else lost  # who was not asked is not in trouble
    assert (done.held_back, done.hidden) == (held_back, hidden)


def test_a_product_that_goes_away_during_a_check_stays_gone(shop: StoreContext, origin: Origin) -> None:
    class Meanwhile(LinkChecker):
        """A feed no longer names a product, after it was looked at and before its new picture is written."""

        def read(self, uri: str) -> bytes:
            data = super().read(uri)
            shop.catalog.visibility.apply_sync("", set(COLOURS) - {"navy"}, now="2026")
            return data

    origin.bodies["/navy.png"] = picture("crimson")
    rounds = Meanwhile(allow_private=True, timeout=5)
    done = check_media(shop, rounds, now=START)
    rounds.close()
    assert (done.states, done.encoded) == ({"fine": 5, "changed": 0}, 0)
    counts = shop.catalog.counts()
    assert (counts.products, counts.delisted) == (5, 1)
    assert "navy" not in found(shop)
    assert check_index(shop).agrees
    shop.catalog.visibility.apply_sync("", set(COLOURS), now="2026")  # named again, it is seen as it is now
    visit(shop, 1)
    assert SearchEngine(shop).search(Query(product_id="red", k=1))[0].product.id == "navy"


def test_private_addresses_are_not_visited_unless_allowed(shop: StoreContext, origin: Origin) -> None:
    rounds = LinkChecker()
    try:
        done = check_media(shop, rounds, now=START)
    finally:
        rounds.close()
    assert done.states["unreachable"] == 6
    assert "not on the public internet" in done.issues[0].reason
    assert origin.asked == []


def test_photos_of_products_that_are_gone_are_left_in_peace(shop: StoreContext, origin: Origin) -> None:
    shop.catalog.visibility.apply_sync("", set(COLOURS) - {"blue"}, now="2026")
    origin.bodies.pop("/blue.png")
    done = visit(shop)
    assert (done.photos, done.issues) == (5, ())


def test_a_product_is_shown_while_one_of_its_photos_is(shop: StoreContext, origin: Origin) -> None:
    about = {"colour": "mixed", "price_minor": 100, "currency": "EUR"}
    links = tuple(f"{origin.root}/{name}.png" for name in ("gold", "teal"))
    source = WebSource()
    ingest(shop, [TableRow(1, Product("both", **about), links, "", "both")], source=source)  # type: ignore[arg-type]
    source.reader.close()
    visit(shop)
    catalog, other = shop.catalog, Filter.parse(["id!=red"])

    def shown() -> tuple[set[str], int, int, bool, dict[str, tuple[float, float]]]:
        listed = {product.id for product in catalog.products()}
        assert {product.id for product in catalog.products(other)} == listed - {"red"}
        assert (catalog.count(), catalog.count(other)) == (len(listed), len(listed - {"red"}))
        assert catalog.facet_values("colour") == catalog.facet_values("colour", where=other)
        assert set(catalog.photo_facets([]).product_ids) == listed
        counts = catalog.counts()
        assert counts.products == len(listed)
        return listed, counts.unreachable, counts.delisted, bool(catalog.facet_values("colour")), catalog.price_ranges()

    everyone = {*COLOURS, "both"}
    assert shown() == (everyone, 0, 0, True, {"EUR": (1.0, 1.0)})
    gold, teal = origin.bodies.pop("/gold.png"), origin.bodies.pop("/teal.png")
    origin.bodies["/teal.png"] = teal
    visit(shop, 1, grace=timedelta(0))
    assert shown() == (everyone - {"gold"}, 1, 0, True, {"EUR": (1.0, 1.0)})
    assert "both" in found(shop)
    origin.bodies.pop("/teal.png")
    visit(shop, 2, grace=timedelta(0))
    assert shown() == (everyone - {"gold", "teal", "both"}, 3, 0, False, {})
    assert found(shop) == {"green", "blue", "navy"}
    catalog.visibility.apply_sync("", everyone - {"both"}, now="2026")
    assert shown() == (everyone - {"gold", "teal", "both"}, 2, 1, False, {})
    catalog.visibility.apply_sync("", everyone, now="2026")
    origin.bodies |= {"/gold.png": gold, "/teal.png": teal}
    assert visit(shop, 3).back == 4
    assert shown() == (everyone, 0, 0, True, {"EUR": (1.0, 1.0)})
    assert check_index(shop).agrees


def test_folders_and_archives(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in COLOURS:
        (folder / f"{name}.png").write_bytes(picture(name))
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as shop:
        source = open_source(folder)
        ingest(shop, photo_rows(source), source=source)
        (folder / "gold.png").unlink()
        (folder / "navy.png").write_bytes(picture("crimson"))
        (folder / "teal.png").touch()
        done = visit(shop, grace=timedelta(0))
        assert (done.states["dead"], done.states["changed"], done.states["fine"], done.hidden) == (1, 1, 4, 1)
        assert found(shop) == {"navy", "green", "blue", "teal"}
        (folder / "gold.png").write_bytes(picture("gold"))
        assert visit(shop, 1).back == 1
        folder.rename(tmp_path / "away")
        assert visit(shop, 2).states["dead"] == 6


def test_a_source_of_any_kind_is_asked_for_its_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    class Odd(FolderSource):
        def __init__(self, where: str) -> None:
            super().__init__(str(tmp_path))

        def version_token(self, uri: str) -> str:
            if "gone" in uri:
                raise SourceError("gone")
            if "slow" in uri:
                raise SourceError("slow") from TimeoutError()
            return "v2"

        def links(self, uri: str) -> Links:
            return Links()

    monkeypatch.setattr("lapel.sources.link_checker.open_source", lambda where: Odd(str(where)))
    rounds = LinkChecker()
    looked = [
        rounds.check(uri, token).status
        for uri, token in [("odd://a", "v2"), ("odd://a", "v1"), ("odd://gone", ""), ("odd://slow", "")]
    ]
    assert looked == ["fine", "changed", "dead", "unreachable"]
    rounds.close()


def lapel(*arguments: str | Path) -> subprocess.Popen[str]:
    # A test run in the background of a shell was told to ignore SIGINT, and would hand that on.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        " from lapel.apps.cli import main; main()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_the_command_lists_what_is_wrong(shop: StoreContext, origin: Origin) -> None:
    origin.bodies.pop("/gold.png")
    done = lapel("media", "check", "--store", shop.folder, "--allow-private")
    said, _ = done.communicate(timeout=120)
    assert done.returncode == 0, said
    assert "6 pictures: 5 fine, 1 dead" in said
    assert "the link answers 404" in said
    with (shop.folder / "hosting.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["kind"], row["product"], row["picture"]) == ("dead", "gold", f"{origin.root}/gold.png")
    done = lapel("media", "check", "--store", shop.folder, "--allow-private", "--grace", "0d", "--json")
    facts = json.loads("{" + done.communicate(timeout=120)[0].partition("{")[2])  # the bar is on stderr
    assert (facts["dead"], facts["hidden"], facts["issues"][0]["product_id"]) == (1, 1, "gold")


def test_the_command_goes_round_until_it_is_stopped(shop: StoreContext, origin: Origin) -> None:
    with lapel("media", "check", "--store", shop.folder, "--allow-private", "--every", "1s") as process:
        assert process.stdout
        rounds = 0
        for line in process.stdout:
            rounds += "6 pictures:" in line
            if rounds == 2:
                break
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("bad", ["soon", "6", "-1h", "6 weeks", ""])
def test_a_time_that_is_none_is_refused(bad: str, tmp_path: Path) -> None:
    from lapel.apps.cli.media import duration
    from lapel.core.errors import InputError

    assert duration("6h") == timedelta(hours=6)
    assert duration("90m") == timedelta(minutes=90)
    with pytest.raises(InputError, match="Write for example 6h"):
        duration(bad)
