"""The HTTP API: every route in one process, answers and refusals."""

from __future__ import annotations

import base64
import io
import json
import shutil
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import lapel
from api_shop import COLOURS, fill, picture, serving_store
from lapel.apps.api import ApiOptions
from lapel.apps.api.problems import ProblemError
from lapel.apps.api.questions import Question, SearchRequest
from lapel.core.errors import InputError, TableError
from lapel.service import UploadedZip


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("filled"))


@pytest.fixture
def shop(filled: Path, tmp_path: Path) -> Path:
    return shutil.copytree(filled, tmp_path / "shop")


@pytest.fixture(scope="module")
def reader(filled: Path) -> Iterator[httpx.Client]:
    """A client of a shop that no test changes."""
    with serving_store(filled) as client:
        yield client


@pytest.fixture
def client(shop: Path) -> Iterator[httpx.Client]:
    with serving_store(shop) as client:
        yield client


def ids(answer: Any) -> list[str]:
    return [hit["product"]["id"] for hit in answer.json()["hits"]]


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The problem that an answer tells, after making sure that it is this one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (told["status"], told["code"], told["type"]) == (status, code, f"urn:lapel:problem:{code}")
    assert told["request_id"] == answer.headers["x-request-id"]
    return dict(told)


# --- search -----------------------------------------------------------------------------------------------------------


def test_a_picture_finds_its_product_and_the_answer_is_the_command_lines(client: httpx.Client, shop: Path) -> None:
    sent = {"image": ("a.png", picture(COLOURS["red"]), "image/png")}
    found = client.post("/v1/search", files=sent, data={"query": json.dumps({"k": 2, "facets": ["gender"]})})
    assert found.status_code == 200
    assert ids(found)[0] == "red"
    told = found.json()
    assert told["verdict"] == "found"
    assert told["facets"] == {"gender": {"Men": 2, "Women": 2}}
    assert set(told["took_ms"]) >= {"embed", "retrieve", "total"}
    assert told["query"]["k"] == 2
    with lapel.open_store(shop) as store:
        from lapel.service import answer_json

        query = lapel.Query(image=picture(COLOURS["red"]), k=2, facets=("gender",))
        local = answer_json(store, query, store.search(query=query), picture="image")
    for each in (told, local):
        each.pop("took_ms")
    assert told == json.loads(json.dumps(local))


def test_words_a_product_and_both_with_weights(reader: httpx.Client) -> None:
    assert ids(reader.post("/v1/search", json={"text": "blue", "k": 1})) == ["blue"]
    assert "red" not in ids(reader.post("/v1/search", json={"product_id": "red"}))
    assert "red" not in ids(reader.get("/v1/products/red/similar", params={"k": 3}))
    both = reader.post("/v1/search", json={"parts": [{"text": "blue"}, {"product_id": "green", "weight": -0.5}]}).json()
    assert [part["kind"] for part in both["understood"]] == ["text", "product"]
    assert len(both["hits"][0]["contributions"]) == 2


def test_filters_pages_and_groups(reader: httpx.Client) -> None:
    every = ids(reader.post("/v1/search", json={"text": "shirt", "k": 4}))
    pages = [ids(reader.post("/v1/search", json={"text": "shirt", "k": 1, "offset": at})) for at in range(5)]
    assert [page[0] for page in pages[:4]] == every
    assert pages[4] == []  # past the end
    men = reader.post("/v1/search", json={"text": "shirt", "where": ["gender=Men"]})
    assert set(ids(men)) == {"blue", "white"}
    assert men.json()["total"] == 2
    assert len(ids(reader.post("/v1/search", json={"text": "shirt", "group": "gender"}))) == 2
    nothing = reader.post("/v1/search", json={"text": "shirt", "where": "price>1000"}).json()
    assert (nothing["hits"], nothing["verdict"]) == ([], "nothing passes the filter")


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        ({}, 422, "A query is an image"),
        ({"text": "shirt", "k": 10_001}, 422, "k"),
        ({"text": "shirt", "k": 9_000, "offset": 9_000}, 422, "offset and k"),
        ({"text": "shirt", "wher": ["a=b"]}, 422, "'wher' is not known"),
        ({"text": "shirt", "where": ["size=M"]}, 422, "no field 'size'"),
        ({"text": "shirt", "where": ["nonsense"]}, 422, "not understood"),
        ({"text": "  "}, 422, "empty"),
        ({"text": "a\0b"}, 422, "NUL"),
        ({"text": 7}, 422, "text"),
        ({"text": "shirt", "least": ""}, 422, "least"),
        ({"text": "shirt", "least": 2}, 422, "least"),
        ({"text": "shirt", "least": True}, 422, "least"),
        ({"text": "shirt", "facets": ["a"] * 51}, 422, "facets"),
        ({"text": "shirt", "facets": 1}, 422, "facets"),
        ({"colour": "no such colour"}, 422, "colour"),
        ({"text": "shirt", "colour_weight": 2}, 422, "colour_weight"),
        ({"text": "shirt", "diversity": -1}, 422, "diversity"),
        ({"text": "shirt", "max_per": "brand"}, 422, "max_per"),
        ({"product_id": "nobody"}, 404, "no product 'nobody'"),
        ({"vector": [1.0, 0.0]}, 422, "Vectors of shape"),
        ({"vector": [1e300] * 128}, 422, "has length inf"),
        ({"image_url": "ftp://x/a.jpg"}, 422, "http"),
        ({"image_url": "http://127.0.0.1:9/a.jpg"}, 422, "not on the public internet"),
        ({"image_url": "file:///etc/passwd"}, 422, "http"),
    ],
)
def test_questions_that_cannot_be_asked(reader: httpx.Client, asked: dict[str, Any], status: int, words: str) -> None:
    answer = reader.post("/v1/search", json=asked)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]


@pytest.mark.parametrize("name", sorted(SearchRequest.model_fields))
def test_each_field_takes_or_refuses_any_value(name: str) -> None:
    """Never with an error of the server."""
    statuses = set()
    for value in ("teal", "same kind", "", 3, -1.5, 10**30, True, None, [], ["a"], [1], {}, {"colour": 2}, [{}]):
        try:
            Question(json.dumps({"text": "red", name: value}))
        except ProblemError as told:
            statuses.add(told.status)
    assert statuses <= {422}


def test_a_colour_a_verdict_and_a_look_over_http(reader: httpx.Client) -> None:
    """What a query holds can be asked for."""
    asked = {"text": "shirt", "colour": "red", "k": 3, "facets": True}
    answer = reader.post("/v1/search", json=asked)
    assert answer.status_code == 200, answer.text
    assert answer.json()["facets"]
    product = answer.json()["hits"][0]["product"]["id"]
    answer = reader.post("/v1/search", json={"product_id": product, "least": "nothing close"})
    assert answer.status_code == 200, answer.text
    problem(reader.post("/v1/search", json={"product_id": product, "least": "same kind"}), 422, "invalid_query")
    answer = reader.post("/v1/search", json={"product_id": product, "look": {"color": 2}})
    assert answer.status_code == 422
    assert "A look is how much shape, colour and pattern count" in answer.json()["detail"]


def test_pictures_that_cannot_be_used(reader: httpx.Client) -> None:
    def post(data: bytes, query: str = "{}") -> Any:
        return reader.post("/v1/search", files={"image": ("a.jpg", data)}, data={"query": query})

    assert "8" in problem(post(picture((9, 9, 9), (1, 1))), 422, "unusable_image")["detail"]
    problem(post(b""), 422, "unusable_image")
    problem(post(b"no picture"), 422, "unusable_image")
    problem(post(picture(COLOURS["red"])[:200]), 422, "unusable_image")
    problem(post(picture(COLOURS["red"]), "{"), 422, "invalid_fields")
    many = [("image", ("a.png", picture(COLOURS["red"]))), ("image", ("b.png", picture(COLOURS["red"])))]
    assert "parts" in problem(reader.post("/v1/search", files=many), 422, "invalid_fields")["detail"]


def test_bodies_that_are_too_large_cut_packed_or_of_another_kind(shop: Path) -> None:
    options = ApiOptions(picture_mb=0.01)
    with serving_store(shop, options) as client:
        large = {"image": ("a.bin", bytes(20_000))}
        problem(client.post("/v1/search", files=large), 413, "picture_too_large")
        huge = {"image": ("a.bin", bytes(2_000_000))}
        problem(client.post("/v1/search", files=huge), 413, "too_large")
        problem(
            client.post("/v1/search", content="text=red", headers={"content-type": "text/plain"}), 415, "unknown_type"
        )
        packed = {"content-type": "application/json", "content-encoding": "gzip"}
        problem(client.post("/v1/search", content=b"\x1f\x8b", headers=packed), 415, "packed_body")
        form = {"content-type": "multipart/form-data; boundary=x"}
        cut = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nabc'
        problem(client.post("/v1/search", content=cut, headers=form), 400, "broken_form")
        problem(
            client.post("/v1/search", content=cut, headers={"content-type": "multipart/form-data"}), 400, "broken_form"
        )


def test_a_slow_upload_is_ended_and_stores_nothing(shop: Path) -> None:
    with serving_store(shop, ApiOptions(body_seconds=0.3)) as client:
        address = (client.base_url.host, client.base_url.port)
        for method, path in (("POST", "/v1/search"), ("PUT", "/v1/products/slow")):
            head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            with socket.create_connection(address, timeout=30) as wire:
                wire.sendall(f"{head}Content-Length: 100\r\n\r\n".encode() + b'{"t')
                answer = wire.recv(65536)
            assert answer.startswith(b"HTTP/1.1 408"), answer
        assert client.get("/v1/products/slow").status_code == 404


@pytest.mark.parametrize(
    "sent",
    [
        f"GET /v1/recommend?person={70_000 * 'a'} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        f"GET /v1/health HTTP/1.1\r\nHost: localhost\r\nX-Long: {66_000 * 'a'}",
        "GET /v1/health HTTP/1.1\r\nHost: localhost\r\nX-Control: a\x01b\r\n\r\n",
        "POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        "POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        "no HTTP\r\n\r\n",
    ],
    ids=["address", "header", "control", "length", "two lengths", "line"],
)
def test_what_is_no_request_is_a_problem_too(reader: httpx.Client, sent: str) -> None:
    with socket.create_connection((reader.base_url.host, reader.base_url.port), timeout=30) as wire:
        wire.sendall(sent.encode())
        answer = b"".join(iter(lambda: wire.recv(65536), b""))
    head, _, body = answer.decode().partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 400 ")
    assert "application/problem+json" in head
    told = json.loads(body)
    assert (told["status"], told["code"]) == (400, "bad_request")
    assert f"x-request-id: {told['request_id']}" in head


def test_a_slow_head_is_ended(reader: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lapel.apps.api.protocol.HEAD_SECONDS", 0.2)
    with socket.create_connection((reader.base_url.host, reader.base_url.port), timeout=30) as wire:
        wire.sendall(b"GET /v1/health HTTP/1.1\r\nHost: loc")
        assert wire.recv(65536).startswith(b"HTTP/1.1 408 ")


def test_past_the_end_there_is_nothing_and_no_error(reader: httpx.Client) -> None:
    found = reader.post("/v1/search", json={"text": "shirt", "offset": 5_000}).json()
    assert (found["hits"], found["total"]) == ([], 4)
    assert reader.get("/v1/products?offset=9999").json()["products"] == []
    assert reader.get("/v1/products/red/similar?offset=4").json()["hits"] == []


# --- products ---------------------------------------------------------------------------------------------------------


def put(client: httpx.Client, name: str, colour: tuple[int, int, int], **fields: Any) -> Any:
    sent = [("images", (f"{name}.png", picture(colour)))]
    return client.put(f"/v1/products/{name}", files=sent, data={"product": json.dumps(fields)})


def test_a_product_comes_changes_and_goes(client: httpx.Client) -> None:
    made = put(
        client, "navy", (10, 20, 90), title="Navy coat", price=49.9, currency="EUR", attributes={"size": ["S", "M"]}
    )
    assert made.status_code == 201, made.text
    assert made.json()["product"]["price_minor"] == 4990
    assert ids(client.post("/v1/search", json={"text": "coat"}))[0] == "navy"
    found = client.get("/v1/products/navy")
    assert found.json()["product"]["attributes"] == {"size": ["S", "M"]}
    assert client.get("/v1/products/navy", headers={"if-none-match": found.headers["etag"]}).status_code == 304
    changed = client.patch(
        "/v1/products/navy", json={"price": "39.90", "title": None, "attributes": {"fabric": "wool"}}
    )
    product = changed.json()["product"]
    assert (product["price"], product["title"], product["attributes"]) == (
        39.9,
        "",
        {"size": ["S", "M"], "fabric": "wool"},
    )
    assert changed.json()["photos"] == found.json()["photos"]
    assert changed.headers["etag"] != found.headers["etag"]
    assert client.delete("/v1/products/navy").status_code == 204
    problem(client.get("/v1/products/navy"), 404, "unknown_product")
    problem(client.delete("/v1/products/navy"), 404, "unknown_product")


def test_another_currency_alone_keeps_the_amount(client: httpx.Client) -> None:
    """49 is 4,900 cents and 49 yen; what a currency has no coin for is refused."""
    put(client, "navy", (10, 20, 90), price=49, currency="EUR")
    for currency, minor in (("JPY", 49), ("KWD", 49_000), ("USD", 4900)):
        changed = client.patch("/v1/products/navy", json={"currency": currency}).json()["product"]
        assert (changed["price"], changed["price_minor"], changed["currency"]) == (49.0, minor, currency)
    client.patch("/v1/products/navy", json={"price": 49.9})
    problem(client.patch("/v1/products/navy", json={"currency": "JPY"}), 422, "invalid_product")
    problem(client.put("/v1/products/navy", json={"price": 49.999, "currency": "EUR"}), 422, "invalid_product")


def test_what_was_read_can_be_sent_back(client: httpx.Client) -> None:
    before = client.get("/v1/products/red").json()
    again = client.put("/v1/products/red", json=before["product"])
    assert again.status_code == 200, again.text
    assert again.json()["status"] == "unchanged"
    assert client.get("/v1/products/red").json() == before


def test_who_comes_late_does_not_overwrite(client: httpx.Client) -> None:
    tag = client.get("/v1/products/red").headers["etag"]
    assert client.patch("/v1/products/red", json={"title": "One"}, headers={"if-match": tag}).status_code == 200
    late = client.patch("/v1/products/red", json={"title": "Two"}, headers={"if-match": tag})
    problem(late, 412, "product_changed")
    problem(client.delete("/v1/products/red", headers={"if-match": tag}), 412, "product_changed")
    assert client.get("/v1/products/red").json()["product"]["title"] == "One"
    problem(client.put("/v1/products/new", json={"title": "x"}, headers={"if-match": "*"}), 412, "product_changed")


@pytest.mark.parametrize(
    "name",
    "Größe 42|衬衫/1|a b|..%2f..%2fetc|x'; DROP TABLE product; --|🧥|a?b#c|red/similar|red/variants|red/prices".split(
        "|"
    ),
)
def test_ids_of_any_letters(client: httpx.Client, name: str) -> None:
    from urllib.parse import quote

    path = f"/v1/products/{quote(name, safe='')}"
    sent = [("images", ("../../../etc/passwd", picture((90, 10, 90))))]
    made = client.put(path, files=sent, data={"product": json.dumps({"title": "Odd"})})
    assert made.status_code == 201, made.text
    assert client.get(path).json()["product"]["id"] == name
    for below in ("similar", "variants", "prices"):
        assert client.get(f"{path}/{below}").status_code == 200
    assert client.delete(path).status_code == 204


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"title": "No picture"}, "names no picture"),
        ({"pictures": ["/etc/passwd"]}, "no http or https link"),
        ({"pictures": ["file:///etc/passwd"]}, "no http or https link"),
        ({"pictures": ["s3://bucket/a.jpg"]}, "no http or https link"),
        ({"pictures": ["http://127.0.0.1:9/a.jpg"]}, "not on the public internet"),
        ({"pictures": ["data:image/png;base64,AAAA"]}, "Not a picture"),
        ({"pictures": ["data:image/png,AAAA"]}, "base64"),
        ({"price": 1}, "currency"),
        ({"price": 1.005, "currency": "EUR"}, "no amount"),
        ({"price": -1, "currency": "EUR"}, "price"),
        ({"titel": "x"}, "'titel' is not known"),
        ({"id": "other"}, "names the product 'other'"),
        ({"url": "javascript:alert(1)"}, "http"),
        ({"title": "a\0b"}, "NUL"),
    ],
)
def test_products_that_cannot_be_used_leave_nothing(
    client: httpx.Client, shop: Path, fields: dict[str, Any], words: str
) -> None:
    answer = client.put("/v1/products/bad", json=fields)
    assert answer.status_code == 422, answer.text
    assert words in answer.json()["detail"]
    problem(client.get("/v1/products/bad"), 404, "unknown_product")
    assert not list((shop / "pictures").glob("*/*"))


def test_a_bulk_tells_each_row(client: httpx.Client, shop: Path) -> None:
    inline = "data:image/png;base64," + base64.b64encode(picture((1, 99, 99))).decode()
    rows = [
        json.dumps({"id": "a", "title": "A", "pictures": [inline]}),
        '{"id": "broken"',
        json.dumps({"id": "b", "pictures": ["data:image/png;base64,AAAA"]}),
        json.dumps({"id": "c", "color": "red"}),
        json.dumps({"id": "red", "title": "Red coat"}),
        json.dumps({"id": "a", "title": "Twice", "pictures": [inline]}),
        json.dumps({"title": "No id", "pictures": [inline]}),
    ]
    answer = client.post("/v1/products:bulk", content="\n".join(rows), headers={"content-type": "application/x-ndjson"})
    told = [json.loads(line) for line in answer.text.splitlines()]
    assert [each["status"] for each in told] == ["added", *["rejected"] * 3, "updated", *["rejected"] * 2]
    assert [each["id"] for each in told] == ["a", "", "b", "c", "red", "a", ""]
    assert all(each["problems"] for each in told if each["status"] == "rejected")
    assert client.get("/v1/products/red").json()["product"]["title"] == "Red coat"
    assert client.get("/v1/products").json()["total"] == 5
    assert len(list((shop / "pictures").glob("*/*"))) == 1


def test_a_bulk_with_a_zip_of_pictures_and_a_bomb_in_it(client: httpx.Client) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a.png", picture((5, 5, 5)))
        made.writestr("bomb.png", bytes(30 * 2**20))
    rows = "\n".join(json.dumps({"id": name, "pictures": [f"{name}.png"]}) for name in ("a", "bomb", "missing"))
    sent = {"pictures": ("p.zip", file.getvalue()), "rows": ("rows.jsonl", rows)}
    answer = client.post("/v1/products:bulk", files=sent)
    told = [json.loads(line) for line in answer.text.splitlines()]
    assert [each["status"] for each in told] == ["added", "rejected", "rejected"]
    assert "unpacks to 30.0 MB" in told[1]["problems"][0]
    broken = client.post("/v1/products:bulk", files={"pictures": ("p.zip", b"no zip"), "rows": ("r", rows)})
    problem(broken, 422, "broken_zip")


def test_looking_through_products_and_their_values(reader: httpx.Client) -> None:
    page = reader.get("/v1/products", params={"limit": 3}).json()
    assert [each["product"]["id"] for each in page["products"]] == ["red", "blue", "green"]
    assert page["total"] == 4
    assert reader.get("/v1/products", params={"words": "green"}).json()["total"] == 1
    assert reader.get("/v1/products", params={"where": "gender=Men", "offset": 9}).json()["products"] == []
    facets = reader.get("/v1/facets", params={"name": "gender", "where": "price<35"}).json()
    assert facets == {"facets": {"gender": {"Women": 2, "Men": 1}}}
    problem(reader.get("/v1/facets", params={"name": "size"}), 422, "invalid_query")


def test_thumbnails_may_be_kept_for_ever(reader: httpx.Client) -> None:
    sha256 = reader.get("/v1/products/red").json()["photos"][0]["sha256"]
    found = reader.get(f"/v1/thumbnails/{sha256}")
    assert found.headers["content-type"] == "image/jpeg"
    assert "immutable" in found.headers["cache-control"]
    assert found.content[:2] == b"\xff\xd8"
    again = reader.get(f"/v1/thumbnails/{sha256}", headers={"if-none-match": found.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    problem(reader.get(f"/v1/thumbnails/{'0' * 64}"), 404, "unknown_photo")
    problem(reader.get("/v1/thumbnails/..%2f..%2fcatalog.sqlite"), 404, "not_found")


# --- the server -------------------------------------------------------------------------------------------------------


def test_health_readiness_version_and_numbers(client: httpx.Client) -> None:
    assert client.get("/v1/health").json() == {"status": "alive"}
    ready = client.get("/v1/ready").json()
    assert (ready["status"], ready["products"], ready["hits"]) == ("ready", 4, 1)
    assert client.get("/v1/version").json()["lapel"] == lapel.__version__
    client.post("/v1/search", files={"image": ("a.png", picture(COLOURS["red"]))})
    client.get("/nowhere/at/all")
    text = client.get("/metrics").text
    assert 'lapel_requests_total{method="POST",route="/v1/search",status="200"} 1.0' in text
    assert 'route="other"' in text
    assert "lapel_batch_pictures_count 1.0" in text
    assert "/nowhere" not in text


def test_it_cannot_be_ready_when_its_store_is_gone(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from lapel.core.errors import ModelError

    def broken(*_: object, **__: object) -> None:
        raise ModelError("gone")

    monkeypatch.setattr(lapel.Store, "search", broken)
    problem(client.get("/v1/ready"), 503, "not_ready")
    assert client.get("/v1/health").status_code == 200


def test_names_of_the_server_request_ids_and_packing(reader: httpx.Client) -> None:
    problem(reader.get("/v1/health", headers={"host": "evil.example"}), 421, "unknown_host")
    assert reader.get("/v1/health", headers={"host": "127.0.0.1:8080"}).status_code == 200
    assert reader.get("/v1/health", headers={"host": "[::1]:8080"}).status_code == 200
    assert reader.get("/v1/health", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    odd = reader.get("/v1/health", headers={"x-request-id": "a b<script>"}).headers["x-request-id"]
    assert len(odd) == 32
    assert reader.get("/openapi.json").headers["content-encoding"] == "gzip"
    problem(reader.get("/nowhere"), 404, "not_found")
    problem(reader.post("/v1/health"), 405, "method_not_allowed")


def test_pages_of_others_cannot_change_a_shop_without_keys(client: httpx.Client, shop: Path) -> None:
    evil = {"origin": "https://evil.example"}
    problem(client.delete("/v1/products/red", headers=evil), 403, "origin_refused")
    assert client.get("/v1/products/red", headers={"origin": "http://localhost:8080"}).status_code == 200
    assert "access-control-allow-origin" not in client.get("/v1/health", headers=evil).headers
    options = ApiOptions(origins=("https://shop.example",))
    with serving_store(shop, options) as other:
        asked = {"origin": "https://shop.example", "access-control-request-method": "POST"}
        allowed = other.options("/v1/search", headers=asked)
        assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
        assert other.delete("/v1/products/red", headers={"origin": "https://shop.example"}).status_code == 204


def test_the_openapi_text_names_every_route_and_status(reader: httpx.Client) -> None:
    told = reader.get("/openapi.json").json()
    assert told["openapi"].startswith("3.1")
    assert {
        "/v1/search",
        "/v1/products/{product_id}",
        "/v1/products:bulk",
        "/v1/thumbnails/{sha256}",
        "/metrics",
    } <= set(told["paths"])
    asked = told["components"]["schemas"]["SearchRequest"]["properties"]
    assert {"text", "product_id", "image_url", "k", "where", "least", "facets", "group", "offset"} <= set(asked)
    assert "429" in told["paths"]["/v1/search"]["post"]["responses"]


def test_every_field_of_an_answer_is_described(client: httpx.Client) -> None:
    """What the models leave out would be missing in the clients that are generated from them."""
    text = client.get("/openapi.json").json()
    asked = {"k": 2, "facets": ["colour"], "parts": [{"text": "red", "weight": 0.3}, {"colour": "teal", "weight": 0.1}]}
    event = {"id": "e", "person": "anna", "product": "red", "kind": "view", "time": 1e9}
    client.post("/v1/recommend", json={"person": "anna"})
    answers = [
        ("/v1/search", client.post("/v1/search", files={"image": picture((200, 30, 30))}, data=_said(asked))),
        ("/v1/recommend", client.post("/v1/recommend", json={"product_id": "red"})),
        ("/v1/events", client.post("/v1/events", json={"events": [event, {}]})),
        ("/v1/people/{person}", client.get("/v1/people/anna")),
        ("/v1/people/{person}", client.delete("/v1/people/anna")),
        ("/v1/feeds", client.post("/v1/feeds", files={"table": b"id,title\n1,a\n"})),
        ("/v1/products/{product_id}", client.patch("/v1/products/red", json={"brand": "Quay"})),
        ("/v1/search", client.post("/v1/search", json={"k": 0})),
    ]
    paths = ("products", "models", "index", "jobs", "version", "ready", "health", "facets")
    answers += [(f"/v1/{path}", client.get(f"/v1/{path}")) for path in paths]
    for path, answer in answers:
        route = text["paths"][path][answer.request.method.lower()]
        (content,) = route["responses"][str(answer.status_code)]["content"].values()
        assert not list(_undescribed(text, content["schema"], answer.json(), path))


def _said(asked: dict[str, Any]) -> dict[str, str]:
    return {"query": json.dumps(asked)}


def _undescribed(text: dict[str, Any], schema: dict[str, Any], value: Any, at: str) -> Iterator[str]:
    """Fields of a value that a schema does not name; those of a query and a list are the request's."""
    while "$ref" in schema:
        schema = text["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for each in schema.get("anyOf", ()):
        if "$ref" in each and isinstance(value, dict):
            yield from _undescribed(text, each, value, at)
    if isinstance(value, list):
        for each in value:
            yield from _undescribed(text, schema.get("items", {}), each, at)
    elif isinstance(value, dict) and "properties" in schema and schema["title"] not in ("QueryAnswer", "ListAnswer"):
        yield from (f"{at}.{name}" for name in set(value) - set(schema["properties"]))
        for name in set(value) & set(schema["properties"]):
            yield from _undescribed(text, schema["properties"][name], value[name], f"{at}.{name}")


def test_options_that_make_no_sense() -> None:
    with pytest.raises(InputError, match="rate is above zero"):
        ApiOptions(rate=0)
    assert ApiOptions(host="127.0.0.2").loopback
    assert not ApiOptions(host="0.0.0.0").loopback


def test_a_member_of_a_zip_with_broken_packing_is_its_rows_error_alone() -> None:
    """The first byte of the packed data stands for a kind of block that deflate does not have."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a.png", b"teal " * 100)
        made.writestr("b.png", b"gold " * 100)
    data = bytearray(file.getvalue())
    data[30 + len("a.png")] = 0xFF
    members = UploadedZip(bytes(data), 10_000, 100_000)
    with pytest.raises(TableError, match=r"'a\.png' in the ZIP cannot be read.*Pack it again"):
        members.of(["a.png"])
    assert members.of(["b.png"]) == {"b.png": b"gold " * 100}
