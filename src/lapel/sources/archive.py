# ruff: noqa: D102 - what each method does stands at ImageSource
"""Pictures in a ZIP, read where they are: nothing is unpacked to disk. URIs are
``zip:///absolute/pictures.zip!/folder/a.jpg``."""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import chain
from pathlib import Path
from urllib.parse import quote

from lapel.core.errors import SourceError
from lapel.core.text import reason_of
from lapel.sources import MAX_BYTES, unquote
from lapel.sources.base import ImageSource
from lapel.sources.names import Exclude, NameIndex, begins_like_image, is_hidden, is_image_name, refuse_link, sort_out

ENCRYPTED, UTF8 = 0x1, 0x800  # bits of a member's flags: locked, and its name is UTF-8
# What unpacking raises. RuntimeError: a locked member, or (NotImplementedError) a way of packing that Python does not
# know.
UNPACKING = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError)
# GBK's signs and its 3,755 common characters: no other usual encoding of letters looks like it throughout.
COMMON_GBK = re.compile(rb"(?:[\x00-\x7f]|[\xa1-\xa3\xb0-\xd7][\xa1-\xfe])+")
COMMON_GBK_LETTER = re.compile(rb"[\xb0-\xd7]")
ENCODINGS = ("gb18030", "cp932", "big5", "cp949", "cp1252", "cp850", "cp1251", "cp866")


class ZipSource(ImageSource):
    """A ZIP of photos.

    Args:
        where: Its path.
        exclude: Patterns of names to leave out, see :class:`lapel.sources.names.Exclude`.

    Raises:
        SourceError: it is not a ZIP, broken, or locked with a password.
    """

    def __init__(self, where: str, exclude: Sequence[str] = ()) -> None:
        # Keeps symbolic links, so that URIs stay what the user typed.
        self._file = Path(os.path.abspath(where))  # noqa: PTH100
        try:
            self._zip = zipfile.ZipFile(self._file)
        except OSError as error:
            raise SourceError(
                f"The archive {where} cannot be read: {error.strerror}. Give a ZIP or a folder of pictures."
            ) from error
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise SourceError(
                f"{where} is not a ZIP archive, or its end is missing: {error}. Copy it again; give a ZIP or a folder"
                f" of pictures."
            ) from error
        self._prefix = f"zip://{quote(os.fsencode(self._file))}!/"
        self._exclude = Exclude(exclude)
        self._spelled = _spellings(self._zip.NameToInfo)
        self._members = {name: raw for raw, name in self._spelled.items()}
        files = [
            self._spelled.get(raw, raw)
            for raw, info in self._zip.NameToInfo.items()
            if not raw.endswith("/") and not (raw.endswith("\\") and info.file_size == 0)
        ]
        self._photos, skipped = sort_out(files, self._exclude, self._peek)
        self._peeked = frozenset(name for name in self._photos if not is_image_name(name))
        older = len(self._zip.infolist()) - len(self._zip.NameToInfo)
        if older:
            skipped["older members of one name, of which the last is read"] = older
        self._skipped = skipped
        if any(self._raw(name).flag_bits & ENCRYPTED for name in self._photos):
            self.close()
            raise SourceError(f"The archive {where} is locked with a password. Unpack it, and give the folder instead.")

    @property
    def where(self) -> str:
        return str(self._file)

    @cached_property
    def _wrapper(self) -> str:
        """The one folder that holds everything and is called like the archive: packing made it, so it says nothing."""
        folder = self._file.stem + "/"
        return folder if self._photos and all(name.startswith(folder) for name in self._photos) else ""

    @cached_property
    def _index(self) -> NameIndex:
        others = ((other, self._uri(name)) for name in self._photos for other in _readings(self._raw(name)))
        return NameIndex(chain(((name, self._uri(name)) for name in self._photos), others))

    def walk(self) -> Iterator[str]:
        return map(self._uri, self._photos)

    def count(self) -> int:
        return len(self._photos)

    def lists(self, uri: str) -> bool:
        if not uri.startswith(self._prefix):
            return False
        raw = unquote(uri.removeprefix(self._prefix))
        name = self._spelled.get(raw, raw)
        if self._exclude and self._exclude.covers(name):
            return False
        return (is_image_name(name) and not is_hidden(name)) or name in self._peeked

    def find(self, name: str) -> str:
        """The URI of the member of this name, with or without the folder that packing added.

        Where there is no such member, one whose name is only written otherwise, see
        :class:`lapel.sources.names.NameIndex`.
        """
        refuse_link(name)
        if name.startswith(self._prefix):
            name = unquote(name.removeprefix(self._prefix))
        # A table may be written with Windows' separators or from where it lay beside the folder.
        plain = name.replace("\\", "/").removeprefix("./")
        for text in dict.fromkeys((name, plain, self._wrapper + plain)):
            raw = self._members.get(text, text)
            if raw in self._zip.NameToInfo and not text.endswith("/"):
                self._exclude.refuse(self._spelled.get(raw, raw))
                return self._prefix + quote(raw)
        return super().find(name)

    def find_id(self, product_id: str) -> str:
        """The URI of ``<product_id>.<extension>``."""
        direct = f"{product_id}.jpg"
        if direct in self._zip.NameToInfo and not self._exclude:  # the usual case, without an index of all names
            return self._uri(direct)
        return super().find_id(product_id)

    def path(self, uri: str) -> tuple[str, ...]:
        """Folder names and file name, without the folder that packing added."""
        raw = unquote(uri.removeprefix(self._prefix))
        return tuple(self._spelled.get(raw, raw).removeprefix(self._wrapper).split("/"))

    def read(self, uri: str) -> bytes:
        """The bytes of a photo, checked against the archive's checksum."""
        info = self._info(uri)
        if info.file_size > MAX_BYTES:
            raise SourceError(
                f"{info.filename} in {self._file} has more than {MAX_BYTES // 2**20} MB. Scale the picture down."
            )
        try:
            # No more than the archive says, whatever comes out of it: reading all at once would first unpack it all.
            with self._zip.open(info) as member:
                return member.read(info.file_size + 1)
        except UNPACKING as error:
            raise SourceError(
                f"{info.filename} in {self._file} cannot be unpacked: {reason_of(error)}. Pack or copy the archive"
                f" again."
            ) from error

    def version_token(self, uri: str) -> str:
        """Size in bytes and the checksum that the archive carries."""
        info = self._info(uri)
        return f"{info.file_size}-{info.CRC:08x}"

    def close(self) -> None:
        self._zip.close()

    def _uri(self, name: str) -> str:
        return self._prefix + quote(self._members.get(name, name))

    def _raw(self, name: str) -> zipfile.ZipInfo:
        return self._zip.NameToInfo[self._members.get(name, name)]

    def _peek(self, names: Sequence[str]) -> list[str]:
        """Which of these members begin like a photo; what cannot be unpacked does not."""
        found = []
        for name in names:
            with suppress(*UNPACKING), self._zip.open(self._raw(name)) as member:
                if begins_like_image(member.read(32)):
                    found.append(name)
        return found

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


def _spellings(members: Mapping[str, zipfile.ZipInfo]) -> dict[str, str]:
    """The names that are not as Python's zipfile reads them, by how it does: with Windows' separators, or in another
    encoding.

    ZIP knows code page 437 and UTF-8, but many programs write UTF-8 without saying so, or what their country uses.
    """
    other = [name for name in members if not name.isascii() or "\\" in name]
    raw = {name: data for name in other if (data := _bytes(members[name]))}
    chinese = all(map(COMMON_GBK.fullmatch, raw.values())) and any(map(COMMON_GBK_LETTER.search, raw.values()))
    spelled: dict[str, str] = {}
    for name in other:
        text = name
        if name in raw:
            for encoding in ("utf-8", *(["gb18030"] if chinese else [])):
                with suppress(UnicodeDecodeError):
                    text = raw[name].decode(encoding)
                    break
        text = text.replace("\\", "/")
        if text != name:
            spelled[name] = text
    taken = set(spelled.values())
    # Two members that would then have one name keep their own.
    return spelled if len(taken) == len(spelled) and taken.isdisjoint(members) else {}


def _readings(member: zipfile.ZipInfo) -> Iterator[str]:
    """Whatever else a name may mean whose encoding the archive does not tell."""
    data = _bytes(member)
    for encoding in ENCODINGS if data else ():
        with suppress(UnicodeDecodeError):
            yield data.decode(encoding).replace("\\", "/")


def _bytes(member: zipfile.ZipInfo) -> bytes:
    """A name's bytes in the archive, if zipfile took them for code page 437 for want of a word on it; else none."""
    if member.filename.isascii() or member.flag_bits & UTF8:
        return b""
    try:
        return member.filename.encode("cp437")
    except UnicodeEncodeError:  # the archive has it in UTF-8 beside
        return b""
