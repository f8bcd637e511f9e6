"""The source door: where photos' bytes come from. ``open_source("pictures/")``, ``open_source("pictures.zip")``.

A source lists its photos as URIs that stay the same from run to run, such as ``file:///shop/a.jpg`` or
``zip:///shop/pictures.zip!/a.jpg``; :func:`read_uri` reads any of them again later. A visitor's link is fetched by
:mod:`lapel.sources.web`, product tables are read by :mod:`lapel.sources.table`.
"""

from __future__ import annotations

import inspect
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from lapel.core.errors import InputError, SourceError
from lapel.core.images import MAX_BYTES as MAX_BYTES
from lapel.core.registry import Backend, Registry
from lapel.core.text import shortened
from lapel.core.types import NO_LINKS, Links
from lapel.sources.base import ImageSource
from lapel.sources.names import EXTENSIONS, as_link, is_image_name

__all__ = ["EXTENSIONS", "SOURCES", "ImageSource", "Links", "display_links", "is_image_name", "open_source", "read_uri"]

SOURCES = Registry(
    "source",
    {
        "az": Backend("lapel.sources.bucket:AzureSource", "az"),
        "folder": Backend("lapel.sources.folder:FolderSource"),
        "gdrive": Backend("lapel.sources.drive.source:DriveSource", "drive"),
        "gs": Backend("lapel.sources.bucket:GoogleSource", "gs"),
        "http": Backend("lapel.sources.links:HttpSource"),
        "https": Backend("lapel.sources.links:HttpsSource"),
        "s3": Backend("lapel.sources.bucket:S3Source", "s3"),
        "zip": Backend("lapel.sources.archive:ZipSource"),
    },
    "lapel.sources",
)

REMOTE = ("gdrive", "s3", "gs", "az", "https", "http")  # schemes whose photos come over a network
OPEN_ARCHIVES = 8  # read_uri keeps this many ZIPs open; their lists of members cost 0.6 KB a photo


def display_links(source: ImageSource, uri: str) -> Links:
    """Where a browser gets a photo; empty where its address cannot stand in a page."""
    try:
        return source.links(uri)
    except InputError:
        return NO_LINKS


def open_source(where: str | Path, exclude: Sequence[str] = ()) -> ImageSource:
    """Open a folder or a ZIP of photos, ``gdrive://``, ``s3://``, ``gs://``, ``az://``, ``https://``, or
    ``scheme:rest`` of a plugin.

    What is remote is read ahead and through a cache, see :mod:`lapel.sources.stream`.

    >>> open_source("pictures", exclude=["*_back.jpg", "old/*"])  # doctest: +SKIP

    Args:
        where: The place.
        exclude: Patterns of names to leave out, see :class:`lapel.sources.names.Exclude`.

    Raises:
        SourceError: there is none, it cannot be read, or it is neither.
        InputError: an unknown scheme, or one that cannot leave anything out.
    """
    if not isinstance(where, (str, os.PathLike)):
        raise SourceError(
            f"A source is a path or an address, such as 'photos' or 's3://bucket/photos'; found {type(where).__name__}."
            " Register a class of your own as an entry point of lapel.sources."
        )
    mode = 0
    problem: OSError | ValueError | None = None
    try:
        mode = Path(where).stat().st_mode
    except (OSError, ValueError) as error:  # ValueError: a NUL character
        problem = error
    scheme, colon, rest = (as_link(str(where)) or str(where)).partition(":")
    # One letter is a Windows drive.
    if problem and colon and len(scheme) > 1 and scheme.isalnum() and scheme.lower() != "data":
        source = _make(scheme, rest, exclude)
        if not source.remote:
            return source
        from lapel.sources.stream import streamed

        return streamed(source)
    if problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise SourceError(
            f"There is nothing to read at {shortened(str(where))}: {reason}. Give a folder of pictures or a ZIP."
        ) from problem
    if stat.S_ISDIR(mode):
        return _make("folder", str(where), exclude)
    if stat.S_ISREG(mode) and Path(where).suffix.lower() in EXTENSIONS:
        raise SourceError(
            f"{where} is a single picture. Give the folder it is in, a ZIP of pictures, or a table whose rows name"
            f" them."
        )
    if stat.S_ISREG(mode):
        return _make("zip", str(where), exclude)
    raise SourceError(f"{where} is neither a folder nor a file. Give a folder of pictures or a ZIP.")


def _make(scheme: str, rest: str, exclude: Sequence[str]) -> ImageSource:
    backend = SOURCES.find(scheme.lower() if scheme.lower() in REMOTE else scheme)
    if not exclude:
        made: ImageSource = backend(rest)
    elif "exclude" in inspect.signature(backend).parameters:
        made = backend(rest, exclude=exclude)
    else:
        raise InputError(
            f"'{scheme}:' has no names to leave out by patterns such as '{exclude[0]}'. Leave --exclude out."
        )
    return made


_archives: OrderedDict[tuple[str, str], ImageSource] = OrderedDict()
_archives_lock = threading.Lock()


def read_uri(uri: str) -> bytes:
    """Read a photo again by the URI a source gave it.

    Raises:
        SourceError: it is gone (say where it was and how to bring it back), or the URI is of an unknown kind.
    """
    from lapel.sources.archive import split_uri
    from lapel.sources.folder import read_file, to_path

    scheme = urlsplit(uri).scheme
    if scheme in REMOTE:
        return _opened(scheme).read(uri)
    if scheme == "file":
        return read_file(to_path(uri))
    if scheme != "zip":
        raise SourceError(
            f"The picture '{uri}' cannot be read: Lapel knows file://, zip://, {'://, '.join(REMOTE)}:// addresses."
        )
    archive = split_uri(uri)[0]
    try:
        found = archive.stat()
    except OSError as error:
        raise SourceError(
            f"The archive {archive} of a picture is gone: {error.strerror}. Put it back, or run lapel add again with"
            f" its new place."
        ) from error
    # An archive that was replaced has another list of members, so the file's time and size are part of the key.
    key = (str(archive), f"{found.st_size}-{found.st_mtime_ns}")
    with _archives_lock:
        # Read under the lock: the oldest archive may then be closed without anyone reading from it.
        source = _archives.get(key)
        if source is None:
            source = _archives[key] = open_source(archive)
            while len(_archives) > OPEN_ARCHIVES:
                _archives.popitem(last=False)[1].close()
        _archives.move_to_end(key)
        return source.read(uri)


_remotes: dict[str, ImageSource] = {}


def _opened(scheme: str) -> ImageSource:
    """What reads single photos of a scheme; opened once."""
    with _archives_lock:
        if scheme not in _remotes:
            _remotes[scheme] = open_source(f"{scheme}://")
        return _remotes[scheme]


def close_archives() -> None:
    """Close everything that :func:`read_uri` keeps open; the next reading opens it again."""
    with _archives_lock:
        while _remotes:
            _remotes.popitem()[1].close()
        while _archives:
            _archives.popitem()[1].close()


def unquote(text: str) -> str:
    """Undo the %-quoting of a URI's path, whatever bytes a file's name is made of."""
    return unquote_to_bytes(text).decode("utf-8", "surrogateescape")
