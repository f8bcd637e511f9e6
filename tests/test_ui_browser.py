"""The web page in Chromium: what a visitor does, on a desk and on a phone, by day and by night."""

from __future__ import annotations

import io
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="the page needs streamlit: pip install 'lapel[ui]'")
pytest.importorskip("playwright", reason="the browser tests need playwright: pip install playwright")

from PIL import Image
from playwright.sync_api import BrowserContext, Locator, Page, expect

from browser.chromium import DESKTOP, PHONE, address, browser, profile, shop_folder, visit
from browser.shop import draw

__all__ = ["address", "browser", "profile", "shop_folder", "visit"]  # fixtures
Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def links(shop_folder: Path) -> Iterator[str]:
    """A web server of pictures on loopback."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(shop_folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def card(page: Page, place: int) -> Locator:
    # Streamlit leaves the last page's cards in place until the next one is complete: for a moment there may be two.
    return page.locator(f".st-key-card-{place}").first


def title(page: Page, place: int = 0) -> Locator:
    return card(page, place).locator(".lapel-title")


def way(page: Page, name: str) -> None:
    page.locator(".st-key-way button").filter(has_text=name).click()


def expect_columns(page: Page, count: int) -> None:
    """Wait until so many cards stand in the first row: the page's style comes after its first words."""
    page.wait_for_function(
        """count => {
            const cards = [...document.querySelectorAll("[class*='st-key-card-']")];
            const tops = cards.map(card => Math.round(card.getBoundingClientRect().top));
            return tops.length > 0 && tops.filter(top => top === tops[0]).length === count;
        }""",
        arg=count,
    )


def test_an_uploaded_photo_finds_its_product(visit: Visit, shop_folder: Path) -> None:
    page = visit()
    page.set_input_files("input[type=file]", shop_folder / "pictures" / "27.png")
    expect(page.get_by_role("heading", name="Your photo")).to_be_visible()
    expect(title(page)).to_have_text("Green dress for men")
    expect(card(page, 0).locator(".lapel-score")).to_contain_text("1.00")
    expect(card(page, 0).locator(".lapel-price")).to_have_text("37.50 EUR")
    expect(card(page, 0).get_by_role("img")).to_have_attribute("alt", "Green dress for men")
    assert card(page, 0).get_by_role("img").evaluate("image => image.complete && image.naturalWidth") == 450
    page.get_by_role("button", name="New search").click()
    expect(page.get_by_role("heading", name="Find what looks like it.")).to_be_visible()


def test_a_corrupt_file_is_explained_and_the_next_one_works(visit: Visit, shop_folder: Path) -> None:
    page = visit()
    whole = (shop_folder / "pictures" / "4.png").read_bytes()
    page.set_input_files(
        "input[type=file]", {"name": "cut.png", "mimeType": "image/png", "buffer": whole[: len(whole) // 2]}
    )
    expect(page.get_by_role("alert")).to_contain_text("damaged or cut short")
    expect(title(page)).to_be_visible()
    page.set_input_files("input[type=file]", {"name": "whole.png", "mimeType": "image/png", "buffer": whole})
    expect(title(page)).to_have_text("Red t-shirt for women")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_pasted_link(visit: Visit, links: str) -> None:
    page = visit()
    way(page, "Link")
    box = page.get_by_label("Link of a picture")
    box.fill(f"{links}/products.csv")
    box.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Not a picture")
    box.fill(f"{links}/nothing.png")
    page.get_by_role("button", name="Find look-alikes").click()
    expect(page.get_by_role("alert")).to_contain_text("404")
    box.fill(f"{links}/pictures/36.png")
    page.get_by_role("button", name="Find look-alikes").click()
    expect(page.get_by_role("heading", name="Linked picture")).to_be_visible()
    expect(title(page)).to_have_text("Green tote for women")


def test_the_camera(visit: Visit) -> None:
    page = visit()
    way(page, "Camera")
    page.wait_for_function("document.querySelector('video')?.readyState === 4")
    page.get_by_role("button", name="Take Photo").click()
    expect(page.get_by_role("heading", name="Your photo")).to_be_visible()
    expect(card(page, 0).locator(".lapel-score")).to_be_visible()


def test_from_the_catalogue_on_and_back(visit: Visit) -> None:
    page = visit()
    way(page, "Catalogue")
    page.get_by_placeholder("Words of the title").fill("red dress")
    page.keyboard.press("Enter")
    expect(page.locator(".lapel-count")).to_have_text("2 products")
    expect(title(page)).to_have_text("Red dress for women")
    card(page, 0).get_by_role("button", name="Look-alikes").click()
    expect(page.get_by_role("heading", name="Red dress for women")).to_be_visible()
    expect(page.locator(".lapel-count").first).to_contain_text("20 nearest of 40 products")
    assert page.url.endswith("?product=W0024")
    page.locator("[data-testid='stMain']").evaluate("main => main.scrollTo(0, 900)")
    second = title(page, 2).inner_text()
    title(page, 2).click(force=True)  # without an address the button lies over the whole card
    expect(page.get_by_role("heading", name=second)).to_be_visible()
    page.wait_for_function("document.querySelector('[data-testid=stMain]').scrollTop === 0")
    expect(page.locator(".st-key-crumbs")).to_contain_text("Red dress for women")
    page.get_by_role("button", name="Back").click()
    expect(page.get_by_role("heading", name="Red dress for women")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name=second)).to_be_visible()


def test_a_photo_stays_when_the_browser_goes_back_to_it(visit: Visit, shop_folder: Path) -> None:
    page = visit()
    page.set_input_files("input[type=file]", shop_folder / "pictures" / "0.png")
    expect(
        card(page, 1).locator(".lapel-score")
    ).to_be_visible()  # the answer is there, no longer the start page's cards
    card(page, 1).get_by_role("button").click()
    page.wait_for_url("**product=*")
    page.go_back()
    expect(page.get_by_role("heading", name="Your photo")).to_be_visible()


def test_filters_change_the_answer_and_survive_a_reload(visit: Visit) -> None:
    page = visit("?product=W0000")
    expect(page.locator(".lapel-count")).to_contain_text("20 nearest of 40 products")
    page.locator(".st-key-f-colour button").filter(has_text="Red").click()
    expect(page.locator(".lapel-count")).to_contain_text("8 nearest of 8 that pass the filters")
    page.locator(".st-key-f-gender button").filter(has_text="Women").click()
    expect(page.locator(".lapel-count")).to_contain_text("4 nearest of 4")
    page.get_by_role("combobox", name="Category").click()
    page.get_by_role("option", name="Accessories").click()
    expect(page.locator(".lapel-count")).to_contain_text("1 nearest of 1")
    expect(title(page)).to_have_text("Red tote for women")
    page.reload()
    expect(title(page)).to_have_text("Red tote for women")
    expect(page.get_by_role("heading", name="Black t-shirt for women")).to_be_visible()
    page.locator(".st-key-chips").get_by_role("button", name="Accessories").click()
    expect(page.locator(".lapel-count")).to_contain_text("4 nearest of 4")


def test_no_result_and_out_of_it(visit: Visit) -> None:
    page = visit("?product=W0000&colour=Red&price=10-11")
    expect(page.get_by_role("heading", name="No look-alike passes these filters")).to_be_visible()
    page.get_by_role("button", name="Clear filters").click()
    expect(page.locator(".lapel-count")).to_contain_text("20 nearest of 40 products")


def test_a_phone(visit: Visit) -> None:
    page = visit("?product=W0003", viewport=PHONE)
    expect(title(page)).to_be_visible()
    expect_columns(page, 2)
    for path in ("?product=W0003", ""):
        page.goto(f"{page.url.split('?')[0]}{path}")
        expect(title(page)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert page.locator("[data-testid='stMain']").evaluate("main => main.scrollWidth") <= PHONE["width"]
    page.get_by_test_id("stExpandSidebarButton").click()
    page.locator(".st-key-f-colour button").filter(has_text="Yellow").click()
    expect(page.locator(".st-key-chips")).to_contain_text("Yellow")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_day_and_night(visit: Visit, scheme: str) -> None:
    page = visit("?product=W0002&colour=Red", color_scheme=scheme)
    expect(title(page)).to_be_visible()
    expect_columns(page, 5)
    ground = luminance(page.locator("[data-testid='stApp']"), "background-color")
    assert ground > 0.9 if scheme == "light" else ground < 0.02
    for selector in (
        ".lapel-title",
        ".lapel-facts",
        ".lapel-count",
        ".lapel-asked p",
        ".st-key-card-0 .stButton button",
    ):
        page.locator(selector).first.evaluate(
            "element => Promise.all(element.getAnimations().map(fade => fade.finished))"
        )
        ink = luminance(page.locator(selector).first, "color", over=ground)
        contrast = (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05)
        assert contrast >= 4.5, f"{selector} has a contrast of {contrast:.1f}"


def luminance(place: Locator, name: str, over: float = 0.0) -> float:
    """WCAG's relative luminance of a colour, painted by the browser itself over a grey of luminance ``over``."""
    grey = round(255 * (1.055 * over ** (1 / 2.4) - 0.055)) if over > 0.0031 else round(255 * 12.92 * over)
    pixel = place.evaluate(
        """(element, [name, grey]) => {
            const paint = new OffscreenCanvas(1, 1).getContext('2d');
            for (const colour of [`rgb(${grey} ${grey} ${grey})`, getComputedStyle(element).getPropertyValue(name)]) {
                paint.fillStyle = colour; paint.fillRect(0, 0, 1, 1);
            }
            return [...paint.getImageData(0, 0, 1, 1).data];
        }""",
        [name, grey],
    )
    red, green, blue = (
        value / 3294.6 if value <= 10 else ((value / 255 + 0.055) / 1.055) ** 2.4 for value in pixel[:3]
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_keyboard_reaches_a_card_and_the_focus_shows(visit: Visit) -> None:
    page = visit("?product=W0000", viewport=DESKTOP)
    button = card(page, 0).get_by_role("button")
    expect(button).to_be_visible()
    card(page, 1).get_by_role("button").focus()
    page.keyboard.press("Shift+Tab")
    expect(button).to_be_focused()
    assert re.match(r"[12]", button.evaluate("button => getComputedStyle(button).outlineWidth"))
    page.keyboard.press("Enter")
    page.wait_for_url("**product=W0001")


def test_a_missing_photo_shows_a_hanger(visit: Visit) -> None:
    page = visit("?product=W0038")
    expect(page.locator(".st-key-asked-picture").get_by_role("img")).to_have_attribute(
        "alt", re.compile("cannot be read")
    )
    expect(title(page)).to_have_text("Yellow tote for men")


def test_text_of_the_catalogue_is_never_markup(visit: Visit) -> None:
    page = visit("?colour=%3Cscript%3Ealert(1)%3C/script%3E&product=%3Cimg%20src=x%20onerror=alert(1)%3E")
    expect(page.get_by_role("alert").first).to_contain_text("<script>alert(1)</script>")
    expect(page.locator("img[src='x']")).to_have_count(0)


def test_the_photos_of_the_shop_differ() -> None:
    assert draw("Tote", "Red").tobytes() != draw("Tote", "Green").tobytes()


@pytest.mark.parametrize("there", [True, False])
def test_a_photo_comes_from_its_link_and_from_the_store_when_that_fails(
    profile: BrowserContext, address: str, shop_folder: Path, there: bool
) -> None:
    """The store's picture of W0011 is a pair of black trousers on white; its link gives a plain blue."""
    with sqlite3.connect(shop_folder / "shop" / "catalog.sqlite") as database:
        database.execute(
            "UPDATE photo SET thumbnail_link = 'https://cdn.invalid/small.png?w=450&q=8'"
            " WHERE product_row = (SELECT row FROM product WHERE id = 'W0011')"
        )
        database.execute(
            "INSERT INTO change_log (generation, at, kind, product_id, photo_key, detail)"
            " VALUES (0, '', 'product_changed', 'W0011', NULL, '{}')"
        )
    database.close()
    stream = io.BytesIO()
    Image.new("RGB", (300, 400), (0, 0, 255)).save(stream, "PNG")
    page = profile.new_page()
    page.route(
        "https://cdn.invalid/small.png?w=450&q=8",
        lambda route: route.fulfill(body=stream.getvalue(), content_type="image/png") if there else route.abort(),
    )
    page.goto(f"{address}/?product=W0021")
    expect(title(page)).to_have_text("Black trousers for men")
    expect(card(page, 0).locator(".lapel-linked")).to_be_visible()
    page.wait_for_function("[...document.images].every(image => image.complete)")
    page.wait_for_timeout(500)
    box = card(page, 0).get_by_role("img").bounding_box()
    linked = card(page, 0).locator(".lapel-linked").bounding_box()
    assert box
    assert linked
    assert all(abs(box[side] - linked[side]) < 1.5 for side in ("x", "y", "width", "height"))
    seen = Image.open(io.BytesIO(page.screenshot(clip=box))).convert("RGB")
    page.close()
    middle = seen.getpixel((seen.width // 2, seen.height // 2))
    wanted = (0, 0, 255) if there else (23, 23, 26)
    assert max(abs(one - other) for one, other in zip(middle, wanted, strict=True)) < 6
