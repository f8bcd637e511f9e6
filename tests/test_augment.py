"""Views of a picture: every change seen by itself, and colour that survives them all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lapel.training.augment import Augmentation, augment, random_backgrounds, white_background_mask
from lapel.training.recipe import PHOTO

STILL = Augmentation(turn=0, zoom=(1, 1), shift=0, light=0, tint=0, mirror=0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_augmentation_keeps_shape_and_range_and_is_seeded() -> None:
    pixels = torch.full((3, 64, 48, 3), 255, dtype=torch.uint8)
    pixels[:, 20:40, 10:30] = torch.tensor([200, 30, 40], dtype=torch.uint8)
    first = augment(pixels, torch.Generator().manual_seed(3), Augmentation())
    assert first.shape == (3, 64, 48, 3)
    assert float(first.min()) >= 0
    assert float(first.max()) <= 255
    assert torch.equal(first, augment(pixels, torch.Generator().manual_seed(3), Augmentation()))
    assert not torch.equal(first, augment(pixels, torch.Generator().manual_seed(4), Augmentation()))
    red, green = first[0, 28:34, 18:24].mean(dim=(0, 1))[:2]
    assert red > 2 * green  # a red thing stays red


def slow_paper(picture: np.ndarray) -> np.ndarray:
    """Flood fill, pixel by pixel."""
    white = picture.min(axis=0) > 236
    height, width = white.shape
    reached = np.zeros_like(white)
    todo = [(y, x) for y in range(height) for x in range(width) if y in (0, height - 1) or x in (0, width - 1)]
    while todo:
        y, x = todo.pop()
        if 0 <= y < height and 0 <= x < width and white[y, x] and not reached[y, x]:
            reached[y, x] = True
            todo += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
    return reached


def test_paper_is_the_white_that_reaches_the_border() -> None:
    picture = torch.full((1, 3, 40, 32), 250.0)
    picture[0, :, 8:30, 8:24] = 90  # a product ...
    picture[0, :, 14:22, 12:20] = 250  # ... with a white patch on it, which is not background
    found = white_background_mask(picture)[0, 0].numpy()
    assert not found[14:22, 12:20].any()
    assert (found == slow_paper(picture[0].numpy())).mean() > 0.99


def test_another_background_leaves_the_product_its_colour() -> None:
    pixels = torch.full((8, 64, 48, 3), 255, dtype=torch.uint8)
    pixels[:, 12:52, 12:36] = torch.tensor([180, 40, 60], dtype=torch.uint8)
    still = replace(STILL, background=1)
    out = augment(pixels, torch.Generator().manual_seed(0), still)
    # Zoom is drawn a few percent apart for width and height, so ask in the middle.
    assert (out[:, 30, 24] - torch.tensor([180.0, 40, 60])).abs().max() < 12
    assert (out[:, 2, 2] - 255).abs().max() > 20
    assert out[:, :4, :4].std(dim=0).max() > 10  # each on another one
    backgrounds = random_backgrounds(4, 30, 20, torch.Generator().manual_seed(1))
    assert backgrounds.shape == (4, 3, 30, 20)
    assert 0 <= backgrounds.min().item() <= backgrounds.max().item() <= 255


def test_photos_keep_their_colour_on_the_whole() -> None:
    """Hue is not shifted and nothing turns grey: a red thing stays red through everything a photo may suffer, but for
    what covers it."""
    pixels = torch.full((64, 64, 48, 3), 255, dtype=torch.uint8)
    pixels[:, 4:60, 4:44] = torch.tensor([190, 40, 50], dtype=torch.uint8)
    out = augment(pixels, seeded(5), PHOTO)
    middle = out[:, 28:36, 20:28].mean(dim=(1, 2))
    assert ((middle[:, 0] > 1.5 * middle[:, 1]) & (middle[:, 0] > 1.5 * middle[:, 2])).float().mean() > 0.75


def test_another_size_shows_the_same_picture() -> None:
    rows = torch.linspace(0, 255, 64)[None, :, None, None].expand(2, 64, 48, 3).to(torch.uint8)
    out = augment(rows, seeded(), STILL, size=(32, 24))
    assert out.shape == (2, 32, 24, 3)
    assert (out[:, 8:24, 12, 0] - rows[:, 16:48:2, 24, 0].float()).abs().max() < 16


def test_blur_spares_a_plain_picture_and_softens_an_edge() -> None:
    plain = torch.full((4, 64, 48, 3), 120, dtype=torch.uint8)
    blurred = replace(STILL, blur=0.03, blurred=1.0)
    assert (augment(plain, seeded(), blurred)[:, 16:48, 12:36] - 120).abs().max() < 1e-2  # its rim meets the white
    edge = torch.zeros(4, 64, 48, 3, dtype=torch.uint8)
    edge[:, 32:] = 255
    steps = augment(edge, seeded(), blurred)[:, 8:56, 24, 0].diff(dim=1).abs().amax(dim=1)
    assert float(steps.max()) < float(augment(edge, seeded(), STILL)[:, 8:56, 24, 0].diff(dim=1).abs().max())


def test_compression_loses_fine_grain_and_keeps_the_mean() -> None:
    grain = (torch.rand(4, 64, 48, 3, generator=seeded()) * 60 + 100).to(torch.uint8)
    out = augment(grain, seeded(), replace(STILL, compressed=1.0))
    sharp = augment(grain, seeded(), STILL)
    assert float(out.var(dim=(1, 2)).mean()) < float(sharp.var(dim=(1, 2)).mean())
    assert float((out.mean(dim=(1, 2)) - sharp.mean(dim=(1, 2))).abs().max()) < 6
    odd = augment(grain, seeded(), replace(STILL, compressed=1.0), size=(50, 37))  # not a multiple of 8
    assert odd.shape == (4, 50, 37, 3)


def test_perspective_makes_one_side_smaller() -> None:
    picture = torch.zeros(16, 64, 48, 3, dtype=torch.uint8)
    picture[:, :, 20:28] = 255  # an upright bar
    out = augment(picture, seeded(1), replace(STILL, perspective=0.3))[..., 0] > 128
    top, bottom = out[:, 4:12].float().sum(dim=(1, 2)), out[:, 52:60].float().sum(dim=(1, 2))
    assert float((top - bottom).abs().max()) > 0.15 * float(top.mean())


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_none_or_all(share: float) -> None:
    plain = torch.full((32, 64, 48, 3), 200, dtype=torch.uint8)
    out = augment(plain, seeded(2), replace(STILL, covered=share))
    changed = ((out[:, 8:56, 6:42] - 200).abs() > 5).flatten(1).any(dim=1).float().mean()
    assert float(changed) == 0 if share == 0 else float(changed) > 0.7


def test_masks_given_or_found_cut_out_the_same_thing() -> None:
    pixels = torch.full((2, 64, 48, 3), 255, dtype=torch.uint8)
    pixels[:, 12:52, 12:36] = 60
    mask = (~white_background_mask(pixels.permute(0, 3, 1, 2).float())).permute(0, 2, 3, 1).to(torch.uint8) * 255
    options = replace(STILL, background=1)
    found = augment(pixels, seeded(3), options)
    given = augment(torch.cat([pixels, mask], dim=3), seeded(3), options)
    assert torch.equal(found, given)
    assert np.isfinite(found.numpy()).all()
