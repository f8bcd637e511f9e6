"""The public object: what a program does with a store, end to end, on real image files."""

from __future__ import annotations

import io
import re
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lapel
from lapel.core.errors import ImageError, LapelError, QueryError, SourceError, StoreNotFoundError, StoreReadOnlyError

COLOURS = {"red": (200, 30, 30), "blue": (20, 40, 200), "green": (20, 150, 50), "white": (240, 240, 240)}


def save(path: Path, colour: tuple[int, int, int]) -> None:
    """A block of one colour on white."""
    image = Image.new("RGB", (120, 160), "white")
    image.paste(Image.new("RGB", (80, 120), colour), (20, 20))
    image.save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, colour in COLOURS.items():
        save(folder / f"{name}.png", colour)
    (folder / "products.csv").write_text(
        "id,title,colour,price,currency,pictures\n"
        "red,Red saree,Red,10,EUR,red.png\nblue,Blue shirt,Blue,20,EUR,blue.png\n"
        "green,Multi coloured scarf,Green,30,EUR,green.png\nwhite,White shirt,White,40,EUR,white.png\n",
        encoding="utf-8",
    )
    return folder


@pytest.fixture
def store(tmp_path: Path, photos: Path) -> Iterable[lapel.Store]:
    with lapel.open_store(tmp_path / "shop", create=True, encoder="colour:") as store:
        store.add(photos / "products.csv")
        yield store


def ids(result: Iterable[lapel.Hit]) -> list[str]:
    return [hit.product.id for hit in result]


def test_adding_says_what_became_of_everything(tmp_path: Path, photos: Path) -> None:
    (photos / "broken.png").write_bytes(b"no picture")
    told: list[tuple[int, int | None]] = []
    with lapel.open_store(tmp_path / "shop", create=True, encoder="colour:") as store:
        report = store.add(photos, progress=lambda done, total: told.append((done, total)))
        assert report.counts.adds_up
        assert (report.counts.products_added, report.counts.photos_rejected, report.nothing_added) == (4, 1, False)
        assert [(each.kind, each.count) for each in report.skipped] == [("tables", 1)]
        assert told[-1] == (5, 5)
        again = store.add(photos)
        assert (again.counts.products_added, again.counts.products_unchanged) == (0, 4)


def test_syncing_hides_what_the_table_no_longer_names(store: lapel.Store, photos: Path) -> None:
    table = photos / "products.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    table.write_text("\n".join(lines[:4]), encoding="utf-8")
    report = store.sync(table)
    assert (report.delisted, report.relisted, store.info().delisted) == (1, 0, 1)
    assert "white" not in ids(store.search(product_id="red", k=9))
    table.write_text("\n".join(lines), encoding="utf-8")
    assert store.sync(table).relisted == 1
    assert store.remove(["white", "nobody"]).missing == ("nobody",)
    assert store.count() == 3


@pytest.mark.parametrize("kind", ["path", "text", "bytes", "pil", "array", "query"])
def test_an_image_of_any_kind_is_searched(store: lapel.Store, photos: Path, kind: str) -> None:
    path = photos / "red.png"
    image = Image.open(path).convert("RGB")
    given: dict[str, Any] = {
        "path": {"image": path},
        "text": {"image": str(path)},
        "bytes": {"image": path.read_bytes()},
        "pil": {"image": image},
        "array": {"image": np.asarray(image)},
        "query": {"query": lapel.Query(image=path, k=2)},
    }
    result = store.search(**given[kind], **({} if kind == "query" else {"k": 2}))
    assert (ids(result)[0], round(result[0].score, 4), len(result)) == ("red", 1.0, 2)


def test_filters_are_texts_or_a_filter(store: lapel.Store) -> None:
    for where in (["price<25"], "price<25", lapel.Filter.parse(["price<25"]), ("price<25",)):
        assert sorted(ids(store.search(product_id="white", where=where))) == ["blue", "red"]
    for wrong in (7, [7], {"price": 25}, None):
        with pytest.raises(QueryError, match="A filter is texts such as"):
            store.search(product_id="white", where=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "found none"),
        ({"image": 7}, "A query's image is"),
        ({"image": Path("nowhere.jpg")}, "nowhere.jpg"),
        ({"text": 7}, "Words to look for are a text"),
        ({"product_id": 7}, "A product's id is a text"),
        ({"vector": "red"}, "vector is one row of floats"),
        ({"product_id": "red", "k": 0}, "1 to 10,000"),
        ({"product_id": "red", "k": "5"}, "whole number"),
        ({"product_id": "red", "least": "high"}, "least is a score"),
        ({"product_id": "red", "group": 5}, "group is the name of a field"),
        ({"product_id": "red", "facets": [5]}, "facets are names of fields"),
        ({"product_id": "red", "parts": ["red"]}, "parts are several lapel.Part"),
        ({"query": "red.jpg"}, "query is a lapel.Query"),
        ({"query": lapel.Query(product_id="red"), "text": "red"}, "Give either query="),
        ({"product_id": "nobody"}, "There is no product 'nobody'"),
    ],
)
def test_a_wrong_question_is_told(store: lapel.Store, given: dict[str, Any], message: str) -> None:
    with pytest.raises(LapelError, match=message):
        store.search(**given)


def test_many_images_come_back_in_order(store: lapel.Store, photos: Path) -> None:
    paths = [photos / f"{name}.png" for name in COLOURS] * 30
    told: list[int] = []
    found = list(store.search_many(paths, k=1, progress=lambda done, _: told.append(done)))
    assert [ids(result)[0] for result in found if not isinstance(result, LapelError)] == [path.stem for path in paths]
    assert told[-1] == len(paths)


def test_one_bad_image_of_many(store: lapel.Store, photos: Path) -> None:
    (photos / "broken.png").write_bytes(b"no picture")
    paths = [photos / "red.png", photos / "broken.png", photos / "blue.png"]
    found = list(store.search_many(paths, k=1, errors="return"))
    assert isinstance(found[1], ImageError)
    assert [ids(found[row])[0] for row in (0, 2)] == ["red", "blue"]  # type: ignore[arg-type]
    with pytest.raises(ImageError):
        list(store.search_many(paths))
    with pytest.raises(QueryError, match="'raise' or 'return'"):
        store.search_many(paths, errors="ignore")


def test_queries_of_a_generator_are_read_as_they_are_needed(store: lapel.Store) -> None:
    asked = 0

    def queries() -> Iterable[lapel.Query]:
        nonlocal asked
        while True:
            asked += 1
            yield lapel.Query(product_id="red", k=1)

    answers = iter(store.search_many(queries()))
    assert len(ids(next(answers))) == 1  # type: ignore[arg-type]
    assert asked < 1000


def test_browsing_takes_whole_words(store: lapel.Store) -> None:
    assert [found.product.id for found in store.browse("red saree").products] == ["red"]
    assert [found.product.id for found in store.browse("red").products] == ["red"]  # not Multi Colou-red
    assert store.browse("SHIRT", where="price>30").products[0].product.id == "white"
    page = store.browse(limit=3, offset=2)
    assert ([found.product.id for found in page.products], page.total) == (["green", "white"], 4)
    assert len(page.products[0].photos) == 1


def test_facets_and_overview(store: lapel.Store) -> None:
    assert dict(store.facets("colour", where="price<25")["colour"]) == {"Red": 1, "Blue": 1}
    assert (store.overview().products, store.overview().prices) == (4, {"EUR": (10.0, 40.0)})
    with pytest.raises(QueryError, match="no field 'cut'"):
        store.facets("cut")


def test_a_product_and_its_images(store: lapel.Store) -> None:
    details = store.product("red")
    assert (details.product.title, len(details.photos)) == ("Red saree", 1)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", details.added_at)
    assert details.changed_at >= details.added_at
    small = store.thumbnail(details.photos[0])
    assert small is not None
    assert Image.open(io.BytesIO(small)).size == (450, 600)
    assert store.thumbnail(details.photos[0].key) == small
    assert store.image(details.photos[0]).size == (120, 160)
    for ask in (store.thumbnail, store.image):
        with pytest.raises(QueryError, match="no photo 99"):
            ask(99)
    with pytest.raises(QueryError, match="no product 'nobody'"):
        store.product("nobody")
    with pytest.raises(QueryError) as caught:
        store.facets("cut")
    assert caught.value.to_json()["field"] == "cut"


def test_its_past_can_be_read(store: lapel.Store, photos: Path) -> None:
    """A reader with a name goes on where it stopped; prices are kept."""
    first = store.changes.read("watch")
    assert {change.kind for change in first.changes} == {"product_added", "photo_added"}
    store.changes.acknowledge("watch", first.next)
    table = photos / "products.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("Red,10,EUR", "Red,8,EUR"), encoding="utf-8")
    store.add(table)
    with lapel.open_store(store.folder) as again:
        page = again.changes.read("watch")
        assert [(change.kind, change.product_id) for change in page.changes] == [
            ("product_changed", "red"),
            ("price_changed", "red"),
        ]
        assert [point.price_minor for point in again.price_history("red")] == [1000, 800]
        with pytest.raises(QueryError, match="no product 'nobody'"):
            again.price_history("nobody")


def test_its_parts_are_looked_after(store: lapel.Store) -> None:
    assert store.index.check().agrees
    assert store.index.rebuild() == 4
    assert (store.index.use("exact:"), store.index.status().spec) == (4, "exact:")
    assert store.models.current.name == "colour"
    assert [known.active for known in store.models.list()] == [True]
    assert store.media.check().states["fine"] == 4
    assert store.media.fill_thumbnails().failed == ()
    report = store.evaluate(["colour"], queries="price<25", k=[1])
    assert report.queries == 2


def test_features_of_a_store_of_before_are_derived_later(store: lapel.Store) -> None:
    assert store.info().lacking == {}
    with sqlite3.connect(store.folder / "catalog.sqlite") as database:  # as a version-6 store is after its migration
        database.execute("DELETE FROM photo_feature")
    (store.folder / "thumbnails.sqlite").unlink()
    with lapel.open_store(store.folder) as again:
        assert again.info().lacking == {"thumbnail": 4, "palette": 4, "picture_hash": 4}
        told: list[tuple[int, int | None]] = []
        reports = again.media.fill_features(progress=lambda done, total: told.append((done, total)))
        assert {name: report.derived for name, report in reports.items()} == {
            "thumbnail": 4,
            "palette": 4,
            "picture_hash": 4,
        }
        assert told[-1] == (12, 12)
        assert (again.info().lacking, again.media.fill_features()) == ({}, {})


def test_info_is_plain_json(store: lapel.Store) -> None:
    facts = store.info().to_json()
    assert (facts["products"], facts["photos"], facts["model"]["name"], facts["index_problem"]) == (4, 4, "colour", "")
    revision = store.revision
    store.remove(["red"])
    assert store.revision > revision


def test_one_text_is_one_thing(store: lapel.Store) -> None:
    assert "blue" not in ids(store.search(product_id="red", exclude="blue"))
    assert dict(store.search(product_id="red", facets="colour").facets["colour"])["Blue"] == 1
    with pytest.raises(QueryError, match="search_many takes several images or queries"):
        store.search_many("red.png")


def test_what_is_no_name_of_a_thing_is_told(store: lapel.Store, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("hello", encoding="utf-8")
    (tmp_path / "taken").write_text("", encoding="utf-8")
    with pytest.raises(ImageError, match=r"words\.txt"):
        store.search(image=tmp_path / "words.txt")
    with pytest.raises(LapelError, match=r"A source is a path or an address.*found object"):
        store.add(object())  # type: ignore[arg-type]
    with pytest.raises(LapelError, match=r"An encoder is named by a text.*found object"):
        lapel.open_store(tmp_path / "new", create=True, encoder=object())  # type: ignore[arg-type]
    with pytest.raises(LapelError, match="There is no model folder 'smal'"):
        lapel.open_store(tmp_path / "new", create=True, encoder="smal")
    assert not (tmp_path / "new").exists()
    with pytest.raises(LapelError, match=r"No store can be made at .*taken"):
        lapel.open_store(tmp_path / "taken", create=True)
    with pytest.raises(SourceError, match=r"is a single picture\. Give the folder it is in"):
        store.add(tmp_path / "photos" / "red.png")


def test_the_nearest_is_known_though_it_is_not_close(store: lapel.Store) -> None:
    result = store.search(product_id="red", least=0.999)
    assert (len(result), result.nearest) == (0, pytest.approx(store.search(product_id="red")[0].score))


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="Fill one with: lapel add") as caught:
        lapel.open_store(tmp_path / "nowhere")
    assert caught.value.to_json()["code"] == "store_not_found"


def test_a_store_that_is_only_read(store: lapel.Store, photos: Path) -> None:
    with lapel.open_store(store.folder, read_only=True) as reader:
        assert reader.read_only
        assert len(reader.search(product_id="red")) == 3
        with pytest.raises(StoreReadOnlyError):
            reader.remove(["red"])


def test_errors_have_a_code_each() -> None:
    def below(kind: type[LapelError]) -> list[type[LapelError]]:
        return [kind, *(each for child in kind.__subclasses__() for each in below(child))]

    kinds = [kind for kind in below(LapelError) if kind.__module__ == "lapel.core.errors"]
    assert len({kind.code for kind in kinds}) == len(kinds) > 15
    assert all(kind.__name__.endswith("Error") for kind in kinds)
    assert LapelError("No.", store="shop").to_json() == {"code": "error", "message": "No.", "store": "shop"}
