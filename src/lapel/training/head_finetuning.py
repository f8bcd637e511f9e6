"""The last stretch: the backbone stays as it is, and the head alone goes over the whole catalogue many times, on
features computed once (:mod:`lapel.training.head_features`).

An epoch of the head takes seconds where one of the network takes minutes. It is what lets the head learn the catalogue
by heart: a query's nearest neighbours are images of the catalogue, and each of them that lies among its own kind is a
right answer more. Labels are learned from the plain images, which is what the catalogue will be searched by; the
changed ones are asked for their product; and people's photos are asked for the shop's products that agree with them in
kind, colour and pattern, seen as a search sees them: the photo and what was cut out of it, added up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lapel.training.data import PRODUCT, Rows, TrainingSet
from lapel.training.head_features import Features, FeatureStore, View, moments, segment, standardise
from lapel.training.learner import Learner, Targets
from lapel.training.losses import instance_cross_entropy, nca_loss, soft_nca_loss
from lapel.training.machine import Machine, mixed_precision
from lapel.training.network import EmbeddingNetwork
from lapel.training.pseudo_labels import (
    Agreement,
    agreement,
    colour_classifier,
    colour_histograms,
    linear_classifier,
    other_light,
    probabilities_of,
)
from lapel.training.watch import LOG_EVERY, quick_recall

BATCH = 512  # plain images a step,
VIEW_BATCH, PHOTO_BATCH = 384, 256  # images of a view, and people's photos
CANDIDATES = 4096  # of the catalogue, others each step: with all of them, comparing would be most of the work
PHOTO_CANDIDATES = 8192  # for photos: few of them agree
CLASSIFIER_RATE = 3.0  # times the head's
ALONE = {"segmented": 0.4, "plain": 0.2}  # weight of half a query, beside that of both together
RIGHT = 0.3  # agreement of a photo's best candidate, below which it is not asked
NUM_COLOURED = 10_000  # images of the shop, at most, that the colours of pixels are learned from, each in two lights
WARMUP = 30  # steps

Add = Callable[[dict[str, Any]], None]


def finetune_head(
    network: EmbeddingNetwork,
    learner: Learner,
    data: TrainingSet,
    targets: Targets,
    *,
    machine: Machine,
    folder: Path,
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
        folder: Where finished features are kept.
        add: Called with rows for the log: ``epoch`` from 0, ``step``, losses, and Recall@1 at the end.
        report: Called with how far the features are.
    """
    config = learner.config
    features = FeatureStore(network, data, machine, folder, report).all(config)
    mean, deviation = moments(features.shop.features)
    features = features.standardised(mean, deviation)
    agreements = photo_agreements(data, features, learner)
    if features.photos and not agreements and config.head_finetuning.photo:
        report(
            {"warning": "people's photos share no label with the shop, so they are not learned from: see --label-map"}
        )
    standardise(network, mean, deviation)
    torch.manual_seed(config.seed)
    network.unfreeze_hidden_layer()
    try:
        _HeadRun(network, learner, targets, features, agreements, machine).train(add)
    finally:
        standardise(network, -mean / deviation, 1 / deviation)
    add({"epoch": config.head_finetuning.epochs - 1, "step": 0, **quick_recall(network, data, config)})


def photo_agreements(data: TrainingSet, features: Features, learner: Learner) -> list[Agreement]:
    """What a photo and a product have to agree on, and how well each does; nothing where there are no photos.

    Labels that the photos lack are read from their pixels or features (:mod:`lapel.training.pseudo_labels`).
    """
    finetuning, seed = learner.config.head_finetuning, learner.config.seed
    asked = [name for name in finetuning.agree if data.names[name]] if features.photos else []
    read = [name for name in asked if name in (finetuning.colour, *finetuning.inferred)]
    labelled = [name for name in asked if name not in read]
    if not any((data.labels[name][features.photos[0][0].rows.numpy()] >= 0).any() for name in labelled):
        return []  # by its colour alone a photo would be drawn to any kind of thing
    found = [agreement(data.labels[name], data.names[name]) for name in labelled]
    # A watch is not as black as a shirt: what photos may find is what they are compared with.
    photos, shop = features.photos[0][0].rows, features.shop.rows
    possible = torch.ones(len(shop), dtype=torch.bool)
    for each in found:
        possible &= each.given[shop] @ each.asked[photos].amax(dim=0) > 0
    for name in read:
        labels, names = data.labels[name], data.names[name]
        guess = None
        if not (labels[shop[possible].numpy()] >= 0).any():
            pass  # nothing to learn it from: it says nothing of photos without the label
        elif name == finetuning.colour:
            guess = _colours_of_photos(data, shop[possible].numpy(), photos.numpy(), name, seed=seed)
        else:
            guess = _inferred(features, possible, labels, len(names), seed=seed)
        found.append(agreement(labels, names, guess))
    return found


def _colours_of_photos(data: TrainingSet, rows: Rows, photos: Rows, name: str, *, seed: int) -> np.ndarray:
    """(n, classes) probabilities, of the photos alone, from the pixels of what was cut out of them; learned from such
    rows of the shop."""
    rng = np.random.default_rng((seed, 2))
    labels, classes = data.labels[name], len(data.names[name])
    rows = np.sort(rng.permutation(rows[labels[rows] >= 0])[:NUM_COLOURED])
    pixels = data.images.read(rows)[0]
    histograms = np.concatenate([colour_histograms(other_light(pixels, rng)) for _ in range(2)])
    classifier = colour_classifier(histograms, np.tile(labels[rows], 2), classes=classes, seed=seed)
    found = np.zeros((len(labels), classes), np.float32)
    for at in range(0, len(photos), BATCH):
        some = photos[at : at + BATCH]
        cut = segment(data.images.read(some)[0][..., :3])
        mask = 255 * (cut < 255).any(axis=3, keepdims=True).astype(np.uint8)
        histograms = colour_histograms(np.concatenate([cut, mask], axis=3))
        found[some] = probabilities_of(classifier, torch.from_numpy(histograms))
    return found


def _inferred(features: Features, possible: Tensor, labels: np.ndarray, classes: int, *, seed: int) -> np.ndarray:
    """(n, classes) probabilities of every image, by a linear classifier of the features of those that are labelled; a
    photo's are the mean of both its views'."""
    pairs = [view for pair in features.photos for view in pair]
    shop = View(features.shop.rows[possible], features.shop.features[possible])
    asked = [(shop, 1), *((view, 4) for view in pairs)]  # photos are few, and are what it is for
    given, known = [], []
    for view, times in asked:
        of = labels[view.rows.numpy()]
        rows = np.flatnonzero(of >= 0)
        given += [view.features[torch.from_numpy(rows)]] * times
        known += [of[rows]] * times
    classifier = linear_classifier(torch.cat(given), np.concatenate(known), classes=classes, seed=seed)
    found = np.zeros((len(labels), classes), np.float32)
    found[features.shop.rows.numpy()] = probabilities_of(classifier, features.shop.features)
    for view in features.photos[0]:
        found[view.rows.numpy()] += probabilities_of(classifier, view.features) / 2
    return found


@dataclass
class _HeadRun:
    """What stays the same from step to step."""

    network: EmbeddingNetwork
    learner: Learner
    targets: Targets
    features: Features
    agreements: list[Agreement]
    machine: Machine

    def train(self, add: Add) -> None:
        """Steps of AdamW on head and classifiers, with a rate that rises shortly and falls as a half cosine.

        Only the shop's images are searched in, here as later: a photo is to find them, and not another photo.
        """
        config, finetuning = self.learner.config, self.learner.config.head_finetuning
        rng = np.random.default_rng((config.seed, 3))
        rate = finetuning.rate
        optimizer = torch.optim.AdamW(
            [
                {"params": self.network.head_parameters(), "peak": rate},
                {"params": [*self.learner.heads.parameters()], "peak": CLASSIFIER_RATE * rate},
                *([{"params": [*titles.parameters()], "peak": rate}] if (titles := self.learner.titles) else []),
            ],
            lr=rate,
            weight_decay=finetuning.weight_decay,
        )
        shop = self.features.shop
        steps = -(-len(shop.rows) // BATCH)
        labels = self.targets.columns[shop.rows.to(self.machine.device)]  # (shop, 1 + levels)
        slots = torch.full((len(self.targets.columns),), -1)
        slots[shop.rows] = torch.arange(len(shop.rows))
        for epoch in range(finetuning.epochs):
            with torch.no_grad():
                known = torch.cat([self.project(part) for part in torch.split(shop.features, 8 * BATCH)])
            order = torch.from_numpy(rng.permutation(len(shop.rows)))
            for step, chosen in enumerate(torch.split(order, BATCH)):
                taken = epoch * steps + step
                share = config.rate_share(config.warmup + (1 - config.warmup) * taken / (finetuning.epochs * steps))
                for group in optimizer.param_groups:
                    group["lr"] = group["peak"] * share * min(1.0, (taken + 1) / WARMUP)
                plain = self.project(shop.features[chosen])
                losses = self.losses(plain, chosen, known, labels, slots, rng)
                optimizer.zero_grad(set_to_none=True)
                losses["loss"].backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                known[chosen.to(known.device)] = plain.detach()
                if step % LOG_EVERY == 0:
                    row = {"epoch": epoch, "step": step, "rate": optimizer.param_groups[0]["lr"]}
                    add({**row, **{name: value.item() for name, value in losses.items()}})

    def project(self, features: Tensor) -> Tensor:
        """(n, features) stored features -> (n, dim) unit rows of the head as it is.

        As :meth:`EmbeddingNetwork.project` of a single place, as matrices, which is several times faster.
        """
        device = self.machine.device
        linear, hidden, last = self.network.head, self.network.wide[0], self.network.wide[2]
        with mixed_precision(device):
            given = features.to(device).float()
            opened = functional.linear(given, *_matrix(hidden)).relu()
            vectors = functional.linear(given, *_matrix(linear)) + functional.linear(opened, *_matrix(last))
        return functional.normalize(vectors.float(), dim=1)

    def losses(
        self, plain: Tensor, chosen: Tensor, known: Tensor, labels: Tensor, slots: Tensor, rng: np.random.Generator
    ) -> dict[str, Tensor]:
        """What one batch says.

        Args:
            plain: (n, dim) unit rows of plain images of the shop.
            chosen: (n,) int64 which of the shop's they are.
            known: (shop, dim) the last vectors of all of them.
            labels: (shop, 1 + levels) their labels: the product, then each level.
            slots: (images,) int64 where ``known`` has each image of the training set; -1 is nowhere.
            rng: Draws candidates, views and photos.

        Returns:
            ``loss`` to go backward from, and its parts.
        """
        finetuning = self.learner.config.head_finetuning
        candidates = _some(len(known), CANDIDATES, rng)
        similarity = plain @ known[candidates.to(known.device)].T
        same = labels[chosen, :1] == labels[None, candidates, 0]
        parts = {"attributes": self._attributes(plain, self.features.shop.rows[chosen])}
        loss = finetuning.label_weight * parts["attributes"]
        for number, level in enumerate(self.learner.config.levels, start=1):
            if level.attributes == (PRODUCT,):
                own = (plain * known[chosen]).sum(dim=1)
                everyone = torch.ones(len(own), dtype=torch.bool, device=own.device)
                parts["instance plain"] = instance_cross_entropy(
                    own, similarity, same, everyone, temperature=level.temperature
                )
                seen = self._view_losses(known, labels, candidates, slots, rng, level.temperature)
                parts |= seen
                loss = (
                    loss
                    + finetuning.view_label_weight * seen["attributes of views"]
                    + finetuning.instance * (finetuning.instance_plain * parts["instance plain"] + seen["instance"])
                )
            else:
                at, among = labels[chosen, number], labels[candidates, number]
                near = nca_loss(similarity, at, among, same, temperature=level.temperature)
                loss = loss + finetuning.nca * near
                parts[f"nca {level.name}"] = near
        if self.learner.titles is not None and finetuning.titles:
            rows, near = self.features.shop.rows[chosen], known[candidates.to(known.device)]
            parts["titles"] = self.learner.titles(plain, rows, near, labels[candidates, 0], known[chosen])
            loss = loss + finetuning.titles * parts["titles"]
        if self.agreements and finetuning.photo:
            parts["photos"] = self._photo_loss(known, rng, self.learner.config.levels[-1].temperature)
            loss = loss + finetuning.photo * parts["photos"]
        return {"loss": loss, **parts}

    def _attributes(self, vectors: Tensor, rows: Tensor) -> Tensor:
        at = rows.to(vectors.device)
        loss: Tensor = self.learner.heads(vectors, {name: head[at] for name, head in self.targets.heads.items()})
        return loss

    def _view_losses(
        self,
        known: Tensor,
        labels: Tensor,
        candidates: Tensor,
        slots: Tensor,
        rng: np.random.Generator,
        temperature: float,
    ) -> dict[str, Tensor]:
        """Changed images of the shop find their own product among the plain ones, and keep their labels."""
        view: View = self.features.views[int(rng.integers(len(self.features.views)))]
        chosen = torch.from_numpy(rng.integers(0, len(view.rows), min(VIEW_BATCH, len(view.rows))))
        rows = view.rows[chosen]
        vectors, places = self.project(view.features[chosen]), slots[rows]
        found = places >= 0
        places = places.clamp_min(0)
        same = labels[places, :1] == labels[None, candidates, 0]
        instance = instance_cross_entropy(
            (vectors * known[places]).sum(dim=1),
            vectors @ known[candidates].T,
            same,
            found.to(vectors.device),
            temperature=temperature,
        )
        return {"attributes of views": self._attributes(vectors, rows), "instance": instance}

    def _photo_loss(self, known: Tensor, rng: np.random.Generator, temperature: float) -> Tensor:
        """People's photos, as a search sees them, find products that agree with them."""
        plain, segmented = self.features.photos[int(rng.integers(len(self.features.photos)))]
        chosen = torch.from_numpy(rng.integers(0, len(plain.rows), min(PHOTO_BATCH, len(plain.rows))))
        candidates = _some(len(known), PHOTO_CANDIDATES, rng)
        rows, answers = plain.rows[chosen], self.features.shop.rows[candidates]
        right = torch.ones(len(rows), len(answers))
        for each in self.agreements:
            right *= each.of(rows, answers)
        right = right.to(known.device)
        whole, cut = self.project(plain.features[chosen]), self.project(segmented.features[chosen])
        queries = ((functional.normalize(whole + cut, dim=1), 1.0), (cut, ALONE["segmented"]), (whole, ALONE["plain"]))
        gallery = known[candidates.to(known.device)]
        losses = [
            weight * soft_nca_loss(vectors @ gallery.T, right, temperature=temperature, least=RIGHT)
            for vectors, weight in queries
        ]
        return torch.stack(losses).sum()


def _some(count: int, most: int, rng: np.random.Generator) -> Tensor:
    """At most so many of (count,) places, others each time."""
    return torch.from_numpy(rng.permutation(count)[:most])


def _matrix(layer: nn.Module) -> tuple[Tensor, Tensor | None]:
    """(out, in, 1, 1) weights of a 1 x 1 convolution -> (out, in), and its bias."""
    assert isinstance(layer, nn.Conv2d)
    return layer.weight[:, :, 0, 0], layer.bias
