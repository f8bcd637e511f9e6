"""The command line, as a person uses it: each command on a small shop of drawn pictures, and what is said when things
are wrong."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
import signal
import sqlite3
import subprocess
import sys
import time
import warnings
import zipfile
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from lapel.apps.cli import main
from lapel.core.images import Preprocessing
from lapel.encoders import segmenter
from lapel.engine.context import open_context
from lapel.engine.index_sync import IndexStatus, IndexSync
from lapel.service import Store, StoreInfo, open_store

COLOURS = {"Red": (200, 30, 40), "Blue": (30, 40, 190), "Green": (30, 150, 60)}


def run(*arguments: str | Path, code: int = 0) -> str:
    """Run ``lapel``; what it printed, stderr after stdout."""
    found, out, err = _lapel(*arguments)
    assert found == code, out + err
    return out + err


def run_json(*arguments: str | Path) -> Any:
    """The JSON that ``lapel ... --json`` printed: all of its stdout."""
    found, out, err = _lapel(*arguments, "--json")
    assert found == 0, err
    return json.loads(out)


def _lapel(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``lapel ARGUMENTS``, in this process: Python and its libraries are loaded
    once."""
    code, out, err = 0, io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
        patch.setattr(sys, "argv", ["lapel", *map(str, arguments)])
        try:
            main()
        except SystemExit as done:
            code = int(done.code or 0)
    return code, out.getvalue(), err.getvalue()


def process(*arguments: str | Path, code: str = "from lapel.apps.cli import main; main()") -> list[str]:
    """What runs ``lapel ARGUMENTS`` in a process of its own."""
    return [sys.executable, "-c", code, *map(str, arguments)]


def draw(path: Path, colour: tuple[int, int, int], step: int) -> None:
    image = Image.new("RGB", (60, 80), "white")
    ImageDraw.Draw(image).rectangle((10, 10, 30 + step, 70 - step), fill=colour)
    image.save(path, quality=95)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ZIP of 30 pictures and a table of 31 products, of which one has no picture; ten in each colour."""
    folder = tmp_path_factory.mktemp("pictures")
    rows = []
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for number in range(30):
            name = list(COLOURS)[number % 3]
            draw(folder / f"{number}.jpg", COLOURS[name], number // 3)
            archive.write(folder / f"{number}.jpg", f"{number}.jpg")
            split = "val" if number >= 24 else "train"
            rows.append(
                [number, f"{name} thing {number}", name, ("Women", "Men")[number % 2], f"{10 + number}.50", split]
            )
        archive.writestr("unused.jpg", (folder / "0.jpg").read_bytes())
    with (folder / "products.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "title", "colour", "gender", "price", "split"])
        table.writerows([*rows, [99, "Lost", "Red", "Men", "1.00", "train"]])
    return folder


def add_arguments(pictures: Path, store: Path) -> list[str | Path]:
    table = ["--products", pictures / "products.csv", "--map", "currency=EUR"]
    return ["add", pictures / "images.zip", *table, "--store", store, "--encoder", "colour:"]


@pytest.fixture(scope="module")
def shop(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("store") / "shop"
    text = run(*add_arguments(pictures, store))
    assert "31 rows: 30 products added, 0 updated, 0 unchanged, 1 left out" in text
    assert "31 pictures: 30 added, 0 encoded again, 0 unchanged, 1 left out" in text
    assert "1 picture of the source is named by no row" in text
    rejected = list(csv.DictReader((store / "rejected.csv").read_text().splitlines()))
    assert [row["product"] for row in rejected] == ["99"]
    return store


def test_adding_again_changes_nothing(pictures: Path, shop: Path) -> None:
    assert "0 products added, 0 updated, 30 unchanged, 1 left out" in run(*add_arguments(pictures, shop))


def test_search_by_picture_finds_it_first(pictures: Path, shop: Path) -> None:
    found = run_json("search", pictures / "4.jpg", "--store", shop, "-k", "3")
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3]
    assert found["hits"][0]["product"]["id"] == "4"
    assert found["hits"][0]["score"] == pytest.approx(1, abs=1e-4)
    assert {hit["product"]["colour"] for hit in found["hits"]} == {"Blue"}
    (understood,) = found["understood"]
    assert (understood["colours"]["certainty"], understood["colours"]["named"][0]["name"]) == ("sure", "blue")
    table = run("search", pictures / "4.jpg", "--store", shop, "-k", "3", "--colour", "0.5")
    assert re.search(r"Colours: (. )?blue 100% \(sure, [01]\.\d\d\)", table)
    assert "Blue thing 4" in table
    assert "14.50 EUR" in table


def test_search_by_product_with_filters(shop: Path) -> None:
    arguments = ["search", "--product", "4", "--store", shop, "--where", "gender=Women", "--where", "price<20"]
    products = [hit["product"] for hit in run_json(*arguments)["hits"]]
    assert sorted(product["id"] for product in products) == ["0", "2", "6", "8"]  # and not 4 itself
    assert all(product["price_minor"] < 2000 for product in products)


def test_no_result_says_why(shop: Path) -> None:
    assert "No product passes the filter colour=Pink (30 products in the store). Loosen --where." in run(
        "search", "--product", "4", "--store", shop, "--where", "colour=Pink"
    )


def test_nothing_close_says_so(shop: Path) -> None:
    asked = ["search", "--product", "4", "--store", shop, "--least", "1"]
    assert "No product has a score of 1 or more: the nearest of 30 products has 0." in run(*asked)
    found = run_json(*asked)
    assert (found["verdict"], found["hits"]) == ("nothing close", [])


def test_several_things_together(pictures: Path, shop: Path) -> None:
    words = run_json("search", "--text", "red", "--store", shop, "-k", "10")
    assert {hit["product"]["colour"] for hit in words["hits"]} == {"Red"}
    assert [part["kind"] for part in words["understood"]] == ["text"]
    asked = ["search", pictures / "1.jpg", "--text", "red", "--product", "2", "--store", shop]
    found = run_json(*asked, "-k", "3", "--group", "colour", "--facets", "colour", "--facets", "gender")
    assert [part["kind"] for part in found["understood"]] == ["image", "text", "product"]
    assert {hit["product"]["colour"] for hit in found["hits"]} == {"Red", "Blue", "Green"}  # each once
    for hit in found["hits"]:
        assert len(hit["contributions"]) == 3
        assert sum(hit["contributions"]) == pytest.approx(hit["score"], abs=1e-4)
    assert found["facets"] == {"colour": {"Blue": 10, "Green": 10, "Red": 10}, "gender": {"Men": 15, "Women": 15}}
    assert (found["verdict"], found["total"]) == ("found", 30)
    assert found["took_ms"]["total"] > 0
    text = run(*asked, "--facets", "gender")
    assert "gender\tMen (15), Women (15)" in text
    assert f"Look-alikes of {pictures / '1.jpg'} and 'red' and 2" in text


def test_a_folder_of_pictures_into_a_csv(shop: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "asked", tmp_path / "out.csv"
    (folder / "more").mkdir(parents=True)
    draw(folder / "a.jpg", COLOURS["Red"], 3)
    draw(folder / "more" / "b.jpg", COLOURS["Blue"], 3)
    (folder / "broken.jpg").write_bytes(b"no picture")
    asked = ["search", folder, tmp_path / "missing.jpg", "--csv", out, "-k", "2", "--where", "gender=Men"]
    text = run(*asked, "--store", shop)
    assert f"4 pictures: 2 answered, 2 could not be used. Wrote {out}" in text
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(Path(row["picture"]).name, row["rank"]) for row in rows] == [
        ("a.jpg", "1"), ("a.jpg", "2"), ("broken.jpg", ""), ("b.jpg", "1"), ("b.jpg", "2"), ("missing.jpg", "")
    ]  # fmt: skip
    one = run_json("search", folder / "a.jpg", "-k", "2", "--where", "gender=Men", "--store", shop)["hits"]
    assert [(row["id"], row["score"], row["verdict"]) for row in rows[:2]] == [
        (hit["product"]["id"], f"{hit['score']:.6f}", hit["verdict"] or "") for hit in one
    ]
    assert "Not a picture" in rows[2]["error"]
    assert "missing.jpg' cannot be read" in rows[5]["error"]
    assert not any(row["error"] for row in rows if row["rank"])
    run("search", folder / "a.jpg", "--csv", tmp_path / "far.csv", "--where", "price>99999", "--store", shop)
    with (tmp_path / "far.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["verdict"], row["rank"], row["error"]) == ("nothing passes the filter", "", "")  # an answer, no error
    facts = run_json(*asked, "--store", shop)
    assert facts == {"pictures": 4, "answered": 2, "failed": 2, "csv": str(out)}


def test_a_csv_of_nothing_is_an_error(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    out = ["--csv", tmp_path / "out.csv", "--store", shop]
    assert "1 picture: 0 answered, 1 could not be used" in run("search", tmp_path / "broken.jpg", *out, code=1)
    (tmp_path / "empty").mkdir()
    assert "0 pictures: 0 answered" in run("search", tmp_path / "empty", *out, code=1)
    assert "answers pictures" in run("search", "--text", "red", *out, code=2)
    assert "1 to 10,000; found 0" in run("search", tmp_path / "broken.jpg", *out, "-k", "0", code=1)
    assert "Add --csv FILE" in run("search", tmp_path / "empty", "--store", shop, code=2)


def test_former_names_work_and_say_the_new_ones(pictures: Path, shop: Path, tmp_path: Path) -> None:
    judged = ["evaluate", "--relevant", "colour", "--store", shop]
    compared = ["model", "compare", "colour:", "small", "--store", shop, "--contact-sheet", tmp_path / "c.png"]
    for common, former, new in (
        (["search", pictures / "4.jpg", "--store", shop], ["--whole"], ["--no-segment"]),
        (judged, ["--per", "gender"], ["--group-by", "gender"]),
        (judged, ["--sheet", tmp_path / "a.png"], ["--contact-sheet", tmp_path / "a.png"]),
        (compared, ["--ask", "7"], ["--num-queries", "7"]),
        (["media", "thumbnails", "--store", shop], ["--most", "500"], ["--max-mb", "500"]),
    ):
        code, out, err = _lapel(*common, *former)
        assert (code, out) == _lapel(*common, *new)[:2]
        assert f"{former[0]} is called {new[0]} now" in err
        assert former[0] not in run(*(word for word in common if isinstance(word, str) and word[0] != "-"), "--help")
    assert (tmp_path / "a.png").exists()
    moved = ["move", "file:///no/where", "file:///new", "--dry-run", "--store", shop]
    code, out, err = _lapel("hosting", *moved)
    assert (code, out) == _lapel("media", *moved)[:2]
    assert "'lapel hosting' is called 'lapel media' now" in err
    assert "hosting" not in run("--help")


def test_an_error_as_json(shop: Path) -> None:
    code, out, err = _lapel("search", "--product", "nobody", "--store", shop, "--json")
    assert (code, out) == (1, "")
    error = json.loads(err.splitlines()[-1])
    assert error["code"] == "invalid_query"
    assert "nobody" in error["message"]


def test_a_mistake_in_the_source_makes_no_store(tmp_path: Path) -> None:
    assert "nowhere" in run("add", "nowhere", "--store", tmp_path / "shop", code=1)
    assert not (tmp_path / "shop").exists()


def test_verbose_and_quiet(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def logged(*options: str) -> str:
        def info(self: Store) -> StoreInfo:
            logger = logging.getLogger("lapel.index")
            for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
                logger.log(level, "level %d\x1b[2J", level)
            return facts

        with open_store(shop) as opened:
            facts = opened.info()
        with monkeypatch.context() as patch:
            patch.setattr(Store, "info", info)
            return _lapel(*options, "info", "--store", shop)[2]

    assert logged() == "Warning: level 30\nError: level 40\n"
    assert logged("-v") == "".join(
        f"{name}: lapel.index: level {level}\n" for name, level in (("Info", 20), ("Warning", 30), ("Error", 40))
    )
    assert "Debug: lapel.index: level 10" in logged("-vv")
    assert logged("--quiet") == "Error: level 40\n"
    compared = ["model", "compare", "colour:", "small", "--store", shop, "--contact-sheet", tmp_path / "c.png"]
    assert "encoding: " in _lapel(*compared)[2]
    assert _lapel("-q", *compared)[2] == ""
    run("info", "--store", shop)  # and nobody is quiet afterwards
    assert "encoding: " in _lapel(*compared)[2]


def test_info_tells_of_a_failed_index(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = replace(IndexStatus("faiss:auto"), problem="No space left on device")
    monkeypatch.setattr(IndexSync, "status", lambda _: failed)
    assert "index failed: No space left on device" in run("info", "--store", shop)
    assert run_json("info", "--store", shop)["index_problem"] == "No space left on device"


def test_info(shop: Path) -> None:
    facts = run_json("info", "--store", shop)
    assert (facts["products"], facts["photos"]) == (30, 30)
    assert facts["model"]["name"] == "colour"
    assert facts["fields"]["colour"] == {"Blue": 10, "Green": 10, "Red": 10}
    assert "30 products, 30 photos, 30 vectors" in run("info", "--store", shop)


def test_evaluate(shop: Path, tmp_path: Path) -> None:
    arguments = [
        "evaluate",
        "--store",
        shop,
        "--queries",
        "split=val",
        "--gallery",
        "split=train",
        "--relevant",
        "colour",
        "-k",
        "1",
    ]
    report = run_json(*arguments)
    assert report["queries"]["photos"] == 6
    assert report["rules"][0]["measures"]["recall@1"]["value"] == 1
    text = run(*arguments, "--contact-sheet", tmp_path / "worst.png")
    assert "Recall@1" in text
    with Image.open(tmp_path / "worst.png") as sheet:
        assert sheet.width > 500
    assert "cannot be written" in run(*arguments, "--contact-sheet", tmp_path / "no" / "worst.png", code=1)


def test_remove_then_add_again(pictures: Path, tmp_path: Path) -> None:
    store = tmp_path / "shop"
    run(*add_arguments(pictures, store))
    assert "Removed 2 products.\nThe store has no product nobody." in run(
        "remove", "1", "2", "nobody", "--store", store
    )
    assert run_json("info", "--store", store)["products"] == 28
    assert "2 products added, 0 updated, 28 unchanged" in run(*add_arguments(pictures, store))
    assert "Built an index of 30 vectors" in run("index", "rebuild", "--store", store)


def test_a_folder_without_a_table(pictures: Path, tmp_path: Path) -> None:
    for kind in ("hats", "mugs"):
        (tmp_path / "in" / kind).mkdir(parents=True)
        draw(tmp_path / "in" / kind / f"{kind}1.jpg", COLOURS["Red"], 3)
    text = run("add", tmp_path / "in", "--store", tmp_path / "shop", "--encoder", "colour:")
    assert "2 products added" in text
    facts = run_json("info", "--store", tmp_path / "shop")
    assert facts["products"] == 2
    found = run_json(
        "search", tmp_path / "in" / "hats" / "hats1.jpg", "--store", tmp_path / "shop", "--where", "category=hats"
    )
    assert len(found["hits"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "missing.jpg"], "'missing.jpg' cannot be read.*Check the path"),
        (["search", "--product", "nobody"], "no product 'nobody'"),
        (["search", "--product", "4", "-k", "0"], "1 to 10,000; found 0"),
        (["search", "--product", "4", "--where", "size=M"], "no field 'size'"),
        (["search", "--product", "4", "--where", "price<cheap"], "one number"),
        (["evaluate", "--relevant", "shape"], "no field 'shape'"),
        (["evaluate", "--relevant", "colour", "--queries", "split=test"], "split=test"),
        (["add", "nowhere"], "nowhere"),
        (["add", ".", "--map", "title=name"], "there is none"),
    ],
)
def test_mistakes_are_told_in_one_line(shop: Path, arguments: list[str], message: str) -> None:
    text = run(*arguments, "--store", shop, code=1)
    assert re.search(message, text), text
    assert "Traceback" not in text


def test_no_store_says_what_to_type(tmp_path: Path, pictures: Path) -> None:
    assert "lapel add" in run("search", pictures / "4.jpg", "--store", tmp_path, code=1)
    assert not list(tmp_path.iterdir())


def test_another_model_is_refused_and_nothing_is_lost(pictures: Path, shop: Path) -> None:
    arguments = [
        "add",
        pictures / "images.zip",
        "--products",
        pictures / "products.csv",
        "--store",
        shop,
        "--encoder",
        "small",
    ]
    assert "cannot be compared" in run(*arguments, "--map", "currency=EUR", code=1)
    assert run_json("info", "--store", shop)["products"] == 30


STOPPING = """
import signal, threading
from lapel.apps.cli import main
from lapel.encoders.colour import ColourEncoder

stopped, encode, pictures = threading.Event(), ColourEncoder.encode_pixels, 0

def interrupt(*_):
    stopped.set()
    raise KeyboardInterrupt

def encode_pixels(self, pixels):
    global pictures
    pictures += len(pixels)
    if pictures > 150:  # two batches are done; from now on nothing gets done
        stopped.wait(60)
    return encode(self, pixels)

signal.signal(signal.SIGINT, interrupt)
ColourEncoder.encode_pixels = encode_pixels
main()
"""


def test_interrupted_adding_says_so_and_goes_on(tmp_path: Path) -> None:
    folder, shop = tmp_path / "many", tmp_path / "shop"
    folder.mkdir()
    for number in range(400):
        draw(folder / f"{number}.png", (number % 256, 60, 90), number % 20)
    arguments = ["add", folder, "--store", shop, "--encoder", "colour:"]
    command = process(*arguments, code=STOPPING)
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        deadline = time.monotonic() + 100
        while photos(shop) < 128 and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=100)
    assert child.returncode == 130, said
    assert "the same command goes on" in said
    assert "Traceback" not in said
    stored = photos(shop)
    assert 128 <= stored < 400
    text = run(*arguments)
    assert f"{400 - stored} products added, 0 updated, {stored} unchanged, 0 left out" in text
    facts = run_json("info", "--store", shop)
    assert (facts["products"], facts["photos"]) == (400, 400)


def photos(store: Path) -> int:
    """How many are stored, also while another process is adding them."""
    if not (store / "catalog.sqlite").exists():
        return 0
    database = sqlite3.connect(store / "catalog.sqlite")
    try:
        found: int = database.execute("SELECT count(*) FROM photo").fetchone()[0]
    except sqlite3.OperationalError:  # its tables are not made yet
        found = 0
    finally:
        database.close()
    return found


class BluePart:
    """Stands for the network that finds products: the product of every picture is a blue square."""

    def cut_out(
        self, pictures: Sequence[Image.Image], *, shape: Preprocessing, on_white: Sequence[bool] | None = None
    ) -> list[segmenter.CutOut | None]:
        return [segmenter.CutOut(Image.new("RGB", (64, 64), (0, 0, 200)), (0, 0, 1, 1)) for _ in pictures]


def test_scores_are_cosines_and_whole_leaves_the_product_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The query is red; what is found in it is blue.

    The score of each picture is its cosine to one, or to both's mean.
    """
    monkeypatch.setattr(segmenter, "open_segmenter", BluePart)
    (tmp_path / "in").mkdir()
    plain = {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200)}
    for name, colour in plain.items():
        Image.new("RGB", (64, 64), colour).save(tmp_path / "in" / f"{name}.png")
    store = tmp_path / "shop"
    run("add", tmp_path / "in", "--store", store, "--encoder", "colour:")
    with open_context(store) as shop:
        one, other = shop.encoder.encode([Image.new("RGB", (64, 64), plain[name]) for name in ("red", "blue")])
    # Equally dark everywhere, and no colour in common: half of each vector is the same.
    assert float(one @ other) == pytest.approx(0.5, abs=1e-4)
    expected = {
        ("--no-segment",): {"red": "1.000", "green": "0.500", "blue": "0.500"},
        (): {"red": "0.866", "blue": "0.866", "green": "0.577"},  # sqrt(3)/2 and 1/sqrt(3)
    }
    for options, scores in expected.items():
        asked = ["search", tmp_path / "in" / "red.png", "--store", store, *options]
        lines = [line.split() for line in run(*asked).splitlines()]
        assert {line[2]: line[1] for line in lines if line[0] in ("1", "2", "3")} == scores
        found = run_json(*asked)["hits"]
        assert {hit["product"]["id"]: f"{hit['score']:.3f}" for hit in found} == scores
    assert len(run_json("search", tmp_path / "in" / "red.png", "--store", store, "-k", "2")["hits"]) == 2


@pytest.mark.parametrize("table", [True, False])
def test_a_limit_is_a_number_of_rows(pictures: Path, tmp_path: Path, table: bool) -> None:
    arguments = add_arguments(pictures, tmp_path / "shop")
    if not table:
        arguments[2:6] = []
    text = run(*arguments, "--limit", "3")
    assert "3 products added, 0 updated, 0 unchanged, 0 left out" in text
    assert run_json("info", "--store", tmp_path / "shop")["products"] == 3
    assert "1 product added, 0 updated, 3 unchanged" in run(*arguments, "--limit", "4")
    assert "--limit" in run(*arguments, "--limit", "0", code=2)
    assert "--limit reads a part" in run(*arguments, "--limit", "4", "--sync", code=1)
    assert run_json("info", "--store", tmp_path / "shop")["products"] == 4


@pytest.fixture
def changeable(pictures: Path, tmp_path: Path) -> Path:
    """A shop of its own, whose model may be changed."""
    store = tmp_path / "shop"
    run(*add_arguments(pictures, store))
    return store


def models(store: Path) -> dict[str, tuple[int, bool, bool]]:
    found = run_json("model", "list", "--store", store)["models"]
    return {one["name"]: (one["photos"], one["active"], one["previous"]) for one in found}


def test_changing_the_model_and_back(changeable: Path) -> None:
    assert models(changeable) == {"colour": (30, True, False)}
    before = run_json("search", "--product", "4", "--store", changeable)["hits"]
    text = run("model", "use", "small", "--store", changeable)
    assert "encoding: 30 of 30" in text
    assert re.search(r"searched with .* now; 30 photos were encoded for it", text)
    (new,) = models(changeable).keys() - {"colour"}
    assert models(changeable) == {"colour": (30, False, True), new: (30, True, False)}
    assert run_json("search", "--product", "4", "--store", changeable)["hits"] != before
    assert "30 more vectors of other models" in run("info", "--store", changeable)
    assert "searched with colour" in run("model", "rollback", "--store", changeable)
    assert run_json("search", "--product", "4", "--store", changeable)["hits"] == before
    listed = run("model", "list", "--store", changeable)
    assert re.search(r"in use\tcolour\t.*\t30 of 30\tcolour:\n", listed)
    assert re.search(rf"before\t{new}\t.*\t30 of 30\tsmall\n", listed)
    assert "Dropped 30 vectors" in run("model", "prune", "--store", changeable)
    assert models(changeable) == {"colour": (30, True, False)}
    assert "no model to go back to" in run("model", "rollback", "--store", changeable, code=1)


def test_changing_the_model_in_the_background(changeable: Path) -> None:
    command = process("model", "use", "small", "--store", changeable, "--background")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert re.search(r"in the background \(process \d+\)", done.stdout)
    deadline = time.monotonic() + 100
    while models(changeable)["colour"][1] and time.monotonic() < deadline:
        time.sleep(0.2)
    assert models(changeable)["colour"] == (30, False, True)
    while run_json("model", "list", "--store", changeable)["work"] and time.monotonic() < deadline:
        time.sleep(0.2)
    while "photos were encoded" not in (changeable / "model.log").read_text() and time.monotonic() < deadline:
        time.sleep(0.2)
    log = (changeable / "model.log").read_text()
    assert "encoding: 30 of 30" in log
    assert "Traceback" not in log


def test_comparing_two_models(shop: Path, tmp_path: Path) -> None:
    arguments = ["model", "compare", "colour:", "small", "--store", shop, "--contact-sheet", tmp_path / "sheet.png"]
    text = run(*arguments, "--relevant", "colour", "-k", "5", "--show", "2")
    assert "30 queries against 30 products" in text
    assert re.search(r"Recall@1 +A 100\.0 %", text)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 1000
    assert run_json(*arguments, "--num-queries", "7")["queries"] == 7
    assert models(shop)["colour"] == (30, True, False)
    arguments[-1] = tmp_path / "no" / "sheet.png"
    assert "--contact-sheet" in run(*arguments, code=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["use", "colour:"], "already"),
        (["use", "colour:", "--background"], "already"),
        (["use", "nowhere"], "no model folder 'nowhere'.*vectors of"),
        (["use", "nowhere", "--background"], "no model folder 'nowhere'"),
        (["rollback"], "no model to go back to"),
        (["compare", "colour:", "colour"], "the same model"),
        (["compare", "colour:", "default", "-k", "0"], "found 0"),
    ],
)
def test_impossible_changes_are_told_in_one_line(shop: Path, arguments: list[str], message: str) -> None:
    text = run("model", *arguments, "--store", shop, code=1)
    assert re.search(message, text), text
    assert "Traceback" not in text


def test_demo_draws_indexes_and_searches_and_is_quick_to_repeat(tmp_path: Path) -> None:
    arguments = ["demo", "--folder", tmp_path / "demo", "--products", "20", "--no-serve"]
    first = run(*arguments, "--encoder", "colour:")
    assert "20 rows: 20 products added" in first
    assert "Look-alikes of W0020, " in first
    assert "0 products added, 0 updated, 20 unchanged" in run(*arguments, "--encoder", "colour:")
    assert "filled with another model" in run(*arguments, "--encoder", "small")  # its own one: tests/try_wheel.sh
    assert json.loads(run("info", "--store", tmp_path / "demo" / "shop", "--json"))["model"]["name"] != "colour"


def test_help_and_version() -> None:
    done = subprocess.run(process("--version"), capture_output=True, text=True, check=True)
    assert done.stdout.startswith("lapel 0.")
    text = run("--help")
    assert all(
        name in text
        for name in ("add", "search", "evaluate", "info", "remove", "index", "media", "model", "ui", "demo", "train")
    )
