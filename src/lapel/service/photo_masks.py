"""Where the product is in people's photos, for the training of a segmenter: what ``--photo-masks`` names."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from lapel.core.errors import SourceError
from lapel.core.images import decode
from lapel.encoders.segmenter import Mask, open_segmenter
from lapel.sources import open_source
from lapel.training.photo_masks import PhotoMasks, SaliencyNetwork, ShippedMasks


def open_photo_masks(spec: str) -> PhotoMasks:
    """Masks by what is given: an ``.onnx`` file is a saliency network, all else a folder or ZIP of masks; nothing is
    what the shipped segmenter finds.

    Raises:
        InputError: the file is no network that takes one image and gives a mask of it.
        SourceError: no such folder.
    """
    if not spec:
        return ShippedMasks(open_segmenter())
    return SaliencyNetwork(Path(spec)) if spec.endswith(".onnx") else MaskFolder(spec)


class MaskFolder:
    """Masks as images, each called like its photo: white on the product, black elsewhere."""

    def __init__(self, folder: str) -> None:
        self._source = open_source(folder)
        self.identity = folder

    def mask(self, uri: str, image: Image.Image) -> Mask | None:
        """See :class:`lapel.training.photo_masks.PhotoMasks`."""
        try:
            found = self._source.find_id(PurePosixPath(uri).stem)
        except SourceError:
            return None
        grey = decode(self._source.read(found)).convert("L").resize(image.size, Image.Resampling.BILINEAR)
        return np.asarray(grey, np.float32) / np.float32(255)
