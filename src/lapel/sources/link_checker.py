"""Whether pictures are still where they were, found out without reading them where that is possible.

An address and its mark of change go in; fine, changed, moved, dead, forbidden or unreachable comes out, with the
reason. Files are looked at,
links are asked whether they changed (ETag), any other source is asked for its mark of change.
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

State = Literal["fine", "changed", "moved", "dead", "forbidden", "unreachable", "unasked"]
FORBIDDEN = (401, 403, 407, 451)
DEAD = (404, 410)
SILENT = 32  # pictures of one place out of reach, one after the other, after which it is left alone for a while
AGAIN = 60.0  # seconds after which it is asked again: waiting for each picture of a place that is away would take days


@dataclass(frozen=True)
class Health:
    """What was found.

    Attributes:
        state: ``changed`` when its mark of change is another, so that its bytes may be; ``unasked`` when its place did
            not answer for others.
        stamp: What the source says now, see :meth:`lapel.sources.ImageSource.stamp`; for a link as it was, as asking
            does not tell.
        mark: What a link's server calls the bytes now, such as an ETag; empty when it does not say, and for other
            sources.
        reason: Why it is not fine, for people.
    """

    state: State
    stamp: str = ""
    mark: str = ""
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

    def look(self, uri: str, stamp: str, mark: str = "") -> Health:
        """Whether a picture is still there and still the same as when it had that stamp and mark."""
        place = _place(uri)
        if not place:
            return self._look(uri, stamp, mark)
        with self._lock:
            if self._missed[place] >= SILENT and time.monotonic() < self._asked_at[place] + AGAIN:
                return Health("unasked", stamp, mark, f"{place} was out of reach for {SILENT} pictures before this one")
            self._asked_at[place] = time.monotonic()
        health = self._look(uri, stamp, mark)
        with self._lock:
            self._missed[place] = self._missed[place] + 1 if health.state == "unreachable" else 0
        return health

    def _look(self, uri: str, stamp: str, mark: str) -> Health:
        if as_link(uri):
            try:
                return _judge(self._links.ask(uri, mark), stamp, mark)
            except SourceError as error:  # a server that answers is judged by its answer
                return Health("unreachable", reason=str(error))
        try:
            source = self._source(uri)
        except SourceError as error:
            # Who may not even ask, for want of credentials, knows nothing of the picture.
            remote = urlsplit(uri).scheme in REMOTE
            return Health("unreachable" if remote else _kind(error), reason=str(error))
        try:
            found = source.version_token(uri)
        except SourceError as error:
            return Health(_kind(error), reason=str(error))
        return Health("fine" if found == stamp else "changed", found)

    def read(self, uri: str) -> bytes:
        """The bytes of a picture.

        Raises:
            SourceError: it is out of reach.
        """
        if as_link(uri):
            return self._links.read(uri)
        return read_uri(uri)

    def unread(self, error: InputError) -> State:
        """What an error in :meth:`read`, or in decoding what it gave, says about a picture that seems to have
        changed."""
        if isinstance(error, TransientError):
            return "unreachable"
        return _kind(error) if isinstance(error, SourceError) else "dead"

    def close(self) -> None:
        """Let go of everything."""
        self._links.close()
        with self._lock:
            while self._opened:
                self._opened.popitem()[1].close()

    def _source(self, uri: str) -> ImageSource:
        """What knows the picture: its folder, its archive, or whatever its scheme opens."""
        scheme = urlsplit(uri).scheme
        where = f"{scheme}://"
        if scheme == "file":
            where = str(Path(to_path(uri)).parent)
            if not Path(where).is_dir():
                raise SourceError(f"The folder {where} of a picture is gone. Put it back, or run lapel hosting move.")
        elif scheme == "zip":
            where = str(split_uri(uri)[0])
        with self._lock:
            if where not in self._opened:
                self._opened[where] = open_source(where)
            return self._opened[where]


def _place(uri: str) -> str:
    """Who answers for a remote picture: its host, its bucket, or Drive as a whole. Empty for what is on this
    machine."""
    parts = urlsplit(uri)
    if parts.scheme not in REMOTE:
        return ""
    return "gdrive://" if parts.scheme == "gdrive" else f"{parts.scheme}://{parts.netloc}"


def _judge(answer: Answer, stamp: str, mark: str) -> Health:
    said = f"the link answers {answer.status}"
    if answer.status in DEAD:
        return Health("dead", reason=said)
    if answer.status in FORBIDDEN:
        return Health("forbidden", reason=said)
    if answer.status not in (200, 304):
        return Health("unreachable", reason=said)
    if answer.status == 200 and (not answer.mark or answer.mark != mark):
        return Health("changed", stamp, answer.mark)
    if answer.moved:
        return Health("moved", stamp, mark, f"it is at {answer.moved} now; say so with: lapel hosting move")
    return Health("fine", stamp, mark)


def _kind(error: SourceError) -> State:
    """What kept a picture from being seen."""
    cause: BaseException | None = error.__cause__
    if isinstance(cause, PermissionError):
        return "forbidden"
    # A missing file is an OSError too; a network that does not answer is none of these.
    if isinstance(cause, (FileNotFoundError, NotADirectoryError, IsADirectoryError, KeyError)) or cause is None:
        return "dead"
    return "unreachable"
