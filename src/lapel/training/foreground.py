"""A small network that finds the product in an image, learned without a mask drawn by hand.

A shop's image shows its product on white, so where the product is follows from the image. Laid on a scene, turned, lit
and blurred, it becomes an image of which every pixel's answer is known. Scenes are made up, or are the floors and walls
of people's photos. The photos are learned from too, with the masks of a teacher (:mod:`lapel.training.photo_masks`), as
they are and with what they show laid on another's floor. The network is an EfficientNet-Lite0 with a decoder that joins
its maps from coarse to fine (Lin et al., "Feature Pyramid Networks", 2017).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lapel.core.errors import InputError
from lapel.core.images import Pixels
from lapel.training.augment import (
    Augmentation,
    Uniform,
    augment_masked,
    clutter,
    random_backgrounds,
    random_homography,
    sampling_grid,
)
from lapel.training.checkpoint import Checkpoint, Session
from lapel.training.data import Rows, TrainingSet
from lapel.training.efficientnet import LITE_MEAN, LITE_STD, ConvNorm, EfficientNetLite0
from lapel.training.machine import Machine, mixed_precision

# Blocks whose maps are joined, and their channels: strides 2, 4, 8, 16 and 32.
TAPS = {0: 16, 2: 24, 4: 40, 10: 112, 15: 320}
WIDTH = 32  # channels of the joined maps
SPLIT = 2  # the finest map is of half the size: each of its places says its four pixels (Shi et al., "ESPCN", 2016)
WARMUP = 50  # steps
EPOCH = 4_096  # images
# Of an image that its product fills: above the second it has no white around it, and nothing says where the product is.
SHARE = (0.03, 0.85)
COLOURS, FLOORS = 0.25, 0.5  # shares of scenes: bright colours; floors of people's photos
AROUND = 4  # pixels around a product that its mask may miss
# How another floor is made of a photo's: turned any way, near or far, continued in its own mirror image.
FLOOR = Augmentation(turn=180, zoom=(0.3, 1.3), shift=0.7, perspective=0.25)
SPARE = 2  # photos drawn for each that is wanted, as the teacher may have been in doubt about some
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
# A photo has its room around it already.
PHOTOS = replace(SCENES, zoom=(0.7, 1.3), background=0.4)


@dataclass(frozen=True)
class ForegroundConfig:
    """Everything that decides what is learned.

    Attributes:
        epochs: Each is ``EPOCH`` images of the shop, or all where there are fewer.
        batch: Images of the shop a step.
        rate: Peak learning rate of the decoder; the backbone learns at a third of it.
        scenes: How the shop's images are changed, and how often they are laid on a scene.
        photos: How people's photos are changed, and how often what they show is laid on another scene.
        photo_share: Photos a step, for each image of the shop.
        seed: Decides order and scenes.
    """

    epochs: int = 5
    batch: int = 16
    rate: float = 1e-3
    scenes: Augmentation = SCENES
    photos: Augmentation = PHOTOS
    photo_share: float = 1.0
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
        self.last = nn.Conv2d(WIDTH, SPLIT**2, 3, padding=1)

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
        height, width = pixels.shape[1:3]
        return functional.pixel_shuffle(self.last(x), SPLIT)[:, 0, :height, :width].float()

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
    """Learn from the train images of the shop and people's photos, or go on from ``out/checkpoint.pt``.

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
        Mean intersection over union on val images, the shop's in scenes of their own.

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
    rows, photos = _by_part(data, data.train)
    steps = min(EPOCH, len(rows)) // config.batch
    for epoch in range(session.at.epoch, config.epochs):
        order = np.random.default_rng((config.seed, epoch)).permutation(rows)
        network.train()
        for step in range(session.first_step(epoch), steps):
            number = epoch * steps + step
            done = number / (config.epochs * steps)
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * min(1, (number + 1) / WARMUP) * (1 + math.cos(math.pi * done)) / 2
            chosen = np.sort(order[step * config.batch : (step + 1) * config.batch])
            loss, found, truth = _forward(
                network, data, chosen, photos, config, machine, seed=(config.seed << 32) + number
            )
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
    """Mean intersection over union on val images, each in a scene of its own, and on val photos."""
    network.eval()
    rows, photos = _by_part(data, data.val)
    shares = []
    with torch.no_grad():
        for at in range(0, min(most, len(rows)), config.batch):
            _, found, truth = _forward(network, data, rows[at : at + config.batch], photos, config, machine, seed=at)
            shares.append(overlap(torch.sigmoid(found), truth))
    return float(torch.cat(shares).mean()) if shares else math.nan


def lay_on_scenes(pixels: Pixels, config: ForegroundConfig, *, seed: int) -> Pixels:
    """(n, h, w, 4) uint8 images with masks -> (n, h, w, 3) uint8, each in a scene: what an export is calibrated
    with."""
    given, generator = torch.from_numpy(pixels), torch.Generator().manual_seed(seed)
    images, _ = augment_masked(given, generator, config.scenes, scene=draw_scenes(given, None, generator))
    laid: Pixels = images.round().to(torch.uint8).numpy()
    return laid


def _by_part(data: TrainingSet, rows: Rows) -> tuple[Rows, Rows]:
    """Rows of the shop, and of people's photos."""
    return rows[data.parts[rows] == 0], rows[data.parts[rows] > 0]


def _forward(
    network: ForegroundNetwork,
    data: TrainingSet,
    rows: Rows,
    photos: Rows,
    config: ForegroundConfig,
    machine: Machine,
    *,
    seed: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, logits and truth of some of the shop's images in scenes, and of photos drawn by chance."""
    generator = torch.Generator(machine.device).manual_seed(seed)
    products = _usable(data, rows, machine)
    if not len(products):  # a batch of none at all; its truth is the whole of each image
        products = _usable(data, rows, machine, share=(0.0, 1.0))
    count = round(config.photo_share * len(rows)) if len(photos) else 0
    people = _usable(data, np.random.default_rng(seed).choice(photos, SPARE * count), machine)[:count]
    laid = [augment_masked(products, generator, config.scenes, scene=draw_scenes(products, people, generator))]
    if len(people):
        scenes = draw_scenes(people, people.roll(1, dims=0), generator)
        laid.append(augment_masked(people, generator, config.photos, scene=scenes))
    images, truth = (torch.cat(parts) for parts in zip(*laid, strict=True))
    # On CPUs its depthwise convolutions take twice as long in bfloat16.
    with nullcontext() if machine.device.type == "cpu" else mixed_precision(machine.device):
        logits = network.logits(images.contiguous())
    return mask_loss(logits, truth), logits, truth


def _usable(data: TrainingSet, rows: Rows, machine: Machine, *, share: tuple[float, float] = SHARE) -> Tensor:
    """(k, h, w, 4) uint8 of those images that can be read and whose product takes a share of them that makes sense."""
    pixels, good = data.images.read(rows)
    found = (pixels[..., 3] > 127).mean(axis=(1, 2))
    good &= (found >= share[0]) & (found <= share[1])
    return torch.from_numpy(np.ascontiguousarray(pixels[good])).to(machine.device)


def draw_scenes(images: Tensor, photos: Tensor | None, generator: torch.Generator) -> Tensor:
    """Something to lay each image on: rooms as :mod:`lapel.training.augment` draws them, colours that run into each
    other, or floors of photos. Half of all get things on them.

    Args:
        images: (n, h, w, 4) uint8.
        photos: (m, h, w, 4) uint8 of other things with their masks, if there are any.
        generator: Decides everything.

    Returns:
        (n, 3, h, w) float32 in 0..255.
    """
    uniform = Uniform(generator, images.device)
    n, height, width, _ = images.shape
    size = height, width
    # At half the size: neither has anything sharp in it.
    scene = random_backgrounds(n, height // 2, width // 2, generator)
    scene = functional.interpolate(scene, size=size, mode="bilinear")
    colours = functional.interpolate(uniform(10, 245, n, 3, 3, 3), size=size, mode="bicubic")
    kind = uniform(0, 1, n, 1, 1, 1)
    scene = torch.where(kind < COLOURS, colours, scene)
    if photos is not None and len(photos):
        chosen = torch.randint(len(photos), (n,), generator=generator, device=images.device)
        places = sampling_grid(random_homography(n, height / width, uniform, FLOOR), height, width)
        laid = torch.nonzero(kind[:, 0, 0, 0] > 1 - FLOORS)[:, 0]
        floor = functional.grid_sample(
            without_products(photos[chosen[laid]]), places[laid], padding_mode="reflection", align_corners=False
        )
        scene = scene.index_copy(0, laid, floor)
    scene = clutter(scene, images[..., :3].permute(0, 3, 1, 2).float(), uniform)
    noise = torch.randn(n, 1, *size, generator=generator, device=images.device)
    return scene + noise * uniform(0, GRAIN, n, 1, 1, 1)


def without_products(photos: Tensor) -> Tensor:
    """The floors and walls of photos: where the product was, and the white that pads the photo, comes what lies half a
    photo away, or a third, or a fifth; where none of them is floor, the mean colour.

    Args:
        photos: (n, h, w, 4) uint8, RGB and the product's mask.

    Returns:
        (n, 3, h, w) float32 in 0..255.
    """
    given = photos.permute(0, 3, 1, 2).float()
    image, mask = given[:, :3], given[:, 3:]
    white = (image == 255).all(dim=1, keepdim=True)
    padding = white.all(dim=2, keepdim=True) | white.all(dim=3, keepdim=True)
    wide = functional.max_pool2d(mask, (1, 2 * AROUND + 1), stride=1, padding=(0, AROUND))
    near = functional.max_pool2d(wide, (2 * AROUND + 1, 1), stride=1, padding=(AROUND, 0)) > 0.1 * 255
    floor = ~(near | padding)
    height, width = image.shape[2:]
    for part in (2, 3, 5):
        shift = height // part, width // part
        image = torch.where(floor, image, image.roll(shift, dims=(2, 3)))
        floor = floor | floor.roll(shift, dims=(2, 3))
    mean = (image * floor).sum(dim=(2, 3), keepdim=True) / floor.sum(dim=(2, 3), keepdim=True).clamp_min(1)
    return torch.where(floor, image, mean)
