"""``lapel demo``: the sample wardrobe drawn, indexed, searched and served."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from lapel.apps.cli.add import run_add, show
from lapel.apps.cli.console import print_hits, progress_bar, say
from lapel.apps.cli.ui import HostOption, PortOption
from lapel.core.errors import ModelMismatchError


def demo(
    folder: Annotated[Path, typer.Option("--folder", help="Where the sample wardrobe and its store go.")] = Path(
        ".demo"
    ),
    products: Annotated[int, typer.Option("--products", min=20, help="How many products to draw.")] = 640,
    seed: Annotated[int, typer.Option("--seed", help="Another seed draws another shop.")] = 7,
    encoder: Annotated[
        str, typer.Option("--encoder", help="A model: default, small, colour:, or a model folder.")
    ] = "default",
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Serve the web page at the end.")] = True,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8501,
) -> None:
    """Draw a sample shop, index it, show one search, and serve the web page. The second time starts in seconds."""
    from lapel.samples import CALIBRATION, draw_wardrobe
    from lapel.service import AddRequest, open_store

    store = folder / "shop"
    with progress_bar("drawing photos") as update:
        drawn = draw_wardrobe(folder / "wardrobe", products=products, seed=seed, progress=update)
        update(drawn.photos, drawn.photos)
    wanted = AddRequest(folder / "wardrobe" / "products.csv")
    try:
        show(run_add(store, wanted, encoder=encoder))
    except ModelMismatchError:  # Lapel's model is newer than this sample store, or another one was asked for
        say("The sample store was filled with another model: filling it again.")
        shutil.rmtree(store)
        show(run_add(store, wanted, encoder=encoder))
    with open_store(store) as shop:
        shop.models.take_calibration(CALIBRATION)  # drawn pictures are no photos, and are judged by what they are
        example = shop.browse(limit=1, offset=min(40, products - 1)).products[0].product
        hits = shop.search(product_id=example.id, k=8)
    print_hits(hits, f"\nLook-alikes of {example.id}, {example.title}")
    if serve:
        from lapel.apps.ui import serve as serve_ui

        raise typer.Exit(serve_ui(store, host=host, port=port))
