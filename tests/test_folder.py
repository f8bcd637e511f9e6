"""Going on from a model folder: its weights come back, and ``lapel train --from`` says whether it got better."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from lapel.apps.cli import app
from lapel.core.errors import ModelError
from lapel.core.images import Preprocessing
from lapel.encoders import SHIPPED, open_encoder, shipped_model
from lapel.encoders.model import read_model
from lapel.training import efficientnet, network
from lapel.training.efficientnet import EfficientNetLite0
from lapel.training.export import write_model_folder
from lapel.training.network import Backbone, EmbeddingNetwork, ResNet50
from lapel.training.watch import Verdict, compare_answers
from lapel.training.weights import backbone_name, load_model_folder
from loopback.drive import DriveServer, error

SMALL = Preprocessing(height=64, width=48)
RESNET, LITE = network.STAGES, efficientnet.STAGES
# torch's exporter walks its own deprecated names and complains that torchvision is not there; neither is ours to mend.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def export(backbone: Backbone, folder: Path) -> EmbeddingNetwork:
    torch.manual_seed(2)
    made = EmbeddingNetwork(backbone)
    for module in made.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            module.running_mean.normal_(0, 0.05)
    pixels = np.random.default_rng(0).integers(0, 256, (24, 64, 48, 3), dtype=np.uint8)
    write_model_folder(
        made,
        folder,
        name="start",
        preprocessing=SMALL,
        calibration=pixels,
        reference=pixels[:4],
        details={"backbone": backbone_name(made.backbone)},
    )
    return made


@pytest.fixture(scope="module")
def shallow() -> Iterator[None]:
    """Backbones with every kind of block but fewer of them: tracing all layers takes minutes. All of them are read from
    the shipped models, and those of the small one are traced in test_export."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lapel.training.network.STAGES", (2, 1, 1, 1))
        patch.setattr("lapel.training.efficientnet.STAGES", tuple((1 + (at == 1), *LITE[at][1:]) for at in range(7)))
        yield


@pytest.fixture(scope="module")
def folder(shallow: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a ResNet of random weights."""
    out = tmp_path_factory.mktemp("models") / "start"
    export(ResNet50(stride_first=True), out)
    return out


@pytest.fixture(scope="module")
def small_folder(shallow: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One with the small backbone, whose steps take a fifth of the time: for all that trains."""
    out = tmp_path_factory.mktemp("models") / "small"
    export(EfficientNetLite0(), out)
    return out


def test_the_weights_of_an_exported_file_come_back(folder: Path) -> None:
    torch.manual_seed(2)
    network, model = load_model_folder(folder)
    assert (model.name, backbone_name(network.backbone)) == ("start", "resnet50")
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    assert all(parameter.requires_grad for parameter in network.backbone.layer2.parameters())
    assert not any(parameter.requires_grad for parameter in network.backbone.layer1.parameters())


def test_a_shipped_model_can_be_gone_on_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lapel.training.network.STAGES", RESNET)
    monkeypatch.setattr("lapel.training.efficientnet.STAGES", LITE)
    found = {name: load_model_folder(shipped_model(name)) for name in SHIPPED}
    backbones = {name: backbone_name(network.backbone) for name, (network, _) in found.items()}
    assert backbones == {"default": "resnet50", "small": "efficientnet-lite0"}
    assert all(model.dim == network.head.out_channels for network, model in found.values())


def test_the_small_backbone_comes_back_too(small_folder: Path) -> None:
    network, _ = load_model_folder(small_folder)
    assert backbone_name(network.backbone) == "efficientnet-lite0"


def test_what_cannot_be_gone_on_from_is_told(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "other")
    manifest = json.loads((other / "model.json").read_text())
    manifest["details"]["backbone"] = "vit"
    (other / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="backbone 'vit'; training goes on from resnet50"):
        load_model_folder(other)
    manifest["details"]["backbone"] = "efficientnet-lite0"
    (other / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="not built like its backbone"):
        load_model_folder(other)
    changed = shutil.copytree(folder, tmp_path / "changed")
    with np.load(folder / "reference.npz") as reference:
        pixels, vectors = reference["pixels"], reference["vectors"]
    np.savez(changed / "reference.npz", pixels=pixels, vectors=vectors[:, ::-1])
    with pytest.raises(ModelError, match="give other vectors"):
        load_model_folder(changed)
    (changed / "reference.npz").unlink()
    with pytest.raises(ModelError, match="misses its reference"):
        load_model_folder(changed)


def shop(folder: Path, *, split: bool) -> None:
    """Thirty coloured squares, two photos each, and their table."""
    rng = np.random.default_rng(1)
    (folder / "pictures").mkdir(parents=True)
    with (folder / "products.csv").open("w", newline="") as file:
        names = ["id", "title", "category", "pictures", *(["split"] if split else [])]
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        for number in range(30):
            colour = tuple(int(value) for value in rng.integers(0, 256, 3))
            photos = [f"{number}-{photo}.png" for photo in range(2)]
            for name in photos:
                picture = Image.new("RGB", (48, 64), "white")
                picture.paste(colour, (8, 8, 40, 8 + (16 if number % 2 else 40)))
                picture.save(folder / "pictures" / name)
            row = {"id": f"p{number}", "title": "square", "category": "low" if number % 2 else "high"}
            row["pictures"] = "|".join(photos)
            writer.writerow({**row, **({"split": "val" if number > 23 else "train"} if split else {})})


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["train", *arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


@pytest.fixture
def not_exported(small_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracing a network takes far longer than all else here: for tests that do not look at what is exported, the first
    one's file will do."""

    def copied(network: object, target: Path, *args: object, **kwargs: object) -> str:
        shutil.copy(small_folder / "network.onnx", target / "network.onnx")
        return hashlib.sha256((target / "network.onnx").read_bytes()).hexdigest()

    monkeypatch.setattr("lapel.training.export._write_network", copied)


@pytest.mark.parametrize("labels", [True, False])
def test_a_shop_goes_on_from_a_model_with_and_without_labels(
    small_folder: Path, tmp_path: Path, labels: bool, request: pytest.FixtureRequest
) -> None:
    if not labels:
        request.getfixturevalue("not_exported")
    shop(tmp_path, split=labels)
    before = {path.name: path.read_bytes() for path in small_folder.iterdir()}
    out = tmp_path / "mine"
    more = ["--level", "category", "--head", "category"] if labels else ["--stream", "--val-share", "0.3"]
    said = run(
        *(str(tmp_path / "pictures"), "--products", str(tmp_path / "products.csv"), "--from", str(small_folder)),
        *("--out", str(out), "--epochs", "1,1", "--name", "mine", *more),
    )
    assert "Recall@1 on held-out pictures" in said
    assert "instance" in said
    assert ("category" in said.split("Recall@1 on held-out")[1]) == labels
    assert "Nothing is replaced" in said
    assert {path.name: path.read_bytes() for path in small_folder.iterdir()} == before
    encoder = open_encoder(str(out))
    assert encoder.name == "mine"
    assert encoder.preprocessing == SMALL
    details = json.loads((out / "model.json").read_text())["details"]
    if labels:
        assert (out / "network.onnx").read_bytes() != before["network.onnx"]
    assert {row["name"] for row in details["verdicts"]} == ({"category", "instance"} if labels else {"instance"})
    assert details["backbone"] == "efficientnet-lite0"
    assert (out / "pixels.npy").exists() == labels  # nothing of a streamed catalogue is kept


@pytest.mark.usefixtures("not_exported")
def test_a_shop_on_drive_trains_the_same_model(
    small_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop(tmp_path, split=True)
    monkeypatch.setenv("LAPEL_CACHE", str(tmp_path / "cache"))
    with DriveServer() as drive:
        top = drive.folder("Shop")
        for picture in sorted((tmp_path / "pictures").iterdir()):
            drive.file(picture.name, picture.read_bytes(), top, "image/png")
        drive.faults.extend(["cut", error(429), error(403, "userRateLimitExceeded"), error(500)])
        monkeypatch.setenv("LAPEL_DRIVE_ENDPOINT", drive.root)
        monkeypatch.setenv("LAPEL_DRIVE_KEY", "good-key")
        for name, where in (("here", str(tmp_path / "pictures")), ("there", f"gdrive://{top}")):
            said = run(
                *(
                    where,
                    "--products",
                    str(tmp_path / "products.csv"),
                    "--from",
                    str(small_folder),
                    "--level",
                    "category",
                ),
                *("--out", str(tmp_path / name), "--epochs", "0,1", "--stream"),
            )
            assert "Recall@1 on held-out pictures" in said
        assert not drive.faults
        fetched = [request.path for request in drive.requests if request.query.get("alt") == "media"]
        assert len(set(fetched)) == 60
        assert len(fetched) <= 64  # once each, and once more where it was refused: epochs and verdicts read the cache
    here, there = (read_model(tmp_path / name).reference() for name in ("here", "there"))
    assert here is not None and there is not None  # noqa: PT018
    assert np.array_equal(here.pixels, there.pixels)
    assert np.abs(here.expected - there.expected).max() < 1e-3


def test_a_verdict_needs_more_than_chance() -> None:
    rng = np.random.default_rng(0)
    old = rng.random(400) < 0.5
    better = old | (rng.random(400) < 0.2)
    flipped = old.copy()
    flipped[:4] = ~flipped[:4]
    words = [compare_answers({"a": old}, {"a": new})[0].word for new in (better, old & ~better, flipped, old)]
    assert words == ["better", "worse", "no clear difference", "no clear difference"]
    verdict = compare_answers({"a": old}, {"a": better})[0]
    assert verdict.after - verdict.before == pytest.approx((verdict.low + verdict.high) / 2)


@pytest.mark.parametrize(
    ("gained", "lost", "word", "ends"),
    [
        (10, 0, "better", (0.0412, 0.1588)),
        (4, 0, "better", (0.0016, 0.0784)),
        (3, 0, "no clear difference", (-0.0034, 0.0634)),  # 3 of 100 more may be chance
        (4, 1, "no clear difference", (-0.0134, 0.0734)),
        (0, 0, "no clear difference", (0, 0)),
        (0, 3, "no clear difference", (-0.0634, 0.0034)),
        (0, 4, "worse", (-0.0784, -0.0016)),
    ],
)
def test_a_verdict_by_the_book(gained: int, lost: int, word: str, ends: tuple[float, float]) -> None:
    """100 queries: 1.96 standard errors of a mean of ones, minus ones and zeros, on both sides of it."""
    before = np.arange(100) < 50
    after = before.copy()
    after[:lost] = False
    after[50 : 50 + gained] = True
    (verdict,) = compare_answers({"a": before}, {"a": after})
    assert (verdict.name, verdict.queries, verdict.before) == ("a", 100, 0.5)
    assert verdict.after == pytest.approx(0.5 + (gained - lost) / 100)
    assert (verdict.low, verdict.high) == pytest.approx(ends, abs=5e-5)
    assert verdict.word == word


@pytest.mark.parametrize(("low", "high", "word"), [(0, 0.1, "no clear difference"), (-0.1, 0, "no clear difference")])
def test_an_interval_that_ends_at_0_says_nothing(low: float, high: float, word: str) -> None:
    assert Verdict("a", 100, 0.5, 0.5, low, high).word == word
