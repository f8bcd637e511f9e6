"""One picture behind a link, for "paste a link": a web page must not become a way into the network it runs in.

Only http and https; only addresses of the public internet, checked for each redirect and then connected to by number, so that a
name cannot change its meaning between check and use; never more than a few megabytes or seconds.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import httpx

from lapel.core.errors import SourceError

REDIRECTS = 3  # shops need one (to their image server) or two (to https first)
REDIRECT_CODES = (301, 302, 303, 307, 308)


def fetch_picture(url: str, *, max_bytes: int = 20 * 2**20, timeout: float = 10, allow_private: bool = False) -> bytes:
    """Fetch the bytes behind a link; whether they are a picture is for :func:`lapel.core.images.decode` to say.

    Args:
        url: An http or https address.
        max_bytes: The most that is read.
        timeout: Seconds for all of it, redirects included.
        allow_private: Also fetch from private, loopback and link-local addresses, such as a shop's own server in the same network.

    Raises:
        SourceError: the link is not understood or not allowed, or the answer is no file, too large, too slow or empty.
    """
    end = time.monotonic() + timeout
    # Proxies and passwords of this machine (trust_env) are not for a stranger's link.
    with httpx.Client(
        trust_env=False, follow_redirects=False, headers={"User-Agent": "lapel", "Accept": "image/*"}
    ) as client:
        address = url.strip()
        try:
            for _ in range(REDIRECTS + 1):
                request = _request(client, address, allow_private, end)
                response = client.send(request, stream=True)
                try:
                    if response.status_code not in REDIRECT_CODES:
                        return _body(response, url, max_bytes, end)
                    address = urljoin(address, response.headers.get("location", ""))
                finally:
                    response.close()
        except httpx.TimeoutException as error:
            raise _slow(url) from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise SourceError(
                f"The link {url} cannot be fetched: {error}. Save the picture and upload the file instead."
            ) from error
    raise SourceError(
        f"The link {url} is redirected more than {REDIRECTS} times. Open it in a browser and copy the picture's own address."
    )


def _request(client: httpx.Client, address: str, allow_private: bool, end: float) -> httpx.Request:
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
    number = _resolve(url.host, url.port or (443 if url.scheme == "https" else 80), allow_private)
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
        raise SourceError(
            f"The link {url} answers {response.status_code} {response.reason_phrase}. Open it in a browser and check the address."
        )
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


def _large(url: str, max_bytes: int) -> SourceError:
    return SourceError(
        f"The link {url} is larger than {max_bytes / 2**20:.0f} MB. Scale the picture down and upload the file instead."
    )


def _slow(url: str) -> SourceError:
    return SourceError(
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
        timeout: Seconds for one link, redirects included.
        allow_private: Also ask private, loopback and link-local addresses.
    """

    def __init__(self, *, timeout: float = 20, allow_private: bool = False) -> None:
        self.timeout = timeout
        self.allow_private = allow_private
        self._clients: dict[str, httpx.Client] = {}
        self._lock = threading.Lock()

    def ask(self, url: str, mark: str = "") -> Answer:
        """Ask whether a picture is still the one that its server called so.

        Raises:
            SourceError: the link is not understood or not allowed, or nobody answers.
        """
        end = time.monotonic() + self.timeout
        address, moved, lasting = url, "", True
        try:
            for _ in range(REDIRECTS + 1):
                client = self._client(address)
                request = _request(client, address, self.allow_private, end)
                if mark:
                    request.headers["If-Modified-Since" if mark.endswith(" GMT") else "If-None-Match"] = mark
                response = client.send(request, stream=True)
                response.close()  # the body is not read
                if response.status_code not in REDIRECT_CODES:
                    said = response.headers
                    return Answer(response.status_code, said.get("etag") or said.get("last-modified", ""), moved)
                address = urljoin(address, response.headers.get("location", ""))
                lasting = lasting and response.status_code in (301, 308)
                moved = address if lasting else moved
        except httpx.TimeoutException as error:
            raise _slow(url) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SourceError(f"The link {url} cannot be asked: {error}.") from error
        raise SourceError(f"The link {url} is redirected more than {REDIRECTS} times.")

    def read(self, url: str) -> bytes:
        """The bytes behind a link, see :func:`fetch_picture`."""
        return fetch_picture(url, timeout=self.timeout, allow_private=self.allow_private)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            while self._clients:
                self._clients.popitem()[1].close()

    def _client(self, address: str) -> httpx.Client:
        """A client for each host: a connection's certificate was checked for that host only."""
        host = urlsplit(address).netloc
        with self._lock:
            if host not in self._clients:
                self._clients[host] = httpx.Client(
                    trust_env=False, follow_redirects=False, headers={"User-Agent": "lapel", "Accept": "image/*"}
                )
            return self._clients[host]
