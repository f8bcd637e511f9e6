"""The file of an index in memory: a NumPy archive (``.npz``), whose ZIP keeps a checksum of each array.

It is written beside its place and moved there once it is on the disk, so that a crash leaves the old one.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from lapel.core.errors import InputError

LAYOUT = 6  # of what is in it; files of others are built again

Content = dict[str, Any]  # plain values and arrays, by name


def write_checked(path: Path | None, content: Content) -> None:
    """Write an index's file wholly, or not at all.

    Args:
        path: Where to.
        content: ``kind``, which says how it is opened, ``dim``, and what else it holds.

    Raises:
        InputError: there is no path.
        OSError: it cannot be written.
    """
    if path is None:
        raise InputError("This index was opened without a path, so it cannot be saved. Give open_index a path.")
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            np.savez(file, layout=LAYOUT, **content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    if hasattr(os, "O_DIRECTORY"):  # the new name itself must reach the disk; Windows has no such call and no such need
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read_checked(path: Path, kind: str, dim: int) -> Content:
    """What an index's file holds.

    Raises:
        InputError: it is damaged, or of another kind or width.
    """
    try:
        with path.open("rb") as file:
            archive = np.lib.npyio.NpzFile(file)  # reads an array, and compares its checksum, when it is asked for
            if archive["layout"] != LAYOUT:
                raise damaged(path, "another version of Lapel wrote it")
            if archive["kind"] != kind:
                raise InputError(
                    f"The saved index {path} is '{archive['kind']}'; '{kind}' was asked. Run 'lapel index rebuild'."
                )
            if archive["dim"] != dim:
                raise wrong_width(path, int(archive["dim"]), dim)
            return {name: value if value.ndim else value.item() for name, value in archive.items()}
    # The last two: a ZIP whose changed bytes say that it is packed or encrypted.
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, why: object) -> InputError:
    """The error for a saved index that cannot be read."""
    return InputError(
        f"The saved index {path} is damaged or no index: {why}. Run 'lapel index rebuild': it is built again from the"
        f" catalogue."
    )


def wrong_width(path: Path | str, found: int, dim: int) -> InputError:
    """The error for a saved index of another width than the model's."""
    return InputError(
        f"The saved index {path} holds vectors {found} wide; {dim} are needed."
        " Another model made it: run 'lapel index rebuild' after encoding with this one."
    )
