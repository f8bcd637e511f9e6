"""A small HTTP/1.1 server on 127.0.0.1, in a thread of its own: answers can be late, slow, cut short or broken.

A subclass gives ``answer``. It serves many connections at once in one thread, so that it costs a benchmark little.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True)
class Request:
    method: str
    path: str  # unquoted
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes
    target: str = ""  # as it was asked for: a whole address by those who take this server for a proxy


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None  # bytes of the body after which the connection is closed
    drip: float = 0.0  # seconds between pieces of a tenth of the body


class LoopbackServer:
    """Use it as a context manager; ``root`` is its address, ending in a slash."""

    def __init__(self, *, latency: float = 0.0, tls: ssl.SSLContext | None = None) -> None:
        self.latency = latency  # seconds added to each request
        self.tls = tls
        self.requests: list[Request] = []
        self.busy = self.busiest = 0  # requests under way, and the most at once
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def answer(self, request: Request) -> Answer:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.root = f"http{'s' if self.tls else ''}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Answer nobody any more. Stopping twice is fine."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**20, backlog=512, ssl=self.tls)

    async def _stop(self) -> None:
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, target, _ = head[0].split(" ")
                headers = {
                    name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
                }
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                url = urlsplit(target)
                query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
                request = Request(method, unquote(url.path), query, headers, body, target)
                self.requests.append(request)
                self.busy += 1
                self.busiest = max(self.busiest, self.busy)
                try:
                    if self.latency:
                        await asyncio.sleep(self.latency)
                    if not await self._send(writer, self.answer(request)):
                        return
                finally:
                    self.busy -= 1
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # a client that left, or the end of the server
        finally:
            writer.close()

    async def _send(self, writer: asyncio.StreamWriter, answer: Answer) -> bool:
        """Whether the connection goes on."""
        headers = {"Content-Length": str(len(answer.body)), **answer.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value)
        head = f"HTTP/1.1 {answer.status} Status\r\n{lines}\r\n".encode()
        if answer.cut is not None:
            writer.write(head + answer.body[: answer.cut])
            await writer.drain()
            return False
        if answer.drip:
            writer.write(head)
            step = max(1, len(answer.body) // 10)
            for at in range(0, len(answer.body), step):
                writer.write(answer.body[at : at + step])
                await writer.drain()
                await asyncio.sleep(answer.drip)
        else:
            writer.write(head + answer.body)
            await writer.drain()
        return True
