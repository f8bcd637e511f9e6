"""Triplet margin loss with batch-hard mining, and the attribute heads beside it. In go unit vectors and labels; out comes a scalar.

Batch-hard is Hermans, Beyer and Leibe, "In Defense of the Triplet Loss for Person Re-Identification" (2017).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class TripletLoss:
    """The loss of one batch and what its mining found.

    Attributes:
        loss: () mean over the anchors that have a positive and a negative in the batch; 0 when none has.
        active: Share of those anchors whose triplet still violates the margin, 0..1. A float.
        positive_distance: Mean distance to the hardest positive, 0..2. Near the next value and small: collapse.
        negative_distance: Mean distance to the hardest negative, 0..2.
    """

    loss: Tensor
    active: float
    positive_distance: float
    negative_distance: float


def batch_hard_triplet(vectors: Tensor, labels: Tensor, margin: float) -> TripletLoss:
    """``mean_a max(0, max_p d(a, p) - min_n d(a, n) + margin)`` with Euclidean distance between unit rows.

    Args:
        vectors: (n, dim) unit rows.
        labels: (n,) int64; equal labels are positives; -1 is unknown: neither an anchor, a positive nor a negative.
        margin: Distance by which a negative must be farther than a positive, 0..2.
    """
    # Squared distance is 2 - 2 cos; the floor keeps the root's gradient finite at zero distance.
    distance = (2 - 2 * vectors @ vectors.T).clamp_min(1e-6).sqrt()  # (n, n)
    known = labels >= 0
    both = known[:, None] & known[None, :]
    same = (labels[:, None] == labels[None, :]) & both
    same.fill_diagonal_(False)
    different = (labels[:, None] != labels[None, :]) & both
    hardest_positive = distance.masked_fill(~same, -1).amax(dim=1)  # (n,)
    hardest_negative = distance.masked_fill(~different, 3).amin(dim=1)  # (n,)
    anchors = same.any(dim=1) & different.any(dim=1)
    if not bool(anchors.any()):
        return TripletLoss(vectors.sum() * 0, 0.0, 0.0, 0.0)
    positive, negative = hardest_positive[anchors], hardest_negative[anchors]
    violation = functional.relu(positive - negative + margin)
    active = float((violation > 0).float().mean())
    return TripletLoss(violation.mean(), active, float(positive.detach().mean()), float(negative.detach().mean()))


class AttributeHeads(nn.Module):
    """One cosine classifier per attribute on the unit vectors: they keep batch-hard triplets from collapsing early on.

    Args:
        classes: Number of classes of each attribute.
        dim: Width of the vectors.
        scale: Inverse temperature of the softmax over cosines; 16 lets a cosine gap of 0.3 reach 99 % of the mass of two classes.
    """

    def __init__(self, classes: Mapping[str, int], *, dim: int = 128, scale: float = 16.0) -> None:
        super().__init__()
        self.scale = scale
        self.prototypes = nn.ParameterDict(
            {
                name: nn.Parameter(functional.normalize(torch.randn(count, dim), dim=1))
                for name, count in classes.items()
            }
        )

    def forward(self, vectors: Tensor, labels: Mapping[str, Tensor]) -> Tensor:
        """Mean cross-entropy over the attributes: (n, dim) unit rows and (n,) int64 labels each (-1 is unknown) -> ()."""
        losses = []
        for name, prototypes in self.prototypes.items():
            known = labels[name] >= 0
            if bool(known.any()):
                logits = self.scale * vectors[known] @ functional.normalize(prototypes, dim=1).T
                losses.append(functional.cross_entropy(logits, labels[name][known], label_smoothing=0.1))
        return torch.stack(losses).mean() if losses else vectors.sum() * 0
