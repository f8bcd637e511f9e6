"""The text tower: how a text is read, what a model folder keeps of it, and that it learns what it is shown."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lapel.core.errors import InputError, ModelError
from lapel.core.lexicon import read_lexicon
from lapel.core.vectors import Vectors, check_vectors, normalise
from lapel.encoders import open_encoder, shipped_model, words
from lapel.encoders.model import ModelFolder, read_model
from lapel.encoders.words import SENTENCE_DIM, TextTower, folded, hashed_features, sentence_vectors, words_of

BUCKETS, DIM = 64, 4


def small_tower(seed: int = 0) -> TextTower:
    rng = np.random.default_rng(seed)

    def floats(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float16)

    return TextTower(
        table=rng.integers(-127, 128, (BUCKETS, DIM)).astype(np.int8),
        table_scale=floats(BUCKETS),
        linear=floats(SENTENCE_DIM, DIM),
        bias=floats(DIM),
        hidden=floats(SENTENCE_DIM + DIM, 8),
        hidden_bias=floats(8),
        last=floats(8, DIM),
        vocabulary=frozenset({"red", "dress", "赤い"}),
        anchors=sentence_vectors(["red", "dress"]).astype(np.float16),
    )


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    """The shipped small model, with a tower of our own."""
    copy = tmp_path / "model"
    shutil.copytree(shipped_model("small"), copy)
    return read_model(copy).with_text(small_tower().to_bytes())


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Men's  T-Shirt!", "men tshirt"),
        ("ROTES Kleid", "rotes kleid"),
        ("ｒｅｄ\x00\x1b[31mdress\n", "red 31mdress"),
        ("it's d'or", "it d'or"),
        ("...", ""),
    ],
)
def test_texts_are_compared_without_case_and_signs(text: str, plain: str) -> None:
    assert folded(text) == plain


def test_a_text_is_its_words_pairs_and_groups_of_letters() -> None:
    # 2 words, 1 pair; <red> has 3 + 2 groups of three and four, <bag> as well; each gets its place by its own name.
    found = hashed_features("red bag", 1 << 30)
    assert len(found) == len(set(found)) == 2 + 1 + 5 + 5
    assert set(hashed_features("red", 1 << 30)) < set(found)
    assert hashed_features("bag red", 1 << 30) != found
    assert len(hashed_features("赤い", 1 << 30)) == 1 + 2 + 1  # the word, two signs, a pair of signs
    assert words_of("赤いワンピース, red") == ["赤いワンピース", "red"]


def test_vectors_are_what_the_formula_says() -> None:
    tower = small_tower()
    rows = hashed_features("red dress", BUCKETS)
    hashed = (tower.table[rows].astype(float) * tower.table_scale[rows, None]).sum(0) / np.sqrt(len(rows))
    sentence = 4 * sentence_vectors(["red dress"])[0]
    opened = np.maximum(np.concatenate([sentence, 3 * hashed]) @ tower.hidden + tower.hidden_bias, 0)
    expected = normalise((hashed + sentence @ tower.linear + tower.bias + opened @ tower.last)[None])
    assert np.allclose(tower.encode(["Red dress"]), expected, atol=2e-3)


@pytest.mark.parametrize("with_sentences", [True, False])
def test_strange_texts_have_a_direction_too(with_sentences: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not with_sentences:
        monkeypatch.setattr(words, "sentence_encoder", lambda: None)
    texts = ["red " * 10_000, "ab\x00c\u202e", "\ud800x", "გამარჯობა", "赤い", "x" * 5000, "7", "é"]
    found = small_tower().encode(texts)
    assert found.shape == (len(texts), DIM)
    assert found.dtype == np.float32
    check_vectors(found, DIM)
    assert small_tower().encode([]).shape == (0, DIM)


def test_a_text_is_encoded_the_same_alone_among_others_and_again() -> None:
    texts = [f"red dress {number}" for number in range(600)]
    together = small_tower().encode(texts)
    assert np.allclose(together[599], small_tower().encode(texts[599:])[0], atol=1e-5)
    assert np.array_equal(together, small_tower().encode(texts))


@pytest.mark.parametrize(
    ("texts", "told"),
    [("red dress", "a list of str"), (["red", 3], "a list of str"), (["red", " .\t"], "Text 1 has no words")],
)
def test_what_is_no_text_is_told(texts: Sequence[str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        small_tower().encode(texts)


def test_which_words_are_known() -> None:
    tower = small_tower()
    found = tower.known_words("Red zorblax Kleid, გამარჯობა")
    assert found.understood == ("Red", "Kleid")  # the second by its nearness to "dress"
    assert found.unknown == ("zorblax", "გამარჯობა")
    assert found.guessed == ("Kleid",)
    assert tower.known_words("赤いzorblax").understood == ("赤い",)
    assert tower.known_words("").understood == tower.known_words("!").unknown == ()


def test_without_the_sentence_encoder_only_learned_words_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "sentence_encoder", lambda: None)
    assert small_tower().known_words("red Kleid").unknown == ("Kleid",)


def test_a_tower_is_kept_as_it_is() -> None:
    tower = small_tower()
    again = TextTower.from_bytes(tower.to_bytes())
    assert again.vocabulary == tower.vocabulary
    assert np.array_equal(again.encode(["red dress"]), tower.encode(["red dress"]))
    assert again.to_bytes()[:4] == b"PK\x03\x04"
    assert tower.to_bytes() == small_tower().to_bytes()


@pytest.mark.parametrize("data", [b"", b"no zip", small_tower().to_bytes()[:-200]])
def test_a_broken_tower_is_told(data: bytes) -> None:
    with pytest.raises(ModelError, match="text tower cannot be read"):
        TextTower.from_bytes(data)


def test_a_model_folder_keeps_it(folder: ModelFolder) -> None:
    encoder = open_encoder(str(folder.path))
    assert encoder.has_text
    assert np.array_equal(encoder.encode_text(["red dress"]), small_tower().encode(["red dress"]))
    assert encoder.known_words("zorblax").unknown == ("zorblax",)
    assert encoder.fingerprint != ModelFolder(**{**vars(folder), "text_sha256": ""}).fingerprint
    assert encoder.fingerprint != folder.with_text(small_tower(1).to_bytes()).fingerprint


def test_a_tower_of_another_folder_is_told(folder: ModelFolder) -> None:
    (folder.path / "text.npz").write_bytes(small_tower(1).to_bytes())
    with pytest.raises(ModelError, match=r"text\.npz is not the one model\.json was written for"):
        open_encoder(str(folder.path)).encode_text(["red"])
    (folder.path / "text.npz").unlink()
    with pytest.raises(ModelError, match=r"misses its text tower text\.npz"):
        open_encoder(str(folder.path)).encode_text(["red"])


def test_a_folder_without_words_opens_and_says_so(folder: ModelFolder) -> None:
    manifest = json.loads((folder.path / "model.json").read_text())
    del manifest["text"]
    (folder.path / "model.json").write_text(json.dumps(manifest))
    for encoder in open_encoder(str(folder.path)), open_encoder("colour:"):
        assert not encoder.has_text
        with pytest.raises(ModelError, match=r"knows no words, so \['red'\] cannot be asked of it. Use 'default'"):
            encoder.encode_text(["red"])
        with pytest.raises(ModelError, match="knows no words"):
            encoder.known_words("red")


def scene() -> tuple[list[str], Vectors, dict[str, tuple[np.ndarray, list[str]]]]:
    """Forty products of two kinds in two colours: a vector is its kind, its colour and a little of its own."""
    rng = np.random.default_rng(3)
    kinds, colours = np.arange(40) % 2, np.arange(40) // 2 % 2
    vectors = np.zeros((40, 8), np.float32)
    vectors[np.arange(40), kinds] = 1
    vectors[np.arange(40), 2 + colours] = 1
    vectors[:, 4:] = 0.1 * rng.normal(size=(40, 4))
    titles = [
        f"Acme {('red', 'blue')[c]} {('skirt', 'watch')[k]} {n}"
        for n, (k, c) in enumerate(zip(kinds, colours, strict=True))
    ]
    return titles, normalise(vectors), {"kind": (kinds, ["Skirts", "Watches"]), "colour": (colours, ["Red", "Blue"])}


def test_it_learns_what_words_look_like() -> None:
    pytest.importorskip("torch")
    from lapel.training.text_tower import TextRecipe, TitledPictures, train_text_tower

    titles, vectors, labels = scene()
    data = TitledPictures(titles, vectors, np.arange(40), labels)
    recipe = TextRecipe(epochs=40, batch=20, buckets=512, width=16, rate=0.01, dropped=0.0)
    lexicon = [{"en": ["red"], "xx": ["qolu"]}, {"en": ["skirt"], "xx": ["zumba"]}]
    rows: list[dict[str, float]] = []
    tower = train_text_tower(data, recipe, lexicon=lexicon, report=lambda row: rows.append(dict(row)))
    assert rows[-1]["loss"] < rows[0]["loss"]
    asked = {"skirts": 0, "watch": 0, "red": 2, "qolu": 2, "zumba": 0}
    for text, place in {**asked, "watch": 1}.items():
        assert tower.encode([text])[0, [0, 1]].argmax() == place or place > 1
        assert tower.encode([text])[0, [2, 3]].argmax() == place - 2 or place < 2
    best = (tower.encode(["red skirts"]) @ vectors.T)[0].argsort()[-5:]
    assert all("red skirt" in titles[row] for row in best)
    assert {"red", "skirt", "acme", "qolu"} <= tower.vocabulary
    assert "39" not in tower.vocabulary  # in one title only
    assert train_text_tower(data, recipe, lexicon=lexicon).to_bytes() == tower.to_bytes()


def test_titles_are_needed() -> None:
    pytest.importorskip("torch")
    from lapel.training.text_tower import TitledPictures, train_text_tower

    vectors = normalise(np.eye(3))
    with pytest.raises(InputError, match="1 of 3 pictures have one"):
        train_text_tower(TitledPictures(["red", "", "--"], vectors, np.arange(3), {}))
    with pytest.raises(InputError, match="of each picture are needed"):
        TitledPictures(["red"], vectors, np.arange(3), {})


def test_the_lexicon_has_the_same_languages_in_every_row() -> None:
    pytest.importorskip("torch")
    from lapel.training.text_tower import lexicon_pairs

    lexicon = read_lexicon()
    assert all(list(row) == list(lexicon[0]) and all(all(cell) for cell in row.values()) for row in lexicon)
    assert ("rotes", "red") in lexicon_pairs(lexicon, np.random.default_rng(0), together=10)


def test_default_knows_words_of_many_languages() -> None:
    encoder = open_encoder("default")
    english, others = (
        encoder.encode_text(["red skirt", "men watch"]),
        ["falda roja", "赤いスカート", "Herren Armbanduhr"],
    )
    nearest = (encoder.encode_text(others) @ english.T).argmax(axis=1)
    assert nearest.tolist() == [0, 0, 1]
    assert encoder.known_words("zorblax Kleid, rouge").understood == ("Kleid", "rouge")


def test_teaching_words_to_a_model_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``lapel train --words only``: the network stays, a tower comes; with few titles none does, and that is said."""
    pytest.importorskip("torch")
    from contextlib import nullcontext

    from lapel.core.types import Product
    from lapel.service import words as service
    from lapel.training import text_tower
    from lapel.training.data import StoredImages, TrainingSet

    rng = np.random.default_rng(0)
    rows = np.arange(6)
    start = read_model(shipped_model("small"))
    height, width = start.preprocessing.height, start.preprocessing.width
    products = tuple(Product(str(row), title=f"red skirt {row % 2}", colour="Red") for row in rows)
    pixels = rng.integers(0, 256, (6, height, width, 3), dtype=np.uint8)
    data = TrainingSet(StoredImages(pixels), {"product": rows}, {}, rows, rows[:0], rows * 0, products)
    notes: list[str] = []
    told = {
        "seed": 1,
        "progress": lambda _: nullcontext(lambda *_: None),
        "log": lambda _: None,
        "note": notes.append,
    }
    service.copy_network(start.path, tmp_path / "new")
    assert not service.teach_words(tmp_path / "new", data, **told).text_sha256
    assert "100 pictures with a title or more; found 6" in notes[0]
    monkeypatch.setattr(service, "MIN_TITLES", 6)
    monkeypatch.setattr(service, "read_lexicon", lambda: ())
    tiny = text_tower.TextRecipe(epochs=1, batch=4, buckets=64, width=4)
    monkeypatch.setattr(text_tower, "TextRecipe", lambda seed: tiny)
    model = service.teach_words(tmp_path / "new", data, **told)
    assert model.sha256 == start.sha256
    assert model.details["words"]["titles"] == 6
    assert open_encoder(str(tmp_path / "new")).encode_text(["red"]).shape == (1, model.dim)
