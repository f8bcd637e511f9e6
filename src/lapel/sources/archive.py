"""Pictures in a ZIP, read where they are: nothing is unpacked to disk. URIs are ``zip:///absolute/pictures.zip!/folder/a.jpg``."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from lapel.core.errors import SourceError
from lapel.sources import MAX_BYTES, is_picture_name, refuse_link, unquote
from lapel.sources.folder import SKIPPED, only

ENCRYPTED = 0x1  # bit of a member's flags


class ZipSource:
    """A ZIP of pictures.

    Args:
        where: Its path.

    Raises:
        SourceError: it is not a ZIP, broken, or locked with a password.
    """

    def __init__(self, where: str) -> None:
        self._file = Path(os.path.abspath(where))  # noqa: PTH100 - keeps symbolic links, so that URIs stay what the user typed
        try:
            self._zip = zipfile.ZipFile(self._file)
        except OSError as error:
            raise SourceError(
                f"The archive {where} cannot be read: {error.strerror}. Give a ZIP or a folder of pictures."
            ) from error
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise SourceError(
                f"{where} is not a ZIP archive, or its end is missing: {error}. Copy it again; give a ZIP or a folder of pictures."
            ) from error
        self._prefix = f"zip://{quote(os.fsencode(self._file))}!/"
        names = [name for name in self._zip.NameToInfo if not name.endswith("/") and not _hidden(name)]
        self._pictures = sorted(filter(is_picture_name, names))
        self.ignored = len(names) - len(self._pictures)
        if any(self._zip.NameToInfo[name].flag_bits & ENCRYPTED for name in self._pictures):
            self.close()
            raise SourceError(f"The archive {where} is locked with a password. Unpack it, and give the folder instead.")

    @property
    def where(self) -> str:
        """The archive's path."""
        return str(self._file)

    @cached_property
    def _wrapper(self) -> str:
        """The one folder that holds everything and is called like the archive: packing made it, so it says nothing."""
        folder = self._file.stem + "/"
        return folder if self._pictures and all(name.startswith(folder) for name in self._pictures) else ""

    @cached_property
    def _stems(self) -> dict[str, list[str]]:
        stems: dict[str, list[str]] = {}
        for name in self._pictures:
            stems.setdefault(name.rpartition("/")[2].rpartition(".")[0], []).append(name)
        return stems

    def walk(self) -> Iterator[str]:
        """Every picture's URI, by name."""
        return map(self._uri, self._pictures)

    def count(self) -> int:
        """How many pictures a walk gives."""
        return len(self._pictures)

    def lists(self, uri: str) -> bool:
        """Whether it lies here and its name is a picture's."""
        return uri.startswith(self._prefix) and is_picture_name(uri)

    def find(self, name: str) -> str:
        """The URI of the member of this name, with or without the folder that packing added."""
        refuse_link(name)
        if name.startswith(self._prefix):
            name = unquote(name.removeprefix(self._prefix))
        # A table may be written with Windows' separators or from where it lay beside the folder.
        plain = name.replace("\\", "/").removeprefix("./")
        for text in dict.fromkeys((name, plain, self._wrapper + plain)):
            if text in self._zip.NameToInfo and not text.endswith("/"):
                return self._uri(text)
        raise SourceError(f"There is no member '{name}' in {self._file}.")

    def find_id(self, product_id: str) -> str:
        """The URI of ``<product_id>.<extension>``."""
        direct = f"{product_id}.jpg"
        if direct in self._zip.NameToInfo:  # the usual case, without an index of all names
            return self._uri(direct)
        return self._uri(only(self._stems.get(product_id, []), product_id, self.where))

    def path(self, uri: str) -> tuple[str, ...]:
        """Folder names and file name, without the folder that packing added."""
        return tuple(unquote(uri.removeprefix(self._prefix)).removeprefix(self._wrapper).split("/"))

    def read(self, uri: str) -> bytes:
        """The bytes of a picture, checked against the archive's checksum."""
        info = self._info(uri)
        if info.file_size > MAX_BYTES:
            raise SourceError(
                f"{info.filename} in {self._file} has more than {MAX_BYTES // 2**20} MB. Scale the picture down."
            )
        try:
            return self._zip.read(info)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
            # RuntimeError: a locked member, or (NotImplementedError) a way of packing that Python does not know.
            raise SourceError(
                f"{info.filename} in {self._file} cannot be unpacked: {error}. Pack or copy the archive again."
            ) from error

    def stamp(self, uri: str) -> str:
        """Size in bytes and the checksum that the archive carries."""
        info = self._info(uri)
        return f"{info.file_size}-{info.CRC:08x}"

    def close(self) -> None:
        """Close the archive."""
        self._zip.close()

    def _uri(self, name: str) -> str:
        return self._prefix + quote(name)

    def _info(self, uri: str) -> zipfile.ZipInfo:
        name = split_uri(uri)[1]
        try:
            return self._zip.getinfo(name)
        except KeyError as error:
            raise SourceError(
                f"The picture {name} is no longer in {self._file}. Run lapel add again with the archive as it is now."
            ) from error


def split_uri(uri: str) -> tuple[Path, str]:
    """The archive's path and the member's name of a zip:// URI."""
    archive, _, member = uri.removeprefix("zip://").partition("!/")  # quoting leaves no other "!" in either part
    return Path(os.fsdecode(os.fsencode(unquote(archive)))), unquote(member)


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part in SKIPPED for part in name.split("/"))
