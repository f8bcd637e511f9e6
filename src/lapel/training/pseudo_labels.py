"""What photos of people's own have no label for, and yet show: their colour, and attributes such as the pattern.

The shop's images are labelled, so classifiers are learned from those and asked about the photos. *Colour* is read from
the product's pixels, as the features of a network have learned to look through light and camera and say little of it:
a CIELAB histogram of the product's pixels and one hidden layer. *Other attributes* are read from the backbone's
features by a linear classifier, which learns from the photos that are labelled, too.

What comes out are probabilities, not labels: a photo that may be grey or white finds both (:class:`Agreement`).
Pseudo-labels: Lee, "Pseudo-Label" (2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from lapel.core.colours import to_lab
from lapel.core.images import Pixels
from lapel.training.data import Labels

BINS = (12, 14, 14)  # of L 0..100, and of a and b -50..70: a colour beyond counts at the edge
LOWEST, HIGHEST = np.array([0.0, -50.0, -50.0]), np.array([100.0, 70.0, 70.0])
SIGMA = 0.8  # bins: how far a pixel's colour is spread
STRIDE = 4  # of the pixels that are looked at, each way
RIM = 1  # pixels, after striding, that are taken off the product's rim, where the floor shines through
WHITE_BALANCE, LIGHT = 0.06, (-0.45, 0.25)  # deviation of each channel's gain; range of the light's logarithm
HIDDEN, BATCH, RATE = 256, 256, 2e-3
COLOUR_EPOCHS, LINEAR_EPOCHS = 12, 10
MIN_STEPS = 400  # of either: a small shop is gone over more often
LEAST = 0.15  # of the likeliest: a colour less likely than that is none that a photo may find
SHARPNESS = 0.5  # power of a likelihood: half as likely a colour still counts as .7 of a right one


@dataclass(frozen=True)
class Agreement:
    """How well images agree with each other on one attribute.

    Attributes:
        asked: (n, classes) float32, each image as a query: how right each class is, the likeliest 1.
        given: (n, classes) float32, each image as an answer: which class it is of, summing to 1; or to 0 where that is
            not known, which is right for nobody.
    """

    asked: Tensor
    given: Tensor

    def of(self, queries: Tensor, answers: Tensor) -> Tensor:
        """(q,) and (a,) rows -> (q, a) float32, 0..1."""
        return (self.asked[queries] @ self.given[answers].T).clamp(max=1.0)


def agreement(labels: Labels, names: Sequence[str], probabilities: NDArray[np.float32] | None = None) -> Agreement:
    """The agreement on an attribute.

    Args:
        labels: (n,) int64, -1 where unknown.
        names: Of the classes; one with bars, such as ``Jeans|Jeggings``, agrees with each of them.
        probabilities: (n, classes): of images whose label is unknown. Without, those may find everything.

    Example:
        >>> found = agreement(np.array([0, 1, 2, -1]), ["Jeans", "Jeans|Skirts", "Skirts"])
        >>> found.of(torch.tensor([1, 2, 3]), torch.tensor([0, 2])).tolist()
        [[1.0, 1.0], [0.0, 1.0], [1.0, 1.0]]
    """
    alone = sorted({part for name in names for part in name.split("|")})
    place = {part: at for at, part in enumerate(alone)}
    meant = np.zeros((len(names) + 1, len(alone)), np.float32)  # the last row is the unknown label's
    for row, name in enumerate(names):
        meant[row, [place[part] for part in name.split("|")]] = 1
    given = meant[labels]
    given = given * (given.sum(axis=1, keepdims=True) == 1)
    asked = meant[labels]
    unknown = labels < 0
    if probabilities is None:
        asked[unknown] = 1
    else:
        likely = probabilities[unknown] @ meant[:-1]
        given[unknown] = likely / np.maximum(likely.sum(axis=1, keepdims=True), 1e-9)
        share = likely / np.maximum(likely.max(axis=1, keepdims=True), 1e-9)
        asked[unknown] = np.where(share < LEAST, 0, share) ** SHARPNESS
    return Agreement(torch.from_numpy(asked), torch.from_numpy(given))


def colour_histograms(pixels: Pixels) -> NDArray[np.float32]:
    """(n, h, w, 4) uint8 RGB and the product's mask -> (n, 2352) square roots of smoothed CIELAB histograms."""
    small = pixels[:, STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]
    mask = small[..., 3] > 127
    inner = ndimage.binary_erosion(mask, np.ones((1, 2 * RIM + 1, 2 * RIM + 1), bool))
    thin = inner.sum(axis=(1, 2)) < 0.3 * mask.sum(axis=(1, 2))
    inner[thin] = mask[thin]
    image, row, column = np.nonzero(inner)
    lab = to_lab(small[image, row, column, :3].astype(np.float64))
    scaled = (lab - LOWEST) / (HIGHEST - LOWEST) * (np.array(BINS) - 1)
    bins = np.clip(np.rint(scaled).astype(np.int64), 0, np.array(BINS) - 1)
    flat = ((image * BINS[0] + bins[:, 0]) * BINS[1] + bins[:, 1]) * BINS[2] + bins[:, 2]
    counts = np.bincount(flat, minlength=len(pixels) * int(np.prod(BINS))).reshape(len(pixels), *BINS)
    smooth = ndimage.gaussian_filter(counts.astype(np.float32), (0, SIGMA, SIGMA, SIGMA)).reshape(len(pixels), -1)
    return np.asarray(np.sqrt(smooth / np.maximum(smooth.sum(axis=1, keepdims=True), 1e-6)), np.float32)


def other_light(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """(n, h, w, 4) uint8 -> the same in light of other colour and strength; the masks stay."""
    tint = 1 + rng.normal(0, WHITE_BALANCE, (len(pixels), 1, 1, 3))
    light = np.exp(rng.uniform(*LIGHT, (len(pixels), 1, 1, 1)))
    lit = np.clip(pixels[..., :3] * tint * light, 0, 255).astype(np.uint8)
    return np.concatenate([lit, pixels[..., 3:]], axis=3)


def colour_classifier(histograms: NDArray[np.float32], labels: Labels, *, classes: int, seed: int) -> nn.Module:
    """Learn (n, bins) histograms -> (n, classes) logits of (n,) labels."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Linear(histograms.shape[1], HIDDEN), nn.ReLU(), nn.Dropout(0.3), nn.Linear(HIDDEN, classes)
    )
    return _fit(
        network, torch.from_numpy(histograms), torch.from_numpy(labels), epochs=COLOUR_EPOCHS, weight_decay=1e-2
    )


def linear_classifier(features: Tensor, labels: Labels, *, classes: int, seed: int) -> nn.Module:
    """Learn (n, features), brought to deviation 1, -> (n, classes) logits of (n,) labels."""
    torch.manual_seed(seed)
    network = nn.Linear(features.shape[1], classes)
    return _fit(network, features, torch.from_numpy(labels), epochs=LINEAR_EPOCHS, weight_decay=3e-2)


@torch.no_grad()
def probabilities_of(classifier: nn.Module, given: Tensor, *, batch: int = 4096) -> NDArray[np.float32]:
    """(n, classes) float32."""
    found = [functional.softmax(classifier(part.float()), dim=1) for part in torch.split(given, batch)]
    return torch.cat(found).numpy()


def _fit(network: nn.Module, given: Tensor, labels: Tensor, *, epochs: int, weight_decay: float) -> nn.Module:
    """AdamW with a rate that falls in a line to a hundredth."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=weight_decay)
    generator = torch.Generator().manual_seed(0)
    every = -(-len(given) // BATCH)
    epochs = max(epochs, -(-MIN_STEPS // every))
    steps = epochs * every
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, total_iters=steps)
    network.train()
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(given), generator=generator), BATCH):
            loss = functional.cross_entropy(network(given[rows].float()), labels[rows], label_smoothing=0.05)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return network.eval()
