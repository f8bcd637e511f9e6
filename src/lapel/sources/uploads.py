# ruff: noqa: D102 - what each method does stands at ImageSource
"""Pictures that came with a request and are kept in a folder of the store, by the hash of their bytes."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from lapel.core.errors import InputError, SourceError, TableError
from lapel.core.text import shortened
from lapel.sources.archive import UNPACKING
from lapel.sources.base import ImageSource
from lapel.sources.folder import read_file, to_path, to_uri

FOLDER = "pictures"  # in the store
MAX_RATIO = 100  # of a ZIP's member: pictures hardly shrink


class UploadSource(ImageSource):
    """Pictures by the names that a request gave them. They are written down when they are first needed.

    Args:
        folder: Where pictures are kept.
        pictures: Their bytes by name.
    """

    def __init__(self, folder: Path, pictures: Mapping[str, bytes]) -> None:
        self._folder = folder.absolute()
        self._pictures = pictures
        self._uris: dict[str, str] = {}
        self.written: list[Path] = []

    @property
    def where(self) -> str:
        return "the pictures of this request"

    def walk(self) -> Iterator[str]:
        return iter(dict.fromkeys(self._uris.values()))

    def find(self, name: str) -> str:
        """The URI of a picture, which is kept from now on."""
        if name not in self._pictures:
            raise SourceError(
                f"The request holds no picture '{shortened(name)}'. A product's pictures are http or https links, data:"
                " addresses, or names of files that are sent along."
            )
        if name not in self._uris:
            self._uris[name] = to_uri(str(self._keep(self._pictures[name])))
        return self._uris[name]

    def find_id(self, product_id: str) -> str:
        raise SourceError(f"The product '{shortened(product_id)}' names no picture. A new product needs at least one.")

    def read(self, uri: str) -> bytes:
        return read_file(to_path(uri))

    def version_token(self, uri: str) -> str:
        """The hash: what has this name never changes."""
        return Path(to_path(uri)).name

    def _keep(self, data: bytes) -> Path:
        sha256 = hashlib.sha256(data).hexdigest()
        path = self._folder / sha256[:2] / sha256
        if path.exists():
            return path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                file.write(data)
            os.replace(file.name, path)  # noqa: PTH105 - all of it or nothing
        except OSError as error:
            raise SourceError(f"The picture cannot be kept in {self._folder}: {error.strerror}.") from error
        self.written.append(path)
        return path


class BrokenZipError(InputError):
    """A ZIP of a request cannot be read."""

    code = "broken_zip"


class UploadedZip:
    """Pictures in a ZIP of a request, unpacked when a row names them and never further than the limits.

    Args:
        data: The ZIP; empty for none.
        most: Bytes of one picture.
        in_all: Bytes of all of them together.

    Raises:
        BrokenZipError: it cannot be read.
    """

    def __init__(self, data: bytes, most: int, in_all: int) -> None:
        self._most, self._left = most, in_all
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data)) if data else None
        except UNPACKING as error:
            raise BrokenZipError(f"'pictures' is no ZIP that can be read: {error}.") from error
        self._names = {info.filename: info for info in self._zip.infolist()} if self._zip else {}

    def of(self, names: list[str]) -> Mapping[str, bytes]:
        """The bytes of those names that are in the ZIP.

        Raises:
            TableError: one is too large or broken.
        """
        return {name: self._read(self._names[name]) for name in names if name in self._names}

    def _read(self, info: zipfile.ZipInfo) -> bytes:
        assert self._zip is not None
        limit = min(self._most, self._left)
        if info.file_size > limit or info.file_size > MAX_RATIO * max(info.compress_size, 1):
            raise TableError(
                f"'{info.filename[:80]}' in the ZIP unpacks to {info.file_size / 2**20:,.1f} MB, which is more than a"
                " picture may have here. Scale it down."
            )
        try:
            with self._zip.open(info) as file:
                data = file.read(limit + 1)
        except UNPACKING as error:
            raise TableError(f"'{info.filename[:80]}' in the ZIP cannot be read: {error}. Pack it again.") from error
        if len(data) > limit:
            raise TableError(f"'{info.filename[:80]}' in the ZIP unpacks to more than it says. Pack it again.")
        self._left -= len(data)
        return data
