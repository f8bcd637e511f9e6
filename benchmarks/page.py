"""How long the server works on a run of the search page, and how much memory a long session takes beside what the
store keeps for all visitors.

    python benchmarks/page.py .demo/shop
    python benchmarks/page.py .demo/shop --photo .demo/wardrobe/images/W0002_hanger.jpg

The page runs in Streamlit's own test runner, which besides the run itself unpacks what the server would send: the
figures are upper bounds of the server's part, and hold nothing of network and browser.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from streamlit.testing.v1 import AppTest

from lapel.apps import ui
from lapel.service import open_store

PICTURES = 60
RUNS = 40
SEARCHES = 1000
WARM = 50  # searches before memory is read the first time


def resident_mb() -> float:
    """Megabytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * 4096 / 1e6


def checked(page: AppTest) -> AppTest:
    """A page that shows its answer."""
    if page.exception or page.error:
        raise SystemExit(f"The page failed: {page.exception or page.error[0].value}")
    return page


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("--photo", type=Path, help="Search with this picture, anew each time, too.")
    parser.add_argument("--searches", type=int, default=SEARCHES)
    asked = parser.parse_args()
    sys.argv = ["page.py", str(asked.store)]
    with open_store(asked.store, read_only=True) as store:
        ids = [each.product.id for each in store.browse(limit=asked.searches + WARM).products]
    page = AppTest.from_file(str(ui.PAGE), default_timeout=120)
    page.query_params["product"] = ids[0]
    checked(page.run())
    page.session_state["shown"] = PICTURES
    took, worked = [], []
    for number in range(RUNS + 3):
        begun, busy = time.perf_counter(), time.process_time()
        checked(page.run())
        if number >= 3:
            took.append(1000 * (time.perf_counter() - begun))
            worked.append(1000 * (time.process_time() - busy))
    told: dict[str, Any] = {
        "pictures": PICTURES,
        "rerun_ms": {"p50": round(float(np.median(took)), 1), "p95": round(float(np.percentile(took, 95)), 1)},
        "processor_ms": {"p50": round(float(np.median(worked)), 1), "p95": round(float(np.percentile(worked, 95)), 1)},
    }
    store_mb, before = kept_by_the_store(ids), 0.0
    for number in range(asked.searches + WARM):
        if number == WARM:
            gc.collect()
            before = resident_mb()
        page.query_params["product"] = ids[number % len(ids)]
        checked(page.run())
    gc.collect()
    told["searches"] = {
        "count": asked.searches,
        "grown_mb": round(resident_mb() - before, 1),
        "kept_by_the_store_mb": store_mb,
    }
    if asked.photo:
        told["photos"] = photos(page, asked.photo, asked.searches // 5)
    print(json.dumps(told, indent=2))


def kept_by_the_store(ids: list[str]) -> float:
    """Megabytes that the store keeps of the same searches for all its visitors, up to a bound of its own; asked before
    the page, so that what a session keeps can be told from it."""
    from lapel.apps.ui.shell import store_now

    gc.collect()
    before, store = resident_mb(), store_now()
    for product_id in ids:
        store.search(product_id=product_id, k=40)
    gc.collect()
    return round(resident_mb() - before, 1)


def photos(page: AppTest, photo: Path, count: int) -> dict[str, float]:
    """Memory that searching with pictures takes, each uploaded anew."""
    from lapel.apps.ui.picture_cache import PICTURES, look_at
    from lapel.apps.ui.shell import store_now

    store, data = store_now(), photo.read_bytes()
    gc.collect()
    before = resident_mb()
    for _ in range(count):
        page.query_params.clear()
        page.query_params["photo"] = PICTURES.put(look_at(store, data, "photo"))
        checked(page.run())
    gc.collect()
    return {"count": count, "kept": len(PICTURES), "grown_mb": round(resident_mb() - before, 1)}


if __name__ == "__main__":
    main()
