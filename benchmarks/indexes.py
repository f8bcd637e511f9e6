"""Indexes side by side: Lapel's and the quickest libraries, each at the best of a small grid, on the same vectors, in
one run.

    pip install hnswlib==0.8.0 usearch==2.26.6 numkong==7.8.6 pyglass-portable==2.1.0 scalable-vs==0.5.0
    pip install threadpoolctl matplotlib
    python benchmarks/indexes.py [--count 1000000] [--only lapel faiss glass] [--out runs/indexes]

Vectors are those of the shop's pictures under the shipped encoder; beyond them, points between near neighbours of those
with a spread like theirs, so that clusters and the distances inside them stay as they are. Queries are made the same
way and are not held. All indexes are built first, one after the other and kept in --out, where a second run finds them
(``index_peers.py``); then they are asked in turns, on one thread and on two, three times over, and the best of each
counts, so that what else the machine does meets all of them; with --processor-time rates count only the processor's.
An answer counts when it is as near as the tenth (Recall@10 by score), since shops sell the same picture twice.
``index_sizes.py`` measures what changes with size: filters, additions, growth.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import faiss
import numpy as np
from threadpoolctl import threadpool_limits

import lapel
from encoders import CACHE, encode_shop
from index_peers import LEVELS, PEERS, Peer, Setting
from lapel.core.vectors import Vectors, normalise
from lapel.encoders import open_encoder
from shops import machine, open_shop

K = 10
QUERIES = 1000
SINGLE = 200  # of them asked one by one
BATCH = 256
ROUNDS = 3
NEAR = 10  # neighbours a made vector lies between
SPREAD = 0.35  # of the distance between the two it lies between
TIE = 1e-6  # of a cosine

Clock = Callable[[], float]


@dataclass(frozen=True)
class Point:
    """One setting of one peer on so many threads."""

    peer: str
    setting: str
    threads: int
    recall: float
    rate: float  # queries a second, in batches
    p50_ms: float  # of one query
    build_s: float
    bytes_a_vector: float


def more(real: Vectors, near: np.ndarray, count: int, seed: int) -> Vectors:
    """(count, dim) unit rows distributed like ``real``, given the (n, NEAR) nearest rows of each."""
    rng = np.random.default_rng(seed)
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


def vectors_of(wanted: argparse.Namespace) -> tuple[Vectors, Vectors]:
    """What is held, (count, dim), and what is asked, (QUERIES, dim); kept in ``--out`` for the next run."""
    held, asked = wanted.out / f"vectors-{wanted.count}.npy", wanted.out / "queries.npy"
    if not (held.exists() and asked.exists()):
        real = _real(wanted)
        near = faiss.knn(real, real, NEAR + 1, metric=faiss.METRIC_INNER_PRODUCT)[1][:, 1:]
        made = more(real, near, max(0, wanted.count - len(real)), 1)
        np.save(held, np.concatenate([real, made])[: wanted.count])
        np.save(asked, more(real, near, QUERIES, 2))
    return np.load(held), np.load(asked)


def _real(wanted: argparse.Namespace) -> Vectors:
    if wanted.store is None:
        return encode_shop(
            open_encoder(wanted.encoder), open_shop(wanted.data, wanted.products, wanted.out), wanted.cache
        )
    with lapel.open_store(wanted.store, read_only=True) as store:
        fingerprint = store.models.current.fingerprint
        return np.concatenate([vectors for _, vectors in store._context.catalog.vectors(fingerprint)])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to measure on, and where results go."""
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--data", type=Path, help="folder or ZIP of pictures, with --products")
    parser.add_argument("--products", type=Path, help="table of the products")
    parser.add_argument("--store", type=Path, help="a filled store, whose vectors are taken in place of --data")
    parser.add_argument("--encoder", default="default", help="whose vectors of the shop the others are made like")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where vectors of whole shops are kept")
    parser.add_argument("--out", type=Path, default=Path("runs/indexes"))


def tenth_score(vectors: Vectors, queries: Vectors) -> Vectors:
    """(q,) the score of each query's exact K-th nearest row."""
    last: Vectors = faiss.knn(queries, vectors, K, metric=faiss.METRIC_INNER_PRODUCT)[0][:, -1]
    return last


def recall_of(found: np.ndarray, vectors: Vectors, queries: Vectors, last: Vectors) -> float:
    """Recall@K by score: the share of distinct (q, K) answers that score at least the K-th of exact search."""
    scores = np.einsum("qkd,qd->qk", vectors[np.maximum(found, 0)], queries)
    right = (scores >= last[:, None] - TIE) & (found >= 0)
    return float(np.mean([len(set(row[good].tolist())) / K for row, good in zip(found, right, strict=True)]))


def measure(
    peer: Peer, setting: Setting, threads: int, vectors: Vectors, queries: Vectors, last: Vectors, clock: Clock
) -> Point:
    """Recall, rate and time of one query."""
    name, use = setting
    use()
    asked = queries[:BATCH] if peer.name == "Lapel exact" else queries
    few = range(20 if peer.name == "Lapel exact" else SINGLE)
    peer.search(asked[:BATCH], K, threads)
    began = clock()
    found = np.concatenate([peer.search(asked[at : at + BATCH], K, threads) for at in range(0, len(asked), BATCH)])
    rate = len(asked) / (clock() - began)
    times = []
    for row in few:
        began = time.perf_counter()
        peer.search(queries[row : row + 1], K, threads)
        times.append(time.perf_counter() - began)
    recall = recall_of(found, vectors, asked, last[: len(asked)])
    p50 = 1000 * float(np.median(times))
    return Point(peer.name, name, threads, recall, rate, p50, peer.build_s, peer.bytes_a_vector)


def all_points(peers: list[Peer], vectors: Vectors, queries: Vectors, several: list[int], clock: Clock) -> list[Point]:
    """Every setting of every peer, in turns; of each the best of all rounds."""
    last = tenth_score(vectors, queries)
    best: dict[tuple[str, str, int], Point] = {}
    turns = range(max(len(peer.settings) for peer in peers))
    for threads in ROUNDS * several:
        with threadpool_limits(threads):
            for peer, turn in ((peer, turn) for turn in turns for peer in peers if turn < len(peer.settings)):
                point = measure(peer, peer.settings[turn], threads, vectors, queries, last, clock)
                key = (peer.name, point.setting, threads)
                known = best.get(key, point)
                best[key] = replace(point, rate=max(point.rate, known.rate), p50_ms=min(point.p50_ms, known.p50_ms))
    return sorted(best.values(), key=lambda point: (point.threads, point.peer, point.recall))


def draw(points: list[Point], count: int, target: Path) -> None:
    """Recall against rate, one curve a peer, on one thread and on two."""
    from matplotlib.figure import Figure

    several = sorted({point.threads for point in points})
    figure = Figure(figsize=(6.5 * len(several), 6), layout="constrained")
    for threads, axis in zip(several, figure.subplots(1, len(several), squeeze=False)[0], strict=True):
        for peer in dict.fromkeys(point.peer for point in points):
            every = [(p.recall, p.rate) for p in points if p.peer == peer and p.threads == threads]
            own = sorted(
                one for one in every if not any(o[0] >= one[0] and o[1] > one[1] for o in every)
            )  # no worse than its others
            lapel = peer.startswith("Lapel")
            axis.plot(
                *zip(*own, strict=True), marker="o", label=peer, linewidth=2.5 if lapel else 1, zorder=3 if lapel else 2
            )
        axis.set(yscale="log", xlim=(0.94, 1.002), xlabel=f"Recall@{K}", ylabel="queries a second")
        axis.set_title(f"{count:,} vectors of 128 numbers, {threads} thread{'s' * (threads > 1)}")
        axis.grid(alpha=0.3, which="both")
        axis.legend(fontsize=8)
    figure.savefig(target, dpi=100)


def tell(points: list[Point]) -> None:
    """All points, then the quickest of each peer at each recall, the quickest peer first."""
    for p in points:
        print(f"{p.threads} {p.peer:30} {p.setting:14} recall {p.recall:.4f}  {p.rate:10,.0f}/s  {p.p50_ms:7.3f} ms")
    for name, p in {p.peer: p for p in points}.items():
        print(f"{name:30} built in {p.build_s:6.1f} s, {p.bytes_a_vector:5.0f} bytes a vector")
    for threads in sorted({point.threads for point in points}):
        for level in LEVELS:
            enough = [p for p in points if p.threads == threads and p.recall >= level]
            rate = {p.peer: p.rate for p in sorted(enough, key=lambda p: p.rate)}
            wait = {p.peer: p.p50_ms for p in sorted(enough, key=lambda p: -p.p50_ms)}
            ranked = sorted(rate.items(), key=lambda each: -each[1])
            print(
                f"{threads} threads, Recall@{K} >= {level}: "
                + ", ".join(f"{n} {r:,.0f}/s {wait[n]:.3f} ms" for n, r in ranked)
            )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    parser.add_argument("--only", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--first", action="store_true", help="of each library's grid only the first, the best so far")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument(
        "--processor-time", action="store_true", help="rates by it, where the machine does something else too; 1 thread"
    )
    wanted = parser.parse_args()
    wanted.out.mkdir(parents=True, exist_ok=True)
    vectors, queries = vectors_of(wanted)
    print(f"{len(vectors):,} x {vectors.shape[1]}, {QUERIES:,} queries; {machine()}", flush=True)
    peers: list[Peer] = []
    for kind in wanted.only:
        try:
            for peer in islice(PEERS[kind](vectors, wanted.out), 1 if wanted.first else None):
                print(f"built {peer.name} in {peer.build_s:.1f} s", flush=True)
                peers.append(peer)
        except ImportError as error:
            print(f"left out: {error}")
    clock = time.process_time if wanted.processor_time else time.perf_counter
    points = all_points(peers, vectors, queries, wanted.threads, clock)
    tell(points)
    (wanted.out / f"points-{len(vectors)}.json").write_text(json.dumps([asdict(point) for point in points], indent=1))
    draw(points, len(vectors), wanted.out / f"curve-{len(vectors)}.png")


if __name__ == "__main__":
    main()
