"""Contract suites for backends that others write: see :mod:`lapel.testing.index` and :mod:`lapel.testing.catalog`.

They need pytest. Nothing in Lapel imports this package.
"""

import pytest

# So that a failure shows both sides.
pytest.register_assert_rewrite("lapel.testing.catalog", "lapel.testing.index")

from lapel.testing.catalog import CatalogContract  # noqa: E402
from lapel.testing.index import IndexContract  # noqa: E402

__all__ = ["CatalogContract", "IndexContract"]
