"""A real browser before the real server: fixtures that also watch that nothing leaves the machine and nothing is
reported wrong."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

pytest.importorskip("playwright", reason="the browser tests need playwright: pip install playwright")

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from browser.shop import fill_shop
from lapel.apps.ui import command

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
)
LOCAL = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:http://127.0.0.1:")
DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
PATIENCE = 20_000  # milliseconds
expect.set_options(timeout=PATIENCE)  # its own 5 seconds are too few on a busy machine


def chromium_path() -> str:
    """Where Chromium is; empty where there is none."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or ""


@pytest.fixture(scope="module")  # each module that imports it has one of its own, and two at once cannot be
def browser() -> Iterator[Browser]:
    path = chromium_path()
    if not path:
        pytest.skip("there is no Chromium: apt-get install chromium, or set CHROMIUM to its path")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def shop_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds pictures/, products.csv and the store shop/. The picture of W0038 is gone."""
    folder = tmp_path_factory.mktemp("browser")
    fill_shop(folder)
    (folder / "pictures" / "38.png").unlink()
    return folder


@contextmanager
def served(store: Path, log: Path) -> Iterator[str]:
    """Where the page of a store is served. Afterwards the server's log must be free of warnings."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "LAPEL_ALLOW_PRIVATE_LINKS": "1",
        "PYTHONWARNINGS": "default::DeprecationWarning:lapel",
    }
    with log.open("wb") as stream:
        server = subprocess.Popen(command(store, port=port), stdout=stream, stderr=stream, env=environment)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2).close()
                break
            except OSError:
                assert server.poll() is None, log.read_text(encoding="utf-8")
                assert time.monotonic() < deadline, "the server did not answer within a minute"
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=20)
    text = log.read_text(encoding="utf-8")
    assert not [word for word in ("Warning", "warning", "eprecat", "Traceback", "Error") if word in text], text


@pytest.fixture(scope="module")
def address(browser: Browser, shop_folder: Path) -> Iterator[str]:
    """Where the page of the shop is served."""
    with served(shop_folder / "shop", shop_folder / "server.log") as root:
        yield root


def is_wrong(message: ConsoleMessage) -> bool:
    """Whether the page reported an error.

    Streamlit forgets a page's pictures when the next one is drawn, so a click before they have arrived ends some of
    their requests with 404. Nobody sees it, as these pictures are gone from the page, and a test cannot click only
    slowly.
    """
    place = f"{message.text} {message.location.get('url', '')}"
    # Streamlit's script guesses where its server is when a page of its own address is opened, and guesses wrong first.
    guessed = "/_stcore/host-config" in place or "/_stcore/health" in place
    return message.type == "error" and "/media/" not in place and not guessed


@pytest.fixture(scope="module")
def profile(browser: Browser) -> Iterator[BrowserContext]:
    """One profile for all tests of a module, so that Streamlit's own scripts, some megabytes, are read once.

    Every page is a new visitor all the same: Streamlit keeps a session by its WebSocket. Motion is reduced, as drawing
    it takes two fifths of the processor time of a visit.
    """
    profile = browser.new_context(
        viewport=DESKTOP,
        color_scheme="light",
        reduced_motion="reduce",
        permissions=["camera", "clipboard-read", "clipboard-write"],
    )  # type: ignore[arg-type]
    profile.set_default_timeout(PATIENCE)
    profile.add_init_script("localStorage.clear()")  # such as that the last visitor left the filters open
    yield profile
    profile.close()


@contextmanager
def visitor(profile: BrowserContext, address: str) -> Iterator[Callable[..., Page]]:
    """Opens pages of a server: ``open_page("?product=W0000", viewport=PHONE, color_scheme="dark")``.

    At the end none of them may have asked anybody but this machine, and none may have reported an error.
    """
    pages = []
    seen: list[str] = []
    wrong: list[str] = []

    def open_page(path: str = "", *, root: str = address, viewport: Any = DESKTOP, color_scheme: Any = "light") -> Page:
        page = profile.new_page()
        pages.append(page)
        page.set_viewport_size(viewport)
        page.emulate_media(color_scheme=color_scheme, reduced_motion="reduce")
        page.on("request", lambda request: seen.append(request.url))
        page.on("websocket", lambda socket: seen.append(socket.url))
        page.on("console", lambda message: wrong.append(message.text) if is_wrong(message) else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(f"{root}/{path}")
        page.wait_for_selector(".st-key-foot", timeout=3 * PATIENCE)  # the first visitor waits for imports
        return page

    yield open_page
    for page in pages:
        page.close()
    assert seen
    assert not [url for url in seen if not url.startswith(LOCAL)], "something left the machine"
    assert not wrong, wrong


@pytest.fixture
def visit(profile: BrowserContext, address: str) -> Iterator[Callable[..., Page]]:
    """Opens a page of the server, see :func:`visitor`."""
    with visitor(profile, address) as open_page:
        yield open_page


@pytest.fixture(scope="module")
def tab(profile: BrowserContext, address: str) -> Iterator[Page]:
    """One tab for tests that need no new visitor, who costs more than most tests; see :func:`go`."""
    with visitor(profile, address) as open_page:
        yield open_page()


GO = """
path => new Promise(done => {
  const app = document.querySelector("[data-testid=stApp]");
  const watcher = new MutationObserver(() => end(app.getAttribute("data-test-script-state") === "running"));
  const end = seen => { if (seen) { watcher.disconnect(); done(); } };
  watcher.observe(app, {attributes: true});
  const stays = new URL(path, location).href === location.href;
  setTimeout(end, stays ? 2000 : PATIENCE, true);  // nothing runs where the address stays as it is
  history.pushState({}, "", path);
  dispatchEvent(new PopStateEvent("popstate"));
})
""".replace("PATIENCE", str(PATIENCE))


def go(page: Page, path: str) -> None:
    """Go to another address of the page as the browser's Back does, which loads no script anew, and wait for it."""
    still = "[data-testid=stApp][data-test-script-state=notRunning]"
    page.wait_for_selector(still)  # a run that is under way would write its own address
    page.evaluate(GO, f"/{path}")
    page.wait_for_selector(still)
