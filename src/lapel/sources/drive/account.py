"""Who asks Google Drive, and how: credentials, a connection for each request under way, back-off, downloads that go on
where they broke.

What comes in are requests of the official client; what comes out are its answers, or errors that say which account
lacks what.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, IncompleteRead
from pathlib import Path
from typing import Any, TypeVar

import google_auth_httplib2
import httplib2
from google.auth.exceptions import GoogleAuthError, TransportError
from google.oauth2 import credentials as user_credentials
from google.oauth2 import service_account
from googleapiclient.discovery import build_from_document
from googleapiclient.discovery_cache import get_static_doc
from googleapiclient.errors import HttpError

from lapel.core.errors import SourceError
from lapel.core.settings import DRIVE_IMAGE, config_path, settings
from lapel.core.text import reason_of
from lapel.sources.hosts import retry_after

READ = "https://www.googleapis.com/auth/drive.readonly"
WRITE = "https://www.googleapis.com/auth/drive"
RATE_REASONS = frozenset(("rateLimitExceeded", "userRateLimitExceeded"))  # the 403s that pass by themselves
TIMEOUT_SECONDS = 30  # seconds without a single byte
MAX_PAUSE_SECONDS = 32.0  # seconds; what Google's own guide stops doubling at
WAYS = (
    "Name a service account's key file in GOOGLE_APPLICATION_CREDENTIALS, run 'lapel drive login', or (for folders"
    " shared with "
    "everyone who has the link) put an API key into LAPEL_DRIVE_KEY."
)

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class DriveSettings:
    """How Drive is reached and how its photos are shown.

    Attributes:
        credentials: JSON of a service account or of a login; None where a key is used.
        key: API key; reads what everyone with the link may read.
        endpoint: Another root than Google's, such as ``http://127.0.0.1:8000/``.
        full: Pattern of a photo's display link; ``{id}`` is its Drive id.
        thumbnail: The same, for a small photo.
        tries: How often one request is sent before it is given up.
        pause: Seconds before the second try; doubled for each further one, up to half a minute.
    """

    credentials: Path | None = None
    key: str = ""
    endpoint: str = ""
    full: str = f"{DRIVE_IMAGE}w1600"
    thumbnail: str = f"{DRIVE_IMAGE}w400"
    tries: int = 8
    pause: float = 0.5

    @classmethod
    def of_process(cls) -> DriveSettings:
        """Those of this process, see :mod:`lapel.core.settings`; a login that was saved is used where nothing else is
        named."""
        now, saved = settings(), login_file()
        return cls(
            credentials=now.google_credentials or (saved if saved.exists() else None),
            key=now.drive_key.get_secret_value(),
            endpoint=now.drive_endpoint,
            full=now.drive_link,
            thumbnail=now.drive_thumbnail,
        )


def login_file() -> Path:
    """Where ``lapel drive login`` keeps what Google gave it."""
    return config_path("drive.json")


class _BrokenConnectionError(Exception):
    """A download that arrived whole, but with other bytes than Drive says."""


class Account:
    """The official client on behalf of somebody. Safe to use from several threads.

    Args:
        settings: Credentials and patience.
        writes: Whether it will also create files.

    Raises:
        SourceError: there are no credentials, or they cannot be read.
    """

    def __init__(self, settings: DriveSettings, *, writes: bool = False) -> None:
        self.settings = settings
        if writes and settings.key:
            raise SourceError(f"An API key may only read; something has to be written to Drive. {WAYS}")
        self._credentials = None if settings.key else _credentials(settings.credentials, WRITE if writes else READ)
        document = json.loads(get_static_doc("drive", "v3"))
        if settings.endpoint:  # also where uploads go, which the client's own option leaves out
            document["rootUrl"] = settings.endpoint.rstrip("/") + "/"
        service = build_from_document(document, http=httplib2.Http(), developerKey=settings.key or None)
        self.files: Any = service.files()
        self._about: Any = service.about()
        self._idle: list[Any] = []  # connections nobody uses now; a list's pop and append are safe among threads
        self._closed = False

    @property
    def name(self) -> str:
        """Whom to share a folder with, as people know it."""
        if self._credentials is None:
            return "everyone who has the link (an API key)"
        email = getattr(self._credentials, "service_account_email", "")
        if email:
            return f"the service account {email}"
        try:
            with self._connection() as http:
                user = self._about.get(fields="user").execute(http=http)["user"]
            return f"the account {user['emailAddress']}"
        except Exception:  # the name only makes an error clearer; it must not replace it
            return "the account of 'lapel drive login'"

    def ask(self, build: Callable[[], Any], what: str) -> Any:
        """The answer to a request of the client.

        Args:
            build: Makes the request, anew for each try.
            what: What is asked for, for errors.

        Raises:
            SourceError: it is refused, or Drive does not answer however often it is asked.
        """
        return self.patiently(lambda http: build().execute(http=http), what)

    def download(self, file_id: str, what: str, *, md5: str = "") -> bytes:
        """A file's bytes; a download that breaks goes on where it broke, and one that arrives damaged is fetched
        again."""
        got = bytearray()

        def attempt(http: httplib2.Http) -> bytes:
            request = self.files.get_media(fileId=file_id, supportsAllDrives=True)
            whole: list[bool] = []
            request.add_response_callback(lambda response: whole.append(response.status == 200))
            if got:
                request.headers["range"] = f"bytes={len(got)}-"
            try:
                body = request.execute(http=http)
            except IncompleteRead as cut:
                got.extend(cut.partial)
                raise
            except HttpError as error:
                if error.status_code == 416:  # nothing is left to fetch: a part was counted twice
                    got.clear()
                    raise _BrokenConnectionError("its parts do not fit together") from error
                raise
            if whole[-1]:  # the range was ignored
                got.clear()
            got.extend(body)
            if md5 and hashlib.md5(got, usedforsecurity=False).hexdigest() != md5:
                got.clear()
                raise _BrokenConnectionError("its checksum is another than Drive says")
            return bytes(got)

        return self.patiently(attempt, what)

    def patiently(self, attempt: Callable[[httplib2.Http], Answer], what: str) -> Answer:
        """Try until it works, with longer and longer pauses; what waiting does not mend is raised at once."""
        for number in range(self.settings.tries):
            last = number == self.settings.tries - 1
            wait = 0.0
            try:
                with self._connection() as http:
                    return attempt(http)
            except HttpError as error:
                if last or not _passes(error):
                    raise self._explain(error, what) from _plainly(error)
                wait = retry_after(error.resp.get("retry-after", ""))
            except (_BrokenConnectionError, OSError, HTTPException, httplib2.HttpLib2Error, TransportError) as error:
                # A token that could not be asked for says nothing about the credentials.
                if last:
                    raise SourceError(
                        f"Google Drive did not give {what} in {self.settings.tries} tries: {reason_of(error)}. Run the"
                        f" same command again later."
                    ) from error
            except GoogleAuthError as error:
                if last or not error.retryable:
                    raise SourceError(
                        f"Google refused the credentials of {self._who()} for {what}: {error}. Run 'lapel drive login'"
                        f" again, or get a new key file."
                    ) from error
            # Half of the pause is left to chance, so that many threads do not come back at once.
            pause = min(self.settings.pause * 2**number, MAX_PAUSE_SECONDS) * (0.5 + random.random() / 2)
            time.sleep(min(max(pause, wait), MAX_PAUSE_SECONDS))
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Close the connections that nobody uses, and others when they come back."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        """A connection for one request: the client's own are not safe among threads. One that failed is not used
        again."""
        try:
            http = self._idle.pop()
        except IndexError:
            http = httplib2.Http(timeout=TIMEOUT_SECONDS)
            http.redirect_codes = http.redirect_codes - {308}  # which says "go on" in an upload
            if self._credentials is not None:
                http = google_auth_httplib2.AuthorizedHttp(self._credentials, http=http)
        try:
            yield http
        except BaseException:
            http.close()
            raise
        self._idle.append(http)
        if self._closed:
            self.close()

    def _who(self) -> str:
        return getattr(self._credentials, "service_account_email", "") or str(self.settings.credentials)

    def _explain(self, error: HttpError, what: str) -> SourceError:
        status, reasons = error.status_code, _reasons(error)
        said = f"{status} {error.reason}".strip()
        if status == 404:
            return SourceError(
                f"{what[:1].upper()}{what[1:]} does not exist, or is not shared with {self.name}. Check the id (the"
                f" last part of the folder's address in the browser), and share it with that account as Viewer."
            )
        if self._credentials is None and (status == 401 or {"keyInvalid", "keyExpired", "badRequest"} & reasons):
            return SourceError(f"Google refused the API key for {what}: {said}. Put a valid one into LAPEL_DRIVE_KEY.")
        if status == 401:
            return SourceError(
                f"Google refused the credentials of {self.name} for {what}: {said}. Run 'lapel drive login' again, or"
                f" get a new key."
            )
        if "storageQuotaExceeded" in reasons:
            return SourceError(
                f"There is no room for {what}: {said}. A service account has no space of its own: give the id of a"
                f" folder in a shared drive with --to."
            )
        if status == 403:
            needs = {
                "cannotDownloadFile": "the permission to download (its owner switched that off for viewers)",
                "insufficientFilePermissions": "the permission Editor for that (it may be Viewer)",
                "insufficientPermissions": "the scope for that: run 'lapel drive login' again",
                "accessNotConfigured": "the Drive API: enable it in the Google Cloud console of the project",
            }
            missing = next((text for reason, text in needs.items() if reason in reasons), "a permission for it")
            return SourceError(
                f"{what[:1].upper()}{what[1:]} is refused: {self.name} lacks {missing}. Google says: {said}."
            )
        return SourceError(f"Google Drive did not give {what}: {said}. Run the same command again later.")


def _credentials(path: Path | None, scope: str) -> Any:
    if path is None:
        raise SourceError(f"Google Drive needs to know who asks. {WAYS}")
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        if info.get("type") == "service_account":
            make: Any = service_account.Credentials.from_service_account_info
            return make(info, scopes=[scope])
        # A login has the scopes it was given; asking for others would be refused.
        return user_credentials.Credentials(  # type: ignore[no-untyped-call]
            None,
            refresh_token=info["refresh_token"],
            client_id=info["client_id"],
            client_secret=info["client_secret"],
            token_uri=info.get("token_uri", "https://oauth2.googleapis.com/token"),
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, GoogleAuthError) as error:
        raise SourceError(f"The Google credentials {path} cannot be used: {reason_of(error)}. {WAYS}") from error


def _plainly(error: HttpError) -> Exception:
    """The error as other sources have it, where there is one: what is not there, and what may not be read. Too many
    requests are neither."""
    if error.status_code == 404:
        return FileNotFoundError(str(error))
    refused = error.status_code in (401, 403) and not _passes(error)
    return PermissionError(str(error)) if refused else error


def _passes(error: HttpError) -> bool:
    """Whether waiting helps."""
    return error.status_code in (408, 429) or error.status_code >= 500 or bool(_reasons(error) & RATE_REASONS)


def _reasons(error: HttpError) -> set[str]:
    details = error.error_details
    return {str(detail.get("reason", "")) for detail in details if isinstance(detail, dict)} if details else set()
