"""How long it takes in a browser from a picture to its painted gallery, and of what that is made.

    python benchmarks/page_picture.py .demo/shop --photos .demo/wardrobe/images --count 15

Each picture is dropped on the start page of Chromium; the clock stops when every picture of the first screen is there
and was painted. Beside it, in the same run: encoding the picture and the whole of look_at, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from lapel.apps.ui.picture_cache import look_at
from lapel.core.types import Query
from lapel.service import decode, open_store
from page_people import served

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
    asked = parser.parse_args()
    photos = sorted(asked.photos.glob("*.jp*g"))[: asked.count + WARM]
    if len(photos) <= WARM:
        raise SystemExit(f"There are {len(photos)} JPEG files in {asked.photos}; {WARM + 1} or more are needed.")
    painted, encode, whole = [], [], []
    with (
        served(asked.store) as (address, _),
        sync_playwright() as playwright,
        open_store(asked.store, read_only=True) as store,
    ):
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(120_000)
        page.goto(f"http://{address}")
        for number, photo in enumerate(photos):
            times = timed(page, photo), *looked_at(store, photo.read_bytes())
            if number >= WARM:
                for kept, value in zip((painted, encode, whole), times, strict=True):
                    kept.append(value)
        browser.close()
    told: dict[str, Any] = {"pictures": len(painted)}
    for name, values in (("painted_ms", painted), ("encode_ms", encode), ("look_at_ms", whole)):
        told[name] = {"p50": round(float(np.median(values))), "p95": round(float(np.percentile(values, 95)))}
    told["beyond_encode_p50_ms"] = round(float(np.median(np.array(painted) - np.array(encode))))
    print(json.dumps(told, indent=2))


def timed(page: Page, photo: Path) -> float:
    """Milliseconds from the picture to its painted gallery."""
    if page.locator(".st-key-clear button").count():
        page.locator(".st-key-clear button").click()
    page.wait_for_selector(".st-key-upload input[type=file]", state="attached")
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    begun = time.perf_counter()
    page.locator(".st-key-upload input[type=file]").set_input_files(photo)
    page.wait_for_selector(".st-key-part-photo-")
    page.wait_for_function(PAINTED)
    return 1000 * (time.perf_counter() - begun)


def looked_at(store: Any, data: bytes) -> tuple[float, float]:
    """Milliseconds of encoding a picture, with what finds the product in it, and of all that the page does with it."""
    begun = time.perf_counter()
    store.embed(Query(image=decode(data)))
    encoded = time.perf_counter()
    look_at(store, data, "photo")
    return 1000 * (encoded - begun), 1000 * (time.perf_counter() - encoded)


if __name__ == "__main__":
    main()
