"""Fixtures every test may use. Nothing here or in any test leaves the machine."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lapel.encoders.model import ModelFolder
    from lapel.encoders.network import Network

# Several workers (pytest -n) share the cores: threads beyond them only wait for each other. Set before PyTorch and
# OpenMP are loaded.
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if WORKERS > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // WORKERS)))

# Files with a browser begin first, in one worker: two browsers at once starve each other, and begun last they keep one
# worker busy while the others have nothing to do. The other long ones are next, for the same reason. xdist's own order,
# by the number of tests, would put the browser's few long ones last, so 'make test' turns it off.
BROWSER = ("test_ui_browser", "test_ui_access", "test_phone_browser", "test_drive_browser")
LONG = ("test_cli", "test_encoders", "test_ui_pages", "test_loop", "test_ui", "test_folder", "test_export")
CATALOGUE = Path(__file__).parents[2] / "shared" / "data" / "fashion-products"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with a browser first, then the long ones, the others in their order."""
    order = {name: place for place, name in enumerate((*BROWSER, *LONG))}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each file in one worker ('--dist loadfile'), those with a browser all in the same one."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            return "browser" if Path(file).stem in BROWSER else file

    return ByFile(config, log)


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """Streamlit runs a page as ``__main__`` and leaves it there: a process that a later test starts would run it."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


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


@pytest.fixture(scope="session", autouse=True)
def shared_networks() -> Iterator[None]:
    """The networks that come with Lapel are loaded once, not by each store that is opened: it takes seconds, and they
    do not change. What is tested about loading itself asks for ``own_networks``."""
    from lapel.encoders import fastest, shipped_model

    load, shipped = fastest.load_fastest, shipped_model().parent
    loaded: dict[tuple[Path, str, int | None], Network] = {}

    @functools.wraps(load)
    def load_once(model: ModelFolder, *, threads: int | None = None) -> Network:
        if model.path.parent != shipped:
            return load(model, threads=threads)
        key = (model.path, model.fingerprint, threads)
        if key not in loaded:
            loaded[key] = load(model, threads=threads)
        return loaded[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fastest, "load_fastest", load_once)
        yield


@pytest.fixture
def own_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each encoder of this test loads its network."""
    from lapel.encoders import fastest

    monkeypatch.setattr(fastest, "load_fastest", inspect.unwrap(fastest.load_fastest))
