"""A small network that finds the product in a picture, learned from shop pictures alone: no mask is drawn by hand.

A shop's picture shows its product on white, so where the product is follows from the picture. Laid on scenes that are made up, turned,
lit and blurred, it becomes a picture of which every pixel's answer is known. The network is an EfficientNet-Lite0 with a decoder
that joins its maps from coarse to fine (Lin et al., "Feature Pyramid Networks for Object Detection", 2017).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lapel.training.augment import Augmentation, augment_masked
from lapel.training.batches import TrainingSet
from lapel.training.efficientnet import ConvNorm, EfficientNetLite0
from lapel.training.imagenet import IMAGENET_MEAN, IMAGENET_STD
from lapel.training.machine import Machine

# Blocks whose maps are joined, and their channels: strides 2, 4, 8, 16 and 32.
TAPS = {0: 16, 2: 24, 4: 40, 10: 112, 15: 320}
WIDTH = 32  # channels of the joined maps
BATCH = 32
RATE = 1e-3
LOG_EVERY = 20
# More room around than a search's photo has, and nothing laid over it: a covered place has no right answer.
SCENES = Augmentation(
    turn=25,
    zoom=(0.75, 2.4),
    shift=0.15,
    perspective=0.2,
    light=0.35,
    gamma=0.3,
    tint=0.1,
    background=0.9,
    blur=0.02,
    blurred=0.3,
    compressed=0.3,
)


class ForegroundNetwork(nn.Module):
    """Preprocessed uint8 pictures in, how likely each pixel is of the product out.

    Args:
        backbone: With ImageNet weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: EfficientNetLite0) -> None:
        super().__init__()
        self.backbone = backbone
        self.backbone.head = nn.Identity()  # type: ignore[assignment]
        self.laterals = nn.ModuleList(nn.Conv2d(channels, WIDTH, 1) for channels in TAPS.values())
        self.joins = nn.ModuleList(ConvNorm(WIDTH, WIDTH, kernel=3) for _ in list(TAPS)[:-1])
        self.last = nn.Conv2d(WIDTH, 1, 3, padding=1)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1) * 255, persistent=False)

    def logits(self, pixels: Tensor) -> Tensor:
        """(n, h, w, 3) uint8 RGB or 0..255 float -> (n, h, w)."""
        x = (pixels.permute(0, 3, 1, 2).to(torch.float32) - self.mean) / self.std
        x = self.backbone.stem(x * self.backbone.rescale + self.backbone.shift)
        maps = []
        for number, block in enumerate(self.backbone.blocks):
            x = block(x)
            if number in TAPS:
                maps.append(self.laterals[len(maps)](x))
        x = maps[-1]
        for fine, join in zip(reversed(maps[:-1]), reversed(self.joins), strict=True):
            x = join(fine + functional.interpolate(x, size=fine.shape[2:], mode="nearest"))
        x = functional.interpolate(self.last(x), size=pixels.shape[1:3], mode="bilinear", align_corners=False)
        return x[:, 0].float()

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, h, w, 3) uint8 RGB -> (n, h, w) float32 in 0..1: the output ``mask`` of the exported file."""
        return torch.sigmoid(self.logits(pixels))


def mask_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy and 1 - Dice (Milletari et al., "V-Net", 2016) of (n, h, w) logits against (n, h, w) shares of product in 0..1."""
    entropy = functional.binary_cross_entropy_with_logits(logits, truth)
    found = torch.sigmoid(logits)
    both, all_ = (found * truth).sum(dim=(1, 2)), (found + truth).sum(dim=(1, 2))
    return entropy + (1 - (2 * both + 1) / (all_ + 1)).mean()


def overlap(found: Tensor, truth: Tensor) -> Tensor:
    """(n, h, w) in 0..1, twice -> (n,) intersection over union where both are cut at 0.5."""
    a, b = found > 0.5, truth > 0.5
    return (a & b).sum(dim=(1, 2)) / (a | b).sum(dim=(1, 2)).clamp_min(1)


def train_foreground(
    data: TrainingSet,
    network: ForegroundNetwork,
    *,
    epochs: int,
    machine: Machine,
    report: Callable[[dict[str, Any]], None],
    seed: int = 7,
) -> float:
    """Learn from the train pictures of the shop.

    Args:
        data: Pictures with masks.
        network: Changed in place.
        epochs: Passes over the pictures.
        machine: Where it runs.
        report: Called with a row every few steps.
        seed: Decides order and scenes.

    Returns:
        Mean intersection over union on val pictures in scenes of their own.
    """
    network.to(machine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    slow, fast = list(network.backbone.parameters()), [
        *network.laterals.parameters(),
        *network.joins.parameters(),
        *network.last.parameters(),
    ]
    optimizer = torch.optim.AdamW([{"params": slow, "peak": RATE / 3}, {"params": fast, "peak": RATE}], lr=RATE)
    rows = data.train[data.parts[data.train] == 0]
    steps = epochs * (len(rows) // BATCH)
    step = 0
    for epoch in range(epochs):
        rng = np.random.default_rng((seed, epoch))
        order = rng.permutation(rows)
        network.train()
        for at in range(0, len(order) - BATCH + 1, BATCH):
            done = step / steps
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * min(1.0, (step + 1) / 100) * 0.5 * (1 + np.cos(np.pi * done))
            loss, found, truth = _ask(network, data, np.sort(order[at : at + BATCH]), machine, seed=(seed << 32) + step)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if step % LOG_EVERY == 0:
                share = float(overlap(torch.sigmoid(found), truth).mean())
                report({"epoch": epoch + 1, "step": step, "of": steps, "loss": float(loss.detach()), "overlap": share})
            step += 1
    return judge_foreground(network, data, machine)


def judge_foreground(network: ForegroundNetwork, data: TrainingSet, machine: Machine, *, most: int = 1024) -> float:
    """Mean intersection over union on val pictures of the shop, each in a scene of its own."""
    network.eval()
    rows = data.val[data.parts[data.val] == 0][:most]
    shares = []
    with torch.no_grad():
        for at in range(0, len(rows), BATCH):
            _, found, truth = _ask(network, data, rows[at : at + BATCH], machine, seed=at)
            shares.append(overlap(torch.sigmoid(found), truth))
    return float(torch.cat(shares).mean())


def _ask(
    network: ForegroundNetwork, data: TrainingSet, rows: Any, machine: Machine, *, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, logits and truth of some pictures in scenes."""
    pixels, _ = data.pictures.read(rows)
    given = torch.from_numpy(np.ascontiguousarray(pixels)).to(machine.device)
    generator = torch.Generator(machine.device).manual_seed(seed)
    pictures, truth = augment_masked(given, generator, SCENES)
    with torch.autocast(machine.device.type, dtype=torch.bfloat16):
        logits = network.logits(pictures.contiguous())
    return mask_loss(logits, truth), logits, truth
