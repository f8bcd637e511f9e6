"""The libraries that ``indexes.py`` measures, each at the best of a small grid, and Lapel's own index among them.

The grid, by queries a second at a Recall@10 of 0.99 on 40,097 vectors: FAISS HNSW with 16 and 32 links, efConstruction
200; hnswlib with M 16 and 32, ef_construction 200; pyglass HNSW with R 32 and 48, L 200, in half precision; SVS Vamana
with a degree of 32 and 64, float32; usearch in float32 and bfloat16. A library that is not installed is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from lapel.core.vectors import Vectors
from lapel.indexes import MaintainedIndex, open_index

LEVELS = (0.95, 0.99, 0.998)
WIDTHS = (10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 256)
EF_CONSTRUCTION = 200

Search = Callable[[Vectors, int, int], np.ndarray]  # queries, k, threads -> (q, k) rows
Setting = tuple[str, Callable[[], Any]]  # its name, and what to call to have it


@dataclass(frozen=True)
class Peer:
    """A built index of one kind, and the settings it is asked with."""

    name: str
    build_s: float
    bytes_a_vector: float
    search: Search
    settings: tuple[Setting, ...]


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


def built(spec: str, vectors: Vectors, out: Path) -> tuple[Any, float, float]:
    """Lapel's index of these vectors, its background work done; the seconds it took, and megabytes; kept in ``out`` for
    the next run."""
    path = out / f"lapel-{spec[6:]}-{len(vectors)}.kept"

    def build() -> Any:
        index = open_index(spec, dim=vectors.shape[1])
        index.add(np.arange(len(vectors)), vectors)
        if isinstance(index, MaintainedIndex):
            index.wait_idle()
        return index

    def load(path: str) -> Any:
        return open_index(spec, dim=vectors.shape[1], path=Path(path))

    index, took = kept(path, build, lambda index, path: index.save(Path(path)), load)
    return index, took, path.stat().st_size / 1e6


def lapel_peers(vectors: Vectors, work: Path) -> Iterator[Peer]:
    """``faiss:auto`` with the parameters it finds for each recall, and with others; and exact search."""
    from lapel.indexes.structure import SearchParams

    for spec in ("faiss:auto", "faiss:Flat"):
        index, took, megabytes = built(spec, vectors, work)

        def search(q: Vectors, k: int, threads: int, index: Any = index) -> np.ndarray:
            faiss.omp_set_num_threads(threads)
            found: np.ndarray = index.search(q, k).keys
            return found

        settings: tuple[Setting, ...] = (("all", lambda: None),)
        if structure := getattr(index, "_structure", None):
            megabytes += len(vectors) * vectors.shape[1] / 1e6  # the file leaves out the bytes that it can make again

            def use(width: int, structure: Any = structure) -> None:
                structure.search_params = SearchParams(width, structure.search_params.refine_factor)

            settings = tuple((f"efSearch {width}", lambda width=width, use=use: use(width)) for width in WIDTHS)
            own = structure.search_params.width  # what it found for a recall of 0.99
            settings = (("default", lambda own=own, use=use: use(own)), *settings)
        name = "Lapel exact" if spec == "faiss:Flat" else f"Lapel faiss:auto ({index.choice.name or 'exact'})"
        yield Peer(name, took, 1e6 * megabytes / len(vectors), search, settings)


def faiss_peers(vectors: Vectors, work: Path) -> Iterator[Peer]:
    """FAISS's graphs."""
    for links in (16, 32):

        def build(links: int = links) -> Any:
            index = faiss.IndexHNSWFlat(vectors.shape[1], links, faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efConstruction = EF_CONSTRUCTION
            index.add(vectors)
            return index

        index, took = kept(work / f"faiss-{links}-{len(vectors)}.kept", build, faiss.write_index, faiss.read_index)

        def search(q: Vectors, k: int, threads: int, index: Any = index) -> np.ndarray:
            faiss.omp_set_num_threads(threads)
            found: np.ndarray = index.search(q, k)[1]
            return found

        settings = tuple(
            (f"efSearch {width}", lambda width=width, index=index: setattr(index.hnsw, "efSearch", width))
            for width in WIDTHS
        )
        yield Peer(f"FAISS HNSW{links}", took, 4 * vectors.shape[1] + 8.5 * links + 12, search, settings)


def hnswlib_peers(vectors: Vectors, work: Path) -> Iterator[Peer]:
    """Hnswlib's graphs."""
    import hnswlib

    for links in (16, 32):

        def empty() -> Any:
            return hnswlib.Index(space="ip", dim=vectors.shape[1])

        def build(links: int = links) -> Any:
            index = empty()
            index.init_index(max_elements=len(vectors), M=links, ef_construction=EF_CONSTRUCTION)
            index.add_items(vectors)
            return index

        def load(path: str) -> Any:
            index = empty()
            index.load_index(path)
            return index

        path = work / f"hnswlib-{links}-{len(vectors)}.kept"
        index, took = kept(path, build, lambda index, path: index.save_index(path), load)

        def search(q: Vectors, k: int, threads: int, index: Any = index) -> np.ndarray:
            found: np.ndarray = index.knn_query(q, k, num_threads=threads)[0].astype(np.int64)
            return found

        settings = tuple((f"ef {width}", lambda width=width, index=index: index.set_ef(width)) for width in WIDTHS)
        yield Peer(f"hnswlib M{links}", took, 4 * vectors.shape[1] + 8.5 * links + 12, search, settings)


def glass_peers(vectors: Vectors, work: Path) -> Iterator[Peer]:
    """Pyglass's graphs, searched in half precision."""
    import glass

    for links in (32, 48):

        def build(links: int = links) -> Any:
            return glass.Index("HNSW", "IP", quant="FP16", R=links, L=EF_CONSTRUCTION).build(vectors)

        path = work / f"glass-{links}-{len(vectors)}.kept"
        graph, took = kept(path, build, lambda graph, path: graph.save(path), glass.Graph)
        searcher = glass.Searcher(graph, vectors, "IP", "FP16")
        searcher.optimize(1)

        def search(q: Vectors, k: int, threads: int, searcher: Any = searcher) -> np.ndarray:
            found = searcher.search(q[0], k) if len(q) == 1 else searcher.batch_search(q, k, threads)
            return np.asarray(found[0] if isinstance(found, tuple) else found).reshape(len(q), -1).astype(np.int64)

        settings = tuple((f"ef {width}", lambda width=width, s=searcher: s.set_ef(width)) for width in WIDTHS)
        yield Peer(f"pyglass R{links} fp16", took, 2 * vectors.shape[1] + 4.2 * links, search, settings)


def svs_peers(vectors: Vectors, work: Path) -> Iterator[Peer]:
    """SVS's Vamana graphs in float32."""
    import os

    import svs

    for degree in (32, 64):

        def build(degree: int = degree) -> Any:
            params = svs.VamanaBuildParameters(graph_max_degree=degree, window_size=EF_CONSTRUCTION, alpha=0.95)
            return svs.Vamana.build(params, vectors, svs.DistanceType.MIP, num_threads=os.cpu_count())

        def load(path: str) -> Any:
            data = svs.VectorDataLoader(f"{path}-data", svs.DataType.float32)
            return svs.Vamana(f"{path}-config", svs.GraphLoader(f"{path}-graph"), data, svs.DistanceType.MIP)

        def save(index: Any, path: str) -> None:
            index.save(f"{path}-config", f"{path}-graph", f"{path}-data")

        index, took = kept(work / f"svs-{degree}-{len(vectors)}.kept", build, save, load)

        def search(q: Vectors, k: int, threads: int, index: Any = index) -> np.ndarray:
            if index.num_threads != threads:
                index.num_threads = threads
            return index.search(q, k)[0].astype(np.int64)

        settings = tuple(
            (f"window {width}", lambda width=width, index=index: setattr(index, "search_window_size", width))
            for width in WIDTHS
        )
        yield Peer(f"SVS Vamana {degree} f32", took, 4 * vectors.shape[1] + 4 * degree + 4, search, settings)


def usearch_peers(vectors: Vectors, work: Path) -> Iterator[Peer]:
    """Usearch's graphs."""
    from usearch.index import Index

    for dtype in ("f32", "bf16"):

        def build(dtype: str = dtype) -> Any:
            index = Index(ndim=vectors.shape[1], metric="ip", dtype=dtype, expansion_add=EF_CONSTRUCTION)
            index.add(np.arange(len(vectors)), vectors)
            return index

        path = work / f"usearch-{dtype}-{len(vectors)}.kept"
        index, took = kept(path, build, lambda index, path: index.save(path), Index.restore)

        def search(q: Vectors, k: int, threads: int, index: Any = index) -> np.ndarray:
            return np.asarray(index.search(q, k, threads=threads).keys).reshape(len(q), -1).astype(np.int64)

        settings = tuple(
            (f"expansion {width}", lambda width=width, index=index: setattr(index, "expansion_search", width))
            for width in WIDTHS
        )
        yield Peer(f"usearch {dtype}", took, index.memory_usage / len(vectors), search, settings)


PEERS = {
    "lapel": lapel_peers,
    "faiss": faiss_peers,
    "glass": glass_peers,
    "svs": svs_peers,
    "hnswlib": hnswlib_peers,
    "usearch": usearch_peers,
}
