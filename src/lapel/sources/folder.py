# ruff: noqa: D102 - what each method does stands at ImageSource
"""Pictures in a folder and the folders below it. URIs are ``file:///absolute/path``, with other characters %-quoted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit

from lapel.core.errors import SourceError
from lapel.core.text import shortened
from lapel.sources import MAX_BYTES, unquote
from lapel.sources.base import ImageSource
from lapel.sources.names import (
    EXCLUDED,
    HIDDEN,
    UNREADABLE,
    Exclude,
    begins_like_image,
    has_ending,
    is_hidden,
    is_image_name,
    is_junk,
    kind_of,
    refuse_link,
)


class FolderSource(ImageSource):
    """A folder of photos.

    Args:
        where: Its path.
        exclude: Patterns of names to leave out, see :class:`lapel.sources.names.Exclude`.

    Raises:
        SourceError: it is no folder, or may not be read.
    """

    def __init__(self, where: str, exclude: Sequence[str] = ()) -> None:
        # Keeps symbolic links, so that URIs stay what the user typed.
        self._root = Path(os.path.abspath(where))  # noqa: PTH100
        self._above = str(self._root).rstrip("/") + "/"
        self._prefix = to_uri(self._above)
        self._exclude = Exclude(exclude)
        self._skipped: Counter[str] = Counter()
        self._unreadable: dict[str, str] = {}
        self._peeked: dict[str, bool] = {}  # files without an ending: whether they begin like a photo
        try:
            with os.scandir(self._root):
                pass
        except OSError as error:
            raise SourceError(
                f"The folder {where} cannot be read: {error.strerror}. Give a folder of pictures or a ZIP."
            ) from error

    @property
    def where(self) -> str:
        return str(self._root)

    def walk(self) -> Iterator[str]:
        return (self._prefix + quote(os.fsencode(name)) for name in self._names())

    def _names(self) -> Iterator[str]:
        """Every photo's name below the folder. Folders that cannot be read are passed over, but for the first."""
        skipped: Counter[str] = Counter()
        unreadable: dict[str, str] = {}
        top = _entries(str(self._root))
        if isinstance(top, OSError):
            raise SourceError(
                f"The folder {self._root} cannot be read: {top.strerror}. Make it readable, or put it back."
            ) from top
        # A list, not recursion: folders lie in one another deeper than Python calls may.
        inside = [(*top, "")]
        above = {top[1]}
        while inside:
            entries, inode, prefix = inside[-1]
            entry = next(entries, None)
            if entry is None:
                inside.pop()
                above.discard(inode)
                continue
            name = prefix + entry.name
            if is_junk(entry.name):
                skipped[HIDDEN] += 1
            elif self._exclude and self._exclude.here(name):
                skipped[EXCLUDED] += 1
            elif _is(entry.is_dir):
                if _is_store(entry.path):
                    continue
                below = _entries(entry.path)
                if isinstance(below, OSError):
                    unreadable[name] = below.strerror or str(below)
                elif below[1] not in above:  # else a symbolic link to a folder above: a walk would never end
                    above.add(below[1])
                    inside.append((*below, name + "/"))
            elif _is(entry.is_file) and (is_image_name(entry.name) or self._peek(name)):
                yield name
            else:
                skipped[kind_of(entry.name)] += 1
        if unreadable:
            skipped[UNREADABLE] = len(unreadable)
        self._skipped, self._unreadable = skipped, unreadable

    def _peek(self, name: str) -> bool:
        """Whether a file has no ending and begins like a photo."""
        if has_ending(name):
            return False
        if name not in self._peeked:
            try:
                with open(self._above + name, "rb") as file:  # noqa: PTH123
                    self._peeked[name] = begins_like_image(file.read(32))
            except OSError:
                self._peeked[name] = False
        return self._peeked[name]

    def lists(self, uri: str) -> bool:
        if not uri.startswith(self._prefix):
            return False
        name = unquote(uri.removeprefix(self._prefix))
        if is_hidden(name) or (self._exclude and self._exclude.covers(name)):
            return False
        return is_image_name(name) or self._peek(name)

    def find(self, name: str) -> str:
        """The URI of the file of this relative name, or of an absolute name or file:// URI below the folder.

        Where there is no such file, one whose name is only written otherwise, see
        :class:`lapel.sources.names.NameIndex`.
        """
        refuse_link(name)
        path = unquote(urlsplit(name).path) if name.startswith("file://") else name
        for text in dict.fromkeys((path, path.replace("\\", "/"))):
            # Compared as text: a name must not lead out of the folder, though a link inside it may.
            full = os.path.normpath(self._root / text)
            inside = full.startswith(self._above)
            try:
                if inside and os.path.isfile(full):  # noqa: PTH113 - four times faster than Path, once a photo
                    self._exclude.refuse(full.removeprefix(self._above))
                    return to_uri(full)
                # "/images/a.jpg" is an address in a shop, unless there is such a file on this machine.
                if not inside and (not text.startswith("/") or os.path.lexists(full)):
                    raise SourceError(
                        f"'{shortened(name)}' lies outside of {self._root}. Give the folder that holds all pictures."
                    )
            except ValueError as error:
                raise SourceError(f"'{shortened(name)}' is no file name: {error}.") from error
        return super().find(path)

    def find_id(self, product_id: str) -> str:
        """The URI of ``<product_id>.<extension>``."""
        if "/" not in product_id and "\0" not in product_id:
            direct = f"{self._root}/{product_id}.jpg"
            if os.path.isfile(direct) and not self._exclude:  # noqa: PTH113 - the usual case, without a listing
                return to_uri(direct)
        return super().find_id(product_id)

    def path(self, uri: str) -> tuple[str, ...]:
        return tuple(unquote(uri.removeprefix(self._prefix)).split("/"))

    def read(self, uri: str) -> bytes:
        return read_file(to_path(uri))

    def version_token(self, uri: str) -> str:
        """Size in bytes and time of the last change in nanoseconds.

        What keeps both is noticed by ``lapel add --verify`` only.
        """
        path = to_path(uri)
        try:
            found = os.stat(path)  # noqa: PTH116 - half the cost of Path.stat, once a photo
        except (OSError, ValueError) as error:
            raise _gone(path, error) from error
        return f"{found.st_size}-{found.st_mtime_ns}"


def _is_store(folder: str) -> bool:
    """Whether a folder is a store of Lapel's, which often lies beside its photos: a file in it is an SQLite file that
    says so."""
    try:
        with open(f"{folder}/catalog.sqlite", "rb") as file:  # noqa: PTH123
            return file.read(72)[68:] == b"LAPL"
    except OSError:
        return False


def _entries(path: str) -> tuple[Iterator[os.DirEntry[str]], tuple[int, int]] | OSError:
    """What is in a folder, sorted, and which folder it is; or why that cannot be known."""
    try:
        here = os.stat(path)  # noqa: PTH116 - a path of 1,000 folders is slow to take apart
        with os.scandir(path) as found:
            return iter(sorted(found, key=lambda entry: entry.name)), (here.st_dev, here.st_ino)
    except OSError as error:
        return error


def _is(question: Callable[[], bool]) -> bool:
    """What a folder's entry says of itself; no where a link leads in a circle or to what may not be looked at."""
    try:
        return question()
    except OSError:
        return False


def to_uri(path: str) -> str:
    """An absolute path as a URI."""
    return "file://" + quote(os.fsencode(path))


def to_path(uri: str) -> str:
    """The path of a file URI."""
    return os.fsdecode(os.fsencode(unquote(uri.removeprefix("file://"))))


def read_file(path: str) -> bytes:
    """A photo file's bytes.

    Raises:
        SourceError: it is gone, not a file, not readable or too large.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a third of the cost of Path.open, once a photo
            # The size first: a larger file is not read at all, and one that grows meanwhile not further than this.
            size = os.fstat(file.fileno()).st_size
            data = file.read(MAX_BYTES + 1) if size <= MAX_BYTES else b""
    except (OSError, ValueError) as error:
        raise _gone(path, error) from error
    if max(size, len(data)) > MAX_BYTES:
        raise SourceError(f"The file {path} has more than {MAX_BYTES // 2**20} MB. Scale the picture down.")
    return data


def _gone(path: str, error: Exception) -> SourceError:
    reason = getattr(error, "strerror", None) or str(error)
    return SourceError(
        f"The picture file {path} cannot be read: {reason}. Put it back, or run lapel add again with its new place."
    )
