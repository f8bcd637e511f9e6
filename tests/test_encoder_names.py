"""Names of shipped models mean them, whatever folders are around; stores that once took such a folder's path for the
name open and heal."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lapel import Product, Query, open_encoder
from lapel.catalog import Entry, ModelEntry, PhotoEntry
from lapel.core.errors import ModelError
from lapel.core.vectors import normalise
from lapel.encoders import absolute_spec, repaired_model, repaired_spec, shipped_model
from lapel.encoders.model import read_model
from lapel.engine.context import CATALOGUE, open_context
from lapel.engine.models import models_of, open_model
from lapel.engine.retrieval import SearchEngine

SMALL = read_model(shipped_model("small"))
DEFAULT = read_model(shipped_model("default"))
LOOKS = normalise(np.random.default_rng(5).normal(size=(4, 128)))


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with folders of pictures that are called like models, and like a scheme."""
    for name in ("small", "default", "colour:", "onnx:small"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["small", "default", "onnx:small", "openvino:default", "model:small", "colour:"])
def test_a_name_is_kept_as_it_is(there: Path, name: str) -> None:
    assert absolute_spec(name) == name


def test_a_model_folder_is_kept_by_its_absolute_path(there: Path) -> None:
    shutil.copytree(shipped_model("small"), there / "mine")
    for spec in ("mine", "./mine", str(there / "mine")):
        assert absolute_spec(spec) == str(there / "mine")
    assert absolute_spec("onnx:mine") == f"onnx:{there / 'mine'}"
    assert absolute_spec("./small") == str(there / "small")
    assert absolute_spec("nowhere") == "nowhere"


def test_the_name_opens_the_model_and_the_path_the_folder(there: Path) -> None:
    encoder = open_encoder("small")
    assert (encoder.fingerprint, encoder.spec) == (SMALL.fingerprint, "small")
    assert open_encoder("colour:").name == "colour"
    with pytest.raises(ModelError, match=r"small is not a model folder: it has no model\.json"):
        open_encoder("./small")


def test_a_store_keeps_the_name(there: Path) -> None:
    with open_context(there / "shop", create=True, encoder="small") as store:
        assert store.encoder_spec == "small"  # what workers on other machines are told
        store.claim()
        assert store.model.encoder == "small"
        assert [known.model.encoder for known in models_of(store)] == ["small"]
        assert open_model(store, "small").model.encoder == "small"


def test_a_folder_of_pictures_is_not_taken_for_a_model_of_the_store(there: Path) -> None:
    shutil.copytree(shipped_model("small"), there / "models" / "mine")
    manifest = there / "models" / "mine" / "model.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "name": "mine"}))
    (there / "mine").mkdir()
    with open_context(there / "shop", create=True, encoder="models/mine") as store:
        store.claim()
        assert open_model(store, "mine").model.encoder == str(there / "models" / "mine")


def spoiled(folder: Path, encoder: str, *, fingerprint: str = SMALL.fingerprint) -> Path:
    """A store as earlier versions wrote it after ``lapel add --encoder small`` beside a folder called so: its path in
    place of the name."""
    with open_context(folder, create=True, encoder="colour:") as store:
        store.catalog.claim(ModelEntry(fingerprint, SMALL.name, encoder, 128), identity="12345678")
        entries = [
            Entry(Product(str(n)), (PhotoEntry(f"file:///{n}.jpg", "1", f"{n}", look),)) for n, look in enumerate(LOOKS)
        ]
        store.catalog.write(entries, fingerprint=fingerprint)
        store.catalog.put_vectors(
            ModelEntry(DEFAULT.fingerprint, DEFAULT.name, str(folder.parent / "default"), 128), np.array([1]), LOOKS[:1]
        )
    database = sqlite3.connect(folder / CATALOGUE)
    with database:  # opening it has not healed anything yet
        database.execute("UPDATE setting SET value = ? WHERE name = 'encoder'", (encoder,))
    database.close()
    return folder


def kept(folder: Path) -> tuple[str, list[str]]:
    """What a store's file says opens its models."""
    database = sqlite3.connect(folder / CATALOGUE)
    one = database.execute("SELECT value FROM setting WHERE name = 'encoder'").fetchone()[0]
    every = [row[0] for row in database.execute("SELECT encoder FROM model ORDER BY id")]
    database.close()
    return one, every


@pytest.mark.parametrize("path", [lambda there: there / "small", lambda there: there / "moved" / "small"])
def test_a_spoiled_store_is_searched_with_its_model_and_heals(there: Path, path: Callable[[Path], Path]) -> None:
    shop = spoiled(there / "shop", str(path(there)))
    assert kept(shop) == (str(path(there)), [str(path(there)), str(there / "default")])
    with open_context(shop, read_only=True) as store:
        assert store.model.encoder == "small"
        assert [known.model.encoder for known in models_of(store)] == ["small", "default"]
        assert store.current().encoder.fingerprint == SMALL.fingerprint  # opened: a photo can be searched for
        assert SearchEngine(store).search(Query(vector=LOOKS[2], k=1))[0].product.id == "2"
    assert kept(shop)[0] == str(path(there))  # looking writes nothing
    with open_context(shop) as store:
        assert store.encoder_spec == "small"
    assert kept(shop) == ("small", ["small", "default"])


def test_what_is_not_spoiled_stays(there: Path) -> None:
    mine = str(there / "models" / "small")
    assert repaired_spec(mine, "0123456789abcdef") == mine
    assert repaired_spec(str(there / "mine"), SMALL.fingerprint) == str(there / "mine")
    assert repaired_spec("small", SMALL.fingerprint) == "small"
    assert repaired_spec("", "") == ""
    shop = spoiled(there / "shop", mine, fingerprint="0123456789abcdef")
    before = kept(shop)
    with open_context(shop) as store:
        assert store.model.encoder == mine
    assert kept(shop)[0] == before[0]
    assert kept(shop)[1] == [mine, "default"]


def test_a_spoiled_store_that_another_process_writes_to_is_opened(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lapel.catalog.connection.BUSY_SECONDS", 0.01)
    shop = spoiled(there / "shop", str(there / "small"))
    writer = sqlite3.connect(shop / CATALOGUE, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    with open_context(shop) as store:
        assert store.model.encoder == "small"
    writer.execute("ROLLBACK")
    writer.close()


def test_a_model_that_learned_words_keeps_its_vectors(there: Path) -> None:
    """A text tower changes the fingerprint and no vector: a store of before is searched at once, nothing is encoded."""
    before = SMALL.without_text.fingerprint
    assert before != SMALL.fingerprint
    shop = spoiled(there / "shop", "small", fingerprint=before)
    with open_context(shop) as store:
        assert store.model.fingerprint == SMALL.fingerprint
        assert SearchEngine(store).search(Query(vector=LOOKS[2], k=1))[0].product.id == "2"
        assert not store.catalog.photos_without(SMALL.fingerprint)
    assert repaired_model("small", "0123456789abcdef") == ("small", "0123456789abcdef")
    assert repaired_model("colour:", "") == ("colour:", "")
