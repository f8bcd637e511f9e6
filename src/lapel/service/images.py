"""Images on their way in from people: bytes of a file, a link or a stream, checked before anything is decoded."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from PIL import Image

from lapel.core.errors import ImageError
from lapel.core.images import decode
from lapel.core.text import shortened
from lapel.core.types import ImageLike
from lapel.sources import EXTENSIONS, MAX_BYTES, open_source
from lapel.sources.names import as_link

LINK_SECONDS = 20.0  # that a link may take by default

__all__ = [
    "decode",
    "fetch_image",
    "fetch_link",
    "image_formats",
    "image_places",
    "image_suffixes",
    "lazy_image",
    "read_image_bytes",
    "read_stream",
]


def image_suffixes() -> tuple[str, ...]:
    """Suffixes of image files that are read, such as ``.jpg``, sorted."""
    return tuple(sorted(EXTENSIONS))


def image_formats() -> str:
    """The image formats that are read, by name, such as ``AVIF, BMP, GIF``."""
    names = Image.registered_extensions()
    return ", ".join(sorted({names.get(suffix, suffix[1:].upper()) for suffix in EXTENSIONS}))


def read_image_bytes(place: str, *, timeout: float | None = None, allow_private: bool = False) -> bytes:
    """The bytes of an image file, or of what a link leads to.

    Args:
        place: A path, or an http(s) link.
        timeout: Seconds a link may take.
        allow_private: Links may lead into this machine's own network.

    Raises:
        ImageError, SourceError: it cannot be read, is a folder, or is too large.
    """
    if as_link(place):
        return fetch_image(place, timeout=timeout or LINK_SECONDS, allow_private=allow_private)
    name = shortened(place)
    if place.startswith("data:"):
        raise ImageError(
            f"'{name}' is an image written into an address. Save it as a file, or pipe its bytes into lapel search -."
        )
    path = Path(place)
    try:
        if path.is_dir():
            raise ImageError(
                f"'{name}' is a folder. Give one picture file; 'lapel add' takes folders, and so does"
                " 'lapel search --csv'."
            )
        with path.open("rb") as file:
            return read_stream(file, f"'{name}'")
    except OSError as error:
        raise ImageError(f"The picture '{name}' cannot be read: {error.strerror}. Check the path.") from error
    except ValueError as error:  # a NUL in the name
        raise ImageError(f"The picture '{name}' cannot be read: {error}. Check the path.") from error


def fetch_image(link: str, *, timeout: float = LINK_SECONDS, allow_private: bool = False) -> bytes:
    """The bytes that a link leads to, and never a file of this machine: for links of strangers.

    Args:
        link: An http(s) link.
        timeout: Seconds it may take.
        allow_private: It may lead into this machine's own network.

    Raises:
        SourceError: it is no link, not allowed, or its answer cannot be used.
    """
    from lapel.sources import web

    return web.fetch_image(link, timeout=timeout, allow_private=allow_private)


def fetch_link(link: str, *, timeout: float = LINK_SECONDS, max_bytes: int = 0) -> bytes:
    """The bytes that a stranger's link leads to, as the settings of this process allow: see ``allow_hosts`` and
    ``allow_private_links``.

    Args:
        link: An http(s) link.
        timeout: Seconds it may take.
        max_bytes: Bytes it may lead to; 0 for as many as a picture may have.

    Raises:
        SourceError: it is no link, not allowed, or its answer cannot be used.
    """
    from lapel.core.settings import settings
    from lapel.sources.links import LinkSettings

    limits = LinkSettings.of_process()
    limits = replace(limits, max_bytes=max_bytes or limits.max_bytes)
    reader = limits.reader(allow_private=settings().allow_private_links, timeout=timeout)
    try:
        return reader.read(link)
    finally:
        reader.close()


def read_stream(file: BinaryIO, name: str) -> bytes:
    """All of a stream, which is called ``name`` in messages.

    Raises:
        ImageError: there is more than an image may have.
    """
    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ImageError(f"The picture {name} has more than {MAX_BYTES // 2**20} MB. Scale it down.")
    return data


def image_places(places: Iterable[str]) -> list[str]:
    """Paths and links of images: a folder stands for the image files in it and below, in their order.

    Raises:
        SourceError: a folder cannot be read.
    """
    found: list[str] = []
    for place in places:
        folder = Path(place)
        if as_link(place) or "\0" in place or not os.path.isdir(place):  # noqa: PTH112 - also of names too long
            found.append(place)
        else:
            source = open_source(folder)
            found += [str(folder.joinpath(*source.path(uri))) for uri in source.walk()]
            source.close()
    return found


@dataclass(frozen=True)
class _LazyImage:
    place: str

    def read(self, _: int = -1) -> bytes:
        return read_image_bytes(self.place, allow_private=True)


def lazy_image(place: str) -> ImageLike:
    """An image for a query that is read only when the query is made, such as in a thread of ``store.search_many``.

    Links may lead into this machine's own network: this is for people at their own keyboard.
    """
    return cast("Any", _LazyImage(place))  # type: ignore[no-any-return]
