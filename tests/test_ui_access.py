"""The page for everybody, in Chromium: axe, names, focus, a live region; the way to the shop, and the filters on a
phone."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="the page needs streamlit: pip install 'lapel[ui]'")
pytest.importorskip("playwright", reason="the browser tests need playwright: pip install playwright")
pytest.importorskip("axe_playwright_python", reason="these tests need axe: pip install axe-playwright-python")

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from browser.chromium import PHONE, browser, profile, served, visit
from browser.contrast import faint
from inputs.page import boutique, heavy

__all__ = ["browser", "profile", "visit"]  # fixtures
Visit = Callable[..., Page]
WIDTHS = (390, 768, 1280)


@pytest.fixture(scope="module")
def address(profile: BrowserContext, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the page of a shop with addresses, currencies and many fields is served."""
    folder = tmp_path_factory.mktemp("access")
    with served(boutique(folder), folder / "server.log") as root:
        yield root


def rest(page: Page) -> None:
    """Wait until the script has run, and nothing fades in any more."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    page.wait_for_function(
        "[...document.images].every(image => image.complete) && document.getAnimations().every(one => one.playState !="
        " 'running')"
    )


def bad_file(page: Page) -> None:
    page.set_input_files("input[type=file]", {"name": "a.heic", "mimeType": "image/heic", "buffer": b"hello" * 9})
    page.wait_for_selector("[data-testid=stAlert]")


def open_filters(page: Page) -> None:
    if page.get_by_test_id("stExpandSidebarButton").is_visible():
        page.get_by_test_id("stExpandSidebarButton").click()
    expect(page.locator(".st-key-more-filters")).to_be_visible()
    page.get_by_role("button", name="More filters").click()
    expect(page.locator(".st-key-f-collection")).to_be_visible()


STATES: dict[str, tuple[str, Callable[[Page], None] | None]] = {
    "start": ("", None),
    "results": ("?product=B004&colour=Red&size=M&currency=EUR", None),
    "empty": ("?product=B004&size=M&brand=Kestrel", None),
    "gone": ("?product=B999&colour=Mauve", None),
    "error": ("", bad_file),
    "filters": ("?product=B004&gender=Men", open_filters),
}


@pytest.mark.parametrize("state", list(STATES))
def test_axe_finds_nothing_and_every_text_can_be_read(visit: Visit, state: str) -> None:
    path, act = STATES[state]
    page = visit(path, viewport={"width": WIDTHS[0], "height": 844})
    rest(page)
    if act:
        act(page)
    for scheme, width in itertools.product(("light", "dark"), WIDTHS):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 844})
        rest(page)
        if scheme == "light" or width == WIDTHS[-1]:  # names and order are the same in the dark
            found = Axe().run(page).response["violations"]
            assert not found, [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found]
        assert faint(page) == [], (scheme, width)


def test_buttons_are_named_by_their_products(visit: Visit) -> None:
    page = visit("?product=B004")
    expect(page.get_by_role("button", name="More like this Red dress no. 1", exact=True)).to_have_count(1)
    expect(page.get_by_role("button", name="More like this")).to_have_count(20)
    expect(page.get_by_role("button", name="More like this", exact=True)).to_have_count(0)
    page.get_by_role("button", name="New search").click()
    expect(page.get_by_role("button", name="Look-alikes Navy t-shirt no. 2", exact=True)).to_have_count(1)


def test_a_screen_reader_hears_how_many_results_there_are(visit: Visit) -> None:
    page = visit("?product=B004")
    line = page.get_by_role("status").and_(page.locator("#lapel-status"))
    expect(line).to_have_text("20 nearest of 40 products")
    line.evaluate("line => { window.sameLine = line }")
    page.locator(".st-key-f-colour button").filter(has_text="Navy").click()
    expect(line).to_have_text("8 nearest of 8 that pass the filters")
    assert page.evaluate("window.sameLine === document.getElementById('lapel-status')")  # a new one would be silent
    page.get_by_role("button", name="New search").click()
    expect(line).to_have_text("8 products")


def test_focus_is_drawn_around_what_is_seen(visit: Visit) -> None:
    """The input inside a select is a sliver, and an outline around it a black bar."""
    page = visit("?colour=Red")
    rest(page)
    seen = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        kind, width, height, outline = page.evaluate(
            """() => {
                const one = document.activeElement, box = one.getBoundingClientRect(), style = getComputedStyle(one);
                const outline = style.outlineStyle == 'none' ? 0 : parseFloat(style.outlineWidth);
                return [one.tagName, box.width, box.height, outline];
            }"""
        )
        seen.add(kind)
        if outline and kind != "INPUT":
            assert 16 < width < 500, (kind, width)
            assert 16 < height < 80, (kind, height)
        assert kind in ("BUTTON", "A") or outline <= 1, kind
        if kind in ("BUTTON", "A"):
            assert outline == 2
    assert {"BUTTON", "A", "INPUT"} <= seen


# --- the way to the shop ----------------------------------------------------------------------------------------------


def leads_to_the_shop(profile: BrowserContext, act: Callable[[], None]) -> str:
    """Where a new tab leads, and that it knows nothing of the page."""
    with profile.expect_page() as opened:
        act()
    page = opened.value
    page.wait_for_load_state()
    url = page.url
    assert page.evaluate("window.opener === null && document.referrer === ''")
    page.close()
    return url


def test_photo_and_title_open_the_shop_and_the_button_goes_on(visit: Visit, profile: BrowserContext) -> None:
    profile.route("https://shop.example/**", lambda route: route.fulfill(body="<p>the shop", content_type="text/html"))
    page = visit("?product=B004")
    rest(page)
    card = page.locator(".st-key-card-0")
    expect(card.locator(".lapel-title")).to_contain_text("Red t-shirt no. 2")
    box = card.get_by_role("img").bounding_box()
    assert box
    shop = "https://shop.example/p/5?from=lapel&list=1"
    assert leads_to_the_shop(profile, lambda: page.mouse.click(box["x"] + 20, box["y"] + box["height"] - 20)) == shop
    assert leads_to_the_shop(profile, lambda: page.mouse.click(box["x"] + 20, box["y"] + 20)) == shop
    assert leads_to_the_shop(profile, card.get_by_role("link").click) == shop
    card.get_by_role("link").focus()
    assert leads_to_the_shop(profile, lambda: page.keyboard.press("Enter")) == shop
    asked = page.locator(".st-key-asked-picture").bounding_box()
    assert asked
    middle = asked["x"] + asked["width"] / 2, asked["y"] + asked["height"] / 2
    assert leads_to_the_shop(profile, lambda: page.mouse.click(*middle)) == "https://shop.example/p/4?from=lapel&list=1"
    heading = page.get_by_role("heading", name="Red t-shirt no. 1").get_by_role("link")
    assert leads_to_the_shop(profile, heading.click) == "https://shop.example/p/4?from=lapel&list=1"
    card.get_by_role("link").focus()
    page.keyboard.press("Tab")
    expect(card.get_by_role("button")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**product=B005")


def test_without_an_address_the_whole_card_goes_on(visit: Visit) -> None:
    page = visit("?product=B001")
    rest(page)
    card = page.locator(".st-key-card-0")
    expect(card.locator(".lapel-title")).to_have_text("Black t-shirt no. 1")
    assert card.get_by_role("link").count() == 0
    card.get_by_role("img").click(force=True, position={"x": 15, "y": 15})
    page.wait_for_url("**product=B000")
    assert page.locator(".st-key-asked").get_by_role("link").count() == 0


def test_a_choice_stays_when_other_filters_change_what_is_offered(visit: Visit) -> None:
    page = visit("?product=B000&brand=Kestrel")
    expect(page.locator(".st-key-f-gender button")).to_have_text(["Men 10"])
    page.locator(".st-key-f-gender button").click()
    page.wait_for_url("**gender=Men**")
    page.locator(".st-key-chips").get_by_role("button", name="Kestrel").click()
    expect(page.locator(".st-key-f-gender button")).to_have_text(["Men 20", "Women 20"])
    expect(page.locator(".st-key-f-gender button[aria-pressed=true]")).to_have_text(["Men 20"])
    expect(page.locator(".lapel-count")).to_contain_text("20 nearest of 20")
    page.locator(".st-key-f-colour button").filter(has_text="Red").click()
    expect(page.locator(".lapel-count")).to_contain_text("4 nearest of 4")


# --- on a phone -------------------------------------------------------------------------------------------------------


def test_the_drawer_has_a_button_that_says_how_many_results_and_closes_it(visit: Visit) -> None:
    page = visit("?product=B004", viewport=PHONE)
    rest(page)
    done = page.locator(".lapel-done button")
    expect(done).not_to_be_in_viewport()
    page.get_by_test_id("stExpandSidebarButton").click()
    expect(done).to_have_text("Show 40 results")
    expect(done).to_be_in_viewport(ratio=1)
    page.locator(".st-key-f-colour button").filter(has_text="Navy").click()
    expect(done).to_have_text("Show 8 results")
    page.locator(".st-key-f-size button").filter(has_text="38").click()
    expect(done).to_have_text("Show 2 results")
    expect(done).to_be_in_viewport(ratio=1)
    done.click()
    expect(page.get_by_test_id("stExpandSidebarButton")).to_be_visible()
    expect(done).not_to_be_in_viewport()
    expect(page.locator(".lapel-count")).to_contain_text("2 nearest of 2")
    page.get_by_test_id("stExpandSidebarButton").click()  # and again
    done.click()
    expect(done).not_to_be_in_viewport()


@pytest.mark.parametrize("width", [390, 768])
def test_the_way_to_the_filters_covers_nothing(visit: Visit, width: int) -> None:
    page = visit("?product=B004", viewport={"width": width, "height": 844})
    rest(page)
    button = page.get_by_test_id("stExpandSidebarButton")
    for top in (0, 430):
        page.locator("[data-testid='stMain']").evaluate("(main, top) => main.scrollTo(0, top)", top)
        place, name = button.bounding_box(), page.locator(".lapel-name").bounding_box()
        assert place
        assert name
        assert name["x"] + name["width"] < place["x"]
        below = page.evaluate(
            "([x, y]) => document.elementsFromPoint(x, y).map(one => one.tagName + ' ' + one.className)",
            [place["x"] + place["width"] / 2, place["y"] + place["height"] / 2],
        )
        head = next(i for i, one in enumerate(below) if "lapel-head" in one)
        assert not [one for one in below[:head] if one.startswith("IMG") or "lapel-words" in one]


# --- photos in --------------------------------------------------------------------------------------------------------


def test_a_heavy_file_and_a_wrong_one_get_a_sentence(visit: Visit, tmp_path: Path) -> None:
    (tmp_path / "big.jpg").write_bytes(heavy(21))
    page = visit()
    box = page.locator("input[type=file]")
    expect(box).to_have_attribute("accept", re.compile(r"^image/\*,.*\.jfif,"))  # a phone offers its photos
    page.set_input_files("input[type=file]", tmp_path / "big.jpg")
    expect(page.get_by_test_id("stAlert")).to_contain_text("big.jpg has 22.0 MB; a picture may have 20 MB")
    page.set_input_files("input[type=file]", {"name": "a.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7"})
    expect(page.get_by_test_id("stAlert")).to_contain_text("Not a picture")
