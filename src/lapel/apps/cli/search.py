"""``lapel search``: pictures, words or products in, their look-alikes out."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from lapel.apps.cli.console import (
    DEFAULT_STORE,
    JsonOption,
    StoreOption,
    WhereOption,
    note,
    print_colours,
    print_hits,
    print_json,
    print_table,
    progress_bar,
    resumable,
    save_sheet,
    say,
)
from lapel.apps.cli.deprecated import renamed
from lapel.core.errors import ImageError, LapelError
from lapel.core.types import Filter, Hit, Part, Query, SearchResult, Verdict
from lapel.service import counted

if TYPE_CHECKING:
    from lapel.core.types import ImageLike
    from lapel.service import Store

ALL = "all"  # what --facets alone stands for
SHOWN_VALUES = 12  # of a facet in the table; JSON has them all
ALONE = {"--group": "variants", "--facets": ALL}
OWN = ("id", "title", "category", "price", "url", "photo")  # of a hit's product and photo
COLUMNS = ("picture", "rank", "score", "verdict", "probability", *OWN, "error")


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
        list[str] | None,
        typer.Option("--text", metavar="WORDS", help="What it looks like, in words; alone or beside a picture."),
    ] = None,
    unlike: Annotated[
        list[str] | None, typer.Option("--not", metavar="WORDS", help="What it should be unlike, in words.")
    ] = None,
    box: Annotated[
        str,
        typer.Option(
            "--box",
            metavar="X0,Y0,X1,Y1",
            help="The only part of the picture that counts, in pixels or in shares 0..1 of its sides.",
        ),
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
        str,
        typer.Option(
            "--group",
            metavar="[FIELD]",
            help="Each value of this field once, such as brand; alone, each model once, whatever its colour.",
        ),
    ] = "",
    facets: Annotated[
        list[str] | None,
        typer.Option(
            "--facets", metavar="[FIELD]", help="Count this field's values among what passes; alone, all. Repeat."
        ),
    ] = None,
    max_per: Annotated[
        str, typer.Option("--max-per", metavar="FIELD:N", help="At most N hits of each value, such as brand:2.")
    ] = "",
    diversity: Annotated[
        float, typer.Option("--diversity", help="How much hits should differ from each other, 0 to 1.")
    ] = 0.0,
    distinct: Annotated[
        bool, typer.Option("--distinct", help="Leave out hits that are nearly the same photo as a better one.")
    ] = False,
    colour: Annotated[
        list[str] | None,
        typer.Option("--colour", metavar="COLOUR", help="A colour, such as teal or '#008080'. Repeat for more."),
    ] = None,
    colour_weight: Annotated[
        float | None,
        typer.Option(
            "--colour-weight",
            help="How much a picture's own colours count beside its look, 0 to 1. By default as the setting"
            " 'colour_weight' says.",
        ),
    ] = None,
    look: Annotated[
        str | None,
        typer.Option(
            "--look",
            metavar="SHAPE,COLOUR,PATTERN",
            help="How much each side of the look counts, 0 to 4, such as 'colour=2,pattern=0'; 1 is as usual.",
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
    """Find the products that look most like a picture, words, a product of the store, a colour, or all of them
    together.

    The product in a picture is found too and laid on white, as shops show theirs; --no-segment leaves that out.
    The score is the cosine between the query and a product's best photo: 1 is the same picture, 0 has nothing in
    common. Photos on a floor or a person are ordered by the score and by how well their colours agree;
    --colour-weight 0 takes the score alone. Words are looked for in the products' texts too; beside a picture they,
    and --colour, change what is looked for: "in red". With --csv the exit code is 1 when no picture could be searched
    for.
    """
    from lapel.service import answer_json, open_store

    places, segment = pictures or [], not (no_segment or whole)
    colours, colour_weight = _former_colour(colour or [], colour_weight)
    options: dict[str, Any] = {"k": k, "where": Filter.parse(where or ()), "least": least}
    options |= {"group": group, "colour_weight": colour_weight, "look": look}
    asked = _Asked(places, text or [], unlike or [], product, colours, _box(box))
    if to is not None or (len(places) == 1 and Path(places[0]).is_dir()):
        if to is None:
            raise typer.BadParameter(f"{places[0]} is a folder. Add --csv FILE for the answers of its pictures.")
        if not places or asked.beside or facets or max_per or diversity or distinct or explain:
            raise typer.BadParameter(
                "--csv answers pictures, each on its own, without --text and --product: lapel search FOLDER --csv"
                " out.csv"
            )
        with open_store(store) as shop:
            _search_many(shop, places, to, as_json=as_json, segment=segment, **options)
        return
    query = Query(
        parts=asked.parts(segment=segment),
        facets=True if facets == [ALL] else tuple(each for each in facets or () if each != ALL),
        max_per=max_per,
        diversity=diversity,
        distinct=distinct,
        **options,
    )
    with open_store(store) as shop:
        result = shop.search(query=query)
        products = 0 if result else shop.count()
        if explain is not None and result:
            sheet = shop.explanation_sheet(query, result.hits, f"Look-alikes of {' and '.join(asked.names)}")
            save_sheet(sheet, explain, "--explain")
        if as_json:
            answer = answer_json(shop, query, result, picture=places[0] if places else None)
            print_json({**answer, "query": {**answer["query"], **asked.told}})
            return
    _print(query, asked.names, result, products)
    if explain is not None and result:
        note(f"Why is drawn in {explain}")


@dataclass(frozen=True)
class _Asked:
    """What the command line asks for, before it is read.

    Attributes:
        places: Pictures.
        texts: Words,
        unlike: and words that the answer should be unlike.
        product: A product's id.
        colours: Names or #rrggbb.
        box: The part of the one picture that counts.
    """

    places: Sequence[str]
    texts: Sequence[str]
    unlike: Sequence[str]
    product: str | None
    colours: Sequence[str]
    box: tuple[float, ...] | None

    @property
    def beside(self) -> bool:
        """Whether anything is asked for beside pictures."""
        return bool(self.texts or self.unlike or self.product is not None or self.colours or self.box)

    @property
    def names(self) -> list[str]:
        """What is looked for, for people."""
        quoted = [f"'{text}'" for text in self.texts]
        less = [f"not '{text}'" for text in self.unlike]
        return [*self.places, *quoted, *([self.product] if self.product else []), *self.colours, *less]

    @property
    def told(self) -> dict[str, object]:
        """What was asked, for the JSON: one text or colour as it is, several as a list."""

        def one_or_all(values: Sequence[str]) -> object:
            return values[0] if len(values) == 1 else list(values) or None

        return {
            "pictures": list(self.places),
            "text": one_or_all(self.texts),
            "not": list(self.unlike),
            "colour": one_or_all(self.colours),
            "box": None if self.box is None else list(self.box),
        }

    def parts(self, *, segment: bool) -> tuple[Part, ...]:
        """What is searched for, each with weight 1, or -1 of what it should be unlike."""
        if self.box is not None and len(self.places) != 1:
            raise typer.BadParameter("--box is of one picture. Give it with a single picture.")
        parts = [Part(image=_read(place), segment=segment, box=self.box) for place in self.places]  # type: ignore[arg-type]
        parts += [Part(text=text) for text in self.texts]
        if self.product is not None:
            parts.append(Part(product_id=self.product))
        parts += [Part(colour=colour) for colour in self.colours]
        if not parts:
            raise typer.BadParameter(
                "Give something to search for: a picture file, a link, -, --text, --product or --colour."
            )
        return (*parts, *(Part(text=text, weight=-1.0) for text in self.unlike))


def _box(text: str) -> tuple[float, ...] | None:
    """The four numbers of ``10,20,300,400``."""
    if not text:
        return None
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"--box is four numbers such as 10,20,300,400; found '{text}'.") from error


def _former_colour(colours: Sequence[str], weight: float | None) -> tuple[Sequence[str], float | None]:
    """Until this version --colour took the number that --colour-weight takes."""
    if len(colours) == 1 and weight is None:
        with suppress(ValueError):
            weight = float(colours[0])
            say("--colour NUMBER is called --colour-weight now; the next version takes a colour only.", err=True)
            return [], weight
    return colours, weight


class OptionalValues(TyperCommand):
    """A command whose ``--group`` and ``--facets`` may stand alone. A value that follows is the option's, unless it is
    another option, a picture file or a link; ``--group=FIELD`` is always one."""

    def parse_args(self, context: Any, args: list[str]) -> list[str]:
        """Give what stands alone its value."""
        given = []
        for at, word in enumerate(args):
            after = args[at + 1] if at + 1 < len(args) else "-"
            alone = after.startswith("-") or "://" in after or Path(after).exists()
            given.append(f"{word}={ALONE[word]}" if word in ALONE and alone else word)
        return super().parse_args(context, given)


def _read(place: str) -> ImageLike:
    """The bytes of a file, a link or standard input."""
    from lapel.service import read_image_bytes, read_stream

    if place != "-":
        # The person at this keyboard can reach these addresses anyway, so private ones are fine here.
        return read_image_bytes(place, allow_private=True)
    if sys.stdin is None or sys.stdin.isatty():
        raise ImageError("- reads a picture from standard input. Write: lapel search - < photo.jpg")
    return read_stream(sys.stdin.buffer, "on standard input")


def _print(query: Query, names: Sequence[str], result: SearchResult, products: int) -> None:
    if (read := result.understood.colours) is not None and read.colours:
        print_colours(read)
    for part in result.understood.parts:
        if (
            part.words is not None and (part.words.corrected or part.words.synonyms or part.words.unknown)
        ) or part.asked:
            say(part.note)
    if result:
        if result.verdict is Verdict.NOTHING_CLOSE:
            say("There is nothing like it here. The nearest all the same:")
        print_hits(result.hits, f"Look-alikes of {' and '.join(names)}")
    else:
        say(_why_nothing(query, result, products))
    rows = [
        (name, ", ".join(f"{value} ({count:,})" for value, count in values[:SHOWN_VALUES]))
        for name, values in result.facets.items()
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
    if result.verdict is Verdict.NOT_UNDERSTOOD:
        return "No word of that is known here. Use other words, or fewer."
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
        yield (name, "", "", answer.verdict.value, *[""] * (len(COLUMNS) - 4))
    else:
        yield from (_row(name, hit) for hit in answer)


def _row(name: str, hit: Hit) -> tuple[object, ...]:
    product = hit.product
    category = " > ".join(product.category)
    judged = ("", "") if hit.verdict is None else (hit.verdict.value, f"{hit.probability:.6f}")
    own = (product.id, product.title, category, product.price, product.url, hit.photo.uri)
    return name, hit.rank, f"{hit.score:z.6f}", *judged, *own, ""
