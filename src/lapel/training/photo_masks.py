"""Where the product is in people's photos, as somebody else says: a network that finds what stands out in a picture,
or masks of any other origin (:mod:`lapel.service.photo_masks`).

Any saliency network that was exported to ONNX serves as a teacher, U-2-Net (Qin et al., 2020) and its like: it is asked
once a photo while pictures are prepared, and is no part of what is learned or shipped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from lapel.core.errors import InputError
from lapel.core.images import Preprocessing, each_image
from lapel.encoders.segmenter import Mask, Segmenter
from lapel.training.efficientnet import IMAGENET_MEAN, IMAGENET_STD

# A mask that says nothing: it takes too little or too much of its photo, or too much of it is in doubt.
SHARE = (0.1, 0.85)
DOUBT = (0.2, 0.8)  # in 0..1: what is neither product nor background
MAX_DOUBT = 0.2  # share of doubt in what is not background


class PhotoMasks(Protocol):
    """Says where the product is."""

    @property
    def identity(self) -> str:
        """Changes when its masks may."""
        ...

    def mask(self, uri: str, image: Image.Image) -> Mask | None:
        """(height, width) float32 in 0..1, how likely each pixel is of the product; None where it cannot say."""
        ...


class ShippedMasks:
    """What a segmenter finds already: a network that has no better teacher keeps what it knows of photos."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self.identity = segmenter.model.fingerprint

    def mask(self, uri: str, image: Image.Image) -> Mask | None:  # noqa: ARG002
        """See :class:`PhotoMasks`."""
        return self._segmenter.masks([image])[0]


class SaliencyNetwork:
    """A teacher: an ONNX file that takes (1, 3, height, width) floats, normalised as ImageNet's networks are, and whose
    first output is (1, 1, height, width) in 0..1.

    Safe to share between threads, one photo each.

    Raises:
        InputError: the file is missing, or takes and gives something else.
    """

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            data = path.read_bytes()
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own have no class in common
            raise InputError(f"The teacher {path} cannot be read: {error}. Give an ONNX file.") from error
        self.identity = hashlib.sha256(data).hexdigest()
        self._input, self._output = self._session.get_inputs()[0].name, self._session.get_outputs()[0].name
        shape = self._session.get_inputs()[0].shape
        if len(shape) != 4 or not all(isinstance(side, int) for side in shape[1:]) or shape[1] != 3:
            raise InputError(
                f"The teacher {path} takes {shape}; a saliency network takes (1, 3, height, width) with fixed sides."
                " Export it with them."
            )
        self._size = int(shape[3]), int(shape[2])

    def mask(self, uri: str, image: Image.Image) -> Mask | None:  # noqa: ARG002
        """See :class:`PhotoMasks`."""
        return self.masks([image])[0]

    def masks(self, images: Iterable[object]) -> list[Mask]:
        """How likely each pixel is of what stands out: one (height, width) mask for each image, of its own size."""
        return [self._mask(image) for image in each_image(images)]

    def _mask(self, image: Image.Image) -> Mask:
        pixels = np.asarray(image.resize(self._size, Image.Resampling.LANCZOS), np.float32) / 255
        normal = (pixels - np.array(IMAGENET_MEAN, np.float32)) / np.array(IMAGENET_STD, np.float32)
        batch = np.ascontiguousarray(normal.transpose(2, 0, 1)[None])
        found: NDArray[np.float32] = self._session.run([self._output], {self._input: batch})[0]
        large = Image.fromarray(found[0, 0]).resize(image.size, Image.Resampling.BILINEAR)
        return np.asarray(large).clip(0, 1)


def is_clear(mask: Mask) -> bool:
    """Whether a photo can be learned from with this mask."""
    maybe = mask > DOUBT[0]
    doubt = (maybe & (mask < DOUBT[1])).sum() / max(1, maybe.sum())
    return bool(SHARE[0] <= (mask > 0.5).mean() <= SHARE[1] and doubt <= MAX_DOUBT)


def place_mask(mask: Mask | None, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """A mask of a photo -> (height, width) uint8 where the network's input has that photo; all 0 unless it is clear."""
    if mask is None or not is_clear(mask):
        return np.zeros((preprocessing.height, preprocessing.width), np.uint8)
    grey = Image.fromarray((mask * 255).round().astype(np.uint8)).convert("RGB")
    black = Preprocessing(preprocessing.height, preprocessing.width, (0, 0, 0), "bilinear")
    return np.ascontiguousarray(black.apply(grey)[..., 0])
