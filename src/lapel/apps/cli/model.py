"""``lapel model``: which model a store is searched with: compare two, change to one, go back, tidy up."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lapel.apps.cli.console import (
    DEFAULT_STORE,
    JsonOption,
    StoreOption,
    errors,
    print_json,
    print_table,
    progress_bar,
    resumable,
    say,
)
from lapel.core.errors import InputError, StoreError
from lapel.core.text import counted, reason_of
from lapel.core.types import Filter

if TYPE_CHECKING:
    from lapel.engine.context import StoreContext
    from lapel.engine.models import ModelChange

LOG = "model.log"  # in the store's folder: what a change in the background says
STEPS = 20  # lines of progress in a log

model = typer.Typer(help="Compare and change the model of a store.", rich_markup_mode=None, no_args_is_help=True)

MissingOption = Annotated[
    bool,
    typer.Option(
        "--allow-missing",
        help="Change although some pictures cannot be read any more: their products are not found then.",
    ),
]
WaitOption = Annotated[
    bool, typer.Option("--wait", help="While another process adds products, wait for it instead of refusing.")
]
ModelArgument = Annotated[
    str,
    typer.Argument(
        help="default, small, colour:, a model folder, or a name or fingerprint that 'lapel model list' shows."
    ),
]


@model.callback()
def root() -> None:
    """Compare and change the model of a store."""


@model.command("list")
def list_models(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Say which models have vectors in a store, which one is searched, and what is being encoded now."""
    from lapel.catalog import model_work
    from lapel.engine.context import open_to_look
    from lapel.engine.models import models_of

    with open_to_look(store) as shop:
        known, photos = models_of(shop), shop.catalog.counts().photos
    work = model_work(store)
    if as_json:
        rows = [
            {
                "name": one.model.name,
                "fingerprint": one.model.fingerprint,
                "opened_with": one.model.encoder,
                "dim": one.model.dim,
                "photos": one.photos,
                "active": one.active,
                "previous": one.previous,
            }
            for one in known
        ]
        print_json({"photos": photos, "models": rows, "work": work})
        return
    header = ("state", "name", "fingerprint", "dim", "photos", "opened with")
    table = [
        (
            "in use" if one.active else "before" if one.previous else "",
            one.model.name,
            one.model.fingerprint,
            str(one.model.dim),
            f"{one.photos:,} of {photos:,}",
            one.model.encoder,
        )
        for one in known
    ]
    print_table(header, table, right=("dim", "photos"))
    if work:
        say(f"Another process is at work: {work}.")
    elif not known:
        say("The store has no model yet: 'lapel add' gives it one.")
    elif any(one.photos < photos and not one.active for one in known):
        said = f" What the last change in the background said is in {store / LOG}." if (store / LOG).exists() else ""
        say(f"'lapel model use' encodes what a model has not seen yet, and goes on where it was stopped.{said}")


@model.command()
def compare(
    a: Annotated[str, typer.Argument(help="A model, mostly the one in use: see 'lapel model use'.")],
    b: Annotated[str, typer.Argument(help="Another model.")],
    store: StoreOption = DEFAULT_STORE,
    queries: Annotated[
        list[str] | None, typer.Option("--queries", help="Whose photos ask, such as split=val. All by default.")
    ] = None,
    gallery: Annotated[
        list[str] | None, typer.Option("--gallery", help="What may be found, such as split=train. All by default.")
    ] = None,
    relevant: Annotated[
        list[str] | None,
        typer.Option("--relevant", help="Say which model is right more often: fields that must agree. Repeat."),
    ] = None,
    ask: Annotated[int, typer.Option("--ask", min=1, help="How many photos ask.")] = 200,
    sample: Annotated[
        int | None, typer.Option("--sample", min=2, help="Compare over so many products only, for a first look.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many products each photo is answered with.")] = 10,
    seed: Annotated[int, typer.Option("--seed", help="Another seed draws other photos.")] = 0,
    show: Annotated[int, typer.Option("--show", min=0, help="How many of the most changed queries to draw.")] = 8,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Where to draw them; by default compare.png in the store.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Let photos of the store ask two models the same, and show how far their answers differ.

    Pictures that a model has not seen yet are encoded and kept, so that changing to it later is quick; what the store
    is searched
    with stays as it is. The sheet shows the queries whose answers change most, with both answers.
    """
    from lapel.engine.context import open_context
    from lapel.insight.compare import Question, render
    from lapel.insight.compare import compare as run
    from lapel.insight.compare_sheet import draw_comparison
    from lapel.insight.report import Rule

    question = Question(
        queries=Filter.parse(queries or []),
        gallery=Filter.parse(gallery or []),
        ask=ask,
        sample=sample,
        k=k,
        relevant=tuple(dict.fromkeys(Rule.parse(text) for text in relevant or [])),
        show=show,
        seed=seed,
    )
    path = sheet or store / "compare.png"
    with open_context(store) as shop:
        with resumable(), _progress("encoding") as update:
            found = run(shop, a, b, question=question, report=lambda _, done, total: update(done, total))
        try:
            draw_comparison(found, shop.image).save(path)
        except (OSError, ValueError) as error:
            raise InputError(
                f"The picture sheet cannot be written to {path}: {reason_of(error)}. Name a .png with --sheet in a"
                f" folder that exists."
            ) from error
    if as_json:
        print_json(found.to_json())
        return
    say(render(found))
    say(f"\nThe answers that change most are drawn in {path}")


@model.command()
def use(
    new: ModelArgument,
    store: StoreOption = DEFAULT_STORE,
    background: Annotated[
        bool,
        typer.Option("--background", help="Go on without this terminal; 'lapel model list' shows how far it is."),
    ] = False,
    wait: WaitOption = False,
    allow_missing: MissingOption = False,
) -> None:
    """Change the model of a store: encode every photo with it, then swap at once for everyone who searches.

    Until the swap all searches go on with the model in use, and products can be added. Stopped half way, the same
    command goes on
    where it stopped. The former model's vectors are kept: 'lapel model rollback' goes back at once.
    """
    from lapel.engine.context import open_context
    from lapel.engine.models import use as run

    with open_context(store) as shop:
        if background:
            _detach(shop, new, allow_missing=allow_missing)
            return
        with resumable(), _progress("encoding") as update:
            switch = run(shop, new, allow_missing=allow_missing, wait=wait, report=update, note=_note)
        _ = shop.index  # drawn now, so that the first search does not wait for it
    _print_switch(switch, store)


@model.command()
def rollback(
    store: StoreOption = DEFAULT_STORE, wait: WaitOption = False, allow_missing: MissingOption = False
) -> None:
    """Go back to the model a store had before. Photos added since are encoded with it first."""
    from lapel.engine.context import open_context
    from lapel.engine.models import rollback as run

    with open_context(store) as shop:
        with resumable(), _progress("encoding") as update:
            switch = run(shop, allow_missing=allow_missing, wait=wait, report=update, note=_note)
        _ = shop.index
    _print_switch(switch, store)


@model.command()
def prune(store: StoreOption = DEFAULT_STORE) -> None:
    """Drop the vectors of all models but the one in use. There is nothing to go back to then."""
    from lapel.engine.context import open_context
    from lapel.engine.models import prune as run

    with open_context(store) as shop:
        dropped = run(shop)
    say(f"Dropped {counted(dropped, 'vector')} of other models. Their room in the file is used by what comes next.")


def _print_switch(switch: ModelChange, store: Path) -> None:
    done = switch.backfill
    say(
        f"The store is searched with {switch.model.name} ({switch.model.fingerprint}) now;"
        f" {done.derived:,} {'photo was' if done.derived == 1 else 'photos were'} encoded for it."
    )
    if done.failed:
        say(f"Without a vector and not found: {counted(len(done.failed), 'photo')}, see {store / 'unreadable.csv'}")
    if switch.former.fingerprint != switch.model.fingerprint:
        say(f"Back to {switch.former.name}: lapel model rollback --store {store}")


def _detach(shop: StoreContext, new: str, *, allow_missing: bool) -> None:
    """Start the same change in a process of its own, after making sure that it can begin."""
    from lapel.catalog import model_lock
    from lapel.engine.models import check_change, open_model

    candidate = open_model(shop, new)
    with model_lock(shop.folder, work="starting in the background"):
        check_change(shop, candidate)
    log = shop.folder / LOG
    flags = ["--wait", *(["--allow-missing"] if allow_missing else [])]
    line = [
        sys.executable,
        "-c",
        "from lapel.apps.cli import main; main()",
        "model",
        "use",
        new,
        "--store",
        str(shop.folder),
    ]
    try:
        with log.open("w", encoding="utf-8") as out:
            process = subprocess.Popen(
                [*line, *flags], stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
    except OSError as error:
        raise StoreError(
            f"The change cannot be started in the background: {reason_of(error)}. Run it without --background."
        ) from error
    say(
        f"Changing to {candidate.model.name} in the background (process {process.pid})."
        f" Searches go on with {shop.model.name} until it is done."
    )
    say(f"How far it is: lapel model list --store {shop.folder}   What it says: {log}")


def _note(text: str) -> None:
    say(text, err=True)


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar in a terminal; in a log a line now and then."""
    if errors.is_terminal:
        with progress_bar(what) as update:
            yield update
        return
    told = -1

    def tell(done: int, total: int | None) -> None:
        nonlocal told
        step = done * STEPS // max(total or 1, 1)
        if step > told:
            told = step
            _note(f"{what}: {done:,} of {total or 0:,}")

    yield tell
