"""A store in one file, written while it is served, and a store made of such a file again.

A backup is a ZIP without compression: the catalogue as it was at one moment (SQLite's backup API), the pictures that it
names in the store's own folder, and the small files beside them. Last comes :data:`MANIFEST` with the SHA-256 of each:
a file without it is no backup. Indexes are left out, as they are rebuilt from the catalogue.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

from lapel import __version__
from lapel.catalog import request_lock
from lapel.core.errors import InputError, StoreDamagedError
from lapel.core.text import reason_of
from lapel.engine.context import CATALOGUE, StoreContext
from lapel.service.uploads import UPLOADS, archive_prefix, own_prefix
from lapel.sources.uploads import FOLDER

FORMAT = 1
MANIFEST = "backup.json"
CHUNK = 2**20
PAGES = 4096  # of the catalogue, copied between two steps of the progress: 16 MB
LEFT_OUT = (  # caches, locks and what is half made
    *("index-", "milvus", "neighbours.", "map-tiles.", "prices-", "photo-figures."),
    *("writer.", "model.", "index.", "request.", "."),
)
NOT_COPIED = (CATALOGUE, "thumbnails.sqlite")  # copied before all else, or made again
DATABASE = ".sqlite"  # copied by SQLite: one moment of it, also while others write
BESIDE = ("-wal", "-shm", "-journal")  # of a database, and part of its copy
FOLDERS = ("jobs", "calibration", UPLOADS)  # that are kept whole
MODE = 0o600  # hashes of keys are in it

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class BackupReport:
    """What was kept, or put back.

    Attributes:
        path: The file, or the store.
        products: How many products.
        files: Files in it.
        bytes: Of all of them together.
        created_at: When the backup was made, UTC.
    """

    path: str
    products: int
    files: int
    bytes: int
    created_at: str

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def backup(context: StoreContext, path: Path, progress: Progress | None = None) -> BackupReport:
    """Keep a store in a file. Others may search and write meanwhile; the file holds one moment of it.

    Args:
        context: The store.
        path: The new file. It is there when it is whole; stopped half way, nothing is left but a ``.part``.
        progress: Called with the bytes written, and how many there are.

    Raises:
        InputError: there is such a file, or it cannot be written.
    """
    if os.path.lexists(path):
        raise InputError(f"There is a file {path} already, and a backup never replaces one. Give another name.")
    tell = progress or (lambda _done, _total: None)
    part = path.with_name(path.name + ".part")
    try:
        with tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=".lapel-backup-") as held:
            copy = Path(held) / CATALOGUE
            context.catalog.copy_to(copy, pages=PAGES)
            with _created(part) as file, zipfile.ZipFile(file, "w", allowZip64=True) as archive:
                report = _Writer(context, archive, copy, tell).write(path)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        os.link(part, path)  # refuses to replace what came there meanwhile
    except FileExistsError as error:
        raise InputError(f"There is a file {path} now, and a backup never replaces one. Give another name.") from error
    except OSError as error:
        raise InputError(f"The backup {path} cannot be written: {reason_of(error)}. Choose another place.") from error
    finally:
        part.unlink(missing_ok=True)
    return report


@contextmanager
def _created(part: Path) -> Iterator[IO[bytes]]:
    part.unlink(missing_ok=True)  # of a run that was stopped
    with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, MODE), "w+b") as file:
        yield file


class _Writer:
    def __init__(self, context: StoreContext, archive: zipfile.ZipFile, copy: Path, tell: Progress) -> None:
        self._context, self._archive, self._copy, self._tell = context, archive, copy, tell
        self._files: dict[str, dict[str, Any]] = {}
        self._done = 0

    def write(self, path: Path) -> BackupReport:
        folder = self._context.folder
        small = [
            each
            for each in sorted(folder.rglob("*"))
            if each.is_file() and not each.is_symlink() and self._is_kept(each.relative_to(folder))
        ]
        pictures = self._pictures()
        total = self._copy.stat().st_size + sum(each.stat().st_size for each in [*small, *pictures] if each.exists())
        for each in small:
            name = each.relative_to(folder).as_posix()
            self._add(self._still(each) if each.suffix == DATABASE else each, name, total)
        missing = [each for each in pictures if not self._add(each, self._name(each), total)]
        if missing:  # taken out since the catalogue was copied: for a moment no request may take out more
            with request_lock(folder):
                self._copy.unlink()
                self._context.catalog.copy_to(self._copy, pages=PAGES)
                for each in self._pictures():
                    if self._name(each) not in self._files:
                        self._add(each, self._name(each), total)
        self._add(self._copy, CATALOGUE, total)
        with closing(sqlite3.connect(self._copy)) as database:
            (products,) = database.execute("SELECT count(*) FROM product").fetchone()
        created = datetime.now(UTC).isoformat(timespec="seconds")
        facts = {"format": FORMAT, "lapel": __version__, "created_at": created, "products": products}
        facts["folder"] = str(folder.absolute())
        self._archive.writestr(MANIFEST, json.dumps({**facts, "files": self._files}, indent=1))
        return BackupReport(str(path), products, len(self._files), self._done, created)

    @staticmethod
    def _is_kept(name: Path) -> bool:
        top = name.parts[0]
        if top == FOLDER or top.startswith(LEFT_OUT) or top.startswith(NOT_COPIED) or top.endswith(BESIDE):
            return False
        return len(name.parts) == 1 or top in FOLDERS

    def _still(self, database: Path) -> Path:
        """A copy of one of the store's other databases, such as the events, as it is at this moment.

        Raises:
            StoreDamagedError: it cannot be read.
        """
        copy = self._copy.with_name(database.name)
        try:
            with closing(sqlite3.connect(database)) as held, closing(sqlite3.connect(copy)) as into:
                held.backup(into, pages=PAGES)
        except sqlite3.Error as error:
            raise StoreDamagedError(
                f"{database} cannot be read: {error}. Move it away, or restore a backup."
            ) from error
        return copy

    def _pictures(self) -> list[Path]:
        """The pictures in the store's own folder that the copied catalogue names."""
        own, prefix = self._context.folder.absolute() / FOLDER, own_prefix(self._context.folder)
        with closing(sqlite3.connect(self._copy)) as database:
            asked = "SELECT DISTINCT sha256 FROM photo WHERE substr(uri, 1, ?) = ? ORDER BY sha256"
            return [own / sha256[:2] / sha256 for (sha256,) in database.execute(asked, (len(prefix), prefix))]

    @staticmethod
    def _name(picture: Path) -> str:
        return f"{FOLDER}/{picture.parent.name}/{picture.name}"

    def _add(self, source: Path, name: str, total: int) -> bool:
        """Copy a file; False where it is gone."""
        sha256, size = hashlib.sha256(), 0
        try:
            file = source.open("rb")
        except FileNotFoundError:
            return False
        with file, self._archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as into:
            while chunk := file.read(CHUNK):
                into.write(chunk)
                sha256.update(chunk)
                size += len(chunk)
                self._done += len(chunk)
                self._tell(self._done, max(total, self._done))
        self._files[name] = {"sha256": sha256.hexdigest(), "bytes": size}
        return True


def restore(path: Path, folder: Path, progress: Progress | None = None) -> BackupReport:
    """Make a store of a backup.

    Args:
        path: The backup.
        folder: Where the store shall be; there is nothing yet, or an empty folder. It is there when it is whole.
        progress: Called with the bytes written, and how many there are.

    Raises:
        InputError: there is something at ``folder``, or ``path`` is no backup.
        StoreDamagedError: the backup is damaged; nothing was made.
    """
    folder = folder.absolute()
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"There is something at {folder} already, and nothing is replaced. Give a new folder.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path) as archive:
            facts = _facts(archive, path)
            held = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-restoring-"))
            try:
                total, done = sum(each["bytes"] for each in facts["files"].values()), 0
                for name, told in facts["files"].items():
                    _extract(archive, name, told, held, path)
                    done += told["bytes"]
                    if progress is not None:
                        progress(done, total)
                _settle(held / CATALOGUE, Path(facts["folder"]), folder, path)
                held.chmod(0o755)
                held.rename(folder)
            except BaseException:
                shutil.rmtree(held, ignore_errors=True)
                raise
    except (zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{path} is no backup, or was cut: {error}. Take another copy of it.") from error
    except OSError as error:
        raise InputError(f"The store {folder} cannot be restored from {path}: {reason_of(error)}.") from error
    return BackupReport(str(folder), facts["products"], len(facts["files"]), total, facts["created_at"])


def _facts(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    """What the manifest says, checked."""
    try:
        facts: dict[str, Any] = json.loads(archive.read(MANIFEST))
        if facts["format"] != FORMAT:
            raise InputError(
                f"The backup {path} has format {facts['format']}; this Lapel reads {FORMAT}. Update Lapel."
            )
        for name, told in facts["files"].items():
            parts = PurePosixPath(name).parts
            plain = name == "/".join(parts) and ".." not in parts and not name.startswith("/") and "\\" not in name
            if not plain or not isinstance(told["sha256"], str) or archive.getinfo(name).file_size != told["bytes"]:
                raise ValueError(name)
        if CATALOGUE not in facts["files"] or not isinstance(facts["folder"], str):
            raise ValueError(CATALOGUE)
        return {**facts, "products": int(facts["products"]), "created_at": str(facts["created_at"])}
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is no backup that 'lapel backup' wrote: its {MANIFEST} is missing or wrong."
        ) from error


def _extract(archive: zipfile.ZipFile, name: str, told: dict[str, Any], into: Path, path: Path) -> None:
    target = into / name
    target.parent.mkdir(parents=True, exist_ok=True)
    sha256 = hashlib.sha256()
    with archive.open(name) as file, target.open("wb") as out:
        while chunk := file.read(CHUNK):
            out.write(chunk)
            sha256.update(chunk)
    if sha256.hexdigest() != told["sha256"]:
        raise StoreDamagedError(f"{name} in the backup {path} is not what was kept. Take another copy of the backup.")


def _settle(catalogue: Path, before: Path, now: Path, path: Path) -> None:
    """Make a catalogue at home in another folder: its pictures lie there now, and indexes of the old one are none of
    its own."""
    moved = [(prefix(before), prefix(now)) for prefix in (own_prefix, archive_prefix)]
    with closing(sqlite3.connect(catalogue)) as database:
        try:
            (found,) = database.execute("PRAGMA quick_check").fetchone()
            if found != "ok":
                raise StoreDamagedError(f"The catalogue in the backup {path} is damaged: {found}.")
            with database:
                database.executemany(
                    "UPDATE photo SET uri = ? || substr(uri, ?) WHERE substr(uri, 1, ?) = ?",
                    [(becomes, len(was) + 1, len(was), was) for was, becomes in moved],
                )
                database.execute("UPDATE setting SET value = ? WHERE name = 'identity'", (uuid.uuid4().hex[:8],))
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise StoreDamagedError(f"The catalogue in the backup {path} cannot be read: {error}.") from error
    for rest in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            catalogue.with_name(catalogue.name + rest).unlink()
