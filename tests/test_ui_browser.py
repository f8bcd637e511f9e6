"""The web page in Chromium: what a visitor does, on a desk and on a phone, by day and by night."""

from __future__ import annotations

import csv
import io
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="the page needs streamlit: pip install 'lapel[ui]'")
pytest.importorskip("playwright", reason="the browser tests need playwright: pip install playwright")

from PIL import Image
from playwright.sync_api import BrowserContext, Locator, Page, expect

from browser.chromium import PATIENCE, address, browser, go, profile, served, shop_folder, tab, visit, visitor
from browser.shop import draw
from lapel.service import open_store

__all__ = ["address", "browser", "profile", "shop_folder", "tab", "visit"]  # fixtures
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


def card(page: Page, place: int = 0) -> Locator:
    return page.locator(".gallery .card").nth(place)


def title(page: Page, place: int = 0) -> Locator:
    return card(page, place).locator(".title")


def rest(page: Page) -> None:
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")


def at(tab: Page, path: str = "") -> Page:
    """The tab at an address."""
    go(tab, path)
    return tab


def upload(page: Page, file: Path) -> None:
    rest(page)
    page.locator(".st-key-upload input[type=file]").set_input_files(file)


def test_an_uploaded_photo_finds_its_product_and_survives_a_reload(visit: Visit, shop_folder: Path) -> None:
    page = visit()
    upload(page, shop_folder / "pictures" / "27.png")
    expect(page.locator(".st-key-chips")).to_contain_text("Your photo")
    expect(title(page)).to_have_text("Green dress for men")
    expect(card(page).locator(".price")).to_have_text("37.50 EUR")
    expect(card(page).locator("img")).to_have_js_property("naturalWidth", 450)
    page.reload()
    expect(title(page)).to_have_text("Green dress for men")
    page.get_by_role("button", name="More like this: Green dress for men").click()
    page.wait_for_url("**product=W0027**")
    page.go_back()
    expect(page.locator(".st-key-chips")).not_to_contain_text("Like")
    page.get_by_role("button", name="New search").click()
    expect(page.get_by_role("heading", name="Find what looks like it.")).to_be_visible()


def test_back_from_a_product_leads_to_the_search_it_was_opened_from(visit: Visit) -> None:
    page = visit("?q=green")
    rest(page)
    card(page).locator(".open").click()
    page.wait_for_url("**/product?id=*")
    expect(page.get_by_role("button", name="Search look-alikes")).to_be_visible()
    rest(page)
    page.go_back()
    page.wait_for_url("**q=green")
    expect(page.locator(".st-key-chips")).to_contain_text("green")


def test_a_colour_that_is_picked_is_asked_for_after_a_click_beside_it(visit: Visit) -> None:
    page = visit("?q=dress")
    rest(page)
    page.locator(".st-key-a-tint button").click()
    page.locator("input[value='#808080']").click()
    page.keyboard.press("Control+A")
    page.keyboard.type("#00ff00")
    page.locator(".lapel-count").click()
    page.wait_for_url("**tint=00ff00**")
    expect(page.locator(".st-key-chips")).to_contain_text("Colour #00ff00")


def test_a_corrupt_file_is_explained_and_the_next_one_works(tab: Page, shop_folder: Path, tmp_path: Path) -> None:
    page = at(tab)
    cut = tmp_path / "cut.png"
    cut.write_bytes((shop_folder / "pictures" / "4.png").read_bytes()[:300])
    upload(page, cut)
    expect(page.get_by_role("alert")).to_contain_text("damaged or cut short")
    upload(page, shop_folder / "pictures" / "4.png")
    expect(title(page)).to_have_text("Red t-shirt for women")


def test_a_picture_is_pasted_and_words_are_added(tab: Page, shop_folder: Path) -> None:
    page = at(tab)
    box = page.locator(".st-key-box textarea")
    expect(box).to_be_visible()
    rest(page)
    data = list((shop_folder / "pictures" / "26.png").read_bytes())
    box.evaluate(
        """(box, data) => {
            const held = new DataTransfer();
            held.items.add(new File([new Uint8Array(data)], "pasted.png", {type: "image/png"}));
            box.dispatchEvent(new ClipboardEvent("paste", {clipboardData: held, bubbles: true, cancelable: true}));
        }""",
        data,
    )
    expect(page.locator(".st-key-box")).to_contain_text("pasted.png")
    expect(page.locator(".st-key-box [data-testid=stChatInputSubmitButton]")).to_be_enabled()  # the file has arrived
    box.press("Enter")
    expect(page.locator(".st-key-chips")).to_contain_text("Your photo")
    expect(title(page)).to_have_text("Green dress for women")
    rest(page)
    page.locator(".st-key-box textarea").fill("yellow")
    page.locator(".st-key-box textarea").press("Enter")
    expect(page.locator(".st-key-chips")).to_contain_text("“yellow”")


def test_a_link_and_the_camera(tab: Page, links: str) -> None:
    page = at(tab)
    box = page.locator(".st-key-box textarea")
    box.fill(f"{links}/nothing.png")
    box.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("404")
    box.fill(f"{links}/pictures/36.png")
    box.press("Enter")
    expect(title(page)).to_have_text("Green tote for women")
    page.get_by_role("button", name="Photograph").click()
    page.wait_for_function("document.querySelector('video')?.readyState === 4")
    page.get_by_role("button", name="Take Photo").click()
    page.wait_for_url(lambda url: "photo=" in url)
    expect(page.locator(".st-key-chips")).to_contain_text("Your photo")
    rest(page)


def test_words_more_less_chips_and_back(visit: Visit) -> None:
    page = visit()
    rest(page)
    page.locator(".st-key-box textarea").fill("red dress")
    page.locator(".st-key-box textarea").press("Enter")
    expect(title(page)).to_have_text("Red dress for women")
    page.get_by_role("button", name="Less like this: Red dress for women").click()
    expect(page.locator(".st-key-chips")).to_contain_text("Unlike Red dress for women")
    page.locator(".st-key-chips").get_by_role("button", name="Unlike Red dress for women").click()
    expect(page.locator(".st-key-chips")).not_to_contain_text("Unlike")
    page.get_by_role("button", name="New search").click()
    expect(page.get_by_role("heading", name="Find what looks like it.")).to_be_visible()
    page.get_by_role("button", name="History").click()
    page.get_by_role("button", name="“red dress” · Unlike W0024").click()
    expect(page.locator(".st-key-chips")).to_contain_text("Unlike Red dress for women")


def test_filters_change_the_answer_and_survive_a_reload(tab: Page) -> None:
    page = at(tab, "?product=W0000")
    expect(page.locator(".lapel-count")).to_contain_text("The 39 nearest of 40 products")
    page.locator(".st-key-f-colour button").filter(has_text="Red").click()
    expect(page.locator(".lapel-count")).to_contain_text("The 8 nearest of 8")
    page.get_by_role("combobox", name="Category").click()
    page.get_by_role("option", name="Accessories").click()
    expect(page.locator(".lapel-count")).to_contain_text("The 2 nearest of 2")
    page.reload()
    expect(page.locator(".lapel-count")).to_contain_text("The 2 nearest of 2")
    page.locator(".st-key-chips").get_by_role("button", name="Accessories").click()
    expect(page.locator(".lapel-count")).to_contain_text("The 8 nearest of 8")
    go(page, "?product=W0000&colour=Red&price=10-11")
    expect(page.get_by_role("heading", name="No product passes these filters")).to_be_visible()
    page.get_by_role("button", name="Clear filters").click()
    expect(page.locator(".lapel-count")).to_contain_text("The 39 nearest of 40 products")


def test_a_part_of_the_picture_is_chosen_by_dragging_and_by_the_keyboard(tab: Page, shop_folder: Path) -> None:
    page = at(tab)
    upload(page, shop_folder / "pictures" / "27.png")
    expect(title(page)).to_have_text("Green dress for men")
    page.get_by_role("button", name="Refine").click()
    frame = page.locator(".crop .frame")
    expect(frame).to_be_visible()
    page.wait_for_function("[...document.images].every(image => image.complete)")
    rest(page)
    box = frame.bounding_box()
    assert box
    page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 0.1 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.6 * box["height"])
    page.mouse.up()
    page.wait_for_url(re.compile(r"box=0\.1\d*-0\.\d+-0\.[89]\d*-0\.\d+"))
    rest(page)
    frame.focus()
    page.keyboard.press("Backspace")
    page.wait_for_url(lambda url: "box=" not in url)


def test_a_product_its_rows_and_back_to_a_search(tab: Page) -> None:
    page = at(tab, "?product=W0000")
    card(page).locator(".open").click()
    page.wait_for_url("**/product?id=W0001")
    expect(page.get_by_role("heading", name="Black t-shirt for men")).to_be_visible()
    expect(page.get_by_role("heading", name="Looks like it")).to_be_visible()
    card(page).locator(".open").click()
    page.wait_for_url("**/product?id=W0000")
    page.get_by_role("button", name="Search look-alikes").click()
    expect(page.locator(".lapel-count")).to_contain_text("nearest of 40")
    card(page).hover()
    page.get_by_role("button", name="Copy link: Black t-shirt for men").click()
    assert page.evaluate("navigator.clipboard.readText()").endswith("/product?id=W0001")


def test_wandering_follows_what_is_tapped(tab: Page) -> None:
    page = at(tab, "discover")
    expect(card(page)).to_be_visible()
    # The address is another one when the run ends, as after a quick Back: what is shown is what it shall say.
    page.get_by_role("button", name=re.compile("^I like it:")).first.evaluate(
        """button => {
            const app = document.querySelector("[data-testid=stApp]");
            new MutationObserver((_, watcher) => {
                if (app.getAttribute("data-test-script-state") !== "running") return;
                watcher.disconnect();
                history.replaceState({}, "", "/discover?product=W0002");
            }).observe(app, {attributes: true});
            button.click();
        }"""
    )
    expect(page.get_by_text("You said yes to 1 and no to 0.")).to_be_visible()
    expect(page).to_have_url(re.compile("/discover$"))
    page.get_by_role("button", name=re.compile("^Not for me:")).first.click()
    expect(page.get_by_text("You said yes to 1 and no to 1.")).to_be_visible()
    page.get_by_role("button", name="Start afresh").click()
    expect(page.get_by_text("There is no query.")).to_be_visible()


def test_insight_is_decided_on_by_keyboard_and_taken_away(profile: BrowserContext, tmp_path: Path) -> None:
    """Two pictures listed twice, and one that is watched for."""
    for name, colour in (("a", "Red"), ("b", "Red"), ("c", "Green"), ("d", "Green")):
        draw("Dress", colour).save(tmp_path / f"{name}.png")
    with open_store(tmp_path / "shop", create=True, encoder="colour:") as store:
        store.add(tmp_path)
        store.watching.add("own", tmp_path / "a.png")
        store.watch(tmp_path / "b.png")

    def downloaded(button: str) -> list[dict[str, str]]:
        with page.expect_download() as got:
            page.get_by_role("button", name=button).click()
        return list(csv.DictReader(io.StringIO(Path(got.value.path()).read_text("utf-8"))))

    with served(tmp_path / "shop", tmp_path / "log") as root, visitor(profile, root) as open_page:
        page = open_page("insight?question=duplicates")  # by its address, where Streamlit guesses wrong at first
        page.get_by_role("button", name="Look for it").click()
        expect(page.get_by_role("heading", name="The same picture twice")).to_be_visible()
        expect(page.get_by_role("button", name="Yes, and next")).to_be_visible()
        page.keyboard.press("j")
        expect(page.get_by_text("2 of 2; 1 decided")).to_be_visible()
        page.keyboard.press("k")
        expect(page.get_by_text("All 2 are decided on")).to_be_visible()
        told = [(row["product"], row["decision"]) for row in downloaded("Download the decisions")]
        assert sorted(told) == [("a", "yes"), ("b", "yes"), ("c", "no"), ("d", "no")]
        page.get_by_role("radio", name="Watch queue").or_(page.get_by_role("button", name="Watch queue")).first.click()
        page.wait_for_url("**question=watch")
        expect(page.get_by_text("Is it a copy?")).to_be_visible()
        expect(page.get_by_role("button", name="Yes, and next")).to_be_visible()  # which listens for the key
        for wait in (5_000, PATIENCE):  # on a slow machine the button is there a moment before it listens
            page.keyboard.press("j")
            with suppress(AssertionError):
                expect(page.get_by_text("The queue is empty")).to_be_visible(timeout=wait)
                break
        expect(page.get_by_text("The queue is empty")).to_be_visible()
        assert [row["state"] for row in downloaded("Download as CSV")] == ["confirmed"]
        page.go_back()
        expect(page.get_by_text("All 2 are decided on")).to_be_visible()


def test_the_keyboard_reaches_a_card_and_the_focus_shows(tab: Page) -> None:
    page = at(tab, "?product=W0000")
    card(page).locator(".open").focus()
    outline = "one => getComputedStyle(one).outlineWidth"
    for _ in range(2):  # past the link to copy, onto "More"
        page.keyboard.press("Tab")
    inside = page.evaluate_handle(
        """() => {
            let one = document.activeElement;
            while (one.shadowRoot) one = one.shadowRoot.activeElement;
            return one;
        }"""
    ).as_element()
    assert inside is not None
    assert inside.evaluate(outline) == "2px"
    page.keyboard.press("Enter")
    page.wait_for_url("**product=W0001")


def test_text_of_the_catalogue_is_never_markup(tab: Page) -> None:
    page = at(tab, "?colour=%3Cscript%3Ealert(1)%3C/script%3E&product=%3Cimg%20src=x%20onerror=alert(1)%3E")
    expect(page.get_by_role("alert").first).to_contain_text("<script>alert(1)</script>")
    expect(page.locator("img[src='x']")).to_have_count(0)


def test_the_photos_of_the_shop_differ() -> None:
    assert draw("Tote", "Red").tobytes() != draw("Tote", "Green").tobytes()


def test_a_photo_comes_from_its_link_and_from_the_store_when_that_fails(
    profile: BrowserContext, address: str, shop_folder: Path
) -> None:
    """The store's picture of W0011 is a pair of black trousers on white; its link gives a plain blue, and then fails
    (under a new name, as a browser keeps what it has)."""
    stream = io.BytesIO()
    Image.new("RGB", (300, 400), (0, 0, 255)).save(stream, "PNG")
    page = profile.new_page()
    page.route(
        "https://cdn.invalid/there.png?w=450&q=8",
        lambda route: route.fulfill(body=stream.getvalue(), content_type="image/png"),
    )
    page.route("https://cdn.invalid/gone.png?w=450&q=8", lambda route: route.abort())
    for name, wanted in (("there", (0, 0, 255)), ("gone", (23, 23, 26))):
        with sqlite3.connect(shop_folder / "shop" / "catalog.sqlite") as database:
            database.execute(
                "UPDATE photo SET thumbnail_link = ? WHERE product_row = (SELECT row FROM product WHERE id = 'W0011')",
                (f"https://cdn.invalid/{name}.png?w=450&q=8",),
            )
            database.execute(
                "INSERT INTO change_log (generation, at, kind, product_id, photo_key, detail)"
                " VALUES (0, '', 'product_changed', 'W0011', NULL, '{}')"
            )
        database.close()
        if name == "there":
            page.goto(f"{address}/?product=W0021")
        else:
            go(page, "?product=W0021&colour=Black")
            expect(page.locator(".lapel-count")).to_contain_text("of 8")
        expect(title(page)).to_have_text("Black trousers for men")
        page.wait_for_timeout(1500)
        box = card(page).locator(".frame").bounding_box()
        assert box
        seen = Image.open(io.BytesIO(page.screenshot(clip=box))).convert("RGB")
        middle = seen.getpixel((seen.width // 2, seen.height // 2))
        assert max(abs(one - other) for one, other in zip(middle, wanted, strict=True)) < 6, name
    page.close()
