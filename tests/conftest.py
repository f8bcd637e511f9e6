"""Fixtures every test may use. Nothing here or in any test leaves the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Several workers (pytest -n) share the cores: threads beyond them only wait for each other. Set before PyTorch and
# OpenMP are loaded.
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if WORKERS > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // WORKERS)))

# Files that take minutes begin first, the longest at the head: one that is begun last keeps one worker busy while the
# others have nothing to do. xdist's own order, by the number of tests, puts the browser's few long tests last, so 'make
# test' turns it off.
LONG = ("test_ui_browser", "test_ui_access", "test_phone_browser", "test_drive_browser")
CATALOGUE = Path(__file__).parents[2] / "shared" / "data" / "fashion-products"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, the others in their order."""
    order = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONG)))


@pytest.fixture(scope="session")
def catalogue() -> Path:
    """The folder of the real catalogue, for tests that need it and skip where it is not."""
    if not (CATALOGUE / "images.zip").exists():
        pytest.skip(f"the real catalogue is not at {CATALOGUE}")
    return CATALOGUE


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Pictures on their way are kept in a folder of the tests, not in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAPEL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
