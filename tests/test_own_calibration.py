"""A store learns what its own cosines mean: a shop of drawn shirts and bags in colours, with the shipped small one."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import lapel
from lapel import Verdict
from lapel.core.errors import InputError, StoreReadOnlyError
from lapel.engine.judging import own_folder
from lapel.insight import own_calibration

COLOURS = {"red": (200, 30, 30), "blue": (30, 40, 190), "green": (20, 130, 60)}
PRODUCTS = 72


def shirt(pen: ImageDraw.ImageDraw, wide: int, colour: tuple[int, int, int]) -> None:
    pen.polygon(
        [(40, 20), (80, 20), (112, 60), (90, 72), (60 + wide, 140), (60 - wide, 140), (30, 72), (8, 60)], colour
    )


def bag(pen: ImageDraw.ImageDraw, wide: int, colour: tuple[int, int, int]) -> None:
    pen.arc((40, 30, 80, 90), 180, 360, colour, 6)
    pen.rectangle((60 - wide, 60, 60 + wide, 120), colour)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """72 products of two kinds and three colours."""
    folder = tmp_path_factory.mktemp("kinds")
    rng = np.random.default_rng(0)
    rows = []
    for number in range(PRODUCTS):
        colour = sorted(COLOURS)[number % 3]
        kind, draw = [("Shirts", shirt), ("Bags", bag)][number % 2]
        image = Image.new("RGB", (120, 160), (255, 255, 255))
        draw(ImageDraw.Draw(image), int(rng.integers(24, 44)), COLOURS[colour])
        image.save(folder / f"{number}.png")
        rows.append({"id": str(number), "category": f"Apparel > {kind}", "colour": colour, "gender": "Women"})
    with (folder / "products.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with lapel.open_store(folder / "shop", create=True, encoder="small") as store:
        store.add(folder, products=folder / "products.csv")
    return folder / "shop"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny shop may have one, too."""
    monkeypatch.setattr(own_calibration, "LEAST", 40)
    monkeypatch.setattr(own_calibration, "DRAWN", 4)


@pytest.mark.usefixtures("few")
def test_a_store_learns_its_own_and_goes_back(shop: Path) -> None:
    """Verdicts follow what it learned, in a store opened before too, and are gone when it is forgotten."""
    photo = shop.parent / "0.png"
    with lapel.open_store(shop) as store, lapel.open_store(shop, read_only=True) as other:
        before = [hit.probability for hit in other.search(image=photo)]
        found = store.models.calibrate(sample=48)
        assert found.photos == 48
        assert not found.unreadable
        assert found.errors["white"][Verdict.SAME_KIND] < 0.2
        assert own_folder(shop, store.models.current.fingerprint).joinpath("calibration.json").exists()
        answer = other.search(image=photo)
        assert answer[0].product.category[-1] == "Bags" or answer[0].verdict is not None
        assert answer[0].probability is not None
        assert [hit.probability for hit in answer] != before
        assert json.loads(json.dumps(found.to_json()))["photos"] == 48
        with pytest.raises(StoreReadOnlyError, match="reading only"):
            other.models.calibrate()
        assert store.models.forget_calibration()
        assert not store.models.forget_calibration()
        assert [hit.probability for hit in other.search(image=photo)] == before


def test_what_a_store_lacks_is_said(shop: Path, tmp_path: Path) -> None:
    """Too few photos, a filter that leaves too few, and no categories."""
    with lapel.open_store(shop) as store, pytest.raises(InputError, match="needs 200 photos"):
        store.models.calibrate()
    Image.new("RGB", (60, 80), (9, 9, 200)).save(tmp_path / "1.png")
    with lapel.open_store(tmp_path / "plain", create=True, encoder="colour:") as store:
        store.add(tmp_path)
        with pytest.raises(InputError, match="0 of 0 kinds"):
            store.models.calibrate()
