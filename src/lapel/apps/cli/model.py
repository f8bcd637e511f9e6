"""``lapel model``: which model a store is searched with: compare two, change to one, go back, tidy up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lapel.apps.cli.console import (
    DEFAULT_STORE,
    GalleryOption,
    JsonOption,
    QueriesOption,
    StoreOption,
    note,
    print_json,
    print_table,
    progress_bar,
    resumable,
    save_sheet,
    say,
)
from lapel.apps.cli.deprecated import renamed
from lapel.service import counted

if TYPE_CHECKING:
    from lapel.service import KnownModel, ModelChange

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
    from lapel.service import open_store

    with open_store(store, read_only=None) as shop:
        known, photos, work, log = shop.models.list(), shop.media.photos, shop.models.work, shop.models.log
    if as_json:
        print_json({"photos": photos, "models": [_model_json(one) for one in known], "work": work})
        return
    _print_models(known, photos)
    if work:
        say(f"Another process is at work: {work}.")
    elif not known:
        say("The store has no model yet: 'lapel add' gives it one.")
    elif any(one.photos < photos and not one.active for one in known):
        logged = f" What the last change in the background said is in {log}." if log.exists() else ""
        say(f"'lapel model use' encodes what a model has not seen yet, and goes on where it was stopped.{logged}")


def _model_json(one: KnownModel) -> dict[str, object]:
    return {
        "name": one.model.name,
        "fingerprint": one.model.fingerprint,
        "opened_with": one.model.encoder,
        "dim": one.model.dim,
        "photos": one.photos,
        "active": one.active,
        "previous": one.previous,
    }


def _print_models(known: Sequence[KnownModel], photos: int) -> None:
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


@model.command()
def compare(
    a: Annotated[str, typer.Argument(help="A model, mostly the one in use: see 'lapel model use'.")],
    b: Annotated[str, typer.Argument(help="Another model.")],
    store: StoreOption = DEFAULT_STORE,
    queries: QueriesOption = None,
    gallery: GalleryOption = None,
    relevant: Annotated[
        list[str] | None,
        typer.Option("--relevant", help="Say which model is right more often: fields that must agree. Repeat."),
    ] = None,
    num_queries: Annotated[int, typer.Option("--num-queries", min=1, help="How many photos ask.")] = 200,
    sample: Annotated[
        int | None, typer.Option("--sample", min=2, help="Compare over so many products only, for a first look.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many products each photo is answered with.")] = 10,
    seed: Annotated[int, typer.Option("--seed", help="Another seed draws other photos.")] = 0,
    show: Annotated[int, typer.Option("--show", min=0, help="How many of the most changed queries to draw.")] = 8,
    contact_sheet: Annotated[
        Path | None, typer.Option("--contact-sheet", help="Where to draw them; by default compare.png in the store.")
    ] = None,
    as_json: JsonOption = False,
    ask: Annotated[int | None, renamed("--ask", "--num-queries")] = None,
    sheet: Annotated[Path | None, renamed("--sheet", "--contact-sheet")] = None,
) -> None:
    """Let photos of the store ask two models the same, and show how far their answers differ.

    Pictures that a model has not seen yet are encoded and kept, so that changing to it later is quick; what the store
    is searched with stays as it is. The sheet shows the queries whose answers change most, with both answers.
    """
    from lapel.core.types import Filter
    from lapel.service import open_store

    asked, found = Filter.parse(queries or ()), Filter.parse(gallery or ())
    more: dict[str, Any] = {
        "ask": num_queries if ask is None else ask,
        "sample": sample,
        "k": k,
        "show": show,
        "seed": seed,
    }
    path = contact_sheet or sheet or store / "compare.png"
    with open_store(store) as shop:
        with resumable(), progress_bar("encoding") as update:
            comparison = shop.models.compare(
                *(a, b),
                queries=asked,
                gallery=found,
                relevant=relevant or (),
                progress=lambda _, done, total: update(done, total),
                **more,
            )
        save_sheet(shop.models.comparison_sheet(comparison), path)
        text = shop.models.comparison_text(comparison)
    if as_json:
        print_json(comparison.to_json())
        return
    say(text)
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
    command goes on where it stopped. The former model's vectors are kept: 'lapel model rollback' goes back at once.
    """
    from lapel.service import open_store

    with open_store(store) as shop:
        if background:
            change = shop.models.use_in_background(new, allow_missing=allow_missing)
            say(
                f"Changing to {change.model.name} in the background (process {change.process})."
                f" Searches go on with {shop.models.current.name} until it is done."
            )
            say(f"How far it is: lapel model list --store {shop.folder}   What it says: {change.log}")
            return
        with resumable(), progress_bar("encoding") as update:
            done = shop.models.use(new, allow_missing=allow_missing, wait=wait, progress=update, note=note)
        _print_change(done, store, shop.models.unreadable_file)


@model.command()
def rollback(
    store: StoreOption = DEFAULT_STORE, wait: WaitOption = False, allow_missing: MissingOption = False
) -> None:
    """Go back to the model a store had before. Photos added since are encoded with it first."""
    from lapel.service import open_store

    with open_store(store) as shop:
        with resumable(), progress_bar("encoding") as update:
            done = shop.models.rollback(allow_missing=allow_missing, wait=wait, progress=update, note=note)
        _print_change(done, store, shop.models.unreadable_file)


@model.command()
def calibrate(
    store: StoreOption = DEFAULT_STORE,
    queries: QueriesOption = None,
    sample: Annotated[int, typer.Option("--sample", min=200, help="How many photos ask.")] = 2000,
    seed: Annotated[int, typer.Option("--seed", help="Another seed draws other photos.")] = 0,
    forget: Annotated[bool, typer.Option("--forget", help="Go back to what came with the model.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Learn from a store's own products how likely its answers are right: probabilities and verdicts.

    'default' and 'small' come with a calibration. A model that 'lapel train' made has none until this is run, and a
    shop of another kind is judged better by its own. Products need a category; colour and gender help. Where the model
    was trained on this very store, name products it was not trained with by --queries.
    """
    from lapel.core.types import Filter
    from lapel.service import open_store

    with open_store(store) as shop:
        if forget:
            was = shop.models.forget_calibration()
            say("Answers are judged as the model's own calibration says." if was else "The store has none of its own.")
            return
        with progress_bar("encoding") as update:
            found = shop.models.calibrate(
                queries=Filter.parse(queries or ()), sample=sample, seed=seed, progress=update
            )
    if as_json:
        print_json(found.to_json())
        return
    say(
        f"Learned from {counted(found.photos, 'photo')}, each as it is, cut or lit, and on a drawn scene, and from"
        f" drawn pictures without fashion; {found.unreadable:,} more could not be read."
    )
    say("Calibration error, each half by what the other taught (0 is right; .03 is good), and before:")
    names = {"white": "pictures on white", "photo": "photos like a phone's"}
    table = [
        (
            *(names[domain], verdict.value, f"{error:.3f}"),
            f"{found.errors_before.get(domain, {}).get(verdict, math.nan):.3f}".replace("nan", "none"),
            f"{100 * found.right[domain][verdict]:.1f} %",
        )
        for domain, row in found.errors.items()
        for verdict, error in row.items()
    ]
    header = ("queries", "verdict", "error", "before", "hits it holds for")
    print_table(header, table, right=header[2:])
    for domain, share in found.refused.items():
        say(
            f"{names[domain]}: of queries whose kind was taken out {100 * share:.0f} % are told so, and"
            f" {100 * found.alarms[domain]:.1f} % of the others."
        )


@model.command()
def prune(store: StoreOption = DEFAULT_STORE) -> None:
    """Drop the vectors of all models but the one in use. There is nothing to go back to then."""
    from lapel.service import open_store

    with open_store(store) as shop:
        dropped = shop.models.prune()
    say(f"Dropped {counted(dropped, 'vector')} of other models. Their room in the file is used by what comes next.")


def _print_change(change: ModelChange, store: Path, unreadable: Path) -> None:
    done = change.backfill
    say(
        f"The store is searched with {change.model.name} ({change.model.fingerprint}) now;"
        f" {done.derived:,} {'photo was' if done.derived == 1 else 'photos were'} encoded for it."
    )
    if done.failed:
        say(f"Without a vector and not found: {counted(len(done.failed), 'photo')}, see {unreadable}")
    if change.former.fingerprint != change.model.fingerprint:
        say(f"Back to {change.former.name}: lapel model rollback --store {store}")
