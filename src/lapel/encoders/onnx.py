"""Runs a model folder with ONNX Runtime: on CUDA where its runtime and a device are there, else on the CPU's cores."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import onnxruntime

from lapel.core.errors import ModelError
from lapel.core.images import Pixels
from lapel.encoders.model import ModelFolder, read_model
from lapel.encoders.network import NetworkEncoder, Output, Run, Runtime, overflows

# On CUDA float32 means float32: the default, TF32, keeps 10 bits and would move vectors between machines by accident.
PROVIDERS: tuple[tuple[str, dict[str, str]], ...] = (
    ("CUDAExecutionProvider", {"use_tf32": "0"}),
    ("CPUExecutionProvider", {}),
)


def open_onnx(folder: str, *, threads: int | None = None, spec: str | None = None) -> NetworkEncoder:
    """Open a model folder with ONNX Runtime.

    Args:
        folder: Path of the model folder.
        threads: CPU threads; all cores by default.
        spec: What opens it again; ``onnx:FOLDER`` by default.

    Raises:
        ModelError: the folder or its network cannot be read or run.
    """
    model = read_model(Path(folder))
    return NetworkEncoder(model, *run_onnx(model, threads=threads), spec=spec or f"onnx:{folder}")


def run_onnx(
    model: ModelFolder, *, output: str = "vectors", threads: int | None = None, note: str = "", in_float: bool = False
) -> tuple[Run, Runtime]:
    """What computes one output of a model folder's network, and on what. For the rest see :func:`open_onnx`.

    Args:
        model: The folder.
        output: Name of the output.
        threads: CPU threads; all cores by default.
        note: Kept in the runtime.
        in_float: Compute what is in 8 bits in float32, rounding each layer as in 8 bits: right on every CPU, and slow.
            So it is anyway where
            8-bit arithmetic overflows.
    """
    data = model.network_bytes()
    threads = threads or os.cpu_count() or 1
    there = [provider for provider in PROVIDERS if provider[0] in onnxruntime.get_available_providers()]

    def start() -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # Idle threads sleep instead of spinning, so that decoding gets the cores between two runs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if in_float:
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        return onnxruntime.InferenceSession(data, options, providers=there)

    def compute(pixels: Pixels, output: str) -> Output:
        found: Output = session.run([output], {"pixels": pixels})[0]
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
    return lambda pixels: compute(pixels, output), runtime
