"""Documents cannot lie: links lead somewhere, commands and options exist, README's Python runs, decisions are
listed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

import lapel
from lapel.apps.cli import app
from lapel.samples import draw_wardrobe
from lapel.service import AddRequest, add_to_store

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert missing == []


def commands() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shell = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ")
    return [line.split("#")[0].strip() for line in shell.splitlines() if line.startswith("lapel ")]


@pytest.mark.parametrize("command", commands())
def test_commands_in_the_readme_exist_with_their_options(command: str) -> None:
    words = shlex.split(command)
    text = CliRunner().invoke(app, [words[1], "--help"]).output
    if "COMMAND" in text and not words[2].startswith("-"):  # a group, such as lapel model compare
        text = CliRunner().invoke(app, [*words[1:3], "--help"]).output
    options = [word for word in words if word.startswith("-")]
    assert [option for option in options if not re.search(rf"(^|\s){re.escape(option)}[\s,]", text)] == []


def test_the_python_in_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_wardrobe(tmp_path / "wardrobe", products=14)
    add_to_store(tmp_path / ".demo" / "shop", AddRequest(tmp_path / "wardrobe" / "products.csv"))
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(block, "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 3
    assert printed[0].startswith("1 ")
    assert len(block.splitlines()) <= 5


GUIDES = sorted([ROOT / "docs" / "index.md", *ROOT.glob("docs/guides/*.md")])


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_the_python_in_a_guide_runs(
    guide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a folder of photos, of which those in navy/ have a word, and a shop that was filled with it."""
    (tmp_path / "photos" / "navy").mkdir(parents=True)
    for name, colour in {"0": "red", "1": "green", "2": "white", "navy/3": "navy", "navy/4": "#202050"}.items():
        Image.new("RGB", (120, 160), colour).save(tmp_path / "photos" / f"{name}.jpg")
    monkeypatch.chdir(tmp_path)
    with lapel.open_store("shop", create=True, encoder="colour:") as shop:
        shop.add("photos")
    blocks = re.findall(r"```python\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, guide.name, "exec"), {"__name__": "guide"})
        assert capsys.readouterr().out.strip()


def test_what_the_readme_asks_the_sample_shop_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_wardrobe(tmp_path / "wardrobe", products=20)
    store = tmp_path / ".demo" / "shop"
    add_to_store(store, AddRequest(tmp_path / "wardrobe" / "products.csv"), encoder="colour:")
    monkeypatch.chdir(tmp_path)
    asked = [shlex.split(command)[1:] for command in commands() if ".demo/shop" in command]
    assert asked
    for words in asked:
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0
        lines = done.stdout.splitlines()
        assert lines[0].startswith(("rank\tscore\tid\t", "rank\tid\t"))  # answers, and rows of recommendations
        assert len(lines) > 3


def test_no_command_of_the_readme_names_a_product_that_only_we_have() -> None:
    named = {command.partition("--product ")[2].split()[0] for command in commands() if "--product " in command}
    assert all(re.fullmatch(r"W\d{4}", product) for product in named)


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\((\d{4}-[^)]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(path.name for path in folder.glob("0*.md"))


def test_make_targets_named_in_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        target for path in DOCUMENTS for target in re.findall(r"`?\bmake ([a-z]+)`", path.read_text(encoding="utf-8"))
    }
    assert named <= targets


def test_every_test_that_the_table_of_real_files_names_is_there() -> None:
    named = re.findall(r"`(test_\w+)::(test_\w+)`", (ROOT / "docs" / "real-files.md").read_text(encoding="utf-8"))
    assert len(named) > 100
    missing = [
        f"{file}::{name}"
        for file, name in named
        if f"def {name}(" not in (ROOT / "tests" / f"{file}.py").read_text("utf-8")
    ]
    assert missing == []
