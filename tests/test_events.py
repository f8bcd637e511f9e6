"""What people did: each event once, in any order, nothing lost; a person found and erased by name alone."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import lapel
from inputs.fashion import fashion_store
from lapel.apps.cli import app
from lapel.catalog import events as module
from lapel.catalog.events import EventLog, ServedList
from lapel.core.errors import InputError, SourceError, StoreReadOnlyError, StoreTooNewError
from lapel.core.events import KINDS, Event
from lapel.testing.catalog import MODEL, entry

NOON = 1_795_953_600.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[lapel.Store]:
    with lapel.open_store(tmp_path / "shop", create=True, encoder="colour:") as opened:
        opened._context.catalog.write([entry(name, "a") for name in ("p1", "p2", "p3")], fingerprint=MODEL)
        yield opened


def event(name: str, person: str = "anna", product: str = "p1", kind: str = "view", at: float = NOON) -> dict[str, Any]:
    return {"id": name, "person": person, "product": product, "kind": kind, "time": at}


def test_each_counts_once_whatever_the_order(store: lapel.Store) -> None:
    many = [event(str(n), f"person {n % 7}", f"p{n % 3 + 1}", KINDS[n % 6], NOON - n) for n in range(600)]
    first = store.record(many[:400])
    assert (first.read, first.added, first.duplicates, first.rejected) == (400, 400, 0, 0)
    again = many + many[::3]
    random.Random(1).shuffle(again)
    second = store.record(again)
    assert (second.read, second.added, second.duplicates, second.conflicts) == (800, 200, 600, 0)
    assert store.events.counts()["events"] == 600
    found = store.export("person 3").events
    assert [each.id for each in found] == [one["id"] for one in reversed(many) if one["person"] == "person 3"]


def test_an_id_that_says_something_else_is_told_and_the_first_stays(store: lapel.Store) -> None:
    report = store.record([event("1"), event("1", product="p2")])
    assert (report.added, report.duplicates, report.conflicts) == (1, 1, 1)
    assert store.record([event("1", kind="buy")]).conflicts == 1
    assert [each.product for each in store.export("anna").events] == ["p1"]


def test_what_is_odd_is_kept_and_counted_and_what_is_no_event_is_named(store: lapel.Store) -> None:
    report = store.record(
        [
            event("future", at=time.time() + 10 * 86_400),
            event("old", at=0),
            event("early", product="comes-later"),
            event("emoji", person="\U0001f457 Zo\u00eb"),
            event("long", person="x" * 10_000),
            event("nan", at=float("nan")),
            event("", product="p1"),
            event("kind", kind="stare"),
            {"id": "half"},
            Event("iso", "anna", "p1", "like", "2026-11-29T10:00:00+01:00"),
        ]
    )
    assert (report.added, report.rejected, report.future, report.ancient, report.unknown) == (6, 4, 1, 1, 1)
    assert report.unknown_products == ("comes-later",)
    assert [where for where, _ in report.problems] == ["event 6", "event 7", "event 8", "event 9"]
    assert len(store.export("x" * 10_000).events) == len(store.export("\U0001f457 Zo\u00eb").events) == 1
    assert 1_795_942_800.0 in [each.at for each in store.export("anna").events]


@pytest.mark.parametrize(
    "wrong",
    [
        {"product": "half \ud800 a letter"},
        {"product": "nul\0"},
        {"id": "x" * 501},
        {"time": "yesterday"},
        {"time": None},
        {"time": True},
        {"person": 7},
        {"list_id": 7},
    ],
)
def test_what_is_wrong_with_an_event_is_said(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="An event"):
        Event.of({**event("1"), **wrong})


def test_the_file_tells_nobody_who_it_was_and_two_stores_hash_differently(tmp_path: Path) -> None:
    hashes = []
    for name in ("one", "two"):
        log = EventLog(tmp_path / f"{name}.sqlite", read_only=False)
        log.add([Event.of(event("1", person="anna@example.org"))], now=NOON)
        log.close()
        data = (tmp_path / f"{name}.sqlite").read_bytes()
        assert b"anna" not in data
        with sqlite3.connect(tmp_path / f"{name}.sqlite") as database:
            hashes.append(database.execute("SELECT hash FROM person").fetchone()[0])
        database.close()
    assert hashes[0] != hashes[1]


def test_a_person_is_erased_from_everything_and_others_stay(store: lapel.Store) -> None:
    log = store._context.events
    others = [event(f"b{n}", "bert", f"p{n % 3 + 1}", "like") for n in range(9)]
    store.record(others)
    alone = log.popularity()
    store.record([event("anna-bought-this", "anna", "p1", "buy"), event("a2", "anna", "p2", "view")])
    log.serve([ServedList("l1", NOON, {"kind": "for-you"}, ("p1",), (1.0,))], ["anna"])
    log.serve([ServedList("l2", NOON, {"kind": "for-you"}, ("p2",), (1.0,))], ["bert"])
    gone = store.erase("anna")
    assert (gone.events, gone.lists) == (2, 1)
    assert store.export("anna").events == store.export("anna").lists == ()
    assert log.popularity() == pytest.approx(alone)
    assert len(store.export("bert").events) == 9
    assert [each["list_id"] for each in store.export("bert").lists] == ["l2"]
    assert store.erase("anna").events == store.erase("nobody").events == 0
    data = b"".join(path.read_bytes() for path in store.folder.glob("events.sqlite*"))
    assert b"anna-bought" not in data  # long enough that random bytes cannot spell it
    assert store.record([event("anna-bought-this", "anna")]).added == 1  # forgotten, so it is new


def test_a_program_does_not_decide_what_is_popular(store: lapel.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COUNTED_EVENTS", 50)
    monkeypatch.setattr(module, "HISTORY", 20)
    report = store.record([event(f"bot{n}", "bot", "p1", at=NOON + n) for n in range(500)])
    assert (report.added, report.capped) == (500, 450)
    store.record([event(f"h{n}", f"human {n}", "p2") for n in range(60)])
    popular = store._context.events.popularity()
    assert popular["p1"] < popular["p2"]
    assert len(store.export("bot").events) == 500  # nothing is lost
    assert len(store._context.events.history("bot").products) == 20


def test_popularity_is_the_sum_of_what_each_event_says(store: lapel.Store) -> None:
    rng = np.random.default_rng(3)
    made = [event(str(n), f"p{n}", f"p{rng.integers(1, 4)}", KINDS[rng.integers(6)], NOON - 1e5 * n) for n in range(90)]
    for at in range(0, 90, 13):
        store.record(made[at : at + 13])
    expected: dict[str, float] = {}
    for one in made:
        weight = {"view": 1, "like": 3, "cart": 5, "buy": 10}.get(one["kind"], 0)
        added = weight * 2 ** ((min(one["time"], time.time()) - module.EPOCH) / module.HALF_LIFE)
        expected[one["product"]] = expected.get(one["product"], 0) + added
    assert store._context.events.popularity() == pytest.approx(expected)


def test_what_was_bought_or_dismissed_is_known_as_of_any_moment(store: lapel.Store) -> None:
    store.record([event("1", kind="buy", at=100.0), event("2", product="p2", kind="dismiss", at=200.0)])
    store.record([event("3", product="p3", kind="like", at=300.0)])
    log = store._context.events
    assert log.history("anna").refused == {"p1", "p2"}
    assert log.history("anna", before=150.0).refused == {"p1"}
    assert log.history("anna", before=250.0).products == ("p1", "p2")
    assert log.history("nobody") == module.NO_HISTORY


# --- files ------------------------------------------------------------------------------------------------------------


def test_files_are_taken_in_and_what_is_cut_short_is_named(tmp_path: Path, store: lapel.Store) -> None:
    table = tmp_path / "events.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, ["id", "person", "product", "kind", "time", "list_id"])
        rows.writeheader()
        rows.writerows(event(f"c{n}") | {"list_id": "l"} for n in range(5))
        file.write("c9,anna,p1,vi")
    lines = tmp_path / "events.jsonl"
    text = "\n".join(json.dumps(event(f"j{n}")) for n in range(5))
    lines.write_text(text[:-9], encoding="utf-8")
    of_table, of_lines = store.events.add_file(table), store.events.add_file(lines)
    assert (of_table.added, of_table.rejected, of_table.problems[0][0]) == (5, 1, "line 7")
    assert (of_lines.added, of_lines.rejected, of_lines.problems[0][0]) == (4, 1, "line 5")
    assert store.export("anna").events[0].list_id in ("l", "")
    quoted = tmp_path / "quoted.csv"
    quoted.write_text('id,person,product,kind,time\nq1,anna,p1,view,1\nq2,"anna,p1', encoding="utf-8")
    found = store.events.add_file(quoted)
    assert (found.added, found.rejected) == (1, 1)
    with pytest.raises(SourceError, match="kind"):
        store.events.add_file(_written(tmp_path / "no.csv", "id,person,product,time\n"))
    with pytest.raises(SourceError, match=r"\.jsonl"):
        store.events.add_file(tmp_path / "events.parquet")
    with pytest.raises(SourceError, match="cannot be read"):
        store.events.add_file(tmp_path / "missing.csv")


def _written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_the_command_line_takes_in_gives_out_and_erases(tmp_path: Path, store: lapel.Store) -> None:
    rows = [event(f"e{n}", product="p9" if n else "p1") for n in range(3)]
    path = _written(tmp_path / "e.jsonl", "\n".join(map(json.dumps, rows)))

    def run(*words: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["events", *words, "--store", str(store.folder)])
        assert result.exit_code == code, result.output
        return result.stdout

    assert "3 added" in run("add", str(path))
    assert json.loads(run("add", str(path), "--json"))["duplicates"] == 3
    assert len(json.loads(run("export", "anna", "--json"))["events"]) == 3
    assert "Erased 3 events" in run("erase", "anna")
    run("erase", "anna", code=1)
    run("add", str(_written(tmp_path / "bad.jsonl", "{}\n")), code=1)


# --- the file ---------------------------------------------------------------------------------------------------------


def test_a_store_without_events_has_no_file_and_answers_all_the_same(store: lapel.Store) -> None:
    assert not (store.folder / "events.sqlite").exists()
    assert store.export("anna").events == ()
    assert store.events.counts()["events"] == 0
    assert store._context.events.popularity() == {}
    assert store._context.events.interactions().products == ()


def test_a_read_only_store_keeps_nothing_and_a_newer_file_is_refused(tmp_path: Path, store: lapel.Store) -> None:
    store.record([event("1")])
    with lapel.open_store(store.folder, read_only=True) as looked:
        assert len(looked.export("anna").events) == 1
        with pytest.raises(StoreReadOnlyError):
            looked.record([event("2")])
    store.close()
    with sqlite3.connect(store.folder / "events.sqlite") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with lapel.open_store(store.folder) as opened, pytest.raises(StoreTooNewError):
        opened.record([event("2")])


def test_lists_are_kept_up_to_a_bound(store: lapel.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SERVED", 20)
    monkeypatch.setattr(module, "TRIM_INTERVAL", 10)
    log = store._context.events
    for n in range(95):
        log.serve([ServedList(str(n), NOON + n, {}, ("p1",), (1.0,))], [None])
    kept = [one.id for one, _ in log.served()]
    assert 20 <= len(kept) < 31
    assert kept[-1] == "94"


WRITER = """
import sys
from pathlib import Path
from lapel.catalog.events import EventLog
from lapel.core.events import Event
name, path = sys.argv[1], Path(sys.argv[2])
log = EventLog(path, read_only=False)
for at in range(0, 100_000, 200):
    log.add([Event(f"{name}{n}", f"u{n % 50}", f"p{n % 90}", "view", 1e9 + n) for n in range(at, at + 200)], now=2e9)
    print(at + 200, flush=True)
"""


READER = """
import sys
import lapel
with lapel.open_store(sys.argv[2]) as store:
    for n in range(1_000_000):
        result = store.recommend(person=f"u{n % 50}", k=5)
        print(len(result), len(set(hit.product.id for hit in result)), flush=True)
"""


def test_two_processes_write_while_a_third_recommends_all_are_killed_and_nothing_is_lost_or_twice(
    tmp_path: Path,
) -> None:
    with fashion_store(tmp_path / "shop", 60) as store:
        store.record([event("first", "u1", "p1")])
    path = tmp_path / "shop" / "events.sqlite"
    environment = {**os.environ, "PYTHONPATH": str(Path(lapel.__file__).parents[1])}
    started = ((WRITER, "a", path), (WRITER, "b", path), (READER, "reader", path.parent))
    a, b, reader = (
        subprocess.Popen(
            [sys.executable, "-c", script, name, str(at)], stdout=subprocess.PIPE, text=True, env=environment
        )
        for script, name, at in started
    )
    told = {"a": 0, "b": 0}
    for _ in range(5):  # the third answers in between, from what is there by then
        told = {name: int(_line(writer)) for name, writer in (("a", a), ("b", b))}
        assert _line(reader) == "5 5"
    for process in (a, b, reader):
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    log = EventLog(path, read_only=False)
    with sqlite3.connect(path) as database:
        ids = [name for (name,) in database.execute("SELECT id FROM event")]
        counted = dict(database.execute("SELECT person, count(*) FROM event GROUP BY person"))
        held = dict(database.execute("SELECT row, events FROM person"))
        assert database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert ids.count("first") == 1
    database.close()
    assert len(ids) == len(set(ids))
    for name in "ab":  # what was told is there; what was not is there whole or not at all
        kept = sum(each.startswith(name) for each in ids)
        assert kept >= told[name]
        assert kept % 200 == 0
    assert counted == held
    log.close()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()
