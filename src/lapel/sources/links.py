# ruff: noqa: D102 - what each method does stands at ImageSource
"""Pictures behind links: one, ``https://shop.example/a.jpg``, or those that a table names. A URI is the link itself.

Several are fetched at once, but few from one host; whoever answers that it is too much is left alone for a while. A
server is asked whether a photo has changed rather than for the photo; private addresses are refused unless
``LAPEL_ALLOW_HOSTS`` names the host.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

import httpx

from lapel.core.errors import InputError, SourceError
from lapel.core.settings import settings
from lapel.sources.base import ImageSource
from lapel.sources.cache import ImageCache
from lapel.sources.web import MAX_BYTES, Fetched, LinkReader, parse_link


@dataclass(frozen=True)
class LinkSettings:
    """How politely links are fetched, and what is refused.

    Attributes:
        allow: Hosts that may have private addresses.
        per_host: Requests under way at once to one host.
        max_bytes: Most bytes of one photo.
        timeout: Seconds for one photo, redirects included.
        tries: How often a link is tried when it fails in a way that may pass.
        pause: Seconds before the second try, doubled for each further one.
    """

    allow: frozenset[str] = frozenset()
    per_host: int = 8
    max_bytes: int = MAX_BYTES
    timeout: float = 15.0
    tries: int = 3
    pause: float = 1.0

    def __post_init__(self) -> None:
        if self.per_host < 1 or self.tries < 1:
            raise InputError(
                f"A host gets at least one request and a link one try; found {self.per_host} and {self.tries}."
            )

    def reader(self, *, allow_private: bool = False, timeout: float = 0.0, tries: int = 1) -> LinkReader:
        """What asks links so.

        Args:
            allow_private: Whether all hosts may have private addresses.
            timeout: Seconds for one link, other than those of the settings.
            tries: How often a link is fetched.
        """
        return LinkReader(
            timeout=timeout or self.timeout,
            allowed=lambda host: allow_private or host in self.allow,
            per_host=self.per_host,
            max_bytes=self.max_bytes,
            tries=tries,
            pause=self.pause,
        )

    @classmethod
    def of_process(cls) -> LinkSettings:
        """Those of this process, see :mod:`lapel.core.settings`."""
        now = settings()
        return cls(frozenset(map(_host, now.allow_hosts)), now.per_host)


def _host(name: str) -> str:
    """A host's name as links have it: in lower case and without a port."""
    bare = f"[{name}]" if name.count(":") > 1 and "[" not in name else name  # an IPv6 address
    try:
        host = httpx.URL(f"//{bare.rpartition('//')[2]}").host
    except httpx.InvalidURL as error:
        raise InputError(
            f"LAPEL_ALLOW_HOSTS is names of hosts with commas, such as cdn.local,10.0.0.5; found '{name}'."
        ) from error
    return host


class HttpsSource(ImageSource):
    """Pictures behind links.

    Args:
        where: ``//host/a.jpg``, the one photo of a walk; or nothing, where a table names links.
        limits: How links are asked for; by default those of this process.
        cache: Where photos are kept with what their servers said of them.
    """

    remote = True
    asks_for_token = True
    scheme = "https"

    def __init__(self, where: str, limits: LinkSettings | None = None, *, cache: ImageCache | None = None) -> None:
        self._one = f"{self.scheme}:{where}" if where.strip("/") else ""
        folder = re.match(r"//drive\.google\.com/.*/folders/([\w-]+)", where)
        if folder:
            raise SourceError(f"{self._one} is a folder on Google Drive. Give it as gdrive://{folder[1]}")
        limits = limits or LinkSettings.of_process()
        self.cache = cache
        self._reader = limits.reader(tries=limits.tries)

    @property
    def where(self) -> str:
        """The link, or what stands for any."""
        return self._one or "the web"

    def walk(self) -> Iterator[str]:
        """The one link; none where a table names them."""
        return iter([self._one] if self._one else [])

    def count(self) -> int:
        """One or none."""
        return 1 if self._one else 0

    def lists(self, uri: str) -> bool:
        return uri == self._one

    def find(self, name: str) -> str:
        """The link as it is asked for."""
        return str(parse_link(name).copy_with(fragment=None))

    def find_id(self, product_id: str) -> str:
        """Links are not found by an id."""
        raise SourceError(
            f"Product '{product_id}' names no link. Give the table a column 'pictures' with each product's links."
        )

    def path(self, uri: str) -> tuple[str, ...]:
        """The file's name alone."""
        return (unquote(httpx.URL(uri).path).rpartition("/")[2] or "picture",)

    def read(self, uri: str) -> bytes:
        """The bytes behind a link."""
        return self._fetch(uri, "").data or b""

    def version_token(self, uri: str) -> str:
        """The hash of the bytes. Where the server says that nothing changed, they are not fetched for it."""
        known = self.cache.known(uri) if self.cache else None
        got = self._fetch(uri, known.validators if known else "")
        if got.data is None and known is not None:
            return known.version_token
        data = got.data or b""
        token = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if self.cache is not None:
            self.cache.put(uri, token, data, got.validators)
        return token

    def close(self) -> None:
        self._reader.close()

    def _fetch(self, uri: str, validators: str) -> Fetched:
        """Fetch it, and see that its bytes are no web page; what the server calls them does not count."""
        got = self._reader.fetch(uri, validators)
        if got.data is not None and got.data[:512].removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<":
            raise SourceError(
                f"The link {uri} answers with a web page ({got.kind or 'no type'}), not with a picture. Open it in a"
                f" browser and copy the picture's own address."
            )
        return got


class HttpSource(HttpsSource):
    """The same for links that are not encrypted."""

    scheme = "http"
