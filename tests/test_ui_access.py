"""The page for everybody, in Chromium: axe and contrast on each page, by day and by night, and a live region."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("streamlit", reason="the page needs streamlit: pip install 'lapel[ui]'")
pytest.importorskip("playwright", reason="the browser tests need playwright: pip install playwright")
pytest.importorskip("axe_playwright_python", reason="these tests need axe: pip install axe-playwright-python")

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from browser.chromium import browser, profile, served, visit
from browser.contrast import faint
from inputs.page import boutique

__all__ = ["browser", "profile", "visit"]  # fixtures
Visit = Callable[..., Page]
SERIOUS = ("serious", "critical")
PATHS = {
    "start": "",
    "results": "?product=B004&colour=Red&size=M&currency=EUR",
    "nothing": "?product=B004&size=M&brand=Kestrel",
    "gone": "?product=B999&colour=Mauve",
    "product": "product?id=B004",
    "discover": "discover",
    "catalogue": "catalogue",
    "prove": "prove",
    "status": "status",
}


@pytest.fixture(scope="module")
def address(profile: BrowserContext, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the page of a shop with addresses, currencies and many fields is served."""
    folder = tmp_path_factory.mktemp("access")
    with served(boutique(folder), folder / "server.log") as root:
        yield root


def rest(page: Page) -> None:
    """Wait until the script has run, and nothing fades in any more."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')")
    page.wait_for_function("document.getAnimations().every(one => one.playState != 'running')")


@pytest.mark.parametrize("name", PATHS)
def test_axe_finds_nothing_serious_and_every_text_can_be_read(visit: Visit, name: str) -> None:
    page = visit(PATHS[name])
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        rest(page)
        page.wait_for_timeout(400)
        found = [one for one in Axe().run(page).response["violations"] if one["impact"] in SERIOUS]
        assert not found, [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found]
        assert faint(page) == [], scheme


def test_a_screen_reader_hears_how_many_results_there_are(visit: Visit) -> None:
    page = visit("?product=B004")
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
