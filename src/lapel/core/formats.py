"""Which image formats are read, and what the files that are none of them seem to be.

:func:`open_image_file` finds the reader by the first bytes and asks it for the header; no pixel is decoded. It opens
Pillow's readers itself, so that nothing is registered for the whole process and Pillow's own limit on size, which knows
no JPEG drafts, does not come first.
"""

from __future__ import annotations

import io
import logging
import re
import struct
import warnings
from collections.abc import Iterator

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from lapel.core.errors import ImageError

# Formats a shop or a phone writes, decoded without calling another program (so no EPS or PDF). An MPO is read as the
# JPEG that it begins with.
READERS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
    "JPEG2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
    "PPM": PpmImagePlugin.PpmImageFile,
}
FORMATS = (*READERS, "HEIF")
USE = "Use JPEG, PNG, WebP, AVIF, HEIC, GIF, BMP or TIFF."
# Brands of the "ftyp" box that HEIC photos, bursts and sequences begin with; mif1 and msf1 may hold AVIF as well.
HEIC = {
    b"heic",
    b"heix",
    b"heim",
    b"heis",
    b"hevc",
    b"hevx",
    b"hevm",
    b"hevs",
    b"mif1",
    b"mif2",
    b"msf1",
    b"MiHE",
    b"MiHB",
}
AVIF = {b"avif", b"avis"}
RAW_TAG = 50706  # DNGVersion
REDUCED_TAG, PARTS_TAG = 254, 330  # a TIFF whose first image is a small copy of others inside: a camera's raw file
_PILLOWS = ("ignore", None, UserWarning, re.compile(r"PIL\."), 0)  # a filter, as the module warnings keeps it

# How files begin that are no images, or of a kind that is not read; in bytes from the offset, lower case.
_BEGINNINGS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"<!doctype html", "a web page (HTML)"),
    (0, b"<html", "a web page (HTML)"),
    (0, b"<head", "a web page (HTML)"),
    (0, b"<body", "a web page (HTML)"),
    (0, b"<script", "a web page (HTML)"),
    (0, b"data:", "the text of a data: address, not the bytes that it stands for"),
    (0, b"http://", "the text of a link, not the picture behind it"),
    (0, b"https://", "the text of a link, not the picture behind it"),
    (0, b"%pdf", "a PDF"),
    (0, b"%!ps", "a PostScript drawing (EPS)"),
    (0, b"pk\x03\x04", "a ZIP archive"),
    (0, b"rar!", "a RAR archive"),
    (0, b"7z\xbc\xaf", "a 7z archive"),
    (0, b"\x1f\x8b", "gzip data, which must be unpacked first"),
    (0, b"8bps", "a Photoshop file (PSD), which must be exported as JPEG or PNG first"),
    (0, b"\xff\x0a", "a JPEG XL picture (JXL), which must be exported as JPEG first"),
    (4, b"jxl \x0d\x0a", "a JPEG XL picture (JXL), which must be exported as JPEG first"),
    (0, b"fujifilmccd-raw", "a camera's raw photo (RAF), which must be exported as JPEG first"),
    (0, b"iiro", "a camera's raw photo (ORF), which must be exported as JPEG first"),
    (0, b"iirs", "a camera's raw photo (ORF), which must be exported as JPEG first"),
    (0, b"iiu\0", "a camera's raw photo (RW2), which must be exported as JPEG first"),
    (4, b"ftypcrx ", "a camera's raw photo (CR3), which must be exported as JPEG first"),
    (0, b"\x1a\x45\xdf\xa3", "a video (Matroska or WebM)"),
    (4, b"ftyp", "a video (MP4 or QuickTime)"),
    (4, b"moov", "a video (QuickTime)"),
    (8, b"avi ", "a video (AVI)"),
    (8, b"wave", "sound (WAV)"),
    (0, b"riff", "a RIFF file that is not WebP"),
    (0, b"\0\0\1\0", "an icon (ICO)"),
    (0, b"{", "text (JSON)"),
    (0, b"<?xml", "text (XML)"),
)  # fmt: skip


def open_image_file(data: bytes) -> ImageFile.ImageFile:
    """The bytes of an image file -> its header and what will decode it.

    Raises:
        ImageError: no image, of a kind that is not read, or with a header that cannot be.
        Exception: whatever a reader raises on broken input.
    """
    be_quiet()
    problem = ""
    for reader in _readers(data[:4096]):
        try:
            image = reader(io.BytesIO(data), "")
        except (SyntaxError, IndexError, TypeError, struct.error) as error:
            problem = f"{str(error) or 'its header cannot be read'} (read as {reader.format})"
            continue
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            _check_not_raw(image)
        return image
    if problem:
        raise ImageError(f"The picture is damaged or cut short: {problem}. Export or download it again.")
    raise ImageError(f"Not a picture: it holds {kind_of(data)}. {USE}")


def _readers(head: bytes) -> Iterator[type[ImageFile.ImageFile]]:
    """What may read a file that begins like this; more than one where only the reader can tell."""
    for name, reader in READERS.items():
        accepts = Image.OPEN[name][1]
        if accepts is not None and accepts(head[:16]) is True:  # a text says why Pillow cannot here
            yield reader
    if _brands(head) & HEIC and head[8:12] not in AVIF:
        yield _heif_reader()


def _brands(head: bytes) -> frozenset[bytes]:
    """The major and the compatible brands of a file made of boxes, as HEIC, AVIF and MP4 are; empty for any other."""
    if head[4:8] != b"ftyp":
        return frozenset()
    size = min(int.from_bytes(head[:4], "big"), len(head))
    return frozenset({head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))})


def _heif_reader() -> type[ImageFile.ImageFile]:
    try:
        from pi_heif import HeifImageFile
    except ImportError as error:
        raise ImageError(
            "The picture is a HEIC photo, and what reads it is missing. Run: pip install pi-heif"
        ) from error
    reader: type[ImageFile.ImageFile] = HeifImageFile
    return reader


def _check_not_raw(image: TiffImagePlugin.TiffImageFile) -> None:
    """A camera's raw photo begins with a small copy: it would be taken for the photo.

    Raises:
        ImageError: it is one.
    """
    tags = image.tag_v2
    if RAW_TAG in tags or (tags.get(REDUCED_TAG, 0) == 1 and PARTS_TAG in tags):
        raise ImageError(
            "Not a picture that is read: it holds a camera's raw photo (DNG, NEF, ARW ...). Export it as JPEG."
        )


def kind_of(data: bytes) -> str:
    """What a file that is no image, or none that is read, seems to be, in words a person can act on."""
    head = data[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if _brands(data[:512]) & AVIF:
        return "an AVIF picture, and this Pillow reads none. Run: pip install --upgrade pillow"
    if b"<svg" in head:
        return "an SVG drawing, which must be exported as PNG first"
    for offset, beginning, words in _BEGINNINGS:
        if head[offset:].startswith(beginning) or data[offset:].startswith(beginning):
            return words
    if not data.strip(b"\0"):
        return f"nothing but zeros ({len(data):,} bytes); the file was not written to its end"
    if head and all(32 <= each < 127 or each in b"\t\r\n" for each in head):
        return f"text that starts with '{' '.join(data[:40].decode('ascii', 'replace').split())}'"
    return f"{len(data):,} bytes that start with {data[:8].hex(' ')}"


def be_quiet() -> None:
    """Keep Pillow from telling the terminal about broken EXIF and the like, which cost no pixels: a reader of many
    files could do nothing.

    Only warnings and logs that come from inside Pillow, and never its warning of enormous images, which other code may
    rely on. A filter for the process, as Python 3.11 has none for a thread; put in front again where someone else's
    came before it.
    """
    if not warnings.filters or warnings.filters[0] != _PILLOWS:
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    logger = logging.getLogger("PIL")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
