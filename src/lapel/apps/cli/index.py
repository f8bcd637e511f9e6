"""``lapel index``: look after the index, the catalogue's shadow, and choose its kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lapel.apps.cli.console import DEFAULT_STORE, JsonOption, StoreOption, note, print_json, print_table, say
from lapel.service import counted

if TYPE_CHECKING:
    from lapel.service import IndexDifference, Trial

index = typer.Typer(help="Look after the index and choose its kind.", rich_markup_mode=None, no_args_is_help=True)

SpecArgument = Annotated[
    str,
    typer.Argument(
        help="faiss:auto, faiss:Flat, faiss:HNSW16, faiss:IVF1024,PQ32x4fs, exact:, milvus://...", metavar="SPEC"
    ),
]


@index.callback()
def root() -> None:
    """Look after the index of a store."""


@index.command()
def rebuild(store: StoreOption = DEFAULT_STORE) -> None:
    """Build the index anew from the catalogue's vectors.

    A store does so by itself when it finds its index old or damaged.
    """
    from lapel.service import open_store

    with open_store(store) as shop:
        say(f"Built an index of {counted(shop.index.rebuild(), 'vector')}.")


@index.command()
def use(spec: SpecArgument, store: StoreOption = DEFAULT_STORE) -> None:
    """Search with another kind of index from now on, in every process that serves the store."""
    from lapel.service import open_store

    with open_store(store) as shop:
        say(f"Built '{spec}' with {counted(shop.index.use(spec), 'vector')}.")


@index.command()
def check(
    store: StoreOption = DEFAULT_STORE,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what differs, and nothing else.")] = False,
    sample: Annotated[
        int, typer.Option("--sample", min=0, help="Vectors to compare; --repair compares all. Keys are compared all.")
    ] = 1000,
    as_json: JsonOption = False,
) -> None:
    """Compare the index with the catalogue: missing keys, surplus keys, other vectors. Exit code 1 when they differ.

    A server that has loaded a damaged index file goes on with it until it is started again.
    """
    from lapel.service import open_store

    with open_store(store) as shop:
        found = shop.index.check(sample=sample, repair=repair)
        mended = repair and not found.agrees and shop.index.check(sample=sample).agrees
    if as_json:
        facts = {"index": found.spec, "generation": found.generation, "wanted": found.wanted, "held": found.held}
        differ = {name: getattr(found, name).tolist() for name in ("missing", "surplus", "other")}
        print_json({**facts, **differ, "compared": found.compared, "agrees": found.agrees, "mended": mended})
    else:
        _print_difference(found)
        if found.agrees:
            say("They agree.")
        elif mended:
            say("Mended: now they agree.")
        elif repair:
            say("Build it anew: lapel index rebuild", head="They still differ. ")
        else:
            say(f"Mend it: lapel index check --repair --store {store}", head="They differ. ")
    if not (found.agrees or mended):
        raise typer.Exit(1)


def _print_difference(found: IndexDifference) -> None:
    say(
        f"'{found.spec}' holds {counted(found.held, 'vector')}, the catalogue {found.wanted:,} (generation"
        f" {found.generation:,})"
    )
    say(
        f"{len(found.missing):,} missing, {len(found.surplus):,} surplus, {len(found.other):,} other vectors among"
        f" {found.compared:,} compared"
    )


@index.command()
def tune(
    store: StoreOption = DEFAULT_STORE,
    try_: Annotated[
        list[str] | None, typer.Option("--try", help="A kind to measure, such as faiss:HNSW16. Repeat.")
    ] = None,
    recall: Annotated[float, typer.Option("--recall", help="Wanted Recall@10 against exact search.")] = 0.99,
    queries: Annotated[
        list[str] | None,
        typer.Option("--queries", help="Photos to ask with, as filters such as split=val; some of all by default."),
    ] = None,
    count: Annotated[int, typer.Option("--count", help="How many queries.")] = 500,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for tuning.json and tuning.png.")] = None,
    keep: Annotated[bool, typer.Option("--use", help="Search with the chosen kind from now on.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure kinds of index on the shop's own vectors and queries: recall, times, memory; and choose."""
    from lapel.core.types import Filter
    from lapel.service import open_store

    with open_store(store) as shop:
        tuning = shop.index.tune(
            try_ or (),
            recall=recall,
            queries=Filter.parse(queries or ()),
            count=count,
            progress=lambda trial: note(f"measured {trial.spec}"),
        )
        if out is not None:
            shop.index.save_tuning(tuning, out)
        if keep:
            shop.index.use(tuning.choice)
    if as_json:
        print_json(tuning.to_json())
        return
    _print_trials(tuning.trials)
    say(f"  {tuning.why}", head=tuning.choice)
    if keep:
        say("It is what the store is searched with now.")
    else:
        say(f"Take it: lapel index use '{tuning.choice}' --store {store}")


def _print_trials(trials: Sequence[Trial]) -> None:
    header = ("kind", "recall@10", "p50 ms", "p95 ms", "queries/s", "bytes a vector", "built in s")
    rows = [
        (
            trial.spec,
            f"{trial.recall:.3f}",
            f"{trial.p50_ms:.2f}",
            f"{trial.p95_ms:.2f}",
            f"{trial.rate:,.0f}",
            f"{trial.bytes_a_vector:.0f}",
            f"{trial.build_s:.1f}",
        )
        for trial in trials
        if not trial.problem
    ]
    print_table(header, rows, right=header[1:])
    for trial in trials:
        if trial.problem:
            say(f"{trial.spec}: {trial.problem}")
