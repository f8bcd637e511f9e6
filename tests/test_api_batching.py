"""Pictures of different requests in one batch: what waits goes together, one's trouble is its own, and too much is
refused."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

import lapel
from api_shop import COLOURS, fill, picture, running
from lapel.apps.api import ApiOptions, create_app
from lapel.apps.api.batching import Batcher, Gate
from lapel.apps.api.problems import ProblemError
from lapel.apps.api.serving import Buckets
from lapel.core.errors import ImageError


class Slow:
    """Answers a batch when it is let go; remembers what came together."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)

    def __call__(self, queries: Sequence[Any], encoded: Callable[[], None]) -> list[Any]:
        self.batches.append(list(queries))
        self.begun.release()
        assert self.go.wait(30)
        return [ImageError("poison") if query == "poison" else f"answer to {query}" for query in queries]


def test_what_waits_is_the_next_batch_and_nobody_waits_for_more() -> None:
    slow = Slow()
    batcher = Batcher(slow, workers=1)

    async def ask() -> list[Any]:
        first = asyncio.ensure_future(batcher.search("a"))  # type: ignore[arg-type]
        await asyncio.to_thread(slow.begun.acquire)  # alone, it goes at once
        rest = [asyncio.ensure_future(batcher.search(each)) for each in ("b", "poison", "c")]  # type: ignore[arg-type]
        gone = asyncio.ensure_future(batcher.search("gone"))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        gone.cancel()  # its client hung up
        slow.go.set()
        return await asyncio.gather(first, *rest, return_exceptions=True)

    answers = asyncio.run(ask())
    batcher.close()
    assert answers[0] == "answer to a"
    assert answers[1] == "answer to b"
    assert isinstance(answers[2], ImageError)
    assert answers[3] == "answer to c"
    assert slow.batches[0] == ["a"]
    assert slow.batches[1][:3] == ["b", "poison", "c"]


def test_a_batch_that_breaks_does_not_end_the_worker() -> None:
    def search(queries: Sequence[Any], encoded: Callable[[], None]) -> list[Any]:
        encoded()
        if "bad" in queries:
            raise MemoryError
        return list(queries)

    batcher = Batcher(search, workers=1)
    with pytest.raises(MemoryError):
        asyncio.run(batcher.search("bad"))  # type: ignore[arg-type]
    assert asyncio.run(batcher.search("good")) == "good"  # type: ignore[arg-type,comparison-overlap]
    batcher.close()
    with pytest.raises(ProblemError, match="being stopped"):
        asyncio.run(batcher.search("late"))  # type: ignore[arg-type]


def test_the_next_batch_is_taken_when_the_encoder_is_free_and_not_before() -> None:
    batches: list[list[str]] = []
    encoding, free, done = threading.Semaphore(0), threading.Semaphore(0), threading.Event()

    def search(queries: Sequence[Any], encoded: Callable[[], None]) -> list[Any]:
        batches.append(list(queries))
        encoding.release()
        assert free.acquire(timeout=30)
        encoded()
        assert done.wait(30)  # looking up goes on while the other worker encodes
        return list(queries)

    batcher = Batcher(search, workers=2)

    async def ask() -> list[Any]:
        first = asyncio.ensure_future(batcher.search("a"))  # type: ignore[arg-type]
        await asyncio.to_thread(encoding.acquire)
        rest = [asyncio.ensure_future(batcher.search(each)) for each in "bcd"]  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        assert batches == [["a"]]  # the second worker waits for the encoder
        free.release()
        await asyncio.to_thread(encoding.acquire)
        assert batches == [["a"], ["b", "c", "d"]]
        assert not first.done()
        free.release()
        done.set()
        return await asyncio.gather(first, *rest)

    assert asyncio.run(ask()) == ["a", "b", "c", "d"]
    batcher.close()


def test_the_gate_counts_single_pictures_and_bulks_alike() -> None:
    gate = Gate(40)
    with gate.enter(), gate.enter(1000):  # a bulk takes as many places as a batch has
        assert gate.taken == 33
        with pytest.raises(ProblemError) as refused, gate.enter(1000):
            pass
        assert refused.value.status == 429
        assert int(refused.value.headers["Retry-After"]) >= 1
        with ExitStack() as seven:
            for _ in range(7):
                seven.enter_context(gate.enter())
            with pytest.raises(ProblemError), gate.enter():
                pass
    assert gate.refused == 2
    small = Gate(2)
    with small.enter(1000):  # a bulk enters a small gate too, alone
        assert small.taken == 2
    assert small.taken == 0


def test_a_bucket_fills_with_time() -> None:
    buckets = Buckets(60)  # one a second, and twelve at once
    assert [buckets.take("a", now=0.0) for _ in range(12)] == [0.0] * 12
    assert buckets.take("a", now=0.0) == pytest.approx(1.0)
    assert buckets.take("b", now=0.0) == 0.0
    assert buckets.take("a", now=1.01) == 0.0
    assert buckets.take("a", now=1.01) > 0


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def store(shop: Path) -> Iterator[lapel.Store]:
    with lapel.open_store(shop) as store:
        yield store


def post(client: httpx.Client, colour: str = "red") -> httpx.Response:
    return client.post("/v1/search", files={"image": ("a.png", picture(COLOURS[colour]))})


def test_words_do_not_wait_behind_pictures_and_too_many_pictures_are_refused(
    store: lapel.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, busy, go = store.search_batch, threading.Event(), threading.Event()

    def slow(queries: Sequence[Any], encoded: Callable[[], None]) -> Any:
        busy.set()
        assert go.wait(60)
        return own(queries, encoded=encoded)

    monkeypatch.setattr(store, "search_batch", slow)
    with running(create_app(store, ApiOptions(pictures=2))) as client, ThreadPoolExecutor(2) as pool:
        pictures = [pool.submit(post, client, colour) for colour in ("red", "blue")]
        assert busy.wait(60)
        until = 200
        while "lapel_pictures_under_way 2.0" not in client.get("/metrics").text and until:
            until -= 1
        words = client.post("/v1/search", json={"text": "green", "k": 1})  # answered while no picture is
        assert words.json()["hits"][0]["product"]["id"] == "green"
        assert client.get("/v1/products/red/similar").status_code == 200
        for refused in (
            post(client),
            client.post("/v1/products:bulk", content='{"id": "x"}', headers={"content-type": "application/x-ndjson"}),
        ):
            assert refused.status_code == 429
            assert refused.json()["code"] == "overloaded"
            assert int(refused.headers["retry-after"]) >= 1
        large = {"content-type": "multipart/form-data; boundary=x", "content-length": "9000000"}
        early = client.build_request("POST", "/v1/search", content=b"", headers=large)
        with socket.create_connection((client.base_url.host, client.base_url.port), timeout=30) as wire:
            head = "".join(f"{name}: {value}\r\n" for name, value in early.headers.items())
            wire.sendall(f"POST /v1/search HTTP/1.1\r\n{head}\r\n".encode())
            assert wire.recv(4096).startswith(b"HTTP/1.1 429")  # before its body came
        go.set()
        assert [each.result().json()["hits"][0]["product"]["id"] for each in pictures] == ["red", "blue"]
        assert 'lapel_refused_total{why="overloaded"} 2.0' in client.get("/metrics").text


def test_answers_in_a_batch_are_those_of_each_alone(store: lapel.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = [lapel.Query(image=picture(colour), k=3) for colour in COLOURS.values()]
    poisoned = lapel.Query(image=picture((7, 7, 7)), facets=("no such field",))
    encoder, own, encoded = store._context.encoder, store._context.encoder.encode, []

    def counting(images: Any) -> Any:
        every = list(images)
        encoded.append(len(every))
        return own(every)

    monkeypatch.setattr(encoder, "encode", counting)
    together = store.search_batch([*queries[:2], poisoned, *queries[2:]])
    assert encoded == [5]  # one failed, and the others were not encoded again
    assert isinstance(together.pop(2), lapel.LapelError)
    assert together == [store.search(query=query) for query in queries]


def test_a_pace_that_is_too_fast_is_told_when_to_come_back(store: lapel.Store) -> None:
    with running(create_app(store, ApiOptions(rate=5))) as client:
        answers = [client.get("/v1/products") for _ in range(2)]
    assert [each.status_code for each in answers] == [200, 429]
    assert answers[1].json()["code"] == "too_many_requests"
    assert int(answers[1].headers["retry-after"]) >= 1
