"""Audits of photos and of the assortment: what is wrong with a picture, what competes, what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from typer.testing import CliRunner

import lapel
from inputs.insight import around, made_store
from lapel.apps.cli import app
from lapel.catalog import Entry, PhotoEntry
from lapel.core.errors import QueryError
from lapel.core.types import Product
from lapel.engine.backfill import BackfillReport, backfill
from lapel.engine.features import QUALITY
from lapel.engine.quality import decode_quality
from lapel.insight import audit_photos
from lapel.insight.audit_photos import odd_photos, problems_of, usual_cuts

SIZE = (300, 400)


def garment(colour: tuple[int, int, int] = (30, 60, 140), left: int = 80) -> Image.Image:
    """Something with a pattern in the middle of a white picture."""
    image = Image.new("RGB", SIZE, "white")
    pen = ImageDraw.Draw(image)
    pen.rectangle((left, 90, left + 140, 310), fill=colour)
    pen.ellipse((left + 40, 150, left + 100, 210), fill=(220, 200, 40))
    return image


def found_in(image: Image.Image, least_side: int = 100) -> set[str]:
    value = QUALITY.of(image)
    assert isinstance(value, bytes)
    return {problem.check for problem in problems_of(decode_quality(value), least_side=least_side)}


def test_a_good_photo_has_no_problem() -> None:
    assert found_in(garment()) == set()


def test_each_defect_is_found_by_its_name() -> None:
    good = garment()
    assert found_in(good, least_side=400) == {"too small"}
    assert found_in(good.filter(ImageFilter.GaussianBlur(5))) == {"blurred"}
    assert "dark" in found_in(good.point(lambda value: value // 3))
    assert "cut off" in found_in(good.crop((130, 0, 300, 400)))
    two = Image.new("RGB", (600, 400), "white")
    two.paste(garment().crop((0, 0, 240, 400)), (0, 0))
    two.paste(garment((160, 20, 20)).crop((60, 60, 300, 260)), (330, 100))
    assert "several products" in found_in(two)
    said = good.copy()
    ImageDraw.Draw(said).text((20, 340), "www.myshop.com", fill="black", font=ImageFont.load_default(28))
    assert "text" in found_in(said)
    rng = np.random.default_rng(0)
    noisy = Image.fromarray(rng.integers(0, 255, (100, 75, 3), dtype=np.uint8)).resize(SIZE, Image.Resampling.NEAREST)
    noisy.paste(good.crop((60, 70, 240, 330)), (60, 70))
    assert "cluttered" in found_in(noisy)


def test_a_pair_is_one_product() -> None:
    pair = Image.new("RGB", (400, 300), "white")
    for x in (60, 230):
        pair.paste(Image.new("RGB", (100, 180), (90, 50, 20)), (x, 60))
    assert found_in(pair) == set()


def test_what_is_usual_for_a_kind_is_no_defect() -> None:
    value = QUALITY.of(garment().crop((0, 0, 300, 250)))
    assert isinstance(value, bytes)
    figures = [decode_quality(value)] * 30
    usual = usual_cuts(figures, ["Jeans"] * 30)
    assert usual == {"Jeans": frozenset({"bottom"})}
    assert "cut off" in {one.check for one in problems_of(figures[0], least_side=1)}
    assert "cut off" not in {one.check for one in problems_of(figures[0], least_side=1, usual_cuts=usual["Jeans"])}
    assert usual_cuts(figures[:5], ["Jeans"] * 5) == {}, "five photos say nothing of a kind"


def test_a_photo_of_another_product_is_odd_among_its_own() -> None:
    of = np.repeat(np.arange(8), 3)
    vectors = around(np.eye(8), of.tolist(), spread=0.03).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert odd_photos(vectors, of) == []
    swapped = of.copy()
    swapped[[0, 4]] = [1, 0]
    assert {place for place, _ in odd_photos(vectors, swapped)} == {0, 4}
    assert odd_photos(vectors[:1], of[:1]) == []


def shop_of(tmp_path: Path, images: list[Image.Image], ids: list[str] | None = None) -> lapel.Store:
    paths = []
    for number, image in enumerate(images):
        path = tmp_path / f"{number}.png"
        image.save(path)
        paths.append(path)
    products = [Product(name, title=f"Thing {name}") for name in ids or [f"p{n}" for n in range(len(images))]]
    return made_store(tmp_path / "shop", products, np.eye(len(images), 64) + 0.1, paths)


def test_a_second_audit_costs_only_what_came_since(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [garment(left=20 + 10 * n) for n in range(10)] + [garment().filter(ImageFilter.GaussianBlur(5))]
    with shop_of(tmp_path, images) as store:
        seen: list[tuple[int, int]] = []
        found = store.audit_photos(least_side=100, progress=lambda done, total: seen.append((done, total)))
        assert [each.product_id for each in found.found] == ["p10"]
        assert seen[-1] == (11, 11)
        assert backfill(store._context, QUALITY).derived == 0
        measured: list[object] = []
        monkeypatch.setattr("lapel.engine.pipeline.read_uri", lambda uri: measured.append(uri) or b"")
        again = store.audit_photos(least_side=100)
        assert again == found
        assert measured == []


def test_a_replaced_photo_is_measured_and_one_that_moved_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = tmp_path / "photos"
    shop.mkdir()
    for number in range(6):
        garment(left=20 + 10 * number).save(shop / f"{number}.png")
    with lapel.open_store(tmp_path / "shop", create=True, encoder="colour:") as store:
        store.add(shop)
        before = store.audit_photos(least_side=100)
        (shop / "1.png").rename(shop / "moved.png")
        garment().filter(ImageFilter.GaussianBlur(5)).save(shop / "2.png")
        store.remove(["1", "3"])
        store.add(shop)
        measured: list[int] = []

        def counting(*args: Any, **kwargs: Any) -> BackfillReport:
            report = backfill(*args, **kwargs)
            measured.append(report.derived)
            return report

        monkeypatch.setattr(audit_photos, "backfill", counting)
        found = store.audit_photos(least_side=100)
        assert before.found == ()
        assert [each.product_id for each in found.found] == ["2"]
        assert measured == [1], "the moved photo and the one that was taken out and added again have figures"
        (store.folder / audit_photos.FILE).write_bytes(b"damaged")
        store.remove(["4"])
        store.add(shop)
        assert store.audit_photos(least_side=100) == found
        assert measured == [1, 1], "what is damaged counts for nothing"


def test_what_most_photos_have_is_told_once_and_unreadable_ones_are_told(tmp_path: Path) -> None:
    images = [garment(left=20 + 10 * n) for n in range(11)] + [garment().filter(ImageFilter.GaussianBlur(5))]
    with shop_of(tmp_path, images) as store:
        (tmp_path / "3.png").unlink()
        found = store.audit_photos(least_side=1000)
        assert found.common == ("too small",)
        assert {each.product_id: each.problems[0].check for each in found.found} == {
            "p3": "unreadable",
            "p11": "blurred",
        }
        assert found.counts["too small"] == 11
        assert "that is how this shop's photos are" in found.summary()
        only = store.audit_photos(least_side=100, checks=["dark"])
        assert only.found == ()
        with pytest.raises(QueryError, match="ugly"):
            store.audit_photos(checks=["ugly"])


def test_what_people_look_at_is_mended_first(tmp_path: Path) -> None:
    bad = [garment(left=40 + 20 * n).filter(ImageFilter.GaussianBlur(5)) for n in range(3)]
    with shop_of(tmp_path, bad) as store:
        store.record([lapel.Event(f"e{n}", f"a{n}", "p2", "buy", 1_795_000_000 + n) for n in range(5)])
        assert store.audit_photos(least_side=100).found[0].product_id == "p2"


def test_the_command_writes_a_page(tmp_path: Path) -> None:
    with shop_of(tmp_path, [garment(), garment().filter(ImageFilter.GaussianBlur(5))]):
        pass
    asked = ["audit", "photos", "--store", str(tmp_path / "shop"), "--least-side", "100", "--json"]
    run = CliRunner().invoke(app, [*asked, "--out", str(tmp_path / "out")])
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    assert [each["product"] for each in told["found"]] == ["p1"]
    assert "blurred: 1 photo" in (tmp_path / "out" / "audit-photos.html").read_text()
    one = CliRunner().invoke(app, ["audit", "photos", "--store", str(tmp_path / "shop"), "--where", "id=nobody"])
    assert isinstance(one.exception, QueryError)


# --- the assortment ---------------------------------------------------------------------------------------------------


def goods(prices: list[int | None], currencies: list[str] | None = None) -> list[Product]:
    """Pairs of one kind and colour that look the same, with these prices."""
    return [
        Product(
            f"p{n}",
            category=("Apparel", f"Kind {n // 2}"),
            colour="Red",
            price_minor=price,
            currency="" if price is None else (currencies or ["EUR"] * len(prices))[n],
        )
        for n, price in enumerate(prices)
    ]


def test_goods_that_look_the_same_and_cost_otherwise_compete(tmp_path: Path) -> None:
    prices = [1000, 3000, 1000, 1000, None, None, 1000, 2000]
    currencies = ["EUR"] * 6 + ["EUR", "USD"]
    vectors = around(np.eye(4), [0, 0, 1, 1, 2, 2, 3, 3], spread=0.01)
    with made_store(tmp_path / "shop", goods(prices, currencies), vectors) as store:
        found = store.audit_assortment()
        assert [set(each.products) for each in found.rivals] == [{"p0", "p1"}, {"p4", "p5"}, {"p6", "p7"}]
        assert found.rivals[0].spread == pytest.approx(3.0)
        assert found.rivals[0].products == ("p0", "p1"), "the cheapest first"
        assert [each.spread for each in found.rivals[1:]] == [None, None]
        said = found.summary()
        for part in ("without all prices", "several currencies", "equal prices do not count", "Gaps are not known"):
            assert part in said
        assert not store.audit_assortment(alike=1.0).rivals
        with pytest.raises(QueryError, match="cosine"):
            store.audit_assortment(alike=2)


def test_another_colour_does_not_compete(tmp_path: Path) -> None:
    products = [
        Product("a", category=("K",), colour="Red", price_minor=100, currency="EUR"),
        Product("b", category=("K",), colour="Blue", price_minor=900, currency="EUR"),
    ]
    with made_store(tmp_path / "shop", products, np.ones((2, 3))) as store:
        assert store.audit_assortment().rivals == ()


def test_what_is_asked_for_more_than_it_is_there_is_a_gap(tmp_path: Path) -> None:
    colours = ["Red"] * 4 + ["Blue"] * 60
    products = [
        Product(f"p{n}", category=("Apparel", "Shirts"), colour=colour, in_stock=True)
        for n, colour in enumerate(colours)
    ]
    vectors = around(np.eye(2), [0] * 4 + [1] * 60)
    with made_store(tmp_path / "shop", products, vectors) as store:
        store.record(
            [lapel.Event(f"r{n}", f"a{n}", f"p{n % 4}", "view", 1_795_000_000 + n) for n in range(60)]
            + [lapel.Event(f"b{n}", f"a{n}", f"p{4 + n}", "view", 1_795_000_000 + n) for n in range(60)]
        )
        found = store.audit_assortment(looks=2)
        assert found.source == "events"
        assert {gap.what for gap in found.gaps} == {"look", "kind and colour"}
        gap = next(each for each in found.gaps if each.what == "kind and colour")
        assert (gap.value, gap.asked, gap.goods) == ("Shirts, Red", 60, 4)
        assert gap.demand[1] < 0.5 < gap.demand[2]
        # With 56 more there are 60 red ones and 60 blue ones, as many as were asked for.
        assert gap.missing == pytest.approx(56)
        run = CliRunner().invoke(
            app, ["audit", "assortment", "--store", str(tmp_path / "shop"), "--looks", "2", "--json"]
        )
        assert json.loads(run.stdout)["gaps"][0]["missing"] == pytest.approx(56)


def test_one_product_is_no_error(tmp_path: Path) -> None:
    with made_store(tmp_path / "shop", [Product("a")], np.eye(1)) as store:
        found = store.audit_assortment()
        assert (found.products, found.rivals, found.gaps) == (1, (), ())


def test_photos_of_a_product_with_several_that_is_none_of_them(tmp_path: Path) -> None:
    with lapel.open_store(tmp_path / "shop", create=True, encoder="colour:") as store:
        context = store._context
        context.claim()
        rows = around(np.eye(6), [0, 0, 1, 1, 2, 5], spread=0.02)
        rows = np.pad(rows, ((0, 0), (0, context.encoder.dim - 6))).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        extra = rows[5] + 0.01 * np.roll(rows[5], 1)
        photos = [
            PhotoEntry(f"mem://{n}", "1", f"{n}" * 64, row)
            for n, row in enumerate([*rows, extra / np.linalg.norm(extra)])
        ]
        entries = [Entry(Product(f"p{n}"), tuple(photos[2 * n : 2 * n + 2])) for n in range(3)]
        context.catalog.write([*entries, Entry(Product("q"), (photos[6],))], fingerprint=context.encoder.fingerprint)
        found = store.audit_photos(checks=["another product"])
        assert {each.product_id for each in found.found} == {"p2"}
