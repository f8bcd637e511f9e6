# ruff: noqa: D102 - what each method does stands at ImageSource
"""What every source of photos can do: the one class that all sources inherit, also those of other packages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import unquote

from lapel.core.errors import SourceError
from lapel.core.text import shortened
from lapel.core.types import NO_LINKS, Links
from lapel.sources.names import NameIndex, as_link

if TYPE_CHECKING:
    from lapel.sources.cache import ImageCache


class ImageSource(ABC):
    """A place with image files, such as a folder. Safe to read from several threads at once.

    ``where``, ``walk``, ``read`` and ``version_token`` must be written; the others have a default that is right for a
    place that is near and lists all of its files. ``lapel.testing.source.SourceContract`` tests what is expected.

    >>> class Shelf(ImageSource):
    ...     where = "shelf:"
    ...     def walk(self): return iter(("shelf://top/1.jpg", "shelf://top/2.jpg"))
    ...     def read(self, uri): return uri.encode()
    ...     def version_token(self, uri): return "1"
    >>> shelf = Shelf()
    >>> shelf.count(), shelf.find("Top/1.JPG"), shelf.path(shelf.find_id("2"))
    (2, 'shelf://top/1.jpg', ('top', '2.jpg'))

    Attributes:
        scheme: What its addresses begin with, such as ``s3``; empty where only this source reads them.
        remote: Whether the bytes come over a network, so that they are worth being fetched ahead and kept.
        asks_for_token: Whether a version token takes a request of its own.
        cache: Where bytes that came over a network are kept; set by :func:`lapel.sources.open_source`.
    """

    scheme: str = ""
    remote: bool = False
    asks_for_token: bool = False
    cache: ImageCache | None = None
    _skipped: Mapping[str, int] = {}
    _unreadable: Mapping[str, str] = {}

    @property
    @abstractmethod
    def where(self) -> str:
        """What people call it, such as its path."""

    @abstractmethod
    def walk(self) -> Iterator[str]:
        """Every photo's URI, always in the same order; see :mod:`lapel.sources.names` for what is one and what is left
        out."""

    @abstractmethod
    def read(self, uri: str) -> bytes:
        """The bytes of an image file.

        Raises:
            SourceError: it is missing, cannot be read or is larger than 256 MB.
        """

    @abstractmethod
    def version_token(self, uri: str) -> str:
        """A short text that changes whenever the bytes do, found without reading them where that is possible.

        Raises:
            SourceError: it is missing.
        """

    def count(self) -> int:
        """How many photos a walk gives."""
        return sum(1 for _ in self.walk())

    def lists(self, uri: str) -> bool:
        """Whether a walk gives this photo; a table may name others."""
        return uri in self.walk()

    def find(self, name: str) -> str:
        """The URI of the file that a table names, relative to the source, or by its whole URI.

        Raises:
            SourceError: there is none, several come equally near, or the name leads out of the source.
        """
        if "://" in name and self.lists(name):
            return name
        found = self._index.find(name)
        if found is None:
            raise SourceError(f"There is no file '{shortened(name)}' in {self.where}.")
        return found

    def find_id(self, product_id: str) -> str:
        """The URI of the image file called ``<product_id>.<any image extension>``, in any folder of the source.

        Raises:
            SourceError: there is none, or more than one.
        """
        return self._index.find_id(product_id, self.where)

    def path(self, uri: str) -> tuple[str, ...]:
        """Folder names and file name of a URI below the source's root."""
        return tuple(unquote(uri.partition("://")[2]).strip("/").split("/"))

    @property
    def skipped(self) -> dict[str, int]:
        """What the last complete walk left out, by kind; a folder that is left out counts once."""
        return dict(self._skipped)

    @property
    def ignored(self) -> int:
        """How many files and folders that were."""
        return sum(self.skipped.values())

    @property
    def unreadable(self) -> dict[str, str]:
        """Folders that the last complete walk could not list, with the reasons."""
        return dict(self._unreadable)

    @property
    def renamed(self) -> int:
        """How many names of a table were found that are written otherwise here."""
        index: NameIndex | None = vars(self).get("_index")
        return index.used if index else 0

    @cached_property
    def _index(self) -> NameIndex:
        """URIs by names; made when a name is first not found as it stands."""
        return NameIndex(("/".join(self.path(uri)), uri) for uri in self.walk())

    @property
    def opened(self) -> Sequence[ImageSource]:
        """The sources that this one reads from: itself, unless it joins several."""
        return (self,)

    def links(self, uri: str) -> Links:
        """Where a browser gets the photo without asking Lapel; the address itself if it is a link.

        Raises:
            InputError: its address cannot stand in a page.
        """
        link = as_link(uri)
        return Links(link) if link else NO_LINKS

    def expect(self, names: Iterable[str]) -> None:  # noqa: B027 - optional, as the next two
        """Hear which files' version tokens will be asked for, to get them ahead. By default nothing is done."""

    def prefetch(self, uris: Iterable[str]) -> None:  # noqa: B027
        """Hear which files will be read, to get them ahead. By default nothing is done."""

    def close(self) -> None:  # noqa: B027
        """Let go of files and connections. Closing twice is fine."""


class SourceWrapper(ImageSource):
    """A source that answers as another one does; subclasses change a part of it.

    Args:
        source: The one that is asked.
    """

    remote = True

    def __init__(self, source: ImageSource) -> None:
        self.source = source
        self.scheme = source.scheme

    @property
    def where(self) -> str:
        return self.source.where

    @property
    def skipped(self) -> dict[str, int]:
        return self.source.skipped

    @property
    def unreadable(self) -> dict[str, str]:
        return self.source.unreadable

    @property
    def renamed(self) -> int:
        return self.source.renamed

    def walk(self) -> Iterator[str]:
        return self.source.walk()

    def lists(self, uri: str) -> bool:
        return self.source.lists(uri)

    def find(self, name: str) -> str:
        return self.source.find(name)

    def find_id(self, product_id: str) -> str:
        return self.source.find_id(product_id)

    def path(self, uri: str) -> tuple[str, ...]:
        return self.source.path(uri)

    def read(self, uri: str) -> bytes:
        return self.source.read(uri)

    def version_token(self, uri: str) -> str:
        return self.source.version_token(uri)

    def links(self, uri: str) -> Links:
        return self.source.links(uri)

    def close(self) -> None:
        self.source.close()
