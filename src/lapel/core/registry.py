"""The doors: a table of ``scheme -> where its class is and how to install what it needs``, extended by entry points.

A door is opened by a spec such as ``faiss:Flat``, ``exact:`` or ``zip:///pictures.zip``; the backend's module is
imported only then.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lapel.core.errors import InputError, MissingDependencyError


@dataclass(frozen=True)
class Backend:
    """One row of a door's table.

    Attributes:
        target: ``module:attribute``, imported when it is first used.
        extra: The extra of ``pip install 'lapel[extra]'`` that brings its library; empty when nothing more is needed.
    """

    target: str
    extra: str = ""


@dataclass(frozen=True)
class Registry:
    """A table of backends, and the entry-point group by which others add theirs.

    Attributes:
        noun: What is opened, for messages, such as ``index``.
        backends: Lapel's own backends by scheme.
        group: Entry-point group; each entry's name is a scheme and its value a ``module:attribute``.
    """

    noun: str
    backends: Mapping[str, Backend]
    group: str

    def find(self, scheme: str) -> Callable[..., Any]:
        """Import and return the backend of ``scheme``.

        Raises:
            InputError: nobody offers this scheme.
            MissingDependencyError: its library is not installed.
        """
        backend = self.backends.get(scheme)
        if backend is None:
            entries = importlib.metadata.entry_points(group=self.group, name=scheme)
            if not entries:
                raise InputError(
                    f"No {self.noun} is called '{scheme}:'. There are {', '.join(f'{s}:' for s in self.schemes())}."
                )
            backend = Backend(next(iter(entries)).value)
        module, attribute = backend.target.split(":")
        try:
            found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
        except ImportError as error:
            install = f"'lapel[{backend.extra}]'" if backend.extra else str(error.name)
            raise MissingDependencyError(
                f"The {self.noun} '{scheme}:' needs {error.name}. Run: pip install {install}"
            ) from error
        return found

    def schemes(self) -> list[str]:
        """Every scheme there is, sorted."""
        outside = importlib.metadata.entry_points(group=self.group)
        return sorted({*self.backends, *outside.names})
