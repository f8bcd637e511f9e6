"""Choosing an index by measuring: what is reported is what happened, and the choice follows from it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lapel.core.errors import InputError
from lapel.core.vectors import normalise
from lapel.indexes import structure
from lapel.insight.tuning import Trial, Tuning, _choose, draw, tune
from test_store import fill

SPECS = ("faiss:Flat", "faiss:HNSW16", "faiss:IVF16,PQ8x4fs?recall=0.9", "faiss:IVF4096,SQ8", "faiss:NOTHING")


@pytest.fixture(scope="module")
def tuning(tmp_path_factory: pytest.TempPathFactory) -> Tuning:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(20, 32))
    vectors = normalise(centres[rng.integers(0, 20, 1500)] + rng.normal(size=(1500, 32)) * 0.6)
    keys = np.arange(1500) * 2
    folder = tmp_path_factory.mktemp("tuning")
    before, structure.LEAST = structure.LEAST, 500
    try:
        found = tune(
            keys, vectors, vectors[:60], keys[:60], specs=SPECS, recall=0.95, folder=folder, report=lambda _: None
        )
    finally:
        structure.LEAST = before
    assert not list(folder.iterdir())
    return found


def test_every_candidate_is_measured_or_says_why_not(tuning: Tuning) -> None:
    flat, graph, lists, many, nothing = tuning.trials
    assert flat.recall == 1.0
    assert graph.recall > 0.95
    assert lists.recall > 0.8
    for trial in (flat, graph, lists):
        assert trial.problem == ""
        assert 0 < trial.p50_ms <= trial.p95_ms
        assert trial.rate > 0
        assert trial.bytes_a_vector > 50
    assert "1,500 of the 159,744 vectors that 'IVF4096,SQ8' needs" in many.problem
    assert "FAISS cannot make" in nothing.problem
    assert tuning.choice in SPECS[:3]


def test_the_choice() -> None:
    def trial(spec: str, recall: float, p50: float, size: float = 100) -> Trial:
        return Trial(spec, spec, recall, p50, p50, 1, size)

    exact, quick, loose = trial("faiss:Flat", 1, 5, 512), trial("a", 0.99, 1, 800), trial("b", 0.9, 0.1)
    assert _choose([exact, quick, loose], 0.95, None)[0] == "a"
    assert _choose([exact, quick, loose], 0.995, None)[0] == "faiss:Flat"
    assert _choose([exact, quick, loose], 0.95, 600)[0] == "faiss:Flat"
    assert _choose([exact, quick, loose], 0.5, 200)[0] == "b"
    assert _choose([quick, loose], 0.999, None)[0] == "faiss:auto"
    assert _choose([trial("faiss:Flat", 1, 1.2), quick], 0.95, None)[0] == "faiss:Flat"
    # At 3,060 vectors a graph is twice as quick, and nobody would notice: scanning is exact and needs no building.
    small = [trial("faiss:Flat", 1, 0.11, 520), trial("faiss:HNSW16", 0.999, 0.06, 665)]
    choice, why = _choose(small, 0.99, None)
    assert (choice, "0.11 ms a query, the quickest 0.06 ms" in why) == ("faiss:Flat", True)
    assert (
        _choose([trial("faiss:Flat", 1, 1.01, 520), trial("faiss:HNSW16", 0.999, 0.06, 665)], 0.99, None)[0]
        == "faiss:HNSW16"
    )


def test_the_choice_is_read_out_of_the_table_as_it_is_printed() -> None:
    def trial(spec: str, recall: float, p50: float, size: float) -> Trial:
        return Trial(spec, spec, recall, p50, p50, 1, size)

    exact = trial("faiss:Flat", 1, 9, 520)
    # Printed, both have a recall of 0.990 and take 1.20 ms; the second one is smaller.
    assert _choose([exact, trial("a", 0.9904, 1.196, 800), trial("b", 0.9896, 1.204, 600)], 0.99, None)[0] == "b"
    # Printed, both take 1.20 ms, and the first one finds more.
    assert _choose([exact, trial("a", 0.999, 1.204, 800), trial("b", 0.99, 1.196, 600)], 0.99, None)[0] == "a"
    assert _choose([exact, trial("a", 0.9894, 1.2, 800)], 0.99, None)[0] == "faiss:Flat"


def test_the_plot(tuning: Tuning, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw(tuning, tmp_path / "tuning.png")
    assert (tmp_path / "tuning.png").read_bytes().startswith(b"\x89PNG")


def test_too_little_to_measure(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="more than 10 vectors and at least one query; found 3 and 3"):
        tune(np.arange(3), np.eye(3, 8), np.eye(3, 8), np.arange(3), folder=tmp_path, report=lambda _: None)


def test_the_command_measures_writes_and_takes(tmp_path: Path) -> None:
    from lapel import open_store
    from lapel.apps.cli import app

    rng = np.random.default_rng(1)
    folder = tmp_path / "shop"
    with open_store(folder, create=True, encoder="colour:") as shop:
        fill(shop, {f"p{n}": [normalise(rng.normal(size=(1, 128)))[0]] for n in range(40)})
    run = CliRunner().invoke
    done = run(
        app,
        [
            "index",
            "tune",
            "--store",
            str(folder),
            "--try",
            "faiss:Flat",
            "--try",
            "exact:",
            "--out",
            str(tmp_path / "out"),
            "--use",
        ],
    )
    assert done.exit_code == 0, done.output
    assert "faiss:Flat" in done.output
    assert json.loads((tmp_path / "out" / "tuning.json").read_text())["vectors"] == 40
    with open_store(folder) as shop:
        assert shop.index_spec in ("faiss:Flat", "exact:")
    done = run(app, ["index", "use", "faiss:HNSW32", "--store", str(folder)])
    assert done.exit_code == 0
    assert "Drew 'faiss:HNSW32' with 40 vectors" in done.output
