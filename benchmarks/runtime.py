"""What should run the network: eager PyTorch, ONNX Runtime and OpenVINO in each precision, turn by turn in one run.

    python benchmarks/runtime.py [--weights CHECKPOINT.pt | --weights runs/imagenet/package/ResNet50]
                                 [--backbone resnet50] [--size 112x84 --size 224x224] [--rounds 9] [--recall]

Exports the network in float32 and int8 at each size and times each variant through the encoder door: pictures a second
in batches of 32 and the wait for one picture. The variants take turns and medians are shown, which evens out a machine
that warms up or slows down. It does not even out another busy program: eager PyTorch's threads wait for each other and
lose far more than the rest, so ratios are only printed when the baseline had its cores. Without ``--weights`` they are
random: speed does not depend on them, but random networks say much the same of every picture, so no cosine is shown.
``--recall`` (needs ``--weights`` and the catalogue) adds what each variant loses at the first size: 800 validation
pictures searched in 6,000 training pictures, right when article type, base colour and gender are those of the query.
ImageNet weights get a head of the 128 main directions of their features, so that it works there too.

Aims: 7 times eager float32 in batches of 32 with nothing lost, 12 times with at most 0.5 points lost, file below 30 MB.
Expected on an AMD EPYC with AVX-512 VNNI (no AMX), ResNet50 int8 in OpenVINO, on one thread: about 6 times eager at 112
x 84 and 8.5 times at 224 x 224, ONNX Runtime a tenth slower. Such a CPU does at most 4 operations in int8 for one in
float32.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lapel.core.images import Pixels, Preprocessing
from lapel.core.vectors import Vectors
from lapel.encoders.onnx import open_onnx
from lapel.encoders.openvino import open_openvino
from lapel.training.efficientnet import EfficientNetLite0
from lapel.training.export import encode_float32, write_model_folder
from lapel.training.network import EmbeddingNetwork, ResNet50
from lapel.training.weights import load_backbone
from shops import machine, read_shop, shop

BATCH = 32
ENOUGH = (
    0.75  # of its threads' time: below it the baseline was kept waiting, and a ratio to it would flatter the others
)
Encode = Callable[[Pixels], Vectors]


def read_pictures(preprocessing: Preprocessing, work: Path, split: str, count: int) -> tuple[Pixels, NDArray[np.str_]]:
    """``count`` pictures of one split of the catalogue (all of them when there is no ``split`` column) and their fine
    labels."""
    arguments = shop(work)
    table = Path(arguments[-1])
    there = read_shop(Path(arguments[0]) if len(arguments) > 1 else table.parent, table)
    rows = [row for row, found in enumerate(there.values("split")) if found in ("", split)][:count]
    pixels = preprocessing.batch([there.image(row) for row in rows])
    kinds, colours = there.values("articleType"), there.values("baseColour")
    return pixels, np.array([f"{kinds[row]}/{colours[row]}/{there.products[row].gender}" for row in rows])


def load_network(weights: Path | None, backbone: str, pixels: Pixels) -> EmbeddingNetwork:
    """A checkpoint's network, ImageNet's with the main directions as its head, or random weights."""
    torch.manual_seed(0)
    if weights is not None and (weights.is_dir() or weights.suffix != ".pt"):
        network = EmbeddingNetwork(load_backbone(str(weights)))
        with torch.inference_mode():
            x = network.normalise_pixels(torch.from_numpy(pixels))
            features = torch.cat([network.backbone.eval()(part).mean(dim=(2, 3)) for part in x.split(BATCH)])
        mean = features.mean(dim=0)
        directions = torch.linalg.svd(features - mean, full_matrices=False)[2][: network.head.out_channels]
        with torch.no_grad():
            network.head.weight[: len(directions)] = directions[:, :, None, None]
            network.head.weight[len(directions) :] = 0
            network.head.bias.copy_(-(network.head.weight[:, :, 0, 0] @ mean))
        return network
    network = EmbeddingNetwork(EfficientNetLite0() if backbone == "efficientnet-lite0" else ResNet50(stride_first=True))
    if weights is not None:
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return network


def open_variants(
    network: EmbeddingNetwork, preprocessing: Preprocessing, pixels: Pixels, work: Path
) -> dict[str, Encode]:
    """Export twice and open everything that can run it; the first is what the others are compared with."""
    network = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    variants: dict[str, Encode] = {"PyTorch eager float32": lambda part: encode_float32(network, part)}
    for precision in ("float32", "int8"):
        folder = work / precision
        write_model_folder(
            network,
            folder,
            name=precision,
            preprocessing=preprocessing,
            calibration=pixels[:256],
            reference=pixels[:32],
            precision=precision,
            details={},
        )
        size = (folder / "network.onnx").stat().st_size / 1e6
        print(f"{precision} file: {size:.1f} MB")
        variants[f"ONNX Runtime {precision}"] = open_onnx(str(folder)).encode_pixels
        variants[f"OpenVINO {precision}"] = open_openvino(str(folder)).encode_pixels
        mixed = "OpenVINO bfloat16" if precision == "float32" else "OpenVINO int8, rest bfloat16"
        variants[mixed] = open_openvino(str(folder), precision="bf16").encode_pixels
    return variants


@dataclass(frozen=True)
class Timing:
    """One variant's figures.

    Attributes:
        speed: Images a second in batches, median.
        p50: Wait for one picture, in ms, median.
        p95: The wait that 95 % stay below, in ms.
        cores: CPU seconds a second while it ran batches: about the number of threads on a machine that is otherwise
            idle.
    """

    speed: float
    p50: float
    p95: float
    cores: float


def measure(variants: dict[str, Encode], pixels: Pixels, rounds: int) -> dict[str, Timing]:
    """Time every variant, turn by turn; the first turn, and the first run after a change of shape, warm up."""
    batches: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
    singles: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
    for turn in range(rounds + 1):
        for name, encode in variants.items():
            for times, count, repeats in ((batches[name], BATCH, 3), (singles[name], 1, 11)):
                for repeat in range(repeats):
                    first = (turn * repeats + repeat) * count % (len(pixels) - count + 1)
                    began, busy = time.perf_counter(), time.process_time()
                    encode(pixels[first : first + count])
                    if turn and repeat:
                        times.append((time.perf_counter() - began, time.process_time() - busy))
    timings = {}
    for name in variants:
        seconds, busy_seconds = np.array(batches[name]).T
        p50, p95 = 1e3 * np.percentile([wait for wait, _ in singles[name]], [50, 95])
        cores = float(busy_seconds.sum() / seconds.sum())
        timings[name] = Timing(BATCH / float(np.median(seconds)), float(p50), float(p95), cores)
    return timings


def recall(encode: Encode, queries: tuple[Pixels, NDArray[np.str_]], gallery: tuple[Pixels, NDArray[np.str_]]) -> float:
    """Percent of queries whose nearest in the gallery has their labels."""
    found = np.argmax(encode(queries[0]) @ encode(gallery[0]).T, axis=1)
    return 100 * float((gallery[1][found] == queries[1]).mean())


def show(preprocessing: Preprocessing, wanted: argparse.Namespace, work: Path, *, with_recall: bool) -> None:
    """Measure one input size and print its table."""
    gallery = read_pictures(preprocessing, work, "train", 6000 if with_recall else 256)
    pixels = gallery[0][:256]
    print(
        f"\n{preprocessing.height} x {preprocessing.width}, {wanted.backbone}; {machine()}, torch {torch.__version__}"
    )
    variants = open_variants(load_network(wanted.weights, wanted.backbone, pixels), preprocessing, pixels, work)
    timings = measure(variants, pixels, wanted.rounds)
    names = list(variants)
    base, fair = timings[names[0]], timings[names[0]].cores >= ENOUGH * torch.get_num_threads()
    expected = variants[names[0]](pixels)
    queries = read_pictures(preprocessing, work, "val", 800) if with_recall else None
    loss = None
    print(
        f"{'':32} {'pictures/s':>10} {'ratio':>6} {'one: p50':>9} {'p95 ms':>7} {'cores':>6}  cosine mean, least;"
        f" recall@1"
    )
    for name, encode in variants.items():
        timing = timings[name]
        ratio = f"{timing.speed / base.speed:.2f}" if fair else "-"
        line = f"{name:32} {timing.speed:10.0f} {ratio:>6} {timing.p50:9.2f} {timing.p95:7.2f} {timing.cores:6.2f}"
        if wanted.weights is not None:
            cosine = np.einsum("nd,nd->n", encode(pixels), expected)
            line += f"  {cosine.mean():.5f} {cosine.min():.4f}"
        if queries is not None:
            found = recall(encode, queries, gallery)
            loss = found if loss is None else loss
            line += f"  {found:.2f} ({found - loss:+.2f})"
        print(line, flush=True)
    if not fair:
        print(
            f"No ratios: {names[0]} got {base.cores:.2f} cores for {torch.get_num_threads()} threads. Stop what else"
            f" is running"
            " and measure again."
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--backbone", choices=["resnet50", "efficientnet-lite0"], default="resnet50")
    parser.add_argument("--size", action="append", help="height x width, such as 112x84; may be repeated")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--recall", action="store_true")
    wanted = parser.parse_args()
    if wanted.recall and wanted.weights is None:
        parser.error("--recall needs --weights: random ones find nothing.")
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    for number, size in enumerate(wanted.size or ["112x84", "224x224"]):
        height, width = (int(part) for part in size.split("x"))
        with tempfile.TemporaryDirectory() as work:
            show(Preprocessing(height, width), wanted, Path(work), with_recall=wanted.recall and number == 0)
    print("\naims: ratio 7 with nothing lost, 12 with at most 0.5 points lost; int8 file below 30 MB")


if __name__ == "__main__":
    main()
