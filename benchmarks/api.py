"""How many pictures a second the HTTP API answers, against the encoder's own batch rate in the same run.

    python benchmarks/api.py --store shop --images ../shared/data/fashion-products/images.zip

One process serves the store (``lapel api``), this one asks: first one client, then ``--clients``, then three times as
many places as the gate has, who go on at once when they are refused. Figures of a busy machine are good as ratios only.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import httpx
import numpy as np

import lapel
from lapel.core.images import decode

BATCH = 32
REST_SECONDS = 0.05  # that a refused client of the overload waits, far less than it was told


def pictures(path: Path, count: int) -> list[bytes]:
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith(".jpg"))
        chosen = np.random.default_rng(7).choice(len(names), count, replace=False)
        return [archive.read(names[at]) for at in chosen]


def encoder_rates(store: lapel.Store, data: Sequence[bytes]) -> tuple[float, float, float]:
    """Pictures a second of whole batches: the encoder alone, and searches; and milliseconds of one picture's search."""
    images = [decode(each) for each in data[:BATCH]]
    encoder = store._context.encoder
    encoder.encode(images)
    store.search_batch([lapel.Query(image=image) for image in images])
    alone, searched, single = [], [], []
    for _ in range(3):
        begun = time.perf_counter()
        encoder.encode(images)
        alone.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        store.search_batch([lapel.Query(image=image) for image in images])
        searched.append(time.perf_counter() - begun)
    for each in data[:15]:
        begun = time.perf_counter()
        store.search(image=each)
        single.append(time.perf_counter() - begun)
    return BATCH / min(alone), BATCH / min(searched), 1000 * float(np.median(single))


def load(address: str, data: Sequence[bytes], clients: int, seconds: float) -> tuple[list[float], int, float]:
    """Seconds of each answer, how many were refused, and how long it took."""
    took: list[float] = []
    refused = [0]
    lock = threading.Lock()
    until = time.monotonic() + seconds

    def ask(number: int) -> None:
        with httpx.Client(base_url=address, timeout=120) as client:
            at = number
            while time.monotonic() < until:
                begun = time.perf_counter()
                answer = client.post("/v1/search", files={"image": ("a.jpg", data[at % len(data)])})
                spent, at = time.perf_counter() - begun, at + clients
                with lock:
                    if answer.status_code == 200:
                        took.append(spent)
                    else:
                        assert answer.status_code == 429, answer.text
                        assert int(answer.headers["retry-after"]) >= 1
                        refused[0] += 1
                if answer.status_code == 429:
                    time.sleep(REST_SECONDS)

    begun = time.monotonic()
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took, refused[0], time.monotonic() - begun


def batches(address: str) -> tuple[float, float]:
    """How many pictures and batches there were so far."""
    rows = httpx.get(f"{address}/metrics", timeout=60).text.splitlines()
    told = dict(row.rsplit(" ", 1) for row in rows if row.startswith("lapel_batch_pictures_"))
    return float(told["lapel_batch_pictures_sum"]), float(told["lapel_batch_pictures_count"])


def percentile(took: Sequence[float], share: float) -> float:
    return 1000 * float(np.percentile(took, 100 * share)) if took else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="a ZIP of JPEGs")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--places", type=int, default=48, help="of the gate")
    asked = parser.parse_args()
    data = pictures(asked.images, 256)
    with lapel.open_store(asked.store, read_only=None) as store:
        products = store.count()
        encode, search, single = encoder_rates(store, data)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    line = [sys.executable, "-m", "lapel", "api", "--store", str(asked.store), "--port", str(port), "--no-keys"]
    server = subprocess.Popen([*line, "--rate", "1000000", "--pictures", str(asked.places)], env=os.environ)
    address = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                if httpx.get(f"{address}/v1/ready", timeout=60).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.2)
        load(address, data, 4, 3)  # warm
        one_took, _, _ = load(address, data, 1, asked.seconds / 2)
        before = batches(address)
        full, full_refused, full_time = load(address, data, asked.clients, asked.seconds)
        after = batches(address)
        over, over_refused, over_time = load(address, data, 3 * asked.places, asked.seconds)
    finally:
        server.terminate()
        server.wait()
    with lapel.open_store(asked.store, read_only=None) as store:  # again, as other work on the machine comes and goes
        again = encoder_rates(store, data)
    encode, search, single = ((old + new) / 2 for old, new in zip((encode, search, single), again, strict=True))
    rate = len(full) / full_time
    told = {
        "products": products,
        "encoder_batch_rate": encode,
        "search_batch_rate": search,
        "one_search_ms": single,
        "api_rate": rate,
        "api_rate_over_encoder": rate / encode,
        "api_rate_over_search_batches": rate / search,
        "one_client_p50_ms": percentile(one_took, 0.5),
        "one_client_p50_over_one_search": percentile(one_took, 0.5) / single,
        "full_p50_ms": percentile(full, 0.5),
        "full_p99_ms": percentile(full, 0.99),
        "full_refused": full_refused,
        "overload_rate": len(over) / over_time,
        "overload_accepted_p99_ms": percentile(over, 0.99),
        "overload_p99_over_full_p99": percentile(over, 0.99) / percentile(full, 0.99),
        "overload_refused": over_refused,
        "full_mean_batch": (after[0] - before[0]) / max(1, after[1] - before[1]),
    }
    print(json.dumps({name: round(value, 3) for name, value in told.items()}, indent=2))


if __name__ == "__main__":
    main()
