"""Writes the OpenAPI text of the API, which the TypeScript client's types are generated from, and its hash.

python web/client/openapi.py OUT
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import lapel
from lapel.apps.api import create_app


def openapi_text() -> dict[str, Any]:
    """The text, without Lapel's own version, so that a new one changes nothing."""
    with tempfile.TemporaryDirectory() as folder:
        store = lapel.open_store(Path(folder) / "shop", create=True, encoder="colour:")
        with store:
            told: dict[str, Any] = create_app(store).openapi()
    told["info"].pop("version")
    return told


def text_hash(told: dict[str, Any]) -> str:
    """What stands in the generated file's first line."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


if __name__ == "__main__":
    text = openapi_text()
    Path(sys.argv[1]).write_text(json.dumps({**text, "x-hash": text_hash(text)}), encoding="utf-8")
