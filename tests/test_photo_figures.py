"""Figures of photos are those of the catalogue at every moment, however few are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lapel.catalog import Catalog, Entry, ModelEntry, PhotoEntry
from lapel.core.types import Product
from lapel.core.vectors import normalise
from lapel.encoders.probes import Probe
from lapel.engine.calibration import labels_of, likelihoods
from lapel.engine.colour_space import ColourSpace
from lapel.engine.photo_figures import PhotoFigures

MODEL = ModelEntry("abc", "drawn", "drawn:", 4)


@pytest.mark.parametrize("most", [8, 12, 1000])
def test_they_are_read_again_when_a_product_changes(tmp_path: Path, most: int) -> None:
    rng = np.random.default_rng(most)
    probes = {
        name: Probe(name, ("a", "b", ""), rng.normal(size=(3, 4)).astype(np.float32), np.zeros(3, np.float32))
        for name in ("kind", "colour")
    }
    catalog = Catalog.open(tmp_path / "catalog.sqlite", create=True)
    catalog.claim(MODEL)
    figures = PhotoFigures(catalog, MODEL.fingerprint, probes, most=most)
    every: list[int] = []
    with Catalog.open(tmp_path / "catalog.sqlite") as writer:
        for turn in range(12):
            changed = rng.permutation(10)[:4].tolist()
            own_rngs = [np.random.default_rng([at, turn % 2]) for at in changed]  # the same bytes, the same vector
            vectors = normalise(np.array([own.normal(size=4) for own in own_rngs]).astype(np.float32))
            writer.write(
                [
                    Entry(
                        Product(f"p{at}", category=("Top", f"kind {rng.integers(2)}"), colour=f"colour {turn % 3}"),
                        (PhotoEntry(f"file:///{at}.jpg", "1", f"{at} {turn % 2}", vector),),
                    )
                    for at, vector in zip(changed, vectors, strict=True)
                ],
                fingerprint=MODEL.fingerprint,
            )
            if turn % 3 == 2:
                writer.remove([f"p{rng.integers(10)}"])
            every = sorted({*every, *writer.vector_keys(MODEL.fingerprint).tolist()})
            for _ in range(3):
                keys = np.sort(rng.permutation(every)[: int(rng.integers(1, 11))])
                found = figures.of(keys)
                there, vectors = catalog.vectors_there(keys, fingerprint=MODEL.fingerprint)
                assert found.there.tolist() == there.tolist()
                if not there.any():
                    continue
                expected = likelihoods(probes, vectors)
                likely = found.likely(np.flatnonzero(there))
                for name in probes:
                    assert likely[name] == pytest.approx(expected[name], abs=1e-6)
                entries = catalog.entries(keys)
                labels = labels_of([entries[key][0] for key in keys[there].tolist()], {})
                own = found.labels[there]
                same = own[:, None] == own[None]
                assert (same == (labels[:, None] == labels[None])).all()  # numbers differ, what is equal does not
                assert ((own == 0) == (labels == 0)).all()


def test_a_colour_adds_nothing_where_no_colour_could_be_learned() -> None:
    nothing = ColourSpace(np.zeros((0, 4), np.float32), np.zeros((0, 4), np.float32), False, {})
    assert nothing.centre(np.ones(15)).tolist() == [0, 0, 0, 0]
    assert nothing.own(np.ones(4, np.float32)).tolist() == [0, 0, 0, 0]
