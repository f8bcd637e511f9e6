"""The network, its attribute classifiers and the losses of one batch, as one module, so that several GPUs can share a
batch's work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lapel.training.data import PRODUCT, TrainingSet
from lapel.training.losses import AttributeHeads, CrossBatchMemory, instance_loss, nca_loss, triplet_loss
from lapel.training.machine import mixed_precision
from lapel.training.network import EmbeddingNetwork
from lapel.training.recipe import Recipe
from lapel.training.titles import TitleLoss

CANDIDATES = 8192  # of the memory, for the neighbour loss of a label


@dataclass(frozen=True)
class BatchLoss:
    """What one batch says.

    Attributes:
        loss: () to go backward from.
        vectors: (n, dim) of the first view of each image, detached: what the memory keeps.
        parts: () each: what the log shows, detached; left on the device, since to read them waits for it.
    """

    loss: Tensor
    vectors: Tensor
    parts: Mapping[str, Tensor]


class Targets:
    """Labels of all rows on one device: a column for the product, then one a level, and those of the attribute heads.

    Args:
        data: The training set.
        config: Which levels and heads there are.
        device: Where a batch's labels are needed.
    """

    def __init__(self, data: TrainingSet, config: Recipe, device: torch.device) -> None:
        columns = [data.labels[PRODUCT], *(data.joint(level.attributes) for level in config.levels)]
        self.columns = torch.stack([torch.from_numpy(column) for column in columns], dim=1).to(
            device
        )  # (n, 1 + levels)
        self.heads = {name: torch.from_numpy(data.joint(name.split(","))).to(device) for name in config.heads}


def head_classes(data: TrainingSet, config: Recipe) -> dict[str, int]:
    """How many classes each attribute head tells apart; a head of several attributes tells their combinations apart."""
    return {name: int(data.joint(name.split(",")).max()) + 1 for name in config.heads}


class Learner(nn.Module):
    """Images and labels in, loss out.

    Args:
        network: What is trained.
        config: The recipe.
        classes: Number of classes of each head.
        titles: What the pictures' titles say, where the recipe learns from them.
    """

    def __init__(
        self,
        network: EmbeddingNetwork,
        config: Recipe,
        classes: Mapping[str, int],
        titles: TitleLoss | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.heads = AttributeHeads(classes, dim=config.dim, smoothing=config.smoothing)
        self.titles = titles
        self.config = config

    def forward(
        self, pixels: Tensor, rows: Tensor, columns: Tensor, heads: Mapping[str, Tensor], memory: CrossBatchMemory
    ) -> BatchLoss:
        """Losses of a batch of v views of n images.

        Args:
            pixels: (v n, h, w, 3) float in 0..255, view by view.
            rows: (n,) int64: where the training set has them.
            columns: (n, 1 + levels) int64 labels: the product, then each level.
            heads: (n,) int64 labels of each head.
            memory: Candidates beyond the batch; not changed.
        """
        with mixed_precision(pixels.device):
            x = self.network.normalise_pixels(pixels).contiguous(memory_format=torch.channels_last)
            vectors = self.network.embed(x).vectors
        return self.losses(vectors.float(), rows, columns, heads, memory)

    def losses(
        self, vectors: Tensor, rows: Tensor, columns: Tensor, heads: Mapping[str, Tensor], memory: CrossBatchMemory
    ) -> BatchLoss:
        """As :meth:`forward`, given the views' (v n, dim) float32 unit rows: losses compare small differences, so not
        in bfloat16."""
        config, n = self.config, len(columns)
        views = len(vectors) // n
        columns = columns.repeat(views, 1)  # (v n, 1 + levels)
        attributes = self.heads(vectors, {name: labels.repeat(views) for name, labels in heads.items()})
        loss = config.heads_weight * attributes
        parts = {"attributes": attributes}
        near_vectors, near_labels = memory.some(CANDIDATES)
        candidates = torch.cat([columns, near_labels])
        similarity = vectors @ torch.cat([vectors, near_vectors]).T  # (v n, v n + m)
        # A label is not learned from another view of the same product, which is too easy.
        same = columns[:, :1] == candidates[None, :, 0]
        for number, level in enumerate(config.levels, start=1):
            labels = columns[:, number]
            if level.triplet > 0:
                triplet = triplet_loss(vectors, labels, margin=level.margin, mining=level.mining, soft=level.soft)
                loss = loss + level.triplet * triplet.loss
                parts |= {f"triplet {level.name}": triplet.loss, f"active {level.name}": triplet.active}
                parts |= {f"d+ {level.name}": triplet.positive_distance, f"d- {level.name}": triplet.negative_distance}
            if level.nca > 0 and level.attributes == (PRODUCT,):
                own = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
                among = similarity[:, : len(vectors)]
                near = nca_loss(among, labels, labels, own, temperature=level.temperature)
                slots = memory.slots(rows).repeat(views)
                found = instance_loss(vectors, labels, slots, memory, temperature=level.temperature)
                loss = loss + level.nca * (near + found)
                parts |= {f"nca {level.name}": near, f"instance {level.name}": found}
            elif level.nca > 0:
                near = nca_loss(similarity, labels, candidates[:, number], same, temperature=level.temperature)
                loss = loss + level.nca * near
                parts[f"nca {level.name}"] = near
        if self.titles is not None and config.titles > 0:
            own = memory.vectors[memory.slots(rows)]
            titles = self.titles(vectors, rows, near_vectors, near_labels[:, 0], own)
            loss = loss + config.titles * titles
            parts["titles"] = titles
        spread = torch.cdist(vectors[:n].detach(), vectors[:n].detach()).mean()
        shown = {name: value.detach() for name, value in {"loss": loss, **parts, "spread": spread}.items()}
        return BatchLoss(loss, vectors[:n].detach(), shown)
