"""A source whose table may also name pictures elsewhere: links, Drive files and objects in buckets beside its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from lapel.core.errors import SourceError
from lapel.sources import REMOTE, ImageSource, Links, display_links, open_source
from lapel.sources.names import as_link


class MixedSource:
    """A source, and whatever its table's addresses lead to.

    Args:
        source: What names without a scheme are looked for in; its pictures are the walk's.
    """

    def __init__(self, source: ImageSource) -> None:
        self._source: Any = source
        self._others: dict[str, Any] = {}

    @property
    def where(self) -> str:
        """What people call the source itself."""
        return str(self._source.where)

    @property
    def ignored(self) -> int:
        """How many of the source's own files were passed over."""
        return int(self._source.ignored)

    @property
    def skipped(self) -> dict[str, int]:
        """The same by kind, where the source knows kinds."""
        return dict(getattr(self._source, "skipped", {}))

    @property
    def unreadable(self) -> dict[str, str]:
        """The source's folders that cannot be read, with the reasons."""
        return dict(getattr(self._source, "unreadable", {}))

    @property
    def renamed(self) -> int:
        """How many names were found that are written otherwise in the source."""
        return int(getattr(self._source, "renamed", 0))

    @property
    def opened(self) -> list[ImageSource]:
        """The source and all others that were needed so far."""
        return [self._source, *self._others.values()]

    def walk(self) -> Iterator[str]:
        """Every picture of the source itself."""
        walked: Iterator[str] = self._source.walk()
        return walked

    def count(self) -> int:
        """How many pictures a walk gives."""
        return int(self._source.count())

    def lists(self, uri: str) -> bool:
        """Whether a walk gives this picture."""
        return bool(self._source.lists(uri))

    def find(self, name: str) -> str:
        """The URI of what a table names: an address anywhere, or a name in the source."""
        name = as_link(name) or name
        try:
            found: str = self._source.find(name)
        except SourceError:
            if _scheme(name) not in REMOTE:
                raise
            found = self._at(name).find(name)
        return found

    def find_id(self, product_id: str) -> str:
        """The URI of the source's picture called like a product."""
        found: str = self._source.find_id(product_id)
        return found

    def path(self, uri: str) -> tuple[str, ...]:
        """Folder names and file name of a URI."""
        path: tuple[str, ...] = self._at(uri).path(uri)
        return path

    def read(self, uri: str) -> bytes:
        """The bytes of a picture."""
        data: bytes = self._at(uri).read(uri)
        return data

    def version_token(self, uri: str) -> str:
        """A short text that changes whenever the bytes do."""
        stamp: str = self._at(uri).version_token(uri)
        return stamp

    def links(self, uri: str) -> Links:
        """Where a browser finds the picture."""
        return display_links(self._at(uri), uri)

    def expect(self, names: Iterable[str]) -> None:
        """Say which pictures a table is going to name, see :class:`lapel.sources.stream.Streamed`."""
        self._tell("expect", names)

    def prefetch(self, uris: Iterable[str]) -> None:
        """Say which pictures will be read."""
        self._tell("prefetch", uris)

    def close(self) -> None:
        """Close the source and all others."""
        for source in self.opened:
            source.close()

    def _tell(self, what: str, names: Iterable[str]) -> None:
        for name in names:
            getattr(self._at(name), what, lambda _: None)((as_link(name) or name,))

    def _at(self, address: str) -> Any:
        """The source of an address; the own one where it lies there, or where the address is none."""
        scheme = _scheme(address)
        if scheme not in REMOTE or getattr(self._source, "scheme", "") == scheme:
            return self._source
        if scheme not in self._others:
            self._others[scheme] = open_source(f"{scheme}://")
        return self._others[scheme]


def _scheme(address: str) -> str:
    return (as_link(address) or address).partition("://")[0] if "//" in address else ""
