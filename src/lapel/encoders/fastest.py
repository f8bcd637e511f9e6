"""Chooses what runs a model folder: ONNX Runtime on a CUDA device, else OpenVINO, else ONNX Runtime on the CPU.

``benchmarks/runtime.py`` is the measurement behind the order of the two on the CPU.
"""

from __future__ import annotations

import ctypes
import sys

from lapel.core.errors import ModelError
from lapel.encoders.network import NetworkEncoder


def open_fastest(folder: str, *, threads: int | None = None) -> NetworkEncoder:
    """Open a model folder with the fastest runtime that works here.

    Args:
        folder: Path of the model folder.
        threads: CPU threads; all cores by default.

    Returns:
        An encoder whose ``runtime`` says what was chosen and, when it was not the first choice, why.

    Raises:
        ModelError: the folder cannot be read, or no runtime can run its network.
    """
    if nvidia_driver():
        from lapel.encoders.onnx import open_onnx

        encoder = open_onnx(folder, threads=threads, spec=folder)
        if encoder.runtime.device == "CUDA":
            return encoder
    try:
        from lapel.encoders.openvino import open_openvino

        return open_openvino(folder, threads=threads, spec=folder)
    except (ImportError, ModelError) as error:
        # A folder that is broken itself fails again below, with the reason on top.
        from lapel.encoders.onnx import open_onnx

        return open_onnx(folder, threads=threads, spec=folder, note=f"OpenVINO is not used: {error}")


def nvidia_driver() -> bool:
    """Whether NVIDIA's driver is installed: told at once, without importing a runtime that would only find the same."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True
