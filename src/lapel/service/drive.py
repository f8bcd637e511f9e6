"""Google Drive: log in, and put photos there with a product table that names them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from lapel.core.errors import MissingDependencyError
from lapel.sources import open_source
from lapel.sources.mapping import ColumnMap
from lapel.sources.photos import photo_rows
from lapel.sources.table import read_table

INSTALL = "Google Drive needs its client. Run: pip install 'lapel[drive]'"


@dataclass(frozen=True)
class DriveUpload:
    """What became of each photo; every one is in exactly one of the first three.

    Attributes:
        sent: Photos uploaded.
        there: Photos that lay there already.
        failed: (source URI, reason) of the others.
        products: Rows of the table that was written.
    """

    sent: int
    there: int
    failed: tuple[tuple[str, str], ...]
    products: int


def drive_login(client: Path, *, write_scope: bool = False, browser: bool = True) -> Path:
    """Ask for permission in a browser, and keep it for later runs. See :func:`lapel.sources.drive.login.login`.

    Returns:
        The file that it is kept in.

    Raises:
        MissingDependencyError: Google's client is not installed.
        InputError: the client's file cannot be used.
    """
    try:
        from lapel.sources.drive.login import login
    except ImportError as error:
        raise MissingDependencyError(INSTALL) from error
    return login(client, writes=write_scope, browser=browser)


def drive_upload(
    source: Path,
    folder: str,
    table: Path,
    *,
    products: Path | None = None,
    mapping: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda *_: None,
) -> DriveUpload:
    """Put the photos of a folder or ZIP on Google Drive, and write a product table that names them there.

    Args:
        source: The photos.
        folder: The Drive folder's id.
        table: The CSV to write.
        products: Their products' table; without one each photo is a product.
        mapping: Where its fields come from, such as ``title=productDisplayName``.
        progress: Called with (done, total).

    Raises:
        MissingDependencyError: Google's client is not installed.
        SourceError: the folder is not there, or may not be written to.
    """
    try:
        from lapel.sources.drive.account import Account, DriveSettings
        from lapel.sources.drive.source import DriveSource
        from lapel.sources.drive.upload import upload, write_table
    except ImportError as error:
        raise MissingDependencyError(INSTALL) from error
    with closing(open_source(source)) as images, closing(Account(DriveSettings.of_process(), writes=True)) as account:
        done = upload(images, account, folder, report=progress)
        rows = photo_rows(images) if products is None else read_table(products, ColumnMap.parse(mapping))
        shown = DriveSource("//", account=account)
        count = write_table(table, rows, images, done.links, lambda uri: shown.links(uri).full)
    return DriveUpload(len(done.sent), len(done.there), done.failed, count)
