"""Indexes side by side: Lapel's, FAISS's defaults, hnswlib, usearch and scikit-learn on the same vectors, in one run.

    pip install hnswlib usearch scikit-learn matplotlib
    python benchmarks/indexes.py [--count 1000000] [--out runs/indexes]

Vectors are those of the shop's pictures under the shipped encoder; beyond them, points between near neighbours of those with a spread like
theirs, so that clusters and the distances inside them stay as they are. Queries are made the same way and are not held.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from lapel.core.vectors import Vectors, normalise
from lapel.indexes import open_index
from looks import CACHE, encode_shop, open_look
from shops import machine, open_shop

K = 10
QUERIES = 1000
BATCH = 256
NEAR = 10  # neighbours a made vector lies between
SPREAD = 0.35  # of the distance between the two it lies between
LEVELS = (0.95, 0.99)
SHARES = (0.5, 0.01, 0.0001)

Search = Callable[[Vectors, int], np.ndarray]


@dataclass
class Point:
    """One setting of one peer."""

    peer: str
    setting: str
    recall: float
    rate: float  # queries a second, in batches, all cores
    p50_ms: float  # of one query
    build_s: float
    bytes_a_vector: float


def more(real: Vectors, count: int, seed: int) -> Vectors:
    """(count, dim) unit rows distributed like ``real``."""
    rng = np.random.default_rng(seed)
    flat = open_index("faiss:Flat", dim=real.shape[1])
    flat.add(np.arange(len(real)), real)
    near = np.concatenate([flat.search(real[at : at + 1024], NEAR + 1).keys[:, 1:] for at in range(0, len(real), 1024)])
    made = np.empty((count, real.shape[1]), np.float32)
    for at in range(0, count, 100_000):
        size = min(100_000, count - at)
        one = rng.integers(0, len(real), size)
        other = near[one, rng.integers(0, NEAR, size)]
        between = real[other] - real[one]
        noise = rng.normal(size=between.shape).astype(np.float32) / between.shape[1] ** 0.5
        reach = np.linalg.norm(between, axis=1, keepdims=True)
        share = rng.random((size, 1), dtype=np.float32)
        made[at : at + size] = normalise(real[one] + share * between + SPREAD * reach * noise)
    return made


def truth_of(vectors: Vectors, queries: Vectors) -> np.ndarray:
    """The exact K nearest rows."""
    return np.asarray(faiss.knn(queries, vectors, K, metric=faiss.METRIC_INNER_PRODUCT)[1])


def recall_of(found: np.ndarray, truth: np.ndarray) -> float:
    """Recall@K."""
    return float(np.mean([len(np.intersect1d(f, t)) / K for f, t in zip(found, truth, strict=True)]))


def measure(
    peer: str, setting: str, search: Search, queries: Vectors, truth: np.ndarray, build_s: float, size: float
) -> Point:
    """Recall, rate and time of one query."""
    search(queries[:BATCH], K)
    began = time.perf_counter()
    found = np.concatenate([search(queries[at : at + BATCH], K) for at in range(0, len(queries), BATCH)])
    rate = len(queries) / (time.perf_counter() - began)
    times = []
    for row in range(min(200, len(queries))):
        began = time.perf_counter()
        search(queries[row : row + 1], K)
        times.append(time.perf_counter() - began)
    point = Point(peer, setting, recall_of(found, truth), rate, 1000 * float(np.median(times)), build_s, size)
    print(
        f"{peer:22} {setting:28} recall {point.recall:.4f}  {rate:10,.0f}/s  {point.p50_ms:7.3f} ms  built in {build_s:6.1f} s  {size:5.0f} bytes",
        flush=True,
    )
    return point


def lapel_points(vectors: Vectors, queries: Vectors, truth: np.ndarray, work: Path) -> Iterator[Point]:
    """``faiss:auto`` for both recalls, and exact search."""
    for spec in ("faiss:Flat", *(f"faiss:auto?recall={level}" for level in LEVELS)):
        began = time.perf_counter()
        index = open_index(spec, dim=vectors.shape[1])
        index.add(np.arange(len(vectors)), vectors)
        getattr(index, "settle", lambda: True)()
        built = time.perf_counter() - began
        path = work / "index.bin"
        index.save(path)
        size = path.stat().st_size / len(vectors)
        path.unlink()
        setting = spec.removeprefix("faiss:") + (f" ({index.choice.factory})" if hasattr(index, "choice") else "")
        yield measure("Lapel", setting, lambda q, k, i=index: i.search(q, k).keys, queries, truth, built, size)
        index.close()


def faiss_points(vectors: Vectors, queries: Vectors, truth: np.ndarray) -> Iterator[Point]:
    """FAISS's usual choices as its own documentation builds them."""
    lists = 2 ** (int(4 * len(vectors) ** 0.5).bit_length() - 1)
    for factory in ("HNSW32", f"IVF{lists},Flat", f"IVF{lists},PQ32x4fs,RFlat"):
        began = time.perf_counter()
        index: Any = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors[: min(len(vectors), 100 * lists)])
        index.add(vectors)
        built = time.perf_counter() - began
        size = len(faiss.serialize_index(index)) / len(vectors)
        space = faiss.ParameterSpace()
        name = "efSearch" if "HNSW" in factory else "nprobe"
        for effort in (16, 32, 64, 128, 256, 512) if "HNSW" in factory else (4, 8, 16, 32, 64, 128, 256):
            space.set_index_parameter(index, name, effort)
            yield measure(
                "FAISS " + factory,
                f"{name} {effort}",
                lambda q, k, i=index: i.search(q, k)[1],
                queries,
                truth,
                built,
                size,
            )


def hnswlib_points(vectors: Vectors, queries: Vectors, truth: np.ndarray) -> Iterator[Point]:
    """Hnswlib with its defaults."""
    import hnswlib

    began = time.perf_counter()
    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), M=16, ef_construction=200)
    index.add_items(vectors)
    built = time.perf_counter() - began
    for effort in (16, 32, 64, 128, 256, 512):
        index.set_ef(effort)
        yield measure(
            "hnswlib M16",
            f"ef {effort}",
            lambda q, k: index.knn_query(q, k)[0].astype(np.int64),
            queries,
            truth,
            built,
            4 * vectors.shape[1] + 4 * 33 + 8,
        )


def usearch_points(vectors: Vectors, queries: Vectors, truth: np.ndarray) -> Iterator[Point]:
    """Usearch with its defaults, in float32 and bfloat16."""
    from usearch.index import Index

    for dtype in ("f32", "bf16"):
        began = time.perf_counter()
        index = Index(ndim=vectors.shape[1], metric="ip", dtype=dtype)
        index.add(np.arange(len(vectors)), vectors)
        built = time.perf_counter() - began
        for effort in (32, 64, 128, 256, 512):
            index.expansion_search = effort

            def search(q: Vectors, k: int, index: Any = index) -> np.ndarray:
                return np.asarray(index.search(q, k).keys).reshape(len(q), -1).astype(np.int64)

            yield measure(
                f"usearch {dtype}",
                f"expansion {effort}",
                search,
                queries,
                truth,
                built,
                index.memory_usage / len(vectors),
            )


def sklearn_points(vectors: Vectors, queries: Vectors, truth: np.ndarray) -> Iterator[Point]:
    """scikit-learn's brute force."""
    from sklearn.neighbors import NearestNeighbors

    began = time.perf_counter()
    index = NearestNeighbors(n_neighbors=K, algorithm="brute", metric="cosine").fit(vectors)
    built = time.perf_counter() - began
    some = slice(0, 200)
    yield measure(
        "scikit-learn brute",
        "",
        lambda q, k: index.kneighbors(q, k, return_distance=False),
        queries[some],
        truth[some],
        built,
        4 * vectors.shape[1],
    )


def bandwidth(vectors: Vectors) -> None:
    """Exact search as a share of what memory gives: both read the same bytes, turn by turn."""
    index = open_index("faiss:Flat", dim=vectors.shape[1])
    index.add(np.arange(len(vectors)), vectors)
    reading, searching = [], []
    from concurrent.futures import ThreadPoolExecutor

    halves = np.array_split(vectors.view(np.uint32).reshape(-1), 2)
    with ThreadPoolExecutor(2) as pool:
        for _ in range(10):
            began = time.perf_counter()
            list(pool.map(lambda half: half.max(), halves))
            reading.append(time.perf_counter() - began)
            began = time.perf_counter()
            index.search(vectors[:1], K)
            searching.append(time.perf_counter() - began)
    read, search = min(reading), min(searching)
    print(
        f"exact search {vectors.nbytes / search / 1e9:.1f} GB/s of {vectors.nbytes / read / 1e9:.1f} GB/s read by two threads: {read / search:.2f} (aim 0.60)"
    )


def filters(vectors: Vectors, queries: Vectors) -> None:
    """Filtered search: recall of the exact filtered answer, and p50 beside the unfiltered one."""
    index = open_index("faiss:auto?recall=0.99", dim=vectors.shape[1])
    index.add(np.arange(len(vectors)), vectors)
    getattr(index, "settle", lambda: True)()
    rng = np.random.default_rng(3)
    few = queries[:100]

    def p50(allowed: np.ndarray | None) -> float:
        times = []
        for row in range(len(few)):
            began = time.perf_counter()
            index.search(few[row : row + 1], K, allowed)
            times.append(time.perf_counter() - began)
        return 1000 * float(np.median(times))

    base = p50(None)
    for share in SHARES:
        allowed = np.sort(rng.permutation(len(vectors))[: max(K, int(share * len(vectors)))])
        wanted = allowed[truth_of(vectors[allowed], few)]
        found = index.search(few, K, allowed).keys
        took = p50(allowed)
        print(
            f"filter {100 * share:g} %: recall {recall_of(found, wanted):.4f} (aim 0.99), p50 {took:.3f} ms, {took / base:.2f} of unfiltered {base:.3f} ms (aim 2)"
        )


def additions(vectors: Vectors) -> None:
    """One addition at a thousand and at all."""
    medians = {}
    for size in (1000, len(vectors)):
        index = open_index("faiss:auto", dim=vectors.shape[1])
        index.add(np.arange(size), vectors[:size])
        getattr(index, "settle", lambda: True)()
        times = []
        for step in range(300):
            began = time.perf_counter()
            index.add(np.array([size + step]), vectors[step : step + 1])
            times.append(time.perf_counter() - began)
        medians[size] = float(np.median(times))
    small, large = medians.values()
    print(
        f"one addition: {1e6 * small:.0f} us at 1,000, {1e6 * large:.0f} us at {len(vectors):,}: {large / small:.2f} (aim 1.5)"
    )


def draw(points: list[Point], target: Path) -> None:
    """Recall against rate, one curve a peer."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    axis = figure.subplots()
    for peer in dict.fromkeys(point.peer for point in points):
        own = sorted((p.recall, p.rate) for p in points if p.peer == peer)
        axis.plot(*zip(*own, strict=True), marker="o", label=peer, linewidth=2.5 if peer == "Lapel" else 1)
    axis.set_yscale("log")
    axis.set_xlim(0.8, 1.002)
    axis.set_xlabel(f"Recall@{K}")
    axis.set_ylabel("queries a second")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    figure.savefig(target, dpi=120)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--out", type=Path, default=Path("runs/indexes"))
    wanted = parser.parse_args()
    wanted.out.mkdir(parents=True, exist_ok=True)
    real = encode_shop(open_look("default", wanted.cache), open_shop(), wanted.cache)
    vectors = real if wanted.count <= len(real) else np.concatenate([real, more(real, wanted.count - len(real), 1)])
    vectors = np.ascontiguousarray(vectors[: wanted.count])
    queries = more(real, QUERIES, 2)
    print(f"{len(vectors):,} x {vectors.shape[1]}, {QUERIES:,} queries; {machine()}", flush=True)
    truth = truth_of(vectors, queries)
    points: list[Point] = []
    for peer in (
        lambda *given: lapel_points(*given, wanted.out),
        faiss_points,
        hnswlib_points,
        usearch_points,
        sklearn_points,
    ):
        try:
            for point in peer(vectors, queries, truth):
                points.append(point)
        except ImportError as error:
            print(f"left out: {error}")
    (wanted.out / "points.json").write_text(json.dumps([asdict(point) for point in points], indent=1))
    draw(points, wanted.out / "curve.png")
    for level in LEVELS:
        best = {p.peer: p for p in sorted(points, key=lambda p: p.rate) if p.recall >= level}
        print(
            f"queries a second at Recall@{K} >= {level}: "
            + ", ".join(f"{name} {p.rate:,.0f}" for name, p in best.items())
        )
    bandwidth(vectors)
    filters(vectors, queries)
    additions(vectors)


if __name__ == "__main__":
    main()
