"""Everything that decides what is learned, as values that are written into the model folder; and the recipes Lapel
ships."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from lapel.core.errors import InputError
from lapel.training.augment import Augmentation
from lapel.training.data import PRODUCT, Rows
from lapel.training.losses import MINING

COLOUR = "colour"  # the attribute that pixels tell


@dataclass(frozen=True)
class Level:
    """One level of the label hierarchy: images that agree on all ``attributes`` are positives of each other.

    Attributes:
        attributes: Names of labels; ``product`` alone makes the views of one product the positives.
        triplet: Weight of the triplet loss.
        margin: Its margin, 0..2.
        mining: ``batch-hard`` or ``semi-hard``.
        soft: Soft margin, log(1 + exp(x)), in place of max(0, x).
        nca: Weight of the NCA loss against the memory.
        temperature: The NCA loss's.
    """

    attributes: tuple[str, ...]
    triplet: float = 1.0
    margin: float = 0.2
    mining: str = "batch-hard"
    soft: bool = False
    nca: float = 0.0
    temperature: float = 0.07

    def __post_init__(self) -> None:
        if not self.attributes:
            raise InputError("A level needs at least one attribute; found none.")
        if self.mining not in MINING:
            raise InputError(f"Mining is one of {', '.join(MINING)}; found '{self.mining}'.")
        if not 0 <= self.margin <= 2 or self.temperature <= 0:
            raise InputError(f"A margin is 0 to 2 and a temperature above 0; found {self.margin}, {self.temperature}.")

    @property
    def name(self) -> str:
        """How reports call it."""
        return ",".join(self.attributes)


# The gallery's side: a shop's own image, hardly changed.
SHOP = Augmentation(turn=2, zoom=(0.96, 1.04), shift=0.02, light=0.03, tint=0.01)
# The query's side: what a screenshot or a phone makes of it.
PHOTO = Augmentation(
    turn=20,
    zoom=(0.6, 1.7),
    shift=0.12,
    perspective=0.2,
    light=0.3,
    gamma=0.25,
    tint=0.08,
    background=0.75,
    blur=0.03,
    blurred=0.35,
    compressed=0.25,
    covered=0.15,
)
# What another hand, another light and another camera make of a photo of a person's own.
HANDHELD = Augmentation(
    turn=15,
    zoom=(0.75, 1.15),
    shift=0.08,
    perspective=0.1,
    light=0.3,
    gamma=0.25,
    tint=0.12,
    blur=0.02,
    blurred=0.2,
    compressed=0.2,
)


@dataclass(frozen=True)
class Stage:
    """Some epochs at one size.

    Attributes:
        epochs: Passes over the images.
        scale: Side of the images as a share of the final size: early epochs at a smaller size cost a fraction.
        views: One augmentation for each view of a product that a batch holds.
        share: Of each epoch's batches that are taken: less than 1 is a shorter epoch, of other images each time.
    """

    epochs: int
    scale: float = 1.0
    views: tuple[Augmentation, ...] = (SHOP, PHOTO)
    share: float = 1.0

    @classmethod
    def of(cls, epochs: float, scale: float) -> Stage:
        """So many epochs: half of one takes half of its batches, one and a half are two of three quarters."""
        whole = math.ceil(epochs)
        return cls(whole, scale, share=epochs / whole if whole else 1.0)


@dataclass(frozen=True)
class HeadFinetuning:
    """The head alone, at the end: see :mod:`lapel.training.head_finetuning`.

    Attributes:
        epochs: Of the head alone.
        views: How many augmented views are kept beside the plain images, and of each photo.
        segmented_views: How many more of the shop's images, whose product is segmented as a search does it.
        view_share: Share of the shop's images that each view is of.
        rate: Peak learning rate of the head; the classifiers, having just begun, learn three times faster.
        weight_decay: AdamW's.
        label_weight: Weight of the classifiers' mean loss on plain images.
        view_label_weight: The same on views.
        nca: Weight of each level's NCA loss against the shop's plain images.
        instance: Weight of the instance loss of a view: finding its own product among them.
        instance_plain: The same of the plain image, as a share.
        photo: Weight of the soft NCA loss of people's photos against the shop's plain images.
        titles: Weight of the plain images' loss against their titles.
        agree: Attributes on which a photo and the products it is to find have to agree.
        colour: Which of them is read from the pixels of photos that are not labelled; empty for none.
        inferred: Which of them are read from the features of images that are not labelled.
    """

    epochs: int = 6
    views: int = 2
    segmented_views: int = 2
    view_share: float = 0.25
    rate: float = 6e-4
    weight_decay: float = 1e-4
    label_weight: float = 2.0
    view_label_weight: float = 1.0
    nca: float = 0.4
    instance: float = 3.0
    instance_plain: float = 0.2
    photo: float = 2.5
    titles: float = 0.0
    agree: tuple[str, ...] = ()
    colour: str = ""
    inferred: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.epochs < 0 or self.views < 1 or not 0 < self.view_share <= 1:
            raise InputError(
                "Head fine-tuning has 0 epochs or more, 1 view or more, of a share above 0 and up to 1; found"
                f" {self.epochs}, {self.views}, {self.view_share}."
            )


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result, written into the model folder.

    Attributes:
        levels: Coarse to fine; batches are drawn from the classes of the level ``sampled``.
        sampled: Index of that level.
        heads: Attributes that get a classifier beside the triplets; several, joined by commas, get one for their
            combinations.
        heads_weight: Weight of the mean of their losses.
        smoothing: Label smoothing of the classifiers.
        titles: Weight of the loss of images against their titles, see :mod:`lapel.training.titles`.
        memory: Most images whose last vectors are kept to be searched in.
        classes: P, groups of one class a batch.
        images: K, images a group. A batch is P x K images times the views of the stage.
        stages: What is shown when.
        rate: Peak learning rate of the backbone; head and classifiers, having just begun, learn ``head_rate_factor``
            times faster.
        head_rate_factor: See ``rate``.
        warmup: Share of all steps over which the rate rises; then it falls as a half cosine.
        weight_decay: AdamW's, on all weights.
        ema_decay: Decay of the exponential moving average of the weights, per 10 steps; what is exported. 0 switches it
            off.
        frozen: Keep the backbone's early layers as ImageNet made them.
        head_finetuning: The head alone, at the end.
        repeats: How often an epoch shows the images of each part (the shop, then photos).
        seed: Decides initial values, order and augmentation.
        dim: Width of the vectors.
    """

    levels: tuple[Level, ...]
    heads: tuple[str, ...]
    stages: tuple[Stage, ...]
    sampled: int = 0
    heads_weight: float = 1.0
    smoothing: float = 0.0
    titles: float = 0.0
    memory: int = 65_536
    classes: int = 12
    images: int = 4
    rate: float = 3e-4
    head_rate_factor: float = 5.0
    warmup: float = 0.05
    weight_decay: float = 0.02
    ema_decay: float = 0.98
    frozen: bool = True
    head_finetuning: HeadFinetuning = HeadFinetuning()
    repeats: tuple[int, ...] = (1,)
    seed: int = 7
    dim: int = 128

    def __post_init__(self) -> None:
        if not self.levels or not 0 <= self.sampled < len(self.levels):
            raise InputError(f"A recipe needs levels, one of them sampled; found {len(self.levels)}, {self.sampled}.")
        if self.classes < 2 or self.images < 2:
            raise InputError(f"P and K must be 2 or more, or there is no triplet; found {self.classes}, {self.images}.")

    def rate_share(self, done: float) -> float:
        """Share of the peak rate after a share of all steps: a line up, half a cosine down."""
        if done < self.warmup:
            return max(done / self.warmup, 0.01)
        return max(0.5 * (1 + math.cos(math.pi * (done - self.warmup) / (1 - self.warmup))), 0.002)

    def times_shown(self, parts: Rows) -> Rows:
        """How often an epoch shows images of these parts: (n,) int64 each."""
        times = np.array([*self.repeats, 1])
        return times[np.minimum(parts, len(self.repeats))]

    def attributes(self) -> set[str]:
        """All labels that are learned or watched."""
        levels = {name for level in self.levels for name in level.attributes}
        return (levels | {name for head in self.heads for name in head.split(",")}) - {PRODUCT}

    def optional(self) -> set[str]:
        """Labels that are learned from where there are any."""
        return set(self.head_finetuning.agree) - self.attributes()


def fashion(*, epochs: tuple[float, float] = (4, 2), photos: bool = True, titles: float = 0.0, seed: int = 7) -> Recipe:
    """The recipe of the shipped models: kind, colour, gender, all three, and the product itself.

    Args:
        epochs: At 0.7 of the size, then at the whole.
        photos: Whether photos of people's own with the shared label ``kind`` are learned from too.
        titles: Weight of the loss of images against their titles; twice as much where the head learns alone.
        seed: See :class:`Recipe`.
    """
    fine = ("articleType", "baseColour", "gender")
    levels = [
        Level(("articleType",), triplet=0.0, nca=0.3),
        Level(("baseColour",), triplet=0.0, nca=0.3),
        Level(("gender",), triplet=0.0, nca=0.3),
        Level(fine, triplet=0.5, margin=0.2, nca=0.3),
        Level((PRODUCT,), triplet=0.5, margin=0.2, nca=0.5),
    ]
    heads = ["articleType", "baseColour", "gender", "subCategory", ",".join(fine)]
    finetuning = HeadFinetuning(titles=2 * titles)
    if photos:
        levels.append(Level(("kind",), triplet=0.0, nca=0.5))
        heads.append("kind")
        agree = ("garment", COLOUR, "pattern", "age")
        finetuning = replace(finetuning, agree=agree, colour=COLOUR, inferred=("pattern",))
    return Recipe(
        levels=tuple(levels),
        sampled=3,
        heads=tuple(heads),
        heads_weight=4.0,
        titles=titles,
        classes=24,
        images=2,
        stages=(Stage.of(epochs[0], 0.7), Stage.of(epochs[1], 1.0)),
        repeats=(1, 2) if photos else (1,),
        head_finetuning=finetuning,
        seed=seed,
    )


def custom(
    levels: tuple[tuple[str, ...], ...],
    *,
    heads: tuple[str, ...] = (),
    epochs: tuple[float, float],
    photos: bool = False,
    titles: float = 0.0,
    seed: int = 7,
) -> Recipe:
    """A recipe for a shop's own labels; without any, for products with several photos and augmented views.

    Args:
        levels: Attributes of each level, coarse to fine.
        heads: Attributes that get a classifier.
        epochs: At 0.7 of the size, then at the whole.
        photos: Whether photos of people's own, too, learn to find what agrees with them in these attributes and colour.
        titles: See :func:`fashion`.
        seed: See :class:`Recipe`.
    """
    agree = tuple(dict.fromkeys([*(name for names in levels for name in names), COLOUR])) if photos else ()
    # Triplets at the finest level: the hardest positive of a broad one, such as a gender, looks like nothing of its
    # kind.
    finest = len(levels) - 1
    learned = [Level(names, triplet=0.5 * (at == finest), nca=0.6) for at, names in enumerate(levels)]
    return Recipe(
        levels=(*learned, Level((PRODUCT,), triplet=0.5, nca=0.6)),
        sampled=max(len(learned) - 1, 0),
        heads=heads,
        heads_weight=1.5 if heads else 0.0,
        # Pairs, of twice as many classes: the memory brings the other positives, and a batch shows more of the shop.
        classes=24,
        images=2,
        stages=(Stage.of(epochs[0], 0.7), Stage.of(epochs[1], 1.0)),
        titles=titles,
        head_finetuning=HeadFinetuning(titles=2 * titles, agree=agree, colour=COLOUR if photos else ""),
        seed=seed,
    )
