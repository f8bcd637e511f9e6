"""Export: one file with two outputs, the same numbers as the network in float32 and close ones in 8 bits, in either
runtime."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor, nn

from lapel.core.images import Preprocessing
from lapel.encoders import SHIPPED, open_encoder, shipped_model
from lapel.encoders.model import ModelFolder, read_model
from lapel.training.efficientnet import EfficientNetLite0
from lapel.training.export import encode_float32, export_float32, move_strides_up, quantise, write_model_folder
from lapel.training.network import EmbeddingNetwork

# torch's exporter walks its own deprecated names and complains that torchvision is not there; neither is ours to mend.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

SMALL = Preprocessing(height=64, width=48)


class Tiny(nn.Module):
    """Every kind of layer the backbones have: strided, depthwise and 1 x 1 convolutions, ReLU and ReLU6, a pool, a
    residual."""

    features = 16
    in_float = ("depthwise.",)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        self.depthwise = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.BatchNorm2d(8), nn.ReLU6()
        )
        self.point = nn.Sequential(nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8))
        self.halve = nn.Conv2d(8, 16, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(16)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.relu(self.point(self.depthwise(x)) + x)
        # A norm that is folded into the weights while the network runs: what is exported is a product of constants.
        norm = self.norm
        assert norm.running_var is not None
        assert norm.running_mean is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        weight = self.halve.weight * scale[:, None, None, None]
        return torch.relu(nn.functional.conv2d(x, weight, norm.bias - norm.running_mean * scale, self.halve.stride))


def settled(network: EmbeddingNetwork) -> EmbeddingNetwork:
    """Batch norms with statistics and scales of their own, so that folding them wrongly is noticed."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.normal_(module.bias, 0, 0.1)
    nn.init.normal_(network.wide[2].weight, 0, 0.02)  # type: ignore[arg-type]
    return network.eval()


def pictures(n: int) -> NDArray[np.uint8]:
    """Coloured boxes on white: smooth, as photos are."""
    rng = np.random.default_rng(5)
    out = np.full((n, SMALL.height, SMALL.width, 3), 250, np.uint8)
    for row in range(n):
        top, left = rng.integers(0, 24, 2)
        out[row, top : top + 30, left : left + 20] = rng.integers(0, 256, 3)
    return out


@pytest.fixture(scope="module", params=["tiny", "efficientnet-lite0"])
def network(request: pytest.FixtureRequest) -> EmbeddingNetwork:
    torch.manual_seed(5)
    backbone = Tiny() if request.param == "tiny" else EfficientNetLite0()
    return settled(EmbeddingNetwork(backbone, dim=128))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def float32(network: EmbeddingNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network, exported once: tracing it takes longer than all that is asked of it."""
    path = tmp_path_factory.mktemp("float32") / "network.onnx"
    export_float32(network, SMALL, path)
    return path


@pytest.fixture(scope="module")
def written(network: EmbeddingNetwork, float32: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A model folder with it, in 8 bits. The large one is not traced once more."""
    pixels = pictures(24)
    with pytest.MonkeyPatch.context() as patch:
        if not isinstance(network.backbone, Tiny):
            patch.setattr("lapel.training.export.export_float32", lambda *rest, outputs: shutil.copy(float32, rest[2]))
        return write_model_folder(
            network,
            tmp_path_factory.mktemp("written"),
            name="toy",
            preprocessing=SMALL,
            calibration=pixels[:16],
            reference=pixels,
            details={"a": 1},
        )


def run(path: Path, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")  # right on every CPU
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    vectors, spatial = session.run(["vectors", "spatial"], {"pixels": pixels})
    return vectors, spatial


def test_in_float32_the_file_says_what_the_network_says(network: EmbeddingNetwork, float32: Path) -> None:
    """They differ by rounding alone, for one picture and for many; and the vectors are the mean of the map."""
    pixels = pictures(5)
    with torch.inference_mode():
        vectors, spatial = (value.numpy() for value in network(torch.from_numpy(pixels)))
    for rows in (slice(0, 5), slice(2, 3)):
        found, places = run(float32, pixels[rows])
        assert np.abs(found - vectors[rows]).max() < 1e-5
        assert np.allclose(places, spatial[rows], atol=1e-4)
    mean = spatial.mean(axis=(2, 3))
    assert np.allclose(mean / np.linalg.norm(mean, axis=1, keepdims=True), vectors, atol=1e-5)


def test_nothing_is_left_to_fold(float32: Path) -> None:
    graph = onnx.load(float32).graph
    assert not {node.op_type for node in graph.node} & {"BatchNormalization", "Rsqrt", "Sqrt", "Pad", "Constant"}
    weights = {entry.name for entry in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert convolutions
    assert all(node.input[1] in weights for node in convolutions)


def test_in_8_bits_every_convolution_but_the_head_is_quantised(
    network: EmbeddingNetwork, float32: Path, tmp_path: Path
) -> None:
    pixels = pictures(32)
    quantise(float32, tmp_path / "int8.onnx", pixels[:16])
    graph = onnx.load(tmp_path / "int8.onnx").graph
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    plain = [node for node in convolutions if made_by.get(node.input[1]) != "DequantizeLinear"]
    assert sorted(node.input[1] for node in plain) == ["head.weight", "wide.0.weight", "wide.2.weight"]
    assert {made_by[node.input[1]] for node in plain} == {"Cast"}  # stored in 16 bits
    # No activation is rounded twice, before its ReLU and after.
    activations = [node for node in graph.node if node.op_type in ("Relu", "Clip")]
    assert not [node for node in activations if made_by.get(node.input[0]) == "DequantizeLinear"]
    expected = encode_float32(network, pixels)
    found, places = run(tmp_path / "int8.onnx", pixels)
    assert np.einsum("nd,nd->n", found, expected).min() > 0.98
    mean = places.mean(axis=(2, 3))
    assert np.allclose(mean / np.linalg.norm(mean, axis=1, keepdims=True), found, atol=1e-5)


def test_layers_that_8_bits_would_spoil_stay_in_floats(network: EmbeddingNetwork, written: ModelFolder) -> None:
    graph = onnx.load_from_string(written.network_bytes()).graph
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    wanted = tuple(f"backbone.{part}" for part in network.backbone.in_float)
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    floats = [node for node in convolutions if node.input[1].startswith(wanted)]
    assert floats
    assert not [node for node in floats if made_by.get(node.input[1]) == "DequantizeLinear"]
    body = [node for node in convolutions if "backbone" in node.input[1] and node not in floats]
    assert all(made_by[node.input[1]] == "DequantizeLinear" for node in body)
    # Between two of them nothing is rounded: what comes in is an activation or the picture, as it is.
    chained = [made_by[node.input[0]] for node in floats[1:]]
    assert not {"DequantizeLinear"} & set(chained)


def test_a_model_folder_opens_in_both_runtimes(network: EmbeddingNetwork, written: ModelFolder) -> None:
    pixels = pictures(24)
    assert sorted(path.name for path in written.path.iterdir()) == ["model.json", "network.onnx", "reference.npz"]
    assert written.details["a"] == 1
    assert written.details["agreement_with_trained"]["least_cosine"] > 0.98
    expected = encode_float32(network, pixels)
    for scheme in ("openvino", "onnx"):
        encoder = open_encoder(f"{scheme}:{written.path}")
        assert encoder.fingerprint == written.fingerprint
        assert np.einsum("nd,nd->n", encoder.encode_pixels(pixels), expected).min() > 0.98


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_vectors_are_the_mean_of_the_shipped_map(name: str) -> None:
    reference = read_model(shipped_model(name)).reference()
    assert reference is not None
    vectors, spatial = run(shipped_model(name) / "network.onnx", reference.pixels[:4])
    assert spatial.shape[:2] == vectors.shape == (4, 128)
    mean = spatial.mean(axis=(2, 3))
    assert np.allclose(mean / np.linalg.norm(mean, axis=1, keepdims=True), vectors, atol=1e-5)


def residual_graph(*, seen: bool = False) -> onnx.ModelProto:
    """x -> relu -> 3 x 3 -> + relu -> relu -> two 1 x 1 with stride 2; ``seen``: the tensor before them is an output
    too."""
    rng = np.random.default_rng(1)
    weights = {"a": (4, 4, 3, 3), "b": (6, 4, 1, 1), "c": (5, 4, 1, 1)}
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Conv", ["r", "a"], ["s"], pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        helper.make_node("Add", ["s", "r"], ["t"]),
        helper.make_node("Relu", ["t"], ["u"]),
        helper.make_node("Conv", ["u", "b"], ["y"], strides=[2, 2], kernel_shape=[1, 1]),
        helper.make_node("Conv", ["u", "c"], ["z"], strides=[2, 2], kernel_shape=[1, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "residual",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 4, "h", "w"])],
        [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", channels, None, None])
            for name, channels in (("y", 6), ("z", 5), *([("u", 4)] if seen else []))
        ],
        [numpy_helper.from_array(rng.normal(size=size).astype(np.float32), name) for name, size in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.mark.parametrize("size", [(8, 6), (7, 5), (1, 1)])
def test_moving_strides_up_changes_no_number(size: tuple[int, int]) -> None:
    model = residual_graph()
    x = np.random.default_rng(2).normal(size=(2, 4, *size)).astype(np.float32)
    before = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    assert move_strides_up(model) == 1
    onnx.checker.check_model(model)
    after = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))
    # The 3 x 3 convolution now computes a quarter of the places; what was skipped to is picked by a pool of one place.
    strides = {node.output[0]: list(a.ints) for node in model.graph.node for a in node.attribute if a.name == "strides"}
    assert strides == {"s": [2, 2], "r_thin": [2, 2], "y": [1, 1], "z": [1, 1]}
    assert move_strides_up(model) == 0


def test_strides_stay_where_somebody_needs_every_place() -> None:
    model = residual_graph(seen=True)
    before = model.SerializeToString()
    assert move_strides_up(model) == 0
    assert model.SerializeToString() == before
