"""Chooses what runs a model folder: what is fastest here."""

from __future__ import annotations

import ctypes
import logging
import sys
from pathlib import Path

from lapel.core.errors import ModelError
from lapel.encoders.model import ModelFolder, read_model
from lapel.encoders.network import Network, NetworkEncoder

logger = logging.getLogger(__name__)


def open_fastest(folder: str, *, threads: int | None = None, spec: str | None = None) -> NetworkEncoder:
    """Open a model folder as an encoder, run by the fastest runtime that works here.

    Args:
        folder: Path of the model folder.
        threads: CPU threads; all cores by default.
        spec: What opens it again; the folder by default.

    Returns:
        An encoder whose ``runtime`` says what was chosen and, when it was not the first choice, why.

    Raises:
        ModelError: the folder cannot be read, or no runtime can run its network.
    """
    return NetworkEncoder(load_fastest(read_model(Path(folder)), threads=threads), spec=spec or folder)


def load_fastest(model: ModelFolder, *, threads: int | None = None) -> Network:
    """A folder's network in ONNX Runtime on a CUDA device, else in OpenVINO, else in ONNX Runtime on the CPU.

    ``benchmarks/runtime.py`` is the measurement behind the order of the two on the CPU.
    """
    from lapel.encoders.onnx import load_onnx

    if has_nvidia_driver():
        network = load_onnx(model, threads=threads)
        if network.runtime.device == "CUDA":
            return network
    try:
        from lapel.encoders.openvino import load_openvino

        return load_openvino(model, threads=threads)
    except (ImportError, ModelError) as error:
        logger.warning("OpenVINO is not used: %s", error)
        # A folder that is broken itself fails again here, with the reason on top.
        return load_onnx(model, threads=threads, note=f"OpenVINO is not used: {error}")


def has_nvidia_driver() -> bool:
    """Whether NVIDIA's driver is installed: told at once, without importing a runtime that would only find the same."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True
