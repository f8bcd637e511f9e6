"""The sample wardrobe: its plan is fixed by a seed, its files agree with each other, and its truth holds."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import lapel.samples as wardrobe
from lapel.core.errors import SourceError
from lapel.samples import COLUMNS, WardrobeProduct, draw_wardrobe, plan_wardrobe, render_photo
from lapel.samples.fabric import PATTERNS, TEXTURES
from lapel.samples.kinds import KINDS
from lapel.samples.palette import GROUPS, colour
from lapel.samples.shapes import SHAPES


@pytest.fixture(scope="module")
def plan() -> tuple[WardrobeProduct, ...]:
    return plan_wardrobe()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop") / "wardrobe"
    draw_wardrobe(folder, products=6)
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "products.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=88)
    return file.getvalue()


def test_public_names_are_sorted_and_exist() -> None:
    assert sorted(wardrobe.__all__) == wardrobe.__all__
    assert all(hasattr(wardrobe, name) for name in wardrobe.__all__)


def test_default_plan_is_a_shop(plan: tuple[WardrobeProduct, ...]) -> None:
    assert len(plan) >= 600
    assert len({p.kind for p in plan}) >= 20
    assert len({p.id for p in plan}) == len(plan)
    assert {len(p.views) for p in plan} == {2, 3}
    assert all(p.views[0] == "front" and len(set(p.views)) == len(p.views) for p in plan)
    assert {p.gender for p in plan} == {"Women", "Men", "Unisex", "Girls", "Boys"}
    assert {p.season for p in plan} == {"Spring", "Summer", "Autumn", "Winter"}
    assert 0.04 < sum(not p.in_stock for p in plan) / len(plan) < 0.13
    assert len({p.title for p in plan}) > 0.98 * len(plan)


def test_every_field_is_filled_and_prices_are_money(plan: tuple[WardrobeProduct, ...]) -> None:
    for p in plan:
        assert all((p.id, p.title, p.category, p.brand, p.colour, p.pattern, p.material))
        assert p.price > 0
        assert p.price == p.price.quantize(Decimal("0.01"))
        assert p.currency == "EUR"
        assert p.colour in p.title
        assert p.title.startswith(p.brand)


def test_colourways_share_a_design_but_not_a_colour(plan: tuple[WardrobeProduct, ...]) -> None:
    designs: dict[int, list[WardrobeProduct]] = {}
    for p in plan:
        designs.setdefault(p.design, []).append(p)
    families = [family for family in designs.values() if len(family) > 1]
    assert len(families) > 30
    for family in families:
        assert len({p.colour for p in family}) == len(family)
        assert len({(p.kind, p.traits, p.brand, p.price) for p in family}) == 1


def test_tables_only_name_what_exists() -> None:
    assert {kind.shape for kind in KINDS} == set(SHAPES)
    assert {pattern for kind in KINDS for pattern in kind.patterns} <= set(PATTERNS)
    assert {texture for kind in KINDS for _, texture in kind.materials} <= set(TEXTURES)
    assert all(len(colour(name)) == 3 for names in GROUPS.values() for name in names)


def test_a_product_does_not_depend_on_how_many_there_are(plan: tuple[WardrobeProduct, ...]) -> None:
    assert plan_wardrobe(6)[3] == plan_wardrobe(10)[3] == plan[3]


def test_seed_decides() -> None:
    assert plan_wardrobe(5) == plan_wardrobe(5)
    assert plan_wardrobe(5, 8) != plan_wardrobe(5, 7)
    same, again, other = plan_wardrobe(1)[0], plan_wardrobe(1)[0], plan_wardrobe(1, 8)[0]
    assert jpeg(render_photo(same, "front")) == jpeg(render_photo(again, "front"))
    assert jpeg(render_photo(same, "front")) != jpeg(render_photo(other, "front"))


def test_each_kind_can_be_drawn_and_fills_its_picture(plan: tuple[WardrobeProduct, ...]) -> None:
    first = {p.kind: p for p in reversed(plan)}
    assert set(first) == {kind.name for kind in KINDS}
    for product in first.values():
        picture = np.asarray(render_photo(product, "front"), dtype=np.int16)
        assert picture.shape == (600, 450, 3)
        paper = np.median(picture[:20], axis=(0, 1))
        assert paper.min() > 215, product.kind
        assert 0.01 < (np.abs(picture - paper).max(axis=2) > 40).mean() < 0.9, product.kind


def test_files_agree_with_the_plan(drawn: Path) -> None:
    found = rows(drawn)
    assert tuple(found[0]) == COLUMNS
    assert [r["id"] for r in found] == [p.id for p in plan_wardrobe(6)]
    assert all(all(r.values()) for r in found)
    named = [name for r in found for name in r["pictures"].split("|")]
    assert sorted(named) == sorted(f"images/{p.name}" for p in (drawn / "images").iterdir())
    for name in named:
        with Image.open(drawn / name) as picture:
            picture.load()
            assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (450, 600))


def test_a_saved_photo_is_the_rendered_photo(drawn: Path) -> None:
    product = plan_wardrobe(10)[3]
    for view, name in zip(product.views, product.pictures, strict=True):
        assert (drawn / name).read_bytes() == jpeg(render_photo(product, view))


def test_second_call_draws_nothing(drawn: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in drawn.rglob("*")}
    summary = draw_wardrobe(drawn, products=6)
    assert not summary.drawn
    assert summary.products == 6
    assert summary.photos == len(list((drawn / "images").iterdir()))
    assert {path: path.stat().st_mtime_ns for path in drawn.rglob("*")} == before


def test_another_wardrobe_replaces_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "wardrobe"
    assert draw_wardrobe(folder, products=2).drawn
    assert draw_wardrobe(folder, products=1, seed=3).drawn
    assert len(rows(folder)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["wardrobe"]


def test_helpers_draw_the_same_as_one_process(tmp_path: Path, drawn: Path) -> None:
    seen: list[tuple[int, int]] = []
    draw_wardrobe(tmp_path / "many", products=13, progress=lambda done, total: seen.append((done, total)))
    total = sum(len(p.views) for p in plan_wardrobe(13))
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    for path in (drawn / "images").iterdir():
        assert (tmp_path / "many" / "images" / path.name).read_bytes() == path.read_bytes()


def test_interrupted_drawing_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_wardrobe(tmp_path / "wardrobe", products=3, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(SourceError, match="something else than a sample wardrobe"):
        draw_wardrobe(tmp_path, products=1)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_wrong_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 product"):
        plan_wardrobe(0)
    with pytest.raises(ValueError, match="has the views"):
        render_photo(plan_wardrobe(1)[0], "from the moon")


def histogram(picture: Image.Image) -> NDArray[np.float64]:
    """Colours of the middle of a picture in 4 x 4 x 4 bins, summing to one."""
    middle = np.asarray(picture.crop((120, 150, 330, 450)), dtype=np.int64) // 64
    bins = np.bincount((middle @ np.array([16, 4, 1])).ravel(), minlength=64)
    return np.asarray(bins / bins.sum())


def test_photos_of_one_product_look_alike(plan: tuple[WardrobeProduct, ...]) -> None:
    some = plan[::40]
    fronts = [histogram(render_photo(p, "front")) for p in some]
    others = [histogram(render_photo(p, p.views[-1])) for p in some]
    apart = np.array([[np.abs(a - b).sum() for b in others] for a in fronts])
    own, strange = np.diag(apart), apart[~np.eye(len(some), dtype=bool)]
    assert own.mean() < 0.75 * strange.mean()
