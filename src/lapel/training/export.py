"""From a trained network to a model folder: batch norms folded, exported to ONNX, weights and activations in 8 bits.

The file has one input, ``pixels`` (n, height, width, 3) uint8, and two outputs, ``vectors`` (n, dim) unit rows and
``spatial`` (n, dim, h, w), the map whose mean the vectors are. Normalisation is inside, so whoever runs it only scales
images.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

from lapel.core.images import Pixels, Preprocessing
from lapel.core.vectors import Vectors
from lapel.encoders import BATCH
from lapel.encoders.model import ModelFolder, Reference
from lapel.encoders.network import NUM_CHECKED, SPATIAL, VECTORS
from lapel.encoders.onnx import load_onnx
from lapel.encoders.segmenter import MODEL_NAME, OUTPUT
from lapel.training.foreground import ForegroundNetwork, overlap
from lapel.training.network import EmbeddingNetwork

NETWORK = "network.onnx"
OUTPUTS = (VECTORS, SPATIAL)  # of an embedding network
HEAD = ("head.", "wide.", "last.")  # how the names of its weights begin
ACTIVATIONS = ("Relu", "Clip", "MaxPool")
QUANTISED = ("Conv", *ACTIVATIONS)


def export_float32(
    network: nn.Module, preprocessing: Preprocessing, path: Path, *, outputs: Sequence[str] = OUTPUTS
) -> None:
    """Write the network as it computes, in float32, with a free batch size.

    The exporter folds batch norms into the convolutions before them; ONNX Runtime's own first pass then folds what is
    left of constants, whatever the backbone is built of; last, strides move to where they save work. All three keep the
    numbers.
    """
    network = network.float().eval()
    pixels = torch.zeros(2, preprocessing.height, preprocessing.width, 3, dtype=torch.uint8)
    program = torch.onnx.export(
        network,
        (pixels,),
        input_names=["pixels"],
        output_names=list(outputs),
        dynamic_shapes={"pixels": {0: torch.export.Dim("n")}},
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    assert program is not None  # dynamo=True always returns one
    program.save(str(path), external_data=False)
    quant_pre_process(path, path, skip_symbolic_shape=True)
    model = onnx.load(path)
    move_strides_up(model)
    onnx.save(model, path)


class _Calibration(CalibrationDataReader):  # type: ignore[misc]
    """Feeds real images to the quantiser, a batch at a time."""

    def __init__(self, pixels: Pixels, batch: int = 16) -> None:
        self._batches: Iterator[dict[str, Pixels]] = (
            {"pixels": pixels[at : at + batch]} for at in range(0, len(pixels), batch)
        )

    def get_next(self) -> dict[str, Pixels] | None:
        """The next batch, or None at the end."""
        return next(self._batches, None)


def quantise(source: Path, target: Path, pixels: Pixels, *, floats: Sequence[str] = ()) -> None:
    """Float32 file -> int8 file: convolutions in 8 bits (weights per channel), the head in float32, its weights stored
    in 16 bits.

    Args:
        source: What :func:`export_float32` wrote.
        target: Where the int8 file goes.
        pixels: (n, height, width, 3) uint8 of real images: they set each activation's range; 256 are plenty.
        floats: How the names of the weights begin that stay in float32 beside the head's.
    """
    graph = onnx.load(source).graph
    # The head decides everything and tells small differences apart, so it does not get 8 bits.
    left = _computing(graph, (*HEAD, *floats))
    # Activations and pools are named so that they live in their convolution's 8 bits: a ReLU becomes the lower end of
    # the range. Left out, its input and its output would be rounded one after the other, which doubles what 8 bits
    # cost.
    inner = [node.name for node in graph.node if node.op_type in QUANTISED and node.name not in left]
    quantize_static(
        source,
        target,
        _Calibration(pixels),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        nodes_to_quantize=inner,
        calibrate_method=CalibrationMethod.MinMax,
        # The mean over batches of each batch's extremes: one odd image does not stretch a range for all.
        extra_options={"CalibMovingAverage": True},
    )
    _halve_heads(target)


def _computing(graph: onnx.GraphProto, weights: tuple[str, ...]) -> set[str]:
    """Names of the convolutions whose weights' names begin so, and of the activations and pools right behind them."""
    names = {
        node.output[0]: node.name for node in graph.node if node.op_type == "Conv" and node.input[1].startswith(weights)
    }
    behind = {node.name for node in graph.node if node.op_type in ACTIVATIONS and node.input[0] in names}
    return behind | set(names.values())


def _halve_heads(path: Path) -> None:
    """Store the head's weights in 16 bits, which are widened when the file is opened: half the megabytes, and nothing
    lost that shows."""
    model = onnx.load(path)
    graph = model.graph
    for tensor in list(graph.initializer):
        if tensor.name.startswith(HEAD) and tensor.name.endswith(".weight"):
            half = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{tensor.name}_half")
            graph.initializer.remove(tensor)
            graph.initializer.append(half)
            graph.node.insert(0, onnx.helper.make_node("Cast", [half.name], [tensor.name], to=onnx.TensorProto.FLOAT))
    onnx.save(model, path)


def write_model_folder(
    network: EmbeddingNetwork,
    folder: Path,
    *,
    name: str,
    preprocessing: Preprocessing,
    calibration: Pixels,
    reference: Pixels,
    precision: str = "int8",
    details: Mapping[str, Any],
) -> ModelFolder:
    """Export a trained network to a model folder.

    Args:
        network: The trained network.
        folder: Made when missing.
        name: What people will call it.
        preprocessing: How its images were prepared.
        calibration: (n, height, width, 3) uint8 for :func:`quantise`.
        reference: (m, height, width, 3) uint8, kept as ``reference.npz`` with the trained network's float32 vectors of
            them, so that anyone can check that the exported file agrees with what was trained.
        precision: ``int8`` or ``float32``.
        details: Kept in ``model.json``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    expected = encode_float32(network, reference)
    sha256 = _write_network(network, folder, preprocessing, calibration, precision=precision)
    kept = Reference(VECTORS, reference, expected)
    kept.save(folder)
    model = ModelFolder(folder, name, expected.shape[1], NETWORK, sha256, preprocessing, precision, details)
    model.save()
    # What 8 bits cost on images the quantiser has not seen: written down, so that a bad export cannot pass for a good
    # one.
    exported = load_onnx(model, in_float=precision == "int8")  # the same on every CPU
    cosine = kept.cosines(
        np.concatenate([exported.run(reference[at : at + BATCH]) for at in range(0, len(reference), BATCH)])
    )
    agreement = {"mean_cosine": round(float(cosine.mean()), 5), "least_cosine": round(float(cosine.min()), 5)}
    model = replace(model, details={**details, "agreement_with_trained": agreement})
    model.save()
    return model


def _write_network(
    network: EmbeddingNetwork | ForegroundNetwork,
    folder: Path,
    preprocessing: Preprocessing,
    calibration: Pixels,
    *,
    precision: str = "int8",
    outputs: Sequence[str] = OUTPUTS,
) -> str:
    """Write the file a model folder is about, and return its hash, hex."""
    with tempfile.TemporaryDirectory(dir=folder) as work:
        plain = Path(work) / "float32.onnx"
        export_float32(network, preprocessing, plain, outputs=outputs)
        if precision == "int8":
            floats = [f"backbone.{part}" for part in network.backbone.in_float]
            quantise(plain, folder / NETWORK, calibration, floats=floats)
        else:
            plain.replace(folder / NETWORK)
    return hashlib.sha256((folder / NETWORK).read_bytes()).hexdigest()


def write_foreground_folder(
    network: ForegroundNetwork,
    folder: Path,
    *,
    preprocessing: Preprocessing,
    scenes: Pixels,
    details: Mapping[str, Any],
) -> ModelFolder:
    """Export a trained finder of products to a model folder, in 8 bits.

    Args:
        network: The trained network.
        folder: Made when missing.
        preprocessing: How its images were prepared.
        scenes: (n, height, width, 3) uint8 images as it will see them: the first half sets each activation's range, the
            second says how well the exported file's masks agree with the trained network's.
        details: Kept in ``model.json``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    half = len(scenes) // 2
    sha256 = _write_network(network, folder, preprocessing, scenes[:half], outputs=(OUTPUT,))
    model = ModelFolder(folder, MODEL_NAME, 1, NETWORK, sha256, preprocessing, "int8", details)
    model.save()
    parts = np.array_split(scenes[half:], -(-len(scenes[half:]) // BATCH))
    with torch.inference_mode():
        trained = [network(torch.from_numpy(part)) for part in parts]
    Reference(OUTPUT, parts[0][:NUM_CHECKED], trained[0][:NUM_CHECKED].numpy()).save(folder)
    exported = load_onnx(model, in_float=True)  # the same on every CPU
    shares = [
        overlap(torch.from_numpy(exported.run(part, OUTPUT)), masks) for part, masks in zip(parts, trained, strict=True)
    ]
    agreement = {"mean_overlap": round(float(torch.cat(shares).mean()), 4)}
    model = replace(model, details={**details, "agreement_with_trained": agreement})
    model.save()
    return model


def encode_float32(network: EmbeddingNetwork, pixels: NDArray[np.uint8], *, batch: int = 32) -> Vectors:
    """The trained network's own vectors, in float32: (n, dim) unit rows."""
    network.eval()
    with torch.inference_mode():
        parts = [network(torch.from_numpy(pixels[at : at + batch]))[0].numpy() for at in range(0, len(pixels), batch)]
    return np.concatenate(parts)


# --- strides ----------------------------------------------------------------------------------------------------------


def move_strides_up(model: ModelProto) -> int:
    """Rewrite the graph in place.

    Returns:
        How many tensors became smaller at their source.
    """
    moved = 0
    while (tensor := _halved_by_all(model.graph)) is not None:
        users = _users(model.graph, tensor)
        stride = _ints(users[0], "strides", (1, 1))
        for node in users:
            _set_ints(node, "strides", (1, 1))
        kept = _thin(model.graph, tensor, stride, alone=True)
        for node in users:
            node.input[0] = kept
        moved += 1
    if moved:
        del model.graph.value_info[:]  # shapes that are no longer true; whoever needs them infers them again
    return moved


def _halved_by_all(graph: GraphProto) -> str | None:
    """The first tensor that all who use it read with the same stride through a 1 x 1 window, so that the rest is never
    looked at."""
    outputs = {output.name for output in graph.output}
    sizes = {weights.name: tuple(weights.dims[2:]) for weights in graph.initializer}
    for maker in graph.node:
        for tensor in maker.output:
            users = _users(graph, tensor)
            if not users or tensor in outputs or maker.op_type not in ("Conv", "Relu", "Clip", "Add"):
                continue
            strides = {_ints(node, "strides", (1, 1)) for node in users}
            if len(strides) == 1 and strides != {(1, 1)} and all(_is_point(node, sizes) for node in users):
                return str(tensor)
    return None


def _thin(graph: GraphProto, tensor: str, stride: tuple[int, ...], *, alone: bool) -> str:
    """Make only every ``stride``-th place of a tensor and return the name it has; ``alone``: nobody needs the other
    places."""
    maker = next((node for node in graph.node if tensor in node.output), None)
    if maker is not None and alone:
        if maker.op_type in ("Relu", "Clip"):
            _thin_input(graph, maker, 0, stride)
            return tensor
        if maker.op_type == "Add" and not {entry.name for entry in graph.initializer} & set(maker.input):
            for number in (0, 1):
                _thin_input(graph, maker, number, stride)
            return tensor
        if maker.op_type == "Conv" and _ints(maker, "strides", (1, 1)) == (1, 1):
            _set_ints(maker, "strides", stride)
            return tensor
    thin = f"{tensor}_thin"
    position = 1 + next((at for at, node in enumerate(graph.node) if node is maker), -1)
    pick = helper.make_node(
        "MaxPool", [tensor], [thin], name=f"node_{thin}", kernel_shape=[1] * len(stride), strides=list(stride)
    )
    graph.node.insert(position, pick)
    return thin


def _thin_input(graph: GraphProto, node: NodeProto, number: int, stride: tuple[int, ...]) -> None:
    tensor = node.input[number]
    node.input[number] = _thin(graph, tensor, stride, alone=len(_users(graph, tensor)) == 1)


def _is_point(node: NodeProto, sizes: dict[str, tuple[int, ...]]) -> bool:
    """Whether a node is a convolution that reads one place and pads nothing."""
    return node.op_type == "Conv" and set(sizes.get(node.input[1], (0,))) == {1} and not any(_ints(node, "pads", (0,)))


def _users(graph: GraphProto, tensor: str) -> list[NodeProto]:
    return [node for node in graph.node if tensor in node.input]


def _ints(node: NodeProto, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    return next((tuple(entry.ints) for entry in node.attribute if entry.name == name), default)


def _set_ints(node: NodeProto, name: str, values: tuple[int, ...]) -> None:
    kept = [entry for entry in node.attribute if entry.name != name]
    changed: AttributeProto = helper.make_attribute(name, list(values))
    del node.attribute[:]
    node.attribute.extend([*kept, changed])
