"""How the page answers many people at once: each opens it, searches with products one after the other, and waits.

    python benchmarks/page_people.py .demo/shop --people 50 --searches 4

No browser: people speak Streamlit's own protocol, so the figures are the server's, from the request to its last
element, with nothing of painting. Seconds that the server's processor worked are told beside the clock.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import Popen
from typing import Any
from urllib.request import urlopen

import numpy as np
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import connect

from lapel.apps import ui
from lapel.service import open_store

START_SECONDS, PATIENCE = 60.0, 180.0


@contextmanager
def served(store: Path) -> Iterator[tuple[str, int]]:
    """The page's server: its address without a scheme, and its process."""
    port = ui.free_port("127.0.0.1", 8600)
    with tempfile.TemporaryFile() as log:
        server = Popen(ui.command(store, port=port), stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + START_SECONDS
            while True:
                try:
                    urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2).close()
                    break
                except OSError:
                    if time.monotonic() > deadline or server.poll() is not None:
                        raise SystemExit("The server did not start.") from None
                    time.sleep(0.1)
            yield f"127.0.0.1:{port}", server.pid
        finally:
            server.terminate()
            server.wait()


def worked(pid: int, *, without: int = 0) -> float:
    """Seconds that the processor worked for a process and those it began, one of them left out."""
    own: dict[int, float] = {}
    begun: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            own[int(folder.name)] = sum(int(each) for each in fields[11:13]) / os.sysconf("SC_CLK_TCK")
            begun.setdefault(int(fields[1]), []).append(int(folder.name))
    total, left = 0.0, [pid]
    while left:
        one = left.pop()
        if one != without:
            total += own.get(one, 0.0)
            left += begun.get(one, [])
    return total


async def person(address: str, searches: list[str], errors: list[str]) -> list[float]:
    """Milliseconds of each search of one person; the first opens the page."""
    took = []
    async with connect(f"ws://{address}/_stcore/stream", origin=f"http://{address}", max_size=None) as socket:  # type: ignore[arg-type]  # any text
        for product in searches:
            begun = time.perf_counter()
            wanted = BackMsg()
            wanted.rerun_script.query_string = f"product={product}"
            await socket.send(wanted.SerializeToString())
            shown = False
            while True:
                told = ForwardMsg()
                told.ParseFromString(await asyncio.wait_for(socket.recv(), PATIENCE))  # type: ignore[arg-type]  # bytes
                kind = told.WhichOneof("type")
                element = told.delta.new_element if kind == "delta" else None
                if element is not None and element.WhichOneof("type") in ("alert", "exception"):
                    errors.append(str(element)[:200])
                shown |= element is not None and element.WhichOneof("type") in ("bidi_component", "heading")
                if kind == "script_finished":
                    break
            if not shown:
                errors.append(f"{product}: no answer")
            took.append(1000 * (time.perf_counter() - begun))
    return took


async def crowd(address: str, wanted: list[list[str]]) -> tuple[list[list[float]], list[str]]:
    """All people at once."""
    errors: list[str] = []
    took = await asyncio.gather(*(person(address, searches, errors) for searches in wanted))
    return list(took), errors


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--searches", type=int, default=4)
    asked = parser.parse_args()
    with open_store(asked.store, read_only=True) as store:
        ids = [each.product.id for each in store.browse(limit=2000).products]
    rng = random.Random(1)
    wanted = [[rng.choice(ids) for _ in range(asked.searches)] for _ in range(asked.people)]
    with served(asked.store) as (address, pid):
        asyncio.run(crowd(address, [[ids[0]]]))  # the first visitor waits for imports
        before, begun = worked(pid), time.perf_counter()
        took, errors = asyncio.run(crowd(address, wanted))
        lasted, busy = time.perf_counter() - begun, worked(pid) - before
    every = np.array([each for one in took for each in one])
    each = np.array([np.mean(one) for one in took])
    told: dict[str, Any] = {
        "people": asked.people,
        "searches": len(every),
        "errors": errors[:5],
        "ms": {"p50": round(float(np.median(every))), "p95": round(float(np.percentile(every, 95)))},
        "slowest_person_to_median": round(float(each.max() / np.median(each)), 2),
        "a_second": round(len(every) / lasted, 1),
        "processor_ms_a_search": round(1000 * busy / len(every), 1),
        "processors_busy": round(busy / lasted, 2),
    }
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
