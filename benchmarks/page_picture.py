"""How long it takes in a browser from a picture to its painted gallery, and of what that is made.

    python benchmarks/page_picture.py .demo/shop --photos .demo/wardrobe/images --count 15 --at-once 10

Each picture is dropped on the start page of Chromium; the clock stops when every picture of the first screen is there
and was painted. Beside it, in the same run: encoding the picture and the whole of look_at, in a process of its own, and
what the processor worked for the server, the browser and the encoder, which a busy machine changes little. At the end
so many visitors drop a picture at the same moment, and the clock stops for each when its answer is there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from lapel.apps.ui.picture_cache import look_at
from lapel.core.types import Query
from lapel.service import decode, open_store
from page_people import served, worked

FLAGS = ("--no-sandbox", "--disable-gpu")
WARM = 2  # pictures before the clock
PAINTED = """
async () => {
  const root = [...document.querySelectorAll('*')].map(one => one.shadowRoot).find(one => one?.querySelector('.card'));
  if (!root) return false;
  const near = [...root.querySelectorAll('.card img')].filter(one => one.getBoundingClientRect().top < innerHeight);
  if (!near.length || !near.every(one => one.complete && one.naturalWidth)) return false;
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  return true;
}
"""


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("--photos", type=Path, required=True, help="A folder of JPEG files.")
    parser.add_argument("--count", type=int, default=15)
    parser.add_argument("--at-once", type=int, default=10, help="Visitors who drop a picture at the same moment.")
    asked = parser.parse_args()
    photos = sorted(asked.photos.glob("*.jp*g"))[: asked.count + WARM]
    if len(photos) <= WARM:
        raise SystemExit(f"There are {len(photos)} JPEG files in {asked.photos}; {WARM + 1} or more are needed.")
    measured: dict[str, list[float]] = {}
    with (
        served(asked.store) as (address, server),
        sync_playwright() as playwright,
        open_store(asked.store, read_only=True) as store,
    ):
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(120_000)
        page.goto(f"http://{address}")
        for number, photo in enumerate(photos):
            told = timed(page, photo, server) | looked_at(store, photo.read_bytes())
            for name, value in told.items() if number >= WARM else ():
                measured.setdefault(name, []).append(value)
        together = at_once(browser, f"http://{address}", [photos[at % len(photos)] for at in range(asked.at_once)])
        browser.close()
    beyond = np.array(measured["painted_ms"]) - np.array(measured["encode_ms"])
    found: dict[str, Any] = {"pictures": len(beyond), "painted_beyond_encode_p50_ms": round(float(np.median(beyond)))}
    for name, values in measured.items():
        found[name] = {"p50": round(float(np.median(values))), "p95": round(float(np.percentile(values, 95)))}
    print(json.dumps(found | {"at_once": together}, indent=2))


def at_once(browser: Browser, address: str, photos: list[Path]) -> dict[str, Any]:
    """Milliseconds until each of several visitors, who drop a picture at the same moment, has an answer."""
    pages = [browser.new_page() for _ in photos]
    for page in pages:
        page.set_default_timeout(120_000)
        page.goto(address)
        page.wait_for_selector(".gallery .card")
        page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    begun, took, errors = time.perf_counter(), [], 0
    for page, photo in zip(pages, photos, strict=True):
        page.locator(".st-key-upload input[type=file]").set_input_files(photo)
    for page in pages:
        page.wait_for_selector(".st-key-part-photo-")
        page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
        took.append(1000 * (time.perf_counter() - begun))
        errors += page.get_by_role("alert").count()
        page.close()
    return {
        "visitors": len(took),
        "errors": errors,
        "ms": {name: round(float(np.percentile(took, of))) for name, of in (("p50", 50), ("p95", 95), ("last", 100))},
    }


def timed(page: Page, photo: Path, server: int) -> dict[str, float]:
    """Milliseconds from the picture to its painted gallery, and those of the processor for server and browser."""
    if page.locator(".st-key-clear button").count():
        page.locator(".st-key-clear button").click()
    page.wait_for_selector(".st-key-upload input[type=file]", state="attached")
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    busy, browsing = worked(server), worked(os.getpid(), without=server)
    begun = time.perf_counter()
    page.locator(".st-key-upload input[type=file]").set_input_files(photo)
    page.wait_for_selector(".st-key-part-photo-")
    page.wait_for_function(PAINTED)
    return {
        "painted_ms": 1000 * (time.perf_counter() - begun),
        "server_processor_ms": 1000 * (worked(server) - busy),
        "browser_processor_ms": 1000 * (worked(os.getpid(), without=server) - browsing),
    }


def looked_at(store: Any, data: bytes) -> dict[str, float]:
    """Milliseconds of encoding a picture, with what finds the product in it, and of all that the page does with it."""
    begun, busy = time.perf_counter(), time.process_time()
    store.embed(Query(image=decode(data)))
    encoded, worked_for = time.perf_counter(), time.process_time()
    look_at(store, data, "photo")
    return {
        "encode_ms": 1000 * (encoded - begun),
        "encode_processor_ms": 1000 * (worked_for - busy),
        "look_at_ms": 1000 * (time.perf_counter() - encoded),
    }


if __name__ == "__main__":
    main()
