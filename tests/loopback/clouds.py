"""Google Cloud Storage's JSON API and Azure's Blob service as far as reading a bucket asks them.

with GoogleCloud() as cloud:
    cloud.objects["pictures/a.jpg"] = data
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from xml.sax.saxutils import escape

from loopback.http import Answer, LoopbackServer, Request

BUCKET = "shop"
DATE = "Thu, 01 Jan 2026 00:00:00 GMT"


class Cloud(LoopbackServer):
    """One bucket, called ``shop``."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, bytes] = {}

    def below(self, prefix: str) -> dict[str, bytes]:
        return {key: self.objects[key] for key in sorted(self.objects) if key.startswith(prefix)}


class GoogleCloud(Cloud):
    """https://docs.cloud.google.com/storage/docs/json_api/v1"""

    def answer(self, request: Request) -> Answer:
        path = request.path.removeprefix("/download").removeprefix("/storage/v1/b/")
        bucket, _, key = path.partition("/o")
        if bucket != BUCKET:
            return self._json({"error": {"code": 404, "message": "The specified bucket does not exist."}}, 404)
        if not key:
            prefix = request.query.get("prefix", "")
            return self._json({"items": [self._about(name) for name in self.below(prefix)]})
        key = key.removeprefix("/")
        if key not in self.objects:
            return self._json({"error": {"code": 404, "message": f"No such object: {bucket}/{key}"}}, 404)
        if request.query.get("alt") == "media":
            return Answer(200, self.objects[key], {"Content-Type": "application/octet-stream"})
        return self._json(self._about(key))

    def _about(self, key: str) -> dict[str, str]:
        data = self.objects[key]
        digest = hashlib.md5(data).digest()
        changed = "2026-01-01T00:00:00.000Z"
        return {
            "bucket": BUCKET,
            "name": key,
            "size": str(len(data)),
            "md5Hash": b64encode(digest).decode(),
            "etag": digest.hex(),
            "timeCreated": changed,
            "updated": changed,
            "contentType": "application/octet-stream",
        }

    def _json(self, value: object, status: int = 200) -> Answer:
        return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json; charset=UTF-8"})


class AzureCloud(Cloud):
    """https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api, of the account ``someone``."""

    def answer(self, request: Request) -> Answer:
        made = self._answer(request)
        if request.method == "HEAD":
            made.headers.setdefault("Content-Length", str(len(made.body)))
            made.body = b""
        return made

    def _answer(self, request: Request) -> Answer:
        container, _, key = request.path.removeprefix("/someone/").partition("/")
        if container != BUCKET:
            return self._missing("ContainerNotFound")
        if request.query.get("comp") == "list":
            return self._list(request.query.get("prefix", ""), request.query.get("delimiter", ""))
        if not key:
            return Answer(200, b"", {"ETag": '"0"', "Last-Modified": DATE})
        if key not in self.objects:
            return self._missing("BlobNotFound")
        data = self.objects[key]
        headers = {
            "ETag": f'"{hashlib.md5(data).hexdigest()}"',
            "Last-Modified": DATE,
            "x-ms-creation-time": DATE,
            "x-ms-blob-type": "BlockBlob",
            "Content-Type": "application/octet-stream",
            "Accept-Ranges": "bytes",
        }
        asked = request.headers.get("x-ms-range", request.headers.get("range", ""))
        if not asked:
            return Answer(200, data, headers)
        first, _, last = asked.removeprefix("bytes=").partition("-")
        some = data[int(first) : int(last) + 1 if last else None]
        end = int(first) + len(some) - 1
        return Answer(206, some, headers | {"Content-Range": f"bytes {first}-{end}/{len(data)}"})

    def _list(self, prefix: str, delimiter: str) -> Answer:
        folders, blobs = [], []
        for key, data in self.below(prefix).items():
            folder, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            if found:
                name = f"<BlobPrefix><Name>{escape(prefix + folder + delimiter)}</Name></BlobPrefix>"
                if name not in folders:
                    folders.append(name)
                continue
            about = {
                "Last-Modified": DATE,
                "Creation-Time": DATE,
                "Etag": hashlib.md5(data).hexdigest(),
                "Content-Length": len(data),
                "Content-Type": "application/octet-stream",
                "BlobType": "BlockBlob",
            }
            properties = "".join(f"<{name}>{value}</{name}>" for name, value in about.items())
            blobs.append(f"<Blob><Name>{escape(key)}</Name><Properties>{properties}</Properties></Blob>")
        body = (
            f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults'
            f' ContainerName="{BUCKET}"><Prefix>{escape(prefix)}</Prefix>'
            f"<Blobs>{''.join(folders + blobs)}</Blobs><NextMarker/></EnumerationResults>"
        )
        return Answer(200, body.encode(), {"Content-Type": "application/xml"})

    def _missing(self, code: str) -> Answer:
        head = '<?xml version="1.0" encoding="utf-8"?>'
        body = f"{head}<Error><Code>{code}</Code><Message>It is not there.</Message></Error>"
        return Answer(404, body.encode(), {"Content-Type": "application/xml", "x-ms-error-code": code})
