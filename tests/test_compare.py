"""Comparing two models: measures against slow sums, a shop small enough to judge by eye, and the sheet people look
at."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lapel.catalog import Entry, PhotoEntry
from lapel.core.errors import ImageError, InputError, QueryError
from lapel.core.images import Pixels, Preprocessing
from lapel.core.overlap import overlap, rank_biased_overlap, shared
from lapel.core.registry import Backend
from lapel.core.types import Filter, Product
from lapel.core.vectors import Vectors, normalise
from lapel.encoders import ENCODERS
from lapel.engine.context import StoreContext, open_context
from lapel.engine.models import use
from lapel.insight.compare import Comparison, Question, compare
from lapel.insight.compare_sheet import (
    ANSWERS_X,
    BLOCK,
    GAP,
    HEAD,
    NAME,
    NEW,
    OLD,
    ROW,
    STEP,
    TITLE,
    draw_comparison,
    render,
)
from lapel.insight.report import Rule

# --- measures ---------------------------------------------------------------------------------------------------------


def slow_rbo(a: list[int], b: list[int], p: float) -> float:
    """The endless sum of Webber et al., equation 4, over lists that go on agreeing as they do at their end."""
    depth = len(a)
    agreement = [len(set(a[:d]) & set(b[:d])) / d for d in range(1, depth + 1)]
    return sum((1 - p) * p ** (d - 1) * agreement[min(d, depth) - 1] for d in range(1, 3000))


def test_overlaps_by_eye() -> None:
    a = np.array([[1, 2, 3], [1, 2, 3], [1, 2, 3], [1, 2, -1], [-1, -1, -1]])
    b = np.array([[1, 2, 3], [1, 3, 2], [4, 5, 6], [2, 9, -1], [-1, -1, -1]])
    assert shared(a, b).tolist() == [[1, 2, 3], [1, 1, 3], [0, 0, 0], [0, 1, 1], [0, 0, 0]]
    assert overlap(a, b).tolist() == [1, 1, 0, 0.5, 1]
    # 0.9^3 + 0.1 / 0.9 * (0.9 * 1 + 0.81 * 1/2 + 0.729 * 1)
    assert rank_biased_overlap(a, b) == pytest.approx([1, 0.955, 0, 0.45, 1])


def test_rank_biased_overlap_is_the_endless_sum() -> None:
    rng = np.random.default_rng(0)
    for length in (1, 2, 7, 10):
        for p in (0.5, 0.9, 0.98):
            a = np.stack([rng.permutation(15)[:length] for _ in range(20)])
            b = np.stack([rng.permutation(15)[:length] for _ in range(20)])
            expected = [slow_rbo(*pair, p) for pair in zip(a.tolist(), b.tolist(), strict=True)]
            assert rank_biased_overlap(a, b, p=p) == pytest.approx(expected)
            assert rank_biased_overlap(b, a, p=p) == pytest.approx(expected)
            # Shorter lists in a wider array are the same lists.
            wide = [np.pad(some, ((0, 0), (0, 3)), constant_values=-1) for some in (a, b)]
            assert rank_biased_overlap(*wide, p=p) == pytest.approx(expected)
            assert overlap(*wide) == pytest.approx(overlap(a, b))


def test_impossible_overlaps_are_told() -> None:
    two, three = np.zeros((1, 2), np.int64), np.zeros((1, 3), np.int64)
    with pytest.raises(InputError, match="one shape"):
        overlap(two, three)
    with pytest.raises(InputError, match="same length"):
        rank_biased_overlap(np.array([[1, 2]]), np.array([[1, -1]]))
    with pytest.raises(InputError, match="between 0 and 1"):
        rank_biased_overlap(two, two, p=1)


# --- a shop to judge by eye -------------------------------------------------------------------------------------------


class Turned:
    """Two numbers a picture: the hue as an angle. ``turned:2`` sees only half of the circle, so opposite hues look the
    same."""

    dim = 2
    preprocessing = Preprocessing(height=8, width=8)

    def __init__(self, rest: str = "", *, threads: int | None = None) -> None:
        self.fold = int(rest or 1)
        self.name, self.spec, self.fingerprint = f"turned-{self.fold}", f"turned:{rest}", f"turned-{self.fold}" * 2

    def encode(self, images: list[Image.Image]) -> Vectors:
        return self.encode_pixels(self.preprocessing.batch(images))

    def encode_pixels(self, pixels: Pixels) -> Vectors:
        return angles(pixels[:, 4, 4, 0].astype(np.int64) * self.fold)


def angles(degrees: np.ndarray) -> Vectors:
    turn = np.deg2rad(degrees.astype(np.float64))
    return normalise(np.stack([np.cos(turn), np.sin(turn)], axis=1).astype(np.float32))


# What it is, and where it looks, in degrees; the picture's red is the angle, so no two are alike.
SHOP = {
    "a": ("Shirt", 0),
    "b": ("Shirt", 3),
    "c": ("Hat", 181),
    "d": ("Hat", 185),
    "e": ("Shirt", 90),
    "f": ("Belt", 95),
}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreContext]:
    monkeypatch.setitem(ENCODERS.backends, "turned", Backend(f"{__name__}:Turned"))  # type: ignore[arg-type]
    with open_context(tmp_path / "shop", create=True, encoder="turned:") as filling:
        filling.claim()
        entries = []
        for name, (kind, degrees) in SHOP.items():
            path = tmp_path / f"{name}.png"
            Image.new("RGB", (30, 40), (degrees, 90, 90)).save(path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            product = Product(name, title=f"{kind} {name}", category=("All", kind), attributes={"kind": kind})
            photo = PhotoEntry(path.as_uri(), "1", digest, angles(np.array([degrees]))[0])
            entries.append(Entry(product, (photo,)))
        filling.catalog.write(entries, fingerprint=filling.encoder.fingerprint)
    with open_context(tmp_path / "shop") as opened:
        yield opened


def ids(found: Comparison, query: str) -> tuple[list[str], list[str]]:
    (one,) = [one for one in found.changed if one.product_id == query]
    return [answer.product_id for answer in one.a], [answer.product_id for answer in one.b]


def test_what_differs_by_eye(store: StoreContext) -> None:
    found = compare(store, "turned:", "turned:2", question=Question(k=2, show=6, relevant=(Rule(("kind",)),)))
    assert (found.queries, found.gallery_photos, found.gallery_products) == (6, 6, 6)
    assert (found.encoded, found.left_out) == (6, 0)
    # Doubled, the angles are 0, 6, 2, 10, 180, 190: a shirt's opposite, a hat, looks nearer than the other shirt.
    assert ids(found, "a") == (["b", "e"], ["c", "b"])
    assert ids(found, "b") == (["a", "e"], ["c", "d"])
    assert ids(found, "c") == (["d", "f"], ["a", "b"])
    assert ids(found, "d") == (["c", "f"], ["b", "c"])
    assert ids(found, "e") == (["f", "b"], ["f", "d"])
    assert ids(found, "f") == (["e", "c"], ["e", "a"])
    assert found.overlap.value == pytest.approx((1 + 0 + 0 + 1 + 1 + 1) / 2 / 6)
    assert found.same_first.value == pytest.approx(2 / 6)
    assert [one.product_id for one in found.changed if one.rbo == 0] == ["c", "b"]  # each kind in turn
    (one,) = [one for one in found.changed if one.product_id == "a"]
    assert [answer.other_rank for answer in one.a] == [2, 0]
    assert [answer.other_rank for answer in one.b] == [0, 1]
    assert [answer.relevant for answer in one.b] == [False, True]
    # First by kind: right for a, b, c and d under the first model, for nobody under the second; there is only one belt.
    (rule,) = found.rules
    assert (rule.used, rule.left_out) == (5, 1)
    first = rule.recall[0]
    assert (first.a.value, first.b.value) == (pytest.approx(4 / 5), 0)
    assert first.difference.value == pytest.approx(-4 / 5)
    assert first.verdict == "worse"
    text = render(found)
    assert "same first answer        33.3 %" in text
    assert "B - A -80.0 points" in text
    assert json.loads(json.dumps(found.to_json()))["rules"][0]["measures"]["recall@1"]["verdict"] == "worse"


def test_the_other_way_round_is_the_mirror_image(store: StoreContext) -> None:
    question = Question(k=3, relevant=(Rule(("kind",)),))
    one, other = (
        compare(store, *pair, question=question) for pair in (("turned:", "turned:2"), ("turned:2", "turned:"))
    )
    assert (one.overlap, one.rbo, one.same_first) == (other.overlap, other.rbo, other.same_first)
    there, back = one.rules[0].recall[0], other.rules[0].recall[0]
    assert (there.a, there.b) == (back.b, back.a)
    assert there.difference.value == -back.difference.value
    assert (there.verdict, back.verdict) == ("worse", "better")


def test_comparing_changes_nothing_and_leaves_its_vectors_for_later(store: StoreContext) -> None:
    generation, model = store.catalog.generation, store.model
    compare(store, "turned:", "turned:2")
    assert (store.catalog.generation, store.model) == (generation, model)
    assert use(store, "turned:2").backfill.derived == 0


def test_a_sample_encodes_no_more_than_it_needs(store: StoreContext) -> None:
    found = compare(store, "turned:", "turned:2", question=Question(sample=2, ask=1, k=2, seed=3))
    assert (found.queries, found.gallery_products) == (1, 2)
    assert found.encoded <= 3
    again = compare(store, "turned:", "turned:2", question=Question(sample=2, ask=1, k=2, seed=3))
    assert again.encoded == 0
    assert again.overlap == found.overlap


def test_filters_say_who_asks_and_who_is_found(store: StoreContext) -> None:
    question = Question(queries=Filter.parse(["kind=Shirt"]), gallery=Filter.parse(["kind=Hat"]), k=1, show=9)
    found = compare(store, "turned:", "turned:2", question=question)
    assert (found.queries, found.gallery_products) == (3, 2)
    # a at 0 is nearer to d (185 = -175) than to c (181 = -179); doubled, c (2) is nearer than d (10).
    assert ids(found, "a") == (["d"], ["c"])


def test_pictures_that_are_gone_take_no_part_and_are_counted(store: StoreContext) -> None:
    (store.folder.parent / "f.png").unlink()
    found = compare(store, "turned:", "turned:2")
    assert (found.queries, found.gallery_photos, found.left_out) == (5, 5, 1)
    assert "1 photo took no part" in render(found)


def test_another_photo_of_the_same_product_as_a_rule(store: StoreContext) -> None:
    found = compare(store, "turned:", "turned:2", question=Question(relevant=(Rule(("id",)),)))
    assert found.rules[0].used == 0
    assert found.rules[0].recall == ()
    assert {answer.relevant for one in found.changed for answer in one.a} == {None}


def test_impossible_comparisons_are_told(store: StoreContext) -> None:
    with pytest.raises(InputError, match="are the same model"):
        compare(store, "turned:", "turned-1")
    with pytest.raises(QueryError, match=r"queries of a comparison need photos.*kind=Sock"):
        compare(store, "turned:", "turned:2", question=Question(queries=Filter.parse(["kind=Sock"])))
    with pytest.raises(QueryError, match="no field 'size'"):
        compare(store, "turned:", "turned:2", question=Question(relevant=(Rule(("size",)),)))
    with pytest.raises(QueryError, match="1 to 100; found 0"):
        Question(k=0)
    with pytest.raises(QueryError, match="at least one query"):
        Question(ask=0)


# --- the sheet --------------------------------------------------------------------------------------------------------


def test_the_sheet_frames_what_only_one_model_found(store: StoreContext) -> None:
    found = compare(store, "turned:", "turned:2", question=Question(k=2, show=6, relevant=(Rule(("kind",)),)))

    def read(key: int) -> Image.Image:
        if key == 1:
            raise ImageError("gone")
        return store.image(key)

    sheet = draw_comparison(found, read)
    row = [one.product_id for one in found.changed].index("c")  # nothing in common: both rows are framed
    top = TITLE + row * BLOCK + HEAD + NAME
    for place in range(2):
        x = ANSWERS_X + place * STEP
        assert sheet.getpixel((x + 1, top + 60)) == OLD
        assert sheet.getpixel((x + 1, top + ROW + GAP + 60)) == NEW
    row = [one.product_id for one in found.changed].index("a")  # b is in both
    top = TITLE + row * BLOCK + HEAD + NAME
    assert sheet.getpixel((ANSWERS_X + 1, top + 60)) not in (OLD, NEW)


def test_a_sheet_of_equal_answers_says_so(store: StoreContext) -> None:
    found = compare(store, "turned:", "turned:361")  # a full turn more: nothing changes
    assert found.overlap.value == found.rbo.value == 1
    assert found.changed == ()
    assert draw_comparison(found, store.image).height > TITLE
