"""Contract suites for backends that others write: see :mod:`lapel.testing.index`. They need pytest.

Nothing in Lapel imports this package.
"""

import pytest

pytest.register_assert_rewrite("lapel.testing.index")  # so that a failure shows both sides

from lapel.testing.index import IndexContract  # noqa: E402

__all__ = ["IndexContract"]
