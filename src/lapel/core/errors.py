"""Every error Lapel raises on purpose. Each message says what was asked, what was found and what to do.

LapelError
├── InputError                    what was handed in cannot be used
│   ├── ImageError                an image: empty, truncated, too large, not an image
│   ├── SourceError               a folder, ZIP or link that cannot be read
│   ├── TableError                a product table: a missing column, an unreadable encoding
│   │   └── ProductError          a product, or a row of a table: no id, a price that is no amount
│   └── QueryError                a question: an unknown field, k below one, an unknown product
├── StoreError                    the shop folder on disk
│   ├── StoreNotFoundError        there is none here
│   ├── StoreBusyError            another process is writing to it
│   ├── StoreReadOnlyError        it may not be written to
│   ├── StoreTooNewError          a newer Lapel wrote it
│   ├── StoreDamagedError         its file is not a catalogue, or is broken
│   └── ModelMismatchError        its vectors come from another model
├── IndexUnavailableError         an index that lives elsewhere, such as on a server, does not answer
├── RunnerUnavailableError        workers on other machines are gone, or cannot be reached
├── ModelError                    a model folder that is missing, broken or of another format
└── MissingDependencyError        an optional library is not installed
"""

from __future__ import annotations

from typing import ClassVar


class LapelError(Exception):
    """The root of the tree: an app turns it into an exit code, an HTTP status or a red box.

    Args:
        message: What was asked, what was found and what to do, for people.
        fields: The same facts for programs, such as ``store="shop"``.

    >>> try:
    ...     raise StoreNotFoundError("There is no store in shop.", store="shop")
    ... except LapelError as error:
    ...     print(error.to_json())
    {'code': 'store_not_found', 'message': 'There is no store in shop.', 'store': 'shop'}
    """

    code: ClassVar[str] = "error"  # stays the same from version to version, whatever the message says

    def __init__(self, message: str = "", **fields: str | int | float) -> None:
        super().__init__(message)
        self.fields = fields

    def to_json(self) -> dict[str, str | int | float]:
        """Code, message and fields as plain JSON values."""
        return {"code": self.code, "message": str(self), **self.fields}


class InputError(LapelError):
    """What was handed in cannot be used."""

    code = "invalid_input"


class ImageError(InputError):
    """A picture that cannot be used."""

    code = "unusable_image"


class SourceError(InputError):
    """A folder, archive or link that cannot be read."""

    code = "unreadable_source"


class TableError(InputError):
    """A product table that cannot be read, or one row of it."""

    code = "unreadable_table"


class ProductError(TableError):
    """A product that cannot be, or one field of it: no id, a price that is no amount of its currency."""

    code = "invalid_product"


class QueryError(InputError):
    """A question that cannot be asked."""

    code = "invalid_query"


class StoreError(LapelError):
    """Something about the shop folder."""

    code = "store_error"


class StoreNotFoundError(StoreError):
    """There is no store in this folder."""

    code = "store_not_found"


class StoreBusyError(StoreError):
    """Another process holds the store for writing."""

    code = "store_busy"


class StoreReadOnlyError(StoreError):
    """The store may not be written to."""

    code = "store_read_only"


class StoreTooNewError(StoreError):
    """A newer Lapel wrote this store."""

    code = "store_too_new"


class StoreDamagedError(StoreError):
    """The catalogue file is not one, or is broken."""

    code = "store_damaged"


class ModelMismatchError(StoreError):
    """The store's vectors come from another model."""

    code = "model_mismatch"


class IndexUnavailableError(LapelError):
    """An index that lives elsewhere does not answer."""

    code = "index_unavailable"


class RunnerUnavailableError(LapelError):
    """Workers on other machines are gone, or cannot be reached."""

    code = "runner_unavailable"


class ModelError(LapelError):
    """A model folder that is missing, broken or of another format."""

    code = "unusable_model"


class MissingDependencyError(LapelError):
    """An optional library is not installed."""

    code = "missing_dependency"
