"""Runs a model folder with ONNX Runtime: on CUDA where its runtime and a device are there, else on the CPU's cores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

from lapel.core.errors import ModelError
from lapel.core.images import Pixels, Preprocessing
from lapel.core.vectors import Vectors, normalise
from lapel.encoders.model import ModelFolder, read_model

BATCH = 32  # pictures a run: throughput is flat from here on, and memory stays small


class OnnxEncoder:
    """An exported network from a model folder.

    Args:
        folder: Path of the model folder.
        threads: CPU threads; all cores by default.

    Raises:
        ModelError: the folder or its network cannot be read or run.
    """

    def __init__(self, folder: str, *, threads: int | None = None) -> None:
        self.model: ModelFolder = read_model(Path(folder))
        self.spec = folder
        self._threads = threads or os.cpu_count() or 1
        _ = self._session  # a broken network is told now, not at the first search

    @property
    def name(self) -> str:
        """What people call the model."""
        return self.model.name

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self.model.dim

    @property
    def fingerprint(self) -> str:
        """Hash of the weights and the preprocessing."""
        return self.model.fingerprint

    @property
    def preprocessing(self) -> Preprocessing:
        """How a picture becomes the network's input."""
        return self.model.preprocessing

    @cached_property
    def _session(self) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        # Idle threads sleep instead of spinning, so that decoding gets the cores between two runs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
        try:
            return onnxruntime.InferenceSession(self.model.network_bytes(), options, providers=providers)
        except ModelError:
            raise
        # ONNX Runtime raises a private class for each of its status codes.
        except Exception as error:
            raise ModelError(f"The network of {self.model.path} cannot be run: {error}") from error

    def encode(self, images: Sequence[Image.Image]) -> Vectors:
        """N RGB pictures of any size -> (n, dim) float32 unit rows."""
        parts = [self.preprocessing.batch(images[at : at + BATCH]) for at in range(0, len(images), BATCH)]
        return (
            np.concatenate([self.encode_pixels(part) for part in parts])
            if parts
            else np.empty((0, self.dim), np.float32)
        )

    def encode_pixels(self, pixels: Pixels) -> Vectors:
        """(n, height, width, 3) uint8 made by ``preprocessing`` -> (n, dim) float32 unit rows."""
        out = np.empty((len(pixels), self.dim), np.float32)
        for at in range(0, len(pixels), BATCH):
            out[at : at + BATCH] = self._session.run(["vectors"], {"pixels": pixels[at : at + BATCH]})[0]
        return normalise(out)
