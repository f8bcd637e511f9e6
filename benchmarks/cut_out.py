"""How good the cut-out is: intersection over union of the masks that a segmenter finds with the truth.

    python benchmarks/cut_out.py [--segmenter foreground] [--segmenter teacher.onnx] [--masks teacher.onnx] [--sheet
        runs/cut.png]

Three sets. ``drawn scenes``: the shop's val products pasted on scenes of gradients, shapes and grain
(:mod:`distortions`). ``real floors``: the same products on floors of people's validation photos, a piece of each that
shows no product, tiled. ``photos``: those validation photos themselves, against the masks of a teacher, which are no
truth but the best there is. The last two need ``--masks``: the ONNX file of a saliency network, or a folder of masks
called like the photos. A segmenter is ``foreground``, a model folder, or an ONNX file likewise.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from encoders import CACHE
from lapel.core.metrics import mean_of
from lapel.encoders import shipped_model
from lapel.encoders.model import read_model
from lapel.encoders.segmenter import MODEL_NAME, Mask, Segmenter
from lapel.insight.distortions import SCENE, cut_out, draw_scene, enlarge, lay
from lapel.service.photo_masks import open_photo_masks
from lapel.training.photo_masks import PhotoMasks, SaliencyNetwork, is_clear
from phone_to_shop import PHOTOS, ClothingPhotos, read_photos
from shops import Shop, machine, open_shop

AIM = 0.93
SHARE = (0.03, 0.85)  # of its picture that a product takes; beyond them it shows no white to be cut out of
TILES = (200, 150, 100, 60)  # sides of the pieces of floor that are tried, pixels
SHOWN = 40  # examples of a sheet
CELL = (120, 150)
MAGENTA = (255, 0, 255)


class Finder(Protocol):
    """Finds products."""

    def masks(self, images: Iterable[object]) -> list[Mask]:
        """One (height, width) mask in 0..1 for each image, of its own size."""
        ...


@dataclass(frozen=True)
class Case:
    """A picture and where its product is, (height, width) bool."""

    image: Image.Image
    truth: NDArray[np.bool_]


def open_finder(spec: str) -> Finder:
    """``foreground``, a model folder, or the ONNX file of a saliency network."""
    if spec.endswith(".onnx"):
        return SaliencyNetwork(Path(spec))
    return Segmenter(read_model(shipped_model(spec) if spec == MODEL_NAME else Path(spec)))


def on_scenes(shop: Shop, scenes: Iterator[Image.Image], count: int) -> Iterator[Case]:
    """Val products, always the same ones, each pasted on the next scene."""
    splits = shop.values("split")
    rows = np.array([row for row, split in enumerate(splits) if split == "val"] or range(len(splits)), np.int64)
    laid = 0
    for row in np.random.default_rng(7).permutation(rows).tolist():
        image = enlarge(shop.image(row))
        if laid < count and SHARE[0] < (np.asarray(cut_out(image)) > 127).mean() < SHARE[1]:
            photo, mask = lay(image, next(scenes), np.random.default_rng((1, laid)))
            laid += 1
            yield Case(photo, np.asarray(mask) > 127)


def drawn_scenes() -> Iterator[Image.Image]:
    """Scenes without end, always the same ones."""
    number = 0
    while True:
        yield draw_scene(np.random.default_rng((2, number)))
        number += 1


def read_cases(photos: ClothingPhotos, masks: PhotoMasks, most: int) -> list[tuple[Image.Image, Mask]]:
    """Validation photos with masks that can be believed."""
    rows = np.random.default_rng(7).permutation(np.flatnonzero(photos.splits == "validation"))[:most]
    read = []
    for row in track(rows.tolist(), "reading photos and their masks"):
        image = photos.picture(row)
        mask = masks.mask(photos.files[row], image)
        if mask is not None and is_clear(mask):
            read.append((image, mask))
    return read


def floors(photos: Sequence[tuple[Image.Image, Mask]]) -> Iterator[Image.Image]:
    """The largest square of each photo that shows no product, tiled, again and again; each time from another corner."""
    pieces = [piece for image, mask in photos if (piece := _floor(image, mask)) is not None]
    number = 0
    while True:
        piece = pieces[number % len(pieces)]
        left, top = np.random.default_rng((3, number)).integers(0, piece.width, 2)
        pixels = np.roll(np.asarray(piece), (int(top), int(left)), (0, 1))
        across, down = -(-SCENE[0] // piece.width), -(-SCENE[1] // piece.width)
        yield Image.fromarray(np.tile(pixels, (down, across, 1))[: SCENE[1], : SCENE[0]])
        number += 1


def _floor(image: Image.Image, mask: Mask) -> Image.Image | None:
    taken = np.pad((mask > 0.1).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    for side in TILES:
        if side > min(image.size):
            continue
        inside = taken[side:, side:] - taken[:-side, side:] - taken[side:, :-side] + taken[:-side, :-side]
        top, left = np.unravel_index(inside.argmin(), inside.shape)
        if inside[top, left] == 0:
            return image.crop((int(left), int(top), int(left) + side, int(top) + side))
    return None


def measure(finder: Finder, cases: Sequence[Case], title: str) -> tuple[NDArray[np.float64], list[Mask]]:
    """(n,) intersection over union, and the masks."""
    masks = [finder.masks([case.image])[0] for case in track(cases, title)]
    found = [mask > 0.5 for mask in masks]
    shares = [(one & case.truth).sum() / (one | case.truth).sum() for one, case in zip(found, cases, strict=True)]
    return np.array(shares, np.float64), masks


def sheet(cases: Sequence[Case], columns: Sequence[Sequence[Mask]]) -> Image.Image:
    """Examples, each followed by what every segmenter leaves of it."""
    width = (1 + len(columns)) * CELL[0]
    across = max(1, 1440 // width)
    page = Image.new("RGB", (across * width, -(-min(SHOWN, len(cases)) // across) * CELL[1]), "white")
    for number, case in enumerate(cases[:SHOWN]):
        at = (number % across * width, number // across * CELL[1])
        cells = [case.image]
        for masks in columns:
            alpha = Image.fromarray((masks[number] * 255).astype(np.uint8))
            cells.append(Image.composite(case.image, Image.new("RGB", case.image.size, MAGENTA), alpha))
        for place, cell in enumerate(cells):
            small = cell.copy()
            small.thumbnail((CELL[0] - 2, CELL[1] - 2))
            page.paste(small, (at[0] + place * CELL[0], at[1]))
    return page


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--segmenter", action="append", help="foreground, a model folder or an .onnx; may be repeated")
    parser.add_argument("--masks", help="a teacher's .onnx or a folder of masks: what shows where photos' floors are")
    parser.add_argument("--count", type=int, default=400, help="pictures a set")
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="folder with photos.csv and images.zip")
    parser.add_argument("--data", type=Path, help="folder or ZIP of pictures, with --products")
    parser.add_argument("--products", type=Path, help="table of the products")
    parser.add_argument("--sheet", type=Path, help="write examples as PNGs, one a set")
    wanted = parser.parse_args(arguments)
    shop = open_shop(wanted.data, wanted.products, CACHE)
    sets = {"drawn scenes": list(on_scenes(shop, drawn_scenes(), wanted.count))}
    if wanted.masks:
        photos = read_cases(read_photos(wanted.photos), open_photo_masks(wanted.masks), wanted.count)
        sets["real floors"] = list(on_scenes(shop, floors(photos), wanted.count))
        sets["photos"] = [Case(image, mask > 0.5) for image, mask in photos]
    specs = wanted.segmenter or [MODEL_NAME]
    print(f"intersection over union, aim {AIM}; {machine()}")
    finders = [open_finder(spec) for spec in specs]
    for name, cases in sets.items():
        columns = []
        for spec, finder in zip(specs, finders, strict=True):
            begin = time.process_time()
            shares, masks = measure(finder, cases, f"{name}, {spec}")
            columns.append(masks)
            estimate, milliseconds = mean_of(shares), 1000 * (time.process_time() - begin) / len(cases)
            print(
                f"{name:14}{len(cases):5}  {spec:28}{estimate.value:6.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
                f"  below 0.7: {(shares < 0.7).mean():5.1%}  {milliseconds:6.1f} ms"
            )
        if wanted.sheet:
            path = wanted.sheet.with_name(f"{wanted.sheet.stem}-{name.replace(' ', '-')}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            sheet(cases, columns).save(path)


if __name__ == "__main__":
    main()
