"""Logging in to Google Drive in a browser, once: what Google gives is kept for later runs."""

from __future__ import annotations

import json
from pathlib import Path

from google_auth_oauthlib.flow import InstalledAppFlow

from lapel.core.errors import InputError
from lapel.core.text import reason_of
from lapel.sources.drive.account import READ, WRITE, login_file


def login(client: Path, *, writes: bool = False, browser: bool = True) -> Path:
    """Ask in a browser for permission, and keep it in a file that only this user can read.

    Args:
        client: The JSON of an OAuth client of type "Desktop app", from the Google Cloud console.
        writes: Also ask for the permission to upload.
        browser: Open a browser; otherwise the address is only printed.

    Returns:
        The file.

    Raises:
        InputError: the client's file cannot be used.
    """
    try:
        flow = InstalledAppFlow.from_client_secrets_file(str(client), scopes=[WRITE if writes else READ])
    except (OSError, ValueError, LookupError) as error:
        raise InputError(
            f"The OAuth client {client} cannot be used: {reason_of(error)}. Download the JSON of a 'Desktop app'"
            f" client from the Google Cloud console."
        ) from error
    made = flow.run_local_server(port=0, open_browser=browser)
    kept = login_file()
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.touch(mode=0o600)
    kept.chmod(0o600)
    kept.write_text(json.dumps({"type": "authorized_user", **json.loads(made.to_json())}), encoding="utf-8")
    return kept
