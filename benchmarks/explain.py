"""Heatmaps: do they show where the product is, do their parts add up, and what do they cost.

    python benchmarks/explain.py [--encoder default] [--trials 500] [--store SHOP] [--sheet runs/explain.png]

A val product is pasted at a known place of a drawn scene (:func:`distortions.lay`) and explained against its own
catalogue picture: right when the brightest place lies on the product, or in its box. With ``--store`` hits of real
searches are explained: the sums, and the time of ``explain`` after a search beside that of the search, turn by turn.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from rich.progress import track

from lapel import Query, open_store
from lapel.encoders import open_encoder
from lapel.encoders.segmenter import embed_images
from lapel.engine.explanation import cells_of, place_scores
from lapel.insight.distortions import draw_scene, enlarge, lay
from lapel.insight.explanation_sheet import heatmap
from phone_to_shop import PHOTOS, read_photos
from shops import machine, open_shop

AIM = "aims: brightest place in the product's box in >= 90 %, sums within 1e-4, explain <= 1.2 of a search"
BATCH = 16
SHOWN = 6


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="default")
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--data", type=Path, help="folder or ZIP of pictures, with --products")
    parser.add_argument("--products", type=Path, help="table of the products")
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="folder with photos.csv and images.zip")
    parser.add_argument("--store", type=Path, help="a store of the same products")
    parser.add_argument("--sheet", type=Path, help="draw scenes with their heatmaps as a PNG")
    wanted = parser.parse_args(arguments)
    print(f"{wanted.encoder}; {machine()}\n{AIM}")
    places(wanted)
    if wanted.store:
        costs(wanted)


def places(wanted: argparse.Namespace) -> None:
    """Where the brightest place is."""
    encoder = open_encoder(wanted.encoder)
    shop = open_shop(wanted.data, wanted.products, Path("runs"))
    val = [row for row, split in enumerate(shop.values("split")) if split == "val"] or range(len(shop.products))
    rows = np.random.default_rng(11).permutation(val)[: wanted.trials].tolist()
    on_mask, in_box, sums, area, tiles = [], [], [], [], []
    for start in track(range(0, len(rows), BATCH), "scenes"):
        images = [shop.image(row) for row in rows[start : start + BATCH]]
        rngs = [np.random.default_rng((12, start + at)) for at in range(len(images))]
        laid = [lay(enlarge(image), draw_scene(rng), rng) for image, rng in zip(images, rngs, strict=True)]
        seen = embed_images(encoder, [scene for scene, _ in laid])
        hits = encoder.encode(images)
        for at, (scene, mask) in enumerate(laid):
            size = cells_of(scene)
            values = place_scores(seen.maps[at], hits[at], size)
            sums.append(abs(float(values.sum()) - float(seen.vectors[at] @ hits[at])))
            row, column = np.unravel_index(values.argmax(), size)
            point = (int((column + 0.5) * scene.width / size[1]), int((row + 0.5) * scene.height / size[0]))
            box = mask.point(lambda value: 255 * (value > 127)).getbbox()
            on_mask.append(mask.getpixel(point) > 127)  # type: ignore[operator]
            in_box.append(box is not None and box[0] <= point[0] < box[2] and box[1] <= point[1] < box[3])
            area.append(0 if box is None else (box[2] - box[0]) * (box[3] - box[1]) / (scene.width * scene.height))
            if len(tiles) < 2 * SHOWN:
                tiles += [scene, heatmap(scene, values)]
    print(
        f"{len(rows)} scenes: brightest place in the product's box {100 * np.mean(in_box):.1f} %, on the product itself"
        f" {100 * np.mean(on_mask):.1f} % (by chance {100 * np.mean(area):.0f} %); sums within {max(sums):.1e}"
    )
    if wanted.sheet:
        sheet = Image.new("RGB", (SHOWN * 164, 2 * 209), (255, 255, 255))
        for place, tile in enumerate(tiles):
            sheet.paste(tile.resize((160, 200)), (place // 2 * 164, place % 2 * 205))
        wanted.sheet.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(wanted.sheet)


def costs(wanted: argparse.Namespace) -> None:
    """Sums and times of hits of real searches."""
    photos = read_photos(wanted.photos)
    held = np.flatnonzero(photos.splits == "validation")[:40].tolist()
    with open_store(wanted.store, read_only=True) as store:
        spent, off = [], []
        for row in held:
            query = Query(image=photos.picture(row), k=5)
            begun = time.process_time()
            hits = store.search(query=query).hits
            searched = time.process_time()
            found = store.explain(query, hits[0])
            spent.append((searched - begun, time.process_time() - searched))
            off += [abs(float(each.sum()) - found.score) for each in (found.query_map, found.hit_map)]
    search, explain = np.median(np.array(spent[5:]), axis=0)
    print(
        f"people's photos: explain / search {explain / search:.2f} in processor time (medians"
        f" {1000 * explain:.0f} and {1000 * search:.0f} ms); sums within {max(off):.1e}"
    )


if __name__ == "__main__":
    main()
