"""The command line: ``lapel COMMAND``. One file a command; this one joins them and turns errors into exit codes.

Exit codes: 0 done, 1 an error with its message on stderr or nothing of what was asked was done, 2 wrong usage, 130
interrupted. With ``--json`` the message is the last line of stderr: one JSON object with ``code`` and ``message``.
"""

from __future__ import annotations

import errno
import json
import sys
from typing import Annotated, NoReturn

import typer

from lapel import __version__
from lapel.apps.cli.add import add
from lapel.apps.cli.api import api
from lapel.apps.cli.audit import audit
from lapel.apps.cli.backup import backup, restore
from lapel.apps.cli.clusters import clusters
from lapel.apps.cli.console import flush, prepare, say, set_up_logging
from lapel.apps.cli.demo import demo
from lapel.apps.cli.deprecated import add_moved_commands
from lapel.apps.cli.drive import drive
from lapel.apps.cli.duplicates import duplicates
from lapel.apps.cli.evaluate import evaluate
from lapel.apps.cli.events import events
from lapel.apps.cli.index import index
from lapel.apps.cli.info import info
from lapel.apps.cli.key import key
from lapel.apps.cli.mcp import mcp
from lapel.apps.cli.media import former_name, media
from lapel.apps.cli.model import model
from lapel.apps.cli.price import price
from lapel.apps.cli.recommend import recommend
from lapel.apps.cli.remove import remove
from lapel.apps.cli.rules import rules
from lapel.apps.cli.search import OptionalValues, search
from lapel.apps.cli.settings import settings
from lapel.apps.cli.train import train
from lapel.apps.cli.trends import trends
from lapel.apps.cli.ui import ui
from lapel.apps.cli.watch import watch
from lapel.core.errors import InputError, LapelError
from lapel.service import shortened

ADVICE = {
    errno.ENOSPC: "Make room and run the same command again.",
    errno.EDQUOT: "Make room and run the same command again.",
    errno.EACCES: "Give this user the right to it, or choose another place.",
    errno.EPERM: "Give this user the right to it, or choose another place.",
    errno.EROFS: "Choose a place that can be written to.",
    errno.ENAMETOOLONG: "Give a shorter name.",
    errno.ENOENT: "Check the path.",
    errno.ENOTDIR: "Check the path.",
    errno.EISDIR: "Give a file.",
}

# Plain help, so that the pages in docs/commands are the same on every terminal.
app = typer.Typer(
    name="lapel", rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True, add_completion=False
)
app.command(cls=OptionalValues)(search)
PLAIN = (add, clusters, evaluate, info, price, remove, trends, ui, api, mcp, backup, restore, demo, train, settings)
for command in PLAIN:
    app.command()(command)
add_moved_commands(app)
app.add_typer(audit, name="audit")
app.add_typer(drive, name="drive")
app.add_typer(duplicates, name="duplicates")
app.add_typer(events, name="events")
app.add_typer(index, name="index")
app.add_typer(key, name="key")
app.add_typer(media, name="media")
app.add_typer(media, name="hosting", hidden=True, callback=former_name)
app.add_typer(model, name="model")
app.add_typer(recommend, name="recommend")
app.add_typer(rules, name="rules")
app.add_typer(watch, name="watch")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lapel {__version__}")
        raise typer.Exit


@app.callback()
def root(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose", "-v", count=True, show_default=False, help="Say what is going on; -vv says everything."
        ),
    ] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only results and errors: no progress bars.")] = False,
) -> None:
    """Lapel finds the products that look like a picture."""
    set_up_logging(verbose, quiet=quiet)


def main() -> None:
    """Run the command line of this process.

    What cannot be done is one sentence and exit code 1. An error that nobody foresaw keeps its traceback: whoever mends
    it needs it.
    """
    prepare()
    try:
        app()
    except LapelError as error:
        _fail(error)
    except OSError as error:
        _fail(LapelError(_sentence(error)))
    except ValueError as error:
        if "null" not in str(error):  # a NUL in a path
            raise
        _fail(InputError("A name holds a NUL character, which no file's name has. Check the paths."))
    finally:
        flush()


def _fail(error: LapelError) -> NoReturn:
    if "--json" in sys.argv:
        say(json.dumps(error.to_json()), err=True)  # on one line, whatever stood on stderr before
    else:
        say(str(error), head="Error: ", err=True)
    sys.exit(1)


def _sentence(error: OSError) -> str:
    """What the operating system refused, and what to do."""
    what = f"'{shortened(str(error.filename))}' cannot be used" if error.filename else "This cannot be done"
    return (
        f"{what}: {error.strerror or error}. {ADVICE.get(error.errno or 0, 'Check it and run the same command again.')}"
    )
