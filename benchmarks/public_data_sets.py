"""How an encoder does on a public data set by its official protocol, beside what others have published.

    python benchmarks/public_data_sets.py in-shop FOLDER [--encoder small] [--json]

Recall@K is the share of queries with an image of the same item among the K nearest images by cosine, one vector an
image and nothing re-ranked. In-Shop's queries ask its gallery; every test image of Online Products asks all others,
itself left out by id. The copies of the data sets are read by ``data_set_copies.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from data_set_copies import GALLERY, QUERY, TRAIN, Benchmark, DataSet, Listed, open_benchmark, write_table
from lapel.apps.cli.console import JsonOption, print_json, print_table, progress_bar, say
from lapel.core.errors import InputError, LapelError
from lapel.core.metrics import Estimate, Relevant, proportion, recall_at
from lapel.core.text import counted
from lapel.core.vectors import Vectors
from lapel.encoders import Encoder, open_encoder
from lapel.engine.pipeline import PhotoTask, Pipeline
from lapel.indexes import open_index
from lapel.runners import open_runner
from lapel.sources import ImageSource

FORMAT = "lapel-benchmark-1"
INDEX_SPEC = "exact:"
BATCH = 64  # pictures encoded at once
BLOCK = 512  # queries answered at once
SHOWN = 5  # images left out that are named; --json names all

Progress = Callable[[int, int], None]  # how many so far, and in all
Bars = Callable[[str], AbstractContextManager[Progress]]  # what is done -> how far it is
Row = tuple[str, ...]


@dataclass(frozen=True)
class BenchmarkReport:
    """What an encoder reached. ``asked + without_answer`` is the number of queries whose pictures could be used.

    Attributes:
        data_set: On what.
        model: Name of the encoder.
        fingerprint: Its fingerprint.
        dim: Width of its vectors.
        asked: Queries that count.
        without_answer: Queries of whose item the gallery holds no other picture; not in the means.
        gallery: Pictures that could be found.
        items: Their items.
        recall: By K. The interval takes queries for independent; those of one item are not quite, so it is a little
            narrow.
        left_out: (picture, reason) of every test picture that could not be used.
        differences: Why the figures cannot be put beside published ones; empty when they can.
    """

    data_set: DataSet
    model: str
    fingerprint: str
    dim: int
    asked: int
    without_answer: int
    gallery: int
    items: int
    recall: Mapping[int, Estimate]
    left_out: tuple[tuple[str, str], ...]
    differences: tuple[str, ...]

    def rows(self) -> list[Row]:
        """For people: a header, then the model and the published figures, a row each, in percent."""
        ours = [f"{100 * one.value:.1f} [{100 * one.low:.1f}, {100 * one.high:.1f}]" for one in self.recall.values()]
        rows: list[Row] = [("", *(f"Recall@{k}" for k in self.recall))]
        rows.append((f"{self.model} ({self.fingerprint}), {self.dim}-d", *ours))
        for one in self.data_set.published:
            known = (f"{one.recall[k]:.1f}" if k in one.recall else "-" for k in self.recall)
            rows.append((one.method, *known))
        return rows

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; recall as shares of 1, published figures in percent as they were published."""
        return {
            "format": FORMAT,
            "data_set": self.data_set.name,
            "model": {"name": self.model, "fingerprint": self.fingerprint, "dim": self.dim},
            "index": INDEX_SPEC,
            "queries": self.asked,
            "queries_without_answer": self.without_answer,
            "gallery": {"pictures": self.gallery, "items": self.items},
            "recall": {str(k): estimate.to_json() for k, estimate in self.recall.items()},
            "left_out": [{"picture": name, "reason": reason} for name, reason in self.left_out],
            "comparable": not self.differences,
            "differences": list(self.differences),
            "published": [
                {
                    "method": one.method,
                    "percent": {str(k): value for k, value in one.recall.items()},
                    "source": one.source,
                }
                for one in self.data_set.published
            ],
        }


def _silent(_: str) -> AbstractContextManager[Progress]:
    return nullcontext(lambda *_: None)


def measure(
    benchmark: Benchmark, encoder: Encoder, *, limit: int | None = None, progress: Bars = _silent
) -> BenchmarkReport:
    """Encode the test pictures, let the queries ask, and count who found their item.

    Args:
        benchmark: The data set.
        encoder: What makes the vectors.
        limit: Only the first so many test items, to try things out: among fewer pictures, recall is higher.
        progress: Gives a bar for each of the two long parts, such as :func:`lapel.apps.cli.console.progress_bar`.

    Raises:
        InputError: a limit below one, or no query that could find anything.
    """
    pictures, differences = _test_pictures(benchmark, limit)
    here = [picture for picture in pictures if picture.uri]
    with progress("encoding pictures") as report:
        vectors, problems = _encode(here, benchmark.source, encoder, report)
    left_out = [(picture.name, f"it is not in {benchmark.source.where}") for picture in pictures if not picture.uri]
    left_out += [(picture.name, problem) for picture, problem in zip(here, problems, strict=True) if problem]
    if left_out:
        differences.append(f"{counted(len(left_out), 'test picture')} could not be used")
    usable = np.array([not problem for problem in problems], bool)
    known = [picture for picture, good in zip(here, usable.tolist(), strict=True) if good]
    items = np.unique([picture.item for picture in known], return_inverse=True)[1].astype(np.int64)
    asks = np.array([picture.split in QUERY for picture in known], bool)
    shown = np.array([picture.split in GALLERY for picture in known], bool)
    # How many others of a picture's item can be found: itself is not among them.
    others = np.bincount(items[shown], minlength=len(known))[items] - shown
    queries, gallery = np.flatnonzero(asks & (others > 0)), np.flatnonzero(shown)
    without = int((asks & (others == 0)).sum())
    if not len(queries):
        raise InputError(
            f"No query of {benchmark.data_set.title} can find anything: {int(asks.sum())} of their pictures could be"
            f" used,"
            f" and the gallery holds {len(gallery)}."
            + (f" The first left out: {left_out[0][0]}: {left_out[0][1]}" if left_out else "")
        )
    if without:
        differences.append(f"{counted(without, 'query has', 'queries have')} no other picture of the item to find")
    with progress("answering queries") as report:
        relevant = _answers(vectors[usable], items, queries, gallery, depth=max(benchmark.data_set.k), report=report)
    return BenchmarkReport(
        data_set=benchmark.data_set,
        model=encoder.name,
        fingerprint=encoder.fingerprint,
        dim=encoder.dim,
        asked=len(queries),
        without_answer=without,
        gallery=len(gallery),
        items=len(np.unique(items[gallery])),
        recall={k: proportion(recall_at(relevant, k)) for k in benchmark.data_set.k},
        left_out=tuple(left_out),
        differences=tuple(differences),
    )


def _test_pictures(benchmark: Benchmark, limit: int | None) -> tuple[list[Listed], list[str]]:
    """Pictures that ask or may be found, and what already keeps the figures from being compared."""
    if limit is not None and limit < 1:
        raise InputError(f"A limit is a number of items from 1 up; found {limit}.")
    pictures = [picture for picture in benchmark.pictures if picture.split != TRAIN]
    differences = benchmark.differences()
    items = list(dict.fromkeys(picture.item for picture in pictures))
    if limit is not None and limit < len(items):
        kept = set(items[:limit])
        pictures = [picture for picture in pictures if picture.item in kept]
        differences.append(f"only {limit:,} of {len(items):,} test items were used")
    return pictures, differences


def _encode(
    pictures: Sequence[Listed], source: ImageSource, encoder: Encoder, report: Progress
) -> tuple[Vectors, list[str]]:
    """Vectors of all pictures, (n, dim), and what is wrong with each (mostly nothing); threads read and scale ahead."""
    tasks = [PhotoTask(uri=picture.uri) for picture in pictures]
    batches = [tasks[at : at + BATCH] for at in range(0, len(tasks), BATCH)]
    done = 0
    for batch in Pipeline(encoder, read=source.read).map(open_runner("threads:"), batches):
        done += len(batch)
        report(done, len(tasks))
    nothing = np.zeros(encoder.dim, np.float32)
    vectors = [nothing if task.vector is None else task.vector for task in tasks]
    return np.stack([*vectors, nothing])[:-1], [task.problem for task in tasks]


def _answers(
    vectors: Vectors,
    items: NDArray[np.int64],
    queries: NDArray[np.int64],
    gallery: NDArray[np.int64],
    *,
    depth: int,
    report: Progress,
) -> Relevant:
    """Whether the picture at each rank shows the query's item, (q, depth) bool; keys are rows of ``vectors``."""
    index = open_index(INDEX_SPEC, dim=vectors.shape[1])
    index.add(gallery, vectors[gallery])
    relevant = np.zeros((len(queries), depth), bool)
    for start in range(0, len(queries), BLOCK):
        asked = queries[start : start + BLOCK]
        keys = index.search(vectors[asked], depth + 1).keys
        # Oneself goes to the end by id, at whatever rank one came, and is cut off there; so is the spare answer of the
        # others.
        others = np.argsort(keys == asked[:, None], axis=1, kind="stable")[:, :depth]
        keys = np.take_along_axis(keys, others, axis=1)
        relevant[start : start + len(asked)] = (keys >= 0) & (items[keys] == items[asked][:, None])
        report(start + len(asked), len(queries))
    index.close()
    return relevant


# --- the command
# -------------------------------------------------------------------------------------------------------


class Name(StrEnum):
    """The data sets, as people type them."""

    IN_SHOP = "in-shop"
    ONLINE_PRODUCTS = "online-products"


def benchmark(
    data_set: Annotated[
        Name, typer.Argument(help="DeepFashion In-Shop or Stanford Online Products.", show_default=False)
    ],
    folder: Annotated[Path, typer.Argument(help="The folder with your copy, as it was unpacked.", show_default=False)],
    encoder: Annotated[str, typer.Option("--encoder", help="default, small, colour:, or a model folder.")] = "default",
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Only so many test items, to try things out: too easy to compare."),
    ] = None,
    write_table: Annotated[
        Path | None,
        typer.Option("--write-table", help="Write the training pictures as a table for 'lapel train', and stop."),
    ] = None,
    val_share: Annotated[
        float, typer.Option("--val-share", help="Of the table: the share of items held out as val.")
    ] = 0.1,
    seed: Annotated[int, typer.Option("--seed", help="Of the table: decides which items.")] = 7,
    as_json: JsonOption = False,
) -> None:
    """Measure Recall@K on a public data set by its official protocol, beside published figures.

    The data sets do not come with Lapel: ask their authors. DeepFashion is for non-commercial research only.

    Recall@K is the share of queries with a picture of the same item among the K nearest. In-Shop's queries ask its
    gallery; every test picture of Online Products asks all others.
    """
    copy = open_benchmark(data_set.value, folder)
    if write_table is not None:
        _write_table(copy, write_table, val_share, seed)
        return
    report = measure(copy, open_encoder(encoder), limit=limit, progress=progress_bar)
    if as_json:
        print_json(report.to_json())
    else:
        _print(report)


def _write_table(copy: Benchmark, path: Path, share: float, seed: int) -> None:
    counts = write_table(copy, path, share=share, seed=seed)
    say(
        f"Wrote {path}: {counts['train']:,} items to learn from, {counts['val']:,} to judge by,"
        f" {counts['pictures']:,} pictures; the test items are not in it."
    )
    missing = sum(picture.split == "train" and not picture.uri for picture in copy.pictures)
    if missing:
        have = counted(missing, "training picture of the list has", "training pictures of the list have")
        say(f"{have} no file in {copy.source.where}.", style="yellow")
    say(f"Its pictures are in {copy.source.where}; what to learn is in its column item_id.")


def _print(report: BenchmarkReport) -> None:
    data_set = report.data_set
    say(
        f": {report.asked:,} queries against {report.gallery:,} pictures of {report.items:,} items ({data_set.terms})",
        head=data_set.title,
    )
    header, *rows = report.rows()
    print_table(header, rows, right=header[1:])
    say("% with 95 % intervals; then what others published:")
    for one in data_set.published:
        say(f"  {one.method}: {one.source}")
    for difference in report.differences:
        say(f"Not to be put beside the published figures: {difference}.", style="yellow")
    for name, reason in report.left_out[:SHOWN]:
        say(f"  {name}: {reason}")
    if len(report.left_out) > SHOWN:
        say(f"  ... and {len(report.left_out) - SHOWN:,} more; --json names all")


if __name__ == "__main__":
    try:
        typer.run(benchmark)
    except LapelError as error:
        say(str(error), head="Error: ", err=True)
        raise SystemExit(1) from None
