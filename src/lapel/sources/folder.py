"""Pictures in a folder and the folders below it. URIs are ``file:///absolute/path``, with other characters %-quoted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

from lapel.core.errors import SourceError
from lapel.sources import EXTENSIONS, MAX_BYTES, is_picture_name, refuse_link, unquote

SKIPPED = frozenset(("__MACOSX", "Thumbs.db", "desktop.ini"))


class FolderSource:
    """A folder of pictures.

    Args:
        where: Its path.

    Raises:
        SourceError: it is no folder, or may not be read.
    """

    def __init__(self, where: str) -> None:
        self._root = Path(os.path.abspath(where))  # noqa: PTH100 - keeps symbolic links, so that URIs stay what the user typed
        self._prefix = to_uri(str(self._root).rstrip("/") + "/")
        self.ignored = 0
        self._stems: dict[str, list[str]] | None = None
        try:
            with os.scandir(self._root):
                pass
        except OSError as error:
            raise SourceError(
                f"The folder {where} cannot be read: {error.strerror}. Give a folder of pictures or a ZIP."
            ) from error

    @property
    def where(self) -> str:
        """The folder's path."""
        return str(self._root)

    def walk(self) -> Iterator[str]:
        """Every picture's URI, by folder and name."""
        counter = [0]
        for name in self._names(self._root, "", frozenset(), counter):
            yield self._prefix + quote(os.fsencode(name))
        self.ignored = counter[0]

    def _names(self, folder: Path, prefix: str, above: frozenset[tuple[int, int]], ignored: list[int]) -> Iterator[str]:
        try:
            here = folder.stat()
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            raise SourceError(
                f"The folder {folder} cannot be read: {error.strerror}. Make it readable, or move it out of the way."
            ) from error
        inode = (here.st_dev, here.st_ino)
        if inode in above:  # a symbolic link to a folder above: a walk would never end
            return
        for entry in entries:
            if entry.name.startswith(".") or entry.name in SKIPPED:
                continue
            if entry.is_dir():
                yield from self._names(folder / entry.name, f"{prefix}{entry.name}/", above | {inode}, ignored)
            elif is_picture_name(entry.name) and entry.is_file():
                yield prefix + entry.name
            else:
                ignored[0] += 1

    def count(self) -> int:
        """How many pictures a walk gives."""
        return sum(1 for _ in self.walk())

    def lists(self, uri: str) -> bool:
        """Whether it lies here and its name is a picture's."""
        return uri.startswith(self._prefix) and is_picture_name(uri)

    def find(self, name: str) -> str:
        """The URI of the file of this relative name, or of an absolute name or file:// URI below the folder."""
        refuse_link(name)
        path = unquote(urlsplit(name).path) if name.startswith("file://") else name
        for text in dict.fromkeys((path, path.replace("\\", "/"))):
            # Compared as text: a name must not lead out of the folder, though a link inside it may.
            full = os.path.normpath(self._root / text)
            if not full.startswith(str(self._root).rstrip("/") + "/"):
                raise SourceError(f"'{name}' lies outside of {self._root}. Give the folder that holds all pictures.")
            try:
                if os.path.isfile(full):  # noqa: PTH113 - four times faster than Path, once a picture
                    return to_uri(full)
            except ValueError as error:
                raise SourceError(f"'{name}' is no file name: {error}.") from error
        raise SourceError(f"There is no file '{name}' in {self._root}.")

    def find_id(self, product_id: str) -> str:
        """The URI of ``<product_id>.<extension>``."""
        if "/" not in product_id and "\0" not in product_id:
            direct = f"{self._root}/{product_id}.jpg"
            if os.path.isfile(direct):  # noqa: PTH113 - the usual case, without listing the folder
                return to_uri(direct)
        if self._stems is None:
            self._stems = {}
            for name in self._names(self._root, "", frozenset(), [0]):
                self._stems.setdefault(name.rpartition("/")[2].rpartition(".")[0], []).append(name)
        return self._prefix + quote(os.fsencode(only(self._stems.get(product_id, []), product_id, self.where)))

    def path(self, uri: str) -> tuple[str, ...]:
        """Folder names and file name below the folder."""
        return tuple(unquote(uri.removeprefix(self._prefix)).split("/"))

    def read(self, uri: str) -> bytes:
        """The bytes of a picture."""
        return read_file(to_path(uri))

    def stamp(self, uri: str) -> str:
        """Size in bytes and time of the last change in nanoseconds."""
        path = to_path(uri)
        try:
            found = os.stat(path)  # noqa: PTH116 - half the cost of Path.stat, once a picture
        except (OSError, ValueError) as error:
            raise _gone(path, error) from error
        return f"{found.st_size}-{found.st_mtime_ns}"

    def close(self) -> None:
        """Nothing is kept open."""


def only(found: list[str], product_id: str, where: str) -> str:
    """The one picture among those named like a product."""
    if len(found) == 1:
        return found[0]
    if found:
        raise SourceError(
            f"{len(found)} pictures are called '{product_id}': {', '.join(found[:3])}. Name each product's pictures in a column 'pictures'."
        )
    raise SourceError(
        f"There is no picture '{product_id}' with an extension such as {', '.join(sorted(EXTENSIONS)[:3])} in {where}."
    )


def to_uri(path: str) -> str:
    """An absolute path as a URI."""
    return "file://" + quote(os.fsencode(path))


def to_path(uri: str) -> str:
    """The path of a file URI."""
    return os.fsdecode(os.fsencode(unquote(uri.removeprefix("file://"))))


def read_file(path: str) -> bytes:
    """A picture file's bytes.

    Raises:
        SourceError: it is gone, not a file, not readable or too large.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a third of the cost of Path.open, once a picture
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise _gone(path, error) from error
    if len(data) > MAX_BYTES:
        raise SourceError(f"The file {path} has more than {MAX_BYTES // 2**20} MB. Scale the picture down.")
    return data


def _gone(path: str, error: Exception) -> SourceError:
    reason = getattr(error, "strerror", None) or str(error)
    return SourceError(
        f"The picture file {path} cannot be read: {reason}. Put it back, or run lapel add again with its new place."
    )
