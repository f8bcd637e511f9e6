"""A shop's picture server: ETags, redirects, pages in the place of pictures, endless bodies, and whatever a test makes
it say."""

from __future__ import annotations

import ssl
from collections import deque

from loopback.http import Answer, LoopbackServer, Request


class ShopServer(LoopbackServer):
    """``pictures`` by path; ``says`` are answers by path; ``faults`` are given first, one a request."""

    def __init__(self, *, latency: float = 0.0, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(latency=latency, tls=tls)
        self.pictures: dict[str, bytes] = {}
        self.says: dict[str, Answer] = {}
        self.faults: deque[Answer | None] = deque()
        self.tags = True

    def answer(self, request: Request) -> Answer:
        fault = self.faults.popleft() if self.faults else None
        if fault is not None:
            return fault
        if request.path in self.says:
            return self.says[request.path]
        if request.path not in self.pictures:
            return Answer(404)
        data = self.pictures[request.path]
        tag = f'"{hash(data)}"'
        if self.tags and request.headers.get("if-none-match") == tag:
            return Answer(304, b"", {"ETag": tag})
        return Answer(200, data, {"Content-Type": "image/png", **({"ETag": tag} if self.tags else {})})
