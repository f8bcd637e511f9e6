"""Another photo of the same thing, made from a shop's picture: turned, cropped, lit, and perhaps laid somewhere else.

In go preprocessed uint8 pixels, out come floats of the same shape. Colour must survive, since shops tell products apart by it, so
light and tint change little, and a new background replaces only the white around the product.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

# A pixel whose darkest channel is above it can be paper white; JPEG leaves noise of about 15 around products.
WHITE = 236
# Next to paper, a pixel above this one is the edge of the product mixed with white.
RIM = 200


@dataclass(frozen=True)
class Augmentation:
    """How far a picture may be changed. Each value is the largest change to either side.

    Attributes:
        turn: Degrees.
        zoom: Smallest and largest part of the picture that is shown, by side; above 1 there is room around it.
        shift: Share of the side.
        light: Share of the brightness of all channels.
        tint: Share of the brightness of each channel.
        background: Share of pictures that are laid on another background, 0..1.
    """

    turn: float = 8.0
    zoom: tuple[float, float] = (0.8, 1.1)
    shift: float = 0.1
    light: float = 0.15
    tint: float = 0.04
    background: float = 0.0


def augment(pixels: Tensor, generator: torch.Generator, options: Augmentation) -> Tensor:
    """Change every picture of a batch in its own way; half of them are also mirrored.

    Args:
        pixels: (n, h, w, 3) uint8.
        generator: Decides everything.
        options: How far.

    Returns:
        (n, h, w, 3) float32 in 0..255.
    """
    n, height, width, _ = pixels.shape
    uniform = _Uniform(generator)
    picture = pixels.permute(0, 3, 1, 2).float()  # (n, 3, h, w)
    grid = functional.affine_grid(
        _random_affine(n, height / width, uniform, options), [n, 4, height, width], align_corners=False
    )
    product = torch.ones(n, 1, height, width)
    behind = torch.full_like(picture, 255.0)
    if options.background > 0:
        product = 1 - paper(picture).float()
        elsewhere = torch.rand(n, generator=generator) < options.background
        behind = torch.where(elsewhere[:, None, None, None], random_backgrounds(n, height, width, generator), behind)
        product = torch.where(elsewhere[:, None, None, None], product, torch.ones_like(product))
    # Colours are multiplied by their mask before they are moved, so that no white is mixed into the edges of the product.
    moved = functional.grid_sample(
        torch.cat([picture * product, product], dim=1), grid, padding_mode="zeros", align_corners=False
    )
    laid = moved[:, :3] + behind * (1 - moved[:, 3:])
    lit = 1 + uniform(-options.light, options.light, n, 1, 1, 1)
    tinted = 1 + uniform(-options.tint, options.tint, n, 3, 1, 1)
    return (laid * lit * tinted).clamp(0, 255).permute(0, 2, 3, 1)


class _Uniform:
    """Seeded uniform numbers."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def __call__(self, low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=self._generator)


def _random_affine(n: int, ratio: float, uniform: _Uniform, options: Augmentation) -> Tensor:
    """(n, 2, 3) maps from places of the new picture to places of the old one; ``ratio`` is height over width."""
    angle = uniform(-options.turn, options.turn, n) * torch.pi / 180
    mirror = torch.where(uniform(0, 1, n) < 0.5, -1.0, 1.0)
    zoom = uniform(*options.zoom, n)
    zoom_x, zoom_y = zoom * uniform(0.94, 1.06, n), zoom * uniform(0.94, 1.06, n)
    shift = uniform(-options.shift, options.shift, n, 2)
    cos, sin = torch.cos(angle), torch.sin(angle)
    row_x = torch.stack([zoom_x * mirror * cos, -zoom_x * sin * ratio, shift[:, 0]], dim=1)
    row_y = torch.stack([zoom_y * mirror * sin / ratio, zoom_y * cos, shift[:, 1]], dim=1)
    return torch.stack([row_x, row_y], dim=1)


def paper(picture: Tensor) -> Tensor:
    """Where the white around the product is: near-white places joined to the border by near-white places.

    Args:
        picture: (n, 3, h, w) float in 0..255.

    Returns:
        (n, 1, h, w) bool. A white product that touches no border-joined white stays whole; one that does may lose its rim.
    """
    white = (picture.amin(dim=1, keepdim=True) > WHITE).float()
    small = functional.max_pool2d(1 - white, 2, ceil_mode=True) == 0  # (n, 1, h / 2, w / 2): all four pixels are white
    reached = torch.zeros_like(small)
    reached[:, :, [0, -1], :] = small[:, :, [0, -1], :]
    reached[:, :, :, [0, -1]] = small[:, :, :, [0, -1]]
    for _ in range(4 * max(small.shape[2:])):  # the longest way round a product is shorter than this
        grown = (functional.max_pool2d(reached.float(), 3, stride=1, padding=1) > 0) & small
        if bool((grown == reached).all()):
            break
        reached = grown
    full = functional.interpolate(reached.float(), size=picture.shape[2:], mode="nearest")
    # The half-size mask stops a pixel or two before the product: the pale rim next to it belongs to the background too.
    return (functional.max_pool2d(full, 5, stride=1, padding=2) > 0) & (picture.amin(dim=1, keepdim=True) > RIM)


def random_backgrounds(n: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Walls, floors and fabrics, roughly: two colours that run into each other, with blotches, grain or stripes of another.

    Returns:
        (n, 3, height, width) float32 in 0..255.
    """
    uniform = _Uniform(generator)
    grey = uniform(40, 245, n, 1, 1, 1)
    base = (grey + uniform(-30, 30, n, 3, 1, 1)).clamp(0, 255)  # mostly muted, as rooms are
    other = (base + uniform(-60, 60, n, 1, 1, 1) + uniform(-20, 20, n, 3, 1, 1)).clamp(0, 255)
    blend = torch.zeros(n, 1, height, width)
    for cells in (2, 5, 14, 40):
        noise = uniform(0, 1, n, 1, cells, cells)
        stretched = functional.interpolate(noise, size=(height, width), mode="bicubic", align_corners=False)
        blend = blend + stretched * uniform(0, 1, n, 1, 1, 1) ** 2
    across = torch.linspace(0, 1, width).view(1, 1, 1, width)
    stripes = torch.sin(across * uniform(10, 120, n, 1, 1, 1)) * uniform(-1, 0.6, n, 1, 1, 1).clamp_min(0)
    blend = (blend + 0.5 * stripes - 0.5).clamp(0, 1)
    return base * (1 - blend) + other * blend
