"""Keys of the HTTP API, and what is signed with them: scoped keys and webhooks. Only Python's own library is needed.

A key is ``lapel_<id>_<secret>``. Whoever holds one can derive scoped keys from it, without asking the server:
``lapelscoped_<id>.<limits>.<signature>``, where the signature is HMAC-SHA256 of the limits. From a scoped key narrower
ones can be derived likewise: its signature is the key that signs the next limits, and all limits count. So limits can
be added by anyone and taken away by nobody.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lapel.core.errors import InputError

KEY = re.compile(r"lapel_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
SCOPED = re.compile(r"lapelscoped_([0-9a-f]{12})((?:\.[A-Za-z0-9_-]+)+)\.([A-Za-z0-9_-]{43})")
MAX_LIMITS = 8  # times a key may be narrowed
MAX_CHARACTERS = 4096  # of a key
WEBHOOK_SECONDS = 300  # how old a webhook may be


@dataclass(frozen=True)
class Limits:
    """What narrows a key.

    Attributes:
        where: Conditions that every product must fulfil, such as ``gender=Women``.
        fields: The only fields of products that are shown, beside the id; None for all.
        expires: Until when it counts, seconds since 1970; None for as long as its parent does.
    """

    where: tuple[str, ...] = ()
    fields: tuple[str, ...] | None = None
    expires: int | None = None

    def to_text(self) -> str:
        """As they stand in a key."""
        told: dict[str, Any] = {"where": list(self.where)}
        told |= {} if self.fields is None else {"fields": list(self.fields)}
        told |= {} if self.expires is None else {"expires": self.expires}
        return _encoded(json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode())

    @classmethod
    def parse(cls, text: str) -> Limits:
        """Read them.

        Raises:
            InputError: they are none.
        """
        try:
            told = json.loads(_decoded(text))
            where, fields, expires = told.pop("where"), told.pop("fields", None), told.pop("expires", None)
            usable = not told and _texts(where) and (fields is None or _texts(fields))
            if not usable or not (expires is None or type(expires) is int):
                raise ValueError("it holds something else")
            return cls(tuple(where), None if fields is None else tuple(fields), expires)
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
            raise InputError("The limits of this scoped key cannot be read. Derive it again.") from error


@dataclass(frozen=True)
class Token:
    """A key that was read, and not yet checked.

    Attributes:
        id: Whose it is.
        secret: The secret of a whole key; empty for a scoped one.
        limits: What narrows it, as it stands there.
        signature: What shows that the limits were meant by the key's holder.
    """

    id: str
    secret: str = ""
    limits: tuple[str, ...] = ()
    signature: bytes = b""


def new_key() -> str:
    """A key that nobody can guess: 256 random bits."""
    return f"lapel_{secrets.token_hex(6)}_{_encoded(secrets.token_bytes(32))}"


def secret_hash(secret: str) -> bytes:
    """What is kept of a secret. It is random, so no salt and no slow hash is needed."""
    return hashlib.sha256(secret.encode()).digest()


def signing_key(secret: str) -> bytes:
    """What signs scoped keys: derived from the secret, and no way back."""
    return _signed(secret.encode(), "lapel scoped key")


def parse_token(text: str) -> Token:
    """Read a key.

    Raises:
        InputError: it is none.
    """
    if len(text) <= MAX_CHARACTERS:
        if whole := KEY.fullmatch(text):
            return Token(whole[1], whole[2])
        if scoped := SCOPED.fullmatch(text):
            limits = tuple(scoped[2].lstrip(".").split("."))
            if len(limits) <= MAX_LIMITS:
                return Token(scoped[1], "", limits, _decoded(scoped[3]))
    raise InputError(
        "This is no key of Lapel. One looks like lapel_0123456789ab_... and is made with: lapel key create"
    )


def signature_fits(token: Token, signing: bytes) -> bool:
    """Whether a scoped key was derived from the key that signs so."""
    for each in token.limits:
        signing = _signed(signing, each)
    return hmac.compare_digest(signing, token.signature)


def scoped_key(
    key: str, *, where: Sequence[str] = (), fields: Sequence[str] | None = None, expires: int | None = None
) -> str:
    """A narrower key, made without asking the server.

    >>> key = new_key()
    >>> women = scoped_key(key, where=["gender=Women"], fields=["title", "price"], expires=1_900_000_000)
    >>> signature_fits(parse_token(women), signing_key(parse_token(key).secret))
    True

    Args:
        key: A key, or a scoped one.
        where: Conditions that every product must fulfil, beside those of a request.
        fields: The only fields of products that are shown; None for all.
        expires: Until when it counts, seconds since 1970.

    Raises:
        InputError: it is no key, or was narrowed too often.
    """
    token = parse_token(key)
    limits = Limits(tuple(where), None if fields is None else tuple(fields), expires).to_text()
    signed = _signed(token.signature or signing_key(token.secret), limits)
    made = f"lapelscoped_{token.id}.{'.'.join((*token.limits, limits))}.{_encoded(signed)}"
    parse_token(made)
    return made


def sign_webhook(secret: str, body: bytes, at: int) -> str:
    """The header ``Lapel-Signature`` of a webhook that was sent at a time, seconds since 1970."""
    signed = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={signed}"


def webhook_fits(secret: str, body: bytes, header: str, *, now: float | None = None) -> bool:
    """Whether a webhook came from Lapel, and lately."""
    found = re.fullmatch(r"t=(\d{1,12}),v1=[0-9a-f]{64}", header)
    if not found or abs((time.time() if now is None else now) - int(found[1])) > WEBHOOK_SECONDS:
        return False
    return hmac.compare_digest(sign_webhook(secret, body, int(found[1])), header)


def _signed(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
