"""A feed that is the whole shop, run again: only what changed changes, what is gone is hidden, and what returns is back
with its vectors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lapel.apps.cli.add import add, show
from lapel.catalog.visibility import SyncPreview, refuse_to_empty
from lapel.core.errors import InputError, TableError
from lapel.core.types import Filter, Query
from lapel.engine.check import check_index
from lapel.engine.context import StoreContext, open_context
from lapel.engine.retrieval import SearchEngine
from lapel.service import AddRequest, add_to_store

COLOURS = ("red", "green", "blue", "gold", "teal", "navy", "pink", "gray")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for name in COLOURS:
        Image.new("RGB", (60, 80), name).save(tmp_path / "pictures" / f"{name}.png")
    return tmp_path


def feed(folder: Path, *names: str, title: str = "", more: str = "") -> Path:
    """A Google feed of these products."""
    items = "".join(
        f"<item><id>{name}</id><title>{title or name}</title>"
        f"<image_link>{name}.png</image_link><color>{name[0]}</color></item>"
        for name in names
    )
    path = folder / "pictures" / "feed.xml"
    path.write_text(f"<rss><channel>{items}{more}</channel></rss>")
    return path


def sync(folder: Path, *names: str, name: str = "", force: bool = False, **more: str) -> None:
    path = feed(folder, *names, **more)
    wanted = AddRequest(path, whole=True, feed=name, force=force)
    show(add_to_store(folder / "shop", wanted, encoder="colour:"))


@pytest.fixture
def shop(folder: Path) -> Iterator[StoreContext]:
    sync(folder, *COLOURS)
    with open_context(folder / "shop") as opened:
        yield opened


def found(shop: StoreContext, **options: object) -> set[str]:
    return {hit.product.id for hit in SearchEngine(shop).search(Query(product_id="red", k=20, **options))}  # type: ignore[arg-type]


def test_what_is_gone_is_hidden_everywhere_and_comes_back_as_it_was(shop: StoreContext, folder: Path) -> None:
    everyone = set(COLOURS)
    assert found(shop) == everyone - {"red"}
    keys = [shop.catalog.photos(name)[0].key for name in COLOURS]
    before = shop.catalog.vector_of(keys, fingerprint=shop.model.fingerprint)
    sync(folder, *COLOURS[:6])
    left = set(COLOURS[:6])
    assert found(shop) == left - {"red"}
    assert found(shop, where=Filter.parse(["id!=blue"])) == left - {"red", "blue"}
    assert found(shop, where=Filter.parse(["colour=p|g"])) == {"green", "gold"}
    counts = shop.catalog.counts()
    assert (counts.products, counts.delisted, counts.photos, counts.hidden) == (6, 2, 8, 2)
    assert {product.id for product in shop.catalog.products()} == left
    assert shop.catalog.count() == 6
    assert dict(shop.catalog.facet_values("colour")) == {"g": 2, "r": 1, "b": 1, "t": 1, "n": 1}
    assert len(shop.catalog.matching_keys(Filter())) == 6
    assert check_index(shop).agrees
    with open_context(folder / "shop") as again:  # another process draws the same
        assert found(again) == left - {"red"}
        again.index_sync.rebuild()
        assert len(again.index) == 6
    sync(folder, *COLOURS)
    assert found(shop) == everyone - {"red"}
    assert [shop.catalog.photos(name)[0].key for name in COLOURS] == keys
    assert np.array_equal(shop.catalog.vector_of(keys, fingerprint=shop.model.fingerprint), before)
    assert shop.catalog.counts().delisted == 0
    assert check_index(shop).agrees


def test_a_feed_run_again_changes_nothing(shop: StoreContext, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generation = shop.catalog.generation
    capsys.readouterr()
    sync(folder, *COLOURS)
    assert "8 unchanged" in capsys.readouterr().out
    assert shop.catalog.generation == generation


def test_adding_one_that_is_gone_brings_it_back(
    shop: StoreContext, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sync(folder, *COLOURS[:6])
    assert "2 products are delisted" in capsys.readouterr().out
    add_to_store(folder / "shop", AddRequest(feed(folder, "pink")))
    assert "pink" in found(shop)
    assert shop.catalog.counts().delisted == 1


def test_more_than_half_gone_is_refused_and_nothing_changed(shop: StoreContext, folder: Path) -> None:
    generation = shop.catalog.generation
    with pytest.raises(
        InputError, match=r"names 3 products and lacks 5 of the 8.*more than half.*Nothing was changed.*--force"
    ):
        sync(folder, *COLOURS[:3], title="Another")
    assert shop.catalog.generation == generation
    assert shop.catalog.product("red").title == "red"
    sync(folder, *COLOURS[:3], force=True)
    assert found(shop) == {"green", "blue"}


def test_rows_that_cannot_be_read_hide_nobody(shop: StoreContext, folder: Path) -> None:
    without_id = "<item><title>Who am I</title><image_link>x.png</image_link></item>"
    with pytest.raises(InputError, match=r"1 row of the table cannot be read"):
        sync(folder, *COLOURS[:7], more=without_id)
    sync(folder, *COLOURS, more=without_id)  # everyone is there, so nobody is in doubt
    without_picture = "<item><id>gray</id><title>Gray</title><image_link>gone.png</image_link></item>"
    sync(folder, *COLOURS[:7], more=without_picture)
    assert "gray" in found(shop)


@pytest.mark.parametrize(("known", "gone", "refused"), [(9, 5, True), (9, 4, False), (8, 4, False), (8, 5, True)])
def test_half_may_be_gone_and_no_more(known: int, gone: int, refused: bool) -> None:
    census = SyncPreview(known, gone, 0)
    expected = pytest.raises(InputError, match=f"lacks {gone} of the {known}") if refused else nullcontext()
    with expected:
        refuse_to_empty(census, "", named=known - gone, unread=0)


def test_a_table_of_nothing_is_refused(shop: StoreContext, folder: Path) -> None:
    path = folder / "empty.csv"
    path.write_text("id,title,image_link\n")
    with pytest.raises(InputError, match="names no product, so all 8"):
        add_to_store(folder / "shop", AddRequest(folder / "pictures", path, whole=True))


def test_a_broken_feed_changes_nothing(shop: StoreContext, folder: Path) -> None:
    generation = shop.catalog.generation
    path = feed(folder, *COLOURS)
    path.write_text(path.read_text()[:-40])
    with pytest.raises(TableError, match="broken XML"):
        add_to_store(folder / "shop", AddRequest(path, whole=True, force=True))
    assert shop.catalog.generation == generation


def test_feeds_do_not_hide_each_others_products(shop: StoreContext, folder: Path) -> None:
    sync(folder, "red", "green", name="partner")  # now the partner's
    assert len(found(shop)) == 7
    sync(folder, *COLOURS[2:7])
    assert found(shop) == {"green", *COLOURS[2:7]}
    sync(folder, "green", name="partner")
    assert shop.catalog.counts().delisted == 2


def test_a_folder_can_be_the_whole_shop(folder: Path) -> None:
    wanted = AddRequest(folder / "pictures", whole=True)
    add_to_store(folder / "shop", wanted, encoder="colour:")
    (folder / "pictures" / "teal.png").unlink()
    assert add_to_store(folder / "shop", wanted).delisted == 1
    with open_context(folder / "shop") as shop:
        assert "teal" not in found(shop)


@pytest.mark.parametrize("options", [{"sync": True, "limit": 3}, {"feed": "a"}, {"force": True}])
def test_options_that_do_not_go_together(folder: Path, options: dict[str, object]) -> None:
    with pytest.raises(TableError, match="--sync"):
        add(folder / "pictures", store=folder / "shop", **options)  # type: ignore[arg-type]
