# ruff: noqa: D102 - what each method does stands at ImageSource
"""Pictures in a folder on Google Drive and the folders below it: ``gdrive://<folder id>``.

URIs are ``gdrive://<file id>``.

A photo keeps its address when it is renamed or moved; its checksum says whether it is still the same. Shortcuts are
followed, what lies in the trash is not there, and documents, videos and the like are counted by kind.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any

from lapel.core.errors import SourceError
from lapel.sources import MAX_BYTES, Links
from lapel.sources.base import ImageSource
from lapel.sources.drive.account import Account, DriveSettings
from lapel.sources.names import EXCLUDED, HIDDEN, UNREADABLE, Exclude, is_image_name, is_junk, kind_of

SCHEME = "gdrive://"
FOLDER = "application/vnd.google-apps.folder"
SHORTCUT = "application/vnd.google-apps.shortcut"
GOOGLE = "application/vnd.google-apps."
EXTENSION = {  # of photos whose names have none
    **{f"image/{kind}": f".{kind}" for kind in ("png", "webp", "avif", "gif", "bmp", "jp2", "heic")},
    **{"image/jpeg": ".jpg", "image/x-ms-bmp": ".bmp", "image/tiff": ".tif", "image/heif": ".heic"},
}
UNKNOWN = "application/octet-stream"  # what an upload without a type gets
FIELDS = "id,name,mimeType,md5Checksum,modifiedTime,size,trashed,shortcutDetails(targetId,targetMimeType)"
LISTING_THREADS = 8  # folders listed at once
# The id in the addresses that a browser shows and in those that photos are embedded by.
ADDRESS = re.compile(
    r"^https://(?:drive|docs|lh3)\.google(?:usercontent)?\.com(?=/).*?(?:/d/|/folders/|[?&]id=)([\w-]+)"
)


@dataclass(frozen=True, slots=True)
class DriveFile:
    """One photo on Drive.

    Attributes:
        id: Its Drive id.
        path: Folder names below the root, and the file's name, with an extension.
        version_token: ``md5:<checksum>-<bytes>``, or ``time:<change>-<bytes>`` where Drive knows no checksum.
        size: Bytes.
        md5: Checksum; empty where Drive knows none.
    """

    id: str
    path: tuple[str, ...]
    version_token: str
    size: int
    md5: str


class DriveSource(ImageSource):
    """A folder of photos on Google Drive.

    Args:
        where: ``//<folder id>``; without an id, single photos can be read by their URIs.
        settings: Credentials and patience; by default those of this process.
        exclude: Patterns of names to leave out, see :class:`lapel.sources.names.Exclude`.
        account: Who asks, instead of one made from ``settings``.

    Raises:
        SourceError: no credentials, or the folder is not there, not shared or not a folder.
    """

    remote = True
    scheme = "gdrive"

    def __init__(
        self,
        where: str,
        settings: DriveSettings | None = None,
        exclude: Sequence[str] = (),
        *,
        account: Account | None = None,
    ) -> None:
        self.root = where.strip("/")
        self._exclude = Exclude(exclude)
        self.account = account or Account(settings or DriveSettings.of_process())
        self._skipped: Counter[str] = Counter()
        self._unreadable: dict[str, str] = {}
        self._lock = Lock()
        self._title = ""
        self._drive: dict[str, str] = {}
        self.folders: dict[tuple[str, ...], str] = {}  # ids by path, filled by the first walk
        try:
            if self.root:
                self._look_at_root()
        except SourceError:
            self.close()
            raise

    def _look_at_root(self) -> None:
        found = self._about(self.root, "id,name,mimeType,driveId,trashed,shortcutDetails(targetId)")
        if found["mimeType"] == SHORTCUT:
            self.root = found["shortcutDetails"]["targetId"]
            found = self._about(self.root, "id,name,mimeType,driveId,trashed")
        if found["mimeType"] != FOLDER:
            raise SourceError(
                f"'{found['name']}' ({self.root}) on Drive is a file ({found['mimeType']}). Give a folder's id."
            )
        if found.get("trashed"):
            raise SourceError(
                f"The Drive folder '{found['name']}' ({self.root}) is in the trash. Restore it there first."
            )
        self.root, self._title = found["id"], found["name"]  # "root" is another name for the top of one's own drive
        if "driveId" in found:
            self._drive = {"driveId": found["driveId"], "corpora": "drive"}

    @property
    def where(self) -> str:
        """The folder's id and name."""
        return f"{SCHEME}{self.root} ('{self._title}')"

    def walk(self) -> Iterator[str]:
        return (SCHEME + file for file in self._listing)

    def files(self) -> list[DriveFile]:
        """What is known of every photo of a walk."""
        return list(self._listing.values())

    def lists(self, uri: str) -> bool:
        return uri.removeprefix(SCHEME) in self._listing

    def find(self, name: str) -> str:
        """The URI of the photo of this name below the folder, or of a Drive address or URI."""
        address = ADDRESS.match(name)
        if address:
            return SCHEME + address[1]
        if name.startswith(SCHEME):
            return name
        plain = name.replace("\\", "/").removeprefix("./")
        self._exclude.refuse(plain)
        found = self._names.get(plain, [])
        if len(found) > 1:
            raise SourceError(f"{len(found)} files are called '{name}' in {self.where}. Rename all but one.")
        return SCHEME + found[0] if found else super().find(name)

    def path(self, uri: str) -> tuple[str, ...]:
        return self._file(uri).path

    def read(self, uri: str) -> bytes:
        """The bytes of a photo, checked against Drive's checksum."""
        file = self._file(uri)
        what = f"the picture '{'/'.join(file.path)}' ({uri})"
        if file.size > MAX_BYTES:
            raise SourceError(f"{what[:1].upper()}{what[1:]} has more than {MAX_BYTES // 2**20} MB. Scale it down.")
        return self.account.download(file.id, what, md5=file.md5)

    def version_token(self, uri: str) -> str:
        """Drive's checksum, or where it has none the time of the last change, and the size."""
        return self._file(uri).version_token

    def links(self, uri: str) -> Links:
        file_id = uri.removeprefix(SCHEME)
        settings = self.account.settings
        return Links(settings.full.replace("{id}", file_id), settings.thumbnail.replace("{id}", file_id))

    def close(self) -> None:
        self.account.close()

    def _about(self, file_id: str, fields: str) -> Any:
        return self.account.ask(
            lambda: self.account.files.get(fileId=file_id, fields=fields, supportsAllDrives=True),
            f"the Drive file or folder {file_id}",
        )

    def _file(self, uri: str) -> DriveFile:
        """What is known of a photo; one outside of the folder is asked for."""
        file_id = uri.removeprefix(SCHEME)
        if self.root and file_id in self._listing:
            return self._listing[file_id]
        found = self._about(file_id, FIELDS)
        if found.get("trashed"):
            raise SourceError(
                f"The picture '{found['name']}' ({uri}) is in the trash of Drive. Restore it there."
            ) from FileNotFoundError(uri)
        return _drive_file(found, ())

    @cached_property
    def _names(self) -> Mapping[str, list[str]]:
        names: dict[str, list[str]] = {}
        for file in self._listing.values():
            names.setdefault("/".join(file.path), []).append(file.id)
        return names

    @property
    def _listing(self) -> Mapping[str, DriveFile]:
        with self._lock:
            return self._listed

    @cached_property
    def _listed(self) -> Mapping[str, DriveFile]:
        """Every photo by id, in the order of their paths. One that lies in several places counts at the first."""
        if not self.root:
            raise SourceError("A Drive folder is given by its id, the last part of its address: gdrive://<folder id>.")
        skipped: Counter[str] = Counter()
        files: list[DriveFile] = []
        seen = {self.root}
        level: list[tuple[str, tuple[str, ...]]] = [(self.root, ())]
        self.folders = {(): self.root}
        with ThreadPoolExecutor(LISTING_THREADS, thread_name_prefix="lapel-drive") as pool:
            while level:
                below: list[tuple[str, tuple[str, ...]]] = []
                for folders, pictures, others in pool.map(self._list, level):
                    files += pictures
                    skipped += others
                    below += folders
                    self.folders.update((path, file_id) for file_id, path in folders)
                level = []
                for file_id, path in below:
                    if file_id not in seen:  # a shortcut may lead back up, and two may lead to one folder
                        seen.add(file_id)
                        level.append((file_id, path))
        found: dict[str, DriveFile] = {}
        for file in sorted(files, key=lambda file: (file.path, file.id)):
            if found.setdefault(file.id, file) is not file:
                skipped["shortcuts to pictures that are there already"] += 1
        self._skipped = skipped
        return found

    def _list(self, folder: tuple[str, tuple[str, ...]]) -> tuple[list[Any], list[DriveFile], Counter[str]]:
        """What lies in one folder: folders with their paths, photos, and a count of the rest by kind."""
        file_id, path = folder
        folders: list[tuple[str, tuple[str, ...]]] = []
        pictures: list[DriveFile] = []
        others: Counter[str] = Counter()
        token = ""
        while True:
            try:
                page = self._page(file_id, "/".join(path) or self._title, token)
            except SourceError as error:
                # What may not be listed costs only itself; a Drive that does not answer, or the root, is another
                # matter.
                if not path or not isinstance(error.__cause__, (PermissionError, FileNotFoundError)):
                    raise
                self._unreadable["/".join(path)] = str(error)
                others[UNREADABLE] += 1
                return folders, pictures, others
            for entry in page.get("files", ()):
                name, kind = entry["name"], entry["mimeType"]
                if is_junk(name):
                    others[HIDDEN] += 1
                    continue
                if self._exclude and self._exclude.here("/".join((*path, name))):
                    others[EXCLUDED] += 1
                    continue
                if kind == SHORTCUT:
                    entry = self._target(entry)
                    kind = entry["mimeType"]
                if kind == FOLDER:
                    folders.append((entry["id"], (*path, name)))
                elif _is_image(name, kind):
                    pictures.append(_drive_file({**entry, "name": name}, path))
                else:
                    others[_kind(name, kind)] += 1
            token = page.get("nextPageToken", "")
            if not token:
                return folders, pictures, others

    def _page(self, file_id: str, what: str, token: str) -> Any:
        return self.account.ask(
            lambda: self.account.files.list(
                q=f"'{file_id}' in parents and trashed = false",
                pageSize=1000,
                pageToken=token or None,
                fields=f"nextPageToken,files({FIELDS})",
                supportsAllDrives=True,
                includeItemsFromAllDrives=True,
                **self._drive,
            ),
            f"the list of the Drive folder '{what}' ({file_id})",
        )

    def _target(self, entry: Any) -> Any:
        """What a shortcut leads to; a kind of its own when that is gone or not shared."""
        details = entry.get("shortcutDetails", {})
        if details.get("targetMimeType") == FOLDER:
            return {"id": details["targetId"], "mimeType": FOLDER}
        try:
            found = self._about(details["targetId"], FIELDS)
        except (KeyError, SourceError):
            found = {"trashed": True}
        return {"id": entry["id"], "mimeType": SHORTCUT} if found.get("trashed") else found


def _is_image(name: str, kind: str) -> bool:
    """By what Drive says it is; by its name where Drive does not know, or knows a photo by a name that few use."""
    return kind in EXTENSION or ((kind == UNKNOWN or kind.startswith("image/")) and is_image_name(name))


def _drive_file(entry: Any, path: tuple[str, ...]) -> DriveFile:
    name, md5 = entry["name"], entry.get("md5Checksum", "")
    if not is_image_name(name):
        name += EXTENSION.get(entry["mimeType"], "")
    change = f"md5:{md5}" if md5 else f"time:{entry.get('modifiedTime', '')}"
    size = int(entry.get("size", 0))
    return DriveFile(entry["id"], (*path, name), f"{change}-{size}", size, md5)


def _kind(name: str, kind: str) -> str:
    """What people call a kind of file that is no photo."""
    if kind == SHORTCUT:
        return "shortcuts that lead nowhere"
    if kind.startswith(GOOGLE):
        return "Google documents"
    said = {"video": "videos", "image": "pictures of an unknown kind"}.get(kind.partition("/")[0])
    by_name = kind_of(name)
    return by_name if by_name in _CAMERA else said or by_name


_CAMERA = frozenset(("camera raw photos", "JPEG XL pictures"))  # Drive calls them photos
