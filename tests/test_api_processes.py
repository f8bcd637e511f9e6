"""Two processes serve one store while a third writes to it; one is stopped while requests are under way."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

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


def test_two_servers_and_a_writer(tmp_path: Path) -> None:
    shop = fill(tmp_path)
    more = tmp_path / "more"
    more.mkdir()
    for number in range(30):
        (more / f"grey{number}.png").write_bytes(picture((60 + 4 * number,) * 3))
    with server(shop) as (first, one), server(shop) as (_, two):
        statuses: list[int] = []
        wrong: list[str] = []
        over = threading.Event()

        def ask(address: str) -> None:
            with httpx.Client(base_url=address, timeout=60) as client:
                while not over.is_set():
                    answer = client.post("/v1/search", files={"image": ("a.png", picture(COLOURS["red"]))})
                    statuses.append(answer.status_code)
                    if answer.status_code != 200 or answer.json()["hits"][0]["product"]["id"] != "red":
                        wrong.append(answer.text)

        askers = [threading.Thread(target=ask, args=(str(client.base_url),)) for client in (one, two)]
        for thread in askers:
            thread.start()
        with lapel.open_store(shop) as store:  # the third process's work: this one's own
            assert store.add(more).counts.products_added == 30
        made = one.put("/v1/products/new", files=[("images", ("n.png", picture((250, 0, 250))))])
        assert made.status_code == 201, made.text
        over.set()
        for thread in askers:
            thread.join()
        assert statuses
        assert not wrong
        for client in (one, two):  # what the others wrote is there at once
            assert client.get("/v1/products").json()["total"] == 35
            found = client.post("/v1/search", files={"image": ("n.png", picture((250, 0, 250)))}).json()
            assert found["hits"][0]["product"]["id"] == "new"

        # A restart: a request whose head and half of whose body are there gets its answer; the other server goes on.
        host, port = one.base_url.host, one.base_url.port
        body = b'{"text": "shirt"}'
        head = (
            f"POST /v1/search HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        )
        with socket.create_connection((host, port), timeout=60) as wire:
            wire.sendall(f"{head}\r\n\r\n".encode() + body[:5])
            time.sleep(0.3)  # it has begun to read
            first.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            wire.sendall(body[5:])
            assert wire.recv(4096).startswith(b"HTTP/1.1 200")
        assert first.wait(60) in (0, -signal.SIGTERM)
        assert two.get("/v1/ready").status_code == 200


def test_a_client_that_hangs_up_leaves_nothing_half(tmp_path: Path) -> None:
    shop = fill(tmp_path)
    with server(shop) as (_, client):
        host, port = client.base_url.host, client.base_url.port
        head = (
            f"PUT /v1/products/half HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 1000"
        )
        with socket.create_connection((host, port), timeout=60) as wire:
            wire.sendall(f"{head}\r\n\r\n".encode() + b'{"title": "Half"')
        assert client.get("/v1/products/half").status_code == 404
        assert client.get("/v1/products").json()["total"] == 4
        assert client.get("/v1/ready").status_code == 200
        injected = b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: a\r\n b\r\nConnection: close\r\n\r\n"
        with socket.create_connection((host, port), timeout=60) as wire:
            wire.sendall(injected)
            answer = wire.recv(65536)
        assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 400"))
        assert b"a\r\n b" not in answer


def test_a_rolling_restart_loses_no_request(tmp_path: Path) -> None:
    """As a proxy does it: who gets no answer from one process, as that is going, asks the other one."""
    shop = fill(tmp_path)
    addresses: list[str] = []
    over = threading.Event()
    lost: list[list[str]] = []
    answered: list[str] = []

    def ask() -> None:
        number = 0
        with httpx.Client(timeout=60) as client:
            while not over.is_set():
                tried = [*addresses[number % len(addresses) :], *addresses]
                for address in tried:
                    try:
                        answer = client.post(
                            f"{address}/v1/search", files={"image": ("a.png", picture(COLOURS["blue"]))}
                        )
                    except httpx.TransportError:
                        continue
                    if answer.status_code != 503:
                        answered.append(answer.json()["hits"][0]["product"]["id"])
                        break
                else:
                    lost.append(tried)
                number += 1

    def stop(process: subprocess.Popen[bytes]) -> None:
        before = len(answered)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM)
        until = time.monotonic() + 60
        while len(answered) < before + 5 and time.monotonic() < until:
            time.sleep(0.01)

    with server(shop) as (first, one), server(shop) as (second, two):
        addresses += [str(one.base_url), str(two.base_url)]
        askers = [threading.Thread(target=ask) for _ in range(3)]
        for thread in askers:
            thread.start()
        with server(shop) as (_, three):
            try:
                stop(first)
                addresses[0] = str(three.base_url)
                stop(second)
            finally:
                over.set()
                for thread in askers:
                    thread.join()
    assert not lost
    assert len(answered) >= 10
    assert set(answered) == {"blue"}
