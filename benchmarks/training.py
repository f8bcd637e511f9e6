"""What training costs beside the network itself: whole steps against bare forward + backward + update of the same
batch, turn by turn.

    python benchmarks/training.py [--device auto] [--size 160x120] [--batch 48] [--steps 12]

A whole step reads pictures and masks, makes two views of each (backgrounds, perspective, blur, JPEG ...), computes the
losses against a full memory and updates weights and moving average. Aim: 0.9 of the bare pictures a second. Runs on the
CPU or on CUDA, as training does.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import torch

from lapel.training.data import StoredImages, TrainingSet
from lapel.training.learner import Learner, head_classes
from lapel.training.loop import _Run
from lapel.training.losses import CrossBatchMemory
from lapel.training.machine import Machine, mixed_precision, this_machine
from lapel.training.network import EmbeddingNetwork, ResNet50
from lapel.training.recipe import Recipe, Stage, fashion
from shops import machine as describe

PICTURES = 2000
CATALOGUE = 40_000  # products the memory holds


def some_pictures(height: int, width: int, config: Recipe) -> TrainingSet:
    """Random things on white with random labels: time does not depend on what is shown."""
    rng = np.random.default_rng(0)
    pixels = np.full((PICTURES, height, width, 4), 255, np.uint8)
    pixels[:, height // 4 : -height // 4, width // 4 : -width // 4, :3] = rng.integers(
        0, 255, (PICTURES, 1, 1, 3), dtype=np.uint8
    )
    pixels[..., 3] = np.where((pixels[..., :3] < 255).any(axis=3), 255, 0)
    attributes = config.attributes()
    labels = {name: rng.integers(0, 20, PICTURES) for name in attributes} | {"product": np.arange(PICTURES)}
    names = {name: tuple(str(code) for code in range(20)) for name in attributes}
    rows = np.arange(PICTURES)
    return TrainingSet(StoredImages(pixels), labels, names, rows, rows[:0], np.zeros(PICTURES, np.int64))


def bare_step(learner: Learner, optimizer: torch.optim.Optimizer, pixels: torch.Tensor) -> None:
    """Forward, backward and update on pictures that are there, towards nothing in particular."""
    with mixed_precision(pixels.device):
        x = learner.network.normalise_pixels(pixels).contiguous(memory_format=torch.channels_last)
        vectors = learner.network.embed(x).vectors
    optimizer.zero_grad(set_to_none=True)
    vectors.float().pow(4).sum().backward()
    optimizer.step()


def measure(machine: Machine, config: Recipe, size: tuple[int, int], steps: int) -> tuple[float, float]:
    """Images (views) a second of bare and of whole steps: medians."""
    data = some_pictures(*size, config)
    network = EmbeddingNetwork(ResNet50(stride_first=True), frozen=config.frozen)
    network.to(machine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    learner = Learner(network, config, head_classes(data, config)).to(machine.device)
    run = _Run(data, config, learner, machine)
    learner.train()
    run.memory = CrossBatchMemory(CATALOGUE, dim=config.dim, columns=1 + len(config.levels)).to(machine.device)
    run.memory.labels.random_(0, 20)
    run.memory.labels[:, 0] = torch.arange(CATALOGUE)  # as in the second epoch: every product was seen before
    views = config.classes * config.images * 2
    still = torch.randint(0, 255, (views, *size, 3), dtype=torch.uint8).to(machine.device)
    bare, whole = [], []
    batches = [rows for rows in run.batches(0) if 2 * len(rows) == views] * 10
    for step, (rows, pixels) in enumerate(run.ahead(batches[: steps + 2])):
        began = time.perf_counter()
        run.step(learner, rows, pixels, 0, step, 0.5)
        _settle(machine)
        between = time.perf_counter()
        bare_step(learner, run.optimizer, still)
        _settle(machine)
        if step >= 2:  # the first ones also pay for memory and kernels
            whole.append(between - began)
            bare.append(time.perf_counter() - between)
    return views / float(np.median(bare)), views / float(np.median(whole))


def _settle(machine: Machine) -> None:
    if machine.device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="auto")
    parser.add_argument("--size", default="160x120")
    parser.add_argument("--batch", type=int, default=48, help="pictures, each in two views; a GPU wants 256")
    parser.add_argument("--steps", type=int, default=12)
    wanted = parser.parse_args()
    machine = this_machine(wanted.device)
    height, width = (int(part) for part in wanted.size.split("x"))
    config = replace(fashion(), stages=(Stage(1),), classes=wanted.batch // fashion().images)
    bare, whole = measure(machine, config, (height, width), wanted.steps)
    where = torch.cuda.get_device_name() if machine.device.type == "cuda" else describe()
    print(f"{where}, torch {torch.__version__}, {height} x {width}, {2 * wanted.batch} views a step")
    print(f"bare {bare:.0f} pictures/s, whole steps {whole:.0f} pictures/s, ratio {whole / bare:.2f} (aim 0.9)")


if __name__ == "__main__":
    main()
