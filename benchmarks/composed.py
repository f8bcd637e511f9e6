"""Composed queries: "the same kind for the same people, in another colour".

Every product of the split ``val`` asks once for each of the 12 commonest colours that is not its own and that at least
three products of ``train`` have with the same articleType and gender. Searched are the ``train`` products. An answer is
right where kind, gender and colour are right; the ceiling is below 1, as some tasks have fewer than ten right answers.

    python benchmarks/composed.py --store shop                # 3,000 tasks
    python benchmarks/composed.py --store shop --all          # all 34,308
    python benchmarks/composed.py --store shop --alone        # a copy of the store in which no product names a colour
    python benchmarks/composed.py --store shop --look         # shape, colour and pattern, each counting more or less
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lapel import Filter, Part, Query, SearchResult, Verdict
from lapel.catalog import Catalog
from lapel.core.filters import Condition
from lapel.engine.context import CATALOGUE, StoreContext, open_context
from lapel.engine.retrieval import SearchEngine
from lapel.insight.calibrate import calibration_error
from lapel.insight.fit_probes import title_values

COLOURS, TARGETS, DEPTH = 12, 3, 10
VERDICTS = 300  # tasks whose verdict is asked for
PHRASES = ("in {}", "{}", "the same in {}", "but in {}", "{} please", "a {} one")
TRAIN = Filter.parse(["split=train"])


@dataclass(frozen=True)
class Task:
    """A product and the colour that it is wanted in, with how many products would be right."""

    product_id: str
    wanted: tuple[str, str, str]
    colour: str
    targets: int


def tasks_of(catalog: Catalog) -> tuple[list[Task], dict[str, tuple[str, str, str]]]:
    """Every task, and (articleType, gender, colour) by product."""
    table = catalog.photo_facets(["articleType", "gender", "baseColour", "split"])
    columns = [table.values[name] for name in ("articleType", "gender", "baseColour")]
    rows = list(zip(table.product_ids, *columns, table.values["split"], strict=True))
    labels = {row[0]: (row[1], row[2], row[3]) for row in rows}
    common = [name for name, _ in Counter(row[3] for row in rows if row[3]).most_common(COLOURS)]
    there = Counter((row[1], row[2], row[3]) for row in rows if row[4] == "train")
    made = [
        Task(row[0], (row[1], row[2], colour), row[3], there[row[1], row[2], colour])
        for row in rows
        if row[4] == "val"
        for colour in common
        if colour != row[3] and there[row[1], row[2], colour] >= TARGETS
    ]
    return made, labels


def ask(engine: SearchEngine, queries: Sequence[Query], batch: int = 64) -> Iterator[SearchResult]:
    for at in range(0, len(queries), batch):
        yield from engine.search_many(queries[at : at + batch])


def measure(
    engine: SearchEngine, tasks: Sequence[Task], labels: dict[str, tuple[str, str, str]], second: str
) -> dict[str, float]:
    """Precision at 10 of the whole, of kind and gender, of the colour, and the share of the old colour."""
    queries = []
    for task in tasks:
        colour = task.wanted[2].lower()
        more = Part(colour=colour) if second == "colour" else Part(text=second.format(colour))
        queries.append(Query(parts=(Part(product_id=task.product_id), more), k=DEPTH, where=TRAIN))
    right, kinds, colours, old = [], [], [], []
    likely, true = [], []
    for task, result in zip(tasks, ask(engine, queries), strict=True):
        likely += [hit.probability for hit in result]
        true += [labels[hit.product.id][::2] == task.wanted[::2] for hit in result]
        found = [labels[hit.product.id] for hit in result]
        right.append(sum(each == task.wanted for each in found) / DEPTH)
        kinds.append(sum(each[:2] == task.wanted[:2] for each in found) / DEPTH)
        colours.append(sum(each[2] == task.wanted[2] for each in found) / DEPTH)
        old.append(sum(each[2] == task.colour for each in found) / DEPTH)
    error = calibration_error(np.array(likely, np.float64), np.array(true))
    return {"right": np.mean(right), "kind": np.mean(kinds), "colour": np.mean(colours), "old": np.mean(old)} | {
        "error": error
    }


def verdicts(engine: SearchEngine, tasks: Sequence[Task], *, there: bool) -> float:
    """The share of tasks that are answered with *nothing close*, with the asked colour among what is searched or
    without."""
    queries = []
    for task in tasks:
        gone = () if there else (Condition("baseColour", "!=", (task.wanted[2],)),)
        parts = (Part(product_id=task.product_id), Part(colour=task.wanted[2].lower()))
        queries.append(Query(parts=parts, k=DEPTH, where=Filter((*TRAIN.conditions, *gone))))
    return float(np.mean([result.verdict is Verdict.NOTHING_CLOSE for result in ask(engine, queries)]))


def without_colours(store: Path, work: Path) -> Path:
    """A copy of a store whose products name no colour, neither in a field nor in an attribute; titles are not read by
    a search with ``colour=``. What is right is still judged by the labels of the original."""
    folder = work / "alone"
    folder.mkdir()
    source, copy = sqlite3.connect(store / CATALOGUE), sqlite3.connect(folder / CATALOGUE)
    source.backup(copy)
    copy.execute("UPDATE product SET colour = '', attributes = json_remove(attributes, '$.baseColour')")
    names = "SELECT id FROM term WHERE name IN ('colour', 'baseColour')"
    copy.execute(f"DELETE FROM facet WHERE term IN ({names})")
    copy.execute("DELETE FROM term WHERE name IN ('colour', 'baseColour')")
    copy.commit()
    copy.close()
    for index in store.glob("index-*"):
        shutil.copy(index, folder)
    return folder


LOOKS = ("", "colour=2", "colour=3", "colour=0", "pattern=2", "pattern=3", "pattern=0", "shape=0", "shape=2")


def looks(context: StoreContext, count: int, seed: int) -> None:
    """Of products that ask with other weights of shape, colour and pattern: how many of ten agree in each."""
    table = context.catalog.photo_facets(["articleType", "baseColour", "split", "title"])
    title = title_values(table.values["title"], "pattern")
    labels = dict(
        zip(
            table.product_ids,
            zip(table.values["articleType"], table.values["baseColour"], title, strict=True),
            strict=True,
        )
    )
    held = [row for row, split in enumerate(table.values["split"]) if split == "val" and title[row] is not None]
    rows = np.random.default_rng(seed).permutation(held)[:count]
    asked = [table.product_ids[row] for row in rows]
    print(f"{len(asked):,} products whose title names a pattern; of the ten nearest, share with the same\n")
    print("| look | articleType | baseColour | pattern, where the title names one |\n|---|---|---|---|")
    engine = SearchEngine(context)
    for look in LOOKS:
        queries = [Query(product_id=each, k=DEPTH, where=TRAIN, look=look or None) for each in asked]
        same: list[list[float]] = [[], [], []]
        for product, result in zip(asked, ask(engine, queries), strict=True):
            for place, own in enumerate(labels[product]):
                found = [labels[hit.product.id][place] for hit in result]
                known = [value == own for value in found if value]
                same[place] += [sum(known) / len(known)] if known else []
        print(f"| {look or 'as usual'} | " + " | ".join(f"{np.mean(each):.3f}" for each in same) + " |", flush=True)


def report(name: str, found: dict[str, float], ceiling: float) -> None:
    print(
        f"| {name} | {found['right']:.3f} | {found['right'] / ceiling:.3f} | {found['kind']:.3f} |"
        f" {found['colour']:.3f} | {found['old']:.3f} | {found['error']:.3f} |",
        flush=True,
    )


def run(context: StoreContext, tasks: Sequence[Task], labels: dict[str, tuple[str, str, str]], *, alone: bool) -> None:
    ceiling = float(np.mean([min(DEPTH, task.targets) / DEPTH for task in tasks]))
    print(f"{len(tasks):,} tasks; the most that P@10 can be: {ceiling:.3f}\n")
    print(
        "| query | P@10 | of the most | kind and gender | colour | old colour | error |\n|---|---|---|---|---|---|---|"
    )
    engine = SearchEngine(context)
    report("product + colour", measure(engine, tasks, labels, "colour"), ceiling)
    if not alone:
        some = tasks[:VERDICTS]
        there, gone = (100 * verdicts(engine, some, there=each) for each in (True, False))
        print(
            f"nothing close, {len(some)} tasks: {there:.1f} %; where nothing has the colour: {gone:.1f} %", flush=True
        )
    if alone:  # words would be found in titles
        return
    spread = []
    for phrase in PHRASES:
        found = measure(engine, tasks[: max(300, len(tasks) // 6)], labels, phrase)
        spread.append(found["right"])
        report(f'product + "{phrase.format("red")}"', found, ceiling)
    print(f"\nSpread over {len(PHRASES)} phrases: {100 * (max(spread) - min(spread)):.1f} points")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True, help="A store of the real catalogue.")
    parser.add_argument("--tasks", type=int, default=3000)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--alone", action="store_true", help="In a copy without names of colours.")
    parser.add_argument("--look", action="store_true", help="Weights of shape, colour and pattern.")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with open_context(given.store, read_only=True) as context:
        if given.look:
            looks(context, min(given.tasks, 1000), given.seed)
            return
        tasks, labels = tasks_of(context.catalog)
        print(f"{len(tasks):,} tasks of {len({task.product_id for task in tasks}):,} products in all")
        if not given.all:
            order = np.random.default_rng(given.seed).permutation(len(tasks))[: given.tasks]
            tasks = [tasks[at] for at in order]
        if not given.alone:
            run(context, tasks, labels, alone=False)
            return
    with tempfile.TemporaryDirectory() as work, open_context(without_colours(given.store, Path(work))) as context:
        run(context, tasks, labels, alone=True)


if __name__ == "__main__":
    main()
