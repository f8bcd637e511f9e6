"""``lapel backup`` and ``lapel restore``: a store in one file, and a store of that file again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lapel.apps.cli.console import DEFAULT_STORE, JsonOption, StoreOption, print_json, progress_bar, say
from lapel.service import counted

if TYPE_CHECKING:
    from lapel.service import BackupReport

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]


def backup(file: FileArgument, store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Keep a store in one new file, also while it is served and written to.

    The file holds one moment of the catalogue with its vectors, keys and jobs, and the pictures that came by requests.
    Indexes and small pictures are left out: they are made again. Whoever reads it can read the shop.
    """
    from lapel.service import open_store

    with open_store(store, read_only=None) as shop, progress_bar("backing up") as tell:
        report = shop.backup(file, progress=tell)
    _tell(report, f"Kept {store} in {file}", as_json=as_json)


def restore(file: FileArgument, store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Make a store of a backup, in a folder where nothing is yet.

    Each file is checked by its SHA-256; the store is there when it is whole, or not at all.
    """
    from lapel.service import restore_store

    with progress_bar("restoring") as tell:
        report = restore_store(file, store, progress=tell)
    _tell(report, f"Restored {file}, of {report.created_at}, as {store}", as_json=as_json)


def _tell(report: BackupReport, done: str, *, as_json: bool) -> None:
    if as_json:
        print_json(report.to_json())
    else:
        files, megabytes = counted(report.files, "file"), report.bytes / 2**20
        say(f"{done}: {counted(report.products, 'product')}, {files}, {megabytes:,.1f} MB.")
