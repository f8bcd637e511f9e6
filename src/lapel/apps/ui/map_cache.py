"""The map of a catalogue as the server keeps it: drawn once, shown in a frame by its address."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lapel.apps.ui import work

if TYPE_CHECKING:
    from lapel.service import CatalogueMap


@dataclass(frozen=True)
class CachedMap:
    """One map.

    Attributes:
        page: It, as UTF-8.
        digest: Of the page: another one has another address.
        summary: What is on it.
        revision: Of the store that it shows.
    """

    page: bytes = field(repr=False)
    digest: str
    summary: str
    revision: int

    @classmethod
    def of(cls, found: CatalogueMap, revision: int) -> CachedMap:
        """A map as it is kept."""
        page = found.html.encode("utf-8")
        return cls(page, hashlib.sha256(page).hexdigest()[:16], found.summary(), revision)


def map_name(folder: Path) -> str:
    """What the work on the map of a shop is called."""
    return f"map {folder}"


def cached_map(folder: Path) -> CachedMap | None:
    """The map of a shop, where it is drawn."""
    found = work.find(map_name(folder))
    return found.result if found is not None and isinstance(found.result, CachedMap) else None
