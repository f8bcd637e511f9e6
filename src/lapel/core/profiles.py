"""Colour profiles: what a phone, a camera or a printer calls red, said in sRGB, which is what networks here have
learned from.

A profile counts only where it changes what is seen: those of sRGB, by whatever name, and those that cannot be read
leave every pixel as it is.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

MAX_PROFILE_BYTES = 4 * 2**20  # of a profile; those of printing presses have 0.5 to 3 MB
MODES = ("RGB", "L", "CMYK")
SRGB_TOLERANCE = 3  # of 255: profiles that call themselves sRGB move no colour further than this
STEPS = np.linspace(0, 255, 9).astype(np.uint8)


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image | None:
    """An image of mode RGB, L or CMYK with an ICC profile -> RGB in sRGB; None where the profile changes nothing or is
    of no use."""
    transform = _transform(profile, image.mode) if len(profile) <= MAX_PROFILE_BYTES and image.mode in MODES else None
    return None if transform is None else transform.apply(image)


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile to sRGB.

    Kept, as a shop's images have a few, and most the same; LittleCMS lets threads share it.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        found = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        return None if mode != "CMYK" and _changes_nothing(found, mode) else found
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None  # broken, or of another kind of image: a grey one's in a colour image


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether colours from all over come out as they went in."""
    axes = np.meshgrid(STEPS, STEPS, STEPS) if mode == "RGB" else [np.arange(256, dtype=np.uint8)[None]] * 3
    colours = np.stack(axes, axis=-1).reshape(1, -1, 3)
    asked = Image.fromarray(colours if mode == "RGB" else colours[..., 0].copy())
    moved = np.abs(np.asarray(transform.apply(asked), np.int16) - colours)
    return bool(moved.max() <= SRGB_TOLERANCE)
