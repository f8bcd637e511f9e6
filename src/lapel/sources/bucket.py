# ruff: noqa: D102 - what each method does stands at ImageSource
"""Pictures in a bucket, through fsspec: ``s3://bucket/folder``, ``gs://bucket/folder``, ``az://container/folder``.

Credentials and endpoints are those that each cloud's own tools use (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, a
profile, ...). URIs are ``s3://bucket/folder/a.jpg``, with other characters %-quoted; the store's ETag says whether a
photo is still the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from threading import Lock
from typing import Any
from urllib.parse import quote

import fsspec

from lapel.core.errors import MissingDependencyError, SourceError
from lapel.core.settings import settings
from lapel.core.text import reason_of
from lapel.sources import MAX_BYTES, Links, unquote
from lapel.sources.base import ImageSource
from lapel.sources.names import Exclude, begins_like_image, sort_out

TAGS = ("ETag", "etag", "md5Hash", "content_md5")  # what S3, Google and Azure call what changes with the bytes
TIMES = ("LastModified", "last_modified", "mtime", "updated")


class BucketSource(ImageSource):
    """A folder of photos in a bucket. Subclasses name the cloud.

    Args:
        where: ``//bucket/folder``; without a bucket, single photos can be read by their URIs.
        exclude: Patterns of names to leave out, see :class:`lapel.sources.names.Exclude`.

    Raises:
        SourceError: the cloud's library refuses to start.
    """

    remote = True
    scheme = ""

    def __init__(self, where: str, exclude: Sequence[str] = ()) -> None:
        self._root = where.strip("/")
        self._exclude = Exclude(exclude)
        self._skipped: Counter[str] = Counter()
        self._lock = Lock()
        self._link = settings().bucket_link
        self._prefix = f"{self.scheme}://{quote(self._root)}/"
        try:
            self._files = self._connect()
        except ImportError as error:
            raise MissingDependencyError(
                f"The source '{self.scheme}:' needs {error.name or 'a library'}. Run: pip install"
                f" 'lapel[{self.scheme}]'"
            ) from error
        except Exception as error:  # each cloud has its own
            raise self._refused(self.where, error) from error

    def _connect(self) -> Any:
        # fsspec shares one for all of a process; it must then not remember listings.
        return fsspec.filesystem(self.scheme, use_listings_cache=False)

    @property
    def where(self) -> str:
        """The bucket and folder."""
        return f"{self.scheme}://{self._root}"

    def walk(self) -> Iterator[str]:
        return (self._prefix + quote(name) for name in self._listing)

    def lists(self, uri: str) -> bool:
        return self._name(uri) in self._listing

    def find(self, name: str) -> str:
        """The URI of the object of this name, relative to the folder, or of a whole URI below it."""
        relative = self._name(name) if name.startswith(self._prefix) else name.replace("\\", "/").removeprefix("./")
        if relative in self._listing:
            return self._prefix + quote(relative)
        if name.startswith(f"{self.scheme}://") and not self._root:
            return name
        self._exclude.refuse(relative)
        return super().find(name)

    def path(self, uri: str) -> tuple[str, ...]:
        return tuple(self._name(uri).split("/"))

    def read(self, uri: str) -> bytes:
        if self._about(uri).get("size", 0) > MAX_BYTES:
            raise SourceError(f"The picture {uri} has more than {MAX_BYTES // 2**20} MB. Scale it down.")
        try:
            data: bytes = self._files.cat_file(self._key(uri))
            return data
        except Exception as error:  # each cloud has its own
            raise self._refused(uri, error) from error

    def version_token(self, uri: str) -> str:
        """The store's ETag, or where it has none the time of the last change, and the size."""
        about = self._about(uri)
        tag = next((str(about[name]).strip('"') for name in (*TAGS, *TIMES) if about.get(name)), "")
        return f"{tag}-{about.get('size', 0)}"

    def links(self, uri: str) -> Links:
        """Where a browser shows the photo: the pattern in LAPEL_BUCKET_LINK, as buckets are rarely public."""
        bucket, _, key = uri.removeprefix(f"{self.scheme}://").partition("/")
        link = self._link.replace("{bucket}", bucket).replace("{key}", key)
        return Links(link, link)

    def _name(self, uri: str) -> str:
        return unquote(uri.removeprefix(self._prefix))

    def _key(self, uri: str) -> str:
        return unquote(uri.removeprefix(f"{self.scheme}://"))

    def _about(self, uri: str) -> Mapping[str, Any]:
        if self._root:
            found = self._listing.get(self._name(uri))
            if found is not None:
                return found
        try:
            about: Mapping[str, Any] = self._files.info(self._key(uri))
            return about
        except Exception as error:  # each cloud has its own
            raise self._refused(uri, error) from error

    @property
    def _listing(self) -> Mapping[str, Mapping[str, Any]]:
        with self._lock:
            return self._listed

    @cached_property
    def _listed(self) -> Mapping[str, Mapping[str, Any]]:
        """Name below the folder -> what the store says of it, sorted."""
        if not self._root:
            return {}
        try:
            found = self._files.find(self._root, detail=True)
        except Exception as error:  # each cloud has its own
            raise self._refused(self.where, error) from error
        names = {key.removeprefix(self._root + "/"): about for key, about in found.items() if key != self._root}
        if not names:
            raise SourceError(
                f"There is nothing below {self.where}. Give the bucket and folder that holds the pictures."
            )
        # A name with "/" at its end is what some tools put there for a folder.
        files = (name for name in names if not name.endswith("/"))
        pictures, self._skipped = sort_out(files, self._exclude, self._peek)
        return {name: names[name] for name in pictures}

    def _peek(self, names: Sequence[str]) -> list[str]:
        """Which of these objects begin like a photo; what cannot be read does not."""
        keys = [f"{self._root}/{name}" for name in names]
        heads = self._files.cat_ranges(keys, [0] * len(keys), [32] * len(keys), on_error="return")
        return [
            name for name, head in zip(names, heads, strict=True) if isinstance(head, bytes) and begins_like_image(head)
        ]

    def _refused(self, what: str, error: Exception) -> SourceError:
        if isinstance(error, FileNotFoundError):
            return SourceError(f"There is no {what}. Check the bucket's and the folder's name.")
        if isinstance(error, PermissionError):
            return SourceError(
                f"{what} may not be read: {reason_of(error)}. Give the account of your environment the permission to"
                f" list and read it."
            )
        return SourceError(f"{what} cannot be read: {reason_of(error)}. Check the credentials and the address.")


class S3Source(BucketSource):
    """Amazon S3, and what speaks its language; ``AWS_ENDPOINT_URL`` names another server."""

    scheme = "s3"


class GoogleSource(BucketSource):
    """Google Cloud Storage; ``STORAGE_EMULATOR_HOST`` names another server."""

    scheme = "gs"

    def _connect(self) -> Any:
        from gcsfs.core import GCSFileSystem

        # Not by its scheme: that one asks of what kind the bucket is before each call, which needs a permission of its
        # own.
        return GCSFileSystem(use_listings_cache=False)


class AzureSource(BucketSource):
    """Azure Blob Storage; the account's name is in ``AZURE_STORAGE_ACCOUNT_NAME``, or all in
    ``AZURE_STORAGE_CONNECTION_STRING``."""

    scheme = "az"
