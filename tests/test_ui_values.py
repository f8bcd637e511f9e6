"""What the page is made of without a page: the address of a query, the cache of pictures, texts, and access."""

from __future__ import annotations

import re
import string
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

pytest.importorskip("streamlit", reason="the page needs streamlit: pip install 'lapel[ui]'")

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from lapel.apps import ui
from lapel.apps.ui import surroundings
from lapel.apps.ui.access import COOKIE, HOURS, Access, AccessMiddleware, make_cookie, read_cookie
from lapel.apps.ui.asked import Asked
from lapel.apps.ui.launch import middleware
from lapel.apps.ui.picture_cache import MINUTES, MOST, KeptPhoto, PictureCache
from lapel.apps.ui.texts import LANGUAGES, language_for, text, texts_of

# --- the address ------------------------------------------------------------------------------------------------------

IDS = some.lists(some.text(string.ascii_letters + string.digits, min_size=1, max_size=8), max_size=4, unique=True)
SIDES = some.sampled_from([0.0, 0.5, 1.0, 2.5, 4.0])
QUERIES = some.builds(
    Asked,
    text=some.text(string.ascii_letters, max_size=20),
    likes=IDS.map(tuple),
    unlikes=IDS.map(tuple),
    photo=some.sampled_from(["", "a1-_B"]),
    box=some.sampled_from([None, (0.0, 0.125, 0.5, 1.0)]),
    whole=some.booleans(),
    colour=some.sampled_from(["", "#c22f34"]),
    look=some.tuples(SIDES, SIDES, SIDES).filter(any),
    models=some.booleans(),
    anyway=some.booleans(),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(QUERIES)
def test_a_query_is_what_its_address_says(asked: Asked):
    assert Asked.read(asked.params()) == (asked, [])


def test_what_is_too_much_in_an_address_is_said():
    asked, unknown = Asked.read({"q": ["dress " * 100], "product": [f"p{number}" for number in range(14)]})
    assert (len(asked.text), len(asked.likes)) == (500, 12)
    assert unknown == ["q=..." + ("dress " * 100).strip()[500:][:20], "product=p12", "product=p13"]


NAMES = "q product unlike photo box whole tint look models anyway".split()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(some.dictionaries(some.sampled_from(NAMES), some.lists(some.text())))
def test_an_address_edited_by_hand_is_read_or_told_and_never_breaks(params: dict[str, list[str]]):
    asked, unknown = Asked.read(params)
    assert Asked.read(asked.params())[0] == asked
    too_much = {name for name in ("product", "unlike") if len(params.get(name, [])) > 12}
    too_much |= {"q"} if max(map(len, params.get("q", [""])), default=0) > 500 else set()
    assert {each.partition("=")[0] for each in unknown} <= {"box", "tint", "look"} | too_much


def test_likes_and_unlikes_exclude_each_other_and_a_query_needs_something_to_be_like():
    asked = Asked(text="dress").more_like("a").less_like("a")
    assert (asked.likes, asked.unlikes) == ((), ("a",))
    assert asked.more_like("a").unlikes == ()
    assert Asked(likes=("a",), unlikes=("b",)).without("likes", "a") == Asked()
    assert Asked(photo="x", box=(0, 0, 1, 1), text="red").without("photo") == Asked(text="red")


# --- the cache --------------------------------------------------------------------------------------------------------


def photo(label: str) -> KeptPhoto:
    vector = np.zeros(4, np.float32)
    return KeptPhoto(label, b"", (1, 1), vector, None, "f", b"", b"", None)


def test_a_picture_is_kept_while_it_is_used_and_then_forgotten():
    now = 0.0
    cache = PictureCache(clock=lambda: now)
    token = cache.put(photo("mine"))
    now = 60 * MINUTES - 1
    found = cache.get(token)
    assert found is not None
    assert found.label == "mine"
    now += 60 * MINUTES + 1
    assert cache.get(token) is None
    assert len(cache) == 0


def test_a_thousand_pictures_leave_the_newest_and_no_more():
    cache = PictureCache()
    tokens = [cache.put(photo(str(number))) for number in range(1000)]
    assert len(cache) == MOST
    assert cache.get(tokens[0]) is None
    assert cache.get(tokens[-1]) is not None
    assert len(set(tokens)) == 1000


# --- texts ------------------------------------------------------------------------------------------------------------


def braces(words: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(words) if name}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_text_with_the_same_values(language: str):
    english, other = texts_of("en"), texts_of(language)
    assert set(english) == set(other)
    for name, words in english.items():
        assert words.strip()
        assert braces(other[name]) <= braces(words) | ({"n"} if name.endswith("_one") else set()), name


def test_every_text_that_a_page_asks_for_is_there_and_none_is_left_over():
    sources = "\n".join(path.read_text("utf-8") for path in Path(ui.__file__).parent.rglob("*.py"))
    asked = set(re.findall(r"""["']([a-z]+\.[a-z_]+)["']""", sources))
    known = set(texts_of("en"))
    sections = {name.partition(".")[0] for name in known}
    missing = {name for name in asked - known if name.partition(".")[0] in sections}
    missing -= {name for name in missing if name.endswith((".css", ".html", ".js", ".py"))}
    assert not missing
    made = set(re.findall(r"""f["']([a-z]+\.[a-z_]*)\{""", sources))
    left = {
        name
        for name in known - asked
        if name.removesuffix("_one") not in asked and not any(name.startswith(prefix) for prefix in made)
    }
    assert not left


def test_counts_are_written_as_each_language_does():
    assert text("search.products", n=1234) == "1,234 products"
    assert text("search.products", n=1) == "1 product"
    assert text("search.products", language="de", n=1234) == "1.234 Produkte"
    assert [language_for(each) for each in ("de-AT", "fr", None)] == ["de", "en", "en"]


# --- access ---------------------------------------------------------------------------------------------------------


def test_a_cookie_is_only_this_process_own_and_ends():
    cookie = make_cookie("look", now=0)
    assert read_cookie(cookie, now=3600 * HOURS - 1) == "look"
    assert read_cookie(cookie, now=3600 * HOURS + 1) == ""
    for forged in ("", "manage", "manage.9999999999.", cookie.replace("look", "manage"), "x.y.z"):
        assert read_cookie(forged, now=0) == ""


def test_a_proxys_header_says_who_may_manage():
    access = Access(header="Remote-User", managers=("anna",))
    assert access.role_for({"remote-user": "anna"}, {}) == "manage"
    assert access.role_for({"remote-user": "bob"}, {}) == "look"
    assert access.role_for({}, {}) == ""
    assert Access(role="look").role_for({}, {}) == "look"


def behind(access: Access) -> TestClient:
    """A page and a connection behind the middleware."""

    def page(request: object) -> PlainTextResponse:
        return PlainTextResponse("the page")

    async def connection(socket: object) -> None:
        await socket.accept()  # type: ignore[attr-defined]
        await socket.close()  # type: ignore[attr-defined]

    routes = [Route("/", page), Route("/_stcore/health", page), WebSocketRoute("/_stcore/stream", connection)]
    return TestClient(AccessMiddleware(Starlette(routes=routes), access), follow_redirects=False)


def test_nobody_comes_in_without_the_password(monkeypatch):
    monkeypatch.setattr("lapel.apps.ui.access.WRONG_SECONDS", 0.0)
    client = behind(Access(password="manage me", look_password="look at me"))
    answer = client.get("/", headers={"accept-language": "de"})
    assert answer.status_code == 401
    assert "Passwort" in answer.text
    assert client.get("/_stcore/health").status_code == 200
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/_stcore/stream"):
        pass
    assert client.post("/login", data={"password": "guess"}).status_code == 401
    for password, role in (("look at me", "look"), ("manage me", "manage")):
        client.cookies.clear()
        answer = client.post("/login", data={"password": password})
        assert answer.status_code == 303
        assert "HttpOnly" in answer.headers["set-cookie"]
        assert read_cookie(client.cookies[COOKIE]) == role
        assert client.get("/").text == "the page"
        with client.websocket_connect("/_stcore/stream"):
            pass


def test_other_hosts_are_refused_where_hosts_are_named(monkeypatch):
    monkeypatch.setenv("LAPEL_UI_HOSTS", "shop.example")
    guard = middleware()[0]
    inside = Starlette(routes=[Route("/", lambda request: PlainTextResponse("in"))], middleware=[guard])
    client = TestClient(inside)
    assert client.get("/", headers={"host": "shop.example"}).status_code == 200
    assert client.get("/", headers={"host": "127.0.0.1:8501"}).status_code == 200
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400


def test_what_other_machines_reach_may_look_only_unless_it_asks(monkeypatch):
    for name in ("PASSWORD", "LOOK_PASSWORD", "USER_HEADER", "ROLE"):
        monkeypatch.delenv(f"LAPEL_UI_{name}", raising=False)
    assert "LAPEL_UI_ROLE" not in surroundings("127.0.0.1")
    assert surroundings("0.0.0.0")["LAPEL_UI_ROLE"] == "look"
    assert "LAPEL_UI_ROLE" not in surroundings("0.0.0.0", {"LAPEL_UI_PASSWORD": "x"})


@pytest.mark.parametrize(("path", "home"), [("/nope", "./"), ("/nope/deep", "../")])
def test_an_address_where_nothing_is_leads_to_the_start(path: str, home: str):
    """A browser that opens it is told so; what a page fetches from there goes on to Streamlit."""
    client = TestClient(Starlette(middleware=middleware()))
    told = client.get(path, headers={"sec-fetch-dest": "document", "accept-language": "de"})
    assert told.status_code == 404
    assert "Hier ist keine Seite" in told.text
    assert f"href='{home}'" in told.text
    assert client.get(path, headers={"sec-fetch-dest": "script"}).text == "Not Found"
    assert client.get("/discover", headers={"sec-fetch-dest": "document"}).text == "Not Found"  # it is Streamlit's
