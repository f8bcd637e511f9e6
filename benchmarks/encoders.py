"""The encoders that the evaluations compare: any encoder of Lapel, ImageNet features, and perceptual hashing.

RGB pictures in, unit vectors out.

``default``, a model folder or ``colour:`` opens an encoder; ``imagenet`` is an EfficientNet-Lite0 as ImageNet taught
it, its last map's mean, 1,280 numbers; ``phash`` is the 64-bit perceptual hash, whose cosine is 1 - 2 x (different
bits) / 64. Every encoder is measured twice: asked with the picture alone, and also with the product cut out of it, as a
search does unless it is told not to. A whole shop is encoded once an encoder and kept in a cache folder, under the
encoder's
fingerprint and the pictures' own stamps.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image
from rich.progress import track

from lapel.core.images import Preprocessing
from lapel.core.vectors import Vectors
from lapel.encoders import Encoder, open_encoder
from lapel.encoders.model import MANIFEST, ModelFolder
from lapel.encoders.segmenter import embed_images
from shops import Shop

BASELINES = ("imagenet", "phash")
CACHE = Path(__file__).parents[1] / "runs" / "evaluate"
BATCH = 64  # pictures decoded and encoded at a time
IMAGENET = "ImageNet features"
IMAGENET_SIZE = Preprocessing(height=160, width=120)  # as the reference figures were measured
SIDE = 32  # the hash sees 32 x 32 greys
KEPT = 8  # and keeps the signs of the lowest 8 x 8 waves


class ImageEncoder(Protocol):
    """What the evaluations need of an encoder."""

    @property
    def name(self) -> str:
        """What the tables call it."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes when its vectors do."""
        ...

    def encode(self, images: Sequence[Image.Image]) -> Vectors:
        """N RGB pictures of any size -> (n, dim) float32 unit rows."""
        ...


class SegmentingEncoder:
    """An encoder asked as a search asks it: with a photo and the product cut out of it. The shop's own pictures are
    encoded as they are."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.name, self.fingerprint = f"{encoder.name}, cut", encoder.fingerprint

    def encode(self, images: Sequence[Image.Image]) -> Vectors:
        """N RGB pictures of any size -> (n, dim) float32 unit rows."""
        return embed_images(self.encoder, images).vectors


class PerceptualHash:
    """The 64-bit pHash: the lowest 8 x 8 of a cosine transform of 32 x 32 greys, each above or below their median
    (Zauner 2010)."""

    name = "pHash, 64 bit"
    fingerprint = "phash-1"

    def encode(self, images: Sequence[Image.Image]) -> Vectors:
        """N RGB pictures -> (n, 64) float32 of +-1/8: the cosine of two rows is 1 - 2 x (different bits) / 64."""
        shape = (len(images), SIDE, SIDE)
        greys = np.empty(shape, np.float64)
        for row, image in enumerate(images):
            greys[row] = image.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        waves = np.cos(np.pi / SIDE * np.outer(np.arange(KEPT), np.arange(SIDE) + 0.5))  # (8, 32): DCT-II
        low = (waves @ greys @ waves.T).reshape(len(images), KEPT * KEPT)
        bits = low > np.median(low, axis=1, keepdims=True)
        return np.where(bits, 1 / KEPT, -1 / KEPT).astype(np.float32)


def imagenet_model(folder: Path) -> Path:
    """A model folder with an EfficientNet-Lite0 that has seen ImageNet only; written where there is none. Needs
    ``lapel[train]``."""
    if (folder / MANIFEST).is_file():
        return folder
    import torch

    from lapel.training.efficientnet import FEATURES, IMAGENET_MEAN, IMAGENET_STD, load_efficientnet

    class Features(torch.nn.Module):
        """(n, h, w, 3) uint8 -> the mean of the last map, and the map."""

        def __init__(self) -> None:
            super().__init__()
            self.backbone = load_efficientnet()
            self.mean, self.std = (
                torch.tensor(values).view(1, 3, 1, 1) * 255 for values in (IMAGENET_MEAN, IMAGENET_STD)
            )

        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            spatial = self.backbone((pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std)
            return torch.nn.functional.normalize(spatial.mean(dim=(2, 3)), dim=1), spatial

    program = torch.onnx.export(
        Features().eval(),
        (torch.zeros(2, IMAGENET_SIZE.height, IMAGENET_SIZE.width, 3, dtype=torch.uint8),),
        input_names=["pixels"],
        output_names=["vectors", "spatial"],
        dynamic_shapes={"pixels": {0: torch.export.Dim("n")}},
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    assert program is not None  # dynamo=True always returns one
    folder.mkdir(parents=True, exist_ok=True)
    program.save(str(folder / "network.onnx"), external_data=False)
    sha256 = hashlib.sha256((folder / "network.onnx").read_bytes()).hexdigest()
    ModelFolder(folder, IMAGENET, FEATURES, "network.onnx", sha256, IMAGENET_SIZE, "float32").save()
    return folder


def open_named(spec: str, cache: Path) -> ImageEncoder:
    """``imagenet``, ``phash``, or anything :func:`lapel.encoders.open_encoder` opens."""
    if spec == "imagenet":
        return open_encoder(str(imagenet_model(cache / "imagenet")))
    if spec == "phash":
        return PerceptualHash()
    return open_encoder(spec)


def encoders_of(wanted: argparse.Namespace, *, segment: bool = True) -> list[ImageEncoder]:
    """The encoders that the options of :func:`add_arguments` name: each encoder, asked with the whole and cut out, then
    the baselines."""
    encoders = [open_encoder(spec) for spec in wanted.encoder or ["default"]]
    asked: list[ImageEncoder] = [
        encoder for each in encoders for encoder in ([each, SegmentingEncoder(each)] if segment else [each])
    ]
    return asked + [open_named(spec, wanted.cache) for spec in wanted.baseline]


def encode_shop(encoder: ImageEncoder, shop: Shop, cache: Path) -> Vectors:
    """Every picture of a shop in its order, (n, dim): from the cache where it is there, else encoded and kept."""
    encoder = encoder.encoder if isinstance(encoder, SegmentingEncoder) else encoder
    key = hashlib.sha256(f"{encoder.fingerprint} {shop.stamp}".encode()).hexdigest()[:16]
    path = cache / f"{key}.npy"
    if path.is_file():
        return np.load(path)
    starts = range(0, len(shop.products), BATCH)
    parts = [
        encoder.encode([shop.image(row) for row in range(at, min(at + BATCH, len(shop.products)))])
        for at in track(starts, f"{encoder.name}: encoding {len(shop.products):,} products")
    ]
    vectors = np.concatenate(parts)
    cache.mkdir(parents=True, exist_ok=True)
    np.save(path, vectors)
    return vectors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that every evaluation has."""
    parser.add_argument("--encoder", action="append", help="default, a model folder or colour:; may be repeated")
    parser.add_argument(
        "--baseline", nargs="*", default=BASELINES, choices=BASELINES, help="what to measure beside them"
    )
    parser.add_argument("--data", type=Path, help="folder or ZIP of pictures, with --products")
    parser.add_argument("--products", type=Path, help="table of the products")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where vectors of whole shops are kept")
