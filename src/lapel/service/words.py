"""A text tower for a model folder: what ``lapel train`` does after the network, or instead of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lapel.core.lexicon import read_lexicon
from lapel.core.text import counted
from lapel.encoders import BATCH, open_encoder
from lapel.encoders.model import MANIFEST, REFERENCE, ModelFolder, read_model

if TYPE_CHECKING:
    from lapel.training.data import TrainingSet

MIN_TITLES = 100  # pictures with a title, below which no words are learned

Progress = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]


def teach_words(
    folder: Path,
    data: TrainingSet,
    *,
    seed: int,
    progress: Progress,
    log: Callable[[Mapping[str, Any]], None],
    note: Callable[[str], None],
) -> ModelFolder:
    """Train a text tower on the titles and labels of the shop's training pictures, and write it into a model folder;
    with too few titles the folder stays as it is, and that is noted."""
    from lapel.training.data import PRODUCT
    from lapel.training.text_tower import TextRecipe, titled_pictures, train_text_tower

    model = read_model(folder)
    rows = data.train[data.parts[data.train] == 0]
    titled = rows[[any(letter.isalnum() for letter in data.products[row].title) for row in rows]]
    if len(titled) < MIN_TITLES:
        note(
            f"Words are learned from {MIN_TITLES} pictures with a title or more; found {len(titled)}."
            " The model will know no words."
        )
        return model
    encoder = open_encoder(str(folder))
    vectors = np.zeros((len(titled), encoder.dim), np.float32)
    good = np.ones(len(titled), bool)
    with progress("encoding pictures for the words") as update:
        for at in range(0, len(titled), BATCH):
            pixels, good[at : at + BATCH] = data.images.read(titled[at : at + BATCH])
            vectors[at : at + BATCH] = encoder.encode_pixels(np.ascontiguousarray(pixels[..., :3]))
            update(min(at + BATCH, len(titled)), len(titled))
    kept = titled[good]
    known = titled_pictures([data.products[row] for row in kept], vectors[good], data.labels[PRODUCT][kept])
    recipe = TextRecipe(seed=seed)
    note(f"learning words from {counted(len(kept), 'title')}")
    tower = train_text_tower(known, recipe, lexicon=read_lexicon(), report=log)
    details = {**model.details, "words": {"titles": len(kept), "training": asdict(recipe)}}
    return replace(model, details=details).with_text(tower.to_bytes())


def copy_network(start: Path, out: Path) -> None:
    """A model folder's network without its text tower, in a new folder that is to get another one."""
    out.mkdir(parents=True, exist_ok=True)
    model = read_model(start)
    for name in (MANIFEST, model.network, REFERENCE):
        if (start / name).is_file() and start.resolve() != out.resolve():
            shutil.copyfile(start / name, out / name)
    replace(model, path=out, text_sha256="").save()
