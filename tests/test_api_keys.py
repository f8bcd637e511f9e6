"""Keys of the HTTP API: what they allow, how they are kept, and that no request widens one."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lapel
from api_shop import COLOURS, FOR, fill, picture, running, serving_store
from lapel.apps.api import ApiOptions, create_app, serve
from lapel.core.errors import InputError
from lapel.core.signing import new_key, parse_token, scoped_key, sign_webhook, webhook_fits
from lapel.service import KeyRefusedError


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def keys(shop: Path) -> dict[str, str]:
    with lapel.open_store(shop) as store:
        return {scope: store.keys.create((scope,), f"the {scope} key") for scope in ("search", "write", "admin")}


@pytest.fixture(scope="module")
def client(shop: Path, keys: dict[str, str]) -> Iterator[httpx.Client]:
    with serving_store(shop) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_only_hashes_are_kept(shop: Path, keys: dict[str, str]) -> None:
    secret = parse_token(keys["search"]).secret
    assert len(secret) == 43
    for path in shop.glob("catalog.sqlite*"):
        assert secret.encode() not in path.read_bytes()
    assert len({new_key() for _ in range(100)}) == 100


def test_each_scope_allows_its_own(client: httpx.Client, keys: dict[str, str]) -> None:
    def status(method: str, path: str, key: str) -> int:
        return client.request(method, path, headers=bearer(keys[key])).status_code

    assert status("GET", "/v1/products/red", "search") == 200
    assert status("GET", "/v1/products/red", "write") == 403
    assert status("PATCH", "/v1/products/red", "search") == 403
    assert status("DELETE", "/v1/products/nobody", "write") == 404  # allowed, and not there
    assert status("DELETE", "/v1/products/nobody", "admin") == 404
    assert status("GET", "/metrics", "write") == 403
    assert status("GET", "/metrics", "admin") == 200


@pytest.mark.parametrize(
    "said",
    [
        "",
        "Bearer",
        "Bearer x",
        "Basic YTpi",
        pytest.param(f"Bearer {new_key()}", id="another key"),
        "Bearer lapelscoped_000000000000.e30.AAAA",
        "Bearer " + "a" * 5000,
    ],
)
def test_other_keys_and_none_are_refused(client: httpx.Client, said: str) -> None:
    answer = client.get("/v1/products", headers={"authorization": said} if said else {})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert client.get("/v1/health").status_code == 200


def test_a_secret_of_another_key_does_not_fit(client: httpx.Client, keys: dict[str, str]) -> None:
    search, admin = parse_token(keys["search"]), parse_token(keys["admin"])
    assert client.get("/metrics", headers=bearer(f"lapel_{admin.id}_{search.secret}")).status_code == 401


def test_a_revoked_key_takes_its_scoped_keys_along(shop: Path) -> None:
    with lapel.open_store(shop) as store:
        key = store.keys.create(("search",))
        narrow = scoped_key(key, where=["gender=Men"])
        assert store.keys.access(narrow).allows("search")
        assert store.keys.revoke(parse_token(key).id)
        assert not store.keys.revoke(parse_token(key).id)
        for each in (key, narrow):
            with pytest.raises(KeyRefusedError, match="revoked"):
                store.keys.access(each)
        with pytest.raises(InputError, match="no key 'nobody'"):
            store.keys.revoke("nobody")
        with pytest.raises(InputError, match="one or more of search"):
            store.keys.create(("everything",))


def test_a_scoped_key_shows_its_part_only(client: httpx.Client, keys: dict[str, str]) -> None:
    men = bearer(scoped_key(keys["admin"], where=["gender=Men"], fields=["title"]))
    counted = client.post("/v1/search", json={"text": "shirt", "facets": True}, headers=men).json()["facets"]
    assert set(counted) <= {"title"}
    found = client.post("/v1/search", json={"text": "shirt"}, headers=men).json()
    assert {hit["product"]["id"] for hit in found["hits"]} == {"blue", "white"}
    assert all(set(hit["product"]) == {"id", "title"} for hit in found["hits"])
    assert found["total"] == 2
    assert set(found["understood"][0]) == {"kind", "weight"}  # no word of what else there is
    assert "others" not in found["hits"][0]
    assert client.get("/v1/products/red", headers=men).status_code == 404
    assert client.get("/v1/products/red/similar", headers=men).status_code == 404
    assert client.post("/v1/search", json={"product_id": "red"}, headers=men).status_code == 404
    assert client.get("/v1/products/blue", headers=men).json()["photos"][0]["uri"] == ""
    for hidden in (
        {"where": ["price<15"]},
        {"facets": ["price"]},
        {"facets": ["gender"]},
        {"group": "colour"},
        {"max_per": "colour:1"},
    ):
        assert client.post("/v1/search", json={"text": "shirt", **hidden}, headers=men).status_code == 403
    assert client.get("/v1/facets", headers=men).json() == {"facets": {}}
    assert client.get("/metrics", headers=men).status_code == 403  # whatever its parent may
    assert client.delete("/v1/products/blue", headers=men).status_code == 403
    late = bearer(scoped_key(keys["search"], expires=int(time.time()) - 1))
    answer = client.get("/v1/products", headers=late)
    assert answer.status_code == 401
    assert "expired" in answer.json()["detail"]


def test_a_scoped_key_that_was_touched_counts_no_more(shop: Path, keys: dict[str, str]) -> None:
    men, cheap = "gender=Men", "price<100"
    narrow = scoped_key(scoped_key(keys["search"], where=[men]), where=[cheap])
    head, first, second, signature = narrow.split(".")
    with lapel.open_store(shop) as store:
        assert [str(each) for each in store.keys.access(narrow).where.conditions] == [men, cheap]
        other = scoped_key(keys["search"], where=["gender=Women"]).split(".")
        for touched in (
            ".".join((head, first, signature)),
            ".".join((head, second, signature)),
            ".".join((head, second, first, signature)),
            ".".join((head, other[1], second, signature)),
            ".".join((head, first, second, other[2])),
            scoped_key(new_key(), where=[men]),
        ):
            with pytest.raises(KeyRefusedError):
                store.keys.access(touched)


CONDITIONS = st.sampled_from(["gender=Men", "gender=Women", "gender!=Men", "price<25", "price>=20", "colour=Red|Blue"])
FIELDS = st.lists(st.sampled_from(["title", "colour", "gender", "price", "brand"]), unique=True)
ASKED = st.fixed_dictionaries(
    {"text": st.sampled_from(["shirt", "red", "blue"])},
    optional={
        "where": st.lists(CONDITIONS, max_size=2),
        "k": st.integers(1, 10),
        "offset": st.integers(0, 3),
        "group": st.sampled_from(["", "gender", "colour"]),
        "facets": st.lists(st.sampled_from(["gender", "colour", "currency"]), max_size=2),
        "product_id": st.sampled_from(sorted(COLOURS)),
        "exclude": st.lists(st.sampled_from(sorted(COLOURS)), max_size=2),
        "parts": st.just([{"product_id": "red"}]),
    },
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.lists(CONDITIONS, max_size=2), st.none() | FIELDS), min_size=1, max_size=3), asked=ASKED
)
def test_no_request_widens_a_scoped_key(
    client: httpx.Client, keys: dict[str, str], steps: list[tuple[list[str], list[str] | None]], asked: dict[str, Any]
) -> None:
    key = keys["search"]
    for where, fields in steps:
        key = scoped_key(key, where=where, fields=fields)
    answer = client.post("/v1/search", json=asked, headers=bearer(key))
    assert answer.status_code in (200, 403, 404), answer.text
    allowed = {name for name in COLOURS if all(_passes(name, each) for where, _ in steps for each in where)}
    shown = [set(fields) for _, fields in steps if fields is not None]
    names = set.intersection(*shown) if shown else None
    for hit in answer.json().get("hits", []):
        assert hit["product"]["id"] in allowed
        if names is not None:
            money = {"price_minor", "currency"} if "price" in names else set()
            assert set(hit["product"]) <= {"id", *names, *money}
    if answer.status_code == 200 and names is not None:
        assert set(answer.json()["facets"]) <= names
        assert answer.json()["total"] <= len(allowed)


def _passes(name: str, condition: str) -> bool:
    """The oracle: the four products, by hand."""
    price = 10 * (list(COLOURS).index(name) + 1)
    return {
        "gender=Men": FOR[name] == "Men",
        "gender=Women": FOR[name] == "Women",
        "gender!=Men": FOR[name] != "Men",
        "price<25": price < 25,
        "price>=20": price >= 20,
        "colour=Red|Blue": name in ("red", "blue"),
    }[condition]


def test_without_keys_only_this_machine_is_served(tmp_path: Path) -> None:
    shop = fill(tmp_path)
    with pytest.raises(InputError, match="lapel key create"):
        serve(shop, ApiOptions(host="0.0.0.0"))
    with lapel.open_store(shop) as store:
        key = store.keys.create(("search",))
    with pytest.raises(InputError, match="no key is asked for"):
        serve(shop, ApiOptions(host="0.0.0.0", keys=False))
    with serving_store(shop) as client:
        assert client.get("/v1/products").status_code == 401
        assert client.get("/v1/products", headers=bearer(key)).status_code == 200
    with serving_store(shop, ApiOptions(keys=False)) as client:
        assert client.get("/v1/products").status_code == 200


def test_a_first_key_counts_in_a_running_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lapel.apps.api.serving.KEYS_SECONDS", 0.0)
    with lapel.open_store(fill(tmp_path)) as store, running(create_app(store)) as client:
        sent = {"image": ("a.png", picture(COLOURS["red"]))}
        assert client.post("/v1/search", files=sent).status_code == 200
        with lapel.open_store(store.folder) as other:
            other.keys.create(("admin",))
        assert client.post("/v1/search", files=sent).status_code == 401


def test_a_webhooks_signature_is_of_its_body_and_time() -> None:
    header = sign_webhook("secret", b"body", 1000)
    assert webhook_fits("secret", b"body", header, now=1100.0)
    assert not webhook_fits("secret", b"other", header, now=1100.0)
    assert not webhook_fits("other", b"body", header, now=1100.0)
    assert not webhook_fits("secret", b"body", header, now=2000.0)
    assert not webhook_fits("secret", b"body", "nonsense", now=1100.0)


def test_keys_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from typer.testing import CliRunner

    from lapel.apps.cli import app

    shop = fill(tmp_path)
    run = CliRunner().invoke
    made = run(
        app, ["key", "create", "--scope", "search", "--scope", "write", "--name", "the site", "--store", str(shop)]
    )
    assert made.exit_code == 0, made.output
    with lapel.open_store(shop) as store:
        (key,) = store.keys.list()
    assert (key.scopes, key.name) == (("search", "write"), "the site")
    assert run(app, ["key", "revoke", key.id, "--store", str(shop)]).exit_code == 0
    with sqlite3.connect(shop / "catalog.sqlite") as database:
        assert database.execute("SELECT revoked_at FROM api_key").fetchone()[0]
    database.close()
    assert run(app, ["key", "list", "--store", str(shop), "--json"]).exit_code == 0
