"""Retrieval in stages: queries of weighted parts, groups, cut-offs, facets, batches; answers a person can see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lapel import Filter, Hit, Part, Product, Query, Verdict
from lapel.catalog import Entry, PhotoEntry
from lapel.core.errors import InputError, QueryError
from lapel.core.types import EmbeddedQuery
from lapel.encoders import colour, segmenter
from lapel.engine.context import StoreContext, open_context
from lapel.engine.retrieval import RERANKED, SearchEngine
from test_store import corner, fill


@pytest.fixture
def store(tmp_path: Path) -> Iterable[StoreContext]:
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        fill(store)
        yield store


def ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.product.id for hit in hits]


# --- parts ------------------------------------------------------------------------------------------------------------


def test_parts_are_a_weighted_mean(store: StoreContext) -> None:
    """Half way between straight ahead and up lies what is between them."""
    fill(store, {"between": [corner(1, 1)]})
    parts = (Part(vector=corner(1)), Part(vector=corner(0, 1)))
    result = SearchEngine(store).search(Query(parts=parts, k=1))
    assert (ids(result), round(result[0].score, 5)) == (["between"], 1.0)
    heavy = SearchEngine(store).search(Query(parts=(replace(parts[0], weight=5.0), parts[1]), k=1))
    assert ids(heavy) == ["cup"]  # (5, 1) is nearest to (1, 0.2)


def test_what_weighs_below_nothing_is_kept_away(store: StoreContext) -> None:
    fill(store, {"plain": [corner(1, 0, 0.5)], "striped": [corner(1, 0.5, 0.5)]})
    ahead, stripes = Part(vector=corner(1, 0.25, 0.5)), Part(vector=corner(0, 1), weight=-0.2)
    assert ids(SearchEngine(store).search(Query(parts=(ahead, stripes), k=2))) == ["plain", "striped"]


def test_parts_add_up_to_the_score(store: StoreContext) -> None:
    parts = (Part(vector=corner(1)), Part(vector=corner(0, 1), weight=0.3), Part(product_id="hat", weight=-0.5))
    for hit in SearchEngine(store).search(Query(parts=parts, k=5)):
        assert len(hit.contributions) == 3
        assert sum(hit.contributions) == pytest.approx(hit.score, abs=1e-5)
    assert SearchEngine(store).search(Query(vector=corner(1), k=1))[0].contributions == ()


def test_products_among_the_parts_are_left_out(store: StoreContext) -> None:
    parts = (Part(product_id="mug"), Part(product_id="jar"))
    assert ids(SearchEngine(store).search(Query(parts=parts, k=5))) == ["cup", "tee", "hat"]


def test_parts_that_cancel_each_other_out_are_told(store: StoreContext) -> None:
    parts = (Part(vector=corner(1)), Part(vector=corner(1), weight=-1))
    with pytest.raises(QueryError, match="cancel each other out"):
        SearchEngine(store).search(Query(parts=parts))


@pytest.mark.parametrize("weight", [0, True, "1", float("nan"), float("inf"), None])
def test_a_weight_is_a_number(weight: Any) -> None:
    with pytest.raises(QueryError, match="weight is a number other than 0"):
        Part(text="red", weight=weight)


@pytest.mark.parametrize("text", ["", "   ", 7])
def test_words_are_a_text(text: Any) -> None:
    with pytest.raises(QueryError, match="text"):
        Part(text=text)


def test_words_stand_for_the_look_of_what_has_them(store: StoreContext) -> None:
    """What looks like the blue ones is found too, though no text of it says so."""
    fill(store, {"nameless": [corner(1, 0.3)]})
    result = SearchEngine(store).search(Query(text="Blue", k=5))
    assert "the mean of 4 products" in result.understood.parts[0].note
    assert set(ids(result)[:4]) == {"mug", "cup", "jar", "nameless"}


def test_an_id_among_words_comes_first(store: StoreContext) -> None:
    result = SearchEngine(store).search(Query(text="hat", k=2))
    assert (ids(result)[0], result.understood.parts[0].note) == ("hat", "the product hat")


def test_words_that_nobody_understands_are_told(store: StoreContext) -> None:
    result = SearchEngine(store).search(Query(text="zorblax"))
    assert (len(result), result.verdict) == (0, Verdict.NOT_UNDERSTOOD)
    assert result.understood.parts[0].note == "not understood: 'zorblax'"
    some = SearchEngine(store).search(Query(text="blue zorblax", k=3))
    assert some.verdict is Verdict.FOUND
    assert some.understood.parts[0].words.unknown == ("zorblax",)


# --- many at once -----------------------------------------------------------------------------------------------------


def test_queries_together_get_what_each_gets_alone(store: StoreContext) -> None:
    """Vectors, products, mixtures, groups and exclusions in one batch, with different k and filters."""
    fill(store, {f"mug{n}": [corner(1, 0.01 * n), corner(1, 0, 0.01 * n)] for n in range(30)})
    queries = [
        Query(vector=corner(1), k=3),
        Query(product_id="mug7", k=5),
        Query(product_id="mug3", k=2, exclude=frozenset({"mug4", "mug2"})),
        Query(product_id="mug3", vector=corner(0, 1), k=4),
        Query(vector=corner(1), k=9, group="colour"),
        Query(product_id="mug7", k=50),
        Query(vector=corner(0, 0, 1), k=4, where=Filter.parse(["colour=Blue"])),
    ]
    alone = [SearchEngine(store).search(query) for query in queries]
    together = SearchEngine(store).search_many(queries)
    for one, other in zip(alone, together, strict=True):
        assert [(hit.rank, hit.product, hit.photo) for hit in one] == [
            (hit.rank, hit.product, hit.photo) for hit in other
        ]
        assert [hit.score for hit in one] == pytest.approx([hit.score for hit in other], abs=1e-6)
        assert (one.total, one.verdict, one.nearest) == (other.total, other.verdict, pytest.approx(other.nearest))


def test_a_product_stands_for_the_mean_of_its_photos(store: StoreContext) -> None:
    fill(store, {"pair": [corner(1), corner(0, 1)], "middle": [corner(1, 1)]})
    result = SearchEngine(store).search(Query(product_id="pair", k=1))
    assert (ids(result), round(result[0].score, 5)) == (["middle"], 1.0)
    np.testing.assert_allclose(result.understood.vector, corner(1, 1), atol=1e-6)
    for wrong in ("nobody", ""):
        with pytest.raises(QueryError, match=f"no product '{wrong}'"):
            SearchEngine(store).search_many([Query(product_id="pair"), Query(product_id=wrong)])


@pytest.mark.parametrize("length", [0.9, 1.1, 0.0, float("nan")])
def test_a_vector_of_another_length_is_told(store: StoreContext, length: float) -> None:
    with pytest.raises(InputError, match="Unit vectors are needed"):
        SearchEngine(store).search(Query(vector=corner(1) * np.float32(length)))


def test_what_another_process_wrote_is_in_the_next_answer(store: StoreContext) -> None:
    """Added, renamed and removed, whatever this one kept in memory."""
    engine, query = SearchEngine(store), Query(vector=corner(1, 0, 3), k=1)
    before = engine.search(query)
    with open_context(store.folder, encoder="colour:") as other:
        entry = Entry(Product("new"), (PhotoEntry("file:///new.jpg", "1", "00", corner(1, 0, 3)),))
        other.catalog.write([entry], fingerprint=store.encoder.fingerprint)
        assert ids(engine.search(query)) == ["new"]
        other.catalog.write([replace(entry, product=Product("new", "Renamed"))], fingerprint=store.encoder.fingerprint)
        assert engine.search(query)[0].product.title == "Renamed"
        other.catalog.remove(["new"])
    assert engine.search(query) == before


# --- group, least, facets ---------------------------------------------------------------------------------------------


def test_each_value_of_a_field_comes_once(store: StoreContext) -> None:
    engine = SearchEngine(store)
    assert ids(engine.search(Query(vector=corner(1), k=5, group="colour"))) == ["mug", "tee"]
    assert ids(engine.search(Query(vector=corner(1), k=5, group="COLOUR"))) == ["mug", "tee"]
    with pytest.raises(QueryError, match=r"no field 'cut' to group by. There are: .*colour"):
        engine.search(Query(vector=corner(1), group="cut"))


def test_what_has_no_value_stands_for_itself(store: StoreContext) -> None:
    entries = [
        Entry(Product(name), (PhotoEntry(f"file:///{name}.jpg", "1", "00", corner(1, 0.01)),)) for name in ("a", "b")
    ]
    store.catalog.write(entries, fingerprint=store.encoder.fingerprint)
    found = ids(SearchEngine(store).search(Query(vector=corner(1), k=9, group="colour")))
    assert sorted(found) == ["a", "b", "mug", "tee"]


def test_k_groups_are_found_behind_many_of_one(tmp_path: Path) -> None:
    with open_context(tmp_path / "shop", create=True, encoder="colour:") as store:
        fill(store, {f"mug{n}": [corner(1, 0.001 * n)] for n in range(200)} | {"tee": [corner(0, 1)]})
        assert ids(SearchEngine(store).search(Query(vector=corner(1), k=2, group="colour"))) == ["mug0", "tee"]


def test_a_cut_off_may_leave_nothing(store: StoreContext) -> None:
    engine = SearchEngine(store)
    some = engine.search(Query(vector=corner(1), k=5, least=0.9))
    assert (ids(some), some.verdict, some.total) == (["mug", "tee", "cup"], Verdict.FOUND, 5)
    none = engine.search(Query(vector=corner(-1), k=5, least=0.5))
    assert (list(none), none.verdict, none.total) == ([], Verdict.NOTHING_CLOSE, 5)
    with pytest.raises(QueryError, match="least is a score from -1 to 1"):
        Query(vector=corner(1), least=2)


def test_an_empty_answer_says_why(store: StoreContext, tmp_path: Path) -> None:
    none = SearchEngine(store).search(Query(vector=corner(1), where=Filter.parse(["colour=Green"])))
    assert (len(none), none.verdict, none.total) == (0, Verdict.NOTHING_PASSES, 0)
    with open_context(tmp_path / "new", create=True, encoder="colour:") as empty:
        assert SearchEngine(empty).search(Query(vector=corner(1))).verdict == Verdict.EMPTY


def test_facets_count_what_passes_the_filter(store: StoreContext) -> None:
    result = SearchEngine(store).search(Query(vector=corner(1), k=1, facets=("colour",)))
    assert result.facets == {"colour": (("Blue", 3), ("Red", 2))}
    where = Filter.parse(["colour=Red"])
    assert SearchEngine(store).search(Query(vector=corner(1), where=where, facets=("colour",))).facets == {
        "colour": (("Red", 2),)
    }


# --- stages -----------------------------------------------------------------------------------------------------------


def test_a_reranker_is_given_more_and_has_the_last_word(store: StoreContext) -> None:
    seen: list[int] = []

    def backwards(_: EmbeddedQuery, hits: Sequence[Hit]) -> Sequence[Hit]:
        seen.append(len(hits))
        return list(reversed(hits))

    fill(store, {f"far{n}": [corner(0.1, 1, n)] for n in range(20)})
    result = SearchEngine(store, rerank=backwards).search(Query(vector=corner(1), k=2))
    assert seen == [2 * RERANKED]
    assert [hit.rank for hit in result] == [1, 2]
    assert ids(result)[0] not in ("mug", "tee")


def test_stages_are_timed(store: StoreContext) -> None:
    result = SearchEngine(store).search(Query(vector=corner(1)))
    assert {"embed", "retrieve", "group", "calibrate"} <= set(result.timings)
    assert result.took_ms == pytest.approx(sum(result.timings.values()))


def test_a_result_is_a_sequence(store: StoreContext) -> None:
    result = SearchEngine(store).search(Query(vector=corner(1), k=3))
    assert (len(result), ids(result[:2]), ids(list(result))) == (3, ["mug", "tee"], ["mug", "tee", "cup"])
    assert result == list(result)
    assert result != []


def test_many_at_once_are_answered_like_one_by_one(store: StoreContext) -> None:
    engine, red = SearchEngine(store), Filter.parse(["colour=Red"])
    queries = [
        Query(vector=corner(1), k=2),
        Query(product_id="mug", k=3),
        Query(image=Image.new("RGB", (60, 80), (200, 30, 30)), k=5),
        Query(vector=corner(0, 1), k=1, where=red),
        Query(image=Image.new("RGB", (60, 80), (20, 30, 200)), segment=False, where=red),
        Query(parts=(Part(vector=corner(1)), Part(vector=corner(0, 1))), k=2),
    ]
    together = engine.search_many(queries)
    assert [ids(result) for result in together] == [ids(engine.search(query)) for query in queries]
    for mine, alone in zip(together, [engine.search(query) for query in queries], strict=True):
        assert [hit.score for hit in mine] == pytest.approx([hit.score for hit in alone], abs=1e-5)
    assert engine.search_many([]) == []


class CountingSegmenter:
    """Finds a blue product in everything, and counts how often it is asked."""

    calls = 0

    def cut_out(
        self, images: Iterable[Image.Image], *, shape: Any, on_white: Any = None
    ) -> list[segmenter.CutOut | None]:
        type(self).calls += 1
        product = Image.new("RGB", (shape.width, shape.height), (0, 0, 200))
        return [segmenter.CutOut(product, (0.0, 0.0, 1.0, 1.0)) for _ in images]


def test_an_image_is_encoded_once(store: StoreContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole and product in one batch, one mask; asking again with the answer's own vector encodes nothing."""
    batches: list[int] = []
    encode = colour.ColourEncoder.encode_pixels

    def counted(self: colour.ColourEncoder, pixels: np.ndarray) -> np.ndarray:
        batches.append(len(pixels))
        return encode(self, pixels)

    monkeypatch.setattr(colour.ColourEncoder, "encode_pixels", counted)
    monkeypatch.setattr(segmenter, "open_segmenter", CountingSegmenter)
    CountingSegmenter.calls = 0
    engine = SearchEngine(store)
    result = engine.search(Query(image=Image.new("RGB", (60, 80), (200, 30, 30)), k=3, facets=("colour",)))
    assert (sum(batches), CountingSegmenter.calls) == (2, 1)
    part = result.understood.parts[0]
    assert part.segmented is not None
    assert part.product is not None
    mean = (part.whole + part.product) / np.linalg.norm(part.whole + part.product)
    assert result.understood.vector == pytest.approx(mean, abs=1e-6)
    again = engine.search(result.understood.to_query(k=3))
    assert ids(again) == ids(result)
    assert (sum(batches), CountingSegmenter.calls) == (2, 1)
