"""The sample wardrobe: a fashion shop that Lapel draws for itself, so that no picture has to be downloaded.

A number of products and a seed go in; a folder with photos and a `products.csv` comes out. Every product has two or
three
photos, and which belong together is known, so the wardrobe is also the test set for finding a product from its other
photo.
"""

from __future__ import annotations

from pathlib import Path

from lapel.samples.draw import COLUMNS, DRAWING_VERSION, WardrobeSummary, draw_wardrobe, render_photo
from lapel.samples.plan import DEFAULT_PRODUCTS, DEFAULT_SEED, WardrobeProduct, plan_wardrobe

#: What 'lapel model calibrate --sample 400' learned from the wardrobe with the shipped model: see
#: lapel.service.models.ModelService.take_calibration.
CALIBRATION = Path(__file__).with_name("calibration")

__all__ = [
    "CALIBRATION",
    "COLUMNS",
    "DEFAULT_PRODUCTS",
    "DEFAULT_SEED",
    "DRAWING_VERSION",
    "WardrobeProduct",
    "WardrobeSummary",
    "draw_wardrobe",
    "plan_wardrobe",
    "render_photo",
]
