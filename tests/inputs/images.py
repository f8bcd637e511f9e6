"""Pictures as phones, cameras, printers and servers write them, made from code: HEIC, colour profiles, cut and oddly
noted files."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageCms

RED = (200, 30, 40)
# Colour spaces as ICC keeps them: X, Y and Z of red, green and blue, seen under D50; and how light falls off.
DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
D50 = (0.9642, 1.0, 0.8249)
ORIENTATION = 0x0112


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    """A picture as the bytes of a file."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def half(size: tuple[int, int] = (64, 48), colour: tuple[int, int, int] = RED) -> Image.Image:
    """White, with a coloured left half: turned wrongly, the colour is elsewhere."""
    picture = Image.new("RGB", size, "white")
    picture.paste(colour, (0, 0, size[0] // 2, size[1]))
    return picture


def texture(size: tuple[int, int] = (300, 400), seed: int = 3) -> Image.Image:
    """Soft coloured patches, different everywhere."""
    small = np.random.default_rng(seed).integers(0, 255, (20, 15, 3), np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def exif(orientation: int) -> Image.Exif:
    """Notes that say how the camera was held; 6 means: turn clockwise to see it upright."""
    notes = Image.Exif()
    notes[ORIENTATION] = orientation
    return notes


# --- HEIC -------------------------------------------------------------------------------------------------------------


def heic(
    picture: Image.Image, *, brand: bytes = b"heic", orientation: int = 1, turned_by: str = "irot", **options: object
) -> bytes:
    """A HEIC file as a phone writes it.

    Args:
        picture: As the sensor saw it.
        brand: What its first box says that it is.
        orientation: How the camera was held.
        turned_by: ``irot`` says so in a box and in EXIF, as phones do; ``exif`` in EXIF alone.
        options: Of pillow_heif: ``icc_profile``, ``thumbnails``.
    """
    import pillow_heif

    notes = exif(orientation)
    given = {"exif": notes.tobytes() if turned_by == "irot" else notes} if orientation != 1 else {}
    buffer = io.BytesIO()
    pillow_heif.encode(picture.mode, picture.size, picture.tobytes(), buffer, quality=90, **given, **options)
    return rebranded(buffer.getvalue(), brand)


def heic_burst(pictures: Sequence[Image.Image], primary: int) -> bytes:
    """Several pictures in one HEIC file, of which one is the chosen one."""
    import pillow_heif

    file = pillow_heif.HeifFile()
    for picture in pictures:
        file.add_from_pillow(picture)
    buffer = io.BytesIO()
    file.save(buffer, quality=90, primary_index=primary)
    return buffer.getvalue()


def rebranded(data: bytes, brand: bytes) -> bytes:
    """The same file with another first brand."""
    return data[:8] + brand + data[12:]


# --- colour profiles --------------------------------------------------------------------------------------------------


def srgb_profile() -> bytes:
    """The profile that most pictures have that have one."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def rgb_profile(primaries: Sequence[Sequence[float]], gamma: float | None = None) -> bytes:
    """An ICC profile of a camera, a screen or a printer's RGB; without ``gamma`` light falls off as in sRGB."""
    tags = {b"wtpt": _xyz(D50)} | {
        name: _xyz(colour) for name, colour in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)
    }
    return _profile(b"RGB ", b"XYZ ", tags | {name: _curve(gamma) for name in (b"rTRC", b"gTRC", b"bTRC")})


def grey_profile(gamma: float) -> bytes:
    """An ICC profile of grey pictures."""
    return _profile(b"GRAY", b"XYZ ", {b"wtpt": _xyz(D50), b"kTRC": _curve(gamma)})


def ink_profile(black: int = 20, paper: int = 100) -> bytes:
    """An ICC profile of a printer's CMYK whose ink, however mixed, takes lightness from ``paper`` down to ``black``
    (CIE L*, 0..100)."""
    cells = bytearray()
    for cell in range(16):  # each ink there or not: C, M, Y, K
        lightness = paper - (paper - black) * (4 if cell & 1 else bin(cell).count("1")) / 4
        cells += bytes((round(lightness * 255 / 100), 128, 128))
    line = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 if n % 4 == 0 else 0 for n in range(9)))
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + matrix + line * 4 + bytes(cells) + line * 3
    return _profile(b"CMYK", b"Lab ", {b"wtpt": _xyz(D50), b"A2B0": table}, kind=b"prtr")


def _profile(space: bytes, through: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr") -> bytes:
    words = b"desc" + bytes(4) + struct.pack(">I", 5) + b"made\0" + bytes(78)
    tags = {b"desc": words, b"cprt": b"text" + bytes(4) + b"none\0", **tags}
    at = 128 + 4 + 12 * len(tags)
    index, body = struct.pack(">I", len(tags)), b""
    for name, tag in tags.items():
        padded = tag + bytes(-len(tag) % 4)
        index += name + struct.pack(">II", at + len(body), len(tag))
        body += padded
    light = struct.pack(">3i", *(round(65536 * each) for each in D50))
    head = struct.pack(">I", at + len(body)) + bytes(4) + struct.pack(">I", 0x02400000) + kind + space + through
    head += bytes(12) + b"acsp" + bytes(28) + light
    return head + bytes(128 - len(head)) + index + body


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(65536 * each) for each in values))


def _curve(gamma: float | None) -> bytes:
    light = np.linspace(0, 1, 1024)
    linear = (
        np.where(light <= 0.04045, light / 12.92, ((light + 0.055) / 1.055) ** 2.4) if gamma is None else light**gamma
    )
    return b"curv" + bytes(4) + struct.pack(">I", 1024) + np.rint(65535 * linear).astype(">u2").tobytes()


# --- files with something odd in them ---------------------------------------------------------------------------------


def png_chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    """A part of a PNG; its checksum is right unless another is given."""
    return (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) if crc is None else crc)
    )


def png_with(picture: Image.Image, *chunks: bytes) -> bytes:
    """A PNG with more parts behind its header."""
    data = saved(picture, "PNG")
    return data[:33] + b"".join(chunks) + data[33:]


def png_profile(profile: bytes) -> bytes:
    """A colour profile as a part of a PNG."""
    return png_chunk(b"iCCP", b"made\0\0" + zlib.compress(profile))


def jpeg_with_exif(picture: Image.Image, body: bytes) -> bytes:
    """A JPEG whose EXIF part is these bytes."""
    data = saved(picture, "JPEG", quality=95)
    segment = b"Exif\0\0" + body
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]


def raw_photo(picture: Image.Image) -> bytes:
    """A camera's raw file as far as its first picture: a small copy."""
    from PIL import TiffImagePlugin

    notes = TiffImagePlugin.ImageFileDirectory_v2()
    notes[254] = 1
    notes[50706] = b"\1\4\0\0"
    return saved(picture, "TIFF", tiffinfo=notes)
