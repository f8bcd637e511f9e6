"""Makes the client that waits (``sync.py``) of the one that awaits: ``python -m lapel.client.generate``."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
SOURCE, TARGET = HERE / "awaiting.py", HERE / "sync.py"
TOLD = '"""The client of a server. Made of ``awaiting.py`` by ``generate.py``: change that one."""'
CHANGES = (
    (r'\A""".*?"""', TOLD),
    (r"^import asyncio$", "import time"),
    (r"\basyncio\.sleep\b", "time.sleep"),
    (r"\basync (def|with) ", r"\1 "),
    (r"\bawait ", ""),
    (r"\bAsyncClient\b", "Client"),
    (r"\b__a(enter|exit)__\b", r"__\1__"),
    (r"\baclose\b", "close"),
)


def made() -> str:
    """What ``sync.py`` shall hold."""
    text = SOURCE.read_text("utf-8")
    for old, new in CHANGES:
        text, count = re.subn(old, new, text, flags=re.MULTILINE | re.DOTALL)
        assert count, old
    return text


if __name__ == "__main__":
    TARGET.write_text(made(), "utf-8")
