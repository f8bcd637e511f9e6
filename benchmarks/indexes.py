"""Indexes side by side: Lapel's, FAISS's defaults, hnswlib, usearch and scikit-learn on the same vectors, in one run.

    pip install hnswlib==0.8.0 usearch==2.26.6 numkong==7.8.6 scikit-learn==1.9.1 matplotlib
    python benchmarks/indexes.py [--count 1000000] [--out runs/indexes]

Vectors are those of the shop's pictures under the shipped encoder; beyond them, points between near neighbours of those
with a spread like theirs, so that clusters and the distances inside them stay as they are. Queries are made the same
way and are not held. All indexes are built first, one after the other and kept in --out, where a second run finds them;
then they are asked in turns, three times over, and the best of each counts, so that what else the machine does meets
all of them. An answer counts when it is as near as the tenth (Recall@10 by score), since shops sell the same picture
twice. ``index_sizes.py`` measures what changes with size: filters, additions, growth.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from looks import CACHE, encode_shop, open_look

from lapel.core.vectors import Vectors, normalise
from lapel.indexes import MaintainedIndex, open_index
from lapel.indexes.choice import MAX_EXACT_ROWS
from shops import machine, open_shop

K = 10
QUERIES = 1000
SINGLE = 200  # of them asked one by one
BATCH = 256
ROUNDS = 3
NEAR = 10  # neighbours a made vector lies between
SPREAD = 0.35  # of the distance between the two it lies between
LEVELS = (0.95, 0.99)
TIE = 1e-6  # of a cosine
GRAPH = (16, 24, 32, 64, 128, 256)
LISTS = (2, 3, 4, 6, 8, 16)
DTYPES = ("f32", "bf16")

Search = Callable[[Vectors, int], np.ndarray]
Setting = tuple[str, Callable[[], Any]]  # its name, and what to call to have it


@dataclass(frozen=True)
class Peer:
    """A built index of one kind, and the settings it is asked with."""

    name: str
    build_s: float
    bytes_a_vector: float
    search: Search
    settings: tuple[Setting, ...]


@dataclass(frozen=True)
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


def vectors_of(wanted: argparse.Namespace) -> tuple[Vectors, Vectors]:
    """What is held, (count, dim), and what is asked, (QUERIES, dim)."""
    real = encode_shop(
        open_look(wanted.encoder, wanted.cache), open_shop(wanted.data, wanted.products, wanted.out), wanted.cache
    )
    made = more(real, max(0, wanted.count - len(real)), 1)
    return np.ascontiguousarray(np.concatenate([real, made])[: wanted.count]), more(real, QUERIES, 2)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to measure on, and where results go."""
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--data", type=Path, help="folder or ZIP of pictures, with --products")
    parser.add_argument("--products", type=Path, help="table of the products")
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


def kept(path: Path, build: Callable[[], Any], save: Callable[[Any, str], Any], load: Callable[[str], Any]) -> Any:
    """An index that was built in an earlier run, or one built now and kept; and the seconds it took."""
    took = path.with_suffix(".seconds")
    if took.exists():
        return load(str(path)), float(took.read_text())
    began = time.perf_counter()
    index = build()
    seconds = time.perf_counter() - began
    save(index, str(path))
    took.write_text(str(seconds))
    return index, seconds


def lapel_peers(vectors: Vectors, work: Path) -> Iterator[Peer]:
    """Exact search, and ``faiss:auto`` with the parameters it finds for each recall, and with others."""
    from lapel.indexes.structure import SearchParams

    few = (
        ["faiss:IVF1024_HNSW16,Flat"] if len(vectors) <= MAX_EXACT_ROWS else []
    )  # what auto would take if it did not scan them all
    for spec in ("faiss:Flat", "faiss:auto", *few):
        path = work / f"lapel-{spec[6:]}-{len(vectors)}.kept"

        def build(spec: str = spec, path: Path = path) -> Any:
            index: Any = open_index(spec, dim=vectors.shape[1], path=path)
            index.add(np.arange(len(vectors)), vectors)
            if isinstance(index, MaintainedIndex):
                index.wait_idle()
            return index

        def load(path: str, spec: str = spec) -> Any:
            return open_index(spec, dim=vectors.shape[1], path=Path(path))

        index, built = kept(path, build, lambda index, path: index.save(Path(path)), load)
        size = path.stat().st_size / len(vectors)
        settings: tuple[Setting, ...] = (("all", lambda: None),)
        if sealed := getattr(index, "_sealed", None):
            structure = sealed.structure

            def use(
                width: int, structure: Any = structure, refine: int = structure.search_params.refine_factor
            ) -> None:
                structure.search_params = SearchParams.of_width(width, refine)

            tuned = [(f"recall={level}", lambda level=level, s=structure: s.tune(level)) for level in LEVELS]
            name, widths = ("nprobe", LISTS) if "IVF" in index.choice.factory else ("efSearch", GRAPH)
            settings = (*tuned, *((f"{name} {width}", lambda width=width, use=use: use(width)) for width in widths))
        name = "Lapel exact" if spec == "faiss:Flat" else f"Lapel {spec[6:]} ({index.choice.factory or 'exact'})"
        yield Peer(name, built, size, lambda q, k, i=index: i.search(q, k).keys, settings)


def faiss_peers(vectors: Vectors, work: Path) -> Iterator[Peer]:
    """FAISS's usual choices as its own documentation builds them."""
    lists = 2 ** (int(4 * len(vectors) ** 0.5).bit_length() - 1)
    for factory in ("HNSW32", f"IVF{lists},Flat", f"IVF{lists},PQ32x4fs,RFlat"):

        def build(factory: str = factory) -> Any:
            index = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
            index.train(vectors[: min(len(vectors), 100 * lists)])
            index.add(vectors)
            return index

        path = work / f"{factory}-{len(vectors)}.kept"
        index, built = kept(path, build, faiss.write_index, faiss.read_index)
        size = len(faiss.serialize_index(index)) / len(vectors)
        graph = "HNSW" in factory
        texts = [f"efSearch={e}" if graph else f"nprobe={e}" for e in (GRAPH if graph else (4, 8, 16, 32, 64, 128))]
        if "RFlat" in factory:
            texts = [f"{text},k_factor_rf={factor}" for text in texts for factor in (4, 16)]

        def use(text: str, index: Any = index) -> None:
            faiss.ParameterSpace().set_index_parameters(index, text)

        settings = tuple((text, lambda text=text, use=use: use(text)) for text in texts)
        yield Peer(f"FAISS {factory}", built, size, lambda q, k, i=index: i.search(q, k)[1], settings)


def hnswlib_peers(vectors: Vectors, work: Path, threads: int) -> Iterator[Peer]:
    """Hnswlib with its defaults."""
    import hnswlib

    def build() -> Any:
        index = hnswlib.Index(space="ip", dim=vectors.shape[1])
        index.init_index(max_elements=len(vectors), M=16, ef_construction=200)
        index.add_items(vectors)
        return index

    def load(path: str) -> Any:
        index = hnswlib.Index(space="ip", dim=vectors.shape[1])
        index.load_index(path)
        return index

    path = work / f"hnswlib-{len(vectors)}.kept"
    index, built = kept(path, build, lambda index, path: index.save_index(path), load)
    size = 4 * vectors.shape[1] + 4 * 33 + 8 + 4 * 17 / 16
    settings = tuple((f"ef {effort}", lambda effort=effort: index.set_ef(effort)) for effort in GRAPH)
    yield Peer(
        "hnswlib M16",
        built,
        size,
        lambda q, k: index.knn_query(q, k, num_threads=threads or -1)[0].astype(np.int64),
        settings,
    )


def usearch_peers(vectors: Vectors, work: Path, threads: int) -> Iterator[Peer]:
    """Usearch with its defaults, in float32 and bfloat16."""
    from usearch.index import Index

    for dtype in DTYPES:

        def build(dtype: str = dtype) -> Any:
            index = Index(ndim=vectors.shape[1], metric="ip", dtype=dtype)
            index.add(np.arange(len(vectors)), vectors)
            return index

        path = work / f"usearch-{dtype}-{len(vectors)}.kept"
        index, built = kept(path, build, lambda index, path: index.save(path), Index.restore)

        def search(q: Vectors, k: int, index: Any = index) -> np.ndarray:
            return np.asarray(index.search(q, k, threads=threads).keys).reshape(len(q), -1).astype(np.int64)

        settings = tuple(
            (f"expansion {effort}", lambda effort=effort, index=index: setattr(index, "expansion_search", effort))
            for effort in GRAPH
        )
        yield Peer(f"usearch {dtype}", built, index.memory_usage / len(vectors), search, settings)


def sklearn_peers(vectors: Vectors, work: Path) -> Iterator[Peer]:
    """scikit-learn's brute force."""
    del work
    from sklearn.neighbors import NearestNeighbors

    began = time.perf_counter()
    index = NearestNeighbors(n_neighbors=K, algorithm="brute", metric="cosine").fit(vectors)
    built = time.perf_counter() - began
    yield Peer(
        "scikit-learn brute",
        built,
        4 * vectors.shape[1],
        lambda q, k: index.kneighbors(q, k, return_distance=False),
        (("all", lambda: None),),
    )


def measure(peer: Peer, setting: Setting, vectors: Vectors, queries: Vectors, last: Vectors) -> Point:
    """Recall, rate and time of one query."""
    name, use = setting
    use()
    few = slice(0, 20 if "brute" in peer.name else SINGLE)
    asked = queries[: BATCH if "brute" in peer.name else len(queries)]
    peer.search(asked[:BATCH], K)
    began = time.perf_counter()
    found = np.concatenate([peer.search(asked[at : at + BATCH], K) for at in range(0, len(asked), BATCH)])
    rate = len(asked) / (time.perf_counter() - began)
    times = []
    for row in range(len(queries[few])):
        began = time.perf_counter()
        peer.search(queries[row : row + 1], K)
        times.append(time.perf_counter() - began)
    recall = recall_of(found, vectors, asked, last[: len(asked)])
    return Point(peer.name, name, recall, rate, 1000 * float(np.median(times)), peer.build_s, peer.bytes_a_vector)


def all_points(peers: list[Peer], vectors: Vectors, queries: Vectors) -> list[Point]:
    """Every setting of every peer, in turns; of each the best of all rounds."""
    last = tenth_score(vectors, queries)
    best: dict[tuple[str, str], Point] = {}
    for _ in range(ROUNDS):
        for turn in range(max(len(peer.settings) for peer in peers)):
            for peer in peers:
                if turn >= len(peer.settings):
                    continue
                point = measure(peer, peer.settings[turn], vectors, queries, last)
                known = best.get((peer.name, point.setting), point)
                best[peer.name, point.setting] = replace(
                    point, rate=max(point.rate, known.rate), p50_ms=min(point.p50_ms, known.p50_ms)
                )
    return sorted(best.values(), key=lambda point: (point.peer, point.recall))


def draw(points: list[Point], count: int, target: Path) -> None:
    """Recall against rate, one curve a peer."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    axis = figure.subplots()
    for peer in dict.fromkeys(point.peer for point in points):
        every = [(p.recall, p.rate) for p in points if p.peer == peer]
        own = sorted(
            one for one in every if not any(o[0] >= one[0] and o[1] > one[1] for o in every)
        )  # no worse than its others
        lapel = peer.startswith("Lapel")
        axis.plot(
            *zip(*own, strict=True), marker="o", label=peer, linewidth=2.5 if lapel else 1, zorder=3 if lapel else 2
        )
    axis.set_yscale("log")
    axis.set_xlim(0.94, 1.002)
    axis.set_title(f"{count:,} vectors of 128 numbers")
    axis.set_xlabel(f"Recall@{K}")
    axis.set_ylabel("queries a second")
    axis.grid(alpha=0.3, which="both")
    axis.legend(fontsize=8)
    figure.savefig(target, dpi=100)


def tell(points: list[Point]) -> None:
    """All points, then the quickest of each peer at each recall beside the best peer's."""
    for p in points:
        print(f"{p.peer:34} {p.setting:28} recall {p.recall:.4f}  {p.rate:10,.0f}/s  {p.p50_ms:7.3f} ms")
    for name, p in {p.peer: p for p in points}.items():
        print(f"{name:34} built in {p.build_s:6.1f} s, {p.bytes_a_vector:5.0f} bytes a vector")
    for level in LEVELS:
        enough = [p for p in points if p.recall >= level]
        rate = {p.peer: p.rate for p in sorted(enough, key=lambda p: p.rate)}
        wait = {p.peer: p.p50_ms for p in sorted(enough, key=lambda p: -p.p50_ms)}
        print(f"at Recall@{K} >= {level}: " + ", ".join(f"{n} {r:,.0f}/s {wait[n]:.3f} ms" for n, r in rate.items()))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    parser.add_argument("--threads", type=int, default=0, help="of each library, all by default")
    parser.add_argument("--only", nargs="*", default=["lapel", "faiss", "hnswlib", "usearch", "sklearn"])
    wanted = parser.parse_args()
    wanted.out.mkdir(parents=True, exist_ok=True)
    vectors, queries = vectors_of(wanted)
    print(f"{len(vectors):,} x {vectors.shape[1]}, {QUERIES:,} queries; {machine()}", flush=True)
    kinds = {
        "lapel": lapel_peers,
        "faiss": faiss_peers,
        "hnswlib": lambda *given: hnswlib_peers(*given, wanted.threads),
        "usearch": lambda *given: usearch_peers(*given, wanted.threads),
        "sklearn": sklearn_peers,
    }
    if wanted.threads:
        faiss.omp_set_num_threads(wanted.threads)
    peers: list[Peer] = []
    for kind in wanted.only:
        try:
            for peer in kinds[kind](vectors, wanted.out):
                print(f"built {peer.name} in {peer.build_s:.1f} s", flush=True)
                peers.append(peer)
        except ImportError as error:
            print(f"left out: {error}")
    points = all_points(peers, vectors, queries)
    tell(points)
    (wanted.out / f"points-{len(vectors)}.json").write_text(json.dumps([asdict(point) for point in points], indent=1))
    draw(points, len(vectors), wanted.out / f"curve-{len(vectors)}.png")


if __name__ == "__main__":
    main()
