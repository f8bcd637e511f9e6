"""Another photo of the same thing, made from a shop's image: turned, cropped, seen from the side, lit, blurred, and
laid somewhere else.

In go preprocessed uint8 pixels with the product's mask, out come floats at any size. Everything is plain tensor
arithmetic, so it runs where the images are, CPU or GPU. Colour must survive, since shops tell products apart by it: no
grey, no hue shift; light and white balance change as lamps and cameras change them, and a new background replaces only
the white around the product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

# A pixel whose darkest channel is above it can be white background; JPEG leaves noise of about 15 around products.
WHITE = 236
# Next to the white background, a pixel above this one is the edge of the product mixed with white.
RIM = 200
THINGS = 10  # on a cluttered background
# Luminance quantisation of JPEG, quality 50 (ITU-T T.81, table K.1).
JPEG_STEPS = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)


@dataclass(frozen=True)
class Augmentation:
    """How far an image may be changed.

    A value is the largest change to either side; a share says how many images are changed so.

    Attributes:
        turn: Degrees.
        zoom: Smallest and largest part of the image that is shown, by side; above 1 there is room around it.
        shift: Share of the side; an image with room around it may also lie anywhere in that room.
        perspective: Share by which the far side looks smaller than the near one.
        light: Share of the brightness of all channels.
        gamma: Exponent's natural logarithm.
        tint: Share of the brightness of each channel: white balance.
        background: Share of images that are laid on another background, 0..1.
        blur: Largest Gaussian deviation as a share of the height; small values stand for upscaled images too.
        blurred: Share of images that are blurred.
        compressed: Share of images with JPEG's losses, quality 10 to 60.
        covered: Share of images with a part covered by something else.
        mirror: Share of images that are mirrored.
    """

    turn: float = 8.0
    zoom: tuple[float, float] = (0.8, 1.1)
    shift: float = 0.1
    perspective: float = 0.0
    light: float = 0.15
    gamma: float = 0.0
    tint: float = 0.04
    background: float = 0.0
    blur: float = 0.0
    blurred: float = 0.0
    compressed: float = 0.0
    covered: float = 0.0
    mirror: float = 0.5


def augment(
    pixels: Tensor, generator: torch.Generator, options: Augmentation, *, size: tuple[int, int] | None = None
) -> Tensor:
    """Change every image of a batch in its own way.

    Args:
        pixels: (n, h, w, 4) uint8: RGB and the product's mask (255 inside), or (n, h, w, 3), whose mask is then found.
        generator: Decides everything; of the same device.
        options: How far.
        size: Height and width of the result; those of ``pixels`` by default.

    Returns:
        (n, height, width, 3) float32 in 0..255.
    """
    return _change(pixels, generator, options, size=size)[0]


def augment_masked(
    pixels: Tensor,
    generator: torch.Generator,
    options: Augmentation,
    *,
    size: tuple[int, int] | None = None,
    scene: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """As :func:`augment`, and where the product is afterwards.

    Args:
        pixels: See :func:`augment`, as the next two.
        generator: See there.
        options: See there.
        size: See there.
        scene: (n, 3, h', w') float in 0..255, a background for each image; drawn by default.

    Returns:
        (n, height, width, 3) float32 in 0..255; and (n, height, width) float32 in 0..1, 1 on the product. Where
        ``options`` never change the background, the whole image counts as product.
    """
    changed, cut, grid = _change(pixels, generator, options, size=size, scene=scene)
    return changed, functional.grid_sample(cut, grid, padding_mode="zeros", align_corners=False)[:, 0]


def _change(
    pixels: Tensor,
    generator: torch.Generator,
    options: Augmentation,
    *,
    size: tuple[int, int] | None,
    scene: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The changed images as :func:`augment` gives them, the product's mask before it was moved, (n, 1, h, w), and how
    it is moved."""
    with torch.autocast(pixels.device.type, enabled=False):  # colours are counted in float32, whoever asks
        uniform = Uniform(generator, pixels.device)
        image = pixels[..., :3].permute(0, 3, 1, 2).float()  # (n, 3, h, w)
        n, _, *given = image.shape
        height, width = size or given
        grid = sampling_grid(random_homography(n, given[0] / given[1], uniform, options), height, width)
        product = torch.ones_like(image[:, :1])
        cut = product
        behind = torch.full((n, 3, height, width), 255.0, device=pixels.device)
        if options.background > 0:
            cut = (
                pixels[..., 3:].permute(0, 3, 1, 2).float() / 255
                if pixels.shape[-1] == 4
                else 1 - white_background_mask(image).float()
            )
            elsewhere = (uniform(0, 1, n) < options.background)[:, None, None, None]
            if scene is None:
                # At half size: a background need not be sharp, and this is most of the work.
                scene = clutter(random_backgrounds(n, height // 2, width // 2, generator), image, uniform)
            scene = functional.interpolate(scene, size=(height, width), mode="bilinear")
            behind = torch.where(elsewhere, scene, behind)
            product = torch.where(elsewhere, cut, product)
        # Colours are multiplied by their mask before they are moved, so that no white is mixed into the edges of the
        # product.
        moved = functional.grid_sample(
            torch.cat([image * product, product], dim=1), grid, padding_mode="zeros", align_corners=False
        )
        laid = moved[:, :3] + behind * (1 - moved[:, 3:])
        laid = _some(laid, options.covered, uniform, lambda part: _cover(part, uniform))
        laid = _light(laid, uniform, options)
        laid = _some(laid, options.blurred, uniform, lambda part: _blur(part, uniform, options.blur))
        laid = _some(laid, options.compressed, uniform, lambda part: _compress(part, uniform))
        return laid.clamp(0, 255).permute(0, 2, 3, 1), cut, grid


class Uniform:
    """Seeded uniform numbers on one device."""

    def __init__(self, generator: torch.Generator, device: torch.device) -> None:
        self._generator, self._device = generator, device

    def __call__(self, low: float, high: float, *shape: int) -> Tensor:
        """Values between two ends, of a shape."""
        return low + (high - low) * torch.rand(*shape, generator=self._generator, device=self._device)


def _some(image: Tensor, share: float, uniform: Uniform, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Change a random share of a batch, and spend time on no other."""
    if share <= 0:
        return image
    chosen = torch.nonzero(uniform(0, 1, len(image)) < share)[:, 0]
    return image.index_copy(0, chosen, change(image[chosen])) if len(chosen) else image


def random_homography(n: int, ratio: float, uniform: Uniform, options: Augmentation) -> Tensor:
    """(n, 3, 3) maps from places of the new image to places of the old one; ``ratio`` is height over width."""
    angle = uniform(-options.turn, options.turn, n) * torch.pi / 180
    mirror = torch.where(uniform(0, 1, n) < options.mirror, -1.0, 1.0)
    zoom = uniform(*options.zoom, n)
    zoom_x, zoom_y = zoom * uniform(0.94, 1.06, n), zoom * uniform(0.94, 1.06, n)
    reach = options.shift + (zoom - 1).clamp_min(0)
    shift_x, shift_y = reach * uniform(-1, 1, n), reach * uniform(-1, 1, n)
    cos, sin = torch.cos(angle), torch.sin(angle)
    row_x = torch.stack([zoom_x * mirror * cos, -zoom_x * sin * ratio, shift_x], dim=1)
    row_y = torch.stack([zoom_y * mirror * sin / ratio, zoom_y * cos, shift_y], dim=1)
    far = uniform(-options.perspective, options.perspective, n, 2)
    row_w = torch.cat([far, torch.ones_like(far[:, :1])], dim=1)
    return torch.stack([row_x, row_y, row_w], dim=1)


def sampling_grid(homography: Tensor, height: int, width: int) -> Tensor:
    """(n, 3, 3) -> (n, height, width, 2) places to sample, in -1..1 inside the image."""
    device = homography.device
    y = (torch.arange(height, device=device) * 2 + 1) / height - 1
    x = (torch.arange(width, device=device) * 2 + 1) / width - 1
    places = torch.stack([x.expand(height, width), y[:, None].expand(height, width), torch.ones_like(x + y[:, None])])
    mapped = homography @ places.reshape(3, -1)  # (n, 3, h w)
    return (mapped[:, :2] / mapped[:, 2:]).permute(0, 2, 1).reshape(-1, height, width, 2)


def white_background_mask(image: Tensor) -> Tensor:
    """Where the white around the product is: near-white places joined to the border by near-white places.

    Args:
        image: (n, 3, h, w) float in 0..255.

    Returns:
        (n, 1, h, w) bool. A white product that touches no border-joined white stays whole; one that does may lose its
        rim.
    """
    white = (image.amin(dim=1, keepdim=True) > WHITE).float()
    small = functional.max_pool2d(1 - white, 2, ceil_mode=True) == 0  # (n, 1, h / 2, w / 2): all four pixels are white
    # Pieces of white, the corners' neighbours too, numbered through all images; those at a border are the background.
    within = np.zeros((3, 3, 3), bool)
    within[1] = True
    pieces, _ = ndimage.label(small[:, 0].cpu().numpy(), structure=within)
    border = np.unique(np.concatenate([pieces[:, [0, -1], :].ravel(), pieces[:, :, [0, -1]].ravel()]))
    at_border = np.zeros(pieces.max(initial=0) + 1, bool)
    at_border[border[border > 0]] = True
    reached = torch.from_numpy(at_border[pieces])[:, None].to(small.device)
    full = functional.interpolate(reached.float(), size=image.shape[2:], mode="nearest")
    # The half-size mask stops a pixel or two before the product: the pale rim next to it belongs to the background too.
    return (functional.max_pool2d(full, 5, stride=1, padding=2) > 0) & (image.amin(dim=1, keepdim=True) > RIM)


def random_backgrounds(n: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Walls, floors and fabrics, roughly: two colours that run into each other, with blotches, grain or stripes of
    another.

    Returns:
        (n, 3, height, width) float32 in 0..255, on the generator's device.
    """
    uniform = Uniform(generator, generator.device)
    grey = uniform(40, 245, n, 1, 1, 1)
    base = (grey + uniform(-30, 30, n, 3, 1, 1)).clamp(0, 255)  # mostly muted, as rooms are
    other = (base + uniform(-60, 60, n, 1, 1, 1) + uniform(-20, 20, n, 3, 1, 1)).clamp(0, 255)
    blend = torch.zeros(n, 1, height, width, device=generator.device)
    for cells in (2, 5, 14, 40):
        noise = uniform(0, 1, n, 1, cells, cells)
        stretched = functional.interpolate(noise, size=(height, width), mode="bilinear", align_corners=False)
        blend = blend + stretched * uniform(0, 1, n, 1, 1, 1) ** 2
    across = torch.linspace(0, 1, width, device=generator.device).view(1, 1, 1, width)
    stripes = torch.sin(across * uniform(10, 120, n, 1, 1, 1)) * uniform(-1, 0.6, n, 1, 1, 1).clamp_min(0)
    blend = (blend + 0.5 * stripes - 0.5).clamp(0, 1)
    return base * (1 - blend) + other * blend


def clutter(scene: Tensor, images: Tensor, uniform: Uniform) -> Tensor:
    """Put things on half of the backgrounds: boxes and ovals of any colour; a quarter become a close-up of another
    image.

    Args:
        scene: (n, 3, h, w) float in 0..255.
        images: (n, 3, h', w') float in 0..255, the batch; each scene may show its neighbour's image, never its own.
        uniform: Decides everything.
    """
    n, _, height, width = scene.shape
    y = torch.linspace(-1, 1, height, device=scene.device).view(1, 1, height, 1)
    x = torch.linspace(-1, 1, width, device=scene.device).view(1, 1, 1, width)
    kind = uniform(0, 1, n, 1, 1, 1)
    for _ in range(THINGS):
        dx = (x - uniform(-1.2, 1.2, n, 1, 1, 1)).abs() / uniform(0.08, 0.6, n, 1, 1, 1)
        dy = (y - uniform(-1.2, 1.2, n, 1, 1, 1)).abs() / uniform(0.08, 0.6, n, 1, 1, 1)
        oval = uniform(0, 1, n, 1, 1, 1) < 0.5
        inside = torch.where(oval, dx * dx + dy * dy, torch.maximum(dx, dy)) < 1
        scene = torch.where(inside & (kind < 0.5), uniform(15, 245, n, 3, 1, 1), scene)
    part = functional.interpolate(
        images.roll(1, dims=0)[:, :, : images.shape[2] // 2, : images.shape[3] // 2],
        size=(height, width),
        mode="bilinear",
        align_corners=False,
    )
    return torch.where(kind > 0.75, part, scene) if n > 1 else scene


def _cover(image: Tensor, uniform: Uniform) -> Tensor:
    """Cover up to a third of the side with a plain box, as a hand, a label or another thing would."""
    n, _, height, width = image.shape
    y = torch.linspace(-1, 1, height, device=image.device).view(1, 1, height, 1)
    x = torch.linspace(-1, 1, width, device=image.device).view(1, 1, 1, width)
    inside = ((x - uniform(-1, 1, n, 1, 1, 1)).abs() < uniform(0.1, 0.35, n, 1, 1, 1)) & (
        (y - uniform(-1, 1, n, 1, 1, 1)).abs() < uniform(0.1, 0.35, n, 1, 1, 1)
    )
    return torch.where(inside, uniform(15, 245, n, 3, 1, 1), image)


def _light(image: Tensor, uniform: Uniform, options: Augmentation) -> Tensor:
    """Brightness and white balance, and gamma where there is any."""
    n = len(image)
    gain = (1 + uniform(-options.light, options.light, n, 1, 1, 1)) * (
        1 + uniform(-options.tint, options.tint, n, 3, 1, 1)
    )
    if options.gamma > 0:
        exponent = torch.exp(uniform(-options.gamma, options.gamma, n, 1, 1, 1))
        # x ** e as exp(e log x), which torch computes several values at a time.
        image = torch.exp(torch.log(image.clamp_min(1.0) / 255) * exponent) * 255
    return image * gain


def _blur(image: Tensor, uniform: Uniform, largest: float) -> Tensor:
    """A Gaussian of each image's own width, along rows and then along columns."""
    n, channels, height, width = image.shape
    sigma = uniform(0.15 * largest, largest, n) * height
    radius = max(1, round(2.5 * largest * height))
    at = torch.arange(-radius, radius + 1, device=image.device)
    kernel = torch.exp(-0.5 * (at / sigma[:, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)  # (3 n, taps)
    flat = functional.pad(image.reshape(1, n * channels, height, width), (radius,) * 4, mode="replicate")
    flat = functional.conv2d(flat, kernel[:, None, None, :], groups=n * channels)
    flat = functional.conv2d(flat, kernel[:, None, :, None], groups=n * channels)
    return flat.reshape(n, channels, height, width)


def _compress(image: Tensor, uniform: Uniform) -> Tensor:
    """JPEG's loss: 8 x 8 blocks, their cosine transform, rounded in steps of quality 10 to 60, and back."""
    n, channels, height, width = image.shape
    if height % 8 or width % 8:
        padded = functional.pad(image, (0, -width % 8, 0, -height % 8), mode="replicate")
        return _compress(padded, uniform)[:, :, :height, :width]
    k = torch.arange(8, device=image.device)
    cosine = torch.cos((2 * k[None, :] + 1) * k[:, None] * torch.pi / 16) / 2  # (8 frequencies, 8 places)
    cosine[0] /= 2**0.5
    steps = torch.tensor(JPEG_STEPS, device=image.device, dtype=torch.float32).view(8, 8)
    quality = uniform(10, 60, n, 1, 1, 1)
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50)[..., None, None]
    blocks = image.reshape(n, channels, height // 8, 8, width // 8, 8).permute(0, 1, 2, 4, 3, 5)
    coarse = steps * scale
    blocks = cosine.T @ (torch.round((cosine @ blocks @ cosine.T) / coarse) * coarse) @ cosine
    return blocks.permute(0, 1, 2, 4, 3, 5).reshape(n, channels, height, width)
