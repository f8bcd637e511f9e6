"""What every question of a whole catalogue answers with: rows for a table, sections of pictures for a sheet, one object
for a program.

Each file of :mod:`lapel.insight` that looks at all products inherits :class:`Findings`. It says what its rows and its
sections are, and can then be shown as a table, saved as CSV, loaded as a data frame, and looked through in a browser
(:mod:`lapel.insight.picture_sheet`).
"""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lapel.catalog import Catalog
from lapel.core.errors import InputError, QueryError
from lapel.core.filters import NO_FILTER
from lapel.core.text import counted, reason_of
from lapel.core.types import Filter, Photo, Product
from lapel.core.vectors import Keys, Vectors
from lapel.engine.context import StoreContext

if TYPE_CHECKING:
    import pandas

Tone = Literal["", "good", "warn", "bad"]
PAGE = 4096  # products read at once


@dataclass(frozen=True)
class Picture:
    """One picture of a sheet.

    Attributes:
        photo: Key of a photo of the catalogue; or the bytes of an image file, for what is not in the catalogue.
        title: What stands below it first, such as a product's id.
        lines: What stands below that, a line each.
        tone: Its frame: ``good`` green, ``warn`` amber, ``bad`` red. A word in ``lines`` says the same.
        link: Where a click leads; empty for nowhere.
    """

    photo: int | bytes
    title: str = ""
    lines: tuple[str, ...] = ()
    tone: Tone = ""
    link: str = ""


@dataclass(frozen=True)
class Section:
    """Pictures that belong together, such as one group of duplicates.

    Attributes:
        title: What they are.
        text: Why they are together, in a sentence or two.
        pictures: In the order they are looked at.
        figure: HTML of a drawing that stands above them, such as of :func:`lapel.insight.plots.line_chart`; it is put
            into the page as it is.
    """

    title: str
    text: str = ""
    pictures: tuple[Picture, ...] = ()
    figure: str = ""


@dataclass(frozen=True)
class Case:
    """What a person says yes or no to, such as one group of duplicates or one suggested label.

    Attributes:
        section: What is looked at.
        rows: Of the table, those that the decision is about; or what the section is, where it is no part of the table.
    """

    section: Section
    rows: tuple[Mapping[str, Any], ...]


class Findings(ABC):
    """What was found in a catalogue. Subclasses are frozen dataclasses that check themselves."""

    @abstractmethod
    def rows(self) -> list[dict[str, Any]]:
        """One flat row each, all with the same columns: texts, numbers, truth values or None."""

    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The columns of :meth:`rows`, in order, also when there is no row."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Everything that was found, as one object of plain values: what ``--json`` prints."""

    @abstractmethod
    def sections(self) -> Iterator[Section]:
        """What the picture sheet shows, the most telling first."""

    def cases(self) -> Iterator[Case]:
        """What is decided on, one after the other, the surest first: each section as a whole, unless a subclass has
        something smaller."""
        for section in self.sections():
            products = ", ".join(picture.title for picture in section.pictures)
            yield Case(section, ({"what": section.title, "products": products},))

    @abstractmethod
    def summary(self) -> str:
        """One or two sentences: what was looked at, what was found, what was left out."""

    def to_csv(self, path: str | Path) -> None:
        """Write the rows as CSV (UTF-8, comma, a header line).

        Raises:
            InputError: it cannot be written there.
        """
        try:
            with Path(path).open("w", encoding="utf-8", newline="") as file:
                table = csv.DictWriter(file, self.columns())
                table.writeheader()
                table.writerows(self.rows())
        except OSError as error:
            raise InputError(
                f"The table cannot be written to {path}: {reason_of(error)}. Name a file in a folder that exists."
            ) from error

    def to_frame(self) -> pandas.DataFrame:
        """The rows as a pandas data frame, a column each of :meth:`columns`.

        Raises:
            InputError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise InputError("A data frame needs pandas. Install it with: pip install pandas") from error
        return pandas.DataFrame(self.rows(), columns=list(self.columns()))


@dataclass(frozen=True)
class Gallery:
    """Every photo that a question looks at, in memory, of one moment.

    Attributes:
        keys: (n,) int64, rising.
        vectors: (n, dim) float32 unit rows, of the model in use.
        entries: Each photo's product and the photo itself, by key.
        without_vector: Photos that pass the filter and have no vector yet: left out.
    """

    keys: Keys
    vectors: Vectors
    entries: Mapping[int, tuple[Product, Photo]]
    without_vector: int = 0

    def __len__(self) -> int:
        return len(self.keys)

    def product(self, place: int) -> Product:
        """The product of the photo at a place of ``keys``."""
        return self.entries[int(self.keys[place])][0]

    def photo(self, place: int) -> Photo:
        """The photo at a place of ``keys``."""
        return self.entries[int(self.keys[place])][1]


def read_gallery(context: StoreContext, where: Filter = NO_FILTER, *, least: int = 1) -> Gallery:
    """Read the photos that a filter leaves, with vectors and products: 40,097 products in about two seconds.

    Args:
        context: The store; only read.
        where: Which products.
        least: How many photos the question needs to make sense.

    Raises:
        QueryError: fewer photos than ``least`` pass, or the store has no vectors.
    """
    catalog, model = context.catalog, context.model
    wanted = catalog.matching_keys(where)
    keys = np.intersect1d(wanted, catalog.vector_keys(model.fingerprint), assume_unique=True)
    if len(keys) < least:
        rest = "" if where == NO_FILTER else f" of {len(catalog.matching_keys(NO_FILTER)):,} in the store"
        raise QueryError(
            f"This needs at least {counted(least, 'photo')} with a vector; found {len(keys):,}{rest}. Add products, or"
            " ask for more of them."
        )
    there, vectors = catalog.vectors_there(keys, fingerprint=model.fingerprint)
    entries = dict(entries_of(catalog, keys))
    kept = np.array([bool(here) and int(key) in entries for key, here in zip(keys, there, strict=True)], np.bool_)
    return Gallery(keys[kept], vectors[kept[there]], entries, len(wanted) - int(kept.sum()))


def entries_of(catalog: Catalog, keys: Keys | Sequence[int]) -> Iterator[tuple[int, tuple[Product, Photo]]]:
    """Product and photo of each key, read in pages."""
    for start in range(0, len(keys), PAGE):
        yield from catalog.entries(keys[start : start + PAGE]).items()
