"""Places people name, a folder, a ZIP or the beginning of an address, as the prefixes that addresses of photos have."""

from __future__ import annotations

import os
from urllib.parse import quote

from lapel.core.errors import SourceError


def prefixes(old: str, new: str) -> list[tuple[str, str]]:
    """What addresses begin with before and after photos move from one place to another.

    Raises:
        SourceError: a place is missing, or both are the same.
    """
    if not old.strip() or not new.strip():
        raise SourceError(
            "A move needs two places, the old and the new one: folders, ZIPs or the beginnings of addresses."
        )
    pairs = [(_prefix(old), _prefix(new))]
    if all(prefix.startswith("file://") for prefix in pairs[0]):
        # ZIPs that lie in the folder move with it.
        pairs.append((_zip(pairs[0][0]), _zip(pairs[0][1])))
    if pairs[0][0] == pairs[0][1]:
        raise SourceError(f"'{old}' and '{new}' are the same place, so nothing moves.")
    return pairs


def _zip(prefix: str) -> str:
    return "zip://" + prefix.removeprefix("file://")


def _prefix(place: str) -> str:
    if "://" in place:
        scheme, _, rest = place.strip().rstrip("/").partition("://")
        if scheme.lower() in (
            "http",
            "https",
        ):  # as links are kept: these two parts are the same in upper and lower case
            host, slash, path = rest.partition("/")
            return f"{scheme.lower()}://{host.lower()}{slash}{path}"
        return f"{scheme}://{rest}"
    path = os.path.abspath(place)  # noqa: PTH100 - keeps symbolic links, as the addresses do
    quoted = quote(os.fsencode(path))
    return f"zip://{quoted}!" if path.lower().endswith(".zip") else f"file://{quoted}"
