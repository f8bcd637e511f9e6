"""What the network is told about one batch: triplets, neighbours and attributes.

In go unit vectors and labels; out comes a scalar.

- Triplets (Schroff et al., "FaceNet", 2015) with batch-hard mining (Hermans et al., "In Defense of the Triplet Loss",
  2017), semi-hard mining, and a soft margin; miners and loss are those of the library pytorch-metric-learning.
- Neighbours: Neighbourhood Component Analysis (Goldberger et al., 2004; Wu et al., "Improving Generalization via
  Scalable NCA", 2018) against a memory of recent vectors (Wang et al., "Cross-Batch Memory", 2020): the
  smoothed Recall@1 of the whole catalogue.
- Attributes: one cosine classifier each, the proxies of "Normalised softmax" (Zhai and Wu, 2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner, TripletMarginMiner
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor, nn
from torch.nn import functional

MINING = ("batch-hard", "semi-hard")
# A cosine or score that counts as none: its exponential is 0, and its gradient, unlike that of infinity, is too.
MASKED_SCORE = -1e4
RIGHT_FLOOR = 1e-9  # of a candidate that is not right: its logarithm is finite


@dataclass(frozen=True)
class TripletLoss:
    """The loss of one batch and what its mining found.

    Attributes:
        loss: () mean over the mined triplets; 0 when there is none.
        active: () share of them that still violate the margin (or, with a soft margin, whose negative is nearer), 0..1.
        positive_distance: () mean distance to the mined positive, 0..2. Near the next value and small: collapse.
        negative_distance: () mean distance to the mined negative, 0..2.
    """

    loss: Tensor
    active: Tensor
    positive_distance: Tensor
    negative_distance: Tensor


def triplet_loss(
    vectors: Tensor, labels: Tensor, *, margin: float, mining: str = "batch-hard", soft: bool = False
) -> TripletLoss:
    """``mean max(0, d(a, p) - d(a, n) + margin)`` with Euclidean distance between unit rows.

    Args:
        vectors: (n, dim) unit rows.
        labels: (n,) int64; equal labels are positives; -1 is unknown: neither an anchor, a positive nor a negative.
        margin: Distance by which a negative must be farther than a positive, 0..2.
        mining: ``batch-hard``: each anchor's farthest positive and nearest negative; ``semi-hard``: every triplet whose
            negative is farther than the positive, but by less than the margin.
        soft: ``mean log(1 + exp(d(a, p) - d(a, n) + margin))``, which never lets go.
    """
    known = labels >= 0
    vectors, labels = vectors[known], labels[known]
    # Rows have unit length already; Lp with p = 2 is the Euclidean distance.
    distance = LpDistance(normalize_embeddings=False, p=2)
    miner = (
        BatchHardMiner(distance=distance)
        if mining == "batch-hard"
        else TripletMarginMiner(margin=margin, type_of_triplets="semihard", distance=distance)
    )
    with torch.no_grad():
        anchors, positives, negatives = miner(vectors, labels) if len(labels) else (labels, labels, labels)
    if not len(anchors):
        nothing = vectors.sum() * 0
        return TripletLoss(nothing, *[nothing.detach()] * 3)
    measure = TripletMarginLoss(margin=margin, smooth_loss=soft, distance=distance, reducer=MeanReducer())
    loss = measure(vectors, labels, indices_tuple=(anchors, positives, negatives))
    with torch.no_grad():
        near = (vectors[anchors] - vectors[positives]).norm(dim=1)
        far = (vectors[anchors] - vectors[negatives]).norm(dim=1)
        active = (near - far + (0.0 if soft else margin) > 0).float().mean()
    return TripletLoss(loss, active, near.mean(), far.mean())


def nca_loss(similarity: Tensor, anchors: Tensor, candidates: Tensor, ignored: Tensor, *, temperature: float) -> Tensor:
    """``-mean log sum_{j: same label} p(j)``, where ``p`` is the softmax of cosine over temperature: the chance to draw
    a right neighbour.

    Args:
        similarity: (n, m) cosines of anchors and candidates.
        anchors: (n,) int64 labels; -1 is no anchor.
        candidates: (m,) int64 labels; -1 is no candidate.
        ignored: (n, m) bool: pairs that are neither right nor wrong, such as an anchor and itself.
        temperature: Below 0.1 only the nearest few count, as they do for Recall@1.

    Returns:
        () mean over the anchors that have a right candidate; 0 when none has.
    """
    open_pairs = ~ignored & (candidates >= 0)[None, :]
    right = (anchors[:, None] == candidates[None, :]) & open_pairs
    usable = right.any(dim=1) & (anchors >= 0)
    scores = similarity / temperature
    among_all = scores.masked_fill(~open_pairs, MASKED_SCORE).logsumexp(dim=1)
    among_right = scores.masked_fill(~right, MASKED_SCORE).logsumexp(dim=1)
    return _mean_of(among_all - among_right, usable)


def soft_nca_loss(similarity: Tensor, right: Tensor, *, temperature: float, least: float = 0.0) -> Tensor:
    """``-mean log sum_j right_j p(j)``: the NCA loss where candidates are more or less right.

    Args:
        similarity: (n, m) cosines of anchors and candidates.
        right: (n, m) how right each candidate is, 0..1.
        temperature: Of the softmax ``p``.
        least: Anchors whose best candidate is less right are left out.

    Returns:
        () mean over the other anchors; 0 when there is none.
    """
    scores = similarity / temperature
    drawn = (scores + right.clamp_min(RIGHT_FLOOR).log()).logsumexp(dim=1)
    return _mean_of(scores.logsumexp(dim=1) - drawn, right.amax(dim=1) > least)


def info_nce(scores: Tensor, products: Tensor, among: Tensor, right: Tensor | None = None) -> Tensor:
    """Cross-entropy of the right candidate of each row among all (InfoNCE: van den Oord et al., 2018).

    Args:
        scores: (n, m) cosines over temperature.
        products: (n,) int64 of the rows.
        among: (m,) int64 of the candidates: others of a row's own product, and those of none (-1), are neither right
            nor wrong.
        right: (n,) int64 the column of each; by default the one as far along as the row.

    Returns:
        () mean over the rows.
    """
    rows = torch.arange(len(scores), device=scores.device)
    right = rows if right is None else right
    left_out = (products[:, None] == among[None, :]) | (among < 0)[None, :]
    left_out[rows, right] = False
    return functional.cross_entropy(scores.masked_fill(left_out, MASKED_SCORE), right)


def _mean_of(values: Tensor, chosen: Tensor) -> Tensor:
    """() mean of the (n,) values that are chosen, 0 when none is; without asking the device how many there are, which
    waits for it."""
    return torch.where(chosen, values, 0.0).sum() / chosen.sum().clamp_min(1)


def instance_loss(
    vectors: Tensor, products: Tensor, slots: Tensor, memory: CrossBatchMemory, *, temperature: float
) -> Tensor:
    """Each image finds its own product among all that the memory holds: cross-entropy over cosines, as in Wu et al.,
    "Unsupervised Feature Learning via Non-Parametric Instance Discrimination" (2018).

    Right and wrong answers are equally old here. Set beside a fresh right answer, old wrong ones teach the network to
    turn away from its own past: the loss falls, and rises again when the rate no longer lets it turn.

    Args:
        vectors: (n, dim) unit rows.
        products: (n,) int64.
        slots: (n,) int64: where the memory keeps these images.
        memory: Whose first label is the product.
        temperature: Of the softmax.

    Returns:
        () mean over the images that the memory knows; 0 when it knows none.
    """
    known = memory.labels[slots, 0] == products
    own = (vectors * memory.vectors[slots]).sum(dim=1)
    same = products[:, None] == memory.labels[None, :, 0]
    return instance_cross_entropy(own, vectors @ memory.vectors.T, same, known, temperature=temperature)


def instance_cross_entropy(
    own: Tensor, similarity: Tensor, same: Tensor, known: Tensor, *, temperature: float
) -> Tensor:
    """Cross-entropy of the own image among others.

    Args:
        own: (n,) cosines with the own image.
        similarity: (n, m) cosines with those it is found among.
        same: (n, m) bool: images of the same product, its own one too: neither right nor wrong.
        known: (n,) bool: the images that have an own one among them.
        temperature: Of the softmax.

    Returns:
        () mean over those; 0 when there is none.
    """
    scores = torch.cat([own[:, None], similarity.masked_fill(same, MASKED_SCORE)], dim=1) / temperature
    return _mean_of(scores.logsumexp(dim=1) - scores[:, 0], known)


class CrossBatchMemory(nn.Module):
    """The last vector of each image and what it is labelled: candidates beyond the batch.

    Args:
        size: Vectors it holds; with more images, some share a place and the newest stays.
        dim: Width of the vectors.
        columns: Labels a vector.
    """

    vectors: Tensor
    labels: Tensor

    def __init__(self, size: int, *, dim: int, columns: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(size, dim))
        self.register_buffer("labels", torch.full((size, columns), -1))
        self.turn = 0

    def get_extra_state(self) -> int:
        """How often something was added: part of a checkpoint."""
        return self.turn

    def set_extra_state(self, state: int) -> None:
        """Put it back."""
        self.turn = state

    def slots(self, rows: Tensor) -> Tensor:
        """(n,) rows of the training set -> (n,) places they are kept at."""
        return rows % max(len(self.vectors), 1)

    @torch.no_grad()
    def add(self, rows: Tensor, vectors: Tensor, labels: Tensor) -> None:
        """Keep (n, dim) vectors with (n, columns) labels as those of (n,) rows."""
        if len(self.vectors):
            at = self.slots(rows)
            self.vectors[at], self.labels[at] = vectors.detach(), labels
            self.turn += 1

    def some(self, most: int) -> tuple[Tensor, Tensor]:
        """At most so many (vectors, labels), others each time."""
        step = -(-len(self.vectors) // most) or 1
        start = self.turn % step
        return self.vectors[start::step], self.labels[start::step]


class AttributeHeads(nn.Module):
    """One cosine classifier per attribute on the unit vectors: they keep batch-hard triplets from collapsing early on.

    Args:
        classes: Number of classes of each attribute.
        dim: Width of the vectors.
        scale: Inverse temperature of the softmax over cosines; 16 lets a cosine gap of 0.3 reach 99 % of the mass of
            two classes.
        smoothing: Share of the target spread over all classes.
    """

    def __init__(
        self, classes: Mapping[str, int], *, dim: int = 128, scale: float = 16.0, smoothing: float = 0.1
    ) -> None:
        super().__init__()
        self.scale, self.smoothing = scale, smoothing
        self.prototypes = nn.ParameterDict(
            {
                name: nn.Parameter(functional.normalize(torch.randn(count, dim), dim=1))
                for name, count in classes.items()
            }
        )

    def forward(self, vectors: Tensor, labels: Mapping[str, Tensor]) -> Tensor:
        """Mean cross-entropy over the attributes: (n, dim) unit rows and (n,) int64 labels each (-1 is unknown) ->
        ()."""
        if not self.prototypes:
            return vectors.sum() * 0
        losses, asked = [], []
        for name, prototypes in self.prototypes.items():
            known = labels[name] >= 0
            logits = self.scale * vectors @ functional.normalize(prototypes, dim=1).T
            each = functional.cross_entropy(
                logits, labels[name].clamp_min(0), label_smoothing=self.smoothing, reduction="none"
            )
            losses.append(_mean_of(each, known))
            asked.append(known.any())
        return _mean_of(torch.stack(losses), torch.stack(asked))
