"""Small pictures: made while adding, kept by content, bounded, and a gallery that never waits for where photos come
from."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lapel.catalog.thumbnails import Size, Thumbnails
from lapel.core.errors import SourceError, StoreDamagedError
from lapel.core.images import THUMBNAIL_WIDTHS, decode, thumbnails
from lapel.core.types import Links, Photo, Product
from lapel.engine.backfill import backfill
from lapel.engine.context import StoreContext, open_context
from lapel.engine.features import THUMBNAIL
from lapel.engine.ingest import ingest
from lapel.service import ProductDetails
from lapel.service.thumbnails import TILE_SIZE, ThumbnailService
from lapel.sources import open_source
from lapel.sources.photos import photo_rows


def noise(number: int, size: tuple[int, int] = (600, 800)) -> Image.Image:
    rng = np.random.default_rng(number)
    return Image.fromarray(rng.integers(0, 255, (8, 6, 3), np.uint8)).resize(size, Image.Resampling.NEAREST)


def fill(folder: Path, count: int = 6, *, small: bool = True) -> StoreContext:
    (folder / "pictures").mkdir(exist_ok=True)
    for number in range(count):
        noise(number).save(folder / "pictures" / f"{number}.jpg")
    store = open_context(folder / "shop", create=True, encoder="colour:")
    source = open_source(folder / "pictures")
    ingest(store, photo_rows(source), source=source, small=store.thumbnails if small else None)
    return store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StoreContext]:
    with fill(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("size", "made"),
    [
        ((600, 800), {160: (160, 213), 360: (360, 480)}),
        ((300, 400), {160: (160, 213), 360: (300, 400)}),
        ((60, 80), {160: (60, 80)}),
        ((100, 1900), {160: (17, 320), 360: (38, 720)}),
        ((1900, 100), {160: (160, 8), 360: (360, 19)}),
    ],
)
def test_a_picture_becomes_small_ones_of_its_own_shape(size: tuple[int, int], made: dict[int, tuple[int, int]]) -> None:
    small = thumbnails(noise(1, size))
    assert {width: decode(data).size for width, data in small.items()} == made
    assert all(Image.open(io.BytesIO(data)).format == "WEBP" for data in small.values())


def test_adding_makes_them_once_by_content(store: StoreContext, tmp_path: Path) -> None:
    assert store.thumbnails.size().photos == 6
    photos = store.catalog.hosting.photos()
    large = store.thumbnails.get([photo.sha256 for photo in photos], 450)
    assert len(large) == 6
    assert np.abs(np.asarray(decode(large[photos[2].sha256]), int) - np.asarray(noise(2, (360, 480)), int)).mean() < 12
    (tmp_path / "pictures" / "again.jpg").write_bytes((tmp_path / "pictures" / "2.jpg").read_bytes())
    source = open_source(tmp_path / "pictures")
    assert ingest(store, photo_rows(source), source=source, small=store.thumbnails).photos_added == 1
    assert store.thumbnails.size().photos == 6


def test_the_width_is_the_next_one_up_else_the_widest(store: StoreContext) -> None:
    sha256 = store.catalog.hosting.photos()[0].sha256
    for asked, given in ((1, 160), (160, 160), (161, 360), (360, 360), (2000, 360)):
        assert decode(store.thumbnails.get([sha256], asked)[sha256]).width == given
    assert store.thumbnails.get(["unknown"], 160) == {}


def test_without_being_asked_none_are_made(tmp_path: Path) -> None:
    with fill(tmp_path, small=False) as store:
        assert store.thumbnails.size() == Size(0, 0)
        assert store.thumbnails.get(["x"], 160) == {}
        assert not store.thumbnails.path.exists()


def test_the_bound_holds_and_the_wide_ones_go_first(tmp_path: Path) -> None:
    small = Thumbnails(tmp_path / "t.sqlite", read_only=False, max_bytes=400_000)
    for number in range(60):
        small.put({str(number): {160: bytes(2_000), 450: bytes(20_000)}})
        assert small.size().bytes <= 400_000
    found = small.get(map(str, range(60)), 450)
    assert len(found) == 60
    assert len(found["0"]) == 2_000
    assert len(found["59"]) == 20_000
    small.max_bytes = 0
    small.put({"more": {160: b"x"}})
    small.trim()
    assert small.size().photos == 0
    assert small.path.stat().st_size < 40_000
    small.close()


def test_a_store_of_before_is_filled_and_what_is_of_no_photo_goes(tmp_path: Path) -> None:
    with fill(tmp_path, small=False) as store:
        (tmp_path / "pictures" / "3.jpg").unlink()
        store.thumbnails.put({"of no photo": {160: b"x"}})
        seen: list[tuple[int, int]] = []
        filled = backfill(store, THUMBNAIL, progress=lambda done, total: seen.append((done, total)))
        assert filled.derived == 5
        assert [(photo.product_id, "cannot be read" in why) for photo, why in filled.failed] == [("3", True)]
        assert seen[-1] == (6, 6)
        assert store.thumbnails.size().photos == 5
        assert backfill(store, THUMBNAIL).derived == 0
        store.limit_thumbnails(0)
        backfill(store, THUMBNAIL)
        assert store.thumbnails.size().photos == 0
    with open_context(tmp_path / "shop") as again:
        assert again.thumbnails.max_bytes == 0


def test_a_broken_file_is_made_anew_and_hides_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    path.write_bytes(b"this is no database, it is a text" * 99)
    reader = Thumbnails(path, read_only=True)
    assert reader.get(["a"], 160) == {}
    with pytest.raises(StoreDamagedError, match="not a readable"):
        reader.size()
    writer = Thumbnails(path, read_only=False)
    writer.put({"a": {160: b"a"}})
    assert writer.get(["a"], 160) == {"a": b"a"}
    assert reader.get(["a"], 160) == {"a": b"a"}
    reader.put({"b": {160: b"b"}})
    assert reader.has(["a", "b"]) == {"a"}
    writer.close()
    reader.close()


def test_the_page_shows_them_when_the_photos_are_gone(store: StoreContext, tmp_path: Path) -> None:
    pytest.importorskip("streamlit")
    from lapel.apps.ui.gallery import product_card

    photos = store.catalog.hosting.photos()
    for path in (tmp_path / "pictures").iterdir():
        path.unlink()
    service = ThumbnailService(store)
    assert [decode(small or b"").size for small in service.tiles(photos)] == [TILE_SIZE] * 6
    # Nobody waits for a photo from elsewhere: its link is the browser's to follow.
    away = Photo(
        99, "x", "https://shop.invalid/a.jpg", "unknown", Links("https://cdn.example/a.jpg?x=1&y='".rstrip("'"))
    )
    with pytest.raises(SourceError, match="lapel media thumbnails"):
        service._read(away)
    assert service.tiles([away, photos[0]])[0] is None
    product = Product("x")
    assert product_card(ProductDetails(product, (away,)))["linked"] == "https://cdn.example/a.jpg?x=1&y="
    assert product_card(ProductDetails(product, (photos[0],)))["linked"] == ""


def test_the_widths_rise() -> None:
    assert list(THUMBNAIL_WIDTHS) == sorted(THUMBNAIL_WIDTHS)
