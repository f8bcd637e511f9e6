"""What a phone is given: the page's files, the products in a picture, the networks, and the shop in pieces."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import lapel
from api_shop import COLOURS, fill, picture, running, serving_store
from lapel.apps.api import ApiOptions, create_app, pages
from lapel.client import generate, scoped_key
from lapel.core.errors import QueryError
from lapel.core.types import Verdict
from lapel.service import pack as packs

WEB = Path(__file__).parent.parent / "web"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("phone"))


@pytest.fixture
def shop(filled: Path, tmp_path: Path) -> Path:
    return shutil.copytree(filled, tmp_path / "shop")


@pytest.fixture
def client(shop: Path) -> Iterator[httpx.Client]:
    with serving_store(shop) as client:
        yield client


def products_of(client: httpx.Client, manifest: Any, **more: Any) -> dict[str, list[Any]]:
    (piece,) = manifest["pieces"]
    columns: dict[str, list[Any]] = client.get(f"/v1/pack/{piece['products']['sha256']}", **more).json()["columns"]
    return columns


# --- the shop in pieces -----------------------------------------------------------------------------------------------


def test_the_pieces_hold_the_catalogue_and_its_vectors_to_half_a_step(client: httpx.Client, shop: Path) -> None:
    manifest = client.get("/v1/pack").json()
    (piece,) = manifest["pieces"]
    assert (manifest["photos"], piece["photos"]) == (4, 4)
    columns = products_of(client, manifest)
    assert columns["id"] == list(COLOURS)
    assert columns["title"][0] == "Red shirt"
    assert columns["price"] == [10.0, 20.0, 30.0, 40.0]
    data = client.get(f"/v1/pack/{piece['vectors']['sha256']}").content
    dim = manifest["dim"]
    rows = np.frombuffer(data[: 4 * dim], np.int8).reshape(4, dim).astype(np.float32)
    scales = np.frombuffer(data[4 * dim :], "<f4")
    with lapel.open_store(shop) as store:
        stored = store._context.catalog.vector_of(columns["key"], fingerprint=manifest["model"])
    assert np.abs(rows * scales[:, None] / 127 - stored).max() <= 0.5 * scales.max() / 127 + 1e-6
    assert hashlib.sha256(data).hexdigest() == piece["vectors"]["sha256"]


def test_a_change_touches_only_the_pieces_of_its_bucket(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "BUCKET", 3)  # keys 1 and 2, then 3 and 4
    with lapel.open_store(shop) as store:
        before = store.pack.manifest()["pieces"]
        store.products.patch("white", lambda now: lapel.Product(id="white", title="Cream shirt"))
        after = store.pack.manifest()["pieces"]
    assert [piece["photos"] for piece in before] == [2, 2]
    assert before[0] == after[0]
    assert before[1]["products"] != after[1]["products"]
    assert before[1]["vectors"] == after[1]["vectors"]


def test_a_piece_that_was_deleted_is_made_again_from_a_new_manifest(shop: Path) -> None:
    with lapel.open_store(shop) as store:
        sha256 = store.pack.manifest()["pieces"][0]["vectors"]["sha256"]
        shutil.rmtree(shop / packs.FOLDER)
        with pytest.raises(QueryError, match="Ask for the manifest again"):
            store.pack.piece(sha256)
        assert store.pack.manifest()["pieces"][0]["vectors"]["sha256"] == sha256
        assert hashlib.sha256(store.pack.piece(sha256).data).hexdigest() == sha256


def test_thumbnails_come_in_runs(client: httpx.Client) -> None:
    manifest = client.get("/v1/pack").json()
    (run,) = manifest["pieces"][0]["thumbnails"]
    data = client.get(f"/v1/pack/{run['sha256']}").content
    lengths = np.frombuffer(data[: 4 * run["photos"]], "<u4")
    assert len(data) == 4 * run["photos"] + lengths.sum()
    starts = 4 * run["photos"] + np.cumsum([0, *lengths[:-1].tolist()])
    assert [data[start : start + 4] for start in starts.tolist()] == 4 * [b"RIFF"]


def test_the_pack_shows_no_more_than_its_key(shop: Path) -> None:
    with lapel.open_store(shop) as store:
        key = store.keys.create(("search",))
    narrow = {"Authorization": f"Bearer {scoped_key(key, where=['gender=Women'], fields=['title', 'gender'])}"}
    wide = {"Authorization": f"Bearer {key}"}
    with serving_store(shop) as client:
        assert client.get("/v1/pack").status_code == 401
        mine = client.get("/v1/pack", headers=narrow).json()
        columns = products_of(client, mine, headers=narrow)
        assert columns["id"] == ["red", "green"]
        assert set(columns) == {"key", "sha256", "id", "title", "gender"}
        whole = client.get("/v1/pack", headers=wide).json()
        foreign = whole["pieces"][0]["products"]["sha256"]
        assert client.get(f"/v1/pack/{foreign}", headers=wide).status_code == 200
        assert client.get(f"/v1/pack/{foreign}", headers=narrow).status_code == 404


def test_networks_are_had_by_their_hash(tmp_path: Path) -> None:
    with lapel.open_store(tmp_path / "shop", create=True, encoder="small") as store, serving(store) as client:
        device = client.get("/v1/device").json()
        assert device["model"]["preprocessing"]["width"] == 120
        for network in device.values():
            answer = client.get(f"/v1/pack/{network['sha256']}")
            assert hashlib.sha256(answer.content).hexdigest() == network["sha256"]
            assert "immutable" in answer.headers["cache-control"]


def serving(store: lapel.Store) -> Any:
    return running(create_app(store))


@pytest.mark.parametrize("name", ["x", "..%2f..%2fcatalog.sqlite", "0" * 64])
def test_unknown_pieces_are_refused(client: httpx.Client, name: str) -> None:
    answer = client.get(f"/v1/pack/{name}")
    assert answer.status_code == 404
    assert "code" in answer.json()


def test_a_model_that_is_no_network_is_said(client: httpx.Client) -> None:
    answer = client.get("/v1/device")
    assert (answer.status_code, answer.json()["code"]) == (404, "no_network")


# --- vectors and regions ----------------------------------------------------------------------------------------------


def test_a_vector_is_searched_for_when_it_is_of_the_shops_model(client: httpx.Client, shop: Path) -> None:
    with lapel.open_store(shop) as store:
        vector = store.embed(lapel.Query(image=picture(COLOURS["blue"]))).vector.tolist()
    mark = client.get("/v1/version").json()["model"]["fingerprint"]
    found = client.post("/v1/search", json={"vector": vector, "fingerprint": mark, "k": 1})
    assert found.json()["hits"][0]["product"]["id"] == "blue"
    other = client.post("/v1/search", json={"vector": vector, "fingerprint": "0" * 16})
    assert (other.status_code, other.json()["code"]) == (409, "model_mismatch")
    for wrong in ([0.5] * len(vector), [1.0, 0.0], []):
        assert client.post("/v1/search", json={"vector": wrong}).status_code == 422


def test_all_facets_are_counted_when_asked_for_but_not_past_a_key(shop: Path) -> None:
    with lapel.open_store(shop) as store:
        key = store.keys.create(("search",))
    narrow = scoped_key(key, fields=["title"])
    with serving_store(shop) as client:
        asked = {"product_id": "red", "facets": True}
        found = client.post("/v1/search", json=asked, headers={"Authorization": f"Bearer {key}"})
        assert found.json()["facets"]["gender"] == {"Men": 2, "Women": 2}
        limited = client.post("/v1/search", json=asked, headers={"Authorization": f"Bearer {narrow}"})
        assert limited.status_code == 200
        assert set(limited.json()["facets"]) <= {"title"}


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"colour": "red"}, 200),
        ({"parts": [{"colour": "red"}]}, 200),
        ({"product_id": "red", "least": "nothing close"}, 200),
        ({"product_id": "red", "least": "no verdict"}, 422),
        ({"product_id": "red", "least": 1.5}, 422),
        ({"product_id": "red", "colour_weight": 2}, 422),
        ({"product_id": "red", "facets": 51 * ["gender"]}, 422),
    ],
)
def test_a_field_of_several_types_takes_each(client: httpx.Client, asked: dict[str, Any], status: int) -> None:
    assert client.post("/v1/search", json=asked).status_code == status


def test_regions_are_boxes_in_shares(client: httpx.Client) -> None:
    found = client.post("/v1/regions", files={"image": ("a.png", picture(COLOURS["red"], (300, 400)), "image/png")})
    assert found.status_code == 200
    assert (found.json()["width"], found.json()["height"]) == (300, 400)
    for region in found.json()["regions"]:
        assert all(0 <= side <= 1 for side in region["box"])


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"json": {}}, 415),
        ({"files": {"picture": ("a.png", b"x", "image/png")}}, 422),
        ({"files": {"image": ("a.png", b"no picture", "image/png")}}, 422),
        ({"files": {"image": ("a.png", b"x" * 3 * 2**20, "image/png")}}, 413),
    ],
)
def test_what_is_no_picture_has_no_regions(filled: Path, sent: dict[str, Any], status: int) -> None:
    with serving_store(filled, ApiOptions(picture_mb=1)) as client:
        answer = client.post("/v1/regions", **sent)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def static(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "static"
    folder.mkdir()
    monkeypatch.setattr(pages, "STATIC", folder)
    return folder


def test_without_the_build_the_page_says_how_to_make_it(static: Path, client: httpx.Client) -> None:
    for path in ("/m/", "/widget.js"):
        answer = client.get(path)
        assert (answer.status_code, answer.text.count("\n")) == (404, 1)
        assert "make web" in answer.text


def test_files_are_served_packed_kept_and_only_from_the_build(static: Path, client: httpx.Client) -> None:
    (static / "m" / "assets").mkdir(parents=True)
    (static / "m" / "index.html.gz").write_bytes(gzip.compress(b"<p>hello"))
    (static / "m" / "assets" / "main-AbCd1234.js").write_text("1", encoding="utf-8")
    (static.parent / "secret.txt").write_text("secret", encoding="utf-8")
    start = client.get("/m")
    assert (start.status_code, start.headers["location"]) == (308, "/m/")
    page = client.get("/m/")
    assert (page.text, page.headers["content-encoding"], page.headers["cache-control"]) == (
        "<p>hello",
        "gzip",
        "no-cache",
    )
    assert "script-src 'self'" in page.headers["content-security-policy"]
    plain = client.get("/m/", headers={"Accept-Encoding": "identity"})
    assert (plain.text, plain.headers.get("content-encoding")) == ("<p>hello", None)
    assert client.get("/m/", headers={"If-None-Match": page.headers["etag"]}).status_code == 304
    script = client.get("/m/assets/main-AbCd1234.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert "immutable" in script.headers["cache-control"]
    for path in ("/m/../secret.txt", "/m/%2e%2e/%2e%2e/secret.txt", "/m/..%2f..%2fsecret.txt", "/m/no.js"):
        assert client.get(path).status_code == 404


def test_the_clients_are_those_of_the_api() -> None:
    spec = importlib.util.spec_from_file_location("openapi_text", WEB / "client" / "openapi.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    first = (WEB / "client" / "src" / "schema.ts").read_text(encoding="utf-8").partition("\n")[0]
    text = module.openapi_text()
    changed = "The API has changed: run 'make client', and commit web/client/src/schema.ts and lapel/client/schema.py."
    assert module.text_hash(text) in first, changed
    assert generate.SCHEMA.read_text("utf-8") == generate.schema_of(text), changed


def test_both_languages_have_every_text() -> None:
    text = (WEB / "phone" / "src" / "texts.ts").read_text(encoding="utf-8")
    assert text.count("const de: typeof en") == 1  # the compiler sees to the rest
    for verdict in Verdict:
        assert len(re.findall(rf'(?m)^    "?{re.escape(verdict)}"?:', text)) == 2, verdict
    assert json.loads((WEB / "phone" / "public" / "manifest.webmanifest").read_text(encoding="utf-8"))["share_target"]
