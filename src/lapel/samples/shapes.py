"""Finds the drawing function of a product and lays the product out on a fresh `Canvas`.

A planned product and a pose go in; a finished, unlit drawing comes out.
"""

from __future__ import annotations

from collections.abc import Callable
from zlib import crc32

import numpy as np

from lapel.samples.canvas import Canvas, Drawing
from lapel.samples.plan import WardrobeProduct

from . import (
    accessories,
    bags,
    bottoms,
    dresses,
    eyewear,
    footwear,
    headwear,
    jewellery,
    light_shoes,
    outerwear,
    packs,
    tops,
    watches,
)

Shape = Callable[[Canvas, WardrobeProduct, str], None]

SHAPES: dict[str, Shape] = {
    shape.__name__: shape
    for shape in (
        tops.tshirt,
        tops.tank,
        tops.shirt,
        tops.polo,
        tops.blouse,
        tops.sweater,
        tops.cardigan,
        tops.hoodie,
        outerwear.blazer,
        outerwear.bomber,
        outerwear.trucker,
        outerwear.biker,
        outerwear.puffer,
        outerwear.coat,
        dresses.dress,
        dresses.skirt,
        dresses.swimsuit,
        bottoms.jeans,
        bottoms.trousers,
        bottoms.shorts,
        bottoms.leggings,
        footwear.sneaker,
        footwear.boot,
        light_shoes.heel,
        light_shoes.sandal,
        footwear.loafer,
        light_shoes.ballet,
        packs.tote,
        bags.handbag,
        bags.crossbody,
        bags.clutch,
        packs.backpack,
        headwear.cap,
        headwear.beanie,
        headwear.hat,
        watches.watch,
        eyewear.sunglasses,
        accessories.scarf,
        accessories.belt,
        accessories.tie,
        accessories.gloves,
        accessories.socks,
        jewellery.necklace,
        jewellery.earrings,
    )
}


def pose_of(product: WardrobeProduct, view: str) -> str:
    """How the product is laid out for a view: hanger and flat need a drawing of their own only for clothes."""
    return view if view in ("hanger", "flat") and product.category.startswith("Apparel") else "worn"


def lay_out(product: WardrobeProduct, pose: str) -> Drawing:
    """Draw a product, unlit.

    Args:
        product: a planned product.
        pose: worn, hanger or flat; each pose falls in folds of its own.
    """
    canvas = Canvas(np.random.default_rng([product.seed, crc32(pose.encode())]))
    SHAPES[product.shape](canvas, product, pose)
    return canvas.finished()
