"""``lapel mcp`` with the official client: over stdio and over HTTP, with pictures, keys and what is refused."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

import lapel
from api_shop import COLOURS, fill, picture, running
from lapel.apps.api.assistants import http_app
from lapel.apps.api.serving import ApiOptions, Serving
from lapel.client import scoped_key

TOOLS = {"search", "similar", "explain", "facets", "product", "together", "substitutes", "duplicates"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("shop"))


@contextmanager
def served(shop: Path) -> Iterator[str]:
    """The address of the tools over HTTP."""
    with lapel.open_store(shop) as store:
        serving = Serving(store, ApiOptions())
        try:
            with running(http_app(serving)) as client:
                yield f"{client.base_url}/mcp"
        finally:
            serving.close()


def ask(address: str, work: Callable[[Client], Awaitable[Any]], key: str = "") -> Any:
    async def run() -> Any:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60) as http,
            Client(streamable_http_client(address, http_client=http)) as client,
        ):
            return await work(client)

    return asyncio.run(run())


def told(result: Any) -> dict[str, Any]:
    assert not result.is_error, result.content
    found: dict[str, Any] = json.loads(result.content[0].text)
    assert found == result.structured_content
    return found


def ids(result: Any) -> list[str]:
    return [hit["product"]["id"] for hit in told(result)["hits"]]


def test_over_stdio_an_assistant_searches_and_sees_pictures(shop: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "mine.png").write_bytes(picture(COLOURS["blue"]))
    line = ["-m", "lapel", "mcp", "--store", str(shop), "--pictures", str(own)]

    async def run() -> None:
        async with Client(StdioServerParameters(command=sys.executable, args=line, env=dict(os.environ))) as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == TOOLS
            found = await client.call_tool("search", {"image_path": str(own / "mine.png"), "k": 2})
            assert ids(found)[0] == "blue"
            pictures = [each for each in found.content if each.type == "image"]
            assert len(pictures) == 2
            assert pictures[0].mime_type == "image/jpeg"
            assert base64.b64decode(pictures[0].data)[:3] == b"\xff\xd8\xff"
            for outside in (shop / "catalog.sqlite", own / ".." / "own.png", Path("/etc/hostname")):
                refused = await client.call_tool("search", {"image_path": str(outside)})
                assert refused.is_error
                assert "outside of the folders" in refused.content[0].text  # type: ignore[union-attr]

    asyncio.run(run())


def test_over_http_every_tool_answers(shop: Path) -> None:
    async def work(client: Client) -> None:
        data = base64.b64encode(picture(COLOURS["red"])).decode()
        assert ids(await client.call_tool("search", {"image_base64": data, "k": 1})) == ["red"]
        assert ids(await client.call_tool("search", {"text": "green shirt", "k": 1})) == ["green"]
        assert "red" not in ids(await client.call_tool("similar", {"product_id": "red"}))
        why = told(await client.call_tool("explain", {"hit_id": "blue", "text": "blue shirt"}))
        assert "cannot say more" in why["notes"][0]
        counts = told(await client.call_tool("facets", {"names": ["gender"]}))
        assert counts == {"facets": {"gender": {"Women": 2, "Men": 2}}}
        copies = told(await client.call_tool("duplicates", {"image_base64": data}))
        assert [(each["product_id"], each["kind"]) for each in copies["copies"]] == [("red", "exact")]
        one = await client.call_tool("product", {"product_id": "white"})
        assert told(one)["product"]["title"] == "White shirt"
        assert [each.type for each in one.content] == ["text", "image"]
        for name, given, words in (
            ("product", {"product_id": "nobody"}, "unknown_product"),
            ("together", {"product_id": "nobody"}, "unknown_product"),
            ("search", {"image_base64": "no picture!"}, "no base64"),
            ("search", {"image_base64": base64.b64encode(b"text").decode()}, "picture"),
            ("search", {"image_url": "http://127.0.0.1/a.png"}, "127.0.0.1"),
            ("search", {"image_url": "file:///etc/passwd"}, "http"),
            ("search", {"image_path": "/etc/hostname"}, "outside of the folders"),
            ("search", {"text": "x", "where": ["colour"]}, "colour"),
            ("search", {}, ""),
            ("duplicates", {}, "Give a picture"),
        ):
            refused = await client.call_tool(name, given)
            assert refused.is_error, name
            assert words in refused.content[0].text  # type: ignore[union-attr]

    with served(shop) as address:
        ask(address, work)
        with httpx2.Client() as http:
            answer = http.post(address, json={}, headers={"Host": "elsewhere.example"})
            assert (answer.status_code, answer.json()["code"]) == (421, "unknown_host")
            answer = http.post(address, json={}, headers={"Origin": "https://elsewhere.example"})
            assert (answer.status_code, answer.json()["code"]) == (403, "origin_refused")


def test_an_assistant_is_told_what_goes_with_a_product_and_in_its_place(tmp_path: Path) -> None:
    shop = fill(tmp_path)
    table = tmp_path / "photos" / "products.csv"
    kinds = (("red", "Shirts"), ("blue", "Shirts"), ("green", "Skirts"))
    rows = [f"{name},{name.title()},{kind},Women,10,EUR,{name}.png" for name, kind in kinds]
    table.write_text("id,title,category,gender,price,currency,pictures\n" + "\n".join(rows), encoding="utf-8")
    with lapel.open_store(shop) as store:
        store.add(table)
        key = store.keys.create(("search",))

    async def work(client: Client) -> None:
        for tool, other, words in (
            ("substitutes", "blue", "in place of 'Red': the same kind"),
            ("together", "green", "goes with 'Red'"),
        ):
            found = await client.call_tool(tool, {"product_id": "red", "where": ["price<20"], "k": 2})
            assert ids(found) == [other]
            assert told(found)["hits"][0]["reason"]["words"].startswith(words)
            assert [each.type for each in found.content] == ["text", "image"]

    async def limited(client: Client) -> None:
        found = told(await client.call_tool("together", {"product_id": "red"}))
        assert found["hits"][0]["product"] == {"id": "green", "title": "Green"}
        assert found["hits"][0]["reason"] is None

    with served(shop) as address:
        ask(address, work, key)
        ask(address, limited, scoped_key(key, fields=["title"]))


def test_an_assistant_is_told_why(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        found = await client.call_tool("explain", {"hit_id": "blue", "product_id": "red"})
        assert {"score", "shared", "different", "notes"} == set(told(found))
        assert found.content[1].type == "image"

    with served(fill(tmp_path, "small")) as address:
        ask(address, work)


def test_keys_limit_assistants_as_they_limit_programs(tmp_path: Path) -> None:
    shop = fill(tmp_path)
    with lapel.open_store(shop) as store:
        key, events = store.keys.create(("search",)), store.keys.create(("events",))
    women = scoped_key(key, where=["gender=Women"], fields=["title", "gender"])

    async def work(client: Client) -> None:
        found = await client.call_tool("search", {"text": "shirt", "k": 10})
        assert set(ids(found)) == {"red", "green"}
        assert set(told(found)["hits"][0]["product"]) == {"id", "title", "gender"}
        for name, given in (
            ("product", {"product_id": "blue"}),
            ("explain", {"hit_id": "blue", "text": "shirt"}),
            ("similar", {"product_id": "blue"}),
            ("substitutes", {"product_id": "blue"}),
            ("together", {"product_id": "red", "where": ["price<20"]}),
            ("facets", {"names": ["price"]}),
            ("search", {"text": "shirt", "where": ["price<20"]}),
        ):
            assert (await client.call_tool(name, given)).is_error, name

    with served(shop) as address:
        ask(address, work, women)
        with httpx2.Client() as http:
            assert http.post(address, json={}).status_code == 401
            assert http.post(address, json={}, headers={"Authorization": f"Bearer {events}"}).status_code == 403
