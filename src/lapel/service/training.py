"""Training a model: labelled photos in, a model folder and a report out.

    config = TrainingConfig(LabelledPhotos("images.zip", Path("products.csv")), Path("runs/mine"), start="small")
    report = train(config)

Needs ``pip install 'lapel[train]'``; PyTorch is loaded by the first call, not by importing this module.
"""

from __future__ import annotations

import math
import platform
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lapel.core.errors import InputError, MissingDependencyError, SourceError
from lapel.core.images import Pixels, Preprocessing
from lapel.core.text import counted
from lapel.core.types import Product
from lapel.encoders import SHIPPED, shipped_model
from lapel.encoders.segmenter import MODEL_NAME
from lapel.encoders.words import TextTower
from lapel.samples import plan_wardrobe, render_photo
from lapel.service.words import copy_network, teach_words
from lapel.sources import open_source
from lapel.sources.mapping import ColumnMap
from lapel.sources.mixed import MixedSource
from lapel.sources.stream import in_order
from lapel.sources.table import Table, read_table

if TYPE_CHECKING:
    from lapel.training.data import Example, TrainingSet
    from lapel.training.foreground import ForegroundNetwork
    from lapel.training.network import EmbeddingNetwork
    from lapel.training.photo_masks import PhotoMasks
    from lapel.training.recipe import Recipe
    from lapel.training.watch import Verdict

SEGMENTER_WEIGHTS = "efficientnet-lite0"  # the only ones a segmenter starts from
NAME = "resnet50-triplet"  # of a model that nobody named
RECIPES = ("", "fashion", "custom")
WORDS = ("yes", "no", "only")
# Of the head alone, where a model goes on: more learns pictures by heart, and unseen ones lose (decision 5).
HEAD_AGAIN_EPOCHS = 2
NUM_REFERENCES = 32  # images kept with a model to check its exported network by
NUM_CALIBRATION = 256  # training images that set the ranges of 8-bit activations
NUM_SCENES = 512  # the same for a segmenter; half of them say how well its masks agree

Progress = Callable[[int, int], None]  # how many so far, and in all
ProgressBar = Callable[[str], AbstractContextManager[Progress]]  # what is done -> how far it is
Log = Callable[[Mapping[str, Any]], None]
Note = Callable[[str], None]


@dataclass(frozen=True)
class LabelledPhotos:
    """Photos, and the table that labels them.

    Attributes:
        photos: A folder or ZIP of images, or an address such as ``gdrive://FOLDER_ID`` or ``s3://BUCKET/FOLDER``.
        table: The product table; its column ``split`` may say ``train`` or ``val``.
        columns: Where fields come from, such as ``title=productDisplayName``.
    """

    photos: str
    table: Path
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainingConfig:
    """What to train. Exactly one of ``init`` and ``start`` is needed.

    Attributes:
        shop: The shop's photos, which are searched in later.
        out: The model folder to write; checkpoints go there too, and a training goes on from the last one.
        people: Photos of people's own to learn from too.
        photo_masks: For a segmenter, where the product is in those photos, see
            :func:`lapel.service.photo_masks.open_photo_masks`.
        init: ImageNet weights, see :func:`lapel.training.weights.load_backbone`.
        start: A model to go on from: ``default``, ``small`` or a model folder.
        name: What the model is called; as the model it goes on from, or else ``resnet50-triplet``.
        recipe: ``fashion`` (the shipped models') or ``custom`` (``levels``, ``heads``); by default the first where
            neither those nor ``start`` are given.
        levels: Attributes that make two images alike, such as ``category,colour``; coarse to fine.
        heads: Attributes that get a classifier.
        product_key: The attribute that says which rows show the same product; the id by default.
        label_map: A CSV (label, name, attribute, value) of labels that both tables share.
        size: Height and width of the network's input, pixels; with ``start``, that model's own.
        epochs: At 0.7 of the size, then at the whole; 0.5 is half of one.
        rate: Peak learning rate; a third of it is taken with ``start``.
        batch: Images a step, each in two views.
        views: Augmented views for head fine-tuning, and how many more whose product is segmented.
        val_share: Share of products held out where the table has no column ``split``.
        stream: Read images as they are needed instead of preparing them in ``out``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        words: Whether the model learns words from titles, after the network: ``yes``, ``no``, or ``only``: the network
            of ``start`` stays as it is.
        titles: Weight of a loss of images against the words of their titles, while the network is trained; 0 leaves it
            out.
        seed: Decides initial values, order and augmentation.
    """

    shop: LabelledPhotos
    out: Path
    people: LabelledPhotos | None = None
    photo_masks: str = ""
    init: str = ""
    start: str = ""
    name: str = ""
    recipe: str = ""
    levels: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    product_key: str = ""
    label_map: Path | None = None
    size: tuple[int, int] = (160, 120)
    epochs: tuple[float, float] = (3, 2)
    rate: float = 3e-4
    batch: int = 48
    views: tuple[int, int] = (2, 2)
    val_share: float = 0.1
    stream: bool = False
    device: str = "auto"
    words: str = "yes"
    titles: float = 0.0
    seed: int = 7

    def __post_init__(self) -> None:
        if bool(self.init) == bool(self.start):
            raise InputError(
                "Training starts from ImageNet weights (--init) or from a model (--from). Give one of the two."
            )
        if self.recipe not in RECIPES:
            raise InputError(f"--recipe is fashion or custom; found '{self.recipe}'.")
        if self.words not in WORDS:
            raise InputError(f"--words is yes, no or only; found '{self.words}'.")
        if self.titles < 0:
            raise InputError(f"--titles is the weight of a loss, 0 or more; found {self.titles}.")
        if self.words == "only" and not self.start:
            raise InputError("--words only needs the model whose pictures the words are for: give --from.")
        if self.recipe == "fashion" and (self.levels or self.heads):
            raise InputError(
                "--recipe fashion has its own levels and heads. Leave out --level and --head, or use --recipe custom."
            )


@dataclass(frozen=True)
class TrainingReport:
    """What a training wrote.

    Attributes:
        folder: The model folder.
        name: What the model is called; ``foreground`` for a segmenter.
        precision: Number format of its weights.
        fingerprint: Hash of its weights and preprocessing.
        agreement: Of the exported file with the trained network, on images that the quantiser has not seen: mean cosine
            of vectors, or mean overlap of masks.
        verdicts: Recall@1 on held-out images before and after; empty when it began from ImageNet weights.
        words: Whether the model knows words.
        overlap: A segmenter's mean intersection over union with the truth on held-out images; None for an encoder.
    """

    folder: Path
    name: str
    precision: str
    fingerprint: str
    agreement: float
    verdicts: tuple[Verdict, ...] = ()
    words: bool = False
    overlap: float | None = None


def _silent_bar(_: str) -> AbstractContextManager[Progress]:
    return nullcontext(lambda *_: None)


def _silent(_: object) -> None:
    pass


def train(
    config: TrainingConfig, *, progress: ProgressBar = _silent_bar, log: Log = _silent, note: Note = _silent
) -> TrainingReport | None:
    """Train an embedding network and export it; goes on from the last checkpoint in ``config.out``.

    Args:
        config: What to train.
        progress: Gives a bar for reading the images.
        log: Called with each row of the log and each warning.
        note: Called with sentences on what is read and left out.

    Returns:
        What was written; None in a process of ``torchrun`` that does not lead.

    Raises:
        MissingDependencyError: PyTorch is not installed.
        InputError: settings or labels from which nothing can be learned.
        ModelError: no such weights or model, or a checkpoint of another recipe.
    """
    torch = _torch()
    from lapel.training import loop, watch
    from lapel.training.machine import this_machine
    from lapel.training.weights import backbone_name

    machine = this_machine(config.device)
    network, preprocessing, name, words = _start(config)
    recipe = recipe_of(config, dim=network.head.out_channels)
    with ExitStack() as sources:
        attributes = sorted(recipe.attributes())
        data = _read(
            config,
            preprocessing,
            attributes,
            sources,
            optional=sorted(recipe.optional()),
            progress=progress,
            note=note,
            rank=machine.rank,
        )
        if config.words == "only":
            copy_network(shipped_model(config.start) if config.start in SHIPPED else Path(config.start), config.out)
            return _with_words(None, data, config, progress=progress, log=log, note=note)
        before = watch.correct_answers(network, data, recipe) if config.start and machine.leads else {}
        start = config.init or config.start
        trained = loop.train(
            data, recipe, network=network, start=start, words=words, out=config.out, report=log, machine=machine
        )
        if not machine.leads:
            return None
        after = watch.correct_answers(trained.network, data, recipe) if before else {}
        verdicts = watch.compare_answers(before, after)
        details = {
            "backbone": backbone_name(network.backbone),
            "training": asdict(recipe),
            "pictures": len(data.train),
            "skipped": trained.skipped,
            "start": Path(start).name,
            "minutes": round(trained.seconds / 60, 1),
            "machine": f"{platform.machine()}, {machine.device.type}, {torch.get_num_threads()} threads,"
            f" torch {torch.__version__}",
            "verdicts": [asdict(verdict) for verdict in verdicts],
        }
        report = replace(
            _export(trained.network.cpu(), data, replace(config, name=name), preprocessing, details),
            verdicts=tuple(verdicts),
        )
        if config.words == "no":
            return report
        return _with_words(report, data, config, progress=progress, log=log, note=note)


def _with_words(
    report: TrainingReport | None,
    data: TrainingSet,
    config: TrainingConfig,
    *,
    progress: ProgressBar,
    log: Log,
    note: Note,
) -> TrainingReport:
    """Teach the folder's model words, and report on the whole; ``report`` is that of its network, where it is new."""
    model = teach_words(config.out, data, seed=config.seed, progress=progress, log=log, note=note)
    if report is None:
        agreement = model.details.get("agreement_with_trained", {}).get("mean_cosine", 1.0)
        report = TrainingReport(config.out, model.name, model.precision, "", agreement)
    return replace(report, fingerprint=model.fingerprint, words=bool(model.text_sha256))


def train_segmenter(
    config: TrainingConfig, *, progress: ProgressBar = _silent_bar, log: Log = _silent, note: Note = _silent
) -> TrainingReport:
    """Train and export what finds products in photos, from products on white. Takes what :func:`train` takes.

    Raises:
        InputError: other weights than EfficientNet-Lite0's to start from. And as :func:`train`.
    """
    torch = _torch()
    from lapel.service.photo_masks import open_photo_masks
    from lapel.training import foreground
    from lapel.training.export import write_foreground_folder
    from lapel.training.machine import this_machine

    if config.init not in ("", SEGMENTER_WEIGHTS):
        raise InputError(f"With --foreground, --init is {SEGMENTER_WEIGHTS}; found '{config.init}'.")
    if config.photo_masks and config.stream:
        raise InputError("--photo-masks needs pictures that are prepared once. Leave out --stream.")
    recipe = foreground.ForegroundConfig(epochs=math.ceil(sum(config.epochs)), seed=config.seed)
    if config.start:
        recipe = replace(recipe, rate=recipe.rate / 2)
    preprocessing, out = Preprocessing(*config.size), config.out
    with ExitStack() as sources:
        masks = open_photo_masks(config.photo_masks)
        data = _read(config, preprocessing, (), sources, progress=progress, note=note, masks=masks)
        torch.manual_seed(config.seed)
        network = _start_segmenter(config)
        machine = this_machine(config.device)
        overlap = foreground.train_foreground(
            data, recipe, network=network, start=config.init or config.start, out=out, report=log, machine=machine
        )
        details = {
            "training": asdict(recipe),
            "start": Path(config.init or config.start).name,
            "pictures": len(data.train),
            "overlap_on_val": round(overlap, 4),
        }
        pixels = _spread(data, data.val if len(data.val) else data.train, NUM_SCENES)
    scenes = foreground.lay_on_scenes(pixels, recipe, seed=config.seed)
    model = write_foreground_folder(network.cpu(), out, preprocessing=preprocessing, scenes=scenes, details=details)
    agreement = model.details["agreement_with_trained"]["mean_overlap"]
    return TrainingReport(out, model.name, model.precision, model.fingerprint, agreement, overlap=overlap)


def recipe_of(config: TrainingConfig, *, dim: int = 128) -> Recipe:
    """The recipe that a configuration asks for: that of the shipped models, or one for a shop's own labels."""
    from lapel.training import recipe

    if config.recipe == "fashion" or not (config.recipe or config.levels or config.heads or config.start):
        chosen = recipe.fashion(epochs=config.epochs, photos=config.people is not None, titles=config.titles)
    else:
        levels = tuple(tuple(part.strip() for part in text.split(",")) for text in config.levels)
        chosen = recipe.custom(
            levels,
            heads=config.heads,
            epochs=config.epochs,
            photos=config.people is not None,
            titles=config.titles,
        )
    views, segmented = config.views
    if config.words == "no":
        chosen = replace(chosen, titles=0.0, head_finetuning=replace(chosen.head_finetuning, titles=0.0))
    if config.start and not sum(config.epochs):
        chosen = replace(chosen, head_finetuning=replace(chosen.head_finetuning, epochs=HEAD_AGAIN_EPOCHS))
    return replace(
        chosen,
        seed=config.seed,
        rate=config.rate if config.init else config.rate / 3,
        classes=config.batch // chosen.images,
        dim=dim,
        head_finetuning=replace(chosen.head_finetuning, views=views, segmented_views=segmented),
    )


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError("Training needs PyTorch. Run: pip install 'lapel[train]'") from error
    return torch


def _start(config: TrainingConfig) -> tuple[EmbeddingNetwork, Preprocessing, str, TextTower | None]:
    """A network with ImageNet weights for images of the wanted size, or a trained one with its own; its name, and its
    words."""
    from lapel.training.network import EmbeddingNetwork
    from lapel.training.weights import load_backbone, load_model_folder

    if config.start:
        network, model = load_model_folder(
            shipped_model(config.start) if config.start in SHIPPED else Path(config.start)
        )
        words = TextTower.from_bytes(model.text_bytes()) if model.text_sha256 else None
        return network, model.preprocessing, config.name or model.name, words
    network = EmbeddingNetwork(load_backbone(config.init), frozen=True)
    return network, Preprocessing(*config.size), config.name or NAME, None


def _start_segmenter(config: TrainingConfig) -> ForegroundNetwork:
    """A segmenter with ImageNet weights, or a trained one."""
    from lapel.training.efficientnet import load_efficientnet
    from lapel.training.foreground import ForegroundNetwork
    from lapel.training.weights import load_foreground_folder

    if not config.start:
        return ForegroundNetwork(load_efficientnet())
    return load_foreground_folder(shipped_model(MODEL_NAME) if config.start == MODEL_NAME else Path(config.start))


def _read(
    config: TrainingConfig,
    preprocessing: Preprocessing,
    attributes: tuple[str, ...] | list[str],
    sources: ExitStack,
    *,
    optional: Sequence[str] = (),
    progress: ProgressBar,
    note: Note,
    rank: int = 0,
    masks: PhotoMasks | None = None,
) -> TrainingSet:
    """The labelled images of all parts; ``sources`` is what closes them."""
    from lapel.training.data import load_training_set, read_label_map

    parts = [config.shop, *([config.people] if config.people else [])]
    examples, read = read_examples(parts, sources, stream=config.stream, note=note)
    folder = config.out / f"rank{rank}" if rank else config.out
    with progress("reading pictures") as update:
        data, rejected = load_training_set(
            examples,
            read,
            preprocessing=preprocessing,
            attributes=attributes,
            optional=optional,
            product_key=config.product_key,
            label_map=read_label_map(config.label_map) if config.label_map else None,
            val_share=config.val_share,
            folder=None if config.stream else folder,
            masks=masks,
            progress=update,
        )
    note(
        f"{counted(len(data.train), 'picture')} to learn from, {len(data.val):,} to evaluate with,"
        f" {len(rejected):,} unusable"
    )
    for uri, reason in rejected[:5]:
        note(f"  {uri}: {reason}")
    return data


def read_examples(
    parts: list[LabelledPhotos], sources: ExitStack, *, stream: bool, note: Note
) -> tuple[list[Example], Callable[[str], bytes]]:
    """Each usable row's product with each of its images, and what reads them; images that are not there are left out.

    Args:
        parts: The shop, then photos of people's own.
        sources: Is given what closes each source.
        stream: Whether images are read in the order of chance: prepared, they are read once, in the table's order.
        note: Called with what is left out.

    Raises:
        InputError: none of the images is there.
    """
    from lapel.training.data import Example

    examples: list[Example] = []
    readers: dict[str, Callable[[str], bytes]] = {}
    for number, part in enumerate(parts):
        source = MixedSource(open_source(part.photos))
        sources.callback(source.close)
        table = read_table(part.table, ColumnMap.parse(list(part.columns)))
        left_out: Counter[str] = Counter()
        found = list(_rows(table, source, left_out))
        for text in (*table.notes, *(f"{n:,} {what} of {part.table} left out" for what, n in left_out.items())):
            note(text)
        examples += [Example(product, uri, number) for product, uri in found]
        uris = [uri for _, uri in found]
        # Streamed images come from the cache after the first epoch.
        readers |= dict.fromkeys(uris, source.read if stream else in_order(source, uris))
    if not examples:
        raise InputError(
            f"None of the pictures that {parts[0].table} names is in {parts[0].photos}. Give the folder or ZIP its"
            " names start from."
        )
    return examples, lambda uri: readers[uri](uri)


def _rows(table: Table, source: MixedSource, left_out: Counter[str]) -> Iterator[tuple[Product, str]]:
    """Each usable row's product with each of its images; ``left_out`` counts what cannot be used."""
    for row in table:
        if row.product is None:
            left_out["rows that cannot be read"] += 1
            continue
        for name in row.pictures or ("",):
            try:
                yield row.product, source.find(name) if name else source.find_id(row.product.id)
            except SourceError:
                left_out["pictures that are not there"] += 1


def _spread(data: TrainingSet, rows: Any, count: int) -> Pixels:
    """The readable ones of at most ``count`` images, spread evenly over some rows: (n, h, w, 4) uint8 with masks."""
    pixels, good = data.images.read(rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)])
    return np.ascontiguousarray(pixels[good])


def _export(
    network: EmbeddingNetwork,
    data: TrainingSet,
    config: TrainingConfig,
    preprocessing: Preprocessing,
    details: dict[str, Any],
) -> TrainingReport:
    from lapel.training.export import write_model_folder

    # Anyone can draw these again: one photo of each of some products of the sample wardrobe.
    plan = plan_wardrobe()
    drawn = [render_photo(product, "front") for product in plan[:: len(plan) // NUM_REFERENCES][:NUM_REFERENCES]]
    model = write_model_folder(
        network,
        config.out,
        name=config.name,
        preprocessing=preprocessing,
        calibration=np.ascontiguousarray(_spread(data, data.train, NUM_CALIBRATION)[..., :3]),
        reference=preprocessing.batch(drawn),
        details=details,
    )
    agreement = model.details["agreement_with_trained"]["mean_cosine"]
    return TrainingReport(config.out, model.name, model.precision, model.fingerprint, agreement)
