"""Where the product is in people's photos, as a teacher says, and a segmenter that learns from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image

from lapel.core.errors import InputError, SourceError
from lapel.core.images import Preprocessing
from lapel.encoders import shipped_model
from lapel.encoders.fastest import load_fastest
from lapel.encoders.model import read_model
from lapel.encoders.segmenter import open_segmenter
from lapel.service.photo_masks import MaskFolder, open_photo_masks
from lapel.service.training import LabelledPhotos, TrainingConfig, train_segmenter
from lapel.training.data import prepare
from lapel.training.foreground import draw_scenes, without_products
from lapel.training.photo_masks import SaliencyNetwork, ShippedMasks, is_clear, place_mask
from lapel.training.weights import load_foreground_folder

SHAPE = Preprocessing(160, 120)


def photo(size: tuple[int, int] = (90, 60), *, red: bool = True) -> Image.Image:
    """A red box on a grey floor, a third of it."""
    image = Image.new("RGB", size, (120, 120, 120))
    if red:
        image.paste((255, 0, 0), (size[0] // 3, 0, 2 * size[0] // 3, size[1]))
    return image


def write_teacher(path: Path, shape: tuple[Any, ...] = (1, 3, 32, 48)) -> Path:
    """A network that takes red to be the product: how much more of it there is than of green."""
    nodes = [
        helper.make_node("Conv", ["image", "weight", "bias"], ["differences"]),
        helper.make_node("Sigmoid", ["differences"], ["mask"]),
    ]
    channels = shape[1]
    values = [5.0, -4.0, *[0.0] * (channels - 2)]
    weight = helper.make_tensor("weight", TensorProto.FLOAT, (1, channels, 1, 1), values)
    bias = helper.make_tensor("bias", TensorProto.FLOAT, (1,), [-5.0])
    graph = helper.make_graph(
        nodes,
        "teacher",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("mask", TensorProto.FLOAT, None)],
        [weight, bias],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


# --- where the masks come from --------------------------------------------------------------------------------------


def test_a_teacher_gives_a_mask_of_the_size_of_each_photo(tmp_path: Path) -> None:
    teacher = open_photo_masks(str(write_teacher(tmp_path / "teacher.onnx")))
    assert isinstance(teacher, SaliencyNetwork)
    for size in ((90, 60), (300, 400)):
        mask = teacher.mask("photo.jpg", photo(size))
        assert mask is not None
        assert mask.shape == (size[1], size[0])
        assert mask.dtype == np.float32
        columns = mask.mean(axis=0) > 0.5
        assert columns[size[0] // 2]
        assert not columns[[0, -1]].any()
        assert columns.mean() == pytest.approx(1 / 3, abs=0.05)
    other = SaliencyNetwork(write_teacher(tmp_path / "other.onnx", (1, 3, 48, 48)))
    assert other.identity != teacher.identity


def test_a_file_that_is_no_teacher_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    for name in ("bad.onnx", "missing.onnx"):
        with pytest.raises(InputError, match=rf"{name} cannot be read.*Give an ONNX file"):
            open_photo_masks(str(tmp_path / name))
    for shape in ((1, 3, "height", "width"), (1, 4, 32, 32)):
        with pytest.raises(InputError, match=r"takes \(1, 3, height, width\) with fixed sides"):
            SaliencyNetwork(write_teacher(tmp_path / "teacher.onnx", shape))
    with pytest.raises(SourceError):
        open_photo_masks(str(tmp_path / "nowhere"))


def test_masks_in_a_folder_are_called_like_their_photos(tmp_path: Path) -> None:
    drawn = Image.new("L", (45, 30))
    drawn.paste(255, (15, 0, 30, 30))
    drawn.save(tmp_path / "1.png")
    folder = open_photo_masks(str(tmp_path))
    assert isinstance(folder, MaskFolder)
    mask = folder.mask("zip:///photos.zip!/some/1.jpg", photo())
    assert mask is not None
    assert mask.shape == (60, 90)
    assert mask[:, 33:57].min() > 0.9
    assert mask[:, :27].max() == 0
    assert folder.mask("zip:///photos.zip!/some/2.jpg", photo()) is None


def test_without_a_teacher_the_shipped_segmenter_says_what_it_finds() -> None:
    masks = open_photo_masks("")
    assert isinstance(masks, ShippedMasks)
    mask = masks.mask("photo.jpg", photo())
    assert mask is not None
    assert np.array_equal(mask, open_segmenter().masks([photo()])[0])
    assert masks.identity == open_segmenter().model.fingerprint


# --- which are learned from -----------------------------------------------------------------------------------------


def test_masks_that_say_nothing_are_not_learned_from() -> None:
    mask = np.zeros((60, 90), np.float32)
    assert not is_clear(mask)
    assert not is_clear(mask + 1)
    mask[:, 30:60] = 1
    assert is_clear(mask)
    mask[:, 60:75] = 0.5  # a third of what is not background is in doubt
    assert not is_clear(mask)


def test_a_mask_is_placed_where_the_network_sees_its_photo() -> None:
    mask = np.zeros((60, 90), np.float32)
    mask[:, 30:60] = 1
    placed = place_mask(mask, SHAPE)
    assert placed.shape == (160, 120)
    assert placed.dtype == np.uint8
    pixels = SHAPE.apply(photo())
    red = (pixels[..., 0] > 200) & (pixels[..., 1] < 60)
    assert (red == (placed > 127)).mean() > 0.98
    assert not place_mask(None, SHAPE).any()
    assert not place_mask(mask * 0, SHAPE).any()


def test_photos_are_prepared_with_their_masks_and_products_with_their_white(tmp_path: Path) -> None:
    files = {"shop.png": Image.new("RGB", (90, 60), "white"), "photo.png": photo()}
    files["shop.png"].paste((0, 0, 255), (30, 20, 60, 40))
    for name, image in files.items():
        image.save(tmp_path / name)
    teacher = SaliencyNetwork(write_teacher(tmp_path / "teacher.onnx"))
    told: dict[str, Any] = {
        "preprocessing": SHAPE,
        "folder": tmp_path / "out",
        "progress": lambda done, total: None,
        "photos": frozenset({"photo.png"}),
    }

    def read(uri: str) -> bytes:
        return (tmp_path / uri).read_bytes()

    images, rejected = prepare(list(files), read, masks=teacher, **told)
    assert rejected == []
    shop, person = images.read(np.arange(2))[0][..., 3] > 127
    assert shop.mean() == pytest.approx(1 / 9 / 2, abs=0.02)  # a ninth of a picture that fills half of the input
    assert person.mean() == pytest.approx(1 / 3 / 2, abs=0.02)
    other = SaliencyNetwork(write_teacher(tmp_path / "other.onnx", (1, 3, 48, 48)))
    before = (tmp_path / "out" / "pixels.json").read_text()
    prepare(list(files), read, masks=other, **told)
    assert (tmp_path / "out" / "pixels.json").read_text() != before  # another teacher's masks are made anew


# --- what is learned from them --------------------------------------------------------------------------------------


def test_floors_show_nothing_of_the_product() -> None:
    pixels = np.stack([SHAPE.apply(photo((300, 400)))] * 2)
    mask = ((pixels[..., 0] > 200) & (pixels[..., 1] < 60)).astype(np.uint8) * 255
    given = torch.from_numpy(np.concatenate([pixels, mask[..., None]], axis=3))
    floors = without_products(given)
    assert floors.shape == (2, 3, 160, 120)
    assert float((floors[:, 0] - floors[:, 1]).abs().max()) < 3  # grey, nothing red
    assert float(floors.mean()) == pytest.approx(120, abs=2)
    generator = torch.Generator().manual_seed(1)
    scenes = draw_scenes(given, given, generator)
    assert scenes.shape == (2, 3, 160, 120)
    assert draw_scenes(given[:0], given, generator).shape == (0, 3, 160, 120)


def test_a_shipped_segmenter_is_read_back_to_go_on_from() -> None:
    folder = shipped_model("foreground")
    network = load_foreground_folder(folder)
    pixels = np.random.default_rng(0).integers(0, 255, (2, 160, 120, 3), dtype=np.uint8)
    with torch.inference_mode():
        found = network(torch.from_numpy(pixels)).numpy()
    shipped = load_fastest(read_model(folder)).run(pixels, "mask")
    assert np.abs(found - shipped).mean() < 0.1  # of noise; .06 without VNNI, where sums of 8 bits may overflow
    early = {id(weight) for part in network.backbone.early() for weight in part.parameters()}
    assert early
    assert {id(weight) for weight in network.parameters() if not weight.requires_grad} == early


@pytest.mark.filterwarnings("ignore")  # the exporter's own
def test_a_segmenter_goes_on_learning_from_photos_and_a_teacher(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part in ("shop", "photos"):
        (tmp_path / part).mkdir()
        rows = ["id,file,split"]
        for number in range(12):
            image = photo((60, 80))
            if part == "shop":
                image = Image.new("RGB", (60, 80), "white")
                image.paste(tuple(rng.integers(0, 200, 3).tolist()), (15, 20, 45, 60))
            image.save(tmp_path / part / f"{number}.png")
            rows.append(f"{number},{number}.png,{'val' if number < 3 else 'train'}")
        (tmp_path / f"{part}.csv").write_text("\n".join(rows))
    mapping = ("pictures=file",)
    config = TrainingConfig(
        LabelledPhotos(str(tmp_path / "shop"), tmp_path / "shop.csv", mapping),
        tmp_path / "out",
        people=LabelledPhotos(str(tmp_path / "photos"), tmp_path / "photos.csv", mapping),
        photo_masks=str(write_teacher(tmp_path / "teacher.onnx")),
        start="foreground",
        recipe="custom",
        epochs=(0, 1),
    )
    with pytest.raises(InputError, match="Leave out --stream"):
        train_segmenter(replace(config, stream=True))
    report = train_segmenter(config)
    assert report.overlap is not None
    assert 0.3 < report.overlap <= 1
    details = read_model(tmp_path / "out").details
    assert details["start"] == "foreground"
    assert details["pictures"] == 18
