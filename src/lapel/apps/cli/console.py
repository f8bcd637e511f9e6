"""What every command shares: the options they have in common, and the only places where something is printed.

Texts go out as they are: nothing in them is read as markup, and control characters never reach a terminal. Without a
terminal a table is plain rows, tab between the columns, a header first, so that ``cut`` and ``awk`` find every column
whole.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from lapel.core.errors import InputError
from lapel.service import printable, reason_of

if TYPE_CHECKING:
    from PIL import Image

    from lapel.core.types import ColourReading, Hit


class _Output(Console):
    """A console that says nothing when nobody reads it any more, as in ``lapel info | head -1``."""

    def on_broken_pipe(self) -> None:
        """Rich calls this in place of failing."""
        reader_gone()


console = _Output()
errors = _Output(stderr=True)

DEFAULT_STORE = Path("shop")


def _store(context: typer.Context, value: Path) -> Path:
    """What an option or the environment gives, else what a settings file does."""
    source = context.get_parameter_source("store")
    if source is None or source.name != "DEFAULT":
        return value
    from lapel.service import settings

    return settings().store


StoreOption = Annotated[
    Path,
    typer.Option("--store", envvar="LAPEL_STORE", help="The shop folder.", show_default=True, callback=_store),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        "--where", help="Only products such as gender=Women, 'price<2000' or 'colour=Black|Navy'. Repeat for more."
    ),
]
MIN_CELLS = 12  # cells of a column that is cut
LINE_SECONDS = 10.0  # between two lines of progress in a log

MapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="FIELD=COLUMN",
        help="Where a field comes from, such as title=productDisplayName, 'category=a>b>c' or currency=EUR. Repeat for"
        " more.",
    ),
]
QueriesOption = Annotated[
    list[str] | None, typer.Option("--queries", help="Whose photos ask, such as split=val. All by default.")
]
GalleryOption = Annotated[
    list[str] | None, typer.Option("--gallery", help="What may be found, such as split=train. All by default.")
]


@contextmanager
def resumable() -> Iterator[None]:
    """Ctrl-C inside says that nothing is lost, and ends with exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        say("Interrupted. Nothing stored is lost: the same command goes on where this one stopped.", err=True)
        raise typer.Exit(130) from None


def prepare() -> None:
    """Make this process fit to print whatever a shop's texts hold, and keep Pillow's remarks about pictures to
    itself."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    # What is wrong with a picture is said by Lapel, which knows whose it is.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    logging.getLogger("googleapiclient.http").setLevel(logging.ERROR)  # it warns of each 403 that is tried again


class _ToStderr(logging.Handler):
    """Writes records as everything else is written: nothing in them reaches the terminal but letters."""

    def emit(self, record: logging.LogRecord) -> None:
        """Logging calls this."""
        try:
            say(self.format(record), head=f"{record.levelname.capitalize()}: ", err=True)
        except Exception:  # a log must not end the work
            self.handleError(record)


def set_up_logging(verbose: int = 0, *, quiet: bool = False) -> None:
    """Show what Lapel's modules log: warnings, with ``verbose`` 1 what happens, with 2 everything; ``quiet`` errors
    only, and then there are no progress bars either."""
    level = logging.ERROR if quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    handler = _ToStderr()
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s" if verbose else "%(message)s"))
    logger = logging.getLogger("lapel")
    logger.handlers = [each for each in logger.handlers if not isinstance(each, _ToStderr)] + [handler]
    logger.setLevel(level)


def quiet() -> bool:
    """Whether only errors are to be shown beside results."""
    return not logging.getLogger("lapel").isEnabledFor(logging.WARNING)


def note(text: str) -> None:
    """Say on stderr what is going on, unless it is to be quiet."""
    if not quiet():
        say(text, err=True)


def reader_gone() -> NoReturn:
    """End without a word: whoever read the output has read enough."""
    _to_nowhere()
    raise typer.Exit(0)


def flush() -> None:
    """Write what is still in the buffer, unless its reader is gone: Python would complain of the closed pipe as it
    ends."""
    try:
        if sys.stdout is not None:  # a scheduler may close it
            sys.stdout.flush()
    except BrokenPipeError:
        _to_nowhere()


def _to_nowhere() -> None:
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str, *, head: str = "", style: str = "", err: bool = False) -> None:
    """Print lines as they are: no markup, no wrapping, no colours by guess.

    Args:
        text: What to print.
        head: Stands before it in bold.
        style: Of the text, such as ``yellow``.
        err: On stderr.
    """
    before, after = ("\n".join(map(printable, part.split("\n"))) for part in (head, text))
    (errors if err else console).print(Text.assemble((before, "bold"), (after, style)), soft_wrap=True)


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[str] = (),
    shrink: str = "",
    title: str = "",
) -> None:
    """Print rows under their header: aligned on a terminal, else as tab-separated values, whole.

    Args:
        header: A name for each column.
        rows: A text for each column.
        right: Columns that are aligned on the right.
        shrink: The column that is cut where the terminal is too narrow; without one, lines run on.
        title: Stands above the table; on stderr where the table goes to a program.
    """
    terminal = console.file.isatty()  # not Rich's is_terminal, which FORCE_COLOR turns on in a pipe too
    if title:
        say("", head=title, err=not terminal)
    cells = [[printable(cell) for cell in row] for row in (header, *rows)]
    if not terminal:
        _write("\n".join("\t".join(row) for row in cells))
        return
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    excess = sum(widths) + 2 * (len(widths) - 1) - console.width
    if shrink and excess > 0:
        at = header.index(shrink)
        widths[at] = max(widths[at] - excess, MIN_CELLS)
    for number, row in enumerate(cells):
        line = Text("  ", "" if number else "bold").join(
            _cell(cell, width, header[at] in right) for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        line.rstrip()
        console.print(line, soft_wrap=True)


def _cell(text: str, width: int, right: bool) -> Text:
    cell = Text(text)
    cell.truncate(width, overflow="ellipsis")
    cell.align("right" if right else "left", width)
    return cell


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout, and nothing else. Where the output's encoding lacks a letter, it is escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    _write(re.sub("[\x7f-\x9f\u202a-\u202e\u2066-\u2069]", lambda found: f"\\u{ord(found[0]):04x}", text))


def _write(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        reader_gone()


class _Rate(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        """Rich asks for this several times a second."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "", style="progress.data.speed")


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar with rate and time left on stderr, or a line now and then where that is no terminal; gives the function
    that moves it: (done, total or None).

    Args:
        what: Stands before it.
    """
    if quiet():
        yield lambda _done, _total: None
        return
    if not errors.is_terminal:
        yield _lines(what)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=errors) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines(what: str) -> Callable[[int, int | None], None]:
    """Says how far it is now and then, and when all is done."""
    told, last = time.monotonic(), -1

    def tell(done: int, total: int | None) -> None:
        nonlocal told, last
        now = time.monotonic()
        if done != last and (done == total or now - told >= LINE_SECONDS):
            told, last = now, done
            say(f"{what}: {done:,}" + (f" of {total:,}" if total else ""), err=True)

    return tell


def save_sheet(sheet: Image.Image, path: Path, option: str = "--contact-sheet") -> None:
    """Write a sheet of pictures.

    Args:
        sheet: The sheet.
        path: Where to.
        option: What the path came from.

    Raises:
        InputError: it cannot be written there.
    """
    try:
        sheet.save(path)
    except (OSError, ValueError) as error:
        raise InputError(
            f"The sheet cannot be written to {path}: {reason_of(error)}. Name a .png with {option} in a folder that"
            " exists."
        ) from error


def print_colours(reading: ColourReading) -> None:
    """What colours were read of a picture, with a dot of each on a terminal; on stderr where answers go to a
    program."""
    line = Text("Colours: ", "bold")
    for place, colour in enumerate(reading.colours):
        line.append(", " if place else "")
        line.append("\u25cf ", colour.rgb) if errors.is_terminal else None
        line.append(f"{colour.name} {colour.share:.0%}")
    line.append(f" ({reading.certainty}, {reading.confidence:.2f})")
    (console if console.file.isatty() else errors).print(line, soft_wrap=True)


def print_hits(hits: Sequence[Hit], title: str) -> None:
    """Hits as a table, a line each; columns that no product fills are left out, and a terminal may cut a long title."""
    columns = {
        "rank": [str(hit.rank) for hit in hits],
        "score": [f"{hit.score:z.3f}" for hit in hits],
        "id": [hit.product.id for hit in hits],
        "title": [hit.product.title for hit in hits],
        "category": [hit.product.category[-1] if hit.product.category else "" for hit in hits],
        "colour": [hit.product.colour for hit in hits],
        "price": [hit.product.price for hit in hits],
        "verdict": ["" if hit.verdict is None else hit.verdict.value for hit in hits],
    }
    columns = {name: values for name, values in columns.items() if any(values)}
    rows = list(zip(*columns.values(), strict=True))
    shrink = "title" if "title" in columns else ""
    print_table(list(columns), rows, right=("rank", "score", "price"), shrink=shrink, title=title)
