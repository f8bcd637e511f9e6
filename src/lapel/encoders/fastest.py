"""Chooses what runs a model folder: ONNX Runtime on a CUDA device, else OpenVINO, else ONNX Runtime on the CPU.

``benchmarks/runtime.py`` is the measurement behind the order of the two on the CPU.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

from lapel.core.errors import ModelError
from lapel.encoders.model import ModelFolder, read_model
from lapel.encoders.network import NetworkEncoder, Run, Runtime


def open_fastest(folder: str, *, threads: int | None = None, spec: str | None = None) -> NetworkEncoder:
    """Open a model folder with the fastest runtime that works here.

    Args:
        folder: Path of the model folder.
        threads: CPU threads; all cores by default.
        spec: What opens it again; the folder by default.

    Returns:
        An encoder whose ``runtime`` says what was chosen and, when it was not the first choice, why.

    Raises:
        ModelError: the folder cannot be read, or no runtime can run its network.
    """
    model = read_model(Path(folder))
    return NetworkEncoder(model, *run_fastest(model, threads=threads), spec=spec or folder)


def run_fastest(model: ModelFolder, *, output: str = "vectors", threads: int | None = None) -> tuple[Run, Runtime]:
    """What computes one output of a model folder's network, and on what. For the rest see :func:`open_fastest`."""
    if nvidia_driver():
        from lapel.encoders.onnx import run_onnx

        found = run_onnx(model, output=output, threads=threads)
        if found[1].device == "CUDA":
            return found
    try:
        from lapel.encoders.openvino import run_openvino

        return run_openvino(model, output=output, threads=threads)
    except (ImportError, ModelError) as error:
        # A folder that is broken itself fails again below, with the reason on top.
        from lapel.encoders.onnx import run_onnx

        return run_onnx(model, output=output, threads=threads, note=f"OpenVINO is not used: {error}")


def nvidia_driver() -> bool:
    """Whether NVIDIA's driver is installed: told at once, without importing a runtime that would only find the same."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True
