"""The machines behind links: which addresses may be asked, in which order, through which proxy, and how many times at
once.

A name is looked up here, all of its addresses are checked, and the connection is made to a checked number, so that a
name cannot change its meaning between check and use. Certificates come from ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` where
these are set; proxies are used only with ``LAPEL_PROXY=env``, and then a name is checked before the proxy hears of it.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

import httpx

from lapel.core.errors import InputError, SourceError
from lapel.core.settings import settings
from lapel.core.text import reason_of

PROXY = "LAPEL_PROXY"
ADDRESS_SECONDS = 2.0  # most seconds for an address of a host that has further ones: a shop's IPv6 may be dead
PUBLIC_IPV6 = ipaddress.ip_network("2000::/3")  # all that is given out; RFC 4291


class TransientError(SourceError):
    """A link that may well work a little later.

    Attributes:
        after: Seconds that the server asks to wait; 0 when it does not say.
    """

    def __init__(self, text: str, after: float = 0.0) -> None:
        super().__init__(text)
        self.after = after


def proxy_of(scheme: str, host: str) -> str:
    """The proxy that this process' environment names for a host, if the settings allow one; empty for none.

    Raises:
        InputError: ``LAPEL_PROXY`` is something else than ``env``.
    """
    known = getproxies_environment() if settings().proxy else {}
    if not known or proxy_bypass_environment(host, known):
        return ""
    proxy = known.get(scheme) or known.get("all", "")
    return proxy if "://" in proxy or not proxy else f"http://{proxy}"


def new_client(proxy: str = "") -> httpx.Client:
    """A client for one host. It knows no passwords of this machine: they are not for a stranger's link.

    Raises:
        InputError: the proxy or the certificates of the environment cannot be used.
    """
    now = settings()
    certificates = _certificates(now.ssl_cert_file, now.ssl_cert_dir)
    headers = {"User-Agent": "lapel", "Accept": "image/*"}
    try:
        return httpx.Client(
            trust_env=False, follow_redirects=False, headers=headers, verify=certificates, proxy=proxy or None
        )
    except (ValueError, ImportError, httpx.InvalidURL) as error:  # the proxy's address may hold a password
        raise InputError(
            "The proxy in HTTP_PROXY, HTTPS_PROXY or ALL_PROXY cannot be used. Write http://host:port, or unset"
            f" {PROXY}."
        ) from error


@lru_cache(maxsize=4)
def _certificates(file: str, folder: str) -> ssl.SSLContext:
    """Whom to trust: a file comes before a folder, and certifi's list is for want of both."""
    try:
        if file:
            return ssl.create_default_context(cafile=file)
        return ssl.create_default_context(capath=folder) if folder else httpx.create_ssl_context(trust_env=False)
    except OSError as error:
        raise InputError(
            f"The certificates in SSL_CERT_FILE ({file}) or SSL_CERT_DIR ({folder or 'not set'}) cannot be read:"
            f" {reason_of(error)}. Name a PEM file."
        ) from error


def check_environment() -> None:
    """See that what the environment says of proxies and certificates can be used, before a link is asked for.

    Raises:
        InputError: it cannot.
    """
    for scheme in ("http", "https"):
        new_client(proxy_of(scheme, "")).close()


class Host:
    """One host: its connections, how many use them at once, and until when it wants to be left alone.

    Args:
        url: An address at this host.
        per_host: Requests under way at once.
    """

    def __init__(self, url: httpx.URL, per_host: int) -> None:
        # A client for each host, as a connection's certificate was checked for that host only.
        self._proxy = proxy_of(url.scheme, url.host)
        self._client = new_client(self._proxy)
        self._slots = threading.BoundedSemaphore(per_host)
        self._rests_until = 0.0  # on time.monotonic's clock
        self._works = ""  # the address that answered last

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until few enough ask this host, and until it may be asked again."""
        with self._slots:
            time.sleep(max(0.0, self._rests_until - time.monotonic()))
            yield

    def rest(self, seconds: float) -> None:
        """Ask nothing more for a while, as the host said."""
        self._rests_until = max(self._rests_until, time.monotonic() + seconds)

    def get(
        self,
        url: httpx.URL,
        headers: Mapping[str, str],
        *,
        private: bool,
        setting: str,
        end: float,
        body: bytes | None = None,
    ) -> httpx.Response:
        """Ask for an address at this host, at each of its checked numbers in turn. The body is still to be read.

        Args:
            url: The address.
            headers: What to send besides the usual.
            private: Whether the host may have a private address.
            setting: What allows that, for the refusal.
            end: When it must have answered, on time.monotonic's clock.
            body: What to send there; nothing is sent by default.

        Raises:
            SourceError: the host is not known or may not be asked. httpx.HTTPError: it does not answer.
        """
        numbers = _checked(url, private=private, setting=setting, proxied=bool(self._proxy))
        if self._proxy:  # which looks the name up itself
            numbers = [url.raw_host.decode("ascii")]
        numbers.sort(key=lambda number: number != self._works)
        for further, number in zip(range(len(numbers) - 1, -1, -1), numbers, strict=True):
            left = max(end - time.monotonic(), 0.001)
            request = self._client.build_request(
                "GET" if body is None else "POST",
                url.copy_with(host=number),
                content=body,
                # Not compressed, so that what is counted is what is kept.
                headers={"Host": url.netloc.decode("ascii"), "Accept-Encoding": "identity", **headers},
                # The server and TLS still hear the name; a proxy has one of its own.
                extensions={} if self._proxy else {"sni_hostname": url.raw_host.decode("ascii")},
                timeout=httpx.Timeout(left, connect=min(left / (further + 1), ADDRESS_SECONDS) if further else left),
            )
            try:
                response = self._client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if not further:
                    raise
            else:
                self._works = number
                return response
        raise AssertionError("a host has an address")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class Hosts:
    """The hosts that are asked, each with its connections. Safe to share between threads.

    Args:
        per_host: Requests under way at once to one host.
    """

    def __init__(self, per_host: int) -> None:
        self._per_host = per_host
        self._known: dict[tuple[str, bytes], Host] = {}
        self._lock = threading.Lock()

    def of(self, url: httpx.URL) -> Host:
        """The host of an address."""
        name = (url.scheme, url.netloc)
        with self._lock:
            if name not in self._known:
                self._known[name] = Host(url, self._per_host)
            return self._known[name]

    def close(self) -> None:
        """Close all connections. Closing twice is fine."""
        with self._lock:
            while self._known:
                self._known.popitem()[1].close()


def _checked(url: httpx.URL, *, private: bool, setting: str, proxied: bool) -> list[str]:
    """All addresses of a link's host, each once, after all of them have been checked."""
    host = url.raw_host.decode("ascii")
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        if proxied and private:  # the proxy may know more names
            return []
        text = f"The link's host '{host}' is not known. Check the address."
        if proxied:
            text = (
                f"The link's host '{host}' is not known here, so that only the proxy could say whether it is private."
                f" If it is not, allow it with {setting}."
            )
        passing = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
        raise (TransientError if passing else SourceError)(text) from error
    found = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
    for text in found:
        if not private and not is_public(text):
            raise SourceError(
                f"The link's host '{host}' is {text}, which is not on the public internet. If it is a machine of your"
                f" own, allow it with"
                f" {setting}; else save the picture and use the file instead."
            )
    return found


def is_public(text: str) -> bool:
    """Whether an address, IPv4 or IPv6, is one of the public internet."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        # Forms of IPv6 that carry an IPv4 address lead where that one leads.
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and address in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if (
            address not in PUBLIC_IPV6
        ):  # Python calls some others global: site-local ones, and those of a network's own NAT64
            return False
    return address.is_global and not address.is_multicast


def retry_after(said: str) -> float:
    """Seconds that a server asks to wait with ``Retry-After``, as a number or as a date; 0 when it says nothing or a
    time that is over.

    >>> retry_after("3"), retry_after("soon"), retry_after("Sun, 01 Mar 2020 12:00:04 GMT")
    (3.0, 0.0, 0.0)
    """
    if said.strip().isdecimal():
        return float(said)
    try:
        until = parsedate_to_datetime(said)
    except ValueError:
        return 0.0
    return max((until if until.tzinfo else until.replace(tzinfo=UTC)).timestamp() - time.time(), 0.0)
