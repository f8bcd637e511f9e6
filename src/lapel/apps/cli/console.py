"""What every command shares: where output goes, the options they have in common, and how hits look as a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from lapel.core.types import Hit

console = Console()
errors = Console(stderr=True)

StoreOption = Annotated[Path, typer.Option("--store", envvar="LAPEL_STORE", help="The shop folder.", show_default=True)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        "--where", help="Only products such as gender=Women, 'price<2000' or 'colour=Black|Navy'. Repeat for more."
    ),
]
DEFAULT_STORE = Path("shop")


@contextmanager
def resumable() -> Iterator[None]:
    """Ctrl-C inside says that nothing is lost, and ends with exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        errors.print("Interrupted. Nothing stored is lost: the same command goes on where this one stopped.")
        raise typer.Exit(130) from None


def say(text: str) -> None:
    """Print a line of rich markup as it is: no wrapping, no numbers coloured by guess."""
    console.print(text, highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout, and nothing else."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


class _Rate(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        """Rich asks for this several times a second."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "", style="progress.data.speed")


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar with rate and time left on stderr; gives the function that moves it: (done, total or None)."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=errors) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def hit_table(hits: Sequence[Hit]) -> Table:
    """Hits as a table for the terminal, a line each; columns that no product fills are left out, a long title is cut."""
    columns = {
        "rank": [str(hit.rank) for hit in hits],
        "score": [f"{hit.score:.3f}" for hit in hits],
        "id": [hit.product.id for hit in hits],
        "title": [hit.product.title for hit in hits],
        "category": [hit.product.category[-1] if hit.product.category else "" for hit in hits],
        "colour": [hit.product.colour for hit in hits],
        "price": [hit.product.price for hit in hits],
    }
    columns = {name: values for name, values in columns.items() if any(values)}
    table = Table(header_style="bold", pad_edge=False, box=None)
    for name in columns:
        # Rich narrows the columns that may wrap before all others; only the title's may, and its text then does not.
        right = name in ("rank", "score", "price")
        table.add_column(name, justify="right" if right else "left", no_wrap=name != "title")
    for row in range(len(hits)):
        table.add_row(*(Text(values[row], no_wrap=True, overflow="ellipsis") for values in columns.values()))
    return table


def hit_json(hit: Hit) -> dict[str, Any]:
    """One hit as plain JSON values."""
    product = hit.product
    return {
        "rank": hit.rank,
        "score": round(hit.score, 6),
        "product": {
            "id": product.id,
            "title": product.title,
            "category": list(product.category),
            "gender": product.gender,
            "brand": product.brand,
            "colour": product.colour,
            "season": product.season,
            "price_minor": product.price_minor,
            "currency": product.currency,
            "in_stock": product.in_stock,
            "attributes": dict(product.attributes),
        },
        "photo": {
            "key": hit.photo.key,
            "uri": hit.photo.uri,
            "sha256": hit.photo.sha256,
            "links": asdict(hit.photo.links),
        },
    }
