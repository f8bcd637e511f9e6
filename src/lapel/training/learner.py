"""The network, its attribute classifiers and the losses of one batch, as one module, so that several GPUs can share a batch's work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lapel.training.batches import PRODUCT, TrainingSet
from lapel.training.losses import AttributeHeads, Memory, neighbour_loss, triplet_loss
from lapel.training.network import LookNetwork
from lapel.training.recipe import TrainingConfig


@dataclass(frozen=True)
class BatchLoss:
    """What one batch says.

    Attributes:
        loss: () to go backward from.
        vectors: (n, dim) of the first view of each picture, detached: what the memory keeps.
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

    def __init__(self, data: TrainingSet, config: TrainingConfig, device: torch.device) -> None:
        columns = [data.labels[PRODUCT], *(data.joint(level.attributes) for level in config.levels)]
        self.columns = torch.stack([torch.from_numpy(column) for column in columns], dim=1).to(
            device
        )  # (n, 1 + levels)
        self.heads = {name: torch.from_numpy(data.labels[name]).to(device) for name in config.heads}


class Learner(nn.Module):
    """Pictures and labels in, loss out.

    Args:
        network: What is trained.
        config: The recipe.
        classes: Number of classes of each head.
    """

    def __init__(self, network: LookNetwork, config: TrainingConfig, classes: Mapping[str, int]) -> None:
        super().__init__()
        self.network = network
        self.heads = AttributeHeads(classes, dim=config.dim, smoothing=config.smoothing)
        self.config = config

    def forward(self, pixels: Tensor, columns: Tensor, heads: Mapping[str, Tensor], memory: Memory) -> BatchLoss:
        """Losses of a batch of v views of n pictures.

        Args:
            pixels: (v n, h, w, 3) float in 0..255, view by view.
            columns: (n, 1 + levels) int64 labels: the product, then each level.
            heads: (n,) int64 labels of each head.
            memory: Candidates beyond the batch; not changed.
        """
        config, n = self.config, len(columns)
        views = len(pixels) // n
        device = pixels.device.type
        with torch.autocast(device, dtype=torch.bfloat16):
            x = self.network.normalise_pixels(pixels).contiguous(memory_format=torch.channels_last)
            vectors = self.network.embed(x).vectors
        vectors = vectors.float()  # the losses compare small differences, so not in bfloat16
        columns = columns.repeat(views, 1)  # (v n, 1 + levels)
        attributes = self.heads(vectors, {name: labels.repeat(views) for name, labels in heads.items()})
        loss = config.heads_weight * attributes
        parts = {"attributes": attributes}
        candidates = torch.cat([columns, memory.labels])
        similarity = vectors @ torch.cat([vectors, memory.vectors]).T  # (v n, v n + m)
        own = torch.zeros_like(similarity, dtype=torch.bool)
        own[:, : len(vectors)].fill_diagonal_(True)
        # The memory holds no fresh view of the product itself. Asked to find it there too, the network learns to turn the whole sphere
        # away from its own past, where all the wrong answers lie; the loss falls, and rises again when the rate does not let it turn.
        beyond = own.clone()
        beyond[:, len(vectors) :] = True
        # A label is not learned from another view of the same product, which is too easy.
        same = columns[:, :1] == candidates[None, :, 0]
        for number, level in enumerate(config.levels, start=1):
            labels = columns[:, number]
            ignored = beyond if level.attributes == (PRODUCT,) else same
            if level.triplet > 0:
                triplet = triplet_loss(vectors, labels, margin=level.margin, mining=level.mining, soft=level.soft)
                loss = loss + level.triplet * triplet.loss
                parts |= {f"triplet {level.name}": triplet.loss, f"active {level.name}": triplet.active}
                parts |= {f"d+ {level.name}": triplet.positive_distance, f"d- {level.name}": triplet.negative_distance}
            if level.neighbours > 0:
                near = neighbour_loss(similarity, labels, candidates[:, number], ignored, temperature=level.temperature)
                loss = loss + level.neighbours * near
                parts[f"neighbours {level.name}"] = near
        spread = torch.cdist(vectors[:n].detach(), vectors[:n].detach()).mean()
        shown = {name: value.detach() for name, value in {"loss": loss, **parts, "spread": spread}.items()}
        return BatchLoss(loss, vectors[:n].detach(), shown)
