"""What the audit of photos finds: pictures that were made bad, beside the same number of others.

    python benchmarks/audit_photos.py [--count 300] [--split val] [--raw]
    python benchmarks/audit_photos.py --store SHOP --differs 300

Each check sees ``count`` pictures with that defect and ``count`` without any: half of the real catalogue, enlarged to
320 pixels as small pictures show little, half people's photos. Precision is of equal numbers; where one photo in twenty
has the defect, it is lower, and the false alarms say by how much. ``--raw`` prints the figures themselves. The second
form plants photos of other products among those of products with several photos.
"""

from __future__ import annotations

import argparse
import csv
import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from lapel.engine import quality
from lapel.insight import distortions
from lapel.insight.audit_photos import CHECKS, problems_of, usual_cuts

DATA = Path(__file__).parents[2] / "shared" / "data"
WORDS = ("SALE 50% OFF", "www.myshop.com", "NEW ARRIVAL", "Call 98450 11223", "© Studio Kapoor", "FREE SHIPPING")


def pictures(count: int, split: str, rng: np.random.Generator) -> tuple[list[Image.Image], list[str]]:
    """Half of the catalogue, half of people, and the kind of each; people's photos have none."""
    shop, rows = catalogue(split)
    chosen = rng.choice(len(rows), count // 2, replace=False)
    found = [distortions.enlarge(read(shop, rows[at]["id"] + ".jpg")) for at in chosen]
    people = zipfile.ZipFile(DATA / "clothing-photos" / "images.zip")
    names = {name.rsplit("/", 1)[-1]: name for name in people.namelist()}
    own = {"val": "validation"}.get(split, split)
    photos = [row for row in csv.DictReader((DATA / "clothing-photos" / "photos.csv").open()) if row["split"] == own]
    theirs = [names[photos[at]["file"]] for at in rng.choice(len(photos), count - count // 2, replace=False)]
    kinds = [rows[at]["articleType"] for at in chosen] + [""] * len(theirs)
    return found + [read(people, name) for name in theirs], kinds


def catalogue(split: str) -> tuple[zipfile.ZipFile, list[dict[str, str]]]:
    table = csv.DictReader((DATA / "fashion-products" / "products.csv").open())
    return zipfile.ZipFile(DATA / "fashion-products" / "images.zip"), [row for row in table if row["split"] == split]


def how_kinds_are_shown(count: int) -> dict[str, frozenset[str]]:
    """At which sides photos of a kind are usually cut, by pictures of the train part."""
    shop, rows = catalogue("train")
    chosen = np.random.default_rng(1).choice(len(rows), count, replace=False)
    images = [read(shop, rows[at]["id"] + ".jpg") for at in chosen]
    figures = [quality.decode_quality(each) for each in quality.qualities([quality.sample(each) for each in images])]
    return usual_cuts(figures, [rows[at]["articleType"] for at in chosen])


def read(archive: zipfile.ZipFile, name: str) -> Image.Image:
    return Image.open(io.BytesIO(archive.read(name))).convert("RGB")


def sharp(image: Image.Image) -> Image.Image:
    """An enlarged catalogue picture is soft: for what asks about sharpness it goes back to its own pixels."""
    return image.resize((60, 80), Image.Resampling.BOX) if image.height == 320 and image.width == 240 else image


def blurred(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.012, 0.03)) * max(image.size)))


def dark(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    share = float(rng.uniform(0.15, 0.45))
    return image.point(lambda value: int(value * share))


def cut(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Crop so that 15 to 35 % of the product is gone on one side, with the rest of the frame kept."""
    mask = mask_of(image)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return image
    left, top, right, bottom = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    share, side = float(rng.uniform(0.15, 0.35)), int(rng.integers(4))
    box = [0, 0, image.width, image.height]
    wide, high = right - left, bottom - top
    box[side] = int((left + share * wide, top + share * high, right - share * wide, bottom - share * high)[side])
    return image.crop(tuple(box))


def mask_of(image: Image.Image) -> np.ndarray:
    from lapel.encoders.segmenter import has_white_background, open_segmenter

    if has_white_background(image):
        return quality._beside_white(np.asarray(image))
    return open_segmenter().masks([image])[0] > 0.5


def written(image: Image.Image, rng: np.random.Generator, *, over: bool) -> Image.Image:
    """Writing of 4 to 9 % of the height: beside the product at the top or bottom, or over it, half see-through."""
    size = max(9, round(float(rng.uniform(0.045, 0.09)) * image.height))
    font = ImageFont.load_default(size)
    text = WORDS[int(rng.integers(len(WORDS)))]
    layer = Image.new("L", image.size)
    pen = ImageDraw.Draw(layer)
    left, _top, right, _bottom = pen.textbbox((0, 0), text, font=font)
    if right - left > 0.95 * image.width:
        return written(image.resize((image.width * 2, image.height * 2)), rng, over=over)
    x = rng.uniform(0, image.width - (right - left))
    y = image.height * (rng.uniform(0.35, 0.6) if over else rng.choice((0.02, 0.88)))
    pen.text((x, y), text, fill=255, font=font)
    strength = float(rng.uniform(0.45, 0.8)) if over else 1.0
    grey = int(np.asarray(image.convert("L"))[int(y) : int(y) + size].mean())
    colour = (255, 255, 255) if grey < 128 else (20, 20, 20)
    return Image.composite(
        Image.new("RGB", image.size, colour), image, layer.point(lambda value: int(value * strength))
    )


def several(image: Image.Image, other: Image.Image) -> Image.Image:
    """Two products in one picture, side by side on white or on the first one's surface."""
    height = 320
    a, b = (each.resize((round(each.width * height / each.height), height)) for each in (image, other))
    made = Image.new("RGB", (a.width + b.width, height), (255, 255, 255))
    made.paste(a, (0, 0))
    made.paste(b, (a.width, 0))
    return made


def judged(images: list[Image.Image], usual: list[frozenset[str]]) -> tuple[list[set[str]], list[quality.Measures]]:
    figures = [quality.decode_quality(each) for each in quality.qualities([quality.sample(each) for each in images])]
    found = [problems_of(one, least_side=1, usual_cuts=sides) for one, sides in zip(figures, usual, strict=True)]
    return [{problem.check for problem in each} for each in found], figures


NOTHING: frozenset[str] = frozenset()


def report(name: str, check: str, bad, good, raw: bool, *, sides=None, whole: bool = False) -> None:
    bad_sides, good_sides = sides or ([NOTHING] * len(bad), [NOTHING] * len(good))
    (found, figures), (false, usual) = judged(bad, bad_sides), judged(good, good_sides)
    half = len(bad) // 2
    parts = [("catalogue", slice(0, half)), ("people", slice(half, None)), ("both", slice(None))]
    parts = parts[2:] if whole else parts
    for part, which in parts:
        hits, alarms = sum(check in each for each in found[which]), sum(check in each for each in false[which])
        total, rest = len(found[which]), len(false[which])
        precision = hits / max(1, hits + alarms)
        print(
            f"{name:26} {part:10} recall {hits / total:5.1%}  precision {precision:5.1%}"
            f"  false alarms {alarms}/{rest} ({alarms / rest:.1%})"
        )
    if raw:
        for field in quality.Measures._fields[2:]:
            for label, values in (("bad ", figures), ("good", usual)):
                column = np.array([getattr(each, field) for each in values])
                print(f"    {field:11} {label}", np.round(np.nanquantile(column, [0.05, 0.25, 0.5, 0.75, 0.95]), 3))


def checks(count: int, split: str, raw: bool, only: str) -> None:
    rng = np.random.default_rng(0)
    images, kinds = pictures(2 * count, split, rng)
    half, quarter = count, count // 2
    places = [*range(quarter), *range(half, half + quarter)], [*range(quarter, half), *range(half + quarter, 2 * half)]
    bad, good = ([images[at] for at in some] for some in places)
    print(f"{split}: {len(bad)} pictures with a defect and {len(good)} without, half of them people's photos")
    if only in ("", "blurred"):
        report("blurred", "blurred", [blurred(sharp(each), rng) for each in bad], [sharp(each) for each in good], raw)
    if only in ("", "dark"):
        report("dark", "dark", [dark(each, rng) for each in bad], good, raw)
    if only in ("", "cluttered"):
        shop = [distortions.cluttered(each, rng) for each in images[:quarter]]
        plain = [distortions.phone(each, rng) for each in images[quarter:half]]
        report("cluttered: drawn scenes", "cluttered", shop, plain, raw, whole=True)
        found, _ = judged(images[half:], [NOTHING] * half)
        print(
            f"    of people's photos as they are, {np.mean(['cluttered' in each for each in found]):.1%} are cluttered"
        )
    if only in ("", "cut"):
        usual = how_kinds_are_shown(4 * count + 400)
        sides = tuple([usual.get(kinds[at], NOTHING) for at in some] for some in places)
        report("cut off", "cut off", [cut(each, rng) for each in bad], good, raw, sides=sides)
    if only in ("", "text"):
        report("text beside the product", "text", [written(each, rng, over=False) for each in bad], good, raw)
        report("text over the product", "text", [written(each, rng, over=True) for each in bad], good, raw)
    if only in ("", "several"):
        alone = bad[:quarter]
        mixed = [several(each, alone[(at + 7) % quarter]) for at, each in enumerate(alone)]
        report("several products", "several products", mixed, good[:quarter], raw, whole=True)


def differs(store: str, planted: int) -> None:
    """Photos of other products of the same kind among those of products with several photos."""
    import lapel
    from lapel.insight.audit_photos import odd_photos
    from lapel.insight.findings import read_gallery

    with lapel.open_store(store, read_only=True) as shop:
        gallery = read_gallery(shop._context)
        numbers: dict[str, int] = {}
        groups = np.array(
            [numbers.setdefault(gallery.product(at).id, len(numbers)) for at in range(len(gallery))], np.int64
        )
        rng = np.random.default_rng(0)
        several_photos = np.flatnonzero(np.bincount(groups)[groups] >= 2)
        chosen = rng.permutation(several_photos)[:planted]
        swapped = groups.copy()
        swapped[chosen] = groups[np.roll(chosen, 1)]
        odd = {place for place, _ in odd_photos(gallery.vectors, swapped)}
        moved = {int(at) for at in chosen if swapped[at] != groups[at]}
        wrong = {int(swapped[at]) for at in moved}  # of two photos nothing says which is wrong: both are told
        right = sum(int(swapped[at]) in wrong for at in odd)
        print(
            f"differs from the other photos: {len(moved)} of {len(gallery):,} photos swapped between products:"
            f" recall {len(odd & moved) / max(1, len(moved)):.1%}, of what is told"
            f" {right / max(1, len(odd)):.1%} are of a product that has a swapped photo;"
            f" without any swapped {len(odd_photos(gallery.vectors, groups))} are said to differ"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--split", default="val")
    parser.add_argument("--raw", action="store_true")
    parser.add_argument("--only", default="", help="blurred, dark, cluttered, cut, text or several")
    parser.add_argument("--store")
    parser.add_argument("--differs", type=int, default=300)
    given = parser.parse_args()
    assert CHECKS
    if given.store:
        differs(given.store, given.differs)
    else:
        checks(given.count, given.split, given.raw, given.only)
