"""The map of a catalogue: one product a cell, the same file every time, everything in it, and it works in a browser."""

from __future__ import annotations

import base64
import io
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page
from typer.testing import CliRunner

import lapel
from browser.chromium import PHONE, browser
from inputs.looks import COLOURS, KINDS, look_products, write_looks
from lapel.apps.cli import app
from lapel.core.errors import InputError, QueryError
from lapel.core.images import decode
from lapel.indexes.neighbours import nearest_others
from lapel.insight import catalogue_map
from lapel.insight.catalogue_map import CatalogueMap, drawn
from lapel.insight.map_layout import FILE, KeptMap, lay_out, placed
from lapel.insight.product_rows import ProductRows, read_products

__all__ = ["browser"]
EVIL = '</script><script>alert("x")</script>'
COUNT = 96


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lapel.Store]:
    products, vectors = look_products(COUNT)
    products[7] = replace(products[7], title=EVIL, url="https://shop.example/7")
    with write_looks(tmp_path_factory.mktemp("map"), products, vectors, pictures=True) as store:
        yield store


@pytest.fixture(scope="module")
def made(shop: lapel.Store) -> CatalogueMap:
    return shop.catalogue_map(levels=(4, 12), title="Looks & more")


def block(page: str, name: str) -> bytes:
    return base64.b64decode(re.search(f'id="{name}">([^<]*)<', page)[1])  # type: ignore[index]


def test_every_product_has_a_cell_of_its_own_beside_what_looks_like_it(made: CatalogueMap) -> None:
    cells = made.layout.cells
    assert len(np.unique(cells, axis=0)) == COUNT
    assert (cells >= 0).all()
    assert (cells < (made.layout.columns, made.layout.rows)).all()
    groups = made.clusters.groups[0]
    far = np.linalg.norm((cells[:, None] - cells[None]) * (3, 4), axis=2)
    np.fill_diagonal(far, np.inf)
    assert (groups[far.argmin(axis=1)] == groups).mean() > 0.85


def test_the_same_store_and_seed_give_the_same_bytes(shop: lapel.Store, made: CatalogueMap, tmp_path: Path) -> None:
    assert shop.catalogue_map(levels=(4, 12), title="Looks & more", fresh=True).html == made.html
    kept = shop.catalogue_map(levels=(4, 12), title="Looks & more")
    assert kept.html == made.html
    assert kept.layout.kept == COUNT
    made.save(tmp_path / "map.html")
    assert (tmp_path / "map.html").read_text("utf-8") == made.html
    assert [path.name for path in tmp_path.iterdir()] == ["map.html"]
    assert shop.catalogue_map(levels=(4, 12), seed=1).html != made.html


def test_the_page_holds_everything_and_asks_for_nothing(made: CatalogueMap) -> None:
    page = made.html
    about = json.loads(zlib.decompress(block(page, "about")))
    assert about["title"] == "Looks & more"
    assert about["count"] == COUNT
    assert [facet["label"] for facet in about["facets"]] == ["Kind", "Gender", "Colour"]
    ids, titles, prices, links = (
        part.split("\n") for part in zlib.decompress(block(page, "texts")).decode().split("\0")
    )
    assert set(ids) == {f"p{number}" for number in range(COUNT)}
    assert titles[ids.index("p7")] == EVIL
    assert EVIL not in page
    assert set(prices) == {"19.90 EUR"}
    assert links[ids.index("p7")] == "https://shop.example/7"
    assert not re.search(r"""(src|href)=["']?(https?:)?//|@import|url\(|fetch\(|XMLHttp""", page)
    assert "<title>Looks &amp; more</title>" in page
    columns = np.frombuffer(zlib.decompress(block(page, "columns")), "<u2").reshape(-1, COUNT)
    kinds = np.array(about["facets"][0]["values"])[columns[3]]
    sheet = Image.open(io.BytesIO(block(page, "sheet0")))
    wide, high, across, _ = about["tile"]
    for place, name in enumerate(ids[:20]):
        number = int(name[1:])
        assert kinds[place] == KINDS[number % 4]
        middle = sheet.getpixel((place % across * wide + wide // 2, place // across * high + high // 2))
        colour = list(COLOURS.values())[number // 4 % 3]
        assert np.abs(np.array(middle[:3]) - colour).max() < 30


def test_a_few_new_products_leave_the_others_where_they_are(tmp_path: Path) -> None:
    products, vectors = look_products(84)
    with write_looks(tmp_path, products[:80], vectors[:80]) as store:
        before = store.catalogue_map()
        where = dict(
            zip([each.id for each in before.clusters.products.products], before.layout.cells.tolist(), strict=True)
        )
        store.remove(["p3"])
    with write_looks(tmp_path, products[80:], vectors[80:]) as store:
        after = store.catalogue_map()
        assert after.layout.kept == 79
        now = dict(
            zip([each.id for each in after.clusters.products.products], after.layout.cells.tolist(), strict=True)
        )
        assert set(now) == {product.id for product in products} - {"p3"}
        assert all(now[name] == where[name] for name in now if name in where)
        alike = np.array([now[f"p{number}"] for number in range(8, 80, 12)], float)  # of the look of p80
        assert np.linalg.norm(alike - now["p80"], axis=1).min() <= 3
        assert "79 of them where they were before" in after.summary()
        (tmp_path / "shop" / FILE).write_bytes(b"broken")
        assert store.catalogue_map().layout.kept == 0


def test_a_second_map_reads_new_pictures_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(catalogue_map, "decode", lambda data: seen.append(len(data)) or decode(data))
    products, vectors = look_products(48)
    old = [row for row, product in enumerate(products) if product.colour != "Green"]
    new = len(products) - 1  # the first one of its colour, so that no picture has the same bytes
    with write_looks(tmp_path, [products[row] for row in old], vectors[old], pictures=True) as store:
        first = store.catalogue_map()
        middles = len({each.medoid for each in first.clusters.clusters})  # whose pictures are read larger
        assert len(seen) == len(old) + middles
        seen.clear()
        assert store.catalogue_map().html == first.html
        assert len(seen) == middles
        kept = (tmp_path / "shop" / catalogue_map.TILES).read_bytes()
    with write_looks(tmp_path, products[new:], vectors[new:], pictures=True) as store:
        seen.clear()
        grown = store.catalogue_map()
        assert len(seen) == 1 + len({each.medoid for each in grown.clusters.clusters})
        middle = len(kept) // 2
        broken = kept[:middle] + bytes([kept[middle] ^ 1]) + kept[middle + 1 :]
        (tmp_path / "shop" / catalogue_map.TILES).write_bytes(broken)
        assert store.catalogue_map().html == grown.html
    with lapel.open_store(tmp_path / "shop", read_only=True) as store:
        (tmp_path / "shop" / catalogue_map.TILES).unlink()
        assert store.catalogue_map().html == grown.html
        assert not (tmp_path / "shop" / catalogue_map.TILES).exists()


def test_too_much_that_is_new_is_laid_out_anew() -> None:
    _, vectors = look_products(60)
    kept = KeptMap(np.arange(40), lay_out(vectors[:40]), "")
    assert kept.extended(np.arange(60), vectors) is None
    grown = kept.extended(np.arange(43), vectors[:43])
    assert grown is not None
    assert len(np.unique(grown.cells, axis=0)) == 43


def test_points_take_the_nearest_free_cells() -> None:
    taken = np.zeros((5, 5), bool)
    taken[2, 2] = True
    cells = placed(np.array([[2.0, 2.2], [0, 0], [0, 0.1], [4.4, 9.0]]), taken)
    assert np.abs(cells[0] - (2, 2)).sum() == 1  # beside the one that is taken
    assert cells[1].tolist() == [0, 0]  # the nearer of two
    assert sorted(cells[2].tolist()) == [0, 1]
    assert cells[3].tolist() == [4, 4]  # never off the grid
    assert len(np.unique(placed(np.zeros((24, 2)), taken), axis=0)) == 24
    assert taken.sum() == 1


def test_the_nearest_others_are_those_of_all_pairs() -> None:
    _, vectors = look_products(50)
    rows, cosines = nearest_others(vectors, 7)
    slow = vectors @ vectors.T
    np.fill_diagonal(slow, -2)
    assert np.allclose(cosines, -np.sort(-slow, axis=1)[:, :7], atol=1e-6)
    assert np.allclose(np.take_along_axis(slow, rows, axis=1), cosines, atol=1e-6)
    same, _ = nearest_others(vectors[:1].repeat(9, axis=0), 3)
    assert all(row not in others for row, others in enumerate(same.tolist()))


def test_several_photos_are_one_product_shown_by_its_first(tmp_path: Path) -> None:
    from lapel.engine.context import open_context
    from test_store import LOOKS, fill

    with open_context(tmp_path / "shop", create=True, encoder="colour:") as context:
        fill(context)
        found = read_products(context)
    assert [product.id for product in found.products] == list(LOOKS)
    assert all(photo.uri.endswith("0.jpg") for photo in found.photos)
    mean = np.mean(LOOKS["tee"], axis=0)
    row = [product.id for product in found.products].index("tee")
    assert found.vectors[row] == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)


def test_very_many_products_are_drawn_and_it_is_said(shop: lapel.Store, made: CatalogueMap) -> None:
    rows = read_products(shop._context)
    some = drawn(rows, 0, most=10)
    assert isinstance(some, ProductRows)
    assert len(some) == len({product.id for product in some.products}) == 10
    assert "86 more are not on it" in replace(made, not_shown=86).summary()


def test_pictures_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    products, vectors = look_products(20)
    with write_looks(tmp_path, products, vectors, pictures=True) as store:
        (tmp_path / "p3.png").unlink()
        found = store.catalogue_map()
        assert found.unreadable == 1
        assert "1 picture cannot be read" in found.summary()


def test_small_and_strange_shops(tmp_path: Path) -> None:
    products, vectors = look_products(6)
    with write_looks(tmp_path, products, vectors) as store:
        assert len(np.unique(store.catalogue_map().layout.cells, axis=0)) == 6
        with pytest.raises(QueryError, match="at least 4"):
            store.catalogue_map(where=["category=Shirts"])
        with pytest.raises(InputError, match="folder that exists"):
            store.catalogue_map().save(tmp_path / "none" / "map.html")


def test_the_command_writes_a_map(shop: lapel.Store, tmp_path: Path) -> None:
    asked = ["clusters", "--store", str(shop.folder), "--levels", "4,12", "--map", str(tmp_path / "map.html")]
    told = CliRunner().invoke(app, asked, catch_exceptions=False)
    assert "A map of 96 products" in told.stderr
    assert (tmp_path / "map.html").stat().st_size > 20_000


# --- in a browser -----------------------------------------------------------------------------------------------------


@pytest.fixture
def page(browser: Browser, made: CatalogueMap, tmp_path: Path) -> Iterator[Page]:
    made.save(tmp_path / "map.html")
    context = browser.new_context(viewport={"width": 1200, "height": 800}, offline=True, reduced_motion="reduce")
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.goto((tmp_path / "map.html").as_uri())
    page.wait_for_selector("html[data-ready=yes]", timeout=60_000)
    yield page
    context.close()
    assert problems == []


def test_words_narrow_the_map_and_a_hit_opens_its_product(page: Page) -> None:
    page.fill("#words", "blue watches")
    page.wait_for_function("document.getElementById('found').textContent.startsWith('8 of 96')")
    page.locator("#hits button").first.click()
    assert "Blue watches" in page.inner_text("#product-title")
    assert "19.90 EUR · Watches · Men · Blue" in page.inner_text("#product-about")
    page.keyboard.press("Escape")
    assert page.is_hidden("#product")


def test_facets_groups_and_evil_titles(page: Page) -> None:
    page.select_option("select >> nth=0", label="Shoes")
    page.select_option("select >> nth=2", label="Red")
    assert page.inner_text("#found").startswith("8 of 96")
    page.select_option("select >> nth=0", label="all")
    page.select_option("select >> nth=2", label="all")
    page.click("#levels button >> nth=1")
    assert page.locator("#groups button").count() == 4
    page.click("#groups button >> nth=0")
    assert page.inner_text("#found").startswith("24 of 96")
    page.click("#all")
    page.fill("#words", "p7")
    page.wait_for_function("document.querySelectorAll('#hits button').length >= 1")
    page.locator("#hits button", has_text="alert").click()
    assert page.inner_text("#product-title") == EVIL
    assert page.get_attribute("#product-link", "href") == "https://shop.example/7"


def test_axe_finds_nothing(page: Page) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.fill("#words", "blue")
    page.locator("#hits button").first.click()
    found = axe.run(page).response["violations"]
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []


def test_keys_move_zoom_and_open_what_is_in_the_middle(page: Page) -> None:
    page.focus("#canvas")
    shown = "document.getElementById('canvas').toDataURL()"
    before = page.evaluate(shown)
    page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(f"before => {shown} !== before", arg=before)
    page.keyboard.press("Enter")
    assert page.inner_text("#product-id").startswith("p")


def test_a_page_around_it_hears_of_clicks_and_a_phone_has_room(browser: Browser, made: CatalogueMap) -> None:
    context = browser.new_context(viewport=PHONE, offline=True, color_scheme="dark", has_touch=True)
    page = context.new_page()
    page.set_content("<iframe style='position:fixed;inset:0;width:100%;height:100%;border:0'></iframe>")
    page.evaluate(
        "html => { window.heard = []; addEventListener('message', (event) => heard.push(event.data));"
        " document.querySelector('iframe').srcdoc = html; }",
        made.html,
    )
    frame = page.frame_locator("iframe")
    frame.locator("html[data-ready=yes]").wait_for(timeout=60_000)
    assert frame.locator("html").evaluate("root => root.scrollWidth <= innerWidth")
    assert frame.locator("body").evaluate("body => getComputedStyle(body).backgroundColor") == "rgb(21, 20, 18)"
    frame.locator("#canvas").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("heard.length > 0")
    told = page.evaluate("heard")
    assert told[0]["lapel"]["product"] == frame.locator("#product-id").inner_text()
    context.close()
