"""Which products are in a picture: scenes of two to four val products at known places.

    python benchmarks/regions.py [--encoder default] [--scenes 500] [--sheet runs/regions.png]

*Recall*: the share of products that have a region with an intersection over union of .5 or more. *R@1 after the pick*:
the share of those whose own product comes first when the region's box is searched, beside the same product alone on a
scene of its own. Kinds: the share of regions on a product that name its kind.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rich.progress import track

from encoders import CACHE, encode_shop
from lapel.core.answers import Box
from lapel.encoders import open_encoder
from lapel.encoders.probes import read_probes
from lapel.encoders.segmenter import embed_images
from lapel.engine.regions import find_regions
from lapel.insight.distortions import SCENE, cluttered, cut_out, draw_scene, enlarge
from shops import Shop, machine, open_shop

TALL = (120, 190)  # pixels of a product's picture
TRIES = 200
APART = 6  # pixels between two products
OVERLAP = 0.5
AIMS = "aims: recall >= .85, R@1 after the pick >= .85 of alone"


def compose(shop: Shop, rows: Sequence[int], rng: np.random.Generator) -> tuple[Image.Image, list[Box]]:
    """A drawn scene with products at places that do not overlap, and the box of each."""
    scene, boxes = draw_scene(rng), []
    for row in rows:
        image = enlarge(shop.image(row))
        for attempt in range(TRIES):
            height = int(rng.integers(*TALL)) - attempt // 4
            size = (round(image.width * height / image.height), height)
            at = (int(rng.integers(0, SCENE[0] - size[0])), int(rng.integers(0, SCENE[1] - size[1])))
            mask = cut_out(image).resize(size, Image.Resampling.BILINEAR)
            inner = mask.point(lambda value: 255 * (value > 127)).getbbox()
            if inner is None:
                break
            box = (at[0] + inner[0], at[1] + inner[1], at[0] + inner[2], at[1] + inner[3])
            if all(_apart(box, other) for other in boxes):
                scene.paste(image.resize(size, Image.Resampling.LANCZOS), at, mask)
                boxes.append(box)
                break
    return scene, boxes


def _apart(one: Box, other: Box) -> bool:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return wide < -APART or high < -APART


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    wide = max(0, min(one[2], other[2]) - max(one[0], other[0]))
    high = max(0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return wide * high / (sum(areas) - wide * high)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="default")
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--data", type=Path, help="folder or ZIP of pictures, with --products")
    parser.add_argument("--products", type=Path, help="table of the products")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where vectors are kept")
    parser.add_argument("--sheet", type=Path, help="draw the first twelve scenes with their regions")
    wanted = parser.parse_args(arguments)
    encoder, shop = open_encoder(wanted.encoder), open_shop(wanted.data, wanted.products, wanted.cache)
    vectors = encode_shop(encoder, shop, wanted.cache)
    model = getattr(encoder, "model", None)
    probes = {} if model is None else read_probes(model.path, encoder.dim)
    kinds, groups = np.array(shop.values("articleType")), np.array(shop.values("group"))
    val = np.flatnonzero(np.array(shop.values("split")) == "val")
    found, first, alone, named, spare, drawn = [], [], [], [], 0, []
    for number in track(range(wanted.scenes), "scenes"):
        rng = np.random.default_rng((16, number))
        rows = [int(row) for row in rng.choice(val, int(rng.integers(2, 5)), replace=False)]
        scene, boxes = compose(shop, rows, rng)
        regions = find_regions(encoder, probes, scene)
        best = [max(regions, key=lambda region: overlap(region.box, box), default=None) for box in boxes]
        hits = [r is not None and overlap(r.box, box) >= OVERLAP for r, box in zip(best, boxes, strict=True)]
        found += hits
        spare += len(regions) - len({region.box for region, hit in zip(best, hits, strict=True) if hit and region})
        drawn.append((scene, regions))
        picked = [(row, region) for row, region, hit in zip(rows, best, hits, strict=False) if hit and region]
        if picked:
            row, region = picked[0]  # one of each scene is searched, and alone on a scene of its own
            views = [scene.crop(region.box), cluttered(enlarge(shop.image(row)), np.random.default_rng((17, number)))]
            top = (embed_images(encoder, views).vectors @ vectors.T).argmax(axis=1)
            first.append(groups[top[0]] == groups[row])
            alone.append(groups[top[1]] == groups[row])
        named += [region.kind == kinds[row] for row, region in picked if region.kind]
    print(f"{encoder.name}, {len(shop.products):,} products; {machine()}\n{AIMS}")
    print(f"scenes {wanted.scenes}, products {len(found)}: recall at IoU {OVERLAP} {np.mean(found):.3f}")
    print(
        f"regions on no product: {spare / wanted.scenes:.2f} a scene; kinds right {np.mean(named):.3f} of {len(named)}"
    )
    ratio = np.mean(first) / np.mean(alone)
    print(
        f"R@1 after the pick {np.mean(first):.3f}, alone {np.mean(alone):.3f}:"
        f" ratio {ratio:.3f} ({len(first)} products)"
    )
    if wanted.sheet:
        draw(drawn[:12], wanted.sheet)


def draw(scenes: Sequence[tuple[Image.Image, Sequence[object]]], path: Path) -> None:
    """Scenes with their regions, four a row."""
    sheet = Image.new("RGB", (4 * (SCENE[0] + 8), -(-len(scenes) // 4) * (SCENE[1] + 8)), (255, 255, 255))
    font = ImageFont.load_default(16)
    for place, (scene, regions) in enumerate(scenes):
        pen = ImageDraw.Draw(scene)
        for region in regions:
            pen.rectangle(region.box, outline=(255, 255, 0), width=3)  # type: ignore[attr-defined]
            text = f"{region.kind or '?'} {region.score:.2f}"  # type: ignore[attr-defined]
            pen.rectangle((*region.box[:2], region.box[0] + 8 * len(text), region.box[1] + 20), (0, 0, 0))  # type: ignore[attr-defined]
            pen.text((region.box[0] + 3, region.box[1] + 1), text, (255, 255, 0), font)  # type: ignore[attr-defined]
        sheet.paste(scene, (place % 4 * (SCENE[0] + 8), place // 4 * (SCENE[1] + 8)))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


if __name__ == "__main__":
    main()
