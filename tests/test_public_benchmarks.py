"""The public data sets on tiny copies of their format: what is read, what is refused, the table to train on, the
command."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from data_set_copies import (
    IN_SHOP,
    ONLINE_PRODUCTS,
    load_in_shop,
    load_online_products,
    open_benchmark,
    write_table,
)
from lapel.apps.cli import app
from lapel.core.errors import InputError
from lapel.core.images import Preprocessing
from lapel.sources import open_source
from lapel.sources.table import read_table
from lapel.training.data import Example, load_training_set
from public_data_sets import benchmark, measure
from tiny_copies import PRODUCTS, SHOP, AngleEncoder, in_shop_list, shares, write_in_shop, write_products

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "public_data_sets.py"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return write_in_shop(tmp_path / "in-shop", SHOP)


@pytest.fixture
def products(tmp_path: Path) -> Path:
    return write_products(tmp_path / "products", PRODUCTS)


# --- reading ---------------------------------------------------------------------------------------------------------


def test_in_shop_is_read_as_listed(shop: Path) -> None:
    benchmark = load_in_shop(shop)
    assert [(p.name, p.item, p.split) for p in benchmark.pictures] == [row[:3] for row in SHOP]
    assert benchmark.pictures[0].category == ("Dresses",)
    assert benchmark.pictures[0].gender == "Women"
    assert benchmark.pictures[4].category == ("Jackets Vests",)
    assert benchmark.pictures[4].gender == "Men"
    assert all(benchmark.source.read(p.uri) == (shop / "Img" / p.name).read_bytes() for p in benchmark.pictures)


def test_online_products_are_read_as_listed(products: Path) -> None:
    benchmark = load_online_products(products)
    assert [(p.name, p.item, p.split) for p in benchmark.pictures] == [row[:3] for row in PRODUCTS]
    assert benchmark.pictures[2].category == ("coffee maker",)
    assert all(benchmark.source.read(p.uri) == (products / p.name).read_bytes() for p in benchmark.pictures)


def in_shop_layout(shop: Path, layout: str) -> None:
    pictures = shop / "Img" / "img"
    if layout == "img":
        shutil.move(pictures, shop / "img")
        (shop / "Img").rmdir()
    elif layout == "WOMEN below Img":
        for folder in list(pictures.iterdir()):
            shutil.move(folder, shop / "Img" / folder.name)
        pictures.rmdir()
    elif layout == "WOMEN beside Eval":
        for folder in list(pictures.iterdir()):
            shutil.move(folder, shop / folder.name)
    elif layout == "img/img":
        shutil.move(shop / "Img", shop / "aside")
        shutil.move(shop / "aside", shop / "img")
    elif layout in ("Img/img.zip", "img.zip"):
        with zipfile.ZipFile(shop / layout, "w") as archive:
            for path in sorted(pictures.rglob("*.jpg")):
                archive.write(path, path.relative_to(shop / "Img"))
        shutil.rmtree(pictures)
    elif layout == "list beside the pictures":
        shutil.move(shop / "Eval" / "list_eval_partition.txt", shop / "list_eval_partition.txt")


@pytest.mark.parametrize(
    "layout",
    [
        *("Img/img", "img", "WOMEN below Img", "WOMEN beside Eval", "img/img", "Img/img.zip", "img.zip"),
        "list beside the pictures",
    ],
)
def test_in_shop_in_every_layout(shop: Path, tmp_path: Path, layout: str) -> None:
    in_shop_layout(shop, layout)
    benchmark = load_in_shop(shop)
    assert all(p.uri for p in benchmark.pictures)
    assert shares(measure(benchmark, AngleEncoder())) == {1: 1 / 3, 10: 1, 20: 1, 30: 1}
    # What the table names is found in the source that 'lapel train' is to be given.
    write_table(benchmark, tmp_path / "table.csv", share=0.25)
    source = open_source(benchmark.source.where)
    assert all(source.find(name) for row in read_table(tmp_path / "table.csv") for name in row.pictures)
    source.close()
    benchmark.source.close()


@pytest.mark.parametrize("layout", ["as it comes", "Info_Files and images", "the folder above"])
def test_online_products_in_every_layout(products: Path, layout: str) -> None:
    if layout == "Info_Files and images":
        (products / "images").mkdir()
        (products / "Info_Files").mkdir()
        for path in list(products.glob("*_final")):
            shutil.move(path, products / "images" / path.name)
        for path in list(products.glob("*.txt")):
            shutil.move(path, products / "Info_Files" / path.name)
    elif layout == "the folder above":
        shutil.move(products, products.parent / "Stanford_Online_Products")
        products = products.parent
    benchmark = load_online_products(products)
    assert all(p.uri for p in benchmark.pictures)
    assert shares(measure(benchmark, AngleEncoder()))[1] == 2 / 5


def test_the_place_with_the_most_pictures_is_taken(shop: Path) -> None:
    """Half an unpacked archive beside the whole one: nothing is missing."""
    with zipfile.ZipFile(shop / "Img" / "img.zip", "w") as archive:
        for path in sorted((shop / "Img" / "img").rglob("*.jpg")):
            archive.write(path, path.relative_to(shop / "Img"))
    shutil.rmtree(shop / "Img" / "img" / "WOMEN")
    benchmark = load_in_shop(shop)
    assert benchmark.source.where == str(shop / "Img" / "img.zip")
    assert all(p.uri for p in benchmark.pictures)
    benchmark.source.close()


def test_windows_line_ends_and_a_mark_of_utf8_do_no_harm(shop: Path) -> None:
    path = shop / "Eval" / "list_eval_partition.txt"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(load_in_shop(shop).pictures) == len(SHOP)


def test_the_official_sizes_add_up() -> None:
    assert sum(pictures for pictures, _ in IN_SHOP.sizes.values()) == 52_712  # what its list announces
    assert sum(pictures for pictures, _ in ONLINE_PRODUCTS.sizes.values()) == 120_053
    assert all(set(one.recall) <= set(data.k) for data in (IN_SHOP, ONLINE_PRODUCTS) for one in data.published)


# --- what is refused -------------------------------------------------------------------------------------------------


def broken(old: str, new: str) -> str:
    text = in_shop_list(SHOP)
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "should begin with the number of pictures; found ''"),
        (broken("17\n", ""), "should begin with the number of pictures; found 'image_name item_id"),
        (broken("17", "18"), "announces 18 pictures and names 17"),
        (
            broken("evaluation_status", "status"),
            "name the columns 'image_name .*'; found 'image_name item_id status' in line 2",
        ),
        ("3\n", "should name the columns 'image_name item_id evaluation_status'; found ''"),
        ("0\nimage_name item_id evaluation_status\n", "names no picture"),
        (
            broken("id_a query", "query"),
            r"line 3: 3 values are needed \(image_name item_id evaluation_status\); found 'img/",
        ),
        (broken("id_a query", "id_a probe"), "line 3: the status is train, query, gallery; found 'probe'"),
        (broken("01_2_side.jpg", "01_1_front.jpg"), "name the picture 'img/WOMEN/Dresses/id_a/01_1_front.jpg' twice"),
        (broken("id_t0 train", "id_a train"), "The item 'id_a' is among those to learn from and those to test with"),
        (in_shop_list([row for row in SHOP if row[2] != "query"]), "DeepFashion In-Shop name no picture of 'query'"),
    ],
)
def test_a_broken_list_of_in_shop(shop: Path, text: str, message: str) -> None:
    (shop / "Eval" / "list_eval_partition.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        load_in_shop(shop)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "should name the columns 'image_id class_id super_class_id path'; found ''"),
        ("4 3 1 a/b.JPG\n", "should name the columns .*; found '4 3 1 a/b.JPG' in line 1"),
        ("image_id class_id super_class_id path\n4 3 1\n", "line 2: 4 values are needed"),
        (
            "image_id class_id super_class_id path\n4 3 one a/b.JPG\n",
            "line 2: the three ids are whole numbers; found '4 3 one'",
        ),
        ("image_id class_id super_class_id path\n", "Stanford Online Products name no picture of 'test'"),
    ],
)
def test_a_broken_list_of_online_products(products: Path, text: str, message: str) -> None:
    (products / "Ebay_test.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        load_online_products(products)


def test_a_list_that_is_no_text(shop: Path) -> None:
    (shop / "Eval" / "list_eval_partition.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"list_eval_partition\.txt cannot be read: .* Copy it again"):
        load_in_shop(shop)


def test_a_folder_that_is_no_copy(tmp_path: Path, products: Path) -> None:
    with pytest.raises(
        InputError, match=r"holds no copy of DeepFashion In-Shop: there is no Eval/list_eval_partition\.txt"
    ):
        load_in_shop(tmp_path)
    (products / "Ebay_test.txt").unlink()
    with pytest.raises(
        InputError, match=r"no copy of Stanford Online Products: there is no Ebay_test\.txt and no Info_Files"
    ):
        load_online_products(products)
    with pytest.raises(InputError, match=r"No public data set is called 'cars'\. There are: in-shop, online-products"):
        open_benchmark("cars", tmp_path)


def test_lists_without_any_picture(shop: Path) -> None:
    shutil.rmtree(shop / "Img")
    with pytest.raises(
        InputError, match=r"No picture such as img/WOMEN/Dresses/id_a/01_1_front\.jpg was found in .*Unpack"
    ):
        load_in_shop(shop)


# --- a table to train on ---------------------------------------------------------------------------------------------


def test_the_table_holds_training_items_only_each_in_one_split(shop: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    assert write_table(load_in_shop(shop), table, share=0.25, seed=1) == {"train": 3, "val": 1, "pictures": 8}
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["id"] for row in rows] == [row["item_id"] for row in rows] == ["id_t0", "id_t1", "id_t2", "id_t3"]
    assert sorted(row["split"] for row in rows) == ["train", "train", "train", "val"]
    assert {(row["category"], row["gender"]) for row in rows} == {("Shorts", "Women")}
    before = table.read_bytes()
    write_table(load_in_shop(shop), table, share=0.25, seed=1)
    assert table.read_bytes() == before
    held = set()
    for seed in range(8):
        write_table(load_in_shop(shop), table, share=0.25, seed=seed)
        held |= {row["id"] for row in csv.DictReader(table.read_text().splitlines()) if row["split"] == "val"}
    assert len(held) > 1  # the seed decides


def test_training_reads_the_table(shop: Path, tmp_path: Path) -> None:
    benchmark = load_in_shop(shop)
    write_table(benchmark, tmp_path / "table.csv", share=0.25)
    source = open_source(benchmark.source.where)
    rows = [row for row in read_table(tmp_path / "table.csv") if row.product is not None]
    data, rejected = load_training_set(
        [Example(row.product, source.find(name)) for row in rows if row.product for name in row.pictures],
        source.read,
        preprocessing=Preprocessing(height=8, width=8),
        attributes=["item_id", "category", "gender"],
        folder=tmp_path / "run",
        progress=lambda *_: None,
    )
    assert rejected == []
    assert (len(data.train), len(data.val)) == (6, 2)
    assert len(data.names["item_id"]) == 3
    assert data.images.read(np.array([0]))[0][0, 4, 4, :3].tolist() == [200, 0, 0]


def test_a_table_leaves_missing_pictures_out(shop: Path, tmp_path: Path) -> None:
    (shop / "Img/img/WOMEN/Shorts/id_t0/01_1_front.jpg").unlink()
    shutil.rmtree(shop / "Img/img/WOMEN/Shorts/id_t1")
    assert write_table(load_in_shop(shop), tmp_path / "t.csv", share=0) == {"train": 3, "pictures": 5}


def test_a_table_that_cannot_be_made(shop: Path, tmp_path: Path) -> None:
    benchmark = load_in_shop(shop)
    with pytest.raises(InputError, match="0 to below 1; found 1"):
        write_table(benchmark, tmp_path / "t.csv", share=1)
    with pytest.raises(InputError, match="4 items to learn from are too few to hold out 5% of them"):
        write_table(benchmark, tmp_path / "t.csv", share=0.05)
    with pytest.raises(InputError, match=r"The table cannot be written to .*: No such file"):
        write_table(benchmark, tmp_path / "none" / "t.csv", share=0.25)


# --- the command -----------------------------------------------------------------------------------------------------


command = typer.Typer()
command.command()(benchmark)


def run(*arguments: str | Path) -> str:
    """What ``public_data_sets.py`` prints, in this process."""
    done = CliRunner().invoke(command, [*map(str, arguments)], catch_exceptions=False, terminal_width=160)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_command_shows_a_table(shop: Path) -> None:
    (shop / "Img" / SHOP[1][0]).unlink()
    text = run("in-shop", shop, "--encoder", "colour:")
    assert (
        "DeepFashion In-Shop: 3 queries against 5 pictures of 3 items (for non-commercial research and education only)"
        in text
    )
    assert "\tRecall@1\t" in text
    assert "ResNet50, 128-d, triplet, semi-hard negatives" in text
    assert "83.8" in text
    assert "Deep-Metric-Learning-Baselines" in text
    assert "Not to be put beside the published figures: 1 test picture could not be used." in text
    assert f"img/WOMEN/Dresses/id_a/01_2_side.jpg: it is not in {shop / 'Img'}" in text


def test_the_command_prints_json(products: Path) -> None:
    data = json.loads(run("online-products", products, "--encoder", "colour:", "--limit", "1", "--json"))
    assert data["data_set"] == "online-products"
    assert data["queries"] == 2
    assert list(data["recall"]) == ["1", "10", "100", "1000"]
    assert data["differences"][-1] == "only 1 of 2 test items were used"


def test_the_command_writes_a_table(shop: Path, tmp_path: Path) -> None:
    (shop / "Img" / SHOP[-1][0]).unlink()
    table = tmp_path / "table.csv"
    text = run("in-shop", shop, "--write-table", table, "--val-share", "0.25")
    assert f"Wrote {table}: 3 items to learn from, 1 to judge by, 7 pictures; the test items are not in it." in text
    assert f"1 training picture of the list has no file in {shop / 'Img'}." in text
    assert f"Its pictures are in {shop / 'Img'}; what to learn is in its column item_id." in text
    assert len(table.read_text().splitlines()) == 5


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    def wrong(*arguments: str | Path) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, SCRIPT, *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "COLUMNS": "160", "NO_COLOR": "1"},
            check=False,
        )
        return done.returncode, done.stderr

    code, err = wrong("in-shop", tmp_path)
    assert (code, "holds no copy of DeepFashion In-Shop" in err) == (1, True)
    found = CliRunner().invoke(command, ["cars", str(tmp_path)])
    assert (found.exit_code, "in-shop" in found.stderr) == (2, True)


def test_the_former_command_says_where_it_went() -> None:
    found = CliRunner().invoke(app, ["benchmark", "in-shop", "somewhere", "--limit", "3"])
    assert found.exit_code == 2
    assert "python benchmarks/public_data_sets.py in-shop somewhere --limit 3" in found.stderr
    assert "benchmark" not in CliRunner().invoke(app, ["--help"]).stdout
