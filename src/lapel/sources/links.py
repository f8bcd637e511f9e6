"""Pictures behind links: one, ``https://shop.example/a.jpg``, or those that a table names. A URI is the link itself.

Several are fetched at once, but few from one host; whoever answers that it is too much is left alone for a while. A server is asked
whether a picture has changed rather than for the picture; private addresses are refused unless ``LAPEL_ALLOW_HOSTS`` names the host.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

import httpx

from lapel.core.errors import InputError, SourceError
from lapel.sources.cache import PictureCache
from lapel.sources.web import MAX_BYTES, Fetched, Hosts, PassingError, fetch

SCHEMES = ("http://", "https://")


@dataclass(frozen=True)
class LinkSettings:
    """How politely links are fetched, and what is refused.

    Attributes:
        allow: Hosts that may have private addresses.
        per_host: Requests under way at once to one host.
        max_bytes: Most bytes of one picture.
        timeout: Seconds for one picture, redirects included.
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

    @classmethod
    def from_environment(cls) -> LinkSettings:
        """What this process' environment says: ``LAPEL_ALLOW_HOSTS`` (names with commas) and ``LAPEL_PER_HOST``."""
        said = os.environ.get("LAPEL_PER_HOST", "")
        if said and not said.isdecimal():
            raise InputError(f"LAPEL_PER_HOST is a number of requests at once, such as 8; found '{said}'.")
        hosts = os.environ.get("LAPEL_ALLOW_HOSTS", "").split(",")
        return cls(frozenset(filter(None, map(str.strip, hosts))), int(said or cls.per_host))


class HttpsSource:
    """Pictures behind links.

    Args:
        where: ``//host/a.jpg``, the one picture of a walk; or nothing, where a table names links.
        settings: Limits; by default those of the environment.
        cache: Where pictures are kept with what their servers said of them.
    """

    remote = True
    asks = True  # a picture's stamp is known only by asking for it
    scheme = "https"
    ignored = 0

    def __init__(self, where: str, settings: LinkSettings | None = None, *, cache: PictureCache | None = None) -> None:
        self._one = f"{self.scheme}:{where}" if where.strip("/") else ""
        folder = re.match(r"//drive\.google\.com/.*/folders/([\w-]+)", where)
        if folder:
            raise SourceError(f"{self._one} is a folder on Google Drive. Give it as gdrive://{folder[1]}")
        self._settings = settings or LinkSettings.from_environment()
        self.cache = cache
        self._hosts = Hosts(self._settings.per_host)

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
        """Whether it is the one link."""
        return uri == self._one

    def find(self, name: str) -> str:
        """The link as it is asked for."""
        try:
            url = httpx.URL(name.strip())
        except (httpx.InvalidURL, ValueError) as error:
            raise SourceError(f"The link '{name}' is not understood: {error}.") from error
        if not str(url).startswith(SCHEMES) or not url.host:
            raise SourceError(f"'{name}' is not an http or https address.")
        return str(url.copy_with(fragment=None))

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

    def stamp(self, uri: str) -> str:
        """The hash of the bytes. Where the server says that nothing changed, they are not fetched for it."""
        known = self.cache.known(uri) if self.cache else None
        got = self._fetch(uri, known.validators if known else "")
        if got.data is None and known is not None:
            return known.stamp
        data = got.data or b""
        stamp = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if self.cache is not None:
            self.cache.put(uri, stamp, data, got.validators)
        return stamp

    def close(self) -> None:
        """Close the connections."""
        self._hosts.close()

    def _fetch(self, uri: str, validators: str) -> Fetched:
        """Fetch politely, several times when that may help."""
        host = self._hosts.of(uri)
        for number in range(self._settings.tries):
            with host.turn():
                try:
                    got = fetch(
                        host.client,
                        uri,
                        max_bytes=self._settings.max_bytes,
                        timeout=self._settings.timeout,
                        allowed=self._settings.allow.__contains__,
                        validators=validators,
                    )
                    break
                except PassingError as error:
                    if number == self._settings.tries - 1:
                        raise
                    pause = min(max(error.after, self._settings.pause * 2**number), self._settings.timeout)
                    if error.after:  # the host said so, for all that is asked of it
                        host.rest(pause)
                        continue
            time.sleep(pause)
        if got.data is not None and (got.kind.startswith("text/") or got.data.lstrip()[:1] == b"<"):
            raise SourceError(
                f"The link {uri} answers with a web page ({got.kind or 'no type'}), not with a picture. Open it in a browser and copy the picture's own address."
            )
        return got


class HttpSource(HttpsSource):
    """The same for links that are not encrypted."""

    scheme = "http"
