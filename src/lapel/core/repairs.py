"""Files whose pixels are there although something else is wrong: JPEGs that lack their end, PNGs with bad notes beside
the image.

Pillow has one switch for both, for the whole process and for whatever is missing; here it is decided image by image, in
any thread.
"""

from __future__ import annotations

import io
import re
import zlib

import numpy as np
from PIL import Image, JpegImagePlugin

from lapel.core.errors import ImageError
from lapel.core.profiles import MAX_PROFILE_BYTES

MIN_SHARE = 0.9  # of a JPEG's pixels, at least: less would be an image of something else
END = b"\xff\xd9"
SCAN = b"\xff\xda"
MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")  # of a segment; others stand inside a scan
PNG = b"\x89PNG\r\n\x1a\n"
# Parts of a PNG that say how its pixels look, beside those that hold them, which have names in capitals.
PIXEL_CHUNKS = (b"tRNS", b"acTL", b"fcTL", b"fdAT", b"eXIf")


def whole_jpeg(image: JpegImagePlugin.JpegImageFile, data: bytes, draft: int) -> Image.Image:
    """Decode an opened JPEG; one that lacks a little of its end is completed with the last row that is there.

    Args:
        image: The opened file.
        data: Its bytes.
        draft: Sides in pixels that may be decoded smaller, but not below this.

    Raises:
        ImageError: too much is missing.
        OSError: it is damaged in another way.
    """
    height = image.height
    image.draft("RGB", (draft, draft))
    try:
        image.load()
        return image
    except OSError as error:
        if data.rstrip(b"\0").endswith(END):
            raise
        cut = error

    whole, coarse = _segments(data)

    def decoded(ending: bytes) -> Image.Image:
        again = JpegImagePlugin.JpegImageFile(io.BytesIO(data[:whole] + ending), "")
        again.draft("RGB", (draft, draft))
        again.load()
        return again

    found = decoded(END)
    if "progressive" in image.info:
        # Each scan goes over all rows and adds detail: whole but for its finest is whole enough for a search.
        if not coarse:
            raise ImageError(
                "The picture is damaged or cut short: not even its coarse parts are complete. Export or download it"
                " again."
            ) from cut
        return found
    # Where it ends the decoder paints grey, or whatever zeros mean: rows where the two differ were not in the file.
    pixels, other = (np.asarray(each) for each in (found, decoded(bytes(4096) + END)))
    differs = (pixels != other).reshape(*pixels.shape[:2], -1).any(axis=2)
    if not differs.any():
        return found
    down, across = (max(1, round(8 * max(each[n] for each in image.layer) * found.height / height)) for n in (2, 1))
    # The first block that is missing, without the pixel by which colours are smoothed into the one before; that one may
    # be half there.
    row = (int(differs.any(axis=1).argmax()) + 1) // down * down
    column = (int(differs[row : row + down].any(axis=0).argmax()) + 1) // across * across - across
    share = max(0.0, row + down * column / found.width) / found.height
    if share < MIN_SHARE:
        raise ImageError(
            f"The picture is damaged or cut short: {int(100 * share)}% of it is there; {MIN_SHARE:.0%} are needed."
            f" Export or download it again."
        ) from cut
    return _completed(found, row, row + down, max(0, column))


def _completed(image: Image.Image, row: int, below: int, column: int) -> Image.Image:
    """The image with its last good row repeated: in rows ``row`` to ``below`` from the column on, and below in all."""
    pixels = np.array(image)
    pixels[row:below, column:] = pixels[row - 1, column:]
    pixels[below:] = pixels[row - 1]
    made = Image.frombytes(image.mode, image.size, pixels.tobytes())
    made.info = dict(image.info)
    return made


def _segments(data: bytes) -> tuple[int, bool]:
    """Where the last segment of a cut JPEG begins that is cut itself, else its length; and, of a progressive one,
    whether every coefficient has its first value: each scan that gives one is followed by something.
    """
    known: dict[int, set[int]] = {}
    scan: tuple[bytes, range] = (b"", range(0))
    at = 2
    try:
        while found := MARKER.search(data, at):
            for component in scan[0]:
                known[component].update(scan[1])
            at = found.end()
            length = int.from_bytes(data[at : at + 2], "big")
            if at + length > len(data):
                return found.start(), _all_known(known)
            body = data[at + 2 : at + length]
            scan = (b"", range(0))
            if found[0] == b"\xff\xc2":
                known = {component: set() for component in body[6 : 6 + 3 * body[5] : 3]}
            elif found[0] == SCAN:
                count = body[0]
                first, last, finer = body[1 + 2 * count], body[2 + 2 * count], body[3 + 2 * count] >> 4
                scan = (b"" if finer else body[1 : 1 + 2 * count : 2], range(first, last + 1))
            at += length
    except (IndexError, KeyError):  # not a JPEG's
        return len(data), False
    return len(data), _all_known(known)


def _all_known(known: dict[int, set[int]]) -> bool:
    return bool(known) and all(len(coefficients) == 64 for coefficients in known.values())


def held_whole(image: JpegImagePlugin.JpegImageFile, data: bytes) -> int:
    """Bytes that decoding an opened JPEG holds besides the image: all coefficients where its colours come in several
    scans, else none."""
    assert image.fp is not None
    first = data.rfind(SCAN, 0, image.fp.tell())
    if "progressive" not in image.info and data[first + 4] >= len(image.layer):
        return 0
    across, down = (max(each[side] for each in image.layer) for side in (1, 2))
    share = sum(each[1] * each[2] for each in image.layer) / (across * down)
    return int(2 * share * image.width * image.height)


def bare_png(data: bytes) -> tuple[bytes, bytes] | None:
    """A PNG without its notes, such as texts and times, and without parts beside the pixels whose checksum is wrong.

    Returns:
        The file, and its colour profile, empty where there is none; None when it is no PNG, or there was nothing to
        leave out.
    """
    if not data.startswith(PNG):
        return None
    kept, profile, at = [PNG], b"", len(PNG)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        name = data[at + 4 : at + 8]
        good = zlib.crc32(data[at + 4 : end - 4]).to_bytes(4, "big") == data[end - 4 : end]
        if name[:1].isupper() or (name in PIXEL_CHUNKS and good):
            kept.append(data[at:end])
        elif name == b"iCCP" and good:
            profile = _unpacked(data[at + 8 : end - 4].partition(b"\0")[2][1:])
        at = end
    bare = b"".join([*kept, data[at:]])
    return None if len(bare) == len(data) else (bare, profile)


def _unpacked(data: bytes) -> bytes:
    """A colour profile as a PNG packs it; empty when it cannot be unpacked or is enormous."""
    try:
        packed = zlib.decompressobj()
        found = packed.decompress(data, MAX_PROFILE_BYTES)
    except zlib.error:
        return b""
    return b"" if packed.unconsumed_tail else found
