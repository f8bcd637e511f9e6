"""What is done some at a time is done to all, whatever the last page holds: none, one, as many as fit, one too many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lapel.core.registry import Backend
from lapel.encoders import ENCODERS
from lapel.encoders.colour import ColourEncoder
from lapel.engine import backfill, check, ingest, models
from lapel.engine.backfill import photo_pages
from lapel.engine.check import check_index
from lapel.engine.context import StoreContext, open_context
from lapel.engine.features import THUMBNAIL
from lapel.engine.ingest import IngestReport
from lapel.sources import open_source
from lapel.sources.photos import photo_rows
from test_store import corner

PHOTOS = 12
SIZES = [1, 5, 11, 12, 13]
pages = pytest.mark.parametrize("size", SIZES)


class OtherEncoder(ColourEncoder):
    """Another model by name; counts what it encodes."""

    name = "other"
    spec = "other:"
    fingerprint = "other-1"
    encoded = 0

    def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
        OtherEncoder.encoded += len(pixels)
        return super().encode_pixels(pixels)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(PHOTOS):
        Image.new("RGB", (16, 16), (20 * number, 90, 30)).save(folder / f"{number:02}.png")
    return folder


def add(store: StoreContext, pictures: Path) -> IngestReport:
    source = open_source(pictures)
    return ingest.ingest(store, photo_rows(source), source=source)


@pytest.fixture
def store(tmp_path: Path, pictures: Path) -> StoreContext:
    store = open_context(tmp_path / "shop", create=True, encoder="colour:")
    add(store, pictures)
    return store


@pages
@pytest.mark.parametrize("limit", ["ROWS_LOOKED_UP", "MAX_BATCH_ROWS"])
def test_rows_are_added_once(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, size: int, limit: str
) -> None:
    monkeypatch.setattr(ingest, limit, size)
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        first = add(store, pictures)
        assert (first.rows, first.products_added, first.photos_added) == (PHOTOS, PHOTOS, PHOTOS)
        again = add(store, pictures)
        assert (again.rows, again.products_unchanged, again.photos_unchanged) == (PHOTOS, PHOTOS, PHOTOS)
        assert [product.id for product in store.catalog.products()] == [f"{number:02}" for number in range(PHOTOS)]


@pages
@pytest.mark.parametrize("limit", ["PAGE", "BATCH"])
def test_another_model_encodes_each_photo_once(
    store: StoreContext, monkeypatch: pytest.MonkeyPatch, size: int, limit: str
) -> None:
    monkeypatch.setitem(ENCODERS.backends, "other", Backend(f"{__name__}:OtherEncoder"))  # type: ignore[arg-type]
    monkeypatch.setattr(backfill, limit, size)
    monkeypatch.setattr(OtherEncoder, "encoded", 0)
    told: list[tuple[int, int]] = []
    switch = models.use(store, "other:", report=lambda done, total: told.append((done, total)))
    assert switch.backfill.derived == PHOTOS
    assert store.catalog.counts().vectors["other-1"] == PHOTOS
    assert OtherEncoder.encoded in (PHOTOS, PHOTOS + 1)  # one more is the trial before the work
    assert told[-1] == (PHOTOS, PHOTOS)


@pages
def test_small_pictures_are_made_of_each_photo(store: StoreContext, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    assert [len(page) for page in photo_pages(store, size=size)] == [size] * (PHOTOS // size) + [PHOTOS % size] * (
        PHOTOS % size > 0
    )
    assert [photo.key for page in photo_pages(store, size=size) for photo in page] == list(range(1, PHOTOS + 1))
    monkeypatch.setattr(backfill, "PAGE", size)
    assert backfill.backfill(store, THUMBNAIL).derived == PHOTOS
    assert store.thumbnails.size().photos == PHOTOS
    assert backfill.backfill(store, THUMBNAIL).derived == 0


@pages
def test_each_vector_is_compared(store: StoreContext, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(check, "BLOCK", size)
    keys = np.array([1, PHOTOS // 2, PHOTOS])
    index = store.index
    index.remove(keys)
    index.add(keys, np.stack([corner(*[0] * 20, 1)] * 3))
    found = check_index(store, sample=PHOTOS)
    assert (found.compared, found.wanted, found.held) == (PHOTOS, PHOTOS, PHOTOS)
    assert sorted(found.other.tolist()) == keys.tolist()
    assert not check_index(store, repair=True).agrees
    assert check_index(store, sample=PHOTOS).agrees
