"""What servers and the network around them are made of: packed bodies, chains of redirects, certificates, name look-ups
and clocks."""

from __future__ import annotations

import gzip
import io
import ipaddress
import socket
import ssl
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from loopback.http import Answer
from loopback.shop import ShopServer

PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def jpeg(colour: str = "teal") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 50), colour).save(file, "JPEG")
    return file.getvalue()


def packed(data: bytes) -> dict[str, tuple[str, bytes]]:
    """By name: a Content-Encoding and a body that unpacks to the data."""
    bare = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return {
        "gzip": ("gzip", gzip.compress(data)),
        "x-gzip": ("X-GZIP", gzip.compress(data)),
        "deflate": ("deflate", zlib.compress(data)),
        "bare deflate": ("deflate", bare.compress(data) + bare.flush()),
        "gzip in name only": ("gzip", data),
        "a character set": ("utf-8", data),
        "identity": ("identity", data),
        "chunks of a bucket": ("aws-chunked", data),
    }


def chain(shop: ShopServer, hops: int, end: str, status: int = 302) -> str:
    """A link that is redirected so many times before it ends at an address."""
    for number in range(hops):
        where = end if number == 0 else f"{shop.root}hop{number - 1}"
        shop.says[f"/hop{number}"] = Answer(status, headers={"Location": where})
    return f"{shop.root}hop{hops - 1}"


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context for 127.0.0.1 and shop.example that nobody trusts, and the PEM file that who trusts it
    needs."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "shop.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("shop.example")]
            ),
            False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem, keys = folder / "shop.pem", folder / "key.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    keys.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, keys)
    return context, pem


class Names:
    """Takes the place of looking names up: these names have these addresses, others are as ever, or not known."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **known: list[str]) -> None:
        self.known = {name.replace("_", "."): numbers for name, numbers in known.items()}
        self._real = socket.getaddrinfo
        monkeypatch.setattr("socket.getaddrinfo", self._look_up)

    def _look_up(self, host: Any, port: Any, *arguments: Any, **named: Any) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else host
        if name in self.known:
            return [
                (socket.AF_INET6 if ":" in number else socket.AF_INET, socket.SOCK_STREAM, 6, "", (number, port))
                for number in self.known[name]
            ]
        if name.endswith(".example"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self._real(host, port, *arguments, **named)


class Clock:
    """Takes the place of the module ``time``: nobody really waits, and how long they would have is written down."""

    def __init__(self, wall: datetime) -> None:
        self.now, self._wall = 1000.0, wall.timestamp() - 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self._wall + self.now

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            self.slept.append(round(seconds, 3))
        self.now += seconds
