"""A photo behind a link: neither a web page's visitor nor a feed's author may find a way into the network that this
runs in.

Only http and https; only addresses of the public internet, checked for each redirect, see :mod:`lapel.sources.hosts`;
never more than a few megabytes or seconds. What is behind a link is for its bytes to say, whatever the server calls
them.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urljoin

import httpx

from lapel.core.errors import SourceError
from lapel.core.text import reason_of, shortened
from lapel.sources.hosts import Hosts, TransientError, check_environment, retry_after
from lapel.sources.names import as_link

MAX_REDIRECTS = 3  # shops need one (to their image server) or two (to https first)
REDIRECT_CODES = (301, 302, 303, 307, 308)
TRANSIENT_STATUSES = frozenset((408, 425, 429, 500, 502, 503, 504))  # answers that may be others a little later
MAX_BYTES = 20 * 2**20
CHUNK_BYTES = 64 * 1024
LINK_CHARACTERS = 200  # characters of a link in a message
DECODED_ENCODINGS = ("gzip", "x-gzip", "deflate")
# All others say nothing about the bytes.
KNOWN_ENCODINGS = (*DECODED_ENCODINGS, "br", "zstd", "compress", "x-compress", "dcb", "dcz")
COPY = "Copy the picture's address from the browser."
SAVE = "save the picture and use the file instead."
ALLOW_HOST = "LAPEL_ALLOW_HOSTS={host}"
ALLOW_PAGE = "LAPEL_ALLOW_PRIVATE_LINKS=1 where the page is started"

Taken = TypeVar("Taken")


@dataclass(frozen=True)
class Fetched:
    """What a link gave.

    Attributes:
        data: The bytes; None when they are still those that the validators stand for.
        validators: The server's ETag and date of the last change, a line each; what to ask with the next time.
        kind: What the server says it is, such as ``image/jpeg``.
    """

    data: bytes | None
    validators: str
    kind: str


@dataclass(frozen=True)
class Answer:
    """What a link says about its photo without giving it.

    Attributes:
        status: The HTTP status at the end of all redirects; 304 when the photo is still the one that was known.
        etag: What the server calls its bytes: the ETag, else the date of the last change; empty when it says neither.
        moved: Where it is for good, when a permanent redirect says so.
    """

    status: int
    etag: str = ""
    moved: str = ""


def fetch_image(url: str, *, max_bytes: int = MAX_BYTES, timeout: float = 10, allow_private: bool = False) -> bytes:
    """Fetch the bytes behind a link; whether they are a photo is for :func:`lapel.core.images.decode` to say.

    Args:
        url: An http or https address; ``//host/a.jpg`` is asked with https.
        max_bytes: The most that is read, and the most that it may have when it is unpacked.
        timeout: Seconds for all of it, redirects included.
        allow_private: Also fetch from private, loopback and link-local addresses, such as a shop's own server in the
            same network.

    Raises:
        SourceError: the link is not understood or not allowed, or the answer is no file, too large, too slow or empty.
    """
    reader = LinkReader(timeout=timeout, allowed=lambda _: allow_private, max_bytes=max_bytes, setting=ALLOW_PAGE)
    try:
        return reader.read(url)
    finally:
        reader.close()


def post(url: str, body: bytes, headers: Mapping[str, str], *, timeout: float, allowed: Callable[[str], bool]) -> int:
    """Send something to a link of a stranger. Redirects are not followed. Returns the HTTP status.

    Args:
        url: An http or https address.
        body: What is sent.
        headers: What it is.
        timeout: Seconds it may take.
        allowed: Whether a host may have a private address.

    Raises:
        SourceError: the link is not understood or not allowed, or does not answer.
    """
    target, hosts = parse_link(url), Hosts(1)
    try:
        response = hosts.of(target).get(
            target,
            headers,
            private=allowed(target.host),
            setting=ALLOW_HOST.format(host=target.host),
            end=time.monotonic() + timeout,
            body=body,
        )
        response.close()
        return response.status_code
    except httpx.HTTPError as error:
        raise TransientError(f"{shortened(url, LINK_CHARACTERS)} does not answer: {reason_of(error)}.") from error
    finally:
        hosts.close()


def parse_link(text: str) -> httpx.URL:
    """A link as it is asked for.

    Raises:
        SourceError: it is none, or carries a password.
    """
    text = text.strip()
    if text[:5].lower() == "data:":
        raise SourceError(
            f"'{text[:40]}...' is a picture written into an address, not an address. Save the picture and use the file"
            f" instead."
        )
    shown = shortened(text, LINK_CHARACTERS)
    try:
        url = httpx.URL(as_link(text) or text)
    except (httpx.InvalidURL, ValueError) as error:
        raise SourceError(f"The link '{shown}' is not understood: {error}. {COPY}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise SourceError(f"The link '{shown}' is not an http or https address. {COPY}")
    if url.userinfo:
        raise SourceError("The link carries a password. Save the picture and use the file instead.")
    return url


class LinkReader:
    """Asks many links, with connections that are used again. Safe to share between threads.

    Args:
        timeout: Seconds for one link, redirects included; waiting for its turn is not counted.
        allowed: Whether a host may have a private address.
        per_host: Requests under way at once to one host.
        max_bytes: Most bytes of one photo, unpacked.
        tries: How often a link is fetched when it fails in a way that may pass.
        pause: Seconds before the second try, doubled for each further one.
        setting: What allows a private address, for the refusal; ``{host}`` stands for the host.

    Raises:
        InputError: the proxy or the certificates that the environment names cannot be used.
    """

    def __init__(
        self,
        *,
        timeout: float = 20,
        allowed: Callable[[str], bool] = lambda _: False,
        per_host: int = 8,
        max_bytes: int = MAX_BYTES,
        tries: int = 1,
        pause: float = 1.0,
        setting: str = ALLOW_HOST,
    ) -> None:
        check_environment()  # said now rather than for each link
        self._timeout, self._allowed, self._setting = timeout, allowed, setting
        self._max_bytes, self._tries, self._pause = max_bytes, tries, pause
        self._hosts = Hosts(per_host)

    def ask(self, url: str, etag: str = "") -> Answer:
        """Ask whether an image is still the one of this ETag; once more when a host that had enough says how long to
        wait.

        Raises:
            SourceError: the link is not understood or not allowed, or nobody answers.
        """
        known = {"If-Modified-Since" if etag.endswith(" GMT") else "If-None-Match": etag} if etag else {}

        def take(response: httpx.Response, moved: str, _: float) -> tuple[Answer, float]:
            said = response.headers  # the body is not read
            answer = Answer(response.status_code, said.get("etag") or said.get("last-modified", ""), moved)
            return answer, self._wait(response)

        answer, after = self._visit(url, known, take)
        return self._visit(url, known, take)[0] if after else answer

    def fetch(self, url: str, validators: str = "") -> Fetched:
        """Fetch what is behind a link, unless it is what the validators stand for; several times when that may help.

        Args:
            url: The link.
            validators: What :attr:`Fetched.validators` was the last time.

        Raises:
            TransientError: it may work later.
            SourceError: the link is not understood or not allowed, or the answer is no file, too large or empty.
        """
        etag, _, changed = validators.partition("\n")
        known = {name: text for name, text in (("If-None-Match", etag), ("If-Modified-Since", changed)) if text}
        shown = shortened(url, LINK_CHARACTERS)

        def take(response: httpx.Response, _: str, end: float) -> Fetched:
            if response.status_code == 304 and known:
                return Fetched(None, validators, "")
            if response.status_code != 200:
                status = f"{response.status_code} {response.reason_phrase}"
                text = f"The link {shown} answers {status}. Open it in a browser and check the address."
                transient = response.status_code in TRANSIENT_STATUSES
                raise TransientError(text, self._wait(response)) if transient else SourceError(text)
            said = response.headers
            lines = (said.get("etag", ""), said.get("last-modified", ""))
            data = _body(response, shown, self._max_bytes, end)
            kind = said.get("content-type", "").partition(";")[0].strip().lower()
            return Fetched(data, "\n".join(lines).rstrip(), kind)

        for number in range(self._tries - 1):
            try:
                return self._visit(url, known, take)
            except TransientError as error:
                if not error.after:  # else the host is left alone for as long as it said
                    time.sleep(min(self._pause * 2**number, self._timeout))
        return self._visit(url, known, take)

    def read(self, url: str) -> bytes:
        """The bytes behind a link, see :meth:`fetch`."""
        return self.fetch(url).data or b""

    def close(self) -> None:
        """Close the connections."""
        self._hosts.close()

    def _visit(
        self, url: str, headers: Mapping[str, str], take: Callable[[httpx.Response, str, float], Taken]
    ) -> Taken:
        """What ``take`` makes of the answer at the end of all redirects, of where it is for good, and of when it must
        be done."""
        left, moved, lasting, shown = self._timeout, "", True, shortened(url, LINK_CHARACTERS)
        target = parse_link(url)
        try:
            for _ in range(MAX_REDIRECTS + 1):
                host = self._hosts.of(target)
                with host.turn():
                    began = time.monotonic()
                    private, setting = self._allowed(target.host), self._setting.format(host=target.host)
                    response = host.get(target, headers, private=private, setting=setting, end=began + left)
                    try:
                        host.rest(self._wait(response))
                        if response.status_code not in REDIRECT_CODES:
                            return take(response, moved, began + left)
                    finally:
                        response.close()
                    left -= time.monotonic() - began
                target = parse_link(urljoin(str(target), response.headers.get("location", "")))
                lasting = lasting and response.status_code in (301, 308)
                moved = str(target) if lasting else moved
        except httpx.TimeoutException as error:
            raise _slow(shown) from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ValueError) as error:
            text = f"The link {shown} cannot be fetched: {reason_of(error)}. Try again, or {SAVE}"
            raise (TransientError if isinstance(error, httpx.TransportError) else SourceError)(text) from error
        raise SourceError(
            f"The link {shown} is redirected more than {MAX_REDIRECTS} times. Open it in a browser and copy the"
            " picture's own address."
        )

    def _wait(self, response: httpx.Response) -> float:
        """Seconds that a host that had enough asks to be left alone, within reason; 0 when it does not say."""
        if response.status_code not in TRANSIENT_STATUSES:
            return 0.0
        return min(retry_after(response.headers.get("retry-after", "")), self._timeout)


def _body(response: httpx.Response, url: str, max_bytes: int, end: float) -> bytes:
    """The bytes of an answer, unpacked."""
    said = response.headers.get("content-length", "")
    if said.isdecimal() and int(said) > max_bytes:
        raise _large(url, max_bytes)
    data = bytearray()
    for chunk in _unpacked(response, url, max_bytes):
        data += chunk
        if len(data) > max_bytes:
            raise _large(url, max_bytes)
        if time.monotonic() > end:
            raise _slow(url)
    if not data:
        raise SourceError(f"The link {url} answers with nothing (0 bytes). Check the address.")
    return bytes(data)


def _unpacked(response: httpx.Response, url: str, max_bytes: int) -> Iterator[bytes]:
    """The pieces of a body: as they come, or unpacked where a server packs though it was not asked to; each at most
    ``max_bytes`` + 1 long.

    Not by httpx, which unpacks a piece whole, however large it becomes.
    """
    names = [name.strip().lower() for name in response.headers.get("content-encoding", "").split(",")]
    packed = [name for name in names if name in KNOWN_ENCODINGS]
    if not packed:
        yield from response.iter_raw(CHUNK_BYTES)
        return
    if len(packed) > 1 or packed[0] not in DECODED_ENCODINGS:
        raise SourceError(
            f"The link {url} answers with packed data ({', '.join(packed)}); Lapel asks for none, and unpacks gzip and"
            f" deflate."
            " Save the picture and use the file instead."
        )
    pieces = response.iter_raw(CHUNK_BYTES)
    first = next(pieces, b"")
    unpack = _unpacker(packed[0], first)
    if unpack is None:
        yield first
        yield from pieces
        return
    try:
        yield unpack.decompress(first, max_bytes + 1)
        for piece in pieces:
            yield unpack.decompress(piece, max_bytes + 1)
    except zlib.error as error:
        raise SourceError(
            f"The link {url} answers with broken {packed[0]} data. Save the picture and use the file instead."
        ) from error
    if not unpack.eof:
        raise TransientError(f"The link {url} ends within its {packed[0]} data. Try again.")


def _unpacker(name: str, start: bytes) -> zlib._Decompress | None:
    """What unpacks a body that begins so; None where it only says that it is packed."""
    if name == "deflate":  # with zlib's two bytes before it, or without
        whole = len(start) > 1 and start[0] & 15 == 8 and int.from_bytes(start[:2]) % 31 == 0
        return zlib.decompressobj(zlib.MAX_WBITS if whole else -zlib.MAX_WBITS)
    return zlib.decompressobj(zlib.MAX_WBITS | 16) if start[:2] == b"\x1f\x8b" else None


def _large(url: str, max_bytes: int) -> SourceError:
    return SourceError(
        f"The link {url} is larger than {max_bytes / 2**20:.0f} MB. Scale the picture down and use the file instead."
    )


def _slow(url: str) -> SourceError:
    return TransientError(
        f"The link {url} took too long to answer. Try again, or save the picture and use the file instead."
    )
