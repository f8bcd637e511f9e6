"""What photos are not labelled with, and what they are asked to find."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lapel.core.errors import TableError
from lapel.core.products import Product
from lapel.training.data import read_label_map
from lapel.training.head_features import FeatureStore
from lapel.training.learner import Learner, Targets, head_classes
from lapel.training.losses import soft_nca_loss
from lapel.training.pseudo_labels import (
    agreement,
    colour_classifier,
    colour_histograms,
    linear_classifier,
    other_light,
    probabilities_of,
)
from lapel.training.recipe import HeadFinetuning, Level, Recipe, Stage
from test_loop import CPU, coloured_squares, fresh

COLOURS = ((200, 30, 30), (30, 30, 200), (40, 150, 60))


def patches(n: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Things of three colours, with their masks, and which colour each is of."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    pixels = np.full((n, 64, 48, 4), 255, np.uint8)
    pixels[..., 3] = 0
    for row in range(n):
        pixels[row, 8:56, 8:40] = (*COLOURS[labels[row]], 255)
    noise = rng.integers(-20, 21, (n, 64, 48, 3))
    pixels[..., :3] = np.clip(pixels[..., :3] + noise, 0, 255)
    return pixels, labels


def test_a_name_with_bars_agrees_with_each_and_an_unknown_product_with_nobody() -> None:
    found = agreement(np.array([0, 1, 2, -1]), ["Jeans", "Jeans|Skirts", "Skirts"])
    rows = torch.arange(4)
    assert found.of(rows, rows).tolist() == [[1, 0, 0, 0], [1, 0, 1, 0], [0, 0, 1, 0], [1, 0, 1, 0]]


def test_probabilities_stand_in_for_unknown_labels_alone() -> None:
    likely = np.array([[0.2, 0.8], [0.5, 0.5], [0.05, 0.95]], np.float32)
    found = agreement(np.array([0, -1, -1]), ["blue", "red"], likely)
    asked = found.of(torch.arange(3), torch.tensor([0]))[:, 0]
    assert asked[0] == 1
    assert 0.49 < asked[1] <= 1  # it may be either
    assert asked[2] == 0  # a colour that is unlikely is none
    assert found.given[2].tolist() == pytest.approx([0.05, 0.95])


def test_colours_are_learned_from_the_shop_and_read_in_other_light() -> None:
    pixels, labels = patches(60)
    rng = np.random.default_rng(1)
    histograms = colour_histograms(other_light(pixels, rng))
    assert histograms.shape == (60, 2352)
    np.testing.assert_allclose((histograms**2).sum(axis=1), 1, atol=1e-3)
    classifier = colour_classifier(histograms, labels, classes=3, seed=0)
    others, truth = patches(30, seed=5)
    found = probabilities_of(classifier, torch.from_numpy(colour_histograms(other_light(others, rng))))
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert (found.argmax(axis=1) == truth).mean() >= 0.9


def test_the_background_of_a_product_has_no_part_in_its_colour() -> None:
    pixels, _ = patches(3)
    other = pixels.copy()
    other[other[..., 3] == 0, :3] = (90, 60, 20)
    np.testing.assert_array_equal(colour_histograms(pixels), colour_histograms(other))
    nothing = np.zeros((1, 64, 48, 4), np.uint8)
    assert np.isfinite(colour_histograms(nothing)).all()


def test_a_linear_classifier_learns_what_is_linear() -> None:
    features = torch.randn(300, 8, generator=torch.Generator().manual_seed(0))
    labels = (features[:, 0] > 0).long().numpy()
    classifier = linear_classifier(features, labels, classes=2, seed=0)
    assert (probabilities_of(classifier, features).argmax(axis=1) == labels).mean() > 0.8


def test_soft_neighbours_equal_the_obvious_loop() -> None:
    generator = torch.Generator().manual_seed(2)
    similarity, right = torch.rand(4, 6, generator=generator), torch.rand(4, 6, generator=generator)
    right[3] = 0.1
    losses = []
    for row in range(3):
        weights = np.exp(similarity[row].numpy() / 0.1)
        losses.append(-np.log((weights / weights.sum() * right[row].numpy()).sum()))
    found = soft_nca_loss(similarity, right, temperature=0.1, least=0.3)
    assert found.item() == pytest.approx(float(np.mean(losses)), abs=1e-4)
    assert soft_nca_loss(similarity, torch.zeros(4, 6), temperature=0.1, least=0.3) == 0


def test_label_maps_take_the_first_row_that_fits(tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    rows = (
        "pattern,solid,id,7",
        "pattern,striped,title,~stripe|strips",
        "pattern,printed,title,~print",
        "garment,Sweaters|Tops,label,longsleeve",
    )
    path.write_text("label,name,attribute,value\n" + "\n".join(rows) + "\n")
    rules = read_label_map(path)
    titles = {"1": "Men STRIPED Shirt", "2": "Printed and striped", "3": "Shirt", "7": "Striped by mistake"}
    found = {name: rules["pattern"].of(Product(name, title=title)) for name, title in titles.items()}
    assert found == {"1": "striped", "2": "striped", "3": "", "7": "solid"}
    assert rules["garment"].of(Product("9", attributes={"label": "longsleeve"})) == "Sweaters|Tops"
    path.write_text("label,name,attribute,value\npattern,striped,title,~(\n")
    with pytest.raises(TableError, match="no regular expression"):
        read_label_map(path)


CONFIG = Recipe(
    levels=(Level(("kind",), triplet=0.0, nca=0.5), Level(("product",), triplet=0.0, nca=0.5)),
    heads=("kind",),
    stages=(Stage(0),),
    classes=3,
    images=2,
    head_finetuning=HeadFinetuning(
        epochs=40, views=1, segmented_views=1, photo=4.0, agree=("kind", "colour"), colour="colour", inferred=()
    ),
)


def with_photos() -> Any:
    """The squares; a third of them are photos of people's own, whose colour nobody wrote down."""
    data = coloured_squares(48)
    parts = np.where(np.arange(48) < 12, 1, 0)
    colour = np.where(parts == 1, -1, data.labels["colour"])
    return replace(data, labels={**data.labels, "colour": colour}, parts=parts), data.labels["colour"]


def test_photos_learn_to_find_their_colour(tmp_path: Path) -> None:
    from lapel.training.head_finetuning import finetune_head, photo_agreements

    data, truth = with_photos()
    network = fresh()
    learner = Learner(network, CONFIG, head_classes(data, CONFIG))
    rows: list[dict[str, Any]] = []
    features = FeatureStore(network, data, CPU, tmp_path, rows.append).all(CONFIG)
    photos = features.photos[0][0].rows
    agreements = photo_agreements(data, features, learner)
    shop = features.shop.rows
    read = agreements[1].of(photos, shop)
    right = torch.from_numpy(truth[photos.numpy()][:, None] == truth[shop.numpy()][None])
    assert read[right].mean() > 0.9  # colours were read from pixels
    assert read[~right].mean() < 0.2

    computed = len(rows)
    targets = Targets(data, CONFIG, CPU.device)
    log: list[dict[str, Any]] = []
    finetune_head(network, learner, data, targets, machine=CPU, folder=tmp_path, add=log.append, report=rows.append)
    assert len(rows) == computed  # no view was computed again
    losses = [row["photos"] for row in log if "photos" in row]
    assert losses[-1] < 0.6 * losses[0]


def test_without_photos_nothing_is_asked_of_them(tmp_path: Path) -> None:
    from lapel.training.head_finetuning import photo_agreements

    data = coloured_squares()
    network = fresh()
    learner = Learner(network, CONFIG, head_classes(data, CONFIG))
    features = FeatureStore(network, data, CPU, tmp_path, lambda row: None).all(CONFIG)
    assert features.photos == ()
    assert photo_agreements(data, features, learner) == []


def test_photos_that_share_no_label_are_left_out_and_told(tmp_path: Path) -> None:
    from lapel.training.head_finetuning import finetune_head

    data, _ = with_photos()
    kind = np.where(data.parts == 1, -1, data.labels["kind"])
    data = replace(data, labels={**data.labels, "kind": kind})
    config = replace(CONFIG, head_finetuning=replace(CONFIG.head_finetuning, epochs=1))
    network = fresh()
    learner = Learner(network, config, head_classes(data, config))
    told: list[dict[str, Any]] = []
    log: list[dict[str, Any]] = []
    targets = Targets(data, config, CPU.device)
    finetune_head(network, learner, data, targets, machine=CPU, folder=tmp_path, add=log.append, report=told.append)
    assert any("share no label with the shop" in str(row.get("warning")) for row in told)
    assert all("photos" not in row for row in log)


def test_a_shop_without_colours_leaves_the_colour_of_photos_open(tmp_path: Path) -> None:
    from lapel.training.head_finetuning import photo_agreements

    data, _ = with_photos()
    colour = np.where(data.parts == 1, np.arange(48) % 2, -1)  # the photos alone are labelled
    data = replace(data, labels={**data.labels, "colour": colour})
    learner = Learner(fresh(), CONFIG, head_classes(data, CONFIG))
    features = FeatureStore(learner.network, data, CPU, tmp_path, lambda row: None).all(CONFIG)
    assert len(photo_agreements(data, features, learner)) == 2
