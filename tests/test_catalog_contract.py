"""The catalogue in one SQLite file does what the engine relies on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from lapel.catalog import Catalog
from lapel.catalog.history import utc_now
from lapel.testing import CatalogContract


class TestCatalog(CatalogContract):
    def open(self, path: Path, *, clock: Callable[[], datetime] | None = None) -> Catalog:
        return Catalog.open(path, create=True, clock=clock or utc_now)
