"""Pictures and archives that came with requests and lie in the store's own folder: which they are, and letting go of
them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lapel.engine.context import StoreContext
from lapel.sources.folder import to_path, to_uri
from lapel.sources.uploads import FOLDER

UPLOADS = "uploads"  # in the store: archives of pictures that came over the page


def own_prefix(folder: Path) -> str:
    """What the addresses of a store's uploaded pictures begin with."""
    return to_uri(str(folder.absolute() / FOLDER)) + "/"


def archive_prefix(folder: Path) -> str:
    """What the addresses of pictures in a store's uploaded archives begin with."""
    return "zip://" + to_uri(str(folder.absolute() / UPLOADS)).removeprefix("file://") + "/"


def own_pictures(context: StoreContext, uris: Iterable[str]) -> list[Path]:
    """The files of those addresses that are uploaded pictures of a store."""
    prefix = own_prefix(context.folder)
    return [Path(to_path(uri)) for uri in dict.fromkeys(uris) if uri.startswith(prefix)]


def let_go(context: StoreContext, pictures: Iterable[Path]) -> None:
    """Delete uploaded pictures that no product is shown by any more. Call it where nobody else uploads."""
    for path in pictures:
        if context.catalog.photo_of(path.name) is None:  # they are named by the hash of their bytes
            path.unlink(missing_ok=True)
