# ruff: noqa: D102 - what each method does stands at ImageSource
"""Pictures that came with a request and are kept in a folder of the store, by the hash of their bytes."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from lapel.core.errors import SourceError
from lapel.core.text import shortened
from lapel.sources.base import ImageSource
from lapel.sources.folder import read_file, to_path, to_uri

FOLDER = "pictures"  # in the store


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
