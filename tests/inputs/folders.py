"""Folders and ZIPs of pictures as shops, phones and storage boxes have them, made from code."""

from __future__ import annotations

import io
import os
import struct
import unicodedata
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

ORIENTATION = 0x0112  # the EXIF tag


def picture(number: int = 0, kind: str = "JPEG", *, orientation: int = 1) -> bytes:
    """A picture of its own for each number, upright when its orientation is followed."""
    pixels = np.random.default_rng(number).integers(0, 255, (4, 3, 3), np.uint8)
    image = Image.fromarray(pixels).resize((24, 32), Image.Resampling.NEAREST)
    exif = Image.Exif()
    if orientation == 6:  # the camera lay on its side
        image = image.rotate(90, expand=True)
        exif[ORIENTATION] = 6
    stream = io.BytesIO()
    image.save(stream, kind, exif=exif)
    return stream.getvalue()


def heic(number: int = 0) -> bytes:
    """A photo as an iPhone saves it."""
    import pillow_heif  # not its plug-in for Pillow, which would hide that Lapel's own is missing

    stream = io.BytesIO()
    pillow_heif.from_pillow(Image.open(io.BytesIO(picture(number)))).save(stream)
    return stream.getvalue()


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    """A folder of these files by path."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def zip_of(path: Path, files: Mapping[str, bytes]) -> Path:
    """A ZIP of these files by path."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def zip_of_raw_names(path: Path, files: Mapping[bytes, bytes]) -> Path:
    """A ZIP whose names are these very bytes, and which does not say in which encoding: as old Windows programs write
    it."""
    with zipfile.ZipFile(path, "w") as archive:
        for number, (raw, data) in enumerate(files.items()):
            archive.writestr(f"{number:0{len(raw)}d}", data)
    whole = path.read_bytes()
    for number, raw in enumerate(files):
        whole = whole.replace(f"{number:0{len(raw)}d}".encode(), raw)
    path.write_bytes(whole)
    return path


def lying_zip(path: Path, *, size: int, said: int) -> Path:
    """A ZIP whose one member, ``a.jpg``, unpacks to ``size`` bytes and says that it has ``said``."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", bytes(size))
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", size), struct.pack("<I", said)))
    return path


def nas_share(folder: Path) -> Path:
    """A share of a storage box: 3 products, and what Synology, Windows, macOS and Linux put beside them."""
    files = {f"Shirts/{number}.jpg": picture(number) for number in range(3)}
    junk = [
        *("Shirts/@eaDir/0.jpg/SYNOPHOTO_THUMB_M.jpg", "Shirts/@eaDir/0.jpg/SYNOPHOTO_THUMB_XL.jpg"),
        *("#recycle/old.jpg", "$RECYCLE.BIN/$R1.jpg", ".Trash-1000/files/old.jpg", "__MACOSX/Shirts/._0.jpg"),
        *("Shirts/._1.jpg", "Shirts/Thumbs.db", "SYNOPHOTO_THUMB_M.jpg"),
    ]
    return write(folder, files | dict.fromkeys(junk, picture(9)))


def phone_folder(folder: Path) -> Path:
    """What a phone gives: 3 photos, two of them of a camera that lay on its side, a live photo's film and an edit's
    notes."""
    return write(
        folder,
        {
            "DCIM/100APPLE/IMG_0001.HEIC": heic(1),
            "DCIM/100APPLE/IMG_0001.MOV": b"\0\0\0\x14ftypqt  ",
            "DCIM/100APPLE/IMG_0001.AAE": b"<?xml",
            "DCIM/100APPLE/IMG_0002.JPG": picture(2, orientation=6),
            "DCIM/100APPLE/IMG_0003.PNG": picture(3, "PNG"),
            "DCIM/.thumbdata": b"",
        },
    )


KINDS = {  # what a file is called -> how it is counted
    "a.mov": "videos",
    "a.AAE": "edits of phone photos",
    "a.dng": "camera raw photos",
    "a.jxl": "JPEG XL pictures",
    "inner.zip": "archives",
    "prices.csv": "tables",
    "logo.svg": "drawings and documents",
    "a.xyz": "other files",
    "nothing": "files without an ending",
}


def all_kinds() -> dict[str, bytes]:
    """One file of each kind that is not read, and pictures that have no ending."""
    return {
        **dict.fromkeys(KINDS, b"something else"),
        "photo": picture(1),
        "photo 12.5 cm": picture(2, "PNG"),
        "photo.jpg?v=1": picture(3, "WEBP"),
    }


def decomposed(text: str) -> str:
    """A text as macOS writes it into names of files: accents apart from their letters (NFD)."""
    return unicodedata.normalize("NFD", text)


@contextmanager
def nested(folder: Path, depth: int) -> Iterator[Path]:
    """Folders in one another, each called ``d``, with one picture in the last; taken away at the end, as pytest cannot:
    it recurses."""
    folder.mkdir()
    here = os.open(folder, os.O_RDONLY)
    opened = [here]
    for _ in range(depth):
        os.mkdir("d", dir_fd=opened[-1])
        opened.append(os.open("d", os.O_RDONLY, dir_fd=opened[-1]))
        if len(opened) > 2:
            os.close(opened.pop(-2))
    file = os.open("a.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=opened[-1])
    os.write(file, picture(1))
    os.close(file)
    try:
        yield folder
    finally:
        last = opened.pop()
        os.unlink("a.jpg", dir_fd=last)
        for _ in range(depth):
            above = os.open("..", os.O_RDONLY, dir_fd=last)
            os.close(last)
            os.rmdir("d", dir_fd=above)
            last = above
        os.close(last)
        os.close(here)
