"""Queries of words, colours and boxes: what is read, what is corrected, what is told; answers a person can see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageColor

from lapel import Filter, Hit, Part, Product, Query, Verdict
from lapel.catalog import Entry, PhotoEntry
from lapel.core.colour_names import _names, find_colour
from lapel.core.errors import InputError, QueryError
from lapel.core.synonyms import Synonyms, read_synonyms
from lapel.core.types import Condition, EmbeddedQuery, LookMix
from lapel.core.vectors import normalise
from lapel.core.words import tokens
from lapel.engine.asked_colours import resolve_colour
from lapel.engine.context import StoreContext, open_context
from lapel.engine.facets import FacetCounter, price_bands
from lapel.engine.features import PALETTE
from lapel.engine.look_mix import mixed
from lapel.engine.retrieval import SearchEngine
from lapel.engine.words import WordReader, edits_of

KINDS = {"Shirts": 0, "Sneakers": 1}
COLOURS = {"Red": (2, (200, 20, 30)), "Blue": (3, (30, 60, 190)), "Teal": (4, (0, 128, 128))}
EACH = 24


def look(kind: str, colour: str, lean: float = 0.0) -> np.ndarray:
    """What a product of this kind and colour looks like: one direction each, and a little of its own."""
    vector = np.zeros(128, np.float32)
    vector[KINDS[kind]], vector[COLOURS[colour][0]], vector[5] = 1, 0.5, lean
    return normalise(vector[None])[0]


def picture(colour: str) -> Image.Image:
    image = Image.new("RGB", (60, 80), "white")
    image.paste(COLOURS[colour][1], (10, 10, 50, 70))
    return image


def entry(name: str, kind: str, colour: str, lean: float, title: str = "") -> Entry:
    product = Product(
        name,
        title=title or f"{'Acme' if lean < 0.1 else 'Zenith'} Men {colour} {kind[:-1]} Model{name[-2:]}",
        brand="Acme" if lean < 0.1 else "Zenith",
        category=("Clothes", kind),
        colour=colour,
        gender="Men",
        price_minor=1000 + int(10_000 * lean),
        currency="EUR",
    )
    features = {PALETTE.key: PALETTE.of(picture(colour))}
    sha256 = f"{abs(hash(name)):064x}"[:64]
    photo = PhotoEntry(f"file:///{name}.jpg", "1", sha256, look(kind, colour, lean), features=features)  # type: ignore[arg-type]
    return Entry(product, (photo,))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterable[StoreContext]:
    with open_context(tmp_path_factory.mktemp("queries") / "shop", create=True, encoder="colour:") as store:
        store.claim()
        entries = [
            entry(f"{kind[:2]}{colour[:2]}{n:02}", kind, colour, 0.2 * n / EACH)
            for kind in KINDS
            for colour in COLOURS
            for n in range(EACH)
        ]
        store.catalog.write(entries, fingerprint=store.encoder.fingerprint)
        yield store


@pytest.fixture
def engine(store: StoreContext) -> SearchEngine:
    return SearchEngine(store)


def seen(hits: Sequence[Hit]) -> set[tuple[str, str]]:
    return {(hit.product.category[-1], hit.product.colour) for hit in hits}


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "read", "unknown"),
    [
        ("red sneakers", "red sneakers", ()),
        ("rde snekers", "red sneakers", ()),  # swapped, and left out
        ("reed shirrt", "red shirt", ()),  # doubled
        ("the same in red please", "red", ()),
        ("red zorblax", "red", ("zorblax",)),
        ("красная рубашка", "red shirt", ()),
        ("зорблакс shirt", "shirt", ("зорблакс",)),
        ("\x00red\x1b[31m", "red", ("31m",)),
    ],
)
def test_what_is_read(store: StoreContext, text: str, read: str, unknown: tuple[str, ...]) -> None:
    found = WordReader(store.catalog).read(text)
    assert (found.read, found.unknown) == (read, unknown)


def test_corrections_are_told(store: StoreContext) -> None:
    assert WordReader(store.catalog).read("snekers").corrected == (("snekers", "sneakers"),)


def test_what_the_model_knows_is_neither_corrected_nor_unknown(store: StoreContext) -> None:
    found = WordReader(store.catalog).read("Kobält shirt", frozenset({"kobalt"}))
    assert (found.read, found.corrected, found.unknown) == ("kobält shirt", (), ())  # the model reads it as written


def test_what_the_model_guesses_may_be_a_typing_error(store: StoreContext) -> None:
    """Guessed words that no product has: a frequent word one edit away is meant; else it is the model's, as is what is
    too short to tell, and what the model learned."""
    reader, guessed = WordReader(store.catalog), frozenset({"snekers", "gaiter", "rd"})
    found = reader.read("snekers gaiter rd", guessed, guessed)
    assert found.corrected == (("snekers", "sneakers"),)
    assert (found.read, found.unknown) == ("sneakers gaiter rd", ())
    assert reader.read("snekers", guessed).read == "snekers"


@pytest.mark.parametrize(
    "text",
    ["shirt für gaiter", "shirt fu\u0308r gaiter", "shirt pour gaiter", "gaiter MIT shirt", "shirt для gaiter"],
)
def test_fillers_of_other_languages_say_nothing(store: StoreContext, text: str) -> None:
    found = WordReader(store.catalog).read(text, frozenset({"gaiter"}))
    assert set(found.read.split()) == {"shirt", "gaiter"}
    assert found.unknown == ()


@pytest.fixture(scope="module")
def heels(tmp_path_factory: pytest.TempPathFactory) -> Iterable[WordReader]:
    with open_context(tmp_path_factory.mktemp("heels") / "shop", create=True, encoder="colour:") as store:
        store.claim()
        wanted = {"Black Heels": 40, "Blue Heels": 40, "Back Bags": 1, "Slack Bags": 1}
        entries = [
            entry(f"{title[:3]}{title[-3:]}{n}", "Sneakers", "Red", 0.0, title)
            for title, count in wanted.items()
            for n in range(count)
        ]
        store.catalog.write(entries, fingerprint=store.encoder.fingerprint)
        yield WordReader(store.catalog)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("back heels", "black heels"),  # a letter left out
        ("back bags", "back bags"),  # there are such
        ("slack heels", "slack heels"),  # another letter makes another word
        ("back", "back"),
    ],
)
def test_a_word_that_nothing_has_beside_the_others_may_be_a_typing_error_of_one(
    heels: WordReader, text: str, read: str
) -> None:
    known = frozenset(text.split())
    assert heels.read(text, known).read == read
    assert heels.read(text, known).unknown == ()


@pytest.fixture(scope="module")
def boutique(tmp_path_factory: pytest.TempPathFactory) -> Iterable[WordReader]:
    """Brands that are words of other languages, and a bath robe."""
    with open_context(tmp_path_factory.mktemp("boutique") / "shop", create=True, encoder="colour:") as store:
        store.claim()
        titles = [
            *("Red Dress", "Black Trousers", "Women Shoes", "Men Shoes", "Wrangler Donna Top", "Flores Shoes", "Robe"),
            *(
                "Handbag",
                "Main Draw Shoes",
                "Shirt",
                "Tshirt",
                "Slip On Shoes",
                "Rouge Lipstick",
                "Noir Dress",
                "Floral Skirt",
            ),
        ]
        entries = [entry(f"{n}", "Sneakers", "Red", 0.0, title) for n, title in enumerate(titles)]
        store.catalog.write(entries, fingerprint=store.encoder.fingerprint)
        yield WordReader(store.catalog)


@pytest.mark.parametrize(
    ("text", "read", "unknown"),
    [
        ("scarpe da donna", "shoes women", ()),
        ("Donna", "donna", ()),  # the brand
        ("donna top", "donna top", ()),
        ("vestido de flores", "dress floral", ()),
        ("robe rouge", "dress red", ()),
        ("robe", "robe", ()),
        ("red robe", "red robe", ()),
        ("pantalon noir", "trousers black", ()),
        ("sac à main", "handbag", ()),
        ("sacs", "handbag", ()),
        ("main draw", "main draw", ()),
        ("Weisses Shirt", "white tshirt", ()),
        ("white shirt", "white shirt", ()),
        ("slip dress", "slip dress", ()),
        ("赤いワンピース", "red dress", ()),
        ("红色的连衣裙", "red dress", ()),
        ("Herrenschuhe rot", "men shoes red", ()),
        ("Sommerkleid rot", "summer dress red", ()),
        ("Abendkleid", "dress", ("abend",)),
        ("Gürtel", "belt", ()),  # the model is asked for it in English
        ("kırmızı elbise", "red dress", ()),
    ],
)
def test_words_of_other_languages_are_read_as_what_the_catalogue_calls_them(
    boutique: WordReader, text: str, read: str, unknown: tuple[str, ...]
) -> None:
    known = frozenset({*tokens(text), "red", "white", "summer", "floral"} - {"赤いワンピース", "红色的连衣裙"})
    found = boutique.read(text, known - {"abend"})
    assert (found.read, found.unknown, found.corrected) == (read, unknown, ())


def test_what_was_translated_is_told_as_it_was_written(boutique: WordReader) -> None:
    told = (("sac à main", "handbag"), ("weiße", "white"))
    assert boutique.read("sac à main").synonyms == told[:1]
    assert boutique.read("Weiße Schuhe", frozenset({"weiße"})).synonyms == (told[1], ("schuhe", "shoes"))


def test_a_shop_in_another_language_keeps_its_words(tmp_path: Path) -> None:
    with open_context(tmp_path / "laden", create=True, encoder="colour:") as store:
        store.claim()
        titles = ["Kleid rot", "Hose schwarz", "Shirt rot", "Damen Schuhe"]
        entries = [entry(f"{n}", "Sneakers", "Blue", 0.0, title) for n, title in enumerate(titles)]
        store.catalog.write(entries, fingerprint=store.encoder.fingerprint)
        reader = WordReader(store.catalog)
        assert reader.read("Kleid rot").read == "kleid rot"
        assert reader.read("rotes Kleid").read == "rot kleid"
        assert reader.read("Damenschuhe").read == "damen schuhe"


def test_edits_are_all_within_one_error() -> None:
    near = edits_of("shirt", "abcdefghijklmnopqrstuvwxyz")
    assert {"shrt", "shiirt", "shart", "shitr"} <= near
    assert "shirt" not in near
    assert "shr" not in near  # two letters less


def test_other_words_for_the_same_thing_find_it(engine: SearchEngine) -> None:
    plain = [hit.product.id for hit in engine.search(Query(text="sneakers", k=10))]
    for word in ("trainers", "sports shoes", "sneaker"):
        assert [hit.product.id for hit in engine.search(Query(text=word, k=10))] == plain, word


def test_a_shop_adds_words_of_its_own(tmp_path: Path) -> None:
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        store.claim()
        store.catalog.write([entry("a", "Shirts", "Red", 0.0)], fingerprint=store.encoder.fingerprint)
        assert WordReader(store.catalog).read("zephyr").unknown == ("zephyr",)
        (store.folder / "synonyms.csv").write_text("# ours\nzephyr,shirt\n", "utf-8")
        found = WordReader(store.catalog).read("zephyr")
        assert (found.synonyms, found.unknown) == ((("zephyr", "shirt"),), ())


def test_a_line_of_one_word_is_told(tmp_path: Path) -> None:
    (tmp_path / "synonyms.csv").write_text("camisa\n", "utf-8")
    with pytest.raises(InputError, match=r"Line 1 .* holds one word: 'camisa'"):
        read_synonyms(tmp_path / "synonyms.csv")


def test_plurals_of_synonyms_need_not_be_told() -> None:
    assert Synonyms([["jumper", "sweater"]]).of(("jumpers",)) == (("sweater",),)


def test_texts_and_looks_are_fused(engine: SearchEngine) -> None:
    """A name that only a text has, and a description: the exact one first, the alike behind it."""
    result = engine.search(Query(text="Model07 red shirt", k=5))
    assert "Model07" in result[0].product.title
    assert seen(result) == {("Shirts", "Red")}
    totals = [hit.score + hit.adjustment for hit in result]
    assert totals == sorted(totals, reverse=True)


def test_words_that_are_asked_for_and_against_are_told(engine: SearchEngine) -> None:
    parts = (Part(vector=look("Shirts", "Red")), Part(text="sneakers"), Part(text="trainers", weight=-0.5))
    assert engine.search(Query(parts=parts[:2], k=1))
    with pytest.raises(QueryError, match="asks for 'sneakers' and against it"):
        engine.search(Query(parts=parts))


def test_what_has_unwanted_words_comes_last(engine: SearchEngine) -> None:
    parts = (Part(text="shirt"), Part(text="red", weight=-1.0))
    found = engine.search(Query(parts=parts, k=2 * EACH))
    assert "Red" not in {hit.product.colour for hit in found}


@pytest.mark.parametrize("text", ["", "  ", "\x00\x1b", "!?", "word " * 10_000])
def test_texts_that_are_no_search_are_told(text: str) -> None:
    with pytest.raises(QueryError, match="The text to look for"):
        Part(text=text)


def test_a_model_that_reads_words_is_asked(store: StoreContext, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def encode_text(_: Any, texts: list[str]) -> np.ndarray:
        asked.extend(texts)
        return np.stack([look("Shirts", "Blue")])

    encoder = type(store.encoder)
    monkeypatch.setattr(encoder, "has_text", True, raising=False)
    monkeypatch.setattr(encoder, "encode_text", encode_text, raising=False)
    monkeypatch.setattr(encoder, "known_words", lambda _, text: Known(tuple(text.split())), raising=False)
    result = SearchEngine(store).search(Query(text="Kobält Gaiter", k=3))
    assert asked == ["kobält gaiter"]
    assert seen(result) == {("Shirts", "Blue")}


class Known:
    """What a model says of words."""

    def __init__(self, understood: tuple[str, ...]) -> None:
        self.understood, self.guessed = understood, ()


# --- colours ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phrase", ["in red", "red", "the same in red", "but in red", "red please", "a red one"])
def test_the_same_in_another_colour(engine: SearchEngine, phrase: str) -> None:
    parts = (Part(vector=look("Sneakers", "Blue")), Part(text=phrase))
    assert seen(engine.search(Query(parts=parts, k=EACH))) == {("Sneakers", "Red")}


def test_a_colour_beside_a_product_takes_the_place_of_its_own(engine: SearchEngine) -> None:
    result = engine.search(Query(product_id="ShBl03", colour="red", k=10))
    assert seen(result) == {("Shirts", "Red")}
    assert result.understood.parts[1].asked[0].names == ("Red",)
    for hit in result:
        assert sum(hit.contributions) == pytest.approx(hit.score, abs=1e-5)


def test_a_colour_alone(engine: SearchEngine) -> None:
    assert {colour for _, colour in seen(engine.search(Query(colour="teal", k=10)))} == {"Teal"}


def test_the_nearest_name_is_told(engine: SearchEngine) -> None:
    result = engine.search(Query(colour="crimson", k=5))
    assert result.understood.parts[0].note == "the colour 'crimson' (#dc143c), here 'Red'"
    assert {colour for _, colour in seen(result)} == {"Red"}


def test_a_colour_picked_by_eye(engine: SearchEngine) -> None:
    result = engine.search(Query(product_id="ShBl03", colour="#c8141e", k=10))
    assert seen(result) == {("Shirts", "Red")}


def test_a_colour_more_vivid_than_any_product_is_read_as_the_nearest(tmp_path: Path) -> None:
    """Of colours that no palette has, and of those that many names share, the store's nearest is meant."""
    muted = {
        "Brown": (110, 80, 60), "Olive": (100, 100, 60), "Navy": (40, 50, 80), "Maroon": (100, 40, 50),
        "Grey": (130, 130, 130), "Beige": (190, 180, 160), "Purple": (100, 70, 110), "Green": (70, 110, 80),
    }  # fmt: skip
    with open_context(tmp_path / "muted", create=True, encoder="colour:") as store:
        store.claim()
        entries = []
        for colour, rgb in muted.items():
            image = Image.new("RGB", (60, 80), "white")
            image.paste(rgb, (10, 10, 50, 70))
            features = {PALETTE.key: PALETTE.of(image)}
            for n in range(EACH):
                made = entry(f"{colour}{n}", "Shirts", "Red", 0.0)
                photo = replace(made.photos[0], features=features)
                entries.append(replace(made, product=replace(made.product, colour=colour), photos=(photo,)))
        store.catalog.write(entries, fingerprint=store.encoder.fingerprint)
        table = SearchEngine(store).look.table(store.current().version.generation)
        for picked, name in {"#00ff00": "Green", "#ff00ff": "Purple", "#808080": "Grey"}.items():
            assert resolve_colour(picked, table, Synonyms([])).names == (name,)


def test_colours_that_nobody_knows_are_told(engine: SearchEngine) -> None:
    with pytest.raises(QueryError, match=r"'burgandy' is no colour that is known here. Did you mean burgundy"):
        engine.search(Query(colour="burgandy"))
    with pytest.raises(QueryError, match=r"A colour is a name or #rrggbb"):
        Part(colour="  ")


def test_names_of_several_words() -> None:
    known = {name: find_colour(name) for name in ("Navy Blue", "navy-blue", "NAVY")}
    assert len({each.rgb for each in known.values() if each}) == 1
    assert find_colour("zorblax") is None


# --- boxes ------------------------------------------------------------------------------------------------------------


def two() -> Image.Image:
    image = Image.new("RGB", (120, 80), "white")
    image.paste(picture("Red"), (0, 0))
    image.paste(picture("Blue"), (60, 0))
    return image


@pytest.mark.parametrize("box", [(60, 0, 120, 80), (0.5, 0, 1, 1)])
def test_a_box_is_all_that_counts(engine: SearchEngine, box: tuple[float, ...]) -> None:
    own = engine.vector(Query(image=picture("Blue")))
    assert engine.vector(Query(image=two(), box=box)) == pytest.approx(own, abs=1e-6)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("box", "told"),
    [
        ((60, 0, 300, 80), "does not lie within the picture, which has 120 x 80 pixels"),
        ((-40, 0, 20, 80), "does not lie within the picture"),
        ((60, 0, 60, 80), "encloses nothing"),
        ((60, 0, 62, 80), "has 2 x 80 pixels"),
        ((1, 2, 3), "A box is four numbers"),
        ("abcd", "A box is four numbers"),
    ],
)
def test_boxes_that_are_none_are_told(box: Any, told: str) -> None:
    with pytest.raises(QueryError, match=told):
        Query(image=two(), box=box)


def test_a_box_needs_an_image() -> None:
    with pytest.raises(QueryError, match="A box goes with an image"):
        Part(text="red", box=(0, 0, 1, 1))


# --- lists ------------------------------------------------------------------------------------------------------------


def test_the_same_photo_comes_once_and_says_whose_it_is(tmp_path: Path) -> None:
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        store.claim()
        photos = [PhotoEntry(f"file:///{name}.jpg", "1", "a" * 64, look("Shirts", "Red")) for name in "ab"]
        entries = [Entry(Product(name), (photo,)) for name, photo in zip("ab", photos, strict=True)]
        store.catalog.write(entries, fingerprint=store.encoder.fingerprint)
        result = SearchEngine(store).search(Query(vector=look("Shirts", "Red"), k=5))
        assert [(hit.product.id, hit.others) for hit in result] == [("a", ("b",))]


def test_variants_come_together(tmp_path: Path) -> None:
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        store.claim()
        titles = {"a": "Polo Red", "b": "Polo Blue", "c": "Vest Red"}
        entries = [entry(n, "Shirts", t.split()[1], 0.0, t) for n, t in titles.items()]
        store.catalog.write(entries, fingerprint=store.encoder.fingerprint)
        result = SearchEngine(store).search(Query(vector=look("Shirts", "Red"), k=5, group="variants"))
        assert [(hit.product.id, hit.others) for hit in result] == [("a", ("b",)), ("c", ())]


def test_not_more_than_some_of_one_brand(engine: SearchEngine) -> None:
    result = engine.search(Query(vector=look("Shirts", "Red"), k=4, max_per="brand:2"))
    assert sorted(hit.product.brand for hit in result) == ["Acme", "Acme", "Zenith", "Zenith"]
    with pytest.raises(QueryError, match="max_per is a field and how many"):
        Query(text="red", max_per="brand")


def test_diversity_takes_what_is_unlike_what_is_there(tmp_path: Path) -> None:
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        store.claim()
        leans = {"a": 0.0, "b": 0.01, "far": 0.6}
        entries = [entry(name, "Shirts", "Red", lean) for name, lean in leans.items()]
        store.catalog.write(entries, fingerprint=store.encoder.fingerprint)
        engine, query = SearchEngine(store), Query(vector=look("Shirts", "Red"), k=2)
        assert [hit.product.id for hit in engine.search(query)] == ["a", "b"]
        diverse = Query(vector=look("Shirts", "Red"), k=2, diversity=0.6)
        assert [hit.product.id for hit in engine.search(diverse)] == ["a", "far"]


def test_pages_of_a_diverse_answer_fit_together(engine: SearchEngine) -> None:
    """What stands at a rank does not depend on how many are asked for, so none comes twice and none is passed over."""
    whole = engine.search(Query(vector=look("Shirts", "Red"), k=30, diversity=0.5))
    for k in (1, 5, 10, 20):
        some = engine.search(Query(vector=look("Shirts", "Red"), k=k, diversity=0.5))
        assert list(some) == list(whole)[:k]


@pytest.mark.parametrize("query", [Query(text="red", least="same kind"), Query(colour="red", least="same product")])
def test_a_verdict_that_cannot_be_told_is_no_cut_off(engine: SearchEngine, query: Query) -> None:
    """Nothing is known to be close, which is not the same as that there is nothing close."""
    with pytest.raises(QueryError, match="cannot be told: this query, or this model, has no verdicts"):
        engine.search(query)
    assert engine.search(replace(query, least="nothing close"))


def test_what_is_unlike_a_kind_is_of_the_kinds_beside_it(tmp_path: Path) -> None:
    """Black heels, but no heels, are other black shoes, and not whatever else is black."""
    kinds = {"Heels": ("Shoes", (0, 1)), "Flats": ("Shoes", (0, 2)), "Sunglasses": ("Eyewear", (3,))}
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        store.claim()
        entries = []
        for kind, (section, places) in kinds.items():
            for colour, place in (("Black", 6), ("Red", 7)):
                vector = np.zeros(128, np.float32)
                vector[list(places)], vector[place] = 1, 0.7
                product = Product(f"{colour} {kind}", colour=colour, category=("All", section, kind), gender="Women")
                photo = PhotoEntry(f"file:///{product.id}.jpg", "1", f"{len(entries):064x}", normalise(vector[None])[0])
                entries.append(Entry(product, (photo,)))
        store.catalog.write(entries, fingerprint=store.encoder.fingerprint)
        parts = (Part(product_id="Black Heels"), Part(text="heels", weight=-1.0))
        assert SearchEngine(store).search(Query(parts=parts, k=2))[0].product.id == "Black Flats"


# --- facets -----------------------------------------------------------------------------------------------------------


def test_a_facet_counted_while_products_come_is_counted_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another thread had begun to count before the change is not kept after it."""
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        store.claim()

        def add(name: str) -> None:
            product = Product(name, colour="Red")
            store.catalog.write([Entry(product, ())], fingerprint=store.encoder.fingerprint)

        add("first")
        counter, links = FacetCounter(store.catalog), store.catalog.facet_links

        def slowly(name: str) -> object:
            found = links(name)
            monkeypatch.undo()
            add("second")
            counter.count(("brand",), Filter())  # another's question, which sees the change first
            return found

        monkeypatch.setattr(store.catalog, "facet_links", slowly)
        counter.count(("colour",), Filter())
        assert counter.count(("colour",), Filter()) == {"colour": (("Red", 2),)}


def test_facets_are_what_counting_by_hand_gives(store: StoreContext) -> None:
    """Random filters, against every product looked at."""
    products, random = store.catalog.products(limit=1000), np.random.default_rng(0)
    counter, fields = FacetCounter(store.catalog), ("colour", "brand", "category", "gender")
    for _ in range(40):
        name = str(random.choice(["colour", "brand"]))
        values = tuple(map(str, random.choice(["Red", "Blue", "Teal", "Acme", "Zenith"], 2, replace=False)))
        prices = [Condition("price", "<", ("15.5 EUR",)), Condition("currency", "=", ("EUR",))][
            : int(random.integers(3))
        ]
        where = Filter((Condition(name, str(random.choice(["=", "!="])), values), *prices))
        passing = [
            product
            for product in products
            if bool(set(values) & set(product.facets()[name])) == (where.conditions[0].operator == "=")
            and (not prices or int(product.price_minor or 0) < 1550)
        ]
        for field, counts in counter.count(fields, where).items():
            by_hand: dict[str, int] = {}
            for product in passing:
                for value in product.facets()[field]:
                    by_hand[value] = by_hand.get(value, 0) + 1
            assert dict(counts) == by_hand, (field, where)


def test_facets_obey_the_cut_off(engine: SearchEngine) -> None:
    vector = look("Shirts", "Red")
    every = engine.search(Query(vector=vector, k=200, facets=("colour", "category")))
    least = 0.9
    reaching = [hit for hit in every if hit.score >= least]
    assert 0 < len(reaching) < len(every)
    cut = engine.search(Query(vector=vector, k=1, least=least, facets=("colour",)))
    by_hand = {colour: sum(hit.product.colour == colour for hit in reaching) for _, colour in seen(reaching)}
    assert dict(cut.facets["colour"]) == by_hand


def test_all_useful_facets(engine: SearchEngine) -> None:
    found = engine.search(Query(text="shirt", k=1, facets=True)).facets
    assert {"colour", "brand", "category", "price"} <= set(found)
    assert sum(count for _, count in found["price"]) == len(KINDS) * len(COLOURS) * EACH


def test_bands_of_prices_hold_every_price_once() -> None:
    amounts = [1.0, 2.0, 2.0, 3.5, 9.99, 10.0, 11.0, 500.0]
    field = price_bands([(row, "EUR", amount) for row, amount in enumerate(sorted(amounts))])
    counts = field.count(np.ones(len(amounts), bool))
    assert sum(count for _, count in counts) == len(amounts)
    assert counts[0][0].startswith("under ")
    assert counts[-1][0].endswith(" EUR and more")


def test_contradictory_filters_are_an_empty_answer(engine: SearchEngine) -> None:
    where = Filter.parse(["colour=Red", "colour=Blue"])
    result = engine.search(Query(text="shirt", where=where, facets=("colour",)))
    assert (len(result), result.verdict, result.facets["colour"]) == (0, Verdict.NOTHING_PASSES, ())


def test_weights_that_cancel_are_told(engine: SearchEngine) -> None:
    parts = (Part(product_id="ShRe00"), Part(product_id="ShRe00", weight=-1.0))
    with pytest.raises(QueryError, match="cancel each other out"):
        engine.search(Query(parts=parts))


def test_colours_are_known_whatever_pillow_was_asked_for_before() -> None:
    """Pillow keeps the tuple of a name that it has looked up in the table of names."""
    ImageColor.getrgb("teal")
    _names.cache_clear()
    found = find_colour("teal")
    assert found is not None
    assert found.rgb == "#008080"


# --- shape, colour, pattern -------------------------------------------------------------------------------------------


def test_a_look_is_read_from_words_and_mappings() -> None:
    """And says what is wrong with it."""
    assert Query(text="shirt", look="colour=2, pattern=0").look == LookMix(1, 2, 0)
    assert Query(text="shirt", look={"shape": 0.5}).look == LookMix(0.5)
    assert Query(text="shirt", look={"shape": 1}).look is None  # as usual
    for wrong in ("color=2", "colour", "colour=much", {"colour": 5}, "shape=0,colour=0,pattern=0", 3, "colour=nan"):
        with pytest.raises(QueryError, match=r"look"):
            Query(text="shirt", look=wrong)  # type: ignore[arg-type]


def test_colour_counts_as_much_as_is_asked_for(engine: SearchEngine) -> None:
    """A red shirt finds sneakers in red when the shape counts nothing, and any shirt when the colour does."""

    def kinds_and_colours(weights: str) -> list[tuple[str, str]]:
        hits = engine.search(Query(product_id="ShRe00", k=40, look=weights))
        return [(hit.product.category[-1], hit.product.colour) for hit in hits]

    assert {colour for _, colour in kinds_and_colours("shape=0,colour=1,pattern=0")} == {"Red"}
    assert {kind for kind, _ in kinds_and_colours("shape=0,colour=1,pattern=0")} == set(KINDS)
    assert {kind for kind, _ in kinds_and_colours("colour=0")} == {"Shirts"}
    assert len({colour for _, colour in kinds_and_colours("colour=0")}) > 1


def test_what_vectors_do_not_tell_apart_cannot_count(engine: SearchEngine) -> None:
    """This store's model has no probe of patterns."""
    with pytest.raises(QueryError, match="do not tell pattern apart"):
        engine.search(Query(product_id="ShRe00", look="pattern=2"))


def test_a_query_that_was_read_is_asked_again_with_its_words(engine: SearchEngine) -> None:
    """Words and colours order an answer beside its vector."""
    for query in (
        Query(text="Acme red shirt Model03", k=20),
        Query(colour="teal", k=20),
        Query(parts=(Part(product_id="ShRe00"), Part(text="in blue")), k=20),
    ):
        found = engine.search(query)
        again = engine.search(found.understood.to_query(k=20))
        assert [hit.product.id for hit in again] == [hit.product.id for hit in found]


def test_weights_are_a_linear_map_and_need_something_left() -> None:
    """Colour, pattern and the rest add up to the vector; directions follow."""
    colour, pattern = np.eye(4, dtype=np.float32)[:1], np.eye(4, dtype=np.float32)[1:2]
    vector = normalise(np.array([[3, 2, 1, 1]], np.float32))[0]
    read = EmbeddedQuery(vector, "", (), vector[None], frozenset())
    found = mixed(read, LookMix(0, 2, 1), colour, pattern)
    assert np.allclose(found.vector, normalise(np.array([[6, 2, 0, 0]], np.float32))[0])
    assert np.allclose(found.directions[0], found.vector)
    with pytest.raises(QueryError, match="Nothing is left"):
        mixed(replace(read, vector=colour[0], directions=colour), LookMix(1, 0, 1), colour, pattern)


def test_for_women_finds_what_is_for_women(tmp_path: Path) -> None:
    """Words that only say for whom take the place of for whom it is, whatever the titles say."""
    entries = []
    for number in range(40):
        women = number % 2
        vector = np.zeros(128, np.float32)
        vector[0], vector[1 + women], vector[6 + number] = 1.0, 0.6, 0.1
        product = Product(
            f"{number:02}", title=f"Polo {number}", category=("Clothes", "Polos"), gender=("Men", "Women")[women]
        )
        photo = PhotoEntry(f"file:///{number}.jpg", "1", f"{number:064}", normalise(vector[None])[0])
        entries.append(Entry(product, (photo,)))
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        store.claim()
        store.catalog.write(entries, fingerprint=store.encoder.fingerprint)
        engine = SearchEngine(store)
        for words, other in (("for women", "Women"), ("women", "Women"), ("for men", "Men")):
            asked = "00" if other == "Women" else "01"
            result = engine.search(Query(parts=(Part(product_id=asked), Part(text=words)), k=8))
            assert {hit.product.gender for hit in result} == {other}
            assert result.understood.parts[1].people == (other,)
