"""``lapel search``: one picture or product in, its look-alikes out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from lapel.apps.cli.console import (
    DEFAULT_STORE,
    JsonOption,
    StoreOption,
    WhereOption,
    hit_json,
    print_hits,
    print_json,
    say,
)
from lapel.core.errors import ImageError
from lapel.core.images import decode
from lapel.core.text import counted, shortened
from lapel.core.types import Filter, Query


def search(
    picture: Annotated[
        str | None, typer.Argument(help="A picture file, a link to one, or - for standard input.")
    ] = None,
    product: Annotated[
        str | None, typer.Option("--product", help="Start from this product of the store instead.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    k: Annotated[int, typer.Option("-k", help="How many products to find.")] = 10,
    where: WhereOption = None,
    whole: Annotated[bool, typer.Option("--whole", help="Search for the whole picture only.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Find the products that look most like a picture.

    The product in the picture is found too and laid on white, as shops show theirs; --whole leaves that out.
    The score is the cosine between the two looks: 1 is the same picture, 0 has nothing in common.
    """
    from lapel.engine.context import open_context
    from lapel.engine.retrieval import SearchEngine

    if (picture is None) == (product is None):
        raise typer.BadParameter("Give one thing to search for: a picture file, a link, - or --product ID.")
    image = None if picture is None else decode(_read(picture))
    query = Query(image=image, product_id=product, k=k, where=Filter.parse(where or []), segment=not whole)
    with open_context(store) as shop:
        hits = SearchEngine(shop).search(query)
        products = shop.catalog.counts().products
    if as_json:
        print_json(
            {
                "query": {"picture": picture, "product": product, "k": k, "where": str(query.where)},
                "hits": [hit_json(h) for h in hits],
            }
        )
    elif hits:
        print_hits(hits, f"Look-alikes of {picture or product}")
    else:
        if query.where:
            say(
                f"No product passes the filter {query.where} ({counted(products, 'product')} in the store). Loosen"
                f" --where."
            )
        else:
            other = "but this one " if product and products else ""
            say(f"No product {other}is in the store. Add products with 'lapel add'.")


def _read(picture: str) -> bytes:
    """The bytes of a file, a link or standard input."""
    from lapel.sources.names import as_link

    if as_link(picture):
        from lapel.sources.web import fetch_image

        # The person at this keyboard can reach these addresses anyway, so private ones are fine here.
        return fetch_image(picture, allow_private=True)
    name = shortened(picture)
    if picture == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise ImageError("- reads a picture from standard input. Write: lapel search - < photo.jpg")
        return _all_of(sys.stdin.buffer, "on standard input")
    if picture.startswith("data:"):
        raise ImageError(
            f"'{name}' is a picture written into an address. Save it as a file, or pipe its bytes into lapel search -."
        )
    path = Path(picture)
    try:
        if path.is_dir():
            raise ImageError(f"'{name}' is a folder. Give one picture file; 'lapel add' takes folders.")
        with path.open("rb") as file:
            return _all_of(file, f"'{name}'")
    except OSError as error:
        raise ImageError(f"The picture '{name}' cannot be read: {error.strerror}. Check the path.") from error
    except ValueError as error:  # a NUL in the name
        raise ImageError(f"The picture '{name}' cannot be read: {error}. Check the path.") from error


def _all_of(file: BinaryIO, name: str) -> bytes:
    from lapel.sources import MAX_BYTES

    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ImageError(f"The picture {name} has more than {MAX_BYTES // 2**20} MB. Scale it down.")
    return data
