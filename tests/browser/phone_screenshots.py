"""Pictures of every state of the phone page, light and dark, as a phone of 375 pixels shows them.

python -m browser.phone_screenshots STORE PHOTO OUT     (in tests/; PHOTO is a picture of a garment)
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, Route, sync_playwright

import lapel
from api_shop import running
from browser.chromium import FLAGS, chromium_path
from lapel.apps.api import create_app

PHONE = {
    "viewport": {"width": 375, "height": 740},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
    "user_agent": "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140 Mobile",
}
Shoot = Callable[[str], None]


def pick(page: Page, photo: Path) -> None:
    """Choose a picture, and wait until it can be cropped."""
    page.locator("input[type=file]").first.set_input_files(photo)
    page.wait_for_selector(".crop .corner")


def search(page: Page, photo: Path) -> None:
    """Choose a picture and search with it."""
    pick(page, photo)
    page.locator(".crop .main").click()
    page.wait_for_selector(".results .card img, .results .state")


def pretend(page: Page, status: int, told: dict[str, object], headers: dict[str, str] | None = None) -> None:
    """Let the API answer searches with this."""

    def answer(route: Route) -> None:
        kind = "application/json" if status == 200 else "application/problem+json"
        route.fulfill(status=status, content_type=kind, body=json.dumps(told), headers=headers or {})

    page.route("**/v1/search", answer)


def states(page: Page, address: str, photo: Path, shoot: Shoot) -> None:
    """Walk through the page."""
    page.goto(f"{address}/m/")
    page.wait_for_selector(".start")
    shoot("start")
    page.get_by_role("button", name="Take a photo").click()
    page.wait_for_selector(".shutter:not([disabled])")
    shoot("camera")
    page.locator(".shutter").click()
    page.wait_for_selector(".crop .corner")
    page.goto(f"{address}/m/")
    pick(page, photo)
    page.get_by_text("Tap a garment").wait_for()
    shoot("crop")
    page.locator(".crop .main").click()
    page.wait_for_selector(".card.waiting")
    shoot("searching")
    page.wait_for_selector(".card button img")
    shoot("results")
    page.locator(".card button").first.click()
    page.wait_for_selector("dialog[open]")
    shoot("product")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Filters").click()
    page.wait_for_selector(".values")
    shoot("filters")
    page.locator(".values button").first.click()
    page.wait_for_selector(".values button[aria-pressed=true]")
    page.get_by_role("button", name="Show results").click()
    page.wait_for_selector(".chips button")
    page.wait_for_selector(".card button img")
    shoot("filtered")
    page.get_by_role("button", name="Back").click()
    page.wait_for_selector(".recent li")
    shoot("recent")
    page.get_by_role("button", name="Settings").click()
    page.wait_for_selector("dialog[open]")
    page.wait_for_timeout(1500)
    shoot("settings")
    page.locator("#language").select_option("de")
    page.keyboard.press("Escape")
    shoot("start-german")


def other_states(page: Page, address: str, photo: Path, shoot: Shoot) -> None:
    """What is shown where there is nothing to show."""
    empty = {"hits": [], "verdict": "nothing close", "total": 0, "facets": {}, "took_ms": {}, "model": "", "index": ""}
    problem = {"title": "", "status": 0, "detail": "", "request_id": "", "type": ""}
    cases: list[tuple[str, int, dict[str, object], dict[str, str]]] = [
        ("nothing-close", 200, empty, {}),
        ("nothing-passes", 200, {**empty, "verdict": "nothing passes the filter"}, {}),
        ("needs-key", 401, {**problem, "code": "key_missing"}, {}),
        ("busy", 429, {**problem, "code": "overloaded"}, {"Retry-After": "7"}),
        ("failed", 503, {**problem, "code": "store_error", "detail": "The shop or its index cannot be used now."}, {}),
    ]
    for name, status, told, headers in cases:
        page.goto(f"{address}/m/")
        pretend(page, status, told, headers)
        search(page, photo)
        shoot(name)
        page.unroute("**/v1/search")
    page.goto(f"{address}/m/")
    page.wait_for_selector(".start")
    pick(page, photo)
    page.context.set_offline(True)
    page.locator(".crop .main").click()
    page.wait_for_selector(".results .state")
    shoot("offline")
    page.context.set_offline(False)


def shoot_all(browser: Browser, address: str, photo: Path, out: Path) -> list[str]:
    """Every state in both schemes; returns what the browser reported wrong."""
    wrong: list[str] = []
    out.mkdir(parents=True, exist_ok=True)
    for scheme in ("light", "dark"):
        context = browser.new_context(**PHONE, color_scheme=scheme, locale="en-GB", permissions=["camera"])  # type: ignore[arg-type]
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))

        def shoot(name: str, page: Page = page, scheme: str = scheme) -> None:
            page.wait_for_timeout(350)
            page.screenshot(path=out / f"phone-{name}-{scheme}.png")

        states(page, address, photo, shoot)
        context.close()
        context = browser.new_context(**PHONE, color_scheme=scheme, locale="en-GB", service_workers="block")  # type: ignore[arg-type]
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        other_states(page, address, photo, lambda name, page=page, scheme=scheme: shoot(name, page, scheme))  # type: ignore[misc]
        context.close()
    return wrong


if __name__ == "__main__":
    with (
        lapel.open_store(sys.argv[1]) as store,
        running(create_app(store)) as client,
        sync_playwright() as playwright,
    ):
        client.post("/v1/search", json={"text": "dress"})  # opens what reads words
        chromium = playwright.chromium.launch(executable_path=chromium_path(), args=list(FLAGS))
        found = shoot_all(chromium, str(client.base_url).rstrip("/"), Path(sys.argv[2]), Path(sys.argv[3]))
        chromium.close()
    print(*found, sep="\n")
