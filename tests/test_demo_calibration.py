"""The calibration that the sample wardrobe comes with: taken where the model is the one it was made with, and never in
place of a store's own."""

from __future__ import annotations

from pathlib import Path

from lapel.core.types import Verdict
from lapel.encoders import open_encoder
from lapel.encoders.probes import read_probes
from lapel.engine.calibration import read_calibration
from lapel.samples import CALIBRATION
from lapel.service import open_store


def test_it_is_of_the_model_that_ships() -> None:
    """Another network has another fingerprint: then 'lapel model calibrate --store .demo/shop' is to be run again."""
    encoder = open_encoder("default")
    found = read_calibration(CALIBRATION / encoder.fingerprint)
    assert found is not None
    assert Verdict.SAME_KIND in found.scales["white"]
    assert "Blouses" in read_probes(CALIBRATION / encoder.fingerprint, encoder.dim)["kind"].values


def test_it_is_taken_once_and_only_for_its_own_model(tmp_path: Path) -> None:
    with open_store(tmp_path / "shop", create=True, encoder="colour:") as store:
        store._context.claim()
        fingerprint = store.models.current.fingerprint
        assert not store.models.take_calibration(CALIBRATION)
        own = tmp_path / "given" / fingerprint
        own.mkdir(parents=True)
        (made,) = CALIBRATION.iterdir()
        (own / "calibration.json").write_bytes((made / "calibration.json").read_bytes())
        assert store.models.take_calibration(tmp_path / "given")
        assert not store.models.take_calibration(tmp_path / "given")
        assert (store.folder / "calibration" / fingerprint / "calibration.json").is_file()
