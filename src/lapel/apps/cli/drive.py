"""``lapel drive``: log in to Google Drive, and put pictures there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lapel.apps.cli.console import MapOption, progress_bar, resumable, say
from lapel.apps.cli.deprecated import renamed
from lapel.service import counted

drive = typer.Typer(help="Log in to Google Drive, and put pictures there.", rich_markup_mode=None, no_args_is_help=True)


@drive.callback()
def root() -> None:
    """Pictures on Google Drive are read with 'lapel add gdrive://FOLDER_ID'."""


@drive.command()
def login(
    client: Annotated[
        Path, typer.Argument(help="The JSON of an OAuth client of type 'Desktop app', from the Google Cloud console.")
    ],
    write_scope: Annotated[bool, typer.Option("--write-scope", help="Also ask for the permission to upload.")] = False,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open a browser, or only print the address.")
    ] = True,
    writes: Annotated[bool | None, renamed("--writes", "--write-scope")] = None,
) -> None:
    """Ask for permission in a browser, and keep it for later runs. A service account or an API key need no login."""
    from lapel.service import drive_login

    say(f"Kept in {drive_login(client, write_scope=write_scope or bool(writes), browser=browser)}.")


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
    from lapel.service import drive_upload

    with resumable(), progress_bar("uploading pictures") as update:
        done = drive_upload(source, to, out, products=products, mapping=mapping or (), progress=update)
    say(f"{counted(done.sent, 'picture')} uploaded, {done.there:,} there already, {len(done.failed):,} left out")
    for uri, reason in done.failed[:10]:
        say(f"{uri}: {reason}", style="yellow")
    say(f"Wrote {out} ({counted(done.products, 'product')}). Next: lapel add gdrive://{to} --products {out}")
    if done.failed:
        raise typer.Exit(1)
