"""A backbone with a 128-d head on the unit sphere.

In go uint8 images; out come unit vectors and the map they are the mean of.

The ResNet50 backbone's parameter names are torchvision's, so its weight files load; the source is He et al., "Deep
Residual Learning for Image Recognition" (2016). The small one is :mod:`lapel.training.efficientnet`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lapel.training.efficientnet import IMAGENET_MEAN, IMAGENET_STD, EfficientNetLite0

STAGES = (3, 4, 6, 3)  # bottleneck blocks a stage: what makes it the 50-layer network
WIDTH = 1024  # of the head's hidden layer


def convolve(conv: nn.Conv2d, norm: nn.Module, x: Tensor) -> Tensor:
    """A convolution and its batch norm; outside training the norm's scale goes into the weights, which saves a pass
    over the map.

    The exporter does the same by itself, and then keeps the names of the weights.
    """
    if norm.training or not isinstance(norm, nn.BatchNorm2d) or torch.compiler.is_exporting():
        out: Tensor = norm(conv(x))
        return out
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    weight = conv.weight * scale[:, None, None, None]
    return functional.conv2d(x, weight, norm.bias - norm.running_mean * scale, conv.stride, conv.padding)


class Bottleneck(nn.Module):
    """1 x 1 down, 3 x 3, 1 x 1 up (four times wider), added to the input."""

    def __init__(self, inputs: int, width: int, stride: int, stride_first: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, stride=stride if stride_first else 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=1 if stride_first else stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * 4, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * 4)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != width * 4:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, width * 4, 1, stride=stride, bias=False), nn.BatchNorm2d(width * 4)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, 4 width, h / stride, w / stride)."""
        kept = x
        if isinstance(self.downsample, nn.Sequential):
            conv, norm = self.downsample
            assert isinstance(conv, nn.Conv2d)
            kept = convolve(conv, norm, x)
        elif self.downsample is not None:  # folded for export
            kept = self.downsample(x)
        x = self.relu(convolve(self.conv1, self.bn1, x))
        x = self.relu(convolve(self.conv2, self.bn2, x))
        out: Tensor = self.relu(convolve(self.conv3, self.bn3, x) + kept)
        return out


class ResNet50(nn.Module):
    """The backbone, without its ImageNet classifier.

    Args:
        stride_first: Where a stage halves the image: in its first 1 x 1 convolution (v1, as Keras' weights were
            trained), or in its 3 x 3 (v1.5, as torchvision's were).
    """

    features = 2048
    in_float: tuple[str, ...] = ()  # no layer needs more than 8 bits

    def __init__(self, *, stride_first: bool) -> None:
        super().__init__()
        self.stride_first = stride_first
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        inputs = 64
        for stage, blocks in enumerate(STAGES):
            width = 64 * 2**stage
            layers = []
            for block in range(blocks):
                layers.append(Bottleneck(inputs, width, 2 if block == 0 and stage > 0 else 1, stride_first))
                inputs = width * 4
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))

    def early(self) -> tuple[nn.Module, ...]:
        """The layers whose ImageNet weights serve as they are: edges, colours and simple textures."""
        first = self.layer1
        assert isinstance(first, nn.Module)
        return (self.conv1, self.bn1, first)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) normalised RGB -> (n, 2048, h / 32, w / 32)."""
        x = self.maxpool(self.relu(convolve(self.conv1, self.bn1, x)))
        for stage in range(len(STAGES)):
            x = getattr(self, f"layer{stage + 1}")(x)
        return x


Backbone = ResNet50 | EfficientNetLite0


class _OpenOnAverage(nn.Module):
    """A ReLU that decides once for all places: (n, c, h, w) -> the same, with the channels whose mean is not above 0
    set to 0."""

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return torch.where(x.mean(dim=(2, 3), keepdim=True) > 0, x, 0.0)


@dataclass(frozen=True)
class Embedding:
    """What the network says of n images.

    Attributes:
        vectors: (n, dim) float, unit rows.
        spatial: (n, dim, h, w) float: the map whose mean over h and w, scaled to length 1, is ``vectors``.
    """

    vectors: Tensor
    spatial: Tensor


class EmbeddingNetwork(nn.Module):
    """Backbone -> 1 x 1 head -> mean over places -> unit length. Preprocessed uint8 images go in as they are.

    The head is applied before the mean, so that every place of the image has its own 128 numbers to explain a match
    with. It is a linear part and, beside it, a ``wide`` one with a hidden layer: what a linear head mixes up on the way
    from 2,048 numbers to 128, that one keeps apart. A hidden unit is open when its mean over the places is above 0, at
    all places or at none: so the mean of the map is what the head says of the mean of the features, and each place has
    its exact share in it.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone | None = None, *, dim: int = 128, frozen: bool = False) -> None:
        """Put a head on a backbone.

        Args:
            backbone: ResNet50 with random weights by default.
            dim: Width of the vectors.
            frozen: Keep the backbone's early layers as they are: a quarter of the time of a step, and nothing lost.
        """
        super().__init__()
        self.backbone: Backbone = backbone if backbone is not None else ResNet50(stride_first=True)
        self.head = nn.Conv2d(self.backbone.features, dim, 1)
        self.wide = nn.Sequential(
            nn.Conv2d(self.backbone.features, WIDTH, 1), _OpenOnAverage(), nn.Conv2d(WIDTH, dim, 1, bias=False)
        )
        # It says nothing until head fine-tuning, which knows the features it gets: the network begins as the linear
        # head alone.
        nn.init.zeros_(self.wide[2].weight)  # type: ignore[arg-type]
        self.wide.requires_grad_(False)
        self.frozen = self.backbone.early() if frozen else ()
        for module in self.frozen:
            module.requires_grad_(False)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1) * 255, persistent=False)

    def train(self, mode: bool = True) -> EmbeddingNetwork:
        """As torch's, but frozen layers keep their ImageNet statistics too."""
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self

    def normalise_pixels(self, pixels: Tensor) -> Tensor:
        """(n, h, w, 3) uint8 or 0..255 float -> (n, 3, h, w) float32 with ImageNet's mean and deviation taken out."""
        x = pixels.permute(0, 3, 1, 2).to(torch.float32)
        return (x - self.mean) / self.std

    def embed(self, x: Tensor) -> Embedding:
        """(n, 3, h, w) normalised floats -> Embedding."""
        return self.project(self.backbone(x))

    def project(self, features: Tensor) -> Embedding:
        """(n, features, h, w) of the backbone -> Embedding: the head at every place, and what it says on average.

        The vectors of the features' mean over the places, (n, features, 1, 1), are the same.
        """
        spatial = (self.head(features) + self.wide(features)).float()  # (n, dim, h, w)
        return Embedding(functional.normalize(spatial.mean(dim=(2, 3)), dim=1), spatial)

    def unfreeze_hidden_layer(self) -> None:
        """Let the head's hidden layer learn from now on; one that says nothing yet gets random weights, for features of
        deviation 1."""
        self.wide.requires_grad_(True)
        last = self.wide[2]
        assert isinstance(last, nn.Conv2d)
        if not bool(last.weight.any()):
            for layer in self.wide[0], last:
                layer.reset_parameters()  # type: ignore[operator]
            with torch.no_grad():
                last.weight *= 0.3

    def head_parameters(self) -> list[nn.Parameter]:
        """What the head learns: the linear part and, once it is unfrozen, the hidden layer."""
        return [given for given in (*self.head.parameters(), *self.wide.parameters()) if given.requires_grad]

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """(n, h, w, 3) uint8 RGB -> ((n, dim) unit rows, (n, dim, h / 32, w / 32)): the two outputs of the exported
        file."""
        out = self.embed(self.normalise_pixels(pixels))
        return out.vectors, out.spatial
