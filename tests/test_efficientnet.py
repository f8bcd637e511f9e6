"""EfficientNet-Lite0: its shape, its padding beside a slow one, and its weights beside the network of the package they
come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lapel.core.errors import ModelError
from lapel.training.efficientnet import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ConvNorm,
    EfficientNetLite0,
    find_weights,
    load_efficientnet,
)

# Height and width even and odd all the way down: TensorFlow pads them differently.
SIZES = [(160, 120), (112, 84), (97, 65)]


@pytest.fixture(scope="module")
def weights() -> Path:
    try:
        return find_weights()
    except ModelError as error:
        pytest.skip(str(error))


def normalised(pixels: Tensor) -> Tensor:
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) * 255 for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (pixels - mean) / std


def test_it_is_the_network_of_the_paper() -> None:
    network = EfficientNetLite0()
    # 4,652,008 with the classifier of 1,280 x 1,000 + 1,000, as published
    assert sum(p.numel() for p in network.parameters()) == 4_652_008 - 1_281_000
    assert len(network.blocks) == 16
    assert [n for n, block in enumerate(network.blocks) if block.depthwise.conv.stride == (2, 2)] == [1, 3, 5, 11]
    assert [n for n, block in enumerate(network.blocks) if block.adds] == [2, 4, 6, 7, 9, 10, 12, 13, 14]
    assert not any(isinstance(m, nn.Conv2d) and m.bias is not None for m in network.modules())


@pytest.mark.parametrize("size", SIZES)
def test_each_halving_rounds_up(size: tuple[int, int]) -> None:
    x = torch.zeros(1, 3, *size)
    assert EfficientNetLite0().eval()(x).shape == (1, 1280, -(-size[0] // 32), -(-size[1] // 32))


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("side", [6, 7])
def test_padding_puts_the_odd_pixel_last(kernel: int, side: int) -> None:
    """A kernel of ones counts the pixels it sees: on 6 pixels, a stride of 2 and 3 wide, it begins at 0, 2 and 4 and
    ends outside."""
    layer = ConvNorm(1, 1, kernel=kernel, stride=2, clip=False).eval()
    nn.init.ones_(layer.conv.weight)
    layer.norm = nn.Identity()
    found = layer(torch.ones(1, 1, side, side))[0, 0]
    steps = -(-side // 2)
    before = ((steps - 1) * 2 + kernel - side) // 2
    seen = [sum(0 <= 2 * step - before + k < side for k in range(kernel)) for step in range(steps)]
    assert found.tolist() == [[a * b for b in seen] for a in seen]
    if (kernel, side) == (3, 6):
        assert seen == [3, 3, 2]


@pytest.mark.parametrize("size", SIZES)
def test_weights_give_what_their_own_network_gives(weights: Path, size: tuple[int, int]) -> None:
    theirs = pytest.importorskip(
        "efficientnet_lite_pytorch", reason="efficientnet-lite-pytorch, the network to compare with, is not installed"
    )
    from efficientnet_lite_pytorch.utils import get_model_params

    blocks, settings = get_model_params("efficientnet-lite0", {"image_size": size})
    reference = theirs.EfficientNet(blocks, settings).eval()
    reference.load_state_dict(torch.load(weights, weights_only=True))
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, *size))).float()
    with torch.inference_mode():
        expected = reference.extract_features((pixels - 127) / 128)
        found = load_efficientnet(weights).eval()(normalised(pixels))
    assert float(expected.max()) > 1
    assert torch.allclose(found, expected, atol=1e-4)


def test_the_network_can_learn_from_its_weights(weights: Path) -> None:
    network = load_efficientnet().train()
    network(torch.randn(2, 3, 64, 48)).mean().backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in network.parameters())


# torch's exporter walks its own deprecated names and complains that torchvision is not there; neither is ours to mend.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_it_exports_with_a_free_batch_and_fixed_padding(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    network = EfficientNetLite0().eval()
    program = torch.onnx.export(
        network,
        (torch.zeros(2, 3, 97, 64),),
        input_names=["x"],
        dynamic_shapes={"x": {0: torch.export.Dim("n")}},
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    assert program is not None
    program.save(str(tmp_path / "small.onnx"), external_data=False)
    kinds = {node.op_type for node in onnx.load(str(tmp_path / "small.onnx")).graph.node}
    assert not kinds & {"If", "Loop", "Scan", "Shape"}, kinds
    session = onnxruntime.InferenceSession(str(tmp_path / "small.onnx"))
    for batch in (1, 3):
        x = torch.randn(batch, 3, 97, 64)
        with torch.inference_mode():
            expected = network(x).numpy()
        assert np.allclose(session.run(None, {"x": x.numpy()})[0], expected, atol=1e-4)


def test_other_files_are_refused_with_words(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match="do not fit"):
        load_efficientnet(tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(ModelError, match="cannot be read"):
        load_efficientnet(tmp_path / "text.pth")
    with pytest.raises(ModelError, match="cannot be read"):
        load_efficientnet(tmp_path / "missing.pth")
