"""Google Drive v3 as far as Lapel asks it: folders, shortcuts, shared drives, media with ranges, resumable uploads,
tokens, faults.

with DriveServer() as drive:
    folder = drive.folder("Shop") drive.file("a.jpg", data, folder)
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from loopback.http import Answer, LoopbackServer, Request

FOLDER = "application/vnd.google-apps.folder"
SHORTCUT = "application/vnd.google-apps.shortcut"
ROOT = "root-of-my-drive"
REASONS = {
    401: "authError",
    403: "userRateLimitExceeded",
    404: "notFound",
    429: "rateLimitExceeded",
    500: "internalError",
    503: "backendError",
}


@dataclass
class File:
    id: str
    name: str
    kind: str
    parents: list[str]
    data: bytes = b""
    md5: str = ""
    trashed: bool = False
    target: str = ""
    drive: str = ""
    readers: set[str] | None = None  # None: everybody
    more: dict[str, Any] = field(default_factory=dict)


def error(status: int, reason: str = "", message: str = "") -> Answer:
    reason = reason or REASONS[status]
    details = {"code": status, "message": message or reason, "errors": [{"reason": reason, "domain": "global"}]}
    return Answer(status, json.dumps({"error": details}).encode(), {"Content-Type": "application/json"})


def as_json(value: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


class DriveServer(LoopbackServer):
    """``faults`` are answered first, one a request; ``fault`` decides for each request otherwise (None: answer it)."""

    def __init__(self, *, latency: float = 0.0, page: int = 1000) -> None:
        super().__init__(latency=latency)
        self.files: dict[str, File] = {}
        self.page = page
        self.faults: deque[Answer | str] = deque()  # an answer, "cut" or "slow"
        self.fault: Callable[[Request], Answer | str | None] = lambda _: None
        self.tokens: dict[str, str] = {}  # token -> account
        self.keys = {"good-key"}
        self.show: Callable[[File], bytes] = lambda file: file.data  # what an embedding page gets of a picture
        self.uploads: dict[str, tuple[dict[str, Any], bytearray, int]] = {}
        self.number = 0
        self.folder("My Drive", id=ROOT, parent="")

    # --- what lies there ---

    def _add(self, name: str, kind: str, parent: str, **more: Any) -> str:
        self.number += 1
        made = more.pop("id", f"id_{self.number:05d}-Ab")
        above = self.files.get(parent)
        more.setdefault("drive", above.drive if above else "")
        self.files[made] = File(made, name, kind, [parent] if parent else [], **more)
        return made

    def folder(self, name: str, parent: str = ROOT, **more: Any) -> str:
        return self._add(name, FOLDER, parent, **more)

    def file(self, name: str, data: bytes, parent: str = ROOT, kind: str = "image/jpeg", **more: Any) -> str:
        more.setdefault("md5", hashlib.md5(data).hexdigest())
        return self._add(name, kind, parent, data=data, **more)

    def shortcut(self, name: str, target: str, parent: str = ROOT, **more: Any) -> str:
        return self._add(name, SHORTCUT, parent, target=target, **more)

    def change(self, file_id: str, data: bytes) -> None:
        self.files[file_id].data, self.files[file_id].md5 = data, hashlib.md5(data).hexdigest()

    # --- answers ---

    def answer(self, request: Request) -> Answer:
        fault = self.faults.popleft() if self.faults else self.fault(request)
        if isinstance(fault, Answer):
            return fault
        made = self._answer(request)
        if fault == "cut":
            made.cut = len(made.body) // 2
        elif fault == "slow":
            made.drip = 0.01
        return made

    def _answer(self, request: Request) -> Answer:
        if request.path == "/token":
            return self._token(request)
        if request.path == "/thumbnail":  # as drive.google.com has it: for everybody, without a token
            file = self.files.get(request.query.get("id", ""))
            if file is None or file.trashed or file.readers is not None:
                return Answer(404)
            return Answer(200, self.show(file), {"Content-Type": file.kind})
        account = self._account(request)
        if account is None:
            return error(400, "keyInvalid", "API key not valid.") if "key" in request.query else error(401)
        if request.path.startswith("/upload/"):
            return self._upload(request)
        if request.path == "/drive/v3/about":
            return as_json({"user": {"emailAddress": account}})
        if request.path == "/drive/v3/files":
            if request.method == "POST":
                return as_json(self._describe(self.files[self._create(json.loads(request.body))]))
            return self._list(request, account)
        file = self.files.get(request.path.removeprefix("/drive/v3/files/"))
        if request.path == "/drive/v3/files/root":
            file = self.files[ROOT]
        if file is None or not _shared(file, account):
            return error(404, message="File not found.")
        if request.query.get("alt") != "media":
            return as_json(self._describe(file))
        if file.more.get("locked"):
            return error(403, "cannotDownloadFile", "This file cannot be downloaded by the user.")
        return _media(file, request)

    def _token(self, request: Request) -> Answer:
        if b"revoked" in request.body:
            return as_json({"error": "invalid_grant", "error_description": "Token has been expired or revoked."}, 400)
        self.number += 1
        token = f"token-{self.number}"
        self.tokens[token] = "robot@shop.example" if b"jwt-bearer" in request.body else "anna@shop.example"
        return as_json({"access_token": token, "expires_in": 3600, "token_type": "Bearer"})

    def _account(self, request: Request) -> str | None:
        if "key" in request.query:
            return "anyone" if request.query["key"] in self.keys else None
        return self.tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "))

    def _list(self, request: Request, account: str) -> Answer:
        query = re.fullmatch(r"'([^']+)' in parents and trashed = false", request.query["q"])
        if query is None:
            return error(400, "invalid", f"Invalid value: {request.query['q']}")
        parent = self.files.get(query[1])
        if parent is None or not _shared(parent, account):
            return error(404, message="File not found.")
        if parent.drive and request.query.get("driveId") != parent.drive:
            return as_json({"files": []})
        inside = [file for file in self.files.values() if query[1] in file.parents and not file.trashed]
        size = min(self.page, int(request.query["pageSize"]))
        start = int(request.query.get("pageToken", 0))
        some = inside[start : start + size]
        more = {"nextPageToken": str(start + size)} if start + size < len(inside) else {}
        return as_json({"files": [self._describe(file) for file in some], **more})

    def _describe(self, file: File) -> dict[str, Any]:
        made: dict[str, Any] = {
            "id": file.id,
            "name": file.name,
            "mimeType": file.kind,
            "modifiedTime": "2026-01-01T00:00:00Z",
            "trashed": file.trashed,
        }
        if file.drive:
            made["driveId"] = file.drive
        if file.kind == SHORTCUT:
            target = self.files.get(file.target)
            made["shortcutDetails"] = {
                "targetId": file.target,
                "targetMimeType": target.kind if target else "image/jpeg",
            }
        elif not file.kind.startswith("application/vnd.google-apps."):
            made["size"] = str(len(file.data))
            if file.md5:
                made["md5Checksum"] = file.md5
        return made

    # --- uploads ---

    def _create(self, said: dict[str, Any], data: bytes = b"", kind: str = "") -> str:
        parent = said.get("parents", [ROOT])[0]
        parent = ROOT if parent == "root" else parent
        kind = said.get("mimeType", kind or FOLDER)
        return self.folder(said["name"], parent) if kind == FOLDER else self.file(said["name"], data, parent, kind)

    def _upload(self, request: Request) -> Answer:
        if "upload_id" not in request.query:
            said = json.loads(request.body or b"{}")
            self.number += 1
            size = int(request.headers["x-upload-content-length"])
            said.setdefault("mimeType", request.headers["x-upload-content-type"])
            if request.method == "PATCH":
                said["changes"] = request.path.rpartition("/")[2]
            self.uploads[str(self.number)] = (said, bytearray(), size)
            where = f"{self.root}upload/drive/v3/files?uploadType=resumable&upload_id={self.number}"
            return Answer(200, b"", {"Location": where})
        said, got, size = self.uploads[request.query["upload_id"]]
        place = request.headers["content-range"]
        if not place.startswith("bytes */"):
            start = int(place.removeprefix("bytes ").partition("-")[0])
            assert start == len(got), "a part was sent twice or left out"
            got += request.body
        if len(got) < size:
            return Answer(308, b"", {"Range": f"bytes=0-{len(got) - 1}" if got else ""})
        if "changes" in said:
            self.change(said["changes"], bytes(got))
            return as_json(self._describe(self.files[said["changes"]]))
        if "made" not in said:
            said["made"] = self._create(said, bytes(got))
        return as_json(self._describe(self.files[said["made"]]))


def _shared(file: File, account: str) -> bool:
    return file.readers is None or account in file.readers


def _media(file: File, request: Request) -> Answer:
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if wanted is None:
        return Answer(200, file.data, {"Content-Type": file.kind})
    start, end = int(wanted[1]), int(wanted[2] or len(file.data) - 1)
    if start >= len(file.data):
        return Answer(416, b"")
    place = f"bytes {start}-{min(end, len(file.data) - 1)}/{len(file.data)}"
    return Answer(206, file.data[start : end + 1], {"Content-Type": file.kind, "Content-Range": place})
