"""Whole small trainings: what they learn, how they go on after a kill, and what they say of bad input."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lapel.core.errors import InputError, ModelError
from lapel.core.types import Product
from lapel.training.checkpoint import FORMER_NAMES, Log, Progress, current_names, read_log
from lapel.training.data import StoredImages, StreamedImages, TrainingSet
from lapel.training.learner import Learner, head_classes
from lapel.training.loop import Trained, _Run, check_labels, train
from lapel.training.machine import Machine, this_machine
from lapel.training.network import EmbeddingNetwork
from lapel.training.recipe import PHOTO, SHOP, HeadFinetuning, Level, Recipe, Stage
from lapel.training.watch import draw_curves, encode_rows

HEIGHT, WIDTH = 64, 48
CPU = Machine(torch.device("cpu"))
CONFIG = Recipe(
    levels=(
        Level(("kind",), margin=0.3, nca=0.5),
        Level(("kind", "colour"), triplet=0.5, mining="semi-hard", soft=True),
        Level(("product",), triplet=0.5, nca=0.5),
    ),
    heads=("kind", "colour", "kind,colour"),
    stages=(Stage(1, 0.75), Stage(1, views=(SHOP, PHOTO))),
    sampled=1,
    memory=32,
    classes=3,
    images=2,
    rate=1e-3,
    titles=0.2,
    head_finetuning=HeadFinetuning(epochs=1, titles=0.5),
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Bits are compared here, and on a busy machine several threads may share a sum out differently."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def coloured_squares(n: int = 30) -> TrainingSet:
    """Three kinds in two colours, each a little different: a look that a few steps can learn."""
    rng = np.random.default_rng(0)
    kind, colour = np.arange(n) % 3, (np.arange(n) // 3) % 2
    pixels = np.full((n, HEIGHT, WIDTH, 3), 250, np.uint8)
    for row in range(n):
        pixels[row, 10 : 10 + (12, 28, 44)[kind[row]], 8:40] = ((200, 30, 30), (30, 30, 200))[colour[row]]
    pixels = np.clip(pixels + rng.integers(-5, 6, pixels.shape), 0, 255).astype(np.uint8)
    return TrainingSet(
        StoredImages(pixels),
        {"kind": kind, "colour": colour, "product": np.arange(n)},
        {"kind": ("a", "b", "c"), "colour": ("red", "blue")},
        np.arange(0, n - 12),
        np.arange(n - 12, n),
        np.zeros(n, np.int64),
        tuple(Product(f"p{row}", title=f"{('red', 'blue')[colour[row]]} square {kind[row]}") for row in range(n)),
    )


def fresh() -> EmbeddingNetwork:
    """A ResNet with one block a stage, of which a step takes a quarter of the time: it is the loop that is tested."""
    torch.manual_seed(3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lapel.training.network.STAGES", (1, 1, 1, 1))
        return EmbeddingNetwork(frozen=True)


def run(out: Path, *, config: Recipe = CONFIG, data: TrainingSet | None = None, **more: Any) -> Trained:
    options = {"report": lambda row: None, "machine": CPU, **more}
    return train(data or coloured_squares(), config, network=fresh(), start="random", out=out, **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trained, list[dict[str, Any]]]:
    """A training that nothing interrupts."""
    out = tmp_path_factory.mktemp("training")
    rows: list[dict[str, Any]] = []
    return out, run(out, report=rows.append), rows


def same_weights(one: EmbeddingNetwork, other: EmbeddingNetwork) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())


def test_a_training_logs_judges_and_draws(finished: tuple[Path, Trained, list[dict[str, Any]]]) -> None:
    out, trained, rows = finished
    assert all(np.isfinite(value) for row in rows for value in row.values() if isinstance(value, float))
    log = read_log(out / "log.csv")
    assert {"loss", "active kind", "d+ kind", "d- kind", "spread", "nca product", "titles", "recall@1 kind"} <= set(
        log[0]
    )
    assert [row["epoch"] for row in log if row["titles"]] == ["1", "2", "3"]
    assert [row["epoch"] for row in log if row["recall@1 kind"]] == ["1", "2", "3"]  # the third is of the head alone
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert trained.skipped == 0
    start = fresh().state_dict()
    learned = trained.network.state_dict()
    assert torch.equal(learned["backbone.layer1.0.conv1.weight"], start["backbone.layer1.0.conv1.weight"])  # frozen
    assert not torch.equal(learned["backbone.layer4.0.conv1.weight"], start["backbone.layer4.0.conv1.weight"])
    assert not torch.equal(learned["head.weight"], start["head.weight"])


def test_part_of_an_epoch_is_some_of_its_batches() -> None:
    data = coloured_squares()
    config = replace(CONFIG, stages=(Stage.of(1.5, 1.0),))
    run = _Run(data, config, Learner(fresh(), config, head_classes(data, config)), CPU)
    whole = _Run(data, CONFIG, Learner(fresh(), CONFIG, head_classes(data, CONFIG)), CPU)
    for epoch in range(2):
        some, every = run.batches(epoch), whole.batches(epoch)
        assert len(some) == round(0.75 * len(every)) < len(every)
        assert all(np.array_equal(one, other) for one, other in zip(some, every, strict=False))


def test_another_seed_gives_another_network(
    finished: tuple[Path, Trained, list[dict[str, Any]]], tmp_path: Path
) -> None:
    """And the same one the same: see the test of a full disk."""
    assert not same_weights(run(tmp_path, config=replace(CONFIG, seed=8)).network, finished[1].network)


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
import torch
from pathlib import Path
from test_loop import run, EmbeddingNetwork
from lapel.training.loop import _Run
steps = 0
step = _Run.step
def dying(self, *rest):
    global steps
    steps += 1
    if steps == 4:  # in the second epoch: the fourth step is lost, three are saved
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *rest)
_Run.step = dying
torch.set_num_threads(1)
run(Path(sys.argv[1]), save_seconds=0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_kill_9_goes_on_to_the_same_result(
    finished: tuple[Path, Trained, list[dict[str, Any]]], tmp_path: Path
) -> None:
    here = str(Path(__file__).parent)
    arguments = [sys.executable, "-c", KILLED, str(tmp_path), here]
    killed = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["progress"]["epoch"] * 100 + state["progress"]["step"] > 0
    done = 0

    def count(row: dict[str, Any]) -> None:
        nonlocal done
        done += "step" in row

    again = run(tmp_path, report=count)
    assert done  # it had work left
    assert same_weights(again.network, finished[1].network)
    whole, resumed = read_log(finished[0] / "log.csv"), read_log(tmp_path / "log.csv")
    assert [row["loss"] for row in resumed] == [row["loss"] for row in whole]


def test_a_finished_training_is_not_done_again(
    finished: tuple[Path, Trained, list[dict[str, Any]]],
) -> None:
    rows: list[dict[str, Any]] = []
    again = run(finished[0], report=rows.append)
    assert rows == []
    assert same_weights(again.network, finished[1].network)


def test_another_recipe_or_start_does_not_go_on_from_a_checkpoint(
    finished: tuple[Path, Trained, list[dict[str, Any]]], tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"another recipe \(its config differ"):
        run(finished[0], config=replace(CONFIG, rate=5e-4))
    with pytest.raises(ModelError, match=r"another recipe \(its start differ"):
        train(
            coloured_squares(),
            CONFIG,
            network=fresh(),
            start="elsewhere",
            out=finished[0],
            report=lambda row: None,
            machine=CPU,
        )
    (tmp_path / "checkpoint.pt").write_bytes((finished[0] / "checkpoint.pt").read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be read"):
        run(tmp_path)


def test_a_full_disk_warns_and_keeps_the_last_good_checkpoint(
    finished: tuple[Path, Trained, list[dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, saves = torch.save, 0

    def filling(state: Any, path: Path) -> None:
        nonlocal saves
        saves += 1
        if saves > 1:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save(state, path)

    monkeypatch.setattr(torch, "save", filling)
    rows: list[dict[str, Any]] = []
    trained = run(tmp_path, report=rows.append)
    warnings = [row["warning"] for row in rows if "written" in str(row.get("warning"))]
    assert len(warnings) == 2  # after the second epoch, and after the head
    assert "No space left on device" in warnings[0]
    assert "the last good one is kept" in warnings[0]
    written = sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("features-"))
    assert written == ["checkpoint.pt", "curves.png", "log.csv"]
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["progress"]["epoch"] == 1
    # The training itself was not harmed: the same seed gives the same network.
    assert same_weights(trained.network, finished[1].network)


def test_unreadable_pictures_in_an_epoch_are_left_out_and_counted(tmp_path: Path) -> None:
    stored = coloured_squares()

    class Broken(StoredImages):
        def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            pixels, good = super().read(rows)
            return pixels, good & (rows != 4)

    assert isinstance(stored.images, StoredImages)
    data = replace(stored, images=Broken(stored.images.pixels))
    assert run(tmp_path, data=data).skipped == 2  # one picture, two epochs


def test_pictures_that_lie_in_one_point_warn_of_collapse(tmp_path: Path) -> None:
    network = fresh()
    torch.nn.init.zeros_(network.head.weight)  # only the bias is left: every picture gets the same vector
    rows: list[dict[str, Any]] = []
    config = replace(CONFIG, rate=0.0, stages=(Stage(1),), head_finetuning=HeadFinetuning(epochs=0))
    train(coloured_squares(), config, network=network, start="x", out=tmp_path, report=rows.append, machine=CPU)
    assert any("collapse" in str(row.get("warning")) for row in rows)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"kind": np.zeros(30, np.int64)}, "'kind' has 1 class"),
        ({"kind": np.arange(30)}, "No class of the level 'kind' has two"),
        ({"kind": np.full(30, -1)}, "'kind' has 0 class"),
    ],
)
def test_labels_without_triplets_are_told_at_once(labels: dict[str, np.ndarray], message: str) -> None:
    squares = coloured_squares()
    with pytest.raises(InputError, match=message):
        check_labels(replace(squares, labels={**squares.labels, **labels}), CONFIG)


def test_fewer_classes_than_p_and_classes_of_one_picture_train(tmp_path: Path) -> None:
    squares = coloured_squares()
    kind = np.where(np.arange(30) == 5, 2, np.arange(30) % 2)  # one picture of the third kind; P asks for eight kinds
    config = replace(CONFIG, classes=8, stages=(Stage(1, 0.75),))
    trained = run(tmp_path, config=config, data=replace(squares, labels={**squares.labels, "kind": kind}))
    assert np.isfinite(trained.network.head.weight.detach().numpy()).all()


def test_the_last_stretch_changes_the_head_alone_and_learns_the_catalogue(
    finished: tuple[Path, Trained, list[dict[str, Any]]], tmp_path: Path
) -> None:
    before = run(
        tmp_path / "before", config=replace(CONFIG, head_finetuning=HeadFinetuning(epochs=0))
    ).network.state_dict()
    rows: list[dict[str, Any]] = []
    trained = run(
        tmp_path / "after", config=replace(CONFIG, head_finetuning=HeadFinetuning(epochs=75)), report=rows.append
    )
    after = trained.network.state_dict()
    changed = {name.split(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"head", "wide"}
    losses = [row["attributes"] for row in rows if row.get("epoch", 0) > 2 and "attributes" in row]
    assert losses[-1] < 0.8 * losses[0]


def test_the_last_stretch_leaves_a_head_that_learns_nothing_as_it_was(tmp_path: Path) -> None:
    data = coloured_squares()
    network = fresh()
    with torch.no_grad():
        network.wide[2].weight.normal_(0, 0.02)  # type: ignore[union-attr, operator]
    before = encode_rows(network, data, data.train)
    config = replace(CONFIG, stages=(Stage(0),), head_finetuning=HeadFinetuning(epochs=1, rate=0.0))
    train(data, config, network=network, start="x", out=tmp_path, report=lambda row: None, machine=CPU)
    np.testing.assert_allclose(
        encode_rows(network, data, data.train), before, atol=2e-3
    )  # features on another scale and back


def test_recipes_check_themselves() -> None:
    with pytest.raises(InputError, match="Mining is one of batch-hard, semi-hard"):
        Level(("kind",), mining="hardest")
    with pytest.raises(InputError, match="at least one attribute"):
        Level(())
    with pytest.raises(InputError, match="margin is 0 to 2"):
        Level(("kind",), margin=3)
    with pytest.raises(InputError, match="P and K must be 2 or more"):
        replace(CONFIG, images=1)
    with pytest.raises(InputError, match="1 view or more"):
        HeadFinetuning(views=0)
    with pytest.raises(InputError, match="one of them sampled"):
        replace(CONFIG, sampled=3)


def test_a_gpu_that_is_not_there_is_told() -> None:
    if torch.cuda.is_available():
        assert this_machine("cuda").device.type == "cuda"
    else:
        assert this_machine().device.type == "cpu"
        with pytest.raises(InputError, match="finds no CUDA GPU"):
            this_machine("cuda")


SHARED = """
import sys
sys.path.insert(0, sys.argv[2])
import torch
from pathlib import Path
from test_loop import CONFIG, coloured_squares, fresh
from lapel.training.loop import train
from lapel.training.machine import this_machine
torch.set_num_threads(1)
machine = this_machine("cpu")
assert machine.world == 2
out = Path(sys.argv[1])
network = fresh()
train(coloured_squares(), CONFIG, network=network, start="random", out=out, report=lambda row: None, machine=machine)
torch.save(network.state_dict(), out / f"rank{machine.rank}.pt")
torch.distributed.destroy_process_group()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs gloo over a file store")
def test_two_processes_learn_one_network(tmp_path: Path) -> None:
    """What torchrun does on several GPUs, here with gloo on the CPU: the same weights in both, other than at the
    start."""
    script = tmp_path / "shared.py"
    script.write_text(SHARED)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    done = subprocess.run(
        [*command, str(tmp_path), str(Path(__file__).parent)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    learned = [name for name in one if name.endswith("weight")]
    assert all(torch.equal(one[name], two[name]) for name in learned)
    start = fresh().state_dict()
    assert not torch.equal(one["head.weight"], start["head.weight"])
    assert (tmp_path / "log.csv").exists()


def test_a_log_forgets_what_will_be_done_again(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    log = Log(path, Progress())
    for epoch, step in ((1, 0), (1, 20), (2, 0), (2, 20)):
        log.add({"epoch": epoch, "step": step, "loss": 1.0})
    log.add({"epoch": 2, "step": 40, "recall@1 kind": 0.5})  # a new column
    assert [row["step"] for row in read_log(path)] == ["0", "20", "0", "20", "40"]
    Log(path, Progress(epoch=1, step=20))
    assert [(row["epoch"], row["step"]) for row in read_log(path)] == [("1", "0"), ("1", "20"), ("2", "0")]


def test_curves_of_an_empty_log_are_an_empty_picture(tmp_path: Path) -> None:
    draw_curves(tmp_path / "none.csv", tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_streamed_images_say_their_size() -> None:
    from lapel.core.images import Preprocessing

    pictures = StreamedImages(
        ["a", "b"],
        lambda uri: b"",
        preprocessing=Preprocessing(height=8, width=6),
        threads=2,
        failed=lambda uri, reason: None,
    )
    assert (len(pictures), pictures.size) == (2, (8, 6))
    pixels, good = pictures.read(np.array([0, 1]))
    assert pixels.shape == (2, 8, 6, 4)
    assert not good.any()


def test_a_checkpoint_of_an_earlier_version_goes_on(
    finished: tuple[Path, Trained, list[dict[str, Any]]], tmp_path: Path
) -> None:
    """Its recipe has the fields' former names; the recipe is the same all the same, and another one is still
    another."""
    former = {
        "levels": [{"attributes": ["kind"], "neighbours": 0.3}],
        "pictures": 2,
        "fast": 5.0,
        "average": 0.98,
        "finish": {"looks": 2, "cut_out": 1, "labels": 8.0, "labels_of_looks": 1.0, "find": 2.0, "find_plain": 0.2},
    }
    assert current_names(former) == {
        "levels": [{"attributes": ["kind"], "nca": 0.3}],
        "images": 2,
        "head_rate_factor": 5.0,
        "ema_decay": 0.98,
        "head_finetuning": {
            "views": 2,
            "segmented_views": 1,
            "label_weight": 8.0,
            "view_label_weight": 1.0,
            "instance": 2.0,
            "instance_plain": 0.2,
        },
    }
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    path = tmp_path / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    back = {new: old for old, new in FORMER_NAMES.items()}

    def as_before(value: Any) -> Any:
        if isinstance(value, dict):
            return {back.get(name, name): as_before(each) for name, each in value.items()}
        return type(value)(map(as_before, value)) if isinstance(value, (list, tuple)) else value

    state["config"] = as_before(state["config"])
    assert "finish" in state["config"]
    torch.save(state, path)
    rows: list[dict[str, Any]] = []
    run(tmp_path, report=rows.append)
    assert rows == []  # nothing is done again
    with pytest.raises(ModelError, match="of another recipe"):
        run(tmp_path, config=replace(CONFIG, rate=5e-4))
