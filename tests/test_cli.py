"""The command line, as a person uses it: each command on a small shop of drawn pictures, and what is said when things are wrong."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

COLOURS = {"Red": (200, 30, 40), "Blue": (30, 40, 190), "Green": (30, 150, 60)}


def run(*arguments: str | Path, code: int = 0) -> str:
    """Run ``lapel`` in a process of its own; what it printed, stderr after stdout."""
    done = _process(*arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def run_json(*arguments: str | Path) -> Any:
    """The JSON that ``lapel ... --json`` printed: all of its stdout."""
    done = _process(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _process(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from lapel.apps.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "160", "NO_COLOR": "1"},
        check=False,
    )


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
    table = run("search", pictures / "4.jpg", "--store", shop, "-k", "3")
    assert "Blue thing 4" in table
    assert "14.50 EUR" in table


def test_search_by_product_with_filters(shop: Path) -> None:
    arguments = ["search", "--product", "4", "--store", shop, "--where", "gender=Women", "--where", "price<20"]
    products = [hit["product"] for hit in run_json(*arguments)["hits"]]
    assert sorted(product["id"] for product in products) == ["0", "2", "6", "8"]  # and not 4 itself
    assert all(product["price_minor"] < 2000 for product in products)


def test_no_result_says_why(shop: Path) -> None:
    assert "No product passes the filter colour=Pink (30 in the store)" in run(
        "search", "--product", "4", "--store", shop, "--where", "colour=Pink"
    )


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
    text = run(*arguments, "--sheet", tmp_path / "worst.png")
    assert "Recall@1" in text
    with Image.open(tmp_path / "worst.png") as sheet:
        assert sheet.width > 500
    assert "cannot be written" in run(*arguments, "--sheet", tmp_path / "no" / "worst.png", code=1)


def test_remove_then_add_again(pictures: Path, tmp_path: Path) -> None:
    store = tmp_path / "shop"
    run(*add_arguments(pictures, store))
    assert "Removed 2 products.\nThe store has no product nobody." in run(
        "remove", "1", "2", "nobody", "--store", store
    )
    assert run_json("info", "--store", store)["products"] == 28
    assert "2 products added, 0 updated, 28 unchanged" in run(*add_arguments(pictures, store))
    assert "Drew an index of 30 vectors" in run("index", "rebuild", "--store", store)


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
        "default",
    ]
    assert "cannot be compared" in run(*arguments, "--map", "currency=EUR", code=1)
    assert run_json("info", "--store", shop)["products"] == 30


def test_interrupted_adding_says_so_and_goes_on(pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(400):
        draw(folder / f"{number}.png", (number % 256, 60, 90), number % 20)
    command = [
        sys.executable,
        "-c",
        "from lapel.apps.cli import main; main()",
        "add",
        str(folder),
        "--store",
        str(tmp_path / "shop"),
    ]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "shop" / "writer.lock").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    if child.returncode != 0:  # a fast machine may have been done already
        assert child.returncode == 130
        assert "the same command goes on" in said
    text = run("add", folder, "--store", tmp_path / "shop")
    assert "0 left out" in text
    facts = run_json("info", "--store", tmp_path / "shop")
    assert facts["products"] == 400
    assert facts["photos"] == 400


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
    before = run_json("search", "--product", "4", "--store", changeable)
    text = run("model", "use", "default", "--store", changeable)
    assert "encoding: 30 of 30" in text
    assert re.search(r"searched with .* now; 30 photos were encoded for it", text)
    (new,) = models(changeable).keys() - {"colour"}
    assert models(changeable) == {"colour": (30, False, True), new: (30, True, False)}
    assert run_json("search", "--product", "4", "--store", changeable) != before
    assert "30 more vectors of other models" in run("info", "--store", changeable)
    assert "searched with colour" in run("model", "rollback", "--store", changeable)
    assert run_json("search", "--product", "4", "--store", changeable) == before
    listed = run("model", "list", "--store", changeable)
    assert re.search(r"in use\tcolour\t.*\t30 of 30\tcolour:\n", listed)
    assert re.search(rf"before\t{new}\t.*\t30 of 30\tdefault\n", listed)
    assert "Dropped 30 vectors" in run("model", "prune", "--store", changeable)
    assert models(changeable) == {"colour": (30, True, False)}
    assert "no model to go back to" in run("model", "rollback", "--store", changeable, code=1)


def test_changing_the_model_in_the_background(changeable: Path) -> None:
    text = run("model", "use", "default", "--store", changeable, "--background")
    assert re.search(r"in the background \(process \d+\)", text)
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
    arguments = ["model", "compare", "colour:", "default", "--store", shop, "--sheet", tmp_path / "sheet.png"]
    text = run(*arguments, "--relevant", "colour", "-k", "5", "--show", "2")
    assert "30 queries against 30 products" in text
    assert re.search(r"Recall@1 +A 100\.0 %", text)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 1000
    assert run_json(*arguments, "--ask", "7")["queries"] == 7
    assert models(shop)["colour"] == (30, True, False)
    arguments[-1] = tmp_path / "no" / "sheet.png"
    assert "--sheet" in run(*arguments, code=1)


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
    assert "filled with another model" in run(*arguments)
    assert json.loads(run("info", "--store", tmp_path / "demo" / "shop", "--json"))["model"]["name"] != "colour"


def test_help_and_version() -> None:
    assert "lapel 0." in run("--version")
    text = run("--help")
    assert all(
        name in text
        for name in ("add", "search", "evaluate", "info", "remove", "index", "model", "ui", "demo", "train")
    )
