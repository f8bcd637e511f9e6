"""A small network that finds the product in an image, learned from shop images alone: no mask is drawn by hand.

A shop's image shows its product on white, so where the product is follows from the image. Laid on a scene, turned, lit
and blurred, it becomes an image of which every pixel's answer is known. Scenes are made up, or are the floors and walls
of people's photos. The network is an EfficientNet-Lite0 with a decoder that joins its maps from coarse to fine (Lin et
al., "Feature Pyramid Networks", 2017).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lapel.core.errors import InputError
from lapel.core.images import Pixels
from lapel.training.augment import Augmentation, Uniform, augment_masked, clutter, random_backgrounds
from lapel.training.checkpoint import Checkpoint, Session
from lapel.training.data import Rows, TrainingSet
from lapel.training.efficientnet import LITE_MEAN, LITE_STD, ConvNorm, EfficientNetLite0
from lapel.training.machine import Machine, mixed_precision

# Blocks whose maps are joined, and their channels: strides 2, 4, 8, 16 and 32.
TAPS = {0: 16, 2: 24, 4: 40, 10: 112, 15: 320}
WIDTH = 32  # channels of the joined maps
WARMUP = 100  # steps
# Of an image that its product fills: above the second it has no white around it, and nothing says where the product is.
SHARE = (0.03, 0.85)
COLOURS, FLOORS = 0.3, 0.35  # shares of scenes: bright colours; floors of people's photos
GRAIN = 12.0  # largest deviation
LOG_EVERY = 20
Report = Callable[[dict[str, Any]], None]
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


@dataclass(frozen=True)
class ForegroundConfig:
    """Everything that decides what is learned.

    Attributes:
        epochs: Passes over the shop's images.
        batch: Images a step.
        rate: Peak learning rate of the decoder; the backbone learns at a third of it.
        scenes: How the images are changed, and how often they are laid on a scene.
        seed: Decides order and scenes.
    """

    epochs: int = 2
    batch: int = 32
    rate: float = 1e-3
    scenes: Augmentation = SCENES
    seed: int = 7

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 2:
            raise InputError(
                f"A finder learns for 1 epoch or more from batches of 2 or more; found {self.epochs}, {self.batch}."
            )


class ForegroundNetwork(nn.Module):
    """Preprocessed uint8 images in, how likely each pixel is of the product out.

    Args:
        backbone: With ImageNet weights.
    """

    def __init__(self, backbone: EfficientNetLite0) -> None:
        super().__init__()
        self.backbone = backbone
        self.backbone.head = nn.Identity()  # type: ignore[assignment]
        self.laterals = nn.ModuleList(nn.Conv2d(channels, WIDTH, 1) for channels in TAPS.values())
        self.joins = nn.ModuleList(ConvNorm(WIDTH, WIDTH, kernel=3) for _ in list(TAPS)[:-1])
        self.last = nn.Conv2d(WIDTH, 1, 3, padding=1)

    def logits(self, pixels: Tensor) -> Tensor:
        """(n, h, w, 3) uint8 RGB or 0..255 float -> (n, h, w)."""
        x = self.backbone.stem((pixels.permute(0, 3, 1, 2).to(torch.float32) - LITE_MEAN) / LITE_STD)
        maps: list[Tensor] = []
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
    """Cross-entropy and 1 - Dice (Milletari et al., "V-Net", 2016) of (n, h, w) logits against (n, h, w) shares of
    product in 0..1."""
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
    config: ForegroundConfig,
    *,
    network: ForegroundNetwork,
    start: str,
    out: Path,
    report: Report,
    machine: Machine,
    save_seconds: float = 300.0,
) -> float:
    """Learn from the train images of the shop, or go on from ``out/checkpoint.pt``.

    Args:
        data: Images with masks.
        config: What decides the result; a checkpoint of another one is refused.
        network: Changed in place.
        start: What its weights are, in words.
        out: Folder for ``checkpoint.pt`` and ``log.csv``.
        report: Called with each row of the log and each warning.
        machine: Where it runs.
        save_seconds: Time between two checkpoints.

    Returns:
        Mean intersection over union on val images in scenes of their own.

    Raises:
        ModelError: the checkpoint is of another configuration, or damaged.
    """
    out.mkdir(parents=True, exist_ok=True)
    network.to(machine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    decoder = [*network.laterals.parameters(), *network.joins.parameters(), *network.last.parameters()]
    backbone = {"params": list(network.backbone.parameters()), "peak": config.rate / 3}
    optimizer = torch.optim.AdamW([backbone, {"params": decoder, "peak": config.rate}], lr=config.rate)
    checkpoint = Checkpoint(
        out / "checkpoint.pt", config=config, start=start, modules={"network": network}, optimizer=optimizer
    )
    session = Session(checkpoint, out / "log.csv", report, save_seconds=save_seconds)
    rows = data.train[data.parts[data.train] == 0]
    steps = len(rows) // config.batch
    for epoch in range(session.at.epoch, config.epochs):
        order = np.random.default_rng((config.seed, epoch)).permutation(rows)
        network.train()
        for step in range(session.first_step(epoch), steps):
            number = epoch * steps + step
            done = number / (config.epochs * steps)
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * min(1, (number + 1) / WARMUP) * (1 + math.cos(math.pi * done)) / 2
            chosen = np.sort(order[step * config.batch : (step + 1) * config.batch])
            loss, found, truth = _forward(network, data, chosen, config, machine, seed=(config.seed << 32) + number)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if step % LOG_EVERY == 0:
                share = float(overlap(torch.sigmoid(found.detach()), truth).mean())
                session.add({"epoch": epoch + 1, "step": step, "loss": float(loss.detach()), "overlap": share})
            session.save(epoch, step + 1, due=False)
        session.save(epoch + 1)
    return evaluate_foreground(network, data, config, machine=machine)


def evaluate_foreground(
    network: ForegroundNetwork, data: TrainingSet, config: ForegroundConfig, *, machine: Machine, most: int = 1024
) -> float:
    """Mean intersection over union on val images of the shop, each in a scene of its own."""
    network.eval()
    rows = data.val[data.parts[data.val] == 0][:most]
    shares = []
    with torch.no_grad():
        for at in range(0, len(rows), config.batch):
            _, found, truth = _forward(network, data, rows[at : at + config.batch], config, machine, seed=at)
            shares.append(overlap(torch.sigmoid(found), truth))
    return float(torch.cat(shares).mean()) if shares else math.nan


def lay_on_scenes(pixels: Pixels, config: ForegroundConfig, *, seed: int) -> Pixels:
    """(n, h, w, 4) uint8 images with masks -> (n, h, w, 3) uint8, each in a scene: what an export is calibrated
    with."""
    given, generator = torch.from_numpy(pixels), torch.Generator().manual_seed(seed)
    images, _ = augment_masked(given, generator, config.scenes, scene=draw_scenes(given, None, generator))
    laid: Pixels = images.round().to(torch.uint8).numpy()
    return laid


def _forward(
    network: ForegroundNetwork, data: TrainingSet, rows: Rows, config: ForegroundConfig, machine: Machine, *, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, logits and truth of some images in scenes; one that cannot be read, or shows no product on white, is left
    out."""
    pixels, good = data.images.read(rows)
    share = (pixels[..., 3] > 127).mean(axis=(1, 2))
    good &= (share > SHARE[0]) & (share < SHARE[1])
    if not good.any():  # a batch of none at all; its truth is the whole of each image
        good[:] = True
    photos = data.train[data.parts[data.train] > 0]
    floors = None
    if len(photos):
        chosen = np.random.default_rng(seed).choice(photos, int(good.sum()))
        floors = torch.from_numpy(data.images.read(chosen)[0][..., :3]).to(machine.device)
    generator = torch.Generator(machine.device).manual_seed(seed)
    given = torch.from_numpy(np.ascontiguousarray(pixels[good])).to(machine.device)
    images, truth = augment_masked(given, generator, config.scenes, scene=draw_scenes(given, floors, generator))
    with mixed_precision(machine.device):
        logits = network.logits(images.contiguous())
    return mask_loss(logits, truth), logits, truth


def draw_scenes(images: Tensor, photos: Tensor | None, generator: torch.Generator) -> Tensor:
    """Something to lay each image on: rooms as :mod:`lapel.training.augment` draws them, colours that run into each
    other, or what lies in the corner of a photo, continued in its own mirror image. Half of all get things on them.

    Args:
        images: (n, h, w, 4) uint8.
        photos: (n, h, w, 3) uint8 of other things, if there are any.
        generator: Decides everything.

    Returns:
        (n, 3, h / 2, w / 2) float32 in 0..255.
    """
    uniform = Uniform(generator, images.device)
    n, height, width, _ = images.shape
    size = height // 2, width // 2
    scene = random_backgrounds(n, *size, generator)
    colours = functional.interpolate(uniform(10, 245, n, 3, 3, 3), size=size, mode="bicubic")
    kind = uniform(0, 1, n, 1, 1, 1)
    scene = torch.where(kind < COLOURS, colours, scene)
    if photos is not None:
        down, across = height // 6, width // 6
        # A little inside the corner: a photo of another shape has white along its edges.
        top, left = height // 12, width // 12
        corner = photos.permute(0, 3, 1, 2).float()[:, :, top : top + down, left : left + across]
        row = torch.cat([corner, corner.flip(3)], dim=3)
        tile = torch.cat([row, row.flip(2)], dim=2)
        floor = functional.interpolate(tile, size=size, mode="bilinear", align_corners=False)
        scene = torch.where(kind > 1 - FLOORS, floor, scene)
    scene = clutter(scene, images[..., :3].permute(0, 3, 1, 2).float(), uniform)
    noise = torch.randn(n, 1, *size, generator=generator, device=images.device)
    return scene + noise * uniform(0, GRAIN, n, 1, 1, 1)
