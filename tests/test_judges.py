"""The evaluations of the encoder: their distortions, the hash they compare with, their mapping of kinds, and each of
them on a tiny shop."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

import geometry
import lapel
import phone_to_shop
import photo_looks
import same_product
from encoders import PerceptualHash, encode_shop, open_named
from lapel import Hit, Photo, Product
from lapel.core.vectors import normalise
from lapel.insight.distortions import DISTORTIONS, HEIGHT, MILD, SCENE, cut_out, enlarge
from lapel.samples import draw_wardrobe
from shops import Shop, read_shop
from words import drawn_shops, judged_questions

PRODUCTS = 24


def shirt(colour: str = "navy") -> Image.Image:
    """60 x 80, white around it, as the catalogue's pictures are."""
    image = Image.new("RGB", (60, 80), "white")
    pen = ImageDraw.Draw(image)
    pen.polygon([(15, 12), (45, 12), (56, 30), (47, 34), (47, 70), (13, 70), (13, 34), (4, 30)], fill=colour)
    pen.line((30, 12, 30, 70), fill="white", width=2)
    return image


def shoe() -> Image.Image:
    image = Image.new("RGB", (60, 80), "white")
    ImageDraw.Draw(image).polygon([(4, 50), (22, 46), (34, 58), (57, 62), (57, 70), (4, 70)], fill="black")
    return image


@pytest.fixture(scope="module")
def wardrobe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wardrobe")
    draw_wardrobe(folder, products=PRODUCTS)
    return folder


@pytest.fixture(scope="module")
def shop(wardrobe: Path) -> Shop:
    return read_shop(wardrobe, wardrobe / "products.csv")


# --- distortions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DISTORTIONS)
def test_the_same_seed_gives_the_same_pixels(name: str) -> None:
    picture = enlarge(shirt())
    before = picture.tobytes()
    first, again, other = (DISTORTIONS[name](picture, np.random.default_rng((3, seed))) for seed in (0, 0, 1))
    assert first.mode == "RGB"
    assert first.tobytes() == again.tobytes()
    assert name == "rotation 15°" or first.tobytes() != other.tobytes()  # it only draws the side
    assert picture.tobytes() == before


def test_what_each_distortion_is() -> None:
    picture = enlarge(shirt())
    assert picture.size == (HEIGHT * 3 // 4, HEIGHT)
    done = {name: distort(picture, np.random.default_rng(0)) for name, distort in DISTORTIONS.items()}
    assert tuple(DISTORTIONS)[:6] == MILD
    width, height = done["crop to 60 %"].size
    assert width * height == pytest.approx(0.6 * picture.width * picture.height, rel=0.01)
    for name in ("rotation 15°", "perspective", "light and white balance", "blur", "JPEG 20-50", "phone photo"):
        assert done[name].size == picture.size
    assert done["cluttered scene"].size == SCENE
    # the scene takes the place of the white: hardly a white pixel is left where three in ten were
    for name in ("cluttered scene", "phone photo"):
        assert (np.asarray(done[name]).min(axis=2) > 245).mean() < 0.1


def test_the_cut_out_is_the_shirt() -> None:
    picture = shirt()
    found = np.asarray(cut_out(enlarge(picture)).resize(picture.size, Image.Resampling.BOX)) > 127
    drawn = np.asarray(picture).min(axis=2) < 200
    drawn[12:70, 29:33] = True  # the white line down its middle is inside
    assert (found & drawn).sum() / (found | drawn).sum() > 0.9


# --- the perceptual hash --------------------------------------------------------------------------------------------


def test_the_hash_is_64_signs_and_knows_a_picture_again() -> None:
    pictures = [shirt(), shirt().filter(ImageFilter.GaussianBlur(1)), shirt().resize((240, 320)), shoe()]
    vectors = PerceptualHash().encode(pictures)
    assert vectors.shape == (4, 64)
    assert set(np.abs(vectors).ravel().tolist()) == {1 / 8}
    different = 32 * (1 - vectors @ vectors[0])
    assert different[0] == 0
    assert different[1] <= 6
    assert different[2] <= 6
    assert different[3] >= 16


def test_the_hash_equals_the_obvious_cosine_transform() -> None:
    grey = np.asarray(shirt().convert("L").resize((32, 32), Image.Resampling.LANCZOS), np.float64)
    low = np.array(
        [
            [
                sum(
                    grey[y, x] * np.cos(np.pi / 32 * (y + 0.5) * v) * np.cos(np.pi / 32 * (x + 0.5) * u)
                    for y in range(32)
                    for x in range(32)
                )
                for u in range(8)
            ]
            for v in range(8)
        ]
    ).ravel()
    assert ((PerceptualHash().encode([shirt()])[0] > 0) == (low > np.median(low))).all()


# --- kinds ----------------------------------------------------------------------------------------------------------


def test_every_kind_that_is_worn_answers_a_label_or_is_left_out_on_purpose(catalogue: Path) -> None:
    with (catalogue / "products.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    worn = {
        row["articleType"]
        for row in rows
        if row["masterCategory"] in ("Apparel", "Footwear") or row["subCategory"] == "Headwear"
    }
    asked = frozenset[str]().union(*phone_to_shop.KINDS.values())
    assert len(phone_to_shop.KINDS) == 10
    assert all(phone_to_shop.KINDS.values())
    assert not asked & phone_to_shop.LEFT_OUT
    assert asked | phone_to_shop.LEFT_OUT == worn  # each was thought of, and none is misspelt


def test_every_photo_has_a_label_that_is_mapped() -> None:
    if not (phone_to_shop.PHOTOS / "photos.csv").exists():
        pytest.skip(f"the clothing photos are not at {phone_to_shop.PHOTOS}")
    photos = phone_to_shop.read_photos(phone_to_shop.PHOTOS)
    assert set(photos.labels.tolist()) == set(phone_to_shop.KINDS)
    assert set(photos.splits.tolist()) == {"train", "validation"}


# --- each evaluation on a tiny shop
# --------------------------------------------------------------------------------------


def test_a_shop_is_encoded_once_and_kept(shop: Shop, tmp_path: Path) -> None:
    vectors = encode_shop(open_named("colour:", tmp_path), shop, tmp_path)
    assert vectors.shape == (PRODUCTS, 128)
    (kept,) = tmp_path.glob("*.npy")
    np.save(kept, vectors[::-1])
    assert np.array_equal(encode_shop(open_named("colour:", tmp_path), shop, tmp_path), vectors[::-1])


def test_same_product_prints_its_table_and_draws_its_sheet(
    wardrobe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--data", str(wardrobe), "--products", str(wardrobe / "products.csv"), "--cache", str(tmp_path)]
    sheet = tmp_path / "sheet.png"
    same_product.main([*common, "--encoder", "colour:", "--baseline", "phash", "--queries", "6", "--sheet", str(sheet)])
    printed = capsys.readouterr().out
    assert f"6 pictures among {PRODUCTS} products" in printed
    for name in (*DISTORTIONS, "mean of the six mild ones", "colour", "pHash, 64 bit"):
        assert name in printed
    line = next(line for line in printed.splitlines() if line.startswith("JPEG"))
    assert line.count("100.0 [") == 3  # JPEG changes next to nothing, and there are 24 products only
    with Image.open(sheet) as drawn:
        assert drawn.format == "PNG"


def test_a_group_counts_as_the_product() -> None:
    asked = same_product.Asked(None, np.array([1, 2]), np.array(["a", "a", "b"]))  # type: ignore[arg-type]
    right = asked.right(np.array([[0, 2], [1, 2]]), slice(0, 2))
    assert right.tolist() == [[True, False], [False, True]]


def test_phone_to_shop_counts_by_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three products of plain colours and two photos of the same colours: what is right can be seen."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "photos").mkdir()
    table = ["id,articleType"]
    for name, colour, kind in (("1", "red", "Dresses"), ("2", "green", "Caps"), ("3", "blue", "Jeans")):
        Image.new("RGB", (60, 80), colour).save(tmp_path / "shop" / f"{name}.png")
        table.append(f"{name},{kind}")
    (tmp_path / "products.csv").write_text("\n".join(table) + "\n")
    rows = ["file,label,split"]
    for name, colour, label in (("a", "red", "dress"), ("b", "green", "pants")):
        Image.new("RGB", (90, 120), colour).save(tmp_path / "photos" / f"{name}.png")
        rows.append(f"{name}.png,{label},validation")
    (tmp_path / "photos" / "photos.csv").write_text("\n".join(rows) + "\n")
    phone_to_shop.main(
        [
            *("--data", str(tmp_path / "shop"), "--products", str(tmp_path / "products.csv")),
            *("--photos", str(tmp_path / "photos"), "--cache", str(tmp_path), "--encoder", "colour:"),
            *("--baseline", "--sheet", str(tmp_path / "sheet.png")),
        ]
    )
    lines = {line[:26].strip(): line[26:].split() for line in capsys.readouterr().out.splitlines()}
    assert lines["dress"][:2] == ["1", "100.0"]
    assert lines["pants"][:2] == ["1", "0.0"]
    assert lines["all"][:2] == lines["validation"][:2] == ["2", "50.0"]
    assert "train" not in lines
    assert (tmp_path / "sheet.png").exists()


def test_looks_are_counted_by_colour_kind_pattern_and_age() -> None:
    """A red checked long-sleeved tee of a woman: two of its answers are red, one is checked, one has long sleeves."""
    look = photo_looks.Look(
        "a.jpg", "longsleeve", False, frozenset({"Red", "Maroon"}), "checked", frozenset({"long sleeve"}), "women"
    )
    products = [
        Product("1", title="Checked Tee", colour="Red", gender="Women", attributes={"articleType": "Tshirts"}),
        Product("2", title="Striped Tee", colour="Blue", gender="Girls", attributes={"articleType": "Tshirts"}),
        Product("3", title="Tee", colour="Maroon", gender="Men", attributes={"articleType": "Shorts"}),
    ]
    hits = [Hit(rank, 0.5, product, Photo(rank, "", "", "")) for rank, product in enumerate(products, 1)]
    found = photo_looks.measures([look], [hits], frozenset({"1"}))
    assert {name: round(value, 3) for name, (value, _) in found.items()} == {
        "children's products in five, photos of adults' things": 0.333,
        "colour of the first right": 1,
        "gender of the first right": 1,
        "kind of the first right, lumped": 1,
        "kind of the first right, not lumped": 1,
        "none of five has a right colour": 0,
        "share of right colours in five": 0.667,
        "share of right kinds in five, not lumped": 0.333,
        "share of right patterns in five": 0.5,
    }


def test_looks_are_measured_swept_and_drawn(
    wardrobe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Photos of the wardrobe's first products on a floor, labelled with their own kind and colour."""
    photos, labels = tmp_path / "photos", tmp_path / "looks.csv"
    photos.mkdir()
    for name in ("a.png", "b.png"):
        scene = Image.new("RGB", (120, 160), (150, 110, 80))
        scene.paste(shirt("red"), (30, 40))
        scene.save(photos / name)
    (photos / "photos.csv").write_text("file,label,split\na.png,shirt,validation\nb.png,shirt,train\n")
    labels.write_text("file,label,kids,colours,pattern,fine,gender\na.png,shirt,False,red|pnk,any,,\n")
    folder = tmp_path / "store"
    with lapel.open_store(folder, create=True, encoder="colour:") as store:
        store.add(wardrobe / "products.csv")
    monkeypatch.setattr(photo_looks, "HERE", tmp_path)
    monkeypatch.setattr(photo_looks, "SWEPT", {"name": (0.0, 0.5), "palette": (0.2,)})
    (tmp_path / "long_sleeves.csv").write_text("id\n")
    (tmp_path / "photo_looks_train.csv").write_text(labels.read_text().replace("a.png", "b.png"))
    arguments = ["--store", str(folder), "--photos", str(photos), "--looks", str(labels)]
    photo_looks.main([*arguments, "--sheet", str(tmp_path / "sheet.png")])
    assert "colour of the first right                                        1" in capsys.readouterr().out
    assert {path.name for path in tmp_path.glob("*.png")} == {"sheet-default-0.png", "sheet-default-1.png"}
    photo_looks.main([*arguments, "--sweep"])
    assert len([line for line in capsys.readouterr().out.splitlines() if line.strip().startswith(("0 ", "0.5 "))]) == 2


def test_geometry_prints_rank_and_hubs(wardrobe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--data", str(wardrobe), "--products", str(wardrobe / "products.csv"), "--cache", str(tmp_path)]
    geometry.main([*common, "--encoder", "colour:", "--baseline", "phash"])
    printed = capsys.readouterr().out
    assert "effective rank" in printed
    assert "colour" in printed


def test_neighbours_leave_each_product_out_of_its_own() -> None:
    vectors = normalise(np.random.default_rng(0).normal(size=(40, 8)))
    vectors[1] = vectors[2] = vectors[3] = vectors[0]  # four alike: a product need not be first in its own list
    found = geometry.neighbours(vectors, 2)
    scores = vectors @ vectors.T
    for row, nearest in enumerate(found.tolist()):
        others = np.delete(np.arange(40), row)
        best = np.sort(scores[row, others])[::-1][:2]
        assert row not in nearest
        assert scores[row, nearest] == pytest.approx(best, abs=1e-5)


def test_mean_cosine_equals_the_obvious_loop() -> None:
    vectors = normalise(np.random.default_rng(1).normal(size=(9, 4)) + 0.5)
    pairs = [float(vectors[a] @ vectors[b]) for a in range(9) for b in range(9) if a != b]
    assert geometry.mean_cosine(vectors) == pytest.approx(np.mean(pairs), abs=1e-6)


# --- words in shops -------------------------------------------------------------------------------------------------


def test_a_product_is_of_a_kind_by_its_label_or_its_title(wardrobe: Path) -> None:
    """What is asked of shops with words, and which products are right answers."""
    rows = [("Tops", "Zara Women Tunic"), ("Tunics", "Zara Blue"), ("Tops", "Mango Top")] * 10
    products = [
        Product(str(at), title, category=("Apparel", "Topwear", kind), colour="Blue", gender="Women")
        for at, (kind, title) in enumerate(rows)
    ]
    made = Shop(tuple(products), ("",) * len(rows), read_shop(wardrobe, wardrobe / "products.csv").source, "")
    asked = {each.text: each for each in judged_questions(made)}
    assert asked["Tops"].right.tolist() == [True, False, True] * 10
    assert asked["Tunics"].right.tolist() == [True, True, False] * 10  # the first by its title
    assert not asked["sofa"].right.any()
    assert asked["Mango Top"].right.tolist() == [True, False, True] * 10  # the same labels
    assert {each.half for each in asked.values() if each.sort == "no clothes"} == {0, 1}
    for size, half, some in drawn_shops(made):
        assert len(some) <= (size or len(rows))
        assert half in (0, 1)
