"""The training use case without a training: what a configuration asks for, what it refuses, and former options."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from lapel.apps.cli import app
from lapel.core.errors import InputError
from lapel.service.training import LabelledPhotos, TrainingConfig, read_examples, recipe_of, train_segmenter

SHOP = LabelledPhotos("images.zip", Path("products.csv"))
CONFIG = TrainingConfig(SHOP, Path("out"), init="efficientnet-lite0")


def test_the_recipe_is_the_shipped_models_unless_labels_or_a_model_are_given() -> None:
    fashion = recipe_of(CONFIG)
    assert "subCategory" in fashion.heads
    assert "kind" not in fashion.heads
    assert "kind" in recipe_of(replace(CONFIG, people=SHOP)).heads
    own = recipe_of(replace(CONFIG, levels=("category, colour",), heads=("category",)))
    assert [level.attributes for level in own.levels] == [("category", "colour"), ("product",)]
    assert own.heads == ("category",)
    from_model = recipe_of(replace(CONFIG, init="", start="small"))
    assert [level.attributes for level in from_model.levels] == [("product",)]
    assert from_model.rate == pytest.approx(fashion.rate / 3)
    head_alone = recipe_of(replace(CONFIG, init="", start="default", recipe="fashion", epochs=(0, 0)))
    assert head_alone.head_finetuning.epochs == 2 < from_model.head_finetuning.epochs


def test_sizes_reach_the_recipe() -> None:
    recipe = recipe_of(replace(CONFIG, batch=512, views=(1, 0), epochs=(0, 14), seed=3), dim=64)
    assert recipe.classes * recipe.images == 512
    assert (recipe.head_finetuning.views, recipe.head_finetuning.segmented_views) == (1, 0)
    assert [stage.epochs for stage in recipe.stages] == [0, 14]
    assert (recipe.seed, recipe.dim) == (3, 64)
    shorter = recipe_of(replace(CONFIG, epochs=(1.5, 0.25)))
    assert [(stage.epochs, stage.share) for stage in shorter.stages] == [(2, 0.75), (1, 0.25)]


def test_titles_are_learned_from_where_they_are_asked_for() -> None:
    for config in CONFIG, replace(CONFIG, levels=("category",)):
        assert recipe_of(config).titles == recipe_of(config).head_finetuning.titles == 0
        learned = recipe_of(replace(config, titles=0.5))
        assert (learned.titles, learned.head_finetuning.titles) == (0.5, 1.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"init": ""}, "Give one of the two"),
        ({"start": "small"}, "Give one of the two"),
        ({"titles": -1.0}, "--titles is the weight of a loss, 0 or more; found -1"),
        ({"recipe": "magic"}, "fashion or custom; found 'magic'"),
        ({"recipe": "fashion", "levels": ("category",)}, "has its own levels and heads"),
    ],
)
def test_a_configuration_checks_itself(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        replace(CONFIG, **changes)  # type: ignore[arg-type]


def test_a_segmenter_starts_from_its_own_weights() -> None:
    with pytest.raises(InputError, match="--init is efficientnet-lite0; found 'package/ResNet50'"):
        train_segmenter(replace(CONFIG, init="package/ResNet50"))


def test_what_is_left_out_is_noted(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (20, 20), "red").save(tmp_path / "in" / "1.png")
    table = tmp_path / "table.csv"
    table.write_text("id\n1\n2\n")
    notes: list[str] = []
    with ExitStack() as sources:
        part = LabelledPhotos(str(tmp_path / "in"), table)
        examples, read = read_examples([part, part], sources, stream=True, note=notes.append)
        assert [(example.product.id, example.part) for example in examples] == [("1", 0), ("1", 1)]
        assert read(examples[0].uri) == (tmp_path / "in" / "1.png").read_bytes()
    assert notes.count(f"1 pictures that are not there of {table} left out") == 2
    (tmp_path / "in" / "1.png").unlink()
    with ExitStack() as sources, pytest.raises(InputError, match="None of the pictures that"):
        read_examples([part], sources, stream=True, note=notes.append)


def test_former_options_work_with_a_hint(tmp_path: Path) -> None:
    words = ["train", "in", "--products", "t.csv", "--out", str(tmp_path / "out"), "--init", "none"]
    found = CliRunner().invoke(app, [*words, "--looks", "1", "--same", "sku", "--shared", "map.csv"])
    for former, current in (("--looks", "--views"), ("--same", "--product-key"), ("--shared", "--label-map")):
        assert f"{former} is called {current} now" in found.stderr
    assert isinstance(found.exception, InputError)
    assert "'1' is not two whole numbers" in str(found.exception)  # the former option's value was taken
    assert "is called" not in CliRunner().invoke(app, words).stderr
    assert "--looks" not in CliRunner().invoke(app, ["train", "--help"]).stdout
    hint = CliRunner().invoke(
        app, [*words, "--recipe", "look", "--photos", "x", "--photo-table", "y", "--from", "small"]
    )
    assert "--recipe look is called custom now" in hint.stderr
