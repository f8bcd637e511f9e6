"""The page for everybody, in Chromium: axe and contrast in each state, by day and by night, nothing to scroll sideways
for, the keyboard alone, and a live region."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="the page needs streamlit: pip install 'lapel[ui]'")
pytest.importorskip("playwright", reason="the browser tests need playwright: pip install playwright")
pytest.importorskip("axe_playwright_python", reason="these tests need axe: pip install axe-playwright-python")

from playwright.sync_api import BrowserContext, Page, expect

from browser.access import serious, sideways
from browser.chromium import DESKTOP, PATIENCE, browser, go, profile, served, tab, visit
from browser.contrast import faint
from browser.shop import draw
from inputs.page import boutique, rename

__all__ = ["browser", "profile", "tab", "visit"]  # fixtures
Visit = Callable[..., Page]
WIDTHS = (1440, 768, 375)
PATHS = {
    "start": "",
    "results": "?product=B004&colour=Red&size=M&currency=EUR",
    "nothing": "?product=B004&size=M&brand=Kestrel",
    "gone": "?product=B999&colour=Mauve",
    "product": "product?id=B004",
    "discover": "discover",
    "map": "map",
    "catalogue": "catalogue",
    "insight": "insight?question=duplicates",
    "prove": "prove",
    "status": "status",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop with addresses, currencies and many fields."""
    return boutique(tmp_path_factory.mktemp("access"))


@pytest.fixture(scope="module")
def address(profile: BrowserContext, store: Path) -> Iterator[str]:
    """Where its page is served."""
    with served(store, store.parent / "server.log") as root:
        yield root


def rest(page: Page) -> None:
    """Wait until the script has run, and nothing fades in any more."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')")
    page.wait_for_function("document.getAnimations().every(one => one.playState != 'running')")


def check(page: Page) -> None:
    """Nothing serious for axe on a desk by day and on a phone by night, every text can be read in both, and no width
    needs scrolling sideways."""
    try:
        for width, scheme in zip(WIDTHS, ("light", "dark", "dark"), strict=True):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            page.wait_for_timeout(200)
            rest(page)
            assert sideways(page) == [], width
            assert faint(page) == [], (width, scheme)
            if width != 768:
                assert serious(page) == [], (width, scheme)
    finally:
        page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]
        page.emulate_media(color_scheme="light", reduced_motion="reduce")


@pytest.mark.parametrize("name", PATHS)
def test_axe_finds_nothing_serious_and_every_text_can_be_read(tab: Page, name: str) -> None:
    go(tab, PATHS[name])
    if name == "map":
        tab.frame_locator("iframe[title=Map]").locator("canvas").first.wait_for(timeout=6 * PATIENCE)
    if name == "insight":
        tab.get_by_role("button", name="Look for it").click()
        expect(tab.get_by_role("button", name="Yes, and next")).to_be_visible(timeout=6 * PATIENCE)
    check(tab)


def test_a_picture_its_crop_and_why_can_be_read_too(tab: Page) -> None:
    go(tab, "")
    expect(tab.get_by_role("heading", name="Find what looks like it.")).to_be_visible()
    stream = io.BytesIO()
    draw("Dress", "Green", 24).save(stream, "PNG")
    picture = {"name": "dress.png", "mimeType": "image/png", "buffer": stream.getvalue()}
    tab.locator(".st-key-upload input[type=file]").set_input_files(files=[picture])  # type: ignore[list-item]
    expect(tab.locator(".st-key-chips")).to_contain_text("Your photo")
    rest(tab)
    tab.get_by_role("button", name="Refine").click()
    expect(tab.locator(".crop .frame")).to_be_visible()
    check(tab)
    tab.keyboard.press("Escape")
    tab.locator(".gallery .card button[data-action=why]").first.click()
    expect(tab.get_by_role("dialog")).to_contain_text("Green dress")
    rest(tab)
    check(tab)
    tab.keyboard.press("Escape")
    expect(tab.get_by_role("dialog")).to_have_count(0)


FOCUSED = """() => {
    let one = document.activeElement;
    while (one?.shadowRoot?.activeElement) one = one.shadowRoot.activeElement;
    return one?.getAttribute('aria-label') ?? one?.getAttribute('placeholder') ?? one?.textContent ?? '';
}"""


def tab_to(page: Page, name: str, most: int = 20) -> None:
    """Press Tab until the focus is on what has this name."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate(FOCUSED).startswith(name):
            return
    raise AssertionError(f"{most} times Tab do not reach {name!r}")


def test_the_keyboard_alone_searches_asks_why_and_comes_back_to_where_it_was(tab: Page) -> None:
    page = tab
    go(page, "")
    expect(page.get_by_role("heading", name="Find what looks like it.")).to_be_visible()
    rest(page)
    page.evaluate("document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')")
    tab_to(page, "Skip to main content", 1)
    page.keyboard.press("Enter")
    tab_to(page, "Words, a link or a picture", 2)
    page.keyboard.type("red dress")
    page.keyboard.press("Enter")
    expect(page.locator(".st-key-chips")).to_contain_text("“red dress”")
    rest(page)
    tab_to(page, "Why this is here: Red dress")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    rest(page)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.wait_for_function(f"({FOCUSED})().startsWith('Why this is here: Red dress')")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".st-key-chips")).to_contain_text("Unlike Red dress")


def test_a_screen_reader_hears_how_many_results_there_are(tab: Page) -> None:
    go(tab, "?product=B004")
    page = tab
    line = page.locator("#lapel-status")
    expect(line).to_have_text("The 39 nearest of 40 products")
    line.evaluate("line => { window.sameLine = line }")
    page.locator(".st-key-f-colour button").filter(has_text="Navy").click()
    expect(line).to_have_text("The 8 nearest of 8 products")
    assert page.evaluate("window.sameLine === document.getElementById('lapel-status')")  # a new one would be silent
    names = page.locator("button[data-action]").evaluate_all("all => all.map(one => one.getAttribute('aria-label'))")
    assert len(names) == len(set(names)) == 24  # three buttons a product, each named by its product


def test_the_filters_of_a_phone_have_a_button_that_says_how_many_results_and_closes_them(visit: Visit) -> None:
    page = visit("?product=B004", viewport={"width": 375, "height": 844})
    rest(page)
    page.get_by_test_id("stExpandSidebarButton").click()
    done = page.locator(".lapel-done button")
    page.locator(".st-key-f-colour button").filter(has_text="Navy").click()
    expect(done).to_have_text("Show 8 results")
    done.click()
    expect(page.get_by_test_id("stExpandSidebarButton")).to_be_visible()
    expect(page.locator(".lapel-count")).to_contain_text("The 8 nearest of 8")


def test_names_of_any_kind_leave_the_layout_as_it_is(tab: Page, store: Path) -> None:
    """The shop renames products under the open page: the longest word, emoji, right to left, markup. The last test of
    this shop."""
    renamed = rename(store)
    for path in ("", f"?product={renamed[1]}&product={renamed[0]}", *(f"product?id={each}" for each in renamed)):
        go(tab, path)
        expect(tab.locator(".gallery .card").first).to_be_visible()
        for width in WIDTHS:
            tab.set_viewport_size({"width": width, "height": 900})
            rest(tab)
            assert sideways(tab) == [], (path, width)
    tab.set_viewport_size(DESKTOP)  # type: ignore[arg-type]
    assert tab.locator("img[src='x'], .lapel-facts b").count() == 0
