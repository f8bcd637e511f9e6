"""Seeded copies of a picture, as they turn up in shops: re-cut, re-lit, re-compressed, mirrored, with text over them,
framed, photographed from a screen. And the same product in another colour, which is no copy.

One RGB picture and a generator in, one out. What a phone and a scene do to a picture is in
:mod:`lapel.insight.distortions`; this adds what people do on purpose.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lapel.insight import distortions
from lapel.insight.distortions import Distortion

RECUT = (0.75, 0.95)  # of either side that is kept
WORDS = ("SALE", "-50 %", "NEW IN", "shop24.example", "Limited offer", "© store", "2 for 1", "original")
BORDER = (0.04, 0.15)  # of the longer side
SCREEN = (360, 640)  # pixels: a phone, upright
SCREEN_FILL = (0.75, 1.0)  # of its width that the picture takes
HUE_TURN = (60.0, 300.0)  # degrees
GREY = 40  # of 255: the saturation below which goods have no hue that people name
DYES = ((200, 40, 50), (50, 90, 190), (60, 140, 70), (230, 190, 60), (130, 70, 150), (150, 100, 70), (90, 90, 95))
SEEN, SEEN_SHARE = 24, 1 / 3  # grey levels of 255 that are another colour, and of how much of the goods
EDGE_SHARE = 0.3  # of a picture's edge that goods may touch; more, and they were not cut out
DYE_SHARE = 0.7  # of a dye that dark goods take


def recut(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Cut to 75 to 95 % of either side, anywhere."""
    width, height = (max(8, round(side * rng.uniform(*RECUT))) for side in image.size)
    left, top = (int(rng.integers(0, space + 1)) for space in (image.width - width, image.height - height))
    return image.crop((left, top, left + width, top + height))


def mirror(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Left and right change places; saved again as JPEG."""
    return distortions.jpeg(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), rng)


def overlaid(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """One to three lines of text over it, some on a bar of colour."""
    made = image.copy()
    pen = ImageDraw.Draw(made)
    for _ in range(int(rng.integers(1, 4))):
        font = ImageFont.load_default(size=int(image.height * rng.uniform(0.06, 0.12)))
        text = WORDS[int(rng.integers(len(WORDS)))]
        at = (float(rng.uniform(0, 0.6) * image.width), float(rng.uniform(0, 0.85) * image.height))
        colour = tuple(int(value) for value in rng.integers(0, 256, 3))
        if rng.random() < 0.5:
            box = pen.textbbox(at, text, font=font)
            pen.rectangle((box[0] - 6, box[1] - 4, box[2] + 6, box[3] + 4), fill=colour)
            colour = (255, 255, 255) if sum(colour) < 380 else (0, 0, 0)
        pen.text(at, text, fill=colour, font=font)
    return made


def framed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A border of one colour, of other widths at each side."""
    left, top, right, bottom = (round(max(image.size) * rng.uniform(*BORDER)) for _ in range(4))
    colour = tuple(int(value) for value in rng.integers(0, 256, 3))
    made = Image.new("RGB", (image.width + left + right, image.height + top + bottom), colour)
    made.paste(image, (left, top))
    return made


def screenshot(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """On the screen of a phone: a bar above, lines of text and a button below; JPEG."""
    dark = rng.random() < 0.3
    paper, ink = ((24, 24, 28), (225, 225, 225)) if dark else ((250, 250, 250), (40, 40, 40))
    screen = Image.new("RGB", SCREEN, paper)
    pen = ImageDraw.Draw(screen)
    width = round(SCREEN[0] * rng.uniform(*SCREEN_FILL))
    small = image.resize((width, round(width * image.height / image.width)), Image.Resampling.LANCZOS)
    small = small.crop((0, 0, small.width, min(small.height, 470)))
    top = int(rng.integers(30, 80))
    screen.paste(small, ((SCREEN[0] - width) // 2, top))
    pen.rectangle((0, 0, SCREEN[0], 26), fill=tuple(int(value) for value in rng.integers(0, 256, 3)))
    pen.text((10, 5), "12:45", fill=ink, font=ImageFont.load_default(size=14))
    line = top + small.height + 8
    for text in ("Only today", f"{int(rng.integers(9, 200))}.99", "Free delivery"):
        pen.text((16, line), text, fill=ink, font=ImageFont.load_default(size=int(rng.integers(14, 24))))
        line += 26
    pen.rounded_rectangle((16, SCREEN[1] - 50, SCREEN[0] - 16, SCREEN[1] - 12), 10, fill=(30, 120, 220))
    return distortions.jpeg(screen, rng)


def recolour(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The same product in another colour: the hue of what is not the white around it is turned by 60 to 300 degrees;
    what has no hue is dyed: light goods darker, dark goods lighter. This is no copy."""
    mask = np.asarray(distortions.cut_out(image), np.float32)[..., None] / 255
    hsv = np.asarray(image.convert("HSV"))
    inside = mask[..., 0] > 0.5
    pixels = np.asarray(image, np.float32)
    if inside.any() and float(np.median(hsv[..., 1][inside])) >= GREY:
        turned = hsv.copy()
        turned[..., 0] += np.uint8(rng.uniform(*HUE_TURN) / 360 * 256)
        made = np.asarray(Image.fromarray(turned, "HSV").convert("RGB"), np.float32)
    else:
        dye = np.array(DYES[int(rng.integers(len(DYES)))], np.float32) / 255
        light = bool(inside.any()) and float(np.median(hsv[..., 2][inside])) > 110
        made = np.asarray(pixels * dye if light else 255 - (255 - pixels) * (1 - dye * DYE_SHARE), np.float32)
    return Image.fromarray((made * mask + pixels * (1 - mask)).clip(0, 255).astype(np.uint8))


def in_another_colour(image: Image.Image, made: Image.Image) -> bool:
    """Whether a person sees that the goods, and nothing but the goods, have another colour: they could be cut out of
    the white around them, and a third of them is 24 grey levels or more away in some channel. Black that is turned in
    hue stays black, and what is not on white was tinted whole, as light would."""
    goods = np.asarray(distortions.cut_out(image)) > 127
    edge = np.concatenate([goods[0], goods[-1], goods[:, 0], goods[:, -1]])
    apart = np.abs(np.asarray(made, np.int16) - np.asarray(image, np.int16)).max(axis=2)
    return bool(goods.any() and edge.mean() < EDGE_SHARE and (apart[goods] >= SEEN).mean() >= SEEN_SHARE)


def partly_recoloured(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The same product with a third to two thirds of it, cut straight across or down, in another colour: a lid, a sole,
    sleeves. This is no copy."""
    made = np.asarray(recolour(image, rng)).copy()
    own = np.asarray(image)
    mask = np.asarray(distortions.cut_out(image)) > 127
    axis = int(rng.integers(2))
    inside = np.flatnonzero(mask.any(axis=1 - axis))
    if len(inside):
        at = int(inside[0] + (inside[-1] - inside[0]) * rng.uniform(1 / 3, 2 / 3))
        kept = (slice(None), slice(0, at)) if axis else (slice(0, at),)
        made[kept] = own[kept]
    return Image.fromarray(made)


COPIES: dict[str, Distortion] = {
    "re-cut": recut,
    "re-lit": distortions.light,
    "re-compressed": distortions.jpeg,
    "blurred": distortions.blur,
    "mirrored": mirror,
    "text over it": overlaid,
    "framed": framed,
    "screenshot": screenshot,
}
HARDER: dict[str, Distortion] = {
    "crop to 60 %": distortions.crop,
    "rotation 15°": distortions.rotate,
    "perspective": distortions.perspective,
    "cluttered scene": distortions.cluttered,
    "phone photo": distortions.phone,
}


def manipulated(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """One to three manipulations after another, as DISC 2021 makes its queries; the last is saved as JPEG in half of
    the cases."""
    every = [*COPIES.values(), distortions.crop, distortions.rotate, distortions.perspective]
    for place in rng.choice(len(every), int(rng.integers(1, 4)), replace=False):
        image = every[int(place)](image, rng)
    return distortions.jpeg(image, rng) if rng.random() < 0.5 else image
