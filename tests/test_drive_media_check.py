"""LinkChecker through pictures on Google Drive: taken away, trashed, no longer shared, changed, out of patience, and
back again."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

pytest.importorskip("googleapiclient", reason="Drive needs its client: pip install 'lapel[drive]'")

from PIL import Image
from typer.testing import CliRunner

from lapel import sources
from lapel.apps.cli import app
from lapel.core.types import Query
from lapel.engine import media_check
from lapel.engine.check import check_index
from lapel.engine.context import StoreContext, open_context
from lapel.engine.ingest import ingest
from lapel.engine.media_check import MediaCheckReport, check_media
from lapel.engine.retrieval import SearchEngine
from lapel.sources import link_checker, open_source
from lapel.sources.drive.account import DriveSettings
from lapel.sources.link_checker import LinkChecker
from lapel.sources.photos import photo_rows
from loopback.drive import DriveServer, error

COLOURS = ("red", "green", "blue", "gold", "teal", "navy")
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def picture(colour: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (60, 80), colour).save(stream, "PNG")
    return stream.getvalue()


class Shop:
    """A store whose pictures are on Drive, with the ids that they have there."""

    def __init__(self, store: StoreContext, drive: DriveServer, ids: dict[str, str]) -> None:
        self.store, self.drive, self.ids = store, drive, ids

    def visit(self, days: float = 0, **options: object) -> MediaCheckReport:
        rounds = LinkChecker()
        try:
            return check_media(self.store, rounds, now=START + timedelta(days), **options)  # type: ignore[arg-type]
        finally:
            rounds.close()

    def found(self) -> set[str]:
        return {hit.product.id for hit in SearchEngine(self.store).search(Query(product_id="red", k=20))}

    def refuse(self, name: str, status: int = 403, reason: str = "insufficientFilePermissions") -> None:
        self.drive.fault = lambda request: error(status, reason) if self.ids[name] in request.path else None


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with DriveServer() as drive:
        monkeypatch.setenv("LAPEL_DRIVE_ENDPOINT", drive.root)
        monkeypatch.setenv("LAPEL_DRIVE_KEY", "good-key")
        monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))  # no login of this user's
        said = DriveSettings.of_process
        impatient = classmethod(lambda cls: replace(said(), tries=3, pause=0.001))
        monkeypatch.setattr(DriveSettings, "of_process", impatient)
        sources.close_archives()
        folder = drive.folder("Shop")
        ids = {name: drive.file(f"{name}.png", picture(name), folder, "image/png") for name in COLOURS}
        with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
            source = open_source(f"gdrive://{folder}")
            assert ingest(store, photo_rows(source), source=source, small=store.thumbnails).photos_added == 6
            source.close()
            yield Shop(store, drive, ids)
        sources.close_archives()


def issues(done: MediaCheckReport) -> dict[str, str]:
    return {each.product_id: each.kind for each in done.issues}


def read(drive: DriveServer) -> int:
    return sum(request.query.get("alt") == "media" for request in drive.requests)


def test_what_has_not_changed_is_asked_for_and_not_read(shop: Shop) -> None:
    generation, before = shop.store.catalog.generation, read(shop.drive)
    shop.drive.files[shop.ids["red"]].name = "another name.png"
    assert shop.visit().states == {"fine": 6}
    assert (read(shop.drive), shop.store.catalog.generation) == (before, generation)


@pytest.mark.parametrize("way", ["deleted", "trashed", "no longer shared"])
def test_what_is_gone_is_dead_and_comes_back(shop: Shop, way: str) -> None:
    file = shop.drive.files[shop.ids["gold"]]
    if way == "deleted":
        del shop.drive.files[file.id]
    elif way == "trashed":
        file.trashed = True
    else:
        file.readers = {"somebody else"}
    done = shop.visit()
    assert (done.states["fine"], done.states["dead"], done.hidden) == (5, 1, 0)
    (trouble,) = done.issues
    assert (trouble.kind, trouble.product_id, trouble.uri) == ("dead", "gold", f"gdrive://{file.id}")
    assert ("in the trash" if way == "trashed" else "is not shared with everyone who has the link") in trouble.reason
    assert shop.found() == set(COLOURS) - {"red"}
    assert shop.visit(7).hidden == 1
    assert shop.found() == set(COLOURS) - {"red", "gold"}
    key = shop.store.catalog.photos("gold")[0].key
    shop.drive.files[file.id] = replace(file, trashed=False, readers=None)
    done = shop.visit(8)
    assert (done.states, done.back, done.encoded, done.issues) == ({"fine": 6}, 1, 0, ())
    assert shop.found() == set(COLOURS) - {"red"}
    assert shop.store.catalog.photos("gold")[0].key == key
    assert check_index(shop.store).agrees


def test_what_may_not_be_seen_is_forbidden(shop: Shop) -> None:
    shop.refuse("gold")
    done = shop.visit()
    assert issues(done) == {"gold": "forbidden"}
    assert "everyone who has the link (an API key) lacks the permission" in done.issues[0].reason
    shop.drive.fault = lambda _: None
    assert shop.visit(1).issues == ()


@pytest.mark.parametrize(("status", "reason"), [(403, "userRateLimitExceeded"), (429, ""), (503, "")])
def test_what_passes_by_itself_is_not_forbidden(shop: Shop, status: int, reason: str) -> None:
    shop.refuse("gold", status, reason)
    assert issues(shop.visit()) == {"gold": "unreachable"}


def test_a_changed_picture_is_embedded_anew(shop: Shop) -> None:
    before, old = read(shop.drive), shop.store.catalog.photos("navy")[0]
    shop.drive.change(shop.ids["navy"], picture("crimson"))
    done = shop.visit()
    assert (done.encoded, issues(done), read(shop.drive)) == (1, {"navy": "changed"}, before + 1)
    new = shop.store.catalog.photos("navy")[0]
    assert (new.uri, new.key == old.key) == (old.uri, False)
    assert new.links == old.links
    assert SearchEngine(shop.store).search(Query(product_id="red", k=1))[0].product.id == "navy"
    assert shop.store.thumbnails.has([new.sha256]) == {new.sha256}
    assert shop.visit(1).states == {"fine": 6}
    assert check_index(shop.store).agrees


def test_a_changed_picture_that_is_none_is_dead_and_one_that_cannot_be_read_is_out_of_reach(shop: Shop) -> None:
    shop.drive.change(shop.ids["navy"], b"no picture")
    shop.drive.change(shop.ids["teal"], picture("crimson"))
    shop.drive.fault = lambda r: error(500) if shop.ids["teal"] in r.path and r.query.get("alt") == "media" else None
    assert issues(shop.visit()) == {"navy": "dead", "teal": "unreachable"}
    shop.drive.change(shop.ids["navy"], picture("navy"))
    shop.drive.fault = lambda _: None
    done = shop.visit(1)
    assert (issues(done), done.encoded) == ({"teal": "changed"}, 1)


def test_drive_away_and_credentials_away_hide_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAPEL_DRIVE_KEY")
    done = shop.visit(grace=timedelta(0))
    assert (done.states["unreachable"], done.held_back, done.hidden) == (6, True, 0)
    assert "Google Drive needs to know who asks" in done.issues[0].reason
    monkeypatch.setenv("LAPEL_DRIVE_KEY", "bad-key")
    assert "refused the API key" in shop.visit(grace=timedelta(0)).issues[0].reason
    monkeypatch.setenv("LAPEL_DRIVE_KEY", "good-key")
    assert shop.visit(1).states == {"fine": 6}
    shop.drive.stop()
    done = shop.visit(2, grace=timedelta(0))
    assert (done.states["unreachable"], done.held_back, done.hidden) == (6, True, 0)


def test_the_command(shop: Shop) -> None:
    shop.drive.files[shop.ids["gold"]].trashed = True
    said = CliRunner().invoke(app, ["media", "check", "--store", str(shop.store.folder), "--grace", "0d"])
    assert said.exit_code == 0, said.output
    assert "6 pictures: 5 fine, 1 dead" in said.output
    assert "1 hidden from results" in said.output
    assert f"gdrive://{shop.ids['gold']}" in (shop.store.folder / "hosting.csv").read_text(encoding="utf-8")


def test_a_drive_that_is_away_is_not_asked_for_each_picture(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_checker, "MAX_MISSES", 2)
    monkeypatch.setattr(media_check, "VISITORS", 1)
    shop.drive.fault = lambda _: error(503)
    for days in (0, 8):  # what was not asked for is neither in trouble nor hidden
        done = shop.visit(days)
        assert (done.states, done.held_back, done.hidden) == ({"unreachable": 2, "unasked": 4}, True, 0)
        assert len(done.issues) == 2
    shop.drive.fault = lambda _: None
    done = shop.visit(9)
    assert (done.states, done.issues) == ({"fine": 6}, ())
