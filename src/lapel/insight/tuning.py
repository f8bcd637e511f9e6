"""Which index suits a shop: every candidate measured on the shop's own vectors and queries: a table, a plot, a choice.

In go vectors and queries, out come recall against exact search, times, memory and building time of each kind; the
choice is the quickest kind that reaches the wanted recall within the memory, or exact search where that is quick
enough.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lapel.core.errors import InputError, MissingDependencyError
from lapel.core.vectors import Keys, Vectors
from lapel.indexes import MaintainedIndex, VectorIndex, explain, open_index
from lapel.indexes.growing import GrowingIndex

NVIDIA = Path("/dev/nvidiactl")  # is there where NVIDIA's driver is
K = 10
BATCH = 64  # queries at once where the rate is measured
QUICK_MS = 0.2  # of a query by exact search: making the vector of a picture takes twenty times as long
TIE = 1e-4  # of a cosine: whoever is nearer than the tenth but for that is right too; shops sell the same picture twice
REPEATS = 3  # times each query is asked; the quickest counts, so that other programs do not


@dataclass(frozen=True)
class Trial:
    """What one kind of index did.

    Attributes:
        spec: What opens it, see :func:`lapel.open_index`.
        kind: What it built: for ``faiss:auto`` what it chose.
        recall: Recall@10 against exact search, by score, 0..1.
        p50_ms: Median time of one query, milliseconds.
        p95_ms: 95th percentile.
        rate: Queries a second in batches of 64.
        bytes_a_vector: Size of its file over the number of vectors: what it takes in memory, about.
        build_s: Seconds to build.
        problem: Why it could not be measured, or nothing.
    """

    spec: str
    kind: str = ""
    recall: float = 0.0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    rate: float = 0.0
    bytes_a_vector: float = 0.0
    build_s: float = 0.0
    problem: str = ""


@dataclass(frozen=True)
class Tuning:
    """All trials and what follows from them.

    Attributes:
        vectors: How many vectors were held.
        queries: How many were asked.
        recall: What was wanted, 0..1.
        trials: One for each candidate.
        choice: The spec of the quickest one that reaches it; exact search when none does.
        why: One sentence for people.
    """

    vectors: int
    queries: int
    recall: float
    trials: tuple[Trial, ...]
    choice: str
    why: str

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def candidates(count: int, dim: int, *, recall: float) -> list[str]:
    """The kinds worth trying for so many vectors."""
    lists = max(16, 2 ** (int(4 * count**0.5).bit_length() - 1))
    kinds = ["auto", "HNSW16", "HNSW16_SQfp16"]
    if dim % 4 == 0:
        kinds.append(f"IVF{lists},PQ{dim // 4}x4fs")
    return [
        "faiss:Flat",
        *(["torch:"] if NVIDIA.exists() and importlib.util.find_spec("torch") else []),
        *(f"faiss:{kind}?recall={recall}" for kind in kinds),
    ]


def tune(
    keys: Keys,
    vectors: Vectors,
    queries: Vectors,
    own: Keys,
    *,
    specs: Sequence[str] = (),
    recall: float = 0.99,
    memory: int | None = None,
    folder: Path,
    report: Callable[[Trial], None],
) -> Tuning:
    """Measure candidates.

    Args:
        keys: (n,) of the vectors.
        vectors: (n, dim) unit rows.
        queries: (q, dim) unit rows.
        own: (q,) keys that do not count as answers of their query, -1 for none.
        specs: Kinds to try; :func:`candidates` by default.
        recall: Wanted Recall@10, 0..1.
        memory: Bytes the index may take; any number by default.
        folder: Where files are written while they are measured.
        report: Called with each trial.

    Raises:
        InputError: too few vectors or no query.
    """
    if len(keys) <= K or not len(queries):
        raise InputError(
            f"Tuning needs more than {K} vectors and at least one query; found {len(keys)} and {len(queries)}."
            " Add products first."
        )
    exact = open_index("faiss:Flat", dim=vectors.shape[1])
    exact.add(keys, vectors)
    truth = _answers(exact, queries, own)
    trials = []
    for spec in specs or candidates(len(keys), vectors.shape[1], recall=recall):
        try:
            trial = _try(spec, keys, vectors, queries, own, truth, folder)
        except InputError as error:
            trial = Trial(spec, problem=str(error))
        report(trial)
        trials.append(trial)
    choice, why = _choose(trials, recall, None if memory is None else memory / len(keys))
    return Tuning(len(keys), len(queries), recall, tuple(trials), choice, why)


def _try(
    spec: str, keys: Keys, vectors: Vectors, queries: Vectors, own: Keys, truth: list[dict[int, float]], folder: Path
) -> Trial:
    began = time.perf_counter()
    index = open_index(spec, dim=vectors.shape[1])
    index.add(keys, vectors)
    if isinstance(index, MaintainedIndex):
        index.wait_idle()
    built = time.perf_counter() - began
    problem = index.problem if isinstance(index, MaintainedIndex) else ""
    choice = index.choice if isinstance(index, GrowingIndex) else None
    if problem or (choice is not None and not choice.name and not spec.startswith(("faiss:auto", "faiss:Flat"))):
        return Trial(spec, problem=problem or explain(spec, count=len(keys), dim=vectors.shape[1]))
    found = _answers(index, queries, own)
    hit = [
        sum(score >= min(t.values()) - TIE for score in f.values()) / len(t)
        for f, t in zip(found, truth, strict=True)
        if t
    ]
    times = []
    for row in range(len(queries)):
        times.append(min(_timed(index, queries[row : row + 1]) for _ in range(REPEATS)))
    batches = [queries[at : at + BATCH] for at in range(0, len(queries), BATCH)]
    took = sum(min(_timed(index, batch) for _ in range(REPEATS)) for batch in batches)
    path = folder / "tuning.bin"
    try:
        index.save(path)
        size = path.stat().st_size
        if choice is not None and choice.name.startswith("HNSW"):
            size += vectors.size  # the bytes that a graph finds its way by are made again from its file
    finally:
        path.unlink(missing_ok=True)
        index.close()
    return Trial(
        spec,
        choice.name or "all scanned" if choice is not None else spec.partition(":")[2],
        float(np.mean(hit)),
        float(np.median(times)) * 1000,
        float(np.percentile(times, 95)) * 1000,
        len(queries) / took,
        size / len(keys),
        built,
    )


def _timed(index: VectorIndex, queries: Vectors) -> float:
    began = time.perf_counter()
    index.search(queries, K)
    return time.perf_counter() - began


def _answers(index: VectorIndex, queries: Vectors, own: Keys) -> list[dict[int, float]]:
    """The K best keys of each query without its own, and their scores."""
    answers = []
    for at in range(0, len(queries), BATCH):
        found = index.search(queries[at : at + BATCH], K + 1)
        for keys, scores, mine in zip(found.keys.tolist(), found.scores.tolist(), own[at:], strict=False):
            pairs = [(key, score) for key, score in zip(keys, scores, strict=True) if key not in (int(mine), -1)]
            answers.append(dict(pairs[:K]))
    return answers


def _choose(trials: Sequence[Trial], recall: float, bytes_a_vector: float | None) -> tuple[str, str]:
    # By the figures as they are printed, so that nobody reads another choice out of the table.
    fit = [
        t
        for t in trials
        if not t.problem
        and round(t.recall, 3) >= recall
        and (bytes_a_vector is None or t.bytes_a_vector <= bytes_a_vector)
    ]
    if not fit:
        return (
            "faiss:auto",
            f"No candidate reaches a recall of {recall:.2f} within the memory; faiss:auto decides by size.",
        )
    best = min(fit, key=lambda t: (round(t.p50_ms, 2), -round(t.recall, 3), t.bytes_a_vector))
    exact = next((t for t in fit if t.spec == "faiss:Flat"), None)
    if exact is not None and (exact.p50_ms <= QUICK_MS or exact.p50_ms <= 1.5 * best.p50_ms):
        return (
            exact.spec,
            f"Exact search takes {exact.p50_ms:.2f} ms a query"
            + (
                f", the quickest {best.p50_ms:.2f} ms: nobody would notice." if best is not exact else ": the quickest."
            ),
        )
    return (
        best.spec,
        f"The quickest with a recall of at least {recall:.2f}: {best.p50_ms:.2f} ms a query at {best.recall:.3f}.",
    )


def draw(tuning: Tuning, target: Path) -> None:
    """A plot of recall over time for one query, each candidate a point as large as its memory.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("The plot needs matplotlib. Run: pip install 'lapel[plot]'") from error

    figure = Figure(figsize=(8, 5), layout="constrained")
    axis = figure.subplots()
    for trial in tuning.trials:
        if not trial.problem:
            chosen = trial.spec == tuning.choice
            axis.scatter(
                trial.p50_ms,
                trial.recall,
                s=trial.bytes_a_vector / 4,
                alpha=0.6,
                color="tab:red" if chosen else "tab:blue",
            )
            axis.annotate(
                trial.kind, (trial.p50_ms, trial.recall), xytext=(6, -10), textcoords="offset points", fontsize=8
            )
    axis.axhline(tuning.recall, color="grey", linewidth=0.8, linestyle="--")
    axis.set_xscale("log")
    axis.set_xlabel("milliseconds a query (median)")
    axis.set_ylabel(f"Recall@{K} against exact search")
    axis.set_title(
        f"{tuning.vectors:,} vectors, {tuning.queries:,} queries; area: bytes a vector; red: chosen", fontsize=10
    )
    axis.grid(alpha=0.3)
    figure.savefig(target, dpi=120)
