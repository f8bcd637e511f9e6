"""The protocol on tiny copies of the public data sets: Recall@K by hand and beside a slow obvious count, and who is
left out."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_set_copies import IN_SHOP, ONLINE_PRODUCTS, Benchmark, DataSet, load_in_shop, load_online_products
from lapel.core.errors import InputError
from lapel.core.images import Pixels, decode
from lapel.core.metrics import proportion
from lapel.core.vectors import Vectors
from lapel.encoders import open_encoder
from public_data_sets import measure
from tiny_copies import (
    PRODUCTS,
    SHOP,
    AngleEncoder,
    Rows,
    draw,
    in_shop_list,
    products_list,
    shares,
    write_in_shop,
    write_products,
)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return write_in_shop(tmp_path / "in-shop", SHOP)


@pytest.fixture
def products(tmp_path: Path) -> Path:
    return write_products(tmp_path / "products", PRODUCTS)


def slow_recall(benchmark: Benchmark, vectors: dict[str, np.ndarray], k: int) -> float:
    """Recall@K, one query and one picture at a time."""
    hits = []
    for query in benchmark.pictures:
        if query.split in ("query", "test"):
            found = []
            for other in benchmark.pictures:
                if other.split in ("gallery", "test") and other.name != query.name:
                    found.append((float(vectors[query.name] @ vectors[other.name]), other.item))
            found.sort(key=lambda one: -one[0])
            if any(item == query.item for _, item in found):
                hits.append(any(item == query.item for _, item in found[:k]))
    return sum(hits) / len(hits)


def test_recall_of_in_shop_by_hand(shop: Path) -> None:
    report = measure(load_in_shop(shop), AngleEncoder())
    # Only a finds its item first; there are six gallery pictures, so ten hold everything.
    assert shares(report) == {1: 1 / 3, 10: 1, 20: 1, 30: 1}
    assert report.recall[1] == proportion(np.array([1.0, 0.0, 0.0]))
    assert (report.asked, report.without_answer, report.gallery, report.items) == (3, 0, 6, 3)
    assert report.left_out == ()
    assert report.differences == (
        "the lists hold 8 train pictures of 4 items, the official ones 25,882 of 3,997",
        "the lists hold 3 query pictures of 3 items, the official ones 14,218 of 3,985",
        "the lists hold 6 gallery pictures of 3 items, the official ones 12,612 of 3,985",
    )


def test_recall_of_online_products_by_hand_and_nobody_finds_themselves(products: Path) -> None:
    report = measure(load_online_products(products), AngleEncoder())
    # Nearest: 10 -> 19 wrong, 20 -> 19 wrong, 19 -> 20 wrong, 60 -> 64 right, 64 -> 60 right.
    assert shares(report) == {1: 2 / 5, 10: 1, 100: 1, 1000: 1}
    assert (report.asked, report.gallery, report.items) == (5, 5, 2)


def test_a_copy_with_the_official_numbers_may_be_compared(shop: Path) -> None:
    benchmark = load_in_shop(shop)
    sizes = {"train": (8, 4), "query": (3, 3), "gallery": (6, 3)}
    small = DataSet("in-shop", "Small", (1, 2, 3), sizes, "none", IN_SHOP.published)
    report = measure(Benchmark(small, benchmark.pictures, benchmark.source), AngleEncoder())
    assert shares(report) == {1: 1 / 3, 2: 2 / 3, 3: 1}
    assert report.differences == ()
    assert report.to_json()["comparable"]


def test_recall_is_that_of_a_slow_count(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    for data, load in ((IN_SHOP, load_in_shop), (ONLINE_PRODUCTS, load_online_products)):
        folder = tmp_path / data.name
        tests = ("query", "gallery", "gallery") if data is IN_SHOP else ("test",) * 3
        rows: Rows = [("img/t/id_t/0.jpg", "9999", "train", 0)]
        for item in range(20):
            tint = rng.integers(110, 146, 3)
            for number, split in enumerate(tests):
                rows.append((f"img/c/{item}/{number}.jpg", str(item), split, 0))
                noisy = np.clip(tint + rng.normal(0, 110, (24, 24, 3)), 0, 255).astype(np.uint8)
                (folder / rows[-1][0]).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(noisy).save(folder / rows[-1][0], "PNG")
        draw(folder / rows[0][0], 0)
        (folder / "list_eval_partition.txt").write_text(in_shop_list(rows))
        for split in ("train", "test"):
            (folder / f"Ebay_{split}.txt").write_text(products_list(rows, split))
        benchmark = load(folder)
        encoder = open_encoder("colour:")
        vectors = {
            p.name: encoder.encode([decode((folder / p.name).read_bytes())])[0].astype(np.float64)
            for p in benchmark.pictures
        }
        wide = DataSet(data.name, data.title, (1, 2, 5, 10), data.sizes, data.terms, data.published)
        found = shares(measure(Benchmark(wide, benchmark.pictures, benchmark.source), encoder))
        assert found == {k: pytest.approx(slow_recall(benchmark, vectors, k)) for k in (1, 2, 5, 10)}
        assert 0 < found[1] < found[10] < 1  # hard enough to tell right from wrong


def test_identical_pictures_leave_out_oneself_by_id(tmp_path: Path) -> None:
    """Five equal pictures come in any order; whoever asks must find the four others, never themselves."""
    rows: Rows = [("a/t.JPG", "9", "train", 0), *((f"a/{n}.JPG", str(n // 2), "test", 50) for n in range(4))]
    write_products(tmp_path, rows)
    # Equal scores come in the lists' order: pictures 0 and 1 see their pair first, 2 and 3 see item 0.
    assert shares(measure(load_online_products(tmp_path), AngleEncoder()))[1] == 2 / 4


def test_pictures_that_cannot_be_used_are_counted_with_a_reason(shop: Path) -> None:
    (shop / "Img/img/WOMEN/Dresses/id_a/01_2_side.jpg").unlink()
    (shop / "Img/img/WOMEN/Dresses/id_a/01_3_back.jpg").write_bytes(b"no picture")
    (shop / "Img/img/MEN/Denim/id_c/01_2_side.jpg").write_bytes(b"")
    report = measure(load_in_shop(shop), AngleEncoder())
    reasons = dict(report.left_out)
    assert sorted(reasons) == sorted(
        f"img/{name}"
        for name in (
            "WOMEN/Dresses/id_a/01_2_side.jpg",
            "WOMEN/Dresses/id_a/01_3_back.jpg",
            "MEN/Denim/id_c/01_2_side.jpg",
        )
    )
    assert reasons["img/WOMEN/Dresses/id_a/01_2_side.jpg"] == f"it is not in {shop / 'Img'}"
    assert "Not a picture" in reasons["img/WOMEN/Dresses/id_a/01_3_back.jpg"]
    assert "empty (0 bytes)" in reasons["img/MEN/Denim/id_c/01_2_side.jpg"]
    # a at 10 finds b at 45 before a at 75; b at 40 finds b at 45; c has nothing left to find.
    assert (report.asked, report.without_answer, report.gallery) == (2, 1, 3)
    assert shares(report)[1] == 1 / 2
    assert "3 test pictures could not be used" in report.differences
    assert "1 query has no other picture of the item to find" in report.differences


def test_a_missing_query_is_left_out(shop: Path) -> None:
    (shop / "Img" / SHOP[0][0]).unlink()
    report = measure(load_in_shop(shop), AngleEncoder())
    assert (report.asked, report.without_answer) == (2, 0)
    assert [name for name, _ in report.left_out] == [SHOP[0][0]]


def test_a_picture_without_a_direction_is_left_out(shop: Path) -> None:
    class Blind(AngleEncoder):
        def encode_pixels(self, pixels: Pixels) -> Vectors:
            vectors = super().encode_pixels(pixels)
            vectors[pixels[:, 4, 4, 0] == 12] = 0
            vectors[pixels[:, 4, 4, 0] == 45] = np.nan
            return vectors

    report = measure(load_in_shop(shop), Blind())
    assert [name for name, _ in report.left_out] == [SHOP[1][0], SHOP[5][0]]
    assert "The model 'angle' sees nothing in the picture (a vector of length 0)" in report.left_out[0][1]


def test_no_query_can_find_anything(shop: Path) -> None:
    for name, _, split, _ in SHOP:
        if split == "gallery":
            (shop / "Img" / name).write_bytes(b"broken")
    with pytest.raises(
        InputError, match=r"No query of DeepFashion In-Shop can find anything: 3 of their pictures .* holds 0"
    ):
        measure(load_in_shop(shop), AngleEncoder())
    for name, *_ in SHOP:
        (shop / "Img" / name).write_bytes(b"broken")
    with pytest.raises(InputError, match=r"The first left out: img/WOMEN/Dresses/id_a/01_1_front\.jpg: Not a picture"):
        measure(load_in_shop(shop), AngleEncoder())


def test_a_limit_keeps_whole_items_and_says_so(shop: Path) -> None:
    report = measure(load_in_shop(shop), AngleEncoder(), limit=2)
    assert (report.asked, report.gallery, report.items) == (2, 5, 2)
    assert report.differences[-1] == "only 2 of 3 test items were used"
    assert not report.to_json()["comparable"]
    with pytest.raises(InputError, match="A limit is a number of items from 1 up; found 0"):
        measure(load_in_shop(shop), AngleEncoder(), limit=0)


def test_progress_reaches_the_end(products: Path) -> None:
    seen: dict[str, list[tuple[int, int]]] = defaultdict(list)

    @contextmanager
    def bar(what: str) -> Iterator[Callable[[int, int], None]]:
        yield lambda done, total: seen[what].append((done, total))

    measure(load_online_products(products), AngleEncoder(), progress=bar)
    assert {what: steps[-1] for what, steps in seen.items()} == {
        "encoding pictures": (5, 5),
        "answering queries": (5, 5),
    }


def test_the_report_stands_beside_published_figures(shop: Path) -> None:
    report = measure(load_in_shop(shop), AngleEncoder())
    header, ours, triplet, best = report.rows()
    assert header == ("", "Recall@1", "Recall@10", "Recall@20", "Recall@30")
    assert ours == ("angle (0123456789abcdef), 2-d", "33.3 [6.1, 79.2]", *["100.0 [43.9, 100.0]"] * 3)
    assert triplet[1:] == ("83.8", "96.4", "97.6", "98.2")
    assert best[1:] == ("91.3", "97.8", "98.4", "-")
    data = json.loads(json.dumps(report.to_json()))
    assert data["recall"]["1"]["value"] == pytest.approx(1 / 3, abs=1e-6)
    assert data["published"][0]["percent"] == {"1": 83.8, "10": 96.4, "20": 97.6, "30": 98.2}
    assert all(one["source"] for one in data["published"])
