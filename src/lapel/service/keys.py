"""Who may ask a store over HTTP, and for what. ``store.keys``."""

from __future__ import annotations

import hmac
import time
from collections.abc import Sequence
from dataclasses import dataclass

from lapel.catalog import StoredKey
from lapel.core import signing
from lapel.core.errors import InputError, LapelError
from lapel.core.filters import NO_FILTER
from lapel.core.text import fold
from lapel.core.types import Filter
from lapel.engine.context import StoreContext

SCOPES = ("search", "events", "write", "admin")
NARROWED = frozenset(("search", "events"))  # what a scoped key may be used for, whatever its parent may


class KeyRefusedError(LapelError):
    """A key that does not count."""

    code = "key_refused"


@dataclass(frozen=True)
class Access:
    """What somebody may do.

    Attributes:
        key_id: Whose key it is; empty where none is needed.
        scopes: What for: ``search``, ``events``, ``write``, ``admin``.
        where: Conditions that every product must fulfil that is shown.
        fields: Fields of products that are shown beside the id, folded; None for all.
    """

    key_id: str = ""
    scopes: frozenset[str] = frozenset(SCOPES)
    where: Filter = NO_FILTER
    fields: frozenset[str] | None = None

    @property
    def limited(self) -> bool:
        """Whether it shows less than all there is."""
        return bool(self.where) or self.fields is not None

    def allows(self, scope: str) -> bool:
        """Whether something may be done; who may do everything may do each thing."""
        return scope in self.scopes or "admin" in self.scopes

    def shows(self, field: str) -> bool:
        """Whether a field of products may be seen, asked by and counted."""
        return self.fields is None or fold(field) == "id" or fold(field) in self.fields

    def narrowed(self, where: Filter) -> Filter:
        """A filter of a request and this access together.

        Raises:
            KeyRefusedError: it asks by a field that is not shown.
        """
        for condition in where.conditions:
            self.check_field(condition.field)
        return Filter(self.where.conditions + where.conditions)

    def check_field(self, field: str) -> None:
        """See that a field may be used.

        Raises:
            KeyRefusedError: it may not.
        """
        if not self.shows(field):
            raise KeyRefusedError(f"This key does not show the field '{field}', so it cannot ask by it either.")


EVERYTHING = Access()


class KeyService:
    """The keys of one store. Safe to share between threads."""

    def __init__(self, context: StoreContext) -> None:
        self._table = context.catalog.keys

    def create(self, scopes: tuple[str, ...], name: str = "") -> str:
        """Make a key, which is shown this once: only its hash is kept.

        Args:
            scopes: What it is for: ``search``, ``events``, ``write``, ``admin``.
            name: What people call it.

        Raises:
            InputError: an unknown scope, or none.
        """
        unknown = [each for each in scopes if each not in SCOPES]
        if unknown or not scopes:
            raise InputError(
                f"A key is for one or more of {', '.join(SCOPES)}; found {unknown[0] if unknown else 'none'}."
            )
        key = signing.new_key()
        token = signing.parse_token(key)
        chosen = tuple(each for each in SCOPES if each in scopes)
        hashed, signer = signing.secret_hash(token.secret), signing.signing_key(token.secret)
        self._table.add(StoredKey(token.id, name, chosen, hashed, signer))
        return key

    def list(self) -> list[StoredKey]:
        """Every key, also those that are revoked; the oldest first."""
        return self._table.all()

    def revoke(self, key_id: str) -> bool:
        """Let a key count no more, and every scoped key that was derived from it. Returns whether it did until now.

        Raises:
            InputError: there is none of this id.
        """
        if all(key.id != key_id for key in self._table.all()):
            raise InputError(f"There is no key '{key_id}'. 'lapel key list' shows those there are.")
        return self._table.revoke(key_id)

    def access(self, text: str, known: Sequence[StoredKey] | None = None, now: float | None = None) -> Access:
        """What a key allows.

        Args:
            text: The key.
            known: The keys there are; read anew when not given.
            now: The time, seconds since 1970.

        Raises:
            KeyRefusedError: it is none, is revoked or expired, or was tampered with.
        """
        try:
            token = signing.parse_token(text)
            limits = [signing.Limits.parse(each) for each in token.limits]
            where = Filter.parse([condition for each in limits for condition in each.where])
        except InputError as error:
            raise KeyRefusedError(str(error)) from error
        found = next((key for key in (self._table.all() if known is None else known) if key.id == token.id), None)
        signer = found or StoredKey(token.id, "", (), bytes(32), bytes(32))  # as much work for an unknown id
        fits = (
            hmac.compare_digest(signing.secret_hash(token.secret), signer.secret_hash)
            if token.secret
            else signing.signature_fits(token, signer.signing_key)
        )
        if found is None or not fits:
            raise KeyRefusedError("This key is not known here. Make one with: lapel key create")
        if found.revoked_at:
            raise KeyRefusedError(f"The key {found.id} was revoked at {found.revoked_at}. Ask for another one.")
        if any(each.expires is not None and (time.time() if now is None else now) >= each.expires for each in limits):
            raise KeyRefusedError("This scoped key has expired. Derive another one.")
        shown = [frozenset(map(fold, each.fields)) for each in limits if each.fields is not None]
        scopes = frozenset(found.scopes)
        if limits:
            scopes = (frozenset(SCOPES) if "admin" in scopes else scopes) & NARROWED
        return Access(found.id, scopes, where, frozenset.intersection(*shown) if shown else None)
