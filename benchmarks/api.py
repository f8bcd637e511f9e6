"""How many pictures a second the HTTP API answers, against the encoder's own batch rate in the same run.

    python benchmarks/api.py --store shop --images ../shared/data/fashion-products/images.zip

One process serves the store (``lapel api``), this one asks in rounds: the engine by itself, one client, ``--clients``,
and three times as many as the gate has places. Those who are refused come back so that three times as many pictures
come as the server can answer; with ``--impatient`` after 50 ms, which is some fifty times as many. On a machine that
does other work as well, wall times say little and ratios of the same run more; ``encoder_over_api_processor`` is the
share of the server's processor time that the encoder alone would have taken, which is what the rate's ratio would be
where this process had a processor of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import httpx
import numpy as np

import lapel
from lapel.core.images import decode

BATCH = 32
OVERLOAD = 3  # times as many pictures come as are answered at full load
IMPATIENT_SECONDS = 0.05  # that an impatient client waits, far less than it was told


def pictures(path: Path, count: int) -> list[bytes]:
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith(".jpg"))
        chosen = np.random.default_rng(7).choice(len(names), count, replace=False)
        return [archive.read(names[at]) for at in chosen]


class Alone:
    """The engine by itself, measured between the rounds of the server, as other work on the machine comes and goes.

    Attributes:
        encode, search: Wall seconds of batches, through the encoder alone and through whole searches.
        encode_processor: Processor seconds of the same batches through the encoder.
        one: Wall seconds of one picture through the encoder.
    """

    def __init__(self, store: lapel.Store, data: Sequence[bytes]) -> None:
        self._store = store
        self._images = [decode(each) for each in data[:BATCH]]
        self.encode: list[float] = []
        self.encode_processor: list[float] = []
        self.search: list[float] = []
        self.one: list[float] = []
        self.measure()  # warms
        for each in (self.encode, self.encode_processor, self.search, self.one):
            each.clear()

    def measure(self) -> None:
        encoder = self._store._context.encoder
        begun, spent = time.perf_counter(), time.process_time()
        encoder.encode(self._images)
        self.encode.append(time.perf_counter() - begun)
        self.encode_processor.append(time.process_time() - spent)
        begun = time.perf_counter()
        self._store.search_batch([lapel.Query(image=image) for image in self._images])
        self.search.append(time.perf_counter() - begun)
        for image in self._images[:10]:
            begun = time.perf_counter()
            encoder.encode([image])
            self.one.append(time.perf_counter() - begun)


def load(
    port: int, data: Sequence[bytes], clients: int, seconds: float, rest: float = 0.0
) -> tuple[list[float], int, float]:
    """Seconds of each answer, how many were refused, and how long it took. The requests are made beforehand and the
    answers not read further than their length, as both share the processor with the server."""
    requests = [_request(each) for each in data]
    took: list[float] = []
    refused = 0
    begun = time.monotonic()

    async def ask(number: int) -> None:
        nonlocal refused
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        at = number
        while time.monotonic() < begun + seconds:
            sent = time.perf_counter()
            writer.write(requests[at % len(requests)])
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
            at += clients
            if b" 200 " in head[:16]:
                took.append(time.perf_counter() - sent)
            else:
                assert b" 429 " in head[:16], body
                assert int(head.partition(b"retry-after: ")[2].partition(b"\r\n")[0]) >= 1
                refused += 1
                await asyncio.sleep(rest)
        writer.close()

    async def all_of_them() -> None:
        await asyncio.gather(*(ask(number) for number in range(clients)))

    asyncio.run(all_of_them())
    return took, refused, time.monotonic() - begun


def _request(picture: bytes) -> bytes:
    """A form with one picture."""
    head = b'--edge\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
    body = head + picture + b"\r\n--edge--\r\n"
    kind = b"Content-Type: multipart/form-data; boundary=edge"
    line = b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\nContent-Length: %d\r\n\r\n"
    return line % (kind, len(body)) + body


def processor_seconds(process: subprocess.Popen[bytes]) -> float:
    """What a process has had of the processor so far, of all its threads."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def batches(address: str) -> tuple[float, float]:
    """How many pictures and batches there were so far."""
    rows = httpx.get(f"{address}/metrics", timeout=60).text.splitlines()
    told = dict(row.rsplit(" ", 1) for row in rows if row.startswith("lapel_batch_pictures_"))
    return float(told["lapel_batch_pictures_sum"]), float(told["lapel_batch_pictures_count"])


def percentile(took: Sequence[float], share: float) -> float:
    return 1000 * float(np.percentile(took, 100 * share)) if took else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="a ZIP of JPEGs")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=4, help="of each kind of load, the engine alone before each")
    parser.add_argument("--seconds", type=float, default=8, help="of each")
    parser.add_argument("--places", type=int, default=48, help="of the gate")
    parser.add_argument("--impatient", action="store_true", help="refused clients come back after 50 ms")
    asked = parser.parse_args()
    data = pictures(asked.images, 256)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    line = [sys.executable, "-m", "lapel", "api", "--store", str(asked.store), "--port", str(port), "--no-keys"]
    server = subprocess.Popen([*line, "--rate", "1000000", "--pictures", str(asked.places)], env=os.environ)
    address = f"http://127.0.0.1:{port}"
    loads = {"one": 1, "full": asked.clients, "over": 3 * asked.places}
    took: dict[str, list[float]] = {name: [] for name in loads}
    refused = dict.fromkeys(loads, 0)
    seconds = dict.fromkeys(loads, 0.0)
    processor = dict.fromkeys(loads, 0.0)
    sizes = [0.0, 0.0]
    try:
        while True:
            try:
                if httpx.get(f"{address}/v1/ready", timeout=60).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.2)
        load(port, data, 4, 3)  # warm
        with lapel.open_store(asked.store, read_only=None) as store:
            alone, products = Alone(store, data), store.count()
            for _ in range(asked.rounds):
                for name, clients in loads.items():
                    alone.measure()
                    before, spent = batches(address), processor_seconds(server)
                    usual = clients * seconds["full"] / (OVERLOAD * max(1, len(took["full"])))
                    rest = IMPATIENT_SECONDS if asked.impatient else usual
                    answered, more, lasted = load(port, data, clients, asked.seconds, rest if name == "over" else 0.0)
                    processor[name] += processor_seconds(server) - spent
                    if name == "full":
                        sizes = [old + new - was for old, new, was in zip(sizes, batches(address), before, strict=True)]
                    took[name] += answered
                    refused[name] += more
                    seconds[name] += lasted
            alone.measure()
    finally:
        server.terminate()
        server.wait()
    encode, search = (BATCH / float(np.mean(each)) for each in (alone.encode, alone.search))
    encode_processor = 1000 * float(np.mean(alone.encode_processor)) / BATCH
    rate = len(took["full"]) / seconds["full"]
    told = {
        "products": products,
        "encoder_batch_rate": encode,
        "search_batch_rate": search,
        "api_rate": rate,
        "api_rate_over_encoder": rate / encode,
        "api_rate_over_search_batches": rate / search,
        "encoder_processor_ms": encode_processor,
        "api_processor_ms": 1000 * processor["full"] / max(1, len(took["full"])),
        "encoder_over_api_processor": encode_processor * len(took["full"]) / (1000 * processor["full"]),
        "full_mean_batch": sizes[0] / max(1, sizes[1]),
        "one_encode_ms": percentile(alone.one, 0.5),
        "one_client_p50_ms": percentile(took["one"], 0.5),
        "one_client_p50_over_encode": percentile(took["one"], 0.5) / percentile(alone.one, 0.5),
        "full_p50_ms": percentile(took["full"], 0.5),
        "full_p99_ms": percentile(took["full"], 0.99),
        "full_refused": refused["full"],
        "overload_offered_over_full": (len(took["over"]) + refused["over"]) / seconds["over"] / rate,
        "overload_rate_over_full": len(took["over"]) / seconds["over"] / rate,
        "overload_accepted_p99_ms": percentile(took["over"], 0.99),
        "overload_p99_over_full_p99": percentile(took["over"], 0.99) / percentile(took["full"], 0.99),
        "overload_refused": refused["over"],
    }
    print(json.dumps({name: round(value, 3) for name, value in told.items()}, indent=2))


if __name__ == "__main__":
    main()
