"""``lapel audit``: what is wrong or missing in a catalogue, as tables to mend and load again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lapel.apps.cli.audit_photos import assortment, photos
from lapel.apps.cli.console import DEFAULT_STORE, JsonOption, StoreOption, WhereOption, note, progress_bar, resumable
from lapel.apps.cli.findings import print_findings
from lapel.core.types import Filter

if TYPE_CHECKING:
    from lapel.service import LabelAudit, LabelFill, Store

audit = typer.Typer(
    help="What is wrong or missing in a catalogue, to look through, mend and load again.", no_args_is_help=True
)
audit.command()(photos)
audit.command()(assortment)
FieldOption = Annotated[
    list[str] | None, typer.Option("--field", help="A label such as category, colour or season. Repeat for more.")
]
TitlesOption = Annotated[
    bool, typer.Option("--titles/--no-titles", help="Whether words of titles are evidence beside pictures.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="The same store and seed give the same answer.")]
LabelsOutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Folder for the table (CSV), a page of pictures (HTML), and the products as they would be (CSV).",
    ),
]


@audit.command()
def labels(
    field: FieldOption = None,
    titles: TitlesOption = True,
    seed: SeedOption = 0,
    where: WhereOption = None,
    out: LabelsOutOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """List labels that disagree with products of the same look and title, each with a suggestion.

    By default category and colour. With --out, labels-products.csv has the products with the suggested labels: delete
    the rows you do not agree with, then load the rest with lapel add SOURCE --products.
    """
    from lapel.service import open_store

    with open_store(store) as shop:
        with resumable(), progress_bar("judging labels") as update:
            found = shop.audit_labels(
                fields=field or (), where=Filter.parse(where or ()), titles=titles, seed=seed, progress=update
            )
        _show(shop, found, "labels", as_json=as_json, out=out)


@audit.command()
def fill(
    field: FieldOption = None,
    precision: Annotated[
        float, typer.Option("--precision", help="How many of 1 that are filled in must be right.")
    ] = 0.95,
    titles: TitlesOption = True,
    seed: SeedOption = 0,
    where: WhereOption = None,
    out: LabelsOutOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Suggest labels for products that have none, only where such are right often enough on known ones.

    By default category, colour, gender and season. With --out, fill-products.csv has the products with the suggested
    labels, to load with lapel add SOURCE --products.
    """
    from lapel.service import open_store

    with open_store(store) as shop:
        with resumable(), progress_bar("filling in labels") as update:
            found = shop.fill_labels(
                fields=field or (),
                precision=precision,
                where=Filter.parse(where or ()),
                titles=titles,
                seed=seed,
                progress=update,
            )
        _show(shop, found, "fill", as_json=as_json, out=out)


def _show(shop: Store, found: LabelAudit | LabelFill, name: str, *, as_json: bool, out: Path | None) -> None:
    written = shop.save_suggestions(found, out, name) if out is not None else ()
    print_findings(shop, found, name, as_json=as_json, out=None, right=("probability",))
    for path in written:
        note(f"Wrote {path}")
