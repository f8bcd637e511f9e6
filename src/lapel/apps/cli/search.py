"""``lapel search``: pictures, words or products in, their look-alikes out."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lapel.apps.cli.console import (
    DEFAULT_STORE,
    JsonOption,
    StoreOption,
    WhereOption,
    print_colours,
    print_hits,
    print_json,
    print_table,
    progress_bar,
    resumable,
    say,
)
from lapel.apps.cli.deprecated import renamed
from lapel.core.errors import ImageError, LapelError
from lapel.core.types import Filter, Hit, Part, Query, SearchResult, Verdict
from lapel.service import counted

if TYPE_CHECKING:
    from lapel.core.types import ImageLike
    from lapel.service import Store

COLUMNS = ("picture", "rank", "score", "id", "title", "category", "price", "url", "photo", "error")


def search(
    pictures: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PICTURE",
            help="A picture file, a link to one, or - for standard input; with --csv several, and folders.",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        str, typer.Option("--text", metavar="WORDS", help="What it looks like, in words; alone or beside a picture.")
    ] = "",
    product: Annotated[
        str | None, typer.Option("--product", metavar="ID", help="A product of the store, alone or beside the others.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    k: Annotated[int, typer.Option("-k", help="How many products to find.")] = 10,
    where: WhereOption = None,
    least: Annotated[
        str | None,
        typer.Option(
            "--least",
            metavar="VERDICT|SCORE",
            help="Only what is at least 'same kind', 'same style' or 'the same product'; or a score, -1 to 1.",
        ),
    ] = None,
    group: Annotated[
        str, typer.Option("--group", metavar="FIELD", help="Each value of this field once, such as brand.")
    ] = "",
    facets: Annotated[
        list[str] | None,
        typer.Option("--facets", metavar="FIELD", help="Count this field's values among what passes. Repeat."),
    ] = None,
    colour: Annotated[
        float | None,
        typer.Option(
            "--colour",
            help="How much a picture's colours count beside its look, 0 to 1. By default as the setting 'colour' says.",
        ),
    ] = None,
    no_segment: Annotated[bool, typer.Option("--no-segment", help="Search for the whole picture only.")] = False,
    explain: Annotated[
        Path | None,
        typer.Option(
            "--explain", metavar="PNG", help="Draw why: the first hits with heatmaps of what matches, in words."
        ),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Answer every picture on its own, into this CSV.")
    ] = None,
    as_json: JsonOption = False,
    whole: Annotated[bool | None, renamed("--whole", "--no-segment")] = None,
) -> None:
    """Find the products that look most like a picture, words, a product of the store, or all of them together.

    The product in a picture is found too and laid on white, as shops show theirs; --no-segment leaves that out.
    The score is the cosine between the query and a product's best photo: 1 is the same picture, 0 has nothing in
    common. Photos on a floor or a person are ordered by the score and by how well their colours agree; --colour 0 takes
    the score alone. With --csv the exit code is 1 when no picture could be searched for.
    """
    from lapel.service import open_store

    places, segment = pictures or [], not (no_segment or whole)
    options: dict[str, Any] = {"k": k, "where": Filter.parse(where or ()), "least": least}
    options |= {"group": group, "colour": colour}
    if to is not None:
        if not places or text or product is not None or facets or explain is not None:
            raise typer.BadParameter(
                "--csv answers pictures, each on its own, without --text and --product: lapel search FOLDER --csv"
                " out.csv"
            )
        with open_store(store) as shop:
            _search_many(shop, places, to, as_json=as_json, segment=segment, **options)
        return
    if len(places) > 1:
        raise typer.BadParameter(
            "Several pictures are a question each. Add --csv FILE for their answers. (In Python, parts= makes one of"
            " them.)"
        )
    query = Query(parts=_parts(places, text, product, segment=segment), facets=tuple(facets or ()), **options)
    with open_store(store) as shop:
        result = shop.search(query=query)
        products = 0 if result else shop.count()
        if explain is not None and result:
            shop.explanation_sheet(
                query, result.hits, f"Look-alikes of {' and '.join(places) or text or product}"
            ).save(explain, "PNG")
    if as_json:
        _print_json(query, places, text, product, result)
    else:
        _print(query, [*places, *([f"'{text}'"] if text else []), *([product] if product else [])], result, products)


def _parts(places: Sequence[str], text: str, product: str | None, *, segment: bool) -> tuple[Part, ...]:
    """What is searched for, each with weight 1."""
    parts = [Part(image=_read(place), segment=segment) for place in places]
    if text:
        parts.append(Part(text=text))
    if product is not None:
        parts.append(Part(product_id=product))
    if not parts:
        raise typer.BadParameter("Give something to search for: a picture file, a link, -, --text or --product.")
    return tuple(parts)


def _read(place: str) -> ImageLike:
    """The bytes of a file, a link or standard input."""
    from lapel.service import read_image_bytes, read_stream

    if place != "-":
        # The person at this keyboard can reach these addresses anyway, so private ones are fine here.
        return read_image_bytes(place, allow_private=True)
    if sys.stdin is None or sys.stdin.isatty():
        raise ImageError("- reads a picture from standard input. Write: lapel search - < photo.jpg")
    return read_stream(sys.stdin.buffer, "on standard input")


def _print_json(query: Query, places: Sequence[str], text: str, product: str | None, result: SearchResult) -> None:
    from lapel.service import result_json

    asked: dict[str, object] = {
        "picture": places[0] if places else None,
        "text": text or None,
        "product": product,
        "k": query.k,
    }
    asked |= {"where": str(query.where), "least": query.least, "group": query.group, "colour": query.colour}
    print_json({"query": asked, **result_json(result)})


def _print(query: Query, names: Sequence[str], result: SearchResult, products: int) -> None:
    if (read := result.understood.colours) is not None:
        print_colours(read)
    if result:
        if result.verdict is Verdict.NOTHING_CLOSE:
            say("There is nothing like it here. The nearest all the same:")
        print_hits(result.hits, f"Look-alikes of {' and '.join(names)}")
    else:
        say(_why_nothing(query, result, products))
    rows = [
        (name, ", ".join(f"{value} ({count:,})" for value, count in values)) for name, values in result.facets.items()
    ]
    if rows:
        say("")
        print_table(("field", "values (products)"), rows, shrink="values (products)")


def _why_nothing(query: Query, result: SearchResult, products: int) -> str:
    """In words, and what to do."""
    in_store = f"({counted(products, 'product')} in the store)"
    if result.verdict is Verdict.NOTHING_CLOSE:
        among = (
            f"{counted(result.total, 'product')} that pass {query.where}" if query.where else f"{products:,} products"
        )
        if isinstance(query.least, str):
            return f"There is nothing like it: no product of the nearest is '{query.least}' or closer, among {among}."
        return (
            f"No product has a score of {query.least:g} or more: the nearest of {among} has {result.nearest:.2f}. Lower"
            " --least."
        )
    if result.verdict is Verdict.NOTHING_PASSES:
        return f"No product passes the filter {query.where} {in_store}. Loosen --where."
    other = "but this one " if products else ""
    return f"No product {other}is in the store. Add products with 'lapel add'."


# --- many pictures ----------------------------------------------------------------------------------------------------


def _search_many(shop: Store, places: Sequence[str], path: Path, *, as_json: bool, **options: Any) -> None:
    """Answer every picture into a CSV; one that cannot be used is a row with its error."""
    from lapel.service import image_places, lazy_image

    names = image_places(places)
    failed, part = 0, path.with_name(path.name + ".part")  # an error leaves the answers of an earlier run
    with resumable(), progress_bar("searching") as update:
        answers = shop.search_many(
            map(lazy_image, names),
            progress=lambda done, _: update(done, len(names)),
            errors="return",
            **options,
        )
        try:
            with part.open("w", encoding="utf-8", newline="") as file:
                rows = csv.writer(file)
                rows.writerow(COLUMNS)
                for name, answer in zip(names, answers, strict=True):
                    failed += isinstance(answer, LapelError)
                    rows.writerows(_rows(name, answer))
        except LapelError:
            part.unlink(missing_ok=True)
            raise
    part.replace(path)
    if as_json:
        print_json({"pictures": len(names), "answered": len(names) - failed, "failed": failed, "csv": str(path)})
    else:
        left_out = f", {failed:,} could not be used" if failed else ""
        say(f"{counted(len(names), 'picture')}: {len(names) - failed:,} answered{left_out}. Wrote {path}")
    if failed == len(names):
        raise typer.Exit(1)


def _rows(name: str, answer: SearchResult | LapelError) -> Iterator[tuple[object, ...]]:
    if isinstance(answer, LapelError):
        yield (name, *[""] * (len(COLUMNS) - 2), str(answer))
    elif not answer:
        yield (name, *[""] * (len(COLUMNS) - 2), answer.verdict.value)
    else:
        yield from (_row(name, hit) for hit in answer)


def _row(name: str, hit: Hit) -> tuple[object, ...]:
    product = hit.product
    category = " > ".join(product.category)
    score = f"{hit.score:z.6f}"
    return name, hit.rank, score, product.id, product.title, category, product.price, product.url, hit.photo.uri, ""
