"""Features of a photo: palettes and hashes whose answers a person can see, and one backfill for all of them."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from lapel.core.colours import to_lab
from lapel.core.images import decode
from lapel.engine import backfill as backfill_module
from lapel.engine.backfill import BackfillReport, backfill, missing
from lapel.engine.context import StoreContext, open_context
from lapel.engine.features import FEATURES, PALETTE, PICTURE_HASH, THUMBNAIL, Feature
from lapel.engine.ingest import ingest
from lapel.engine.palette import MAX_COLOURS, Palette, decode_palette, palettes
from lapel.engine.picture_hash import NEAR, hamming, whole_hash
from lapel.sources import open_source
from lapel.sources.photos import photo_rows


def palette(image: Image.Image) -> bytes:
    value = PALETTE.of(image)
    assert isinstance(value, bytes)
    return value


def picture_hash(image: Image.Image) -> bytes:
    value = PICTURE_HASH.of(image)
    assert isinstance(value, bytes)
    return value


# --- palette ----------------------------------------------------------------------------------------------------------


def shirt(*colours: str, background: str = "white", size: tuple[int, int] = (60, 80)) -> Image.Image:
    """Bands of colour of equal height in the middle of an image."""
    image = Image.new("RGB", size, background)
    width, height = size
    inside = height * 0.8 / len(colours)
    for number, colour in enumerate(colours):
        top = height * 0.1 + number * inside
        ImageDraw.Draw(image).rectangle((width * 0.2, top, width * 0.8, top + inside - 1), fill=colour)
    return image


def found(image: Image.Image) -> Palette:
    made = decode_palette(palette(image))
    assert 1 <= len(made.lab) == len(made.share) <= MAX_COLOURS
    assert (made.lab.dtype, made.share.dtype) == (np.float32, np.float32)
    assert made.share.sum() == pytest.approx(1, abs=1e-5)
    assert (np.diff(made.share) <= 0).all()
    return made


def near(made: Palette, *colours: str, within: float = 3.0) -> bool:
    """Whether a palette has these colours and no others, in any order."""
    wanted = to_lab(np.array([Image.new("RGB", (1, 1), colour).getpixel((0, 0)) for colour in colours], float))
    distance = np.linalg.norm(made.lab[:, None] - wanted, axis=2)
    return len(made.lab) == len(colours) and bool((distance.min(axis=0) < within).all())


def test_lab_has_the_values_of_the_books() -> None:
    """sRGB primaries in CIELAB under D65, as published (e.g. B. Lindbloom's calculator)."""
    rgb = np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [119, 119, 119]], float)
    wanted = [
        [100, 0, 0],
        [0, 0, 0],
        [53.24, 80.09, 67.20],
        [87.73, -86.18, 83.18],
        [32.30, 79.19, -107.86],
        [50.03, 0, 0],
    ]
    np.testing.assert_allclose(to_lab(rgb), wanted, atol=0.05)


@pytest.mark.parametrize("background", ["white", "#f6f6f6", "#c8c8d2", "navy"])
def test_the_background_is_left_out(background: str) -> None:
    assert near(found(shirt("red", background=background)), "red")
    two = found(shirt("red", "green", background=background))
    assert near(two, "red", "green")
    np.testing.assert_allclose(two.share, [0.5, 0.5], atol=0.04)


def test_white_inside_the_product_counts_and_around_it_does_not() -> None:
    striped = found(shirt("red", "white", "red", "white", "red"))  # the white bands lie open to the sides
    assert near(striped, "red")
    image = shirt("red")
    ImageDraw.Draw(image).rectangle((20, 25, 40, 40), fill="white")  # a pocket
    pocket = found(image)
    assert near(pocket, "red", "white")
    assert pocket.share[1] == pytest.approx(21 * 16 / (36 * 64), abs=0.04)


def test_an_image_without_a_background_is_all_product() -> None:
    assert near(found(Image.new("RGB", (60, 80), "teal")), "teal")
    assert near(found(Image.new("RGB", (60, 80), "white")), "white")
    speck = Image.new("RGB", (100, 100), "white")
    speck.putpixel((50, 50), (0, 0, 0))  # nothing that a person would call the product
    assert near(found(speck), "white")


def test_shades_are_one_colour_and_small_things_none() -> None:
    shaded = shirt("#204080")
    gradient = np.linspace(0.9, 1.1, 80)[:, None, None]
    pixels = np.asarray(shaded).astype(float)
    lit = np.where((pixels == 255).all(axis=2, keepdims=True), 255, np.clip(pixels * gradient, 0, 255))
    assert len(found(Image.fromarray(lit.astype(np.uint8))).lab) == 1
    button = shirt("navy")
    ImageDraw.Draw(button).rectangle((29, 39, 31, 41), fill="yellow")  # 9 of 2,304 pixels
    assert near(found(button), "navy")


def test_many_colours_are_at_most_six_and_the_large_ones_are_among_them() -> None:
    colours = ("black", "white", "red", "lime", "blue", "yellow", "magenta", "cyan", "grey", "orange")
    assert len(found(shirt(*colours, background="#c8c8d2", size=(200, 400))).lab) == MAX_COLOURS
    big = found(shirt("red", "red", "red", "red", "lime", "blue", "yellow", "magenta", "cyan", background="#c8c8d2"))
    assert near(Palette(big.lab[:1], big.share[:1]), "red")
    assert big.share[0] == pytest.approx(4 / 9, abs=0.06)


def test_size_and_compression_hardly_matter() -> None:
    for size in ((8, 8), (60, 80), (512, 384), (31, 600)):
        stream = io.BytesIO()
        shirt("red", "blue", size=size).save(stream, "JPEG", quality=90, subsampling=0)
        made = found(decode(stream.getvalue()))
        if min(size) > 8:
            assert near(Palette(made.lab[:2], made.share[:2]), "red", "blue", within=6)


def test_many_at_once_are_the_same_as_one_by_one() -> None:
    """Images of few and of many colours beside each other, with and without background, also all background."""
    rng = np.random.default_rng(5)
    images = [shirt("red", "blue"), Image.new("RGB", (9, 9), "white"), shirt("teal", background="navy"), scene(1)]
    images += [Image.fromarray(rng.integers(0, 255, (40, 30, 3), np.uint8)), shirt("white", background="white")]
    for feature in (PALETTE, PICTURE_HASH):
        samples = [feature.sample(image) for image in images]
        assert list(feature.derive(samples)) == [feature.of(image) for image in images]
    assert len({*palettes([PALETTE.sample(image) for image in images])}) == 5  # white is white


def test_a_palette_is_small_and_the_same_each_time() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        image = Image.fromarray(rng.integers(0, 255, (int(rng.integers(8, 90)), int(rng.integers(8, 90)), 3), np.uint8))
        data = palette(image)
        assert data == palette(image.copy())
        assert len(data) <= 4 * MAX_COLOURS
        found(image)


# --- perceptual hash --------------------------------------------------------------------------------------------------


def scene(number: int, size: tuple[int, int] = (240, 320)) -> Image.Image:
    rng = np.random.default_rng(number)
    return Image.fromarray(rng.integers(0, 255, (8, 6, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)


def test_copies_are_near_and_others_are_far() -> None:
    def blocks(number: int) -> Image.Image:
        return scene(number, (7, 11)).resize((240, 320), Image.Resampling.NEAREST)

    image, stream = blocks(1), io.BytesIO()
    image.save(stream, "JPEG", quality=40)
    copies = [
        decode(stream.getvalue()),
        image.resize((60, 80)),
        image.resize((480, 640)),
        image.filter(ImageFilter.GaussianBlur(2)),
        image.convert("L").convert("RGB"),
        image.point(lambda value: value * 0.8 + 20),
    ]
    own = whole_hash(picture_hash(image))
    assert len(own) == 32
    assert max(hamming(own, whole_hash(picture_hash(copy))) for copy in copies) <= NEAR
    others = [hamming(own, whole_hash(picture_hash(blocks(n)))) for n in range(2, 60)]
    assert min(others) > 2 * NEAR
    assert whole_hash(picture_hash(Image.new("RGB", (60, 80), "white"))) == whole_hash(b"") == b""


def test_hamming_counts_bits() -> None:
    assert [hamming(bytes(8), value.to_bytes(8, "big")) for value in (0, 1, 3, 2**63, 2**64 - 1)] == [0, 1, 2, 1, 64]


# --- in a store -------------------------------------------------------------------------------------------------------

PHOTOS = 20


def draw(folder: Path, numbers: range) -> Path:
    folder.mkdir(exist_ok=True)
    for number in numbers:
        scene(number, (60, 80)).save(folder / f"{number:02}.png")
    return folder


def add(store: StoreContext, images: Path, **options: object) -> None:
    source = open_source(images)
    ingest(store, photo_rows(source), source=source, **options)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StoreContext]:
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as opened:
        add(opened, draw(tmp_path / "images", range(PHOTOS)), small=opened.thumbnails)
        yield opened


def stored(store: StoreContext, feature: Feature) -> dict[str, bytes]:
    photos = {photo.key: photo.product_id for photo in store.catalog.hosting.photos(limit=1000)}
    return {photos[key]: data for key, data in store.catalog.features.get(*feature.key, list(photos)).items()}


def right(feature: Feature, count: int = PHOTOS) -> dict[str, object]:
    return {f"{number:02}": feature.of(scene(number, (60, 80))) for number in range(count)}


def forget(store: StoreContext) -> None:
    """A store as an older version filled it: with vectors only."""
    for feature in (PALETTE, PICTURE_HASH):
        store.catalog.features.drop_other_versions(feature.name, "none")
    store.thumbnails.trim(keep=[])


def test_adding_derives_all_features(store: StoreContext) -> None:
    assert missing(store) == {"embedding": 0, "thumbnail": 0, "palette": 0, "picture_hash": 0}
    assert missing(store).keys() - {"embedding"} == FEATURES.keys()
    assert stored(store, PALETTE) == right(PALETTE)
    assert stored(store, PICTURE_HASH) == right(PICTURE_HASH)


def test_changed_bytes_get_other_features(store: StoreContext, tmp_path: Path) -> None:
    scene(99, (60, 80)).save(tmp_path / "images" / "05.png")
    add(store, tmp_path / "images")
    assert stored(store, PICTURE_HASH) == {**right(PICTURE_HASH), "05": picture_hash(scene(99, (60, 80)))}


@pytest.mark.parametrize("name", sorted(FEATURES))
def test_older_photos_get_it_once(store: StoreContext, name: str) -> None:
    forget(store)
    generation = store.catalog.generation
    assert missing(store)[name] == PHOTOS
    told: list[tuple[int, int]] = []
    done = backfill(store, FEATURES[name], progress=lambda count, total: told.append((count, total)))
    assert done == BackfillReport(PHOTOS, 0, ())
    assert told[-1] == (PHOTOS, PHOTOS)
    assert {key: count for key, count in missing(store).items() if not count} == {"embedding": 0, name: 0}
    assert backfill(store, FEATURES[name]) == BackfillReport(0, PHOTOS, ())
    assert store.catalog.generation == generation  # no index has to follow
    if name != "thumbnail":
        assert stored(store, FEATURES[name]) == right(FEATURES[name])


def test_only_some_keys(store: StoreContext) -> None:
    forget(store)
    keys = np.array([3, 5, 8, 11])
    for feature in FEATURES.values():
        assert backfill(store, feature, keys=keys[:2]) == BackfillReport(2, 0, ())
        assert backfill(store, feature, keys=keys) == BackfillReport(2, 2, ())
        assert missing(store)[feature.name] == PHOTOS - 4


def test_what_cannot_be_derived_is_told_and_tried_again_unless_it_need_not(store: StoreContext, tmp_path: Path) -> None:
    forget(store)
    lost = (tmp_path / "images" / "03.png").read_bytes()
    (tmp_path / "images" / "03.png").unlink()
    (tmp_path / "images" / "04.png").write_bytes(b"changed")
    done = backfill(store, PALETTE)
    assert (done.derived, done.already, [photo.product_id for photo, _ in done.failed]) == (18, 0, ["03", "04"])
    assert "cannot be read" in done.failed[0][1]
    assert "has changed since it was added" in done.failed[1][1]
    (tmp_path / "images" / "03.png").write_bytes(lost)
    assert backfill(store, PALETTE, previous=done) == done
    assert backfill(store, PALETTE).derived == 1
    assert missing(store)["palette"] == 1


def test_a_new_version_takes_the_place_of_the_old(store: StoreContext) -> None:
    second = Feature("palette", "2", picture_hash)  # a sample that is the value
    assert backfill(store, second) == BackfillReport(PHOTOS, 0, ())
    others = {PICTURE_HASH.key: PHOTOS}
    assert store.catalog.features.counts() == {second.key: PHOTOS, **others}


def test_photos_of_equal_bytes_share_a_thumbnail(store: StoreContext, tmp_path: Path) -> None:
    for name in ("20", "21"):
        (tmp_path / "images" / f"{name}.png").write_bytes((tmp_path / "images" / "02.png").read_bytes())
    add(store, tmp_path / "images")
    forget(store)
    assert missing(store)["thumbnail"] == PHOTOS + 2
    assert backfill(store, THUMBNAIL).derived == PHOTOS
    assert missing(store)["thumbnail"] == 0


def test_without_room_for_thumbnails_none_are_made_or_missed(store: StoreContext) -> None:
    store.limit_thumbnails(0)
    assert backfill(store, THUMBNAIL).derived == 0
    assert store.thumbnails.size().photos == 0
    assert missing(store).keys() == {"embedding", "palette", "picture_hash"}


KILLED = """
import sys, time
from lapel.engine import backfill
from lapel.engine.context import open_context
from lapel.engine.features import PICTURE_HASH, Feature
def slow(image):
    time.sleep(0.1)
    return PICTURE_HASH.of(image)
backfill.BATCH = 2
with open_context(sys.argv[1]) as store:
    backfill.backfill(store, Feature("picture_hash", "1", slow), progress=lambda done, _: print(done, flush=True))
"""


@pytest.mark.skipif(os.name != "posix", reason="needs kill -9")
def test_killed_it_goes_on_where_it_was(store: StoreContext) -> None:
    forget(store)
    with subprocess.Popen([sys.executable, "-c", KILLED, str(store.folder)], stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
        finally:
            child.send_signal(signal.SIGKILL)
    written = stored(store, PICTURE_HASH)
    assert 0 < len(written) < PHOTOS
    assert backfill(store, PICTURE_HASH) == BackfillReport(PHOTOS - len(written), len(written), ())
    assert stored(store, PICTURE_HASH) == right(PICTURE_HASH)


@pytest.mark.parametrize("size", [1, 3, 7, 20, 21])
def test_pages_and_batches_of_any_size_derive_each_photo_once(
    store: StoreContext, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    for limit in ("PAGE", "BATCH"):
        monkeypatch.setattr(backfill_module, limit, size)
        for feature in FEATURES.values():
            forget(store)
            assert backfill(store, feature).derived == PHOTOS
