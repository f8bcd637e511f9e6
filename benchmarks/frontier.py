"""The frontier between one right answer and five: Recall@1 against Recall@5 of held-out products, over the weights of
the head's losses.

    make head MODEL=small                             # once: pixels and features, half an hour on 2 cores
    python benchmarks/frontier.py --work runs/small-head --start small
    python benchmarks/frontier.py --work runs/default --start default --trained --titles    # of a network just trained

Each setting (``--set label_weight=2,epochs=3``) trains the head anew on the features that the training kept, as ``make
head`` does. Labels: val queries against train products, in float32, a query without a relevant product counts as a
miss, as in ``models.py``; and against other val products, which no head learned from. People's photos: kind of the
first answer, queries as a search makes them (the photo and what was cut out of it). ``--titles``: how many val titles
find their picture among ten of all, by a text tower that learns for four epochs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from lapel.encoders import SHIPPED, shipped_model
from lapel.encoders.words import TextTower
from lapel.service.training import HEAD_AGAIN_EPOCHS, LabelledPhotos, read_examples
from lapel.training.data import PRODUCT, TrainingSet, load_training_set, read_label_map
from lapel.training.head_features import FeatureStore, View
from lapel.training.head_finetuning import finetune_head
from lapel.training.learner import Learner, Targets, head_classes
from lapel.training.loop import title_loss
from lapel.training.machine import this_machine
from lapel.training.network import EmbeddingNetwork
from lapel.training.recipe import Recipe, fashion
from lapel.training.text_tower import TextRecipe, titled_pictures, train_text_tower
from lapel.training.weights import load_model_folder
from phone_to_shop import KINDS
from shops import CATALOGUE

PHOTOS = CATALOGUE.parent / "clothing-photos"
RULES = {
    "subCategory": ("subCategory",),
    "articleType": ("articleType",),
    "baseColour": ("baseColour",),
    "gender": ("gender",),
    "all three": ("articleType", "baseColour", "gender"),
}
IMAGE = Path(__file__).parents[1] / "docs" / "images" / "frontier.png"
BATCH = 4096


def read_set(work: Path, recipe: Recipe, start: Path) -> TrainingSet:
    """The training set of ``make head``, whose pixels lie in ``work`` already."""
    _, model = load_model_folder(start)
    parts = [
        LabelledPhotos(str(CATALOGUE / "images.zip"), CATALOGUE / "products.csv"),
        LabelledPhotos(str(PHOTOS / "images.zip"), PHOTOS / "photos.csv", ("id=file", "title=", "pictures=file")),
    ]
    with ExitStack() as sources:
        examples, read = read_examples(parts, sources, stream=False, note=print)
        data, _ = load_training_set(
            examples,
            read,
            preprocessing=model.preprocessing,
            attributes=sorted(recipe.attributes()),
            optional=sorted(recipe.optional()),
            product_key="group",
            label_map=read_label_map(Path(__file__).parent / "photo_kinds.csv"),
            folder=work,
            progress=lambda *_: None,
        )
    return data


@torch.inference_mode()
def project(network: EmbeddingNetwork, features: torch.Tensor) -> np.ndarray:
    """(n, features) -> (n, dim) float32 unit rows."""
    parts = [network.project(part.float()[:, :, None, None]).vectors for part in features.split(BATCH)]
    return torch.cat(parts).float().numpy()


def label_recalls(data: TrainingSet, shop: View, asked: View, network: EmbeddingNetwork) -> dict[str, list[float]]:
    """Recall@1 and @5 in % of each rule, among other products."""
    known, queries = project(network, shop.features), project(network, asked.features)
    products = data.labels[PRODUCT]
    parts = []
    for rows, part in zip(np.array_split(asked.rows.numpy(), 16), np.array_split(queries, 16), strict=True):
        itself = products[rows][:, None] == products[shop.rows.numpy()]
        parts.append(np.argsort(np.where(itself, np.inf, -(part @ known.T)), axis=1)[:, :5])
    nearest = np.concatenate(parts)
    found = {}
    for name, attributes in RULES.items():
        labels = data.joint(attributes)
        own = labels[asked.rows.numpy()]
        right = (labels[shop.rows.numpy()][nearest] == own[:, None]) & (own >= 0)[:, None]
        found[name] = [100 * float(right[:, 0].mean()), 100 * float(right.any(axis=1).mean())]
    return found


def photo_recall(data: TrainingSet, shop: View, pair: tuple[View, View], network: EmbeddingNetwork) -> float:
    """Share in % of photos whose first answer is of a kind that they ask for, see ``phone_to_shop.py``."""
    known = project(network, shop.features)
    query = sum(project(network, view.features) for view in pair)
    nearest = shop.rows.numpy()[np.argmax(query @ known.T, axis=1)]
    types = [data.names["articleType"][place] for place in data.labels["articleType"][nearest]]
    asked = [data.products[row].attributes["label"] for row in pair[0].rows.tolist()]
    return 100 * float(np.mean([kind in KINDS[label] for kind, label in zip(types, asked, strict=True)]))


def title_recall(data: TrainingSet, shop: View, asked: View, network: EmbeddingNetwork) -> float:
    """Share in % of val titles that find their own picture among the first ten of all."""
    known, queries = project(network, shop.features), project(network, asked.features)
    rows, titles = shop.rows.numpy(), [data.products[row].title.strip() for row in asked.rows.tolist()]
    titled = [place for place, title in enumerate(titles) if title]
    taught = titled_pictures([data.products[row] for row in rows], known, data.labels[PRODUCT][rows])
    tower = train_text_tower(taught, TextRecipe(epochs=4))
    said = tower.encode([titles[place] for place in titled])
    own = np.sum(said * queries[titled], axis=1, keepdims=True)
    nearer = [(part @ np.concatenate([known, queries]).T > at).sum(axis=1) for part, at in
              zip(np.array_split(said, 16), np.array_split(own, 16), strict=True)]  # fmt: skip
    return 100 * float(np.mean(np.concatenate(nearer) < 10))


def trained_network(start: EmbeddingNetwork, work: Path) -> EmbeddingNetwork:
    """The averaged network of a training's checkpoint, as its last stretch begins with."""
    state = torch.load(work / "checkpoint.pt", map_location="cpu", weights_only=True)["modules"]["average"]
    start.load_state_dict({name.removeprefix("module."): value for name, value in state.items() if "module." in name})
    return start.eval()


def draw(found: Mapping[str, Mapping[str, Any]], target: Path) -> None:
    """A plot of @1 against @5 a rule; each point is a setting."""
    figure = Figure(figsize=(13, 3.2), layout="constrained")
    for axis, rule in zip(figure.subplots(1, len(RULES)), RULES, strict=True):
        for name, row in found.items():
            one, five = row["labels"][rule]
            axis.plot(one, five, "o", color="tab:blue", markersize=4)
            axis.annotate(name, (one, five), fontsize=6, xytext=(3, 3), textcoords="offset points")
        axis.set_title(f"same {rule}", fontsize=9)
        axis.set_xlabel("Recall@1, %", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    figure.axes[0].set_ylabel("Recall@5, %", fontsize=8)
    figure.savefig(target, dpi=110)


def settings_of(texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """``label_weight=2,photo=1`` -> the fields of :class:`lapel.training.recipe.HeadFinetuning` that it changes."""
    pairs = {text: [pair.split("=") for pair in text.split(",")] for text in texts}
    return {text: {k: int(v) if k == "epochs" else float(v) for k, v in found} for text, found in pairs.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train a head for each setting and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="the folder that 'make head' wrote")
    parser.add_argument("--start", default="small", help="what it went on from")
    parser.add_argument("--set", action="append", help="such as label_weight=2,photo=1; repeat")
    parser.add_argument("--trained", action="store_true", help="go on from the checkpoint in the folder")
    parser.add_argument("--titles", action="store_true", help="measure words, too: minutes a setting")
    parser.add_argument("--plot", type=Path, default=IMAGE)
    wanted = parser.parse_args(arguments)
    start = shipped_model(wanted.start) if wanted.start in SHIPPED else Path(wanted.start)
    recipe = fashion(epochs=(0, 0))
    data = read_set(wanted.work, recipe, start)
    machine = this_machine("cpu")
    first, model = load_model_folder(start)
    words = TextTower.from_bytes(model.text_bytes()) if model.text_sha256 else None
    if wanted.trained:
        first = trained_network(first, wanted.work)
    store = FeatureStore(first, data, machine, wanted.work, lambda _: None)
    kept = store.all(recipe)
    val, parts = data.val, data.parts
    asked = store.view(val[parts[val] == 0], None, segmented=False, seed=0)
    photos = [store.view(val[parts[val] > 0], None, segmented=cut, seed=0) for cut in (False, True)]
    record = wanted.work / "frontier.json"
    found: dict[str, Any] = json.loads(record.read_text()) if record.exists() else {}
    weights = ("0.5", "1", "2", "4", "6", "10")
    asked_for = settings_of(wanted.set or [f"label_weight={w}" for w in weights])
    for name, changes in {f"as {wanted.start} is": {}, **asked_for}.items():
        network = deepcopy(first)
        if name not in found and changes:
            finetuning = replace(recipe.head_finetuning, **{"epochs": HEAD_AGAIN_EPOCHS, **changes})
            changed = replace(recipe, head_finetuning=finetuning)
            learner = Learner(network, changed, head_classes(data, changed), title_loss(data, changed, words))
            targets = Targets(data, changed, machine.device)
            finetune_head(
                network,
                learner,
                data,
                targets,
                machine=machine,
                folder=wanted.work,
                add=lambda _: None,
                report=lambda _: None,
            )
        if name not in found:
            network.eval()
            found[name] = {
                "labels": label_recalls(data, kept.shop, asked, network),
                "unseen": label_recalls(data, asked, asked, network),
                "photos": photo_recall(data, kept.shop, (photos[0], photos[1]), network),
            }
            if wanted.titles:
                found[name]["titles"] = title_recall(data, kept.shop, asked, network)
            record.write_text(json.dumps(found, indent=1))
        row = found[name]
        titles = f"  titles {row['titles']:.1f}" if "titles" in row else ""
        print(f"{name}: photos {row['photos']:.1f}{titles}")
        for among, of in (("train", "labels"), ("other val", "unseen")):
            cells = "  ".join(f"{rule} {one:.1f} / {five:.1f}" for rule, (one, five) in row[of].items())
            print(f"  among {among:10} {cells}", flush=True)
    draw(found, wanted.plot)


if __name__ == "__main__":
    main()
