"""Where the pictures are: they move and nothing is embedded anew, and browsers are told where they are."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from lapel.apps.cli import app
from lapel.catalog import Catalog, Entry, PhotoEntry
from lapel.core.errors import InputError, SourceError, StoreBusyError
from lapel.core.types import Links, Product, Query
from lapel.engine.context import StoreContext, open_context
from lapel.engine.hosting import move
from lapel.engine.ingest import IngestReport, ingest
from lapel.engine.retrieval import SearchEngine
from lapel.sources import display_links, open_source
from lapel.sources.address import prefixes
from lapel.sources.folder import FolderSource
from lapel.sources.photos import photo_rows

COLOURS = ("red", "green", "blue", "gold", "teal", "navy")


def draw(folder: Path, names: tuple[str, ...] = COLOURS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (60, 80), name).save(folder / f"{name}.png")
    return folder


def fill(shop: StoreContext, source: FolderSource) -> IngestReport:
    return ingest(shop, photo_rows(source), source=source)


@pytest.fixture
def shop(tmp_path: Path) -> StoreContext:
    pictures = draw(tmp_path / "pictures")
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as made:
        fill(made, open_source(pictures))  # type: ignore[arg-type]
        yield made


class Hosted(FolderSource):
    """A folder that a web server shows too."""

    cdn = "https://cdn.example/"

    def links(self, uri: str) -> Links:
        name = self.path(uri)[-1]
        return Links(self.cdn + name, f"{self.cdn}small/{name}")


# --- links ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad", ["javascript:alert(1)", "//cdn/a.jpg", "https://a b", 'https://a"', "https://a)b", "https://a\nb"]
)
def test_a_link_that_may_not_stand_in_a_page_is_refused(bad: str) -> None:
    with pytest.raises(InputError, match="http or https address"):
        Links(thumbnail=bad)


def test_links_come_from_the_source_and_reach_the_hit(shop: StoreContext, tmp_path: Path) -> None:
    source = Hosted(str(tmp_path / "pictures"))
    assert fill(shop, source).photos_unchanged == 6
    hit = SearchEngine(shop).search(Query(product_id="red", k=1))[0]
    assert hit.photo.links.full == f"https://cdn.example/{hit.product.id}.png"
    assert hit.photo.links.small == f"https://cdn.example/small/{hit.product.id}.png"
    assert shop.catalog.photos("red")[0].links == Links(
        "https://cdn.example/red.png", "https://cdn.example/small/red.png"
    )
    source.cdn = "https://other.example/"
    done = fill(shop, source)
    assert (done.photos_unchanged, done.photos_updated) == (6, 0)
    assert shop.catalog.photos("red")[0].links.full == "https://other.example/red.png"


def test_a_photo_behind_a_link_is_shown_from_there(tmp_path: Path) -> None:
    source = FolderSource(str(tmp_path))
    assert display_links(source, "https://shop.example/a.jpg") == Links("https://shop.example/a.jpg")
    assert display_links(source, "https://shop.example/a (1).jpg") == Links()
    assert display_links(source, "file:///a.jpg") == Links()


def test_an_older_catalogue_gets_the_columns(tmp_path: Path) -> None:
    from lapel.catalog import schema

    path = tmp_path / "catalog.sqlite"
    old = sqlite3.connect(path, isolation_level=None)
    for script in schema.MIGRATIONS[:3]:
        for statement in schema._statements(script):
            old.execute(statement)
    old.execute("INSERT INTO product VALUES (1, 'a', 'A', '[]', '', '', '', '', NULL, '', NULL, NULL, '{}', 'x')")
    old.execute("INSERT INTO photo VALUES (7, 1, 0, 'file:///a.jpg', 's', 'h')")
    old.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    old.execute("PRAGMA user_version = 3")
    old.close()
    with Catalog.open(path) as catalog:
        assert catalog.photos("a")[0].links == Links()


# --- moving -----------------------------------------------------------------------------------------------------------


def test_pictures_that_moved_are_found_and_none_is_embedded_anew(shop: StoreContext, tmp_path: Path) -> None:
    keys = [shop.catalog.photos(name)[0].key for name in COLOURS]
    before = shop.catalog.vector_of(keys, fingerprint=shop.model.fingerprint)
    answer = [hit.product.id for hit in SearchEngine(shop).search(Query(product_id="red", k=5))]
    new = tmp_path / "a new place"
    (tmp_path / "pictures").rename(new)
    with pytest.raises(SourceError, match="red"):
        shop.image(keys[0])
    assert move(shop, str(tmp_path / "pictures"), str(new), keep=False).photos == 6
    with pytest.raises(SourceError, match="red"):
        shop.image(keys[0])
    moved = move(shop, str(tmp_path / "pictures"), str(new))
    assert (moved.photos, moved.links) == (6, 0)
    assert shop.image(keys[0]).getpixel((5, 5)) == (255, 0, 0)
    assert np.array_equal(shop.catalog.vector_of(keys, fingerprint=shop.model.fingerprint), before)
    assert [hit.product.id for hit in SearchEngine(shop).search(Query(product_id="red", k=5))] == answer
    done = fill(shop, open_source(new))  # type: ignore[arg-type]
    assert (done.photos_unchanged, done.products_unchanged) == (6, 6)
    assert move(shop, str(tmp_path / "pictures"), str(new)).photos == 0


def test_a_folder_becomes_a_zip_and_a_bucket(shop: StoreContext, tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "all"), "zip", tmp_path / "pictures")
    assert move(shop, str(tmp_path / "pictures"), str(tmp_path / "all.zip")).photos == 6
    key = shop.catalog.photos("navy")[0].key
    assert shop.image(key).getpixel((5, 5)) == (0, 0, 128)
    move(shop, str(tmp_path / "all.zip"), "s3://bucket/pictures/")
    assert shop.catalog.photos("navy")[0].uri == "s3://bucket/pictures/navy.png"


def test_links_move_by_whole_parts_of_their_address(tmp_path: Path) -> None:
    addresses = ["https://cdn.example/a.jpg", "https://cdn.example.org/b.jpg", "https://cdn.example"]
    with Catalog.open(tmp_path / "c.sqlite", create=True) as catalog:
        photos = [
            PhotoEntry(f"file:///{n}", "", str(n), np.eye(4, dtype=np.float32)[n], Links(link))
            for n, link in enumerate(addresses)
        ]
        catalog.write([Entry(Product("p"), tuple(photos))], fingerprint="m")
        moved = catalog.hosting.move(prefixes("https://cdn.example/", "https://new.example"))
        assert moved.links == 2
        assert [photo.links.full for photo in catalog.photos("p")] == [
            "https://new.example/a.jpg",
            "https://cdn.example.org/b.jpg",
            "https://new.example",
        ]


def test_two_photos_cannot_move_onto_one_address(shop: StoreContext, tmp_path: Path) -> None:
    both = tuple(
        PhotoEntry(uri, "", uri, np.eye(128, dtype=np.float32)[n]) for n, uri in enumerate(("s3://a/1", "s3://b/1"))
    )
    shop.catalog.write([Entry(Product("two"), both)], fingerprint="m")
    with pytest.raises(InputError, match=r"already.*Nothing was changed"):
        move(shop, "s3://a", "s3://b")
    assert [photo.uri for photo in shop.catalog.photos("two")] == ["s3://a/1", "s3://b/1"]


@pytest.mark.parametrize(
    ("old", "new", "said"), [("", "b", "two places"), ("a", "a", "same place"), ("s3://x/", "s3://x", "same place")]
)
def test_a_move_needs_two_places(old: str, new: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        prefixes(old, new)


def test_nothing_moves_while_another_process_writes(shop: StoreContext) -> None:
    from lapel.catalog import writer_lock

    with writer_lock(shop.folder), pytest.raises(StoreBusyError):
        move(shop, "s3://a", "s3://b")


def addresses(folder: Path) -> list[tuple[object, ...]]:
    """All that a move may change, as it is on disk."""
    with closing(sqlite3.connect(folder / "catalog.sqlite")) as database:
        kept = "SELECT key, uri, full_link, thumbnail_link, version_token, etag FROM photo ORDER BY key"
        return database.execute(kept).fetchall() + database.execute("SELECT * FROM setting ORDER BY 1").fetchall()


def test_a_dry_run_says_how_many_and_changes_nothing(shop: StoreContext, tmp_path: Path) -> None:
    assert fill(shop, Hosted(str(tmp_path / "pictures"))).photos_unchanged == 6  # type: ignore[arg-type]
    folder, before, files = str(shop.folder), addresses(shop.folder), sorted(shop.folder.iterdir())
    for old, new, said in (
        (
            str(tmp_path / "pictures"),
            "s3://bucket",
            "6 of 6 pictures would get another address, and 0 links for browsers",
        ),
        (
            "https://cdn.example",
            "https://b.example",
            "0 of 6 pictures would get another address, and 12 links for browsers",
        ),
    ):
        done = CliRunner().invoke(app, ["media", "move", old, new, "--dry-run", "--store", folder])
        assert (done.exit_code, done.stdout.strip()) == (0, said)
        assert addresses(shop.folder) == before
        done = CliRunner().invoke(app, ["media", "move", old, new, "--dry-run", "--json", "--store", folder])
        facts = json.loads(done.stdout)
        assert (facts["photos"] + facts["links"], facts["dry_run"], addresses(shop.folder)) == (
            6 if "6 of" in said[:4] else 12,
            True,
            before,
        )
    assert sorted(shop.folder.iterdir()) == files
    done = CliRunner().invoke(app, ["media", "move", str(tmp_path / "pictures"), "s3://bucket", "--store", folder])
    assert done.stdout.strip() == "6 of 6 pictures got another address, and 0 links for browsers"
    assert addresses(shop.folder) != before


@pytest.mark.parametrize("more", [[], ["--dry-run"], ["--json"]])
def test_a_place_where_nothing_is_ends_with_1(shop: StoreContext, more: list[str]) -> None:
    words = ["media", "move", "/no[/b]where", "/new", "--store", str(shop.folder), *more]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert ("No address begins with '/no[/b]where'" in done.stdout) != ("--json" in more)


def test_thumbnails_say_what_they_did_in_json_and_with_the_exit_code(tmp_path: Path) -> None:
    pictures = draw(tmp_path / "pictures", ("red",))
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as made:
        fill(made, open_source(pictures))  # type: ignore[arg-type]
    (tmp_path / "shop" / "thumbnails.sqlite").unlink(missing_ok=True)
    words = ["media", "thumbnails", "--store", str(tmp_path / "shop")]
    done = CliRunner().invoke(app, [*words, "--json"])
    assert (done.exit_code, json.loads(done.stdout)["made"], json.loads(done.stdout)["failed"]) == (0, 1, [])
    assert "0 photos got thumbnails; 1 has them" in CliRunner().invoke(app, words).stdout
    (tmp_path / "shop" / "thumbnails.sqlite").unlink()
    (pictures / "red.png").unlink()
    done = CliRunner().invoke(app, [*words, "--json"])
    assert (done.exit_code, json.loads(done.stdout)["made"]) == (1, 0)
    assert json.loads(done.stdout)["failed"][0]["picture"].endswith("/red.png")
