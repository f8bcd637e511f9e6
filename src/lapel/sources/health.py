"""Whether pictures are still where they were, found out without reading them where that is possible.

An address and its mark of change go in; fine, changed, moved, dead, forbidden or unreachable comes out, with the reason. Files are looked at,
links are asked whether they changed (ETag), any other source is asked for its mark of change.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from lapel.core.errors import SourceError
from lapel.sources import ImageSource, open_source, read_uri
from lapel.sources.archive import split_uri
from lapel.sources.folder import to_path
from lapel.sources.links import LinkSettings
from lapel.sources.web import Answer, LinkReader

State = Literal["fine", "changed", "moved", "dead", "forbidden", "unreachable"]
FORBIDDEN = (401, 403, 407, 451)
DEAD = (404, 410)


@dataclass(frozen=True)
class Health:
    """What was found.

    Attributes:
        state: ``changed`` when its mark of change is another, so that its bytes may be.
        stamp: What the source says now, see :meth:`lapel.sources.ImageSource.stamp`; for a link as it was, as asking does not tell.
        mark: What a link's server calls the bytes now, such as an ETag; empty when it does not say, and for other sources.
        reason: Why it is not fine, for people.
    """

    state: State
    stamp: str = ""
    mark: str = ""
    reason: str = ""


class Rounds:
    """One round of visits: what it opens stays open until :meth:`close`. Safe to use from several threads.

    Args:
        timeout: Seconds for a link.
        allow_private: Also visit private, loopback and link-local addresses, not only of the hosts in ``LAPEL_ALLOW_HOSTS``.
    """

    def __init__(self, *, timeout: float = 20, allow_private: bool = False) -> None:
        hosts = LinkSettings.from_environment().allow
        self._links = LinkReader(timeout=timeout, allowed=lambda host: allow_private or host in hosts)
        self._opened: dict[str, ImageSource] = {}
        self._lock = threading.Lock()

    def look(self, uri: str, stamp: str, mark: str = "") -> Health:
        """Whether a picture is still there and still the same as when it had that stamp and mark."""
        try:
            if uri.startswith(("http://", "https://")):
                return _judge(self._links.ask(uri, mark), stamp, mark)
            found = self._source(uri).stamp(uri)
        except SourceError as error:
            return Health(_kind(uri, error), reason=str(error))
        return Health("fine" if found == stamp else "changed", found)

    def read(self, uri: str) -> bytes:
        """The bytes of a picture.

        Raises:
            SourceError: it is out of reach.
        """
        if uri.startswith(("http://", "https://")):
            return self._links.read(uri)
        return read_uri(uri)

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


def _kind(uri: str, error: SourceError) -> State:
    """What kept a picture from being seen."""
    cause: BaseException | None = error.__cause__
    if isinstance(cause, PermissionError):
        return "forbidden"
    # A missing file is an OSError too; a network that does not answer is none of these.
    if uri.startswith(("http://", "https://")):
        return "unreachable"  # a server that answers is judged by its answer
    if isinstance(cause, (FileNotFoundError, NotADirectoryError, IsADirectoryError, KeyError)) or cause is None:
        return "dead"
    return "unreachable"
