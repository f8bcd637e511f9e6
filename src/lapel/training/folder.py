"""A trained network back from its model folder, to go on learning from: ``lapel train --from``.

The folder holds an exported file only: batch norms folded into convolutions, most weights in 8 bits. That is enough.
The weights are
scaled back to floats, put into the same backbone without norms, and checked against the vectors that the folder
carries.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from lapel.core.errors import ModelError
from lapel.encoders.model import REFERENCE, ModelFolder, read_model
from lapel.training.efficientnet import EfficientNetLite0
from lapel.training.export import encode_float32
from lapel.training.network import Backbone, EmbeddingNetwork, ResNet50

# What a backbone is called in model.json. The two ResNet50 differ in where a stage halves the picture.
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
    _check(network, folder)
    if "wide.2.weight" in weights:
        network.wake()
    return network, model


def without_norms(backbone: Backbone) -> Backbone:
    """The same backbone with a bias in each convolution in place of the batch norm after it; changed in place."""
    for module in list(backbone.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
            elif isinstance(child, nn.Conv2d):
                child.bias = nn.Parameter(torch.zeros(child.out_channels))
    return backbone


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


def _check(network: EmbeddingNetwork, folder: Path) -> None:
    """The weights were read rightly if they give the vectors that the folder carries."""
    reference = read_model(folder).reference()
    if reference is None:
        raise ModelError(
            f"The model {folder} misses its {REFERENCE}, or it cannot be read. Copy the model folder again."
        )
    cosine = reference.cosines(encode_float32(network, reference.pixels))
    if cosine.min() < LEAST_COSINE:
        raise ModelError(
            f"The weights of {folder} give other vectors than its {REFERENCE} (least cosine {cosine.min():.3f})."
            f" Export it again."
        )
