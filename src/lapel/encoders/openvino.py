"""Runs a model folder with OpenVINO on the CPU's cores. It reads the same ONNX file, so the fingerprint is the same too."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from threading import Lock
from typing import Any

# Importing OpenVINO reports the event to its makers and writes a folder into the home, unless this module cannot be imported.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402

from lapel.core.errors import ModelError  # noqa: E402
from lapel.core.images import Pixels  # noqa: E402
from lapel.encoders.model import ModelFolder, read_model  # noqa: E402
from lapel.encoders.network import NetworkEncoder, Output, Run, Runtime  # noqa: E402

# What the file holds in float32 is computed in float32. Left alone, OpenVINO takes bfloat16 where the CPU has it, and vectors would
# differ between two machines with the same model. The 8-bit layers, nearly all of the work, do not depend on it.
PRECISION = "f32"


def open_openvino(
    folder: str, *, threads: int | None = None, spec: str | None = None, precision: str = PRECISION
) -> NetworkEncoder:
    """Open a model folder with OpenVINO.

    Args:
        folder: Path of the model folder.
        threads: CPU threads; all cores by default.
        spec: What opens it again; ``openvino:FOLDER`` by default.
        precision: What float layers are computed in, ``f32`` or ``bf16``: to measure what the others would do.

    Raises:
        ModelError: the folder or its network cannot be read, or not run on this CPU.
    """
    model = read_model(Path(folder))
    return NetworkEncoder(
        model, *run_openvino(model, threads=threads, precision=precision), spec=spec or f"openvino:{folder}"
    )


def run_openvino(
    model: ModelFolder, *, output: str = "vectors", threads: int | None = None, precision: str = PRECISION
) -> tuple[Run, Runtime]:
    """What computes one output of a model folder's network, and on what. For the rest see :func:`open_openvino`."""
    data = model.network_bytes()
    threads = threads or os.cpu_count() or 1
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",  # one picture gets all threads; two streams would add 4 % to batches
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,  # else two processes with few threads each would sit on the same first cores
        "INFERENCE_PRECISION_HINT": precision,
    }
    try:
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(data), "CPU", settings)
        request, wanted = compiled.create_infer_request(), compiled.output(output)
    # OpenVINO raises RuntimeError and a few classes of its own, for broken files and for CPUs it cannot use.
    except Exception as error:
        raise ModelError(f"The network of {model.path} cannot be run by OpenVINO: {error}") from error
    lock = Lock()

    def run(pixels: Pixels) -> Output:
        # One request at a time: each uses all threads, so a second would only wait inside. It copies before letting go.
        with lock:
            results: Any = request.infer({0: pixels}, share_inputs=True, share_outputs=True)
            found: Output = results[wanted].copy()
        return found

    return run, Runtime("openvino", openvino.__version__, "CPU", threads)
