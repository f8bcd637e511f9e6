"""How fast events are taken in, read and erased, on a file of their own in a temporary folder.

    python benchmarks/events.py [--events 1000000]

Processor time is told beside the clock's: on a busy machine only the first compares.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from lapel.catalog.events import EventLog
from lapel.core.events import KINDS, Event
from lapel.service.events import BATCH

NOW = 1_795_946_400.0


def drawn(count: int, people: int, products: int) -> list[dict[str, object]]:
    rng = np.random.default_rng(0)
    who, what = rng.zipf(1.3, count) % people, rng.zipf(1.2, count) % products
    kinds, at = rng.integers(len(KINDS), size=count), NOW - 1e6 * rng.random(count)
    ids = rng.permutation(count)
    return [
        {
            "id": f"event-{ids[n]:x}",
            "person": f"p{who[n]}",
            "product": f"{what[n]}",
            "kind": KINDS[kinds[n]],
            "time": at[n],
        }
        for n in range(count)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--people", type=int, default=50_000)
    parser.add_argument("--products", type=int, default=40_000)
    chosen = parser.parse_args()
    rows = drawn(chosen.events, chosen.people, chosen.products)
    with tempfile.TemporaryDirectory() as folder:
        log = EventLog(Path(folder) / "events.sqlite", read_only=False)
        begun, used = time.perf_counter(), time.process_time()
        for at in range(0, len(rows), BATCH):
            log.add([Event.of(each) for each in rows[at : at + BATCH]], now=NOW)
        clock, processor = time.perf_counter() - begun, time.process_time() - used
        rate = f"{len(rows) / processor:,.0f} a second of processor, {len(rows) / clock:,.0f} by the clock"
        print(f"{len(rows):,} events taken in: {rate}")
        again = log.add([Event.of(each) for each in rows[:BATCH]], now=NOW)
        print(f"sent again: {len(again.new):,} new of {BATCH:,}")
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        print(f"{size / len(rows):,.0f} bytes an event")
        for person in ("p1", "p2", f"p{chosen.people // 2}"):
            begun = time.process_time()
            found = log.history(person)
            print(f"history of {person}: {len(found.products):,} events, {1000 * (time.process_time() - begun):.1f} ms")
        begun = time.process_time()
        gone = log.erase("p1")
        print(f"erased {gone[0]:,} events in {time.process_time() - begun:.2f} s")
        log.close()


if __name__ == "__main__":
    main()
