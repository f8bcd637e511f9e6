"""``lapel audit photos`` and ``lapel audit assortment``: what should be mended, what would bring the most first."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from lapel.apps.cli.console import DEFAULT_STORE, JsonOption, StoreOption, WhereOption, progress_bar, resumable
from lapel.apps.cli.findings import OutOption, print_findings
from lapel.core.types import Filter


def photos(
    store: StoreOption = DEFAULT_STORE,
    least_side: Annotated[
        int, typer.Option("--least-side", help="Pixels of the shorter side, below which a photo is too small.")
    ] = 400,
    check: Annotated[
        list[str] | None,
        typer.Option("--check", help="Only this, such as blurred or 'cut off'. Repeat for more."),
    ] = None,
    where: WhereOption = None,
    as_json: JsonOption = False,
    out: OutOption = None,
) -> None:
    """Find photos that are unreadable, of another product, of several products, blurred, cut off, dark, cluttered,
    too small, or have text over them.

    What mending would bring the most comes first. Each photo is measured once: a second run costs what came since.
    """
    from lapel.service import open_store

    with resumable(), open_store(store) as shop:
        with progress_bar("measuring photos") as update:
            found = shop.audit_photos(
                where=Filter.parse(where or ()), least_side=least_side, checks=check or (), progress=update
            )
        print_findings(shop, found, "audit-photos", as_json=as_json, out=out, right=("gain",))


def assortment(
    store: StoreOption = DEFAULT_STORE,
    alike: Annotated[
        float, typer.Option("--alike", help="Cosine from which on two products look nearly the same.")
    ] = 0.95,
    searches: Annotated[
        Path | None,
        typer.Option("--searches", metavar="FILE", help="A CSV of searches (text, count) to read demand from."),
    ] = None,
    looks: Annotated[int | None, typer.Option("--looks", help="How many looks to tell apart.")] = None,
    where: WhereOption = None,
    as_json: JsonOption = False,
    out: OutOption = None,
) -> None:
    """Find goods that compete with each other, and looks that are asked for more than there are.

    What is asked for is read from events, or from a log of searches.
    """
    from lapel.service import open_store

    waiting = progress_bar("answering searches") if searches else nullcontext(None)
    with open_store(store, read_only=None) as shop, waiting as update:
        found = shop.audit_assortment(
            where=Filter.parse(where or ()), alike=alike, searches=searches or "", looks=looks, progress=update
        )
        print_findings(
            shop, found, "audit-assortment", as_json=as_json, out=out, right=("spread", "asked", "demand", "gain")
        )
