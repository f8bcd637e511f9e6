"""Prices from what was sold: ranges that hold what they say, copies of photos, drafts; and what is said where prices
are missing or mixed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from typer.testing import CliRunner

import lapel
from inputs.insight import made_store
from lapel.apps.cli import app
from lapel.core.errors import ImageError, QueryError
from lapel.core.types import Photo, Product, Verdict
from lapel.engine.retrieval import SearchEngine
from lapel.indexes.neighbours import nearest
from lapel.insight.draft import columns_of
from lapel.insight.findings import Gallery
from lapel.insight.price_model import PriceModel, fit_prices
from lapel.insight.votes import vote

# --- the model --------------------------------------------------------------------------------------------------------


def market(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, dict[str, list[str]], np.ndarray]:
    """Products of five kinds and four brands, whose price is kind x brand x what their vector shows x chance."""
    rng = np.random.default_rng(seed)
    kinds, brands = rng.integers(0, 5, count), rng.integers(0, 4, count)
    vectors = np.eye(16)[kinds] + 0.35 * rng.normal(size=(count, 16))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    logs = 3 + 0.5 * kinds + 0.4 * brands + 2 * vectors[:, 10] + 0.15 * rng.normal(size=count)
    labels = {"kind": [f"k{kind}" for kind in kinds], "brand": [f"b{brand}" for brand in brands]}
    return vectors, np.exp(logs), labels, np.arange(count)


def test_eighty_of_a_hundred_prices_are_in_their_range_and_the_middle_beats_the_kind() -> None:
    vectors, prices, labels, groups = market(3000)
    sold, asked = slice(0, 2000), slice(2000, None)
    model = fit_prices(vectors[sold], prices[sold], {n: v[sold] for n, v in labels.items()}, groups[sold])
    found = model.estimate(vectors[asked], {"brand": labels["brand"][asked]})
    low, high = (np.array([getattr(each, name) for each in found]) for name in ("low", "high"))
    inside = ((low <= prices[asked]) & (prices[asked] <= high)).mean()
    assert 0.76 <= inside <= 0.84  # 1,000 prices: 0.8 within three standard deviations
    assert 0.78 <= model.covered <= 0.82
    middle = np.array([each.price for each in found])
    error = float(np.median(np.abs(middle / prices[asked] - 1)))
    assert error == pytest.approx(model.error, abs=0.03)
    assert error < 0.6 * model.kind_error


def test_what_is_not_told_makes_ranges_wider_and_never_wrong() -> None:
    vectors, prices, labels, groups = market(2500)
    sold, asked = slice(0, 1800), slice(1800, None)
    widths = []
    for columns in (("kind", "brand"), ("kind",)):
        model = fit_prices(vectors[sold], prices[sold], {name: labels[name][sold] for name in columns}, groups[sold])
        found = model.estimate(vectors[asked], {name: labels[name][asked] for name in columns[1:]})
        inside = np.mean([each.low <= price <= each.high for each, price in zip(found, prices[asked], strict=True)])
        assert inside >= 0.75
        widths.append(np.median([each.high / each.low for each in found]))
    assert widths[1] > 1.3 * widths[0]


def test_too_few_or_impossible_prices_are_refused() -> None:
    vectors, prices, labels, groups = market(29)
    with pytest.raises(QueryError, match="at least 30 products"):
        fit_prices(vectors, prices, labels, groups)
    vectors, prices, labels, groups = market(40)
    with pytest.raises(QueryError, match="above 0"):
        fit_prices(vectors, prices - prices.max(), labels, groups)


def test_neighbours_are_the_nearest_of_other_products_and_votes_are_shares() -> None:
    vectors = np.eye(3, dtype=np.float32)[[0, 0, 1, 2]]
    near = nearest(vectors[:1], vectors, 2, groups=np.array([0, 0, 1, 2]), own=np.array([0]))
    assert set(near.keys[0].tolist()) == {2, 3}
    values, share = vote(nearest(vectors[:1], vectors, 4), ["red", "", "blue", "blue"])
    assert values == ["red"]
    assert share[0] == pytest.approx(1.0, abs=1e-6)
    assert vote(nearest(vectors[:1], vectors, 4), ["", "", "", ""])[0] == [""]


# --- of a store -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lapel.Store]:
    """160 drawings of two kinds; the red ones cost twice as much. Twenty have a price in another currency."""
    folder = tmp_path_factory.mktemp("market")
    rng = np.random.default_rng(0)
    products, pictures, vectors = [], [], []
    from lapel.encoders import open_encoder

    encoder = open_encoder("colour:")
    for number in range(160):
        red, tall = number % 2 == 0, number % 4 < 2
        image = Image.new("RGB", (90, 120), "white")
        size = (30, 90) if tall else (70, 40)
        colour = (200 + number % 40, 20, 30) if red else (20, 30, 190 + number % 40)
        image.paste(Image.new("RGB", size, colour), (10 + number % 8, 10 + number % 11))
        path = folder / f"{number}.png"
        image.save(path)
        products.append(
            Product(
                f"p{number}",
                title=f"Thing {number}",
                category=("Apparel", "Scarves" if tall else "Bags"),
                colour="Red" if red else "Blue",
                gender="Women",
                brand="Alder" if number % 3 else "Finch",
                price_minor=int((4000 if red else 2000) * rng.uniform(0.9, 1.1)),
                currency="USD" if number >= 140 else "EUR",
                attributes={
                    "condition": ("good", "worn")[number % 2],
                    "seller": f"s{number % 5}",
                    "days_listed": str(10 + number % 7),
                },
            )
        )
        pictures.append(path)
        vectors.append(encoder.encode([image])[0])
    with made_store(folder / "shop", products, np.stack(vectors), pictures) as store:
        yield store


def picture_of(shop: lapel.Store, number: int) -> Path:
    return shop.folder.parent / f"{number}.png"


def test_a_photo_gets_a_price_a_draft_and_its_other_seller(shop: lapel.Store) -> None:
    image = ImageOps.mirror(Image.open(picture_of(shop, 8)))
    found = shop.estimate_price(image, brand="alder", condition="Good")
    assert found.currency == "EUR"
    assert found.low <= found.price <= found.high
    assert 30 < found.price < 50, "red things cost 40"
    assert 15 < shop.estimate_price(picture_of(shop, 9)).price < 28, "blue ones 20"
    assert {item.price.split()[-1] for item in found.nearest} == {"EUR"}
    assert any("20 in USD" in note and "not mixed" in note for note in found.notes)
    draft = {guess.field: guess for guess in found.draft}
    assert draft["colour"].value == "Red"
    assert draft["colour"].probability is not None
    assert draft["colour"].probability > 0.9
    assert "seller" not in draft
    assert "days_listed" not in draft
    assert found.title.startswith("alder Women Red")
    uses = {use.product: (use.how, seller) for use, seller in found.reused}
    assert "mirrored" in uses["p8"][0]
    assert uses["p8"][1] == "s3"
    assert found.days is not None
    assert 10 <= found.days[1] <= found.days[0] <= found.days[2] <= 16


def test_what_was_learned_is_kept_for_the_next_process_and_for_what_came_since(
    shop: lapel.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: list[int] = []
    whole = PriceModel._learn

    def counting(model: PriceModel, *args: Any) -> None:
        learned.append(1)
        whole(model, *args)

    monkeypatch.setattr(PriceModel, "_learn", counting)
    for file in shop.folder.glob("prices-*.npz"):
        file.unlink()
    with lapel.open_store(shop.folder) as cold, ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(cold.estimate_price, picture_of(shop, number)) for number in (8, 8, 9, 9)]
        first, again, *_ = (each.result() for each in asked)
    assert len(learned) == 1, "those that ask at once wait for one"
    assert first == again
    with lapel.open_store(shop.folder, read_only=True) as next_process:
        assert next_process.estimate_price(picture_of(shop, 8)) == first
    assert len(learned) == 1
    (file,) = shop.folder.glob("prices-*.npz")
    file.write_bytes(file.read_bytes()[:2000])
    with lapel.open_store(shop.folder, read_only=True) as next_process:
        assert next_process.estimate_price(picture_of(shop, 8)) == first
    assert len(learned) == 2, "what is damaged counts for nothing"


def test_what_came_and_went_is_not_learned_from_but_counts() -> None:
    vectors, prices, labels, groups = market(1500)

    def some(rows: slice) -> dict[str, list[str]]:
        return {name: values[rows] for name, values in labels.items()}

    before = fit_prices(vectors[:1200], prices[:1200], some(slice(1200)), groups[:1200])
    now, asked = slice(40, 1260), slice(1260, 1500)
    kept = fit_prices(vectors[now], prices[now], some(now), groups[now], kept=before.learned)
    assert not kept.is_new
    told = {"brand": labels["brand"][asked]}
    found = kept.estimate(vectors[asked], told)
    anew = fit_prices(vectors[now], prices[now], some(now), groups[now]).estimate(vectors[asked], told)
    assert np.median(np.abs(np.log([a.price / b.price for a, b in zip(found, anew, strict=True)]))) < 0.03
    inside = np.mean([each.low <= price <= each.high for each, price in zip(found, prices[asked], strict=True)])
    assert 0.7 < inside < 0.9
    dear = fit_prices(vectors[now], prices[now] * 2, some(now), groups[now], kept=before.learned)
    assert dear.is_new, "every price is another"
    assert fit_prices(vectors[:1000], prices[:1000], some(slice(1000)), groups[:1000], kept=before.learned).is_new
    assert fit_prices(vectors[now], prices[now], {}, groups[now], kept=before.learned).is_new


def test_another_currency_is_asked_for_and_never_mixed(shop: lapel.Store) -> None:
    with pytest.raises(QueryError, match=r"at least 30 products.*found 20 in USD.*140 in EUR are left out"):
        shop.estimate_price(picture_of(shop, 1), currency="USD")
    with pytest.raises(QueryError, match="No product has a price in GBP; there are EUR, USD"):
        shop.estimate_price(picture_of(shop, 1), currency="gbp")


def test_what_is_told_and_unknown_is_said(shop: lapel.Store, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="one of good, worn"):
        shop.estimate_price(picture_of(shop, 1), condition="mint")
    with pytest.raises(QueryError, match="kind 'Hats'"):
        shop.estimate_price(picture_of(shop, 1), kind="Hats")
    assert any("'Nobody'" in note for note in shop.estimate_price(picture_of(shop, 1), brand="Nobody").notes)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    with pytest.raises(ImageError):
        shop.estimate_price(broken)


def test_a_picture_that_nothing_looks_like_gets_a_guess(shop: lapel.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any("for a guess" in note for note in shop.estimate_price(picture_of(shop, 1)).notes)
    judged = SearchEngine.search
    monkeypatch.setattr(
        SearchEngine, "search", lambda self, query: replace(judged(self, query), verdict=Verdict.NOTHING_CLOSE)
    )
    assert any("for a guess" in note for note in shop.estimate_price(picture_of(shop, 1)).notes)


def test_a_draft_holds_neither_numbers_nor_what_a_field_says() -> None:
    products = [
        Product(
            f"p{i}",
            colour=("Blue", "Red")[i % 2],
            attributes={
                "Farbe": ("blue", "red")[i % 2],
                "fit": ("slim", "wide")[i % 2],
                "fabric": ("100% cotton", "98% cotton, 2% elastane", "silk")[i % 3],
                "margin": f"0.{i % 3}",
                "listed_at": f"2025-04-1{i % 5}",
            },
        )
        for i in range(20)
    ]
    photos = {key: Photo(key, product.id, "", "") for key, product in enumerate(products)}
    entries = {key: (product, photos[key]) for key, product in enumerate(products)}
    gallery = Gallery(np.arange(20), np.zeros((20, 4), np.float32), entries)
    assert set(columns_of(gallery)) == {"colour", "fit", "fabric"}


def test_the_command_tells_all_of_it_as_json_and_on_a_page(shop: lapel.Store, tmp_path: Path) -> None:
    for file in shop.folder.glob("prices-*.npz"):
        file.unlink()
    asked = ["price", str(picture_of(shop, 8)), "--store", str(shop.folder), "--json", "--out", str(tmp_path)]
    run = CliRunner().invoke(app, asked)
    assert run.exit_code == 0, run.output
    assert [file.name for file in shop.folder.glob("prices-*.npz")] == ["prices-kind.npz"], "kept for the next command"
    told = json.loads(run.stdout)
    assert told["low"] <= told["price"] <= told["high"]
    assert told["coverage"] == 0.8
    assert {"p8"} <= {each["product"] for each in told["photo_used_by"]}
    assert "This very photo is used already" in (tmp_path / "price.html").read_text()


def test_a_store_without_prices_says_so(tmp_path: Path, shop: lapel.Store) -> None:
    products = [Product("a"), Product("b")]
    with (
        made_store(tmp_path / "shop", products, np.eye(2)) as store,
        pytest.raises(QueryError, match="None of 2 photos"),
    ):
        store.estimate_price(picture_of(shop, 1))
    one = [Product("a", price_minor=100, currency="EUR")]
    with made_store(tmp_path / "one", one, np.eye(1)) as store, pytest.raises(QueryError, match="found 1"):
        store.estimate_price(picture_of(shop, 1))
