"""Numbers that decide, at their edge: just below, exactly, just above. None of it opens a network."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from PIL import Image

from lapel.core.images import Preprocessing
from lapel.core.metrics import Estimate, mean_of
from lapel.encoders import segmenter
from lapel.encoders.model import ModelFolder, Reference
from lapel.encoders.network import Output, overflows
from lapel.insight.compare import Recall

WHITE = (255, 255, 255)


# --- better, worse, no clear difference -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.001, 0.1, "better"),
        (0, 0.1, "no clear difference"),
        (-0.001, 0.1, "no clear difference"),
        (-0.1, 0.001, "no clear difference"),
        (-0.1, 0, "no clear difference"),
        (-0.1, -0.001, "worse"),
        (0, 0, "no clear difference"),
    ],
)
def test_a_model_is_better_or_worse_only_when_the_interval_excludes_0(low: float, high: float, word: str) -> None:
    some = Estimate(0.5, 0.4, 0.6, 100)
    assert Recall(1, some, some, Estimate((low + high) / 2, low, high, 100)).verdict == word


def test_the_interval_of_a_difference_by_the_book() -> None:
    """100 queries. The bootstrap's ends are the binomial's: 2 to 12 of 100 of those that 6 of 100 won."""
    ends = [mean_of(np.r_[np.ones(won), np.zeros(100 - won)]) for won in (6, 3, 0)]
    assert [(one.value, round(one.low, 3), round(one.high, 3)) for one in ends] == [
        (0.06, 0.02, 0.11),
        (0.03, 0.0, 0.07),
        (0.0, 0.0, 0.0),
    ]


# --- 8 bits that overflow ---------------------------------------------------------------------------------------------


def turned(cosine: float, rows: int) -> Output:
    """Rows whose cosine with the first axis is the given one, of any length."""
    vectors = np.zeros((rows, 4), np.float32)
    vectors[:, 0], vectors[:, 1] = cosine, (1 - cosine**2) ** 0.5
    return 3 * vectors


@pytest.mark.parametrize(("cosine", "wrong"), [(0.9, True), (0.98, True), (0.984, True), (0.986, False), (0.99, False)])
def test_a_cosine_of_nine_tenths_means_that_8_bits_overflow_here(cosine: float, wrong: bool) -> None:
    pixels = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    reference = Reference("vectors", pixels, turned(1, 10))
    asked: list[tuple[object, ...]] = []

    def compute(pictures: np.ndarray, outputs: Sequence[str]) -> list[Output]:
        asked.append((pictures.ravel().tolist(), *outputs))
        return [turned(cosine, len(pictures))]

    model = cast(ModelFolder, SimpleNamespace(precision="int8", reference=lambda: reference))
    assert overflows(model, compute) is wrong
    assert asked == [([0, 1, 2, 3, 4, 5, 6, 7], "vectors")]


@pytest.mark.parametrize(("cosine", "wrong"), [(0.9955, True), (0.9994, False)])
def test_masks_are_nearer_to_each_other(cosine: float, wrong: bool) -> None:
    """The shipped segmenter's mask has .9955 where 8 bits overflow, and .9994 where they are right."""
    reference = Reference("mask", np.zeros((8, 1, 1, 1), np.uint8), turned(1, 8))
    model = cast(ModelFolder, SimpleNamespace(precision="int8", reference=lambda: reference))
    assert overflows(model, lambda *_: [turned(cosine, 8)]) is wrong


def test_it_is_the_mean_that_says_so() -> None:
    reference = Reference("vectors", np.zeros((8, 1, 1, 1), np.uint8), turned(1, 8))
    model = cast(ModelFolder, SimpleNamespace(precision="int8", reference=lambda: reference))
    one_bad, two_bad = (np.concatenate([turned(1, 8 - bad), turned(0.9, bad)]) for bad in (1, 2))
    assert not overflows(model, lambda *_: [one_bad])  # 0.9875
    assert overflows(model, lambda *_: [two_bad])  # 0.975


@pytest.mark.parametrize(("precision", "there"), [("float32", True), ("int8", False)])
def test_without_8_bits_or_a_reference_nothing_is_computed(precision: str, there: bool) -> None:
    reference = Reference("vectors", np.zeros((8, 1, 1, 1), np.uint8), turned(1, 8)) if there else None
    model = cast(ModelFolder, SimpleNamespace(precision=precision, reference=lambda: reference))
    assert not overflows(model, lambda *_: pytest.fail("computed"))


# --- the product in a photo -------------------------------------------------------------------------------------------


def edged(colour: tuple[int, int, int], share: float = 1.0, other: tuple[int, int, int] = (0, 0, 0)) -> Image.Image:
    """100 x 100 pixels whose edge has a colour on the given share of it, and another one on the rest; black inside."""
    pixels = np.zeros((100, 100, 3), np.uint8)
    edge = np.array([colour] * round(400 * share) + [other] * round(400 * (1 - share)), np.uint8)
    pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1] = np.split(edge, 4)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("colour", "share", "other", "paper"),
    [
        (WHITE, 1.0, WHITE, True),
        ((150, 150, 150), 1.0, WHITE, True),  # white in the shade
        ((149, 149, 149), 1.0, WHITE, False),
        ((200, 160, 160), 1.0, WHITE, True),  # four fifths: white in a warm light
        ((200, 158, 160), 1.0, WHITE, False),
        (WHITE, 0.85, (0, 0, 0), True),  # the product reaches the edge
        (WHITE, 0.75, (0, 0, 0), False),
        (WHITE, 0.7, (235, 235, 235), True),  # twenty steps
        (WHITE, 0.7, (234, 235, 235), False),
    ],
)
def test_what_is_paper(colour: tuple[int, int, int], share: float, other: tuple[int, int, int], paper: bool) -> None:
    assert segmenter.has_white_background(edged(colour, share, other)) is paper


@pytest.mark.parametrize("share", [0.0, 0.005, 0.011, 0.05])
@pytest.mark.parametrize("spread", [1, 20, 21, 22, 90])
def test_one_colour_is_98_hundredths_of_the_pixels_within_twenty_steps(spread: int, share: float) -> None:
    rng = np.random.default_rng(spread)
    pixels = rng.integers(100, 100 + spread, (31, 43, 3))
    pixels[rng.random((31, 43)) < share] = rng.integers(0, 256, 3)
    low, high = np.percentile(pixels.reshape(-1, 3), (1, 99), axis=0)
    found = segmenter.is_one_colour(Image.fromarray(pixels.astype(np.uint8)))
    assert found is bool((high - low).max() <= segmenter.EDGE_TOLERANCE)


def test_parts_of_a_product_are_at_least_15_hundredths_of_the_largest() -> None:
    mask = np.zeros((40, 40), np.float32)
    mask[0:10, 0:10] = 0.9  # 100 pixels
    mask[20:23, 0:5] = 0.9  # 15
    mask[20:22, 20:27] = 0.9  # 14
    mask[30:40, 30:40] = 0.3  # background: not above 0.3
    kept = segmenter._main_parts(mask)
    assert (kept[0:10, 0:10] == np.float32(0.9)).all()
    assert (kept[20:23, 0:5] == np.float32(0.9)).all()
    assert kept.sum() == pytest.approx(0.9 * 115)


def test_a_mask_of_nothing_has_no_parts() -> None:
    assert not segmenter._main_parts(np.zeros((5, 5), np.float32)).any()


def laid(mask: np.ndarray, shape: Preprocessing) -> np.ndarray | None:
    height, width = mask.shape
    frame = segmenter._frame(Image.new("RGB", (width, height), (200, 0, 0)), mask.astype(np.float32), shape)
    return None if frame is None else np.asarray(frame.image)


@pytest.mark.parametrize(
    ("pixels", "found"), [(0, False), (199, False), (200, True), (9_700, True), (9_701, False), (10_000, False)]
)
def test_a_product_is_2_to_97_hundredths_of_its_picture(pixels: int, found: bool) -> None:
    mask = np.zeros(10_000)
    mask[:pixels] = 1
    assert (laid(mask.reshape(100, 100), Preprocessing(100, 100)) is not None) is found


def test_a_product_fills_95_hundredths_of_its_frame() -> None:
    """95 x 38 pixels of product, in a frame of three by four."""
    mask = np.zeros((200, 200))
    mask[50:145, 20:58] = 1
    frame = laid(mask, Preprocessing(height=100, width=75))
    assert frame is not None
    assert frame.shape == (100, 75, 3)  # 95 / 0.95 high
    red = frame[..., 1] < 128
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    assert (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1) == (2, 97, 18, 56)  # in the middle, as large as it was
    assert (frame[~red] == 255).all()
    assert (frame[red] == (200, 0, 0)).all()


def test_a_wide_product_fills_the_width() -> None:
    mask = np.zeros((200, 200))
    mask[50:69, 20:115] = 1
    frame = laid(mask, Preprocessing(height=100, width=50))
    assert frame is not None
    assert frame.shape == (200, 100, 3)


@pytest.mark.parametrize(
    ("likely", "red"), [(0.2, 0.0), (0.3, 0.0), (0.4, 0.25), (0.5, 0.5), (0.6, 0.75), (0.7, 1.0), (0.9, 1.0)]
)
def test_between_background_and_product_a_pixel_is_a_mixture(likely: float, red: float) -> None:
    mask = np.zeros((100, 100))
    mask[20:80, 20:80] = 1
    mask[50, 50] = likely
    frame = laid(mask, Preprocessing(100, 100))
    assert frame is not None
    edge = (frame.shape[0] - 60) // 2
    assert frame[edge + 30, edge + 30, 1] == pytest.approx(255 * (1 - red), abs=2)


@pytest.mark.parametrize(("likely", "height"), [(0.49, 63), (0.51, 74)])
def test_what_is_rather_product_than_not_is_framed(likely: float, height: int) -> None:
    """60 x 60 pixels of product and ten rows that may be of it: 60 or 70 of 95 hundredths."""
    mask = np.zeros((100, 100))
    mask[20:80, 20:80] = 1
    mask[80:90, 20:80] = likely
    frame = laid(mask, Preprocessing(100, 100))
    assert frame is not None
    assert frame.shape == (height, height, 3)


@pytest.mark.parametrize(
    ("size", "small"),
    [((512, 300), (512, 300)), ((513, 300), (512, 299)), ((100, 2048), (25, 512)), ((2, 1600), (1, 512))],
)
def test_a_photo_is_worked_on_at_512_pixels_at_most(size: tuple[int, int], small: tuple[int, int]) -> None:
    assert segmenter._shrink(Image.new("RGB", size)).size == small


def test_pictures_on_paper_are_not_asked_about_and_answers_keep_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is asked about the second and the fourth of five only, and finds nothing in the fourth; on the last
    there is nothing to see."""
    asked: list[int] = []

    def masks(self: object, pictures: list[Image.Image]) -> list[np.ndarray]:
        asked.append(len(pictures))
        some = np.zeros((100, 100), np.float32)
        some[20:80, 20:80] = 1
        return [some, np.zeros((100, 100), np.float32)]

    monkeypatch.setattr(segmenter.Segmenter, "masks", masks)
    finder = segmenter.Segmenter(cast(ModelFolder, None))
    found = finder.segment(
        [edged(colour) for colour in (WHITE, (99, 9, 9), WHITE, (99, 9, 9), (9, 9, 9))], shape=Preprocessing(8, 8)
    )
    assert [picture is not None for picture in found] == [False, True, False, False, False]
    assert asked == [2]
