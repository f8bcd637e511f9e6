# ruff: noqa: D102 - what each method does stands at ImageSource
"""A source whose table may also name photos elsewhere: links, Drive files and objects in buckets beside its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lapel.core.errors import SourceError
from lapel.core.types import Links
from lapel.sources import REMOTE, open_source
from lapel.sources.base import ImageSource, SourceWrapper
from lapel.sources.names import as_link


class MixedSource(SourceWrapper):
    """A source, and whatever its table's addresses lead to.

    Args:
        source: What names without a scheme are looked for in; its photos are the walk's.
        schemes: Which addresses may lead elsewhere; those of strangers are followed to the public web only.
    """

    def __init__(self, source: ImageSource, schemes: Sequence[str] = REMOTE) -> None:
        super().__init__(source)
        self._schemes = schemes
        self._others: dict[str, ImageSource] = {}

    @property
    def opened(self) -> list[ImageSource]:
        """The source and all others that were needed so far."""
        return [self.source, *self._others.values()]

    def find(self, name: str) -> str:
        """The URI of what a table names: an address anywhere, or a name in the source."""
        name = as_link(name) or name
        try:
            return self.source.find(name)
        except SourceError:
            if _scheme(name) not in self._schemes:
                raise
            return self._at(name).find(name)

    def path(self, uri: str) -> tuple[str, ...]:
        return self._at(uri).path(uri)

    def read(self, uri: str) -> bytes:
        return self._at(uri).read(uri)

    def version_token(self, uri: str) -> str:
        return self._at(uri).version_token(uri)

    def links(self, uri: str) -> Links:
        return self._at(uri).links(uri)

    def expect(self, names: Iterable[str]) -> None:
        """Hear which files a table is going to name, see :class:`lapel.sources.stream.Streamed`."""
        for name in names:
            self._at(name).expect((as_link(name) or name,))

    def prefetch(self, uris: Iterable[str]) -> None:
        """Hear which files will be read."""
        for uri in uris:
            self._at(uri).prefetch((as_link(uri) or uri,))

    def close(self) -> None:
        """Close the source and all others."""
        for source in self.opened:
            source.close()

    def _at(self, address: str) -> ImageSource:
        """The source of an address; the own one where it lies there, or where the address is none."""
        scheme = _scheme(address)
        if scheme not in self._schemes or self.source.scheme == scheme:
            return self.source
        if scheme not in self._others:
            self._others[scheme] = open_source(f"{scheme}://")
        return self._others[scheme]


def _scheme(address: str) -> str:
    return (as_link(address) or address).partition("://")[0] if "//" in address else ""
