"""The backbone's features of all images, computed once, for a head that goes over them many times.

What the head says of an image depends on the mean of its features alone (:meth:`EmbeddingNetwork.project`), so that is
what is kept: 4 KB a view. Finished views lie in the training's folder and are not computed again after an interruption.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from lapel.core.images import Pixels, Preprocessing
from lapel.encoders.segmenter import open_segmenter
from lapel.training.augment import Augmentation, augment
from lapel.training.data import Rows, TrainingSet
from lapel.training.machine import Machine, mixed_precision
from lapel.training.network import EmbeddingNetwork
from lapel.training.recipe import HANDHELD, Recipe

MAX_IMAGES = 200_000  # images: their features take 0.8 GB
BATCH = 64  # images at once


@dataclass(frozen=True)
class View:
    """The features of some images, seen in one way.

    Attributes:
        rows: (n,) int64 of the training set.
        features: (n, features) bfloat16.
    """

    rows: Tensor
    features: Tensor


@dataclass(frozen=True)
class Features:
    """What the head learns from.

    Attributes:
        shop: The shop's images as they are; they are what is searched in.
        views: Augmented views of parts of them.
        photos: Pairs of the same people's photos: as they are or augmented, and with the product segmented.
    """

    shop: View
    views: tuple[View, ...]
    photos: tuple[tuple[View, View], ...]

    def standardised(self, mean: Tensor, deviation: Tensor) -> Features:
        """The same with mean and deviation taken out."""

        def one(view: View) -> View:
            return View(view.rows, ((view.features.float() - mean) / deviation).bfloat16())

        pairs = tuple((one(plain), one(segmented)) for plain, segmented in self.photos)
        return Features(one(self.shop), tuple(map(one, self.views)), pairs)


@dataclass(frozen=True)
class FeatureStore:
    """Computes features, and keeps them.

    Args:
        network: Whose backbone.
        data: Where the images are.
        machine: Where it runs.
        folder: Where finished views are kept.
        report: Called with how far they are.
    """

    network: EmbeddingNetwork
    data: TrainingSet
    machine: Machine
    folder: Path
    report: Callable[[dict[str, Any]], None]

    def all(self, config: Recipe) -> Features:
        """Every view that a recipe asks for."""
        finetuning, parts = config.head_finetuning, self.data.parts
        rng = np.random.default_rng((config.seed, 1))
        chosen = np.sort(rng.permutation(self.data.train)[:MAX_IMAGES])
        shop, photos = chosen[parts[chosen] == 0], chosen[parts[chosen] > 0]
        changes = config.stages[-1].views[1:] or config.stages[-1].views
        views = []
        for number in range(finetuning.views + finetuning.segmented_views):
            some = np.sort(rng.permutation(shop)[: max(1, round(finetuning.view_share * len(shop)))])
            change = changes[number % len(changes)]
            views.append(self.view(some, change, segmented=number >= finetuning.views, seed=number))
        pairs = []
        for number in range(1 + finetuning.views if len(photos) else 0):
            hand = HANDHELD if number else None
            pair = [self.view(photos, hand, segmented=cut, seed=100 + 2 * number + cut) for cut in (False, True)]
            pairs.append((pair[0], pair[1]))
        return Features(self.view(shop, None, segmented=False, seed=0), tuple(views), tuple(pairs))

    def view(self, rows: Rows, change: Augmentation | None, *, segmented: bool, seed: int) -> View:
        """The features of some images; those that cannot be read are left out.

        Args:
            rows: (n,) which of them.
            change: How they are changed first; None leaves them.
            segmented: Whether the product is then found and laid on white, as a search does with a photo.
            seed: Decides the changes.
        """
        path = self.folder / f"features-{self._stamp(rows, change, segmented, seed)}.npz"
        if path.exists():
            with np.load(path) as kept:
                return View(torch.from_numpy(kept["rows"]), torch.from_numpy(kept["features"]).bfloat16())
        self.network.eval()
        good = np.ones(len(rows), bool)
        features = torch.empty(len(rows), self.network.backbone.features, dtype=torch.bfloat16)
        generator = torch.Generator(self.machine.device).manual_seed(seed)
        for at in range(0, len(rows), BATCH):
            pixels, good[at : at + BATCH] = self.data.images.read(rows[at : at + BATCH])
            features[at : at + BATCH] = self._features(pixels, change, segmented, generator)
            if at // BATCH % 50 == 0:
                self.report(
                    {"features of": "photos" if self.data.parts[rows[0]] else "shop", "done": at, "of": len(rows)}
                )
        view = View(torch.from_numpy(rows[good]), features[torch.from_numpy(good)])
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part.npz")
        np.savez(unfinished, rows=view.rows.numpy(), features=view.features.half().numpy())
        unfinished.replace(path)
        return view

    def _features(
        self, pixels: Pixels, change: Augmentation | None, segmented: bool, generator: torch.Generator
    ) -> Tensor:
        given = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.machine.device)
        with torch.inference_mode(), mixed_precision(self.machine.device):
            changed = augment(given, generator, change) if change else given[..., :3]
            if segmented:
                changed = torch.from_numpy(segment(changed.round().to(torch.uint8).cpu().numpy())).to(given.device)
            x = self.network.normalise_pixels(changed).contiguous(memory_format=torch.channels_last)
            found: Tensor = self.network.backbone(x).float().mean(dim=(2, 3))
            return found.bfloat16()

    def _stamp(self, rows: Rows, change: Augmentation | None, segmented: bool, seed: int) -> str:
        """Other weights, images or changes are other features, and so is another segmenter's cut-out."""
        weights = torch.cat(
            [weight.detach().flatten()[:64].float().cpu() for weight in self.network.backbone.parameters()]
        )
        view = repr((len(self.data.images), change, segmented, seed))
        described = [weights.numpy().tobytes(), rows.tobytes(), view.encode()]
        if segmented:
            described.append(open_segmenter().model.fingerprint.encode())
        return hashlib.sha256(b"".join(described)).hexdigest()[:16]


def segment(pixels: Pixels) -> Pixels:
    """(n, h, w, 3) uint8 -> the same, each product on white in the middle, where one was found."""
    shape = Preprocessing(height=pixels.shape[1], width=pixels.shape[2])
    given = [Image.fromarray(image) for image in pixels]
    found = open_segmenter().segment(given, shape=shape)
    return shape.batch([cut or image for cut, image in zip(found, given, strict=True)])


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """(n, features) -> mean and standard deviation of each feature, (features,) float32; a feature that never changes
    keeps its size."""
    deviation, mean = torch.std_mean(features.float(), dim=0, correction=0)
    return mean, torch.where(deviation > 1e-3, deviation, 1.0)


@torch.no_grad()
def standardise(network: EmbeddingNetwork, mean: Tensor, deviation: Tensor) -> None:
    """Let the head say of ``(features - mean) / deviation`` what it said of ``features``: all of them then learn at the
    same rate."""
    for layer in network.head, network.wide[0]:
        assert isinstance(layer, nn.Conv2d)
        assert layer.bias is not None
        layer.bias += layer.weight[:, :, 0, 0] @ mean.to(layer.weight)
        layer.weight *= deviation.to(layer.weight)[:, None, None]
