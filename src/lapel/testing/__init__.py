"""Contract suites for backends that others write: a class to inherit for each kind.

    from lapel.testing import IndexContract

    class TestShelfIndex(IndexContract):
        def open(self, dim=4, path=None):
            return ShelfIndex(dim=dim, path=path)

They need pytest. Nothing in Lapel imports this package.
"""

import pytest

# So that a failure shows both sides.
pytest.register_assert_rewrite(
    *(f"lapel.testing.{kind}" for kind in ("catalog", "encoder", "index", "runner", "source"))
)

from lapel.testing.catalog import CatalogContract  # noqa: E402
from lapel.testing.encoder import EncoderContract  # noqa: E402
from lapel.testing.index import IndexContract  # noqa: E402
from lapel.testing.runner import RunnerContract  # noqa: E402
from lapel.testing.source import SourceContract  # noqa: E402

__all__ = ["CatalogContract", "EncoderContract", "IndexContract", "RunnerContract", "SourceContract"]
