"""The client of the HTTP API: the same calls and answers as a local store, whatever stands behind them."""

from __future__ import annotations

import asyncio
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

import lapel
from api_shop import COLOURS, fill, picture, serving_store
from browser.shop import draw
from lapel.client import ApiError, AsyncClient, answers, calls, generate
from lapel.core.errors import ImageError, InputError, LapelError, QueryError
from lapel.core.types import EmbeddedQuery


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def address(shop: Path) -> Iterator[str]:
    with serving_store(shop) as client:
        yield str(client.base_url)


@pytest.fixture(params=["local", "server"])
def store(request: pytest.FixtureRequest, shop: Path, address: str) -> Iterator[Any]:
    opened: Any = lapel.open_store(shop) if request.param == "local" else lapel.connect(address)
    with opened:
        yield opened


def test_searching(store: Any, tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    path.write_bytes(picture(COLOURS["red"]))
    for image in (path, str(path), path.read_bytes()):
        found = store.search(image=image, k=2, facets=["gender"])
        assert found[0].product.id == "red"
        assert found[0].product.price_minor == 1000
        assert found[0].score == pytest.approx(1.0, abs=1e-5)
    assert [hit.rank for hit in found] == [1, 2]
    assert found.verdict == "found"
    assert (len(found), found.total) == (2, 4)
    assert sorted(found.facets["gender"]) == [("Men", 2), ("Women", 2)]
    assert found.took_ms == pytest.approx(sum(found.timings.values()))
    assert [hit.product.id for hit in store.search(text="blue", k=1)] == ["blue"]
    assert {hit.product.id for hit in store.search(product_id="red", where=["gender=Women"])} == {"green"}
    assert {hit.product.id for hit in store.search(text="shirt", where="gender=Men", exclude=["blue"])} == {"white"}
    # A text that is an id finds that product first, and a filter holds for it too.
    assert {hit.product.id for hit in store.search(text="red", where="gender=Men")} == {"blue", "white"}
    assert not store.search(text="shirt", least=1.0, where=lapel.Filter.parse(["price>1000"]))


def test_an_answer_says_the_same_from_near_and_far(store: Any) -> None:
    """What the guides print of an answer is there over HTTP too."""
    found = store.search(text="bleu shirt zorblax", k=1)
    assert found[0].product.price == "20.00 EUR"
    part = found.understood.parts[0]
    assert (part.kind, part.weight, part.words.unknown) == ("text", 1.0, ("zorblax",))
    assert ("bleu", "blue") in part.words.corrected + part.words.synonyms
    assert "zorblax" in part.note
    assert (found.understood.colours, found.rules, len(found.understood.fingerprint)) == (None, (), 16)
    seen = store.search(image=picture(COLOURS["red"], (300, 400)), k=1)
    colours = seen.understood.colours
    assert [(each.name, each.share > 0.9) for each in colours.colours] == [("red", True)]
    assert colours.certainty in ("sure", "fairly sure", "not sure")
    assert (seen.kinds, seen.fashion) == ((), None)  # the model of this shop has no calibration
    assert store.embed(lapel.Query(text="bleu shirt zorblax")).parts[0].note == part.note


def test_many_queries_are_answered_in_order(store: Any) -> None:
    seen: list[int] = []
    asked: list[Any] = [picture(COLOURS[name]) for name in ("red", "blue", "green", "white", "red", "blue")]
    asked += [lapel.Query(text="green shirt", where=lapel.Filter.parse(["gender=Women"]), exclude=frozenset(["red"]))]
    found = list(store.search_many(asked, k=1, progress=lambda done, _: seen.append(done)))
    assert [each[0].product.id for each in found] == ["red", "blue", "green", "white", "red", "blue", "green"]
    assert seen[-1] == 7
    bad = list(store.search_many([asked[0], b"no picture", asked[1]], k=1, errors="return"))
    assert isinstance(bad[1], ImageError)
    assert [each[0].product.id for each in (bad[0], bad[2])] == ["red", "blue"]
    lost = lapel.Query(product_id="nobody", k=1)
    bad = list(store.search_many([asked[0], lost, asked[1]], k=1, errors="return"))
    assert isinstance(bad[1], QueryError)
    assert [each[0].product.id for each in (bad[0], bad[2])] == ["red", "blue"]
    with pytest.raises(ImageError):
        list(store.search_many([b"no picture"]))
    with pytest.raises(QueryError, match="several images"):
        store.search_many("photo.jpg")
    assert store.search(query=lapel.Query(image=asked[1], k=1))[0].product.id == "blue"


def test_a_query_is_a_vector(store: Any) -> None:
    query = lapel.Query(parts=(lapel.Part(product_id="red"), lapel.Part(product_id="blue", weight=-0.5)))
    found = store.embed(query)
    assert sum(each * each for each in found.vector) == pytest.approx(1, abs=1e-5)
    assert found.understood
    again = store.search(vector=np.float32(found.vector), k=4, exclude=["red", "blue"])
    direct = store.search(query=query)
    assert [hit.product.id for hit in again] == [hit.product.id for hit in direct]
    assert [hit.score for hit in again] == pytest.approx([hit.score for hit in direct], abs=1e-5)
    with pytest.raises(QueryError):
        store.embed(lapel.Query(product_id="nobody"))


def test_a_query_as_programs_write_it(store: Any) -> None:
    vector = np.asarray(store.embed(lapel.Query(text="blue")).vector, np.float32)
    mixed = (lapel.Part(vector=vector), lapel.Part(product_id="red", weight=-0.5))
    assert store.search(query=lapel.Query(parts=mixed, k=1))[0].product.id == "blue"
    assert store.search(parts=mixed, k=np.int64(1), least=np.float32(0.1))[0].product.id == "blue"
    seen = Image.open(io.BytesIO(picture(COLOURS["green"]))).convert("RGB")
    assert store.search(image=seen, k=1)[0].product.id == "green"
    assert store.check_new_picture(seen).matches[0].product == "green"
    assert np.allclose(store.embed(seen).vector, store.embed(picture(COLOURS["green"])).vector, atol=1e-5)
    (whole,) = store.search_many([seen], k=2, segment=False, colour_weight=0.0)
    assert whole[0].product.id == "green"
    with pytest.raises(QueryError, match="is a lapel"):
        store.search(query="photo.jpg")
    with pytest.raises(QueryError, match="errors is"):
        store.search_many([seen], errors="ignore")
    for name in (".", "..", 3):
        with pytest.raises(QueryError, match="has no product"):
            store.product(name)


def test_what_cannot_be_sent_is_refused_and_never_left_out(address: str) -> None:
    barred = lapel.Filter((lapel.core.types.Condition("id", "=", ("red|blue",)),))
    with lapel.connect(address) as store:
        for query, words in (
            (lapel.Query(text="shirt", where=barred), "mean something else"),
            (lapel.Query(parts=(lapel.Part(image=picture(COLOURS["red"])),)), "image of a part"),
            ({"text": object()}, "cannot be part"),
        ):
            with pytest.raises(QueryError, match=words):
                store.search(query=query)
        with pytest.raises(InputError, match="fromarray"):
            store.search(image=np.zeros((9, 9, 3), np.uint8))
        with pytest.raises(InputError, match="half a letter"):
            store.put("half \ud800", title="Half")
        for wrong in (0, None, "many", True):
            with pytest.raises(QueryError, match="at_once"):
                store.search_many([], at_once=wrong)


def test_variants_prices_and_copies(store: Any) -> None:
    assert [hit.product.id for hit in store.variants("red")] == ["green"]
    assert not store.variants("red", where=["price<20"])
    assert [(each.price_minor, each.currency) for each in store.price_history("red")] == [(1000, "EUR")]
    found = store.check_new_picture(picture(COLOURS["red"]))
    assert [(each.product, each.kind) for each in found.matches] == [("red", "exact")]
    assert found.photos == 4
    for call in (store.variants, store.price_history):
        with pytest.raises(QueryError, match="nobody"):
            call("nobody")


def test_questions_of_the_catalogue(store: Any, tmp_path: Path) -> None:
    seen: list[int] = []
    found = store.duplicates(least=0.95, progress=lambda done, _: seen.append(done))
    assert found.to_json()["groups"] == []
    assert found.rows() == []
    assert "4 photos" in found.summary()
    audit = store.audit_photos(where="gender=Men", least_side=4000, checks=["too small"])
    assert {row["product"] for row in audit.rows()} == {"blue", "white"}
    audit.to_csv(tmp_path / "audit.csv")
    assert len((tmp_path / "audit.csv").read_text("utf-8").splitlines()) == 3
    with pytest.raises(QueryError, match="no condition"):
        store.clusters(where=["no condition"])
    with pytest.raises(QueryError):
        store.trends()  # no dates
    with pytest.raises(QueryError, match="price"):
        store.estimate_price(picture(COLOURS["red"]))


def test_a_question_s_options_are_those_of_the_local_call(address: str) -> None:
    with lapel.connect(address) as store:
        for options, words in (
            ({"k": 3}, "k"),
            ({"levels": "many"}, "levels"),
            ({"fields": ["colour"]}, "takes levels"),
        ):
            with pytest.raises(LapelError, match=words):
                store.clusters(**options)


def test_rows_for_people_and_products(store: Any) -> None:
    events = [
        lapel.Event("1", "anna/ \U0001f457", "red", "like", "2026-11-29T10:00:00Z"),
        {"id": "1", "person": "anna/ \U0001f457", "product": "red", "kind": "like", "time": 1_795_946_400},
        {"id": "2", "person": "..", "product": "later", "kind": "view", "time": 1_795_946_400.5, "list_id": "a"},
        {"id": "3", "person": "anna", "product": "red", "kind": "love", "time": 0},
        "nonsense",
    ]
    seen: list[int] = []
    report = store.record(iter(events), progress=lambda done, _: seen.append(done))
    assert (report.read, report.added, report.duplicates, report.rejected, report.unknown) == (5, 2, 1, 2, 1)
    assert [where for where, _ in report.problems] == ["event 4", "event 5"]
    assert "one of view" in report.problems[0][1]
    assert (report.unknown_products, seen) == (("later",), [5])
    row = store.recommend(person="anna/ \U0001f457", k=4)
    assert row[0].reason.words == "because you liked 'Red shirt'"
    assert (row[0].reason.kind, row[0].reason.product_id) == ("liked", "red")
    assert row[0].reason.data == {"event": "liked"}
    assert row.list_id
    beside = store.recommend(product_id="red", kind="similar", where="price<100", exclude=["blue"], seed=7)
    assert {hit.product.id for hit in beside} == {"green", "white"}
    assert {hit.reason.kind for hit in beside} == {"looks-like"}
    assert store.recommend(basket=["red", "blue"], k=1, keep_margin=True).total == 4
    told = store.export("..")
    assert (told.person, told.lists) == ("..", ())
    assert [(each.id, each.product, each.kind, each.at, each.list_id) for each in told.events] == [
        ("2", "later", "view", 1_795_946_400.5, "a")
    ]
    known = store.export("anna/ \U0001f457")
    assert (len(known.events), known.lists[0]["list_id"]) == (1, row.list_id)
    assert (store.erase("..").events, store.erase("anna/ \U0001f457").events) == (1, 1)
    assert store.export("..").events == ()
    assert store.record([]).read == 0


@pytest.mark.parametrize(
    "person", ["\0", "a/../b", " ", "x" * 10_000, "\U0001f457" * 2_500], ids=["nul", "path", "blank", "long", "emoji"]
)
def test_any_name_of_a_person(store: Any, person: str) -> None:
    assert store.record([lapel.Event("n", person, "red", "like", 1.0)]).added == 1
    assert store.recommend(person=person, k=1)[0].reason.kind == "liked"
    assert len(store.export(person).events) == 1
    assert store.erase(person).events == 1


def test_half_a_letter_is_no_name_over_http(address: str) -> None:
    with lapel.connect(address) as store:
        for call in (store.export, store.erase, lambda person: store.recommend(person=person)):
            with pytest.raises(InputError, match="half a letter"):
                call("\ud800")


def test_rows_that_cannot_be_asked(store: Any) -> None:
    for given in ({"kind": "best"}, {"product_id": "nobody"}, {"k": 0}, {"kind": "together"}, {"where": "size=M"}):
        with pytest.raises(QueryError):
            store.recommend(**given)
    for call in (store.export, store.erase):
        with pytest.raises(InputError, match="A person is a text"):
            call("")
    with pytest.raises(InputError, match="several events"):
        store.record({"id": "1"})


def test_products_in_a_picture_have_the_same_boxes(tmp_path: Path) -> None:
    draw("Dress", "Red").resize((307, 411)).save(tmp_path / "dress.png")
    shop = fill(tmp_path, "small")
    with lapel.open_store(shop) as local, serving_store(shop) as client:
        own = local.regions(tmp_path / "dress.png")
        with lapel.connect(str(client.base_url)) as store:
            told = store.regions(tmp_path / "dress.png")
            assert own
            assert [(each.box, each.kind) for each in told] == [(each.box, each.kind) for each in own]
            assert told[0].score == pytest.approx(own[0].score, abs=1e-4)
            inside = local.search(image=tmp_path / "dress.png", box=own[0].box)[0]
            found = store.search(image=tmp_path / "dress.png", box=told[0].box)[0]
            assert (found.product.id, found.score) == (inside.product.id, pytest.approx(inside.score, abs=1e-4))
            with pytest.raises(ImageError):
                store.regions(b"no picture")
            query = lapel.Query(image=tmp_path / "dress.png", box=own[0].box)
            hit = store.search(query=query)[0]
            mine, theirs = local.explain(query, local.search(query=query)[0]), store.explain(query, hit)
            assert (theirs.score, theirs.shared) == (pytest.approx(mine.score, abs=1e-4), mine.shared)
            for name in ("query_map", "hit_map"):
                assert np.asarray(getattr(theirs, name)) == pytest.approx(getattr(mine, name), abs=1e-4)
                assert sum(map(sum, getattr(theirs, name))) == pytest.approx(theirs.score, abs=1e-4)
            assert theirs.query_picture[:2] == theirs.hit_picture[:2] == b"\xff\xd8"
            with pytest.raises(QueryError, match="not in the answer"):
                store.explain({"product_id": hit.product.id}, hit)


def test_many_events_go_in_several_requests(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "EVENTS", 3)
    event = {"person": "many", "product": "red", "kind": "view", "time": 1.0}
    seen: list[int] = []
    with lapel.connect(address) as store:
        events: list[Any] = [{**event, "id": f"m{at}"} for at in range(7)]
        report = store.record([*events[:5], {}, *events[5:]], progress=lambda done, _: seen.append(done))
        assert (report.read, report.added, report.rejected, report.ancient) == (8, 7, 1, 7)
        assert (report.problems[0][0], seen) == ("event 6", [3, 7, 8])
        assert store.record(events).duplicates == 7
        assert store.erase("many").events == 7


def test_looking_through(store: Any) -> None:
    details = store.product("red")
    assert (details.product.title, details.product.colour) == ("Red shirt", "Red")
    assert len(details.photos) == 1
    page = store.browse("shirt", where=["price<25"], limit=1)
    assert (len(page.products), page.total) == (1, 2)
    assert store.count(["gender=Men"]) == 2
    assert set(store.facets(["gender"])["gender"]) == {("Men", 2), ("Women", 2)}
    assert store.facets("colour", where="gender=Men")["colour"] == (("Blue", 1), ("White", 1))
    assert store.thumbnail(details.photos[0])[:2] == b"\xff\xd8"


def test_what_cannot_be_asked(store: Any) -> None:
    with pytest.raises(QueryError, match="nobody"):
        store.product("nobody")
    with pytest.raises(QueryError, match="nobody"):
        store.search(product_id="nobody")
    with pytest.raises(QueryError, match="size"):
        store.search(text="shirt", where=["size=M"])
    with pytest.raises(QueryError):
        store.search(text="shirt", k=0)
    with pytest.raises(ImageError):
        store.search(image=b"no picture")
    with pytest.raises(ImageError, match="missing"):
        store.search(image="missing.png")
    report = store.remove(["nobody"])
    assert (report.removed, report.missing) == ((), ("nobody",))


def test_uploading_changing_and_removing(address: str) -> None:
    with lapel.connect(address) as store:
        made = store.put("navy/1", images=[picture((10, 20, 90))], title="Navy coat", price=49.9, currency="EUR")
        assert (made.id, made.state) == ("navy/1", "added")
        assert store.patch("navy/1", title="Coat").state == "updated"
        assert store.product("navy/1").product.title == "Coat"
        assert store.product("navy/1").product.price_minor == 4990
        (bad,) = store.put_many([{"id": "bad", "pictures": ["data:image/png;base64,AAAA"]}])
        assert bad.state == "rejected"
        assert bad.problems
        assert store.add(b"id,pictures\nx,/etc/passwd\n")["result"]["products_rejected"] == 1
        assert store.remove(["navy/1", "nobody"]).removed == ("navy/1",)
        assert store.count() == 4


def test_awaiting(address: str) -> None:
    async def ask() -> list[str]:
        async with AsyncClient(address) as store:
            found = await asyncio.gather(*(store.search(text=word, k=1) for word in ("red", "blue")))
            many = [each async for each in store.search_many([picture(COLOURS["white"])] * 3, k=1, at_once=2)]
            assert [each[0].product.id for each in many] == ["white"] * 3  # type: ignore[index]
            assert await store.count() == 4
            with pytest.raises(QueryError):
                await store.product("nobody")
            return [answer[0].product.id for answer in found]

    assert asyncio.run(ask()) == ["red", "blue"]


def test_both_clients_are_made_of_one_file() -> None:
    assert generate.TARGET.read_text("utf-8") == generate.made(), "run: python -m lapel.client.generate"


def test_what_the_client_sends_and_reads_is_in_the_openapi_text(address: str, tmp_path: Path) -> None:
    text = httpx.get(f"{address}/openapi.json").json()
    table = tmp_path / "feed.csv"
    table.write_text("id")
    given = {"image": None, "text": "a", "product_id": "b", "vector": [1.0], "k": 2, "where": ["a=b"]}
    given |= {"exclude": ["c"], "least": 0.1, "group": "brand", "facets": ["brand"], "offset": 1}
    row = {"person": "a", "product_id": "b", "basket": ["c"], "kind": "look", "k": 1, "where": (), "exclude": "d"}
    row |= {"seed": 1, "keep_margin": True}
    asked = [
        calls.search(given),
        calls.embed(given),
        calls.explain(given, "a"),
        calls.variants("a", 1, ()),
        calls.prices("a"),
        calls.copies(b"picture"),
        calls.product("a/b"),
        calls.browse("a", (), 1, 0),
        calls.facets(["brand"], (), 1),
        calls.remove("a"),
        calls.put("a", (), {"title": "A"}),
        calls.patch("a", (), {"price": 1.0}),
        calls.bulk([{"id": "a"}]),
        calls.feed(table, {"whole": True}),
        calls.job("j"),
        calls.thumbnail("0" * 64),
        calls.regions(b"picture"),
        calls.recommend(row),
        calls.record(next(calls.event_batches([{}]))),
        calls.export("a/b"),
        calls.erase("a"),
    ]
    for call in asked:
        fitting = [path for path in text["paths"] if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), call.path)]
        found = [text["paths"][path].get(call.method.lower()) for path in fitting]
        assert any(found), f"{call.method} {call.path}"
        known = {each["name"] for route in found if route for each in route.get("parameters", ())}
        assert set(dict(call.more.get("params", {}))) <= known
    known = set(text["components"]["schemas"]["SearchRequest"]["properties"])
    assert set(given) - {"image"} <= known
    # The fields of any query can be sent.
    assert {each.name for each in fields(lapel.Query) if each.init} - {"image", "colours"} <= known
    body = text["paths"]["/v1/recommend"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(row) == set(body["properties"])
    assert set(row) == {each["name"] for each in text["paths"]["/v1/recommend"]["get"]["parameters"]}
    assert {"title", "price", "pictures"} <= set(text["components"]["schemas"]["ProductRequest"]["properties"])


@pytest.mark.parametrize(
    ("remote", "local", "more"),
    [
        (answers.Product, lapel.Product, set()),
        (answers.Photo, lapel.Photo, set()),
        (answers.Reason, lapel.Reason, set()),
        (answers.Region, lapel.Region, set()),
        (answers.Hit, lapel.Hit, {"more"}),
        (answers.SearchResult, lapel.SearchResult, {"answer"}),
        (answers.EmbeddedQuery, EmbeddedQuery, set()),
        (answers.Explanation, lapel.Explanation, set()),
    ],
)
def test_answers_have_the_names_of_the_local_ones(remote: Any, local: Any, more: set[str]) -> None:
    own = {each.name for each in fields(remote)} - more
    assert own <= {each.name for each in fields(local)}


def test_a_server_that_is_not_there() -> None:
    with lapel.connect("http://127.0.0.1:9") as store, pytest.raises(ApiError, match="lapel api"):
        store.product("red")


def test_the_client_loads_nothing_of_the_engine() -> None:
    heavy = "('numpy', 'PIL', 'faiss', 'pydantic')"
    asked = f"import sys, lapel; lapel.connect('http://x'); print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
