"""core.images: every kind of bad or odd picture, each made here; what is refused says what was found and what to do."""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from lapel.core.errors import ImageError
from lapel.core.images import Preprocessing, decode

RED = (200, 30, 40)


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def plain(mode: str = "RGB", colour: object = RED, size: tuple[int, int] = (24, 32)) -> Image.Image:
    return Image.new(mode, size, colour)  # type: ignore[arg-type]


def png_header(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be of this size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def near(picture: Image.Image, colour: tuple[int, int, int], tolerance: int = 12) -> bool:
    assert picture.mode == "RGB"
    pixel = np.asarray(picture, np.int64)[picture.height // 2, picture.width // 2]
    return bool(np.abs(pixel - np.array(colour)).max() <= tolerance)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM"])
def test_each_format_gives_the_colour_it_was_made_with(kind: str) -> None:
    assert near(decode(saved(plain(), kind)), RED)


def test_the_content_decides_not_the_name() -> None:
    # A PNG that someone called .jpg: decode never sees a name.
    assert decode(saved(plain(), "PNG")).size == (24, 32)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", ["empty", "0 bytes"]),
        (b"hello, this is text", ["Not a picture", "JPEG"]),
        (b"<!DOCTYPE html><html>404</html>", ["web page"]),
        (b"%PDF-1.7 ...", ["PDF"]),
        (b"<?xml version='1.0'?><svg></svg>", ["SVG"]),
        (b"PK\x03\x04" + bytes(40), ["ZIP"]),
        (bytes(1000), ["1,000 bytes"]),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, words: list[str]) -> None:
    with pytest.raises(ImageError) as caught:
        decode(data)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_truncated_pictures_are_refused(kind: str, part: float) -> None:
    noise = np.random.default_rng(7).integers(0, 255, (64, 64, 3), np.uint8)
    data = saved(Image.fromarray(noise), kind)
    with pytest.raises(ImageError, match=r"damaged or cut short|Not a picture"):
        decode(data[: int(len(data) * part)])


def test_an_animation_gives_its_first_frame() -> None:
    frames = [plain(colour=RED), plain(colour=(0, 200, 0)), plain(colour=(0, 0, 200))]
    for kind in ("GIF", "WEBP", "PNG"):
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        assert near(decode(data), RED), kind


def test_cmyk_grey_palette_and_lab_become_rgb() -> None:
    assert near(decode(saved(plain("CMYK", (0, 200, 180, 20)), "JPEG")), (235, 51, 70), 40)
    assert near(decode(saved(plain("L", 90), "PNG")), (90, 90, 90))
    assert near(decode(saved(plain("1", 1), "PNG")), (255, 255, 255))
    assert near(decode(saved(plain().quantize(4), "PNG")), RED)


def test_16_bit_and_float_greys_keep_their_brightness() -> None:
    half = Image.fromarray(np.full((16, 16), 32768, np.uint16))
    assert near(decode(saved(half, "PNG")), (128, 128, 128), 1)
    assert near(decode(saved(Image.fromarray(np.full((16, 16), 0.5, np.float32)), "TIFF")), (128, 128, 128), 1)


def test_transparency_is_laid_on_white() -> None:
    assert near(decode(saved(plain("RGBA", (200, 30, 40, 0)), "PNG")), (255, 255, 255))
    assert near(decode(saved(plain("RGBA", (0, 0, 0, 128)), "PNG")), (127, 127, 127))
    assert near(decode(saved(plain("LA", (0, 0)), "PNG")), (255, 255, 255))
    palette = plain().quantize(4)
    assert near(decode(saved(palette, "PNG", transparency=palette.getpixel((0, 0)))), (255, 255, 255))
    assert near(decode(saved(plain(), "PNG", transparency=RED)), (255, 255, 255))


def test_exif_rotation_is_applied() -> None:
    picture = Image.new("RGB", (40, 20), (255, 255, 255))
    picture.paste(RED, (0, 0, 20, 20))  # the left half
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn clockwise to see it upright"
    upright = decode(saved(picture, "JPEG", exif=exif, quality=95))
    assert upright.size == (20, 40)
    assert near(upright.crop((0, 0, 20, 20)), RED)
    assert near(upright.crop((0, 20, 20, 40)), (255, 255, 255))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # what Pillow says about it, once
@pytest.mark.parametrize(
    "body", [b"MM\0*\xff\xff\xff\xff", b"nonsense", b"II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x01\0\0\0x\0\0\0\0\0\0\0"]
)
def test_broken_exif_does_not_cost_the_picture(body: bytes) -> None:
    data = saved(plain(), "JPEG")
    segment = b"Exif\0\0" + body
    broken = data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
    assert near(decode(broken), RED)


def test_colour_profiles_are_no_obstacle() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert near(decode(saved(plain(), "JPEG", icc_profile=profile)), RED)


@pytest.mark.parametrize(("width", "height"), [(30_000, 30_000), (12_000, 12_000), (10_000, 9_000), (9_000, 8_900)])
def test_enormous_pictures_are_refused_before_decoding(width: int, height: int) -> None:
    # The file ends after its header, so decoding it would say "damaged": "too large" shows that it was never tried.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError) as caught:
            decode(png_header(width, height))
    assert "pixels" in str(caught.value)
    assert "80,000,000" in str(caught.value)
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize(
    ("size", "words"), [((1, 1), "1 x 1"), ((7, 100), "7 x 100"), ((2000, 10), "2,000 x 10|2000 x 10")]
)
def test_tiny_and_thin_pictures_are_refused(size: tuple[int, int], words: str) -> None:
    with pytest.raises(ImageError, match=words):
        decode(saved(plain(size=size), "PNG"))


def test_preprocessing_pads_with_white_and_leaves_the_picture_alone() -> None:
    picture = plain(size=(40, 20))
    before = picture.tobytes()
    pixels = Preprocessing(height=20, width=20).apply(picture)
    assert pixels.shape == (20, 20, 3)
    assert pixels.dtype == np.uint8
    assert (pixels[0] == 255).all()
    assert (pixels[-1] == 255).all()
    assert np.abs(pixels[10, 10].astype(int) - RED).max() <= 1
    assert picture.tobytes() == before


def test_preprocessing_twice_changes_nothing() -> None:
    prepare = Preprocessing(height=80, width=60)
    noise = Image.fromarray(np.random.default_rng(3).integers(0, 255, (301, 127, 3), np.uint8))
    once = prepare.apply(noise)
    assert (prepare.apply(Image.fromarray(once)) == once).all()
