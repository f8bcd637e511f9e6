"""Whether photos are still where they were, found out without reading them where that is possible.

An address, its version token and its ETag go in; fine, changed, moved, dead, forbidden or unreachable comes out, with
the reason. Files are looked at, links are asked whether they changed, any other source is asked for its version token.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from lapel.core.errors import InputError, SourceError
from lapel.sources import REMOTE, ImageSource, open_source, read_uri
from lapel.sources.archive import split_uri
from lapel.sources.folder import to_path
from lapel.sources.hosts import TransientError
from lapel.sources.links import LinkSettings
from lapel.sources.names import as_link
from lapel.sources.web import Answer

LinkStatus = Literal["fine", "changed", "moved", "dead", "forbidden", "unreachable", "unasked"]
FORBIDDEN_STATUSES = (401, 403, 407, 451)
DEAD_STATUSES = (404, 410)
MAX_MISSES = 32  # photos of one place out of reach, one after the other, after which it is left alone
RETRY_SECONDS = 60.0  # until it is asked again: waiting for each photo of a place that is away would take days


@dataclass(frozen=True)
class LinkCheck:
    """What was found at an address.

    Attributes:
        status: ``changed`` when its version token or ETag is another, so that its bytes may be; ``unasked`` when its
            place did not answer for others.
        version_token: What the source says now, see :meth:`lapel.sources.ImageSource.version_token`; for a link as it
            was, as asking does not tell.
        etag: What a link's server calls the bytes now; empty when it does not say, and for other sources.
        reason: Why it is not fine, for people.
    """

    status: LinkStatus
    version_token: str = ""
    etag: str = ""
    reason: str = ""


class LinkChecker:
    """One round of visits: what it opens stays open until :meth:`close`. Safe to use from several threads.

    Args:
        timeout: Seconds for a link.
        allow_private: Also visit private, loopback and link-local addresses, not only of the hosts in
            ``LAPEL_ALLOW_HOSTS``.
        settings: How politely links are visited; by default as the settings of this process say.
    """

    def __init__(
        self, *, timeout: float = 20, allow_private: bool = False, settings: LinkSettings | None = None
    ) -> None:
        polite = settings or LinkSettings.of_process()
        self._links = polite.reader(allow_private=allow_private, timeout=timeout)
        self._opened: dict[str, ImageSource] = {}
        self._lock = threading.Lock()
        self._missed: Counter[str] = Counter()  # by place: how many were out of reach since one was not
        self._asked_at: dict[str, float] = {}  # by place, on time.monotonic's clock

    def check(self, uri: str, version_token: str, etag: str = "") -> LinkCheck:
        """Whether a photo is still there, and still the same as when it had that version token and ETag."""
        place = _place(uri)
        if not place:
            return self._check(uri, version_token, etag)
        with self._lock:
            if self._missed[place] >= MAX_MISSES and time.monotonic() < self._asked_at[place] + RETRY_SECONDS:
                return LinkCheck(
                    "unasked", version_token, etag, f"{place} was out of reach for {MAX_MISSES} photos before this one"
                )
            self._asked_at[place] = time.monotonic()
        found = self._check(uri, version_token, etag)
        with self._lock:
            self._missed[place] = self._missed[place] + 1 if found.status == "unreachable" else 0
        return found

    def _check(self, uri: str, version_token: str, etag: str) -> LinkCheck:
        if as_link(uri):
            try:
                return _of_answer(self._links.ask(uri, etag), version_token, etag)
            except SourceError as error:  # a server that answers is judged by its answer
                return LinkCheck("unreachable", reason=str(error))
        try:
            source = self._source(uri)
        except SourceError as error:
            # Who may not even ask, for want of credentials, knows nothing of the photo.
            remote = urlsplit(uri).scheme in REMOTE
            return LinkCheck("unreachable" if remote else _of_error(error), reason=str(error))
        try:
            found = source.version_token(uri)
        except SourceError as error:
            return LinkCheck(_of_error(error), reason=str(error))
        return LinkCheck("fine" if found == version_token else "changed", found)

    def read(self, uri: str) -> bytes:
        """The bytes of an image file.

        Raises:
            SourceError: it is out of reach.
        """
        if as_link(uri):
            return self._links.read(uri)
        return read_uri(uri)

    def status_of(self, error: InputError) -> LinkStatus:
        """What an error in :meth:`read`, or in decoding what it gave, says about a photo that seems to have changed."""
        if isinstance(error, TransientError):
            return "unreachable"
        return _of_error(error) if isinstance(error, SourceError) else "dead"

    def close(self) -> None:
        """Let go of everything."""
        self._links.close()
        with self._lock:
            while self._opened:
                self._opened.popitem()[1].close()

    def _source(self, uri: str) -> ImageSource:
        """What knows the photo: its folder, its archive, or whatever its scheme opens."""
        scheme = urlsplit(uri).scheme
        where = f"{scheme}://"
        if scheme == "file":
            where = str(Path(to_path(uri)).parent)
            if not Path(where).is_dir():
                raise SourceError(f"The folder {where} of a picture is gone. Put it back, or run lapel media move.")
        elif scheme == "zip":
            where = str(split_uri(uri)[0])
        with self._lock:
            if where not in self._opened:
                self._opened[where] = open_source(where)
            return self._opened[where]


def _place(uri: str) -> str:
    """Who answers for a remote photo: its host, its bucket, or Drive as a whole. Empty for what is on this machine."""
    parts = urlsplit(uri)
    if parts.scheme not in REMOTE:
        return ""
    return "gdrive://" if parts.scheme == "gdrive" else f"{parts.scheme}://{parts.netloc}"


def _of_answer(answer: Answer, version_token: str, etag: str) -> LinkCheck:
    said = f"the link answers {answer.status}"
    if answer.status in DEAD_STATUSES:
        return LinkCheck("dead", reason=said)
    if answer.status in FORBIDDEN_STATUSES:
        return LinkCheck("forbidden", reason=said)
    if answer.status not in (200, 304):
        return LinkCheck("unreachable", reason=said)
    if answer.status == 200 and (not answer.etag or answer.etag != etag):
        return LinkCheck("changed", version_token, answer.etag)
    if answer.moved:
        return LinkCheck("moved", version_token, etag, f"it is at {answer.moved} now; say so with: lapel media move")
    return LinkCheck("fine", version_token, etag)


def _of_error(error: SourceError) -> LinkStatus:
    """What kept a photo from being seen."""
    cause: BaseException | None = error.__cause__
    if isinstance(cause, PermissionError):
        return "forbidden"
    # A missing file is an OSError too; a network that does not answer is none of these.
    if isinstance(cause, (FileNotFoundError, NotADirectoryError, IsADirectoryError, KeyError)) or cause is None:
        return "dead"
    return "unreachable"
