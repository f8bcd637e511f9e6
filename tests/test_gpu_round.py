"""A round on a GPU, without one: what is done is not done again, what fails is told, time is kept, and the pack is what
trainings read."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

import gpu_round
import stages
from lapel.core.images import Preprocessing
from lapel.service.training import LabelledPhotos, TrainingConfig, _read
from stages import BEFORE, DONE, FAILED, LEFT_OUT, STOPPED, Outcome, Round, Stage, table

ROOT = Path(__file__).parents[1]


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def counted(folder: Path, name: str, **options: object) -> Stage:
    """A stage that notes each time it runs."""
    code = f"open({str(folder / name)!r}, 'a').write('x'); print('{name} ran')"
    return Stage(name, (python(code),), seconds=1, **options)  # type: ignore[arg-type]


def runs(folder: Path, name: str) -> int:
    return len((folder / name).read_text()) if (folder / name).exists() else 0


def round_in(folder: Path, budget: float = 60) -> Round:
    return Round(folder / "out", budget, folder)


def states(outcomes: list[Outcome]) -> dict[str, str]:
    return {each.stage.name: each.state for each in outcomes}


def test_a_failing_stage_is_told_and_others_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = Stage("bad", (python("print('no room on the disk'); raise SystemExit(3)"),), seconds=1)
    planned = [counted(tmp_path, "a"), bad, counted(tmp_path, "c", needs=("bad",)), counted(tmp_path, "d")]
    outcomes = round_in(tmp_path).run(planned)
    assert states(outcomes) == {"a": DONE, "bad": FAILED, "c": LEFT_OUT, "d": DONE}
    told = capsys.readouterr().out
    assert "failed: exit code 3: no room on the disk" in told
    assert "left out: needs bad" in told
    assert (tmp_path / "out" / "d.txt").read_text() == "d ran\n"
    assert "now, together" in table(outcomes)
    planned[1] = counted(tmp_path, "bad")
    assert states(round_in(tmp_path).run(planned)) == {"a": BEFORE, "bad": DONE, "c": DONE, "d": BEFORE}
    assert [runs(tmp_path, name) for name in "acd"] == [1, 1, 1]


def test_a_killed_round_goes_on_after_the_last_stage_that_was_done(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell runs in the background ignores it
    kill = Stage("second", (python("import os, signal; os.kill(os.getppid(), signal.SIGINT); input()"),), seconds=1)
    planned = [counted(tmp_path, "first"), kill, counted(tmp_path, "third")]
    try:
        with pytest.raises(KeyboardInterrupt):
            round_in(tmp_path).run(planned)
    finally:
        signal.signal(signal.SIGINT, before)
    assert runs(tmp_path, "third") == 0
    planned[1] = counted(tmp_path, "second")
    assert states(round_in(tmp_path).run(planned)) == {"first": BEFORE, "second": DONE, "third": DONE}
    assert runs(tmp_path, "first") == 1


def test_other_words_files_or_a_lost_result_are_another_stage(tmp_path: Path) -> None:
    read, made = tmp_path / "model.json", tmp_path / "made"
    read.write_text("1")
    stage = counted(tmp_path, "a", reads=(read,), makes=made, save=lambda: made.touch())
    assert states(round_in(tmp_path).run([stage])) == {"a": DONE}
    assert states(round_in(tmp_path).run([stage])) == {"a": BEFORE}
    read.write_text("2")
    assert states(round_in(tmp_path).run([stage])) == {"a": DONE}
    made.unlink()
    assert states(round_in(tmp_path).run([stage])) == {"a": DONE}
    changed = replace(stage, commands=(*stage.commands, python("")))
    assert states(round_in(tmp_path).run([changed])) == {"a": DONE}


def test_time_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "GRACE", 8.0)  # a busy machine takes its time to stop what is slow
    slow = Stage("slow", (python("import time; time.sleep(60)"),), seconds=0.5)
    last = replace(counted(tmp_path, "last"), seconds=0.1, reserved=True)
    outcomes = round_in(tmp_path, 10).run([slow, replace(slow, name="long", seconds=30.0), last])
    assert states(outcomes) == {"slow": STOPPED, "long": LEFT_OUT, "last": DONE}
    assert "takes about 30 s" in outcomes[1].why


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("round")
    return folder, gpu_round.draw_data(folder / "data")


def test_trainings_read_the_pack(drawn: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    work, learn = drawn
    gpu_round.pack(work / "pack", learn)
    gpu_round.use_pack(work, "small")
    gpu_round.use_pack(work, "small")  # twice does no harm
    assert (work / "small" / "pixels.npy").stat().st_ino == (work / "pack" / "pixels.npy").stat().st_ino
    data = gpu_round.data_options(learn)
    config = TrainingConfig(
        shop=LabelledPhotos(data.source, Path(data.products), tuple(data.map)),
        people=LabelledPhotos(data.photos, Path(data.photo_table), tuple(data.photo_map)),
        out=work / "small",
        init="efficientnet-lite0",
    )
    monkeypatch.setattr("lapel.training.data.decode", lambda _: pytest.fail("a picture was decoded twice"))
    with ExitStack() as sources:
        read = _read(
            config,
            Preprocessing(*gpu_round.SIZE),
            ("gender",),
            sources,
            progress=lambda _: nullcontext(lambda *_: None),
            note=lambda _: None,
        )
    assert len(read.images) == 36
    assert len(read.train) == 27


def test_only_the_model_is_saved(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    for name in ("model.json", "network.onnx", "pixels.npy", "checkpoint.pt", "log.csv"):
        (tmp_path / "work" / name).write_text("new")
    for _ in range(2):
        stages.copy_files(tmp_path / "work", tmp_path / "default", but=gpu_round.LARGE)
        assert sorted(path.name for path in (tmp_path / "default").iterdir()) == [
            "log.csv",
            "model.json",
            "network.onnx",
        ]


def test_a_round_without_time_says_so(
    drawn: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_round, "draw_data", lambda _: drawn[1])
    assert gpu_round.main(["--rehearse", "--budget", "0", "--out", str(tmp_path / "out")]) == 0
    told = (tmp_path / "out" / "round.txt").read_text()
    names = ["pack", "default", "small", "text", "gpu_index", "training", "models", "photo_looks", "phone_to_shop"]
    assert [row.split()[0] for row in told.splitlines()[1:10]] == names
    assert "text                  -         0  left out: there is no text tower yet" in told
    assert "no model is trained yet" in told


def test_words_of_make_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    words = ["make", "--dry-run", "gpu-round", f"OUT={tmp_path}", "BUDGET=600", "DATA=shop"]
    line = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f"--out {tmp_path} --budget 600" in line
    told = line.split("--learn '")[1].split("'")[0]
    env, learn = gpu_round.environment(told, rehearse=False)
    assert "MALLOC_TRIM_THRESHOLD_" in env
    assert learn[:3] == ["shop/images.zip", "--products", "shop/products.csv"]
    assert gpu_round.data_options(learn).photo_map == ["id=file", "title=", "pictures=file"]
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert gpu_round.main(["--learn", told, "--out", str(tmp_path)]) == 2
    assert "PyTorch finds no CUDA GPU" in capsys.readouterr().err
    assert not (tmp_path / "stages.json").exists()


def test_stages_are_kept_whole(tmp_path: Path) -> None:
    round_in(tmp_path).run([counted(tmp_path, "a")])
    known = json.loads((tmp_path / "out" / "stages.json").read_text())
    assert list(known) == ["a"]
    assert not (tmp_path / "out" / "stages.part").exists()
