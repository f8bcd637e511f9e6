"""The last stretch: the backbone stays as it is, and the head alone goes over the whole catalogue many times, on
features computed once.

An epoch of the head takes seconds where one of the network takes minutes. It is what lets the head learn the catalogue
by heart: a query's nearest neighbours are images of the catalogue, and each of them that lies among its own kind is a
right answer more. Labels are learned from the plain images, which is what the catalogue will be searched by; the
changed ones are asked for their product.

What the head says of an image depends on the mean of its features alone (:meth:`EmbeddingNetwork.project`), so that is
what is kept: 4 KB a view.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from lapel.core.images import Preprocessing
from lapel.encoders.segmenter import open_segmenter
from lapel.training.augment import Augmentation, augment
from lapel.training.data import PRODUCT, Rows, TrainingSet
from lapel.training.learner import Learner, Targets
from lapel.training.losses import instance_cross_entropy, nca_loss
from lapel.training.machine import Machine, mixed_precision
from lapel.training.network import EmbeddingNetwork
from lapel.training.watch import LOG_EVERY, quick_recall

MAX_IMAGES = 200_000  # images: their features take 0.8 GB a view
BATCH = 512  # images a step, each plain and in one view
CANDIDATES = 4096  # of the catalogue, others each step: with all of them, comparing would be most of the work

Add = Callable[[dict[str, Any]], None]


def finetune_head(
    network: EmbeddingNetwork,
    learner: Learner,
    data: TrainingSet,
    targets: Targets,
    *,
    machine: Machine,
    add: Add,
    report: Add,
) -> None:
    """Train head and classifiers on stored features, as ``learner.config.head_finetuning`` says.

    Args:
        network: Its head is changed in place; the backbone is not.
        learner: Its classifiers go on from where they are.
        data: Images and labels.
        targets: The labels, on the device.
        machine: Where it runs.
        add: Called with rows for the log: ``epoch`` from 0, ``step``, losses, and Recall@1 at the end.
        report: Called with how far the features are.
    """
    config, finetuning = learner.config, learner.config.head_finetuning
    rng = np.random.default_rng((config.seed, 1))
    rows = np.sort(rng.permutation(data.train)[:MAX_IMAGES])
    # The first view is the catalogue's: here the very image that will be searched in.
    changes = config.stages[-1].views[1:] or config.stages[-1].views
    views = [None, *(changes[n % len(changes)] for n in range(finetuning.views + finetuning.segmented_views))]
    stored = []
    for number, view in enumerate(views):

        def progress(done: int, number: int = number) -> None:
            report({"features of view": number + 1, "views": len(views), "images": done, "of": len(rows)})

        segmented = number > finetuning.views
        stored.append(
            store_features(network, data, rows, view, segmented, machine=machine, seed=number, progress=progress)
        )
    usable = torch.stack([good for _, good in stored]).all(dim=0).nonzero()[:, 0]
    features = [kept for kept, _ in stored]
    mean, deviation = _moments(features[0][usable])
    _standardise(network, mean, deviation)
    torch.manual_seed(config.seed)
    network.unfreeze_hidden_layer()
    try:
        standard = [((kept.float() - mean) / deviation).bfloat16() for kept in features]
        del stored, features
        parts = torch.from_numpy(data.parts[rows])
        _train_head(network, learner, targets, rows, usable, parts, standard, machine=machine, rng=rng, add=add)
    finally:
        _standardise(network, -mean / deviation, 1 / deviation)
    recall = quick_recall(network, data, config)
    add({"epoch": finetuning.epochs - 1, "step": -(-len(rows) // BATCH), **recall})


def store_features(
    network: EmbeddingNetwork,
    data: TrainingSet,
    rows: Rows,
    view: Augmentation | None,
    segmented: bool,
    *,
    machine: Machine,
    seed: int,
    progress: Callable[[int], None],
    batch: int = 64,
) -> tuple[Tensor, Tensor]:
    """The backbone's features of some images, each the mean over its places.

    Args:
        network: Whose backbone.
        data: Where the images are.
        rows: Which of them.
        view: How they are changed first; None leaves them.
        segmented: Whether the product is then found and laid on white, as a search does with a photo.
        machine: Where it runs.
        seed: Decides the changes.
        progress: Called now and then with how many there are.
        batch: Images at once.

    Returns:
        (len(rows), features) bfloat16, and (len(rows),) bool, false for an image that cannot be read.
    """
    network.eval()
    usable = torch.ones(len(rows), dtype=torch.bool)
    features = torch.empty(len(rows), network.backbone.features, dtype=torch.bfloat16)
    generator = torch.Generator(machine.device).manual_seed(seed)
    for at in range(0, len(rows), batch):
        pixels, good = data.images.read(rows[at : at + batch])
        usable[at : at + batch] = torch.from_numpy(good)
        given = torch.from_numpy(np.ascontiguousarray(pixels)).to(machine.device)
        with torch.inference_mode(), mixed_precision(machine.device):
            changed = augment(given, generator, view) if view else given[..., :3]
            x = network.normalise_pixels(_segment(changed) if segmented else changed)
            maps = network.backbone(x.contiguous(memory_format=torch.channels_last))
            features[at : at + batch] = maps.float().mean(dim=(2, 3)).to(features)
        if at // batch % 100 == 0:
            progress(at)
    return features, usable


def _segment(images: Tensor) -> Tensor:
    """(n, h, w, 3) in 0..255 -> the same, each product on white in the middle, where one was found."""
    shape = Preprocessing(height=images.shape[1], width=images.shape[2])
    given = [Image.fromarray(image) for image in images.round().to(torch.uint8).cpu().numpy()]
    found = open_segmenter().segment(given, shape=shape)
    pixels = shape.batch([cut or image for cut, image in zip(found, given, strict=True)])
    return torch.from_numpy(pixels).to(images.device)


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """(n, features) -> mean and standard deviation of each feature, (features,) float32; a feature that never changes
    keeps its size."""
    deviation, mean = torch.std_mean(features.float(), dim=0, correction=0)
    return mean, torch.where(deviation > 1e-3, deviation, 1.0)


@torch.no_grad()
def _standardise(network: EmbeddingNetwork, mean: Tensor, deviation: Tensor) -> None:
    """Let the head say of ``(features - mean) / deviation`` what it said of ``features``: all of them then learn at the
    same rate."""
    for layer in network.head, network.wide[0]:
        assert isinstance(layer, nn.Conv2d)
        assert layer.bias is not None
        layer.bias += layer.weight[:, :, 0, 0] @ mean.to(layer.weight)
        layer.weight *= deviation.to(layer.weight)[:, None, None]


def _train_head(
    network: EmbeddingNetwork,
    learner: Learner,
    targets: Targets,
    rows: Rows,
    usable: Tensor,
    parts: Tensor,
    views: list[Tensor],
    *,
    machine: Machine,
    rng: np.random.Generator,
    add: Add,
) -> None:
    """Steps of AdamW on head and classifiers, with a rate that falls as a half cosine.

    Only the shop's images are searched in, here as later: a photo is to find them, and not another photo.
    """
    config, finetuning, device = learner.config, learner.config.head_finetuning, machine.device
    places = torch.from_numpy(rows)
    optimizer = torch.optim.AdamW(
        [*network.head_parameters(), *learner.heads.parameters()],
        lr=finetuning.rate,
        weight_decay=finetuning.weight_decay,
    )
    epoch_rows = usable.repeat_interleave(torch.from_numpy(config.times_shown(parts[usable].numpy())))
    steps = -(-len(epoch_rows) // BATCH)
    shop, slots = _shop_slots(parts, usable)
    labels = targets.columns[places[shop].to(device)]  # (shop, 1 + levels)

    for epoch in range(finetuning.epochs):
        with torch.no_grad():
            known = torch.cat([_project(network, views[0][chosen], device) for chosen in torch.split(shop, 8 * BATCH)])
        order = epoch_rows[torch.from_numpy(rng.permutation(len(epoch_rows)))]
        for step, chosen in enumerate(torch.split(order, BATCH)):
            done = (epoch * steps + step) / (finetuning.epochs * steps)
            for group in optimizer.param_groups:
                group["lr"] = finetuning.rate * config.rate_share(done)
            at = places[chosen].to(device)
            view = views[int(rng.integers(1, len(views)))]
            vectors = _project(network, torch.cat([views[0][chosen], view[chosen]]), device)
            candidates = torch.from_numpy(rng.permutation(len(shop))[:CANDIDATES]).to(device)
            losses = _losses(
                learner,
                vectors,
                targets.columns[at],
                {name: head[at] for name, head in targets.heads.items()},
                known,
                labels,
                candidates=candidates,
                slots=slots[chosen].to(device),
            )
            optimizer.zero_grad(set_to_none=True)
            losses["loss"].backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            in_shop = slots[chosen] >= 0
            known[slots[chosen][in_shop].to(device)] = vectors[: len(chosen)][in_shop].detach()
            if step % LOG_EVERY == 0:
                rate = optimizer.param_groups[0]["lr"]
                add({"epoch": epoch, "step": step, "rate": rate, **{name: x.item() for name, x in losses.items()}})


def _project(network: EmbeddingNetwork, features: Tensor, device: torch.device) -> Tensor:
    """(n, features) stored features -> (n, dim) unit rows of the head as it is."""
    with mixed_precision(device):
        return network.project(features.to(device).float()[:, :, None, None]).vectors


def _shop_slots(parts: Tensor, usable: Tensor) -> tuple[Tensor, Tensor]:
    """Positions of the shop's usable images; and for every image its place among those, -1 for the others."""
    shop = usable[parts[usable] == 0]
    slots = torch.full((len(parts),), -1)
    slots[shop] = torch.arange(len(shop))
    return shop, slots


def _losses(
    learner: Learner,
    vectors: Tensor,
    columns: Tensor,
    heads: dict[str, Tensor],
    known: Tensor,
    labels: Tensor,
    *,
    candidates: Tensor,
    slots: Tensor,
) -> dict[str, Tensor]:
    """What one batch says.

    Args:
        learner: Its classifiers and recipe.
        vectors: (2 n, dim) unit rows: the plain images, then their views.
        columns: (n, 1 + levels) int64 labels: the product, then each level.
        heads: (n,) int64 labels of each classifier.
        known: (shop, dim) the last vectors of the plain images of the shop.
        labels: (shop, 1 + levels) their labels.
        candidates: (m,) int64 which of them are searched in.
        slots: (n,) int64 where ``known`` has these images; -1 is elsewhere.

    Returns:
        ``loss`` to go backward from, and its parts.
    """
    config, finetuning, n = learner.config, learner.config.head_finetuning, len(columns)
    plain, view = vectors[:n], vectors[n:]
    similarity = vectors @ known[candidates].T  # (2 n, m)
    same = (columns[:, :1] == labels[None, candidates, 0]).repeat(2, 1)
    parts = {"attributes": learner.heads(plain, heads), "attributes of views": learner.heads(view, heads)}
    loss = finetuning.label_weight * parts["attributes"] + finetuning.view_label_weight * parts["attributes of views"]
    elsewhere = (slots < 0).repeat(2)
    elsewhere[:n] = True  # of the shop's images the plain ones draw neighbours, of a person's photos the views too
    for number, level in enumerate(config.levels, start=1):
        if level.attributes == (PRODUCT,):
            held = known[slots.clamp_min(0)]
            for name, rows, at in ("instance plain", plain, slice(0, n)), ("instance", view, slice(n, 2 * n)):
                own = (rows * held).sum(dim=1)
                parts[name] = instance_cross_entropy(
                    own, similarity[at], same[at], slots >= 0, temperature=level.temperature
                )
            loss = loss + finetuning.instance * (
                finetuning.instance_plain * parts["instance plain"] + parts["instance"]
            )
        else:
            anchors = torch.where(elsewhere, columns[:, number].repeat(2), -1)
            near = nca_loss(similarity, anchors, labels[candidates, number], same, temperature=level.temperature)
            parts[f"nca {level.name}"] = near
            loss = loss + finetuning.nca * near
    return {"loss": loss, **parts}
