"""What is watched for: banks of pictures, checks of uploads against them, a queue with decisions.

``store.watching``.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lapel.catalog.watching import Bank, Finding, LogCheck, WatchTable
from lapel.core.errors import InputError, QueryError
from lapel.core.signing import sign_webhook
from lapel.core.text import reason_of
from lapel.engine.context import StoreContext
from lapel.service.adding import AddRequest, opened_source
from lapel.service.asking import Where, filter_of
from lapel.service.images import read_image_bytes
from lapel.service.jobs import WEBHOOK_FIRST, WEBHOOK_SECONDS, WEBHOOK_TRIES
from lapel.sources import is_image_name, read_uri
from lapel.sources.names import as_link

if TYPE_CHECKING:
    from lapel.insight.watch import Upload, WatchReport

Progress = Callable[[int, int | None], None]


class WatchService:
    """The banks and findings of one store.

    Args:
        context: The store.
    """

    def __init__(self, context: StoreContext) -> None:
        self._context = context
        self._table = WatchTable(context.folder, read_only=context.catalog.read_only)

    # --- banks --------------------------------------------------------------------------------------------------------

    def add(
        self,
        bank: str,
        source: str | Path | None = None,
        *,
        where: Where = (),
        kind: str = "restricted",
        least: float | None = None,
        flood: float | None = None,
        progress: Progress | None = None,
    ) -> WatchAdded:
        """Put pictures into a bank, which is made where there is none.

        Args:
            bank: Its name.
            source: A picture, folder, ZIP, table or address; see :meth:`lapel.service.Store.add`.
            where: Instead of a source, products of the store whose pictures are watched for.
            kind: ``restricted``, ``own``, ``logos`` or ``negative``.
            least: The probability from which on a picture is a match; .8 for a new bank.
            flood: The share of checked pictures beyond which the bank is quarantined; .2 for a new bank.
            progress: Called with the pictures encoded.

        Raises:
            InputError: an unknown kind, no name, or neither or both of source and ``where``.
        """
        from lapel.insight.watch import FLOOD, KINDS, LEAST, bank_pictures, read_uploads
        from lapel.insight.watch_signs import NuditySign, WordSign

        if kind not in KINDS or not bank.strip() or bank != bank.strip():
            raise InputError(f"A bank has a name and a kind of {', '.join(KINDS)}; found '{bank}' and '{kind}'.")
        if bank in (WordSign.name, NuditySign.name):
            raise InputError(
                f"'{bank}' is what 'lapel watch check --{bank}' calls its findings. Name the bank otherwise."
            )
        if (source is None) == (not where):
            raise InputError("Give a bank either pictures (a path or an address) or products of the store (--where).")
        before = next((each for each in self.banks() if each.name == bank), None)
        least = least if least is not None else before.least if before else LEAST
        flood = flood if flood is not None else before.flood if before else FLOOD
        if not 0 < least <= 1 or not 0 < flood <= 1:
            raise InputError(f"Probability and share lie above 0 and up to 1; found {least} and {flood}.")
        uploads = self._own(where) if source is None else self._uploads(source)
        unreadable: list[tuple[str, str]] = []
        read = new = 0
        self._context.claim()  # an empty store forgets otherwise which model its banks are of
        for some in read_uploads(self._context, uploads, unreadable):
            if not read:  # no bank is made of nothing
                self._table.put_bank(bank, kind, least, flood)
            new += self._table.add_pictures(bank_pictures(self._context, bank, some))
            read += len(some)
            if progress is not None:
                progress(read, None)
        return WatchAdded(bank, new, read - new, tuple(unreadable))

    def banks(self) -> list[Bank]:
        """All banks, by name."""
        return self._table.banks()

    def remove(self, bank: str) -> None:
        """Take a bank out; what was found stays in the queue and the log.

        Raises:
            QueryError: there is none of this name.
        """
        if not self._table.remove_bank(bank):
            raise QueryError(f"There is no bank '{bank}'. List them with: lapel watch banks")

    def release(self, bank: str) -> bool:
        """Let a quarantined bank raise alerts again. Returns whether it was quarantined."""
        return self._table.release(bank)

    # --- checking -----------------------------------------------------------------------------------------------------

    def check(
        self,
        uploads: str | Path,
        *,
        banks: Sequence[str] = (),
        words: Sequence[str] = (),
        nudity: float | None = None,
        record: bool = True,
        alerts: IO[str] | None = None,
        webhook: str = "",
        webhook_secret: str = "",
        progress: Progress | None = None,
    ) -> WatchReport:
        """Check uploads against banks; see :meth:`lapel.service.Store.watch`."""
        from lapel.insight.watch import check_uploads
        from lapel.insight.watch_signs import NuditySign, Sign, WordSign

        if webhook and not webhook.startswith(("https://", "http://")):
            raise InputError("A webhook is an http or https link.")
        secret = (webhook_secret or secrets.token_urlsafe(32)) if webhook else ""

        signs: list[Sign] = [WordSign(words)] if words else []
        signs += [NuditySign(nudity)] if nudity is not None else []

        def tell(found: Finding) -> None:
            body = json.dumps({"type": "watch.found", "finding": finding_json(found)}, ensure_ascii=False)
            if alerts is not None:
                alerts.write(body + "\n")
            if webhook:
                self._table.add_alert(webhook, secret, body)

        found = check_uploads(
            self._context,
            self._table,
            self._uploads(uploads),
            names=tuple(banks),
            signs=signs,
            record=record,
            alert=tell,
            progress=progress,
        )
        if webhook:
            self.send_alerts()
        return found

    def send_alerts(self, *, now: float | None = None) -> dict[str, int]:
        """Tell webhooks what is due; what does not answer is tried again later, eight times in all. Returns how many
        alerts are in each state."""
        from lapel.sources.links import LinkSettings
        from lapel.sources.web import post

        limits = LinkSettings.of_process()
        clock = time.time() if now is None else now
        for number, url, secret, body, tries in self._table.due_alerts(clock):
            headers = {
                "Content-Type": "application/json",
                "Lapel-Signature": sign_webhook(secret, body.encode(), int(time.time())),
                "Lapel-Delivery": f"watch-{number}-{tries + 1}",
            }
            try:
                status = post(
                    url, body.encode(), headers, timeout=WEBHOOK_SECONDS, allowed=lambda host: host in limits.allow
                )
            except InputError:
                status = 0
            if 200 <= status < 300:
                self._table.told(number, "delivered")
            elif tries + 1 >= WEBHOOK_TRIES:
                self._table.told(number, "given up")
            else:
                self._table.told(number, "waiting", clock + WEBHOOK_FIRST * 2**tries)
        return self._table.alert_counts()

    def _own(self, where: Where) -> Iterator[Upload]:
        keys = self._context.catalog.matching_keys(filter_of(where))
        if not len(keys):
            raise QueryError("No photo passes the filter, so there is nothing to put into the bank. Loosen --where.")
        for start in range(0, len(keys), 1024):
            for product, photo in self._context.catalog.entries(keys[start : start + 1024]).values():
                yield f"product {product.id}", lambda uri=photo.uri: read_uri(uri)  # type: ignore[misc]

    def _uploads(self, source: str | Path) -> Iterator[Upload]:
        """One picture, a link to one, or all that a folder, ZIP, table, feed or address names."""
        name = str(source)
        single = bool(as_link(name)) or (Path(name).is_file() and is_image_name(name))
        if single:
            yield name, lambda: read_image_bytes(name)
            return
        with opened_source(AddRequest(source)) as opened:
            for row in opened.rows():
                if row.product is None:
                    yield f"line {row.line}", lambda problem=row.problem: _refuse(problem)  # type: ignore[misc]
                    continue
                pictures = row.pictures or ("",)
                for picture in pictures:
                    place = f"product {row.product.id}" + (f", {picture}" if picture else "")
                    yield place, lambda p=picture, i=row.product.id: opened.read(p, i)  # type: ignore[misc]

    # --- the queue and the log ----------------------------------------------------------------------------------------

    def queue(self, state: str = "open", limit: int = 1000) -> list[Finding]:
        """What was found, the surest first: ``open``, ``confirmed``, ``rejected``, or all with an empty state."""
        return self._table.findings(state, limit)

    def pictures(self, finding: int) -> tuple[bytes, bytes]:
        """The bank's picture and what was found that matches it, each as the bytes of a WebP.

        Raises:
            QueryError: there is none of this number.
        """
        return self._table.finding_pictures(finding)

    def decide(self, finding: int, state: str, *, note: str = "", by: str = "") -> Finding:
        """Confirm or reject a finding, or open it again.

        Raises:
            QueryError: there is none of this number.
        """
        return self._table.decide(finding, state, note, by)

    def log(self, limit: int = 1000) -> list[dict[str, Any]]:
        """The last lines of the log, the newest first."""
        return self._table.log(limit)

    def verify(self, head: str = "") -> LogCheck:
        """Whether the log is as it was written; with a hash that was noted before also whether its end was cut off."""
        return self._table.verify(head)

    def evidence(self, finding: int, path: str | Path) -> Path:
        """Write one finding as a page: both pictures, where they agree, how likely it is a copy, where and when.

        Raises:
            QueryError: there is none of this number.
            InputError: it cannot be written there.
        """
        from lapel.insight.evidence import evidence_page

        found = self._table.finding(finding)
        page = evidence_page(self._context, found, self._table.finding_pictures(finding), self._table.verify())
        out = Path(path)
        try:
            out.write_text(page, encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"The evidence cannot be written to {out}: {reason_of(error)}. Name a .html file in a folder that"
                " exists."
            ) from error
        return out

    def close(self) -> None:
        """Let go of its file."""
        self._table.close()


@dataclass(frozen=True)
class WatchAdded:
    """What became of pictures for a bank.

    Attributes:
        bank: Its name.
        new: Pictures that are new in it.
        known: Those that were there.
        unreadable: Where pictures are that could not be read, with the reason.
    """

    bank: str
    new: int
    known: int
    unreadable: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        left = [{"place": place, "reason": reason} for place, reason in self.unreadable]
        return {"bank": self.bank, "new": self.new, "known": self.known, "unreadable": left}


def finding_json(found: Finding) -> dict[str, Any]:
    """A finding as JSON has it."""
    return {
        "id": found.id,
        "bank": found.bank,
        "entry": found.entry_name,
        "place": found.place,
        "at": found.at,
        "probability": round(found.chance, 4),
        "mirrored": found.mirrored,
        "seen": found.seen,
        "state": found.state,
        "note": found.note,
        "decided_at": found.decided_at,
        "decided_by": found.decided_by,
        "sha256": found.upload,
    }


def _refuse(problem: str) -> bytes:
    raise InputError(problem)
