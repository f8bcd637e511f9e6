"""``lapel price``: what a photo's product should sell for, and a draft of its listing."""

from __future__ import annotations

from typing import Annotated

import typer

from lapel.apps.cli.console import DEFAULT_STORE, JsonOption, StoreOption, WhereOption
from lapel.apps.cli.findings import OutOption, print_findings
from lapel.core.types import Filter


def price(
    picture: Annotated[str, typer.Argument(metavar="PICTURE", help="A photo of one product.")],
    store: StoreOption = DEFAULT_STORE,
    condition: Annotated[str, typer.Option("--condition", help="As in the store's column, such as good.")] = "",
    brand: Annotated[str, typer.Option("--brand", help="If it is known.")] = "",
    kind: Annotated[str, typer.Option("--kind", help="If it is known: the last level of a category.")] = "",
    currency: Annotated[str, typer.Option("--currency", help="Prices of which count; by default the commonest.")] = "",
    k: Annotated[int, typer.Option("-k", help="How many items to show.")] = 12,
    where: WhereOption = None,
    as_json: JsonOption = False,
    out: OutOption = None,
) -> None:
    """Estimate a price from the nearest items with one: a range that holds 80 of 100 prices, and how good it was.

    Also: how long such items were listed, whether this very photo is used already (mirrored and cut copies too), and
    a draft listing with probabilities. What it learns from are the store's own prices, or those that --where leaves.
    """
    from lapel.service import open_store

    with open_store(store) as shop:
        found = shop.estimate_price(
            picture,
            condition=condition,
            brand=brand,
            kind=kind,
            currency=currency,
            where=Filter.parse(where or ()),
            k=k,
        )
        print_findings(shop, found, "price", as_json=as_json, out=out, right=("price", "score", "days"))
