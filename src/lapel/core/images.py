"""The only place where bytes become images and images become network input.

Training, export, indexing and querying all come through :func:`decode` and :meth:`Preprocessing.apply`, so an image
gives the same numbers whichever way it came in. In go the bytes of one file, or an image that a program holds already
(:func:`to_image`); out comes an upright RGB image, then (height, width, 3) uint8.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, JpegImagePlugin

from lapel.core.errors import ImageError, ModelError
from lapel.core.formats import FORMATS, be_quiet, open_image_file
from lapel.core.profiles import to_srgb
from lapel.core.repairs import bare_png, held_whole, whole_jpeg

__all__ = [
    "FORMATS",
    "ImageLike",
    "Pixels",
    "Preprocessing",
    "decode",
    "each_image",
    "is_image_like",
    "read_image",
    "thumbnails",
    "to_image",
]

Pixels = NDArray[np.uint8]  # (height, width, 3) RGB, or (n, height, width, 3) for a batch
ImageLike = Image.Image | NDArray[Any] | bytes | str | Path  # what to_image takes

MAX_BYTES = 256 * 2**20  # a file above it is no product photo: the largest 80-million-pixel camera TIFF has 240 MB
MAX_PIXELS = 80_000_000  # 240 MB once decoded as RGB; above it an image is more likely an attack than a product
# JPEGs are decoded at 1/8, row by row, which takes time but no memory; the largest phone cameras have 200 million.
MAX_JPEG_PIXELS = 250_000_000
MAX_HELD = 480_000_000  # bytes of a JPEG with several scans while it is decoded: 160 million pixels of a camera's
MIN_SIDE = 8  # pixels; below it nothing of a product can be seen
MAX_RATIO = 20  # longest over shortest side; beyond it less than six pixels of the short side reach the network
DRAFT_SIDE = 512  # JPEG decodes at 1/2, 1/4 or 1/8 when both sides stay above this: 5 times faster on phone photos
ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")
MAX_FRAMES = 8  # of an animation, looked at until one is not of a single colour
FLAT_SPREAD = 8  # of 255 steps: the spread of what counts as a single colour
THUMBNAIL_WIDTHS = (160, 360)  # pixels: a list, and a card of the page, which is up to 225 points wide
THUMBNAIL_QUALITY = 75
RESAMPLING = {name: Image.Resampling[name.upper()] for name in ("bilinear", "bicubic", "lanczos")}
ORIENTATION = 0x0112  # EXIF, whose values from 2 on are turned back by:
TURNS = {
    number: Image.Transpose[name]
    for number, name in enumerate(
        "FLIP_LEFT_RIGHT ROTATE_180 FLIP_TOP_BOTTOM TRANSPOSE ROTATE_270 TRANSVERSE ROTATE_90".split(), 2
    )
}
IMAGE_KINDS = (
    "A picture is a PIL image, an array (height, width), (height, width, 3) or (height, width, 4) of uint8, uint16 or"
    " floats in 0..1, a path, or the bytes of a picture file"
)
FILES = (str, Path, bytes, bytearray, memoryview)
HEIF_TURNS = (b"\0\0\0\x09irot", b"\0\0\0\x09imir")  # boxes of a HEIC file that its reader has turned


# --- bytes ------------------------------------------------------------------------------------------------------------


def decode(data: bytes) -> Image.Image:
    """Turn the bytes of one image file into an upright 8-bit RGB image.

    The content decides the format, not the file's name. Of an animation the first frame is used that is not of a single
    colour, of a HEIC burst the primary image. Rotation is applied, colour profiles are converted to sRGB, transparency
    is laid on white, 16-bit and float greys are scaled to 8 bits, and CMYK and palettes become RGB. What is wrong
    beside the pixels, such as broken EXIF, costs nothing; a JPEG that lacks up to a tenth at its end is completed.

    Raises:
        ImageError: empty, not an image, damaged, below 8 pixels or too large: above 80 million, 250 million for JPEG
            (checked before decoding).
    """
    if not data:
        raise ImageError("The picture file is empty (0 bytes). Save it again or leave it out.")
    try:
        try:
            return _decoded(data)
        except Exception:
            if (bare := bare_png(data)) is None:
                raise
            return _decoded(*bare)
    except ImageError:
        raise
    # Decoders raise whatever their library does on broken input, so this net is wide on purpose: one image, one reason.
    except Exception as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise ImageError(f"The picture is damaged or cut short: {reason}. Export or download it again.") from error


def _decoded(data: bytes, profile: bytes = b"") -> Image.Image:
    with open_image_file(data) as image:
        _check_size(image, data)
        if profile:
            image.info["icc_profile"] = profile
        if isinstance(image, JpegImagePlugin.JpegImageFile):
            return _upright_rgb(whole_jpeg(image, data, DRAFT_SIDE))
        image.load()
        if image.format == "HEIF" and not any(turn in data for turn in HEIF_TURNS):
            turned = image.info.get("original_orientation") or 1
            return _upright_rgb(image, turned)
        found = _upright_rgb(image)
        return _later_frame(image, found) if image.format in ANIMATED and _is_flat(found) else found


def _check_size(image: ImageFile.ImageFile, data: bytes) -> None:
    width, height = image.size
    most = MAX_PIXELS
    if isinstance(image, JpegImagePlugin.JpegImageFile) and width * height > MAX_PIXELS:
        held = held_whole(image, data)
        most = min(MAX_JPEG_PIXELS, int(width * height * MAX_HELD / held) if held else MAX_JPEG_PIXELS)
    if width * height > most:
        raise ImageError(
            f"The picture has {width:,} x {height:,} pixels; at most {most:,} in all are read. Scale it down (2,000 on"
            f" the long side is plenty)."
        )
    if min(width, height) < MIN_SIDE:
        raise ImageError(
            f"The picture has {width} x {height} pixels; each side needs at least {MIN_SIDE}. Use a larger one."
        )
    if max(width, height) > MAX_RATIO * min(width, height):
        raise ImageError(
            f"The picture has {width} x {height} pixels; one side may be {MAX_RATIO} times the other at most. Crop it"
            f" to the product."
        )


def _is_flat(image: Image.Image) -> bool:
    """Whether an RGB image is of a single colour; most are told from 64 of their pixels."""
    few = image.resize((8, 8), Image.Resampling.NEAREST)
    return all(int(np.ptp(np.asarray(each), axis=(0, 1)).max()) <= FLAT_SPREAD for each in (few, image))


def _later_frame(image: ImageFile.ImageFile, first: Image.Image) -> Image.Image:
    """The first of the next frames that shows something, else the first one."""
    for frame in range(1, min(MAX_FRAMES, MAX_PIXELS // (image.width * image.height))):
        try:
            image.seek(frame)
            image.load()
            found = _upright_rgb(image)
        except Exception:  # no more frames, or a damaged one: the first is good
            break
        if not _is_flat(found):
            return found
    return first


# --- images ---------------------------------------------------------------------------------------------------------


def read_image(source: str | Path | bytes | BinaryIO) -> Image.Image:
    """Read one image file as :func:`decode` does: any format, upright, RGB, in sRGB.

        photo = lapel.read_image("photo.heic")

    Args:
        source: A path, the bytes of a file, or a file opened for reading bytes. Not a link.

    Raises:
        ImageError: no such file, or no image that can be used.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return decode(bytes(source))
    if hasattr(source, "read"):
        data = source.read(MAX_BYTES + 1)
        if not isinstance(data, bytes):
            raise ImageError("A picture is read from a file opened for bytes. Open it with mode 'rb'.")
        if len(data) > MAX_BYTES:
            raise ImageError(f"The picture file has more than {MAX_BYTES // 2**20} MB. Scale the picture down.")
        return decode(data)
    if not isinstance(source, (str, Path)):
        raise ImageError(f"A picture file is a path, its bytes or an opened file; found {described(source)}.")
    if isinstance(source, str) and re.match(r"\w[\w+.-]+://|data:", source, re.IGNORECASE):
        raise ImageError(
            f"'{str(source)[:80]}' is an address, not a path. Download the picture, and hand over its bytes."
        )
    path = Path(source)
    try:
        with path.open("rb") as file:
            return read_image(file)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        reason = "it is a folder" if isinstance(error, IsADirectoryError) else getattr(error, "strerror", "") or error
        raise ImageError(f"The picture '{str(source)[:200]}' cannot be read: {reason}. Check the path.") from error


def to_image(value: object) -> Image.Image:
    """Any image that a program may hold -> an upright 8-bit RGB image, as :func:`decode` makes of its file.

    Args:
        value: A PIL image of any mode, one just opened too; an array (height, width), (height, width, 1), (height,
            width, 3) or (height, width, 4) of uint8, uint16, bool, or floats in 0..1 or 0..255; a path; the bytes of a
            file. Never changed.

    Returns:
        RGB; the same object when there was nothing to do.

    Raises:
        ImageError: something else, or an image file that cannot be used.
    """
    if isinstance(value, Image.Image):
        return _from_pillow(value)
    if not is_image_like(value):
        raise ImageError(f"{IMAGE_KINDS}; found {described(value)}.")
    if isinstance(value, FILES) or hasattr(value, "read"):
        return read_image(value)  # type: ignore[arg-type]
    return _from_array(np.asarray(value))


def is_image_like(value: object) -> bool:
    """Whether a value is of a type that :func:`to_image` takes."""
    return isinstance(value, (Image.Image, *FILES)) or hasattr(value, "read") or hasattr(value, "__array__")


def _from_pillow(image: Image.Image) -> Image.Image:
    if min(image.size) < 1:
        raise ImageError(f"A picture of {image.width} x {image.height} pixels has nothing to see.")
    if type(image) is Image.Image and image.mode == "RGB" and not image.info:
        return image
    be_quiet()
    try:
        file = getattr(image, "fp", None)
        # Opened, but not decoded yet: then it is decoded as any file.
        undecoded = getattr(image, "tile", None) or (image.format in ("WEBP", "AVIF") and image._im is None)
        if file is not None and (undecoded or image.format == "HEIF") and not image.tell():
            at = file.tell()
            file.seek(0)
            data = file.read()
            file.seek(at)
            with suppress(Exception):  # whose file is then closed, as after any other use; decode says what is wrong
                image.load()
            return decode(data)
        return _upright_rgb(image)
    except ImageError:
        raise
    except Exception as error:  # whatever its reader raises
        raise ImageError(
            f"The picture cannot be read: {str(error) or 'its file is closed'}. Open its file again."
        ) from error


def _from_array(array: np.ndarray) -> Image.Image:
    shape = array.shape[:2] if array.ndim == 3 and array.shape[2] == 1 else array.shape
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (3, 4)) or 0 in shape:
        raise ImageError(f"{IMAGE_KINDS}; found an array of shape {array.shape}.")
    whole = array.dtype.kind in "iu"
    if array.dtype.kind not in "biuf":
        raise ImageError(f"{IMAGE_KINDS}; found an array of {array.dtype}.")
    low, high = float(array.min()), float(array.max())
    top = 65535 if array.dtype == np.uint16 else 255
    if not 0 <= low <= high <= top:  # not for NaN either
        raise ImageError(f"{IMAGE_KINDS}; found an array of {array.dtype} from {low:.4g} to {high:.4g}.")
    scale = 255 / top if whole else 255.0 if high <= 1 else 1.0
    eight = array if array.dtype == np.uint8 else np.rint(array.astype(np.float64) * scale).astype(np.uint8)
    return _upright_rgb(Image.fromarray(np.ascontiguousarray(eight.reshape(shape))))


def each_image(images: Iterable[object]) -> Iterator[Image.Image]:
    """Pictures one after the other, as :func:`to_image` makes them; of a list, a generator, or an array (n, height,
    width, 3).

    Raises:
        ImageError: one image instead of several; or one of them is none.
    """
    one = isinstance(images, (Image.Image, *FILES)) or hasattr(images, "read")
    if one or (hasattr(images, "__array__") and np.asarray(images).ndim != 4) or not isinstance(images, Iterable):
        raise ImageError(
            f"Several pictures are wanted, such as a list; found {described(images)}. Write [picture] for one."
        )
    return map(to_image, images)


def described(value: object) -> str:
    """What a value is, for messages: its type, and an array's shape."""
    name = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    shape = getattr(value, "shape", None)
    return name if shape is None else f"{name} of shape {tuple(shape)}"


def _upright_rgb(image: Image.Image, orientation: int | None = None) -> Image.Image:
    """Upright, RGB, in sRGB, and without notes that would have that done again: a new image."""
    turn = TURNS.get(_orientation(image) if orientation is None else orientation)
    found = _to_rgb(image)
    if turn is not None:
        found = found.transpose(turn)
    if found is image:
        found = image.copy()
    found.info = {}
    return found


def _orientation(image: Image.Image) -> int:
    """How EXIF or XMP say that an image is turned, 1 to 8; 1 when they are broken, which costs no pixel."""
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except Exception:  # each broken byte raises something else
        return 1
    return found if isinstance(found, int) else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode == "RGB" and "transparency" not in image.info and not profile:
        return image
    if image.mode.startswith(("I", "F")):
        grey = _grey_to_8_bits(image)
        return (to_srgb(grey, profile) if profile else None) or grey.convert("RGB")
    rgba = image.convert("RGBA") if image.has_transparency_data else None
    rgb = _in_srgb(image, rgba, profile) if isinstance(profile, bytes) and profile else None
    if rgba is None:
        return rgb or image.convert("RGB")
    if rgb is not None:
        rgba = Image.merge("RGBA", (*rgb.split(), rgba.getchannel("A")))
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, rgba).convert("RGB")


def _in_srgb(image: Image.Image, rgba: Image.Image | None, profile: bytes) -> Image.Image | None:
    """The colours of an image as its profile means them, RGB; None where it changes nothing."""
    if image.mode in ("1", "L", "LA", "La"):
        return to_srgb(image.convert("L"), profile)
    if image.mode in ("RGB", "CMYK"):
        return to_srgb(image, profile)
    return to_srgb((rgba or image).convert("RGB"), profile)


def _grey_to_8_bits(image: Image.Image) -> Image.Image:
    """16-bit integer greys (modes I;16 and I) span 0..65535; float greys (mode F) span 0..1, or 0..255 if any is above
    1."""
    grey = np.asarray(image, dtype=np.float64)
    float_scale = 1.0 if grey.max(initial=0.0) > 1 else 255.0
    scale = float_scale if image.mode.startswith("F") else 255.0 / 65535.0
    return Image.fromarray(np.clip(np.rint(np.nan_to_num(grey) * scale), 0, 255).astype(np.uint8))


# --- what is made of them ---------------------------------------------------------------------------------------------


def thumbnails(image: Image.Image) -> dict[int, bytes]:
    """An RGB image as small WebP images, by the width they are made for in pixels.

    None is wider than the image, nor higher than twice its width; an image that is small itself has one.
    """
    made: dict[int, bytes] = {}
    for width in THUMBNAIL_WIDTHS:
        scale = min(1.0, width / image.width, 2 * width / image.height)
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        small = image if scale == 1 else image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
        stream = io.BytesIO()
        # Method 0 takes a third of the time of the usual one, for files a third larger.
        small.save(stream, "WEBP", quality=THUMBNAIL_QUALITY, method=0)
        made[width] = stream.getvalue()
        if scale == 1:
            break
    return made


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the (height, width, 3) uint8 input of one model: scaled to fit, centred, padded.

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
        """Where an image of this size comes to lie in the input: left, top, width and height, pixels."""
        scale = min(self.width / width, self.height / height)
        scaled = max(1, round(width * scale)), max(1, round(height * scale))
        return (self.width - scaled[0]) // 2, (self.height - scaled[1]) // 2, *scaled

    def apply(self, image: object) -> Pixels:
        """Scale and pad one image, of any kind that :func:`to_image` takes.

        Returns:
            (height, width, 3) uint8, a new array.

        Raises:
            ImageError: it is no image, or has no pixels.
        """
        rgb = to_image(image)
        left, top, *sides = self.place(rgb.width, rgb.height)
        size = (sides[0], sides[1])
        scaled = rgb if rgb.size == size else rgb.resize(size, RESAMPLING[self.resample])
        if size != (self.width, self.height):
            canvas = Image.new("RGB", (self.width, self.height), self.background)
            canvas.paste(scaled, (left, top))
            scaled = canvas
        return np.array(scaled)

    def batch(self, images: Iterable[object]) -> Pixels:
        """Preprocess many: (n, height, width, 3) uint8.

        Raises:
            ImageError: what was given is no list of images, see :func:`each_image`.
        """
        made = [self.apply(image) for image in each_image(images)]
        return np.stack(made) if made else np.empty((0, self.height, self.width, 3), np.uint8)

    def batches(self, images: Iterable[object], size: int) -> Iterator[Pixels]:
        """Preprocess many, ``size`` at a time, so that a generator of any length takes little memory."""
        images = each_image(images)
        while some := list(islice(images, size)):
            yield self.batch(some)

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
