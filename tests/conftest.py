"""Fixtures every test may use. Nothing here or in any test leaves the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

CATALOGUE = Path(__file__).parents[2] / "shared" / "data" / "fashion-products"


@pytest.fixture(scope="session")
def catalogue() -> Path:
    """The folder of the real catalogue, for tests that need it and skip where it is not."""
    if not (CATALOGUE / "images.zip").exists():
        pytest.skip(f"the real catalogue is not at {CATALOGUE}")
    return CATALOGUE
