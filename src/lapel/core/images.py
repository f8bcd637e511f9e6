"""The only place where bytes become pictures and pictures become network input.

Training, export, indexing and querying all come through :func:`decode` and :meth:`Preprocessing.apply`, so a picture gives the
same numbers whichever way it came in. In go the bytes of one file; out comes an upright RGB picture, then (height, width, 3) uint8.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from lapel.core.errors import ImageError, ModelError

Pixels = NDArray[np.uint8]  # (height, width, 3) RGB, or (n, height, width, 3) for a batch

# Formats a shop or a phone writes, decoded without calling another program (so no EPS, PDF or PSD). MPO comes through JPEG's door.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
MAX_PIXELS = 80_000_000  # 240 MB once decoded as RGB; above it a picture is more likely an attack than a product
MIN_SIDE = 8  # pixels; below it nothing of a product can be seen
MAX_RATIO = 20  # longest over shortest side; beyond it less than six pixels of the short side reach the network
DRAFT_SIDE = 512  # JPEG decodes at 1/2, 1/4 or 1/8 when both sides stay above this: 5 times faster on phone photos
THUMBNAIL_WIDTHS = (160, 360)  # pixels: a list, and a card of the page, which is up to 225 points wide
THUMBNAIL_QUALITY = 75
RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def decode(data: bytes) -> Image.Image:
    """Turn the bytes of one picture file into an upright 8-bit RGB picture.

    The content decides the format, not the file's name. The first frame of an animation is used, EXIF rotation is applied,
    transparency is laid on white, 16-bit and float greys are scaled to 8 bits, and CMYK and palettes become RGB.

    Raises:
        ImageError: empty, not a picture, truncated, below 8 pixels or above 80 million (checked before decoding).
    """
    if not data:
        raise ImageError("The picture file is empty (0 bytes). Save it again or leave it out.")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            _check_size(picture.width, picture.height)
            if picture.format in ("JPEG", "MPO"):
                picture.draft("RGB", (DRAFT_SIDE, DRAFT_SIDE))
            picture.load()
            return _to_rgb(ImageOps.exif_transpose(picture))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Pillow's own guard, which comes before ours and says "Image size (900000000 pixels) exceeds limit of ...".
        size = re.search(r"\((\d+) pixels\)", str(error))
        raise ImageError(
            f"The picture has {int(size[1]) if size else MAX_PIXELS + 1:,} pixels; at most {MAX_PIXELS:,} are read. Scale it down"
            " (2,000 on the long side is plenty)."
        ) from error
    except UnidentifiedImageError as error:
        raise ImageError(f"Not a picture: {_looks_like(data)}. Use JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF.") from error
    except ImageError:
        raise
    # Decoders raise whatever their library does on broken input, so this net is wide on purpose: one picture, one reason.
    except Exception as error:
        raise ImageError(f"The picture is damaged or cut short: {error}. Export or download it again.") from error


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"The picture has {width:,} x {height:,} pixels; at most {MAX_PIXELS:,} in all are read. Scale it down (2,000 on the long side is plenty)."
        )
    if min(width, height) < MIN_SIDE:
        raise ImageError(
            f"The picture has {width} x {height} pixels; each side needs at least {MIN_SIDE}. Use a larger one."
        )
    if max(width, height) > MAX_RATIO * min(width, height):
        raise ImageError(
            f"The picture has {width} x {height} pixels; one side may be {MAX_RATIO} times the other at most. Crop it to the product."
        )


def _looks_like(data: bytes) -> str:
    """What a file that is no picture seems to be, in words a person can act on."""
    head = data[:512].lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return "it holds a web page (HTML)"
    if head.startswith(b"%pdf"):
        return "it holds a PDF"
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1", b"msf1"):
        return "it holds a HEIC photo, which must be exported as JPEG first"
    if b"<svg" in head:
        return "it holds an SVG drawing"
    if head.startswith((b"pk\x03\x04",)):
        return "it holds a ZIP archive"
    return f"{len(data):,} bytes that start with {data[:8].hex(' ')}"


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture
    if picture.mode.startswith(("I", "F")):
        return _grey_to_8_bits(picture).convert("RGB")
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return picture.convert("RGB")


def _grey_to_8_bits(picture: Image.Image) -> Image.Image:
    """16-bit integer greys (modes I;16 and I) span 0..65535; float greys (mode F) span 0..1, or 0..255 if any is above 1."""
    grey = np.asarray(picture, dtype=np.float64)
    float_scale = 1.0 if grey.max(initial=0.0) > 1 else 255.0
    scale = float_scale if picture.mode.startswith("F") else 255.0 / 65535.0
    return Image.fromarray(np.clip(np.rint(np.nan_to_num(grey) * scale), 0, 255).astype(np.uint8))


def thumbnails(picture: Image.Image) -> dict[int, bytes]:
    """An RGB picture as small WebP pictures, by the width they are made for in pixels.

    None is wider than the picture, nor higher than twice its width; a picture that is small itself has one.
    """
    made: dict[int, bytes] = {}
    for width in THUMBNAIL_WIDTHS:
        scale = min(1.0, width / picture.width, 2 * width / picture.height)
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        small = picture if scale == 1 else picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
        stream = io.BytesIO()
        # Method 0 takes a third of the time of the usual one, for files a third larger.
        small.save(stream, "WEBP", quality=THUMBNAIL_QUALITY, method=0)
        made[width] = stream.getvalue()
        if scale == 1:
            break
    return made


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes the (height, width, 3) uint8 input of one model: scaled to fit, centred, padded.

    Attributes:
        height: Rows of the input, in pixels.
        width: Columns of the input, in pixels.
        background: RGB of the padding, 0..255. White, as shops photograph on it.
        resample: Pillow's kernel: ``bilinear``, ``bicubic`` or ``lanczos``, each with antialiasing when it shrinks.
    """

    height: int
    width: int
    background: tuple[int, int, int] = (255, 255, 255)
    resample: str = "bicubic"

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1:
            raise ModelError(f"Preprocessing needs a positive size; found {self.width} x {self.height}.")
        if self.resample not in RESAMPLING:
            raise ModelError(f"Preprocessing knows the kernels {', '.join(RESAMPLING)}; found '{self.resample}'.")
        if len(self.background) != 3 or not all(0 <= value <= 255 for value in self.background):
            raise ModelError(f"Preprocessing needs three background values in 0..255; found {self.background}.")

    def place(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Where a picture of this size comes to lie in the input: left, top, width and height, pixels."""
        scale = min(self.width / width, self.height / height)
        scaled = max(1, round(width * scale)), max(1, round(height * scale))
        return (self.width - scaled[0]) // 2, (self.height - scaled[1]) // 2, *scaled

    def apply(self, picture: Image.Image) -> Pixels:
        """Scale and pad one RGB picture.

        Returns:
            (height, width, 3) uint8, a new array.

        Raises:
            ImageError: the picture has no pixels.
        """
        if min(picture.size) < 1:
            raise ImageError(f"A picture of {picture.width} x {picture.height} pixels has nothing to see.")
        left, top, *sides = self.place(picture.width, picture.height)
        size = (sides[0], sides[1])
        rgb = _to_rgb(picture)
        scaled = np.asarray(rgb if rgb.size == size else rgb.resize(size, RESAMPLING[self.resample]))
        if size == (self.width, self.height):
            return scaled.copy() if not scaled.flags.writeable else scaled
        canvas = np.empty((self.height, self.width, 3), np.uint8)
        canvas[:] = self.background
        canvas[top : top + size[1], left : left + size[0]] = scaled
        return canvas

    def batch(self, pictures: Sequence[Image.Image]) -> Pixels:
        """Preprocess many: (n, height, width, 3) uint8."""
        out = np.empty((len(pictures), self.height, self.width, 3), np.uint8)
        for row, picture in enumerate(pictures):
            out[row] = self.apply(picture)
        return out

    def to_json(self) -> dict[str, Any]:
        """The form kept in a model folder."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Preprocessing:
        """Read the form kept in a model folder.

        Raises:
            ModelError: unknown, missing or impossible fields.
        """
        try:
            return cls(**{**data, "background": tuple(data.get("background", (255, 255, 255)))})
        except TypeError as error:
            raise ModelError(f"The model folder's preprocessing cannot be read: {error}.") from error
