"""What an operating system says reaches people as words: no numbers of errors, wherever it happens."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

from lapel.core.errors import InputError, ModelError, SourceError, TableError
from lapel.core.text import reason_of


def raised(outer: BaseException, inner: BaseException) -> BaseException:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (PermissionError(errno.EACCES, "Permission denied", "/shop/a.jpg"), "Permission denied"),
        (TimeoutError(), "TimeoutError"),
        (ValueError("no digits in it."), "no digits in it"),
        (raised(RuntimeError("[Errno -2] Name or service not known"), socket.gaierror(-2, "not known")), "not known"),
        (raised(RuntimeError("Unable to find the server at a.example"), socket.gaierror(-2, "not known")), ("Unable to"
        " find the"
        " server at"
        " a.example")),
        (raised(RuntimeError(), OSError(errno.ENOSPC, "No space left on device")), "No space left on device"),
        (RuntimeError("[Errno 5] only told"), "RuntimeError"),
    ],
)  # fmt: skip
def test_a_reason_is_words(error: BaseException, said: str) -> None:
    assert reason_of(error) == said


def test_files_that_cannot_be_read_are_told_in_words(tmp_path: Path) -> None:
    from data_set_copies import _lines
    from lapel.encoders.model import read_model
    from lapel.sources.records import SheetRecords
    from lapel.training.data import read_label_map

    (tmp_path / "model.json").mkdir()
    folder = tmp_path / "a.xlsx"
    folder.mkdir()
    with pytest.raises(ModelError, match=r"model\.json cannot be read: Is a directory\. Copy"):
        read_model(tmp_path)
    with pytest.raises(InputError, match=r"cannot be read: Is a directory\. Copy"):
        _lines(folder)
    with pytest.raises(TableError, match="as a workbook") as error:
        SheetRecords(folder)
    assert "rrno" not in str(error.value)
    with pytest.raises(TableError, match=r"cannot be read: Is a directory\."):
        read_label_map(folder)


def test_drive_out_of_reach_are_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("googleapiclient", reason="pip install 'lapel[drive]'")
    from google.auth.exceptions import TransportError

    from lapel.sources.drive import account as module

    def attempt(_: object) -> None:
        transport = TransportError("[Errno -2] Name or service not known")  # type: ignore[no-untyped-call]
        raise raised(transport, socket.gaierror(-2, "Name not known"))

    monkeypatch.setattr("lapel.sources.drive.account.time.sleep", lambda _: None)
    google = module.Account(module.DriveSettings(key="k", tries=2, endpoint="http://127.0.0.1:9/"))
    with pytest.raises(SourceError, match=r"did not give the folder in 2 tries: Name not known\. Run .* again later"):
        google.patiently(attempt, "the folder")
    google.close()
