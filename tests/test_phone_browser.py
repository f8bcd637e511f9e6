"""The phone page and the widget in a real browser that plays a phone: camera, gallery, crop, filters, no network."""

from __future__ import annotations

import gzip
import http.server
import io
import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("playwright", reason="the browser tests need playwright: pip install playwright")
pytest.importorskip("axe_playwright_python", reason="the browser tests need axe-playwright-python")

from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect

import lapel
from api_shop import running
from browser.chromium import browser
from browser.phone_screenshots import PHONE, pick, pretend, search
from browser.shop import draw
from lapel.apps.api import ApiOptions, create_app
from lapel.apps.api.pages import STATIC

__all__ = ["browser"]
MAX_WIDGET_BYTES = 15_000  # packed by gzip
COLOURS = ("Red", "Navy", "Green")
CUTS = ("T-shirt", "Dress", "Tote")

pytestmark = pytest.mark.skipif(
    not (STATIC / "widget.js").exists(), reason="the phone page is not built: make web (it needs npm)"
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine drawn products, encoded by the model for phones."""
    folder = tmp_path_factory.mktemp("phone-shop")
    rows = ["id,title,category,gender,colour,price,currency,pictures,url"]
    for cut in CUTS:
        for colour in COLOURS:
            draw(cut, colour).save(folder / f"{cut}-{colour}.png")
            rows.append(f"{cut}-{colour},{colour} {cut},Apparel > {cut},Women,{colour},20,EUR,{cut}-{colour}.png,")
    (folder / "products.csv").write_text("\n".join(rows), encoding="utf-8")
    with lapel.open_store(folder / "shop", create=True, encoder="small") as store:
        store.add(folder / "products.csv")
    return folder


@pytest.fixture(scope="module")
def server(shop: Path) -> Iterator[httpx.Client]:
    with (
        lapel.open_store(shop / "shop") as store,
        running(create_app(store, ApiOptions(origins=("*",)))) as client,
    ):
        client.post("/v1/search", json={"text": "dress"})  # opens what reads words
        yield client


@pytest.fixture
def address(server: httpx.Client) -> str:
    return str(server.base_url).rstrip("/")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A red dress on a floor, as a phone takes it."""
    floor = Image.new("RGB", (900, 1200), (150, 120, 95))
    dress = draw("Dress", "Red").resize((750, 1000))
    floor.paste(dress, (75, 100), dress.convert("L").point(lambda value: 0 if value > 235 else 255))
    floor.save(tmp_path / "photo.jpg", quality=90)
    return tmp_path / "photo.jpg"


@pytest.fixture
def phone(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Opens the page on a phone: ``phone(color_scheme="dark")``. Nothing may leave the machine, and nothing fail."""
    contexts: list[BrowserContext] = []
    seen: list[str] = []
    wrong: list[str] = []

    def open_page(path: str = "/m/", **more: Any) -> Page:
        context = browser.new_context(**{**PHONE, "locale": "en-GB", "permissions": ["camera"], **more})
        contexts.append(context)
        context.set_default_timeout(30_000)
        page = context.new_page()
        page.on("request", lambda request: seen.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console",
            lambda message: wrong.append(message.text) if "Content Security Policy" in message.text else None,
        )
        page.goto(address + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert seen
    assert not [url for url in seen if not url.startswith((address, "blob:", "data:"))], "something left the machine"
    assert not wrong, wrong


def titles(page: Page) -> list[str]:
    return page.locator(".card .title").all_inner_texts()


def accessible(page: Page) -> None:
    """No rule of WCAG's A and AA that axe knows is broken, neither in light colours nor in dark ones."""
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]})
        assert found.violations_count == 0, found.generate_report()


def test_a_picture_is_cropped_found_filtered_and_kept(phone: Any, photo: Path) -> None:
    page = phone(color_scheme="light")
    page.wait_for_selector(".start")
    accessible(page)
    sent: list[int] = []
    page.on(
        "request",
        lambda request: sent.append(len(request.post_data_buffer or b"")) if "/v1/se" in request.url else None,
    )
    pick(page, photo)
    page.locator(".corner").nth(0).press("ArrowRight")
    accessible(page)
    page.locator(".crop .main").click()
    page.wait_for_selector(".card button img")
    assert "Dress" in titles(page)[0]
    assert sent[0] < 100_000, "a resized picture is sent"
    accessible(page)
    page.get_by_role("button", name="Filters").click()
    accessible(page)
    page.locator(".values button", has_text="Navy").click()
    page.get_by_role("button", name="Show results").click()
    expect(page.locator(".chips button")).to_have_count(1)
    anyway = page.get_by_role("button", name="Show the nearest anyway")
    expect(page.locator(".card").first.or_(anyway)).to_be_visible()
    if anyway.is_visible():  # what is navy may be nothing close to a red dress
        anyway.click()
    expect(page.locator(".card")).to_have_count(3)
    assert all("Navy" in title for title in titles(page))
    page.locator(".card button").first.click()
    page.wait_for_selector("dialog[open] dl")
    accessible(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Back").click()
    expect(page.locator(".recent li")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["viewport"]["width"]  # type: ignore[index]
    page.get_by_role("button", name="Erase").click()
    expect(page.locator(".recent")).to_have_count(0)


def test_the_camera_takes_a_picture(phone: Any) -> None:
    page = phone()
    page.get_by_role("button", name="Take a photo").click()
    page.locator(".shutter:not([disabled])").click()
    page.wait_for_selector(".crop .corner")


def test_words_german_and_more_like_this(phone: Any) -> None:
    page = phone(locale="de-DE")
    page.get_by_role("searchbox").fill("rotes Kleid")
    page.get_by_role("searchbox").press("Enter")
    page.wait_for_selector(".card button img")
    assert page.locator("html").get_attribute("lang") == "de"
    page.locator(".card button").first.click()
    page.get_by_role("button", name="Ähnliche zeigen").click()
    expect(page.locator(".asked p").first).to_contain_text("Ähnlich wie")
    expect(page.locator(".card")).to_have_count(8)


def test_nothing_close_is_a_state_with_a_way_on(phone: Any, photo: Path, address: str) -> None:
    page = phone(service_workers="block")
    hit = {"rank": 1, "score": 0.2, "verdict": "nothing close", "product": {"id": "a"}, "photo": {"sha256": "0" * 64}}
    pretend(page, 200, {"hits": [hit], "verdict": "nothing close", "total": 9, "facets": {}, "took_ms": {}})
    search(page, photo)
    expect(page.get_by_role("heading", name="Nothing here is close to it.")).to_be_visible()
    expect(page.locator(".card")).to_have_count(0)
    accessible(page)
    page.get_by_role("button", name="Show the nearest anyway").click()
    expect(page.locator(".card")).to_have_count(1)
    page.unroute("**/v1/search")
    pretend(page, 429, {"code": "overloaded", "status": 429}, {"Retry-After": "7"})
    page.get_by_role("searchbox").fill("blue")
    page.get_by_role("searchbox").press("Enter")
    expect(page.get_by_role("heading", name="Try again in 7 seconds")).to_be_visible()


def test_a_key_in_the_link_is_kept_and_taken_out_of_the_address(phone: Any) -> None:
    page = phone("/m/#key=lapel_abc")
    page.wait_for_selector(".start")
    assert page.evaluate("location.hash") == ""
    page.get_by_role("searchbox").fill("dress")
    with page.expect_request("**/v1/search") as asked:
        page.get_by_role("searchbox").press("Enter")
    assert asked.value.headers["authorization"] == "Bearer lapel_abc"


def test_a_picture_that_another_app_shares_is_opened(phone: Any, photo: Path) -> None:
    page = phone()
    page.evaluate("navigator.serviceWorker.ready.then(() => undefined)")
    page.reload()
    data = list(photo.read_bytes())
    page.evaluate(
        """async data => {
          const form = new FormData();
          form.set('image', new File([new Uint8Array(data)], 'a.jpg', {type: 'image/jpeg'}));
          await fetch('/m/share', {method: 'POST', body: form});
        }""",
        data,
    )
    page.goto(page.url.split("?")[0] + "?shared")
    page.wait_for_selector(".crop .corner")


def test_on_the_device_only_numbers_are_sent_and_without_a_network_nothing(phone: Any, photo: Path, shop: Path) -> None:
    page = phone()
    page.evaluate("navigator.serviceWorker.ready.then(() => undefined)")
    page.get_by_role("button", name="Settings").click()
    page.locator("#device").click()
    expect(page.locator("#device")).to_be_checked(timeout=120_000)
    page.locator(".check input").check()
    page.get_by_role("button", name="Load the shop").click()
    expect(page.get_by_text("9 products")).to_be_visible(timeout=60_000)
    accessible(page)
    page.keyboard.press("Escape")
    sent: list[tuple[str, bytes]] = []
    page.on("request", lambda request: sent.append((request.url, request.post_data_buffer or b"")))
    search(page, photo)
    assert "Dress" in titles(page)[0]
    (body,) = [json.loads(data) for url, data in sent if url.endswith("/v1/search")]
    assert len(body["vector"]) == 128
    assert not [url for url, _ in sent if url.endswith("/v1/regions")]
    with lapel.open_store(shop / "shop") as store:
        theirs = store.embed(lapel.Query(image=sent_picture(page))).vector
    assert float(sum(a * b for a, b in zip(body["vector"], theirs.tolist(), strict=True))) > 0.97

    page.context.set_offline(True)
    page.reload()
    page.wait_for_selector(".start")
    search(page, photo)
    expect(page.get_by_text("nothing was sent")).to_be_visible()
    assert "Dress" in titles(page)[0]
    assert page.locator(".card img").first.get_attribute("src").startswith("blob:")
    page.get_by_role("button", name="Filters").click()
    page.locator(".values button", has_text="Navy").click()
    page.get_by_role("button", name="Show results").click()
    expect(page.locator(".card")).to_have_count(3)


def sent_picture(page: Page) -> bytes:
    """The picture that was searched with last, as the phone keeps it."""
    data: list[int] = page.evaluate(
        """() => new Promise(done => {
          indexedDB.open('lapel').onsuccess = ({target}) => {
            target.result.transaction('recent').objectStore('recent').getAll().onsuccess = ({target}) =>
              target.result.at(-1).image.arrayBuffer().then(bytes => done([...new Uint8Array(bytes)]));
          };
        })"""
    )
    return bytes(data)


# --- the widget -------------------------------------------------------------------------------------------------------


@pytest.fixture
def their_page(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Serves HTML as a shop of another origin does."""
    handler = partial(QuietHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def write(html: str) -> str:
            head = "<!doctype html><html lang=en><title>A shop</title><link rel=icon href=data:,><main><h1>Shop</h1>"
            (tmp_path / "shop.html").write_text(f"{head}{html}<p id=below>Below</p></main>", encoding="utf-8")
            return f"http://127.0.0.1:{server.server_port}/shop.html"

        yield write
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


SHIFTS = """
new Promise(done => {
  let sum = 0;
  new PerformanceObserver(list => { for (const each of list.getEntries()) sum += each.value; })
    .observe({type: 'layout-shift', buffered: true});
  setTimeout(() => done(sum), 300);
})
"""


def test_the_widget_shows_a_row_without_moving_the_page(browser: Browser, address: str, their_page: Any) -> None:
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    html = (
        f'<script src="{address}/widget.js" data-product="Dress-Red" data-row="similar" data-link="/p/{{id}}"></script>'
    )
    page.goto(their_page(html))
    row = page.locator("lapel-row")
    expect(row.locator("li")).to_have_count(8)
    assert "Dress" in row.locator(".title").first.inner_text()
    assert row.locator("a").first.get_attribute("href").startswith("/p/Dress-")
    assert page.evaluate(SHIFTS) == 0
    assert page.context.cookies() == []
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    accessible(page)
    clicks = page.evaluate_handle(
        """() => {
          const all = [];
          addEventListener('lapel-click', event => all.push(event.detail.product));
          document.querySelector('lapel-row').shadowRoot.addEventListener('click', event => event.preventDefault());
          return all;
        }"""
    )
    for _ in range(4):  # the two buttons, the list that scrolls, the first product
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert len(clicks.json_value()) == 1
    page.close()


def test_the_widget_shows_every_row(
    browser: Browser, server: httpx.Client, address: str, their_page: Callable[[str], str]
) -> None:
    event = {"id": "1", "person": "anna", "product": "Tote-Navy", "kind": "like", "time": "2026-11-29T10:00:00Z"}
    assert server.post("/v1/events", json={"events": [event]}).json()["added"] == 1
    page = browser.new_page(viewport={"width": 1000, "height": 1400})
    rows = {
        "together": 'row="together" product="Dress-Red"',
        "substitutes": 'row="substitutes" product="Dress-Red"',
        "basket": 'basket="Dress-Red;Tote-Red"',
        "unknown": 'row="best" product="Dress-Red"',
        "nothing": "",
    }
    html = "".join(f'<lapel-row id="{name}" api="{address}" {text}></lapel-row>' for name, text in rows.items())
    page.goto(their_page(f'{html}<script src="{address}/widget.js" data-row="for-you" data-person="anna"></script>'))
    mine = page.locator("script + lapel-row")
    expect(mine.locator("h2")).to_have_text("For you")
    expect(mine.locator(".title").first).to_contain_text("Tote")
    expect(page.locator("#together h2")).to_have_text("Goes with it")
    assert not any("Dress" in title for title in page.locator("#together .title").all_inner_texts())
    expect(page.locator("#substitutes li")).to_have_count(2)
    assert all("Dress" in title for title in page.locator("#substitutes .title").all_inner_texts())
    expect(page.locator("#basket h2")).to_have_text("Goes with it")
    assert not {"Red Dress", "Red Tote"} & set(page.locator("#basket .title").all_inner_texts())
    for name in ("unknown", "nothing"):
        expect(page.locator(f"#{name} li")).to_have_count(0)
        assert page.locator(f"#{name}").inner_text().strip() == ""
    list_id = page.evaluate(
        """() => new Promise(done => {
          const row = document.querySelector('script + lapel-row');
          row.addEventListener('lapel-loaded', event => done(event.detail.list));
          row.setAttribute('k', '3');
        })"""
    )
    shown = {each["list_id"]: each["products"] for each in server.get("/v1/people/anna").json()["lists"]}
    assert len(shown[list_id]) == 3
    page.close()


def test_the_widget_is_silent_where_the_api_is_away(browser: Browser, address: str, their_page: Any) -> None:
    page = browser.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.route("**/v1/*", lambda route: route.abort())
    html = f'<lapel-row row="for-you" api="{address}"></lapel-row>'
    page.goto(their_page(f'{html}<script src="{address}/widget.js" data-product="Dress-Red"></script>'))
    page.wait_for_selector("script + lapel-row", state="attached")
    page.wait_for_timeout(300)
    assert [each.strip() for each in page.locator("lapel-row").all_inner_texts()] == ["", ""]
    assert page.evaluate(SHIFTS) == 0
    assert not wrong
    page.close()


def test_the_widget_is_small() -> None:
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=6) as packed:
        packed.write((STATIC / "widget.js").read_bytes())
    assert len(stream.getvalue()) <= MAX_WIDGET_BYTES
