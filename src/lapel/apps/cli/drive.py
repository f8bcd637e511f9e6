"""``lapel drive``: log in to Google Drive, and put pictures there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lapel.apps.cli.add import MapOption
from lapel.apps.cli.console import progress_bar, resumable, say
from lapel.core.errors import MissingDependencyError
from lapel.core.text import counted

drive = typer.Typer(help="Log in to Google Drive, and put pictures there.", rich_markup_mode=None, no_args_is_help=True)
INSTALL = "Google Drive needs its client. Run: pip install 'lapel[drive]'"


@drive.callback()
def root() -> None:
    """Pictures on Google Drive are read with 'lapel add gdrive://FOLDER_ID'."""


@drive.command()
def login(
    client: Annotated[
        Path, typer.Argument(help="The JSON of an OAuth client of type 'Desktop app', from the Google Cloud console.")
    ],
    writes: Annotated[bool, typer.Option("--writes", help="Also ask for the permission to upload.")] = False,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open a browser, or only print the address.")
    ] = True,
) -> None:
    """Ask for permission in a browser, and keep it for later runs. A service account or an API key need no login."""
    try:
        from lapel.sources.drive.login import login as ask
    except ImportError as error:
        raise MissingDependencyError(INSTALL) from error
    say(f"Kept in {ask(client, writes=writes, browser=browser)}.")


@drive.command()
def upload(
    source: Annotated[Path, typer.Argument(help="A folder or ZIP of pictures.")],
    to: Annotated[
        str, typer.Option("--to", metavar="FOLDER_ID", help="The Drive folder: the last part of its address.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The product table with the links, to be written.")] = Path(
        "drive.csv"
    ),
    products: Annotated[Path | None, typer.Option("--products", help="A CSV, TSV or JSONL table of products.")] = None,
    mapping: MapOption = None,
) -> None:
    """Put pictures on Google Drive, and write a product table that names them there.

    Stopped half way, the same command goes on where it stopped. Then: lapel add gdrive://FOLDER_ID --products drive.csv
    """
    try:
        from lapel.sources.drive.account import Account, DriveSettings
        from lapel.sources.drive.source import DriveSource
        from lapel.sources.drive.upload import upload as send
        from lapel.sources.drive.upload import write_table
    except ImportError as error:
        raise MissingDependencyError(INSTALL) from error
    from lapel.sources import open_source
    from lapel.sources.mapping import ColumnMap
    from lapel.sources.photos import photo_rows
    from lapel.sources.table import read_table

    pictures = open_source(source)
    account = Account(DriveSettings.of_process(), writes=True)
    with resumable(), progress_bar("uploading pictures") as update:
        done = send(pictures, account, to, report=update)
    rows = photo_rows(pictures) if products is None else read_table(products, ColumnMap.parse(mapping or []))
    shown = DriveSource("//", account=account)
    count = write_table(out, rows, pictures, done.links, lambda uri: shown.links(uri).full)
    account.close()
    pictures.close()
    say(
        f"{counted(len(done.sent), 'picture')} uploaded, {len(done.there):,} there already, {len(done.failed):,} left"
        f" out"
    )
    for uri, reason in done.failed[:10]:
        say(f"{uri}: {reason}", style="yellow")
    say(f"Wrote {out} ({counted(count, 'product')}). Next: lapel add gdrive://{to} --products {out}")
    if done.failed:
        raise typer.Exit(1)
