"""From a folder on this machine to Drive, from there into a store and onto the page: with Drive there, and with Drive
gone."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="the page needs streamlit: pip install 'lapel[ui]'")
pytest.importorskip("playwright", reason="the browser tests need playwright: pip install playwright")
pytest.importorskip("googleapiclient", reason="Drive needs its client: pip install 'lapel[drive]'")

import numpy as np
from PIL import Image, ImageOps
from playwright.sync_api import Browser, Page, expect
from typer.testing import CliRunner

from browser.chromium import DESKTOP, LOCAL, PATIENCE, browser, served
from lapel import sources
from lapel.apps.cli import app
from lapel.engine.context import open_context
from lapel.samples import draw_wardrobe
from lapel.service.thumbnails import TILE_SIZE, tile
from loopback.drive import DriveServer, File

__all__ = ["browser"]  # a fixture
PRODUCTS = 24
IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"


def inverted(file: File) -> bytes:
    """What this Drive shows of a picture: the same in other colours, so that a look tells where it comes from."""
    stream = io.BytesIO()
    ImageOps.invert(Image.open(io.BytesIO(file.data)).convert("RGB")).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def lapel(*words: object) -> str:
    said = CliRunner().invoke(app, [str(word) for word in words])
    assert said.exit_code == 0, said.output
    return said.output


@pytest.fixture
def drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DriveServer]:
    """A Drive that a login may write to and whose pictures are shown by its own links."""
    with DriveServer(page=7) as server:
        info = {"client_id": "lapel", "client_secret": "x", "refresh_token": "good", "token_uri": f"{server.root}token"}
        (tmp_path / "login.json").write_text(json.dumps({"type": "authorized_user", **info}), encoding="utf-8")
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "login.json"))
        monkeypatch.setenv("LAPEL_DRIVE_ENDPOINT", server.root)
        monkeypatch.setenv("LAPEL_DRIVE_LINK", f"{server.root}thumbnail?id={{id}}&sz=w1600")
        monkeypatch.setenv("LAPEL_DRIVE_THUMBNAIL", f"{server.root}thumbnail?id={{id}}&sz=w400")
        monkeypatch.setenv("LAPEL_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv("LAPEL_DRIVE_KEY", raising=False)
        server.show = inverted
        yield server
    sources.close_archives()


def asked(drive: DriveServer) -> list[str]:
    """Ids of the pictures that browsers asked for."""
    return [request.query["id"] for request in drive.requests if request.path == "/thumbnail"]


def look(
    browser: Browser, address: str, photo: Path, right: Callable[[str, Image.Image], bool]
) -> list[tuple[str, Image.Image]]:
    """Search with a photo, in a browser that remembers nothing: the first hits' titles, and what is seen of their
    pictures.

    Pictures may come late; each is looked at until it is right, or for some seconds.
    """
    context = browser.new_context(viewport=DESKTOP, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    left: list[str] = []
    page.on("request", lambda request: None if request.url.startswith(LOCAL) else left.append(request.url))
    page.goto(address)
    page.wait_for_selector(IDLE)
    page.locator(".st-key-upload input[type=file]").set_input_files(photo)
    expect(page.locator(".st-key-chips")).to_contain_text("Your photo", timeout=PATIENCE)
    page.wait_for_selector(IDLE)  # nothing is drawn anew any more
    expect(page.locator(".gallery .card").first).to_be_visible(timeout=PATIENCE)
    seen = [picture(page, place, right) for place in range(4)]
    context.close()
    assert not left, left
    return seen


def picture(page: Page, place: int, right: Callable[[str, Image.Image], bool]) -> tuple[str, Image.Image]:
    card = page.locator(".gallery .card").nth(place)
    title = card.locator(".title").inner_text()
    image = card.locator(".frame")
    image.scroll_into_view_if_needed()
    card.locator(".badges").evaluate("badges => { badges.style.display = 'none' }")  # they lie over the picture
    expect(image.locator("img").first).to_have_js_property("naturalWidth", TILE_SIZE[0], timeout=PATIENCE)
    for _ in range(20):
        page.wait_for_timeout(300)
        box = image.bounding_box()
        assert box
        seen = Image.open(io.BytesIO(page.screenshot(clip=box))).convert("RGB")
        if right(title, seen):
            break
    return title, seen


def unlike(one: Image.Image, other: Image.Image) -> float:
    """Mean difference in 0..255 of what two pictures show; of their middles, as a card has badges and round corners."""
    small = [np.asarray(each.resize((30, 40)), np.int16)[8:32, 6:24] for each in (one, other)]
    return float(np.abs(small[0] - small[1]).mean())


def test_a_catalogue_goes_to_drive_and_its_hits_are_seen_with_drive_and_without(
    browser: Browser, drive: DriveServer, tmp_path: Path
) -> None:
    wardrobe, table, store = tmp_path / "wardrobe", tmp_path / "drive.csv", tmp_path / "shop"
    drawn = draw_wardrobe(wardrobe, products=PRODUCTS)
    target = drive.folder("Shop")
    said = lapel("drive", "upload", wardrobe, "--products", wardrobe / "products.csv", "--to", target, "--out", table)
    assert f"{drawn.photos} pictures uploaded, 0 there already, 0 left out" in said

    said = lapel("add", f"gdrive://{target}", "--products", table, "--store", store, "--encoder", "colour:")
    assert f"{PRODUCTS} products added" in said
    assert f"{drawn.photos} pictures: {drawn.photos} added" in said
    wardrobe.rename(tmp_path / "away")  # the originals are on Drive only
    assert f"{PRODUCTS} unchanged" in lapel("add", table, "--store", store)  # the table alone leads there too

    with open_context(store) as shop:
        products = shop.catalog.products(limit=PRODUCTS)
        photos = {product.title: shop.catalog.photos(product.id) for product in products}
        small = shop.thumbnails.get([photo.sha256 for each in photos.values() for photo in each], TILE_SIZE[0])
    assert len(small) == drawn.photos
    for photo in photos[products[0].title]:
        assert photo.links.small.startswith(drive.root)
        assert photo.links.full.startswith(drive.root)
    with (tmp_path / "away" / "products.csv").open(newline="", encoding="utf-8") as file:
        first = next(csv.DictReader(file))
    query = tmp_path / "away" / first["pictures"].split("|")[0]

    def tiles(title: str) -> list[Image.Image]:
        """The store's own thumbnails of a product, as the page has them."""
        return [Image.open(io.BytesIO(tile(Image.open(io.BytesIO(small[photo.sha256]))))) for photo in photos[title]]

    def linked(title: str, seen: Image.Image) -> bool:
        return min(unlike(seen, ImageOps.invert(tile)) for tile in tiles(title)) < 12

    def own(title: str, seen: Image.Image) -> bool:
        return min(unlike(seen, tile) for tile in tiles(title)) < 12

    with served(store, tmp_path / "server.log") as address:
        assert asked(drive) == []
        with_drive = look(browser, address, query, linked)
        assert with_drive[0][0] == first["title"]
        on_cards = {photo.uri.removeprefix("gdrive://") for each in photos.values() for photo in each}
        assert set(asked(drive)) <= on_cards
        assert len(set(asked(drive))) >= 4
        drive.stop()
        without = look(browser, address, query, own)
    titles = [title for title, _ in with_drive]
    assert [title for title, _ in without] == titles
    assert [linked(*each) for each in with_drive] == [True] * 4, f"what the links give is not seen: {titles}"
    assert [own(*each) for each in without] == [True] * 4, f"the store's own thumbnails are not seen: {titles}"
