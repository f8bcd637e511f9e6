"""Runs a model folder with ONNX Runtime: on CUDA where its runtime and a device are there, else on the CPU's cores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime

from lapel.core.errors import ModelError
from lapel.core.images import Pixels
from lapel.core.machine import cores
from lapel.encoders.model import ModelFolder, read_model
from lapel.encoders.network import Network, NetworkEncoder, Output, Runtime, overflows

# On CUDA float32 means float32: the default, TF32, keeps 10 bits and would move vectors between machines by accident.
PROVIDERS: tuple[tuple[str, dict[str, str]], ...] = (
    ("CUDAExecutionProvider", {"use_tf32": "0"}),
    ("CPUExecutionProvider", {}),
)


def open_onnx(folder: str, *, threads: int | None = None, spec: str | None = None) -> NetworkEncoder:
    """Open a model folder as an encoder; ``spec`` is ``onnx:FOLDER`` by default. Otherwise as :func:`load_onnx`."""
    return NetworkEncoder(load_onnx(read_model(Path(folder)), threads=threads), spec=spec or f"onnx:{folder}")


def load_onnx(model: ModelFolder, *, threads: int | None = None, note: str = "", in_float: bool = False) -> Network:
    """A folder's network in ONNX Runtime.

    Args:
        model: The folder.
        threads: CPU threads; all cores by default.
        note: Kept in the runtime.
        in_float: Compute what is in 8 bits in float32, rounding each layer as in 8 bits: right on every CPU, and slow.
            It is done anyway where 8-bit arithmetic overflows.

    Raises:
        ModelError: the network cannot be read or run.
    """
    data = model.network_bytes()
    threads = threads or cores()
    available = [provider for provider in PROVIDERS if provider[0] in onnxruntime.get_available_providers()]

    def start() -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # Idle threads sleep instead of spinning, so that decoding gets the cores between two runs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if in_float:
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        return onnxruntime.InferenceSession(data, options, providers=available)

    def compute(pixels: Pixels, outputs: Sequence[str]) -> list[Output]:
        found: list[Output] = session.run(list(outputs), {"pixels": pixels})
        return found

    try:
        session = start()
        if not in_float and overflows(model, compute):
            in_float = True
            session = start()
    # ONNX Runtime raises a private class for each of its status codes.
    except Exception as error:
        raise ModelError(f"The network of {model.path} cannot be run by ONNX Runtime: {error}") from error
    # A provider that is installed but finds no device or driver is left out of the session's own list.
    device = "CUDA" if "CUDAExecutionProvider" in session.get_providers() else "CPU"
    runtime = Runtime("onnxruntime", onnxruntime.__version__, device, threads, note, in_float)
    return Network(model, runtime, frozenset(output.name for output in session.get_outputs()), compute)
