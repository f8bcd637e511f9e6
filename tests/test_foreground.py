"""Cutting the product out of a photo: what ships, how it is trained, and what a search makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lapel.core.errors import InputError, ModelError
from lapel.core.images import Pixels, Preprocessing
from lapel.core.types import Query
from lapel.core.vectors import Vectors, normalise
from lapel.encoders import open_encoder
from lapel.encoders.colour import ColourEncoder
from lapel.encoders.fastest import load_fastest
from lapel.encoders.segmenter import FRAME_FILL, MAX_SIDE, embed_images, open_segmenter
from lapel.engine.context import open_context
from lapel.engine.ingest import ingest
from lapel.engine.retrieval import SearchEngine
from lapel.insight.distortions import cluttered
from lapel.samples import draw_wardrobe, plan_wardrobe, render_photo
from lapel.sources import open_source
from lapel.sources.table import read_table
from lapel.training.augment import Augmentation, augment, augment_masked
from lapel.training.checkpoint import read_log
from lapel.training.data import StoredImages, TrainingSet, with_mask
from lapel.training.efficientnet import EfficientNetLite0
from lapel.training.export import write_foreground_folder
from lapel.training.foreground import (
    ForegroundConfig,
    ForegroundNetwork,
    lay_on_scenes,
    mask_loss,
    overlap,
    train_foreground,
)
from lapel.training.machine import Machine

SHAPE = Preprocessing(160, 120)
HEIGHT, WIDTH = 64, 48
CPU = Machine(torch.device("cpu"))
CONFIG = ForegroundConfig(epochs=2, batch=4)


PRODUCTS = plan_wardrobe(products=32)  # of the sample wardrobe, which nothing was trained on


@pytest.fixture(scope="module")
def scenes() -> list[Image.Image]:
    """A photo of each product on a scene."""
    return [cluttered(render_photo(p, "front"), np.random.default_rng(n)) for n, p in enumerate(PRODUCTS)]


# --- what ships -----------------------------------------------------------------------------------------------------


def test_a_product_on_a_scene_is_found_and_laid_on_white(scenes: list[Image.Image]) -> None:
    found = open_segmenter().segment(scenes, shape=SHAPE)
    products = [np.asarray(product) for product in found if product is not None]
    assert len(products) >= 28
    for product in products:
        height, width, _ = product.shape
        assert width / height == pytest.approx(120 / 160, abs=0.01)
        white = product.min(axis=2) > 250
        assert white[:, 0].mean() > 0.9 and white[0].mean() > 0.9  # noqa: PT018
        rows, columns = np.flatnonzero(~white.all(axis=1)), np.flatnonzero(~white.all(axis=0))
        filled = max((rows[-1] - rows[0]) / height, (columns[-1] - columns[0]) / width)
        assert filled == pytest.approx(FRAME_FILL, abs=0.05)


def test_its_masks_have_the_size_of_the_pictures() -> None:
    pictures = [Image.new("RGB", size, "grey") for size in ((400, 90), (33, 500), (8, 8), (2000, 1500))]
    masks = open_segmenter().masks(pictures)
    assert [mask.shape for mask in masks] == [(picture.height, picture.width) for picture in pictures]
    assert all(((mask >= 0) & (mask <= 1)).all() for mask in masks)
    assert open_segmenter().masks([]) == []


def test_where_there_is_no_product_there_is_no_cut_out() -> None:
    plain = [Image.new("RGB", (300, 400), colour) for colour in ("white", "grey", "black")]
    assert open_segmenter().segment(plain, shape=SHAPE) == [None, None, None]


def test_an_image_and_its_product_are_encoded_in_one_batch(
    scenes: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = open_encoder("colour:")
    images = [scenes[0], Image.new("RGB", (300, 400), "white"), scenes[1]]
    products = open_segmenter().segment(images, shape=encoder.preprocessing)
    assert [product is not None for product in products] == [True, False, True]
    batches: list[int] = []
    encode_pixels = ColourEncoder.encode_pixels

    def counted(self: ColourEncoder, pixels: Pixels) -> Vectors:
        batches.append(len(pixels))
        return encode_pixels(self, pixels)

    monkeypatch.setattr(ColourEncoder, "encode_pixels", counted)
    found = embed_images(encoder, images)
    assert batches == [5]
    assert np.array_equal(found.whole, encoder.encode(images))
    assert np.array_equal(found.product[[0, 2]], encoder.encode([products[0], products[2]]))
    assert not found.product[1].any()
    assert [product is not None for product in found.products] == [True, False, True]
    assert np.array_equal(found.vectors[[0, 2]], normalise(found.whole[[0, 2]] + found.product[[0, 2]]))
    assert np.array_equal(found.vectors[1], found.whole[1])
    plain = embed_images(encoder, images, segment=False)
    assert np.array_equal(plain.vectors, found.whole)
    assert not plain.product.any()
    assert plain.products == [None, None, None]
    assert embed_images(encoder, []).vectors.shape == (0, encoder.dim)


def test_large_pictures_are_not_worked_on_at_full_size(scenes: list[Image.Image]) -> None:
    large = scenes[0].resize((2400, 3000))
    found = open_segmenter().segment([large], shape=SHAPE)[0]
    assert found is not None
    assert max(found.size) <= 2 * MAX_SIDE


def test_a_search_finds_more_with_the_product_cut_out(scenes: list[Image.Image], tmp_path: Path) -> None:
    draw_wardrobe(tmp_path, products=len(PRODUCTS))
    right = {True: 0, False: 0}
    with open_context(tmp_path / "shop", create=True) as store, closing(open_source(tmp_path)) as source:
        ingest(store, read_table(tmp_path / "products.csv"), source=source)
        engine = SearchEngine(store)
        for product, scene in zip(PRODUCTS, scenes, strict=True):
            for cut_out in right:
                hits = engine.search(Query(image=scene, segment=cut_out, k=1))
                right[cut_out] += hits[0].product.id == product.id
    assert right[True] > right[False]
    assert right[True] > 0.5 * len(PRODUCTS)


# --- training -------------------------------------------------------------------------------------------------------


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def squares(n: int = 20) -> TrainingSet:
    rng = np.random.default_rng(0)
    pixels = np.full((n, HEIGHT, WIDTH, 3), 255, np.uint8)
    for row in range(n):
        pixels[row, 14 : 30 + row, 10:36] = rng.integers(20, 220, 3)
    rows = np.arange(n)
    return TrainingSet(StoredImages(pixels), {"product": rows}, {}, rows[:-4], rows[-4:], np.zeros(n, np.int64))


def fresh() -> ForegroundNetwork:
    torch.manual_seed(3)
    network = ForegroundNetwork(EfficientNetLite0())
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.2  # the statistics of a hundred steps
    return network


def run(out: Path, **more: Any) -> tuple[ForegroundNetwork, float]:
    network = fresh()
    options: dict[str, Any] = {"report": lambda row: None, **more}
    config = options.pop("config", CONFIG)
    share = train_foreground(squares(), config, network=network, start="random", out=out, machine=CPU, **options)
    return network, share


def same(one: ForegroundNetwork, other: ForegroundNetwork) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())


def test_the_mask_moves_with_the_picture() -> None:
    pixels = np.full((6, 80, 60, 3), 255, np.uint8)
    pixels[:, 20:60, 15:45] = 30
    given = torch.from_numpy(with_mask(pixels))
    moved = Augmentation(turn=30, zoom=(0.8, 1.5), background=1e-9)  # no background is drawn, but masks are
    picture, mask = augment_masked(given, torch.Generator().manual_seed(1), moved)
    assert mask.shape == (6, 80, 60)
    dark = picture.mean(dim=3) < 140
    assert float(overlap(mask, dark.float()).min()) > 0.85
    assert torch.equal(picture, augment(given, torch.Generator().manual_seed(1), moved))


def test_the_loss_is_least_for_the_truth() -> None:
    truth = torch.zeros(2, 8, 8)
    truth[:, 2:6, 2:6] = 1
    right, nothing, inverse = (mask_loss(20 * logits, truth) for logits in (truth - 0.5, truth * 0 - 0.5, 0.5 - truth))
    assert float(right) < 0.01 < float(nothing) < float(inverse)


@pytest.mark.usefixtures("one_thread")
def test_it_learns_and_goes_on_after_a_kill_to_the_same_result(tmp_path: Path) -> None:
    whole, share = run(tmp_path / "whole")
    assert 0 <= share <= 1
    steps = 0

    class KilledError(Exception):
        pass

    def kill(row: dict[str, Any]) -> None:
        nonlocal steps
        steps += 1
        if row.get("epoch") == 2:
            raise KilledError

    with pytest.raises(KilledError):
        run(tmp_path / "cut", report=kill, save_seconds=0)
    assert (tmp_path / "cut" / "checkpoint.pt").exists()
    again, share_again = run(tmp_path / "cut")
    assert same(whole, again)
    assert share_again == share
    assert read_log(tmp_path / "cut" / "log.csv") == read_log(tmp_path / "whole" / "log.csv")
    with pytest.raises(ModelError, match="of another recipe"):
        run(tmp_path / "cut", config=replace(CONFIG, epochs=3))


@pytest.mark.filterwarnings("ignore")  # the exporter's own
@pytest.mark.usefixtures("one_thread")
def test_more_steps_find_more_and_the_exported_file_agrees(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    network, _ = run(tmp_path, config=replace(CONFIG, epochs=30), report=rows.append)
    assert rows[-1]["loss"] < 0.8 * rows[0]["loss"]
    pixels, _ = squares(8).images.read(np.arange(8))
    scenes = lay_on_scenes(pixels, CONFIG, seed=1)
    assert scenes.shape == (8, HEIGHT, WIDTH, 3)
    model = write_foreground_folder(
        network, tmp_path, preprocessing=Preprocessing(HEIGHT, WIDTH), scenes=scenes, details={}
    )
    assert model.precision == "int8"
    # After a hundred steps few pixels are certain; what ships agrees to 0.98.
    assert model.details["agreement_with_trained"]["mean_overlap"] > 0.3
    exported = load_fastest(model)
    with torch.inference_mode():
        assert np.abs(exported.run(scenes, "mask") - network(torch.from_numpy(scenes)).numpy()).mean() < 0.1


def test_bad_settings_are_told() -> None:
    with pytest.raises(InputError, match="1 epoch or more from batches of 2"):
        ForegroundConfig(epochs=0)
