"""The package itself: light to import, its names sorted and real, its commands documented."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import lapel

HEAVY = ("torch", "faiss", "onnxruntime", "openvino", "streamlit", "sqlite3", "typer", "httpx")


def test_importing_it_is_light() -> None:
    code = f"import lapel, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_importing_the_command_line_is_light() -> None:
    """Each command loads what it needs: ``lapel --help`` waits for none of it."""
    code = "import lapel.apps.cli, sys; print(sorted(name for name in sys.modules if name.startswith('lapel.')))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    allowed = {"lapel.apps", "lapel.core", "lapel.service"}
    assert {".".join(name.split(".")[:2]) for name in eval(found)} == allowed
    code = f"import lapel.apps.cli, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "['typer']"


def test_searching_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import lapel; from PIL import Image\n"
        "print(lapel.open_encoder('default').encode([Image.new('RGB', (60, 80))]).shape)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "(1, 128)"


def test_public_names_are_sorted_and_there() -> None:
    assert sorted(lapel.__all__) == lapel.__all__
    assert all(getattr(lapel, name) is not None for name in lapel.__all__)
    assert dir(lapel) == lapel.__all__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = lapel.nothing


def test_command_pages_are_those_of_the_help() -> None:
    from lapel.apps.cli.reference import pages

    folder = Path(__file__).parents[1] / "docs" / "commands"
    written = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    assert written == pages(), "run 'make docs'"
