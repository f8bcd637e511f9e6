"""Answers that explain themselves: maps that add up, probabilities that hold, cut-offs, regions; small cases a person
can see."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import lapel
from lapel import Filter, Product, Query, Verdict
from lapel.core.answers import Explanation, Region
from lapel.core.errors import ModelError, QueryError
from lapel.core.queries import PlaceMap
from lapel.core.vectors import normalise
from lapel.encoders import open_encoder
from lapel.encoders.probes import NEVER, Probe, read_probes, save_probes
from lapel.encoders.segmenter import embed_images
from lapel.engine.calibration import (
    FEATURES,
    JUDGEMENTS,
    WORD_FEATURES,
    WORD_FIGURES,
    Calibration,
    HitFeatures,
    Neighbourhood,
    Scale,
    hit_features,
    labels_of,
    likelihoods,
    reaches,
    read_calibration,
    rows_of,
    save_calibration,
    word_features,
)
from lapel.engine.explanation import place_scores, spread
from lapel.engine.judging import own_folder
from lapel.engine.regions import _taken_apart
from lapel.insight.calibrate import Pairs, calibration_error, fit_scale, isotonic_curve, kind_floor
from lapel.insight.explanation_sheet import draw_explanations, heatmap
from lapel.insight.fit_probes import with_threshold
from lapel.samples import draw_wardrobe
from lapel.service import Store, answer_json

ON_WHITE = (255, 255, 255)


def drawn(colour: tuple[int, int, int], ground: tuple[int, int, int] = ON_WHITE) -> Image.Image:
    """A plain shirt."""
    image = Image.new("RGB", (120, 160), ground)
    ImageDraw.Draw(image).polygon(
        [(30, 20), (90, 20), (115, 60), (90, 70), (90, 140), (30, 140), (30, 70), (5, 60)], colour
    )
    return image


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A shop of three shirts, searched with the shipped model."""
    folder = tmp_path_factory.mktemp("shirts")
    for name, colour in {"red": (200, 30, 30), "blue": (30, 40, 190), "green": (20, 130, 60)}.items():
        drawn(colour).save(folder / f"{name}.png")
    with lapel.open_store(folder / "shop", create=True) as opened:
        opened.add(folder)
        yield opened


# --- maps -------------------------------------------------------------------------------------------------------------


def test_a_map_is_spread_with_its_sum() -> None:
    """Four places over the middle half of a picture: each covers one cell of four by four; padding goes to the edge."""
    values = np.array([[1, 2], [3, 4]], np.float32)
    inside = spread(values, (0.25, 0.25, 0.75, 0.75), (4, 4))
    assert inside[1:3, 1:3].tolist() == values.tolist()
    assert inside.sum() == 10
    beyond = spread(values, (-1.0, 0.0, 1.0, 1.0), (2, 2))
    assert beyond.tolist() == [[2, 1], [4, 3]] or beyond.sum() == pytest.approx(10)


def test_place_scores_add_up_to_the_cosine() -> None:
    rng = np.random.default_rng(0)
    maps = [
        PlaceMap(rng.normal(size=(8, 5, 4)).astype(np.float32), frame)
        for frame in ((0, 0, 1, 1), (-0.2, 0.1, 0.7, 1.3))
    ]
    vector = normalise(rng.normal(size=(1, 8)))[0]
    scores = place_scores(maps, vector, (40, 30))
    assert scores.sum() == pytest.approx(sum(float(vector @ each.values.sum(axis=(1, 2))) for each in maps), abs=1e-4)


def test_maps_of_an_encoder_are_its_vectors() -> None:
    """Of a picture on white, and of one with its product cut out."""
    images = [drawn((200, 30, 30)), drawn((30, 40, 190), (120, 160, 110)).resize((240, 320))]
    found = embed_images(open_encoder("default"), images)
    assert found.on_white.tolist() == [True, False]
    for maps, vector in zip(found.maps, found.vectors, strict=True):
        total = sum(each.values.sum(axis=(1, 2)) for each in maps)
        assert np.abs(total - vector).max() < 1e-5


def test_explanations_add_up(store: Store) -> None:
    """Of a picture, of a photo with a cut-out, and of a composed query."""
    photo = drawn((30, 40, 190), (120, 160, 110)).resize((240, 320))
    for query in (
        Query(image=drawn((200, 40, 30)), k=3),
        Query(image=photo, k=3),
        Query(image=photo, parts=(lapel.Part(product_id="red", weight=0.5),), k=2),
        Query(product_id="red", k=2),
    ):
        hit = store.search(query=query)[0]
        found = store.explain(query, hit)
        assert found.hit_map.dtype == np.float32
        assert found.hit_map.sum() == pytest.approx(hit.score, abs=1e-4)
        if query.all_parts[0].image is None:
            assert found.query_map.shape == (0, 0)
        else:
            assert found.query_map.sum() == pytest.approx(hit.score, abs=1e-4)


def test_a_query_that_was_read_is_not_read_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    query = Query(image=drawn((200, 40, 30)), k=1)
    hit = store.search(query=query)[0]
    before = store.explain(query, hit)
    monkeypatch.setattr(type(store._engine), "embed", None)  # calling it would fail
    assert np.array_equal(store.explain(query, hit).query_map, before.query_map)


def test_the_sheet_shows_hits_and_a_heatmap_keeps_the_size(store: Store) -> None:
    query = Query(image=drawn((200, 40, 30)), k=2)
    sheet = store.explanation_sheet(query, store.search(query=query).hits, "A shirt")
    assert sheet.mode == "RGB"
    assert sheet.width > 300
    hits = store.search(query=query).hits
    words = [replace(store.explain(query, hit), query_picture=None) for hit in hits]  # as words have none
    assert draw_explanations(hits, words).height < sheet.height
    lit = heatmap(drawn((200, 40, 30)), np.eye(4, dtype=np.float32))
    assert lit.size == (120, 160)


def test_explanations_and_regions_check_themselves() -> None:
    values = np.full((2, 2), 0.25, np.float32)
    assert Explanation(values, values, [], [], 1.0).score == 1.0
    with pytest.raises(QueryError, match="sums to the score"):
        Explanation(values, values, [], [], 0.5)
    with pytest.raises(QueryError, match="A region is a box"):
        Region((5, 0, 5, 10), "Shirts", 0.9)


def test_a_model_without_maps_cannot_explain(tmp_path: Path) -> None:
    drawn((200, 30, 30)).save(tmp_path / "red.png")
    with lapel.open_store(tmp_path / "shop", create=True, encoder="colour:") as shop:
        shop.add(tmp_path)
        query = Query(image=drawn((200, 30, 30)))
        with pytest.raises(ModelError, match="no map of places"):
            shop.explain(query, shop.search(query=query)[0])


# --- probabilities ----------------------------------------------------------------------------------------------------


def scale(knots: tuple[list[float], list[float]]) -> Scale:
    """A scale by the cosine alone."""
    weights = np.zeros(len(FEATURES))
    weights[0] = 1.0
    return Scale(weights, 0.0, (np.array(knots[0]), np.array(knots[1])))


def calibration() -> Calibration:
    """A cosine above .9 is the product, above .7 the style, above .5 the kind."""
    scales = {
        Verdict.SAME_PRODUCT: scale(([0.9, 0.91], [0.0, 1.0])),
        Verdict.SAME_STYLE: scale(([0.7, 0.71], [0.0, 1.0])),
        Verdict.SAME_KIND: scale(([0.5, 0.51], [0.0, 1.0])),
    }
    return Calibration({"white": scales, "photo": scales}, {"white": 0.3, "photo": 0.3}, {"white": 0.4, "photo": 0.4})


def test_verdicts_follow_from_probabilities() -> None:
    features = np.zeros((4, len(FEATURES)))
    features[:, 0] = [0.95, 0.8, 0.6, 0.1]
    told = calibration().judge(features, [""] * 4, on_white=True)
    assert [JUDGEMENTS[each] for each in told.closest.tolist()] == [
        Verdict.SAME_PRODUCT,
        Verdict.SAME_STYLE,
        Verdict.SAME_KIND,
        Verdict.NOTHING_CLOSE,
    ]


def test_a_calibration_is_kept_whole(tmp_path: Path) -> None:
    assert read_calibration(tmp_path) is None
    save_calibration(calibration(), tmp_path)
    kept = read_calibration(tmp_path)
    assert kept is not None
    assert kept.to_json() == calibration().to_json()
    data = json.loads((tmp_path / "calibration.json").read_text())
    (tmp_path / "calibration.json").write_text(json.dumps({**data, "format": 9}))
    with pytest.raises(ModelError, match="format 9"):
        read_calibration(tmp_path)
    (tmp_path / "calibration.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        read_calibration(tmp_path)


def test_a_calibration_of_the_first_format_is_read() -> None:
    """It judged fashion by how near the nearest are, whatever the picture."""
    given = calibration().to_json()
    given["features"] = given["features"][:8]
    for scales in given["scales"].values():
        for scale in scales.values():
            scale["weights"] = scale["weights"][:8]
    about = {"weights": [0, 2.0, 1.0, 0, 0, 0, 0, 0], "bias": -1.0, "knots": [[-1, 3], [0.1, 0.9]], "by_category": {}}
    given |= {"format": 1, "fashion": about, "fashion_least": {"white": 0.3}}
    del given["strength"]
    found = Calibration.from_json(given, "old")
    first = np.zeros((1, len(FEATURES)))
    first[0, :3] = 0.95, 0.8, 0.4
    for strengths in (None, np.array([[3.0, 9.0]])):
        assert found.fashion_of(first, strengths) == pytest.approx(np.interp(1.0, [-1, 3], [0.1, 0.9]))
    assert found.judge(first, [""], on_white=True).closest == JUDGEMENTS.index(Verdict.SAME_PRODUCT)
    found = replace(found, fashion_least={"white": 0.6})
    assert found.judge(first, [""], on_white=True).closest == JUDGEMENTS.index(Verdict.NOTHING_CLOSE)
    of_three = found.scales["white"][Verdict.SAME_KIND].weights
    assert (of_three[:8] == calibration().scales["white"][Verdict.SAME_KIND].weights[:8]).all()
    assert not of_three[8:].any()  # it knew no labels


def test_what_few_products_lack_says_nothing_of_a_query() -> None:
    """In a shop whose products lie far from each other, the nearest count as where the calibration was learned."""
    features = np.zeros((2, len(FEATURES)))
    features[:, 1:3] = (0.9, 0.2), (0.3, 0.25)
    known = replace(calibration(), density=(0.85, 0.8))
    assert known.levelled(features, (0.35, 0.2))[:, 1:3] == pytest.approx(np.array([(1.0, 0.8), (0.8, 0.8)]))
    assert (known.levelled(features, (0.9, 0.85)) == features).all()  # none is lowered
    assert known.levelled(features, None) is features
    assert calibration().levelled(features, (0.35, 0.2)) is features


def test_a_kind_is_judged_by_how_dense_the_shop_is() -> None:
    """As dense as where it was learned: by its own curve; a tenth less: by the other; between them by both."""
    own = calibration()
    kind = own.scales["white"][Verdict.SAME_KIND]
    other = Scale(np.zeros(len(FEATURES)), 0.0, (np.array([-1.0, 1.0]), np.array([0.9, 0.9])))
    known = replace(own, density=(0.85, 0.8), smaller=dict.fromkeys(own.scales, other))
    features = np.full((1, len(FEATURES)), 0.2)
    dense = float(kind.probabilities(features)[0])
    for density, wanted in (((0.85, 0.8), dense), ((0.75, 0.7), 0.9), ((0.8, 0.75), (dense + 0.9) / 2)):
        told = known.judge(features, ["Shirts"], on_white=True, density=density)
        likely = told.likely[0, told.verdicts.index(Verdict.SAME_KIND)]
        assert likely == pytest.approx(wanted, abs=1e-9)
    assert Calibration.from_json(json.loads(json.dumps(known.to_json())), "kept").density == (0.85, 0.8)


def test_a_shop_of_a_dozen_products_knows_its_own(tmp_path: Path) -> None:
    made = draw_wardrobe(tmp_path / "drawn", products=12)
    with lapel.open_store(tmp_path / "shop", create=True, encoder="small") as shop:
        shop.add(made.folder / "products.csv")
        verdicts = []
        for photo in (each.photos[0] for each in shop.browse().products):
            image = Image.open(photo.uri.removeprefix("file://"))
            cut = image.crop((image.width // 20, image.height // 20, image.width, image.height))
            verdicts.append(shop.search(image=cut).verdict)
    assert verdicts.count("nothing close") <= 1, verdicts


def test_isotonic_curves_rise_and_hold() -> None:
    """Where 30 of 100 are right below 0 and 80 above, that is what is said."""
    rng = np.random.default_rng(1)
    logits = rng.uniform(-1, 1, 20_000)
    right = rng.random(20_000) < np.where(logits < 0, 0.3, 0.8)
    middles, likely = isotonic_curve(logits, right)
    assert (np.diff(likely) >= 0).all()
    told = np.interp(logits, middles, likely)
    assert calibration_error(told, right) < 0.02
    assert np.interp(-0.5, middles, likely) == pytest.approx(0.3, abs=0.05)
    assert np.interp(0.5, middles, likely) == pytest.approx(0.8, abs=0.05)


def test_the_rows_of_a_category_are_found_however_it_is_written() -> None:
    found = rows_of(["Shirts", "Shoes", "SHIRTS", ""])
    assert {name: rows.tolist() for name, rows in found.items()} == {"shirts": [0, 2], "shoes": [1], "": [3]}
    assert rows_of([]) == {}


def test_a_category_has_knots_of_its_own() -> None:
    ends = np.array([0.0, 1.0])
    own = Scale(np.eye(len(FEATURES))[0], 0.0, (ends, ends), {"shoes": (ends, np.full(2, 0.5))})
    features = np.full((3, len(FEATURES)), 0.2)
    assert own.probabilities(features, rows_of(["Shirts", "Shoes", ""])).tolist() == [0.2, 0.5, 0.2]


def test_a_fitted_scale_is_right_on_other_pairs() -> None:
    rng = np.random.default_rng(2)

    def made(count: int) -> Pairs:
        features = rng.normal(size=(count, len(FEATURES)))
        return Pairs(features, rng.random(count) < 1 / (1 + np.exp(-2 * features[:, 0] - features[:, 3])))

    learned, other = made(8000), made(8000)
    found = fit_scale([learned], learned)
    assert calibration_error(found.probabilities(other.features), other.right) < 0.03


def test_the_set_of_kinds_holds_nine_of_ten() -> None:
    likely = np.random.default_rng(3).random(999)
    assert (likely >= kind_floor(likely)).mean() == pytest.approx(0.9, abs=0.005)


def test_calibration_error_by_hand() -> None:
    """Two bins of two: said .2 and none right, said .8 and both right: .2 off everywhere."""
    assert calibration_error(np.array([0.2, 0.2, 0.8, 0.8]), np.array([False, False, True, True]), 2) == pytest.approx(
        0.2
    )


def test_features_of_a_model_without_probes_are_its_cosines() -> None:
    vectors = normalise(np.eye(4)[:3] + 0.1)
    unlabelled = np.zeros((3, 4), np.int64)
    around = Neighbourhood(vectors[0], vectors @ vectors[0], vectors, unlabelled)
    found = hit_features({}, around, around.scores, vectors, unlabelled)
    assert found[:, 0] == pytest.approx(around.scores)
    assert not found[:, 3:].any()


def test_neighbours_vote_by_the_labels_of_the_shop() -> None:
    """Of three neighbours of equal score two are skirts and one, without a colour, is a blouse."""
    skirt, blouse = (
        Product("1", category=("Apparel", "Skirts"), colour="Red", gender="Women"),
        Product("2", category=("Apparel", "Blouses"), gender="Women"),
    )
    numbers: dict[str, int] = {}
    labels = labels_of([skirt, skirt, blouse], numbers)
    vectors = normalise(np.ones((3, 4), np.float32))
    around = Neighbourhood(vectors[0], np.full(3, 0.5, np.float32), vectors, labels)
    shoe = Product("3", category=("Shoes",), colour="Blue")
    asked = labels_of([skirt, blouse, shoe], numbers)
    votes = np.exp(hit_features({}, around, np.full(3, 0.5, np.float32), vectors, asked)[:, 8:]) - 0.01
    assert votes[0] == pytest.approx([2 / 3, 1, 1, 1])
    assert votes[1] == pytest.approx([1 / 3, 1, 0.99, 1])  # its colour is unknown: what the probes say, here nothing
    assert votes[2] == pytest.approx([0, 0, 0, 0.99])


def test_features_of_many_queries_at_once_are_those_of_a_loop() -> None:
    """Queries with different numbers of neighbours and hits, against the formulae written out one hit at a time."""
    rng = np.random.default_rng(8)
    probes = {
        name: Probe(name, tuple("abc"), rng.normal(size=(3, 4)).astype(np.float32), np.zeros(3, np.float32))
        for name in ("kind", "colour")
    }
    around = []
    for count in (3, 1, 15):
        vectors = normalise(rng.normal(size=(count + 1, 4)))
        scores = np.sort(vectors[1:] @ vectors[0])[::-1]
        around.append(Neighbourhood(vectors[0], scores, vectors[1:], rng.integers(0, 4, (count, 4))))
    query, hits = np.array([0, 0, 1, 2, 2, 2]), normalise(rng.normal(size=(6, 4)))
    labels = rng.integers(0, 4, (6, 4))
    scores = rng.random(6).astype(np.float32)
    made = HitFeatures.read(probes, around)
    found = made.of(query, scores, likelihoods(probes, hits), labels)
    for row, at in enumerate(query):
        one = around[at]
        weights = np.exp((one.scores - one.scores[0]) / 0.1)
        of_kind, of_colour = probes["kind"].probabilities, probes["colour"].probabilities
        evidence = (weights[:, None] * of_kind(one.vectors)).sum(axis=0) / weights.sum()
        own, hit = one.vector[None], hits[row : row + 1]
        expected = [
            *(scores[row], one.scores[0], one.scores[:10].mean(), np.log(of_kind(hit)[0] @ of_kind(own)[0] + 0.01)),
            *(0, np.log(of_colour(hit)[0] @ of_colour(own)[0] + 0.01), 0, np.log(of_kind(hit)[0] @ evidence + 0.01)),
        ]
        for place, instead in enumerate((7, 4, 5, 6)):
            known = one.labels[:, place] > 0
            if labels[row, place] and known.any():
                for_it = weights[known & (one.labels[:, place] == labels[row, place])].sum()
                expected.append(np.log(for_it / weights[known].sum() + 0.01))
            else:
                expected.append(expected[instead])
        assert found[row] == pytest.approx(expected, abs=1e-5)
        assert one.kinds(probes) == pytest.approx((of_kind(own)[0] + evidence) / 2, abs=1e-5)
        own_features = hit_features(probes, one, scores[row : row + 1], hit, labels[row : row + 1])
        assert own_features[0] == pytest.approx(expected, abs=1e-5)


# --- cut-offs ---------------------------------------------------------------------------------------------------------


def test_cut_offs_are_scores_or_verdicts() -> None:
    assert Query(text="any", least=0.5).least == 0.5
    assert Query(text="any", least="0.5").least == 0.5
    assert Query(text="any", least="Same Kind").least is Verdict.SAME_KIND
    assert Query(text="any", least="same product").least is Verdict.SAME_PRODUCT
    for wrong in ("close", "", "2", True):
        with pytest.raises(QueryError, match="least is a score"):
            Query(text="any", least=wrong)


def test_closer_verdicts_reach_what_farther_ones_ask() -> None:
    assert reaches(Verdict.SAME_PRODUCT, Verdict.SAME_KIND)
    assert not reaches(Verdict.SAME_KIND, Verdict.SAME_STYLE)
    assert not reaches(Verdict.NOTHING_CLOSE, Verdict.SAME_KIND)
    assert not reaches(None, Verdict.SAME_KIND)
    assert reaches(None, Verdict.NOTHING_CLOSE)


def test_a_cut_off_leaves_out_and_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = store._engine._judge
    encoder = open_encoder("default")
    monkeypatch.setattr(judge, "_known", ((encoder.fingerprint, 0), calibration(), {}))
    query = Query(image=drawn((200, 30, 30)), k=3)
    every = store.search(query=query)
    assert every.verdict is every[0].verdict is Verdict.SAME_PRODUCT
    assert every[0].probability == 1.0
    for least in ("the same product", "same style", "same kind", "nothing close"):
        some = store.search(query=replace(query, least=least))
        assert list(some) == [hit for hit in every if reaches(hit.verdict, Verdict(least))]
    noise = np.random.default_rng(0).integers(0, 256, (160, 120, 3), dtype=np.uint8)
    nothing = store.search(image=noise, least="the same product")
    assert (len(nothing), nothing.verdict) == (0, Verdict.NOTHING_CLOSE)
    assert store.search(image=noise, where=Filter.parse(["price<1"])).verdict is Verdict.NOTHING_PASSES


def test_pages_after_a_cut_off_lose_nothing(store: Store) -> None:
    """A page holds what of its own ranks reaches the cut-off, however many before it did not."""
    query = Query(image=drawn((200, 30, 30)), k=3)
    first, _, third = store.search(query=query)
    some = replace(store.search(query=query), hits=(first, third))
    told = [answer_json(store, query, some, offset=offset)["hits"] for offset in range(4)]
    assert [[hit["rank"] for hit in hits] for hits in told] == [[1, 3], [3], [3], []]


# --- words ------------------------------------------------------------------------------------------------------------


def of_cosine(slope: float = 10.0, bias: float = -5.0) -> Scale:
    """Words that are likelier the higher the cosine, and by nothing else."""
    weights = np.zeros(WORD_FIGURES)
    weights[0] = slope
    return Scale(weights, bias, (np.array([-5.0, 5.0]), np.array([0.0, 1.0])))


def test_words_are_of_the_kind_or_nothing_close() -> None:
    known = replace(calibration(), words=of_cosine(), words_least=0.3)
    features = np.zeros((3, WORD_FIGURES))
    features[:, 0] = 0.9, 0.1, 0.1
    told = known.judge_words(features, named=np.array([False, False, True]))
    verdicts = [JUDGEMENTS[each] for each in told.closest.tolist()]
    assert verdicts == [Verdict.SAME_KIND, Verdict.NOTHING_CLOSE, Verdict.SAME_KIND]  # the third holds all words
    assert told.likely[:, 0] == pytest.approx([0.9, 0.1, 0.5])
    kept = Calibration.from_json(json.loads(json.dumps(known.to_json())), "kept")
    assert kept.words is not None
    assert kept.words_least == 0.3
    assert (kept.words.weights == of_cosine().weights).all()
    without = known.to_json()
    del without["words"], without["words_least"]
    assert Calibration.from_json(without, "older").words is None


def test_what_words_leave_out_does_not_count_against_a_hit() -> None:
    """Of words that say nothing of the kind every kind is as likely; a hit of any of them has what they ask for."""
    own = {"kind": np.array([[0.5, 0.5], [0.98, 0.02]], np.float32)}  # vague words, and words that name a kind
    found = np.zeros((3, len(FEATURES)))
    found[:, 3] = np.log(np.array([0.5, 0.98, 0.02]) + 0.01)  # of one vague hit, and of a right and a wrong one
    labels = np.array([[0.5, 0.5, 0.9, 0.9], [0.8, 0.8, 0.1, 0.1], [0.2, 0.8, 0.1, 0.1]])
    query = np.array([0, 1, 1])
    figures = word_features(found, own, query, labels, np.array([1, 1, 0.5]), np.array([1, 2, 2]), 0.7)
    assert figures.shape == (3, WORD_FIGURES)
    relative = figures[:, WORD_FEATURES.index("relative kind")]
    assert relative[:2] == pytest.approx([0, 0], abs=1e-6)
    assert relative[2] < -3
    lacks = figures[:, WORD_FEATURES.index("what it lacks of kind")]
    assert lacks[0] == lacks[1] < lacks[2]
    first = len(WORD_FEATURES)
    assert figures[:, first] == pytest.approx(figures[:, 0] ** 2)


@pytest.fixture(scope="module")
def shirts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A shop that has nothing but shirts, and says so."""
    folder = tmp_path_factory.mktemp("only-shirts")
    lines = ["id,title,category,colour,gender,image"]
    for name, colour in {"red": (200, 30, 30), "blue": (30, 40, 190), "green": (20, 130, 60)}.items():
        drawn(colour).save(folder / f"{name}.png")
        lines.append(f"{name}-1,Zorro {name} casual shirt,Apparel > Topwear > Shirts,{name.title()},Men,{name}.png")
    (folder / "products.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with lapel.open_store(folder / "shop", create=True) as opened:
        opened.add(folder / "products.csv")
        yield opened


@pytest.mark.parametrize("text", ["wedding dress", "handbags", "Handtasche", "wrist watch"])
def test_words_for_what_a_shop_has_not_get_nothing_close(shirts: Store, text: str) -> None:
    assert shirts.search(text=text).verdict is Verdict.NOTHING_CLOSE
    nothing = shirts.search(text=text, least="same kind")
    assert (len(nothing), nothing.verdict) == (0, Verdict.NOTHING_CLOSE)


@pytest.mark.parametrize("text", ["shirt", "Hemd", "red shirt", "Zorro green casual shirt"])
def test_words_for_what_a_shop_has_find_it(shirts: Store, text: str) -> None:
    found = shirts.search(text=text, least="same kind")
    assert found.verdict is Verdict.SAME_KIND
    assert 0 < found[0].probability <= 1
    assert found[0].probabilities == {Verdict.SAME_KIND: found[0].probability}


def test_a_calibration_of_its_own_leaves_words_as_they_were(shirts: Store) -> None:
    before = shirts.search(text="red shirt")
    own = own_folder(shirts.folder, open_encoder("default").fingerprint)
    own.mkdir(parents=True)
    save_calibration(calibration(), own)  # which knows neither words nor how dense the shop is
    try:
        after = shirts.search(text="red shirt")
    finally:
        shutil.rmtree(own)
    assert [(hit.probability, hit.verdict) for hit in after] == [(hit.probability, hit.verdict) for hit in before]


def test_an_id_is_the_product(shirts: Store) -> None:
    found = shirts.search(text="blue-1")
    assert found[0].product.id == "blue-1"
    assert found[0].verdict is Verdict.SAME_PRODUCT


def test_a_picture_in_another_colour_is_judged_by_both(shirts: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of its kind in the asked colour are of the same kind; in any other they are nothing close."""
    known = ((open_encoder("default").fingerprint, 0), calibration(), {})
    monkeypatch.setattr(shirts._engine._judge, "_known", known)
    monkeypatch.setattr(shirts._engine._judge, "_stamp", lambda fingerprint: (fingerprint, 0))
    asked = shirts.search(parts=[lapel.Part(product_id="red-1"), lapel.Part(colour="blue")])
    assert {hit.product.id: hit.verdict for hit in asked} == {
        "blue-1": Verdict.SAME_KIND,
        "green-1": Verdict.NOTHING_CLOSE,
    }
    none = shirts.search(parts=[lapel.Part(product_id="red-1"), lapel.Part(text="in yellow")], least="same kind")
    assert (len(none), none.verdict) == (0, Verdict.NOTHING_CLOSE)
    striped = shirts.search(parts=[lapel.Part(product_id="red-1"), lapel.Part(text="gestreift")])
    assert {hit.product.id for hit in striped} == {"blue-1", "green-1"}  # a word that no text here holds is no error
    both = shirts.search(parts=[lapel.Part(product_id="red-1"), lapel.Part(text="shirt")])
    assert both.verdict is Verdict.FOUND  # which of the two says the kind is not known


# --- probes and regions -----------------------------------------------------------------------------------------------


def test_a_filter_does_not_change_what_a_hit_is_worth(store: Store) -> None:
    """What a query shows is told by its neighbours in the whole shop."""
    every = {hit.product.id: hit for hit in store.search(image=drawn((200, 30, 30)), k=3)}
    for name in every:
        (hit,) = store.search(image=drawn((200, 30, 30)), k=3, where=[f"id={name}"])
        assert hit.score == pytest.approx(every[name].score, abs=1e-6)
        assert hit.probability == pytest.approx(every[name].probability, abs=1e-6)
        assert hit.verdict is every[name].verdict


def test_a_probe_says_the_same_of_few_and_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    probe = Probe("kind", tuple("abc"), rng.normal(size=(3, 8)).astype(np.float32), np.ones(3, np.float32))
    vectors = normalise(rng.normal(size=(50, 8)))
    monkeypatch.setattr("lapel.encoders.probes.MAX_PRODUCTS", 7 * 24)  # seven vectors at once, one in the end
    powers = np.exp(vectors @ probe.weights.T + 1)
    assert probe.probabilities(vectors) == pytest.approx(powers / powers.sum(axis=1, keepdims=True), abs=1e-6)
    assert probe.probabilities(vectors[:0]).shape == (0, 3)


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [(30, 0, False), (40, 0, True), (95, 5, True), (82, 18, False), (180, 20, True)],  # 82 % and 30 may be chance
)
def test_a_probe_tells_what_enough_pictures_bear_out(right: int, wrong: int, told: bool) -> None:
    probe = Probe("kind", ("Shirts", "Shoes"), np.eye(2, dtype=np.float32), np.zeros(2, np.float32))
    vectors = np.tile(np.array([1, 0], np.float32), (right + wrong, 1))
    values = [frozenset({"Shirts"})] * right + [frozenset({"Shoes"})] * wrong
    judged = with_threshold(probe, "white", vectors, values)
    assert (judged.read(vectors[0], on_white=True) is not None) == told


def test_probes_are_kept_and_stay_silent_below_their_threshold(tmp_path: Path) -> None:
    weights = np.array([[4, 0], [0, 4]], np.float32)
    probe = Probe(
        "kind", ("Shirts", "Shoes"), weights, np.zeros(2, np.float32), {"white": 0.9}, {"white": 0.95}, {"white": 0.8}
    )
    assert read_probes(tmp_path, 2) == {}
    save_probes({"kind": probe}, tmp_path)
    kept = read_probes(tmp_path, 2)["kind"]
    assert (kept.values, dict(kept.thresholds), dict(kept.precision)) == (
        ("Shirts", "Shoes"),
        {"white": 0.9},
        {"white": 0.95},
    )
    sure, unsure = np.array([1, 0], np.float32), normalise(np.array([[1, 0.9]]))[0]
    read = kept.read(sure, on_white=True)
    assert read is not None
    assert read[0] == "Shirts"
    assert kept.read(unsure, on_white=True) is None
    assert kept.read(sure, on_white=False) is None  # no threshold for photos: it never tells
    assert NEVER > 1
    with pytest.raises(ModelError, match="weights"):
        read_probes(tmp_path, 3)
    (tmp_path / "probes.npz").write_bytes(b"no file of arrays")
    with pytest.raises(ModelError, match="cannot be read"):
        read_probes(tmp_path, 2)


def test_parts_that_a_bridge_joins_are_taken_apart() -> None:
    inside = np.zeros((100, 200), bool)
    inside[20:80, 20:80] = inside[20:80, 120:180] = True
    inside[50, 80:120] = True  # one pixel high
    places = _taken_apart(inside)
    assert places[50, 50] != places[50, 150]
    assert (places > 0).tolist() == inside.tolist()
