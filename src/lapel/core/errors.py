"""Every error Lapel raises on purpose. Each message says what was asked, what was found and what to do.

LapelError
├── InputError              what was handed in cannot be used
│   ├── ImageError          a picture: empty, truncated, too large, not a picture
│   ├── SourceError         a folder, ZIP or link that cannot be read
│   ├── TableError          a product table: a missing column, an unreadable encoding
│   └── QueryError          a question: an unknown field, k below one, an unknown product
├── StoreError              the shop folder on disk
│   ├── StoreMissing        there is none here
│   ├── StoreBusy           another process is writing to it
│   ├── StoreReadOnly       it may not be written to
│   ├── StoreTooNew         a newer Lapel wrote it
│   ├── StoreDamaged        its file is not a catalogue, or is broken
│   └── ModelMismatch       its vectors come from another model
├── IndexAway               an index that lives elsewhere, such as on a server, does not answer
├── RunnerLost              workers on other machines are gone, or cannot be reached
├── ModelError              a model folder that is missing, broken or of another format
└── MissingDependency       an optional library is not installed
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


class StoreMissing(StoreError):
    """There is no store in this folder."""


class StoreBusy(StoreError):
    """Another process holds the store for writing."""


class StoreReadOnly(StoreError):
    """The store may not be written to."""


class StoreTooNew(StoreError):
    """A newer Lapel wrote this store."""


class StoreDamaged(StoreError):
    """The catalogue file is not one, or is broken."""


class ModelMismatch(StoreError):
    """The store's vectors come from another model."""


class IndexAway(LapelError):
    """An index that lives elsewhere does not answer."""


class RunnerLost(LapelError):
    """Workers on other machines are gone, or cannot be reached."""


class ModelError(LapelError):
    """A model folder that is missing, broken or of another format."""


class MissingDependency(LapelError):
    """An optional library is not installed."""
