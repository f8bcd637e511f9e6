"""A picture behind a link: neither a web page's visitor nor a feed's author may find a way into the network that this runs in.

Only http and https; only addresses of the public internet, checked for each redirect and then connected to by number, so that a
name cannot change its meaning between check and use; never more than a few megabytes or seconds.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import httpx

from lapel.core.errors import SourceError

REDIRECTS = 3  # shops need one (to their image server) or two (to https first)
REDIRECT_CODES = (301, 302, 303, 307, 308)


PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))  # answers that may be others a little later
MAX_BYTES = 20 * 2**20


class PassingError(SourceError):
    """A link that may well work a little later.

    Attributes:
        after: Seconds that the server asks to wait; 0 when it does not say.
    """

    def __init__(self, text: str, after: float = 0.0) -> None:
        super().__init__(text)
        self.after = after


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


def new_client() -> httpx.Client:
    """A client for one host. It knows no proxies and no passwords of this machine: they are not for a stranger's link."""
    return httpx.Client(trust_env=False, follow_redirects=False, headers={"User-Agent": "lapel", "Accept": "image/*"})


class Host:
    """One host: its connections, how many use them at once, and until when it wants to be left alone."""

    def __init__(self, per_host: int) -> None:
        # A client for each host, as a connection's certificate was checked for that host only.
        self.client = new_client()
        self._slots = threading.BoundedSemaphore(per_host)
        self._rests_until = 0.0  # on time.monotonic's clock

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until few enough ask this host, and until it may be asked again."""
        with self._slots:
            time.sleep(max(0.0, self._rests_until - time.monotonic()))
            yield

    def rest(self, seconds: float) -> None:
        """Ask nothing more for a while, as the host said."""
        self._rests_until = max(self._rests_until, time.monotonic() + seconds)


class Hosts:
    """The hosts that are asked, each with its connections. Safe to share between threads.

    Args:
        per_host: Requests under way at once to one host.
    """

    def __init__(self, per_host: int) -> None:
        self._per_host = per_host
        self._known: dict[str, Host] = {}
        self._lock = threading.Lock()

    def of(self, url: str) -> Host:
        """The host of an address."""
        name = urlsplit(url).netloc
        with self._lock:
            if name not in self._known:
                self._known[name] = Host(self._per_host)
            return self._known[name]

    def close(self) -> None:
        """Close all connections. Closing twice is fine."""
        with self._lock:
            while self._known:
                self._known.popitem()[1].client.close()


def fetch_picture(url: str, *, max_bytes: int = MAX_BYTES, timeout: float = 10, allow_private: bool = False) -> bytes:
    """Fetch the bytes behind a link; whether they are a picture is for :func:`lapel.core.images.decode` to say.

    Args:
        url: An http or https address.
        max_bytes: The most that is read.
        timeout: Seconds for all of it, redirects included.
        allow_private: Also fetch from private, loopback and link-local addresses, such as a shop's own server in the same network.

    Raises:
        SourceError: the link is not understood or not allowed, or the answer is no file, too large, too slow or empty.
    """
    with new_client() as client:
        return fetch(client, url, max_bytes=max_bytes, timeout=timeout, allowed=lambda _: allow_private).data or b""


def fetch(
    client: httpx.Client,
    url: str,
    *,
    max_bytes: int,
    timeout: float,
    allowed: Callable[[str], bool],
    validators: str = "",
) -> Fetched:
    """Fetch what is behind a link, unless it is what the validators stand for.

    Args:
        client: One of :func:`new_client`.
        url: An http or https address.
        max_bytes: The most that is read.
        timeout: Seconds for all of it, redirects included.
        allowed: Whether a host may have a private address.
        validators: What :attr:`Fetched.validators` was the last time.

    Raises:
        PassingError: it may work later.
        SourceError: the link is not understood or not allowed, or the answer is no file, too large or empty.
    """
    end = time.monotonic() + timeout
    address = url.strip()
    try:
        for _ in range(REDIRECTS + 1):
            request = _request(client, address, allowed, end)
            request.headers.update(_conditions(validators))
            response = client.send(request, stream=True)
            try:
                if response.status_code == 304 and validators:
                    return Fetched(None, validators, "")
                if response.status_code not in REDIRECT_CODES:
                    data = _body(response, url, max_bytes, end)
                    lines = (response.headers.get("etag", ""), response.headers.get("last-modified", ""))
                    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
                    return Fetched(data, "\n".join(lines).rstrip(), kind)
                address = urljoin(address, response.headers.get("location", ""))
            finally:
                response.close()
    except httpx.TimeoutException as error:
        raise _slow(url) from error
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        text = f"The link {url} cannot be fetched: {error}. Save the picture and upload the file instead."
        raise (PassingError if isinstance(error, httpx.TransportError) else SourceError)(text) from error
    raise SourceError(
        f"The link {url} is redirected more than {REDIRECTS} times. Open it in a browser and copy the picture's own address."
    )


def _conditions(validators: str) -> dict[str, str]:
    etag, _, changed = validators.partition("\n")
    conditions = {"If-None-Match": etag, "If-Modified-Since": changed}
    return {name: text for name, text in conditions.items() if text}


def _request(client: httpx.Client, address: str, allowed: Callable[[str], bool], end: float) -> httpx.Request:
    """A request to the checked number of the host, that still names the host to the server and to TLS."""
    try:
        url = httpx.URL(address)
    except (httpx.InvalidURL, ValueError) as error:
        raise SourceError(
            f"The link '{address}' is not understood: {error}. Copy the picture's address from the browser."
        ) from error
    if url.scheme not in ("http", "https") or not url.host:
        raise SourceError(
            f"The link '{address}' is not an http or https address. Copy the picture's address from the browser."
        )
    if url.userinfo:
        raise SourceError("The link carries a password. Save the picture and upload the file instead.")
    number = _resolve(url.host, url.port or (443 if url.scheme == "https" else 80), allowed(url.host))
    left = end - time.monotonic()
    if left <= 0:
        raise _slow(address)
    return client.build_request(
        "GET",
        url.copy_with(host=number),
        # Not compressed, so that what is counted is what is kept.
        headers={"Host": url.netloc.decode("ascii"), "Accept-Encoding": "identity"},
        extensions={"sni_hostname": url.host},
        timeout=left,
    )


def _resolve(host: str, port: int, allow_private: bool) -> str:
    """The host's first address, after all of its addresses have been checked."""
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        raise SourceError(f"The link's host '{host}' is not known: {error}. Check the address.") from error
    for text in found:
        if not allow_private and not _is_public(text):
            raise SourceError(
                f"The link's host '{host}' is {text}, which is not on the public internet. Save the picture and upload the file instead."
            )
    return found[0]


def _is_public(text: str) -> bool:
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        # Forms of IPv6 that carry an IPv4 address lead where that one leads.
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and address in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_public(str(inner))
    return address.is_global and not address.is_multicast


def _body(response: httpx.Response, url: str, max_bytes: int, end: float) -> bytes:
    if response.status_code != 200:
        text = f"The link {url} answers {response.status_code} {response.reason_phrase}. Open it in a browser and check the address."
        if response.status_code in PASSING:
            raise PassingError(text, _after(response))
        raise SourceError(text)
    packed = response.headers.get("content-encoding", "identity").lower()
    if packed != "identity":
        raise SourceError(
            f"The link {url} answers with packed data ({packed}). Save the picture and upload the file instead."
        )
    said = response.headers.get("content-length", "")
    if said.isdecimal() and int(said) > max_bytes:
        raise _large(url, max_bytes)
    data = bytearray()
    for chunk in response.iter_raw(64 * 1024):
        data += chunk
        if len(data) > max_bytes:
            raise _large(url, max_bytes)
        if time.monotonic() > end:
            raise _slow(url)
    if not data:
        raise SourceError(f"The link {url} answers with nothing (0 bytes). Check the address.")
    return bytes(data)


def _after(response: httpx.Response) -> float:
    """Seconds that a host asks to be left alone; 0 when it does not say."""
    said = response.headers.get("retry-after", "")
    return float(said) if said.isdecimal() else 0.0


def _large(url: str, max_bytes: int) -> SourceError:
    return SourceError(
        f"The link {url} is larger than {max_bytes / 2**20:.0f} MB. Scale the picture down and upload the file instead."
    )


def _slow(url: str) -> SourceError:
    return PassingError(
        f"The link {url} took too long to answer. Try again, or save the picture and upload the file instead."
    )


@dataclass(frozen=True)
class Answer:
    """What a link says about its picture without giving it.

    Attributes:
        status: The HTTP status at the end of all redirects; 304 when the picture is still the one that was known.
        mark: What the server calls its bytes: the ETag, else when it was last changed; empty when it says neither.
        moved: Where it is for good, when a permanent redirect says so.
    """

    status: int
    mark: str = ""
    moved: str = ""


class LinkReader:
    """Asks many links, with connections that are used again. Safe to share between threads.

    Args:
        timeout: Seconds for one link, redirects included; waiting for its turn is not counted.
        allowed: Whether a host may have a private address.
        per_host: Requests under way at once to one host.
    """

    def __init__(
        self, *, timeout: float = 20, allowed: Callable[[str], bool] = lambda _: False, per_host: int = 8
    ) -> None:
        self.timeout = timeout
        self.allowed = allowed
        self._hosts = Hosts(per_host)

    def ask(self, url: str, mark: str = "") -> Answer:
        """Ask whether a picture is still the one that its server called so; once more when a host that had enough says how long to wait.

        Raises:
            SourceError: the link is not understood or not allowed, or nobody answers.
        """
        try:
            answer, after = self._ask(url, mark)
            return self._ask(url, mark)[0] if after else answer
        except httpx.TimeoutException as error:
            raise _slow(url) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SourceError(f"The link {url} cannot be asked: {error}.") from error

    def _ask(self, url: str, mark: str) -> tuple[Answer, float]:
        """The answer, and how long the host that gave it wants to be left alone."""
        left = self.timeout
        address, moved, lasting = url, "", True
        for _ in range(REDIRECTS + 1):
            host = self._hosts.of(address)
            with host.turn():
                began = time.monotonic()
                request = _request(host.client, address, self.allowed, began + left)
                if mark:
                    request.headers["If-Modified-Since" if mark.endswith(" GMT") else "If-None-Match"] = mark
                response = host.client.send(request, stream=True)
                response.close()  # the body is not read
                left -= time.monotonic() - began
                after = min(_after(response), self.timeout) if response.status_code in PASSING else 0.0
                if after:
                    host.rest(after)
            if response.status_code not in REDIRECT_CODES:
                said = response.headers
                return Answer(response.status_code, said.get("etag") or said.get("last-modified", ""), moved), after
            address = urljoin(address, response.headers.get("location", ""))
            lasting = lasting and response.status_code in (301, 308)
            moved = address if lasting else moved
        raise SourceError(f"The link {url} is redirected more than {REDIRECTS} times.")

    def read(self, url: str) -> bytes:
        """The bytes behind a link, see :func:`fetch`."""
        host = self._hosts.of(url)
        with host.turn():
            got = fetch(host.client, url, max_bytes=MAX_BYTES, timeout=self.timeout, allowed=self.allowed)
        return got.data or b""

    def close(self) -> None:
        """Close the connections."""
        self._hosts.close()
