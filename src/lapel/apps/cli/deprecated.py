"""Former names on the command line: they work, or say where they went, for one version.

Both write to standard error only, so that what reads a command's output notices nothing.
"""

from __future__ import annotations

from typing import Any

import typer

from lapel.apps.cli.console import say


def renamed(former: str, current: str) -> Any:
    """A hidden option that still takes a former name and says the current one.

    Typer gives its value to a parameter of its own; the command takes whichever of the two was given:

        per: Annotated[str | None, renamed("--per", "--group-by")] = None
        ...
        group_by = per or group_by

    Args:
        former: Such as ``--per``.
        current: Such as ``--group-by``.
    """

    def told(value: Any) -> Any:
        if value not in (None, []):
            say(f"{former} is called {current} now; the next version does not know {former}.", err=True)
        return value

    return typer.Option(former, hidden=True, callback=told)


def add_moved_commands(app: typer.Typer) -> None:
    """Give an app the commands that have moved elsewhere: hidden, and telling where."""

    @app.command(
        hidden=True,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )
    def benchmark(context: typer.Context) -> None:
        """Public data sets: now a script beside the package."""
        words = " ".join(["python benchmarks/public_data_sets.py", *context.args])
        say(f"'lapel benchmark' is a script of the repository now. Run there: {words}", err=True)
        raise typer.Exit(2)
