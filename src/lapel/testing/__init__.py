"""Contract suites for backends that others write: indexes and sources. They need pytest.

Nothing in Lapel imports this package.
"""

import pytest

pytest.register_assert_rewrite("lapel.testing.index", "lapel.testing.source")  # so that a failure shows both sides

from lapel.testing.index import IndexContract  # noqa: E402
from lapel.testing.source import SourceContract  # noqa: E402

__all__ = ["IndexContract", "SourceContract"]
