"""Writes one page per command from its own help: ``python -m lapel.apps.cli.reference docs/commands``. A test compares
them."""

from __future__ import annotations

import sys
from pathlib import Path

from typer.testing import CliRunner

from lapel.apps.cli import app

WIDTH = {"COLUMNS": "100", "TERMINAL_WIDTH": "100"}  # so that every machine wraps alike


def pages() -> dict[str, str]:
    """File name -> text of each page."""
    shown = [command for command in app.registered_commands if command.callback and not command.hidden]
    names = [str(command.name or command.callback.__name__) for command in shown if command.callback]
    names += [str(group.name) for group in app.registered_groups if group.hidden is not True]
    index = "# Commands\n\n" + "".join(f"- [lapel {name}](lapel-{name}.md)\n" for name in names)
    return {"README.md": index, **{f"lapel-{name}.md": _page(name) for name in names}}


def _page(name: str) -> str:
    groups = {group.name: group.typer_instance for group in app.registered_groups}
    inner = [
        str(command.name or command.callback.__name__)
        for command in getattr(groups.get(name), "registered_commands", ())
        if command.callback
    ]
    return f"# lapel {name}\n" + "".join(_help(words) for words in ([name], *([name, word] for word in inner)))


def _help(words: list[str]) -> str:
    # NO_COLOR and a fixed width make the text the same everywhere.
    result = CliRunner().invoke(app, [*words, "--help"], prog_name="lapel", env=WIDTH, terminal_width=100)
    if result.exit_code:  # an empty page must not pass for help
        raise RuntimeError(f"lapel {' '.join(words)} --help failed: {result.output}") from result.exception
    text = "\n".join(line.rstrip() for line in result.output.strip().splitlines())
    return f"\n```text\n{text}\n```\n"


def write(folder: Path) -> None:
    """Write every page, and remove those of commands that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = pages()
    for path in folder.glob("*.md"):
        if path.name not in texts:
            path.unlink()
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
