"""Every error Lapel raises on purpose. Each message says what was asked, what was found and what to do.

LapelError
├── InputError              what was handed in cannot be used
│   ├── ImageError          a picture: empty, truncated, too large, not a picture
│   ├── SourceError         a folder, ZIP or link that cannot be read
│   ├── TableError          a product table: a missing column, an unreadable encoding
│   └── QueryError          a question: an unknown field, k below one, an unknown product
├── StoreError              the shop folder on disk
│   ├── StoreNotFoundError        there is none here
│   ├── StoreBusyError           another process is writing to it
│   ├── StoreReadOnlyError       it may not be written to
│   ├── StoreTooNewError         a newer Lapel wrote it
│   ├── StoreDamagedError        its file is not a catalogue, or is broken
│   └── ModelMismatchError       its vectors come from another model
├── IndexUnavailableError               an index that lives elsewhere, such as on a server, does not answer
├── RunnerUnavailableError              workers on other machines are gone, or cannot be reached
├── ModelError              a model folder that is missing, broken or of another format
└── MissingDependencyError       an optional library is not installed
"""

from __future__ import annotations


class LapelError(Exception):
    """The root of the tree: an app turns it into an exit code, an HTTP status or a red box."""


class InputError(LapelError):
    """What was handed in cannot be used."""


class ImageError(InputError):
    """A picture that cannot be used."""


class SourceError(InputError):
    """A folder, archive or link that cannot be read."""


class TableError(InputError):
    """A product table that cannot be read, or one row of it."""


class QueryError(InputError):
    """A question that cannot be asked."""


class StoreError(LapelError):
    """Something about the shop folder."""


class StoreNotFoundError(StoreError):
    """There is no store in this folder."""


class StoreBusyError(StoreError):
    """Another process holds the store for writing."""


class StoreReadOnlyError(StoreError):
    """The store may not be written to."""


class StoreTooNewError(StoreError):
    """A newer Lapel wrote this store."""


class StoreDamagedError(StoreError):
    """The catalogue file is not one, or is broken."""


class ModelMismatchError(StoreError):
    """The store's vectors come from another model."""


class IndexUnavailableError(LapelError):
    """An index that lives elsewhere does not answer."""


class RunnerUnavailableError(LapelError):
    """Workers on other machines are gone, or cannot be reached."""


class ModelError(LapelError):
    """A model folder that is missing, broken or of another format."""


class MissingDependencyError(LapelError):
    """An optional library is not installed."""
