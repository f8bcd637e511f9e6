"""The look of a photo: its colours as a person names them, and answers in the order of them."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from lapel import Filter, Hit, Part, Product, Query, SearchResult
from lapel.catalog import Entry, PhotoEntry
from lapel.catalog.features import FeatureTable
from lapel.core.colours import NAMES, ColourReading, name_shares, to_lab, to_rgb
from lapel.core.errors import InputError, QueryError
from lapel.core.settings import settings
from lapel.core.vectors import normalise
from lapel.engine import colours as reading_colours
from lapel.engine.colours import GRID, read_colours, smoothed
from lapel.engine.context import StoreContext, open_context
from lapel.engine.features import PALETTE
from lapel.engine.look import MIN_PRODUCTS
from lapel.engine.retrieval import SearchEngine
from lapel.service import result_json

RGB = {"Red": (190, 35, 45), "Blue": (45, 90, 180), "Green": (45, 125, 70), "Black": (20, 20, 24)}
FLOOR, SIZE = (176, 140, 105), (180, 240)


def garment(rgb: tuple[int, int, int], stripe: tuple[int, int, int] | None = None) -> Image.Image:
    """A shirt of one colour, or of two, on white."""
    image = Image.new("RGB", SIZE, "white")
    pen = ImageDraw.Draw(image)
    pen.rectangle((45, 40, 135, 200), fill=rgb)
    if stripe:
        for top in range(40, 200, 40):
            pen.rectangle((45, top, 135, top + 19), fill=stripe)
    return image


def on_floor(product: Image.Image, light: Sequence[float] = (1, 1, 1)) -> tuple[Image.Image, Image.Image]:
    """A photo of it on a wooden floor with a white wall behind, in a light, and what is cut out of that."""
    pixels, shown = np.asarray(product), (np.asarray(product) < 250).any(axis=2)
    photo = np.full_like(pixels, FLOOR)
    photo[:30] = (238, 238, 238)
    photo[shown] = pixels[shown]
    lit = (photo * np.asarray(light)).clip(0, 255).astype(np.uint8)
    cut = lit.copy()
    cut[~shown] = 255
    return Image.fromarray(lit), Image.fromarray(cut)


def read(image: Image.Image, product: Image.Image | None) -> ColourReading:
    reading = read_colours(image, product)
    assert reading is not None
    return reading


# --- what is read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RGB)
def test_the_product_of_a_photo_is_named_and_its_floor_is_not(name: str) -> None:
    reading = read(*on_floor(garment(RGB[name])))
    assert [colour.name for colour in reading.colours] == [name.lower()]
    assert (reading.colours[0].share, reading.certainty, reading.on_white) == (1.0, "sure", False)
    assert reading.histogram.sum() == pytest.approx(1, abs=1e-5)


def test_a_picture_on_white_needs_no_cut_out() -> None:
    reading = read(garment(RGB["Blue"]), None)
    assert (reading.colours[0].name, reading.on_white, reading.certainty) == ("blue", True, "sure")


def test_on_white_colours_are_read_when_somebody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = pickle.loads(pickle.dumps(read(garment(RGB["Blue"]), None)))  # to another process, before anybody looked
    read_now, pictures = reading_colours._read, []
    monkeypatch.setattr(reading_colours, "_read", lambda *given, **on: pictures.append(given) or read_now(*given, **on))
    later = read(garment(RGB["Blue"]), None)
    assert later.on_white
    assert not pictures
    assert later == sent
    assert later.confidence > 0.9
    assert len(pictures) == 1
    assert not hasattr(later, "colour")
    read(*on_floor(garment(RGB["Blue"])))
    assert len(pictures) == 2


def test_a_picture_with_nearly_nothing_on_white_has_no_colours() -> None:
    empty = Image.new("RGB", (64, 64), "white")
    empty.paste((0, 0, 200), (30, 30, 34, 34))
    assert read_colours(empty, None) is None


def test_several_colours_and_tinted_light_are_less_sure() -> None:
    plain = read(*on_floor(garment(RGB["Red"])))
    striped = read(*on_floor(garment(RGB["Red"], (245, 205, 60))))
    assert {colour.name for colour in striped.colours} == {"red", "yellow"}
    tinted = read(*on_floor(garment(RGB["Red"]), light=(1.0, 0.85, 0.5)))
    assert max(striped.confidence, tinted.confidence) < plain.confidence
    assert striped.certainty != "sure"


def test_little_of_a_product_is_less_sure_and_none_says_nothing() -> None:
    small = garment(RGB["Green"]).resize((36, 48))
    canvas = Image.new("RGB", SIZE, "white")
    canvas.paste(small, (70, 90))
    assert read(*on_floor(canvas)).confidence < read(*on_floor(garment(RGB["Green"]))).confidence
    assert read_colours(Image.new("RGB", SIZE, FLOOR), Image.new("RGB", SIZE, "white")) is None


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (2000, 30)])
def test_no_shape_of_an_image_is_too_odd(size: tuple[int, int]) -> None:
    assert read_colours(Image.new("RGB", size, "white"), None) is None
    reading = read_colours(Image.new("RGB", size, RGB["Red"]), None)
    assert reading is None or reading.colours[0].name == "red"


def test_colours_go_to_cielab_and_back() -> None:
    rgb = np.random.default_rng(3).integers(0, 256, (200, 3))
    for colour, lab in zip(rgb, to_lab(rgb.astype(float)), strict=True):
        assert to_rgb(lab) == "#{:02x}{:02x}{:02x}".format(*colour)


def test_a_colour_between_two_names_is_some_of_both() -> None:
    shares = name_shares(to_lab(np.array([[255.0, 255, 255], [0, 0, 255], [25, 35, 75]])))
    assert shares.sum(axis=1) == pytest.approx([1, 1, 1])
    assert [NAMES[name] for name in shares.argmax(axis=1)] == ["white", "blue", "navy"]
    assert shares[1].max() > 0.95 > 0.8 > shares[2].max()


# --- a shop whose vectors know kinds and not colours ------------------------------------------------------------------

KINDS = {"Shirts": 0, "Shorts": 1}


def entry(name: str, kind: str, colour: str, *, gender: str = "Women", lean: float = 0.0, named: bool = True) -> Entry:
    """A product; ``lean`` turns its vector away from its kind's."""
    vector = np.zeros((1, 128), np.float32)
    vector[0, KINDS[kind]], vector[0, 5], vector[0, 100] = 1, lean, 0.9
    product = Product(name, title=name, colour=colour if named else "", category=("Clothes", kind), gender=gender)
    palette = PALETTE.of(garment(RGB[colour]))
    assert isinstance(palette, bytes)
    photo = PhotoEntry(f"file:///{name}.jpg", "1", "00", normalise(vector)[0], features={PALETTE.key: palette})
    return Entry(product, (photo,))


def entries(*, named: bool = True) -> list[Entry]:
    """30 shirts of each colour and a few shorts, boys' among them, all about as near; the black ones nearest."""
    rng = np.random.default_rng(8)
    shirts = [
        entry(
            f"{colour}{n}", "Shirts", colour, lean=0.25 + 0.1 * rng.random() - 0.05 * (colour == "Black"), named=named
        )
        for colour in RGB
        for n in range(30)
    ]
    boys = [entry(f"boy{n}", "Shirts", "Red", gender="Boys", lean=0.24, named=named) for n in range(3)]
    return shirts + boys + [entry(f"shorts{n}", "Shorts", "Red", lean=0.2, named=named) for n in range(5)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterable[StoreContext]:
    with open_context(tmp_path_factory.mktemp("look") / "shop", create=True, encoder="colour:") as store:
        store.claim()
        store.catalog.write(entries(), fingerprint=store.encoder.fingerprint)
        yield store


def direction(*, lean: float = 0.0) -> np.ndarray:
    """A shirt as a photo shows it: as far from all of them."""
    vector = np.zeros((1, 128), np.float32)
    vector[0, 0], vector[0, 5], vector[0, 7], vector[0, 100] = 1, lean, 1.4, 0.3
    return normalise(vector)[0]


def ask(store: StoreContext, photo: str = "Red", **query: Any) -> SearchResult:
    query = {"vector": direction(), "colours": read(*on_floor(garment(RGB[photo])))} | query
    return SearchEngine(store).search(Query(**query))


def colours(hits: Iterable[Hit]) -> list[str]:
    return [hit.product.colour for hit in hits]


# --- the order --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", RGB)
def test_the_colour_of_the_photo_comes_first(store: StoreContext, colour: str) -> None:
    assert set(colours(ask(store, colour, k=5))) == {colour}
    assert set(colours(ask(store, colour, k=5, colour_weight=0))) == {"Black"}


def test_a_store_that_names_no_colours_is_ordered_by_its_palettes(tmp_path: Path) -> None:
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        store.claim()
        store.catalog.write(entries(named=False), fingerprint=store.encoder.fingerprint)
        found = ask(store, "Green", k=5)
        assert all(hit.product.id.startswith("Green") for hit in found)


def test_few_products_of_a_name_are_judged_by_their_palettes(tmp_path: Path) -> None:
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        store.claim()
        rare = [entry(f"rare{n}", "Shirts", "Green", lean=0.3) for n in range(MIN_PRODUCTS - 1)]
        kept = [each for each in entries() if each.product.colour != "Green"]
        store.catalog.write([*kept, *rare], fingerprint=store.encoder.fingerprint)
        assert set(colours(ask(store, "Green", k=5))) == {"Green"}


def test_neither_another_kind_nor_another_gender_is_bought_by_its_colour(store: StoreContext) -> None:
    """Three boys' shirts and five shorts are red and nearer than the women's red shirts; there are few of them."""
    first = ask(store, "Red", k=10)
    assert {(hit.product.category[-1], hit.product.gender) for hit in first} == {("Shirts", "Women")}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"k": 1},
        {"k": 128},
        {"k": 500},
        {"k": 10, "exclude": frozenset({"Red0", "Red1"})},
        {"k": 20, "where": Filter.parse(["colour=Blue|Green"])},
        {"k": 4, "group": "colour"},
        {"k": 50, "least": 0.5},
        {"colour_weight": 0.3},
    ],
)
def test_reranking_drops_nothing_repeats_nothing_and_keeps_scores(store: StoreContext, more: dict[str, Any]) -> None:
    """Whatever the options: as many hits as by the cosine, each once, with its own cosine, in the order of both."""
    plain, found = ask(store, **more | {"colour_weight": 0}), ask(store, **more)
    assert (len(found), found.total, found.verdict) == (len(plain), plain.total, plain.verdict)
    assert len({hit.product.id for hit in found}) == len(found)
    assert [hit.rank for hit in found] == list(range(1, len(found) + 1))
    every = {hit.product.id: hit.score for hit in ask(store, colour_weight=0, k=500)}
    assert [hit.score for hit in found] == pytest.approx([every[hit.product.id] for hit in found], abs=1e-6)
    ranked = [hit.score + hit.adjustment for hit in found]
    assert ranked == sorted(ranked, reverse=True)
    assert {hit.adjustment for hit in plain} == {0.0}
    if more.get("least"):
        assert min(hit.score for hit in found) >= more["least"]
    assert not {hit.product.id for hit in found} & more.get("exclude", frozenset())


def test_more_answers_begin_with_the_same(store: StoreContext) -> None:
    few, many = ask(store, k=3), ask(store, k=60)
    assert [hit.product.id for hit in few] == [hit.product.id for hit in many][:3]


def test_answers_go_on_beyond_those_that_are_reranked(store: StoreContext, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("retrieval", "look"):
        monkeypatch.setattr(f"lapel.engine.{name}.CANDIDATES", 16)
    every = [hit.product.id for hit in ask(store, "Green", k=100)]
    for k in (4, 8, 16, 24, 40):
        assert [hit.product.id for hit in ask(store, "Green", k=k)] == every[:k], k


def test_all_who_reach_the_least_score_come_before_the_others(store: StoreContext) -> None:
    """A cut-off leaves out by the cosine: no answer above it is lost to a better-coloured one below."""
    least = 0.53
    reaching = sum(hit.score >= least for hit in ask(store, colour_weight=0, k=500))
    assert 10 < reaching < 100
    assert len(ask(store, "Red", k=500, least=least)) == reaching
    assert len(ask(store, "Red", k=reaching, least=least)) == reaching


def test_the_very_product_stays_first_whatever_its_light(store: StoreContext) -> None:
    one = entry("itself", "Shirts", "Blue", lean=3.0)
    store.catalog.write([one], fingerprint=store.encoder.fingerprint)
    vector = np.asarray(one.photos[0].vector)
    assert ask(store, "Red", vector=vector, k=3)[0].product.id == "itself"
    store.catalog.remove(["itself"])


def test_what_is_no_single_image_is_ordered_by_the_cosine(store: StoreContext) -> None:
    """Words or a second image may ask for another colour, and pictures on white know theirs."""
    engine, photo = SearchEngine(store), on_floor(garment(RGB["Red"]))[0]
    queries = [
        Query(parts=(Part(image=photo), Part(image=photo))),
        Query(image=photo, product_id="Blue3"),
        Query(product_id="Blue3"),
        Query(vector=direction()),
        Query(image=garment(RGB["Red"])),
        Query(image=photo, segment=False),
    ]
    for result in engine.search_many(queries):
        assert {hit.adjustment for hit in result} == {0.0}
        assert [hit.score for hit in result] == sorted((hit.score for hit in result), reverse=True)
    assert {hit.adjustment for hit in engine.search(Query(image=photo))} != {0.0}


def test_a_setting_switches_it_off(store: StoreContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPEL_COLOUR_WEIGHT", "0")
    assert settings().colour_weight == 0
    assert set(colours(ask(store, k=5))) == {"Black"}
    assert set(colours(ask(store, k=5, colour_weight=1))) == {"Red"}


def test_what_is_added_is_known_and_what_was_known_is_not_read_again(
    store: StoreContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    get = FeatureTable.get

    def counted(self: FeatureTable, name: str, version: str, keys: Iterable[int]) -> dict[int, bytes]:
        keys = list(keys)
        asked.append(len(keys))
        return get(self, name, version, keys)

    monkeypatch.setattr(FeatureTable, "get", counted)
    engine = SearchEngine(store)
    query = Query(vector=direction(), colours=read(*on_floor(garment(RGB["Red"]))), k=1)
    engine.search(query)
    store.catalog.write([entry("fresh", "Shirts", "Red", lean=0.02)], fingerprint=store.encoder.fingerprint)
    assert engine.search(query)[0].product.id == "fresh"
    assert engine.search(query)[0].product.id == "fresh"
    assert asked == [128, 1]
    store.catalog.remove(["fresh"])


# --- options and answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", [-0.1, 1.5, "1", True, float("nan")])
def test_how_much_colours_count_is_a_number_from_0_to_1(colour: Any) -> None:
    with pytest.raises(QueryError, match="colour_weight is how much colours count, 0 to 1"):
        Query(text="red", colour_weight=colour)


def test_a_number_as_colour_is_its_weight_for_one_version() -> None:
    with pytest.warns(DeprecationWarning, match="how much colours count is colour_weight"):
        query = Query(vector=direction(), colour=0.5)  # type: ignore[arg-type]
    assert (query.colour, query.colour_weight, len(query.all_parts)) == (None, 0.5, 1)


def test_the_former_name_of_the_setting_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPEL_COLOUR", "0")
    with pytest.raises(InputError, match="LAPEL_COLOUR is called LAPEL_COLOUR_WEIGHT now"):
        settings()


def test_colours_are_given_with_a_vector_only() -> None:
    with pytest.raises(QueryError, match="colours go with a vector"):
        Part(text="red", colours=read(garment(RGB["Red"]), None))
    with pytest.raises(QueryError, match="colours go with a vector"):
        Part(vector=direction(), colours="red")  # type: ignore[arg-type]


def test_an_answer_says_what_colours_it_understood(store: StoreContext) -> None:
    result = SearchEngine(store).search(Query(image=on_floor(garment(RGB["Blue"]))[0], k=3))
    assert result.understood.colours is not None
    assert result.understood.colours.colours[0].name == "blue"
    told = result_json(result)
    assert told["understood"][0]["colours"]["named"][0]["name"] == "blue"
    assert told["hits"][0]["adjustment"] == pytest.approx(result[0].adjustment, abs=1e-6)
    again = SearchEngine(store).search(result.understood.to_query(k=3))
    assert list(again) == list(result)
    assert "rerank" in result.timings


@pytest.mark.parametrize("sigma", [(0.5, 0.5, 0.5), (0.7, 0.7, 0.7), (2.0, 1.2, 1.2)])
def test_smoothing_is_a_gaussian_filter(sigma: tuple[float, float, float]) -> None:
    """The matrices give what scipy's filter gives, at the borders too, for one histogram and for several."""
    grids = np.random.default_rng(0).random((2, 3, *GRID)).astype(np.float32)
    wanted = ndimage.gaussian_filter(grids, (0, 0, *sigma), mode="constant", truncate=2.5).reshape(2, 3, -1)
    np.testing.assert_allclose(smoothed(grids.reshape(2, 3, -1), sigma), wanted, atol=2e-6)
    np.testing.assert_allclose(smoothed(grids[0, 0].ravel(), sigma), wanted[0, 0], atol=2e-6)
