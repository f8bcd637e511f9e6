"""Runs a model folder with OpenVINO on the CPU's cores.

It reads the same ONNX file, so the fingerprint is the same too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import openvino
from openvino import opset13 as operations

from lapel.core.errors import ModelError
from lapel.core.images import Pixels
from lapel.core.machine import cores
from lapel.encoders.model import ModelFolder, read_model
from lapel.encoders.network import Network, NetworkEncoder, Output, Runtime, overflows

# What the file holds in float32 is computed in float32. Left alone, OpenVINO takes bfloat16 where the CPU has it, and
# vectors would differ between two machines with the same model. The 8-bit layers, nearly all of the work, do not depend
# on it.
PRECISION = "f32"


def open_openvino(
    folder: str, *, threads: int | None = None, spec: str | None = None, precision: str = PRECISION
) -> NetworkEncoder:
    """Open a model folder as an encoder; ``spec`` is ``openvino:FOLDER`` by default. Otherwise as
    :func:`load_openvino`."""
    network = load_openvino(read_model(Path(folder)), threads=threads, precision=precision)
    return NetworkEncoder(network, spec=spec or f"openvino:{folder}")


def load_openvino(model: ModelFolder, *, threads: int | None = None, precision: str = PRECISION) -> Network:
    """A folder's network in OpenVINO.

    Args:
        model: The folder.
        threads: CPU threads; all cores by default.
        precision: What float layers are computed in, ``f32`` or ``bf16``: to measure what the others would do.

    Raises:
        ModelError: the network cannot be read, or not run on this CPU.
    """
    data = model.network_bytes()
    threads = threads or cores()
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",  # one image gets all threads; two streams would add 4 % to batches
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,  # else two processes with few threads each would sit on the same first cores
        "INFERENCE_PRECISION_HINT": precision,
    }

    def start(*, in_float: bool) -> Any:
        core = _core()
        network = core.read_model(data)
        if in_float:
            _compute_in_float(network)
        return core.compile_model(network, "CPU", settings).create_infer_request()

    lock = Lock()

    def compute(pixels: Pixels, outputs: Sequence[str]) -> list[Output]:
        # One request at a time: each uses all threads, so a second would only wait inside. It copies before letting go.
        # What is not asked for is not copied; the map is computed anyway, as the vectors are its mean.
        with lock:
            request.infer({0: pixels}, share_inputs=True, share_outputs=True)
            return [request.get_tensor(output).data.copy() for output in outputs]

    try:
        request = start(in_float=False)
        in_float = overflows(model, compute)
        if in_float:
            request = start(in_float=True)
        names = frozenset(name for output in request.model_outputs for name in output.names)
    # OpenVINO raises RuntimeError and a few classes of its own, for broken files and for CPUs it cannot use.
    except Exception as error:
        raise ModelError(f"The network of {model.path} cannot be run by OpenVINO: {error}") from error
    return Network(model, Runtime("openvino", openvino.__version__, "CPU", threads, in_float=in_float), names, compute)


@cache
def _core() -> Any:
    """OpenVINO, once a process, and never let go.

    Its CPU plugin gives the thread that loads it a stack for signals, and when one of two goes it may put back the
    other's that is gone: the next signal, such as Ctrl-C, then ends in a segmentation fault (2026.4).
    """
    return openvino.Core()


def _compute_in_float(network: Any) -> None:
    """Leave out the roundings to 8 bits between layers, but not the range that they keep values in; weights become
    float32.

    The vectors are nearer to the trained network's than those of 8 bits (mean cosine 0.999 instead of 0.997), in twice
    the time.
    """
    for rounding in [node for node in network.get_ops() if node.get_type_name() == "FakeQuantize"]:
        lowest, highest = (float(rounding.input_value(place).get_node().get_data()) for place in (1, 2))
        kept = operations.clamp(rounding.input_value(0), lowest, highest).output(0)
        behind = [rounding]  # conversion to integers and back, to be passed over: the last step multiplies by the scale
        while behind:
            for place in behind.pop().output(0).get_target_inputs():
                node = place.get_node()
                if node.get_type_name() == "Multiply":
                    node.output(0).replace(kept)
                else:
                    behind.append(node)
    network.validate_nodes_and_infer_types()
