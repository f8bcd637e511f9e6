"""Opens a store's encoder when it is first needed, once for all threads, and sees that it is the one that made the
stored vectors."""

from __future__ import annotations

import threading
from pathlib import Path

from lapel.catalog import ModelEntry
from lapel.core.errors import ModelMismatchError
from lapel.encoders import Encoder, open_encoder


class LazyEncoder:
    """One encoder, opened at the first call of :meth:`get`.

    Args:
        spec: See :func:`lapel.open_encoder`.
        folder: The store's, for messages.
    """

    def __init__(self, spec: str, folder: Path) -> None:
        self.spec = spec
        self._folder = folder
        self._encoder: Encoder | None = None
        self._lock = threading.Lock()

    def get(self) -> Encoder:
        """The encoder, whichever model it is of.

        Raises:
            ModelError: the model folder is gone or broken.
        """
        with self._lock:
            if self._encoder is None:
                self._encoder = open_encoder(self.spec)
            return self._encoder

    def get_for(self, model: ModelEntry) -> Encoder:
        """The encoder, if it is the one that made the vectors of ``model``; a store without vectors has a model without
        fingerprint.

        Raises:
            ModelMismatchError: it is another one.
            ModelError: the model folder is gone or broken.
        """
        encoder = self.get()
        if model.fingerprint and model.fingerprint != encoder.fingerprint:
            raise ModelMismatchError(
                f"The store {self._folder} was filled with the model '{model.name}' (fingerprint {model.fingerprint});"
                f" '{self.spec}' is '{encoder.name}' ({encoder.fingerprint}), whose vectors cannot be compared with"
                f" those."
                f" Open it with its own model, or give it the other one: lapel model use {self.spec} --store"
                f" {self._folder}"
            )
        return encoder


class EncoderCache:
    """The encoder of a store's model; another one is opened when the store gets another model.

    Args:
        folder: The store's.
        wanted: A spec that counts instead of the one the store says.
    """

    def __init__(self, folder: Path, *, wanted: str | None = None) -> None:
        self._folder = folder
        self._wanted = wanted
        self._current: LazyEncoder | None = None
        self._opened_for = ("", "")
        self._lock = threading.Lock()

    def of(self, model: ModelEntry) -> LazyEncoder:
        """What opens the encoder of a model."""
        spec = self._wanted or model.encoder or "default"
        with self._lock:
            # The fingerprint counts too: a folder may have been given another model since. An empty one is that of a
            # store before its first vector, which then gets this encoder's.
            if self._current is None or self._opened_for not in ((spec, model.fingerprint), (spec, "")):
                self._current = LazyEncoder(spec, self._folder)
            self._opened_for = (spec, model.fingerprint)
            return self._current
