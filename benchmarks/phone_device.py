"""Pictures encoded and searched in a browser against the server: how alike the vectors and the answers are, and how
long it takes on a slow processor.

python phone_device.py PICTURES --store STORE [--pictures 500] [--slow 4]

PICTURES is a folder of photos, or a ZIP of them. STORE has the model 'small' and the index 'exact' (lapel index use
exact), as the search in the phone is exact. The browser is Chromium without a window; 'make web' must have built the
phone page. Tells, over all pictures: the cosine of the browser's vector with the server's; how much of the first ten
products is the same, by the vector against by the picture (the order of both is the cosine's: colours are read by the
server only) and by the shop in the phone against the server; and milliseconds, on this processor and slowed down by
Chromium as phones are emulated.

Processors without VNNI cannot compute in 8 bits exactly: there the server computes both networks in float. So the
figures are told twice: ``server`` as it is on this machine, and ``exact``,
with both networks computed as processors with VNNI do it.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import socket
import statistics
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from playwright.sync_api import Page, sync_playwright

import lapel
from lapel.apps.api import create_app
from lapel.apps.api.pages import STATIC
from lapel.encoders import segmenter, shipped_model
from lapel.encoders.model import read_model
from lapel.encoders.network import NetworkEncoder
from lapel.encoders.onnx import load_onnx
from lapel.encoders.segmenter import embed_images
from lapel.service import decode

# The worker's own code, on the page's thread: Chromium slows down that thread only.
ON_PAGE = """
async script => {
  const waiting = new Map();
  let next = 1;
  window.postMessage = reply => {
    if (!waiting.has(reply.id) || reply.progress) return;
    const [done, fail] = waiting.get(reply.id);
    waiting.delete(reply.id);
    reply.problem ? fail(new Error(reply.problem.message)) : done(reply.told);
  };
  await import(script);
  window.ask = (name, ask) => new Promise((done, fail) => {
    const id = next++;
    waiting.set(id, [done, fail]);
    window.dispatchEvent(new MessageEvent('message', {data: {id, name, ask}}));
  });
  await window.ask('configure', {address: location.origin, key: ''});
}
"""
EMBED = """
async data => {
  const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
  const {vector, took_ms} = await window.ask('embed', {image: new Blob([bytes])});
  return {vector: [...vector], took_ms};
}
"""
SEARCH = """
async vector => {
  let took_ms = Infinity, found;
  for (let time = 0; time < 5; time++) {  // the least of five: other programs share this processor
    found = await window.ask('search', {vector: Float32Array.from(vector), k: 10, facets: []});
    took_ms = Math.min(took_ms, found.took_ms);
  }
  return {ids: found.hits.map(hit => hit.product.id), took_ms};
}
"""


def pictures_of(place: Path, most: int) -> Iterator[bytes]:
    """The files of a folder or of a ZIP, in the order of their names."""
    if place.is_dir():
        for path in sorted(each for each in place.rglob("*") if each.is_file())[:most]:
            yield path.read_bytes()
        return
    with zipfile.ZipFile(place) as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg", ".png", ".webp")))
        for name in names[:most]:
            yield archive.read(name)


@contextmanager
def served(store: Any) -> Iterator[str]:
    """Where a store is served, on this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(create_app(store), host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)


@contextmanager
def exact_embedding(name: str) -> Iterator[Callable[[bytes], np.ndarray[Any, Any]]]:
    """Gives what makes the vector of a picture, as a server whose processor computes in 8 bits exactly."""
    usual = segmenter.open_segmenter
    own = segmenter.Segmenter(usual().model)
    own.__dict__["_network"] = load_onnx(own.model, in_float=True)  # each layer is rounded as in 8 bits
    encoder = NetworkEncoder(load_onnx(read_model(shipped_model(name)), in_float=True), spec=name)

    def embed(data: bytes) -> np.ndarray[Any, Any]:
        segmenter.open_segmenter = lambda: own  # type: ignore[assignment]
        try:
            return embed_images(encoder, [decode(data)]).vectors[0]
        finally:
            segmenter.open_segmenter = usual

    yield embed


def same(one: list[str], other: list[str]) -> float:
    """The share of ten that both have."""
    return len(set(one) & set(other)) / max(len(other), 1)


def spread(values: list[float]) -> dict[str, float]:
    """How a figure lies over all pictures."""
    low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
    told = {"mean": statistics.fmean(values), "least": min(values), "p5": low, "median": middle, "p95": high}
    return {name: round(float(value), 4) for name, value in told.items()}


def measure(page: Page, store: Any, address: str, pictures: list[bytes], slow: float, exact_of: Any) -> dict[str, Any]:
    """All figures; progress is printed."""
    scripts = [path.name for path in (STATIC / "m" / "assets").glob("worker-*.js*")]
    page.goto(f"{address}/m/")
    page.evaluate(ON_PAGE, f"/m/assets/{scripts[0].removesuffix('.gz')}")
    page.evaluate("ask('openDevice', {fresh: false})")
    loaded = page.evaluate("ask('loadShop', {thumbnails: false})")
    session = page.context.new_cdp_session(page)
    names = ("server_cosine", "server_same", "exact_cosine", "exact_same", "same_in_phone", "encode_ms", "search_ms")
    told: dict[str, list[float]] = {name: [] for name in names}
    slowed: dict[str, list[float]] = {"encode_ms": [], "search_ms": []}
    for number, data in enumerate(pictures):
        query = lapel.Query(image=data, k=10, colour_weight=0.0)
        theirs, vector = [hit.product.id for hit in store.search(query=query)], store.embed(query).vector
        made = page.evaluate(EMBED, base64.b64encode(data).decode())
        own = np.asarray(made["vector"], np.float32)
        own /= np.linalg.norm(own)
        told["server_cosine"].append(float(own @ vector))
        ours = [hit.product.id for hit in store.search(query=lapel.Query(vector=own, k=10))]
        told["server_same"].append(same(ours, theirs))
        exact = exact_of(data)
        told["exact_cosine"].append(float(own @ exact))
        there = [hit.product.id for hit in store.search(query=lapel.Query(vector=exact, k=10))]
        told["exact_same"].append(same(ours, there))
        there = page.evaluate(SEARCH, own.tolist())
        told["same_in_phone"].append(same(there["ids"], ours))
        told["encode_ms"].append(made["took_ms"])
        told["search_ms"].append(there["took_ms"])
        if number < 30 and slow > 1:  # enough for a median
            session.send("Emulation.setCPUThrottlingRate", {"rate": slow})
            slowed["encode_ms"].append(page.evaluate(EMBED, base64.b64encode(data).decode())["took_ms"])
            slowed["search_ms"].append(page.evaluate(SEARCH, own.tolist())["took_ms"])
            session.send("Emulation.setCPUThrottlingRate", {"rate": 1})
        if number % 50 == 49:
            so_far = ", ".join(f"{name} {statistics.fmean(values):.4f}" for name, values in told.items())
            print(f"{number + 1} of {len(pictures)}: {so_far}", flush=True)
    return {
        "pictures": len(pictures),
        "shop": {name: loaded[name] for name in ("products", "photos", "bytes")},
        **{name: spread(values) for name, values in told.items()},
        f"slowed_{slow:g}x": {name: spread(values) for name, values in slowed.items() if values},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("place", type=Path)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--slow", type=float, default=4.0)
    parser.add_argument("--out", type=Path, help="write the figures as JSON here")
    given = parser.parse_args()
    pictures = list(pictures_of(given.place, given.pictures))
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with lapel.open_store(given.store) as store, served(store) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(service_workers="block")
        page.set_default_timeout(300_000)
        with exact_embedding("small") as exact_of:
            figures = measure(page, store, address, pictures, given.slow, exact_of)
        browser.close()
    print(json.dumps(figures, indent=1))
    if given.out:
        given.out.write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
