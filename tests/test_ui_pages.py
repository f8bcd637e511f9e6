"""Every page in every state of the shop, and what each page does, in Streamlit's own test runner."""

from __future__ import annotations

import base64
import io
import re
import shutil
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from browser.shop import draw, fill_shop

pytest.importorskip("streamlit", reason="the page needs streamlit: pip install 'lapel[ui]'")

from streamlit.testing.v1 import AppTest

from browser.runner import act, cards, followable, page_text, plain, settled, show, url
from lapel.apps.ui import first, shell, shops, work
from lapel.apps.ui.findings import _as_image
from lapel.apps.ui.page_table import PAGES
from lapel.core.errors import LapelError
from lapel.engine.context import open_context
from lapel.insight.findings import Picture, Section
from lapel.service import Findings, Overview, open_store
from lapel.service.jobs import JobService

__all__ = ["show"]  # a fixture
NAMES = [row.name for row in PAGES]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill_shop(tmp_path_factory.mktemp("pages"))


def absent(folder: Path) -> Path:
    return folder / "none"


def empty(folder: Path) -> Path:
    with open_context(folder, create=True, encoder="colour:") as shop:
        shop.claim()
    return folder


def damaged(folder: Path) -> Path:
    (folder / "catalog.sqlite").write_bytes(b"not a catalogue" * 100)
    return folder


def of_another_model(folder: Path) -> Path:
    empty(folder)
    with open_context(folder) as shop:
        shop.catalog.set_setting("fingerprint", "0" * 16)
    return folder


STATES: dict[Callable[[Path], Path], str] = {
    absent: "There is no shop here yet",
    damaged: "The catalogue's file is broken",
    of_another_model: "read by another model",
}


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_shown_says_why_and_what_to_do(show, tmp_path, name, state):
    page = show(state(tmp_path), name)
    assert STATES[state] in page_text(page)
    assert page.button(key="again")


def test_an_error_of_the_store_is_told_on_every_page_and_the_next_look_may_find_it_mended(show, store, monkeypatch):
    def fails(_: object) -> Overview:
        raise LapelError("The disk is [full](https://elsewhere.example).")

    right = shell.overview_of
    for name in NAMES:
        monkeypatch.setattr(shell, "overview_of", fails)
        page = show(store, name)
        assert "This cannot be shown" in page_text(page), name
        assert plain(page.error[0].value) == "The disk is [full](https://elsewhere.example)."
        assert not re.search(r"(?<!\\)\[", page.error[0].value)
    monkeypatch.setattr(shell, "overview_of", right)
    assert "How the shop is" in page_text(settled(page.button(key="again").click().run()))


def test_a_first_visit_leads_to_a_result_in_two_clicks(show, tmp_path, monkeypatch):
    monkeypatch.setattr(first, "PRODUCTS", 20)
    shop = tmp_path / "shop"
    page = show(shop)
    settled(page.button(key="first-sample").click().run())
    assert "The sample wardrobe is being made" in page_text(page)
    deadline = time.monotonic() + 120
    while not (made := work.find(first.sample_name(shop))).ended:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert not made.error, made.error
    asked = followable(settled(page.run()))
    assert len(asked) == 20
    assert url(act(page, "more", asked[0])) == {"product": [asked[0]]}


def test_a_first_visit_begins_with_an_empty_shop_to_add_to(show, tmp_path):
    page = show(tmp_path / "shop")
    settled(page.button(key="first-own").click().run())
    assert "Catalogue" in page_text(page)
    assert page.text_input(key="place")


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_shop_leads_to_adding(show, tmp_path, name):
    page = show(empty(tmp_path), name)
    text = page_text(page)
    if name in ("catalogue", "status"):
        assert "Catalogue" in text or "How the shop is" in text
    else:
        assert "This shop is empty" in text
        assert f"lapel add PICTURES --store {tmp_path}" in page.code[0].value


def test_a_broken_index_is_mended_or_told_and_every_page_stands(show, store, tmp_path):
    copy = Path(shutil.copytree(store, tmp_path / "copy"))
    for file in copy.glob("index-*.bin"):
        file.write_bytes(b"broken" * 50)
    for name in NAMES:
        page = show(copy, name, **({"id": "W0000"} if name == "product" else {}))
        assert not page.exception
    assert followable(show(copy, product="W0000"))[0] == "W0001"


def test_a_store_that_goes_away_or_is_swapped_under_an_open_page_is_told(show, store, tmp_path):
    copy = Path(shutil.copytree(store, tmp_path / "copy"))
    pages = {name: show(copy, name, **({"id": "W0000"} if name == "product" else {})) for name in NAMES}
    copy.rename(tmp_path / "away")
    for name, page in pages.items():
        assert "There is no shop here yet" in page_text(settled(page.run())), name
    other = Path(shutil.copytree(store, tmp_path / "other"))
    with open_context(other) as shop:
        shop.catalog.remove(["W0000", "W0001"])
    other.rename(copy)
    assert "38 products" in page_text(settled(pages["search"].run()))
    assert "no product 'W0000'" in plain(settled(pages["product"].run()).error[0].value)
    assert [metric.value for metric in settled(pages["status"].run()).metric][:2] == ["38", "38"]


def test_whoever_may_only_look_sees_no_page_for_managers(show, store, monkeypatch):
    monkeypatch.setenv("LAPEL_UI_ROLE", "look")
    for name in ("catalogue", "prove"):
        assert "for those who manage the shop" in page_text(show(store, name))
    assert followable(show(store, product="W0000"))


def test_the_page_speaks_german(show, store):
    page = show(store)
    settled(page.selectbox(key="language-box").set_value("de").run())
    assert "Finden, was so aussieht." in page_text(page)
    assert "40 Produkte" in page_text(page)


# --- the product ------------------------------------------------------------------------------------------------------


def test_a_product_has_its_facts_and_rows_that_lead_on(show, store):
    page = show(store, "product", id="W0000")
    text = page_text(page)
    assert "Black t-shirt for women" in text
    assert "Apparel › Topwear › T-shirts" in text
    with open_store(store, read_only=True) as shop:
        alike = [hit.product.id for hit in shop.search(product_id="W0000", k=12)]
    assert followable(page, "row-alike") == alike
    act(page, "open", "W0020", key="row-alike")
    assert url(page) == {"id": ["W0020"]}
    assert "dress" in page_text(page)
    settled(page.button(key="search-like").click().run())
    assert url(page) == {"product": ["W0020"]}


def test_variants_are_the_other_colours_of_a_model(show, store):
    with open_store(store, read_only=True) as shop:
        found = [hit.product.id for hit in shop.variants("W0000")]
    assert sorted(found) == ["W0002", "W0004", "W0006", "W0008"]  # t-shirts for women in the other colours
    assert followable(show(store, "product", id="W0000"), "row-variants") == found


@pytest.mark.parametrize("product_id", ["", "W9999", "![x](https://elsewhere.example/x.png)"])
def test_an_unknown_product_leads_to_a_search(show, store, product_id):
    page = show(store, "product", id=product_id)
    assert page.error or "names no product" in page_text(page)
    assert not re.search(r"(?<!\\)\[", "".join(error.value for error in page.error))


# --- discover ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("writable", [True, False])
def test_what_is_tapped_decides_what_comes_next_and_can_be_taken_back(show, store, tmp_path, monkeypatch, writable):
    copy = Path(shutil.copytree(store, tmp_path / "copy"))
    if not writable:
        monkeypatch.setenv("LAPEL_UI_ROLE", "look")
    page = show(copy, "discover")
    first = followable(page, "wander")
    act(page, "yes", "W0026", key="wander")
    act(page, "no", "W0027", key="wander")
    shown = cards(page, "wander")
    assert "W0027" not in [card["id"] for card in shown]
    assert any("green dress" in card["reason"].lower() for card in shown)
    person = page.session_state["taste"].person
    if writable:
        with open_store(copy) as shop:
            assert shop.export(person).events
    settled(page.button(key="undo-tap").click().run())
    assert page.session_state["taste"].no == []
    settled(page.button(key="anew").click().run())
    assert followable(page, "wander") == first
    if writable:
        with open_store(copy) as shop:
            assert not shop.export(person).events


# --- the catalogue ----------------------------------------------------------------------------------------------------


def ended(page, jobs: int = 1, seconds: float = 60):
    """Run the page until it shows so many jobs, and none is under way."""
    deadline = time.monotonic() + seconds
    while True:
        shown = [each.label for each in page.expander if each.label[0] in "⏳✓✗–"]
        if len(shown) >= jobs and "⏳" not in "".join(shown):
            return page
        assert time.monotonic() < deadline, shown
        time.sleep(0.2)
        settled(page.run())


def test_a_zip_and_a_table_are_added_with_columns_said_by_hand_and_the_rejected_told(show, tmp_path):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in ("a", "b"):
            picture = io.BytesIO()
            draw("Dress", "Red" if name == "a" else "Navy").save(picture, "PNG")
            archive.writestr(f"{name}.png", picture.getvalue())
        archive.writestr("c.png", b"no picture")
    table = b"key,called,file\n1,Red dress,a.png\n2,Navy dress,b.png\n3,Broken,c.png\n"
    page = show(empty(tmp_path), "catalogue")
    settled(page.segmented_control(key="way").set_value("upload").run())
    settled(page.file_uploader(key="zip").set_value(("pictures.zip", stream.getvalue(), "application/zip")).run())
    settled(page.file_uploader(key="table-upload").set_value(("products.csv", table, "text/csv")).run())
    assert "no column for the product's id" in plain(page.error[0].value)
    assert "--map" not in page.error[0].value
    assert page.selectbox(key="map-pictures").value == "file"  # what is known is shown although the id is not
    assert list(page.dataframe[0].value["called"]) == ["Red dress", "Navy dress", "Broken"]  # to see what is what
    assert page.button(key="start-add").disabled
    settled(page.selectbox(key="map-id").set_value("key").run())
    settled(page.selectbox(key="map-title").set_value("called").run())
    assert not page.error
    settled(page.button(key="start-add").click().run())
    ended(settled(page.run()))
    with open_store(tmp_path, read_only=True) as shop:
        assert [each.product.title for each in shop.browse().products][:2] == ["Red dress", "Navy dress"]
    assert "could not be used" in page.warning[0].value
    with open_store(tmp_path, read_only=True) as shop:
        left_out = shop.jobs.left_out_csv(shop.jobs.list(1)[0].id)
    assert left_out.splitlines() == ["key,called,file", "3,Broken,c.png"]  # as it was written, to mend and add again
    again = show(tmp_path, "catalogue")  # a reload finds what was done
    assert [each.label for each in again.expander if "Add" in each.label]


def test_the_model_is_changed_and_changed_back_from_the_page(show, store, tmp_path):
    copy = Path(shutil.copytree(store, tmp_path / "copy"))
    page = show(copy, "catalogue")
    assert "rollback" not in [button.key for button in page.button]
    settled(page.selectbox(key="other-model-colour:").set_value("small").run())
    settled(page.button(key="switch").click().run())
    assert "Progress and rejected" in page.info[0].value
    ended(page)
    with open_store(copy, read_only=True) as shop:
        assert shop.models.current.encoder == "small"
        assert [hit.product.id for hit in shop.search(product_id="W0026", k=1)] == ["W0027"]
    settled(page.button(key="rollback").click().run())
    ended(page, jobs=2)
    with open_store(copy, read_only=True) as shop:
        assert shop.models.current.encoder == "colour:"
    assert [each.label for each in page.expander if "Back to the model before" in each.label]


def test_the_index_is_changed_and_built_anew_and_photos_are_checked_from_the_page(show, store, tmp_path):
    copy = Path(shutil.copytree(store, tmp_path / "copy"))
    page = show(copy, "catalogue")
    settled(page.selectbox(key="other-index").set_value("faiss:Flat").run())
    settled(page.button(key="switch-index").click().run())
    assert "The index holds 40 vectors" in page.success[0].value
    settled(page.button(key="rebuild").click().run())
    settled(page.button(key="check-media").click().run())
    ended(page, jobs=2)
    with open_store(copy, read_only=True) as shop:
        assert shop.info().index.spec == "faiss:Flat"
        assert [job.state for job in shop.jobs.list(2)] == ["done", "done"]
        assert shop.index.check().agrees
    assert "The last check found nothing wrong" in " ".join(each.value for each in page.success)
    (next(store.parent.glob("pictures/7.png"))).rename(tmp_path / "7.png")
    try:
        settled(page.button(key="check-media").click().run())
        ended(page, jobs=3)
    finally:
        (tmp_path / "7.png").rename(store.parent / "pictures" / "7.png")
    assert "1 photo with an issue" in " ".join(each.value for each in page.warning)


def test_a_press_is_not_lost_where_a_job_ends_while_the_page_is_drawn(show, store, tmp_path, monkeypatch):
    copy = Path(shutil.copytree(store, tmp_path / "copy"))
    page = show(copy, "catalogue")
    settled(page.button(key="rebuild").click().run())
    ended(page)
    right, looks = JobService.list, []

    def ends_after_the_first_look(self, *arguments):
        looks.append(1)
        jobs = right(self, *arguments)
        return [replace(job, state="running") for job in jobs] if len(looks) == 1 else jobs

    monkeypatch.setattr(JobService, "list", ends_after_the_first_look)
    settled(page.button(key="check-media").click().run())
    ended(page, jobs=2)
    with open_store(copy, read_only=True) as shop:
        assert [job.kind for job in shop.jobs.list(2)] == ["media", "index"]


def test_a_folder_that_is_not_there_fails_with_a_sentence(show, tmp_path):
    page = show(empty(tmp_path / "shop"), "catalogue")
    settled(page.text_input(key="place").set_value(str(tmp_path / "nowhere")).run())
    settled(page.button(key="start-add").click().run())
    ended(settled(page.run()))
    assert "nowhere" in plain(" ".join(error.value for error in page.error))


# --- proof and status -------------------------------------------------------------------------------------------------


def test_recall_is_that_of_the_evaluation(show, store):
    page = show(store, "prove")
    settled(page.button[0].click().run())
    deadline = time.monotonic() + 60
    while not page.metric:
        assert time.monotonic() < deadline
        time.sleep(0.2)
        settled(page.run())
    with open_store(store, read_only=True) as shop:
        report = shop.evaluate(["category"])
    expected = report.rules[0].measures["recall@1"].value
    assert page.metric[0].value == f"{100 * expected:.1f}\N{NO-BREAK SPACE}%"


def test_the_status_counts_and_says_how_to_mend(show, store, tmp_path):
    page = show(store, "status")
    assert [metric.value for metric in page.metric][:3] == ["40", "40", "40"]
    copy = Path(shutil.copytree(store, tmp_path / "copy"))
    with open_context(copy) as shop:
        keys = {photo.key for photo in shop.catalog.photos("W0000")}
        shop.catalog.hosting.set_issues(dict.fromkeys(keys, ("dead", "gone")), [], now="2026")
        shop.catalog.hosting.update_reachability(before="2026", now="2026")
    page = show(copy, "status")
    assert any("lapel media check" in warning.value for warning in page.warning)


# --- findings ---------------------------------------------------------------------------------------------------------


def findings_script() -> None:
    """A page of a question that finds two pairs; run by Streamlit on its own."""
    from lapel.apps.ui.findings import findings_page
    from lapel.apps.ui.shell import store_now
    from test_ui_pages import Pairs

    findings_page(store_now(), lambda tell: Pairs(), key="clusters")


class Pairs(Findings):
    """Two pairs of products."""

    def rows(self) -> list[dict[str, object]]:
        return [{"a": "W0000", "b": "W0001"}, {"a": "W0002", "b": "W0003"}]

    def columns(self) -> tuple[str, ...]:
        return ("a", "b")

    def to_json(self) -> dict[str, object]:
        return {"pairs": self.rows()}

    def sections(self) -> Iterator[Section]:
        for row in self.rows():
            yield Section(f"{row['a']} and {row['b']}", "They look alike.", (Picture(1, "one"),))

    def summary(self) -> str:
        return "Two pairs were found."


def test_findings_are_decided_one_after_the_other(store, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["page.py", str(store)])
    page = settled(AppTest.from_function(findings_script, default_timeout=60).run())
    settled(page.button(key="run-clusters").click().run())
    deadline = time.monotonic() + 30
    while not page.subheader:
        assert time.monotonic() < deadline
        settled(page.run())
    assert "Two pairs were found" in page_text(page)
    assert page.subheader[0].value == "W0000 and W0001"
    settled(page.button(key="no-clusters").click().run())
    assert page.subheader[0].value == "W0002 and W0003"
    settled(page.button(key="yes-clusters").click().run())
    assert page.session_state["decided-clusters"] == {0: "no", 1: "yes"}
    assert "All 2 are decided on" in page.success[0].value
    settled(page.button(key="back-clusters").click().run())
    assert page.subheader[0].value == "W0002 and W0003"
    shops.close_all()


def test_a_chart_is_an_image_as_streamlit_leaves_svg_out_of_a_page():
    figure = '<figure><svg viewBox="0 0 9 9" aria-label="Rises"><path/></svg><p>Numbers</p></figure>'
    shown = _as_image(figure)
    assert "<svg" not in shown
    assert 'alt="Rises"><p>Numbers</p>' in shown
    drawn = base64.b64decode(re.search('base64,([^"]*)', shown)[1]).decode()
    assert drawn.endswith("<path/></svg>")
