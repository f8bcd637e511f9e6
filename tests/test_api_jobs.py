"""Jobs of the HTTP API: feeds and changes of the model that go on after their answer; and repeated requests."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

import lapel
from api_shop import fill, picture, serving_store
from lapel.apps.api import insight
from lapel.client import scoped_key
from lapel.core.signing import webhook_fits
from lapel.service import jobs as service


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return fill(tmp_path)


@pytest.fixture
def client(shop: Path) -> Iterator[httpx.Client]:
    with serving_store(shop) as client:
        yield client


class Web(http.server.ThreadingHTTPServer):
    """A server of pictures that also takes webhooks: the first one it refuses."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.heard: list[tuple[bytes, str]] = []
        self.enough = threading.Event()

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(picture((0, 80, 80)))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.heard.append((body, self.headers["lapel-signature"]))
        self.send_response(500 if len(self.server.heard) == 1 else 204)
        self.end_headers()
        if len(self.server.heard) > 1:
            self.server.enough.set()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setenv("LAPEL_ALLOW_HOSTS", "127.0.0.1")
    monkeypatch.setattr(service, "WEBHOOK_FIRST", 0.01)
    monkeypatch.setattr(service, "TICK_SECONDS", 0.02)
    server = Web()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def ended(client: httpx.Client, job_id: str) -> dict[str, Any]:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        job = client.get(f"/v1/jobs/{job_id}").json()
        if job["state"] in ("done", "failed", "cancelled"):
            return dict(job)
        time.sleep(0.02)
    raise AssertionError(job)


def test_a_feed_is_a_job_with_errors_and_a_signed_webhook_that_is_tried_again(client: httpx.Client, web: Web) -> None:
    table = f"id,title,pictures\nteal,Teal coat,{web.root}/teal.png\nlocal,Local,/etc/passwd\nbucket,B,s3://b/a.jpg\n"
    table += "gone,Gone,gone.png\n"
    options = {"webhook": f"{web.root}/hook"}
    made = client.post("/v1/feeds", files={"table": ("feed.csv", table)}, data={"options": json.dumps(options)})
    assert made.status_code == 202, made.text
    job_id, secret = made.json()["id"], made.json()["webhook_secret"]
    assert made.headers["location"] == f"/v1/jobs/{job_id}"
    job = ended(client, job_id)
    assert (job["state"], job["result"]["products_added"], job["result"]["products_rejected"]) == ("done", 1, 3), job
    assert "There is no file '…' in the request." in job["result"]["reasons"]
    assert "webhook_secret" not in job
    assert client.get("/v1/products/teal").status_code == 200
    errors = client.get(f"/v1/jobs/{job_id}/errors.csv")
    assert errors.headers["content-type"].startswith("text/csv")
    assert [line.split(",")[1] for line in errors.text.splitlines()] == ["product", "local", "bucket", "gone"]
    assert job_id not in errors.text  # nor where this machine keeps it
    assert web.enough.wait(30)
    (body, signature), (again, _) = web.heard[:2]
    assert json.loads(body)["job"]["state"] == json.loads(again)["job"]["state"] == "done"
    assert webhook_fits(secret, body, signature)
    assert [each["id"] for each in client.get("/v1/jobs").json()["jobs"]] == [job_id]


def test_a_feed_that_cannot_be_read_fails_in_words(client: httpx.Client) -> None:
    job = ended(client, client.post("/v1/feeds", files={"table": ("feed.csv", b"")}).json()["id"])
    assert job["state"] == "failed"
    assert job["error"]["code"] == "unreadable_table"
    assert job["error"]["message"].startswith("The feed ")
    assert job["id"] not in job["error"]["message"]
    for asked, status in (
        ({"json": {}}, 422),
        ({"json": {"url": "http://127.0.0.1:9/feed.csv"}}, 422),
        ({"json": {"uri": "x"}}, 422),
        ({"content": b"a,b", "headers": {"content-type": "text/csv"}}, 415),
        ({"files": {"table": ("a", b"id")}, "data": {"options": json.dumps({"webhook": "ftp://x"})}}, 422),
    ):
        assert client.post("/v1/feeds", **asked).status_code == status
    assert client.get("/v1/jobs/nobody").status_code == 404


def test_a_job_survives_a_restart_and_can_be_cancelled(shop: Path, web: Web) -> None:
    table = f"id,title,pictures\nteal,Teal,{web.root}/teal.png\n".encode()
    with lapel.open_store(shop) as store:
        first = store.jobs.add_feed(table)
        other = store.jobs.add_feed(table)
        catalog = store._context.catalog
        taken = catalog.jobs.claim("a process that was killed", questions=False)
        assert taken is not None
        assert taken.id == first.id
        assert catalog.jobs.beat(first.id, "a process that was killed", 1, 2) == "go on"
        assert store.jobs.cancel(other.id).state == "cancelled"
        assert catalog.jobs.claim("another", questions=False) is None  # one is being done, one is not wanted
        with catalog._pool.transaction() as database:
            database.execute("UPDATE job SET seen_at = 0")
    with serving_store(shop) as client:
        assert ended(client, first.id)["state"] == "done"
        assert client.get("/v1/products/teal").status_code == 200
        assert client.get(f"/v1/jobs/{other.id}").json()["state"] == "cancelled"
    with lapel.open_store(shop) as store:
        assert store._context.catalog.jobs.beat(first.id, "a process that was killed", 2, 2) == "lost"


def test_a_running_job_hears_that_it_should_stop(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()

    def endless(self: service.JobService, job: Any, report: service.Report) -> dict[str, Any]:
        begun.set()
        for done in range(10_000):
            report(done, None)
            time.sleep(0.005)
        raise AssertionError("it was not stopped")

    monkeypatch.setattr(service.JobService, "do", endless)
    monkeypatch.setattr(service, "TICK_SECONDS", 0.02)
    with lapel.open_store(shop) as store:
        runner = store.run_jobs()
        job = store.jobs.rebuild_index()
        assert begun.wait(30)
        store.jobs.cancel(job.id)
        until = time.monotonic() + 30
        while not store.jobs.get(job.id).ended and time.monotonic() < until:
            time.sleep(0.01)
        assert store.jobs.get(job.id).state == "cancelled"
        begun.clear()
        second = store.jobs.rebuild_index()
        assert begun.wait(30)
        runner.close()  # a restart gives it back
        assert store.jobs.get(second.id).state == "queued"


def test_a_long_question_keeps_no_change_waiting(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, changed = threading.Event(), threading.Event()

    def do(self: service.JobService, job: Any, report: service.Report) -> dict[str, Any]:
        if job.kind == "insight":
            asked.set()
            assert changed.wait(60)
        else:
            assert asked.wait(60)
            changed.set()
        return {}

    monkeypatch.setattr(service.JobService, "do", do)
    monkeypatch.setattr(service, "TICK_SECONDS", 0.02)
    with lapel.open_store(shop) as store:
        jobs = [store.jobs.ask("clusters"), store.jobs.rebuild_index()]
        runner = store.run_jobs()
        until = time.monotonic() + 90
        while not all(store.jobs.get(job.id).ended for job in jobs) and time.monotonic() < until:
            time.sleep(0.01)
        runner.close()
        assert [store.jobs.get(job.id).state for job in jobs] == ["done", "done"]


def test_another_model_and_another_index(client: httpx.Client) -> None:
    now = client.get("/v1/models").json()
    assert [each["photos"] for each in now["models"]] == [4]
    assert now["models"][0]["fingerprint"] == now["current"]
    job = ended(client, client.post("/v1/models:rollback", json={}).json()["id"])
    assert job["state"] == "failed"  # there is none before
    assert ended(client, client.post("/v1/index:use", json={"spec": "exact"}).json()["id"])["result"] == {"vectors": 4}
    assert client.get("/v1/index").json()["spec"] == "exact"
    for spec in ("../../model", "milvus://evil:19530", "/tmp/x", ""):
        assert client.post("/v1/models:use", json={"spec": spec}).status_code == 422
        assert client.post("/v1/index:use", json={"spec": spec}).status_code == 422


def test_a_repeated_request_is_done_once(client: httpx.Client) -> None:
    row = json.dumps({"id": "red", "title": "Once"})

    def send(content: str, key: str = "k1") -> httpx.Response:
        headers = {"content-type": "application/x-ndjson", "idempotency-key": key}
        return client.post("/v1/products:bulk", content=content, headers=headers)

    first = send(row)
    assert json.loads(first.text)["status"] == "updated"
    again = send(row)
    assert again.text == first.text  # not "unchanged", which doing it again would say
    assert again.headers["idempotent-replayed"] == "true"
    other = send(row.replace("Once", "Twice"))
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")
    assert json.loads(send(row, "k2").text)["status"] == "unchanged"
    assert send("", "k3").status_code == 422
    assert json.loads(send(row, "k3").text)["status"] == "unchanged"  # what failed may be tried again


def test_questions_of_the_catalogue_are_jobs(shop: Path, client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert get_args(insight.Question) == service.QUESTIONS
    monkeypatch.setattr("lapel.apps.api.serving.KEYS_SECONDS", 0.0)
    client.put("/v1/products/twin", files={"images": picture((200, 30, 30))}, data={"product": '{"title": "Twin"}'})
    with lapel.open_store(shop) as store:
        key = store.keys.create(("search", "write"))
    client.headers["Authorization"] = f"Bearer {key}"
    begun = client.post("/v1/insight/duplicates", json={"where": []})
    assert begun.status_code == 202
    path = begun.headers["location"]
    done = ended(client, begun.json()["id"])
    assert (done["state"], done["result"]["question"], done["result"]["rows"]) == ("done", "duplicates", 2)
    (group,) = client.get(f"{path}/findings.json").json()["groups"]
    assert (group["kind"], {each["product"] for each in group["members"]}) == ("exact", {"red", "twin"})
    assert client.get(f"{path}/findings.csv").text.count("\n") == 3
    for form in ("json", "csv", "html"):  # paths of the server's files are for its administrators
        assert "file:" not in client.get(f"{path}/findings.{form}").text
    page = client.get(f"{path}/findings.html")
    assert page.headers["content-disposition"].startswith("attachment")
    assert "twin" in page.text
    assert "<title>Duplicates</title>" in page.text
    assert client.get(f"{path}/errors.csv").status_code == 200
    failed = client.post("/v1/insight/trends")
    assert ended(client, failed.json()["id"])["error"]["code"] == "invalid_query"
    assert client.get(f"{failed.headers['location']}/findings.json").status_code == 404
    for question, options, status in (
        ("nonsense", {}, 422),
        ("clusters", {"where": ["no condition"]}, 422),
        ("clusters", {"k": 3}, 422),
    ):
        assert client.post(f"/v1/insight/{question}", json=options).status_code == status
    narrow = {"Authorization": f"Bearer {scoped_key(key, where=['gender=Women'])}"}
    assert client.post("/v1/insight/duplicates", headers=narrow).json()["code"] == "scope_missing"
    asked: Any = {"files": {"image": picture((200, 30, 30))}}
    assert client.post("/v1/price", headers=narrow, **asked).json()["code"] == "key_limited"
    assert client.post("/v1/price", **asked).json()["code"] == "invalid_query"  # too few prices to learn from
