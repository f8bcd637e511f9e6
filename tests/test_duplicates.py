"""Duplicates: equal bytes, copies, other colours, decisions that stay, a second run, one new picture; bad input."""

from __future__ import annotations

import csv
import inspect
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from typer.testing import CliRunner

import lapel
from lapel.apps.cli import app
from lapel.apps.cli.duplicates import find
from lapel.catalog.pairs import PairTable
from lapel.core.errors import ImageError, QueryError
from lapel.engine.picture_hash import NEAR, content_box, hash_of, hashes_of, mirrored, read_hashes, sample
from lapel.indexes.hash_chunks import HashChunks
from lapel.indexes.neighbours import HashIndex
from lapel.insight import copies, copy_check, duplicate_search, new_picture
from lapel.insight.copy_check import MEASURES, Nearness, chance, compare, small_picture
from lapel.insight.duplicate_search import (
    CELLS_MOST,
    CandidateSearch,
    bits_apart,
    cells_apart,
    inks_apart,
    mean_of_nearest,
)
from lapel.insight.duplicates import LEAST_CHANCE, Duplicates, Group, Member, _components
from lapel.insight.picture_views import PictureViews, joined, views_of
from lapel.service import Store

RUN = CliRunner()
ONE = np.ones(1, np.float32)
NEAREST = Nearness(ONE, ONE * 0.2, np.zeros(1, np.int32))
FAR = Nearness(ONE * 0.5, ONE * 0, np.full(1, 70, np.int32))


def garment(seed: int) -> Image.Image:
    """A shape on white with a pattern of its own, so that a person can tell any two apart."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (240, 320), "white")
    pen = ImageDraw.Draw(image)
    body = [(50, 60), (110, 40), (130, 40), (190, 60), (180, 290), (60, 290)]
    pen.polygon(body, fill=tuple(int(v) for v in rng.integers(60, 200, 3)))
    for _ in range(14):
        x, y = rng.integers(60, 160), rng.integers(60, 260)
        w, h = rng.integers(8, 40, 2)
        colour = tuple(int(v) for v in rng.integers(0, 256, 3))
        (pen.ellipse if rng.random() < 0.5 else pen.rectangle)((x, y, x + w, y + h), fill=colour)
    return image


def write_shop(folder: Path) -> Path:
    """Eight garments; of some another product's picture is a copy. Returns the table."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(5)
    for number in range(8):
        garment(number).save(folder / f"g{number}.png")
    shutil.copy(folder / "g0.png", folder / "same.png")
    copies.distortions.jpeg(garment(1), rng).save(folder / "jpeg.jpg")
    copies.mirror(garment(2), rng).save(folder / "mirror.png")
    copies.framed(garment(3), rng).save(folder / "framed.png")
    garment(4).resize((120, 160)).save(folder / "small.png")
    copies.recolour(garment(5), rng).save(folder / "recoloured.png")
    with (folder / "products.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "title", "colour", "pictures"])
        for name in sorted(path.name for path in folder.glob("*.*g")):
            table.writerow([Path(name).stem, f"Shirt {Path(name).stem}", "Blue" if name[0] == "g" else "", name])
    return folder / "products.csv"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store of it, not to be written to."""
    folder = tmp_path_factory.mktemp("duplicates")
    table = write_shop(folder / "files")
    with lapel.open_store(folder / "shop", create=True, encoder="small") as store:
        store.add(table)
    return folder / "shop"


@pytest.fixture
def shop(built: Path, tmp_path: Path) -> Path:
    """A copy of that store."""
    shutil.copytree(built, tmp_path / "shop")
    return tmp_path / "shop"


def groups_of(found: Duplicates, kind: str) -> set[tuple[str, ...]]:
    """The ids of each group of a kind, sorted."""
    return {tuple(sorted(m.product for m in group.members)) for group in found.groups if group.kind == kind}


def test_copies_are_found_and_nothing_else(shop: Path) -> None:
    with lapel.open_store(shop) as store:
        found = store.duplicates()
    assert groups_of(found, "exact") == {("g0", "same")}
    assert groups_of(found, "near") == {("g1", "jpeg"), ("g2", "mirror"), ("framed", "g3"), ("g4", "small")}
    assert groups_of(found, "same product") == set()
    mirrored = next(m for g in found.groups for m in g.members if m.product in ("mirror", "g2") and m.product != g.best)
    assert mirrored.mirrored
    assert "recoloured" not in json.dumps(found.to_json()["groups"])  # another colour is no duplicate


def test_the_best_is_the_largest_then_the_most_complete_then_the_oldest(shop: Path) -> None:
    with lapel.open_store(shop) as store:
        found = {group.members[1].product: group for group in store.duplicates().groups}
    assert found["small"].best == "g4"
    assert "largest (76,800 pixels against 19,200)" in found["small"].why
    assert found["same"].best == "g0"
    assert "most complete" in found["same"].why  # it has a colour


def test_dismissed_pairs_stay_away_also_when_added_again(shop: Path, built: Path) -> None:
    files = built.parent / "files" / "products.csv"
    with lapel.open_store(shop) as store:
        store.dismiss_duplicate("jpeg", "g1", note="two batches")
        assert ("g1", "jpeg") not in groups_of(store.duplicates(), "near")
        store.remove(["g1", "jpeg"])
        store.add(files)
        found = store.duplicates()
        assert ("g1", "jpeg") not in groups_of(found, "near")
        assert found.dismissed == 1
        assert "1 pair left out" in found.summary()
        assert [(d.one, d.other, d.note) for d in store.dismissed_duplicates()] == [("g1", "jpeg", "two batches")]
        assert store.restore_duplicate("g1", "jpeg")
        assert ("g1", "jpeg") in groups_of(store.duplicates(), "near")


@pytest.mark.parametrize(("colour", "near"), [("Red", False), ("blue", True)])
def test_what_the_shop_calls_another_colour_is_no_copy_unless_its_bytes_are_equal(
    shop: Path, tmp_path: Path, colour: str, near: bool
) -> None:
    """g1 is blue, and jpeg.jpg is its picture, compressed again; so is the picture of shades that a shop retouches."""
    with lapel.open_store(shop) as store:
        store.products.patch("jpeg", lambda product: replace(product, colour=colour))
        store.products.patch("same", lambda product: replace(product, colour="Red"))
        found = store.duplicates()
    assert (("g1", "jpeg") in groups_of(found, "near")) is near
    assert found.other_colour == (not near)
    assert ("1 pair left out whose colours" in found.summary()) is not near
    assert ("g0", "same") in groups_of(found, "exact")


def test_a_second_run_compares_what_is_new_alone(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int | None]] = []
    with lapel.open_store(shop) as store:
        first = store.duplicates(progress=lambda done, total: asked.append((done, total)))
        assert asked[-1] == (13, 13)  # 14 photos, two of the same bytes
        asked.clear()
        assert store.duplicates(progress=lambda done, total: asked.append((done, total))) == first
        assert asked == []
        (tmp_path / "more").mkdir()
        copies.mirror(garment(6), np.random.default_rng(1)).save(tmp_path / "more" / "late.png")
        store.add(tmp_path / "more")
        found = store.duplicates(progress=lambda done, total: asked.append((done, total)))
        assert asked[-1] == (1, 1)
        assert ("g6", "late") in groups_of(found, "near")
    # Without what was kept, the groups are the same; scores may move, as neighbours have come.
    (shop / "duplicates.sqlite").unlink()
    with lapel.open_store(shop) as store:
        again = store.duplicates()
    assert all(groups_of(again, kind) == groups_of(found, kind) for kind in ("exact", "near", "same product"))


def test_pictures_of_earlier_versions_are_hashed_once(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicate_search, "HASHED", 5)
    asked: list[tuple[int, int | None]] = []

    def tell(done: int, total: int | None) -> None:
        asked.append((done, total))
        if len(asked) == 2:
            raise KeyboardInterrupt

    with lapel.open_store(shop) as store:
        assert store.info().lacking == {}  # adding makes them
        store._context.catalog.features.drop_other_versions("picture_hash", "none")
        with pytest.raises(KeyboardInterrupt):
            store.duplicates(progress=tell)
        assert asked == [(5, 13), (10, 13)]
        assert len(groups_of(store.duplicates(progress=tell), "near")) == 4
        assert asked[2:] == [(3, 3), (13, 13)]
        assert store.info().lacking == {}


def test_an_interrupted_run_goes_on(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicate_search, "BLOCK", 4)

    def stop(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with lapel.open_store(shop) as store:
        with pytest.raises(KeyboardInterrupt):
            store.duplicates(progress=stop)
        asked: list[tuple[int, int | None]] = []
        found = store.duplicates(progress=lambda done, total: asked.append((done, total)))
        assert asked[-1] == (9, 9)
        assert len(groups_of(found, "near")) == 4


def test_a_store_that_may_not_be_written_answers_too(shop: Path) -> None:
    with lapel.open_store(shop, read_only=True) as store:
        assert len(store.duplicates().groups) == 5
    assert not (shop / "duplicates.sqlite").exists()


def test_one_product_is_told_what_a_look_at_all_products_finds(shop: Path) -> None:
    def told(found: Duplicates, name: str) -> list[tuple[str, str, set[str]]]:
        groups = [(each.kind, each.best, {member.product for member in each.members}) for each in found.groups]
        return [each for each in groups if name in each[2]]

    with lapel.open_store(shop) as store:
        ids = [each.product.id for each in store.browse().products]
        alone = {name: store.duplicates_of(name) for name in ids}
        every = store.duplicates()
        assert len(every.groups) == 5
        assert {name: told(found, name) for name, found in alone.items()} == {name: told(every, name) for name in ids}
        assert sum(len(found.groups) for found in alone.values()) == sum(len(each.members) for each in every.groups)
        store.dismiss_duplicate("g0", "same")
        assert store.duplicates_of("g0").groups == ()
        with pytest.raises(QueryError, match="nobody"):
            store.duplicates_of("nobody")


def test_one_new_picture(shop: Path) -> None:
    rng = np.random.default_rng(3)
    with lapel.open_store(shop) as store:
        near = store.check_new_picture(copies.recut(garment(7), rng))
        assert [match.product for match in near.matches] == ["g7"]
        exact = store.check_new_picture(str(lapel_file(store, "g0")))
        assert {(match.kind, match.product) for match in exact.matches} == {("exact", "g0"), ("exact", "same")}
        assert not store.check_new_picture(garment(99)).matches
        assert not store.check_new_picture(str(lapel_file(store, "g0")), where="id=g5").matches
        with pytest.raises(ImageError, match="cannot be read"):
            store.check_new_picture("nowhere.png")


def test_a_picture_laid_in_a_scene_is_found_by_what_is_cut_out_of_it(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    floor = Image.new("RGB", (480, 480), (60, 110, 160))
    ImageDraw.Draw(floor).rectangle((0, 330, 480, 480), fill=(150, 100, 70))
    floor.paste(garment(5), (120, 80), copies.distortions.cut_out(garment(5)))
    with lapel.open_store(shop) as store:
        assert [match.product for match in store.check_new_picture(floor, least=0.5).matches] == ["g5"]
        monkeypatch.setattr(new_picture, "views_of", lambda encoder, images: views_of(encoder, images).whole)
    with lapel.open_store(shop) as store:
        assert not store.check_new_picture(floor, least=0.5).matches


def test_views_of_pictures_are_taken_apart_and_joined() -> None:
    def views(of: list[int], first: int) -> PictureViews:
        n = len(of)
        squares = np.zeros((n, 48, 48, 3), np.uint8)
        vectors = np.arange(first, first + n, dtype=np.float32)[:, None]
        return PictureViews(np.array(of), squares, np.ones(n), read_hashes([b""] * n), vectors)

    both = joined([views([0, 1, 1], 0), views([0], 3), views([0, 1, 0, 1], 4)])
    assert both.of.tolist() == [0, 1, 2, 3, 4, 1, 3, 4]
    assert both.vectors[:, 0].tolist() == [0, 1, 3, 4, 5, 2, 6, 7]
    assert both.whole.vectors[:, 0].tolist() == [0, 1, 3, 4, 5]
    assert both.products.of.tolist() == [1, 3, 4]
    some = both.of_pictures(3, 5)
    assert (some.of.tolist(), some.vectors[:, 0].tolist()) == ([0, 1, 0, 1], [4, 5, 6, 7])


def test_a_hidden_product_with_the_same_bytes_is_not_told_of(tmp_path: Path) -> None:
    table = write_shop(tmp_path / "files")
    with lapel.open_store(tmp_path / "shop", create=True, encoder="colour:") as store:
        store.sync(table)
        rows = table.read_text().splitlines(keepends=True)
        table.write_text("".join(row for row in rows if not row.startswith("same,")))
        store.sync(table)
        found = store.check_new_picture(str(lapel_file(store, "g0")))
        assert [match.product for match in found.matches if match.kind == "exact"] == ["g0"]


def lapel_file(store: Store, product: str) -> Path:
    """The file of a product's photo."""
    return Path(store.product(product).photos[0].uri.removeprefix("file://"))


def test_stores_with_little_in_them(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    garment(1).save(tmp_path / "one" / "a.png")
    with lapel.open_store(tmp_path / "shop", create=True, encoder="small") as store:
        with pytest.raises(QueryError, match="nothing to compare"):
            store.duplicates()
        store.add(tmp_path / "one")
        assert store.duplicates().groups == ()
        for number in range(4):
            shutil.copy(tmp_path / "one" / "a.png", tmp_path / "one" / f"b{number}.png")
        store.add(tmp_path / "one")
        (group,) = store.duplicates().groups  # all the same picture
        assert (group.kind, len(group.members), group.best) == ("exact", 5, "a")
        with pytest.raises(QueryError, match="0 and up to 1"):
            store.duplicates(least=0)
        with pytest.raises(QueryError, match="no duplicate of itself"):
            store.dismiss_duplicate("a", "a")
        with pytest.raises(QueryError):
            store.dismiss_duplicate("a", "nobody")


def test_pictures_that_are_gone_are_told(shop: Path, tmp_path: Path) -> None:
    with lapel.open_store(shop) as store:
        (tmp_path / "gone").mkdir()
        garment(50).save(tmp_path / "gone" / "gone.png")
        store.add(tmp_path / "gone")
        (tmp_path / "gone" / "gone.png").unlink()
    (shop / "thumbnails.sqlite").unlink()
    with lapel.open_store(shop) as store:
        found = store.duplicates()
    assert [uri.rsplit("/", 1)[1] for uri, _ in found.unreadable] == ["gone.png"]
    assert "partial: 1 photo" in found.summary()
    assert len(groups_of(found, "near")) == 4


def test_the_command(shop: Path, tmp_path: Path) -> None:
    out = RUN.invoke(app, ["duplicates", "--store", str(shop), "--json", "--out", str(tmp_path / "out")])
    assert out.exit_code == 0, out.output
    told = json.loads(out.stdout)
    group = told["groups"][0]
    assert (group["kind"], group["best"]) == ("exact", "g0")
    assert set(group["members"][0]) == {"product", "photo", "score"}
    rows = list(csv.DictReader((tmp_path / "out" / "duplicates.csv").read_text().splitlines()))
    assert len(rows) == 10
    page = (tmp_path / "out" / "duplicates.html").read_text()
    assert page.count("<img") == 10
    said = RUN.invoke(app, ["duplicates", "dismiss", "g1", "jpeg", "--store", str(shop)])
    assert "not shown" in said.output
    assert "1 pair dismissed" in RUN.invoke(app, ["duplicates", "dismissed", "--store", str(shop)]).output
    undone = RUN.invoke(app, ["duplicates", "dismiss", "g1", "jpeg", "--undo", "--store", str(shop)])
    assert "may be shown" in undone.output
    new = RUN.invoke(app, ["duplicates", "--new", str(tmp_path / "no.png"), "--store", str(shop)])
    assert new.exit_code == 1


# --- its parts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", copies.COPIES)
def test_the_check_finds_where_a_copy_lies(kind: str) -> None:
    rng = np.random.default_rng(2)
    right, wrong = [], []
    for seed in range(4):
        made, ratio = small_picture(copies.COPIES[kind](garment(seed), rng))
        for other in (seed, seed + 10):
            its, shape = small_picture(garment(other))
            found = compare(its[None], made[None], np.array([[shape, ratio]]))
            (right if other == seed else wrong).append(found.measures[0, MEASURES.index("detail")])
    assert all(mine > other for mine, other in zip(right, wrong, strict=True))
    assert np.median(right) > 0.65 > np.median(wrong)


def test_what_the_check_gave_up_is_ranked_by_its_vector_and_never_sure() -> None:
    nothing = np.zeros((1, len(MEASURES)), np.float32)
    nothing[0, 0] = 0.99  # a window fits, and nothing fine agrees
    assert chance(nothing, FAR)[0] < chance(nothing, NEAREST)[0] <= 0.5


def test_words_over_a_picture_neither_move_it_nor_dye_it() -> None:
    its, shape = small_picture(garment(3))
    written = garment(3)
    pen = ImageDraw.Draw(written)
    for top, colour in ((40, (0, 90, 200)), (150, (200, 30, 30)), (250, (0, 0, 0))):
        pen.rectangle((0, top, 200, top + 32), fill=colour)
    made, ratio = small_picture(written)
    found = compare(made[None], its[None], np.array([[ratio, shape]]))
    assert np.abs(found.maps[0] - np.eye(2, 3)).max() < 0.03
    have = dict(zip(MEASURES, found.measures[0].tolist(), strict=True))
    assert have["patch_most"] > 0.9
    assert max(have["colour_half"], have["rest_half"]) < 2  # of other colours, half are 4.7 or more
    assert chance(found.measures, NEAREST)[0] > 0.8


def test_of_two_candidates_that_are_no_copies_of_each_other_the_less_sure_is_less_likely() -> None:
    pictures = [garment(1), garment(2), copies.distortions.jpeg(garment(1), np.random.default_rng(3))]
    vectors = np.array([[1, 0], [0.8, 0.6], [0.99, 0.1411]], np.float32)
    search = CandidateSearch(vectors, read_hashes([hash_of(each) for each in pictures]))
    small = [small_picture(each) for each in pictures]

    def beside(asking: list[int], found: list[int], likely: list[float]) -> list[float]:
        its = np.stack([small[at].square for at in found]), np.array([small[at].ratio for at in found])
        return search.beside_rivals(np.array(asking), np.array(found), np.array(likely), its).tolist()

    assert beside([0, 0], [0, 1], [0.99, 0.85])[0] == 0.99
    assert beside([0, 0], [1, 0], [0.85, 0.99])[0] < 0.5
    assert beside([0, 0], [0, 2], [0.99, 0.85]) == [0.99, 0.85]  # the shop has the picture twice
    assert beside([0, 0], [0, 1], [0.9, 0.85]) == [0.9, 0.85]  # as sure
    assert beside([0, 1], [0, 1], [0.99, 0.85]) == [0.99, 0.85]  # of two pictures


def test_what_no_light_explains_is_at_most_as_likely_as_not() -> None:
    its, shape = small_picture(garment(3))
    same = compare(its[None], its[None], np.array([[shape, shape]])).measures
    assert chance(same, NEAREST)[0] > 0.9
    same[0, MEASURES.index("colour_half")] = 5.0
    assert chance(same, NEAREST)[0] <= 0.5


def test_what_is_drawn_otherwise_goes_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    (one, ratio), (other, shape) = (small_picture(garment(seed)) for seed in (3, 4))
    pair = one[None], other[None], np.array([[ratio, shape]])
    whole = compare(*pair)
    assert whole.measures[0, MEASURES.index("overlap")] > 0
    with monkeypatch.context() as context:
        context.setattr(copy_check, "LEAST_DRAWN", 1.1)  # more than any drawing reaches
        assert compare(*pair, FAR).measures[0, 1:].max() == 0
    copy = one[None], one[None], np.array([[ratio, ratio]])
    assert np.array_equal(compare(*copy).measures, compare(*copy, NEAREST).measures)


def test_the_check_gives_the_place_of_a_cut() -> None:
    image = garment(3)
    part = image.crop((24, 64, 216, 320))
    (whole, one), (cut, other) = small_picture(image), small_picture(part)
    found = compare(whole[None], cut[None], np.array([[one, other]]))
    # x of 0..1 in the whole -> (240 x - 24) / 192 in the part; y likewise.
    expected = np.array([[240 / 192, 0, -24 / 192], [0, 320 / 256, -64 / 256]])
    assert np.abs(found.maps[0] - expected).max() < 0.03


def test_colours_tell_light_from_dye() -> None:
    rng = np.random.default_rng(4)
    at = MEASURES.index("colour_half")
    for seed in range(4):
        its, shape = small_picture(garment(seed))
        measured = []
        for way in (copies.distortions.light, copies.recolour):
            made, ratio = small_picture(way(garment(seed), rng))
            measured.append(compare(its[None], made[None], np.array([[shape, ratio]])).measures[0, at])
        assert measured[0] < measured[1]


def test_hashes_of_mirrored_pictures() -> None:
    greys = np.stack([sample(garment(seed))[0][0] for seed in range(6)])
    flipped, _ = hashes_of(greys[:, :, ::-1])
    hashes, quality = hashes_of(greys)
    assert np.bitwise_count(flipped ^ mirrored(hashes)).sum(axis=1).max() <= 2  # what is 0 but for rounding
    assert quality.min() > 0
    assert hashes_of(np.full((1, 48, 48), 255, np.uint8))[1][0] == 0  # nothing to see


def test_the_content_is_what_a_frame_or_a_screen_shows() -> None:
    image = garment(3)
    ImageDraw.Draw(image).rectangle((112, 40, 128, 290), fill=(250, 240, 90))  # no line across it has one colour
    place = content_box(image)
    assert np.allclose(place, (50 / 240, 40 / 320, 190 / 240, 290 / 320), atol=0.02)
    own = read_hashes([hash_of(image)])
    for kind in ("framed", "screenshot"):
        made = read_hashes([hash_of(copies.COPIES[kind](image, np.random.default_rng(8)))])
        whole, content = np.bitwise_count(own.hashes[0] ^ made.hashes[0]).sum(axis=1)
        assert content <= NEAR + 20 < 90 < whole, kind
        assert bits_apart(made.hashes, own.hashes)[0] == content
        assert cells_apart(made.cells, own.cells)[0] <= CELLS_MOST
    assert content_box(Image.new("RGB", (60, 80), "white")) == (0, 0, 1, 1)


def test_cells_are_the_mean_colours_of_a_picture_and_words_may_cover_some() -> None:
    image = Image.new("RGB", (96, 96), "white")
    image.paste((200, 40, 60), (0, 0, 48, 96))  # half of it is red
    cells = read_hashes([hash_of(image)]).cells
    assert cells.shape == (1, 2, 8, 8, 3)
    assert cells[0, 0, 3, 1].tolist() == [200, 40, 60]
    assert cells[0, 0, 3, 6].tolist() == [255, 255, 255]
    written, other = image.copy(), image.copy()
    written.paste((0, 0, 0), (0, 0, 48, 60))
    other.paste((180, 60, 60), (0, 0, 48, 96))
    made = read_hashes([hash_of(each) for each in (written, other)]).cells
    assert cells_apart(np.repeat(cells, 2, axis=0), made).tolist() == [2, 20]  # at its edge, scaling takes a little
    assert cells_apart(cells, cells[:, :, :, ::-1]).tolist() == [0]  # mirrored
    beside = image.copy()
    beside.paste((0, 0, 0), (48, 0, 96, 96))  # and words over what was white
    assert cells_apart(cells, read_hashes([hash_of(beside)]).cells)[0] <= 2
    assert cells_apart(cells * 0 + 255, cells * 0 + 255).tolist() == [255]  # nothing in either
    assert inks_apart(cells, cells[:, :, :, ::-1])[0] == pytest.approx(0, abs=1e-4)  # wherever it lies
    assert inks_apart(cells, made[1:])[0] == pytest.approx(4.0, abs=0.1)


def test_of_many_hashes_the_nearest_few_come_in_their_order() -> None:
    rng = np.random.default_rng(9)
    hashes = rng.integers(0, 256, (500, 32), np.uint8)
    for place, bits in ((7, 2), (8, 30), (9, 11)):
        hashes[place] = hashes[6]
        for bit in rng.choice(256, bits, replace=False):
            hashes[place, bit // 8] ^= np.uint8(1 << (bit % 8))
    distances, places = HashChunks(hashes).search(hashes[6:7], 5)
    assert places.tolist() == [[6, 7, 9, 8, -1]]
    assert distances.tolist() == [[0, 2, 11, 30, 256]]
    assert HashChunks(hashes[:0]).search(hashes[:1], 2)[1].tolist() == [[-1, -1]]


def test_many_hashes_are_found_as_all_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    hashes = rng.integers(0, 256, (3000, 32), np.uint8)
    asked = hashes[:200].copy()
    for row in asked:  # up to PDQ's 31 bits away
        for bit in rng.choice(256, int(rng.integers(0, NEAR + 1)), replace=False):
            row[bit // 8] ^= np.uint8(1 << (bit % 8))
    slow = HashIndex(hashes).nearest(asked, 1)
    monkeypatch.setattr("lapel.indexes.neighbours.FLAT_HASHES", 100)
    fast = HashIndex(hashes).nearest(asked, 1)
    assert np.array_equal(slow[1], fast[1])
    assert np.array_equal(slow[0], fast[0])


def test_candidates_are_those_of_a_plain_table(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    vectors = rng.standard_normal((300, 16)).astype(np.float32)
    vectors[1::2] = vectors[::2] + 0.2 * rng.standard_normal((150, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    looks = read_hashes([b""] * 300)  # no hash says anything
    search = CandidateSearch(vectors, looks)
    every = np.arange(300)
    found = search.of(vectors, looks, own=every)
    pairs = set(zip(found.asking.tolist(), found.found.tolist(), strict=True))
    table = vectors @ vectors.T
    np.fill_diagonal(table, -2)
    # The table's nearest nine: all that is well above its mean, or nearer than .9.
    usual = np.sort(table, axis=1)[:, -9:].mean(axis=1)
    for row in range(300):
        near = np.argsort(-table[row])[:9]
        own = np.maximum(0.6, usual[row] + 0.05)
        wanted = {(row, int(at)) for at in near if table[row][at] >= min(0.9, own)}
        if table[row][near[0]] >= usual[row] + 0.03:
            wanted.add((row, int(near[0])))
        assert {pair for pair in pairs if pair[0] == row} == wanted


def test_a_picture_that_is_not_among_those_searched_has_its_nearest_as_a_candidate() -> None:
    vectors = np.eye(4, dtype=np.float32)
    search = CandidateSearch(vectors, read_hashes([b""] * 4))
    asked = np.array([[0.5, 0.51, 0.49, 0.5]], np.float32)
    found = search.of(asked / np.linalg.norm(asked), read_hashes([b""]))
    assert (found.found.tolist(), found.worth.tolist()) == ([1], [True])


def test_usual_cosines_count_what_is_in_both_once() -> None:
    vectors = np.eye(4, dtype=np.float32)
    asked = vectors[:1]
    assert mean_of_nearest(asked, vectors, vectors[:1], 4) == mean_of_nearest(asked, vectors, vectors[:0], 4)


def test_components_and_groups_check_themselves() -> None:
    assert _components([(1, 2), (3, 4), (2, 5)]) == [[1, 2, 5], [3, 4]]
    one, other = Member("a", "file:///a", 1.0, 1), Member("b", "file:///b", 0.9, 2)
    assert Group("near", "a", "why", (one, other)).score == 0.9
    with pytest.raises(QueryError):
        Group("near", "b", "why", (one, other))
    with pytest.raises(QueryError):
        Group("alike", "a", "why", (one, other))
    with pytest.raises(QueryError):
        Member("a", "file:///a", 1.5, 1)


def test_decisions_survive_a_lost_cache(tmp_path: Path) -> None:
    table = PairTable(tmp_path, read_only=False)
    table.dismiss("b", "a")
    table.close()
    again = PairTable(tmp_path, read_only=True)
    assert [(each.one, each.other) for each in again.dismissed()] == [("a", "b")]
    again.close()


def test_a_copy_is_as_sure_wherever_it_is_asked_for() -> None:
    for ask in (Store.duplicates, Store.duplicates_of, Store.check_new_picture, find):
        assert inspect.signature(ask).parameters["least"].default == LEAST_CHANCE
