"""The command line: ``lapel COMMAND``. One file a command; this one joins them and turns errors into exit codes.

Exit codes: 0 done, 1 an error with its message on stderr, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer
from PIL import Image

from lapel import __version__
from lapel.apps.cli.add import add
from lapel.apps.cli.benchmark import benchmark
from lapel.apps.cli.console import errors
from lapel.apps.cli.demo import demo
from lapel.apps.cli.drive import drive
from lapel.apps.cli.evaluate import evaluate
from lapel.apps.cli.hosting import hosting
from lapel.apps.cli.index import index
from lapel.apps.cli.info import info
from lapel.apps.cli.model import model
from lapel.apps.cli.remove import remove
from lapel.apps.cli.search import search
from lapel.apps.cli.train import train
from lapel.apps.cli.ui import ui
from lapel.core.errors import LapelError

# Plain help, so that the pages in docs/commands are the same on every terminal.
app = typer.Typer(
    name="lapel", rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True, add_completion=False
)
for command in (add, search, evaluate, benchmark, info, remove, ui, demo, train):
    app.command()(command)
app.add_typer(drive, name="drive")
app.add_typer(index, name="index")
app.add_typer(hosting, name="hosting")
app.add_typer(model, name="model")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lapel {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Lapel finds the products that look like a picture."""


def main() -> None:
    """Run the command line of this process."""
    # Lapel refuses large pictures below the size at which Pillow warns, and says so itself.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    try:
        app()
    except LapelError as error:
        errors.print(f"[bold red]Error:[/] {_plain(error)}", highlight=False, soft_wrap=True)
        sys.exit(1)


def _plain(error: LapelError) -> str:
    return str(error).replace("[", r"\[")
