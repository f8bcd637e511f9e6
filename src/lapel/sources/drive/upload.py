"""Pictures of any source onto Google Drive, and a product table with their links.

What lies there already with the same name and checksum is left alone, so that a run that was stopped goes on where it
was; a photo that changed keeps its Drive id. Single uploads go on where a connection broke.
"""

from __future__ import annotations

import csv
import hashlib
import io
import mimetypes
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from googleapiclient.http import MediaIoBaseUpload

from lapel.core.errors import InputError, SourceError
from lapel.sources import ImageSource
from lapel.sources.drive.account import Account
from lapel.sources.drive.source import FOLDER, SCHEME, UNKNOWN, DriveFile, DriveSource
from lapel.sources.table import TableRow

CHUNK_BYTES = 8 * 2**20  # bytes sent at once; a multiple of the 256 KB that Drive asks for
LINK_COLUMN = "picture_link"  # the column with where a browser sees the first photo; 'link' would be the product's page
UPLOAD_THREADS = 8  # photos under way at once
TEXTS = ("id", "title", "category", "gender", "brand", "colour", "season", "price", "currency", "in_stock", "url")


@dataclass(frozen=True)
class UploadReport:
    """What became of each photo; every one is in exactly one of the three.

    Attributes:
        sent: Source URI -> Drive URI of what was uploaded.
        there: The same of what lay there already.
        failed: (source URI, reason).
    """

    sent: Mapping[str, str]
    there: Mapping[str, str]
    failed: tuple[tuple[str, str], ...]

    @property
    def links(self) -> dict[str, str]:
        """Source URI -> Drive URI of all that lie on Drive now."""
        return {**self.there, **self.sent}


def upload(
    source: ImageSource, account: Account, folder: str, *, report: Callable[[int, int], None] = lambda *_: None
) -> UploadReport:
    """Put every photo of a source into a Drive folder, with the folders that it lies in.

    Args:
        source: Where from.
        account: One that may write.
        folder: The Drive folder's id.
        report: Called with (done, total).

    Raises:
        SourceError: the folder is not there, or a folder cannot be made in it.
    """
    target = DriveSource(f"//{folder}", account=account)
    known = {file.path: file for file in target.files()}
    paths = {uri: source.path(uri) for uri in source.walk()}
    for above in sorted({path[:depth] for path in paths.values() for depth in range(1, len(path))}):
        if above not in target.folders:
            target.folders[above] = _make_folder(account, above, target.folders[above[:-1]])
    sent: dict[str, str] = {}
    there: dict[str, str] = {}
    failed: list[tuple[str, str]] = []

    def one(uri: str) -> None:
        path = paths[uri]
        data = source.read(uri)
        before = known.get(path)
        if before is not None and before.md5 == hashlib.md5(data, usedforsecurity=False).hexdigest():
            there[uri] = SCHEME + before.id
        else:
            sent[uri] = SCHEME + _send(account, path, data, target.folders[path[:-1]], before)

    with ThreadPoolExecutor(UPLOAD_THREADS, thread_name_prefix="lapel-upload") as pool:
        jobs = {pool.submit(one, uri): uri for uri in paths}
        try:
            for done, job in enumerate(as_completed(jobs), 1):
                try:
                    job.result()
                except SourceError as error:
                    failed.append((jobs[job], str(error)))
                report(done, len(paths))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return UploadReport(sent, there, tuple(failed))


def _make_folder(account: Account, path: tuple[str, ...], parent: str) -> str:
    said = {"name": path[-1], "mimeType": FOLDER, "parents": [parent]}
    made: str = account.ask(
        lambda: account.files.create(body=said, fields="id", supportsAllDrives=True),
        f"making the Drive folder '{'/'.join(path)}' in {parent}",
    )["id"]
    return made


def _send(account: Account, path: tuple[str, ...], data: bytes, parent: str, before: DriveFile | None) -> str:
    """Upload one photo, as a new file or as new content of one that is there; its id."""
    kind = mimetypes.guess_type(path[-1])[0] or UNKNOWN
    media = MediaIoBaseUpload(io.BytesIO(data), mimetype=kind, chunksize=CHUNK_BYTES, resumable=True)
    common = {"media_body": media, "fields": "id", "supportsAllDrives": True}
    if before is None:
        request = account.files.create(body={"name": path[-1], "parents": [parent]}, **common)
    else:
        request = account.files.update(fileId=before.id, body={}, **common)

    made = None
    while (
        made is None
    ):  # a part at a time, each with patience of its own; after an error the client asks how much has arrived
        _, made = account.patiently(
            lambda http: request.next_chunk(http=http), f"the upload of '{'/'.join(path)}' to the folder {parent}"
        )
    return str(made["id"])


def write_table(
    path: Path, rows: Iterable[TableRow], source: ImageSource, links: Mapping[str, str], show: Callable[[str], str]
) -> int:
    """Write a product table whose photos are on Drive; how many products it has.

    Args:
        path: A CSV.
        rows: The products, with their photos named as in ``source``.
        source: Where the photos were.
        links: Source URI -> Drive URI. Products without one are left out.
        show: Drive URI -> the first photo's display link.

    Raises:
        InputError: it cannot be written.
    """
    lines: list[dict[str, str]] = []
    for row in rows:
        product = row.product
        if product is None:
            continue
        found = []
        for name in row.pictures or ("",):
            try:
                found.append(links[source.find(name) if name else source.find_id(product.id)])
            except (SourceError, KeyError):
                continue
        if found:
            texts = {
                name: getattr(product, name) for name in ("id", "title", "gender", "brand", "colour", "season", "url")
            }
            texts["category"] = ">".join(product.category)
            texts["price"] = product.price.rpartition(" ")[0].replace(",", "")
            texts["currency"] = product.currency if product.price else ""
            texts["in_stock"] = {True: "yes", False: "no", None: ""}[product.in_stock]
            lines.append({**product.attributes, **texts, "pictures": "|".join(found), LINK_COLUMN: show(found[0])})
    more = sorted({name for line in lines for name in line} - {*TEXTS, "pictures", LINK_COLUMN})
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, [*TEXTS, "pictures", LINK_COLUMN, *more], restval="")
            table.writeheader()
            table.writerows(lines)
    except OSError as error:
        raise InputError(
            f"The product table cannot be written to {path}: {error.strerror}. Choose another --out."
        ) from error
    return len(lines)
