"""What changes with the size of an index: time, memory and building from 10,000 to a million; filters; one addition;
exact search beside reading memory.

    python benchmarks/index_sizes.py [--count 1000000] [--out runs/indexes]
        [--only bandwidth filters additions loading growth]

On the vectors of ``indexes.py``. Every ratio is of two things measured in turns in one run.
"""

from __future__ import annotations

import argparse
import json
import resource
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from index_peers import built
from indexes import BATCH, QUERIES, K, add_arguments, recall_of, tenth_score, vectors_of
from lapel.core.vectors import Vectors
from lapel.indexes import RowFilter, open_index
from lapel.indexes.spherical import spherical_k_means
from shops import machine

SHARES = (0.5, 0.1, 0.01, 0.0001)
GROUPS, WHOLE_SHARE = 150, 0.4  # by k-means: a filter of whole kinds of product, which other queries are far from
SIZES = (10_000, 30_000, 50_000, 100_000, 300_000, 1_000_000)
ADDED = 300
ADDED_AT_ONCE = 100
SEARCHERS = 4
ROUNDS = 10


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    parts: dict[str, Callable[[Vectors, Vectors, Path], None]] = {
        "bandwidth": bandwidth,
        "filters": filters,
        "additions": additions,
        "loading": loading,
        "growth": growth,
    }
    parser.add_argument("--only", nargs="*", default=list(parts))
    wanted = parser.parse_args()
    wanted.out.mkdir(parents=True, exist_ok=True)
    vectors, queries = vectors_of(wanted)
    print(f"{len(vectors):,} x {vectors.shape[1]}, {QUERIES:,} queries; {machine()}", flush=True)
    for name in wanted.only:
        parts[name](vectors, queries, wanted.out)


def median_ms(search: Callable[[Vectors], object], queries: Vectors) -> float:
    """Of one query at a time, milliseconds."""
    times = []
    for row in range(len(queries)):
        began = time.perf_counter()
        search(queries[row : row + 1])
        times.append(time.perf_counter() - began)
    return 1000 * float(np.median(times))


def bandwidth(vectors: Vectors, queries: Vectors, out: Path) -> None:
    """Exact search as a share of what memory gives: both read the same bytes, turn by turn."""
    index, _, _ = built("faiss:Flat", vectors, out)
    reading, searching = [], []
    halves = np.array_split(vectors.view(np.uint32).reshape(-1), 2)
    with ThreadPoolExecutor(2) as pool:
        for row in range(3 * ROUNDS):
            began = time.perf_counter()
            list(pool.map(lambda half: half.max(), halves))
            reading.append(time.perf_counter() - began)
            began = time.perf_counter()
            index.search(queries[row : row + 1], K)
            searching.append(time.perf_counter() - began)
    read, search = min(reading), min(searching)
    print(
        f"exact search {vectors.nbytes / search / 1e9:.1f} GB/s ({1000 * search:.1f} ms) of"
        f" {vectors.nbytes / read / 1e9:.1f} GB/s"
        f" that two threads read: {read / search:.2f} (aim 0.60)",
        flush=True,
    )


def filters(vectors: Vectors, queries: Vectors, out: Path) -> None:
    """Filtered search, of rows by chance and of whole groups: recall of the exact filtered answer, and p50 beside the
    unfiltered one, turn by turn; and how long a filter takes that is asked for the first time."""
    index, _, _ = built("faiss:auto", vectors, out)
    rng = np.random.default_rng(3)
    few = queries[:200]
    groups = spherical_k_means(vectors[: GROUPS * 300], GROUPS)
    of = np.concatenate([(block @ groups.T).argmax(axis=1) for block in np.array_split(vectors, 100)])
    largest = np.argsort(-np.bincount(of, minlength=GROUPS))
    whole = np.cumsum(np.bincount(of, minlength=GROUPS)[largest]) < WHOLE_SHARE * len(vectors)
    asked = {
        f"{100 * share:g} %": np.sort(rng.permutation(len(vectors))[: max(K, int(share * len(vectors)))])
        for share in SHARES
    }
    asked[f"the largest groups, {100 * WHOLE_SHARE:g} %"] = np.flatnonzero(np.isin(of, largest[whole]))
    for name, allowed in asked.items():
        first, beside = [], []  # by processor time, turn by turn
        for row in range(6 * ROUNDS):
            began = time.process_time()
            index.search(few[row : row + 1], K)
            beside.append(time.process_time() - began)
            began = time.process_time()
            index.search(few[row : row + 1], K, allowed)
            first.append(time.process_time() - began)
        kept_filter = RowFilter(allowed)
        found = np.concatenate([index.search(few[row : row + 1], K, kept_filter).keys for row in range(len(few))])
        recall = recall_of(found, vectors, few, tenth_score(vectors[allowed], few))
        plain, under = [], []
        for _ in range(3):
            plain.append(median_ms(lambda q: index.search(q, K), few))
            under.append(median_ms(lambda q, f=kept_filter: index.search(q, K, f), few))
        ratio = min(under) / min(plain)
        print(
            f"filter {name}: recall {recall:.4f} (aim 0.99), p50 {min(under):.3f} ms, {ratio:.2f} of"
            f" unfiltered {min(plain):.3f} ms (aim 2); a new filter"
            f" {np.median(first) / np.median(beside):.1f} of unfiltered by processor time",
            flush=True,
        )


def additions(vectors: Vectors, queries: Vectors, out: Path) -> None:
    """One addition at a thousand and at all, turn by turn; then a tenth more while four threads search."""
    sizes = (1000, len(vectors))
    held = {size: built("faiss:auto", vectors[:size], out)[0] for size in sizes}
    times: dict[int, list[float]] = {size: [] for size in sizes}
    for step in range(ADDED):
        for size, index in held.items():
            began = time.perf_counter()
            index.add(np.array([len(vectors) + step]), vectors[step : step + 1])
            times[size].append(time.perf_counter() - began)
    small, large = (1e6 * float(np.median(times[size])) for size in sizes)
    print(
        f"one addition: {small:.0f} us at 1,000, {large:.0f} us at {len(vectors):,}: {large / small:.2f} (aim 1.5)",
        flush=True,
    )
    index, more = held[len(vectors)], vectors[: len(vectors) // 10]
    quiet = searching(index, queries, lambda: time.sleep(5))
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()

    def add() -> None:
        for at in range(0, len(more), ADDED_AT_ONCE):
            some = more[at : at + ADDED_AT_ONCE]
            index.add(2 * len(vectors) + at + np.arange(len(some)), some)
        index.wait_idle()

    busy = searching(index, queries, add)
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"{len(more):,} added in {time.perf_counter() - began:.0f} s while {SEARCHERS} threads search: their p95"
        f" {busy:.2f} ms, {busy / quiet:.2f} of {quiet:.2f} ms without (aim 3); {memory:.0f} MB more at most",
        flush=True,
    )


def searching(index: Any, queries: Vectors, work: Callable[[], object]) -> float:
    """The 95th percentile, milliseconds, of single queries by some threads while something is done."""
    stop = threading.Event()

    def ask(first: int) -> list[float]:
        times = []
        while not stop.is_set():
            row = (first + len(times)) % len(queries)
            began = time.perf_counter()
            index.search(queries[row : row + 1], K)
            times.append(time.perf_counter() - began)
        return times

    with ThreadPoolExecutor(SEARCHERS) as pool:
        asked = [pool.submit(ask, 250 * at) for at in range(SEARCHERS)]
        work()
        stop.set()
        return 1000 * float(np.percentile(np.concatenate([each.result() for each in asked]), 95))


def loading(vectors: Vectors, queries: Vectors, out: Path) -> None:
    """Seconds from opening a saved index to its first answer."""
    built("faiss:auto", vectors, out)
    times = []
    for _ in range(3):
        began = time.perf_counter()
        index = open_index("faiss:auto", dim=vectors.shape[1], path=out / f"lapel-auto-{len(vectors)}.kept")
        index.search(queries[:1], K)
        times.append(time.perf_counter() - began)
        index.close()
    print(f"loading {len(vectors):,}: {min(times):.2f} s to the first answer (aim 3)", flush=True)


def growth(vectors: Vectors, queries: Vectors, out: Path) -> None:
    """An index of each size, and a scan of as many beside it."""
    rows = []
    for size in [size for size in SIZES if size <= len(vectors)]:
        index, took, megabytes = built("faiss:auto", vectors[:size], out)
        flat, _, _ = built("faiss:Flat", vectors[:size], out)
        found = np.concatenate([index.search(queries[at : at + BATCH], K).keys for at in range(0, QUERIES, BATCH)])
        row = {
            "size": size,
            "kind": index.choice.name or "scan",
            "build_s": took,
            "megabytes": megabytes,
            "recall": recall_of(found, vectors[:size], queries, tenth_score(vectors[:size], queries)),
            "p50_ms": min(median_ms(lambda q, i=index: i.search(q, K), queries[:200]) for _ in range(3)),
            "scan_ms": min(median_ms(lambda q, i=flat: i.search(q, K), queries[:20]) for _ in range(3)),
        }
        rows.append(row)
        print(row, flush=True)
    (out / "growth.json").write_text(json.dumps(rows, indent=1))
    draw(rows, out / "growth.png")


def draw(rows: list[dict[str, Any]], target: Path) -> None:
    """Time of one query, memory and building time against size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    one, two, three = figure.subplots(1, 3)
    sizes = [row["size"] for row in rows]
    one.plot(sizes, [row["scan_ms"] for row in rows], marker="o", label="scanning all")
    one.plot(sizes, [row["p50_ms"] for row in rows], marker="o", linewidth=2.5, label="faiss:auto")
    one.set_ylabel("one query, ms")
    one.legend(fontsize=8)
    two.plot(sizes, [row["megabytes"] for row in rows], marker="o")
    two.set_ylabel("size, MB")
    three.plot(sizes, [row["build_s"] for row in rows], marker="o")
    three.set_ylabel("adding and building, s")
    for axis in (one, two, three):
        axis.set(xscale="log", yscale="log", xlabel="vectors")
        axis.grid(alpha=0.3, which="both")
    figure.savefig(target, dpi=100)


if __name__ == "__main__":
    main()
