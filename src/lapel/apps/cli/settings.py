"""``lapel settings``: what can be set, what it is now, and where that comes from."""

from __future__ import annotations

from dataclasses import asdict

from lapel.apps.cli.console import JsonOption, print_json, print_table, say


def settings(as_json: JsonOption = False) -> None:
    """List every setting with its value, where that comes from, and its meaning.

    An option of a command comes before an environment variable, that before lapel.toml in this folder, that before
    lapel.toml in the user's folder for settings. Keys and tokens are not shown.
    """
    from lapel.service import list_settings, settings_files

    rows = list_settings()
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    columns = ("setting", "environment", "value", "from", "meaning")
    print_table(columns, [(row.name, row.variable, row.value, row.origin, row.meaning) for row in rows])
    say(f"Files, those that count more last: {', '.join(map(str, settings_files()))}", err=True)
