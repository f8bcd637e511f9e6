"""The last stretch: the backbone stays as it is, and the head alone goes over the whole catalogue many times, on maps computed once.

An epoch of the head takes seconds where one of the network takes minutes. It is what lets the head learn the catalogue by heart: a query's
nearest neighbours are pictures of the catalogue, and each of them that lies among its own kind is a right answer more. The views beside
the plain pictures keep what the network learned about photos.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lapel.core.errors import InputError
from lapel.training.augment import Augmentation, augment
from lapel.training.batches import Rows, TrainingSet
from lapel.training.learner import Learner, Targets
from lapel.training.losses import Memory
from lapel.training.machine import Machine
from lapel.training.network import LookNetwork
from lapel.training.watch import LOG_EVERY, quick_recall

MAPS = "maps.bin"
MOST = 60_000  # pictures: what their maps take at 160 x 120 is 5 GB a view
BATCH = 256  # pictures a step
REMEMBERED = 12_288  # pictures each one is to be found among: with more, that would be most of the work of a step

Add = Callable[[dict[str, Any]], None]


def finish_head(
    network: LookNetwork,
    learner: Learner,
    data: TrainingSet,
    targets: Targets,
    *,
    machine: Machine,
    folder: Path,
    add: Add,
    report: Add,
) -> None:
    """Train head and classifiers on stored maps, ``learner.config.finish`` times over.

    Args:
        network: Its head is changed in place; the backbone is not.
        learner: Its classifiers go on from where they are; its losses are those of the training.
        data: Pictures and labels.
        targets: The labels, on the device.
        machine: Where it runs.
        folder: Where the maps are kept meanwhile, a file of 2 bytes a number.
        add: Called with rows for the log: ``epoch`` from 0, ``step``, losses, and Recall@1 at the end.
        report: Called with how far the maps are.
    """
    config = learner.config
    rng = np.random.default_rng((config.seed, 1))
    rows = np.sort(rng.permutation(data.train)[:MOST])
    # The first view is the catalogue's: here the very picture that will be searched in.
    views = (None, *config.stages[-1].views[1:])
    path = folder / MAPS
    try:
        stored = [
            store_maps(network, data, rows, view, path.with_suffix(f".{number}"), machine=machine, report=report)
            for number, view in enumerate(views)
        ]
        usable = torch.stack([good for _, good in stored]).all(dim=0).nonzero()[:, 0]
        maps = [view for view, _ in stored]
        parts = torch.from_numpy(data.parts[rows])
        _train_head(network, learner, targets, rows, usable, parts, maps, machine=machine, rng=rng, add=add)
    finally:
        for number in range(len(views)):
            path.with_suffix(f".{number}").unlink(missing_ok=True)
    add({"epoch": config.finish - 1, "step": -(-len(rows) // BATCH), **quick_recall(network, data, config)})


def store_maps(
    network: LookNetwork,
    data: TrainingSet,
    rows: Rows,
    view: Augmentation | None,
    path: Path,
    *,
    machine: Machine,
    report: Add,
    batch: int = 64,
) -> tuple[Tensor, Tensor]:
    """The backbone's maps of some pictures, in a file.

    Args:
        network: Whose backbone.
        data: Where the pictures are.
        rows: Which of them.
        view: How they are changed first; None leaves them.
        path: The file.
        machine: Where it runs.
        report: Called now and then with how many there are.
        batch: Pictures at once.

    Returns:
        (len(rows), h, w, features) bfloat16, backed by the file; and (len(rows),) bool, false for a picture that cannot be read.

    Raises:
        InputError: the disk has no room for it.
    """
    network.eval()
    usable = torch.ones(len(rows), dtype=torch.bool)
    generator = torch.Generator(machine.device).manual_seed(1)
    maps: Tensor | None = None
    for at in range(0, len(rows), batch):
        pixels, good = data.pictures.read(rows[at : at + batch])
        usable[at : at + batch] = torch.from_numpy(good)
        given = torch.from_numpy(np.ascontiguousarray(pixels)).to(machine.device)
        with torch.inference_mode(), torch.autocast(machine.device.type, dtype=torch.bfloat16):
            x = network.normalise_pixels(augment(given, generator, view) if view else given[..., :3])
            features = network.backbone(x.contiguous(memory_format=torch.channels_last)).permute(0, 2, 3, 1)
        if maps is None:
            shape = (len(rows), *features.shape[1:])
            size = int(np.prod(shape))
            free = shutil.disk_usage(path.parent).free
            if free < 2 * size:
                raise InputError(
                    f"The maps of {len(rows):,} pictures need {2 * size / 1e9:.1f} GB in {path.parent}; {free / 1e9:.1f} GB are free."
                    " Make room and start again: the training goes on from its checkpoint."
                )
            maps = torch.from_file(str(path), shared=True, size=size, dtype=torch.bfloat16).view(shape)
        maps[at : at + batch] = features.to(maps)
        if at // batch % 100 == 0:
            report({"maps": at, "of": len(rows)})
    assert maps is not None  # a training set has pictures to learn from
    return maps, usable


def _train_head(
    network: LookNetwork,
    learner: Learner,
    targets: Targets,
    rows: Rows,
    usable: Tensor,
    parts: Tensor,
    maps: list[Tensor],
    *,
    machine: Machine,
    rng: np.random.Generator,
    add: Add,
) -> None:
    """Steps of AdamW on head and classifiers, with a rate that falls as a half cosine.

    Only the shop's pictures are remembered, as only they are searched in: a photo is to find them, and not another photo.
    """
    config = learner.config
    device = machine.device
    places = torch.from_numpy(rows).to(device)
    memory = Memory(min(REMEMBERED, int(rows.max()) + 1), dim=config.dim, columns=targets.columns.shape[1])
    memory.to(device)
    parameters = [*network.head_parameters(), *learner.heads.parameters()]
    peak = config.fast * config.rate
    optimizer = torch.optim.AdamW(parameters, lr=peak, weight_decay=config.weight_decay)
    epoch_rows = usable.repeat_interleave(torch.from_numpy(config.times_shown(parts[usable].numpy())))
    steps = -(-len(epoch_rows) // BATCH)

    def embed(chosen: Tensor, view: Tensor) -> Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            return network.project(view[chosen].to(device).permute(0, 3, 1, 2)).vectors

    for epoch in range(config.finish):
        with torch.no_grad():
            for chosen in torch.split(usable[parts[usable] == 0], 4 * BATCH):
                at = places[chosen.to(device)]
                memory.add(at, embed(chosen, maps[0]), targets.columns[at])
        order = epoch_rows[torch.from_numpy(rng.permutation(len(epoch_rows)))]
        for step, chosen in enumerate(torch.split(order, BATCH)):
            done = (epoch * steps + step) / (config.finish * steps)
            for group in optimizer.param_groups:
                group["lr"] = peak * config.rate_share(done)
            at = places[chosen.to(device)]
            vectors = torch.cat([embed(chosen, view) for view in maps])
            heads = {name: labels[at] for name, labels in targets.heads.items()}
            result = learner.judge(vectors, at, targets.columns[at], heads, memory)
            optimizer.zero_grad(set_to_none=True)
            result.loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            memory.add(torch.where(parts[chosen].to(device) == 0, at, -1), result.vectors, targets.columns[at])
            if step % LOG_EVERY == 0:
                numbers = {name: float(value) for name, value in result.parts.items()}
                add({"epoch": epoch, "step": step, "rate": optimizer.param_groups[0]["lr"], **numbers})
