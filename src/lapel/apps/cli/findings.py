"""How every question of a whole catalogue is answered on the command line: a table, or ``--json``; with ``--out``
also a CSV and a page of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lapel.apps.cli.console import console, note, print_json, print_table, say

if TYPE_CHECKING:
    from lapel.service import Findings, Store

ROWS = 20  # of the table on a terminal; --out, --json and a pipe get them all

OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="Folder for the whole table (CSV) and a page of pictures (HTML).", metavar="DIR"),
]


def print_findings(
    shop: Store, found: Findings, name: str, *, as_json: bool, out: Path | None, right: tuple[str, ...] = ()
) -> None:
    """Print what was found, and save it where ``--out`` says.

    Args:
        shop: The store.
        found: What was found.
        name: The command, such as ``duplicates``: the files are named after it.
        as_json: Print one JSON object and nothing else.
        out: Folder for table and pictures.
        right: Columns of numbers.
    """
    saved = shop.save_findings(found, out, name) if out is not None else ()
    if as_json:
        print_json(found.to_json())
    else:
        rows = found.rows()
        shown = rows[:ROWS] if console.file.isatty() else rows  # who reads it by program wants them all
        if shown:
            cells = [[_text(row[column]) for column in found.columns()] for row in shown]
            print_table(list(found.columns()), cells, right=right)
        if len(rows) > len(shown):
            say(f"... and {len(rows) - len(shown):,} more rows: --out DIR writes them all, with pictures.")
        say(found.summary())
    for path in saved:
        note(f"Wrote {path}")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
