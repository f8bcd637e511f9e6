"""Events and rows over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import lapel
from api_shop import fill, serving_store
from lapel.client import scoped_key


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("api"))


@pytest.fixture(scope="module")
def client(shop: Path) -> Iterator[httpx.Client]:
    with serving_store(shop) as opened:
        yield opened


def event(name: str, product: str = "red", kind: str = "like") -> dict[str, object]:
    return {"id": name, "person": "anna \U0001f457", "product": product, "kind": kind, "time": 1_795_946_400}


def test_events_go_in_and_the_next_row_knows_them(client: httpx.Client) -> None:
    told = client.post("/v1/events", json={"events": [event("1"), event("1"), {"id": "x"}, event("2", "later")]}).json()
    assert (told["read"], told["added"], told["duplicates"], told["rejected"], told["unknown"]) == (4, 2, 1, 1, 1)
    assert told["problems"][0]["where"] == "event 3"
    lines = "\n".join(map(json.dumps, [event("3", "blue", "dismiss")])) + "\nnonsense\n"
    sent = client.post("/v1/events", content=lines, headers={"content-type": "application/x-ndjson"}).json()
    assert (sent["added"], sent["rejected"]) == (1, 1)
    row = client.post("/v1/recommend", json={"person": "anna \U0001f457", "k": 4}).json()
    found = [hit["product"]["id"] for hit in row["hits"]]
    assert "blue" not in found
    assert row["hits"][0]["reason"]["words"] == "because you liked 'Red shirt'"
    assert row["list_id"]
    beside = client.post("/v1/recommend", json={"product_id": "red", "where": ["gender=Women"]}).json()
    assert [hit["product"]["id"] for hit in beside["hits"]] == ["green"]


def test_a_row_can_be_asked_for_by_an_address(client: httpx.Client) -> None:
    params = {"product_id": "red", "kind": "similar", "k": 2, "where": ["gender=Women", "price<100"], "seed": 1}
    beside = client.get("/v1/recommend", params=params)
    assert [hit["product"]["id"] for hit in beside.json()["hits"]] == ["green"]
    assert beside.headers["cache-control"] == "no-store"
    assert len(client.get("/v1/recommend", params={"basket": ["red", "blue"], "exclude": ["green"]}).json()["hits"]) < 2
    assert client.get("/v1/recommend?k=3").json()["hits"]
    for bad in ("k=0", "k=x", "kind=best", "product_id=nobody", "where=size%3DM", "seed=-1"):
        answer = client.get(f"/v1/recommend?{bad}")
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert 400 <= answer.status_code < 500, bad


def test_a_limited_key_gets_the_reasons_it_may_know(tmp_path: Path) -> None:
    shop = fill(tmp_path)
    with lapel.open_store(shop) as store:
        store.record([event("1")])
        key = store.keys.create(("search",))
    with serving_store(shop) as client:

        def reasons(asked: dict[str, object], **limits: object) -> list[object]:
            headers = {"Authorization": f"Bearer {scoped_key(key, **limits) if limits else key}"}  # type: ignore[arg-type]
            answer = client.post("/v1/recommend", json=asked, headers=headers).json()
            assert answer["hits"]
            return [hit["reason"] for hit in answer["hits"]]

        beside = {"product_id": "red", "kind": "similar"}
        full = reasons(beside)
        assert "looks like 'Red shirt'" in full[0]["words"]  # type: ignore[index]
        assert all(each["data"] for each in full)  # type: ignore[index]
        women = reasons(beside, where=["gender=Women"])
        assert women == [{**full[[each["words"] for each in full].index(one["words"])], "data": {}} for one in women]  # type: ignore
        assert None not in reasons(beside, fields=["title", "price"])
        assert set(reasons(beside, fields=["title"])) == {None}  # its words name the price
        anna = {"person": "anna \U0001f457"}
        assert "liked" in {each["kind"] for each in reasons(anna)}  # type: ignore[index]
        assert set(reasons(anna, fields=["title"])) == {None}  # a public key does not tell what somebody did
        assert {each["kind"] for each in reasons({}, where=["gender=Women"])} == {"popular"}  # type: ignore[index]


def test_a_person_is_given_out_and_erased(client: httpx.Client) -> None:
    client.post("/v1/events", json={"events": [{**event("b1"), "person": "bert/with slash"}]})
    assert len(client.get("/v1/people/bert/with slash").json()["events"]) == 1
    assert client.delete("/v1/people/bert/with slash").json() == {"events": 1, "lists": 0}
    assert client.get("/v1/people/bert/with slash").json()["events"] == []


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/events", "[]", 422),
        ("/v1/events", "{", 400),
        ("/v1/events", '{"events": 7}', 422),
        ("/v1/recommend", '{"k": 0}', 422),
        ("/v1/recommend", '{"kind": "best"}', 422),
        ("/v1/recommend", '{"product_id": "nobody"}', 404),
        ("/v1/recommend", '{"mood": "good"}', 422),
        ("/v1/recommend", "{", 422),
    ],
)
def test_what_cannot_be_asked_is_a_problem(client: httpx.Client, path: str, body: str, status: int) -> None:
    answer = client.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.status_code == status or (path == "/v1/recommend" and 400 <= answer.status_code < 500)


def test_keys_may_do_what_they_are_for(shop: Path) -> None:
    with lapel.open_store(shop) as store:
        events, search = store.keys.create(("events",)), store.keys.create(("search",))
    with serving_store(shop) as client:
        for key, path, allowed in (
            (events, "/v1/events", True),
            (search, "/v1/events", False),
            (search, "/v1/recommend", True),
            (events, "/v1/recommend", False),
        ):
            body = {"events": []} if path.endswith("events") else {}
            status = client.post(path, json=body, headers={"Authorization": f"Bearer {key}"}).status_code
            assert status == (200 if allowed else 403)
        assert client.delete("/v1/people/anna", headers={"Authorization": f"Bearer {events}"}).status_code == 403
