"""Two processes serve one store while a third writes to it; one is stopped while requests are under way."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

import lapel
from api_shop import COLOURS, fill, picture


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def server(shop: Path) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    """``lapel api`` in a process of its own."""
    port = free_port()
    line = [sys.executable, "-m", "lapel", "api", "--store", str(shop), "--port", str(port), "--no-keys"]
    process = subprocess.Popen(line, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            until = time.monotonic() + 120
            while True:
                try:
                    if client.get("/v1/ready").status_code == 200:
                        break
                except httpx.TransportError:
                    assert time.monotonic() < until
                    assert process.poll() is None
                    time.sleep(0.05)
            yield process, client
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("processes"))


@pytest.fixture(scope="module")
def servers(shop: Path) -> Iterator[list[tuple[subprocess.Popen[bytes], httpx.Client]]]:
    """Two processes that serve the shop, for all tests here: each starts for seconds."""
    with server(shop) as first, server(shop) as second:
        yield [first, second]


@contextmanager
def asking(*askers: Callable[[httpx.Client], None]) -> Iterator[None]:
    """Meanwhile each of these asks, over and over, with a client of its own."""
    over = threading.Event()

    def ask(asker: Callable[[httpx.Client], None]) -> None:
        with httpx.Client(timeout=60) as client:
            while not over.wait(0.01):
                asker(client)

    threads = [threading.Thread(target=ask, args=(asker,)) for asker in askers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_two_servers_and_a_writer(
    servers: list[tuple[subprocess.Popen[bytes], httpx.Client]], shop: Path, tmp_path: Path
) -> None:
    for number in range(30):
        (tmp_path / f"grey{number}.png").write_bytes(picture((60 + 4 * number,) * 3))
    one, two = (client for _, client in servers)
    statuses: list[int] = []
    wrong: list[str] = []

    def ask(address: str, client: httpx.Client) -> None:
        answer = client.post(f"{address}/v1/search", files={"image": ("a.png", picture(COLOURS["red"]))})
        statuses.append(answer.status_code)
        if answer.status_code != 200 or answer.json()["hits"][0]["product"]["id"] != "red":
            wrong.append(answer.text)

    with asking(*(partial(ask, str(client.base_url).rstrip("/")) for client in (one, two))):
        with lapel.open_store(shop) as store:  # the third process's work: this one's own
            assert store.add(tmp_path).counts.products_added == 30
        made = one.put("/v1/products/new", files=[("images", ("n.png", picture((250, 0, 250))))])
        assert made.status_code == 201, made.text
    assert statuses
    assert not wrong
    for client in (one, two):  # what the others wrote is there at once
        assert client.get("/v1/products").json()["total"] == 35
        found = client.post("/v1/search", files={"image": ("n.png", picture((250, 0, 250)))}).json()
        assert found["hits"][0]["product"]["id"] == "new"


def test_a_client_that_hangs_up_leaves_nothing_half(
    servers: list[tuple[subprocess.Popen[bytes], httpx.Client]],
) -> None:
    _, client = servers[1]
    before = client.get("/v1/products").json()["total"]
    host, port = client.base_url.host, client.base_url.port
    head = f"PUT /v1/products/half HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 1000"
    with socket.create_connection((host, port), timeout=60) as wire:
        wire.sendall(f"{head}\r\n\r\n".encode() + b'{"title": "Half"')
    assert client.get("/v1/products/half").status_code == 404
    assert client.get("/v1/products").json()["total"] == before >= 4
    assert client.get("/v1/ready").status_code == 200
    injected = b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: a\r\n b\r\nConnection: close\r\n\r\n"
    with socket.create_connection((host, port), timeout=60) as wire:
        wire.sendall(injected)
        answer = wire.recv(65536)
    assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 400"))
    assert b"a\r\n b" not in answer


def test_a_rolling_restart_loses_no_request(
    servers: list[tuple[subprocess.Popen[bytes], httpx.Client]], shop: Path
) -> None:
    """As a proxy does it: who gets no answer from one process, as that is going, asks the other one. And a request
    whose head and half of whose body are there gets its answer. The last test of these two servers."""
    (first, one), (second, two) = servers
    addresses = [str(one.base_url).rstrip("/"), str(two.base_url).rstrip("/")]
    lost: list[list[str]] = []
    answered: list[str] = []
    turns = itertools.count()

    def ask(client: httpx.Client) -> None:
        turn, tried = next(turns), []
        for place in range(turn, turn + 4):
            tried.append(addresses[place % 2])  # as it is now: a proxy learns of the new one meanwhile
            try:
                answer = client.post(f"{tried[-1]}/v1/search", files={"image": ("a.png", picture(COLOURS["blue"]))})
            except httpx.TransportError:
                continue
            if answer.status_code != 503:
                answered.append(answer.json()["hits"][0]["product"]["id"])
                return
        lost.append(tried)

    def gone(process: subprocess.Popen[bytes]) -> None:
        before = len(answered)
        assert process.wait(60) in (0, -signal.SIGTERM)
        until = time.monotonic() + 60
        while len(answered) < before + 5 and time.monotonic() < until:
            time.sleep(0.01)

    with server(shop) as (_, three), asking(ask, ask, ask):
        body = b'{"text": "shirt"}'
        head = (
            f"POST /v1/search HTTP/1.1\r\nHost: {one.base_url.host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection((one.base_url.host, one.base_url.port), timeout=60) as wire:
            wire.sendall(head.encode() + body[:5])
            time.sleep(0.3)  # it has begun to read
            first.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            wire.sendall(body[5:])
            assert wire.recv(4096).startswith(b"HTTP/1.1 200")
        gone(first)
        assert two.get("/v1/ready").status_code == 200
        addresses[0] = str(three.base_url).rstrip("/")
        second.send_signal(signal.SIGTERM)
        gone(second)
    assert not lost
    assert len(answered) >= 10
    assert set(answered) == {"blue"}
